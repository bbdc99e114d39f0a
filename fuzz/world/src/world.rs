//! Nodes, the mail between them, and their links, in virtual time.

mod evil;
mod lines;
mod people;
mod post;
mod proofs;

use std::collections::{BTreeMap, BTreeSet};

use postline_codec::mime::letter::{compose_head, head_len};
use postline_codec::mime::report;
use postline_core::canary::{self, Canary};
use postline_core::content::mail::{Letter, MailIn, Rcpt, Source, Text};
use postline_core::id::{Address, BlobRef, LinkId, MailId, Mailbox, SessionId};
use postline_core::machine::queue::Phase;
use postline_core::server::io::{Outcome, RcptOutcome, Seek};
use postline_core::server::{Command, Dial, Event, Input, Output, SendId, SessionIn, SessionOut, Took};
use postline_core::time::{DAY, HOUR, MINUTE, Millis, SECOND};

use crate::bytes::{Draft, mail_in, mailbox_of, marker_of};
use crate::ledger::Ledger;
use crate::node::{Broken, Committed, Node};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::weather::{Fault, Weather};

use lines::Conn;
pub use people::Deed;
pub use post::{FORWARDS, LISTS, ROBOTS};
use post::{Parcel, Post};
use proofs::Proofs;

/// When every world begins.
pub const EPOCH: Millis = Millis(1_795_000_000_000);
/// How long a mail takes.
const SMTP_MS: u64 = 40;
/// How long a delivery into a mailbox takes.
const MAILBOX_MS: u64 = 1;
/// How often in a row a node may say that it is due now.
const WAKES_IN_A_ROW: u32 = 64;

/// The world.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Millis,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Everything that happened, in order: node, time, event.
    pub events: Vec<(usize, Millis, Event)>,
    /// What nodes want done on sessions of devices, in order: for who plays the devices.
    pub to_devices: Vec<(usize, SessionId, SessionOut)>,
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
    /// What each node looked up, in order.
    lookups: Vec<(usize, &'static str)>,
    rng: Rng,
    queue: BTreeMap<(Millis, u64), Happening>,
    sequence: u64,
    lines: BTreeMap<LinkId, Conn>,
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
    /// Nodes that don't reach others: from, to.
    apart: BTreeSet<(usize, usize)>,
    wakes_in_a_row: u32,
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
    Parcel(Box<Parcel>),
    Start(usize),
    Deed(Deed),
    Trouble(Trouble),
}

