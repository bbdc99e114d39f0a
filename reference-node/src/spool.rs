//! Bodies on disk and in memory before any record holds them: arriving whole, or in parts over several connections.
//!
//! ```text
//!   Incoming ──write…──▶ finish ──▶ Staged ──Store::stage, write──▶ held by a record
//!   Partial  ──write…──▶ finish ──▶   │
//!      └─ dropped: stays for the next connection      └─ dropped: its file goes
//! ```
//!
//! A body of at most [`INLINE_BODY_BYTES`](limits::INLINE_BODY_BYTES) stays in memory and becomes a row of the store. A
//! larger one is a file under its final name, itself and its directory synced, before it is staged: so a commit names
//! it without a rename or a sync of its own. Files that no committed row names go when the store is next opened. Names
//! are numbers; which body a file holds, the store knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use postline_core::id::{BlobRef, Hash, NodeKey};
use postline_core::limits;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

/// The directory of bodies. Clones share it; one process opens it once (the store does).
#[derive(Clone, Debug)]
pub struct Spool {
    root: Arc<Root>,
    /// Whose partial bodies are meant, as their names begin.
    whose: Whose,
    /// Whether what comes in parts is to last: it is synced.
    durable: bool,
}

/// Whose partial bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    /// Mails, of no node.
    Nobodys,
    /// Mails, of a node.
    Nodes(NodeKey),
    /// Files, of whoever is called so.
    Files(String),
}

impl Whose {
    fn prefix(&self) -> String {
        match self {
            Self::Nobodys => String::new(),
            Self::Nodes(nk) => format!("{nk}-"),
            Self::Files(of) => format!("{FILES}{of}-"),
        }
    }

    /// What a body is called that came in part.
    fn name(&self, blob: BlobRef) -> String {
        format!("{}{}-{}", self.prefix(), blob.sha256, blob.len)
    }

    /// The longest body, and the most bytes of all that are here in part.
    const fn bounds(&self) -> (u64, u64) {
        match self {
            Self::Nobodys | Self::Nodes(_) => (limits::MAIL_BYTES, limits::PARTIAL_BYTES),
            Self::Files(_) => (limits::ATTACHMENT_BYTES, limits::FILE_PARTIAL_BYTES),
        }
    }
}

/// How the names of partial files begin: mails and files take no room from each other.
const FILES: &str = "file-";

/// How the names of what is of no use after a crash begin.
const PASSING: &str = "opened-";

#[derive(Debug)]
struct Root {
    blobs: PathBuf,
    partial: PathBuf,
    /// The number of the next file.
    next: AtomicU64,
    /// The partial bodies that someone writes to.
    open: Mutex<BTreeMap<String, Open>>,
    /// Who is to hear that more is here of which.
    passed_on: Mutex<BTreeMap<String, Vec<Arc<Notify>>>>,
}

/// A partial body that someone writes to.
#[derive(Clone, Debug)]
struct Open {
    /// How long it will be.
    len: u64,
    file: Arc<File>,
    /// How much of it is here.
    far: Arc<AtomicU64>,
}

