//! Eighty random bits that a person writes down, reads out or types: a backup's passphrase, a new device's code ([I-16]).
//!
//! ```text
//!   7K3M-9QXT-01AB-CDEF-GH45     20 of 32 signs, without I, L, O, U: 80 bits, then 20 bits that tell a slip of the pen
//! ```

use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::fault::PeerFault;
use crate::seal::secret::Secret;
use crate::step::Tick;
use crate::store::sha256;

/// The signs, by their five bits.
const SIGNS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many signs a phrase has.
const LEN: usize = 20;
/// How many of them stand together.
const GROUP: usize = 4;

/// Eighty random bits. Compared in constant time, wiped when dropped, printed only by [`Phrase::show`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase(Secret<10>);

impl Phrase {
    /// Draws one from a step's entropy, for what the label says.
    #[must_use]
    pub fn draw(tick: &Tick, label: &str) -> Self {
        Self(Secret::draw(tick, label))
    }

    /// The phrase of these bits.
    #[must_use]
    pub const fn new(bits: Secret<10>) -> Self {
        Self(bits)
    }

    /// The text that a person is shown: for their eyes, never for a log.
    #[must_use]
    pub fn show(&self) -> Zeroizing<String> {
        let mut bits = self.bits();
        let mut text = Zeroizing::new(String::with_capacity(LEN + LEN / GROUP));
        for at in 0..LEN {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            let five = (bits >> (5 * (LEN - 1 - at))) & 31;
            text.push(SIGNS.get(five as usize).copied().map_or('0', char::from));
        }
        bits.zeroize();
        text
    }

    /// Reads what a person typed: small letters, spaces and hyphens are as good, and O, I, L are read as they look.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] for anything but such a text, a slip of the pen too.
    pub fn parse(text: &str) -> Result<Self, PeerFault> {
        let (mut bits, mut signs) = (0_u128, 0);
        for c in text.chars().filter(|c| !matches!(c, ' ' | '-')) {
            let sign = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                c => c,
            };
            let five = SIGNS.iter().position(|known| char::from(*known) == sign).ok_or(PeerFault::WrongCode)?;
            signs += 1;
            if signs > LEN {
                return Err(PeerFault::WrongCode);
            }
            bits = bits << 5 | five as u128;
        }
        let mut drawn = [0; 10];
        let shifted = Zeroizing::new((bits >> 20).to_be_bytes());
        drawn.iter_mut().zip(shifted.iter().skip(6)).for_each(|(to, from)| *to = *from);
        let phrase = Self(Secret::new(drawn));
        drawn.zeroize();
        if signs == LEN && phrase.bits() == bits { Ok(phrase) } else { Err(PeerFault::WrongCode) }
    }

    pub(super) const fn expose(&self) -> &[u8; 10] {
        self.0.expose()
    }

    /// The eighty bits, and behind them the first twenty of their hash.
    fn bits(&self) -> u128 {
        let drawn = self.0.expose().iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let [a, b, c, ..] = sha256(&[b"postline/1 phrase\0", self.0.expose()]).0;
        drawn << 20 | u128::from(a) << 12 | u128::from(b) << 4 | u128::from(c) >> 4
    }
}

impl fmt::Display for Phrase {
    /// Says that there is one, and no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
