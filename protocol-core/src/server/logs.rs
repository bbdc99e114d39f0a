//! Which logs are in memory, and what becomes of what they want.
//!
//! Nothing here grows with how many conversations there are: logs are brought when something happens in them, and
//! forgotten when nothing is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Server;
use super::io::{Event, Output};
use super::readers::{Comer, Flow};
use super::timers::Who;
use crate::canary::{self, Canary};
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, ConversationId, NodeKey, Pair};
use crate::limits;
use crate::machine::link;
use crate::machine::log::{self, Log, Via};
use crate::machine::trust::Trust;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::record::{read, write};
use crate::wire::talk::Talk;

/// The logs of a node.
#[derive(Debug, Default)]
pub(super) struct Talks {
    /// Those that were looked up; `None`: there is no such conversation.
    pub(super) logs: BTreeMap<ConversationId, Option<Log>>,
    /// The conversations of addresses of ours that were looked up.
    pub(super) lists: BTreeMap<Address, BTreeSet<ConversationId>>,
    /// What is on the way, by connection.
    pub(super) flows: BTreeMap<Via, Flow>,
    /// Who came, and is not yet told of all that they missed.
    pub(super) comers: VecDeque<Comer>,
    /// The conversations in which another node has not acked everything, by node.
    pub(super) behind: BTreeMap<NodeKey, BTreeSet<ConversationId>>,
    /// Those of them of which there is a record.
    pub(super) marked: BTreeSet<(NodeKey, ConversationId)>,
    /// Logs that this batch stepped.
    pub(super) touched: BTreeSet<ConversationId>,
    /// Logs of this hub that took something in this batch.
    pub(super) moved: BTreeSet<ConversationId>,
    /// Logs with something that rides along with the next commit.
    pub(super) riding: BTreeSet<ConversationId>,
    /// How many bytes of entries are in memory.
    pub(super) bytes: usize,
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
    let list = read(record, |r| r.list(limits::TALKS as u64, |r| r.fixed().map(ConversationId)))?;
    Ok(list.into_iter().collect())
}

fn write_list(ours: &Address, list: &BTreeSet<ConversationId>) -> Record {
    write(Key::Talks(ours.clone()), 1, |w| {
        w.list(list.iter(), |w, id| {
            w.bytes(&id.0);
        });
    })
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

    /// Has a log go on, once it is here.
    pub(super) fn resume_log(&mut self, tick: &Tick, id: ConversationId) {
        if !self.talks.knows(id) {
            self.cold.insert(Key::Log(id));
        }
        self.timers.set(Who::Log(id), Some(tick.now.plus(1)));
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
            self.talks.bytes += log.bytes();
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
            log::Output::Tell(_) if canary::is_on(Canary::DeliveredWaitsForDevice) && !self.is_read_now(id) => {}
            log::Output::Tell(talk) => {
                if let Some(hub) = self.talks.log(id).and_then(Log::hub)
                    && self.gate(tick, id, hub) == Gate::Open
                {
                    self.run_link(tick, hub, link::Input::Talk(talk), out);
                }
            }
            log::Output::Took { origin, .. } => {
                if self.talks.log(id).is_some_and(Log::is_hub) {
                    self.talks.moved.insert(id);
                }
                if let Some(origin) = origin {
                    self.sequenced(tick, id, origin, out);
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
                self.timers.set(Who::Log(id), Some(tick.now.plus(1)));
            }
            log::Output::Freed(via, items, bytes) => self.freed(tick, via, items, bytes, out),
        }
    }

    /// Whether a device of somebody of ours in a conversation is connected: what nothing that is said may depend on.
    fn is_read_now(&self, id: ConversationId) -> bool {
        let members = self.talks.log(id).into_iter().flat_map(Log::members);
        members.filter(|(_, nk)| nk.is_none()).any(|(ours, _)| self.online(ours).next().is_some())
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
        self.timers.set(Who::Log(id), Some(tick.now.plus(1)));
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
