//! The sockets of devices: one small task a session, over TLS on the link port or over a WebSocket. What is said on it the
//! owner decides.
//!
//! ```text
//!   link port ─ gate ─ TLS, ALPN postline-session/1 ──┐            ┌─▶ frames, logins' answers ─▶ tell the owner
//!   a device that we run: within this process ────────┤            │
//!   http.public ─ GET /postline, Upgrade: websocket ──┴─▶ carrier ─┤
//!                                                                  └─◀ bytes that wait, bounded ◀─ perform
//! ```
//!
//! An idle session holds its TLS state and a few hundred bytes: no buffer waits for bytes that may come, and a frame for
//! it is made into bytes at once, in one queue. A device that doesn't read is closed where that queue is full, or doesn't
//! move for [`LINK_WRITE_MS`](limits::LINK_WRITE_MS); its feeds go on from its cursors when it comes back.
//!
//! While the owner is busy a session isn't read, and the device waits. Order, proof, rates and what a device may ask are
//! the session machine's. Spec: `spec/10-sessions.md`.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use postline_codec::stream::{FrameReader, encode};
use postline_core::id::{DeviceKey, SessionId};
use postline_core::limits;
use postline_core::server::{Input, LoginOk, SessionIn, SessionOut};
use postline_core::wire::file::{BytesOut, File};
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Password;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use crate::files::{self, Coming, Going};
use crate::hands::Bodies;
use crate::link::{Go, Ticket};
use crate::logins::Logins;
use crate::owner::{Inbox, Message};
use crate::smtp::door::Login as Checked;
use crate::spool::{Spool, Staged};

mod carrier;
mod web;

pub(crate) use carrier::Tls;
use carrier::{Carrier, Memory};
pub use web::{Browsers, PATH, Refusal};

/// All sessions.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

struct Shared {
    inbox: Inbox,
    logins: Arc<Logins>,
    next: AtomicU64,
    open: Mutex<BTreeMap<SessionId, Arc<Open>>>,
    /// Where files are, that devices leave and fetch.
    files: Option<(Spool, Bodies)>,
}

/// A session, as the owner reaches it.
struct Open {
    state: Mutex<State>,
    /// Whether our Ready went: from then on the other end is a device of ours.
    ready: AtomicBool,
    /// There is something to do.
    news: Arc<Notify>,
    /// Of a device that this node runs, on a connection that it has made itself: whose it is. It needs no password.
    ours: Option<LoginOk>,
}

#[derive(Default)]
struct State {
    /// Frames that wait to be written, as bytes.
    bytes: Vec<u8>,
    /// A login that is to be checked.
    login: Option<Login>,
    /// What is to be done about files, and whose device it is.
    files: Vec<(DeviceKey, BytesOut)>,
    /// What was said is the last.
    closes: bool,
    /// Nothing more is read or written.
    gone: bool,
    ticket: Option<Ticket>,
}

/// A mailbox login that a device brings.
struct Login {
    user: String,
    password: Password,
}

