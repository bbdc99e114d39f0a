//! Fuzz targets by name: any bytes at all against one part. A fuzzer, a property test and the replay of `corpus/` call
//! them alike.
//!
//! ```text
//!   a fuzzer ─────────────────┐
//!   tests/corpus.rs ──────────┼──▶ body(bytes): survives, and keeps its promises, or panics
//!   proptest ─────────────────┘
//! ```

use std::path::Path;

use postline_codec::word::{WellKnown, parse_txt, render_txt};
use postline_core::limits;
use postline_node::admin::{REQUEST_BYTES, RefusalCode, Request};
use postline_node::config::Config;
use postline_node::dovecot::auth::{AuthFault, Dialog, Heard};

/// A body that takes any bytes.
pub type Body = fn(&[u8]);

/// Every target, and the part that it tries.
pub const TARGETS: [(&str, Body); 30] = [
    ("address", postline_world::bodies::address_survives),
    ("admin", admin_survives),
    ("attachment", postline_world::bodies::attachment_survives),
    ("auth", auth_survives),
    ("config", config_survives),
    ("content", postline_world::bodies::content_survives),
    ("dial", postline_world::bodies::dial_survives),
    ("dict", postline_node::dovecot::dict_survives),
    ("fields", postline_world::bodies::fields_survive),
    ("frames", postline_world::bodies::frames_survive),
    ("greeting", postline_world::bodies::greeting_survives),
    ("link", postline_world::bodies::link_survives),
    ("lists", postline_world::bodies::lists_survive),
    ("lmtp", lmtp_survives),
    ("log", postline_world::bodies::log_survives),
    ("milter", postline_node::milter::session_survives),
    ("queue", postline_world::bodies::queue_survives),
    ("records", postline_world::bodies::records_survive),
    ("scanner", postline_world::bodies::scanner_survives),
    ("sealed", postline_world::bodies::sealed_survives),
    ("server", postline_world::bodies::server_survives),
    ("session", postline_world::bodies::session_survives),
    ("smtp", postline_node::smtp::session_survives),
    ("statements", postline_world::bodies::statements_survive),
    ("stream", postline_world::bodies::stream_survives),
    ("talks", postline_world::bodies::talks_survive),
    ("trust", postline_world::bodies::trust_survives),
    ("txt", txt_survives),
    ("vault", postline_world::bodies::vault_survives),
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

/// What comes on the admin socket is a request with one reading, or refused as malformed in words that fit in an answer.
///
/// # Panics
/// Where a promise is broken.
pub fn admin_survives(bytes: &[u8]) {
    match Request::parse(bytes) {
        Ok(request) => {
            assert!(bytes.len() <= REQUEST_BYTES, "{} bytes were taken", bytes.len());
            assert!(bytes.trim_ascii_start().starts_with(b"{"), "what is no object was taken for {request:?}");
            #[expect(clippy::expect_used, reason = "a request that can't be written is a broken promise")]
            let line = serde_json::to_vec(&request).expect("what was read can be written");
            assert_eq!(Request::parse(&line).as_ref(), Ok(&request), "written in another way than read");
        }
        Err(refusal) => {
            assert_eq!(refusal.code, RefusalCode::Malformed, "{refusal}");
            let said = refusal.message.len();
            assert!(said > 0 && said < 4_096 + REQUEST_BYTES, "{said} bytes are said of {}", bytes.len());
        }
    }
}

/// However what Dovecot says of a login is split, it means the same; and what is no answer yet is bounded.
///
/// The first byte is how long each piece is.
///
/// # Panics
/// Where a promise is broken.
pub fn auth_survives(bytes: &[u8]) {
    let Some((&piece, said)) = bytes.split_first() else { return };
    let whole = hear(&mut std::iter::once(said));
    let split = hear(&mut said.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, split, "the split shows");
}

/// What a dialog hears, to its end: whether it asked, and the last thing.
fn hear(pieces: &mut dyn Iterator<Item = &[u8]>) -> (bool, String) {
    let (mut dialog, mut asked, mut open) = (Dialog::default(), false, 0);
    for piece in pieces {
        let mut heard = dialog.hear(piece);
        while matches!(heard, Ok(Heard::Ask)) {
            assert!(!asked, "the password is asked for twice");
            asked = true;
            heard = dialog.hear(&[]);
        }
        match heard {
            Ok(Heard::More | Heard::Ask) => {
                let end = piece.iter().rposition(|byte| *byte == b'\n');
                open = end.map_or(open + piece.len(), |end| piece.len() - end - 1);
                assert!(open <= limits::AUTH_LINE_BYTES, "{open} bytes are kept");
            }
            Ok(Heard::Verdict(verdict)) => {
                assert!(asked, "a verdict on nothing");
                return (asked, format!("{verdict:?}"));
            }
            Err(why) => {
                assert!(!matches!(why, AuthFault::Full | AuthFault::Io(_)), "a dialog has no socket");
                let said = why.to_string();
                assert!(said.len() < 512, "{} bytes are said of a line", said.len());
                return (asked, said);
            }
        }
    }
    (asked, "more".to_owned())
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

/// A TXT record names a key in one spelling, which stands in it, and is written as it is read.
///
/// # Panics
/// Where a promise is broken.
pub fn txt_survives(bytes: &[u8]) {
    let Some(nk) = parse_txt(bytes) else { return };
    assert!(bytes.len() <= limits::FIELD_BYTES, "{} bytes were taken", bytes.len());
    let digits = nk.to_string();
    let stands = bytes.windows(digits.len()).any(|window| window == digits.as_bytes());
    assert!(stands, "{digits} is not what the record says");
    assert_eq!(parse_txt(render_txt(nk).as_bytes()), Some(nk), "written in another way than read");
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
