//! A second handle that only looks: for tasks that send bodies, and for an operator's commands.

use std::collections::BTreeSet;
use std::path::Path;

use postline_core::id::{BlobRef, ConversationId};
use postline_core::store::{Key, Record};
use rusqlite::Connection;

use super::{About, Found, Query, Restored, SearchFault, StoreError, TraceLine, WordsOf, rows, schema, search, trace};
use crate::spool::{Body, Spool};

/// Reads what is committed, while the store writes. Holds no lease.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    spool: Spool,
}

impl Reader {
    /// Opens the store in `dir` for reading.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`Foreign`](StoreError::Foreign), and the disk's where there is no store.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { conn: schema::connect_read_only(dir)?, spool: Spool::at(&dir.join(schema::SPOOL)) })
    }

    /// The record under `key`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], and the disk's.
    pub fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        rows::get(&self.conn, key)
    }

    /// Up to `max` records whose key's text begins with `prefix` and lies after `after`.
    ///
    /// # Errors
    /// The disk's. Damaged records are named in the answer.
    pub fn scan(&self, prefix: &str, after: &str, max: usize) -> Result<Restored, StoreError> {
        rows::scan(&self.conn, prefix, after, max)
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

    /// Looks for what was said on a device, as [`Store::search`](super::Store::search) does.
    ///
    /// # Errors
    /// [`SearchFault`].
    pub fn search(
        &self,
        words: WordsOf,
        query: &Query,
        within: Option<&BTreeSet<ConversationId>>,
        max: usize,
    ) -> Result<Found, SearchFault> {
        search::find(&self.conn, words, query, within, max)
    }

    /// What is remembered about a mail, oldest first, at most [`TRACE_SHOWN`](postline_core::limits::TRACE_SHOWN) lines.
    ///
    /// # Errors
    /// The disk's.
    pub fn trace(&self, about: &About) -> Result<Vec<TraceLine>, StoreError> {
        trace::find(&self.conn, about)
    }

    /// The keys of damaged records that were put aside.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_aside(&self) -> Result<Vec<String>, StoreError> {
        let mut keys = self.conn.prepare_cached("SELECT CAST(key AS TEXT) FROM quarantine ORDER BY key LIMIT 1000")?;
        let found = keys.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// How often the store was restored from a backup, plus 1.
    ///
    /// # Errors
    /// The disk's.
    pub fn generation(&self) -> Result<u64, StoreError> {
        schema::generation(&self.conn)
    }
}
