//! Handing a mail over by SMTP (RFC 5321): to the exchanges of a domain, or to a smarthost.
//!
//! ```text
//!   Route ──▶ targets, in order ──▶ connect ─ greeting ─ EHLO ─ STARTTLS ─ AUTH ─ MAIL ─ RCPT… ─ DATA ──▶ Outcome
//!               ▲                                                     │                    │
//!               └──────────── the next target, while nothing was sent ┘     what is lost now is tried later
//! ```
//!
//! One try, one result for each recipient; when to try again is the queue's to say. An own client stands on smtp-proto's
//! parser because lettre's reads reply lines without bound, keeps what a host said before TLS for what it says after,
//! adds an empty line to each mail, and doesn't tell whether a host takes SIZE.

mod client;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use postline_core::id::{Address, Domain, hides_or_reorders};
use postline_core::limits;
use postline_core::net::{Allowed, may_reach};
use postline_core::server::io::{Outcome, RcptOutcome};
use rustls::ClientConfig;

use crate::beside::Place;
use crate::dns::{DnsFault, Exchange, Resolver};
use client::{Broken, Client};

/// Most hosts, by address, that one try asks.
const TARGETS: usize = 8;

/// Where mail is handed over.
pub enum Route<'a> {
    /// To the exchanges of the recipients' domain.
    Mx {
        /// The domain of all the recipients.
        domain: &'a Domain,
        /// Who knows the exchanges.
        resolver: &'a Resolver,
        /// Which nets may be connected to although they aren't globally routable.
        allow: &'a Allowed,
        /// The port where none is named: 25.
        port: u16,
        /// How the connection is secured.
        security: Security,
    },
    /// To the operator's own relay.
    Smarthost {
        /// Its name or address.
        host: &'a str,
        /// Its port: 587 mostly, 465 for [`Security::Implicit`].
        port: u16,
        /// Our login there.
        login: Option<&'a Login>,
        /// How the connection is secured.
        security: Security,
    },
}

/// How a connection to another mail server is secured.
#[derive(Clone)]
pub enum Security {
    /// STARTTLS where it is offered and works, by a configuration that takes any certificate; else in the clear
    /// (RFC 7435). Never with a login.
    Opportunistic(Arc<ClientConfig>),
    /// STARTTLS, by a configuration that verifies the host's name; else not at all.
    Verified(Arc<ClientConfig>),
    /// TLS from the first byte (RFC 8314), by a configuration that verifies the host's name.
    Implicit(Arc<ClientConfig>),
}

/// A login at a smarthost. It is sent (AUTH PLAIN) only over verified TLS.
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// How long a host may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, and for its TLS handshake.
    pub connect: Duration,
    /// For a reply.
    pub reply: Duration,
    /// For taking 64 KiB of a mail's text.
    pub data: Duration,
    /// For the reply to a mail's end: a host that files it first may be slow, and giving up then means sending twice.
    pub end: Duration,
}

impl Default for Timeouts {
    /// As RFC 5321 §4.5.3.2 has them, but 30 s to connect.
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self { connect: Duration::from_secs(30), reply: minutes(5), data: minutes(3), end: minutes(10) }
    }
}

/// Hands a mail over to all of its recipients in one transaction. `bytes` may have any line ends; CRLF goes out.
///
/// Each recipient's result is the host's own word on it. Hosts that can't be reached or don't take part in SMTP are
/// passed over for the next; what no host took is `Later`.
pub async fn hand_over(
    route: &Route<'_>,
    helo: &Domain,
    from: Option<&Address>,
    to: &[Address],
    bytes: &[u8],
    timeouts: &Timeouts,
) -> Outcome {
    let all = |outcome: RcptOutcome| Outcome { rcpts: vec![outcome; to.len()] };
    let targets = match targets(route, helo).await {
        Ok(targets) => targets,
        Err(outcome) => return all(outcome),
    };
    let mail = Mail { helo, from, to, bytes, onward: None };
    let mut last = "no host to try".to_owned();
    for target in &targets {
        match attempt(target, route, &mail, timeouts).await {
            Ok(rcpts) => return Outcome { rcpts },
            Err(broken) => {
                last = clean(&format!("{}: {broken}", target.name));
                tracing::debug!(host = target.name, addr = %target.addr, why = last, "mail not handed over");
            }
        }
    }
    all(RcptOutcome::Later(last))
}

