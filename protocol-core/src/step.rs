//! The one shape of every machine: an input and a tick go in, records and effects come out.
//!
//! ```text
//!   Tick + Input ──▶ step ──▶ Outbox ──split──▶ (records, Held)
//!                                                  │        │
//!                                          Store::commit    │
//!                                                  │        │
//!                                               Durable ──▶ Held::open ──▶ effects
//! ```
//!
//! An effect (a 250, an Ack, a dial) can't be had before its records are committed: only [`Store::commit`] makes a
//! [`Durable`], and only [`Held::open`] with one gives the effects. Spec: `spec/00-overview.md`, [O-1].
//!
//! The one exception is an *early* effect, [`Outbox::emit_early`]: news for the person before the device, of what somebody
//! else holds until they hear that it is durable here. Should the commit fail, it is told once more.

use std::collections::{BTreeMap, VecDeque};

use crate::store::{Key, Record};
use crate::time::Millis;

/// What the world gives to each step: the time, and randomness that is used once.
#[derive(Clone)]
pub struct Tick {
    /// The host's clock. A front door never lets it run back.
    pub now: Millis,
    /// Fresh random bytes for this step only; steps derive from it, by label, all they need.
    pub entropy: [u8; 32],
}

/// A state machine without clock, randomness, I/O or storage of its own.
pub trait Machine {
    /// What it takes.
    type Input;
    /// What it wants done.
    type Output;
    /// How a caller can misuse it.
    type Fault;

    /// Takes one input.
    ///
    /// # Errors
    /// Only where the caller misused the API. Then neither the machine nor `out` has changed. A bad mail, frame or peer
    /// is data: `Ok`, with a refusal among the outputs.
    fn step(&mut self, tick: &Tick, input: Self::Input, out: &mut Outbox<Self::Output>) -> Result<(), Self::Fault>;

    /// When a wake is next wanted.
    fn deadline(&self) -> Option<Millis>;
}

/// What steps put out: records to save, and effects that wait for them.
#[derive(Debug)]
pub struct Outbox<O> {
    records: BTreeMap<Key, Record>,
    effects: VecDeque<(When, O)>,
}

/// When an effect may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Once all is durable.
    Durable,
    /// At once, behind those before it.
    Early,
}

impl<O> Default for Outbox<O> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), effects: VecDeque::new() }
    }
}

impl<O> Outbox<O> {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for `record` to be stored. Within a batch the last save of a key wins.
    pub fn save(&mut self, record: Record) {
        self.records.insert(record.key.clone(), record);
    }

    /// Asks for `effect`, once everything saved in this batch is durable.
    pub fn emit(&mut self, effect: O) {
        self.effects.push_back((When::Durable, effect));
    }

    /// Asks for `effect`, which may leave while the records are being committed. It must be such that
    ///
    /// * what it tells of comes again until it is durable here that it came: from a record that says so, or from whoever holds
    ///   it until they hear, by an effect that isn't early, that it is durable here;
    /// * it stays on this host: it is told to the person, never said to anybody else;
    /// * to be told twice does no harm: it names what it tells of by something that stays the same.
    pub fn emit_early(&mut self, effect: O) {
        self.effects.push_back((When::Early, effect));
    }

    /// Takes the next effect, where it may leave early and all before it have left. A host may ask after each step; what it
    /// doesn't take comes with the others.
    pub fn next_early(&mut self) -> Option<O> {
        self.effects.pop_front_if(|(when, _)| *when == When::Early).map(|(_, effect)| effect)
    }

    /// Whether no effect waits for the records: where their commit shares a later one, nobody notices.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        self.effects.is_empty()
    }

    /// What is to be stored under `key`: newer than what the store has.
    #[must_use]
    pub fn saved(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.effects.is_empty()
    }

    /// The records so far, by key.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The effects that wait, in step order: to be written down beside the records, never to be acted on.
    pub fn effects(&self) -> impl Iterator<Item = &O> {
        self.effects.iter().map(|(_, effect)| effect)
    }

    /// Moves a child machine's outputs here, its effects translated by `translate`.
    pub fn absorb<C>(&mut self, child: Outbox<C>, mut translate: impl FnMut(C) -> O) {
        self.records.extend(child.records);
        self.effects.extend(child.effects.into_iter().map(|(when, effect)| (when, translate(effect))));
    }

    /// Takes a child's outputs apart: its records are saved here, its effects are handed back for the caller to act on.
    pub fn adopt<C>(&mut self, child: Outbox<C>) -> Vec<C> {
        self.records.extend(child.records);
        child.effects.into_iter().map(|(_, effect)| effect).collect()
    }

    /// Parts the records to commit from the effects to hold.
    pub fn split(self) -> (Vec<Record>, Held<O>) {
        (
            self.records.into_values().collect(),
            Held { effects: self.effects.into_iter().map(|(_, effect)| effect).collect() },
        )
    }
}

/// Effects that wait for their records to be durable.
#[derive(Debug)]
#[must_use = "effects that are never opened never happen"]
pub struct Held<O> {
    effects: Vec<O>,
}

impl<O> Held<O> {
    /// The effects, in step order.
    #[must_use]
    pub fn open(self, _proof: Durable) -> Vec<O> {
        self.effects
    }
}

/// Proof that a batch of records is durable. Made by [`Store::commit`] only.
#[derive(Debug)]
#[must_use]
pub struct Durable(());

/// Where a host keeps records. A machine never sees it.
pub trait Store {
    /// How writing fails.
    type Fault;

    /// Writes all of `records` in one transaction, and returns only when they would survive a power cut.
    ///
    /// # Errors
    /// The host's own. Then none of the records may be taken as stored: the host drops the machine and restores.
    fn write(&mut self, records: &[Record]) -> Result<(), Self::Fault>;

    /// Writes `records` and, where that went well, gives the proof that opens their effects.
    ///
    /// # Errors
    /// Those of [`Store::write`].
    fn commit(&mut self, records: &[Record]) -> Result<Durable, Self::Fault> {
        self.write(records).map(|()| Durable(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk;

    impl Store for Disk {
        type Fault = std::convert::Infallible;

        fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
            Ok(())
        }
    }

    #[test]
    fn an_early_effect_leaves_before_the_commit_but_overtakes_nothing() {
        let mut out = Outbox::new();
        out.emit_early("heard 1");
        out.emit_early("heard 2");
        out.emit("ack 2");
        out.emit_early("heard 3");
        assert_eq!(out.effects().count(), 4);
        assert_eq!([out.next_early(), out.next_early(), out.next_early()], [Some("heard 1"), Some("heard 2"), None]);
        assert!(!out.can_wait(), "there is an ack to be said");
        let (records, held) = out.split();
        let durable = Disk.commit(&records).unwrap();
        assert_eq!(held.open(durable), ["ack 2", "heard 3"]);
    }

    #[test]
    fn a_host_that_asks_for_none_gets_early_effects_with_the_others() {
        let (mut out, mut child) = (Outbox::new(), Outbox::new());
        child.emit_early("heard");
        child.emit("ack");
        out.absorb(child, |effect| effect);
        let (records, held) = out.split();
        let durable = Disk.commit(&records).unwrap();
        assert_eq!(held.open(durable), ["heard", "ack"]);
    }
}
