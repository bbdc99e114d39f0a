//! What a link does once it has judged: writes that can't fail, and what goes out. The first half, and the picture, stand
//! in [`link`](super).

use std::collections::BTreeSet;

use super::flight::Window;
use super::inbound::{Answer, Arrival};
use super::memory::Memory;
use super::outbound::Next;
use super::pace::{Rate, random};
use super::{Change, Due, Heard, Link, LinkOut, Mine, Output, Rates, Theirs, Up};
use crate::fault::{Code, PeerFault};
use crate::id::{LinkId, NodeKey};
use crate::limits;
use crate::step::{Outbox, Tick};
use crate::wire::frame::{Ask, Frame, Ready};

impl Link {
    pub(super) fn apply(&mut self, tick: &Tick, change: Change, out: &mut Outbox<Output>) {
        self.effect(tick, change, out);
        self.go_on(tick, out);
    }

    fn effect(&mut self, tick: &Tick, change: Change, out: &mut Outbox<Output>) {
        match change {
            Change::Nothing => {}
            Change::Close(link, code) => close(link, code, out),
            Change::Fault(link, fault) => self.fault(tick, link, fault, out),
            Change::SayReady(link) => {
                if let Mine::SaidReady { link: before, .. } = self.mine {
                    close(before, Code::Glare, out);
                }
                self.mine = Mine::SaidReady { link, late: tick.now.plus(limits::GREETING_MS) };
                if !std::mem::replace(&mut self.memory.proven, true) {
                    self.redial.proven(tick.now);
                }
                out.emit(Output::Out(link, LinkOut::Send(self.ready())));
            }
            Change::Listen(link) => {
                self.close_theirs(out);
                if let Some(up) = &mut self.up {
                    up.probe = None;
                }
                self.theirs = Some(Theirs { link, late: tick.now.plus(limits::GREETING_MS), held: None });
                self.memory.proven = true;
                self.redial.met(tick.now);
            }
            Change::Rotate(key) => self.rotate(tick, key, out),
            Change::Hold(ready) => self.hold(tick, ready, out),
            Change::Agree(link, ready, memory) => self.agree(tick, link, &ready, memory, out),
            Change::Suspect(link) => {
                close(link, Code::Glare, out);
                self.theirs = None;
                self.suspected = true;
                self.redial.want(tick.now);
            }
            Change::Heard(rates, heard) => self.take(tick, rates, heard, out),
            Change::Left(link, code) => {
                if code.is_some() {
                    out.emit(Output::Out(link, LinkOut::Close));
                }
                if code == Some(Code::Generation) {
                    self.redial.give_it_time();
                }
                self.lose(tick, link, code.unwrap_or(Code::Timeout), out);
            }
            Change::Unreachable => self.undialled(tick, out),
            Change::Have(blob, bytes) => {
                if let (Some(link), Some(offset)) = (self.connection(), self.inbound.have(tick.now, blob, bytes)) {
                    out.emit(Output::Out(link, LinkOut::Send(Frame::Ask(Ask::Body { blob, offset }))));
                }
            }
            Change::Fetched(blob) => {
                self.inbound.fetched(tick.now, blob).into_iter().for_each(|carry| out.emit(Output::Whole(carry)));
            }
            Change::Spoiled(blob) => {
                let seqs = self.inbound.waiting_for(blob);
                self.inbound.fetched(tick.now, blob);
                for seq in seqs {
                    self.settle(seq, Answer::Refuse(Code::Spoiled, BTreeSet::new()), out);
                }
                out.emit(Output::Fault(PeerFault::Spoiled));
            }
            Change::Settled(seq, answer) => self.settle(seq, answer, out),
            Change::Send(outgoing) => self.outbound.push(outgoing),
            Change::Withdraw(mail) => self.outbound.withdraw(mail, self.up.is_some()),
            Change::Say(frames) => {
                if let Some(link) = self.connection() {
                    frames.into_iter().for_each(|frame| out.emit(Output::Out(link, LinkOut::Send(frame))));
                }
            }
            Change::Bytes(bytes) => {
                if let Some(link) = self.connection() {
                    out.emit(Output::Out(link, LinkOut::Bytes(bytes)));
                }
            }
            Change::Want => self.redial.want(tick.now),
            Change::Leave => self.leave(out),
            Change::Wake => {
                while let Some(due) = self.due(tick.now) {
                    self.wake(tick, due, out);
                }
            }
        }
    }

