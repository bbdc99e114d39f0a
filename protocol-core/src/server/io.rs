//! What the front door takes and gives. The host's whole vocabulary stands on this page.

use crate::content::mail::{FieldName, Filtered, Letter, MailIn};

pub use crate::content::evidence::{Dkim, DkimPass, Evidence};
use crate::fault::{Code, PeerFault};
use crate::id::{
    Address, BlobRef, CarryId, DeviceKey, Domain, Hash, Lane, LinkId, MailId, Mailbox, NodeKey, Pair, SessionId,
};
pub use crate::machine::link::LinkOut;
pub use crate::machine::trust::TrustState;
use crate::time::Millis;
pub use crate::wire::file::{BytesIn, BytesOut};
use crate::wire::frame::{Carry, Frame, Reached};
use crate::wire::talk::Password;

/// What the world tells the front door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A mail came by SMTP. Its id is 16 random bytes of the host's.
    Mail(MailId, MailIn),
    /// A mail that another keeps wants our fields: answered by [`Output::Stamp`]. Its id is 16 random bytes of the host's,
    /// and what its `Postline-Id` calls it.
    Filter(MailId, Box<Filtered>),
    /// What was found out about the node that a mail's field names.
    Evidence(MailId, Evidence),
    /// Something happened on a link.
    Link(LinkId, LinkIn),
    /// A dial failed: nobody answered, or there is nowhere to dial.
    Unreached(Dial),
    /// Something happened on a session of a device.
    Session(SessionId, SessionIn),
    /// How a delivery that was asked for went.
    Report(SendId, Outcome),
    /// A person or an operator wants something.
    Command(Command),
    /// The time of [`deadline`](crate::step::Machine::deadline) has come.
    Wake,
    /// The batch ends here: the last step before each commit. What is said once for many steps is said now.
    BatchEnd,
}

/// What happens on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkIn {
    /// A connection is up, TLS done.
    Up {
        /// The dial that it answers; `None` where the peer dialled.
        dialled: Option<Dial>,
        /// This connection's TLS exporter (RFC 8446 §7.5), label `EXPORTER-postline-1`, no context.
        exporter: [u8; 32],
    },
    /// A frame came. A Carry comes as [`LinkIn::Carry`].
    Frame(Frame),
    /// A Carry came; `mail` where its body came with it.
    Carry(Carry, Option<Box<MailIn>>),
    /// A body that was to be fetched: so many bytes of it are already here.
    Have {
        /// Which.
        blob: Hash,
        /// How many.
        bytes: u64,
    },
    /// A body is whole and its hash is right. The mail's mailboxes are looked up by the host.
    Body(BlobRef, Box<MailIn>),
    /// A body is whole and its hash is wrong; the host has dropped it.
    Spoiled(BlobRef),
    /// Something became of the bytes of a file.
    Bytes(BytesIn),
    /// Bytes came that are no frame. The host closes the connection after our answer.
    Garbage(PeerFault),
    /// The connection is gone.
    Down,
}

/// What happens on a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionIn {
    /// A device has connected, TLS done.
    Up {
        /// This connection's TLS exporter (RFC 8446 §7.5), label `EXPORTER-postline-1`, no context; for a browser
        /// [`wire::session::browser`](crate::wire::session::browser) of the host name that it dialled.
        channel: [u8; 32],
    },
    /// A frame came.
    Frame(Frame),
    /// The answer to [`SessionOut::CheckLogin`]: `None` where user or password are wrong. A host that can't tell now
    /// closes instead.
    Login(Option<LoginOk>),
    /// Something became of the bytes of a file.
    Bytes(BytesIn),
    /// Bytes came that are no frame. The host closes the connection after our answer.
    Garbage(PeerFault),
    /// The connection is gone.
    Down,
}

/// A mailbox login that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginOk {
    /// Whose mailbox it is.
    pub mailbox: Mailbox,
    /// The addresses that it may speak for.
    pub addresses: Vec<Address>,
}

/// What to do on a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOut {
    /// Send a frame.
    Send(Frame),
    /// Check a mailbox login, and say [`SessionIn::Login`], in a time that doesn't tell why.
    CheckLogin {
        /// The user name.
        user: String,
        /// The password.
        password: Password,
    },
    /// Do something about the bytes of a file, for this device.
    Bytes(DeviceKey, BytesOut),
    /// Close, after what was sent.
    Close,
}

