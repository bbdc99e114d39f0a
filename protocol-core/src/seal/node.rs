//! The node's identity: NK, the key that proves links and signs offers, accepts and handshake steps.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::fault::PeerFault;
use crate::id::{Hash, NodeKey};
use crate::seal::secret::Secret;
use crate::store::sha256;
use crate::wire::signed::{Role, Signable};

/// An Ed25519 signature (RFC 8032).
pub type Signature = [u8; 64];

/// The node's signing key, the hash of the one that will follow it, and the public half of the one before.
#[derive(Debug)]
pub struct NodeIdentity {
    key: SigningKeyBox,
    nk: NodeKey,
    next_nk: Hash,
    former: Option<NodeKey>,
}

struct SigningKeyBox(SigningKey);

impl core::fmt::Debug for SigningKeyBox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl NodeIdentity {
    /// Makes the identity from the seed of this key and the public part of the next (pre-rotation).
    #[must_use]
    pub fn new(seed: &Secret<32>, next: NodeKey) -> Self {
        let key = SigningKey::from_bytes(seed.expose());
        let nk = NodeKey(key.verifying_key().to_bytes());
        Self { key: SigningKeyBox(key), nk, next_nk: sha256(&[&next.0]), former: None }
    }

    /// The same identity, which says that its key has followed this one.
    #[must_use]
    pub fn following(self, former: Option<NodeKey>) -> Self {
        Self { former: former.filter(|former| *former != self.nk), ..self }
    }

    /// The public key that a seed makes.
    #[must_use]
    pub fn public(seed: &Secret<32>) -> NodeKey {
        NodeKey(SigningKey::from_bytes(seed.expose()).verifying_key().to_bytes())
    }

    /// The public key.
    #[must_use]
    pub const fn nk(&self) -> NodeKey {
        self.nk
    }

    /// Hash of the next public key.
    #[must_use]
    pub const fn next_nk(&self) -> Hash {
        self.next_nk
    }

    /// The public key that ours has followed, where there was one.
    #[must_use]
    pub const fn former(&self) -> Option<NodeKey> {
        self.former
    }

    /// Signs a value that was built here. There is no way to sign bytes (attack 66).
    #[must_use]
    pub fn sign(&self, value: &impl Signable) -> Signature {
        self.key.0.sign(&value.role().input(&value.canonical())).to_bytes()
    }
}

/// Verifies a signature strictly over the canonical bytes as they came: small-order and non-canonical keys and
/// signatures are refused (attack 68).
///
/// # Errors
/// [`PeerFault::Signature`], whatever is wrong.
pub fn verify(nk: NodeKey, role: Role, canonical: &[u8], signature: &[u8]) -> Result<(), PeerFault> {
    if !is_canonical(&nk) {
        return Err(PeerFault::Signature);
    }
    let key = VerifyingKey::from_bytes(&nk.0).map_err(|_| PeerFault::Signature)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| PeerFault::Signature)?;
    key.verify_strict(&role.input(canonical), &signature).map_err(|_| PeerFault::Signature)
}

/// Whether a key's coordinate is below the field's prime 2²⁵⁵ − 19 (RFC 8032 §5.1.3): the engine reduces it.
fn is_canonical(nk: &NodeKey) -> bool {
    let [low, middle @ .., high] = nk.0;
    high & 0x7f != 0x7f || middle != [0xff; 30] || low < 0xed
}

/// Verifies a signature over a value that we can build ourselves, as [`verify`] does.
///
/// # Errors
/// [`PeerFault::Signature`], whatever is wrong.
pub fn verify_value(nk: NodeKey, value: &impl Signable, signature: &[u8]) -> Result<(), PeerFault> {
    verify(nk, value.role(), &value.canonical(), signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::TrustStep;
    use crate::wire::signed::OnConnection;

    fn identity() -> NodeIdentity {
        NodeIdentity::new(&Secret::new([7; 32]), NodeKey([9; 32]))
    }

    /// [K-1]
    #[test]
    fn t_067_a_signature_of_one_role_is_none_of_another() {
        let ours = identity();
        let value = OnConnection::new(TrustStep::Confirm, b"step", &[1; 32]);
        let signature = ours.sign(&value);
        for role in Role::ALL {
            let result = verify(ours.nk(), role, &value.canonical(), &signature);
            assert_eq!(result.is_ok(), role == Role::Confirm, "{role:?}");
        }
    }

    /// [K-3]
    #[test]
    fn t_068_a_key_has_one_spelling() {
        let prime = [&[0xed][..], &[0xff; 30], &[0x7f]].concat();
        for above in 0..19 {
            let mut key: [u8; 32] = prime.clone().try_into().unwrap();
            key[0] += above;
            assert!(!is_canonical(&NodeKey(key)), "p + {above}");
            key[31] |= 0x80;
            assert!(!is_canonical(&NodeKey(key)), "p + {above}, the other sign");
        }
        let mut below: [u8; 32] = prime.try_into().unwrap();
        below[0] -= 1;
        assert!(is_canonical(&NodeKey(below)) && is_canonical(&identity().nk()));
    }

    #[test]
    fn an_identity_prints_no_secret() {
        let printed = format!("{:?}", identity());
        assert!(printed.contains("Secret(..)") && !printed.contains("[7, 7"), "{printed}");
    }
}
