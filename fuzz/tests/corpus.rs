//! Every file of the corpus, many changes of each, and many random bytes, against their targets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers may fail loudly")]

use std::path::{Path, PathBuf};

use postline_fuzz::TARGETS;
use postline_world::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Changed inputs that each target survives in a check.
const CHANGED: usize = 2_000;
/// Longest changed script, in bytes: a step takes eight.
const SCRIPT: usize = 8 * 8;
/// The least files that a target begins from.
const FILES: usize = 20;

fn files(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The words that the target's dictionary knows.
fn words(target: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionaries").join(format!("{target}.dict"));
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let quoted = text.lines().filter(|line| line.starts_with('"'));
    quoted.map(|line| unquoted(line.strip_prefix('"').unwrap().strip_suffix('"').unwrap())).collect()
}

/// A word as libFuzzer writes it: `\xAB`, `\\` and `\"` are one byte each.
fn unquoted(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (_, true) => match rest.next().unwrap() {
                b'x' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                other => other,
            },
            (plain, false) => plain,
        });
    }
    bytes
}

#[test]
fn every_file_of_the_corpus_is_survived() {
    for (target, body) in TARGETS {
        let files = files(target);
        assert!(files.len() >= FILES, "{target} has {} files", files.len());
        for file in files {
            println!("{}", file.display());
            body(&std::fs::read(file).unwrap());
        }
    }
}

#[test]
fn every_text_target_has_a_dictionary() {
    for target in ["address", "config", "dial", "fields", "scanner", "smtp"] {
        assert!(words(target).len() >= 10, "{target}");
    }
}

/// Changes a few bytes, as a fuzzer would: flips, cuts, copies, words of the dictionary, the end of another file.
fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>], rng: &mut Rng) {
    for _ in 0..1 + rng.index(4) {
        let at = rng.index(bytes.len() + 1);
        match rng.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.bytes::<1>()[0]),
            2 => {
                let end = bytes.len().min(at + 1 + rng.index(8));
                bytes.drain(at..end);
            }
            3 => {
                let end = bytes.len().min(at + 1 + rng.index(32));
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => {
                let word = rng.pick(words).cloned().unwrap_or_default();
                bytes.splice(at..at, word);
            }
            5 => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.index(other.len() + 1)..]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.index(8),
            _ => {}
        }
    }
}

fn survives_changes(targets: &[&str], most: usize) {
    for name in targets {
        let (target, body) = TARGETS.iter().find(|(target, _)| target == name).unwrap();
        let inputs: Vec<Vec<u8>> = files(target).iter().map(|file| std::fs::read(file).unwrap()).collect();
        let words = words(target);
        for seed in 0..CHANGED {
            let mut rng = Rng::new(seed as u64);
            let mut bytes = rng.pick(&inputs).unwrap().clone();
            let other = rng.pick(&inputs).unwrap();
            change(&mut bytes, other, &words, &mut rng);
            bytes.truncate(most);
            let survived = std::panic::catch_unwind(|| body(&bytes));
            assert!(survived.is_ok(), "{target}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn changed_texts_are_survived() {
    survives_changes(&["address", "config", "dial", "fields", "scanner", "smtp", "frames"], 4_096);
}

#[test]
fn changed_scripts_are_survived() {
    survives_changes(&["greeting", "trust", "queue", "records"], SCRIPT);
}

#[test]
fn changed_streams_and_doors_are_survived() {
    survives_changes(&["link", "stream", "server"], SCRIPT);
}

/// [O-2]
#[test]
fn any_bytes_are_survived() {
    for (target, body) in TARGETS {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) };
        let result = TestRunner::new(config).run(&proptest::collection::vec(any::<u8>(), 0..600), |bytes| {
            body(&bytes);
            Ok(())
        });
        assert!(result.is_ok(), "{target}: {result:?}");
    }
}
