//! A node's backup, and a node made of one: store, keys, users, configuration, each file named with its hash.
//!
//! ```text
//!   backup:   the store's copy, then the small files ──▶ manifest.json, last ──▶ a mark in the data directory
//!   restore:  manifest ─▶ every hash ─▶ nothing in the way? ─▶ store under another name, its generation raised ─▶
//!             the small files ─▶ the store's name ─▶ postline.toml
//! ```
//!
//! What a backup doesn't hold: mail that is in mailboxes, and bodies that were only partly fetched. After a restore,
//! what waited when the backup was made waits again: other nodes and our Maildirs know such a mail by its id and show it
//! once; a mail server that is no node may get it twice, with the same Message-ID. The raised generation tells other
//! nodes that our numbers ran back ([L-22]); a copy of the node that still runs with the old one is refused by them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use postline_core::store::sha256;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, ConfigFault};
use crate::init::{KeyFault, KeyFiles};
use crate::private_file;
use crate::spool::sync_dir;
use crate::store::{self, Store, StoreError};

/// The form of backups that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The name of the manifest, which is written last: a backup without it is none.
const MANIFEST: &str = "manifest.json";
/// The largest manifest, in bytes.
const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
/// The largest of the files beside the store, in bytes.
const SMALL_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Most files in a directory of keys.
const KEY_FILES: usize = 10_000;
/// The mark that a backup was made, in the data directory.
const MARK: &str = "backup.json";
/// How much of a file is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// What a backup holds, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub format: u32,
    /// The version of the program that made it.
    pub version: String,
    /// When, in milliseconds since 1970.
    pub made_ms: u64,
    /// The node's key, hex.
    pub node_key: String,
    /// The domains that it served.
    pub domains: Vec<String>,
    /// The version of the store's tables.
    pub schema: i64,
    /// The store's generation.
    pub generation: u64,
    /// How many records the store has.
    pub records: u64,
    /// Every file.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is, below the backup's directory.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its hash, hex.
    pub sha256: String,
    /// Whether whoever has it can speak as the node, or read mail.
    pub secret: bool,
}

/// The mark that a backup was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When, in milliseconds since 1970.
    pub made_ms: u64,
    /// Of which key, hex.
    pub node_key: String,
    /// Where it was written to.
    pub to: PathBuf,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The configuration that the node has now.
    pub config: PathBuf,
    /// Its key, hex.
    pub node_key: String,
    /// The generation that its store has now.
    pub generation: u64,
    /// When the backup was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Files that were there, and stayed as they were: the configuration, a certificate.
    pub kept: Vec<PathBuf>,
}

