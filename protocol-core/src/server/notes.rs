//! Notes between the devices of one person: sealed, opaque to the node, kept until each has its own.
//!
//! ```text
//!   device ──Publish(Note)──▶ Key::Note, Key::Notes ──Publish(Note)──▶ the others, as they come ──Published──▶ gone
//! ```
//!
//! What nobody comes for goes after [`NOTE_MS`](limits::NOTE_MS). Joining, backup and verification use it.
//!
//! A device that is on no list must be able to ask to join, and whoever has a mailbox's password may enrol one: what such
//! devices leave takes no room from the others, and nothing waits for them but what is for them by name (attack 84).
//!
//! *Memos* are notes of which the newest of each drawer and device is enough ([U-17]): it takes the place of the one before, so
//! whoever is away for long finds few. They take no room from other notes, and a device is told one at a time.

use std::collections::BTreeMap;

use super::Server;
use super::io::Output;
use super::sessions::Online;
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, DeviceKey, SessionId};
use crate::limits;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::Reader;
use crate::wire::memo::{Drawer, drawer_of_note};
use crate::wire::record::{read, write};
use crate::wire::talk::{Publication, Talk};

/// The notes that wait for devices of an address: [`Key::Notes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The number of the last one.
    last: u64,
    waiting: BTreeMap<u64, Waits>,
}

/// A note, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waits {
    to: Option<DeviceKey>,
    until: Millis,
    /// The devices that have still to take it.
    whom: Vec<DeviceKey>,
    /// Whose it is, where that device was on no list.
    unlisted: Option<DeviceKey>,
    /// Whose memo it is, of which drawer.
    memo: Option<(DeviceKey, Drawer)>,
}

impl Notes {
    fn record(&self, address: &Address) -> Record {
        write(Key::Notes(address.clone()), 2, |w| {
            w.u64(self.last).list(self.waiting.iter(), |w, (number, note)| {
                w.array(6).u64(*number).maybe(note.to, |w, dk| w.bytes(&dk.0)).millis(note.until);
                w.list(note.whom.iter(), |w, dk| _ = w.bytes(&dk.0));
                w.maybe(note.unlisted, |w, dk| w.bytes(&dk.0));
                w.maybe(note.memo, |w, (dk, drawer)| w.array(2).bytes(&dk.0).u64(drawer.number().into()));
            });
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let last = r.u64()?;
            let waiting = r.list((limits::NOTES + limits::DEVICES * limits::MEMO_DRAWERS) as u64, |r| {
                let items = r.array(6)?;
                let number = r.u64()?;
                let (to, until) = (r.maybe(|r| r.fixed().map(DeviceKey))?, r.millis()?);
                let whom = r.list(limits::DEVICES as u64, |r| r.fixed().map(DeviceKey))?;
                // Records of before it was kept say nothing of it.
                let unlisted = if items < 5 { None } else { r.maybe(|r| r.fixed().map(DeviceKey))? };
                let memo = |r: &mut Reader<'_>| {
                    r.array_of(2)?;
                    Ok((DeviceKey(r.fixed()?), Drawer::read(r)?))
                };
                let memo = if items < 6 { None } else { r.maybe(memo)? };
                Ok((number, Waits { to, until, whom, unlisted, memo }))
            })?;
            Ok(Self { last, waiting: waiting.into_iter().collect() })
        })
    }

    /// Which note goes where one of this device comes: of a device on no list its oldest of too many; where there is no
    /// room the oldest of any such device. `Err`: there is no room, and none to be made.
    fn makes_room(&self, unlisted: Option<DeviceKey>) -> Result<Option<u64>, PeerFault> {
        let of = |dk: DeviceKey| self.waiting.iter().filter(move |(_, note)| note.unlisted == Some(dk));
        if let Some(dk) = unlisted.filter(|dk| of(*dk).count() >= limits::NOTES_UNLISTED) {
            return Ok(of(dk).map(|(number, _)| *number).next());
        }
        let got = self.waiting.values().filter(|note| note.memo.is_none()).count();
        if got < limits::NOTES {
            return Ok(None);
        }
        let oldest = self.waiting.iter().find(|(_, note)| note.unlisted.is_some()).map(|(number, _)| *number);
        oldest.map(Some).ok_or(PeerFault::Full { got: got as u64, max: limits::NOTES as u64 })
    }

    /// The notes that wait for a device, memos not among them.
    fn of(&self, dk: DeviceKey) -> impl Iterator<Item = (u64, &Waits)> {
        self.all_of(dk).filter(|(_, note)| note.memo.is_none())
    }

    /// The memo that a device hears next, once it has taken that of this number.
    fn memo_of(&self, dk: DeviceKey, now: Millis, taken: u64) -> Option<u64> {
        let memos = self.all_of(dk).filter(|(_, note)| note.memo.is_some() && note.until > now);
        memos.map(|(number, _)| number).find(|number| *number != taken)
    }

    fn all_of(&self, dk: DeviceKey) -> impl Iterator<Item = (u64, &Waits)> {
        self.waiting.iter().filter(move |(_, note)| note.whom.contains(&dk)).map(|(number, note)| (*number, note))
    }

    /// The memos whose place another one takes, and those of devices that are gone.
    fn outdated(&self, new: Option<(DeviceKey, Drawer)>, is_here: impl Fn(DeviceKey) -> bool) -> Vec<u64> {
        let gone = |note: &Waits| note.memo.is_some_and(|memo| Some(memo) == new || !is_here(memo.0));
        self.waiting.iter().filter(|(_, note)| gone(note)).map(|(number, _)| *number).collect()
    }
}

