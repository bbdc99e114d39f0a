//! Mails on their way in: written as they come, hashed on the way, in memory while small, then in a file.
//!
//! A stand-in until the store's own; the names and signatures are agreed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use postline_core::id::{BlobRef, Hash};
use postline_core::limits::INLINE_BODY_BYTES;
use sha2::{Digest, Sha256};

/// Where arriving mails are written.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    next: AtomicU64,
}

impl Spool {
    /// A spool in the directory `dir`.
    ///
    /// # Errors
    /// Those of creating the directory.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, next: AtomicU64::new(0) })
    }
}

/// One mail that is being written. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: Option<File>,
    row: Vec<u8>,
    hash: Sha256,
    len: u64,
}

impl Incoming {
    /// An empty mail in `spool`.
    #[must_use]
    pub fn new(spool: &Spool) -> Self {
        let path = spool.dir.join(format!("incoming-{}", spool.next.fetch_add(1, Ordering::Relaxed)));
        Self { path, file: None, row: Vec::new(), hash: Sha256::new(), len: 0 }
    }

    /// Adds `bytes`. May block.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        self.row.extend_from_slice(bytes);
        if self.len > INLINE_BODY_BYTES {
            self.file.insert(File::create_new(&self.path)?).write_all(&self.row)?;
            self.row = Vec::new();
        }
        Ok(())
    }

    /// Ends the mail; a file is synced. May block.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> io::Result<Staged> {
        let sha256: [u8; 32] = self.hash.finalize_reset().into();
        let blob = BlobRef { sha256: Hash(sha256), len: self.len };
        let Some(file) = &self.file else {
            return Ok(Staged { blob, bytes: StagedBytes::Row(std::mem::take(&mut self.row).into()) });
        };
        file.sync_all()?;
        self.file = None;
        Ok(Staged { blob, bytes: StagedBytes::File(self.path.clone()) })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished mail stays in the spool");
        }
    }
}

/// A whole mail, hashed and durable or about to be committed as a row.
#[derive(Debug)]
pub struct Staged {
    /// Its hash and length.
    pub blob: BlobRef,
    /// Where its bytes are.
    pub bytes: StagedBytes,
}

/// Where a staged mail's bytes are.
#[derive(Debug)]
pub enum StagedBytes {
    /// In memory, to be committed as a row.
    Row(Arc<[u8]>),
    /// In a synced file.
    File(PathBuf),
}
