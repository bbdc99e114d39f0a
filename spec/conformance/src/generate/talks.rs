//! Frames about sealed conversations, and about the keys that they take: one of each kind, and what is none.

use postline_core::id::{ConversationId, Hash};
use postline_core::limits;
use postline_core::wire::cbor::Writer;
use postline_core::wire::talk::Head;
use serde_json::{Value, json};

use super::Making;
use super::frames::{ask, cbor, framed, wrapped_wrongly};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

const ANN: &str = "ann@a.example";
const BOB: &str = "bob@b.example";
const POST: u8 = 16;
const EVENT: u8 = 18;
const HEADS: u8 = 20;
const PUBLISH: u8 = 22;
const ASK: u8 = 24;
const ANSWER: u8 = 25;

pub(super) fn talks() -> Making {
    let mut m = Making::new(
        "talks",
        "Frames about sealed conversations as bytes on a stream: one of each kind and of all that they say; and what is none.",
    );
    let mut kinds: Vec<u8> = Vec::new();
    for (shows, frame) in one_of_each() {
        let made = m.good("frame.make", &["L-2", "H-1"], shows, json!({ "frame": frame }));
        let bytes = made.get("bytes").and_then(as_bytes).unwrap_or_default();
        m.good("frames.read", &["L-2", "H-1"], shows, ask(&[&bytes], true));
        let kind = bytes.get(4).copied().unwrap_or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
            wrapped_wrongly(&mut m, kind, &bytes);
        }
    }
    posts(&mut m);
    events(&mut m);
    heads(&mut m);
    publications(&mut m);
    questions(&mut m);
    lines_and_logins(&mut m);
    m
}

