//! How far what was said in one conversation has got: with each person, never with a device. A join: whatever order it comes
//! in, and how often, the same things heard make the same state, and no mark ever falls.
//!
//! ```text
//!   log of the hub   1 2 3 4 5 6 7 8 9            queued ──▶ sent ──▶ delivered ──▶ read
//!   head             ━━━━━━━━━━━━━━━━━▶ taken here    │
//!   sent             ━━━━━━━━━━━━━▶ signed            └─▶ failed, expired: what has no entry
//!   Ann  delivered   ━━━━━━━━━▶       read  ━━━━━ ━
//!   Ben  delivered   ━━━━━━━━━━━━━▶   read  ━━━
//!   this person                       read  ━━━━━━━━ ━    told  ━━━━━
//!                                              │                  ▲
//!                        others' words in it ──┴─ 1 to 2 s later ─┘  once for many, or along with what is said anyway
//! ```
//!
//! Marks are of entries: an edit has its own (attack 45). What somebody says of an entry that isn't there counts for nothing:
//! a reading of entries at or behind its own is refused whole, and what a node says early is one number, which waits.
//!
//! **What was read is told** only of what others said and people see, after a wait that depends on nothing but chance; a
//! reading that another device of the person's has told is told.
//!
//! **A crash forgets** what rides along with the record: what is signed and delivered is said again. Rules and
//! the members are said by the front door when it restores, and up to where the log is taken. Spec: `spec/13-marks.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::canary::{self, Canary};
use crate::fault::{Misuse, PeerFault};
use crate::id::{ContentId, ConversationId, Identity};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::sha256;
use crate::time::{MINUTE, Millis};
use crate::wire::mark::Position;
use crate::wire::record::Rides;

mod book;
mod io;
mod posts;
#[cfg(test)]
mod tests;

use posts::Posts;

pub use io::{Audience, Failure, Input, Mark, Output, Policy, Post, Rules};

/// The marks of one conversation, as a person's device knows them. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    conversation: ConversationId,
    us: Identity,
    rules: Rules,
    /// The last entry that was taken.
    head: Rides,
    /// Up to where the hub has signed; it may be said before the entries come.
    sent: Rides,
    /// The others.
    people: BTreeMap<Identity, Person>,
    /// What this person has read.
    own: Position,
    /// What of it was told.
    told: Position,
    posts: Posts,
    news: News,
    /// Whether somebody has asked since something was told.
    asked: bool,
    wait: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Person {
    /// The first entry that is for them.
    since: u64,
    delivered: Rides,
    read: Position,
}

/// Which entries are something that others said and people see, and that isn't told as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct News {
    /// The newest.
    known: BTreeSet<u64>,
    /// Up to here any may be.
    before: u64,
}

/// When what was read is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wait {
    at: Option<Millis>,
    /// How often it was told in the running minute.
    since: Millis,
    count: u32,
}

impl Marks {
    /// A conversation in which nothing was said.
    #[must_use]
    pub fn new(conversation: ConversationId, us: Identity) -> Self {
        Self {
            conversation,
            us,
            rules: Rules::default(),
            head: Rides::default(),
            sent: Rides::default(),
            people: BTreeMap::new(),
            own: Position::default(),
            told: Position::default(),
            posts: Posts::default(),
            news: News::default(),
            asked: false,
            wait: Wait::default(),
        }
    }

    /// Who this person is, where that wasn't known when the record was read, or they begin anew.
    pub fn is_of(&mut self, us: Identity) {
        self.us = us;
        self.people.remove(&us);
    }

    /// Forgets when it was to be told: who restores it has no chance at hand to draw that from. The next input draws it.
    pub const fn undraw(&mut self) {
        self.wait.at = None;
    }

    /// How far an entry has got with one of the others; `None` where it isn't there, or isn't for them.
    #[must_use]
    pub fn mark(&self, seq: u64, who: Identity) -> Option<Mark> {
        let person = self.people.get(&who).filter(|person| (person.since..=self.head.now).contains(&seq))?;
        Some(if person.read.has(seq) {
            Mark::Read
        } else if seq <= person.delivered.now {
            Mark::Delivered
        } else if seq <= self.sent.now {
            Mark::Sent
        } else {
            Mark::Queued
        })
    }

