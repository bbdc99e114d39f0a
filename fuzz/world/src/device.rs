//! A device: the client, its disk, its clock. What a phone's program does with sockets, done with values.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::Policy;
use postline_core::client::{Client, Event, Input, Ours, Output};
use postline_core::fault::Misuse;
use postline_core::id::{Address, ContentId, ConversationId, DeviceKey, Identity, SessionId};
use postline_core::machine::mark::Audience;
use postline_core::seal::Chain;
use postline_core::seal::mls::ledger;
use postline_core::step::{Machine, Outbox, Store, Tick};
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::mark::Position;

use crate::disk::{Disk, DiskFull};
use crate::node::Broken;
use crate::rng::Rng;

/// Look-ups chain; never longer than this.
const LOOKUPS: usize = 16;
/// How long a commit that nothing waits for waits for one to share.
pub(crate) const UNHURRIED_MS: u64 = 20;
/// More records in memory than this can't be in use by the few talks of a world.
const IN_MEMORY: usize = 1_000;

/// A device of the world.
#[derive(Debug)]
pub struct Device {
    /// Whose.
    pub address: Address,
    /// At which node.
    pub node: usize,
    /// What survives a crash.
    pub disk: Disk,
    /// The machine; `None` while it is down.
    pub client: Option<Client>,
    /// Its session, as far as the device knows.
    pub(crate) session: Option<SessionId>,
    /// Whether it has a network.
    pub reachable: bool,
    /// Its key, once it is enrolled.
    pub dk: Option<DeviceKey>,
    /// Whether it knows that it is a device of the person no more: revoked, or a copy.
    pub over: bool,
    /// Whether its person has lost it for good.
    pub lost: bool,
    /// The key of the device that this one is there for: lost, or this one before it was told that it is a copy.
    pub(crate) former: Option<DeviceKey>,
    /// Of which device its disk is a copy.
    pub(crate) copy_of: Option<usize>,
    /// The newest list of each person that it has: it never goes back.
    pub(crate) lists: BTreeMap<Address, u64>,
    /// How often its person tried to have it let in.
    pub(crate) tries: u32,
    /// Marks of what it wrote, to hold the next one to.
    pub(crate) wrote: BTreeSet<ContentId>,
    /// What was read in each conversation, as it knows: by its person where nobody is named. It never falls.
    read: BTreeMap<(ConversationId, Option<Identity>), Position>,
    /// What of its person's reading is settled in each conversation, be it told or kept back.
    pub(crate) settled: BTreeMap<ConversationId, Position>,
    /// What of it may have been told to others.
    pub(crate) told: BTreeMap<ConversationId, Position>,
    /// What of it this device told them.
    pub(crate) said: BTreeMap<ConversationId, Position>,
    /// Conversations in which there was a time when nothing could be told.
    pub(crate) closed: BTreeSet<ConversationId>,
    /// Conversations in which nobody was to tell anything when it was last looked at.
    forbidden: BTreeSet<ConversationId>,
    batch: Outbox<Output>,
    /// Since when there is something in it.
    since: Option<Millis>,
    /// The keys under which the batch sealed something: each for one thing, ever. The nonce says nothing of it, since
    /// four of its bytes are drawn (RFC 9420 §6.3.1).
    pub(crate) sealed: Vec<Vec<u8>>,
    number: usize,
    entropy: u64,
}

impl Device {
    /// The nth device of a world: up, with an empty disk.
    ///
    /// # Errors
    /// I23 where an empty disk can't be restored from.
    pub fn new(number: usize, address: &Address, node: usize) -> Result<Self, Broken> {
        let mut device = Self {
            address: address.clone(),
            node,
            disk: Disk::default(),
            client: None,
            session: None,
            reachable: true,
            dk: None,
            over: false,
            lost: false,
            former: None,
            copy_of: None,
            lists: BTreeMap::new(),
            tries: 0,
            wrote: BTreeSet::new(),
            read: BTreeMap::new(),
            settled: BTreeMap::new(),
            told: BTreeMap::new(),
            said: BTreeMap::new(),
            closed: BTreeSet::new(),
            forbidden: BTreeSet::new(),
            batch: Outbox::new(),
            since: None,
            sealed: Vec::new(),
            number,
            entropy: 0,
        };
        device.start()?;
        Ok(device)
    }

