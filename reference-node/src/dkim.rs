//! DKIM (RFC 6376, RFC 8463): which signatures of an arriving mail hold, and our own under a leaving one.
//!
//! ```text
//!   bytes as they came ─▶ bounded head ─▶ ≤ 5 signatures, the From domain's first ─▶ keys by our resolver ─▶ Evidence
//! ```
//!
//! The cryptography and the canonical forms are mail-auth's. Around it stand the rules that it leaves to callers: bounds,
//! strict tag lists, no SHA-1, no testing keys, `From` among the signed fields. What a pass is worth is the trust
//! machine's to say.

mod keygen;
mod sign;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Instant;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Signature;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::id::Domain;
use postline_core::limits;

use crate::dns::{DnsFault, Resolver};

pub use keygen::keygen;
pub use sign::{DkimFault, Published, Signer};

/// Evaluates the DKIM signatures of a mail over its bytes as they came ([T-2], attacks 2, 4).
///
/// `Temporary` only where DNS failed for a key of the From domain, and no signature of that domain over the whole body
/// holds: what a stranger's key server does can't delay anything. A mail that no rule could build on (bare CR or LF, a
/// header over its bounds) has no passes.
pub async fn evaluate(bytes: &[u8], resolver: &Resolver) -> Evidence {
    let nothing = Evidence::Dkim(Dkim::default());
    let Some((head, body)) = split(bytes) else { return nothing };
    let Some(mut mail) = AuthenticatedMessage::parse_with_opts(head, None, false) else { return nothing };
    if mail.headers.len() > limits::HEADER_FIELDS {
        return nothing;
    }
    let from = sole_from(&mail);
    mail.errors.clear();
    mail.dkim_headers = chosen(std::mem::take(&mut mail.dkim_headers), from.as_ref());
    mail.body_hashes = body_hashes(&mail.dkim_headers, body);

    let Some(authenticator) = authenticator(resolver) else { return Evidence::Temporary };
    let keys = Keys::look_up(&mail.dkim_headers, resolver).await;
    let results = authenticator.verify_dkim(Parameters::new(&mail).with_txt_cache(&keys)).await;

    // One result for each signature, in their order.
    let mut dkim = Dkim::default();
    let mut unsure = false;
    for (header, result) in mail.dkim_headers.iter().zip(&results) {
        let Ok(domain) = Domain::parse(&header.header.d) else { continue };
        match result.result() {
            DkimResult::Pass => dkim.passed.push(pass(domain, header)),
            DkimResult::TempError(_) => unsure |= from.as_ref() == Some(&domain),
            DkimResult::Neutral(_) | DkimResult::Fail(_) | DkimResult::PermError(_) | DkimResult::None => {}
        }
    }
    let held = dkim.passed.iter().any(|pass| from.as_ref() == Some(&pass.domain) && !pass.partial);
    if unsure && !held { Evidence::Temporary } else { Evidence::Dkim(dkim) }
}

/// Head and body of a mail whose every line ends in CRLF; the head with its empty line, and not over its bound.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let crs = bytes.iter().filter(|byte| **byte == b'\r').count();
    let lfs = bytes.iter().filter(|byte| **byte == b'\n').count();
    let crlfs = bytes.windows(2).filter(|pair| *pair == b"\r\n").count();
    if crs != crlfs || lfs != crlfs {
        return None;
    }
    let end = bytes.windows(4).take(limits::HEADER_BYTES).position(|four| four == b"\r\n\r\n");
    match end {
        Some(end) => bytes.split_at_checked(end + 4),
        None if bytes.len() <= limits::HEADER_BYTES => Some((bytes, b"")),
        None => None,
    }
}

fn sole_from(mail: &AuthenticatedMessage<'_>) -> Option<Domain> {
    match mail.froms() {
        [from] => Domain::parse(from.rsplit_once('@')?.1).ok(),
        _ => None,
    }
}

/// The signatures worth their work: well-formed ones, the From domain's first.
fn chosen<'x>(all: Vec<Header<'x, Signature>>, from: Option<&Domain>) -> Vec<Header<'x, Signature>> {
    let mut fit: Vec<_> = all.into_iter().filter(|header| is_fit(header)).collect();
    fit.sort_by_key(|header| Domain::parse(&header.header.d).ok().as_ref() != from);
    fit.truncate(limits::DKIM_SIGNATURES);
    fit
}

