//! Files in the world: the hosts' end of them at nodes and devices, who sends some, and that what is fetched is what was sent.
//!
//! ```text
//!   Sends ──seal──▶ the device's disk, Keep ──Piece…──▶ node ──Piece…──▶ node ──Piece…──▶ device ──open──▶ as it was sent?
//!                     what came in part outlives sessions, links and crashes; a crash may tear it; a node passes on what it has
//! ```
//!
//! Nobody says here what there is to fetch: those whom it is for know it, and at times somebody whom it isn't for. Drawn
//! from a stream of its own.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::canary::{self, Canary};
use postline_core::client::io::Far;
use postline_core::client::{self, Client, Command, Event};
use postline_core::id::{Address, BlobRef, Hash, LinkId, SessionId};
use postline_core::limits;
use postline_core::seal::Attachment;
use postline_core::seal::attachment::{Opener, Sealer};
use postline_core::server::{Input, LinkIn, SessionIn};
use postline_core::step::Tick;
use postline_core::time::{MINUTE, SECOND};
use postline_core::wire::file::{BytesIn, BytesOut, File};
use postline_core::wire::frame::Frame;

use super::lines::Piece;
use super::{Happening, World};
use crate::bytes::blob_of;
use crate::node::Broken;
use crate::rng::Rng;
use crate::sealed;

/// How long a piece takes at least.
const PIECE_MS: u64 = 1;
/// How often a person tries to have a file.
const TRIES: u32 = 4;
/// Longest piece that a host sends here: a file has several.
const PIECE: usize = 900;

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wire {
    Session(SessionId),
    Link(LinkId),
}

/// Who keeps bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Node(usize),
    Device(usize),
}

/// Who keeps bytes, and of those that a node has in part, from whom.
type Spot = (Who, String);

/// A file that is sent, from where on, and from whom it still comes.
type Leaves = (BlobRef, u64, Option<String>);

/// A file that somebody sent.
#[derive(Debug)]
struct Sent {
    author: Address,
    theirs: Address,
    plain: Vec<u8>,
    attachment: Attachment,
}

/// What is known of files.
#[derive(Debug)]
pub(crate) struct Files {
    /// Whether anybody has some: without, nothing comes of what machines want done about bytes.
    played: bool,
    rng: Rng,
    sent: BTreeMap<Hash, Sent>,
    /// What a node has made room for, by the connection that it comes over.
    coming: BTreeMap<(Wire, usize, Hash), (BlobRef, Spot)>,
    /// The same of a device, over whatever session.
    taking: BTreeMap<(usize, Hash), BlobRef>,
    /// What is sent, from where on; of what is still coming, from whom.
    going: BTreeMap<(Wire, usize, Hash), Leaves>,
    partial: BTreeMap<(Spot, Hash), Vec<u8>>,
    came: BTreeMap<(usize, Hash), Vec<u8>>,
    /// What people want on a device, and how often they tried.
    wanted: BTreeMap<(usize, Hash), u32>,
    /// How often a file was fetched, and how often a fetch ended otherwise.
    pub(crate) ended: (u64, u64),
}

impl Files {
    pub(crate) const fn none() -> Self {
        Self {
            played: false,
            rng: Rng::new(0),
            sent: BTreeMap::new(),
            coming: BTreeMap::new(),
            taking: BTreeMap::new(),
            going: BTreeMap::new(),
            partial: BTreeMap::new(),
            came: BTreeMap::new(),
            wanted: BTreeMap::new(),
            ended: (0, 0),
        }
    }
}

// People
impl World {
    /// From now on people have files.
    pub(crate) fn plays_files(&mut self, rng: Rng) {
        (self.files.played, self.files.rng) = (true, rng);
    }