fn one_of_each() -> Vec<(&'static str, Value)> {
    let (talk, tag, dk) = (hex([1; 32]), hex([2; 8]), hex([4; 32]));
    let shown = Head { conversation: ConversationId([1; 32]), term: 0, seq: 70_000, hash: Hash([7; 32]) };
    let head = json!({ "place": 1, "conversation": talk, "term": 0, "seq": 70_000, "hash": hex([7; 32]) });
    vec![
        (
            "a Post of a Create",
            json!({ "type": 16, "conversation": talk, "device": tag, "number": 3, "kind": 0, "epoch": 0,
                "members": [ANN, BOB], "bytes": "050505" }),
        ),
        (
            "a Post of a message",
            json!({ "type": 16, "conversation": talk, "device": tag, "number": 4, "kind": 2, "epoch": 1,
                "members": [], "bytes": "0606" }),
        ),
        ("an Unposted", json!({ "type": 17, "conversation": talk, "device": tag, "number": 3, "code": 32 })),
        (
            "an Event",
            json!({ "type": 18, "conversation": talk, "term": 0, "seq": 70_000, "kind": 2, "epoch": 2,
                "members": [], "bytes": "0606" }),
        ),
        (
            "an Event of a Create",
            json!({ "type": 18, "conversation": talk, "term": 0, "seq": 1, "kind": 0, "epoch": 0,
                "members": [ANN, BOB], "bytes": "050505" }),
        ),
        (
            "an Event to the device that posted it",
            json!({ "type": 18, "conversation": talk, "term": 0, "seq": 2, "kind": 1, "epoch": 1,
                "device": tag, "number": 3, "members": [] }),
        ),
        (
            "an Event to another device of its author",
            json!({ "type": 18, "conversation": talk, "term": 0, "seq": 3, "kind": 2, "epoch": 2,
                "device": tag, "number": "18446744073709551615", "members": [], "bytes": "" }),
        ),
        ("a Have", json!({ "type": 19, "conversation": talk, "seq": 70_000 })),
        (
            "Heads",
            json!({ "type": 20, "leaves": [hex([8; 32]), hex(shown.leaf().0)], "heads": [head], "signature": hex([9; 64]) }),
        ),
        ("a Delivered", json!({ "type": 21, "conversation": talk, "member": BOB, "seq": 70_000 })),
        ("a Publish of a device list", json!({ "type": 22, "number": 8, "list": hex([1; 40]) })),
        ("a Publish of a key proof", json!({ "type": 22, "number": 8, "theirs": BOB, "proof": hex([2; 40]) })),
        (
            "a Publish of key packages",
            json!({ "type": 22, "number": 8, "packages": [hex([3; 40]), hex([4; 40])], "last_resort": hex([5; 40]) }),
        ),
        ("a Publish of no key packages", json!({ "type": 22, "number": 8, "packages": [] })),
        ("a Publish of a note to one device", json!({ "type": 22, "number": 8, "device": dk, "note": "0606" })),
        ("a Publish of a note to all others", json!({ "type": 22, "number": 8, "note": "0606" })),
        ("a Publish of a block", json!({ "type": 22, "number": 8, "theirs": BOB, "blocked": true })),
        ("a Publish that blocks no more", json!({ "type": 22, "number": 8, "theirs": BOB, "blocked": false })),
        ("a Published", json!({ "type": 23, "number": 8 })),
        ("a Published with a code", json!({ "type": 23, "number": 8, "code": 35 })),
        ("an Ask for lists", json!({ "type": 24, "number": 9, "asker": ANN, "whose": BOB, "after": 4 })),
        ("an Ask for key packages", json!({ "type": 24, "number": 9, "asker": ANN, "whose": BOB, "only": [dk] })),
        ("an Ask for entries", json!({ "type": 24, "number": 9, "conversation": talk, "first": 2, "last": 70_000 })),
        ("an Answer of lists", json!({ "type": 25, "number": 9, "lists": [hex([1; 40])] })),
        ("an Answer of key packages", json!({ "type": 25, "number": 9, "packages": [hex([3; 40])] })),
        ("an Answer that all was sent", json!({ "type": 25, "number": 9 })),
        ("an Answer with a code", json!({ "type": 25, "number": 9, "code": 16 })),
        (
            "a Line",
            json!({ "type": 26, "theirs": BOB, "t2": hex([1; 32]), "offered": true, "nk": hex([2; 32]), "newest": 0 }),
        ),
        (
            "a Line with its key proof",
            json!({ "type": 26, "theirs": BOB, "t2": hex([1; 32]), "offered": false, "nk": hex([2; 32]),
                "proof": hex([7; 40]), "newest": 3 }),
        ),
        (
            "a Line that is none any more",
            json!({ "type": 26, "theirs": BOB, "offered": false, "nk": hex([2; 32]), "newest": 3 }),
        ),
        ("a Login", json!({ "type": 27, "user": "ann", "password": "pass wörd" })),
    ]
}

fn good(m: &mut Making, requirements: &[&str], shows: &str, frame: &[u8]) {
    m.good("frames.read", requirements, shows, ask(&[frame], true));
}

fn bad(m: &mut Making, requirements: &[&str], shows: &str, frame: &[u8]) {
    m.bad("frames.read", requirements, shows, Class::Malformed, ask(&[frame], true));
}

fn people(n: usize) -> Vec<String> {
    (0..n).map(|at| format!("p{at:02}@b.example")).collect()
}

fn texts(w: &mut Writer, texts: &[impl AsRef<str>]) {
    w.list(texts.iter(), |w, text| {
        w.str(text.as_ref());
    });
}

fn post(talk: usize, tag: usize, kind: u64, members: &[impl AsRef<str>], bytes: usize) -> Vec<u8> {
    framed(
        POST,
        &cbor(|w| {
            w.array(7).bytes(&vec![1; talk]).bytes(&vec![2; tag]).u64(3).u64(kind).u64(0);
            texts(w, members);
            w.bytes(&vec![5; bytes]);
        }),
    )
}

