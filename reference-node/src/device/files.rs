//! Files that a person sends, and those that they get: sealed from the disk into the device's spool, and opened from there.
//!
//! ```text
//!   path ──seal──▶ spool, Attachment ──Command::Keep──▶ node      Command::Fetch ──▶ spool ──save──▶ a new file in a directory
//!                                                                      open ──▶ └─ opened as it comes ─┘
//! ```
//!
//! A file is sealed and opened a chunk at a time, whatever its length. What is opened gets a name of its own only once it is
//! whole, and never takes the place of another.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use postline_core::content::external::External;
use postline_core::content::file_name::SafeName;
use postline_core::content::preview::Preview;
use postline_core::fault::Misuse;
use postline_core::id::Hash;
use postline_core::limits;
use postline_core::seal::Attachment;
use postline_core::seal::attachment::{AttachmentFault, Opener, Sealer};
use postline_core::step::Tick;
use postline_core::time::Millis;
use postline_core::wire::content::Content;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::opening::Opening;
use crate::spool::{Incoming, Spool, Staged};

/// How many sealed chunks wait to be written.
const SEALED: usize = 8;

/// How many names are tried for a file.
const NAMES: u32 = 1_000;

/// Why a file can't be sealed, or opened.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The file system.
    #[error("{path}: {why}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// It is none, or doesn't open.
    #[error(transparent)]
    Attachment(#[from] AttachmentFault),
    /// It changed while it was sealed.
    #[error("the file changed while it was sealed")]
    Changed,
    /// It was not fetched, or was taken already.
    #[error("the file isn't here")]
    Absent,
    /// Each name that it could have is taken.
    #[error("there are too many files of that name")]
    Named,
}

/// The sealed files of a device that no record holds: those that are to leave, and those that came. Clones share them.
#[derive(Clone)]
pub struct Files {
    spool: Spool,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    leaving: BTreeMap<Hash, Staged>,
    came: BTreeMap<Hash, Staged>,
    /// What is opened while it comes.
    opening: BTreeMap<Hash, Opening>,
    /// How many were.
    opened: u64,
}

/// The sealed files that a content names, whatever is to become of them, each with its preview where it has one.
pub fn attached(content: &Content) -> impl Iterator<Item = (&External, Option<Preview<'_>>)> {
    let kept = content.fields().body.kept_elsewhere();
    kept.into_iter().filter(|(external, _)| external.url.as_file().is_some())
}

/// Writes a preview into `dir`, under a harmless name like that of its file, and says where it is.
///
/// # Errors
/// [`FileFault::Io`] and [`FileFault::Named`]; nothing is left there then.
pub fn save_preview(preview: &[u8], name: &SafeName, dir: &Path) -> Result<PathBuf, FileFault> {
    let part = dir.join(format!(".{name}.part"));
    let io = |why| FileFault::Io { path: part.clone(), why };
    // What an attempt that was cut off has left.
    _ = fs::remove_file(&part);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(io)?;
    let written = file.write_all(preview).and_then(|()| file.sync_all()).map_err(io);
    let saved = written.and_then(|()| named(&part, name, dir));
    if saved.is_err() {
        // What stays is in the way of nothing.
        _ = fs::remove_file(&part);
    }
    saved
}

impl Files {
    pub(super) fn new(spool: &Spool) -> Self {
        Self { spool: spool.of_files("own"), held: Arc::default() }
    }

    pub(super) const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// What was sealed, for the store.
    pub(super) fn take_leaving(&self, hash: Hash) -> Option<Staged> {
        self.held().leaving.remove(&hash)
    }

    /// Keeps what came, until it is saved.
    pub(super) fn keep(&self, staged: Staged) {
        self.held().came.insert(staged.blob.sha256, staged);
    }

    /// Lets go of what is here of a file.
    pub(super) fn forget(&self, hash: Hash) {
        let mut held = self.held();
        drop((held.leaving.remove(&hash), held.came.remove(&hash), held.opening.remove(&hash)));
    }

    /// Opens no more of a file: it isn't coming.
    pub(super) fn close(&self, hash: Hash) {
        drop(self.held().opening.remove(&hash));
    }

