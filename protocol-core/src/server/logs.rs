//! Logs and those who read them: which are in memory, what goes to whom, and how much at a time.
//!
//! ```text
//!   a log takes an entry ─▶ its readers: member nodes whose link is up, devices of members here that are online
//!                              │
//!                              ▼      the window of the log, the window of the connection over all logs
//!                            feed ──▶ Event …            full: the log waits for the connection's next Have
//!
//!   a link comes up ──▶ the logs that its node is behind in ─┐
//!   a device comes ───▶ the conversations of its address ────┴─▶ brought some at a time, and fed
//! ```
//!
//! Nothing here grows with how many conversations there are: logs are brought when something happens in them, and
//! forgotten when nothing is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Server;
use super::io::{Event, Output, Peer};
use super::timers::Who;
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, ConversationId, NodeKey, Pair};
use crate::limits;
use crate::machine::link::{self, Link};
use crate::machine::log::{self, Log, Reader, Via};
use crate::machine::trust::Trust;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader as Bytes, Writer};
use crate::wire::log::tag;
use crate::wire::talk::Talk;

const VERSION: u64 = 1;

/// The logs of a node.
#[derive(Debug, Default)]
pub(super) struct Talks {
    /// Those that were looked up; `None`: there is no such conversation.
    logs: BTreeMap<ConversationId, Option<Log>>,
    /// The conversations of addresses of ours that were looked up.
    lists: BTreeMap<Address, BTreeSet<ConversationId>>,
    /// What is on the way, by connection.
    flows: BTreeMap<Via, Flow>,
    /// Who came, and is not yet told of all that they missed.
    comers: VecDeque<Comer>,
    /// The conversations in which another node has not acked everything, by node.
    behind: BTreeMap<NodeKey, BTreeSet<ConversationId>>,
    /// Those of them of which there is a record.
    marked: BTreeSet<(NodeKey, ConversationId)>,
    /// Logs that this batch stepped.
    pub(super) touched: BTreeSet<ConversationId>,
    /// Logs of this hub that took something in this batch.
    pub(super) moved: BTreeSet<ConversationId>,
    /// Logs with something that rides along with the next commit.
    pub(super) riding: BTreeSet<ConversationId>,
    /// How many bytes of entries are in memory.
    bytes: usize,
}

/// What is on the way over a connection, over all logs.
#[derive(Debug, Default)]
struct Flow {
    items: usize,
    bytes: usize,
    /// The logs that wait for room.
    waiting: BTreeSet<ConversationId>,
}

impl Flow {
    const fn room(&self) -> (usize, usize) {
        let items = limits::READER_ITEMS.saturating_sub(self.items);
        (items, limits::READER_BYTES.saturating_sub(self.bytes))
    }

    const fn is_full(&self) -> bool {
        matches!(self.room(), (0, _) | (_, 0))
    }
}

/// Somebody who came.
#[derive(Debug)]
struct Comer {
    via: Via,
    /// Whose device it is; `None`: a node.
    address: Option<Address>,
    /// The conversations that are still to be looked at; `None`: not known yet.
    rest: Option<Vec<ConversationId>>,
}

/// Whether something may go between two nodes about a conversation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Shut,
    /// The pair is still to be brought.
    Unknown,
}

// Records
impl Talks {
    pub(super) fn take_log(&mut self, id: ConversationId, record: Option<&Record>) -> Result<(), RestoreError> {
        let log = record.map(|record| Log::restore(id, record)).transpose()?;
        self.logs.insert(id, log);
        Ok(())
    }

    pub(super) fn take_entry(
        &mut self,
        id: ConversationId,
        seq: u64,
        record: Option<&Record>,
    ) -> Result<(), RestoreError> {
        let Some(Some(log)) = self.logs.get_mut(&id) else { return Ok(()) };
        let before = log.bytes();
        log.bring(seq, record)?;
        self.bytes = self.bytes + log.bytes() - before;
        Ok(())
    }

    pub(super) fn take_list(&mut self, ours: &Address, record: Option<&Record>) -> Result<(), RestoreError> {
        let list = record.map(read_list).transpose()?.unwrap_or_default();
        self.lists.insert(ours.clone(), list);
        Ok(())
    }

