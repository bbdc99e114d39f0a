//! Something kept elsewhere: where, under which key, and what it must hash to.
//!
//! ```text
//!   url ──fetch──▶ sealed bytes ──hash──▶ compared ──key, nonce, aad──▶ the file
//! ```
//!
//! What is fetched is judged by the hash before it is opened; the name and the size are an author's claims.

use core::fmt;

use zeroize::Zeroizing;

use crate::content::refusal::ContentFault;
use crate::content::text::{ClaimedName, Description, Media};
use crate::content::uri::Uri;
use crate::id::Hash;
use crate::limits;

/// Something kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// What it is.
    pub media: Media,
    /// Where it can be had, or the place or service that it names.
    pub url: Uri,
    /// After which Unix second it can't be had any more; 0: never.
    pub expires: u32,
    /// How many bytes it has, as the author says; 0: unknown.
    pub size: u64,
    /// How it is sealed; `None` where it isn't.
    pub sealed: Option<Sealed>,
    /// What it hashes to; `None` where nothing is said.
    pub hash: Option<ContentHash>,
    /// What the author says about it.
    pub description: Description,
    /// What the author calls it.
    pub name: ClaimedName,
}

impl External {
    /// Something at this URI, of which nothing else is known.
    #[must_use]
    pub fn at(url: Uri) -> Self {
        let (media, description, name) = (Media::default(), Description::default(), ClaimedName::default());
        Self { media, url, expires: 0, size: 0, sealed: None, hash: None, description, name }
    }
}

/// How something is sealed: an AEAD (RFC 5116), and what it takes to open it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    aead: u16,
    key: Zeroizing<Vec<u8>>,
    nonce: Vec<u8>,
    aad: Vec<u8>,
}

/// AES-128-GCM in the IANA registry of AEADs.
pub const AES_128_GCM: u16 = 1;
/// ChaCha20-Poly1305 there: what we seal with.
pub const CHACHA20_POLY1305: u16 = 29;
/// SHA-256 in the IANA registry of named hashes.
pub const SHA_256: u8 = 1;

impl Sealed {
    /// Takes what it takes to open something.
    ///
    /// # Errors
    /// [`ContentFault`] for algorithm 0, for a key or nonce of another length than the algorithm's, where it is known, and for
    /// more than the bounds.
    pub fn new(aead: u16, key: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Self, ContentFault> {
        let good = match aead {
            0 => false,
            AES_128_GCM => (key.len(), nonce.len()) == (16, 12),
            CHACHA20_POLY1305 => (key.len(), nonce.len()) == (32, 12),
            _ => true,
        };
        if !good {
            return Err(ContentFault::Shape("an algorithm with a key and nonce of its lengths"));
        }
        ContentFault::over("bytes of a key", key.len(), limits::PART_KEY_BYTES)?;
        ContentFault::over("bytes of a nonce", nonce.len(), limits::PART_KEY_BYTES)?;
        ContentFault::over("bytes of additional data", aad.len(), limits::PART_AAD_BYTES)?;
        Ok(Self { aead, key: Zeroizing::new(key.to_vec()), nonce: nonce.to_vec(), aad: aad.to_vec() })
    }

    /// The algorithm's number in the IANA registry of AEADs.
    #[must_use]
    pub const fn aead(&self) -> u16 {
        self.aead
    }

    /// The key: a secret.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// The additional authenticated data.
    #[must_use]
    pub fn aad(&self) -> &[u8] {
        &self.aad
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed {{ aead: {}, key: Secret(..) }}", self.aead)
    }
}

/// What something hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHash {
    algorithm: u8,
    hash: Vec<u8>,
}

impl ContentHash {
    /// Takes a hash.
    ///
    /// # Errors
    /// [`ContentFault`] for algorithm 0, a SHA-256 of another length, and more than the bound.
    pub fn new(algorithm: u8, hash: &[u8]) -> Result<Self, ContentFault> {
        ContentFault::over("bytes of a hash", hash.len(), limits::PART_KEY_BYTES)?;
        if algorithm == 0 || hash.is_empty() || (algorithm == SHA_256 && hash.len() != 32) {
            return Err(ContentFault::Shape("an algorithm with a hash of its length"));
        }
        Ok(Self { algorithm, hash: hash.to_vec() })
    }

    /// The algorithm's number in the IANA registry of named hashes.
    #[must_use]
    pub const fn algorithm(&self) -> u8 {
        self.algorithm
    }

    /// The hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.hash
    }

    /// The hash, where it is SHA-256.
    #[must_use]
    pub fn sha256(&self) -> Option<Hash> {
        if self.algorithm == SHA_256 { self.hash.as_slice().try_into().ok().map(Hash) } else { None }
    }
}

impl From<Hash> for ContentHash {
    fn from(hash: Hash) -> Self {
        Self { algorithm: SHA_256, hash: hash.0.to_vec() }
    }
}
