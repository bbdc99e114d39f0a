//! What a person's AK states: a device list, a key proof, a leaf. One shape for all, strict, bounded before it is read ([I-2]).
//!
//! ```text
//!   bytes = [value: bstr, signature: bstr .size 64]      value = the statement's canonical bytes
//!   hash  = H(signature input)                           the same for every signature over the same value
//!
//!   bytes ──parse──▶ Unverified<S> ──seal::address::open──▶ Signed<S>
//!   S ──AddressIdentity::state──▶ Signed<S>
//! ```

use crate::fault::PeerFault;
use crate::id::{AddressKey, Hash, Identity};
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::signed::{Role, Signable};

/// The version that every statement begins with.
pub(crate) const VERSION: u64 = 1;

impl AddressKey {
    /// The person whose first key this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity(sha256(&[&self.0]).0)
    }

    /// What a list says of the key that will follow: its hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&[&self.0])
    }
}

/// A value that an AK signs, and names itself.
pub trait Statement: Signable + Clone {
    /// What its signature is for.
    const ROLE: Role;
    /// Longest bytes of it, signature included.
    const MAX: usize;
    /// What it is called in a refusal.
    const NAME: &'static str;

    /// The key that must have signed it.
    fn ak(&self) -> AddressKey;

    /// Reads its items; that they are canonical is looked at by [`Unverified::parse`].
    ///
    /// # Errors
    /// [`Malformed`].
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// How a peer's malformed bytes of this kind are reported.
    fn fault(what: &'static str) -> PeerFault;
}

/// A statement as it came: read, its signature not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified<S> {
    value: S,
    canonical: Vec<u8>,
    signature: [u8; 64],
}

impl<S: Statement> Unverified<S> {
    /// Reads a statement strictly: one encoding, within its bound, nothing behind it.
    ///
    /// # Errors
    /// [`PeerFault::TooBig`], and the statement's own fault for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        if bytes.len() > S::MAX {
            return Err(PeerFault::TooBig { what: S::NAME, got: bytes.len() as u64, max: S::MAX as u64 });
        }
        let read = Self::read(bytes).map_err(|Malformed(what)| S::fault(what))?;
        if read.to_bytes() == bytes && read.value.canonical() == read.canonical {
            Ok(read)
        } else {
            Err(S::fault("canonical form"))
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(bytes);
        outer.array_of(2)?;
        let (canonical, signature) = (outer.bytes()?.to_vec(), outer.fixed()?);
        outer.end()?;
        let mut reader = Reader::new(&canonical);
        let value = S::read(&mut reader)?;
        reader.end()?;
        Ok(Self { value, canonical, signature })
    }

    /// What it claims, before anybody verified it: good for looking things up, for nothing else.
    #[must_use]
    pub const fn claimed(&self) -> &S {
        &self.value
    }

    pub(crate) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    pub(crate) const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&self.canonical, &self.signature)
    }

    /// The statement, once its signature was verified.
    pub(crate) fn verified(self) -> Signed<S> {
        let bytes = self.to_bytes();
        Signed { hash: hash::<S>(&self.canonical), value: self.value, bytes }
    }
}

/// A statement whose signature was verified, or made here, with the bytes that go round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<S> {
    value: S,
    bytes: Vec<u8>,
    hash: Hash,
}

impl<S: Statement> Signed<S> {
    /// What it says.
    #[must_use]
    pub const fn value(&self) -> &S {
        &self.value
    }

    /// Its bytes, signature included: what is passed on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hash of what was signed.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn made(value: S, signature: &[u8; 64]) -> Self {
        let canonical = value.canonical();
        Self { bytes: to_bytes(&canonical, signature), hash: hash::<S>(&canonical), value }
    }
}

fn to_bytes(canonical: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    let mut writer = Writer::array_of(2);
    writer.bytes(canonical).bytes(signature);
    writer.into_bytes()
}

fn hash<S: Statement>(canonical: &[u8]) -> Hash {
    sha256(&[&S::ROLE.input(canonical)])
}
