//! What devices do, as stories: people, their devices, and nodes that are believed nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "stories fail loudly"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a story looks at what it is about")]

mod attachments;
mod attacks;
mod backups;
mod codes;
mod controls;
mod costs;
mod ending;
mod first_words;
mod hosted;
mod hostile;
mod kit;
mod marks;
mod memos;
mod restarts;
mod sayings;
mod several_devices;
mod stalls;
