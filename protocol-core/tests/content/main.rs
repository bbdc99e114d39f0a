//! What people say, from outside: the draft's own examples, the one form, what is refused, and how each thing is said.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's helpers may fail loudly, and say what was skipped"
)]

mod bounds;
mod examples;
mod forms;
mod kit;
mod sayings;
#[path = "../inside/vectors.rs"]
mod vectors;