    /// With how many of the others an entry has got so far, or further.
    #[must_use]
    pub fn count(&self, seq: u64, mark: Mark) -> usize {
        self.people.keys().filter(|who| self.mark(seq, **who).is_some_and(|got| got >= mark)).count()
    }

    /// How far an entry has got with all of the others that it is for; `None` where it isn't there.
    #[must_use]
    pub fn with_all(&self, seq: u64) -> Option<Mark> {
        let alone = if seq <= self.sent.now { Mark::Sent } else { Mark::Queued };
        let least = self.people.keys().filter_map(|who| self.mark(seq, *who)).min();
        (1..=self.head.now).contains(&seq).then_some(least.unwrap_or(alone))
    }

    /// What this person has read, of what is there.
    #[must_use]
    pub fn read(&self) -> Position {
        self.own.until(self.head.now)
    }

    /// What of it was told, or kept to oneself where it came to be told.
    #[must_use]
    pub const fn told(&self) -> Position {
        self.told
    }

    /// What one of the others has read, as they said; of one who isn't among them, nothing.
    #[must_use]
    pub fn reading_of(&self, who: Identity) -> Position {
        self.people.get(&who).map(|person| person.read).unwrap_or_default()
    }

    /// The others.
    pub fn others(&self) -> impl Iterator<Item = Identity> {
        self.people.keys().copied()
    }

    /// Who may hear what, as was last said.
    #[must_use]
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// What became of something of this person's that has no entry, or has just got it.
    #[must_use]
    pub fn post(&self, id: &ContentId) -> Option<Post> {
        self.posts.get(id)
    }

    /// Whether something was read that is to be told.
    #[must_use]
    pub fn waits(&self) -> bool {
        if self.own == self.told {
            return false;
        }
        let read = self.read();
        let known = self.news.known.iter().any(|seq| read.has(*seq) && !self.told.has(*seq));
        known || read.without(&self.told).first().is_some_and(|(first, _)| *first <= self.news.before)
    }

    /// How reading is told here.
    fn policy(&self) -> Policy {
        if canary::is_on(Canary::PolicyIgnored) { Policy::Optional } else { self.rules.policy }
    }

    /// Who is to hear what this person reads.
    #[must_use]
    pub fn audience(&self) -> Audience {
        let tells = match self.policy() {
            Policy::Required => true,
            Policy::Optional => self.rules.choice,
            Policy::Forbidden => false,
        };
        let members = self.people.len().saturating_add(1);
        if !(tells && self.rules.open) {
            Audience::Ourselves
        } else if members <= limits::MARKS_TO_ALL {
            Audience::Everyone
        } else if members <= limits::MARKS_TO_AUTHORS {
            Audience::Authors
        } else if self.asked {
            Audience::Askers
        } else {
            Audience::Ourselves
        }
    }

    /// How many things it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.people.len() + self.posts.len() + self.news.known.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody may say this.
    fn decide(&self, input: &Input) -> Result<(), PeerFault> {
        let member = |who: &Identity| self.people.contains_key(who).then_some(()).ok_or(NO_MEMBER);
        let early = |got: u64| {
            let max = self.head.now.saturating_add(limits::RANGE);
            if got > max { Err(PeerFault::TooBig { what: "entry of a mark", got, max }) } else { Ok(()) }
        };
        match input {
            Input::Sent(upto) => early(*upto),
            Input::Delivered(who, upto) => member(who).and_then(|()| early(*upto)),
            Input::Read { who, at, read } => {
                let (ours, got, max) = (*who == self.us, read.last(), at.saturating_sub(1));
                if !ours {
                    member(who)?;
                    if self.policy() == Policy::Forbidden {
                        return Err(PeerFault::Event("a reading where none is told"));
                    }
                }
                if got > max { Err(PeerFault::TooBig { what: "entry of a mark", got, max }) } else { Ok(()) }
            }
            Input::Members(_)
            | Input::Rules(_)
            | Input::Head { .. }
            | Input::Entry { .. }
            | Input::Saw { .. }
            | Input::Synced(_)
            | Input::Post(..)
            | Input::Asked
            | Input::Along
            | Input::Wake => Ok(()),
        }
    }
}

