//! Names that strangers choose, made fit to be shown (attack 17). What names a file is core's: `content::file_name`.
//!
//! What is made here is for people. No rule ever depends on it.

use postline_core::id::hides_or_reorders;
use postline_core::limits;

/// A display name as it may be shown beside its address, never in its place: no controls, nothing that hides or reorders
/// text, white space in single spaces, at most [`DISPLAY_NAME_CHARS`](limits::DISPLAY_NAME_CHARS) characters.
#[must_use]
pub fn display_name(name: &str) -> String {
    let spaced = name.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let kept: String = spaced.filter(|c| *c == ' ' || !hides_or_reorders(*c)).collect();
    let words = kept.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    words.chars().take(limits::DISPLAY_NAME_CHARS).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [N-4]
    #[test]
    fn t_017_a_shown_name_hides_and_reorders_nothing() {
        assert_eq!(display_name(" Alice\u{202e}gpj.exe\r\n\tBcc:\u{200b} x\0 "), "Alicegpj.exe Bcc: x");
        assert_eq!(display_name("Jörg  Müller"), "Jörg Müller");
        assert_eq!(display_name(&"a".repeat(1_000)).len(), limits::DISPLAY_NAME_CHARS);
    }
}
