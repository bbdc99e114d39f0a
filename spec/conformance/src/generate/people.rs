//! Device lists, leaves and key proofs: what each must be, what may follow what, and whose they are.

use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use super::mint::{malleable, nk, sign, small_order, unreduced};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

pub(super) const ANN: &str = "ann@a.example";
pub(super) const BOB: &str = "bob@b.example";
/// When a device was added.
const ADDED: u64 = 1_780_000_000_000;

fn sha(bytes: &[u8]) -> [u8; 32] {
    postline_core::store::sha256(&[bytes]).0
}

/// The identity of who began with this seed.
pub(super) fn identity(seed: u8) -> [u8; 32] {
    sha(&nk(seed))
}

/// What a list says of the key that follows.
fn next(seed: u8) -> [u8; 32] {
    sha(&nk(seed))
}

fn device(dk: u8) -> Value {
    json!({ "dk": hex([dk; 32]), "caps": 0, "added": ADDED })
}

/// A list in the making, as the members of `list.make`.
fn list(seed: u8, number: u64, prev: Option<&Value>) -> Value {
    let mut list = json!({ "seed": hex([seed; 32]), "identity": hex(identity(21)), "address": ANN, "number": number,
        "hosted": false, "devices": [device(0x31)], "revoked": [], "next": hex(next(22)) });
    if let (Some(list), Some(prev)) = (list.as_object_mut(), prev.and_then(|made| made.get("hash"))) {
        list.insert("prev".to_owned(), prev.clone());
    }
    list
}

/// The same with other members.
fn with(value: Value, more: Value) -> Value {
    let mut value = value;
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
    value
}

fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn bytes_of(value: &Value, name: &str) -> Vec<u8> {
    value.get(name).and_then(as_bytes).unwrap_or_default()
}

/// A statement of any bytes, signed in any role.
fn stated(seed: u8, label: &str, canonical: &[u8]) -> Vec<u8> {
    wrapped(canonical, &sign(seed, label, canonical))
}

fn wrapped(canonical: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::array_of(2);
    writer.bytes(canonical).bytes(signature);
    writer.into_bytes()
}

/// Ann's lists that are good, each with what was made of it.
pub(super) struct Lists {
    pub(super) first: Value,
    pub(super) second: Value,
    third: Value,
}

/// Makes them without saying so to anybody.
pub(super) fn lists() -> Lists {
    let make = |input: &Value| match crate::ours::answer("list.make", input) {
        crate::answer::Answer::Ok(value) => value,
        crate::answer::Answer::Error(_) | crate::answer::Answer::Unimplemented(_) => Value::Null,
    };
    let first = make(&list(21, 1, None));
    let second = make(&with(list(21, 2, Some(&first)), json!({ "devices": [device(0x31), device(0x32)] })));
    let more = json!({ "devices": [device(0x32), device(0x33)], "revoked": [hex([0x31; 32])], "next": hex(next(23)) });
    let third = make(&with(list(22, 3, Some(&second)), more));
    Lists { first, second, third }
}

pub(super) fn people() -> Making {
    let mut m = Making::new("people", "Device lists, leaves and key proofs: read, and judged by the lists before.");
    make(&mut m);
    read(&mut m);
    judge(&mut m);
    hosted(&mut m);
    leaves(&mut m);
    proofs(&mut m);
    m
}

fn make(m: &mut Making) {
    let Lists { first, second, .. } = lists();
    m.good("list.make", &["I-2", "I-3"], "the first list of the text", list(21, 1, None));
    let two = with(list(21, 2, Some(&first)), json!({ "devices": [device(0x31), device(0x32)] }));
    m.good("list.make", &["I-3"], "the second: a device more", two);
    let more = json!({ "devices": [device(0x32), device(0x33)], "revoked": [hex([0x31; 32])], "next": hex(next(23)) });
    m.good("list.make", &["I-3", "I-6"], "the third: under the next key", with(list(22, 3, Some(&second)), more));
    let named = json!({ "dk": hex([0x31; 32]), "caps": 1, "added": ADDED, "name": "Ann’s phone" });
    let more = json!({ "hosted": true, "devices": [named], "successor": hex(nk(24)) });
    m.good("list.make", &["I-3", "I-7"], "hosted, with a name and a successor", with(list(21, 1, None), more));
}

