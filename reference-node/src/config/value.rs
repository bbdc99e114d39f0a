//! The values that a configuration holds, read from text by their own rules.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use postline_core::id::Domain;
use postline_core::net::{Allowed, Hint};
use serde::{Deserialize, Deserializer};

/// What `loopback` stands for.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// One entry of the list of nets that may be dialled: the nets that it names, as text that [`Allowed::parse`] takes.
pub(super) struct Nets(pub(super) Vec<String>);

impl FromStr for Nets {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nets = if text == "loopback" { LOOPBACK.to_vec() } else { vec![text] };
        match Allowed::parse(nets.iter().copied()) {
            Ok(_) => Ok(Self(nets.into_iter().map(str::to_owned).collect())),
            Err(_) => Err("want a net, such as 10.1.0.0/16, or \"loopback\""),
        }
    }
}

/// What `h=` names.
pub(super) struct LinkHint(pub(super) Hint);

impl FromStr for LinkHint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Hint::parse(text).map(Self).map_err(|_| "want host:port, a host name and a port of 443, 7678, or from 1024 on")
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

/// A host that the operator named, and a port.
pub(super) struct HostPort(pub(super) String, pub(super) u16);

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str = "want host:port";
        let (host, port) = text.rsplit_once(':').ok_or(WANT)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(WANT)?;
        Host::from_str(host).map(|Host(host)| Self(host, port))
    }
}

/// Where web pages come from (RFC 6454), as browsers say it; or `*`: from anywhere.
pub(super) struct Origin(pub(super) String);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str =
            "want an origin, such as https://chat.a.example, in lower case and with nothing behind it; or *";
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let plain = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']'))
        };
        if text == "*" || host.is_some_and(plain) { Ok(Self(text.to_owned())) } else { Err(WANT) }
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

/// A name server.
pub(super) struct NameServer(pub(super) SocketAddr);

impl FromStr for NameServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        text.parse().or(bare).map(Self).map_err(|_| "want an address, such as 127.0.0.1, [::1]:5353 or 127.0.0.1:5353")
    }
}

/// The stem of the DKIM selectors (RFC 6376 §3.1): one label, short enough for `-ed25519` behind it.
pub(super) struct Selector(pub(super) String);

impl FromStr for Selector {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (1..=50).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('-');
        good.then(|| Self(text.to_owned())).ok_or("want 1 to 50 of a-z 0-9 -, no hyphen in front")
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
