//! Files that only their owner may read, and that are there whole or not at all.
//!
//! ```text
//!   bytes ──▶ new file beside it (0600) ──fsync──▶ rename ──▶ fsync of the directory
//! ```

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The longest secret line, in bytes.
const LINE_BYTES: u64 = 4 * 1024;

/// Replaces a file's contents, durably; a crash leaves the old contents or the new.
///
/// Writers of one file take turns by a lock of their own.
///
/// # Errors
/// The system's; then the old contents stand.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = sibling(path, "new");
    let written = write_new(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // The first error is the one to tell; a file left behind is overwritten next time.
        let _ = std::fs::remove_file(&new);
    }
    written.and_then(|()| sync_parent(path))
}

/// Makes a file durably, unless it is there; says whether it made it.
///
/// # Errors
/// The system's; then the file isn't there.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let new = sibling(path, "new");
    write_new(&new, bytes)?;
    // Unlike a rename, a link refuses to replace.
    let linked = std::fs::hard_link(&new, path);
    std::fs::remove_file(&new)?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a directory, and those above it, that only its owner may enter; one that is there stays as it is.
///
/// # Errors
/// The system's.
pub fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_parent(path)
}

/// The first line of a file that holds a secret, without its line end.
///
/// # Errors
/// The system's; [`PermissionDenied`](io::ErrorKind::PermissionDenied) where others may read the file;
/// [`InvalidData`](io::ErrorKind::InvalidData) where the line is empty, too long, or no text.
pub fn first_line(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("others may read it (mode {mode:04o}): chmod 600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LINE_BYTES + 1).read_to_string(&mut text)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() || text.len() as u64 > LINE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "want one line of 1 to 4096 bytes"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        replace(&path, b"one\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_there_is_never_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        assert!(create(&path, b"first").unwrap());
        assert!(!create(&path, b"second").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        replace(&path, b"hush\r\nsecond line").unwrap();
        assert_eq!(first_line(&path).unwrap().as_str(), "hush");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(first_line(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        replace(&path, b"\n").unwrap();
        assert_eq!(first_line(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
