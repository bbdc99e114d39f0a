//! What a log remembers: [`Key::Log`], and its entries: [`Key::Entry`]. Both are versioned arrays.
//!
//! The record is written when something in it must not be lost: an entry, a number. How far readers have come only rides
//! along with a commit that somebody waits for: what was acked may be said again.

use std::collections::BTreeMap;

use crate::fault::RestoreError;
use crate::id::{Address, ConversationId, DeviceTag, Hash, NodeKey};
use crate::limits;
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader};
use crate::wire::log::root;
use crate::wire::record::{Rides, read, write};
use crate::wire::talk::{Kind, Origin};

/// A node that has members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// `None`: this one.
    pub(super) nk: Option<NodeKey>,
    /// The last entry that it has.
    pub(super) acked: Rides,
    /// The last entry that came from there.
    pub(super) wrote: u64,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: Address,
    /// Which of the homes is theirs.
    pub(super) home: usize,
    /// The last entry that is durable at their node.
    pub(super) delivered: Rides,
    /// How much of that was said.
    pub(super) told: u64,
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// Whose it is, where it is of this node.
    pub(super) member: Option<usize>,
    /// The greatest number that was taken of it, and where that entry is. 0, 0 for none.
    pub(super) number: u64,
    pub(super) at: u64,
    /// The last entry that it has.
    pub(super) acked: Rides,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Book {
    /// Which of the homes is the hub.
    pub(super) hub: usize,
    pub(super) homes: Vec<Home>,
    pub(super) members: Vec<Member>,
    /// By home and tag: what one node says of devices is no other's business.
    pub(super) devices: BTreeMap<(usize, DeviceTag), Device>,
    pub(super) seq: u64,
    pub(super) hash: Hash,
    /// The epoch that the next commit ends.
    pub(super) epoch: u64,
    /// Entries up to this one are dropped.
    pub(super) floor: u64,
    /// What the last entry was, and when, as entries are kept for a time from then on.
    pub(super) mark: (u64, Millis),
}

impl Book {
    pub(super) fn new(conversation: ConversationId, hub: usize, homes: Vec<Home>, members: Vec<Member>) -> Self {
        let (devices, hash) = (BTreeMap::new(), root(conversation));
        Self { hub, homes, members, devices, seq: 0, hash, epoch: 0, floor: 0, mark: (0, Millis(0)) }
    }

    pub(super) fn hub_is_here(&self) -> bool {
        self.homes.get(self.hub).is_some_and(|home| home.nk.is_none())
    }

    /// All that rides along, to be looked at.
    fn rides(&self) -> impl Iterator<Item = &Rides> {
        let homes = self.homes.iter().map(|home| &home.acked);
        let members = self.members.iter().map(|member| &member.delivered);
        homes.chain(members).chain(self.devices.values().map(|device| &device.acked))
    }

    fn rides_mut(&mut self) -> impl Iterator<Item = &mut Rides> {
        let homes = self.homes.iter_mut().map(|home| &mut home.acked);
        let members = self.members.iter_mut().map(|member| &mut member.delivered);
        homes.chain(members).chain(self.devices.values_mut().map(|device| &mut device.acked))
    }

    /// Whether the record has it all.
    pub(super) fn is_saved(&self) -> bool {
        self.rides().all(|rides| rides.now == rides.saved)
    }

    /// As the record has it.
    pub(super) fn as_saved(&self) -> Self {
        let mut book = self.clone();
        book.rides_mut().for_each(|rides| rides.now = rides.saved);
        book.known_delivered()
    }

    /// After a crash: what the hub took, its own people have ([H-18]), whether its word on that was saved or not. It doesn't
    /// say it again to who has said Have.
    fn known_delivered(mut self) -> Self {
        let (hub, seq) = (self.hub, self.seq);
        for member in &mut self.members {
            if member.home == hub && seq > member.delivered.saved {
                member.delivered = Rides::restored(seq);
            }
            member.told = member.delivered.now;
        }
        self
    }

