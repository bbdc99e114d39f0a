//! What the node counts, for Prometheus: made of events and of looks at the owner, never of mail.
//!
//! ```text
//!   Event, commit ──▶ counters ──┐
//!   a look at the owner ──▶ gauges ──┴─▶ text/openmetrics (OpenMetrics 1.0)
//! ```
//!
//! Labels are words of ours from closed sets: no address, domain or key of anybody becomes one, so that neither a
//! stranger nor a busy node can grow the page.

use std::sync::Arc;
use std::time::Duration;

use postline_core::fault::Code;
use postline_core::id::Lane;
use postline_core::server::Event;
use postline_core::server::io::{Carrier, Mark};
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Talk;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::words;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The content type of [`Metrics::page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    arrived: Family<Labels<1>, Counter>,
    stamped: Counter,
    refused_mails: Family<Labels<1>, Counter>,
    duplicates: Family<Labels<1>, Counter>,
    marked: Family<Labels<2>, Counter>,
    waits: Family<Labels<1>, Counter>,
    trust: Family<Labels<1>, Counter>,
    links: Family<Labels<1>, Counter>,
    refused_peers: Family<Labels<1>, Counter>,
    sessions: Family<Labels<1>, Counter>,
    enrolled: Counter,
    talk: Family<Labels<2>, Counter>,
    sessions_up: Gauge,
    commits: Counter,
    commit_seconds: Histogram,
    commit_failures: Counter,
    connections: Counter,
    links_up: Gauge,
    users: Gauge,
    queued: Family<Labels<1>, Gauge>,
    oldest: Family<Labels<1>, Gauge>,
    clock_held: Gauge,
    draining: Gauge,
    uptime: Gauge,
    memory: Gauge,
    files: Gauge,
}

/// What a look at the node saw, for the gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Links that are up.
    pub links: u64,
    /// Sessions of devices that are up.
    pub sessions: u64,
    /// Users.
    pub users: u64,
    /// How many mails wait, and how long the oldest has, in seconds: by mailbox, by SMTP, by link.
    pub queued: [(u64, u64); 3],
    /// Whether the clock jumped and waits for the operator.
    pub clock_held: bool,
    /// Whether it is going down.
    pub draining: bool,
    /// Connections that it opened, ever.
    pub connections: u64,
    /// Seconds since it started.
    pub uptime: u64,
}

/// The lanes of [`Seen::queued`], in its order.
pub const LANES: [&str; 3] = ["mailbox", "domain", "node"];

/// What is counted of sealed conversations.
const TALK: [&str; 4] = ["post", "event", "heads", "delivered"];

const CARRIERS: [Carrier; 6] =
    [Carrier::Submission, Carrier::Smtp, Carrier::Relay, Carrier::Link, Carrier::Sealed, Carrier::Mailbox];

/// Where a lane stands in [`LANES`].
#[must_use]
pub const fn lane_index(lane: &Lane) -> usize {
    match lane {
        Lane::Mailbox(_) => 0,
        Lane::Domain(_) => 1,
        Lane::Node(_) => 2,
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(version: &'static str) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("postline"),
            arrived: Family::default(),
            stamped: Counter::default(),
            refused_mails: Family::default(),
            duplicates: Family::default(),
            marked: Family::default(),
            waits: Family::default(),
            trust: Family::default(),
            links: Family::default(),
            refused_peers: Family::default(),
            sessions: Family::default(),
            enrolled: Counter::default(),
            talk: Family::default(),
            sessions_up: Gauge::default(),
            commits: Counter::default(),
            // 0.1 ms to 3.3 s: from a disk with a cache that keeps its word to one that is dying.
            commit_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            commit_failures: Counter::default(),
            connections: Counter::default(),
            links_up: Gauge::default(),
            users: Gauge::default(),
            queued: Family::default(),
            oldest: Family::default(),
            clock_held: Gauge::default(),
            draining: Gauge::default(),
            uptime: Gauge::default(),
            memory: Gauge::default(),
            files: Gauge::default(),
        };
        metrics.register(version);
        metrics.begin();
        Arc::new(metrics)
    }

    /// Every series stands at zero from the start: a rate over one that appears with its first event would miss it.
    fn begin(&self) {
        let all = |family: &Family<Labels<1>, Counter>, name, values: &[&'static str]| {
            for value in values {
                drop(family.get_or_create(&[(name, *value)]));
            }
        };
        for family in [&self.arrived, &self.duplicates] {
            all(family, "carrier", &CARRIERS.map(words::carrier));
        }
        for mark in ["sent", "delivered", "failed"] {
            for carrier in CARRIERS {
                drop(self.marked.get_or_create(&[("mark", mark), ("carrier", words::carrier(carrier))]));
            }
        }
        all(&self.refused_mails, "answer", &["busy", "loop", "not_yours", "refused", "broken"]);
        all(&self.waits, "lane", &LANES);
        all(&self.trust, "to", &["trusted", "suspended", "revoked"]);
        all(&self.links, "change", &["up"]);
        all(&self.sessions, "change", &["up"]);
        for what in TALK {
            for way in ["in", "out"] {
                drop(self.talk.get_or_create(&[("what", what), ("way", way)]));
            }
        }
        all(&self.refused_peers, "code", &["protocol", "denied"]);
    }

    fn register(&mut self, version: &'static str) {
        let r = &mut self.registry;
        r.register("mails_arrived", "Mails taken, by what brought them", self.arrived.clone());
        r.register("mails_stamped", "Mails of another server that were given fields", self.stamped.clone());
        r.register("mails_refused", "Mails that were not taken, by answer", self.refused_mails.clone());
        r.register("mails_duplicate", "Mails that came again and were not shown again", self.duplicates.clone());
        r.register("mails_marked", "Recipients that a mail reached a mark for", self.marked.clone());
        r.register("attempts_failed", "Attempts after which a mail waits, by lane", self.waits.clone());
        r.register("trust_changes", "Pairs that came to a state", self.trust.clone());
        r.register("link_changes", "Links that came up, or went down and why", self.links.clone());
        r.register("session_changes", "Sessions of devices that came up, or went down and why", self.sessions.clone());
        r.register("devices_enrolled", "Devices enrolled by a mailbox login", self.enrolled.clone());
        r.register("talk", "What was heard and said about sealed conversations, by kind", self.talk.clone());
        r.register("sessions_up", "Sessions of devices that are up", self.sessions_up.clone());
        r.register("peers_refused", "Refusals of peers, by code", self.refused_peers.clone());
        r.register("commits", "Commits of the store", self.commits.clone());
        let time = self.commit_seconds.clone();
        r.register_with_unit("commit", "How long commits took, syncs included", Unit::Seconds, time);
        r.register(
            "commit_failures",
            "Commits that failed: nothing of them was acknowledged",
            self.commit_failures.clone(),
        );
        r.register("connections_opened", "Connections opened to servers and nodes", self.connections.clone());
        r.register("links_up", "Links that are up", self.links_up.clone());
        r.register("users", "Users", self.users.clone());
        r.register("queue_mails", "Mails that wait, by lane", self.queued.clone());
        let oldest = self.oldest.clone();
        r.register_with_unit("queue_oldest", "How long the oldest of them has waited", Unit::Seconds, oldest);
        r.register("clock_held", "1 while the clock jumped and waits for the operator", self.clock_held.clone());
        r.register("draining", "1 while the node is going down", self.draining.clone());
        r.register_with_unit("uptime", "Time since the node started", Unit::Seconds, self.uptime.clone());
        r.register_with_unit("memory", "Memory that the process has in use", Unit::Bytes, self.memory.clone());
        r.register("files_open", "Files and sockets that the process has open", self.files.clone());
        let build = Family::<Labels<1>, Gauge>::default();
        build.get_or_create(&[("version", version)]).set(1);
        r.register("build", "The node's version", build);
    }

    /// Counts what happened.
    pub fn event(&self, event: &Event) {
        let one = |family: &Family<Labels<1>, Counter>, name, value| {
            family.get_or_create(&[(name, value)]).inc();
        };
        match event {
            Event::Arrived { carrier, .. } => one(&self.arrived, "carrier", words::carrier(*carrier)),
            Event::Duplicate { carrier, .. } => one(&self.duplicates, "carrier", words::carrier(*carrier)),
            Event::Marked { rcpts, mark, carrier, .. } => {
                let mark = match mark {
                    Mark::Queued => "queued",
                    Mark::Sent => "sent",
                    Mark::Delivered => "delivered",
                    Mark::Failed(_) => "failed",
                };
                let labels = [("mark", mark), ("carrier", words::carrier(*carrier))];
                self.marked.get_or_create(&labels).inc_by(rcpts.len() as u64);
            }
            Event::Waits { lane, .. } => one(&self.waits, "lane", LANES.get(lane_index(lane)).copied().unwrap_or("")),
            Event::Trust { to, .. } => one(&self.trust, "to", words::trust(*to)),
            Event::Proposed { .. } => one(&self.trust, "to", "key_proposed"),
            Event::Rotated { .. } => one(&self.links, "change", "key_changed"),
            Event::LinkUp { .. } => one(&self.links, "change", "up"),
            Event::LinkDown { code, .. } => one(&self.links, "change", code_word(*code)),
            Event::Refused { why, .. } => one(&self.refused_peers, "code", code_word(why.code())),
            Event::Stamped { .. } => {
                self.stamped.inc();
            }
            Event::SessionUp { .. } => one(&self.sessions, "change", "up"),
            Event::SessionDown { code, .. } => one(&self.sessions, "change", code_word(*code)),
            Event::Enrolled { .. } => {
                self.enrolled.inc();
            }
            Event::Keys { .. } | Event::Unenrolled { .. } | Event::LateMark { .. } => {}
        }
    }

    /// Something about a sealed conversation was heard of a device or a node, or said to one: counted by its kind alone.
    pub fn talked(&self, frame: &Frame, way: &'static str) {
        #[allow(clippy::wildcard_enum_match_arm, reason = "only these are counted")]
        let what = match frame {
            Frame::Talk(Talk::Post(_)) => "post",
            Frame::Talk(Talk::Event(_)) => "event",
            Frame::Talk(Talk::Heads(_)) => "heads",
            Frame::Talk(Talk::Delivered { .. }) => "delivered",
            Frame::Whisper(_) => "whisper",
            _ => return,
        };
        self.talk.get_or_create(&[("what", what), ("way", way)]).inc();
    }

    /// A mail was not taken.
    pub fn refused(&self, why: &'static str) {
        self.refused_mails.get_or_create(&[("answer", why)]).inc();
    }

    /// A commit took so long.
    pub fn committed(&self, took: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A commit failed.
    pub fn commit_failed(&self) {
        self.commit_failures.inc();
    }

    /// The page, with the gauges as just seen; what the process uses is read here.
    #[must_use]
    pub fn page(&self, seen: &Seen) -> String {
        let gauge = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.links_up, seen.links);
        gauge(&self.sessions_up, seen.sessions);
        gauge(&self.users, seen.users);
        for (lane, (mails, oldest)) in LANES.into_iter().zip(seen.queued) {
            gauge(&self.queued.get_or_create(&[("lane", lane)]), mails);
            gauge(&self.oldest.get_or_create(&[("lane", lane)]), oldest);
        }
        gauge(&self.clock_held, u64::from(seen.clock_held));
        gauge(&self.draining, u64::from(seen.draining));
        gauge(&self.uptime, seen.uptime);
        let known = self.connections.get();
        self.connections.inc_by(seen.connections.saturating_sub(known));
        gauge(&self.memory, memory_bytes().unwrap_or(0));
        gauge(&self.files, open_files().unwrap_or(0));
        let mut page = String::new();
        // Writing to a String can't fail; where it did, the page is shorter, and a scraper refuses it for its end.
        let _ = encode(&mut page, &self.registry);
        page
    }
}

/// The word for a code.
const fn code_word(code: Code) -> &'static str {
    match code {
        Code::Goodbye => "goodbye",
        Code::Glare => "glare",
        Code::Protocol => "protocol",
        Code::TooBig => "too_big",
        Code::Timeout => "timeout",
        Code::Denied => "denied",
        Code::Version => "version",
        Code::Generation => "generation",
        Code::Busy => "busy",
        Code::NotTrusted => "not_trusted",
        Code::NotExpress => "not_express",
        Code::Spoiled => "spoiled",
        Code::StaleEpoch => "stale_epoch",
        Code::Exists => "exists",
        Code::NoConversation => "no_conversation",
        Code::BadKeys => "bad_keys",
        Code::Login => "login",
        Code::Behind => "behind",
        Code::Unlisted => "unlisted",
        Code::NoFile => "no_file",
    }
}

/// The resident set, where the system has a `/proc`.
fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Open descriptors, where the system has a `/proc`.
fn open_files() -> Option<u64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

#[cfg(test)]
mod tests {
    use postline_core::fault::PeerFault;
    use postline_core::id::{LinkId, MailId};
    use postline_core::server::io::Peer;

    use super::*;

    #[test]
    fn events_are_counted_under_words_of_ours() {
        let metrics = Metrics::new("1.2.3");
        let mail = MailId([1; 16]);
        for _ in 0..3 {
            let inert = None;
            metrics.event(&Event::Arrived { mail, message_id: Some("x\"y\nz".into()), carrier: Carrier::Link, inert });
        }
        metrics.event(&Event::Refused { peer: Peer::Link(LinkId(7)), why: PeerFault::Frame("none") });
        metrics.event(&Event::LinkDown { nk: postline_core::id::NodeKey([9; 32]), code: Code::Timeout });
        metrics.refused("busy");
        metrics.committed(Duration::from_millis(3));
        let seen = Seen { queued: [(0, 0), (5, 61), (0, 0)], connections: 4, ..Seen::default() };
        let page = metrics.page(&seen);
        let lines = [
            "postline_mails_arrived_total{carrier=\"link\"} 3",
            "postline_peers_refused_total{code=\"protocol\"} 1",
            "postline_link_changes_total{change=\"timeout\"} 1",
            "postline_mails_refused_total{answer=\"busy\"} 1",
            "postline_commits_total 1",
            "postline_queue_mails{lane=\"domain\"} 5",
            "postline_queue_oldest_seconds{lane=\"domain\"} 61",
            "postline_connections_opened_total 4",
            "postline_build{version=\"1.2.3\"} 1",
        ];
        for line in lines {
            assert!(page.lines().any(|is| is == line), "{line} is missing in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
        assert!(!page.contains("x\\\"y"), "nobody's strings become labels");
        assert!(metrics.page(&seen).contains("postline_connections_opened_total 4"), "looked at twice, counted once");
    }
}
