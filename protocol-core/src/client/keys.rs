//! The person's own keys: their device lists, what this device makes known of itself, and its key packages.
//!
//! ```text
//!   Known ──no lists there: the person's key is made, list 1 published──▶ Enrolled ──▶ packages, key proofs
//!     └────lists there: JoinWanted (a code from an old device, or a backup)──▶ Enrolled
//! ```

use super::io::{self, Alarm, Declined, Event, Output, Who};
use super::own::{Own, Stage};
use super::timers::What;
use super::{Asked, Client};
use crate::fault::{Code, Misuse, PeerFault};
use crate::id::Address;
use crate::limits;
use crate::machine::mark::Post;
use crate::seal::lists::{Chain, Verdict};
use crate::seal::mls::{self, Me};
use crate::seal::{AddressIdentity, Secret, address};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::time::Millis;
use crate::wire::leaf::Leaf;
use crate::wire::list::{Device, DeviceList};
use crate::wire::memo::Drawer;
use crate::wire::statement::Signed;
use crate::wire::talk::{Finding, Publication, Question, Talk};

/// What was made known, and isn't answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// A list of ours, by its bytes' hash: another may have taken its place by the time that it is answered.
    List(crate::id::Hash),
    /// Our key proof for this person, over the handshake of our line.
    Proof(Address, crate::id::Hash),
    /// So many packages.
    Packages(u64),
    /// Something for the person's other devices.
    Note,
    /// That the person blocks this one, or blocks them no more.
    Block(Address, bool),
    /// What this new device of the person's was granted.
    Grant(crate::id::DeviceKey),
    /// What the person has read and chosen, for their other devices.
    Memo(Drawer),
}

impl Client {
    /// This device's leaf, by the newest list.
    ///
    /// # Errors
    /// [`Misuse`] where it is no device of the person's.
    pub(super) fn leaf(&self) -> Result<Signed<Leaf>, Misuse> {
        let (Some(chain), Some(person), Some(dk)) = (&self.own.chain, &self.own.person, self.dk()) else {
            return Err(Misuse::OutOfPlace("a device without keys"));
        };
        chain.leaf(person, dk)
    }

    pub(super) fn ask_lists(&mut self, whose: &Address, out: &mut Outbox<Output>) {
        let asked = Asked::Lists(whose.clone());
        if self.asks.values().any(|open| *open == asked) {
            return;
        }
        let after = self.chain_of(whose).map_or(0, Chain::number);
        let what = Question::Lists { asker: self.ours.address.clone(), whose: whose.clone(), after };
        self.ask(asked, what, out);
    }

    /// The device lists of somebody, as far as this device has them: the person's own, or a contact's. Those of a contact
    /// below level L3 are a claim.
    #[must_use]
    pub fn chain_of(&self, whose: &Address) -> Option<&Chain> {
        if *whose == self.ours.address {
            return self.own.chain.as_ref();
        }
        self.contacts.get(whose).and_then(|contact| contact.chain.as_ref())
    }

    /// An answer came.
    pub(super) fn answered(&mut self, tick: &Tick, number: u64, what: Result<Finding, Code>, out: &mut Outbox<Output>) {
        match (self.asks.remove(&number), what) {
            (Some(Asked::Lists(whose)), Ok(Finding::Lists(lists))) => self.lists(tick, &whose, &lists, out),
            (Some(Asked::Lists(whose)), Err(_)) => {
                // Who can't be asked has not said that there is no newer list.
                self.timers.by(What::Lists(whose), tick.now.plus(limits::ASK_AGAIN_MS));
            }
            (Some(Asked::Packages(talk)), Ok(Finding::Packages(packages))) => {
                self.gathered(tick, talk, number, &packages, out);
            }
            (Some(Asked::Packages(talk)), Err(_)) => self.gathered(tick, talk, number, &[], out),
            (Some(Asked::Range { .. }), Ok(Finding::Sent)) => {}
            (Some(Asked::Range { talk }), Err(_)) => self.no_range(tick, talk),
            (Some(Asked::Lists(_) | Asked::Packages(_) | Asked::Range { .. }), Ok(_)) => {
                Self::refuse(Who::Node, PeerFault::Frame("an answer to another question"), out);
            }
            (None, _) => {}
        }
    }

