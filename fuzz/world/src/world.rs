//! Nodes, the mail between them, and their links, in virtual time.
//!
//! ```text
//!   people, evil, troubles ──▶ queue ──▶ steps ──▶ effects ──▶ post (mail), lines (links) ──▶ queue
//!                                                    └─ proofs: what leaves is held to the invariants
//! ```

mod devices;
mod effects;
mod evil;
mod fading;
mod files;
mod liars;
mod lines;
mod losses;
mod marks;
mod people;
mod post;
mod proofs;
mod sayings;
mod sessions;
mod snapshots;
mod steps;
mod tape;
mod told;
mod touch;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client;
use postline_core::client::io::Passphrase;
use postline_core::content::mail::Rcpt;
use postline_core::id::{Address, BlobRef, Hash, LinkId, MailId, Mailbox, Pair, SessionId};
use postline_core::machine::queue::Phase;
use postline_core::server::io::RcptOutcome;
use postline_core::server::{Dial, Event, Input, LinkIn, SessionIn, SessionOut};
use postline_core::time::{DAY, HOUR, MINUTE, Millis, SECOND};
use postline_core::wire::file::BytesOut;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Talk;
use postline_core::wire::whisper::Whisper;

use crate::bytes::mailbox_of;
use crate::device::Device;
use crate::ledger::Ledger;
use crate::node::{Broken, Node};
use crate::rng::Rng;
use crate::sealed::Sealed;
use crate::trace::Trace;
use crate::weather::Weather;

pub use fading::Lasts;
use files::Wire;
use lines::Conn;
pub use people::Deed;
pub use post::{FORWARDS, LISTS, ROBOTS};
use post::{Parcel, Post};
use proofs::Proofs;
pub use sayings::Deal;
use sessions::Session;
use tape::Tape;
pub use touch::Touch;
pub use troubles::Trouble;

/// When every world begins.
pub const EPOCH: Millis = Millis(1_795_000_000_000);
/// How long a mail takes.
const SMTP_MS: u64 = 40;
/// How often in a row a node may say that it is due now.
const WAKES_IN_A_ROW: u32 = 64;
/// How often all of them may be due within a second: more is somebody who never gets done.
const WAKES_A_SECOND: u32 = 1_000;

/// The world.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Millis,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Everything that happened, in order: node, time, event.
    pub events: Vec<(usize, Millis, Event)>,
    /// The devices of people.
    pub devices: Vec<Device>,
    /// What really happened in sealed conversations.
    pub sealed: Sealed,
    /// What is known of files.
    pub(crate) files: files::Files,
    /// What is known of words that people found.
    pub(crate) sayings: sayings::Sayings,
    /// A node that lies about keys and conversations.
    pub liar: Option<usize>,
    /// What nodes want done on sessions that aren't of these devices, in order: for who plays others.
    pub to_devices: Vec<(usize, SessionId, SessionOut)>,
    /// What nodes have done about the bytes of files on links: nothing comes of it, but what [`tell_link`](Self::tell_link) says.
    pub bytes: Vec<(usize, BytesOut)>,
    /// What goes wrong.
    pub weather: Weather,
    /// What really happened.
    pub ledger: Ledger,
    /// What the run did.
    pub trace: Trace,
    /// The first thing that must never happen, and did.
    pub broken: Option<Broken>,
    /// How many steps were made.
    pub steps: u64,
    /// Whether people take a key that is proposed to them.
    pub people_accept: bool,
    /// Who ever agreed to be seen, and by whom.
    pub(crate) agreed: BTreeSet<Pair>,
    /// How often somebody was shown to be here or away, and to be writing.
    pub whispered: (u64, u64),
    /// What nodes say to each other, and when, in order, where somebody wants to hear it: by whom.
    pub overheard: Option<Vec<(usize, Millis, Frame)>>,
    /// What each node looked up, in order.
    lookups: Vec<(usize, &'static str)>,
    rng: Rng,
    queue: BTreeMap<(Millis, u64), Happening>,
    sequence: u64,
    lines: BTreeMap<LinkId, Conn>,
    sessions: BTreeMap<SessionId, Session>,
    next_link: u64,
    next_mail: u64,
    post: Post,
    proofs: Proofs,
    /// By node: how often it forgot something that was under way.
    troubles: Vec<u64>,
    /// Answers that are still to come.
    awaiting: BTreeMap<MailId, (usize, Awaiting)>,
    /// Arrivals whose commit is still to come: node, mail, mailbox, and whether it is recognised.
    arriving: Vec<(usize, String, Mailbox, bool)>,
    /// The backups that people have put away.
    backups: BTreeMap<Address, (Vec<u8>, Passphrase)>,
    /// The device lists that went by: a node that lies shows old ones.
    old_lists: Vec<Vec<u8>>,
    /// Nodes that don't reach others: from, to.
    apart: BTreeSet<(usize, usize)>,
    /// Nodes that stand still, and until when.
    pauses: BTreeMap<usize, Millis>,
    /// A node that was started from a copy, and the old one that runs on.
    twin: Option<Twin>,
    tape: Tape,
    wakes_in_a_row: u32,
    /// How often somebody was due within the second that began then.
    wakes: (Millis, u32),
}

