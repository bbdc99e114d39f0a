//! Where a device's node is, and whether a key is that node's.
//!
//! ```text
//!   --node host:port ─────────────────────▶ addresses ─┐
//!   address's domain ─ SRV, its document ─▶ addresses ─┴─▶ TCP ─▶ TLS ─▶ a session, and whether the name is proven
//!
//!   first meeting: the key is the node's, where --nk says so; else where the domain's own word does;
//!                  else where the certificate proves the name. Where none does, no password leaves this device.
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postline_core::content::evidence::Evidence;
use postline_core::id::{Domain, NodeKey};
use postline_core::limits;
use postline_core::net::{Allowed, LINK_PORT};
use postline_core::server::LoginOk;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::discovery::{Discovery, Documents, NoTarget};
use crate::dns::{DnsFault, Resolver};
use crate::session::Sessions;
use crate::tls::{self, Asked, SessionClient, TlsFault};

/// The port of well-known documents.
const HTTPS_PORT: u16 = 443;
/// How much waits on a connection within this process.
const OWN_BYTES: usize = 64 * 1024;

/// A node, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAt {
    /// Its name, or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FromStr for NodeAt {
    type Err = &'static str;

    /// Reads `host`, `host:port`, or `[v6]:port`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str = "want a host and a port, such as mail.a.example:7678";
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().ok().filter(|port| *port != 0).ok_or(WANT)?)
            }
            _ => (text, LINK_PORT),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(host).map_err(|_| WANT)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for NodeAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Why a node wasn't reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    /// There is nowhere to dial.
    #[error("the address's domain: {0}; name its node by --node")]
    Nowhere(#[from] NoTarget),
    /// The network, or TLS.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What answers there is no node that takes sessions.
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// Dials a device's node.
pub struct Dialler(Way);

enum Way {
    Far(Box<Far>),
    Own(OwnDoor),
}

/// The way to the node that runs the device itself: a connection within this process, whose channel is fresh and random.
pub struct OwnDoor {
    /// The node's sessions.
    pub sessions: Sessions,
    /// Whose device it is.
    pub login: LoginOk,
    /// The node's key.
    pub nk: NodeKey,
    /// What the node's end of the session runs on.
    pub runtime: tokio::runtime::Handle,
}

/// The way to a node elsewhere.
struct Far {
    domain: Domain,
    node: Option<NodeAt>,
    nk: Option<NodeKey>,
    client: SessionClient,
    /// `None` where a node was named, and nothing needs to be found.
    discovery: Option<Discovery>,
}

/// What carries bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection whose TLS is done, where it leaves this process.
pub(super) struct Dialled {
    pub(super) stream: Box<dyn Stream>,
    pub(super) channel: [u8; 32],
    /// Whether its certificate is good for the name.
    pub(super) verified: bool,
}

impl Dialler {
    /// Dials the node of an address in `domain`: `node`, or the one that the domain names. `nk` is its key, where the
    /// person knows it; `roots` a PEM file of certificate authorities, instead of the system's.
    ///
    /// # Errors
    /// [`TlsFault`] for `roots`; that DNS isn't configured, where it is needed.
    pub fn new(
        domain: Domain,
        node: Option<NodeAt>,
        nk: Option<NodeKey>,
        roots: Option<&Path>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let client = SessionClient::new(roots)?;
        let discovery = if node.is_some() { None } else { Some(discovery(roots)?) };
        Ok(Self(Way::Far(Box::new(Far { domain, node, nk, client, discovery }))))
    }

    /// Dials the node that this process is.
    #[must_use]
    pub const fn own(door: OwnDoor) -> Self {
        Self(Way::Own(door))
    }

    pub(super) async fn dial(&self) -> Result<Dialled, Unreached> {
        match &self.0 {
            Way::Own(door) => Ok(door.dial()?),
            Way::Far(far) => {
                let bound = Duration::from_millis(limits::DIAL_MS);
                timeout(bound, far.try_all()).await.map_err(io::Error::from)?
            }
        }
    }

    /// Whether a key that this device has never met is its node's. `verified`: whether the connection's certificate is
    /// good for the name that was dialled.
    pub(super) async fn approves(&self, nk: NodeKey, verified: bool) -> bool {
        match &self.0 {
            Way::Own(door) => door.nk == nk,
            Way::Far(far) => far.approves(nk, verified).await,
        }
    }
}

impl OwnDoor {
    fn dial(&self) -> io::Result<Dialled> {
        let mut channel = [0; 32];
        SystemRandom::new().fill(&mut channel).map_err(|_| io::Error::other("no randomness"))?;
        let (ours, theirs) = tokio::io::duplex(OWN_BYTES);
        let _within = self.runtime.enter();
        self.sessions.begin_own(theirs, channel, self.login.clone());
        Ok(Dialled { stream: Box::new(ours), channel, verified: true })
    }
}

impl Far {
    async fn try_all(&self) -> Result<Dialled, Unreached> {
        let (name, targets): (String, Vec<SocketAddr>) = match (&self.node, &self.discovery) {
            (Some(NodeAt { host, port }), _) => {
                (host.clone(), tokio::net::lookup_host((host.as_str(), *port)).await?.collect())
            }
            (None, Some(discovery)) => (self.domain.to_string(), discovery.targets(&self.domain, None).await?),
            (None, None) => return Err(NoTarget::Nowhere.into()),
        };
        let mut last = Unreached::from(NoTarget::Nowhere);
        for target in targets.into_iter().take(limits::DIAL_ADDRESSES) {
            match self.connect(&name, target).await {
                Ok(dialled) => return Ok(dialled),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    async fn connect(&self, name: &str, at: SocketAddr) -> Result<Dialled, Unreached> {
        let late = Duration::from_millis(limits::GREETING_MS);
        let tcp = timeout(late / 2, TcpStream::connect(at)).await.map_err(io::Error::from)??;
        tcp.set_nodelay(true)?;
        let (config, proven) = self.client.config()?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = timeout(late, TlsConnector::from(config).connect(name, tcp)).await.map_err(io::Error::from)??;
        let (asked, channel) = tls::asked(stream.get_ref().1)?;
        if asked != Asked::Session {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        Ok(Dialled { stream: Box::new(stream), channel, verified: proven.is_so() })
    }

    async fn approves(&self, nk: NodeKey, verified: bool) -> bool {
        if let Some(known) = self.nk {
            return known == nk;
        }
        let word = match &self.discovery {
            Some(discovery) => discovery.word(&self.domain).await,
            None => Evidence::Domain { names: None },
        };
        vouched(&word, nk, verified)
    }
}

/// Whether a domain's own word, or else the certificate, vouches for a key.
fn vouched(word: &Evidence, nk: NodeKey, verified: bool) -> bool {
    match word {
        Evidence::Domain { names: Some(named) } => *named == nk,
        // Silent, or not heard just now: the certificate says whose host it is.
        Evidence::Domain { names: None } | Evidence::Temporary => verified,
        Evidence::Contradiction | Evidence::Dkim(_) => false,
    }
}

fn discovery(roots: Option<&Path>) -> Result<Discovery, Box<dyn std::error::Error + Send + Sync>> {
    let resolver = Arc::new(Resolver::system().map_err(|why: DnsFault| why.to_string())?);
    let allow = Allowed::default();
    let documents = match tls::https_client(roots) {
        Ok(tls) => Some(Documents::new(Arc::clone(&resolver), Arc::new(tls), allow.clone(), HTTPS_PORT)),
        Err(TlsFault::NoRoots(_)) => None,
        Err(why) => return Err(why.into()),
    };
    Ok(Discovery::new(resolver, documents, allow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_host_and_port() {
        let at = |host: &str, port| Ok(NodeAt { host: host.to_owned(), port });
        assert_eq!("mail.a.example:7000".parse(), at("mail.a.example", 7000));
        assert_eq!("mail.a.example".parse(), at("mail.a.example", LINK_PORT));
        assert_eq!("192.0.2.1:443".parse(), at("192.0.2.1", 443));
        assert_eq!("[2001:db8::1]:443".parse(), at("2001:db8::1", 443));
        assert_eq!("2001:db8::1".parse(), at("2001:db8::1", LINK_PORT));
        for bad in ["", ":1", "a b:1", "a.example:0", "a.example:x", "a.example:99999"] {
            assert!(bad.parse::<NodeAt>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn t_101_a_key_that_nothing_vouches_for_gets_no_password() {
        let (nk, other) = (NodeKey([1; 32]), NodeKey([2; 32]));
        let names = |nk| Evidence::Domain { names: Some(nk) };
        let silent = Evidence::Domain { names: None };
        assert!(
            vouched(&names(nk), nk, false) && vouched(&silent, nk, true) && vouched(&Evidence::Temporary, nk, true)
        );
        assert!(!vouched(&names(other), nk, true), "a good certificate doesn't outweigh the domain's word");
        assert!(!vouched(&silent, nk, false) && !vouched(&Evidence::Temporary, nk, false));
        assert!(!vouched(&Evidence::Contradiction, nk, true));
    }

    #[tokio::test]
    async fn a_key_that_the_person_names_is_the_only_one() {
        let dialler =
            |nk| Dialler::new(Domain::parse("a.example").unwrap(), "a.example:1".parse().ok(), nk, None).unwrap();
        let (nk, other) = (NodeKey([1; 32]), NodeKey([2; 32]));
        assert!(dialler(Some(nk)).approves(nk, false).await);
        assert!(!dialler(Some(nk)).approves(other, true).await);
        assert!(dialler(None).approves(nk, true).await && !dialler(None).approves(nk, false).await);
    }
}