    /// A person sends somebody a file.
    pub(super) fn sends_file(&mut self, index: usize, theirs: &Address) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(index).filter(|device| device.client.is_some()) else { return };
        let rng = &mut self.files.rng;
        let len = [0, 100, 3_000, limits::ATTACHMENT_CHUNK_BYTES + 700].get(rng.index(4)).copied().unwrap_or_default();
        let mut plain = sealed::MARK.to_vec();
        plain.extend(rng.bytes::<16>());
        plain.resize(plain.len() + rng.index(len + 1), b'f');
        let Some((bytes, attachment)) = sealed_of(&plain, &Tick { now, entropy: rng.bytes() }) else { return };
        let file = attachment.blob();
        device.disk.stage(bytes);
        let sent = Sent { author: device.address.clone(), theirs: theirs.clone(), plain, attachment };
        self.files.sent.insert(file.sha256, sent);
        self.step_device(index, client::Input::Command(Command::Keep { theirs: theirs.clone(), file }));
    }

    /// A person wants a file.
    pub(super) fn wants_file(&mut self, index: usize, hash: Hash) {
        let Some(sent) = self.files.sent.get(&hash) else { return };
        let (author, file) = (sent.author.clone(), sent.attachment.blob());
        let Some(device) = self.devices.get(index).filter(|device| device.is_current()) else { return };
        // Who has it themselves asks in the name of whom it is for.
        let whose = if device.address == author { sent.theirs.clone() } else { author };
        *self.files.wanted.entry((index, hash)).or_default() += 1;
        self.step_device(index, client::Input::Command(Command::Fetch { whose, file }));
    }

    /// What a device says of a file is so, and a person does something about it.
    pub(super) fn file_event(&mut self, index: usize, event: &Event) -> Result<(), Broken> {
        let Event::File { file, leaves, far } = event else { return Ok(()) };
        let hash = file.sha256;
        match (leaves, far) {
            // Some are told of a file before it is whole at its author's node.
            (true, Far::Done | Far::Here(_)) => {
                let rng = &mut self.files.rng;
                let Some(sent) = self.files.sent.get(&hash) else { return Ok(()) };
                if *far != Far::Done && !rng.chance(300) {
                    return Ok(());
                }
                for (other, device) in self.devices.iter().enumerate() {
                    let theirs = device.address == sent.theirs || rng.chance(200);
                    let delay = [SECOND, MINUTE, 20 * MINUTE].get(rng.index(3)).copied().unwrap_or(SECOND);
                    if other != index && theirs {
                        self.sequence += 1;
                        let at = self.now.plus(rng.below(delay));
                        self.queue.insert((at, self.sequence), Happening::WantsFile(other, hash));
                    }
                }
                Ok(())
            }
            (false, Far::Done) => {
                let tries = self.files.wanted.remove(&(index, hash));
                let came = self.files.came.remove(&(index, hash));
                self.files.ended.0 += 1;
                let (Some(sent), Some(bytes)) = (self.files.sent.get(&hash), came) else {
                    return Err(("I27", format!("device {index} says that {hash} is here, after {tries:?}")));
                };
                let address = self.devices.get(index).map(|device| &device.address);
                if address != Some(&sent.theirs) && address != Some(&sent.author) {
                    return Err(("I27", format!("{address:?} has what {} left for {}", sent.author, sent.theirs)));
                }
                if opened(&sent.attachment, &bytes).as_deref() == Some(sent.plain.as_slice()) {
                    return Ok(());
                }
                Err(("I27", format!("device {index} has fetched something else than was sent as {hash}")))
            }
            (false, Far::Failed(_)) => {
                self.files.ended.1 += 1;
                let tries = self.files.wanted.get(&(index, hash)).copied().unwrap_or(TRIES);
                if tries < TRIES {
                    self.at(MINUTE, Happening::WantsFile(index, hash));
                }
                Ok(())
            }
            (_, Far::Here(_) | Far::AtNode(_) | Far::Waits(_) | Far::Failed(_)) => Ok(()),
        }
    }

    /// Every fetch has an end, and nobody but who sent or has a file has it in the clear.
    pub(crate) fn files_came_to_an_end(&self) -> Result<(), Broken> {
        if self.files.partial.values().any(|bytes| sealed::is_in(bytes)) {
            return Err(("I14", "a file lies somewhere in the clear".to_owned()));
        }
        for (index, hash) in self.files.wanted.keys() {
            let device = self.devices.get(*index).filter(|device| device.is_current() && device.session.is_some());
            if device.and_then(|device| device.client.as_ref()).is_some_and(|client| client.fetches(*hash)) {
                return Err(("I3", format!("device {index} waits for {hash} still")));
            }
        }
        Ok(())
    }
}

