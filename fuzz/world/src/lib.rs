//! The world in which the product is tried: nodes, disks, mail and links, in virtual time. One seed is one run.
//!
//! ```text
//!   script ──▶ queue of (time, sequence) ──▶ one node's step ──▶ its disk ──▶ effects ──▶ back into the queue
//!                                                                   └─ faults filter what is written and what arrives
//! ```

pub mod bytes;
pub mod disk;
pub mod node;
pub mod world;