    /// Lists came: each is judged by those before it.
    fn lists(&mut self, tick: &Tick, whose: &Address, lists: &[Vec<u8>], out: &mut Outbox<Output>) {
        let own = *whose == self.ours.address;
        if own && lists.is_empty() && self.own.chain.is_none() {
            return self.found(tick, out);
        }
        let before = self.own.chain.as_ref().map(Chain::number);
        let known = self.chain_of(whose).map(Chain::hash);
        for bytes in lists {
            let judged = address::open::<DeviceList>(bytes).and_then(|list| {
                if own { self.own_list(&list, out) } else { self.their_list(tick, whose, &list, out) }
            });
            if let Err(fault) = judged {
                return self.bad_list(whose, fault, out);
            }
        }
        // More may have come meanwhile; where nothing came, it is asked for again, but not at once.
        if self.behind(whose) {
            if lists.is_empty() {
                self.timers.by(What::Lists(whose.clone()), Self::later(tick, limits::ASK_AGAIN_MS));
            } else {
                self.ask_lists(whose, out);
            }
        }
        if own {
            if before != self.own.chain.as_ref().map(Chain::number) {
                self.devices_changed(tick, out);
            }
            if let Err(fault) = self.take_grant(tick, out) {
                Self::refuse(Who::Node, fault, out);
            }
            self.wants_joining(out);
            self.carry_out(tick, out);
        } else {
            self.judge_proof(tick, whose, out);
        }
        self.lists_are_here(tick, whose, self.chain_of(whose).map(Chain::hash) != known);
    }

    fn bad_list(&mut self, whose: &Address, fault: PeerFault, out: &mut Outbox<Output>) {
        let who = if *whose == self.ours.address { Who::Node } else { Who::Person(whose.clone()) };
        if fault.is_alarm() {
            self.alarmed(whose, &fault, out);
        }
        Self::refuse(who, fault, out);
    }

    /// Somebody speaks with keys that can't be theirs: nothing is sealed to them until the person decides.
    pub(super) fn alarmed(&mut self, whose: &Address, fault: &PeerFault, out: &mut Outbox<Output>) {
        let known = self.chain_of(whose).map(Chain::ak);
        Self::tell(Event::Alarm(Alarm::List { whose: whose.clone(), why: fault.clone() }), out);
        if let Some(contact) = self.contacts.get_mut(whose).filter(|contact| !contact.suspended) {
            contact.suspended = true;
            out.save(contact.record());
            Self::tell(Event::Contact(contact.shown()), out);
        }
        let now = if let PeerFault::NewKey { got, .. } = fault { Some(*got) } else { None };
        if let Some(known) = known {
            Self::tell(Event::KeysChanged { who: whose.clone(), known, now }, out);
        }
    }

    /// One of the person's own lists.
    fn own_list(&mut self, list: &Signed<DeviceList>, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        match &mut self.own.chain {
            None => self.own.chain = Some(Chain::begin(&self.ours.address, list)?),
            Some(chain) => match chain.judge(list) {
                Ok(Verdict::Extends(extension)) => chain.take(*extension),
                // What we know, and what we have published ourselves, comes back.
                Ok(Verdict::Known | Verdict::Gap { .. }) | Err(PeerFault::ListStale { .. }) => return Ok(()),
                Err(fault) => return Err(fault),
            },
        }
        if self.own.unsaid.as_deref() == Some(list.bytes()) {
            self.own.unsaid = None;
        }
        self.turn(out);
        out.save(self.own.record());
        Ok(())
    }

    /// Goes over to the key that the newest list is signed by, where it was made ready here.
    fn turn(&mut self, out: &mut Outbox<Output>) {
        let ak = self.own.chain.as_ref().map(Chain::ak);
        let turns = self.own.turning.take_if(|(seed, _)| Some(AddressIdentity::new(seed).ak()) == ak);
        if let Some((seed, next)) = turns {
            (self.own.person, self.own.next) = (Some(AddressIdentity::new(&seed)), Some(next));
            self.joining.following = None;
            Self::tell(Event::BackupWanted, out);
        }
    }

    /// The person's devices, as [`Event::Devices`] says them; none while the device isn't enrolled.
    #[must_use]
    pub fn devices(&self) -> Vec<io::Device> {
        let (Some(chain), Some(dk)) = (&self.own.chain, self.dk()) else { return Vec::new() };
        let devices = chain.devices().map(|device| io::Device {
            dk: device.dk,
            name: device.name.as_ref().map(|name| name.as_str().to_owned()),
            hosted: device.hosted(),
            added: device.added,
            this: device.dk == dk,
        });
        devices.collect()
    }

    /// The person's devices are others now.
    pub(super) fn devices_changed(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let (Some(chain), Some(dk)) = (&self.own.chain, self.dk()) else { return };
        Self::tell(Event::Devices(self.devices()), out);
        let (listed, revoked) = (chain.device(dk).is_some(), chain.revoked().any(|gone| gone == dk));
        if revoked {
            Self::tell(Event::Revoked, out);
            return self.over(tick, out);
        }
        if listed && self.own.person.is_some() && self.own.stage == Stage::Known && self.own.unsaid.is_none() {
            let first = chain.number() == 1;
            self.enrolled(tick, first, out);
        }
        for id in self.talks.keys().copied().collect::<Vec<_>>() {
            self.timers.by(What::Talk(id), tick.now);
        }
        self.go_on_with_memos();
    }

