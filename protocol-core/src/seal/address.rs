//! A person's key, AK: it signs their device lists, their key proofs, and which leaf is whose device.
//!
//! All devices of the person hold it; for who has only a classic mail program, their node does (`hosted`).

use crate::fault::{Misuse, PeerFault};
use crate::id::AddressKey;
use crate::seal::secret::Secret;
use crate::seal::sign::{Pen, verify};
use crate::wire::statement::{Signed, Statement, Unverified};

/// The AK's secret half.
#[derive(Debug)]
pub struct AddressIdentity {
    key: Pen,
    ak: AddressKey,
}

impl AddressIdentity {
    /// Makes it from its seed.
    #[must_use]
    pub fn new(seed: &Secret<32>) -> Self {
        let key = Pen::new(seed);
        let ak = AddressKey(key.public());
        Self { key, ak }
    }

    /// The public key.
    #[must_use]
    pub const fn ak(&self) -> AddressKey {
        self.ak
    }

    /// Signs a statement that was built here. There is no way to sign bytes (attack 66).
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where the statement names another key as its signer.
    pub fn state<S: Statement>(&self, value: S) -> Result<Signed<S>, Misuse> {
        if value.ak() != self.ak {
            return Err(Misuse::OutOfPlace("a statement that names another address key"));
        }
        let signature = self.key.sign(&value);
        Ok(Signed::made(value, &signature))
    }

    /// The seed, for the device's own record and for what is sealed.
    #[must_use]
    pub fn seed(&self) -> Secret<32> {
        self.key.seed()
    }
}

/// Reads a statement strictly, and verifies that the AK that it names has signed it. Whether that AK is anybody's,
/// the chain of their lists says.
///
/// # Errors
/// [`PeerFault::TooBig`], the statement's own fault for malformed bytes, [`PeerFault::Signature`].
pub fn open<S: Statement>(bytes: &[u8]) -> Result<Signed<S>, PeerFault> {
    let unverified = Unverified::<S>::parse(bytes)?;
    verify(unverified.claimed().ak(), S::ROLE, unverified.canonical(), unverified.signature())?;
    Ok(unverified.verified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Address, DeviceKey};
    use crate::wire::leaf::Leaf;

    /// [I-1]
    #[test]
    fn t_066_a_key_signs_no_statement_that_names_another() {
        let (ours, other) = (AddressIdentity::new(&Secret::new([1; 32])), AddressIdentity::new(&Secret::new([2; 32])));
        let leaf = Leaf {
            address: Address::parse("ann@a.example").unwrap(),
            identity: other.ak().identity(),
            ak: other.ak(),
            dk: DeviceKey([9; 32]),
            number: 1,
            hosted: false,
        };
        assert!(matches!(ours.state(leaf.clone()), Err(Misuse::OutOfPlace(_))));
        assert!(other.state(leaf).is_ok());
    }

    /// [K-5]
    #[test]
    fn t_089_an_address_identity_prints_no_secret() {
        let printed = format!("{:?}", AddressIdentity::new(&Secret::new([7; 32])));
        assert!(printed.contains("Secret(..)") && !printed.contains("[7, 7"), "{printed}");
        assert!(!printed.contains("0707"), "{printed}");
    }
}
