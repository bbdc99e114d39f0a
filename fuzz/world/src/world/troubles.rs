//! Faults that come at their own time, and how they all end.

use postline_core::store::Key;

use super::{Happening, Twin, World};
use crate::bytes::marker_of;
use crate::weather::Weather;

/// So that nobody takes what a twin does for what its node did before.
const TWIN_TROUBLES: u64 = 1 << 32;

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
    /// A node stands still for so long.
    Pause(usize, u64),
    /// A bit flips on a node's disk.
    Rot(usize),
    /// Somebody plays a connection's words again, to a node.
    Replay(usize),
    /// A node is started from a copy of its store, and the old one runs on.
    Twin(usize),
}

impl World {
    pub(super) fn trouble(&mut self, trouble: Trouble) {
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
            Trouble::Pause(node, ms) => {
                self.pauses.insert(node, self.now.plus(ms));
            }
            Trouble::Rot(node) => self.rot(node),
            Trouble::Replay(node) => self.replay(node),
            Trouble::Twin(node) => self.twin(node),
        }
    }

    /// A bit flips: what it spoils, the operator is told of, and nothing else may come of it.
    fn rot(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let Some((key, body)) = node.disk.rot(&mut self.rng) else { return };
        self.trace.note(self.now, format_args!("{index}: {key} rots"));
        if let Some(marker) = body.as_deref().and_then(marker_of) {
            self.ledger.rotten.insert(marker);
        }
        if matches!(key, Key::Seen(_) | Key::Peer(_)) {
            // It knows less of what it has seen and said than others do, as from a backup.
            self.ledger.rolled_back.insert(index);
        }
    }

    /// A node goes on from a copy of its store on another machine, as its operator says; but somebody starts the old one
    /// again. The copy is the node from now on: the old one is another at the same names.
    fn twin(&mut self, index: usize) {
        if self.twin.is_some() {
            return;
        }
        self.crash(index);
        let Some(node) = self.nodes.get_mut(index) else { return };
        let old = node.twin();
        node.generation += 1;
        let twin = self.nodes.len();
        self.nodes.push(old);
        self.troubles.push(TWIN_TROUBLES);
        self.ledger.rolled_back.extend([index, twin]);
        self.twin = Some(Twin { node: index, old: twin, runs: true });
        self.at(0, Happening::Start(twin));
    }

    /// A node is stopped, its key is changed, and it is started again. Where its domain said which key it is, it says so.
    pub(super) fn rotate(&mut self, index: usize, announced: bool) {
        self.crash(index);
        if let Some(node) = self.nodes.get_mut(index) {
            node.rotate(announced);
            if self.post.says.contains_key(&node.domain) {
                self.says_its_key(index);
            }
        }
    }

    /// All faults end: what is down comes up, who was apart meets.
    pub fn heal(&mut self) {
        self.trace.note(self.now, format_args!("healed"));
        self.weather = Weather::calm();
        self.apart.clear();
        self.pauses.clear();
        if let Some(twin) = &mut self.twin {
            twin.runs = false;
            let old = twin.old;
            self.crash(old);
        }
        for index in 0..self.nodes.len() {
            self.start(index);
        }
        for index in 0..self.devices.len() {
            self.device_up(index);
            self.reaches(index, true);
        }
    }
}
