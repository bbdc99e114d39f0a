//! The randomness of one call: a stream made of the step's entropy, there while the call lasts and gone behind it.
//!
//! The engine asks for random bytes wherever it likes. It gets them from this cell alone: filled for one call, under a
//! label of its own, and empty otherwise. So a step can be replayed byte for byte, and a snapshot that is restored can't
//! draw what it drew before (attack 62).

use std::sync::{Arc, Mutex, PoisonError};

use crate::seal::mls::primitive::{Flaw, hash};
use crate::seal::secret::Secret;
use crate::step::Tick;

/// Where the engine's providers draw from. All copies are one cell.
#[derive(Clone, Default)]
pub(crate) struct Entropy(Arc<Mutex<Option<Stream>>>);

struct Stream {
    seed: Secret<32>,
    drawn: u64,
}

/// The cell is full as long as this lives.
#[must_use]
pub(crate) struct Filled(Entropy);

impl Drop for Filled {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Entropy {
    /// Fills the cell for one call. Two calls of one step differ in `label` or in `context`.
    pub(crate) fn fill(&self, tick: &Tick, label: &str, context: &[&[u8]]) -> Filled {
        let mut parts: Vec<&[u8]> = vec![b"postline/1 entropy\0", &tick.entropy, label.as_bytes(), &[0]];
        parts.extend(context);
        let seed = Secret::new(hash(&parts));
        *self.lock() = Some(Stream { seed, drawn: 0 });
        Filled(self.clone())
    }

    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// [`Flaw::Entropy`] where no call has filled the cell.
    pub(crate) fn draw(&self, out: &mut [u8]) -> Result<(), Flaw> {
        let mut cell = self.lock();
        let stream = cell.as_mut().ok_or(Flaw::Entropy)?;
        for chunk in out.chunks_mut(32) {
            let block = Secret::new(hash(&[b"postline/1 block\0", stream.seed.expose(), &stream.drawn.to_be_bytes()]));
            stream.drawn = stream.drawn.checked_add(1).ok_or(Flaw::Entropy)?;
            chunk.iter_mut().zip(block.expose()).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}
