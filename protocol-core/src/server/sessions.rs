//! Who is online: devices of our people, by session, by key, by address.
//!
//! ```text
//!   Up ─▶ machine/session ─▶ Check ─▶ the host's answer ─▶ enrolled: Key::Device, Key::Keys
//!                         ─▶ Proven ─▶ Ready ─▶ online ─▶ talks, keys
//! ```
//!
//! A device is known by its key, and belongs to the address that it was enrolled for with the mailbox's login. One session
//! a device: where it connects again, the newer stays. Spec: `spec/10-sessions.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::Server;
use super::io::{Event, LoginOk, Output, Peer, SessionIn, SessionOut};
use super::timers::Who;
use crate::fault::{Code, Misuse, PeerFault, RestoreError};
use crate::id::{Address, DeviceKey, Mailbox, SessionId};
use crate::limits;
use crate::machine::session::node::{Input, Ours, Output as Wants, Proven, Session};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::{HOUR, Millis};
use crate::wire::frame::{Frame, Ready};
use crate::wire::record::{read, write};
use crate::wire::talk::{Question, Talk};

/// The sessions of a node, and what is known of their devices.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: BTreeMap<SessionId, One>,
    /// Those that wait for Ready, the oldest first.
    greeting: BTreeSet<SessionId>,
    by_device: BTreeMap<DeviceKey, SessionId>,
    by_address: BTreeMap<Address, BTreeSet<SessionId>>,
    /// Those that are up and have still to hear what their lines are, and what waits for them.
    comers: BTreeSet<SessionId>,
    /// The devices that were looked up; `None`: not enrolled.
    devices: BTreeMap<DeviceKey, Option<Device>>,
    failures: Failures,
}

/// A session.
#[derive(Debug)]
struct One {
    machine: Session,
    /// The mailbox whose login was good, until the device is enrolled.
    login: Option<Mailbox>,
    /// Once Ready was said.
    online: Option<Online>,
}

/// Who is at the other end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Online {
    /// Whose device it is.
    pub(super) address: Address,
    /// Its key.
    pub(super) dk: DeviceKey,
    /// Whether it is a copy of a device that went on: it must not write.
    pub(super) behind: bool,
    /// Whether it is in its person's newest list: else it takes part in no conversation.
    pub(super) listed: bool,
}

/// A device that may open sessions: [`Key::Device`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// Whose it is.
    pub(super) address: Address,
    /// By whose login it was enrolled.
    pub(super) mailbox: Mailbox,
    /// The greatest number that was taken of it. What is on its way to a hub elsewhere counts at once, and is written down
    /// with what becomes of it: a crash forgets both.
    pub(super) last: u64,
    /// The same, as the record has it.
    pub(super) saved: u64,
    /// When it was enrolled.
    pub(super) enrolled: Millis,
}

impl Device {
    fn record(&self, dk: DeviceKey) -> Record {
        write(Key::Device(dk), 4, |w| {
            w.address(&self.address).str(&self.mailbox.0).u64(self.last).millis(self.enrolled);
        })
    }

    fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let (address, mailbox) = (r.address()?, Mailbox(r.str()?.to_owned()));
            let last = r.u64()?;
            Ok(Self { address, mailbox, last, saved: last, enrolled: r.millis()? })
        })
    }
}

// What others ask
impl Server {
    /// The sessions of the devices of an address.
    pub(super) fn online(&self, address: &Address) -> impl Iterator<Item = (SessionId, &Online)> {
        let sessions = self.sessions.by_address.get(address).into_iter().flatten();
        sessions.filter_map(|session| Some((*session, self.online_at(*session)?)))
    }

    /// Who is at the other end of a session, once it is up.
    pub(super) fn online_at(&self, session: SessionId) -> Option<&Online> {
        self.sessions.all.get(&session)?.online.as_ref()
    }

    /// The session of a device, where it is up.
    pub(super) fn session_of(&self, dk: DeviceKey) -> Option<SessionId> {
        self.sessions.by_device.get(&dk).copied()
    }

