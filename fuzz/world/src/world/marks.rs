//! How far things were read, as devices know it: it never falls, and in the end both ends know the same (I4).
//!
//! ```text
//!   a commit ──▶ what this device knows of each reading ⊇ what it knew, and ⊆ what was told (I24)
//!   healed ──▶ a last word each way ──▶ everybody reads all ──▶ what was shown to them is marked as read
//! ```

use std::collections::BTreeSet;

use postline_core::client::io::Mark;
use postline_core::id::Address;
use postline_core::time::MINUTE;
use postline_core::wire::mark::Position;

use super::World;
use crate::device::Device;
use crate::node::Broken;

impl World {
    /// I4: no reading that a device knows of falls; but for one whose disk was put back, or is a copy. I24: none is known that
    /// wasn't told.
    pub(super) fn marks_hold(&mut self, index: usize) {
        let copied = self.sealed.copied.contains(&index);
        let Some(device) = self.devices.get_mut(index) else { return };
        device.note_told();
        if !copied && device.copy_of.is_none() {
            let held = device.note_marks();
            self.holds(held);
        }
        let held = self.knows_only_what_was_told(index);
        self.holds(held);
    }

    fn knows_only_what_was_told(&self, index: usize) -> Result<(), Broken> {
        let Some(client) = self.devices.get(index).and_then(|device| device.client.as_ref()) else { return Ok(()) };
        for talk in client.conversations() {
            let told = self.devices.iter().filter(|device| talk.with.contains(&device.address));
            let mut all = Position::default();
            told.filter_map(|device| device.told.get(&talk.id)).for_each(|told| all.join(told));
            let Some(marks) = client.marks(talk.id) else { continue };
            if let Some(read) =
                marks.others().map(|who| marks.reading_of(who)).find(|read| !read.without(&all).is_empty())
            {
                return Err(("I24", format!("device {index} knows that {read:?} was read, and told was {all:?}")));
            }
        }
        Ok(())
    }

    /// All is healed: all who have talked, and still can, say a last word to each other, and read everything. A reading is
    /// whole, so the last one tells all that an earlier one lost.
    pub(crate) fn last_words(&mut self) {
        let pairs: BTreeSet<(Address, Address)> =
            self.sealed.said.values().flat_map(|told| both(told.pair())).collect();
        for (from, to) in pairs.into_iter().filter(|(from, to)| self.both_have_a_line(from, to)).collect::<Vec<_>>() {
            let says = |device: &Device| device.address == from && device.is_current();
            if let Some(index) = self.devices.iter().position(says) {
                self.says_sealed(index, &to, 20);
            }
        }
        self.pass(5 * MINUTE);
        for index in 0..self.devices.len() {
            self.reads_sealed(index);
        }
        self.pass(5 * MINUTE);
    }

    fn both_have_a_line(&self, one: &Address, two: &Address) -> bool {
        self.is_line(one, two) && self.is_line(two, one)
    }

    /// I4: what a person saw, on a device that tells so, its author knows to be read.
    ///
    /// # Errors
    /// What one has read and the other doesn't know of.
    pub(crate) fn both_know_what_was_read(&self) -> Result<(), Broken> {
        let current = self.current_devices();
        let honest = |index: &usize| current.contains_key(index) && !self.sealed.copied.contains(index);
        for (id, told) in &self.sealed.said {
            let (author, to) = told.pair();
            let Some((conversation, seq)) = told.place.filter(|_| honest(&told.device)) else { continue };
            let read = |(index, device): &(usize, &Device)| {
                let tells = honest(index) && device.address == *to && !device.closed.contains(&conversation);
                let told = device.told.get(&conversation).is_some_and(|told| told.has(seq));
                tells && told && self.sealed.is_shown(*id, *index)
            };
            let reader = self.devices.iter().enumerate().find(read).filter(|_| self.both_have_a_line(author, to));
            if let Some((reader, _)) = reader.filter(|_| told.mark != Some(Mark::Read)) {
                let what = format!("device {reader} told that {id} was read, and its author knows {:?}", told.mark);
                return Err(("I4", what));
            }
        }
        Ok(())
    }
}

fn both((one, two): (&Address, &Address)) -> [(Address, Address); 2] {
    [(one.clone(), two.clone()), (two.clone(), one.clone())]
}
