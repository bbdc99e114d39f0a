//! Connections between nodes: frames arrive in order, until the connection is cut, or goes silent.

use postline_codec::stream::{FrameReader, Incoming, encode};
use postline_core::content::mail::{MailIn, Source};
use postline_core::fault::Misuse;
use postline_core::id::{Address, BlobRef, Hash, LinkId};
use postline_core::limits;
use postline_core::server::{Dial, Input, LinkIn, LinkOut};
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::file::File;
use postline_core::wire::frame::{Carry, Frame};

use super::files::Wire;
use super::{Happening, World};
use crate::bytes::{blob_of, mail_in};
use crate::rng::Rng;
use crate::sealed;
use crate::weather::Fault;

/// How long a frame takes at least.
const FRAME_MS: u64 = 1;

/// A connection. End 0 dialled.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [usize; 2],
    pub(super) exporter: [u8; 32],
    pub(super) hellos: [Option<Vec<u8>>; 2],
    open: [bool; 2],
    /// By hearing end.
    readers: [FrameReader; 2],
    /// By sending end: when the last byte arrives.
    last: [Millis; 2],
    /// By sending end: nothing more arrives.
    silent: [bool; 2],
}

/// What travels over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A frame without a body.
    Frame(Frame),
    /// A Carry, and its body where that rides inside.
    Carry(Carry, Option<Vec<u8>>),
    /// A piece of a body.
    Chunk(Hash, u64, Vec<u8>),
    /// A piece of a file.
    OfFile(Hash, u64, Vec<u8>),
    /// Bytes that are no frame.
    Garbage,
    /// The end.
    Down,
}

impl Piece {
    fn into_bytes(self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoded = match &self {
            Self::Frame(frame) => encode(frame, None, &mut bytes),
            Self::Carry(carry, body) => encode(&Frame::Carry(carry.clone()), body.as_deref(), &mut bytes),
            Self::Chunk(blob, offset, piece) => {
                let len = u32::try_from(piece.len()).unwrap_or_default();
                encode(&Frame::Chunk { blob: *blob, offset: *offset, len }, Some(piece), &mut bytes)
            }
            Self::OfFile(hash, offset, piece) => {
                let len = u32::try_from(piece.len()).unwrap_or_default();
                let frame = Frame::File(File::Piece { hash: *hash, offset: *offset, len });
                encode(&frame, Some(piece), &mut bytes)
            }
            Self::Garbage => Err(Misuse::OutOfPlace("no frame")),
            Self::Down => Ok(()),
        };
        // What a lawless node makes up may be no frame at all.
        if encoded.is_ok() { bytes } else { rng.bytes::<24>().to_vec() }
    }
}

impl Conn {
    /// Which end a node is.
    pub(super) fn end_of(&self, node: usize) -> Option<usize> {
        self.ends.iter().position(|end| *end == node)
    }

    fn is_open(&self, end: usize) -> bool {
        self.open.get(end).copied().unwrap_or_default()
    }

    fn close(&mut self, end: usize) {
        if let Some(open) = self.open.get_mut(end) {
            *open = false;
        }
    }

    fn node(&self, end: usize) -> Option<usize> {
        self.ends.get(end).copied()
    }
}

const fn other(end: usize) -> usize {
    1 - end
}

impl World {
    pub(super) fn connect(&mut self, node: usize, dial: Dial) {
        let peer = self.nodes.iter().position(|n| n.serves(&dial.theirs) && n.server.is_some());
        let peer = match self.twin {
            // Whichever of the two answers.
            Some(twin) if peer == Some(twin.node) && twin.runs && self.rng.chance(500) => Some(twin.old),
            _ => peer,
        };
        let meets = |peer: &usize| !self.apart.contains(&(node, *peer)) && !self.apart.contains(&(*peer, node));
        let Some(peer) = peer.filter(meets).filter(|_| !self.weather.strikes(Fault::Unreachable, &mut self.rng)) else {
            return self.step(node, Input::Unreached(dial), None);
        };
        let link = self.line(node, peer);
        let exporter = self.lines.get(&link).map(|conn| conn.exporter).unwrap_or_default();
        self.at(
            FRAME_MS,
            Happening::Step {
                node: peer,
                troubles: Some(self.troubles_of(peer)),
                input: Box::new(Input::Link(link, LinkIn::Up { dialled: None, exporter })),
                body: None,
            },
        );
        self.comes_back(FRAME_MS, node, Input::Link(link, LinkIn::Up { dialled: Some(dial), exporter }));
    }

