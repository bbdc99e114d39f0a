//! A disk that can fail, and a node's records and bodies on it.
//!
//! A record lies there with a sum of its bytes, as in the reference node's store: one that is not what was written is as
//! good as none, and never served (attack 109). A commit that a crash cuts off is whole or absent by the same sums; so here
//! it is one of the two.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::id::{BlobRef, Hash};
use postline_core::step::Store;
use postline_core::store::{Key, Record};

use crate::rng::Rng;
use crate::trace::fnv;

/// Records and bodies that survive a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    kept: Kept,
    staged: BTreeMap<Hash, Vec<u8>>,
    backup: Option<Kept>,
    /// Whether a bit ever flipped.
    rots: bool,
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
    records: BTreeMap<Key, Row>,
    bodies: BTreeMap<Hash, Vec<u8>>,
}

/// A record, and the sum of its bytes when it was written.
#[derive(Clone, Debug)]
struct Row {
    record: Record,
    sum: u64,
}

impl Row {
    fn of(record: &Record) -> Self {
        Self { record: record.clone(), sum: sum(record) }
    }

    fn is_whole(&self) -> bool {
        sum(&self.record) == self.sum
    }
}

fn sum(record: &Record) -> u64 {
    fnv(record.value.as_deref().unwrap_or_default())
}

/// A commit failed: whether anything of it is there, nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFull;

impl Disk {
    /// Takes a body that the next commit's records may hold.
    pub fn stage(&mut self, bytes: Vec<u8>) {
        self.staged.insert(crate::bytes::blob_of(&bytes).sha256, bytes);
    }

    /// Takes a body by the name that somebody gives it.
    pub(crate) fn stage_as(&mut self, hash: Hash, bytes: Vec<u8>) {
        self.staged.insert(hash, bytes);
    }

    /// What was staged for a commit that never came is gone.
    pub fn unstage(&mut self) {
        self.staged.clear();
    }

    /// A record.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.kept.records.get(key).filter(|row| row.is_whole()).map(|row| &row.record)
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.kept.records.values().filter(|row| row.is_whole()).map(|row| &row.record)
    }

    /// A body that some record holds.
    #[must_use]
    pub fn body(&self, blob: BlobRef) -> Option<&[u8]> {
        let body = self.kept.bodies.get(&blob.sha256)?;
        // Hashing takes long: who had no bit flipped needn't look.
        (!self.rots || crate::bytes::blob_of(body) == blob).then_some(body)
    }

    /// Whether anything on it is so.
    pub fn holds(&self, is_so: impl Fn(&[u8]) -> bool) -> bool {
        let values = self.kept.records.values().filter_map(|row| row.record.value.as_deref());
        values.chain(self.kept.bodies.values().map(Vec::as_slice)).any(is_so)
    }

    /// Whether a body is there, and is not what was written.
    #[must_use]
    pub fn has_rotten(&self, blob: BlobRef) -> bool {
        self.kept.bodies.contains_key(&blob.sha256) && self.body(blob).is_none()
    }

    /// A bit flips in one of the records, or in the body that it holds. Gives its key, and the body as it was.
    pub fn rot(&mut self, rng: &mut Rng) -> Option<(Key, Option<Vec<u8>>)> {
        let nth = rng.index(self.kept.records.len());
        let row = self.kept.records.values_mut().nth(nth)?;
        let key = row.record.key.clone();
        let body = row.record.blob.and_then(|blob| self.kept.bodies.get_mut(&blob.sha256));
        let was = body.as_deref().cloned();
        let in_body = body.filter(|body| !body.is_empty() && rng.chance(200));
        let bytes = in_body.or(row.record.value.as_mut()).filter(|bytes| !bytes.is_empty())?;
        let (at, bit) = (rng.index(bytes.len()), rng.below(8));
        *bytes.get_mut(at)? ^= 1 << bit;
        self.rots = true;
        Some((key, was))
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
                Some(_) => self.records.insert(record.key.clone(), Row::of(record)),
                None => self.records.remove(&record.key),
            };
        }
        let held: BTreeSet<Hash> =
            self.records.values().filter_map(|row| row.record.blob.map(|blob| blob.sha256)).collect();
        self.bodies.retain(|hash, _| held.contains(hash));
    }
}
