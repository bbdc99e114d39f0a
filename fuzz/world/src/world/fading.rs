//! What people say that is to be forgotten; and that no device keeps its words once its time is over (I7).
//!
//! ```text
//!   chaos    things are said that end at a time, or so long after they are read
//!   the end  everybody has read all, and the last time is over ──▶ words that have ended are on no disk
//! ```

use postline_core::client::Client;
use postline_core::content::message::Expiry;
use postline_core::id::{Address, ConversationId};
use postline_core::machine::mark::Mark;
use postline_core::store::Key;
use postline_core::time::{MINUTE, Millis, SECOND};

use super::World;
use crate::node::Broken;

/// How long after the last word everything that was read is over.
const FADES_MS: u64 = 15 * MINUTE;

/// How long something lasts.
#[derive(Clone, Copy, Debug)]
pub enum Lasts {
    /// So many seconds.
    For(u32),
    /// So many after it was read.
    AfterReading(u32),
}

impl Lasts {
    /// When it ends, said now.
    #[must_use]
    pub fn expiry(self, now: Millis) -> Expiry {
        match self {
            Self::For(seconds) => {
                let end = now.0.div_ceil(SECOND).saturating_add(seconds.into());
                Expiry::At(u32::try_from(end).unwrap_or(u32::MAX))
            }
            Self::AfterReading(seconds) => Expiry::AfterReading(seconds),
        }
    }
}

impl World {
    /// When what lies at a place is to be forgotten, as far as anybody was shown it there, or its author heard of it.
    pub(super) fn ending_of(&self, place: (ConversationId, u64)) -> Option<Expiry> {
        let told = || self.sealed.said.iter().find(|(_, told)| told.place == Some(place)).map(|(name, _)| name);
        let name = self.sayings.shown.get(&place).or_else(told)?;
        self.sayings.ends.get(name).copied()
    }

    /// Lets time pass until everything that was to be forgotten is.
    pub(crate) fn fades_out(&mut self) {
        if self.sayings.ends.is_empty() || self.broken.is_some() {
            return;
        }
        let last = self.sayings.ends.values().filter_map(|expires| expires.end(None)).max();
        let end = self.now.plus(FADES_MS).max(last.unwrap_or_default()).plus(MINUTE);
        self.pass(end.since(self.now));
    }

    /// I7: words whose time is over are on no disk of a device that people have. What was posted and isn't answered may be in
    /// the log.
    pub(super) fn nothing_outlives_its_time(&self) -> Result<(), Broken> {
        for index in self.current_devices().into_keys() {
            let Some(device) = self.devices.get(index) else { continue };
            let Some(client) = &device.client else { continue };
            let is_over = |(drawn, expires): &(&Vec<u8>, &Expiry)| match expires {
                Expiry::At(_) => expires.end(None).is_some_and(|end| end <= self.now),
                Expiry::AfterReading(_) => self.is_read(client, &device.address, drawn),
            };
            for (drawn, _) in self.sayings.fading.iter().filter(is_over) {
                let holds = |bytes: &[u8]| bytes.windows(drawn.len()).any(|window| window == drawn.as_slice());
                let left = device
                    .disk
                    .records()
                    .find(|record| !matches!(record.key, Key::Draft(_)) && record.value.as_deref().is_some_and(holds));
                if let Some(record) = left {
                    return Err(("I7", format!("device {index} keeps words whose time is over: {}", record.key)));
                }
            }
        }
        Ok(())
    }

    /// Whether a device knows that the message of these words was read, by whom that counts.
    fn is_read(&self, client: &Client, whose: &Address, drawn: &[u8]) -> bool {
        let named = self.sayings.named(drawn);
        let Some(told) = named.and_then(|name| self.sealed.said.get(&name)) else { return false };
        let Some((conversation, seq)) = told.place else { return false };
        let Some(marks) = client.marks(conversation) else { return false };
        if told.author == *whose { marks.with_all(seq) == Some(Mark::Read) } else { marks.read().has(seq) }
    }
}
