//! What leads where: the version that a reply or a reaction names, and who waits for it. A join.
//!
//! ```text
//!   reply, reaction ──names──▶ version ──is of──▶ message
//!
//!   unknown, asked for by entries ──is of──▶ known: each of them goes on
//!   known                         ──asked──▶ it goes on at once
//! ```
//!
//! **No cycles.** What names a version goes on only where that has an earlier place in the log: each step leads to an earlier
//! place, whatever ids anybody makes up, and nothing here is followed further than one step (attack 58). What names a later
//! one is an orphan for ever, and shown as one.
//!
//! Of those who wait, the first in the log are kept: the same ones in every order. Spec: `spec/12-revisions.md`.

use std::collections::BTreeSet;

use crate::fault::{Misuse, RestoreError};
use crate::id::{ContentId, ConversationId};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::record::{read, write};

/// Something about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It has come.
    Is(Of),
    /// The entry at this place names it.
    NamedBy(u64),
}

/// Of which message a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of {
    /// The version's place in the log.
    pub seq: u64,
    /// The message's first version.
    pub message: ContentId,
}

/// What the machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The entry at this place names this message: it goes on.
    Leads {
        /// The entry.
        from: u64,
        /// Where it leads.
        to: ContentId,
    },
    /// The entry at this place names something that isn't here, and waits.
    Waits(u64),
    /// The entry at this place names something that comes after it: it never leads anywhere.
    Backwards(u64),
}

/// One version's id, and what it leads to. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    conversation: ConversationId,
    place: u64,
    id: ContentId,
    of: Option<Of>,
    /// The places of the entries that wait for it.
    waiting: BTreeSet<u64>,
}

impl Name {
    /// A version of which nothing is known but where it lies, as those say who name it.
    #[must_use]
    pub const fn new(conversation: ConversationId, place: u64, id: ContentId) -> Self {
        Self { conversation, place, id, of: None, waiting: BTreeSet::new() }
    }

    /// Of which message it is, where that is known.
    #[must_use]
    pub const fn of(&self) -> Option<Of> {
        self.of
    }

    /// How many entries wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn record(&self) -> Record {
        write(Key::Name(self.conversation, self.place, self.id), 2, |w| {
            w.maybe(self.of, |w, of| w.array(2).u64(of.seq).bytes(&of.message.0));
            w.list(self.waiting.iter(), |w, seq| _ = w.u64(*seq));
        })
    }

    /// The name of a record.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(
        conversation: ConversationId,
        place: u64,
        id: ContentId,
        record: &Record,
    ) -> Result<Self, RestoreError> {
        read(record, |r| {
            let of = r.maybe(|r| {
                r.array_of(2)?;
                Ok(Of { seq: r.u64()?, message: ContentId(r.fixed()?) })
            })?;
            let waiting = r.list(limits::WAITING as u64, |r| r.u64())?.into_iter().collect();
            Ok(Self { conversation, place, id, of, waiting })
        })
    }
}

