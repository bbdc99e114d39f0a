//! `postline-conformance`: runs the specification's vectors against an implementation in any language.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use postline_conformance::run::{Asked, Skips, run};
use postline_conformance::shim::{Shim, UNIMPLEMENTED};
use postline_conformance::vector::Family;
use postline_conformance::{generate, ours};
use serde_json::Value;

const USAGE: &str = "\
postline-conformance vectors [--family F] [--vectors DIR] [--skips FILE] [--deadline-ms N] [--json] [--shim CMD…]
postline-conformance generate [--vectors DIR]
postline-conformance shim

vectors   runs the vectors: against ourselves, or against the shim CMD (everything behind --shim)
generate  makes the vectors anew
shim      answers requests from standard input, as this implementation does

Exit status: 0 all passed, 1 some failed, 2 bad usage, 89 the shim implements nothing.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("vectors", rest)) => vectors(rest),
        Some(("generate", rest)) => make(rest),
        Some(("shim", [])) => answer_lines(),
        _ => Err(USAGE.to_owned()),
    };
    done.unwrap_or_else(|why| {
        // Where even this can't be written, the status still says it.
        let _ = writeln!(std::io::stderr(), "{}", why.trim_end());
        ExitCode::from(2)
    })
}

/// What was typed behind `vectors` or `generate`.
struct Options {
    dir: PathBuf,
    family: Option<String>,
    skips: Option<PathBuf>,
    deadline: Duration,
    json: bool,
    shim: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors"),
            family: None,
            skips: None,
            deadline: Duration::from_secs(10),
            json: false,
            shim: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--family" => options.family = Some(value()?),
                "--vectors" => options.dir = value()?.into(),
                "--skips" => options.skips = Some(value()?.into()),
                "--deadline-ms" => {
                    let ms = value()?.parse().map_err(|_| "--deadline-ms wants a number".to_owned())?;
                    options.deadline = Duration::from_millis(ms);
                }
                "--json" => options.json = true,
                "--shim" => options.shim = rest.by_ref().cloned().collect(),
                _ => return Err(format!("{argument}: no such option\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn vectors(arguments: &[String]) -> Result<ExitCode, String> {
    let options = Options::parse(arguments)?;
    let all = Family::read_all(&options.dir)?;
    let skips = match &options.skips {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
            Skips::parse(&text, &all)?
        }
        None => Skips::default(),
    };
    let wanted = |family: &Family| options.family.as_ref().is_none_or(|name| *name == family.name);
    let families: Vec<Family> = all.into_iter().filter(wanted).collect();
    if families.is_empty() {
        return Err("no such family, or no vectors".to_owned());
    }
    let mut asked = if options.shim.is_empty() {
        Asked::Ourselves
    } else {
        Asked::Shim(Box::new(Shim::new(options.shim, options.deadline)))
    };
    let report = run(&families, &mut asked, &skips);
    if asked.is_unimplemented() {
        say("the shim implements nothing\n")?;
        return Ok(ExitCode::from(UNIMPLEMENTED as u8));
    }
    say(&if options.json { format!("{}\n", report.to_json()) } else { report.to_text() })?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn make(arguments: &[String]) -> Result<ExitCode, String> {
    let options = Options::parse(arguments)?;
    for family in generate::write(&options.dir)? {
        say(&format!("{}: {} vectors, {} negative\n", family.name, family.vectors.len(), family.negative()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// This implementation as a shim: the same answers by the same protocol.
fn answer_lines() -> Result<ExitCode, String> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|why| why.to_string())?;
        let request: Value = serde_json::from_str(&line).map_err(|why| format!("no JSON: {why}"))?;
        let text = |name| request.get(name).and_then(Value::as_str).unwrap_or_default();
        let answer = ours::answer(text("op"), request.get("input").unwrap_or(&Value::Null));
        say(&format!("{}\n", answer.to_line(text("id"))))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|why| why.to_string())
}
