//! Who a leaf is: what its credential says, verified. Nothing else names an author (attack 86).

use mls_rs::identity::{Credential, CustomCredential, SigningIdentity};

use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, DeviceKey, Identity};
use crate::seal::address::open;
use crate::wire::leaf::{CREDENTIAL, Leaf};
use crate::wire::statement::{Signed, Unverified};

/// A member of a group: one device of one person. Only a verified credential makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Member {
    /// The person's address.
    pub address: Address,
    /// The person.
    pub identity: Identity,
    /// The address key that has signed the leaf. Whether it is the person's, their lists say: the caller looks.
    pub ak: AddressKey,
    /// The device: what MLS signs with.
    pub dk: DeviceKey,
    /// The number of the device list that has the device.
    pub list: u64,
    /// Whether a node runs the device.
    pub hosted: bool,
}

impl Member {
    fn of(leaf: &Leaf) -> Self {
        Self {
            address: leaf.address.clone(),
            identity: leaf.identity,
            ak: leaf.ak,
            dk: leaf.dk,
            list: leaf.number,
            hosted: leaf.hosted,
        }
    }

    /// Verifies a leaf's credential: that its AK has signed it, and that it is for the key that the leaf signs with.
    ///
    /// # Errors
    /// [`PeerFault::KeyPackage`], [`PeerFault::Keys`] or [`PeerFault::Signature`].
    pub(super) fn verify(leaf: &SigningIdentity) -> Result<Self, PeerFault> {
        let member = Self::of(open::<Leaf>(bytes(leaf)?)?.value());
        member.has_key(leaf)
    }

    /// Reads the credential of a leaf that is in a group, and so was verified when it came in.
    pub(super) fn read(leaf: &SigningIdentity) -> Result<Self, PeerFault> {
        let member = Self::of(Unverified::<Leaf>::parse(bytes(leaf)?)?.claimed());
        member.has_key(leaf)
    }

    /// Whether this may be what became of that one: the same device, of the same person, by no older list (attack 72).
    pub(super) fn follows(&self, before: &Self) -> bool {
        self.dk == before.dk && self.identity == before.identity && self.list >= before.list
    }

    fn has_key(self, leaf: &SigningIdentity) -> Result<Self, PeerFault> {
        if leaf.signature_key.as_bytes() == self.dk.0 {
            Ok(self)
        } else {
            Err(PeerFault::KeyPackage("a credential for another key"))
        }
    }
}

fn bytes(leaf: &SigningIdentity) -> Result<&[u8], PeerFault> {
    match leaf.credential.as_custom() {
        Some(custom) if custom.credential_type.raw_value() == CREDENTIAL => Ok(custom.data()),
        _ => Err(PeerFault::KeyPackage("a credential of another type")),
    }
}

/// A leaf of ours, as the engine wants it.
pub(super) fn signing_identity(leaf: &Signed<Leaf>) -> SigningIdentity {
    let credential = CustomCredential::new(CREDENTIAL.into(), leaf.bytes().to_vec());
    SigningIdentity::new(Credential::Custom(credential), leaf.value().dk.0.to_vec().into())
}
