//! The node's directory: its people's device lists and key packages, and what it knows of others' lists.
//!
//! ```text
//!   device ──List──▶ extends the head? ─▶ Key::Keys (chain), Key::List ─▶ told to its lines' nodes, to its devices
//!          ──Packages─▶ Key::Packages ──used up by an answer, in the answer's own step──▶ those who have a line
//! ```
//!
//! Compare and set: a list is taken only where it extends the head that the node has; whoever comes second rebases. The
//! node judges by the same rules as everybody (`seal::lists`), so that it publishes nothing that others refuse; whether to
//! believe it is theirs to judge. Spec: `spec/07-identity.md`, `spec/10-sessions.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::Server;
use super::io::{Event, Output, Peer};
use super::notes::Notes;
use super::proofs::Proofs;
use super::questions::Questions;
use super::sessions::Online;
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, DeviceKey, Hash, NodeKey, Pair, SessionId};
use crate::limits;
use crate::seal::address::open;
use crate::seal::lists::{Chain, Extension, Proof, Verdict};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::{HOUR, Millis};
use crate::wire::cbor::Writer;
use crate::wire::keys::KeyProof;
use crate::wire::list::DeviceList;
use crate::wire::record::{read, write};
use crate::wire::statement::Signed;
use crate::wire::talk::{Finding, Publication, Question, Talk};

/// What the node knows of keys, as far as it is in memory.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By address.
    pub(super) known: BTreeMap<Address, Known>,
    /// Signed lists of our addresses, by number; `None`: there is none.
    pub(super) lists: BTreeMap<(Address, u64), Option<Vec<u8>>>,
    /// The key packages of our devices.
    pub(super) packages: BTreeMap<(Address, DeviceKey), Packages>,
    /// With whom our addresses have lines.
    pub(super) lines: BTreeMap<Address, BTreeSet<Address>>,
    /// What is proven for them.
    pub(super) proofs: BTreeMap<Pair, Proofs>,
    /// Pairs whose node has still to hear something, by node.
    pub(super) telling: BTreeMap<NodeKey, BTreeSet<Pair>>,
    /// Pairs that are to be looked at as soon as their records are here.
    pub(super) unsettled: BTreeSet<Pair>,
    /// What other nodes were asked.
    pub(super) questions: Questions,
    /// The notes of our addresses.
    pub(super) notes: BTreeMap<Address, Notes>,
    pub(super) note_bytes: BTreeMap<(Address, u64), Option<Vec<u8>>>,
    /// The memo that each device was told last and hasn't taken, and on which session.
    pub(super) memo_said: BTreeMap<DeviceKey, (SessionId, u64)>,
    package_answers: Rates<Pair>,
    last_resorts: Rates<DeviceKey>,
}

impl Keys {
    /// Whether a node has still to hear something, or to answer.
    pub(super) fn wait_for(&self, nk: NodeKey) -> bool {
        self.telling.contains_key(&nk) || self.questions.wait_for(nk)
    }

    /// How many records are in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.known.len()
            + self.lists.len()
            + self.packages.len()
            + self.lines.len()
            + self.proofs.len()
            + self.questions.len()
            + self.notes.len()
            + self.note_bytes.len()
            + self.memo_said.len()
    }
}

/// What is known of an address's keys: [`Key::Keys`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The devices that are enrolled here, oldest first: of our addresses only.
    pub(super) devices: Vec<DeviceKey>,
    /// Its device lists, as far as they came.
    pub(super) chain: Option<Chain>,
}

/// The key packages of a device: [`Key::Packages`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packages {
    /// Each to be used once, oldest first.
    once: Vec<Vec<u8>>,
    /// The one that may be used again.
    last_resort: Option<Vec<u8>>,
}