fn read(m: &mut Making) {
    let Lists { first, second, third } = lists();
    let ask = |bytes: &[u8]| json!({ "bytes": hex(bytes) });
    let bytes = bytes_of(&first, "bytes");
    for (shows, made) in [("the first list", &first), ("the second list", &second), ("the third list", &third)] {
        m.good("list.read", &["I-2", "I-3"], shows, ask(&bytes_of(made, "bytes")));
    }
    let canonical = bytes_of(&first, "signed");
    let signature: [u8; 64] = sign(21, "device list", &canonical);
    let (cut, _) = bytes.split_at(bytes.len() - 1);
    let (_, behind) = bytes.split_at(1);
    let (_, items) = canonical.split_at(1);
    let (_, behind_version) = canonical.split_at(2);
    let relabelled = |bytes: Vec<u8>| stated(21, "device list", &bytes);
    for (shows, bad) in [
        ("nothing", Vec::new()),
        ("cut", cut.to_vec()),
        ("a byte behind its end", [&bytes[..], &[0]].concat()),
        ("an array of indefinite length", [&[0x9f], behind, &[0xff]].concat()),
        ("the list without its wrapping", canonical.clone()),
        ("a signature of 63 bytes", wrapped(&canonical, signature.split_at(63).0)),
        ("ten items", relabelled([&[0x8a], items].concat())),
        ("twelve items", relabelled([&[0x8c], items, &[0xf6]].concat())),
        ("version 2", relabelled([&[0x8b, 2], behind_version].concat())),
        ("its version in two bytes", relabelled([&[0x8b, 0x18, 1], behind_version].concat())),
        ("a byte within, behind its end", relabelled([&canonical[..], &[0]].concat())),
    ] {
        m.bad("list.read", &["I-2"], shows, Class::Malformed, ask(&bad));
    }
    let mut odd = |shows: &str, input: Value| {
        let made = crate::ours::answer("list.make", &input);
        let bytes = if let crate::answer::Answer::Ok(made) = made { bytes_of(&made, "bytes") } else { Vec::new() };
        m.bad("list.read", &["I-3"], shows, Class::Malformed, ask(&bytes));
    };
    let base = || list(21, 1, None);
    odd("number 0", with(base(), json!({ "number": 0 })));
    odd("a first list behind another", with(base(), json!({ "prev": hex([9; 32]) })));
    odd("a second list behind none", with(base(), json!({ "number": 2 })));
    odd("a first list of another identity", with(base(), json!({ "identity": hex([9; 32]) })));
    odd("no device", with(base(), json!({ "devices": [] })));
    odd("seventeen devices", with(base(), json!({ "devices": (0x31..0x42).map(device).collect::<Vec<_>>() })));
    odd("devices out of order", with(base(), json!({ "devices": [device(0x32), device(0x31)] })));
    odd("a device twice", with(base(), json!({ "devices": [device(0x31), device(0x31)] })));
    odd("a device that is revoked", with(base(), json!({ "revoked": [hex([0x31; 32])] })));
    let gone = |count: u8| (0x80..0x80 + count).map(|at| hex([at; 32])).collect::<Vec<_>>();
    odd("revoked devices out of order", with(base(), json!({ "revoked": [hex([2; 32]), hex([1; 32])] })));
    odd("forty-nine revoked devices", with(base(), json!({ "revoked": gone(49) })));
    let ak = json!({ "dk": hex(nk(21)), "caps": 0, "added": 0 });
    odd("a device whose key is the AK", with(base(), json!({ "devices": [ak] })));
    odd("the same key to follow", with(base(), json!({ "next": hex(next(21)) })));
    odd("a successor of a key that is not hosted", with(base(), json!({ "successor": hex(nk(24)) })));
    odd("itself as successor", with(base(), json!({ "hosted": true, "successor": hex(nk(21)) })));
    for (shows, name) in [("empty", ""), ("too long", "abcdefghijklmnopqrstuvwxyz0123456"), ("with a tab", "a\tb")] {
        let bytes = list_with_name(name);
        m.bad("list.read", &["I-3"], &format!("a name {shows}"), Class::Malformed, ask(&bytes));
    }
    let full = with(
        list(21, 7, Some(&first)),
        json!({ "devices": (0x31..0x41).map(device).collect::<Vec<_>>(), "revoked": gone(48) }),
    );
    let made = m.good("list.make", &["I-3"], "as many devices, and as many revoked ones, as there may be", full);
    m.good("list.read", &["I-3"], "that list", ask(&bytes_of(&made, "bytes")));
    m.bad("list.read", &["I-2"], "4097 bytes", Class::TooBig, ask(&vec![0x82; 4097]));

    let (key, weak) = small_order();
    let as_if = |ak: &[u8]| {
        let at = canonical.windows(32).position(|window| window == nk(21)).unwrap_or_default();
        let (before, rest) = canonical.split_at(at);
        [before, ak, rest.split_at(32).1].concat()
    };
    let (odd_key, other_key) = (as_if(&unreduced(1)), as_if(&nk(23)));
    let number_two = bytes_of(&second, "signed");
    for (shows, bad) in [
        ("signed by another key", wrapped(&canonical, &sign(23, "device list", &canonical))),
        ("signed as a leaf", wrapped(&canonical, &sign(21, "leaf", &canonical))),
        ("another list's signature", wrapped(&number_two, &signature)),
        ("a scalar above the group order", wrapped(&canonical, &malleable(signature))),
        ("a signature of zeros", wrapped(&canonical, &[0; 64])),
    ] {
        m.bad("list.read", &["I-2", "K-3"], shows, Class::Signature, ask(&bad));
    }
    // Of these the identity is no longer the key's, so they are later lists.
    let later = |changed: &[u8]| {
        let mut bytes = changed.to_vec();
        let at = bytes.windows(2).position(|window| window == [0x01, 0xf6]).unwrap_or_default();
        let tail = bytes.split_off(at);
        [bytes, vec![0x02, 0x58, 0x20], vec![9; 32], tail.split_at(2).1.to_vec()].concat()
    };
    for (shows, bytes, signature) in [
        ("a key that isn't reduced", later(&odd_key), sign(21, "device list", &later(&odd_key))),
        ("a key and R of small order", later(&as_if(&key)), weak),
        ("another key in it", later(&other_key), sign(21, "device list", &later(&other_key))),
    ] {
        m.bad("list.read", &["I-2", "K-3"], shows, Class::Signature, ask(&wrapped(&bytes, &signature)));
    }
}

