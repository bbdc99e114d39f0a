//! The runner and a shim: answers over pipes, deadlines, nonsense, skips, exit statuses.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const RUNNER: &str = env!("CARGO_BIN_EXE_postline-conformance");

/// Runs the runner: exit status and standard output.
fn runner(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(RUNNER).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// A shim that is a shell script, so that it can err in every way.
fn script(dir: &Path, body: &str) -> PathBuf {
    let path = dir.join("shim.sh");
    std::fs::write(&path, body).unwrap();
    path
}

/// Runs one family against a script.
fn against(body: &str, more: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = script(dir.path(), body);
    let path = path.to_str().unwrap();
    runner(&[&["vectors", "--family", "codes", "--deadline-ms", "300"], more, &["--shim", "sh", path]].concat())
}

#[test]
fn our_own_shim_passes_over_pipes() {
    let (status, text) = runner(&["vectors", "--shim", RUNNER, "shim"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(" 0 failed, 0 skipped"), "{text}");
    let (status, text) = runner(&["vectors", "--family", "addresses", "--json", "--shim", RUNNER, "shim"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, report["good"].as_bool(), report["families"].as_array().unwrap().len()), (0, Some(true), 1));
}

/// How many vectors the family of codes has.
fn codes() -> usize {
    let family = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/codes.json");
    let family: Value = serde_json::from_str(&std::fs::read_to_string(family).unwrap()).unwrap();
    family.get("vectors").and_then(Value::as_array).unwrap().len()
}

#[test]
fn a_shim_that_takes_everything_fails() {
    let echo = r#"while read -r line; do id=${line#*\"id\":\"}; echo "{\"id\":\"${id%%\"*}\",\"ok\":{}}"; done"#;
    let (status, text) = against(echo, &[]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("FAILED codes-001") && text.contains(&format!("{} failed", codes())), "{text}");
}

#[test]
fn a_shim_that_is_late_or_talks_nonsense_is_started_again_a_few_times() {
    for (body, what) in [
        ("exec sleep 60", "no answer within 300 ms"),
        ("while read -r line; do echo nonsense; done", "no JSON"),
        ("while read -r line; do echo '{\"id\":\"other\",\"ok\":{}}'; done", "an answer to"),
        ("while read -r line; do echo '{\"id\":\"codes-001\",\"ok\":{},\"error\":\"name\"}'; done", "one of ok, error"),
        ("while read -r line; do echo '{\"id\":\"codes-001\",\"error\":\"odd\"}'; done", "no error class"),
        ("read -r line; printf half", "without a line end"),
        ("read -r line; head -c 2000000 /dev/zero | tr '\\0' a", "more than 1048576 bytes"),
        ("exit 0", "the shim ended"),
    ] {
        let (status, text) = against(body, &[]);
        assert_eq!(status, 1, "{body}: {text}");
        assert!(text.contains(what), "{body}: {text}");
        assert!(text.contains("started 8 times"), "{body}: {text}");
    }
}

#[test]
fn a_shim_that_implements_nothing_says_so() {
    assert_eq!(against("exit 89", &[]).0, 89);
    assert_eq!(against("read -r line; exit 89", &[]).0, 89);
    let (status, _) = runner(&["vectors", "--shim", "/no/such/program"]);
    assert_eq!(status, 1);
}

#[test]
fn a_skip_has_a_reason_and_must_stay_true() {
    let dir = tempfile::tempdir().unwrap();
    let skips = |text: &str| {
        let path = dir.path().join("skips.txt");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let none = r#"while read -r line; do id=${line#*\"id\":\"}; echo "{\"id\":\"${id%%\"*}\",\"unimplemented\":\"all\"}"; done"#;
    let all = skips("# why\ncode.read   nothing yet\nlabel.read nothing yet\n\nlimit.read nothing yet\n");
    let (status, text) = against(none, &["--skips", &all]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(&format!("0 passed, 0 failed, {} skipped", codes())), "{text}");
    assert_eq!(against(none, &[]).0, 1, "what is not implemented fails where nobody says why");

    let one = skips("codes-001 because\n");
    let (status, text) = runner(&["vectors", "--family", "codes", "--skips", &one]);
    assert_eq!(status, 1);
    assert!(text.contains("FAILED codes-001") && text.contains("passes, and is skipped: because"), "{text}");

    for bad in ["codes-001\n", "codes-999 because\n"] {
        assert_eq!(runner(&["vectors", "--skips", &skips(bad)]).0, 2, "{bad}");
    }
}

#[test]
fn bad_usage_has_status_2() {
    for bad in
        [&[][..], &["vector"], &["vectors", "--families"], &["vectors", "--family", "none"], &["vectors", "--skips"]]
    {
        assert_eq!(runner(bad).0, 2, "{bad:?}");
    }
}
