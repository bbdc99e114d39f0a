//! What a node does with an input: it steps, commits, and may go down at any point between.
//!
//! ```text
//!   step ──▶ batch ──▶ commit ──▶ effects ──▶ back into the queue
//!        ╳         ╳ fails, lies ╳       ╳ some have left        ╳: the node goes down, and comes up later
//! ```

use postline_core::canary::{self, Canary};
use postline_core::id::{MailId, Mailbox};
use postline_core::server::io::RcptOutcome;
use postline_core::server::{Input, Output};
use postline_core::time::{MINUTE, SECOND};

use super::told::Brief;
use super::{Awaiting, Happening, World};
use crate::node::Committed;
use crate::weather::Fault;

impl World {
    pub(super) fn step(&mut self, index: usize, input: Input, body: Option<Vec<u8>>) {
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

    pub(super) fn commit(&mut self, index: usize) {
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

    pub(super) fn take_effect(&mut self, index: usize, effects: Vec<Output>) {
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
        self.pauses.remove(&index);
        if self.weather.strikes(Fault::TearsPieces, &mut self.rng) {
            node.tear_pieces(&mut self.rng);
        }
        self.trace.note(self.now, format_args!("{index} goes down"));
        self.arrivals_are_durable(index, false);
        let tells = !self.weather.strikes(Fault::NoReset, &mut self.rng);
        self.forgot(index, tells);
        let long = self.rng.chance(100);
        let down = self.rng.below(if long { 3 * MINUTE } else { 5 * SECOND });
        self.at(1 + down, Happening::Start(index));
    }

    pub(super) fn start(&mut self, index: usize) {
        if self.twin.is_some_and(|twin| twin.old == index && !twin.runs) {
            return;
        }
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
    pub(super) fn forgot(&mut self, index: usize, tells: bool) {
        self.trouble_at(index);
        self.node_lost_files(index);
        let here = |device: &usize| self.devices.get(*device).is_some_and(|device| device.node == index);
        let copies: Vec<usize> = self.sealed.copied.iter().copied().filter(here).collect();
        self.sealed.forgotten_by_node.extend(copies);
        self.lose_lines(index, tells);
        self.lose_sessions(index, tells);
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

    pub(super) fn arrivals_are_durable(&mut self, index: usize, are: bool) {
        let (here, rest) = std::mem::take(&mut self.arriving).into_iter().partition(|(node, ..)| *node == index);
        self.arriving = rest;
        let held = self.sealed.came(index, are);
        self.holds(held);
        let here: Vec<(usize, String, Mailbox, bool)> = here;
        for (node, marker, mailbox, recognised) in here.into_iter().filter(|_| are) {
            self.ledger.arrived(&marker, node, &mailbox, recognised);
        }
    }
}
