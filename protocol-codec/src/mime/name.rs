//! Names that strangers choose, made fit to be shown or to name a file (attacks 17, 32).
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

/// A name under which an attachment may be saved: one path component on every system, visible, not reserved, at most
/// [`FILE_NAME_BYTES`](limits::FILE_NAME_BYTES) bytes. It keeps its extension where that is short.
#[must_use]
pub fn suggested_file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .filter(|c| *c == ' ' || !hides_or_reorders(*c))
        .map(|c| if is_path_syntax(c) { '_' } else { c })
        .collect();
    let safe = safe.trim_matches(['.', ' ']);
    if safe.is_empty() {
        return "attachment".to_owned();
    }
    let room = limits::FILE_NAME_BYTES - usize::from(is_reserved(safe));
    let safe = shortened(safe, room);
    if is_reserved(&safe) { format!("_{safe}") } else { safe }
}

/// What separates, escapes, globs or names a stream on some system, and what some system folds into that.
fn is_path_syntax(c: char) -> bool {
    matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '%' | '~' | '$' | '`')
        || matches!(c, '\u{2024}'..='\u{2026}' | '\u{3002}' | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}')
        || matches!(c, '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}' | '\u{fe68}')
        || matches!(c, '\u{ff0f}' | '\u{ff1a}' | '\u{ff3c}' | '\u{2236}' | '\u{fe55}' | '\u{ff05}' | '\u{fe6a}')
}

/// Windows takes these for devices, with any extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |prefix| {
        let rest = stem.strip_prefix(prefix).map(|rest| rest.chars().collect::<Vec<_>>());
        matches!(rest.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    };
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin_" | "conout_" | "clock_")
        || numbered("com")
        || numbered("lpt")
}

fn shortened(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    let cut = stem.floor_char_boundary(max - extension.len());
    format!("{}{extension}", stem.get(..cut).unwrap_or_default().trim_end_matches(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// [N-4]
    #[test]
    fn t_017_a_shown_name_hides_and_reorders_nothing() {
        assert_eq!(display_name(" Alice\u{202e}gpj.exe\r\n\tBcc:\u{200b} x\0 "), "Alicegpj.exe Bcc: x");
        assert_eq!(display_name("Jörg  Müller"), "Jörg Müller");
        assert_eq!(display_name(&"a".repeat(1_000)).len(), limits::DISPLAY_NAME_CHARS);
    }

    #[test]
    fn t_032_a_suggested_name_is_one_harmless_component() {
        for (name, want) in [
            ("Übersicht 2024.pdf", "Übersicht 2024.pdf"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..%2f..%2fx", "_2f.._2fx"),
            ("C:\\x.txt", "C__x.txt"),
            ("a.txt:evil", "a.txt_evil"),
            ("..", "attachment"),
            (" . ", "attachment"),
            ("", "attachment"),
            ("\u{2025}/x", "__x"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("lpt\u{b9}.log", "_lpt\u{b9}.log"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("x.exe .", "x.exe"),
        ] {
            assert_eq!(suggested_file_name(name), want, "{name:?}");
        }
        assert!(suggested_file_name(&format!("{}.tar.gz", "é".repeat(500))).ends_with(".gz"));
    }

    proptest! {
        #[test]
        fn t_032_no_name_escapes(name in "(\\PC|[./\\\\:%~\u{202e}\u{2024}\u{ff0f}conul1 ]){0,300}") {
            let safe = suggested_file_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= limits::FILE_NAME_BYTES);
            let harmful = ['/', '\\', ':', '%', '\0', '\u{202e}'];
            prop_assert!(!safe.contains(harmful), "{:?}", safe);
            prop_assert!(!safe.starts_with('.') && !safe.ends_with(['.', ' ']) && !is_reserved(&safe));
            prop_assert_eq!(&suggested_file_name(&safe), &safe);
        }
    }
}
