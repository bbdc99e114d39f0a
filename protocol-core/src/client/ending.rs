//! What is to be forgotten: noted when it is said, found when its time has come, and then its words go.
//!
//! ```text
//!   ends at a second ────────────────────────────────────────────▶ seconds, moments ──that second has come──▶ machine/revision
//!   ends after reading ─┬─ another's ──▶ unread ──read here────────▶ │      (the next one alone is a timer)       Expiry: words go
//!                       └─ this person's ──▶ untold ──read there───▶ │
//!                                     └── or UNTOLD_MS later ──────▶ │
//! ```
//!
//! However much is to end, a conversation has one timer, and the record `ends/…` that it is restored from. Which seconds have
//! something, and which entries wait to be read, are sets in pages (machine/timeline); the entries of a second are a stack of
//! records (machine/moment). So a hundred thousand that are to end are neither loaded nor looked through: each is put in, and
//! taken out, at the cost of a few records. Spec: `spec/12-revisions.md`.

use super::Client;
use super::io::Output;
use super::planning::{Wanted, want};
use super::said::{Kept, Role};
use super::timers::What;
use crate::canary::{self, Canary};
use crate::content::message::Expiry;
use crate::id::ConversationId;
use crate::limits;
use crate::machine::mark::Mark;
use crate::machine::revision::Revisions;
use crate::machine::timeline::Found;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;

mod book;

use book::{Ending, after, back, climb};
pub(super) use book::{Endings, Whose, is_of};

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// What lies here was read, and ends at this second; `None`: it has no end any more.
    Wakes(Whose, u64, Option<u64>),
    /// Nothing more of what waits was read.
    Sleeps(Whose),
    /// The time of this entry has come.
    Ends { second: u64, entry: u64 },
    /// More entries of that second are in another record.
    Rises { second: u64, number: u64 },
    /// There are no more, and what ends next does so then.
    Over { second: u64, then: Option<u64> },
}

impl Client {
    /// The records that noting an entry's end takes.
    pub(super) fn wanted_to_note(&self, id: ConversationId, seq: u64, kept: &Kept, wanted: &mut Wanted) {
        let none = Ending::new(id);
        let ending = self.endings.talks.get(&id).unwrap_or(&none);
        match (kept.ends(), kept.role) {
            (Some(Expiry::At(second)), role) => {
                ending.wants(second.into(), wanted);
                if role == Role::Message {
                    want(self.views.messages.get(&(id, seq, kept.id)), wanted, || Key::Message(id, seq, kept.id));
                }
            }
            (Some(Expiry::AfterReading(seconds)), Role::Message) => {
                if let Some(second) = self.surely(kept, seconds) {
                    ending.wants(second, wanted);
                }
                let places = &ending.asleep(self.whose(kept)).places;
                climb(places, seq, places.wants(seq), wanted);
            }
            _ => {}
        }
    }

    /// Whose reading counts of an entry.
    fn whose(&self, kept: &Kept) -> Whose {
        let own = kept.by.as_ref().is_none_or(|by| by.author == self.ours.address);
        if own { Whose::Others } else { Whose::Ourselves }
    }

    /// When what ends after reading ends whether it was read or not: the author's own, since nobody may ever tell that they read
    /// it; and at once what goes on as a mail, of which nobody ever says that it was read ([X-4], [X-7]).
    fn surely(&self, kept: &Kept, seconds: u32) -> Option<u64> {
        match self.whose(kept) {
            Whose::Others => Some(after(kept.at.plus(limits::UNTOLD_MS), kept.at, seconds)),
            Whose::Ourselves if self.ours.hosted => Some(after(kept.at, kept.at, seconds)),
            Whose::Ourselves => None,
        }
    }

    /// Notes when an entry ends, where it does; whether that is over.
    pub(super) fn note_end(&mut self, id: ConversationId, seq: u64, out: &mut Outbox<Output>) -> bool {
        let Some(Some(kept)) = self.said.get(&(id, seq)) else { return false };
        if kept.is_over(self.now) {
            return true;
        }
        match (kept.ends(), kept.role) {
            (Some(Expiry::At(second)), _) => self.endings.of(id).put(second.into(), seq, out),
            (Some(Expiry::AfterReading(seconds)), Role::Message) => {
                let (whose, surely) = (self.whose(kept), self.surely(kept, seconds));
                let was_read = self.was_read(id, whose, seq);
                let ending = self.endings.of(id);
                if let Some(second) = surely {
                    ending.put(second, seq, out);
                }
                ending.put_to_sleep(whose, seq, out);
                if was_read {
                    let asleep = ending.asleep_mut(whose);
                    asleep.since = asleep.since.or(Some(self.now));
                }
            }
            _ => return false,
        }
        self.ending_changed(id, out);
        false
    }

