//! Key proofs and device lists on their way between the nodes of two who have a line, and judged.
//!
//! ```text
//!   our device ──Proof, list──▶ judged, kept ─▶ Key::Telling ──Trust{Keys} on each link──▶ their node … Taken ─▶ told
//!   their node ──Trust{Keys}──▶ its lists asked for ─▶ judged by the chain ─▶ kept, Taken
//!                                                   └─ another key, outside the chain ─▶ Suspended, loud
//! ```
//!
//! A `Trust{Keys}` carries a key proof, or a newer device list of a person whose proof went before: the two are told apart
//! by what their AK signed. Whoever has taken one answers by its hash ([`Taken`]); until then it is said whenever the link
//! comes up. Everything is idempotent, so neither order nor a crash matters.

use super::Server;
use super::here::HERE;
use super::io::{Event, Output, Peer};
use super::keys::{Judged, Known};
use super::proofs::{Facts, Proofs};
use super::questions::For;
use super::sessions::Online;
use crate::fault::PeerFault;
use crate::id::{Address, NodeKey, Pair};
use crate::limits;
use crate::seal::address::open;
use crate::seal::lists::Proof;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::frame::TrustStep;
use crate::wire::keys::KeyProof;
use crate::wire::list::DeviceList;
use crate::wire::record::write;
use crate::wire::statement::Signed;
use crate::wire::taken::Taken;
use crate::wire::talk::Question;

pub(super) fn telling_record(pair: &Pair) -> Record {
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
    pub(super) fn note_telling(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
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
    pub(super) fn tell_node(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
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
