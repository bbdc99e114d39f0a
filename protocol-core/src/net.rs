//! Which addresses may be dialled, and what a peer's `h=` hint may name (attacks 97, 98; protocol §2, Discovery).
//!
//! ```text
//!   h= ──Hint──▶ name within the mail domain ──host resolves──▶ addresses ──may_dial──▶ the ones that are dialled
//! ```
//!
//! The host resolves, checks what came out, and dials that very address: nothing is asked twice. What isn't globally
//! routable is refused unless the operator allowed its net.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::id::Domain;

/// The port of a link where nothing names another: POST on a keypad.
pub const LINK_PORT: u16 = 7678;

/// Whether a link may be dialled at this address and port ([L-1]).
///
/// # Errors
/// [`Denied`] for ports other than 443, [`LINK_PORT`] and 1024 up, and for what [`may_reach`] refuses.
pub fn may_dial(addr: SocketAddr, allow: &Allowed) -> Result<(), Denied> {
    if !is_link_port(addr.port()) {
        return Err(Denied::Port(addr.port()));
    }
    may_reach(addr.ip(), allow)
}

/// Whether an address that a stranger's DNS named may be connected to, whatever the port.
///
/// # Errors
/// [`Denied::Address`] for everything that isn't globally routable, or is a service of the net itself (IANA special-purpose
/// registries, RFC 6890 and 8190), and not allowed. An address with an IPv4 address inside is refused unless both are fit.
pub fn may_reach(ip: IpAddr, allow: &Allowed) -> Result<(), Denied> {
    let kind = match ip {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(inner) => return may_reach(IpAddr::V4(inner), allow).map_err(|denied| denied.about(ip)),
            None => special_v6(v6),
        },
    };
    match kind {
        Some(kind) if !allow.contains(ip) => Err(Denied::Address { ip, kind }),
        _ => match embedded_v4(ip) {
            Some(inner) => may_reach(IpAddr::V4(inner), allow).map_err(|denied| denied.about(ip)),
            None => Ok(()),
        },
    }
}

/// Why an address isn't dialled. For our own log: a peer hears the same of all of them (attack 99).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A port of another service.
    #[error("port {0}, want 443, 7678 or 1024 and up")]
    Port(u16),
    /// Not globally routable.
    #[error("address {ip} is {kind}, want a globally routable one")]
    Address {
        /// Which.
        ip: IpAddr,
        /// What it is for.
        kind: &'static str,
    },
}

impl Denied {
    /// The same refusal, about the address that held the refused one.
    const fn about(self, outer: IpAddr) -> Self {
        match self {
            Self::Port(port) => Self::Port(port),
            Self::Address { kind, .. } => Self::Address { ip: outer, kind },
        }
    }
}

/// Nets that the operator allows although they aren't globally routable: a lab, a private network, a NAT64 of their own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Allowed(Vec<Net>);

impl Allowed {
    /// Only what is globally routable.
    pub const NONE: Self = Self(Vec::new());

    /// Allows these nets too, each `address/bits` or one address, as in `127.0.0.0/8`.
    ///
    /// # Errors
    /// [`BadNet`] for the first that is none.
    pub fn parse<'a>(nets: impl IntoIterator<Item = &'a str>) -> Result<Self, BadNet> {
        nets.into_iter().map(Net::parse).collect::<Result<_, _>>().map(Self)
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(ip))
    }
}

/// A text of the configuration that names no net.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no net, want address/bits")]
pub struct BadNet(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    base: IpAddr,
    bits: u32,
}

impl Net {
    fn parse(text: &str) -> Result<Self, BadNet> {
        let bad = || BadNet(text.to_owned());
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(bad)?,
            None => width,
        };
        Ok(Self { base, bits })
    }

    fn contains(self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => in_v4(ip, base, self.bits),
            (IpAddr::V6(base), IpAddr::V6(ip)) => in_v6(ip, base, self.bits),
            _ => false,
        }
    }
}

/// What a `h=` hint names: a host, never an address literal, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    /// The host.
    pub host: Domain,
    /// The port; [`LINK_PORT`] where the hint names none.
    pub port: u16,
}

/// A hint that is none. One word for all of them: a stranger learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no usable hint")]
pub struct BadHint;

impl Hint {
    /// Parses `host` or `host:port`.
    ///
    /// # Errors
    /// [`BadHint`] for address literals, which can't lie within a mail domain, for what is no host name, and for ports
    /// other than 443, [`LINK_PORT`] and 1024 up.
    pub fn parse(text: &str) -> Result<Self, BadHint> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, port.parse().map_err(|_| BadHint)?)
            }
            Some(_) => return Err(BadHint),
            None => (text, LINK_PORT),
        };
        let host = Domain::parse(host).map_err(|_| BadHint)?;
        if is_link_port(port) { Ok(Self { host, port }) } else { Err(BadHint) }
    }

    /// Whether the host is the mail domain or lies under it. A hint outside has no effect: anyone can write one.
    #[must_use]
    pub fn within(&self, mail_domain: &Domain) -> bool {
        let under = self.host.as_str().strip_suffix(mail_domain.as_str());
        under.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

const fn is_link_port(port: u16) -> bool {
    matches!(port, 443 | LINK_PORT | 1024..)
}

/// IANA IPv4 special-purpose registry, and what isn't unicast.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 19] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT relays"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// What inside 2000::/3 isn't globally routable. Outside of it nothing is.
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 7] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, "6bone"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
];

