//! Runs seeds of the world until their number, or the time, is up.
//!
//! ```text
//!   world [--seeds N] [--seconds S] [--from X]     many runs; stops at the first that breaks a promise
//!   world --seed X                                 one run, told line by line
//!   world … --canary NAME                          the same, with a seeded bug
//!   world … --devices                              the same, with devices in every run
//!   world … --files                                the same, whose people send each other files
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]
#![allow(clippy::disallowed_methods, reason = "the runner alone knows real time, to end in it")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postline_core::canary::{self, Canary};
use postline_world::run::{Run, run, run_with_devices, run_with_files};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(wanted) = Wanted::parse(&args) else {
        eprintln!(
            "usage: world [--seeds N] [--seconds S] [--from X] | world --seed X, each with [--canary NAME] [--devices | --files]"
        );
        return ExitCode::from(2);
    };
    canary::set(wanted.canary);
    match wanted.seed {
        Some(seed) => tell(&wanted.run(seed, true)),
        None => many(&wanted),
    }
}

#[derive(Debug, Default)]
struct Wanted {
    seeds: Option<u64>,
    seconds: Option<u64>,
    from: u64,
    seed: Option<u64>,
    canary: Option<Canary>,
    devices: bool,
    files: bool,
}

impl Wanted {
    fn parse(args: &[String]) -> Option<Self> {
        let mut wanted = Self::default();
        let is_flag = |arg: &&String| matches!(arg.as_str(), "--devices" | "--files");
        let (flags, args): (Vec<&String>, Vec<&String>) = args.iter().partition(is_flag);
        wanted.devices = !flags.is_empty();
        wanted.files = flags.iter().any(|flag| *flag == "--files");
        for pair in args.chunks(2) {
            let [name, value] = pair else { return None };
            if *name == "--canary" {
                wanted.canary = Some(Canary::ALL.into_iter().find(|canary| format!("{canary:?}") == **value)?);
                continue;
            }
            let value = value.parse().ok()?;
            match name.as_str() {
                "--seeds" => wanted.seeds = Some(value),
                "--seconds" => wanted.seconds = Some(value),
                "--from" => wanted.from = value,
                "--seed" => wanted.seed = Some(value),
                _ => return None,
            }
        }
        Some(wanted)
    }

    fn run(&self, seed: u64, reads: bool) -> Run {
        if self.files {
            run_with_files(seed, &[], reads)
        } else if self.devices {
            run_with_devices(seed, &[], reads)
        } else {
            run(seed, reads)
        }
    }
}

fn tell(run: &Run) -> ExitCode {
    run.lines.iter().for_each(|line| println!("{line}"));
    println!("seed {}, {} steps, trace {:016x}\nweather: {}", run.seed, run.steps, run.hash, run.weather);
    match &run.broken {
        Some((invariant, what)) => {
            println!("broken {invariant}: {what}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(wanted: &Wanted) -> ExitCode {
    let until = wanted.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let end = match (wanted.seeds, until) {
        (Some(seeds), _) => wanted.from.saturating_add(seeds),
        (None, Some(_)) => u64::MAX,
        (None, None) => wanted.from.saturating_add(100),
    };
    let next = AtomicU64::new(wanted.from);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let totals = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&next, end, until, wanted))).collect();
        workers.into_iter().map(|worker| worker.join()).collect::<Vec<_>>()
    });
    let mut sum = Totals::default();
    for total in totals {
        match total {
            Ok(total) => sum.add(total),
            Err(_) => return ExitCode::FAILURE,
        }
    }
    if wanted.files {
        let (fetched, failed) = sum.files;
        println!("figure world_files {} seeds, {} steps, {fetched} fetched, {failed} not", sum.seeds, sum.steps);
    } else if wanted.devices {
        let Totals { seeds, steps, devices, sealed, shown, whispered: (seen, written), .. } = sum;
        println!(
            "figure world_devices {seeds} seeds, {steps} steps, {devices} devices, {sealed} sealed, {shown} shown, \
             {seen} times seen, {written} writing"
        );
    } else {
        println!("figure world_seeds {}", sum.seeds);
        println!("figure world_steps {}", sum.steps);
        println!("figure world_mails {}", sum.mails);
        println!("figure world_lines {}", sum.lines);
    }
    match sum.failed.into_iter().min_by_key(|run| run.seed) {
        Some(failed) => tell(&wanted.run(failed.seed, true)),
        None => ExitCode::SUCCESS,
    }
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    steps: u64,
    mails: usize,
    lines: usize,
    devices: usize,
    sealed: usize,
    shown: usize,
    whispered: (u64, u64),
    files: (u64, u64),
    failed: Vec<Run>,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.mails += other.mails;
        self.lines += other.lines;
        self.devices += other.devices;
        self.sealed += other.sealed;
        self.shown += other.shown;
        self.whispered.0 += other.whispered.0;
        self.whispered.1 += other.whispered.1;
        self.files.0 += other.files.0;
        self.files.1 += other.files.1;
        self.failed.extend(other.failed);
    }
}

fn work(next: &AtomicU64, end: u64, until: Option<Instant>, wanted: &Wanted) -> Totals {
    canary::set(wanted.canary);
    let mut totals = Totals::default();
    while until.is_none_or(|until| Instant::now() < until) && totals.failed.is_empty() {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        let run = std::panic::catch_unwind(|| wanted.run(seed, false));
        let Ok(run) = run else {
            eprintln!("seed {seed} panicked");
            std::process::exit(1);
        };
        totals.seeds += 1;
        totals.steps += run.steps;
        totals.mails += run.mails;
        totals.lines += run.lines_up;
        totals.devices += run.devices;
        totals.sealed += run.sealed;
        totals.shown += run.shown;
        totals.whispered.0 += run.whispered.0;
        totals.whispered.1 += run.whispered.1;
        totals.files.0 += run.files.0;
        totals.files.1 += run.files.1;
        if run.broken.is_some() {
            totals.failed.push(run);
            next.store(end, Ordering::Relaxed);
        }
    }
    totals
}
