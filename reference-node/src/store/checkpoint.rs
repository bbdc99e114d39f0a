//! Folds the write-ahead log into the database file, on a thread and a connection of its own.
//!
//! ```text
//!   wrote(bytes)… ──▶ 16 MiB, or 1 MiB and idle ──▶ passive checkpoint ──▶ the next commit starts the log over
//! ```
//!
//! A log that starts over costs one commit a second sync, so it isn't done for a handful of records. A log whose pages
//! are written over in place costs less to sync than one that grows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// Folds at once from here on, in bytes.
const LARGE: u64 = 16 * 1024 * 1024;
/// Folds when nothing is written for [`IDLE`] from here on, in bytes.
const SMALL: u64 = 1024 * 1024;
/// Keeps writers waiting for the rest from here on, in bytes: they write faster than we fold, and a log that starts over
/// is written in place.
const HUGE: u64 = 32 * 1024 * 1024;
/// How long without a commit counts as idle.
const IDLE: Duration = Duration::from_millis(500);
/// How long a checkpoint that keeps writers waiting waits for readers.
const READERS: Duration = Duration::from_millis(50);
/// SQLite's default, which we use.
const PAGE: u64 = 4096;

/// The thread that folds, and the way to tell it how much there is.
#[derive(Debug)]
pub(super) struct Checkpointer {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told without being woken: that is worth it twice in a log's life, not at each commit.
#[derive(Debug, Default)]
struct Told {
    /// About how many bytes of the log aren't folded yet.
    waiting: AtomicU64,
    ends: AtomicBool,
}

impl Checkpointer {
    /// Starts it. Where the disk fails it, the reason ends up in `broken`, and it ends.
    pub(super) fn start(conn: Connection, broken: Arc<OnceLock<String>>) -> std::io::Result<Self> {
        let told = Arc::new(Told::default());
        let hears = Arc::clone(&told);
        let work = move || {
            let mut stuck = false;
            while let Some(waiting) = hears.wait(stuck) {
                let left = match fold(&conn) {
                    Ok(left) => left,
                    // No room, or a lock: the log still has all of it. Once more after as much again.
                    Err(e) if !is_fatal(&e) => {
                        tracing::warn!(error = %e, "the write-ahead log could not be folded");
                        0
                    }
                    Err(e) => {
                        let _ = broken.set(format!("checkpoint: {e}"));
                        return;
                    }
                };
                // Somebody reads from long ago, for as long as that takes.
                stuck = left >= LARGE;
                // What was written meanwhile is counted already.
                hears.waiting.fetch_add(left, Ordering::Relaxed);
                hears.waiting.fetch_sub(waiting, Ordering::Relaxed);
            }
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(work)?;
        Ok(Self { told, thread: Some(thread) })
    }

    /// Tells it that about so many bytes were added to the log.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.told.waiting.fetch_add(bytes, Ordering::Relaxed);
        let passes = |mark| before < mark && before.saturating_add(bytes) >= mark;
        if passes(SMALL) || passes(LARGE) {
            self.wake();
        }
    }

    fn wake(&self) {
        // It has ended only where the disk failed: then `broken` says so.
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Told {
    /// Waits until it is time to fold, and gives how much there is; `None` at the end.
    fn wait(&self, stuck: bool) -> Option<u64> {
        loop {
            let before = self.waiting.load(Ordering::Relaxed);
            // Who was woken in vain looks again.
            if before < SMALL {
                thread::park();
            } else if before < LARGE || stuck {
                thread::park_timeout(IDLE);
            }
            if self.ends.load(Ordering::Relaxed) {
                return None;
            }
            let now = self.waiting.load(Ordering::Relaxed);
            if now >= LARGE || (now >= SMALL && now == before) {
                return Some(now);
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.told.ends.store(true, Ordering::Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_fatal(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Folds what it can without keeping anyone waiting, and all of it where the log is huge. Gives the bytes that are left.
fn fold(conn: &Connection) -> rusqlite::Result<u64> {
    let (pages, left) = run(conn)?;
    if left == 0 || pages * PAGE < HUGE {
        return Ok(left * PAGE);
    }
    conn.busy_timeout(READERS)?;
    let (_, left) = checkpoint(conn, "PRAGMA wal_checkpoint(RESTART)")?;
    Ok(left * PAGE)
}

/// Folds what it can without keeping anyone waiting. Gives the pages of the log, and how many are left.
pub(super) fn run(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")
}

fn checkpoint(conn: &Connection, sql: &str) -> rusqlite::Result<(u64, u64)> {
    conn.query_row(sql, (), |row| {
        // Both are -1 where there is no log.
        let (pages, folded): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok((pages.max(0).cast_unsigned(), pages.saturating_sub(folded).max(0).cast_unsigned()))
    })
}
