//! Our DKIM signatures: one by Ed25519, and one by RSA for those who can't verify the first.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::dkim::{DkimSigner, Done};
use postline_core::id::Domain;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::keygen::spki;

/// The fields we sign, each once more often than it stands there: none of them can be added later (RFC 6376 §5.4.2).
const SIGNED: [&str; 14] = [
    "From",
    "To",
    "Cc",
    "Date",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Reply-To",
    "Postline-Offer",
    "Postline-Accept",
    "Postline-Id",
];

/// Signs what leaves for SMTP.
pub struct Signer {
    rsa: DkimSigner<RsaKey<Sha256>, Done>,
    ed25519: DkimSigner<Ed25519Key, Done>,
}

/// Why there is no signature, or no key to make one.
#[derive(Debug, thiserror::Error)]
pub enum DkimFault {
    /// A key file can't be read or written.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A key file holds no key of its kind, in PEM.
    #[error("{path}: no usable private key in PEM: {why}")]
    Key {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No key could be made.
    #[error("no key made: {0}")]
    Make(&'static str),
    /// The message can't be signed.
    #[error("not signed: {0}")]
    Sign(mail_auth::Error),
}

/// A TXT record to publish, printed as a line for a zone file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its name, without the final dot.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. TXT", self.name)?;
        // A string of DNS has at most 255 bytes; readers join them. The text is ASCII.
        self.text.as_bytes().chunks(255).try_for_each(|part| write!(f, " \"{}\"", part.escape_ascii()))
    }
}

impl Signer {
    /// Loads the domain's two keys from `dir`. An operator's own RSA key may take the place of ours: PKCS#1 or PKCS#8.
    ///
    /// # Errors
    /// [`DkimFault::File`] and [`DkimFault::Key`], each with the path.
    pub fn load(dir: &Path, domain: &Domain, selector: &str) -> Result<Self, DkimFault> {
        let files = KeyFiles::of(dir, domain, selector);
        let bad = |path: &Path, why: mail_auth::Error| DkimFault::Key { path: path.to_owned(), why: why.to_string() };
        let rsa = RsaKey::from_key_der(read(&files.rsa)?).map_err(|why| bad(&files.rsa, why))?;
        let ed25519 = read(&files.ed25519)?;
        let ed25519 =
            Ed25519Key::from_pkcs8_maybe_unchecked_der(ed25519.secret_der()).map_err(|why| bad(&files.ed25519, why))?;
        Ok(Self {
            rsa: signer(rsa, domain, &rsa_selector(selector)),
            ed25519: signer(ed25519, domain, &ed25519_selector(selector)),
        })
    }

    /// The header fields to put on top of a message, CRLF included. `message` is what leaves, every line ending in
    /// CRLF; signatures of others in it stay, and ours don't cover them.
    ///
    /// # Errors
    /// [`DkimFault::Sign`] for a message without any field.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, DkimFault> {
        let mut fields = Vec::new();
        self.ed25519.sign(message).map_err(DkimFault::Sign)?.write(&mut fields, true);
        self.rsa.sign(message).map_err(DkimFault::Sign)?.write(&mut fields, true);
        Ok(fields)
    }

    /// The records that the domain must publish for these keys.
    #[must_use]
    pub fn records(&self) -> Vec<Published> {
        let (rsa, ed25519) = (&self.rsa, &self.ed25519);
        let rsa_key = STANDARD.encode(spki(&rsa.key.public_key()));
        let ed25519_key = STANDARD.encode(ed25519.key.public_key());
        vec![
            record(&rsa.template, &format!("v=DKIM1; k=rsa; p={rsa_key}")),
            record(&ed25519.template, &format!("v=DKIM1; k=ed25519; p={ed25519_key}")),
        ]
    }
}

/// Where a domain's keys lie.
pub(super) struct KeyFiles {
    pub(super) rsa: PathBuf,
    pub(super) ed25519: PathBuf,
}

impl KeyFiles {
    pub(super) fn of(dir: &Path, domain: &Domain, selector: &str) -> Self {
        Self {
            rsa: dir.join(format!("{domain}.{}.pem", rsa_selector(selector))),
            ed25519: dir.join(format!("{domain}.{}.pem", ed25519_selector(selector))),
        }
    }
}

// Two keys under one selector would be two TXT records under one name, which verifiers may refuse (RFC 6376 §3.6.2.2).
fn rsa_selector(selector: &str) -> String {
    format!("{selector}-rsa")
}

fn ed25519_selector(selector: &str) -> String {
    format!("{selector}-ed25519")
}

/// Relaxed in both forms, no `l=`. A name given twice is signed once more than it stands there.
fn signer<T: SigningKey>(key: T, domain: &Domain, selector: &str) -> DkimSigner<T, Done> {
    DkimSigner::from_key(key).domain(domain.as_str()).selector(selector).headers(SIGNED.into_iter().chain(SIGNED))
}

fn record(template: &mail_auth::dkim::Signature, text: &str) -> Published {
    Published { name: format!("{}._domainkey.{}", template.s, template.d), text: text.to_owned() }
}

fn read(path: &Path) -> Result<PrivateKeyDer<'static>, DkimFault> {
    let pem = fs::read(path).map_err(|why| DkimFault::File { path: path.to_owned(), why })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|why| DkimFault::Key { path: path.to_owned(), why: why.to_string() })
}
