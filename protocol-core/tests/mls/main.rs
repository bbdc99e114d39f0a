//! Sealed conversations as MLS groups, told as stories: who reads what, what is refused, what survives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected fails"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for some faults, and passes over the others")]

mod attacks;
mod costs;
mod kit;
mod old;
mod stories;
