//! The specification's vectors, and what runs them on an implementation in any language.
//!
//! ```text
//!   generate ──▶ spec/vectors/*.json ──▶ run ──request──▶ ours        this implementation, in this process
//!                                         ▲ └──request──▶ shim        another one: a child process, a line each way
//!                                         └──── answer: ok, an error class, or unimplemented
//! ```
//!
//! What a vector and an answer look like stands in `spec/vectors/README.md`; what a shim must do in this crate's README.
//! Core and codec know nothing of JSON: [`ours`] translates.

pub mod answer;
pub mod generate;
pub mod input;
pub mod ours;
pub mod run;
pub mod shim;
pub mod vector;
