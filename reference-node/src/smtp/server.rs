//! The SMTP sockets: listens, speaks TLS, spools, and drives one [session](super::session) a connection.
//!
//! ```text
//!   accept ──▶ seat (caps) ──▶ [TLS] ──▶ read ──▶ session ──▶ say / spool / ask the door ──▶ one write ──▶ read …
//!   drain ──▶ no more accepts; idle sessions get 421, mails under way may end
//! ```
//!
//! Protocol rules are the session's; what becomes of a mail is the [door](super::door)'s.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postline_core::id::MailId;
use postline_core::limits;
use postline_core::time::Millis;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::door::{Answer, Arriving, Beside, Door};
use super::lmtp::Each;
use super::session::{Input, Output, Question, Role, Session, Setup, Whole};
use crate::beside::{Listener, Stream};
use crate::census::{Census, Seat};
use crate::spool::Incoming;

/// Where the TLS configuration of the next handshake comes from, so that a reload needs no restart.
pub type TlsSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Which kind of port a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Port 25: every server, STARTTLS.
    Mx,
    /// Port 587: our users, STARTTLS.
    Submission,
    /// Port 465: our users, TLS from the first byte (RFC 8314 §3.3).
    Submissions,
    /// LMTP, from the mail server beside us.
    Lmtp(Beside),
}

impl Port {
    const fn role(self) -> Role {
        match self {
            Self::Mx => Role::Mx,
            Self::Submission | Self::Submissions => Role::Submission,
            Self::Lmtp(Beside::Front) => Role::Front,
            Self::Lmtp(Beside::Relay) => Role::Relay,
        }
    }
}

/// What all listeners share: the door, TLS, the word to go down, and the count of sessions.
pub struct Server<D> {
    door: Arc<D>,
    tls: TlsSource,
    drain: watch::Receiver<bool>,
    census: Arc<Census>,
    random: SystemRandom,
}

impl<D: Door> Server<D> {
    /// A server that goes down when `drain` becomes true, or its sender is gone.
    #[must_use]
    pub fn new(door: Arc<D>, tls: TlsSource, drain: watch::Receiver<bool>) -> Arc<Self> {
        let census = Census::new(limits::SMTP_SESSIONS, limits::SMTP_SESSIONS_PER_IP);
        Arc::new(Self { door, tls, drain, census, random: SystemRandom::new() })
    }

    /// The same for one mail server beside us, which holds all its sessions from one place.
    #[must_use]
    pub fn beside(door: Arc<D>, tls: TlsSource, drain: watch::Receiver<bool>) -> Arc<Self> {
        let census = Census::new(limits::BESIDE_SESSIONS, limits::BESIDE_SESSIONS);
        Arc::new(Self { door, tls, drain, census, random: SystemRandom::new() })
    }

