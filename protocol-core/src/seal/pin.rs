//! How sure we are of a person's key, and what may replace what: a channel that proves less never overwrites what was
//! proven or compared ([I-12], attacks 10, 72).
//!
//! ```text
//!   claimed ──a key proof for a line──▶ proven (L3) ──people compared codes──▶ compared (L4)
//!      │ another claim replaces it        │ another key: an alarm; only a list's chain, or the person's word, leads on
//! ```

use crate::fault::PeerFault;
use crate::id::{AddressKey, Identity};
use crate::seal::lists::{KeyChange, Succession};
use crate::wire::cbor::{Malformed, Reader, Writer};

/// How a key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Somebody said so: the `ak` of an offer, a list that a node handed out.
    Claimed = 0,
    /// The key itself signed for this line: L3.
    Proven = 1,
    /// Two people compared codes over another channel: L4.
    Compared = 2,
}

/// A person's key, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The person.
    pub identity: Identity,
    /// Their key now.
    pub ak: AddressKey,
    /// How it is known.
    pub level: Level,
}

impl Pin {
    /// What is known once `said` was heard too.
    ///
    /// # Errors
    /// [`PeerFault::NewKey`] where it names another person or key than one that is proven: whatever `said` has for itself.
    pub fn meet(&self, said: &Self) -> Result<Self, PeerFault> {
        if (said.identity, said.ak) == (self.identity, self.ak) {
            return Ok(Self { level: self.level.max(said.level), ..*self });
        }
        if self.level > Level::Claimed {
            return Err(PeerFault::NewKey { got: said.ak, want: self.ak });
        }
        Ok(*said)
    }

    /// What is known once the person's list has changed the key within its chain. Where a hosted key was handed over, what
    /// was compared is void: tell the people.
    ///
    /// # Errors
    /// [`PeerFault::NewKey`] where the change isn't from this key.
    pub fn follow(&self, change: &KeyChange) -> Result<Self, PeerFault> {
        if change.from != self.ak {
            return Err(PeerFault::NewKey { got: change.to, want: self.ak });
        }
        let level = match change.how {
            Succession::Rotated => self.level,
            Succession::HandedOver => self.level.min(Level::Proven),
        };
        Ok(Self { ak: change.to, level, ..*self })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.identity.0).bytes(&self.ak.0).u64(self.level as u64);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (identity, ak) = (Identity(reader.fixed()?), AddressKey(reader.fixed()?));
        let level = match reader.u64()? {
            0 => Level::Claimed,
            1 => Level::Proven,
            2 => Level::Compared,
            _ => return Err(Malformed("a level")),
        };
        Ok(Self { identity, ak, level })
    }
}
