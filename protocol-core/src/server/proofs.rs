//! What two who have a line have proven of their keys: from L2 to L3.
//!
//! ```text
//!   trust: a line, its T2 ─▶ Key::Lines, Key::Proofs ─▶ Line to our devices
//!   proving.rs: our proof, theirs, a list, another key ──keep_proofs──▶ Key::Proofs ─▶ Line to our devices
//!   both kept, both good: L3
//! ```
//!
//! A line of two people of this node needs no link: what one side's device publishes, the other side has.
//!
//! The node judges for what it shows and answers. Devices judge for themselves: they get the proof as it came.

use std::collections::BTreeSet;

use super::Server;
use super::here::HERE;
use super::io::{Event, KeysState, Output, Peer};
use super::keys::Known;
use super::proving::telling_record;
use super::sessions::Online;
use super::timers::Who;
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, Hash, Identity, NodeKey, Pair, SessionId};
use crate::limits;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::Writer;
use crate::wire::record::{read, write};
use crate::wire::talk::{Line, Talk};

/// What two have proven of their keys: [`Key::Proofs`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs {
    /// The line, while there is one.
    pub(super) line: Option<Facts>,
    /// Our person's proof for it.
    pub(super) ours: Option<Vec<u8>>,
    /// Theirs.
    pub(super) theirs: Option<Vec<u8>>,
    /// Whether their node has ours.
    pub(super) told: bool,
    /// The newest list of ours that their node has; 0 for none.
    pub(super) told_list: u64,
    /// The newest list of theirs that we have heard of; 0 for none.
    pub(super) list: u64,
    /// Who they proved to be, once they did: it outlives the line, so that a new round trip brings nobody else in silently.
    pub(super) pin: Option<Identity>,
    /// Another key of theirs came, outside their chain.
    pub(super) suspended: bool,
}

/// A line, as trust made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) t2: Hash,
    pub(super) offered: bool,
    pub(super) nk: NodeKey,
}

impl Proofs {
    fn state(&self) -> KeysState {
        match (self.suspended, &self.line, &self.ours, &self.theirs) {
            (true, ..) => KeysState::Suspended,
            (false, Some(_), Some(_), Some(_)) => KeysState::Proven,
            (false, ..) => KeysState::Unproven,
        }
    }

    fn record(&self, pair: &Pair) -> Record {
        let key = Key::Proofs(pair.clone());
        if *self == Self::default() {
            return Record::remove(key);
        }
        write(key, 8, |w| {
            w.maybe(self.line, |w, line| w.array(3).bytes(&line.t2.0).bool(line.offered).bytes(&line.nk.0));
            w.maybe(self.ours.as_deref(), Writer::bytes).maybe(self.theirs.as_deref(), Writer::bytes);
            w.bool(self.told).u64(self.told_list).u64(self.list);
            w.maybe(self.pin, |w, identity| w.bytes(&identity.0)).bool(self.suspended);
        })
    }

    fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            Ok(Self {
                line: r.maybe(|r| {
                    r.array_of(3)?;
                    Ok(Facts { t2: Hash(r.fixed()?), offered: r.bool()?, nk: NodeKey(r.fixed()?) })
                })?,
                ours: r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?,
                theirs: r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?,
                told: r.bool()?,
                told_list: r.u64()?,
                list: r.u64()?,
                pin: r.maybe(|r| r.fixed().map(Identity))?,
                suspended: r.bool()?,
            })
        })
    }
}

/// Reads what is proven of the keys of two, from their record [`Key::Proofs`].
///
/// # Errors
/// A record that isn't one.
pub fn read_keys(record: &Record) -> Result<KeysState, RestoreError> {
    Proofs::restore(record).map(|proofs| proofs.state())
}

// Records
impl Server {
    pub(super) fn take_proofs(&mut self, pair: &Pair, record: Option<&Record>) -> Result<(), RestoreError> {
        let proofs = record.map(Proofs::restore).transpose()?.unwrap_or_default();
        self.keys.proofs.insert(pair.clone(), proofs);
        Ok(())
    }

