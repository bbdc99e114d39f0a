//! Frames of each type: whole, split, cut, and wrong in every way that a reader must notice.

use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use crate::answer::Class;
use crate::input::{as_bytes, hex};

/// Length, type, body.
pub(super) fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &[kind], body].concat()
}

pub(super) fn ask(chunks: &[&[u8]], ready: bool) -> Value {
    json!({ "chunks": chunks.iter().map(hex).collect::<Vec<_>>(), "ready": ready })
}

/// A body of CBOR, item by item.
pub(super) fn cbor(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer);
    writer.into_bytes()
}

pub(super) fn frames() -> Making {
    let mut m = Making::new(
        "frames",
        "Frames as bytes on a stream: one of each type, however it is split; and what is no frame.",
    );
    let made = one_of_each(&mut m);
    streams(&mut m, &made);
    lengths_and_types(&mut m);
    for (kind, frame) in &made {
        wrapped_wrongly(&mut m, *kind, frame);
    }
    greeting_frames(&mut m);
    carries(&mut m);
    answers(&mut m);
    rest(&mut m);
    m
}

fn one_of_each(m: &mut Making) -> Vec<(u8, Vec<u8>)> {
    let (ids, marks) = (hex([4; 16]), json!([[hex([4; 16]), 0], [hex([5; 16]), 1]]));
    let carry = |body: &[(&str, Value)]| {
        let mut frame = json!({ "type": 4, "seq": 300, "id": ids, "from": "ann@a.example",
            "to": ["bob@b.example", "bea@b.example"], "submitted": 1_700_000_000_000_u64 });
        if let Some(frame) = frame.as_object_mut() {
            frame.extend(body.iter().map(|(name, value)| (name.to_string(), value.clone())));
        }
        frame
    };
    let list = [
        (2, "a Proof", json!({ "type": 2, "signature": hex([3; 64]) })),
        (
            3,
            "a Ready",
            json!({ "type": 3, "next_nk": hex([7; 32]), "generation": 1, "last_seq": 300,
            "window_items": 256, "window_bytes": 4_194_304, "largest": 26_214_400 }),
        ),
        (4, "a Carry with its body", carry(&[("body", hex("mail\r\n").into())])),
        (4, "a Carry that names its body", carry(&[("hash", hex([6; 32]).into()), ("length", 16_385.into())])),
        (5, "an Ack", json!({ "type": 5, "seq": 300 })),
        (6, "a Refuse", json!({ "type": 6, "seq": 300, "code": 16, "rcpts": [0, 2, 99] })),
        (
            7,
            "a Trust",
            json!({ "type": 7, "from": "ann@a.example", "to": "bob@b.example", "step": 1,
            "bytes": hex([8; 10]), "signature": hex([9; 64]) }),
        ),
        (8, "a Mark", json!({ "type": 8, "marks": marks })),
        (9, "a Chunk", json!({ "type": 9, "hash": hex([6; 32]), "offset": 16_384, "bytes": "01020304" })),
        (10, "an Ask for marks", json!({ "type": 10, "ids": [ids] })),
        (10, "an Ask for a body", json!({ "type": 10, "hash": hex([6; 32]), "offset": 16_384 })),
        (11, "an Answer", json!({ "type": 11, "marks": marks })),
        (13, "a Ping", json!({ "type": 13, "number": 70_000 })),
        (14, "a Pong", json!({ "type": 14, "number": "18446744073709551615" })),
        (15, "a Bye", json!({ "type": 15, "code": 18 })),
    ];
    let mut made = Vec::new();
    for (kind, shows, frame) in list {
        let value = m.good("frame.make", &["L-2"], shows, json!({ "frame": frame }));
        let bytes = value.get("bytes").and_then(as_bytes).unwrap_or_default();
        m.good("frames.read", &["L-2"], shows, ask(&[&bytes], true));
        made.push((kind, bytes));
    }
    made
}

