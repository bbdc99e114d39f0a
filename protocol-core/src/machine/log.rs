//! The log of one conversation at one node: as its hub, which gives what is posted its order, or as a follower, which
//! keeps what the hub says. Both hand it on to those who read it.
//!
//! ```text
//!   as the hub                                          as a follower
//!
//!   Post ──▶ taken before? ─ yes ─▶ said again          Event ──▶ the next? ─ no ──▶ Ask Range, once
//!             │ no                                                  │ yes         (an older one: Have again)
//!             ▼                                                     ▼
//!         may it follow? ─ no ─▶ Unposted                         Took ──batch end──▶ Have to the hub
//!             │ yes                                                 │
//!             ▼                                                     │
//!           Took: seq + 1, chain ──────────┬────────────────────────┘
//!                                          ▼
//!                 readers: member nodes (of the hub), devices of members here
//!
//!   a reader:   Attach ──▶ acked … sent … seq ──Feed: Event, within its window──▶ ──Have──▶ acked rises, Delivered
//!                             ▲                                                  │
//!                             └── Ask Range: back to there; it is gone, Detach ──┘
//! ```
//!
//! **Taken once.** A device numbers its posts, rising over all conversations, and keeps each until it sees its event. A
//! post is taken only if its number is greater than the last that was taken of that device. Since every way keeps the
//! order, an event of a greater number says that a smaller one that has not come was not taken.
//!
//! **One commit an epoch.** A commit must end the epoch that the log is in; a message may be of that or of the last
//! [`EPOCHS`](crate::limits::EPOCHS) before it. The rest is the devices' to judge: nothing here is opened, or verified.
//!
//! **A crash forgets** who was reading, and what readers acked since the record was last written: they get it again.
//!
//! Who may post, who is where, and what goes over which connection is the front door's. Spec: `spec/09-hub.md`.

use std::collections::BTreeMap;

use crate::fault::{Misuse, PeerFault, RestoreError};
use crate::id::{Address, ConversationId, DeviceTag, NodeKey};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::log::{Link, chain};
use crate::wire::record::Rides;
use crate::wire::talk::{Event, Head, Kind, Post, Question, Talk};

mod book;
mod feed;
mod io;
#[cfg(test)]
mod tests;

use book::{Book, Device, Entry, Home, Member};
use feed::{Feed, Recent, Who};
pub use io::{Input, Output, Via};

/// The log of one conversation at one node.
#[derive(Debug, PartialEq, Eq)]
pub struct Log {
    conversation: ConversationId,
    book: Book,
    recent: Recent,
    feeds: BTreeMap<Via, Feed>,
    /// Of a follower: after which entry, and over which connection, it asked for more.
    asked: Option<(Via, u64)>,
    /// Of a follower: whether the hub is to hear what it has.
    owes: Owes,
}

/// Who reads a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A member's node.
    Node(NodeKey),
    /// A device of a member of ours.
    Device(DeviceTag, Address),
}

/// Whether a follower is to say what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owes {
    Nothing,
    /// So many entries that came from here: nobody waits for it, and it goes with the next that somebody waits for.
    Later(u64),
    Now,
}

/// What is done about a post.
enum Change {
    Take(Entry, (usize, DeviceTag), u64, Option<usize>),
    /// It was taken before, at this place; 0 where only a later one is known.
    Again(u64),
}

impl Log {
    /// A conversation that begins. `members` are in order, each with their node; `None` is this one. So it is for `hub`.
    #[must_use]
    pub fn new(conversation: ConversationId, hub: Option<NodeKey>, members: Vec<(Address, Option<NodeKey>)>) -> Self {
        let mut homes: Vec<Home> = Vec::new();
        let mut home = |nk: Option<NodeKey>| {
            let known = homes.iter().position(|home| home.nk == nk);
            known.unwrap_or_else(|| {
                homes.push(Home { nk, acked: Rides::default(), wrote: 0 });
                homes.len() - 1
            })
        };
        let hub = home(hub);
        let member = |(address, nk)| Member { address, home: home(nk), delivered: Rides::default(), told: 0 };
        let members = members.into_iter().map(member).collect();
        Self::of(conversation, Book::new(conversation, hub, homes, members))
    }

