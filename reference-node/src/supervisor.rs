//! What a service manager and the node tell each other (sd_notify(3), sd_listen_fds(3)); without one, nothing.
//!
//! ```text
//!   LISTEN_FDS, LISTEN_FDNAMES ──▶ listeners, by name: smtp, submission, submissions, link, http, http-public
//!   READY, RELOADING, STOPPING ◀── the node's life
//!   WATCHDOG ◀── only while the owner answers: a node that hangs is started again
//! ```
//!
//! Sockets that are handed over take the place of the configured addresses of their name, so that the node needs no
//! privilege for ports below 1024, and no connection is refused while it restarts.

use std::collections::BTreeMap;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::http::Probe;

/// The names that handed over sockets may have.
const NAMES: [&str; 6] = ["smtp", "submission", "submissions", "link", "http", "http-public"];

/// Listeners that were handed over, by name.
#[derive(Debug, Default)]
pub struct Inherited(BTreeMap<String, Vec<TcpListener>>);

/// Why handed over sockets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritFault {
    /// A name that means nothing here, or none at all.
    #[error("a socket named {0:?} was handed over; set FileDescriptorName= to one of {names}", names = NAMES.join(", "))]
    Name(String),
    /// A descriptor that is no TCP listener.
    #[error("the socket {name} that was handed over can't be used: {why}")]
    Socket {
        /// Which.
        name: String,
        /// What the system says.
        why: std::io::Error,
    },
}

impl Inherited {
    /// Takes what the service manager handed over. Once a process, before threads start.
    ///
    /// # Errors
    /// [`InheritFault`].
    pub fn take() -> Result<Self, InheritFault> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut listeners: BTreeMap<String, Vec<TcpListener>> = BTreeMap::new();
        for at in 0..given.len() {
            let name = names.next().unwrap_or_default().to_owned();
            if !NAMES.contains(&name.as_str()) {
                return Err(InheritFault::Name(name));
            }
            let socket = given.take_tcp_listener(at).and_then(|listener| {
                let listener = listener.ok_or(std::io::ErrorKind::NotFound)?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            let socket = socket.map_err(|why| InheritFault::Socket { name: name.clone(), why })?;
            listeners.entry(name).or_default().push(socket);
        }
        Ok(Self(listeners))
    }

    /// Those of a name; `None` where there are none, and the configuration says where to listen.
    pub fn named(&mut self, name: &str) -> Option<Vec<TcpListener>> {
        self.0.remove(name)
    }
}

/// Tells the service manager, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::warn!(%why, "the service manager was not told");
    }
}

/// The node is up.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The node reads its configuration again.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(why) => tracing::warn!(%why, "the service manager was not told"),
    }
}

/// The node is going down.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says again and again that the node is alive, as long as its owner answers, if the service manager wants to hear it.
pub async fn watchdog(probe: Probe) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(every / 3);
    loop {
        beat.tick().await;
        match probe.alive().await {
            Ok(_) => tell(&[NotifyState::Watchdog]),
            Err(why) => tracing::error!(why, "no sign of life for the service manager"),
        }
    }
}