    /// What is known of a device; `None` also where it was not looked up.
    pub(super) fn device(&self, dk: DeviceKey) -> Option<&Device> {
        self.sessions.devices.get(&dk)?.as_ref()
    }

    /// Says something on a session that is up.
    pub(super) fn say_to(&self, session: SessionId, talk: Talk, out: &mut Outbox<Output>) {
        if self.online_at(session).is_some() {
            out.emit(Output::Session(session, SessionOut::Send(Frame::Talk(talk))));
        }
    }

    /// Remembers the number of a post of a device, or says that the device is a copy of one that went on: it must not
    /// write (attacks 62, 111). A number that was taken before is no fault: what had no answer is posted again.
    pub(super) fn take_number(&mut self, who: &Online, number: u64, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        self.may_write(who, number)?;
        self.note_number(who.dk, number, out);
        Ok(())
    }

    /// Whether a device may write: it is no copy of one that went on.
    pub(super) fn may_write(&self, who: &Online, number: u64) -> Result<(), PeerFault> {
        let seen = self.device(who.dk).ok_or(PeerFault::Login)?.last;
        if who.behind { Err(PeerFault::Behind { got: number, seen }) } else { Ok(()) }
    }

    /// A number of a device is used, and remembered.
    pub(super) fn note_number(&mut self, dk: DeviceKey, number: u64, out: &mut Outbox<Output>) {
        self.see_number(dk, number);
        let device = self.sessions.devices.get_mut(&dk).and_then(Option::as_mut);
        if let Some(device) = device.filter(|device| device.last > device.saved) {
            device.saved = device.last;
            out.save(device.record(dk));
        }
    }

    /// A number of a device is used by what is on its way: a copy is told from now on. It is remembered with the answer.
    pub(super) fn see_number(&mut self, dk: DeviceKey, number: u64) {
        if let Some(device) = self.sessions.devices.get_mut(&dk).and_then(Option::as_mut) {
            device.last = device.last.max(number);
        }
    }

    /// How many sessions there are, for operators: those that are up, and those that wait for Ready.
    #[must_use]
    pub fn sessions(&self) -> (usize, usize) {
        (self.sessions.by_device.len(), self.sessions.greeting.len())
    }
}

// Records
impl Server {
    pub(super) fn take_device(&mut self, dk: DeviceKey, record: Option<&Record>) -> Result<(), RestoreError> {
        let device = record.map(Device::restore).transpose()?;
        self.sessions.devices.insert(dk, device);
        Ok(())
    }

    /// Whether a device was looked up.
    pub(super) fn knows_device(&self, dk: DeviceKey) -> bool {
        self.sessions.devices.contains_key(&dk)
    }

    /// The record of a device that was not looked up.
    pub(super) fn device_unless_known(&self, dk: DeviceKey) -> Option<Key> {
        (!self.knows_device(dk)).then_some(Key::Device(dk))
    }

    pub(super) fn forget_device(&mut self, dk: DeviceKey) -> bool {
        let unsaved = self.device(dk).is_some_and(|device| device.last > device.saved);
        !unsaved && !self.sessions.by_device.contains_key(&dk) && self.sessions.devices.remove(&dk).is_some()
    }

    /// What a step on a session needs: the device, and what is known of its address's keys.
    pub(super) fn session_wants(&self, session: SessionId, input: &SessionIn) -> Vec<Key> {
        let Some(one) = self.sessions.all.get(&session) else { return Vec::new() };
        let mut keys = Vec::new();
        let who = match &one.online {
            Some(online) => {
                if let SessionIn::Frame(Frame::Talk(talk)) = input {
                    keys.extend(self.device_talk_wants(online, talk));
                }
                match input {
                    SessionIn::Frame(Frame::File(file)) => keys.extend(self.file_wants(online, file)),
                    SessionIn::Bytes(bytes) => keys.extend(self.bytes_want(Some(session), None, bytes)),
                    SessionIn::Up { .. }
                    | SessionIn::Frame(_)
                    | SessionIn::Garbage(_)
                    | SessionIn::Login(_)
                    | SessionIn::Down => {}
                }
                Some((&online.address, online.dk))
            }
            None => one.machine.claims(),
        };
        let Some((address, dk)) = who else { return keys };
        if !self.sessions.devices.contains_key(&dk) {
            keys.push(Key::Device(dk));
        }
        if !self.keys.known.contains_key(address) {
            keys.push(Key::Keys(address.clone()));
        }
        // Where one more is too many, the oldest that is in no list makes room.
        let of_address = self.keys.known.get(address).into_iter().flat_map(|known| &known.devices);
        keys.extend(of_address.filter(|dk| !self.sessions.devices.contains_key(dk)).map(|dk| Key::Device(*dk)));
        keys
    }

