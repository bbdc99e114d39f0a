//! Who may connect: so many connections wait for Ready in all and from one neighbourhood, and so many begin a minute.
//!
//! ```text
//!   accept ──▶ admit ──▶ ticket ──▶ Ready, or the end: ticket dropped
//!                └─ full: the oldest goes      └─ neighbourhood full, or too fast: this one goes
//! ```
//!
//! Spec: [L-9], attacks 91 and 94.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postline_core::limits;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::census::neighbourhood;

/// Neighbourhoods whose pace is remembered; beyond it those that rested longest are forgotten.
const REMEMBERED: usize = 4_096;

/// The count of connections that proved nothing yet.
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Bounds,
    state: Mutex<State>,
}

/// How many, in all, from one neighbourhood, and per minute from one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) in_all: usize,
    pub(super) each: usize,
    pub(super) per_minute: u32,
}

impl Bounds {
    pub(super) const LIMITS: Self =
        Self { in_all: limits::GREETINGS, each: limits::GREETINGS_PER_IP, per_minute: limits::ACCEPTS_PER_MINUTE };
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    /// Until when each neighbourhood has used up its pace.
    paid_until: BTreeMap<IpAddr, Instant>,
}

/// The place of a connection that waits. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    number: u64,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Mutex::default() })
    }

    /// Lets a connection in, unless its neighbourhood has enough. `go` is told when it must make room for others.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, now: Instant, go: Arc<Notify>) -> Option<Ticket> {
        let ip = neighbourhood(ip);
        let mut state = self.state();
        if state.waiting.values().filter(|(other, _)| *other == ip).count() >= self.bounds.each {
            return None;
        }
        let (minute, price) = (Duration::from_secs(60), Duration::from_secs(60) / self.bounds.per_minute);
        let paid = state.paid_until.get(&ip).map_or(now, |until| *until.max(&now)) + price;
        if paid > now + minute {
            return None;
        }
        state.remember(ip, paid, now);
        if state.waiting.len() >= self.bounds.in_all
            && let Some((_, (_, oldest))) = state.waiting.pop_first()
        {
            oldest.notify_one();
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, (ip, go));
        Some(Ticket { gate: Arc::clone(self), number })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, ip: IpAddr, paid: Instant, now: Instant) {
        self.paid_until.insert(ip, paid);
        if self.paid_until.len() > REMEMBERED {
            self.paid_until.retain(|_, until| *until > now);
        }
        while self.paid_until.len() > REMEMBERED {
            let rested = self.paid_until.iter().min_by_key(|(_, until)| **until).map(|(ip, _)| *ip);
            rested.map(|ip| self.paid_until.remove(&ip));
        }
    }
}

impl Ticket {
    /// Whether the place was given to another meanwhile.
    pub(crate) fn is_void(&self) -> bool {
        !self.gate.state().waiting.contains_key(&self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.state().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn admit(gate: &Arc<Gate>, ip: IpAddr, now: Instant) -> Option<Ticket> {
        gate.admit(ip, now, Arc::new(Notify::new()))
    }

    #[test]
    fn t_091_one_neighbourhood_takes_no_more_than_its_places() {
        let gate = Gate::new(Bounds { in_all: 100, each: 2, per_minute: 1_000 });
        let now = Instant::now();
        let first = admit(&gate, ip(1), now);
        let _second = admit(&gate, ip(1), now);
        assert!(first.is_some() && admit(&gate, ip(1), now).is_none() && admit(&gate, ip(2), now).is_some());
        drop(first);
        assert!(admit(&gate, ip(1), now).is_some());

        let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff:1".parse().unwrap());
        let _two = [admit(&gate, a, now), admit(&gate, b, now)];
        assert!(admit(&gate, "2001:db8::2".parse().unwrap(), now).is_none(), "a /64 is one neighbourhood");
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        let _one = admit(&gate, ip(1), now);
        let _two = admit(&gate, ip(1), now);
        assert!(admit(&gate, mapped, now).is_none(), "IPv4 in IPv6 is IPv4");
    }

    #[tokio::test]
    async fn t_091_when_all_places_are_taken_the_oldest_goes() {
        let gate = Gate::new(Bounds { in_all: 2, each: 2, per_minute: 1_000 });
        let (now, go) = (Instant::now(), Arc::new(Notify::new()));
        let first = gate.admit(ip(1), now, Arc::clone(&go)).unwrap();
        let second = admit(&gate, ip(2), now).unwrap();
        let third = admit(&gate, ip(3), now);
        assert!(third.is_some_and(|third| !third.is_void()) && first.is_void() && !second.is_void());
        tokio::time::timeout(Duration::from_secs(1), go.notified()).await.unwrap();
    }

    #[test]
    fn t_094_a_storm_of_connections_is_taken_at_its_pace() {
        let gate = Gate::new(Bounds { in_all: 1_000, each: 1_000, per_minute: 60 });
        let start = Instant::now();
        let taken = (0..1_000).filter(|_| admit(&gate, ip(1), start).is_some()).count();
        assert_eq!(taken, 60, "a minute's worth at once");
        let later = (0..120_u64).filter(|s| admit(&gate, ip(1), start + Duration::from_secs(*s)).is_some()).count();
        assert!((118..=120).contains(&later), "then one a second: {later}");
    }

    #[test]
    fn memory_of_neighbourhoods_is_bounded() {
        let gate = Gate::new(Bounds { in_all: 1, each: 1, per_minute: 60 });
        let now = Instant::now();
        for n in 0..2 * REMEMBERED as u32 {
            drop(admit(&gate, IpAddr::from(n.to_be_bytes()), now));
        }
        assert!(gate.state().paid_until.len() <= REMEMBERED);
    }
}
