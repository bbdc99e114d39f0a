//! What is typed to a device, a line at a time: words for a person, a command behind a slash, or a JSON object.
//!
//! ```text
//!   hello there                ─▶ said to the peer
//!   /edit 7 hello, /verify …   ─▶ a command; a number is a message's place; `//` begins a text with one slash
//!   {"do":"write", …}          ─▶ the same, for programs
//! ```

use std::path::PathBuf;

use postline_core::client::Command;
use postline_core::client::io::{Policy, Saying, To};
use postline_core::content::message::Topic;
use postline_core::content::part::Part;
use postline_core::id::{Address, ConversationId, DeviceKey};
use serde::Deserialize;

use super::Lasting;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of the device.
    Command(Box<Command>),
    /// To send a file.
    Send {
        /// Which.
        path: PathBuf,
        /// The picture that is to show what it is.
        preview: Option<PathBuf>,
    },
    /// To fetch the files of a message.
    Fetch {
        /// Its place.
        seq: u64,
        /// Where they go.
        dir: PathBuf,
    },
    /// To write the previews of a message's files.
    Preview {
        /// Its place.
        seq: u64,
        /// Where they go.
        dir: PathBuf,
    },
    /// To look for these words in what was said with the peer.
    Find(String),
    /// To say this in the thread of a message, whose name who asks knows.
    Thread {
        /// The message's place.
        message: u64,
        /// The words.
        body: Part,
        /// What its name is to be made of.
        salt: Option<[u8; 16]>,
    },
    /// To say this, and have devices forget it.
    Ending {
        /// When.
        lasts: Lasting,
        /// The words.
        body: Part,
        /// What its name is to be made of.
        salt: Option<[u8; 16]>,
    },
    /// To have all that is said here from now on be forgotten so; `None`: no more.
    Lasting(Option<Lasting>),
    /// To hear what commands there are.
    Help,
    /// To end.
    Quit,
    /// Nothing.
    Nothing,
}

/// A line that asks for nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    /// No such command, or not in this form.
    #[error("no such command, or not so; /help shows them all")]
    Unknown,
    /// No such object.
    #[error("{0}")]
    Json(String),
    /// An argument isn't what it must be.
    #[error("want {0}")]
    Want(&'static str),
}

/// How many messages are shown where nobody says how many.
const SCREEN: usize = 20;

/// What `/help` says.
pub const HELP: &str = "\
/reply N TEXT     answer message N
/thread N TEXT    say something in the thread of message N, or begin one
/edit N TEXT      other words for your message N
/retract N        take your message N back
/react N SIGN     a sign at message N; /unreact N SIGN takes it back
/pin N, /unpin N  message N is to be found at once by both, or no more; /pins lists those
/remove N         message N, as a moderator: nobody is one in a conversation of two
/policy required|optional|forbidden
                  whether everybody here tells what they read, each as they choose, or nobody
@ADDRESS          in a text mentions the peer
/expire TIME TEXT something that is forgotten so long from now: 30s, 10m, 2h, 7d
/expire-read TIME TEXT
                  the same, so long after it was read; without a text: whatever is said here from now on
/expire off       nothing that is said here from now on
/history [N]      the last N messages, as they are now
/snapshot [N]     all that is seen here, or from message N on, as one hash: the same on all devices that heard the same
/verify           compare codes with the peer
/same, /differ    the two codes are the same, or not
/send PATH [--preview PICTURE]
                  a file, sealed; with a small picture (PNG, JPEG, WebP) that shows at once what it is
/fetch SEQ DIR    the files of a message, into a directory
/preview SEQ DIR  the pictures that came along with them, which needs no fetching
/read SEQ         everything up to there was read
/tell-read yes|no [everywhere]
                  whether others hear what you read, here or where you chose nothing else