/// A fault that comes at its own time.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// From one node nothing reaches the other, or it does again.
    Apart(usize, usize, bool),
    /// A clock jumps.
    Clock(usize, i64),
    /// A node goes down.
    Crash(usize),
    /// A backup is taken.
    BackUp(usize),
    /// A node is started from its backup; the flag: its operator says so.
    Restore(usize, bool),
    /// A node's key changes to the one that it announced.
    Rotate(usize),
    /// A node's key changes to one that nobody was told of.
    Rekey(usize),
    /// Somebody does something evil.
    Evil,
    /// Somebody opens connections to a node.
    Flood(usize),
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
            to_devices: Vec::new(),
            weather,
            ledger: Ledger::default(),
            trace: Trace::new(reads),
            broken: None,
            steps: 0,
            people_accept: false,
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
            apart: BTreeSet::new(),
            wakes_in_a_row: 0,
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

    /// Has a domain say itself which key is its node's.
    pub fn says_its_key(&mut self, node: usize) {
        if let Some(node) = self.nodes.get(node) {
            for domain in node.also.iter().chain([&node.domain]) {
                self.post.says.insert(domain.clone(), node.nk());
            }
        }
    }

    /// Has a domain say that a key is its node's.
    pub fn says(&mut self, domain: &postline_core::id::Domain, nk: postline_core::id::NodeKey) {
        self.post.says.insert(domain.clone(), nk);
    }

    /// Somebody who saw a mail go by brings it to a recipient once more, as it was. `None` where nobody saw it.
    pub fn brings_again(&mut self, message_id: &str, to: &postline_core::id::Address) -> Option<Vec<u8>> {
        let is_it = |seen: &&post::Parcel| {
            postline_codec::mime::scan(&seen.bytes).canonical().is_some_and(|head| head.message_id == message_id)
        };
        let seen = self.post.tape.iter().find(is_it)?.clone();
        let again = post::Parcel { domain: to.domain().clone(), to: vec![to.clone()], ..seen };
        let bytes = again.bytes.clone();
        self.at(0, Happening::Parcel(Box::new(again)));
        Some(bytes)
    }

    /// What relays have on their way is gone.
    pub fn lose_mail(&mut self) {
        self.queue.retain(|_, happening| !matches!(happening, Happening::Parcel(parcel) if parcel.sender.is_none()));
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
        let here = |address: &Address| self.home(address) == Some(node);
        let rcpt = |address: &Address| {
            let mailbox = here(address).then(|| mailbox_of(address));
            let known = |name: &Mailbox| {
                self.nodes.get(node).is_some_and(|node| node.users.is_empty() || node.users.contains(name))
            };
            Rcpt { address: address.clone(), mailbox: mailbox.filter(known) }
        };
        to.iter().map(rcpt).collect()
    }

    /// A mail is handed in at its author's node.
    fn hand_in(&mut self, draft: &Draft) {
        let Some(node) = self.home(&draft.from) else { return };
        let to: Vec<Rcpt> = self.rcpts(node, &draft.to);
        let ours = |rcpt: &Rcpt| self.home(&rcpt.address) == Some(node);
        // A server refuses at once whom it doesn't know among its own.
        let to: Vec<Rcpt> = to.iter().filter(|rcpt| rcpt.mailbox.is_some() || !ours(rcpt)).cloned().collect();
        if to.is_empty() || self.nodes.get(node).is_none_or(|node| node.server.is_none()) {
            return;
        }
        let bytes = draft.bytes();
        let source = Source::User { login: mailbox_of(&draft.from), author: Some(draft.from.clone()) };
        let rcpts = to.iter().map(|rcpt| rcpt.address.clone()).collect();
        self.ledger.handed_in(&draft.message_id, Some(node), Some(draft.from.clone()), rcpts);
        for mailbox in to.iter().filter_map(|rcpt| rcpt.mailbox.clone()).collect::<BTreeSet<_>>() {
            self.ledger.arrived(&draft.message_id, node, &mailbox, false);
        }
        let mail = mail_in(&bytes, source, Some(draft.from.clone()), to);
        let id = self.mail_id();
        self.awaiting.insert(id, (node, Awaiting::Author(draft.message_id.clone())));
        self.at(0, Happening::Step { node, troubles: None, input: Box::new(Input::Mail(id, mail)), body: Some(bytes) });
    }

    /// An operator or a person commands.
    pub fn command(&mut self, node: usize, command: postline_core::server::Command) {
        let input = Box::new(Input::Command(command));
        self.at(0, Happening::Step { node, troubles: None, input, body: None });
    }

    /// Something happens on a session of a device: lost where the node goes down before.
    pub fn on_session(&mut self, node: usize, session: SessionId, what: SessionIn) {
        let (troubles, input) = (Some(self.troubles_of(node)), Box::new(Input::Session(session, what)));
        self.at(0, Happening::Step { node, troubles, input, body: None });
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

    fn next(&self) -> Option<(Millis, Option<usize>)> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| (*at, None));
        let wakes = self.nodes.iter().enumerate().filter(|(_, node)| !node.has_batch());
        let wake = wakes.filter_map(|(i, node)| Some((node.deadline(self.now)?, Some(i)))).min();
        match (queued, wake) {
            (Some(queued), Some(wake)) => Some(if wake.0 < queued.0 { wake } else { queued }),
            (queued, wake) => queued.or(wake),
        }
    }

    fn turn(&mut self, at: Millis, woken: Option<usize>) {
        let at = at.max(self.now);
        self.wakes_in_a_row = if woken.is_some() && at == self.now { self.wakes_in_a_row + 1 } else { 0 };
        if self.wakes_in_a_row > WAKES_IN_A_ROW {
            let what = format!("after {WAKES_IN_A_ROW} wakes a deadline is still due");
            self.breaks(("wake", what));
        }
        self.now = at;
        match woken {
            Some(node) => self.step(node, Input::Wake, None),
            None => {
                if let Some((_, happening)) = self.queue.pop_first() {
                    self.happen(happening);
                }
            }
        }
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
            Happening::Parcel(parcel) => self.parcel_came(*parcel),
            Happening::Start(node) => self.start(node),
            Happening::Deed(deed) => self.deed(deed),
            Happening::Trouble(trouble) => self.trouble(trouble),
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.trace.note(self.now, format_args!("{trouble:?}"));
        match trouble {
            Trouble::Apart(from, to, apart) => {
                if apart {
                    self.apart.insert((from, to));
                } else {
                    self.apart.remove(&(from, to));
                }
            }
            Trouble::Clock(node, ms) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.clock_ahead += ms;
                }
            }
            Trouble::Crash(node) => self.crash(node),
            Trouble::BackUp(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.disk.back_up();
                }
            }
            Trouble::Restore(index, noticed) => {
                self.crash(index);
                if let Some(node) = self.nodes.get_mut(index)
                    && node.disk.restore_backup()
                {
                    node.generation += u64::from(noticed);
                    self.ledger.rolled_back.insert(index);
                }
            }
            Trouble::Rotate(node) => self.rotate(node, true),
            Trouble::Rekey(node) => self.rotate(node, false),
            Trouble::Evil => self.do_evil(),
            Trouble::Flood(node) => self.flood(node),
        }
    }

    /// A node is stopped, its key is changed, and it is started again. Where its domain said which key it is, it says so.
    fn rotate(&mut self, index: usize, announced: bool) {
        self.crash(index);
        if let Some(node) = self.nodes.get_mut(index) {
            node.rotate(announced);
            if self.post.says.contains_key(&node.domain) {
                self.says_its_key(index);
            }
        }
    }

    // Steps.

    fn step(&mut self, index: usize, input: Input, body: Option<Vec<u8>>) {
        if index >= self.nodes.len() {
            return;
        }
        self.steps += 1;
        self.trace.note(self.now, format_args!("{index} < {}", Brief(&input)));
        let batches = self.weather.strikes(Fault::Batches, &mut self.rng);
        let (now, troubles) = (self.now, self.troubles_of(index));
        let Some(node) = self.nodes.get_mut(index) else { return };
        let waits = node.has_batch();
        let stepped = node.step(now, input, body);
        self.holds(stepped);
        if !batches {
            self.commit(index);
        } else if !waits {
            let wait = 1 + self.rng.below(5);
            self.at(wait, Happening::Commit(index, troubles));
        }
    }

    fn commit(&mut self, index: usize) {
        if self.weather.strikes(Fault::CrashBeforeCommit, &mut self.rng) {
            self.crash(index);
            return;
        }
        let fails = self.weather.strikes(Fault::CommitFails, &mut self.rng);
        let lies = self.weather.strikes(Fault::CommitLies, &mut self.rng);
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.server.is_some()) else { return };
        if fails || lies {
            (node.disk.fails_after, node.disk.fails_written) = (Some(0), lies);
        }
        let ended = node.step(self.now, Input::BatchEnd, None);
        let careless = canary::is_on(Canary::AckBeforePersist);
        let committed = if careless { node.commit_carelessly() } else { node.commit().map(|done| (Vec::new(), done)) };
        self.holds(ended);
        let (early, committed) = match committed {
            Ok(committed) => committed,
            Err(broken) => return self.breaks(broken),
        };
        for effect in early {
            self.perform(index, effect);
        }
        match committed {
            Committed::Failed => {
                self.trace.note(self.now, format_args!("{index} commit failed, lies: {lies}"));
                self.arrivals_are_durable(index, lies);
                self.forgot(index, true);
                self.comes_back(0, index, Input::Wake);
            }
            Committed::Effects(effects) => {
                self.arrivals_are_durable(index, true);
                self.take_effect(index, effects);
            }
        }
    }

    fn take_effect(&mut self, index: usize, effects: Vec<Output>) {
        if self.weather.strikes(Fault::CrashAfterCommit, &mut self.rng) {
            self.crash(index);
            return;
        }
        let torn = self.weather.strikes(Fault::CrashAmongEffects, &mut self.rng);
        let left = if torn { self.rng.index(effects.len()) } else { effects.len() };
        for effect in effects.into_iter().take(left) {
            self.perform(index, effect);
        }
        if torn {
            self.crash(index);
            return;
        }
        if self.weather.strikes(Fault::Evicts, &mut self.rng)
            && let Some(node) = self.nodes.get_mut(index)
        {
            node.evict(&mut self.rng);
        }
    }

    /// A node goes down, and comes up again later.
    pub fn crash(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.server.is_some()) else { return };
        node.crash();
        self.trace.note(self.now, format_args!("{index} goes down"));
        self.arrivals_are_durable(index, false);
        let tells = !self.weather.strikes(Fault::NoReset, &mut self.rng);
        self.forgot(index, tells);
        let long = self.rng.chance(100);
        let down = self.rng.below(if long { 3 * MINUTE } else { 5 * SECOND });
        self.at(1 + down, Happening::Start(index));
    }

    fn start(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.server.is_none()) else { return };
        let started = node.start();
        self.trace.note(self.now, format_args!("{index} is up"));
        self.holds(started);
        if self.weather.strikes(Fault::CrashLoop, &mut self.rng) {
            self.crash(index);
        } else {
            // What was unfinished begins before anything new comes.
            self.step(index, Input::Wake, None);
        }
    }

    /// What a node had under way is lost: connections, answers, attempts.
    fn forgot(&mut self, index: usize, tells: bool) {
        self.trouble_at(index);
        self.lose_lines(index, tells);
        let lost: Vec<MailId> =
            self.awaiting.iter().filter(|(_, (node, _))| *node == index).map(|(mail, _)| *mail).collect();
        for mail in lost {
            if let Some((_, Awaiting::Server(parcel, _))) = self.awaiting.remove(&mail) {
                let later = RcptOutcome::Later("the connection is gone".to_owned());
                let outcome = vec![later; parcel.to.len()];
                self.settle(*parcel, outcome);
            }
        }
    }

    fn arrivals_are_durable(&mut self, index: usize, are: bool) {
        let (here, rest) = std::mem::take(&mut self.arriving).into_iter().partition(|(node, ..)| *node == index);
        self.arriving = rest;
        let here: Vec<(usize, String, Mailbox, bool)> = here;
        for (node, marker, mailbox, recognised) in here.into_iter().filter(|_| are) {
            self.ledger.arrived(&marker, node, &mailbox, recognised);
        }
    }

    // Effects.

    fn perform(&mut self, index: usize, effect: Output) {
        self.trace.note(self.now, format_args!("{index} > {}", BriefOut(&effect)));
        match effect {
            Output::Took(mail, took) => self.took(index, mail, took),
            Output::Deliver(send, mailbox, rcpts, letter) => self.deliver(index, send, mailbox, &rcpts, &letter),
            Output::Smtp(send, domain, rcpts, letter) => self.hand_over(index, send, domain, rcpts, &letter),
            Output::Seek(mail, seek) => {
                self.lookups.push((index, if matches!(seek, Seek::Domain(_)) { "domain" } else { "dkim" }));
                self.seek(index, mail, &seek);
            }
            Output::Dial(dial) => {
                if let Some(node) = self.nodes.get(index)
                    && !(node.serves(&dial.ours) && self.ledger.has_written_to_domain(&dial.ours, &dial.theirs))
                    && !self.ledger.lawless.contains(&index)
                {
                    self.breaks(("I22", format!("node {index} dials {}, to whom nobody wrote", dial.theirs)));
                }
                let troubles = self.troubles_of(index);
                self.at(1, Happening::Connect(index, troubles, dial));
            }
            Output::Link(link, what) => self.say(index, link, what),
            Output::Session(session, what) => self.to_devices.push((index, session, what)),
            // No mail server stands beside a node here.
            Output::TookFor(..) | Output::Stamp(..) => {}
            Output::Event(event) => {
                self.watch(index, &event);
                if let (true, Event::Proposed { pair, nk }) = (self.people_accept, &event) {
                    let input = Input::Command(Command::Readmit(pair.clone(), *nk));
                    self.comes_back(MINUTE, index, input);
                }
                self.events.push((index, self.now, event));
            }
        }
    }

    fn took(&mut self, index: usize, mail: MailId, took: Took) {
        match self.awaiting.remove(&mail) {
            Some((_, Awaiting::Author(marker))) => {
                if took == Took::Yes {
                    self.ledger.accepted(&marker);
                }
            }
            Some((_, Awaiting::Server(parcel, outcome))) => {
                let answer = match took {
                    Took::Yes => RcptOutcome::Done,
                    Took::Busy => RcptOutcome::Later("busy".to_owned()),
                    Took::Loop => RcptOutcome::Failed("looping".to_owned()),
                };
                let known = |outcome: RcptOutcome| if outcome == RcptOutcome::Done { answer.clone() } else { outcome };
                let outcome = outcome.into_iter().map(known).collect();
                self.settle(*parcel, outcome);
            }
            None => self.breaks(("misuse", format!("node {index} answers {mail} twice"))),
        }
    }

    fn deliver(&mut self, index: usize, send: SendId, mailbox: Mailbox, rcpts: &[Address], letter: &Letter) {
        let count = rcpts.len();
        if self.weather.strikes(Fault::MailboxLater, &mut self.rng) {
            let outcome = Outcome { rcpts: vec![RcptOutcome::Later("mailbox full".to_owned()); count] };
            self.comes_back(MAILBOX_MS, index, Input::Report(send, outcome));
            return;
        }
        let Some(bytes) = self.compose(index, send.mail, letter) else { return };
        if let Some(marker) = marker_of(&bytes) {
            match &letter.text {
                Text::Came(_) => {
                    let troubles = self.troubles_of(index);
                    self.ledger.put(&marker, index, &mailbox, send.mail, troubles);
                }
                Text::Report { .. } => {}
            }
        }
        if let Text::Report { about, failed, .. } = &letter.text
            && let Some(marker) = self.nodes.get(index).and_then(|node| node.disk.body(*about)).and_then(marker_of)
        {
            self.ledger.put_report(&marker, send.mail, failed.iter().map(|(rcpt, _)| rcpt.clone()));
        }
        if let Some(node) = self.nodes.get_mut(index) {
            node.shelf.push((mailbox.clone(), send.mail));
            node.mailboxes.entry(mailbox).or_default().insert(send.mail, bytes);
        }
        let outcome = Outcome { rcpts: vec![RcptOutcome::Done; count] };
        self.comes_back(MAILBOX_MS, index, Input::Report(send, outcome));
    }

    /// The bytes of a letter; a body that is gone while its mail waits is a mail that is lost.
    fn compose(&mut self, index: usize, mail: MailId, letter: &Letter) -> Option<Vec<u8>> {
        let node = self.nodes.get(index)?;
        let Some(body) = node.disk.body(letter.text.blob()) else {
            self.breaks(("I1", format!("the body of {mail} is gone from node {index}")));
            return None;
        };
        match &letter.text {
            Text::Came(_) => {
                let (head, rest) = body.split_at(head_len(body));
                Some([compose_head(letter, head), rest.to_vec()].concat())
            }
            Text::Report { at, failed, .. } => {
                let postmaster = Address::parse(&format!("postmaster@{}", node.domain)).ok()?;
                let author = failed.first().map_or(&postmaster, |(rcpt, _)| rcpt);
                Some(report::render(mail, &postmaster, author, &node.domain, body, *at, failed))
            }
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
        !parcels && self.nodes.iter().all(|node| node.server.is_some() && !waits(node))
    }

    /// All faults end: what is down comes up, who was apart meets.
    pub fn heal(&mut self) {
        self.trace.note(self.now, format_args!("healed"));
        self.weather = Weather::calm();
        self.apart.clear();
        let down: Vec<usize> = (0..self.nodes.len()).collect();
        for index in down {
            self.start(index);
        }
    }
}

