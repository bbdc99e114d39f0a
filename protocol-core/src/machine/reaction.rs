//! What people think of one message, in a sign or two. A join: whatever order reactions and withdrawals come in, and how
//! often, the same ones make the same state.
//!
//! ```text
//!   of each person    reactions, the newest few      ─┐
//!                     withdrawals, the newest few     ├─▶ shown: reactions that aren't withdrawn, each sign once
//!                                                    ─┘
//! ```
//!
//! A withdrawal names one reaction, and may come before it. Only who reacted withdraws it: each person's are kept apart.
//! Which message a reaction is of, and whether that is gone, is the front door's to see. Spec: `spec/12-revisions.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::{Misuse, PeerFault, RestoreError};
use crate::id::{ContentId, ConversationId, Identity};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::Writer;
use crate::wire::record::{read, write};

#[cfg(test)]
mod tests;

/// A reaction, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its entry in the hub's log.
    pub seq: u64,
    /// Who said it, as the seal tells.
    pub author: Identity,
    /// What it says.
    pub what: What,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A reaction.
    Reaction {
        /// What its author calls it.
        id: ContentId,
        /// Which version of the message it is of.
        version: ContentId,
        /// The signs: short texts, mostly one emoji. A withdrawal takes back all of them.
        signs: BTreeSet<String>,
    },
    /// A reaction of the same author's is taken back.
    Withdrawal {
        /// Which.
        of: ContentId,
    },
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A person's sign is shown now.
    Added(Identity, String),
    /// It isn't any more.
    Withdrawn(Identity, String),
    /// The author of an event may not say it; nothing of it is kept.
    Refused(PeerFault),
}

