//! A disk that can fail, and a node's records and bodies on it.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::id::{BlobRef, Hash};
use postline_core::step::Store;
use postline_core::store::{Key, Record};

/// Records and bodies that survive a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    kept: Kept,
    staged: BTreeMap<Hash, Vec<u8>>,
    backup: Option<Kept>,
    /// How many commits succeed before one fails; `None`: all do.
    pub fails_after: Option<u32>,
    /// Whether the commit that fails is on the disk all the same: nobody knows after an error.
    pub fails_written: bool,
    /// How many commits there were.
    pub commits: u64,
    /// How many of them had something to write: each costs a sync.
    pub syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    records: BTreeMap<Key, Record>,
    bodies: BTreeMap<Hash, Vec<u8>>,
}

/// A commit failed: whether anything of it is there, nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFull;

impl Disk {
    /// Takes a body that the next commit's records may hold.
    pub fn stage(&mut self, bytes: Vec<u8>) {
        self.staged.insert(crate::bytes::blob_of(&bytes).sha256, bytes);
    }

    /// What was staged for a commit that never came is gone.
    pub fn unstage(&mut self) {
        self.staged.clear();
    }

    /// A record.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.kept.records.get(key)
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.kept.records.values()
    }

    /// A body that some record holds.
    #[must_use]
    pub fn body(&self, blob: BlobRef) -> Option<&[u8]> {
        self.kept.bodies.get(&blob.sha256).map(Vec::as_slice)
    }

    /// Takes a backup.
    pub fn back_up(&mut self) {
        self.backup = Some(self.kept.clone());
    }

    /// Goes back to the backup. False where there is none.
    pub fn restore_backup(&mut self) -> bool {
        self.staged.clear();
        let Some(backup) = self.backup.take() else { return false };
        self.kept = backup;
        true
    }
}

impl Store for Disk {
    type Fault = DiskFull;

    fn write(&mut self, records: &[Record]) -> Result<(), DiskFull> {
        let staged = std::mem::take(&mut self.staged);
        if let Some(left) = &mut self.fails_after {
            if *left == 0 {
                self.fails_after = None;
                if std::mem::take(&mut self.fails_written) {
                    self.kept.write(staged, records);
                }
                return Err(DiskFull);
            }
            *left -= 1;
        }
        self.commits += 1;
        self.syncs += u64::from(!records.is_empty());
        self.kept.write(staged, records);
        Ok(())
    }
}

impl Kept {
    fn write(&mut self, staged: BTreeMap<Hash, Vec<u8>>, records: &[Record]) {
        self.bodies.extend(staged);
        for record in records {
            match &record.value {
                Some(_) => self.records.insert(record.key.clone(), record.clone()),
                None => self.records.remove(&record.key),
            };
        }
        let held: BTreeSet<Hash> =
            self.records.values().filter_map(|record| record.blob.map(|blob| blob.sha256)).collect();
        self.bodies.retain(|hash, _| held.contains(hash));
    }
}
