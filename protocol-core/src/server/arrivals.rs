//! Mails as they come, by SMTP or by link: what trust makes of them, and which lanes they take.

use std::collections::BTreeSet;

use super::book::{Pending, Seen};
use super::here::HERE;
use super::io::{Carrier, Event, Mark, Output, Peer, Took};
use super::{Server, strangers};
use crate::canary::{self, Canary};
use crate::content::mail::{Canonical, FieldName, Letter, MailIn, Rcpt, Source, Tags, Text, Verdict};
use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, CarryId, Hash, Lane, MailId, Mailbox, NodeKey, Nonce, Pair};
use crate::limits;
use crate::machine::queue::{self, Entry, Express, Origin};
use crate::machine::trust::{self, Came, SentAccept, SentOffer, TrustState};
use crate::seal;
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::field::{Accept, AcceptDraft, Carried, CarriedDraft, Field, Offer, OfferDraft};

impl Server {
    /// A mail came by SMTP.
    pub(super) fn mail(
        &mut self,
        tick: &Tick,
        id: MailId,
        mail: MailIn,
        out: &mut Outbox<Output>,
    ) -> Result<(), Misuse> {
        let got = mail.envelope.to.len();
        if got == 0 || got > limits::ENVELOPE_RECIPIENTS {
            return Err(Misuse::Recipients { got, max: limits::ENVELOPE_RECIPIENTS });
        }
        let took = self.room_for(&mail);
        if took == Took::Yes {
            match mail.source.clone() {
                Source::User { login, author } => {
                    Self::arrived(id, &mail, Carrier::Submission, out);
                    self.submitted(tick, id, &mail, login, author, out);
                }
                Source::Stranger | Source::Node => {
                    Self::arrived(id, &mail, Carrier::Smtp, out);
                    self.came(tick, id, mail, out);
                }
                Source::Hosted => self.said_to(tick, id, mail, out),
                Source::Front => {
                    Self::arrived(id, &mail, Carrier::Smtp, out);
                    let taken = self.came_to_the_front(tick, id, mail, out);
                    out.emit(Output::TookFor(id, taken));
                    return Ok(());
                }
                Source::Relay { sender } => {
                    let taken = self.relayed(tick, &mail, sender, out);
                    out.emit(Output::TookFor(id, taken));
                    return Ok(());
                }
            }
        }
        out.emit(Output::Took(id, took));
        Ok(())
    }

    pub(super) fn arrived(id: MailId, mail: &MailIn, carrier: Carrier, out: &mut Outbox<Output>) {
        out.emit(Output::Event(Event::Arrived {
            mail: id,
            message_id: mail.head.message_id.clone(),
            carrier,
            inert: match &mail.head.verdict {
                Verdict::Canonical(_) => None,
                Verdict::Inert(why) => Some(*why),
            },
        }));
    }

    fn room_for(&self, mail: &MailIn) -> Took {
        if mail.head.hops > limits::HOPS {
            return Took::Loop;
        }
        let author = match &mail.source {
            Source::User { author, .. } => author.as_ref(),
            Source::Stranger | Source::Node | Source::Hosted => None,
            // A new copy of what a line brings is ours, and wants room. All else goes on as mail.
            Source::Front => {
                let copy =
                    mail.head.canonical().and_then(|canonical| self.copy_of(canonical, &unique(&mail.envelope.to)));
                if copy.is_none_or(|(known, lined)| self.not_seen(known, lined).is_empty()) {
                    return Took::Yes;
                }
                None
            }
            // What there is no room for is not taken for ours, and goes on as mail.
            Source::Relay { .. } => return Took::Yes,
        };
        let crowded = |rcpt: &Rcpt| {
            let lane = match (&rcpt.mailbox, author) {
                (Some(name), _) => Lane::Mailbox(name.clone()),
                (None, Some(author)) => self.lane_to(author, &rcpt.address),
                (None, None) => Lane::Domain(rcpt.address.domain().clone()),
            };
            self.lanes.get(&lane).is_some_and(|queue| queue.len() >= limits::QUEUE_ENTRIES_PER_LANE)
        };
        let full = self.waiting + mail.envelope.to.len() > limits::QUEUE_ENTRIES || self.draining;
        if full || mail.envelope.to.iter().any(crowded) { Took::Busy } else { Took::Yes }
    }

