//! The log of a conversation as it comes: entry by entry, in order, each hashed into the chain that the hub must sign.
//!
//! ```text
//!   Event ──seq + 1──▶ taken: created, changed, opened ──▶ Have (once in a while)
//!     ├──ahead─▶ kept, and what lies between is asked for
//!     └──again─▶ nothing
//!   Heads ──signed by the hub, equal to our chain──▶ sent         another chain ──▶ Alarm
//! ```

use std::collections::BTreeMap;

use super::io::{Alarm, Event as Told, Output, Who};
use super::said::Draft;
use super::talk::{Live, Talk};
use super::timers::What;
use super::{Asked, Client};
use crate::fault::{Code, PeerFault};
use crate::id::{ConversationId, DeviceTag, Hash, NodeKey};
use crate::limits;
use crate::machine::mark;
use crate::seal::lists::Chain;
use crate::seal::mls::KnownHead;
use crate::seal::verify_value;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::log::{HeadsSigned, Link, chain, tag};
use crate::wire::talk::{Event, Head, Heads, Kind, Origin, Question, Talk as Frame};

/// How taking an entry went.
pub(super) enum Taken {
    /// It is behind us.
    Done,
    /// It waits for something that was asked for.
    Waits,
}

impl Client {
    /// An entry came.
    pub(super) fn event(&mut self, tick: &Tick, event: Event, out: &mut Outbox<Output>) {
        let id = event.conversation;
        if !self.talks.contains_key(&id) && !self.begin(id, out) {
            if self.unknown.len() < limits::CLIENT_BATCH && self.unknown.insert(id) {
                Self::refuse(Who::Conversation(id), PeerFault::NoConversation, out);
            }
            return;
        }
        self.look_for_group(tick, id, out);
        let Some(seq) = self.talks.get(&id).map(|talk| talk.seq) else { return };
        if event.seq <= seq {
            return self.had(tick, event);
        }
        let (came, next) = (event.seq, seq.saturating_add(1));
        let live = self.live(id);
        if live.waits {
            // What comes next is here; the rest comes again, once this is taken.
            return self.not_now(id, came, out);
        }
        if live.ahead.len() < limits::AHEAD || came == next {
            live.ahead.insert(came, event);
        }
        if came > next {
            self.pass_over(tick, id, next, out);
        }
        self.drain(tick, id, out);
    }

    /// The log waits for lists, which may never come: what is on its way of it would fill the window of all logs
    /// (attack 87). A Have makes it go on.
    fn not_now(&self, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        if !self.online() {
            return;
        }
        let origin = Origin { device: DeviceTag([0; 8]), number: seq };
        Self::say(Frame::Unposted { conversation: id, origin, code: Code::Busy }, out);
    }

    /// An entry came out of its turn. Where those before it were asked for and the answer is here, they are nowhere: what
    /// there is comes in order, and behind the answer, if not before it. We go on behind them.
    fn pass_over(&mut self, tick: &Tick, id: ConversationId, next: u64, out: &mut Outbox<Output>) {
        let asks = self.asks.values().any(|open| *open == Asked::Range { talk: id });
        let live = self.live(id);
        let first = live.ahead.range(next..).next().map(|(seq, _)| *seq).filter(|first| *first > next);
        let Some(first) = first.filter(|_| !asks && !live.waits && live.asked_to >= next) else { return };
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let to = first.saturating_sub(1);
        (talk.seq, talk.chain) = (to, None);
        // There may have been a group.
        talk.state = talk.state.max(1);
        out.save(talk.record());
        self.mark(tick, id, mark::Input::Entry { seq: to, by: None }, out);
        Self::tell(Told::Missing { conversation: id, from: next, to }, out);
    }