fn streams(m: &mut Making, made: &[(u8, Vec<u8>)]) {
    let whole: Vec<u8> = made.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    for (shows, size) in [("all of them at once", whole.len()), ("in pieces of 7 bytes", 7), ("byte by byte", 1)] {
        m.good("frames.read", &["L-2"], shows, ask(&whole.chunks(size).collect::<Vec<_>>(), true));
    }
    m.good("frames.read", &["L-2"], "nothing yet", ask(&[], false));
    m.good("frames.read", &["L-2"], "empty pieces", ask(&[&[], &framed(13, &[1]), &[]], true));
    for cut in [1, 3, 4, 5, 6] {
        let whole = framed(13, &[0x18, 0x64]);
        let (begun, _) = whole.split_at(cut);
        m.good("frames.read", &["L-2"], "a frame that isn't whole yet", ask(&[&framed(14, &[1]), begun], true));
    }
    let good = framed(13, &[1]);
    m.bad(
        "frames.read",
        &["L-19"],
        "a good frame, then a bad one",
        Class::Malformed,
        ask(&[&good, &framed(13, &[])], true),
    );
    m.bad(
        "frames.read",
        &["L-19"],
        "a bad frame, then a good one",
        Class::Malformed,
        ask(&[&framed(12, &[]), &good], true),
    );
}

fn lengths_and_types(m: &mut Making) {
    m.good("frames.read", &["L-2"], "the longest length", ask(&[&[0, 1, 0, 0, 128]], true));
    m.bad("frames.read", &["L-2"], "one more", Class::TooBig, ask(&[&[0, 1, 0, 1]], true));
    m.bad("frames.read", &["L-2"], "the greatest number", Class::TooBig, ask(&[&[255; 4]], true));
    m.good("frames.read", &["L-2"], "the longest length before Ready", ask(&[&[0, 0, 4, 0, 1]], false));
    m.bad("frames.read", &["L-2"], "one more before Ready", Class::TooBig, ask(&[&[0, 0, 4, 1]], false));
    m.bad("frames.read", &["L-2"], "no type", Class::Malformed, ask(&[&[0; 4]], true));
    m.good("frames.read", &["L-14"], "a type that may be ignored", ask(&[&framed(128, &[])], true));
    m.good("frames.read", &["L-14"], "whatever its body", ask(&[&framed(255, &[0xff, 0x5f]), &framed(13, &[1])], true));
    m.good("frames.read", &["L-14"], "before Ready too", ask(&[&framed(200, b"later")], false));
    for kind in [0, 12, 34, 100, 127] {
        let shows = format!("type {kind}");
        m.bad("frames.read", &["L-14"], &shows, Class::Malformed, ask(&[&framed(kind, &[0])], true));
        let shows = format!("type {kind}, found out before its body is there");
        m.bad("frames.read", &["L-14"], &shows, Class::Malformed, ask(&[&[0, 0, 0, 9, kind]], true));
    }
}

/// What no frame of CBOR may be, whatever its type.
pub(super) fn wrapped_wrongly(m: &mut Making, kind: u8, frame: &[u8]) {
    let (_, body) = frame.split_at(5);
    let mut bad = |shows: &str, body: &[u8]| {
        let shows = format!("type {kind}: {shows}");
        m.bad("frames.read", &["L-2", "L-19"], &shows, Class::Malformed, ask(&[&framed(kind, body)], true));
    };
    bad("no body", &[]);
    bad("a byte behind its end", &[body, &[0]].concat());
    let (cut, _) = body.split_at(body.len() - 1);
    bad("a byte missing", cut);
    if let Some((&first, rest)) = body.split_first()
        && first >> 5 == 4
    {
        bad("an item more", &[&[first + 1], rest, &[0]].concat());
        bad("its head in two bytes", &[&[0x98, first & 31], rest].concat());
        bad("of indefinite length", &[&[0x9f], rest, &[0xff]].concat());
    }
}

fn greeting_frames(m: &mut Making) {
    let hello = framed(1, &[0x86, 0x01]);
    m.good("frames.read", &["L-2"], "a Hello is judged elsewhere", ask(&[&hello], false));
    m.good("frames.read", &["L-2"], "an empty Hello too", ask(&[&framed(1, &[])], false));
    m.good("frames.read", &["L-2"], "a Proof of any length", ask(&[&framed(2, &[0x41, 7])], false));
    m.bad(
        "frames.read",
        &["L-2"],
        "a Proof that is a text",
        Class::Malformed,
        ask(&[&framed(2, &[0x61, 0x61])], false),
    );
    let ready = |items: u64, key: usize| {
        framed(
            3,
            &cbor(|w| {
                w.array(6).bytes(&vec![7; key]).u64(1).u64(0).u64(items).u64(u64::MAX).u64(0);
            }),
        )
    };
    m.good("frames.read", &["L-8"], "a window of any bytes", ask(&[&ready(u64::from(u32::MAX), 32)], true));
    m.bad("frames.read", &["L-8"], "a window above 32 bits", Class::Malformed, ask(&[&ready(1 << 32, 32)], true));
    m.bad("frames.read", &["L-8"], "a key's hash of 31 bytes", Class::Malformed, ask(&[&ready(1, 31)], true));
}

