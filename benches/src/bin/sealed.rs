//! Sealed messages from device to device over two nodes, beside the bare path and beside the peers. One sitting, one table.
//!
//! ```text
//!   cargo run --release -p postline-benches --bin sealed              all of it
//!   cargo run --release -p postline-benches --bin sealed -- --quick   seconds
//!   … -- --no-peers                                                  without the other servers
//! ```
//!
//! `nodes`: sessions that bring bytes sealed beforehand. `devices`: each a whole client with its own store, all in this
//! process, sealing and opening on the same two cores. Everything is durable on both nodes before it is `delivered`, TLS
//! is on every hop, and what the devices say is sealed by MLS.

#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "measures time, talks to people, and stops where it can't go on"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use postline_benches::figures::Samples;
use postline_benches::nodes::{Node, Nodes, reader, writer};
use postline_benches::talker::Talker;
use postline_benches::wire::{SEALED_BYTES, Wire};
use postline_benches::{Fault, machine, path, peers};
use postline_core::id::ConversationId;
use postline_core::wire::talk::{Kind, Talk};
use tokio::runtime::Runtime;

/// How many pairs talk at once.
const PAIRS: usize = 8;
/// How many messages of one writer are under way.
const WINDOW: usize = 64;
/// How long the body of a message is.
const BODY: usize = 200;
/// What follows the last message is over after this, and counted with it.
const AFTERMATH: Duration = Duration::from_millis(300);

/// How much of everything.
#[derive(Clone, Copy)]
struct Plan {
    /// One after the other.
    lone: usize,
    /// For each pair, by the nodes alone.
    burst: usize,
    /// For each pair, sealed and opened by devices.
    sealed_burst: usize,
    peers: bool,
}

const FULL: Plan = Plan { lone: 500, burst: 8_000, sealed_burst: 1_500, peers: true };
const QUICK: Plan = Plan { lone: 100, burst: 500, sealed_burst: 100, peers: false };

/// What a burst showed.
struct Burst {
    per_second: f64,
    node_cpu_us: f64,
    commits: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sealed: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Fault> {
    let mut plan = FULL;
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--quick" => plan = QUICK,
            "--no-peers" => plan.peers = false,
            other => return Err(format!("no such option: {other}").into()),
        }
    }
    let program = program()?;
    let Some(scheduling) = machine::schedule()? else { return Ok(()) };
    let base = std::env::temp_dir();
    println!(
        "{}. {}. {}. Scheduling: {scheduling}.",
        machine::today(),
        machine::describe(),
        machine::circumstances(&base)
    );
    if cfg!(debug_assertions) {
        println!("dev profile: times mean nothing");
    }
    let mut nodes = Nodes::start(&program, &base)?;
    measure(plan, &nodes).map_err(|why| Fault::from(format!("{why}; see {}", nodes.keep().display())))?;
    drop(nodes);
    if plan.peers {
        for peer in peers::measure(true) {
            match peer {
                Ok(row) => {
                    println!("{}: {:?} ms, {:?} /s, {:?} ms CPU", row.name, row.latency_ms, row.per_second, row.cpu_ms)
                }
                Err(skipped) => println!("{}: skipped, {}", skipped.name, skipped.why),
            }
        }
    }
    Ok(())
}

