//! Folds the write-ahead log into the database file, on a thread and a connection of its own.
//!
//! ```text
//!   wrote(bytes)… ──▶ 16 MiB, or 1 MiB and idle ──▶ passive checkpoint ──▶ the next commit starts the log over
//!   wrote(…), and words went ──▶ a second later ──▶ all of it is folded, and the log cut to nothing
//! ```
//!
//! A log that starts over costs one commit a second sync, so it isn't done for a handful of records. A log whose pages
//! are written over in place costs less to sync than one that grows.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postline_core::limits;
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
/// How long words that went may stay in the log.
const CUT: Duration = Duration::from_millis(limits::SEARCH_CUT_MS);
/// SQLite's default, which we use.
const PAGE: u64 = 4096;

/// The thread that folds, and the way to tell it how much there is.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wrote: Option<Sender<(u64, bool)>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts it. Where the disk fails it, the reason ends up in `broken`, and it ends.
    pub(super) fn start(conn: Connection, broken: Arc<OnceLock<String>>) -> std::io::Result<Self> {
        let (wrote, told) = mpsc::channel::<(u64, bool)>();
        let work = move || {
            let (mut waiting, mut cut) = (0, None::<Instant>);
            loop {
                let left = cut.map(|at| at.saturating_duration_since(now()));
                let patience = if waiting < SMALL { left } else { Some(left.map_or(IDLE, |left| left.min(IDLE))) };
                let next = patience.map_or_else(
                    || told.recv().map_err(RecvTimeoutError::from),
                    |patience| told.recv_timeout(patience),
                );
                match next {
                    Ok((bytes, took_out)) => {
                        waiting += bytes;
                        cut = cut.or_else(|| took_out.then(|| now() + CUT));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let due = cut.is_some_and(|at| at <= now());
                if !due && waiting < if next.is_ok() { LARGE } else { SMALL } {
                    continue;
                }
                let folded = if due { cut_off(&conn) } else { fold(&conn).map(|left| (left, true)) };
                match folded {
                    Ok((left, done)) => {
                        waiting = left;
                        // Somebody reads what was before: once more.
                        cut = if due && !done { Some(now() + CUT) } else { cut.filter(|_| !due) };
                    }
                    // No room, or a lock: the log still has all of it. Once more after as much again.
                    Err(e) if !is_fatal(&e) => {
                        tracing::warn!(error = %e, "the write-ahead log could not be folded");
                        waiting = 0;
                        cut = cut.map(|_| now() + CUT);
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

    /// Tells it that about so many bytes were added to the log, and whether words went that it still has.
    pub(super) fn wrote(&self, bytes: u64, took_out: bool) {
        if let Some(wrote) = &self.wrote {
            // It has ended only where the disk failed: then `broken` says so.
            let _ = wrote.send((bytes, took_out));
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

#[expect(clippy::disallowed_methods, reason = "the node is where the clock is read")]
fn now() -> Instant {
    Instant::now()
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

/// Folds all of it and cuts the log to nothing, waiting a moment for readers. Gives the bytes that are left, and whether
/// it was cut.
fn cut_off(conn: &Connection) -> rusqlite::Result<(u64, bool)> {
    conn.busy_timeout(READERS)?;
    let (pages, left) = cut(conn)?;
    Ok((left * PAGE, pages == 0))
}

/// The same, waiting for readers as long as the connection does. Gives the pages of the log, and how many are left.
pub(super) fn cut(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)")
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
