//! The handshake steps that two nodes say over a link, M2 and M3: canonical bytes, fixed once, resent verbatim ([T-6]).
//!
//! ```text
//!   T0 = H(offer ‖ b)    T1 = H(T0 ‖ accept ‖ b)    T2 = H(T1 ‖ M2 ‖ M3)
//!                             │                          ▲    ▲
//!           M2 = ["confirm", 1, T1, offerer's nonce, fresh]   │
//!                M3 = ["done", 1, T1, accepter's nonce, fresh]
//! ```

use crate::fault::PeerFault;
use crate::id::{Hash, Nonce};
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::field::VERSION;
use crate::wire::signed::Role;

/// What M2 and M3 say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// T1: the offer and the accept that it is about.
    pub t1: Hash,
    /// The speaker's own nonce, from its offer (M2) or accept (M3).
    pub nonce: Nonce,
    /// 32 fresh random bytes.
    pub fresh: [u8; 32],
}

/// M2: the offerer confirms that it took the accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm(pub Word);

/// M3: the accepter is done, and so is the offerer when it hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done(pub Word);

impl Confirm {
    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes(Role::Confirm)
    }

    /// Reads M2.
    ///
    /// # Errors
    /// [`PeerFault::Frame`] for bytes that aren't exactly its canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        Word::parse(Role::Confirm, bytes).map(Self)
    }
}

impl Done {
    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes(Role::Done)
    }

    /// Reads M3.
    ///
    /// # Errors
    /// [`PeerFault::Frame`] for bytes that aren't exactly its canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        Word::parse(Role::Done, bytes).map(Self)
    }
}

/// T2: what the whole handshake hashes to, the same on both sides.
#[must_use]
pub fn t2(t1: Hash, m2: &[u8], m3: &[u8]) -> Hash {
    sha256(&[&t1.0, m2, m3])
}

impl Word {
    fn to_bytes(self, role: Role) -> Vec<u8> {
        let mut writer = Writer::array_of(5);
        writer.str(role.label()).u64(VERSION).bytes(&self.t1.0).bytes(&self.nonce.0).bytes(&self.fresh);
        writer.into_bytes()
    }

    fn parse(role: Role, bytes: &[u8]) -> Result<Self, PeerFault> {
        let word = Self::read(role, bytes).map_err(|Malformed(what)| PeerFault::Frame(what))?;
        // Another spelling of the same word would give each side its own T2.
        if word.to_bytes(role) == bytes { Ok(word) } else { Err(PeerFault::Frame("a canonical step")) }
    }

    fn read(role: Role, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(5)?;
        if reader.str()? != role.label() {
            return Err(Malformed("the step's label"));
        }
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let word = Self { t1: Hash(reader.fixed()?), nonce: Nonce(reader.fixed()?), fresh: reader.fixed()? };
        reader.end()?;
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> Word {
        Word { t1: Hash([1; 32]), nonce: Nonce([2; 16]), fresh: [3; 32] }
    }

    #[test]
    fn a_step_round_trips_and_every_other_spelling_is_refused() {
        let bytes = Confirm(word()).to_bytes();
        assert_eq!(Confirm::parse(&bytes), Ok(Confirm(word())));
        assert!(Confirm::parse(&[bytes.as_slice(), &[0]].concat()).is_err(), "trailing byte");
        for cut in 0..bytes.len() {
            assert!(Confirm::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        // The version 1 written in two bytes means the same and is refused.
        let at = bytes.iter().position(|byte| *byte == 1).unwrap();
        let long = [&bytes[..at], &[0x18, 1], &bytes[at + 1..]].concat();
        assert_eq!(Confirm::parse(&long), Err(PeerFault::Frame("a canonical step")));
    }

    #[test]
    fn t_067_a_confirm_is_no_done() {
        assert!(Done::parse(&Confirm(word()).to_bytes()).is_err());
        assert!(Confirm::parse(&Done(word()).to_bytes()).is_err());
    }
}
