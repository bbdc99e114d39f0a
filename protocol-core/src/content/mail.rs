//! A mail as the machines see it: its envelope, what its header says, and where its bytes are.
//!
//! The bytes themselves stay with the host; the codec reads them once and makes a [`Head`].
//!
//! ```text
//!   bytes ──codec──▶ Head ──host──▶ MailIn ──server──▶ Letter (a record) ──host──▶ bytes
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Address, BlobRef, Hash, Mailbox};

/// An arriving mail: everything a step needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailIn {
    /// Who handed it to us.
    pub source: Source,
    /// The mail envelope (RFC 5321 §2.3.1).
    pub envelope: MailEnvelope,
    /// What its header says.
    pub head: Head,
    /// Its bytes, header and body, as they came.
    pub blob: BlobRef,
    /// The `Received` field that the host will put on top, unfolded, without CRLF; empty where none is due.
    pub received: String,
}

/// Who handed a mail to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A user of ours, logged in.
    User {
        /// Whose login.
        login: Mailbox,
        /// The header From, where it is the envelope sender and belongs to the login. Only then is the mail theirs to
        /// carry offers and to go by link.
        author: Option<Address>,
    },
    /// Anyone, on port 25.
    Stranger,
    /// Another node, over its link.
    Node,
    /// A device that we run for a person of ours: what was said to them, sealed until here. Handed in again under the same
    /// id, it is shown once; no field of it has any effect.
    Hosted,
    /// The mail server beside us, with mail for our users: what we don't take for ours, the host hands on at once.
    Front,
    /// The mail server beside us, with its users' mail for elsewhere: what has no line, the host hands back at once.
    Relay {
        /// The mailbox of the envelope sender, where they are ours: who is told of a failure.
        sender: Option<Mailbox>,
    },
}

/// A mail that the mail server beside us keeps, and has us stamp: its author is a user of ours, and logged in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The envelope recipients, at most [`ENVELOPE_RECIPIENTS`](crate::limits::ENVELOPE_RECIPIENTS); who is beyond gets
    /// no offer.
    pub to: Vec<Rcpt>,
    /// What its header says. Its From is the envelope sender, and belongs to the login.
    pub canonical: Canonical,
}

/// The mail envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailEnvelope {
    /// The envelope sender; `None` is the null return path.
    pub from: Option<Address>,
    /// The envelope recipients, at most [`ENVELOPE_RECIPIENTS`](crate::limits::ENVELOPE_RECIPIENTS).
    pub to: Vec<Rcpt>,
}

/// One envelope recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rcpt {
    /// The address as the mail envelope names it.
    pub address: Address,
    /// The mailbox it resolves to, where it is ours.
    pub mailbox: Option<Mailbox>,
}

/// What a mail's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The Message-ID without angle brackets, for people who trace it; no rule depends on it.
    pub message_id: Option<String>,
    /// How many `Received` fields it has.
    pub hops: usize,
    /// Whether it may have any effect but to be shown.
    pub verdict: Verdict,
}

/// Canonical or inert: only canonical mail has protocol effect; everything is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every reader reads the same thing in it.
    Canonical(Box<Canonical>),
    /// Readers may differ; it is plain mail.
    Inert(Inert),
}

impl Head {
    /// What it says, where it may have effect.
    #[must_use]
    pub fn canonical(&self) -> Option<&Canonical> {
        match &self.verdict {
            Verdict::Canonical(canonical) => Some(canonical),
            Verdict::Inert(_) => None,
        }
    }
}

/// What a canonical mail says that the protocol reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The one address of the one From field.
    pub from: Address,
    /// The addresses of To and Cc, display names dropped.
    pub to_cc: BTreeSet<Address>,
    /// Whether To or Cc uses group syntax: then no offer goes along.
    pub has_group: bool,
    /// The one Message-ID, without angle brackets.
    pub message_id: String,
    /// The message ids of In-Reply-To and References, without angle brackets, In-Reply-To first.
    pub answers: Vec<String>,
    /// The sign of automatic or bulk mail that it bears: then it is never a reply, and gets no offer.
    pub automatic: Option<Automatic>,
    /// The tags of its `Postline-Offer`.
    pub offer: Option<Tags>,
    /// The tags of its `Postline-Accept`.
    pub accept: Option<Tags>,
    /// The tags of its `Postline-Id`.
    pub carried: Option<Tags>,
    /// SHA-256 over what a `Postline-Id` vouches for: Date and Subject, unfolded and trimmed, and the body without
    /// trailing empty lines ([F-4]).
    pub content: Hash,
}

