//! That a node has taken what the other one said of a person's keys: the answer to a `Trust{Keys}`, in its place.
//!
//! ```text
//!   taken = [1, H(bytes)]        bytes: those of the Trust frame that it answers
//! ```
//!
//! A statement begins with a byte string, so that neither is taken for the other. Spec: `spec/10-sessions.md`.

use crate::id::Hash;
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};

const VERSION: u64 = 1;

/// That these bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken(pub Hash);

impl Taken {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(&[bytes]))
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut writer = Writer::array_of(2);
        writer.u64(VERSION).bytes(&self.0.0);
        writer.into_bytes()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`] for anything but its canonical bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(2)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let taken = Self(Hash(reader.fixed()?));
        reader.end()?;
        if taken.to_bytes() == bytes { Ok(taken) } else { Err(Malformed("canonical form")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_no_other_way() {
        let bytes = Taken::of(b"proof").to_bytes();
        assert_eq!(Taken::parse(&bytes), Ok(Taken::of(b"proof")));
        for cut in 0..bytes.len() {
            assert!(Taken::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Taken::parse(&[&bytes[..], &[0]].concat()).is_err());
        let longer = [&bytes[..1], &[0x18, 0x01], &bytes[2..]].concat();
        assert!(Taken::parse(&longer).is_err());
    }
}