    /// One of our users wrote.
    fn submitted(
        &mut self,
        tick: &Tick,
        id: MailId,
        mail: &MailIn,
        login: Mailbox,
        author: Option<Address>,
        out: &mut Outbox<Output>,
    ) {
        let canonical = mail.head.canonical();
        let mut fields = match (&author, canonical) {
            (Some(author), Some(canonical)) => {
                self.wrote_here(tick, id, author, canonical, &mail.envelope.to, out);
                self.fields_for(tick, author, canonical, &mail.envelope.to, out)
            }
            _ => Vec::new(),
        };
        let origin = Origin::User(login);
        let stamp: Vec<String> = Some(mail.received.clone()).filter(|line| !line.is_empty()).into_iter().collect();
        let letter = |more: &[String]| Letter {
            from: mail.envelope.from.clone(),
            text: Text::Came(mail.blob),
            stamp: stamp.iter().chain(more).cloned().collect(),
            strip: true,
            message_id: mail.head.message_id.clone(),
        };
        let express = canonical.map(|c| Express { to_cc: c.to_cc.clone(), content: c.content });
        let mut lanes: Vec<(Lane, Vec<Address>)> = Vec::new();
        for rcpt in unique(&mail.envelope.to) {
            let lane = match (&rcpt.mailbox, &author, canonical) {
                (Some(name), ..) => Lane::Mailbox(name.clone()),
                (None, Some(author), Some(_)) => self.lane_to(author, &rcpt.address),
                (None, ..) => Lane::Domain(rcpt.address.domain().clone()),
            };
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, rcpts)) => rcpts.push(rcpt.address),
                None => lanes.push((lane, vec![rcpt.address])),
            }
        }
        let some = |is: fn(&Lane) -> bool| lanes.iter().any(|(lane, _)| is(lane));
        let mixed = some(|lane| matches!(lane, Lane::Node(_))) && some(|lane| matches!(lane, Lane::Domain(_)));
        if let (true, Some(author), Some(express)) = (mixed, &author, &express) {
            // Who gets it by link must know a copy that was meant for the others.
            fields.push(self.carried_line(tick, id, author, express));
        }
        for (_, rcpts) in lanes.iter().filter(|(lane, _)| matches!(lane, Lane::Node(_))) {
            for rcpt in rcpts {
                let pair = author.clone().map(|ours| Pair { ours, theirs: rcpt.clone() });
                pair.into_iter().for_each(|pair| self.look(tick, &pair, out));
            }
        }
        for (lane, rcpts) in lanes {
            let by_link = matches!(lane, Lane::Node(_));
            let letter = letter(if matches!(lane, Lane::Domain(_)) { &fields } else { &[] });
            let express = express.clone().filter(|_| by_link);
            let entry = Entry { letter, rcpts, arrived: tick.now, origin: origin.clone(), express };
            self.enqueue(tick, &lane, id, entry, out);
        }
    }

    /// The line between two, or else the domain.
    fn lane_to(&self, author: &Address, rcpt: &Address) -> Lane {
        let pair = Pair { ours: author.clone(), theirs: rcpt.clone() };
        match self.pairs.get(&pair).and_then(trust::Trust::line) {
            Some(nk) if nk != HERE && !self.is_blocked(&pair) => Lane::Node(nk),
            Some(_) | None => Lane::Domain(rcpt.domain().clone()),
        }
    }

    /// The accept and the offer that a person's own mail takes along, and what its pairs remember of them ([T-12]).
    pub(super) fn fields_for(
        &mut self,
        tick: &Tick,
        author: &Address,
        canonical: &Canonical,
        rcpts: &[Rcpt],
        out: &mut Outbox<Output>,
    ) -> Vec<String> {
        let automatic = canonical.automatic.is_some() && !canary::is_on(Canary::AutomaticCounts);
        if automatic || canonical.to_cc.len() > limits::OFFER_RECIPIENTS || self.keeps_out(author) {
            return Vec::new();
        }
        let named = rcpts.iter().filter(|rcpt| rcpt.mailbox.is_none() && canonical.to_cc.contains(&rcpt.address));
        let pairs = named.map(|rcpt| Pair { ours: author.clone(), theirs: rcpt.address.clone() });
        let open = |pair: &Pair| self.pairs.contains_key(pair) && !self.is_blocked(pair);
        let pairs: BTreeSet<Pair> = pairs.filter(open).collect();
        let mut lines = Vec::new();
        let accepting = pairs.iter().find_map(|pair| {
            let held = self.pairs.get(pair)?.accepts(&canonical.answers, tick.now)?;
            Some((pair.clone(), held.t0))
        });
        let accepting = accepting.map(|(pair, re)| {
            let (tags, accept) = self.accept(tick, author, &canonical.to_cc, re);
            lines.push(FieldName::Accept.line(&tags));
            let sent = SentAccept::from(&accept);
            self.trust(tick, &pair, trust::Input::Wrote { offer: None, accept: Some(sent) }, out);
            pair
        });
        if accepting.is_none() {
            let again = pairs.iter().find_map(|pair| self.accept_again(pair, author, &canonical.to_cc));
            lines.extend(again.map(|tags| FieldName::Accept.line(&tags)));
        }
        let offered = pairs.iter().filter(|pair| Some(*pair) != accepting.as_ref());
        let offered: Vec<Pair> =
            offered.filter(|pair| self.pairs.get(pair).is_some_and(trust::Trust::wants_offer)).cloned().collect();
        if self.takes_offers_along(author) && !canonical.has_group && !offered.is_empty() {
            let (tags, offer) = self.offer(tick, author, &canonical.to_cc);
            lines.push(FieldName::Offer.line(&tags));
            let sent = SentOffer::from(&offer);
            for pair in offered {
                self.trust(tick, &pair, trust::Input::Wrote { offer: Some(sent.clone()), accept: None }, out);
            }
        }
        lines
    }

    /// An offer of a user of ours, signed.
    fn offer(&self, tick: &Tick, from: &Address, to_cc: &BTreeSet<Address>) -> (Tags, Offer) {
        let draft = self.offer_draft(tick, from, to_cc);
        let signature = self.ours.identity.sign(&draft);
        draft.signed(signature)
    }

    pub(super) fn offer_draft(&self, tick: &Tick, from: &Address, to_cc: &BTreeSet<Address>) -> OfferDraft {
        OfferDraft {
            from: from.clone(),
            to_cc: to_cc.clone(),
            at: tick.now,
            days: limits::OFFER_TTL_DAYS,
            nonce: self.nonce(tick, b"offer"),
            nk: self.ours.identity.nk(),
            next: Some(self.ours.identity.next_nk()),
            hint: self.ours.hint.clone(),
            ak: None,
        }
    }

    /// An accept of a user of ours, signed.
    fn accept(&self, tick: &Tick, from: &Address, to_cc: &BTreeSet<Address>, re: Hash) -> (Tags, Accept) {
        self.sign_accept(self.accept_draft(tick, from, to_cc, re))
    }

    fn sign_accept(&self, draft: AcceptDraft) -> (Tags, Accept) {
        let signature = self.ours.identity.sign(&draft);
        draft.signed(signature)
    }

    pub(super) fn accept_draft(&self, tick: &Tick, from: &Address, to_cc: &BTreeSet<Address>, re: Hash) -> AcceptDraft {
        self.accept_made(from, to_cc, re, tick.now, self.nonce(tick, b"accept"))
    }

    fn accept_made(
        &self,
        from: &Address,
        to_cc: &BTreeSet<Address>,
        re: Hash,
        at: Millis,
        nonce: Nonce,
    ) -> AcceptDraft {
        AcceptDraft {
            from: from.clone(),
            to_cc: to_cc.clone(),
            re,
            at,
            nonce,
            nk: self.ours.identity.nk(),
            next: Some(self.ours.identity.next_nk()),
            hint: self.ours.hint.clone(),
            ak: None,
        }
    }

    /// The accept that had no answer yet, verbatim: the mail that it went with may be lost ([T-22]). Signatures are made
    /// of what is signed alone, so the same accept comes out, or none: where To, Cc, our key or our place are others now.
    fn accept_again(&self, pair: &Pair, from: &Address, to_cc: &BTreeSet<Address>) -> Option<Tags> {
        let sent = self.pairs.get(pair)?.unanswered()?;
        let (tags, accept) = self.sign_accept(self.accept_made(from, to_cc, sent.re, sent.at, sent.nonce));
        (accept.t1 == sent.t1).then_some(tags)
    }

    fn nonce(&self, tick: &Tick, label: &[u8]) -> Nonce {
        let hash = sha256(&[b"postline/1 nonce ", label, &tick.entropy]).0;
        let mut nonce = [0; Nonce::LEN];
        nonce.copy_from_slice(hash.split_at(Nonce::LEN).0);
        Nonce(nonce)
    }

    /// Somebody wrote to our users: shown in any case; heeded where it is canonical.
    fn came(&mut self, tick: &Tick, id: MailId, mail: MailIn, out: &mut Outbox<Output>) {
        let (rcpts, again) = self.recognise(tick, id, &mail, out);
        let stamp = Some(mail.received).filter(|line| !line.is_empty()).into_iter().collect();
        let letter = Letter {
            from: mail.envelope.from,
            text: Text::Came(mail.blob),
            stamp,
            strip: false,
            message_id: mail.head.message_id,
        };
        if let Some((known, fresh)) = again {
            self.deliver_to(tick, known, &letter, fresh, Origin::Nobody, out);
        }
        self.deliver_to(tick, id, &letter, rcpts, Origin::Nobody, out);
    }

    /// Something was said, sealed, to one of our people who has only a mail program: it goes into their mailbox, once.
    fn said_to(&mut self, tick: &Tick, id: MailId, mail: MailIn, out: &mut Outbox<Output>) {
        let fresh = self.not_seen(id, unique(&mail.envelope.to));
        if fresh.is_empty() {
            return out.emit(Output::Event(Event::Duplicate { mail: id, carrier: Carrier::Sealed }));
        }
        Self::arrived(id, &mail, Carrier::Sealed, out);
        self.remember(tick, id, &fresh, out);
        let (text, message_id) = (Text::Came(mail.blob), mail.head.message_id);
        let letter = Letter { from: mail.envelope.from, text, stamp: Vec::new(), strip: false, message_id };
        self.deliver_to(tick, id, &letter, fresh, Origin::Nobody, out);
    }

    /// Heeds a mail from outside, and finds out for whom it is a copy of an express mail that is known: gives the others,
    /// and the express mail with those of its recipients who have it from nowhere yet.
    fn recognise(
        &mut self,
        tick: &Tick,
        id: MailId,
        mail: &MailIn,
        out: &mut Outbox<Output>,
    ) -> (Vec<Rcpt>, Option<(MailId, Vec<Rcpt>)>) {
        let mut rcpts = unique(&mail.envelope.to);
        let copy = mail.head.canonical().and_then(|canonical| self.copy_of(canonical, &rcpts));
        let mut again = None;
        if let Some((known, lined)) = copy {
            let fresh = self.not_seen(known, lined.clone());
            if fresh.len() < lined.len() {
                out.emit(Output::Event(Event::Duplicate { mail: known, carrier: Carrier::Smtp }));
            }
            rcpts.retain(|rcpt| !lined.contains(rcpt));
            if fresh.is_empty() && rcpts.is_empty() {
                return (rcpts, None);
            }
            if !fresh.is_empty() {
                self.remember(tick, known, &fresh, out);
            }
            again = Some((known, fresh));
        }
        if let Some(canonical) = mail.head.canonical() {
            self.heed(tick, id, mail, canonical, out);
        }
        (rcpts, again)
    }

    /// The same from the mail server beside us. Only what carries the id of a line is taken, so that it is shown once
    /// whatever brings it; all else the host hands on, and the server hears for each recipient what became of it.
    fn came_to_the_front(&mut self, tick: &Tick, id: MailId, mail: MailIn, out: &mut Outbox<Output>) -> Vec<Address> {
        let (others, again) = self.recognise(tick, id, &mail, out);
        let all = unique(&mail.envelope.to);
        let taken = all.into_iter().filter(|rcpt| !others.contains(rcpt)).map(|rcpt| rcpt.address).collect();
        if let Some((known, fresh)) = again {
            let stamp = Some(mail.received).filter(|line| !line.is_empty()).into_iter().collect();
            let letter = Letter {
                from: mail.envelope.from,
                text: Text::Came(mail.blob),
                stamp,
                strip: false,
                message_id: mail.head.message_id,
            };
            self.deliver_to(tick, known, &letter, fresh, Origin::Nobody, out);
        }
        taken
    }

    /// One entry for each mailbox that the recipients resolve to.
    pub(super) fn deliver_to(
        &mut self,
        tick: &Tick,
        id: MailId,
        letter: &Letter,
        rcpts: Vec<Rcpt>,
        origin: Origin,
        out: &mut Outbox<Output>,
    ) {
        let mailboxes: BTreeSet<Mailbox> = rcpts.iter().filter_map(|rcpt| rcpt.mailbox.clone()).collect();
        for name in mailboxes {
            let here = rcpts.iter().filter(|rcpt| rcpt.mailbox.as_ref() == Some(&name));
            let entry = Entry {
                letter: letter.clone(),
                rcpts: here.map(|rcpt| rcpt.address.clone()).collect(),
                arrived: tick.now,
                origin: origin.clone(),
                express: None,
            };
            self.enqueue(tick, &Lane::Mailbox(name), id, entry, out);
        }
    }

    /// What a stranger's canonical mail means for trust.
    fn heed(&mut self, tick: &Tick, id: MailId, mail: &MailIn, canonical: &Canonical, out: &mut Outbox<Output>) {
        if canonical.offer.is_none() && canonical.accept.is_none() {
            return;
        }
        if self.ours.domains.contains(canonical.from.domain()) {
            // Who writes for our own domains hands in here: what comes back from outside says nothing ([T-20]).
            return;
        }
        let automatic = canonical.automatic.is_some() || mail.envelope.from.is_none();
        let automatic = automatic && !canary::is_on(Canary::AutomaticCounts);
        let named = mail.envelope.to.iter().filter(|rcpt| canonical.to_cc.contains(&rcpt.address));
        let pairs = named.map(|rcpt| Pair { ours: rcpt.address.clone(), theirs: canonical.from.clone() });
        let pairs: BTreeSet<Pair> = pairs.collect();
        let refuse = |pair: &Pair, why: PeerFault, out: &mut Outbox<Output>| {
            out.emit(Output::Event(Event::Refused { peer: Peer::Pair(pair.clone()), why }));
        };
        let (from, to_cc) = (&canonical.from, &canonical.to_cc);
        let offer = canonical.offer.as_ref().map(|tags| seal::field::read::<Offer>(from, to_cc, tags));
        let accept = canonical.accept.as_ref().map(|tags| seal::field::read::<Accept>(from, to_cc, tags));
        if self.pending.len() >= limits::PENDING {
            pairs.iter().for_each(|pair| refuse(pair, PeerFault::Evidence("too many mails wait for evidence"), out));
            return;
        }
        self.pending.insert(id, Pending::new(Some(mail.blob), tick.now));
        for pair in &pairs {
            for why in [offer.as_ref().and_then(|o| o.as_ref().err()), accept.as_ref().and_then(|a| a.as_ref().err())] {
                why.into_iter().for_each(|why| refuse(pair, why.clone(), out));
            }
            // A mail of ours to ours: two addresses on one node need no line.
            let ours = self.ours.identity.nk();
            let offer = offer.as_ref().and_then(|o| o.clone().ok()).filter(|offer| offer.nk != ours);
            let accept = accept.as_ref().and_then(|a| a.clone().ok()).filter(|accept| accept.nk != ours);
            if offer.is_none() && accept.is_none() {
                continue;
            }
            if self.is_blocked(pair) {
                self.unheeded(tick, id, pair, offer.filter(|_| !automatic), out);
                continue;
            }
            let offer = offer.map(|offer| Offer { nk: self.name(offer.nk), ..offer });
            let accept = accept.map(|accept| Accept { nk: self.name(accept.nk), ..accept });
            let came = Came { mail: id, message_id: canonical.message_id.clone(), offer, accept, automatic };
            self.trust(tick, pair, trust::Input::Came(Box::new(came)), out);
        }
        if self.pending.get(&id).is_some_and(|pending| pending.asks.is_empty()) {
            self.pending.remove(&id);
        }
    }

    /// A mail of a blocked domain: it causes what a blocked person's does, and so a stranger's, to be seen outside ([T-7]).
    fn unheeded(&mut self, tick: &Tick, id: MailId, pair: &Pair, offer: Option<Offer>, out: &mut Outbox<Output>) {
        if offer.is_some_and(|offer| offer.valid_at(tick.now).is_ok()) {
            self.seek(tick, id, pair, super::book::Asked::Dkim, out);
        }
        out.emit(Output::Event(Event::Refused { peer: Peer::Pair(pair.clone()), why: PeerFault::Blocked }));
    }

    /// Which express mail this is a copy of, and for whom: those who have a line to the node that signed its
    /// `Postline-Id`, where that vouches for these very bytes. An unauthenticated copy never suppresses.
    fn copy_of(&self, canonical: &Canonical, rcpts: &[Rcpt]) -> Option<(MailId, Vec<Rcpt>)> {
        let tags = canonical.carried.as_ref()?;
        if canary::is_on(Canary::UnsignedCopySuppresses) {
            return claimed_copy(canonical).map(|(nk, id)| (Seen::id_of(nk, id), rcpts.to_vec()));
        }
        let carried: Carried = seal::field::read(&canonical.from, &canonical.to_cc, tags).ok()?;
        let line = |rcpt: &Rcpt| {
            let pair = Pair { ours: rcpt.address.clone(), theirs: canonical.from.clone() };
            let line = self.pairs.get(&pair).filter(|_| !self.is_blocked(&pair)).and_then(trust::Trust::line);
            line.filter(|nk| *nk == self.stands_for(&pair, carried.nk))
        };
        let nk = rcpts.iter().find_map(line)?;
        let lined: Vec<Rcpt> = rcpts.iter().filter(|rcpt| line(rcpt) == Some(nk)).cloned().collect();
        (carried.content == canonical.content).then(|| (Seen::id_of(nk, carried.id), lined))
    }

    /// The recipients for whom this arrival was not seen yet.
    pub(super) fn not_seen(&self, known: MailId, mut rcpts: Vec<Rcpt>) -> Vec<Rcpt> {
        if let Some(Some(seen)) = self.seen.get(&known).filter(|_| !canary::is_on(Canary::DedupOff)) {
            rcpts.retain(|rcpt| !seen.rcpts.contains(&rcpt.address));
        }
        rcpts
    }

    /// Remembers an arrival, so that no other carrier shows it again.
    pub(super) fn remember(&mut self, tick: &Tick, known: MailId, rcpts: &[Rcpt], out: &mut Outbox<Output>) {
        let seen = self.seen.entry(known).or_default();
        let seen = seen.get_or_insert_with(|| Seen { rcpts: BTreeSet::new(), reached: None });
        seen.rcpts.extend(rcpts.iter().map(|rcpt| rcpt.address.clone()));
        out.save(seen.record(known, tick.now));
    }

    /// The field by which a copy on another carrier is recognised.
    pub(super) fn carried_line(&self, tick: &Tick, mail: MailId, from: &Address, express: &Express) -> String {
        let draft = CarriedDraft {
            from: from.clone(),
            to_cc: express.to_cc.clone(),
            at: tick.now,
            id: CarryId(mail.0),
            content: express.content,
            nk: self.ours.identity.nk(),
        };
        let signature = self.ours.identity.sign(&draft);
        FieldName::Id.line(&draft.signed(signature))
    }

    /// Counts strangers in and out as pairs become, or cease to be, strangers whose offers are held ([T-17]).
    pub(super) fn count_strangers(
        &mut self,
        tick: &Tick,
        pair: &Pair,
        from: TrustState,
        to: TrustState,
        out: &mut Outbox<Output>,
    ) {
        let Some(list) = self.strangers.get_mut(&pair.ours) else { return };
        let before = list.len() as u64;
        let mut gone = Vec::new();
        if to == TrustState::Held {
            gone = list.admit(tick.now, &pair.theirs);
            if self.strangers_in_all >= limits::STRANGERS_IN_ALL
                && gone.is_empty()
                && let Some(oldest) = list.evict_oldest()
            {
                gone.push(oldest);
            }
        } else if from == TrustState::Held {
            list.dismiss(&pair.theirs);
        }
        let after = list.len() as u64;
        out.save(list.record(&pair.ours));
        if before != after {
            self.strangers_in_all = (self.strangers_in_all + after).saturating_sub(before);
            out.save(super::book::write_node(self.strangers_in_all));
        }
        for gone in strangers::pairs(&pair.ours, gone) {
            self.drop_pair(&gone, out);
        }
    }

    pub(super) fn mark(
        &self,
        mail: MailId,
        message_id: Option<String>,
        rcpts: Vec<Address>,
        mark: Mark,
        carrier: Carrier,
        out: &mut Outbox<Output>,
    ) {
        out.emit(Output::Event(Event::Marked { mail, message_id, rcpts, mark, carrier }));
    }

    pub(super) fn enqueue(&mut self, tick: &Tick, lane: &Lane, id: MailId, entry: Entry, out: &mut Outbox<Output>) {
        self.lane(tick, lane, queue::Input::Enqueue(id, Box::new(entry)), out);
        if let Lane::Node(nk) = lane {
            self.pump(tick, *nk, out);
        }
    }
}

