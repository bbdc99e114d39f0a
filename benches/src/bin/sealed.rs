//! Sealed messages from device to device over two nodes, beside the bare path and beside the peers. One sitting, one table.
//!
//! ```text
//!   cargo run --release -p postline-benches --bin sealed              all of it; writes its part of RESULTS.md
//!   cargo run --release -p postline-benches --bin sealed -- --quick   seconds; no peers, writes nothing
//!   … -- --alone                                                     all of ours, no peers; writes nothing
//!   … -- --burst 200000                                              the nodes alone, long enough to be profiled
//!   … -- --devices 5000                                              lone messages of devices alone, likewise
//!   … -- --couples 5000                                              the burst of devices alone, likewise
//! ```
//!
//! What is measured how: `talks` for the nodes alone, `phones` for devices that seal and open, `account` for the table.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "measures time, talks to people, and stops where it can't go on"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use postline_benches::account::{self, Found};
use postline_benches::nodes::Nodes;
use postline_benches::{Fault, machine, path, peers, phones, talks};

/// How many pairs talk at once.
const PAIRS: usize = 8;
/// How this was built, and the node with it.
const PROFILE: &str = if cfg!(debug_assertions) { "dev profile: times mean nothing" } else { "release build" };

/// How much of everything.
#[derive(Clone, Copy)]
struct Plan {
    /// One after the other.
    lone: usize,
    /// For each pair, by the nodes alone.
    burst: usize,
    /// For each pair, sealed and opened by devices.
    sealed: usize,
    peers: bool,
    only: Option<Only>,
}

/// One thing alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    /// The burst by the nodes.
    Burst,
    /// Lone messages of devices.
    Devices,
    /// The burst by devices.
    Couples,
}

const FULL: Plan = Plan { lone: 500, burst: 8_000, sealed: 1_500, peers: true, only: None };
const QUICK: Plan = Plan { lone: 100, burst: 500, sealed: 100, peers: false, only: None };

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
    let plan = plan()?;
    let program = program()?;
    let Some(scheduling) = machine::schedule()? else { return Ok(()) };
    let base = std::env::temp_dir();
    let circumstances = machine::circumstances(&base);
    let mut nodes = Nodes::start(&program, &base)?;
    let found = measure(plan, &nodes).map_err(|why| Fault::from(format!("{why}; see {}", nodes.keep().display())))?;
    drop(nodes);
    let beside = if plan.peers { peers::beside_messages(PAIRS as u64) } else { Vec::new() };
    let head =
        format!("{}. {}. {circumstances}. Scheduling: {scheduling}. {PROFILE}.", machine::today(), machine::describe());
    let part = account::text(&head, PAIRS, &found, &beside)?;
    println!("{part}");
    if plan.peers {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
        let before = std::fs::read_to_string(&page).unwrap_or_default();
        std::fs::write(&page, account::put(&before, &part))?;
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
            "--alone" => plan.peers = false,
            "--burst" => plan = Plan { burst: number()?, peers: false, only: Some(Only::Burst), ..plan },
            "--devices" => plan = Plan { lone: number()?, peers: false, only: Some(Only::Devices), ..plan },
            "--couples" => plan = Plan { sealed: number()?, peers: false, only: Some(Only::Couples), ..plan },
            other => return Err(format!("no such option: {other}").into()),
        }
    }
    Ok(plan)
}

fn measure(plan: Plan, nodes: &Nodes) -> Result<Found, Fault> {
    let resident = nodes.pids().map(|pid| machine::memory(pid, "VmRSS"));
    let [a, b] = resident;
    let mut found = Found { idle_node: a?.max(b?), ..Found::default() };
    // The first pairs are the bursts' of the nodes, the next ones the devices', the last two the lone messages'.
    nodes.make_lines(2 * PAIRS + 2)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if plan.only == Some(Only::Devices) {
        found.devices = phones::lone(&runtime, phones::meet(&runtime, nodes, PAIRS)?, plan.lone)?;
        return Ok(found);
    }
    let meet = || (PAIRS..2 * PAIRS).map(|n| phones::meet(&runtime, nodes, n)).collect::<Result<Vec<_>, _>>();
    if plan.only == Some(Only::Couples) {
        found.devices_burst = phones::burst(&runtime, nodes, meet()?, plan.sealed)?.0;
        return Ok(found);
    }
    let pairs = (0..PAIRS).map(|n| talks::join(nodes, n, false)).collect::<Result<Vec<_>, _>>()?;
    found.nodes_burst = talks::burst(nodes, pairs, plan.burst)?;
    if plan.only == Some(Only::Burst) {
        return Ok(found);
    }
    found.floor = path::measure()?;
    found.from_hub = talks::join(nodes, 2 * PAIRS, false)?.lone(nodes, plan.lone)?;
    found.to_hub = talks::join(nodes, 2 * PAIRS + 1, true)?.lone(nodes, plan.lone)?;
    let (burst, mut couples) = phones::burst(&runtime, nodes, meet()?, plan.sealed)?;
    found.devices_burst = burst;
    found.devices = phones::lone(&runtime, couples.pop().ok_or("no couple")?, plan.lone)?;
    drop((couples, runtime));
    found.idle_session = talks::idle_session(nodes)?;
    Ok(found)
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
