//! How often: dials to a node that doesn't answer, and frames from one that talks too much.

use crate::fault::PeerFault;
use crate::id::NodeKey;
use crate::limits;
use crate::step::Tick;
use crate::store::sha256;
use crate::time::{Millis, SECOND};

/// When the node may be dialled next, and whether anybody wants it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redial {
    failures: u32,
    next: Millis,
    wanted_until: Millis,
}

impl Redial {
    pub(super) const fn new() -> Self {
        Self { failures: 0, next: Millis(0), wanted_until: Millis(0) }
    }

    pub(super) const fn want(&mut self, now: Millis) {
        self.wanted_until = now.plus(limits::WANT_MS);
    }

    pub(super) fn is_wanted(&self, now: Millis) -> bool {
        now < self.wanted_until
    }

    pub(super) const fn next(&self) -> Millis {
        self.next
    }

    /// A dial goes out; where the key was never proven, no other does for a minute.
    pub(super) const fn dialled(&mut self, now: Millis, proven: bool) {
        if !proven {
            self.next = now.plus(limits::UNPROVEN_DIAL_MS);
        }
    }

    /// The node is there: what failed before counts no more.
    pub(super) const fn met(&mut self, now: Millis) {
        (self.failures, self.next) = (0, now);
    }

    /// The key is proven for the first time: the minute between dials is over.
    pub(super) const fn proven(&mut self, now: Millis) {
        self.next = now;
    }

    /// Nobody wants it for ever.
    pub(super) fn expire(&mut self, now: Millis) {
        if !self.is_wanted(now) {
            self.satisfied();
        }
    }

    /// A link is up: nobody needs another.
    pub(super) const fn satisfied(&mut self) {
        self.wanted_until = Millis(0);
    }

    /// A dial or a connection failed: the wait doubles, and a random half of it keeps many nodes apart (attack 94).
    pub(super) fn failed(&mut self, tick: &Tick, nk: NodeKey) {
        let longest = limits::REDIAL_MIN_MS.saturating_mul(2 << self.failures.min(16)).min(limits::REDIAL_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        let spread = random(tick, b"postline redial", nk) % (longest / 2 + 1);
        self.next = self.next.max(tick.now.plus(longest / 2 + spread));
    }

    /// What failed won't mend itself soon.
    pub(super) const fn give_it_time(&mut self) {
        self.failures = 16;
    }
}

/// How many of something came within the running second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    since: Millis,
    count: u32,
}

impl Rate {
    pub(super) const fn new(now: Millis) -> Self {
        Self { since: now, count: 0 }
    }

    /// The rate with `cost` more, where that is within `max` a second.
    pub(super) fn plus(self, now: Millis, cost: u32, max: u32) -> Result<Self, PeerFault> {
        let since = if now.since(self.since) >= SECOND { now } else { self.since };
        let count = if since == self.since { self.count.saturating_add(cost) } else { cost };
        if count > max { Err(PeerFault::Rate { max, per_ms: SECOND }) } else { Ok(Self { since, count }) }
    }
}

/// A number that this step's entropy makes, for one purpose.
pub(super) fn random(tick: &Tick, purpose: &[u8], nk: NodeKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[purpose, &tick.entropy, &nk.0]).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
