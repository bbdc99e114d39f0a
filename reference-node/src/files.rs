//! The bytes of files that come and go over a connection in pieces, at a node and at a device alike: what is here of each, and
//! which piece goes next.
//!
//! ```text
//!   Take ─▶ Coming::take ─▶ a partial body, resumed ─▶ Have ── piece, piece … ──▶ finish: hashed, synced ─▶ Whole, Spoiled
//!   Send ─▶ Going ─▶ a piece of each in its turn, behind all frames ─▶ Sent
//! ```
//!
//! Who may leave or have which file is the machine's. A connection that ends leaves what came of a file to the next one.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postline_codec::stream::encode;
use postline_core::id::{BlobRef, Hash};
use postline_core::limits::FILE_PIECE_BYTES;
use postline_core::wire::file::{BytesIn, File};
use postline_core::wire::frame::Frame;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::spool::{Body, Partial, Spool, Staged};

/// How long, and how often, a file that an older connection is just letting go is waited for.
const BUSY_TRIES: u32 = 40;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// What became of the bytes of a file, and the bytes where they are whole.
pub(crate) type Came = (BytesIn, Option<Staged>);

/// The files that come over one connection. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Coming(Arc<Mutex<BTreeMap<Hash, (BlobRef, Partial)>>>);

impl Coming {
    /// Makes room for a file, and says how much of it is here.
    pub(crate) async fn take(&self, spool: &Spool, file: BlobRef) -> Came {
        let opened = match self.leave(file.sha256) {
            Some((_, partial)) => Ok(partial),
            None => open(spool, file).await,
        };
        match opened {
            Ok(partial) if partial.have() == file.len => finish(file, partial).await,
            Ok(partial) => {
                let have = BytesIn::Have(file.sha256, partial.have());
                self.open().insert(file.sha256, (file, partial));
                (have, None)
            }
            Err(error) => failed(file.sha256, &error),
        }
    }

    /// Takes a piece. Gives the file where that was the last one; passes over what isn't awaited, or isn't the next: the
    /// machine judges it by the frame.
    pub(crate) fn piece(&self, hash: Hash, offset: u64, bytes: &[u8]) -> io::Result<Option<(BlobRef, Partial)>> {
        let mut open = self.open();
        let Some((file, partial)) = open.get_mut(&hash) else { return Ok(None) };
        match partial.write_at_end(offset, bytes) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            written => written?,
        }
        let whole = partial.have() == file.len;
        Ok(if whole { open.remove(&hash) } else { None })
    }

    /// Lets a file go: what came of it stays.
    pub(crate) fn leave(&self, hash: Hash) -> Option<(BlobRef, Partial)> {
        self.open().remove(&hash)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Hash, (BlobRef, Partial)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes and syncs a file of which all bytes are here.
pub(crate) async fn finish(file: BlobRef, partial: Partial) -> Came {
    match spawn_blocking(move || partial.finish()).await.map_err(io::Error::other).flatten() {
        Ok(Ok(staged)) => (BytesIn::Whole(file), Some(staged)),
        Ok(Err(why)) => {
            tracing::info!(%why, "a file is not what it was called");
            (BytesIn::Spoiled(file), None)
        }
        Err(error) => failed(file.sha256, &error),
    }
}

fn failed(hash: Hash, error: &io::Error) -> Came {
    tracing::warn!(%error, "a file can't be received");
    (BytesIn::Failed(hash), None)
}

async fn open(spool: &Spool, file: BlobRef) -> io::Result<Partial> {
    let mut tries = 0;
    loop {
        let spool = spool.clone();
        // What is here is hashed anew.
        match spawn_blocking(move || Partial::open(&spool, file)).await? {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < BUSY_TRIES => {
                tries += 1;
                sleep(BUSY_WAIT).await;
            }
            opened => return opened,
        }
    }
}

/// The files that go over one connection.
#[derive(Default)]
pub(crate) struct Going {
    queue: VecDeque<(BlobRef, Body, u64)>,
}

impl Going {
    /// Sends a file from there on; one that is under way goes on from there.
    pub(crate) fn send(&mut self, file: BlobRef, body: Body, from: u64) {
        self.leave(file.sha256);
        self.queue.push_back((file, body, from));
    }

    /// Sends no more of a file.
    pub(crate) fn leave(&mut self, hash: Hash) {
        self.queue.retain(|(file, ..)| file.sha256 != hash);
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Appends the next piece of the file whose turn it is. Gives the file where that was the last one.
    ///
    /// # Errors
    /// The file system's, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for a file that is shorter than it was.
    pub(crate) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<Hash>> {
        let Some((file, body, offset)) = self.queue.pop_front() else { return Ok(None) };
        let mut piece = vec![0; FILE_PIECE_BYTES];
        let got = body.read_at(offset, &mut piece)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(got);
        let frame = Frame::File(File::Piece { hash: file.sha256, offset, len: got as u32 });
        encode(&frame, Some(&piece), bytes).map_err(io::Error::other)?;
        let next = offset + got as u64;
        if next >= file.len {
            return Ok(Some(file.sha256));
        }
        self.queue.push_back((file, body, next));
        Ok(None)
    }
}
