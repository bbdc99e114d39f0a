//! Sessions of devices with their nodes: connections of the same weather as links, end 0 a device, end 1 a node.

use postline_codec::stream::{FrameReader, encode};
use postline_core::client;
use postline_core::id::SessionId;
use postline_core::server::{Input, LoginOk, SessionIn, SessionOut};
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Talk;

use super::devices::PASSWORD;
use super::files::Wire;
use super::{Happening, World};
use crate::bytes::mailbox_of;
use crate::sealed;
use crate::weather::Fault;

/// How long a frame takes at least.
const FRAME_MS: u64 = 1;
/// Sessions of the world's own devices bear this: others are played by whoever looks at [`World::to_devices`].
const OURS: u64 = 1 << 63;

/// A connection of a device with its node.
#[derive(Debug)]
pub(super) struct Session {
    device: usize,
    node: usize,
    open: [bool; 2],
    readers: [FrameReader; 2],
    last: [Millis; 2],
    silent: [bool; 2],
}

impl Session {
    pub(super) const fn node(&self) -> usize {
        self.node
    }

    fn is_open(&self, end: usize) -> bool {
        self.open.get(end).copied().unwrap_or_default()
    }
}

impl World {
    /// A device wants a connection.
    pub(super) fn dial_home(&mut self, device: usize) {
        let Some(there) = self.devices.get(device).map(|device| (device.node, device.reachable)) else { return };
        let up = self.nodes.get(there.0).is_some_and(|node| node.server.is_some());
        if !up || !there.1 || self.weather.strikes(Fault::Unreachable, &mut self.rng) {
            return self.on_device(FRAME_MS, device, client::Input::Session(client::SessionIn::Unreached));
        }
        let id = SessionId(OURS | self.next_link);
        self.next_link += 1;
        let channel = sha256(&[b"channel", &id.0.to_be_bytes()]).0;
        let session = Session {
            device,
            node: there.0,
            open: [true; 2],
            readers: [FrameReader::new(), FrameReader::new()],
            last: [self.now.plus(FRAME_MS); 2],
            silent: [false; 2],
        };
        self.sessions.insert(id, session);
        if let Some(device) = self.devices.get_mut(device) {
            device.session = Some(id);
        }
        self.comes_back(FRAME_MS, there.0, Input::Session(id, SessionIn::Up { channel }));
        self.at(FRAME_MS, Happening::SessionUp(id, channel));
    }

    pub(super) fn session_up(&mut self, id: SessionId, channel: [u8; 32]) {
        if let Some(session) = self.sessions.get(&id).filter(|session| session.is_open(0)) {
            let device = session.device;
            self.step_device(device, client::Input::Session(client::SessionIn::Up { channel }));
        }
    }

    /// Which device and which node a session is between.
    pub(super) fn session_ends(&self, id: SessionId) -> Option<(usize, usize)> {
        self.sessions.get(&id).map(|session| (session.device, session.node))
    }

    /// Whether an end of a connection is open.
    pub(super) fn is_wire_open(&self, wire: Wire, end: usize) -> bool {
        match wire {
            Wire::Session(id) => self.sessions.get(&id).is_some_and(|session| session.is_open(end)),
            Wire::Link(link) => self.is_end_open(link, end),
        }
    }

    /// A device says something.
    pub(super) fn device_says(&mut self, device: usize, frame: &Frame) {
        if let Frame::Whisper(whisper) = frame {
            let held = self.device_whispers(device, whisper);
            self.holds(held);
        }
        if let Some(id) = self.devices.get(device).and_then(|device| device.session) {
            self.put_on_session(id, 0, frame, None);
        }
    }

    pub(super) fn device_closes(&mut self, device: usize) {
        let Some(id) = self.devices.get_mut(device).and_then(|device| device.session.take()) else { return };
        self.end_session(id, 0);
    }

