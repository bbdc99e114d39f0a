//! Express mail beside the floor, beside ordinary mail, and beside Postfix and Dovecot. One sitting, one table.
//!
//! ```text
//!   cargo run --release -p postline-benches --bin express              all of it; writes benches/RESULTS.md
//!   cargo run --release -p postline-benches --bin express -- --quick   seconds; no peers, writes nothing
//!   … -- --mails 20000, … -- --burst 2000                              long enough to be profiled; no peers, writes nothing
//! ```

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

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use postline_benches::figures::{Gate, Samples};
use postline_benches::nodes::{Nodes, PAIRS, reader, writer};
use postline_benches::person::{Letter, Person};
use postline_benches::watch::Watch;
use postline_benches::{Fault, floor, machine, peers};

/// How long anything may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// What follows a mail's arrival (marks, clean-up) is over after this, and counted with it.
const AFTERMATH: Duration = Duration::from_millis(300);

/// How this was built, and the node with it.
const PROFILE: &str = if cfg!(debug_assertions) { "dev profile" } else { "release build" };

/// How much of everything.
#[derive(Clone, Copy)]
struct Plan {
    pairs: usize,
    mails: usize,
    strangers: usize,
    /// For each submitter.
    burst: usize,
    peers: bool,
}

const FULL: Plan = Plan { pairs: PAIRS, mails: 600, strangers: 200, burst: 400, peers: true };
const QUICK: Plan = Plan { pairs: 4, mails: 200, strangers: 40, burst: 50, peers: false };

/// What came out.
#[derive(Default)]
struct Found {
    floor: Samples,
    express: Samples,
    express_4k: Samples,
    smtp: Samples,
    per_second: f64,
    accepted_per_second: f64,
    burst: usize,
    burst_cpu_ms: f64,
    burst_commits: f64,
    commits: f64,
    connections: f64,
    syncs: Option<f64>,
    wire: Option<(f64, f64)>,
    sent: usize,
    lost: usize,
    doubled: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nothing better can be done where even this fails.
            let _ = writeln!(std::io::stderr(), "express: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Fault> {
    let plan = plan()?;
    let program = program()?;
    let Some(scheduling) = machine::schedule()? else { return Ok(()) };
    let base = std::env::temp_dir();
    let circumstances = machine::circumstances(&base);
    let found = measure(&plan, &program, &base)?;
    let peer = if plan.peers { peers::measure()? } else { Err("not asked for".to_owned()) };
    let mut report = report(&plan, &found, &peer, scheduling, &circumstances)?;
    if plan.peers {
        report.push_str(&instructions(&program)?);
    }
    let mut out = std::io::stdout();
    out.write_all(report.as_bytes())?;
    if plan.peers {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md"), &report)?;
    }
    let ratio = found.express.p50() / found.floor.p50();
    writeln!(out, "figure express.p50_over_floor {ratio:.2} ({PROFILE})")?;
    writeln!(out, "figure express.p50_ms {:.3}", found.express.p50() / 1e3)?;
    writeln!(out, "figure express.floor_ms {:.3}", found.floor.p50() / 1e3)?;
    writeln!(out, "figure express.mails_per_second {:.0}", found.per_second)?;
    if found.lost + found.doubled > 0 {
        return Err(format!("{} mails lost, {} doubled", found.lost, found.doubled).into());
    }
    Ok(())
}

fn plan() -> Result<Plan, Fault> {
    let mut plan = FULL;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || -> Result<usize, Fault> { Ok(args.next().ok_or("a number is missing")?.parse()?) };
        match arg.as_str() {
            "--quick" => plan = QUICK,
            "--mails" => plan = Plan { mails: number()?, peers: false, ..plan },
            "--burst" => plan = Plan { burst: number()?, peers: false, ..plan },
            other => return Err(format!("no such option: {other}").into()),
        }
    }
    Ok(plan)
}

/// The node's program, and `parse` beside it: built as this one was, and up to date.
fn program() -> Result<PathBuf, Fault> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for what in [["-p", "postline-node"].as_slice(), &["-p", "postline-benches", "--bin", "parse"]] {
        let mut build = Command::new(&cargo);
        build.args(["build", "--quiet"]).args(what).current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if !build.status()?.success() {
            return Err(format!("{} could not be built", what.join(" ")).into());
        }
    }
    Ok(std::env::current_exe()?.with_file_name("postline"))
}

/// What `parse` says, which lies beside the node's program.
fn instructions(program: &Path) -> Result<String, Fault> {
    let counted = Command::new(program.with_file_name("parse")).output()?;
    let said = String::from_utf8_lossy(&counted.stdout);
    Ok(format!("\n## Instructions (valgrind)\n\n{}", said.split("figure ").next().unwrap_or_default()))
}

fn measure(plan: &Plan, program: &Path, base: &Path) -> Result<Found, Fault> {
    let mut nodes = Nodes::start(program, base)?;
    measure_nodes(plan, &nodes).map_err(|why| format!("{why}; see {}", nodes.keep().display()).into())
}