fn posts(m: &mut Making) {
    let ids = ["L-2", "H-1"];
    for (shows, frame) in [
        ("a Post of no bytes", post(32, 8, 2, &[""; 0], 0)),
        ("a Post with as many members as there may be", post(32, 8, 0, &people(limits::MEMBERS), 1)),
        ("members in the order of their local parts", post(32, 8, 0, &["a@b.example", "a-1@b.example"], 1)),
        ("then of their domains", post(32, 8, 0, &["z@a.example", "z@b.example"], 1)),
        ("a Post of a Create without members, which its hub refuses", post(32, 8, 0, &[""; 0], 1)),
        ("a Post of a message with members, which its hub refuses", post(32, 8, 2, &[ANN], 1)),
    ] {
        good(m, &ids, shows, &frame);
    }
    for (shows, frame) in [
        ("a Post of a byte more than there may be", post(32, 8, 2, &[""; 0], limits::EVENT_BYTES + 1)),
        ("a Post with a member more", post(32, 8, 0, &people(limits::MEMBERS + 1), 1)),
        ("a Post with members out of order", post(32, 8, 0, &[BOB, ANN], 1)),
        ("members in the order of their texts", post(32, 8, 0, &["a-1@b.example", "a@b.example"], 1)),
        ("a Post with a member twice", post(32, 8, 0, &[ANN, ANN], 1)),
        ("a Post with a member out of normal form", post(32, 8, 0, &["ann@A.example"], 1)),
        ("a Post of an unknown kind", post(32, 8, 3, &[""; 0], 1)),
        ("a Post of no conversation", post(31, 8, 2, &[""; 0], 1)),
        ("a Post of a device's whole key", post(32, 32, 2, &[""; 0], 1)),
    ] {
        bad(m, &ids, shows, &frame);
    }
    let short = framed(
        17,
        &cbor(|w| {
            w.array(4).bytes(&[1; 32]).bytes(&[2; 8]).u64(3).u64(65_536);
        }),
    );
    bad(m, &ids, "an Unposted whose code has more than 16 bits", &short);
    let unknown = framed(
        17,
        &cbor(|w| {
            w.array(4).bytes(&[1; 32]).bytes(&[2; 8]).u64(3).u64(999);
        }),
    );
    good(m, &["C-1", "H-1"], "an Unposted with an unknown code", &unknown);
}

fn event(kind: u64, origin: impl FnOnce(&mut Writer), members: &[&str], bytes: impl FnOnce(&mut Writer)) -> Vec<u8> {
    framed(
        EVENT,
        &cbor(|w| {
            w.array(8).bytes(&[1; 32]).u64(0).u64(7).u64(kind).u64(2);
            origin(w);
            texts(w, members);
            bytes(w);
        }),
    )
}

fn null(w: &mut Writer) {
    w.null();
}

fn events(m: &mut Making) {
    let ids = ["L-2", "H-1"];
    let bytes = |n: usize| {
        move |w: &mut Writer| {
            w.bytes(&vec![6; n]);
        }
    };
    let tagged = |items: u64, len: usize| {
        move |w: &mut Writer| {
            w.array(items).bytes(&vec![2; len]);
            for number in 1..items {
                w.u64(number);
            }
        }
    };
    good(m, &ids, "an Event with neither author nor bytes", &event(2, null, &[], null));
    good(m, &ids, "an Event of as many bytes as there may be", &event(2, null, &[], bytes(limits::EVENT_BYTES)));
    for (shows, frame) in [
        ("an Event of an unknown kind", event(3, null, &[], bytes(1))),
        ("an Event with members out of order", event(0, null, &[BOB, ANN], bytes(1))),
        ("an Event whose author has no number", event(2, tagged(1, 8), &[], null)),
        ("an Event whose author has two numbers", event(2, tagged(3, 8), &[], null)),
        ("an Event whose author is a key", event(2, tagged(2, 32), &[], null)),
        (
            "an Event whose author is false",
            event(
                2,
                |w| {
                    w.bool(false);
                },
                &[],
                null,
            ),
        ),
        (
            "an Event whose bytes are a text",
            event(2, null, &[], |w| {
                w.str("sealed");
            }),
        ),
    ] {
        bad(m, &ids, shows, &frame);
    }
    let delivered = framed(
        21,
        &cbor(|w| {
            w.array(3).bytes(&[1; 32]).str("bob").u64(1);
        }),
    );
    bad(m, &ids, "a Delivered of no address", &delivered);
}

