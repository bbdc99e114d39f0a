//! What became of one message: its versions, and whether it was taken back. A join: whatever order events come in, and how
//! often, the same events make the same state.
//!
//! ```text
//!              nothing ──edit, retract of whoever──▶ waits: kept by who says so, never shown
//!                 │                                    │
//!               first                                first
//!                 ▼                                    ▼
//!               words ◀──edit of the author's── (others' are let go of)
//!                 │   highest edit_no, then highest id
//!       retract of the author's, removal, expiry
//!                 ▼
//!               gone: absorbs everything; no words are kept, and none come back
//! ```
//!
//! Words are not here: an entry brings them, and the machine says of which entries they are to be kept, and of which
//! forgotten. **Who** said something the seal tells; whether somebody may remove what another said is the front door's to
//! judge, by the conversation's roles. No clock of an author's counts: an edit is too late by the hub's order alone
//! (attack 41).
//!
//! Everything is kept by what it says itself, never by when it came: of each author the highest edits, the best retract; of
//! authors who speak of a message that nobody has seen, those of the smallest identity. Spec: `spec/12-revisions.md`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::canary::{self, Canary};
use crate::fault::{Misuse, PeerFault, RestoreError};
use crate::id::{ContentId, ConversationId, Hash, Identity};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::record::{read, write};

#[cfg(test)]
mod tests;

/// How well something was protected on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protection {
    /// A plain mail.
    Mail = 0,
    /// A mail over a line.
    Express = 1,
    /// Sealed by a device.
    Sealed = 2,
}

/// Something that was said about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What its author calls it.
    pub id: ContentId,
    /// Its entry in the hub's log; of what was said again, the entry of the first time.
    pub seq: u64,
    /// Who said it, as the seal tells.
    pub author: Identity,
    /// When, as the author says: for display alone.
    pub at: Millis,
    /// How well it was protected.
    pub protection: Protection,
    /// What it says.
    pub what: What,
}

/// What is said about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The message itself. Its id is the machine's.
    First {
        /// Hash of all in it that no edit may change: thread, reply, expiry (attack 56).
        fixed: Hash,
    },
    /// Other words for it.
    Edit {
        /// Which edit it is, from 1.
        no: u32,
        /// As in the first.
        fixed: Hash,
    },
    /// Its author takes it back.
    Retract,
    /// Somebody who may has removed it.
    Removal,
    /// Its time is over, as this device finds: nobody says so, and all find it sooner or later.
    Expiry,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The words that this entry brought are to be kept.
    Keep(u64),
    /// The words that this entry brought are to be forgotten: nothing may give them any more (attack 55).
    Forget(u64),
    /// What people see of the message is now this.
    Shown(View),
    /// The author of an event may not say it; nothing of it is kept.
    Refused(PeerFault),
}

/// What people see of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Nothing: the message itself hasn't come.
    Awaited,
    /// The words of a version.
    Words(Version),
    /// Its author has taken it back.
    Retracted,
    /// Somebody has removed it.
    Removed {
        /// Who.
        by: Identity,
    },
    /// Its time is over.
    Expired,
}

/// One version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id: what replies and reactions name.
    pub id: ContentId,
    /// 0 for the first, else the edit's number.
    pub no: u32,
    /// The entry that has its words.
    pub seq: u64,
    /// When it was said, as its author says.
    pub at: Millis,
}

/// The message itself, without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Its place in the log: what orders it, and what no clock can change.
    pub seq: u64,
    /// Who said it.
    pub author: Identity,
    /// When, as the author says.
    pub at: Millis,
    /// How well it was protected: what changes it must not be less so (attack 49).
    pub protection: Protection,
    fixed: Hash,
}

/// What became of one message. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revisions {
    conversation: ConversationId,
    place: u64,
    id: ContentId,
    first: Option<First>,
    /// By who says so; once the first is here, its author's alone.
    claims: BTreeMap<Identity, Claims>,
    /// The first in the log's order.
    removed: Option<(u64, ContentId, Identity)>,
    expired: bool,
}