    /// Serves a listener until the node goes down; returns when its last session has ended, or was cut off after
    /// [`SMTP_DRAIN_MS`](limits::SMTP_DRAIN_MS).
    pub async fn serve(self: Arc<Self>, listener: impl Into<Listener>, port: Port) {
        let listener = listener.into();
        let mut sessions = JoinSet::new();
        let mut drain = self.drain.clone();
        loop {
            tokio::select! {
                biased;
                () = drained(&mut drain) => break,
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an SMTP session died");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match Census::seat(&self.census, peer.ip()) {
                        Some(seat) => {
                            sessions.spawn(Arc::clone(&self).converse(stream, peer, port, seat));
                        }
                        None => turn_away(stream, peer, port),
                    },
                    Err(error) => {
                        // Most likely no file handles are left: others must end before this can go on.
                        tracing::warn!(%error, "accept failed");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listener);
        let bound = Duration::from_millis(limits::SMTP_DRAIN_MS);
        if timeout(bound, async { while sessions.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(left = sessions.len(), "SMTP sessions cut off");
            sessions.shutdown().await;
        }
    }

    async fn converse(self: Arc<Self>, stream: Stream, peer: SocketAddr, port: Port, _seat: Seat) {
        match self.talk(stream, peer, port).await {
            Ok(()) => tracing::debug!(%peer, ?port, "SMTP session ended"),
            Err(error) => tracing::debug!(%peer, ?port, %error, "SMTP session broken off"),
        }
    }

    /// One conversation, from the greeting to the end.
    async fn talk(&self, stream: Stream, peer: SocketAddr, port: Port) -> io::Result<()> {
        let mut wire = Wire::Plain(stream);
        if port == Port::Submissions {
            wire = wire.secure((self.tls)()).await?;
        }
        let (host, postmaster) = (self.door.hostname().clone(), self.door.postmaster());
        let setup = Setup { role: port.role(), host, postmaster, peer: peer.ip(), secured: port == Port::Submissions };
        let clock = Clock::start();
        let mut out = Vec::new();
        let mut session = Session::new(clock.now(), setup, &mut out);
        let (mut unsaid, mut spool, mut room) = (Vec::new(), Spooling::Idle, Vec::new());
        let (mut drain, mut draining) = (self.drain.clone(), false);
        loop {
            let mut next = None;
            for output in out.drain(..) {
                match output {
                    Output::Say(lines) => unsaid.extend_from_slice(&lines),
                    Output::Data(bytes) => spool = spool.write(bytes).await,
                    Output::Drop => spool = Spooling::Idle,
                    Output::Ask(question) => next = Some(self.ask(question, peer, port, &mut spool).await),
                    Output::StartTls => {
                        wire.say(&mut unsaid).await?;
                        wire = wire.secure((self.tls)()).await?;
                        next = Some(Input::Secured);
                    }
                    Output::Close => {
                        wire.say(&mut unsaid).await?;
                        return wire.close().await;
                    }
                }
            }
            let input = match next {
                Some(answer) => answer,
                None => {
                    wire.say(&mut unsaid).await?;
                    room.resize(session.appetite(), 0);
                    let due = session.deadline().map_or(Duration::MAX, |due| clock.until(due));
                    tokio::select! {
                        biased;
                        () = drained(&mut drain), if !draining => {
                            draining = true;
                            Input::Drain
                        }
                        () = sleep(due) => Input::Wake,
                        read = wire.read(&mut room) => match read? {
                            0 => return Ok(()),
                            got => Input::Bytes(room.get(..got).unwrap_or_default()),
                        },
                    }
                }
            };
            session.step(clock.now(), input, &mut out).map_err(io::Error::other)?;
        }
    }

    async fn ask(&self, question: Question, peer: SocketAddr, port: Port, spool: &mut Spooling) -> Input<'static> {
        match question {
            Question::Login(said) => Input::Login(self.door.login(&said.user, &said.password, peer.ip()).await),
            Question::Sender(login, address) => Input::Owned(self.door.owns(&login, &address)),
            Question::Rcpt(address) => Input::Resolved(self.door.resolve(&address)),
            Question::Begin => Input::Begun(self.begin(spool)),
            Question::Take(whole) => {
                let rcpts = whole.envelope.to.len();
                let arriving = match staged(*whole, peer, std::mem::take(spool)).await {
                    Ok(arriving) => arriving,
                    Err(answer) if matches!(port, Port::Lmtp(_)) => {
                        return Input::TakenEach(vec![Each::Node(answer); rcpts]);
                    }
                    Err(answer) => return Input::Taken(answer),
                };
                match port {
                    Port::Lmtp(beside) => Input::TakenEach(self.door.take_each(arriving, beside).await),
                    Port::Mx | Port::Submission | Port::Submissions => Input::Taken(self.door.take(arriving).await),
                }
            }
        }
    }

    fn begin(&self, spool: &mut Spooling) -> Result<MailId, Answer> {
        let mut id = [0; 16];
        self.random.fill(&mut id).map_err(|_| Answer::Broken)?;
        *spool = Spooling::Open(Box::new(self.door.begin().map_err(|error| failed(&error))?));
        Ok(MailId(id))
    }
}

/// A mail whose bytes are all here, hashed and, where it is large, synced.
async fn staged(whole: Whole, peer: SocketAddr, spool: Spooling) -> Result<Arriving, Answer> {
    let staged = match spool {
        Spooling::Open(incoming) if incoming.len() <= limits::INLINE_BODY_BYTES => incoming.finish(),
        Spooling::Open(incoming) => in_background(move || incoming.finish()).await,
        Spooling::Failed(answer) => return Err(answer),
        Spooling::Idle => return Err(Answer::Broken),
    };
    let staged = staged.map_err(|error| failed(&error))?;
    let Whole { id, login, envelope, utf8, received } = whole;
    Ok(Arriving { id, login, peer, envelope, utf8, received, staged })
}

/// The mail of a session, on its way to the disk.
#[derive(Default)]
enum Spooling {
    /// None is under way.
    #[default]
    Idle,
    /// One is.
    Open(Box<Incoming>),
    /// One is, but it could not be written. The client is told at its end.
    Failed(Answer),
}

impl Spooling {
    async fn write(self, more: Vec<u8>) -> Self {
        let Self::Open(mut incoming) = self else { return self };
        let written = if incoming.len() + more.len() as u64 <= limits::INLINE_BODY_BYTES {
            incoming.write(&more).map(|()| incoming)
        } else {
            in_background(move || incoming.write(&more).map(|()| incoming)).await
        };
        match written {
            Ok(incoming) => Self::Open(incoming),
            Err(error) => Self::Failed(failed(&error)),
        }
    }
}

/// Runs what may wait for the disk where it holds up no other session.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

/// No space is for the client to wait for; anything else is ours to mend (attack 108).
fn failed(error: &io::Error) -> Answer {
    tracing::error!(%error, "the spool failed");
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    if full.contains(&error.kind()) { Answer::Busy } else { Answer::Broken }
}

/// A connection, before or under TLS.
enum Wire {
    Plain(Stream),
    Secure(Box<TlsStream<Stream>>),
}

impl Wire {
    async fn secure(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let Self::Plain(plain) = self else { return Err(io::Error::other("TLS inside TLS")) };
        let handshake = TlsAcceptor::from(config).accept(plain);
        Ok(Self::Secure(Box::new(timeout(Duration::from_millis(limits::SMTP_TLS_MS), handshake).await??)))
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(room).await,
            Self::Secure(tls) => tls.read(room).await,
        }
    }