    /// The node has lists of the person's, and this device isn't on them, or hasn't the key that signs them.
    fn wants_joining(&mut self, out: &mut Outbox<Output>) {
        let new = self.own.stage == Stage::Known && self.own.person.is_none() && self.own.chain.is_some();
        if new || self.lacks_key() {
            Self::tell(Event::JoinWanted, out);
        }
    }

    /// Nobody has spoken for the address: this device is the person's first, and makes their keys.
    fn found(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let (Stage::Known, None, Some(dk)) = (self.own.stage, &self.own.unsaid, self.dk()) else { return };
        let seed = |label: &[u8]| Secret::new(sha256(&[label, &tick.entropy]).0);
        let person = AddressIdentity::new(&seed(b"postline/1 person\0"));
        let next = seed(b"postline/1 next\0");
        let following = AddressIdentity::new(&next).ak().hash();
        let devices = vec![Device::new(dk, self.ours.hosted, tick.now)];
        match Chain::found(self.ours.address.clone(), &person, following, self.ours.hosted, devices) {
            Ok((list, _)) => {
                self.own.unsaid = Some(list.bytes().to_vec());
                (self.own.person, self.own.next) = (Some(person), Some(next));
                self.own.archive = Some(seed(b"postline/1 archive\0"));
                out.save(self.own.record());
                self.publish(tick, out);
            }
            Err(_) => Self::refuse(Who::Node, PeerFault::List("an address that can have none"), out),
        }
    }

    /// The device is one of the person's from now on.
    fn enrolled(&mut self, tick: &Tick, first: bool, out: &mut Outbox<Output>) {
        let Some(dk) = self.dk() else { return };
        self.own.stage = Stage::Enrolled;
        // The others know what was read before.
        if self.own.chain.as_ref().is_some_and(|chain| chain.devices().len() > 1) {
            self.ask_own();
        }
        out.save(self.own.record());
        self.restore_marks();
        Self::tell(Event::Enrolled { address: self.ours.address.clone(), dk, first }, out);
        self.whispers_up(out);
        if self.own.next.is_some() {
            Self::tell(Event::BackupWanted, out);
        }
        self.publish(tick, out);
        for whose in self.contacts.keys().cloned().collect::<Vec<_>>() {
            self.judge_proof(tick, &whose, out);
        }
    }

    /// Makes known what the node hasn't taken yet.
    pub(super) fn publish(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        if !self.online() {
            return;
        }
        if let Some(list) = self.own.unsaid.clone() {
            let open = Published::List(sha256(&[&list]));
            if !self.publishing.values().any(|other| *other == open) {
                self.say_publicly(open, Publication::List(list), out);
            }
        }
        if self.own.stage != Stage::Enrolled {
            return;
        }
        self.settle_wanted(out);
        for (theirs, t2) in self.unproved() {
            let open = Published::Proof(theirs.clone(), t2);
            let (Some(chain), Some(person)) = (&self.own.chain, &self.own.person) else { return };
            if let (false, Ok(proof)) = (self.publishing.values().any(|o| *o == open), chain.prove(person, &theirs, t2))
            {
                let bytes = proof.bytes().to_vec();
                self.say_publicly(open, Publication::Proof { theirs, bytes }, out);
            }
        }
        self.stock(tick, out);
        self.go_on_with_memos();
    }

    pub(super) fn say_publicly(&mut self, open: Published, what: Publication, out: &mut Outbox<Output>) {
        let number = self.next_ask();
        self.publishing.insert(number, open);
        Self::say(Talk::Publish { number, what }, out);
    }

    /// The lines for which the node hasn't taken our proof.
    fn unproved(&self) -> Vec<(Address, crate::id::Hash)> {
        let unproved = self.contacts.values().filter_map(|contact| {
            let t2 = contact.line?.t2;
            (contact.proved != Some(t2)).then(|| (contact.address.clone(), t2))
        });
        unproved.take(limits::CLIENT_BATCH).collect()
    }

    /// Sees that others find key packages of this device.
    fn stock(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let old = self.own.stocked.is_none_or(|at| tick.now.since(at) >= limits::STOCK_MS);
        let open = self.publishing.values().any(|open| matches!(open, Published::Packages(_)));
        if open || (!old && self.own.stock >= limits::STOCK_LOW) {
            return;
        }
        let (Ok(leaf), Some(device)) = (self.leaf(), &self.own.device) else { return };
        let me = Me { device, leaf: &leaf };
        let wanted = if old { limits::STOCK } else { limits::STOCK.saturating_sub(self.own.stock) };
        let (mut once, mut last_resort) = (Vec::new(), None);
        for number in 0..=u32::try_from(wanted).unwrap_or_default() {
            let last = number == 0;
            if last && !old {
                continue;
            }
            let Ok(made) = mls::make(tick, number, me, last) else { return };
            self.packages.insert(made.reference, made.record().value);
            out.save(made.record().until(tick.now.plus(limits::PACKAGE_MS.saturating_mul(2))));
            if last { last_resort = Some(made.public) } else { once.push(made.public) }
        }
        let count = once.len() as u64;
        self.say_publicly(Published::Packages(count), Publication::Packages { once, last_resort }, out);
    }

