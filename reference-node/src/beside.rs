//! Beside another mail server (Postfix with Dovecot, say), which keeps its users, its filters and its queue.
//!
//! ```text
//!  user ──submission──▶ Postfix smtpd ──milter──▶ node   takes off foreign Postline-*, puts ours on; keeps nothing
//!                          │ default_transport
//!                          ▼
//!                   lmtp_out ── has a line ──▶ link
//!                          └─ all else ─▶ reinject: another smtpd of Postfix ─▶ Internet
//!  Internet ─▶ Postfix ── virtual_transport ──▶ lmtp_in ─▶ deliver: Dovecot's LMTP, or our Maildirs
//! ```
//!
//! **Who has a mail.** What goes on as mail is handed on before Postfix gets its reply, recipient by recipient, and the
//! reply is what the next server said. So a mail is in one queue at a time: Postfix keeps what was put off, returns what
//! was refused, and has it again where this node died in the middle. The node's own are express mails, until they are in
//! the other node's hands or, after a minute, in Postfix's again; and what links bring, until Dovecot has it.
//!
//! **Who may write as whom.** A mail from `lmtp_out` is its author's if it bears an id that we signed over these very bytes.
//! The milter signs one for each mail of a login that may speak for its From. So who can talk to these sockets can
//! write as anybody here: on a machine with other people's shells, use unix sockets that only Postfix may reach.
//!
//! **Loops.** Each pass through `lmtp_out` and through the reinjecting smtpd adds a `Received`. A mail with more than
//! [`HOPS`](postline_core::limits::HOPS) is refused with 5.4.6, and Postfix tells its sender.
//!
//! What Postfix, the DKIM signer and Dovecot are told stands in `contrib/`, and is tried by `tests/live`. Postfix brings mail
//! for elsewhere by SMTP there, one recipient at a time, because only its SMTP client can go on past a node that is down
//! (`smtp_fallback_relay`); by LMTP it waits.
//! The milter lets mail without a login pass at its first command, so it may stand at port 25 too.
//!
//! ```toml
//! [beside]
//! milter = "127.0.0.1:7680"
//! lmtp_in = "127.0.0.1:7681"
//! lmtp_out = "127.0.0.1:7682"
//! reinject = "127.0.0.1:10026"
//! deliver = "unix:/run/dovecot/lmtp"
//!
//! [listen]
//! smtp = []
//! submission = []
//! submissions = []
//! ```

mod passing;
pub mod place;

pub use place::{Listener, Place, Stream};

/// What of the node stands beside another mail server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// `milter`: where it asks us to stamp its users' mail.
    pub milter: Option<Place>,
    /// `lmtp_in`: where it brings mail for our users.
    pub lmtp_in: Option<Place>,
    /// `lmtp_out`: where it brings its users' mail for elsewhere.
    pub lmtp_out: Option<Place>,
    /// `reinject`: where mail for elsewhere goes on, by SMTP.
    pub reinject: Option<Place>,
    /// `deliver`: where mail for our users goes on, by LMTP; `None`: into our Maildirs.
    pub deliver: Option<Place>,
}
