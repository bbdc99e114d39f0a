//! What Postline costs, measured beside the machine's limits and beside its peers, in one sitting.
//!
//! ```text
//!   bin/express   two nodes as processes, real submissions, real Maildirs ──▶ latency, throughput, syncs, CPU
//!                 floor: the same path with nothing but TLS, one sync, one rename
//!                 peers: mail, XMPP, Matrix, Delta Chat by their own harness, where it is at hand
//!   bin/sealed    the same two nodes, devices of their people, sealed messages ──▶ latency, marks, throughput, bytes, memory
//!   bin/parse     instruction counts (valgrind): what doesn't depend on how busy the machine is
//! ```
//!
//! Latency counts from submission's 250 until the mail is visible in the recipient's Maildir, as inotify tells it. Only
//! ratios of one sitting mean something; `RESULTS.md` keeps the last sitting.

#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "measures time, talks to people, and stops where it can't go on"
)]

use std::error::Error;

pub mod account;
pub mod baseline;
pub mod carried;
pub mod desk;
pub mod figures;
pub mod floor;
pub mod machine;
pub mod nodes;
pub mod path;
pub mod peers;
pub mod person;
pub mod phones;
pub mod plot;
pub mod report;
pub mod said;
pub mod talker;
pub mod talks;
pub mod watch;
pub mod wire;

/// Why a measurement could not be made.
pub type Fault = Box<dyn Error + Send + Sync>;
