//! What a domain says of its node, and where that node is dialled.
//!
//! ```text
//!   word of b.example ──┬─▶ documents   GET https://b.example/.well-known/postline ─┐
//!                       └─▶ dns         TXT _postline.b.example, proven by DNSSEC ──┴─▶ judge ─▶ Evidence
//!
//!   dial b.example ─▶ SRV ─none─▶ document's link ─none─▶ h= within the domain ─▶ addresses ─ checked ─▶ link
//! ```
//!
//! The core asks for a word only after our own user has replied ([T-11]), and waits for it without holding anything up. A
//! peer never hears why we didn't come. Spec: [D-1] to [D-9].

mod documents;
mod publish;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use postline_codec::word::{TXT_LABEL, parse_txt};
use postline_core::content::evidence::Evidence;
use postline_core::id::{Domain, NodeKey};
use postline_core::limits;
use postline_core::net::{Allowed, Hint, may_dial};

use crate::dns::{DnsFault, Resolver};
pub use documents::{Documents, Fetched, Unread};
pub use publish::{Published, published, records, well_known};

/// Who finds nodes.
pub struct Discovery {
    dns: Arc<Resolver>,
    /// `None` where the system trusts no certificate authority.
    documents: Option<Documents>,
    allow: Allowed,
}

/// What one source says of a domain's key ([D-4]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This key.
    Names(NodeKey),
    /// Two keys.
    Contradicts,
    /// Nothing.
    Silent,
    /// It couldn't be asked for now.
    Failed(String),
}

/// Why there is nowhere to dial. A peer never hears which (attack 99).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// The domain names no node, or none that may be dialled.
    #[error("the domain names no node that may be dialled")]
    Nowhere,
    /// DNS can't say for now.
    #[error("look-up failed for now: {0}")]
    Temporary(String),
}

impl Discovery {
    /// Asks these, and lets nobody be dialled but whom the rules allow. Without `documents` they count as silent.
    #[must_use]
    pub const fn new(dns: Arc<Resolver>, documents: Option<Documents>, allow: Allowed) -> Self {
        Self { dns, documents, allow }
    }

    /// What the domain itself says of its node ([D-5]).
    pub async fn word(&self, domain: &Domain) -> Evidence {
        let (document, record) = tokio::join!(self.document(domain), self.record(domain));
        for source in [&document, &record] {
            if let Source::Failed(why) = source {
                tracing::warn!(%domain, why, "a domain's word on its node can't be had for now");
            }
        }
        if matches!((&document, &record), (Source::Contradicts, _) | (_, Source::Contradicts))
            || matches!((&document, &record), (Source::Names(one), Source::Names(other)) if one != other)
        {
            tracing::warn!(%domain, ?document, ?record, "a domain contradicts itself on its node's key");
        }
        judge(&document, &record)
    }

    /// Where the domain's node is dialled, first choice first ([D-8], [D-9]). What comes back was checked, and is to be
    /// dialled as it is ([L-1]).
    ///
    /// # Errors
    /// [`NoTarget`].
    pub async fn targets(&self, domain: &Domain, hint: Option<&str>) -> Result<Vec<SocketAddr>, NoTarget> {
        let limit = Duration::from_millis(limits::DISCOVERY_MS);
        let late = |_| NoTarget::Temporary("not found in time".to_owned());
        tokio::time::timeout(limit, self.find(domain, hint)).await.map_err(late)?
    }

    async fn document(&self, domain: &Domain) -> Source {
        let Some(documents) = &self.documents else { return Source::Silent };
        match documents.of(domain).await {
            Ok(Some(document)) => Source::Names(document.nk),
            Ok(None) => Source::Silent,
            Err(Unread(why)) => Source::Failed(why),
        }
    }

    async fn record(&self, domain: &Domain) -> Source {
        match self.dns.proven_txt(&format!("{TXT_LABEL}.{domain}")).await {
            Ok(texts) => {
                let mut keys = texts.iter().filter_map(|text| parse_txt(text));
                match keys.next() {
                    None => Source::Silent,
                    Some(key) if keys.all(|other| other == key) => Source::Names(key),
                    Some(_) => Source::Contradicts,
                }
            }
            Err(DnsFault::None) => Source::Silent,
            Err(DnsFault::Temporary(why)) => Source::Failed(why),
        }
    }

