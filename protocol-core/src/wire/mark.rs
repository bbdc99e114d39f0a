//! How far a person has read, as it is said and stored: all up to an entry, and single ones behind it.
//!
//! ```text
//!   log       1 2 3 4 5 6 7 8 9
//!   read      ━━━━━━━     ━   ━        [4, h'48']: upto 4; bit n of beyond is entry upto + 1 + n, lowest bit first
//! ```
//!
//! A join: two positions make one that has what either has, and no more, whatever the order. Spec: `spec/13-marks.md`.

use std::collections::BTreeSet;

use crate::limits;
use crate::wire::cbor::{Malformed, Reader, Writer};

/// How many bytes the single ones take at most.
const BYTES: usize = (limits::READ_BEYOND / 8) as usize;

/// A reading position. Never runs back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    upto: u64,
    /// The entry that follows `upto` is never among them: it would be part of it.
    beyond: [u8; BYTES],
}

impl Position {
    /// Everything up to an entry; 0 for nothing.
    #[must_use]
    pub const fn upto(seq: u64) -> Self {
        Self { upto: seq, beyond: [0; BYTES] }
    }

    /// Up to which entry everything is read.
    #[must_use]
    pub const fn whole(&self) -> u64 {
        self.upto
    }

    /// The last entry that is read; 0 for none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.singles().last().unwrap_or(self.upto)
    }

    /// Whether an entry is read. There is no entry 0.
    #[must_use]
    pub fn has(&self, seq: u64) -> bool {
        let single = || {
            let offset = seq.saturating_sub(self.upto).checked_sub(1)?;
            let byte = self.beyond.get(usize::try_from(offset / 8).ok()?)?;
            Some(byte & (1 << (offset % 8)) != 0)
        };
        seq > 0 && (seq <= self.upto || single().unwrap_or_default())
    }

    /// Adds all from one entry to another, both included. Those further than [`READ_BEYOND`](limits::READ_BEYOND) behind what is
    /// read whole can't be said, and are passed over.
    pub fn add(&mut self, from: u64, to: u64) {
        if from <= self.upto.saturating_add(1) {
            if to > self.upto {
                self.become_whole(to, self.singles().collect());
            }
            return;
        }
        let last = to.min(self.upto.saturating_add(limits::READ_BEYOND));
        (from..=last).for_each(|seq| self.set(seq));
    }

    /// Adds what another has.
    pub fn join(&mut self, other: &Self) {
        self.become_whole(self.upto.max(other.upto), self.singles().chain(other.singles()).collect());
    }

    /// What of it lies up to an entry.
    #[must_use]
    pub fn until(&self, seq: u64) -> Self {
        let mut cut = Self::upto(self.upto.min(seq));
        self.singles().filter(|single| *single <= seq).for_each(|single| cut.set(single));
        cut
    }

    /// Its entries, as ranges with both ends included, in order.
    #[must_use]
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges = Vec::from_iter((self.upto > 0).then_some((1, self.upto)));
        for seq in self.singles() {
            match ranges.last_mut() {
                Some((_, to)) if to.saturating_add(1) == seq => *to = seq,
                Some(_) | None => ranges.push((seq, seq)),
            }
        }
        ranges
    }

    /// What of a range isn't read, as ranges.
    #[must_use]
    pub fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let (mut missing, mut next) = (Vec::new(), from.max(1));
        for (first, last) in self.ranges() {
            if first > to || next > to {
                break;
            }
            if first > next {
                missing.push((next, first.saturating_sub(1)));
            }
            next = next.max(last.saturating_add(1));
        }
        if next <= to && !self.has(next) {
            missing.push((next, to));
        }
        missing
    }

    /// What is read here, and not there.
    #[must_use]
    pub fn without(&self, other: &Self) -> Vec<(u64, u64)> {
        self.ranges().into_iter().flat_map(|(from, to)| other.missing(from, to)).collect()
    }

    /// Writes it into a value: one item.
    pub fn write(self, w: &mut Writer) {
        let bytes = self.beyond.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        w.array(2).u64(self.upto).bytes(self.beyond.get(..bytes).unwrap_or_default());
    }

    /// Reads it out of a value.
    ///
    /// # Errors
    /// [`Malformed`] for what isn't in the one form.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.array_of(2)?;
        let (upto, bytes) = (r.u64()?, r.bytes()?);
        let mut beyond = [0; BYTES];
        beyond.get_mut(..bytes.len()).ok_or(Malformed("a position within bounds"))?.copy_from_slice(bytes);
        let next = bytes.first().is_some_and(|byte| byte & 1 != 0);
        let position = Self { upto, beyond };
        let top = beyond.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
        // A single behind the end of all numbers is none.
        if next || bytes.last() == Some(&0) || position.singles().count() as u64 != top {
            return Err(Malformed("a position in its one form"));
        }
        Ok(position)
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut w = Writer::default();
        self.write(&mut w);
        w.into_bytes()
    }

    /// Reads canonical bytes, and nothing else.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let position = Self::read(&mut r)?;
        r.end()?;
        if position.to_bytes() == bytes { Ok(position) } else { Err(Malformed("a position in its one form")) }
    }

    /// The single ones, in order.
    fn singles(&self) -> impl Iterator<Item = u64> {
        let bits = |byte: u8| (0..8_u64).filter(move |bit| byte & (1 << bit) != 0);
        let some = (0_u64..).zip(self.beyond).filter(|(_, byte)| *byte != 0);
        let offsets = some.flat_map(move |(at, byte)| bits(byte).map(move |bit| at * 8 + bit));
        let upto = self.upto;
        offsets.filter_map(move |offset| upto.checked_add(1)?.checked_add(offset))
    }

    fn set(&mut self, seq: u64) {
        let Some(offset) = seq.saturating_sub(self.upto).checked_sub(1) else { return };
        let byte = usize::try_from(offset / 8).ok().and_then(|at| self.beyond.get_mut(at));
        byte.into_iter().for_each(|byte| *byte |= 1 << (offset % 8));
    }

    /// All up to here, and these behind it; those that follow without a gap are part of it.
    fn become_whole(&mut self, upto: u64, singles: BTreeSet<u64>) {
        let mut next = Self::upto(upto);
        for seq in singles.into_iter().filter(|seq| *seq > upto) {
            if next.upto.checked_add(1) == Some(seq) {
                next.upto = seq;
            } else {
                next.set(seq);
            }
        }
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(seqs: &[u64]) -> Position {
        let mut position = Position::default();
        seqs.iter().for_each(|seq| position.add(*seq, *seq));
        position
    }

    fn set(position: &Position) -> BTreeSet<u64> {
        position.ranges().into_iter().flat_map(|(from, to)| from..=to).collect()
    }

    /// [A-5]
    #[test]
    fn single_entries_are_said_beside_the_whole_and_join_it_when_the_gap_closes() {
        let mut position = of(&[1, 2, 3, 4, 8, 11]);
        assert_eq!(position.to_bytes(), [0x82, 4, 0x41, 0x48]);
        assert_eq!((position.whole(), position.last()), (4, 11));
        assert_eq!(position.ranges(), [(1, 4), (8, 8), (11, 11)]);
        assert_eq!(position.missing(3, 12), [(5, 7), (9, 10), (12, 12)]);
        assert_eq!(position.without(&of(&[1, 2, 8])), [(3, 4), (11, 11)]);
        assert_eq!(position.until(9), of(&[1, 2, 3, 4, 8]));
        position.add(5, 7);
        assert_eq!((position.whole(), position.to_bytes()), (8, vec![0x82, 8, 0x41, 4]));
    }

    /// [A-5]: at the bound, above it, far above it.
    #[test]
    fn singles_reach_as_far_as_the_bound_and_no_further() {
        let (far, last) = (limits::READ_BEYOND, u64::MAX);
        for (seq, taken) in [(far, true), (far + 1, false), (far * 1_000, false), (last, false)] {
            assert_eq!(of(&[seq]).has(seq), taken, "{seq}");
        }
        assert_eq!(of(&[far]).to_bytes().len(), 2 + 2 + BYTES);
        assert!(!of(&[1]).has(0), "there is no entry 0");
        let mut end = Position::upto(last - 1);
        end.add(last, last);
        assert_eq!((end, end.last()), (Position::upto(last), last));
        assert_eq!(end.missing(1, last), []);
    }

    /// [A-5]: one form, and nothing else is read.
    #[test]
    fn a_position_is_read_in_its_one_form_alone() {
        for position in [of(&[]), of(&[1]), of(&[3, 9]), of(&[limits::READ_BEYOND]), Position::upto(u64::MAX)] {
            let bytes = position.to_bytes();
            assert_eq!(Position::parse(&bytes), Ok(position));
            for cut in 0..bytes.len() {
                assert!(Position::parse(&bytes[..cut]).is_err());
            }
            assert!(Position::parse(&[&bytes[..], &[0]].concat()).is_err());
        }
        let long = [&[0x82, 0, 0x58, 33][..], &[0; 32], &[1]].concat();
        let past_the_end = [&[0x82, 0x1b][..], &[0xff; 8], &[0x41, 2]].concat();
        for (bad, why) in [
            (&[0x82, 4, 0x41, 1][..], "the next is part of the whole"),
            (&[0x82, 4, 0x42, 2, 0], "a zero at the end"),
            (&[0x82, 4, 0x41, 0], "nothing but zeros"),
            (&[0x82, 0x18, 4, 0x40], "a number in a longer form"),
            (&[0x82, 4, 0x58, 1, 2], "a length in a longer form"),
            (&[0x82, 4, 0x5f, 0x41, 2, 0xff], "an open length"),
            (&[0x83, 4, 0x40, 0], "an item too many"),
            (&long, "longer than the bound"),
            (&past_the_end, "an entry behind the last number"),
        ] {
            assert!(Position::parse(bad).is_err(), "{why}");
        }
    }

    fn position() -> impl Strategy<Value = Position> {
        let range = (0..600_u64, 0..80_u64);
        prop::collection::vec(range, 0..12).prop_map(|ranges| {
            let mut position = Position::default();
            ranges.into_iter().for_each(|(from, len)| position.add(from, from + len));
            position
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        /// [A-6]
        #[test]
        fn a_join_has_what_either_has_in_any_order(a in position(), b in position(), c in position()) {
            let join = |a: &Position, b: &Position| { let mut both = *a; both.join(b); both };
            prop_assert_eq!(set(&join(&a, &b)), set(&a).union(&set(&b)).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &a), a);
            let rest: BTreeSet<u64> = a.without(&b).into_iter().flat_map(|(from, to)| from..=to).collect();
            prop_assert_eq!(rest, set(&a).difference(&set(&b)).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(Position::parse(&a.to_bytes()), Ok(a));
            prop_assert!((0..700).all(|seq| a.has(seq) == set(&a).contains(&seq)));
        }

        #[test]
        fn any_bytes_are_one_position_or_none(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
            for bytes in [bytes.clone(), [&[0x82, 7, 0x58, 32][..], &bytes].concat(), [&[0x82, 7][..], &bytes].concat()] {
                if let Ok(position) = Position::parse(&bytes) {
                    prop_assert_eq!(position.to_bytes(), bytes);
                }
            }
        }
    }
}
