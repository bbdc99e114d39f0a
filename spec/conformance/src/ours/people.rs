//! Device lists, leaves and key proofs: made, read, and judged by the lists before.

use postline_core::fault::PeerFault;
use postline_core::id::{AddressKey, DeviceKey, Hash, Identity};
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, Proof, Standing, Succession, Verdict};
use postline_core::seal::{AddressIdentity, Secret};
use postline_core::time::Millis;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::list::{Device, DeviceList, DeviceName};
use postline_core::wire::statement::{Signed, Statement};
use serde_json::{Value, json};

use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, as_bytes, hex, number};

pub(super) fn make_list(input: Input<'_>) -> Said {
    let ak = signer(input)?;
    let prev = input.maybe("prev").map(|_| input.fixed("prev").map(Hash)).transpose()?;
    let successor = input.maybe("successor").map(|_| input.fixed("successor").map(AddressKey)).transpose()?;
    let devices = input.list("devices")?.iter().map(device).collect::<Result<_, Not>>()?;
    let revoked = input.list("revoked")?.iter().map(|value| {
        as_bytes(value).and_then(|bytes| bytes.try_into().ok()).map(DeviceKey).ok_or_else(|| unfit("a key"))
    });
    made(
        &ak,
        DeviceList {
            identity: Identity(input.fixed("identity")?),
            address: input.address("address")?,
            number: input.number("number")?,
            prev,
            ak: ak.ak(),
            hosted: input.truth("hosted")?,
            devices,
            revoked: revoked.collect::<Result<_, Not>>()?,
            next: Hash(input.fixed("next")?),
            successor,
        },
    )
}

pub(super) fn read_list(input: Input<'_>) -> Said {
    let signed = open::<DeviceList>(&input.bytes("bytes")?)?;
    let list = signed.value();
    let devices: Vec<Value> = list.devices.iter().map(show_device).collect();
    let mut shown = json!({
        "hash": hex(signed.hash().0), "identity": hex(list.identity.0), "address": list.address.to_string(),
        "number": number(list.number), "ak": hex(list.ak.0), "hosted": list.hosted, "devices": devices,
        "revoked": list.revoked.iter().map(|dk| hex(dk.0)).collect::<Vec<_>>(), "next": hex(list.next.0),
    });
    add(&mut shown, "prev", list.prev.map(|hash| hex(hash.0)));
    add(&mut shown, "successor", list.successor.map(|ak| hex(ak.0)));
    Ok(shown)
}

pub(super) fn judge_list(input: Input<'_>) -> Said {
    let chain = chain(input)?;
    match chain.judge(&open(&input.bytes("bytes")?)?).map_err(broken)? {
        Verdict::Known => Ok(json!({ "verdict": "known" })),
        Verdict::Gap { after } => Ok(json!({ "verdict": "gap", "after": number(after) })),
        Verdict::Extends(extension) => {
            let added: Vec<String> = extension.added.iter().map(|device| hex(device.dk.0)).collect();
            let removed: Vec<String> = extension.removed.iter().map(|dk| hex(dk.0)).collect();
            let mut shown = json!({ "verdict": "extends", "added": added, "removed": removed });
            let how = extension.key.map(|key| match key.how {
                Succession::Rotated => "rotated",
                Succession::HandedOver => "handed over",
            });
            add(&mut shown, "key", how.map(str::to_owned));
            Ok(shown)
        }
    }
}

pub(super) fn make_leaf(input: Input<'_>) -> Said {
    let ak = signer(input)?;
    made(
        &ak,
        Leaf {
            address: input.address("address")?,
            identity: Identity(input.fixed("identity")?),
            ak: ak.ak(),
            dk: DeviceKey(input.fixed("dk")?),
            number: input.number("number")?,
            hosted: input.truth("hosted")?,
        },
    )
}

pub(super) fn read_leaf(input: Input<'_>) -> Said {
    let signed = open::<Leaf>(&input.bytes("bytes")?)?;
    let leaf = signed.value();
    Ok(json!({
        "hash": hex(signed.hash().0), "address": leaf.address.to_string(), "identity": hex(leaf.identity.0),
        "ak": hex(leaf.ak.0), "dk": hex(leaf.dk.0), "number": number(leaf.number), "hosted": leaf.hosted,
    }))
}

