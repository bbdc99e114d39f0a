//! One clock for the whole protocol: milliseconds since 1970-01-01 UTC.
//!
//! The host reads a clock and hands the reading in with each [`Tick`](crate::step::Tick); nothing in this crate does.

use core::fmt;

/// A point in time, in milliseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The end of time: later than any reading of a clock.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `ms` milliseconds later, or [`Millis::NEVER`] where that overflows.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since 1970, as the header fields carry them.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// The point that a header field's whole seconds name.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One second, in milliseconds.
pub const SECOND: u64 = 1_000;
/// One minute, in milliseconds.
pub const MINUTE: u64 = 60 * SECOND;
/// One hour, in milliseconds.
pub const HOUR: u64 = 60 * MINUTE;
/// One day, in milliseconds.
pub const DAY: u64 = 24 * HOUR;
