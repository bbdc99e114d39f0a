//! What is whispered: who is here, who writes, and who may see it. Plain values; the codec makes them bytes.
//!
//! ```text
//!   device ──Choices, Active, Types──▶ own node ──Vector, Types──▶ other node ──Vector, Types──▶ devices
//! ```
//!
//! The same frame goes over links and sessions. It is never queued, and never part of a record. Spec:
//! `spec/14-presence.md`.

use crate::id::{Address, ConversationId};
use crate::time::Millis;

/// Something that is said where there is a connection now, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whisper {
    /// Changes of what is told of people, at most [`PRESENCE_DELTAS`](crate::limits::PRESENCE_DELTAS): from node to node, and
    /// from a node to a device, for its own person alone.
    Vector(Vec<Delta>),
    /// Somebody writes in a conversation.
    Types(Address, ConversationId),
    /// From a device: its person is here.
    Active,
    /// From a device: what its person has chosen, at most [`PRESENCE_DELTAS`](crate::limits::PRESENCE_DELTAS) at once. From a node: what
    /// the person has taken back on another device.
    Choices(Vec<Choice>),
}

/// A change of one entry of the vector: what is told of a person to one who has a line with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Of whom.
    pub of: Address,
    /// For whom.
    pub to: Address,
    /// What it is now.
    pub word: Word,
}

/// An entry of the vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word {
    /// Nothing: the person doesn't agree, or nothing was said.
    #[default]
    Silent,
    /// They agree; and the other hasn't yet, or there is no more to tell.
    Agrees,
    /// Both agree, and this is how it is.
    Shows(Seen),
}

impl Word {
    /// What is seen by it.
    #[must_use]
    pub const fn shown(self) -> Option<Seen> {
        match self {
            Self::Silent | Self::Agrees => None,
            Self::Shows(shown) => Some(shown),
        }
    }
}

/// What is known of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// They are here.
    Here,
    /// They were, at about this time.
    Away(Millis),
}

/// Whether a person agrees to see one contact, and be seen by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The contact.
    pub theirs: Address,
    /// When it was chosen: of two choices the later counts.
    pub chosen: Millis,
    /// Whether they agree.
    pub agrees: bool,
}