/// What is spoken with the mail server beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321: one reply for a mail.
    Smtp,
    /// RFC 2033: one for each recipient.
    Lmtp,
}

/// Where a mail goes on, beside us.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// To which door.
    pub place: &'a Place,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether who brought the mail asked for SMTPUTF8, where that is known: the same is asked again, so that a mail goes
    /// where it would go without us. Raw text in a header is no reason, neither to ask nor to refuse.
    pub utf8: Option<bool>,
}

impl<'a> Onward<'a> {
    /// A door, for a mail of which it isn't known.
    #[must_use]
    pub const fn new(place: &'a Place, protocol: Protocol) -> Self {
        Self { place, protocol, utf8: None }
    }
}

/// Hands a mail on to the mail server beside us, in one transaction and within
/// [`PASS_ON_MS`](limits::PASS_ON_MS). What it doesn't answer in time is `Later`.
pub async fn hand_on(
    onward: &Onward<'_>,
    helo: &Domain,
    from: Option<&Address>,
    to: &[Address],
    bytes: &[u8],
) -> Outcome {
    let timeouts = Timeouts::beside();
    let work = async {
        let mut client = Client::beside(onward.place, onward.protocol, helo, &timeouts).await?;
        let outcome = client.transact(&Mail { helo, from, to, bytes, onward: Some(onward) }).await;
        client.quit().await;
        outcome
    };
    let late = Duration::from_millis(limits::PASS_ON_MS);
    let why = match tokio::time::timeout(late, work).await {
        Ok(Ok(rcpts)) => return Outcome { rcpts },
        Ok(Err(broken)) => broken.to_string(),
        Err(_elapsed) => format!("not within {late:?}"),
    };
    let place = onward.place;
    tracing::warn!(%place, why, "the mail server beside us did not take a mail");
    Outcome { rcpts: vec![RcptOutcome::Later(clean(&format!("4.4.1 {place}: {why}"))); to.len()] }
}

impl Timeouts {
    /// For a server on this machine, whose own patience a caller waits out.
    fn beside() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), reply: seconds(60), data: seconds(60), end: seconds(240) }
    }
}

/// What goes over, and who says so.
struct Mail<'a> {
    helo: &'a Domain,
    from: Option<&'a Address>,
    to: &'a [Address],
    bytes: &'a [u8],
    /// Set where it goes to the mail server beside us.
    onward: Option<&'a Onward<'a>>,
}

/// One address of one host.
#[derive(Debug)]
struct Target {
    name: String,
    addr: SocketAddr,
}

/// One connection, one transaction; and once more without TLS where that was only an opportunity.
async fn attempt(
    target: &Target,
    route: &Route<'_>,
    mail: &Mail<'_>,
    timeouts: &Timeouts,
) -> Result<Vec<RcptOutcome>, Broken> {
    let (security, login) = match route {
        Route::Mx { security, .. } => (security, None),
        Route::Smarthost { security, login, .. } => (security, *login),
    };
    let client = match Client::connect(target, Some(security), mail.helo, timeouts).await {
        Err(Broken::Tls(why)) if matches!(security, Security::Opportunistic(_)) => {
            tracing::debug!(host = target.name, why, "TLS failed, going on without");
            Client::connect(target, None, mail.helo, timeouts).await
        }
        client => client,
    };
    let mut client = client?;
    if let Some(login) = login {
        client.log_in(login, matches!(security, Security::Verified(_) | Security::Implicit(_))).await?;
    }
    let outcome = client.transact(mail).await;
    client.quit().await;
    outcome
}