    /// A conversation that the node knows and we don't: only that with somebody with whom there is a line.
    pub(super) fn begin(&mut self, id: ConversationId, out: &mut Outbox<Output>) -> bool {
        let found = self.contacts.values().find_map(|contact| {
            let (direct, line) = contact.direct()?;
            (direct == id).then(|| Talk::new(id, contact.address.clone(), line.t2, line.offered))
        });
        let Some(talk) = found.filter(|_| self.talks.len() < limits::TALKS) else { return false };
        out.save(talk.record());
        self.talks.insert(id, talk);
        self.groups.entry(id).or_insert(None);
        self.know_more_of(out);
        true
    }

    /// An entry that was taken before. The newest change of members is of use to who is outside.
    fn had(&mut self, tick: &Tick, event: Event) {
        let id = event.conversation;
        let outside = self.talks.get(&id).is_some_and(|talk| talk.joined.is_none() && talk.change == event.seq);
        if let (true, Some(bytes)) = (outside, &event.bytes) {
            self.note_info(tick, id, bytes);
        }
        // The node didn't hear that we have it, or forgot: unless it hears so again, its window for us stays full.
        self.acknowledge(tick, id);
    }

    /// Takes what is next, as much as there is, and as one step may.
    pub(super) fn drain(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        self.drain_ahead(tick, id, out);
        self.apply(tick, id, out);
    }

    fn drain_ahead(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        for _ in 0..limits::CLIENT_BATCH {
            let Some(talk) = self.talks.get(&id) else { return };
            // What came out of turn is applied first: there is room for so much of it.
            if !talk.late.is_empty() || !talk.adopted.is_empty() {
                return self.timers.by(What::Talk(id), tick.now);
            }
            let next = talk.seq.saturating_add(1);
            let live = self.live(id);
            live.ahead = live.ahead.split_off(&next);
            if live.waits {
                return;
            }
            let Some(event) = live.ahead.remove(&next) else {
                if let Some(first) = live.ahead.keys().next().copied() {
                    self.ask_range(id, next, first.saturating_sub(1), out);
                }
                return;
            };
            if let Taken::Waits = self.take(tick, &event, out) {
                let live = self.live(id);
                live.waits = true;
                live.ahead = BTreeMap::from([(next, event)]);
                return self.not_now(id, next, out);
            }
        }
        self.timers.by(What::Talk(id), tick.now);
    }

    /// Asks for entries again, once a session.
    pub(super) fn ask_range(&mut self, id: ConversationId, from: u64, to: u64, out: &mut Outbox<Output>) {
        let to = to.min(from.saturating_add(limits::RANGE).saturating_sub(1));
        if self.live(id).asked_to >= to {
            return;
        }
        let what = Question::Range { conversation: id, from, to };
        if self.ask(Asked::Range { talk: id }, what, out).is_some() {
            self.live(id).asked_to = to;
        }
    }

    /// The node has no range for us now: it is asked again, but not at once.
    pub(super) fn no_range(&mut self, tick: &Tick, id: ConversationId) {
        self.live(id).asked_to = 0;
        self.timers.by(What::Talk(id), Self::later(tick, limits::ASK_AGAIN_MS));
    }

    /// Takes the entry that is next.
    fn take(&mut self, tick: &Tick, event: &Event, out: &mut Outbox<Output>) -> Taken {
        let id = event.conversation;
        let own = self.own_draft(event);
        let bytes = match (&event.bytes, &own) {
            (Some(bytes), _) => Some(bytes.clone()),
            (None, Some((_, draft))) => draft.sealed.as_ref().map(|sealed| sealed.bytes.clone()),
            (None, None) => None,
        };
        let first = event.seq == 1;
        let taken = match (event.kind, &bytes) {
            // Something of ours that this device doesn't know any more.
            (_, None) => Taken::Done,
            (Kind::Create, Some(bytes)) if first => self.created(tick, event, bytes, own.as_ref(), out),
            (Kind::Create, Some(_)) => {
                Self::refuse(Who::Conversation(id), PeerFault::Exists, out);
                Taken::Done
            }
            (Kind::Commit, Some(bytes)) => self.changed(tick, event, bytes, own.as_ref(), out),
            (Kind::Message, Some(bytes)) => {
                match &own {
                    Some((_, draft)) => self.own_message(tick, event, draft, out),
                    None => self.message(tick, event, bytes, out),
                }
                Taken::Done
            }
        };
        if let Taken::Waits = taken {
            return taken;
        }
        self.said.entry((id, event.seq)).or_insert(None);
        if let Some((number, draft)) = own {
            if let (Kind::Create | Kind::Commit, Some(sealed)) = (draft.kind, draft.sealed) {
                self.keep_change(id, event.seq, sealed.bytes, out);
            }
            // The conversation's record is written below.
            self.settle(id, number);
            self.drafts.remove(&number);
            out.save(Record::remove(Key::Draft(number)));
            self.live(id).unlisted = None;
            self.passed_over(tick, id, number, out);
        }
        self.behind_us(tick, event, bytes.as_deref(), out);
        Taken::Done
    }

