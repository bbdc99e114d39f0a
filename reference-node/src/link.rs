//! The sockets between nodes: accepts, dials, and runs one connection each; what is said on it the owner decides.
//!
//! ```text
//!   accept ─▶ gate ─▶ TLS ─┐                ┌─▶ reader: frames ─▶ bodies staged, mails read ─▶ tell the owner
//!   dial ──▶ TCP ──▶ TLS ──┴─▶ exporter, Up ┤                        (a device's ALPN ─▶ session)
//!                                           └─◀ writer: frames first, bodies in chunks behind ◀─ perform
//! ```
//!
//! Nothing here judges a frame: order, windows and rates are the link machine's. What is enforced here is what must be
//! before the machine sees anything: the time that TLS may take, how many strangers wait, how much one can make us hold,
//! and that an end which doesn't read is closed instead of written to. Spec: [L-2], [L-5], [L-9].

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postline_core::content::mail::MailIn;
use postline_core::id::{BlobRef, LinkId, NodeKey};
use postline_core::limits;
use postline_core::server::{Dial, LinkIn, LinkOut};
use postline_core::wire::frame::{Carry, Frame};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::session::{self, Sessions};
use crate::spool::{Body, Spool, Staged};
use crate::tls::{Asked, asked, link_exporter};

mod connection;
mod gate;
mod host;

use connection::Connection;
pub(crate) use gate::Ticket;
use gate::{Bounds, Gate};
pub use host::NodeHost;

/// What a link needs of the node around it.
pub trait LinkHost: Clone + Send + Sync + 'static {
    /// Tells the owner what happened, with the body that came along; waits while the owner is busy. False where there is
    /// no owner any more.
    fn tell(&self, link: LinkId, what: LinkIn, staged: Option<Staged>) -> impl Future<Output = bool> + Send;

    /// Where bodies are received.
    fn spool(&self) -> Spool;

    /// Reads what a mail says, and looks its recipients up.
    ///
    /// # Errors
    /// The file system's.
    fn mail(&self, from: &From, carry: &Carry, body: Body) -> impl Future<Output = io::Result<MailIn>> + Send;

    /// The bytes of a body that we hold.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where we don't, and the file system's.
    fn body(&self, blob: BlobRef) -> io::Result<Body>;

    /// The bytes of a file that we keep; whoever fetches it checks its hash.
    ///
    /// # Errors
    /// As for [`body`](Self::body).
    fn file(&self, blob: BlobRef) -> io::Result<Body> {
        self.body(blob)
    }
}

/// Who brings a mail over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct From {
    /// The node's key, proven.
    pub nk: NodeKey,
    /// The address at the other end of the connection.
    pub at: SocketAddr,
}

/// Where the TLS configuration of the next handshake comes from, so that a reload needs no restart.
pub type TlsSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// One TCP connect.
    pub connect: Duration,
    /// All tries of a dial together, TLS included.
    pub dial: Duration,
    /// From one try of a dial to the next.
    pub stagger: Duration,
    /// One TLS handshake.
    pub handshake: Duration,
    /// One write, and the end of a connection.
    pub write: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            connect: ms(limits::GREETING_MS / 2),
            dial: ms(limits::DIAL_MS - limits::GREETING_MS),
            stagger: ms(limits::DIAL_STAGGER_MS),
            handshake: ms(limits::GREETING_MS),
            write: ms(limits::LINK_WRITE_MS),
        }
    }
}

/// All connections to other nodes.
pub struct Links<H = NodeHost>(Arc<Shared<H>>);

impl<H> Clone for Links<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// How a connection that waits hears that it must make room.
pub(crate) type Go = Arc<Notify>;

struct Shared<H> {
    host: H,
    /// Where devices go that connect to the same port.
    sessions: Option<Sessions>,
    client: Arc<ClientConfig>,
    timing: Timing,
    gate: Arc<Gate>,
    next: AtomicU64,
    open: Mutex<BTreeMap<LinkId, Open>>,
}