/// Why there is no backup, or no node made of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// The place for the backup is in use.
    #[error("{}: {what}", path.display())]
    Place {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something is there that a restore would write over.
    #[error(
        "{} is there already: a restore never writes over a node. Move it away, or restore elsewhere by --config",
        .0.display()
    )]
    Occupied(PathBuf),
    /// The backup isn't what its manifest says.
    #[error("backup {}: {what}", path.display())]
    Damaged {
        /// Which file of it.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The generation that was asked for isn't higher than the backup's.
    #[error("generation {asked}: the backup has {has}, and other nodes believe only a higher one")]
    Generation {
        /// What was asked for.
        asked: u64,
        /// The backup's.
        has: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node's keys.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// The disk.
    #[error("{}: {why}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// Writes a backup of the node into `to`, which is made, or is there, empty and private. The node may be running.
///
/// # Errors
/// [`BackupFault`]. What was written until then has no manifest, and is no backup.
pub fn backup(config: &Config, to: &Path, now_ms: u64) -> Result<Manifest, BackupFault> {
    make_place(to)?;
    let copied = store::copy(&store_dir(config), &to.join("store"))?;
    let mut files = Vec::new();
    for path in walk(to, "store")? {
        files.push(entry(to, &path, true)?);
    }
    for (name, from) in small_files(config)? {
        let bytes = read_small(&from)?;
        let target = to.join(&name);
        put(&target, &bytes)?;
        // The certificate and public halves are anyone's; all else isn't.
        let secret = !["tls/cert.pem", "keys/next.pub", "postline.toml"].contains(&name.as_str());
        files.push(entry(to, &name, secret)?);
    }
    // Of the copied keys: they may have been changed since the store was copied.
    let node_key = KeyFiles::of(to).identity()?.nk().to_string();
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: now_ms,
        node_key: node_key.clone(),
        domains: config.domains.iter().map(ToString::to_string).collect(),
        schema: copied.schema,
        generation: copied.generation,
        records: copied.records,
        files,
    };
    put(&to.join(MANIFEST), &json(&manifest, to)?)?;
    let to = to.canonicalize().map_err(io_at(to))?;
    let mark = config.data_dir.join(MARK);
    let text = json(&Mark { made_ms: now_ms, node_key, to }, &mark)?;
    private_file::replace(&mark, &text).map_err(io_at(&mark))?;
    Ok(manifest)
}

/// The mark of the last backup, where there was one.
///
/// # Errors
/// The file system's; [`InvalidData`](io::ErrorKind::InvalidData) where it is no mark.
pub fn last(data_dir: &Path) -> io::Result<Option<Mark>> {
    match fs::read(data_dir.join(MARK)) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Checks a backup: every file that its manifest names is there, and is what it says.
///
/// # Errors
/// [`BackupFault::Damaged`], the first that is found.
pub fn verify(from: &Path) -> Result<Manifest, BackupFault> {
    let path = from.join(MANIFEST);
    let damaged = |path: &Path, what: String| BackupFault::Damaged { path: path.to_owned(), what };
    let mut text = Vec::new();
    let file = File::open(&path).map_err(|why| damaged(&path, format!("no manifest, so no whole backup: {why}")))?;
    file.take(MANIFEST_BYTES).read_to_end(&mut text).map_err(io_at(&path))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|why| damaged(&path, why.to_string()))?;
    if manifest.format > FORMAT {
        let what =
            format!("form {}, and this program knows {FORMAT} at most: a newer postline made it", manifest.format);
        return Err(damaged(&path, what));
    }
    let mut names = BTreeSet::new();
    for file in &manifest.files {
        let path = from.join(&file.path);
        if !is_plain(&file.path) || !names.insert(file.path.as_str()) {
            return Err(damaged(&path, "a name that leads elsewhere, or stands twice".to_owned()));
        }
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        if !is_file {
            return Err(damaged(&path, "missing".to_owned()));
        }
        let (bytes, hash) = hash(&path)?;
        if (bytes, hash.as_str()) != (file.bytes, file.sha256.as_str()) {
            return Err(damaged(&path, format!("{bytes} bytes, {hash}; want {} bytes, {}", file.bytes, file.sha256)));
        }
    }
    match ["store/postline.db", "keys/node.seed", "postline.toml"].iter().find(|name| !names.contains(**name)) {
        Some(missing) => Err(damaged(&path, format!("it names no {missing}"))),
        None => Ok(manifest),
    }
}

/// Makes a node of a backup: with the configuration `file` where that is there, else with the backup's, which is then
/// written there. Its store gets `generation`, by default the backup's and one more. Who restores one backup twice must
/// name a higher one the second time.
///
/// # Errors
/// [`BackupFault`]. Before [`Occupied`](BackupFault::Occupied) nothing has changed; after a failure of the disk, what was
/// written goes on from there when it is run again.
pub fn restore(from: &Path, file: &Path, generation: Option<u64>) -> Result<Restored, BackupFault> {
    let manifest = verify(from)?;
    let generation = generation.unwrap_or_else(|| manifest.generation.saturating_add(1));
    if generation <= manifest.generation {
        return Err(BackupFault::Generation { asked: generation, has: manifest.generation });
    }
    let text = read_small(&from.join("postline.toml"))?;
    let (config, mut kept) = if file.exists() {
        (Config::load(file)?, vec![file.to_owned()])
    } else {
        (Config::parse(file, &String::from_utf8_lossy(&text))?, Vec::new())
    };
    let mut todo = Vec::new();
    for entry in
        manifest.files.iter().filter(|entry| !entry.path.starts_with("store/") && entry.path != "postline.toml")
    {
        let bytes = read_small(&from.join(&entry.path))?;
        let target = target(&config, &entry.path).ok_or_else(|| BackupFault::Damaged {
            path: from.join(&entry.path),
            what: "this program, or its configuration, has no place for it".to_owned(),
        })?;
        match fs::read(&target) {
            // Of an earlier try.
            Ok(there) if there == **bytes => {}
            Ok(_) if entry.path.starts_with("tls/") => kept.push(target),
            Ok(_) => return Err(BackupFault::Occupied(target)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => todo.push((target, bytes)),
            Err(why) => return Err(BackupFault::Io { path: target, why }),
        }
    }
    let store = store_dir(&config);
    if store.exists() {
        return Err(BackupFault::Occupied(store));
    }
    let new = store.with_extension("restoring");
    let generation = restore_store(from, &manifest, &new, generation)?;
    for (target, bytes) in todo {
        put(&target, &bytes)?;
    }
    let node_key = KeyFiles::of(&config.data_dir).identity()?.nk().to_string();
    if node_key != manifest.node_key {
        let what = format!("the key is {node_key}, the manifest says {}", manifest.node_key);
        return Err(BackupFault::Damaged { path: from.join("keys/node.seed"), what });
    }
    fs::rename(&new, &store).map_err(io_at(&store))?;
    sync_dir(&config.data_dir).map_err(io_at(&config.data_dir))?;
    if !file.exists() {
        put(file, &text)?;
    }
    Ok(Restored { config: file.to_owned(), node_key, generation, made_ms: manifest.made_ms, kept })
}

/// Copies the store to `new`, opens it there, which migrates an older one, and raises its generation.
fn restore_store(from: &Path, manifest: &Manifest, new: &Path, generation: u64) -> Result<u64, BackupFault> {
    match fs::remove_dir_all(new) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(io_at(new)(why)),
        Ok(()) | Err(_) => {}
    }
    for entry in &manifest.files {
        let Some(name) = entry.path.strip_prefix("store/") else { continue };
        let (source, target) = (from.join(&entry.path), new.join(name));
        if let Some(dir) = target.parent() {
            private_file::create_dir(dir).map_err(io_at(dir))?;
        }
        fs::copy(&source, &target).map_err(io_at(&target))?;
        let file = File::open(&target).map_err(io_at(&target))?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| file.sync_all())
            .map_err(io_at(&target))?;
    }
    let mut store = Store::open(new)?;
    if store.generation() != manifest.generation {
        let what = format!("generation {}, the manifest says {}", store.generation(), manifest.generation);
        return Err(BackupFault::Damaged { path: from.join("store/postline.db"), what });
    }
    let raised = store.raise_generation(generation)?;
    store.close()?;
    Ok(raised)
}

