//! Frames about sealed conversations, as JSON.

use postline_core::fault::Code;
use postline_core::id::{Address, ConversationId, DeviceKey, DeviceTag, Hash, NodeKey};
use postline_core::wire::talk::{
    Event, Finding, Head, Heads, Kind, Line, Origin, Password, Post, Publication, Question, Talk,
};
use serde_json::{Map, Value, json};

use crate::input::{Input, Unfit, as_bytes, hex, number};

/// The members of a frame's object, its type aside.
pub(super) fn shown(talk: Talk) -> Value {
    match talk {
        Talk::Post(post) => json!({
            "conversation": hex(post.conversation.0), "device": hex(post.origin.device.0),
            "number": number(post.origin.number), "kind": post.kind as u8, "epoch": number(post.epoch),
            "members": addresses(&post.members), "bytes": hex(post.bytes),
        }),
        Talk::Unposted { conversation, origin, code } => json!({
            "conversation": hex(conversation.0), "device": hex(origin.device.0),
            "number": number(origin.number), "code": code as u16,
        }),
        Talk::Event(event) => without_nulls(json!({
            "conversation": hex(event.conversation.0), "term": number(event.term), "seq": number(event.seq),
            "kind": event.kind as u8, "epoch": number(event.epoch),
            "device": event.origin.map(|origin| hex(origin.device.0)),
            "number": event.origin.map(|origin| number(origin.number)),
            "members": addresses(&event.members), "bytes": event.bytes.map(hex),
        })),
        Talk::Have { conversation, seq } => json!({ "conversation": hex(conversation.0), "seq": number(seq) }),
        Talk::Heads(heads) => json!({
            "leaves": heads.leaves.iter().map(|leaf| hex(leaf.0)).collect::<Vec<_>>(),
            "heads": heads.heads.iter().map(|(place, head)| shown_head(*place, head)).collect::<Vec<_>>(),
            "signature": hex(heads.signature),
        }),
        Talk::Delivered { conversation, member, seq } => {
            json!({ "conversation": hex(conversation.0), "member": member.to_string(), "seq": number(seq) })
        }
        Talk::Publish { number, what } => numbered(number, shown_publication(what)),
        Talk::Published { number, code } => numbered(number, json!({ "code": code.map(|code| code as u16) })),
        Talk::Ask { number, what } => numbered(number, shown_question(what)),
        Talk::Answer { number: given, what } => numbered(
            given,
            match what {
                Ok(Finding::Lists(lists)) => json!({ "lists": all(lists) }),
                Ok(Finding::Packages(packages)) => json!({ "packages": all(packages) }),
                Ok(Finding::Sent) => json!({}),
                Err(code) => json!({ "code": code as u16 }),
            },
        ),
        Talk::Line(line) => without_nulls(json!({
            "theirs": line.theirs.to_string(), "t2": line.t2.map(|t2| hex(t2.0)), "offered": line.offered,
            "nk": hex(line.nk.0), "proof": line.proof.map(hex), "newest": number(line.list),
        })),
        Talk::Login { user, password } => json!({ "user": user, "password": password.0.as_str() }),
    }
}

fn shown_publication(what: Publication) -> Value {
    match what {
        Publication::List(list) => json!({ "list": hex(list) }),
        Publication::Proof { theirs, bytes } => json!({ "theirs": theirs.to_string(), "proof": hex(bytes) }),
        Publication::Packages { once, last_resort } => {
            json!({ "packages": all(once), "last_resort": last_resort.map(hex) })
        }
        Publication::Note { to, bytes } => json!({ "device": to.map(|to| hex(to.0)), "note": hex(bytes) }),
        Publication::Block { theirs, blocked } => json!({ "theirs": theirs.to_string(), "blocked": blocked }),
    }
}

fn shown_question(what: Question) -> Value {
    match what {
        Question::Lists { asker, whose, after } => {
            json!({ "asker": asker.to_string(), "whose": whose.to_string(), "after": number(after) })
        }
        Question::Packages { asker, whose, only } => json!({
            "asker": asker.to_string(), "whose": whose.to_string(),
            "only": only.iter().map(|dk| hex(dk.0)).collect::<Vec<_>>(),
        }),
        Question::Range { conversation, from, to } => {
            json!({ "conversation": hex(conversation.0), "first": number(from), "last": number(to) })
        }
    }
}

