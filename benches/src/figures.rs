//! Samples and what is said of them.

use std::fmt;
use std::time::Duration;

/// Durations that were measured, in microseconds, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Of these durations.
    #[must_use]
    pub fn of(durations: &[Duration]) -> Self {
        let mut samples: Vec<f64> = durations.iter().map(|duration| duration.as_secs_f64() * 1e6).collect();
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self.0.sort_by(f64::total_cmp);
        self
    }

    /// The value that so many percent of the samples don't exceed (nearest rank), in microseconds.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(rank).copied().unwrap_or(f64::NAN)
    }

    /// The median, in microseconds.
    #[must_use]
    pub fn p50(&self) -> f64 {
        self.percentile(50)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// As the cells of a table row, in milliseconds: median, 95 %, 99 %, least, and how many.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99] = [50, 95, 99].map(|percent| self.percentile(percent) / 1e3);
        let least = self.0.first().copied().unwrap_or(f64::NAN) / 1e3;
        write!(f, "{p50:.3} | {p95:.3} | {p99:.3} | {least:.3} | {}", self.count())
    }
}

/// A bound that the project set itself, and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What is compared.
    pub what: &'static str,
    /// The value, where it could be measured.
    pub value: Option<f64>,
    /// The bound.
    pub bound: f64,
    /// Whether the value must not be less than the bound; else it must not be more.
    pub at_least: bool,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_least { "≥" } else { "≤" };
        match self.value {
            None => write!(f, "{} | {sign} {} | not measured | –", self.what, self.bound),
            Some(value) => {
                let holds = if self.at_least { value >= self.bound } else { value <= self.bound };
                let verdict = if holds { "holds" } else { "missed" };
                write!(f, "{} | {sign} {} | {value:.4} | {verdict}", self.what, self.bound)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_that_were_seen() {
        let samples = Samples::of(&[3, 1, 2, 4].map(Duration::from_micros));
        assert_eq!([50, 75, 99].map(|percent| samples.percentile(percent)), [2.0, 3.0, 4.0]);
        assert!(Samples::default().p50().is_nan());
    }

    #[test]
    fn a_gate_says_whether_it_holds() {
        let gate = Gate { what: "x", value: Some(3.5), bound: 3.0, at_least: false };
        assert!(gate.to_string().ends_with("missed"));
        assert!(Gate { at_least: true, ..gate }.to_string().ends_with("holds"));
    }
}
