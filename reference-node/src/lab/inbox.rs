//! A mailbox, as a mail program sees it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::letter::id_of;
use crate::cli::PartFault;

/// How often a mailbox is looked into.
const LOOK: Duration = Duration::from_micros(100);

/// A mailbox.
pub struct Inbox {
    /// Whose it is.
    pub name: &'static str,
    dir: PathBuf,
    /// Files that were read: their mails' ids.
    known: Mutex<BTreeMap<PathBuf, Option<String>>>,
}

impl Inbox {
    /// The Maildir in `dir`, which need not be there yet.
    #[must_use]
    pub fn new(name: &'static str, dir: PathBuf) -> Self {
        Self { name, dir, known: Mutex::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits for a mail: gives when it was seen.
    ///
    /// # Errors
    /// Where it doesn't come in time, and the file system's.
    pub async fn wait_for(&self, id: &str, patience: Duration) -> Result<Instant, PartFault> {
        let began = Instant::now();
        loop {
            if self.ids()?.iter().any(|seen| seen == id) {
                return Ok(Instant::now());
            }
            if began.elapsed() > patience {
                return Err(format!("{id} did not arrive within {} s", patience.as_secs()).into());
            }
            sleep(LOOK).await;
        }
    }

    /// The ids of all mails in it, as often as they are there.
    ///
    /// # Errors
    /// The file system's.
    pub fn ids(&self) -> Result<Vec<String>, PartFault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for part in ["new", "cur"] {
            let entries = match fs::read_dir(self.dir.join(part)) {
                Err(why) if why.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let path = entry?.path();
                if let Entry::Vacant(unread) = known.entry(path) {
                    let id = id_of(&fs::read(unread.key())?);
                    unread.insert(id);
                }
            }
        }
        Ok(known.values().flatten().cloned().collect())
    }

    /// The bytes of a mail.
    ///
    /// # Errors
    /// Where it isn't there, and the file system's.
    pub fn read(&self, id: &str) -> Result<Vec<u8>, PartFault> {
        self.ids()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let path = known.iter().find(|(_, known)| known.as_deref() == Some(id)).map(|(path, _)| path);
        Ok(fs::read(path.ok_or_else(|| format!("no mail {id}"))?)?)
    }
}