fn store_dir(config: &Config) -> PathBuf {
    config.data_dir.join("store")
}

/// The files beside the store: their names in a backup, and where they are.
fn small_files(config: &Config) -> Result<Vec<(String, PathBuf)>, BackupFault> {
    let mut files = vec![
        ("postline.toml".to_owned(), config.file.clone()),
        ("tls/cert.pem".to_owned(), config.tls.cert.clone()),
        ("tls/key.pem".to_owned(), config.tls.key.clone()),
    ];
    if config.users_file().exists() {
        files.push(("users.json".to_owned(), config.users_file()));
    }
    for (name, dir) in [("keys", config.data_dir.join("keys")), ("dkim", config.dkim.dir.clone())] {
        for entry in fs::read_dir(&dir).map_err(io_at(&dir))?.take(KEY_FILES) {
            let path = entry.map_err(io_at(&dir))?.path();
            if let (true, Some(file)) = (path.is_file(), path.file_name().and_then(|file| file.to_str())) {
                files.push((format!("{name}/{file}"), path.clone()));
            }
        }
    }
    if let Some(login) = config.smarthost.as_ref().and_then(|smarthost| smarthost.login.as_ref()) {
        files.push(("smarthost.password".to_owned(), login.password_file.clone()));
    }
    Ok(files)
}