    /// A fresh connection.
    pub(super) fn line(&mut self, dialler: usize, listener: usize) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let conn = Conn {
            ends: [dialler, listener],
            exporter: sha256(&[b"exporter", &link.0.to_be_bytes()]).0,
            hellos: [None, None],
            open: [true, true],
            last: [self.now.plus(FRAME_MS); 2],
            readers: [FrameReader::new(), FrameReader::new()],
            silent: [false, false],
        };
        self.lines.insert(link, conn);
        link
    }

    /// What a node's machine wants done on a connection.
    pub(super) fn say(&mut self, index: usize, link: LinkId, what: LinkOut) {
        let Some(end) = self.lines.get(&link).filter(|conn| conn.is_open(0) || conn.is_open(1)) else { return };
        let Some(end) = end.end_of(index).filter(|at| end.is_open(*at)) else { return };
        match what {
            LinkOut::Send(frame) => {
                self.prove(index, link, end, &frame);
                self.note_entries(index, &frame);
                let now = self.now;
                self.overheard.iter_mut().for_each(|heard| heard.push((index, now, frame.clone())));
                let piece = match frame {
                    Frame::Carry(carry) => match self.with_body(index, carry) {
                        Some(piece) => {
                            self.note_carried(index, &piece);
                            piece
                        }
                        None => return self.cut(link),
                    },
                    frame if self.liar == Some(index) && matches!(frame, Frame::Talk(_)) => {
                        let whose = self.somebody_at(index);
                        for frame in self.lied(frame, whose.as_ref()) {
                            self.send(link, end, Piece::Frame(frame));
                        }
                        return;
                    }
                    frame => Piece::Frame(frame),
                };
                self.send(link, end, piece);
            }
            LinkOut::Chunks { blob, offset } => self.chunk(index, link, end, blob, offset),
            LinkOut::Fetch { blob } => {
                let Some(node) = self.nodes.get_mut(index) else { return };
                node.fetching.entry((link, blob.sha256)).or_default().len = Some(blob.len);
                let here = node.partial.get(&blob.sha256).map_or(0, Vec::len) as u64;
                self.comes_back(0, index, Input::Link(link, LinkIn::Have { blob: blob.sha256, bytes: here }));
                if here == blob.len {
                    self.whole(index, link, blob);
                }
            }
            LinkOut::Unfetch { blob } => {
                if let Some(node) = self.nodes.get_mut(index) {
                    node.fetching.entry((link, blob.sha256)).or_default().len = None;
                }
            }
            LinkOut::Bytes(what) => {
                self.bytes.push((index, what));
                let peer = self.node_at_end(link, other(end)).and_then(|peer| self.nodes.get(peer));
                let of = peer.map(|node| node.nk().to_string()).unwrap_or_default();
                self.node_bytes(index, Wire::Link(link), end, of, what);
            }
            LinkOut::Close => self.close(link, end),
        }
    }

    /// Which node is at an end of a connection.
    pub(super) fn node_at_end(&self, link: LinkId, end: usize) -> Option<usize> {
        self.lines.get(&link).and_then(|conn| conn.node(end))
    }

    /// Whether an end of a connection is open.
    pub(super) fn is_end_open(&self, link: LinkId, end: usize) -> bool {
        self.lines.get(&link).is_some_and(|conn| conn.is_open(end))
    }

    fn somebody_at(&self, index: usize) -> Option<Address> {
        self.people().into_iter().find(|who| self.home(who) == Some(index))
    }

    fn note_carried(&mut self, index: usize, piece: &Piece) {
        let Piece::Carry(carry, _) = piece else { return };
        let body = self.nodes.get(index).and_then(|node| node.disk.body(carry.body));
        self.proofs.bodies.insert(carry.body.sha256);
        if let Some(marker) = body.and_then(crate::bytes::marker_of) {
            self.ledger.carries(&marker, &carry.envelope.to);
        }
    }

    fn with_body(&self, index: usize, carry: Carry) -> Option<Piece> {
        if carry.body.len > limits::CARRY_INLINE_BYTES {
            return Some(Piece::Carry(carry, None));
        }
        let body = self.nodes.get(index)?.disk.body(carry.body)?.to_vec();
        Some(Piece::Carry(carry, Some(body)))
    }

    /// Sends a piece of a body, and sees that the rest follows: other frames go between.
    pub(super) fn chunk(&mut self, index: usize, link: LinkId, end: usize, blob: BlobRef, offset: u64) {
        if offset >= blob.len || self.lines.get(&link).is_none_or(|conn| !conn.is_open(end)) {
            return;
        }
        let body = self.nodes.get(index).and_then(|node| node.disk.body(blob));
        let rest = body.zip(usize::try_from(offset).ok()).and_then(|(body, at)| body.get(at..));
        let Some(piece) = rest.map(|rest| rest.get(..limits::CHUNK_BYTES).unwrap_or(rest).to_vec()) else {
            return self.cut(link);
        };
        let next = offset + piece.len() as u64;
        self.send(link, end, Piece::Chunk(blob.sha256, offset, piece));
        self.at(FRAME_MS, Happening::Chunk(link, index, end, blob, next));
    }

    /// Puts a piece on the wire. Byzantine nodes put what they like.
    pub(super) fn send(&mut self, link: LinkId, end: usize, piece: Piece) {
        let from = self.lines.get(&link).and_then(|conn| conn.node(end));
        if from.is_some_and(|from| self.ledger.lawless.contains(&from)) {
            for piece in self.twisted(link, end, piece) {
                self.put_on_wire(link, end, piece);
            }
        } else {
            self.put_on_wire(link, end, piece);
        }
    }

    pub(super) fn put_on_wire(&mut self, link: LinkId, end: usize, piece: Piece) {
        let slow = self.weather.strikes(Fault::SlowLink, &mut self.rng);
        let delay = if slow { self.rng.below(2_000) } else { FRAME_MS };
        let now = self.now;
        let bytes = piece.into_bytes(&mut self.rng);
        if sealed::is_in(&bytes) {
            self.breaks(("I14", "a link has a sealed body in the clear".to_owned()));
        }
        let Some(last) = self.lines.get_mut(&link).and_then(|conn| conn.last.get_mut(end)) else { return };
        *last = now.plus(delay).max(*last);
        let wait = last.since(now);
        if self.weather.has(Fault::Replayed) {
            self.tape.hear(link, end, &bytes);
        }
        // However the bytes are split, the frames are the same.
        let split = self.rng.index(bytes.len() + 1);
        let (one, two) = bytes.split_at(if self.rng.chance(800) { bytes.len() } else { split });
        // No bytes at all are the end of a connection.
        if !one.is_empty() || bytes.is_empty() {
            self.at(wait, Happening::Bytes(link, other(end), one.to_vec()));
        }
        if !two.is_empty() {
            self.at(wait, Happening::Bytes(link, other(end), two.to_vec()));
        }
    }

    /// Bytes reach an end of a connection; none: it ends.
    pub(super) fn bytes_came(&mut self, link: LinkId, to: usize, bytes: &[u8]) {
        let Some(conn) = self.lines.get_mut(&link) else { return };
        let (Some(from_node), Some(node)) = (conn.node(other(to)), conn.node(to)) else { return };
        if self.apart.contains(&(from_node, node))
            && let Some(silent) = conn.silent.get_mut(other(to))
        {
            *silent = true;
        }
        if conn.silent.get(other(to)).copied().unwrap_or_default() {
            return;
        }
        if !conn.is_open(to) {
            // Nobody there knows this connection: the sender is told.
            if conn.is_open(other(to)) && !bytes.is_empty() {
                self.at(FRAME_MS, Happening::Bytes(link, other(to), Vec::new()));
            }
            return;
        }
        if bytes.is_empty() {
            conn.close(to);
            return self.step(node, Input::Link(link, LinkIn::Down), None);
        }
        if self.weather.strikes(Fault::HalfOpen, &mut self.rng)
            && let Some(silent) = conn.silent.get_mut(other(to))
        {
            *silent = true;
        } else if self.weather.strikes(Fault::Cut, &mut self.rng) {
            self.cut(link);
        } else {
            self.read(link, to, node, bytes);
        }
    }

    fn read(&mut self, link: LinkId, to: usize, node: usize, mut bytes: &[u8]) {
        loop {
            let open = self.lines.get_mut(&link).filter(|conn| conn.is_open(to));
            let Some(reader) = open.and_then(|conn| conn.readers.get_mut(to)) else { return };
            let taken = reader.push(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            match reader.next() {
                Ok(Some(incoming)) => {
                    match &incoming.frame {
                        Frame::Proof(_) => reader.proven(),
                        Frame::Hello(hello) => self.heard_hello(link, to, hello),
                        Frame::Ready(ready) => self.note_generation(link, to, ready.generation),
                        _ => {}
                    }
                    self.hear(link, node, incoming);
                }
                Ok(None) if bytes.is_empty() => return,
                Ok(None) => {}
                Err(why) => return self.step(node, Input::Link(link, LinkIn::Garbage(why)), None),
            }
        }
    }

    /// Whoever said it, it is what a proof must be about.
    fn heard_hello(&mut self, link: LinkId, to: usize, bytes: &[u8]) {
        let hello = self.lines.get_mut(&link).and_then(|conn| conn.hellos.get_mut(other(to)));
        if let Some(hello) = hello.filter(|hello| hello.is_none()) {
            *hello = Some(bytes.to_vec());
        }
    }

    fn hear(&mut self, link: LinkId, node: usize, incoming: Incoming) {
        match (incoming.frame, incoming.bytes) {
            (Frame::Carry(carry), Some(body)) => {
                let to = carry.envelope.to.clone();
                let mail = self.carried(node, &body, Some(&carry.envelope.from), to.iter());
                self.note_link_arrival(node, &body, &to);
                self.step(node, Input::Link(link, LinkIn::Carry(carry, Some(Box::new(mail)))), Some(body));
            }
            (Frame::Carry(carry), None) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    let fetching = node.fetching.entry((link, carry.body.sha256)).or_default();
                    fetching.from = Some(carry.envelope.from.clone());
                    fetching.to.extend(carry.envelope.to.iter().cloned());
                }
                self.step(node, Input::Link(link, LinkIn::Carry(carry, None)), None);
            }
            (Frame::Chunk { blob, offset, .. }, Some(bytes)) => self.chunk_came(node, link, blob, offset, &bytes),
            (frame, bytes) => {
                let (wire, to) = (Wire::Link(link), self.lines.get(&link).and_then(|conn| conn.end_of(node)));
                let whole = to.and_then(|to| Some((to, self.piece_of_file(wire, to, &frame, bytes.as_deref())?)));
                self.step(node, Input::Link(link, LinkIn::Frame(frame)), None);
                if let Some((to, file)) = whole {
                    self.file_whole_at_node(node, wire, to, file);
                }
            }
        }
    }

    fn chunk_came(&mut self, index: usize, link: LinkId, blob: Hash, offset: u64, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.step(index, Input::Link(link, LinkIn::Frame(Frame::Chunk { blob, offset, len })), None);
        let Some(node) = self.nodes.get_mut(index) else { return };
        let Some(whole) = node.fetching.get(&(link, blob)).and_then(|fetching| fetching.len) else { return };
        let here = node.partial.entry(blob).or_default();
        let end = here.len() as u64 + bytes.len() as u64;
        if here.len() as u64 == offset && end <= whole {
            here.extend_from_slice(bytes);
            if end == whole {
                self.whole(index, link, BlobRef { sha256: blob, len: whole });
            } else if self.weather.has(Fault::TearsPieces) && self.rng.chance(300) {
                self.crash(index);
            }
        }
    }

    /// A body is whole: its hash is checked.
    fn whole(&mut self, index: usize, link: LinkId, blob: BlobRef) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let (Some(bytes), Some(fetching)) =
            (node.partial.remove(&blob.sha256), node.fetching.remove(&(link, blob.sha256)))
        else {
            return;
        };
        if blob_of(&bytes) != blob {
            self.comes_back(0, index, Input::Link(link, LinkIn::Spoiled(blob)));
            return;
        }
        let mail = self.carried(index, &bytes, fetching.from.as_ref(), fetching.to.iter());
        let to: Vec<Address> = fetching.to.into_iter().collect();
        self.note_link_arrival(index, &bytes, &to);
        let input = Box::new(Input::Link(link, LinkIn::Body(blob, Box::new(mail))));
        let troubles = Some(self.troubles_of(index));
        self.at(0, Happening::Step { node: index, troubles, input, body: Some(bytes) });
    }

    /// An express mail may now be shown: once, however often it comes.
    fn note_link_arrival(&mut self, node: usize, bytes: &[u8], to: &[Address]) {
        let Some(marker) = crate::bytes::marker_of(bytes) else { return };
        if self.ledger.lawless.is_empty() && !self.proofs.bodies.contains(&blob_of(bytes).sha256) {
            self.breaks(("I1", format!("node {node} takes {marker}, and not as it was sent")));
        }
        for rcpt in self.rcpts(node, to) {
            if let Some(mailbox) = rcpt.mailbox {
                self.ledger.arrived(&marker, node, &mailbox, true);
            }
        }
    }

    fn carried<'a>(
        &self,
        node: usize,
        bytes: &[u8],
        from: Option<&Address>,
        to: impl Iterator<Item = &'a Address>,
    ) -> MailIn {
        let to: Vec<Address> = to.cloned().collect();
        mail_in(bytes, Source::Node, from.cloned(), self.rcpts(node, &to))
    }

    /// A connection ends for both, with what was on its way.
    pub fn cut(&mut self, link: LinkId) {
        let Some(conn) = self.lines.remove(&link) else { return };
        for end in [0, 1] {
            if let Some(node) = conn.node(end).filter(|_| conn.is_open(end)) {
                self.comes_back(FRAME_MS, node, Input::Link(link, LinkIn::Down));
            }
        }
    }

    /// One direction of a connection goes silent: end 0 dialled.
    pub fn silence(&mut self, link: LinkId, end: usize) {
        if let Some(silent) = self.lines.get_mut(&link).and_then(|conn| conn.silent.get_mut(end)) {
            *silent = true;
        }
    }

    /// Which end of a connection a node is: end 0 dialled.
    #[must_use]
    pub fn end_of(&self, link: LinkId, node: usize) -> Option<usize> {
        self.lines.get(&link).and_then(|conn| conn.end_of(node))
    }

    /// What is said on a connection from now on arrives no earlier than after so long.
    pub fn hold(&mut self, link: LinkId, ms: u64) {
        let until = self.now.plus(ms);
        if let Some(conn) = self.lines.get_mut(&link) {
            conn.last = [until; 2];
        }
    }

    /// How many bytes of bodies that came in part a node keeps.
    #[must_use]
    pub fn pieces_of(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.partial.values().map(Vec::len).sum())
    }

    /// A node closes: the other end hears what was sent, then of the end.
    fn close(&mut self, link: LinkId, end: usize) {
        if let Some(conn) = self.lines.get_mut(&link) {
            conn.close(end);
            self.put_on_wire(link, end, Piece::Down);
        }
    }

    /// All connections of a node are gone; the others may, or may not, be told.
    pub(super) fn lose_lines(&mut self, index: usize, tells: bool) {
        let mut told = Vec::new();
        for (link, conn) in &mut self.lines {
            if let Some(end) = conn.end_of(index).filter(|end| conn.is_open(*end)) {
                conn.close(end);
                told.push((*link, end));
            }
        }
        for (link, end) in told.into_iter().filter(|_| tells) {
            self.put_on_wire(link, end, Piece::Down);
        }
        self.lines.retain(|_, conn| conn.is_open(0) || conn.is_open(1));
    }

    /// The connections that are up.
    pub fn connections(&self) -> impl Iterator<Item = LinkId> {
        self.lines.iter().filter(|(_, conn)| conn.is_open(0) && conn.is_open(1)).map(|(link, _)| *link)
    }
}
