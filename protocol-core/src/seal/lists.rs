//! What one keeps of a person's device lists, and how a further one is judged: by anybody who knows the person, and by the
//! person's own devices, which publish nothing that others would refuse. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   list 1 ──begin──▶ Chain ──judge(list n + 1)──▶ Extends ──take──▶ Chain
//!                       │                              same AK · next AK (its hash was named) · successor (hosted only)
//!                       ├──▶ Known                     the list that is the newest one
//!                       ├──▶ Gap                       lists between are wanted first
//!                       ├──▶ List, ListStale           refused: malformed step, or an older list again
//!                       └──▶ ListFork, NewKey          alarms: the person is told, and nothing new is sealed to these keys
//! ```
//!
//! The node is not trusted with any of it: it can keep lists back, and nothing else (attacks 72, 73).

use crate::canary::{Canary, is_on};
use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, AddressKey, DeviceKey, Hash, Identity};
use crate::limits;
use crate::wire::cbor::Malformed;
use crate::wire::keys::KeyProof;
use crate::wire::leaf::Leaf;
use crate::wire::list::{Device, DeviceList, HOSTED};
use crate::wire::statement::Signed;

mod draft;
mod record;

pub use draft::Draft;

/// A person's device lists up to the newest one that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    identity: Identity,
    address: Address,
    number: u64,
    next: Hash,
    successor: Option<AddressKey>,
    /// The current devices, by key, and the number of the list that brought each.
    devices: Vec<(Device, u64)>,
    gone: Vec<Gone>,
    /// The keys so far, oldest first: never empty.
    eras: Vec<Era>,
    /// Hashes of the newest lists, oldest first, the last one of `number`: never empty.
    hashes: Vec<Hash>,
}

/// A device that was revoked: in the lists from `since` up to but without `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone {
    dk: DeviceKey,
    since: u64,
    until: u64,
    hosted: bool,
}

/// The lists from a number on that one key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Era {
    from: u64,
    ak: AddressKey,
    hosted: bool,
}

/// What a list is to a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest one that is known, again.
    Known,
    /// Lists between are missing: those after this number.
    Gap {
        /// The last number that is known.
        after: u64,
    },
    /// The one that follows.
    Extends(Box<Extension>),
}

/// A list that follows, and what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    chain: Chain,
    /// The devices that it adds.
    pub added: Vec<Device>,
    /// The devices that it revokes.
    pub removed: Vec<DeviceKey>,
    /// How the person's key changed, where it did.
    pub key: Option<KeyChange>,
}

/// A change of key within the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key before.
    pub from: AddressKey,
    /// The key from now on.
    pub to: AddressKey,
    /// By what right.
    pub how: Succession,
}

/// By what right one AK follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Its hash was named all along, and only the backup had it: the same person. What was compared stays compared.
    Rotated,
    /// The node that held the key named it: what people compared was the node's key, so that is void, and they are told.
    HandedOver,
}

/// What a device is to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One of the person's devices now.
    Current,
    /// It was one, and is revoked by the list of this number.
    Revoked {
        /// That number.
        by: u64,
    },
    /// It names a list that is not known yet: those after this number are wanted first.
    Ahead {
        /// The last number that is known.
        after: u64,
    },
}

/// What a key proof is to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It proves these keys for the line.
    Good,
    /// It names a list that is not known yet: those after this number are wanted first.
    Ahead {
        /// The last number that is known.
        after: u64,
    },
}