/// Two that are one node to everybody else.
#[derive(Clone, Copy, Debug)]
struct Twin {
    node: usize,
    old: usize,
    /// Whether the old one is still there.
    runs: bool,
}

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Woken {
    Node(usize),
    Device(usize),
}

#[derive(Debug)]
enum Awaiting {
    Author(String),
    Server(Box<Parcel>, Vec<RcptOutcome>),
}

#[derive(Debug)]
enum Happening {
    Step {
        node: usize,
        troubles: Option<u64>,
        input: Box<Input>,
        body: Option<Vec<u8>>,
    },
    Commit(usize, u64),
    Connect(usize, u64, Dial),
    /// Bytes reach an end of a connection; none: it ends.
    Bytes(LinkId, usize, Vec<u8>),
    /// A body goes on, from an offset: node, end.
    Chunk(LinkId, usize, usize, BlobRef, u64),
    /// The next piece of a file goes from an end of a connection.
    OfFile(Wire, usize, Hash),
    /// A person wants a file, on a device.
    WantsFile(usize, Hash),
    Parcel(Box<Parcel>),
    Start(usize),
    /// A device is told something.
    Device(usize, Box<client::Input>),
    DeviceUp(usize),
    /// A person looks whether a device was let in.
    Joins(usize),
    /// A person has a device that is a copy begin as a new one.
    Anew(usize),
    SessionUp(SessionId, [u8; 32]),
    /// Bytes reach an end of a session; none: it ends.
    Session(SessionId, usize, Vec<u8>),
    Deed(Deed),
    Trouble(Trouble),
}

impl World {
    /// A world of these domains, one node each, in calm weather.
    ///
    /// # Panics
    /// Where a name is no domain.
    #[must_use]
    pub fn of(domains: &[&str]) -> Self {
        Self::seeded(0, domains, Weather::calm(), false)
    }