    /// Writes what is unsaid, within [`SMTP_WRITE_MS`](limits::SMTP_WRITE_MS).
    async fn say(&mut self, unsaid: &mut Vec<u8>) -> io::Result<()> {
        if unsaid.is_empty() {
            return Ok(());
        }
        let write = async {
            match self {
                Self::Plain(plain) => plain.write_all(unsaid).await,
                Self::Secure(tls) => {
                    tls.write_all(unsaid).await?;
                    tls.flush().await
                }
            }
        };
        timeout(Duration::from_millis(limits::SMTP_WRITE_MS), write).await??;
        unsaid.clear();
        Ok(())
    }

    async fn close(mut self) -> io::Result<()> {
        let shutdown = async {
            match &mut self {
                Self::Plain(plain) => plain.shutdown().await,
                Self::Secure(tls) => tls.shutdown().await,
            }
        };
        timeout(Duration::from_millis(limits::SMTP_WRITE_MS), shutdown).await?
    }
}

/// The wall's time at a connection's start, and steady time from there: a wall clock that jumps ends no session.
struct Clock {
    wall: Millis,
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the node is where the clock is read")]
    fn start() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { wall: Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)), start: Instant::now() }
    }

    fn now(&self) -> Millis {
        self.wall.plus(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn until(&self, due: Millis) -> Duration {
        Duration::from_millis(due.since(self.now()))
    }
}

/// Waits until the node goes down.
pub(crate) async fn drained(drain: &mut watch::Receiver<bool>) {
    // A sender that is gone can't call it off: the node is going down all the same.
    let _gone = drain.wait_for(|down| *down).await.is_err();
}

/// Tells a client that there is no seat, where that costs nothing.
fn turn_away(stream: Stream, peer: SocketAddr, port: Port) {
    tracing::info!(%peer, ?port, "too many SMTP sessions");
    if port != Port::Submissions
        && let Stream::Tcp(tcp) = stream
        && let Ok(tcp) = tcp.into_std()
        && let Err(error) = io::Write::write(&mut &tcp, b"421 4.7.0 Too many sessions\r\n")
    {
        tracing::debug!(%peer, %error, "a client that was turned away left first");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_108_a_full_disk_is_busy_and_any_other_failure_is_ours() {
        assert_eq!(failed(&io::Error::from_raw_os_error(28)), Answer::Busy, "ENOSPC");
        assert_eq!(failed(&io::Error::from_raw_os_error(122)), Answer::Busy, "EDQUOT");
        assert_eq!(failed(&io::Error::from_raw_os_error(5)), Answer::Broken, "EIO");
    }
}
