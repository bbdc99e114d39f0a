//! What was said sealed, as a mail for who has only a mail program: made by the device that their node runs for them, and
//! the way back from a reply to it.
//!
//! ```text
//!   said ─▶ render ─▶ a plain mail, Message-ID <conversation.seq.sealed@domain> ─▶ mailbox
//!                                                                   the reply ─▶ answers, words ─▶ the conversation
//! ```
//!
//! The same arguments give the same bytes: made again after a crash, it is the same mail.

use mail_builder::MessageBuilder;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use postline_core::id::{Address, ConversationId, Domain};
use postline_core::limits;
use postline_core::time::Millis;

use super::letter::head_len;

/// The field that says that a mail came sealed. A note for people and filters: it proves nothing, anybody can write it.
pub const FIELD: &str = "Postline-Sealed";
/// What stands at the end of the left part of such a mail's Message-ID.
const MARK: &str = ".sealed@";
/// How long a conversation's name is, in hex.
const NAME: usize = ConversationId::LEN * 2;
/// The end of the year 9999, in Unix seconds: the last that a Date field can name.
const LAST_DATE: i64 = 253_402_300_799;

/// Something that was said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: u64,
    /// Who said it.
    pub author: &'a Address,
    /// To whom the mail goes.
    pub reader: &'a Address,
    /// When, as the author's clock said.
    pub at: Millis,
    /// What.
    pub body: &'a [u8],
}

/// Renders it. All mails of a conversation answer the same, so that programs show them as one thread.
#[must_use]
pub fn render(said: &Said<'_>) -> Vec<u8> {
    let (talk, domain) = (said.conversation, said.reader.domain());
    let thread = format!("{talk}{MARK}{domain}");
    let mail = MessageBuilder::new()
        .message_id(message_id(talk, said.seq, said.reader))
        .date(i64::try_from(said.at.unix_seconds()).unwrap_or(i64::MAX).min(LAST_DATE))
        .from(said.author.to_string())
        .to(said.reader.to_string())
        .subject(format!("Sealed conversation with {}", said.author))
        .in_reply_to(MessageId::new(thread.clone()))
        .references(MessageId::new(thread))
        .header(FIELD, Raw::new(format!("{talk} {}", said.seq)))
        .header("MIME-Version", Raw::new("1.0"));
    let body = match core::str::from_utf8(said.body) {
        Ok(text) => MimePart::new("text/plain", text.to_owned()),
        Err(_) => MimePart::new("application/octet-stream", said.body.to_vec()).attachment("message.bin"),
    };
    let mut bytes = Vec::new();
    mail.body(body).serialize(&mut bytes);
    bytes
}

/// The Message-ID of such a mail, without angle brackets.
#[must_use]
pub fn message_id(talk: ConversationId, seq: u64, reader: &Address) -> String {
    format!("{talk}.{seq:x}{MARK}{}", reader.domain())
}

/// The conversation of our people's that a mail answers, wherever in its header it names one: also where that header is none that we
/// would heed, since sealed words must not go on in the clear.
#[must_use]
pub fn answers(mail: &[u8], ours: &[Domain]) -> Option<ConversationId> {
    named_in(mail.get(..head_len(mail)).unwrap_or_default(), ours)
}

/// The same of one header field, or of a whole header.
#[must_use]
pub fn named_in(head: &[u8], ours: &[Domain]) -> Option<ConversationId> {
    let head = head.to_ascii_lowercase();
    let mut rest = head.as_slice();
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK.as_bytes()) {
        let (left, right) = rest.split_at(at);
        rest = right.get(MARK.len()..).unwrap_or_default();
        let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"-.".contains(byte)));
        let domain = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if let Some(talk) = named(left).filter(|_| ours.iter().any(|our| our.as_str().as_bytes() == domain)) {
            return Some(talk);
        }
    }
    None
}

/// The conversation that the left part of a Message-ID names, `conversation` or `conversation.seq`, at the end of `text`.
fn named(text: &[u8]) -> Option<ConversationId> {
    let tail = |text: &[u8]| {
        let name = text.get(text.len().checked_sub(NAME)?..)?;
        ConversationId::parse(core::str::from_utf8(name).ok()?).ok()
    };
    let dot = text.iter().rposition(|byte| *byte == b'.').and_then(|at| text.get(..at));
    tail(text).or_else(|| dot.and_then(tail))
}

