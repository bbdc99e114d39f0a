//! Where a link may be dialled, line by line: `dial_table.txt`.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail loudly")]

use std::net::{IpAddr, SocketAddr};

use postline_core::id::Domain;
use postline_core::net::{Allowed, BadHint, Denied, Hint, may_dial, may_reach};

const TABLE: &str = include_str!("dial_table.txt");

/// Address, port and verdict of each line.
fn lines() -> Vec<(&'static str, u16, &'static str)> {
    let line = |line: &'static str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (ip, port, verdict) = (words.next()?, words.next().unwrap(), words.next().unwrap());
        assert_eq!(words.next(), None, "{line}");
        Some((ip, port.parse().unwrap(), verdict))
    };
    TABLE.lines().filter_map(line).collect()
}

fn verdict(ip: &str, port: u16) -> &'static str {
    let Ok(addr) = ip.parse::<IpAddr>() else { return "none" };
    match may_dial(SocketAddr::new(addr, port), &Allowed::NONE) {
        Ok(()) => "dial",
        Err(Denied::Port(named)) => {
            assert_eq!(named, port, "{ip}");
            "port"
        }
        Err(Denied::Address { ip: named, .. }) => {
            assert_eq!(named, addr, "the refusal names another address");
            "special"
        }
    }
}

/// [L-1]
#[test]
fn t_097_the_dial_table_holds_line_by_line() {
    let lines = lines();
    for verdict in ["dial", "special", "port", "none"] {
        assert!(lines.iter().filter(|line| line.2 == verdict).count() >= 12, "few lines say {verdict}");
    }
    let wrong: Vec<_> = lines.iter().filter(|(ip, port, want)| verdict(ip, *port) != *want).collect();
    assert_eq!(wrong, Vec::<&(&str, u16, &str)>::new());
}

#[test]
fn t_097_an_address_that_is_special_is_so_on_every_port_and_inside_ipv6() {
    for (ip, _, want) in lines() {
        let Ok(IpAddr::V4(v4)) = ip.parse() else { continue };
        let mapped = IpAddr::V6(v4.to_ipv6_mapped());
        assert_eq!(may_reach(mapped, &Allowed::NONE).is_ok(), may_reach(v4.into(), &Allowed::NONE).is_ok(), "{ip}");
        if want == "special" {
            for port in [443, 7678, 1024, 65535] {
                assert_eq!(verdict(ip, port), "special", "{ip}:{port}");
            }
        }
    }
}

#[test]
fn t_097_no_line_of_the_table_is_a_host_name_that_a_hint_may_name() {
    for (text, ..) in lines() {
        assert_eq!(Hint::parse(text), Err(BadHint), "{text}");
        assert!(Domain::parse(text).is_err(), "{text} was taken for a host name");
    }
}
