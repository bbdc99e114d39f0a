//! Postline's core: every state machine and all cryptography of the protocol, and nothing else.
//!
//! No sockets, files, threads, clock, randomness or async: a host reads the world, hands in one input at a time, and does
//! what comes back.
//!
//! ```text
//!    bytes                 values                  values                  bytes
//!  sockets ──▶ [codec] ──▶ [ core: step ] ──▶ Outbox ──▶ [codec] ──▶ sockets, mailbox
//!              parses        decides            │         serialises
//!                                            records ──▶ the host's store, one transaction a batch
//! ```
//!
//! # The loop
//!
//! Step, commit, perform; then the next input. Many steps may share one commit. If the commit fails, the host drops the
//! machine and restores it from its records: no effect of that batch has left ([O-1], [O-3]).
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use postline_core::fault::Misuse;
//! use postline_core::id::MailId;
//! use postline_core::step::{Machine, Outbox, Store, Tick};
//! use postline_core::store::{Key, Record};
//! use postline_core::time::Millis;
//!
//! /// Takes each mail once, whoever brings it how often.
//! #[derive(Default)]
//! struct Desk {
//!     seen: BTreeMap<MailId, Millis>,
//! }
//!
//! #[derive(Debug, PartialEq)]
//! enum Answer {
//!     Took(MailId),
//!     HadIt(MailId, Millis),
//! }
//!
//! impl Machine for Desk {
//!     type Input = MailId;
//!     type Output = Answer;
//!     type Fault = Misuse;
//!
//!     fn step(&mut self, tick: &Tick, mail: MailId, out: &mut Outbox<Answer>) -> Result<(), Misuse> {
//!         if let Some(at) = self.seen.get(&mail) {
//!             out.emit(Answer::HadIt(mail, *at));
//!             return Ok(());
//!         }
//!         self.seen.insert(mail, tick.now);
//!         out.save(Record::put(Key::Seen(mail), tick.now.0.to_be_bytes().to_vec()));
//!         out.emit(Answer::Took(mail));
//!         Ok(())
//!     }
//!
//!     fn deadline(&self) -> Option<Millis> {
//!         None
//!     }
//! }
//!
//! /// A host's store; a real one returns from `write` when the disk has it.
//! #[derive(Default)]
//! struct Memory(BTreeMap<Key, Record>);
//!
//! impl Store for Memory {
//!     type Fault = std::convert::Infallible;
//!
//!     fn write(&mut self, records: &[Record]) -> Result<(), Self::Fault> {
//!         self.0.extend(records.iter().map(|record| (record.key.clone(), record.clone())));
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut desk, mut store, mail) = (Desk::default(), Memory::default(), MailId([7; 16]));
//! let mut out = Outbox::new();
//! for now in [1_000, 2_000] {
//!     // A host draws the entropy afresh for each step.
//!     desk.step(&Tick { now: Millis(now), entropy: [0; 32] }, mail, &mut out)?;
//! }
//! let (records, held) = out.split();
//! let durable = store.commit(&records)?;
//! assert_eq!(held.open(durable), [Answer::Took(mail), Answer::HadIt(mail, Millis(1_000))]);
//! assert!(store.0.contains_key(&Key::Seen(mail)));
//! # Ok(())
//! # }
//! ```
//!
//! Without a commit there is no `Durable`, and without that no effect ([O-1]):
//!
//! ```compile_fail,E0423
//! use postline_core::step::{Durable, Outbox};
//!
//! let (_, held) = Outbox::<&str>::new().split();
//! held.open(Durable(()));
//! ```
//!
//! # Who may know whom
//!
//! ```text
//! server, client → machine → seal → wire → content → step → fault → store → net → id, clock → limits → time → canary
//! ```
//!
//! `tests/arrows.rs` holds the modules to it.
// The stories' kits name this crate as everybody else does.
#[cfg(test)]
extern crate self as postline_core;

pub mod canary;
pub mod client;
pub mod clock;
pub mod content;
pub mod fault;
pub mod id;
pub mod limits;
pub mod machine;
pub mod net;
pub mod seal;
pub mod server;
pub mod step;
pub mod store;
pub mod time;
pub mod wire;
