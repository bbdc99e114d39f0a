//! What the device's front door takes and gives. The host's whole vocabulary stands here and in the pages below.
//!
//! ```text
//!   person ──Command──▶ ┌────────┐ ──Event──▶ person
//!                       │ Client │
//!   node ──SessionIn──▶ └────────┘ ──Dial, Send, Close──▶ node
//! ```

mod command;
mod event;
mod message;
mod people;
mod trouble;

pub use command::{Command, Passphrase, Saying, To, TypedCode};
pub use event::Event;
pub use message::{Answers, Changed, Far, Mark, Now, Pinned, Said, Screen, Shown, Snapshot, Words, words};
pub use people::{Author, Contact, Conversation, Device, Level};
pub use trouble::{Alarm, CodeFor, Declined, ShownCode, Unverified, Who};

use crate::fault::PeerFault;
use crate::id::NodeKey;
pub use crate::machine::mark::Failure;
pub use crate::machine::session::device::Login;
pub use crate::wire::control::Policy;
pub use crate::wire::file::{BytesIn, BytesOut};
use crate::wire::frame::Frame;
pub use crate::wire::whisper::Seen;

/// What the world tells the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The person wants something.
    Command(Command),
    /// Something happened on the session with the device's own node.
    Session(SessionIn),
    /// Something became of the bytes of a file that is fetched, or has left.
    Bytes(BytesIn),
    /// The time of [`deadline`](crate::step::Machine::deadline) has come.
    Wake,
}

/// What happens on the session. There is one at a time: the next [`SessionIn::Up`] follows a [`SessionIn::Down`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionIn {
    /// The connection that [`Output::Dial`] asked for is up.
    Up {
        /// What ties the proofs to this connection: its TLS exporter (RFC 8446 §7.5), or what the node sent first over a
        /// WebSocket.
        channel: [u8; 32],
    },
    /// The dial failed: nobody answered.
    Unreached,
    /// A frame came.
    Frame(Frame),
    /// Bytes came that are no frame. The host closes the connection after our answer.
    Garbage(PeerFault),
    /// The connection is gone.
    Down,
    /// The answer to [`Output::Approve`]: whether this is the node's key.
    Approved {
        /// Which key.
        nk: NodeKey,
        /// Whether it is.
        yes: bool,
    },
}

/// What the device wants done, once its records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection to the device's node: [`SessionIn::Up`] or [`SessionIn::Unreached`] says how it went.
    Dial,
    /// Send a frame.
    Send(Frame),
    /// Close the connection, after what was sent. [`SessionIn::Down`] is not awaited, and does no harm.
    Close,
    /// This device has never met its node: is this its key? Answered by [`SessionIn::Approved`]. A host that has verified
    /// the connection's certificate for the node's name may answer by itself.
    Approve(NodeKey),
    /// Do something about the bytes of a file.
    Bytes(BytesOut),
    /// Something that the person, or a log, wants to know.
    Event(Event),
}
