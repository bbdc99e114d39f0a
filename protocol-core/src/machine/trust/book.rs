//! What a pair remembers: all of it durable, all of it bounded.

use crate::id::{Hash, MailId, NodeKey, Nonce};
use crate::limits;
use crate::time::Millis;

use super::inquiry::{Finding, Inquiry};
use super::{SentOffer, TrustState};

/// Everything that a pair remembers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Book {
    /// Their node, once there was a line: by the name under which the front door knows it.
    pub(super) known: Option<NodeKey>,
    /// Their node's key changed without continuity, and no way back was found yet.
    pub(super) suspended: Option<Suspension>,
    /// Our offers that stand, oldest first.
    pub(super) sent: Vec<SentOffer>,
    /// Their offers that are held, oldest first.
    pub(super) held: Vec<HeldOffer>,
    /// Their accepts of our offers that wait for evidence, oldest first.
    pub(super) claims: Vec<Claim>,
    /// Where the round trip stands.
    pub(super) phase: Phase,
}

/// Where the round trip stands.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) enum Phase {
    /// No accept counts yet: Stranger, Offered, Held or Crossed, by what is in the book.
    #[default]
    Open,
    Accepting(Box<Accepting>),
    Confirming(Box<Confirming>),
    Trusted(Box<Line>),
    Revoked,
}

/// Mail only, until the person or the known node leads back.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Suspension {
    /// The other key, once a new round trip of mails has proven it: it waits for the person's word.
    pub(super) candidate: Option<NodeKey>,
}

/// An offer of theirs that we hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOffer {
    /// T0: hash of its signed bytes and signature. An accept's `re`.
    pub t0: Hash,
    /// Its nonce.
    pub nonce: Nonce,
    /// The node that signed it.
    pub nk: NodeKey,
    /// Hash of the key that will follow that node's, as the offer says.
    pub next: Option<Hash>,
    /// Where the node may be found, within their mail domain.
    pub hint: Option<String>,
    /// The last moment at which it can be accepted.
    pub expires: Millis,
    /// Hash of its mail's Message-ID.
    pub(super) message: Hash,
    pub(super) inquiry: Inquiry,
}

/// An accept of theirs that waits for evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// T0 of our offer.
    pub(super) t0: Hash,
    /// Our offer's nonce.
    pub(super) our_nonce: Nonce,
    pub(super) t1: Hash,
    /// The accept's nonce.
    pub(super) nonce: Nonce,
    pub(super) nk: NodeKey,
    /// Hash of the key that will follow that node's, as the accept says.
    pub(super) next: Option<Hash>,
    pub(super) hint: Option<String>,
    /// How long it may wait.
    pub(super) until: Millis,
    pub(super) inquiry: Inquiry,
}

/// We accepted, and wait for M2 and for evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepting {
    pub(super) held: HeldOffer,
    pub(super) t1: Hash,
    /// Our accept's nonce.
    pub(super) nonce: Nonce,
    /// When our accept was made: with it, it can be made again verbatim.
    pub(super) at: Millis,
    /// The first M2 that came, verbatim.
    pub(super) m2: Option<Vec<u8>>,
    pub(super) until: Millis,
    /// When we dial, the evidence being good; `None` once we have.
    pub(super) dials_at: Option<Millis>,
}

/// They accepted, their evidence is good, and we wait for M3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Confirming {
    pub(super) t1: Hash,
    /// The accept's nonce.
    pub(super) nonce: Nonce,
    pub(super) nk: NodeKey,
    /// Hash of the key that will follow that node's, as the accept says.
    pub(super) next: Option<Hash>,
    pub(super) hint: Option<String>,
    /// Our M2, verbatim.
    pub(super) m2: Vec<u8>,
    pub(super) until: Millis,
}

/// The line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Whether it was our side's offer that was accepted.
    pub(super) offered: bool,
    pub(super) hint: Option<String>,
    pub(super) t1: Hash,
    pub(super) t2: Hash,
    /// When the domain was last asked for its word, and for which inquiry.
    pub(super) look: Look,
    /// The accepter's: M3 may still be on its way.
    pub(super) last_word: Option<LastWord>,
}

/// A look at what the domain says of its node, while there is a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) at: Millis,
    /// Under which id the answer comes; `None` where there was none yet, or it came.
    pub(super) mail: Option<MailId>,
}

/// M3, for as long as the offerer may still be waiting for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastWord {
    pub(super) m2: Vec<u8>,
    pub(super) m3: Vec<u8>,
    pub(super) until: Millis,
}

impl Book {
    pub(super) fn state(&self) -> TrustState {
        match self.phase {
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) if self.suspended.is_some() => {
                TrustState::Suspended
            }
            Phase::Open => match (self.sent.is_empty(), self.held.is_empty()) {
                (true, true) => TrustState::Stranger,
                (false, true) => TrustState::Offered,
                (true, false) => TrustState::Held,
                (false, false) => TrustState::Crossed,
            },
            Phase::Accepting(_) => TrustState::Accepting,
            Phase::Confirming(_) => TrustState::Confirming,
            Phase::Trusted(_) => TrustState::Trusted,
            Phase::Revoked => TrustState::Revoked,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let phase = match &self.phase {
            Phase::Accepting(accepting) => {
                let good = accepting.held.inquiry.verdict(accepting.held.nk) == Some(Ok(()));
                Some(accepting.dials_at.filter(|_| good).map_or(accepting.until, |at| at.min(accepting.until)))
            }
            Phase::Confirming(confirming) => Some(confirming.until),
            Phase::Trusted(line) => line.last_word.as_ref().map(|word| word.until),
            Phase::Open | Phase::Revoked => None,
        };
        self.inquiries().filter_map(Inquiry::deadline).chain(phase).min()
    }