    /// What it takes to tell those who came what their lines are, and what waits for them.
    pub(super) fn comers_want(&self) -> impl Iterator<Item = Key> {
        let comers = self.sessions.comers.iter().filter_map(|session| self.online_at(*session));
        comers.flat_map(|who| self.comer_wants(who))
    }

    fn comer_wants(&self, who: &Online) -> Vec<Key> {
        let mut keys = self.lines_want(&who.address);
        keys.extend(self.notes_want(&who.address, who.dk));
        if !self.keys.known.contains_key(&who.address) {
            keys.push(Key::Keys(who.address.clone()));
        }
        keys
    }

    /// Whether somebody has still to hear what their lines are.
    pub(super) fn has_comers(&self) -> bool {
        !self.sessions.comers.is_empty()
    }

    pub(super) fn sessions_in_memory(&self) -> usize {
        self.sessions.all.len() + self.sessions.devices.len() + self.sessions.failures.by_address.len()
    }
}

// Sessions
impl Server {
    /// Tells those who came, and whose records are here, what their lines are and what waits for them.
    pub(super) fn tell_comers(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        for session in self.sessions.comers.iter().copied().collect::<Vec<_>>() {
            let Some(who) = self.online_at(session).filter(|who| self.comer_wants(who).is_empty()).cloned() else {
                continue;
            };
            self.sessions.comers.remove(&session);
            self.lines_to(session, &who, out);
            self.notes_to(tick, session, &who, out);
        }
    }

    /// Something happened on a session.
    pub(super) fn session(
        &mut self,
        tick: &Tick,
        session: SessionId,
        input: SessionIn,
        out: &mut Outbox<Output>,
    ) -> Result<(), Misuse> {
        match input {
            SessionIn::Up { channel } => {
                if self.sessions.all.contains_key(&session) {
                    return Err(Misuse::SessionInUse(session));
                }
                self.device_connected(tick, session, channel, out);
            }
            SessionIn::Frame(frame) => self.run_session(tick, session, Input::Frame(frame), out),
            SessionIn::Garbage(why) => self.run_session(tick, session, Input::Garbage(why), out),
            SessionIn::Bytes(bytes) => self.session_bytes(tick, session, bytes, out),
            SessionIn::Login(login) => self.login_checked(tick, session, login, out),
            SessionIn::Down => self.end_session(session, Code::Timeout, out),
        }
        Ok(())
    }

    fn device_connected(&mut self, tick: &Tick, session: SessionId, channel: [u8; 32], out: &mut Outbox<Output>) {
        if self.draining {
            out.emit(Output::Session(session, SessionOut::Close));
            return;
        }
        if self.sessions.greeting.len() >= limits::SESSION_GREETINGS
            && let Some(oldest) = self.sessions.greeting.first().copied()
        {
            self.run_session(tick, oldest, Input::Garbage(PeerFault::Late(limits::GREETING_MS)), out);
        }
        let machine = Session::answer(tick, channel);
        self.timers.set(Who::Session(session), machine.deadline());
        self.sessions.greeting.insert(session);
        self.sessions.all.insert(session, One { machine, login: None, online: None });
    }

