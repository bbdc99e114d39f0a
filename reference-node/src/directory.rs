//! Who lives here: users with their passwords, aliases, and which address leads to whom.
//!
//! ```text
//!   address ──▶ a domain of ours? ──no──▶ Remote
//!                      │ yes
//!                      ▼
//!      user ▸ alias ▸ postmaster, abuse ▸ the same without +tag ──none──▶ Unknown
//!                      │ first that fits
//!                      ▼
//!                 Local(mailbox)
//! ```
//!
//! Local parts of **our** domains are matched without regard to ASCII case, since people expect it and may write their
//! own address either way; the text of an address is never changed, and foreign local parts are never folded. Every user
//! has an address in every domain of the node. An alias leads to exactly one user, never to another alias, so an address
//! that leads to a user is theirs alone.
//!
//! The file is `users.json` in the data directory: written whole under a lock, so that the command line may change it
//! while the node runs; the node's [`Live`] follows. Whose mail is carried where is decided elsewhere.

mod book;
mod password;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use postline_core::id::{Address, Domain, Mailbox};

use crate::config::{Config, PasswordCost};
use crate::private_file;
use book::{Book, Stamp, stamp};
use password::PasswordHash;

/// The longest name of a mailbox, in bytes.
const NAME_BYTES: usize = 64;
/// The shortest password, in characters (NIST SP 800-63B §3.1.1.2).
const PASSWORD_CHARS: usize = 8;
/// The longest password, in bytes.
const PASSWORD_BYTES: usize = 1_024;
/// The names that every domain must have (RFC 5321 §4.5.1, RFC 2142 §2).
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// Users and aliases, as the file had them when it was read.
#[derive(Debug)]
pub struct Directory {
    file: PathBuf,
    domains: Vec<Domain>,
    postmaster: Mailbox,
    cost: PasswordCost,
    nobody: PasswordHash,
    book: Book,
    read: Stamp,
    /// Whether every address of our domains is a mailbox: another server knows who exists.
    everybody: bool,
}

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// To a mailbox of ours.
    Local(Mailbox),
    /// Into a domain of ours, and to nobody there.
    Unknown,
    /// Elsewhere.
    Remote,
}

/// Why users couldn't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryFault {
    /// The file can't be read.
    #[error("{}: {why}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The file can't be written; the old one stands.
    #[error("{}: {why}", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The file isn't what we wrote.
    #[error("{}: damaged: {what}", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What was met.
        what: String,
    },
    /// A name that no mailbox can have.
    #[error("{0:?} is no mailbox name: want 1 to 64 of a-z 0-9 . _ + -, dots only between others")]
    Name(String),
    /// A password that is too short or too long.
    #[error("want a password of at least {PASSWORD_CHARS} characters and at most {PASSWORD_BYTES} bytes")]
    Password,
    /// Hashing failed.
    #[error("the password can't be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// No such user.
    #[error("no user {0}")]
    NoUser(Mailbox),
    /// The user is there already.
    #[error("user {0} is there already")]
    UserIsThere(Mailbox),
    /// The user can't go, since postmaster@ leads to them.
    #[error("{0} is the postmaster; name another in the configuration first")]
    IsPostmaster(Mailbox),
    /// The user can't go, since an alias leads to them.
    #[error("alias {alias} leads to {user}; remove it first")]
    HasAlias {
        /// Who.
        user: Mailbox,
        /// Which alias.
        alias: Address,
    },
    /// Nobody gets mail for postmaster@.
    #[error("mail for postmaster@ leads to {0}, who is no user: `postline user add {0}`, or set `postmaster`")]
    NoPostmaster(Mailbox),
    /// The text is no address.
    #[error("{text:?} is no address: {why}")]
    Address {
        /// The text.
        text: String,
        /// Why not.
        why: postline_core::id::NameFault,
    },
    /// The address lies in no domain of ours.
    #[error("{0} lies in no domain of this node")]
    NotOurs(Address),
    /// The alias would hide a user, or be hidden by one.
    #[error("{alias} is the address of user {user}")]
    IsUser {
        /// Which alias.
        alias: Address,
        /// Who.
        user: Mailbox,
    },
    /// The alias is there already.
    #[error("alias {alias} is there already, for {user}")]
    AliasIsThere {
        /// Which.
        alias: Address,
        /// For whom.
        user: Mailbox,
    },
    /// No such alias.
    #[error("no alias {0}")]
    NoAlias(Address),
}

