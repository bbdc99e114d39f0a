//! How a conversation wants reading to be told. A join: whatever order it is said in, and how often, the last by the hub's
//! order stands.
//!
//! ```text
//!   optional, by nobody ──a policy, by an entry of a higher place──▶ that one
//!                       ──another by the same entry: the greater──▶     (who lies about that gains nothing)
//! ```
//!
//! Who may set it is the front door's to judge, and what follows of it is [`Marks`](crate::machine)' matter. It is kept with the
//! conversation itself. Spec: `spec/16-control.md`.

use crate::wire::control::{Control, Policy};

/// The policy that stands, and by which entry: 0 where nobody has set any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The policy.
    pub policy: Policy,
    /// The entry that set it.
    pub seq: u64,
}

impl Agreed {
    /// What a control of this place sets, where it is one that does. Said once more it may be, not before.
    #[must_use]
    pub fn by(control: &Control, seq: u64) -> Option<Self> {
        let Control::Policy { policy, set } = control else { return None };
        Some(Self { policy: *policy, seq: set.map_or(seq, |set| set.min(seq)) })
    }

    /// What stands with this one said too.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        if (other.seq, other.policy) > (self.seq, self.policy) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [V-8] All orders of all sets of five, each said twice.
    #[test]
    fn the_last_by_the_hubs_order_stands_whatever_comes_when() {
        let policies = [Policy::Required, Policy::Forbidden, Policy::Optional, Policy::Forbidden, Policy::Required];
        let all: Vec<Agreed> =
            policies.into_iter().zip([3, 5, 5, 8, 9]).map(|(policy, seq)| Agreed { policy, seq }).collect();
        let mut states = std::collections::BTreeMap::from([(0_u8, Agreed::default())]);
        for set in 0..1_u8 << all.len() {
            let before = states[&set];
            for (n, one) in all.iter().enumerate() {
                let after = before.with(*one);
                assert_eq!(after.with(*one), after);
                assert_eq!(*states.entry(set | (1 << n)).or_insert(after), after);
            }
            let told = all.iter().enumerate().filter(|(n, _)| set & (1 << n) != 0).map(|(_, one)| one);
            assert_eq!(before.seq, told.map(|one| one.seq).max().unwrap_or_default());
        }
        assert_eq!(states[&0b11111], all[4]);
        assert_eq!(states[&0b00110].policy, Policy::Forbidden, "of two by one entry the greater");
    }
}
