//! Records that DNSSEC proves, from a trust anchor down: the only ones that are a domain's own word ([D-2]).
//!
//! ```text
//!   answer ──▶ proven, at the very name ────────▶ texts
//!         ├──▶ absence proven, zone unsigned ───▶ none
//!         └──▶ proof broken, SERVFAIL, late ────▶ temporary; none, where not even the root can be proven ([D-6])
//! ```
//!
//! A resolver of its own: mail must not stop where the name servers drop signatures.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{Name, RecordType};
use postline_core::limits;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Data, DnsFault, absolute, builder, in_time};

/// How long it is believed that the root can, or can't, be proven.
const ROOT_BELIEVED: Duration = Duration::from_secs(600);
/// How long a proven answer is kept at most: a domain that changes its key must be heard.
const KEPT: Duration = Duration::from_secs(600);

/// What is made of records that DNSSEC could prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    /// They count; where the name servers pass no proofs on, they count as silent, and that is logged.
    #[default]
    Auto,
    /// They count; where nothing can be proven, each look-up has failed for now.
    Require,
    /// They never count.
    Off,
}

/// A resolver that believes only what is proven.
pub(super) struct Secure {
    dns: TokioResolver,
    how: Dnssec,
    /// Whether the root could be proven, and when that was found out.
    root: Mutex<Option<(Instant, bool)>>,
}

impl Secure {
    /// Asks these servers, and believes what leads up to the anchor: a file of DNSKEY records, or IANA's root keys.
    pub(super) fn new(servers: Vec<NameServerConfig>, how: Dnssec, anchor: Option<&Path>) -> Result<Self, DnsFault> {
        let anchors = match anchor {
            Some(file) => {
                let bad = |why: String| DnsFault::Temporary(format!("{}: {why}", file.display()));
                let anchors = TrustAnchors::from_file(file).map_err(|why| bad(why.to_string()))?;
                if anchors.is_empty() {
                    return Err(bad("no DNSKEY record of the root".to_owned()));
                }
                anchors
            }
            None => TrustAnchors::default(),
        };
        let mut builder = builder(servers).with_trust_anchor(Arc::new(anchors));
        builder.options_mut().positive_max_ttl = Some(KEPT);
        builder.options_mut().negative_max_ttl = Some(KEPT);
        let dns = builder.build().map_err(super::fault)?;
        Ok(Self { dns, how, root: Mutex::default() })
    }

    /// The proven TXT records at the name, as they are.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<Data>, DnsFault> {
        let name = absolute(name)?;
        match in_time(self.dns.lookup(name.clone(), RecordType::TXT)).await? {
            Ok(answer) => {
                // Behind an alias the proof of the last record says nothing about the alias.
                let proven = answer.answers().iter().filter(|at| at.name == name && at.proof == Proof::Secure);
                super::some(proven.filter_map(|record| Data::read(&record.data)))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_) | DnsError::Nsec { proof: Proof::Insecure, .. })) => {
                Err(DnsFault::None)
            }
            Err(why) => {
                let broken = matches!(why, NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }));
                if broken && self.how == Dnssec::Auto && !self.proves_the_root().await {
                    return Err(DnsFault::None);
                }
                Err(super::fault(why))
            }
        }
    }

    /// Whether the way to the name servers lets proofs through at all. What fails for another reason says nothing.
    async fn proves_the_root(&self) -> bool {
        let believed = *self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, proven)) = believed.filter(|(at, _)| at.elapsed() < ROOT_BELIEVED) {
            return proven;
        }
        let proven = match in_time(self.dns.lookup(Name::root(), RecordType::SOA)).await {
            Ok(Ok(answer)) => answer.answers().iter().any(|record| record.proof == Proof::Secure),
            Ok(Err(NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }))) => false,
            Ok(Err(_)) | Err(_) => return true,
        };
        if !proven {
            tracing::warn!("the name servers pass no DNSSEC on: `_postline` records count as silent");
        }
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), proven));
        proven
    }
}

/// The texts within the bound.
pub(super) fn texts(records: Vec<Data>) -> Result<Vec<Vec<u8>>, DnsFault> {
    let texts = records.into_iter().filter_map(|data| if let Data::Txt(text) = data { Some(text) } else { None });
    super::some(texts.filter(|text| text.len() <= limits::DNS_TEXT_BYTES))
}
