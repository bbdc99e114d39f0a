//! A letter's bytes: fields of ours on top, the header as it came, the body untouched.

use postline_core::content::mail::Letter;
use postline_core::id::Address;

use super::header::{is_wsp, loose_fields, loose_name};
use super::text::HeaderText;

/// The prefix of all field names of ours, in lower case.
const OURS: &[u8] = b"postline-";

/// Where the body begins: just after the first empty line, or at the end where there is none.
#[must_use]
pub fn head_len(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") {
        return 2;
    }
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}

/// The header section that a letter leaves with; the body follows it unchanged, from [`head_len`] on.
///
/// `original` is the header section as it came, empty line included. Without `strip` it stays byte for byte; with it,
/// every field that any reader could take for a `Postline-*` field is left out.
#[must_use]
pub fn compose_head(letter: &Letter, original: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(original.len() + 1_024);
    for stamp in &letter.stamp {
        let stamp = HeaderText::cleaned(stamp);
        if stamp.as_str().is_empty() {
            continue;
        }
        let folded = if is_ours(stamp.as_str().as_bytes()) { stamp.folded_within_words() } else { stamp.folded() };
        head.extend_from_slice(folded.as_bytes());
    }
    let would_continue = original.first().is_some_and(|byte| is_wsp(*byte));
    if !head.is_empty() && would_continue {
        // A header that begins with white space would continue our own field. It is none: what follows is a body.
        head.extend_from_slice(b"\r\n");
    }
    if !letter.strip {
        head.extend_from_slice(original);
        return head;
    }
    for field in loose_fields(original) {
        if !is_ours(field) {
            head.extend_from_slice(field);
        } else if !head.is_empty() && !head.ends_with(b"\r\n") {
            // A bare CR or LF must not pair with what comes after the gap: the header would end elsewhere.
            head.extend_from_slice(b"\r\n");
        }
    }
    head
}

/// Whom each From field names, in whatever disguise the field stands; `None` for one that names no one person.
///
/// Looser than [`scan`](super::scan), for submission: a mail may be inert and still must not speak for somebody else.
#[must_use]
pub fn authors(bytes: &[u8]) -> Vec<Option<Address>> {
    let head = bytes.get(..head_len(bytes)).unwrap_or_default();
    let from = loose_fields(head).filter(|field| loose_name(field).eq_ignore_ascii_case(b"from"));
    from.map(|field| {
        let text = core::str::from_utf8(field).ok()?;
        let (_, body) = text.split_once(':')?;
        let body = body.trim();
        let address = match body.rsplit_once('<') {
            Some((name, rest)) if !name.contains('<') || name.trim_end().ends_with('"') => rest.strip_suffix('>')?,
            Some(_) => return None,
            None => body,
        };
        Address::parse(address.trim()).ok()
    })
    .collect()
}

fn is_ours(field: &[u8]) -> bool {
    loose_name(field).get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

#[cfg(test)]
mod tests {
    use postline_core::content::mail::Text;
    use postline_core::id::{BlobRef, Hash};

    use super::*;

    #[test]
    fn every_from_field_counts_however_it_is_written() {
        let who = |head: &str| -> Vec<Option<String>> {
            authors(head.as_bytes()).into_iter().map(|author| author.map(|a| a.to_string())).collect()
        };
        let one = Some("one@a.example".to_owned());
        assert_eq!(who("From: one@a.example\r\n\r\n"), std::slice::from_ref(&one));
        assert_eq!(
            who("FROM : \"One, a\" <one@a.example>\r\nX: y\r\n\r\nFrom: eve@x.example"),
            std::slice::from_ref(&one)
        );
        assert_eq!(who("From: one@a.example\r\nfrom: eve@x.example\r\n\r\n"), [one, Some("eve@x.example".to_owned())]);
        assert_eq!(who("From: one@a.example, eve@x.example\r\n\r\n"), [None]);
        assert_eq!(who("From: <eve@x.example> <one@a.example>\r\n\r\n"), [None]);
        assert_eq!(who("Subject: none\r\n\r\n"), Vec::<Option<String>>::new());
    }

    fn letter(stamp: &[&str], strip: bool) -> Letter {
        let blob = BlobRef { sha256: Hash([0; 32]), len: 0 };
        let stamp = stamp.iter().map(ToString::to_string).collect();
        Letter { from: None, text: Text::Came(blob), stamp, strip, message_id: None }
    }

    #[test]
    fn the_body_begins_after_the_first_empty_line() {
        for (text, len) in
            [("", 0), ("\r\nb", 2), ("A: b\r\n\r\nc\r\n\r\n", 8), ("A: b\r\n", 6), ("A: b\r\n \r\n\r\n", 11)]
        {
            assert_eq!(head_len(text.as_bytes()), len, "{text:?}");
        }
    }

    /// [E-8]
    #[test]
    fn stamps_stand_on_top_and_the_rest_is_untouched() {
        let original = b"from: a@b.example\r\n \tx\r\nPostline-Offer: v=9\r\n\r\n";
        let head = compose_head(&letter(&["Received: by us", "", "Postline-Id: v=1"], false), original);
        let want = [b"Received: by us\r\nPostline-Id: v=1\r\n".as_slice(), original].concat();
        assert_eq!(head, want);
        assert_eq!(compose_head(&letter(&[], false), original), original);
    }

    /// [F-5]
    #[test]
    fn t_023_fields_of_ours_that_a_user_brought_are_left_out_in_every_disguise() {
        let original = b"A: 1\r\nPOSTLINE-offer: v=1;\r\n b=2\r\nPostline-Accept : v=1\r\nB: 2\nPostline-Id: v=1\n\tx\rPostline-X:\r\nPostlined: 3\r\n\r\n";
        let head = compose_head(&letter(&[], true), original);
        assert_eq!(String::from_utf8(head).unwrap(), "A: 1\r\nB: 2\n\r\nPostlined: 3\r\n\r\n");
    }

    #[test]
    fn t_022_a_stamp_cannot_begin_another_field_nor_be_continued_by_the_mail() {
        let head = compose_head(&letter(&["Received: from eve\r\nBcc: x@c.example"], false), b" ; nk=eve\r\n\r\n");
        assert_eq!(String::from_utf8(head).unwrap(), "Received: from eve  Bcc: x@c.example\r\n\r\n ; nk=eve\r\n\r\n");
    }
}
