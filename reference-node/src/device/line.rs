//! The connection of a device to its node: one task that reads and writes.
//!
//! ```text
//!   dial ─▶ TCP ─▶ TLS ─▶ Up ─┬─▶ reader: bytes ─▶ frames ─▶ the device
//!                             └─◀ writer ◀─ what the device says
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postline_codec::stream::{FrameReader, encode};
use postline_core::fault::PeerFault;
use postline_core::id::{BlobRef, Hash, NodeKey};
use postline_core::limits;
use postline_core::wire::file::BytesIn;
use postline_core::wire::frame::Frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::dial::{Dialled, Dialler, Unreached};
use crate::files::Going;
use crate::spool::{Body, Staged};

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Most writes that wait; beyond it the node counts as stuck.
const WRITES: usize = 1_024;

/// What a connection tells the device.
pub(super) enum Came {
    Up(Line, [u8; 32]),
    Unreached(Unreached),
    Frame(Frame, Option<Vec<u8>>),
    /// A file has left, whole.
    Sent(BytesIn),
    /// Something became of a file that is fetched.
    Fetched(BytesIn, Option<Staged>),
    Garbage(PeerFault),
    Approved {
        nk: NodeKey,
        yes: bool,
    },
    Down,
}

/// What is written.
enum Say {
    Bytes(Vec<u8>),
    /// A file, in pieces from there on, behind all else.
    File(BlobRef, Body, u64),
    /// No more of a file.
    Leave(Hash),
}

/// The writer's end of a connection. Dropped, the connection ends, after what was said.
pub(super) struct Line {
    queue: mpsc::Sender<Say>,
    verified: bool,
}

impl Line {
    /// Says these, in one write.
    pub(super) fn say(&self, frames: &[Frame]) {
        let mut bytes = Vec::new();
        for frame in frames {
            if let Err(fault) = encode(frame, None, &mut bytes) {
                tracing::error!(%fault, "a frame that can't be said");
            }
        }
        if !bytes.is_empty() && self.queue.try_send(Say::Bytes(bytes)).is_err() {
            // The reader finds the end, or the writer's time runs out: both say Down.
            tracing::info!("the node doesn't read what it is sent");
        }
    }

    /// Sends a file from there on.
    pub(super) fn send(&self, file: BlobRef, body: Body, from: u64) {
        self.queue_file(Say::File(file, body, from));
    }

    /// Sends no more of a file.
    pub(super) fn leave(&self, hash: Hash) {
        self.queue_file(Say::Leave(hash));
    }

    fn queue_file(&self, say: Say) {
        if self.queue.try_send(say).is_err() {
            tracing::info!("the node doesn't read what it is sent");
        }
    }

    /// Whether the node's certificate is good for the name that was dialled.
    pub(super) const fn is_verified(&self) -> bool {
        self.verified
    }
}

/// Opens connection number `of`, and tells `coming` what becomes of it.
pub(super) fn open(dialler: Arc<Dialler>, of: u64, coming: mpsc::Sender<(u64, Came)>) {
    tokio::spawn(async move {
        let Dialled { stream, channel, verified } = match dialler.dial().await {
            Ok(dialled) => dialled,
            Err(why) => {
                let _ended = coming.send((of, Came::Unreached(why))).await;
                return;
            }
        };
        let (queue, waiting) = mpsc::channel(WRITES);
        if coming.send((of, Came::Up(Line { queue, verified }, channel))).await.is_err() {
            return;
        }
        let (reads, writes) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = read(reads, of, &coming) => ended,
            ended = write(writes, waiting, of, &coming) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection broken off");
        }
        let _ended = coming.send((of, Came::Down)).await;
    });
}

async fn read(mut socket: impl AsyncRead + Unpin, of: u64, coming: &mpsc::Sender<(u64, Came)>) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let mut frames = FrameReader::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let room = frames.room().min(buffer.len());
        let got = socket.read(buffer.get_mut(..room).unwrap_or_default()).await?;
        if got == 0 {
            return Ok(());
        }
        frames.push(buffer.get(..got).unwrap_or_default());
        loop {
            match frames.next() {
                Ok(None) => break,
                Ok(Some(incoming)) => {
                    // From its Ready on the node may say more at a time.
                    if matches!(incoming.frame, Frame::Ready(_)) {
                        frames.proven();
                    }
                    coming.send((of, Came::Frame(incoming.frame, incoming.bytes))).await.map_err(gone)?;
                }
                Err(fault) => {
                    coming.send((of, Came::Garbage(fault))).await.map_err(gone)?;
                    // Our Bye goes out, and ends the connection.
                    sleep(Duration::from_millis(limits::LINK_WRITE_MS)).await;
                    return Ok(());
                }
            }
        }
    }
}

async fn write(
    mut socket: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Say>,
    of: u64,
    coming: &mpsc::Sender<(u64, Came)>,
) -> io::Result<()> {
    let bound = Duration::from_millis(limits::LINK_WRITE_MS);
    let mut going = Going::default();
    loop {
        let mut bytes = Vec::new();
        if going.is_empty() {
            let Some(first) = waiting.recv().await else { break };
            say(first, &mut bytes, &mut going);
        }
        let mut ends = false;
        while bytes.len() < limits::FRAME_BYTES {
            match waiting.try_recv() {
                Ok(more) => say(more, &mut bytes, &mut going),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    ends = true;
                    break;
                }
            }
        }
        // Once nobody speaks any more what was said goes, and of files nothing.
        let sent = if ends { None } else { going.next(&mut bytes) };
        timeout(bound, async {
            socket.write_all(&bytes).await?;
            socket.flush().await
        })
        .await??;
        if let Some(sent) = sent {
            let told = coming.send((of, Came::Sent(sent))).await;
            told.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        if ends {
            break;
        }
    }
    timeout(bound, socket.shutdown()).await?
}

fn say(what: Say, bytes: &mut Vec<u8>, going: &mut Going) {
    match what {
        Say::Bytes(more) => bytes.extend_from_slice(&more),
        Say::File(file, body, from) => going.send(file, body, from),
        Say::Leave(hash) => going.leave(hash),
    }
}