    /// The record; from now on it has it all.
    pub(super) fn save(&mut self, conversation: ConversationId) -> Record {
        self.rides_mut().for_each(|rides| rides.saved = rides.now);
        write(Key::Log(conversation), 10, |w| {
            w.u64(self.hub as u64).u64(self.seq).bytes(&self.hash.0).u64(self.epoch).u64(self.floor);
            w.u64(self.mark.0).millis(self.mark.1);
            w.list(self.homes.iter(), |w, home| {
                w.array(3).maybe(home.nk, |w, nk| w.bytes(&nk.0)).u64(home.acked.now).u64(home.wrote);
            });
            w.list(self.members.iter(), |w, member| {
                w.array(3).address(&member.address).u64(member.home as u64).u64(member.delivered.now);
            });
            w.list(self.devices.iter(), |w, ((home, tag), device)| {
                w.array(6).u64(*home as u64).bytes(&tag.0).maybe(device.member, |w, member| w.u64(member as u64));
                w.u64(device.number).u64(device.at).u64(device.acked.now);
            });
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, Self::read)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let index = |r: &mut Reader<'_>, below: usize| {
            let index = usize::try_from(r.u64()?).map_err(|_| Malformed("an index"))?;
            if index < below { Ok(index) } else { Err(Malformed("an index of the list")) }
        };
        let hub = index(r, limits::MEMBERS + 1)?;
        let (seq, hash, epoch, floor) = (r.u64()?, Hash(r.fixed()?), r.u64()?, r.u64()?);
        let mark = (r.u64()?, r.millis()?);
        let homes = r.list(limits::MEMBERS as u64 + 1, |r| {
            r.array_of(3)?;
            let nk = r.maybe(|r| r.fixed().map(NodeKey))?;
            Ok(Home { nk, acked: Rides::restored(r.u64()?), wrote: r.u64()? })
        })?;
        let members = r.list(limits::MEMBERS as u64, |r| {
            r.array_of(3)?;
            let (address, home, delivered) = (r.address()?, index(r, homes.len())?, r.u64()?);
            Ok(Member { address, home, delivered: Rides::restored(delivered), told: delivered })
        })?;
        let devices = r.list((limits::MEMBERS * limits::TAGS) as u64, |r| {
            r.array_of(6)?;
            let (home, tag) = (index(r, homes.len())?, DeviceTag(r.fixed()?));
            let member = r.maybe(|r| index(r, members.len()))?;
            let (number, at, acked) = (r.u64()?, r.u64()?, Rides::restored(r.u64()?));
            Ok(((home, tag), Device { member, number, at, acked }))
        })?;
        if hub >= homes.len() || floor > seq {
            return Err(Malformed("a log that hangs together"));
        }
        let devices = devices.into_iter().collect();
        Ok(Self { hub, homes, members, devices, seq, hash, epoch, floor, mark }.known_delivered())
    }
}

/// An entry, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) epoch: u64,
    /// Whose it is, and of which home, where that is known.
    pub(super) origin: Option<(Origin, usize)>,
    pub(super) members: Vec<Address>,
    pub(super) bytes: Vec<u8>,
}

impl Entry {
    pub(super) fn record(&self, key: Key, now: Millis) -> Record {
        let record = write(key, 5, |w| {
            w.u64(self.kind as u64).u64(self.epoch);
            w.maybe(self.origin, |w, (origin, home)| {
                w.array(3).bytes(&origin.device.0).u64(origin.number).u64(home as u64)
            });
            w.list(self.members.iter(), |w, member| {
                w.address(member);
            });
            w.bytes(&self.bytes);
        });
        record.until(now.plus(limits::ENTRY_LONGEST_MS))
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, Self::read)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = match r.u64()? {
            0 => Kind::Create,
            1 => Kind::Commit,
            2 => Kind::Message,
            _ => return Err(Malformed("a kind")),
        };
        let epoch = r.u64()?;
        let origin = r.maybe(|r| {
            r.array_of(3)?;
            let origin = Origin { device: DeviceTag(r.fixed()?), number: r.u64()? };
            Ok((origin, usize::try_from(r.u64()?).map_err(|_| Malformed("an index"))?))
        })?;
        let members = r.list(limits::MEMBERS as u64, Reader::address)?;
        let bytes = r.bytes()?.to_vec();
        Ok(Self { kind, epoch, origin, members, bytes })
    }
}
