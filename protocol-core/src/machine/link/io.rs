//! What a link takes and gives.

use std::collections::BTreeSet;

use crate::fault::{Code, PeerFault};
use crate::id::{BlobRef, CarryId, Hash, LinkId, MailId, NodeKey};
use crate::wire::file::{BytesOut, File};
use crate::wire::frame::{Carry, ExpressEnvelope, Frame, Mark, Trust};
use crate::wire::talk::Talk;
use crate::wire::whisper::Whisper;

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
    /// The node has changed its key to the one that it announced: what was on connections of the old one ends with them.
    Rotated(NodeKey),
    /// Our dial came to nothing: no connection, or it failed before Proof.
    Unreachable,
    /// A frame came on a connection, after Proof.
    Frame(LinkId, Frame),
    /// Bytes came on a connection, after Proof, that are no frame.
    Garbage(LinkId, PeerFault),
    /// So many bytes of a body that is to be fetched are already here. Where that is all of it, the host goes on to say
    /// `Fetched` or `Spoiled`.
    Have(LinkId, Hash, u64),
    /// A fetched body is whole: its Carry can be judged by the front door, which settles it.
    Fetched(LinkId, BlobRef),
    /// A fetched body didn't match its hash.
    Spoiled(LinkId, BlobRef),
    /// The front door took, or refused, the Carry with this seq. A seq that isn't open is passed over.
    Settled {
        /// Which.
        seq: u64,
        /// `Err`: why not, and which recipients were in the way (empty: all).
        result: Result<(), (PeerFault, BTreeSet<u8>)>,
    },
    /// An express mail is to go. Only while `room` says so.
    Send(Outgoing),
    /// An express mail goes by another carrier now: it no longer is ours to resend, and nothing more is said of it.
    Withdraw(MailId),
    /// A trust step is to go. Where the link is down it is only wanted; say it again once it is up.
    Say(Trust),
    /// Marks are to go, if the link is up: else they are asked for once it is.
    Marks(Vec<Mark>),
    /// The answer to `MarksWanted`.
    Answer(Vec<Mark>),
    /// The marks of these are wanted, if the link is up.
    AskMarks(Vec<CarryId>),
    /// Something about a conversation, or keys, is to go, if the link is up: else it is said again once it is.
    Talk(Talk),
    /// Something about a file is to go, if the link is up: else it is said again once it is.
    File(File),
    /// Something is to be done about the bytes of a file, if the link is up: else it is asked for again once it is.
    Bytes(BytesOut),
    /// Something is whispered, if the link is up: else it isn't said at all.
    Whisper(Whisper),
    /// A connection is wanted, for at most [`WANT_MS`](crate::limits::WANT_MS) if it can't be had.
    Want,
    /// A connection that has proven the key is gone.
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
    /// An express mail came. If its body is inside, it is judged now; if the body is to be fetched, its envelope may be
    /// refused now, and `Whole` says when the rest can be judged.
    Came(Carry),
    /// The body of an express mail that came is here: it is judged now.
    Whole(Carry),
    /// An express mail of ours is durable at the other node.
    Acked(MailId),
    /// An express mail of ours was not taken, and is forgotten here.
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
    /// The other node asks how far these got: say `Answer`.
    MarksWanted(Vec<CarryId>),
    /// Something about a conversation, or keys, came.
    Talk(Talk),
    /// Something about a file came.
    File(File),
    /// Something was whispered.
    Whisper(Whisper),
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
    ///
    /// [`LinkIn::Have`]: crate::server::LinkIn::Have
    Fetch {
        /// Which.
        blob: BlobRef,
    },
    /// Forget a body that was being fetched.
    Unfetch {
        /// Which.
        blob: BlobRef,
    },
    /// Do something about the bytes of a file.
    Bytes(BytesOut),
    /// Close, after what was sent.
    Close,
}
