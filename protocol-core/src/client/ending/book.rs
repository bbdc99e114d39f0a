//! What is to end in each conversation, as it is kept: the next second, what waits to be read, and their pages.

use std::collections::{BTreeMap, BTreeSet};

use super::super::io::Output;
use super::super::planning::{Wanted, want};
use crate::fault::RestoreError;
use crate::id::{ConversationId, Hash};
use crate::limits;
use crate::machine::moment::Moment;
use crate::machine::timeline::Timeline;
use crate::step::Outbox;
use crate::store::{Key, Record};
use crate::time::{Millis, SECOND};
use crate::wire::cbor::Reader;
use crate::wire::record::{read, write};

/// What the pages of these sets are filed under: no thread has such a hash.
const SECONDS: Hash = Hash([1; 32]);
const UNREAD: Hash = Hash([2; 32]);
const UNTOLD: Hash = Hash([3; 32]);

/// Whether a page is one of these.
pub(in crate::client) fn is_of(thread: &Hash) -> bool {
    [SECONDS, UNREAD, UNTOLD].contains(thread)
}

/// Whose reading counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Whose {
    /// This person's, of what others said.
    Ourselves,
    /// The others', of what this person said.
    Others,
}

/// What is to end, of all conversations in which something is.
#[derive(Debug, Default)]
pub(in crate::client) struct Endings {
    pub(super) talks: BTreeMap<ConversationId, Ending>,
    /// Those whose records are to be brought for the next wake.
    pub(super) hungry: BTreeSet<ConversationId>,
}

/// What is to end in one conversation: [`Key::Ends`], and what of the rest is at hand.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) id: ConversationId,
    /// The next second at which something ends.
    pub(super) next: Option<u64>,
    pub(super) unread: Asleep,
    pub(super) untold: Asleep,
    /// The seconds at which something ends, each as what is left until the last one there is: so that the next is the last.
    pub(super) seconds: Timeline,
    pub(super) moments: BTreeMap<(u64, u64), Moment>,
}

/// What ends some time after it was read, and isn't read yet.
#[derive(Debug)]
pub(super) struct Asleep {
    pub(super) places: Timeline,
    pub(super) count: u64,
    /// Something of it was read then, and isn't taken out yet.
    pub(super) since: Option<Millis>,
}

impl Asleep {
    fn new(id: ConversationId, name: Hash, count: u64, since: Option<Millis>) -> Self {
        Self { places: Timeline::new(id, Some(name)), count, since }
    }
}

/// A second counted back from the last one there is, and such a number as a second.
pub(super) const fn back(second: u64) -> u64 {
    u64::MAX - second
}

/// The first second that isn't before this.
const fn second_of(at: Millis) -> u64 {
    at.0.div_ceil(SECOND)
}

/// So many seconds after something was read then, that was said at some time before.
pub(super) fn after(since: Millis, said: Millis, seconds: u32) -> u64 {
    second_of(since.max(said).plus(u64::from(seconds).saturating_mul(SECOND)))
}

/// What a change of pages takes: mostly the lowest one alone; else all above it, at once.
pub(super) fn climb(pages: &Timeline, place: u64, wants: Option<Key>, wanted: &mut Wanted) {
    if let Some(key) = wants {
        if !matches!(key, Key::Page(_, _, 0, _)) {
            wanted.extend(pages.above(place));
        }
        wanted.insert(key);
    }
}

impl Ending {
    pub(super) fn new(id: ConversationId) -> Self {
        Self::of(id, None, (0, None), (0, None))
    }

    fn of(id: ConversationId, next: Option<u64>, unread: (u64, Option<Millis>), untold: (u64, Option<Millis>)) -> Self {
        Self {
            id,
            next,
            unread: Asleep::new(id, UNREAD, unread.0, unread.1),
            untold: Asleep::new(id, UNTOLD, untold.0, untold.1),
            seconds: Timeline::new(id, Some(SECONDS)),
            moments: BTreeMap::new(),
        }
    }

    /// Its record; where nothing is to end, its removal.
    pub(super) fn record(&self) -> Record {
        if self.is_empty() {
            return Record::remove(Key::Ends(self.id));
        }
        write(Key::Ends(self.id), 5, |w| {
            w.maybe(self.next, |w, second| w.u64(second));
            for asleep in [&self.unread, &self.untold] {
                w.u64(asleep.count).maybe(asleep.since, |w, since| w.millis(since));
            }
        })
    }

