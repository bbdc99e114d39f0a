//! What Dovecot's mailboxes report, as `contrib/dovecot/postline.lua` writes it: a version, then one event a line.
//!
//! ```text
//!   1
//!   new 1700000000 42 <id@b.example>     a mail was delivered: uidvalidity, uid, Message-ID
//!   copy 1700000000 7 <id@b.example>     a mail program put it there
//!   read 1700000000 42                   it got the flag \Seen
//!   gone 1700000000 42                   it was expunged
//! ```
//!
//! A mail program can write the same annotation, so a report is its user's word about their own mailbox, and no more.

use postline_core::limits;

/// One thing that happened in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub what: What,
    /// The mailbox's UIDVALIDITY.
    pub validity: u32,
    /// The mail's UID.
    pub uid: u32,
}

/// What happened to a mail in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was delivered, and bears this Message-ID, without angle brackets.
    New(String),
    /// A mail program put it there.
    Copy(String),
    /// It got the flag `\Seen`.
    Read,
    /// It was expunged.
    Gone,
}

/// Why a report is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// Its first line is no version that is known.
    #[error("a report of an unknown version")]
    Version,
    /// It has more lines than any may have.
    #[error("a report of more than {max} events", max = limits::EVENT_LINES)]
    Lines,
    /// A line is no event.
    #[error("a malformed event")]
    Malformed,
}

/// Reads a report.
///
/// # Errors
/// [`EventFault`]: then nothing of it counts.
pub fn parse(text: &str) -> Result<Vec<Happened>, EventFault> {
    let mut lines = text.lines();
    if lines.next() != Some("1") {
        return Err(EventFault::Version);
    }
    let mut all = Vec::new();
    for line in lines {
        if all.len() >= limits::EVENT_LINES {
            return Err(EventFault::Lines);
        }
        all.push(event(line).ok_or(EventFault::Malformed)?);
    }
    Ok(all)
}

fn event(line: &str) -> Option<Happened> {
    let mut words = line.splitn(4, ' ');
    let (what, validity, uid, id) = (words.next()?, words.next()?, words.next()?, words.next());
    let what = match (what, id) {
        ("new", Some(id)) => What::New(message_id(id)?),
        ("copy", Some(id)) => What::Copy(message_id(id)?),
        ("read", None) => What::Read,
        ("gone", None) => What::Gone,
        _ => return None,
    };
    Some(Happened { what, validity: validity.parse().ok()?, uid: uid.parse().ok()? })
}

/// A Message-ID without its angle brackets.
fn message_id(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let good = (1..=limits::MESSAGE_ID_BYTES).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_whole_or_not_at_all() {
        let happened = |what, uid| Happened { what, validity: 17, uid };
        let report = "1\nnew 17 42 <id@b.example>\ncopy 17 7 x\nread 17 42\ngone 17 4294967295\n";
        assert_eq!(
            parse(report),
            Ok(vec![
                happened(What::New("id@b.example".into()), 42),
                happened(What::Copy("x".into()), 7),
                happened(What::Read, 42),
                happened(What::Gone, u32::MAX),
            ])
        );
        for bad in ["read 17", "read 17 1 x", "new 17 1", "new 17 1 <>", "new 17 1 a b", "read -1 2", "burnt 1 2", ""] {
            assert_eq!(parse(&format!("1\nread 17 42\n{bad}\n")), Err(EventFault::Malformed), "{bad:?}");
        }
        assert_eq!(parse("2\nread 17 42"), Err(EventFault::Version));
        assert_eq!(parse(""), Err(EventFault::Version));
    }

    #[test]
    fn a_report_is_bounded() {
        let of = |lines: usize| format!("1\n{}", "read 1 2\n".repeat(lines));
        assert_eq!(parse(&of(limits::EVENT_LINES)).map(|all| all.len()), Ok(limits::EVENT_LINES));
        assert_eq!(parse(&of(limits::EVENT_LINES + 1)), Err(EventFault::Lines));
        assert_eq!(
            parse(&format!("1\nnew 1 2 {}", "x".repeat(limits::MESSAGE_ID_BYTES + 1))),
            Err(EventFault::Malformed)
        );
    }
}