/// The tags of a `Postline-*` field: name to text, after unfolding and removing white space.
pub type Tags = BTreeMap<String, String>;

/// The header fields of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldName {
    /// `Postline-Offer`.
    Offer,
    /// `Postline-Accept`.
    Accept,
    /// `Postline-Id`.
    Id,
}

impl FieldName {
    /// The field's name, as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "Postline-Offer",
            Self::Accept => "Postline-Accept",
            Self::Id => "Postline-Id",
        }
    }

    /// The field with these tags, unfolded, without CRLF: `v` first, `b` last.
    #[must_use]
    pub fn line(self, tags: &Tags) -> String {
        let of = |wanted: &'static str| tags.iter().filter(move |(name, _)| *name == wanted);
        let others = tags.iter().filter(|(name, _)| *name != "v" && *name != "b");
        let tags: Vec<String> =
            of("v").chain(others).chain(of("b")).map(|(name, text)| format!("{name}={text}")).collect();
        format!("{}: {}", self.as_str(), tags.join("; "))
    }
}

/// Signs that a mail was not written by a person to a person (RFC 3834 §2, RFC 2919, RFC 5322 §3.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automatic {
    /// `Auto-Submitted` other than `no`.
    AutoSubmitted,
    /// `Precedence: bulk`, `list` or `junk`.
    Precedence,
    /// Any `List-*` field.
    List,
    /// `multipart/report`: a DSN, an MDN, a feedback report.
    Report,
    /// `X-Autoreply` or `X-Autorespond`.
    Autoreply,
    /// Any `Resent-*` field.
    Resent,
    /// More recipients in To and Cc than [`OFFER_RECIPIENTS`](crate::limits::OFFER_RECIPIENTS).
    ManyRecipients,
}

/// Why a mail is inert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Inert {
    /// A bare CR, a bare LF, or a NUL.
    #[error("bare CR, bare LF or NUL")]
    LineEnds,
    /// More than the bounds of `limits` allow: size, fields, parts, depth, parameters, addresses.
    #[error("over a bound of the header or of the MIME structure")]
    Bound,
    /// A line of the header that is no field, an empty fold, white space before the colon.
    #[error("malformed header line")]
    HeaderLine,
    /// Bytes in the header that are no UTF-8, or controls.
    #[error("header is no clean UTF-8")]
    HeaderText,
    /// A field that must stand at most once stands twice.
    #[error("duplicate field")]
    Duplicate,
    /// From, Message-ID or Date is missing.
    #[error("missing field")]
    Missing,
    /// An address field that is not strictly a list of addresses.
    #[error("malformed address field")]
    Address,
    /// A Message-ID, In-Reply-To or References that is not strictly message ids.
    #[error("malformed message id")]
    MessageId,
    /// Content-Type or Content-Transfer-Encoding that readers read in different ways.
    #[error("malformed content type or encoding")]
    ContentType,
    /// A multipart whose boundaries readers find in different places.
    #[error("ambiguous multipart boundary")]
    Boundary,
    /// A `Postline-*` field that is not strictly tags.
    #[error("malformed postline field")]
    Field,
}

/// A mail as it waits in a queue: what its bytes are made of when they leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The envelope sender; `None` is the null return path.
    pub from: Option<Address>,
    /// Where the bytes come from.
    pub text: Text,
    /// Fields to put on top, each `Name: value`, unfolded, without CRLF, topmost first.
    pub stamp: Vec<String>,
    /// Whether `Postline-*` fields that came with the bytes are left out (a user brought them).
    pub strip: bool,
    /// The Message-ID, for people who trace it.
    pub message_id: Option<String>,
}

/// Where a letter's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// A mail as it came.
    Came(BlobRef),
    /// A delivery status notification (RFC 3464) about a mail as it came, rendered when it leaves.
    Report {
        /// The mail that failed.
        about: BlobRef,
        /// When it was given up, in milliseconds since 1970.
        at: crate::time::Millis,
        /// Which recipients failed, and why, in the words of the last answer.
        failed: Vec<(Address, String)>,
    },
}

impl Text {
    /// The body that must be kept for it.
    #[must_use]
    pub const fn blob(&self) -> BlobRef {
        match self {
            Self::Came(blob) | Self::Report { about: blob, .. } => *blob,
        }
    }
}
