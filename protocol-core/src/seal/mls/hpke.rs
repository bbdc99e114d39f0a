//! HPKE (RFC 9180) as MLS uses it: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; modes base and PSK.

use mls_rs_core::crypto::{HpkeContextR, HpkeContextS, HpkePsk};
use zeroize::{Zeroize, Zeroizing};

use crate::seal::mls::primitive::{self as p, Flaw, HASH, KEY, NONCE, POINT};

/// `"KEM" ‖ I2OSP(kem_id, 2)`.
const KEM_SUITE: &[u8] = b"KEM\x00\x20";
/// `"HPKE" ‖ kem_id ‖ kdf_id ‖ aead_id`.
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
/// The shortest PSK that is taken (RFC 9180 §5.1.2).
const PSK_BYTES: usize = 32;

/// A key pair: secret, public.
pub(crate) type Pair = (Zeroizing<[u8; POINT]>, [u8; POINT]);

fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Zeroizing<Vec<u8>> {
    let input = Zeroizing::new([b"HPKE-v1", suite, label, ikm].concat());
    p::extract(salt, &input)
}

fn labeled_expand(suite: &[u8], prk: &[u8], label: &[u8], info: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let short = u16::try_from(len).map_err(|_| Flaw::Length)?;
    p::expand(prk, &[&short.to_be_bytes()[..], b"HPKE-v1", suite, label, info].concat(), len)
}

/// DeriveKeyPair (RFC 9180 §7.1.3).
pub(crate) fn derive(ikm: &[u8]) -> Result<Pair, Flaw> {
    let prk = labeled_extract(KEM_SUITE, b"", b"dkp_prk", ikm);
    let sk = labeled_expand(KEM_SUITE, &prk, b"sk", b"", POINT)?;
    let secret: Zeroizing<[u8; POINT]> = Zeroizing::new(sk.as_slice().try_into().map_err(|_| Flaw::Length)?);
    let public = p::point(secret.as_slice())?;
    Ok((secret, public))
}

/// What both ends of the KEM get from the shared point.
fn shared(dh: &[u8; POINT], enc: &[u8], recipient: &[u8]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let prk = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh);
    labeled_expand(KEM_SUITE, &prk, b"shared_secret", &[enc, recipient].concat(), HASH)
}

/// Encap, with the pair that the caller drew for it.
///
/// # Errors
/// [`Flaw::Length`] or [`Flaw::Key`] for the recipient's key.
pub(crate) fn encap(
    ephemeral: &Pair,
    recipient: &[u8],
    info: &[u8],
    psk: Option<&HpkePsk<'_>>,
) -> Result<Context, Flaw> {
    let (secret, enc) = ephemeral;
    let dh = p::dh(secret.as_slice(), recipient)?;
    Context::schedule(&shared(&dh, enc, recipient)?, info, psk)
}

/// Decap.
///
/// # Errors
/// [`Flaw::Length`] or [`Flaw::Key`] for the encapsulated key.
pub(crate) fn decap(
    enc: &[u8],
    secret: &[u8],
    public: &[u8],
    info: &[u8],
    psk: Option<&HpkePsk<'_>>,
) -> Result<Context, Flaw> {
    let dh = p::dh(secret, enc)?;
    Context::schedule(&shared(&dh, enc, public)?, info, psk)
}

/// An HPKE context: a key, a base nonce, and a counter of 64 bits that never wraps (attack 63).
pub(crate) struct Context {
    key: Zeroizing<Vec<u8>>,
    base: [u8; NONCE],
    exporter: Zeroizing<Vec<u8>>,
    used: u64,
}

impl Drop for Context {
    fn drop(&mut self) {
        self.base.zeroize();
    }
}

impl Context {
    /// KeySchedule (RFC 9180 §5.1).
    fn schedule(shared: &[u8], info: &[u8], psk: Option<&HpkePsk<'_>>) -> Result<Self, Flaw> {
        let (mode, id, psk): (u8, &[u8], &[u8]) = match psk {
            None => (0, b"", b""),
            Some(psk) if psk.value.len() < PSK_BYTES || psk.id.is_empty() => return Err(Flaw::Length),
            Some(psk) => (1, psk.id, psk.value),
        };
        let id = labeled_extract(SUITE, b"", b"psk_id_hash", id);
        let info = labeled_extract(SUITE, b"", b"info_hash", info);
        let context = [&[mode][..], &id, &info].concat();
        let secret = labeled_extract(SUITE, shared, b"secret", psk);
        let base = labeled_expand(SUITE, &secret, b"base_nonce", &context, NONCE)?;
        Ok(Self {
            key: labeled_expand(SUITE, &secret, b"key", &context, KEY)?,
            base: base.as_slice().try_into().map_err(|_| Flaw::Length)?,
            exporter: labeled_expand(SUITE, &secret, b"exp", &context, HASH)?,
            used: 0,
        })
    }

    /// The nonce that is next, and the count behind it: both before anything is done with them.
    fn next(&self) -> Result<([u8; NONCE], u64), Flaw> {
        let after = self.used.checked_add(1).ok_or(Flaw::Spent)?;
        let mut nonce = self.base;
        nonce.iter_mut().rev().zip(self.used.to_le_bytes()).for_each(|(byte, count)| *byte ^= count);
        Ok((nonce, after))
    }

    pub(crate) fn seal_next(&mut self, aad: &[u8], data: &[u8]) -> Result<Vec<u8>, Flaw> {
        let (nonce, after) = self.next()?;
        let sealed = p::seal(&self.key, &nonce, aad, data)?;
        self.used = after;
        Ok(sealed)
    }

    pub(crate) fn open_next(&mut self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        let (nonce, after) = self.next()?;
        let opened = p::open(&self.key, &nonce, aad, sealed)?;
        self.used = after;
        Ok(opened)
    }

    pub(crate) fn derive_secret(&self, context: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        labeled_expand(SUITE, &self.exporter, b"sec", context, len)
    }

    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        (&self.key, &self.base, &self.exporter)
    }

    #[cfg(test)]
    pub(crate) fn wind_to(&mut self, used: u64) {
        self.used = used;
    }
}

impl HpkeContextS for Context {
    type Error = Flaw;

    fn seal(&mut self, aad: Option<&[u8]>, data: &[u8]) -> Result<Vec<u8>, Flaw> {
        self.seal_next(aad.unwrap_or_default(), data)
    }

    fn export(&self, exporter_context: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        self.derive_secret(exporter_context, len)
    }
}

impl HpkeContextR for Context {
    type Error = Flaw;

    fn open(&mut self, aad: Option<&[u8]>, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        self.open_next(aad.unwrap_or_default(), ciphertext)
    }

    fn export(&self, exporter_context: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        self.derive_secret(exporter_context, len)
    }
}