impl Chain {
    /// Begins with the first list of who has this address ([I-4]).
    ///
    /// # Errors
    /// [`PeerFault::List`] for any other list, or for another address.
    pub fn begin(whose: &Address, first: &Signed<DeviceList>) -> Result<Self, PeerFault> {
        let list = first.value();
        if list.number != 1 {
            return Err(PeerFault::List("a first list"));
        }
        if list.address != *whose {
            return Err(PeerFault::List("another address"));
        }
        if !list.revoked.is_empty() {
            return Err(PeerFault::List("revokes who was no device"));
        }
        Ok(Self {
            identity: list.identity,
            address: list.address.clone(),
            number: 1,
            next: list.next,
            successor: list.successor,
            devices: list.devices.iter().map(|device| (device.clone(), 1)).collect(),
            gone: Vec::new(),
            eras: vec![Era { from: 1, ak: list.ak, hosted: list.hosted }],
            hashes: vec![first.hash()],
        })
    }

    /// The person.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Their address.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The number of the newest list.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The hash of the newest list.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hashes.last().copied().unwrap_or(Hash([0; 32]))
    }

    /// The key that signs now.
    #[must_use]
    pub fn ak(&self) -> AddressKey {
        self.eras.last().map_or(AddressKey([0; 32]), |era| era.ak)
    }

    /// Whether the person's node holds that key.
    #[must_use]
    pub fn hosted(&self) -> bool {
        self.eras.last().is_some_and(|era| era.hosted)
    }

    /// Hash of the key that may follow.
    #[must_use]
    pub const fn next(&self) -> Hash {
        self.next
    }

    /// The own key that a hosted one has named.
    #[must_use]
    pub const fn successor(&self) -> Option<AddressKey> {
        self.successor
    }

    /// The devices now, by key.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &Device> {
        self.devices.iter().map(|(device, _)| device)
    }

    /// One of the devices now.
    #[must_use]
    pub fn device(&self, dk: DeviceKey) -> Option<&Device> {
        self.devices().find(|device| device.dk == dk)
    }

    /// The devices that were revoked, by key.
    pub fn revoked(&self) -> impl ExactSizeIterator<Item = DeviceKey> {
        self.gone.iter().map(|gone| gone.dk)
    }

    /// Judges a list of this person, whoever brought it ([I-5] to [I-9]).
    ///
    /// # Errors
    /// [`PeerFault::List`] for a list that breaks the chain's rules, [`PeerFault::ListStale`] for an older one; and the
    /// alarms: [`PeerFault::ListFork`] for two lists of one number, [`PeerFault::NewKey`] for a key outside the chain.
    pub fn judge(&self, list: &Signed<DeviceList>) -> Result<Verdict, PeerFault> {
        let said = list.value();
        if said.address != self.address {
            return Err(PeerFault::List("another address"));
        }
        if said.identity != self.identity {
            return Err(self.foreign(said.ak));
        }
        if said.number <= self.number {
            return self.older(list);
        }
        if said.number > self.number + 1 {
            return Ok(Verdict::Gap { after: self.number });
        }
        let how = self.right(said)?;
        if said.prev != Some(self.hash()) {
            return Err(PeerFault::ListFork(self.number));
        }
        self.follow(list, how).map(|extension| Verdict::Extends(Box::new(extension)))
    }

    /// Takes the list over that was judged to extend this chain.
    pub fn take(&mut self, extension: Extension) {
        *self = extension.chain;
    }

    /// Judges a leaf of this person's: whether its device is one of theirs, by the list that it names ([I-10]).
    ///
    /// # Errors
    /// [`PeerFault::Keys`] where the list of that number has no such device, or another address; [`PeerFault::NewKey`].
    pub fn stands(&self, leaf: &Signed<Leaf>) -> Result<Standing, PeerFault> {
        self.has(leaf.value())
    }

    /// Judges a leaf whose signature somebody has verified, as [`stands`](Self::stands) does.
    ///
    /// # Errors
    /// As there.
    pub fn has(&self, leaf: &Leaf) -> Result<Standing, PeerFault> {
        if leaf.address != self.address {
            return Err(PeerFault::Keys("a leaf of another address"));
        }
        if leaf.identity != self.identity {
            return Err(self.foreign(leaf.ak));
        }
        if leaf.number > self.number {
            return Ok(Standing::Ahead { after: self.number });
        }
        if self.key_at(leaf.number) != Some(leaf.ak) {
            return Err(self.foreign(leaf.ak));
        }
        let listed = |since: u64, hosted: bool| since <= leaf.number && hosted == leaf.hosted;
        if let Some((device, since)) = self.devices.iter().find(|(device, _)| device.dk == leaf.dk) {
            let good = listed(*since, device.hosted());
            return if good {
                Ok(Standing::Current)
            } else {
                Err(PeerFault::Keys("a leaf that its list doesn't have"))
            };
        }
        match self.gone.iter().find(|gone| gone.dk == leaf.dk) {
            Some(gone) if listed(gone.since, gone.hosted) && leaf.number < gone.until => {
                Ok(Standing::Revoked { by: gone.until })
            }
            _ => Err(PeerFault::Keys("a leaf that its list doesn't have")),
        }
    }

    /// Judges a key proof of this person's for their line with `ours` that this handshake made ([I-11]).
    ///
    /// # Errors
    /// [`PeerFault::Keys`] for a proof for another line, or the other way round; [`PeerFault::NewKey`],
    /// [`PeerFault::ListFork`].
    pub fn proves(&self, ours: &Address, t2: Hash, proof: &Signed<KeyProof>) -> Result<Proof, PeerFault> {
        let proof = proof.value();
        if proof.t2 != t2 && !is_on(Canary::ProofForAnyLine) {
            return Err(PeerFault::Keys("a proof for another handshake"));
        }
        if proof.author != self.address || proof.other != *ours {
            return Err(PeerFault::Keys("a proof for other addresses"));
        }
        if proof.identity != self.identity {
            return Err(self.foreign(proof.ak));
        }
        if is_on(Canary::ProofOfAnyList) {
            return Ok(Proof::Good);
        }
        if proof.number > self.number {
            return Ok(Proof::Ahead { after: self.number });
        }
        if self.key_at(proof.number) != Some(proof.ak) {
            return Err(self.foreign(proof.ak));
        }
        match self.hash_of(proof.number) {
            Some(known) if known != proof.list => Err(PeerFault::ListFork(proof.number)),
            _ => Ok(Proof::Good),
        }
    }

    /// A list that is not newer than what is known: the newest again, an older one, or another one of its number.
    fn older(&self, list: &Signed<DeviceList>) -> Result<Verdict, PeerFault> {
        let number = list.value().number;
        if self.key_at(number) != Some(list.value().ak) {
            return Err(self.foreign(list.value().ak));
        }
        match self.hash_of(number) {
            Some(known) if known != list.hash() => Err(PeerFault::ListFork(number)),
            Some(_) if number == self.number => Ok(Verdict::Known),
            _ => Err(PeerFault::ListStale { got: number, known: self.number }),
        }
    }

    /// By what right the key of the list that would follow signs it: `None` for the same key.
    fn right(&self, list: &DeviceList) -> Result<Option<Succession>, PeerFault> {
        match self.successor {
            Some(successor) if list.ak == successor => Ok(Some(Succession::HandedOver)),
            Some(successor) => Err(PeerFault::NewKey { got: list.ak, want: successor }),
            None if list.ak == self.ak() => Ok(None),
            None if list.ak.hash() == self.next => Ok(Some(Succession::Rotated)),
            None if is_on(Canary::AnyKeyFollows) => Ok(Some(Succession::Rotated)),
            None => Err(self.foreign(list.ak)),
        }
    }

    /// The chain with the list behind it. Who signs it, and its place, are judged.
    fn follow(&self, list: &Signed<DeviceList>, how: Option<Succession>) -> Result<Extension, PeerFault> {
        let said = list.value();
        want(said.number <= limits::LISTS, "more lists than are kept")?;
        let mut chain = self.clone();
        (chain.number, chain.next, chain.successor) = (said.number, said.next, said.successor);
        match how {
            // A thief of the key could otherwise name a next one of their own, and pre-rotation were worth nothing.
            None => want(said.next == self.next, "the next key stays while the key does")?,
            Some(_) => {
                want(self.eras.len() < limits::ADDRESS_KEYS, "more keys than are kept")?;
                want(self.eras.iter().all(|era| era.ak != said.ak), "a key that was used before")?;
                chain.eras.push(Era { from: said.number, ak: said.ak, hosted: said.hosted });
            }
        }
        let hosted = self.hosted() && how != Some(Succession::HandedOver);
        want(said.hosted == hosted, "a key is handed over by name only, and to a person only")?;
        if chain.hashes.len() == limits::LIST_HASHES {
            chain.hashes.remove(0);
        }
        chain.hashes.push(list.hash());

        let was_revoked = |dk: DeviceKey| self.gone.iter().any(|gone| gone.dk == dk);
        want(self.revoked().all(|dk| said.revoked.contains(&dk)), "a revoked device stays revoked")?;
        let removed: Vec<DeviceKey> = said.revoked.iter().copied().filter(|dk| !was_revoked(*dk)).collect();
        want(removed.iter().all(|dk| self.device(*dk).is_some()), "revokes who was no device")?;
        let mut kept = self.devices().filter(|device| !removed.contains(&device.dk));
        let stays = |device: &Device| said.devices.iter().any(|now| now.dk == device.dk && same(now, device));
        want(kept.all(stays), "a device leaves by being revoked, and stays what it is")?;

        let since = |dk| self.devices.iter().find(|(device, _)| device.dk == dk).map(|(_, since)| *since);
        let added = said.devices.iter().filter(|device| since(device.dk).is_none()).cloned().collect();
        let now = |device: &Device| (device.clone(), since(device.dk).unwrap_or(said.number));
        chain.devices = said.devices.iter().map(now).collect();
        for (device, since) in self.devices.iter().filter(|(device, _)| removed.contains(&device.dk)) {
            chain.gone.push(Gone { dk: device.dk, since: *since, until: said.number, hosted: device.hosted() });
        }
        chain.gone.sort_by_key(|gone| gone.dk);
        let key = how.map(|how| KeyChange { from: self.ak(), to: said.ak, how });
        Ok(Extension { chain, added, removed, key })
    }

    /// The key that signed the list of a number.
    fn key_at(&self, number: u64) -> Option<AddressKey> {
        self.eras.iter().rev().find(|era| era.from <= number).map(|era| era.ak)
    }

    /// The hash of the list of a number, where it is one of the newest.
    pub(super) fn hash_of(&self, number: u64) -> Option<Hash> {
        let back = usize::try_from(self.number.checked_sub(number)?).ok()?;
        self.hashes.iter().rev().nth(back).copied()
    }

    fn foreign(&self, got: AddressKey) -> PeerFault {
        PeerFault::NewKey { got, want: self.ak() }
    }
}

fn want(holds: bool, what: &'static str) -> Result<(), PeerFault> {
    if holds { Ok(()) } else { Err(PeerFault::List(what)) }
}

/// Whether a device is what it was: only what it can, and its name, may change.
fn same(now: &Device, before: &Device) -> bool {
    now.added == before.added && now.caps & HOSTED == before.caps & HOSTED
}

/// What the owner did wrong, where others would call it a fault.
fn misuse(fault: &PeerFault) -> Misuse {
    if let PeerFault::List(what) | PeerFault::Keys(what) | PeerFault::TooBig { what, .. } = fault {
        return Misuse::OutOfPlace(what);
    }
    Misuse::OutOfPlace(if fault.is_alarm() { "a key outside the chain" } else { "a list out of its place" })
}

impl From<Malformed> for Misuse {
    fn from(Malformed(what): Malformed) -> Self {
        Self::OutOfPlace(what)
    }
}
