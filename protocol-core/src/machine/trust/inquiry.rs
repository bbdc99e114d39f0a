//! What is known, so far, about the node that a field names, and the rule that judges it ([T-5]).
//!
//! ```text
//!   domain names this key ........................ good
//!   domain names another ......................... bad, whatever DKIM says
//!   domain contradicts itself .................... bad, whatever DKIM says: kept as silent, with DKIM not good
//!   domain silent, DKIM good ..................... good, for that exact address
//!   domain silent, DKIM not good ................. bad
//!   anything still open .......................... wait
//! ```

use crate::canary::{self, Canary};
use crate::content::evidence::{Dkim, Evidence};
use crate::id::{Domain, MailId, NodeKey};
use crate::limits;
use crate::time::Millis;

/// Two questions about one mail's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inquiry {
    /// The mail whose field it is about.
    pub(super) mail: MailId,
    /// Did the domain sign the field?
    pub(super) dkim: Finding<bool>,
    /// Which key does the domain name?
    pub(super) domain: Finding<Option<NodeKey>>,
}

/// The answer to a question, as far as we have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding<T> {
    /// Not the time to ask.
    Unasked,
    /// Asked. An answer that never comes (a crash lost it) and one that is only temporary are the same.
    Asked {
        /// When first.
        since: Millis,
        /// When to ask again.
        again: Millis,
    },
    /// Answered.
    Known(T),
}

/// A question that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Dkim,
    Domain,
}

impl<T> Finding<T> {
    pub(super) const fn asked(now: Millis) -> Self {
        Self::Asked { since: now, again: now.plus(limits::EVIDENCE_EVERY_MS) }
    }

    fn again(&self) -> Option<Millis> {
        match self {
            Self::Asked { again, .. } => Some(*again),
            Self::Unasked | Self::Known(_) => None,
        }
    }

    /// Takes the answer to what was asked, once.
    fn answer(&mut self, answer: T) {
        if matches!(self, Self::Asked { .. }) {
            *self = Self::Known(answer);
        }
    }

    /// Asks again where that is due, or takes `silence` for the answer when time is up. True where it was asked again.
    fn wake(&mut self, now: Millis, silence: T) -> bool {
        match self {
            Self::Asked { since, again } if *again <= now => {
                if now.since(*since) >= limits::EVIDENCE_RETRY_MS {
                    *self = Self::Known(silence);
                    return false;
                }
                *again = now.plus(limits::EVIDENCE_EVERY_MS);
                true
            }
            Self::Asked { .. } | Self::Unasked | Self::Known(_) => false,
        }
    }
}

impl Inquiry {
    /// Asks for DKIM, as when a mail arrives.
    pub(super) const fn begun(mail: MailId, now: Millis) -> Self {
        Self { mail, dkim: Finding::asked(now), domain: Finding::Unasked }
    }

    /// Takes an answer. `field` is the one that DKIM must have signed, in lower case.
    pub(super) fn hear(&mut self, evidence: &Evidence, from: &Domain, field: &str) {
        match evidence {
            Evidence::Dkim(dkim) => self.dkim.answer(is_good(dkim, from, field)),
            Evidence::Domain { names } => self.domain.answer(*names),
            Evidence::Contradiction if matches!(self.domain, Finding::Asked { .. }) => {
                self.domain = Finding::Known(None);
                self.dkim = Finding::Known(false);
            }
            Evidence::Contradiction | Evidence::Temporary => {}
        }
    }

    /// The key that the evidence names, of a field that claims `nk`: `None` while it is open, `Some(None)` for no key.
    pub(super) fn names(&self, nk: NodeKey) -> Option<Option<NodeKey>> {
        if canary::is_on(Canary::EvidenceNotNeeded) {
            return Some(Some(nk));
        }
        match (&self.domain, &self.dkim) {
            (Finding::Known(Some(named)), _) => Some(Some(*named)),
            (Finding::Known(None), Finding::Known(good)) => Some(good.then_some(nk)),
            (Finding::Known(None), Finding::Unasked | Finding::Asked { .. })
            | (Finding::Unasked | Finding::Asked { .. }, _) => None,
        }
    }

    /// Whether the evidence for `nk` is good: `None` while it is open.
    pub(super) fn verdict(&self, nk: NodeKey) -> Option<Result<(), &'static str>> {
        self.names(nk).map(|named| match named {
            Some(named) if named == nk => Ok(()),
            Some(_) => Err("the domain names another key"),
            None => Err("no aligned DKIM signature over the field, and no word of the domain"),
        })
    }

    /// The key that the domain named, where it did.
    pub(super) const fn said(&self) -> Option<NodeKey> {
        match self.domain {
            Finding::Known(named) => named,
            Finding::Unasked | Finding::Asked { .. } => None,
        }
    }

    /// A node goes by another name from now on.
    pub(super) fn rename(&mut self, from: NodeKey, to: NodeKey) {
        if self.domain == Finding::Known(Some(from)) {
            self.domain = Finding::Known(Some(to));
        }
    }

    /// Whether DKIM vouches for the field.
    pub(super) fn is_vouched(&self) -> bool {
        self.dkim == Finding::Known(true)
    }

    /// When a question is to be asked again.
    pub(super) fn deadline(&self) -> Option<Millis> {
        if matches!(self.domain, Finding::Known(Some(_))) {
            return None;
        }
        [self.dkim.again(), self.domain.again()].into_iter().flatten().min()
    }

    /// The questions that are due; those whose time is up are closed.
    pub(super) fn wake(&mut self, now: Millis) -> Vec<Question> {
        if self.deadline().is_none() {
            return Vec::new();
        }
        let dkim = self.dkim.wake(now, false).then_some(Question::Dkim);
        let domain = self.domain.wake(now, None).then_some(Question::Domain);
        dkim.into_iter().chain(domain).collect()
    }
}

/// Whether a DKIM signature of the From domain binds the field to the address.
///
/// Oversigning keeps a second field of a name from being added unseen. In a canonical mail each of these stands at most
/// once, so a name that is always there must be signed twice, and for one that may be absent once is enough: absent, it
/// is oversigned by that; present, a second one would have made the mail inert.
fn is_good(dkim: &Dkim, from: &Domain, field: &str) -> bool {
    const MAYBE_ABSENT: [&str; 4] = ["to", "cc", "in-reply-to", "references"];
    dkim.passed.iter().any(|pass| {
        let times = |name: &str| pass.signed.iter().filter(|signed| *signed == name).count();
        pass.domain == *from
            && !pass.partial
            && [field, "from", "date"].into_iter().all(|name| times(name) >= 2)
            && MAYBE_ABSENT.into_iter().all(|name| times(name) >= 1)
    })
}
