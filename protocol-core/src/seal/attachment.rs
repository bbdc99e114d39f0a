//! An attachment: a file, sealed once under a key of its own, in chunks each of which opens by itself. Spec:
//! `spec/15-attachments.md`.
//!
//! ```text
//!   file   = piece 0 │ piece 1 │ … │ last piece                      64 KiB each, the last one at most as long
//!   sealed = commitment │ chunk 0 │ chunk 1 │ … │ last chunk         each 16 bytes longer than its piece
//!   hash   = H(sealed)                                               what it is called, and asked for by
//!
//!   Sealer: head, chunk, chunk, … ─▶ Attachment ──External──▶ said, sealed … opened ──External──▶ Attachment ─▶ Opener
//! ```
//!
//! * **Any range opens by itself**: a chunk's nonce is its index and whether it is the last. Moved, left out, doubled or cut
//!   off, it doesn't open.
//! * **A wrong key is told before a byte is given out**: the sealed bytes begin with a commitment to the key. The engine's
//!   tags alone aren't one: bytes can be made that open under two keys ([B-2]).
//! * **The hash is that of the sealed bytes in a row, no tree**: nodes, which have no key, compare it when a file is whole, and
//!   MIMI has a place for it. Who has the key can tell any chunk of a part of it by its tag, so a tree would tell nothing more.
//! * **Memory** is one chunk, whatever the file.
//!
//! Where the sealed bytes are kept and how they are carried is others'. Nothing here is compressed (attacks 88, 93).

use core::ops::Range;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::content::external::{CHACHA20_POLY1305, External, Sealed};
use crate::content::refusal::ContentFault;
use crate::content::text::{ClaimedName, Media};
use crate::content::uri::Uri;
use crate::fault::{Misuse, PeerFault};
use crate::id::{BlobRef, Hash};
use crate::limits;
use crate::seal::aead;
use crate::seal::secret::Secret;
use crate::step::Tick;

/// What it is sealed for; and the additional data of each chunk, by which the form is told from others.
const LABEL: &str = "attachment";
const FORM: &[u8] = b"postline/1 attachment";
/// The commitment's length, in bytes.
const HEAD: u64 = 32;
/// What sealing adds to a piece, in bytes.
const TAG: u64 = 16;
/// A piece's length, the last one aside.
const PIECE: u64 = limits::ATTACHMENT_CHUNK_BYTES as u64;

/// Why something is no attachment, or doesn't open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentFault {
    /// It isn't sealed, named or hashed as ours are.
    #[error("no attachment: expected {0}")]
    Shape(&'static str),
    /// No file has so many bytes when it is sealed.
    #[error("no attachment has {0} bytes")]
    Length(u64),
    /// Longer than a file may be.
    #[error("an attachment of {got} bytes, at most {max}")]
    TooBig {
        /// Its length, sealed.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// What was fetched was sealed under another key.
    #[error("another key's attachment")]
    Key,
    /// A chunk is cut, or there is none of this index.
    #[error("chunk {index} has {got} bytes, want {want}")]
    Cut {
        /// Which.
        index: u64,
        /// How many bytes there are.
        got: u64,
        /// How many there must be.
        want: u64,
    },
    /// A chunk was changed, or is another one.
    #[error("chunk {0} was changed")]
    Changed(u64),
}

impl From<AttachmentFault> for PeerFault {
    fn from(fault: AttachmentFault) -> Self {
        match fault {
            AttachmentFault::TooBig { got, max } => Self::TooBig { what: "an attachment", got, max },
            AttachmentFault::Shape(what) => Self::Sealed(what),
            AttachmentFault::Length(_) => Self::Sealed("an attachment's length"),
            AttachmentFault::Key => Self::Sealed("an attachment under its key"),
            AttachmentFault::Cut { .. } => Self::Sealed("a whole chunk"),
            AttachmentFault::Changed(_) => Self::Sealed("a chunk as it was sealed"),
        }
    }
}

/// What it takes to fetch and to open an attachment: it goes sealed, within a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    blob: BlobRef,
    key: Secret<32>,
    nonce: [u8; 12],
    shape: Shape,
}

impl Attachment {
    /// The sealed bytes: their hash and length.
    #[must_use]
    pub const fn blob(&self) -> BlobRef {
        self.blob
    }