    /// Seals a file, so that it can leave: [`Command::Keep`](postline_core::client::Command::Keep) with its
    /// [`blob`](Attachment::blob) is said next. Takes as long as the file is long.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn seal(&self, path: &Path) -> Result<Attachment, FileFault> {
        let io = |why| FileFault::Io { path: path.to_owned(), why };
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "no file")));
        }
        let mut entropy = [0; 32];
        SystemRandom::new().fill(&mut entropy).map_err(|_| io(io::Error::other("no randomness")))?;
        let (sealer, head) = Sealer::begin(&Tick { now: Millis(0), entropy }, meta.len())?;
        let mut sealed = Incoming::new(&self.spool);
        sealed.write(&head).map_err(io)?;
        // One thread reads and seals, this one hashes and writes: neither waits for the other's work.
        let sealer = thread::scope(|scope| {
            let ((hand, chunks), (back, empty)) = (mpsc::sync_channel(SEALED), mpsc::channel());
            let named = thread::Builder::new().name("sealer".to_owned());
            let sealing = move || pieces(sealer, file, path, &hand, &empty);
            let sealing = named.spawn_scoped(scope, sealing).map_err(io)?;
            for chunk in chunks {
                sealed.write(&chunk).map_err(io)?;
                // Who seals has ended, and wants no room for more.
                _ = back.send(chunk);
            }
            sealing.join().map_err(|_| io(io::Error::other("what seals has died")))?
        })?;
        let staged = sealed.finish().map_err(io)?;
        let attachment = sealer.named(staged.blob).map_err(changed)?;
        self.held().leaving.insert(attachment.blob().sha256, staged);
        Ok(attachment)
    }

    /// Has what comes of a file opened while it comes: [`Command::Fetch`](postline_core::client::Command::Fetch) with its
    /// [`blob`](Attachment::blob) is said next, and [`save`](Self::save) then waits for little. Where there is no room for
    /// that, it is opened when it is saved.
    ///
    /// # Errors
    /// [`FileFault::Io`].
    pub fn open(&self, attachment: &Attachment) -> Result<(), FileFault> {
        let (mut held, hash) = (self.held(), attachment.blob().sha256);
        if held.opening.get(&hash).is_some_and(|opening| opening.is_of(attachment)) {
            return Ok(());
        }
        held.opening.remove(&hash);
        if held.opening.len() >= limits::FILE_TRANSFERS {
            return Ok(());
        }
        held.opened += 1;
        let part = self.spool.passing(&held.opened.to_string());
        held.opening.insert(hash, Opening::begin(&self.spool, attachment, part)?);
        Ok(())
    }

    /// Opens what was fetched into `dir`, under a harmless name like `name`, and says where it is. Nothing is left there
    /// where it doesn't open, and it can be fetched again.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn save(&self, attachment: &Attachment, name: &SafeName, dir: &Path) -> Result<PathBuf, FileFault> {
        let (staged, opening) = {
            let (mut held, hash) = (self.held(), attachment.blob().sha256);
            (held.came.remove(&hash).ok_or(FileFault::Absent)?, held.opening.remove(&hash))
        };
        if let Some(mut opening) = opening.filter(|opening| opening.is_of(attachment)) {
            let io = |why| FileFault::Io { path: dir.to_owned(), why };
            let saved = opening.finish(staged.body().map_err(io)?).and_then(|part| named(part, name, dir));
            match saved {
                Ok(saved) => return Ok(saved),
                // It is on another disk, or there was no room: it is opened where it is to be.
                Err(why) => tracing::debug!(%why, "a file that was opened as it came is opened again"),
            }
        }
        let part = dir.join(format!(".{}.part", attachment.blob().sha256));
        let io = |why| FileFault::Io { path: part.clone(), why };
        // What an attempt that was cut off has left.
        _ = fs::remove_file(&part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(io)?;
        let saved = open(attachment, &staged, &part, file).and_then(|()| named(&part, name, dir));
        if saved.is_err() {
            // What stays is in the way of nothing.
            _ = fs::remove_file(&part);
        }
        saved
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and seals a file, piece by piece, and hands each on. Gives the sealer back at the end.
fn pieces(
    mut sealer: Sealer,
    mut file: File,
    path: &Path,
    hand: &mpsc::SyncSender<Vec<u8>>,
    empty: &mpsc::Receiver<Vec<u8>>,
) -> Result<Sealer, FileFault> {
    let io = |why| FileFault::Io { path: path.to_owned(), why };
    while let Some(want) = sealer.wants() {
        let mut piece = empty.try_recv().unwrap_or_default();
        piece.resize(want, 0);
        file.read_exact(&mut piece).map_err(|why| {
            let cut = why.kind() == io::ErrorKind::UnexpectedEof;
            if cut { FileFault::Changed } else { io(why) }
        })?;
        sealer.unhashed(&mut piece).map_err(changed)?;
        if hand.send(piece).is_err() {
            // Who writes has failed, and says why.
            break;
        }
    }
    if sealer.wants().is_none() && file.read(&mut [0]).map_err(io)? != 0 {
        return Err(FileFault::Changed);
    }
    Ok(sealer)
}

/// A sealer wants another piece than the file has.
fn changed(_: Misuse) -> FileFault {
    FileFault::Changed
}

fn open(attachment: &Attachment, staged: &Staged, path: &Path, mut file: File) -> Result<(), FileFault> {
    let io = |why| FileFault::Io { path: path.to_owned(), why };
    let body = staged.body().map_err(io)?;
    let read = |from: u64, bytes: &mut Vec<u8>| {
        let mut got = 0;
        while got < bytes.len() {
            match body.read_at(from + got as u64, bytes.get_mut(got..).unwrap_or_default())? {
                0 => break,
                more => got += more,
            }
        }
        bytes.truncate(got);
        Ok(())
    };
    let mut chunk = vec![0; 32];
    read(0, &mut chunk).map_err(io)?;
    let opener = Opener::begin(attachment, &chunk)?;
    for index in 0..attachment.chunks() {
        let place = attachment.place(index).unwrap_or_default();
        chunk.resize(usize::try_from(place.end - place.start).unwrap_or_default(), 0);
        read(place.start, &mut chunk).map_err(io)?;
        opener.chunk(index, &mut chunk)?;
        file.write_all(&chunk).map_err(io)?;
    }
    file.sync_all().map_err(io)
}

/// Gives a file the first of its names that is free.
fn named(part: &Path, name: &SafeName, dir: &Path) -> Result<PathBuf, FileFault> {
    for number in 1..=NAMES {
        let name = if number == 1 { name.clone() } else { name.numbered(number) };
        let path = dir.join(name.as_str());
        let io = |why| FileFault::Io { path: path.clone(), why };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(io(why)),
            Ok(_) => {
                // Renaming replaces that empty file and nothing else.
                let renamed = fs::rename(part, &path).map_err(io);
                if renamed.is_err() {
                    // It is empty, and of our own making.
                    _ = fs::remove_file(&path);
                }
                return renamed.map(|()| path);
            }
        }
    }
    Err(FileFault::Named)
}
