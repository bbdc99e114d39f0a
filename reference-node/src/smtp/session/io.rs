//! What a session is told, and what it wants.

use std::net::IpAddr;

use postline_core::content::mail::MailEnvelope;
use postline_core::id::{Address, Domain, MailId, Mailbox};

use crate::smtp::door::{Answer, Login, Resolved};
use crate::smtp::lmtp::Each;
use crate::smtp::login::Credentials;

/// Whom a session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Our own users, logged in.
    Submission,
    /// Every server, for our mailboxes only.
    Mx,
    /// The mail server beside us, by LMTP, for our mailboxes only.
    Front,
    /// The mail server beside us, for elsewhere: by LMTP, or by SMTP with one recipient a mail, so that each has their own
    /// reply there too. A Postfix that speaks SMTP here can go on past a node that is down (`smtp_fallback_relay`).
    Relay,
}

impl Role {
    /// Whether it speaks LMTP.
    pub(super) const fn is_lmtp(self) -> bool {
        matches!(self, Self::Front | Self::Relay)
    }
}

/// What a session needs to know from its start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whom it serves.
    pub role: Role,
    /// What the node calls itself.
    pub host: Domain,
    /// Whom `<postmaster>` means.
    pub postmaster: Address,
    /// Where the client is.
    pub peer: IpAddr,
    /// Whether TLS stands already.
    pub secured: bool,
}

/// What a session is told.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Bytes came, at best no more than [`Session::appetite`](super::Session::appetite).
    Bytes(&'a [u8]),
    /// TLS stands.
    Secured,
    /// The answer to [`Question::Login`].
    Login(Login),
    /// The answer to [`Question::Sender`].
    Owned(bool),
    /// The answer to [`Question::Rcpt`].
    Resolved(Resolved),
    /// The answer to [`Question::Begin`]: the mail's id, or why it can't begin.
    Begun(Result<MailId, Answer>),
    /// The answer to [`Question::Take`].
    Taken(Answer),
    /// The same in LMTP: an answer for each recipient, in the order of the mail envelope.
    TakenEach(Vec<Each>),
    /// The node is going down.
    Drain,
    /// The time of [`Session::deadline`](super::Session::deadline) has come.
    Wake,
}

/// What a session wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes, at the latest before the next read.
    Say(Vec<u8>),
    /// Add these bytes to the mail that began.
    Data(Vec<u8>),
    /// Drop the mail that began.
    Drop,
    /// Ask the door, and bring the answer. Always the last of a step.
    Ask(Question),
    /// Write what is unsaid, then begin TLS. Always the last of a step.
    StartTls,
    /// Write what is unsaid, then close. Always the last of all.
    Close,
}

/// What a session asks the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whose login is this?
    Login(Credentials),
    /// Does this address belong to this login?
    Sender(Mailbox, Address),
    /// Where does mail to this address go?
    Rcpt(Address),
    /// Is there room for a mail?
    Begin,
    /// Will you take the mail whose bytes have all been said?
    Take(Box<Whole>),
}

/// What a session knows of a whole mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The id that [`Input::Begun`] gave it.
    pub id: MailId,
    /// Whose login brought it.
    pub login: Option<Mailbox>,
    /// Its mail envelope.
    pub envelope: MailEnvelope,
    /// Whether the client asked for SMTPUTF8.
    pub utf8: bool,
    /// The `Received` field to put on top (RFC 5321 §4.4).
    pub received: String,
}

/// The caller brought an answer that nobody waits for. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer that the session did not ask for")]
pub struct Unasked;
