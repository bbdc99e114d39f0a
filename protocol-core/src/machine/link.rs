//! What two nodes that proved their keys say to each other: one machine per other node, over all its connections.
//!
//! (The diagram stands here once the machine does.)

use std::collections::BTreeSet;

use crate::fault::{Code, PeerFault};
use crate::id::{BlobRef, CarryId, LinkId, MailId};
use crate::wire::frame::{Carry, ExpressEnvelope, Frame, Mark, Trust};

/// What a link is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A connection has proven the other node's key.
    Proven {
        /// Which connection.
        link: LinkId,
        /// Whether we dialled it.
        dialled: bool,
    },
    /// A frame came on a connection, after Proof.
    Frame(LinkId, Frame),
    /// So many bytes of a body that is to be fetched are already here.
    Have(LinkId, BlobRef, u64),
    /// A fetched body is whole: its Carry can be judged by the front door, which settles it.
    Fetched(LinkId, BlobRef),
    /// A fetched body didn't match its hash.
    Spoiled(LinkId, BlobRef),
    /// The front door took, or refused, the Carry with this seq.
    Settled {
        /// Which.
        seq: u64,
        /// `Err`: why not, and which recipients were in the way (empty: all).
        result: Result<(), (PeerFault, BTreeSet<u8>)>,
    },
    /// An express mail is to go. Only while `room` says so.
    Send(Outgoing),
    /// An express mail goes by another carrier now: it no longer is ours to resend.
    Withdraw(MailId),
    /// A trust step is to go.
    Say(Trust),
    /// Marks are to go.
    Marks(Vec<Mark>),
    /// The marks of these are wanted.
    AskMarks(Vec<CarryId>),
    /// A connection is wanted.
    Want,
    /// Our dial of this connection failed, or the connection is gone.
    Down(LinkId),
    /// Say Bye: the node is going down.
    Leave,
    /// The deadline has come.
    Wake,
}

/// An express mail that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Our id of it.
    pub mail: MailId,
    /// Its id on the wire.
    pub id: CarryId,
    /// Its envelope.
    pub envelope: ExpressEnvelope,
    /// Its body.
    pub body: BlobRef,
}

/// What a link wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Something on a connection.
    Out(LinkId, LinkOut),
    /// Dial the node; the front door knows where.
    Dial,
    /// The link is up: unfinished trust steps, waiting mails and open marks are due.
    Up(LinkId),
    /// The link is down.
    Down(Code),
    /// An express mail came; its body is here, or is being fetched. It is judged when the body is whole.
    Came(Carry),
    /// An express mail of ours is durable at the other node.
    Acked(MailId),
    /// An express mail of ours was not taken.
    Refused {
        /// Which.
        mail: MailId,
        /// Why.
        code: Code,
        /// Which recipients were in the way (empty: all).
        rcpts: BTreeSet<u8>,
    },
    /// A trust step came.
    Trust(Trust),
    /// Marks came.
    Marks(Vec<Mark>),
    /// The other node asks how far these got.
    MarksWanted(Vec<CarryId>),
    /// The other node erred.
    Fault(PeerFault),
}

/// What to do on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOut {
    /// Send a frame. A Carry whose body is small takes the body along.
    Send(Frame),
    /// Send a body in chunks from `offset` on, behind all other frames.
    Chunks {
        /// Which.
        blob: BlobRef,
        /// From where.
        offset: u64,
    },
    /// Make room for a body that will come in chunks, and say by [`LinkIn::Have`] how much of it is here.
    Fetch {
        /// Which.
        blob: BlobRef,
    },
    /// Forget a body that was being fetched.
    Unfetch {
        /// Which.
        blob: BlobRef,
    },
    /// Close, after what was sent.
    Close,
}
