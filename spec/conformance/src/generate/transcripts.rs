//! M2, M3, T2, the steps' signatures, Hellos and Proofs.

use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use super::mint::{counting, malleable, nk, sign, sign_raw, small_order};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

const T1: [u8; 32] = [
    0x1d, 0x39, 0xb8, 0x0d, 0xa5, 0xa3, 0x79, 0xdd, 0x8c, 0x51, 0x3c, 0x58, 0x43, 0x7c, 0x74, 0x5d, 0x3a, 0xd6, 0x0d,
    0x2d, 0x30, 0xd9, 0x12, 0xcb, 0x5d, 0x2a, 0x2b, 0x23, 0x09, 0xf7, 0xae, 0xa2,
];
const EXPORTER: [u8; 32] = [0xee; 32];

pub(super) fn transcripts() -> Making {
    let mut m = Making::new("transcripts", "M2, M3 and T2; Hello and Proof; and what binds them to a connection.");
    let (m2, m3) = steps(&mut m);
    step_signatures(&mut m, &m2, &m3);
    let (dialler, listener) = hellos(&mut m);
    proofs(&mut m, &dialler, &listener);
    m
}

fn bytes_of(value: &Value, name: &str) -> Vec<u8> {
    value.get(name).and_then(as_bytes).unwrap_or_default()
}

fn word(label: &str, version: u64, t1: &[u8], nonce: &[u8], fresh: &[u8]) -> Vec<u8> {
    let mut writer = Writer::array_of(5);
    writer.str(label).u64(version).bytes(t1).bytes(nonce).bytes(fresh);
    writer.into_bytes()
}