impl Spool {
    /// Opens the spool in `dir`, making it where it is missing.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let spool = Self::at(dir);
        for path in [&spool.root.blobs, &spool.root.partial] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        sync_dir(dir)?;
        for entry in fs::read_dir(&spool.root.partial)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(PASSING)) {
                fs::remove_file(entry.path())?;
            }
        }
        let last = numbers(&spool.root.blobs)?.last().copied();
        spool.root.next.store(last.map_or(0, |n| n.saturating_add(1)), Ordering::Relaxed);
        Ok(spool)
    }

    /// The spool in `dir`, untouched: for reading what is there.
    pub(crate) fn at(dir: &Path) -> Self {
        let root = Root {
            blobs: dir.join("blobs"),
            partial: dir.join("partial"),
            next: AtomicU64::new(0),
            open: Mutex::new(BTreeMap::new()),
            passed_on: Mutex::new(BTreeMap::new()),
        };
        Self { root: Arc::new(root), whose: Whose::Nobodys, durable: true }
    }

    /// The same spool, with the partial bodies of one node apart, so that no node's bytes end up in another's body.
    #[must_use]
    pub fn of_peer(&self, peer: NodeKey) -> Self {
        Self { root: Arc::clone(&self.root), whose: Whose::Nodes(peer), durable: true }
    }

    /// The same spool for sealed files, with the partial ones of whoever is called `of` apart.
    #[must_use]
    pub fn of_files(&self, of: &str) -> Self {
        Self { root: Arc::clone(&self.root), whose: Whose::Files(of.to_owned()), durable: true }
    }

    /// The same spool for what comes in parts and no record is to hold: it needn't outlive this process, and isn't synced.
    #[must_use]
    pub fn for_now(&self) -> Self {
        Self { durable: false, ..self.clone() }
    }

    /// Removes the files that are not in `held`, and partial bodies older than [`PARTIAL_MS`](limits::PARTIAL_MS).
    ///
    /// For the store alone, while nothing is staged.
    pub(crate) fn sweep(&self, held: &BTreeSet<u64>) -> io::Result<()> {
        for number in numbers(&self.root.blobs)?.difference(held) {
            fs::remove_file(self.path(*number))?;
        }
        for partial in partials(&self.root.partial)? {
            // A time in the future says nothing about age.
            let age = partial.modified.elapsed().unwrap_or_default();
            if age > Duration::from_millis(limits::PARTIAL_MS) {
                fs::remove_file(self.root.partial.join(&partial.name))?;
            }
        }
        Ok(())
    }

    /// Where the file of this number is.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.root.blobs.join(format!("{number:016x}"))
    }

    /// The numbers of the files that are there.
    pub(crate) fn numbers(&self) -> io::Result<BTreeSet<u64>> {
        numbers(&self.root.blobs)
    }

    /// Removes what came of a body in part, unless somebody is writing to it.
    pub(crate) fn forget(&self, blob: BlobRef) {
        let name = self.whose.name(blob);
        let open = self.open_partials();
        if !open.contains_key(&name) {
            // Mostly there is none; what stays goes by its age.
            let _ = fs::remove_file(self.root.partial.join(&name));
        }
    }

    fn create(&self) -> io::Result<(PathBuf, File)> {
        loop {
            let path = self.path(self.root.next.fetch_add(1, Ordering::Relaxed));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (path, file)),
            }
        }
    }

    /// Where something lies that is of no use after a crash: called `name`, which begins by [`PASSING`]. What the process before
    /// has left of such goes when the spool is next opened.
    pub(crate) fn passing(&self, name: &str) -> PathBuf {
        self.root.partial.join(format!("{PASSING}{name}"))
    }

    /// A body that comes in parts, for who passes it on: `news` is told whenever there may be more of it.
    pub(crate) fn upcoming(&self, blob: BlobRef, news: &Arc<Notify>) -> Upcoming {
        let name = self.whose.name(blob);
        self.root.passed_on().entry(name.clone()).or_default().push(Arc::clone(news));
        Upcoming { root: Arc::clone(&self.root), name, news: Arc::clone(news), seen: None }
    }

    fn open_partials(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.root.open()
    }
}

