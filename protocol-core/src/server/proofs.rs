//! What two who have a line have proven of their keys: from L2 to L3.
//!
//! ```text
//!   trust: a line, its T2 ─▶ Key::Lines, Key::Proofs ─▶ Line to our devices
//!   our device ──Proof──▶ judged, kept ─▶ Key::Telling ──Trust{Keys}──▶ their node … Taken ─▶ told
//!   their node ──Trust{Keys}──▶ its lists asked for ─▶ judged by the chain ─▶ kept, Taken ─▶ Line to our devices
//!                                                   └─ another key, outside the chain ─▶ Suspended, loud
//!   both kept, both good: L3
//! ```
//!
//! A `Trust{Keys}` carries a key proof, or a newer device list of a person whose proof went before: the two are told apart
//! by what their AK signed. Whoever has taken one answers by its hash ([`Taken`]); until then it is said whenever the link
//! comes up. Everything is idempotent, so neither order nor a crash matters.
//!
//! A line of two people of this node needs no link: what one side's device publishes, the other side has.
//!
//! The node judges for what it shows and answers. Devices judge for themselves: they get the proof as it came.

use std::collections::BTreeSet;

use super::Server;
use super::here::HERE;
use super::io::{Event, KeysState, Output, Peer};
use super::keys::{Judged, Known};
use super::questions::For;
use super::sessions::Online;
use super::timers::Who;
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, Hash, Identity, NodeKey, Pair, SessionId};
use crate::limits;
use crate::seal::address::open;
use crate::seal::lists::Proof;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::Writer;
use crate::wire::frame::TrustStep;
use crate::wire::keys::KeyProof;
use crate::wire::list::DeviceList;
use crate::wire::record::{read, write};
use crate::wire::statement::Signed;
use crate::wire::taken::Taken;
use crate::wire::talk::{Line, Question, Talk};

/// What two have proven of their keys: [`Key::Proofs`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs {
    /// The line, while there is one.
    line: Option<Facts>,
    /// Our person's proof for it.
    ours: Option<Vec<u8>>,
    /// Theirs.
    theirs: Option<Vec<u8>>,
    /// Whether their node has ours.
    told: bool,
    /// The newest list of ours that their node has; 0 for none.
    told_list: u64,
    /// The newest list of theirs that we have heard of; 0 for none.
    list: u64,
    /// Who they proved to be, once they did: it outlives the line, so that a new round trip brings nobody else in silently.
    pin: Option<Identity>,
    /// Another key of theirs came, outside their chain.
    suspended: bool,
}

