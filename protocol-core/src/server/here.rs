//! Two people of this node: they go through the same states as any two, without a link, and without asking anybody who
//! their node is ([T-20]).

use std::collections::BTreeSet;

use super::Server;
use super::io::Output;
use crate::content::evidence::{Dkim, Evidence};
use crate::content::mail::{Canonical, Rcpt};
use crate::id::{Address, MailId, NodeKey, Pair};
use crate::limits;
use crate::machine::trust::{self, Came, SentAccept, SentOffer, Trust, TrustState};
use crate::step::{Outbox, Tick};
use crate::wire::field::{AcceptDraft, OfferDraft};

/// What this node is called in pairs of its own people, whichever key it has. It is no key: nobody can prove it.
pub const HERE: NodeKey = NodeKey([0; 32]);
/// What stays within the node is signed by nobody: nobody is to believe it.
const UNSIGNED: [u8; 64] = [0; 64];

impl Server {
    /// Whether both are of this node.
    pub(super) fn is_here(&self, pair: &Pair) -> bool {
        self.ours.domains.contains(pair.theirs.domain())
    }

    /// One of our users wrote to others of ours: the mail itself is the offer, and the reply to it the accept.
    pub(super) fn wrote_here(
        &mut self,
        tick: &Tick,
        id: MailId,
        author: &Address,
        canonical: &Canonical,
        rcpts: &[Rcpt],
        out: &mut Outbox<Output>,
    ) {
        if canonical.automatic.is_some() || canonical.to_cc.len() > limits::OFFER_RECIPIENTS || self.keeps_out(author) {
            return;
        }
        let here = rcpts.iter().filter(|rcpt| rcpt.mailbox.is_some() && rcpt.address != *author);
        let named = here.filter(|rcpt| canonical.to_cc.contains(&rcpt.address));
        let named: BTreeSet<Address> = named.map(|rcpt| rcpt.address.clone()).collect();
        for other in named {
            let ours = Pair { ours: author.clone(), theirs: other.clone() };
            let theirs = Pair { ours: other, theirs: author.clone() };
            if self.is_here(&ours) && self.pairs.contains_key(&theirs) && self.pairs.contains_key(&ours) {
                self.between_us(tick, id, canonical, &ours, &theirs, out);
            }
        }
    }

    fn between_us(
        &mut self,
        tick: &Tick,
        id: MailId,
        canonical: &Canonical,
        ours: &Pair,
        theirs: &Pair,
        out: &mut Outbox<Output>,
    ) {
        let state = |server: &Self, pair: &Pair| server.pairs.get(pair).map(Trust::state);
        let trusted = Some(TrustState::Trusted);
        if state(self, ours) == trusted && state(self, theirs) != trusted {
            // What another node says by a refusal.
            self.trust(tick, ours, trust::Input::Denied, out);
        }
        let Some(trust) = self.pairs.get(ours) else { return };
        let mut came = Came {
            mail: id,
            message_id: canonical.message_id.clone(),
            offer: None,
            accept: None,
            automatic: canonical.automatic.is_some(),
        };
        if let Some(re) = trust.accepts(&canonical.answers, tick.now).map(|held| held.t0) {
            let draft = self.accept_draft(tick, &ours.ours, &canonical.to_cc, re);
            let (_, accept) = AcceptDraft { nk: HERE, next: None, ..draft }.signed(UNSIGNED);
            let sent = SentAccept::from(&accept);
            self.trust(tick, ours, trust::Input::Wrote { offer: None, accept: Some(sent) }, out);
            came.accept = Some(accept);
        } else if trust.wants_offer() && self.takes_offers_along(&ours.ours) && !canonical.has_group {
            let draft = self.offer_draft(tick, &ours.ours, &canonical.to_cc);
            let (_, offer) = OfferDraft { nk: HERE, next: None, ..draft }.signed(UNSIGNED);
            let sent = SentOffer::from(&offer);
            self.trust(tick, ours, trust::Input::Wrote { offer: Some(sent), accept: None }, out);
            came.offer = Some(offer);
        } else {
            return;
        }
        self.trust(tick, theirs, trust::Input::Came(Box::new(came)), out);
    }

    /// What a pair of this node wants of the world, it has at once. `false` for what it wants as any pair does.
    pub(super) fn had_here(
        &mut self,
        tick: &Tick,
        pair: &Pair,
        output: &trust::Output,
        out: &mut Outbox<Output>,
    ) -> bool {
        if !self.is_here(pair) {
            return false;
        }
        let (of, input) = match output {
            trust::Output::SeekDkim(mail) => {
                (pair.clone(), trust::Input::Evidence(*mail, Evidence::Dkim(Dkim::default())))
            }
            trust::Output::SeekDomain(mail) => {
                (pair.clone(), trust::Input::Evidence(*mail, Evidence::Domain { names: Some(HERE) }))
            }
            trust::Output::Say { step, bytes, .. } => {
                let other = Pair { ours: pair.theirs.clone(), theirs: pair.ours.clone() };
                (other, trust::Input::Step { nk: HERE, step: *step, bytes: bytes.clone() })
            }
            trust::Output::WantLink { .. } => return true,
            trust::Output::Admitted
            | trust::Output::Changed { .. }
            | trust::Output::Proposed { .. }
            | trust::Output::Refused(_) => return false,
        };
        self.trust(tick, &of, input, out);
        true
    }
}
