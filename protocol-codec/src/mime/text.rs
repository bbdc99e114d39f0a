//! Text that can stand in a header: what makes a second field of one can't be in it (attack 22).

use super::header::is_unclean;

/// How wide a line of a header of ours is, in columns (RFC 5322 §2.1.1).
const COLUMNS: usize = 78;

/// A text without CR, LF, NUL, any other control, or U+2028/U+2029, and without white space around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderText(String);

/// A text that can't stand in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("U+{:04X} can't stand in a header", u32::from(*.0))]
pub struct Unclean(pub char);

impl HeaderText {
    /// Takes a text as it is, less the spaces around it.
    ///
    /// # Errors
    /// [`Unclean`] names the first character that can't stand in a header.
    pub fn parse(text: &str) -> Result<Self, Unclean> {
        match text.chars().find(|c| is_unclean(*c)) {
            Some(c) => Err(Unclean(c)),
            None => Ok(Self(text.trim_matches(' ').to_owned())),
        }
    }

    /// Takes a text of unknown origin, a space in place of each character that can't stand in a header.
    #[must_use]
    pub fn cleaned(text: &str) -> Self {
        let clean: String = text.chars().map(|c| if is_unclean(c) { ' ' } else { c }).collect();
        Self(clean.trim_matches(' ').to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A whole field, `Name: value`, folded at its white space, CRLF included. Unfolding gives it back.
    #[must_use]
    pub fn folded(&self) -> String {
        self.fold(|word, _| vec![word.to_owned()])
    }

    /// The same for a field in whose value white space means nothing: long words are cut, too, so that every line of
    /// an ASCII field is at most 78 columns wide.
    #[must_use]
    pub fn folded_within_words(&self) -> String {
        self.fold(|word, columns| {
            let chars: Vec<char> = word.chars().collect();
            chars.chunks(columns).map(|piece| piece.iter().collect()).collect()
        })
    }

    fn fold(&self, cut: impl Fn(&str, usize) -> Vec<String>) -> String {
        let mut folded = String::with_capacity(self.0.len() + self.0.len() / 32 + 2);
        let mut column = 0;
        for word in self.0.split(' ') {
            let is_first = folded.is_empty();
            if !is_first && !word.is_empty() && column > 1 && column + 1 + word.chars().count() > COLUMNS {
                folded.push_str("\r\n");
                column = 0;
            }
            if !is_first {
                folded.push(' ');
                column += 1;
            }
            for (index, piece) in cut(word, COLUMNS - 1).iter().enumerate() {
                if index > 0 {
                    folded.push_str("\r\n ");
                    column = 1;
                }
                folded.push_str(piece);
                column += piece.chars().count();
            }
        }
        folded.push_str("\r\n");
        folded
    }
}

impl core::fmt::Display for HeaderText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_022_a_header_text_holds_no_line_end() {
        for c in ['\r', '\n', '\0', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}', '\u{7f}', '\t'] {
            let text = format!("X: a{c}Bcc: eve@c.example");
            assert_eq!(HeaderText::parse(&text), Err(Unclean(c)));
            assert_eq!(HeaderText::cleaned(&text).as_str(), "X: a Bcc: eve@c.example");
        }
        assert_eq!(Unclean('\n').to_string(), "U+000A can't stand in a header");
    }

    #[test]
    fn folding_keeps_the_text_and_the_width() {
        let text = HeaderText::parse(&format!("Received: {}", "from there by here ".repeat(12))).unwrap();
        let folded = text.folded();
        assert!(folded.lines().all(|line| line.len() <= 78 && !line.trim().is_empty()), "{folded}");
        assert!(folded.lines().count() > 3);
        assert_eq!(folded.replace("\r\n", ""), text.as_str());
        let long = HeaderText::parse(&format!("X: {}", "a".repeat(500))).unwrap();
        assert_eq!(long.folded().lines().count(), 2, "a word is not cut where that would change it");
        assert!(long.folded_within_words().lines().all(|line| line.len() <= 78));
    }
}
