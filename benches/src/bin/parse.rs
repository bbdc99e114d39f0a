//! What reading and deciding cost, in instructions: the same on a busy machine as on an idle one.
//!
//! ```text
//!   cargo run -p postline-benches --bin parse                      prints counts; gates slope and regression
//!   … --bin parse -- --keep                                        these counts are good: benches/instructions.tsv
//!   … --bin parse -- said SIZE…                                    what an event costs in conversations of these sizes, heard whole
//!   … --bin parse -- once WORK SIZE TIMES                          the work itself: what valgrind runs
//! ```
//!
//! The slope is cost(2n) ÷ cost(n): 2 for a reader that looks at each byte a fixed number of times, 4 for a quadratic one.
//! Each count is the difference of two runs of the same program, so that its start and its set-up don't count.
//!
//! What is said has no slope: one more event must cost the same in a conversation of any length.

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use postline_benches::Fault;
use postline_benches::baseline::{self, Baseline};
use postline_benches::desk::Desk;
use postline_benches::said::{BATCH, Talked};
use postline_codec::mime::{authors, field, scan};
use postline_codec::stream::{FrameReader, encode};
use postline_core::id::{Address, BlobRef, CarryId};
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::frame::{Carry, ExpressEnvelope, Frame};

/// The steepest slope that is let pass.
const SLOPE: f64 = 2.3;

/// How many events a conversation has, in which one more must cost the same.
const TALKS: [usize; 3] = [100, 1_000, 10_000];
/// How much more, or less, it may cost in one than in another.
const FLAT: f64 = 1.1;
/// How many records the last screen of the longest may read, and how many messages it shows.
const SCREEN: (usize, usize) = (200, 50);

/// One kind of input, which can be made longer.
struct Work {
    name: &'static str,
    /// What size 1 is, for the table.
    unit: &'static str,
    /// The size at which the slope is taken.
    size: usize,
    make: fn(usize) -> Vec<u8>,
    /// Reads it; whether all of it was read, and none refused.
    read: fn(&[u8]) -> bool,
}

const WORKS: [Work; 8] = [
    Work { name: "body", unit: "line of 72 bytes", size: 800, make: long_body, read: read_mail },
    Work { name: "fields", unit: "header field", size: 100, make: many_fields, read: read_mail },
    Work { name: "field", unit: "recipient in one field", size: 64, make: long_field, read: read_mail },
    Work { name: "parts", unit: "MIME part", size: 100, make: many_parts, read: read_mail },
    Work { name: "dashes", unit: "line of 72 dashes in a part", size: 800, make: many_dashes, read: read_mail },
    Work { name: "frames", unit: "Carry of 400 bytes", size: 100, make: many_frames, read: read_frames },
    Work { name: "tags", unit: "tag of a Postline field", size: 7, make: many_tags, read: read_tags },
    Work { name: "steps", unit: "mail decided, delivered", size: 50, make: mail_to_many_times, read: step_mails },
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            // Nothing better can be done where even this fails.
            let _ = writeln!(std::io::stderr(), "parse: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [once, name, size, times] = args.as_slice()
        && once == "once"
    {
        if let said @ ("said" | "said-whole") = name.as_str() {
            let mut talked = Talked::of(size.parse()?, said == "said-whole")?;
            for _ in 0..times.parse::<usize>()? {
                talked.apply()?;
            }
            return Ok(true);
        }
        let work = WORKS.iter().find(|work| work.name == name).ok_or("no such work")?;
        let input = (work.make)(size.parse()?);
        for _ in 0..times.parse::<usize>()? {
            if !(work.read)(black_box(&input)) {
                return Err("what is to be measured was refused".into());
            }
        }
        return Ok(true);
    }
    let mut out = std::io::stdout();
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        writeln!(out, "skipped: no valgrind, so no instruction is counted")?;
        return Ok(true);
    }
    if let Some(("said", sizes)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
        return Ok(said(&mut out, "said-whole", &sizes)?.1);
    }
    writeln!(out, "| work | n | instructions for n | for each | slope |\n|---|---|---|---|---|")?;
    let (mut steepest, mut counts) = (("", 0.0), Vec::new());
    for work in &WORKS {
        let (single, double) = (instructions(work, work.size)?, instructions(work, 2 * work.size)?);
        let slope = double / single;
        counts.push((work.name, single));
        if slope > steepest.1 {
            steepest = (work.name, slope);
        }
        let each = single / work.size as f64;
        writeln!(out, "| {}: {} | {} | {single:.0} | {each:.0} | {slope:.2} |", work.name, work.unit, work.size)?;
    }
    let lone = instructions(&Work { size: 1, ..WORKS[0] }, 3)?;
    writeln!(out, "\nReading a mail of 3 short lines once: {lone:.0} instructions.")?;
    let (event, flat) = said(&mut out, "said", &TALKS)?;
    counts.push(("said", event));
    writeln!(out, "figure parse.slope {:.2} ({}; at most {SLOPE})", steepest.1, steepest.0)?;
    let found = Baseline::of(&counts);
    if args == ["--keep"] {
        fs::write(baseline::file(), found.text())?;
        return Ok(steepest.1 <= SLOPE && flat);
    }
    let verdict = Baseline::parse(&fs::read_to_string(baseline::file())?)?.judge(&found);
    let (name, factor) = verdict.worst.clone().unwrap_or_default();
    let binds = if verdict.binds { "at most 1.03" } else { "not binding: another compiler, profile or CPU" };
    writeln!(out, "figure parse.regression {factor:.3} ({name}; {binds})")?;
    Ok(steepest.1 <= SLOPE && flat && verdict.passes())
}