    pub(super) fn take_lines(&mut self, ours: &Address, record: Option<&Record>) -> Result<(), RestoreError> {
        let read = |record| read(record, |r| r.list(limits::LINES as u64, crate::wire::cbor::Reader::address));
        let lines: Vec<Address> = record.map(read).transpose()?.unwrap_or_default();
        self.keys.lines.insert(ours.clone(), lines.into_iter().collect());
        Ok(())
    }

    pub(super) fn forget_proofs(&mut self, pair: &Pair) -> bool {
        !self.keys.telling.values().any(|pairs| pairs.contains(pair)) && self.keys.proofs.remove(pair).is_some()
    }

    /// What it takes to look at a pair's keys.
    pub(super) fn keys_want(&self, pair: &Pair) -> Vec<Key> {
        let mut keys = Vec::new();
        if !self.pairs.contains_key(pair) {
            keys.push(Key::Trust(pair.clone()));
        }
        if !self.keys.proofs.contains_key(pair) {
            keys.push(Key::Proofs(pair.clone()));
        }
        if !self.keys.lines.contains_key(&pair.ours) {
            keys.push(Key::Lines(pair.ours.clone()));
        }
        for whose in [&pair.ours, &pair.theirs] {
            if !self.keys.known.contains_key(whose) {
                keys.push(Key::Keys(whose.clone()));
            }
        }
        let head = (pair.ours.clone(), self.keys.known.get(&pair.ours).map_or(0, Known::number));
        if head.1 > 0 && !self.keys.lists.contains_key(&head) {
            keys.push(Key::List(head.0, head.1));
        }
        keys
    }

    /// What it takes to look at all lines of an address.
    pub(super) fn lines_want(&self, ours: &Address) -> Vec<Key> {
        let Some(lines) = self.keys.lines.get(ours) else { return vec![Key::Lines(ours.clone())] };
        let pairs = lines.iter().map(|theirs| Pair { ours: ours.clone(), theirs: theirs.clone() });
        pairs.filter(|pair| !self.keys.proofs.contains_key(pair)).map(Key::Proofs).collect()
    }
}

// Lines
impl Server {
    /// Trust changed what a pair is, or something about its keys was unfinished when the node stopped: looked at as soon
    /// as all records are here.
    pub(super) fn look_at_line(&mut self, at: Millis, pair: &Pair) {
        self.keys.unsettled.insert(pair.clone());
        self.timers.set(Who::Keys, Some(at));
    }

    /// The same, from within a step: not forgotten in a crash.
    pub(super) fn line_changed(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
        self.look_at_line(tick.now.plus(1), pair);
        out.save(telling_record(pair));
    }

    /// What it takes to look at all lines that changed.
    pub(super) fn unsettled_want(&self) -> impl Iterator<Item = Key> {
        self.keys.unsettled.iter().flat_map(|pair| self.line_wants(pair))
    }

    /// What it takes to look at a line; within this node, at both of its ends.
    pub(super) fn line_wants(&self, pair: &Pair) -> Vec<Key> {
        let mut keys = self.keys_want(pair);
        if self.is_here(pair) {
            keys.extend(self.keys_want(&pair.mirrored()));
        }
        keys
    }

