//! What the node asks of DNS: where a domain's mail goes, where its node is, and which keys it publishes.
//!
//! Every look-up is bounded in time, count and size. A [`Zone`] answers in place of DNS in tests and demos. Who may be
//! dialled is [`postline_core::net`]'s word; who *is* dialled is the address checked here (attacks 97, 98).

mod zone;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use postline_core::id::Domain;
use postline_core::limits;
use postline_core::net::{Allowed, Hint, may_dial};

pub use zone::{Zone, ZoneFault};

/// Who answers the node's look-ups.
pub enum Resolver {
    /// A fixed zone: tests, demos, closed nets.
    Zone(Zone),
    /// DNS.
    Dns(Box<TokioResolver>),
}

/// Why a look-up yields nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    /// There is no such name, or no such record.
    #[error("no such record")]
    None,
    /// DNS can't say for now.
    #[error("dns failed for now: {0}")]
    Temporary(String),
}

/// A host that takes a domain's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Lower is tried first.
    pub preference: u16,
    /// Its name.
    pub host: Domain,
    /// Its port, where a [`Zone`] names one; DNS never does.
    pub port: Option<u16>,
}

/// A host that runs a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower is tried first.
    pub priority: u16,
    /// Among equals, higher is tried first.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name; `None` where the domain says that it doesn't run the service.
    pub host: Option<Domain>,
}

/// Why there is nowhere to dial. A peer never hears which (attack 99).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// The domain names no node, or none that may be dialled.
    #[error("the domain names no node that may be dialled")]
    Nowhere,
    /// DNS can't say for now.
    #[error("dns failed for now: {0}")]
    Temporary(String),
}

impl Resolver {
    /// Asks the name servers of the system's configuration, without its search list.
    ///
    /// # Errors
    /// [`DnsFault::Temporary`] where the configuration can't be read.
    pub fn system() -> Result<Self, DnsFault> {
        let (config, _) = read_system_conf().map_err(fault)?;
        Self::build(config.name_servers().to_vec())
    }

    /// Asks these name servers.
    ///
    /// # Errors
    /// [`DnsFault::Temporary`] where no resolver can be built.
    pub fn at(servers: &[SocketAddr]) -> Result<Self, DnsFault> {
        let server = |addr: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(addr.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = addr.port());
            server
        };
        Self::build(servers.iter().map(server).collect())
    }

    fn build(servers: Vec<NameServerConfig>) -> Result<Self, DnsFault> {
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(3);
        options.attempts = 2;
        builder.build().map(|dns| Self::Dns(Box::new(dns))).map_err(fault)
    }

    /// Who takes the domain's mail, first choice first (RFC 5321 §5.1). Empty: nobody, and it says so (RFC 7505).
    /// Without any MX it is the domain itself.
    ///
    /// # Errors
    /// [`DnsFault`]; `None` where the domain doesn't exist or none of its exchanges has a proper name.
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<Exchange>, DnsFault> {
        let records = match self.records(domain.as_str(), Kind::Mx).await {
            Err(DnsFault::None) => {
                self.addresses(domain).await?;
                return Ok(vec![Exchange { preference: 0, host: domain.clone(), port: None }]);
            }
            records => records?,
        };
        if records.iter().all(|data| matches!(data, Data::NullMx)) {
            return Ok(Vec::new());
        }
        let mut exchanges = some(
            records.into_iter().filter_map(|data| if let Data::Mx(exchange) = data { Some(exchange) } else { None }),
        )?;
        exchanges.sort_by_key(|exchange| exchange.preference);
        Ok(exchanges)
    }

    /// The host's addresses, IPv6 first.
    ///
    /// # Errors
    /// [`DnsFault`]; a temporary failure of one kind of address counts only where the other kind yields nothing.
    pub async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsFault> {
        let (v6, v4) = tokio::join!(self.records(host.as_str(), Kind::Aaaa), self.records(host.as_str(), Kind::A));
        let found = [&v6, &v4].into_iter().flatten().flatten().filter_map(Data::address);
        match some(found) {
            Ok(found) => Ok(found),
            Err(none) => match (v6, v4) {
                (Err(temporary @ DnsFault::Temporary(_)), _) | (_, Err(temporary @ DnsFault::Temporary(_))) => {
                    Err(temporary)
                }
                _ => Err(none),
            },
        }
    }

    /// The name's TXT records, each with its strings joined. Those over the bound are passed over.
    ///
    /// # Errors
    /// [`DnsFault`].
    pub async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsFault> {
        let texts = self.records(name, Kind::Txt).await?;
        let texts = texts.into_iter().filter_map(|data| if let Data::Txt(text) = data { Some(text) } else { None });
        some(texts.filter(|text| text.len() <= limits::DNS_TEXT_BYTES))
    }

    /// The name's SRV records, first choice first. The order among equals is fixed, not drawn by weight: a domain has
    /// one node.
    ///
    /// # Errors
    /// [`DnsFault`].
    pub async fn srv(&self, name: &str) -> Result<Vec<Service>, DnsFault> {
        let mut services = some(
            self.records(name, Kind::Srv)
                .await?
                .into_iter()
                .filter_map(|data| if let Data::Srv(service) = data { Some(service) } else { None }),
        )?;
        services.sort_by_key(|service| (service.priority, u16::MAX - service.weight));
        Ok(services)
    }

    /// Where the domain's node is dialled: by SRV `_postline._tcp`, else by the hint where it lies within the domain.
    /// What comes back was checked, and is to be dialled as it is ([L-1]).
    ///
    /// # Errors
    /// [`NoTarget`]. A temporary failure of SRV never falls back to the hint.
    pub async fn dial_targets(
        &self,
        domain: &Domain,
        hint: Option<&str>,
        allow: &Allowed,
    ) -> Result<Vec<SocketAddr>, NoTarget> {
        let hosts = match self.srv(&format!("_postline._tcp.{domain}")).await {
            Ok(services) => services.into_iter().filter_map(|service| Some((service.host?, service.port))).collect(),
            Err(DnsFault::None) => within(domain, hint),
            Err(DnsFault::Temporary(why)) => return Err(NoTarget::Temporary(why)),
        };
        let (mut targets, mut unsure) = (Vec::new(), None);
        for (host, port) in hosts {
            match self.addresses(&host).await {
                Ok(ips) => targets.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port))),
                Err(DnsFault::None) => {}
                Err(DnsFault::Temporary(why)) => unsure = Some(why),
            }
        }
        targets.retain(|target| match may_dial(*target, allow) {
            Ok(()) => true,
            Err(denied) => {
                tracing::warn!(%domain, %target, %denied, "address of a node refused");
                false
            }
        });
        targets.truncate(limits::DNS_RECORDS);
        match (targets.is_empty(), unsure) {
            (false, _) => Ok(targets),
            (true, Some(why)) => Err(NoTarget::Temporary(why)),
            (true, None) => Err(NoTarget::Nowhere),
        }
    }

    async fn records(&self, name: &str, kind: Kind) -> Result<Vec<Data>, DnsFault> {
        let dns = match self {
            Self::Zone(zone) => return zone.records(name, kind),
            Self::Dns(dns) => dns,
        };
        // The final dot makes it absolute: no search list applies.
        let name = Name::from_ascii(format!("{name}.")).map_err(|_| DnsFault::None)?;
        let limit = Duration::from_millis(limits::DNS_MS);
        let late = |_| DnsFault::Temporary("no answer in time".to_owned());
        let answer = tokio::time::timeout(limit, dns.lookup(name, kind.record_type())).await.map_err(late)?;
        let answer = answer.map_err(fault)?;
        some(answer.answers().iter().filter_map(|record| Data::read(&record.data)))
    }
}

