//! How the command line talks to the running node: one JSON line asks, one JSON line answers, over a unix socket that
//! only the node's own user may open.
//!
//! ```text
//!   postline queue list ──{"ask":"queue_list",…}──▶ admin.sock ──▶ AdminHost (owner, store's read handle)
//!                       ◀──{"queue_list":{…}} or {"refused":{…}}──
//! ```
//!
//! The names of requests, answers and their keys are stable: `--json` prints answers as they came. What a request means
//! for the machines is the host's.

mod client;
mod server;

use postline_core::id::{Address, Domain, Lane};
use serde::{Deserialize, Serialize};

pub use client::{AskFault, ask};
pub use server::{AdminHost, ListenFault, Listener};

/// The longest request, in bytes.
pub const REQUEST_BYTES: usize = 16 * 1024;
/// The longest answer, in bytes.
pub const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// The most rows of an answer.
pub const ROWS: u32 = 10_000;

/// What the operator asks of the running node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the node is.
    Status {},
    /// What pairs of addresses are to each other.
    TrustList {
        /// Only pairs of which one address starts so; empty: all.
        prefix: String,
        /// At most so many, up to [`ROWS`].
        limit: u32,
    },
    /// What two addresses are to each other, in full.
    TrustShow(AskPair),
    /// Never again a line between two, until unblocked.
    TrustBlock(AskPair),
    /// Back to strangers.
    TrustUnblock(AskPair),
    /// The key that a suspended line's new round trip has proven is their node's.
    TrustAccept {
        /// The address on this node.
        #[serde(with = "text")]
        ours: Address,
        /// The correspondent's address.
        #[serde(with = "text")]
        theirs: Address,
        /// Which key, hex; where none is named, the one that is proposed now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node_key: Option<String>,
    },
    /// No line with anybody of a domain, until unblocked.
    TrustBlockDomain {
        /// Which.
        #[serde(with = "text")]
        domain: Domain,
    },
    /// As before it was blocked.
    TrustUnblockDomain {
        /// Which.
        #[serde(with = "text")]
        domain: Domain,
    },
    /// The domains that are blocked.
    TrustBlockedDomains {},
    /// Whether an address's mails take offers and accepts along.
    UserOffers {
        /// The address on this node.
        #[serde(with = "text")]
        address: Address,
        /// Whether.
        on: bool,
    },
    /// What waits.
    QueueList {
        /// At most so many, up to [`ROWS`].
        limit: u32,
    },
    /// Try what waits now.
    QueueRetry {
        /// On this lane only.
        #[serde(with = "lane_text", default, skip_serializing_if = "Option::is_none")]
        lane: Option<Lane>,
    },
    /// What happened to a mail.
    Trace {
        /// Its Message-ID, without angle brackets, or its id on this node.
        message_id: String,
    },
    /// Run a device for an address, whose person has only a mail program.
    DeviceHost {
        /// The address on this node.
        #[serde(with = "text")]
        address: Address,
    },
    /// Let a person's own device in, beside the one that the node runs for them.
    DeviceApprove {
        /// The address on this node.
        #[serde(with = "text")]
        address: Address,
        /// The code that the device shows.
        code: Code,
    },
    /// The clock is right after a jump.
    ClockAccept {},
    /// Read users, certificates and the configuration again, as on SIGHUP.
    Reload {},
    /// Take no new work, finish what is under way, and stop.
    Drain {},
}

impl Request {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// [`Refusal`] with [`RefusalCode::Malformed`], for whatever is no request.
    pub fn parse(line: &[u8]) -> Result<Self, Refusal> {
        if line.len() > REQUEST_BYTES {
            let why = format!("a request of more than {REQUEST_BYTES} bytes");
            return Err(Refusal::new(RefusalCode::Malformed, why));
        }
        // Where an object is wanted, the library also takes its values in order, without names.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(Refusal::new(RefusalCode::Malformed, "want an object"));
        }
        serde_json::from_slice(line).map_err(|why| Refusal::new(RefusalCode::Malformed, why.to_string()))
    }
}

/// A code that a new device shows: a secret for as long as it holds, and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub String);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(..)")
    }
}