impl Sessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(inbox: Inbox, logins: Arc<Logins>) -> Self {
        Self(Arc::new(Shared { inbox, logins, next: AtomicU64::new(1), open: Mutex::default(), files: None }))
    }

    /// No sessions yet, of a node that keeps files.
    #[must_use]
    pub fn keeping(inbox: Inbox, logins: Arc<Logins>, spool: Spool, bodies: Bodies) -> Self {
        let (next, open, files) = (AtomicU64::new(1), Mutex::default(), Some((spool, bodies)));
        Self(Arc::new(Shared { inbox, logins, next, open, files }))
    }

    /// Does these on a session, in order, their frames in one write. One that is gone already has said so, or will.
    pub fn perform(&self, session: SessionId, batch: Vec<SessionOut>) {
        let Some(open) = self.0.open().get(&session).cloned() else { return };
        let mut state = open.state();
        for what in batch {
            match what {
                SessionOut::Send(frame) => {
                    if matches!(frame, Frame::Ready(_)) {
                        open.ready.store(true, Ordering::Release);
                        state.ticket = None;
                    }
                    if let Err(fault) = encode(&frame, None, &mut state.bytes) {
                        tracing::error!(?session, %fault, "a frame that can't be said");
                        state.gone = true;
                    }
                }
                SessionOut::CheckLogin { user, password } => state.login = Some(Login { user, password }),
                SessionOut::Bytes(dk, bytes) => state.files.push((dk, bytes)),
                SessionOut::Close => state.closes = true,
            }
        }
        if state.bytes.len() > limits::SESSION_UNWRITTEN_BYTES {
            tracing::info!(?session, "the device doesn't read what it is sent: closed");
            state.gone = true;
        }
        drop(state);
        open.news.notify_one();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.open().len()
    }

    /// Drops every session at once.
    pub fn drop_all(&self) {
        for open in std::mem::take(&mut *self.0.open()).into_values() {
            open.state().gone = true;
            open.news.notify_one();
        }
    }

    /// Waits until none is left: after the owner has said Bye on all of them.
    pub async fn ended(&self) {
        while !self.0.open().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs a session whose connection stands, as a task of its own. `go` is told when it must make room for others.
    pub(crate) fn begin(&self, carrier: impl Carrier, channel: [u8; 32], at: SocketAddr, go: Go, ticket: Ticket) {
        let state = Mutex::new(State { ticket: Some(ticket), ..State::default() });
        let open = Open { state, ready: AtomicBool::new(false), news: go, ours: None };
        self.open(carrier, channel, at, open);
    }

    /// Runs the session of a device that this node runs itself, within this process: a login's word is taken for it.
    pub(crate) fn begin_own(&self, stream: tokio::io::DuplexStream, channel: [u8; 32], login: LoginOk) {
        let (state, ready) = (Mutex::default(), AtomicBool::new(false));
        let open = Open { state, ready, news: Arc::default(), ours: Some(login) };
        self.open(Memory::new(stream), channel, (std::net::Ipv4Addr::LOCALHOST, 0).into(), open);
    }

    fn open(&self, carrier: impl Carrier, channel: [u8; 32], at: SocketAddr, open: Open) {
        let session = SessionId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let open = Arc::new(open);
        {
            let mut all = self.0.open();
            if all.len() >= limits::SESSIONS {
                tracing::warn!(%at, "too many sessions");
                return;
            }
            all.insert(session, Arc::clone(&open));
        }
        // Boxed where it is made: what a task was made of isn't kept beside it.
        tokio::spawn(run(self.clone(), session, open, carrier, channel, at));
    }

    async fn tell(&self, session: SessionId, what: SessionIn) -> bool {
        self.tell_with(session, what, None).await
    }

    async fn tell_with(&self, session: SessionId, what: SessionIn, staged: Option<Staged>) -> bool {
        self.0.inbox.send(Message::Input(Box::new(Input::Session(session, what)), staged)).await.is_ok()
    }

    /// Does something about a file, on a session of this device.
    fn file(
        &self,
        session: SessionId,
        dk: DeviceKey,
        what: BytesOut,
        news: &Go,
        moving: &mut Moving,
    ) -> io::Result<()> {
        let Some((spool, bodies)) = &self.0.files else { return Ok(()) };
        match what {
            BytesOut::Take(file) => {
                let (sessions, coming) = (self.clone(), moving.coming.get_or_insert_default().clone());
                let spool = spool.of_files(&dk.to_string());
                tokio::spawn(async move {
                    let (bytes, staged) = coming.take(&spool, file).await;
                    sessions.tell_with(session, SessionIn::Bytes(bytes), staged).await
                });
            }
            BytesOut::Leave(file) => {
                moving.going.leave(file.sha256);
                // What came of it stays.
                drop(moving.coming.as_ref().and_then(|coming| coming.leave(file.sha256)));
            }
            BytesOut::Forget(file) => {
                moving.going.leave(file.sha256);
                let spool = spool.of_files(&dk.to_string());
                match &moving.coming {
                    Some(coming) => coming.forget(&spool, file),
                    None => spool.forget(file),
                }
            }
            BytesOut::Send(file, from) => match bodies.file(file) {
                Ok(body) => moving.going.send(file, body, from),
                Err(error) => {
                    let (sessions, failed) = (self.clone(), files::unsent(file, &error));
                    tokio::spawn(async move { sessions.tell(session, SessionIn::Bytes(failed)).await });
                }
            },
            BytesOut::Pass(file, from, giver) => {
                moving.going.pass(file, spool.of_files(&giver.to_string()).upcoming(file, news), from);
            }
            BytesOut::Rest(file) => match bodies.file(file) {
                Ok(body) => moving.going.rest(file, body),
                // What came of it can be read as before.
                Err(error) => tracing::warn!(%error, hash = %file.sha256, "a file that came can't be opened"),
            },
        }
        Ok(())
    }
}