/// The first records, at most so many; none at all is a fault.
fn some<T>(records: impl Iterator<Item = T>) -> Result<Vec<T>, DnsFault> {
    let records: Vec<T> = records.take(limits::DNS_RECORDS).collect();
    if records.is_empty() { Err(DnsFault::None) } else { Ok(records) }
}

fn within(domain: &Domain, hint: Option<&str>) -> Vec<(Domain, u16)> {
    let hint = hint.and_then(|text| Hint::parse(text).ok()).filter(|hint| hint.within(domain));
    hint.into_iter().map(|hint| (hint.host, hint.port)).collect()
}

fn fault(error: NetError) -> DnsFault {
    if let NetError::Dns(DnsError::NoRecordsFound(_)) = error {
        DnsFault::None
    } else {
        DnsFault::Temporary(error.to_string())
    }
}

/// The kinds of record that the node asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    A,
    Aaaa,
    Mx,
    Srv,
    Txt,
}

impl Kind {
    const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Srv => RecordType::SRV,
            Self::Txt => RecordType::TXT,
        }
    }
}

/// What a record says. Names that are no host names are left out where they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(Exchange),
    NullMx,
    Srv(Service),
    Txt(Vec<u8>),
}

impl Data {
    #[allow(clippy::wildcard_enum_match_arm)] // DNS has some sixty more kinds.
    fn read(data: &RData) -> Option<Self> {
        match data {
            RData::A(ip) => Some(Self::A(ip.0)),
            RData::AAAA(ip) => Some(Self::Aaaa(ip.0)),
            RData::MX(mx) if mx.exchange.is_root() => Some(Self::NullMx),
            RData::MX(mx) => {
                Some(Self::Mx(Exchange { preference: mx.preference, host: host(&mx.exchange)?, port: None }))
            }
            RData::SRV(srv) => {
                let host = if srv.target.is_root() { None } else { Some(host(&srv.target)?) };
                Some(Self::Srv(Service { priority: srv.priority, weight: srv.weight, port: srv.port, host }))
            }
            RData::TXT(txt) => Some(Self::Txt(txt.txt_data.concat())),
            _ => None,
        }
    }

    const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(ip) => Some(IpAddr::V4(*ip)),
            Self::Aaaa(ip) => Some(IpAddr::V6(*ip)),
            Self::Mx(_) | Self::NullMx | Self::Srv(_) | Self::Txt(_) => None,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::Aaaa,
            Self::Mx(_) | Self::NullMx => Kind::Mx,
            Self::Srv(_) => Kind::Srv,
            Self::Txt(_) => Kind::Txt,
        }
    }
}

fn host(name: &Name) -> Option<Domain> {
    Domain::parse(name.to_ascii().trim_end_matches('.')).ok()
}
