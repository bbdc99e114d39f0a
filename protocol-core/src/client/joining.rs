//! How a new device of the person is let in, by a code. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   new: Join ─▶ code ······ the person ······▶ old: AddDevice ─▶ list n + 1 has it ─▶ the grant, as a note ─▶ new: Enrolled
//!         └──── the request, as a note ────────▶ kept           └─ no such request: the code waits for it, a while
//! ```
//!
//! Requests, and grants that the node doesn't have yet, are kept in a record: the node gives each note once. A restart
//! forgets a code that waits, and the new device its own: then the person begins again.
//!
//! Notes between devices go by the node, which keeps them and can't read what matters in them. A note is
//! `[1, kind, bytes]`: 0 who asks to be let in, 1 the grant, 2 what the person has read and chosen (`memos.rs`).

use std::collections::BTreeMap;

use super::devices::Wanted;
use super::io::{CodeFor, Declined, Event, Output, ShownCode, Who};
use super::keys::Published;
use super::own::Stage;
use super::timers::What;
use super::{Client, Contact};
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, DeviceKey};
use crate::limits;
use crate::seal::join::{self, Grant, Request};
use crate::seal::phrase::Phrase;
use crate::seal::pin::{Level as Pinned, Pin};
use crate::seal::{AddressIdentity, Secret};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::memo::MEMO;
use crate::wire::record::{read, write};
use crate::wire::talk::{Publication, Talk};

/// What is under way with the person's devices.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// This device asks to be let in.
    ours: Option<join::Joining>,
    /// What it was granted, until the list that has it is here.
    granted: Option<Grant>,
    /// Others that ask.
    theirs: BTreeMap<DeviceKey, Request>,
    /// Codes that were typed and that no device has asked by, and until when each waits. The earliest comes first.
    typed: Vec<(Phrase, Millis)>,
    /// What the next list is to change, and who is to hear that it did.
    pub(super) wanted: Vec<Wanted>,
    /// The key that the list which revokes goes over to, from the backup.
    pub(super) following: Option<Secret<32>>,
}

impl Joining {
    /// How much is under way.
    pub(super) fn len(&self) -> usize {
        self.theirs.len() + self.typed.len() + self.wanted.len()
    }

