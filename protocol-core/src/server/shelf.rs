//! What a node keeps of one person's files: those that their devices left for others, and those that were fetched for them.
//!
//! ```text
//!   left ────▶ kept FILE_MS ──────────────────────────▶ gone
//!   fetched ─▶ kept FILE_MS, or until there is no room ─▶ gone
//!   either ──what named it was taken back: let go──────▶ gone
//! ```
//!
//! The bytes hang on a record of their own for each file; this is the list of them, with whose they are to have: nobody
//! else ever gets one ([B-8]). What was left is never put out by what comes later, what was fetched is: it can be had again.

use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, BlobRef, Hash};
use crate::limits;
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::record::{read, write};

/// A person's files, those that were put there first at the front: [`Key::Shelf`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shelf {
    files: Vec<Shelved>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shelved {
    /// For whom it was left, or who had left it.
    theirs: Address,
    file: BlobRef,
    until: Millis,
    /// Whether a device of the person's left it.
    left: bool,
}

/// What putting a file there changes.
#[derive(Debug)]
pub(super) struct Put {
    shelf: Shelf,
    gone: Vec<Hash>,
    until: Millis,
}

/// What taking a file down changes.
#[derive(Debug)]
pub(super) struct TakenDown {
    shelf: Shelf,
    gone: Option<Hash>,
}

impl Shelf {
    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let files = r.list(limits::FILES as u64, |r| {
                r.array_of(5)?;
                Ok(Shelved { theirs: r.address()?, file: r.blob()?, until: r.millis()?, left: r.bool()? })
            })?;
            Ok(Self { files })
        })
    }

    fn record(&self, ours: &Address) -> Record {
        if self.files.is_empty() {
            return Record::remove(Key::Shelf(ours.clone()));
        }
        let last = self.files.iter().map(|shelved| shelved.until).max().unwrap_or_default();
        let record = write(Key::Shelf(ours.clone()), 1, |w| {
            w.list(self.files.iter(), |w, shelved| {
                w.array(5).address(&shelved.theirs).blob(shelved.file).millis(shelved.until).bool(shelved.left);
            });
        });
        record.until(last)
    }

    /// Whether a file is here that the person may have.
    pub(super) fn has(&self, now: Millis, file: BlobRef) -> bool {
        self.files.iter().any(|shelved| shelved.file == file && shelved.until > now)
    }

    /// Whether the person left a file for somebody.
    pub(super) fn has_for(&self, now: Millis, file: BlobRef, theirs: &Address) -> bool {
        let is = |shelved: &&Shelved| shelved.file == file && shelved.theirs == *theirs && shelved.left;
        self.files.iter().filter(is).any(|shelved| shelved.until > now)
    }

    /// Judges whether there is room for a file, and what goes for it. What is here already is kept anew.
    pub(super) fn put(&self, now: Millis, theirs: &Address, file: BlobRef, left: bool) -> Result<Put, PeerFault> {
        let mut shelf = self.clone();
        let before = shelf.files.iter().any(|shelved| shelved.is(theirs, file) && shelved.left && shelved.until > now);
        shelf.files.retain(|shelved| shelved.until > now && !shelved.is(theirs, file));
        let until = now.plus(limits::FILE_MS);
        shelf.files.push(Shelved { theirs: theirs.clone(), file, until, left: left || before });
        while let Some(fault) = shelf.over(theirs) {
            // The newest is the one for which there must be room.
            let older = shelf.files.len().saturating_sub(1);
            let goes = shelf.files.iter().take(older).position(|shelved| !shelved.left);
            shelf.files.remove(goes.ok_or(fault)?);
        }
        let is_gone = |shelved: &&Shelved| !shelf.files.iter().any(|stays| stays.file == shelved.file);
        let gone = self.files.iter().filter(is_gone).map(|shelved| shelved.file.sha256).collect();
        Ok(Put { shelf, gone, until })
    }

    /// Takes a file down that was left for somebody, or fetched from them; `None` where there is none. The bytes stay as long
    /// as the same file is here with another.
    pub(super) fn take_down(&self, theirs: &Address, file: BlobRef, left: bool) -> Option<TakenDown> {
        let mut shelf = self.clone();
        shelf.files.retain(|shelved| !(shelved.is(theirs, file) && shelved.left == left));
        if shelf.files.len() == self.files.len() {
            return None;
        }
        let gone = !shelf.files.iter().any(|stays| stays.file.sha256 == file.sha256);
        Some(TakenDown { shelf, gone: gone.then_some(file.sha256) })
    }

    /// Which bound it is over, by itself or with one other.
    fn over(&self, theirs: &Address) -> Option<PeerFault> {
        let sum = |of: &dyn Fn(&&Shelved) -> bool| self.files.iter().filter(of).map(|shelved| shelved.file.len).sum();
        let (all, pair): (u64, u64) = (sum(&|_| true), sum(&|shelved| shelved.theirs == *theirs));
        let bounds = [
            ("files of a person", self.files.len() as u64, limits::FILES as u64),
            ("bytes of a person's files", all, limits::FILES_BYTES),
            ("bytes of two people's files", pair, limits::FILES_BYTES_PER_PAIR),
        ];
        let over = bounds.into_iter().find(|(_, got, max)| got > max);
        over.map(|(what, got, max)| PeerFault::Quota { what, got, max })
    }
}

impl Shelved {
    fn is(&self, theirs: &Address, file: BlobRef) -> bool {
        self.theirs == *theirs && self.file == file
    }
}