    fn restore(id: ConversationId, record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let next = r.maybe(Reader::u64)?;
            let unread = (r.u64()?, r.maybe(Reader::millis)?);
            Ok(Self::of(id, next, unread, (r.u64()?, r.maybe(Reader::millis)?)))
        })
    }

    const fn is_empty(&self) -> bool {
        self.next.is_none() && self.unread.count == 0 && self.untold.count == 0
    }

    pub(super) const fn asleep(&self, whose: Whose) -> &Asleep {
        match whose {
            Whose::Ourselves => &self.unread,
            Whose::Others => &self.untold,
        }
    }

    pub(super) const fn asleep_mut(&mut self, whose: Whose) -> &mut Asleep {
        match whose {
            Whose::Ourselves => &mut self.unread,
            Whose::Others => &mut self.untold,
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let read = self.unread.since.or(self.untold.since).map(|_| Millis(0));
        read.or_else(|| self.next.map(Millis::from_unix_seconds))
    }

    pub(super) fn wants(&self, second: u64, wanted: &mut Wanted) {
        climb(&self.seconds, back(second), self.seconds.wants(back(second)), wanted);
        want(self.moments.get(&(second, 0)), wanted, || Key::Moment(self.id, second, 0));
    }

    /// An entry ends at a second.
    pub(super) fn put(&mut self, second: u64, entry: u64, out: &mut Outbox<Output>) {
        let top = self.moments.entry((second, 0)).or_default();
        if let Some((number, full)) = top.put(entry) {
            out.save(full.record(self.id, second, number));
            self.moments.insert((second, number), full);
        }
        let top = self.moments.entry((second, 0)).or_default();
        out.save(top.record(self.id, second, 0));
        self.seconds.put(back(second)).into_iter().for_each(|record| out.save(record));
        self.next = Some(self.next.map_or(second, |next| next.min(second)));
    }

    /// An entry waits to be read.
    pub(super) fn put_to_sleep(&mut self, whose: Whose, place: u64, out: &mut Outbox<Output>) {
        let asleep = self.asleep_mut(whose);
        let changed = asleep.places.put(place);
        asleep.count = asleep.count.saturating_add(u64::from(!changed.is_empty()));
        changed.into_iter().for_each(|record| out.save(record));
    }

    fn forget(&mut self) {
        [&mut self.unread.places, &mut self.untold.places, &mut self.seconds].into_iter().for_each(Timeline::forget);
        self.moments.clear();
    }

    fn in_memory(&self) -> usize {
        let pages = [&self.unread.places, &self.untold.places, &self.seconds].map(Timeline::in_memory);
        self.moments.len() + pages.into_iter().sum::<usize>()
    }
}

impl Endings {
    /// Takes back [`Key::Ends`], when the device is restored; gives when there is something to do.
    pub(in crate::client) fn take_back(
        &mut self,
        id: ConversationId,
        record: &Record,
    ) -> Result<Option<Millis>, RestoreError> {
        let ending = Ending::restore(id, record)?;
        let deadline = ending.deadline();
        self.talks.insert(id, ending);
        Ok(deadline)
    }

    pub(super) fn of(&mut self, id: ConversationId) -> &mut Ending {
        self.talks.entry(id).or_insert_with(|| Ending::new(id))
    }

    /// Brings a record, or its absence.
    pub(in crate::client) fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "a device keeps many things")]
        match key {
            Key::Page(id, name, level, number) => {
                let ending = self.of(*id);
                let pages = [&mut ending.unread.places, &mut ending.untold.places, &mut ending.seconds];
                let named = [UNREAD, UNTOLD, SECONDS].into_iter().zip(pages).find(|(of, _)| of == name);
                named.map_or(Ok(()), |(_, pages)| pages.hydrate(*level, *number, record))
            }
            Key::Moment(id, second, number) => {
                let moment = record.map_or(Ok(Moment::default()), Moment::restore)?;
                self.of(*id).moments.insert((*second, *number), moment);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Lets go of what is at hand of a conversation.
    pub(in crate::client) fn forget(&mut self, id: ConversationId) {
        if let Some(ending) = self.talks.get_mut(&id) {
            ending.forget();
        }
        self.talks.retain(|_, ending| !ending.is_empty() || ending.in_memory() > 0);
    }

    /// What may be forgotten between batches.
    pub(in crate::client) fn idle(&self) -> impl Iterator<Item = Key> {
        let held = self.talks.values().filter(|ending| ending.in_memory() > 0);
        held.map(|ending| Key::Page(ending.id, SECONDS, 0, 0))
    }

    pub(in crate::client) fn len(&self) -> usize {
        self.talks.values().map(Ending::in_memory).sum()
    }

    /// The conversations whose records are to be brought now.
    pub(in crate::client) fn hungry(&self) -> impl Iterator<Item = ConversationId> {
        self.hungry.iter().copied().take(limits::CLIENT_TALKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_restores_to_what_it_was_written_of() {
        let id = ConversationId([1; 32]);
        for (next, unread, untold) in [
            (Some(7), (0, None), (0, None)),
            (None, (3, Some(Millis(5))), (0, None)),
            (Some(1), (2, None), (9, Some(Millis(8)))),
        ] {
            let ending = Ending::of(id, next, unread, untold);
            let restored = Ending::restore(id, &ending.record()).unwrap();
            assert_eq!(format!("{restored:?}"), format!("{ending:?}"));
            assert!(!restored.is_empty());
        }
        assert_eq!(
            Ending::new(id).record(),
            Record::remove(Key::Ends(id)),
            "where nothing is to end, there is no record"
        );
    }

    #[test]
    fn what_is_read_before_it_was_said_counts_from_when_it_was_said() {
        let (said, read) = (Millis(10_500), Millis(20_000));
        assert_eq!(after(read, said, 30), 50);
        assert_eq!(after(Millis(0), said, 30), 41, "never before its time is over");
    }
}
