//! What is said once a batch: heads, signed; what is acked; how far members have it.
//!
//! ```text
//!   step, step, step ──▶ BatchEnd ──▶ each log that was stepped: Have, Delivered
//!                                 └─▶ heads of the logs that moved ──▶ leaves ──▶ one signature ──▶ each reader its own
//! ```
//!
//! So a node makes one signature for all that a commit holds, whoever it is for, and verifies none. It is made before that commit,
//! and can be had only with it, as every effect: a commit that fails takes it along ([H-17]). What need not be durable for
//! anybody's sake rides along with a commit that somebody waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::Server;
use super::io::{Event, Output, Peer};
use crate::fault::PeerFault;
use crate::id::{ConversationId, Hash, NodeKey};
use crate::limits;
use crate::machine::log::{self, Log, Via};
use crate::step::{Outbox, Tick};
use crate::wire::log::HeadsSigned;
use crate::wire::talk::{Head, Heads, Talk};

impl Server {
    /// The batch ends.
    pub(super) fn batch_end(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let rides = out.records().next().is_some() || self.talks.riding.len() > limits::RIDING;
        let touched = std::mem::take(&mut self.talks.touched);
        for id in &touched {
            self.step_log(tick, *id, log::Input::BatchEnd { rides }, out);
            self.settle_log(tick, *id, rides, out);
        }
        if rides {
            let along: Vec<ConversationId> = self.talks.riding.iter().take(limits::RIDES).copied().collect();
            for id in along {
                self.step_log(tick, id, log::Input::BatchEnd { rides }, out);
                self.settle_log(tick, id, rides, out);
            }
        }
        self.talks.touched.clear();
        self.sign_heads(tick, out);
    }

    /// Notes what of a log is still to be saved, and who is behind in it.
    fn settle_log(&mut self, tick: &Tick, id: ConversationId, rides: bool, out: &mut Outbox<Output>) {
        self.note_behind(tick, id, rides, out);
        if self.talks.log(id).is_some_and(Log::rides) {
            self.talks.riding.insert(id);
        } else {
            self.talks.riding.remove(&id);
        }
    }

    /// Signs the heads of the logs that moved, and says them to those who read them.
    fn sign_heads(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let moved = std::mem::take(&mut self.talks.moved);
        let moved: Vec<ConversationId> = moved.into_iter().collect();
        for some in moved.chunks(limits::HEADS) {
            let heads: Vec<Head> = some.iter().filter_map(|id| self.talks.log(*id)).map(Log::head).collect();
            let leaves: Vec<Hash> = heads.iter().map(Head::leaf).collect();
            let mut readers: BTreeMap<Via, Vec<(u8, Head)>> = BTreeMap::new();
            for (place, head) in (0..=u8::MAX).zip(heads) {
                let Some(Some(log)) = self.talks.logs.get_mut(&head.conversation) else { continue };
                for via in log.heads_due(tick.now) {
                    readers.entry(via).or_default().push((place, head));
                }
            }
            readers.retain(|via, _| self.lives(*via));
            if readers.is_empty() {
                continue;
            }
            let signature = self.ours.identity.sign(&HeadsSigned(&leaves)).to_vec();
            for (via, heads) in readers {
                let (leaves, signature) = (leaves.clone(), signature.clone());
                self.say_via(tick, via, Talk::Heads(Heads { leaves, heads, signature }), out);
            }
        }
    }

    /// A hub says heads: those who read here are given theirs. The node verifies nothing but what it knows itself.
    pub(super) fn heads_came(&mut self, tick: &Tick, hub: NodeKey, heads: Heads, out: &mut Outbox<Output>) {
        let Heads { leaves, heads, signature } = heads;
        let mut readers: BTreeMap<Via, Vec<(u8, Head)>> = BTreeMap::new();
        let mut told: BTreeSet<ConversationId> = BTreeSet::new();
        for (place, head) in heads {
            let log = self.talks.log(head.conversation).filter(|log| log.hub() == Some(hub));
            let Some(log) = log.filter(|_| told.insert(head.conversation)) else {
                let (peer, why) = (Peer::Node(hub), PeerFault::NoConversation);
                out.emit(Output::Event(Event::Refused { peer, why }));
                continue;
            };
            if head.seq == log.seq() && head != log.head() {
                // The devices see the same, and judge it.
                let why = PeerFault::Frame("a head of the log that it said");
                out.emit(Output::Event(Event::Refused { peer: Peer::Node(hub), why }));
            }
            log.readers().for_each(|via| readers.entry(via).or_default().push((place, head)));
        }
        for (via, heads) in readers {
            let (leaves, signature) = (leaves.clone(), signature.clone());
            self.say_via(tick, via, Talk::Heads(Heads { leaves, heads, signature }), out);
        }
    }
}
