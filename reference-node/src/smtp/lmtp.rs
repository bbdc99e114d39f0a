//! What LMTP does otherwise (RFC 2033): after a mail's data each recipient gets a reply of their own.
//!
//! So a mail that is ours for one recipient and still the mail server's for another is answered truly for both, and
//! nobody ever has two promises for one recipient, nor none.

use postline_core::server::io::RcptOutcome;

use super::door::Answer;
use super::session::reply;

/// What became of a mail for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Each {
    /// The node's own word.
    Node(Answer),
    /// The word of the server that it was handed on to, before this reply.
    Passed(RcptOutcome),
}

impl Each {
    /// Whether the one who brought the mail is rid of it.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Node(Answer::Taken) | Self::Passed(RcptOutcome::Done))
    }

    /// The reply line, without CRLF.
    #[must_use]
    pub(super) fn reply(&self) -> String {
        match self {
            Self::Node(answer) => reply(*answer),
            Self::Passed(RcptOutcome::Done) => "250 2.0.0 Passed on".to_owned(),
            Self::Passed(RcptOutcome::Later(why)) => coded(why, '4', "451 4.4.0"),
            Self::Passed(RcptOutcome::Failed(why)) => coded(why, '5', "554 5.4.0"),
        }
    }
}

/// The words of a server further on as a reply of this class: its own codes where it said some, else `codes`.
fn coded(why: &str, class: char, codes: &str) -> String {
    let text: String = why.chars().take(400).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    let mut words = text.splitn(3, ' ');
    let is_code = |word: &str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    let is_status = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        parts.len() == 3
            && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let own = |word: &str| word.starts_with(class);
    match (words.next(), words.next()) {
        (Some(code), Some(status)) if own(code) && is_code(code) && own(status) && is_status(status) => text,
        (Some(status), Some(_)) if own(status) && is_status(status) => {
            format!("{} {text}", codes.split(' ').next().unwrap_or_default())
        }
        _ => format!("{codes} {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_keeps_the_codes_of_the_server_further_on_and_never_changes_its_class() {
        let later = |why: &str| Each::Passed(RcptOutcome::Later(why.into())).reply();
        let failed = |why: &str| Each::Passed(RcptOutcome::Failed(why.into())).reply();
        assert_eq!(failed("550 5.1.1 no such user"), "550 5.1.1 no such user");
        assert_eq!(failed("5.6.7 the host takes none"), "554 5.6.7 the host takes none");
        assert_eq!(failed("550 no status"), "554 5.4.0 550 no status");
        assert_eq!(later("452 4.2.2 full"), "452 4.2.2 full");
        assert_eq!(later("connection refused"), "451 4.4.0 connection refused");
        assert_eq!(later("550 5.1.1 said of something else"), "451 4.4.0 550 5.1.1 said of something else");
        assert_eq!(later("é\r\n250 ok"), "451 4.4.0 ???250 ok");
        assert_eq!(later(""), "451 4.4.0 ");
        assert!(failed(&"x".repeat(10_000)).len() < 500);
    }
}
