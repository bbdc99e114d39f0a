//! What happens on a device, as it is shown: one JSON object a line for programs, a line of text for people.
//!
//! Nothing that a peer or a node said reaches a terminal as it came (attack 104). Codes and passphrases are shown to who
//! runs the program, since that is what they are for; they are written to no log.

use postline_core::client::Event;
use postline_core::client::io::{
    Alarm, Changed, CodeFor, Contact, Conversation, Declined, Device, Failure, Far, Mark, Now, Said, Seen, Shown,
    Snapshot, Unverified, Who, Words, words,
};
use postline_core::content::external::External;
use postline_core::content::file_name::SafeName;
use postline_core::content::preview::Preview;
use postline_core::id::Address;
use postline_core::limits;
use postline_core::seal::Attachment;
use postline_core::wire::content::Content;
use serde_json::{Map, Value, json};

mod control;

use super::{attached, lasting};
use crate::shown::{ADDRESS_BYTES, shown};
use control::{of_mentions, of_pins, policy_word, text_of, text_of_pin, text_of_pins, text_of_policy};

/// How much of a text is shown in one line.
const TEXT_BYTES: usize = 4 * limits::MESSAGE_BYTES;

/// The event as a JSON object: `event` names it.
#[must_use]
pub fn json(event: &Event) -> Value {
    let (name, fields) = fields(event);
    let mut object = Map::from_iter([("event".to_owned(), json!(name))]);
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object)
}

