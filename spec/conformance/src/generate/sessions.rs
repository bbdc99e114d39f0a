//! Sessions: the Hellos of a device and of its node, the proofs over both, and the channel of a browser.

use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use super::frames::cbor;
use super::mint::{malleable, nk, sign, sign_raw, small_order};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

const CHANNEL: [u8; 32] = [0xee; 32];
/// The seed of the text's device.
const DEVICE: u8 = 3;

pub(super) fn sessions() -> Making {
    let mut m = Making::new(
        "sessions",
        "What opens a session: a device's Hello and its node's, the proofs over both, and what stands for the channel in a browser.",
    );
    let device = device_hellos(&mut m);
    let node = node_hellos(&mut m);
    proofs(&mut m, &device, &node);
    for (shows, host) in [("a browser's channel", "chat.a.example"), ("of another host", "chat.b.example")] {
        m.good("session.browser", &["U-4"], shows, json!({ "host": host }));
    }
    m
}

fn bytes_of(value: &Value, name: &str) -> Vec<u8> {
    value.get(name).and_then(as_bytes).unwrap_or_default()
}

/// A Hello's items: how many its array says, those before the extensions, and the extensions' bytes.
fn hello(items: u64, write: impl FnOnce(&mut Writer), extensions: &[u8]) -> Vec<u8> {
    let mut bytes = cbor(|w| {
        w.array(items);
        write(w);
    });
    bytes.extend_from_slice(extensions);
    bytes
}

#[derive(Clone, Copy)]
struct Device<'a> {
    version: u64,
    address: &'a str,
    dk: &'a [u8],
    fresh: &'a [u8],
    extensions: &'a [u8],
}

impl Device<'_> {
    fn bytes(self) -> Vec<u8> {
        self.with(|w| {
            w.bool(true).u64(0);
        })
    }

    /// With these items for `enrols` and `posted`.
    fn with(self, rest: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let head = |w: &mut Writer| {
            w.u64(self.version).str(self.address).bytes(self.dk).bytes(self.fresh);
            rest(w);
        };
        hello(7, head, self.extensions)
    }
}

fn device_hellos(m: &mut Making) -> Vec<u8> {
    let dk = nk(DEVICE);
    let make =
        json!({ "address": "one@a.example", "dk": hex(dk), "fresh": hex([0x55; 32]), "enrols": true, "posted": 0 });
    let ids = ["U-3"];
    let made = bytes_of(&m.good("session.device.make", &ids, "the device's, of the text", make.clone()), "bytes");
    for (shows, version, enrols, posted, extensions) in [
        ("a device that is known", 1, false, json!(300), json!([])),
        ("of a later version, with an extension", 2, true, json!("18446744073709551615"), json!([[300, "6c61746572"]])),
    ] {
        let mut other = make.clone();
        if let Some(other) = other.as_object_mut() {
            other.extend([
                ("version".to_owned(), json!(version)),
                ("enrols".to_owned(), json!(enrols)),
                ("posted".to_owned(), posted),
                ("extensions".to_owned(), extensions),
            ]);
        }
        let bytes = bytes_of(&m.good("session.device.make", &ids, shows, other), "bytes");
        m.good("session.device.read", &ids, shows, json!({ "bytes": hex(bytes) }));
    }
    let good = Device { version: 1, address: "one@a.example", dk: &dk, fresh: &[0x55; 32], extensions: &[0xa0] };
    let long = format!("{}@{1}.{1}.{1}.{2}", "l".repeat(64), "a".repeat(63), "b".repeat(61));
    let filler = |len: u16| [&[0xa1, 0x01, 0x59], &len.to_be_bytes()[..], &vec![0; usize::from(len)]].concat();
    // 87 bytes with an empty map, and 91 and the filler with one that has three heads.
    let (fits, over) = (filler(1024 - 91), filler(1024 - 90));
    for (shows, bytes) in [
        ("the device's, of the text", made.clone()),
        ("the longest address", Device { address: &long, ..good }.bytes()),
        ("a key that is no point", Device { dk: &[2; 32], ..good }.bytes()),
        ("1024 bytes", Device { extensions: &fits, ..good }.bytes()),
    ] {
        m.good("session.device.read", &ids, shows, json!({ "bytes": hex(bytes) }));
    }
    let read = |bytes: Vec<u8>| json!({ "bytes": hex(bytes) });
    let over = Device { extensions: &over, ..good }.bytes();
    m.bad("session.device.read", &ids, "1025 bytes", Class::TooBig, read(over));
    m.bad("session.device.read", &ids, "version 0", Class::Version, read(Device { version: 0, ..good }.bytes()));
    for (shows, bytes) in [
        ("31 bytes for a key", Device { dk: &[7; 31], ..good }.bytes()),
        ("33 fresh bytes", Device { fresh: &[7; 33], ..good }.bytes()),
        ("an address in capitals", Device { address: "one@A.example", ..good }.bytes()),
        ("no address", Device { address: "", ..good }.bytes()),
        ("a domain for an address", Device { address: "a.example", ..good }.bytes()),
        (
            "a number for whether it enrols",
            good.with(|w| {
                w.u64(1).u64(0);
            }),
        ),
        (
            "no number that it posted under",
            good.with(|w| {
                w.bool(true).null();
            }),
        ),
        ("no map", Device { extensions: &[0xf6], ..good }.bytes()),
        ("extensions out of order", Device { extensions: &[0xa2, 2, 0x40, 1, 0x40], ..good }.bytes()),
        ("an extension twice", Device { extensions: &[0xa2, 1, 0x40, 1, 0x40], ..good }.bytes()),
        ("an extension that is a text", Device { extensions: &[0xa1, 1, 0x61, 0x61], ..good }.bytes()),
    ] {
        m.bad("session.device.read", &ids, shows, Class::Malformed, read(bytes));
    }
    wrapped(m, "session.device.read", &made);
    made
}

