//! Faults that come at their own time, and how they all end.

use super::World;
use crate::weather::Weather;

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
        }
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
        let down: Vec<usize> = (0..self.nodes.len()).collect();
        for index in down {
            self.start(index);
        }
    }
}