// Hosts
impl World {
    /// A device wants something done about the bytes of a file.
    pub(super) fn device_bytes(&mut self, index: usize, what: BytesOut) {
        if !self.files.played {
            return;
        }
        let spot = (Who::Device(index), String::new());
        let session = self.devices.get(index).and_then(|device| device.session);
        match what {
            BytesOut::Take(file) => {
                let here = self.here(&spot, file);
                self.files.taking.insert((index, file.sha256), file);
                let have = BytesIn::Have(file.sha256, here);
                self.on_device(0, index, client::Input::Bytes(have));
                if here == file.len {
                    self.file_whole_at_device(index, file);
                }
            }
            BytesOut::Leave(file) | BytesOut::Forget(file) => {
                self.files.taking.remove(&(index, file.sha256));
                if let Some(id) = session {
                    self.files.going.remove(&(Wire::Session(id), 0, file.sha256));
                }
                if matches!(what, BytesOut::Forget(_)) {
                    self.files.partial.remove(&(spot, file.sha256));
                    self.files.came.remove(&(index, file.sha256));
                }
            }
            BytesOut::Send(file, from) => {
                if let Some(id) = session {
                    self.begins_to_send(Wire::Session(id), 0, file, from);
                }
            }
            BytesOut::Pass(..) | BytesOut::Rest(_) => self.breaks(("I27", format!("device {index} passes files on"))),
        }
    }

    /// A node wants something done about the bytes of a file, with whoever is called `of`.
    pub(super) fn node_bytes(&mut self, index: usize, wire: Wire, end: usize, of: String, what: BytesOut) {
        if !self.files.played {
            return;
        }
        let spot = (Who::Node(index), of);
        match what {
            BytesOut::Take(file) => {
                let here = self.here(&spot, file);
                self.forget_wires();
                self.files.coming.insert((wire, end, file.sha256), (file, spot));
                self.comes_back(0, index, told(wire, BytesIn::Have(file.sha256, here)));
                if here == file.len {
                    self.file_whole_at_node(index, wire, end, file);
                }
            }
            BytesOut::Leave(file) | BytesOut::Forget(file) => {
                self.files.coming.remove(&(wire, end, file.sha256));
                self.files.going.remove(&(wire, end, file.sha256));
                if matches!(what, BytesOut::Forget(_)) {
                    self.files.partial.remove(&(spot, file.sha256));
                }
            }
            BytesOut::Send(file, from) => self.begins_to_send(wire, end, file, from),
            BytesOut::Pass(file, from, giver) => {
                self.files.going.insert((wire, end, file.sha256), (file, from, Some(giver.to_string())));
                self.at(PIECE_MS, Happening::OfFile(wire, end, file.sha256));
            }
            BytesOut::Rest(file) => {
                if let Some((_, _, giver)) = self.files.going.get_mut(&(wire, end, file.sha256)) {
                    *giver = None;
                }
            }
        }
    }

    /// How much is here; what is longer than it should be was never of this file.
    fn here(&mut self, spot: &Spot, file: BlobRef) -> u64 {
        let partial = self.files.partial.entry((spot.clone(), file.sha256)).or_default();
        if partial.len() as u64 > file.len {
            partial.clear();
        }
        partial.len() as u64
    }

    fn begins_to_send(&mut self, wire: Wire, end: usize, file: BlobRef, from: u64) {
        if self.file_body(wire, end, file).is_none() {
            return self.breaks(("I1", format!("the bytes of {} are gone", file.sha256)));
        }
        self.files.going.insert((wire, end, file.sha256), (file, from, None));
        self.at(PIECE_MS, Happening::OfFile(wire, end, file.sha256));
    }

    fn who_is_at(&self, wire: Wire, end: usize) -> Option<Who> {
        match wire {
            Wire::Session(id) => {
                let (device, node) = self.session_ends(id)?;
                Some(if end == 0 { Who::Device(device) } else { Who::Node(node) })
            }
            Wire::Link(link) => self.node_at_end(link, end).map(Who::Node),
        }
    }