/// What one person says about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    edits: BTreeMap<(u32, ContentId), Edit>,
    /// The best protected, and of those the first in the log's order.
    retract: Option<Retract>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    seq: u64,
    at: Millis,
    protection: Protection,
    fixed: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retract {
    protection: Protection,
    seq: u64,
    id: ContentId,
}

impl Revisions {
    /// A message of which nothing is known but where it lies, and what it is called.
    #[must_use]
    pub const fn new(conversation: ConversationId, place: u64, id: ContentId) -> Self {
        Self { conversation, place, id, first: None, claims: BTreeMap::new(), removed: None, expired: false }
    }

    /// The message itself, once it has come.
    #[must_use]
    pub const fn first(&self) -> Option<&First> {
        self.first.as_ref()
    }

    /// What people see of it.
    #[must_use]
    pub fn view(&self) -> View {
        let Some(first) = &self.first else { return View::Awaited };
        if self.is_retracted() {
            return View::Retracted;
        }
        if let Some((.., by)) = self.removed {
            return View::Removed { by };
        }
        if self.expired {
            return View::Expired;
        }
        let newest = self.edits().last();
        View::Words(newest.unwrap_or(Version { id: self.id, no: 0, seq: first.seq, at: first.at }))
    }

    /// Its versions, the first one first: what an export tells. None of what is gone.
    #[must_use]
    pub fn history(&self) -> Vec<Version> {
        let first = self.first.filter(|_| !self.is_gone());
        let first = first.map(|first| Version { id: self.id, no: 0, seq: first.seq, at: first.at });
        first.into_iter().chain(self.edits()).collect()
    }

    /// The edits that count, in order.
    fn edits(&self) -> impl Iterator<Item = Version> {
        let anyone = canary::is_on(Canary::AnyoneRevises);
        let theirs = self.first.as_ref().into_iter().flat_map(move |first| {
            let counts = move |(author, _): &(&Identity, &Claims)| anyone || **author == first.author;
            self.claims.iter().filter(counts).map(move |(_, claims)| (first, claims))
        });
        theirs.flat_map(|(first, claims)| {
            let counts = |edit: &Edit| edit_fault(first, edit).is_none();
            claims.edits.iter().filter(move |(_, edit)| counts(edit)).map(|((no, id), edit)| Version {
                id: *id,
                no: *no,
                seq: edit.seq,
                at: edit.at,
            })
        })
    }

    fn is_retracted(&self) -> bool {
        if canary::is_on(Canary::EditAfterRetract) && self.edits().next().is_some() {
            return false;
        }
        self.first.as_ref().is_some_and(|first| {
            let retract = self.claims.get(&first.author).and_then(|claims| claims.retract);
            retract.is_some_and(|retract| retract.protection >= first.protection)
        })
    }

    fn is_gone(&self) -> bool {
        self.removed.is_some() || self.expired || self.is_retracted()
    }

    /// The entries whose words are kept.
    #[must_use]
    pub fn words(&self) -> BTreeSet<u64> {
        let counts = |edit: &&Edit| self.first.as_ref().is_none_or(|first| edit_fault(first, edit).is_none());
        let edits = self.claims.values().flat_map(|claims| claims.edits.values()).filter(counts).map(|edit| edit.seq);
        edits.chain(self.first.iter().filter(|_| !self.is_gone()).map(|first| first.seq)).collect()
    }

