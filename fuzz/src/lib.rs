//! Fuzz targets by name: any bytes at all against one part. A fuzzer, a property test and the replay of `corpus/` call
//! them alike.
//!
//! ```text
//!   a fuzzer ─────────────────┐
//!   tests/corpus.rs ──────────┼──▶ body(bytes): survives, and keeps its promises, or panics
//!   proptest ─────────────────┘
//! ```

use std::path::Path;

use postline_codec::word::WellKnown;
use postline_node::config::Config;

/// A body that takes any bytes.
pub type Body = fn(&[u8]);

/// Every target, and the part that it tries.
pub const TARGETS: [(&str, Body); 16] = [
    ("address", postline_world::bodies::address_survives),
    ("config", config_survives),
    ("dial", postline_world::bodies::dial_survives),
    ("fields", postline_world::bodies::fields_survive),
    ("frames", postline_world::bodies::frames_survive),
    ("greeting", postline_world::bodies::greeting_survives),
    ("link", postline_world::bodies::link_survives),
    ("lmtp", lmtp_survives),
    ("queue", postline_world::bodies::queue_survives),
    ("records", postline_world::bodies::records_survive),
    ("scanner", postline_world::bodies::scanner_survives),
    ("server", postline_world::bodies::server_survives),
    ("smtp", postline_node::smtp::session_survives),
    ("stream", postline_world::bodies::stream_survives),
    ("trust", postline_world::bodies::trust_survives),
    ("word", word_survives),
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

/// An LMTP session keeps the promises of every session.
pub fn lmtp_survives(bytes: &[u8]) {
    const LMTP: u8 = 8;
    let mut script = bytes.to_vec();
    if let Some(kind) = script.first_mut() {
        *kind |= LMTP;
    }
    postline_node::smtp::session_survives(&script);
}

/// What a domain says of its own node has one reading, and is written as it is read.
///
/// # Panics
/// Where a promise is broken.
pub fn word_survives(bytes: &[u8]) {
    if let Ok(said) = WellKnown::parse(bytes) {
        assert_eq!(WellKnown::parse(said.render().as_bytes()).as_ref(), Ok(&said), "written in another way than read");
    }
}
