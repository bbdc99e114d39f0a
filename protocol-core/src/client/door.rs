//! The session with the device's own node: it is kept for as long as the person wants, and comes back when it is lost.
//!
//! ```text
//!   Away ──Connect, or in a while──▶ Dialling ──Up──▶ Open (machine::session) ──Ready──▶ everything that waits is said
//!     ▲                                 │                │
//!     └─────────── Unreached ───────────┴── Down, Bye ───┘
//! ```

use super::io::{Alarm, Declined, Event, Login, Output, SessionIn, Who};
use super::keys::Published;
use super::own::Stage;
use super::timers::What;
use super::{Asked, Client};
use crate::fault::{Code, PeerFault};
use crate::id::NodeKey;
use crate::limits;
use crate::machine::session::device::{self, Dial, Node, Session};
use crate::seal::{DeviceIdentity, Secret};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::wire::frame::{Frame, Ready};
use crate::wire::talk::{Password, Question, Talk};

/// Where the session is.
#[derive(Debug, Default)]
pub(super) enum Door {
    /// There is none.
    #[default]
    Away,
    /// It was dialled.
    Dialling,
    /// There is a connection.
    Open(Box<Session>),
}

impl Client {
    /// Whether the session is up, and the device may speak.
    pub(super) fn online(&self) -> bool {
        matches!(&self.door, Door::Open(session) if session.is_up())
    }

    pub(super) fn enrol(&mut self, tick: &Tick, login: Option<Login>, out: &mut Outbox<Output>) {
        if self.own.stage == Stage::Enrolled {
            return Self::decline(Declined::Enrolled, out);
        }
        if self.own.stage == Stage::Over {
            self.begin_anew(tick, out);
        }
        if self.own.device.is_none() {
            let seed = sha256(&[b"postline/1 device\0", &tick.entropy]);
            self.own.device = Some(DeviceIdentity::new(&Secret::new(seed.0)));
        }
        let empty = || Login { user: self.ours.address.to_string(), password: Password(Default::default()) };
        self.login = login.or_else(|| self.ours.hosted.then(empty));
        self.own.connect = true;
        out.save(self.own.record());
        self.close(out);
        self.dial(out);
    }

    pub(super) fn connect(&mut self, out: &mut Outbox<Output>) {
        if self.own.device.is_none() || self.own.stage == Stage::Over {
            return Self::decline(Declined::NotEnrolled, out);
        }
        if !self.own.connect {
            self.own.connect = true;
            out.save(self.own.record());
        }
        self.dial(out);
    }

    pub(super) fn disconnect(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        if self.own.connect {
            self.own.connect = false;
            out.save(self.own.record());
        }
        self.timers.set(What::Dial, None);
        self.tell_session(tick, device::Input::Leave, out);
        self.close(out);
    }

    pub(super) fn dial(&mut self, out: &mut Outbox<Output>) {
        if matches!(self.door, Door::Away) && self.own.connect {
            self.timers.set(What::Dial, None);
            self.door = Door::Dialling;
            out.emit(Output::Dial);
        }
    }

    /// What happens on the session.
    pub(super) fn session(&mut self, tick: &Tick, input: SessionIn, out: &mut Outbox<Output>) {
        match input {
            SessionIn::Up { channel } => self.up(tick, channel, out),
            SessionIn::Unreached => {
                if matches!(self.door, Door::Dialling) {
                    self.gone(tick, None, out);
                }
            }
            SessionIn::Frame(frame) => self.tell_session(tick, device::Input::Frame(frame), out),
            SessionIn::Garbage(fault) => self.tell_session(tick, device::Input::Garbage(fault), out),
            SessionIn::Down => {
                if matches!(self.door, Door::Open(_)) {
                    self.gone(tick, None, out);
                }
            }
            SessionIn::Approved { nk, yes } => self.approved(tick, nk, yes, out),
        }
    }

    pub(super) fn session_due(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.tell_session(tick, device::Input::Wake, out);
    }

