//! Who may know whom: reads the sources and asks cargo for the trees, and fails on an arrow that points up.
//!
//! ```text
//!   in core:   server, client → machine → seal → wire → content → step → fault → store → net → id, clock → limits → time → canary
//!   crates:    node → codec → core        conformance, world → codec, core
//! ```
//!
//! A module may name those further right, and its own children. Two machines never name each other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

mod sources;

use std::path::Path;
use std::process::Command;

use sources::{Token, rust_files, tokens};

/// The modules of core, top first. Those of one row don't know each other.
const ROWS: [&[&str]; 13] = [
    &["server", "client"],
    &["machine"],
    &["seal"],
    &["wire"],
    &["content"],
    &["step"],
    &["fault"],
    &["store"],
    &["net"],
    &["id", "clock"],
    &["limits"],
    &["time"],
    &["canary"],
];

/// What belongs to the world: parts of std that core and codec never use.
const WORLD: [&str; 7] = ["env", "fs", "io", "net", "process", "thread", "time"];

/// What the tree of core must not hold.
const CORE_NEVER: [&str; 8] =
    ["tokio", "rusqlite", "rustls", "ring", "mail-parser", "serde_json", "getrandom", "postline-codec"];
/// What the tree of codec must not hold.
const CODEC_NEVER: [&str; 7] = ["tokio", "rusqlite", "rustls", "ring", "hickory-resolver", "lettre", "getrandom"];

#[test]
fn no_arrow_in_core_points_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&root) {
        let module = module_of(file.strip_prefix(&root).unwrap());
        wrong.extend(upward(&module, &std::fs::read_to_string(&file).unwrap()));
    }
    assert!(wrong.is_empty(), "arrows that point up:\n{}", wrong.join("\n"));
}

/// What a node does with an entry of a log names no verification, and one place signs: what is said once a batch. So no
/// message, however many there are, costs a node a signature to verify, and a batch costs it at most one to make. (A frame
/// of heads is the only one of these that has a signature at all; devices verify it.)
#[test]
fn a_node_verifies_no_signature_for_a_message_and_signs_once_a_batch() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let of_messages =
        ["talks.rs", "readers.rs", "logs.rs", "posts.rs", "heads.rs"].map(|name| root.join("server").join(name));
    let mut files = of_messages.to_vec();
    files.push(root.join("machine/log.rs"));
    files.extend(rust_files(&root.join("machine/log")).into_iter().filter(|file| !file.ends_with("tests.rs")));
    let mut signs = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let words: Vec<Token<'_>> = tokens(&text);
        let verifies = words.iter().any(|word| matches!(word, Token::Word(word) if word.contains("verif")));
        assert!(!verifies, "{} verifies", file.display());
        let is_sign = |pair: &&[Token<'_>]| matches!(pair, [Token::Mark('.'), Token::Word("sign")]);
        signs.extend(words.windows(2).filter(is_sign).map(|_| file.clone()));
    }
    assert_eq!(signs, [root.join("server/heads.rs")]);
}

#[test]
fn every_module_of_core_has_a_row() {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let mut modules = 0;
    for pair in tokens(&lib).windows(2) {
        if let [Token::Word("mod"), Token::Word(name)] = pair {
            assert!(row(name).is_some(), "module {name} has no row in ROWS");
            modules += 1;
        }
    }
    assert!(modules > 5, "lib.rs could not be read");
}

#[test]
fn core_and_codec_leave_the_world_alone() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    for source in [core.join("src"), core.join("../protocol-codec/src")] {
        for file in rust_files(&source) {
            let found = worldly(&std::fs::read_to_string(&file).unwrap());
            assert!(found.is_empty(), "{}: uses {}", file.display(), found.join(", "));
        }
    }
}

#[test]
fn crates_know_only_the_crates_below_them() {
    let own = |name: &str| -> Vec<String> {
        tree(name).into_iter().filter(|line| line.starts_with("postline-") && line != name).collect()
    };
    assert!(own("postline-core").is_empty());
    assert_eq!(own("postline-codec"), ["postline-core"]);
    assert_eq!(own("postline-node"), ["postline-codec", "postline-core"]);
    assert_eq!(own("postline-world"), ["postline-codec", "postline-core"]);
    assert_eq!(own("postline-conformance"), ["postline-codec", "postline-core"]);
}

#[test]
fn the_world_is_in_no_tree_of_core_or_codec() {
    for (name, never) in [("postline-core", &CORE_NEVER[..]), ("postline-codec", &CODEC_NEVER)] {
        let tree = tree(name);
        assert!(tree.len() > 10, "the tree of {name} could not be read");
        for dependency in never {
            assert!(!tree.iter().any(|line| line == dependency), "{name} depends on {dependency}");
        }
    }
}