/// What a person or an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Never again a line between these two, until unblocked.
    Block(Pair),
    /// Back to strangers.
    Unblock(Pair),
    /// The line between these two was suspended, and [`Event::Proposed`] named this key: it is their node's.
    Readmit(Pair, NodeKey),
    /// No line with anybody of this domain, until unblocked; what each two are to each other is kept.
    BlockDomain(Domain),
    /// As before the domain was blocked.
    UnblockDomain(Domain),
    /// Whether mails of this address of ours take offers and accepts along; lines that there are stay. Without this
    /// word it is as [`Ours::offers`](super::Ours::offers) says.
    Offers(Address, bool),
    /// Try everything that waits on this lane now; `None`: on all.
    Retry(Option<Lane>),
    /// A device of one of our addresses is no more: its sessions end, and it must enrol anew.
    RevokeDevice(Address, DeviceKey),
    /// Take no new work, say Bye on every link and session: the node is going down.
    Drain,
}

/// One attempt to hand a letter over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId {
    /// On which lane.
    pub lane: Lane,
    /// Which mail.
    pub mail: MailId,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// How an attempt went, recipient by recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// One result for each recipient of the attempt, in its order.
    pub rcpts: Vec<RcptOutcome>,
}

/// How it went for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RcptOutcome {
    /// Handed over; for a mailbox: durable there.
    Done,
    /// Not now.
    Later(String),
    /// Never.
    Failed(String),
}

/// What the front door wants done, once its records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The answer to [`Input::Mail`].
    Took(MailId, Took),
    /// The answer to a mail from the server beside us, [`Source::Front`](crate::content::mail::Source::Front) or
    /// [`Source::Relay`](crate::content::mail::Source::Relay): for these recipients it is ours now, for all others it
    /// isn't. A mail that loops is answered by [`Output::Took`].
    TookFor(MailId, Vec<Address>),
    /// The answer to [`Input::Filter`]: the fields to add, each `Name: value`, unfolded, without CRLF.
    Stamp(MailId, Vec<String>),
    /// Put a letter into a mailbox. The file's name comes from the id, so that doing it twice is doing it once.
    Deliver(SendId, Mailbox, Vec<Address>, Letter),
    /// Hand a letter over by SMTP, recipient by recipient.
    Smtp(SendId, Domain, Vec<Address>, Letter),
    /// Find out what is known about the node that the mail's field names, from the bytes as they came.
    Seek(MailId, Seek),
    /// Open a connection to a node: [`LinkIn::Up`] or [`Input::Unreached`] says how it went.
    Dial(Dial),
    /// Do something on a connection.
    Link(LinkId, LinkOut),
    /// Do something on a session.
    Session(SessionId, SessionOut),
    /// Something that people, logs, or metrics want to know.
    Event(Event),
}

/// How an arriving mail was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// Ours now: 250.
    Yes,
    /// No room now: 452.
    Busy,
    /// Looping: 554.
    Loop,
}

/// What to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Evaluate the DKIM signatures over these bytes.
    Dkim(BlobRef),
    /// Ask the domain which key is its node's.
    Domain(Domain),
}

/// Whom to dial. Discovery (SRV, else the hint within the mail domain) and the address check are the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Which node, by the key that it was first known by: which key it must prove now is the front door's to know.
    pub nk: NodeKey,
    /// The domain we speak for.
    pub ours: Domain,
    /// The domain we call.
    pub theirs: Domain,
    /// The `h=` of its field, `host:port`.
    pub hint: Option<String>,
}

