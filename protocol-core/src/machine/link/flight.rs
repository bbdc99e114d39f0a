//! How much is unsettled: one count for what we send, one for what we take, the same rule for both.

use crate::limits;

/// Carry frames that are on their way, and their bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    items: usize,
    bytes: u64,
    oversize: usize,
    inline: usize,
}

/// The bounds that a Ready names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) items: usize,
    pub(super) bytes: u64,
}

impl Window {
    /// What we take.
    pub(super) const OURS: Self = Self { items: limits::WINDOW_ITEMS, bytes: limits::WINDOW_BYTES };

    /// Whether this body may only go as the one that exceeds the window.
    pub(super) const fn is_oversize(self, len: u64) -> bool {
        len > self.bytes
    }
}

impl Flight {
    /// Nothing on its way.
    pub(super) const EMPTY: Self = Self { items: 0, bytes: 0, oversize: 0, inline: 0 };

    /// Whether one more body fits. One that is larger than the whole window goes beside the others, one at a time,
    /// so that a large attachment doesn't stall what is small.
    pub(super) const fn fits(&self, len: u64, window: Window) -> bool {
        self.items < window.items
            && if window.is_oversize(len) { self.oversize == 0 } else { self.bytes.saturating_add(len) <= window.bytes }
    }

    pub(super) const fn add(&mut self, len: u64, window: Window) {
        self.items += 1;
        if window.is_oversize(len) {
            self.oversize += 1
        } else {
            self.bytes += len
        }
        if len <= limits::CARRY_INLINE_BYTES {
            self.inline += 1;
        }
    }

    pub(super) const fn remove(&mut self, len: u64, window: Window) {
        self.items -= 1;
        if window.is_oversize(len) {
            self.oversize -= 1
        } else {
            self.bytes -= len
        }
        if len <= limits::CARRY_INLINE_BYTES {
            self.inline -= 1;
        }
    }

    /// How many there are, and how many of them have no body to fetch.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.items, self.inline)
    }

    /// Bytes of the bodies that count.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