    /// A frame on the link has its effect.
    fn take(&mut self, tick: &Tick, rates: Rates, heard: Heard, out: &mut Outbox<Output>) {
        let Some(up) = &mut self.up else { return };
        (up.rates, up.heard, up.pinged) = (rates, tick.now, None);
        let link = up.link;
        match heard {
            Heard::Nothing => {}
            Heard::Carry(carry, arrival) => {
                self.inbound.arrive(carry.clone(), &arrival);
                match arrival {
                    Arrival::New => out.emit(Output::Came(carry)),
                    Arrival::Waits => {}
                    Arrival::Answered(frame) => {
                        let acked = matches!(frame, Frame::Ack { .. });
                        out.emit(Output::Out(link, LinkOut::Send(frame)));
                        if acked {
                            // Its mark may have been due while the link was down, and its sender knew of no Ack to ask about.
                            out.emit(Output::MarksWanted(vec![carry.id]));
                        }
                    }
                }
            }
            Heard::Acked(seq) => {
                self.memory.acked = self.memory.acked.max(seq);
                if let Some(mail) = self.outbound.settle(tick.now, seq) {
                    out.emit(Output::Acked(mail));
                }
            }
            Heard::Refused(seq, code, rcpts) => {
                if let Some(mail) = self.outbound.settle(tick.now, seq) {
                    out.emit(Output::Refused { mail, code, rcpts });
                }
            }
            Heard::Chunk(blob, len) => self.inbound.chunk(tick.now, blob, len),
            Heard::AskedBody { seq, blob, offset } => {
                self.outbound.asked(seq);
                out.emit(Output::Out(link, LinkOut::Chunks { blob, offset }));
            }
            Heard::Ping(number) => out.emit(Output::Out(link, LinkOut::Send(Frame::Pong(number)))),
            Heard::Alive => {
                up.probe = None;
                self.close_theirs(out);
            }
            Heard::Told(output) => out.emit(output),
        }
    }

    fn settle(&mut self, seq: u64, answer: Answer, out: &mut Outbox<Output>) {
        if answer == Answer::Ack {
            self.memory.last_seen = self.memory.last_seen.max(seq);
        }
        let (frame, unwanted) = self.inbound.settle(seq, answer);
        let Some(link) = self.connection() else { return };
        if let Some(frame) = frame {
            out.emit(Output::Out(link, LinkOut::Send(frame)));
        }
        if let Some(blob) = unwanted {
            out.emit(Output::Out(link, LinkOut::Unfetch { blob }));
        }
    }

    /// The other node has another key: no connection of the old one counts any more.
    fn rotate(&mut self, tick: &Tick, key: NodeKey, out: &mut Outbox<Output>) {
        (self.memory.key, self.memory.next_nk, self.memory.rotated) = (Some(key), None, tick.now);
        self.close_theirs(out);
        if let Mine::SaidReady { link, .. } = self.mine {
            close(link, Code::Goodbye, out);
            self.mine = Mine::None;
        }
        if let Some(up) = self.connection() {
            close(up, Code::Goodbye, out);
            self.lose(tick, up, Code::Goodbye, out);
        }
    }

    /// Leaves their Ready unanswered until our own dial, or the link that is up, has shown what it is worth.
    fn hold(&mut self, tick: &Tick, ready: Ready, out: &mut Outbox<Output>) {
        let newer = ready.generation > self.memory.generation;
        if let (true, Some(up), Some(theirs)) = (newer, self.connection(), &mut self.theirs) {
            // The link may be up with an older copy of that node, which is as alive as this one: no probe tells them apart.
            (theirs.held, theirs.late) = (Some(ready), tick.now.plus(limits::GREETING_MS));
            close(up, Code::Generation, out);
            return self.lose(tick, up, Code::Generation, out);
        }
        let patience = if let Some(up) = &mut self.up {
            let number = random(tick, b"postline probe", self.nk);
            up.probe = Some(number);
            out.emit(Output::Out(up.link, LinkOut::Send(Frame::Ping(number))));
            limits::LINK_PROBE_MS
        } else {
            limits::GREETING_MS / 2
        };
        if let Some(theirs) = &mut self.theirs {
            (theirs.held, theirs.late) = (Some(ready), tick.now.plus(patience));
        }
    }

    /// The link comes up on this connection; all others go.
    fn agree(&mut self, tick: &Tick, link: LinkId, ready: &Ready, memory: Memory, out: &mut Outbox<Output>) {
        match std::mem::replace(&mut self.mine, Mine::None) {
            Mine::SaidReady { link: mine, .. } if mine != link => close(mine, Code::Glare, out),
            Mine::None | Mine::Dialling { .. } | Mine::SaidReady { .. } => {}
        }
        match self.theirs.take() {
            Some(theirs) if theirs.link == link => out.emit(Output::Out(link, LinkOut::Send(self.ready()))),
            Some(theirs) => close(theirs.link, Code::Glare, out),
            None => {}
        }
        if memory.generation > self.memory.generation {
            self.inbound.forget();
        }
        self.memory = memory;
        self.outbound.up(ready);
        self.redial.satisfied();
        self.suspected = false;
        let rates = Rates { noise: Rate::new(tick.now), talk: Rate::new(tick.now) };
        self.up = Some(Up { link, since: tick.now, heard: tick.now, pinged: None, probe: None, rates });
        out.emit(Output::Up(link));
    }

    fn fault(&mut self, tick: &Tick, link: LinkId, fault: PeerFault, out: &mut Outbox<Output>) {
        let code = fault.code();
        close(link, code, out);
        if code == Code::Generation {
            self.redial.give_it_time();
        }
        out.emit(Output::Fault(fault));
        self.lose(tick, link, code, out);
    }

