//! The express mails that come from the other node: each is answered once it is settled, and again if it comes again.
//!
//! ```text
//!  Carry ──body inside──▶ judged ──Settled──▶ answered (remembered for as long as it may come again)
//!    └──body to fetch──▶ queued ──▶ fetching ──whole──▶ judged
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::fault::{Code, PeerFault};
use crate::id::{BlobRef, CarryId, Hash};
use crate::limits;
use crate::machine::link::flight::{Flight, Window};
use crate::time::Millis;
use crate::wire::frame::{Carry, Frame};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inbound {
    pending: BTreeMap<u64, Pending>,
    flight: Flight,
    /// The highest seq on the present connection.
    high: u64,
    /// The highest seq that was ever answered.
    answered: u64,
    /// The last answers, oldest first: as many as can be unknown to the other node.
    answers: VecDeque<(u64, CarryId, Answer)>,
    queue: VecDeque<BlobRef>,
    fetches: BTreeMap<Hash, Fetch>,
    /// When the next piece of a body is late.
    due: Option<Millis>,
}

#[derive(Debug, PartialEq, Eq)]
struct Pending {
    carry: Carry,
    /// Whether the body is here, so that only the front door's word is missing.
    whole: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Fetch {
    blob: BlobRef,
    /// Where the next piece begins, once it is known how much is here.
    next: Option<u64>,
    /// Whether the body is still of use; what was asked for comes in any case.
    wanted: bool,
}

/// What we said to a Carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ack,
    Refuse(Code, BTreeSet<u8>),
}

impl Answer {
    fn frame(self, seq: u64) -> Frame {
        match self {
            Self::Ack => Frame::Ack { seq },
            Self::Refuse(code, rcpts) => Frame::Refuse { seq, code, rcpts },
        }
    }
}

