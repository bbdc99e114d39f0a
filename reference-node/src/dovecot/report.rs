//! What mailboxes reported, led back to the mails that this node delivered.
//!
//! ```text
//!   offer ──▶ bounded queue, bounded for each user ──▶ follow: which mail was it? ──▶ log, trace
//!     └ full: dropped, counted
//! ```
//!
//! Dovecot waits while a report is handed in, so that never waits. A report says where a mail with some Message-ID came to
//! lie; later ones name that place only. Places are kept as lines of the trace, for as long as it remembers. What is
//! reported of a mail that this node didn't bring to this user is passed over: a mail program may report what it likes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postline_core::id::{Address, Domain, Lane, MailId};
use postline_core::limits;
use postline_core::time::Millis;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use super::event::{Happened, What};
use super::who::User;
use crate::directory::Live;
use crate::doors;
use crate::operator::Operator;
use crate::owner::Message;
use crate::shown::{ADDRESS_BYTES, shown};
use crate::store::{About, TraceLine};

/// How often a mail is looked for whose delivery is being written this moment, and how long between.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(100);

/// A report from one mailbox.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose mailbox it is, as Dovecot names them.
    pub name: String,
    /// The same, understood.
    pub user: User,
    /// The mailbox's id.
    pub mailbox: String,
    /// What happened, in order.
    pub happened: Vec<Happened>,
}

/// Where reports are handed in. Clones share it.
#[derive(Clone, Debug)]
pub struct Reports {
    queue: Sender<Report>,
    waiting: Arc<Mutex<BTreeMap<String, usize>>>,
    dropped: Arc<AtomicU64>,
}

/// Too many reports wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reports wait; this one is dropped")]
pub struct Full;

/// The other end of [`Reports`].
#[derive(Debug)]
pub struct Waiting {
    queue: Receiver<Report>,
    waiting: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Reports {
    /// An empty queue, and its other end.
    #[must_use]
    pub fn new() -> (Self, Waiting) {
        let (queue, other) = mpsc::channel(limits::EVENTS_WAITING);
        let waiting = Arc::new(Mutex::new(BTreeMap::new()));
        (Self { queue, waiting: Arc::clone(&waiting), dropped: Arc::default() }, Waiting { queue: other, waiting })
    }

    /// Hands a report in, without ever waiting.
    ///
    /// # Errors
    /// [`Full`]: it is dropped.
    pub fn offer(&self, report: Report) -> Result<(), Full> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = waiting.get(&report.name).copied().unwrap_or(0);
        let name = report.name.clone();
        if of_user >= limits::EVENTS_WAITING_PER_USER || self.queue.try_send(report).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Err(Full);
        }
        waiting.insert(name, of_user + 1);
        Ok(())
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Waiting {
    /// The next report; `None` when nobody can hand one in any more.
    pub async fn next(&mut self) -> Option<Report> {
        let report = self.queue.recv().await?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(&report.name) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                waiting.remove(&report.name);
            }
        }
        Some(report)
    }
}

/// Follows reports to their mails.
pub struct Follower {
    /// The node.
    pub operator: Arc<Operator>,
    /// Its people.
    pub people: Arc<Live>,
    /// Its domains.
    pub domains: Vec<Domain>,
}

/// A line of the trace. Keys are stable.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    mail: String,
    user: &'a str,
    mailbox: &'a str,
    uid: u32,
}

impl Follower {
    /// Follows reports until nobody can hand one in any more.
    pub async fn run(self, mut waiting: Waiting) {
        while let Some(report) = waiting.next().await {
            for happened in &report.happened {
                self.follow(&report, happened).await;
            }
        }
    }