/// What stands for a leaf.
#[derive(Clone, Copy)]
enum Leaf {
    /// Nothing: the head at its place says it.
    Null,
    /// The hash of the head at its place.
    Own,
    /// Another hash.
    Other,
}

/// Heads with these leaves, heads of these places, all alike, a signature of this length, and heads of so many items.
fn heads_of(leaves: &[Leaf], places: &[u64], signature: usize, items: u64) -> Vec<u8> {
    let head = Head { conversation: ConversationId([1; 32]), term: 0, seq: 7, hash: Hash([7; 32]) };
    framed(
        HEADS,
        &cbor(|w| {
            w.array(3).list(leaves.iter(), |w, leaf| {
                match leaf {
                    Leaf::Null => w.null(),
                    Leaf::Own => w.bytes(&head.leaf().0),
                    Leaf::Other => w.bytes(&[8; 32]),
                };
            });
            w.list(places.iter(), |w, place| {
                w.array(items).u64(*place).bytes(&[1; 32]).u64(0).u64(7).bytes(&[7; 32]);
                for _ in 5..items {
                    w.u64(0);
                }
            });
            w.bytes(&vec![9; signature]);
        }),
    )
}

/// So many leaves, those of heads left out.
fn signed_heads(leaves: usize, places: &[u64], signature: usize, items: u64) -> Vec<u8> {
    let leaf = |at: usize| if places.contains(&(at as u64)) { Leaf::Null } else { Leaf::Other };
    heads_of(&(0..leaves).map(leaf).collect::<Vec<_>>(), places, signature, items)
}

fn heads(m: &mut Making) {
    let ids = ["L-2", "H-1"];
    for (shows, frame) in [
        ("Heads that the reader may know none of", signed_heads(3, &[], 64, 5)),
        ("Heads without leaves", signed_heads(0, &[], 64, 5)),
        ("as many Heads as there may be", signed_heads(limits::HEADS, &[0, 63], 64, 5)),
        ("Heads in any order", signed_heads(3, &[2, 0], 64, 5)),
        ("a leaf that isn't its head's, which shows at the verification", heads_of(&[Leaf::Other], &[0], 64, 5)),
        ("one head twice at a place that isn't its own", heads_of(&[Leaf::Other, Leaf::Other], &[0, 0], 64, 5)),
        ("a signature that is too short, and shows at the verification", signed_heads(1, &[0], 63, 5)),
    ] {
        good(m, &ids, shows, &frame);
    }
    for (shows, frame) in [
        ("a leaf more", signed_heads(limits::HEADS + 1, &[], 64, 5)),
        ("a place that no leaf has", signed_heads(2, &[2], 64, 5)),
        ("a place above 255", signed_heads(2, &[256], 64, 5)),
        ("more heads than leaves", signed_heads(2, &[0, 1, 1], 64, 5)),
        ("one head twice at its place", signed_heads(2, &[1, 1], 64, 5)),
        ("a leaf that should have been left out", heads_of(&[Leaf::Own], &[0], 64, 5)),
        ("a leaf left out that has no head", heads_of(&[Leaf::Null, Leaf::Null], &[1], 64, 5)),
        ("a head of six items", signed_heads(2, &[0], 64, 6)),
        ("a signature of 65 bytes", signed_heads(2, &[0], 65, 5)),
    ] {
        bad(m, &ids, shows, &frame);
    }
}

fn publish(items: u64, kind: u64, rest: impl FnOnce(&mut Writer)) -> Vec<u8> {
    framed(
        PUBLISH,
        &cbor(|w| {
            w.array(items).u64(8).u64(kind);
            rest(w);
        }),
    )
}

fn packages(n: usize, len: usize, last: Option<usize>) -> impl FnOnce(&mut Writer) {
    move |w| {
        w.list(0..n, |w, _| {
            w.bytes(&vec![3; len]);
        });
        w.maybe(last, |w, len| w.bytes(&vec![5; len]));
    }
}

fn blob(len: usize) -> impl FnOnce(&mut Writer) {
    move |w| {
        w.bytes(&vec![1; len]);
    }
}