fn fields(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Online => ("online", json!({})),
        Event::Offline { code } => ("offline", json!({ "why": code.map(|code| format!("{code:?}")) })),
        Event::Enrolled { address, dk, first } => {
            ("enrolled", json!({ "address": address.to_string(), "device": dk.to_string(), "first": first }))
        }
        Event::JoinWanted => ("join_wanted", json!({})),
        Event::Devices(devices) => ("devices", json!({ "devices": devices.iter().map(device).collect::<Vec<_>>() })),
        Event::Contact(contact) => ("contact", of_contact(contact)),
        Event::Conversation(conversation) => ("conversation", of_conversation(conversation)),
        Event::Saying { conversation, id, salt } => {
            ("saying", json!({ "conversation": conversation.to_string(), "id": id.to_string(), "salt": hex(*salt) }))
        }
        Event::Unsaid { salt, why } => ("unsaid", json!({ "salt": hex(*salt), "why": failure(*why) })),
        Event::Said(said) => ("said", of_said(said)),
        Event::Screen(screen) => (
            "screen",
            json!({
                "conversation": screen.conversation.to_string(), "earlier": screen.earlier,
                "messages": screen.messages.iter().map(of_shown).collect::<Vec<_>>(),
            }),
        ),
        Event::Snapshot(Snapshot { conversation, from, seq, messages, hash }) => (
            "snapshot",
            json!({
                "conversation": conversation.to_string(), "from": from, "seq": seq, "messages": messages,
                "hash": hash.to_string(),
            }),
        ),
        Event::Changed(changed) => ("changed", of_changed(changed)),
        Event::Reacted { conversation, id, seq, who, sign, shown } => (
            "reacted",
            json!({
                "conversation": conversation.to_string(), "id": id.to_string(), "seq": seq,
                "who": who.as_ref().map(ToString::to_string), "sign": sign, "shown": shown,
            }),
        ),
        Event::Pinned { conversation, id, seq, by, pinned } => (
            "pinned",
            json!({
                "conversation": conversation.to_string(), "id": id.to_string(), "seq": seq,
                "by": by.as_ref().map(ToString::to_string), "pinned": pinned,
            }),
        ),
        Event::Pins { conversation, pinned } => ("pins", of_pins(*conversation, pinned)),
        Event::Policy { conversation, policy, by, tells_read } => (
            "policy",
            json!({
                "conversation": conversation.to_string(), "policy": policy_word(*policy),
                "by": by.as_ref().map(ToString::to_string), "tells_read": tells_read,
            }),
        ),
        Event::Mark { conversation, id, seq, mark } => (
            "mark",
            json!({
                "conversation": conversation.to_string(),
                "id": id.to_string(),
                "seq": seq,
                "mark": mark_word(mark),
                "why": if let Mark::Failed(why) = mark { Some(failure(*why)) } else { None },
            }),
        ),
        Event::ReadElsewhere { conversation, seq } => {
            ("read_elsewhere", json!({ "conversation": conversation.to_string(), "seq": seq }))
        }
        Event::NotOpened { conversation, seq, why } => {
            let (conversation, why) = (conversation.to_string(), why.to_string());
            ("not_opened", json!({ "conversation": conversation, "seq": seq, "why": why }))
        }
        Event::NotOpenedBy { conversation, id, reader, dk, again } => (
            "not_opened_by",
            json!({
                "conversation": conversation.to_string(), "id": id.to_string(), "reader": reader.to_string(),
                "device": dk.to_string(), "again": again,
            }),
        ),
        Event::KeysChanged { who, known, now } => (
            "keys_changed",
            json!({ "who": who.to_string(), "known": known.to_string(), "now": now.map(|key| key.to_string()) }),
        ),
        Event::HandedOver { who, known, now } => {
            ("handed_over", json!({ "who": who.to_string(), "known": known.to_string(), "now": now.to_string() }))
        }
        Event::Code(code) => (
            "code",
            json!({
                "for": match &code.what { CodeFor::Joining => "joining".to_owned(), CodeFor::Person(who) => who.to_string() },
                "code": code.text, "emoji": code.emoji, "qr": code.qr, "until": code.until.0,
            }),
        ),
        Event::CodeWaits { until } => ("code_waits", json!({ "until": until.0 })),
        Event::Added { dk } => ("added", json!({ "device": dk.to_string() })),
        Event::Blocked { who, blocked } => ("blocked", json!({ "who": who.to_string(), "blocked": blocked })),
        Event::CompareWanted { who } => ("compare_wanted", json!({ "who": who.to_string() })),
        Event::BackupWanted => ("backup_wanted", json!({})),
        Event::Verified { who } => ("verified", json!({ "who": who.to_string() })),
        Event::NotVerified { who, why } => ("not_verified", json!({ "who": who.to_string(), "why": unverified(*why) })),
        Event::Backup { .. } => ("backup", json!({})),
        Event::Presence { who, seen } => ("presence", of_presence(who, *seen)),
        Event::Typing { conversation, who, now } => {
            ("typing", json!({ "conversation": conversation.to_string(), "who": who.to_string(), "now": now }))
        }
        Event::Agreement { with, agrees } => ("agreement", json!({ "with": with.to_string(), "agrees": agrees })),
        Event::Missing { conversation, from, to } => {
            ("missing", json!({ "conversation": conversation.to_string(), "from": from, "to": to }))
        }
        Event::File { file, leaves, far } => {
            let (far, bytes, why) = match far {
                Far::Here(bytes) => ("here", Some(*bytes), None),
                Far::AtNode(bytes) => ("at_node", Some(*bytes), None),
                Far::Waits(why) => ("waits", None, Some(format!("{why:?}"))),
                Far::Done => ("done", Some(file.len), None),
                Far::Failed(why) => ("failed", None, Some(format!("{why:?}"))),
            };
            let hash = file.sha256.to_string();
            let of = json!({
                "hash": hash, "length": file.len, "leaves": leaves, "far": far, "bytes": bytes, "why": why,
            });
            ("file", of)
        }
        Event::Revoked => ("revoked", json!({})),
        Event::HistoryShared { conversation, events } => {
            ("history_shared", json!({ "conversation": conversation.to_string(), "events": events }))
        }
        Event::Refused { who, why } => ("refused", json!({ "who": of_who(who), "why": why.to_string() })),
        Event::Declined(why) => ("declined", json!({ "why": declined_word(why), "text": declined(why) })),
        Event::Alarm(what) => ("alarm", json!({ "text": alarm(what) })),
        Event::Behind => ("behind", json!({})),
    }
}

fn device(device: &Device) -> Value {
    json!({
        "device": device.dk.to_string(), "name": device.name, "hosted": device.hosted, "added": device.added.0,
        "this": device.this,
    })
}

fn of_presence(who: &Address, seen: Option<Seen>) -> Value {
    let (is, last) = match seen {
        None => ("unknown", None),
        Some(Seen::Here) => ("here", None),
        Some(Seen::Away(last)) => ("away", Some(last.0)),
    };
    json!({ "who": who.to_string(), "is": is, "last": last })
}

