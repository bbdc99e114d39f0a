//! A node: the machine, its disk, its mailboxes, its clock. What the reference node does with sockets, done with values.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use postline_core::clock::Steady;
use postline_core::fault::Misuse;
use postline_core::id::{Address, Domain, Hash, LinkId, MailId, Mailbox, NodeKey, Pair};
use postline_core::limits;
use postline_core::machine::trust::Trust;
use postline_core::seal::{NodeIdentity, Secret};
use postline_core::server::{Input, Ours, Output, Server};
use postline_core::step::{Machine, Outbox, Store, Tick};
use postline_core::store::Key;
use postline_core::time::Millis;

use crate::disk::{Disk, DiskFull};
use crate::rng::Rng;
use crate::world::EPOCH;

/// Look-ups chain; never longer than this.
const LOOKUPS: usize = 8;
/// More records in memory than this can't be in use by the few people of a world.
const IN_MEMORY: usize = 4 * limits::GREETINGS;

/// A node of the world.
#[derive(Debug)]
pub struct Node {
    /// Its domain.
    pub domain: Domain,
    /// Further domains that it serves.
    pub also: BTreeSet<Domain>,
    /// Whose addresses lie in one of those.
    pub lives: BTreeMap<Mailbox, Domain>,
    /// The key that it says its own has followed, where that is a lie.
    pub usurps: Option<NodeKey>,
    /// Whose mailboxes it has.
    pub users: BTreeSet<Mailbox>,
    /// What survives a crash.
    pub disk: Disk,
    /// The mailboxes: what is in them survives a crash too. Mail id to bytes: putting it in twice is putting it in once.
    pub mailboxes: BTreeMap<Mailbox, BTreeMap<MailId, Vec<u8>>>,
    /// What came into the mailboxes, in order.
    pub shelf: Vec<(Mailbox, MailId)>,
    /// The machine; `None` while the node is down.
    pub server: Option<Server>,
    /// How far its wall clock is ahead of the world's, in milliseconds.
    pub clock_ahead: i64,
    /// How many millionths its wall clock runs faster than the world's.
    pub drift_ppm: i64,
    /// The time it makes of its clocks, and when it last read them by the world's. `None` while it is down.
    clock: Option<(Steady, Millis)>,
    /// How often its store was started from a backup, as it says.
    pub generation: u64,
    /// How often it was started.
    pub incarnation: u64,
    /// Bodies that are being fetched by link: they survive a crash.
    pub(crate) partial: BTreeMap<Hash, Vec<u8>>,
    /// What is being fetched on which connection, and for whom it was announced.
    pub(crate) fetching: BTreeMap<(LinkId, Hash), Fetching>,
    batch: Outbox<Output>,
    warm: BTreeSet<Key>,
    seed: u8,
    /// How often it changed its key to the next.
    rotations: u8,
    /// What it announces as its next key, where that is a lie.
    pub announces: Option<NodeKey>,
    /// Keys that it had and left without continuity.
    left: BTreeSet<NodeKey>,
    entropy: u64,
}

/// A body on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetching {
    pub(crate) from: Option<Address>,
    pub(crate) to: BTreeSet<Address>,
    /// Its length, once there is room for it.
    pub(crate) len: Option<u64>,
}

/// How a commit ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    /// These effects may leave.
    Effects(Vec<Output>),
    /// It failed: the machine was dropped and restored, and nothing left.
    Failed,
}