fn steps(m: &mut Making) -> (Vec<u8>, Vec<u8>) {
    let make = |nonce: [u8; 16], fresh: u8| json!({ "t1": hex(T1), "nonce": hex(nonce), "fresh": hex([fresh; 32]) });
    let m2 = m.good("confirm.make", &["T-6"], "the M2 of the text", make(counting(0), 0x33));
    let m3 = m.good("done.make", &["T-6"], "the M3 of the text", make(counting(16), 0x44));
    let (m2, m3) = (bytes_of(&m2, "bytes"), bytes_of(&m3, "bytes"));
    m.good("t2.make", &["T-6", "T-18"], "the T2 of the text", json!({ "t1": hex(T1), "m2": hex(&m2), "m3": hex(&m3) }));
    m.good("t2.make", &["T-18"], "another M3, another T2", json!({ "t1": hex(T1), "m2": hex(&m2), "m3": hex(&m2) }));
    for (op, other, label, other_label, good, wrong) in
        [("confirm.read", "M3", "confirm", "done", &m2, &m3), ("done.read", "M2", "done", "confirm", &m3, &m2)]
    {
        m.good(op, &["T-6"], "as it is made", json!({ "bytes": hex(good) }));
        let nonce = counting::<16>(0);
        let (cut, _) = good.split_at(good.len() - 1);
        let (_, behind_head) = good.split_at(1);
        let label_len = label.len() + 2;
        let (before, from_version) = good.split_at(label_len);
        let (_, behind_version) = from_version.split_at(1);
        for (shows, bytes) in [
            (format!("it is {other}"), wrong.clone()),
            ("nothing".to_owned(), Vec::new()),
            ("cut".to_owned(), cut.to_vec()),
            ("a byte behind its end".to_owned(), [good, &[0][..]].concat()),
            ("version 2".to_owned(), word(label, 2, &T1, &nonce, &[3; 32])),
            ("its version in two bytes".to_owned(), [before, &[0x18, 0x01], behind_version].concat()),
            ("an array of indefinite length".to_owned(), [&[0x9f], behind_head, &[0xff]].concat()),
            ("an array's head in two bytes".to_owned(), [&[0x98, 0x05], behind_head].concat()),
            ("an item more".to_owned(), [&[0x86], behind_head, &[0]].concat()),
            ("a T1 of 31 bytes".to_owned(), word(label, 1, &[1; 31], &nonce, &[3; 32])),
            ("a nonce of 15 bytes".to_owned(), word(label, 1, &T1, &[1; 15], &[3; 32])),
            ("33 fresh bytes".to_owned(), word(label, 1, &T1, &nonce, &[3; 33])),
            ("another label".to_owned(), word(other_label, 1, &T1, &nonce, &[3; 32])),
            ("a label in capitals".to_owned(), word(&label.to_uppercase(), 1, &T1, &nonce, &[3; 32])),
        ] {
            m.bad(op, &["T-6"], &shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
        }
    }
    (m2, m3)
}

fn step_signatures(m: &mut Making, m2: &[u8], m3: &[u8]) {
    let sign_it = |seed: u8, step: &str, bytes: &[u8]| json!({ "seed": hex([seed; 32]), "step": step, "bytes": hex(bytes), "exporter": hex(EXPORTER) });
    let confirm = m.good("step.sign", &["T-6", "K-2"], "M2 of the text", sign_it(1, "confirm", m2));
    let done = m.good("step.sign", &["T-6", "K-2"], "M3 of the text", sign_it(2, "done", m3));
    let (signed, confirm, done) =
        (bytes_of(&confirm, "signed"), bytes_of(&confirm, "signature"), bytes_of(&done, "signature"));
    let ask = |nk: [u8; 32], step: &str, bytes: &[u8], exporter: [u8; 32], signature: &[u8]| json!({ "nk": hex(nk), "step": step, "bytes": hex(bytes), "exporter": hex(exporter), "signature": hex(signature) });
    let (a, b) = (nk(1), nk(2));
    m.good("step.verify", &["T-6", "K-3"], "M2", ask(a, "confirm", m2, EXPORTER, &confirm));
    m.good("step.verify", &["T-6", "K-3"], "M3", ask(b, "done", m3, EXPORTER, &done));
    let (short, _) = confirm.split_at(63);
    let whole: [u8; 64] = confirm.clone().try_into().unwrap_or([0; 64]);
    let (weak, weak_signature) = small_order();
    for (shows, input) in [
        ("another connection", ask(a, "confirm", m2, [0xef; 32], &confirm)),
        ("another key", ask(b, "confirm", m2, EXPORTER, &confirm)),
        ("another step", ask(a, "done", m2, EXPORTER, &confirm)),
        ("other bytes", ask(a, "confirm", m3, EXPORTER, &confirm)),
        ("the step's bytes alone are signed", ask(a, "confirm", m2, EXPORTER, &sign(1, "confirm", m2))),
        ("no label", ask(a, "confirm", m2, EXPORTER, &sign_raw(1, &signed))),
        ("63 bytes", ask(a, "confirm", m2, EXPORTER, short)),
        ("no bytes", ask(a, "confirm", m2, EXPORTER, &[])),
        ("a scalar above the group order", ask(a, "confirm", m2, EXPORTER, &malleable(whole))),
        ("key and R of small order", ask(weak, "confirm", m2, EXPORTER, &weak_signature)),
    ] {
        m.bad("step.verify", &["T-6", "K-3"], shows, Class::Signature, input);
    }
}

/// The items of a Hello, each as it may be wrong.
struct Parts<'a> {
    version: u64,
    nk: &'a [u8],
    speaker: &'a str,
    listener: &'a str,
    random: &'a [u8],
    extensions: &'a [u8],
}

fn hello(parts: &Parts<'_>) -> Vec<u8> {
    let mut writer = Writer::array_of(6);
    writer.u64(parts.version).bytes(parts.nk).str(parts.speaker).str(parts.listener).bytes(parts.random);
    [writer.into_bytes(), parts.extensions.to_vec()].concat()
}

