//! The front door for servers: trust, links, routing and queues, behind one `step`.
//!
//! ```text
//!                 ┌──────────────────────── Server ───────────────────────┐
//!  Mail, Filter ─▶│ arrivals ─▶ trust (per pair) ─▶ queue (per lane)      │──▶ Took, Stamp, Deliver, Smtp
//!  Evidence ─────▶│                 ▲                  │  ▲               │──▶ Seek
//!  Link ─────────▶│ greeting ─▶ link (per node) ◀──────┘  │               │──▶ Link, Dial
//!  Session ──────▶│ session (per device) ─▶ keys, talks, presence         │──▶ Session
//!  Report, Wake ─▶│                 └── settled, marks ───┘               │──▶ Event
//!                 └───────────────────────────────────────────────────────┘
//! ```
//!
//! The front door joins the small machines, and translates a child's outputs at once; it keeps what no single machine
//! can know: who is on which connection, which arrival was seen, who is a stranger. Before each step the host asks
//! [`Server::wants`] until nothing more is wanted, and brings each record, or its absence, by [`Server::hydrate`].
//!
//! A crash forgets connections, what was under way on them, and attempts under way. Spec: `spec/00-overview.md`.

mod arrivals;
mod blocks;
mod book;
mod carrying;
mod connections;
mod express;
mod files;
mod forgetting;
mod heads;
mod here;
pub mod io;
mod keys;
mod links;
mod logs;
mod names;
mod notes;
mod pairs;
mod posts;
mod presence;
mod proofs;
mod proving;
mod questions;
mod queues;
mod readers;
mod relays;
mod sessions;
mod shelf;
mod strangers;
mod talks;
mod timers;
mod wants;

use std::collections::{BTreeMap, BTreeSet};

pub use book::read_offers;
pub use here::HERE;
pub use io::{
    Command, Dial, Event, Evidence, Input, KeysState, LinkIn, LinkOut, LoginOk, Output, SendId, SessionIn, SessionOut,
    Took,
};
pub use proofs::read_keys;

use crate::canary::{self, Canary};
use crate::content::mail::MailIn;
use crate::fault::{Misuse, RestoreError};
use crate::id::{Address, BlobRef, Domain, Lane, LinkId, MailId, NodeKey, Pair};
use crate::limits;
use crate::machine::greeting::Greeting;
use crate::machine::link::Link;
use crate::machine::queue::Queue;
use crate::machine::trust::Trust;
use crate::net::Hint;
use crate::seal::NodeIdentity;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::frame::Carry;
use book::{Pending, Route, Seen};
use files::Files;
use keys::{Keys, Known};
use logs::Talks;
use notes::Notes;
use posts::Posts;
use presence::Whispers;
use sessions::Sessions;
use strangers::Strangers;
use timers::{Timers, Who};

/// What the node is, as its operator set it up.
#[derive(Debug)]
pub struct Ours {
    /// The node's key.
    pub identity: NodeIdentity,
    /// The domains it serves.
    pub domains: BTreeSet<Domain>,
    /// Where it can be dialled, `host:port`, as its fields say in `h=`.
    pub hint: Option<Hint>,
    /// Whether mails of its users carry offers.
    pub offers: bool,
    /// How often its store was started from a backup; never runs back.
    pub generation: u64,
}

/// The front door. See the module's picture.
#[derive(Debug)]
pub struct Server {
    ours: Ours,
    now: Millis,
    draining: bool,
    pairs: BTreeMap<Pair, Trust>,
    strangers: BTreeMap<Address, Strangers>,
    strangers_in_all: u64,
    /// Pairs with something unfinished, by the node they need: said again whenever its link comes up.
    unfinished: BTreeMap<NodeKey, BTreeSet<Pair>>,
    /// The same, by pair.
    needs: BTreeMap<Pair, NodeKey>,
    pending: BTreeMap<MailId, Pending>,
    seen: BTreeMap<MailId, Option<Seen>>,
    lanes: BTreeMap<Lane, Queue>,
    waiting: usize,
    links: BTreeMap<NodeKey, Link>,
    routes: BTreeMap<NodeKey, Option<Route>>,
    /// The names of nodes that have changed their key, by key; `None`: the key is its node's name.
    aliases: BTreeMap<NodeKey, Option<NodeKey>>,
    /// The domains that the operator blocks.
    blocked: BTreeSet<Domain>,
    /// What people of ours said about offers; `None`: nothing.
    offers: BTreeMap<Address, Option<bool>>,
    greetings: BTreeMap<LinkId, Greet>,
    proven: BTreeMap<LinkId, Conn>,
    /// Express mails whose bodies are being fetched.
    fetching: BTreeMap<(LinkId, BlobRef), Vec<Carry>>,
    /// The mail of the Carry that is being stepped.
    in_hand: Option<Box<MailIn>>,
    /// What was unfinished when the node stopped, and is still to be brought.
    cold: BTreeSet<Key>,
    timers: Timers,
    sessions: Sessions,
    talks: Talks,
    posts: Posts,
    keys: Keys,
    files: Files,
    whispers: Whispers,
}

