//! The `Postline-*` fields: `name=value; name=value`, as strict as two implementations need to sign the same bytes
//! ([F-2]).

pub use postline_core::content::mail::FieldName;
use postline_core::content::mail::Tags;
use postline_core::limits;

use super::text::HeaderText;

/// Longest name of a tag, in bytes.
const TAG_NAME_BYTES: usize = 16;

/// Why a field's body is not strictly tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// Longer than a field may be.
    #[error("field of {got} bytes, at most {max}")]
    Length {
        /// Its length in bytes, white space removed.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// More tags than a field may have.
    #[error("{got} tags, at most {max}")]
    Count {
        /// How many it has.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A CR or LF that is no fold.
    #[error("a line end that is no fold")]
    Fold,
    /// No `=`, or what stands before it is no tag name.
    #[error("no tag: {0:?}")]
    Tag(String),
    /// No value, or one that is not visible ASCII.
    #[error("bad value of tag {0}")]
    Value(String),
    /// The same tag a second time.
    #[error("tag {0} stands twice")]
    Twice(String),
}

/// Parses a field's body, folded or not, without the CRLF that ends the field. White space is removed: it may stand within values and around tags, not within
/// or after a tag's name.
///
/// # Errors
/// [`FieldFault`] for anything that is not strictly tags: names are `[a-z][a-z0-9]*` of at most 16 bytes, values are
/// visible ASCII without `;`, no tag is empty or stands twice, CR and LF stand only as CRLF before a space or tab, and the
/// bounds of `limits` hold.
pub fn parse(body: &str) -> Result<Tags, FieldFault> {
    let got = length(body).ok_or(FieldFault::Fold)?;
    if got > limits::FIELD_BYTES {
        return Err(FieldFault::Length { got, max: limits::FIELD_BYTES });
    }
    let count = body.split(';').count();
    if count > limits::FIELD_TAGS {
        return Err(FieldFault::Count { got: count, max: limits::FIELD_TAGS });
    }
    let mut tags = Tags::new();
    for tag in body.split(';') {
        let tag = tag.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
        let (name, value) = tag.split_once('=').ok_or_else(|| FieldFault::Tag(shown(tag)))?;
        if !is_tag_name(name) {
            return Err(FieldFault::Tag(shown(tag)));
        }
        let value: String = value.chars().filter(|c| !(c.is_ascii() && is_space(*c as u8))).collect();
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(FieldFault::Value(name.to_owned()));
        }
        if tags.insert(name.to_owned(), value).is_some() {
            return Err(FieldFault::Twice(name.to_owned()));
        }
    }
    Ok(tags)
}

/// Writes a field on one line, `Name: value`, without CRLF, in the order that [`FieldName::line`] has.
#[must_use]
pub fn unfolded(name: FieldName, tags: &Tags) -> String {
    HeaderText::cleaned(&name.line(tags)).to_string()
}

/// Writes a field folded to at most 78 columns, CRLF included.
#[must_use]
pub fn line(name: FieldName, tags: &Tags) -> String {
    HeaderText::cleaned(&unfolded(name, tags)).folded_within_words()
}

/// The bytes that are no white space; none where a CR or LF is not of a CRLF before a space or tab.
fn length(body: &str) -> Option<usize> {
    let (mut length, mut last) = (0, b' ');
    for &byte in body.as_bytes() {
        let fits = match last {
            b'\r' => byte == b'\n',
            b'\n' => byte == b' ' || byte == b'\t',
            _ => byte != b'\n',
        };
        if !fits {
            return None;
        }
        if !is_space(byte) {
            length += 1;
        }
        last = byte;
    }
    (last != b'\r' && last != b'\n').then_some(length)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_tag_name(name: &str) -> bool {
    name.len() <= TAG_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The beginning of what a peer wrote, for an error text.
fn shown(tag: &str) -> String {
    tag.chars().take(2 * TAG_NAME_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[(&str, &str)]) -> Tags {
        list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_folded_field_says_the_same() {
        let want = tags(&[("v", "1"), ("n", "AAAA/+=="), ("b", "BBBB")]);
        for text in ["v=1; n=AAAA/+==; b=BBBB", " v=1;\r\n\tn=AA\r\n AA/+=\r\n =;b= BBBB ", "b=BBBB;n=AAAA/+==;v=1"] {
            assert_eq!(parse(text), Ok(want.clone()), "{text:?}");
        }
    }

    /// [F-2]
    #[test]
    fn what_is_not_strictly_tags_is_refused() {
        for bad in [
            "",
            ";",
            "v=1;",
            ";v=1",
            "v=1;;b=2",
            "v",
            "v=",
            "=1",
            "V=1",
            "1v=1",
            "v =1",
            "v v=1",
            "v-w=1",
            "v=1; v=1",
            "v=é",
            "v=\u{a0}1",
            "v=\0",
            "averyverylongname=1",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    /// [F-2]
    #[test]
    fn a_line_end_that_is_no_fold_is_refused() {
        for bad in
            ["v=1\r\n", "v=1\rb=2", "v=1;\nb=2", "v=1;\n b=2", "v=1;\r\nb=2", "v=1;\r\n\r\n b=2", "v=1;\r\r\n b=2"]
        {
            assert_eq!(parse(bad), Err(FieldFault::Fold), "{bad:?}");
        }
    }

    #[test]
    fn the_bounds_hold_at_them_and_above() {
        let value = |len: usize| format!("v={}", "a".repeat(len));
        assert!(parse(&value(limits::FIELD_BYTES - 2)).is_ok());
        assert_eq!(parse(&value(limits::FIELD_BYTES - 1)), Err(FieldFault::Length { got: 513, max: 512 }));
        let many = |n: usize| (0..n).map(|i| format!("a{i}=1")).collect::<Vec<_>>().join("; ");
        assert!(parse(&many(limits::FIELD_TAGS)).is_ok());
        assert_eq!(parse(&many(limits::FIELD_TAGS + 1)), Err(FieldFault::Count { got: 17, max: 16 }));
    }

    #[test]
    fn a_field_is_written_v_first_and_b_last() {
        let tags = tags(&[("b", "sig"), ("ak", "k"), ("v", "1"), ("x", "90")]);
        assert_eq!(unfolded(FieldName::Offer, &tags), "Postline-Offer: v=1; ak=k; x=90; b=sig");
    }

    #[test]
    fn t_022_a_tag_cannot_begin_a_new_field() {
        let written = line(FieldName::Id, &tags(&[("v", "1\r\nBcc: eve@c.example")]));
        assert_eq!(written, "Postline-Id: v=1  Bcc: eve@c.example\r\n");
    }
}
