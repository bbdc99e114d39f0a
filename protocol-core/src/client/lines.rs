//! Lines as the node tells them, and the people behind them as this device finds them.
//!
//! What the node says is a claim: that there is a line, over which handshake, and which lists and proofs there are. Who the
//! other is, their own key says, over that handshake and both addresses, and their lists from the first one on ([K-7]).

use super::io::{Declined, Event, Level, Output, Unverified, Who};
use super::keys::Published;
use super::own::Stage;
use super::timers::What;
use super::{Client, Contact, contact};
use crate::canary::{self, Canary};
use crate::fault::PeerFault;
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::seal::address;
use crate::seal::lists::{Chain, Proof, Succession, Verdict};
use crate::seal::pin::Level as Pinned;
use crate::step::{Outbox, Tick};
use crate::time::Millis;
use crate::wire::keys::KeyProof;
use crate::wire::list::DeviceList;
use crate::wire::statement::Signed;
use crate::wire::talk::{Line, Publication};

impl Client {
    /// The node says what one of the person's lines is. A line with the person's own address tells of their own lists.
    pub(super) fn line(&mut self, tick: &Tick, line: Line, out: &mut Outbox<Output>) {
        if line.theirs == self.ours.address {
            return self.hear_of_list(&line.theirs, line.list, out);
        }
        let known = self.contacts.contains_key(&line.theirs);
        if !known && (line.t2.is_none() || self.contacts.len() >= limits::LINES) {
            return;
        }
        let new = Contact::new(line.theirs.clone());
        let contact = self.contacts.entry(line.theirs.clone()).or_insert(new);
        let before = contact.clone();
        contact.line = line.t2.map(|t2| contact::Line { t2, offered: line.offered, nk: line.nk });
        if before != *contact || !known {
            out.save(contact.record());
            Self::tell(Event::Contact(contact.shown()), out);
        }
        let (direct, gone) = (contact.direct().map(|(id, _)| id), contact.line.is_none());
        if gone {
            self.agree_no_more(&line.theirs, Millis(0), out);
        } else {
            self.lined(&line.theirs, out);
        }
        if let Some(bytes) = line.proof {
            self.proofs.insert(line.theirs.clone(), bytes);
        }
        self.hear_of_list(&line.theirs, line.list, out);
        self.judge_proof(tick, &line.theirs, out);
        self.publish(tick, out);
        if let Some(id) = direct.filter(|id| self.unknown.remove(id)) {
            self.ask_range(id, 1, limits::RANGE, out);
        }
    }

    /// The person blocks somebody, or blocks them no more: their node ends the line, and says so.
    pub(super) fn block(&mut self, who: Address, blocked: bool, out: &mut Outbox<Output>) {
        if self.own.stage != Stage::Enrolled {
            return Self::decline(Declined::NotEnrolled, out);
        }
        if !self.online() {
            return Self::decline(Declined::Offline, out);
        }
        if !self.contacts.contains_key(&who) {
            return Self::decline(Declined::NoContact(who), out);
        }
        let what = Publication::Block { theirs: who.clone(), blocked };
        self.say_publicly(Published::Block(who, blocked), what, out);
    }

    /// The node knows of a list: it is asked for, where it is newer than ours.
    fn hear_of_list(&mut self, whose: &Address, number: u64, out: &mut Outbox<Output>) {
        self.heard.insert(whose.clone(), number);
        if self.behind(whose) {
            self.ask_lists(whose, out);
        }
    }

    /// Whether there are newer lists of somebody than those that are here.
    pub(super) fn behind(&self, whose: &Address) -> bool {
        let known = self.chain_of(whose).map_or(0, Chain::number);
        self.heard.get(whose).is_some_and(|heard| *heard > known)
    }

