//! What a log takes and gives.

use crate::fault::PeerFault;
use crate::id::{Address, LinkId, SessionId};
use crate::wire::talk::{Event, Origin, Post, Talk};

/// What somebody reads a log over: it ends with the connection, and so does what was under way on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// A member's node, over a link.
    Link(LinkId),
    /// A device of a member of ours, over a session.
    Session(SessionId),
}

/// What a log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody reads from now on, from where they last said to be.
    Attach(Via, super::Reader),
    /// Somebody reads no more, though their connection is there.
    Detach(Via),
    /// Somebody who reads posts something. Where we are the hub.
    Post(Via, Box<Post>),
    /// The hub says an entry. Where we aren't it.
    Event(Via, Box<Event>),
    /// Somebody who reads has everything up to this seq durable.
    Have(Via, u64),
    /// Somebody who reads takes nothing for now: until they ask for a range, or come again.
    Unwanted(Via),
    /// Somebody who reads wants entries again.
    Range {
        /// Who.
        via: Via,
        /// Their number for it.
        number: u64,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// There is room for this many more entries and bytes on the way to somebody who reads.
    Feed {
        /// Who.
        via: Via,
        /// How many entries.
        items: usize,
        /// How many bytes; one entry may pass it.
        bytes: usize,
    },
    /// The hub says how far a member has it. Where we aren't the hub.
    Delivered(Via, Address, u64),
    /// Something goes to the hub anyway: what it is owed goes along. Where we aren't the hub.
    Along,
    /// The batch ends: what is said once a batch is said now. `rides`: a commit is due anyway, so that what only rides
    /// along is saved.
    BatchEnd {
        /// Whether somebody waits for the commit.
        rides: bool,
    },
}

/// What a log wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Something goes to somebody who reads.
    Say(Via, Talk),
    /// Something goes to the hub.
    Tell(Talk),
    /// An entry was taken: of the hub's own order, or as the hub says.
    Took {
        /// Its place.
        seq: u64,
        /// Whose it is, where they are of this node, or we are the hub.
        origin: Option<Origin>,
    },
    /// A post was not taken.
    Unposted(Via, Origin, PeerFault),
    /// Somebody erred, and the log is as it was.
    Refused(Via, PeerFault),
    /// Entries are not in memory, and are needed to go on: from one to another, both included.
    Wants(u64, u64),
    /// So many entries and bytes on the way to somebody have arrived, or need not arrive any more.
    Freed(Via, usize, usize),
}
