//! Maildirs, watched as a mail program watches them: told by the kernel, not by looking again and again.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::Fault;

/// The `new` directories of some Maildirs.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
    dirs: Vec<PathBuf>,
}

impl Watch {
    /// Watches these Maildirs, making those that aren't there, as the node itself would.
    ///
    /// # Errors
    /// The file system's.
    pub fn new(maildirs: &[PathBuf]) -> Result<Self, Fault> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut dirs = Vec::new();
        for maildir in maildirs {
            for part in ["tmp", "new", "cur"] {
                fs::create_dir_all(maildir.join(part))?;
            }
            inotify::add_watch(&fd, maildir.join("new"), WatchFlags::MOVED_TO)?;
            dirs.push(maildir.join("new"));
        }
        Ok(Self { fd, dirs })
    }

    /// Waits until `count` more mails are there. Gives when the last of them was seen.
    ///
    /// # Errors
    /// Where they don't come within `patience`.
    pub fn wait(&self, count: usize, patience: Duration) -> Result<Instant, Fault> {
        let end = Instant::now() + patience;
        let mut seen = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{seen} of {count} mails came within {} s", patience.as_secs()).into());
            }
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&left))?;
            let now = Instant::now();
            seen += self.events()?;
            if seen >= count {
                return Ok(now);
            }
        }
    }

    fn events(&self) -> Result<usize, Fault> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut seen = 0;
        loop {
            match reader.next() {
                Ok(_) => seen += 1,
                Err(Errno::WOULDBLOCK) => return Ok(seen),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The Message-IDs of all mails that are there, sorted, as often as they are there.
    ///
    /// # Errors
    /// The file system's.
    pub fn ids(&self) -> Result<Vec<String>, Fault> {
        let mut ids = Vec::new();
        for dir in &self.dirs {
            for entry in fs::read_dir(dir)? {
                ids.push(id_of(&entry?.path())?);
            }
        }
        ids.sort();
        Ok(ids)
    }
}

fn id_of(mail: &Path) -> Result<String, Fault> {
    let bytes = fs::read(mail)?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.split("\nMessage-ID: <").nth(1).and_then(|rest| rest.split('>').next());
    Ok(id.unwrap_or_default().to_owned())
}
