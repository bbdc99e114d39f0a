//! The order in which messages are shown: by their place in the hub's log, however late one comes.
//!
//! ```text
//!   level 2      ┌ 65,536 places a bit ┐
//!   level 1      └─▶ ┌ 256 places a bit ┐
//!   level 0          └─▶ ┌ a place a bit ┐        a page: 256 bits, one record
//! ```
//!
//! A set of places, in pages of 256 bits: eight levels cover every place there is. To put a place in writes one page, and
//! one more for each 256 that were empty; to go back from any place to the ones before it reads the pages on the way. So the
//! last screen of a conversation costs the same at any length.
//!
//! Pages come by `wants` and [`Timeline::hydrate`] as everywhere. A place that was put in twice is there once, and the order
//! of putting in leaves no trace. What is at a place, the front door knows. Spec: `spec/12-revisions.md`.

use std::collections::BTreeMap;

use crate::fault::RestoreError;
use crate::id::{ConversationId, Hash};
use crate::store::{Key, Record};
use crate::wire::record::{read, write};

/// How many bits of a place each level looks at.
const BITS: u32 = 8;
/// The level above which there is only one page.
const TOP: u8 = 7;

/// 256 bits, the lowest place first.
type Page = [u8; 32];

/// The places of one conversation, of one of its threads, or any other set of numbers that has a name. See the module's
/// picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    conversation: ConversationId,
    thread: Hash,
    /// By level and number; one of which the store has nothing is empty.
    pages: BTreeMap<(u8, u64), Page>,
}

/// What is found, or what must be brought first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The place; `None` where there is none.
    Place(Option<u64>),
    /// This page is wanted first.
    Wants(Key),
}

/// The number of the page that a place is on, and its bit there.
const fn on(place: u64, level: u8) -> (u64, u8) {
    let below = place >> (BITS * level as u32);
    (below >> BITS, (below & 0xff) as u8)
}

fn has(page: &Page, bit: u8) -> bool {
    page.get(usize::from(bit / 8)).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
}

fn without(page: &Page, bit: u8) -> Page {
    let mut page = *page;
    if let Some(byte) = page.get_mut(usize::from(bit / 8)) {
        *byte &= !(1 << (bit % 8));
    }
    page
}

/// The highest bit that is set, of those below `end`.
fn last_below(page: &Page, end: u16) -> Option<u8> {
    (0..end).rev().filter_map(|bit| u8::try_from(bit).ok()).find(|bit| has(page, *bit))
}

impl Timeline {
    /// The timeline of a conversation; of one of its threads, by the hash of its topic.
    #[must_use]
    pub fn new(conversation: ConversationId, thread: Option<Hash>) -> Self {
        Self { conversation, thread: thread.unwrap_or(Hash([0; 32])), pages: BTreeMap::new() }
    }

    const fn key(&self, level: u8, number: u64) -> Key {
        Key::Page(self.conversation, self.thread, level, number)
    }

    /// The pages that [`Timeline::put`] and [`Timeline::take`] need and that are not here. Asked again until empty.
    #[must_use]
    pub fn wants(&self, place: u64) -> Option<Key> {
        for level in 0..=TOP {
            let (number, bit) = on(place, level);
            match self.pages.get(&(level, number)) {
                None => return Some(self.key(level, number)),
                // All above it are set where this one is.
                Some(page) if has(page, bit) => return None,
                // And where any of its page is, the pages above need no change.
                Some(page) if *page != [0; 32] => return None,
                Some(_) => {}
            }
        }
        None
    }

    /// The pages that may lead to a place and aren't here: for who wants them all at once.
    pub fn above(&self, place: u64) -> impl Iterator<Item = Key> {
        let pages = (0..=TOP).map(move |level| (level, on(place, level).0));
        pages.filter(|page| !self.pages.contains_key(page)).map(|(level, number)| self.key(level, number))
    }