/// A connection, as the owner reaches it.
struct Open {
    queue: mpsc::Sender<Vec<LinkOut>>,
    /// How many things wait in the queue: bounded, whatever batches they are in.
    unwritten: Arc<AtomicUsize>,
    go: Arc<Notify>,
    ready: Arc<AtomicBool>,
    ticket: Option<Ticket>,
}

/// A connection whose TLS is done.
struct Secured {
    stream: TlsStream<TcpStream>,
    exporter: [u8; 32],
    at: SocketAddr,
}

impl<H: LinkHost> Links<H> {
    /// No connections yet. `client` is [`link_client`](crate::tls::link_client)'s.
    #[must_use]
    pub fn new(host: H, client: Arc<ClientConfig>, timing: Timing) -> Self {
        Self::beside(None, host, client, timing)
    }

    /// The same, on ports that devices connect to as well.
    #[must_use]
    pub fn with(sessions: Sessions, host: H, client: Arc<ClientConfig>, timing: Timing) -> Self {
        Self::beside(Some(sessions), host, client, timing)
    }

    fn beside(sessions: Option<Sessions>, host: H, client: Arc<ClientConfig>, timing: Timing) -> Self {
        let (gate, next, open) = (Gate::new(Bounds::LIMITS), AtomicU64::new(1), Mutex::default());
        Self(Arc::new(Shared { host, sessions, client, timing, gate, next, open }))
    }

    /// A place for a connection that comes by another door, and counts as one of this door's; `go` is told when it must
    /// make room for others.
    pub(crate) fn admit(&self, at: SocketAddr, go: Go) -> Option<Ticket> {
        self.0.gate.admit(at.ip(), Instant::now(), go)
    }