    fn file_body(&self, wire: Wire, end: usize, file: BlobRef) -> Option<&[u8]> {
        match self.who_is_at(wire, end)? {
            Who::Node(node) => self.nodes.get(node)?.disk.body(file),
            Who::Device(device) => self.devices.get(device)?.disk.body(file),
        }
    }

    /// What is here of a file that comes from somebody.
    fn part(&self, who: Who, giver: &str, file: BlobRef) -> Option<&[u8]> {
        Some(self.files.partial.get(&((who, giver.to_owned()), file.sha256))?.as_slice())
    }

    /// The next piece of a file goes.
    pub(super) fn of_file(&mut self, wire: Wire, end: usize, hash: Hash) {
        let Some((file, offset, giver)) = self.files.going.get(&(wire, end, hash)).cloned() else { return };
        let size = 1 + self.files.rng.index(PIECE);
        let open = self.is_wire_open(wire, end);
        let body = match &giver {
            Some(giver) => self.who_is_at(wire, end).and_then(|who| self.part(who, giver, file)),
            None => self.file_body(wire, end, file),
        };
        let rest = body.zip(usize::try_from(offset).ok()).filter(|_| open);
        let rest = rest.and_then(|(body, at)| body.get(at..)).filter(|rest| !rest.is_empty());
        if rest.is_none() && giver.is_some() && open {
            // More may come.
            return self.at(SECOND, Happening::OfFile(wire, end, hash));
        }
        let Some(piece) = rest.map(|rest| rest.get(..size).unwrap_or(rest).to_vec()) else {
            // The connection is over, or the file was let go of.
            self.files.going.remove(&(wire, end, hash));
            return;
        };
        let next = offset + piece.len() as u64;
        match wire {
            Wire::Session(id) => {
                let len = u32::try_from(piece.len()).unwrap_or_default();
                self.put_on_session(id, end, &Frame::File(File::Piece { hash, offset, len }), Some(&piece));
            }
            Wire::Link(link) => self.send(link, end, Piece::OfFile(hash, offset, piece)),
        }
        if next < file.len {
            self.files.going.insert((wire, end, hash), (file, next, giver));
            return self.at(PIECE_MS, Happening::OfFile(wire, end, hash));
        }
        self.files.going.remove(&(wire, end, hash));
        match self.who_is_at(wire, end) {
            Some(Who::Node(node)) => self.comes_back(0, node, told(wire, BytesIn::Sent(hash))),
            Some(Who::Device(device)) => self.on_device(0, device, client::Input::Bytes(BytesIn::Sent(hash))),
            None => {}
        }
    }

    /// A piece of a file comes to an end of a connection, before its machine hears of it. Gives the file where it was the last.
    pub(super) fn piece_of_file(
        &mut self,
        wire: Wire,
        to: usize,
        frame: &Frame,
        bytes: Option<&[u8]>,
    ) -> Option<BlobRef> {
        let (Frame::File(File::Piece { hash, offset, .. }), Some(bytes)) = (frame, bytes) else { return None };
        let (file, spot) = match self.who_is_at(wire, to)? {
            Who::Device(device) => (*self.files.taking.get(&(device, *hash))?, (Who::Device(device), String::new())),
            Who::Node(_) => self.files.coming.get(&(wire, to, *hash))?.clone(),
        };
        let partial = self.files.partial.entry((spot, *hash)).or_default();
        let end = partial.len() as u64 + bytes.len() as u64;
        if partial.len() as u64 != *offset || end > file.len {
            return None;
        }
        partial.extend_from_slice(bytes);
        (end == file.len).then_some(file)
    }

