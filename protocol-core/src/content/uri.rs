//! Who and where, as content names them: URIs. Ours are made of what never changes, the identity and the conversation.
//!
//! ```text
//!   postline:u/<identity, 64 hex digits>        a person, through all changes of address and key
//!   postline:r/<conversation, 64 hex digits>    a room
//!   postline:f/<hash, 64 hex digits>            a sealed file, kept at its author's node
//! ```

use core::fmt;

use crate::content::refusal::ContentFault;
use crate::id::{ConversationId, Hash, Identity};
use crate::limits;

const PERSON: &str = "postline:u/";
const ROOM: &str = "postline:r/";
const FILE: &str = "postline:f/";

/// A URI, as it came: 1 to [`URI_BYTES`](limits::URI_BYTES) bytes. Nothing of what it names is believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uri(String);

impl Uri {
    /// Takes a text for a URI.
    ///
    /// # Errors
    /// [`ContentFault`] for an empty one, and a long one.
    pub fn parse(text: &str) -> Result<Self, ContentFault> {
        ContentFault::over("bytes of a URI", text.len(), limits::URI_BYTES)?;
        if text.is_empty() { Err(ContentFault::Shape("a URI")) } else { Ok(Self(text.to_owned())) }
    }

    /// The sender URI of a person ([M-3]).
    #[must_use]
    pub fn person(identity: Identity) -> Self {
        Self(format!("{PERSON}{identity}"))
    }

    /// The room URI of a conversation ([M-3]).
    #[must_use]
    pub fn room(conversation: ConversationId) -> Self {
        Self(format!("{ROOM}{conversation}"))
    }

    /// The URI of a sealed file ([B-4]).
    #[must_use]
    pub fn file(hash: Hash) -> Self {
        Self(format!("{FILE}{hash}"))
    }

    /// Whom it names, where it is a person's in its one spelling.
    #[must_use]
    pub fn as_person(&self) -> Option<Identity> {
        let identity = Identity::parse(self.0.strip_prefix(PERSON)?).ok()?;
        Some(identity).filter(|identity| Self::person(*identity) == *self)
    }

    /// What it names, where it is a conversation's in its one spelling.
    #[must_use]
    pub fn as_room(&self) -> Option<ConversationId> {
        let conversation = ConversationId::parse(self.0.strip_prefix(ROOM)?).ok()?;
        Some(conversation).filter(|conversation| Self::room(*conversation) == *self)
    }

    /// What it names, where it is a sealed file's in its one spelling.
    #[must_use]
    pub fn as_file(&self) -> Option<Hash> {
        let hash = Hash::parse(self.0.strip_prefix(FILE)?).ok()?;
        Some(hash).filter(|hash| Self::file(*hash) == *self)
    }

    /// A text of our own making, which is within the bound.
    pub(crate) const fn short(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
