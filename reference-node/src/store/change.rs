//! One transaction: records put and removed, the bodies they bring, and the bodies that nobody holds any more.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::Words;
use postline_core::id::{BlobRef, Hash};
use postline_core::limits;
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::index::{self, Became, Turned};
use super::{Said, StoreError, count_to_sql, millis_to_sql, rows};
use crate::spool::{Spool, Staged, StagedBytes};

/// What happens within one transaction.
pub(super) struct Change<'a> {
    pub(super) conn: &'a Connection,
    /// Bodies of this transaction that stay.
    pub(super) kept: BTreeSet<Hash>,
    /// Bodies that lost a holder.
    loose: BTreeSet<Hash>,
    /// Files to remove once it is committed.
    unlink: Vec<u64>,
    /// About how many bytes it adds to the write-ahead log.
    bytes: u64,
    /// Of a device's store.
    said: Option<Said>,
    /// Words that come and go with their records.
    turned: Vec<Turned>,
    /// Whether words, or what else a message was, are gone, or may be.
    took_out: bool,
    /// Whether a record was damaged that may have had words.
    doubted: bool,
}

/// What is left to do once it is committed.
pub(super) struct Finished {
    /// Files to remove.
    pub(super) unlink: Vec<u64>,
    /// About how many bytes it added to the write-ahead log.
    pub(super) bytes: u64,
    /// Whether words were taken out, which earlier pages of the log have.
    pub(super) took_out: bool,
    /// What the store does about words from now on.
    pub(super) said: Option<Said>,
}

/// What a record is before it is changed, its value aside.
#[derive(Clone, Copy)]
struct Older {
    blob: Option<Hash>,
    /// The length of its body and its end, where they can be read.
    rest: Option<(Option<i64>, Option<i64>)>,
}

/// What a change of one row costs in the write-ahead log: about a page each in the table and in an index.
const ROW_COST: u64 = 2 * 4096;

impl<'a> Change<'a> {
    pub(super) fn new(conn: &'a Connection, said: Option<Said>) -> Self {
        let (kept, loose) = (BTreeSet::new(), BTreeSet::new());
        let (turned, took_out, doubted) = (Vec::new(), false, false);
        Self { conn, kept, loose, unlink: Vec::new(), bytes: ROW_COST, said, turned, took_out, doubted }
    }

    /// Puts or removes a record.
    pub(super) fn apply(&mut self, record: &Record, staged: &BTreeMap<Hash, Staged>) -> Result<(), StoreError> {
        let key = record.key.to_string();
        let Some(value) = &record.value else { return self.remove(&key) };
        let expires = record.expires.map(millis_to_sql);
        let sum = rows::sum(&key, value, record.blob, expires);
        let said = self.said.and_then(|said| (said.words)(record));
        if record.blob.is_none() && self.insert_new(&key, value, expires, sum)? {
            self.turned.extend(said.map(Turned::In));
            return Ok(());
        }
        self.turn(&record.key, said)?;
        let older = self.older(&key)?;
        let held = older.and_then(|older| older.blob);
        if let Some(blob) = record.blob {
            self.bring(&key, blob, held, staged)?;
        }
        let blob = record.blob.map(|blob| blob.sha256);
        self.loose.extend(held.filter(|_| held != blob));
        let len = record.blob.map(|blob| i64::try_from(blob.len).unwrap_or(i64::MAX));
        if older.is_some_and(|older| older.blob == blob && older.rest == Some((len, expires))) {
            // Columns that are not written are not moved in their indexes.
            self.conn
                .prepare_cached("UPDATE record SET value = ?2, sum = ?3 WHERE key = ?1")?
                .execute(params![key, value, sum])?;
        } else {
            self.conn
                .prepare_cached(
                    "INSERT INTO record (key, value, blob, blob_len, expires, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (key) DO UPDATE SET value = ?2, blob = ?3, blob_len = ?4, expires = ?5, sum = ?6",
                )?
                .execute(params![key, value, blob.map(|blob| blob.0), len, expires, sum])?;
        }
        self.bytes += ROW_COST + value.len() as u64;
        Ok(())
    }