    fn up(&mut self, tick: &Tick, channel: [u8; 32], out: &mut Outbox<Output>) {
        let Some(identity) = self.own.device.as_ref().filter(|_| matches!(self.door, Door::Dialling)) else {
            return out.emit(Output::Close);
        };
        let dial = Dial {
            address: self.ours.address.clone(),
            node: self.own.node,
            login: self.login.clone(),
            posted: self.own.posted,
        };
        let mut said = Outbox::new();
        let session = Session::dial(tick, identity, dial, channel, &mut said);
        self.door = Door::Open(Box::new(session));
        self.said_by_session(tick, said, out);
    }

    /// The person's word on the key of a node that was met for the first time.
    fn approved(&mut self, tick: &Tick, nk: NodeKey, yes: bool, out: &mut Outbox<Output>) {
        if self.own.node.is_some() {
            return;
        }
        if !yes {
            return self.disconnect(tick, out);
        }
        // Where the node has hung up meanwhile, the next dial expects this key.
        self.own.node = Some(Node { nk, next: None });
        out.save(self.own.record());
        self.tell_session(tick, device::Input::Approved, out);
    }

    fn tell_session(&mut self, tick: &Tick, input: device::Input, out: &mut Outbox<Output>) {
        let (Door::Open(session), Some(identity)) = (&mut self.door, &self.own.device) else { return };
        let mut said = Outbox::new();
        session.step(tick, identity, input, &mut said);
        self.said_by_session(tick, said, out);
    }

    fn said_by_session(&mut self, tick: &Tick, said: Outbox<device::Output>, out: &mut Outbox<Output>) {
        for output in out.adopt(said) {
            match output {
                device::Output::Send(frame) => out.emit(Output::Send(frame)),
                device::Output::Unknown(nk) => out.emit(Output::Approve(nk)),
                device::Output::Ready { nk, ready, behind } => self.ready(tick, nk, &ready, behind, out),
                device::Output::Talk(talk) => self.heard(tick, talk, out),
                device::Output::File(file) => self.file_heard(tick, file, out),
                device::Output::Whisper(whisper) => self.whispered(whisper, out),
                device::Output::Left(code) => self.left(tick, code, out),
                device::Output::Failed(fault) => self.failed(tick, fault, out),
            }
        }
        let deadline = match &self.door {
            Door::Open(session) => session.deadline(),
            Door::Away | Door::Dialling => None,
        };
        self.timers.set(What::Session, deadline);
    }

    fn left(&mut self, tick: &Tick, code: Code, out: &mut Outbox<Output>) {
        if code == Code::Login {
            // Again and again the same password: the person has to say another.
            self.login = None;
            self.own.connect = self.own.stage == Stage::Enrolled && self.own.connect;
            Self::refuse(Who::Node, PeerFault::Login, out);
        }
        out.emit(Output::Close);
        self.gone(tick, Some(code), out);
    }

    fn failed(&mut self, tick: &Tick, fault: PeerFault, out: &mut Outbox<Output>) {
        if let PeerFault::WrongKey { got, want } = fault {
            Self::tell(Event::Alarm(Alarm::NodeKey { got, want }), out);
        }
        let code = fault.code();
        Self::refuse(Who::Node, fault, out);
        out.emit(Output::Close);
        self.gone(tick, Some(code), out);
    }

    /// Closes what is open, without a word.
    pub(super) fn close(&mut self, out: &mut Outbox<Output>) {
        if !matches!(self.door, Door::Away) {
            self.door = Door::Away;
            self.forget_session(out);
            out.emit(Output::Close);
        }
    }

    fn gone(&mut self, tick: &Tick, code: Option<Code>, out: &mut Outbox<Output>) {
        if matches!(self.door, Door::Away) {
            return;
        }
        self.door = Door::Away;
        self.forget_session(out);
        Self::tell(Event::Offline { code }, out);
        if self.own.connect {
            if code == Some(Code::Glare) {
                // Somebody else speaks with this device's key: a copy of it. Each would put the other out without end.
                self.dials = limits::REDIALS;
            }
            let wait = limits::REDIAL_MS << self.dials.min(limits::REDIALS);
            self.dials = self.dials.saturating_add(1);
            self.timers.set(What::Dial, Some(Self::later(tick, wait)));
        }
    }

