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
//! # Postfix
//!
//! `main.cf` (3.3 or later; ports are free to choose):
//!
//! ```text
//! # The node comes before the DKIM signer, so that our fields are signed: its place in the list is what matters.
//! smtpd_milters = { inet:127.0.0.1:7680, connect_timeout=2s, command_timeout=10s, default_action=accept },
//!                 inet:127.0.0.1:8891
//! milter_protocol = 6
//! milter_default_action = accept
//! default_transport = lmtp:inet:127.0.0.1:7682
//! virtual_transport = lmtp:inet:127.0.0.1:7681
//! lmtp_destination_recipient_limit = 50
//! ```
//!
//! `master.cf`: the reinjecting smtpd. It has no milters (the mail is signed already), sends by `smtp`, and trusts this
//! machine alone:
//!
//! ```text
//! 127.0.0.1:10026 inet n - n - - smtpd
//!   -o syslog_name=postfix/reinject
//!   -o content_filter=smtp:
//!   -o smtpd_milters=
//!   -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_address_mappings,no_milters
//!   -o mynetworks=127.0.0.0/8
//!   -o smtpd_client_restrictions=permit_mynetworks,reject
//!   -o smtpd_helo_restrictions=
//!   -o smtpd_sender_restrictions=
//!   -o smtpd_relay_restrictions=permit_mynetworks,reject
//!   -o smtpd_recipient_restrictions=permit_mynetworks,reject
//!   -o smtpd_data_restrictions=
//!   -o smtpd_end_of_data_restrictions=
//!   -o smtpd_tls_security_level=none
//! ```
//!
//! The milter lets mail without a login pass at its first command, so it may stand at port 25 too; a service of
//! `master.cf` that only users reach can have it alone (`-o smtpd_milters=…`). Recipients of domains that are Postfix's own (`virtual_mailbox_domains`, `mydestination`) never reach `lmtp_out`, since
//! `default_transport` is for all others only. With the node stopped, milters are passed over, and the two LMTP transports
//! wait in Postfix's queue; `postconf -e default_transport=smtp virtual_transport=lmtp:unix:private/dovecot-lmtp` and
//! `postfix reload` let mail flow without it at once.
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