    /// A node wants something done on a session. False where it is none of the world's own devices'.
    pub(super) fn on_own_session(&mut self, index: usize, id: SessionId, what: &SessionOut) -> bool {
        if id.0 & OURS == 0 {
            return false;
        }
        match what {
            SessionOut::Send(frame) => {
                self.note_entries(index, frame);
                self.note_whisper(index, id, frame);
                for frame in self.lied_on(index, id, frame) {
                    self.put_on_session(id, 1, &frame, None);
                }
            }
            SessionOut::CheckLogin { password, .. } => {
                let address = self.sessions.get(&id).and_then(|session| self.devices.get(session.device));
                let address = address.map(|device| device.address.clone());
                let right = address.filter(|_| *password.0 == PASSWORD);
                let login = right.map(|address| LoginOk { mailbox: mailbox_of(&address), addresses: vec![address] });
                self.comes_back(FRAME_MS, index, Input::Session(id, SessionIn::Login(login)));
            }
            SessionOut::Bytes(dk, what) => self.node_bytes(index, Wire::Session(id), 1, dk.to_string(), *what),
            SessionOut::Close => self.end_session(id, 1),
        }
        true
    }

    /// What a lawful node whispers to a device is what its person may know.
    fn note_whisper(&mut self, index: usize, id: SessionId, frame: &Frame) {
        let Frame::Whisper(whisper) = frame else { return };
        let device = self.sessions.get(&id).and_then(|session| self.devices.get(session.device));
        if let Some(ours) =
            device.map(|device| device.address.clone()).filter(|_| !self.ledger.lawless.contains(&index))
        {
            let held = self.whispers_to_its_own(index, &ours, whisper);
            self.holds(held);
        }
    }

    /// What reaches a device of what its node says.
    fn lied_on(&mut self, index: usize, id: SessionId, frame: &Frame) -> Vec<Frame> {
        if self.liar != Some(index) {
            return vec![frame.clone()];
        }
        let device = self.sessions.get(&id).and_then(|session| self.devices.get(session.device));
        let ours = device.map(|device| device.address.clone());
        // Whose keys were asked for, the node knows; here they are the other's.
        let other = self.sealed.devices.values().find(|(_, address)| Some(address) != ours.as_ref());
        let whose = other.map(|(_, address)| address.clone());
        self.lied(frame.clone(), whose.as_ref())
    }

    /// What a lawful node says of a log is what it is.
    pub(super) fn note_entries(&mut self, index: usize, frame: &Frame) {
        match frame {
            _ if self.ledger.lawless.contains(&index) || self.liar.is_some() => {}
            Frame::Talk(Talk::Event(event)) => self.sealed.sequenced(event.conversation, event.seq, event.epoch),
            Frame::Talk(Talk::Heads(heads)) => {
                for (_, head) in &heads.heads {
                    let held = self.sealed.signs(head.conversation, head.term, head.seq, head.hash);
                    self.holds(held);
                }
            }
            _ => {}
        }
    }