/// The files that come and go on a session: mostly none.
#[derive(Default)]
struct Moving {
    coming: Option<Coming>,
    going: Going,
}

/// Runs a session from Up to Down.
async fn run<C: Carrier>(
    sessions: Sessions,
    session: SessionId,
    open: Arc<Open>,
    mut carrier: C,
    channel: [u8; 32],
    at: SocketAddr,
) {
    if sessions.tell(session, SessionIn::Up { channel }).await {
        match converse(&sessions, session, &open, &mut carrier, at).await {
            Ok(()) => tracing::debug!(?session, %at, "session ended"),
            Err(error) => tracing::debug!(?session, %at, %error, "session broken off"),
        }
    }
    sessions.0.open().remove(&session);
    if !sessions.tell(session, SessionIn::Down).await {
        tracing::debug!(?session, "nobody left to tell");
    }
}

async fn converse<C: Carrier>(
    sessions: &Sessions,
    session: SessionId,
    open: &Open,
    carrier: &mut C,
    at: SocketAddr,
) -> io::Result<()> {
    let (mut frames, mut proven, mut writing) = (FrameReader::new(), false, Writing::default());
    let (mut moving, mut reads_first) = (Moving::default(), false);
    loop {
        reads_first = !reads_first;
        let happened = tokio::select! {
            () = open.news.notified() => Happened::News,
            moved = poll_fn(|cx| move_on(carrier, &mut frames, &mut writing, reads_first, cx)) => moved?,
        };
        match happened {
            Happened::Ended => return Ok(()),
            Happened::Wrote if writing.last => return Ok(()),
            Happened::Wrote | Happened::News => {
                let (login, files) = {
                    let mut state = open.state();
                    // A connection that is told to make room has a ticket still.
                    if state.gone || state.ticket.as_ref().is_some_and(Ticket::is_void) {
                        return Ok(());
                    }
                    writing.take_more(&mut state);
                    (state.login.take(), std::mem::take(&mut state.files))
                };
                for (dk, what) in files {
                    sessions.file(session, dk, what, &open.news, &mut moving)?;
                }
                // Behind all frames, a piece of a file at a time.
                if !writing.is_under_way() && !moving.going.is_empty() {
                    let mut bytes = Vec::new();
                    let sent = moving.going.next(&mut bytes);
                    writing = Writing { bytes, ..Writing::default() };
                    if let Some(sent) = sent {
                        sessions.tell(session, SessionIn::Bytes(sent)).await;
                    }
                }
                if let Some(Login { user, password }) = login {
                    let known = match &open.ours {
                        Some(own) => Some(own.clone()),
                        // Boxed, since few sessions are doing this.
                        None => match Box::pin(sessions.0.logins.check_paced(&user, &password.0, at.ip())).await {
                            Checked::Of(mailbox) => {
                                Some(LoginOk { addresses: sessions.0.logins.addresses(&mailbox), mailbox })
                            }
                            Checked::No => None,
                            // The device comes again.
                            Checked::NotNow => return Ok(()),
                        },
                    };
                    if !sessions.tell(session, SessionIn::Login(known)).await {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
            }
            Happened::Read => {
                if !proven && open.ready.load(Ordering::Acquire) {
                    proven = true;
                    frames.proven();
                    carrier.proven();
                }
                if !take(sessions, session, &mut frames, moving.coming.as_ref()).await? {
                    // The machine's Bye goes out, and ends the connection; nothing more is read.
                    return last_words(open, carrier, &mut writing).await;
                }
            }
        }
        frames.rest();
    }
}

/// Tells the owner all that has come whole; false where it was no frame.
async fn take(
    sessions: &Sessions,
    session: SessionId,
    frames: &mut FrameReader,
    coming: Option<&Coming>,
) -> io::Result<bool> {
    loop {
        let mut whole = None;
        let (what, goes_on) = match frames.next() {
            Ok(None) => return Ok(true),
            Ok(Some(incoming)) => {
                if let (Frame::File(File::Piece { hash, offset, .. }), Some(bytes)) = (&incoming.frame, &incoming.bytes)
                    && let Some(coming) = coming
                {
                    whole = coming.piece(*hash, *offset, bytes)?;
                }
                (SessionIn::Frame(incoming.frame), true)
            }
            Err(fault) => (SessionIn::Garbage(fault), false),
        };
        if !sessions.tell(session, what).await {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some((file, partial)) = whole {
            let sessions = sessions.clone();
            tokio::spawn(async move {
                let (bytes, staged) = files::finish(file, partial).await;
                sessions.tell_with(session, SessionIn::Bytes(bytes), staged).await
            });
        }
        if !goes_on {
            return Ok(false);
        }
    }
}

/// Writes until the machine closes, for as long as a write may take.
async fn last_words<C: Carrier>(open: &Open, carrier: &mut C, writing: &mut Writing) -> io::Result<()> {
    let bound = Duration::from_millis(limits::LINK_WRITE_MS);
    tokio::time::timeout(bound, async {
        loop {
            poll_fn(|cx| writing.poll(carrier, cx)).await?;
            if writing.last {
                return Ok(());
            }
            open.news.notified().await;
            let mut state = open.state();
            if state.gone {
                return Ok(());
            }
            writing.take_more(&mut state);
        }
    })
    .await?
}

/// What moved a session on.
enum Happened {
    /// Bytes came.
    Read,
    /// All that was to be written is.
    Wrote,
    /// The owner wants something.
    News,
    /// The device closed.
    Ended,
}

/// Writes what is to be written, and reads meanwhile: two ends that only write would wait for each other for ever.
fn move_on<C: Carrier>(
    carrier: &mut C,
    frames: &mut FrameReader,
    writing: &mut Writing,
    reads_first: bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Happened>> {
    // In turn: where there is always something more to write, of a file, nothing would ever be read.
    if reads_first && let Poll::Ready(read) = carrier.poll_read(frames, cx) {
        return Poll::Ready(read.map(|open| if open { Happened::Read } else { Happened::Ended }));
    }
    if writing.is_under_way() && writing.poll(carrier, cx)?.is_ready() {
        return Poll::Ready(Ok(Happened::Wrote));
    }
    carrier.poll_read(frames, cx).map_ok(|open| if open { Happened::Read } else { Happened::Ended })
}

/// Bytes that are being written, and until when they must be.
#[derive(Default)]
struct Writing {
    bytes: Vec<u8>,
    at: usize,
    flushed: bool,
    last: bool,
    closed: bool,
    until: Option<Pin<Box<Sleep>>>,
}

impl Writing {
    const fn is_under_way(&self) -> bool {
        !self.flushed && (self.last || !self.bytes.is_empty())
    }

    /// Takes what waits, where all before it is written.
    fn take_more(&mut self, state: &mut State) {
        if self.is_under_way() || (state.bytes.is_empty() && !state.closes) {
            return;
        }
        *self = Self { bytes: std::mem::take(&mut state.bytes), last: state.closes, ..Self::default() };
    }

    fn poll<C: Carrier>(&mut self, carrier: &mut C, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_under_way() {
            return Poll::Ready(Ok(()));
        }
        let done = self.write(carrier, cx);
        if done.is_ready() {
            self.until = None;
            return done;
        }
        let bound = Instant::now() + Duration::from_millis(limits::LINK_WRITE_MS);
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(bound)));
        until.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn write<C: Carrier>(&mut self, carrier: &mut C, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.at < self.bytes.len() {
            self.at += ready!(carrier.poll_write(self.bytes.get(self.at..).unwrap_or_default(), cx))?;
        }
        if self.last && !self.closed {
            ready!(carrier.poll_close(cx))?;
            self.closed = true;
        }
        ready!(carrier.poll_flush(cx))?;
        (self.flushed, self.bytes, self.at) = (true, Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
