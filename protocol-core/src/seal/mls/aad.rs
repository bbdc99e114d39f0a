//! What goes with a sealed message in the clear, and is signed with it.
//!
//! ```text
//!   aad = [conversation, generation, head: [seq, hash] or null, franking: null]
//! ```
//!
//! The conversation keeps a message from being taken for one of another (attack 40). The generation is that of the key
//! that it is sealed with: so nobody else in the group can seal it again under another one, as the author's. The head is
//! the newest that the author's device knows: members who see different heads see that the hub lies (attack 75). The last
//! place is kept free for franking.

use crate::fault::PeerFault;
use crate::id::{ConversationId, Hash};
use crate::wire::cbor::{Malformed, Reader, Writer};

/// The newest head of the log that a device knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownHead {
    /// Its last entry.
    pub seq: u64,
    /// The chain up to it.
    pub hash: Hash,
}

/// What goes with a sealed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    /// The conversation that it is for.
    pub conversation: ConversationId,
    /// The generation of the author's key that it is sealed with.
    pub generation: u32,
    /// The newest head that the author's device knew.
    pub head: Option<KnownHead>,
}

impl Aad {
    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(4);
        writer.bytes(&self.conversation.0).u64(self.generation.into());
        writer.maybe(self.head, |w, head| w.array(2).u64(head.seq).bytes(&head.hash.0));
        writer.null();
        writer.into_bytes()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`PeerFault::Sealed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        Self::items(bytes).ok().filter(|aad| aad.to_bytes() == bytes).ok_or(PeerFault::Sealed("its authenticated data"))
    }

    fn items(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(4)?;
        let aad = Self {
            conversation: ConversationId(reader.fixed()?),
            generation: u32::try_from(reader.u64()?).map_err(|_| Malformed("a generation"))?,
            head: reader.maybe(|r| {
                r.array_of(2)?;
                Ok(KnownHead { seq: r.u64()?, hash: Hash(r.fixed()?) })
            })?,
        };
        match reader.maybe(|r| r.skip())? {
            None => reader.end().map(|()| aad),
            Some(()) => Err(Malformed("nothing yet")),
        }
    }
}
