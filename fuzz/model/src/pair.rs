//! One side of the pair: the real [`Trust`] machine on its node, and what it has been through.
//!
//! What a machine does depends on nothing but itself, so each step of it is made once and looked up from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use postline_core::id::Hash;
use postline_core::machine::trust::{Trust, TrustState};

/// One side, at some point of some history.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) who: usize,
    pub(crate) trust: Trust,
    pub(crate) past: Past,
    /// What has been worked out already; `None` where nothing changes.
    pub(crate) told: Mutex<BTreeMap<Told, Option<Arc<Turn>>>>,
}

/// What a side has been through: what its machine may have forgotten, and promises are about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Past {
    /// What its node's clock shows.
    pub(crate) clock: u8,
    /// How many mails its person wrote.
    pub(crate) wrote: u8,
    /// How many mails reached it.
    pub(crate) got: u8,
    /// How often its person blocked or unblocked, or its line was denied.
    pub(crate) turned: u8,
    /// The handshakes that it took part in, by T1.
    pub(crate) took_part: BTreeSet<Hash>,
    /// The offers of its own that it confirmed, by T0.
    pub(crate) confirmed: BTreeSet<Hash>,
    /// Whether it heard evidence for the other's true node.
    pub(crate) vouched: bool,
    /// T1 of its last line.
    pub(crate) line: Option<Hash>,
    /// A promise that was broken on the way.
    pub(crate) broke: Option<&'static str>,
}

/// What a side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Told {
    /// Its person writes, also to the attacker or not, answering nothing that matters.
    Write(bool),
    /// Its person replies to the mail with this number.
    Reply(u32),
    /// A mail arrives.
    Mail(u32),
    /// DKIM of a mail was evaluated.
    Dkim(u32),
    /// The other's domain was asked, about a mail; whether it publishes its node's key.
    Domain(u32, bool),
    /// A step comes on a link.
    Word(u32),
    /// The other's node says that there is no line.
    Denied,
    /// Its person blocks the other.
    Block,
    /// Its person lets the other in again.
    Unblock,
    /// Time passes.
    Clock,
}

/// What comes of it.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The side as it is now.
    pub(crate) side: u32,
    /// The mail that leaves.
    pub(crate) mail: Option<u32>,
    /// The steps that are said.
    pub(crate) words: Vec<u32>,
}

impl Side {
    pub(crate) fn state(&self) -> TrustState {
        self.trust.state()
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.state() == TrustState::Trusted
    }
}
