//! The little that we do to markdown: no HTML goes out, and mentions are found.
//!
//! ```text
//!   <b>bold</b>          ──▶  &lt;b>bold&lt;/b>         whatever could begin a tag
//!   <https://a.example>  ──▶  as it is                 an autolink is none
//!   [@Ann](postline:u/…) ──▶  Ann is mentioned         <postline:u/…> too
//! ```
//!
//! It is never laid out here. What comes is text, and stays text ([M-7]).

use crate::content::uri::Uri;
use crate::id::Identity;
use crate::limits;

/// The text with everything escaped that a reader of HTML could take for a tag, a comment or an instruction.
#[must_use]
pub fn without_tags(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        result.push_str(before);
        let tag = after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        result.push_str(if tag && !is_autolink(after) { "&lt;" } else { "<" });
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Whether what stands behind a `<` is a link in angle brackets (CommonMark 0.30 §6.5).
fn is_autolink(after: &str) -> bool {
    let Some((within, _)) = after.split_once(['>', '<', ' ', '\t', '\r', '\n']) else { return false };
    if !after.get(within.len()..).is_some_and(|end| end.starts_with('>')) || within.chars().any(char::is_control) {
        return false;
    }
    within.split_once(':').is_some_and(|(scheme, _)| {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
        (2..=32).contains(&scheme.len())
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(usual)
    })
}

/// What mentions a person in markdown, shown as this name where the reader knows no better.
#[must_use]
pub fn mention(name: &str, who: Identity) -> String {
    let mut link = String::from("[@");
    for c in name.chars() {
        match c {
            // As it goes out in any markdown.
            '<' => link.push_str("&lt;"),
            c if c.is_control() => link.push(' '),
            c if c.is_ascii_punctuation() => link.extend(['\\', c]),
            c => link.push(c),
        }
    }
    link.push_str("](");
    link.push_str(Uri::person(who).as_str());
    link.push(')');
    link
}

/// The text with each mention as its name, for who shows it as it is.
#[must_use]
pub fn named(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let link = after.split_once(')').filter(|(uri, _)| Uri::parse(uri).is_ok_and(|uri| uri.as_person().is_some()));
        let (Some((_, behind)), Some((text, name))) = (link, before.rsplit_once("[@")) else {
            result.push_str(before);
            result.push_str("](");
            rest = after;
            continue;
        };
        result.push_str(text);
        result.push('@');
        let mut escaped = false;
        for c in name.replace("&lt;", "<").chars() {
            // Behind one backslash anything stands for itself.
            escaped = c == '\\' && !escaped;
            if !escaped {
                result.push(c);
            }
        }
        rest = behind;
    }
    result.push_str(rest);
    result
}

/// Whom a text mentions: each once, in their order, at most [`MENTIONS`](limits::MENTIONS). Whether they are members, the
/// reader looks.
#[must_use]
pub fn mentions(text: &str) -> Vec<Identity> {
    let mut found = Vec::new();
    for (opening, closing) in [("](", ')'), ("<", '>')] {
        for after in text.split(opening).skip(1) {
            let who = after.split_once(closing).and_then(|(uri, _)| Uri::parse(uri).ok()?.as_person());
            if let Some(who) = who.filter(|who| !found.contains(who))
                && found.len() < limits::MENTIONS
            {
                found.push(who);
            }
        }
    }
    found
}
