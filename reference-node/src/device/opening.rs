//! A file that is opened while it is still being fetched, on a thread of its own that reads behind who writes the sealed bytes.
//!
//! ```text
//!   pieces ──▶ spool: sealed, in part ──chunk, chunk …──▶ opened, nowhere that a person looks ──saved──▶ under its name
//!                 └─ whole, hashed: the rest ──────────────┘        └─ dropped: gone
//! ```
//!
//! Nobody is given a byte of it before the whole has the hash that it is called by, and each chunk has opened ([B-2], [B-11]).
//! What is opened lies in the device's own directory until then, and is of no use after a crash: the sealed bytes are, which
//! stay as they would without this.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use postline_core::seal::Attachment;
use postline_core::seal::attachment::Opener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::files::FileFault;
use crate::spool::{Behind, Body, Inode, Spool, Upcoming};

/// A file that is being opened. Dropped, nothing stays of it.
pub(super) struct Opening {
    attachment: Attachment,
    part: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<File, FileFault>>>,
}

#[derive(Default)]
struct Shared {
    news: Arc<Notify>,
    /// Nobody wants it any more.
    over: AtomicBool,
    /// All of the sealed bytes, once they are here and have their hash.
    whole: Mutex<Option<Body>>,
}

impl Opening {
    /// Begins to open what comes of `attachment`, into a new file called `part`.
    pub(super) fn begin(spool: &Spool, attachment: &Attachment, part: PathBuf) -> Result<Self, FileFault> {
        let io = |why| FileFault::Io { path: part.clone(), why };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(io)?;
        let shared = Arc::<Shared>::default();
        let mut opening =
            Self { attachment: attachment.clone(), part: part.clone(), shared: Arc::clone(&shared), thread: None };
        let asleep = Builder::new_current_thread().build().map_err(io)?;
        let upcoming = spool.upcoming(attachment.blob(), &shared.news);
        let sealed = Sealed { upcoming, shared, from: None, asleep };
        let (attachment, path) = (attachment.clone(), part.clone());
        let open = move || open(&attachment, sealed, file, &path);
        opening.thread = Some(thread::Builder::new().name("opener".to_owned()).spawn(open).map_err(io)?);
        Ok(opening)
    }

    /// Whether this is what is being opened.
    pub(super) fn is_of(&self, attachment: &Attachment) -> bool {
        self.attachment == *attachment
    }

    /// The sealed bytes are whole, and have their hash: waits until all of them are opened, and on the disk. Gives the file's
    /// place, from which it goes when this is dropped.
    pub(super) fn finish(&mut self, body: Body) -> Result<&Path, FileFault> {
        *self.shared.whole() = Some(body);
        self.shared.news.notify_one();
        let ended = self.thread.take().ok_or(FileFault::Absent)?.join();
        let file = ended.map_err(|_| self.io(io::Error::other("what opens has died")))??;
        file.sync_all().map_err(|why| self.io(why))?;
        Ok(&self.part)
    }

    fn io(&self, why: io::Error) -> FileFault {
        FileFault::Io { path: self.part.clone(), why }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.shared.news.notify_one();
        // What was saved has another name by now; what stays goes when the device is next opened.
        _ = fs::remove_file(&self.part);
    }
}

impl Shared {
    fn whole(&self) -> MutexGuard<'_, Option<Body>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sealed bytes, as far as they are here.
struct Sealed {
    upcoming: Upcoming,
    shared: Arc<Shared>,
    /// From which file something was read before all was here: that one must become the whole.
    from: Option<Inode>,
    /// What this thread waits with.
    asleep: Runtime,
}

impl Sealed {
    /// Fills `buffer` with what begins at `offset`, as soon as all of that is here.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut got = 0;
        while got < buffer.len() {
            if self.shared.over.load(Ordering::Acquire) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let room = buffer.get_mut(got..).unwrap_or_default();
            let at = offset + got as u64;
            let (more, whole) = match &*self.shared.whole() {
                // What was read of another file was hashed by nobody: its author may have said two things under one key.
                Some(body) if self.from.is_some() && self.from != body.inode()? => return Err(other_file()),
                Some(body) => (body.read_at(at, room)?, true),
                None => (self.upcoming.read_at(at, room)?, false),
            };
            if more > 0 && !whole {
                let now = self.upcoming.inode()?;
                if self.from.is_some() && self.from != now {
                    return Err(other_file());
                }
                self.from = now;
            }
            match more {
                0 if whole => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => self.asleep.block_on(self.shared.news.notified()),
                more => got += more,
            }
        }
        Ok(())
    }
}

fn other_file() -> io::Error {
    io::Error::other("what came is another file than the one that was begun")
}