fn of_contact(contact: &Contact) -> Value {
    json!({
        "address": contact.address.to_string(), "level": contact.level.number(), "hosted": contact.hosted,
        "devices": contact.devices, "suspended": contact.suspended,
        "identity": contact.identity.map(|identity| identity.to_string()),
    })
}

fn of_conversation(conversation: &Conversation) -> Value {
    json!({
        "conversation": conversation.id.to_string(),
        "with": conversation.with.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "epoch": conversation.epoch, "devices": conversation.devices, "seq": conversation.seq,
        "joined": conversation.joined, "tells_read": conversation.tells_read,
        "policy": policy_word(conversation.policy),
    })
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of a message's files, and which of them `/preview` shows something of.
fn shown_files(content: &Content) -> String {
    let of = |(file, preview): (&External, Option<Preview<'_>>)| {
        let preview = if preview.is_some() { ", with a preview" } else { "" };
        format!(" [{}{preview}]", SafeName::from(&file.name))
    };
    attached(content).map(of).collect()
}

fn shown_words(content: &Content) -> String {
    text_of(content).unwrap_or_else(|| "(nothing that can be shown here)".into())
}

fn hex(salt: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(salt))
}

/// A message as it is now.
fn of_shown(shown: &Shown) -> Value {
    let sign = |(who, sign): &(Option<Address>, String)| json!([who.as_ref().map(ToString::to_string), sign]);
    let (now, no, content) = match &shown.now {
        Words::Are { no, content } => ("words", Some(no), Some(content)),
        Words::Retracted => ("retracted", None, None),
        Words::Removed { .. } => ("removed", None, None),
        Words::Expired => ("expired", None, None),
    };
    json!({
        "seq": shown.seq, "id": shown.id.to_string(), "author": shown.author.address.to_string(), "own": shown.author.own,
        "at": shown.at.0, "now": now, "edit": no, "text": content.and_then(words), "content": content.and_then(binary),
        "files": content.map(files).unwrap_or_default(), "pinned": shown.pinned, "mentions": of_mentions(&shown.mentions),
        "signs": shown.signs.iter().map(sign).collect::<Vec<_>>(), "thread": content.and_then(thread),
        "answers": content.and_then(|content| content.fields().in_reply_to).map(|version| version.to_string()),
        "expires": lasting::json(content.and_then(|content| content.fields().expires)),
    })
}

/// The thread that a content is in, where it is in one.
fn thread(content: &Content) -> Option<String> {
    let thread = &content.fields().topic;
    (!thread.is_none()).then(|| hex_of(thread.as_bytes()))
}

/// What a message is now: its words, or that it is gone.
fn of_changed(changed: &Changed) -> Value {
    let mut object = json!({
        "conversation": changed.conversation.to_string(), "id": changed.id.to_string(), "seq": changed.seq,
    });
    let now = match &changed.now {
        Now::Edited { version, no, at, content } => json!({
            "now": "edited", "version": version.to_string(), "no": no, "at": at.0,
            "text": words(content), "content": binary(content),
        }),
        Now::Retracted => json!({ "now": "retracted" }),
        Now::Removed { by } => json!({ "now": "removed", "by": by.to_string() }),
        Now::Expired => json!({ "now": "expired" }),
        Now::Answers { message } => json!({ "now": "answers", "message": message }),
    };
    if let (Value::Object(object), Value::Object(now)) = (&mut object, now) {
        object.extend(now);
    }
    object
}

/// A content that has no words, for programs that can do more with it.
fn binary(content: &Content) -> Option<String> {
    let bytes = || base64::Engine::encode(&base64::prelude::BASE64_STANDARD, content.bytes());
    words(content).is_none().then(bytes)
}

fn of_said(said: &Said) -> Value {
    json!({
        "conversation": said.conversation.to_string(), "seq": said.seq, "id": said.id.to_string(),
        "author": said.author.address.to_string(), "device": said.author.dk.to_string(), "own": said.author.own,
        "level": said.author.level.number(), "hosted": said.author.hosted, "at": said.at.0,
        "text": words(&said.content), "content": binary(&said.content), "files": files(&said.content), "late": said.late,
        "answers": said.answers.map(|answers| json!({ "version": answers.version.to_string(), "message": answers.message })),
        "thread": thread(&said.content), "expires": lasting::json(said.content.fields().expires),
        "mentions": of_mentions(&said.mentions),
    })
}