    /// Puts a record that holds no body where none is yet, without looking first: most are new. False where one is.
    fn insert_new(&mut self, key: &str, value: &[u8], expires: Option<i64>, sum: i64) -> Result<bool, StoreError> {
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO record (key, value, expires, sum) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO NOTHING",
        )?;
        let new = insert.execute(params![key, value, expires, sum])? > 0;
        if new {
            self.bytes += ROW_COST + value.len() as u64;
        }
        Ok(new)
    }

    /// What the record under `key` holds already.
    fn older(&self, key: &str) -> Result<Option<Older>, StoreError> {
        let mut find = self.conn.prepare_cached("SELECT blob, blob_len, expires FROM record WHERE key = ?1")?;
        let read = |row: &rusqlite::Row<'_>| {
            let blob = row.get::<_, Option<[u8; 32]>>(0)?.map(Hash);
            Ok(Older { blob, rest: row.get(1).ok().zip(row.get(2).ok()) })
        };
        Ok(find.query_row([key], read).optional()?)
    }

    fn remove(&mut self, key: &str) -> Result<(), StoreError> {
        if self.said.is_some()
            && let Some(key) = Key::parse(key)
        {
            self.turn(&key, None)?;
        }
        let mut remove = self.conn.prepare_cached("DELETE FROM record WHERE key = ?1 RETURNING blob")?;
        let held = remove.query_row([key], |row| row.get::<_, Option<[u8; 32]>>(0)).optional()?;
        self.loose.extend(held.flatten().map(Hash));
        self.bytes += ROW_COST;
        Ok(())
    }

    /// Words of a record that is there already are replaced.
    fn turn(&mut self, key: &Key, now: Option<Words>) -> Result<(), StoreError> {
        let Some(said) = self.said.filter(|_| matches!(key, Key::Said(..))) else { return Ok(()) };
        let before = match rows::get(self.conn, key) {
            Err(StoreError::Damaged { .. }) => {
                (self.doubted, self.took_out) = (true, true);
                None
            }
            found => found?.as_ref().and_then(said.words),
        };
        if before.as_ref().map(|before| &before.text) != now.as_ref().map(|now| &now.text) {
            self.took_out |= before.is_some();
            self.turned.extend(before.map(Turned::Out));
            self.turned.extend(now.map(Turned::In));
        }
        Ok(())
    }

    /// Sees to it that the body which a record newly holds is here.
    fn bring(
        &mut self,
        key: &str,
        blob: BlobRef,
        held: Option<Hash>,
        staged: &BTreeMap<Hash, Staged>,
    ) -> Result<(), StoreError> {
        if self.kept.contains(&blob.sha256) {
            return Ok(());
        }
        if let Some(staged) = staged.get(&blob.sha256).filter(|staged| staged.blob == blob) {
            return self.insert_body(staged);
        }
        // A record that held it before may go on holding it, even where the body was lost to a bad disk.
        let here = held == Some(blob.sha256) || {
            let len = i64::try_from(blob.len).unwrap_or(i64::MAX);
            let mut find = self.conn.prepare_cached("SELECT 1 FROM body WHERE sha256 = ?1 AND len = ?2")?;
            find.exists(params![blob.sha256.0, len])?
        };
        if here { Ok(()) } else { Err(StoreError::NoBody { key: key.to_owned(), blob }) }
    }

    /// Stores a body. An older copy of it is replaced, since that one may be damaged.
    fn insert_body(&mut self, staged: &Staged) -> Result<(), StoreError> {
        let hash = staged.blob.sha256;
        let (bytes, file) = match &staged.bytes {
            StagedBytes::Row(bytes) => (Some(&**bytes), None),
            StagedBytes::File(path) => {
                let number = staged.number();
                (None, Some(number.ok_or_else(|| StoreError::Io(format!("{} is not of the spool", path.display())))?))
            }
        };
        let len = i64::try_from(staged.blob.len).unwrap_or(i64::MAX);
        let row = params![hash.0, len, bytes, file.map(u64::cast_signed)];
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO body (sha256, len, bytes, file) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (sha256) DO NOTHING",
        )?;
        if insert.execute(row)? == 0 {
            let mut find = self.conn.prepare_cached("SELECT file FROM body WHERE sha256 = ?1")?;
            let older: Option<i64> = find.query_row([hash.0], |row| row.get(0))?;
            self.unlink.extend(older.map(i64::cast_unsigned));
            self.conn
                .prepare_cached("UPDATE body SET len = ?2, bytes = ?3, file = ?4 WHERE sha256 = ?1")?
                .execute(row)?;
        }
        self.kept.insert(hash);
        self.bytes += ROW_COST + bytes.map_or(0, |bytes| bytes.len() as u64);
        Ok(())
    }

    /// Drops up to `max` records whose end has come, and what was put aside long ago.
    pub(super) fn purge(&mut self, now: Millis, max: usize) -> Result<usize, StoreError> {
        let now_sql = millis_to_sql(now);
        let mut find = self.conn.prepare_cached(
            "SELECT key FROM record WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2",
        )?;
        let expired: Vec<String> =
            find.query_map(params![now_sql, count_to_sql(max)], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for key in &expired {
            self.remove(key)?;
        }
        self.conn.prepare_cached("UPDATE quarantine SET since = ?1 WHERE since IS NULL")?.execute([now_sql])?;
        let oldest = millis_to_sql(Millis(now.since(Millis(limits::QUARANTINE_MS))));
        let mut release = self.conn.prepare_cached("DELETE FROM quarantine WHERE since < ?1 RETURNING blob")?;
        for blob in release.query_map([oldest], |row| Ok(row.get::<_, [u8; 32]>(0).ok()))? {
            self.loose.extend(blob?.map(Hash));
        }
        Ok(expired.len())
    }

    /// Moves a damaged record out of the way. Its body stays with it.
    pub(super) fn put_aside(&mut self, key: &str) -> Result<(), StoreError> {
        self.conn.execute(
            "INSERT INTO quarantine SELECT key, value, blob, blob_len, expires, sum, NULL FROM record WHERE key = ?1",
            [key],
        )?;
        self.conn.execute("DELETE FROM record WHERE key = ?1", [key])?;
        self.doubted |= key.starts_with("said/");
        tracing::error!(key, "a damaged record was put aside");
        Ok(())
    }

    /// Has the index follow the records, and drops the bodies that nobody holds.
    pub(super) fn finish(mut self) -> Result<Finished, StoreError> {
        self.follow()?;
        let mut drop_body = self.conn.prepare_cached(
            "DELETE FROM body WHERE sha256 = ?1
             AND NOT EXISTS (SELECT 1 FROM record WHERE blob = ?1)
             AND NOT EXISTS (SELECT 1 FROM quarantine WHERE blob = ?1) RETURNING file",
        )?;
        for hash in &self.loose {
            let file: Option<Option<i64>> = drop_body.query_row([hash.0], |row| row.get(0)).optional()?;
            self.unlink.extend(file.flatten().map(i64::cast_unsigned));
        }
        let Self { unlink, bytes, took_out, said, .. } = self;
        Ok(Finished { unlink, bytes, took_out, said })
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        let Some(said) = self.said.as_mut().filter(|said| said.searched) else { return Ok(()) };
        if self.doubted {
            index::doubt(self.conn)?;
            said.searched = false;
        } else if !self.turned.is_empty() {
            said.searched = index::turn(self.conn, &self.turned)? == Became::Whole;
            self.bytes += self.turned.len() as u64 * ROW_COST;
        }
        Ok(())
    }
}

/// Removes what an earlier process left: bodies that nobody holds, and files that no row names.
///
/// While a damaged record is put aside, bodies stay: one of them may be the damaged record's.
pub(super) fn sweep(conn: &Connection, spool: &Spool) -> Result<(), StoreError> {
    conn.execute(
        "DELETE FROM body WHERE NOT EXISTS (SELECT 1 FROM quarantine)
         AND NOT EXISTS (SELECT 1 FROM record WHERE blob = sha256)",
        (),
    )?;
    let mut files = conn.prepare("SELECT file FROM body WHERE file IS NOT NULL")?;
    let held: BTreeSet<u64> =
        files.query_map((), |row| row.get::<_, i64>(0).map(i64::cast_unsigned))?.collect::<Result<_, _>>()?;
    Ok(spool.sweep(&held)?)
}