/// A list with a name that the product doesn't make.
fn list_with_name(name: &str) -> Vec<u8> {
    let mut writer = Writer::array_of(11);
    writer.u64(1).bytes(&identity(21)).str(ANN).u64(1).null().bytes(&nk(21)).bool(false);
    writer.array(4).bytes(&[0x31; 32]).u64(0).u64(ADDED).str(name).array(0).bytes(&next(22)).null();
    stated(21, "device list", &writer.into_bytes())
}

/// Asks what a list is to a chain.
fn ask(chain: &[&Value], list: &Value) -> Value {
    let lists: Vec<&Value> = chain.iter().map(|made| member(made, "bytes")).collect();
    json!({ "whose": ANN, "lists": lists, "bytes": member(list, "bytes") })
}

fn made(input: &Value) -> Value {
    match crate::ours::answer("list.make", input) {
        crate::answer::Answer::Ok(value) => value,
        crate::answer::Answer::Error(_) | crate::answer::Answer::Unimplemented(_) => Value::Null,
    }
}

fn judge(m: &mut Making) {
    let Lists { first, second, third } = lists();
    let both = [&first, &second];
    m.good("list.judge", &["I-5"], "a device more", ask(&[&first], &second));
    m.good("list.judge", &["I-5", "I-6"], "the next key, and who is revoked by it", ask(&both, &third));
    m.good("list.judge", &["I-8"], "the newest again", ask(&both, &second));
    m.good("list.judge", &["I-8"], "a list between is missing", ask(&[&first], &third));
    m.bad("list.judge", &["I-8"], "an older one", Class::Stale, ask(&both, &first));
    m.bad(
        "list.judge",
        &["I-8"],
        "much older, under the former key",
        Class::Stale,
        ask(&[&first, &second, &third], &first),
    );
    let devices = |keys: &[u8]| keys.iter().copied().map(device).collect::<Vec<_>>();
    let two = |more: Value| made(&with(list(21, 2, Some(&first)), more));
    let fork = two(json!({ "devices": devices(&[0x31, 0x39]) }));
    m.bad("list.judge", &["I-8"], "another one of that number", Class::Fork, ask(&both, &fork));
    m.bad(
        "list.judge",
        &["I-8"],
        "another one of an older number",
        Class::Fork,
        ask(&[&first, &second, &third], &fork),
    );
    let on_fork = made(&list(21, 3, Some(&fork)));
    m.bad("list.judge", &["I-8"], "one that builds on another", Class::Fork, ask(&both, &on_fork));
    let three = |seed: u8, more: Value| made(&with(list(seed, 3, Some(&second)), more));
    for (shows, list) in [
        ("a key that nobody named", three(29, json!({ "next": hex(next(23)) }))),
        (
            "an older number under a key that wasn't it",
            made(&with(list(22, 2, Some(&first)), json!({ "next": hex(next(23)) }))),
        ),
        ("another identity", made(&with(list(29, 1, None), json!({ "identity": hex(identity(29)) })))),
    ] {
        m.bad("list.judge", &["I-6", "I-9"], shows, Class::Key, ask(&both, &list));
    }
    let back = made(&with(
        list(21, 4, Some(&third)),
        json!({ "devices": devices(&[0x32, 0x33]), "revoked": [hex([0x31; 32])] }),
    ));
    m.bad("list.judge", &["I-6"], "the former key again", Class::Key, ask(&[&first, &second, &third], &back));
    let gone = [hex([0x31; 32])];
    for (shows, list) in [
        ("a device that left without a word", three(21, json!({ "devices": devices(&[0x32]) }))),
        (
            "who is revoked was no device",
            three(21, json!({ "devices": devices(&[0x31, 0x32]), "revoked": [hex([0x39; 32])] })),
        ),
        (
            "another next key under the same key",
            three(21, json!({ "devices": devices(&[0x31, 0x32]), "next": hex(next(29)) })),
        ),
        ("hosted all of a sudden", three(21, json!({ "devices": devices(&[0x31, 0x32]), "hosted": true }))),
        ("another address", three(21, json!({ "devices": devices(&[0x31, 0x32]), "address": "ann@c.example" }))),
        (
            "a device that was added at another time",
            three(21, json!({ "devices": [{ "dk": hex([0x31; 32]), "caps": 0, "added": 1 }, device(0x32)] })),
        ),
        (
            "a device that is hosted all of a sudden",
            three(21, json!({ "devices": [{ "dk": hex([0x31; 32]), "caps": 1, "added": ADDED }, device(0x32)] })),
        ),
    ] {
        m.bad("list.judge", &["I-5", "I-6", "I-7", "I-9"], shows, Class::Chain, ask(&both, &list));
    }
    let revoked = three(21, json!({ "devices": devices(&[0x32]), "revoked": gone }));
    m.good("list.judge", &["I-5"], "a device is revoked under the same key", ask(&both, &revoked));
    let revived = made(&with(list(21, 4, Some(&revoked)), json!({ "devices": devices(&[0x31, 0x32]) })));
    m.bad(
        "list.judge",
        &["I-5"],
        "who was revoked comes back",
        Class::Chain,
        ask(&[&first, &second, &revoked], &revived),
    );
    let renamed = json!([{ "dk": hex([0x31; 32]), "caps": 6, "added": ADDED, "name": "new" }, device(0x32)]);
    let renamed = three(21, json!({ "devices": renamed }));
    m.good("list.judge", &["I-5"], "another name, and what a device can", ask(&both, &renamed));
    m.bad("list.judge", &["I-4"], "a chain that begins with a second list", Class::Chain, ask(&[&second], &third));
    let elsewhere = made(&with(list(21, 1, None), json!({ "address": "ann@c.example" })));
    m.bad("list.judge", &["I-4"], "a chain of another address", Class::Chain, ask(&[&elsewhere], &second));
}

