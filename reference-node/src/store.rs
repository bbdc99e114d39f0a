//! Durable records, the bodies they hold, and the lines of `postline trace`: one SQLite file and a spool beside it.
//!
//! ```text
//!   stage(body)…  ──┐
//!   append_trace… ──┼─▶ write(records) ── one transaction, one sync ──▶ Durable
//!                   │        └─ on error: Broken until reopened
//!   Checkpointer ◀──┘ how much was written; folds the WAL into the file, off this path
//! ```
//!
//! One process holds a store at a time; its [`Reader`]s look on from other tasks. A body lives exactly as long as a
//! record holds it. A commit that fails at its sync is unknown: after reopening, all of it is there or none, and what was
//! acknowledged before always is. What to do with a damaged record, and when to purge, is left to the owner.
//!
//! A device's store also keeps an index of what its records say, and writes over what is taken back; see [`Said`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use postline_core::id::{BlobRef, ConversationId, Hash};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::spool::{Body, Spool, Staged};
use change::{Change, Finished};
use checkpoint::Checkpointer;
pub use copy::{Copied, copy};
pub use index::WordsOf;
pub use reader::Reader;
pub use search::{Found, Hit, Query, SearchFault, Unasked};
pub use trace::{About, TraceLine};

mod change;
mod checkpoint;
mod copy;
mod index;
mod reader;
mod rows;
mod schema;
mod search;
mod trace;

/// The one writer of a node's records.
#[derive(Debug)]
pub struct Store {
    // In the order in which they must go.
    conn: Connection,
    checkpointer: Checkpointer,
    staged: BTreeMap<Hash, Staged>,
    lines: Vec<TraceLine>,
    /// How many trace lines can't be found by their keys yet.
    behind: u32,
    spool: Spool,
    broken: Arc<OnceLock<String>>,
    generation: u64,
    said: Option<Said>,
    _lease: File,
}

/// What a device's store does about what its records say.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// What says the words of a record. Once they are gone from it they are gone from the store's files, within a second
    /// of the commit.
    pub words: WordsOf,
    /// Whether there is an index of them.
    pub searched: bool,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the store (attack 111).
    #[error("store {0} is in use by another process")]
    InUse(String),
    /// A newer Postline wrote it.
    #[error(
        "store has version {found}, and this program knows {known} at most: a newer postline wrote it; run that one, or \
         restore a backup from before the change"
    )]
    Newer {
        /// The version it has.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The file is a database of some other program.
    #[error("not a postline store (application id {0:#x})")]
    Foreign(i64),
    /// No room on the disk, or in the quota.
    #[error("no room: {0}")]
    Full(String),
    /// The disk failed.
    #[error("disk: {0}")]
    Io(String),
    /// The database file is damaged beyond single records.
    #[error("store is damaged: {0}")]
    Corrupt(String),
    /// A record was damaged. It was put aside, for the operator, and is absent from now on (attack 109).
    #[error("record {key} is damaged, and was put aside")]
    Damaged {
        /// Its key, as far as it can be read.
        key: String,
    },
    /// A body is not what its hash says. It stays until nobody holds it, and is never served.
    #[error("body {} is damaged or missing", .0.sha256)]
    DamagedBody(BlobRef),
    /// A record is to hold a body that is neither staged nor stored. The caller erred; nothing changed.
    #[error("record {key} holds body {}, which is not here", .blob.sha256)]
    NoBody {
        /// The record's key.
        key: String,
        /// Which body.
        blob: BlobRef,
    },
    /// An earlier write failed. The store must be opened again before anything is believed.
    #[error("store is unusable since: {0}")]
    Broken(String),
    /// What SQLite says, where none of the above fits.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
}

/// What is brought to a machine that starts.
#[derive(Debug, Default)]
pub struct Restored {
    /// The records, by the text of their keys.
    pub records: Vec<Record>,
    /// The keys of records that were damaged and put aside.
    pub damaged: Vec<String>,
}