    /// The canonical bytes of what is shown, for the snapshot that all members have alike; `None` before the first is here.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let first = self.first?;
        let mut w = Writer::array_of(7);
        w.bytes(&self.id.0).u64(first.seq).bytes(&first.author.0).u64(first.protection as u64).bytes(&first.fixed.0);
        w.list(self.edits().collect::<Vec<_>>().into_iter(), |w, edit| {
            w.array(3).u64(edit.no.into()).bytes(&edit.id.0).u64(edit.seq);
        });
        match self.view() {
            View::Awaited | View::Words(_) => w.null(),
            View::Retracted => w.bytes(&first.author.0),
            View::Removed { by } => w.bytes(&by.0),
            View::Expired => w.bool(true),
        };
        Some(w.into_bytes())
    }

    /// What is known with this event too, and what is wrong with it. What its author may say but doesn't count is known
    /// too: whether it counts must not depend on what came before it.
    fn decide(&self, heard: &Heard) -> Result<(Self, Option<PeerFault>), PeerFault> {
        let Heard { id, seq, author, at, protection, .. } = *heard;
        let mut next = self.clone();
        let mut fault = None;
        match heard.what {
            What::First { fixed } if id == self.id => {
                let came = First { seq, author, at, protection, fixed };
                // The same said twice has its earlier place.
                let earlier = |known: &First| (came.seq, came.author) < (known.seq, known.author);
                if self.first.as_ref().is_none_or(earlier) {
                    next.first = Some(came);
                }
            }
            What::First { .. } => return Err(PeerFault::Event("a first of another message")),
            What::Edit { no, fixed } => {
                if no == 0 || no > limits::EDIT_NO {
                    return Err(PeerFault::TooBig { what: "edit number", got: no.into(), max: limits::EDIT_NO.into() });
                }
                let edit = Edit { seq, at, protection, fixed };
                fault = self.first.as_ref().and_then(|first| edit_fault(first, &edit));
                let edits = &mut next.claims_of(author)?.edits;
                let known = edits.entry((no, id)).or_insert(edit);
                if seq < known.seq {
                    *known = edit;
                }
            }
            What::Retract => {
                let weaker = self.first.as_ref().is_some_and(|first| protection < first.protection);
                fault = weaker.then_some(PeerFault::Event("a retract less protected than its message"));
                let claims = next.claims_of(author)?;
                let came = Retract { protection, seq, id };
                let rank = |retract: &Retract| (retract.protection, Reverse((retract.seq, retract.id)));
                if claims.retract.is_none_or(|known| rank(&came) > rank(&known)) {
                    claims.retract = Some(came);
                }
            }
            What::Removal => {
                let came = (seq, id, author);
                next.removed = Some(self.removed.map_or(came, |known| known.min(came)));
            }
            What::Expiry => next.expired = true,
        }
        next.settle();
        Ok((next, fault))
    }

    /// What somebody says of it, where they may: once the first is here, its author alone (attack 48).
    fn claims_of(&mut self, who: Identity) -> Result<&mut Claims, PeerFault> {
        match &self.first {
            Some(first) if first.author != who && !canary::is_on(Canary::AnyoneRevises) => {
                Err(PeerFault::Event("not the author's to change"))
            }
            Some(_) | None => Ok(self.claims.entry(who).or_default()),
        }
    }

    /// Lets go of what can't count any more, and of what is over a bound.
    fn settle(&mut self) {
        if let Some(first) = self.first.filter(|_| !canary::is_on(Canary::AnyoneRevises)) {
            self.claims.retain(|author, _| *author == first.author);
        }
        let gone = self.is_gone();
        for claims in self.claims.values_mut() {
            if gone && !canary::is_on(Canary::EditAfterRetract) {
                claims.edits.clear();
            }
            while claims.edits.len() > limits::EDITS {
                claims.edits.pop_first();
            }
        }
        while self.claims.len() > limits::CLAIMANTS {
            self.claims.pop_last();
        }
    }

    fn record(&self) -> Record {
        write(Key::Message(self.conversation, self.place, self.id), 4, |w| {
            w.maybe(self.first.as_ref(), |w, first| {
                w.array(5).u64(first.seq).bytes(&first.author.0).millis(first.at).u64(first.protection as u64);
                w.bytes(&first.fixed.0)
            });
            w.list(self.claims.iter(), |w, (author, claims)| {
                w.array(3).bytes(&author.0);
                w.maybe(claims.retract, |w, retract| {
                    w.array(3).u64(retract.protection as u64).u64(retract.seq).bytes(&retract.id.0)
                });
                w.list(claims.edits.iter(), |w, ((no, id), edit)| {
                    w.array(6).u64((*no).into()).bytes(&id.0).u64(edit.seq).millis(edit.at);
                    w.u64(edit.protection as u64).bytes(&edit.fixed.0);
                });
            });
            w.maybe(self.removed, |w, (seq, id, by)| w.array(3).u64(seq).bytes(&id.0).bytes(&by.0)).bool(self.expired);
        })
    }

    /// The message of a record.
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
            let first = r.maybe(|r| {
                r.array_of(5)?;
                let (seq, author, at) = (r.u64()?, Identity(r.fixed()?), r.millis()?);
                Ok(First { seq, author, at, protection: protection(r)?, fixed: Hash(r.fixed()?) })
            })?;
            let claims = r.list(limits::CLAIMANTS as u64, |r| {
                r.array_of(3)?;
                let author = Identity(r.fixed()?);
                let retract = r.maybe(|r| {
                    r.array_of(3)?;
                    Ok(Retract { protection: protection(r)?, seq: r.u64()?, id: ContentId(r.fixed()?) })
                })?;
                let edits = r.list(limits::EDITS as u64, |r| {
                    r.array_of(6)?;
                    let no = u32::try_from(r.u64()?).map_err(|_| Malformed("the number of an edit"))?;
                    let (id, seq, at) = (ContentId(r.fixed()?), r.u64()?, r.millis()?);
                    Ok(((no, id), Edit { seq, at, protection: protection(r)?, fixed: Hash(r.fixed()?) }))
                })?;
                Ok((author, Claims { edits: edits.into_iter().collect(), retract }))
            })?;
            let removed = r.maybe(|r| {
                r.array_of(3)?;
                Ok((r.u64()?, ContentId(r.fixed()?), Identity(r.fixed()?)))
            })?;
            let expired = r.bool()?;
            Ok(Self { conversation, place, id, first, claims: claims.into_iter().collect(), removed, expired })
        })
    }
}

