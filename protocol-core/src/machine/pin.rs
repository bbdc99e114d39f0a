//! Which messages of a conversation are pinned. A join: whatever order pins and their ends come in, and how often, the same
//! ones make the same state.
//!
//! ```text
//!   of each message   pinned / not, by the entry of the highest place that says so       the newest PINS_KNOWN
//!        │
//!        ▼  pinned, and here: in the order of those entries
//!   shown  1 2 3 … PINS │ the others wait until there is room
//! ```
//!
//! The hub's order decides, and no clock: of two entries about one message the later one counts, and of too many pins those
//! that were set first. So a pin that finds no room changes nothing for anybody. What is let go of is older than all that is
//! kept, in every order.
//!
//! A message is named by its id and its place. What isn't here takes no room: so nobody fills it with what lies nowhere. What
//! is here, the front door sees: awaited, then here, then gone, and never back. Spec: `spec/16-control.md`.

use std::collections::BTreeMap;

use crate::fault::{Misuse, RestoreError};
use crate::id::{ContentId, ConversationId, Identity};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::Malformed;
use crate::wire::control::Target;
use crate::wire::record::{read, write};

#[cfg(test)]
mod tests;

/// Something about pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody pins a message, or unpins it.
    Set {
        /// In which entry.
        seq: u64,
        /// Who, as the seal tells.
        by: Identity,
        /// Which message.
        of: Target,
        /// Whether it is to be pinned.
        pinned: bool,
        /// Whether the message is here.
        there: There,
    },
    /// Whether a message is here has changed.
    Is(Target, There),
}

/// Whether a message is here. Only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum There {
    /// It hasn't come, or lies elsewhere.
    Awaited,
    /// It is.
    Here,
    /// It was, and is gone.
    Gone,
}

/// What the machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A message is among the pinned ones now.
    Pinned(Target),
    /// It isn't any more.
    Unpinned(Target),
}

/// A message that is pinned, and who did that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The message.
    pub of: Target,
    /// The entry that pinned it.
    pub seq: u64,
    /// Who.
    pub by: Identity,
}

/// What was said last of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    seq: u64,
    by: Identity,
    pinned: bool,
    there: There,
}

/// The pins of one conversation. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    conversation: ConversationId,
    known: BTreeMap<Target, Last>,
}

impl Pins {
    /// A conversation in which nothing was pinned.
    #[must_use]
    pub const fn new(conversation: ConversationId) -> Self {
        Self { conversation, known: BTreeMap::new() }
    }

    /// The pinned messages, the one that was pinned first first.
    #[must_use]
    pub fn shown(&self) -> Vec<Pinned> {
        let mut shown: Vec<Pinned> = self.standing().collect();
        shown.sort_by_key(|pin| (pin.seq, pin.of));
        shown.truncate(limits::PINS);
        shown
    }

    /// Whether a message is among them.
    #[must_use]
    pub fn has(&self, of: Target) -> bool {
        self.shown().iter().any(|pin| pin.of == of)
    }

    /// Whether no further message can be pinned.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shown().len() >= limits::PINS
    }

    /// Of how many messages something is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The messages that are pinned and here, whether or not there is room to show them, by whom and in which entry: so what is
    /// so of a message doesn't hang on others ([R-17]).
    pub fn standing(&self) -> impl Iterator<Item = Pinned> {
        // Nobody pins what comes after.
        let stands = |(of, last): &(&Target, &Last)| last.pinned && last.there == There::Here && last.seq > of.place;
        self.known.iter().filter(stands).map(|(of, last)| Pinned { of: *of, seq: last.seq, by: last.by })
    }

    /// What is known with this too.
    fn decide(&self, input: Input) -> Self {
        let mut next = self.clone();
        match input {
            Input::Set { seq, by, of, pinned, there } => {
                let came = Last { seq, by, pinned, there };
                let last = next.known.entry(of).or_insert(came);
                let rank = |last: &Last| (last.seq, last.by, last.pinned);
                let there = there.max(last.there);
                if rank(&came) > rank(last) {
                    *last = came;
                }
                last.there = there;
            }
            Input::Is(of, there) => {
                if let Some(last) = next.known.get_mut(&of) {
                    last.there = last.there.max(there);
                }
            }
        }
        while next.known.len() > limits::PINS_KNOWN {
            let oldest = next.known.iter().min_by_key(|(of, last)| (last.seq, **of)).map(|(of, _)| *of);
            oldest.and_then(|of| next.known.remove(&of));
        }
        next
    }

    fn apply(&mut self, next: Self, out: &mut Outbox<Output>) {
        if next == *self {
            return;
        }
        let (before, after) = (self.shown(), next.shown());
        let lacks = |pins: &[Pinned], of: Target| pins.iter().all(|pin| pin.of != of);
        out.save(next.record());
        before.iter().filter(|pin| lacks(&after, pin.of)).for_each(|pin| out.emit(Output::Unpinned(pin.of)));
        after.iter().filter(|pin| lacks(&before, pin.of)).for_each(|pin| out.emit(Output::Pinned(pin.of)));
        *self = next;
    }

    fn record(&self) -> Record {
        write(Key::Pins(self.conversation), 1, |w| {
            w.list(self.known.iter(), |w, (of, last)| {
                w.array(6).bytes(&of.message.0).u64(of.place).u64(last.seq).bytes(&last.by.0);
                w.bool(last.pinned).u64(last.there as u64);
            });
        })
    }

    /// The pins of a record.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(conversation: ConversationId, record: &Record) -> Result<Self, RestoreError> {
        let known = read(record, |r| {
            r.list(limits::PINS_KNOWN as u64, |r| {
                r.array_of(6)?;
                let of = Target { message: ContentId(r.fixed()?), place: r.u64()? };
                let (seq, by, pinned) = (r.u64()?, Identity(r.fixed()?), r.bool()?);
                let there = match r.u64()? {
                    0 => There::Awaited,
                    1 => There::Here,
                    2 => There::Gone,
                    _ => return Err(Malformed("whether a message is here")),
                };
                Ok((of, Last { seq, by, pinned, there }))
            })
        })?;
        Ok(Self { conversation, known: known.into_iter().collect() })
    }
}

impl Machine for Pins {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, _: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let next = self.decide(input);
        self.apply(next, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}