/// The sealed files that a content names, with what its author says of them.
fn files(content: &Content) -> Vec<Value> {
    let of = |(external, preview): (&External, Option<Preview<'_>>)| {
        let length = Attachment::read(external).ok().map(|attachment| attachment.size());
        let preview = preview.map(|of| json!({ "media": of.picture().media(), "length": of.bytes().len() }));
        json!({
            "name": SafeName::from(&external.name).as_str(), "length": length, "media": external.media.as_str(),
            "preview": preview,
        })
    };
    attached(content).map(of).collect()
}

fn of_who(who: &Who) -> String {
    match who {
        Who::Node => "node".to_owned(),
        Who::Person(address) => address.to_string(),
        Who::Conversation(conversation) => conversation.to_string(),
    }
}

const fn mark_word(mark: &Mark) -> &'static str {
    match mark {
        Mark::Queued => "queued",
        Mark::Sent => "sent",
        Mark::Delivered => "delivered",
        Mark::Read => "read",
        Mark::Expired => "expired",
        Mark::Failed(_) => "failed",
    }
}

fn failure(why: Failure) -> String {
    match why {
        Failure::NoLine => "no line with them".to_owned(),
        Failure::NoConversation => "no such conversation".to_owned(),
        Failure::TooLong => "too long".to_owned(),
        Failure::TooMany => "too many wait".to_owned(),
        Failure::Again => "said before under this id".to_owned(),
        Failure::NotEnrolled => "this device is not enrolled".to_owned(),
        Failure::NoMessage => "no such message".to_owned(),
        Failure::NotYours => "not yours to change".to_owned(),
        Failure::Refused(code) => format!("refused: {code:?}"),
    }
}

const fn unverified(why: Unverified) -> &'static str {
    match why {
        Unverified::Differ => "the codes differ",
        Unverified::Late => "it took too long",
        Unverified::Broken => "what came is not what was promised",
        Unverified::HandedOver => "their node held the key that was compared, and they have one of their own now",
    }
}

const fn declined_word(why: &Declined) -> &'static str {
    match why {
        Declined::NotEnrolled => "not_enrolled",
        Declined::Enrolled => "enrolled",
        Declined::Offline => "offline",
        Declined::WrongCode => "wrong_code",
        Declined::NobodyAsked => "nobody_asked",
        Declined::NotBefore(_) => "not_before",
        Declined::NoDevice(_) => "no_device",
        Declined::LastDevice => "last_device",
        Declined::NoContact(_) => "no_contact",
        Declined::NothingPending => "nothing_pending",
        Declined::NoConversation(_) => "no_conversation",
        Declined::Restless(_) => "restless",
        Declined::NoMessage(_) => "no_message",
        Declined::NotModerator(_) => "not_moderator",
        Declined::Undone(..) => "undone",
        Declined::TooMany(_) => "too_many",
    }
}

/// Why a command was not done, for people.
#[must_use]
pub fn declined(why: &Declined) -> String {
    match why {
        Declined::NotEnrolled => "this device is not enrolled: `postline device enrol`".to_owned(),
        Declined::Enrolled => "this device is enrolled already".to_owned(),
        Declined::Offline => "the node can't be reached now".to_owned(),
        Declined::WrongCode => "the code or passphrase is wrong, or too late".to_owned(),
        Declined::NobodyAsked => {
            "no device has asked by this code: is it typed as it is shown, and is the new device connected?".to_owned()
        }
        Declined::NotBefore(at) => format!("tried too often: not before {} ms since 1970", at.0),
        Declined::NoDevice(dk) => format!("no device {dk}"),
        Declined::LastDevice => "a device doesn't revoke itself while it is the last".to_owned(),
        Declined::NoContact(address) => format!("nothing is known of {}", shown(&address.to_string(), ADDRESS_BYTES)),
        Declined::NothingPending => "there is nothing to answer".to_owned(),
        Declined::NoConversation(_) => "no such conversation here".to_owned(),
        Declined::Restless(_) => "too much changes in this conversation just now; try again".to_owned(),
        Declined::NoMessage(place) => format!("no message {place}, or it is gone"),
        Declined::Undone(_, why) => format!("not done: {}", failure(*why)),
        Declined::NotModerator(_) => "nobody in a conversation of two removes what the other said".to_owned(),
        Declined::TooMany(most) => format!("there is room for {most}, and no more"),
    }
}

