//! The file of users and aliases: JSON, versioned, written whole.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use postline_core::id::{Address, Mailbox};
use serde::{Deserialize, Serialize};

use super::password::PasswordHash;
use super::{DirectoryFault, mailbox_name};

/// The largest file of users, in bytes: some 300,000 users.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The version of the file that this code writes.
const VERSION: u32 = 1;

/// Users and aliases.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) users: BTreeMap<Mailbox, PasswordHash>,
    /// Local parts in lower case.
    pub(super) aliases: BTreeMap<Address, Mailbox>,
}

/// Which state of the file was read; `None` where there was no file.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Which state the file is in now.
pub(super) fn stamp(file: &Path) -> Stamp {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: u32,
    users: BTreeMap<String, UserOnDisk>,
    aliases: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserOnDisk {
    password: String,
}

impl Book {
    /// Reads the file; one that isn't there has no users.
    pub(super) fn read(path: &Path) -> Result<Self, DirectoryFault> {
        let refused = |why| DirectoryFault::Read { file: path.to_owned(), why };
        let damaged = |what: String| DirectoryFault::Damaged { file: path.to_owned(), what };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(refused(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(refused)?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(damaged(format!("more than {FILE_BYTES} bytes")));
        }
        let disk: OnDisk = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if disk.version != VERSION {
            return Err(damaged(format!("version {}, newest known {VERSION}", disk.version)));
        }
        disk.check().map_err(damaged)
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let user = |(name, hash): (&Mailbox, &PasswordHash)| (name.0.clone(), UserOnDisk { password: hash.stored() });
        let mut bytes = serde_json::to_vec_pretty(&OnDisk {
            version: VERSION,
            users: self.users.iter().map(user).collect(),
            aliases: self.aliases.iter().map(|(alias, user)| (alias.to_string(), user.0.clone())).collect(),
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl OnDisk {
    fn check(self) -> Result<Book, String> {
        let mut book = Book::default();
        for (name, user) in self.users {
            let mailbox = mailbox_name(&name).map_err(|why| why.to_string())?;
            let hash = PasswordHash::parse(&user.password);
            book.users.insert(mailbox, hash.ok_or_else(|| format!("the password of {name} is no argon2id hash"))?);
        }
        for (alias, user) in self.aliases {
            let address =
                Address::parse(&alias.to_ascii_lowercase()).map_err(|why| format!("alias {alias:?}: {why}"))?;
            let user = mailbox_name(&user).map_err(|why| why.to_string())?;
            if !book.users.contains_key(&user) {
                return Err(format!("alias {alias} leads to {user}, who is no user"));
            }
            book.aliases.insert(address, user);
        }
        Ok(book)
    }
}