fn open(attachment: &Attachment, mut sealed: Sealed, mut file: File, path: &Path) -> Result<File, FileFault> {
    let io = |why| FileFault::Io { path: path.to_owned(), why };
    let (mut chunk, mut behind, mut len) = (vec![0; 32], Behind::default(), 0);
    sealed.read(0, &mut chunk).map_err(io)?;
    let opener = Opener::begin(attachment, &chunk)?;
    for index in 0..attachment.chunks() {
        let place = attachment.place(index).unwrap_or_default();
        chunk.resize(usize::try_from(place.end - place.start).unwrap_or_default(), 0);
        sealed.read(place.start, &mut chunk).map_err(io)?;
        opener.chunk(index, &mut chunk)?;
        file.write_all(&chunk).map_err(io)?;
        len += chunk.len() as u64;
        behind.wrote(&file, len);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use postline_core::seal::Secret;
    use postline_core::seal::attachment::Sealer;

    use super::*;
    use crate::spool::Partial;

    fn sealed(plain: &[u8], key: u8) -> (Vec<u8>, Attachment) {
        let (mut sealer, head) = Sealer::under(Secret::new([key; 32]), [8; 12], plain.len() as u64).unwrap();
        let (mut bytes, mut rest) = (head.to_vec(), plain);
        while let Some(want) = sealer.wants() {
            let (piece, behind) = rest.split_at(want);
            let mut piece = piece.to_vec();
            sealer.chunk(&mut piece).unwrap();
            bytes.extend(piece);
            rest = behind;
        }
        (bytes, sealer.finish().unwrap())
    }

    /// However a file is cut on its way, what is opened of it is the file, and is there once it is whole. [B-2] [B-11]
    #[test]
    fn what_is_opened_as_it_comes_is_the_file_wherever_that_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap().of_files("own").for_now();
        let plain: Vec<u8> = (0..limits()).map(|at| (at % 251) as u8).collect();
        let (bytes, attachment) = sealed(&plain, 7);
        let part = dir.path().join("part");
        for cut in [0, 1, 31, 32, 33, 65_583, 65_584, 65_585, bytes.len() - 1, bytes.len()] {
            let mut opening = Opening::begin(&spool, &attachment, part.clone()).unwrap();
            assert!(opening.is_of(&attachment));
            for to in [cut, bytes.len()] {
                let mut partial = Partial::open(&spool, attachment.blob()).unwrap();
                let here = partial.have();
                partial.write_at_end(here, &bytes[here as usize..to]).unwrap();
                if to == bytes.len() {
                    let staged = partial.finish().unwrap().unwrap();
                    assert!(
                        fs::read(opening.finish(staged.body().unwrap()).unwrap()).unwrap() == plain,
                        "cut at {cut}"
                    );
                    break;
                }
            }
            drop(opening);
            assert!(!part.exists(), "cut at {cut}: what nobody saves stays nowhere");
        }
    }

    /// What was begun, dropped, and came anew is another file: what was opened of the first is given to nobody, even if each
    /// chunk opens. An author can seal two things under one key. [B-11]
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a bound on how long is waited for a thread")]
    fn what_was_opened_of_a_file_that_came_to_nothing_is_part_of_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap().of_files("own").for_now();
        let plain: Vec<u8> = (0..limits()).map(|at| (at % 251) as u8).collect();
        let ((bytes, attachment), (lie, _)) = (sealed(&plain, 7), sealed(&vec![9; plain.len()], 7));
        let mut opening = Opening::begin(&spool, &attachment, dir.path().join("part")).unwrap();
        let mut partial = Partial::open(&spool, attachment.blob()).unwrap();
        partial.write_at_end(0, &lie[..70_000]).unwrap();
        let began = std::time::Instant::now();
        while fs::metadata(dir.path().join("part")).unwrap().len() == 0 {
            assert!(began.elapsed().as_secs() < 60, "the first chunk opens");
            thread::yield_now();
        }
        partial.discard();
        let mut partial = Partial::open(&spool, attachment.blob()).unwrap();
        assert_eq!(partial.have(), 0);
        partial.write_at_end(0, &bytes).unwrap();
        let staged = partial.finish().unwrap().unwrap();
        assert!(opening.finish(staged.body().unwrap()).is_err(), "half of it is a lie");
    }

    /// Under another key nothing opens; what was changed neither, even where it comes to be told so late. [B-2] [B-11]
    #[test]
    fn what_does_not_open_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap().of_files("own").for_now();
        let (bytes, attachment) = sealed(&[3; 100_000], 7);
        let (other, _) = sealed(&[3; 100_000], 9);
        let mut changed = bytes.clone();
        changed[99_000] ^= 1;
        for wrong in [other, changed, bytes[..99_000].to_vec()] {
            let mut opening = Opening::begin(&spool, &attachment, dir.path().join("part")).unwrap();
            assert!(opening.finish(Body::Bytes(wrong.into())).is_err());
        }
        let opening = Opening::begin(&spool, &attachment, dir.path().join("part")).unwrap();
        drop(opening);
        assert!(!dir.path().join("part").exists());
    }

    fn limits() -> usize {
        2 * postline_core::limits::ATTACHMENT_CHUNK_BYTES + 100
    }
}
