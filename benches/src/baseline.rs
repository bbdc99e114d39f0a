//! Instruction counts that were once found good: what costs more than they say, by more than a little, is a regression.
//!
//! Counts are the same from run to run, not from compiler to compiler nor from one kind of CPU to another (hashing and
//! searching use what the CPU has). So the file says on what it was made, and elsewhere its numbers are only shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::Fault;

/// How much more than the baseline a count may be.
pub const TOLERANCE: f64 = 1.03;

/// Counts by name, and what they were made on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    made_on: String,
    counts: BTreeMap<String, f64>,
}

/// How counts compare with a baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The work that got dearest, and by which factor; `None` where nothing is known of any.
    pub worst: Option<(String, f64)>,
    /// Whether the baseline was made on what runs now, so that it binds.
    pub binds: bool,
}

impl Verdict {
    /// Whether it may pass.
    #[must_use]
    pub fn passes(&self) -> bool {
        !self.binds || self.worst.as_ref().is_none_or(|(_, factor)| *factor <= TOLERANCE)
    }
}

/// Where the file lies.
#[must_use]
pub fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.tsv"))
}

/// Compiler, profile and CPU, in one line.
#[must_use]
pub fn here() -> String {
    let rustc = Command::new("rustc").arg("-V").output();
    let rustc = rustc.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
    let profile = if cfg!(debug_assertions) { "dev profile" } else { "release" };
    format!("{rustc}, {profile}, {}", cpu.unwrap_or("unknown CPU"))
}

impl Baseline {
    /// These counts, made here.
    #[must_use]
    pub fn of(counts: &[(&str, f64)]) -> Self {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), count.round())).collect();
        Self { made_on: here(), counts }
    }

    /// Reads what [`text`](Self::text) wrote.
    ///
    /// # Errors
    /// A line that is none.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut baseline = Self::default();
        for line in text.lines() {
            match line.split_once('\t') {
                None => line.strip_prefix("# made on ").unwrap_or_default().clone_into(&mut baseline.made_on),
                Some((name, count)) => _ = baseline.counts.insert(name.to_owned(), count.parse()?),
            }
        }
        Ok(baseline)
    }

    /// As it is kept.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("# made on {}\n", self.made_on);
        for (name, count) in &self.counts {
            // Text is written to memory.
            let _ = writeln!(text, "{name}\t{count}");
        }
        text
    }

    /// How these counts, found here, compare.
    #[must_use]
    pub fn judge(&self, found: &Self) -> Verdict {
        let factor = |(name, count): (&String, &f64)| Some((name.clone(), count / self.counts.get(name)?));
        let worst = found.counts.iter().filter_map(factor).max_by(|one, two| one.1.total_cmp(&two.1));
        Verdict { worst, binds: self.made_on == found.made_on }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_dearer_by_more_than_a_little_is_a_regression_where_the_baseline_binds() {
        let kept = Baseline::of(&[("body", 1_000.0), ("tags", 500.0)]);
        assert_eq!(Baseline::parse(&kept.text()).unwrap(), kept);
        let good = kept.judge(&Baseline::of(&[("body", 1_029.0), ("tags", 400.0), ("new", 9.0)]));
        assert_eq!(good.worst, Some(("body".to_owned(), 1.029)));
        assert!(good.passes());
        let dear = Baseline::of(&[("tags", 520.0)]);
        assert!(!kept.judge(&dear).passes());
        assert!(Baseline { made_on: "elsewhere".into(), ..kept }.judge(&dear).passes(), "shown, not binding");
    }
}