#[test]
fn a_planted_upward_arrow_is_caught() {
    for (module, planted) in [
        ("time", "use crate::limits;"),
        ("id", "use crate::{time::Millis, store::Key};"),
        ("id", "fn f() -> crate::net::Denied {}"),
        ("wire::frame", "use crate::{fault, machine::link};"),
        ("wire::frame", "use super::super::server;"),
        ("content::mail", "pub use crate::wire as plain;"),
        ("machine::trust", "use crate::machine::link::Output;"),
        ("machine::trust", "use super::queue::Output;"),
        ("machine::trust", "mod tests { use super::super::link; }"),
        ("machine::trust", "use crate::{id, machine};"),
        ("machine::link::window", "use super::super::trust;"),
        ("server", "use crate::client;"),
        ("time", "/* why */ fn f<'a>(c: char) -> bool { c == '\"' } use crate::id;"),
    ] {
        assert_eq!(upward(module, planted).len(), 1, "{module}: {planted}");
    }
    for (module, fine) in [
        ("", "pub mod time; pub use crate::server::io;"),
        ("server", "use crate::machine::{link, trust}; use crate::time; mod io; use io::Input; use self::io::Output;"),
        ("server::route", "use super::io::Input;"),
        ("machine", "pub mod link; pub mod trust;"),
        ("machine::trust", "//! See [`crate::server`].\nuse crate::id; fn f() { g(\"crate::server\") }"),
        ("machine::trust", "mod tests { use super::*; use crate::fault::Code; }"),
        (
            "machine::link::window",
            "use super::Input; use crate::machine::link::Output; use crate::limits::WINDOW_ITEMS;",
        ),
    ] {
        assert_eq!(upward(module, fine), Vec::<String>::new(), "{module}: {fine}");
    }
}

#[test]
fn a_planted_use_of_the_world_is_caught() {
    assert_eq!(worldly("use std::{fmt, fs}; // std::net"), ["std::fs"]);
    assert_eq!(worldly("async fn f() { std::thread::sleep(d) }"), ["async", "std::thread"]);
    assert!(worldly("use core::net::IpAddr; use core::time::Duration; let s = \"async\";").is_empty());
}

/// The arrows of `text`, a file of `module`, that point up or sideways.
fn upward(module: &str, text: &str) -> Vec<String> {
    let own = module.split("::").next().unwrap_or_default();
    let tokens = tokens(text);
    let allowed = |path: &String| {
        let mut parts = path.split("::");
        let top = parts.next().unwrap_or_default();
        if top != own {
            // The crate's root joins all; a name that is no module is an item of the root.
            return own.is_empty() || row(top).is_none() || row(own) < row(top);
        }
        own != "machine" || module == own || parts.next() == module.split("::").nth(1)
    };
    paths(module, &tokens).into_iter().filter(|path| !allowed(path)).map(|path| format!("{module} → {path}")).collect()
}

/// What `text` uses of the world.
fn worldly(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token, tokens.get(at + 1)) {
            (Token::Word(word @ ("async" | "await")), _) => found.push((*word).to_owned()),
            (Token::Word("std"), Some(Token::Path)) => {
                let (paths, _) = expand("", &tokens, at + 2);
                let tops = paths.iter().filter_map(|path| path.split("::").next());
                found.extend(tops.filter(|top| WORLD.contains(top)).map(|top| format!("std::{top}")));
            }
            _ => {}
        }
    }
    found
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// `wire/frame.rs` → `wire::frame`; `lib.rs` → nothing.
fn module_of(file: &Path) -> String {
    let parts: Vec<_> = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts == ["lib"] { String::new() } else { parts.join("::") }
}

/// Every path that goes through the crate's root or a parent, as seen from the root.
fn paths(module: &str, tokens: &[Token<'_>]) -> Vec<String> {
    let mut here: Vec<&str> = module.split("::").collect();
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at..] {
            [Token::Word("mod"), Token::Word(name), Token::Mark('{'), ..] => {
                here.push(name);
                depth += 1;
                inline.push(depth);
                at += 2;
            }
            [Token::Mark('{'), ..] => depth += 1,
            [Token::Mark('}'), ..] => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                    here.pop();
                }
                depth -= 1;
            }
            [Token::Word("crate"), Token::Path, ..] => found.extend(expand("", tokens, at + 2).0),
            [Token::Word("super"), Token::Path, ..] => {
                let mut base = here.len();
                while let [Token::Word("super"), Token::Path, ..] = &tokens[at..] {
                    base -= 1;
                    at += 2;
                }
                found.extend(expand(&here[..base].join("::"), tokens, at).0);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Follows a path from token `at`, through groups in braces; gives the paths and where they end.
fn expand(base: &str, tokens: &[Token<'_>], mut at: usize) -> (Vec<String>, usize) {
    let join = |word: &str| if base.is_empty() { word.to_owned() } else { format!("{base}::{word}") };
    match tokens.get(at) {
        Some(Token::Word("self")) => (vec![base.to_owned()], at + 1),
        Some(Token::Word(word)) if tokens.get(at + 1) == Some(&Token::Path) => expand(&join(word), tokens, at + 2),
        Some(Token::Word(word)) => (vec![join(word)], at + 1),
        Some(Token::Mark('{')) => {
            let mut found = Vec::new();
            at += 1;
            while at < tokens.len() && tokens[at] != Token::Mark('}') {
                match tokens[at] {
                    Token::Word("as") => at += 2,
                    Token::Word(_) | Token::Mark('{' | '*') => {
                        let (more, end) = expand(base, tokens, at);
                        found.extend(more);
                        at = end;
                    }
                    Token::Path | Token::Mark(_) => at += 1,
                }
            }
            (found, at + 1)
        }
        _ => (vec![join("*")], at + 1),
    }
}

/// The names of the crates that `name` is made of, itself among them, sorted; tests and build tools aside.
fn tree(name: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", name, "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}
