//! What the node asks of DNS: where a domain's mail goes, where its node is, and which keys it publishes.
//!
//! Every look-up is bounded in time, count and size. A [`Zone`] answers in place of DNS in tests and demos. What is made of
//! the answers about a node is [`discovery`](crate::discovery)'s.

mod secure;
mod zone;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use postline_core::id::Domain;
use postline_core::limits;

pub use secure::Dnssec;
use secure::Secure;
pub use zone::{Zone, ZoneFault};

/// Who answers the node's look-ups.
pub enum Resolver {
    /// A fixed zone: tests, demos, closed nets.
    Zone(Zone),
    /// DNS.
    Dns(Box<Dns>),
}

/// Name servers, and two ways to ask them.
pub struct Dns {
    servers: Vec<NameServerConfig>,
    plain: TokioResolver,
    secure: Option<Secure>,
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

impl Dns {
    /// The resolver that believes what the name servers say.
    pub(crate) const fn plain(&self) -> &TokioResolver {
        &self.plain
    }
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
        let plain = builder(servers.clone()).build().map_err(fault)?;
        Ok(Self::Dns(Box::new(Dns { servers, plain, secure: None })))
    }

    /// Lets [`proven_txt`](Self::proven_txt) believe what leads up to the trust anchor: a file of DNSKEY records, or IANA's
    /// root keys. A zone stays as it is: all of it counts as proven.
    ///
    /// # Errors
    /// [`DnsFault::Temporary`] where the file can't be read.
    pub fn with_dnssec(self, how: Dnssec, anchor: Option<&Path>) -> Result<Self, DnsFault> {
        match self {
            Self::Dns(dns) if how != Dnssec::Off => {
                let secure = Some(Secure::new(dns.servers.clone(), how, anchor)?);
                Ok(Self::Dns(Box::new(Dns { secure, ..*dns })))
            }
            Self::Dns(_) | Self::Zone(_) => Ok(self),
        }
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

    /// The host's addresses, both kinds in turn, IPv6 first: a host with many of one kind is still tried by the other.
    ///
    /// # Errors
    /// [`DnsFault`]; a temporary failure of one kind of address counts only where the other kind yields nothing.
    pub async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsFault> {
        let (v6, v4) = tokio::join!(self.records(host.as_str(), Kind::Aaaa), self.records(host.as_str(), Kind::A));
        let of = |kind: &Result<Vec<Data>, DnsFault>| {
            kind.iter().flatten().filter_map(Data::address).collect::<Vec<_>>().into_iter()
        };
        let (mut sixes, mut fours) = (of(&v6), of(&v4));
        let turns = std::iter::from_fn(|| match (sixes.next(), fours.next()) {
            (None, None) => None,
            (six, four) => Some(six.into_iter().chain(four)),
        });
        match some(turns.flatten()) {
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
        secure::texts(self.records(name, Kind::Txt).await?)
    }

    /// The name's TXT records as DNSSEC proves them, at the very name ([D-2]). None where they are unsigned, or nobody asked
    /// for proofs.
    ///
    /// # Errors
    /// [`DnsFault`]; temporary where a proof is broken.
    pub async fn proven_txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsFault> {
        secure::texts(match self {
            Self::Zone(zone) => zone.records(name, Kind::Txt)?,
            Self::Dns(dns) => dns.secure.as_ref().ok_or(DnsFault::None)?.txt(name).await?,
        })
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

    /// The names that an address has (RFC 1035 §3.5).
    ///
    /// # Errors
    /// [`DnsFault`].
    pub async fn names(&self, ip: IpAddr) -> Result<Vec<Domain>, DnsFault> {
        let name = Name::from(ip).to_ascii();
        let names = self.records(name.trim_end_matches('.'), Kind::Ptr).await?;
        some(names.into_iter().filter_map(|data| if let Data::Ptr(name) = data { Some(name) } else { None }))
    }

    async fn records(&self, name: &str, kind: Kind) -> Result<Vec<Data>, DnsFault> {
        let dns = match self {
            Self::Zone(zone) => return zone.records(name, kind),
            Self::Dns(dns) => &dns.plain,
        };
        let answer = in_time(dns.lookup(absolute(name)?, kind.record_type())).await?.map_err(fault)?;
        some(answer.answers().iter().filter_map(|record| Data::read(&record.data)))
    }
}

fn builder(servers: Vec<NameServerConfig>) -> ResolverBuilder<TokioRuntimeProvider> {
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = Duration::from_secs(3);
    options.attempts = 2;
    builder
}

/// The final dot makes it absolute: no search list applies.
fn absolute(name: &str) -> Result<Name, DnsFault> {
    Name::from_ascii(format!("{name}.")).map_err(|_| DnsFault::None)
}

async fn in_time<T>(look_up: impl Future<Output = T>) -> Result<T, DnsFault> {
    let limit = Duration::from_millis(limits::DNS_MS);
    tokio::time::timeout(limit, look_up).await.map_err(|_| DnsFault::Temporary("no answer in time".to_owned()))
}

/// The first records, at most so many; none at all is a fault.
fn some<T>(records: impl Iterator<Item = T>) -> Result<Vec<T>, DnsFault> {
    let records: Vec<T> = records.take(limits::DNS_RECORDS).collect();
    if records.is_empty() { Err(DnsFault::None) } else { Ok(records) }
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
    Ptr,
    Srv,
    Txt,
}

impl Kind {
    const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Ptr => RecordType::PTR,
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
    Ptr(Domain),
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
            RData::PTR(ptr) => Some(Self::Ptr(host(&ptr.0)?)),
            RData::TXT(txt) => Some(Self::Txt(txt.txt_data.concat())),
            _ => None,
        }
    }

    const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(ip) => Some(IpAddr::V4(*ip)),
            Self::Aaaa(ip) => Some(IpAddr::V6(*ip)),
            Self::Mx(_) | Self::NullMx | Self::Ptr(_) | Self::Srv(_) | Self::Txt(_) => None,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::Aaaa,
            Self::Mx(_) | Self::NullMx => Kind::Mx,
            Self::Ptr(_) => Kind::Ptr,
            Self::Srv(_) => Kind::Srv,
            Self::Txt(_) => Kind::Txt,
        }
    }
}

fn host(name: &Name) -> Option<Domain> {
    Domain::parse(name.to_ascii().trim_end_matches('.')).ok()
}
