//! What was said on connections, as somebody who taped it plays it again: to the same node, on a connection of their own.

use std::collections::BTreeMap;

use postline_core::id::LinkId;
use postline_core::server::{Input, LinkIn};

use super::{Happening, World};

/// Most connections that are kept on tape, and most words of each end.
const CONNECTIONS: usize = 32;
const WORDS: usize = 16;

/// The words of each connection, by the end that said them.
#[derive(Debug, Default)]
pub(super) struct Tape(BTreeMap<LinkId, [Vec<Vec<u8>>; 2]>);

impl Tape {
    pub(super) fn hear(&mut self, link: LinkId, end: usize, bytes: &[u8]) {
        if !bytes.is_empty()
            && let Some(words) = self.0.entry(link).or_default().get_mut(end).filter(|words| words.len() < WORDS)
        {
            words.push(bytes.to_vec());
        }
        if self.0.len() > CONNECTIONS {
            self.0.pop_first();
        }
    }
}

impl World {
    /// Somebody plays again what an end of an old connection said: it proves nothing on this one (attack 103).
    pub(super) fn replay(&mut self, node: usize) {
        let tapes: Vec<LinkId> = self.tape.0.keys().copied().collect();
        let Some(words) = self.rng.pick(&tapes).copied().and_then(|tape| self.tape.0.get(&tape)) else { return };
        let said = words.get(self.rng.index(2)).cloned().unwrap_or_default();
        let link = self.line(usize::MAX, node);
        let exporter = self.lines.get(&link).map(|conn| conn.exporter).unwrap_or_default();
        self.step(node, Input::Link(link, LinkIn::Up { dialled: None, exporter }), None);
        for (delay, bytes) in (1..).zip(said) {
            self.at(delay, Happening::Bytes(link, 1, bytes));
        }
    }
}