    /// Whether an entry was read by whom that counts.
    pub(super) fn was_read(&self, id: ConversationId, whose: Whose, seq: u64) -> bool {
        self.marks.get(&id).is_some_and(|marks| match whose {
            Whose::Ourselves => marks.read().has(seq),
            Whose::Others => marks.with_all(seq) == Some(Mark::Read),
        })
    }

    /// Whether the time of an entry is over, or runs since it was read: such a one is told to no newer device.
    pub(super) fn is_ending(&self, id: ConversationId, seq: u64, kept: &Kept) -> bool {
        let runs = matches!(kept.ends(), Some(Expiry::AfterReading(_)));
        kept.is_over(self.now) || (runs && self.was_read(id, self.whose(kept), seq))
    }

    /// Something was read then: what waits for it ends so much later.
    pub(super) fn reading_counts(&mut self, id: ConversationId, whose: Whose, since: Millis, out: &mut Outbox<Output>) {
        let now = self.now;
        let Some(ending) = self.endings.talks.get_mut(&id) else { return };
        let asleep = ending.asleep_mut(whose);
        if asleep.count > 0 {
            let since = since.min(now);
            asleep.since = Some(asleep.since.map_or(since, |known| known.min(since)));
            self.ending_changed(id, out);
        }
    }

    /// Keeps what has changed, and sets the timer.
    fn ending_changed(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(ending) = self.endings.talks.get(&id) else { return };
        out.save(ending.record());
        let deadline = ending.deadline();
        self.timers.set(What::Ends(id), deadline);
    }

    /// What has come to its end in a conversation goes, as much as one step may.
    pub(super) fn end_some(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        self.endings.hungry.remove(&id);
        let mut changed = false;
        for _ in 0..limits::CLIENT_BATCH {
            let mut wanted = Wanted::new();
            let next = self.next_ending(id, &mut wanted);
            if !wanted.is_empty() {
                self.endings.hungry.insert(id);
                break;
            }
            let Some(next) = next else { break };
            self.carry_out_ending(tick, id, next, out);
            changed = true;
        }
        let Some(ending) = self.endings.talks.get(&id) else { return };
        if changed {
            out.save(ending.record());
        }
        let waits = self.endings.hungry.contains(&id);
        let deadline = if waits { Some(tick.now) } else { ending.deadline() };
        self.timers.set(What::Ends(id), deadline);
    }

    /// What is to be done next, where its time has come; what that takes is wanted first.
    pub(super) fn wanted_to_end_some(&self, id: ConversationId, wanted: &mut Wanted) {
        self.next_ending(id, wanted);
    }

    fn next_ending(&self, id: ConversationId, wanted: &mut Wanted) -> Option<Next> {
        let ending = self.endings.talks.get(&id)?;
        for whose in [Whose::Ourselves, Whose::Others] {
            if let Some(since) = ending.asleep(whose).since {
                return self.next_read(ending, whose, since, wanted);
            }
        }
        let second = ending.next.filter(|second| Millis::from_unix_seconds(*second) <= self.now)?;
        let top = ending.moments.get(&(second, 0));
        want(top, wanted, || Key::Moment(id, second, 0));
        Some(match (top?.last(), top?.below()) {
            (Some(entry), _) => {
                self.wanted_to_end(id, entry, wanted);
                Next::Ends { second, entry }
            }
            (None, Some(number)) => {
                want(ending.moments.get(&(second, number)), wanted, || Key::Moment(id, second, number));
                Next::Rises { second, number }
            }
            (None, None) => {
                let (pages, at) = (&ending.seconds, back(second));
                climb(pages, at, pages.wants_to_take(at), wanted);
                let then = match pages.before(at) {
                    Found::Place(then) => then.map(back),
                    Found::Wants(key) => {
                        climb(pages, at, Some(key), wanted);
                        None
                    }
                };
                Next::Over { second, then }
            }
        })
    }

