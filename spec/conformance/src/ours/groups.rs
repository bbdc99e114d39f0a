//! Sealed conversations: what goes with a message, how long it is, and a whole group as one who joins it sees it.

use postline_core::fault::PeerFault;
use postline_core::id::Hash;
use postline_core::seal::mls::padding::bucket;
use postline_core::seal::mls::{Aad, Group, KnownHead, Me, read};
use postline_core::seal::{DeviceIdentity, Secret, address};
use postline_core::step::{Outbox, Tick};
use postline_core::time::Millis;
use postline_core::wire::cbor::Writer;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::log::direct;
use serde_json::{Value, json};

use super::{Not, Said, talk};
use crate::answer::Class;
use crate::input::{Input, as_bytes, hex, number};

pub(super) fn padded(input: Input<'_>) -> Said {
    let length = usize::try_from(input.number("length")?).map_err(|_| Not::Understood("no length".to_owned()))?;
    Ok(json!({ "length": bucket(length) }))
}

pub(super) fn make_aad(input: Input<'_>) -> Said {
    let head = match input.maybe("seq") {
        Some(_) => Some(KnownHead { seq: input.number("seq")?, hash: Hash(input.fixed("hash")?) }),
        None => None,
    };
    let generation =
        u32::try_from(input.number("generation")?).map_err(|_| Not::Understood("no generation".to_owned()))?;
    let aad = Aad { conversation: talk::conversation(input)?, generation, head };
    Ok(json!({ "bytes": hex(aad.to_bytes()) }))
}

pub(super) fn read_aad(input: Input<'_>) -> Said {
    Ok(shown_aad(&Aad::parse(&input.bytes("bytes")?)?))
}

fn shown_aad(aad: &Aad) -> Value {
    let mut shown = json!({ "conversation": hex(aad.conversation.0), "generation": aad.generation });
    if let (Some(members), Some(head)) = (shown.as_object_mut(), aad.head) {
        members.extend([("seq".to_owned(), number(head.seq)), ("hash".to_owned(), hex(head.hash.0).into())]);
    }
    shown
}

/// Joins a group by its Welcome, and takes what follows in its log.
pub(super) fn open(input: Input<'_>) -> Said {
    let (device, leaf) = (DeviceIdentity::new(&Secret::new(input.fixed("seed")?)), input.bytes("leaf")?);
    let leaf = address::open::<Leaf>(&leaf)?;
    let (t2, now) = (Hash(input.fixed("t2")?), Millis(input.number("now")?));
    let tick = Tick { now, entropy: [7; 32] };
    let package = input.bytes("package")?;
    let reference = read(&package, now).map_err(refused)?.reference();
    let secret = kept(&package, &input.fixed("init_key")?, &input.fixed("leaf_key")?);
    let look = |named| Some(secret.clone()).filter(|_| named == reference);
    let (me, mut out) = (Me { device: &device, leaf: &leaf }, Outbox::<()>::new());
    let welcome = input.bytes("welcome")?;
    let group = Group::join(&tick, me, &welcome, look, t2, direct(t2), &mut |_| Ok(()), &mut out);
    let mut group = group.map_err(refused)?;
    let mut said = Vec::new();
    for bytes in input.list("log")? {
        let bytes = as_bytes(bytes).ok_or_else(|| Not::Understood("a log of bytes".to_owned()))?;
        // The wire format behind the version (RFC 9420 §6): 1 is a commit of ours, 2 a message.
        if bytes.get(2..4) == Some(&[0, 1]) {
            group.apply(&tick, &bytes, &mut |_| Ok(()), &mut out).map_err(refused)?;
        } else {
            let opened = group.open(&tick, &bytes, &mut out).map_err(refused)?;
            said.push(json!({
                "dk": hex(opened.member.dk.0), "epoch": number(opened.epoch), "plain": hex(opened.plaintext),
                "aad": shown_aad(&opened.aad),
            }));
        }
    }
    let members: Vec<String> = group.members().iter().map(|member| hex(member.dk.0)).collect();
    let authenticator = group.authenticator().map_err(|why| Not::Understood(why.to_string()))?;
    Ok(json!({
        "conversation": hex(group.conversation().0), "epoch": number(group.epoch()), "members": members,
        "authenticator": hex(authenticator.expose()), "tree_hash": hex(group.tree_hash().0), "said": said,
    }))
}

/// What doesn't open is one class, whatever is wrong with it.
fn refused(_: PeerFault) -> Not {
    Class::Malformed.into()
}

/// The record of a key package, made of its parts.
fn kept(package: &[u8], init_key: &[u8; 32], leaf_key: &[u8; 32]) -> Vec<u8> {
    // Behind the version and the wire format of the `MLSMessage`, the package itself; lengths as RFC 9420 §2.1.2 has them.
    let bare = package.get(4..).unwrap_or_default();
    let length = u16::try_from(bare.len()).unwrap_or_default() | 0x4000;
    let data = [&length.to_be_bytes()[..], bare, &[32], init_key, &[32], leaf_key, &u64::MAX.to_be_bytes()].concat();
    let mut writer = Writer::array_of(3);
    writer.u64(1).bool(false).bytes(&data);
    writer.into_bytes()
}
