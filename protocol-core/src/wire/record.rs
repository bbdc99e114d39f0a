//! How records are written: a version first, then the value's own items.

use crate::fault::RestoreError;
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader, Writer};

const VERSION: u64 = 1;
/// More items than any record has, of this version or one to come.
const ITEMS: u64 = 64;
/// How long most records are.
const USUAL_BYTES: usize = 512;

/// A record of `items` items behind its version.
pub(crate) fn write(key: Key, items: u64, write: impl FnOnce(&mut Writer)) -> Record {
    let mut w = Writer::onto(Vec::with_capacity(USUAL_BYTES));
    w.array(items + 1).u64(VERSION);
    write(&mut w);
    Record::put(key, w.into_bytes())
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// [`RestoreError`] for a newer version, and for damaged bytes.
pub(crate) fn read<T>(
    record: &Record,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, RestoreError> {
    let damaged = |what: Malformed| RestoreError::Damaged { key: record.key.clone(), what: what.0 };
    let mut r = Reader::new(record.value.as_deref().unwrap_or_default());
    r.array(ITEMS).map_err(damaged)?;
    let found = r.u64().map_err(damaged)?;
    if found != VERSION {
        return Err(RestoreError::Version { key: record.key.clone(), found, known: VERSION });
    }
    let value = read(&mut r).map_err(damaged)?;
    r.end().map_err(damaged)?;
    Ok(value)
}

/// A number that rides along: as it is, and as the record has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rides {
    pub(crate) now: u64,
    pub(crate) saved: u64,
}

impl Rides {
    pub(crate) const fn restored(saved: u64) -> Self {
        Self { now: saved, saved }
    }

    /// Rises, and says whether it did.
    pub(crate) const fn rise(&mut self, to: u64) -> bool {
        let rises = to > self.now;
        if rises {
            self.now = to;
        }
        rises
    }
}
