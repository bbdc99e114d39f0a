//! The same events, in whatever order and however often, make the same conversation: by its snapshot, and whatever each device
//! went through while it heard them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "stories fail loudly"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a story looks at what it is about")]

mod floods;
mod kit;
mod long;
mod orders;
mod walks;
