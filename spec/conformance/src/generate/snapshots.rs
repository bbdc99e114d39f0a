//! Conversations of a few events, which come in several orders and often, and the snapshot that each of them makes.

use core::num::NonZeroU32;

use postline_core::content::message::{Fields, Topic};
use postline_core::content::part::{Body, Disposition, Multi, Part, Semantics};
use postline_core::content::uri::Uri;
use postline_core::id::{ContentId, ConversationId, Identity};
use postline_core::limits;
use postline_core::store::sha256;
use postline_core::wire::cbor::Writer;
use postline_core::wire::content::Content;
use postline_core::wire::control::{Control, Policy, Target};
use serde_json::{Value, json};

use super::Making;
use crate::answer::Class;
use crate::input::{hex, number};

const TALK: ConversationId = ConversationId([0x22; 32]);
const ANN: Identity = Identity([0x11; 32]);
const BEN: Identity = Identity([0x12; 32]);
const CAT: Identity = Identity([0x13; 32]);

pub(super) fn snapshots() -> Making {
    let mut m = Making::new(
        "snapshots",
        "What people see of a conversation, from its events in any order and however often, as bytes and as a hash.",
    );
    let made = words(&mut m).and_then(|()| signs(&mut m)).and_then(|()| leads(&mut m)).and_then(|()| bad(&mut m));
    if let Err(why) = made.and_then(|()| controls(&mut m)) {
        m.wrong.push(format!("no content: {why}"));
    }
    m
}

type Made<T> = Result<T, postline_core::content::refusal::ContentFault>;

#[derive(Clone)]
struct Event {
    seq: u64,
    author: Identity,
    content: Content,
    about: Option<u64>,
}

impl Event {
    fn id(&self) -> ContentId {
        self.content.id(&Uri::person(self.author), &Uri::room(TALK))
    }

    fn about(self, about: u64) -> Self {
        Self { about: Some(about), ..self }
    }

    fn at(&self, seq: u64) -> Self {
        Self { seq, ..self.clone() }
    }

    fn json(&self) -> Value {
        let mut event =
            json!({ "seq": number(self.seq), "author": hex(self.author.0), "content": hex(self.content.bytes()) });
        if let (Some(about), Some(members)) = (self.about, event.as_object_mut()) {
            members.insert("about".to_owned(), number(about));
        }
        event
    }
}

/// Salts are drawn from the place, as everything here.
fn salt(seq: u64) -> [u8; 16] {
    sha256(&[b"salt", &seq.to_be_bytes()]).half()
}

fn event(seq: u64, author: Identity, fields: Fields, about: Option<u64>) -> Made<Event> {
    Ok(Event { seq, author, content: Content::new(fields)?, about })
}

fn text(seq: u64, text: &str) -> Made<Fields> {
    Ok(Fields::new(salt(seq), Part::plain(text)?))
}

fn says(seq: u64, author: Identity, words: &str) -> Made<Event> {
    event(seq, author, text(seq, words)?, None)
}

fn answers(seq: u64, author: Identity, to: &Event, words: &str) -> Made<Event> {
    event(seq, author, Fields { in_reply_to: Some(to.id()), ..text(seq, words)? }, Some(to.seq))
}

fn edits(seq: u64, author: Identity, first: &Event, no: u32, words: &str) -> Made<Event> {
    let Fields { topic, expires, in_reply_to, .. } = first.content.fields().clone();
    let fields = Fields { topic, expires, in_reply_to, ..text(seq, words)? };
    let fields = match NonZeroU32::new(no) {
        Some(no) => fields.edit(first.id(), no),
        None => Fields { replaces: Some(first.id()), ..fields },
    };
    event(seq, author, fields, Some(first.seq))
}

fn retracts(seq: u64, author: Identity, first: &Event) -> Made<Event> {
    event(seq, author, Fields::retract(salt(seq), first.id()), Some(first.seq))
}

fn reacts(seq: u64, author: Identity, to: &Event, sign: &str) -> Made<Event> {
    event(seq, author, Fields::react(salt(seq), to.id(), sign)?, Some(to.seq))
}

fn withdraws(seq: u64, author: Identity, at: &Event, reaction: &Event) -> Made<Event> {
    event(seq, author, Fields::withdraw(salt(seq), at.id(), reaction.id()), Some(at.seq))
}

