//! What the owner makes: a first list, the next one, leaves and key proofs. Each goes through the judgement of others first.

use crate::fault::Misuse;
use crate::id::{Address, AddressKey, DeviceKey, Hash};
use crate::seal::address::{AddressIdentity, open};
use crate::wire::keys::KeyProof;
use crate::wire::leaf::Leaf;
use crate::wire::list::{Device, DeviceList, DeviceName};
use crate::wire::statement::Signed;

use super::{Chain, Extension, Verdict, misuse};

/// The owner's next list, while it is put together. What is wrong with it shows when it is signed.
#[derive(Clone, Debug)]
pub struct Draft<'c> {
    chain: &'c Chain,
    list: DeviceList,
    /// What was asked for and can't be.
    wrong: Option<&'static str>,
}

impl Chain {
    /// Founds a person: signs the first list, under the key whose hash they are known by from then on. `next` is the hash
    /// of the key that goes into the backup, and nowhere else.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] for a list that nobody would take.
    pub fn found(
        address: Address,
        ak: &AddressIdentity,
        next: Hash,
        hosted: bool,
        mut devices: Vec<Device>,
    ) -> Result<(Signed<DeviceList>, Self), Misuse> {
        devices.sort_by_key(|device| device.dk);
        let list = DeviceList {
            identity: ak.ak().identity(),
            address: address.clone(),
            number: 1,
            prev: None,
            ak: ak.ak(),
            hosted,
            devices,
            revoked: Vec::new(),
            next,
            successor: None,
        };
        let signed = sign(ak, list)?;
        let chain = Self::begin(&address, &signed).map_err(|fault| misuse(&fault))?;
        Ok((signed, chain))
    }

    /// Begins the next list: the same as the newest, until something is changed.
    #[must_use]
    pub fn draft(&self) -> Draft<'_> {
        let list = DeviceList {
            identity: self.identity,
            address: self.address.clone(),
            number: self.number.saturating_add(1),
            prev: Some(self.hash()),
            ak: self.ak(),
            hosted: self.hosted(),
            devices: self.devices().cloned().collect(),
            revoked: self.revoked().collect(),
            next: self.next,
            successor: None,
        };
        Draft { chain: self, list, wrong: None }
    }

    /// Says which device is the person's, for its leaf in MLS.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] for a device that is not in the newest list, or another key.
    pub fn leaf(&self, ak: &AddressIdentity, dk: DeviceKey) -> Result<Signed<Leaf>, Misuse> {
        let device = self.device(dk).ok_or(Misuse::OutOfPlace("a leaf for no device of the list"))?;
        let (address, identity, number) = (self.address.clone(), self.identity, self.number);
        ak.state(Leaf { address, identity, ak: self.ak(), dk, number, hosted: device.hosted() })
    }

    /// Proves the person's keys for their line with `theirs` that this handshake made.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] for another key.
    pub fn prove(&self, ak: &AddressIdentity, theirs: &Address, t2: Hash) -> Result<Signed<KeyProof>, Misuse> {
        let (author, other, identity) = (self.address.clone(), theirs.clone(), self.identity);
        ak.state(KeyProof { t2, author, other, identity, ak: self.ak(), number: self.number, list: self.hash() })
    }
}

impl Draft<'_> {
    /// Adds a device.
    #[must_use]
    pub fn enlist(mut self, device: Device) -> Self {
        self.list.devices.push(device);
        self
    }

    /// Revokes a device, for good. It keeps the AK that it knows: where it is in foreign hands, [`Draft::rotate`] too.
    #[must_use]
    pub fn revoke(mut self, dk: DeviceKey) -> Self {
        self.list.devices.retain(|device| device.dk != dk);
        self.list.revoked.push(dk);
        self
    }

    /// Calls a device something else, or nothing.
    #[must_use]
    pub fn name(mut self, dk: DeviceKey, name: Option<DeviceName>) -> Self {
        match self.list.devices.iter_mut().find(|device| device.dk == dk) {
            Some(device) => device.name = name,
            None => self.wrong = Some("a name for no device of the list"),
        }
        self
    }

    /// Goes over to the next key, the one of the backup; `next` is the hash of a fresh one, for a new backup.
    #[must_use]
    pub fn rotate(mut self, to: AddressKey, next: Hash) -> Self {
        (self.list.ak, self.list.next) = (to, next);
        self
    }

    /// Of a hosted key: names the person's own, made on their device. It is the last list that the hosted key signs.
    #[must_use]
    pub fn hand_over(mut self, successor: AddressKey) -> Self {
        self.list.successor = Some(successor);
        self
    }

    /// The first list of a key that a hosted one has named; `next` as for [`Chain::found`].
    #[must_use]
    pub fn succeed(mut self, next: Hash) -> Self {
        match self.chain.successor {
            Some(ak) => (self.list.ak, self.list.hosted, self.list.next) = (ak, false, next),
            None => self.wrong = Some("a key that no hosted one has named"),
        }
        self
    }

    /// Signs it, once everybody else would take it.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] with the rule that the draft breaks.
    pub fn sign(mut self, ak: &AddressIdentity) -> Result<(Signed<DeviceList>, Extension), Misuse> {
        if let Some(wrong) = self.wrong {
            return Err(Misuse::OutOfPlace(wrong));
        }
        self.list.devices.sort_by_key(|device| device.dk);
        self.list.revoked.sort();
        let signed = sign(ak, self.list)?;
        match self.chain.judge(&signed).map_err(|fault| misuse(&fault))? {
            Verdict::Extends(extension) => Ok((signed, *extension)),
            Verdict::Known | Verdict::Gap { .. } => Err(Misuse::OutOfPlace("a list out of its place")),
        }
    }
}

/// Signs a list that is one by itself, and within its bound.
fn sign(ak: &AddressIdentity, list: DeviceList) -> Result<Signed<DeviceList>, Misuse> {
    list.check()?;
    let signed = ak.state(list)?;
    open::<DeviceList>(signed.bytes()).map_err(|fault| misuse(&fault))
}