fn measure(plan: Plan, nodes: &Nodes) -> Result<(), Fault> {
    // The first pairs are the wires', the others the devices'.
    nodes.make_lines(2 * PAIRS)?;
    if let Some(path) = path::measure()? {
        println!(
            "figure sealed.path_p50_ms {:.3}\nfigure sealed.path_p99_ms {:.3}",
            path.one_way_ms[0], path.one_way_ms[1]
        );
    }
    wires(plan, nodes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    devices(plan, nodes, &runtime)
}

/// What the nodes do with what is sealed beforehand.
fn wires(plan: Plan, nodes: &Nodes) -> Result<(), Fault> {
    let mut pairs = Vec::new();
    for n in 0..PAIRS {
        pairs.push(join(nodes, n)?);
    }
    let (from, to, talk) = &mut pairs[0];
    let (counted, link) = (nodes.counters()?.0, nodes.link_traffic());
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for n in 0..plan.lone {
        let began = Instant::now();
        from.post(*talk, Kind::Message, &[], SEALED_BYTES)?;
        from.flush()?;
        let seq = next_event(to)?;
        there.push(began.elapsed());
        to.say(Talk::Have { conversation: *talk, seq })?;
        to.flush()?;
        until_delivered(from, seq)?;
        if n > 0 {
            back.push(began.elapsed());
        }
    }
    let lone = plan.lone as f64;
    println!("| nodes, lone | {} |", Samples::of(&there));
    println!("| nodes, lone, delivered back | {} |", Samples::of(&back));
    thread::sleep(AFTERMATH);
    println!("figure sealed.commits_per_lone_message {:.2}", (nodes.counters()?.0 - counted) as f64 / lone);
    if let (Some(before), Some(after)) = (link, nodes.link_traffic()) {
        let went = after.since(before);
        println!("figure sealed.link_ip_bytes_per_lone_message {:.0}", went.ip_bytes as f64 / lone);
        println!("figure sealed.link_packets_per_lone_message {:.2}", went.full as f64 / lone);
        println!("figure sealed.link_packets_with_acks_per_lone_message {:.2}", went.packets as f64 / lone);
    }
    if let Some(syncs) = machine::Syncs::count(&nodes.pids(), nodes.dir()) {
        let (from, to, talk) = &mut pairs[1];
        for _ in 0..50 {
            from.post(*talk, Kind::Message, &[], SEALED_BYTES)?;
            from.flush()?;
            let seq = next_event(to)?;
            to.say(Talk::Have { conversation: *talk, seq })?;
            to.flush()?;
            until_delivered(from, seq)?;
        }
        println!("figure sealed.syncs_per_lone_message {:.2}", syncs.stop()? as f64 / 50.0);
    }
    let burst = burst(nodes, pairs, plan.burst)?;
    tell("nodes", &burst);
    Ok(())
}

fn tell(who: &str, burst: &Burst) {
    println!("figure sealed.{who}_messages_per_second {:.0}", burst.per_second);
    println!("figure sealed.{who}_node_cpu_us_per_message {:.1}", burst.node_cpu_us);
    println!("figure sealed.{who}_commits_per_message {:.4}", burst.commits);
}

/// Two sessions, and a conversation between them.
fn join(nodes: &Nodes, n: usize) -> Result<(Wire, Wire, ConversationId), Fault> {
    let (one, two) = (writer(n), reader(n));
    let mut from = Wire::enrol(at(&nodes.a)?, &one)?;
    let mut to = Wire::enrol(at(&nodes.b)?, &two)?;
    let talk = from.conversation_with(&two)?;
    from.post(talk, Kind::Create, &[&one, &two], 1_000)?;
    from.flush()?;
    let seq = next_event(&mut to)?;
    to.say(Talk::Have { conversation: talk, seq })?;
    to.flush()?;
    until_delivered(&mut from, seq)?;
    Ok((from, to, talk))
}

fn at(node: &Node) -> Result<SocketAddr, Fault> {
    Ok(format!("127.0.0.1:{}", node.link_port).parse()?)
}

fn next_event(wire: &mut Wire) -> Result<u64, Fault> {
    loop {
        let last = wire.hear()?.iter().filter_map(seq_of).max();
        if let Some(seq) = last {
            return Ok(seq);
        }
    }
}

fn seq_of(talk: &Talk) -> Option<u64> {
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

/// All pairs at once, each with a window of messages under way.
fn burst(nodes: &Nodes, pairs: Vec<(Wire, Wire, ConversationId)>, count: usize) -> Result<Burst, Fault> {
    let (cpu, commits) = (machine::cpu_ms(&nodes.pids())?, nodes.counters()?.0);
    let began = Instant::now();
    let took = thread::scope(|scope| -> Result<Duration, Fault> {
        let mut threads = Vec::new();
        for (mut from, mut to, talk) in pairs {
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
                    let mut last = 0;
                    for talk in to.hear()? {
                        if let Some(seq) = seq_of(&talk) {
                            seen += 1;
                            last = seq;
                        }
                    }
                    if last > 0 {
                        to.say(Talk::Have { conversation: talk, seq: last })?;
                        to.flush()?;
                    }
                }
                Ok(())
            }));
        }
        for thread in threads {
            thread.join().map_err(|_| "a wire died")??;
        }
        Ok(began.elapsed())
    })?;
    summed(nodes, took, cpu, commits, PAIRS * count)
}

