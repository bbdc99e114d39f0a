//! A key proof: which person and which key stand behind one end of a line. Two of them, one each way, make level L3.
//! Spec: `spec/07-identity.md`.
//!
//! ```text
//!   proof = [1, T2, author, other, identity, ak, number, list]     list: hash of the author's device list of that number
//! ```
//!
//! T2 is the line's handshake, and names both nodes, both addresses and who offered; author and other say which end
//! speaks. So a proof is worth nothing for another line, for another person, or sent back to its author (attacks 64, 65).

use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, Hash, Identity};
use crate::limits;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::signed::{Role, Signable, sealed};
use crate::wire::statement::{Statement, VERSION};

/// A person's keys for one line ([I-11]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProof {
    /// The handshake that made the line.
    pub t2: Hash,
    /// Whose keys it proves.
    pub author: Address,
    /// To whom.
    pub other: Address,
    /// The author's identity.
    pub identity: Identity,
    /// The author's key: it signs.
    pub ak: AddressKey,
    /// The number of the author's newest device list.
    pub number: u64,
    /// Its hash.
    pub list: Hash,
}

impl sealed::Sealed for KeyProof {}
impl Signable for KeyProof {
    fn role(&self) -> Role {
        Self::ROLE
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(8);
        writer.u64(VERSION).bytes(&self.t2.0).address(&self.author).address(&self.other);
        writer.bytes(&self.identity.0).bytes(&self.ak.0).u64(self.number).bytes(&self.list.0);
        writer.into_bytes()
    }
}

impl Statement for KeyProof {
    const ROLE: Role = Role::KeyProof;
    const MAX: usize = limits::PROOF_BYTES;
    const NAME: &'static str = "key proof";

    fn ak(&self) -> AddressKey {
        self.ak
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(8)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let proof = Self {
            t2: Hash(reader.fixed()?),
            author: reader.address()?,
            other: reader.address()?,
            identity: Identity(reader.fixed()?),
            ak: AddressKey(reader.fixed()?),
            number: reader.u64()?,
            list: Hash(reader.fixed()?),
        };
        match proof {
            KeyProof { number: 0, .. } => Err(Malformed("a list's number, from 1")),
            KeyProof { ref author, ref other, .. } if author == other => Err(Malformed("two addresses")),
            proof => Ok(proof),
        }
    }

    fn fault(what: &'static str) -> PeerFault {
        PeerFault::Keys(what)
    }
}
