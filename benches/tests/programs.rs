//! The programs that measure are there, and measure what they say.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::Command;

#[test]
fn every_work_can_be_done_once_and_no_other() {
    let once = |work: &str| {
        let mut parse = Command::new(env!("CARGO_BIN_EXE_parse"));
        parse.args(["once", work, "3", "1"]).output().unwrap().status.success()
    };
    for work in ["body", "fields", "field", "parts", "frames", "tags", "steps"] {
        assert!(once(work), "{work}");
    }
    assert!(!once("nothing"));
}