/// In order, backwards, from the middle on, and shuffled with each of them twice.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let order: Vec<usize> = (0..count).collect();
    let mut turned = order.clone();
    turned.rotate_left(count / 2);
    let mut twice: Vec<(_, usize)> =
        (0..2 * count).map(|n| (sha256(&[b"order", &n.to_be_bytes()]), n % count.max(1))).collect();
    twice.sort();
    let backwards = order.iter().rev().copied().collect();
    vec![order, backwards, turned, twice.into_iter().map(|(_, index)| index).collect()]
}

fn ask(events: &[Event], orders: &[Vec<usize>]) -> Value {
    let events: Vec<Value> = events.iter().map(Event::json).collect();
    json!({ "conversation": hex(TALK.0), "events": events, "orders": orders })
}

/// Makes the vector, and holds all orders to one hash.
fn alike(m: &mut Making, ids: &[&str], shows: &str, events: &[Event]) {
    let made = m.good("snapshot.make", ids, shows, ask(events, &orders(events.len())));
    same(m, shows, &made);
}

fn same(m: &mut Making, shows: &str, made: &Value) {
    let hashes = made.get("hashes").and_then(Value::as_array).cloned().unwrap_or_default();
    if hashes.is_empty() || hashes.windows(2).any(|two| two.first() != two.last()) {
        m.wrong.push(format!("{shows}: {hashes:?}, want one hash"));
    }
}

fn words(m: &mut Making) -> Made<()> {
    let ids = ["R-14", "R-15"];
    let first = says(1, ANN, "hello")?;
    let (one, two) = (edits(2, ANN, &first, 1, "hello there")?, edits(3, ANN, &first, 2, "hello to all")?);
    let other = edits(4, ANN, &first, 2, "hello again")?;
    let gone = retracts(6, ANN, &first)?;
    m.good("snapshot.make", &ids, "nothing was said", ask(&[], &[Vec::new()]));
    alike(m, &ids, "a message", std::slice::from_ref(&first));
    alike(
        m,
        &["R-6", "R-15"],
        "edits, two of them of one number",
        &[first.clone(), one.clone(), two.clone(), other.clone()],
    );
    alike(m, &["R-7", "R-15"], "taken back", &[first.clone(), one.clone(), other.clone(), gone.clone()]);
    alike(m, &["R-9", "R-15"], "its first hasn't come", &[one.clone(), gone.clone()]);
    let (foreign, theirs) = (edits(5, BEN, &first, 9, "not mine")?, retracts(7, BEN, &first)?);
    alike(m, &["R-2", "R-15"], "what isn't theirs to change", &[first.clone(), foreign, theirs]);
    let moved = Fields { topic: Topic::from_first(first.id()), ..text(8, "elsewhere")? };
    let moved = event(8, ANN, moved.edit(first.id(), NonZeroU32::MIN), Some(1))?;
    let unnumbered = edits(9, ANN, &first, 0, "without a number")?;
    let over = edits(10, ANN, &first, limits::EDIT_NO + 1, "over the last number")?;
    let last = edits(11, ANN, &first, limits::EDIT_NO, "the last number")?;
    alike(
        m,
        &["R-1", "R-4", "R-15"],
        "of another thread, without a number, over the last",
        &[first.clone(), moved, unnumbered, over, last],
    );
    let most = limits::EDITS as u64 + 3;
    let mut many = vec![first.clone()];
    for n in 1..=most {
        many.push(edits(1 + n, ANN, &first, n as u32, &n.to_string())?);
    }
    alike(m, &["R-6", "R-15"], "more edits than are kept", &many);
    // What lies elsewhere, and what lies there twice.
    let second = says(12, ANN, "another")?;
    let (astray, astray_too) = (edits(13, ANN, &first, 3, "astray")?.about(12), retracts(14, ANN, &first)?.about(12));
    let version = Event { about: Some(2), ..event(15, ANN, Fields::retract(salt(15), one.id()), None)? };
    alike(
        m,
        &["R-13", "R-15"],
        "of a place where something else lies",
        &[first.clone(), one.clone(), second, astray, astray_too, version],
    );
    let again = first.at(5);
    let edited = edits(7, ANN, &again, 1, "the one at 5")?;
    alike(
        m,
        &["R-13", "R-15"],
        "one content at two places, of which one is taken back",
        &[first.clone(), again, gone, edited],
    );
    Ok(())
}

