//! Every order of what two people, a lossy world and an attacker may do to the trust between two addresses.
//!
//! ```text
//!   state = (a side each, the mails that were sent, the steps that were said)
//!              │
//!              └ the real Trust machine, told real fields with real signatures, and its past
//!
//!   action = a person writes, replies, blocks, unblocks │ any mail that can be made of what was seen arrives
//!          │ evidence comes, and is true │ a step comes that was said, or that the attacker says │ time passes
//! ```
//!
//! A mail or step that was sent stays, so it may come never, late, twice, and in any order: loss, duplication, reordering
//! and replay need no actions of their own. The attacker reads every mail, forges every header, takes fields from one mail
//! into another, signs with its own key, dials both nodes, and may be a correspondent of both people and a user of their
//! domains. What it can't do: sign with others' keys, have others' domains sign or publish for it, read others' links.
//! Every step of a machine is stored and the machine restored from it, so a crash may come anywhere. Nodes' clocks move
//! apart as they like. Evidence is an oracle that may be late, and never lies.
//!
//! That is [`trust`], up to the line. From the line to the keys behind it, [`keys`] goes on.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a checker that meets the unexpected fails"
)]

mod cast;
mod host;
pub mod keys;
mod pair;
pub mod scope;
mod table;
pub mod trust;