fn note_record(address: &Address, number: u64, bytes: &[u8], until: Millis) -> Record {
    write(Key::Note(address.clone(), number), 1, |w| {
        w.bytes(bytes);
    })
    .until(until)
}

impl Server {
    pub(super) fn take_note(&mut self, of: (Address, u64), record: Option<&Record>) -> Result<(), RestoreError> {
        let read = |record| read(record, |r| r.bytes().map(<[u8]>::to_vec));
        let bytes = record.map(read).transpose()?;
        self.keys.note_bytes.insert(of, bytes);
        Ok(())
    }

    /// What it takes to bring a device its notes.
    pub(super) fn notes_want(&self, address: &Address, dk: DeviceKey) -> Vec<Key> {
        let Some(notes) = self.keys.notes.get(address) else { return vec![Key::Notes(address.clone())] };
        let numbers = notes.of(dk).map(|(number, _)| number).chain(notes.memo_of(dk, self.now, 0));
        let unread = numbers.filter(|number| !self.keys.note_bytes.contains_key(&(address.clone(), *number)));
        unread.map(|number| Key::Note(address.clone(), number)).collect()
    }

    /// What it takes to tell a device the memo that follows the note which it has taken.
    pub(super) fn next_memo_wants(&self, address: &Address, dk: DeviceKey, taken: u64) -> Option<Key> {
        let Some(notes) = self.keys.notes.get(address) else { return Some(Key::Notes(address.clone())) };
        let number = notes.memo_of(dk, self.now, taken)?;
        let unread = !self.keys.note_bytes.contains_key(&(address.clone(), number));
        unread.then(|| Key::Note(address.clone(), number))
    }