    /// The file's length, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.shape.size
    }

    /// How many chunks there are: at least one.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        self.shape.chunks
    }

    /// Where a chunk lies within the sealed bytes; `None` behind the last.
    #[must_use]
    pub fn place(&self, index: u64) -> Option<Range<u64>> {
        self.shape.place(index)
    }

    /// What a content says of it ([B-4]): of this media type, called this by its author.
    ///
    /// # Errors
    /// Never of its own.
    pub fn to_external(&self, media: Media, name: ClaimedName) -> Result<External, ContentFault> {
        let sealed = Sealed::new(CHACHA20_POLY1305, self.key.expose(), &self.nonce, FORM)?;
        let (size, hash) = (self.blob.len, self.blob.sha256);
        let at = External::at(Uri::file(hash));
        Ok(External { media, size, sealed: Some(sealed), hash: Some(hash.into()), name, ..at })
    }

    /// Takes what a content says of one ([B-4]).
    ///
    /// # Errors
    /// [`AttachmentFault`] where it is kept, sealed or hashed in another way than ours.
    pub fn read(external: &External) -> Result<Self, AttachmentFault> {
        let hash = external.hash.as_ref().and_then(|hash| hash.sha256());
        let hash = hash.ok_or(AttachmentFault::Shape("a SHA-256"))?;
        if external.url.as_file() != Some(hash) {
            return Err(AttachmentFault::Shape("a file's URI of its hash"));
        }
        let sealed = external.sealed.as_ref().ok_or(AttachmentFault::Shape("something sealed"))?;
        if sealed.aead() != CHACHA20_POLY1305 || sealed.aad() != FORM {
            return Err(AttachmentFault::Shape("the seal of an attachment"));
        }
        let lengths = || AttachmentFault::Shape("a key and nonce of their lengths");
        let key = Zeroizing::new(sealed.key().try_into().map_err(|_| lengths())?);
        let nonce = sealed.nonce().try_into().map_err(|_| lengths())?;
        let shape = Shape::of_sealed(external.size)?;
        Ok(Self { blob: BlobRef { sha256: hash, len: external.size }, key: Secret::new(*key), nonce, shape })
    }
}

/// How a file is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    size: u64,
    chunks: u64,
}

impl Shape {
    /// Of a file of this length.
    fn of_file(size: u64) -> Result<Self, AttachmentFault> {
        let chunks = size.div_ceil(PIECE).max(1);
        let (got, max) = (size.saturating_add(HEAD + chunks * TAG), limits::ATTACHMENT_BYTES);
        if got > max { Err(AttachmentFault::TooBig { got, max }) } else { Ok(Self { size, chunks }) }
    }

    /// Of a file that has this length when it is sealed: there is one, or none ([B-3]).
    fn of_sealed(len: u64) -> Result<Self, AttachmentFault> {
        if len > limits::ATTACHMENT_BYTES {
            return Err(AttachmentFault::TooBig { got: len, max: limits::ATTACHMENT_BYTES });
        }
        let body = len.checked_sub(HEAD).ok_or(AttachmentFault::Length(len))?;
        let chunks = body.div_ceil(PIECE + TAG);
        let shape = body.checked_sub(chunks * TAG).and_then(|size| Self::of_file(size).ok());
        shape.filter(|shape| shape.len() == len).ok_or(AttachmentFault::Length(len))
    }

    /// The length of it all, sealed.
    const fn len(self) -> u64 {
        HEAD + self.size + self.chunks * TAG
    }

    /// How long a piece is; 0 also where there is none.
    fn piece(self, index: u64) -> u64 {
        self.size.saturating_sub(index.saturating_mul(PIECE)).min(PIECE)
    }

    fn place(self, index: u64) -> Option<Range<u64>> {
        if index >= self.chunks {
            return None;
        }
        let start = HEAD + index * (PIECE + TAG);
        Some(start..start + self.piece(index) + TAG)
    }

    /// The nonce of a chunk: used once, since the key is this file's alone.
    fn nonce(self, index: u64) -> Nonce {
        let mut nonce = [0; 12];
        let (number, last) = (index.to_be_bytes(), u8::from(index + 1 == self.chunks));
        nonce.iter_mut().skip(3).zip(number.into_iter().chain([last])).for_each(|(to, from)| *to = from);
        nonce.into()
    }
}

/// Seals a file, piece by piece, in order.
pub struct Sealer {
    key: Secret<32>,
    nonce: [u8; 12],
    cipher: ChaCha20Poly1305,
    shape: Shape,
    next: u64,
    hash: Sha256,
}

impl Sealer {
    /// Begins a file of this length, under a key that it draws from the step's entropy. Gives what the sealed bytes begin with.
    ///
    /// # Errors
    /// [`AttachmentFault::TooBig`] for a file that is more than [`ATTACHMENT_BYTES`](limits::ATTACHMENT_BYTES) when it is
    /// sealed.
    pub fn begin(tick: &Tick, size: u64) -> Result<(Self, [u8; 32]), AttachmentFault> {
        let nonce = *Secret::<12>::draw(tick, "attachment nonce").expose();
        Self::under(Secret::draw(tick, "attachment key"), nonce, size)
    }

