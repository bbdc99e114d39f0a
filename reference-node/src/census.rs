//! How many connections a listener has: in all, and from one neighbourhood (attack 91).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Who sits where.
#[derive(Debug)]
pub struct Census {
    in_all: usize,
    each: usize,
    seats: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Census {
    /// So many seats in all, and for one neighbourhood.
    #[must_use]
    pub fn new(in_all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { in_all, each, seats: Mutex::default() })
    }

    /// A seat; `None` where the neighbourhood has its own, or all are taken.
    #[must_use]
    pub fn seat(census: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let ip = neighbourhood(ip);
        let mut seats = census.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let here = seats.get(&ip).copied().unwrap_or_default();
        if here >= census.each || seats.values().sum::<usize>() >= census.in_all {
            return None;
        }
        seats.insert(ip, here + 1);
        Some(Seat { census: Arc::clone(census), ip })
    }
}

/// One connection's place; dropped, it is free again.
#[derive(Debug)]
pub struct Seat {
    census: Arc<Census>,
    ip: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.census.seats.lock().unwrap_or_else(PoisonError::into_inner);
        match seats.get_mut(&self.ip) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                seats.remove(&self.ip);
            }
        }
    }
}

/// One customer's addresses count as one: an IPv4 address, or an IPv6 /64.
#[must_use]
pub fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_091_seats_are_bounded_for_each_address_and_in_all() {
        let census = Census::new(3, 2);
        let seat = |ip: &str| Census::seat(&census, ip.parse().unwrap());
        let first = seat("192.0.2.1").unwrap();
        let second = seat("::ffff:192.0.2.1").unwrap();
        assert!(seat("192.0.2.1").is_none(), "a third seat for one address");
        drop(first);
        let again = seat("192.0.2.1").unwrap();
        let other = seat("2001:db8::1").unwrap();
        assert!(seat("198.51.100.1").is_none(), "a fourth seat of three");
        drop(other);
        let neighbour = seat("2001:db8::2").unwrap();
        assert_eq!(neighbourhood("2001:db8::1".parse().unwrap()), neighbourhood("2001:db8::2".parse().unwrap()));
        drop((second, again, neighbour));
        assert!(census.seats.lock().unwrap().is_empty(), "empty seats are kept");
    }
}
