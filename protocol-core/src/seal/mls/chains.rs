//! Which generations of each member's keys were used: what was opened before, and how many keys wait for what was left out.
//!
//! ```text
//!   generations   0 1 2 3 4 5 6 7 8 9
//!   opened        x x . . x x . x            next = 8, gaps = [2, 4) [6, 7): three keys wait
//! ```
//!
//! The engine makes the keys and keeps those of the gaps; it bounds neither. We do (attack 84).

use std::collections::BTreeMap;

use crate::fault::PeerFault;
use crate::limits;
use crate::wire::cbor::{Malformed, Reader, Writer};

/// Per epoch and leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chains(BTreeMap<(u64, u32), Chain>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    /// The generation after the greatest that was opened.
    next: u32,
    /// Below it: what was left out, from the first of a gap to the one behind its last.
    gaps: Vec<(u32, u32)>,
}

impl Chain {
    fn waiting(&self) -> u64 {
        self.gaps.iter().map(|(from, to)| u64::from(to.saturating_sub(*from))).sum()
    }

    fn take(&mut self, generation: u32) {
        if generation >= self.next {
            if generation > self.next {
                self.gaps.push((self.next, generation));
            }
            self.next = generation.saturating_add(1);
            return;
        }
        let Some(at) = self.gaps.iter().position(|(from, to)| (*from..*to).contains(&generation)) else { return };
        let (from, to) = self.gaps.remove(at);
        let halves = [(generation.saturating_add(1), to), (from, generation)];
        for half in halves.into_iter().filter(|(from, to)| from < to) {
            self.gaps.insert(at, half);
        }
    }
}

impl Chains {
    /// Whether a message of this generation may be taken.
    ///
    /// # Errors
    /// [`PeerFault::Again`] for one that was opened, or whose key was given up; [`PeerFault::TooBig`] for one that
    /// leaves out too many.
    pub(super) fn judge(&self, epoch: u64, leaf: u32, generation: u32, old: bool) -> Result<(), PeerFault> {
        let chain = self.0.get(&(epoch, leaf));
        let next = chain.map_or(0, |chain| chain.next);
        let Some(left_out) = generation.checked_sub(next) else {
            let waits = chain.is_some_and(|c| c.gaps.iter().any(|(from, to)| (*from..*to).contains(&generation)));
            return if waits { Ok(()) } else { Err(PeerFault::Again) };
        };
        let too_big = |got, max| PeerFault::TooBig { what: "messages left out", got, max };
        if left_out > limits::SKIPPED {
            return Err(too_big(left_out.into(), limits::SKIPPED.into()));
        }
        // Keys of an epoch that is over can't be given up one by one: it takes no more than it has room for.
        let waiting = self.waiting(epoch).saturating_add(left_out.into());
        if old && waiting > limits::WAITING_KEYS {
            return Err(too_big(waiting, limits::WAITING_KEYS));
        }
        Ok(())
    }

    /// How many messages that didn't come this one leaves out.
    pub(super) fn leaves_out(&self, epoch: u64, leaf: u32, generation: u32) -> u32 {
        generation.saturating_sub(self.0.get(&(epoch, leaf)).map_or(0, |chain| chain.next))
    }

    /// Notes that it was opened. Gives back which keys to give up, so that no more wait than may: leaf and generation.
    pub(super) fn take(&mut self, epoch: u64, leaf: u32, generation: u32) -> Vec<(u32, u32)> {
        self.0.entry((epoch, leaf)).or_default().take(generation);
        let mut over = self.waiting(epoch).saturating_sub(limits::WAITING_KEYS);
        let mut given_up = Vec::new();
        while over > 0 {
            let fullest = self.0.iter_mut().filter(|((of, _), _)| *of == epoch).max_by_key(|(_, c)| c.waiting());
            let Some((((_, leaf), chain), (from, _))) = fullest.and_then(|f| f.1.gaps.first().copied().map(|g| (f, g)))
            else {
                break;
            };
            chain.take(from);
            given_up.push((*leaf, from));
            over -= 1;
        }
        given_up
    }

    fn waiting(&self, epoch: u64) -> u64 {
        self.0.range((epoch, 0)..=(epoch, u32::MAX)).map(|(_, chain)| chain.waiting()).sum()
    }

    /// Forgets the epochs before this one.
    pub(super) fn forget_before(&mut self, epoch: u64) {
        self.0 = self.0.split_off(&(epoch, 0));
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.list(self.0.iter(), |w, ((epoch, leaf), chain)| {
            w.array(4).u64(*epoch).u64((*leaf).into()).u64(chain.next.into());
            w.list(chain.gaps.iter(), |w, (from, to)| {
                w.array(2).u64((*from).into()).u64((*to).into());
            });
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let small = |r: &mut Reader<'_>| u32::try_from(r.u64()?).map_err(|_| Malformed("a generation"));
        let chains = reader.list(u64::from(u32::MAX), |r| {
            r.array_of(4)?;
            let (epoch, leaf, next) = (r.u64()?, small(r)?, small(r)?);
            let gaps = r.list(limits::WAITING_KEYS, |r| {
                r.array_of(2)?;
                Ok((small(r)?, small(r)?))
            })?;
            Ok(((epoch, leaf), Chain { next, gaps }))
        })?;
        Ok(Self(chains.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_061_each_generation_is_taken_once_in_whatever_order() {
        let mut chains = Chains::default();
        for generation in [0, 1, 4, 5, 7, 2, 6, 3] {
            assert_eq!(chains.judge(9, 1, generation, false), Ok(()), "{generation}");
            assert!(chains.take(9, 1, generation).is_empty());
            assert_eq!(chains.judge(9, 1, generation, false), Err(PeerFault::Again), "{generation}");
        }
        assert_eq!(chains.0[&(9, 1)], Chain { next: 8, gaps: vec![] });
        assert_eq!(chains.judge(9, 2, 3, false), Ok(()));
        assert_eq!(chains.judge(8, 1, 3, false), Ok(()));
    }

    #[test]
    fn t_084_no_more_keys_wait_than_may_and_the_oldest_go() {
        let mut chains = Chains::default();
        let (skip, most) = (limits::SKIPPED, limits::WAITING_KEYS);
        assert!(matches!(chains.judge(1, 0, skip + 1, false), Err(PeerFault::TooBig { .. })));
        let mut given_up = Vec::new();
        for jump in 1..=4 {
            let generation = (skip + 1) * jump - 1;
            assert_eq!(chains.judge(1, 0, generation, false), Ok(()));
            given_up.extend(chains.take(1, 0, generation));
            assert!(chains.waiting(1) <= most);
        }
        assert_eq!(given_up.first(), Some(&(0, 0)));
        assert_eq!(given_up.len() as u64, 4 * u64::from(skip) - most);
        assert_eq!(chains.judge(1, 0, 0, false), Err(PeerFault::Again));
        assert!(matches!(chains.judge(1, 3, 1, true), Err(PeerFault::TooBig { .. })));
        chains.forget_before(2);
        assert_eq!(chains, Chains::default());
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let mut chains = Chains::default();
        for (leaf, generation) in [(0, 5), (3, 2), (3, 9), (3, 4)] {
            chains.take(7, leaf, generation);
        }
        let mut writer = Writer::default();
        chains.write(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Chains::read(&mut reader), Ok(chains));
        assert_eq!(reader.end(), Ok(()));
    }
}
