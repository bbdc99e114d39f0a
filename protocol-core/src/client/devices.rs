//! The person's devices: how their list changes, and how one is revoked. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   Add, Revoke ─▶ wanted ─▶ carry_out: list n + 1, published ─▶ taken ─▶ who came gets what was granted
//!                    ▲            │
//!                    └────────────┴── another device was faster: again on top of its list
//! ```
//!
//! Who was hosted goes over to a key of their own where a device of theirs revokes the hosted one: it makes the key, the last
//! list that the hosted key signs names it, and the next one, which it signs, is without the hosted device. The node never
//! has that key.
//!
//! Who was a device knows the person's key. Where one was stolen, the list that revokes it is signed by the next key, from the
//! backup; the person's other devices lack that one, and are given it as a new device is, by a code.

use super::Client;
use super::io::{Declined, Event, Output, Passphrase, Who};
use super::joining::{GRANT, note};
use super::keys::Published;
use super::own::Stage;
use crate::fault::{Misuse, PeerFault};
use crate::id::DeviceKey;
use crate::seal::lists::Chain;
use crate::seal::phrase::Phrase;
use crate::seal::vault::Backup;
use crate::seal::{AddressIdentity, Secret};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::wire::list::Device;
use crate::wire::talk::Publication;

/// A change of the person's list.
#[derive(Debug)]
pub(super) enum Wanted {
    /// This device comes, and is sent this note once it is listed, until the node has it.
    Add(DeviceKey, Vec<u8>),
    Revoke(DeviceKey),
}

impl Wanted {
    /// Whom it lets in, and by which note.
    pub(super) fn grant(&self) -> Option<(DeviceKey, &[u8])> {
        if let Self::Add(dk, answer) = self { Some((*dk, answer)) } else { None }
    }
}

