//! Devices that have heard the same have the same snapshot, whatever each of them went through: asked for in the end, beside all
//! else that they do.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::{Event, Snapshot};
use postline_core::client::{Command, Input, is_content};
use postline_core::content::message::Expiry;
use postline_core::id::ConversationId;
use postline_core::store::Key;

use super::World;
use crate::node::Broken;

/// How many wakes a snapshot may take.
const WAKES: usize = 1_000;

impl World {
    /// # Errors
    /// I5 where two devices have heard the same, from some place on, and their snapshots from there on differ.
    pub(crate) fn check_snapshots(&mut self) -> Result<(), Broken> {
        let current: Vec<usize> = self.current_devices().into_keys().collect();
        let contents: BTreeMap<usize, BTreeMap<ConversationId, BTreeSet<u64>>> =
            current.iter().map(|index| (*index, self.contents_of(*index))).collect();
        for (nth, one) in current.iter().enumerate() {
            for other in current.iter().skip(nth + 1) {
                let (Some(ones), Some(others)) = (contents.get(one), contents.get(other)) else { continue };
                for (talk, places) in ones {
                    let Some(theirs) = others.get(talk) else { continue };
                    // Behind the last thing that only one of them has.
                    let apart = places.symmetric_difference(theirs).last();
                    // Of what ends after reading, each forgets it so long after they have heard that it was read.
                    let fades =
                        |place: &&u64| matches!(self.ending_of((*talk, **place)), Some(Expiry::AfterReading(_)));
                    let last = apart.max(places.iter().rev().find(fades));
                    let from = last.map_or(1, |last| last.saturating_add(1));
                    if places.range(from..).next().is_none() {
                        continue;
                    }
                    let [here, there] = [*one, *other].map(|index| self.snapshot_of(index, *talk, from));
                    let (here, there) = (here?, there?);
                    if (here.messages, here.hash) != (there.messages, there.hash) {
                        let what = format!(
                            "devices {one} and {other} have heard the same from {from} on: {here:?}, {there:?}"
                        );
                        return Err(("I5", what));
                    }
                }
            }
        }
        Ok(())
    }

    /// The places of which a device has kept what somebody said.
    fn contents_of(&self, index: usize) -> BTreeMap<ConversationId, BTreeSet<u64>> {
        let mut contents: BTreeMap<ConversationId, BTreeSet<u64>> = BTreeMap::new();
        for record in self.devices.get(index).into_iter().flat_map(|device| device.disk.records()) {
            if let (Key::Said(talk, seq), true) = (&record.key, is_content(record)) {
                contents.entry(*talk).or_default().insert(*seq);
            }
        }
        contents
    }

    fn snapshot_of(&mut self, index: usize, conversation: ConversationId, from: u64) -> Result<Snapshot, Broken> {
        let now = self.now;
        let none = ("I5", format!("device {index} makes no snapshot"));
        let Some(device) = self.devices.get_mut(index) else { return Err(none) };
        device.step(now, Input::Command(Command::Snapshot { conversation, from }))?;
        for _ in 0..WAKES {
            device.step(now, Input::Wake)?;
            let told = device.told().into_iter().rev().find_map(|event| match event {
                Event::Snapshot(told) if (told.conversation, told.from) == (conversation, from) => Some(told),
                _ => None,
            });
            if let Some(told) = told {
                return Ok(told);
            }
        }
        Err(none)
    }
}