    pub(super) fn file_whole_at_node(&mut self, index: usize, wire: Wire, end: usize, file: BlobRef) {
        let Some((_, spot)) = self.files.coming.remove(&(wire, end, file.sha256)) else { return };
        let bytes = self.files.partial.remove(&(spot, file.sha256)).unwrap_or_default();
        let (what, body) = if blob_of(&bytes) == file || canary::is_on(Canary::FileNotHashed) {
            (BytesIn::Whole(file), Some((file.sha256, bytes)))
        } else {
            (BytesIn::Spoiled(file), None)
        };
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.server.is_some()) else { return };
        body.into_iter().for_each(|(hash, bytes)| node.disk.stage_as(hash, bytes));
        self.step(index, told(wire, what), None);
    }

    pub(super) fn file_whole_at_device(&mut self, index: usize, file: BlobRef) {
        if self.files.taking.remove(&(index, file.sha256)).is_none() {
            return;
        }
        let spot = (Who::Device(index), String::new());
        let bytes = self.files.partial.remove(&(spot, file.sha256)).unwrap_or_default();
        let what = if blob_of(&bytes) == file || canary::is_on(Canary::FileNotHashed) {
            let client = self.devices.get(index).and_then(|device| device.client.as_ref());
            if client.is_some_and(|client: &Client| client.fetches(file.sha256)) {
                self.files.came.insert((index, file.sha256), bytes);
            }
            BytesIn::Whole(file)
        } else {
            BytesIn::Spoiled(file)
        };
        self.on_device(0, index, client::Input::Bytes(what));
    }

    /// A node's process is over: its connections are, and what came in part stays, as far as the disk has it.
    pub(super) fn node_lost_files(&mut self, index: usize) {
        self.lost_files(Who::Node(index));
    }

    /// A device's process is over: the same, and what it wanted is forgotten.
    pub(super) fn device_lost_files(&mut self, index: usize) {
        self.files.taking.retain(|(of, _), _| *of != index);
        self.files.came.retain(|(of, _), _| *of != index);
        self.files.wanted.retain(|(of, _), _| *of != index);
        self.lost_files(Who::Device(index));
    }

    fn lost_files(&mut self, who: Who) {
        if !self.files.played {
            return;
        }
        self.files.coming.retain(|_, (_, (of, _))| *of != who);
        let rng = &mut self.files.rng;
        for ((_, _), bytes) in self.files.partial.iter_mut().filter(|(((of, _), _), _)| *of == who) {
            if bytes.is_empty() || rng.chance(500) {
                continue;
            }
            // What nobody had synced is short, or has a hole.
            let at = rng.index(bytes.len());
            if rng.chance(500) {
                bytes.truncate(at);
            } else if let Some(hole) = bytes.get_mut(at..) {
                hole.fill(0);
            }
        }
    }

    /// What was to come over connections that are over comes over others.
    fn forget_wires(&mut self) {
        let ends: BTreeSet<(Wire, usize)> = self.files.coming.keys().map(|(wire, end, _)| (*wire, *end)).collect();
        let over: BTreeSet<_> = ends.into_iter().filter(|(wire, end)| !self.is_wire_open(*wire, *end)).collect();
        self.files.coming.retain(|(wire, end, _), _| !over.contains(&(*wire, *end)));
    }
}

const fn told(wire: Wire, what: BytesIn) -> Input {
    match wire {
        Wire::Session(id) => Input::Session(id, SessionIn::Bytes(what)),
        Wire::Link(link) => Input::Link(link, LinkIn::Bytes(what)),
    }
}

fn sealed_of(plain: &[u8], tick: &Tick) -> Option<(Vec<u8>, Attachment)> {
    let (mut sealer, head) = Sealer::begin(tick, plain.len() as u64).ok()?;
    let (mut bytes, mut rest) = (head.to_vec(), plain);
    while let Some(want) = sealer.wants() {
        let (piece, behind) = rest.split_at_checked(want)?;
        let mut piece = piece.to_vec();
        sealer.chunk(&mut piece).ok()?;
        bytes.extend(piece);
        rest = behind;
    }
    Some((bytes, sealer.finish().ok()?))
}

fn opened(attachment: &Attachment, bytes: &[u8]) -> Option<Vec<u8>> {
    let opener = Opener::begin(attachment, bytes).ok()?;
    let mut plain = Vec::new();
    for index in 0..attachment.chunks() {
        let place = attachment.place(index)?;
        let (from, to) = (usize::try_from(place.start).ok()?, usize::try_from(place.end).ok()?);
        let mut chunk = bytes.get(from..to)?.to_vec();
        opener.chunk(index, &mut chunk).ok()?;
        plain.extend(chunk);
    }
    Some(plain)
}
