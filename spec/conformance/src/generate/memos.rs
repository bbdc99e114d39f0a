//! Memos: what is within, in its one form, and the box around it.

use postline_core::id::{ConversationId, Identity};
use postline_core::limits;
use postline_core::seal::{AddressIdentity, Secret, memo};
use postline_core::step::Tick;
use postline_core::time::Millis;
use postline_core::wire::cbor::Writer;
use postline_core::wire::mark::Position;
use postline_core::wire::memo::{Choice, Drawer, Memo, OfTalk};
use serde_json::{Value, json};

use super::Making;
use crate::answer::Class;
use crate::input::hex;

const ANN: Identity = Identity([1; 32]);
const SEED: [u8; 32] = [7; 32];
const NOW: Millis = Millis(1_795_000_000_000);

pub(super) fn memos() -> Making {
    let mut m = Making::new(
        "memos",
        "What a device tells its person's other devices of what was read and chosen: in its one form, and sealed.",
    );
    forms(&mut m);
    boxes(&mut m);
    m
}

fn choice(tells: bool) -> Option<Choice> {
    Some(Choice { at: NOW, tells })
}

fn of(n: u8, choice: Option<Choice>) -> OfTalk {
    let mut read = Position::upto(u64::from(n) * 100);
    read.add(u64::from(n) * 100 + 3, u64::from(n) * 100 + 4);
    OfTalk { conversation: ConversationId([n; 32]), read, choice }
}

