//! Ed25519 (RFC 8032) as every key of ours uses it: only typed values are signed, and verified strictly.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::fault::PeerFault;
use crate::id::{AddressKey, DeviceKey, NodeKey};
use crate::seal::secret::Secret;
use crate::wire::signed::{Role, Signable};

/// An Ed25519 signature (RFC 8032).
pub type Signature = [u8; 64];

/// A public key that signatures are verified under. Sealed: NK, AK, DK.
pub trait PublicKey: sealed::Sealed + Copy {
    /// Its 32 bytes.
    fn to_bytes(self) -> [u8; 32];
}

macro_rules! public_keys {
    ($($name:ident),*) => {$(
        impl sealed::Sealed for $name {}
        impl PublicKey for $name {
            fn to_bytes(self) -> [u8; 32] { self.0 }
        }
    )*};
}
public_keys!(NodeKey, AddressKey, DeviceKey);

mod sealed {
    /// Keeps [`PublicKey`](super::PublicKey) to the keys that the protocol knows.
    pub trait Sealed {}
}

/// A secret signing key that prints nothing of itself, and is wiped when dropped.
pub(super) struct Pen(SigningKey);

impl Pen {
    pub(super) fn new(seed: &Secret<32>) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    pub(super) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a value that was built here. There is no way to sign bytes (attack 66).
    pub(super) fn sign(&self, value: &impl Signable) -> Signature {
        self.0.sign(&value.role().input(&value.canonical())).to_bytes()
    }

    /// The seed that it was made of, for what is sealed.
    pub(super) fn seed(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }
}

impl core::fmt::Debug for Pen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Verifies a signature strictly over the canonical bytes as they came: small-order and non-canonical keys and
/// signatures are refused (attack 68).
///
/// # Errors
/// [`PeerFault::Signature`], whatever is wrong.
pub fn verify(key: impl PublicKey, role: Role, canonical: &[u8], signature: &[u8]) -> Result<(), PeerFault> {
    let key = key.to_bytes();
    if !is_canonical(&key) {
        return Err(PeerFault::Signature);
    }
    let key = VerifyingKey::from_bytes(&key).map_err(|_| PeerFault::Signature)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| PeerFault::Signature)?;
    key.verify_strict(&role.input(canonical), &signature).map_err(|_| PeerFault::Signature)
}

/// Verifies a signature over a value that we can build ourselves, as [`verify`] does.
///
/// # Errors
/// [`PeerFault::Signature`], whatever is wrong.
pub fn verify_value(key: impl PublicKey, value: &impl Signable, signature: &[u8]) -> Result<(), PeerFault> {
    verify(key, value.role(), &value.canonical(), signature)
}

/// Whether a key's coordinate is below the field's prime 2²⁵⁵ − 19 (RFC 8032 §5.1.3): the engine reduces it.
pub(super) fn is_canonical(key: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = key;
    high & 0x7f != 0x7f || *middle != [0xff; 30] || *low < 0xed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::TrustStep;
    use crate::wire::signed::OnConnection;

    /// [K-1] [K-2]
    #[test]
    fn t_067_a_signature_of_one_role_is_none_of_another() {
        let pen = Pen::new(&Secret::new([7; 32]));
        let value = OnConnection::new(TrustStep::Confirm, b"step", &[1; 32]);
        let signature = pen.sign(&value);
        for role in Role::ALL {
            for result in [
                verify(NodeKey(pen.public()), role, &value.canonical(), &signature),
                verify(AddressKey(pen.public()), role, &value.canonical(), &signature),
                verify(DeviceKey(pen.public()), role, &value.canonical(), &signature),
            ] {
                assert_eq!(result.is_ok(), role == Role::Confirm, "{role:?}");
            }
        }
    }

    /// [K-3]
    #[test]
    fn t_068_a_key_has_one_spelling() {
        let prime = [&[0xed][..], &[0xff; 30], &[0x7f]].concat();
        for above in 0..19 {
            let mut key: [u8; 32] = prime.clone().try_into().unwrap();
            key[0] += above;
            assert!(!is_canonical(&key), "p + {above}");
            key[31] |= 0x80;
            assert!(!is_canonical(&key), "p + {above}, the other sign");
        }
        let mut below: [u8; 32] = prime.try_into().unwrap();
        below[0] -= 1;
        assert!(is_canonical(&below) && is_canonical(&Pen::new(&Secret::new([7; 32])).public()));
    }

    /// [K-3]
    #[test]
    fn t_068_a_key_of_small_order_signs_nothing() {
        // The neutral element: with it, R = identity and S = 0 satisfy the equation for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let value = OnConnection::new(TrustStep::Confirm, b"step", &[1; 32]);
        let signature = [&neutral[..], &[0; 32]].concat();
        assert_eq!(verify_value(AddressKey(neutral), &value, &signature), Err(PeerFault::Signature));
        assert_eq!(verify_value(DeviceKey(neutral), &value, &signature), Err(PeerFault::Signature));
    }

    /// [K-5]
    #[test]
    fn t_089_a_pen_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Pen::new(&Secret::new([7; 32]))), "Secret(..)");
    }
}