    /// Accepts connections until `drain` becomes true, or its sender is gone.
    pub async fn serve(self, listener: TcpListener, tls: TlsSource, mut drain: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = drain.wait_for(|down| *down) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, at)) => self.accepted(tcp, at, tls()),
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Dials a node at these addresses, in turn: the next after a fixed while, whatever became of the one before, so that
    /// nobody can tell from our coming what another host answered ([D-9], attack 99). The first that greets is it. The
    /// addresses were resolved and checked by the caller.
    ///
    /// # Errors
    /// The last address's failure. Where it went well, the owner was told [`LinkIn::Up`].
    pub async fn dial(&self, dial: Dial, targets: &[SocketAddr]) -> io::Result<()> {
        let mut tries = JoinSet::new();
        for (turn, target) in (0..).zip(targets.iter().copied()) {
            let (links, dial) = (self.clone(), dial.clone());
            tries.spawn(async move {
                sleep(links.0.timing.stagger * turn).await;
                links.connect(&dial, target).await
            });
        }
        let first = async {
            let mut last = io::ErrorKind::AddrNotAvailable.into();
            while let Some(tried) = tries.join_next().await {
                match tried.map_err(io::Error::other)? {
                    Ok(secured) => return Ok(secured),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let secured = timeout(self.0.timing.dial, first).await??;
        // The others are dropped with the set.
        drop(tries);
        let go = Arc::new(Notify::new());
        tokio::spawn(self.clone().run(secured, Some(dial), go, None));
        Ok(())
    }

    /// Does these on a connection, in order, their frames in one write. One that is gone already has said so, or will.
    pub fn perform(&self, link: LinkId, batch: Vec<LinkOut>) {
        let mut open = self.0.open();
        let Some(open) = open.get_mut(&link) else { return };
        if batch.iter().any(|what| matches!(what, LinkOut::Send(Frame::Ready(_)))) {
            open.ready.store(true, Ordering::Release);
            open.ticket = None;
        }
        let waiting = open.unwritten.fetch_add(batch.len(), Ordering::Relaxed) + batch.len();
        if waiting > limits::LINK_UNWRITTEN || open.queue.try_send(batch).is_err() {
            tracing::info!(?link, "the other end doesn't read what it is sent: closed");
            open.go.notify_one();
        }
    }

    /// Drops every connection at once.
    pub fn drop_all(&self) {
        std::mem::take(&mut *self.0.open()).values().for_each(|open| open.go.notify_one());
    }

    /// Waits until no connection is left: after the owner has said Bye on all of them.
    pub async fn ended(&self) {
        while !self.0.open().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn accepted(&self, tcp: TcpStream, at: SocketAddr, tls: Arc<ServerConfig>) {
        let go = Arc::new(Notify::new());
        let Some(ticket) = self.0.gate.admit(at.ip(), Instant::now(), Arc::clone(&go)) else {
            tracing::debug!(%at, "too many connections from there");
            return;
        };
        let links = self.clone();
        tokio::spawn(async move {
            let secured = tokio::select! {
                () = go.notified() => return,
                secured = links.secure(tcp, tls) => secured,
            };
            match (secured, &links.0.sessions) {
                (Ok((Asked::Link, stream, exporter)), _) => {
                    let secured = Secured { stream: stream.into(), exporter, at };
                    links.run(secured, None, go, Some(ticket)).await;
                }
                // A task of its own: this one held a handshake, and would be large for as long as the session lasts.
                (Ok((Asked::Session, stream, exporter)), Some(sessions)) => {
                    sessions.begin(session::Tls::new(stream), exporter, at, go, ticket);
                }
                (Ok((Asked::Session, ..)), None) => tracing::debug!(%at, "no sessions here"),
                (Err(error), _) => tracing::debug!(%at, %error, "no link"),
            }
        });
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        tls: Arc<ServerConfig>,
    ) -> io::Result<(Asked, tokio_rustls::server::TlsStream<TcpStream>, [u8; 32])> {
        tcp.set_nodelay(true)?;
        let stream = timeout(self.0.timing.handshake, TlsAcceptor::from(tls).accept(tcp)).await??;
        let (asked, exporter) = asked(stream.get_ref().1).map_err(io::Error::other)?;
        Ok((asked, stream, exporter))
    }

    async fn connect(&self, dial: &Dial, at: SocketAddr) -> io::Result<Secured> {
        let tcp = timeout(self.0.timing.connect, TcpStream::connect(at)).await??;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(dial.theirs.to_string()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.0.client));
        let stream = timeout(self.0.timing.handshake, connector.connect(name, tcp)).await??;
        let exporter = link_exporter(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(Secured { stream: stream.into(), exporter, at })
    }

    /// Runs a connection from Up to Down.
    async fn run(self, secured: Secured, dialled: Option<Dial>, go: Arc<Notify>, ticket: Option<Ticket>) {
        let Secured { stream, exporter, at } = secured;
        let link = LinkId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let (queue, waiting) = mpsc::channel(limits::LINK_UNWRITTEN);
        let (ready, unwritten) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let nk = dialled.as_ref().map(|dial| dial.nk);
        let (go_open, ready_open) = (Arc::clone(&go), Arc::clone(&ready));
        let open = Open { queue, unwritten: Arc::clone(&unwritten), go: go_open, ready: ready_open, ticket };
        self.0.open().insert(link, open);
        let host = self.0.host.clone();
        if host.tell(link, LinkIn::Up { dialled, exporter }, None).await {
            let connection = Connection::new(link, host.clone(), ready, self.0.timing, Arc::clone(&go), at, nk);
            let (reads, writes) = tokio::io::split(stream);
            let ended = tokio::select! {
                () = go.notified() => Ok(()),
                ended = connection.read(reads) => ended,
                ended = connection.write(writes, waiting, &unwritten) => ended,
            };
            match ended {
                Ok(()) => tracing::debug!(?link, %at, "connection ended"),
                Err(error) => tracing::debug!(?link, %at, %error, "connection broken off"),
            }
        }
        self.0.open().remove(&link);
        if !host.tell(link, LinkIn::Down, None).await {
            tracing::debug!(?link, "nobody left to tell");
        }
    }
}

impl<H> Shared<H> {
    fn open(&self) -> MutexGuard<'_, BTreeMap<LinkId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