    /// The same under a key that was drawn for this file, and for nothing else.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn under(key: Secret<32>, nonce: [u8; 12], size: u64) -> Result<(Self, [u8; 32]), AttachmentFault> {
        let shape = Shape::of_file(size)?;
        let (cipher, commitment) = keys(&key, &nonce);
        let hash = Sha256::new_with_prefix(commitment.expose());
        Ok((Self { key, nonce, cipher, shape, next: 0, hash }, *commitment.expose()))
    }

    /// How long the next piece must be, in bytes; `None` once all are sealed. An empty file has one empty piece.
    #[must_use]
    pub fn wants(&self) -> Option<usize> {
        (self.next < self.shape.chunks).then(|| usize::try_from(self.shape.piece(self.next)).unwrap_or_default())
    }

    /// Seals the next piece of the file, in place.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] for one that isn't as long as [`wants`](Self::wants) says: the file has changed since it was
    /// begun. Then it must be begun anew.
    pub fn chunk(&mut self, piece: &mut Vec<u8>) -> Result<(), Misuse> {
        self.unhashed(piece)?;
        self.hash.update(&*piece);
        Ok(())
    }

    /// The same for who hashes the sealed bytes elsewhere, the first of them too, and ends by [`named`](Self::named).
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub fn unhashed(&mut self, piece: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.wants() != Some(piece.len()) {
            return Err(Misuse::OutOfPlace("the next piece of a file, whole"));
        }
        let sealed = self.cipher.encrypt_in_place(&self.shape.nonce(self.next), FORM, piece);
        sealed.map_err(|_| Misuse::OutOfPlace("a piece that can be sealed"))?;
        self.next += 1;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where pieces are missing.
    pub fn finish(mut self) -> Result<Attachment, Misuse> {
        let hash = core::mem::take(&mut self.hash);
        let blob = BlobRef { sha256: Hash(hash.finalize().into()), len: self.shape.len() };
        self.named(blob)
    }

    /// Ends a file whose sealed bytes were hashed elsewhere: this is what they are.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where pieces are missing, or the bytes are not so many.
    pub fn named(self, blob: BlobRef) -> Result<Attachment, Misuse> {
        if self.wants().is_some() || blob.len != self.shape.len() {
            return Err(Misuse::OutOfPlace("a file, whole"));
        }
        Ok(Attachment { blob, key: self.key, nonce: self.nonce, shape: self.shape })
    }
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Sealer {{ key: Secret(..), next: {} of {} }}", self.next, self.shape.chunks)
    }
}

/// Opens an attachment, any chunk of it at any time.
pub struct Opener {
    cipher: ChaCha20Poly1305,
    shape: Shape,
}

impl Opener {
    /// Begins with the first bytes of what was fetched.
    ///
    /// # Errors
    /// [`AttachmentFault::Key`] where they weren't sealed under this key ([B-2]), [`AttachmentFault::Cut`] where there are
    /// fewer than 32.
    pub fn begin(attachment: &Attachment, head: &[u8]) -> Result<Self, AttachmentFault> {
        let got = head.len() as u64;
        let head = head.get(..HEAD as usize).ok_or(AttachmentFault::Cut { index: 0, got, want: HEAD })?;
        let (cipher, commitment) = keys(&attachment.key, &attachment.nonce);
        if !bool::from(commitment.expose().ct_eq(head)) {
            return Err(AttachmentFault::Key);
        }
        Ok(Self { cipher, shape: attachment.shape })
    }

    /// Opens a chunk, in place: what is left is its piece of the file; nothing, where it doesn't open.
    ///
    /// # Errors
    /// [`AttachmentFault::Cut`] for one of another length, or behind the last; [`AttachmentFault::Changed`] for one that isn't
    /// what was sealed there.
    pub fn chunk(&self, index: u64, chunk: &mut Vec<u8>) -> Result<(), AttachmentFault> {
        let (got, place) = (chunk.len() as u64, self.shape.place(index));
        let want = place.map_or(0, |place| place.end - place.start);
        let opened = if got == want && want > 0 {
            let opened = self.cipher.decrypt_in_place(&self.shape.nonce(index), FORM, chunk);
            opened.map_err(|_| AttachmentFault::Changed(index))
        } else {
            Err(AttachmentFault::Cut { index, got, want })
        };
        if opened.is_err() {
            chunk.clear();
        }
        opened
    }
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Opener {{ key: Secret(..), chunks: {} }}", self.shape.chunks)
    }
}

/// The engine under the file's key, and the commitment to it.
fn keys(key: &Secret<32>, nonce: &[u8; 12]) -> (ChaCha20Poly1305, Secret<32>) {
    let (key, commitment) = aead::derive(nonce, key.expose(), LABEL);
    (ChaCha20Poly1305::new(key.expose().into()), commitment)
}

#[cfg(test)]
mod tests;
