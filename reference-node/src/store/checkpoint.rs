//! Folds the write-ahead log into the database file, on a thread and a connection of its own.
//!
//! ```text
//!   wrote(bytes)… ──▶ 16 MiB, or 1 MiB and idle ──▶ passive checkpoint ──▶ the next commit starts the log over
//! ```
//!
//! A log that starts over costs one commit a second sync, so it isn't done for a handful of records. A log whose pages
//! are written over in place costs less to sync than one that grows.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
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
    wrote: Option<Sender<u64>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts it. Where the disk fails it, the reason ends up in `broken`, and it ends.
    pub(super) fn start(conn: Connection, broken: Arc<OnceLock<String>>) -> std::io::Result<Self> {
        let (wrote, told) = mpsc::channel();
        let work = move || {
            let mut waiting = 0;
            loop {
                let next =
                    if waiting < SMALL { told.recv().map_err(RecvTimeoutError::from) } else { told.recv_timeout(IDLE) };
                match next {
                    Ok(bytes) => waiting += bytes,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if next.is_ok() && waiting < LARGE {
                    continue;
                }
                match fold(&conn) {
                    Ok(left) => waiting = left,
                    // No room, or a lock: the log still has all of it. Once more after as much again.
                    Err(e) if !is_fatal(&e) => {
                        tracing::warn!(error = %e, "the write-ahead log could not be folded");
                        waiting = 0;
                    }
                    Err(e) => {
                        let _ = broken.set(format!("checkpoint: {e}"));
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(work)?;
        Ok(Self { wrote: Some(wrote), thread: Some(thread) })
    }

    /// Tells it that about so many bytes were added to the log.
    pub(super) fn wrote(&self, bytes: u64) {
        if let Some(wrote) = &self.wrote {
            // It has ended only where the disk failed: then `broken` says so.
            let _ = wrote.send(bytes);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wrote.take());
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
