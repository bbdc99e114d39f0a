//! A conversation without a device around it: what it costs to apply one more event, through all machines, to what people are told.
//!
//! ```text
//!   places ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─│ events, heard one by one │ a batch more: counted
//!   up to so many behind the end: in the timeline's pages alone
//! ```

use std::collections::{BTreeMap, VecDeque};

use postline_core::client::io::Event;
use postline_core::client::replay::{Heard, Input, Replay, What};
use postline_core::client::{Client, Command, Ours, Output};
use postline_core::content::message::Fields;
use postline_core::content::part::Part;
use postline_core::content::uri::Uri;
use postline_core::id::{Address, ContentId, ConversationId, Identity};
use postline_core::machine::timeline::Timeline;
use postline_core::step::{Machine as _, Outbox, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use postline_core::wire::content::Content;

use crate::Fault;

/// How many events a batch has.
pub const BATCH: u64 = 100;
/// How many of the last events are heard; those before are places only.
const HEARD: u64 = 1_000;
/// How far back events speak of others.
const BACK: usize = 30;
const TALK: ConversationId = ConversationId([7; 32]);
const NOW: Millis = Millis(1_795_000_000_000);

/// The conversation, its records, and its last events.
#[derive(Debug)]
pub struct Talked {
    replay: Replay,
    disk: BTreeMap<Key, Record>,
    last: VecDeque<Heard>,
    seq: u64,
    read: usize,
    told: Option<Event>,
}

impl Talked {
    /// One of so many events; where `whole`, all of them are heard, however long that takes.
    ///
    /// # Errors
    /// Where the machine refuses what is right.
    pub fn of(events: u64, whole: bool) -> Result<Self, Fault> {
        let ours = Ours { address: Address::parse("reader@a.example")?, hosted: false };
        let mut talked = Self {
            replay: Replay::restore(ours, TALK, [])?,
            disk: BTreeMap::new(),
            last: VecDeque::new(),
            seq: 0,
            read: 0,
            told: None,
        };
        if !whole {
            talked.skip(events.saturating_sub(HEARD))?;
        }
        while talked.seq < events {
            talked.hear()?;
        }
        Ok(talked)
    }

    /// Everything up to a place is there, as far as the timeline knows.
    fn skip(&mut self, to: u64) -> Result<(), Fault> {
        let mut out = Outbox::new();
        self.replay.begin_behind(to, &mut out);
        self.keep(&out);
        let mut timeline = Timeline::new(TALK, None);
        for place in 1..=to {
            while let Some(key) = timeline.wants(place) {
                if let Key::Page(.., level, number) = key {
                    timeline.hydrate(level, number, self.disk.get(&key))?;
                }
            }
            self.disk.extend(timeline.put(place).into_iter().map(|record| (record.key.clone(), record)));
        }
        self.seq = to;
        Ok(())
    }

    /// Applies one batch more. Whether all of it was told.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn apply(&mut self) -> Result<bool, Fault> {
        for _ in 0..BATCH {
            self.hear()?;
        }
        Ok(self.told.is_some())
    }

    /// How many records the last screen reads, on a device that was just started.
    ///
    /// # Errors
    /// Where it shows nothing.
    pub fn screen(&mut self, count: usize) -> Result<usize, Fault> {
        let ours = Ours { address: Address::parse("reader@a.example")?, hosted: false };
        let records = self.disk.values().filter(|record| Client::restored_at_start(&record.key)).cloned();
        self.replay = Replay::restore(ours, TALK, records)?;
        self.read = 0;
        self.step(Input::Command(Command::Show { conversation: TALK, before: None, count }))?;
        match &self.told {
            Some(Event::Screen(screen)) if screen.messages.len() == count => Ok(self.read),
            other => Err(format!("no screen of {count}: {other:?}").into()),
        }
    }

    fn hear(&mut self) -> Result<(), Fault> {
        self.seq += 1;
        let heard = self.next()?;
        self.last.push_back(heard.clone());
        if self.last.len() > BACK {
            self.last.pop_front();
        }
        self.step(Input::Heard(heard))?;
        while self.replay.deadline().is_some_and(|at| at <= NOW) {
            self.step(Input::Wake)?;
        }
        if self.seq.is_multiple_of(BATCH) {
            // As a host does between batches.
            self.replay.idle().iter().for_each(|key| _ = self.replay.forget(key));
        }
        Ok(())
    }

    /// Of ten events six are messages, one an answer, one an edit, one a sign, and one takes something back.
    fn next(&self) -> Result<Heard, Fault> {
        let (seq, author) = (self.seq, Identity([1 + (self.seq % 3) as u8; 32]));
        let mut salt = [9; 16];
        salt[..8].copy_from_slice(&seq.to_be_bytes());
        let words =
            || Part::plain(&format!("something of a usual length that somebody says, for the time number {seq:016}"));
        let back = |far: usize| self.last.len().checked_sub(far).and_then(|at| self.last.get(at));
        let (fields, author, about) = match (seq % 10, back(12), back(9)) {
            (7, Some(to), _) => {
                (Fields { in_reply_to: Some(name(to)), ..Fields::new(salt, words()?) }, author, Some(to.seq))
            }
            (3, Some(of), _) => {
                (Fields::new(salt, words()?).edit(name(of), core::num::NonZeroU32::MIN), of.author, Some(of.seq))
            }
            (2, Some(to), _) => (Fields::react(salt, name(to), "👍")?, author, Some(to.seq)),
            (4, _, Some(of)) if seq % 20 == 4 => (Fields::retract(salt, name(of)), of.author, Some(of.seq)),
            (4, Some(to), Some(_)) => match back(2) {
                Some(sign) => (Fields::withdraw(salt, name(to), name(sign)), sign.author, Some(to.seq)),
                None => (Fields::new(salt, words()?), author, None),
            },
            _ => (Fields::new(salt, words()?), author, None),
        };
        Ok(Heard { seq, author, at: NOW, what: What::Content { content: Content::new(fields)?, about } })
    }

    fn step(&mut self, input: Input) -> Result<(), Fault> {
        loop {
            let wanted = self.replay.wants(&input);
            if wanted.is_empty() {
                break;
            }
            for key in wanted {
                self.read += 1;
                self.replay.hydrate(&key, self.disk.get(&key))?;
            }
        }
        let mut out = Outbox::new();
        self.replay.step(&Tick { now: NOW, entropy: [0; 32] }, input, &mut out)?;
        self.keep(&out);
        for effect in out.effects() {
            if let Output::Event(event) = effect {
                self.told = Some(event.clone());
            }
        }
        Ok(())
    }

    fn keep(&mut self, out: &Outbox<Output>) {
        for record in out.records() {
            match &record.value {
                Some(_) => self.disk.insert(record.key.clone(), record.clone()),
                None => self.disk.remove(&record.key),
            };
        }
    }
}

fn name(heard: &Heard) -> ContentId {
    match &heard.what {
        What::Content { content, .. } => content.id(&Uri::person(heard.author), &Uri::room(TALK)),
        // Nobody speaks of what is done here.
        What::Control(_) => ContentId([0; 32]),
    }
}
