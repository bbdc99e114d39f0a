//! What is sealed under a key that is used once: ChaCha20-Poly1305 (RFC 8439) with key commitment ([I-21]).
//!
//! ```text
//!   prk    = HKDF-Extract(salt, secret)          (RFC 5869, SHA-256)
//!   key    = HKDF-Expand(prk, "postline/1 " ‖ label ‖ 0x00 ‖ "key",  32)
//!   commit = HKDF-Expand(prk, "postline/1 " ‖ label ‖ 0x00 ‖ "commit", 32)
//!   sealed = commit ‖ ChaCha20-Poly1305(key, nonce 0, aad, plain)
//! ```
//!
//! The nonce is zero, since no key seals twice: a fresh salt, or a fresh exchange, makes each. The commitment keeps a box
//! from opening under two keys.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::fault::PeerFault;
use crate::seal::secret::Secret;

/// The keys of one box.
#[derive(Debug)]
pub(super) struct Once {
    key: Secret<32>,
    commit: Secret<32>,
}

impl Once {
    /// Derives them from a secret, for one use.
    pub(super) fn derive(salt: &[u8], secret: &[u8], label: &str) -> Self {
        let (key, commit) = derive(salt, secret, label);
        Self { key, commit }
    }

    /// Seals `plain`, bound to `aad`. Consumes the keys.
    pub(super) fn seal(self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let cipher = ChaCha20Poly1305::new(self.key.expose().into());
        let sealed = cipher.encrypt(&Nonce::default(), Payload { msg: plain, aad });
        // The engine refuses only what is longer than 256 GiB.
        [&self.commit.expose()[..], &sealed.unwrap_or_default()].concat()
    }

    /// Opens what the same keys sealed.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] where the keys are others; [`PeerFault::Sealed`] where they are right, and the bytes or
    /// what they are bound to were changed.
    pub(super) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PeerFault> {
        let (commit, sealed) = sealed.split_at_checked(32).ok_or(PeerFault::Sealed("a box"))?;
        if !bool::from(self.commit.expose().ct_eq(commit)) {
            return Err(PeerFault::WrongCode);
        }
        let cipher = ChaCha20Poly1305::new(self.key.expose().into());
        let plain = cipher.decrypt(&Nonce::default(), Payload { msg: sealed, aad });
        plain.map(Zeroizing::new).map_err(|_| PeerFault::Sealed("a changed box"))
    }
}

/// The key that comes of a secret for one use, and its commitment.
pub(super) fn derive(salt: &[u8], secret: &[u8], label: &str) -> (Secret<32>, Secret<32>) {
    let prk = Hkdf::<Sha256>::new(Some(salt), secret);
    (expand(&prk, label, b"key"), expand(&prk, label, b"commit"))
}

fn expand(prk: &Hkdf<Sha256>, label: &str, what: &[u8]) -> Secret<32> {
    let mut bytes = Zeroizing::new([0; 32]);
    let expanded = prk.expand_multi_info(&[b"postline/1 ", label.as_bytes(), &[0], what], &mut *bytes);
    debug_assert!(expanded.is_ok(), "32 bytes are within what HKDF expands");
    Secret::new(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [I-21]
    #[test]
    fn t_069_a_box_that_is_short_long_or_changed_opens_nothing() {
        let once = || Once::derive(b"salt", b"secret", "test");
        let sealed = once().seal(b"aad", b"plain");
        assert_eq!(once().open(b"aad", &sealed).unwrap().as_slice(), b"plain");
        for cut in 0..sealed.len() {
            assert!(once().open(b"aad", &sealed[..cut]).is_err(), "cut at {cut}");
        }
        assert!(once().open(b"aad", &[&sealed[..], &[0]].concat()).is_err());
        assert_eq!(once().open(b"add", &sealed), Err(PeerFault::Sealed("a changed box")));
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone();
            bytes[at] ^= 1;
            let fault = if at < 32 { PeerFault::WrongCode } else { PeerFault::Sealed("a changed box") };
            assert_eq!(once().open(b"aad", &bytes), Err(fault), "byte {at}");
        }
        for (salt, secret, label) in
            [("Salt", "secret", "test"), ("salt", "Secret", "test"), ("salt", "secret", "Test")]
        {
            let other = Once::derive(salt.as_bytes(), secret.as_bytes(), label);
            assert_eq!(other.open(b"aad", &sealed), Err(PeerFault::WrongCode));
        }
    }

    /// [K-5]
    #[test]
    fn t_089_the_keys_of_a_box_print_nothing() {
        assert_eq!(format!("{:?}", Once::derive(b"", b"", "")), "Once { key: Secret(..), commit: Secret(..) }");
    }
}