fn is_fit(header: &Header<'_, Signature>) -> bool {
    let signature = &header.header;
    tags(header.value).is_some()
        && signature.v == 1
        && matches!(signature.a, Algorithm::RsaSha256 | Algorithm::Ed25519Sha256)
        && Domain::parse(&signature.d).is_ok()
        && signature.h.len() <= limits::DKIM_NAMES
        && signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"))
}

/// What mail-auth compares `bh=` with, once for each way in which a body is hashed.
fn body_hashes(
    headers: &[Header<'_, Signature>],
    body: &[u8],
) -> Vec<(mail_auth::dkim::Canonicalization, HashAlgorithm, u64, Vec<u8>)> {
    let mut hashes: Vec<(_, HashAlgorithm, u64, Vec<u8>)> = Vec::new();
    for Header { header: signature, .. } in headers {
        let (form, algorithm, len) = (signature.cb, HashAlgorithm::from(signature.a), signature.l);
        if !hashes.iter().any(|(f, a, l, _)| (*f, *a, *l) == (form, algorithm, len)) {
            let hash = algorithm.hash(form.canonical_body(body, len));
            hashes.push((form, algorithm, len, hash.as_ref().to_vec()));
        }
    }
    hashes
}

fn pass(domain: Domain, header: &Header<'_, Signature>) -> DkimPass {
    DkimPass {
        domain,
        signed: header.header.h.iter().map(|name| name.trim().to_ascii_lowercase()).collect(),
        // By the tag, not by its value: `l=0` signs no body at all.
        partial: tags(header.value).is_none_or(|tags| tags.contains_key("l")),
    }
}

/// The tags of a signature or key record, names in lower case; `None` where one stands twice or is malformed
/// (RFC 6376 §3.2).
fn tags(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut tags = BTreeMap::new();
    for spec in text.trim().trim_end_matches(';').split(';') {
        let (name, value) = spec.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let well_named = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !well_named || tags.insert(name, value.trim().to_owned()).is_some() {
            return None;
        }
    }
    Some(tags)
}

/// The keys of some signatures, in the place where mail-auth keeps what it looked up. It has an answer for every name,
/// so that mail-auth asks no DNS of its own: not for keys, not for reports, not for third parties.
struct Keys(Vec<(Box<str>, Txt)>);

impl Keys {
    async fn look_up(headers: &[Header<'_, Signature>], resolver: &Resolver) -> Self {
        let mut keys: Vec<(Box<str>, Txt)> = Vec::new();
        for Header { header: signature, .. } in headers {
            let name = format!("{}._domainkey.{}", signature.s, signature.d);
            let slot = format!("{name}.").into_boxed_str();
            if keys.iter().any(|(known, _)| *known == slot) {
                continue;
            }
            let key = match resolver.txt(&name).await {
                Ok(texts) => texts.iter().find_map(|text| key(text)).map_or_else(no_key, Txt::DomainKey),
                Err(DnsFault::None) => no_key(),
                Err(DnsFault::Temporary(why)) => Txt::Error(mail_auth::Error::Dns(mail_auth::DnsError::Resolver(why))),
            };
            keys.push((slot, key));
        }
        Self(keys)
    }
}

fn no_key() -> Txt {
    Txt::Error(mail_auth::Error::Dns(mail_auth::DnsError::InvalidRecordType))
}

/// A key that signs mail, by SHA-256, and not for testing (RFC 6376 §3.6.1).
fn key(text: &[u8]) -> Option<std::sync::Arc<DomainKey>> {
    let tags = tags(text)?;
    let lists = |tag: &str, wanted: &[&str]| {
        tags.get(tag).map(|list| list.split(':').any(|item| wanted.contains(&item.trim())))
    };
    let fit = lists("h", &["sha256"]) != Some(false)
        && lists("s", &["*", "email"]) != Some(false)
        && lists("t", &["y"]) != Some(true);
    fit.then(|| DomainKey::parse(text).ok().map(std::sync::Arc::new)).flatten()
}

impl ResolverCache<Box<str>, Txt> for Keys {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known = self.0.iter().find(|(slot, _)| Borrow::<Q>::borrow(slot) == name);
        Some(known.map_or_else(no_key, |(_, key)| key.clone()))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// mail-auth's verifier. It wants a resolver of its own, which [`Keys`] keeps idle.
fn authenticator(resolver: &Resolver) -> Option<MessageAuthenticator> {
    match resolver {
        Resolver::Dns(dns) => Some(MessageAuthenticator(dns.plain().clone())),
        Resolver::Zone(_) => {
            MessageAuthenticator::new(ResolverConfig::from_name_servers(Vec::new()), ResolverOpts::default()).ok()
        }
    }
}