/// What one more event costs in conversations of these lengths, and what opening the longest reads: the cost in the first, and
/// whether both are within bounds.
fn said(out: &mut impl std::io::Write, work: &str, sizes: &[usize]) -> Result<(f64, bool), Fault> {
    writeln!(out, "\n| events in a conversation | instructions to apply one more |\n|---|---|")?;
    let mut costs = Vec::new();
    for size in sizes {
        let cost = (count(work, *size, 2)? - count(work, *size, 1)?) / BATCH as f64;
        writeln!(out, "| {size} | {cost:.0} |")?;
        costs.push(cost);
    }
    let first = costs.first().copied().ok_or("no sizes")?;
    let most = costs.iter().map(|cost| (cost / first).max(first / cost)).fold(1.0, f64::max);
    let longest = sizes.iter().max().copied().unwrap_or_default();
    let (reads, shown) = SCREEN;
    let read = Talked::of(longest as u64, false)?.screen(shown)?;
    writeln!(out, "\nfigure said.flat {most:.3} (at most {FLAT})")?;
    writeln!(out, "figure said.records_of_the_last_screen {read} (of {longest} events; at most {reads})")?;
    Ok((first, most <= FLAT && read <= reads))
}

/// What reading once costs: two readings less one.
fn instructions(work: &Work, size: usize) -> Result<f64, Fault> {
    Ok(count(work.name, size, 2)? - count(work.name, size, 1)?)
}

fn count(work: &str, size: usize, times: usize) -> Result<f64, Fault> {
    let log = std::env::temp_dir().join(format!("postline-parse-{}", std::process::id()));
    let counted = count_into(work, size, times, &log);
    // It may not have been made.
    let _ = fs::remove_file(&log);
    counted
}

fn count_into(work: &str, size: usize, times: usize, log: &Path) -> Result<f64, Fault> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(format!("--log-file={}", log.display())).arg(std::env::current_exe()?);
    valgrind.args(["once", work, &size.to_string(), &times.to_string()]);
    if !valgrind.status()?.success() {
        return Err(format!("{work} of {size} failed").into());
    }
    let said = fs::read_to_string(log)?;
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing: {said}").into())
}

fn head() -> String {
    "From: one@a.example\r\nTo: two@b.example\r\nSubject: measured\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
     Message-ID: <measured@a.example>\r\nIn-Reply-To: <before@b.example>\r\nReferences: <before@b.example>\r\n\
     MIME-Version: 1.0\r\n"
        .to_owned()
}

