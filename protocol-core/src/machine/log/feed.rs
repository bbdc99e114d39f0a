//! Those who read a log, and the entries that are kept in memory for them.
//!
//! ```text
//!   floor …… acked ═══ on the way ═══ sent ─── to come ─── seq
//!              │           ▲            │
//!              └── Have ───┘            └── Feed: as the window allows
//! ```
//!
//! A reader that asks for entries beyond what it acked goes back to there. One that asks for older ones gets those, and
//! then goes on where it was: it says Have again when they have come.

use std::collections::{BTreeMap, VecDeque};

use super::book::Entry;
use super::{Log, Output, Reader, Via};
use crate::fault::{Code, Misuse, PeerFault};
use crate::id::DeviceTag;
use crate::limits;
use crate::step::Outbox;
use crate::time::Millis;
use crate::wire::talk::{Event, Finding, Talk};

/// Who reads: a home, or a device of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Home(usize),
    Device(usize, DeviceTag),
}

/// Whether a reader takes what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Yes,
    /// Not for now.
    No,
    /// Perhaps again: one entry finds out.
    Perhaps,
}

/// Somebody who reads, on one connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Feed {
    who: Who,
    /// The last entry that went.
    sent: u64,
    /// What the reader posted after this entry came over this connection: it still has the bytes.
    posts_after: u64,
    want: Want,
    /// What went and was not acked: seq and bytes.
    flight: VecDeque<(u64, usize)>,
    bytes: usize,
    /// Older entries that are wanted again: the next, and the last.
    detour: Option<(u64, u64)>,
    /// The number of the question that the detour answers.
    question: Option<u64>,
    /// The last entry of which the reader was given a signed head, and when.
    headed: (u64, Millis),
}

impl Feed {
    pub(super) const fn who(&self) -> Who {
        self.who
    }

    /// Whether something is on its way to the reader, or to come.
    pub(super) fn is_busy(&self, seq: u64) -> bool {
        !self.flight.is_empty() || (self.want != Want::No && self.next() <= seq)
    }

    pub(super) fn items(&self) -> usize {
        self.flight.len()
    }

    /// The entry that goes next.
    fn next(&self) -> u64 {
        self.detour.map_or(self.sent + 1, |(next, _)| next)
    }

    /// There is something new: whoever took nothing is asked again.
    pub(super) fn perhaps(&mut self) {
        if self.want == Want::No {
            self.want = Want::Perhaps;
        }
    }

    /// An entry that went is wanted once more.
    pub(super) const fn say_again(&mut self, seq: u64) {
        if seq > 0 && seq <= self.sent && self.detour.is_none() {
            self.detour = Some((seq, seq));
        }
    }

    /// Goes on behind `seq`; what was on the way counts no more.
    fn restart(&mut self, seq: u64) -> (usize, usize) {
        self.sent = seq;
        self.settled(u64::MAX)
    }

    /// What is on the way up to `seq` has arrived.
    fn settled(&mut self, seq: u64) -> (usize, usize) {
        let (items, bytes) = (self.flight.len(), self.bytes);
        self.flight.retain(|(at, _)| *at > seq);
        self.bytes = self.flight.iter().map(|(_, len)| len).sum();
        (items - self.flight.len(), bytes - self.bytes)
    }
}

/// The entries that are in memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    /// `None`: looked for, and lost.
    entries: BTreeMap<u64, Option<Entry>>,
    bytes: usize,
    /// The first entry of the batch that runs: from there on nothing is in the store yet.
    fresh: Option<u64>,
}

impl Recent {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn knows(&self, seq: u64) -> bool {
        self.entries.contains_key(&seq)
    }

    /// A new entry: here for as long as it isn't in the store, whether there is room or not. Looked for there before, it
    /// would count as lost.
    pub(super) fn push(&mut self, seq: u64, entry: Entry) {
        self.fresh.get_or_insert(seq);
        self.bring(seq, Some(entry));
    }

