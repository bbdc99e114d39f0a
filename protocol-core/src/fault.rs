//! Who erred: the caller ([`Misuse`]), a peer ([`PeerFault`]), or the disk ([`RestoreError`]).
//!
//! Each names the values that disagree. What a peer hears of its fault is a [`Code`], and [`PeerFault::code`] is the one
//! total table from the one to the other.

use crate::id::{AddressKey, Domain, NodeKey};
use crate::store::Key;

pub use crate::id::NameFault;

/// The caller used the API wrongly; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// A step needs a record that `wants` named and `hydrate` never brought.
    #[error("record {0} is wanted first")]
    NotHydrated(Key),
    /// The handle names no connection that is up.
    #[error("no such link: {0:?}")]
    NoSuchLink(crate::id::LinkId),
    /// The handle already names a connection.
    #[error("link handle used twice: {0:?}")]
    LinkInUse(crate::id::LinkId),
    /// The handle already names a session.
    #[error("session handle used twice: {0:?}")]
    SessionInUse(crate::id::SessionId),
    /// A report about a delivery that was not asked for, or was settled.
    #[error("no such delivery")]
    NoSuchSend,
    /// The mail envelope has no recipient, or too many.
    #[error("{got} recipients, 1 to {max}")]
    Recipients {
        /// How many it has.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// The address is not on this node.
    #[error("{0} is not served here")]
    NotOurDomain(Domain),
    /// An input out of its place in a machine's life.
    #[error("{0}")]
    OutOfPlace(&'static str),
}

/// A record can't be what we stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A version that this code doesn't know.
    #[error("record {key} has version {found}, newest known {known}")]
    Version {
        /// Which record.
        key: Key,
        /// The version it names.
        found: u64,
        /// The newest known.
        known: u64,
    },
    /// Bytes that don't decode.
    #[error("record {key} is damaged: {what}")]
    Damaged {
        /// Which record.
        key: Key,
        /// What was expected.
        what: &'static str,
    },
}

