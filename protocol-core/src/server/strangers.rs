//! Whose offers one of our addresses holds, oldest first: so that strangers can't fill the store ([T-17]).

use crate::fault::RestoreError;
use crate::id::{Address, Pair};
use crate::limits;
use crate::store::{Key, Record};
use crate::time::{DAY, Millis};
use crate::wire::cbor::Reader;
use crate::wire::record::{read, write};

/// The strangers of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strangers(Vec<(Millis, Address)>);

impl Strangers {
    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        let pair = |r: &mut Reader<'_>| {
            r.array_of(2)?;
            Ok((r.millis()?, r.address()?))
        };
        read(record, |r| r.list(limits::STRANGERS_PER_USER as u64, pair)).map(Self)
    }

    pub(super) fn record(&self, ours: &Address) -> Record {
        let key = Key::Strangers(ours.clone());
        if self.0.is_empty() {
            return Record::remove(key);
        }
        write(key, 1, |w| {
            w.list(self.0.iter(), |w, (at, theirs)| _ = w.array(2).millis(*at).address(theirs));
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Counts a stranger in, and says who has to go for it: the oldest of the same domain, else the oldest of all.
    pub(super) fn admit(&mut self, now: Millis, theirs: &Address) -> Vec<Address> {
        let stale = |at: Millis| now.since(at) > limits::OFFER_TTL_DAYS_MAX * DAY;
        self.0.retain(|(at, known)| known != theirs && !stale(*at));
        let mut gone = Vec::new();
        let same_domain = |known: &Address| known.domain() == theirs.domain();
        while self.0.iter().filter(|(_, known)| same_domain(known)).count() >= limits::STRANGERS_PER_DOMAIN {
            let Some(oldest) = self.0.iter().position(|(_, known)| same_domain(known)) else { break };
            gone.push(self.0.remove(oldest).1);
        }
        while self.0.len() >= limits::STRANGERS_PER_USER {
            gone.push(self.0.remove(0).1);
        }
        self.0.push((now, theirs.clone()));
        gone
    }

    /// Lets the oldest go, to make room on the whole node.
    pub(super) fn evict_oldest(&mut self) -> Option<Address> {
        (!self.0.is_empty()).then(|| self.0.remove(0).1)
    }

    /// Counts a correspondent out, who is a stranger no longer.
    pub(super) fn dismiss(&mut self, theirs: &Address) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, known)| known != theirs);
        self.0.len() != before
    }
}

/// The pairs that strangers' addresses make with ours.
pub(super) fn pairs(ours: &Address, theirs: Vec<Address>) -> impl Iterator<Item = Pair> {
    theirs.into_iter().map(move |theirs| Pair { ours: ours.clone(), theirs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize, domain: usize) -> Address {
        Address::parse(&format!("s{n}@d{domain}.example")).unwrap()
    }

    /// [P-7]
    #[test]
    fn t_012_one_domain_cannot_push_out_the_strangers_of_others() {
        let mut strangers = Strangers::default();
        strangers.admit(Millis(1), &address(0, 0));
        for n in 0..10 * limits::STRANGERS_PER_DOMAIN {
            strangers.admit(Millis(2), &address(n, 1));
        }
        assert_eq!(strangers.len(), 1 + limits::STRANGERS_PER_DOMAIN);
        assert!(strangers.dismiss(&address(0, 0)), "the other domain's stranger was pushed out");
    }

    #[test]
    fn the_list_is_bounded_and_the_oldest_goes_first() {
        let mut strangers = Strangers::default();
        for n in 0..1_000 * limits::STRANGERS_PER_USER / 100 {
            let gone = strangers.admit(Millis(n as u64), &address(n, n));
            let due = n.checked_sub(limits::STRANGERS_PER_USER).map(|n| address(n, n));
            assert_eq!(gone, due.into_iter().collect::<Vec<_>>());
        }
        assert_eq!(strangers.len(), limits::STRANGERS_PER_USER);
        let ours = address(0, 0);
        let record = strangers.record(&ours);
        assert_eq!(Strangers::restore(&record).unwrap(), strangers);
    }
}