    /// Looks at whatever line has changed, and whose records are here.
    pub(super) fn settle_lines(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        if self.keys.unsettled.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.keys.unsettled);
        let (ready, rest): (BTreeSet<Pair>, _) = all.into_iter().partition(|pair| self.line_wants(pair).is_empty());
        self.keys.unsettled = rest;
        for pair in ready {
            self.refresh(&pair, out);
            self.tell_node(tick, &pair, out);
        }
        self.set_keys_timer(tick);
    }

    /// Brings what is known of a pair's keys in line with what trust says of the pair.
    pub(super) fn refresh(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
        let Some(trust) = self.pairs.get(pair) else { return };
        let facts = trust.line().zip(trust.t2()).map(|(nk, t2)| Facts { t2, offered: trust.offered(), nk });
        let forgotten = trust.known().is_none();
        let before = self.keys.proofs.get(pair).cloned().unwrap_or_default();
        let facts = facts.filter(|_| self.index_line(pair, before.line.is_some(), out));
        if facts.is_none() {
            self.unindex_line(pair, out);
        }
        let pin = before.pin.filter(|_| !forgotten);
        let now = match (facts, before.line) {
            (Some(now), Some(then)) if now.t2 == then.t2 => Proofs { line: facts, ..before.clone() },
            _ => Proofs { line: facts, pin, ..Proofs::default() },
        };
        if now != before {
            self.keep_proofs(pair, now, out);
            self.tell_devices(pair, out);
        }
    }

    /// Sees that a line is in the index of its address; `false` where there is no room.
    fn index_line(&mut self, pair: &Pair, known: bool, out: &mut Outbox<Output>) -> bool {
        let lines = self.keys.lines.entry(pair.ours.clone()).or_default();
        if known && lines.contains(&pair.theirs) {
            return true;
        }
        if lines.len() >= limits::LINES {
            let why = PeerFault::Full { got: lines.len() as u64, max: limits::LINES as u64 };
            out.emit(Output::Event(Event::Refused { peer: Peer::Pair(pair.clone()), why }));
            return false;
        }
        lines.insert(pair.theirs.clone());
        out.save(index_record(&pair.ours, lines));
        true
    }

    fn unindex_line(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
        if let Some(lines) = self.keys.lines.get_mut(&pair.ours)
            && lines.remove(&pair.theirs)
        {
            out.save(index_record(&pair.ours, lines));
        }
    }

    /// Keeps what is known of a pair's keys now, and says where its level changed.
    pub(super) fn keep_proofs(&mut self, pair: &Pair, now: Proofs, out: &mut Outbox<Output>) {
        let from = self.keys.proofs.get(pair).map(Proofs::state).unwrap_or_default();
        let to = now.state();
        out.save(now.record(pair));
        self.keys.proofs.insert(pair.clone(), now);
        if from != to {
            out.emit(Output::Event(Event::Keys { pair: pair.clone(), from, to }));
        }
        self.note_telling(pair, out);
    }

    /// Tells a device what its lines are, and how far its own lists are.
    pub(super) fn lines_to(&mut self, session: SessionId, who: &Online, out: &mut Outbox<Output>) {
        self.say_to(session, self.own_lists(&who.address), out);
        for theirs in self.keys.lines.get(&who.address).into_iter().flatten() {
            let pair = Pair { ours: who.address.clone(), theirs: theirs.clone() };
            self.say_to(session, self.line_of(&pair), out);
        }
    }

    /// Tells all devices of an address what a line of theirs is.
    pub(super) fn tell_devices(&self, pair: &Pair, out: &mut Outbox<Output>) {
        for (session, _) in self.online(&pair.ours) {
            self.say_to(session, self.line_of(pair), out);
        }
    }

    fn line_of(&self, pair: &Pair) -> Talk {
        let proofs = self.keys.proofs.get(pair).cloned().unwrap_or_default();
        Talk::Line(Line {
            theirs: pair.theirs.clone(),
            t2: proofs.line.map(|line| line.t2),
            offered: proofs.line.is_some_and(|line| line.offered),
            // To a device, a node is the key that it has now.
            nk: match proofs.line.map(|line| line.nk) {
                Some(HERE) => self.ours.identity.nk(),
                Some(nk) => self.key_of(nk),
                None => HERE,
            },
            proof: proofs.theirs,
            list: proofs.list,
        })
    }

    /// How far a person's own lists are: a line of theirs with themselves, without a T2.
    fn own_lists(&self, ours: &Address) -> Talk {
        let list = self.keys.known.get(ours).map_or(0, Known::number);
        Talk::Line(Line { theirs: ours.clone(), t2: None, offered: false, nk: HERE, proof: None, list })
    }

    /// A person of ours has a new device list: their devices hear it, and the nodes of those who have their proof.
    pub(super) fn list_changed(&mut self, tick: &Tick, ours: &Address, out: &mut Outbox<Output>) {
        for (session, _) in self.online(ours) {
            self.say_to(session, self.own_lists(ours), out);
        }
        for theirs in self.keys.lines.get(ours).cloned().unwrap_or_default() {
            let pair = Pair { ours: ours.clone(), theirs };
            self.note_telling(&pair, out);
            self.tell_node(tick, &pair, out);
        }
    }
}

fn index_record(ours: &Address, lines: &BTreeSet<Address>) -> Record {
    write(Key::Lines(ours.clone()), 1, |w| {
        w.list(lines.iter(), |w, theirs| _ = w.address(theirs));
    })
}