    async fn find(&self, domain: &Domain, hint: Option<&str>) -> Result<Vec<SocketAddr>, NoTarget> {
        let (hosts, mut unsure) = self.hosts(domain, hint).await?;
        let mut targets = Vec::new();
        for Hint { host, port } in hosts {
            match self.dns.addresses(&host).await {
                Ok(ips) => targets.extend(self.checked(domain, ips, port)),
                Err(DnsFault::None) => {}
                Err(DnsFault::Temporary(why)) => unsure = Some(why),
            }
        }
        targets.truncate(limits::DIAL_ADDRESSES);
        match (targets.is_empty(), unsure) {
            (false, _) => Ok(targets),
            (true, Some(why)) => Err(NoTarget::Temporary(why)),
            (true, None) => Err(NoTarget::Nowhere),
        }
    }

    /// The hosts to look up, and what failed on the way to them.
    async fn hosts(&self, domain: &Domain, hint: Option<&str>) -> Result<(Vec<Hint>, Option<String>), NoTarget> {
        let host = |service: crate::dns::Service| Some(Hint { host: service.host?, port: service.port });
        match self.dns.srv(&format!("_postline._tcp.{domain}")).await {
            Ok(services) => {
                return Ok((services.into_iter().filter_map(host).take(limits::DIAL_HOSTS).collect(), None));
            }
            Err(DnsFault::None) => {}
            Err(DnsFault::Temporary(why)) => return Err(NoTarget::Temporary(why)),
        }
        let document = match &self.documents {
            Some(documents) => documents.of(domain).await,
            None => Ok(None),
        };
        let (link, unsure) = match document {
            Ok(document) => (document.and_then(|document| document.link), None),
            // Its absence can only cost the attempt: the node proves its key on the link, wherever that leads.
            Err(Unread(why)) => (None, Some(why)),
        };
        let within = || hint.and_then(|text| Hint::parse(text).ok()).filter(|hint| hint.within(domain));
        Ok((link.or_else(within).into_iter().collect(), unsure))
    }

    /// One host's addresses that may be dialled.
    fn checked(&self, domain: &Domain, ips: Vec<IpAddr>, port: u16) -> impl Iterator<Item = SocketAddr> {
        let fit = ips.into_iter().map(move |ip| SocketAddr::new(ip, port)).filter(move |target| {
            may_dial(*target, &self.allow)
                .inspect_err(|denied| tracing::warn!(%domain, %target, %denied, "address of a node refused"))
                .is_ok()
        });
        fit.take(limits::DIAL_ADDRESSES / 2)
    }
}

/// What two sources come to ([D-5]).
#[must_use]
pub fn judge(document: &Source, record: &Source) -> Evidence {
    match (document, record) {
        (Source::Contradicts, _) | (_, Source::Contradicts) => Evidence::Contradiction,
        (Source::Names(one), Source::Names(other)) if one != other => Evidence::Contradiction,
        (Source::Names(key), _) | (_, Source::Names(key)) => Evidence::Domain { names: Some(*key) },
        (Source::Failed(_), _) | (_, Source::Failed(_)) => Evidence::Temporary,
        (Source::Silent, Source::Silent) => Evidence::Domain { names: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [D-5]
    #[test]
    fn a_word_that_was_heard_is_never_lost_to_a_source_that_is_blocked() {
        let (one, other) = (Source::Names(NodeKey([1; 32])), Source::Names(NodeKey([2; 32])));
        let (silent, failed) = (Source::Silent, Source::Failed("blocked".into()));
        let names = |n: u8| Evidence::Domain { names: Some(NodeKey([n; 32])) };
        for (document, record, want) in [
            (&one, &one, names(1)),
            (&one, &other, Evidence::Contradiction),
            (&one, &silent, names(1)),
            (&one, &failed, names(1)),
            (&one, &Source::Contradicts, Evidence::Contradiction),
            (&silent, &silent, Evidence::Domain { names: None }),
            (&silent, &failed, Evidence::Temporary),
            (&failed, &failed, Evidence::Temporary),
            (&failed, &Source::Contradicts, Evidence::Contradiction),
        ] {
            assert_eq!(judge(document, record), want, "{document:?}, {record:?}");
            assert_eq!(judge(record, document), want, "{record:?}, {document:?}");
        }
    }
}
