//! The files of a store, who holds them, and the shape of its tables.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::StoreError;

/// The name of the database file.
pub(super) const DATABASE: &str = "postline.db";
/// The name of its write-ahead log, which SQLite derives.
const WAL: &str = "postline.db-wal";
/// The file whose lock is the lease.
const LEASE: &str = "postline.lock";
/// The directory of the spool.
pub(super) const SPOOL: &str = "spool";

/// "Post", so that `file` and we know the database for what it is.
const APPLICATION_ID: i64 = 0x506f_7374;

/// Each brings the tables from the version that is its index to the next. Released ones never change.
const MIGRATIONS: &[&str] = &["
    -- Rows stand in the order of their arrival: fewer pages to sync than in the order of keys, which are random.
    CREATE TABLE record (
        key TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL,
        blob BLOB,          -- sha256 of the body it holds
        blob_len INTEGER,
        expires INTEGER,    -- milliseconds since 1970
        sum INTEGER NOT NULL
    );
    CREATE INDEX record_blob ON record (blob) WHERE blob IS NOT NULL;
    CREATE INDEX record_expires ON record (expires) WHERE expires IS NOT NULL;

    CREATE TABLE body (
        sha256 BLOB PRIMARY KEY NOT NULL,
        len INTEGER NOT NULL,
        bytes BLOB,         -- or, for large ones:
        file INTEGER        -- the number of a file in the spool
    );

    CREATE TABLE quarantine (
        key TEXT,
        value BLOB,
        blob BLOB,
        blob_len INTEGER,
        expires INTEGER,
        sum INTEGER,
        since INTEGER       -- the first purge that saw it
    );
    CREATE INDEX quarantine_blob ON quarantine (blob) WHERE blob IS NOT NULL;

    CREATE TABLE trace (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        message_id TEXT,
        mail BLOB,
        line TEXT NOT NULL
    );
    -- Where lines are found. These follow behind: their keys are random, and each would cost a commit a page of its own.
    CREATE TABLE trace_mail (mail BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (mail, number)) WITHOUT ROWID;
    CREATE TABLE trace_message_id (
        message_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (message_id, number)
    ) WITHOUT ROWID;

    CREATE TABLE meta (
        name TEXT PRIMARY KEY NOT NULL,
        value INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO meta VALUES ('generation', 1), ('traced', 0); -- the last line that can be found by its keys
"];

/// How long one connection waits for another's lock.
const BUSY: Duration = Duration::from_secs(10);

/// How often the lock is tried, and how long between.
const TRIES: (u32, Duration) = (25, Duration::from_millis(20));

/// Makes the directory and takes the lock that ends with the process, however it ends. It is tried for a moment: a child
/// that who had it starts just then holds it until it is another program.
pub(super) fn lease(dir: &Path) -> Result<File, StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join(LEASE))?;
    for _ in 0..TRIES.0 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TRIES.1),
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
    }
    Err(StoreError::InUse(dir.display().to_string()))
}

/// Writes the write-ahead log over itself and syncs it.
///
/// After a failed sync the kernel may show bytes that the disk never got, and count them as clean. SQLite would believe
/// them. Written once more they are dirty again, and the sync means what it says, or fails.
pub(super) fn renew_wal(dir: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(dir.join(WAL)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        open => open?,
    };
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let got = file.read_at(&mut buffer, offset)?;
        let Some(piece) = buffer.get(..got).filter(|piece| !piece.is_empty()) else { break };
        file.write_all_at(piece, offset)?;
        offset += got as u64;
    }
    file.sync_all()
}

/// Opens a connection for writing.
pub(super) fn connect(dir: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(dir.join(DATABASE), flags)?;
    check(&conn)?;
    // Where it can't, SQLite says so by staying in another mode.
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Io(format!("no write-ahead log, but journal mode {mode}")));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Overwrites what is deleted wherever that costs no further writing.
    conn.pragma_update(None, "secure_delete", "FAST")?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(conn)
}

/// Has a connection write over what is deleted wherever it stood, whatever that costs.
pub(super) fn overwrite(conn: &Connection) -> Result<(), StoreError> {
    Ok(conn.pragma_update(None, "secure_delete", "ON")?)
}

/// Opens a connection that can only read.
pub(super) fn connect_read_only(dir: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(dir.join(DATABASE), flags)?;
    check(&conn)?;
    Ok(conn)
}

fn check(conn: &Connection) -> Result<(), StoreError> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    // After a failed write, closing must not copy a log that nobody believes into the file.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(StoreError::Foreign(application));
    }
    let (found, known) = (version(conn)?, MIGRATIONS.len() as i64);
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