/find WORDS       what was said with the peer, on this device: words, phrases in quotes, begin*
/accept           take the peer's changed keys for theirs
/add CODE         take a new device of yours that shows this code
/revoke KEY       a device of yours is none any more
/share KEY        share what this device has opened with a newer one of yours
/presence on|off  whether the peer and you see if the other is here; `all on|off`: for everybody
/typing           you are writing; `on|off`: whether others may see that
/block, /unblock  no line with the peer any more, or again as with strangers
/connect, /disconnect
/quit             or the end of input
//text            a text that begins with a slash";

/// Reads a line for a conversation with `peer`; `talk` is the conversation's id, where there is one yet.
///
/// # Errors
/// [`Unsaid`].
pub fn parse(line: &str, peer: &Address, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let line = line.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Ok(Said::Nothing);
    }
    if line.starts_with('{') {
        return object(line, peer, talk);
    }
    match line.strip_prefix('/') {
        None => write(peer, None, line),
        Some(text) if text.starts_with('/') => write(peer, None, text),
        Some(command) => words(command, peer, talk),
    }
}

fn write(peer: &Address, salt: Option<[u8; 16]>, text: &str) -> Result<Said, Unsaid> {
    let what = Saying::text(text).map_err(|_| Unsaid::Want("a text"))?;
    Ok(said(Command::Say { to: To::Person(peer.clone()), salt, what }))
}

/// Something about the message at a place.
fn about(peer: &Address, salt: Option<[u8; 16]>, what: Saying) -> Said {
    said(Command::Say { to: To::Person(peer.clone()), salt, what })
}

fn answer(peer: &Address, salt: Option<[u8; 16]>, message: u64, text: &str) -> Result<Said, Unsaid> {
    let (body, answers) = (part(text)?, Some(message));
    Ok(about(peer, salt, Saying::Message { body, answers, topic: Topic::default(), expires: None }))
}

fn part(text: &str) -> Result<Part, Unsaid> {
    Some(text).filter(|text| !text.is_empty()).and_then(|text| Part::plain(text).ok()).ok_or(Unsaid::Want("a text"))
}

