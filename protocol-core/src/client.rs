//! The front door for devices: keys, contacts and sealed conversations of one person on one device, behind one `step`.
//!
//! ```text
//!               ┌────────────────────────── Client ───────────────────────────┐
//!  Command ────▶│ door ─▶ talks (per conversation) ─▶ seal::mls (its group)    │──▶ Event
//!               │           ▲        │                                        │
//!  Session ────▶│ session ──┤        ▼                                        │──▶ Dial, Send, Close
//!  Wake ───────▶│           └─ contacts (per person) ─▶ seal::lists (keys)     │
//!               └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! The node that the device is at carries and orders, and is believed nothing: who somebody is, which devices are theirs,
//! and what a log says, this side verifies. Before each step the host asks [`Client::wants`] until nothing more is wanted,
//! and brings each record, or its absence, by [`Client::hydrate`].
//!
//! A crash forgets the session and what was asked on it. Spec: `spec/07-identity.md`, `spec/10-sessions.md`.

pub mod io;

pub use io::{Command, Declined, Event, Input, Output, SessionIn};

use crate::fault::{Misuse, RestoreError};
use crate::id::{Address, ContentId};
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::time::Millis;
use io::{Failure, Mark};

/// What the device is, as its host set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Whose device it is.
    pub address: Address,
    /// Whether a node runs it, for a person who has only a mail program.
    pub hosted: bool,
}

/// The front door of a device. See the module's picture.
#[derive(Debug)]
pub struct Client {
    ours: Ours,
    now: Millis,
}

impl Client {
    /// Starts from the records whose keys say [`Client::restored_at_start`], in any order.
    ///
    /// # Errors
    /// [`RestoreError`] for a record that is damaged, or written by a newer version.
    pub fn restore(ours: Ours, records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let client = Self { ours, now: Millis(0) };
        for record in records {
            return Err(RestoreError::Damaged { key: record.key, what: "a record of a device" });
        }
        Ok(client)
    }

    /// Whether a host brings this record when the device is restored; the others are brought when they are wanted.
    #[must_use]
    pub const fn restored_at_start(key: &Key) -> bool {
        matches!(key, Key::Own | Key::Contact(_) | Key::Talk(_) | Key::Draft(_))
    }

    /// The records that a step on `input` needs and that are not here. Asked again until empty: look-ups chain.
    #[must_use]
    pub fn wants(&self, _input: &Input) -> Vec<Key> {
        Vec::new()
    }

    /// Brings a record, or its absence.
    ///
    /// # Errors
    /// [`RestoreError`] where the record is damaged, or written by a newer version.
    pub fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
        match record {
            Some(_) => Err(RestoreError::Damaged { key: key.clone(), what: "a record of a device" }),
            None => Ok(()),
        }
    }

    /// Forgets a record that was hydrated, to bound memory. Only between batches: what a batch changed must be stored.
    ///
    /// Returns whether it was forgotten; what is in use stays.
    pub fn forget(&mut self, _key: &Key) -> bool {
        false
    }

    /// Whose device it is.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.ours.address
    }
}

impl Machine for Client {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        self.now = tick.now.max(self.now);
        match input {
            Input::Command(Command::Write { id, body, .. }) => {
                let id = id.unwrap_or_else(|| ContentId(sha256(&[b"postline/1 id\0", &tick.entropy, &body]).0));
                let mark = Mark::Failed(Failure::NotEnrolled);
                out.emit(Output::Event(Event::Mark { conversation: None, id, seq: None, mark }));
            }
            Input::Command(_) => out.emit(Output::Event(Event::Declined(Declined::NotEnrolled))),
            Input::Session(SessionIn::Up { .. } | SessionIn::Frame(_) | SessionIn::Garbage(_)) => {
                out.emit(Output::Close);
            }
            Input::Session(SessionIn::Unreached | SessionIn::Down | SessionIn::Approved { .. }) | Input::Wake => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}