/// What a peer did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    // Mail and trust
    /// A field that doesn't say what it must: tags missing, malformed, or of an unknown version.
    #[error("malformed field: {0}")]
    Field(&'static str),
    /// A signature that doesn't verify, or a key that is none.
    #[error("bad signature")]
    Signature,
    /// A `t` further in the future than clocks differ.
    #[error("time {got} s lies after {max} s")]
    Future {
        /// The field's time, in Unix seconds.
        got: u64,
        /// The latest that is believed.
        max: u64,
    },
    /// An offer that was first seen after its end.
    #[error("offer expired at {end} s")]
    Expired {
        /// Its end, in Unix seconds.
        end: u64,
    },
    /// An accept for an offer that was not made to its author.
    #[error("accept from the wrong peer, or for no offer that stands")]
    WrongPeer,
    /// An accept for an offer that its author already used.
    #[error("offer already used")]
    Replayed,
    /// An offer or accept on automatic, bulk or list mail.
    #[error("automatic mail is never a reply")]
    Automatic,
    /// The person blocked this correspondent.
    #[error("blocked")]
    Blocked,
    /// Evidence that the node speaks for the address is missing or void.
    #[error("no evidence for the node: {0}")]
    Evidence(&'static str),
    /// An express mail that there is no room for.
    #[error("{got} mails wait here, at most {max}")]
    Full {
        /// How many wait.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// More than the correspondent may send in a time.
    #[error("over the rate of {max} per {per_ms} ms")]
    Rate {
        /// The bound.
        max: u32,
        /// Per so many milliseconds.
        per_ms: u64,
    },
    // Link
    /// A frame that is none: type, body, or order.
    #[error("bad frame: {0}")]
    Frame(&'static str),
    /// A frame, body or list over its bound.
    #[error("{what}: {got}, at most {max}")]
    TooBig {
        /// Of what.
        what: &'static str,
        /// How much came.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// The node proves another key than the one dialled or trusted.
    #[error("node key {got}, want {want}")]
    WrongKey {
        /// The key it proved.
        got: NodeKey,
        /// The key we know.
        want: NodeKey,
    },
    /// The node speaks for, or to, a domain that it doesn't.
    #[error("wrong domain {0}")]
    WrongDomain(Domain),
    /// No version of the protocol in common.
    #[error("no common version, peer offers up to {0}")]
    Version(u64),
    /// Silence where an answer was due.
    #[error("no answer within {0} ms")]
    Late(u64),
    /// The peer's store, or ours, is an older copy of itself.
    #[error("store generation {got}, seen {seen}")]
    Generation {
        /// What it says.
        got: u64,
        /// What we saw.
        seen: u64,
    },
    /// An express mail between two who have no line.
    #[error("no line between the two")]
    NotTrusted,
    /// An express mail whose header and envelope disagree, or that isn't canonical.
    #[error("not fit for express mail: {0}")]
    NotExpress(&'static str),
    /// A body that doesn't hash to its name.
    #[error("body does not match its hash")]
    Spoiled,
    /// No such recipient here.
    #[error("no such mailbox")]
    NoMailbox,
    // Keys
    /// A device list that breaks its chain, or isn't signed by whom the one before it names.
    #[error("bad device list: {0}")]
    List(&'static str),
    /// A device list older than the one that is known (attack 72).
    #[error("device list {got}, known {known}")]
    ListStale {
        /// Its version.
        got: u64,
        /// The version that is known.
        known: u64,
    },
    /// Two device lists of one version (attack 73).
    #[error("another device list of version {0}")]
    ListFork(u64),
    /// A person's key that nothing in the chain of their lists led to (attacks 10, 15): an alarm.
    #[error("address key {got}, want {want}")]
    NewKey {
        /// The key that speaks.
        got: AddressKey,
        /// The key that is known.
        want: AddressKey,
    },
    /// Keys that are proven for another line, for others, or by another key.
    #[error("bad key proof: {0}")]
    Keys(&'static str),
    /// A key package that can't be used: not its device's, for others, or used before.
    #[error("bad key package: {0}")]
    KeyPackage(&'static str),
    // Sealed conversations
    /// A Welcome that isn't for us, or of another group (attack 79).
    #[error("bad welcome: {0}")]
    Welcome(&'static str),
    /// Sealed bytes that don't open.
    #[error("does not open: {0}")]
    Sealed(&'static str),
    /// Sealed bytes that were opened before (attack 61).
    #[error("opened before")]
    Again,
    /// A commit for an epoch that is over, or to come (attack 74).
    #[error("epoch {got}, now {now}")]
    Epoch {
        /// Its epoch.
        got: u64,
        /// The conversation's.
        now: u64,
    },
    /// The conversation is there already.
    #[error("conversation exists")]
    Exists,
    /// No such conversation here, or none of the speaker's.
    #[error("no such conversation")]
    NoConversation,
    /// An entry that doesn't follow the one before it.
    #[error("entry {got}, want {want}")]
    Gap {
        /// Its seq.
        got: u64,
        /// The seq that follows.
        want: u64,
    },
    // Files
    /// No such file here, or not for the speaker.
    #[error("no such file")]
    NoFile,
    /// No room for a file.
    #[error("{what}: {got}, at most {max}")]
    Quota {
        /// Of what.
        what: &'static str,
        /// How much there would be.
        got: u64,
        /// The bound.
        max: u64,
    },
    // What people say
    /// Something said about a message that its author may not say so: another's edit, one that changes more than words.
    #[error("bad event: {0}")]
    Event(&'static str),
    // Sessions
    /// A login that isn't one, or a device that isn't enrolled.
    #[error("login refused")]
    Login,
    /// A device that stands in no newest device list of its person, as far as the node knows them (attack 73).
    #[error("a device that is on no list")]
    Unlisted,
    /// A device that is behind what its node has seen of it: a copy (attack 62).
    #[error("device at {got}, seen at {seen}")]
    Behind {
        /// The number it would go on from.
        got: u64,
        /// The greatest number that was taken of it.
        seen: u64,
    },
    /// A code or passphrase that is wrong, or too late.
    #[error("wrong code")]
    WrongCode,
}

/// What a node says on the wire when it refuses a frame or closes a link. Numbers stand in `spec/06-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Code {
    /// Nothing is wrong; we are leaving.
    Goodbye = 0,
    /// Another connection between the two stays.
    Glare = 1,
    /// The peer broke the protocol.
    Protocol = 2,
    /// A bound was passed.
    TooBig = 3,
    /// An answer came too late.
    Timeout = 4,
    /// Key, signature or domain are not what they must be.
    Denied = 5,
    /// No version in common.
    Version = 6,
    /// A store generation ran back.
    Generation = 7,
    /// We have no room now; try later, or by mail.
    Busy = 8,
    /// No line between these two.
    NotTrusted = 16,
    /// This must go as plain mail.
    NotExpress = 17,
    /// The body didn't match its hash.
    Spoiled = 18,
    /// The commit is for an epoch that is over.
    StaleEpoch = 32,
    /// The conversation is there already: join it.
    Exists = 33,
    /// No such conversation, or not yours.
    NoConversation = 34,
    /// The keys are not what they must be.
    BadKeys = 35,
    /// The login failed, or the device isn't enrolled.
    Login = 36,
    /// The device is a copy of what its node has seen: it must join anew.
    Behind = 37,
    /// The device isn't in its person's newest device list, as far as the node knows.
    Unlisted = 38,
    /// No such file, or not for the asker.
    NoFile = 39,
}

impl Code {
    /// The code that a number on the wire names; numbers we don't know count as [`Code::Protocol`].
    #[must_use]
    pub const fn from_wire(number: u16) -> Self {
        match number {
            0 => Self::Goodbye,
            1 => Self::Glare,
            3 => Self::TooBig,
            4 => Self::Timeout,
            5 => Self::Denied,
            6 => Self::Version,
            7 => Self::Generation,
            8 => Self::Busy,
            16 => Self::NotTrusted,
            17 => Self::NotExpress,
            18 => Self::Spoiled,
            32 => Self::StaleEpoch,
            33 => Self::Exists,
            34 => Self::NoConversation,
            35 => Self::BadKeys,
            36 => Self::Login,
            37 => Self::Behind,
            38 => Self::Unlisted,
            39 => Self::NoFile,
            _ => Self::Protocol,
        }
    }
}

impl PeerFault {
    /// Whether somebody speaks with keys that can't be theirs, or shows two people two things: what was agreed on with
    /// these keys is suspended, and people are told.
    #[must_use]
    pub const fn is_alarm(&self) -> bool {
        matches!(self, Self::ListFork(_) | Self::NewKey { .. })
    }

    /// What the peer hears of it. Blocked, unknown and untrusted sound alike ([C-2], attack 106).
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Field(_) | Self::Frame(_) | Self::Future { .. } | Self::Expired { .. } => Code::Protocol,
            Self::Signature | Self::WrongKey { .. } | Self::WrongDomain(_) => Code::Denied,
            Self::TooBig { .. } => Code::TooBig,
            Self::Version(_) => Code::Version,
            Self::Late(_) => Code::Timeout,
            Self::Generation { .. } => Code::Generation,
            Self::Rate { .. } | Self::Full { .. } | Self::Quota { .. } => Code::Busy,
            Self::WrongPeer
            | Self::Replayed
            | Self::Automatic
            | Self::Blocked
            | Self::Evidence(_)
            | Self::NotTrusted
            | Self::NoMailbox => Code::NotTrusted,
            Self::NotExpress(_) => Code::NotExpress,
            Self::Spoiled => Code::Spoiled,
            Self::List(_)
            | Self::ListStale { .. }
            | Self::ListFork(_)
            | Self::NewKey { .. }
            | Self::Keys(_)
            | Self::KeyPackage(_) => Code::BadKeys,
            Self::Welcome(_) | Self::Sealed(_) | Self::Again | Self::Gap { .. } | Self::Event(_) => Code::Protocol,
            Self::Epoch { .. } => Code::StaleEpoch,
            Self::Exists => Code::Exists,
            Self::NoConversation => Code::NoConversation,
            Self::Login | Self::WrongCode => Code::Login,
            Self::Behind { .. } => Code::Behind,
            Self::Unlisted => Code::Unlisted,
            Self::NoFile => Code::NoFile,
        }
    }
}