    pub(super) fn take_mark(&mut self, nk: NodeKey, id: ConversationId) {
        self.behind.entry(nk).or_default().insert(id);
        self.marked.insert((nk, id));
    }

    /// The log, where it was brought and there is one.
    pub(super) fn log(&self, id: ConversationId) -> Option<&Log> {
        self.logs.get(&id)?.as_ref()
    }

    /// Whether it is known what of a conversation is here.
    pub(super) fn knows(&self, id: ConversationId) -> bool {
        self.logs.contains_key(&id)
    }

    pub(super) fn knows_list(&self, ours: &Address) -> bool {
        self.lists.contains_key(ours)
    }

    pub(super) fn is_behind(&self, nk: NodeKey) -> bool {
        self.behind.contains_key(&nk)
    }

    pub(super) fn forget_list(&mut self, ours: &Address) -> bool {
        let busy = self.comers.iter().any(|comer| comer.rest.is_none() && comer.address.as_ref() == Some(ours));
        !busy && self.lists.remove(ours).is_some()
    }

    pub(super) fn in_memory(&self) -> usize {
        self.logs.len() + self.lists.len() + self.flows.len() + self.comers.len()
    }
}

fn read_list(record: &Record) -> Result<BTreeSet<ConversationId>, RestoreError> {
    let damaged = |Malformed(what)| RestoreError::Damaged { key: record.key.clone(), what };
    let mut r = Bytes::new(record.value.as_deref().unwrap_or_default());
    r.array_of(2).map_err(damaged)?;
    let found = r.u64().map_err(damaged)?;
    if found != VERSION {
        return Err(RestoreError::Version { key: record.key.clone(), found, known: VERSION });
    }
    let list = r.list(limits::TALKS as u64, |r| r.fixed().map(ConversationId)).map_err(damaged)?;
    r.end().map_err(damaged)?;
    Ok(list.into_iter().collect())
}

fn write_list(ours: &Address, list: &BTreeSet<ConversationId>) -> Record {
    let mut w = Writer::array_of(2);
    w.u64(VERSION).list(list.iter(), |w, id| {
        w.bytes(&id.0);
    });
    Record::put(Key::Talks(ours.clone()), w.into_bytes())
}

// Logs
impl Server {
    /// Forgets a log, unless something is under way in it.
    pub(super) fn forget_log(&mut self, id: ConversationId) -> bool {
        let idle = match self.talks.logs.get(&id) {
            Some(Some(log)) => log.is_idle(|via| self.lives(via)),
            Some(None) => true,
            None => return false,
        };
        if idle && let Some(Some(log)) = self.talks.logs.remove(&id) {
            self.talks.bytes -= log.bytes();
        }
        idle
    }

    /// A conversation begins here.
    pub(super) fn begin_log(&mut self, log: Log, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let id = log.conversation();
        let ours = || log.members().filter(|(_, nk)| nk.is_none()).map(|(address, _)| address);
        for address in ours() {
            let got = self.talks.lists.get(address).map_or(0, BTreeSet::len);
            if got >= limits::TALKS {
                return Err(PeerFault::Full { got: got as u64, max: limits::TALKS as u64 });
            }
        }
        for address in ours() {
            let list = self.talks.lists.entry(address.clone()).or_default();
            list.insert(id);
            out.save(write_list(address, list));
        }
        self.talks.logs.insert(id, Some(log));
        Ok(())
    }

    /// Tells a log something.
    pub(super) fn step_log(&mut self, tick: &Tick, id: ConversationId, input: log::Input, out: &mut Outbox<Output>) {
        let Some(Some(log)) = self.talks.logs.get_mut(&id) else { return };
        let before = log.bytes();
        let mut child = Outbox::new();
        let stepped = log.step(tick, input, &mut child);
        debug_assert!(stepped.is_ok(), "what a log is told was judged: {stepped:?}");
        self.talks.bytes = self.talks.bytes + log.bytes() - before;
        if self.talks.bytes > limits::ENTRIES_BYTES {
            self.talks.bytes -= log.bytes();
            log.shed();
        }
        self.talks.touched.insert(id);
        for output in out.adopt(child) {
            self.log_wants(tick, id, output, out);
        }
    }