    /// What was under way on the session is over with it.
    fn forget_session(&mut self, out: &mut Outbox<Output>) {
        self.asks.clear();
        self.whispers_down(out);
        // Whether the node has done it, nobody knows: the person says it again.
        let blocks = self.publishing.values().filter(|open| matches!(open, Published::Block(..))).count();
        (0..blocks).for_each(|_| Self::decline(Declined::Offline, out));
        self.publishing.clear();
        self.unknown.clear();
        self.taken.clear();
        self.files.forget_session();
        self.memos_down();
        for live in self.live.values_mut() {
            (live.gathering, live.asked_to, live.waits) = (None, 0, false);
        }
        for what in [What::Session, What::Ack, What::Publish, What::Files] {
            self.timers.set(what, None);
        }
    }

    fn ready(&mut self, tick: &Tick, nk: NodeKey, ready: &Ready, behind: Option<PeerFault>, out: &mut Outbox<Output>) {
        (self.login, self.dials) = (None, 0);
        let node = Some(Node { nk, next: Some(ready.next_nk) });
        let stage = if self.own.stage == Stage::New { Stage::Known } else { self.own.stage };
        if (self.own.node, self.own.stage) != (node, stage) {
            (self.own.node, self.own.stage) = (node, stage);
            out.save(self.own.record());
        }
        let (got, seen) = (self.own.posted, ready.last_seen);
        let copy = self.is_copy(seen).then_some(PeerFault::Behind { got, seen });
        if let Some(fault) = behind.or(copy) {
            Self::refuse(Who::Node, fault, out);
            Self::tell(Event::Behind, out);
            return self.over(tick, out);
        }
        Self::tell(Event::Online, out);
        self.whispers_up(out);
        self.ask_lists(&self.ours.address.clone(), out);
        self.publish(tick, out);
        self.post_again(out);
        self.files_go_on(out);
        for id in self.unfinished() {
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// The device says nothing any more.
    pub(super) fn over(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.own.stage = Stage::Over;
        self.disconnect(tick, out);
        out.save(self.own.record());
    }

    /// Something came about conversations or keys.
    fn heard(&mut self, tick: &Tick, talk: Talk, out: &mut Outbox<Output>) {
        match talk {
            Talk::Event(event) => self.event(tick, event, out),
            Talk::Heads(heads) => self.heads(tick, &heads, out),
            Talk::Delivered { conversation, member, seq } => self.delivered(tick, conversation, &member, seq, out),
            Talk::Unposted { conversation, origin, code } => self.unposted(tick, conversation, origin, code, out),
            Talk::Published { number, code } => self.published(tick, number, code, out),
            Talk::Answer { number, what } => self.answered(tick, number, what, out),
            Talk::Line(line) => self.line(tick, line, out),
            Talk::Publish { number, what } => self.note(tick, number, what, out),
            // A post is confirmed by its event; the rest a node doesn't say to a device.
            Talk::Have { .. } | Talk::Post(_) | Talk::Ask { .. } | Talk::Login { .. } => {}
        }
    }

    pub(super) fn say(talk: Talk, out: &mut Outbox<Output>) {
        out.emit(Output::Send(Frame::Talk(talk)));
    }

    /// The number of the next question or publication.
    pub(super) fn next_ask(&mut self) -> u64 {
        self.asked = self.asked.saturating_add(1);
        self.asked
    }

    /// Asks, where there is a session.
    pub(super) fn ask(&mut self, asked: Asked, what: Question, out: &mut Outbox<Output>) -> Option<u64> {
        if !self.online() {
            return None;
        }
        let number = self.next_ask();
        self.asks.insert(number, asked);
        Self::say(Talk::Ask { number, what }, out);
        Some(number)
    }
}