    /// Requests and grants; removed where there are none.
    pub(super) fn record(&self) -> Record {
        let grants: Vec<(DeviceKey, &[u8])> = self.wanted.iter().filter_map(Wanted::grant).collect();
        if self.theirs.is_empty() && grants.is_empty() {
            return Record::remove(Key::Joining);
        }
        write(Key::Joining, 2, |w| {
            w.list(self.theirs.values(), |w, request| _ = w.bytes(&request.to_bytes()));
            w.list(grants.into_iter(), |w, (dk, answer)| _ = w.array(2).bytes(&dk.0).bytes(answer));
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        let (requests, grants) = read(record, |r| {
            let requests = r.list(limits::DEVICES as u64, |r| r.bytes().map(<[u8]>::to_vec))?;
            let grants = r.list(limits::DEVICES as u64, |r| {
                r.array_of(2)?;
                Ok((DeviceKey(r.fixed()?), r.bytes()?.to_vec()))
            })?;
            Ok((requests, grants))
        })?;
        let damaged = |_| RestoreError::Damaged { key: Key::Joining, what: "a request" };
        let theirs = requests.iter().map(|bytes| Request::parse(bytes).map(|request| (request.dk, request)));
        let theirs = theirs.collect::<Result<_, _>>().map_err(damaged)?;
        let wanted = grants.into_iter().map(|(dk, answer)| Wanted::Add(dk, answer)).collect();
        Ok(Self { theirs, wanted, ..Self::default() })
    }
}

const REQUEST: u64 = 0;
pub(super) const GRANT: u64 = 1;

impl Client {
    /// This device is new: it shows a code for an old one.
    pub(super) fn join(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let new = self.own.stage == Stage::Known && self.own.person.is_none();
        let Some(dk) = self.dk().filter(|_| new || self.lacks_key()) else {
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

    /// The person typed the code that a new device shows. Each is a try, however many ask; where nobody has asked by it,
    /// it waits.
    pub(super) fn add_device(&mut self, tick: &Tick, code: &str, out: &mut Outbox<Output>) {
        if self.own.stage != Stage::Enrolled {
            return Self::decline(Declined::NotEnrolled, out);
        }
        if !self.online() {
            return Self::decline(Declined::Offline, out);
        }
        let tried = self.own.tries.make(tick.now);
        out.save(self.own.record());
        let code = match tried.and_then(|()| join::read_code(code)) {
            Ok(code) => code,
            Err(PeerFault::Rate { .. }) => return Self::decline(Declined::NotBefore(self.own.tries.again()), out),
            Err(_) => return Self::decline(Declined::WrongCode, out),
        };
        let asking: Vec<Request> = self.joining.theirs.values().cloned().collect();
        if asking.iter().any(|request| self.let_in(tick, request, &code, out)) {
            return;
        }
        let until = tick.now.plus(limits::CODE_WAIT_MS);
        self.joining.typed.push((code, until));
        self.timers.by(What::Typed, until);
        Self::tell(Event::CodeWaits { until }, out);
    }

    /// Lets the device in that asks, if this is its code; says whether it was.
    fn let_in(&mut self, tick: &Tick, request: &Request, code: &Phrase, out: &mut Outbox<Output>) -> bool {
        let (Some(dk), Some(grant)) = (self.dk(), self.grant(tick)) else { return false };
        if self.joining.wanted.len() >= limits::DEVICES {
            let (got, max) = (self.joining.wanted.len() as u64, limits::DEVICES as u64);
            Self::refuse(Who::Node, PeerFault::Full { got, max }, out);
            return false;
        }
        match request.grant_by(tick, code, (&self.ours.address, dk), &grant) {
            Ok(answer) => {
                self.joining.theirs.remove(&request.dk);
                self.joining.wanted.push(Wanted::Add(request.dk, answer));
                out.save(self.joining.record());
                self.carry_out(tick, out);
                true
            }
            Err(PeerFault::WrongCode) => false,
            Err(fault) => {
                Self::refuse(Who::Node, fault, out);
                false
            }
        }
    }

    /// Codes that have waited long enough: no device shows them, or it can't be heard.
    pub(super) fn typed_in_vain(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let (late, wait): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.joining.typed).into_iter().partition(|(_, until)| *until <= tick.now);
        late.iter().for_each(|_| Self::decline(Declined::NobodyAsked, out));
        self.timers.set(What::Typed, wait.first().map(|(_, until)| *until));
        self.joining.typed = wait;
    }

    /// Whether this device is one of the person's and hasn't the key that signs for them now.
    pub(super) fn lacks_key(&self) -> bool {
        let (Some(chain), Some(person)) = (&self.own.chain, &self.own.person) else { return false };
        self.own.stage == Stage::Enrolled && !self.ours.hosted && person.ak() != chain.ak()
    }

    /// What a new device is given.
    fn grant(&self, tick: &Tick) -> Option<Grant> {
        let (chain, person) = (self.own.chain.as_ref()?, self.own.person.as_ref()?);
        if self.lacks_key() {
            return None;
        }
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
            REQUEST => self.asks_to_join(tick, &bytes, out),
            GRANT => self.granted(tick, &bytes, out),
            MEMO => self.memo(tick, &bytes, out),
            _ => Ok(()),
        });
        if let Err(fault) = taken {
            Self::refuse(Who::Node, fault, out);
        }
    }

    fn asks_to_join(&mut self, tick: &Tick, bytes: &[u8], out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let request = Request::parse(bytes)?;
        let theirs = &mut self.joining.theirs;
        theirs.retain(|_, known| known.until >= tick.now);
        let typed: Vec<Phrase> = self.joining.typed.iter().map(|(code, _)| code.clone()).collect();
        if let Some(at) = typed.iter().position(|code| self.let_in(tick, &request, code, out)) {
            self.joining.typed.remove(at);
            self.timers.set(What::Typed, self.joining.typed.first().map(|(_, until)| *until));
            return Ok(());
        }
        let theirs = &mut self.joining.theirs;
        if theirs.len() >= limits::DEVICES && !theirs.contains_key(&request.dk) {
            let (got, max) = (theirs.len() as u64, limits::DEVICES as u64);
            return Err(PeerFault::Full { got, max });
        }
        theirs.insert(request.dk, request);
        out.save(self.joining.record());
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
        // What the others told meanwhile, it couldn't open.
        if self.own.stage == Stage::Enrolled {
            self.ask_own();
        }
        out.save(self.own.record());
        self.know(grant.pins, out);
        self.devices_changed(tick, out);
        self.publish(tick, out);
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

pub(super) fn note(kind: u64, bytes: &[u8]) -> Vec<u8> {
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
