//! Bodies for names: addresses, domains, hints, and the addresses that may be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use postline_core::id::{Address, Domain};
use postline_core::limits;
use postline_core::net::{Allowed, Hint, may_dial, may_reach};
use postline_core::store::Key;

/// An address that is taken has one spelling, holds nothing that a reader could split, and keeps its bounds.
///
/// # Panics
/// Where a promise is broken.
pub fn address_survives(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(domain) = Domain::parse(text) {
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain), "a normal form that is another");
        assert!(domain.as_str().len() <= limits::DOMAIN_BYTES && domain.as_str().is_ascii());
    }
    if let Ok(address) = Address::parse(text) {
        let shown = address.to_string();
        assert_eq!(Address::parse(&shown).as_ref(), Ok(&address), "{shown} reads as another");
        assert!(address.local().len() <= limits::LOCAL_PART_BYTES);
        let splits = |c: char| c.is_control() || c.is_whitespace() || "<>(),;:\"\\[]".contains(c);
        assert!(!shown.contains(splits), "{shown:?} can be read in two ways");
        assert_eq!(shown.matches('@').count(), 1, "{shown:?} has two domains");
        let pair = postline_core::id::Pair { ours: address.clone(), theirs: address };
        let key = Key::Trust(pair);
        assert_eq!(Key::parse(&key.to_string()), Some(key), "a key that a store can't read back");
    }
    if let Some(key) = Key::parse(text) {
        assert_eq!(Key::parse(&key.to_string()), Some(key), "a key that a store can't read back");
    }
}

/// Whatever is dialled is judged; nets that are allowed never close what was open; disguises of an address are it.
///
/// The first byte says which form the address has, the next two are the port, then come its bytes; what is left is text:
/// a hint, and nets that the operator allows.
///
/// # Panics
/// Where a promise is broken.
pub fn dial_survives(bytes: &[u8]) {
    let Some(([form, high, low], rest)) = bytes.split_first_chunk::<3>() else { return };
    let Some((octets, text)) = rest.split_first_chunk::<16>() else { return };
    let [.., a, b, c, d] = *octets;
    let v4 = Ipv4Addr::new(a, b, c, d);
    let disguises = [
        v4.to_ipv6_mapped(),
        Ipv6Addr::from([0x20, 0x02, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]),
    ];
    let ip = if form & 1 == 0 { IpAddr::V4(v4) } else { IpAddr::V6(Ipv6Addr::from(*octets)) };
    let addr = SocketAddr::new(ip, u16::from_be_bytes([*high, *low]));
    let closed = may_dial(addr, &Allowed::NONE);
    assert!(closed.is_err() || may_reach(ip, &Allowed::NONE).is_ok(), "{addr} may be dialled and not reached");
    if may_reach(IpAddr::V4(v4), &Allowed::NONE).is_err() {
        for disguise in disguises {
            assert!(may_reach(IpAddr::V6(disguise), &Allowed::NONE).is_err(), "{v4} is reached as {disguise}");
        }
    }
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(allowed) = Allowed::parse(text.split_ascii_whitespace()) {
        assert!(closed.is_err() || may_dial(addr, &allowed).is_ok(), "what is allowed closes {addr}");
    }
    if let Ok(hint) = Hint::parse(text) {
        assert_eq!(Hint::parse(&hint.to_string()), Ok(hint.clone()), "a hint that reads as another");
        assert!(hint.within(&hint.host), "a host that lies outside of itself");
    }
}