/// How long, and what; or how long all that is to come.
fn ending(rest: &str, after_reading: bool) -> Result<Said, Unsaid> {
    let (time, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let lasts = Lasting::parse(time, after_reading)?;
    match text.trim() {
        "" => Ok(Said::Lasting(Some(lasts))),
        text => Ok(Said::Ending { lasts, body: part(text)?, salt: None }),
    }
}

fn sign(text: &str) -> Result<String, Unsaid> {
    Some(text.to_owned()).filter(|text| !text.is_empty()).ok_or(Unsaid::Want("a sign"))
}

fn history(talk: Option<ConversationId>, before: Option<u64>, count: usize) -> Result<Said, Unsaid> {
    let conversation = talk.ok_or(Unsaid::Want("a conversation; there is none yet"))?;
    Ok(said(Command::Show { conversation, before, count }))
}

fn snapshot(talk: Option<ConversationId>, from: u64) -> Result<Said, Unsaid> {
    let conversation = talk.ok_or(Unsaid::Want("a conversation; there is none yet"))?;
    Ok(said(Command::Snapshot { conversation, from }))
}

/// Something that is done to the conversation itself.
fn act(name: &str, message: u64, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let conversation = talk.ok_or(Unsaid::Want("a conversation; there is none yet"))?;
    Ok(said(match name {
        "pin" => Command::Pin { conversation, message, pinned: true },
        "unpin" => Command::Pin { conversation, message, pinned: false },
        "pins" => Command::Pins { conversation },
        "remove" => Command::Remove { conversation, message },
        _ => return Err(Unsaid::Unknown),
    }))
}

fn set_policy(name: &str, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let policy = match name {
        "required" => Policy::Required,
        "optional" => Policy::Optional,
        "forbidden" => Policy::Forbidden,
        _ => return Err(Unsaid::Want("required, optional or forbidden")),
    };
    let conversation = talk.ok_or(Unsaid::Want("a conversation; there is none yet"))?;
    Ok(said(Command::SetPolicy { conversation, policy }))
}

fn said(command: Command) -> Said {
    Said::Command(Box::new(command))
}

fn words(line: &str, peer: &Address, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    // A message's place, and what stands behind it.
    let placed = || {
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let message: u64 = number.parse().map_err(|_| Unsaid::Want("the number of a message"))?;
        Ok((message, rest.trim()))
    };
    match (name, rest) {
        ("reply", _) => placed().and_then(|(message, text)| answer(peer, None, message, text)),
        ("thread", _) => {
            placed().and_then(|(message, text)| Ok(Said::Thread { message, body: part(text)?, salt: None }))
        }
        ("edit", _) => {
            placed().and_then(|(message, text)| Ok(about(peer, None, Saying::Edit { message, body: part(text)? })))
        }
        ("retract", _) => match placed()? {
            (message, "") => Ok(about(peer, None, Saying::Retract { message })),
            _ => Err(Unsaid::Unknown),
        },
        ("react", _) => {
            placed().and_then(|(message, text)| Ok(about(peer, None, Saying::React { message, sign: sign(text)? })))
        }
        ("unreact", _) => {
            placed().and_then(|(message, text)| Ok(about(peer, None, Saying::Withdraw { message, sign: sign(text)? })))
        }
        ("pin" | "unpin" | "remove", _) => match placed()? {
            (message, "") => act(name, message, talk),
            _ => Err(Unsaid::Unknown),
        },
        ("pins", "") => act(name, 0, talk),
        ("policy", rest) => set_policy(rest, talk),
        ("expire" | "expire-read", "off") => Ok(Said::Lasting(None)),
        ("expire", _) => ending(rest, false),
        ("expire-read", _) => ending(rest, true),
        ("history", "") => history(talk, None, SCREEN),
        ("history", count) => history(talk, None, count.parse().map_err(|_| Unsaid::Want("how many messages"))?),
        ("snapshot", "") => snapshot(talk, 0),
        ("snapshot", from) => snapshot(talk, from.parse().map_err(|_| Unsaid::Want("the number of a message"))?),
        ("help", "") => Ok(Said::Help),
        ("quit", "") => Ok(Said::Quit),
        ("send", rest) => match rest.rsplit_once(" --preview ") {
            Some((path, preview)) => send(path.trim(), Some(preview.trim())),
            None => send(rest, None),
        },
        ("fetch" | "preview", rest) => {
            let (seq, dir) = rest.split_once(' ').ok_or(Unsaid::Want("a message's number and a directory"))?;
            files_of(name, seq.parse().ok(), dir.trim())
        }
        ("read", seq) => read(seq.parse().map_err(|_| Unsaid::Want("the number of a message"))?, talk),
        ("tell-read", "yes") => tell_read(true, false, talk),
        ("tell-read", "no") => tell_read(false, false, talk),
        ("tell-read", "yes everywhere") => tell_read(true, true, talk),
        ("tell-read", "no everywhere") => tell_read(false, true, talk),
        ("find", text) if !text.is_empty() => Ok(Said::Find(text.to_owned())),
        ("add", code) if !code.is_empty() => Ok(said(Command::AddDevice { code: code.to_owned().into() })),
        ("revoke", key) => Ok(said(Command::Revoke(device(key)?))),
        ("share", key) => Ok(said(Command::ShareHistory { with: device(key)? })),
        ("presence", rest) => {
            let all = rest.strip_prefix("all ");
            let with = Some(peer.clone()).filter(|_| all.is_none());
            Ok(said(Command::Agree { with, agrees: switch(all.unwrap_or(rest))? }))
        }
        ("typing", "") => typing(talk),
        ("typing", rest) => Ok(said(Command::AllowTyping(switch(rest)?))),
        (name, "") => simple(name, peer).ok_or(Unsaid::Unknown),
        _ => Err(Unsaid::Unknown),
    }
}

fn switch(word: &str) -> Result<bool, Unsaid> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Unsaid::Want("on or off")),
    }
}

fn typing(talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let conversation = talk.ok_or(Unsaid::Want("a conversation; there is none yet"))?;
    Ok(said(Command::Typing { conversation }))
}