/// Where a file of a backup belongs.
fn target(config: &Config, name: &str) -> Option<PathBuf> {
    match name {
        "tls/cert.pem" => Some(config.tls.cert.clone()),
        "tls/key.pem" => Some(config.tls.key.clone()),
        "users.json" => Some(config.users_file()),
        "smarthost.password" => config.smarthost.as_ref()?.login.as_ref().map(|login| login.password_file.clone()),
        other => match other.split_once('/')? {
            ("keys", file) => Some(config.data_dir.join("keys").join(file)),
            ("dkim", file) => Some(config.dkim.dir.join(file)),
            _ => None,
        },
    }
}

/// The directory for a backup: new, or empty and its owner's alone.
fn make_place(to: &Path) -> Result<(), BackupFault> {
    let place = |what| BackupFault::Place { path: to.to_owned(), what };
    private_file::create_dir(to).map_err(io_at(to))?;
    let mode = fs::metadata(to).map_err(io_at(to))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(place("others may enter it, and a backup holds the node's secrets: chmod 700"));
    }
    if fs::read_dir(to).map_err(io_at(to))?.next().is_some() {
        return Err(place("not empty: each backup wants a directory of its own"));
    }
    Ok(())
}

/// Whether a name stays below its directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The files below a directory of the backup, in order.
fn walk(root: &Path, dir: &str) -> Result<Vec<String>, BackupFault> {
    let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let path = root.join(&dir);
        for found in fs::read_dir(&path).map_err(io_at(&path))? {
            let found = found.map_err(io_at(&path))?;
            let Ok(name) = found.file_name().into_string() else { continue };
            let below = format!("{dir}/{name}");
            if found.file_type().map_err(io_at(&path))?.is_dir() { dirs.push(below) } else { files.push(below) }
        }
    }
    files.sort();
    Ok(files)
}

fn entry(root: &Path, name: &str, secret: bool) -> Result<Entry, BackupFault> {
    let (bytes, sha256) = hash(&root.join(name))?;
    Ok(Entry { path: name.to_owned(), bytes, sha256, secret })
}

fn hash(path: &Path) -> Result<(u64, String), BackupFault> {
    let mut file = File::open(path).map_err(io_at(path))?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let got = file.read(&mut buffer).map_err(io_at(path))?;
        let Some(piece) = buffer.get(..got).filter(|piece| !piece.is_empty()) else { break };
        hash.update(piece);
        bytes += got as u64;
    }
    Ok((bytes, postline_core::id::Hash(hash.finalize().into()).to_string()))
}

fn read_small(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, BackupFault> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(io_at(path))?;
    file.take(SMALL_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io_at(path))?;
    if bytes.len() as u64 > SMALL_FILE_BYTES {
        return Err(BackupFault::Place { path: path.to_owned(), what: "more than 16 MiB: not a file of the node's" });
    }
    Ok(bytes)
}

/// Writes a new file, its owner's alone.
fn put(path: &Path, bytes: &[u8]) -> Result<(), BackupFault> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        private_file::create_dir(dir).map_err(io_at(dir))?;
    }
    match private_file::create(path, bytes).map_err(io_at(path))? {
        true => Ok(()),
        false => Err(BackupFault::Occupied(path.to_owned())),
    }
}

fn json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, BackupFault> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|why| io_at(path)(why.into()))?;
    text.push(b'\n');
    Ok(text)
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> BackupFault + '_ {
    move |why| BackupFault::Io { path: path.to_owned(), why }
}

/// The hash of a backup's manifest, to be noted elsewhere: whoever has it can tell the backup from any other.
///
/// # Errors
/// The disk's.
pub fn manifest_hash(from: &Path) -> Result<String, BackupFault> {
    let path = from.join(MANIFEST);
    Ok(sha256(&[&fs::read(&path).map_err(io_at(&path))?]).to_string())
}
