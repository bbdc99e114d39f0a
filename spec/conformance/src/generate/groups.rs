//! A whole group as our deterministic runs make it, and what goes with each message.

use postline_core::id::{Address, Hash};
use postline_core::seal::mls::{self, Group, KnownHead, Me};
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::step::{Outbox, Tick};
use postline_core::time::Millis;
use postline_core::wire::cbor::{Reader, Writer};
use postline_core::wire::leaf::Leaf;
use postline_core::wire::log::{Change, direct};
use postline_core::wire::statement::Signed;
use serde_json::{Value, json};

use super::Making;
use super::frames::cbor;
use crate::answer::Class;
use crate::input::hex;

const NOW: Millis = Millis(1_780_000_000_000);
const T2: Hash = Hash([0x72; 32]);

pub(super) fn groups() -> Making {
    let mut m = Making::new(
        "groups",
        "Sealed conversations: what goes with a message in the clear, how long it is, and a group as one who joins it sees it.",
    );
    aads(&mut m);
    for length in [0, 1, 63, 64, 127, 128, 255, 256, 511, 512, 1_023, 1_024, 2_047, 2_048, 16_384] {
        m.good("padding.length", &["G-7"], "a content of this length, padded", json!({ "length": length }));
    }
    match run() {
        Some(run) => transcripts(&mut m, &run),
        None => m.wrong.push("the run of a group failed".to_owned()),
    }
    m
}

fn aads(m: &mut Making) {
    let talk = hex(direct(T2).0);
    let ids = ["G-6"];
    for (shows, aad) in [
        ("no head known", json!({ "conversation": talk, "generation": 0 })),
        ("a head", json!({ "conversation": talk, "generation": 300, "seq": 7, "hash": hex([0x79; 32]) })),
        (
            "the last generation there could be",
            json!({ "conversation": talk, "generation": u32::MAX, "seq": "18446744073709551615", "hash": hex([0; 32]) }),
        ),
    ] {
        let made = m.good("aad.make", &ids, shows, aad);
        m.good("aad.read", &ids, shows, json!({ "bytes": made.get("bytes") }));
    }
    let aad = |items: u64, talk: usize, generation: u64, rest: &dyn Fn(&mut Writer)| {
        cbor(|w| {
            w.array(items).bytes(&vec![1; talk]).u64(generation);
            rest(w);
        })
    };
    let none = |w: &mut Writer| {
        w.null().null();
    };
    let head = |items: u64, hash: usize| {
        move |w: &mut Writer| {
            w.array(items).u64(7).bytes(&vec![7; hash]);
            for _ in 2..items {
                w.u64(0);
            }
            w.null();
        }
    };
    let good = aad(4, 32, 0, &none);
    let (cut, _) = good.split_at(good.len() - 1);
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("cut", cut.to_vec()),
        ("a byte behind its end", [good.as_slice(), &[0]].concat()),
        ("a generation above 32 bits", aad(4, 32, 1 << 32, &none)),
        ("half a conversation", aad(4, 16, 0, &none)),
        ("a head of three items", aad(4, 32, 0, &head(3, 32))),
        ("a head of half a hash", aad(4, 32, 0, &head(2, 16))),
        (
            "a franking that isn't null",
            aad(4, 32, 0, &|w| {
                w.null().u64(0);
            }),
        ),
        (
            "five items",
            aad(5, 32, 0, &|w| {
                w.null().null().null();
            }),
        ),
        ("its head in two bytes", [&[0x98, 4][..], good.get(1..).unwrap_or_default()].concat()),
    ] {
        m.bad("aad.read", &ids, shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
    }
}

struct Device {
    seed: [u8; 32],
    identity: DeviceIdentity,
    leaf: Signed<Leaf>,
}

impl Device {
    fn new(seed: u8, address: &str) -> Option<Self> {
        let (ak, seed) = (AddressIdentity::new(&Secret::new([seed; 32])), [seed + 16; 32]);
        let identity = DeviceIdentity::new(&Secret::new(seed));
        let (address, dk) = (Address::parse(address).ok()?, identity.dk());
        let leaf = Leaf { address, identity: ak.ak().identity(), ak: ak.ak(), dk, number: 1, hosted: false };
        Some(Self { seed, identity, leaf: ak.state(leaf).ok()? })
    }

    const fn me(&self) -> Me<'_> {
        Me { device: &self.identity, leaf: &self.leaf }
    }
}

/// A group that Ann makes: with Bob, who says everything; later with a device of Bob's more.
struct Run {
    joiner: Value,
    messages: Vec<Vec<u8>>,
    commit: Vec<u8>,
    after: Vec<u8>,
    elsewhere: Vec<u8>,
}

