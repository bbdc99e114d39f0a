//! A value that is wiped when dropped, compared in constant time, and never printed.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::step::Tick;
use crate::store::sha256;

/// `N` secret bytes (attacks 69, 89, 90).
#[derive(Clone)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over; the caller's own copy is the caller's to wipe.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Draws it from a step's entropy; each label draws another one, and at most 32 bytes of it are to be had.
    #[must_use]
    pub fn draw(tick: &Tick, label: &str) -> Self {
        const { assert!(N <= 32, "one hash is as much as a label draws") };
        let mut drawn = sha256(&[b"postline/1 draw\0", label.as_bytes(), &[0], &tick.entropy]).0;
        let mut bytes = [0; N];
        bytes.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        drawn.zeroize();
        Self(bytes)
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// [K-5]
    #[test]
    fn a_secret_prints_nothing_of_itself_and_compares() {
        let secret = Secret::new([0x5e; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret, Secret::new([0x5e; 32]));
        assert_ne!(secret, Secret::new([0x5f; 32]));
    }

    #[test]
    fn a_step_draws_another_secret_for_each_label_and_entropy() {
        let tick = |entropy| Tick { now: crate::time::Millis(0), entropy: [entropy; 32] };
        let one = Secret::<32>::draw(&tick(1), "one");
        assert_eq!(one, Secret::draw(&tick(1), "one"));
        assert_ne!(one, Secret::draw(&tick(1), "two"));
        assert_ne!(one, Secret::draw(&tick(2), "one"));
    }
}
