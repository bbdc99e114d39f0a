//! What we publish of our own node: the document to serve, and the records to paste.

use postline_codec::word::{MEDIA_TYPE, TXT_LABEL, WELL_KNOWN_PATH, WellKnown, render_txt};
use postline_core::id::{Domain, NodeKey};
use postline_core::net::Hint;
use postline_core::seal::node::NodeIdentity;
use serde::Serialize;

use crate::config::Config;
use crate::init::DnsRecord;

/// All that we publish of our node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Where each domain serves the document.
    pub urls: Vec<String>,
    /// Its media type.
    pub media_type: &'static str,
    /// The document.
    pub document: String,
    /// The records, for each domain.
    pub dns: Vec<DnsRecord>,
}

/// What the operator is to publish.
#[must_use]
pub fn published(identity: &NodeIdentity, config: &Config) -> Published {
    Published {
        urls: config.domains.iter().map(|domain| format!("https://{domain}{WELL_KNOWN_PATH}")).collect(),
        media_type: MEDIA_TYPE,
        document: document(identity, config),
        dns: config.domains.iter().flat_map(|domain| records(identity.nk(), config, domain)).collect(),
    }
}

/// The document that each of our domains serves at `/.well-known/postline`, as `application/json` ([D-1]).
#[must_use]
pub fn well_known(identity: &NodeIdentity, config: &Config) -> Vec<u8> {
    document(identity, config).into_bytes()
}

fn document(identity: &NodeIdentity, config: &Config) -> String {
    let (host, port) = place(config);
    let link = config.advertise.clone().or_else(|| Hint::parse(&format!("{host}:{port}")).ok());
    WellKnown { nk: identity.nk(), next: Some(identity.next_nk()), link }.render()
}

/// The records that a domain of ours publishes of its node: where it is, and which key is its ([D-2], [D-8]).
#[must_use]
pub fn records(nk: NodeKey, config: &Config, domain: &Domain) -> [DnsRecord; 2] {
    let (host, port) = place(config);
    [
        DnsRecord {
            name: format!("_postline._tcp.{domain}."),
            kind: "SRV".into(),
            data: format!("0 0 {port} {host}."),
        },
        DnsRecord { name: format!("{TXT_LABEL}.{domain}."), kind: "TXT".into(), data: render_txt(nk) },
    ]
}

/// Where others open links to us.
fn place(config: &Config) -> (&Domain, u16) {
    match &config.advertise {
        Some(hint) => (&hint.host, hint.port),
        None => (&config.hostname, config.listen.link.first().map_or(7678, std::net::SocketAddr::port)),
    }
}
