//! Files that the person leaves with their node for others, and fetches: which there are, and how far each is.
//!
//! ```text
//!   Keep ──record──▶ waits ──Keep──▶ asked ──Kept: so much──▶ sending ──Kept: all──▶ Done, the record goes
//!   Fetch ──Take──▶ host: so much is here ──Fetch──▶ Piece, Piece … ──Whole──▶ Done
//! ```
//!
//! What leaves is durable, and goes on after a crash where the node has it; what is fetched is wanted by who waits for it, and goes
//! on where the host has it once it is wanted again. The bytes are the host's. Spec: `spec/15-attachments.md`.

use std::collections::BTreeMap;

use super::Client;
use super::forgetting::Forgets;
use super::io::{Event, Far, Output, Who};
use super::timers::What;
use crate::fault::{Code, PeerFault, RestoreError};
use crate::id::{Address, BlobRef, Hash, Pair};
use crate::limits;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::file::{BytesIn, BytesOut, Coming, File};
use crate::wire::frame::Frame;
use crate::wire::record::{read, write};

/// The files on their way.
#[derive(Debug, Default)]
pub(super) struct Files {
    leaving: BTreeMap<Hash, Leaving>,
    fetching: BTreeMap<Hash, Fetching>,
    /// What the node is to let go.
    pub(super) forgets: Forgets,
}

/// A file that goes to the node: [`Key::Upload`].
#[derive(Debug)]
struct Leaving {
    theirs: Address,
    file: BlobRef,
    on: On,
}

/// How far a file that leaves is, on this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Waits,
    Asked,
    Sending,
}

/// A file that is fetched.
#[derive(Debug)]
struct Fetching {
    whose: Address,
    coming: Coming,
    /// Whether it was asked for on this session.
    asked: bool,
}

impl Files {
    pub(super) fn len(&self) -> usize {
        self.leaving.len() + self.fetching.len() + self.forgets.len()
    }

    pub(super) fn take_back(&mut self, record: &Record) -> Result<(), RestoreError> {
        let theirs = read(record, |r| r.address())?;
        let damaged = RestoreError::Damaged { key: record.key.clone(), what: "the bytes of a file" };
        let file = record.blob.ok_or(damaged)?;
        self.leaving.insert(file.sha256, Leaving { theirs, file, on: On::Waits });
        Ok(())
    }

    /// The session is over: all is said again on the next one.
    pub(super) fn forget_session(&mut self) {
        self.leaving.values_mut().for_each(|leaving| leaving.on = On::Waits);
        self.fetching.values_mut().for_each(|fetching| fetching.asked = false);
        self.forgets.forget_session();
    }

    /// Whether a file is leaving.
    pub(super) fn leaves(&self, hash: Hash) -> bool {
        self.leaving.contains_key(&hash)
    }

    /// Whether a file that somebody left is being fetched.
    pub(super) fn comes(&self, hash: Hash, whose: &Address) -> bool {
        self.fetching.get(&hash).is_some_and(|fetching| fetching.whose == *whose)
    }
}

impl Client {
    /// Whether a file is being fetched: what comes of another is nobody's.
    #[must_use]
    pub fn fetches(&self, hash: Hash) -> bool {
        self.files.fetching.contains_key(&hash)
    }

    /// The person leaves a file for somebody: its sealed bytes are in the host's hands.
    pub(super) fn keep_file(&mut self, theirs: Address, file: BlobRef, out: &mut Outbox<Output>) {
        // One way at a time: what is said of the one would be taken for the other.
        if self.files.leaving.len() >= limits::UPLOADS || self.fetches(file.sha256) {
            return Self::file_event(file, true, Far::Failed(Code::Busy), out);
        }
        out.save(write(Key::Upload(file.sha256), 1, |w| _ = w.address(&theirs)).holding(file));
        self.files.leaving.insert(file.sha256, Leaving { theirs, file, on: On::Waits });
        self.files_go_on(out);
    }

    /// The person wants a file that somebody left for them, or that they left themselves.
    pub(super) fn fetch_file(&mut self, whose: Address, file: BlobRef, out: &mut Outbox<Output>) {
        if self.files.fetching.len() >= limits::FILE_TRANSFERS || self.files.leaves(file.sha256) {
            return Self::file_event(file, false, Far::Failed(Code::Busy), out);
        }
        if self.files.fetching.contains_key(&file.sha256) {
            return;
        }
        self.files.fetching.insert(file.sha256, Fetching { whose, coming: Coming::new(file), asked: false });
        out.emit(Output::Bytes(BytesOut::Take(file)));
    }

    /// Nothing more is to come of a file, wherever it goes.
    pub(super) fn give_up_file(&mut self, hash: Hash, out: &mut Outbox<Output>) {
        if let Some(leaving) = self.files.leaving.remove(&hash) {
            out.save(Record::remove(Key::Upload(hash)));
            out.emit(Output::Bytes(BytesOut::Leave(leaving.file)));
        }
        if let Some(fetching) = self.files.fetching.remove(&hash) {
            out.emit(Output::Bytes(BytesOut::Leave(fetching.coming.file)));
        }
    }

