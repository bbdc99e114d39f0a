//! Which entries of a conversation end at one second: however many they are, one is put in and taken out at the cost of a
//! record or two.
//!
//! ```text
//!   put ──▶ [ top: up to MOMENT entries, and how many records lie below ] ──▶ take
//!             │ full: it goes below          ▲ empty: the one below comes up
//!             ▼                              │
//!           1, 2, 3 … full ones ─────────────┘
//! ```
//!
//! A stack of records, of which only the top and the one below it are ever looked at. Which seconds have one, and what
//! becomes of an entry, the front door knows. Spec: `spec/12-revisions.md`.

use crate::fault::RestoreError;
use crate::id::ConversationId;
use crate::limits;
use crate::store::{Key, Record};
use crate::wire::cbor::Reader;
use crate::wire::record::{read, write};

/// One record of a stack: the top, or a full one below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    entries: Vec<u64>,
    /// How many records lie below: those of the numbers 1 to this. Of one that lies below itself, nothing.
    below: u64,
}

impl Moment {
    /// The last entry that was put in, of this record.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.entries.last().copied()
    }

    /// The number of the record that comes up once this one is empty.
    #[must_use]
    pub fn below(&self) -> Option<u64> {
        Some(self.below).filter(|below| *below > 0)
    }

    /// Puts an entry in; gives the record that goes below for it, with its number, where the top is full. One that is in the
    /// top is there once.
    pub fn put(&mut self, entry: u64) -> Option<(u64, Self)> {
        if self.entries.contains(&entry) {
            return None;
        }
        let full = (self.entries.len() >= limits::MOMENT).then(|| {
            self.below = self.below.saturating_add(1);
            (self.below, Self { entries: core::mem::take(&mut self.entries), below: 0 })
        });
        self.entries.push(entry);
        full
    }

    /// Takes the last entry out.
    pub fn take(&mut self) -> Option<u64> {
        self.entries.pop()
    }

    /// The record below has come up: this one was empty.
    pub fn come_up(&mut self, below: Self) {
        *self = Self { entries: below.entries, below: self.below.saturating_sub(1) };
    }

    /// Its record: the top is number 0. Of one in which nothing is, and below which nothing lies, the removal.
    #[must_use]
    pub fn record(&self, conversation: ConversationId, second: u64, number: u64) -> Record {
        let key = Key::Moment(conversation, second, number);
        if self.entries.is_empty() && self.below == 0 {
            return Record::remove(key);
        }
        write(key, 2, |w| {
            w.list(self.entries.iter(), |w, entry| _ = w.u64(*entry)).u64(self.below);
        })
    }

    /// What a record says.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| Ok(Self { entries: r.list(limits::MOMENT as u64, Reader::u64)?, below: r.u64()? }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const TALK: ConversationId = ConversationId([1; 32]);
    const SECOND: u64 = 1_800_000_000;

    /// A store that counts what is read and written.
    #[derive(Default)]
    struct Store {
        records: BTreeMap<Key, Record>,
        touched: usize,
    }

    impl Store {
        fn get(&mut self, number: u64) -> Moment {
            self.touched += 1;
            let record = self.records.get(&Key::Moment(TALK, SECOND, number));
            record.map_or_else(Moment::default, |record| Moment::restore(record).unwrap())
        }

        fn save(&mut self, moment: &Moment, number: u64) {
            self.touched += 1;
            let record = moment.record(TALK, SECOND, number);
            match record.value {
                Some(_) => self.records.insert(record.key.clone(), record),
                None => self.records.remove(&record.key),
            };
        }

        fn put(&mut self, entry: u64) {
            let mut top = self.get(0);
            if let Some((number, full)) = top.put(entry) {
                self.save(&full, number);
            }
            self.save(&top, 0);
        }

        fn take(&mut self) -> Option<u64> {
            let mut top = self.get(0);
            if top.last().is_none() {
                let number = top.below()?;
                let below = self.get(number);
                top.come_up(below);
                self.save(&Moment::default(), number);
            }
            let taken = top.take();
            self.save(&top, 0);
            taken
        }
    }

    /// [X-6], [P-6]: a hundred thousand that end at once cost no more, each, than one.
    #[test]
    fn as_many_as_one_likes_end_at_one_second() {
        let (mut store, mut most) = (Store::default(), 0);
        for entry in 0..100_000 {
            store.touched = 0;
            store.put(entry);
            most = most.max(store.touched);
        }
        let longest = store.records.values().filter_map(|record| record.value.as_ref()).map(Vec::len).max().unwrap();
        assert!(most <= 3 && longest <= 1_024, "{most} records, of {longest} bytes");
        let mut taken = BTreeSet::new();
        loop {
            store.touched = 0;
            let Some(entry) = store.take() else { break };
            assert!(store.touched <= 4 && taken.insert(entry));
        }
        assert!(taken.len() == 100_000 && store.records.is_empty(), "nothing is left behind");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        /// Whatever is put in comes out, whenever some is taken meanwhile; what is empty leaves no record.
        #[test]
        fn what_is_put_in_comes_out(steps in prop::collection::vec((any::<bool>(), 0..400_u64), 0..600)) {
            let (mut store, mut model) = (Store::default(), BTreeSet::new());
            for (puts, entry) in steps {
                if puts {
                    store.put(entry);
                    model.insert(entry);
                } else if let Some(entry) = store.take() {
                    // One that was put in twice, with a full record between, comes out twice.
                    model.remove(&entry);
                } else {
                    prop_assert!(model.is_empty());
                }
            }
            while let Some(entry) = store.take() {
                model.remove(&entry);
            }
            prop_assert!(model.is_empty() && store.records.is_empty());
        }
    }
}
