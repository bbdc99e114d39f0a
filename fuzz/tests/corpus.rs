//! Every file of the corpus, many changes of each, and many random bytes, against their targets.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

mod changes;

use changes::{change, files, words};
use postline_fuzz::TARGETS;
use postline_world::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Changed inputs that each target of words survives in a check.
const CHANGED: usize = 2_000;
/// The same of scripts: each drives one or more machines through its steps, so these take nearly all of the time.
const CHANGED_SCRIPTS: usize = 1_000;
/// Longest changed script, in bytes: a step takes eight.
const SCRIPT: usize = 8 * 8;
/// The targets that take words, and so have a dictionary.
const TEXTS: [&str; 13] = [
    "address", "admin", "auth", "config", "dial", "dict", "fields", "lmtp", "milter", "scanner", "smtp", "txt", "word",
];
/// The least files that a target begins from.
const FILES: usize = 20;

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
    for target in TEXTS {
        assert!(words(target).len() >= 10, "{target}");
    }
}

fn survives_changes(targets: &[&str], changed: usize, most: usize) {
    for name in targets {
        let (target, body) = TARGETS.iter().find(|(target, _)| target == name).unwrap();
        let inputs: Vec<Vec<u8>> = files(target).iter().map(|file| std::fs::read(file).unwrap()).collect();
        let words = words(target);
        for seed in 0..changed {
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
    survives_changes(&TEXTS, CHANGED, 4_096);
    survives_changes(&["content", "frames", "statements"], CHANGED, 4_096);
}

#[test]
fn changed_seals_are_survived() {
    survives_changes(&["attachment", "sealed", "vault"], CHANGED_SCRIPTS, 4_096);
}

#[test]
fn changed_scripts_are_survived() {
    survives_changes(&["greeting", "trust", "queue", "records", "lists", "talks"], CHANGED_SCRIPTS, SCRIPT);
}

#[test]
fn changed_streams_and_doors_are_survived() {
    survives_changes(&["link", "log", "session", "stream", "server"], CHANGED_SCRIPTS, SCRIPT);
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