/// A connection before its other end has proven a key.
#[derive(Debug)]
struct Greet {
    machine: Greeting,
    exporter: [u8; 32],
    /// The node that we dialled, where we did.
    dialled: Option<NodeKey>,
}

/// A connection whose other end has proven its key.
#[derive(Clone, Copy, Debug)]
struct Conn {
    /// The node's name.
    nk: NodeKey,
    /// The key that it proved.
    key: NodeKey,
    exporter: [u8; 32],
}

impl Server {
    /// Starts from the records whose keys say [`Key::restored_at_start`], in any order.
    ///
    /// # Errors
    /// [`RestoreError`] for a record that is damaged, or written by a newer version.
    pub fn restore(ours: Ours, records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let mut server = Self {
            ours,
            now: Millis(0),
            draining: false,
            pairs: BTreeMap::new(),
            strangers: BTreeMap::new(),
            strangers_in_all: 0,
            unfinished: BTreeMap::new(),
            needs: BTreeMap::new(),
            pending: BTreeMap::new(),
            seen: BTreeMap::new(),
            lanes: BTreeMap::new(),
            waiting: 0,
            links: BTreeMap::new(),
            routes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            blocked: BTreeSet::new(),
            offers: BTreeMap::new(),
            greetings: BTreeMap::new(),
            proven: BTreeMap::new(),
            fetching: BTreeMap::new(),
            in_hand: None,
            cold: BTreeSet::new(),
            timers: Timers::default(),
            sessions: Sessions::default(),
            talks: Talks::default(),
            posts: Posts::default(),
            keys: Keys::default(),
            files: Files::default(),
            whispers: Whispers::default(),
        };
        for record in records {
            server.take_back(&record)?;
        }
        Ok(server)
    }

