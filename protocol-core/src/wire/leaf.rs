//! The MLS credential of a device: whose it is, by which list, as their AK says. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   leaf = [1, address, identity, ak, dk, number, hosted]      number: of the device list that has the device
//! ```
//!
//! It rides in the leaf node as a credential of type [`CREDENTIAL`], and says what the leaf's signature key is: the DK.
//! Whether the list of that number has such a device, `seal::lists` judges.

use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, DeviceKey, Identity};
use crate::limits;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::signed::{Role, Signable, sealed};
use crate::wire::statement::{Statement, VERSION};

/// The MLS credential type (RFC 9420 §5.3, §17.5) that a leaf has: of the range for private use.
pub const CREDENTIAL: u16 = 0xf078;

/// That a device is a person's ([I-10]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The person's address.
    pub address: Address,
    /// The person.
    pub identity: Identity,
    /// The AK that signs it: that of the list of this number.
    pub ak: AddressKey,
    /// The device: the leaf's signature key.
    pub dk: DeviceKey,
    /// The number of the newest device list that the signer knew: it has the device.
    pub number: u64,
    /// Whether a node runs the device.
    pub hosted: bool,
}

impl sealed::Sealed for Leaf {}
impl Signable for Leaf {
    fn role(&self) -> Role {
        Self::ROLE
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(7);
        writer.u64(VERSION).address(&self.address).bytes(&self.identity.0);
        writer.bytes(&self.ak.0).bytes(&self.dk.0).u64(self.number).bool(self.hosted);
        writer.into_bytes()
    }
}

impl Statement for Leaf {
    const ROLE: Role = Role::Leaf;
    const MAX: usize = limits::LEAF_BYTES;
    const NAME: &'static str = "leaf";

    fn ak(&self) -> AddressKey {
        self.ak
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(7)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let leaf = Self {
            address: reader.address()?,
            identity: Identity(reader.fixed()?),
            ak: AddressKey(reader.fixed()?),
            dk: DeviceKey(reader.fixed()?),
            number: reader.u64()?,
            hosted: reader.bool()?,
        };
        match leaf {
            Self { number: 0, .. } => Err(Malformed("a list's number, from 1")),
            Self { dk, ak, .. } if dk.0 == ak.0 => Err(Malformed("a key for each job")),
            leaf => Ok(leaf),
        }
    }

    fn fault(what: &'static str) -> PeerFault {
        PeerFault::Keys(what)
    }
}
