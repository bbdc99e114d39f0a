//! One connection, TLS done: bytes to frames and bodies, and back.
//!
//! The reader stages what comes before it tells the owner, so that a body is on the disk when the machine hears of it;
//! while the owner is busy it waits, and the other end with it. The writer takes all frames that wait into one write,
//! and a piece of one body behind them, each body in its turn.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use postline_codec::stream::{FrameReader, Incoming, encode};
use postline_core::id::{BlobRef, Hash, LinkId, NodeKey};
use postline_core::limits::{self, CARRY_INLINE_BYTES, CHUNK_BYTES, FRAME_BYTES};
use postline_core::server::{LinkIn, LinkOut};
use postline_core::wire::file::{BytesOut, File};
use postline_core::wire::frame::{Carry, Frame};
use postline_core::wire::hello::Hello;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{From, LinkHost, Timing};
use crate::files::{self, Coming, Going};
use crate::spool::{Partial, Staged, StagedBytes};

/// How much is read at once from a stranger, and from a node.
const STRANGER_READ_BYTES: usize = 512;
const READ_BYTES: usize = 8 * 1024;

/// How long, and how often, a body that an older connection is just letting go is waited for.
const BUSY_TRIES: u32 = 40;
const BUSY_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Connection<H> {
    link: LinkId,
    host: H,
    /// Whether our Ready went: from then on the other end is a node that we talk to.
    ready: Arc<AtomicBool>,
    timing: Timing,
    go: Arc<Notify>,
    at: SocketAddr,
    /// The other end's key, as dialled or as its Hello says; proven once `ready`.
    nk: OnceLock<NodeKey>,
    bodies: Mutex<Bodies>,
    /// Files that come over it.
    coming: Coming,
    /// There is more of a file that is passed on here.
    news: Arc<Notify>,
}

/// Bodies that come in pieces.
#[derive(Default)]
struct Bodies {
    fetches: BTreeMap<Hash, (BlobRef, Partial)>,
    /// The Carry frames that announced them, until they are answered.
    announced: BTreeMap<u64, Carry>,
}

impl<H: LinkHost> Connection<H> {
    pub(super) fn new(
        link: LinkId,
        host: H,
        ready: Arc<AtomicBool>,
        timing: Timing,
        go: Arc<Notify>,
        at: SocketAddr,
        dialled: Option<NodeKey>,
    ) -> Arc<Self> {
        let nk = dialled.map_or_else(OnceLock::new, OnceLock::from);
        let (bodies, coming, news) = (Mutex::default(), Coming::default(), Arc::default());
        Arc::new(Self { link, host, ready, timing, go, at, nk, bodies, coming, news })
    }

