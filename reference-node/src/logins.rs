//! Logins: whose a name and password are, asked of the node's own users or of Dovecot, and which addresses go with them.
//!
//! ```text
//!   name, password ──▶ pace (sessions) ──▶ users.json | Dovecot ──▶ mailbox ──▶ its addresses
//! ```
//!
//! Submission bounds guesses by the connections that it closes; a device's session is cheaper to open, so that failures
//! are paced here: for a neighbourhood, and for a name from anywhere. Who fails too fast hears "not now", whatever the
//! password (attack 106).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postline_core::id::{Address, Domain, Mailbox};
use postline_core::limits;
use postline_core::store::sha256;
use tokio::time::Instant;

use crate::census::neighbourhood;
use crate::directory::Live;
use crate::dovecot::auth::{Client, Verdict};
use crate::dovecot::who::User;
use crate::smtp::door::Login;

/// Names and neighbourhoods whose failures are remembered, each; beyond it those that rested longest are forgotten.
const REMEMBERED: usize = 4_096;

/// Who knows whose a login is.
#[derive(Debug)]
pub struct Logins {
    domains: Vec<Domain>,
    people: Arc<Live>,
    dovecot: Option<Client>,
    from: Mutex<Failures<IpAddr>>,
    /// By the hash of the name: what is typed there may be anything.
    of: Mutex<Failures<[u8; 32]>>,
}

impl Logins {
    /// Asks Dovecot where there is one, else the users of the node, which serves these domains.
    #[must_use]
    pub fn new(domains: Vec<Domain>, people: Arc<Live>, dovecot: Option<Client>) -> Self {
        let (from, of) = (limits::LOGIN_FAILURES_PER_IP, limits::LOGIN_FAILURES_PER_USER);
        Self { domains, people, dovecot, from: Failures::new(from).into(), of: Failures::new(of).into() }
    }

    /// Whose a login is that came under TLS.
    pub async fn check(&self, user: &str, password: &str, peer: IpAddr) -> Login {
        if let Some(dovecot) = &self.dovecot {
            return match dovecot.check(user, password, peer).await {
                Verdict::Yes(name) => User::parse(&name, &self.domains).map(|user| user.login()).into(),
                Verdict::No => Login::No,
                Verdict::Later => Login::NotNow,
            };
        }
        let (people, user, password) =
            (self.people.current(), user.to_owned(), zeroize::Zeroizing::new(password.to_owned()));
        // Hashing a password is slow on purpose: never on a thread that serves sockets.
        tokio::task::spawn_blocking(move || people.login(&user, &password)).await.ok().flatten().into()
    }

    /// The same, at a pace: for doors that anybody may knock at as often as they like.
    pub async fn check_paced(&self, user: &str, password: &str, peer: IpAddr) -> Login {
        let (ip, name) = (neighbourhood(peer), sha256(&[user.to_ascii_lowercase().as_bytes()]).0);
        let now = Instant::now();
        // Both are asked: what is refused costs nothing.
        if !lock(&self.from).may_try(&ip, now) || !lock(&self.of).may_try(&name, now) {
            tracing::info!(target: "postline", event = "login_refused", %peer, why = "too many failures");
            return Login::NotNow;
        }
        // Paid ahead, so that guesses made at once are counted too, and given back where it was no failure.
        lock(&self.from).pay(ip, now);
        lock(&self.of).pay(name, now);
        let login = self.check(user, password, peer).await;
        if login == Login::No {
            tracing::info!(target: "postline", event = "login_refused", %peer, why = "wrong name or password");
        } else {
            lock(&self.from).give_back(&ip);
            lock(&self.of).give_back(&name);
        }
        login
    }

    /// Whether a login owns an address.
    #[must_use]
    pub fn owns(&self, login: &Mailbox, address: &Address) -> bool {
        let people = self.people.current();
        match &self.dovecot {
            None => people.owns(login, address),
            Some(_) => {
                User::parse(&login.0, &self.domains).is_some_and(|user| user.owns(&people, &self.domains, address))
            }
        }
    }

    /// The addresses that a login owns, without tags: its own in each domain, and its aliases.
    #[must_use]
    pub fn addresses(&self, login: &Mailbox) -> Vec<Address> {
        let people = self.people.current();
        User::parse(&login.0, &self.domains).map_or_else(Vec::new, |user| user.addresses(&people, &self.domains))
    }
}

fn lock<K>(failures: &Mutex<Failures<K>>) -> std::sync::MutexGuard<'_, Failures<K>> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Failures of each, as the time until when they are worked off.
#[derive(Debug)]
struct Failures<K> {
    most: u32,
    until: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Failures<K> {
    const fn new(most: u32) -> Self {
        Self { most, until: BTreeMap::new() }
    }

    const fn window() -> Duration {
        Duration::from_millis(limits::LOGIN_FAILURES_MS)
    }

    fn price(&self) -> Duration {
        Self::window() / self.most
    }

    fn may_try(&self, key: &K, now: Instant) -> bool {
        self.until.get(key).map_or(now, |until| *until.max(&now)) + self.price() <= now + Self::window()
    }

    fn pay(&mut self, key: K, now: Instant) {
        let until = self.until.get(&key).map_or(now, |until| *until.max(&now)) + self.price();
        self.until.insert(key, until);
        if self.until.len() > REMEMBERED {
            self.until.retain(|_, until| *until > now);
        }
        while self.until.len() > REMEMBERED {
            let rested = self.until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            rested.map(|key| self.until.remove(&key));
        }
    }

    fn give_back(&mut self, key: &K) {
        let price = self.price();
        if let Some(until) = self.until.get_mut(key) {
            *until = until.checked_sub(price).unwrap_or(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_106_failures_are_worked_off_at_their_pace() {
        let mut failures = Failures::new(10);
        let start = Instant::now();
        let tried = |failures: &mut Failures<u8>, key, now| {
            let may = failures.may_try(&key, now);
            if may {
                failures.pay(key, now);
            }
            may
        };
        assert_eq!((0..100).filter(|_| tried(&mut failures, 1, start)).count(), 10);
        assert!(tried(&mut failures, 2, start), "another is another");
        let later = start + Failures::<u8>::window() / 10;
        assert!(
            tried(&mut failures, 1, later) && !tried(&mut failures, 1, later),
            "one more, a tenth of the window on"
        );
        failures.give_back(&1);
        assert!(failures.may_try(&1, later), "what was no failure costs nothing");
    }

    #[test]
    fn memory_of_failures_is_bounded() {
        let mut failures = Failures::new(10);
        for n in 0..2 * REMEMBERED {
            failures.pay(n, Instant::now());
        }
        assert_eq!(failures.until.len(), REMEMBERED);
    }
}