    fn log_wants(&mut self, tick: &Tick, id: ConversationId, output: log::Output, out: &mut Outbox<Output>) {
        match output {
            log::Output::Say(via, talk) => {
                if let Talk::Event(event) = &talk {
                    let flow = self.talks.flows.entry(via).or_default();
                    flow.items += 1;
                    flow.bytes += limits::EVENT_OVERHEAD + event.bytes.as_ref().map_or(0, Vec::len);
                }
                self.say_via(tick, via, talk, out);
            }
            log::Output::Tell(talk) => {
                if let Some(hub) = self.talks.log(id).and_then(Log::hub) {
                    self.run_link(tick, hub, link::Input::Talk(talk), out);
                }
            }
            log::Output::Took { origin, .. } => {
                if self.talks.log(id).is_some_and(Log::is_hub) {
                    self.talks.moved.insert(id);
                }
                if let Some(origin) = origin {
                    self.sequenced(id, origin, out);
                }
                self.feed_log(tick, id, out);
            }
            log::Output::Unposted(via, origin, why) => {
                let code = why.code();
                out.emit(Output::Event(Event::Refused { peer: self.peer_at(via), why }));
                self.say_via(tick, via, Talk::Unposted { conversation: id, origin, code }, out);
            }
            log::Output::Refused(via, why) => {
                out.emit(Output::Event(Event::Refused { peer: self.peer_at(via), why }));
            }
            log::Output::Wants(first, last) => {
                let log = self.talks.log(id);
                let missing = (first..=last).filter(|seq| log.is_some_and(|log| !log.has_brought(*seq)));
                let missing: Vec<Key> = missing.map(|seq| Key::Entry(id, seq)).collect();
                self.cold.extend(missing);
                self.timers.set(Who::Log(id), Some(tick.now));
            }
            log::Output::Freed(via, items, bytes) => self.freed(tick, via, items, bytes, out),
        }
    }

    /// There is room again on a connection: the logs that waited for it go on.
    fn freed(&mut self, tick: &Tick, via: Via, items: usize, bytes: usize, out: &mut Outbox<Output>) {
        let Some(flow) = self.talks.flows.get_mut(&via) else { return };
        flow.items = flow.items.saturating_sub(items);
        flow.bytes = flow.bytes.saturating_sub(bytes);
        let mut turns = flow.waiting.len();
        while turns > 0
            && let Some(flow) = self.talks.flows.get_mut(&via).filter(|flow| !flow.is_full())
            && let Some(id) = flow.waiting.pop_first()
        {
            turns -= 1;
            self.feed_log(tick, id, out);
        }
    }

    /// Something that a log lacked is here.
    pub(super) fn log_due(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        self.timers.set(Who::Log(id), None);
        self.feed_log(tick, id, out);
    }

    /// Who reads comes to know what is new, as far as there is room.
    pub(super) fn feed_log(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        self.attach_readers(tick, id, out);
        let Some(log) = self.talks.log(id) else { return };
        let vias: Vec<Via> = log.waiting().filter(|via| self.lives(*via)).collect();
        for via in vias {
            if let Via::Link(link) = via
                && let Some(nk) = self.proven.get(&link).map(|conn| conn.nk)
                && self.gate(tick, id, nk) != Gate::Open
            {
                continue;
            }
            let flow = self.talks.flows.entry(via).or_default();
            let (items, bytes) = flow.room();
            if !flow.is_full() {
                self.step_log(tick, id, log::Input::Feed { via, items, bytes }, out);
            }
            let waits = self.talks.log(id).is_some_and(|log| log.waiting().any(|waiting| waiting == via));
            if let Some(flow) = self.talks.flows.get_mut(&via).filter(|flow| waits && flow.is_full()) {
                flow.waiting.insert(id);
            }
        }
    }