impl Known {
    pub(super) fn record(&self, address: &Address) -> Record {
        write(Key::Keys(address.clone()), 2, |w| {
            w.list(self.devices.iter(), |w, dk| _ = w.bytes(&dk.0));
            w.maybe(self.chain.as_ref(), |w, chain| w.bytes(&chain.encode()));
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        let (devices, chain) = read(record, |r| {
            let devices = r.list(limits::DEVICES as u64, |r| r.fixed().map(DeviceKey))?;
            Ok((devices, r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?))
        })?;
        let chain = chain.map(|bytes| Chain::decode(&record.key, &bytes)).transpose()?;
        Ok(Self { devices, chain })
    }

    /// Whether the address's current list has the device.
    pub(super) fn lists(&self, dk: DeviceKey) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.device(dk).is_some())
    }

    /// The number of the newest list; 0 for none.
    pub(super) fn number(&self) -> u64 {
        self.chain.as_ref().map_or(0, Chain::number)
    }

    /// Judges a list, as the one that comes next.
    pub(super) fn judge(&self, whose: &Address, list: &Signed<DeviceList>) -> Result<Judged, PeerFault> {
        match &self.chain {
            None if list.value().number == 1 => Chain::begin(whose, list).map(|chain| Judged::First(Box::new(chain))),
            None if list.value().address != *whose => Err(PeerFault::List("another address")),
            None => Ok(Judged::Gap { after: 0 }),
            Some(chain) => chain.judge(list).map(|verdict| match verdict {
                Verdict::Known => Judged::Known,
                Verdict::Gap { after } => Judged::Gap { after },
                Verdict::Extends(extension) => Judged::Next(extension),
            }),
        }
    }

    /// Takes a list that was judged to come next; gives the devices that it revokes.
    pub(super) fn take(&mut self, judged: Judged) -> Vec<DeviceKey> {
        match judged {
            Judged::First(chain) => {
                self.chain = Some(*chain);
                Vec::new()
            }
            Judged::Next(extension) => {
                let removed = extension.removed.clone();
                self.chain.iter_mut().for_each(|chain| chain.take((*extension).clone()));
                removed
            }
            Judged::Known | Judged::Gap { .. } => Vec::new(),
        }
    }
}

/// What a list is to what is known.
pub(super) enum Judged {
    First(Box<Chain>),
    Next(Box<Extension>),
    Known,
    Gap { after: u64 },
}

impl Packages {
    fn record(&self, address: &Address, dk: DeviceKey) -> Record {
        let key = Key::Packages(address.clone(), dk);
        if *self == Self::default() {
            return Record::remove(key);
        }
        write(key, 2, |w| {
            w.list(self.once.iter(), |w, package| _ = w.bytes(package));
            w.maybe(self.last_resort.as_deref(), Writer::bytes);
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let once = r.list(limits::PACKAGES as u64, |r| r.bytes().map(<[u8]>::to_vec))?;
            Ok(Self { once, last_resort: r.maybe(|r| r.bytes().map(<[u8]>::to_vec))? })
        })
    }
}

/// Buckets by whatever is counted, each kept as the time when it is full again. In memory only.
#[derive(Debug)]
pub(super) struct Rates<K>(BTreeMap<K, Millis>);

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Rates<K> {
    /// Takes one of `max` per hour, where there is one left.
    fn take(&mut self, now: Millis, of: &K, max: u32) -> bool {
        let full = self.0.get(of).copied().unwrap_or_default().max(now).plus(HOUR / u64::from(max));
        if full.since(now) > HOUR {
            return false;
        }
        if !self.0.contains_key(of) && self.0.len() >= limits::PACKAGE_RATES {
            self.0.retain(|_, full| *full > now);
            let first = self.0.iter().min_by_key(|(_, full)| **full).map(|(of, _)| of.clone());
            let first = first.filter(|_| self.0.len() >= limits::PACKAGE_RATES);
            first.and_then(|first| self.0.remove(&first));
        }
        self.0.insert(of.clone(), full);
        true
    }
}

