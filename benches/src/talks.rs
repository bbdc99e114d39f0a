//! What the nodes do with messages that were sealed beforehand: sessions of devices that neither seal nor open.
//!
//! ```text
//!   from ──Post──▶ its node ──▶ other node ──Event──▶ to         there: Post written until the Event is read
//!   from ◀──Delivered── its node ◀── durable at the other        back:  until the mark is read
//! ```
//!
//! One direction posts at the hub, the other at the node that follows: both are measured.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use postline_core::id::ConversationId;
use postline_core::wire::talk::{Kind, Talk};

use crate::Fault;
use crate::figures::Samples;
use crate::machine::{self, Syncs, Traffic};
use crate::nodes::{Node, Nodes, PAIRS, PEOPLE, reader, writer};
use crate::wire::{SEALED_BYTES, Wire};

/// How many messages of one writer are under way.
pub const WINDOW: usize = 64;
/// What follows the last message is over after this, and counted with it.
const AFTERMATH: Duration = Duration::from_millis(300);
/// A store folds its log once it has been idle for less than this.
const FOLDED: Duration = Duration::from_millis(900);
/// How many lone messages sync calls are counted of.
const SYNCED: usize = 50;
/// Idle sessions that are there before it is counted: what the first ones make the node allocate for all is no session's.
const SESSIONS_BEFORE: usize = 64;
/// How many devices of one address come.
const DEVICES_EACH: usize = 14;

/// Two sessions, and a conversation between them.
pub struct Pair {
    from: Wire,
    to: Wire,
    talk: ConversationId,
}

/// How long messages took that went one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lone {
    /// Until the other's device had it.
    pub there: Samples,
    /// Until the author's device had the mark `delivered`.
    pub back: Samples,
    /// Commits of both stores, a message.
    pub commits: f64,
    /// What went over the link between the nodes, and for how many messages.
    pub link: Option<(Traffic, usize)>,
    /// Sync calls of both nodes, a message.
    pub syncs: Option<f64>,
}

/// What a burst showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Burst {
    /// How many messages.
    pub messages: usize,
    /// Seen by their readers, a second.
    pub per_second: f64,
    /// CPU of both nodes, a message, in microseconds.
    pub node_cpu_us: f64,
    /// CPU of the devices, all in this process, a message, in microseconds.
    pub device_cpu_us: f64,
    /// Commits of both stores, a message.
    pub commits: f64,
}

/// Where the sessions of a node's devices are.
///
/// # Errors
/// None that can happen.
pub fn at(node: &Node) -> Result<SocketAddr, Fault> {
    Ok(format!("127.0.0.1:{}", node.link_port).parse()?)
}

/// Two sessions of the `n`th pair, and their conversation; `swapped`: the author is the one at the other node.
///
/// # Errors
/// Where a node doesn't take what they say.
pub fn join(nodes: &Nodes, n: usize, swapped: bool) -> Result<Pair, Fault> {
    let (mut one, mut two) = (writer(n), reader(n));
    let (mut here, mut there) = (&nodes.a, &nodes.b);
    if swapped {
        (one, two, here, there) = (two, one, there, here);
    }
    let mut from = Wire::enrol(at(here)?, &one)?;
    let mut to = Wire::enrol(at(there)?, &two)?;
    let talk = from.prove(&two)?;
    to.prove(&one)?;
    from.proven(&two)?;
    to.proven(&one)?;
    from.post(talk, Kind::Create, &[&one, &two], 1_000)?;
    from.flush()?;
    let seq = next_event(&mut to)?;
    to.say(Talk::Have { conversation: talk, seq })?;
    to.flush()?;
    until_delivered(&mut from, seq)?;
    Ok(Pair { from, to, talk })
}

impl Pair {
    fn one(&mut self) -> Result<(Duration, Duration), Fault> {
        let began = Instant::now();
        self.from.post(self.talk, Kind::Message, &[], SEALED_BYTES)?;
        self.from.flush()?;
        let seq = next_event(&mut self.to)?;
        let there = began.elapsed();
        self.to.say(Talk::Have { conversation: self.talk, seq })?;
        self.to.flush()?;
        until_delivered(&mut self.from, seq)?;
        Ok((there, began.elapsed()))
    }

    /// Sends `count` messages, each after the mark of the one before.
    ///
    /// # Errors
    /// Where one doesn't come.
    pub fn lone(&mut self, nodes: &Nodes, count: usize) -> Result<Lone, Fault> {
        let (commits, link) = (nodes.counters()?.0, nodes.link_traffic());
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (one, both) = self.one()?;
            there.push(one);
            back.push(both);
        }
        thread::sleep(AFTERMATH);
        let link = nodes.link_traffic().zip(link).map(|(after, before)| (after.since(before), count));
        let commits = (nodes.counters()?.0 - commits) as f64 / count as f64;
        Ok(Lone { there: Samples::of(&there), back: Samples::of(&back), commits, link, syncs: self.syncs(nodes)? })
    }

    /// Sync calls a message, where strace may look. The store's log is folded before, since that takes three of its own a
    /// mebibyte of log.
    fn syncs(&mut self, nodes: &Nodes) -> Result<Option<f64>, Fault> {
        thread::sleep(FOLDED);
        self.one()?;
        let Some(syncs) = Syncs::count(&nodes.pids(), nodes.dir()) else { return Ok(None) };
        for _ in 0..SYNCED {
            self.one()?;
        }
        Ok(Some(syncs.stop()? as f64 / SYNCED as f64))
    }
}

