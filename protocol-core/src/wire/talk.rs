//! What nodes say to each other, and to devices, about sealed conversations: plain values. The codec makes them bytes.
//!
//! ```text
//!   device ──Post──▶ own node ──Post──▶ hub        one event, sealed by the device
//!   hub ──Event──▶ member nodes ──Event──▶ devices  the log, in order; `Have` acks, cumulatively
//!   hub ──Heads──▶ … ──Delivered──▶ devices         how far it is signed, and how far it has come
//!   device ──Publish──▶ own node ──Ask, Answer──▶ other nodes, devices     keys
//! ```
//!
//! The same frames go over links and sessions. Spec: `spec/09-hub.md`, `spec/10-sessions.md`.

use crate::fault::Code;
use crate::id::{Address, ConversationId, DeviceKey, DeviceTag, Hash, NodeKey};

/// Something about a sealed conversation, or about the keys that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Please put this into the conversation's log.
    Post(Post),
    /// It was not taken.
    Unposted {
        /// Of which conversation.
        conversation: ConversationId,
        /// Whose, and which.
        origin: Origin,
        /// Why.
        code: Code,
    },
    /// An entry of the log.
    Event(Event),
    /// All entries up to this one are durable at the speaker.
    Have {
        /// Of which conversation.
        conversation: ConversationId,
        /// The last of them.
        seq: u64,
    },
    /// Heads of logs, signed by their hub.
    Heads(Heads),
    /// All entries up to this one are durable at the node of this member: `delivered`.
    Delivered {
        /// Of which conversation.
        conversation: ConversationId,
        /// Whose node.
        member: Address,
        /// The last of them.
        seq: u64,
    },
    /// A device has something to make known: answered by [`Talk::Published`].
    Publish {
        /// The device's number for it, to know the answer by.
        number: u64,
        /// What.
        what: Publication,
    },
    /// How that went: `None` where it is durable.
    Published {
        /// Which.
        number: u64,
        /// Why not.
        code: Option<Code>,
    },
    /// A question about somebody's keys, or a log.
    Ask {
        /// The asker's number for it.
        number: u64,
        /// What is asked.
        what: Question,
    },
    /// The answer.
    Answer {
        /// To which question.
        number: u64,
        /// What was found; `Err` where the asker may not know, or nothing is there.
        what: Result<Finding, Code>,
    },
    /// To a device: what one of its lines is now.
    Line(Line),
    /// From a device to its node: the mailbox login that enrols it. The node's key is proven by then.
    Login {
        /// The user name.
        user: String,
        /// The password: bounded by [`PASSWORD_BYTES`](crate::limits::PASSWORD_BYTES).
        password: Password,
    },
}

/// A password on its way: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub zeroize::Zeroizing<String>);

impl core::fmt::Debug for Password {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who posted, and under which number: what the author's device knows its own event by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The device, as this conversation's routing knows it: `wire::log::tag`.
    pub device: DeviceTag,
    /// The device's number, rising over all its posts, with gaps.
    pub number: u64,
}

/// What kind of event it is: as much as routing must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The conversation's first: the group's first commit, its Welcome and its public state.
    Create = 0,
    /// A commit, its Welcome where it adds somebody, and the public state after it.
    Commit = 1,
    /// A sealed message.
    Message = 2,
}

/// An event on its way to the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Whose, and which.
    pub origin: Origin,
    /// What kind.
    pub kind: Kind,
    /// The MLS epoch in which it was sealed; for a commit: the one that it ends. 0 for a Create.
    pub epoch: u64,
    /// Who is in the conversation: of a Create only, else empty. The members' addresses, sorted.
    pub members: Vec<Address>,
    /// A Create or Commit: `wire::log::Change`. A Message: an `MLSMessage` (RFC 9420 §6).
    pub bytes: Vec<u8>,
}

/// An entry of a conversation's log on its way down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The hub's term: 0 until succession comes.
    pub term: u64,
    /// Its place: dense, from 1.
    pub seq: u64,
    /// What kind.
    pub kind: Kind,
    /// The MLS epoch in which it was sealed.
    pub epoch: u64,
    /// Whose it is: said to the author's own node and devices, and nobody else.
    pub origin: Option<Origin>,
    /// Who is in the conversation: of a Create only, else empty.
    pub members: Vec<Address>,
    /// What was posted; `None` to the device that posted it, which has it.
    pub bytes: Option<Vec<u8>>,
}

/// Heads of logs, as their hub signs them: one signature for all that one batch changed, whoever they are for.
///
/// The signature is over the hashes of all of them ([`wire::log::HeadsSigned`](crate::wire::log::HeadsSigned)); a reader
/// is given in full those that it may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The hash of each head of the batch, at most [`HEADS`](crate::limits::HEADS).
    pub leaves: Vec<Hash>,
    /// The heads that the reader may know, each at its place among the leaves.
    pub heads: Vec<(u8, Head)>,
    /// The NK's signature.
    pub signature: Vec<u8>,
}

/// The head of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The hub's term.
    pub term: u64,
    /// The last entry.
    pub seq: u64,
    /// The hash of the chain up to it: `wire::log::chain`.
    pub hash: Hash,
}

/// What a device makes known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// A device list: the bytes of `wire::list`, signed.
    List(Vec<u8>),
    /// A key proof for one line: the bytes of `wire::keys`, signed.
    Proof {
        /// With whom the line is.
        theirs: Address,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Key packages of the device (RFC 9420 §10): single-use ones, and one of last resort.
    Packages {
        /// Each to be used once.
        once: Vec<Vec<u8>>,
        /// The one that may be used again, where it is to be replaced.
        last_resort: Option<Vec<u8>>,
    },
    /// Something for the other devices of the person, or for the device of this key alone: sealed, kept for them, and
    /// opaque to the node. Joining, backup and verification use it.
    Note {
        /// For which device; `None`: for all others.
        to: Option<DeviceKey>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The person wants no line with somebody, or may have one again.
    Block {
        /// With whom.
        theirs: Address,
        /// Whether they are blocked from now on.
        blocked: bool,
    },
}

/// A question about keys, or a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The device lists of this address after this version, oldest first.
    Lists {
        /// Who asks, and has a line with them, or is them.
        asker: Address,
        /// Whose.
        whose: Address,
        /// The last version that the asker knows; 0 for none.
        after: u64,
    },
    /// One key package for each current device of this address, each used up by the answer.
    Packages {
        /// Who asks, and has a line with them, or is them.
        asker: Address,
        /// Whose.
        whose: Address,
        /// Of these devices only; empty: of all.
        only: Vec<DeviceKey>,
    },
    /// The entries of this log again, from one to another, both included: they come as [`Talk::Event`].
    Range {
        /// Of which conversation.
        conversation: ConversationId,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Device lists, signed, oldest first.
    Lists(Vec<Vec<u8>>),
    /// Key packages, at most one a device.
    Packages(Vec<Vec<u8>>),
    /// The entries were sent.
    Sent,
}

/// What one of a person's lines is: all that their devices need to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// With whom.
    pub theirs: Address,
    /// T2 of the handshake that made it; `None` where there is no line any more.
    pub t2: Option<Hash>,
    /// Whether our side's offer won: then our node is the hub of the direct conversation.
    pub offered: bool,
    /// Their node.
    pub nk: NodeKey,
    /// Their key proof, once it came: the bytes of `wire::keys`, signed.
    pub proof: Option<Vec<u8>>,
    /// The newest version of their device list that the node has heard of; 0 for none.
    pub list: u64,
}
