//! Text from strangers, made fit to be shown: nothing in it moves a cursor, hides, or turns the reading direction
//! (attacks 17, 104).

use std::fmt;

/// The longest address, in bytes (RFC 5321 §4.5.3.1): as much as is shown of one.
pub const ADDRESS_BYTES: usize = 320;

/// Whether a character must not reach a terminal as it is: controls, line and paragraph separators, bidirectional and
/// zero-width characters, tags.
#[must_use]
pub fn hides(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes what [`hides`], as Rust writes it (`\n`, `\u{1b}`), and the backslash; cuts at about `max` bytes with `…`.
#[must_use]
pub fn shown(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > max {
            out.push('…');
            break;
        }
        if hides(c) || c == '\\' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Something whose `Display` is escaped as by [`shown`], to at most 1 KiB.
pub struct Shown<T>(pub T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0.to_string(), 1_024))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_104_what_is_shown_moves_no_cursor() {
        assert_eq!(shown("a\x1b[2Jb\r\nc\u{9b}d\u{202e}e\u{7f}", 99), r"a\u{1b}[2Jb\r\nc\u{9b}d\u{202e}e\u{7f}");
        assert_eq!(shown(r"already \u{1b}", 99), r"already \\u{1b}", "an escape can't be forged");
        assert_eq!(shown("Grüße an ö@b.example", 99), "Grüße an ö@b.example");
    }

    #[test]
    fn what_is_shown_is_bounded() {
        assert_eq!(shown(&"x".repeat(10), 10), "x".repeat(10));
        assert_eq!(shown(&"x".repeat(11), 10), format!("{}…", "x".repeat(10)));
        assert!(shown(&"\u{1b}".repeat(1_000_000), 100).len() < 120);
    }
}