fn carries(m: &mut Making) {
    let carry = |from: &str, to: &[String], body: &dyn Fn(&mut Writer)| {
        framed(
            4,
            &cbor(|w| {
                w.array(6).u64(1).bytes(&[4; 16]).str(from);
                w.list(to.iter(), |w, address| {
                    w.str(address);
                });
                w.u64(0);
                body(w);
            }),
        )
    };
    let small = |w: &mut Writer| {
        w.bytes(b"");
    };
    let inline = |len: usize| {
        move |w: &mut Writer| {
            w.bytes(&vec![b'x'; len]);
        }
    };
    let named = |len: u64| {
        move |w: &mut Writer| {
            w.array(2).bytes(&[6; 32]).u64(len);
        }
    };
    let people = |n: usize| (0..n).map(|at| format!("p{at}@b.example")).collect::<Vec<_>>();
    let (ann, bob) = ("ann@a.example", vec!["bob@b.example".to_owned()]);
    for (shows, frame) in [
        ("an empty body", carry(ann, &bob, &small)),
        ("a body of 16384 bytes inside", carry(ann, &bob, &inline(16_384))),
        ("the largest body there could be, named", carry(ann, &bob, &named(u64::MAX))),
        ("a hundred recipients", carry(ann, &people(100), &small)),
        ("addresses beyond ASCII", carry("jörg@xn--bcher-kva.example", &bob, &small)),
    ] {
        m.good("frames.read", &["L-2", "L-13"], shows, ask(&[&frame], true));
    }
    for (shows, frame) in [
        ("a body of 16385 bytes inside", carry(ann, &bob, &inline(16_385))),
        ("a body of 16384 bytes named", carry(ann, &bob, &named(16_384))),
        ("no recipient", carry(ann, &[], &small)),
        ("a recipient twice", carry(ann, &[bob.clone(), bob.clone()].concat(), &small)),
        ("101 recipients", carry(ann, &people(101), &small)),
        ("an author that isn't in normal form", carry("ann@A.example", &bob, &small)),
        ("an author in quotes", carry("\"ann\"@a.example", &bob, &small)),
        ("an author that is no address", carry("ann", &bob, &small)),
        ("a recipient with a U-label", carry(ann, &["bob@bücher.example".to_owned()], &small)),
        (
            "a body that is a text",
            carry(ann, &bob, &|w| {
                w.str("mail");
            }),
        ),
        (
            "no body",
            carry(ann, &bob, &|w| {
                w.null();
            }),
        ),
        (
            "a body named in three items",
            carry(ann, &bob, &|w| {
                w.array(3).bytes(&[6; 32]).u64(20_000).u64(0);
            }),
        ),
    ] {
        m.bad("frames.read", &["L-2", "L-13"], shows, Class::Malformed, ask(&[&frame], true));
    }
    let mut broken = carry(ann, &bob, &small);
    // The first letter of the author becomes a byte that begins no character.
    broken.iter_mut().skip(5 + 1 + 1 + 17 + 1).take(1).for_each(|byte| *byte = 0xff);
    m.bad("frames.read", &["L-2"], "an author that isn't UTF-8", Class::Malformed, ask(&[&broken], true));
}