pub(super) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the tables to the newest version, all or nothing. What an older version wrote is first copied aside, as it
/// was, so that the older program can still be gone back to.
pub(super) fn migrate(dir: &Path, conn: &Connection) -> Result<(), StoreError> {
    migrate_by(MIGRATIONS, dir, conn)
}

fn migrate_by(migrations: &[&str], dir: &Path, conn: &Connection) -> Result<(), StoreError> {
    let found = usize::try_from(version(conn)?).unwrap_or_default();
    let missing = migrations.get(found..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    if found > 0 {
        // Nobody else writes: the lease is ours.
        copy_aside(conn, &dir.join(format!("{DATABASE}.version-{found}")))?;
        tracing::info!(from = found, to = migrations.len(), "the store is migrated; a copy of the old one is kept");
    }
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    Ok(transaction.commit()?)
}

/// Copies the database, as it is, into a new file that is there whole or not at all.
fn copy_aside(conn: &Connection, to: &Path) -> Result<(), StoreError> {
    let part = to.with_extension("part");
    match fs::remove_file(&part) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        Ok(()) | Err(_) => {}
    }
    copy_database(conn, &part)?;
    fs::rename(&part, to)?;
    if let Some(dir) = to.parent() {
        crate::spool::sync_dir(dir)?;
    }
    Ok(())
}

/// Copies the database into a new file by SQLite's online backup: what was committed when it began, all of it, while
/// others go on. Within a transaction of `conn`, what that one sees.
pub(super) fn copy_database(conn: &Connection, to: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    drop(made);
    let mut copy =
        Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // All pages in one step: one look at the source, which so can't change under it.
    let stepped = Backup::new(conn, &mut copy)?.step(-1)?;
    if stepped != StepResult::Done {
        return Err(StoreError::Io(format!("the database could not be copied: {stepped:?}")));
    }
    // One file, with no log beside it; whoever opens it as a store gives it one.
    let _mode: String = copy.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
    copy.close().map_err(|(_, why)| why)?;
    Ok(File::open(to)?.sync_all()?)
}

pub(super) fn generation(conn: &Connection) -> Result<u64, StoreError> {
    let found = conn
        .query_row("SELECT value FROM meta WHERE name = 'generation'", (), |row| row.get(0))
        .optional()?
        .and_then(|value: i64| u64::try_from(value).ok());
    found.ok_or_else(|| StoreError::Corrupt("it names no generation".to_owned()))
}

/// Makes the generation `to`, where that is higher; gives what it is then.
pub(super) fn raise_generation(conn: &Connection, to: u64) -> rusqlite::Result<u64> {
    let to = i64::try_from(to).unwrap_or(i64::MAX);
    conn.query_row("UPDATE meta SET value = max(value, ?1) WHERE name = 'generation' RETURNING value", [to], |row| {
        row.get::<_, i64>(0).map(i64::unsigned_abs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(conn: &Connection) -> rusqlite::Result<i64> {
        conn.query_row("SELECT value FROM meta WHERE name = 'generation'", (), |row| row.get(0))
    }

    #[test]
    fn an_older_store_is_migrated_at_once_and_kept_aside_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let conn = connect(dir.path()).unwrap();
        migrate(dir.path(), &conn).unwrap();
        raise_generation(&conn, 7).unwrap();
        let next =
            [MIGRATIONS, &["CREATE TABLE more (n INTEGER); UPDATE meta SET value = 70 WHERE name = 'generation'"]];
        migrate_by(&next.concat(), dir.path(), &conn).unwrap();
        assert_eq!((version(&conn).unwrap(), column(&conn).unwrap()), (MIGRATIONS.len() as i64 + 1, 70));
        let aside = dir.path().join(format!("{DATABASE}.version-{}", MIGRATIONS.len()));
        let old = Connection::open(&aside).unwrap();
        assert_eq!((version(&old).unwrap(), column(&old).unwrap()), (MIGRATIONS.len() as i64, 7));
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&aside.metadata().unwrap().permissions()) & 0o777, 0o600);
        drop(conn);
        assert!(matches!(connect(dir.path()), Err(StoreError::Newer { .. })), "this program is now the older one");
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let conn = connect(dir.path()).unwrap();
        migrate(dir.path(), &conn).unwrap();
        let next = [MIGRATIONS, &["UPDATE meta SET value = 70 WHERE name = 'generation'", "CREATE TABLE meta (n)"]];
        assert!(migrate_by(&next.concat(), dir.path(), &conn).is_err());
        assert_eq!((version(&conn).unwrap(), column(&conn).unwrap()), (MIGRATIONS.len() as i64, 1));
        drop(conn);
        assert!(crate::store::Store::open(dir.path()).is_ok(), "and it opens as before");
    }
}