/// The commands that say nothing but their name.
fn simple(name: &str, peer: &Address) -> Option<Said> {
    Some(said(match name {
        "verify" => Command::Verify(peer.clone()),
        "same" => Command::Same(peer.clone()),
        "differ" => Command::Differ(peer.clone()),
        "accept" => Command::AcceptKeys(peer.clone()),
        "block" => Command::Block(peer.clone()),
        "unblock" => Command::Unblock(peer.clone()),
        "connect" => Command::Connect,
        "disconnect" => Command::Disconnect,
        _ => return None,
    }))
}

/// An option is no file's name: whoever means one writes `./--so`.
fn send(path: &str, preview: Option<&str>) -> Result<Said, Unsaid> {
    let is_name = |name: &str| !name.is_empty() && !name.starts_with("--") && !name.ends_with(" --preview");
    if !is_name(path) || !preview.is_none_or(is_name) {
        return Err(Unsaid::Want("a file, and behind --preview a picture"));
    }
    Ok(Said::Send { path: path.into(), preview: preview.map(PathBuf::from) })
}

fn files_of(name: &str, seq: Option<u64>, dir: &str) -> Result<Said, Unsaid> {
    let seq = seq.ok_or(Unsaid::Want("the number of a message"))?;
    match (dir, name) {
        ("", _) => Err(Unsaid::Want("a directory")),
        (dir, "preview") => Ok(Said::Preview { seq, dir: dir.into() }),
        (dir, _) => Ok(Said::Fetch { seq, dir: dir.into() }),
    }
}

fn read(seq: u64, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let conversation = talk.ok_or(Unsaid::Want("a conversation; there is none yet"))?;
    Ok(said(Command::ReadUpTo { conversation, seq }))
}

fn tell_read(tell: bool, everywhere: bool, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    if !everywhere && talk.is_none() {
        return Err(Unsaid::Want("a conversation; there is none yet"));
    }
    Ok(said(Command::TellRead { conversation: talk.filter(|_| !everywhere), tell }))
}

fn device(text: &str) -> Result<DeviceKey, Unsaid> {
    DeviceKey::parse(text).map_err(|_| Unsaid::Want("a device's key, 64 hex digits"))
}

/// A command as programs say it. What has no fields is written with braces: so that none is taken.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Object {
    Write { text: String, salt: Option<String>, expires: Option<u64>, after_reading: Option<bool> },
    Expire { expires: Option<u64>, after_reading: Option<bool> },
    Reply { message: u64, text: String, salt: Option<String> },
    Thread { message: u64, text: String, salt: Option<String> },
    Edit { message: u64, text: String, salt: Option<String> },
    Retract { message: u64, salt: Option<String> },
    React { message: u64, sign: String, salt: Option<String> },
    Unreact { message: u64, sign: String, salt: Option<String> },
    Pin { message: u64 },
    Unpin { message: u64 },
    Pins {},
    Remove { message: u64 },
    Policy { policy: String },
    History { before: Option<u64>, count: Option<usize> },
    Snapshot { from: Option<u64> },
    Find { text: String },
    Send { path: String, preview: Option<String> },
    Fetch { seq: u64, path: String },
    Preview { seq: u64, path: String },
    Read { seq: u64 },
    TellRead { tell: bool, everywhere: Option<bool> },
    Presence { on: bool, all: Option<bool> },
    Typing { on: Option<bool> },
    Add { code: String },
    Revoke { device: String },
    Share { device: String },
    Verify {},
    Same {},
    Differ {},
    Accept {},
    Block {},
    Unblock {},
    Connect {},
    Disconnect {},
    Quit {},
}

