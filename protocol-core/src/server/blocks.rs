//! What the operator and the people of this node have set: blocked domains ([T-24]), whose mails take no offers along
//! ([T-25]), and whom a person blocks from a device of theirs ([U-16]).

use std::collections::BTreeSet;

use super::Server;
use super::book;
use super::io::Output;
use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, Domain, Pair};
use crate::limits;
use crate::machine::trust::{Input, TrustState};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};

impl Server {
    /// Whether the operator blocks the correspondent's domain.
    pub(super) fn is_blocked(&self, pair: &Pair) -> bool {
        self.blocked.contains(pair.theirs.domain())
    }

    /// Whether this author's mails take offers along.
    pub(super) fn takes_offers_along(&self, author: &Address) -> bool {
        self.offers.get(author).copied().flatten().unwrap_or(self.ours.offers)
    }

    /// Whether this author wants neither offers nor accepts to go out.
    pub(super) fn keeps_out(&self, author: &Address) -> bool {
        self.offers.get(author).copied().flatten() == Some(false)
    }

    pub(super) fn block_domain(&mut self, tick: &Tick, domain: Domain, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        if self.ours.domains.contains(&domain) {
            return Err(Misuse::OutOfPlace("a domain of this node can't be blocked"));
        }
        if self.blocked.len() >= limits::BLOCKED_DOMAINS {
            return Err(Misuse::OutOfPlace("as many domains are blocked as may be"));
        }
        out.save(book::write_blocked(&domain, tick.now));
        let of_domain =
            self.pairs.keys().filter(|pair| *pair.theirs.domain() == domain).map(|pair| pair.theirs.clone());
        let parted: BTreeSet<Address> = of_domain.collect();
        self.unask(tick, |_, whose| *whose.domain() == domain, out);
        self.whispers_block(tick, &domain, out);
        self.blocked.insert(domain);
        for theirs in parted {
            self.talks_part(tick, &theirs, out);
        }
        Ok(())
    }

    pub(super) fn unblock_domain(&mut self, domain: &Domain, out: &mut Outbox<Output>) {
        if self.blocked.remove(domain) {
            out.save(Record::remove(Key::Blocked(domain.clone())));
        }
    }

    /// A device says that its person blocks somebody, or blocks them no more ([U-16]). Whom the person has nothing with they
    /// can't block: each would be a record for good.
    pub(super) fn block_published(
        &mut self,
        tick: &Tick,
        pair: &Pair,
        blocked: bool,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        if self.pairs.get(pair).is_none_or(|trust| trust.state() == TrustState::Stranger) {
            return if blocked { Err(PeerFault::NotTrusted) } else { Ok(()) };
        }
        self.trust(tick, pair, if blocked { Input::Block } else { Input::Unblock }, out);
        Ok(())
    }

    pub(super) fn set_offers(&mut self, ours: Address, on: bool, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        if !self.ours.domains.contains(ours.domain()) {
            return Err(Misuse::NotOurDomain(ours.domain().clone()));
        }
        out.save(book::write_offers(&ours, on));
        self.offers.insert(ours, Some(on));
        Ok(())
    }
}