const NO_MEMBER: PeerFault = PeerFault::Event("a mark of one who is no member");

impl Machine for Marks {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        match self.decide(&input) {
            Ok(()) => self.apply(tick, input, out),
            Err(fault) => out.emit(Output::Refused(fault)),
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.wait.at
    }
}

impl Marks {
    fn apply(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) {
        let to_save = match input {
            Input::Members(members) => self.members(members),
            Input::Rules(rules) => {
                self.rules = rules;
                false
            }
            Input::Head { seq, heard } => {
                self.news.before = self.news.before.max(heard.min(seq));
                self.taken(seq, out);
                false
            }
            Input::Entry { seq, by } => {
                if by.is_some_and(|by| by != self.us) && !self.told.has(seq) {
                    self.news.add(seq);
                }
                self.taken(seq, out);
                false
            }
            Input::Sent(upto) => {
                self.signed(upto, out);
                false
            }
            Input::Delivered(who, upto) => {
                self.delivered(who, upto, out);
                false
            }
            Input::Read { who, at, read } if who == self.us => {
                self.taken(at, out);
                self.read_elsewhere(&read, out)
            }
            Input::Read { who, at, read } => {
                self.taken(at, out);
                self.read_by(who, &read, out)
            }
            Input::Synced(read) => self.read_elsewhere(&read, out),
            Input::Saw { from, to } => {
                let before = self.own;
                self.own.add(from, to.min(self.head.now));
                self.own != before
            }
            Input::Post(id, post) => self.posted(id, post, out),
            Input::Asked => {
                self.asked = true;
                false
            }
            Input::Along => self.waits() && self.audience() != Audience::Ourselves && self.tell(out),
            Input::Wake => self.wake(tick, out),
        };
        if to_save {
            out.save(self.record());
        }
        // It waits from the first of many on; where another device was faster, no more.
        self.wait.at = if self.waits() { self.wait.at.or_else(|| Some(self.later(tick, tick.now))) } else { None };
    }

    /// The log is taken up to here: what was said of it early counts now.
    fn taken(&mut self, seq: u64, out: &mut Outbox<Output>) {
        let before = self.head.now;
        if !self.head.rise(seq) {
            return;
        }
        rose(None, before, self.sent.now.min(seq), Mark::Sent, out);
        for (who, person) in &self.people {
            person.was_delivered(*who, before, person.delivered.now.min(seq), out);
        }
        let came = self.own.until(seq).without(&self.own.until(before));
        all_rose(Some(self.us), came, Mark::Read, out);
    }

    fn signed(&mut self, upto: u64, out: &mut Outbox<Output>) {
        let before = self.sent.now;
        if self.sent.rise(upto) {
            rose(None, before, upto.min(self.head.now), Mark::Sent, out);
        }
    }

    fn delivered(&mut self, who: Identity, upto: u64, out: &mut Outbox<Output>) {
        let Some(person) = self.people.get_mut(&who) else { return };
        let before = person.delivered.now;
        if person.delivered.rise(upto) {
            person.was_delivered(who, before, upto.min(self.head.now), out);
        }
    }

    fn read_by(&mut self, who: Identity, read: &Position, out: &mut Outbox<Output>) -> bool {
        let Some(person) = self.people.get_mut(&who) else { return false };
        let before = person.read;
        if canary::is_on(Canary::ReceiptRegress) {
            person.read = *read;
        } else {
            person.read.join(read);
        }
        let since = person.since.max(1);
        let came = person.read.without(&before).into_iter().map(|(from, to)| (from.max(since), to));
        all_rose(Some(who), came, Mark::Read, out);
        person.read != before
    }

