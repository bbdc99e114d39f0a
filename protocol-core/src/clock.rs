//! One time of two clocks: it never runs back, never stands still, and never leaps far without the operator's word
//! (attack 110).
//!
//! ```text
//!   the wall clock is                    the time goes on
//!   ahead, by at most CLOCK_JUMP_MS      with the wall clock
//!   behind, by at most CLOCK_JUMP_MS     at half speed, until the wall clock has caught up
//!   further off                          by what passed, and `Steady::jump` says so
//! ```
//!
//! A host reads two clocks and asks this for each tick; timers that stood still while a clock is set back would leave
//! every peer waiting for as long.

use crate::limits::CLOCK_JUMP_MS;
use crate::time::Millis;

/// Makes of a wall clock and of time that passed the time of the ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steady {
    last: Millis,
    /// Half milliseconds left over while the wall clock is behind.
    halves: u64,
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

impl Steady {
    /// Starts at the wall clock's time.
    #[must_use]
    pub const fn start(wall: Millis) -> Self {
        Self { last: wall, halves: 0, jump: None }
    }

    /// The time, `passed` milliseconds after the last reading. The second value is a jump that was just found.
    pub fn read(&mut self, passed: u64, wall: Millis) -> (Millis, Option<Jump>) {
        let steady = self.last.plus(passed);
        let far = wall.since(steady).max(steady.since(wall)) > CLOCK_JUMP_MS;
        let found = (far && self.jump.is_none()).then_some(Jump { steady, wall });
        self.jump = if far { self.jump.or(found) } else { None };
        if far || steady <= wall {
            (self.last, self.halves) = (if far { steady } else { wall }, 0);
        } else {
            let halves = self.halves.saturating_add(passed);
            let slowed = self.last.plus(halves / 2);
            (self.last, self.halves) = if slowed < wall { (wall, 0) } else { (slowed, halves % 2) };
        }
        (self.last, found)
    }

    /// How many milliseconds pass until the time is `at`, with the wall clock at `wall` now.
    #[must_use]
    pub const fn until(&self, at: Millis, wall: Millis) -> u64 {
        let (left, behind) = (at.since(self.last), self.last.since(wall));
        if self.jump.is_some() {
            left
        } else if left <= behind {
            left.saturating_mul(2)
        } else {
            left.saturating_add(behind)
        }
    }

    /// The jump that waits for the operator's word, if one does.
    #[must_use]
    pub const fn jump(&self) -> Option<Jump> {
        self.jump
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY, MINUTE, SECOND};

    const START: Millis = Millis(1_000_000_000);

    /// [S-6]
    #[test]
    fn t_110_a_leap_by_years_moves_no_timer_until_the_operator_says_so() {
        let mut clock = Steady::start(START);
        let years = START.plus(5 * 365 * DAY);
        let (now, jump) = clock.read(SECOND, years);
        assert_eq!(now, START.plus(SECOND), "time went on by what passed, not by what the wall clock says");
        assert_eq!(jump, Some(Jump { steady: START.plus(SECOND), wall: years }));
        assert_eq!(clock.until(START.plus(2 * SECOND), years), SECOND);
        let (now, again) = clock.read(SECOND, years.plus(SECOND));
        assert_eq!((now, again), (START.plus(2 * SECOND), None), "and it is reported once");
        let (now, _) = clock.read(SECOND, START.plus(3_050));
        assert_eq!((now, clock.jump()), (START.plus(3_050), None), "the wall clock came back to its senses");
    }

    #[test]
    fn t_110_a_clock_set_back_slows_timers_and_stops_none() {
        let mut clock = Steady::start(START);
        let back = |passed: u64| Millis(START.0 + passed - 36 * MINUTE);
        for passed in 1..=20_001 {
            assert_eq!(clock.read(1, back(passed)).0, START.plus(passed / 2), "read every millisecond");
        }
        assert_eq!(clock.until(START.plus(20_000), back(20_001)), 20_000);
        let caught_up = 72 * MINUTE;
        assert_eq!(clock.read(caught_up - 20_001, back(caught_up)).0, START.plus(36 * MINUTE));
        assert_eq!(clock.read(10, back(caught_up + 10)).0, START.plus(36 * MINUTE + 10), "then at full speed");
    }

    #[test]
    fn the_wait_that_is_promised_is_the_one_that_comes() {
        for behind in [0, 1, 7, 500, 10_000] {
            for left in [1, 2, 499, 500, 501, 20_000] {
                let mut clock = Steady::start(START);
                let wall = Millis(START.0 - behind);
                let wait = clock.until(START.plus(left), wall);
                assert!(clock.read(wait, wall.plus(wait)).0 >= START.plus(left), "{behind} behind, {left} left");
                let mut early = Steady::start(START);
                assert!(early.read(wait - 1, wall.plus(wait - 1)).0 < START.plus(left), "{behind} behind, {left} left");
            }
        }
    }

    #[test]
    fn t_110_time_never_runs_back() {
        let mut clock = Steady::start(START);
        let mut last = Millis(0);
        for wall in [1_000_010_000, 999_000_000, 1_000_000_500, 5, 1_000_050_100] {
            let (now, _) = clock.read(10 * SECOND, Millis(wall));
            assert!(now > last, "{now} came after {last}");
            last = now;
        }
    }
}
