//! The records of a group: versioned, and what each says.
//!
//! ```text
//!   Key::Group    [1, conversation, out, engine, reserved, chains, [[epoch, ended] …]]
//!   Key::Reserve  [1, epoch, until]            generations below `until` of our own key may have been used
//!   Key::Epoch    [1, epoch, engine]
//! ```
//!
//! `engine` is what mls-rs writes, with a version of its own within; old bytes keep restoring (`tests/old`).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::fault::RestoreError;
use crate::id::ConversationId;
use crate::limits;
use crate::seal::mls::chains::Chains;
use crate::store::Key;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};

const VERSION: u64 = 1;

/// How far the generations of our own key are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reserved {
    pub(super) epoch: u64,
    /// The first generation that is not.
    pub(super) until: u32,
}

impl Reserved {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut writer = Writer::array_of(3);
        writer.u64(VERSION).u64(self.epoch).u64(self.until.into());
        writer.into_bytes()
    }

    pub(super) fn read(key: &Key, bytes: &[u8]) -> Result<Self, RestoreError> {
        whole(key, bytes, 3, |r| Ok(Self { epoch: r.u64()?, until: small(r)? }))
    }
}

/// What `Key::Group` holds.
pub(super) struct Snapshot {
    pub(super) conversation: ConversationId,
    /// We were removed: nothing is sealed or opened any more.
    pub(super) out: bool,
    pub(super) engine: Zeroizing<Vec<u8>>,
    pub(super) reserved: Option<Reserved>,
    pub(super) chains: Chains,
    /// The epochs that are over and whose keys are kept, and when each ended.
    pub(super) ended: BTreeMap<u64, Millis>,
}

impl Snapshot {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(7);
        writer.u64(VERSION).bytes(&self.conversation.0).bool(self.out).bytes(&self.engine);
        writer.maybe(self.reserved, |w, at| w.array(2).u64(at.epoch).u64(at.until.into()));
        self.chains.write(&mut writer);
        writer.list(self.ended.iter(), |w, (epoch, at)| {
            w.array(2).u64(*epoch).millis(*at);
        });
        writer.into_bytes()
    }

    pub(super) fn read(key: &Key, bytes: &[u8]) -> Result<Self, RestoreError> {
        whole(key, bytes, 7, |r| {
            Ok(Self {
                conversation: ConversationId(r.fixed()?),
                out: r.bool()?,
                engine: Zeroizing::new(r.bytes()?.to_vec()),
                reserved: r.maybe(|r| {
                    r.array_of(2)?;
                    Ok(Reserved { epoch: r.u64()?, until: small(r)? })
                })?,
                chains: Chains::read(r)?,
                ended: r
                    .list(limits::OLD_EPOCHS as u64, |r| {
                        r.array_of(2)?;
                        Ok((r.u64()?, r.millis()?))
                    })?
                    .into_iter()
                    .collect(),
            })
        })
    }
}

/// What `Key::Epoch` holds.
pub(super) fn write_epoch(epoch: u64, engine: &[u8]) -> Vec<u8> {
    let mut writer = Writer::array_of(3);
    writer.u64(VERSION).u64(epoch).bytes(engine);
    writer.into_bytes()
}

pub(super) fn read_epoch(key: &Key, epoch: u64, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, RestoreError> {
    whole(key, bytes, 3, |r| {
        if r.u64()? == epoch { Ok(Zeroizing::new(r.bytes()?.to_vec())) } else { Err(Malformed("its epoch")) }
    })
}

/// Which records a group wants beside `Key::Group`, whose bytes are given, to be restored. Those that are absent it does
/// without, as far as it can.
///
/// # Errors
/// [`RestoreError`] where the record can't be read.
pub fn wanted(conversation: ConversationId, group: &[u8]) -> Result<Vec<Key>, RestoreError> {
    let snapshot = Snapshot::read(&Key::Group(conversation), group)?;
    let epochs = snapshot.ended.keys().map(|epoch| Key::Epoch(conversation, *epoch));
    Ok(core::iter::once(Key::Reserve(conversation)).chain(epochs).collect())
}

fn small(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.u64()?).map_err(|_| Malformed("a generation"))
}

fn whole<T>(
    key: &Key,
    bytes: &[u8],
    items: u64,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, RestoreError> {
    let damaged = |Malformed(what)| RestoreError::Damaged { key: key.clone(), what };
    let mut reader = Reader::new(bytes);
    // The version is looked at first: a newer one may have more items.
    reader.array(u64::from(u16::MAX)).map_err(damaged)?;
    let found = reader.u64().map_err(damaged)?;
    if found != VERSION {
        return Err(RestoreError::Version { key: key.clone(), found, known: VERSION });
    }
    let mut reader = Reader::new(bytes);
    reader.array_of(items).and_then(|()| reader.u64()).map_err(damaged)?;
    let value = read(&mut reader).map_err(damaged)?;
    reader.end().map_err(damaged)?;
    Ok(value)
}