fn summed(nodes: &Nodes, took: Duration, cpu: f64, commits: u64, messages: usize) -> Result<Burst, Fault> {
    thread::sleep(AFTERMATH);
    let messages = messages as f64;
    Ok(Burst {
        per_second: messages / took.as_secs_f64(),
        node_cpu_us: (machine::cpu_ms(&nodes.pids())? - cpu) * 1e3 / messages,
        commits: (nodes.counters()?.0 - commits) as f64 / messages,
    })
}

/// What devices see that seal and open.
fn devices(plan: Plan, nodes: &Nodes, runtime: &Runtime) -> Result<(), Fault> {
    let mut pairs = Vec::new();
    for n in PAIRS..2 * PAIRS {
        let mut from = Talker::start(runtime.handle(), nodes.dir(), &writer(n), at(&nodes.a)?, nodes.a.nk()?)?;
        let mut to = Talker::start(runtime.handle(), nodes.dir(), &reader(n), at(&nodes.b)?, nodes.b.nk()?)?;
        runtime.block_on(async {
            from.enrol().await?;
            to.enrol().await?;
            from.keys_of(&to.address.clone()).await?;
            to.keys_of(&from.address.clone()).await?;
            from.write(&to.address, 0, BODY).await?;
            to.hears().await?;
            from.delivered().await.map(drop)
        })?;
        pairs.push((from, to));
    }
    let (from, to) = &mut pairs[0];
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for n in 1..=plan.lone {
        runtime.block_on(async {
            let began = Instant::now();
            from.write(&to.address, n, BODY).await?;
            to.hears().await?;
            there.push(began.elapsed());
            from.delivered().await?;
            back.push(began.elapsed());
            Ok::<_, Fault>(())
        })?;
    }
    println!("| devices, lone | {} |", Samples::of(&there));
    println!("| devices, lone, delivered back | {} |", Samples::of(&back));

    let (cpu, commits) = (machine::cpu_ms(&nodes.pids())?, nodes.counters()?.0);
    let (count, began) = (plan.sealed_burst, Instant::now());
    let (done, finished) = mpsc::channel();
    for (mut from, mut to) in pairs {
        let (theirs, told) = (to.address.clone(), done.clone());
        runtime.spawn(async move {
            let wrote = async {
                let mut under_way = 0;
                for n in 0..count {
                    if under_way == WINDOW {
                        from.delivered().await?;
                        under_way -= 1;
                    }
                    from.write(&theirs, 1_000_000 + n, BODY).await?;
                    under_way += 1;
                }
                for _ in 0..under_way {
                    from.delivered().await?;
                }
                Ok::<_, Fault>(())
            };
            // Nobody listens where the bench has already failed.
            let _ = told.send(wrote.await);
        });
        let told = done.clone();
        runtime.spawn(async move {
            let heard = async {
                for _ in 0..count {
                    to.hears().await?;
                }
                Ok::<_, Fault>(())
            };
            let _ = told.send(heard.await);
        });
    }
    drop(done);
    for outcome in finished {
        outcome?;
    }
    let burst = summed(nodes, began.elapsed(), cpu, commits, PAIRS * count)?;
    tell("devices", &burst);
    Ok(())
}

/// The node's program, built as this one was.
fn program() -> Result<PathBuf, Fault> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "-p", "postline-node"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    if !build.status()?.success() {
        return Err("the node could not be built".into());
    }
    Ok(std::env::current_exe()?.with_file_name("postline"))
}
