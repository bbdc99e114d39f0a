//! Spec and code say the same: the same requirement ids, the same limits, the same codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use postline_core::fault::Code;
use sources::{Token, rust_files, tokens};

/// What the spec says behind a requirement that no test can name, and then why.
const NOT_TESTED: &str = "*Not tested:* ";

#[test]
fn every_requirement_named_in_code_stands_in_the_spec() {
    let spec = defined();
    let mut unknown = BTreeMap::new();
    for file in code() {
        for id in ids(&std::fs::read_to_string(&file).unwrap()) {
            if !spec.contains_key(&id) {
                unknown.entry(id).or_insert(file.clone());
            }
        }
    }
    assert!(unknown.is_empty(), "named in code, not in spec/: {unknown:#?}");
}

#[test]
fn a_requirement_is_defined_once_and_named_only_where_it_exists() {
    let spec = defined();
    for (id, chapters) in &spec {
        assert_eq!(chapters.len(), 1, "[{id}] is defined in {chapters:?}");
    }
    for chapter in chapters() {
        for id in ids(&std::fs::read_to_string(&chapter).unwrap()) {
            assert!(spec.contains_key(&id), "{}: [{id}] is defined nowhere", chapter.display());
        }
    }
}

#[test]
fn every_requirement_is_named_by_a_test_or_says_why_not() {
    let spec = defined();
    let mut named = BTreeSet::new();
    for file in code() {
        let text = std::fs::read_to_string(&file).unwrap();
        let in_tests = file.with_extension("").iter().any(|part| part == "tests");
        let tests =
            if in_tests { text.as_str() } else { text.split_once("#[cfg(test)]").map_or("", |(_, after)| after) };
        named.extend(ids(tests).into_iter().filter(|id| spec.contains_key(id)));
    }
    let excused = excused();
    println!("figure requirements {} in the spec, {} named by tests", spec.len(), named.len());
    let unnamed: Vec<_> = spec.keys().filter(|id| !named.contains(*id) && !excused.contains_key(*id)).collect();
    assert!(unnamed.is_empty(), "named by no test, and the spec doesn't say why: {unnamed:?}");
    let both: Vec<_> = excused.keys().filter(|id| named.contains(*id)).collect();
    assert!(both.is_empty(), "named by a test, and the spec says why not: {both:?}");
    assert!(excused.values().all(|why| why.len() > 20), "a reason is wanted: {excused:?}");
}

/// [P-6]: every bound stands in the spec, with the code's number.
#[test]
fn the_limits_of_the_spec_are_those_of_the_code() {
    let code = limits();
    let spec: BTreeMap<String, u64> = table("05-limits.md")
        .into_iter()
        .filter_map(|row| Some((row.first()?.trim_matches('`').to_owned(), row.get(1)?.replace('_', "").parse().ok()?)))
        .collect();
    let missing: Vec<_> = code.iter().filter(|(name, _)| !spec.contains_key(*name)).collect();
    let stale: Vec<_> = spec.keys().filter(|name| !code.contains_key(*name)).collect();
    let wrong: Vec<_> = code.iter().filter(|(name, value)| spec.get(*name).is_some_and(|s| s != *value)).collect();
    assert!(
        missing.is_empty() && stale.is_empty() && wrong.is_empty(),
        "05-limits.md and limits.rs disagree; `python3 .ci/limits.py` writes it anew\nnot in the spec: {missing:?}\nnot in the code: {stale:?}\nin the code: {wrong:?}"
    );
}

#[test]
fn a_bound_named_in_the_spec_exists() {
    let code = limits();
    for chapter in chapters() {
        let text = std::fs::read_to_string(&chapter).unwrap();
        for name in text.split('`').skip(1).step_by(2).filter(|name| is_bound(name)) {
            assert!(code.contains_key(name), "{}: {name} is no bound of limits.rs", chapter.display());
        }
    }
    assert!(is_bound("FIELD_BYTES") && !is_bound("postline/1") && !is_bound("THE FORM") && !is_bound("HOPS"));
}

/// [C-1]: the numbers of the wire.
#[test]
fn the_codes_of_the_spec_are_those_of_the_code() {
    let spec: BTreeMap<u16, String> = table("06-codes.md")
        .into_iter()
        .filter_map(|row| Some((row.first()?.parse().ok()?, row.get(1)?.trim_matches('`').to_owned())))
        .collect();
    let mut code = BTreeMap::new();
    for number in 0..=u16::MAX {
        let known = Code::from_wire(number);
        if known as u16 == number {
            code.insert(number, format!("{known:?}"));
        } else {
            assert_eq!(known, Code::Protocol, "{number} is no code, yet is read as one");
        }
    }
    assert_eq!(spec, code);
}

