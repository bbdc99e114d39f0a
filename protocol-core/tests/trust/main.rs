//! Trust, told as stories: how a reply becomes a line, and how nothing else does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected fails"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for some outputs, and passes over the others")]

mod attacks;
mod fields;
mod kit;
mod laws;
mod stories;