    /// Brings a page, or its absence.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn hydrate(&mut self, level: u8, number: u64, record: Option<&Record>) -> Result<(), RestoreError> {
        let page = record.map(|record| read(record, |r| r.fixed())).transpose()?;
        self.pages.insert((level, number), page.unwrap_or([0; 32]));
        Ok(())
    }

    /// Lets the pages in memory go. Only between batches.
    pub fn forget(&mut self) {
        self.pages.clear();
    }

    /// How many pages are in memory.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.pages.len()
    }

    /// Puts a place in; gives the pages that changed. Nothing where a page is wanted first.
    #[must_use]
    pub fn put(&mut self, place: u64) -> Vec<Record> {
        let mut changed = Vec::new();
        if self.wants(place).is_some() {
            return changed;
        }
        for level in 0..=TOP {
            let (number, bit) = on(place, level);
            let Some(page) = self.pages.get_mut(&(level, number)).filter(|page| !has(page, bit)) else { break };
            let was_empty = *page == [0; 32];
            if let Some(byte) = page.get_mut(usize::from(bit / 8)) {
                *byte |= 1 << (bit % 8);
            }
            let page = *page;
            changed.push(write(self.key(level, number), 1, |w| _ = w.bytes(&page)));
            if !was_empty {
                break;
            }
        }
        changed
    }

    /// The pages that [`Timeline::take`] needs to leave none that is empty, and that are not here. Asked again until empty.
    #[must_use]
    pub fn wants_to_take(&self, place: u64) -> Option<Key> {
        for level in 0..=TOP {
            let (number, bit) = on(place, level);
            match self.pages.get(&(level, number)) {
                None => return Some(self.key(level, number)),
                // Others stay on it, or it isn't there.
                Some(page) if without(page, bit) == *page || without(page, bit) != [0; 32] => return None,
                Some(_) => {}
            }
        }
        None
    }

    /// Takes a place out; gives the pages that changed, those that are empty now removed. Where one above isn't here it may
    /// go on leading to an empty one.
    #[must_use]
    pub fn take(&mut self, place: u64) -> Vec<Record> {
        let mut changed = Vec::new();
        for level in 0..=TOP {
            let (number, bit) = on(place, level);
            let Some(page) = self.pages.get_mut(&(level, number)).filter(|page| has(page, bit)) else { break };
            *page = without(page, bit);
            let page = *page;
            if page != [0; 32] {
                changed.push(write(self.key(level, number), 1, |w| _ = w.bytes(&page)));
                break;
            }
            changed.push(Record::remove(self.key(level, number)));
        }
        changed
    }

    /// The last place before this one.
    #[must_use]
    pub fn before(&self, place: u64) -> Found {
        let Some(mut at) = place.checked_sub(1) else { return Found::Place(None) };
        'from: loop {
            // Up from the lowest page, until one has something at or before the place.
            for level in 0..=TOP {
                let (number, bit) = on(at, level);
                // On the lowest level the bit itself counts; above it, its page was just looked through.
                let end = u16::from(bit) + u16::from(level == 0);
                let Some(page) = self.pages.get(&(level, number)) else { return Found::Wants(self.key(level, number)) };
                let Some(found) = last_below(page, end) else { continue };
                // Down again by the last bit of each page.
                let mut prefix = (number << BITS) | u64::from(found);
                for below in (0..level).rev() {
                    let Some(page) = self.pages.get(&(below, prefix)) else {
                        return Found::Wants(self.key(below, prefix));
                    };
                    let Some(last) = last_below(page, 256) else {
                        // Empty since something was taken out: on from before it.
                        let Some(first) = prefix.checked_shl(BITS * (u32::from(below) + 1)) else {
                            return Found::Place(None);
                        };
                        let Some(earlier) = first.checked_sub(1) else { return Found::Place(None) };
                        at = earlier;
                        continue 'from;
                    };
                    prefix = (prefix << BITS) | u64::from(last);
                }
                return Found::Place(Some(prefix));
            }
            return Found::Place(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TALK: ConversationId = ConversationId([1; 32]);

    /// A store that counts what is read of it.
    #[derive(Default)]
    struct Store {
        records: BTreeMap<Key, Record>,
        reads: usize,
    }

    impl Store {
        fn bring(&mut self, timeline: &mut Timeline, key: &Key) {
            let Key::Page(.., level, number) = *key else { panic!("{key}") };
            self.reads += 1;
            timeline.hydrate(level, number, self.records.get(key)).unwrap();
        }

        fn put(&mut self, timeline: &mut Timeline, place: u64) -> usize {
            while let Some(key) = timeline.wants(place) {
                self.bring(timeline, &key);
            }
            let changed = timeline.put(place);
            let count = changed.len();
            self.records.extend(changed.into_iter().map(|record| (record.key.clone(), record)));
            count
        }

        fn take(&mut self, timeline: &mut Timeline, place: u64) {
            while let Some(key) = timeline.wants_to_take(place) {
                self.bring(timeline, &key);
            }
            for record in timeline.take(place) {
                match record.value {
                    Some(_) => self.records.insert(record.key.clone(), record),
                    None => self.records.remove(&record.key),
                };
            }
        }

        fn before(&mut self, timeline: &mut Timeline, place: u64) -> Option<u64> {
            loop {
                match timeline.before(place) {
                    Found::Place(found) => return found,
                    Found::Wants(key) => self.bring(timeline, &key),
                }
            }
        }
    }

    #[test]
    fn the_last_screen_costs_a_few_pages_at_any_length() {
        let (mut store, mut timeline) = (Store::default(), Timeline::new(TALK, None));
        let mut written = 0;
        for place in 1..=200_000 {
            written += store.put(&mut timeline, place);
            timeline.forget();
        }
        assert!(written < 201_000, "{written} pages written");
        store.reads = 0;
        let mut at = u64::MAX;
        for expected in (199_901..=200_000).rev() {
            at = store.before(&mut timeline, at).unwrap();
            assert_eq!(at, expected);
        }
        assert!(store.reads <= 20, "{} pages read", store.reads);
    }

    #[test]
    fn places_far_apart_and_at_both_ends_are_found() {
        let (mut store, mut timeline) = (Store::default(), Timeline::new(TALK, Some(Hash([5; 32]))));
        for place in [0, 1 << 40, u64::MAX] {
            assert!(store.put(&mut timeline, place) <= 8);
        }
        assert_eq!(store.before(&mut timeline, u64::MAX), Some(1 << 40));
        assert_eq!(store.before(&mut timeline, 1 << 40), Some(0));
        assert_eq!(store.before(&mut timeline, 0), None);
        // In no page of another thread.
        assert_eq!(store.before(&mut Timeline::new(TALK, None), u64::MAX), None);
    }

    fn any_place() -> impl Strategy<Value = u64> {
        prop_oneof![0..600_u64, 0..70_000_u64, any::<u64>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        /// [R-12] As a plain set, whatever is put in, taken out and forgotten; and the records don't tell the order.
        #[test]
        fn it_is_a_set_of_places(
            (places, other) in prop::collection::vec(any_place(), 0..80)
                .prop_flat_map(|places| (Just(places.clone()), Just(places).prop_shuffle())),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            asked in prop::collection::vec(any_place(), 0..40),
        ) {
            let (mut store, mut timeline) = (Store::default(), Timeline::new(TALK, None));
            let (mut mirrored, mut twin) = (Store::default(), Timeline::new(TALK, None));
            let mut model: BTreeSet<u64> = BTreeSet::new();
            for (place, mirror) in places.iter().zip(&other) {
                store.put(&mut timeline, *place);
                mirrored.put(&mut twin, *mirror);
                model.insert(*place);
            }
            prop_assert_eq!(&store.records, &mirrored.records);
            for index in gone.iter().filter(|_| !places.is_empty()) {
                let place = *index.get(&places);
                store.take(&mut timeline, place);
                model.remove(&place);
            }
            timeline.forget();
            // Only what leads somewhere is kept: so that what many have left costs nobody who looks for the rest.
            prop_assert_eq!(store.records.is_empty(), model.is_empty());
            for place in asked.iter().chain(&places).copied().chain([0, u64::MAX]) {
                prop_assert_eq!(store.before(&mut timeline, place), model.range(..place).next_back().copied());
            }
        }
    }
}
