//! What the SMTP sockets ask the node: who logs in, whose addresses these are, and to take a mail.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use postline_core::content::mail::MailEnvelope;
use postline_core::id::{Address, Domain, MailId, Mailbox};

use super::lmtp::Each;
use crate::spool::{Incoming, Staged};

/// The node, as the SMTP sockets see it.
pub trait Door: Send + Sync + 'static {
    /// The name that the node calls itself.
    fn hostname(&self) -> &Domain;

    /// Whom `<postmaster>` without a domain means: the postmaster of the node's first domain.
    fn postmaster(&self) -> Address;

    /// Whose login this is, of a client at `peer`. Takes as long for names that don't exist (attack 106).
    fn login(&self, user: &str, password: &str, peer: IpAddr) -> impl Future<Output = Login> + Send;

    /// Whether `address` may be written as by the owner of `login`.
    fn owns(&self, login: &Mailbox, address: &Address) -> bool;

    /// Where mail to `address` goes.
    fn resolve(&self, address: &Address) -> Resolved;

    /// Room for one mail's bytes.
    ///
    /// # Errors
    /// Those of the spool.
    fn begin(&self) -> io::Result<Incoming>;

    /// Takes a whole mail over: with [`Answer::Taken`] it is the node's, and durable.
    fn take(&self, arriving: Arriving) -> impl Future<Output = Answer> + Send;

    /// Takes a whole mail from the mail server beside us: what becomes of it for each recipient, in their order.
    fn take_each(&self, arriving: Arriving, beside: Beside) -> impl Future<Output = Vec<Each>> + Send;
}

/// For what the mail server beside us comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It brings mail for our users.
    Front,
    /// It brings its users' mail for elsewhere.
    Relay,
}

/// Whose a login is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// This user's.
    Of(Mailbox),
    /// Nobody's.
    No,
    /// Can't be said now.
    NotNow,
}

impl From<Option<Mailbox>> for Login {
    fn from(user: Option<Mailbox>) -> Self {
        user.map_or(Self::No, Self::Of)
    }
}

/// Where mail to an address goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Into this mailbox.
    Local(Mailbox),
    /// To a domain that isn't ours.
    Remote,
    /// The domain is ours, and nobody there has this name.
    Unknown,
    /// Can't be said now.
    NotNow,
}

/// A whole mail at the door.
#[derive(Debug)]
pub struct Arriving {
    /// Its id, random.
    pub id: MailId,
    /// Whose login brought it; `None` on port 25.
    pub login: Option<Mailbox>,
    /// From where it came.
    pub peer: SocketAddr,
    /// Its mail envelope. Recipients without a mailbox occur only with a login, and in mail for elsewhere.
    pub envelope: MailEnvelope,
    /// Whether who brought it asked for SMTPUTF8.
    pub utf8: bool,
    /// The `Received` field to put on top, name included, unfolded, without CRLF.
    pub received: String,
    /// Its bytes, hashed.
    pub staged: Staged,
}

/// What becomes of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is ours now, and durable.
    Taken,
    /// No room now.
    Busy,
    /// It goes round in circles (attack 102).
    Loop,
    /// Its header From isn't the login's.
    NotYours,
    /// It can't be taken, for this reason: ASCII, without controls.
    Refused(&'static str),
    /// Something of ours failed; it may come again.
    Broken,
}

impl Answer {
    /// It in one word, for counting.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Busy => "busy",
            Self::Loop => "loop",
            Self::NotYours => "not_yours",
            Self::Refused(_) => "refused",
            Self::Broken => "broken",
        }
    }
}
