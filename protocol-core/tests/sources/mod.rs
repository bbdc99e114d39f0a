//! Reading Rust sources as far as the tests about them need it.

use std::path::{Path, PathBuf};

/// A piece of source text that is neither comment nor literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    /// An identifier or keyword.
    Word(&'t str),
    /// `::`.
    Path,
    /// Any other character but white space.
    Mark(char),
}

/// Every `.rs` file under `root`, in order.
pub(crate) fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Splits source text, leaving out comments, strings and characters.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, after)| after);
        } else if let Some(raw) = raw_string(rest) {
            rest = raw;
        } else if first == '"' {
            rest = after_string(&rest[1..], '"');
        } else if first == '\'' && is_character(rest) {
            rest = after_string(&rest[1..], '\'');
        } else if rest.starts_with("::") {
            found.push(Token::Path);
            rest = &rest[2..];
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            found.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                found.push(Token::Mark(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// What follows a raw string that `rest` begins with.
fn raw_string(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let body = inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.split_once(&end).map_or("", |(_, after)| after))
}

/// What follows the quote that ends a literal, escapes passed over.
fn after_string(body: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return &body[at + c.len_utf8()..],
            _ => {}
        }
    }
    ""
}

/// Whether a quote begins a character, not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}
