//! The node's identity: NK, the key that proves links and signs offers, accepts and handshake steps.

use crate::id::{Hash, NodeKey};
use crate::seal::secret::Secret;
use crate::seal::sign::{Pen, Signature};
use crate::store::sha256;
use crate::wire::signed::Signable;

/// The node's signing key, the hash of the one that will follow it, and the public half of the one before.
#[derive(Debug)]
pub struct NodeIdentity {
    key: Pen,
    nk: NodeKey,
    next_nk: Hash,
    former: Option<NodeKey>,
}

impl NodeIdentity {
    /// Makes the identity from the seed of this key and the public part of the next (pre-rotation).
    #[must_use]
    pub fn new(seed: &Secret<32>, next: NodeKey) -> Self {
        let key = Pen::new(seed);
        let nk = NodeKey(key.public());
        Self { key, nk, next_nk: sha256(&[&next.0]), former: None }
    }

    /// The same identity, which says that its key has followed this one.
    #[must_use]
    pub fn following(self, former: Option<NodeKey>) -> Self {
        Self { former: former.filter(|former| *former != self.nk), ..self }
    }

    /// The public key that a seed makes.
    #[must_use]
    pub fn public(seed: &Secret<32>) -> NodeKey {
        NodeKey(Pen::new(seed).public())
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
        self.key.sign(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_prints_no_secret() {
        let printed = format!("{:?}", NodeIdentity::new(&Secret::new([7; 32]), NodeKey([9; 32])));
        assert!(printed.contains("Secret(..)") && !printed.contains("[7, 7"), "{printed}");
    }
}
