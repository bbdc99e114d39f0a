//! The person's backup: what lets them back in when all their devices are gone. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   first device ─▶ BackupWanted ─▶ Backup ─▶ bytes, passphrase (shown once) ─▶ BackupKept: the next key is nowhere else
//!   new device ─▶ JoinWanted ─▶ Restore ─▶ a list with this device, signed by the key of the backup ─▶ Enrolled
//! ```
//!
//! It never holds a device's key, nor any state of a conversation: a restored device is a new one.

use super::Client;
use super::io::{Declined, Event, Output, Passphrase, Who};
use super::own::Stage;
use crate::fault::PeerFault;
use crate::seal::AddressIdentity;
use crate::seal::phrase::Phrase;
use crate::seal::vault::{Backup, Cost};
use crate::step::{Outbox, Tick};
use crate::wire::list::Device;

impl Client {
    /// A backup, under a passphrase of its own.
    pub(super) fn back_up(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let (Some(chain), Some(person)) = (&self.own.chain, &self.own.person) else {
            return Self::decline(Declined::NotEnrolled, out);
        };
        let (Some(next), Some(archive)) = (&self.own.next, &self.own.archive) else {
            return Self::decline(Declined::NothingPending, out);
        };
        let backup = Backup {
            identity: chain.identity(),
            address: self.ours.address.clone(),
            made: tick.now,
            ak: person.seed(),
            next: next.clone(),
            archive: archive.clone(),
            pins: self.pins(),
        };
        let phrase = Phrase::draw(tick, "backup");
        match backup.seal(tick, &phrase, Cost::default()) {
            Ok(bytes) => Self::tell(Event::Backup { bytes, passphrase: Passphrase(phrase.show()) }, out),
            Err(_) => Self::decline(Declined::NothingPending, out),
        }
    }

    /// The backup was put away: what follows the person's key is in it alone.
    pub(super) fn backup_kept(&mut self, out: &mut Outbox<Output>) {
        if self.own.next.take().is_none() {
            return Self::decline(Declined::NothingPending, out);
        }
        out.save(self.own.record());
    }

    /// Takes the person's keys from a backup: this device puts itself on their list.
    pub(super) fn restore_backup(
        &mut self,
        tick: &Tick,
        bytes: &[u8],
        passphrase: &Passphrase,
        out: &mut Outbox<Output>,
    ) {
        let (Stage::Known, None, Some(dk)) = (self.own.stage, &self.own.person, self.dk()) else {
            let why = if self.own.stage == Stage::Enrolled { Declined::Enrolled } else { Declined::NotEnrolled };
            return Self::decline(why, out);
        };
        let Some(chain) = self.own.chain.as_ref().filter(|_| self.online() && self.own.unsaid.is_none()) else {
            return Self::decline(Declined::Offline, out);
        };
        let tried = self.own.tries.make(tick.now);
        let opened = tried.and_then(|()| Phrase::parse(&passphrase.0)).and_then(|phrase| Backup::open(bytes, &phrase));
        let judged = opened.and_then(|backup| backup.key_for(chain).map(|person| (backup, person)));
        let made = judged.and_then(|(backup, person)| {
            let list = chain.draft().enlist(Device::new(dk, false, tick.now)).sign(&person);
            list.map(|(list, _)| (backup, person, list)).map_err(|_| PeerFault::List("a list with this device"))
        });
        match made {
            Ok((backup, person, list)) => {
                self.own.unsaid = Some(list.bytes().to_vec());
                // Until it is put away again: with it, devices that are gone can be locked out for good.
                let follows = AddressIdentity::new(&backup.next).ak() != person.ak();
                self.own.next = Some(backup.next).filter(|_| follows);
                (self.own.person, self.own.archive) = (Some(person), Some(backup.archive));
                out.save(self.own.record());
                self.know(backup.pins, out);
                self.publish(tick, out);
            }
            Err(fault) => {
                out.save(self.own.record());
                let why = if let PeerFault::Rate { .. } = fault {
                    Declined::NotBefore(self.own.tries.again())
                } else {
                    Declined::WrongCode
                };
                if fault != PeerFault::WrongCode {
                    Self::refuse(Who::Node, fault, out);
                }
                Self::decline(why, out);
            }
        }
    }
}
