//! Logs of conversations: their ids, chains and signed heads, and what a Create or a Commit brings.

use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use super::frames::cbor;
use super::mint::{malleable, nk, sign, small_order};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

/// T2 of the handshake that chapter 02 shows.
const T2: &str = "f0e966f45b5aefa2e4e4e937a91f0c184cf1f1c0b0b52d8b7fc9c9cdaf26bc08";

pub(super) fn logs() -> Making {
    let mut m = Making::new(
        "logs",
        "Logs of conversations: ids, tags of devices, chains, heads and their one signature, and what a Create or a Commit brings.",
    );
    let talk = ids(&mut m);
    let head = chains(&mut m, &talk);
    signatures(&mut m, &head);
    changes(&mut m);
    m
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The value with one member more, or another one in its place.
fn with(value: &Value, name: &str, member: Value) -> Value {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
    value
}

fn ids(m: &mut Making) -> String {
    let made = m.good("log.direct", &["H-2"], "the id of a direct conversation", json!({ "t2": T2 }));
    m.good("log.direct", &["H-2"], "of another handshake", json!({ "t2": hex([0x71; 32]) }));
    let talk = text(&made, "conversation");
    let tag = |dk: u8, talk: &str| json!({ "conversation": talk, "dk": hex(nk(dk)) });
    m.good("log.tag", &["H-3"], "a device's tag", tag(3, &talk));
    m.good("log.tag", &["H-3"], "another device's", tag(4, &talk));
    m.good("log.tag", &["H-3"], "the same device's elsewhere", tag(3, &hex([0x77; 32])));
    talk
}

/// The head of the log that the chapter shows.
fn chains(m: &mut Making, talk: &str) -> Value {
    let create = json!({ "term": 0, "seq": 1, "kind": 0, "epoch": 0,
        "members": ["one@a.example", "two@b.example"], "bytes": hex("create") });
    let commit = json!({ "term": 0, "seq": 2, "kind": 1, "epoch": 1, "members": [], "bytes": hex("commit") });
    let message = json!({ "term": 0, "seq": 3, "kind": 2, "epoch": 2, "members": [], "bytes": hex("message") });
    let ask = |entries: &[&Value]| json!({ "conversation": talk, "entries": entries });
    let ids = ["H-4"];
    m.good("log.chain", &ids, "no entry yet", ask(&[]));
    let made = m.good("log.chain", &ids, "three entries", ask(&[&create, &commit, &message]));
    let hashes: Vec<String> = made
        .get("chain")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let before = hashes.get(2).cloned().unwrap_or_default();
    m.good("log.chain", &ids, "from a head that is known", json!({ "before": before, "entries": [message] }));
    for (name, member) in [
        ("term", json!(1)),
        ("seq", json!(4)),
        ("kind", json!(1)),
        ("epoch", json!("18446744073709551615")),
        ("bytes", json!("")),
        ("members", json!(["one@a.example"])),
    ] {
        let shows = format!("another {name} makes another chain");
        m.good("log.chain", &ids, &shows, json!({ "before": before, "entries": [with(&message, name, member)] }));
    }
    let head = json!({ "conversation": talk, "term": 0, "seq": 3, "hash": hashes.last() });
    let leaf = m.good("log.leaf", &["H-5"], "the leaf of a head", head.clone());
    m.good("log.leaf", &["H-5"], "of a later term", with(&head, "term", json!(1)));
    m.good("log.leaf", &["H-5"], "of a greater seq", with(&head, "seq", json!("18446744073709551615")));
    with(&head, "leaf", json!(text(&leaf, "leaf")))
}

fn signatures(m: &mut Making, head: &Value) {
    let (leaf, other) = (text(head, "leaf"), hex([0x78; 32]));
    let ids = ["H-5", "K-2"];
    let one = m.good("heads.sign", &ids, "the head of one log", json!({ "seed": hex([1; 32]), "leaves": [leaf] }));
    let made = m.good("heads.sign", &ids, "of two logs", json!({ "seed": hex([1; 32]), "leaves": [other, leaf] }));
    let all: Vec<String> = (0..64).map(|at| hex([at; 32])).collect();
    m.good("heads.sign", &ids, "of 64 logs", json!({ "seed": hex([1; 32]), "leaves": all }));

    let place = |at: u8| with(head, "place", json!(at));
    let signature = text(&made, "signature");
    let heads = json!({ "nk": hex(nk(1)), "leaves": [other, leaf], "heads": [place(1)], "signature": signature });
    let ids = ["H-5", "K-3"];
    m.good("heads.verify", &ids, "a head at its place", heads.clone());
    m.good("heads.verify", &ids, "a reader who may know none of them", with(&heads, "heads", json!([])));
    m.good("heads.verify", &ids, "a place twice", with(&heads, "heads", json!([place(1), place(1)])));
    let alone = with(&with(&heads, "leaves", json!([leaf])), "heads", json!([place(0)]));
    m.good("heads.verify", &ids, "a head alone", with(&alone, "signature", json!(text(&one, "signature"))));
    m.bad(
        "heads.verify",
        &ids,
        "a head at another's place",
        Class::Malformed,
        with(&heads, "heads", json!([place(0)])),
    );
    for (name, member) in [
        ("seq", json!(4)),
        ("term", json!(1)),
        ("hash", json!(hex([0x79; 32]))),
        ("conversation", json!(hex([0x77; 32]))),
    ] {
        let shows = format!("a head whose {name} is another");
        let changed = with(&heads, "heads", json!([with(&place(1), name, member)]));
        m.bad("heads.verify", &ids, &shows, Class::Malformed, changed);
    }
    let mut bad = |shows: &str, heads: Value| m.bad("heads.verify", &ids, shows, Class::Signature, heads);
    bad("a leaf less than was signed", alone);
    bad("leaves in another order", with(&heads, "leaves", json!([leaf, other])));
    bad("another node's key", with(&heads, "nk", json!(hex(nk(2)))));
    bad("a signature of 63 bytes", with(&heads, "signature", json!(signature.get(..126))));
    bad("no signature", with(&heads, "signature", json!("")));
    let bytes: [u8; 64] = as_bytes(&json!(signature)).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 64]);
    bad("a signature with a scalar of the order more", with(&heads, "signature", json!(hex(malleable(bytes)))));
    let leaves: Vec<u8> = as_bytes(&json!(text(&made, "signed"))).unwrap_or_default();
    bad("signed under another label", with(&heads, "signature", json!(hex(sign(1, "done", &leaves)))));
    let (key, weak) = small_order();
    bad("a key of small order", with(&with(&heads, "nk", json!(hex(key))), "signature", json!(hex(weak))));
}

