//! Why something is no content: neutral, since it may be a caller's draft or a member's bytes.

use crate::fault::PeerFault;

/// Why something is no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// Longer than a content may be, as a whole.
    #[error("content of {got} bytes, at most {max}")]
    Length {
        /// Its length.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// Something else than what must stand there.
    #[error("expected {0}")]
    Shape(&'static str),
    /// It means something, and is written in another way than the one.
    #[error("not in its one form")]
    Form,
    /// Something within is over its bound.
    #[error("{what}: {got}, at most {max}")]
    TooBig {
        /// Of what.
        what: &'static str,
        /// How much there is.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// A message id by a hash that isn't SHA-256.
    #[error("a message id of hash {0}, want 1")]
    IdHash(u8),
    /// Members that contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// It names another sender or room than the ones that it came from.
    #[error("content names another {0}")]
    Origin(&'static str),
}

impl ContentFault {
    /// Refuses more than `max` of `what`.
    pub(crate) const fn over(what: &'static str, got: usize, max: usize) -> Result<(), Self> {
        if got <= max { Ok(()) } else { Err(Self::TooBig { what, got: got as u64, max: max as u64 }) }
    }
}

impl From<ContentFault> for PeerFault {
    fn from(fault: ContentFault) -> Self {
        match fault {
            ContentFault::Length { got, max } => Self::TooBig { what: "content", got, max },
            ContentFault::TooBig { what, got, max } => Self::TooBig { what, got, max },
            ContentFault::Shape(what) | ContentFault::Contradiction(what) => Self::Sealed(what),
            ContentFault::Form => Self::Sealed("a content in its one form"),
            ContentFault::IdHash(_) => Self::Sealed("a message id by SHA-256"),
            ContentFault::Origin(_) => Self::Sealed("the sender and room that it came from"),
        }
    }
}