    /// When the record ends: never, but where it holds only what strangers left and what we offered them.
    pub(super) fn ends(&self) -> Option<Millis> {
        let lasting = self.phase != Phase::Open || self.known.is_some() || !self.claims.is_empty();
        let sent = self.sent.iter().map(|offer| offer.expires);
        let held = self.held.iter().map(|offer| offer.expires);
        sent.chain(held).max().filter(|_| !lasting).map(|last| last.plus(1))
    }

    /// Everything about which evidence may be open.
    pub(super) fn inquiries(&self) -> impl Iterator<Item = &Inquiry> {
        let accepting = match &self.phase {
            Phase::Accepting(accepting) => Some(&accepting.held.inquiry),
            Phase::Open | Phase::Confirming(_) | Phase::Trusted(_) | Phase::Revoked => None,
        };
        let held = self.held.iter().map(|held| &held.inquiry);
        held.chain(self.claims.iter().map(|claim| &claim.inquiry)).chain(accepting)
    }

    /// The same, to be told something; with the field that each is about.
    pub(super) fn inquiries_mut(&mut self) -> impl Iterator<Item = (&mut Inquiry, &'static str)> {
        let accepting = match &mut self.phase {
            Phase::Accepting(accepting) => Some((&mut accepting.held.inquiry, "postline-offer")),
            Phase::Open | Phase::Confirming(_) | Phase::Trusted(_) | Phase::Revoked => None,
        };
        let held = self.held.iter_mut().map(|held| (&mut held.inquiry, "postline-offer"));
        held.chain(self.claims.iter_mut().map(|claim| (&mut claim.inquiry, "postline-accept"))).chain(accepting)
    }

    /// Forgets the offers that no longer stand.
    pub(super) fn prune(&mut self, now: Millis) {
        self.sent.retain(|offer| now <= offer.expires);
        self.held.retain(|offer| now <= offer.expires);
        self.claims.retain(|claim| now <= claim.until);
    }

    /// The held offer that fits, the best vouched for first, then the newest: a copy that a spoofer sends ahead, or
    /// after, never stands in the way of the genuine one.
    pub(super) fn best_held(&self, now: Millis, fits: impl Fn(&HeldOffer) -> bool) -> Option<&HeldOffer> {
        self.held.iter().filter(|held| now <= held.expires && fits(held)).max_by_key(|held| held.inquiry.rank())
    }

    /// Holds an offer. Where there is no room, the oldest of the worst vouched for goes.
    pub(super) fn hold(&mut self, held: HeldOffer) {
        if self.held.len() >= limits::HELD_PER_PAIR {
            remove_worst(&mut self.held, |held| held.inquiry.rank());
        }
        self.held.push(held);
    }

    /// Remembers an offer of ours. Where there is no room, the oldest goes.
    pub(super) fn offer(&mut self, offer: SentOffer) {
        if self.sent.len() >= limits::OFFERS_PER_PAIR {
            self.sent.remove(0);
        }
        self.sent.push(offer);
    }

    /// Keeps an accept until its evidence is in. Where there is no room, the oldest of the worst vouched for goes.
    pub(super) fn claim(&mut self, claim: Claim) {
        if self.claims.len() >= limits::HELD_PER_PAIR {
            remove_worst(&mut self.claims, |claim| claim.inquiry.rank());
        }
        self.claims.push(claim);
    }

    /// The nodes that are named where the round trip stands: not the known one, which is named for good.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeKey> {
        let phase = match &self.phase {
            Phase::Accepting(accepting) => Some(accepting.held.nk),
            Phase::Confirming(confirming) => Some(confirming.nk),
            Phase::Open | Phase::Trusted(_) | Phase::Revoked => None,
        };
        let candidate = self.suspended.as_ref().and_then(|suspension| suspension.candidate);
        let held = self.held.iter().map(|held| held.nk);
        let said = self.inquiries().filter_map(Inquiry::said);
        held.chain(self.claims.iter().map(|claim| claim.nk)).chain(phase).chain(candidate).chain(said)
    }

    /// A node goes by another name from now on.
    pub(super) fn rename(&mut self, from: NodeKey, to: NodeKey) {
        self.inquiries_mut().for_each(|(inquiry, _)| inquiry.rename(from, to));
        let phase = match &mut self.phase {
            Phase::Accepting(accepting) => Some(&mut accepting.held.nk),
            Phase::Confirming(confirming) => Some(&mut confirming.nk),
            Phase::Open | Phase::Trusted(_) | Phase::Revoked => None,
        };
        let candidate = self.suspended.as_mut().and_then(|suspension| suspension.candidate.as_mut());
        let held = self.held.iter_mut().map(|held| &mut held.nk);
        let claims = self.claims.iter_mut().map(|claim| &mut claim.nk);
        for nk in held.chain(claims).chain(phase).chain(candidate).filter(|nk| **nk == from) {
            *nk = to;
        }
    }
}

/// How well DKIM vouches for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Unvouched,
    Open,
    Vouched,
}

impl Inquiry {
    pub(super) fn rank(&self) -> Rank {
        match self.dkim {
            Finding::Known(true) => Rank::Vouched,
            Finding::Known(false) => Rank::Unvouched,
            Finding::Unasked | Finding::Asked { .. } => Rank::Open,
        }
    }
}

fn remove_worst<T>(list: &mut Vec<T>, rank: impl Fn(&T) -> Rank) {
    let worst = list.iter().enumerate().min_by_key(|(at, item)| (rank(item), *at)).map(|(at, _)| at);
    if let Some(at) = worst {
        list.remove(at);
    }
}
