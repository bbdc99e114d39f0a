//! Numbers for values, so that a state of the whole world is a few of them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Values of one kind, each numbered when it is first met.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    inner: RwLock<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    numbers: BTreeMap<K, u32>,
    values: Vec<Arc<V>>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { inner: RwLock::new(Inner { numbers: BTreeMap::new(), values: Vec::new() }) }
    }
}

impl<K: Ord, V> Table<K, V> {
    /// The number of the value with this key, made where it is new.
    pub(crate) fn number(&self, key: K, make: impl FnOnce() -> V) -> u32 {
        let found = self.inner.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&key).copied();
        found.unwrap_or_else(|| {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(number) = inner.numbers.get(&key) {
                return *number;
            }
            let number = u32::try_from(inner.values.len()).unwrap_or(u32::MAX);
            inner.values.push(Arc::new(make()));
            inner.numbers.insert(key, number);
            number
        })
    }

    /// The value with this number.
    ///
    /// # Panics
    /// For a number that the table didn't give.
    pub(crate) fn value(&self, number: u32) -> Arc<V> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&inner.values[usize::try_from(number).unwrap_or(usize::MAX)])
    }

    /// The number of a key that is there already.
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).numbers.get(key).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).values.len()
    }
}