fn signs(m: &mut Making) -> Made<()> {
    let first = says(1, ANN, "hello")?;
    let one = edits(2, ANN, &first, 1, "hello there")?;
    let (yes, party) = (reacts(3, BEN, &first, "👍")?, reacts(4, BEN, &one, "🎉")?);
    let (also, over) = (reacts(5, CAT, &one, "👍")?, withdraws(6, BEN, &first, &yes)?);
    let theirs = withdraws(7, CAT, &one, &party)?;
    let here = [first.clone(), one.clone(), yes.clone(), party.clone(), also.clone()];
    alike(m, &["R-10", "R-15"], "signs at two versions", &here);
    alike(m, &["R-10", "R-15"], "one taken back, and one that isn't theirs", &[&here[..], &[over, theirs]].concat());
    let several: Vec<Part> = ["b", "a", "b", "", "c"]
        .into_iter()
        .map(|sign| {
            Fields::react([0; 16], first.id(), if sign.is_empty() { "-" } else { sign }).map(|fields| fields.body)
        })
        .collect::<Made<_>>()?;
    let body = Multi::new(Semantics::ProcessAll, several)?;
    let body = Part { disposition: Disposition::REACTION, language: Default::default(), body: Body::Multi(body) };
    let many = event(8, BEN, Fields { in_reply_to: Some(first.id()), ..Fields::new(salt(8), body) }, Some(1))?;
    let instead = Fields { replaces: Some(yes.id()), ..Fields::react(salt(9), first.id(), "👎")? };
    let instead = event(9, BEN, instead, Some(1))?;
    alike(
        m,
        &["R-10", "R-15"],
        "several at once, and one in place of another",
        &[first.clone(), yes.clone(), many.clone(), instead],
    );
    alike(
        m,
        &["R-10", "R-15"],
        "several at once, taken back",
        &[first.clone(), many.clone(), withdraws(10, BEN, &first, &many)?],
    );
    let gone = retracts(11, ANN, &first)?;
    alike(m, &["R-10", "R-15"], "at what is taken back", &[first.clone(), yes.clone(), gone]);
    let foreign = edits(12, CAT, &first, 5, "not mine")?;
    let (at_foreign, behind) = (reacts(13, BEN, &foreign, "?")?, reacts(14, BEN, &first, "!")?.about(20));
    let ahead = reacts(15, CAT, &yes, "#")?;
    alike(
        m,
        &["R-11", "R-13", "R-15"],
        "at a version that doesn't count, at what lies behind, at a reaction",
        &[first.clone(), yes, foreign, at_foreign, behind, ahead],
    );
    let mut flood = vec![first.clone()];
    for n in 0..limits::REACTIONS as u64 + 3 {
        flood.push(reacts(2 + n, BEN, &first, &n.to_string())?);
    }
    alike(m, &["R-10", "R-15"], "more than are kept of a person", &flood);
    Ok(())
}

fn leads(m: &mut Making) -> Made<()> {
    let (first, second) = (says(1, ANN, "one")?, says(2, BEN, "two")?);
    let one = edits(3, ANN, &first, 1, "one, edited")?;
    let (to_first, to_edit) = (answers(4, BEN, &first, "to the first")?, answers(5, CAT, &one, "to the edit")?);
    let astray = answers(6, CAT, &first, "astray")?.about(2);
    let behind = answers(7, CAT, &first, "behind")?.about(9);
    let unsaid = event(8, CAT, Fields { in_reply_to: Some(first.id()), ..text(8, "nowhere")? }, None)?;
    let all = [first.clone(), second.clone(), one.clone(), to_first.clone(), to_edit.clone(), astray, behind, unsaid];
    let ids = ["R-11", "R-13", "R-15"];
    alike(m, &ids, "answers to two versions, and some that lead nowhere", &all);
    alike(m, &ids, "answers to what hasn't come", &[second.clone(), to_first.clone(), to_edit.clone()]);
    alike(m, &ids, "an answer to an edit whose first hasn't come", &[one.clone(), to_edit.clone()]);
    let later = edits(10, BEN, &to_first, 1, "to the first, edited")?;
    alike(m, &ids, "an answer, edited", &[first.clone(), to_first.clone(), later.clone()]);
    alike(m, &ids, "an answer, taken back", &[first.clone(), to_first.clone(), retracts(11, BEN, &to_first)?]);
    let thread = Fields { topic: Topic::from_first(first.id()), ..text(12, "in its thread")? };
    alike(m, &ids, "in a thread", &[first.clone(), event(12, BEN, thread, None)?]);
    for from in [2, 4, 9, u64::MAX] {
        let events = [first.clone(), second.clone(), one.clone(), to_first.clone(), to_edit.clone(), later.clone()];
        let mut asked = ask(&events, &orders(events.len()));
        if let Some(members) = asked.as_object_mut() {
            members.insert("from".to_owned(), number(from));
        }
        let shows = format!("from place {from} on");
        let made = m.good("snapshot.make", &["R-14", "R-15"], &shows, asked);
        same(m, &shows, &made);
    }
    Ok(())
}