/// Reads the name of a mailbox.
///
/// # Errors
/// [`DirectoryFault::Name`].
pub fn mailbox_name(text: &str) -> Result<Mailbox, DirectoryFault> {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'+' | b'-');
    // It is a local part and the name of a directory: no empty atoms, so neither `.` nor `..`.
    let atoms = text.split('.').all(|atom| !atom.is_empty());
    if text.len() <= NAME_BYTES && atoms && text.bytes().all(known) {
        Ok(Mailbox(text.to_owned()))
    } else {
        Err(DirectoryFault::Name(crate::shown::shown(text, NAME_BYTES)))
    }
}

impl Directory {
    /// Reads the users of a node; a file that isn't there has none.
    ///
    /// # Errors
    /// [`DirectoryFault::Read`], [`DirectoryFault::Damaged`].
    pub fn load(config: &Config) -> Result<Self, DirectoryFault> {
        let file = config.users_file();
        // Taken before reading: a change in between is then read again, never missed.
        let read = stamp(&file);
        Ok(Self {
            book: Book::read(&file)?,
            read,
            domains: config.domains.clone(),
            postmaster: mailbox_name(&config.postmaster)?,
            cost: config.passwords,
            everybody: config.beside.deliver.is_some(),
            nobody: PasswordHash::of_nobody(config.passwords).map_err(DirectoryFault::Hash)?,
            file,
        })
    }

    /// Checks what a node needs before it serves: that somebody gets the postmaster's mail.
    ///
    /// # Errors
    /// [`DirectoryFault::NoPostmaster`].
    pub fn check(&self) -> Result<(), DirectoryFault> {
        if self.everybody || self.book.users.contains_key(&self.postmaster) {
            Ok(())
        } else {
            Err(DirectoryFault::NoPostmaster(self.postmaster.clone()))
        }
    }

    /// Logs a user in, by name or by their address in any domain of ours; `None` whatever is wrong.
    ///
    /// Takes as long for unknown users as for known ones (attack 106): tens of milliseconds and some 20 MiB, so it is
    /// called off the async threads, few at a time.
    #[must_use]
    pub fn login(&self, user: &str, password: &str) -> Option<Mailbox> {
        let known = self.login_name(user).and_then(|name| self.book.users.get_key_value(&name));
        let hash = known.map_or(&self.nobody, |(_, hash)| hash);
        let fits = hash.fits(password);
        known.filter(|_| fits).map(|(name, _)| name.clone())
    }

    fn login_name(&self, user: &str) -> Option<Mailbox> {
        let user = user.to_ascii_lowercase();
        let name = match user.rsplit_once('@') {
            Some((name, domain)) => {
                let domain = Domain::parse(domain).ok()?;
                self.domains.contains(&domain).then_some(name)?
            }
            None => &user,
        };
        mailbox_name(name).ok()
    }

    /// Where an address leads. Where another server delivers, to a mailbox of its own name.
    #[must_use]
    pub fn resolve(&self, address: &Address) -> Resolved {
        if self.everybody && self.domains.contains(address.domain()) {
            return Resolved::Local(Mailbox(address.to_string()));
        }
        self.look_up(address)
    }

    /// Whether a login of another mail server may speak for an address of ours: they are the same, or the login is its
    /// local part, or the user of that name owns it. Where that server delivers, a login that names a domain is somebody
    /// in that domain only.
    #[must_use]
    pub fn speaks_for(&self, login: &str, address: &Address) -> bool {
        if !self.domains.contains(address.domain()) {
            return false;
        }
        let same = login.eq_ignore_ascii_case(&address.to_string()) || login.eq_ignore_ascii_case(address.local());
        let elsewhere =
            login.rsplit_once('@').is_some_and(|(_, domain)| Domain::parse(domain).as_ref() != Ok(address.domain()));
        same || (!(self.everybody && elsewhere) && self.login_name(login).is_some_and(|user| self.owns(&user, address)))
    }

