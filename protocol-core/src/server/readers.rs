//! Those who read logs: who is there, how much goes to each, and what somebody who comes has missed.
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

use std::collections::BTreeSet;

use super::Server;
use super::io::{Output, Peer};
use super::logs::Gate;
use super::timers::Who;
use crate::id::{Address, ConversationId, NodeKey};
use crate::limits;
use crate::machine::link::{self, Link};
use crate::machine::log::{self, Log, Reader, Via};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::log::tag;
use crate::wire::talk::Talk;

/// What is on the way over a connection, over all logs.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) items: usize,
    pub(super) bytes: usize,
    /// The logs that wait for room.
    waiting: BTreeSet<ConversationId>,
}

impl Flow {
    const fn room(&self, via: Via) -> (usize, usize) {
        let bytes = match via {
            Via::Link(_) => limits::READER_BYTES,
            // All of it may be said in one batch: it must fit in what may wait to be written to a device.
            Via::Session(_) => limits::DEVICE_READER_BYTES,
        };
        (limits::READER_ITEMS.saturating_sub(self.items), bytes.saturating_sub(self.bytes))
    }

    const fn is_full(&self, via: Via) -> bool {
        matches!(self.room(via), (0, _) | (_, 0))
    }
}

/// Somebody who came.
#[derive(Debug)]
pub(super) struct Comer {
    via: Via,
    /// Whose device it is; `None`: a node.
    pub(super) address: Option<Address>,
    /// The conversations that are still to be looked at; `None`: not known yet.
    pub(super) rest: Option<Vec<ConversationId>>,
}

// Feeding
impl Server {
    /// There is room again on a connection: the logs that waited for it go on.
    pub(super) fn freed(&mut self, tick: &Tick, via: Via, items: usize, bytes: usize, out: &mut Outbox<Output>) {
        let Some(flow) = self.talks.flows.get_mut(&via) else { return };
        flow.items = flow.items.saturating_sub(items);
        flow.bytes = flow.bytes.saturating_sub(bytes);
        let mut turns = flow.waiting.len();
        while turns > 0
            && let Some(flow) = self.talks.flows.get_mut(&via).filter(|flow| !flow.is_full(via))
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
            let (items, bytes) = flow.room(via);
            if !flow.is_full(via) {
                self.step_log(tick, id, log::Input::Feed { via, items, bytes }, out);
            }
            let waits = self.talks.log(id).is_some_and(|log| log.waiting().any(|waiting| waiting == via));
            if let Some(flow) = self.talks.flows.get_mut(&via).filter(|flow| waits && flow.is_full(via)) {
                flow.waiting.insert(id);
            }
        }
    }

    /// Sees that whoever may read, and is there, does.
    pub(super) fn attach_readers(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(log) = self.talks.log(id) else { return };
        let mut comers: Vec<(Via, Reader)> = Vec::new();
        for (address, nk) in log.members() {
            match nk {
                None => {
                    let online = self.online(address).filter(|(_, who)| who.listed);
                    let online = online.filter(|(session, _)| !log.is_attached(Via::Session(*session)));
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
            // A node reads while there is a line: whether there is, may be known in a moment, and then this is tried again.
            if let Reader::Node(nk) = reader
                && self.gate(tick, id, nk) != Gate::Open
            {
                continue;
            }
            self.step_log(tick, id, log::Input::Attach(via, reader), out);
        }
    }

    /// Sees that no node goes on reading for which there is no line any more.
    pub(super) fn part_readers(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let readers: Vec<Via> = self.talks.log(id).into_iter().flat_map(Log::readers).collect();
        for via in readers {
            if let Via::Link(link) = via
                && let Some(nk) = self.proven.get(&link).map(|conn| conn.nk)
                && self.gate(tick, id, nk) != Gate::Open
            {
                self.step_log(tick, id, log::Input::Detach(via), out);
            }
        }
    }
}

// Connections
impl Server {
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
            // Done with the list is not the same as without one: who has seen it all is told nothing more.
            let done = rest.map(|rest| self.some_more(tick, rest, out));
            if done.is_none() {
                self.cold.extend(comer.address.clone().map(Key::Talks));
            }
            if done.as_ref().is_none_or(Option::is_some) {
                comer.rest = done.flatten();
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

    /// Keeps the index of nodes that are behind true, and its records. Whoever comes to be behind is dialled, where their
    /// link is down.
    pub(super) fn note_behind(&mut self, tick: &Tick, id: ConversationId, rides: bool, out: &mut Outbox<Output>) {
        let Some(log) = self.talks.logs.get(&id).and_then(Option::as_ref).filter(|log| log.is_hub()) else { return };
        let behind: BTreeSet<NodeKey> = log.behind().collect();
        for nk in log.nodes().collect::<Vec<_>>() {
            if behind.contains(&nk) {
                let newly = self.talks.behind.entry(nk).or_default().insert(id);
                if self.talks.marked.insert((nk, id)) {
                    out.save(Record::put(Key::Behind(nk, id), Vec::new()));
                }
                if newly && self.link_to(nk).is_none() {
                    self.want_link(tick, nk, out);
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