fn next_event(wire: &mut Wire) -> Result<u64, Fault> {
    loop {
        if let Some(seq) = wire.hear()?.iter().filter_map(seq_of).max() {
            return Ok(seq);
        }
    }
}

const fn seq_of(talk: &Talk) -> Option<u64> {
    match talk {
        Talk::Event(event) => Some(event.seq),
        _ => None,
    }
}

/// Waits until everything up to `seq` is durable at the other's node; acks what comes on the way.
fn until_delivered(wire: &mut Wire, seq: u64) -> Result<(), Fault> {
    while progress(wire)? < seq {}
    Ok(())
}

/// Takes what came: up to where it is delivered. Acks the events that came with it.
fn progress(wire: &mut Wire) -> Result<u64, Fault> {
    let (mut delivered, mut last) = (0, None);
    for talk in wire.hear()? {
        match talk {
            Talk::Delivered { seq, .. } => delivered = delivered.max(seq),
            Talk::Event(event) => last = Some(Talk::Have { conversation: event.conversation, seq: event.seq }),
            _ => {}
        }
    }
    if let Some(have) = last {
        wire.say(have)?;
        wire.flush()?;
    }
    Ok(delivered)
}

/// All pairs at once, `count` messages each, with a window of them under way.
///
/// # Errors
/// Where one doesn't come.
pub fn burst(nodes: &Nodes, pairs: Vec<Pair>, count: usize) -> Result<Burst, Fault> {
    let meter = Meter::start(nodes)?;
    let messages = pairs.len() * count;
    let took = thread::scope(|scope| -> Result<Duration, Fault> {
        let mut threads = Vec::new();
        for Pair { mut from, mut to, talk } in pairs {
            threads.push(scope.spawn(move || -> Result<(), Fault> {
                // Nobody else posts here: an event's seq is the number that it was posted under.
                let end = from.posted() + count as u64;
                let mut delivered = from.posted();
                while delivered < end {
                    while from.posted() < end && from.posted() < delivered + WINDOW as u64 {
                        from.post(talk, Kind::Message, &[], SEALED_BYTES)?;
                    }
                    from.flush()?;
                    delivered = delivered.max(progress(&mut from)?);
                }
                Ok(())
            }));
            threads.push(scope.spawn(move || -> Result<(), Fault> {
                let mut seen = 0;
                while seen < count {
                    let seqs: Vec<u64> = to.hear()?.iter().filter_map(seq_of).collect();
                    seen += seqs.len();
                    if let Some(seq) = seqs.last().copied() {
                        to.say(Talk::Have { conversation: talk, seq })?;
                        to.flush()?;
                    }
                }
                Ok(())
            }));
        }
        for thread in threads {
            thread.join().map_err(|_| "a wire died")??;
        }
        Ok(meter.began.elapsed())
    })?;
    meter.stop(nodes, took, messages)
}

/// What the nodes and this process have used when it begins.
pub(crate) struct Meter {
    pub(crate) began: Instant,
    nodes_ms: f64,
    own_ms: f64,
    commits: u64,
}

impl Meter {
    pub(crate) fn start(nodes: &Nodes) -> Result<Self, Fault> {
        let (nodes_ms, own_ms) = (machine::cpu_ms(&nodes.pids())?, machine::cpu_ms(&[std::process::id()])?);
        Ok(Self { began: Instant::now(), nodes_ms, own_ms, commits: nodes.counters()?.0 })
    }

    pub(crate) fn stop(&self, nodes: &Nodes, took: Duration, messages: usize) -> Result<Burst, Fault> {
        thread::sleep(AFTERMATH);
        let each = messages as f64;
        Ok(Burst {
            messages,
            per_second: each / took.as_secs_f64(),
            node_cpu_us: (machine::cpu_ms(&nodes.pids())? - self.nodes_ms) * 1e3 / each,
            device_cpu_us: (machine::cpu_ms(&[std::process::id()])? - self.own_ms) * 1e3 / each,
            commits: (nodes.counters()?.0 - self.commits) as f64 / each,
        })
    }
}

/// Private memory of a node for each session that is idle, in bytes, of some eight hundred, of people who have nobody to
/// talk to: else they had something to hear.
///
/// # Errors
/// Where the node doesn't take one.
pub fn idle_session(nodes: &Nodes) -> Result<f64, Fault> {
    let node = &nodes.b;
    let (mut held, mut before) = (Vec::new(), 0);
    let people = PEOPLE - PAIRS - 1;
    for n in 0..people * DEVICES_EACH {
        if n == SESSIONS_BEFORE {
            thread::sleep(AFTERMATH * 3);
            before = machine::memory(node.pid(), "RssAnon")?;
        }
        // So that none is over the pace of a neighbourhood.
        let from = [127, 1, u8::try_from(n / 150)?, 1];
        held.push(Wire::enrol_from(at(node)?, &reader(PAIRS + 1 + n % people), n / people, from)?);
    }
    thread::sleep(AFTERMATH * 6);
    let after = machine::memory(node.pid(), "RssAnon")?;
    let counted = held.len() - SESSIONS_BEFORE;
    Ok(after.saturating_sub(before) as f64 / counted as f64)
}