    /// Says what can be said now.
    pub(super) fn files_go_on(&mut self, out: &mut Outbox<Output>) {
        if !self.online() {
            return;
        }
        let mut open = self.files.leaving.values().filter(|leaving| leaving.on != On::Waits).count();
        for leaving in self.files.leaving.values_mut().filter(|leaving| leaving.on == On::Waits) {
            if open >= limits::FILE_TRANSFERS {
                break;
            }
            (leaving.on, open) = (On::Asked, open + 1);
            let keep = File::Keep { theirs: leaving.theirs.clone(), file: leaving.file };
            out.emit(Output::Send(Frame::File(keep)));
        }
        let asker = &self.ours.address;
        for fetching in self.files.fetching.values_mut().filter(|fetching| !fetching.asked) {
            let Fetching { whose, coming: Coming { file, next: Some(from), .. }, .. } = fetching else { continue };
            if *from < file.len {
                let fetch = File::Fetch { asker: asker.clone(), whose: whose.clone(), file: *file, from: *from };
                out.emit(Output::Send(Frame::File(fetch)));
                fetching.asked = true;
            }
        }
        self.forgets_go_on(out);
    }

    /// The node says something about a file.
    pub(super) fn file_heard(&mut self, tick: &Tick, said: File, out: &mut Outbox<Output>) {
        match said {
            File::Kept { hash, far } if self.files.leaving.contains_key(&hash) => self.file_kept(tick, hash, far, out),
            File::Kept { hash, far: Ok(far) } => {
                if let Some(fetching) = self.files.fetching.get(&hash) {
                    Self::file_event(fetching.coming.file, false, Far::AtNode(far), out);
                }
            }
            File::Kept { hash, far: Err(code) } => {
                if let Some(fetching) = self.files.fetching.remove(&hash) {
                    out.emit(Output::Bytes(BytesOut::Leave(fetching.coming.file)));
                    Self::file_event(fetching.coming.file, false, Far::Failed(code), out);
                }
            }
            File::Piece { hash, offset, len } => {
                let Some(fetching) = self.files.fetching.get_mut(&hash) else { return };
                let (file, end) = (fetching.coming.file, offset.saturating_add(len.into()));
                match fetching.coming.piece(offset, len) {
                    Ok(false) => {}
                    Ok(true) => Self::file_event(file, false, Far::Here(end), out),
                    Err(why) => {
                        self.give_up_file(hash, out);
                        Self::file_event(file, false, Far::Failed(why.code()), out);
                        Self::refuse(Who::Node, why, out);
                    }
                }
            }
            File::Forgotten { whose, theirs, hash, gone } => {
                self.forgotten(Pair { ours: whose, theirs }, hash, gone, out);
            }
            // A node asks its devices for nothing.
            File::Keep { .. } | File::Fetch { .. } | File::Forget { .. } => {}
        }
    }

    fn file_kept(&mut self, tick: &Tick, hash: Hash, far: Result<u64, Code>, out: &mut Outbox<Output>) {
        let Some(leaving) = self.files.leaving.get_mut(&hash) else { return };
        let file = leaving.file;
        match far {
            Ok(far) if far < file.len => {
                if leaving.on == On::Asked {
                    leaving.on = On::Sending;
                    out.emit(Output::Bytes(BytesOut::Send(file, far)));
                }
                return Self::file_event(file, true, Far::Here(far), out);
            }
            // There is no room yet, or it was cut off: it is said again in a while.
            Err(code @ (Code::Busy | Code::Timeout)) => {
                leaving.on = On::Waits;
                out.emit(Output::Bytes(BytesOut::Leave(file)));
                self.timers.by(What::Files, Self::later(tick, limits::FILE_WAIT_MS));
                return Self::file_event(file, true, Far::Waits(code), out);
            }
            Ok(_) => Self::file_event(file, true, Far::Done, out),
            Err(code) => {
                out.emit(Output::Bytes(BytesOut::Leave(file)));
                Self::file_event(file, true, Far::Failed(code), out);
                Self::refuse(Who::Node, PeerFault::NoFile, out);
            }
        }
        self.files.leaving.remove(&hash);
        out.save(Record::remove(Key::Upload(hash)));
        self.files_go_on(out);
    }

    /// What the host says of the bytes of a file that is fetched.
    pub(super) fn file_bytes(&mut self, bytes: BytesIn, out: &mut Outbox<Output>) {
        let (hash, far) = match bytes {
            BytesIn::Have(hash, here) => {
                let Some(fetching) = self.files.fetching.get_mut(&hash) else { return };
                let (file, here) = (fetching.coming.file, here.min(fetching.coming.file.len));
                (fetching.coming.next, fetching.coming.told) = (Some(here), here);
                Self::file_event(file, false, Far::Here(here), out);
                return self.files_go_on(out);
            }
            BytesIn::Whole(file) => (file.sha256, Far::Done),
            BytesIn::Spoiled(file) => (file.sha256, Far::Failed(Code::Spoiled)),
            BytesIn::Failed(hash) => {
                if let Some(leaving) = self.files.leaving.remove(&hash) {
                    out.save(Record::remove(Key::Upload(hash)));
                    Self::file_event(leaving.file, true, Far::Failed(Code::Spoiled), out);
                }
                (hash, Far::Failed(Code::Busy))
            }
            BytesIn::Sent(_) => return,
        };
        if let Some(fetching) = self.files.fetching.remove(&hash) {
            Self::file_event(fetching.coming.file, false, far, out);
        }
    }

    fn file_event(file: BlobRef, leaves: bool, far: Far, out: &mut Outbox<Output>) {
        Self::tell(Event::File { file, leaves, far }, out);
    }
}