/// What a node must never do.
pub type Broken = (&'static str, String);

impl Node {
    /// A node for `domain`, up, with an empty disk.
    ///
    /// # Panics
    /// Where an empty disk can't be restored from.
    #[must_use]
    #[expect(clippy::expect_used, reason = "an empty disk holds nothing that could be damaged")]
    pub fn new(domain: &Domain, seed: u8) -> Self {
        let mut node = Self {
            domain: domain.clone(),
            also: BTreeSet::new(),
            lives: BTreeMap::new(),
            usurps: None,
            users: BTreeSet::new(),
            disk: Disk::default(),
            mailboxes: BTreeMap::new(),
            shelf: Vec::new(),
            server: None,
            clock_ahead: 0,
            drift_ppm: 0,
            clock: None,
            generation: 1,
            incarnation: 0,
            partial: BTreeMap::new(),
            fetching: BTreeMap::new(),
            batch: Outbox::new(),
            warm: BTreeSet::new(),
            seed,
            rotations: 0,
            announces: None,
            left: BTreeSet::new(),
            entropy: 0,
        };
        node.start().expect("an empty disk restores");
        node
    }

    /// Its key.
    #[must_use]
    pub fn nk(&self) -> NodeKey {
        public(&self.seed_of(self.rotations))
    }

    /// The identity that signs for it.
    #[must_use]
    pub fn identity(&self) -> NodeIdentity {
        let next = self.announces.unwrap_or_else(|| public(&self.seed_of(self.rotations + 1)));
        let former = self.rotations.checked_sub(1).map(|before| public(&self.seed_of(before)));
        NodeIdentity::new(&self.seed_of(self.rotations), next).following(self.usurps.or(former))
    }

    const fn seed_of(&self, rotation: u8) -> Secret<32> {
        let odd = if rotation % 2 == 1 { 0x80 } else { 0 };
        let mut seed = [self.seed ^ odd; 32];
        let [first, ..] = &mut seed;
        *first ^= rotation / 2;
        Secret::new(seed)
    }

    /// Every key that it has or had.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<NodeKey> {
        self.lineage().into_iter().chain(self.left.iter().copied()).collect()
    }

    /// Its key, and those that it had before with continuity.
    #[must_use]
    pub fn lineage(&self) -> BTreeSet<NodeKey> {
        (0..=self.rotations).map(|rotation| public(&self.seed_of(rotation))).collect()
    }

    /// Whether it serves a domain.
    #[must_use]
    pub fn serves(&self, domain: &Domain) -> bool {
        self.domain == *domain || self.also.contains(domain)
    }

    /// Somebody starts it with the key that it had before the last change.
    pub const fn take_former_key(&mut self) {
        self.rotations = self.rotations.saturating_sub(1);
    }

    /// Its operator changes its key to the next, while it is down: with continuity, or to one that nobody was told of.
    pub fn rotate(&mut self, announced: bool) {
        if announced {
            self.rotations += 1;
        } else {
            self.left = self.keys();
            (self.seed, self.rotations) = (self.seed.wrapping_add(32), 0);
        }
    }

    /// Somebody else has the domain: another key, not the one that was announced, and an empty disk.
    pub fn take_over(&mut self, seed: u8) {
        self.left = self.keys();
        (self.seed, self.rotations, self.disk) = (seed, 0, Disk::default());
    }

    /// Another one at the same names with the same store: down, and with a randomness of its own.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            domain: self.domain.clone(),
            also: self.also.clone(),
            lives: self.lives.clone(),
            usurps: self.usurps,
            users: self.users.clone(),
            disk: self.disk.clone(),
            mailboxes: self.mailboxes.clone(),
            shelf: self.shelf.clone(),
            server: None,
            clock_ahead: self.clock_ahead,
            drift_ppm: self.drift_ppm,
            clock: None,
            generation: self.generation,
            incarnation: 0,
            partial: self.partial.clone(),
            fetching: BTreeMap::new(),
            batch: Outbox::new(),
            warm: BTreeSet::new(),
            seed: self.seed,
            rotations: self.rotations,
            announces: self.announces,
            left: self.left.clone(),
            entropy: self.entropy | 1 << 63,
        }
    }

    /// Pieces of bodies that nobody had synced when it went down are short, or have a hole.
    pub(crate) fn tear_pieces(&mut self, rng: &mut Rng) {
        for piece in self.partial.values_mut() {
            let at = rng.index(piece.len() + 1);
            if rng.chance(500) {
                piece.truncate(at);
            } else if let Some(hole) = piece.get_mut(at..) {
                hole.iter_mut().take(4_096).for_each(|byte| *byte = 0);
            }
        }
    }

    fn ours(&self) -> Ours {
        Ours {
            identity: self.identity(),
            domains: self.also.iter().chain([&self.domain]).cloned().collect(),
            hint: None,
            offers: true,
            generation: self.generation,
        }
    }

    /// Starts, or starts again, from the disk.
    ///
    /// # Errors
    /// I23 where the records don't restore, or restore twice to something else.
    pub fn start(&mut self) -> Result<(), Broken> {
        self.crash();
        let once = self.restored()?;
        let twice = self.restored()?;
        if format!("{once:?}") != format!("{twice:?}") {
            return Err(("I23", format!("two restores differ:\n{once:?}\n{twice:?}")));
        }
        self.server = Some(once);
        self.incarnation += 1;
        Ok(())
    }

    fn restored(&self) -> Result<Server, Broken> {
        let records = self.disk.records().filter(|record| record.key.restored_at_start()).cloned();
        Server::restore(self.ours(), records).map_err(|fault| ("I23", format!("own records don't restore: {fault}")))
    }

    /// Goes down at once: what wasn't committed is lost.
    pub fn crash(&mut self) {
        (self.server, self.clock) = (None, None);
        self.batch = Outbox::new();
        self.warm.clear();
        self.disk.unstage();
        self.fetching.clear();
    }

    /// What its wall clock says when the world's says `now`.
    const fn wall(&self, now: Millis) -> Millis {
        let passed = now.since(EPOCH).cast_signed();
        Millis(now.0.saturating_add_signed(self.clock_ahead + passed / 1_000_000 * self.drift_ppm))
    }

    /// Reads its clocks when the world's says `now`; a process that just came up starts at its wall clock.
    fn clock(&self, now: Millis) -> (Steady, Millis) {
        let wall = self.wall(now);
        let (mut steady, read) = self.clock.unwrap_or((Steady::start(wall), now));
        let (at, _) = steady.read(now.since(read), wall);
        (steady, at)
    }

    /// One step, into the batch that waits for its commit.
    ///
    /// # Errors
    /// Where the machine calls a proper input misuse, doesn't know its own records, or passes a bound.
    pub fn step(&mut self, now: Millis, input: Input, body: Option<Vec<u8>>) -> Result<(), Broken> {
        let (steady, at) = self.clock(now);
        let Some(server) = &mut self.server else { return Ok(()) };
        self.clock = Some((steady, now));
        let now = at;
        if let Some(body) = body {
            self.disk.stage(body);
        }
        for _ in 0..LOOKUPS {
            let wants = server.wants(&input);
            if wants.is_empty() {
                break;
            }
            for key in wants {
                let record = self.disk.get(&key).filter(|record| record.expires.is_none_or(|at| at > now));
                server.hydrate(&key, record).map_err(|fault| ("I23", format!("own record refused: {fault}")))?;
                self.warm.insert(key);
            }
        }
        self.entropy += 1;
        let mut entropy = [self.seed; 32];
        let (count, _) = entropy.split_at_mut(8);
        count.copy_from_slice(&self.entropy.to_be_bytes());
        match server.step(&Tick { now, entropy }, input, &mut self.batch) {
            // A report about an attempt of before a crash.
            Ok(()) | Err(Misuse::NoSuchSend) => {}
            Err(misuse) => return Err(("misuse", misuse.to_string())),
        }
        self.within_limits()
    }

    /// I21: memory and queues, at every step.
    fn within_limits(&self) -> Result<(), Broken> {
        let Some(server) = &self.server else { return Ok(()) };
        if server.in_memory() > IN_MEMORY {
            return Err(("I21", format!("{} records in memory", server.in_memory())));
        }
        let long = server.lanes().find(|(_, queue)| queue.len() > limits::QUEUE_ENTRIES_PER_LANE);
        long.map_or(Ok(()), |(lane, queue)| Err(("I21", format!("{} mails on {lane}", queue.len()))))
    }

    /// Whether something waits for its commit.
    #[must_use]
    pub fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Commits the batch.
    ///
    /// # Errors
    /// As [`Node::start`], where the commit failed and the machine is restored.
    pub fn commit(&mut self) -> Result<Committed, Broken> {
        let (records, held) = std::mem::take(&mut self.batch).split();
        match self.disk.commit(&records) {
            Ok(durable) => Ok(Committed::Effects(held.open(durable))),
            Err(DiskFull) => {
                self.start()?;
                Ok(Committed::Failed)
            }
        }
    }

    /// The same by a host that doesn't wait for its disk: a seeded bug.
    ///
    /// # Errors
    /// As [`Node::commit`].
    pub fn commit_carelessly(&mut self) -> Result<(Vec<Output>, Committed), Broken> {
        let (records, held) = std::mem::take(&mut self.batch).split();
        let Ok(durable) = Disk::default().commit(&[]) else { return Ok((Vec::new(), Committed::Failed)) };
        let effects = held.open(durable);
        match self.disk.commit(&records) {
            Ok(_) => Ok((effects, Committed::Effects(Vec::new()))),
            Err(DiskFull) => {
                self.start()?;
                Ok((effects, Committed::Failed))
            }
        }
    }

    /// Forgets some of what was brought, as a host with many accounts does. Only between batches.
    pub fn evict(&mut self, rng: &mut Rng) {
        let Some(server) = &mut self.server else { return };
        self.warm.retain(|key| rng.chance(500) || !server.forget(key));
    }

    /// When it next wants to be woken, by the world's clock, which says `now`.
    #[must_use]
    pub fn deadline(&self, now: Millis) -> Option<Millis> {
        let deadline = self.server.as_ref().and_then(Machine::deadline)?;
        Some(now.plus(self.clock(now).0.until(deadline, self.wall(now))))
    }

    /// A pair, as the disk has it.
    #[must_use]
    pub fn trust(&self, pair: &Pair) -> Trust {
        let record = self.disk.get(&Key::Trust(pair.clone()));
        let restored = record.and_then(|record| Trust::restore(pair.clone(), record).ok());
        restored.unwrap_or_else(|| Trust::stranger(pair.clone()))
    }
}

/// The public key that a seed makes. Every frame is held to one of the same few, and each costs as much as a signature.
fn public(seed: &Secret<32>) -> NodeKey {
    std::thread_local! {
        static KNOWN: RefCell<BTreeMap<[u8; 32], NodeKey>> = const { RefCell::new(BTreeMap::new()) };
    }
    KNOWN.with_borrow_mut(|known| *known.entry(*seed.expose()).or_insert_with(|| NodeIdentity::public(seed)))
}