impl Machine for Name {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, _: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let changed = match (input, self.of) {
            (Input::Is(came), known) => {
                // Said twice, it has its earlier place.
                let of = known.map_or(came, |known| known.min(came));
                let waiting = std::mem::take(&mut self.waiting);
                let changed = self.of.replace(of) != Some(of) || !waiting.is_empty();
                waiting.into_iter().for_each(|from| out.emit(leads(from, of)));
                changed
            }
            (Input::NamedBy(from), Some(of)) => {
                out.emit(leads(from, of));
                false
            }
            (Input::NamedBy(from), None) => {
                let new = self.waiting.insert(from);
                let over = (self.waiting.len() > limits::WAITING).then(|| self.waiting.pop_last()).flatten();
                if over != Some(from) {
                    out.emit(Output::Waits(from));
                }
                new && over != Some(from)
            }
        };
        if changed {
            out.save(self.record());
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}

fn leads(from: u64, of: Of) -> Output {
    if of.seq < from { Output::Leads { from, to: of.message } } else { Output::Backwards(from) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TALK: ConversationId = ConversationId([1; 32]);
    const TICK: Tick = Tick { now: Millis(5), entropy: [0; 32] };

    fn id(n: u64) -> ContentId {
        ContentId(crate::store::sha256(&[&n.to_be_bytes()]).0)
    }

    fn step(name: &mut Name, input: Input) -> Vec<Output> {
        let mut out = Outbox::new();
        name.step(&TICK, input, &mut out).unwrap();
        if let Some(record) = out.records().next() {
            assert_eq!(Name::restore(TALK, name.place, name.id, record).unwrap(), *name);
        }
        out.effects().copied().collect()
    }

    /// [R-11] Where each reply of a set leads, told in any order.
    #[test]
    fn orphans_are_adopted_when_what_they_name_comes_in_every_order() {
        let events =
            [Input::Is(Of { seq: 3, message: id(1) }), Input::NamedBy(2), Input::NamedBy(4), Input::NamedBy(5)];
        let expected = BTreeMap::from([(2, None), (4, Some(id(1))), (5, Some(id(1)))]);
        let mut orders = 0;
        for n in 0..24_usize {
            let mut left = events.to_vec();
            let mut rest = n;
            let order: Vec<Input> = (1..=4)
                .rev()
                .map(|of| {
                    let next = left.remove(rest % of);
                    rest /= of;
                    next
                })
                .collect();
            let mut name = Name::new(TALK, 3, id(1));
            let mut led = BTreeMap::new();
            for input in order.iter().chain(&order) {
                for output in step(&mut name, *input) {
                    match output {
                        Output::Leads { from, to } => _ = led.insert(from, Some(to)),
                        Output::Backwards(from) => _ = led.insert(from, None),
                        Output::Waits(_) => {}
                    }
                }
            }
            assert_eq!(led, expected, "{order:?}");
            assert_eq!(name.waiting(), 0);
            orders += 1;
        }
        assert_eq!(orders, 24);
    }

    /// [R-11], attack 58: ids that name each other in a ring lead nowhere backwards, and a chain of a million is a million single steps.
    #[test]
    fn t_058_rings_of_replies_are_cut_and_long_chains_cost_a_step_each() {
        let mut ring: Vec<Name> = (0..3).map(|n| Name::new(TALK, n + 1, id(n))).collect();
        let mut led = Vec::new();
        for (place, named) in [(1, 1), (2, 2), (3, 0)] {
            led.extend(step(&mut ring[named], Input::NamedBy(place)));
        }
        for (seq, own) in [(1, 0), (2, 1), (3, 2)] {
            led.extend(step(&mut ring[own], Input::Is(Of { seq, message: id(own as u64) })));
        }
        // 1 names the version at 2, 2 the one at 3: they come later. 3 names the one at 1.
        led.retain(|output| !matches!(output, Output::Waits(_)));
        assert_eq!(led, [Output::Leads { from: 3, to: id(0) }, Output::Backwards(1), Output::Backwards(2)]);

        for place in 2..200_000_u64 {
            let mut name = Name::new(TALK, place - 1, id(place));
            step(&mut name, Input::Is(Of { seq: place - 1, message: id(place) }));
            assert_eq!(step(&mut name, Input::NamedBy(place)), [Output::Leads { from: place, to: id(place) }]);
        }
    }

    /// At the bound, one above, and far above; from either end.
    #[test]
    fn those_who_wait_are_bounded_and_the_first_of_them_are_kept() {
        let most = limits::WAITING as u64;
        for order in [(1..=100 * most).collect::<Vec<_>>(), (1..=3 * most).rev().collect()] {
            let mut name = Name::new(TALK, 1, id(0));
            for from in order {
                step(&mut name, Input::NamedBy(from));
                assert!(name.waiting() <= limits::WAITING);
            }
            assert_eq!(name.waiting, (1..=most).collect());
        }
    }
}
