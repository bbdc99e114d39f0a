//! Every file of the corpus, and many random bytes, against their targets.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail loudly")]

use std::path::{Path, PathBuf};

use postline_fuzz::TARGETS;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn files(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpus_is_survived() {
    for (target, body) in TARGETS {
        let files = files(target);
        assert!(files.len() >= 2, "{target} has no corpus");
        for file in files {
            println!("{}", file.display());
            body(&std::fs::read(file).unwrap());
        }
    }
}

#[test]
fn a_file_with_a_byte_changed_is_survived_too() {
    for (target, body) in TARGETS {
        for file in files(target) {
            let bytes = std::fs::read(file).unwrap();
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 24) {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                body(&changed);
                body(&changed[..at]);
            }
        }
    }
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
