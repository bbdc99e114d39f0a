//! A conversation, as the device keeps it: how far its log was taken, and how far what was said has come.
//!
//! ```text
//!   log      1 2 3 4 5 6 7 8 9          chain: H over all up to seq, made here from what came
//!            ───────────────▲ seq
//!            ─────────▲ signed          by the hub, and equal to the chain
//!            ───────▲ delivered         at the other's node
//! ```
//!
//! How far it was read, and by whom, [`Marks`](crate::machine::mark::Marks) know.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::RestoreError;
use crate::id::{Address, ConversationId, DeviceKey, Hash};
use crate::limits;
use crate::machine::mark::Mark;
use crate::machine::policy::Agreed;
use crate::seal::mls::{KnownHead, Package};
use crate::store::{Key, Record};
use crate::time::{HOUR, Millis};
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::control::Policy;
use crate::wire::log;
use crate::wire::memo::Choice;
use crate::wire::record::{read, write};
use crate::wire::talk::{Event, Head};

use super::history::Sharing;

/// Most entries that are to be applied out of turn: those of a history, or all that wait for names of one.
const OUT_OF_TURN: u64 = (limits::HISTORY_EVENTS * (limits::WAITING + 1)) as u64;
/// Most marks that are still to be said: what each of three says at once.
const UNMARKED: usize = 3 * limits::MARKED as usize;

/// With whom the conversation of a record is, where it is one of a conversation.
#[must_use]
pub fn with(record: &Record) -> Option<Vec<Address>> {
    let Key::Talk(id) = record.key else { return None };
    Some(vec![Talk::restore(id, record).ok()?.with])
}

/// What the device knows of a direct conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) id: ConversationId,
    /// The other.
    pub(super) with: Address,
    /// The handshake of their line: it binds the group.
    pub(super) t2: Hash,
    /// Whether our node is the hub.
    pub(super) ours: bool,
    /// The last entry of the log that was taken.
    pub(super) seq: u64,
    /// The log's chain up to it; `None` where an entry of our own was lost, until the hub's next head.
    pub(super) chain: Option<Hash>,
    /// The log's epoch: how many changes it has, whatever became of them.
    pub(super) epoch: u64,
    /// From which entry on this device can read; `None`: it can't.
    pub(super) joined: Option<u64>,
    /// The newest head that the hub signed, and that is ours too. Not kept: the hub says it again.
    pub(super) signed: Option<KnownHead>,
    /// Up to where the hub has signed. This and the next ride along, so that a restart says few marks again.
    pub(super) sent: u64,
    /// Up to where the other's node has everything that is here.
    pub(super) delivered: u64,
    /// The newest entry in which the other said something that people see.
    pub(super) heard: u64,
    /// What the conversation has agreed on about telling what one has read.
    pub(super) agreed: Agreed,
    /// Whether somebody came in since that was said last, and so may know nothing of it.
    pub(super) newcomers: bool,
    /// What the person chose about it here; `None`: as everywhere.
    pub(super) tells: Option<bool>,
    /// When they chose that.
    pub(super) tells_at: Millis,
    /// Whether the person's other devices have still to hear what they read or chose here.
    pub(super) untold: bool,
    /// The epoch and the generation of the newest message of each device that was opened.
    pub(super) opened: BTreeMap<DeviceKey, (u64, u32)>,
    /// Entries that didn't open, and may come again: the newest.
    pub(super) unopened: BTreeSet<u64>,
    /// The last entry that changed the members: that everybody can follow, or come in by.
    pub(super) change: u64,
    /// The group's epoch after it; 0 where there was none.
    pub(super) state: u64,
    /// By which lists, the person's own and the other's, the members were found to be whole.
    pub(super) listed: (u64, u64),
    /// When this device last renewed its keys here.
    pub(super) renewed: Millis,
    /// Whether the hub was caught showing two logs: nothing more is sealed.
    pub(super) broken: bool,
    /// Marks that are to be said of entries that weren't at hand. Kept, since how far they come is kept, too.
    pub(super) unmarked: BTreeSet<(u64, Mark)>,
    /// Up to which entry what was opened is applied.
    pub(super) applied: u64,
    /// Up to which entry the places of messages are in pages.
    pub(super) paged: u64,
    /// Entries that came out of turn, and are to be applied.
    pub(super) late: BTreeSet<u64>,
    /// Entries that are to be applied again: what they name has come.
    pub(super) adopted: BTreeSet<u64>,
    /// The greatest number that this device has posted under here, of those that are settled: of the others the drafts'
    /// records have it.
    pub(super) posted: u64,
}