    /// What of ours the entry is, where it is ours and this device's.
    fn own_draft(&self, event: &Event) -> Option<(u64, Draft)> {
        let Origin { device, number } = event.origin?;
        if device != tag(event.conversation, self.dk()?) {
            return None;
        }
        let draft = self.drafts.get(&number)?;
        (draft.talk == event.conversation && draft.kind == event.kind && draft.sealed.is_some())
            .then(|| (number, draft.clone()))
    }

    /// Numbers rise in a log: what was posted before, and hasn't come, was not taken, and is sealed anew.
    fn passed_over(&mut self, tick: &Tick, id: ConversationId, number: u64, out: &mut Outbox<Output>) {
        let lost = |draft: &Draft| draft.talk == id && draft.kind == Kind::Message && draft.sealed.is_some();
        for (number, draft) in self.drafts.range_mut(..number).filter(|(_, draft)| lost(draft)) {
            draft.sealed = None;
            out.save(draft.record(*number));
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// The entry was taken: the log goes on behind it.
    fn behind_us(&mut self, tick: &Tick, event: &Event, bytes: Option<&[u8]>, out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get_mut(&event.conversation) else { return };
        let Event { term, seq, kind, epoch, .. } = *event;
        talk.chain = talk.chain.zip(bytes).map(|(before, bytes)| {
            let link = Link { term, seq, kind, epoch, members: &event.members, bytes };
            chain(before, &link)
        });
        talk.seq = seq;
        talk.epoch = if kind == Kind::Message { talk.epoch.max(epoch) } else { epoch.saturating_add(1) };
        let live = self.live.entry(event.conversation).or_default();
        live.waited = None;
        if let Some(hash) = talk.chain {
            live.note(seq, hash);
        }
        let later = live.later.take_if(|head| head.seq <= seq);
        out.save(talk.record());
        // What the other says, and people see, is worth telling that it was read.
        let heard = (talk.heard == seq).then(|| talk.with.clone());
        let by = heard.and_then(|with| self.chain_of(&with)).map(Chain::identity);
        self.mark(tick, event.conversation, mark::Input::Entry { seq, by }, out);
        if let Some(head) = later {
            self.head(tick, &head, out);
        }
        self.acknowledge(tick, event.conversation);
    }

    /// Says what is durable here.
    pub(super) fn ack(&mut self, out: &mut Outbox<Output>) {
        if !self.online() {
            return;
        }
        for id in core::mem::take(&mut self.taken).into_keys() {
            if let Some(talk) = self.talks.get(&id) {
                Self::say(Frame::Have { conversation: id, seq: talk.seq }, out);
            }
        }
    }

    /// An entry was taken, or was here before: the node hears of it, together with others.
    fn acknowledge(&mut self, tick: &Tick, id: ConversationId) {
        let count = self.taken.entry(id).or_default();
        *count = count.saturating_add(1);
        let soon = if *count >= limits::ACK_EVERY { 0 } else { limits::ACK_MS };
        self.timers.by(What::Ack, tick.now.plus(soon));
    }

    /// The key of a conversation's hub.
    fn hub(&self, talk: &Talk) -> Option<NodeKey> {
        if talk.ours {
            return self.own.node.map(|node| node.nk);
        }
        self.contacts.get(&talk.with)?.line.map(|line| line.nk)
    }

    /// Heads came: those that their hub signed are compared with what this device has.
    pub(super) fn heads(&mut self, tick: &Tick, heads: &Heads, out: &mut Outbox<Output>) {
        if heads.leaves.len() > limits::HEADS || heads.heads.len() > heads.leaves.len() {
            return Self::refuse(Who::Node, PeerFault::Frame("heads within bounds"), out);
        }
        let mut signers: Vec<(NodeKey, bool)> = Vec::new();
        for (place, head) in &heads.heads {
            let Some(hub) = self.talks.get(&head.conversation).and_then(|talk| self.hub(talk)) else { continue };
            let known = signers.iter().find(|(nk, _)| *nk == hub).map(|(_, good)| *good);
            let good = known.unwrap_or_else(|| {
                let good = verify_value(hub, &HeadsSigned(&heads.leaves), &heads.signature).is_ok();
                signers.push((hub, good));
                good
            });
            if good && heads.leaves.get(usize::from(*place)) == Some(&head.leaf()) {
                self.head(tick, head, out);
            } else {
                Self::refuse(Who::Conversation(head.conversation), PeerFault::Signature, out);
            }
        }
    }

    /// A head that its hub has signed.
    fn head(&mut self, tick: &Tick, head: &Head, out: &mut Outbox<Output>) {
        let id = head.conversation;
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let live = self.live.entry(id).or_default();
        if head.seq > talk.seq {
            if live.later.is_none_or(|later| later.seq < head.seq) {
                live.later = Some(*head);
            }
            return;
        }
        if talk.chain.is_none() && head.seq == talk.seq {
            // An entry of ours was lost here: the hub's word stands for what it was.
            talk.chain = Some(head.hash);
            live.note(head.seq, head.hash);
        }
        let Some(ours) = at(talk, live, head.seq) else { return };
        if ours != head.hash {
            return self.split(id, head.seq, ours, head.hash, out);
        }
        if head.seq >= talk.sent {
            talk.signed = Some(KnownHead { seq: head.seq, hash: head.hash });
            self.mark(tick, id, mark::Input::Sent(head.seq), out);
        }
        // It rides along with the next entry's record: what a crash forgets of it is heard, and said, again.
        if let Some(talk) = self.talks.get_mut(&id) {
            talk.sent = talk.sent.max(head.seq);
        }
    }

    /// A head that somebody in the conversation has named: it must be ours too.
    pub(super) fn named_head(&mut self, id: ConversationId, head: KnownHead, at_seq: u64, out: &mut Outbox<Output>) {
        let (Some(talk), Some(live)) = (self.talks.get(&id), self.live.get(&id)) else { return };
        match at(talk, live, head.seq) {
            Some(ours) if ours != head.hash => self.split(id, head.seq, ours, head.hash, out),
            // Nobody can know a head of entries that come later, unless there is another log.
            None if head.seq >= at_seq => {
                let ours = talk.chain.unwrap_or(Hash([0; 32]));
                self.split(id, head.seq, ours, head.hash, out);
            }
            Some(_) | None => {}
        }
    }

    /// Two logs of one conversation: the hub is lying, or somebody in it is (attack 75).
    fn split(&mut self, id: ConversationId, seq: u64, ours: Hash, theirs: Hash, out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get_mut(&id) else { return };
        if !talk.broken {
            talk.broken = true;
            out.save(talk.record());
        }
        Self::tell(Told::Alarm(Alarm::SplitView { conversation: id, seq, ours, theirs }), out);
    }
}

/// What the log hashed to at an entry, as far as is remembered.
fn at(talk: &Talk, live: &Live, seq: u64) -> Option<Hash> {
    let signed = talk.signed.filter(|head| head.seq == seq).map(|head| head.hash);
    live.hashes.get(&seq).copied().or(signed).or(talk.chain.filter(|_| talk.seq == seq))
}
