//! Room, owners, file systems, and files that may be open.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::{Finding, Scene};

/// Below this, mail is refused soon, in bytes.
const LOW: u64 = 100 * 1024 * 1024;
/// Below this, it is time to make room, in bytes.
const SCARCE: u64 = 1024 * 1024 * 1024;
/// The same in files.
const LOW_FILES: u64 = 1_000;
const SCARCE_FILES: u64 = 50_000;
/// Files that a node with a handful of links needs, and one that is busy.
const FILES_LEAST: u64 = 256;
const FILES_GOOD: u64 = 4_096;
/// Most mailboxes that are looked at.
const MAILBOXES: usize = 10_000;

/// How much room there is on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free for this user, in bytes.
    pub bytes: u64,
    /// Files that can still be made; `None` where the file system doesn't count them.
    pub files: Option<u64>,
}

/// How much room there is where `path` leads.
///
/// # Errors
/// The file system's.
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    let files = (stat.f_files > 0).then_some(stat.f_favail);
    Ok(Space { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), files })
}

pub(super) fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = vec![open_files()];
    let config = scene.config;
    let mut devices = BTreeSet::new();
    for path in [&config.data_dir.join("store"), &config.data_dir, &config.maildir_root] {
        // Each file system once, under the first name that leads there.
        if fs::metadata(path).is_ok_and(|meta| devices.insert(meta.dev())) {
            findings.extend(room(scene, path));
        }
    }
    if config.beside.deliver.is_some() {
        let skipped = |id| Finding::skipped(id, "", "mail goes on to the mail store beside this node");
        findings.extend(["maildir.owner", "maildir.filesystem"].map(skipped));
    } else {
        findings.extend(mailboxes(&config.maildir_root, &config.data_dir));
    }
    findings
}

fn room(scene: &Scene<'_>, path: &Path) -> Vec<Finding> {
    let about = path.display();
    let space = match (scene.space)(path) {
        Ok(space) => space,
        Err(why) => return vec![Finding::skipped("disk.space", about, why)],
    };
    let free = format!("{} MiB free", space.bytes / 1024 / 1024);
    let bytes = match space.bytes {
        ..LOW => Finding::failure(
            "disk.space",
            &about,
            format!("disk full: {free}"),
            "make room: mail is refused for now, by 452",
        ),
        LOW..SCARCE => Finding::warning("disk.space", &about, free, "make room before mail has to be refused"),
        SCARCE.. => Finding::ok("disk.space", &about, free),
    };
    let files = match space.files {
        None => Finding::ok("disk.inodes", &about, "the file system doesn't count files"),
        Some(files) => {
            let free = format!("{files} more files can be made");
            match files {
                ..LOW_FILES => Finding::failure("disk.inodes", &about, format!("no inodes: {free}"), "remove files"),
                LOW_FILES..SCARCE_FILES => Finding::warning("disk.inodes", &about, free, "remove files in time"),
                SCARCE_FILES.. => Finding::ok("disk.inodes", &about, free),
            }
        }
    };
    vec![bytes, files]
}

/// Of this process: a node that is started alike has the same.
fn open_files() -> Finding {
    let id = "node.files";
    let may = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let (cause, next) = (format!("{may} open files for what is started here"), "LimitNOFILE=65536, or ulimit -n 65536");
    match may {
        ..FILES_LEAST => Finding::failure(id, "", cause, next),
        FILES_LEAST..FILES_GOOD => Finding::warning(id, "", cause, next),
        FILES_GOOD.. => Finding::ok(id, "", cause),
    }
}

/// Whose the mailboxes are, and whether each lies on one file system.
fn mailboxes(root: &Path, data_dir: &Path) -> Vec<Finding> {
    let (owner, system) = ("maildir.owner", "maildir.filesystem");
    let about = root.display();
    let (Ok(top), Ok(data)) = (fs::metadata(root), fs::metadata(data_dir)) else {
        let next = "postline init, or let maildir.root name a directory that is there";
        return vec![Finding::failure(owner, about, "not there", next)];
    };
    if top.uid() != data.uid() {
        let cause = format!("it is of user {}, the node's data of user {}", top.uid(), data.uid());
        return vec![Finding::failure(owner, &about, cause, format!("chown -R {}:{} {about}", data.uid(), data.gid()))];
    }
    let (mut strange, mut split) = (None, None);
    for mailbox in fs::read_dir(root).into_iter().flatten().flatten().take(MAILBOXES) {
        let dirs = ["tmp", "new", "cur"].map(|name| mailbox.path().join(name));
        let metas: Vec<(&PathBuf, fs::Metadata)> =
            dirs.iter().filter_map(|dir| fs::metadata(dir).ok().map(|meta| (dir, meta))).collect();
        let odd = metas.iter().find(|(_, meta)| meta.uid() != data.uid() || meta.mode() & 0o300 != 0o300);
        strange = strange.or_else(|| odd.map(|(dir, _)| (*dir).clone()));
        let devices: BTreeSet<u64> = metas.iter().map(|(_, meta)| meta.dev()).collect();
        split = split.or_else(|| (devices.len() > 1).then(|| mailbox.path()));
    }
    let owned = match strange {
        Some(dir) => Finding::failure(
            owner,
            dir.display(),
            "the node can't write there: another user's, or without permission",
            format!("chown -R {}:{} {about}; chmod -R u+rwX {about}", data.uid(), data.gid()),
        ),
        None if top.mode() & 0o007 != 0 => {
            Finding::warning(owner, &about, "everybody on this machine may look in", format!("chmod o-rwx {about}"))
        }
        None => Finding::ok(owner, &about, format!("of user {}", data.uid())),
    };
    let whole = match split {
        Some(dir) => Finding::failure(
            system,
            dir.display(),
            "tmp, new and cur lie on different file systems: no mail can be delivered",
            "put the whole mailbox on one file system",
        ),
        None => Finding::ok(system, &about, "each mailbox lies on one"),
    };
    vec![owned, whole]
}
