//! What a link carries: the frames, as plain values. The codec makes them bytes. Spec: `spec/03-link.md`, [L-2].

use std::collections::BTreeSet;

use crate::fault::Code;
use crate::id::{Address, BlobRef, CarryId, Domain, Hash, Pair};
use crate::time::Millis;
use crate::wire::file::File;
use crate::wire::talk::Talk;
use crate::wire::whisper::Whisper;

/// One frame of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// First frame each way: who speaks, for which domain, to which. The canonical bytes of a `wire::hello::Hello`;
    /// they are signed as they came.
    Hello(Vec<u8>),
    /// Second frame each way: the NK's signature over both Hellos and the TLS exporter.
    Proof(Vec<u8>),
    /// Third frame each way: the link is up.
    Ready(Ready),
    /// An express mail.
    Carry(Carry),
    /// The mail of `seq` is durable at the receiver.
    Ack {
        /// Which.
        seq: u64,
    },
    /// The mail of `seq` was not taken, whole.
    Refuse {
        /// Which.
        seq: u64,
        /// Why.
        code: Code,
        /// Which recipients were in the way, as indices into the envelope's `to`; empty means all.
        rcpts: BTreeSet<u8>,
    },
    /// A step of the trust handshake between two addresses.
    Trust(Trust),
    /// How far mails got.
    Mark(Vec<Mark>),
    /// A piece of a body. The host keeps the bytes; the machine sees how many they are.
    Chunk {
        /// Which body, by hash.
        blob: Hash,
        /// Where the piece begins.
        offset: u64,
        /// How many bytes it has.
        len: u32,
    },
    /// A question.
    Ask(Ask),
    /// The answer to an [`Ask::Marks`]: the marks that are known, of the ids asked for.
    Answer(Vec<Mark>),
    /// Are you there?
    Ping(u64),
    /// Yes.
    Pong(u64),
    /// About a sealed conversation, or the keys that it takes.
    Talk(Talk),
    /// About a file that is sealed.
    File(File),
    /// Who is here, and who writes: said now or never. A node that doesn't know it may ignore it.
    Whisper(Whisper),
    /// The last frame.
    Bye {
        /// Why.
        code: Code,
    },
    /// A frame of a type that we don't know and may ignore (types from 128 on).
    Unknown {
        /// Its type.
        kind: u8,
    },
}

/// The third frame each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Hash of the node's next key (pre-rotation).
    pub next_nk: Hash,
    /// How often the sender's store was started from a backup; it never runs back.
    pub generation: u64,
    /// The highest seq of ours that is durable at the sender; 0 for none.
    pub last_seen: u64,
    /// Most unsettled Carry frames it takes.
    pub window_items: u32,
    /// Most unsettled body bytes it takes.
    pub window_bytes: u64,
    /// The largest body it takes, in bytes.
    pub max_body: u64,
}

/// An express mail on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carry {
    /// Its number on this link, rising.
    pub seq: u64,
    /// What the sender calls it, on every carrier and every attempt.
    pub id: CarryId,
    /// The envelope.
    pub envelope: ExpressEnvelope,
    /// The body. Up to [`CARRY_INLINE_BYTES`](crate::limits::CARRY_INLINE_BYTES) it rides inside the frame.
    pub body: BlobRef,
}

/// What routing sees of an express mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressEnvelope {
    /// The envelope sender, equal to the header From.
    pub from: Address,
    /// The recipients, at most [`ENVELOPE_RECIPIENTS`](crate::limits::ENVELOPE_RECIPIENTS), in order, none twice.
    pub to: Vec<Address>,
    /// When the author's node took it.
    pub submitted: Millis,
}

/// A step of the trust handshake (protocol §2), between `pair.ours` at the sender and `pair.theirs` at the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The two addresses, as the sender sees them.
    pub pair: Pair,
    /// Which step.
    pub step: TrustStep,
    /// The step's canonical bytes: fixed once, resent verbatim.
    pub bytes: Vec<u8>,
    /// The sender's NK over those bytes and this connection's exporter: fresh on every connection.
    pub signature: Vec<u8>,
}

/// Which step of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustStep {
    /// M2, from the offerer.
    Confirm,
    /// M3, from the accepter.
    Done,
    /// The accept itself, where two offers crossed: `bytes` are those of `wire::accept`.
    Accept,
    /// A person's keys for the line: `bytes` are those of `wire::keys`, signed by their AK.
    Keys,
}

/// How far a mail got, said by its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Which mail.
    pub id: CarryId,
    /// How far.
    pub reached: Reached,
}

/// The marks that a receiving node says of an express mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Durable in the mailboxes of all its recipients here.
    Delivered,
    /// Could not be put into a mailbox, for good.
    Failed,
}

/// A question on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How far did these get?
    Marks(Vec<CarryId>),
    /// Send this body, from this offset on.
    Body {
        /// Which, by hash.
        blob: Hash,
        /// From where.
        offset: u64,
    },
}

/// The pair of domains that a Hello names: the speaker's first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Domains {
    /// The speaker's.
    pub speaker: Domain,
    /// The listener's.
    pub listener: Domain,
}