    /// Something that waits and was read: the last of it first, each once.
    fn next_read(&self, ending: &Ending, whose: Whose, since: Millis, wanted: &mut Wanted) -> Option<Next> {
        let (id, places) = (ending.id, &ending.asleep(whose).places);
        let marks = self.marks.get(&id)?;
        let last = match whose {
            Whose::Ourselves => marks.read().last(),
            Whose::Others => marks.others().map(|who| marks.reading_of(who).last()).min().unwrap_or_default(),
        };
        let mut at = last.saturating_add(1);
        loop {
            match places.before(at) {
                Found::Wants(key) => {
                    climb(places, at, Some(key), wanted);
                    return None;
                }
                Found::Place(None) => return Some(Next::Sleeps(whose)),
                // Behind what is read whole, a few may lie that weren't.
                Found::Place(Some(place)) if !self.was_read(id, whose, place) => at = place,
                Found::Place(Some(place)) => {
                    climb(places, place, places.wants_to_take(place), wanted);
                    let kept = self.kept(id, place, wanted);
                    let ends = kept.and_then(|kept| match kept.ends() {
                        Some(Expiry::AfterReading(seconds)) => Some(after(since, kept.at, seconds)),
                        Some(Expiry::At(_)) | None => None,
                    });
                    if let Some(second) = ends {
                        ending.wants(second, wanted);
                    }
                    return Some(Next::Wakes(whose, place, ends));
                }
            }
        }
    }

    /// The records that ending an entry takes.
    fn wanted_to_end(&self, id: ConversationId, seq: u64, wanted: &mut Wanted) {
        let Some(kept) = self.kept(id, seq, wanted) else { return };
        self.wanted_to_name(kept, wanted);
        if kept.content.is_none() || kept.role != Role::Message {
            return;
        }
        self.wanted_pins(id, wanted);
        let known = self.views.messages.get(&(id, seq, kept.id));
        want(known, wanted, || Key::Message(id, seq, kept.id));
        for words in known.into_iter().flatten().flat_map(Revisions::words) {
            let kept = self.kept(id, words, wanted);
            kept.into_iter().for_each(|kept| self.wanted_to_name(kept, wanted));
        }
    }

    fn carry_out_ending(&mut self, tick: &Tick, id: ConversationId, next: Next, out: &mut Outbox<Output>) {
        let ending = self.endings.of(id);
        match next {
            Next::Wakes(whose, place, ends) => {
                let asleep = ending.asleep_mut(whose);
                asleep.places.take(place).into_iter().for_each(|record| out.save(record));
                asleep.count = asleep.count.saturating_sub(1);
                if let Some(second) = ends {
                    ending.put(second, place, out);
                }
            }
            Next::Sleeps(whose) => ending.asleep_mut(whose).since = None,
            Next::Ends { second, entry } => {
                if let Some(top) = ending.moments.get_mut(&(second, 0)) {
                    top.take();
                    out.save(top.record(id, second, 0));
                }
                self.end_entry(tick, id, entry, out);
            }
            Next::Rises { second, number } => {
                let below = ending.moments.remove(&(second, number)).unwrap_or_default();
                out.save(Record::remove(Key::Moment(id, second, number)));
                if let Some(top) = ending.moments.get_mut(&(second, 0)) {
                    top.come_up(below);
                    out.save(top.record(id, second, 0));
                }
            }
            Next::Over { second, then } => {
                ending.moments.remove(&(second, 0));
                ending.seconds.take(back(second)).into_iter().for_each(|record| out.save(record));
                ending.next = then;
            }
        }
    }

    /// The time of an entry is over: its words go, and with a message's all of its versions'.
    fn end_entry(&mut self, tick: &Tick, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        let Some(Some(kept)) = self.said.get(&(id, seq)) else { return };
        if kept.content.is_none() || canary::is_on(Canary::WordsOutlive) {
            return;
        }
        match kept.role {
            Role::Message => self.message_is_over(tick, id, seq, out),
            // Of a message that hasn't come: what came of the others went with theirs.
            Role::Edit(_) => self.forget_words(id, seq, out),
            Role::Aside | Role::Act(_) => {}
        }
    }
}
