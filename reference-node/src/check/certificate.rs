//! The certificate that mail programs and other servers see: its key, its end, its names.

use std::time::Duration;

use postline_core::time::{DAY, Millis};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::{Finding, Scene};
use crate::init::is_self_signed;
use crate::tls::{CertificateFiles, smtp_server};

/// When it is time to renew, in days.
const SOON: u64 = 14;

pub(super) fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let (id, tls) = ("tls.certificate", &scene.config.tls);
    let about = tls.cert.display();
    let files = CertificateFiles { chain: tls.cert.clone(), key: tls.key.clone() };
    if let Err(why) = files.load().and_then(smtp_server) {
        let next = "let tls.cert and tls.key name a chain and its key, both PEM; then postline reload";
        return vec![Finding::failure(id, about, why, next)];
    }
    let whose = if is_self_signed(&tls.cert) {
        let next =
            "get one from an authority, such as Let's Encrypt, let tls.cert and tls.key name it, and postline reload";
        Finding::warning(id, &about, "self-signed: mail programs will warn; links don't mind", next)
    } else {
        Finding::ok(id, &about, "it fits its key")
    };
    let leaf = std::fs::read(&tls.cert).ok().and_then(|pem| CertificateDer::pem_slice_iter(&pem).next()?.ok());
    let Some(leaf) = leaf else { return vec![whose] };
    let parsed = match ParsedCertificate::try_from(&leaf) {
        Ok(parsed) => parsed,
        Err(why) => return vec![whose, Finding::failure("tls.expiry", &about, why, "get one that is well-formed")],
    };
    let mut findings = vec![whose, expiry(&parsed, scene.now, &about.to_string())];
    let host = &scene.config.hostname;
    let holds = ServerName::try_from(host.as_str()).map(|name| verify_server_name(&parsed, &name));
    findings.push(match holds {
        Ok(Ok(())) => Finding::ok("tls.name", host, "it holds for this name"),
        Ok(Err(_)) | Err(_) => {
            Finding::failure("tls.name", host, "it holds for other names", format!("get one that names {host}"))
        }
    });
    findings
}

fn expiry(leaf: &ParsedCertificate<'_>, now: Millis, about: &str) -> Finding {
    let (id, next) = ("tls.expiry", "renew it, then postline reload");
    match validity(leaf, now) {
        Validity::NotYet(from) => {
            let days = from.saturating_sub(now.0 / 1_000).div_ceil(DAY / 1_000);
            let cause = format!("it holds only in {days} days: the clock may be behind");
            Finding::failure(id, about, cause, "set the clock right (NTP)")
        }
        Validity::Expired(until) => {
            let days = (now.0 / 1_000).saturating_sub(until) / (DAY / 1_000);
            let cause =
                format!("expired {days} days ago, if the clock is right: mail programs refuse it; links don't mind");
            Finding::failure(id, about, cause, next)
        }
        Validity::Until(until) => {
            let days = until.saturating_sub(now.0 / 1_000) / (DAY / 1_000);
            let cause = format!("it holds for {days} days");
            if days < SOON { Finding::warning(id, about, cause, next) } else { Finding::ok(id, about, cause) }
        }
        Validity::Unknown(why) => Finding::failure(id, about, why, "get one that is well-formed"),
    }
}

/// When a certificate holds, in seconds since 1970.
enum Validity {
    NotYet(u64),
    Expired(u64),
    Until(u64),
    Unknown(Error),
}

/// Asked with no authority at all, the verifier says first whether the time is right, and names the end where it isn't.
fn validity(leaf: &ParsedCertificate<'_>, now: Millis) -> Validity {
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let at = |time| verify_server_cert_signed_by_trust_anchor(leaf, &RootCertStore::empty(), &[], time, algorithms);
    let time = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    // After the end of every certificate: that of the year 9999 (RFC 5280 §4.1.2.5).
    let end = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_800));
    match (at(time), at(end)) {
        (Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })), _) => {
            Validity::NotYet(not_before.as_secs())
        }
        (Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })), _) => {
            Validity::Expired(not_after.as_secs())
        }
        (_, Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }))) => {
            Validity::Until(not_after.as_secs())
        }
        (Err(why), _) | (Ok(()), Err(why)) => Validity::Unknown(why),
        (Ok(()), Ok(())) => Validity::Until(end.as_secs()),
    }
}