    /// Sees that whoever may read, and is there, does.
    fn attach_readers(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(log) = self.talks.log(id) else { return };
        let mut comers: Vec<(Via, Reader)> = Vec::new();
        for (address, nk) in log.members() {
            match nk {
                None => {
                    let online = self.online(address).filter(|(session, _)| !log.is_attached(Via::Session(*session)));
                    let reader = |dk| Reader::Device(tag(id, dk), address.clone());
                    comers.extend(online.map(|(session, who)| (Via::Session(session), reader(who.dk))));
                }
                Some(nk) if log.is_hub() => {
                    let via = self.link_to(nk).filter(|via| !log.is_attached(*via));
                    comers.extend(via.map(|via| (via, Reader::Node(nk))));
                }
                Some(_) => {}
            }
        }
        for (via, reader) in comers {
            self.step_log(tick, id, log::Input::Attach(via, reader), out);
        }
    }

    /// Whether a line between somebody here and somebody at that node lets this conversation go on.
    pub(super) fn gate(&mut self, tick: &Tick, id: ConversationId, nk: NodeKey) -> Gate {
        let Some(log) = self.talks.log(id) else { return Gate::Shut };
        let mut unknown = Vec::new();
        for pair in pairs_of(log, Some(nk)) {
            match self.pairs.get(&pair) {
                Some(trust) if trust.line() == Some(nk) && !self.is_blocked(&pair) => return Gate::Open,
                Some(_) => {}
                None => unknown.push(Key::Trust(pair)),
            }
        }
        if unknown.is_empty() {
            return Gate::Shut;
        }
        self.cold.extend(unknown);
        self.timers.set(Who::Log(id), Some(tick.now));
        Gate::Unknown
    }

    /// Whether somebody of ours may post to somebody of the conversation.
    pub(super) fn may_post(&self, id: ConversationId, ours: &Address) -> bool {
        let Some(log) = self.talks.log(id) else { return false };
        log.members().filter(|(address, _)| *address != ours).any(|(theirs, nk)| {
            let pair = Pair { ours: ours.clone(), theirs: theirs.clone() };
            self.has_line(&pair, nk)
        })
    }

    /// Whether two have a line by that node; `None`: both are of this one.
    pub(super) fn has_line(&self, pair: &Pair, nk: Option<NodeKey>) -> bool {
        let line = |pair: &Pair| self.pairs.get(pair).filter(|_| !self.is_blocked(pair)).and_then(Trust::line);
        match nk {
            Some(nk) => line(pair) == Some(nk),
            None => {
                let other = Pair { ours: pair.theirs.clone(), theirs: pair.ours.clone() };
                line(pair) == Some(super::HERE) && line(&other) == Some(super::HERE)
            }
        }
    }

    // Connections

    /// The connection to a node, where its link is up.
    pub(super) fn link_to(&self, nk: NodeKey) -> Option<Via> {
        self.links.get(&nk).and_then(Link::connection).map(Via::Link)
    }

    /// Whether a connection is still there.
    pub(super) fn lives(&self, via: Via) -> bool {
        match via {
            Via::Link(link) => self.proven.get(&link).is_some_and(|conn| self.link_to(conn.nk) == Some(via)),
            Via::Session(session) => self.online_at(session).is_some(),
        }
    }

    pub(super) fn peer_at(&self, via: Via) -> Peer {
        match via {
            Via::Link(link) => self.proven.get(&link).map_or(Peer::Link(link), |conn| Peer::Node(conn.nk)),
            Via::Session(session) => self.online_at(session).map_or(Peer::Session(session), |who| Peer::Device(who.dk)),
        }
    }

    pub(super) fn say_via(&mut self, tick: &Tick, via: Via, talk: Talk, out: &mut Outbox<Output>) {
        match via {
            Via::Link(link) if self.lives(via) => {
                if let Some(nk) = self.proven.get(&link).map(|conn| conn.nk) {
                    self.run_link(tick, nk, link::Input::Talk(talk), out);
                }
            }
            Via::Link(_) => {}
            Via::Session(session) => self.say_to(session, talk, out),
        }
    }