fn hellos(m: &mut Making) -> (Vec<u8>, Vec<u8>) {
    let make = |nk: [u8; 32], speaker: &str, listener: &str, random: u8| json!({ "nk": hex(nk), "speaker": speaker, "listener": listener, "random": hex([random; 32]) });
    let (a, b) = (nk(1), nk(2));
    let dialler = m.good("hello.make", &["L-4"], "the dialler's, of the text", make(a, "a.example", "b.example", 0x55));
    let listener =
        m.good("hello.make", &["L-4"], "the listener's, of the text", make(b, "b.example", "a.example", 0x66));
    let (dialler, listener) = (bytes_of(&dialler, "bytes"), bytes_of(&listener, "bytes"));
    let mut later = make(a, "a.example", "b.example", 0x55);
    if let Some(later) = later.as_object_mut() {
        later.insert("version".to_owned(), 2.into());
        later.insert("extensions".to_owned(), json!([[1, "00"], [300, "6c61746572"]]));
    }
    m.good("hello.make", &["L-4", "L-14"], "of a later version, with extensions", later);

    let good = Parts {
        version: 1,
        nk: &a,
        speaker: "a.example",
        listener: "b.example",
        random: &[0x55; 32],
        extensions: &[0xa0],
    };
    let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let pairs = |n: u8| (0..n).flat_map(|at| [at, 0x40]).collect::<Vec<u8>>();
    let sixteen = [&[0xb0], pairs(16).as_slice()].concat();
    let seventeen = [&[0xb1], pairs(17).as_slice()].concat();
    let filler = |len: u16| [&[0xa1, 0x01, 0x59], &len.to_be_bytes()[..], &vec![0; usize::from(len)]].concat();
    // A Hello of these names has 91 bytes with an empty map, and 95 and the filler with one that has three heads.
    let (fits, over) = (filler(1024 - 95), filler(1024 - 94));
    for (shows, bytes) in [
        ("the dialler's, of the text", dialler.clone()),
        ("a later version", hello(&Parts { version: 2, ..good })),
        ("the last version there could be", hello(&Parts { version: u64::MAX, ..good })),
        ("an extension", hello(&Parts { extensions: &[0xa1, 0x19, 0x01, 0x2c, 0x42, 0x68, 0x69], ..good })),
        ("sixteen extensions", hello(&Parts { extensions: &sixteen, ..good })),
        ("the longest names", hello(&Parts { speaker: &long, listener: &long, ..good })),
        ("a key that is no point", hello(&Parts { nk: &[2; 32], ..good })),
        ("1024 bytes", hello(&Parts { extensions: &fits, ..good })),
    ] {
        m.good("hello.read", &["L-4"], shows, json!({ "bytes": hex(bytes) }));
    }
    m.bad(
        "hello.read",
        &["L-4"],
        "1025 bytes",
        Class::TooBig,
        json!({ "bytes": hex(hello(&Parts { extensions: &over, ..good })) }),
    );
    m.bad(
        "hello.read",
        &["L-4"],
        "version 0",
        Class::Version,
        json!({ "bytes": hex(hello(&Parts { version: 0, ..good })) }),
    );
    let (cut, _) = dialler.split_at(dialler.len() - 1);
    let (_, behind_version) = dialler.split_at(2);
    let (_, behind_head) = dialler.split_at(1);
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("cut", cut.to_vec()),
        ("a byte behind its end", [&dialler, &[0][..]].concat()),
        ("five items", [&[0x85], cut.split_at(1).1].concat()),
        ("seven items", [&[0x87], behind_head, &[0]].concat()),
        ("an array of indefinite length", [&[0x9f], behind_head, &[0xff]].concat()),
        ("its version in two bytes", [&[0x86, 0x18, 0x01], behind_version].concat()),
        ("a version that is a text", [&[0x86, 0x61, 0x31], behind_version].concat()),
        ("a key of 31 bytes", hello(&Parts { nk: &[7; 31], ..good })),
        ("31 random bytes", hello(&Parts { random: &[7; 31], ..good })),
        ("a domain in capitals", hello(&Parts { speaker: "A.example", ..good })),
        ("a domain with a U-label", hello(&Parts { listener: "bücher.example", ..good })),
        ("a domain of one label", hello(&Parts { listener: "localhost", ..good })),
        ("no domain", hello(&Parts { listener: "", ..good })),
        ("no map", hello(&Parts { extensions: &[0xf6], ..good })),
        ("a map of indefinite length", hello(&Parts { extensions: &[0xbf, 0xff], ..good })),
        ("extensions out of order", hello(&Parts { extensions: &[0xa2, 2, 0x40, 1, 0x40], ..good })),
        ("an extension twice", hello(&Parts { extensions: &[0xa2, 1, 0x40, 1, 0x40], ..good })),
        ("an extension that isn't bytes", hello(&Parts { extensions: &[0xa1, 1, 0x61, 0x61], ..good })),
        ("an extension with a name", hello(&Parts { extensions: &[0xa1, 0x61, 0x61, 0x40], ..good })),
        ("an extension's number in two bytes", hello(&Parts { extensions: &[0xa1, 0x18, 1, 0x40], ..good })),
        ("seventeen extensions", hello(&Parts { extensions: &seventeen, ..good })),
    ] {
        m.bad("hello.read", &["L-4"], shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
    }
    (dialler, listener)
}

