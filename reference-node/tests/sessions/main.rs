//! The doors of devices, on a node that runs: TLS on the link's port, and WebSocket.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "figures are printed")]

#[path = "../common/mod.rs"]
mod common;
mod doors;
mod figures;
mod kit;
