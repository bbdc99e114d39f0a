//! What a file is called where it is kept: made of what a stranger calls it, and harmless (attack 32).
//!
//! What is made here is for people. No rule ever depends on it: a file is known by its hash.

use core::fmt;

use crate::content::text::ClaimedName;
use crate::id::hides_or_reorders;
use crate::limits;

/// What a file is called of which nothing is left, or nothing was said.
const NAMELESS: &str = "attachment";
/// The longest extension that is kept where a name is cut, in bytes.
const EXTENSION_BYTES: usize = 16;

/// A name under which a file may be saved: one path component on every system, visible, no option, not reserved, at most
/// [`FILE_NAME_BYTES`](limits::FILE_NAME_BYTES) bytes. It keeps its extension where that is short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafeName(String);

impl SafeName {
    /// Makes one of what anybody calls a file, whatever that holds.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let safe: String = name
            .chars()
            .filter(|c| *c == ' ' || !hides_or_reorders(*c))
            .map(|c| if is_path_syntax(c) { '_' } else { c })
            .collect();
        let safe = safe.trim_matches(['.', ' ']);
        let safe = if safe.is_empty() { NAMELESS } else { safe };
        // A program takes what begins so for an option.
        let safe = safe.strip_prefix('-').map_or_else(|| safe.to_owned(), |rest| format!("_{rest}"));
        let safe = shortened(&safe, limits::FILE_NAME_BYTES - usize::from(is_reserved(&safe)));
        Self(if is_reserved(&safe) { format!("_{safe}") } else { safe })
    }

    /// The same with a number, for where the name is taken: `photo (2).jpg`.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let (stem, extension) = divided(&self.0);
        let tail = format!(" ({number}){extension}");
        let room = limits::FILE_NAME_BYTES - tail.len();
        let cut = stem.floor_char_boundary(stem.len().min(room));
        Self::of(&format!("{}{tail}", stem.get(..cut).unwrap_or_default()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ClaimedName> for SafeName {
    fn from(claimed: &ClaimedName) -> Self {
        Self::of(claimed.as_str())
    }
}

impl fmt::Display for SafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
    let (stem, extension) = divided(name);
    let cut = stem.floor_char_boundary(max - extension.len());
    let kept = format!("{}{extension}", stem.get(..cut).unwrap_or_default().trim_end_matches(['.', ' ']));
    kept.trim_matches(['.', ' ']).to_owned()
}

/// A name before its extension, and that with its dot, where it is short.
fn divided(name: &str) -> (&str, &str) {
    match name.rfind('.').map(|dot| name.split_at(dot)) {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= EXTENSION_BYTES + 1 => (stem, extension),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn safe(name: &str) -> String {
        SafeName::of(name).to_string()
    }

    /// [B-5]
    #[test]
    fn t_032_a_suggested_name_is_one_harmless_component() {
        for (name, want) in [
            ("Übersicht 2024.pdf", "Übersicht 2024.pdf"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..%2f..%2fx", "_2f.._2fx"),
            ("C:\\x.txt", "C__x.txt"),
            ("a.txt:evil", "a.txt_evil"),
            ("a.txt::$DATA", "a.txt___DATA"),
            ("..", "attachment"),
            (" . ", "attachment"),
            ("", "attachment"),
            (".bashrc", "bashrc"),
            ("-rf", "_rf"),
            (" --help.txt", "_-help.txt"),
            ("\u{2025}/x", "__x"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("con .txt", "_con .txt"),
            ("conin$", "_conin_"),
            ("lpt\u{b9}.log", "_lpt\u{b9}.log"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("a\r\n\0\u{1b}[31mb", "a[31mb"),
            ("x.exe .", "x.exe"),
            ("\u{ff0e}\u{ff0e}\u{ff0f}x", "___x"),
        ] {
            assert_eq!(safe(name), want, "{name:?}");
        }
        assert!(safe(&format!("{}.tar.gz", "é".repeat(500))).ends_with("é.gz"));
        assert_eq!(safe(&format!("{}.{}", "a".repeat(300), "b".repeat(300))), "a".repeat(200));
        assert_eq!(safe(&"a".repeat(1_000_000)).len(), limits::FILE_NAME_BYTES);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let numbered = |name: &str, number| SafeName::of(name).numbered(number).to_string();
        assert_eq!(numbered("photo.jpg", 2), "photo (2).jpg");
        assert_eq!(numbered("photo", u32::MAX), "photo (4294967295)");
        let long = numbered(&format!("{}.jpg", "é".repeat(500)), 10);
        assert!(long.len() <= limits::FILE_NAME_BYTES && long.ends_with("é (10).jpg"), "{long}");
    }

    proptest! {
        /// [B-5]
        #[test]
        fn t_032_no_name_escapes(name in "(\\PC|[-./\\\\:%~\u{202e}\u{2024}\u{ff0f}\u{0}-\u{1f}conul1 ]){0,300}", number: u32) {
            let made = SafeName::of(&name);
            for safe in [made.clone(), made.numbered(number)] {
                let text = safe.as_str();
                prop_assert!(!text.is_empty() && text.len() <= limits::FILE_NAME_BYTES);
                prop_assert!(!text.contains(['/', '\\', ':', '%', '*', '?', '"', '<', '>', '|']), "{:?}", text);
                prop_assert!(!text.chars().any(|c| c != ' ' && hides_or_reorders(c)), "{:?}", text);
                prop_assert!(!text.starts_with(['.', '-', ' ']) && !text.ends_with(['.', ' ']), "{:?}", text);
                prop_assert!(!is_reserved(text), "{:?}", text);
                prop_assert_eq!(&SafeName::of(text), &safe);
                prop_assert_eq!(std::path::Path::new(text).components().count(), 1);
            }
        }
    }
}