    /// A device leaves a note for the others.
    pub(super) fn note_published(
        &mut self,
        tick: &Tick,
        who: &Online,
        to: Option<DeviceKey>,
        bytes: Vec<u8>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        if bytes.len() > limits::NOTE_BYTES {
            let (got, max) = (bytes.len() as u64, limits::NOTE_BYTES as u64);
            return Err(PeerFault::TooBig { what: "note", got, max });
        }
        let known = self.keys.known.get(&who.address);
        let takes = |dk: &DeviceKey| to.map_or_else(|| known.is_some_and(|known| known.lists(*dk)), |to| to == *dk);
        let devices = known.map(|known| known.devices.iter()).into_iter().flatten().copied();
        let whom = devices.filter(|dk| *dk != who.dk && takes(dk)).collect::<Vec<_>>();
        if whom.is_empty() {
            // To a device that isn't here it would wait for nobody; to all others, where there are none, it is done.
            return if to.is_some() { Err(PeerFault::Login) } else { Ok(()) };
        }
        let is_here = |dk| known.is_some_and(|known| known.devices.contains(&dk));
        let drawer = drawer_of_note(&bytes).filter(|_| who.listed && to.is_none());
        let memo = drawer.map(|drawer| (who.dk, drawer));
        let notes = self.keys.notes.entry(who.address.clone()).or_default();
        notes.waiting.retain(|_, note| note.until > tick.now);
        let unlisted = Some(who.dk).filter(|_| !who.listed);
        let mut gone = notes.outdated(memo, is_here);
        if memo.is_none() {
            gone.extend(notes.makes_room(unlisted)?);
        }
        for gone in &gone {
            notes.waiting.remove(gone);
            out.save(Record::remove(Key::Note(who.address.clone(), *gone)));
        }
        notes.last += 1;
        let lasts = if memo.is_some() { limits::MEMO_MS } else { limits::NOTE_MS };
        let (number, until) = (notes.last, tick.now.plus(lasts));
        notes.waiting.insert(number, Waits { to, until, whom: whom.clone(), unlisted, memo });
        out.save(notes.record(&who.address));
        out.save(note_record(&who.address, number, &bytes, until));
        self.keys.note_bytes.extend(gone.into_iter().map(|gone| ((who.address.clone(), gone), None)));
        self.keys.note_bytes.insert((who.address.clone(), number), Some(bytes.clone()));
        for dk in whom {
            let Some(session) = self.session_of(dk) else { continue };
            if memo.is_some() {
                self.say_memo(tick, session, &who.address, dk, out);
            } else {
                let what = Publication::Note { to, bytes: bytes.clone() };
                self.say_to(session, Talk::Publish { number, what }, out);
            }
        }
        Ok(())
    }

    /// Tells a device the memo that is next, where it has taken the one before.
    fn say_memo(
        &mut self,
        tick: &Tick,
        session: SessionId,
        address: &Address,
        dk: DeviceKey,
        out: &mut Outbox<Output>,
    ) {
        if self.keys.memo_said.get(&dk).is_some_and(|(on, _)| *on == session) {
            return;
        }
        let Some(number) = self.keys.notes.get(address).and_then(|notes| notes.memo_of(dk, tick.now, 0)) else {
            return;
        };
        if let Some(Some(bytes)) = self.keys.note_bytes.get(&(address.clone(), number)).cloned() {
            self.keys.memo_said.insert(dk, (session, number));
            let what = Publication::Note { to: None, bytes };
            self.say_to(session, Talk::Publish { number, what }, out);
        }
    }

    /// A device is there: it gets the notes that wait for it.
    pub(super) fn notes_to(&mut self, tick: &Tick, session: SessionId, who: &Online, out: &mut Outbox<Output>) {
        let Some(notes) = self.keys.notes.get(&who.address) else { return };
        for (number, note) in notes.of(who.dk).filter(|(_, note)| note.until > tick.now) {
            let bytes = self.keys.note_bytes.get(&(who.address.clone(), number)).cloned().flatten();
            if let Some(bytes) = bytes {
                let what = Publication::Note { to: note.to, bytes };
                self.say_to(session, Talk::Publish { number, what }, out);
            }
        }
        self.say_memo(tick, session, &who.address, who.dk, out);
    }

    /// A device has taken a note.
    pub(super) fn note_taken(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        number: u64,
        out: &mut Outbox<Output>,
    ) {
        self.note_heard(who, number, out);
        // Another may have taken its place meanwhile: that one is next.
        if self.keys.memo_said.get(&who.dk) == Some(&(session, number)) {
            self.keys.memo_said.remove(&who.dk);
            self.say_memo(tick, session, &who.address, who.dk, out);
        }
    }

    fn note_heard(&mut self, who: &Online, number: u64, out: &mut Outbox<Output>) {
        let Some(notes) = self.keys.notes.get_mut(&who.address) else { return };
        let Some(note) = notes.waiting.get_mut(&number) else { return };
        let before = note.whom.len();
        note.whom.retain(|dk| *dk != who.dk);
        if note.whom.len() == before {
            return;
        }
        if note.whom.is_empty() {
            notes.waiting.remove(&number);
            self.keys.note_bytes.insert((who.address.clone(), number), None);
            out.save(Record::remove(Key::Note(who.address.clone(), number)));
        }
        out.save(notes.record(&who.address));
    }
}