fn changes(m: &mut Making) {
    let ids = ["H-7"];
    let whole = json!({ "commit": hex("commit"), "welcome": hex("welcome"), "group_info": hex("info") });
    let create = json!({ "commit": "", "welcome": hex("welcome"), "group_info": hex("info") });
    let plain = json!({ "commit": hex("commit"), "group_info": hex("info") });
    let mut made = Vec::new();
    for (shows, change) in [("a commit that adds", whole), ("a Create", create), ("a commit that adds nobody", plain)] {
        let bytes = text(&m.good("change.make", &ids, shows, change), "bytes");
        m.good("change.read", &ids, shows, json!({ "bytes": bytes }));
        made = as_bytes(&json!(bytes)).unwrap_or_default();
    }
    let change = |items: u64, write: &dyn Fn(&mut Writer)| {
        cbor(|w| {
            w.array(items);
            write(w);
        })
    };
    let (cut, _) = made.split_at(made.len().saturating_sub(1));
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("a byte missing", cut.to_vec()),
        ("a byte behind its end", [made.as_slice(), &[0]].concat()),
        (
            "two items",
            change(2, &|w| {
                w.bytes(b"commit").bytes(b"info");
            }),
        ),
        (
            "four items",
            change(4, &|w| {
                w.bytes(b"commit").null().bytes(b"info").null();
            }),
        ),
        (
            "no commit",
            change(3, &|w| {
                w.null().null().bytes(b"info");
            }),
        ),
        (
            "no public state",
            change(3, &|w| {
                w.bytes(b"commit").null().null();
            }),
        ),
        (
            "a Welcome that is a text",
            change(3, &|w| {
                w.bytes(b"commit").str("welcome").bytes(b"info");
            }),
        ),
        ("a head in two bytes", [&[0x98, 3][..], made.get(1..).unwrap_or_default()].concat()),
        ("of indefinite length", [&[0x9f][..], made.get(1..).unwrap_or_default(), &[0xff]].concat()),
        ("a length in more bytes than it needs", vec![0x83, 0x58, 1, 7, 0xf6, 0x41, 7]),
    ] {
        m.bad("change.read", &ids, shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
    }
}
