//! The person's devices: how a new one is let in by a code, and how one is revoked. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   new: Join ─▶ code ······ the person ······▶ old: AddDevice ─▶ list n + 1 has it ─▶ the grant, as a note ─▶ new: Enrolled
//! ```
//!
//! Who was hosted goes over to a key of their own where a device of theirs revokes the hosted one: it makes the key, the last
//! list that the hosted key signs names it, and the next one, which it signs, is without the hosted device. The node never
//! has that key.
//!
//! Notes between devices go by the node, which keeps them and can't read what matters in them. A note is
//! `[1, kind, bytes]`: 0 who asks to be let in, 1 the grant.

use std::collections::BTreeMap;

use super::io::{CodeFor, Declined, Event, Output, ShownCode, Who};
use super::keys::Published;
use super::own::Stage;
use super::{Client, Contact};
use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, DeviceKey};
use crate::limits;
use crate::seal::join::{self, Grant, Request};
use crate::seal::lists::Chain;
use crate::seal::pin::{Level as Pinned, Pin};
use crate::seal::{AddressIdentity, Secret};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::list::Device;
use crate::wire::talk::{Publication, Talk};

/// What is under way with the person's devices. A restart forgets it: then the person begins again.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// This device asks to be let in.
    ours: Option<join::Joining>,
    /// What it was granted, until the list that has it is here.
    granted: Option<Grant>,
    /// Others that ask.
    theirs: BTreeMap<DeviceKey, Request>,
    /// What the next list is to change.
    wanted: Vec<Wanted>,
}

/// A change of the person's list.
#[derive(Debug)]
enum Wanted {
    /// This device comes, and is sent this note once it is listed.
    Add(DeviceKey, Vec<u8>),
    Revoke(DeviceKey),
}

const REQUEST: u64 = 0;
const GRANT: u64 = 1;

impl Client {
    /// This device is new: it shows a code for an old one.
    pub(super) fn join(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let (Stage::Known, None, Some(dk)) = (self.own.stage, &self.own.person, self.dk()) else {
            let why = if self.own.stage == Stage::Enrolled { Declined::Enrolled } else { Declined::NotEnrolled };
            return Self::decline(why, out);
        };
        if !self.online() {
            return Self::decline(Declined::Offline, out);
        }
        let joining = join::Joining::begin(tick, self.ours.address.clone(), dk);
        let bytes = note(REQUEST, joining.request());
        self.say_publicly(Published::Note, Publication::Note { to: None, bytes }, out);
        let code = ShownCode {
            what: CodeFor::Joining,
            text: joining.code().to_string(),
            emoji: Vec::new(),
            qr: Some(joining.qr().to_string()),
            until: joining.until(),
        };
        self.joining.ours = Some(joining);
        Self::tell(Event::Code(code), out);
    }

    /// The person typed the code that a new device shows.
    pub(super) fn add_device(&mut self, tick: &Tick, code: &str, out: &mut Outbox<Output>) {
        let (Stage::Enrolled, Some(dk), Some(grant)) = (self.own.stage, self.dk(), self.grant(tick)) else {
            return Self::decline(Declined::NotEnrolled, out);
        };
        if !self.online() {
            return Self::decline(Declined::Offline, out);
        }
        let before = self.own.tries;
        let mut tries = before;
        let mut found = tries.make(tick.now).map(|()| None);
        for request in self.joining.theirs.values() {
            // One code is one try, whoever asks.
            let mut once = before;
            match request.grant(tick, &mut once, code, (&self.ours.address, dk), &grant) {
                Ok(answer) => found = Ok(Some((request.dk, answer))),
                Err(PeerFault::WrongCode) => {}
                Err(fault) => found = Err(fault),
            }
        }
        self.own.tries = tries;
        out.save(self.own.record());
        match found {
            Ok(Some((new, answer))) => {
                self.joining.theirs.remove(&new);
                self.joining.wanted.push(Wanted::Add(new, answer));
                self.carry_out(tick, out);
            }
            Ok(None) => Self::decline(Declined::WrongCode, out),
            Err(PeerFault::Rate { per_ms, .. }) => Self::decline(Declined::NotBefore(tick.now.plus(per_ms)), out),
            Err(fault) => {
                Self::refuse(Who::Node, fault, out);
                Self::decline(Declined::WrongCode, out);
            }
        }
    }