fn alarm(what: &Alarm) -> String {
    match what {
        Alarm::List { whose, why } => format!("device list of {whose}: {why}"),
        Alarm::SplitView { seq, .. } => format!("the conversation's hub shows two logs, which differ at {seq}"),
        Alarm::NodeKey { got, want } => format!("the node proves the key {got}, and {want} is known"),
        Alarm::GhostDevice { address, dk, .. } => format!("device {dk} is on no list of {address}"),
    }
}

/// The event in one line for people, escaped; `None` where it is noise.
#[must_use]
pub fn text(event: &Event) -> Option<String> {
    let address = |address: &dyn std::fmt::Display| shown(&address.to_string(), ADDRESS_BYTES);
    Some(match event {
        Event::Online => "* connected".to_owned(),
        Event::Offline { .. } => "* not connected; what is written waits".to_owned(),
        Event::Enrolled { address: whose, .. } => format!("* this device is one of {}", address(whose)),
        Event::JoinWanted => "* this device lacks your key: `postline device join`, or `restore`".to_owned(),
        Event::ReadElsewhere { seq, .. } => format!("* read up to {seq} on another device of yours"),
        Event::Devices(_) | Event::Conversation(_) => return None,
        Event::Contact(contact) => {
            let level = match contact.level.number() {
                0 => "no line: mail only",
                2 => "a line",
                3 => "sealed",
                _ => "sealed, codes compared",
            };
            let stopped = if contact.suspended { "; STOPPED until you decide" } else { "" };
            let hosted = if contact.hosted { "; their node can read along" } else { "" };
            format!("* {}: {level}{hosted}{stopped}", address(&contact.address))
        }
        Event::Said(said) => {
            let answers = said.answers.and_then(|answers| answers.message);
            let answers = answers.map_or_else(String::new, |message| format!(" (answers {message})"));
            let late = if said.late { " (late)" } else { "" };
            let (words, files) = (shown_words(&said.content), shown_files(&said.content));
            let until = lasting::text(said.content.fields().expires);
            let mentions: String = said.mentions.iter().map(|who| format!(" (to {})", address(who))).collect();
            format!("{} {}{answers}{mentions}{late}> {words}{files}{until}", said.seq, address(&said.author.address))
        }
        Event::Screen(screen) => {
            let lines = screen.messages.iter().rev().map(|message| {
                let words = match &message.now {
                    Words::Are { no: 0, content } => format!("{}{}", shown_words(content), shown_files(content)),
                    Words::Are { content, .. } => {
                        format!("{} (edited){}", shown_words(content), shown_files(content))
                    }
                    Words::Retracted => "(taken back)".to_owned(),
                    Words::Removed { .. } => "(removed)".to_owned(),
                    Words::Expired => "(over)".to_owned(),
                };
                let signs: String =
                    message.signs.iter().map(|(_, sign)| format!(" {}", shown(sign, TEXT_BYTES))).collect();
                let pinned = if message.pinned { " ^" } else { "" };
                format!("{} {}{pinned}> {words}{signs}", message.seq, address(&message.author.address))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Event::Snapshot(Snapshot { from: 1, messages, hash, .. }) => {
            format!("* snapshot of {messages} messages: {hash}")
        }
        Event::Snapshot(Snapshot { from, messages, hash, .. }) => {
            format!("* snapshot of {messages} messages from {from} on: {hash}")
        }
        Event::Changed(Changed { seq, now, .. }) => match now {
            Now::Edited { content, .. } => format!("~ {seq} (edited)> {}", shown_words(content)),
            Now::Retracted => format!("~ {seq} was taken back"),
            Now::Removed { .. } => format!("~ {seq} was removed"),
            Now::Expired => format!("~ {seq} is over"),
            Now::Answers { message } => format!("~ {seq} answers {message}"),
        },
        Event::Reacted { seq, who, sign, shown: is_shown, .. } => {
            let who = who.as_ref().map_or_else(|| "somebody".into(), |who| address(who));
            let (sign, gone) = (shown(sign, TEXT_BYTES), if *is_shown { "" } else { " no more" });
            format!("~ {seq} {who} {sign}{gone}")
        }
        Event::Pinned { seq, by, pinned, .. } => text_of_pin(*seq, by.as_ref(), *pinned),
        Event::Pins { pinned, .. } => text_of_pins(pinned),
        Event::Policy { policy, by, tells_read, .. } => text_of_policy(*policy, by.as_ref(), *tells_read),
        Event::Saying { .. } => return None,
        Event::Unsaid { why, .. } => format!("  ✗ {}", failure(*why)),
        Event::Mark { seq, mark, .. } => {
            let which = seq.map_or_else(String::new, |seq| format!(" {seq}"));
            match mark {
                Mark::Queued => return None,
                Mark::Sent => format!("  ✓{which}"),
                Mark::Delivered => format!("  ✓✓{which}"),
                Mark::Read => format!("  ✓✓{which} read"),
                Mark::Expired => format!("  ✗{which} too late to be said"),
                Mark::Failed(why) => format!("  ✗{which} {}", failure(*why)),
            }
        }
        Event::NotOpened { seq, .. } => format!("* {seq} can't be opened here; its author was asked to say it again"),
        Event::NotOpenedBy { reader, again, .. } => {
            let then = if *again { "it is being said again" } else { "it can't be helped" };
            format!("* a device of {} can't open something of yours; {then}", address(reader))
        }
        Event::KeysChanged { who, .. } => {
            format!("! {} SPEAKS WITH OTHER KEYS. Nothing is sealed to them until you /accept", address(who))
        }
        Event::HandedOver { who, .. } => {
            format!(
                "! {} HAS KEYS OF THEIR OWN NOW; their node held the ones before. Compare codes: /verify",
                address(who)
            )
        }
        Event::Code(code) => match &code.what {
            CodeFor::Joining => format!("* type this on a device that you have: {}", code.text),
            CodeFor::Person(who) => {
                let pictures = code.emoji.join(" ");
                format!("* compare with {}: {}  {pictures}  then /same or /differ", address(who), code.text)
            }
        },
        Event::CodeWaits { .. } => "* no device has asked by this code yet; it waits a minute for one".to_owned(),
        Event::Added { dk } => format!("* device {dk} is one of yours now"),
        Event::Blocked { who, blocked: true } => format!("* {} is blocked: there is no line any more", address(who)),
        Event::Blocked { who, blocked: false } => format!("* {} is blocked no more, and a stranger", address(who)),
        Event::CompareWanted { who } => format!("* {} wants to compare codes: /verify", address(who)),
        Event::BackupWanted => "* make a backup: `postline device backup FILE`".to_owned(),
        Event::Verified { who } => format!("* {} is who they are: the codes are the same", address(who)),
        Event::NotVerified { who, why } => format!("! {}: {}", address(who), unverified(*why)),
        Event::Backup { .. } => "* here is your backup".to_owned(),
        Event::Presence { who, seen } => match seen {
            None => format!("* whether {} is here isn't known", address(who)),
            Some(Seen::Here) => format!("* {} is here", address(who)),
            Some(Seen::Away(last)) => format!("* {} was here at about {}", address(who), crate::words::utc(last.0)),
        },
        Event::Typing { who, now: true, .. } => format!("* {} is writing", address(who)),
        Event::Typing { now: false, .. } => return None,
        Event::Agreement { with, agrees: true } => {
            format!("* {} may see whether you are here, if they agree too", address(with))
        }
        Event::Agreement { with, agrees: false } => format!("* {} can't see whether you are here", address(with)),
        Event::Missing { from, to, .. } => format!("! {from} to {to} are gone from the node"),
        Event::File { file, leaves, far } => {
            let way = if *leaves { "to" } else { "from" };
            let percent = |bytes: &u64| bytes.saturating_mul(100) / file.len.max(1);
            match far {
                Far::Here(bytes) => format!("* a file {way} the node: {} %", percent(bytes)),
                Far::AtNode(bytes) => format!("* a file on its way to the node: {} %", percent(bytes)),
                Far::Waits(why) => format!("* a file {way} the node waits: {why:?}"),
                Far::Done if *leaves => "* the file is at the node".to_owned(),
                Far::Done => "* the file is here".to_owned(),
                Far::Failed(why) => format!("! a file {way} the node failed: {why:?}"),
            }
        }
        Event::Revoked => "! this device was revoked".to_owned(),
        Event::HistoryShared { events, .. } => format!("* {events} older messages came from another device"),
        Event::Refused { who, why } => shown(&format!("* {} erred: {why}", of_who(who)), 1_024),
        Event::Declined(why) => format!("! {}", declined(why)),
        Event::Alarm(what) => shown(&format!("! ALARM: {}", alarm(what)), 1_024),
        Event::Behind => "! this is a copy of a device that went on: enrol it anew".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use postline_core::client::io::{Author, Command, Level, Passphrase, ShownCode};
    use postline_core::content::message::Fields;
    use postline_core::content::part::{Disposition, Part};
    use postline_core::id::{Address, ContentId, ConversationId, DeviceKey};
    use postline_core::time::Millis;
    use postline_core::wire::content::Content;

    use super::*;

    fn said(body: Part) -> Event {
        let address = Address::parse("\"\u{61}\"@b.example").unwrap_or_else(|_| Address::parse("a@b.example").unwrap());
        let author = Author { address, dk: DeviceKey([2; 32]), level: Level::Keys, hosted: false, own: false };
        let (conversation, id) = (ConversationId([1; 32]), ContentId([3; 32]));
        let content = Content::new(Fields::new([4; 16], body)).unwrap();
        Event::Said(Said {
            conversation,
            seq: 7,
            late: false,
            id,
            author,
            at: Millis(9),
            content,
            answers: None,
            mentions: Vec::new(),
        })
    }

    #[test]
    fn t_104_what_a_peer_says_moves_no_cursor() {
        let event = said(Part::plain("a\u{1b}[2J\r\nb\u{202e}c").unwrap());
        let line = text(&event).unwrap();
        assert!(line.ends_with(r"> a\u{1b}[2J\r\nb\u{202e}c"), "{line}");
        let object = json(&event).to_string();
        assert!(!object.contains('\u{1b}') && !object.contains('\n'), "{object}");
        assert_eq!(json(&event)["text"], "a\u{1b}[2J\r\nb\u{202e}c", "a program gets it whole");
    }

    #[test]
    fn what_is_no_text_comes_whole_in_base64() {
        let picture = Part::single(Disposition::RENDER, "image/png", vec![0xff, 0]).unwrap();
        let object = json(&said(picture));
        let content = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, object["content"].as_str().unwrap());
        assert_eq!(object["text"], Value::Null);
        assert!(Content::parse(&content.unwrap()).is_ok());
    }

    #[test]
    fn marks_are_ticks() {
        let mark = |mark| {
            text(&Event::Mark { conversation: ConversationId([1; 32]), id: ContentId([1; 32]), seq: Some(4), mark })
        };
        assert_eq!(mark(Mark::Queued), None);
        assert_eq!(mark(Mark::Sent).as_deref(), Some("  ✓ 4"));
        assert_eq!(mark(Mark::Delivered).as_deref(), Some("  ✓✓ 4"));
        assert_eq!(mark(Mark::Read).as_deref(), Some("  ✓✓ 4 read"));
        assert_eq!(mark(Mark::Expired).as_deref(), Some("  ✗ 4 too late to be said"));
        assert_eq!(mark(Mark::Failed(Failure::NoLine)).as_deref(), Some("  ✗ 4 no line with them"));
    }

    #[test]
    fn t_089_a_backup_is_not_among_what_is_told() {
        let passphrase = Passphrase("CANARY".to_owned().into());
        let event = Event::Backup { bytes: b"CANARY".to_vec(), passphrase };
        let told = format!("{}{:?}", json(&event), text(&event));
        assert!(!told.contains("CANARY"), "{told}");
        let code =
            ShownCode { what: CodeFor::Joining, text: "123456".into(), emoji: Vec::new(), qr: None, until: Millis(1) };
        assert!(!format!("{:?}", Event::Code(code.clone())).contains("123456"), "nothing that a log would print");
        assert_eq!(json(&Event::Code(code))["code"], "123456", "a code is for who runs the program");
        let typed = Command::AddDevice { code: "123456".to_owned().into() };
        assert!(!format!("{typed:?}").contains("123456"), "nor where it was typed");
    }
}
