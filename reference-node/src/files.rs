//! The bytes of files that come and go over a connection in pieces, at a node and at a device alike: what is here of each, and
//! which piece goes next.
//!
//! ```text
//!   Take ─▶ Coming::take ─▶ a partial body, resumed ─▶ Have ── piece, piece … ──▶ finish: hashed, synced ─▶ Whole, Spoiled
//!   Send ─▶ Going ─▶ a piece of each in its turn, behind all frames ─▶ Sent
//!   Pass ─▶   └─ of what still comes: as far as it is here ─▶ woken by more of it; Rest ─▶ from where it is kept
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

use crate::spool::{Body, Partial, Spool, Staged, Upcoming};

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
            Some((same, partial)) if same == file => Ok(partial),
            // Of another length it is another file, which nobody asks for any more.
            Some(_) | None => open(spool, file).await,
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

    /// Lets a file go, and what came of it.
    pub(crate) fn forget(&self, spool: &Spool, file: BlobRef) {
        match self.leave(file.sha256) {
            Some((_, partial)) => partial.discard(),
            None => spool.forget(file),
        }
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
    queue: VecDeque<(BlobRef, Bytes, u64)>,
    /// Where a piece is read into.
    piece: Vec<u8>,
}

/// Where the bytes of a file are that is sent.
enum Bytes {
    Here(Body),
    /// Not all of it is here yet.
    Comes(Upcoming),
}

/// A file that is to be sent, and can't be.
pub(crate) fn unsent(file: BlobRef, error: &io::Error) -> BytesIn {
    tracing::warn!(%error, hash = %file.sha256, "a file can't be sent");
    BytesIn::Failed(file.sha256)
}

impl Going {
    /// Sends a file from there on; one that is under way goes on from there.
    pub(crate) fn send(&mut self, file: BlobRef, body: Body, from: u64) {
        self.put(file, Bytes::Here(body), from);
    }

    /// Sends what is here of a file from there on, and the rest as it comes.
    pub(crate) fn pass(&mut self, file: BlobRef, upcoming: Upcoming, from: u64) {
        self.put(file, Bytes::Comes(upcoming), from);
    }

    /// What is passed on is here, whole.
    pub(crate) fn rest(&mut self, file: BlobRef, body: Body) {
        if let Some((_, bytes, _)) = self.queue.iter_mut().find(|(of, ..)| *of == file) {
            *bytes = Bytes::Here(body);
        }
    }

    fn put(&mut self, file: BlobRef, bytes: Bytes, from: u64) {
        self.leave(file.sha256);
        self.queue.push_back((file, bytes, from));
    }

    /// Sends no more of a file.
    pub(crate) fn leave(&mut self, hash: Hash) {
        self.queue.retain(|(file, ..)| file.sha256 != hash);
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Appends the next piece of the file whose turn it is; nothing, where no more is here of any. Says where that was the
    /// last one, or the disk fails: then everything else goes on.
    pub(crate) fn next(&mut self, bytes: &mut Vec<u8>) -> Option<BytesIn> {
        for _ in 0..self.queue.len() {
            let (file, mut body, offset) = self.queue.pop_front()?;
            let next = match self.piece(file, &mut body, offset, bytes) {
                Ok(next) => next,
                Err(error) => return Some(unsent(file, &error)),
            };
            if next >= file.len {
                return Some(BytesIn::Sent(file.sha256));
            }
            self.queue.push_back((file, body, next));
            if next > offset {
                break;
            }
        }
        None
    }

    /// Appends a piece, and says where the next one begins.
    fn piece(&mut self, file: BlobRef, body: &mut Bytes, offset: u64, bytes: &mut Vec<u8>) -> io::Result<u64> {
        self.piece.resize(FILE_PIECE_BYTES, 0);
        let got = match body {
            Bytes::Here(body) => match body.read_at(offset, &mut self.piece)? {
                // It is shorter than it was.
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                got => got,
            },
            Bytes::Comes(upcoming) => match upcoming.read_at(offset, &mut self.piece)? {
                0 => return Ok(offset),
                got => got,
            },
        };
        let frame = Frame::File(File::Piece { hash: file.sha256, offset, len: got as u32 });
        encode(&frame, self.piece.get(..got), bytes).map_err(io::Error::other)?;
        Ok(offset + got as u64)
    }
}

#[cfg(test)]
mod tests {
    use postline_core::limits;
    use postline_core::store::sha256;

    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    fn named(bytes: &[u8]) -> BlobRef {
        BlobRef { sha256: sha256(&[bytes]), len: bytes.len() as u64 }
    }