impl Talk {
    pub(super) fn new(id: ConversationId, with: Address, t2: Hash, ours: bool) -> Self {
        Self {
            id,
            with,
            t2,
            ours,
            seq: 0,
            chain: Some(log::root(id)),
            epoch: 0,
            joined: None,
            signed: None,
            sent: 0,
            delivered: 0,
            heard: 0,
            agreed: Agreed::default(),
            newcomers: false,
            tells: None,
            tells_at: Millis(0),
            untold: false,
            opened: BTreeMap::new(),
            unopened: BTreeSet::new(),
            change: 0,
            state: 0,
            listed: (0, 0),
            renewed: Millis(0),
            broken: false,
            unmarked: BTreeSet::new(),
            applied: 0,
            paged: 0,
            late: BTreeSet::new(),
            adopted: BTreeSet::new(),
            posted: 0,
        }
    }

    /// What the person chose about telling what they read here.
    pub(super) fn choice(&self) -> Option<Choice> {
        self.tells.map(|tells| Choice { at: self.tells_at, tells })
    }

    /// Whether nothing in the log made a group, as far as there is one: whoever has something to say may make it.
    pub(super) const fn is_groupless(&self) -> bool {
        self.seq == 0 || (self.change == 0 && self.state == 0)
    }

    /// Notes that a message of a device was opened; gives whether it is a new one.
    ///
    /// The group's own memory of that lags behind a crash; this is stored with the entry itself (attack 61). A device
    /// seals and posts in one order, and a hub takes its posts in no other.
    pub(super) fn is_new(&mut self, dk: DeviceKey, epoch: u64, generation: u32, now: u64) -> bool {
        // What is of an older epoch than this has no keys left.
        self.opened.retain(|_, (epoch, _)| epoch.saturating_add(limits::OLD_EPOCHS as u64) >= now);
        if self.opened.get(&dk).is_some_and(|newest| (epoch, generation) <= *newest) {
            return false;
        }
        if self.opened.len() < limits::LEAVES {
            self.opened.insert(dk, (epoch, generation));
        }
        true
    }

    /// Notes that a mark is to be said of an entry. Of too many the oldest goes: the next mark of it says more.
    pub(super) fn mark_later(&mut self, seq: u64, mark: Mark) {
        self.unmarked.insert((seq, mark));
        if self.unmarked.len() > UNMARKED {
            self.unmarked.pop_first();
        }
    }

    /// Notes an entry that didn't open. The oldest of too many is given up: it was reported.
    pub(super) fn not_opened(&mut self, seq: u64) {
        self.unopened.insert(seq);
        if self.unopened.len() > limits::UNOPENED {
            self.unopened.pop_first();
        }
    }

