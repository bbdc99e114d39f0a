//! Whether connections get through: out by port 25, and in under the names that others use.

use std::net::SocketAddr;
use std::time::Duration;

use postline_core::id::Domain;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Finding, Level, PROBE, Scene};
use crate::dns::DnsFault;
use crate::tls::{self, Asked, SessionClient};

/// How long one connect may take: shorter than a probe, so that a second address has a chance.
const CONNECT: Duration = Duration::from_secs(4);

pub(super) async fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let (out, mail, link) = tokio::join!(out(scene), mail_in(scene), link_in(scene));
    [vec![out], mail, link].concat()
}

async fn out(scene: &Scene<'_>) -> Finding {
    let id = "port.out";
    if scene.config.beside.reinject.is_some() {
        return Finding::skipped(id, "", "the mail server beside this node brings it out");
    }
    let smarthost = scene.config.smarthost.as_ref().map(|smarthost| (smarthost.host.clone(), smarthost.port));
    let Some((host, port)) = smarthost.or_else(|| scene.config.check.outbound.clone()) else {
        let cause = "no server to try it with: check.outbound names one, such as another provider's MX";
        return Finding::skipped(id, "", cause);
    };
    let about = format!("{host}:{port}");
    match greeting(scene, &host, port).await {
        Ok(greeting) if greeting.starts_with("220") => Finding::ok(id, about, "it answers"),
        Ok(greeting) => Finding::warning(id, about, format!("it says {greeting:?}"), "try another server"),
        Err(Reached::Unnamed(why)) => Finding::skipped(id, about, why),
        Err(Reached::Not(why)) => {
            let next = "many providers close port 25 until asked to open it; or use a [smarthost]";
            Finding::failure(id, about, format!("mail can't leave: {why}"), next)
        }
    }
}

async fn mail_in(scene: &Scene<'_>) -> Vec<Finding> {
    let id = "port.smtp";
    let mut findings = Vec::new();
    for domain in &scene.config.domains {
        let ours = scene.resolver.mx(domain).await.unwrap_or_default();
        let Some(exchange) = ours.into_iter().find(|exchange| exchange.host == scene.config.hostname) else {
            findings.push(Finding::skipped(id, domain, "its MX leads elsewhere, or nowhere"));
            continue;
        };
        let (host, port) = (exchange.host.to_string(), exchange.port.unwrap_or(25));
        findings.push(come_in(scene, id, domain, &host, port, true).await);
    }
    findings
}

/// Nodes and devices come in by one port.
async fn link_in(scene: &Scene<'_>) -> Vec<Finding> {
    let (id, session) = ("port.link", "port.session");
    let mut findings = Vec::new();
    for domain in &scene.config.domains {
        let named = scene.resolver.srv(&format!("_postline._tcp.{domain}")).await.unwrap_or_default();
        let named = named.into_iter().find_map(|service| Some((service.host?, service.port)));
        let hint = scene.config.advertise.clone().map(|hint| (hint.host, hint.port));
        let Some((host, port)) = named.or(hint) else {
            findings.push(Finding::skipped(id, domain, "no name under which other nodes look for it"));
            findings.push(Finding::skipped(session, domain, "no name under which devices look for it"));
            continue;
        };
        let link = come_in(scene, id, domain, host.as_str(), port, false).await;
        findings.push(if link.level == Level::Ok {
            session_in(scene, session, domain, host.as_str(), port).await
        } else {
            Finding::skipped(session, domain, "nobody comes in there, devices neither: see port.link")
        });
        findings.push(link);
    }
    findings
}

/// Opens a session there as a device does, up to where it would say who it is.
async fn session_in(scene: &Scene<'_>, id: &'static str, of: &Domain, host: &str, port: u16) -> Finding {
    let about = format!("{of}: {host}:{port}");
    match timeout(PROBE, session(scene, of, host, port)).await {
        Ok(Ok(true)) => Finding::ok(id, about, "it takes sessions, and its certificate proves the domain"),
        Ok(Ok(false)) => {
            let cause = "it takes sessions; its certificate doesn't prove the domain, so a device believes the domain's word, or --nk";
            Finding::ok(id, about, cause)
        }
        Ok(Err(Reached::Unnamed(why))) => Finding::skipped(id, about, why),
        Ok(Err(Reached::Not(why))) => {
            let next = "let that port lead to this node as it is: what ends TLS on the way ends sessions and links too";
            Finding::failure(id, about, format!("no sessions there: {why}"), next)
        }
        Err(_late) => {
            let next = "let that port lead to this node, and to nothing that waits for the other end to speak";
            Finding::failure(id, about, format!("no TLS in {} s", PROBE.as_secs()), next)
        }
    }
}