fn publications(m: &mut Making) {
    let ids = ["L-2", "U-1"];
    let note = |key: usize, len: usize| {
        move |w: &mut Writer| {
            w.bytes(&vec![4; key]).bytes(&vec![6; len]);
        }
    };
    let proof = |theirs: &'static str, len: usize| {
        move |w: &mut Writer| {
            w.str(theirs).bytes(&vec![2; len]);
        }
    };
    let block = |theirs: &'static str, said: bool| {
        move |w: &mut Writer| {
            w.str(theirs);
            _ = if said { w.bool(true) } else { w.null() };
        }
    };
    for (shows, frame) in [
        ("the longest list", publish(3, 0, blob(limits::LIST_BYTES))),
        ("the longest key proof", publish(4, 1, proof(BOB, limits::LIST_BYTES))),
        ("as many key packages as there may be", publish(4, 2, packages(limits::PACKAGES, 9, None))),
        ("the longest key packages", publish(4, 2, packages(1, limits::PACKAGE_BYTES, Some(limits::PACKAGE_BYTES)))),
    ] {
        good(m, &ids, shows, &frame);
    }
    for (shows, frame) in [
        ("a longer list", publish(3, 0, blob(limits::LIST_BYTES + 1))),
        ("a longer key proof", publish(4, 1, proof(BOB, limits::LIST_BYTES + 1))),
        ("a key proof for nobody", publish(4, 1, proof("bob", 1))),
        ("one key package more", publish(4, 2, packages(limits::PACKAGES + 1, 9, None))),
        ("a longer key package", publish(4, 2, packages(1, limits::PACKAGE_BYTES + 1, None))),
        ("a longer last resort", publish(4, 2, packages(0, 0, Some(limits::PACKAGE_BYTES + 1)))),
        ("a note of a byte more than there may be", publish(4, 3, note(32, limits::NOTE_BYTES + 1))),
        ("a note to half a key", publish(4, 3, note(16, 1))),
        ("a publication of another kind", publish(3, 5, blob(1))),
        ("a list with an item more", publish(4, 0, note(1, 1))),
        ("a note with an item less", publish(3, 3, blob(1))),
        ("a block of nobody", publish(4, 4, block("bob", true))),
        ("a block that is neither", publish(4, 4, block(BOB, false))),
    ] {
        bad(m, &ids, shows, &frame);
    }
    let code = framed(
        23,
        &cbor(|w| {
            w.array(2).u64(8).u64(65_536);
        }),
    );
    bad(m, &ids, "a Published whose code has more than 16 bits", &code);
}

