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

use std::collections::BTreeMap;

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
    effects: Vec<O>,
}

impl<O> Default for Outbox<O> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), effects: Vec::new() }
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
        self.effects.push(effect);
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
        self.effects.iter()
    }

    /// Moves a child machine's outputs here, its effects translated by `translate`.
    pub fn absorb<C>(&mut self, child: Outbox<C>, mut translate: impl FnMut(C) -> O) {
        self.records.extend(child.records);
        self.effects.extend(child.effects.into_iter().map(&mut translate));
    }

    /// Takes a child's outputs apart: its records are saved here, its effects are handed back for the caller to act on.
    pub fn adopt<C>(&mut self, child: Outbox<C>) -> Vec<C> {
        self.records.extend(child.records);
        child.effects
    }

    /// Parts the records to commit from the effects to hold.
    pub fn split(self) -> (Vec<Record>, Held<O>) {
        (self.records.into_values().collect(), Held { effects: self.effects })
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