fn object(line: &str, peer: &Address, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let object: Object =
        serde_json::from_str(line).map_err(|why| Unsaid::Json(crate::shown::shown(&why.to_string(), 200)))?;
    let salted = |salt: Option<String>| salt.map(|salt| parse_salt(&salt)).transpose();
    Ok(match object {
        Object::Write { text, salt, expires: None, after_reading: None } => write(peer, salted(salt)?, &text)?,
        Object::Write { text, salt, expires, after_reading } => {
            let lasts = lasting(expires.unwrap_or_default(), after_reading)?;
            Said::Ending { lasts, body: part(&text)?, salt: salted(salt)? }
        }
        Object::Expire { expires: None, after_reading: None } => Said::Lasting(None),
        Object::Expire { expires, after_reading } => {
            Said::Lasting(Some(lasting(expires.unwrap_or_default(), after_reading)?))
        }
        Object::Reply { message, text, salt } => answer(peer, salted(salt)?, message, &text)?,
        Object::Thread { message, text, salt } => Said::Thread { message, body: part(&text)?, salt: salted(salt)? },
        Object::Edit { message, text, salt } => {
            about(peer, salted(salt)?, Saying::Edit { message, body: part(&text)? })
        }
        Object::Retract { message, salt } => about(peer, salted(salt)?, Saying::Retract { message }),
        Object::React { message, sign: text, salt } => {
            about(peer, salted(salt)?, Saying::React { message, sign: sign(&text)? })
        }
        Object::Unreact { message, sign: text, salt } => {
            about(peer, salted(salt)?, Saying::Withdraw { message, sign: sign(&text)? })
        }
        Object::Pin { message } => act("pin", message, talk)?,
        Object::Unpin { message } => act("unpin", message, talk)?,
        Object::Pins {} => act("pins", 0, talk)?,
        Object::Remove { message } => act("remove", message, talk)?,
        Object::Policy { policy } => set_policy(&policy, talk)?,
        Object::History { before, count } => history(talk, before, count.unwrap_or(SCREEN))?,
        Object::Snapshot { from } => snapshot(talk, from.unwrap_or_default())?,
        Object::Find { text } => Said::Find(text),
        Object::Send { path, preview } => Said::Send { path: path.into(), preview: preview.map(PathBuf::from) },
        Object::Fetch { seq, path } => files_of("fetch", Some(seq), &path)?,
        Object::Preview { seq, path } => files_of("preview", Some(seq), &path)?,
        Object::Read { seq } => read(seq, talk)?,
        Object::TellRead { tell, everywhere } => tell_read(tell, everywhere.unwrap_or_default(), talk)?,
        Object::Presence { on: agrees, all } => {
            let with = Some(peer.clone()).filter(|_| all != Some(true));
            said(Command::Agree { with, agrees })
        }
        Object::Typing { on: Some(may) } => said(Command::AllowTyping(may)),
        Object::Typing { on: None } => typing(talk)?,
        Object::Add { code } => said(Command::AddDevice { code: code.into() }),
        Object::Revoke { device: key } => said(Command::Revoke(device(&key)?)),
        Object::Share { device: key } => said(Command::ShareHistory { with: device(&key)? }),
        Object::Verify {} => said(Command::Verify(peer.clone())),
        Object::Same {} => said(Command::Same(peer.clone())),
        Object::Differ {} => said(Command::Differ(peer.clone())),
        Object::Accept {} => said(Command::AcceptKeys(peer.clone())),
        Object::Block {} => said(Command::Block(peer.clone())),
        Object::Unblock {} => said(Command::Unblock(peer.clone())),
        Object::Connect {} => said(Command::Connect),
        Object::Disconnect {} => said(Command::Disconnect),
        Object::Quit {} => Said::Quit,
    })
}

fn lasting(seconds: u64, after_reading: Option<bool>) -> Result<Lasting, Unsaid> {
    Lasting::of(seconds, after_reading.unwrap_or_default())
}

