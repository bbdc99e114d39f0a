//! A disk that can fail, and a node's records and bodies on it.

use std::collections::BTreeMap;

use postline_core::id::{BlobRef, Hash};
use postline_core::step::Store;
use postline_core::store::{Key, Record};

/// Records and bodies that survive a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    records: BTreeMap<Key, Record>,
    bodies: BTreeMap<Hash, Vec<u8>>,
    staged: BTreeMap<Hash, Vec<u8>>,
    /// How many commits succeed before one fails; `None`: all do.
    pub fails_after: Option<u32>,
    /// How many commits there were.
    pub commits: u64,
}

/// A commit failed: nothing of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFull;

impl Disk {
    /// Takes a body that the next commit's records may hold.
    pub fn stage(&mut self, bytes: Vec<u8>) {
        self.staged.insert(crate::bytes::blob_of(&bytes).sha256, bytes);
    }

    /// A record.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// A body that some record holds.
    #[must_use]
    pub fn body(&self, blob: BlobRef) -> Option<&[u8]> {
        self.bodies.get(&blob.sha256).map(Vec::as_slice)
    }
}

impl Store for Disk {
    type Fault = DiskFull;

    fn write(&mut self, records: &[Record]) -> Result<(), DiskFull> {
        let staged = std::mem::take(&mut self.staged);
        if let Some(left) = &mut self.fails_after {
            if *left == 0 {
                self.fails_after = None;
                return Err(DiskFull);
            }
            *left -= 1;
        }
        self.commits += 1;
        self.bodies.extend(staged);
        for record in records {
            match &record.value {
                Some(_) => self.records.insert(record.key.clone(), record.clone()),
                None => self.records.remove(&record.key),
            };
        }
        let held: std::collections::BTreeSet<Hash> =
            self.records.values().filter_map(|record| record.blob.map(|blob| blob.sha256)).collect();
        self.bodies.retain(|hash, _| held.contains(hash));
        Ok(())
    }
}