    /// A device of the person is none any more.
    pub(super) fn revoke(&mut self, tick: &Tick, dk: DeviceKey, out: &mut Outbox<Output>) {
        let (Stage::Enrolled, Some(chain)) = (self.own.stage, &self.own.chain) else {
            return Self::decline(Declined::NotEnrolled, out);
        };
        if chain.device(dk).is_none() {
            return Self::decline(Declined::NoDevice(dk), out);
        }
        if chain.devices().len() == 1 {
            return Self::decline(Declined::LastDevice, out);
        }
        self.joining.wanted.push(Wanted::Revoke(dk));
        self.carry_out(tick, out);
    }

    /// Makes the next list, of everything that is wanted; where another device was faster, again on top of its list.
    pub(super) fn carry_out(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.settle_wanted(out);
        if self.hands_over() {
            return self.hand_over(tick, out);
        }
        let (Some(chain), Some(person)) = (&self.own.chain, &self.own.person) else { return };
        if self.own.unsaid.is_some() || self.own.stage != Stage::Enrolled || self.joining.wanted.is_empty() {
            return;
        }
        // Where this device alone is left, the others' key is left behind, if the one that follows it is at hand.
        let revokes = self.joining.wanted.iter().filter(|wanted| matches!(wanted, Wanted::Revoke(_))).count();
        let alone = revokes > 0 && revokes == self.joining.wanted.len() && chain.devices().len() == revokes + 1;
        let following = Secret::new(sha256(&[b"postline/1 next\0", &tick.entropy]).0);
        let turning = self.own.next.as_ref().filter(|_| alone).map(|next| (next.clone(), following));
        match next_list(chain, person, &self.joining.wanted, turning.as_ref(), tick) {
            Ok(list) => {
                self.own.unsaid = Some(list);
                self.own.turning = turning;
                out.save(self.own.record());
                self.publish(tick, out);
            }
            Err(_) => {
                self.joining.wanted.clear();
                Self::refuse(Who::Node, PeerFault::List("a change that no list can make"), out);
            }
        }
    }

    /// Whether the person goes over from the key that their node holds to one of their own, now: on the only device of
    /// their own, since no other would know the key.
    fn hands_over(&self) -> bool {
        let Some(chain) = self.own.chain.as_ref().filter(|chain| chain.hosted() && !self.ours.hosted) else {
            return false;
        };
        let hosted = |dk: DeviceKey| chain.device(dk).is_some_and(|device| device.hosted());
        let wanted = self.joining.wanted.iter().any(|wanted| matches!(wanted, Wanted::Revoke(dk) if hosted(*dk)));
        let only = chain.devices().filter(|device| !device.hosted()).count() == 1;
        (wanted && only) || (chain.successor().is_some() && chain.successor() == self.turns_to())
    }

    /// The key that was made ready for the person.
    fn turns_to(&self) -> Option<crate::id::AddressKey> {
        self.own.turning.as_ref().map(|(seed, _)| AddressIdentity::new(seed).ak())
    }