fn answers(m: &mut Making) {
    let refuse = |code: u64, rcpts: &[u64]| {
        framed(
            6,
            &cbor(|w| {
                w.array(3).u64(1).u64(code).list(rcpts.iter(), |w, index| {
                    w.u64(*index);
                });
            }),
        )
    };
    let marks = |kind: u8, n: usize, reached: u64| {
        framed(
            kind,
            &cbor(|w| {
                w.array(2 * n as u64);
                for _ in 0..n {
                    w.bytes(&[4; 16]).u64(reached);
                }
            }),
        )
    };
    for (shows, frame) in [
        ("everybody refused", refuse(16, &[])),
        ("an unknown code counts as Protocol", refuse(999, &[])),
        ("the greatest code", framed(15, &[0x19, 0xff, 0xff])),
        ("the last index there is", refuse(16, &[255])),
        ("no marks", marks(8, 0, 0)),
        ("no answer", marks(11, 0, 0)),
        ("64 marks", marks(8, 64, 1)),
        ("the greatest seq", framed(5, &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255])),
    ] {
        m.good("frames.read", &["L-2", "C-1"], shows, ask(&[&frame], true));
    }
    let odd = framed(
        8,
        &cbor(|w| {
            w.array(3).bytes(&[4; 16]).u64(0).bytes(&[5; 16]);
        }),
    );
    let short = framed(
        8,
        &cbor(|w| {
            w.array(2).bytes(&[4; 15]).u64(0);
        }),
    );
    for (shows, frame) in [
        ("indices out of order", refuse(16, &[2, 1])),
        ("an index twice", refuse(16, &[1, 1])),
        ("an index above 255", refuse(16, &[256])),
        ("101 indices", refuse(16, &(0..101).collect::<Vec<_>>())),
        ("a code above 16 bits", refuse(65_536, &[])),
        ("a Bye's code above 16 bits", framed(15, &[0x1a, 0, 1, 0, 0])),
        ("65 marks", marks(8, 65, 0)),
        ("65 answers", marks(11, 65, 0)),
        ("an unknown mark", marks(8, 1, 2)),
        ("an id without its mark", odd),
        ("an id of 15 bytes", short),
        ("a seq in more bytes than it needs", framed(5, &[0x18, 0x17])),
        ("a seq in eight bytes for four", framed(5, &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255])),
        ("a negative seq", framed(5, &[0x20])),
        ("a seq in floating point", framed(5, &[0xf9, 0x3c, 0x00])),
        ("a tagged seq", framed(5, &[0xc0, 0x01])),
        ("a seq that is null", framed(5, &[0xf6])),
        ("a seq that is undefined", framed(5, &[0xf7])),
        ("a map", framed(5, &[0xa0])),
    ] {
        m.bad("frames.read", &["L-2"], shows, Class::Malformed, ask(&[&frame], true));
    }
}

fn rest(m: &mut Making) {
    let trust = |from: &str, step: u64| {
        framed(
            7,
            &cbor(|w| {
                w.array(5).str(from).str("bob@b.example").u64(step).bytes(&[8; 10]).bytes(&[9; 64]);
            }),
        )
    };
    m.good("frames.read", &["L-2"], "a step that is reserved", ask(&[&trust("ann@a.example", 2)], true));
    m.bad(
        "frames.read",
        &["L-14"],
        "a step that isn't known",
        Class::Malformed,
        ask(&[&trust("ann@a.example", 4)], true),
    );
    m.bad(
        "frames.read",
        &["L-2"],
        "a pair out of normal form",
        Class::Malformed,
        ask(&[&trust("ann@A.example", 0)], true),
    );
    let chunk = |hash: usize, len: usize| {
        framed(
            9,
            &cbor(|w| {
                w.array(3).bytes(&vec![6; hash]).u64(0).bytes(&vec![b'x'; len]);
            }),
        )
    };
    m.good("frames.read", &["L-13"], "a Chunk of 16384 bytes", ask(&[&chunk(32, 16_384)], true));
    m.bad("frames.read", &["L-13"], "a Chunk of 16385 bytes", Class::Malformed, ask(&[&chunk(32, 16_385)], true));
    m.bad("frames.read", &["L-2"], "a Chunk of no hash", Class::Malformed, ask(&[&chunk(31, 1)], true));
    let question = |number: u64, ids: u64, more: bool| {
        framed(
            10,
            &cbor(|w| {
                w.array(if more { 3 } else { 2 }).u64(number).array(ids);
                for _ in 0..ids {
                    w.bytes(&[4; 16]);
                }
                if more {
                    w.u64(0);
                }
            }),
        )
    };
    m.good("frames.read", &["L-2"], "no question", ask(&[&question(0, 0, false)], true));
    m.good("frames.read", &["L-2"], "64 questions", ask(&[&question(0, 64, false)], true));
    for (shows, frame) in [
        ("65 questions", question(0, 65, false)),
        ("a question with an item more", question(0, 1, true)),
        ("a question that isn't known", question(2, 1, false)),
        (
            "a question for a body without its offset",
            framed(
                10,
                &cbor(|w| {
                    w.array(2).u64(1).bytes(&[6; 32]);
                }),
            ),
        ),
    ] {
        m.bad("frames.read", &["L-2", "L-14"], shows, Class::Malformed, ask(&[&frame], true));
    }
}