/// The addresses to try, in order; or what that says about all recipients.
async fn targets(route: &Route<'_>, helo: &Domain) -> Result<Vec<Target>, RcptOutcome> {
    match route {
        Route::Mx { domain, resolver, allow, port, .. } => {
            let exchanges = exchanges(domain, resolver, helo).await?;
            exchange_targets(domain, exchanges, resolver, allow, *port).await
        }
        Route::Smarthost { host, port, .. } => match smarthost_targets(host, *port).await {
            Ok(targets) if targets.is_empty() => Err(RcptOutcome::Later(clean(&format!("{host} has no address")))),
            Ok(targets) => Ok(targets),
            Err(why) => Err(RcptOutcome::Later(clean(&format!("{host}: {why}")))),
        },
    }
}

/// The domain's exchanges, less ourselves and those that would send it back to us (RFC 5321 §5.1).
async fn exchanges(domain: &Domain, resolver: &Resolver, helo: &Domain) -> Result<Vec<Exchange>, RcptOutcome> {
    let mut exchanges = match resolver.mx(domain).await {
        Ok(exchanges) if exchanges.is_empty() => {
            return Err(RcptOutcome::Failed(format!("5.1.10 {domain} takes no mail (null MX)")));
        }
        Ok(exchanges) => exchanges,
        Err(DnsFault::None) => {
            return Err(RcptOutcome::Failed(format!("5.1.2 {domain} does not exist, or has no mail exchange")));
        }
        Err(DnsFault::Temporary(why)) => return Err(RcptOutcome::Later(clean(&format!("4.4.3 {domain}: {why}")))),
    };
    if let Some(ours) = exchanges.iter().find(|exchange| exchange.host == *helo).map(|exchange| exchange.preference) {
        exchanges.retain(|exchange| exchange.preference < ours);
        if exchanges.is_empty() {
            return Err(RcptOutcome::Failed(format!("5.4.6 mail for {domain} loops back to {helo}")));
        }
    }
    Ok(exchanges)
}

async fn exchange_targets(
    domain: &Domain,
    exchanges: Vec<Exchange>,
    resolver: &Resolver,
    allow: &Allowed,
    port: u16,
) -> Result<Vec<Target>, RcptOutcome> {
    let (mut targets, mut unsure) = (Vec::new(), None);
    for exchange in exchanges.into_iter().take(TARGETS) {
        let ips = match resolver.addresses(&exchange.host).await {
            Ok(ips) => ips,
            Err(DnsFault::None) => continue,
            Err(DnsFault::Temporary(why)) => {
                unsure = Some(clean(&format!("4.4.3 {}: {why}", exchange.host)));
                continue;
            }
        };
        for ip in ips {
            match may_reach(ip, allow) {
                Ok(()) => targets.push(Target {
                    name: exchange.host.to_string(),
                    addr: SocketAddr::new(ip, exchange.port.unwrap_or(port)),
                }),
                Err(denied) => {
                    tracing::warn!(%domain, host = %exchange.host, %denied, "address of an exchange refused")
                }
            }
        }
    }
    targets.truncate(TARGETS);
    match (targets.is_empty(), unsure) {
        (false, _) => Ok(targets),
        (true, Some(why)) => Err(RcptOutcome::Later(why)),
        (true, None) => Err(RcptOutcome::Failed(format!("5.4.4 no exchange of {domain} has an address to send to"))),
    }
}

/// The operator named the host: it may be anywhere, and the system's own look-up finds it.
async fn smarthost_targets(host: &str, port: u16) -> io::Result<Vec<Target>> {
    let addrs: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => tokio::net::lookup_host((host, port)).await?.take(TARGETS).collect(),
    };
    Ok(addrs.into_iter().map(|addr| Target { name: host.to_owned(), addr }).collect())
}

/// A stranger's text as we keep and show it: one line, nothing that hides or reorders, bounded (attack 104).
fn clean(text: &str) -> String {
    let one_line = text.replace(hides_or_reorders, " ");
    let mut clean = String::new();
    for word in one_line.split(' ').filter(|word| !word.is_empty()) {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    clean.truncate(clean.floor_char_boundary(limits::FAILURE_TEXT_BYTES));
    clean
}