    /// How it went with what was made known.
    pub(super) fn published(&mut self, tick: &Tick, number: u64, code: Option<Code>, out: &mut Outbox<Output>) {
        let Some(what) = self.publishing.remove(&number) else { return };
        let unsaid = self.own.unsaid.as_ref().map(|list| Published::List(sha256(&[list])));
        match (what, code) {
            // The one that took its place has its own answer.
            (list @ Published::List(_), _) if Some(&list) != unsaid.as_ref() => self.publish(tick, out),
            (Published::List(_), None) => self.list_taken(tick, out),
            (Published::List(_), Some(Code::BadKeys)) => self.overtaken(out),
            (Published::Note, _) => {}
            (Published::Memo(drawer), code) => self.memo_taken(tick, drawer, code, out),
            (Published::Grant(dk), None) => self.let_in_by(dk, out),
            (Published::Block(who, blocked), None) => Self::tell(Event::Blocked { who, blocked }, out),
            (Published::Block(who, _), Some(_)) => Self::decline(Declined::NoContact(who), out),
            (Published::Proof(theirs, t2), None) => {
                if let Some(contact) = self.contacts.get_mut(&theirs) {
                    contact.proved = Some(t2);
                    out.save(contact.record());
                }
                self.publish(tick, out);
            }
            (Published::Packages(count), None) => {
                self.own.stock = count.saturating_add(self.own.stock).min(limits::STOCK);
                self.own.stocked = Some(tick.now);
                out.save(self.own.record());
            }
            (Published::List(_) | Published::Proof(..) | Published::Packages(_) | Published::Grant(_), Some(_)) => {
                self.timers.by(What::Publish, tick.now.plus(limits::ASK_AGAIN_MS));
            }
        }
    }

    /// The node has our list: now it is the person's.
    fn list_taken(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let Some(bytes) = self.own.unsaid.take() else { return };
        let judged = address::open::<DeviceList>(&bytes).and_then(|list| self.own_list(&list, out));
        out.save(self.own.record());
        match judged {
            Ok(()) => {
                self.devices_changed(tick, out);
                self.carry_out(tick, out);
            }
            Err(fault) => self.bad_list(&self.ours.address.clone(), fault, out),
        }
    }

    /// Another device was faster: what we made known is no list of the person's. Theirs are looked at again.
    fn overtaken(&mut self, out: &mut Outbox<Output>) {
        self.own.unsaid = None;
        // A key that a hosted one has named, or is about to, is the only way on from there: it stays at hand.
        if !self.own.chain.as_ref().is_some_and(Chain::hosted) {
            self.own.turning = None;
        }
        if self.own.stage == Stage::Known {
            (self.own.person, self.own.next, self.own.archive) = (None, None, None);
        }
        out.save(self.own.record());
        self.ask_lists(&self.ours.address.clone(), out);
    }

    /// A device that was one, or a copy of one, begins as a new one: what it knows of people stays, no secret does.
    pub(super) fn begin_anew(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        for (number, draft) in core::mem::take(&mut self.drafts) {
            out.save(Record::remove(Key::Draft(number)));
            self.give_up(tick, &draft, Post::Failed(io::Failure::NotEnrolled), out);
        }
        let own = core::mem::take(&mut self.own);
        // Its node, and behind which number it goes on.
        let (settled, posted, number) = (own.posted, own.posted, own.number);
        self.own =
            Own { node: own.node, settled, posted, number, quiet: own.quiet, quiet_at: own.quiet_at, ..Own::default() };
        for talk in self.talks.values_mut() {
            talk.joined = None;
            talk.renewed = Millis(0);
            out.save(talk.record());
            out.save(Record::remove(Key::Group(talk.id)));
            out.save(Record::remove(Key::Reserve(talk.id)));
        }
        self.groups.clear();
        self.staged.clear();
        self.live.clear();
        self.joining = super::Joining::default();
        self.allow_typing_no_more();
        out.save(self.joining.record());
        out.save(self.own.record());
    }

    /// When a wait that begins now is over, with jitter, so that devices don't come all at once.
    pub(super) fn later(tick: &Tick, ms: u64) -> Millis {
        let [_, jitter, ..] = tick.entropy;
        tick.now.plus(ms.saturating_add(u64::from(jitter).saturating_mul(ms) / 1024))
    }
}