/// What no Hello may be.
fn wrapped(m: &mut Making, op: &str, good: &[u8]) {
    let (cut, _) = good.split_at(good.len() - 1);
    let (head, behind) = good.split_at(1);
    let first = head.first().copied().unwrap_or_default();
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("cut", cut.to_vec()),
        ("a byte behind its end", [good, &[0]].concat()),
        ("an item more", [&[first + 1], behind, &[0]].concat()),
        ("an item less", [&[first - 1], cut.split_at(1).1].concat()),
        ("an array of indefinite length", [&[0x9f], behind, &[0xff]].concat()),
        ("an array's head in two bytes", [&[0x98, first & 31], behind].concat()),
        ("its version in two bytes", [&[first, 0x18, 1], behind.split_at(1).1].concat()),
    ] {
        m.bad(op, &["U-3"], shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
    }
}

fn node_hellos(m: &mut Making) -> Vec<u8> {
    let ids = ["U-3"];
    let make = json!({ "nk": hex(nk(1)), "fresh": hex([0x66; 32]) });
    let made = bytes_of(&m.good("session.node.make", &ids, "the node's, of the text", make), "bytes");
    let former = json!({ "nk": hex(nk(2)), "fresh": hex([0x66; 32]), "extensions": [[1, hex(nk(1))]] });
    let other = m.good("session.node.make", &["U-3", "K-6"], "a node that has changed its key", former);
    m.good(
        "session.node.read",
        &["U-3", "K-6"],
        "a node that has changed its key",
        json!({ "bytes": other.get("bytes") }),
    );
    m.good("session.node.read", &ids, "the node's, of the text", json!({ "bytes": hex(&made) }));
    let node = |version: u64, key: usize, fresh: usize, extensions: &[u8]| {
        let write = |w: &mut Writer| {
            w.u64(version).bytes(&vec![7; key]).bytes(&vec![8; fresh]);
        };
        hello(4, write, extensions)
    };
    let sixteen: Vec<u8> = [0xb0].into_iter().chain((0..16).flat_map(|at| [at, 0x40])).collect();
    let seventeen: Vec<u8> = [0xb1].into_iter().chain((0..17).flat_map(|at| [at, 0x40])).collect();
    let filler = |len: u16| [&[0xa1, 0x01, 0x59], &len.to_be_bytes()[..], &vec![0; usize::from(len)]].concat();
    // 71 bytes with an empty map, and 75 and the filler with one that has three heads.
    for (shows, bytes) in [
        ("the last version there could be", node(u64::MAX, 32, 32, &[0xa0])),
        ("sixteen extensions", node(1, 32, 32, &sixteen)),
        ("1024 bytes, of which an extension names no key", node(1, 32, 32, &filler(1024 - 75))),
    ] {
        m.good("session.node.read", &ids, shows, json!({ "bytes": hex(bytes) }));
    }
    let read = |bytes: Vec<u8>| json!({ "bytes": hex(bytes) });
    m.bad("session.node.read", &ids, "1025 bytes", Class::TooBig, read(node(1, 32, 32, &filler(1024 - 74))));
    m.bad("session.node.read", &ids, "version 0", Class::Version, read(node(0, 32, 32, &[0xa0])));
    for (shows, bytes) in [
        ("31 bytes for a key", node(1, 31, 32, &[0xa0])),
        ("31 fresh bytes", node(1, 32, 31, &[0xa0])),
        ("seventeen extensions", node(1, 32, 32, &seventeen)),
        ("a map of indefinite length", node(1, 32, 32, &[0xbf, 0xff])),
    ] {
        m.bad("session.node.read", &ids, shows, Class::Malformed, read(bytes));
    }
    wrapped(m, "session.node.read", &made);
    made
}