    /// The batch ends: its entries are in the store before anybody looks for them. What there is no room for is read back
    /// once it is needed.
    pub(super) fn stored(&mut self) {
        self.fresh = None;
        while self.bytes > limits::RECENT_BYTES || self.entries.len() > limits::RECENT {
            let Some((_, last)) = self.entries.pop_last() else { return };
            self.bytes -= last.map_or(0, |entry| entry.bytes.len());
        }
    }

    /// Lets go what is in the store.
    pub(super) fn shed(&mut self) {
        let Some(fresh) = self.fresh else { return *self = Self::default() };
        self.entries = self.entries.split_off(&fresh);
        self.bytes = self.entries.values().flatten().map(|entry| entry.bytes.len()).sum();
    }

    pub(super) fn bring(&mut self, seq: u64, entry: Option<Entry>) {
        self.bytes += entry.as_ref().map_or(0, |entry| entry.bytes.len());
        if let Some(Some(before)) = self.entries.insert(seq, entry) {
            self.bytes -= before.bytes.len();
        }
    }

    /// Lets go what no reader waits for.
    pub(super) fn keep_for<'f>(&mut self, feeds: impl Iterator<Item = &'f Feed>, seq: u64) {
        let needed = feeds.filter(|feed| feed.want != Want::No).map(Feed::next).min().filter(|next| *next <= seq);
        match needed {
            None => *self = Self::default(),
            Some(needed) => {
                while let Some(first) = self.entries.first_entry().filter(|first| *first.key() < needed) {
                    self.bytes -= first.remove().map_or(0, |entry| entry.bytes.len());
                }
            }
        }
    }
}

impl Log {
    /// Whether somebody reads over this connection.
    #[must_use]
    pub fn is_attached(&self, via: Via) -> bool {
        self.feeds.contains_key(&via)
    }

    /// Those who read and have something to come.
    pub fn waiting(&self) -> impl Iterator<Item = Via> {
        let waits = |feed: &Feed| feed.want != Want::No && feed.next() <= self.book.seq;
        self.feeds.iter().filter(move |(_, feed)| waits(feed)).map(|(via, _)| *via)
    }

    /// Those who are to hear of the head that is signed now. A device here always; a node where its people wrote something
    /// and wait for it, else no more often than [`HEADS_MS`](limits::HEADS_MS): it hears the next.
    pub fn heads_due(&mut self, now: Millis) -> Vec<Via> {
        let (homes, seq) = (&self.book.homes, self.book.seq);
        let told = self.feeds.iter_mut().filter_map(|(via, feed)| {
            let (last, at) = feed.headed;
            let is_due = match feed.who {
                Who::Home(home) => {
                    let wrote = homes.get(home).is_some_and(|home| home.wrote > last);
                    wrote || now.since(at) >= limits::HEADS_MS || seq - last.min(seq) >= limits::HEADS_ENTRIES
                }
                Who::Device(..) => true,
            };
            is_due.then(|| {
                feed.headed = (seq, now);
                *via
            })
        });
        told.collect()
    }

    /// Those who read.
    pub fn readers(&self) -> impl Iterator<Item = Via> {
        self.feeds.keys().copied()
    }

    pub(super) fn attach(&mut self, via: Via, reader: &Reader, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let book = &self.book;
        let home = |nk| book.homes.iter().position(|home| home.nk == nk);
        let who = match reader {
            Reader::Node(nk) => home(Some(*nk)).map(Who::Home),
            Reader::Device(tag, _) => home(None).map(|home| Who::Device(home, *tag)),
        };
        let who = who.ok_or(Misuse::OutOfPlace("a reader of the conversation"))?;
        if let (Who::Device(home, tag), Reader::Device(_, address)) = (who, reader) {
            let is_theirs = |member: &super::Member| member.address == *address && member.home == home;
            let member = book.members.iter().position(is_theirs);
            let member = member.ok_or(Misuse::OutOfPlace("a member of this node"))?;
            if !book.devices.contains_key(&(home, tag)) {
                self.number((home, tag), 0, 0, Some(member));
                out.save(self.book.save(self.conversation));
            } else if let Some(device) =
                self.book.devices.get_mut(&(home, tag)).filter(|device| device.member.is_none())
            {
                device.member = Some(member);
                out.save(self.book.save(self.conversation));
            }
        }
        if let Some(before) = self.feeds.iter().find(|(_, feed)| feed.who == who).map(|(via, _)| *via) {
            self.end(before, out);
        }
        let sent = self.acked(who).max(self.book.floor);
        let feed = Feed {
            who,
            sent,
            posts_after: self.book.seq,
            want: Want::Yes,
            flight: VecDeque::new(),
            bytes: 0,
            detour: None,
            question: None,
            headed: (sent, Millis(0)),
        };
        self.feeds.insert(via, feed);
        self.tell_all_delivered(via, who, out);
        Ok(())
    }

