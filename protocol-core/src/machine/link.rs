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
//! Judging stands in this file, what follows from it in `link/effects.rs`. Trust, routing, queues, and whom to dial are the
//! front door's. Bytes are the host's.
//!
//! [`Key::Peer`]: crate::store::Key::Peer

use std::collections::BTreeSet;

use crate::canary::{self, Canary};
use crate::fault::{Code, Misuse, PeerFault, RestoreError};
use crate::id::{BlobRef, Hash, LinkId, MailId, NodeKey};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::time::Millis;
use crate::wire::file::{BytesOut, File};
use crate::wire::frame::{Ask, Carry, Frame, Ready};
use crate::wire::talk::Talk;

mod effects;
mod flight;
mod inbound;
mod io;
mod memory;
mod outbound;
mod pace;
mod reads;

pub use io::{Input, LinkOut, Outgoing, Output};

use inbound::{Answer, Arrival, Inbound};
use memory::Memory;
use outbound::Outbound;
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
/// What a question, its answer, and a list of heads count.
const TALK_COST: u32 = 16;
/// What a whisper counts: it may have us look up as many pairs as it names.
const WHISPER_COST: u32 = 16;

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
    Bytes(BytesOut),
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
            Input::Talk(talk) => Change::Say(vec![Frame::Talk(talk)]),
            Input::File(file) => Change::Say(vec![Frame::File(file)]),
            Input::Bytes(bytes) => Change::Bytes(bytes),
            Input::Whisper(whisper) => Change::Say(vec![Frame::Whisper(whisper)]),
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
            Frame::Talk(what) => {
                talk(&mut rates, talk_cost(&what)?, 1)?;
                Heard::Told(Output::Talk(what))
            }
            Frame::File(file) => {
                talk(&mut rates, file_cost(&file)?, 1)?;
                Heard::Told(Output::File(file))
            }
            Frame::Whisper(whisper) => {
                talk(&mut rates, WHISPER_COST, 1)?;
                Heard::Told(Output::Whisper(whisper))
            }
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
}

/// What something about conversations counts among what no window bounds: a question has us look things up. Only devices
/// make things known, and only they hear of their lines.
const fn talk_cost(talk: &Talk) -> Result<u32, PeerFault> {
    match talk {
        Talk::Post(_) | Talk::Unposted { .. } | Talk::Event(_) | Talk::Have { .. } | Talk::Delivered { .. } => Ok(1),
        Talk::Ask { .. } | Talk::Answer { .. } | Talk::Heads(_) => Ok(TALK_COST),
        Talk::Publish { .. } | Talk::Published { .. } | Talk::Line(_) | Talk::Login { .. } => {
            Err(PeerFault::Frame("what one node says to another"))
        }
    }
}

/// What something about a file counts among it. Only devices leave files.
const fn file_cost(file: &File) -> Result<u32, PeerFault> {
    match file {
        File::Piece { .. } | File::Kept { .. } | File::Forgotten { .. } => Ok(1),
        File::Fetch { .. } | File::Forget { .. } => Ok(TALK_COST),
        File::Keep { .. } => Err(PeerFault::Frame("what one node says to another")),
    }
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