    /// [B-7]
    #[tokio::test]
    async fn a_file_goes_on_where_it_was_cut_and_only_for_whom_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let (ann, bob) = (spool.of_files("ann"), spool.of_files("bob"));
        let bytes = bytes(300_000);
        let file = named(&bytes);
        for cut in [0, 1, 49_152, 299_999] {
            let coming = Coming::default();
            let (_, here) = (coming.take(&ann, file).await, coming.open().remove(&file.sha256).unwrap().1.have());
            let coming = Coming::default();
            assert!(matches!(coming.take(&ann, file).await.0, BytesIn::Have(..)));
            let (from, to) = (here as usize, cut.max(here as usize));
            assert!(coming.piece(file.sha256, here, &bytes[from..to]).unwrap().is_none());
        }
        let (coming, other) = (Coming::default(), Coming::default());
        assert_eq!(
            other.take(&bob, file).await.0,
            BytesIn::Have(file.sha256, 0),
            "what came from another is not taken"
        );
        assert_eq!(coming.take(&ann, file).await.0, BytesIn::Have(file.sha256, 299_999));
        // What isn't the next piece, and what is of no file, changes nothing.
        assert!(coming.piece(file.sha256, 5, &[1]).unwrap().is_none());
        assert!(coming.piece(file.sha256, 299_999, &[1, 2]).unwrap().is_none());
        assert!(coming.piece(Hash([9; 32]), 0, &[1]).unwrap().is_none());
        let (whole, partial) = coming.piece(file.sha256, 299_999, &bytes[299_999..]).unwrap().unwrap();
        let (came, staged) = finish(whole, partial).await;
        assert_eq!(came, BytesIn::Whole(file));
        assert!(*staged.unwrap().body().unwrap().to_bytes().unwrap() == *bytes);
    }