fn all() -> [(&'static str, Memo); 5] {
    [
        ("nothing", Memo::default()),
        ("a question", Memo { asks: true, ..Memo::default() }),
        ("what is chosen for everywhere", Memo { general: choice(false), ..Memo::default() }),
        ("a conversation", Memo { talks: vec![of(3, None)], ..Memo::default() }),
        (
            "several, in any order",
            Memo { talks: vec![of(19, choice(true)), of(3, None), of(35, choice(false))], ..Memo::default() },
        ),
    ]
}

/// What is within, of these items.
fn within(items: u64, write: &dyn Fn(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::array_of(items);
    write(&mut w);
    w.into_bytes()
}

fn forms(m: &mut Making) {
    let ask = |bytes: &[u8]| json!({ "bytes": hex(bytes) });
    for (shows, memo) in all() {
        m.good("memo.read", &["A-12"], shows, ask(&memo.to_bytes()));
    }
    // Of too much, what can be said shorter is.
    let id = |n: usize| ConversationId(postline_core::store::sha256(&[&n.to_be_bytes()]).0);
    let many = (0..300).map(|n| OfTalk { conversation: id(n), ..of(9, choice(true)) });
    let many = Memo { talks: many.collect(), ..Memo::default() }.to_bytes();
    m.good("memo.read", &["A-13"], "as much as there is room for", ask(&many));
    let later = within(2, &|w| _ = w.u64(2).str("of another day"));
    m.good("memo.read", &["A-12"], "a later version says nothing", ask(&later));
    let talk = |w: &mut Writer, n: u8| _ = w.bytes(&[n; 32]).item(&Position::upto(7).to_bytes()).null();
    let head = |w: &mut Writer| _ = w.u64(1).bool(false).null();
    let good = Memo { talks: vec![of(3, choice(true))], ..Memo::default() }.to_bytes();
    for (shows, bytes) in [
        (
            "a conversation twice",
            within(4, &|w| {
                head(w);
                w.array(6);
                talk(w, 3);
                talk(w, 3);
            }),
        ),
        (
            "two items of a conversation",
            within(4, &|w| {
                head(w);
                w.array(2).bytes(&[3; 32]).item(&Position::upto(7).to_bytes());
            }),
        ),
        (
            "a short id",
            within(4, &|w| {
                head(w);
                w.array(3).bytes(&[3; 31]).item(&Position::upto(7).to_bytes()).null();
            }),
        ),
        (
            "a position in another form",
            within(4, &|w| {
                head(w);
                w.array(3).bytes(&[3; 32]).item(&[0x82, 7, 0x41, 0]).null();
            }),
        ),
        (
            "a choice of one item",
            within(4, &|w| {
                w.u64(1).bool(false).item(&[0x81, 9]).array(0);
            }),
        ),
        (
            "a choice of a number",
            within(4, &|w| {
                w.u64(1).bool(false).item(&[0x82, 9, 1]).array(0);
            }),
        ),
        (
            "a choice of later than there is",
            within(4, &|w| {
                w.u64(1).bool(false).item(&[0x82, 0x20, 0xf5]).array(0);
            }),
        ),
        (
            "asks by a number",
            within(4, &|w| {
                w.u64(1).u64(0).null().array(0);
            }),
        ),
        (
            "three items",
            within(3, &|w| {
                w.u64(1).bool(false).null();
            }),
        ),
        (
            "five items",
            within(5, &|w| {
                head(w);
                w.array(0).null();
            }),
        ),
        (
            "a text for the conversations",
            within(4, &|w| {
                head(w);
                w.str("");
            }),
        ),
        ("more behind it", [&good[..], &[0]].concat()),
        ("a number in a longer form", [&[0x84, 0x18, 1], good.get(2..).unwrap_or_default()].concat()),
        ("nothing at all", Vec::new()),
        ("no list", vec![0x01]),
    ] {
        m.bad("memo.read", &["A-12"], shows, Class::Malformed, ask(&bytes));
    }
    for at in [1, 2, 3, 4, 20, good.len() - 1] {
        m.bad(
            "memo.read",
            &["A-12"],
            &format!("cut at {at}"),
            Class::Malformed,
            ask(good.get(..at).unwrap_or_default()),
        );
    }
}

fn boxes(m: &mut Making) {
    let person = AddressIdentity::new(&Secret::new(SEED));
    let sealed = |n: u8, drawer: Drawer, memo: &Memo| {
        memo::seal(&Tick { now: NOW, entropy: [n; 32] }, &person, ANN, drawer, memo)
    };
    let ask = |bytes: &[u8]| json!({ "seed": hex(SEED), "identity": hex(ANN.0), "bytes": hex(bytes) });
    let drawers = [
        Drawer::of(ConversationId([3; 32])),
        Drawer::QUESTION,
        Drawer::GENERAL,
        Drawer::of(ConversationId([3; 32])),
        Drawer::of(ConversationId([3; 32])),
    ];
    for (n, ((shows, memo), drawer)) in (0..).zip(all().iter().zip(drawers)) {
        m.good("memo.open", &["A-12"], shows, ask(&sealed(n, drawer, memo)));
    }
    let bytes = sealed(9, Drawer::GENERAL, &Memo { general: choice(true), ..Memo::default() });
    let with = |member: &str, value: Value| {
        let mut asked = ask(&bytes);
        if let Some(members) = asked.as_object_mut() {
            members.insert(member.to_owned(), value);
        }
        asked
    };
    m.bad("memo.open", &["A-12"], "under another key", Class::Code, with("seed", json!(hex([8; 32]))));
    m.bad("memo.open", &["A-12"], "of another person", Class::Malformed, with("identity", json!(hex([2; 32]))));
    let changed = |at: usize, by: u8| {
        let mut other = bytes.clone();
        other.get_mut(at).into_iter().for_each(|byte| *byte ^= by);
        other
    };
    for (shows, class, other) in [
        ("in another drawer", Class::Malformed, changed(1, 1)),
        ("in a drawer that there isn't", Class::Malformed, changed(1, 2)),
        ("of another salt", Class::Code, changed(5, 1)),
        ("of another commitment", Class::Code, changed(24, 1)),
        ("a box that was changed", Class::Malformed, changed(bytes.len() - 1, 1)),
        ("a box that was cut", Class::Malformed, bytes.get(..bytes.len() - 1).unwrap_or_default().to_vec()),
        ("nothing", Class::Malformed, Vec::new()),
        ("more behind it", Class::Malformed, [&bytes[..], &[0]].concat()),
        ("over the bound of a note", Class::TooBig, vec![0x83; limits::NOTE_BYTES + 1]),
    ] {
        m.bad("memo.open", &["A-12"], shows, class, ask(&other));
    }
}