fn hosted(m: &mut Making) {
    let of = |seed: u8, number: u64, prev: Option<&Value>, more: Value| {
        let base = with(list(seed, number, prev), json!({ "hosted": true }));
        made(&with(base, more))
    };
    let first = of(21, 1, None, json!({}));
    let named = of(21, 2, Some(&first), json!({ "successor": hex(nk(24)) }));
    let own = json!({ "hosted": false, "next": hex(next(25)) });
    let third = of(24, 3, Some(&named), own.clone());
    m.good("list.judge", &["I-7"], "a hosted key names the person's own", ask(&[&first], &named));
    m.good("list.judge", &["I-7"], "and that key signs the next list", ask(&[&first, &named], &third));
    m.bad(
        "list.judge",
        &["I-7"],
        "a key that wasn't named",
        Class::Key,
        ask(&[&first], &of(24, 2, Some(&first), own.clone())),
    );
    m.bad(
        "list.judge",
        &["I-7"],
        "a key that another was named over",
        Class::Key,
        ask(&[&first, &named], &of(26, 3, Some(&named), own)),
    );
    m.bad(
        "list.judge",
        &["I-7"],
        "the hosted key after its last list",
        Class::Key,
        ask(&[&first, &named], &of(21, 3, Some(&named), json!({}))),
    );
    let still = of(24, 3, Some(&named), json!({ "next": hex(next(25)) }));
    m.bad("list.judge", &["I-7"], "named, and still hosted", Class::Chain, ask(&[&first, &named], &still));
    let not = of(21, 2, Some(&first), json!({ "hosted": false }));
    m.bad("list.judge", &["I-7"], "no longer hosted, under the same key", Class::Chain, ask(&[&first], &not));
    let next_hosted = of(22, 2, Some(&first), json!({ "next": hex(next(23)) }));
    m.good("list.judge", &["I-6", "I-7"], "a hosted key changes, and stays hosted", ask(&[&first], &next_hosted));
}

