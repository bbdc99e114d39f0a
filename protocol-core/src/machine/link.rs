//! What two nodes that proved their keys say to each other: one machine per other node, over all its connections.
//!
//! ```text
//!           Want, Send                Proven                    their Ready
//!   nothing ─────────▶ dialling ───────────▶ said Ready ──────────────────────▶ up ──Ping, no Pong──▶ nothing
//!      ▲                  │ Unreachable, DIAL_MS   │ Bye, Down, GREETING_MS    ▲ │     a Carry unsettled
//!      └──────────────────┴────────────────────────┘                           │ │     Bye, Down, a fault
//!                          Proven              their Ready: ours is the answer │ ▼
//!   they dial ───────────────────▶ heard nothing ──────────────────────────────┘ (dialled again while there is work,
//!                                      └─ held: we dialled too, or the link is up ─┘   after a jittered wait)
//! ```
//!
//! **One connection.** Who dials has none: so it says Ready first, and means it. Who was dialled answers with its own
//! Ready, and then the link is up for both. No Carry goes before that, so what is decided here loses none.
//! * Both dial at once ([L-6]): the node with the smaller key holds the other's Ready unanswered until its own dial came
//!   up (then the other connection gets `Bye{Glare}`) or failed, or half of GREETING_MS is over. The node with the greater
//!   key answers, and gives its own dial up.
//! * They dial while a link is up: either it is dead for them, or their Ready is late and was overtaken by that link. We
//!   hold it, and send a Ping over the link: its Pong keeps the link; silence for LINK_PROBE_MS, or its end, replaces it.
//! * A Ready that was overtaken may also claim less than we know. So on a connection that they dialled, a generation or
//!   last seq that ran back is only a suspicion: we close, and dial. What they answer to our Ready can't be late: if it
//!   runs back too, or they come with the same again, that is [`PeerFault::Generation`] ([L-22], attack 111).
//!
//! **Exactly once.** A Carry keeps its seq and id until it is settled, and goes again, the same, on each connection
//! ([L-7]). The receiver remembers its last answers and repeats them. Seqs are reserved ahead in [`Key::Peer`], so that a
//! crash uses none twice; after a crash the front door sends its mails again under new seqs and the ids that they had,
//! and the receiving front door knows them by id.
//!
//! **A crash forgets** connections, seqs of unsettled mails, answers, waits between dials, and how often they acked
//! since the record was last written.
//!
//! Trust, routing, queues, and whom to dial are the front door's. Bytes are the host's.
//!
//! [`Key::Peer`]: crate::store::Key::Peer

use std::collections::BTreeSet;

use crate::canary::{self, Canary};
use crate::fault::{Code, Misuse, PeerFault, RestoreError};
use crate::id::{BlobRef, Hash, LinkId, MailId, NodeKey};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::frame::{Ask, Carry, Frame, Ready};

mod flight;
mod inbound;
mod io;
mod memory;
mod outbound;
mod pace;
mod reads;

use flight::Window;
pub use io::{Input, LinkOut, Outgoing, Output};

use inbound::{Answer, Arrival, Inbound};
use memory::Memory;
use outbound::{Next, Outbound};
use pace::{Rate, Redial};

/// What we are to one other node.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    nk: NodeKey,
    our_nk: NodeKey,
    our_generation: u64,
    our_next_nk: Hash,
    memory: Memory,
    saved: Option<Memory>,
    outbound: Outbound,
    inbound: Inbound,
    redial: Redial,
    mine: Mine,
    theirs: Option<Theirs>,
    up: Option<Up>,
    /// Whether their store looked like an older copy of itself, by a Ready that may have been late.
    suspected: bool,
    leaving: bool,
}

/// What a trust step counts among what no window bounds: it costs us a signature check.
const TRUST_COST: u32 = 16;

/// Our own dial, until it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mine {
    None,
    Dialling { late: Millis },
    SaidReady { link: LinkId, late: Millis },
}

/// A connection that they dialled, until it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Theirs {
    link: LinkId,
    /// When it is late; where it is held, when it is held no longer.
    late: Millis,
    /// Held: their Ready, not answered.
    held: Option<Ready>,
}

/// The link.
#[derive(Debug, PartialEq, Eq)]
struct Up {
    link: LinkId,
    since: Millis,
    heard: Millis,
    /// A Ping that is unanswered: when it went.
    pinged: Option<Millis>,
    /// The number of a Ping whose Pong decides between this connection and one that they dialled since.
    probe: Option<u64>,
    rates: Rates,
}

/// Frames that no window bounds: those that bring nothing forward, and those that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    noise: Rate,
    talk: Rate,
}