/// Whether the certificate proves the domain, as devices want it to, where sessions are taken.
async fn session(scene: &Scene<'_>, of: &Domain, host: &str, port: u16) -> Result<bool, Reached> {
    let not = |why: &dyn std::fmt::Display| Reached::Not(why.to_string());
    let stream = connect(scene, host, port).await?;
    let client = SessionClient::new(scene.config.discovery.roots.as_deref()).map_err(|why| not(&why))?;
    let (config, proven) = client.config().map_err(|why| not(&why))?;
    let name = ServerName::try_from(of.to_string()).map_err(|why| not(&why))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|why| not(&why))?;
    match tls::asked(stream.get_ref().1).map_err(|why| not(&why))? {
        (Asked::Session, _) => Ok(proven.is_so()),
        (Asked::Link, _) => Err(Reached::Not("it takes nodes alone".to_owned())),
    }
}

/// Knocks at our own door, by the name that others use.
async fn come_in(scene: &Scene<'_>, id: &'static str, of: &Domain, host: &str, port: u16, speaks: bool) -> Finding {
    let about = format!("{of}: {host}:{port}");
    let found =
        if speaks { greeting(scene, host, port).await } else { connect(scene, host, port).await.map(|_| "220".into()) };
    match found {
        Ok(greeting) if greeting.starts_with("220") => Finding::ok(id, about, "it answers"),
        Ok(greeting) => Finding::warning(id, about, format!("it says {greeting:?}"), "look into the node's log"),
        Err(Reached::Unnamed(why)) => Finding::skipped(id, about, why),
        Err(Reached::Not(why)) if scene.node.is_err() => {
            Finding::warning(id, about, format!("{why}; the node does not run"), "postline serve, then check again")
        }
        Err(Reached::Not(why)) => {
            let next = "open the port in firewall and router; some routers let nobody knock from inside: then try from elsewhere";
            Finding::failure(id, about, why, next)
        }
    }
}

/// Why nobody was reached.
enum Reached {
    /// No address to try.
    Unnamed(DnsFault),
    /// No connection, or nothing said.
    Not(String),
}

async fn connect(scene: &Scene<'_>, host: &str, port: u16) -> Result<TcpStream, Reached> {
    let ips = match (host.parse(), Domain::parse(host)) {
        (Ok(ip), _) => vec![ip],
        (_, Ok(name)) => scene.resolver.addresses(&name).await.map_err(Reached::Unnamed)?,
        (Err(_), Err(_)) => return Err(Reached::Unnamed(DnsFault::None)),
    };
    let mut why = String::new();
    for ip in ips.into_iter().take(2) {
        let at = SocketAddr::new(ip, port);
        match timeout(CONNECT, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(fault)) => why = format!("{at}: {fault}"),
            Err(_late) => why = format!("{at}: no answer in {} s", CONNECT.as_secs()),
        }
    }
    Err(Reached::Not(why))
}

/// The first line that a server says.
async fn greeting(scene: &Scene<'_>, host: &str, port: u16) -> Result<String, Reached> {
    let mut stream = connect(scene, host, port).await?;
    let mut first = [0; 512];
    match timeout(PROBE, stream.read(&mut first)).await {
        Ok(Ok(0)) => Err(Reached::Not("it closes at once".to_owned())),
        Ok(Ok(got)) => {
            let said = String::from_utf8_lossy(first.get(..got).unwrap_or_default()).into_owned();
            Ok(crate::shown::shown(said.lines().next().unwrap_or_default(), 100))
        }
        Ok(Err(why)) => Err(Reached::Not(why.to_string())),
        Err(_late) => Err(Reached::Not(format!("it says nothing in {} s", PROBE.as_secs()))),
    }
}
