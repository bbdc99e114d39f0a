//! Mail into Maildirs: visible at once, durable a moment later, and the same mail once however often it is delivered.
//!
//! ```text
//!   deliver: tmp/<id>.postline ──rename──▶ new/<id>.postline,S=<size> ──▶ Delivered
//!                                                                           │ submit
//!   Syncer (its own thread):  file and directory synced, many at once ──▶ durable(token, result)
//! ```
//!
//! The name of a file comes from the mail's id alone, so a delivery that is done again after a crash finds the first,
//! wherever a reader moved it and whatever flags it got. Only what the syncer reports is durable: a record that could
//! bring the mail again stays until then. Fields on top (Return-Path, Delivered-To) are the caller's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postline_core::id::{MailId, Mailbox};
use postline_core::limits;

use crate::spool::sync_dir;

/// The directory of all mailboxes, one Maildir each.
#[derive(Clone, Debug)]
pub struct Maildirs {
    root: PathBuf,
}

/// Why a mail was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum MaildirError {
    /// The name is none that a mailbox may have. Never deliver it.
    #[error("{0:?} is no name of a mailbox")]
    Name(Mailbox),
    /// The disk or the quota is full, or the disk fails. Try again later.
    #[error("mailbox {mailbox}: {why}")]
    Later {
        /// Which mailbox.
        mailbox: Mailbox,
        /// What the file system said.
        #[source]
        why: io::Error,
    },
}

/// A mail that is in its mailbox, and not yet durable there.
#[derive(Debug)]
#[must_use = "a delivery is durable only once the syncer says so"]
pub struct Delivered {
    file: File,
    dir: PathBuf,
}

/// Whether a mail may be in the mailbox already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Certainly not: it came to this node after the machine was last restored, and this is the first attempt.
    First,
    /// Perhaps. The mailbox is searched for it, and what is found is written again under the name that it has now. A mail
    /// that its reader has deleted since comes back.
    Again,
}

impl Maildirs {
    /// Opens the directory of mailboxes, making it where it is missing.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Puts a mail into a mailbox. `write` gives its bytes: the same at each attempt.
    ///
    /// # Errors
    /// [`MaildirError`]. Then nothing of it is visible that was not before.
    pub fn deliver(
        &self,
        mailbox: &Mailbox,
        id: MailId,
        attempt: Attempt,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Delivered, MaildirError> {
        let dir = self.dir(mailbox)?;
        self.put(&dir, id, attempt, write).map_err(|why| MaildirError::Later { mailbox: mailbox.clone(), why })
    }

    /// Where the Maildir of this mailbox is, or will be.
    ///
    /// # Errors
    /// [`MaildirError::Name`] for a name that could lead elsewhere.
    pub fn dir(&self, mailbox: &Mailbox) -> Result<PathBuf, MaildirError> {
        if is_mailbox_name(&mailbox.0) {
            Ok(self.root.join(&mailbox.0))
        } else {
            Err(MaildirError::Name(mailbox.clone()))
        }
    }

    /// Removes what crashes left in the `tmp` of each mailbox, once it is
    /// [`MAILDIR_TMP_MS`](limits::MAILDIR_TMP_MS) old. Gives how many files.
    ///
    /// # Errors
    /// The file system's.
    pub fn sweep(&self) -> io::Result<usize> {
        let mut swept = 0;
        for mailbox in fs::read_dir(&self.root)? {
            let tmp = match fs::read_dir(mailbox?.path().join("tmp")) {
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
                tmp => tmp?,
            };
            for debris in tmp {
                let debris = debris?;
                // A time in the future says nothing about age.
                let age = debris.metadata()?.modified()?.elapsed().unwrap_or_default();
                if age > Duration::from_millis(limits::MAILDIR_TMP_MS) {
                    fs::remove_file(debris.path())?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    fn put(
        &self,
        dir: &Path,
        id: MailId,
        attempt: Attempt,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Delivered> {
        let base = format!("{id}.postline");
        if attempt == Attempt::Again
            && let Some(earlier) = find(dir, &base)?
        {
            return renew(earlier, write);
        }
        let tmp = dir.join("tmp").join(&base);
        let file = match create(&tmp) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.make(dir)?;
                create(&tmp)?
            }
            created => created?,
        };
        let new = dir.join("new");
        fill(file, write)
            .and_then(|(file, size)| {
                fs::rename(&tmp, new.join(format!("{base},S={size}")))?;
                Ok(Delivered { file, dir: new })
            })
            .inspect_err(|_| {
                // What stays is overwritten by the next attempt, or swept.
                let _ = fs::remove_file(&tmp);
            })
    }

    /// Makes a Maildir. Its own directories are durable from the start.
    fn make(&self, dir: &Path) -> io::Result<()> {
        for part in ["tmp", "new", "cur"] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join(part))?;
        }
        sync_dir(dir)?;
        sync_dir(&self.root)
    }
}

/// Whether a mailbox may bear this name: `[a-z0-9._+@-]`, no dot at the front, 1 to
/// [`MAILBOX_NAME_BYTES`](limits::MAILBOX_NAME_BYTES) bytes. So it is one plain name in a path, and never hidden.
#[must_use]
pub fn is_mailbox_name(name: &str) -> bool {
    (1..=limits::MAILBOX_NAME_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'@' | b'-'))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes all of a mail. Gives its size, in bytes.
fn fill(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<(File, u64)> {
    let mut out = BufWriter::with_capacity(limits::CHUNK_BYTES, file);
    write(&mut out)?;
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let size = file.stream_position()?;
    Ok((file, size))
}

/// A file that an earlier attempt delivered.
struct Earlier {
    dir: PathBuf,
    name: OsString,
}

/// Writes a mail over its own bytes, which a power cut may have left out, and which a failed sync leaves in doubt: only
/// what is written again is synced again.
fn renew(earlier: Earlier, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Delivered> {
    let (file, size) = fill(OpenOptions::new().write(true).open(earlier.dir.join(earlier.name))?, write)?;
    file.set_len(size)?;
    Ok(Delivered { file, dir: earlier.dir })
}

/// Looks for a delivered mail under any flags. In `cur` and then in `new` once more, since a reader may move it between.
fn find(dir: &Path, base: &str) -> io::Result<Option<Earlier>> {
    for part in ["new", "cur", "new"] {
        let dir = dir.join(part);
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            if name
                .to_string_lossy()
                .strip_prefix(base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ':']))
            {
                return Ok(Some(Earlier { dir, name }));
            }
        }
    }
    Ok(None)
}

/// Makes deliveries durable, many at a time, on a thread of its own.
#[derive(Debug)]
pub struct Syncer<T> {
    submit: Option<SyncSender<(Delivered, T)>>,
    thread: Option<JoinHandle<()>>,
}

/// Most deliveries that wait for the syncer: each keeps a file open.
const WAITING: usize = 256;
/// How many files are synced at once, so that the disk flushes for many of them together.
const AT_ONCE: usize = 16;

impl<T: Send + 'static> Syncer<T> {
    /// Starts it. `durable` hears of each delivery, by the token it was submitted with, that it is durable or why not.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(mut durable: impl FnMut(T, io::Result<()>) + Send + 'static) -> io::Result<Self> {
        let (submit, submitted) = mpsc::sync_channel::<(Delivered, T)>(WAITING);
        let work = move || {
            while let Ok(first) = submitted.recv() {
                let mut batch = vec![first];
                batch.extend(submitted.try_iter().take(WAITING - 1));
                for (token, result) in sync(batch) {
                    durable(token, result);
                }
            }
        };
        let thread = thread::Builder::new().name("maildir-sync".to_owned()).spawn(work)?;
        Ok(Self { submit: Some(submit), thread: Some(thread) })
    }

    /// Hands a delivery over. Blocks while too many wait.
    ///
    /// # Errors
    /// The token, where the syncer has died; the delivery then counts as not made.
    pub fn submit(&self, delivered: Delivered, token: T) -> Result<(), T> {
        match &self.submit {
            Some(submit) => submit.send((delivered, token)).map_err(|refused| refused.0.1),
            None => Err(token),
        }
    }
}

