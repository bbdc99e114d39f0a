//! What the engine takes for its stores: a shelf in memory, that holds what one call needs and what it left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mls_rs::psk::{ExternalPskId, PreSharedKey};
use mls_rs::storage_provider::KeyPackageData;
use mls_rs::{GroupStateStorage, KeyPackageStorage, PreSharedKeyStorage};
use mls_rs_core::group::{EpochRecord, GroupState};
use zeroize::Zeroizing;

use crate::seal::mls::primitive::Flaw;

/// All copies are one shelf.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Things>>);

#[derive(Default)]
pub(super) struct Things {
    /// The group's state, as the engine wrote it last, or is to read it.
    pub(super) state: Option<Zeroizing<Vec<u8>>>,
    /// The keys of epochs that are over.
    pub(super) epochs: BTreeMap<u64, Zeroizing<Vec<u8>>>,
    /// Those of them that were written since the caller looked.
    pub(super) touched: BTreeSet<u64>,
    /// The secret halves of key packages, by reference.
    pub(super) packages: BTreeMap<Vec<u8>, KeyPackageData>,
    /// The one pre-shared key there is, while a group is made or joined.
    pub(super) psk: Option<(Vec<u8>, PreSharedKey)>,
    /// Whether it was asked for.
    pub(super) psk_was_read: bool,
}

impl Shelf {
    pub(super) fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl core::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl GroupStateStorage for Shelf {
    type Error = Flaw;

    fn state(&self, _: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Flaw> {
        Ok(self.things().state.clone())
    }

    fn epoch(&self, _: &[u8], epoch_id: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Flaw> {
        Ok(self.things().epochs.get(&epoch_id).cloned())
    }

    fn write(&mut self, state: GroupState, inserts: Vec<EpochRecord>, updates: Vec<EpochRecord>) -> Result<(), Flaw> {
        let mut things = self.things();
        things.state = Some(state.data);
        for epoch in inserts.into_iter().chain(updates) {
            things.touched.insert(epoch.id);
            things.epochs.insert(epoch.id, epoch.data);
        }
        Ok(())
    }

    /// Which epochs are kept is the group's to say, and the engine need not know: it would refuse a gap.
    fn max_epoch_id(&self, _: &[u8]) -> Result<Option<u64>, Flaw> {
        Ok(None)
    }
}

impl KeyPackageStorage for Shelf {
    type Error = Flaw;

    fn delete(&mut self, id: &[u8]) -> Result<(), Flaw> {
        self.things().packages.remove(id);
        Ok(())
    }

    fn insert(&mut self, id: Vec<u8>, pkg: KeyPackageData) -> Result<(), Flaw> {
        self.things().packages.insert(id, pkg);
        Ok(())
    }

    fn get(&self, id: &[u8]) -> Result<Option<KeyPackageData>, Flaw> {
        Ok(self.things().packages.get(id).cloned())
    }
}

impl PreSharedKeyStorage for Shelf {
    type Error = Flaw;

    fn get(&self, id: &ExternalPskId) -> Result<Option<PreSharedKey>, Flaw> {
        let mut things = self.things();
        let psk = things.psk.as_ref().filter(|(known, _)| **known == **id).map(|(_, psk)| psk.clone());
        things.psk_was_read |= psk.is_some();
        Ok(psk)
    }
}