/// The recipients, none twice, in order.
pub(super) fn unique(rcpts: &[Rcpt]) -> Vec<Rcpt> {
    let mut seen = BTreeSet::new();
    rcpts.iter().filter(|rcpt| seen.insert(rcpt.address.clone())).cloned().collect()
}

/// The express mail that a mail's `Postline-Id` claims to be a copy of, unverified.
pub(super) fn claimed_copy(canonical: &Canonical) -> Option<(NodeKey, CarryId)> {
    let claim = Carried::parse(&canonical.from, &canonical.to_cc, canonical.carried.as_ref()?).ok()?;
    Some((claim.nk(), claim.claimed().id))
}

/// What a mail's `Postline-Id` is claimed to be, unverified, where it names this node's key.
pub(super) fn claimed_id(canonical: &Canonical, nk: NodeKey) -> Option<MailId> {
    let claim = Carried::parse(&canonical.from, &canonical.to_cc, canonical.carried.as_ref()?).ok()?;
    (claim.nk() == nk).then(|| MailId(claim.claimed().id.0))
}

/// The node that a mail's accept names, unverified: once the pair follows it, it is dialled.
pub(super) fn claimed_node(canonical: &Canonical) -> Option<NodeKey> {
    let claim = Accept::parse(&canonical.from, &canonical.to_cc, canonical.accept.as_ref()?).ok()?;
    Some(claim.nk())
}

/// The node that a mail's offer names, unverified.
pub(super) fn claimed_offerer(canonical: &Canonical) -> Option<NodeKey> {
    let claim = Offer::parse(&canonical.from, &canonical.to_cc, canonical.offer.as_ref()?).ok()?;
    Some(claim.nk())
}