/// How a Carry is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is new.
    New,
    /// It came before and waits for its answer.
    Waits,
    /// It came before and this is the answer.
    Answered(Frame),
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            flight: Flight::EMPTY,
            high: 0,
            answered: 0,
            answers: VecDeque::new(),
            queue: VecDeque::new(),
            fetches: BTreeMap::new(),
            due: None,
        }
    }

    /// The connection is gone: what was being fetched comes again, what the front door judges stays.
    pub(super) fn down(&mut self) {
        self.pending.retain(|_, pending| pending.whole);
        self.flight = Flight::EMPTY;
        for pending in self.pending.values() {
            self.flight.add(pending.carry.body.len, Window::OURS);
        }
        self.queue.clear();
        self.fetches.clear();
        (self.high, self.due) = (0, None);
    }

    /// Their store was started from a backup: their numbers mean something else now.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }

    pub(super) fn judge(&self, carry: &Carry) -> Result<Arrival, PeerFault> {
        if carry.seq <= self.high {
            return Err(PeerFault::Frame("a seq above the last"));
        }
        check_envelope(carry)?;
        if let Some(pending) = self.pending.get(&carry.seq) {
            let same = pending.carry == *carry;
            return if same { Ok(Arrival::Waits) } else { Err(PeerFault::Frame("a seq for one mail only")) };
        }
        if carry.seq <= self.answered
            && let Some((seq, id, answer)) = self.answers.iter().find(|(seq, ..)| *seq == carry.seq)
        {
            let same = *id == carry.id;
            let frame = || Arrival::Answered(answer.clone().frame(*seq));
            return if same { Ok(frame()) } else { Err(PeerFault::Frame("a seq for one mail only")) };
        }
        if self.pending.values().any(|p| p.carry.body.sha256 == carry.body.sha256 && p.carry.body != carry.body) {
            return Err(PeerFault::Frame("one length for one body"));
        }
        if !self.flight.fits(carry.body.len, Window::OURS) {
            let (items, _) = self.flight.counts();
            return Err(if items < Window::OURS.items {
                let got = self.flight.bytes().saturating_add(carry.body.len);
                PeerFault::TooBig { what: "unsettled bytes", got, max: Window::OURS.bytes }
            } else {
                PeerFault::TooBig { what: "unsettled mails", got: items as u64 + 1, max: Window::OURS.items as u64 }
            });
        }
        Ok(Arrival::New)
    }

    /// Takes a Carry that was judged. One that was answered before is the latest answer again.
    pub(super) fn arrive(&mut self, carry: Carry, arrival: &Arrival) {
        self.high = carry.seq;
        match arrival {
            Arrival::New => {
                self.flight.add(carry.body.len, Window::OURS);
                let whole = carry.body.len <= limits::CARRY_INLINE_BYTES;
                let comes = self.fetches.get(&carry.body.sha256).is_some_and(|fetch| fetch.wanted);
                if !whole && !comes && !self.queue.contains(&carry.body) {
                    self.queue.push_back(carry.body);
                }
                self.pending.insert(carry.seq, Pending { carry, whole });
            }
            Arrival::Waits => {}
            Arrival::Answered(_) => {
                if let Some(at) = self.answers.iter().position(|(seq, ..)| *seq == carry.seq)
                    && let Some(answer) = self.answers.remove(at)
                {
                    self.answers.push_back(answer);
                }
            }
        }
    }

    /// The next body to make room for, where fewer than [`FETCHES`](limits::FETCHES) are on their way.
    pub(super) fn next_fetch(&mut self) -> Option<BlobRef> {
        if self.fetches.len() >= limits::FETCHES {
            return None;
        }
        let at = self.queue.iter().position(|blob| !self.fetches.contains_key(&blob.sha256))?;
        let blob = self.queue.remove(at)?;
        self.fetches.insert(blob.sha256, Fetch { blob, next: None, wanted: true });
        Some(blob)
    }

    /// Where to ask from, now that so many bytes are here; `None` where all are, or nothing of it is awaited.
    pub(super) fn have(&mut self, now: Millis, blob: Hash, bytes: u64) -> Option<u64> {
        let fetch = self.fetches.get_mut(&blob).filter(|fetch| fetch.next.is_none())?;
        let here = bytes.min(fetch.blob.len);
        fetch.next = Some(here);
        let asks = here < fetch.blob.len;
        self.set_due(now);
        asks.then_some(here)
    }

    pub(super) fn judge_chunk(&self, blob: Hash, offset: u64, len: u32) -> Result<(), PeerFault> {
        let fetch = self.fetches.get(&blob).ok_or(PeerFault::Frame("a piece that was asked for"))?;
        if fetch.next != Some(offset) || len == 0 {
            return Err(PeerFault::Frame("the next piece"));
        }
        if len as usize > limits::CHUNK_BYTES {
            return Err(PeerFault::TooBig { what: "chunk", got: len.into(), max: limits::CHUNK_BYTES as u64 });
        }
        let end = offset.saturating_add(len.into());
        if end > fetch.blob.len {
            return Err(PeerFault::TooBig { what: "body", got: end, max: fetch.blob.len });
        }
        Ok(())
    }

    pub(super) fn chunk(&mut self, now: Millis, blob: Hash, len: u32) {
        if let Some(fetch) = self.fetches.get_mut(&blob) {
            fetch.next = fetch.next.map(|next| next + u64::from(len));
            if !fetch.wanted && fetch.next == Some(fetch.blob.len) {
                self.fetches.remove(&blob);
            }
        }
        self.set_due(now);
    }

    fn set_due(&mut self, now: Millis) {
        let coming = self.fetches.values().any(|fetch| fetch.next.is_some_and(|next| next < fetch.blob.len));
        self.due = coming.then(|| now.plus(limits::LINK_PONG_MS));
    }

    /// A fetched body is whole: the Carry frames that it belongs to, which are now the front door's to judge.
    pub(super) fn fetched(&mut self, now: Millis, blob: BlobRef) -> Vec<Carry> {
        self.fetches.remove(&blob.sha256);
        self.set_due(now);
        let waiting = self.pending.values_mut().filter(|pending| pending.carry.body == blob && !pending.whole);
        waiting.map(|pending| (pending.whole = true, pending.carry.clone()).1).collect()
    }

    /// Whether the front door's word on this Carry is awaited.
    pub(super) fn is_open(&self, seq: u64) -> bool {
        self.pending.contains_key(&seq)
    }

    /// The Carry frames that wait for this body.
    pub(super) fn waiting_for(&self, blob: BlobRef) -> Vec<u64> {
        let waits = |pending: &Pending| !pending.whole && pending.carry.body == blob;
        self.pending.iter().filter(|(_, pending)| waits(pending)).map(|(seq, _)| *seq).collect()
    }

    /// Settles a Carry: the answer to send, and the body that is no longer to be fetched.
    pub(super) fn settle(&mut self, seq: u64, answer: Answer) -> (Option<Frame>, Option<BlobRef>) {
        let Some(Pending { carry, whole }) = self.pending.remove(&seq) else { return (None, None) };
        self.flight.remove(carry.body.len, Window::OURS);
        self.answered = self.answered.max(seq);
        self.answers.push_back((seq, carry.id, answer.clone()));
        if self.answers.len() > limits::WINDOW_ITEMS {
            self.answers.pop_front();
        }
        let unwanted = !whole && self.waiting_for(carry.body).is_empty();
        // What this connection didn't bring, it will; and then it is answered.
        let frame = (seq <= self.high).then(|| answer.frame(seq));
        (frame, (unwanted && self.unfetch(carry.body)).then_some(carry.body))
    }

    /// Gives a body up. What was asked for comes in any case, and is passed over.
    fn unfetch(&mut self, blob: BlobRef) -> bool {
        self.queue.retain(|queued| *queued != blob);
        let Some(fetch) = self.fetches.get_mut(&blob.sha256) else { return false };
        if fetch.next.is_none() || fetch.next == Some(fetch.blob.len) {
            self.fetches.remove(&blob.sha256);
        } else {
            fetch.wanted = false;
        }
        true
    }

    pub(super) const fn due(&self) -> Option<Millis> {
        self.due
    }
}

fn check_envelope(carry: &Carry) -> Result<(), PeerFault> {
    let to = &carry.envelope.to;
    if to.is_empty() || to.len() > limits::ENVELOPE_RECIPIENTS {
        let (got, max) = (to.len() as u64, limits::ENVELOPE_RECIPIENTS as u64);
        return Err(PeerFault::TooBig { what: "recipients", got, max });
    }
    if to.iter().collect::<BTreeSet<_>>().len() != to.len() {
        return Err(PeerFault::Frame("no recipient twice"));
    }
    if carry.body.len > limits::MAIL_BYTES {
        return Err(PeerFault::TooBig { what: "body", got: carry.body.len, max: limits::MAIL_BYTES });
    }
    Ok(())
}