    /// [B-7] (attack 93)
    #[tokio::test]
    async fn what_isnt_what_it_was_called_is_dropped_and_what_is_too_long_never_taken() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap().of_files("ann");
        let (coming, good) = (Coming::default(), bytes(100_000));
        let file = named(&good);
        coming.take(&spool, file).await;
        let mut bad = good.clone();
        bad[70_000] ^= 1;
        let (whole, partial) = coming.piece(file.sha256, 0, &bad).unwrap().unwrap();
        let (came, staged) = finish(whole, partial).await;
        assert!(came == BytesIn::Spoiled(file) && staged.is_none());
        assert_eq!(coming.take(&spool, file).await.0, BytesIn::Have(file.sha256, 0), "nothing of it stays");
        let long = BlobRef { len: limits::ATTACHMENT_BYTES + 1, ..file };
        assert_eq!(coming.take(&spool, long).await.0, BytesIn::Failed(file.sha256));
        // Mails and files take no room from each other, and mails have their own bound.
        let spool = Spool::open(dir.path()).unwrap();
        let large = BlobRef { sha256: Hash([1; 32]), len: limits::ATTACHMENT_BYTES };
        let open: Vec<_> = (0..limits::FILE_PARTIAL_BYTES / limits::ATTACHMENT_BYTES)
            .map(|n| Partial::open(&spool.of_files(&n.to_string()), large).unwrap())
            .collect();
        assert!(Partial::open(&spool.of_files("one more"), large).is_err());
        assert!(Partial::open(&spool, BlobRef { len: limits::MAIL_BYTES, ..large }).is_ok());
        assert!(Partial::open(&spool, BlobRef { len: limits::MAIL_BYTES + 1, ..large }).is_err());
        drop(open);
    }

    /// What is passed on waits where no more is here, and goes on over the next connection, wherever the one before was cut.
    /// [B-7] [B-8]
    #[tokio::test]
    async fn what_is_passed_on_is_the_same_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let (ann, news) = (spool.of_files("ann"), Arc::new(tokio::sync::Notify::new()));
        for cut in 0..=700_usize {
            let mut bytes = bytes(700);
            bytes[0] = (cut % 251) as u8;
            bytes[1] = (cut / 251) as u8;
            let (file, mut going, mut said) = (named(&bytes), Going::default(), Vec::new());
            // Asked for before anything of it is here, and again from the middle on.
            going.pass(file, ann.upcoming(file, &news), 0);
            assert_eq!(going.next(&mut said), None);
            for to in [cut, 700] {
                let coming = Coming::default();
                let (BytesIn::Have(_, here), None) = coming.take(&ann, file).await else { panic!("it is open") };
                let ended = coming.piece(file.sha256, here, &bytes[here as usize..to]).unwrap();
                assert!(to > here as usize || cut == 0 || here == 700, "{cut}: it goes on where it was");
                let sent = going.next(&mut said);
                assert_eq!(sent.is_some(), to == 700, "{cut}: all of it, and no more");
                drop(ended);
                if to == 700 {
                    break;
                }
            }
            assert!(read(&said) == bytes, "cut at {cut}: other bytes");
            assert!(going.is_empty());
            ann.forget(file);
        }
        // Nobody hears of what nobody passes on any more; the bytes of one that is whole are where they are kept.
        let file = named(&bytes(300));
        let (mut going, mut said) = (Going::default(), Vec::new());
        going.pass(file, ann.upcoming(file, &news), 100);
        going.rest(file, Body::Bytes(bytes(300).into()));
        assert_eq!(going.next(&mut said), Some(BytesIn::Sent(file.sha256)));
        assert!(read(&said) == bytes(300)[100..]);
    }

    /// The bytes of the pieces that were said, one behind the other.
    fn read(said: &[u8]) -> Vec<u8> {
        let mut frames = postline_codec::stream::FrameReader::new();
        frames.proven();
        let (mut at, mut bytes) = (0, Vec::new());
        while at < said.len() {
            at += frames.push(&said[at..]);
            while let Some(incoming) = frames.next().unwrap() {
                bytes.extend(incoming.bytes.unwrap());
            }
        }
        bytes
    }

    /// [B-7]
    #[test]
    fn each_file_has_its_turn() {
        let body = |bytes: &[u8]| Body::Bytes(bytes.into());
        let (one, two) = (bytes(2 * FILE_PIECE_BYTES + 1), bytes(10));
        let mut going = Going::default();
        going.send(named(&one), body(&one), 1);
        going.send(named(&two), body(&two), 0);
        let mut next = || {
            let mut bytes = Vec::new();
            let done = going.next(&mut bytes);
            (done, bytes.len() / 1_000)
        };
        assert_eq!(next(), (None, FILE_PIECE_BYTES / 1_000));
        assert_eq!(next(), (Some(BytesIn::Sent(named(&two).sha256)), 0));
        assert_eq!(next(), (Some(BytesIn::Sent(named(&one).sha256)), FILE_PIECE_BYTES / 1_000));
        assert_eq!(next(), (None, 0));
        going.send(named(&one), body(&one), 0);
        going.leave(named(&one).sha256);
        assert!(going.is_empty());
        // A file that became shorter is no endless one.
        going.send(BlobRef { len: 11, ..named(&two) }, body(&two), 10);
        assert_eq!(going.next(&mut Vec::new()), Some(BytesIn::Failed(named(&two).sha256)));
        assert!(going.is_empty());
    }
}
