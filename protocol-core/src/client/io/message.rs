//! What is said, as people see it: messages, what became of them, how far they got; and how far files are.

use super::people::Author;
use crate::content::part::{Part, Words as Text};
use crate::fault::Code;
use crate::id::{Address, ContentId, ConversationId, Hash, Identity};
use crate::machine::mark::Failure;
use crate::time::Millis;
use crate::wire::content::Content;

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// So many of its sealed bytes are where they go: at the node, or here.
    Here(u64),
    /// So many bytes of a file that is fetched are at the person's own node.
    AtNode(u64),
    /// Not now, for this reason: it goes on by itself.
    Waits(Code),
    /// All of it is there, durable.
    Done,
    /// It isn't to be, for this reason.
    Failed(Code),
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its place.
    pub seq: u64,
    /// Whether others that lie behind it came before it: it is shown in its place, and marked.
    pub late: bool,
    /// What it is called.
    pub id: ContentId,
    /// Who said it.
    pub author: Author,
    /// When, as the author's clock said: for display, never for order.
    pub at: Millis,
    /// What.
    pub content: Content,
    /// What it answers.
    pub answers: Option<Answers>,
    /// The members whom it mentions, each once, in its order.
    pub mentions: Vec<Address>,
}

/// What a message answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The version that its author saw.
    pub version: ContentId,
    /// The place of the message whose version that is; `None` where it isn't here. Where it comes later,
    /// [`Now::Answers`] says so.
    pub message: Option<u64>,
}

/// Messages of a conversation, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The messages.
    pub messages: Vec<Shown>,
    /// Whether there are earlier ones.
    pub earlier: bool,
}

/// All that people see of a conversation, as one hash: spec/12-revisions.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The first place that it is of.
    pub from: u64,
    /// The last entry that this device has applied.
    pub seq: u64,
    /// How many messages it has.
    pub messages: u64,
    /// The hash.
    pub hash: Hash,
}

/// A message, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place.
    pub seq: u64,
    /// What it is called: its first version.
    pub id: ContentId,
    /// Who said it.
    pub author: Author,
    /// When, as the author's clock said.
    pub at: Millis,
    /// Its words, in the newest version; or that it is gone.
    pub now: Words,
    /// Who shows which sign at it.
    pub signs: Vec<(Option<Address>, String)>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// The members whom its first version mentions: an edit changes nothing about that.
    pub mentions: Vec<Address>,
}

impl Shown {
    /// Whether there are words of it, or whatever else it is: it isn't gone.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        matches!(self.now, Words::Are { .. })
    }
}

/// A message that is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The message, as it is now.
    pub message: Shown,
    /// Who pinned it; `None` for somebody who isn't known here any more.
    pub by: Option<Address>,
}

/// What is left of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// This.
    Are {
        /// 0 for its first version, else the edit's number.
        no: u32,
        /// The version.
        content: Content,
    },
    /// Its author took it back.
    Retracted,
    /// Somebody removed it.
    Removed {
        /// Who.
        by: Identity,
    },
    /// Its time is over.
    Expired,
}

/// A message that was shown is something else now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// In which conversation.
    pub conversation: ConversationId,
    /// What the message is called: its first version.
    pub id: ContentId,
    /// Its place.
    pub seq: u64,
    /// What it is now.
    pub now: Now,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    /// Its author has other words for it.
    Edited {
        /// What this version is called.
        version: ContentId,
        /// The number of the edit.
        no: u32,
        /// When, as its author's clock said.
        at: Millis,
        /// The words.
        content: Content,
    },
    /// Its author took it back: no words of it are kept here.
    Retracted,
    /// Somebody removed it, who may: the same.
    Removed {
        /// Who.
        by: Identity,
    },
    /// Its time is over: no words of it are kept here. It may never have been shown, where it came too late.
    Expired,
    /// What it answers has come.
    Answers {
        /// The place of that.
        message: u64,
    },
}

impl Said {
    /// Its words, where it has any.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        words(&self.content)
    }
}

/// The words of a content, where it has any: those of the first part that has.
#[must_use]
pub fn words(content: &Content) -> Option<&str> {
    content.fields().body.walk().into_iter().find_map(Part::words).map(Text::as_str)
}

/// How far something got. Only rises, but for what ends it: it has expired, or failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Durable on this device.
    Queued,
    /// Covered by a head that the hub has signed.
    Sent,
    /// Durable at the other's node.
    Delivered,
    /// Read by the other.
    Read,
    /// It was to be read until a time that was over before it could be said.
    Expired,
    /// Not said, and won't be.
    Failed(Failure),
}