    fn take_back(&mut self, record: &Record) -> Result<(), RestoreError> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "what a device keeps is many things")]
        match &record.key {
            Key::Node => self.strangers_in_all = book::read_node(record)?,
            Key::Due(pair) => _ = self.cold.insert(Key::Trust(pair.clone())),
            Key::Pending(mail) => _ = self.pending.insert(*mail, Pending::restore(record)?),
            Key::Blocked(domain) => {
                book::read_blocked(record)?;
                self.blocked.insert(domain.clone());
            }
            Key::Behind(nk, talk) => {
                self.talks.take_mark(*nk, *talk);
                self.cold.extend([Key::Peer(*nk), Key::Route(*nk)]);
                self.timers.set(Who::Node(*nk), Some(Millis(0)));
            }
            Key::Post(..) => {
                let hub = self.posts.restore(record)?;
                self.cold.extend([Key::Peer(hub), Key::Route(hub)]);
                self.timers.set(Who::Node(hub), Some(Millis(0)));
            }
            Key::Queue(..) if canary::is_on(Canary::QueueForgotten) => {}
            Key::Queue(lane, mail) => {
                let queue = self.lanes.entry(lane.clone()).or_insert_with(|| Queue::new(lane.clone()));
                queue.restore(*mail, record)?;
                self.waiting += 1;
                if let Lane::Node(nk) = lane {
                    self.cold.extend([Key::Peer(*nk), Key::Route(*nk)]);
                    self.timers.set(Who::Node(*nk), Some(Millis(0)));
                }
                let deadline = queue.deadline();
                self.timers.set(Who::Lane(lane.clone()), deadline);
            }
            Key::Forgets(nk, ..) => {
                self.files.forgets.restore(record)?;
                self.cold.extend([Key::Peer(*nk), Key::Route(*nk)]);
                self.timers.set(Who::Node(*nk), Some(Millis(0)));
            }
            Key::Telling(pair) => self.look_at_line(Millis(0), pair),
            key => self.hydrate(key, Some(record))?,
        }
        Ok(())
    }

    /// The records that a step on `input` needs and that are not here. Asked again until empty: look-ups chain.
    #[must_use]
    pub fn wants(&self, input: &Input) -> Vec<Key> {
        wants::wants(self, input)
    }

    /// Brings a record, or its absence.
    ///
    /// # Errors
    /// [`RestoreError`] where the record is damaged, or written by a newer version; the caller may bring its absence
    /// instead, and say so to the operator.
    pub fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
        self.cold.remove(key);
        #[allow(clippy::wildcard_enum_match_arm, reason = "what a device keeps is many things")]
        match key {
            Key::Trust(pair) => {
                let trust = match record {
                    Some(record) => Trust::restore(pair.clone(), record)?,
                    None => Trust::stranger(pair.clone()),
                };
                self.keep_pair(trust);
            }
            Key::Strangers(ours) => {
                let list = record.map(Strangers::restore).transpose()?.unwrap_or_default();
                self.strangers.insert(ours.clone(), list);
            }
            Key::Peer(nk) => {
                let (our_nk, next_nk) = (self.ours.identity.nk(), self.ours.identity.next_nk());
                let generation = self.ours.generation;
                let link = match record {
                    Some(record) => {
                        Link::restore(*nk, our_nk, generation, next_nk, record.value.as_deref().unwrap_or_default())?
                    }
                    None => Link::new(*nk, our_nk, generation, next_nk),
                };
                self.links.insert(*nk, link);
            }
            Key::Route(nk) => _ = self.routes.insert(*nk, record.map(Route::restore).transpose()?),
            Key::Seen(mail) => _ = self.seen.insert(*mail, record.map(Seen::restore).transpose()?),
            Key::Alias(nk) => _ = self.aliases.insert(*nk, record.map(book::read_alias).transpose()?),
            Key::Offers(ours) => _ = self.offers.insert(ours.clone(), record.map(book::read_offers).transpose()?),
            Key::Log(talk) => self.talks.take_log(*talk, record)?,
            Key::Entry(talk, seq) => self.talks.take_entry(*talk, *seq, record)?,
            Key::Talks(ours) => self.talks.take_list(ours, record)?,
            Key::Device(dk) => self.take_device(*dk, record)?,
            Key::Lines(ours) => self.take_lines(ours, record)?,
            Key::Proofs(pair) => self.take_proofs(pair, record)?,
            Key::List(whose, number) => {
                self.keys.lists.insert((whose.clone(), *number), record.and_then(|record| record.value.clone()));
            }
            Key::Packages(ours, dk) => self.take_packages((ours.clone(), *dk), record)?,
            Key::Shelf(ours) => self.take_shelf(ours, record)?,
            Key::Notes(ours) => {
                let notes = record.map(Notes::restore).transpose()?.unwrap_or_default();
                self.keys.notes.insert(ours.clone(), notes);
            }
            Key::Note(ours, number) => self.take_note((ours.clone(), *number), record)?,
            Key::Keys(address) => {
                let known = record.map(Known::restore).transpose()?.unwrap_or_default();
                self.keys.known.insert(address.clone(), known);
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets a record that was hydrated, to bound memory. Only between batches: what a batch changed must be stored.
    ///
    /// Returns whether it was forgotten; what is in use stays.
    pub fn forget(&mut self, key: &Key) -> bool {
        #[allow(clippy::wildcard_enum_match_arm, reason = "what a device keeps is many things")]
        match key {
            Key::Trust(pair) => {
                let busy = self.pairs.get(pair).is_some_and(|trust| trust.deadline().is_some())
                    || self.needs.contains_key(pair);
                !busy && self.pairs.remove(pair).is_some()
            }
            Key::Strangers(ours) => self.strangers.remove(ours).is_some(),
            Key::Peer(nk) => {
                let busy = self.links.get(nk).is_some_and(|link| !link.is_idle())
                    || self.lanes.contains_key(&Lane::Node(*nk))
                    || self.unfinished.contains_key(nk)
                    || self.waits_for(*nk);
                let gone = !busy && self.links.remove(nk).is_some();
                if gone {
                    self.timers.set(Who::Link(*nk), None);
                }
                gone
            }
            Key::Route(nk) => !self.links.contains_key(nk) && self.routes.remove(nk).is_some(),
            Key::Seen(mail) => self.seen.remove(mail).is_some(),
            // That a key has another name must not be forgotten while pairs in memory may bear it; there are few such.
            Key::Alias(nk) => self.aliases.get(nk) == Some(&None) && self.aliases.remove(nk).is_some(),
            Key::Offers(ours) => self.offers.remove(ours).is_some(),
            Key::Log(talk) => self.forget_log(*talk),
            // Entries are let go with what they are needed for.
            Key::Entry(..) => true,
            Key::Talks(ours) => self.talks.forget_list(ours),
            Key::Device(dk) => self.forget_device(*dk),
            Key::Lines(ours) => self.keys.lines.remove(ours).is_some(),
            Key::Proofs(pair) => self.forget_proofs(pair),
            Key::List(whose, number) => self.keys.lists.remove(&(whose.clone(), *number)).is_some(),
            Key::Packages(ours, dk) => self.keys.packages.remove(&(ours.clone(), *dk)).is_some(),
            Key::Shelf(ours) => self.forget_shelf(ours),
            Key::Notes(ours) => self.keys.notes.remove(ours).is_some(),
            Key::Note(ours, number) => self.keys.note_bytes.remove(&(ours.clone(), *number)).is_some(),
            Key::Keys(address) => self.keys.known.remove(address).is_some(),
            _ => false,
        }
    }

    /// How many records are in memory, by whatever name: what `limits` and the simulator watch.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.pairs.len()
            + self.strangers.len()
            + self.pending.len()
            + self.seen.len()
            + self.waiting
            + self.links.len()
            + self.aliases.len()
            + self.offers.len()
            + self.greetings.len()
            + self.fetching.len()
            + self.sessions_in_memory()
            + self.keys.in_memory()
            + self.talks.in_memory()
            + self.posts.len()
            + self.files_in_memory()
            + self.whispers.in_memory()
    }

    /// The domains that the operator blocks.
    pub fn blocked_domains(&self) -> impl Iterator<Item = &Domain> {
        self.blocked.iter()
    }

    /// The lanes, for operators.
    pub fn lanes(&self) -> impl Iterator<Item = (&Lane, &Queue)> {
        self.lanes.iter()
    }

    /// The nodes whose link is up, for operators.
    pub fn links_up(&self) -> impl Iterator<Item = NodeKey> {
        self.links.iter().filter(|(_, link)| link.is_up()).map(|(nk, _)| *nk)
    }

    fn keep_pair(&mut self, trust: Trust) {
        let pair = trust.pair().clone();
        self.timers.set(Who::Pair(pair.clone()), trust.deadline());
        let unnamed = trust.nodes().filter(|nk| !self.aliases.contains_key(nk));
        self.cold.extend(unnamed.map(Key::Alias));
        if let Some(nk) = trust.peer_nk().filter(|nk| trust.wants_link() && *nk != here::HERE) {
            self.timers.set(Who::Node(nk), Some(self.now));
        }
        self.pairs.insert(pair.clone(), trust);
        self.note_unfinished(&pair);
    }

    /// Keeps the index of unfinished pairs true, and sees that their nodes are brought.
    fn note_unfinished(&mut self, pair: &Pair) {
        let open = self.pairs.get(pair).filter(|trust| trust.is_under_way());
        let needs = open.and_then(Trust::peer_nk).filter(|nk| *nk != here::HERE);
        let needed = self.needs.get(pair).copied();
        if needs == needed {
            return;
        }
        if let Some(nk) = needed
            && let Some(pairs) = self.unfinished.get_mut(&nk)
        {
            pairs.remove(pair);
            if pairs.is_empty() {
                self.unfinished.remove(&nk);
            }
        }
        let Some(nk) = needs else {
            self.needs.remove(pair);
            return;
        };
        self.needs.insert(pair.clone(), nk);
        self.unfinished.entry(nk).or_default().insert(pair.clone());
        if !self.links.contains_key(&nk) {
            self.cold.insert(Key::Peer(nk));
        }
        if !self.routes.contains_key(&nk) {
            self.cold.insert(Key::Route(nk));
        }
    }
}

