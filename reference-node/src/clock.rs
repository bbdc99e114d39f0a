//! The node's one clock: wall time that never runs back and never leaps without the operator's word (attack 110).
//!
//! Between readings the monotonic clock says how much time has passed. Where the wall clock agrees within an hour it is
//! followed; where it doesn't, time goes on steadily from where it was and the difference is reported, until the
//! operator says `postline clock accept`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postline_core::limits::CLOCK_JUMP_MS;
use postline_core::time::Millis;

/// The node's clock.
#[derive(Debug)]
pub struct Clock {
    anchor: Instant,
    base: Millis,
    last: Millis,
    jump: Option<Jump>,
}

/// A wall clock that went another way than time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// What the time should be.
    pub steady: Millis,
    /// What the wall clock says.
    pub wall: Millis,
}

impl Clock {
    /// Starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        let now = wall();
        Self { anchor: instant(), base: now, last: now, jump: None }
    }

    /// The time now. The second value is a jump that was just found.
    pub fn now(&mut self) -> (Millis, Option<Jump>) {
        let passed = instant().saturating_duration_since(self.anchor);
        self.read(passed, wall())
    }

    fn read(&mut self, passed: Duration, wall: Millis) -> (Millis, Option<Jump>) {
        let steady = self.base.plus(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        let far = wall.since(steady).max(steady.since(wall)) > CLOCK_JUMP_MS;
        let found = (far && self.jump.is_none()).then_some(Jump { steady, wall });
        self.jump = if far { self.jump.or(found) } else { None };
        // Small differences (NTP) are followed forwards, and waited out backwards.
        self.last = self.last.max(if far { steady } else { wall.max(self.last) });
        (self.last, found)
    }

    /// The jump that waits for the operator's word, if one does.
    #[must_use]
    pub const fn jump(&self) -> Option<Jump> {
        self.jump
    }

    /// Follows the wall clock from here on, as the operator says. It still never runs back.
    pub fn accept(&mut self) {
        (self.anchor, self.base, self.jump) = (instant(), wall(), None);
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the node reads the monotonic clock")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where the node reads the wall clock")]
fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn clock() -> Clock {
        Clock { anchor: instant(), base: Millis(1_000_000_000), last: Millis(1_000_000_000), jump: None }
    }

    #[test]
    fn t_110_a_leap_by_years_moves_no_timer_until_the_operator_says_so() {
        let mut clock = clock();
        let years = Millis(1_000_000_000 + 5 * 365 * 24 * HOUR);
        let (now, jump) = clock.read(Duration::from_secs(1), years);
        assert_eq!(now, Millis(1_000_001_000), "time went on by what passed, not by what the wall clock says");
        assert_eq!(jump, Some(Jump { steady: Millis(1_000_001_000), wall: years }));
        let (now, again) = clock.read(Duration::from_secs(2), years.plus(1_000));
        assert_eq!((now, again), (Millis(1_000_002_000), None), "and it is reported once");
        let (now, _) = clock.read(Duration::from_secs(3), Millis(1_000_003_050));
        assert_eq!((now, clock.jump()), (Millis(1_000_003_050), None), "the wall clock came back to its senses");
    }

    #[test]
    fn t_110_time_never_runs_back() {
        let mut clock = clock();
        let mut last = Millis(0);
        for (passed, wall) in
            [(10, 1_000_010_000), (20, 999_000_000), (30, 1_000_000_500), (40, 5), (50, 1_000_050_100)]
        {
            let (now, _) = clock.read(Duration::from_secs(passed), Millis(wall));
            assert!(now >= last, "{now} came after {last}");
            last = now;
        }
    }
}