fn shown_head(place: u8, head: &Head) -> Value {
    json!({
        "place": place, "conversation": hex(head.conversation.0), "term": number(head.term),
        "seq": number(head.seq), "hash": hex(head.hash.0),
    })
}

fn addresses(members: &[Address]) -> Vec<String> {
    members.iter().map(ToString::to_string).collect()
}

fn all(items: Vec<Vec<u8>>) -> Vec<String> {
    items.into_iter().map(hex).collect()
}

/// The members of an object, and the number before them.
fn numbered(given: u64, mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert("number".to_owned(), number(given));
    }
    without_nulls(object)
}

/// What isn't there is missing, and not null.
fn without_nulls(object: Value) -> Value {
    match object {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

/// The value of a frame of the types 16 to 27.
pub(super) fn asked(kind: u64, frame: Input<'_>) -> Result<Talk, Unfit> {
    Ok(match kind {
        16 => Talk::Post(Post {
            conversation: conversation(frame)?,
            origin: origin(frame)?,
            kind: event_kind(frame)?,
            epoch: frame.number("epoch")?,
            members: frame.addresses("members")?,
            bytes: frame.bytes("bytes")?,
        }),
        17 => Talk::Unposted { conversation: conversation(frame)?, origin: origin(frame)?, code: code(frame)? },
        18 => Talk::Event(Event {
            conversation: conversation(frame)?,
            term: frame.number("term")?,
            seq: frame.number("seq")?,
            kind: event_kind(frame)?,
            epoch: frame.number("epoch")?,
            origin: frame.maybe("device").map(|_| origin(frame)).transpose()?,
            members: frame.addresses("members")?,
            bytes: maybe_bytes(frame, "bytes")?,
        }),
        19 => Talk::Have { conversation: conversation(frame)?, seq: frame.number("seq")? },
        20 => Talk::Heads(heads(frame)?),
        21 => Talk::Delivered {
            conversation: conversation(frame)?,
            member: frame.address("member")?,
            seq: frame.number("seq")?,
        },
        22 => Talk::Publish { number: frame.number("number")?, what: publication(frame)? },
        23 => Talk::Published { number: frame.number("number")?, code: maybe_code(frame)? },
        24 => Talk::Ask { number: frame.number("number")?, what: question(frame)? },
        25 => Talk::Answer {
            number: frame.number("number")?,
            what: match maybe_code(frame)? {
                Some(code) => Err(code),
                None if frame.maybe("lists").is_some() => Ok(Finding::Lists(bytes_list(frame, "lists")?)),
                None if frame.maybe("packages").is_some() => Ok(Finding::Packages(bytes_list(frame, "packages")?)),
                None => Ok(Finding::Sent),
            },
        },
        26 => Talk::Line(Line {
            theirs: frame.address("theirs")?,
            t2: maybe_fixed(frame, "t2")?.map(Hash),
            offered: frame.truth("offered")?,
            nk: NodeKey(frame.fixed("nk")?),
            proof: maybe_bytes(frame, "proof")?,
            list: frame.number("newest")?,
        }),
        27 => Talk::Login {
            user: frame.text("user")?.to_owned(),
            password: Password(frame.text("password")?.to_owned().into()),
        },
        _ => return Err(Unfit("no type that is ever sent".to_owned())),
    })
}

fn publication(frame: Input<'_>) -> Result<Publication, Unfit> {
    Ok(if frame.maybe("list").is_some() {
        Publication::List(frame.bytes("list")?)
    } else if frame.maybe("proof").is_some() {
        Publication::Proof { theirs: frame.address("theirs")?, bytes: frame.bytes("proof")? }
    } else if frame.maybe("packages").is_some() {
        Publication::Packages { once: bytes_list(frame, "packages")?, last_resort: maybe_bytes(frame, "last_resort")? }
    } else if frame.maybe("blocked").is_some() {
        Publication::Block { theirs: frame.address("theirs")?, blocked: frame.truth("blocked")? }
    } else {
        Publication::Note { to: maybe_fixed(frame, "device")?.map(DeviceKey), bytes: frame.bytes("note")? }
    })
}

fn question(frame: Input<'_>) -> Result<Question, Unfit> {
    Ok(if frame.maybe("after").is_some() {
        Question::Lists {
            asker: frame.address("asker")?,
            whose: frame.address("whose")?,
            after: frame.number("after")?,
        }
    } else if frame.maybe("only").is_some() {
        Question::Packages {
            asker: frame.address("asker")?,
            whose: frame.address("whose")?,
            only: fixed_list(frame, "only")?.into_iter().map(DeviceKey).collect(),
        }
    } else {
        Question::Range { conversation: conversation(frame)?, from: frame.number("first")?, to: frame.number("last")? }
    })
}

/// Heads, signed.
pub(super) fn heads(frame: Input<'_>) -> Result<Heads, Unfit> {
    Ok(Heads {
        leaves: fixed_list(frame, "leaves")?.into_iter().map(Hash).collect(),
        heads: frame.list("heads")?.iter().map(|head| asked_head(Input(head))).collect::<Result<_, _>>()?,
        signature: frame.bytes("signature")?,
    })
}

fn asked_head(head: Input<'_>) -> Result<(u8, Head), Unfit> {
    let place = head.number("place")?.try_into().map_err(|_| Unfit("no place".to_owned()))?;
    Ok((place, self::head(head)?))
}

/// A head of a log.
pub(super) fn head(head: Input<'_>) -> Result<Head, Unfit> {
    Ok(Head {
        conversation: conversation(head)?,
        term: head.number("term")?,
        seq: head.number("seq")?,
        hash: Hash(head.fixed("hash")?),
    })
}

pub(super) fn conversation(frame: Input<'_>) -> Result<ConversationId, Unfit> {
    Ok(ConversationId(frame.fixed("conversation")?))
}

fn origin(frame: Input<'_>) -> Result<Origin, Unfit> {
    Ok(Origin { device: DeviceTag(frame.fixed("device")?), number: frame.number("number")? })
}

pub(super) fn event_kind(frame: Input<'_>) -> Result<Kind, Unfit> {
    match frame.number("kind")? {
        0 => Ok(Kind::Create),
        1 => Ok(Kind::Commit),
        2 => Ok(Kind::Message),
        _ => Err(Unfit("no kind that is ever sent".to_owned())),
    }
}

fn code(frame: Input<'_>) -> Result<Code, Unfit> {
    let number = u16::try_from(frame.number("code")?).map_err(|_| Unfit("no code".to_owned()))?;
    Ok(Code::from_wire(number))
}

fn maybe_code(frame: Input<'_>) -> Result<Option<Code>, Unfit> {
    frame.maybe("code").map(|_| code(frame)).transpose()
}

fn maybe_bytes(frame: Input<'_>, name: &str) -> Result<Option<Vec<u8>>, Unfit> {
    frame.maybe(name).map(|_| frame.bytes(name)).transpose()
}

fn maybe_fixed<const N: usize>(frame: Input<'_>, name: &str) -> Result<Option<[u8; N]>, Unfit> {
    frame.maybe(name).map(|_| frame.fixed(name)).transpose()
}

/// A list of bytes of any length.
pub(super) fn bytes_list(frame: Input<'_>, name: &str) -> Result<Vec<Vec<u8>>, Unfit> {
    let list: Option<_> = frame.list(name)?.iter().map(as_bytes).collect();
    list.ok_or_else(|| Unfit(format!("{name} are bytes")))
}

/// A list of bytes of one length.
pub(super) fn fixed_list<const N: usize>(frame: Input<'_>, name: &str) -> Result<Vec<[u8; N]>, Unfit> {
    let fixed = |bytes: Vec<u8>| bytes.try_into().map_err(|_| Unfit(format!("{name} are of {N} bytes")));
    bytes_list(frame, name)?.into_iter().map(fixed).collect()
}
