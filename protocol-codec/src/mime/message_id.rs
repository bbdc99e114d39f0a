//! Message ids: `<…@…>`, one or a list (RFC 5322 §3.6.4), without quotes, commas or phrases.

use postline_core::content::mail::Inert;
use postline_core::limits;

/// Reads a field that holds one message id and nothing else; gives it without angle brackets.
pub(crate) fn one(text: &str) -> Result<String, Inert> {
    let has_two_sides =
        |id: &str| id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty());
    match list(text)?.as_slice() {
        [id] if has_two_sides(id) && text.ends_with('>') && text.starts_with('<') => Ok(id.clone()),
        _ => Err(Inert::MessageId),
    }
}

/// Reads a field that holds message ids, or none; gives them without angle brackets.
///
/// Those of others are taken as they are: an `@` is not asked for, since people answer what old programs wrote. A plain
/// comment is passed over, as some put one beside In-Reply-To.
pub(crate) fn list(text: &str) -> Result<Vec<String>, Inert> {
    let mut ids = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let after = match rest.strip_prefix('(') {
            Some(comment) => {
                let (inside, after) = comment.split_once(')').ok_or(Inert::MessageId)?;
                if inside.contains(['(', '<', '>', '\\']) {
                    return Err(Inert::MessageId);
                }
                after
            }
            None => {
                let id = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
                let (id, after) = id.ok_or(Inert::MessageId)?;
                if id.is_empty() || id.len() > limits::MESSAGE_ID_BYTES || !id.bytes().all(is_id_byte) {
                    return Err(Inert::MessageId);
                }
                ids.push(id.to_owned());
                after
            }
        };
        rest = after.trim_start_matches([' ', '\t']);
    }
    Ok(ids)
}

/// Visible ASCII, less what some reader takes for the end of an id, a comment or a quote.
fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'(' | b')' | b'"' | b'\\' | b',' | b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_strictly() {
        assert_eq!(one("<a@b>").unwrap(), "a@b");
        assert_eq!(list("<a@b><c>\t <d@[::1]>").unwrap(), ["a@b", "c", "d@[::1]"]);
        assert_eq!(list("<a@b> (Ann's \"mail\") <c@d>").unwrap(), ["a@b", "c@d"]);
        assert_eq!(list("").unwrap(), Vec::<String>::new());
        for bad in ["", "a@b", "<a>", "<@b>", "<a@>", "<a@b> <c@d>", "<a @b>", "<a@b", "<a@b>x", "(c) <a@b>", "<<a@b>>"]
        {
            assert_eq!(one(bad), Err(Inert::MessageId), "{bad:?}");
        }
        for bad in [
            "<a@b>, <c@d>",
            "Your mail of Monday <a@b>",
            "<\"a b\"@c>",
            "<a@b> (",
            "<a@b> (<c@d>)",
            "(\\) <a@b>)",
            "<é@b>",
            "<>",
        ] {
            assert_eq!(list(bad), Err(Inert::MessageId), "{bad:?}");
        }
        let longest = "a".repeat(limits::MESSAGE_ID_BYTES - 2);
        assert!(one(&format!("<{longest}@b>")).is_ok());
        assert!(one(&format!("<{longest}@bc>")).is_err());
    }
}
