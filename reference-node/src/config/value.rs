//! The values that a configuration holds: they can't be invalid once they are made.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use postline_core::id::Domain;
use serde::{Deserialize, Deserializer};

/// A network, as `address/bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    net: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The networks that `loopback` names.
    pub const LOOPBACK: [Self; 2] = [
        Self { net: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 },
        Self { net: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 },
    ];

    /// Whether an address lies in it; an IPv4 address mapped into IPv6 counts as itself.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.net, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                same_bits(u128::from(net.to_bits()), u128::from(address.to_bits()), self.bits, 32)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => same_bits(net.to_bits(), address.to_bits(), self.bits, 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Its first address and how many leading bits count.
    #[must_use]
    pub const fn parts(&self) -> (IpAddr, u8) {
        (self.net, self.bits)
    }
}

fn same_bits(a: u128, b: u128, bits: u8, of: u8) -> bool {
    bits == 0 || (a ^ b) >> (of.saturating_sub(bits)) == 0
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str = "want a network, such as 10.1.0.0/16, or \"loopback\"";
        let (net, bits) = text.split_once('/').ok_or(WANT)?;
        let net: IpAddr = net.parse().map_err(|_| WANT)?;
        let bits: u8 = bits.parse().map_err(|_| WANT)?;
        let (value, of) = match net {
            IpAddr::V4(net) => (u128::from(net.to_bits()), 32_u8),
            IpAddr::V6(net) => (net.to_bits(), 128),
        };
        if bits > of {
            return Err("more bits than the address has");
        }
        let host_bits = of.saturating_sub(bits);
        if host_bits > 0 && value.trailing_zeros() < u32::from(host_bits) && value != 0 {
            return Err("the address has bits outside of the network");
        }
        Ok(Self { net, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.net, self.bits)
    }
}

/// One entry of the list of networks that may be dialled.
pub(super) struct Allowed(pub(super) Vec<Cidr>);

impl FromStr for Allowed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "loopback" { Ok(Self(Cidr::LOOPBACK.to_vec())) } else { Ok(Self(vec![text.parse()?])) }
    }
}

/// A host in a mail domain, and a port where links may be opened: what `h=` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHint {
    /// The host.
    pub host: Domain,
    /// The port: 443, 7678, or from 1024 on.
    pub port: u16,
}

impl LinkHint {
    /// Whether the host lies in a domain, or is it.
    #[must_use]
    pub fn lies_in(&self, domain: &Domain) -> bool {
        let (host, domain) = (self.host.as_str(), domain.as_str());
        host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
    }
}

impl FromStr for LinkHint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or("want host:port")?;
        let host = Domain::parse(host).map_err(|_| "want a host name before the port")?;
        let port = port.parse().map_err(|_| "want a port from 1 to 65535 behind the host")?;
        match port {
            443 | 1024..=u16::MAX => Ok(Self { host, port }),
            _ => Err("want port 443, 7678, or one from 1024 on"),
        }
    }
}

impl fmt::Display for LinkHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A host that the operator named: a name or an address.
pub(super) struct Host(pub(super) String);

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text == "localhost" || text.parse::<IpAddr>().is_ok() || Domain::parse(text).is_ok();
        named.then(|| Self(text.to_owned())).ok_or("want a host name or an address, without port")
    }
}

/// An address to listen on.
pub(super) struct ListenAt(pub(super) SocketAddr);

impl FromStr for ListenAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "want an address with a port, such as 127.0.0.1:2525 or [::]:25")
    }
}

/// A DKIM selector: dot-joined labels (RFC 6376 §3.1).
pub(super) struct Selector(pub(super) String);

impl FromStr for Selector {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Under a domain it must be one.
        let below = Domain::parse(&format!("{text}.example"));
        below.map(|_| Self(text.to_ascii_lowercase())).map_err(|_| "want a selector of letters, digits and hyphens")
    }
}

/// A value that is read from text by its own rules.
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(|why| serde::de::Error::custom(format_args!("{text:?}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_and_nothing_else() {
        let net: Cidr = "10.1.0.0/16".parse().unwrap();
        assert!(net.contains("10.1.255.255".parse().unwrap()));
        assert!(net.contains("::ffff:10.1.2.3".parse().unwrap()), "mapped addresses count as themselves");
        assert!(!net.contains("10.2.0.0".parse().unwrap()));
        assert!(!net.contains("::".parse().unwrap()));
        let all: Cidr = "::/0".parse().unwrap();
        assert!(all.contains("fd00::1".parse().unwrap()) && !all.contains("10.0.0.1".parse().unwrap()));
        let [v4, v6] = Cidr::LOOPBACK;
        assert!(v4.contains("127.9.9.9".parse().unwrap()) && v6.contains("::1".parse().unwrap()));
        assert!(!v6.contains("::2".parse().unwrap()));
    }

    #[test]
    fn networks_that_are_none_are_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.1/8", "x/8", "10.0.0.0/-1"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad:?} was taken for a network");
        }
    }

    #[test]
    fn a_hint_lies_in_its_domain_by_whole_labels() {
        let hint: LinkHint = "mail.a.example:7678".parse().unwrap();
        assert!(hint.lies_in(&Domain::parse("a.example").unwrap()));
        assert!(hint.lies_in(&Domain::parse("mail.a.example").unwrap()));
        assert!(!hint.lies_in(&Domain::parse("l.a.example").unwrap()));
        for bad in ["a.example", "a.example:25", "a.example:0", "127.0.0.1:7678", "a.example:65536"] {
            assert!(bad.parse::<LinkHint>().is_err(), "{bad:?} was taken for a hint");
        }
    }
}