    /// The user of our own to whom an address leads, whoever delivers.
    #[must_use]
    pub fn owner(&self, address: &Address) -> Option<Mailbox> {
        match self.look_up(address) {
            Resolved::Local(owner) => Some(owner),
            Resolved::Unknown | Resolved::Remote => None,
        }
    }

    fn look_up(&self, address: &Address) -> Resolved {
        if !self.domains.contains(address.domain()) {
            return Resolved::Remote;
        }
        let local = address.local().to_ascii_lowercase();
        let tagless = || local.split_once('+').and_then(|(base, _tag)| self.named(base, address.domain()));
        self.named(&local, address.domain()).or_else(tagless).map_or(Resolved::Unknown, Resolved::Local)
    }

    fn named(&self, local: &str, domain: &Domain) -> Option<Mailbox> {
        let user = || self.book.users.get_key_value(&Mailbox(local.to_owned())).map(|(name, _)| name.clone());
        let alias = || self.book.aliases.get(&Address::parse(&format!("{local}@{domain}")).ok()?).cloned();
        let role =
            || ROLES.contains(&local).then(|| self.postmaster.clone()).filter(|to| self.book.users.contains_key(to));
        user().or_else(alias).or_else(role)
    }

    /// Whether an address is a user's own: theirs in any domain, with any tag, or by an alias. What leads to them is
    /// theirs alone, so they may send as it.
    #[must_use]
    pub fn owns(&self, user: &Mailbox, address: &Address) -> bool {
        self.owner(address).as_ref() == Some(user)
    }

