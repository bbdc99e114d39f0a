//! Randomness for steps, asked of the system for many at once: a call for each would cost more than the steps of a message.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};

/// What one step gets.
const STEP_BYTES: usize = 32;
/// For how many steps the system is asked at once.
const STEPS: usize = 64;

/// Randomness that waits for steps. Each piece is given once, and wiped here.
pub(crate) struct Entropy {
    random: SystemRandom,
    bytes: Zeroizing<[u8; STEPS * STEP_BYTES]>,
    /// How many pieces are left: those at the front.
    left: usize,
}

/// The system has no randomness: then nothing may be signed, sealed or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRandomness;

impl Entropy {
    pub(crate) fn new() -> Self {
        Self { random: SystemRandom::new(), bytes: Zeroizing::new([0; STEPS * STEP_BYTES]), left: 0 }
    }

    /// The next piece.
    pub(crate) fn next(&mut self) -> Result<[u8; STEP_BYTES], NoRandomness> {
        if self.left == 0 {
            self.random.fill(self.bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
            self.left = STEPS;
        }
        self.left -= 1;
        let at = self.left * STEP_BYTES;
        let piece = self.bytes.get_mut(at..at + STEP_BYTES).ok_or(NoRandomness)?;
        let mut given = [0; STEP_BYTES];
        given.copy_from_slice(piece);
        piece.zeroize();
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_piece_is_given_twice_and_none_stays() {
        let mut entropy = Entropy::new();
        let given: BTreeSet<_> = (0..3 * STEPS).map(|_| entropy.next().unwrap()).collect();
        assert_eq!(given.len(), 3 * STEPS);
        assert!(!given.contains(&[0; STEP_BYTES]));
        assert!(entropy.bytes.iter().all(|byte| *byte == 0));
    }
}