/// Something that is done at a place.
fn does(seq: u64, author: Identity, control: &Control) -> Value {
    let mut w = Writer::default();
    control.write(&mut w);
    json!({ "seq": number(seq), "author": hex(author.0), "control": hex(w.into_bytes()) })
}

fn pins(seq: u64, author: Identity, of: &Event, pinned: bool) -> Value {
    let of = Target { message: of.id(), place: of.seq };
    does(seq, author, &if pinned { Control::Pin(of) } else { Control::Unpin(of) })
}

/// As [`alike`], of what is said and what is done, from a place on.
fn done(m: &mut Making, shows: &str, from: u64, said: &[Event], done: &[Value]) {
    let events: Vec<Value> = said.iter().map(Event::json).chain(done.iter().cloned()).collect();
    let mut asked = json!({ "conversation": hex(TALK.0), "events": events, "orders": orders(events.len()) });
    if let Some(members) = asked.as_object_mut().filter(|_| from > 1) {
        members.insert("from".to_owned(), number(from));
    }
    let made = m.good("snapshot.make", &["R-17", "R-15"], shows, asked);
    same(m, shows, &made);
}

fn controls(m: &mut Making) -> Made<()> {
    let (first, second) = (says(1, ANN, "one")?, says(2, BEN, "two")?);
    let words = edits(3, ANN, &first, 1, "one, edited")?;
    let both = [first.clone(), second.clone()];
    let policy = |seq, policy, set| does(seq, CAT, &Control::Policy { policy, set });
    let removal = does(9, ANN, &Control::Remove(Target { message: second.id(), place: 2 }));
    done(m, "a pin", 1, &both, &[pins(3, BEN, &first, true)]);
    done(m, "a pin and its end", 1, &both, &[pins(3, BEN, &first, true), pins(4, ANN, &first, false)]);
    done(m, "an end, and a pin behind it", 1, &both, &[pins(3, BEN, &first, false), pins(4, ANN, &first, true)]);
    done(m, "pinned twice", 1, &both, &[pins(3, BEN, &first, true), pins(4, ANN, &first, true)]);
    done(
        m,
        "two pins, one of an edited message",
        1,
        &[first.clone(), second.clone(), words.clone()],
        &[pins(4, BEN, &second, true), pins(5, CAT, &first, true)],
    );
    done(
        m,
        "a pin of a version, of another place, of what comes later, of what is taken back",
        1,
        &[first.clone(), second.clone(), words.clone(), says(7, CAT, "later")?, retracts(8, BEN, &second)?],
        &[
            pins(4, BEN, &words, true),
            pins(5, BEN, &first.at(2), true),
            pins(6, BEN, &says(7, CAT, "later")?, true),
            pins(9, BEN, &second, true),
        ],
    );
    done(m, "a pin of what hasn't come", 1, std::slice::from_ref(&second), &[pins(3, BEN, &first, true)]);
    done(m, "nobody may remove", 1, &both, std::slice::from_ref(&removal));
    done(m, "forbidden", 1, &both, &[policy(3, Policy::Forbidden, None)]);
    done(
        m,
        "required, said once more",
        1,
        &both,
        &[
            policy(5, Policy::Required, Some(3)),
            policy(4, Policy::Forbidden, Some(9)),
            policy(6, Policy::Optional, Some(2)),
        ],
    );
    done(
        m,
        "optional again is as if nobody had said anything",
        1,
        &both,
        &[policy(3, Policy::Forbidden, None), policy(4, Policy::Optional, None)],
    );
    done(
        m,
        "a policy, of a place with no message behind it",
        7,
        &both,
        &[policy(3, Policy::Forbidden, None), pins(4, ANN, &first, true)],
    );
    // More than are shown, and more than are kept.
    let many = limits::PINS_KNOWN as u64 + 3;
    let said = (1..=many).map(|seq| says(seq, ANN, &seq.to_string())).collect::<Made<Vec<_>>>()?;
    let pinned: Vec<Value> = (0..many).zip(&said).map(|(n, of)| pins(many + 1 + n, BEN, of, n % 5 > 0)).collect();
    done(m, "more pins than are kept", 1, &said, &pinned);
    done(m, "more pins than are kept, from the last three messages on", many - 2, &said, &pinned);
    let bad = |control: &str| {
        json!({ "conversation": hex(TALK.0), "orders": [[0]],
        "events": [{ "seq": 3, "author": hex(BEN.0), "control": control }] })
    };
    let pin = format!("83005820{}01", "07".repeat(32));
    for (shows, control) in [
        ("a pin of place 0", format!("{}00", &pin[..pin.len() - 2])),
        ("a pin of a short id", format!("8300581f{}01", "07".repeat(31))),
        ("a pin and more", format!("{pin}00")),
        ("half a pin", pin[..20].to_owned()),
        ("a policy of later days", "830303f6".to_owned()),
        ("a number in a longer form", "83031800f6".to_owned()),
        ("nothing", String::new()),
    ] {
        m.bad("snapshot.make", &["V-1", "R-17"], shows, Class::Malformed, bad(&control));
    }
    Ok(())
}

