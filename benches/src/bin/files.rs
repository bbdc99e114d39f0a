//! Attachments from device to device over two nodes, beside the same bytes over bare TLS. One sitting, one table.
//!
//! ```text
//!   cargo run --release -p postline-benches --bin files                 100 MiB, three times each, in turn
//!   … -- --mib 10 --times 1                                            less of it
//! ```
//!
//! What is measured how: `carried`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "measures time, talks to people, and stops where it can't go on"
)]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use postline_benches::nodes::Nodes;
use postline_benches::{Fault, carried, machine};

/// How this was built, and the node with it.
const PROFILE: &str = if cfg!(debug_assertions) { "dev profile: times mean little" } else { "release build" };

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("files: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Fault> {
    let (mut mib, mut times) = (100_usize, 3_usize);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let number: usize = args.next().ok_or("a number is missing")?.parse()?;
        match arg.as_str() {
            "--mib" => mib = number,
            "--times" => times = number,
            other => return Err(format!("no such option: {other}").into()),
        }
    }
    let program = program()?;
    let base = std::env::temp_dir();
    println!("{}. {}. {}. {PROFILE}.", machine::today(), machine::describe(), machine::circumstances(&base));
    let mut nodes = Nodes::start(&program, &base)?;
    nodes.make_lines(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let path = nodes.dir().join("sent");
    carried::written(&path, mib << 20)?;
    let measured = measure(&runtime, &nodes, &path, mib, times);
    measured.map_err(|why| Fault::from(format!("{why}; see {}", nodes.keep().display())))
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    nodes: &Nodes,
    path: &std::path::Path,
    mib: usize,
    times: usize,
) -> Result<(), Fault> {
    let mut pair = carried::meet(runtime, nodes, 0)?;
    let mut best: Option<f64> = None;
    for n in 0..times.max(1) {
        // A file is sealed anew each time, and so is another one to the nodes.
        let bare = carried::bare(&nodes.dir().join(format!("bare-{n}")), path)?;
        let ours = carried::carry(runtime, nodes, &mut pair, path)?;
        let share = bare.as_secs_f64() / ours.whole().as_secs_f64();
        best = Some(best.map_or(share, |best| best.max(share)));
        let speed = |took: Duration| mib as f64 / took.as_secs_f64();
        println!("figure files.bare_mib_per_s {:.0}", speed(bare));
        println!("figure files.ours_mib_per_s {:.0}", speed(ours.whole()));
        println!(
            "figure files.parts_ms {} {} {}",
            ours.sealed.as_millis(),
            ours.carried.as_millis(),
            ours.saved.as_millis()
        );
        println!("figure files.share_of_bare {share:.2}");
        println!("figure files.memory_kib {} {} {}", ours.memory[0] / 1024, ours.memory[1] / 1024, ours.devices / 1024);
    }
    println!("figure files.best_share_of_bare {:.2} (want 0.60)", best.unwrap_or_default());
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