fn proofs(m: &mut Making, dialler: &[u8], listener: &[u8]) {
    let hellos = |dialler: &[u8], listener: &[u8], exporter: [u8; 32], end: &str| json!({ "end": end, "dialler": hex(dialler), "listener": hex(listener), "exporter": hex(exporter) });
    let with = |mut input: Value, name: &str, bytes: &[u8]| {
        if let Some(input) = input.as_object_mut() {
            input.insert(name.to_owned(), hex(bytes).into());
        }
        input
    };
    let of = |end: &str| hellos(dialler, listener, EXPORTER, end);
    let theirs =
        m.good("proof.sign", &["L-4", "K-2"], "the listener's, of the text", with(of("listener"), "seed", &[2; 32]));
    let ours =
        m.good("proof.sign", &["L-4", "K-2"], "the dialler's, of the text", with(of("dialler"), "seed", &[1; 32]));
    let signed = bytes_of(&ours, "signed");
    let (theirs, ours) = (bytes_of(&theirs, "signature"), bytes_of(&ours, "signature"));
    let ask = |input: Value, nk: [u8; 32], signature: &[u8]| with(with(input, "nk", &nk), "signature", signature);
    let (a, b) = (nk(1), nk(2));
    m.good("proof.verify", &["L-4", "K-3"], "the listener's", ask(of("listener"), b, &theirs));
    m.good("proof.verify", &["L-4", "K-3"], "the dialler's", ask(of("dialler"), a, &ours));
    let (short, _) = ours.split_at(63);
    let whole: [u8; 64] = ours.clone().try_into().unwrap_or([0; 64]);
    let (weak, weak_signature) = small_order();
    let mut edited = dialler.to_vec();
    edited.iter_mut().skip(1).take(1).for_each(|version| *version = 2);
    for (shows, input) in [
        ("sent back to its author", ask(of("dialler"), b, &theirs)),
        ("the other end's", ask(of("listener"), a, &ours)),
        ("another key", ask(of("dialler"), b, &ours)),
        ("another connection", ask(hellos(dialler, listener, [0xef; 32], "dialler"), a, &ours)),
        ("the Hellos exchanged", ask(hellos(listener, dialler, EXPORTER, "dialler"), a, &ours)),
        ("a version that was edited on the way", ask(hellos(&edited, listener, EXPORTER, "dialler"), a, &ours)),
        ("one Hello twice", ask(hellos(dialler, dialler, EXPORTER, "dialler"), a, &ours)),
        ("no label", ask(of("dialler"), a, &sign_raw(1, &signed))),
        ("the label of a step", ask(of("dialler"), a, &sign(1, "confirm", &signed))),
        ("the label of a field", ask(of("dialler"), a, &sign(1, "offer", &signed))),
        ("63 bytes", ask(of("dialler"), a, short)),
        ("a scalar above the group order", ask(of("dialler"), a, &malleable(whole))),
        ("key and R of small order", ask(of("dialler"), weak, &weak_signature)),
    ] {
        m.bad("proof.verify", &["L-4", "K-3"], shows, Class::Signature, input);
    }
}
