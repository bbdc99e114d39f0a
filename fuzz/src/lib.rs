//! Fuzz targets by name: any bytes at all against one part. A fuzzer, a property test and the replay of `corpus/` call
//! them alike.
//!
//! ```text
//!   targets/*.rs (libFuzzer) ─┐
//!   tests/corpus.rs ──────────┼──▶ body(bytes): survives, and keeps its promises, or panics
//!   proptest ─────────────────┘
//! ```

use std::path::Path;

use postline_node::config::Config;

/// A body that takes any bytes.
pub type Body = fn(&[u8]);

/// Every target, and the part that it tries.
pub const TARGETS: [(&str, Body); 14] = [
    ("address", postline_world::bodies::address_survives),
    ("config", config_survives),
    ("dial", postline_world::bodies::dial_survives),
    ("fields", postline_world::bodies::fields_survive),
    ("frames", postline_world::bodies::frames_survive),
    ("greeting", postline_world::bodies::greeting_survives),
    ("link", postline_world::bodies::link_survives),
    ("queue", postline_world::bodies::queue_survives),
    ("records", postline_world::bodies::records_survive),
    ("scanner", postline_world::bodies::scanner_survives),
    ("server", postline_world::bodies::server_survives),
    ("smtp", postline_node::smtp::session_survives),
    ("stream", postline_world::bodies::stream_survives),
    ("trust", postline_world::bodies::trust_survives),
];

/// The body of a target.
///
/// # Panics
/// For a name that no target has.
#[must_use]
pub fn body(name: &str) -> Body {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    #[expect(clippy::expect_used, reason = "the names are written in this crate")]
    found.expect("a target").1
}

/// A configuration is taken, or refused in words that fit in a terminal.
///
/// # Panics
/// Where a promise is broken.
pub fn config_survives(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("node.toml");
    let (once, again) = (Config::parse(file, text), Config::parse(file, text));
    assert_eq!(format!("{once:?}"), format!("{again:?}"), "the same text, read in two ways");
    if let Err(fault) = once {
        let said = fault.to_string();
        assert!(
            !said.is_empty() && said.len() < 4_096 + bytes.len(),
            "{} bytes are said of {}",
            said.len(),
            bytes.len()
        );
    }
}