fn long_body(lines: usize) -> Vec<u8> {
    let line = "The quick brown fox jumps over the lazy dog near the quiet river bank.\r\n";
    format!("{}Content-Type: text/plain\r\n\r\n{}", head(), line.repeat(lines)).into_bytes()
}

fn many_fields(fields: usize) -> Vec<u8> {
    let fields: String = (0..fields).map(|n| format!("X-Field-{n}: something that somebody said\r\n")).collect();
    format!("{}{fields}\r\nbody\r\n", head()).into_bytes()
}

fn long_field(recipients: usize) -> Vec<u8> {
    let rest: String = (0..recipients).map(|n| format!(",\r\n =?UTF-8?Q?Al=C3=ADce?= <r{n}@b.example>")).collect();
    format!("{}Cc: first@b.example{rest}\r\n\r\nbody\r\n", head()).into_bytes()
}

fn many_parts(parts: usize) -> Vec<u8> {
    let parts: String = (0..parts).map(|n| format!("--b\r\nContent-Type: text/plain\r\n\r\npart {n}\r\n")).collect();
    format!("{}Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n", head()).into_bytes()
}

/// Each dash might begin a boundary; this one's does with as many as may be.
fn many_dashes(lines: usize) -> Vec<u8> {
    let (boundary, line) = (format!("{}x", "-".repeat(60)), format!("{}\r\n", "-".repeat(72)));
    let body = format!("--{boundary}\r\n\r\n{}\r\n--{boundary}--\r\n", line.repeat(lines));
    format!("{}Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n{body}", head()).into_bytes()
}

#[expect(clippy::expect_used, reason = "the addresses are written above")]
fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn many_frames(frames: usize) -> Vec<u8> {
    let (mut bytes, body) = (Vec::new(), vec![b'x'; 400]);
    let blob = BlobRef { sha256: sha256(&[&body]), len: body.len() as u64 };
    for seq in 0..frames as u64 {
        let envelope = ExpressEnvelope {
            from: address("one@a.example"),
            to: vec![address("two@b.example")],
            submitted: Millis(1_790_000_000_000),
        };
        let carry = Frame::Carry(Carry { seq, id: CarryId([7; 16]), envelope, body: blob });
        let encoded = encode(&carry, Some(&body), &mut bytes);
        debug_assert!(encoded.is_ok(), "the body is the one that the frame names");
    }
    bytes
}

fn many_tags(tags: usize) -> Vec<u8> {
    let tags: Vec<String> = (0..tags).map(|n| format!("a{n}=0123456789abcdefghijkl")).collect();
    format!(" {}", tags.join(";\r\n ")).into_bytes()
}

/// The number of times first, then the mail.
fn mail_to_many_times(times: usize) -> Vec<u8> {
    let mail = long_body(3);
    [&(times as u64).to_be_bytes()[..], &mail].concat()
}

fn read_mail(bytes: &[u8]) -> bool {
    let head = scan(bytes);
    !black_box(authors(bytes)).is_empty() && black_box(head).canonical().is_some()
}

fn read_frames(mut bytes: &[u8]) -> bool {
    let mut reader = FrameReader::new();
    reader.proven();
    loop {
        let taken = reader.push(bytes.get(..8 * 1024).unwrap_or(bytes));
        bytes = bytes.get(taken..).unwrap_or_default();
        loop {
            match reader.next() {
                Ok(Some(frame)) => _ = black_box(frame),
                Ok(None) if bytes.is_empty() => return true,
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
}

fn read_tags(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| black_box(field::parse(text)).is_ok())
}

fn step_mails(bytes: &[u8]) -> bool {
    let Some((times, mail)) = bytes.split_first_chunk() else { return false };
    let Ok(mut desk) = Desk::new(mail) else { return false };
    (0..u64::from_be_bytes(*times)).all(|number| black_box(desk.deliver(number)).is_ok_and(|delivered| delivered))
}
