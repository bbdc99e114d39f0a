//! One event as a line: the same fields for logs and traces, every string fit to be shown.

use postline_core::id::{Address, DeviceKey};
use postline_core::server::Event;
use postline_core::server::io::{Mark, Peer};
use postline_core::wire::frame::Reached;
use serde::Serialize;

use crate::shown::shown;
use crate::words;

/// The longest string of a peer's in a line, in bytes.
const TEXT_BYTES: usize = 256;
/// The most bytes of recipients in a line, so that it fits a trace's [`TRACE_LINE_BYTES`](postline_core::limits::TRACE_LINE_BYTES).
const RCPTS_BYTES: usize = 2 * 1024;

/// An event, as it is logged and traced. Keys are stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What happened, in one word.
    pub event: &'static str,
    /// The mail's id on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// What an express mail, of which no more is known, is called on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub express: Option<String>,
    /// Its Message-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<&'static str>,
    /// Whose login brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Why it has no protocol effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inert: Option<String>,
    /// Which fields of ours it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
    /// For whom: the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rcpts: Vec<String>,
    /// For how many more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_rcpts: Option<usize>,
    /// How far it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<&'static str>,
    /// Where it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Until when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Our address of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// The correspondent's address of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs: Option<String>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The other node's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<u64>,
    /// The session of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// The device's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Line {
    /// The line of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let text = |text: &String| shown(text, TEXT_BYTES);
        match event {
            Event::Arrived { mail, message_id, carrier, inert } => Self {
                event: "arrived",
                mail: Some(mail.to_string()),
                message_id: message_id.as_ref().map(text),
                carrier: Some(words::carrier(*carrier)),
                inert: inert.map(|inert| inert.to_string()),
                ..Self::default()
            },
            Event::Stamped { mail, message_id, fields } => Self {
                event: "stamped",
                mail: Some(mail.to_string()),
                message_id: Some(text(message_id)),
                fields: Some(fields.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(" ")),
                ..Self::default()
            },
            Event::Duplicate { mail, carrier } => Self {
                event: "duplicate",
                mail: Some(mail.to_string()),
                carrier: Some(words::carrier(*carrier)),
                ..Self::default()
            },
            Event::Marked { mail, message_id, rcpts, mark, carrier } => {
                let (mark, why) = mark_words(mark);
                let (rcpts, more_rcpts) = first_rcpts(rcpts);
                Self {
                    event: "marked",
                    mail: Some(mail.to_string()),
                    message_id: message_id.as_ref().map(text),
                    carrier: Some(words::carrier(*carrier)),
                    rcpts,
                    more_rcpts,
                    mark: Some(mark),
                    why: why.map(text),
                    ..Self::default()
                }
            }
            Event::Waits { mail, lane, until, why } => Self {
                event: "waits",
                mail: Some(mail.to_string()),
                lane: Some(words::lane(lane)),
                until_ms: Some(until.0),
                why: Some(text(why)),
                ..Self::default()
            },
            Event::Trust { pair, from, to } => Self {
                event: "trust",
                ours: Some(shown(&pair.ours.to_string(), TEXT_BYTES)),
                theirs: Some(shown(&pair.theirs.to_string(), TEXT_BYTES)),
                from: Some(words::trust(*from).into()),
                to: Some(words::trust(*to).into()),
                ..Self::default()
            },
            Event::Proposed { pair, nk } => Self {
                event: "key_proposed",
                ours: Some(shown(&pair.ours.to_string(), TEXT_BYTES)),
                theirs: Some(shown(&pair.theirs.to_string(), TEXT_BYTES)),
                node: Some(nk.to_string()),
                ..Self::default()
            },
            Event::Rotated { nk, from, to } => Self {
                event: "key_changed",
                node: Some(nk.to_string()),
                from: Some(from.to_string()),
                to: Some(to.to_string()),
                ..Self::default()
            },
            Event::LinkUp { nk, link } => {
                Self { event: "link_up", node: Some(nk.to_string()), link: Some(link.0), ..Self::default() }
            }
            Event::LinkDown { nk, code } => Self {
                event: "link_down",
                node: Some(nk.to_string()),
                why: Some(format!("{code:?}").to_lowercase()),
                ..Self::default()
            },
            Event::Refused { peer, why } => {
                let why = Some(shown(&why.to_string(), TEXT_BYTES));
                Self { event: "refused", why, ..Self::peer(peer) }
            }
            Event::Keys { pair, from, to } => Self {
                event: "keys",
                ours: Some(shown(&pair.ours.to_string(), TEXT_BYTES)),
                theirs: Some(shown(&pair.theirs.to_string(), TEXT_BYTES)),
                from: Some(words::keys(*from).into()),
                to: Some(words::keys(*to).into()),
                ..Self::default()
            },
            Event::SessionUp { session, address, dk } => {
                Self { session: Some(session.0), ..Self::device("session_up", address, dk) }
            }
            Event::SessionDown { session, address, dk, code } => Self {
                session: Some(session.0),
                why: Some(format!("{code:?}").to_lowercase()),
                ..Self::device("session_down", address, dk)
            },
            Event::Enrolled { address, dk, mailbox } => {
                let login = Some(shown(&mailbox.0, TEXT_BYTES));
                Self { login, ..Self::device("device_enrolled", address, dk) }
            }
            Event::Unenrolled { address, dk } => Self::device("device_gone", address, dk),
            Event::LateMark { id, reached } => Self {
                event: "late_mark",
                express: Some(id.to_string()),
                mark: Some(match reached {
                    Reached::Delivered => "delivered",
                    Reached::Failed => "failed",
                }),
                ..Self::default()
            },
        }
    }

    fn device(event: &'static str, address: &Address, dk: &DeviceKey) -> Self {
        let ours = Some(shown(&address.to_string(), TEXT_BYTES));
        Self { event, ours, device: Some(dk.to_string()), ..Self::default() }
    }

    fn peer(peer: &Peer) -> Self {
        match peer {
            Peer::Pair(pair) => Self {
                ours: Some(shown(&pair.ours.to_string(), TEXT_BYTES)),
                theirs: Some(shown(&pair.theirs.to_string(), TEXT_BYTES)),
                ..Self::default()
            },
            Peer::Node(nk) => Self { node: Some(nk.to_string()), ..Self::default() },
            Peer::Link(link) => Self { link: Some(link.0), ..Self::default() },
            Peer::Session(session) => Self { session: Some(session.0), ..Self::default() },
            Peer::Device(dk) => Self { device: Some(dk.to_string()), ..Self::default() },
        }
    }

    /// Whether the operator should look at it.
    pub(super) fn is_loud(&self) -> bool {
        let loud = ["key_proposed", "key_changed"].contains(&self.event);
        loud || self.mark == Some("failed") || self.to.as_deref() == Some("suspended")
    }
}

/// As many recipients as fit, and how many don't.
fn first_rcpts(rcpts: &[Address]) -> (Vec<String>, Option<usize>) {
    let mut room = RCPTS_BYTES;
    let fits = |text: &String| {
        let left = room.checked_sub(text.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let first: Vec<String> = rcpts.iter().map(|rcpt| shown(&rcpt.to_string(), 320)).take_while(fits).collect();
    let more = rcpts.len().saturating_sub(first.len());
    (first, (more > 0).then_some(more))
}

const fn mark_words(mark: &Mark) -> (&'static str, Option<&String>) {
    match mark {
        Mark::Queued => ("queued", None),
        Mark::Sent => ("sent", None),
        Mark::Delivered => ("delivered", None),
        Mark::Failed(why) => ("failed", Some(why)),
    }
}
