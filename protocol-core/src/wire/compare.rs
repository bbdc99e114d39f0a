//! What two devices say to each other so that their people can compare a code: a commitment each, then what it was to.
//!
//! ```text
//!   word = [1, kind, 32 bytes]      kind 0: Commit, a hash      kind 1: Reveal, the nonce behind it
//! ```

use crate::fault::PeerFault;
use crate::id::Hash;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::statement::VERSION;

/// One step of comparing codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The hash of the speaker's nonce: from here on it is fixed.
    Commit(Hash),
    /// The nonce. Said only once the other's commitment is there.
    Reveal([u8; 32]),
}

impl Word {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(3);
        match self {
            Self::Commit(Hash(hash)) => writer.u64(VERSION).u64(0).bytes(hash),
            Self::Reveal(nonce) => writer.u64(VERSION).u64(1).bytes(nonce),
        };
        writer.into_bytes()
    }

    /// Reads it strictly.
    ///
    /// # Errors
    /// [`PeerFault::Frame`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        let word = Self::read(bytes).map_err(|Malformed(what)| PeerFault::Frame(what))?;
        if word.to_bytes() == bytes { Ok(word) } else { Err(PeerFault::Frame("a word in canonical form")) }
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(3)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let word = match reader.u64()? {
            0 => Self::Commit(Hash(reader.fixed()?)),
            1 => Self::Reveal(reader.fixed()?),
            _ => return Err(Malformed("a kind of word")),
        };
        reader.end()?;
        Ok(word)
    }
}