enum Change {
    Nothing,
    Close(LinkId, Code),
    Fault(LinkId, PeerFault),
    SayReady(LinkId),
    Listen(LinkId),
    Rotate(NodeKey),
    Hold(Ready),
    Agree(LinkId, Ready, Memory),
    Suspect(LinkId),
    Heard(Rates, Heard),
    Left(LinkId, Option<Code>),
    Unreachable,
    Have(Hash, u64),
    Fetched(BlobRef),
    Spoiled(BlobRef),
    Settled(u64, Answer),
    Send(Outgoing),
    Withdraw(MailId),
    Say(Vec<Frame>),
    Want,
    Leave,
    Wake,
}

/// A frame on the link, judged good.
enum Heard {
    Nothing,
    Carry(Carry, Arrival),
    Acked(u64),
    Refused(u64, Code, BTreeSet<u8>),
    Chunk(Hash, u32),
    AskedBody { seq: u64, blob: BlobRef, offset: u64 },
    Ping(u64),
    Alive,
    Told(Output),
}

enum Due {
    Stuck(u64),
    Ping,
    Undialled,
    Unanswered(LinkId),
    Unheld,
    Dial,
}

impl Link {
    /// What we are to a node that we never met. `our_generation` is our store's, `next_nk` the hash of our next key.
    #[must_use]
    pub const fn new(nk: NodeKey, our_nk: NodeKey, our_generation: u64, next_nk: Hash) -> Self {
        let memory = Memory::NEW;
        Self {
            nk,
            our_nk,
            our_generation,
            our_next_nk: next_nk,
            outbound: Outbound::new(memory.reserved),
            memory,
            saved: None,
            inbound: Inbound::new(),
            redial: Redial::new(),
            mine: Mine::None,
            theirs: None,
            up: None,
            suspected: false,
            leaving: false,
        }
    }

