//! The world in which the product is tried: nodes, disks, mail and links, in virtual time. One seed is one run.
//!
//! ```text
//!   script ──▶ queue of (time, sequence) ──▶ one node's step ──▶ its disk ──▶ effects ──▶ back into the queue
//!                                                │                  └─ weather strikes what is written and what arrives
//!                                                └─ the ledger knows what really happened, and holds every step to it
//! ```

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "whoever watches looks at what concerns them, and passes the rest on"
)]

pub mod bodies;
pub mod bytes;
pub mod device;
pub mod disk;
pub mod laws;
pub mod ledger;
pub mod node;
pub mod rng;
pub mod run;
pub mod sealed;
pub mod strategies;
pub mod trace;
pub mod weather;
pub mod world;