    /// The next step of going over: the hosted key names the person's own; then that one signs, and the hosted devices go.
    /// What it takes is durable before the first step is said, so a restart goes on where it was.
    fn hand_over(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let (Some(chain), Some(person)) = (&self.own.chain, &self.own.person) else { return };
        if self.own.unsaid.is_some() || self.own.stage != Stage::Enrolled {
            return;
        }
        let fresh = |label: &[u8]| Secret::new(sha256(&[label, &tick.entropy]).0);
        let made = || (fresh(b"postline/1 person\0"), fresh(b"postline/1 next\0"));
        let turning = self.own.turning.clone().unwrap_or_else(made);
        let (own, next) = (AddressIdentity::new(&turning.0), AddressIdentity::new(&turning.1));
        let signed = if chain.successor().is_some() {
            let hosted = chain.devices().filter(|device| device.hosted()).map(|device| device.dk);
            hosted.fold(chain.draft(), |draft, dk| draft.revoke(dk)).succeed(next.ak().hash()).sign(&own)
        } else {
            chain.draft().hand_over(own.ak()).sign(person)
        };
        match signed {
            Ok((list, _)) => {
                (self.own.unsaid, self.own.turning) = (Some(list.bytes().to_vec()), Some(turning));
                out.save(self.own.record());
                self.publish(tick, out);
            }
            Err(_) => {
                self.joining.wanted.clear();
                Self::refuse(Who::Node, PeerFault::List("a change that no list can make"), out);
            }
        }
    }

    /// What the newest list has is done: whoever came gets what was granted.
    fn settle_wanted(&mut self, out: &mut Outbox<Output>) {
        let Some(chain) = &self.own.chain else { return };
        let mut left = Vec::new();
        let mut notes = Vec::new();
        for wanted in core::mem::take(&mut self.joining.wanted) {
            match wanted {
                Wanted::Add(dk, answer) if chain.device(dk).is_some() => notes.push((dk, answer)),
                Wanted::Add(dk, _) | Wanted::Revoke(dk) if chain.revoked().any(|gone| gone == dk) => {}
                wanted @ (Wanted::Add(..) | Wanted::Revoke(_)) => left.push(wanted),
            }
        }
        self.joining.wanted = left;
        for (dk, answer) in notes {
            let bytes = note(GRANT, &answer);
            self.say_publicly(Published::Note, Publication::Note { to: Some(dk), bytes }, out);
        }
    }

    /// What a new device is given.
    fn grant(&self, tick: &Tick) -> Option<Grant> {
        let (chain, person) = (self.own.chain.as_ref()?, self.own.person.as_ref()?);
        let archive = self.own.archive.clone();
        let archive = archive.unwrap_or_else(|| Secret::new(sha256(&[b"postline/1 archive\0", &tick.entropy]).0));
        Some(Grant { identity: chain.identity(), ak: person.seed(), archive, pins: self.pins() })
    }

    /// How others are known.
    pub(super) fn pins(&self) -> BTreeMap<Address, Pin> {
        let known = self.contacts.values().filter_map(|contact| {
            let chain = contact.chain.as_ref().filter(|_| contact.proven.is_some() && !contact.suspended)?;
            let level = if contact.verified { Pinned::Compared } else { Pinned::Proven };
            Some((contact.address.clone(), Pin { identity: chain.identity(), ak: chain.ak(), level }))
        });
        known.take(limits::GRANT_PINS).collect()
    }

    /// Another device of the person leaves a note. It is taken, whatever it is: a note that means nothing is no reason to
    /// have it again.
    pub(super) fn note(&mut self, tick: &Tick, number: u64, what: Publication, out: &mut Outbox<Output>) {
        let Publication::Note { bytes, .. } = what else { return };
        Self::say(Talk::Published { number, code: None }, out);
        let read = read_note(&bytes).map_err(|Malformed(what)| PeerFault::Sealed(what));
        let taken = read.and_then(|(kind, bytes)| match kind {
            REQUEST => self.asks_to_join(tick, &bytes),
            GRANT => self.granted(tick, &bytes, out),
            _ => Ok(()),
        });
        if let Err(fault) = taken {
            Self::refuse(Who::Node, fault, out);
        }
    }