/// The reactions to one message. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reactions {
    conversation: ConversationId,
    /// Where the message's first version lies, and what it is called.
    place: u64,
    message: ContentId,
    people: BTreeMap<Identity, Person>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Person {
    reactions: BTreeMap<ContentId, Reaction>,
    /// Each with the newest entry that said so.
    withdrawn: BTreeMap<ContentId, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reaction {
    /// The newest entry that said so.
    seq: u64,
    version: ContentId,
    signs: BTreeSet<String>,
}

impl Person {
    fn shown(&self) -> BTreeSet<&str> {
        let stands = self.reactions.iter().filter(|(id, _)| !self.withdrawn.contains_key(id));
        stands.flat_map(|(_, reaction)| reaction.signs.iter().map(String::as_str)).collect()
    }

    /// Keeps the newest: of what is dropped, something newer is kept in every order.
    fn settle(&mut self) {
        while self.reactions.len() > limits::REACTIONS {
            let oldest = self.reactions.iter().min_by_key(|(id, reaction)| (reaction.seq, **id)).map(|(id, _)| *id);
            oldest.and_then(|id| self.reactions.remove(&id));
        }
        while self.withdrawn.len() > limits::WITHDRAWALS {
            let oldest = self.withdrawn.iter().min_by_key(|(id, seq)| (**seq, **id)).map(|(id, _)| *id);
            oldest.and_then(|id| self.withdrawn.remove(&id));
        }
    }
}

impl Reactions {
    /// A message that nobody has reacted to.
    #[must_use]
    pub const fn new(conversation: ConversationId, place: u64, message: ContentId) -> Self {
        Self { conversation, place, message, people: BTreeMap::new() }
    }

    /// Who shows which sign: by person, each sign once.
    pub fn shown(&self) -> impl Iterator<Item = (Identity, &str)> {
        self.people.iter().flat_map(|(who, person)| person.shown().into_iter().map(|sign| (*who, sign)))
    }

    /// A person's reactions with this sign that stand: what a withdrawal names, and of which version each is.
    pub fn by(&self, who: Identity, sign: &str) -> impl Iterator<Item = (ContentId, ContentId)> {
        let person = self.people.get(&who).into_iter();
        person.flat_map(move |person| {
            let stands = person.reactions.iter().filter(|(id, _)| !person.withdrawn.contains_key(id));
            stands
                .filter(move |(_, reaction)| reaction.signs.contains(sign))
                .map(|(id, reaction)| (*id, reaction.version))
        })
    }

    /// The canonical bytes of what is shown, for the snapshot that all members have alike; `None` where nothing is.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let shown: Vec<_> = self.shown().collect();
        let mut w = Writer::default();
        w.list(shown.iter(), |w, (who, sign)| {
            w.array(2).bytes(&who.0).str(sign);
        });
        (!shown.is_empty()).then(|| w.into_bytes())
    }

    /// What is known of a person with this too; `None` where too many people are.
    fn decide(&self, heard: Heard) -> Result<Option<Person>, PeerFault> {
        let mut person = self.people.get(&heard.author).cloned().unwrap_or_default();
        match heard.what {
            What::Reaction { id, version, signs } => {
                let (got, max) = (signs.len() as u64, limits::SIGNS as u64);
                if signs.is_empty() || got > max {
                    return Err(PeerFault::TooBig { what: "signs of a reaction", got, max });
                }
                for sign in &signs {
                    let (got, max) = (sign.len() as u64, limits::SIGN_BYTES as u64);
                    if sign.is_empty() || got > max {
                        return Err(PeerFault::TooBig { what: "bytes of a sign", got, max });
                    }
                }
                let came = Reaction { seq: heard.seq, version, signs };
                let known = person.reactions.entry(id).or_insert_with(|| came.clone());
                known.seq = known.seq.max(came.seq);
            }
            What::Withdrawal { of } => {
                let seq = person.withdrawn.entry(of).or_default();
                *seq = heard.seq.max(*seq);
            }
        }
        person.settle();
        // Of too many, those of the smallest identities are kept: the same ones in every order.
        let room = self.people.len() < limits::REACTORS || self.people.contains_key(&heard.author);
        let smaller = || self.people.last_key_value().is_some_and(|(last, _)| heard.author < *last);
        Ok((room || smaller()).then_some(person))
    }

    fn apply(&mut self, who: Identity, person: Person, out: &mut Outbox<Output>) {
        let before = self.people.insert(who, person.clone());
        if before.as_ref() == Some(&person) {
            return;
        }
        while self.people.len() > limits::REACTORS {
            self.people.pop_last();
        }
        out.save(self.record());
        let (before, after) = (before.unwrap_or_default(), person);
        let (before, after) = (before.shown(), after.shown());
        before.difference(&after).for_each(|sign| out.emit(Output::Withdrawn(who, (*sign).to_owned())));
        after.difference(&before).for_each(|sign| out.emit(Output::Added(who, (*sign).to_owned())));
    }

    fn record(&self) -> Record {
        write(Key::Reactions(self.conversation, self.place, self.message), 1, |w| {
            w.list(self.people.iter(), |w, (who, person)| {
                w.array(3).bytes(&who.0);
                w.list(person.reactions.iter(), |w, (id, reaction)| {
                    w.array(4).bytes(&id.0).u64(reaction.seq).bytes(&reaction.version.0);
                    w.list(reaction.signs.iter(), |w, sign| _ = w.str(sign));
                });
                w.list(person.withdrawn.iter(), |w, (id, seq)| {
                    w.array(2).bytes(&id.0).u64(*seq);
                });
            });
        })
    }

    /// The reactions of a record.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(
        conversation: ConversationId,
        place: u64,
        message: ContentId,
        record: &Record,
    ) -> Result<Self, RestoreError> {
        let people = read(record, |r| {
            r.list(limits::REACTORS as u64, |r| {
                r.array_of(3)?;
                let who = Identity(r.fixed()?);
                let reactions = r.list(limits::REACTIONS as u64, |r| {
                    r.array_of(4)?;
                    let (id, seq) = (ContentId(r.fixed()?), r.u64()?);
                    let version = ContentId(r.fixed()?);
                    let signs = r.list(limits::SIGNS as u64, |r| r.str().map(str::to_owned))?.into_iter().collect();
                    Ok((id, Reaction { seq, version, signs }))
                })?;
                let withdrawn = r.list(limits::WITHDRAWALS as u64, |r| {
                    r.array_of(2)?;
                    Ok((ContentId(r.fixed()?), r.u64()?))
                })?;
                let (reactions, withdrawn) = (reactions.into_iter().collect(), withdrawn.into_iter().collect());
                Ok((who, Person { reactions, withdrawn }))
            })
        })?;
        Ok(Self { conversation, place, message, people: people.into_iter().collect() })
    }
}

impl Machine for Reactions {
    type Input = Heard;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, _: &Tick, heard: Heard, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let who = heard.author;
        match self.decide(heard) {
            Ok(Some(person)) => self.apply(who, person, out),
            Ok(None) => {}
            Err(fault) => out.emit(Output::Refused(fault)),
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}