impl Machine for Server {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        if let Some(key) = self.wants(&input).into_iter().next() {
            return Err(Misuse::NotHydrated(key));
        }
        // The clock of a front door never runs back, whatever the host's does.
        let tick = Tick { now: tick.now.max(self.now), entropy: tick.entropy };
        match input {
            Input::Mail(id, mail) => self.mail(&tick, id, mail, out)?,
            Input::Filter(id, mail) => self.filter(&tick, id, &mail, out)?,
            Input::Evidence(id, evidence) => self.evidence(&tick, id, &evidence, out),
            Input::Link(link, input) => self.link(&tick, link, input, out)?,
            Input::Unreached(dial) => self.unreached(&tick, &dial, out),
            Input::Report(send, outcome) => self.report(&tick, send, outcome, out)?,
            Input::Session(session, input) => self.session(&tick, session, input, out)?,
            Input::Command(command) => self.command(&tick, command, out)?,
            Input::Wake => self.wake(&tick, out),
            Input::BatchEnd => self.batch_end(&tick, out),
        }
        self.settle_lines(&tick, out);
        self.tell_comers(&tick, out);
        self.now = tick.now;
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.timers.first()
    }
}

impl Server {
    fn wake(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let mut left = limits::WAKE_BATCH;
        while left > 0 {
            // What one has to do may give another something to do at once.
            let due = self.timers.due(tick.now, left);
            if due.is_empty() {
                return;
            }
            left -= due.len();
            for who in due {
                match who {
                    Who::Pair(pair) => self.trust(tick, &pair, crate::machine::trust::Input::Wake, out),
                    Who::Lane(lane) => self.lane(tick, &lane, crate::machine::queue::Input::Wake, out),
                    Who::Link(nk) => self.run_link(tick, nk, crate::machine::link::Input::Wake, out),
                    Who::Node(nk) => self.node_due(tick, nk, out),
                    Who::Log(talk) => self.log_due(tick, talk, out),
                    Who::Comers => self.comers_due(tick, out),
                    Who::Posts(hub) => self.posts_due(tick, hub, out),
                    Who::Files => self.files_due(tick, out),
                    Who::Whisper(nk) => self.whispers_due(tick, nk, out),
                    Who::Greeting(link) => self.greeting(tick, link, crate::machine::greeting::Input::Wake, out),
                    Who::Keys => {
                        self.settle_lines(tick, out);
                        self.tell_comers(tick, out);
                        self.expire_questions(tick, out);
                    }
                    Who::Session(session) => {
                        self.run_session(tick, session, crate::machine::session::node::Input::Wake, out);
                    }
                }
            }
        }
    }

    fn command(&mut self, tick: &Tick, command: Command, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        use crate::machine::{link, queue, trust};
        match command {
            Command::Block(pair) => self.trust(tick, &pair, trust::Input::Block, out),
            Command::Unblock(pair) => self.trust(tick, &pair, trust::Input::Unblock, out),
            Command::Readmit(pair, nk) => self.trust(tick, &pair, trust::Input::Readmit(nk), out),
            Command::BlockDomain(domain) => self.block_domain(tick, domain, out)?,
            Command::UnblockDomain(domain) => self.unblock_domain(&domain, out),
            Command::Offers(ours, on) => self.set_offers(ours, on, out)?,
            Command::Retry(lane) => {
                let all = || self.lanes.keys().cloned().collect();
                for lane in lane.map_or_else(all, |lane| vec![lane]) {
                    self.lane(tick, &lane, queue::Input::Retry, out);
                }
            }
            Command::RevokeDevice(address, dk) => self.unenrol(tick, &address, dk, out),
            Command::Drain => {
                self.draining = true;
                self.end_sessions(tick, out);
                for nk in self.links.keys().copied().collect::<Vec<_>>() {
                    self.run_link(tick, nk, link::Input::Leave, out);
                }
            }
        }
        Ok(())
    }
}