    pub(super) fn put_on_session(&mut self, id: SessionId, end: usize, frame: &Frame, beside: Option<&[u8]>) {
        let mut bytes = Vec::new();
        if let Err(misuse) = encode(frame, beside, &mut bytes) {
            return self.breaks(("misuse", format!("a frame that is none: {misuse}")));
        }
        if sealed::is_in(&bytes) {
            self.breaks(("I14", format!("a session has a sealed body in the clear: {frame:?}")));
        }
        let slow = self.weather.strikes(Fault::SlowLink, &mut self.rng);
        let delay = if slow { self.rng.below(2_000) } else { FRAME_MS };
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_open(end)) else { return };
        let Some(last) = session.last.get_mut(end) else { return };
        *last = now.plus(delay).max(*last);
        let wait = last.since(now);
        self.at(wait, Happening::Session(id, 1 - end, bytes));
    }

    /// An end closes: the other hears what was sent, then of the end.
    fn end_session(&mut self, id: SessionId, end: usize) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_open(end)) else { return };
        if let Some(open) = session.open.get_mut(end) {
            *open = false;
        }
        let wait = session.last.get(end).map_or(FRAME_MS, |last| last.since(now));
        self.at(wait, Happening::Session(id, 1 - end, Vec::new()));
    }

    /// Bytes reach an end of a session; none: it ends.
    pub(super) fn session_came(&mut self, id: SessionId, to: usize, bytes: &[u8]) {
        let from = 1 - to;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.silent.get(from).copied().unwrap_or_default() {
            return;
        }
        if !session.is_open(to) {
            // Nobody there knows this connection: whoever speaks is told.
            if session.is_open(from) && !bytes.is_empty() {
                self.at(FRAME_MS, Happening::Session(id, from, Vec::new()));
            }
            return;
        }
        if bytes.is_empty() {
            return self.session_down(id, to);
        }
        if self.weather.strikes(Fault::HalfOpen, &mut self.rng)
            && let Some(silent) = session.silent.get_mut(from)
        {
            *silent = true;
        } else if self.weather.strikes(Fault::Cut, &mut self.rng) {
            self.session_down(id, 0);
            self.session_down(id, 1);
        } else {
            self.read_session(id, to, bytes);
        }
    }

    fn session_down(&mut self, id: SessionId, end: usize) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_open(end)) else { return };
        if let Some(open) = session.open.get_mut(end) {
            *open = false;
        }
        let (device, node) = (session.device, session.node);
        if end == 1 {
            return self.step(node, Input::Session(id, SessionIn::Down), None);
        }
        if let Some(ours) = self.devices.get_mut(device).filter(|device| device.session == Some(id)) {
            ours.session = None;
            self.step_device(device, client::Input::Session(client::SessionIn::Down));
        }
    }

    fn read_session(&mut self, id: SessionId, to: usize, mut bytes: &[u8]) {
        loop {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_open(to)) else { return };
            let (device, node) = (session.device, session.node);
            let Some(reader) = session.readers.get_mut(to) else { return };
            let taken = reader.push(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            let read = reader.next();
            if let Ok(Some(incoming)) = &read
                && matches!(incoming.frame, Frame::Proof(_))
            {
                reader.proven();
            }
            match (read, to) {
                (Ok(Some(incoming)), 0) => {
                    let wire = Wire::Session(id);
                    let whole = self.piece_of_file(wire, 0, &incoming.frame, incoming.bytes.as_deref());
                    let input = client::SessionIn::Frame(incoming.frame);
                    self.step_device(device, client::Input::Session(input));
                    whole.into_iter().for_each(|file| self.file_whole_at_device(device, file));
                }
                (Ok(Some(incoming)), _) => {
                    if let Frame::Talk(Talk::Post(post)) = &incoming.frame {
                        self.sealed.comes(node, &post.bytes);
                    }
                    let wire = Wire::Session(id);
                    let whole = self.piece_of_file(wire, 1, &incoming.frame, incoming.bytes.as_deref());
                    self.step(node, Input::Session(id, SessionIn::Frame(incoming.frame)), None);
                    whole.into_iter().for_each(|file| self.file_whole_at_node(node, wire, 1, file));
                }
                (Ok(None), _) if bytes.is_empty() => return,
                (Ok(None), _) => {}
                (Err(why), 0) => {
                    return self.step_device(device, client::Input::Session(client::SessionIn::Garbage(why)));
                }
                (Err(why), _) => return self.step(node, Input::Session(id, SessionIn::Garbage(why)), None),
            }
        }
    }

    /// A device lost its session; its node may, or may not, be told.
    pub(super) fn lose_session(&mut self, device: usize, tells: bool) {
        let Some(id) = self.devices.get_mut(device).and_then(|device| device.session.take()) else { return };
        if tells {
            self.end_session(id, 0);
        } else if let Some(open) = self.sessions.get_mut(&id).and_then(|session| session.open.get_mut(0)) {
            *open = false;
        }
    }

    /// All sessions of a node are gone.
    pub(super) fn lose_sessions(&mut self, node: usize, tells: bool) {
        let mut lost = Vec::new();
        for (id, session) in &mut self.sessions {
            let [_, open] = &mut session.open;
            if session.node == node && std::mem::take(open) {
                lost.push(*id);
            }
        }
        for id in lost.into_iter().filter(|_| tells) {
            self.at(FRAME_MS, Happening::Session(id, 0, Vec::new()));
        }
        self.sessions.retain(|_, session| session.is_open(0) || session.is_open(1));
    }

    /// A device's network goes, or comes back.
    pub(super) fn reaches(&mut self, index: usize, reachable: bool) {
        let Some(device) = self.devices.get_mut(index) else { return };
        device.reachable = reachable;
        if !reachable && let Some(id) = device.session {
            // The node only hears of it when it says something.
            self.session_down(id, 0);
        }
    }
}
