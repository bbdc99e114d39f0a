//! Express mail beside the floor, beside ordinary mail, and beside the peers. One sitting, one table, two pictures.
//!
//! ```text
//!   cargo run --release -p postline-benches --bin express              all of it; writes RESULTS.md, plots/
//!   cargo run --release -p postline-benches --bin express -- --quick   seconds; no peers, writes nothing
//!   … -- --mail                                                    beside the mail stack only; writes nothing
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

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use postline_benches::figures::Samples;
use postline_benches::nodes::{Nodes, PAIRS, reader, writer};
use postline_benches::person::{Letter, Person};
use postline_benches::report::{self, Found};
use postline_benches::watch::Watch;
use postline_benches::{Fault, account, floor, machine, peers};

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
    /// Not only the mail stack.
    others: bool,
}

const FULL: Plan = Plan { pairs: PAIRS, mails: 600, strangers: 200, burst: 400, peers: true, others: true };
const QUICK: Plan = Plan { pairs: 4, mails: 200, strangers: 40, burst: 50, peers: false, others: false };

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
    let peers = if plan.peers { peers::measure(plan.others) } else { Vec::new() };
    let head =
        format!("{}. {}. {circumstances}. Scheduling: {scheduling}. {PROFILE}.", machine::today(), machine::describe());
    let mut report = report::text(&head, plan.pairs, &found, &peers)?;
    if plan.peers {
        report.push_str(&instructions(&program)?);
    }
    let mut out = std::io::stdout();
    out.write_all(report.as_bytes())?;
    if plan.peers && plan.others {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(here.join("plots"))?;
        for (name, picture) in report::pictures(&found, &peers) {
            std::fs::write(here.join("plots").join(name), picture)?;
        }
        let page = here.join("RESULTS.md");
        let before = std::fs::read_to_string(&page).unwrap_or_default();
        std::fs::write(page, account::put(&before, &report))?;
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
            "--mail" => plan.others = false,
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
