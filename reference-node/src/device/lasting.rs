//! How long something said is to last, as it is typed: `30s`, `10m`, `2h`, `7d`.

use postline_core::content::message::Expiry;
use postline_core::limits;
use postline_core::time::Millis;
use serde_json::{Value, json};

use super::say::Unsaid;

/// How long something said is to last, before devices forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// So many seconds from when it is said.
    For(u32),
    /// So many seconds from when it was read.
    AfterReading(u32),
}

impl Lasting {
    /// So many seconds: at least one, and no more than content may last.
    ///
    /// # Errors
    /// [`Unsaid::Want`].
    pub fn of(seconds: u64, after_reading: bool) -> Result<Self, Unsaid> {
        const WANT: Unsaid = Unsaid::Want("how long it is to last, at most a year: 30s, 10m, 2h, 7d");
        let within = (1..=limits::EXPIRY_MS / 1_000).contains(&seconds);
        let seconds = u32::try_from(seconds).ok().filter(|_| within).ok_or(WANT)?;
        Ok(if after_reading { Self::AfterReading(seconds) } else { Self::For(seconds) })
    }

    /// Reads what is typed: a number, and what of.
    ///
    /// # Errors
    /// [`Unsaid::Want`].
    pub fn parse(text: &str, after_reading: bool) -> Result<Self, Unsaid> {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(number.len()..) {
            Some("s") => 1,
            Some("m") => 60,
            Some("h") => 3_600,
            Some("d") => 86_400,
            // What isn't so is too short, and refused for it.
            _ => 0,
        };
        let number = number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number);
        let seconds = number.and_then(|number| number.parse::<u64>().ok()).and_then(|number| number.checked_mul(unit));
        Self::of(seconds.unwrap_or_default(), after_reading)
    }

    /// What a content says of it, where it is said now.
    #[must_use]
    pub fn expiry(self, now: Millis) -> Expiry {
        match self {
            Self::For(seconds) => {
                let end = now.plus(999).unix_seconds().saturating_add(seconds.into());
                Expiry::At(u32::try_from(end).unwrap_or(u32::MAX))
            }
            Self::AfterReading(seconds) => Expiry::AfterReading(seconds),
        }
    }

    /// As people read it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::For(seconds) => format!("{seconds} s after it is said"),
            Self::AfterReading(seconds) => format!("{seconds} s after it was read"),
        }
    }
}

/// When a content ends, for programs; `null` where it doesn't.
pub(super) fn json(expires: Option<Expiry>) -> Value {
    match expires.filter(|expires| expires.is_sensible()) {
        Some(Expiry::At(second)) => json!({ "at": u64::from(second) * 1_000 }),
        Some(Expiry::AfterReading(seconds)) => json!({ "after_reading": seconds }),
        None => Value::Null,
    }
}

/// When a content ends, for people.
pub(super) fn text(expires: Option<Expiry>) -> String {
    match expires.filter(|expires| expires.is_sensible()) {
        Some(Expiry::At(second)) => format!(" (until {})", crate::words::utc(u64::from(second) * 1_000)),
        Some(Expiry::AfterReading(seconds)) => format!(" (for {seconds} s once it is read)"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_what_of() {
        for (text, seconds) in [("1s", 1), ("10m", 600), ("2h", 7_200), ("7d", 604_800), ("366d", 31_622_400)] {
            assert_eq!(Lasting::parse(text, false), Ok(Lasting::For(seconds)), "{text}");
            assert_eq!(Lasting::parse(text, true), Ok(Lasting::AfterReading(seconds)), "{text}");
        }
        for wrong in
            ["", "s", "0s", "5", "5x", "-1h", "+1h", "1.5h", "1h30m", "367d", "h1", "99999999999999999999d", "1ſ"]
        {
            assert!(Lasting::parse(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_lasts_from_now_on_lasts_no_shorter() {
        assert_eq!(Lasting::For(1).expiry(Millis(10_001)), Expiry::At(12));
        assert_eq!(Lasting::For(1).expiry(Millis(10_000)), Expiry::At(11));
        assert_eq!(Lasting::AfterReading(30).expiry(Millis(10_001)), Expiry::AfterReading(30));
        assert_eq!(json(Some(Expiry::At(12))), Value::Null, "what nobody means isn't shown");
    }
}