fn protection(r: &mut Reader<'_>) -> Result<Protection, Malformed> {
    match r.u64()? {
        0 => Ok(Protection::Mail),
        1 => Ok(Protection::Express),
        2 => Ok(Protection::Sealed),
        _ => Err(Malformed("a protection")),
    }
}

/// Why an edit of the author's doesn't count.
fn edit_fault(first: &First, edit: &Edit) -> Option<PeerFault> {
    let late = edit.seq.saturating_sub(first.seq);
    if edit.protection < first.protection {
        Some(PeerFault::Event("an edit less protected than its message"))
    } else if edit.fixed != first.fixed {
        Some(PeerFault::Event("an edit of more than the words"))
    } else if late > limits::EDIT_SPAN {
        Some(PeerFault::TooBig { what: "entries between a message and its edit", got: late, max: limits::EDIT_SPAN })
    } else {
        None
    }
}

impl Machine for Revisions {
    type Input = Heard;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, _: &Tick, heard: Heard, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let fault = match self.decide(&heard) {
            Ok((next, fault)) => {
                self.apply(next, out);
                fault
            }
            Err(fault) => Some(fault),
        };
        fault.into_iter().for_each(|fault| out.emit(Output::Refused(fault)));
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}

impl Revisions {
    fn apply(&mut self, next: Self, out: &mut Outbox<Output>) {
        if next == *self {
            return;
        }
        let (before, after) = (self.words(), next.words());
        out.save(next.record());
        after.difference(&before).for_each(|seq| out.emit(Output::Keep(*seq)));
        before.difference(&after).for_each(|seq| out.emit(Output::Forget(*seq)));
        if next.view() != self.view() {
            out.emit(Output::Shown(next.view()));
        }
        *self = next;
    }
}