    /// Starts, or starts again, from the disk.
    ///
    /// # Errors
    /// I23 where the records don't restore, or restore twice to something else.
    pub fn start(&mut self) -> Result<(), Broken> {
        self.crash();
        let (once, twice) = (self.restored()?, self.restored()?);
        if format!("{once:?}") != format!("{twice:?}") {
            return Err(("I23", format!("two restores of device {} differ:\n{once:?}\n{twice:?}", self.number)));
        }
        self.client = Some(once);
        Ok(())
    }

    fn restored(&self) -> Result<Client, Broken> {
        let records = self.disk.records().filter(|record| Client::restored_at_start(&record.key)).cloned();
        let ours = Ours { address: self.address.clone(), hosted: false };
        let number = self.number;
        Client::restore(ours, records).map_err(|fault| ("I23", format!("device {number} doesn't restore: {fault}")))
    }

    /// Another one with a copy of this one's disk: down, and with a randomness of its own.
    ///
    /// # Errors
    /// As [`Device::new`].
    pub(crate) fn copy(&self, number: usize, of: usize) -> Result<Self, Broken> {
        let mut copy = Self::new(number, &self.address, self.node)?;
        copy.crash();
        (copy.disk, copy.dk, copy.copy_of) = (self.disk.clone(), self.dk, Some(of));
        Ok(copy)
    }