impl TakenDown {
    /// The records that it changes, and the shelf as it is then.
    pub(super) fn records(self, ours: &Address) -> (Vec<Record>, Shelf) {
        let gone = self.gone.into_iter().map(|hash| Record::remove(Key::File(ours.clone(), hash)));
        let records = gone.chain([self.shelf.record(ours)]).collect();
        (records, self.shelf)
    }
}

impl Put {
    /// The records that it changes, and the shelf as it is then.
    pub(super) fn records(self, ours: &Address, file: BlobRef) -> (Vec<Record>, Shelf) {
        let gone = self.gone.into_iter().map(|hash| Record::remove(Key::File(ours.clone(), hash)));
        let held = write(Key::File(ours.clone(), file.sha256), 0, |_| {}).holding(file).until(self.until);
        let records = gone.chain([held, self.shelf.record(ours)]).collect();
        (records, self.shelf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn file(number: u8, len: u64) -> BlobRef {
        BlobRef { sha256: Hash([number; 32]), len }
    }

    fn put(shelf: &mut Shelf, now: u64, theirs: &str, blob: BlobRef, left: bool) -> Result<Vec<Record>, PeerFault> {
        let (records, after) =
            shelf.put(Millis(now), &address(theirs), blob, left)?.records(&address("ann@a.example"), blob);
        *shelf = after;
        Ok(records)
    }

    /// [B-8] [B-9]
    #[test]
    fn a_file_is_kept_for_whom_it_was_left_and_for_so_long() {
        let mut shelf = Shelf::default();
        put(&mut shelf, 10, "bob@b.example", file(1, 100), true).unwrap();
        let (bob, eve) = (address("bob@b.example"), address("eve@b.example"));
        assert!(shelf.has_for(Millis(11), file(1, 100), &bob) && shelf.has(Millis(11), file(1, 100)));
        assert!(!shelf.has_for(Millis(11), file(1, 100), &eve), "nobody else gets it");
        assert!(!shelf.has_for(Millis(11), file(1, 101), &bob), "its length is part of its name");
        let end = Millis(10).plus(limits::FILE_MS);
        assert!(!shelf.has_for(end, file(1, 100), &bob) && !shelf.has(end, file(1, 100)));
        // What was fetched is for the person alone.
        put(&mut shelf, 10, "bob@b.example", file(2, 100), false).unwrap();
        assert!(shelf.has(Millis(11), file(2, 100)) && !shelf.has_for(Millis(11), file(2, 100), &bob));
    }

    /// [B-9]
    #[test]
    fn a_shelf_is_bounded_by_person_and_pair_and_what_was_left_is_never_put_out() {
        let most = limits::ATTACHMENT_BYTES;
        let (pair, all) = (limits::FILES_BYTES_PER_PAIR / most, limits::FILES_BYTES / most);
        let mut shelf = Shelf::default();
        for number in 0..pair {
            put(&mut shelf, 1, "bob@b.example", file(number as u8, most), true).unwrap();
        }
        let over = put(&mut shelf, 1, "bob@b.example", file(99, 1), true).unwrap_err();
        assert!(matches!(over, PeerFault::Quota { what: "bytes of two people's files", .. }), "{over}");
        for number in pair..all {
            let theirs = format!("p{}@b.example", number / pair);
            put(&mut shelf, 1, &theirs, file(number as u8, most), true).unwrap();
        }
        let over = put(&mut shelf, 1, "zoe@b.example", file(99, 1), true).unwrap_err();
        assert!(matches!(over, PeerFault::Quota { what: "bytes of a person's files", .. }), "{over}");
        assert!(put(&mut shelf, 2, "bob@b.example", file(0, most), true).is_ok(), "what is there is kept anew");
        // Once the old ones are past, there is room, and their bytes go.
        let later = 1 + limits::FILE_MS;
        let records = put(&mut shelf, later, "zoe@b.example", file(99, 1), true).unwrap();
        let removed = records.iter().filter(|record| record.value.is_none()).count();
        assert_eq!(removed as u64, all - 1, "all but the one that was kept anew");
    }

    /// [B-9]
    #[test]
    fn what_was_fetched_makes_room() {
        let most = limits::ATTACHMENT_BYTES;
        let mut shelf = Shelf::default();
        let pair = limits::FILES_BYTES_PER_PAIR / most;
        for number in 0..pair {
            put(&mut shelf, 1, "bob@b.example", file(number as u8, most), false).unwrap();
        }
        let records = put(&mut shelf, 1, "bob@b.example", file(50, most), true).unwrap();
        let gone: Vec<_> = records.iter().filter(|record| record.value.is_none()).map(|record| &record.key).collect();
        assert_eq!(gone, [&Key::File(address("ann@a.example"), Hash([0; 32]))], "the one that was fetched first");
        // As many as a shelf has places for, and one more.
        let mut shelf = Shelf::default();
        for number in 0..limits::FILES {
            let blob = BlobRef { sha256: crate::store::sha256(&[&number.to_be_bytes()]), len: 48 };
            put(&mut shelf, 1, "bob@b.example", blob, true).unwrap();
        }
        assert!(matches!(put(&mut shelf, 1, "bob@b.example", file(9, 48), true), Err(PeerFault::Quota { .. })));
        let record = shelf.record(&address("ann@a.example"));
        assert_eq!(Shelf::restore(&record), Ok(shelf));
    }
}