// What devices make known
impl Server {
    /// A device makes something known.
    pub(super) fn published(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        number: u64,
        what: Publication,
        out: &mut Outbox<Output>,
    ) {
        let done = match what {
            Publication::List(bytes) => self.list_published(tick, who, &bytes, out),
            Publication::Proof { theirs, bytes } => self.proof_published(tick, who, theirs, bytes, out),
            Publication::Packages { once, last_resort } => self.packages_published(who, once, last_resort, out),
            Publication::Note { to, bytes } => self.note_published(tick, who, to, bytes, out),
            Publication::Block { theirs, blocked } => {
                self.block_published(tick, &Pair { ours: who.address.clone(), theirs }, blocked, out)
            }
        };
        let code = done.as_ref().err().map(PeerFault::code);
        if let Err(why) = done {
            out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why }));
        }
        self.say_to(session, Talk::Published { number, code }, out);
    }

    /// A device list: taken where it extends the head, and nothing else.
    fn list_published(
        &mut self,
        tick: &Tick,
        who: &Online,
        bytes: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let list = open::<DeviceList>(bytes)?;
        let known = self.keys.known.entry(who.address.clone()).or_default();
        let judged = known.judge(&who.address, &list)?;
        match &judged {
            Judged::Known => return Ok(()),
            Judged::Gap { .. } => return Err(PeerFault::List("the one that comes next")),
            Judged::First(chain) if chain.device(who.dk).is_none() => {
                return Err(PeerFault::List("a first list that has the device which brings it"));
            }
            Judged::First(_) | Judged::Next(_) => {}
        }
        let removed = known.take(judged);
        out.save(known.record(&who.address));
        let key = Key::List(who.address.clone(), list.value().number);
        let record = Record::put(key, list.bytes().to_vec());
        self.keys.lists.insert((who.address.clone(), list.value().number), Some(list.bytes().to_vec()));
        out.save(record);
        for dk in removed {
            self.unenrol(tick, &who.address, dk, out);
        }
        self.listed_now(tick, &who.address, out);
        self.list_changed(tick, &who.address, out);
        Ok(())
    }

    fn packages_published(
        &mut self,
        who: &Online,
        once: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let long = once.iter().chain(&last_resort).map(Vec::len).max().filter(|len| *len > limits::PACKAGE_BYTES);
        if let Some(got) = long {
            return Err(PeerFault::TooBig { what: "key package", got: got as u64, max: limits::PACKAGE_BYTES as u64 });
        }
        if once.iter().chain(&last_resort).any(Vec::is_empty) {
            return Err(PeerFault::KeyPackage("an empty one"));
        }
        if once.len() > limits::PACKAGES {
            let (got, max) = (once.len() as u64, limits::PACKAGES as u64);
            return Err(PeerFault::TooBig { what: "key packages", got, max });
        }
        let packages = self.keys.packages.entry((who.address.clone(), who.dk)).or_default();
        let fresh = once.into_iter().filter(|package| !packages.once.contains(package)).collect::<Vec<_>>();
        packages.once.extend(fresh);
        // The newest stay: what is older is nearer to its end.
        let old = packages.once.len().saturating_sub(limits::PACKAGES);
        packages.once.drain(..old);
        packages.last_resort = last_resort.or(packages.last_resort.take());
        out.save(packages.record(&who.address, who.dk));
        Ok(())
    }

    /// What a device that is gone has left goes too.
    pub(super) fn drop_keys_of(&mut self, address: &Address, dk: DeviceKey, out: &mut Outbox<Output>) {
        self.keys.packages.insert((address.clone(), dk), Packages::default());
        out.save(Record::remove(Key::Packages(address.clone(), dk)));
    }

    /// Judges a key proof of our own person, as others will.
    pub(super) fn proves(&self, pair: &Pair, t2: Hash, proof: &Signed<KeyProof>) -> Result<(), PeerFault> {
        let chain = self.keys.known.get(&pair.ours).and_then(|known| known.chain.as_ref());
        match chain.ok_or(PeerFault::Keys("no device list yet"))?.proves(&pair.theirs, t2, proof)? {
            Proof::Good => Ok(()),
            Proof::Ahead { .. } => Err(PeerFault::Keys("a list that isn't published yet")),
        }
    }
}

// Answers
impl Server {
    /// The lists of one of our addresses after a number.
    pub(super) fn lists_of(&self, whose: &Address, after: u64) -> Finding {
        let numbers = self.numbers_after(whose, after);
        let found = numbers.filter_map(|number| self.keys.lists.get(&(whose.clone(), number)).cloned().flatten());
        Finding::Lists(found.collect())
    }