/// An input in one line.
struct Brief<'a>(&'a Input);

impl std::fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use postline_core::server::LinkIn;
        let mail = |mail: &MailIn| {
            let id = mail.head.message_id.clone().unwrap_or_default();
            let to: Vec<String> = mail.envelope.to.iter().map(|rcpt| rcpt.address.to_string()).collect();
            let fields = mail.head.canonical().map(|c| (c.offer.is_some(), c.accept.is_some(), c.carried.is_some()));
            format!("{id} from {:?} to {to:?}, offer, accept, id: {fields:?}", mail.envelope.from)
        };
        match self.0 {
            Input::Mail(id, m) => write!(f, "mail {id} {} {}", source(&m.source), mail(m)),
            Input::Link(link, LinkIn::Carry(carry, m)) => {
                let inline = m.as_ref().map(|m| mail(m));
                write!(f, "link {} carry {} {} {} bytes, {inline:?}", link.0, carry.seq, carry.id, carry.body.len)
            }
            Input::Link(link, LinkIn::Body(_, m)) => write!(f, "link {} body {}", link.0, mail(m)),
            Input::Link(link, what) => write!(f, "link {} {what:?}", link.0),
            other => write!(f, "{other:?}"),
        }
    }
}

const fn source(source: &Source) -> &'static str {
    match source {
        Source::User { .. } => "submitted",
        Source::Stranger => "by SMTP",
        Source::Node => "by link",
        Source::Front | Source::Relay { .. } => "from beside",
    }
}

/// An effect in one line.
struct BriefOut<'a>(&'a Output);

impl std::fmt::Display for BriefOut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Output::Deliver(send, name, _, letter) => {
                write!(f, "deliver {} try {} to {name}: {:?}", send.mail, send.attempt, letter.message_id)
            }
            Output::Smtp(send, domain, rcpts, letter) => {
                write!(f, "smtp {} try {} to {domain} {rcpts:?}: {:?}", send.mail, send.attempt, letter.message_id)
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// How long chaos lasts, as a seed draws it.
pub(crate) fn chaos_ms(rng: &mut Rng) -> u64 {
    [2 * MINUTE, 20 * MINUTE, 6 * HOUR, 3 * DAY].get(rng.index(4)).copied().unwrap_or(MINUTE)
}