impl<T> Drop for Syncer<T> {
    /// Waits until all that was submitted is reported.
    fn drop(&mut self) {
        drop(self.submit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sync<T: Send>(batch: Vec<(Delivered, T)>) -> Vec<(T, io::Result<()>)> {
    let (delivered, tokens): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let files = in_parallel(&delivered, |delivered| delivered.file.sync_all());
    // The files' own bytes are down: now their names, once a directory.
    let dirs: BTreeMap<&Path, ()> = delivered.iter().map(|delivered| (delivered.dir.as_path(), ())).collect();
    let paths: Vec<&Path> = dirs.into_keys().collect();
    let synced = in_parallel(&paths, |dir| sync_dir(dir));
    let dirs: BTreeMap<&Path, io::Result<()>> = paths.into_iter().zip(synced).collect();
    let results = delivered.iter().zip(files).map(|(delivered, file)| {
        file?;
        match dirs.get(delivered.dir.as_path()) {
            Some(Err(e)) => Err(io::Error::new(e.kind(), e.to_string())),
            Some(Ok(())) | None => Ok(()),
        }
    });
    tokens.into_iter().zip(results).collect()
}

/// What `work` gives for each of `items`, in order, a few of them at once.
fn in_parallel<I: Sync>(items: &[I], work: impl Fn(&I) -> io::Result<()> + Sync) -> Vec<io::Result<()>> {
    let each = items.len().div_ceil(AT_ONCE).max(1);
    if items.len() == 1 {
        return items.iter().map(work).collect();
    }
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items
            .chunks(each)
            .map(|chunk| (chunk.len(), scope.spawn(move || chunk.iter().map(work).collect::<Vec<_>>())))
            .collect();
        threads
            .into_iter()
            .flat_map(|(count, thread)| {
                let died = move |_| (0..count).map(|_| Err(io::Error::other("a syncing thread died"))).collect();
                thread.join().unwrap_or_else(died)
            })
            .collect()
    })
}