/// The words of a reply, where it is nothing but words that fit into a message: `None` where it brings anything else.
#[must_use]
#[allow(clippy::wildcard_enum_match_arm, reason = "whatever else there is, or comes to be, is more than words")]
pub fn words(mail: &[u8]) -> Option<String> {
    let parsed = MessageParser::default().parse(mail)?;
    let alternative = |part: &mail_parser::MessagePart<'_>| {
        part.content_type().is_some_and(|kind| kind.ctype() == "multipart" && kind.subtype() == Some("alternative"))
    };
    let mut text = None;
    for part in &parsed.parts {
        match &part.body {
            PartType::Text(words) if text.is_none() => text = Some(words.trim_end().to_owned()),
            PartType::Multipart(_) if alternative(part) => {}
            // The same again, for programs that show it.
            PartType::Html(_) if parsed.parts.first().is_some_and(alternative) => {}
            _ => return None,
        }
    }
    text.filter(|text| !text.is_empty() && text.len() <= limits::CONTENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: ConversationId = ConversationId([0xab; 32]);

    fn mail(body: &[u8]) -> Vec<u8> {
        let (author, reader) = (Address::parse("ann@a.example").unwrap(), Address::parse("ben@b.example").unwrap());
        let at = Millis(1_795_000_000_000);
        render(&Said { conversation: TALK, seq: 31, author: &author, reader: &reader, at, body })
    }

    #[test]
    fn what_was_said_is_a_mail_that_every_reader_reads_alike() {
        let bytes = mail("grüße\n.\nFrom here".as_bytes());
        assert_eq!(bytes, mail("grüße\n.\nFrom here".as_bytes()));
        let head = super::super::scan(&bytes);
        let canonical = head.canonical().expect("canonical");
        assert_eq!(canonical.message_id, format!("{TALK}.1f.sealed@b.example"));
        assert_eq!(canonical.answers, [format!("{TALK}.sealed@b.example")]);
        assert_eq!(canonical.from, Address::parse("ann@a.example").unwrap());
        assert!(canonical.automatic.is_none());
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), "grüße\n.\nFrom here");
        let unfolded = String::from_utf8_lossy(&bytes).replace("\r\n\t", " ").replace("\r\n ", " ");
        let words: Vec<&str> = unfolded.split_whitespace().collect();
        let field = [format!("{FIELD}:"), TALK.to_string(), "31".to_owned()];
        assert!(words.windows(3).any(|three| three == field), "{unfolded}");
    }

    #[test]
    fn what_is_no_text_comes_attached_and_whole() {
        let bytes = mail(&[0xff, 0, 0xfe]);
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.attachment(0).unwrap().contents(), [0xff, 0, 0xfe]);
    }

    #[test]
    fn t_022_what_was_said_makes_no_header() {
        let bytes = mail(b"\r\nBcc: eve@c.example\r\n\r\nx");
        let head = &bytes[..head_len(&bytes)];
        assert!(!String::from_utf8_lossy(head).contains("Bcc"));
    }

    #[test]
    fn t_071_a_reply_is_known_however_its_header_is_written() {
        let id = message_id(TALK, 31, &Address::parse("ben@b.example").unwrap());
        let ours = [Domain::parse("b.example").unwrap()];
        let reply = |field: &str| format!("From: ben@b.example\r\n{field}\r\n\r\nyes\r\n").into_bytes();
        for field in [
            format!("In-Reply-To: <{id}>"),
            format!("References: <x@y>\r\n <{id}>"),
            format!("IN-REPLY-TO: \"re\" <{}>", id.to_ascii_uppercase()),
            format!("References: <{TALK}.sealed@b.example>"),
        ] {
            assert_eq!(answers(&reply(&field), &ours), Some(TALK), "{field}");
        }
        for field in ["In-Reply-To: <x.sealed@b.example>", "Subject: none", "X: .sealed@"] {
            assert_eq!(answers(&reply(field), &ours), None, "{field}");
        }
        let theirs = format!("References: <{TALK}.sealed@b.example.org>");
        assert_eq!(answers(&reply(&theirs), &ours), None, "of other people's");
        // What stands in the body answers nothing.
        assert_eq!(answers(format!("From: a\r\n\r\n<{id}>").as_bytes(), &ours), None);
    }

    #[test]
    fn a_reply_is_sealed_only_where_it_is_nothing_but_words() {
        let plain = b"From: a@b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=C3=9Fe\r\n";
        assert_eq!(words(plain).as_deref(), Some("grüße"));
        let both = b"From: a@b\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>hi\r\n--x--\r\n";
        assert_eq!(words(both).as_deref(), Some("hi"));
        let attached = b"From: a@b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: image/png\r\nContent-Disposition: attachment\r\n\r\nx\r\n--x--\r\n";
        assert_eq!(words(attached), None);
        assert_eq!(words(b"From: a@b\r\n\r\n\r\n"), None);
    }
}
