//! A conversation made of what was opened elsewhere: the same that a device makes of it, without keys, node and log.
//!
//! ```text
//!   Heard ──▶ kept ──▶ applied, in its place or late (client/applying.rs) ──▶ Event
//!   Command::Show, Command::Snapshot ──▶ what there is now                ──▶ Event
//! ```
//!
//! For whoever holds a conversation as a list of events, in whatever order: vectors, measurements, the check of an export. Who
//! said something is believed here; a device has it from the seal.

use super::said::{By, Kept};
use super::talk::Talk;
use super::{Client, Command, Ours, Output, controls};
use crate::content::uri::Uri;
use crate::fault::{Misuse, RestoreError};
use crate::id::{ConversationId, DeviceKey, Hash, Identity};
use crate::machine::policy::Agreed;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::content::Content;
use crate::wire::control::Control;
use crate::wire::snapshot::{head, tail};

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its place in the hub's log: one place has one content.
    pub seq: u64,
    /// Who said it.
    pub author: Identity,
    /// When, as they say.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// What somebody says in a conversation, or does to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This is said.
    Content {
        /// What.
        content: Content,
        /// The place of what it is about, as its author says ([R-13]).
        about: Option<u64>,
    },
    /// This is done, by somebody who may as far as a member may.
    Control(Control),
}

/// What happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An event comes. What comes again changes nothing.
    Heard(Heard),
    /// The person wants something.
    Command(Command),
    /// The time of [`deadline`](Machine::deadline) has come.
    Wake,
}

/// See the module's picture.
#[derive(Debug)]
pub struct Replay {
    client: Client,
    conversation: ConversationId,
}

impl Replay {
    /// Goes on from the records of before whose keys say [`Client::restored_at_start`]; begins where there are none.
    ///
    /// # Errors
    /// As [`Client::restore`].
    pub fn restore(
        ours: Ours,
        conversation: ConversationId,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Self, RestoreError> {
        let with = ours.address.clone();
        let mut client = Client::restore(ours, records)?;
        client.talks.entry(conversation).or_insert_with(|| Talk::new(conversation, with, Hash([0; 32]), true));
        client.groups.insert(conversation, None);
        Ok(Self { client, conversation })
    }

    /// The records that a step on `input` needs and that are not here. Asked again until empty.
    #[must_use]
    pub fn wants(&self, input: &Input) -> Vec<Key> {
        match input {
            Input::Heard(heard) => {
                let known = self.client.said.contains_key(&(self.conversation, heard.seq));
                let key = (!known).then_some(Key::Said(self.conversation, heard.seq));
                // What is behind all that came, nobody has kept.
                let last = self.client.talks.get(&self.conversation).map_or(0, |talk| talk.seq);
                key.filter(|_| heard.seq <= last).into_iter().collect()
            }
            Input::Command(command) => self.client.wants(&super::Input::Command(command.clone())),
            Input::Wake => self.client.wants(&super::Input::Wake),
        }
    }

    /// Brings a record, or its absence.
    ///
    /// # Errors
    /// As [`Client::hydrate`].
    pub fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
        self.client.hydrate(key, record)
    }

    /// What [`Replay::forget`] would forget.
    #[must_use]
    pub fn idle(&self) -> Vec<Key> {
        self.client.idle().into_iter().filter(|key| !matches!(key, Key::Group(_))).collect()
    }

    /// As [`Client::forget`].
    pub fn forget(&mut self, key: &Key) -> bool {
        self.client.forget(key)
    }

    /// How many records are in memory.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.client.in_memory()
    }

    /// The bytes of the snapshot from a place on, of a conversation that is small and at hand.
    ///
    /// # Errors
    /// The records that are wanted first.
    pub fn snapshot(&self, from: u64) -> Result<Vec<u8>, Vec<Key>> {
        let mut wanted = self.client.wanted_to_apply(self.conversation);
        let last = self.client.talks.get(&self.conversation).map_or(0, |talk| talk.applied);
        let (mut bytes, mut messages) = (head(self.conversation, from), 0_u64);
        for place in from..=last {
            if let Some(message) = self.client.seen_at(self.conversation, place, from, &mut wanted) {
                bytes.extend(message.to_bytes());
                messages += 1;
            }
        }
        bytes.extend(tail(messages, &self.client.seen_of_all(self.conversation)));
        if wanted.is_empty() { Ok(bytes) } else { Err(wanted.into_iter().collect()) }
    }

    /// What lies up to a place isn't gone over: as on a device that joined there. It may come later, as all may.
    pub fn begin_behind(&mut self, seq: u64, out: &mut Outbox<Output>) {
        if let Some(talk) = self.client.talks.get_mut(&self.conversation).filter(|talk| talk.seq < seq) {
            (talk.seq, talk.applied, talk.paged) = (seq, seq, seq);
            out.save(talk.record());
        }
    }

    fn hear(&mut self, tick: &Tick, heard: Heard, out: &mut Outbox<Output>) {
        let (id, Heard { seq, author, at, what }) = (self.conversation, heard);
        let Some(talk) = self.client.talks.get_mut(&id) else { return };
        talk.seq = talk.seq.max(seq);
        out.save(talk.record());
        if matches!(self.client.said.get(&(id, seq)), Some(Some(_))) {
            return;
        }
        let by = By { author: self.client.address().clone(), identity: author, dk: DeviceKey([0; 32]), hosted: false };
        let kept = match what {
            What::Content { content, about } => {
                let name = content.id(&Uri::person(author), &Uri::room(id));
                Kept::of(Some(by), name, at, content, about)
            }
            What::Control(control) => {
                if let Some(agreed) = Agreed::by(&control, seq) {
                    self.client.set_policy(id, agreed, out);
                }
                Kept::control(Some(by), controls::name(id, seq), at, control)
            }
        };
        self.client.keep(id, seq, kept, out);
        self.client.apply_late(tick, id, seq);
        self.client.apply(tick, id, out);
    }
}

impl Machine for Replay {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        match input {
            Input::Heard(heard) => {
                if let Some(key) = self.wants(&Input::Heard(heard.clone())).into_iter().next() {
                    return Err(Misuse::NotHydrated(key));
                }
                self.hear(tick, heard, out);
                Ok(())
            }
            Input::Command(command) => self.client.step(tick, super::Input::Command(command), out),
            Input::Wake => self.client.step(tick, super::Input::Wake, out),
        }
    }

    fn deadline(&self) -> Option<Millis> {
        self.client.deadline()
    }
}
