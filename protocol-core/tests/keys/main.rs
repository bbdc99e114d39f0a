//! A person's keys from outside: lists, leaves, proofs, codes, backups; what is taken, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

mod kit;
mod leaves;
mod lists;