    /// Tells a session something.
    pub(super) fn run_session(&mut self, tick: &Tick, session: SessionId, input: Input, out: &mut Outbox<Output>) {
        let Some(one) = self.sessions.all.get_mut(&session) else { return };
        let enrolled = one.machine.claims().and_then(|(_, dk)| self.sessions.devices.get(&dk)).and_then(Option::as_ref);
        let ours = Ours { identity: &self.ours.identity, enrolled: enrolled.map(|device| &device.address) };
        let mut child = Outbox::new();
        one.machine.step(tick, ours, input, &mut child);
        self.timers.set(Who::Session(session), one.machine.deadline());
        for output in out.adopt(child) {
            match output {
                Wants::Send(frame) => out.emit(Output::Session(session, SessionOut::Send(frame))),
                Wants::Check { user, password } => self.check_login(tick, session, user, password, out),
                Wants::Proven(who) => self.device_proven(tick, session, who, out),
                Wants::Talk(talk) => self.session_talk(tick, session, talk, out),
                Wants::File(file) => {
                    if let Some(who) = self.online_at(session).cloned() {
                        self.file_from_device(tick, session, &who, file, out);
                    }
                }
                Wants::Whisper(whisper) => {
                    if let Some(who) = self.online_at(session).cloned() {
                        self.device_whispers(tick, session, &who, whisper, out);
                    }
                }
                Wants::Left(code) => {
                    out.emit(Output::Session(session, SessionOut::Close));
                    self.end_session(session, code, out);
                }
                Wants::Failed(why) => {
                    let peer = self.online_at(session).map_or(Peer::Session(session), |who| Peer::Device(who.dk));
                    out.emit(Output::Session(session, SessionOut::Close));
                    self.end_session(session, why.code(), out);
                    out.emit(Output::Event(Event::Refused { peer, why }));
                }
            }
        }
    }