impl Root {
    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passed_on(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<Notify>>>> {
        self.passed_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, name: &str) {
        self.passed_on().get(name).into_iter().flatten().for_each(|news| news.notify_one());
    }
}

/// A body that comes in parts, over as many connections as it takes, and is read meanwhile: nobody has hashed it yet.
#[derive(Debug)]
pub(crate) struct Upcoming {
    root: Arc<Root>,
    name: String,
    news: Arc<Notify>,
    /// It, as it was last seen: what came of it can be read when nobody writes to it any more.
    seen: Option<Open>,
}

impl Upcoming {
    /// Reads bytes from `offset` on into `buffer`, as many as are here; 0 where there are none yet.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(open) = self.root.open().get(&self.name) {
            self.seen = Some(open.clone());
        }
        let Some(seen) = &self.seen else { return Ok(0) };
        let here = seen.far.load(Ordering::Acquire).saturating_sub(offset);
        let most = usize::try_from(here).unwrap_or(usize::MAX).min(buffer.len());
        match buffer.get_mut(..most) {
            Some(room) if most > 0 => seen.file.read_at(room, offset),
            Some(_) | None => Ok(0),
        }
    }
}

impl Upcoming {
    /// Which file it was last read from: another one has other bytes, whatever it is called.
    pub(crate) fn inode(&self) -> io::Result<Option<Inode>> {
        self.seen.as_ref().map(|seen| inode(&seen.file)).transpose()
    }
}

/// A file as the system knows it: its device, and its number there.
pub(crate) type Inode = (u64, u64);

fn inode(file: &File) -> io::Result<Inode> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

impl Drop for Upcoming {
    fn drop(&mut self) {
        let mut passed_on = self.root.passed_on();
        let Some(others) = passed_on.get_mut(&self.name) else { return };
        if let Some(at) = others.iter().position(|news| Arc::ptr_eq(news, &self.news)) {
            others.swap_remove(at);
        }
        if others.is_empty() {
            passed_on.remove(&self.name);
        }
    }
}

/// A body that is whole, hashed and, where it is a file, synced. Dropped before a commit, it is gone.
#[derive(Debug)]
pub struct Staged {
    /// What it is.
    pub blob: BlobRef,
    /// Where it is.
    pub bytes: StagedBytes,
}

/// Where a staged body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StagedBytes {
    /// In memory; it becomes a row.
    Row(Arc<[u8]>),
    /// In a file of the spool.
    File(PathBuf),
}

impl Staged {
    /// Its bytes, to be read before anyone holds it.
    ///
    /// # Errors
    /// The file system's.
    pub fn body(&self) -> io::Result<Body> {
        Ok(match &self.bytes {
            StagedBytes::Row(bytes) => Body::Bytes(Arc::clone(bytes)),
            StagedBytes::File(path) => Body::File(File::open(path)?, self.blob.len),
        })
    }

    /// The number of its file, where it is one.
    pub(crate) fn number(&self) -> Option<u64> {
        match &self.bytes {
            StagedBytes::Row(_) => None,
            StagedBytes::File(path) => path.file_name().and_then(|name| name.to_str()).and_then(number),
        }
    }

    /// Leaves its file where it is: a commit names it, or may.
    pub(crate) fn keep(mut self) {
        self.bytes = StagedBytes::Row(Arc::default());
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let StagedBytes::File(path) = &self.bytes {
            // What stays is swept when the store is next opened.
            let _ = fs::remove_file(path);
        }
    }
}

/// The bytes of a body, for whoever sends or delivers them.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In an open file, which outlives its name, and its length in bytes.
    File(File, u64),
}