    /// A reader that comes hears how far the others have it.
    fn tell_all_delivered(&self, via: Via, who: Who, out: &mut Outbox<Output>) {
        for (index, member) in self.book.members.iter().enumerate() {
            let others = match who {
                Who::Home(home) => {
                    member.home != home && self.is_hub() && self.book.homes.get(home).is_some_and(|h| h.wrote > 0)
                }
                Who::Device(home, tag) => self.member_of(home, tag) != Some(index),
            };
            if others && member.told > 0 {
                let (conversation, seq) = (self.conversation, member.told);
                let member = member.address.clone();
                out.emit(Output::Say(via, Talk::Delivered { conversation, member, seq }));
            }
        }
    }

    pub(super) fn end(&mut self, via: Via, out: &mut Outbox<Output>) {
        if let Some(mut feed) = self.feeds.remove(&via) {
            freed(via, feed.restart(0), out);
        }
    }

    fn acked(&self, who: Who) -> u64 {
        match who {
            Who::Home(home) => self.book.homes.get(home).map_or(0, |home| home.acked.now),
            Who::Device(home, tag) => self.book.devices.get(&(home, tag)).map_or(0, |device| device.acked.now),
        }
    }

    pub(super) fn have(&mut self, via: Via, seq: u64, out: &mut Outbox<Output>) {
        let Some(feed) = self.feeds.get_mut(&via) else { return };
        if seq > self.book.seq {
            return out.emit(Output::Refused(via, PeerFault::Gap { got: seq, want: self.book.seq }));
        }
        feed.want = Want::Yes;
        feed.sent = feed.sent.max(seq);
        let arrived = feed.settled(seq);
        let who = feed.who;
        freed(via, arrived, out);
        match who {
            Who::Home(home) => {
                if let Some(of) = self.book.homes.get_mut(home) {
                    of.acked.rise(seq);
                }
                let theirs = self.book.members.iter_mut().filter(|member| member.home == home);
                theirs.for_each(|member| _ = member.delivered.rise(seq));
            }
            Who::Device(home, tag) => {
                if let Some(device) = self.book.devices.get_mut(&(home, tag)) {
                    device.acked.rise(seq);
                }
            }
        }
    }

    pub(super) fn unwanted(&mut self, via: Via, out: &mut Outbox<Output>) {
        let Some(who) = self.feeds.get(&via).map(|feed| feed.who) else { return };
        let acked = self.acked(who);
        if let Some(feed) = self.feeds.get_mut(&via) {
            (feed.want, feed.detour, feed.question) = (Want::No, None, None);
            freed(via, feed.restart(acked), out);
        }
    }

    pub(super) fn range(&mut self, via: Via, number: u64, from: u64, to: u64, out: &mut Outbox<Output>) {
        let Some(who) = self.feeds.get(&via).map(|feed| feed.who) else { return };
        let acked = self.acked(who);
        let Some(feed) = self.feeds.get_mut(&via) else { return };
        feed.want = Want::Yes;
        let what = if from == 0 || to < from || to - from >= limits::RANGE {
            let (got, max) = (to.saturating_sub(from).saturating_add(1), limits::RANGE);
            out.emit(Output::Refused(via, PeerFault::TooBig { what: "range", got, max }));
            Err(Code::TooBig)
        } else if feed.detour.is_some() {
            Err(Code::Busy)
        } else if from > acked {
            if from <= feed.sent {
                feed.posts_after = u64::MAX;
                freed(via, feed.restart(from - 1), out);
            } else {
                // It has what it says it lacks on its way, or there is nothing more.
                feed.posts_after = u64::MAX;
            }
            Ok(Finding::Sent)
        } else {
            let first = from.max(self.book.floor + 1);
            let last = to.min(self.book.seq);
            if first <= last {
                (feed.detour, feed.question, feed.posts_after) = (Some((first, last)), Some(number), u64::MAX);
                return;
            }
            Ok(Finding::Sent)
        };
        out.emit(Output::Say(via, Talk::Answer { number, what }));
    }