#[test]
fn the_reader_of_limits_reads() {
    let text = "/// A doc line; with 1 = 2.\npub const A: u64 = 25 * 1024 * 1024;\npub const B_MS: u64 = 2 * HOUR; // why\n\
                const HIDDEN: u8 = 3;\npub const C: usize = OTHER;\npub const D: usize = 2_400 / 2;";
    let units = BTreeMap::from([("HOUR".to_owned(), 3_600_000)]);
    let want = [("A".to_owned(), 26_214_400), ("B_MS".to_owned(), 7_200_000), ("D".to_owned(), 1_200)];
    assert_eq!(constants(text, &units), BTreeMap::from(want));
    assert_eq!(ids("\x5bT-6], \x5bF-4.1], `[n]`, [T-x], [TT-1], \x5bT-6"), ["T-6".to_owned(), "F-4.1".to_owned()]);
}

/// Whether a word in backquotes is the name of a bound: capitals, and an underscore that tells it from an abbreviation.
fn is_bound(word: &str) -> bool {
    word.contains('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Where the workspace is.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the workspace.
fn code() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in ["protocol-core", "protocol-codec", "reference-node", "spec", "fuzz", "benches"] {
        found.extend(rust_files(&root().join(part)));
    }
    assert!(found.len() > 20, "the sources could not be read");
    found
}

/// The chapters of the spec.
fn chapters() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root().join("spec"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    found.sort();
    found
}

/// Requirement → the chapters that define it: a line that begins with `**[X-n]**`.
fn defined() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for chapter in chapters() {
        let name = chapter.file_name().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&chapter).unwrap().lines() {
            if let Some((id, _)) = line.strip_prefix("**[").and_then(|rest| rest.split_once("]**")) {
                found.entry(id.to_owned()).or_default().push(name.clone());
            }
        }
    }
    assert!(found.len() > 50, "the spec could not be read");
    found
}

/// Requirement → why no test names it, of those that say so.
fn excused() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for chapter in chapters() {
        let text = std::fs::read_to_string(&chapter).unwrap();
        for paragraph in text.split("\n\n") {
            let id = paragraph.strip_prefix("**[").and_then(|rest| rest.split_once("]**")).map(|(id, _)| id.to_owned());
            let why = paragraph.split_once(&format!("\n{NOT_TESTED}")).map(|(_, why)| why.to_owned());
            assert!(id.is_some() || why.is_none(), "{}: no requirement in {paragraph}", chapter.display());
            found.extend(id.zip(why));
        }
    }
    found
}

/// The requirement ids in a text: `[X-n]` or `[X-n.m]`.
fn ids(text: &str) -> Vec<String> {
    text.split('[')
        .skip(1)
        .filter_map(|after| after.split_once(']'))
        .map(|(id, _)| id)
        .filter(|id| {
            let mut parts = id.splitn(2, '-');
            let letter = parts.next().unwrap_or_default();
            let number = parts.next().unwrap_or_default();
            letter.len() == 1
                && letter.bytes().all(|b| b.is_ascii_uppercase())
                && number.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(str::to_owned)
        .collect()
}

/// The cells of every table row of a chapter.
fn table(chapter: &str) -> Vec<Vec<String>> {
    std::fs::read_to_string(root().join("spec").join(chapter))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The bounds of `limits.rs`, by name.
fn limits() -> BTreeMap<String, u64> {
    let source = |name| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap();
    let (units, bounds) = (source("time.rs"), source("limits.rs"));
    let (mut known, mut found) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..8 {
        // Each round reads what is written in the names of the round before: a day in hours, an hour in minutes.
        known.extend(constants(&units, &known));
        found = constants(&bounds, &known);
        known.extend(found.clone());
    }
    assert_eq!(found.len(), bounds.matches("pub const ").count(), "limits.rs has a bound that this test can't read");
    found
}

/// `pub const NAME: type = product;` of numbers and known names, multiplied and divided; others are left out.
fn constants(text: &str, known: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let tokens = tokens(text);
    let mut found = BTreeMap::new();
    for at in 0..tokens.len() {
        let [
            Token::Word("pub"),
            Token::Word("const"),
            Token::Word(name),
            Token::Mark(':'),
            Token::Word(_),
            Token::Mark('='),
            ..,
        ] = &tokens[at..]
        else {
            continue;
        };
        let expression = &tokens[at + 6..];
        let end = expression.iter().position(|token| *token == Token::Mark(';')).unwrap_or(expression.len());
        let mut value = Some(1_u64);
        for (at, token) in expression[..end].iter().enumerate() {
            let divide = at > 0 && expression[at - 1] == Token::Mark('/');
            value = match token {
                Token::Mark('*' | '/') => continue,
                Token::Word(word) => word.replace('_', "").parse().ok().or_else(|| known.get(*word).copied()),
                Token::Path | Token::Mark(_) => None,
            }
            .and_then(|factor| if divide { value?.checked_div(factor) } else { value?.checked_mul(factor) });
        }
        if let Some(value) = value {
            found.insert((*name).to_owned(), value);
        }
    }
    found
}