    /// A connection is gone.
    fn lose(&mut self, tick: &Tick, link: LinkId, code: Code, out: &mut Outbox<Output>) {
        match &self.up {
            Some(up) if up.link == link => {
                if tick.now.since(up.since) >= limits::SETTLE_MS && code != Code::Generation {
                    self.redial.met(tick.now);
                }
                self.up = None;
                self.outbound.down();
                self.inbound.down();
                out.emit(Output::Down(code));
                self.redial.failed(tick, self.nk);
                self.unhold(tick, out);
                return;
            }
            Some(_) | None => {}
        }
        if matches!(self.mine, Mine::SaidReady { link: mine, .. } if mine == link) {
            self.undialled(tick, out);
        }
        if self.theirs.as_ref().is_some_and(|theirs| theirs.link == link) {
            self.theirs = None;
            self.redial.failed(tick, self.nk);
        }
    }

    /// Our dial came to nothing: what was held for it is answered now.
    fn undialled(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        if self.mine == Mine::None {
            return;
        }
        self.mine = Mine::None;
        self.redial.failed(tick, self.nk);
        self.unhold(tick, out);
    }

    /// Answers what was held. A link that is up until now gave no sign of life.
    fn unhold(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        if let Some(up) = self.connection() {
            close(up, Code::Timeout, out);
            return self.lose(tick, up, Code::Timeout, out);
        }
        if let Some(Theirs { link, held: Some(ready), .. }) = self.theirs.clone() {
            let change = self.answered(link, ready).unwrap_or_else(|fault| Change::Fault(link, fault));
            self.effect(tick, change, out);
        }
    }

    fn wake(&mut self, tick: &Tick, due: Due, out: &mut Outbox<Output>) {
        match due {
            Due::Stuck(ms) => {
                if let Some(link) = self.connection() {
                    self.fault(tick, link, PeerFault::Late(ms), out);
                }
            }
            Due::Ping => {
                if let Some(up) = &mut self.up {
                    up.pinged = Some(tick.now);
                    out.emit(Output::Out(up.link, LinkOut::Send(Frame::Ping(tick.now.0))));
                }
            }
            Due::Undialled => self.undialled(tick, out),
            Due::Unanswered(link) => self.fault(tick, link, PeerFault::Late(limits::GREETING_MS), out),
            Due::Unheld => self.unhold(tick, out),
            Due::Dial => self.dial(tick, out),
        }
    }

    fn dial(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.mine = Mine::Dialling { late: tick.now.plus(limits::DIAL_MS) };
        self.redial.dialled(tick.now, self.memory.proven);
        out.emit(Output::Dial);
    }

    fn leave(&mut self, out: &mut Outbox<Output>) {
        self.leaving = true;
        if let Some(up) = self.up.take() {
            close(up.link, Code::Goodbye, out);
            out.emit(Output::Down(Code::Goodbye));
        }
        if let Mine::SaidReady { link, .. } = self.mine {
            close(link, Code::Goodbye, out);
        }
        if let Some(theirs) = self.theirs.take() {
            close(theirs.link, Code::Goodbye, out);
        }
        self.mine = Mine::None;
        self.outbound.down();
        self.inbound.down();
    }

    /// What each step ends with: whatever may go now goes, and what must not be lost is saved.
    fn go_on(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        self.redial.expire(tick.now);
        if let Some(link) = self.connection() {
            while let Some(blob) = self.inbound.next_fetch() {
                out.emit(Output::Out(link, LinkOut::Fetch { blob }));
            }
            while let Some(next) = self.outbound.next(tick.now, &mut self.memory) {
                match next {
                    Next::Carry(carry) => out.emit(Output::Out(link, LinkOut::Send(Frame::Carry(carry)))),
                    Next::TooLarge(mail) => {
                        out.emit(Output::Refused { mail, code: Code::TooBig, rcpts: BTreeSet::new() });
                    }
                }
            }
        } else if self.may_dial(tick.now) && self.redial.next() <= tick.now {
            self.dial(tick, out);
        }
        if self.memory.differs(self.saved.as_ref()) {
            out.save(self.memory.record(self.nk));
            self.saved = Some(self.memory.clone());
        }
    }

    fn close_theirs(&mut self, out: &mut Outbox<Output>) {
        if let Some(theirs) = self.theirs.take() {
            close(theirs.link, Code::Glare, out);
        }
    }

    fn ready(&self) -> Frame {
        Frame::Ready(Ready {
            next_nk: self.our_next_nk,
            generation: self.our_generation,
            last_seen: self.memory.last_seen,
            window_items: Window::OURS.items as u32,
            window_bytes: Window::OURS.bytes,
            max_body: limits::MAIL_BYTES,
        })
    }
}

fn close(link: LinkId, code: Code, out: &mut Outbox<Output>) {
    out.emit(Output::Out(link, LinkOut::Send(Frame::Bye { code })));
    out.emit(Output::Out(link, LinkOut::Close));
}