    /// Says as many entries as may go.
    pub(super) fn feed(&mut self, via: Via, mut items: usize, bytes: usize, out: &mut Outbox<Output>) {
        let mut left = bytes;
        while items > 0 && left > 0 {
            let Some(feed) = self.feeds.get(&via).filter(|feed| feed.want != Want::No) else { return };
            let seq = feed.next();
            let most = if feed.want == Want::Yes { limits::FEED_ITEMS } else { 1 };
            let is_full = feed.flight.len() >= most || feed.bytes >= limits::FEED_BYTES;
            if seq > self.book.seq || is_full {
                return;
            }
            let who = feed.who;
            let len = match self.recent.entries.get(&seq) {
                Some(Some(entry)) => {
                    let (event, len) = self.event_for(feed, seq, entry);
                    out.emit(Output::Say(via, Talk::Event(event)));
                    (items, left) = (items - 1, left.saturating_sub(len));
                    Some(len)
                }
                Some(None) if matches!(who, Who::Device(..)) => None,
                // A node can't go on without it: it would follow another chain.
                Some(None) => return,
                None => {
                    let last = seq.saturating_add(limits::READ_BACK - 1).min(self.book.seq);
                    out.emit(Output::Wants(seq, last));
                    return;
                }
            };
            self.went(via, seq, len, out);
        }
    }

    fn event_for(&self, feed: &Feed, seq: u64, entry: &Entry) -> (Event, usize) {
        let author = entry.origin.map(|(origin, home)| (origin.device, home));
        let (is_theirs, has_it) = match (feed.who, author) {
            (Who::Home(home), Some((_, of))) => (of == home, of == home && seq > feed.posts_after),
            (Who::Device(home, tag), Some((device, of))) => {
                let whose = |tag| self.member_of(home, tag);
                (
                    of == home && (tag == device || (whose(tag).is_some() && whose(tag) == whose(device))),
                    of == home && tag == device,
                )
            }
            (_, None) => (false, false),
        };
        let event = Event {
            conversation: self.conversation,
            term: 0,
            seq,
            kind: entry.kind,
            epoch: entry.epoch,
            origin: entry.origin.map(|(origin, _)| origin).filter(|_| is_theirs),
            members: entry.members.clone(),
            bytes: (!has_it).then(|| entry.bytes.clone()),
        };
        let len = limits::EVENT_OVERHEAD + event.bytes.as_ref().map_or(0, Vec::len);
        (event, len)
    }

    /// An entry went, or is passed over.
    fn went(&mut self, via: Via, seq: u64, len: Option<usize>, out: &mut Outbox<Output>) {
        let Some(feed) = self.feeds.get_mut(&via) else { return };
        if let Some(len) = len {
            feed.flight.push_back((seq, len));
            feed.bytes += len;
        }
        match feed.detour {
            None => feed.sent = seq,
            Some((_, last)) if seq < last => feed.detour = Some((seq + 1, last)),
            Some(_) => {
                feed.detour = None;
                if let Some(number) = feed.question.take() {
                    out.emit(Output::Say(via, Talk::Answer { number, what: Ok(Finding::Sent) }));
                }
            }
        }
    }
}

fn freed(via: Via, (items, bytes): (usize, usize), out: &mut Outbox<Output>) {
    if items > 0 {
        out.emit(Output::Freed(via, items, bytes));
    }
}