    pub(super) fn record(&self) -> Record {
        write(Key::Talk(self.id), 30, |w| {
            w.address(&self.with).bytes(&self.t2.0).bool(self.ours).u64(self.seq);
            w.maybe(self.chain, |w, hash| w.bytes(&hash.0)).u64(self.epoch);
            w.maybe(self.joined, |w, seq| w.u64(seq));
            w.u64(self.sent).u64(self.delivered).u64(self.heard);
            w.u64(self.agreed.policy as u64).maybe(self.tells, Writer::bool);
            w.list(self.unopened.iter(), |w, seq| _ = w.u64(*seq));
            w.u64(self.change).u64(self.listed.0).u64(self.listed.1).millis(self.renewed).bool(self.broken);
            w.list(self.opened.iter(), |w, (dk, (epoch, generation))| {
                w.array(3).bytes(&dk.0).u64(*epoch).u64((*generation).into());
            });
            w.u64(self.state);
            w.list(self.unmarked.iter(), |w, (seq, mark)| {
                w.array(2).u64(*seq).u64(*mark as u64);
            });
            w.u64(self.posted).u64(self.applied).u64(self.paged);
            w.list(self.late.iter(), |w, seq| _ = w.u64(*seq));
            w.list(self.adopted.iter(), |w, seq| _ = w.u64(*seq));
            w.millis(self.tells_at).bool(self.untold).u64(self.agreed.seq).bool(self.newcomers);
        })
    }

    pub(super) fn restore(id: ConversationId, record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let (with, t2, ours, seq) = (r.address()?, Hash(r.fixed()?), r.bool()?, r.u64()?);
            let hash = |r: &mut Reader<'_>| r.maybe(|r| r.fixed().map(Hash));
            let (chain, epoch, joined) = (hash(r)?, r.u64()?, r.maybe(Reader::u64)?);
            let (sent, delivered, heard) = (r.u64()?, r.u64()?, r.u64()?);
            let (policy, tells) = (Policy::of(r.u64()?)?, r.maybe(Reader::bool)?);
            let unopened = r.list(limits::UNOPENED as u64, Reader::u64)?.into_iter().collect();
            let (change, listed) = (r.u64()?, (r.u64()?, r.u64()?));
            let (renewed, broken) = (r.millis()?, r.bool()?);
            let opened = r.list(limits::LEAVES as u64, |r| {
                r.array_of(3)?;
                let (dk, epoch) = (DeviceKey(r.fixed()?), r.u64()?);
                let generation = u32::try_from(r.u64()?).map_err(|_| Malformed("a generation"))?;
                Ok((dk, (epoch, generation)))
            })?;
            let opened = opened.into_iter().collect();
            let state = r.u64()?;
            let unmarked = |r: &mut Reader<'_>| {
                r.array_of(2)?;
                Ok((r.u64()?, mark_of(r.u64()?)?))
            };
            let unmarked = r.list(UNMARKED as u64, unmarked)?.into_iter().collect();
            let (posted, applied, paged) = (r.u64()?, r.u64()?, r.u64()?);
            let out_of_turn =
                |r: &mut Reader<'_>| r.list(OUT_OF_TURN, Reader::u64).map(|seqs| seqs.into_iter().collect());
            let (late, adopted) = (out_of_turn(r)?, out_of_turn(r)?);
            // Records of before memos say nothing of them.
            let (tells_at, untold) = if r.end().is_ok() { (Millis(0), false) } else { (r.millis()?, r.bool()?) };
            let agreed = Agreed { policy, seq: if r.end().is_ok() { 0 } else { r.u64()? } };
            let newcomers = if r.end().is_ok() { false } else { r.bool()? };
            Ok(Self {
                id,
                with,
                t2,
                ours,
                seq,
                chain,
                epoch,
                joined,
                signed: None,
                sent,
                delivered,
                heard,
                agreed,
                newcomers,
                tells,
                tells_at,
                untold,
                opened,
                unopened,
                change,
                state,
                listed,
                renewed,
                broken,
                unmarked,
                applied,
                paged,
                late,
                adopted,
                posted,
            })
        })
    }
}

const fn mark_of(number: u64) -> Result<Mark, Malformed> {
    match number {
        0 => Ok(Mark::Queued),
        1 => Ok(Mark::Sent),
        2 => Ok(Mark::Delivered),
        3 => Ok(Mark::Read),
        _ => Err(Malformed("a mark")),
    }
}

/// An entry that waits for device lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) seq: u64,
    /// Whose they are.
    pub(super) whose: Address,
    pub(super) since: Millis,
    /// Whether their node has said, a good while on, that there are no newer ones.
    pub(super) in_vain: bool,
}