    fn of(conversation: ConversationId, book: Book) -> Self {
        let (recent, feeds) = (Recent::default(), BTreeMap::new());
        Self { conversation, book, recent, feeds, asked: None, owes: Owes::Nothing }
    }

    /// A conversation of which there is a record.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(conversation: ConversationId, record: &Record) -> Result<Self, RestoreError> {
        Ok(Self::of(conversation, Book::restore(record)?))
    }

    /// What is left of it after a crash, all its records stored.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        Self::of(self.conversation, self.book.as_saved())
    }

    /// Whose log it is.
    #[must_use]
    pub const fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// The node that orders it; `None`: this one.
    #[must_use]
    pub fn hub(&self) -> Option<NodeKey> {
        self.book.homes.get(self.book.hub).and_then(|home| home.nk)
    }

    /// Whether this node orders it.
    #[must_use]
    pub fn is_hub(&self) -> bool {
        self.hub().is_none()
    }

    /// The last entry; 0 where there is none.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.book.seq
    }

    /// Its head, as the hub signs it.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { conversation: self.conversation, term: 0, seq: self.book.seq, hash: self.book.hash }
    }

    /// Its members, each with their node; `None` is this one.
    pub fn members(&self) -> impl Iterator<Item = (&Address, Option<NodeKey>)> {
        let home = |member: &Member| self.book.homes.get(member.home).and_then(|home| home.nk);
        self.book.members.iter().map(move |member| (&member.address, home(member)))
    }

    /// The other nodes that have members.
    pub fn nodes(&self) -> impl Iterator<Item = NodeKey> {
        self.book.homes.iter().filter_map(|home| home.nk)
    }

    /// The other nodes that have something to hear: an entry that they haven't acked, or a mark.
    pub fn behind(&self) -> impl Iterator<Item = NodeKey> {
        self.book.homes.iter().filter(|home| home.acked.now < self.book.seq).filter_map(|home| home.nk)
    }

    /// Whether a commit that somebody waits for should take something along.
    #[must_use]
    pub fn rides(&self) -> bool {
        !self.book.is_saved()
    }

    /// Whether nothing would be lost by forgetting it, but for what goes to readers for whom `lives` says no.
    #[must_use]
    pub fn is_idle(&self, lives: impl Fn(Via) -> bool) -> bool {
        let busy = |(via, feed): (&Via, &Feed)| feed.is_busy(self.book.seq) && lives(*via);
        self.book.is_saved() && self.owes != Owes::Now && !self.feeds.iter().any(busy)
    }

    /// Whether what the hub is owed should go along with the next that goes there, before it costs a packet of its own.
    #[must_use]
    pub const fn owes_along(&self) -> bool {
        matches!(self.owes, Owes::Later(some) if some >= limits::HAVE_LATER / 2)
    }

    /// How many bytes of entries are in memory.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.recent.bytes()
    }

    /// How many entries are in memory, and on the way.
    #[must_use]
    pub fn size(&self) -> usize {
        self.recent.len() + self.feeds.values().map(Feed::items).max().unwrap_or_default()
    }

    /// Lets the entries that are in memory go: they are read back where they are needed.
    pub fn shed(&mut self) {
        self.recent.shed();
    }

    /// Brings an entry that [`Output::Wants`] named, or its absence.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn bring(&mut self, seq: u64, record: Option<&Record>) -> Result<(), RestoreError> {
        let entry = record.map(Entry::restore).transpose()?;
        self.recent.bring(seq, entry);
        Ok(())
    }

    /// Whether an entry is in memory, or known to be lost.
    #[must_use]
    pub fn has_brought(&self, seq: u64) -> bool {
        self.recent.knows(seq)
    }

    /// Judges a post.
    fn decide(&self, via: Via, post: Post) -> Result<Change, PeerFault> {
        let Some(feed) = self.feeds.get(&via) else { return Err(PeerFault::NoConversation) };
        let Post { origin, kind, epoch, members, bytes, .. } = post;
        let (home, member) = match feed.who() {
            Who::Home(home) => (home, None),
            Who::Device(home, tag) if tag == origin.device => (home, self.member_of(home, tag)),
            Who::Device(..) => return Err(PeerFault::Frame("one's own device")),
        };
        let key = (home, origin.device);
        if let Some(device) = self.book.devices.get(&key).filter(|device| origin.number <= device.number) {
            return Ok(Change::Again(if origin.number == device.number { device.at } else { 0 }));
        }
        if origin.number == 0 {
            return Err(PeerFault::Frame("a number from 1 on"));
        }
        if bytes.len() > limits::EVENT_BYTES {
            return Err(PeerFault::TooBig { what: "event", got: bytes.len() as u64, max: limits::EVENT_BYTES as u64 });
        }
        self.follows(kind, epoch, &members)?;
        Ok(Change::Take(
            Entry { kind, epoch, origin: Some((origin, home)), members, bytes },
            key,
            origin.number,
            member,
        ))
    }

    /// Whether an event may be the next.
    fn follows(&self, kind: Kind, epoch: u64, members: &[Address]) -> Result<(), PeerFault> {
        let now = self.book.epoch;
        match (kind, self.book.seq) {
            (Kind::Create, 0) => {
                let named = members.iter().eq(self.book.members.iter().map(|member| &member.address));
                if named && epoch == 0 { Ok(()) } else { Err(PeerFault::NoConversation) }
            }
            (_, 0) => Err(PeerFault::NoConversation),
            (Kind::Create, _) => Err(PeerFault::Exists),
            (Kind::Commit | Kind::Message, _) if !members.is_empty() => Err(PeerFault::Frame("members of a Create")),
            (Kind::Commit, _) if epoch != now => Err(PeerFault::Epoch { got: epoch, now }),
            (Kind::Message, _) if epoch > now || epoch < now.saturating_sub(limits::EPOCHS) => {
                Err(PeerFault::Epoch { got: epoch, now })
            }
            (Kind::Commit | Kind::Message, _) => Ok(()),
        }
    }

    fn member_of(&self, home: usize, tag: DeviceTag) -> Option<usize> {
        self.book.devices.get(&(home, tag)).and_then(|device| device.member)
    }

    fn post(&mut self, now: Millis, via: Via, post: Post, out: &mut Outbox<Output>) {
        let origin = post.origin;
        match self.decide(via, post) {
            Ok(Change::Take(entry, key, number, member)) => {
                let seq = self.book.seq + 1;
                self.number(key, number, seq, member);
                self.take(now, entry, out);
            }
            Ok(Change::Again(at)) => {
                if let Some(feed) = self.feeds.get_mut(&via) {
                    feed.say_again(at);
                }
            }
            Err(why) => out.emit(Output::Unposted(via, origin, why)),
        }
    }

    /// Remembers a device's number. There is always room for it: the one that was heard of least lately goes.
    fn number(&mut self, key: (usize, DeviceTag), number: u64, at: u64, member: Option<usize>) {
        let (home, _) = key;
        let at_home = self.book.members.iter().filter(|member| member.home == home).count();
        let of_home = (home, DeviceTag([0; 8]))..=(home, DeviceTag([0xff; 8]));
        if !self.book.devices.contains_key(&key)
            && self.book.devices.range(of_home.clone()).count() >= at_home.max(1) * limits::TAGS
        {
            let heard = |device: &Device| device.at.max(device.acked.now);
            let attached = |key: &(usize, DeviceTag)| self.feeds.values().any(|f| f.who() == Who::Device(key.0, key.1));
            let free = self.book.devices.range(of_home).filter(|(key, _)| !attached(key));
            if let Some(oldest) = free.min_by_key(|(_, device)| heard(device)).map(|(key, _)| *key) {
                self.book.devices.remove(&oldest);
            }
        }
        let device = Device { member, number: 0, at: 0, acked: Rides::default() };
        let device = self.book.devices.entry(key).or_insert(device);
        if at > 0 {
            (device.number, device.at) = (number, at);
        }
    }

    /// Puts an entry behind the last.
    fn take(&mut self, now: Millis, entry: Entry, out: &mut Outbox<Output>) {
        let book = &mut self.book;
        let seq = book.seq + 1;
        let link =
            Link { term: 0, seq, kind: entry.kind, epoch: entry.epoch, members: &entry.members, bytes: &entry.bytes };
        (book.hash, book.seq) = (chain(book.hash, &link), seq);
        if matches!(entry.kind, Kind::Create | Kind::Commit) {
            book.epoch = entry.epoch.saturating_add(1);
        }
        if let Some(home) = entry.origin.and_then(|(_, home)| book.homes.get_mut(home)) {
            home.wrote = seq;
        }
        for member in &mut book.members {
            if book.homes.get(member.home).is_some_and(|home| home.nk.is_none()) {
                member.delivered.rise(seq);
            }
        }
        out.save(entry.record(Key::Entry(self.conversation, seq), now));
        out.save(self.book.save(self.conversation));
        out.emit(Output::Took { seq, origin: entry.origin.map(|(origin, _)| origin) });
        self.recent.push(seq, entry);
        self.feeds.values_mut().for_each(Feed::perhaps);
    }

    /// The hub says an entry.
    fn event(&mut self, now: Millis, via: Via, event: Event, out: &mut Outbox<Output>) {
        let want = self.book.seq + 1;
        if event.seq < want {
            // It has not heard that we have it.
            self.owes = Owes::Now;
            return;
        }
        let Event { seq, term, kind, epoch, origin, members, bytes, .. } = event;
        let (true, Some(bytes)) = (seq == want, bytes) else {
            if self.asked != Some((via, self.book.seq)) {
                self.asked = Some((via, self.book.seq));
                if seq > want {
                    out.emit(Output::Refused(via, PeerFault::Gap { got: seq, want }));
                }
                let to = seq.min(self.book.seq.saturating_add(limits::RANGE));
                let what = Question::Range { conversation: self.conversation, from: want, to };
                out.emit(Output::Tell(Talk::Ask { number: 0, what }));
            }
            return;
        };
        let named = || members.iter().eq(self.book.members.iter().map(|member| &member.address));
        let fits = match kind {
            Kind::Create => seq == 1 && named(),
            Kind::Commit | Kind::Message => seq > 1 && members.is_empty(),
        };
        if term != 0 || !fits || bytes.len() > limits::EVENT_BYTES {
            return out.emit(Output::Refused(via, PeerFault::Frame("an entry that may follow")));
        }
        let here = self.book.homes.iter().position(|home| home.nk.is_none());
        self.asked = None;
        self.owes = match (self.owes, origin) {
            // Where there is a third node, its people wait to hear that ours have it.
            (Owes::Nothing, Some(_)) if self.book.homes.len() <= 2 => Owes::Later(1),
            (Owes::Later(some), Some(_)) if some + 1 < limits::HAVE_LATER => Owes::Later(some + 1),
            _ => Owes::Now,
        };
        self.take(now, Entry { kind, epoch, origin: origin.zip(here), members, bytes }, out);
    }

    /// The hub says how far a member has it.
    fn delivered(&mut self, via: Via, address: &Address, seq: u64, out: &mut Outbox<Output>) {
        let homes = &self.book.homes;
        let elsewhere = |member: &&mut Member| homes.get(member.home).is_some_and(|home| home.nk.is_some());
        let member = self.book.members.iter_mut().find(|member| member.address == *address);
        match member.filter(elsewhere) {
            Some(member) => _ = member.delivered.rise(seq),
            None => out.emit(Output::Refused(via, PeerFault::NoConversation)),
        }
    }

    /// Says what is said once a batch.
    fn batch_end(&mut self, now: Millis, rides: bool, out: &mut Outbox<Output>) {
        if self.owes == Owes::Now {
            self.owes = Owes::Nothing;
            out.emit(Output::Tell(Talk::Have { conversation: self.conversation, seq: self.book.seq }));
        }
        for index in 0..self.book.members.len() {
            self.tell_delivered(index, out);
        }
        if rides {
            self.drop_entries(now, out);
        }
        if rides && self.rides() {
            out.save(self.book.save(self.conversation));
        }
        self.recent.keep_for(self.feeds.values(), self.book.seq);
        self.recent.stored();
    }

    /// Tells how far a member has it, where that is news: devices of the others, and nodes that wrote some of it.
    fn tell_delivered(&mut self, index: usize, out: &mut Outbox<Output>) {
        let Some(member) = self.book.members.get_mut(index) else { return };
        let (told, seq) = (member.told, member.delivered.now.min(self.book.seq));
        if seq <= told {
            return;
        }
        member.told = seq;
        let (home, address) = (member.home, member.address.clone());
        for (via, feed) in &self.feeds {
            let tells = match feed.who() {
                Who::Home(of) => {
                    of != home && self.book.homes.get(of).is_some_and(|of| of.wrote > told) && self.is_hub()
                }
                Who::Device(of, tag) => self.member_of(of, tag) != Some(index),
            };
            if tells {
                let (conversation, member) = (self.conversation, address.clone());
                out.emit(Output::Say(*via, Talk::Delivered { conversation, member, seq }));
            }
        }
    }

    /// Lets entries go that everybody here has, once they have been kept for their time: some with each commit.
    fn drop_entries(&mut self, now: Millis, out: &mut Outbox<Output>) {
        let (last, since) = self.book.mark;
        if now.since(since) < limits::ENTRY_MS {
            return;
        }
        let book = &mut self.book;
        let nodes = book.homes.iter().enumerate().filter(|(index, home)| home.nk.is_some() && *index != book.hub);
        let nodes = nodes.map(|(_, home)| home.acked.now).filter(|_| book.hub_is_here());
        let devices = book.devices.values().filter(|device| device.member.is_some()).map(|device| device.acked.now);
        let all_have = nodes.chain(devices).min().unwrap_or(book.seq);
        let to = last.min(all_have).min(book.floor.saturating_add(limits::DROPS));
        for seq in book.floor + 1..=to {
            out.save(Record::remove(Key::Entry(self.conversation, seq)));
        }
        book.floor = book.floor.max(to);
        if book.floor >= last.min(all_have) {
            // These are gone, or somebody still lacks them: what is here now is kept for as long again.
            book.mark = (book.seq, now);
        }
        out.save(self.book.save(self.conversation));
    }
}

impl Machine for Log {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        match input {
            Input::Attach(via, reader) => self.attach(via, &reader, out)?,
            Input::Detach(via) => self.end(via, out),
            Input::Post(..) if !self.is_hub() => return Err(Misuse::OutOfPlace("a post goes to the hub")),
            Input::Event(..) | Input::Delivered(..) | Input::Along if self.is_hub() => {
                return Err(Misuse::OutOfPlace("the hub hears from nobody"));
            }
            Input::Post(via, post) => self.post(tick.now, via, *post, out),
            Input::Event(via, event) => self.event(tick.now, via, *event, out),
            Input::Have(via, seq) => self.have(via, seq, out),
            Input::Unwanted(via) => self.unwanted(via, out),
            Input::Range { via, number, from, to } => self.range(via, number, from, to, out),
            Input::Feed { via, items, bytes } => self.feed(via, items, bytes, out),
            Input::Delivered(via, member, seq) => self.delivered(via, &member, seq, out),
            Input::Along => self.owes = Owes::Now,
            Input::BatchEnd { rides } => self.batch_end(tick.now, rides, out),
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}
