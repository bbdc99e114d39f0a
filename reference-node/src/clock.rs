//! The node's one clock: reads the machine's two, and lets [`Steady`] make one time of them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use postline_core::clock::Steady;
use postline_core::time::Millis;

pub use postline_core::clock::Jump;

/// The node's clock. Where the wall clock leaps by more than an hour, time goes on steadily and the difference is
/// reported, until the operator says `postline clock accept`.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The wall clock.
    wall: fn() -> Millis,
    /// When it was last read, to the millisecond that was given out.
    read: Instant,
    steady: Steady,
}

impl Clock {
    /// Starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        Self::over(wall)
    }

    /// Starts at the time of another wall clock.
    #[must_use]
    pub fn over(wall: fn() -> Millis) -> Self {
        Self { wall, read: instant(), steady: Steady::start(wall()) }
    }

    /// The time now. The second value is a jump that was just found.
    pub fn now(&mut self) -> (Millis, Option<Jump>) {
        let passed = instant().saturating_duration_since(self.read).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        // The part of a millisecond that is left is counted the next time.
        self.read += std::time::Duration::from_millis(passed);
        self.steady.read(passed, (self.wall)())
    }

    /// The jump that waits for the operator's word, if one does.
    #[must_use]
    pub const fn jump(&self) -> Option<Jump> {
        self.steady.jump()
    }

    /// Follows the wall clock from here on, as the operator says. `true` where time ran back by that: a machine that saw
    /// the later time would wait until it comes again.
    #[must_use]
    pub fn accept(&mut self) -> bool {
        let before = self.now().0;
        *self = Self::over(self.wall);
        self.now().0 < before
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the node reads the monotonic clock")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where the node reads the wall clock")]
pub(crate) fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
