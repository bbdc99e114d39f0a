//! One content: what it says, and how it belongs to others.
//!
//! [`Fields`] are what a content is made of, each valid by itself; `wire::content::Content` is one whose fields go together,
//! with its bytes.

use crate::content::extension::Extensions;
use crate::content::part::Part;
use crate::content::refusal::ContentFault;
use crate::content::uri::Uri;
use crate::id::ContentId;
use crate::limits;
use crate::time::Millis;

/// What a content is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// 16 random bytes, so that one thing said twice has two names, and nobody can guess what was said from its name.
    pub salt: [u8; 16],
    /// The content that this one replaces: an edit, or what takes it back. Ours name the first version.
    pub replaces: Option<ContentId>,
    /// The thread that it belongs to.
    pub topic: Topic,
    /// When it is to be forgotten.
    pub expires: Option<Expiry>,
    /// The content, in exactly this version, that it answers or reacts to.
    pub in_reply_to: Option<ContentId>,
    /// Extension fields.
    pub extensions: Extensions,
    /// What is said.
    pub body: Part,
}

/// A thread's name: at most [`TOPIC_BYTES`](limits::TOPIC_BYTES), opaque; empty where there is no thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic(Vec<u8>);

impl Topic {
    /// Takes a thread's name.
    ///
    /// # Errors
    /// [`ContentFault::TooBig`].
    pub fn new(bytes: &[u8]) -> Result<Self, ContentFault> {
        ContentFault::over("bytes of a thread's name", bytes.len(), limits::TOPIC_BYTES)?;
        Ok(Self(bytes.to_vec()))
    }

    /// The name of the thread that begins at a content.
    #[must_use]
    pub fn from_first(first: ContentId) -> Self {
        Self(first.0.to_vec())
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no thread.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// When a content is to be forgotten: a wish that devices follow; it binds nobody who doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this Unix second.
    At(u32),
    /// So many seconds after it was read.
    AfterReading(u32),
}

impl Expiry {
    /// Whether it is one that somebody may mean ([M-8], attack 41): a second from [`EXPIRY_FROM_MS`](limits::EXPIRY_FROM_MS)
    /// on, or at most [`EXPIRY_MS`](limits::EXPIRY_MS) after reading. What isn't is ignored, and the content stays. It
    /// depends on nothing but the content, so that all who have it judge alike.
    #[must_use]
    pub fn is_sensible(self) -> bool {
        match self {
            Self::At(second) => Millis::from_unix_seconds(second.into()).0 >= limits::EXPIRY_FROM_MS,
            Self::AfterReading(seconds) => Millis::from_unix_seconds(seconds.into()).0 <= limits::EXPIRY_MS,
        }
    }

    /// When it is to be forgotten, of a content that was read then, or not yet.
    #[must_use]
    pub fn end(self, read: Option<Millis>) -> Option<Millis> {
        match self {
            Self::At(second) => Some(Millis::from_unix_seconds(second.into())),
            Self::AfterReading(seconds) => read.map(|read| read.plus(Millis::from_unix_seconds(seconds.into()).0)),
        }
    }
}

/// Refuses an id by another hash than SHA-256, the only one that there is.
pub(crate) const fn check_id(id: &ContentId) -> Result<(), ContentFault> {
    let [hash, ..] = id.0;
    if hash == 1 { Ok(()) } else { Err(ContentFault::IdHash(hash)) }
}

impl Fields {
    /// What a content says by itself: this body, fresh, belonging to no other.
    #[must_use]
    pub fn new(salt: [u8; 16], body: Part) -> Self {
        let (topic, extensions) = (Topic::default(), Extensions::default());
        Self { salt, replaces: None, topic, expires: None, in_reply_to: None, extensions, body }
    }

    /// Whether the fields go together, but for their length.
    ///
    /// # Errors
    /// [`ContentFault`].
    pub fn check(&self) -> Result<(), ContentFault> {
        self.replaces.iter().chain(&self.in_reply_to).chain(&self.extensions.prev).try_for_each(check_id)?;
        if self.extensions.edit_no.is_some() && self.replaces.is_none() {
            return Err(ContentFault::Contradiction("the number of an edit that replaces nothing"));
        }
        Ok(())
    }

    /// Whether it came from whom and where it says, if it says so ([M-3], attack 86).
    ///
    /// # Errors
    /// [`ContentFault::Origin`].
    pub fn check_origin(&self, sender: &Uri, room: &Uri) -> Result<(), ContentFault> {
        if self.extensions.sender.as_ref().is_some_and(|claimed| claimed != sender) {
            return Err(ContentFault::Origin("sender"));
        }
        if self.extensions.room.as_ref().is_some_and(|claimed| claimed != room) {
            return Err(ContentFault::Origin("room"));
        }
        Ok(())
    }
}