    /// What we are to a node of which there is a record.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(
        nk: NodeKey,
        our_nk: NodeKey,
        our_generation: u64,
        next_nk: Hash,
        record: &[u8],
    ) -> Result<Self, RestoreError> {
        let memory = Memory::restore(nk, record)?;
        Ok(Self::remembering(nk, our_nk, our_generation, next_nk, memory))
    }

    fn remembering(nk: NodeKey, our_nk: NodeKey, our_generation: u64, next_nk: Hash, memory: Memory) -> Self {
        let outbound = Outbound::new(if canary::is_on(Canary::SeqsUsedAgain) { 1 } else { memory.reserved });
        let saved = Some(memory.clone());
        Self { memory, saved, outbound, ..Self::new(nk, our_nk, our_generation, next_nk) }
    }

    /// What is left of it after a crash, all its records stored.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        let Self { nk, our_nk, our_generation, our_next_nk, .. } = *self;
        match &self.saved {
            Some(saved) => Self::remembering(nk, our_nk, our_generation, our_next_nk, saved.clone()),
            None => Self::new(nk, our_nk, our_generation, our_next_nk),
        }
    }

    /// The key that the other node proves now. It is known by the one that it proved first, for good.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        self.memory.key.unwrap_or(self.nk)
    }

    /// Whether the other node ever proved its key to us.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.memory.proven
    }

    /// When the other node last changed its key.
    #[must_use]
    pub const fn rotated(&self) -> Millis {
        self.memory.rotated
    }

    /// Whether the link is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// The connection that the link is up on.
    #[must_use]
    pub fn connection(&self) -> Option<LinkId> {
        self.up.as_ref().map(|up| up.link)
    }

    /// How many more express mails may be sent now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.outbound.room()
    }

    /// Whether nothing would be lost by forgetting this machine: its record says all.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.up.is_none() && self.mine == Mine::None && self.theirs.is_none() && self.outbound.is_empty()
    }

    fn decide(&self, tick: &Tick, input: Input) -> Result<Change, Misuse> {
        let on_the_link = |link| self.connection() == Some(link);
        Ok(match input {
            Input::Proven { link, dialled } => self.met(link, dialled),
            Input::Rotated(key) => Change::Rotate(key),
            Input::Unreachable => Change::Unreachable,
            Input::Frame(link, frame) => self.heard(tick, link, frame),
            Input::Garbage(link, fault) if self.knows(link) => Change::Fault(link, fault),
            Input::Down(link) if self.knows(link) => Change::Left(link, None),
            Input::Have(link, blob, bytes) if on_the_link(link) => Change::Have(blob, bytes),
            Input::Fetched(link, blob) if on_the_link(link) => Change::Fetched(blob),
            Input::Spoiled(link, blob) if on_the_link(link) => Change::Spoiled(blob),
            // Of a connection that we gave up.
            Input::Garbage(..) | Input::Down(_) | Input::Have(..) | Input::Fetched(..) | Input::Spoiled(..) => {
                Change::Nothing
            }
            Input::Settled { seq, .. } if !self.inbound.is_open(seq) => Change::Nothing,
            Input::Settled { seq, result } => Change::Settled(
                seq,
                result.map_or_else(|(fault, rcpts)| Answer::Refuse(fault.code(), rcpts), |()| Answer::Ack),
            ),
            Input::Send(_) if self.room() == 0 => return Err(Misuse::OutOfPlace("no room on the link")),
            Input::Send(outgoing) => Change::Send(outgoing),
            Input::Withdraw(mail) => Change::Withdraw(mail),
            Input::Say(trust) if self.is_up() => Change::Say(vec![Frame::Trust(trust)]),
            Input::Say(_) | Input::Want => Change::Want,
            Input::Marks(marks) => Change::Say(marks.chunks(limits::MARK_IDS).map(|m| Frame::Mark(m.into())).collect()),
            Input::Answer(marks) => {
                Change::Say(marks.chunks(limits::MARK_IDS).map(|m| Frame::Answer(m.into())).collect())
            }
            Input::AskMarks(ids) => {
                Change::Say(ids.chunks(limits::MARK_IDS).map(|ids| Frame::Ask(Ask::Marks(ids.into()))).collect())
            }
            Input::Leave => Change::Leave,
            Input::Wake => Change::Wake,
        })
    }

    fn knows(&self, link: LinkId) -> bool {
        self.connection() == Some(link)
            || matches!(self.mine, Mine::SaidReady { link: mine, .. } if mine == link)
            || self.theirs.as_ref().is_some_and(|theirs| theirs.link == link)
    }

    /// Judges a connection that has proven the key.
    fn met(&self, link: LinkId, dialled: bool) -> Change {
        match (self.leaving, dialled, &self.up) {
            (true, ..) => Change::Close(link, Code::Goodbye),
            (false, true, Some(_)) => Change::Close(link, Code::Glare),
            (false, true, None) => Change::SayReady(link),
            (false, false, _) => Change::Listen(link),
        }
    }

    /// Judges a frame.
    fn heard(&self, tick: &Tick, link: LinkId, frame: Frame) -> Change {
        if !self.knows(link) {
            return Change::Nothing;
        }
        if let Frame::Bye { code } = frame {
            return Change::Left(link, Some(code));
        }
        let judged = match &self.up {
            Some(up) if up.link == link => {
                self.judge(tick, up, frame).map(|(rates, heard)| Change::Heard(rates, heard))
            }
            _ => self.agreed(link, frame),
        };
        judged.unwrap_or_else(|fault| Change::Fault(link, fault))
    }

    /// Judges the first frame on a connection that isn't the link: their Ready, taken, or held.
    fn agreed(&self, link: LinkId, frame: Frame) -> Result<Change, PeerFault> {
        let Frame::Ready(ready) = frame else { return Err(PeerFault::Frame("ready, and nothing else")) };
        if let Some(theirs) = self.theirs.as_ref().filter(|theirs| theirs.link == link) {
            if theirs.held.is_some() {
                return Err(PeerFault::Frame("one ready"));
            }
            if self.is_up() || (self.mine != Mine::None && self.our_nk < self.key()) {
                return Ok(Change::Hold(ready));
            }
            return self.answered(link, ready);
        }
        let memory = self.memory.agree(&ready, self.our_generation)?;
        Ok(Change::Agree(link, ready, memory))
    }

    /// Judges a Ready of a connection that they dialled, now that it may be answered.
    fn answered(&self, link: LinkId, ready: Ready) -> Result<Change, PeerFault> {
        match self.memory.agree(&ready, self.our_generation) {
            Ok(memory) => Ok(Change::Agree(link, ready, memory)),
            Err(PeerFault::Generation { .. }) if !self.suspected => Ok(Change::Suspect(link)),
            Err(fault) => Err(fault),
        }
    }

    /// Judges a frame on the link.
    fn judge(&self, tick: &Tick, up: &Up, frame: Frame) -> Result<(Rates, Heard), PeerFault> {
        let mut rates = up.rates;
        let noise = |rates: &mut Rates| -> Result<(), PeerFault> {
            rates.noise = rates.noise.plus(tick.now, 1, limits::LINK_NOISE_PER_SECOND)?;
            Ok(())
        };
        let talk = |rates: &mut Rates, cost, items| -> Result<(), PeerFault> {
            if items > limits::MARK_IDS {
                return Err(PeerFault::TooBig { what: "ids", got: items as u64, max: limits::MARK_IDS as u64 });
            }
            rates.talk = rates.talk.plus(tick.now, cost, limits::LINK_TALK_PER_SECOND)?;
            Ok(())
        };
        let heard = match frame {
            Frame::Carry(carry) => {
                let arrival = self.inbound.judge(&carry)?;
                Heard::Carry(carry, arrival)
            }
            Frame::Ack { seq } if self.outbound.judge(seq, &BTreeSet::new())? => Heard::Acked(seq),
            Frame::Refuse { seq, code, rcpts } if self.outbound.judge(seq, &rcpts)? => Heard::Refused(seq, code, rcpts),
            Frame::Chunk { blob, offset, len } => {
                self.inbound.judge_chunk(blob, offset, len)?;
                Heard::Chunk(blob, len)
            }
            Frame::Ask(Ask::Body { blob, offset }) => {
                let (seq, blob) = self.outbound.judge_ask(blob, offset)?;
                Heard::AskedBody { seq, blob, offset }
            }
            Frame::Trust(trust) => {
                talk(&mut rates, TRUST_COST, 1)?;
                Heard::Told(Output::Trust(trust))
            }
            Frame::Mark(marks) if marks.is_empty() => {
                noise(&mut rates)?;
                Heard::Nothing
            }
            Frame::Mark(marks) | Frame::Answer(marks) => {
                talk(&mut rates, 1, marks.len())?;
                Heard::Told(Output::Marks(marks))
            }
            Frame::Ask(Ask::Marks(ids)) => {
                talk(&mut rates, 1, ids.len())?;
                Heard::Told(Output::MarksWanted(ids))
            }
            Frame::Ping(number) => {
                noise(&mut rates)?;
                Heard::Ping(number)
            }
            Frame::Pong(number) if up.probe == Some(number) => Heard::Alive,
            // Answers to what we took back, pongs, and what a later version may say.
            Frame::Ack { .. } | Frame::Refuse { .. } | Frame::Pong(_) | Frame::Unknown { .. } => {
                noise(&mut rates)?;
                Heard::Nothing
            }
            Frame::Talk(_) => return Err(PeerFault::Frame("no conversation on this link")),
            Frame::Hello(_) | Frame::Proof(_) | Frame::Ready(_) | Frame::Bye { .. } => {
                return Err(PeerFault::Frame("no greeting on a link that is up"));
            }
        };
        Ok((rates, heard))
    }

    /// What is due now, first things first.
    fn due(&self, now: Millis) -> Option<Due> {
        if let Some(up) = &self.up {
            let late = |at: Option<Millis>| at.is_some_and(|at| at <= now);
            return if late(up.pinged.map(|at| at.plus(limits::LINK_PONG_MS))) || late(self.inbound.due()) {
                Some(Due::Stuck(limits::LINK_PONG_MS))
            } else if late(self.outbound.due()) {
                Some(Due::Stuck(limits::SETTLE_MS))
            } else if up.pinged.is_none() && up.heard.plus(limits::LINK_IDLE_MS) <= now {
                Some(Due::Ping)
            } else {
                self.due_of_theirs(now)
            };
        }
        match self.mine {
            Mine::Dialling { late } if late <= now => return Some(Due::Undialled),
            Mine::SaidReady { link, late } if late <= now => return Some(Due::Unanswered(link)),
            Mine::None | Mine::Dialling { .. } | Mine::SaidReady { .. } => {}
        }
        let dials = self.may_dial(now) && self.redial.next() <= now;
        self.due_of_theirs(now).or(dials.then_some(Due::Dial))
    }

    fn due_of_theirs(&self, now: Millis) -> Option<Due> {
        let theirs = self.theirs.as_ref().filter(|theirs| theirs.late <= now)?;
        Some(if theirs.held.is_some() { Due::Unheld } else { Due::Unanswered(theirs.link) })
    }

    fn may_dial(&self, now: Millis) -> bool {
        let wanted = self.redial.is_wanted(now) || !self.outbound.is_empty();
        wanted && !self.leaving && self.up.is_none() && self.mine == Mine::None && self.theirs.is_none()
    }

    fn apply(&mut self, tick: &Tick, change: Change, out: &mut Outbox<Output>) {
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

/// A number that this step's entropy makes, for one purpose.
fn random(tick: &Tick, purpose: &[u8], nk: NodeKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[purpose, &tick.entropy, &nk.0]).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn close(link: LinkId, code: Code, out: &mut Outbox<Output>) {
    out.emit(Output::Out(link, LinkOut::Send(Frame::Bye { code })));
    out.emit(Output::Out(link, LinkOut::Close));
}

impl Machine for Link {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let change = self.decide(tick, input)?;
        self.apply(tick, change, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        let up = self.up.as_ref().map(|up| match up.pinged {
            Some(at) => at.plus(limits::LINK_PONG_MS),
            None => up.heard.plus(limits::LINK_IDLE_MS),
        });
        let mine = match self.mine {
            Mine::Dialling { late } | Mine::SaidReady { late, .. } => Some(late),
            Mine::None => None,
        };
        let theirs = self.theirs.as_ref().map(|theirs| theirs.late);
        let dial = self.may_dial(self.redial.next()).then_some(self.redial.next());
        [up, mine, theirs, dial, self.inbound.due(), self.outbound.due()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