impl Body {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads bytes from `offset` on into `buffer`, as many as there are; 0 at the end.
    ///
    /// # Errors
    /// The file system's.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                bytes.get(start..).unwrap_or_default().read(buffer)
            }
            Self::File(file, _) => file.read_at(buffer, offset),
        }
    }

    /// Which file it is in, where it is in one.
    pub(crate) fn inode(&self) -> io::Result<Option<Inode>> {
        match self {
            Self::Bytes(_) => Ok(None),
            Self::File(file, _) => inode(file).map(Some),
        }
    }

    /// Writes all of it to `out`.
    ///
    /// # Errors
    /// The file system's, and those of `out`.
    pub fn copy_to(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::File(..) => self.pieces(|piece| out.write_all(piece)),
        }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// The file system's.
    pub fn to_bytes(&self) -> io::Result<Arc<[u8]>> {
        if let Self::Bytes(bytes) = self {
            return Ok(Arc::clone(bytes));
        }
        let mut whole = Vec::new();
        self.copy_to(&mut whole)?;
        Ok(whole.into())
    }

    /// Whether these bytes are what `blob` names.
    pub(crate) fn is(&self, blob: BlobRef) -> io::Result<bool> {
        let mut hash = Sha256::new();
        let mut len = 0;
        self.pieces(|piece| {
            hash.update(piece);
            len += piece.len() as u64;
            Ok(())
        })?;
        Ok(len == blob.len && hash.finalize() == blob.sha256.0)
    }

    fn pieces(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Self::Bytes(bytes) = self {
            return each(bytes);
        }
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            match self.read_at(offset, &mut buffer)? {
                0 => return Ok(()),
                got => {
                    each(buffer.get(..got).unwrap_or_default())?;
                    offset += got as u64;
                }
            }
        }
    }
}

/// How much of a file is read or written at once, in bytes.
const PIECE: usize = 64 * 1024;

/// After so many bytes of a long body the disk is set to work on them: what is left for its last sync is little.
const BEHIND: u64 = 8 * 1024 * 1024;

/// Has the disk write what was written so far, behind whoever writes on. It promises nothing: the last sync does.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Up to where.
    asked: u64,
    busy: Arc<AtomicBool>,
}

impl Behind {
    pub(crate) fn wrote(&mut self, file: &File, len: u64) {
        if len < self.asked + BEHIND || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        self.asked = len;
        let (file, busy) = (file.try_clone(), Arc::clone(&self.busy));
        let sync = move || {
            // What fails here fails again at the end, where it counts.
            let _early = file.and_then(|file| file.sync_data());
            busy.store(false, Ordering::Release);
        };
        if std::thread::Builder::new().name("behind".to_owned()).spawn(sync).is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }
}

/// A body that arrives from its first byte to its last on one connection.
#[derive(Debug)]
pub struct Incoming {
    spool: Spool,
    hash: Sha256,
    len: u64,
    /// All of it so far, or what its file lacks.
    held: Vec<u8>,
    file: Option<(Staged, File)>,
    behind: Behind,
}

impl Incoming {
    /// An empty body.
    #[must_use]
    pub fn new(spool: &Spool) -> Self {
        Self {
            spool: spool.clone(),
            hash: Sha256::new(),
            len: 0,
            held: Vec::new(),
            file: None,
            behind: Behind::default(),
        }
    }

    /// How many bytes came so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether none came so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`FileTooLarge`](io::ErrorKind::FileTooLarge) beyond [`MAIL_BYTES`](limits::MAIL_BYTES), and the file system's.
    /// After one, drop it.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = self.len + bytes.len() as u64;
        if len > self.spool.whose.bounds().0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.hash.update(bytes);
        self.len = len;
        if let (Some((_, file)), true) = (&mut self.file, self.held.is_empty() && bytes.len() >= PIECE) {
            // As long as what is written at once: it needn't lie anywhere else first.
            file.write_all(bytes)?;
            self.behind.wrote(file, len);
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        if len > limits::INLINE_BODY_BYTES && self.held.len() >= PIECE {
            self.spill()?;
        }
        Ok(())
    }

    /// Ends the body: hashed, and synced where it is a file.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(mut self) -> io::Result<Staged> {
        if self.len > limits::INLINE_BODY_BYTES {
            self.spill()?;
        }
        let blob = BlobRef { sha256: Hash(self.hash.finalize().into()), len: self.len };
        let Some((mut staged, file)) = self.file else {
            return Ok(Staged { blob, bytes: StagedBytes::Row(self.held.into()) });
        };
        file.sync_all()?;
        sync_dir(&self.spool.root.blobs)?;
        staged.blob = blob;
        Ok(staged)
    }

    fn spill(&mut self) -> io::Result<()> {
        let (_, file) = match &mut self.file {
            Some(open) => open,
            none => {
                let (path, file) = self.spool.create()?;
                // Staged from here on, so that dropping it removes the file; its name comes at the end.
                let blob = BlobRef { sha256: Hash([0; 32]), len: 0 };
                none.insert((Staged { blob, bytes: StagedBytes::File(path) }, file))
            }
        };
        file.write_all(&self.held)?;
        self.behind.wrote(file, self.len);
        self.held.clear();
        Ok(())
    }
}