/// A line, as trust made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    t2: Hash,
    offered: bool,
    nk: NodeKey,
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
    fn line_wants(&self, pair: &Pair) -> Vec<Key> {
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
    fn refresh(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
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
    fn keep_proofs(&mut self, pair: &Pair, now: Proofs, out: &mut Outbox<Output>) {
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
    fn tell_devices(&self, pair: &Pair, out: &mut Outbox<Output>) {
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

fn telling_record(pair: &Pair) -> Record {
    write(Key::Telling(pair.clone()), 0, |_| {})
}

// Telling
impl Server {
    /// What their node has still to hear of our person's keys: the proof first, then the newest list.
    fn untold(&self, pair: &Pair) -> Option<(NodeKey, Vec<u8>)> {
        let proofs = self.keys.proofs.get(pair)?;
        let (nk, ours) = (proofs.line?.nk, proofs.ours.as_ref()?);
        if !proofs.told {
            return Some((nk, ours.clone()));
        }
        let number = self.keys.known.get(&pair.ours).map_or(0, Known::number);
        if number <= proofs.told_list {
            return None;
        }
        let list = self.keys.lists.get(&(pair.ours.clone(), number)).cloned().flatten();
        list.map(|list| (nk, list))
    }

    /// Keeps the index of what is untold true, and its records.
    fn note_telling(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
        let needs = self.untold(pair).map(|(nk, _)| nk);
        let is_noted = |nk: &NodeKey| self.keys.telling.get(nk).is_some_and(|pairs| pairs.contains(pair));
        if needs.is_some_and(|nk| is_noted(&nk)) {
            return;
        }
        for pairs in self.keys.telling.values_mut() {
            pairs.remove(pair);
        }
        self.keys.telling.retain(|_, pairs| !pairs.is_empty());
        match needs {
            Some(nk) => {
                self.keys.telling.entry(nk).or_default().insert(pair.clone());
                out.save(telling_record(pair));
            }
            None => out.save(Record::remove(Key::Telling(pair.clone()))),
        }
    }

    /// Tells their node what it has still to hear.
    fn tell_node(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
        if !self.line_wants(pair).is_empty() {
            // As soon as all records are here.
            self.line_changed(tick, pair, out);
            return;
        }
        self.note_telling(pair, out);
        match self.untold(pair).filter(|_| !self.is_blocked(pair)) {
            Some((HERE, bytes)) => self.keys_came(tick, HERE, &pair.mirrored(), bytes, out),
            Some((nk, bytes)) => self.say(tick, nk, pair, TrustStep::Keys, bytes, out),
            None => {}
        }
    }

    /// The link with a node is up: what it has still to hear is said again.
    pub(super) fn keys_again(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        for pair in self.keys.telling.get(&nk).cloned().unwrap_or_default() {
            self.tell_node(tick, &pair, out);
        }
    }
}

// Proofs
impl Server {
    /// A device of ours proves its person's keys for a line.
    pub(super) fn proof_published(
        &mut self,
        tick: &Tick,
        who: &Online,
        theirs: Address,
        bytes: Vec<u8>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let pair = Pair { ours: who.address.clone(), theirs };
        let proof = open::<KeyProof>(&bytes)?;
        let before = self.keys.proofs.get(&pair).cloned().unwrap_or_default();
        let line = before.line.ok_or(PeerFault::NotTrusted)?;
        self.proves(&pair, line.t2, &proof)?;
        if before.ours.as_deref() == Some(proof.bytes()) {
            return Ok(());
        }
        let told_list = proof.value().number;
        let now = Proofs { ours: Some(bytes), told: false, told_list, ..before };
        self.keep_proofs(&pair, now, out);
        self.tell_node(tick, &pair, out);
        Ok(())
    }

    /// Something about a person's keys came from their node: a proof, a list, or that it has taken what we said.
    pub(super) fn keys_came(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        pair: &Pair,
        bytes: Vec<u8>,
        out: &mut Outbox<Output>,
    ) {
        self.refresh(pair, out);
        let line = self.keys.proofs.get(pair).and_then(|proofs| proofs.line);
        let Some(line) = line.filter(|line| line.nk == nk) else {
            self.keys_refused(pair, PeerFault::NotTrusted, None, out);
            return;
        };
        if let Ok(taken) = Taken::parse(&bytes) {
            self.taken_there(tick, pair, taken, out);
            return;
        }
        match (open::<KeyProof>(&bytes), open::<DeviceList>(&bytes)) {
            (Ok(proof), _) => {
                if let Err(why) = self.proof_came(tick, pair, line, &proof, out) {
                    self.keys_refused(pair, why, Some(bytes), out);
                }
            }
            (Err(_), Ok(list)) => {
                if let Err(why) = self.list_came(tick, pair, line, &list, out) {
                    self.keys_refused(pair, why, None, out);
                }
            }
            (Err(why), Err(_)) => self.keys_refused(pair, why, None, out),
        }
    }

    /// Somebody speaks with keys that can't be theirs: no L3 any more, and loud; the devices get the proof that says so,
    /// and judge for themselves. All else is refused, and changes nothing.
    fn keys_refused(&mut self, pair: &Pair, why: PeerFault, proof: Option<Vec<u8>>, out: &mut Outbox<Output>) {
        if why.is_alarm()
            && let Some(before) = self.keys.proofs.get(pair).cloned().filter(|proofs| proofs.line.is_some())
        {
            let now = Proofs { suspended: true, theirs: proof.or(before.theirs.clone()), ..before.clone() };
            if now != before {
                self.keep_proofs(pair, now, out);
                self.tell_devices(pair, out);
            }
        }
        out.emit(Output::Event(Event::Refused { peer: Peer::Pair(pair.clone()), why }));
    }

    /// Their node has taken something of ours.
    fn taken_there(&mut self, tick: &Tick, pair: &Pair, taken: Taken, out: &mut Outbox<Output>) {
        let Some(before) = self.keys.proofs.get(pair).cloned() else { return };
        // Late, or of what we have replaced since: what is untold is said again.
        if !self.untold(pair).is_some_and(|(_, bytes)| Taken::of(&bytes) == taken) {
            return;
        }
        let now = if before.told {
            Proofs { told_list: self.keys.known.get(&pair.ours).map_or(0, Known::number), ..before }
        } else {
            Proofs { told: true, ..before }
        };
        self.keep_proofs(pair, now, out);
        self.tell_node(tick, pair, out);
    }

    fn proof_came(
        &mut self,
        tick: &Tick,
        pair: &Pair,
        line: Facts,
        proof: &Signed<KeyProof>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let (said, before) = (proof.value(), self.keys.proofs.get(pair).cloned().unwrap_or_default());
        if said.t2 != line.t2 {
            return Err(PeerFault::Keys("a proof for another handshake"));
        }
        if said.author != pair.theirs || said.other != pair.ours {
            return Err(PeerFault::Keys("a proof for other addresses"));
        }
        if before.theirs.as_deref() == Some(proof.bytes()) && !before.suspended {
            self.take(tick, line.nk, pair, proof.bytes(), out);
            return Ok(());
        }
        let known = self.keys.known.get(&pair.theirs).and_then(|known| known.chain.as_ref());
        // Who starts anew, and proved nothing to this person yet, is met anew; to whom they did prove it, it is an alarm.
        let met = known.filter(|chain| chain.identity() == said.identity || before.pin.is_some());
        let after = match met.map(|chain| chain.proves(&pair.ours, line.t2, proof)).transpose()? {
            Some(Proof::Good) => {
                let is_pinned = before.pin.is_none_or(|pin| pin == said.identity);
                let chain = met.map(|chain| (chain.number(), chain.ak()));
                let Some((list, _)) = chain.filter(|_| is_pinned) else {
                    let want = chain.map_or(said.ak, |(_, ak)| ak);
                    return Err(PeerFault::NewKey { got: said.ak, want });
                };
                let (theirs, pin) = (Some(proof.bytes().to_vec()), Some(said.identity));
                self.keep_proofs(pair, Proofs { theirs, pin, list, suspended: false, ..before }, out);
                self.tell_devices(pair, out);
                self.take(tick, line.nk, pair, proof.bytes(), out);
                return Ok(());
            }
            Some(Proof::Ahead { after }) => after,
            None => 0,
        };
        self.ask_lists(tick, pair, line.nk, after, For::Keys(pair.clone(), proof.bytes().to_vec()), out)
    }

    fn list_came(
        &mut self,
        tick: &Tick,
        pair: &Pair,
        line: Facts,
        list: &Signed<DeviceList>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let before = self.keys.proofs.get(pair).cloned().unwrap_or_default();
        if before.theirs.is_none() {
            return Err(PeerFault::Keys("a list before its proof"));
        }
        let known = self.keys.known.entry(pair.theirs.clone()).or_default();
        match known.judge(&pair.theirs, list)? {
            Judged::Gap { after } => {
                let whose = For::Keys(pair.clone(), list.bytes().to_vec());
                return self.ask_lists(tick, pair, line.nk, after, whose, out);
            }
            judged @ (Judged::First(_) | Judged::Next(_)) => {
                known.take(judged);
                out.save(known.record(&pair.theirs));
            }
            Judged::Known => {}
        }
        let number = list.value().number;
        if number != before.list {
            self.keep_proofs(pair, Proofs { list: number, ..before }, out);
            self.tell_devices(pair, out);
        }
        self.take(tick, line.nk, pair, list.bytes(), out);
        Ok(())
    }

    /// Tells who said it that this was taken.
    fn take(&mut self, tick: &Tick, nk: NodeKey, pair: &Pair, bytes: &[u8], out: &mut Outbox<Output>) {
        let taken = Taken::of(bytes);
        if nk == HERE {
            self.taken_there(tick, &pair.mirrored(), taken, out);
        } else {
            self.say(tick, nk, pair, TrustStep::Keys, taken.to_bytes(), out);
        }
    }

    /// Lists that were asked for came: the chain goes on, and what waited for them is judged again.
    pub(super) fn lists_came(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        pair: &Pair,
        lists: &[Vec<u8>],
        waited: Vec<u8>,
        out: &mut Outbox<Output>,
    ) {
        if let Err(why) = self.extend_chain(pair, lists, out) {
            self.keys_refused(pair, why, None, out);
            return;
        }
        self.keys_came(tick, nk, pair, waited, out);
    }

    fn extend_chain(&mut self, pair: &Pair, lists: &[Vec<u8>], out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let pin = self.keys.proofs.get(pair).and_then(|proofs| proofs.pin);
        let known = self.keys.known.entry(pair.theirs.clone()).or_default();
        let mut now = known.clone();
        for bytes in lists.iter().take(limits::LISTS_PER_ANSWER) {
            let list = open::<DeviceList>(bytes)?;
            let first = list.value().number == 1;
            let anew = now.chain.as_ref().is_some_and(|chain| chain.identity() != list.value().identity);
            if first && anew && pin.is_none() {
                now.chain = None;
            }
            let judged = now.judge(&pair.theirs, &list)?;
            if let Judged::Gap { .. } = judged {
                return Err(PeerFault::List("lists without a gap"));
            }
            now.take(judged);
        }
        if now.number() <= known.number()
            && now.chain.as_ref().map(|c| c.hash()) == known.chain.as_ref().map(|c| c.hash())
        {
            return Err(PeerFault::List("the lists that were asked for"));
        }
        *known = now;
        out.save(known.record(&pair.theirs));
        Ok(())
    }

    /// Asks their node for a person's lists.
    fn ask_lists(
        &mut self,
        tick: &Tick,
        pair: &Pair,
        nk: NodeKey,
        after: u64,
        whom: For,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        if nk == HERE {
            // The other side's chain is here, and is the one that it was judged by.
            return Err(PeerFault::Keys("a list that isn't here"));
        }
        let what = Question::Lists { asker: pair.ours.clone(), whose: pair.theirs.clone(), after };
        self.ask_node(tick, nk, what, whom, out)
    }
}