const GLOBAL_V6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const SIX_TO_FOUR: Ipv6Addr = Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0);

fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4.iter().find(|(base, bits, _)| in_v4(ip, *base, *bits)).map(|(_, _, kind)| *kind)
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if !in_v6(ip, GLOBAL_V6, 3) {
        return Some("not global unicast");
    }
    SPECIAL_V6.iter().find(|(base, bits, _)| in_v6(ip, *base, *bits)).map(|(_, _, kind)| *kind)
}

/// The IPv4 address that packets for `ip` end up at, where a translator or tunnel stands between. Only asked once `ip`
/// itself is allowed: an operator's own NAT64 doesn't open the way to their private IPv4 net.
fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let [.., high, low] = ip.segments();
    let [_, b, c, ..] = ip.segments();
    if in_v6(ip, NAT64, 96) || (in_v6(ip, Ipv6Addr::UNSPECIFIED, 96) && u128::from(ip) > 1) {
        Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
    } else if in_v6(ip, SIX_TO_FOUR, 16) {
        Some(Ipv4Addr::from(u32::from(b) << 16 | u32::from(c)))
    } else {
        None
    }
}

fn in_v4(ip: Ipv4Addr, base: Ipv4Addr, bits: u32) -> bool {
    (u32::from(ip) ^ u32::from(base)).leading_zeros() >= bits
}

fn in_v6(ip: Ipv6Addr, base: Ipv6Addr, bits: u32) -> bool {
    (u128::from(ip) ^ u128::from(base)).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), port)
    }

    /// [L-1]
    #[test]
    fn t_097_ports_of_other_services_are_not_dialled() {
        for port in [443, 1024, 7678, 8080, 65535] {
            assert_eq!(may_dial(at("8.8.8.8", port), &Allowed::NONE), Ok(()), "{port}");
        }
        for port in [0, 1, 22, 25, 80, 110, 442, 444, 587, 1023] {
            assert_eq!(may_dial(at("8.8.8.8", port), &Allowed::NONE), Err(Denied::Port(port)));
        }
    }

    #[test]
    fn an_operator_opens_exactly_the_nets_they_name() {
        let lab = Allowed::parse(["127.0.0.0/8", "10.1.2.3", "fd00::/8"]).unwrap();
        for ip in ["127.0.0.1", "127.9.9.9", "10.1.2.3", "fd00::1", "::ffff:127.0.0.1"] {
            assert_eq!(may_reach(ip.parse().unwrap(), &lab), Ok(()), "{ip}");
        }
        for ip in ["10.1.2.4", "::1", "fc00::1", "64:ff9b::7f00:1"] {
            assert!(may_reach(ip.parse().unwrap(), &lab).is_err(), "{ip}");
        }
        for bad in ["", "127.0.0.1/33", "fd00::/129", "localhost", "10.0.0.0/-1", "10.0.0/8", "1.1.1.1/"] {
            assert!(Allowed::parse([bad]).is_err(), "{bad:?} was taken for a net");
        }
    }

    #[test]
    fn an_allowed_nat64_opens_no_way_to_private_addresses() {
        let nat64 = Allowed::parse(["64:ff9b::/96", "2002::/16", "::/96"]).unwrap();
        for ip in ["64:ff9b::8.8.8.8", "2002:808:808::1", "::8.8.8.8"] {
            assert_eq!(may_reach(ip.parse().unwrap(), &nat64), Ok(()), "{ip}");
        }
        for ip in ["64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "2002:a00:1::1", "::127.0.0.1"] {
            assert!(may_reach(ip.parse().unwrap(), &nat64).is_err(), "{ip}");
        }
    }

    /// [O-5]
    #[test]
    fn a_hint_names_a_host_within_the_mail_domain_or_nothing() {
        let b: Domain = "b.example".parse().unwrap();
        for (text, port) in [("b.example", 7678), ("node.B.example:443", 443), ("x.y.b.example:8443", 8443)] {
            let hint = Hint::parse(text).unwrap();
            assert_eq!(hint.port, port);
            assert!(hint.within(&b), "{text}");
        }
        for outside in ["evil-b.example", "b.example.evil.test", "a.example", "example.org"] {
            assert!(!Hint::parse(outside).unwrap().within(&b), "{outside}");
        }
        for bad in [
            "",
            ":7678",
            "b.example:",
            "b.example:+443",
            "b.example:22",
            "b.example:0",
            "b.example:65536",
            "b.example:443:443",
            "127.0.0.1",
            "127.0.0.1:7678",
            "[::1]:7678",
            "::1",
            "2130706433",
            "0x7f000001:7678",
            "localhost:7678",
            "b.example/x",
            "user@b.example",
            "b.example:7678 ",
            "b.example.",
        ] {
            assert_eq!(Hint::parse(bad), Err(BadHint), "{bad:?}");
        }
    }
}
