//! Fields and signatures that no honest node would make, and honest ones made by another way than the product's.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use postline_core::wire::cbor::Writer;

/// A key whose seed is 32 times this byte.
pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Its public part.
pub(super) fn nk(seed: u8) -> [u8; 32] {
    key(seed).verifying_key().to_bytes()
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Counts up from `first`.
pub(super) fn counting<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|at| first.wrapping_add(at as u8))
}

/// A field in the making: everything that its signature depends on.
#[derive(Clone)]
pub(super) struct Mint {
    pub(super) label: String,
    pub(super) version: u64,
    pub(super) from: String,
    pub(super) to_cc: Vec<String>,
    /// Every tag but `b`, in the order in which they are written.
    pub(super) tags: Vec<(String, String)>,
    pub(super) seed: u8,
}

impl Mint {
    pub(super) fn tag(mut self, name: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        match self.tags.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = text,
            None => self.tags.push((name.to_owned(), text)),
        }
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.tags.retain(|(known, _)| known != name);
        self
    }

    /// The canonical bytes of [F-3], in their one order.
    pub(super) fn signed(&self) -> Vec<u8> {
        let to_cc: BTreeSet<&String> = self.to_cc.iter().collect();
        let mut tags = self.tags.clone();
        tags.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        self.signed_so(to_cc.into_iter().cloned().collect(), tags)
    }

    /// The same in any order.
    pub(super) fn signed_so(&self, to_cc: Vec<String>, tags: Vec<(String, String)>) -> Vec<u8> {
        let mut writer = Writer::array_of(5);
        writer.str(&self.label).u64(self.version).str(&self.from);
        writer.list(to_cc.iter(), |writer, address| {
            writer.str(address);
        });
        writer.map(tags.len() as u64);
        for (name, text) in &tags {
            writer.str(name).str(text);
        }
        writer.into_bytes()
    }

    pub(super) fn signature(&self) -> [u8; 64] {
        sign(self.seed, &self.label, &self.signed())
    }

    /// The body of the field, with the signature that it should have.
    pub(super) fn body(&self) -> String {
        self.body_with(&self.signature())
    }

    /// The body of the field, with any signature.
    pub(super) fn body_with(&self, signature: &[u8]) -> String {
        let tags: Vec<String> = self.tags.iter().map(|(name, text)| format!("{name}={text}")).collect();
        format!("{}; b={}", tags.join("; "), base64(signature))
    }
}

/// `"postline/1 " ‖ label ‖ 0x00 ‖ canonical bytes`, signed.
pub(super) fn sign(seed: u8, label: &str, canonical: &[u8]) -> [u8; 64] {
    sign_raw(seed, &[b"postline/1 ", label.as_bytes(), &[0], canonical].concat())
}

pub(super) fn sign_raw(seed: u8, input: &[u8]) -> [u8; 64] {
    key(seed).sign(input).to_bytes()
}

/// The same signature with the group's order added to its scalar: good for who doesn't look.
pub(super) fn malleable(signature: [u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut other = signature;
    let mut carry = 0_u16;
    for (byte, order) in other.iter_mut().skip(32).zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    other
}

/// Key and signature of small order, which hold for every message where nobody looks.
pub(super) fn small_order() -> ([u8; 32], [u8; 64]) {
    let mut identity = [0; 32];
    let mut signature = [0; 64];
    for byte in identity.iter_mut().take(1).chain(signature.iter_mut().take(1)) {
        *byte = 1;
    }
    (identity, signature)
}

/// The prime and a number: a coordinate that isn't reduced.
pub(super) fn unreduced(above: u8) -> [u8; 32] {
    let mut key = [0xff; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        match at {
            0 => *byte = 0xed + above,
            31 => *byte = 0x7f,
            _ => {}
        }
    }
    key
}
