//! What the node says to its operator: structured lines on stderr, one for each thing that happens to a mail, a pair or a
//! link.
//!
//! ```text
//!   Event ──▶ Line ──┬─▶ log: text or JSON, peers' strings escaped and bounded
//!                    └─▶ trace: JSON, kept by the store under the mail's id
//! ```
//!
//! Never a body, never a secret: lines are made of events, and events have neither. Other crates are heard from `warn` up
//! only, since what they say at lower levels is not ours to vouch for (attacks 89, 104).

mod line;

use std::io::IsTerminal as _;

use postline_core::id::{MailId, Mailbox};
use postline_core::server::Event;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::config::{Log, LogFormat, LogLevel};
use crate::shown::{ADDRESS_BYTES, shown};
pub use line::Line;

/// Logs to stderr from here on, for the whole process.
///
/// # Errors
/// Where something logs already.
pub fn install(log: Log) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(log, std::io::stderr, std::io::stderr().is_terminal()))
}

/// What [`install`] installs, writing elsewhere.
pub fn subscriber<W>(log: Log, writer: W, colour: bool) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // `LevelFilter`s rise with what they let through.
    let ours = ["postline", "postline_node", "postline_core", "postline_codec"].map(|target| (target, level));
    let filter = Targets::new().with_targets(ours).with_default(level.min(LevelFilter::WARN));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    match log.format {
        LogFormat::Text => Box::new(tracing_subscriber::registry().with(layer.with_filter(filter))),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            Box::new(tracing_subscriber::registry().with(layer.with_filter(filter)))
        }
    }
}

/// Logs an event, in one line.
pub fn mail_line(event: &Event) {
    let line = Line::of(event);
    let rcpts = (!line.rcpts.is_empty()).then(|| line.rcpts.join(" "));
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                target: "postline",
                event = line.event,
                mail = line.mail,
                express = line.express,
                message_id = line.message_id,
                carrier = line.carrier,
                inert = line.inert,
                fields = line.fields,
                rcpts,
                more_rcpts = line.more_rcpts,
                mark = line.mark,
                lane = line.lane,
                until_ms = line.until_ms,
                ours = line.ours,
                theirs = line.theirs,
                from = line.from,
                to = line.to,
                node = line.node,
                link = line.link,
                why = line.why,
            )
        };
    }
    if line.is_loud() { say!(warn) } else { say!(info) }
}

/// What is kept of an event for `postline trace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// The mail's id, under which it is found.
    pub mail: MailId,
    /// Its Message-ID as it stands in the mail, at most 998 bytes, under which it is found too: at its arrival only, since
    /// one line that knows both leads to all others, and each costs a page of an index.
    pub message_id: Option<String>,
    /// The [`Line`], as JSON of at most [`TRACE_LINE_BYTES`](postline_core::limits::TRACE_LINE_BYTES).
    pub json: String,
}

/// What is kept of an event; `None` for events about no single mail.
#[must_use]
pub fn trace_line(event: &Event) -> Option<TraceLine> {
    trace_line_of(event, None)
}

/// What is kept of an event, and whose login brought the mail that it is about; `None` for events about no single mail.
#[must_use]
pub fn trace_line_of(event: &Event, login: Option<&Mailbox>) -> Option<TraceLine> {
    let (mail, message_id) = match event {
        Event::Arrived { mail, message_id, .. } => (*mail, message_id.clone()),
        Event::Stamped { mail, message_id, .. } => (*mail, Some(message_id.clone())),
        Event::Marked { mail, .. } | Event::Duplicate { mail, .. } | Event::Waits { mail, .. } => (*mail, None),
        Event::Trust { .. }
        | Event::Proposed { .. }
        | Event::Rotated { .. }
        | Event::LinkUp { .. }
        | Event::LinkDown { .. }
        | Event::Refused { .. }
        | Event::Keys { .. }
        | Event::SessionUp { .. }
        | Event::SessionDown { .. }
        | Event::Enrolled { .. }
        | Event::Unenrolled { .. }
        | Event::LateMark { .. } => return None,
    };
    let login = login.map(|login| shown(&login.0, ADDRESS_BYTES));
    let json = serde_json::to_string(&Line { login, ..Line::of(event) }).ok()?;
    Some(TraceLine { mail, message_id: message_id.filter(|id| id.len() <= 998), json })
}