/// Two addresses, ours first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskPair {
    /// The address on this node.
    #[serde(with = "text")]
    pub ours: Address,
    /// The correspondent's address.
    #[serde(with = "text")]
    pub theirs: Address,
}

impl From<AskPair> for postline_core::id::Pair {
    fn from(AskPair { ours, theirs }: AskPair) -> Self {
        Self { ours, theirs }
    }
}

/// What the node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done, or under way.
    Done {},
    /// The configuration was read again.
    Reloaded {
        /// The changed keys that take effect at the next start.
        waits_for_restart: Vec<String>,
    },
    /// How the node is.
    Status(Box<Status>),
    /// What pairs are to each other.
    TrustList {
        /// One row a pair.
        pairs: Vec<TrustRow>,
        /// Whether there are more.
        more: bool,
    },
    /// What two addresses are to each other.
    TrustShow(TrustRow),
    /// The domains that are blocked.
    BlockedDomains {
        /// Which.
        domains: Vec<String>,
    },
    /// What waits.
    QueueList {
        /// One row a mail and lane.
        entries: Vec<QueueRow>,
        /// Whether there are more.
        more: bool,
    },
    /// What happened to a mail, oldest first; empty where nothing is known.
    Trace {
        /// One row an event.
        events: Vec<TraceRow>,
    },
    /// It can't be done.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind, for programs.
    pub code: RefusalCode,
    /// The rest, for people.
    pub message: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request is none.
    Malformed,
    /// What it names isn't there.
    NotFound,
    /// It was not done in time, or the node is going down.
    Busy,
    /// The node failed.
    Failed,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// Its key, hex.
    pub node_key: String,
    /// The domains that it serves.
    pub domains: Vec<String>,
    /// Where it listens: role to addresses, ports as they are.
    pub listen: std::collections::BTreeMap<String, Vec<String>>,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// Whether it is going down.
    pub draining: bool,
    /// Whether nothing expires until `clock accept`.
    pub clock_held: bool,
    /// How often its store was started from a backup.
    pub store_generation: u64,
    /// The keys of the nodes to which a link is up, hex.
    pub links: Vec<String>,
    /// How many mails wait, by kind of lane: `mailbox`, `domain`, `node`.
    pub queued: std::collections::BTreeMap<String, u64>,
    /// How many commits its store made since the start: one sync each.
    pub commits: u64,
    /// How many connections it opened to other servers and nodes since the start.
    pub connections: u64,
    /// How many milter clients spoke what is no milter session, since the start.
    #[serde(default)]
    pub milter_faults: u64,
    /// How many users it has.
    pub users: u64,
    /// What the operator should look at.
    pub warnings: Vec<String>,
}

/// What two addresses are to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRow {
    /// The address on this node.
    pub ours: String,
    /// The correspondent's address.
    pub theirs: String,
    /// In one word: see [`words::trust`](crate::words::trust).
    pub state: String,
    /// What is proven of their keys, where both have a line: see [`words::keys`](crate::words::keys).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// The key of their node, hex, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_key: Option<String>,
    /// The key that waits for the person's word, hex, where the line is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_key: Option<String>,
    /// When the state falls back, in milliseconds since 1970, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// How many own offers stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<u64>,
    /// How many of their offers are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
}

/// A mail that waits on a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Its id on this node.
    pub mail: String,
    /// The lane: see [`words::lane`](crate::words::lane).
    pub lane: String,
    /// Its Message-ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// For whom.
    pub rcpts: Vec<String>,
    /// When this node took it, in milliseconds since 1970.
    #[serde(default)]
    pub since_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, in milliseconds since 1970; nothing while an attempt runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
    /// What the last attempt met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One event of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRow {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The [`Line`](crate::log::Line).
    #[serde(flatten)]
    pub line: serde_json::Map<String, serde_json::Value>,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Values that are written as their text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A lane, written as [`words::lane`](crate::words::lane).
mod lane_text {
    use postline_core::id::Lane;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(lane: &Option<Lane>, to: S) -> Result<S::Ok, S::Error> {
        lane.as_ref().map(crate::words::lane).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lane>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| crate::words::parse_lane(&text)).transpose().map_err(serde::de::Error::custom)
    }
}
