//! New DKIM keys. ring makes Ed25519 keys but no RSA ones, so the two primes come from crypto-primes; the rest of an RSA
//! key is arithmetic, and ring checks all of it when the key is loaded.

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_bigint::{Limb, NonZero, U1024, U2048};
use crypto_primes::{Flavor, random_prime};
use mail_auth::common::crypto::Ed25519Key;
use postline_core::id::Domain;
use rand::SeedableRng;
use rand::rngs::StdRng;
use ring::rand::{SecureRandom, SystemRandom};

use super::sign::{DkimFault, KeyFiles, Published, Signer};
use crate::private_file;

const EXPONENT: u32 = 65_537;

/// Makes a domain's two keys in `dir` (mode 0600), and says which records to publish. Takes about a second. Existing
/// files are never overwritten.
///
/// # Errors
/// [`DkimFault::Make`] for a selector that is no DNS label, or without randomness; [`DkimFault::File`] where a file
/// exists or can't be written.
pub fn keygen(dir: &Path, domain: &Domain, selector: &str) -> Result<Vec<Published>, DkimFault> {
    let label = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if selector.is_empty() || selector.len() > 50 || selector.starts_with('-') || !selector.bytes().all(label) {
        return Err(DkimFault::Make("selector wants a-z, 0-9 and -, at most 50 of them"));
    }
    let files = KeyFiles::of(dir, domain, selector);
    let ed25519 = Ed25519Key::generate_pkcs8().map_err(|_| DkimFault::Make("no randomness"))?;
    let rsa = rsa_private_key(&mut rng()?);
    write(&files.rsa, "RSA PRIVATE KEY", &rsa)?;
    write(&files.ed25519, "PRIVATE KEY", &ed25519)?;
    Ok(Signer::load(dir, domain, selector)?.records())
}

/// A PKCS#1 RSA public key as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), which is what verifiers expect in `p=`.
pub(super) fn spki(public_key: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 13] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let bits = [&[0], public_key].concat();
    der(SEQUENCE, &[der(SEQUENCE, &RSA_ENCRYPTION), der(BIT_STRING, &bits)].concat())
}

/// A cryptographic generator with a seed of the system's: 256 bits are more than RSA-2048 withstands.
fn rng() -> Result<StdRng, DkimFault> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| DkimFault::Make("no randomness"))?;
    Ok(StdRng::from_seed(seed))
}

/// A fresh RSA-2048 private key, PKCS#1 (RFC 8017 §A.1.2), by the rules of FIPS 186-5 §A.1.3.
fn rsa_private_key(rng: &mut StdRng) -> Vec<u8> {
    loop {
        if let Some(key) = private_key_of(prime(rng), prime(rng)) {
            return key;
        }
    }
}

/// A prime of 1024 bits, below which the exponent has an inverse.
fn prime(rng: &mut StdRng) -> U1024 {
    loop {
        let prime: U1024 = random_prime(rng, Flavor::Any, U1024::BITS);
        let exponent = NonZero::<Limb>::new(Limb::from(EXPONENT)).into_option();
        if exponent.is_some_and(|e| prime.wrapping_sub(&U1024::ONE).rem_limb(e) != Limb::ZERO) {
            return prime;
        }
    }
}

/// `None` for the pairs that don't make a key: product too short, or primes too close to each other.
fn private_key_of(one: U1024, other: U1024) -> Option<Vec<u8>> {
    let (p, q) = if one > other { (one, other) } else { (other, one) };
    let n: U2048 = p.concatenating_mul(&q);
    if n.bits() != U2048::BITS || p.wrapping_sub(&q).bits() <= U1024::BITS - 100 {
        return None;
    }
    let (p1, q1) = (p.wrapping_sub(&U1024::ONE), q.wrapping_sub(&U1024::ONE));
    let phi: U2048 = p1.concatenating_mul(&q1);
    let e = U1024::from(EXPONENT);
    let d = e.resize::<{ U2048::LIMBS }>().invert_mod(&NonZero::new(phi).into_option()?).into_option()?;
    let d_p = e.invert_mod(&NonZero::new(p1).into_option()?).into_option()?;
    let d_q = e.invert_mod(&NonZero::new(q1).into_option()?).into_option()?;
    let q_inverse = q.invert_mod(&NonZero::new(p).into_option()?).into_option()?;
    let numbers = [
        integer(&[0]),
        integer(n.to_be_bytes().as_ref()),
        integer(&EXPONENT.to_be_bytes()),
        integer(d.to_be_bytes().as_ref()),
        integer(p.to_be_bytes().as_ref()),
        integer(q.to_be_bytes().as_ref()),
        integer(d_p.to_be_bytes().as_ref()),
        integer(d_q.to_be_bytes().as_ref()),
        integer(q_inverse.to_be_bytes().as_ref()),
    ];
    Some(der(SEQUENCE, &numbers.concat()))
}

const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const SEQUENCE: u8 = 0x30;

/// A DER integer: no leading zero but the one that keeps it positive.
fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count().min(big_endian.len().saturating_sub(1));
    let digits = big_endian.split_at(zeros).1;
    let sign: &[u8] = if digits.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    der(INTEGER, &[sign, digits].concat())
}

/// A DER value of less than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

fn write(path: &Path, label: &str, der: &[u8]) -> Result<(), DkimFault> {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..base64.len()).step_by(64).filter_map(|at| base64.get(at..base64.len().min(at + 64))).collect();
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    let made = private_file::create(path, pem.as_bytes());
    made.and_then(|made| made.then_some(()).ok_or(ErrorKind::AlreadyExists.into()))
        .map_err(|why| DkimFault::File { path: path.to_owned(), why })
}