impl Client {
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
        if !self.joining.wanted.iter().any(|wanted| matches!(wanted, Wanted::Revoke(gone) if *gone == dk)) {
            self.joining.wanted.push(Wanted::Revoke(dk));
        }
        self.carry_out(tick, out);
    }

    /// A device that is in foreign hands is none any more, and neither is the key that it knows: the one of the backup
    /// follows.
    pub(super) fn revoke_stolen(
        &mut self,
        tick: &Tick,
        dk: DeviceKey,
        bytes: &[u8],
        passphrase: &Passphrase,
        out: &mut Outbox<Output>,
    ) {
        let (Stage::Enrolled, Some(chain)) = (self.own.stage, &self.own.chain) else {
            return Self::decline(Declined::NotEnrolled, out);
        };
        if chain.device(dk).is_none() || self.dk() == Some(dk) {
            return Self::decline(Declined::NoDevice(dk), out);
        }
        let tried = self.own.tries.make(tick.now);
        let opened = tried.and_then(|()| Phrase::parse(&passphrase.0)).and_then(|phrase| Backup::open(bytes, &phrase));
        let judged = opened.and_then(|backup| {
            let follows = AddressIdentity::new(&backup.next).ak().hash() == chain.next();
            if backup.identity == chain.identity() && follows && !chain.hosted() {
                Ok(backup.next)
            } else {
                Err(PeerFault::Keys("a backup whose next key doesn't follow"))
            }
        });
        out.save(self.own.record());
        match judged {
            Ok(next) => {
                self.joining.following = Some(next);
                self.revoke(tick, dk, out);
            }
            Err(PeerFault::Rate { .. }) => Self::decline(Declined::NotBefore(self.own.tries.again()), out),
            Err(fault) => {
                if fault != PeerFault::WrongCode {
                    Self::refuse(Who::Node, fault, out);
                }
                Self::decline(Declined::WrongCode, out);
            }
        }
    }

    /// Makes the next list, of everything that is wanted; where another device was faster, again on top of its list.
    pub(super) fn carry_out(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.settle_wanted(out);
        if self.hands_over() {
            return self.hand_over(tick, out);
        }
        let (Some(chain), Some(person)) = (&self.own.chain, &self.own.person) else { return };
        // Who is on the list waits only for what was granted.
        let open = self.joining.wanted.iter();
        let open = open.filter(|wanted| wanted.grant().is_none_or(|(dk, _)| chain.device(dk).is_none()));
        let open: Vec<&Wanted> = open.collect();
        if self.own.unsaid.is_some() || self.own.stage != Stage::Enrolled || open.is_empty() {
            return;
        }
        // Another device has the key, and brings the change once this one has it too.
        if self.lacks_key() {
            return;
        }
        // Where this device alone is left, or the person says that one was stolen, the others' key is left behind, if the
        // one that follows it is at hand. Who comes is let in by the next list: what they were granted is the former key.
        let revokes: Vec<&Wanted> = open.iter().copied().filter(|wanted| matches!(wanted, Wanted::Revoke(_))).collect();
        let alone = revokes.len() == open.len() && chain.devices().len() == revokes.len() + 1;
        let key = self.joining.following.as_ref().or_else(|| self.own.next.as_ref().filter(|_| alone));
        let fresh = Secret::new(sha256(&[b"postline/1 next\0", &tick.entropy]).0);
        let turning = key.filter(|_| !revokes.is_empty()).map(|key| (key.clone(), fresh));
        let open = if turning.is_some() { revokes } else { open };
        match next_list(chain, person, &open, turning.as_ref(), tick) {
            Ok(list) => {
                self.own.unsaid = Some(list);
                self.own.turning = turning;
                out.save(self.own.record());
                self.publish(tick, out);
            }
            Err(_) => {
                self.give_up_wanted(out);
                Self::refuse(Who::Node, PeerFault::List("a change that no list can make"), out);
            }
        }
    }

    /// No list can make what is wanted: it is wanted no more.
    fn give_up_wanted(&mut self, out: &mut Outbox<Output>) {
        let listed = |dk| self.own.chain.as_ref().is_some_and(|chain| chain.device(dk).is_some());
        self.joining.wanted.retain(|wanted| wanted.grant().is_some_and(|(dk, _)| listed(dk)));
        out.save(self.joining.record());
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
                self.give_up_wanted(out);
                Self::refuse(Who::Node, PeerFault::List("a change that no list can make"), out);
            }
        }
    }

    /// What the newest list has is done: whoever came gets what was granted, and that stays until the node has it.
    pub(super) fn settle_wanted(&mut self, out: &mut Outbox<Output>) {
        let Some(chain) = &self.own.chain else { return };
        let before = self.joining.wanted.len();
        let gone = |dk: DeviceKey| chain.revoked().any(|gone| gone == dk);
        self.joining.wanted.retain(|wanted| match wanted {
            Wanted::Add(dk, _) | Wanted::Revoke(dk) => !gone(*dk),
        });
        if self.joining.wanted.len() != before {
            out.save(self.joining.record());
        }
        let said = |dk| self.publishing.values().any(|open| *open == Published::Grant(dk));
        let grants = self.joining.wanted.iter().filter_map(Wanted::grant);
        let grants = grants.filter(|(dk, _)| chain.device(*dk).is_some() && !said(*dk));
        for (dk, answer) in grants.map(|(dk, answer)| (dk, answer.to_vec())).collect::<Vec<_>>() {
            if self.online() {
                let bytes = note(GRANT, &answer);
                self.say_publicly(Published::Grant(dk), Publication::Note { to: Some(dk), bytes }, out);
            }
        }
    }

    /// The node has what a new device was granted.
    pub(super) fn let_in_by(&mut self, new: DeviceKey, out: &mut Outbox<Output>) {
        let before = self.joining.wanted.len();
        self.joining.wanted.retain(|wanted| wanted.grant().is_none_or(|(dk, _)| dk != new));
        if self.joining.wanted.len() != before {
            out.save(self.joining.record());
            Self::tell(Event::Added { dk: new }, out);
        }
    }
}

fn next_list(
    chain: &Chain,
    person: &AddressIdentity,
    wanted: &[&Wanted],
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