    /// Somebody came who may have missed something: a device of `address`, or a node.
    pub(super) fn comes(&mut self, tick: &Tick, via: Via, address: Option<&Address>, nk: Option<NodeKey>) {
        if let Some(address) = address.filter(|address| !self.talks.knows_list(address)) {
            self.cold.insert(Key::Talks(address.clone()));
        }
        let rest = nk.map(|nk| self.talks.behind.get(&nk).into_iter().flatten().copied().collect());
        self.talks.comers.push_back(Comer { via, address: address.cloned(), rest });
        self.timers.set(Who::Comers, Some(tick.now));
    }

    /// Those who came are told what they missed, some conversations at a time.
    pub(super) fn comers_due(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.timers.set(Who::Comers, None);
        let mut flows = std::mem::take(&mut self.talks.flows);
        flows.retain(|via, _| self.lives(*via));
        self.talks.flows = flows;
        let Some(mut comer) = self.talks.comers.pop_front() else { return };
        if self.lives(comer.via) {
            let list = || comer.address.as_ref().and_then(|address| self.talks.lists.get(address));
            let rest = comer.rest.take().or_else(|| list().map(|list| list.iter().copied().collect()));
            comer.rest = rest.and_then(|rest| self.some_more(tick, rest, out));
            if comer.rest.is_some() || (comer.address.is_some() && list_is_missing(&comer, &self.talks)) {
                self.talks.comers.push_back(comer);
            }
        }
        if !self.talks.comers.is_empty() {
            // What is missing is brought before the next step.
            self.timers.set(Who::Comers, Some(tick.now.plus(1)));
        }
    }

    /// Looks at some conversations, and gives those that are left.
    fn some_more(
        &mut self,
        tick: &Tick,
        mut rest: Vec<ConversationId>,
        out: &mut Outbox<Output>,
    ) -> Option<Vec<ConversationId>> {
        let some = rest.split_off(rest.len().saturating_sub(limits::COMERS_BATCH));
        let missing = some.iter().filter(|id| !self.talks.knows(**id)).map(|id| Key::Log(*id));
        let missing: Vec<Key> = missing.collect();
        if !missing.is_empty() {
            self.cold.extend(missing);
            rest.extend(some);
            return Some(rest);
        }
        for id in some {
            self.feed_log(tick, id, out);
        }
        Some(rest).filter(|rest| !rest.is_empty())
    }

    /// Keeps the index of nodes that are behind true, and its records.
    pub(super) fn note_behind(&mut self, id: ConversationId, rides: bool, out: &mut Outbox<Output>) {
        let Some(log) = self.talks.logs.get(&id).and_then(Option::as_ref).filter(|log| log.is_hub()) else { return };
        for nk in log.nodes() {
            if log.behind().any(|behind| behind == nk) {
                self.talks.behind.entry(nk).or_default().insert(id);
                if self.talks.marked.insert((nk, id)) {
                    out.save(Record::put(Key::Behind(nk, id), Vec::new()));
                }
                continue;
            }
            if let Some(ids) = self.talks.behind.get_mut(&nk) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.talks.behind.remove(&nk);
                }
            }
            if rides && self.talks.marked.remove(&(nk, id)) {
                out.save(Record::remove(Key::Behind(nk, id)));
            }
        }
    }
}

fn list_is_missing(comer: &Comer, talks: &Talks) -> bool {
    comer.address.as_ref().is_some_and(|address| !talks.lists.contains_key(address))
}

/// The pairs of somebody here and somebody elsewhere: at one node, or at any.
pub(super) fn pairs_of(log: &Log, at: Option<NodeKey>) -> Vec<Pair> {
    let ours = log.members().filter(|(_, nk)| nk.is_none());
    let mut pairs = Vec::new();
    for (ours, _) in ours {
        for (theirs, nk) in log.members() {
            let wanted = match (at, nk) {
                (Some(at), Some(nk)) => at == nk,
                (Some(_), None) => false,
                (None, _) => theirs != ours,
            };
            if wanted {
                pairs.push(Pair { ours: ours.clone(), theirs: theirs.clone() });
            }
        }
    }
    pairs
}