pub(super) fn judge_leaf(input: Input<'_>) -> Said {
    let chain = chain(input)?;
    Ok(match chain.stands(&open(&input.bytes("bytes")?)?).map_err(broken)? {
        Standing::Current => json!({ "standing": "current" }),
        Standing::Revoked { by } => json!({ "standing": "revoked", "by": number(by) }),
        Standing::Ahead { after } => json!({ "standing": "ahead", "after": number(after) }),
    })
}

pub(super) fn make_keys(input: Input<'_>) -> Said {
    let ak = signer(input)?;
    made(
        &ak,
        KeyProof {
            t2: Hash(input.fixed("t2")?),
            author: input.address("author")?,
            other: input.address("other")?,
            identity: Identity(input.fixed("identity")?),
            ak: ak.ak(),
            number: input.number("number")?,
            list: Hash(input.fixed("list")?),
        },
    )
}

pub(super) fn read_keys(input: Input<'_>) -> Said {
    let signed = open::<KeyProof>(&input.bytes("bytes")?)?;
    let proof = signed.value();
    Ok(json!({
        "hash": hex(signed.hash().0), "t2": hex(proof.t2.0), "author": proof.author.to_string(),
        "other": proof.other.to_string(), "identity": hex(proof.identity.0), "ak": hex(proof.ak.0),
        "number": number(proof.number), "list": hex(proof.list.0),
    }))
}

pub(super) fn judge_keys(input: Input<'_>) -> Said {
    let chain = chain(input)?;
    let (ours, t2) = (input.address("ours")?, Hash(input.fixed("t2")?));
    Ok(match chain.proves(&ours, t2, &open(&input.bytes("bytes")?)?).map_err(broken)? {
        Proof::Good => json!({ "proof": "good" }),
        Proof::Ahead { after } => json!({ "proof": "ahead", "after": number(after) }),
    })
}

/// The chain of the lists of who has an address.
pub(super) fn chain(input: Input<'_>) -> Result<Chain, Not> {
    let lists = input.list("lists")?.iter().map(|value| as_bytes(value).ok_or_else(|| unfit("a list")));
    let mut lists = lists.collect::<Result<Vec<_>, Not>>()?.into_iter();
    let first = lists.next().ok_or_else(|| unfit("a first list"))?;
    let mut chain = Chain::begin(&input.address("whose")?, &open(&first)?).map_err(broken)?;
    for bytes in lists {
        match chain.judge(&open(&bytes)?).map_err(broken)? {
            Verdict::Extends(extension) => chain.take(*extension),
            Verdict::Known | Verdict::Gap { .. } => return Err(unfit("lists in order")),
        }
    }
    Ok(chain)
}

/// What is no fault of the bytes is one of the chain.
fn broken(fault: PeerFault) -> Not {
    let chain = matches!(fault, PeerFault::List(_) | PeerFault::Keys(_));
    if chain { Class::Chain.into() } else { fault.into() }
}

fn signer(input: Input<'_>) -> Result<AddressIdentity, Not> {
    Ok(AddressIdentity::new(&Secret::new(input.fixed("seed")?)))
}

fn made<S: Statement>(ak: &AddressIdentity, value: S) -> Said {
    let canonical = value.canonical();
    let signed: Signed<S> = ak.state(value).map_err(|misuse| Not::Understood(misuse.to_string()))?;
    Ok(json!({ "signed": hex(canonical), "bytes": hex(signed.bytes()), "hash": hex(signed.hash().0) }))
}

fn device(value: &Value) -> Result<Device, Not> {
    let input = Input(value);
    let name = input
        .maybe("name")
        .map(|_| DeviceName::parse(input.text("name")?).map_err(|why| Not::Understood(why.to_string())));
    Ok(Device {
        dk: DeviceKey(input.fixed("dk")?),
        caps: input.number("caps")?,
        added: Millis(input.number("added")?),
        name: name.transpose()?,
    })
}

fn show_device(device: &Device) -> Value {
    let mut shown = json!({ "dk": hex(device.dk.0), "caps": number(device.caps), "added": number(device.added.0) });
    add(&mut shown, "name", device.name.as_ref().map(|name| name.as_str().to_owned()));
    shown
}

/// Adds what there is something to say of.
fn add(shown: &mut Value, name: &str, value: Option<String>) {
    if let (Some(object), Some(value)) = (shown.as_object_mut(), value) {
        object.insert(name.to_owned(), value.into());
    }
}

fn unfit(what: &str) -> Not {
    Not::Understood(format!("want {what}"))
}