    fn asks_to_join(&mut self, tick: &Tick, bytes: &[u8]) -> Result<(), PeerFault> {
        let request = Request::parse(bytes)?;
        let theirs = &mut self.joining.theirs;
        theirs.retain(|_, known| known.until >= tick.now);
        if theirs.len() >= limits::DEVICES {
            let (got, max) = (theirs.len() as u64, limits::DEVICES as u64);
            return Err(PeerFault::Full { got, max });
        }
        theirs.insert(request.dk, request);
        Ok(())
    }

    fn granted(&mut self, tick: &Tick, bytes: &[u8], out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let Some(joining) = &self.joining.ours else { return Ok(()) };
        let (_, grant) = joining.open(tick.now, bytes)?;
        self.joining.granted = Some(grant);
        self.take_grant(tick, out)
    }

    /// Takes the person's key, once the list that has this device is here: it must be that key's.
    pub(super) fn take_grant(&mut self, tick: &Tick, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let (Some(grant), Some(chain), Some(dk)) = (&self.joining.granted, &self.own.chain, self.dk()) else {
            return Ok(());
        };
        let person = AddressIdentity::new(&grant.ak);
        if grant.identity != chain.identity() || person.ak() != chain.ak() {
            let (got, want) = (person.ak(), chain.ak());
            self.joining.granted = None;
            return Err(PeerFault::NewKey { got, want });
        }
        if chain.device(dk).is_none() {
            self.ask_lists(&self.ours.address.clone(), out);
            return Ok(());
        }
        let Some(grant) = self.joining.granted.take() else { return Ok(()) };
        self.joining.ours = None;
        (self.own.person, self.own.archive) = (Some(person), Some(grant.archive));
        out.save(self.own.record());
        self.know(grant.pins, out);
        self.devices_changed(tick, out);
        Ok(())
    }

    /// Whom the person's other devices, or the backup, know.
    pub(super) fn know(&mut self, pins: BTreeMap<Address, Pin>, out: &mut Outbox<Output>) {
        for (address, pin) in pins {
            if !self.contacts.contains_key(&address) && self.contacts.len() >= limits::LINES {
                return;
            }
            let new = Contact::new(address.clone());
            let contact = self.contacts.entry(address.clone()).or_insert(new);
            contact.pin = Some(pin);
            let before = contact.verified;
            out.save(contact.record());
            if !self.fits_pin(&address, out) {
                continue;
            }
            if let Some(contact) = self.contacts.get(&address).filter(|contact| contact.verified != before) {
                out.save(contact.record());
                Self::tell(Event::Contact(contact.shown()), out);
            }
        }
    }
}

fn next_list(
    chain: &Chain,
    person: &AddressIdentity,
    wanted: &[Wanted],
    turning: Option<&(Secret<32>, Secret<32>)>,
    tick: &Tick,
) -> Result<Vec<u8>, Misuse> {
    let mut draft = chain.draft();
    for wanted in wanted {
        draft = match wanted {
            Wanted::Add(dk, _) => draft.enlist(Device::new(*dk, false, tick.now)),
            Wanted::Revoke(dk) => draft.revoke(*dk),
        };
    }
    let signed = match turning {
        Some((ak, next)) => {
            let person = AddressIdentity::new(ak);
            draft.rotate(person.ak(), AddressIdentity::new(next).ak().hash()).sign(&person)
        }
        None => draft.sign(person),
    };
    signed.map(|(list, _)| list.bytes().to_vec())
}

fn note(kind: u64, bytes: &[u8]) -> Vec<u8> {
    let mut w = Writer::array_of(3);
    w.u64(1).u64(kind).bytes(bytes);
    w.into_bytes()
}

fn read_note(bytes: &[u8]) -> Result<(u64, Vec<u8>), Malformed> {
    let mut r = Reader::new(bytes);
    r.array_of(3)?;
    // A version to come is a kind that we don't know.
    let (version, kind, bytes) = (r.u64()?, r.u64()?, r.bytes()?.to_vec());
    r.end()?;
    Ok((if version == 1 { kind } else { u64::MAX }, bytes))
}