fn questions(m: &mut Making) {
    let ids = ["L-2", "U-1"];
    let asked = |kind: u64, rest: &dyn Fn(&mut Writer)| {
        framed(
            ASK,
            &cbor(|w| {
                w.array(5).u64(9).u64(kind);
                rest(w);
            }),
        )
    };
    let only = |n: usize, len: usize| {
        move |w: &mut Writer| {
            w.str(ANN).str(BOB).list(0..n, |w, _| {
                w.bytes(&vec![4; len]);
            });
        }
    };
    let range = |first: u64, last: u64| {
        move |w: &mut Writer| {
            w.bytes(&[1; 32]).u64(first).u64(last);
        }
    };
    good(m, &ids, "an Ask for as many devices as there may be", &asked(1, &only(limits::DEVICES, 32)));
    good(m, &ids, "an Ask for all devices", &asked(1, &only(0, 32)));
    good(m, &ids, "an Ask for a range that runs back, which isn't the stream's to judge", &asked(2, &range(9, 2)));
    for (shows, frame) in [
        ("an Ask for a device more", asked(1, &only(limits::DEVICES + 1, 32))),
        ("an Ask for half a key", asked(1, &only(1, 16))),
        ("an Ask of another kind", asked(3, &range(1, 2))),
        ("an Ask for lists of nobody", {
            asked(0, &|w| {
                w.str(ANN).str("").u64(0);
            })
        }),
        ("an Ask for lists by a kind for packages", {
            asked(1, &|w| {
                w.str(ANN).str(BOB).u64(0);
            })
        }),
    ] {
        bad(m, &ids, shows, &frame);
    }
    let answer = |items: u64, kind: u64, rest: &dyn Fn(&mut Writer)| {
        framed(
            ANSWER,
            &cbor(|w| {
                w.array(items).u64(9).u64(kind);
                rest(w);
            }),
        )
    };
    let list = |n: usize, len: usize| {
        move |w: &mut Writer| {
            w.list(0..n, |w, _| {
                w.bytes(&vec![1; len]);
            });
        }
    };
    let none = |_: &mut Writer| {};
    for (shows, frame) in [
        ("an Answer of as many lists as there may be", answer(3, 0, &list(limits::LISTS_PER_ANSWER, 9))),
        ("an Answer of the longest list", answer(3, 0, &list(1, limits::LIST_BYTES))),
        ("an Answer of no lists", answer(3, 0, &list(0, 0))),
        ("an Answer of as many key packages as there may be", answer(3, 1, &list(limits::DEVICES, 9))),
    ] {
        good(m, &ids, shows, &frame);
    }
    for (shows, frame) in [
        ("an Answer of a list more", answer(3, 0, &list(limits::LISTS_PER_ANSWER + 1, 9))),
        ("an Answer of a longer list", answer(3, 0, &list(1, limits::LIST_BYTES + 1))),
        ("an Answer of a key package more", answer(3, 1, &list(limits::DEVICES + 1, 9))),
        ("an Answer of a longer key package", answer(3, 1, &list(1, limits::PACKAGE_BYTES + 1))),
        ("an Answer of another kind", answer(2, 4, &none)),
        ("an Answer that all was sent, with an item more", answer(3, 2, &list(0, 0))),
        ("an Answer of lists without them", answer(2, 0, &none)),
        ("an Answer without its code", answer(2, 3, &none)),
    ] {
        bad(m, &ids, shows, &frame);
    }
}

fn lines_and_logins(m: &mut Making) {
    let ids = ["L-2", "U-1"];
    let line = |t2: usize, nk: usize, proof: usize| {
        framed(
            26,
            &cbor(|w| {
                w.array(6).str(BOB).bytes(&vec![1; t2]).bool(true).bytes(&vec![2; nk]).bytes(&vec![7; proof]).u64(0);
            }),
        )
    };
    good(m, &ids, "a Line with the longest key proof", &line(32, 32, limits::LIST_BYTES));
    for (shows, frame) in [
        ("a Line with a longer key proof", line(32, 32, limits::LIST_BYTES + 1)),
        ("a Line of half a T2", line(16, 32, 1)),
        ("a Line of half a key", line(32, 16, 1)),
        (
            "a Line that a number is the offerer of",
            framed(
                26,
                &cbor(|w| {
                    w.array(6).str(BOB).null().u64(1).bytes(&[2; 32]).null().u64(0);
                }),
            ),
        ),
    ] {
        bad(m, &ids, shows, &frame);
    }
    let login = |user: usize, password: usize| {
        framed(
            27,
            &cbor(|w| {
                w.array(2).str(&"u".repeat(user)).str(&"p".repeat(password));
            }),
        )
    };
    good(m, &ids, "the longest Login", &login(limits::LOGIN_BYTES, limits::PASSWORD_BYTES));
    good(m, &ids, "an empty Login", &login(0, 0));
    bad(m, &ids, "a Login with a longer name", &login(limits::LOGIN_BYTES + 1, 1));
    bad(m, &ids, "a Login with a longer password", &login(1, limits::PASSWORD_BYTES + 1));
    bad(m, &ids, "a Login of bytes that are no text", &framed(27, &[0x82, 0x61, 0xff, 0x61, 0x61]));
    m.good("frames.read", &["L-2", "U-1"], "a Login before Ready", ask(&[&login(3, 9)], false));
    let early = login(limits::LOGIN_BYTES, limits::PASSWORD_BYTES);
    m.bad("frames.read", &["L-2"], "a long Login before Ready", Class::TooBig, ask(&[&early], false));
}