fn leaves(m: &mut Making) {
    let Lists { first, second, third } = lists();
    let leaf = |seed: u8, dk: u8, number: u64| {
        json!({ "seed": hex([seed; 32]), "address": ANN, "identity": hex(identity(21)),
        "dk": hex([dk; 32]), "number": number, "hosted": false })
    };
    let one = m.good("leaf.make", &["I-10"], "the leaf of the text", leaf(21, 0x31, 1));
    let bytes = bytes_of(&one, "bytes");
    let read = |bytes: &[u8]| json!({ "bytes": hex(bytes) });
    m.good("leaf.read", &["I-10"], "the leaf of the text", read(&bytes));
    let canonical = bytes_of(&one, "signed");
    let made = |input: &Value| match crate::ours::answer("leaf.make", input) {
        crate::answer::Answer::Ok(value) => value,
        crate::answer::Answer::Error(_) | crate::answer::Answer::Unimplemented(_) => Value::Null,
    };
    let (cut, _) = bytes.split_at(bytes.len() - 1);
    let two_jobs = with(leaf(21, 0, 1), json!({ "dk": hex(nk(21)) }));
    for (shows, bad) in [
        ("cut", cut.to_vec()),
        ("of list 0", bytes_of(&made(&leaf(21, 0x31, 0)), "bytes")),
        ("one key for two jobs", bytes_of(&made(&two_jobs), "bytes")),
        ("version 0", stated(21, "leaf", &[&[0x87, 0], canonical.split_at(2).1].concat())),
    ] {
        m.bad("leaf.read", &["I-10"], shows, Class::Malformed, read(&bad));
    }
    let wrong_role = wrapped(&canonical, &sign(21, "key proof", &canonical));
    m.bad("leaf.read", &["I-10", "K-2"], "signed as a key proof", Class::Signature, read(&wrong_role));
    m.bad("leaf.read", &["I-2"], "769 bytes", Class::TooBig, read(&vec![0x82; 769]));
    let all = [&first, &second, &third];
    let ask_leaf = |chain: &[&Value], input: &Value| ask(chain, &made(input));
    m.good("leaf.judge", &["I-10"], "a device now", ask_leaf(&[&first], &leaf(21, 0x31, 1)));
    m.good("leaf.judge", &["I-10"], "a device that a later list brought", ask_leaf(&all, &leaf(21, 0x32, 2)));
    m.good("leaf.judge", &["I-10"], "a device that was revoked since", ask_leaf(&all, &leaf(21, 0x31, 2)));
    m.good("leaf.judge", &["I-10"], "a list that isn't known yet", ask_leaf(&[&first], &leaf(21, 0x32, 2)));
    for (shows, input) in [
        ("no device of the list", leaf(21, 0x39, 1)),
        ("before the list had it", leaf(21, 0x32, 1)),
        ("after it was revoked", leaf(22, 0x31, 3)),
        ("hosted, as the list doesn't say", with(leaf(21, 0x31, 1), json!({ "hosted": true }))),
        ("another address", with(leaf(21, 0x31, 1), json!({ "address": BOB }))),
    ] {
        m.bad("leaf.judge", &["I-10"], shows, Class::Chain, ask_leaf(&all, &input));
    }
    for (shows, input) in [
        ("the former key, for a list after it", leaf(21, 0x32, 3)),
        ("the next key, for a list before it", leaf(22, 0x32, 2)),
        ("a key that is nobody's", leaf(29, 0x31, 1)),
        ("another identity", with(leaf(21, 0x31, 1), json!({ "identity": hex([9; 32]) }))),
    ] {
        m.bad("leaf.judge", &["I-10"], shows, Class::Key, ask_leaf(&all, &input));
    }
}