    pub(super) fn numbers_after(&self, whose: &Address, after: u64) -> impl Iterator<Item = u64> {
        let last = self.keys.known.get(whose).map_or(0, Known::number);
        (after.saturating_add(1)..=last).take(limits::LISTS_PER_ANSWER)
    }

    /// The devices of one of our addresses whose packages are asked for.
    pub(super) fn devices_asked<'s>(
        &'s self,
        whose: &'s Address,
        only: &'s [DeviceKey],
    ) -> impl Iterator<Item = DeviceKey> {
        let chain = self.keys.known.get(whose).and_then(|known| known.chain.as_ref());
        let devices = chain.into_iter().flat_map(Chain::devices).map(|device| device.dk);
        devices.filter(move |dk| only.is_empty() || only.contains(dk))
    }

    /// A key package of each of these devices, used up by this very step; none of a device that has none to give now.
    pub(super) fn packages_of(
        &mut self,
        tick: &Tick,
        asker: &Address,
        whose: &Address,
        devices: Vec<DeviceKey>,
        out: &mut Outbox<Output>,
    ) -> Result<Finding, PeerFault> {
        let pair = Pair { ours: whose.clone(), theirs: asker.clone() };
        if !self.keys.package_answers.take(tick.now, &pair, limits::PACKAGE_ANSWERS_PER_HOUR) {
            return Err(PeerFault::Rate { max: limits::PACKAGE_ANSWERS_PER_HOUR, per_ms: HOUR });
        }
        let mut found = Vec::new();
        for dk in devices {
            let Some(packages) = self.keys.packages.get_mut(&(whose.clone(), dk)) else { continue };
            if packages.once.is_empty() {
                let may = self.keys.last_resorts.take(tick.now, &dk, limits::LAST_RESORTS_PER_HOUR);
                found.extend(packages.last_resort.clone().filter(|_| may));
            } else {
                found.push(packages.once.remove(0));
                out.save(packages.record(whose, dk));
            }
        }
        Ok(Finding::Packages(found))
    }

    /// Answers a question about one of our addresses. Who may ask is judged.
    pub(super) fn answer_here(
        &mut self,
        tick: &Tick,
        question: &Question,
        but: Option<DeviceKey>,
        out: &mut Outbox<Output>,
    ) -> Result<Finding, PeerFault> {
        match question {
            Question::Lists { whose, after, .. } => Ok(self.lists_of(whose, *after)),
            Question::Packages { asker, whose, only } => {
                let devices = self.devices_asked(whose, only).filter(|dk| Some(*dk) != but).collect();
                self.packages_of(tick, asker, whose, devices, out)
            }
            Question::Range { .. } => Err(PeerFault::NoConversation),
        }
    }

    /// What a question about one of our addresses wants, where its keys are here.
    pub(super) fn question_wants(&self, question: &Question) -> Vec<Key> {
        let (Question::Lists { whose, .. } | Question::Packages { whose, .. }) = question else { return Vec::new() };
        if !self.keys.known.contains_key(whose) {
            return vec![Key::Keys(whose.clone())];
        }
        match question {
            Question::Lists { whose, after, .. } => {
                let numbers = self.numbers_after(whose, *after);
                let unread = numbers.filter(|number| !self.keys.lists.contains_key(&(whose.clone(), *number)));
                unread.map(|number| Key::List(whose.clone(), number)).collect()
            }
            Question::Packages { whose, only, .. } => {
                let unread = self.devices_asked(whose, only);
                let unread = unread.filter(|dk| !self.keys.packages.contains_key(&(whose.clone(), *dk)));
                unread.map(|dk| Key::Packages(whose.clone(), dk)).collect()
            }
            Question::Range { .. } => Vec::new(),
        }
    }

    pub(super) fn take_packages(
        &mut self,
        of: (Address, DeviceKey),
        record: Option<&Record>,
    ) -> Result<(), RestoreError> {
        let packages = record.map(Packages::restore).transpose()?.unwrap_or_default();
        self.keys.packages.insert(of, packages);
        Ok(())
    }
}