fn run() -> Option<Run> {
    let tick = |n: u8| Tick { now: NOW, entropy: [n; 32] };
    let (ann, bob, other) =
        (Device::new(0x15, "ann@a.example")?, Device::new(0x1b, "bob@b.example")?, Device::new(0x1c, "bea@b.example")?);
    let made = mls::make(&tick(1), 0, bob.me(), false).ok()?;
    let (init_key, leaf_key) = secrets(made.record().value.as_deref()?)?;
    let packages = [mls::read(&made.public, NOW).ok()?];
    let mut out = Outbox::<()>::new();
    let create = Group::create(&tick(2), ann.me(), direct(T2), T2, &packages, &mut out).ok()?;
    let (mut group, Change { welcome, .. }) = create;
    let head = KnownHead { seq: 1, hash: Hash([0x79; 32]) };
    let said: [(u8, Option<KnownHead>, &[u8]); 3] = [(3, None, b"one"), (4, Some(head), &[b'x'; 200]), (5, None, b"")];
    let messages = said.map(|(n, head, text)| group.seal(&tick(n), head, text, &mut out).ok());
    let more = mls::make(&tick(6), 0, other.me(), false).ok()?;
    let more = [mls::read(&more.public, NOW).ok()?];
    let Change { commit, .. } = group.commit(&tick(7), ann.me(), &more, &[], &mut out).ok()?;
    group.merge(&tick(8), &mut out).ok()?;
    let after = group.seal(&tick(9), Some(head), b"after", &mut out).ok()?;
    // The same of another line.
    let t2 = Hash([0x73; 32]);
    let (mut elsewhere, _) = Group::create(&tick(2), ann.me(), direct(t2), t2, &packages, &mut out).ok()?;
    let elsewhere = elsewhere.seal(&tick(3), None, b"one", &mut out).ok()?;
    let joiner = json!({
        "seed": hex(bob.seed), "leaf": hex(bob.leaf.bytes()), "package": hex(&made.public), "init_key": hex(init_key),
        "leaf_key": hex(leaf_key), "t2": hex(T2.0), "now": NOW.0, "welcome": hex(welcome?),
    });
    Some(Run { joiner, messages: messages.into_iter().collect::<Option<_>>()?, commit, after, elsewhere })
}

/// The two secret keys of a key package, of its record.
fn secrets(record: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = Reader::new(record);
    reader.array_of(3).ok()?;
    reader.u64().ok()?;
    reader.bool().ok()?;
    // A package, two keys of 32 bytes with their lengths, and a time of 8.
    let (_, keys) = reader.bytes().ok()?.split_last_chunk::<74>()?;
    Some((keys.get(1..33)?.to_vec(), keys.get(34..66)?.to_vec()))
}

fn transcripts(m: &mut Making, run: &Run) {
    let Run { joiner, messages, commit, after, elsewhere } = run;
    let with = |name: &str, value: Value, log: &[&Vec<u8>]| {
        let mut input = joiner.clone();
        if let Some(members) = input.as_object_mut() {
            members.insert("log".to_owned(), log.iter().map(hex).collect::<Vec<_>>().into());
            members.insert(name.to_owned(), value);
        }
        input
    };
    let log = |log: &[&Vec<u8>]| with("now", json!(NOW.0), log);
    let [first, second, third] = messages.as_slice() else { return };
    let ids = ["G-3", "G-4", "G-6"];
    m.good("group.open", &ids, "a group that is joined", log(&[]));
    m.good("group.open", &ids, "messages, a commit, a message", log(&[first, second, third, commit, after]));
    m.good("group.open", &["G-8"], "messages backwards", log(&[third, second, first]));
    m.good("group.open", &["G-8"], "a message of the epoch before", log(&[commit, first, after]));
    let changed = |bytes: &Vec<u8>, at: usize| {
        let mut bytes = bytes.clone();
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        bytes
    };
    let ids = ["G-4", "G-6", "G-8"];
    let last = first.len() - 1;
    let mut bad = |shows: &str, input: Value| m.bad("group.open", &ids, shows, Class::Malformed, input);
    bad("a message twice", log(&[first, first]));
    bad("a message of the next epoch, before its commit", log(&[after]));
    bad("a commit twice", log(&[commit, commit]));
    bad("a message of another conversation", log(&[elsewhere]));
    for (shows, bytes) in [
        ("a message changed in its last bit", changed(first, last)),
        ("a message changed in its authenticated data", changed(first, 60)),
        ("a commit changed in its last bit", changed(commit, commit.len() - 1)),
        ("a message cut", first.split_at(last).0.to_vec()),
        ("a message with a byte behind its end", [first.as_slice(), &[0]].concat()),
        ("no message", Vec::new()),
    ] {
        bad(shows, log(&[&bytes]));
    }
    bad("another handshake", with("t2", json!(hex([0x73; 32])), &[]));
    bad("another init key", with("init_key", json!(hex([9; 32])), &[]));
    bad("a Welcome that is none", with("welcome", json!(hex(first)), &[]));
    bad("a package out of its lifetime", with("now", json!(NOW.0 + 200 * 86_400_000), &[]));
}
