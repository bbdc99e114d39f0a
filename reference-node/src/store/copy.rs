//! A copy of a store that others write to meanwhile: its records, and every body that they name.
//!
//! ```text
//!   hold a second name for each body's file ──▶ begin to read ──▶ is each file that is named held? ──no──▶ once more
//!                                                                          │ yes
//!           bodies linked or copied, each hashed ◀── SQLite's online backup, of what was begun to be read
//! ```
//!
//! A file that the node removes meanwhile lives on under its second name, so the copy is of one moment: no record of it
//! names a body that isn't there. The node is never kept waiting, but its log isn't folded while the copy reads.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use postline_core::id::{BlobRef, Hash};
use rusqlite::Connection;

use super::{StoreError, schema};
use crate::spool::{Body, Spool, sync_dir};

/// How often bodies may come and go between holding and reading before the copy is given up.
const TRIES: usize = 100;
/// The directory of second names, in the store's.
const HOLD: &str = "hold";
/// The file whose lock says that a copy is being made.
const HOLD_LOCK: &str = "hold.lock";

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The version of the tables.
    pub schema: i64,
    /// The generation of the store that was copied.
    pub generation: u64,
    /// How many records there are.
    pub records: u64,
    /// How many bodies are files.
    pub bodies: usize,
}

/// Copies the store in `from` into the directory `to`, which is made, while a node may be writing to it.
///
/// # Errors
/// [`StoreError::InUse`] where another copy is being made, [`DamagedBody`](StoreError::DamagedBody) where a body is not
/// what its hash says, and those of [`Reader::open`](super::Reader::open). What was made until then stays.
pub fn copy(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    let conn = schema::connect_read_only(from)?;
    let spool = Spool::at(&from.join(schema::SPOOL));
    let hold = Hold::take(from)?;
    let copies = Spool::open(&to.join(schema::SPOOL))?;
    let mut named = None;
    for _ in 0..TRIES {
        hold.all(&spool)?;
        // It ends with its scope: the next try sees a later moment.
        let reading = conn.unchecked_transaction()?;
        let files = files(&reading)?;
        if hold.these(&spool, files.keys().copied())? {
            schema::copy_database(&reading, &to.join(schema::DATABASE))?;
            named = Some(files);
            break;
        }
    }
    let named = named.ok_or_else(|| StoreError::Io("bodies come and go too fast for a copy: try again".to_owned()))?;
    for (number, blob) in &named {
        link_or_copy(&hold.path(*number), &copies.path(*number))?;
        let copied = Body::File(File::open(copies.path(*number))?, blob.len);
        if !copied.is(*blob)? {
            return Err(StoreError::DamagedBody(*blob));
        }
    }
    sync_dir(&to.join(schema::SPOOL).join("blobs"))?;
    sync_dir(to)?;
    let copied = schema::connect_read_only(to)?;
    let sound: String = copied.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if sound != "ok" {
        return Err(StoreError::Corrupt(sound));
    }
    let records = copied.query_row("SELECT count(*) FROM record", (), |row| row.get::<_, i64>(0))?;
    Ok(Copied {
        schema: schema::version(&copied)?,
        generation: schema::generation(&copied)?,
        records: records.unsigned_abs(),
        bodies: named.len(),
    })
}

/// The files that rows name, and what they hold.
fn files(conn: &Connection) -> Result<BTreeMap<u64, BlobRef>, StoreError> {
    let mut find = conn.prepare("SELECT file, sha256, len FROM body WHERE file IS NOT NULL")?;
    let row = |row: &rusqlite::Row<'_>| {
        let blob = BlobRef { sha256: Hash(row.get(1)?), len: row.get::<_, i64>(2)?.unsigned_abs() };
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), blob))
    };
    Ok(find.query_map((), row)?.collect::<Result<_, _>>()?)
}

/// Second names of files, so that they outlive the first. They go when this is dropped.
struct Hold {
    dir: PathBuf,
    _lock: File,
}

impl Hold {
    fn take(store: &Path) -> Result<Self, StoreError> {
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(store.join(HOLD_LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(format!("{}'s copy", store.display()))),
            Err(TryLockError::Error(why)) => return Err(why.into()),
        }
        let hold = Self { dir: store.join(HOLD), _lock: lock };
        // What a copy that was killed has left.
        hold.clear()?;
        DirBuilder::new().mode(0o700).create(&hold.dir)?;
        Ok(hold)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}"))
    }

    /// Holds every file that is there now.
    fn all(&self, spool: &Spool) -> Result<(), StoreError> {
        self.these(spool, spool.numbers()?).map(drop)
    }

    /// Holds these files; `false` where one isn't there any more.
    fn these(&self, spool: &Spool, numbers: impl IntoIterator<Item = u64>) -> Result<bool, StoreError> {
        let mut held = true;
        for number in numbers {
            match fs::hard_link(spool.path(number), self.path(number)) {
                Ok(()) => {}
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) if why.kind() == io::ErrorKind::NotFound => held = false,
                Err(why) => return Err(why.into()),
            }
        }
        Ok(held)
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // What stays is cleared by the next copy.
        let _ = self.clear();
    }
}

/// A second name where that can be, since bodies never change; else a copy.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}
