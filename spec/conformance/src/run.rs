//! Runs vectors against an implementation, and says what came of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::ours;
use crate::shim::Shim;
use crate::vector::{Family, Vector};

/// Who is asked.
pub enum Asked {
    /// This implementation, in this process.
    Ourselves,
    /// A child process.
    Shim(Box<Shim>),
}

impl Asked {
    /// The answer, or why none came.
    fn ask(&mut self, family: &str, vector: &Vector) -> Result<Answer, String> {
        match self {
            Self::Ourselves => Ok(ours::answer(&vector.op, &vector.input)),
            Self::Shim(shim) => shim.ask(&vector.id, &vector.to_request(family)),
        }
    }

    /// Whether it says that it implements nothing.
    #[must_use]
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Shim(shim) if shim.is_unimplemented())
    }
}

/// What need not pass, and why: by a vector's id or by an op.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips(BTreeMap<String, String>);

impl Skips {
    /// Reads a file's text: a line is an id or an op, and the reason behind it; `#` begins a comment.
    ///
    /// # Errors
    /// The line that has no reason, or names what no vector has.
    pub fn parse(text: &str, families: &[Family]) -> Result<Self, String> {
        let mut skips = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (what, reason) = line.split_once(char::is_whitespace).ok_or(format!("{line}: no reason"))?;
            let mut all = families.iter().flat_map(|family| &family.vectors);
            if !all.any(|vector| vector.id == what || vector.op == what) {
                return Err(format!("{what}: no vector and no op"));
            }
            skips.insert(what.to_owned(), reason.trim().to_owned());
        }
        Ok(Self(skips))
    }

    fn reason(&self, vector: &Vector) -> Option<&str> {
        self.0.get(&vector.id).or_else(|| self.0.get(&vector.op)).map(String::as_str)
    }
}

/// What came of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Its name.
    pub family: String,
    /// How many vectors it has.
    pub vectors: usize,
    /// How many of them want a refusal.
    pub negative: usize,
    /// How many passed.
    pub passed: usize,
    /// How many were skipped, each with its reason.
    pub skipped: usize,
}

/// A vector that wasn't answered as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub id: String,
    /// What it shows.
    pub shows: String,
    /// What is wrong.
    pub what: String,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By family.
    pub tallies: Vec<Tally>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What was skipped: id and reason.
    pub skipped: Vec<(String, String)>,
}

/// Runs every vector of these families.
pub fn run(families: &[Family], asked: &mut Asked, skips: &Skips) -> Report {
    let mut report = Report::default();
    for family in families {
        let (mut passed, mut skipped) = (0, 0);
        for vector in &family.vectors {
            let got = asked.ask(&family.name, vector);
            let good = got.as_ref() == Ok(&vector.want);
            let mut fail = |what: String| {
                report.failures.push(Failure { id: vector.id.clone(), shows: vector.shows.clone(), what });
            };
            match (skips.reason(vector), good) {
                (None, true) => passed += 1,
                (Some(reason), true) => fail(format!("passes, and is skipped: {reason}")),
                (Some(reason), false) => {
                    skipped += 1;
                    report.skipped.push((vector.id.clone(), reason.to_owned()));
                }
                (None, false) => match got {
                    Ok(got) => fail(format!("{got}, want {}", vector.want)),
                    Err(why) => fail(why),
                },
            }
        }
        let (name, vectors, negative) = (family.name.clone(), family.vectors.len(), family.negative());
        report.tallies.push(Tally { family: name, vectors, negative, passed, skipped });
    }
    report
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// For people: a line a failure, a line a family, a summary.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Failure { id, shows, what } in &self.failures {
            text += &format!("FAILED {id} ({shows}): {what}\n");
        }
        for (id, reason) in &self.skipped {
            text += &format!("skipped {id}: {reason}\n");
        }
        for Tally { family, vectors, negative, .. } in &self.tallies {
            text += &format!("figure vectors.{family} {vectors} ({negative} negative)\n");
        }
        let sum = |of: fn(&Tally) -> usize| self.tallies.iter().map(of).sum::<usize>();
        let (passed, skipped, failed) = (sum(|t| t.passed), sum(|t| t.skipped), self.failures.len());
        text + &format!("{passed} passed, {failed} failed, {skipped} skipped\n")
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let family = |t: &Tally| {
            json!({ "family": t.family, "vectors": t.vectors, "negative": t.negative, "passed": t.passed,
                "skipped": t.skipped })
        };
        let failure = |f: &Failure| json!({ "id": f.id, "shows": f.shows, "what": f.what });
        let skip = |(id, reason): &(String, String)| json!({ "id": id, "reason": reason });
        json!({
            "good": self.is_good(),
            "families": self.tallies.iter().map(family).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
            "skipped": self.skipped.iter().map(skip).collect::<Vec<_>>(),
        })
    }
}
