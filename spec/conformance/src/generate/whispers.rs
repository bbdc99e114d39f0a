//! What is whispered: one of each kind and of all that it says, and what is none.

use postline_core::limits;
use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use super::frames::{ask, cbor, framed, wrapped_wrongly};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

const ANN: &str = "ann@a.example";
const BOB: &str = "bob@b.example";
const WHISPER: u8 = 129;

pub(super) fn whispers() -> Making {
    let mut m = Making::new(
        "whispers",
        "Who is here and who writes, as bytes on a stream: one of each kind and of all that it says; and what is none.",
    );
    let mut first = None;
    for (shows, frame) in one_of_each() {
        let made = m.good("frame.make", &["L-2", "W-11"], shows, json!({ "frame": frame }));
        let bytes = made.get("bytes").and_then(as_bytes).unwrap_or_default();
        m.good("frames.read", &["L-2", "W-11"], shows, ask(&[&bytes], true));
        first.get_or_insert(bytes);
    }
    wrapped_wrongly(&mut m, WHISPER, &first.unwrap_or_default());
    bounds(&mut m);
    words(&mut m);
    others(&mut m);
    m
}

fn one_of_each() -> Vec<(&'static str, Value)> {
    let delta = |word: u64| json!({ "of": ANN, "to": BOB, "word": word });
    let away = json!({ "of": BOB, "to": ANN, "last": 900_000 });
    let choice = |chosen: Value, agrees: bool| json!({ "theirs": BOB, "chosen": chosen, "agrees": agrees });
    vec![
        ("changes of every kind", json!({ "type": WHISPER, "deltas": [delta(0), delta(1), delta(2), away] })),
        ("no change", json!({ "type": WHISPER, "deltas": [] })),
        ("somebody who writes", json!({ "type": WHISPER, "who": ANN, "conversation": hex([1; 32]) })),
        ("somebody who is here", json!({ "type": WHISPER })),
        (
            "what a person has chosen",
            json!({ "type": WHISPER, "choices": [
                choice(json!(70_000), true), choice(json!("18446744073709551615"), false),
            ] }),
        ),
        ("nothing chosen", json!({ "type": WHISPER, "choices": [] })),
    ]
}

fn good(m: &mut Making, shows: &str, write: impl Fn(&mut Writer)) {
    m.good("frames.read", &["L-2", "W-11"], shows, ask(&[&framed(WHISPER, &cbor(write))], true));
}

fn bad(m: &mut Making, shows: &str, write: impl Fn(&mut Writer)) {
    m.bad("frames.read", &["L-2", "W-11"], shows, Class::Malformed, ask(&[&framed(WHISPER, &cbor(write))], true));
}

fn bounds(m: &mut Making) {
    let deltas = |n: usize| {
        move |w: &mut Writer| {
            w.array(2).u64(0).list((0..n).map(|at| format!("p{at:02}@b.example")), |w, who| {
                w.array(3).str(&who).str(ANN).u64(1);
            });
        }
    };
    let choices = |n: usize| {
        move |w: &mut Writer| {
            w.array(2).u64(3).list((0..n).map(|at| format!("p{at:02}@b.example")), |w, who| {
                w.array(3).str(&who).u64(7).bool(true);
            });
        }
    };
    good(m, "as many changes as may be", deltas(limits::PRESENCE_DELTAS));
    bad(m, "one more", deltas(limits::PRESENCE_DELTAS + 1));
    good(m, "as many choices as may be", choices(limits::PRESENCE_DELTAS));
    bad(m, "one more choice", choices(limits::PRESENCE_DELTAS + 1));
    good(m, "the same change twice", |w| {
        w.array(2).u64(0).array(2);
        for _ in 0..2 {
            w.array(3).str(ANN).str(BOB).u64(1);
        }
    });
}

fn words(m: &mut Making) {
    bad(m, "a word of another number", |w| {
        w.array(2).u64(0).array(1).array(3).str(ANN).str(BOB).u64(4);
    });
    bad(m, "away at no time", |w| {
        w.array(2).u64(0).array(1).array(3).str(ANN).str(BOB).u64(3);
    });
    bad(m, "away at two times", |w| {
        w.array(2).u64(0).array(1).array(5).str(ANN).str(BOB).u64(3).u64(1).u64(2);
    });
    bad(m, "away at a text", |w| {
        w.array(2).u64(0).array(1).array(4).str(ANN).str(BOB).u64(3).str("1");
    });
    bad(m, "here at a time", |w| {
        w.array(2).u64(0).array(1).array(4).str(ANN).str(BOB).u64(2).u64(1);
    });
    bad(m, "no word", |w| {
        w.array(2).u64(0).array(1).array(2).str(ANN).str(BOB);
    });
    bad(m, "of nobody", |w| {
        w.array(2).u64(0).array(1).array(3).str("").str(BOB).u64(0);
    });
    bad(m, "of an address that isn't in normal form", |w| {
        w.array(2).u64(0).array(1).array(3).str("ann@A.example").str(BOB).u64(0);
    });
}

fn others(m: &mut Making) {
    bad(m, "a whisper of another number", |w| {
        w.array(1).u64(4);
    });
    bad(m, "a whisper of no number", |w| {
        w.array(0);
    });
    bad(m, "changes that aren't there", |w| {
        w.array(1).u64(0);
    });
    bad(m, "who is here, and more", |w| {
        w.array(2).u64(2).array(0);
    });
    bad(m, "somebody who writes nowhere", |w| {
        w.array(2).u64(1).str(ANN);
    });
    bad(m, "a conversation of 31 bytes", |w| {
        w.array(3).u64(1).str(ANN).bytes(&[1; 31]);
    });
    bad(m, "a choice that is neither", |w| {
        w.array(2).u64(3).array(1).array(3).str(BOB).u64(7).u64(1);
    });
    bad(m, "a choice of no time", |w| {
        w.array(2).u64(3).array(1).array(2).str(BOB).bool(true);
    });
}