    /// A session is over.
    fn end_session(&mut self, session: SessionId, code: Code, out: &mut Outbox<Output>) {
        self.timers.set(Who::Session(session), None);
        self.sessions.greeting.remove(&session);
        self.sessions.comers.remove(&session);
        let Some(Online { address, dk, .. }) = self.sessions.all.remove(&session).and_then(|one| one.online) else {
            return;
        };
        if self.session_of(dk) == Some(session) {
            self.sessions.by_device.remove(&dk);
            self.keys.memo_said.remove(&dk);
        }
        if let Some(sessions) = self.sessions.by_address.get_mut(&address) {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.sessions.by_address.remove(&address);
            }
        }
        self.forget_questions_of(session);
        self.session_files_gone(session);
        out.emit(Output::Event(Event::SessionDown { session, address, dk, code }));
    }

    /// The node goes down.
    pub(super) fn end_sessions(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        for session in self.sessions.all.keys().copied().collect::<Vec<_>>() {
            self.run_session(tick, session, Input::End(Code::Goodbye), out);
        }
    }

    fn check_login(
        &mut self,
        tick: &Tick,
        session: SessionId,
        user: String,
        password: crate::wire::talk::Password,
        out: &mut Outbox<Output>,
    ) {
        let claims = self.sessions.all.get(&session).and_then(|one| one.machine.claims());
        let Some(address) = claims.map(|(address, _)| address.clone()) else { return };
        if let Err(why) = self.sessions.failures.may_try(tick.now, &address) {
            self.run_session(tick, session, Input::Garbage(why), out);
            return;
        }
        out.emit(Output::Session(session, SessionOut::CheckLogin { user, password }));
    }

    /// The host has checked a mailbox login.
    fn login_checked(&mut self, tick: &Tick, session: SessionId, login: Option<LoginOk>, out: &mut Outbox<Output>) {
        let claims = self.sessions.all.get(&session).and_then(|one| one.machine.claims());
        let Some(address) = claims.map(|(address, _)| address.clone()) else { return };
        let login =
            login.filter(|login| login.addresses.iter().take(limits::LOGIN_ADDRESSES).any(|own| *own == address));
        if login.is_none() {
            self.sessions.failures.failed(tick.now, &address);
        }
        let good = login.is_some();
        if let Some(one) = self.sessions.all.get_mut(&session) {
            one.login = login.map(|login| login.mailbox);
        }
        self.run_session(tick, session, Input::Checked(good), out);
    }

    /// A device has proven who it is: it is enrolled where its login says so, and then it is online.
    fn device_proven(&mut self, tick: &Tick, session: SessionId, who: Proven, out: &mut Outbox<Output>) {
        let login = self.sessions.all.get_mut(&session).and_then(|one| one.login.take());
        if let Err(why) = self.admit_device(tick, &who, login, out) {
            self.run_session(tick, session, Input::Garbage(why), out);
            return;
        }
        // One session a device: what connected before may be dead without knowing it.
        if let Some(before) = self.session_of(who.dk) {
            self.run_session(tick, before, Input::End(Code::Glare), out);
        }
        let last = self.device(who.dk).map_or(0, |device| device.last);
        let behind = who.posted < last;
        if behind {
            let why = PeerFault::Behind { got: who.posted, seen: last };
            out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why }));
        }
        let listed = self.keys.known.get(&who.address).is_some_and(|known| known.lists(who.dk));
        let online = Online { address: who.address, dk: who.dk, behind, listed };
        self.sessions.greeting.remove(&session);
        self.sessions.by_device.insert(online.dk, session);
        self.sessions.by_address.entry(online.address.clone()).or_default().insert(session);
        if let Some(one) = self.sessions.all.get_mut(&session) {
            one.online = Some(online.clone());
        }
        let (address, dk) = (online.address.clone(), online.dk);
        out.emit(Output::Event(Event::SessionUp { session, address, dk }));
        self.run_session(tick, session, Input::Admit(self.ready_for(last)), out);
        // Only now are its lines looked up: a stranger has us read no more than what proves it to be one (attack 91).
        self.sessions.comers.insert(session);
        self.set_keys_timer(tick);
        self.device_ready(tick, session, &online, out);
    }

    fn ready_for(&self, last: u64) -> Ready {
        Ready {
            next_nk: self.ours.identity.next_nk(),
            generation: self.ours.generation,
            last_seen: last,
            window_items: limits::SESSION_WINDOW_ITEMS as u32,
            window_bytes: limits::SESSION_WINDOW_BYTES,
            max_body: limits::EVENT_BYTES as u64,
        }
    }

    /// Whether there is room for a device, which is enrolled by `login` where it isn't yet.
    fn admit_device(
        &mut self,
        tick: &Tick,
        who: &Proven,
        login: Option<Mailbox>,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let up = self.sessions.by_device.len();
        if up >= limits::SESSIONS && self.session_of(who.dk).is_none() {
            return Err(PeerFault::Full { got: up as u64, max: limits::SESSIONS as u64 });
        }
        match (login, self.device(who.dk)) {
            // A device that was enrolled meanwhile for another address stays what it is.
            (_, Some(device)) if device.address == who.address => Ok(()),
            (_, Some(_)) | (None, None) => Err(PeerFault::Login),
            (Some(mailbox), None) => self.enrol(tick, who, mailbox, out),
        }
    }

    fn enrol(
        &mut self,
        tick: &Tick,
        who: &Proven,
        mailbox: Mailbox,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let (address, dk) = (who.address.clone(), who.dk);
        self.room_for_device(tick, &address, out)?;
        let device =
            Device { address: address.clone(), mailbox: mailbox.clone(), last: 0, saved: 0, enrolled: tick.now };
        out.save(device.record(dk));
        self.sessions.devices.insert(dk, Some(device));
        let known = self.keys.known.entry(address.clone()).or_default();
        known.devices.push(dk);
        out.save(known.record(&address));
        out.emit(Output::Event(Event::Enrolled { address, dk, mailbox }));
        Ok(())
    }

    /// Sees that an address has room for one more device: the oldest that is in no list goes (attack 84).
    fn room_for_device(&mut self, tick: &Tick, address: &Address, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let Some(known) = self.keys.known.get(address) else { return Ok(()) };
        let got = known.devices.len();
        if got < limits::DEVICES {
            return Ok(());
        }
        let unlisted = known.devices.iter().filter(|dk| !known.lists(**dk));
        let oldest = unlisted.min_by_key(|dk| self.device(**dk).map(|device| device.enrolled)).copied();
        let Some(oldest) = oldest else {
            return Err(PeerFault::Full { got: got as u64, max: limits::DEVICES as u64 });
        };
        self.unenrol(tick, address, oldest, out);
        Ok(())
    }

    /// Devices that are there may have come onto a list: they take part from now on, and get what they missed.
    pub(super) fn listed_now(&mut self, tick: &Tick, address: &Address, out: &mut Outbox<Output>) {
        let Some(known) = self.keys.known.get(address) else { return };
        let new = self.online(address).filter(|(_, who)| !who.listed && known.lists(who.dk));
        for session in new.map(|(session, _)| session).collect::<Vec<_>>() {
            let Some(who) = self.sessions.all.get_mut(&session).and_then(|one| one.online.as_mut()) else { continue };
            who.listed = true;
            let who = who.clone();
            self.device_ready(tick, session, &who, out);
        }
    }

    /// A device is no more: its record goes, and its session ends.
    pub(super) fn unenrol(&mut self, tick: &Tick, address: &Address, dk: DeviceKey, out: &mut Outbox<Output>) {
        let is_theirs = self.device(dk).is_some_and(|device| device.address == *address);
        if !is_theirs {
            return;
        }
        self.sessions.devices.insert(dk, None);
        out.save(Record::remove(Key::Device(dk)));
        if let Some(known) = self.keys.known.get_mut(address) {
            known.devices.retain(|known| *known != dk);
            out.save(known.record(address));
        }
        self.drop_keys_of(address, dk, out);
        out.emit(Output::Event(Event::Unenrolled { address: address.clone(), dk }));
        if let Some(session) = self.session_of(dk) {
            self.run_session(tick, session, Input::End(Code::Login), out);
        }
    }

    /// Something came on a session that is up.
    fn session_talk(&mut self, tick: &Tick, session: SessionId, talk: Talk, out: &mut Outbox<Output>) {
        let Some(who) = self.online_at(session).cloned() else { return };
        match talk {
            Talk::Post(_)
            | Talk::Have { .. }
            | Talk::Unposted { .. }
            | Talk::Ask { what: Question::Range { .. }, .. } => {
                self.talk_from_device(tick, session, &who, talk, out);
            }
            Talk::Publish { number, what } => self.published(tick, session, &who, number, what, out),
            Talk::Ask { number, what: what @ (Question::Lists { .. } | Question::Packages { .. }) } => {
                self.asked(tick, session, &who, number, what, out);
            }
            Talk::Published { number, .. } => self.note_taken(tick, session, &who, number, out),
            Talk::Event(_)
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Answer { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => {
                let why = PeerFault::Frame("what a node says to a device");
                self.run_session(tick, session, Input::Garbage(why), out);
            }
        }
    }
}

