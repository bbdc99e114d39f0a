//! What a link remembers of the other node beyond connections and crashes: [`Key::Peer`].

use crate::fault::{PeerFault, RestoreError};
use crate::id::{Hash, NodeKey};
use crate::limits;
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::frame::Ready;

const VERSION: u64 = 1;

/// The record. It is written when something in it must not be lost: the reserve, the highest seq taken, a generation,
/// a key. The highest seq acked only rides along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// The first seq that is not reserved: after a crash, numbering goes on here.
    pub(super) reserved: u64,
    /// The highest seq of theirs that is durable here.
    pub(super) last_seen: u64,
    /// The highest seq of ours that they acked.
    pub(super) acked: u64,
    /// Their store generation.
    pub(super) generation: u64,
    /// Ours, when they last agreed to a link; `None` before that.
    pub(super) our_generation: Option<u64>,
    /// Whether they ever proved their key to us.
    pub(super) proven: bool,
    /// Hash of their next key, as they last said.
    pub(super) next_nk: Option<Hash>,
    /// The key that it proves now, where that isn't the one that we first knew it by.
    pub(super) key: Option<NodeKey>,
    /// When it last changed its key.
    pub(super) rotated: Millis,
}

impl Memory {
    /// Of a node that we never met.
    pub(super) const NEW: Self = Self {
        reserved: 1,
        last_seen: 0,
        acked: 0,
        generation: 0,
        our_generation: None,
        proven: false,
        next_nk: None,
        key: None,
        rotated: Millis(0),
    };

    /// Judges a Ready: neither store may be an older copy of itself (attack 111), and gives what is then remembered.
    ///
    /// A store that was started from a backup says so by a risen generation; then its numbers may have run back.
    pub(super) fn agree(&self, ready: &Ready, our_generation: u64) -> Result<Self, PeerFault> {
        if ready.last_seen > u64::MAX - 2 * limits::SEQ_RESERVE {
            return Err(PeerFault::Frame("a last seq that can be followed"));
        }
        if ready.generation < self.generation {
            return Err(PeerFault::Generation { got: ready.generation, seen: self.generation });
        }
        let they_restarted = ready.generation > self.generation;
        if !they_restarted && ready.last_seen < self.acked {
            return Err(PeerFault::Generation { got: ready.last_seen, seen: self.acked });
        }
        let we_restarted = self.our_generation.is_some_and(|before| our_generation > before);
        if !we_restarted && ready.last_seen >= self.reserved {
            return Err(PeerFault::Generation { got: self.reserved - 1, seen: ready.last_seen });
        }
        Ok(Self {
            reserved: self.reserved.max(ready.last_seen + 1),
            acked: ready.last_seen,
            generation: ready.generation,
            our_generation: Some(our_generation),
            next_nk: Some(ready.next_nk),
            ..self.clone()
        })
    }

    /// Whether the difference to what was saved must not be lost.
    pub(super) fn differs(&self, saved: Option<&Self>) -> bool {
        let saved = saved.unwrap_or(&Self::NEW);
        Self { acked: saved.acked, ..self.clone() } != *saved
    }

    pub(super) fn record(&self, nk: NodeKey) -> Record {
        let mut writer = Writer::array_of(10);
        writer.u64(VERSION).u64(self.reserved).u64(self.last_seen).u64(self.acked).u64(self.generation);
        writer.maybe(self.our_generation, Writer::u64).bool(self.proven);
        writer.maybe(self.next_nk, |w, hash| w.bytes(&hash.0));
        writer.maybe(self.key, |w, key| w.bytes(&key.0)).millis(self.rotated);
        Record::put(Key::Peer(nk), writer.into_bytes())
    }

    pub(super) fn restore(nk: NodeKey, bytes: &[u8]) -> Result<Self, RestoreError> {
        let damaged = |Malformed(what)| RestoreError::Damaged { key: Key::Peer(nk), what };
        let mut reader = Reader::new(bytes);
        reader.array(u64::MAX).map_err(damaged)?;
        let found = reader.u64().map_err(damaged)?;
        if found != VERSION {
            return Err(RestoreError::Version { key: Key::Peer(nk), found, known: VERSION });
        }
        Self::read(bytes).map_err(damaged)
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(10)?;
        reader.u64()?;
        let memory = Self {
            reserved: reader.u64()?,
            last_seen: reader.u64()?,
            acked: reader.u64()?,
            generation: reader.u64()?,
            our_generation: reader.maybe(Reader::u64)?,
            proven: reader.bool()?,
            next_nk: reader.maybe(|r| r.fixed().map(Hash))?,
            key: reader.maybe(|r| r.fixed().map(NodeKey))?,
            rotated: reader.millis()?,
        };
        reader.end()?;
        if memory.reserved == 0 || memory.reserved > u64::MAX - limits::SEQ_RESERVE {
            return Err(Malformed("a reserve of sequence numbers"));
        }
        Ok(memory)
    }
}
