//! The express mails that go to the other node: numbered, windowed, sent again until settled.
//!
//! ```text
//!  Send ──▶ waiting ──fits the window: gets its seq──▶ open ──Ack, Refuse──▶ settled, forgotten
//!                                                       │  ▲
//!                                          connection ──┘  └── next connection: sent again, the same
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::fault::PeerFault;
use crate::id::{BlobRef, Hash, MailId};
use crate::limits;
use crate::machine::link::flight::{Flight, Window};
use crate::machine::link::{Memory, Outgoing};
use crate::time::Millis;
use crate::wire::frame::{Carry, Ready};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outbound {
    /// The seq that is given next. Below the reserve, or equal to it: then the reserve is moved first.
    next: u64,
    waiting: VecDeque<Outgoing>,
    open: BTreeMap<u64, Open>,
    /// Open ones below this seq are out on the present connection.
    sent_below: u64,
    flight: Flight,
    window: Window,
    max_body: u64,
    /// When the link counts as stuck.
    due: Option<Millis>,
}

#[derive(Debug, PartialEq, Eq)]
struct Open {
    outgoing: Outgoing,
    /// Whether its body was asked for on the present connection.
    asked: bool,
    /// Whether it goes by another carrier: it isn't sent again, and its end is nobody's news.
    withdrawn: bool,
}

/// What becomes of a waiting mail.
#[derive(Debug)]
pub(super) enum Next {
    /// It goes.
    Carry(Carry),
    /// It is larger than anything that they take.
    TooLarge(MailId),
}