    /// The newest list of somebody goes back: somebody, or a bug, has brought an older one in its place.
    ///
    /// # Errors
    /// I15 where one is older than before.
    pub(crate) fn note_lists<'p>(&mut self, people: impl Iterator<Item = &'p Address>) -> Result<(), Broken> {
        let Some(client) = &self.client else { return Ok(()) };
        for whose in people.filter(|whose| **whose != self.address) {
            let Some(number) = client.chain_of(whose).map(Chain::number) else { continue };
            let before = self.lists.insert(whose.clone(), number).unwrap_or_default();
            if number < before {
                let what = format!("device {} goes back from list {before} of {whose} to {number}", self.number);
                return Err(("I15", what));
            }
        }
        Ok(())
    }

    /// Notes what of its person's reading it has told to others. What another device of theirs had settled before may have
    /// come from that one.
    pub(crate) fn note_told(&mut self, elsewhere: &BTreeMap<ConversationId, Position>) {
        let Some(client) = &self.client else { return };
        for talk in client.conversations() {
            let Some(marks) = client.marks(talk.id) else { continue };
            let (told, before) = (marks.told(), self.settled.insert(talk.id, marks.told()).unwrap_or_default());
            if told != before && marks.audience() != Audience::Ourselves {
                self.told.entry(talk.id).or_default().join(&told);
                let known = elsewhere.get(&talk.id).copied().unwrap_or_default();
                if told.without(&before).iter().any(|(from, to)| !known.missing(*from, *to).is_empty()) {
                    self.said.entry(talk.id).or_default().join(&told);
                }
            }
        }
    }

    /// What was read is never less than it was: somebody, or a bug, has put an older reading in its place. And where nobody is
    /// to tell anything, nothing more is known of the others.
    ///
    /// # Errors
    /// I4 where it is less, I24 where something is known that nobody was to tell.
    pub(crate) fn note_marks(&mut self) -> Result<(), Broken> {
        let Some(client) = &self.client else { return Ok(()) };
        for talk in client.conversations() {
            let Some(marks) = client.marks(talk.id) else { continue };
            let others = marks.others().map(|who| (Some(who), marks.reading_of(who)));
            for (who, read) in others.chain([(None, marks.read())]) {
                let before = self.read.insert((talk.id, who), read).unwrap_or_default();
                let was_forbidden = talk.policy == Policy::Forbidden && self.forbidden.contains(&talk.id);
                if who.is_some() && was_forbidden && !read.without(&before).is_empty() {
                    let what = format!("device {} knows {read:?} of {who:?} where nobody is to tell it", self.number);
                    return Err(("I24", what));
                }
                if !before.without(&read).is_empty() {
                    let what =
                        format!("on device {} a reading of {who:?} falls from {before:?} to {read:?}", self.number);
                    return Err(("I4", what));
                }
            }
            let is_forbidden = talk.policy == Policy::Forbidden;
            if !marks.rules().open || is_forbidden {
                self.closed.insert(talk.id);
            }
            if is_forbidden {
                self.forbidden.insert(talk.id)
            } else {
                self.forbidden.remove(&talk.id)
            };
        }
        Ok(())
    }

    /// Goes down at once: what wasn't committed is lost.
    pub fn crash(&mut self) {
        (self.client, self.session) = (None, None);
        (self.batch, self.since) = (Outbox::new(), None);
        self.sealed.clear();
        self.disk.unstage();
    }

    /// One step, into the batch that waits for its commit.
    ///
    /// # Errors
    /// Where the machine calls a proper input misuse, doesn't know its own records, or passes a bound.
    pub fn step(&mut self, now: Millis, input: Input) -> Result<(), Broken> {
        let number = self.number;
        let Some(client) = &mut self.client else { return Ok(()) };
        for _ in 0..LOOKUPS {
            let wants = client.wants(&input);
            if wants.is_empty() {
                break;
            }
            for key in wants {
                // What waits for its commit is newer than what is stored.
                let waits = self.batch.saved(&key).map(|record| Some(record).filter(|record| record.value.is_some()));
                let hydrated = client.hydrate(&key, waits.unwrap_or_else(|| self.disk.get(&key)));
                hydrated.map_err(|fault| ("I23", format!("device {number} refuses its own record: {fault}")))?;
            }
        }
        self.entropy += 1;
        let entropy = sha256(&[b"device", &(number as u64).to_be_bytes(), &self.entropy.to_be_bytes()]).0;
        let brief = format!("{input:?}");
        // What somebody else sealed on this thread is not ours.
        drop(ledger::take());
        client.step(&Tick { now, entropy }, input, &mut self.batch).map_err(|misuse: Misuse| {
            let brief = brief.get(..200).unwrap_or(&brief);
            ("misuse", format!("device {number}: {misuse} on {brief}"))
        })?;
        self.sealed.extend(ledger::take().into_iter().map(|(key, _)| key));
        if !self.batch.is_empty() {
            self.since.get_or_insert(now);
        }
        if client.in_memory() > IN_MEMORY {
            return Err(("I21", format!("{} records in the memory of device {number}", client.in_memory())));
        }
        Ok(())
    }

    /// What leaves before the commit.
    pub fn early(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.batch.next_early()).collect()
    }

    /// Whether nothing waits for the commit: so it may share a later one.
    #[must_use]
    pub fn can_wait(&self, now: Millis) -> bool {
        self.batch.can_wait() && self.since.is_none_or(|since| now.since(since) < UNHURRIED_MS)
    }

    /// Since when steps are done that aren't committed.
    #[must_use]
    pub const fn behind_since(&self) -> Option<Millis> {
        self.since
    }

    /// Commits the batch: `None` where that failed, and the machine was dropped and restored.
    ///
    /// # Errors
    /// As [`Device::start`].
    pub fn commit(&mut self) -> Result<Option<Vec<Output>>, Broken> {
        self.since = None;
        let (records, held) = std::mem::take(&mut self.batch).split();
        match self.disk.commit(&records) {
            Ok(durable) => Ok(Some(held.open(durable))),
            Err(DiskFull) => {
                self.start()?;
                Ok(None)
            }
        }
    }

    /// What steps have told that nothing has committed yet.
    pub(crate) fn told(&self) -> Vec<Event> {
        let event = |effect: &Output| if let Output::Event(event) = effect { Some(event.clone()) } else { None };
        self.batch.effects().filter_map(event).collect()
    }

    /// Forgets some of what was brought.
    pub fn evict(&mut self, rng: &mut Rng) {
        let Some(client) = &mut self.client else { return };
        for key in client.idle() {
            if rng.chance(500) {
                client.forget(&key);
            }
        }
    }

    /// When it next wants to be woken.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.client.as_ref().and_then(Machine::deadline)
    }

    /// Whether the person still counts on it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.over && self.client.as_ref().is_some_and(Client::is_enrolled)
    }
}
