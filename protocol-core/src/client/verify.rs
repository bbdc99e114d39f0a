//! Two people compare codes, device to device, sealed in their conversation: level L4. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   Verify ─▶ Commit ······▶ Verify ─▶ Commit ······▶ Reveal ······▶ Reveal ─▶ Code on both ─▶ Same ─▶ Verified
//!                            (before that: CompareWanted)                     └─▶ Differ ─▶ NotVerified
//! ```
//!
//! One device of each person takes part; what it finds it tells the person's other devices. A restart forgets a comparison.

use std::collections::BTreeMap;

use super::inner::What as Said;
use super::io::{CodeFor, Declined, Event, Level, Output, ShownCode, Unverified, Who};
use super::{Client, Contact, ConversationId};
use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, DeviceKey};
use crate::seal::code::{Code, Comparison, Heard, Parties, Side};
use crate::seal::lists::Chain;
use crate::seal::mls::Member;
use crate::step::{Outbox, Tick};
use crate::wire::compare::Word;

/// Comparisons under way, by person.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    ours: BTreeMap<Address, Under>,
    /// Who began, and what their device said.
    theirs: BTreeMap<Address, (DeviceKey, Word)>,
}

#[derive(Debug)]
struct Under {
    comparison: Comparison,
    /// Their device, once it has said something: no other has a say.
    dk: Option<DeviceKey>,
}

impl Client {
    /// The person wants to compare codes, or answers one who does.
    pub(super) fn verify(&mut self, tick: &Tick, who: &Address, out: &mut Outbox<Output>) {
        let (Some(parties), Some(talk)) = (self.parties(who), self.talk_with(who, out)) else {
            return Self::decline(Declined::NoContact(who.clone()), out);
        };
        let Some(contact) = self.contacts.get_mut(who) else { return };
        let begun = Comparison::start(tick, &mut contact.tries, parties);
        out.save(contact.record());
        match begun {
            Ok((comparison, word)) => {
                self.comparing.ours.insert(who.clone(), Under { comparison, dk: None });
                self.control(tick, talk, Said::Compare { bytes: word.to_bytes() }, out);
                if let Some((dk, word)) = self.comparing.theirs.remove(who) {
                    self.compare(tick, who, dk, &word, talk, out);
                }
                self.go_on(tick, talk, out);
            }
            Err(PeerFault::Rate { per_ms, .. }) => Self::decline(Declined::NotBefore(tick.now.plus(per_ms)), out),
            Err(fault) => Self::refuse(Who::Person(who.clone()), fault, out),
        }
    }

    /// The two keys that are compared, where both are proven over the line.
    fn parties(&self, who: &Address) -> Option<Parties> {
        let contact = self.contacts.get(who).filter(|contact| contact.level() >= Level::Keys && !contact.suspended)?;
        let side =
            |chain: &Chain| Side { address: chain.address().clone(), identity: chain.identity(), ak: chain.ak() };
        let (ours, theirs) = (side(self.own.chain.as_ref()?), side(contact.chain.as_ref()?));
        Some(Parties { t2: contact.line?.t2, ours, theirs })
    }

    /// The direct conversation with them, begun where there is none.
    fn talk_with(&mut self, who: &Address, out: &mut Outbox<Output>) -> Option<ConversationId> {
        let (id, _) = self.contacts.get(who)?.direct()?;
        (self.talks.contains_key(&id) || self.begin(id, out)).then_some(id)
    }

    /// A step of a comparison came, sealed.
    pub(super) fn compare_said(
        &mut self,
        tick: &Tick,
        member: &Member,
        bytes: &[u8],
        talk: ConversationId,
        out: &mut Outbox<Output>,
    ) {
        let who = &member.address;
        if *who == self.ours.address {
            // Another device of the person has taken it up.
            if let Some(with) = self.talks.get(&talk).map(|talk| talk.with.clone()) {
                self.comparing.theirs.remove(&with);
            }
            return;
        }
        let word = match Word::parse(bytes) {
            Ok(word) => word,
            Err(fault) => return Self::refuse(Who::Person(who.clone()), fault, out),
        };
        if self.comparing.ours.contains_key(who) {
            return self.compare(tick, who, member.dk, &word, talk, out);
        }
        if matches!(word, Word::Commit(_))
            && self.contacts.get(who).and_then(Contact::direct).is_some_and(|(id, _)| id == talk)
        {
            self.comparing.theirs.insert(who.clone(), (member.dk, word));
            Self::tell(Event::CompareWanted { who: who.clone() }, out);
        }
    }

    fn compare(
        &mut self,
        tick: &Tick,
        who: &Address,
        dk: DeviceKey,
        word: &Word,
        talk: ConversationId,
        out: &mut Outbox<Output>,
    ) {
        let Some(under) = self.comparing.ours.get_mut(who) else { return };
        if *under.dk.get_or_insert(dk) != dk {
            return;
        }
        let until = under.comparison.until();
        match under.comparison.hear(tick.now, word) {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Say(word)) => self.control(tick, talk, Said::Compare { bytes: word.to_bytes() }, out),
            Ok(Heard::Show(code)) => Self::tell(Event::Code(shown(who, &code, until)), out),
            Err(fault) => {
                self.comparing.ours.remove(who);
                let why = if tick.now > until { Unverified::Late } else { Unverified::Broken };
                Self::refuse(Who::Person(who.clone()), fault, out);
                Self::tell(Event::NotVerified { who: who.clone(), why }, out);
            }
        }
    }

    /// The person says that both codes are the same.
    pub(super) fn same(&mut self, tick: &Tick, who: &Address, out: &mut Outbox<Output>) {
        let shown = |under: &Under| under.comparison.code().is_some();
        if !self.comparing.ours.get(who).is_some_and(shown) {
            return Self::decline(Declined::NothingPending, out);
        }
        let Some(under) = self.comparing.ours.remove(who) else { return };
        match under.comparison.confirm(tick.now) {
            Ok(pin) => {
                self.compared(who, pin.ak, out);
                if let Some(talk) = self.talk_with(who, out) {
                    self.control(tick, talk, Said::Compared { ak: pin.ak }, out);
                }
            }
            Err(_) => Self::tell(Event::NotVerified { who: who.clone(), why: Unverified::Late }, out),
        }
    }

    /// This is their key, as the person has seen: here, or on another device of theirs.
    pub(super) fn compared(&mut self, who: &Address, ak: AddressKey, out: &mut Outbox<Output>) {
        let Some(contact) = self.contacts.get_mut(who) else { return };
        // The key that was compared, or nothing: it may have changed meanwhile.
        if contact.verified || contact.chain.as_ref().map(Chain::ak) != Some(ak) {
            return;
        }
        contact.verified = true;
        out.save(contact.record());
        Self::tell(Event::Contact(contact.shown()), out);
        Self::tell(Event::Verified { who: who.clone() }, out);
    }

    /// The person says that the codes differ: somebody may stand between.
    pub(super) fn differ(&mut self, who: &Address, out: &mut Outbox<Output>) {
        if self.comparing.ours.remove(who).is_none() {
            return Self::decline(Declined::NothingPending, out);
        }
        Self::tell(Event::NotVerified { who: who.clone(), why: Unverified::Differ }, out);
    }
}

fn shown(who: &Address, code: &Code, until: crate::time::Millis) -> ShownCode {
    ShownCode {
        what: CodeFor::Person(who.clone()),
        text: code.digits(),
        emoji: code.emoji().iter().map(|emoji| format!("{} {}", emoji.sign, emoji.name)).collect(),
        qr: None,
        until,
    }
}