impl Outbound {
    pub(super) const fn new(next: u64) -> Self {
        Self {
            next,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            sent_below: 0,
            flight: Flight::EMPTY,
            window: Window::OURS,
            max_body: limits::MAIL_BYTES,
            due: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// How many more may be handed in: as many as the window has items left, none while its bytes are used up.
    pub(super) fn room(&self) -> usize {
        let waiting: u64 = self.waiting.iter().map(|o| o.body.len).filter(|len| !self.window.is_oversize(*len)).sum();
        if self.flight.bytes().saturating_add(waiting) >= self.window.bytes {
            return 0;
        }
        self.window.items.saturating_sub(self.open.len() + self.waiting.len())
    }

    pub(super) fn mail_of(&self, seq: u64) -> Option<MailId> {
        self.open.get(&seq).map(|open| open.outgoing.mail)
    }

    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.waiting.push_back(outgoing);
    }

    pub(super) fn withdraw(&mut self, mail: MailId, is_up: bool) {
        self.waiting.retain(|outgoing| outgoing.mail != mail);
        for (_, open) in self.open.iter_mut().filter(|(_, open)| open.outgoing.mail == mail) {
            open.withdrawn = true;
        }
        if !is_up {
            self.down();
        }
    }

    /// A connection is up: all that is open goes again.
    pub(super) fn up(&mut self, ready: &Ready) {
        let items = usize::try_from(ready.window_items).unwrap_or(usize::MAX).min(limits::WINDOW_ITEMS);
        self.window = Window { items, bytes: ready.window_bytes.min(limits::WINDOW_BYTES) };
        self.max_body = ready.max_body;
        self.next = self.next.max(ready.last_seen + 1);
    }

    /// The connection is gone.
    pub(super) fn down(&mut self) {
        self.open.retain(|_, open| !open.withdrawn);
        self.open.values_mut().for_each(|open| open.asked = false);
        (self.sent_below, self.flight, self.due) = (0, Flight::EMPTY, None);
    }

    /// The next frame that goes now, where one may.
    pub(super) fn next(&mut self, now: Millis, memory: &mut Memory) -> Option<Next> {
        if let Some((&seq, open)) = self.open.range(self.sent_below..).next() {
            let outgoing = open.outgoing.clone();
            if outgoing.body.len > self.max_body {
                self.open.remove(&seq);
                return Some(Next::TooLarge(outgoing.mail));
            }
            return self.flight.fits(outgoing.body.len, self.window).then(|| self.present(now, seq, outgoing));
        }
        // In order; only one that must go alone beside another such lets smaller ones pass.
        let passes = |o: &Outgoing| o.body.len > self.max_body || self.flight.fits(o.body.len, self.window);
        let stops = |o: &Outgoing| passes(o) || !self.window.is_oversize(o.body.len);
        let at = self.waiting.iter().position(stops).filter(|at| self.waiting.get(*at).is_some_and(passes))?;
        let outgoing = self.waiting.remove(at)?;
        if outgoing.body.len > self.max_body {
            return Some(Next::TooLarge(outgoing.mail));
        }
        if self.next >= memory.reserved {
            memory.reserved = self.next.saturating_add(limits::SEQ_RESERVE);
        }
        let seq = self.next;
        self.next += 1;
        self.open.insert(seq, Open { outgoing: outgoing.clone(), asked: false, withdrawn: false });
        Some(self.present(now, seq, outgoing))
    }

    fn present(&mut self, now: Millis, seq: u64, outgoing: Outgoing) -> Next {
        self.flight.add(outgoing.body.len, self.window);
        self.sent_below = seq + 1;
        if outgoing.body.len <= limits::CARRY_INLINE_BYTES {
            self.due = self.due.or(Some(now.plus(self.patience())));
        }
        Next::Carry(Carry { seq, id: outgoing.id, envelope: outgoing.envelope, body: outgoing.body })
    }

    /// How long the oldest may stay unsettled. Where bodies go in chunks, their bytes may lie ahead in the pipe.
    fn patience(&self) -> u64 {
        let (items, inline) = self.flight.counts();
        if items > inline { limits::SETTLE_MS + limits::LINK_PONG_MS } else { limits::SETTLE_MS }
    }

    /// Judges an answer to `seq`: whether it is to something open.
    pub(super) fn judge(&self, seq: u64, rcpts: &BTreeSet<u8>) -> Result<bool, PeerFault> {
        if seq >= self.next {
            return Err(PeerFault::Frame("an answer to what was sent"));
        }
        let Some(open) = self.open.get(&seq) else { return Ok(false) };
        let to = open.outgoing.envelope.to.len();
        if rcpts.last().is_some_and(|last| usize::from(*last) >= to) {
            return Err(PeerFault::Frame("recipients of this mail"));
        }
        Ok(true)
    }

    /// Forgets what is settled, and names it where its end is news.
    pub(super) fn settle(&mut self, now: Millis, seq: u64) -> Option<MailId> {
        let open = self.open.remove(&seq)?;
        if seq < self.sent_below {
            self.flight.remove(open.outgoing.body.len, self.window);
        }
        self.due = (self.flight.counts().1 > 0).then(|| now.plus(self.patience()));
        (!open.withdrawn).then_some(open.outgoing.mail)
    }

    /// Judges a question for a body: it must belong to a Carry that is out, and each Carry gives it once a connection.
    pub(super) fn judge_ask(&self, blob: Hash, offset: u64) -> Result<(u64, BlobRef), PeerFault> {
        let (seq, body) = self
            .open
            .range(..self.sent_below)
            .find(|(_, open)| open.outgoing.body.sha256 == blob && !open.asked)
            .map(|(seq, open)| (*seq, open.outgoing.body))
            .ok_or(PeerFault::Frame("a question for a body that was announced"))?;
        if offset >= body.len || body.len <= limits::CARRY_INLINE_BYTES {
            return Err(PeerFault::TooBig { what: "offset", got: offset, max: body.len });
        }
        Ok((seq, body))
    }

    pub(super) fn asked(&mut self, seq: u64) {
        if let Some(open) = self.open.get_mut(&seq) {
            open.asked = true;
        }
    }

    pub(super) const fn due(&self) -> Option<Millis> {
        self.due
    }
}