/// A body that arrives in parts, over as many connections as it takes. Dropped, it waits for the next one.
#[derive(Debug)]
pub struct Partial {
    spool: Spool,
    blob: BlobRef,
    name: String,
    file: Arc<File>,
    hash: Sha256,
    have: u64,
    /// The same, for who passes it on.
    far: Arc<AtomicU64>,
    resumed: u64,
    behind: Behind,
    /// Whether a record is to hold it.
    durable: bool,
}

/// A body that came whole and is not what its hash says. It was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body hashes to {got}, want {want} ({resumed} bytes were here before)", want = blob.sha256)]
pub struct Mismatch {
    /// What it should be.
    pub blob: BlobRef,
    /// What it hashes to.
    pub got: Hash,
    /// How many of its bytes were here when it was opened: where this isn't 0, a crash of ours may have spoiled them.
    pub resumed: u64,
}

impl Partial {
    /// Opens the body `blob`, with the bytes that earlier connections left.
    ///
    /// # Errors
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) where another connection is fetching it,
    /// [`StorageFull`](io::ErrorKind::StorageFull) where bodies that are being fetched take up all of
    /// [`PARTIAL_BYTES`](limits::PARTIAL_BYTES), [`FileTooLarge`](io::ErrorKind::FileTooLarge) beyond
    /// [`MAIL_BYTES`](limits::MAIL_BYTES), and the file system's.
    pub fn open(spool: &Spool, blob: BlobRef) -> io::Result<Self> {
        let (most, room) = spool.whose.bounds();
        if blob.len > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let name = spool.whose.name(blob);
        let path = spool.root.partial.join(&name);
        let mut open = spool.open_partials();
        if open.contains_key(&name) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        make_room(&spool.root.partial, &open, &name, blob.len, room)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let (file, far) = (Arc::new(file), Arc::new(AtomicU64::new(0)));
        open.insert(name.clone(), Open { len: blob.len, file: Arc::clone(&file), far: Arc::clone(&far) });
        drop(open);
        let mut partial = Self {
            spool: spool.clone(),
            blob,
            name,
            file,
            hash: Sha256::new(),
            have: 0,
            far,
            resumed: 0,
            behind: Behind::default(),
            durable: spool.durable,
        };
        partial.resume()?;
        Ok(partial)
    }

    fn resume(&mut self) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        if len > self.blob.len {
            return self.file.set_len(0);
        }
        let hash = &mut self.hash;
        Body::File(self.file.try_clone()?, len).pieces(|piece| {
            hash.update(piece);
            Ok(())
        })?;
        (self.have, self.resumed, self.behind.asked) = (len, len, len);
        self.tell();
        Ok(())
    }

    /// How many bytes are here.
    #[must_use]
    pub const fn have(&self) -> u64 {
        self.have
    }

    /// Takes the bytes that follow those that are here; `offset` is where their sender says they begin.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) where they don't begin at [`have`](Self::have) or go beyond the
    /// body's length, and the file system's.
    pub fn write_at_end(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = self.have + bytes.len() as u64;
        if offset != self.have || end > self.blob.len {
            let why = format!("{} bytes at {offset} of {}, have {}", bytes.len(), self.blob.len, self.have);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        self.file.write_all_at(bytes, offset)?;
        self.hash.update(bytes);
        self.have = end;
        self.tell();
        if self.durable {
            self.behind.wrote(&self.file, end);
        }
        Ok(())
    }

    /// Tells who passes it on how much is here.
    fn tell(&self) {
        self.far.store(self.have, Ordering::Release);
        self.spool.root.tell(&self.name);
    }

    /// Ends the body: its hash checked, and synced where it is a file that is to last.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) where bytes are missing, and the file system's.
    pub fn finish(mut self) -> io::Result<Result<Staged, Mismatch>> {
        let (blob, resumed) = (self.blob, self.resumed);
        if self.have != blob.len {
            let why = format!("{} of {} bytes", self.have, blob.len);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let got = Hash(std::mem::take(&mut self.hash).finalize().into());
        if got != blob.sha256 {
            self.remove()?;
            return Ok(Err(Mismatch { blob, got, resumed }));
        }
        if blob.len <= limits::INLINE_BODY_BYTES {
            let bytes = Body::File(self.file.try_clone()?, blob.len).to_bytes()?;
            self.remove()?;
            return Ok(Ok(Staged { blob, bytes: StagedBytes::Row(bytes) }));
        }
        if self.durable {
            self.file.sync_all()?;
        }
        // Renaming onto a name of our own making replaces that empty file and nothing else.
        let (path, _) = self.spool.create()?;
        let staged = Staged { blob, bytes: StagedBytes::File(path.clone()) };
        fs::rename(self.path(), path)?;
        self.have = 0;
        if self.durable {
            sync_dir(&self.spool.root.blobs)?;
        }
        Ok(Ok(staged))
    }

    /// Drops what came of it.
    pub fn discard(mut self) {
        // What stays goes by its age.
        let _ = self.remove();
    }

    fn path(&self) -> PathBuf {
        self.spool.root.partial.join(&self.name)
    }

    fn remove(&mut self) -> io::Result<()> {
        self.have = 0;
        fs::remove_file(self.path())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Under the lock, so that whoever opens it next finds it settled. Failing costs a fetch from the start.
        let mut open = self.spool.open_partials();
        if self.have == 0 {
            let _ = fs::remove_file(self.path());
        } else {
            let _ = self.file.set_len(self.have);
        }
        open.remove(&self.name);
    }
}

/// Syncs a directory: the names in it survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

struct PartialFile {
    modified: SystemTime,
    name: String,
    /// What it counts as, in bytes: a file costs something even where it is nearly empty.
    cost: u64,
}

fn partials(dir: &Path) -> io::Result<Vec<PartialFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
        if name.starts_with(PASSING) {
            // Whose it is drops it.
            continue;
        }
        found.push(PartialFile { modified: meta.modified()?, name, cost: cost(meta.len()) });
    }
    Ok(found)
}