fn proofs(m: &mut Making) {
    let Lists { first, second, third } = lists();
    let t2 = [0x72; 32];
    let proof = |seed: u8, number: u64, list: &Value| {
        json!({ "seed": hex([seed; 32]), "t2": hex(t2), "author": ANN,
        "other": BOB, "identity": hex(identity(21)), "number": number, "list": member(list, "hash") })
    };
    let one = m.good("keys.make", &["I-11"], "the key proof of the text", proof(21, 1, &first));
    let bytes = bytes_of(&one, "bytes");
    let canonical = bytes_of(&one, "signed");
    let read = |bytes: &[u8]| json!({ "bytes": hex(bytes) });
    m.good("keys.read", &["I-11"], "the key proof of the text", read(&bytes));
    let made = |input: &Value| match crate::ours::answer("keys.make", input) {
        crate::answer::Answer::Ok(value) => value,
        crate::answer::Answer::Error(_) | crate::answer::Answer::Unimplemented(_) => Value::Null,
    };
    let (cut, _) = bytes.split_at(bytes.len() - 1);
    for (shows, bad) in [
        ("cut", cut.to_vec()),
        ("with oneself", bytes_of(&made(&with(proof(21, 1, &first), json!({ "other": ANN }))), "bytes")),
        ("of list 0", bytes_of(&made(&proof(21, 0, &first)), "bytes")),
    ] {
        m.bad("keys.read", &["I-11"], shows, Class::Malformed, read(&bad));
    }
    let wrong_role = wrapped(&canonical, &sign(21, "device list", &canonical));
    m.bad("keys.read", &["I-11", "K-2"], "signed as a device list", Class::Signature, read(&wrong_role));
    m.bad("keys.read", &["I-2"], "1025 bytes", Class::TooBig, read(&vec![0x82; 1025]));
    let judged =
        |chain: &[&Value], input: &Value| with(ask(chain, &made(input)), json!({ "ours": BOB, "t2": hex(t2) }));
    let all = [&first, &second, &third];
    m.good("keys.judge", &["I-11"], "of the first list", judged(&[&first], &proof(21, 1, &first)));
    m.good("keys.judge", &["I-11"], "of an older list, under the former key", judged(&all, &proof(21, 2, &second)));
    m.good("keys.judge", &["I-11"], "of a list that isn't known yet", judged(&[&first], &proof(22, 3, &third)));
    m.bad("keys.judge", &["I-11"], "of another list of that number", Class::Fork, judged(&all, &proof(21, 2, &first)));
    for (shows, input) in [
        ("another handshake", with(proof(21, 1, &first), json!({ "t2": hex([0x73; 32]) }))),
        ("to another person", with(proof(21, 1, &first), json!({ "other": "eve@e.example" }))),
        ("sent back to its author", with(proof(21, 1, &first), json!({ "author": BOB, "other": ANN }))),
    ] {
        m.bad("keys.judge", &["I-11"], shows, Class::Chain, judged(&all, &input));
    }
    for (shows, input) in [
        ("a key that is nobody's", proof(29, 1, &first)),
        ("the former key, for a list after it", proof(21, 3, &third)),
        ("another identity", with(proof(21, 1, &first), json!({ "identity": hex([9; 32]) }))),
    ] {
        m.bad("keys.judge", &["I-11"], shows, Class::Key, judged(&all, &input));
    }
}