fn measure_nodes(plan: &Plan, nodes: &Nodes) -> Result<Found, Fault> {
    nodes.make_lines(plan.pairs)?;
    let mut found = Found::default();
    let half = plan.mails / 2;
    let before = floor::measure(&nodes.dir().join("floor-1"), half)?;
    let stranger = one_by_one(nodes, PAIRS, plan.strangers, 200, &mut found)?;
    found.smtp = Samples::of(&stranger);

    let watch = Watch::new(&nodes.b.maildirs(plan.pairs, reader))?;
    let counted = nodes.counters()?;
    let bytes = machine::tcp_bytes(nodes.b.link_port);
    found.express = Samples::of(&one_by_one(nodes, 0, plan.mails, 200, &mut found)?);
    found.express_4k = Samples::of(&one_by_one(nodes, 0, half, 4_096, &mut found)?);
    let mails = (plan.mails + half + plan.mails / 10 + half / 10) as f64;
    thread::sleep(AFTERMATH);
    let after = nodes.counters()?;
    found.commits = (after.0 - counted.0) as f64 / mails;
    found.connections = (after.1 - counted.1) as f64 / mails;
    if let (Some(before), Some(after)) = (bytes, machine::tcp_bytes(nodes.b.link_port)) {
        found.wire = Some(((after.0 - before.0) as f64 / mails, (after.1 - before.1) as f64 / mails));
    }
    found.floor = before.and(floor::measure(&nodes.dir().join("floor-2"), half)?);
    watch.wait(mails as usize, PATIENCE)?;

    burst(plan, nodes, &watch, &mut found)?;
    if plan.peers
        && let Some(syncs) = machine::Syncs::count(&nodes.pids(), nodes.dir())
    {
        let count = 50;
        one_by_one(nodes, 1, count, 200, &mut found)?;
        thread::sleep(AFTERMATH);
        found.syncs = Some(syncs.stop()? as f64 / (count + count / 10) as f64);
    }
    let ids = Watch::new(&nodes.b.maildirs(PAIRS + 1, reader))?.ids()?;
    let mut distinct: Vec<&String> = ids.iter().filter(|id| !id.starts_with("hello-")).collect();
    let all = distinct.len();
    distinct.dedup();
    (found.lost, found.doubled) = (found.sent - distinct.len(), all - distinct.len());
    Ok(found)
}

/// One mail after the other from the `pair`th writer to their reader: from each 250 until it was seen.
fn one_by_one(
    nodes: &Nodes,
    pair: usize,
    count: usize,
    body: usize,
    found: &mut Found,
) -> Result<Vec<Duration>, Fault> {
    let maildirs = nodes.b.maildirs(pair + 1, reader);
    let watch = Watch::new(maildirs.get(pair..).unwrap_or_default())?;
    let mut person = Person::log_in(&writer(pair), &nodes.a.submission)?;
    let (to, warm) = (reader(pair), count / 10);
    let mut took = Vec::new();
    for n in 0..warm + count {
        let id = format!("one-{}-{n}@bench", found.sent);
        let acked = person.submit(&Letter { to: &to, id: &id, answers: None, body })?;
        let seen = watch.wait(1, PATIENCE)?;
        if n >= warm {
            took.push(seen.saturating_duration_since(acked));
        }
    }
    found.sent += warm + count;
    person.leave()?;
    Ok(took)
}

/// All writers at once, each on a connection of their own, counted in the readers' Maildirs.
fn burst(plan: &Plan, nodes: &Nodes, watch: &Watch, found: &mut Found) -> Result<(), Fault> {
    let mut people = Vec::new();
    for pair in 0..plan.pairs {
        people.push(Person::log_in(&writer(pair), &nodes.a.submission)?);
    }
    let start = Barrier::new(plan.pairs + 1);
    let (cpu, commits) = (machine::cpu_ms(&nodes.pids())?, nodes.counters()?.0);
    let mails = plan.pairs * plan.burst;
    let (accepted, visible) = thread::scope(|scope| {
        let submit = |(pair, mut person): (usize, Person)| -> Result<Instant, Fault> {
            let to = reader(pair);
            start.wait();
            for n in 0..plan.burst {
                let id = format!("burst-{pair}-{n}@bench");
                person.submit(&Letter { to: &to, id: &id, answers: None, body: 200 })?;
            }
            Ok(Instant::now())
        };
        let writers: Vec<_> = people.into_iter().enumerate().map(|who| scope.spawn(move || submit(who))).collect();
        start.wait();
        let began = Instant::now();
        let seen = watch.wait(mails, PATIENCE);
        let mut last = began;
        for writer in writers {
            // A writer that was refused says why; that the mails then don't come says less.
            last = last.max(writer.join().map_err(|_| "a writer died")??);
        }
        let seen = seen?;
        Ok::<_, Fault>((last - began, seen - began))
    })?;
    thread::sleep(AFTERMATH);
    found.sent += mails;
    found.burst = mails;
    found.per_second = mails as f64 / visible.as_secs_f64();
    found.accepted_per_second = mails as f64 / accepted.as_secs_f64();
    found.burst_cpu_ms = (machine::cpu_ms(&nodes.pids())? - cpu) / mails as f64;
    found.burst_commits = (nodes.counters()?.0 - commits) as f64 / mails as f64;
    Ok(())
}