fn cost(len: u64) -> u64 {
    len.max(limits::CHUNK_BYTES as u64)
}

/// Removes the oldest partial bodies that nobody writes to, until one of `len` bytes called `name` has room.
fn make_room(dir: &Path, open: &BTreeMap<String, Open>, name: &str, len: u64, room: u64) -> io::Result<()> {
    let alike = |other: &str| other.starts_with(FILES) == name.starts_with(FILES);
    let mut others = partials(dir)?;
    others.retain(|file| alike(&file.name) && file.name != name && !open.contains_key(&file.name));
    let written = open.iter().filter(|(other, _)| alike(other)).map(|(_, open)| cost(open.len));
    let mut total: u64 = others.iter().map(|file| file.cost).chain(written).sum();
    others.sort_by_key(|file| file.modified);
    for file in others {
        if total + cost(len) <= room {
            return Ok(());
        }
        fs::remove_file(dir.join(&file.name))?;
        total -= file.cost;
    }
    if total + cost(len) <= room { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

/// The numbers of the files in the spool. Other names are none of ours, and are let be.
fn numbers(blobs: &Path) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(blobs)? {
        found.extend(entry?.file_name().to_str().and_then(number));
    }
    Ok(found)
}

fn number(name: &str) -> Option<u64> {
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}