fn parse_salt(text: &str) -> Result<[u8; 16], Unsaid> {
    let mut salt = [0; 16];
    let parsed = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'));
    salt.copy_from_slice(&parsed.ok_or(Unsaid::Want("a salt, 32 hex digits"))?.to_be_bytes());
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Address {
        Address::parse("two@b.example").unwrap()
    }

    fn parsed(line: &str) -> Result<Said, Unsaid> {
        parse(line, &peer(), Some(ConversationId([7; 32])))
    }

    fn text(line: &str) -> Option<String> {
        match parsed(line) {
            Ok(Said::Command(command)) => {
                let Command::Say { to: To::Person(to), what: Saying::Message { body, .. }, .. } = *command else {
                    return None;
                };
                body.words().map(|words| words.as_str().to_owned()).filter(|_| to == peer())
            }
            Ok(_) | Err(_) => None,
        }
    }

    #[test]
    fn what_is_no_command_is_written() {
        assert_eq!(text("hello there\r\n").as_deref(), Some("hello there"));
        assert_eq!(text("//etc/hosts").as_deref(), Some("/etc/hosts"));
        assert_eq!(text(r#"{"do":"write","text":"a\nb"}"#).as_deref(), Some("a\nb"));
        assert_eq!(parsed("\n"), Ok(Said::Nothing));
    }

    #[test]
    fn commands_are_taken_in_both_forms_alike() {
        let key = "ab".repeat(32);
        for (line, json) in [
            ("/verify".to_owned(), r#"{"do":"verify"}"#.to_owned()),
            ("/same".to_owned(), r#"{"do":"same"}"#.to_owned()),
            ("/block".to_owned(), r#"{"do":"block"}"#.to_owned()),
            ("/unblock".to_owned(), r#"{"do":"unblock"}"#.to_owned()),
            ("/read 7".to_owned(), r#"{"do":"read","seq":7}"#.to_owned()),
            ("/tell-read no".to_owned(), r#"{"do":"tell_read","tell":false}"#.to_owned()),
            ("/tell-read yes everywhere".to_owned(), r#"{"do":"tell_read","tell":true,"everywhere":true}"#.to_owned()),
            ("/reply 7 yes, we do".to_owned(), r#"{"do":"reply","message":7,"text":"yes, we do"}"#.to_owned()),
            ("/thread 7 about that".to_owned(), r#"{"do":"thread","message":7,"text":"about that"}"#.to_owned()),
            ("/edit 7 no".to_owned(), r#"{"do":"edit","message":7,"text":"no"}"#.to_owned()),
            ("/retract 7".to_owned(), r#"{"do":"retract","message":7}"#.to_owned()),
            ("/react 7 👍".to_owned(), r#"{"do":"react","message":7,"sign":"👍"}"#.to_owned()),
            ("/unreact 7 👍".to_owned(), r#"{"do":"unreact","message":7,"sign":"👍"}"#.to_owned()),
            ("/pin 7".to_owned(), r#"{"do":"pin","message":7}"#.to_owned()),
            ("/unpin 7".to_owned(), r#"{"do":"unpin","message":7}"#.to_owned()),
            ("/pins".to_owned(), r#"{"do":"pins"}"#.to_owned()),
            ("/remove 7".to_owned(), r#"{"do":"remove","message":7}"#.to_owned()),
            ("/policy forbidden".to_owned(), r#"{"do":"policy","policy":"forbidden"}"#.to_owned()),
            ("/expire 2h gone by then".to_owned(), r#"{"do":"write","text":"gone by then","expires":7200}"#.to_owned()),
            (
                "/expire-read 30s for you".to_owned(),
                r#"{"do":"write","text":"for you","expires":30,"after_reading":true}"#.to_owned(),
            ),
            ("/expire 1d".to_owned(), r#"{"do":"expire","expires":86400}"#.to_owned()),
            ("/expire-read 5m".to_owned(), r#"{"do":"expire","expires":300,"after_reading":true}"#.to_owned()),
            ("/expire off".to_owned(), r#"{"do":"expire"}"#.to_owned()),
            ("/history".to_owned(), r#"{"do":"history"}"#.to_owned()),
            ("/history 5".to_owned(), r#"{"do":"history","count":5}"#.to_owned()),
            ("/snapshot".to_owned(), r#"{"do":"snapshot"}"#.to_owned()),
            ("/snapshot 7".to_owned(), r#"{"do":"snapshot","from":7}"#.to_owned()),
            ("/find a \"b c\"".to_owned(), r#"{"do":"find","text":"a \"b c\""}"#.to_owned()),
            ("/add 123456".to_owned(), r#"{"do":"add","code":"123456"}"#.to_owned()),
            (format!("/revoke {key}"), format!(r#"{{"do":"revoke","device":"{key}"}}"#)),
            ("/quit".to_owned(), r#"{"do":"quit"}"#.to_owned()),
            ("/send a b.txt".to_owned(), r#"{"do":"send","path":"a b.txt"}"#.to_owned()),
            (
                "/send a b.pdf --preview a c.png".to_owned(),
                r#"{"do":"send","path":"a b.pdf","preview":"a c.png"}"#.to_owned(),
            ),
            ("/preview 7 in to".to_owned(), r#"{"do":"preview","seq":7,"path":"in to"}"#.to_owned()),
            ("/fetch 7 in to".to_owned(), r#"{"do":"fetch","seq":7,"path":"in to"}"#.to_owned()),
            ("/presence on".to_owned(), r#"{"do":"presence","on":true}"#.to_owned()),
            ("/presence all off".to_owned(), r#"{"do":"presence","on":false,"all":true}"#.to_owned()),
            ("/typing".to_owned(), r#"{"do":"typing"}"#.to_owned()),
            ("/typing off".to_owned(), r#"{"do":"typing","on":false}"#.to_owned()),
        ] {
            assert!(parsed(&line).is_ok() && parsed(&line) == parsed(&json), "{line}");
        }
    }

    #[test]
    fn what_is_meant_as_a_command_and_is_none_is_never_said_to_the_peer() {
        for line in [
            "/verfy",
            "/read",
            "/find",
            "/reply 7",
            "/reply all yes",
            "/edit 7",
            "/retract",
            "/retract 7 please",
            "/react 7",
            "/thread x y",
            "/pin",
            "/pin 7 please",
            "/unpin x",
            "/pins 7",
            "/remove",
            "/policy",
            "/policy perhaps",
            r#"{"do":"policy"}"#,
            r#"{"do":"pin","message":7,"text":"x"}"#,
            "/history all",
            "/snapshot now",
            "/expire",
            "/expire soon, I hope",
            "/expire 400d too long",
            "/expire-read 0s at once",
            r#"{"do":"write","text":"a","after_reading":true}"#,
            r#"{"do":"write","text":"a","expires":0}"#,
            r#"{"do":"expire","expires":-1}"#,
            r#"{"do":"retract","message":7,"text":"x"}"#,
            r#"{"do":"edit","message":-1,"text":"x"}"#,
            r#"{"do":"write","text":"a","salt":"12"}"#,
            "/read x",
            "/revoke 12",
            "/same all",
            "{\"do\":\"write\"}",
            "{\"do\":\"x\"}",
            "{x",
            r#"{"do":"write","text":"a","to":"b"}"#,
            r#"{"do":"verify","seq":1}"#,
            "/add",
            "/send",
            "/send --preview",
            "/send --preview a.png",
            "/send a.pdf --preview",
            "/send a.pdf --preview --preview",
            "/preview",
            "/preview 7",
            "/preview x in",
            r#"{"do":"send","preview":"a.png"}"#,
            "/fetch",
            "/fetch 7",
            "/fetch x in",
            r#"{"do":"fetch","path":"in"}"#,
            r#"{"do":"write","text":"a","path":"b"}"#,
            "/tell-read",
            "/tell-read perhaps",
            r#"{"do":"tell_read"}"#,
            r#"{"do":"tell_read","tell":true,"seq":1}"#,
            r#"{"do":"verify","tell":true}"#,
            "/presence",
            "/presence maybe",
            "/typing all",
            r#"{"do":"presence"}"#,
            r#"{"do":"typing","on":true,"text":"a"}"#,
            r#"{"do":"verify","on":true}"#,
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert_eq!(parse("/read 1", &peer(), None), Err(Unsaid::Want("a conversation; there is none yet")));
    }
}