    /// The users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Mailbox> {
        self.book.users.keys()
    }

    /// The aliases, each with the user to whom it leads.
    pub fn aliases(&self) -> impl Iterator<Item = (&Address, &Mailbox)> {
        self.book.aliases.iter()
    }

    /// Adds a user, durably.
    ///
    /// # Errors
    /// [`DirectoryFault`]: a bad name or password, a user or alias that is there, the disk.
    pub fn add(&mut self, name: &str, password: &str) -> Result<(), DirectoryFault> {
        let name = mailbox_name(name)?;
        let hash = self.hash(password)?;
        self.change(|book, _| {
            if book.users.contains_key(&name) {
                return Err(DirectoryFault::UserIsThere(name));
            }
            if let Some((alias, user)) = book.aliases.iter().find(|(alias, _)| alias.local() == name.0) {
                return Err(DirectoryFault::AliasIsThere { alias: alias.clone(), user: user.clone() });
            }
            book.users.insert(name, hash);
            Ok(())
        })
    }

    /// Gives a user a new password, durably.
    ///
    /// # Errors
    /// [`DirectoryFault`]: no such user, a bad password, the disk.
    pub fn passwd(&mut self, name: &str, password: &str) -> Result<(), DirectoryFault> {
        let name = mailbox_name(name)?;
        let hash = self.hash(password)?;
        self.change(|book, _| match book.users.get_mut(&name) {
            Some(old) => {
                *old = hash;
                Ok(())
            }
            None => Err(DirectoryFault::NoUser(name)),
        })
    }

    /// Removes a user, durably. Their mail stays where it is.
    ///
    /// # Errors
    /// [`DirectoryFault`]: no such user, one who is still wanted, the disk.
    pub fn remove(&mut self, name: &str) -> Result<(), DirectoryFault> {
        let name = mailbox_name(name)?;
        let postmaster = self.postmaster.clone();
        self.change(|book, _| {
            if let Some((alias, _)) = book.aliases.iter().find(|(_, user)| **user == name) {
                return Err(DirectoryFault::HasAlias { user: name, alias: alias.clone() });
            }
            if !book.users.contains_key(&name) {
                return Err(DirectoryFault::NoUser(name));
            }
            if name == postmaster {
                return Err(DirectoryFault::IsPostmaster(name));
            }
            book.users.remove(&name);
            Ok(())
        })
    }

    /// Adds an alias, durably. `postmaster@` and `abuse@` of a domain may be given to a user this way.
    ///
    /// # Errors
    /// [`DirectoryFault`]: an address that isn't ours or is taken, no such user, the disk.
    pub fn add_alias(&mut self, alias: &str, user: &str) -> Result<(), DirectoryFault> {
        let (alias, user) = (folded(alias)?, mailbox_name(user)?);
        self.change(|book, domains| {
            if !domains.contains(alias.domain()) {
                return Err(DirectoryFault::NotOurs(alias));
            }
            if !book.users.contains_key(&user) {
                return Err(DirectoryFault::NoUser(user));
            }
            if let Some((name, _)) = book.users.get_key_value(&Mailbox(alias.local().to_owned())) {
                return Err(DirectoryFault::IsUser { alias, user: name.clone() });
            }
            if let Some(user) = book.aliases.get(&alias) {
                return Err(DirectoryFault::AliasIsThere { user: user.clone(), alias });
            }
            book.aliases.insert(alias, user);
            Ok(())
        })
    }

    /// Removes an alias, durably.
    ///
    /// # Errors
    /// [`DirectoryFault`]: no such alias, the disk.
    pub fn remove_alias(&mut self, alias: &str) -> Result<(), DirectoryFault> {
        let alias = folded(alias)?;
        self.change(|book, _| match book.aliases.remove(&alias) {
            Some(_) => Ok(()),
            None => Err(DirectoryFault::NoAlias(alias)),
        })
    }

    fn hash(&self, password: &str) -> Result<PasswordHash, DirectoryFault> {
        if password.chars().count() < PASSWORD_CHARS || password.len() > PASSWORD_BYTES {
            return Err(DirectoryFault::Password);
        }
        PasswordHash::new(password, self.cost).map_err(DirectoryFault::Hash)
    }

    /// Reads the newest file, edits it, and writes it, with every other writer kept out.
    fn change(
        &mut self,
        edit: impl FnOnce(&mut Book, &[Domain]) -> Result<(), DirectoryFault>,
    ) -> Result<(), DirectoryFault> {
        let refused = |why| DirectoryFault::Write { file: self.file.clone(), why };
        let lock = std::fs::OpenOptions::new().create(true).append(true).open(self.file.with_extension("lock"));
        let lock = lock.map_err(refused)?;
        lock.lock().map_err(refused)?;
        let mut book = Book::read(&self.file)?;
        edit(&mut book, &self.domains)?;
        let bytes = book.to_bytes().map_err(|error| refused(error.into()))?;
        private_file::replace(&self.file, &bytes).map_err(refused)?;
        self.read = stamp(&self.file);
        self.book = book;
        Ok(())
    }
}

/// The address of an alias: as it is compared.
fn folded(text: &str) -> Result<Address, DirectoryFault> {
    let refused = |why| DirectoryFault::Address { text: crate::shown::shown(text, 320), why };
    Address::parse(&text.to_ascii_lowercase()).map_err(refused)
}

/// The directory of a running node: it follows the file.
#[derive(Debug)]
pub struct Live {
    current: RwLock<Arc<Directory>>,
}

impl Live {
    /// Starts with a directory that was read.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { current: RwLock::new(Arc::new(directory)) }
    }

    /// The newest directory that could be read.
    #[must_use]
    pub fn current(&self) -> Arc<Directory> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again where it, or what the configuration says of users, changed; says whether it did. To be
    /// called on SIGHUP, on `reload`, and every few seconds.
    ///
    /// # Errors
    /// [`DirectoryFault`]: then the old directory stays in force.
    pub fn refresh(&self, config: &Config) -> Result<bool, DirectoryFault> {
        let old = self.current();
        let same =
            old.read == stamp(&old.file) && old.cost == config.passwords && old.postmaster.0 == config.postmaster;
        if same {
            return Ok(false);
        }
        let new = Directory::load(config)?;
        new.check()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(true)
    }
}