fn proofs(m: &mut Making, device: &[u8], node: &[u8]) {
    let hellos = |end: &str, device: &[u8], node: &[u8], channel: [u8; 32]| json!({ "end": end, "device": hex(device), "node": hex(node), "channel": hex(channel) });
    let with = |mut input: Value, name: &str, bytes: &[u8]| {
        if let Some(input) = input.as_object_mut() {
            input.insert(name.to_owned(), hex(bytes).into());
        }
        input
    };
    let of = |end: &str| hellos(end, device, node, CHANNEL);
    let ids = ["U-4", "K-2"];
    let theirs = m.good("session.proof.sign", &ids, "the node's, of the text", with(of("node"), "seed", &[1; 32]));
    let ours =
        m.good("session.proof.sign", &ids, "the device's, of the text", with(of("device"), "seed", &[DEVICE; 32]));
    let signed = bytes_of(&ours, "signed");
    let (theirs, ours) = (bytes_of(&theirs, "signature"), bytes_of(&ours, "signature"));
    let ask = |input: Value, key: [u8; 32], signature: &[u8]| with(with(input, "key", &key), "signature", signature);
    let (dk, nk) = (nk(DEVICE), nk(1));
    let ids = ["U-4", "K-3"];
    m.good("session.proof.verify", &ids, "the node's", ask(of("node"), nk, &theirs));
    m.good("session.proof.verify", &ids, "the device's", ask(of("device"), dk, &ours));
    let (short, _) = ours.split_at(63);
    let whole: [u8; 64] = ours.clone().try_into().unwrap_or([0; 64]);
    let (weak, weak_signature) = small_order();
    let mut edited = device.to_vec();
    edited.iter_mut().skip(1).take(1).for_each(|version| *version = 2);
    for (shows, input) in [
        ("sent back to its author", ask(of("device"), nk, &theirs)),
        ("the other end's", ask(of("node"), dk, &ours)),
        ("another key", ask(of("device"), nk, &ours)),
        ("another connection", ask(hellos("device", device, node, [0xef; 32]), dk, &ours)),
        ("the Hellos exchanged", ask(hellos("device", node, device, CHANNEL), dk, &ours)),
        ("a version that was edited on the way", ask(hellos("device", &edited, node, CHANNEL), dk, &ours)),
        ("no label", ask(of("device"), dk, &sign_raw(DEVICE, &signed))),
        ("the label of a link's proof", ask(of("device"), dk, &sign(DEVICE, "proof dialler", &signed))),
        ("63 bytes", ask(of("device"), dk, short)),
        ("a scalar above the group order", ask(of("device"), dk, &malleable(whole))),
        ("key and R of small order", ask(of("device"), weak, &weak_signature)),
    ] {
        m.bad("session.proof.verify", &ids, shows, Class::Signature, input);
    }
}