    async fn follow(&self, report: &Report, happened: &Happened) {
        let name = shown(&report.name, ADDRESS_BYTES);
        let place = format!("{name}/{}/{}/{}", report.mailbox, happened.validity, happened.uid);
        let (event, mails, key) = match &happened.what {
            What::New(id) | What::Copy(id) => ("in_mailbox", self.of_message_id(&report.user, id).await, Some(&place)),
            What::Read => ("seen_in_mailbox", self.at_place(&name, &place).await, None),
            What::Gone => ("gone_from_mailbox", self.at_place(&name, &place).await, None),
        };
        for mail in mails {
            let line = Line { event, mail: mail.to_string(), user: &name, mailbox: &report.mailbox, uid: happened.uid };
            if self.said(mail, &line).await {
                continue;
            }
            tracing::info!(target: "postline", event, mail = %mail, user = name, mailbox = report.mailbox, uid = happened.uid);
            let Ok(line) = serde_json::to_string(&line) else { continue };
            let line = TraceLine { at: Millis::default(), message_id: key.cloned(), mail: Some(mail), line };
            let (done, durable) = oneshot::channel();
            if self.operator.inbox.send(Message::Trace(vec![line], done)).await.is_ok() {
                // Where the commit failed, the line is lost; the mail itself isn't concerned.
                let _lost = durable.await;
            }
        }
    }

    /// The mails with a Message-ID that this node brought to a user, or is bringing them now.
    async fn of_message_id(&self, user: &User, id: &str) -> Vec<MailId> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let mut mails = self.delivered(user, id).await;
            mails.extend(self.under_way(user, id).await);
            mails.sort_unstable();
            mails.dedup();
            if !mails.is_empty() {
                return mails;
            }
        }
        Vec::new()
    }

    async fn delivered(&self, user: &User, id: &str) -> Vec<MailId> {
        let people = self.people.current();
        let theirs = |line: &TraceLine| {
            let line = read(line);
            let rcpts = line.get("rcpts").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut rcpts = rcpts.iter().filter_map(Value::as_str).filter_map(|rcpt| Address::parse(rcpt).ok());
            line.get("mark").and_then(Value::as_str) == Some("delivered")
                && rcpts.any(|rcpt| user.owns(&people, &self.domains, &rcpt))
        };
        let lines = self.lines(About::MessageId(id.to_owned())).await;
        lines.iter().filter(|line| theirs(line)).filter_map(|line| line.mail).collect()
    }

    async fn under_way(&self, user: &User, id: &str) -> Vec<MailId> {
        let (people, domains, user, id) = (self.people.current(), self.domains.clone(), user.clone(), id.to_owned());
        let found = doors::look(&self.operator.inbox, move |look| {
            let lanes = look.server.lanes().filter(|(lane, _)| matches!(lane, Lane::Mailbox(_)));
            let waiting = lanes.flat_map(|(_, queue)| queue.entries());
            let theirs = waiting.filter(|shown| {
                shown.entry.letter.message_id.as_deref() == Some(id.as_str())
                    && shown.entry.rcpts.iter().any(|rcpt| user.owns(&people, &domains, rcpt))
            });
            theirs.map(|shown| shown.mail).take(limits::EVENTS_PER_MAIL).collect()
        });
        found.await.unwrap_or_default()
    }

    /// The mail that was put in a place.
    async fn at_place(&self, name: &str, place: &str) -> Vec<MailId> {
        let lines = self.lines(About::MessageId(place.to_owned())).await;
        let put = |line: &&TraceLine| {
            let said = read(line);
            let word = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            line.message_id.as_deref() == Some(place) && word("event") == "in_mailbox" && word("user") == name
        };
        lines.iter().rev().find(put).and_then(|line| line.mail).into_iter().collect()
    }

    /// Whether the trace says this already, or says enough of this kind: a mail program can't fill it.
    async fn said(&self, mail: MailId, line: &Line<'_>) -> bool {
        let lines = self.lines(About::Mail(mail)).await;
        let alike = lines.iter().map(read).filter(|said| {
            let is = |key: &str, want: &str| said.get(key).and_then(Value::as_str) == Some(want);
            is("event", line.event) && is("user", line.user)
        });
        let most = if line.event == "in_mailbox" { limits::EVENTS_PER_MAIL } else { 1 };
        alike.count() >= most
    }

    async fn lines(&self, about: About) -> Vec<TraceLine> {
        self.operator.told(about).await.unwrap_or_else(|why| {
            tracing::error!(target: "postline", %why, "a report can't be followed");
            Vec::new()
        })
    }
}

fn read(line: &TraceLine) -> Value {
    serde_json::from_str(&line.line).unwrap_or_default()
}
