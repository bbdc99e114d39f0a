//! A person's keys from outside: lists, leaves, proofs, codes, backups; what is taken, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

mod backups;
mod bytes;
mod codes;
mod joins;
mod kit;
mod leaves;
mod lists;
mod model;
mod pins;
mod secrets;