/// What people, logs and metrics want to know. Never a body, never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A mail arrived and was taken.
    Arrived {
        /// Which.
        mail: MailId,
        /// Its Message-ID.
        message_id: Option<String>,
        /// By what.
        carrier: Carrier,
        /// Why it has no protocol effect, where it hasn't.
        inert: Option<crate::content::mail::Inert>,
    },
    /// A mail that another keeps got our fields.
    Stamped {
        /// Which.
        mail: MailId,
        /// Its Message-ID.
        message_id: String,
        /// Which fields.
        fields: Vec<FieldName>,
    },
    /// The same mail came again by another carrier, and was not shown again.
    Duplicate {
        /// Which.
        mail: MailId,
        /// By what it came again.
        carrier: Carrier,
    },
    /// A mail reached a mark for some recipients.
    Marked {
        /// Which.
        mail: MailId,
        /// Its Message-ID.
        message_id: Option<String>,
        /// For whom.
        rcpts: Vec<Address>,
        /// How far.
        mark: Mark,
        /// By what.
        carrier: Carrier,
    },
    /// A mail waits for its next attempt.
    Waits {
        /// Which.
        mail: MailId,
        /// Where.
        lane: Lane,
        /// Until when.
        until: Millis,
        /// What the last attempt met.
        why: String,
    },
    /// What two addresses are to each other changed.
    Trust {
        /// Which.
        pair: Pair,
        /// What it was.
        from: TrustState,
        /// What it is.
        to: TrustState,
    },
    /// The line between two is suspended, and another key of their node has come through a new round trip of mails: the
    /// person may take it, by [`Command::Readmit`].
    Proposed {
        /// Which.
        pair: Pair,
        /// The key.
        nk: NodeKey,
    },
    /// A node changed its key to the one that it had announced: it is the same node, and everything stays.
    Rotated {
        /// Which node: the key that it was first known by.
        nk: NodeKey,
        /// The key that it had.
        from: NodeKey,
        /// The key that it has.
        to: NodeKey,
    },
    /// A link came up.
    LinkUp {
        /// With which node.
        nk: NodeKey,
        /// On which connection.
        link: LinkId,
    },
    /// A link went down.
    LinkDown {
        /// With which node.
        nk: NodeKey,
        /// Why, in the codes of the wire.
        code: Code,
    },
    /// A peer erred and was refused.
    Refused {
        /// Who, as far as is known.
        peer: Peer,
        /// How it erred.
        why: PeerFault,
    },
    /// What is proven of the keys of two who have a line changed.
    Keys {
        /// Which two.
        pair: Pair,
        /// What it was.
        from: KeysState,
        /// What it is.
        to: KeysState,
    },
    /// A device of a person is there.
    SessionUp {
        /// On which session.
        session: SessionId,
        /// Whose.
        address: Address,
        /// Which.
        dk: DeviceKey,
    },
    /// It is gone.
    SessionDown {
        /// From which session.
        session: SessionId,
        /// Whose.
        address: Address,
        /// Which.
        dk: DeviceKey,
        /// Why, in the codes of the wire.
        code: Code,
    },
    /// A device was enrolled by a mailbox login.
    Enrolled {
        /// Whose.
        address: Address,
        /// Which.
        dk: DeviceKey,
        /// By whose login.
        mailbox: Mailbox,
    },
    /// A device is enrolled no more.
    Unenrolled {
        /// Whose.
        address: Address,
        /// Which.
        dk: DeviceKey,
    },
    /// An express mail's mark, of which no queue entry is left.
    LateMark {
        /// Which.
        id: CarryId,
        /// How far.
        reached: Reached,
    },
}

/// What is proven of the keys of two who have a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeysState {
    /// Not both sides': L2.
    #[default]
    Unproven,
    /// Both persons' address keys, for this line: L3.
    Proven,
    /// Another address key of theirs came, outside the chain of their lists (attacks 10, 15): no L3 any more.
    Suspended,
}

/// What brings a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// A user's submission.
    Submission,
    /// SMTP between servers.
    Smtp,
    /// The mail server beside us, with what its users write.
    Relay,
    /// A link.
    Link,
    /// A sealed conversation, by a device that we run.
    Sealed,
    /// Into a mailbox of ours.
    Mailbox,
}

/// How far a mail got for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Ours to bring.
    Queued,
    /// The recipient's server, or node, has it.
    Sent,
    /// Durable in the recipient's mailbox.
    Delivered,
    /// Given up, and why.
    Failed(String),
}

/// Who a peer is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address, by mail.
    Pair(Pair),
    /// A node that proved its key.
    Node(NodeKey),
    /// A connection that proved nothing yet.
    Link(LinkId),
    /// A session that proved nothing yet.
    Session(SessionId),
    /// A device that is enrolled here.
    Device(DeviceKey),
}