impl Store {
    /// Opens the store in `dir`, making it where there is none, and holds it until dropped.
    ///
    /// What an earlier process left half done goes: bodies that no record holds, files that no row names.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`Newer`](StoreError::Newer), [`Foreign`](StoreError::Foreign),
    /// [`Corrupt`](StoreError::Corrupt), and the disk's.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::begin(dir, None)
    }

    /// Opens the store of a device as [`open`](Self::open) does. Its index is made from the records where there is none,
    /// where it is of another version, and where it is damaged.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_said(dir: &Path, said: Said) -> Result<Self, StoreError> {
        Self::begin(dir, Some(said))
    }

    fn begin(dir: &Path, said: Option<Said>) -> Result<Self, StoreError> {
        let lease = schema::lease(dir)?;
        schema::renew_wal(dir)?;
        let conn = schema::connect(dir)?;
        schema::migrate(dir, &conn)?;
        if let Some(said) = said {
            schema::overwrite(&conn)?;
            if said.searched {
                index::ready(&conn, said.words)?
            } else {
                index::drop_all(&conn)?
            }
            // Whoever had it before may have been stopped between taking words out and cutting the log.
            checkpoint::cut(&conn)?;
        }
        let spool = Spool::open(&dir.join(schema::SPOOL))?;
        change::sweep(&conn, &spool)?;
        crate::spool::sync_dir(dir)?;
        let broken = Arc::new(OnceLock::new());
        let behind = trace::behind(&conn)?;
        Ok(Self {
            generation: schema::generation(&conn)?,
            checkpointer: Checkpointer::start(schema::connect(dir)?, Arc::clone(&broken))?,
            conn,
            staged: BTreeMap::new(),
            lines: Vec::new(),
            behind,
            spool,
            broken,
            said,
            _lease: lease,
        })
    }

    /// The spool in which bodies are received for this store.
    #[must_use]
    pub fn spool(&self) -> Spool {
        self.spool.clone()
    }

    /// How often this store was restored from a backup, plus 1. Peers see it in each Ready.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Makes the generation at least `to`, and gives what it is then: to be called when the store was restored from a
    /// backup, with more than any earlier one had.
    ///
    /// # Errors
    /// Those of a write.
    pub fn raise_generation(&mut self, to: u64) -> Result<u64, StoreError> {
        self.usable()?;
        let raised = schema::raise_generation(&self.conn, to).map_err(StoreError::from);
        self.generation = self.judge(raised)?;
        Ok(self.generation)
    }

    /// Takes a body that records of the next write hold. Where none does, the body is dropped by that write.
    pub fn stage(&mut self, staged: Staged) {
        self.staged.insert(staged.blob.sha256, staged);
    }

    /// Takes a line for `postline trace`. It rides in the next write that has records, or when enough lines wait.
    pub fn append_trace(&mut self, line: TraceLine) {
        self.lines.push(line);
    }

    /// Writes the lines that wait, without records to ride with.
    ///
    /// # Errors
    /// Those of a write.
    pub fn write_trace(&mut self) -> Result<(), StoreError> {
        if self.lines.is_empty() { self.usable() } else { self.commit_all(&[]) }
    }

    /// The record under `key`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where its checksum is wrong, once: then it is put aside. And the disk's.
    pub fn get(&mut self, key: &Key) -> Result<Option<Record>, StoreError> {
        match rows::get(&self.conn, key) {
            Err(StoreError::Damaged { key }) => {
                self.put_aside(std::slice::from_ref(&key))?;
                Err(StoreError::Damaged { key })
            }
            found => found,
        }
    }

    /// The records that a starting machine is brought ([`Key::restored_at_start`]).
    ///
    /// # Errors
    /// The disk's. Damaged records are named in the answer.
    pub fn restored_at_start(&mut self) -> Result<Restored, StoreError> {
        let restored = rows::restored_at_start(&self.conn)?;
        self.put_aside(&restored.damaged)?;
        Ok(restored)
    }

    /// Up to `max` records whose key's text begins with `prefix` and lies after `after`.
    ///
    /// # Errors
    /// The disk's. Damaged records are named in the answer.
    pub fn scan(&mut self, prefix: &str, after: &str, max: usize) -> Result<Restored, StoreError> {
        let found = rows::scan(&self.conn, prefix, after, max)?;
        self.put_aside(&found.damaged)?;
        Ok(found)
    }

    /// The body that `blob` names, its hash checked.
    ///
    /// # Errors
    /// [`StoreError::DamagedBody`], and the disk's.
    pub fn body(&self, blob: BlobRef) -> Result<Option<Body>, StoreError> {
        rows::body(&self.conn, &self.spool, blob, true)
    }

    /// The file that `blob` names, its hash unchecked: for who sends it to somebody who checks it.
    ///
    /// # Errors
    /// The disk's.
    pub fn file(&self, blob: BlobRef) -> Result<Option<Body>, StoreError> {
        rows::body(&self.conn, &self.spool, blob, false)
    }

    /// Looks for what was said, in these conversations or in all: at most `max`, the newest first.
    ///
    /// # Errors
    /// [`SearchFault`].
    pub fn search(
        &self,
        query: &Query,
        within: Option<&BTreeSet<ConversationId>>,
        max: usize,
    ) -> Result<Found, SearchFault> {
        let said = self.said.filter(|said| said.searched).ok_or(SearchFault::NoIndex)?;
        search::find(&self.conn, said.words, query, within, max)
    }

    /// Makes the index of what is said anew, where the store has one, and sees that it is sound.
    ///
    /// # Errors
    /// Those of a write.
    pub fn rebuild_index(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        let Some(said) = self.said.filter(|said| said.searched) else { return Ok(()) };
        let made = index::ready_anew(&self.conn, said.words).and_then(|()| Ok(checkpoint::cut(&self.conn).map(drop)?));
        self.judge(made)
    }

    /// What is remembered about a mail, oldest first, at most [`TRACE_SHOWN`](postline_core::limits::TRACE_SHOWN) lines.
    ///
    /// # Errors
    /// The disk's.
    pub fn trace(&self, about: &About) -> Result<Vec<TraceLine>, StoreError> {
        trace::find(&self.conn, about)
    }

    /// Whether so many trace lines came that [`catch_up`](Self::catch_up) is worth a write of its own.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.behind >= LINES_AT_ONCE
    }

    /// Makes trace lines to be found by their keys: to be called when nobody waits, as long as the store
    /// [is behind](Self::is_behind).
    ///
    /// # Errors
    /// Those of a write.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        let caught = self.transact(|change| Ok(trace::catch_up(change.conn, LINES_AT_ONCE)?));
        self.behind = self.behind.saturating_sub(self.judge(caught)?);
        Ok(())
    }

    /// Drops up to `max` expired records, and as many trace lines that are too old or too many. Gives how many records.
    ///
    /// # Errors
    /// Those of a write.
    pub fn purge_expired(&mut self, now: Millis, max: usize) -> Result<usize, StoreError> {
        self.usable()?;
        let purged = self.transact(|change| {
            trace::purge(change.conn, now, max)?;
            change.purge(now, max)
        });
        self.judge(purged)
    }

    /// Writes what still waits and folds the WAL into the file, for a quick start next time.
    ///
    /// # Errors
    /// Those of a write.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.commit_all(&[])?;
        let fold = if self.said.is_some() { checkpoint::cut } else { checkpoint::run };
        fold(&self.conn).map(drop).map_err(StoreError::from)
    }

    fn usable(&self) -> Result<(), StoreError> {
        self.broken.get().map_or(Ok(()), |why| Err(StoreError::Broken(why.clone())))
    }

    /// Lets no one use the store after a failed write: which bytes the disk has is unknown until it is read again.
    fn judge<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(e) = &result
            && !matches!(e, StoreError::NoBody { .. })
        {
            let _ = self.broken.set(e.to_string());
        }
        result
    }

    fn commit_all(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.usable()?;
        let staged = std::mem::take(&mut self.staged);
        let lines = std::mem::take(&mut self.lines);
        let overdue = self.behind >= LINES_BEHIND;
        let mut caught = 0;
        let written = self.transact(|change| {
            for record in records {
                change.apply(record, &staged)?;
            }
            for line in &lines {
                trace::insert(change.conn, line)?;
            }
            if overdue {
                caught = trace::catch_up(change.conn, LINES_AT_ONCE)?;
            }
            Ok(std::mem::take(&mut change.kept))
        });
        let written = self.judge(written);
        for (hash, staged) in staged {
            // After a failure that is the disk's, the rows may have got there: then they need their files.
            let keep = match &written {
                Ok(kept) => kept.contains(&hash),
                Err(e) => !matches!(e, StoreError::NoBody { .. }),
            };
            if keep {
                staged.keep();
            }
        }
        self.behind = self.behind.saturating_add(u32::try_from(lines.len()).unwrap_or(u32::MAX)).saturating_sub(caught);
        written.map(drop)
    }

    fn transact<T>(&mut self, work: impl FnOnce(&mut Change<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        let mut change = Change::new(&transaction, self.said);
        let done = work(&mut change)?;
        let Finished { unlink, bytes, took_out, said } = change.finish()?;
        transaction.commit()?;
        self.said = said;
        self.checkpointer.wrote(bytes, took_out);
        for number in unlink {
            // What stays is swept when the store is next opened.
            let _ = fs::remove_file(self.spool.path(number));
        }
        Ok(done)
    }

    fn put_aside(&mut self, damaged: &[String]) -> Result<(), StoreError> {
        if damaged.is_empty() {
            return Ok(());
        }
        self.usable()?;
        let moved = self.transact(|change| damaged.iter().try_for_each(|key| change.put_aside(key)));
        self.judge(moved)
    }
}