    /// Another device of this person's says what they have read: then it is told too.
    fn read_elsewhere(&mut self, read: &Position, out: &mut Outbox<Output>) -> bool {
        let (own, told) = (self.own, self.told);
        self.own.join(read);
        self.told.join(read);
        self.news.known.retain(|seq| !self.told.has(*seq));
        let came = self.read().without(&own.until(self.head.now));
        all_rose(Some(self.us), came, Mark::Read, out);
        (self.own, self.told) != (own, told)
    }

    fn members(&mut self, mut members: BTreeMap<Identity, u64>) -> bool {
        members.remove(&self.us);
        let new = |since| Person { since, delivered: Rides::default(), read: Position::default() };
        let known = |who| self.people.get(who).copied();
        // Of too many, those of the smallest identities: in so large a conversation none is told of without asking.
        let people: BTreeMap<Identity, Person> = members
            .iter()
            .map(|(who, since)| (*who, known(who).unwrap_or_else(|| new(*since))))
            .take(limits::MARK_PEOPLE)
            .collect();
        let changes = !people.keys().eq(self.people.keys());
        self.people = people;
        changes
    }

    fn posted(&mut self, id: ContentId, post: Post, out: &mut Outbox<Output>) -> bool {
        let ends = |post: Option<Post>| matches!(post, Some(Post::Expired | Post::Failed(_)));
        let before = self.posts.get(&id);
        if before.is_some_and(|known| known >= post) {
            return false;
        }
        let gone = self.posts.keep(id, post);
        out.emit(Output::Post(id, post));
        ends(before) || ends(Some(post)) || ends(gone)
    }

    fn wake(&mut self, tick: &Tick, out: &mut Outbox<Output>) -> bool {
        if self.wait.at.is_none_or(|at| tick.now < at) || !self.waits() {
            return false;
        }
        if tick.now.since(self.wait.since) >= MINUTE || tick.now < self.wait.since {
            (self.wait.since, self.wait.count) = (tick.now, 0);
        }
        if self.wait.count >= limits::READ_TELLS_PER_MINUTE {
            self.wait.at = Some(self.later(tick, self.wait.since.plus(MINUTE)));
            return false;
        }
        self.wait.count = self.wait.count.saturating_add(1);
        self.tell(out)
    }

    /// Tells all that was read; gives that it is to be saved.
    fn tell(&mut self, out: &mut Outbox<Output>) -> bool {
        let read = self.read();
        out.emit(Output::Tell(read, self.audience()));
        self.told.join(&read);
        self.news.known.retain(|seq| !read.has(*seq));
        self.asked = false;
        true
    }

    /// Some time after, whatever was read, and by whom it was said: uniform over a second to two (attack 46).
    fn later(&self, tick: &Tick, after: Millis) -> Millis {
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[b"read jitter", &tick.entropy, &self.conversation.0]).0;
        let jitter = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % limits::READ_MS.saturating_add(1);
        after.plus(limits::READ_MS.saturating_add(jitter))
    }
}

impl News {
    fn add(&mut self, seq: u64) {
        self.known.insert(seq);
        if self.known.len() > limits::MARK_NEWS {
            self.before = self.before.max(self.known.pop_first().unwrap_or_default());
        }
    }
}

impl Person {
    /// Everything behind one entry and up to another has come to their node: what they have read is further already.
    fn was_delivered(&self, who: Identity, behind: u64, to: u64, out: &mut Outbox<Output>) {
        let from = behind.saturating_add(1).max(self.since);
        all_rose(Some(who), self.read.missing(from, to), Mark::Delivered, out);
    }
}

fn rose(who: Option<Identity>, behind: u64, to: u64, mark: Mark, out: &mut Outbox<Output>) {
    all_rose(who, [(behind.saturating_add(1), to)], mark, out);
}

fn all_rose(who: Option<Identity>, ranges: impl IntoIterator<Item = (u64, u64)>, mark: Mark, out: &mut Outbox<Output>) {
    let ranges = ranges.into_iter().filter(|(from, to)| from <= to);
    ranges.for_each(|(from, to)| out.emit(Output::Rose { who, from, to, mark }));
}