fn report(
    plan: &Plan,
    found: &Found,
    peer: &Result<peers::Mail, String>,
    scheduling: &str,
    circumstances: &str,
) -> Result<String, Fault> {
    let mut text = String::from("# Express mail, measured\n\n");
    writeln!(
        text,
        "{}. {}. {circumstances}. Scheduling: {scheduling}. {PROFILE}.\n",
        machine::today(),
        machine::describe()
    )?;
    text.push_str(
        "Latency: submission's 250 until the mail is in `new/` of the recipient's Maildir, as inotify tells a process that \
         sleeps; one mail after the other; in milliseconds. TLS on every hop (submission TLS, link TLS 1.3), records and \
         bodies synced on both nodes before the 250 and before the Maildir; default log. Floor: one TLS 1.3 hop of 300 \
         bytes, one fdatasync of a preallocated file, one unsynced create and rename, seen in the same way. The mail's own \
         file is synced after it is visible; until then its record brings it again. The peers' figures are from 250 until \
         a client had fetched the body by IMAP, on plain connections: their harness's best run, after ours, in this \
         sitting. Everything ran below TMPDIR; on an ext4 without a journal, take a fresh directory below the root, since \
         inodes that were freed minutes ago make each new file slower.\n\n",
    );
    text.push_str("| latency, ms | p50 | p95 | p99 | least | n |\n|---|---|---|---|---|---|\n");
    writeln!(text, "| floor | {} |", found.floor)?;
    writeln!(text, "| express mail, 200 B | {} |", found.express)?;
    writeln!(text, "| express mail, 4 KiB | {} |", found.express_4k)?;
    writeln!(text, "| own SMTP, strangers, 200 B | {} |", found.smtp)?;
    if let Ok(peer) = peer {
        writeln!(text, "| Postfix → Dovecot, polled every 0.5 ms | {:.3} | | | | |", peer.polled_ms)?;
        writeln!(text, "| Postfix → Dovecot, IMAP IDLE | {:.3} | | | | |", peer.idle_ms)?;
    }
    text.push_str(
        "\n| throughput, 200 B | mails/s visible | accepted/s | CPU ms a mail, all servers | commits a mail |\n",
    );
    text.push_str("|---|---|---|---|---|\n");
    writeln!(
        text,
        "| express, {} submitters, {} mails | {:.0} | {:.0} | {:.3} | {:.3} |",
        plan.pairs, found.burst, found.per_second, found.accepted_per_second, found.burst_cpu_ms, found.burst_commits
    )?;
    match peer {
        Ok(peer) => writeln!(
            text,
            "| Postfix → Dovecot, 32 submitters | {:.0} | | {:.3} | |\n\nPeers: {}, no TLS between them or to clients.",
            peer.per_second, peer.cpu_ms, peer.versions
        )?,
        Err(why) => writeln!(text, "\nPeers skipped: {why}.")?,
    }
    writeln!(
        text,
        "\nA lone express mail, marks and clean-up included: {:.2} commits, {:.4} new connections{}{}. {} mails sent, {} lost, {} doubled.\n",
        found.commits,
        found.connections,
        found.syncs.map_or(String::new(), |syncs| format!(", {syncs:.2} sync calls (strace)")),
        found.wire.map_or(String::new(), |(there, back)| format!(
            ", {there:.0} bytes a→b and {back:.0} back (TLS, 200 B and 4 KiB mixed)"
        )),
        found.sent,
        found.lost,
        found.doubled
    )?;
    let peer = peer.as_ref().ok();
    let ratio = |to: fn(&peers::Mail) -> f64| peer.map(|peer| found.express.p50() / 1e3 / to(peer));
    text.push_str("| gate | bound | value | |\n|---|---|---|---|\n");
    for gate in [
        Gate {
            what: "express p50 ÷ floor p50",
            value: Some(found.express.p50() / found.floor.p50()),
            bound: 3.0,
            at_least: false,
        },
        Gate {
            what: "express p50 ÷ Postfix → Dovecot polled",
            value: ratio(|peer| peer.polled_ms),
            bound: 0.2,
            at_least: false,
        },
        Gate { what: "express p50 ÷ IMAP IDLE", value: ratio(|peer| peer.idle_ms), bound: 0.01, at_least: false },
        Gate {
            what: "throughput ÷ Postfix → Dovecot",
            value: peer.map(|peer| found.per_second / peer.per_second),
            bound: 10.0,
            at_least: true,
        },
    ] {
        writeln!(text, "| {gate} |")?;
    }
    Ok(text)
}