    /// A world with a seed, its weather, and whether anybody wants to read what happens.
    ///
    /// # Panics
    /// Where a name is no domain.
    #[must_use]
    #[expect(clippy::expect_used, reason = "test code names its domains itself")]
    pub fn seeded(seed: u64, domains: &[&str], weather: Weather, reads: bool) -> Self {
        let nodes = domains
            .iter()
            .zip(1..)
            .map(|(name, seed)| Node::new(&postline_core::id::Domain::parse(name).expect("a domain"), seed));
        let nodes: Vec<Node> = nodes.collect();
        Self {
            now: EPOCH,
            events: Vec::new(),
            devices: Vec::new(),
            sealed: Sealed::default(),
            files: files::Files::none(),
            sayings: sayings::Sayings::default(),
            liar: None,
            sessions: BTreeMap::new(),
            to_devices: Vec::new(),
            bytes: Vec::new(),
            weather,
            ledger: Ledger::default(),
            trace: Trace::new(reads),
            broken: None,
            steps: 0,
            people_accept: false,
            agreed: BTreeSet::new(),
            whispered: (0, 0),
            overheard: None,
            lookups: Vec::new(),
            rng: Rng::new(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            lines: BTreeMap::new(),
            next_link: 1,
            next_mail: 1,
            post: Post::default(),
            proofs: Proofs::default(),
            troubles: vec![0; nodes.len()],
            awaiting: BTreeMap::new(),
            arriving: Vec::new(),
            backups: BTreeMap::new(),
            old_lists: Vec::new(),
            apart: BTreeSet::new(),
            pauses: BTreeMap::new(),
            twin: None,
            tape: Tape::default(),
            wakes_in_a_row: 0,
            wakes: (EPOCH, 0),
            nodes,
        }
    }

    /// The node that serves an address.
    #[must_use]
    pub fn home(&self, address: &Address) -> Option<usize> {
        self.nodes.iter().position(|node| node.serves(address.domain()))
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now.plus(delay), self.sequence), happening);
    }

    fn troubles_of(&self, node: usize) -> u64 {
        self.troubles.get(node).copied().unwrap_or_default()
    }

    /// What a node looked up: of a mail's signatures, or of a domain.
    #[must_use]
    pub fn looked_up(&self, node: usize) -> Vec<&'static str> {
        self.lookups.iter().filter(|(by, _)| *by == node).map(|(_, what)| *what).collect()
    }

    /// Changes what a node is, before anything happens, and starts it anew.
    pub fn sets_up(&mut self, node: usize, set: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(node) {
            set(node);
            let started = node.start();
            self.holds(started);
        }
    }

    fn trouble_at(&mut self, node: usize) {
        if let Some(troubles) = self.troubles.get_mut(node) {
            *troubles += 1;
        }
    }

    /// Has a node step on what comes back from its own doing: lost if the node goes down before.
    fn comes_back(&mut self, delay: u64, node: usize, input: Input) {
        let troubles = Some(self.troubles_of(node));
        self.at(delay, Happening::Step { node, troubles, input: Box::new(input), body: None });
    }

    /// Has something happen at its time.
    pub fn plan(&mut self, delay: u64, trouble: Trouble) {
        self.at(delay, Happening::Trouble(trouble));
    }

    /// Has a person do something at its time.
    pub fn plan_deed(&mut self, delay: u64, deed: Deed) {
        self.at(delay, Happening::Deed(deed));
    }

    /// Something that must never happen, did.
    fn breaks(&mut self, broken: Broken) {
        self.trace.note(self.now, format_args!("BROKEN {}: {}", broken.0, broken.1));
        self.broken.get_or_insert(broken);
    }

    fn holds(&mut self, result: Result<(), Broken>) {
        if let Err(broken) = result {
            self.breaks(broken);
        }
    }

    fn mail_id(&mut self) -> MailId {
        self.next_mail += 1;
        let hash = postline_core::store::sha256(&[b"world mail", &self.next_mail.to_be_bytes()]).0;
        let mut id = [0; MailId::LEN];
        id.copy_from_slice(hash.split_at(MailId::LEN).0);
        MailId(id)
    }

    fn rcpts(&self, node: usize, to: &[Address]) -> Vec<Rcpt> {
        let here = |address: &Address| self.nodes.get(node).is_some_and(|node| node.serves(address.domain()));
        let rcpt = |address: &Address| {
            let mailbox = here(address).then(|| mailbox_of(address));
            let known = |name: &Mailbox| {
                self.nodes.get(node).is_some_and(|node| node.users.is_empty() || node.users.contains(name))
            };
            Rcpt { address: address.clone(), mailbox: mailbox.filter(known) }
        };
        to.iter().map(rcpt).collect()
    }

    /// An operator or a person commands.
    pub fn command(&mut self, node: usize, command: postline_core::server::Command) {
        let input = Box::new(Input::Command(command));
        self.at(0, Happening::Step { node, troubles: None, input, body: None });
    }

    /// Something happens on a session of a device: lost where the node goes down before.
    pub fn on_session(&mut self, node: usize, session: SessionId, what: SessionIn) {
        self.comes_back(0, node, Input::Session(session, what));
    }

    /// A node hears something on a connection that its peer's honest code would not say.
    pub fn on_link(&mut self, node: usize, link: LinkId, talk: Talk) {
        self.tell_link(node, link, LinkIn::Frame(Frame::Talk(talk)));
    }

    /// Something happens on a connection, at one end.
    pub fn tell_link(&mut self, node: usize, link: LinkId, what: LinkIn) {
        self.comes_back(0, node, Input::Link(link, what));
    }

    /// The same, of what is whispered.
    pub fn whispers_on_link(&mut self, node: usize, link: LinkId, whisper: Whisper) {
        self.comes_back(0, node, Input::Link(link, LinkIn::Frame(Frame::Whisper(whisper))));
    }

    // Time.

    /// Runs until nothing happens for `quiet` milliseconds, or `limit` steps were made.
    pub fn run(&mut self, quiet: u64, limit: usize) {
        let mut until = self.now.plus(quiet);
        for _ in 0..limit {
            let Some((at, woken)) = self.next().filter(|(at, _)| *at <= until) else {
                self.now = until;
                return;
            };
            if woken.is_none() {
                until = at.max(self.now).plus(quiet);
            }
            self.turn(at, woken);
        }
    }

    /// Runs for so long, or until something is broken.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        while self.broken.is_none()
            && let Some((at, woken)) = self.next().filter(|(at, _)| *at <= until)
        {
            self.turn(at, woken);
        }
        self.now = self.now.max(until);
    }

    fn next(&self) -> Option<(Millis, Option<Woken>)> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| (*at, None));
        let wakes = self.nodes.iter().enumerate().filter(|(_, node)| !node.has_batch());
        let at = |i: usize, at: Millis| self.pauses.get(&i).map_or(at, |until| at.max(*until));
        let wake = wakes.filter_map(|(i, node)| Some((at(i, node.deadline(self.now)?), Some(Woken::Node(i)))));
        let devices = self.devices.iter().enumerate();
        let devices = devices.filter_map(|(i, device)| Some((device.deadline()?, Some(Woken::Device(i)))));
        let wake = wake.chain(devices).min();
        match (queued, wake) {
            (Some(queued), Some(wake)) => Some(if wake.0 < queued.0 { wake } else { queued }),
            (queued, wake) => queued.or(wake),
        }
    }

    fn turn(&mut self, at: Millis, woken: Option<Woken>) {
        let at = at.max(self.now);
        self.wakes_in_a_row = if woken.is_some() && at == self.now { self.wakes_in_a_row + 1 } else { 0 };
        if self.wakes_in_a_row > WAKES_IN_A_ROW {
            let what = format!("after {WAKES_IN_A_ROW} wakes a deadline is still due");
            self.breaks(("wake", what));
        }
        let (since, count) = if at.since(self.wakes.0) < SECOND { self.wakes } else { (at, 0) };
        self.wakes = (since, count + u32::from(woken.is_some()));
        if self.wakes.1 > WAKES_A_SECOND {
            self.breaks(("wake", format!("{woken:?} is due more than {WAKES_A_SECOND} times a second")));
        }
        self.now = at;
        match woken {
            Some(Woken::Node(node)) => self.step(node, Input::Wake, None),
            Some(Woken::Device(device)) => self.step_device(device, client::Input::Wake),
            None => {
                if let Some(((_, sequence), happening)) = self.queue.pop_first() {
                    match self.standing_still(&happening) {
                        // In the order in which all this was to come.
                        Some(until) => _ = self.queue.insert((until, sequence), happening),
                        None => self.happen(happening),
                    }
                }
            }
        }
    }

    /// Until when a node stands still for which something is.
    fn standing_still(&self, happening: &Happening) -> Option<Millis> {
        let node = match happening {
            _ if self.pauses.is_empty() => None,
            Happening::Step { node, .. }
            | Happening::Commit(node, _)
            | Happening::Connect(node, ..)
            | Happening::Chunk(_, node, ..) => Some(*node),
            Happening::Bytes(link, to, _) => self.lines.get(link).and_then(|conn| conn.ends.get(*to).copied()),
            Happening::Parcel(parcel) => self.nodes.iter().position(|node| node.serves(&parcel.domain)),
            Happening::Session(id, 1, _) => self.sessions.get(id).map(Session::node),
            Happening::Start(_)
            | Happening::Device(..)
            | Happening::DeviceUp(_)
            | Happening::OfFile(..)
            | Happening::WantsFile(..)
            | Happening::Joins(_)
            | Happening::Anew(_)
            | Happening::SessionUp(..)
            | Happening::Session(..)
            | Happening::Deed(_)
            | Happening::Trouble(_) => None,
        };
        self.pauses.get(&node?).copied().filter(|until| *until > self.now)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step { node, troubles, input, body } => {
                if troubles.is_none_or(|then| then == self.troubles_of(node)) {
                    self.step(node, *input, body);
                }
            }
            Happening::Commit(node, then) => {
                if then == self.troubles_of(node) {
                    self.commit(node);
                }
            }
            Happening::Connect(node, then, dial) => {
                if then == self.troubles_of(node) {
                    self.connect(node, dial);
                }
            }
            Happening::Bytes(link, to, bytes) => self.bytes_came(link, to, &bytes),
            Happening::Chunk(link, node, end, blob, offset) => self.chunk(node, link, end, blob, offset),
            Happening::OfFile(wire, end, hash) => self.of_file(wire, end, hash),
            Happening::WantsFile(device, hash) => self.wants_file(device, hash),
            Happening::Parcel(parcel) => self.parcel_came(*parcel),
            Happening::Start(node) => self.start(node),
            Happening::Device(device, input) => self.step_device(device, *input),
            Happening::DeviceUp(device) => self.device_up(device),
            Happening::Joins(device) => self.joins(device),
            Happening::Anew(device) => self.anew(device),
            Happening::SessionUp(id, channel) => self.session_up(id, channel),
            Happening::Session(id, to, bytes) => self.session_came(id, to, &bytes),
            Happening::Deed(deed) => self.deed(deed),
            Happening::Trouble(trouble) => self.trouble(trouble),
        }
    }

    /// Whether everything that was taken has come to its end: nothing waits, nothing is on its way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let parcels = self.queue.values().any(|happening| matches!(happening, Happening::Parcel(_)));
        let waits = |node: &Node| {
            let lanes = node.server.iter().flat_map(postline_core::server::Server::lanes);
            lanes.flat_map(|(_, queue)| queue.entries()).any(|shown| shown.phase != Phase::Acked)
        };
        let mut lawful = self.nodes.iter().enumerate().filter(|(index, _)| !self.is_twin(*index));
        !parcels && lawful.all(|(_, node)| node.server.is_some() && !waits(node))
    }

    /// The node itself, where this is the old one of two that are one.
    fn as_one(&self, index: usize) -> usize {
        self.twin.filter(|twin| twin.old == index).map_or(index, |twin| twin.node)
    }

    /// Whether this is the old one of two that are one node.
    pub(crate) fn is_twin(&self, index: usize) -> bool {
        self.twin.is_some_and(|twin| twin.old == index)
    }
}

/// How long chaos lasts, as a seed draws it.
pub(crate) fn chaos_ms(rng: &mut Rng) -> u64 {
    [2 * MINUTE, 20 * MINUTE, 6 * HOUR, 3 * DAY].get(rng.index(4)).copied().unwrap_or(MINUTE)
}
