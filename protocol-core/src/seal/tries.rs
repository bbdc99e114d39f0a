//! How often a code may be tried: so often in a time, and then not before that time is over ([I-14]).

use crate::fault::PeerFault;
use crate::limits;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};

/// Tries of one thing with one other: at most [`CODE_TRIES`](limits::CODE_TRIES) in
/// [`CODE_TRIES_MS`](limits::CODE_TRIES_MS). The owner keeps it in a record, so that a restart gives no further ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    since: Millis,
    made: u32,
}

impl Tries {
    /// Makes one try.
    ///
    /// # Errors
    /// [`PeerFault::Rate`] where there is none left now.
    pub fn make(&mut self, now: Millis) -> Result<(), PeerFault> {
        if self.made == 0 || now.since(self.since) >= limits::CODE_TRIES_MS {
            *self = Self { since: now, made: 0 };
        }
        if self.made >= limits::CODE_TRIES {
            return Err(PeerFault::Rate { max: limits::CODE_TRIES, per_ms: limits::CODE_TRIES_MS });
        }
        self.made += 1;
        Ok(())
    }

    /// When the next try may be made, where none is left.
    #[must_use]
    pub const fn again(&self) -> Millis {
        self.since.plus(limits::CODE_TRIES_MS)
    }

    /// Writes it, as part of a record: two items.
    pub fn write(&self, writer: &mut Writer) {
        writer.millis(self.since).u64(self.made.into());
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let since = reader.millis()?;
        let made = u32::try_from(reader.u64()?).map_err(|_| Malformed("a count of tries"))?;
        Ok(Self { since, made })
    }
}
