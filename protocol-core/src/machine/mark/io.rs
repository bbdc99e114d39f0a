//! What marks take and give.

use std::collections::BTreeMap;

use crate::fault::{Code, PeerFault};
use crate::id::{ContentId, Identity};
pub use crate::wire::control::Policy;
use crate::wire::mark::Position;

/// How far an entry has got with somebody. Only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Durable on a device of its author.
    Queued,
    /// Covered by a head that the hub has signed.
    Sent,
    /// Durable at the person's node.
    Delivered,
    /// Read by the person.
    Read,
}

/// What became of something that this person says, before it has its place in the log. The greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Post {
    /// It waits.
    Queued,
    /// It was to be read until a time that is over.
    Expired,
    /// It isn't said, and won't be.
    Failed(Failure),
    /// It has this entry: from here on its marks are the entry's.
    Placed(u64),
}

/// Why something was not said: what its author can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// There is no line with this person: it may go as a mail, if the person wants that.
    NoLine,
    /// No such conversation.
    NoConversation,
    /// Too long for a message.
    TooLong,
    /// More wait here than may.
    TooMany,
    /// Something of this name was said before.
    Again,
    /// This device is no device of the person any more, or never was.
    NotEnrolled,
    /// There is no such message here, or it is gone.
    NoMessage,
    /// It is another's to change.
    NotYours,
    /// The hub refuses it.
    Refused(Code),
}

/// Whether, and to whom, this person tells what they have read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The conversation's.
    pub policy: Policy,
    /// The person's own choice.
    pub choice: bool,
    /// Whether anything may go to the others now: there is a line, and nobody is a stranger.
    pub open: bool,
}

/// Who is to hear what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All members.
    Everyone,
    /// Those who said it.
    Authors,
    /// Those who have asked.
    Askers,
    /// The person's own devices alone.
    Ourselves,
}

/// What marks are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Who is in the conversation, this person too, each with the first entry that is for them.
    Members(BTreeMap<Identity, u64>),
    /// Who may hear what.
    Rules(Rules),
    /// The log is taken up to here; said when the machine is restored.
    Head {
        /// Up to here.
        seq: u64,
        /// The newest entry in which another said something that people see; 0 for none.
        heard: u64,
    },
    /// An entry of the log was taken.
    Entry {
        /// Its place.
        seq: u64,
        /// Who said it, where people see it; `None` of what they don't see.
        by: Option<Identity>,
    },
    /// The hub has signed a head: ours up to here.
    Sent(u64),
    /// A person's node has everything up to here.
    Delivered(Identity, u64),
    /// A person has told what they have read: this one too, from another device.
    Read {
        /// Who, as the seal tells.
        who: Identity,
        /// In which entry.
        at: u64,
        /// What they have read.
        read: Position,
    },
    /// This person has seen all from one entry to another, both included: what nobody sees in between is in it.
    Saw {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Another device of this person's says in private what they have read.
    Synced(Position),
    /// What became of something that this person says.
    Post(ContentId, Post),
    /// Somebody asks to hear what is read from now on.
    Asked,
    /// Something of this person's is about to be sealed: what waits to be told may go along with it.
    Along,
    /// A deadline has come.
    Wake,
}

/// What marks want done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Entries have got further, from one to another, both included: of this person's own reading, on another device.
    Rose {
        /// With whom; `None`: with all, at the hub.
        who: Option<Identity>,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
        /// How far.
        mark: Mark,
    },
    /// What became of something of this person's.
    Post(ContentId, Post),
    /// Tell what was read.
    Tell(Position, Audience),
    /// Somebody said what they may not say, or what can't be; nothing of it is kept.
    Refused(PeerFault),
}