/// How many trace lines wait for records to ride with.
const LINES_WAITING: usize = 256;
/// How many trace lines catch up at once.
const LINES_AT_ONCE: u32 = 1_024;
/// Most trace lines that are found by looking at each; beyond it, writers make lines catch up.
const LINES_BEHIND: u32 = 65_536;

impl postline_core::step::Store for Store {
    type Fault = StoreError;

    fn write(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if records.is_empty() && self.lines.len() < LINES_WAITING {
            self.usable()?;
            self.staged.clear();
            return Ok(());
        }
        self.commit_all(records)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let Some(code) = error.sqlite_error_code() else { return Self::Sqlite(error) };
        #[allow(clippy::wildcard_enum_match_arm, reason = "SQLite's codes are many, and these are the disk's")]
        match code {
            ErrorCode::DiskFull => Self::Full(error.to_string()),
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly => Self::Io(error.to_string()),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) {
            Self::Full(error.to_string())
        } else {
            Self::Io(error.to_string())
        }
    }
}

/// A time as SQLite keeps it. The end of time stays the end of time.
fn millis_to_sql(time: Millis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn millis_from_sql(number: i64) -> Option<Millis> {
    if number == i64::MAX { Some(Millis::NEVER) } else { u64::try_from(number).ok().map(Millis) }
}

/// A bound as SQLite wants it.
fn count_to_sql(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