/// What of a conversation a crash forgets.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Entries that came before their turn.
    pub(super) ahead: BTreeMap<u64, Event>,
    /// Up to which entry was asked for again, on this session.
    pub(super) asked_to: u64,
    /// What the log hashed to at its newest entries.
    pub(super) hashes: BTreeMap<u64, Hash>,
    /// A signed head of entries that haven't come yet.
    pub(super) later: Option<Head>,
    /// The public state after the newest change of members, while this device is outside.
    pub(super) info: Option<Vec<u8>>,
    /// Since when this device is outside.
    pub(super) outside: Option<Millis>,
    /// Key packages that are being gathered for a change of members.
    pub(super) gathering: Option<Gathering>,
    /// From when on a change of members may be made by this device.
    pub(super) change_at: Option<Millis>,
    /// In which epoch the hub last said that a change of ours came too late.
    pub(super) stale: Option<u64>,
    /// Whether the log waits for device lists.
    pub(super) waits: bool,
    /// What of it waits for them.
    pub(super) waited: Option<Waited>,
    /// Entries of ours that a device couldn't open.
    pub(super) repairs: BTreeSet<(u64, Address, DeviceKey)>,
    /// What is being told to a newer device of the person.
    pub(super) sharing: Option<Sharing>,
    /// Until when nothing is posted, since a node on the way doesn't know this device's list yet, and how often it was so.
    pub(super) unlisted: Option<(Millis, u32)>,
    /// How often each device asked to hear something again, and since when.
    pub(super) asked: BTreeMap<DeviceKey, Rate>,
    /// How often we asked.
    pub(super) asking: Rate,
}

/// How often something happened within the running hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    since: Millis,
    count: u32,
}

impl Rate {
    /// Whether it may happen once more.
    pub(super) fn take(&mut self, now: Millis, most: u32) -> bool {
        if now.since(self.since) >= HOUR {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= most
    }
}

/// Key packages on their way.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// The questions that are open, and whose packages each asks for.
    pub(super) asks: BTreeMap<u64, Address>,
    /// What came.
    pub(super) packages: Vec<Package>,
}

impl Live {
    /// Whether nothing is under way: what is remembered is of use, and can be done without.
    pub(super) fn is_idle(&self) -> bool {
        self.ahead.is_empty()
            && self.gathering.is_none()
            && self.repairs.is_empty()
            && self.later.is_none()
            && self.change_at.is_none()
            && self.outside.is_none()
            && self.sharing.is_none()
            && self.unlisted.is_none()
            && !self.waits
            && self.waited.is_none()
            // How often somebody asked is not forgotten so easily.
            && self.asked.is_empty()
            && self.asking == Rate::default()
    }

    /// Notes what the log hashes to at an entry.
    pub(super) fn note(&mut self, seq: u64, hash: Hash) {
        self.hashes.insert(seq, hash);
        if self.hashes.len() > limits::CHAIN_HASHES {
            self.hashes.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_restores_to_what_it_was_written_of() {
        let with = Address::parse("ben@b.example").unwrap();
        let new = Talk::new(ConversationId([1; 32]), with, Hash([2; 32]), true);
        let unmarked = [Mark::Queued, Mark::Sent, Mark::Delivered, Mark::Read].map(|mark| (mark as u64, mark)).into();
        let mut talk = Talk { seq: 7, state: 2, posted: 300, heard: 6, unmarked, ..new.clone() };
        for talk in [new, talk.clone()] {
            assert_eq!(Talk::restore(talk.id, &talk.record()), Ok(talk));
        }
        for policy in [Policy::Required, Policy::Optional, Policy::Forbidden] {
            for tells in [None, Some(true), Some(false)] {
                (talk.agreed, talk.tells) = (Agreed { policy, seq: 3 }, tells);
                assert_eq!(Talk::restore(talk.id, &talk.record()), Ok(talk.clone()));
            }
        }
    }
}