/// Failed mailbox logins: a bucket for each address and one for all, each kept as the time when it is full again. They
/// are counted by the address that was claimed, whether anybody lives there or not.
#[derive(Debug, Default)]
struct Failures {
    by_address: BTreeMap<Address, Millis>,
    all: Millis,
}

impl Failures {
    fn may_try(&self, now: Millis, address: &Address) -> Result<(), PeerFault> {
        let of_address = self.by_address.get(address).copied().unwrap_or_default();
        for (full, max) in [(of_address, limits::DEVICE_LOGINS_PER_ADDRESS), (self.all, limits::DEVICE_LOGINS)] {
            if full.max(now).plus(HOUR / u64::from(max)).since(now) > HOUR {
                return Err(PeerFault::Rate { max, per_ms: HOUR });
            }
        }
        Ok(())
    }

    fn failed(&mut self, now: Millis, address: &Address) {
        self.all = self.all.max(now).plus(HOUR / u64::from(limits::DEVICE_LOGINS));
        self.by_address.retain(|_, full| *full > now);
        if !self.by_address.contains_key(address) && self.by_address.len() >= limits::DEVICE_LOGIN_ADDRESSES {
            let first = self.by_address.iter().min_by_key(|(_, full)| **full).map(|(address, _)| address.clone());
            first.and_then(|first| self.by_address.remove(&first));
        }
        let full = self.by_address.entry(address.clone()).or_insert(now);
        *full = (*full).max(now).plus(HOUR / u64::from(limits::DEVICE_LOGINS_PER_ADDRESS));
    }
}