    /// Reads until the other end closes, or says something that is no frame.
    pub(super) async fn read(self: &Arc<Self>, mut socket: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut frames = FrameReader::new();
        let mut buffer = vec![0; STRANGER_READ_BYTES];
        let mut is_node = false;
        loop {
            let room = frames.room().min(buffer.len());
            let got = socket.read(buffer.get_mut(..room).unwrap_or_default()).await?;
            if got == 0 {
                return Ok(());
            }
            frames.push(buffer.get(..got).unwrap_or_default());
            if !is_node && self.ready.load(Ordering::Acquire) {
                is_node = true;
                frames.proven();
                buffer.resize(READ_BYTES, 0);
            }
            loop {
                match frames.next() {
                    Ok(None) => break,
                    Ok(Some(incoming)) => self.take(incoming, is_node).await?,
                    Err(fault) => {
                        self.tell(LinkIn::Garbage(fault), None).await?;
                        // The machine's Bye goes out, and ends the connection.
                        sleep(self.timing.write).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn take(self: &Arc<Self>, incoming: Incoming, is_node: bool) -> io::Result<()> {
        match (incoming.frame, incoming.bytes) {
            (Frame::Carry(carry), Some(bytes)) if is_node => {
                let staged = Staged { blob: carry.body, bytes: StagedBytes::Row(bytes.into()) };
                let mail = self.host.mail(&self.from()?, &carry, staged.body()?).await?;
                self.tell(LinkIn::Carry(carry, Some(Box::new(mail))), Some(staged)).await
            }
            (Frame::Carry(carry), None) if is_node => {
                self.announce(&carry);
                self.tell(LinkIn::Carry(carry, None), None).await
            }
            (Frame::Chunk { blob, offset, len }, Some(bytes)) if is_node => {
                let whole = self.piece(blob, offset, &bytes)?;
                self.tell(LinkIn::Frame(Frame::Chunk { blob, offset, len }), None).await?;
                if let Some((blob, partial)) = whole {
                    tokio::spawn(Arc::clone(self).finish(blob, partial));
                }
                Ok(())
            }
            (Frame::File(File::Piece { hash, offset, len }), Some(bytes)) if is_node => {
                let whole = self.coming.piece(hash, offset, &bytes)?;
                self.tell(LinkIn::Frame(Frame::File(File::Piece { hash, offset, len })), None).await?;
                if let Some((file, partial)) = whole {
                    tokio::spawn(Arc::clone(self).came(async move { files::finish(file, partial).await }));
                }
                Ok(())
            }
            (frame, _) => {
                if let Frame::Hello(bytes) = &frame
                    && let Ok(hello) = Hello::parse(bytes)
                {
                    // A dialled key stays; the machine sees to it that it is the same.
                    self.nk.get_or_init(|| hello.nk);
                }
                self.tell(LinkIn::Frame(frame), None).await
            }
        }
    }

    fn announce(&self, carry: &Carry) {
        let mut bodies = self.bodies();
        bodies.announced.insert(carry.seq, carry.clone());
        // More are never open at a time; the machine is about to say so.
        if bodies.announced.len() > limits::WINDOW_ITEMS {
            bodies.announced.pop_first();
        }
    }

    /// Puts a piece behind those that are here. Gives the body where that was the last one.
    fn piece(&self, blob: Hash, offset: u64, bytes: &[u8]) -> io::Result<Option<(BlobRef, Partial)>> {
        let mut bodies = self.bodies();
        let Some((whole, partial)) = bodies.fetches.get_mut(&blob) else { return Ok(None) };
        match partial.write_at_end(offset, bytes) {
            // Out of order: the machine judges it by the frame.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            written => written?,
        }
        if partial.have() < whole.len {
            return Ok(None);
        }
        Ok(bodies.fetches.remove(&blob))
    }

    /// Writes until the machine closes. What comes in one batch goes in one write, as far as it fits. `unwritten` counts
    /// what waits in the queue.
    pub(super) async fn write(
        self: &Arc<Self>,
        mut socket: impl AsyncWrite + Unpin,
        mut queue: mpsc::Receiver<Vec<LinkOut>>,
        unwritten: &AtomicUsize,
    ) -> io::Result<()> {
        let (mut bytes, mut bodies, mut closes) = (Vec::new(), VecDeque::new(), false);
        let (mut waiting, mut going, mut idle) = (VecDeque::new(), Going::default(), true);
        while !closes {
            if idle && waiting.is_empty() && bodies.is_empty() {
                tokio::select! {
                    batch = queue.recv() => match batch {
                        Some(batch) => waiting.extend(batch),
                        None => return Ok(()),
                    },
                    // More is here of a file that is passed on.
                    () = self.news.notified() => {}
                }
            }
            while !closes && bytes.len() < FRAME_BYTES {
                if waiting.is_empty() {
                    waiting.extend(queue.try_recv().unwrap_or_default());
                }
                let Some(what) = waiting.pop_front() else { break };
                unwritten.fetch_sub(1, Ordering::Relaxed);
                closes = self.perform(what, &mut bytes, &mut bodies, &mut going)?;
            }
            if !closes && let Some((blob, offset)) = bodies.pop_front() {
                let sent = self.put_piece(blob, offset, &mut bytes)?;
                if offset + sent < blob.len {
                    bodies.push_back((blob, offset + sent));
                }
            }
            let sent = if closes { None } else { going.next(&mut bytes) };
            idle = bytes.is_empty() && sent.is_none();
            if let Some(sent) = sent {
                self.tell(LinkIn::Bytes(sent), None).await?;
            }
            if bytes.is_empty() {
                continue;
            }
            let write = async {
                socket.write_all(&bytes).await?;
                socket.flush().await
            };
            timeout(self.timing.write, write).await??;
            bytes.clear();
            bytes.shrink_to(READ_BYTES);
        }
        timeout(self.timing.write, socket.shutdown()).await?
    }

    /// Does one thing; true where it is the end.
    fn perform(
        self: &Arc<Self>,
        what: LinkOut,
        bytes: &mut Vec<u8>,
        bodies: &mut VecDeque<(BlobRef, u64)>,
        going: &mut Going,
    ) -> io::Result<bool> {
        match what {
            LinkOut::Send(Frame::Carry(carry)) if carry.body.len <= CARRY_INLINE_BYTES => {
                let body = self.host.body(carry.body)?.to_bytes()?;
                encode(&Frame::Carry(carry), Some(&body), bytes).map_err(io::Error::other)?;
            }
            LinkOut::Send(frame) => {
                if let Frame::Ack { seq } | Frame::Refuse { seq, .. } = &frame {
                    self.bodies().announced.remove(seq);
                }
                encode(&frame, None, bytes).map_err(io::Error::other)?;
            }
            LinkOut::Chunks { blob, offset } => bodies.push_back((blob, offset)),
            LinkOut::Fetch { blob } => {
                tokio::spawn(Arc::clone(self).fetch(blob));
            }
            LinkOut::Unfetch { blob } => {
                if let Some((_, partial)) = self.bodies().fetches.remove(&blob.sha256) {
                    partial.discard();
                }
            }
            LinkOut::Bytes(BytesOut::Take(file)) => {
                let spool = self.host.spool().of_files(&self.from()?.nk.to_string());
                let coming = self.coming.clone();
                tokio::spawn(Arc::clone(self).came(async move { coming.take(&spool, file).await }));
            }
            LinkOut::Bytes(BytesOut::Leave(file)) => {
                going.leave(file.sha256);
                // What came of it stays.
                drop(self.coming.leave(file.sha256));
            }
            LinkOut::Bytes(BytesOut::Forget(file)) => {
                going.leave(file.sha256);
                self.coming.forget(&self.host.spool().of_files(&self.from()?.nk.to_string()), file);
            }
            LinkOut::Bytes(BytesOut::Send(file, from)) => match self.host.file(file) {
                Ok(body) => going.send(file, body, from),
                Err(error) => {
                    let failed = files::unsent(file, &error);
                    tokio::spawn(Arc::clone(self).came(async move { (failed, None) }));
                }
            },
            LinkOut::Bytes(BytesOut::Pass(file, from, giver)) => {
                let spool = self.host.spool().of_files(&giver.to_string());
                going.pass(file, spool.upcoming(file, &self.news), from);
            }
            LinkOut::Bytes(BytesOut::Rest(file)) => match self.host.file(file) {
                Ok(body) => going.rest(file, body),
                // What came of it can be read as before.
                Err(error) => tracing::warn!(%error, hash = %file.sha256, "a file that came can't be opened"),
            },
            LinkOut::Close => return Ok(true),
        }
        Ok(false)
    }

    /// Appends the next piece of a body, and says how long it is.
    fn put_piece(&self, blob: BlobRef, offset: u64, bytes: &mut Vec<u8>) -> io::Result<u64> {
        let mut piece = vec![0; CHUNK_BYTES];
        let got = self.host.body(blob)?.read_at(offset, &mut piece)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(got);
        let frame = Frame::Chunk { blob: blob.sha256, offset, len: got as u32 };
        encode(&frame, Some(&piece), bytes).map_err(io::Error::other)?;
        Ok(got as u64)
    }

    /// Makes room for a body, and says how much of it is here.
    async fn fetch(self: Arc<Self>, blob: BlobRef) {
        let opened = match self.open(blob).await {
            Ok(partial) => partial,
            Err(error) => return self.break_off("a body can't be received", &error),
        };
        let have = opened.have();
        let told = if have == blob.len {
            return self.finish(blob, opened).await;
        } else {
            self.bodies().fetches.insert(blob.sha256, (blob, opened));
            self.tell(LinkIn::Have { blob: blob.sha256, bytes: have }, None).await
        };
        if let Err(error) = told {
            self.break_off("no owner", &error);
        }
    }

    async fn open(&self, blob: BlobRef) -> io::Result<Partial> {
        if let Some((_, partial)) = self.bodies().fetches.remove(&blob.sha256) {
            return Ok(partial);
        }
        let spool = self.host.spool().of_peer(self.from()?.nk);
        let mut tries = 0;
        loop {
            let spool = spool.clone();
            match spawn_blocking(move || Partial::open(&spool, blob)).await? {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    sleep(BUSY_WAIT).await;
                }
                opened => return opened,
            }
        }
    }

    /// A body is whole: it is checked, read, and told.
    async fn finish(self: Arc<Self>, blob: BlobRef, partial: Partial) {
        if let Err(error) = self.finished(blob, partial).await {
            self.break_off("a body can't be kept", &error);
        }
    }

    async fn finished(&self, blob: BlobRef, partial: Partial) -> io::Result<()> {
        let Ok(staged) = spawn_blocking(move || partial.finish()).await?? else {
            return self.tell(LinkIn::Spoiled(blob), None).await;
        };
        let carry = self.bodies().announced.values().find(|carry| carry.body == blob).cloned();
        // Nobody waits for it any more: it is dropped.
        let Some(carry) = carry else { return Ok(()) };
        let mail = self.host.mail(&self.from()?, &carry, staged.body()?).await?;
        self.tell(LinkIn::Body(blob, Box::new(mail)), Some(staged)).await
    }

    /// Tells what became of a file.
    async fn came(self: Arc<Self>, came: impl Future<Output = files::Came> + Send) {
        let (bytes, staged) = came.await;
        if let Err(error) = self.tell(LinkIn::Bytes(bytes), staged).await {
            self.break_off("no owner", &error);
        }
    }

    fn break_off(&self, what: &'static str, error: &io::Error) {
        tracing::warn!(link = ?self.link, at = %self.at, %error, what, "connection broken off");
        self.go.notify_one();
    }

    async fn tell(&self, what: LinkIn, staged: Option<Staged>) -> io::Result<()> {
        let told = self.host.tell(self.link, what, staged).await;
        if told { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn from(&self) -> io::Result<From> {
        let nk = self.nk.get().copied().ok_or(io::ErrorKind::NotConnected)?;
        Ok(From { nk, at: self.at })
    }

    fn bodies(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
