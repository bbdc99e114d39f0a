//! The primitives of suite 0x0003, each with all its checks: lengths first, then the library's strictest form.
//!
//! ```text
//!   hash SHA-256 · mac HMAC-SHA-256 · kdf HKDF-SHA-256 · aead ChaCha20-Poly1305 · dh X25519 · sign Ed25519
//! ```

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use mls_rs_core::error::IntoAnyError;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Length of a hash, of a MAC, and of what the KDF extracts.
pub(crate) const HASH: usize = 32;
/// Length of an AEAD key.
pub(crate) const KEY: usize = 32;
/// Length of an AEAD nonce.
pub(crate) const NONCE: usize = 12;
/// Length of an AEAD tag.
pub(crate) const TAG: usize = 16;
/// Length of an X25519 key, public or secret.
pub(crate) const POINT: usize = 32;

/// Why a primitive refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// A key, nonce or output of a length that the suite doesn't have.
    #[error("wrong length")]
    Length,
    /// A key that is none, has another spelling, or shares nothing (attack 68).
    #[error("bad key")]
    Key,
    /// A signature that doesn't verify.
    #[error("bad signature")]
    Signature,
    /// A ciphertext that doesn't open.
    #[error("does not open")]
    Sealed,
    /// Random bytes were asked for outside a call.
    #[error("no entropy outside a call")]
    Entropy,
    /// All nonces of a key are used (attack 63).
    #[error("all nonces are used")]
    Spent,
}

impl IntoAnyError for Flaw {}

pub(crate) fn hash(parts: &[&[u8]]) -> [u8; HASH] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

pub(crate) fn mac(key: &[u8], data: &[u8]) -> Result<[u8; HASH], Flaw> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).map_err(|_| Flaw::Length)?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().into())
}

pub(crate) fn extract(salt: &[u8], ikm: &[u8]) -> Zeroizing<Vec<u8>> {
    let (prk, _) = Hkdf::<Sha256>::extract(Some(salt), ikm);
    Zeroizing::new(prk.to_vec())
}

/// HKDF-Expand (RFC 5869 §2.3).
///
/// # Errors
/// [`Flaw::Length`] for a key shorter than a hash, or more than 255 hashes of output.
pub(crate) fn expand(prk: &[u8], info: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let mut out = Zeroizing::new(vec![0; len]);
    let hkdf = Hkdf::<Sha256>::from_prk(prk).map_err(|_| Flaw::Length)?;
    hkdf.expand(info, &mut out).map_err(|_| Flaw::Length)?;
    Ok(out)
}

pub(crate) fn seal(key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Flaw> {
    let (cipher, nonce) = cipher(key, nonce)?;
    #[cfg(any(test, feature = "testing"))]
    ledger::note(key, &nonce);
    cipher.encrypt(&nonce, Payload { msg, aad }).map_err(|_| Flaw::Length)
}

/// # Errors
/// [`Flaw::Length`] for a wrong key or nonce; [`Flaw::Sealed`] for whatever doesn't open, shorter than a tag included:
/// length first, then the tag in constant time (attack 69).
pub(crate) fn open(key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let (cipher, nonce) = cipher(key, nonce)?;
    if msg.len() < TAG {
        return Err(Flaw::Sealed);
    }
    cipher.decrypt(&nonce, Payload { msg, aad }).map(Zeroizing::new).map_err(|_| Flaw::Sealed)
}

fn cipher(key: &[u8], nonce: &[u8]) -> Result<(ChaCha20Poly1305, Nonce), Flaw> {
    let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Flaw::Length)?;
    let cipher = ChaCha20Poly1305::new_from_slice(key).map_err(|_| Flaw::Length)?;
    Ok((cipher, Nonce::from(nonce)))
}

/// X25519 (RFC 7748 §6.1).
///
/// # Errors
/// [`Flaw::Length`]; [`Flaw::Key`] for a public key with which everybody shares the same, all-zero secret.
pub(crate) fn dh(secret: &[u8], public: &[u8]) -> Result<Zeroizing<[u8; POINT]>, Flaw> {
    let secret = scalar(secret)?;
    let public: [u8; POINT] = public.try_into().map_err(|_| Flaw::Length)?;
    let shared = secret.diffie_hellman(&PublicKey::from(public));
    if shared.was_contributory() { Ok(Zeroizing::new(shared.to_bytes())) } else { Err(Flaw::Key) }
}

/// The public key of an X25519 secret.
///
/// # Errors
/// [`Flaw::Length`].
pub(crate) fn point(secret: &[u8]) -> Result<[u8; POINT], Flaw> {
    Ok(PublicKey::from(&scalar(secret)?).to_bytes())
}

fn scalar(secret: &[u8]) -> Result<StaticSecret, Flaw> {
    let secret: Zeroizing<[u8; POINT]> = Zeroizing::new(secret.try_into().map_err(|_| Flaw::Length)?);
    Ok(StaticSecret::from(*secret))
}

/// The public key of an Ed25519 seed.
///
/// # Errors
/// [`Flaw::Length`].
pub(crate) fn signer_public(seed: &[u8]) -> Result<[u8; 32], Flaw> {
    Ok(signing_key(seed)?.verifying_key().to_bytes())
}

/// # Errors
/// [`Flaw::Length`] for a seed that isn't one.
pub(crate) fn sign(seed: &[u8], data: &[u8]) -> Result<[u8; 64], Flaw> {
    Ok(signing_key(seed)?.sign(data).to_bytes())
}

fn signing_key(seed: &[u8]) -> Result<SigningKey, Flaw> {
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.try_into().map_err(|_| Flaw::Length)?);
    Ok(SigningKey::from_bytes(&seed))
}

/// Verifies strictly: small-order and non-canonical keys and signatures are refused (attack 68).
///
/// # Errors
/// [`Flaw::Length`], [`Flaw::Key`] or [`Flaw::Signature`].
pub(crate) fn verify(public: &[u8], signature: &[u8], data: &[u8]) -> Result<(), Flaw> {
    let public: [u8; 32] = public.try_into().map_err(|_| Flaw::Length)?;
    let signature: [u8; 64] = signature.try_into().map_err(|_| Flaw::Length)?;
    if !crate::seal::sign::is_canonical(&public) {
        return Err(Flaw::Key);
    }
    let key = VerifyingKey::from_bytes(&public).map_err(|_| Flaw::Key)?;
    key.verify_strict(data, &ed25519_dalek::Signature::from_bytes(&signature)).map_err(|_| Flaw::Signature)
}

/// Every (key, nonce) that was sealed under on this thread: no two may be equal (attack 62). Kept only once somebody has
/// looked; never in what is shipped.
#[cfg(any(test, feature = "testing"))]
pub mod ledger {
    use std::cell::RefCell;

    std::thread_local! {
        static USED: RefCell<Option<Vec<Used>>> = const { RefCell::new(None) };
    }

    /// A key, and a nonce.
    pub type Used = (Vec<u8>, Vec<u8>);

    pub(crate) fn note(key: &[u8], nonce: &[u8]) {
        USED.with_borrow_mut(|used| {
            if let Some(used) = used {
                used.push((key.to_vec(), nonce.to_vec()));
            }
        });
    }

    /// What was used since the last look.
    #[must_use]
    pub fn take() -> Vec<Used> {
        USED.with_borrow_mut(|used| used.replace(Vec::new())).unwrap_or_default()
    }
}
