//! The state table of protocol §2, row by row: one [`Turn`] is one input, worked out on a copy of the book.

use crate::canary::{self, Canary};
use crate::content::evidence::Evidence;
use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, Hash, MailId, NodeKey, Pair};
use crate::limits;
use crate::net::Hint;
use crate::step::Tick;
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::confirm::{self, Confirm, Done, Word};
use crate::wire::field::{Accept, Offer};
use crate::wire::frame::TrustStep;

use super::book::{Accepting, Book, Claim, Confirming, HeldOffer, LastWord, Line, Look, Phase, Suspension};
use super::inquiry::{Finding, Inquiry, Question};
use super::{Came, Output, SentAccept, SentOffer};

pub(super) struct Turn<'a> {
    pair: &'a Pair,
    tick: &'a Tick,
    now: Millis,
    book: Book,
    effects: Vec<Output>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(pair: &'a Pair, tick: &'a Tick, mut book: Book) -> Self {
        book.prune(tick.now);
        Self { pair, tick, now: tick.now, book, effects: Vec::new() }
    }

    pub(super) fn end(self) -> (Book, Vec<Output>) {
        (self.book, self.effects)
    }

    fn emit(&mut self, effect: Output) {
        self.effects.push(effect);
    }

    fn refuse(&mut self, why: PeerFault) {
        self.emit(Output::Refused(why));
    }

    // We write.

    pub(super) fn wrote(&mut self, offer: Option<SentOffer>, accept: Option<SentAccept>) -> Result<(), Misuse> {
        match (accept, offer) {
            (Some(accept), _) => self.accept(&accept),
            (None, Some(offer)) if self.book.phase == Phase::Open => {
                self.book.offer(offer);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn accept(&mut self, accept: &SentAccept) -> Result<(), Misuse> {
        let held = match self.book.phase {
            Phase::Open => self.book.best_held(self.now, |held| held.t0 == accept.re).cloned(),
            Phase::Accepting(_) | Phase::Confirming(_) | Phase::Trusted(_) | Phase::Revoked => None,
        };
        let mut held = held.ok_or(Misuse::OutOfPlace("accept of an offer that is not held"))?;
        self.book.held.retain(|other| *other != held);
        held.inquiry.domain = Finding::asked(self.now);
        self.emit(Output::SeekDomain(held.inquiry.mail));
        self.book.phase = Phase::Accepting(Box::new(Accepting {
            held,
            t1: accept.t1,
            nonce: accept.nonce,
            at: accept.at,
            m2: None,
            until: self.now.plus(limits::CONFIRM_MS),
            dials_at: Some(self.now.plus(limits::ACCEPTER_DIALS_AFTER_MS)),
        }));
        Ok(())
    }

    // They write.

    pub(super) fn came(&mut self, came: Came) {
        if came.offer.is_none() && came.accept.is_none() {
            return;
        }
        if came.automatic {
            return self.refuse(PeerFault::Automatic);
        }
        // A mail that answers one of our offers needs no second handshake about its own.
        let taken = came.accept.is_some_and(|accept| self.accept_came(came.mail, accept));
        if let Some(offer) = came.offer.filter(|_| !taken) {
            self.offer_came(came.mail, &came.message_id, offer);
        }
    }

    /// True where the accept leaves nothing to say about an offer in the same mail.
    fn accept_came(&mut self, mail: MailId, accept: Accept) -> bool {
        if let Err(why) = self.is_between_us(&accept.from, accept.to_cc.contains(&self.pair.ours)) {
            self.refuse(why);
            return false;
        }
        if let Err(why) = accept.valid_at(self.now) {
            self.refuse(why);
            return false;
        }
        match self.book.phase {
            Phase::Open | Phase::Accepting(_) => {}
            Phase::Confirming(_) => {
                self.refuse(PeerFault::Replayed);
                return true;
            }
            Phase::Trusted(_) => {
                self.refuse(PeerFault::Replayed);
                return false;
            }
            Phase::Revoked => {
                self.refuse(PeerFault::Blocked);
                return false;
            }
        }
        let Some(offer) = self.book.sent.iter().find(|offer| offer.hash == accept.re).cloned() else {
            self.refuse(PeerFault::WrongPeer);
            return false;
        };
        // The accepter says its accept again while it is unsure that it came ([T-22]).
        if self.book.claims.iter().any(|claim| claim.t1 == accept.t1 && claim.inquiry.is_vouched()) {
            return true;
        }
        let inquiry = Inquiry { domain: Finding::asked(self.now), ..Inquiry::begun(mail, self.now) };
        self.book.claim(Claim {
            t0: offer.hash,
            our_nonce: offer.nonce,
            t1: accept.t1,
            nonce: accept.nonce,
            nk: accept.nk,
            next: accept.next,
            hint: self.usable(accept.hint),
            until: self.now.plus(limits::CONFIRM_MS),
            inquiry,
        });
        self.emit(Output::SeekDkim(mail));
        self.emit(Output::SeekDomain(mail));
        true
    }

    fn offer_came(&mut self, mail: MailId, message_id: &str, offer: Offer) {
        let between_us = self.is_between_us(&offer.from, offer.to_cc.contains(&self.pair.ours));
        if let Err(why) = between_us.and_then(|()| offer.valid_at(self.now)) {
            return self.refuse(why);
        }
        let trusted = match self.book.phase {
            // An offer by the line's own node says nothing new; nor does one that it made by the key before the first
            // that it proved here, as long as it stands ([K-7]).
            Phase::Trusted(_) if self.is_by_lines_node(&offer) => return,
            Phase::Trusted(_) => true,
            // A stranger's offer causes this look-up, so a blocked one's does: else its absence would tell.
            Phase::Revoked => return self.emit(Output::SeekDkim(mail)),
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) => false,
        };
        let message = sha256(&[message_id.as_bytes()]);
        let again = |held: &HeldOffer| held.t0 == offer.hash && held.message == message;
        if self.book.held.iter().any(|held| again(held) && held.inquiry.is_vouched()) {
            return;
        }
        let mut inquiry = Inquiry::begun(mail, self.now);
        self.emit(Output::SeekDkim(mail));
        if trusted {
            inquiry.domain = Finding::asked(self.now);
            self.emit(Output::SeekDomain(mail));
        }
        self.book.hold(HeldOffer {
            t0: offer.hash,
            nonce: offer.nonce,
            nk: offer.nk,
            next: offer.next,
            hint: self.usable(offer.hint),
            expires: offer.expires,
            message,
            inquiry,
        });
    }

    fn is_by_lines_node(&self, offer: &Offer) -> bool {
        self.book.known.is_some_and(|known| known == offer.nk || offer.next == Some(sha256(&[&known.0])))
    }

    /// A field binds the header's addresses: an alias, a Bcc'd or forwarded-to address is another pair (attacks 5, 8, 9).
    fn is_between_us(&self, from: &Address, to_us: bool) -> Result<(), PeerFault> {
        if *from == self.pair.theirs && to_us { Ok(()) } else { Err(PeerFault::WrongPeer) }
    }

    fn usable(&self, hint: Option<Hint>) -> Option<String> {
        let within = hint.filter(|hint| hint.within(self.pair.theirs.domain()));
        within.map(|hint| hint.to_string())
    }

    // Evidence.

    pub(super) fn evidence(&mut self, mail: MailId, evidence: &Evidence) {
        let from = self.pair.theirs.domain();
        for (inquiry, field) in self.book.inquiries_mut().filter(|(inquiry, _)| inquiry.mail == mail) {
            inquiry.hear(evidence, from, field);
        }
        if let (Phase::Trusted(line), Evidence::Domain { names }) = (&mut self.book.phase, evidence)
            && line.look.mail == Some(mail)
        {
            line.look.mail = None;
            if names.is_some_and(|named| self.breaks_continuity(named)) {
                self.suspend();
            }
        }
        self.judge();
    }

    /// Acts on all evidence that is complete.
    fn judge(&mut self) {
        match self.book.phase {
            Phase::Open => self.judge_claims(None),
            Phase::Accepting(_) => self.judge_accepting(),
            Phase::Trusted(_) => self.judge_other_keys(),
            Phase::Confirming(_) | Phase::Revoked => {}
        }
    }

    /// The first of their accepts whose evidence is good is confirmed, unless a crossed offer with a smaller T0 wins.
    fn judge_claims(&mut self, rival: Option<Hash>) {
        for claim in core::mem::take(&mut self.book.claims) {
            match claim.inquiry.verdict(claim.nk) {
                None => self.book.claims.push(claim),
                Some(Err(why)) => self.refuse(PeerFault::Evidence(why)),
                Some(Ok(())) if rival.is_some_and(|t0| t0 < claim.t0) => {}
                Some(Ok(())) if self.breaks_continuity(claim.nk) => {
                    self.propose(claim.nk);
                    self.book.claims.push(claim);
                }
                Some(Ok(())) => return self.confirm(claim),
            }
        }
    }

    fn confirm(&mut self, claim: Claim) {
        self.book.claims.clear();
        if let Phase::Accepting(accepting) = core::mem::take(&mut self.book.phase) {
            self.hold_again(*accepting);
        }
        // An offer is confirmed once, so that a T1 has one M2, and both sides the same T2.
        self.book.sent.retain(|offer| offer.hash != claim.t0);
        let word = Word { t1: claim.t1, nonce: claim.our_nonce, fresh: self.fresh("confirm", claim.t1) };
        let m2 = Confirm(word).to_bytes();
        self.emit(Output::WantLink { nk: claim.nk });
        self.emit(Output::Say { nk: claim.nk, step: TrustStep::Confirm, bytes: m2.clone() });
        self.book.phase = Phase::Confirming(Box::new(Confirming {
            t1: claim.t1,
            nonce: claim.nonce,
            nk: claim.nk,
            next: claim.next,
            hint: claim.hint,
            m2,
            until: self.now.plus(limits::CONFIRM_MS),
        }));
    }

    fn judge_accepting(&mut self) {
        let Phase::Accepting(accepting) = &self.book.phase else { return };
        self.judge_claims(Some(accepting.held.t0));
        // A crossed offer may just have won.
        let Phase::Accepting(accepting) = &self.book.phase else { return };
        let mut accepting = accepting.clone();
        self.book.phase = Phase::Open;
        let nk = accepting.held.nk;
        let breaks = self.breaks_continuity(nk);
        match (accepting.held.inquiry.verdict(nk), accepting.m2.take()) {
            (Some(Err(why)), _) => return self.refuse(PeerFault::Evidence(why)),
            (Some(Ok(())), Some(m2)) if breaks => {
                (accepting.m2, accepting.dials_at) = (Some(m2), None);
                self.propose(nk);
            }
            (Some(Ok(())), Some(m2)) => return self.last_word(*accepting, m2),
            (Some(Ok(())), None) if accepting.dials_at.is_some_and(|at| at <= self.now) => {
                accepting.dials_at = None;
                self.emit(Output::WantLink { nk });
            }
            (_, m2) => accepting.m2 = m2,
        }
        if breaks && accepting.held.inquiry.verdict(nk) == Some(Ok(())) {
            self.book.suspended.get_or_insert_default();
        }
        self.book.phase = Phase::Accepting(accepting);
    }

    /// M2 is here and the evidence is good: we say M3, and have a line.
    fn last_word(&mut self, accepting: Accepting, m2: Vec<u8>) {
        let Accepting { held, t1, nonce, .. } = accepting;
        let m3 = Done(Word { t1, nonce, fresh: self.fresh("done", t1) }).to_bytes();
        self.emit(Output::Say { nk: held.nk, step: TrustStep::Done, bytes: m3.clone() });
        let t2 = confirm::t2(t1, &m2, &m3);
        let until = self.now.plus(limits::CONFIRM_MS);
        let look = Look { at: self.now, mail: None };
        let last_word = Some(LastWord { m2, m3, until });
        self.trust(held.nk, Line { offered: false, hint: held.hint, t1, t2, look, last_word });
    }

    /// Everything that led here is used up in the same step (attack 3).
    fn trust(&mut self, nk: NodeKey, line: Line) {
        self.book = Book { known: Some(nk), phase: Phase::Trusted(Box::new(line)), ..Book::default() };
    }

    /// While there is a line, an offer that names another key is the sign that their node changed.
    fn judge_other_keys(&mut self) {
        for held in core::mem::take(&mut self.book.held) {
            match held.inquiry.names(held.nk) {
                None => self.book.held.push(held),
                Some(None) => self.refuse(PeerFault::Evidence("no evidence for another key than the line's")),
                Some(Some(named)) if !self.breaks_continuity(named) => {
                    if named != held.nk {
                        self.refuse(PeerFault::Evidence("the domain names another key"));
                    }
                }
                Some(Some(_)) => {
                    self.book.held.push(held);
                    self.suspend();
                }
            }
        }
    }

    fn breaks_continuity(&self, nk: NodeKey) -> bool {
        self.book.known.is_some_and(|known| known != nk)
    }

    /// The line falls to mail. What has passed counts no more: only a new round trip leads back ([T-9]).
    fn suspend(&mut self) {
        self.book.phase = Phase::Open;
        self.book.suspended = Some(Suspension::default());
        self.book.sent.clear();
        self.book.claims.clear();
    }

    /// Another key has come through a whole round trip: it waits for the person's word.
    fn propose(&mut self, nk: NodeKey) {
        let suspension = self.book.suspended.get_or_insert_default();
        if suspension.candidate.replace(nk) != Some(nk) {
            self.emit(Output::Proposed { nk });
            // It may turn out to be the known node, by another key.
            self.emit(Output::WantLink { nk });
        }
    }

    // The link.

    pub(super) fn step(&mut self, nk: NodeKey, step: TrustStep, bytes: &[u8]) {
        let heard = match step {
            TrustStep::Confirm => Confirm::parse(bytes).and_then(|m2| self.confirm_came(nk, &m2.0, bytes)),
            TrustStep::Done => Done::parse(bytes).and_then(|m3| self.done_came(nk, &m3.0, bytes)),
            TrustStep::Accept => Err(PeerFault::Frame("an accept goes by mail")),
            TrustStep::Keys => Err(PeerFault::Frame("keys are no step to a line")),
        };
        if let Err(why) = heard {
            self.refuse(why);
        }
    }

    fn confirm_came(&mut self, nk: NodeKey, m2: &Word, bytes: &[u8]) -> Result<(), PeerFault> {
        match &mut self.book.phase {
            Phase::Accepting(accepting) => {
                is_key(nk, accepting.held.nk).or_else(|why| rule_off(Canary::ConfirmFromAnyKey, why))?;
                is_about(m2, accepting.t1, accepting.held.nonce)?;
                match &accepting.m2 {
                    Some(first) if first != bytes => return Err(PeerFault::Replayed),
                    Some(_) => {}
                    None => accepting.m2 = Some(bytes.to_vec()),
                }
                self.judge();
                Ok(())
            }
            Phase::Trusted(line) => {
                is_line_key(nk, self.book.known)?;
                let said = match &line.last_word {
                    _ if m2.t1 != line.t1 => Err(PeerFault::NotTrusted),
                    Some(word) if word.m2 == bytes => Ok(word.m3.clone()),
                    Some(_) | None => Err(PeerFault::Replayed),
                };
                said.map(|bytes| self.emit(Output::Say { nk, step: TrustStep::Done, bytes }))
            }
            Phase::Revoked => Err(PeerFault::Blocked),
            Phase::Open | Phase::Confirming(_) => Err(PeerFault::NotTrusted),
        }
    }

    fn done_came(&mut self, nk: NodeKey, m3: &Word, bytes: &[u8]) -> Result<(), PeerFault> {
        match &self.book.phase {
            Phase::Confirming(confirming) => {
                is_key(nk, confirming.nk)?;
                is_about(m3, confirming.t1, confirming.nonce)?;
                let t2 = confirm::t2(confirming.t1, &confirming.m2, bytes);
                let look = Look { at: self.now, mail: None };
                let (hint, t1) = (confirming.hint.clone(), confirming.t1);
                let line = Line { offered: true, hint, t1, t2, look, last_word: None };
                self.trust(nk, line);
                Ok(())
            }
            Phase::Trusted(line) => {
                is_line_key(nk, self.book.known)?;
                // T2 is fixed by the first M3; the same again is no news, and no fault.
                if m3.t1 == line.t1 { Ok(()) } else { Err(PeerFault::NotTrusted) }
            }
            Phase::Revoked => Err(PeerFault::Blocked),
            Phase::Open | Phase::Accepting(_) => Err(PeerFault::NotTrusted),
        }
    }

    pub(super) fn link_up(&mut self, up: NodeKey) {
        let known = self.book.known;
        let word = match &self.book.phase {
            Phase::Confirming(confirming) if confirming.nk == up => Some((TrustStep::Confirm, confirming.m2.clone())),
            Phase::Trusted(line) if known == Some(up) => {
                line.last_word.as_ref().map(|word| (TrustStep::Done, word.m3.clone()))
            }
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Trusted(_) => None,
            Phase::Revoked => None,
        };
        if let Some((step, bytes)) = word {
            self.emit(Output::Say { nk: up, step, bytes });
        }
    }

    pub(super) fn renamed(&mut self, from: NodeKey, to: NodeKey) {
        self.book.rename(from, to);
        self.judge();
    }

    pub(super) fn look(&mut self, mail: MailId) {
        if let Phase::Trusted(line) = &mut self.book.phase {
            line.look = Look { at: self.now, mail: Some(mail) };
            self.emit(Output::SeekDomain(mail));
        }
    }

    pub(super) fn denied(&mut self) {
        if matches!(self.book.phase, Phase::Trusted(_)) {
            self.book.phase = Phase::Open;
        }
    }

    // The person.

    pub(super) fn block(&mut self) {
        self.book = Book { phase: Phase::Revoked, ..Book::default() };
    }

    pub(super) fn unblock(&mut self) {
        if self.book.phase != Phase::Revoked && self.book.suspended.is_none() {
            return;
        }
        if let Phase::Accepting(accepting) = core::mem::take(&mut self.book.phase) {
            self.hold_again(*accepting);
        }
        (self.book.known, self.book.suspended) = (None, None);
        self.book.sent.clear();
        self.book.claims.clear();
    }

    /// The person takes the key that the new round trip has proven, and no other: it goes on where it waited.
    pub(super) fn readmit(&mut self, nk: NodeKey) {
        if self.book.suspended == Some(Suspension { candidate: Some(nk) }) {
            (self.book.known, self.book.suspended) = (Some(nk), None);
            self.judge();
        }
    }

    // Time.

    pub(super) fn wake(&mut self) {
        let now = self.now;
        match &mut self.book.phase {
            Phase::Accepting(accepting) if accepting.until <= now => {
                if let Phase::Accepting(accepting) = core::mem::take(&mut self.book.phase) {
                    self.hold_again(*accepting);
                }
            }
            Phase::Confirming(confirming) if confirming.until <= now => self.book.phase = Phase::Open,
            Phase::Trusted(line) => line.last_word = line.last_word.take().filter(|word| word.until > now),
            Phase::Accepting(_) | Phase::Confirming(_) | Phase::Open | Phase::Revoked => {}
        }
        let mut seek = Vec::new();
        for (inquiry, _) in self.book.inquiries_mut() {
            seek.extend(inquiry.wake(now).into_iter().map(|question| match question {
                Question::Dkim => Output::SeekDkim(inquiry.mail),
                Question::Domain => Output::SeekDomain(inquiry.mail),
            }));
        }
        self.effects.extend(seek);
        self.judge();
    }

    /// The accept came to nothing: the offer is held as before, and our user's next reply may accept it anew.
    fn hold_again(&mut self, accepting: Accepting) {
        if self.now <= accepting.held.expires {
            self.book.hold(accepting.held);
        }
    }

    fn fresh(&self, label: &str, t1: Hash) -> [u8; 32] {
        sha256(&[b"postline/1 fresh ", label.as_bytes(), &[0], &self.tick.entropy, &t1.0]).0
    }
}

/// The fault, unless this rule is turned off.
fn rule_off(canary: Canary, why: PeerFault) -> Result<(), PeerFault> {
    if canary::is_on(canary) { Ok(()) } else { Err(why) }
}

fn is_key(got: NodeKey, want: NodeKey) -> Result<(), PeerFault> {
    if got == want { Ok(()) } else { Err(PeerFault::WrongKey { got, want }) }
}

fn is_line_key(got: NodeKey, known: Option<NodeKey>) -> Result<(), PeerFault> {
    known.map_or(Err(PeerFault::NotTrusted), |known| is_key(got, known))
}

fn is_about(word: &Word, t1: Hash, nonce: crate::id::Nonce) -> Result<(), PeerFault> {
    if word.t1 != t1 {
        return Err(PeerFault::NotTrusted);
    }
    if word.nonce == nonce { Ok(()) } else { Err(PeerFault::Frame("the nonce of the field")) }
}