    /// One of their lists.
    pub(super) fn their_list(
        &mut self,
        tick: &Tick,
        whose: &Address,
        list: &Signed<DeviceList>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let Some(contact) = self.contacts.get_mut(whose) else { return Ok(()) };
        let Some(chain) = &mut contact.chain else {
            contact.chain = Some(Chain::begin(whose, list)?);
            out.save(contact.record());
            return Ok(());
        };
        let extension = match chain.judge(list) {
            Err(PeerFault::ListStale { .. }) if canary::is_on(Canary::StaleListTaken) => {
                *chain = Chain::begin(whose, list)?;
                out.save(contact.record());
                return Ok(());
            }
            Ok(Verdict::Known | Verdict::Gap { .. }) | Err(PeerFault::ListStale { .. }) => return Ok(()),
            Ok(Verdict::Extends(extension)) => *extension,
            Err(fault) => return Err(fault),
        };
        let key = extension.key;
        chain.take(extension);
        // Their node's key was compared, not theirs.
        let handed_over = key.is_some_and(|change| change.how == Succession::HandedOver);
        if handed_over && core::mem::take(&mut contact.verified) {
            Self::tell(Event::NotVerified { who: whose.clone(), why: Unverified::HandedOver }, out);
        }
        out.save(contact.record());
        if let Some(change) = key.filter(|_| handed_over) {
            Self::tell(Event::HandedOver { who: whose.clone(), known: change.from, now: change.to }, out);
        }
        Self::tell(Event::Contact(contact.shown()), out);
        self.talks_with(tick, whose);
        Ok(())
    }

    /// Judges the key proof that came, once the lists that it names are here.
    pub(super) fn judge_proof(&mut self, tick: &Tick, whose: &Address, out: &mut Outbox<Output>) {
        let Some(contact) = self.contacts.get(whose) else { return };
        let (Some(bytes), Some(line), Some(chain)) = (self.proofs.get(whose), contact.line, &contact.chain) else {
            return;
        };
        let ours = &self.ours.address;
        match address::open::<KeyProof>(bytes).and_then(|proof| chain.proves(ours, line.t2, &proof)) {
            Ok(Proof::Ahead { .. }) => self.ask_lists(whose, out),
            Ok(Proof::Good) => {
                self.proofs.remove(whose);
                if contact.proven == Some(line.t2) {
                    return;
                }
                if !self.fits_pin(whose, out) {
                    return;
                }
                let Some(contact) = self.contacts.get_mut(whose) else { return };
                contact.proven = Some(line.t2);
                out.save(contact.record());
                Self::tell(Event::Contact(contact.shown()), out);
                self.talks_with(tick, whose);
            }
            Err(fault) => {
                if fault.is_alarm() {
                    // It stays at hand: the person may take these keys yet.
                    self.alarmed(whose, &fault, out);
                } else {
                    self.proofs.remove(whose);
                }
                Self::refuse(Who::Person(whose.clone()), fault, out);
            }
        }
    }

    /// Whether they are whom another device of the person, or the backup, knows them for; then what was compared there
    /// stands here too.
    pub(super) fn fits_pin(&mut self, whose: &Address, out: &mut Outbox<Output>) -> bool {
        let Some(contact) = self.contacts.get_mut(whose) else { return false };
        let (Some(pin), Some(chain)) = (contact.pin, &contact.chain) else { return true };
        if pin.identity == chain.identity() {
            contact.verified |= pin.level == Pinned::Compared && pin.ak == chain.ak();
            return true;
        }
        let fault = PeerFault::NewKey { got: chain.ak(), want: pin.ak };
        self.alarmed(whose, &fault, out);
        Self::refuse(Who::Person(whose.clone()), fault, out);
        false
    }

    /// The person takes whatever keys another has now: what was known of them is forgotten, and asked for anew.
    pub(super) fn accept_keys(&mut self, tick: &Tick, who: &Address, out: &mut Outbox<Output>) {
        self.agree_no_more(who, Millis(0), out);
        let Some(contact) = self.contacts.get_mut(who) else {
            return Self::decline(Declined::NoContact(who.clone()), out);
        };
        let (line, proved, presence) = (contact.line, contact.proved, contact.presence);
        *contact = Contact { line, proved, presence, ..Contact::new(who.clone()) };
        out.save(contact.record());
        Self::tell(Event::Contact(contact.shown()), out);
        self.ask_lists(who, out);
        self.talks_with(tick, who);
    }

    /// Conversations with them may go on.
    pub(super) fn talks_with(&mut self, tick: &Tick, who: &Address) {
        let with: Vec<ConversationId> =
            self.talks.values().filter(|talk| talk.with == *who).map(|talk| talk.id).collect();
        for id in with {
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// Whether what is said may be sealed to them now.
    pub(super) fn may_seal_to(&self, who: &Address) -> bool {
        self.contacts.get(who).is_some_and(|contact| contact.level() >= Level::Keys && !contact.suspended)
    }

    /// How well the person knows who this is.
    pub(super) fn level_of(&self, who: &Address) -> Level {
        if *who == self.ours.address {
            return Level::Verified;
        }
        self.contacts.get(who).map_or(Level::Mail, Contact::level)
    }
}
