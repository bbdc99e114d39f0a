//! How far things were read, as devices know it: it never falls, and in the end both ends know the same (I4).
//!
//! ```text
//!   a commit ──▶ what this device knows of each reading ⊇ what it knew, and ⊆ what was told (I24)
//!   healed ──▶ a last word each way ──▶ everybody reads all ──▶ what was shown to them is marked as read
//! ```

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::Mark;
use postline_core::id::{Address, ConversationId};
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
        let elsewhere = self.settled_elsewhere(index);
        let Some(device) = self.devices.get_mut(index) else { return };
        device.note_told(&elsewhere);
        if !copied && device.copy_of.is_none() {
            let held = device.note_marks();
            self.holds(held);
        }
        let held = self.knows_only_what_was_told(index);
        self.holds(held);
    }

    /// What others of its person's devices have told, or kept.
    fn settled_elsewhere(&self, index: usize) -> BTreeMap<ConversationId, Position> {
        let mut settled: BTreeMap<ConversationId, Position> = BTreeMap::new();
        let Some(ours) = self.devices.get(index).map(|device| &device.address) else { return settled };
        let others =
            self.devices.iter().enumerate().filter(|(other, device)| *other != index && device.address == *ours);
        for (id, read) in others.flat_map(|(_, device)| &device.settled) {
            settled.entry(*id).or_default().join(read);
        }
        settled
    }

    /// What a person has read and chosen, all of their devices know, once all is healed: that of which nothing was lost.
    pub(crate) fn own_devices_agree(&mut self) {
        if self.liar.is_none() {
            let agree = self.agree_on_own_reading();
            self.holds(agree);
        }
    }

    fn agree_on_own_reading(&self) -> Result<(), Broken> {
        let worn = |device: &Device| device.lost || device.former.is_some() || device.copy_of.is_some();
        let strange: BTreeSet<&Address> = {
            let all = self.devices.iter().enumerate();
            let strange = all.filter(|(index, device)| worn(device) || self.sealed.copied.contains(index));
            strange.map(|(_, device)| &device.address).collect()
        };
        let good = |device: &&Device| device.is_current() && device.reachable && !strange.contains(&device.address);
        let devices: Vec<&Device> = self.devices.iter().filter(good).collect();
        for (n, one) in devices.iter().enumerate() {
            for other in devices.iter().skip(n + 1).filter(|other| other.address == one.address) {
                agree(one, other)?;
            }
        }
        Ok(())
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
                let told = device.said.get(&conversation).is_some_and(|told| told.has(seq));
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

/// I4 among one person's own.
fn agree(one: &Device, other: &Device) -> Result<(), Broken> {
    let (Some(one), Some(other)) = (&one.client, &other.client) else { return Ok(()) };
    for talk in one.conversations() {
        let Some(theirs) = other.conversations().find(|theirs| theirs.id == talk.id) else { continue };
        // Who can't come in, since the line has ended meanwhile, opens no reading that is told in the log.
        if !talk.joined || !theirs.joined {
            continue;
        }
        let least = talk.seq.min(theirs.seq);
        let told =
            [one, other].map(|client| client.marks(talk.id).map(|marks| marks.told().until(least)).unwrap_or_default());
        let tells = [talk.tells_read, theirs.tells_read];
        if told[0] != told[1] || tells[0] != tells[1] {
            let dks = [one, other].map(|client| client.dk().map(|dk| dk.to_string()));
            return Err(("I4", format!("{dks:?} of one person know {told:?}, and tell {tells:?}")));
        }
    }
    Ok(())
}

fn both((one, two): (&Address, &Address)) -> [(Address, Address); 2] {
    [(one.clone(), two.clone()), (two.clone(), one.clone())]
}
