//! What a run did, as one number, and as lines where somebody wants to read them.

use std::fmt::{self, Write};

use postline_core::time::Millis;

/// What a run did.
#[derive(Debug)]
pub struct Trace {
    hash: Fnv,
    lines: Option<Vec<String>>,
}

/// FNV-1a: enough to tell two runs apart.
#[derive(Debug)]
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.take(text.as_bytes());
        Ok(())
    }
}

/// FNV-1a of some bytes: tells what they were from what a flipped bit makes of them.
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    let mut fnv = Fnv::new();
    fnv.take(bytes);
    fnv.0
}

impl Trace {
    /// Nothing yet; `reads` keeps the lines.
    #[must_use]
    pub const fn new(reads: bool) -> Self {
        Self { hash: Fnv::new(), lines: if reads { Some(Vec::new()) } else { None } }
    }

    /// One more thing happened.
    pub fn note(&mut self, at: Millis, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9.3} {what}", at.since(crate::world::EPOCH) as f64 / 1_000.0));
        }
        // Writing into a hash can't fail.
        let _infallible = write!(self.hash, "{at} {what}");
    }

    /// Two runs with the same hash did the same.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash.0
    }

    /// The lines, where they were kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
