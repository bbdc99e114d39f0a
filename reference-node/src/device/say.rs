//! What is typed to a device, a line at a time: words for a person, a command behind a slash, or a JSON object.
//!
//! ```text
//!   hello there            ─▶ written to the peer
//!   /verify, /read 7 …     ─▶ a command; `//` begins a text with one slash
//!   {"do":"write", …}      ─▶ the same, for programs
//! ```

use std::path::PathBuf;

use postline_core::client::Command;
use postline_core::client::io::{Saying, To};
use postline_core::id::{Address, ConversationId, DeviceKey};
use serde::Deserialize;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of the device.
    Command(Box<Command>),
    /// To send a file.
    Send(PathBuf),
    /// To fetch the files of a message.
    Fetch {
        /// Its place.
        seq: u64,
        /// Where they go.
        dir: PathBuf,
    },
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

/// What `/help` says.
pub const HELP: &str = "\
/verify           compare codes with the peer
/same, /differ    the two codes are the same, or not
/send PATH        a file, sealed
/fetch SEQ DIR    the files of a message, into a directory
/read SEQ         everything up to there was read
/tell-read yes|no [everywhere]
                  whether others hear what you read, here or where you chose nothing else
/accept           take the peer's changed keys for theirs
/add CODE         take a new device of yours that shows this code
/revoke KEY       a device of yours is none any more
/share KEY        share what this device has opened with a newer one of yours
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

fn said(command: Command) -> Said {
    Said::Command(Box::new(command))
}

fn words(line: &str, peer: &Address, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match (name, rest) {
        ("help", "") => Ok(Said::Help),
        ("quit", "") => Ok(Said::Quit),
        ("send", path) if !path.is_empty() => Ok(Said::Send(path.into())),
        ("fetch", rest) => {
            let (seq, dir) = rest.split_once(' ').ok_or(Unsaid::Want("a message's number and a directory"))?;
            fetch(seq.parse().ok(), dir.trim())
        }
        ("read", seq) => read(seq.parse().map_err(|_| Unsaid::Want("the number of a message"))?, talk),
        ("tell-read", "yes") => tell_read(true, false, talk),
        ("tell-read", "no") => tell_read(false, false, talk),
        ("tell-read", "yes everywhere") => tell_read(true, true, talk),
        ("tell-read", "no everywhere") => tell_read(false, true, talk),
        ("add", code) if !code.is_empty() => Ok(said(Command::AddDevice { code: code.to_owned() })),
        ("revoke", key) => Ok(said(Command::Revoke(device(key)?))),
        ("share", key) => Ok(said(Command::ShareHistory { with: device(key)? })),
        (name, "") => simple(name, peer).ok_or(Unsaid::Unknown),
        _ => Err(Unsaid::Unknown),
    }
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

fn fetch(seq: Option<u64>, dir: &str) -> Result<Said, Unsaid> {
    let seq = seq.ok_or(Unsaid::Want("the number of a message"))?;
    if dir.is_empty() { Err(Unsaid::Want("a directory")) } else { Ok(Said::Fetch { seq, dir: dir.into() }) }
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

/// A command as programs say it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    r#do: String,
    text: Option<String>,
    salt: Option<String>,
    seq: Option<u64>,
    code: Option<String>,
    device: Option<String>,
    path: Option<String>,
    tell: Option<bool>,
    everywhere: Option<bool>,
}

fn object(line: &str, peer: &Address, talk: Option<ConversationId>) -> Result<Said, Unsaid> {
    let object: Object =
        serde_json::from_str(line).map_err(|why| Unsaid::Json(crate::shown::shown(&why.to_string(), 200)))?;
    let Object { r#do: name, text, salt, seq, code, device: key, tell, everywhere, path } = object;
    if let Some(path) = path {
        return match (name.as_str(), text, salt, seq, code, key, tell.or(everywhere)) {
            ("send", None, None, None, None, None, None) => Ok(Said::Send(path.into())),
            ("fetch", None, None, seq, None, None, None) => fetch(seq, &path),
            _ => Err(Unsaid::Unknown),
        };
    }
    match (name.as_str(), tell) {
        ("tell_read", Some(tell)) if [&text, &salt, &code, &key] == [&None; 4] && seq.is_none() => {
            return tell_read(tell, everywhere.unwrap_or_default(), talk);
        }
        (_, None) if everywhere.is_none() => {}
        _ => return Err(Unsaid::Unknown),
    }
    match (name.as_str(), text, salt, seq, code, key) {
        ("write", Some(text), None, None, None, None) => write(peer, None, &text),
        ("write", Some(text), Some(salt), None, None, None) => write(peer, Some(parse_salt(&salt)?), &text),
        ("read", None, None, Some(seq), None, None) => read(seq, talk),
        ("add", None, None, None, Some(code), None) => Ok(said(Command::AddDevice { code })),
        ("revoke", None, None, None, None, Some(key)) => Ok(said(Command::Revoke(device(&key)?))),
        ("share", None, None, None, None, Some(key)) => Ok(said(Command::ShareHistory { with: device(&key)? })),
        ("quit", None, None, None, None, None) => Ok(Said::Quit),
        (name, None, None, None, None, None) => simple(name, peer).ok_or(Unsaid::Unknown),
        _ => Err(Unsaid::Unknown),
    }
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
            ("/add 123456".to_owned(), r#"{"do":"add","code":"123456"}"#.to_owned()),
            (format!("/revoke {key}"), format!(r#"{{"do":"revoke","device":"{key}"}}"#)),
            ("/quit".to_owned(), r#"{"do":"quit"}"#.to_owned()),
            ("/send a b.txt".to_owned(), r#"{"do":"send","path":"a b.txt"}"#.to_owned()),
            ("/fetch 7 in to".to_owned(), r#"{"do":"fetch","seq":7,"path":"in to"}"#.to_owned()),
        ] {
            assert!(parsed(&line).is_ok() && parsed(&line) == parsed(&json), "{line}");
        }
    }

    #[test]
    fn what_is_meant_as_a_command_and_is_none_is_never_said_to_the_peer() {
        for line in [
            "/verfy",
            "/read",
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
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert_eq!(parse("/read 1", &peer(), None), Err(Unsaid::Want("a conversation; there is none yet")));
    }
}