fn bad(m: &mut Making) -> Made<()> {
    let (first, second) = (says(1, ANN, "one")?, says(2, BEN, "two")?);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut asked = ask(&[first.clone(), second.clone()], &orders(2));
        change(&mut asked);
        asked
    };
    let mut refuse = |shows: &str, class: Class, change: &dyn Fn(&mut Value)| {
        m.bad("snapshot.make", &["M-1", "R-14"], shows, class, with(change));
    };
    let set = |asked: &mut Value, event: usize, member: &str, value: Value| {
        if let Some(members) = asked.pointer_mut(&format!("/events/{event}")).and_then(Value::as_object_mut) {
            members.insert(member.to_owned(), value);
        }
    };
    let bytes = first.content.bytes();
    refuse("two events at one place", Class::Malformed, &|asked| set(asked, 1, "seq", number(1)));
    refuse("an event at place 0", Class::Malformed, &|asked| set(asked, 0, "seq", number(0)));
    for length in [0, 1, 17, 18, 20, bytes.len() / 2, bytes.len() - 1] {
        let cut = bytes.get(..length).unwrap_or_default();
        refuse(&format!("a content cut at {length}"), Class::Malformed, &|asked| {
            set(asked, 0, "content", json!(hex(cut)))
        });
    }
    refuse("bytes behind a content", Class::Malformed, &|asked| {
        set(asked, 1, "content", json!(hex([bytes, &[0]].concat())))
    });
    refuse("a content that is too long", Class::TooBig, &|asked| {
        set(asked, 1, "content", json!(hex(vec![0x87; limits::CONTENT_BYTES + 1])));
    });
    let mut claims = text(1, "not I")?;
    claims.extensions.sender = Some(Uri::person(CAT));
    let claims = Content::new(claims)?;
    refuse("a content that names another sender", Class::Malformed, &|asked| {
        set(asked, 0, "content", json!(hex(claims.bytes())))
    });
    let mut claims = text(1, "not here")?;
    claims.extensions.room = Some(Uri::room(ConversationId([1; 32])));
    let claims = Content::new(claims)?;
    refuse("a content that names another room", Class::Malformed, &|asked| {
        set(asked, 0, "content", json!(hex(claims.bytes())))
    });
    // Each byte that is no part of a text or of the salt says something that must be as it is.
    for at in [0, 1, 18, 19, 20, 21, 22, 23] {
        let mut other = bytes.to_vec();
        if let Some(byte) = other.get_mut(at) {
            *byte ^= 0x40;
        }
        if Content::parse(&other).is_err() {
            refuse(&format!("a content whose byte {at} is another"), Class::Malformed, &|asked| {
                set(asked, 0, "content", json!(hex(&other)))
            });
        }
    }
    Ok(())
}
