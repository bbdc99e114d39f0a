//! A host of a conversation that is made of events: its disk, its memory, and what people may say.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use postline_core::client::io::Snapshot;
use postline_core::client::replay::{Heard, Input, Replay, What};
use postline_core::client::{Client, Command, Event, Ours, Output};
use postline_core::content::message::{Fields, Topic};
use postline_core::content::part::Part;
use postline_core::content::uri::Uri;
use postline_core::id::{Address, ContentId, ConversationId, Identity};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use postline_core::wire::content::Content;
use postline_core::wire::control::{Control, Policy, Target};

pub(crate) const TALK: ConversationId = ConversationId([7; 32]);
pub(crate) const ANN: Identity = Identity([1; 32]);
pub(crate) const BEN: Identity = Identity([2; 32]);
pub(crate) const CAT: Identity = Identity([3; 32]);
pub(crate) const NOW: Millis = Millis(1_795_000_000_000);

pub(crate) type Disk = BTreeMap<Key, Record>;

/// A conversation and where its records lie.
pub(crate) struct Host {
    pub(crate) replay: Replay,
    pub(crate) disk: Disk,
    pub(crate) events: Vec<Event>,
    /// How many records were read.
    pub(crate) read: usize,
}

fn restored(disk: &Disk) -> Replay {
    let ours = Ours { address: Address::parse("ann@a.example").unwrap(), hosted: false };
    let records = disk.values().filter(|record| Client::restored_at_start(&record.key)).cloned();
    Replay::restore(ours, TALK, records).unwrap()
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::on(Disk::new())
    }

    pub(crate) fn on(disk: Disk) -> Self {
        Self { replay: restored(&disk), disk, events: Vec::new(), read: 0 }
    }

    /// One step, committed.
    pub(crate) fn step(&mut self, input: Input) {
        loop {
            let wanted = self.replay.wants(&input);
            if wanted.is_empty() {
                break;
            }
            for key in wanted {
                self.read += 1;
                self.replay.hydrate(&key, self.disk.get(&key)).unwrap();
            }
        }
        let mut out = Outbox::new();
        self.replay.step(&Tick { now: NOW, entropy: [0; 32] }, input, &mut out).unwrap();
        for record in out.records() {
            match &record.value {
                Some(_) => self.disk.insert(record.key.clone(), record.clone()),
                None => self.disk.remove(&record.key),
            };
        }
        self.events.extend(out.effects().filter_map(|effect| match effect {
            Output::Event(event) => Some(event.clone()),
            _ => None,
        }));
    }

    /// All that is due.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if self.replay.deadline().is_none_or(|at| at > NOW) {
                return;
            }
            self.step(Input::Wake);
        }
        panic!("it never ends");
    }

    pub(crate) fn hear(&mut self, heard: &Heard) {
        self.step(Input::Heard(heard.clone()));
        self.settle();
    }

    pub(crate) fn command(&mut self, command: Command) -> Event {
        self.step(Input::Command(command));
        self.settle();
        self.events.last().unwrap().clone()
    }

    pub(crate) fn snapshot_from(&mut self, from: u64) -> Snapshot {
        match self.command(Command::Snapshot { conversation: TALK, from }) {
            Event::Snapshot(snapshot) => snapshot,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        self.snapshot_from(0)
    }

    /// It is killed, and started again from its disk.
    pub(crate) fn restart(&mut self) {
        self.replay = restored(&self.disk);
        self.settle();
    }

    /// All that may be let go of is.
    pub(crate) fn evict(&mut self) {
        for key in self.replay.idle() {
            self.replay.forget(&key);
        }
    }
}

/// What somebody says at a place, and of what.
pub(crate) fn heard(seq: u64, author: Identity, fields: Fields, about: Option<u64>) -> Heard {
    let content = Content::new(fields).unwrap();
    Heard { seq, author, at: Millis(NOW.0 + seq), what: What::Content { content, about } }
}

/// What it is called.
pub(crate) fn name(heard: &Heard) -> ContentId {
    match &heard.what {
        What::Content { content, .. } => content.id(&Uri::person(heard.author), &Uri::room(TALK)),
        // What is done has no name that others could know.
        What::Control(_) => ContentId([1; 32]),
    }
}

fn salt(seq: u64) -> [u8; 16] {
    let mut salt = [9; 16];
    salt[..8].copy_from_slice(&seq.to_be_bytes());
    salt
}

pub(crate) fn message(seq: u64, author: Identity, text: &str) -> Heard {
    heard(seq, author, Fields::new(salt(seq), Part::plain(text).unwrap()), None)
}

/// An answer to what lies elsewhere.
pub(crate) fn answer(seq: u64, author: Identity, to: &Heard) -> Heard {
    let fields = Fields {
        in_reply_to: Some(name(to)),
        topic: Topic::from_first(name(to)),
        ..Fields::new(salt(seq), Part::plain("an answer").unwrap())
    };
    heard(seq, author, fields, Some(to.seq))
}

/// Other words for what lies elsewhere.
pub(crate) fn edit(seq: u64, author: Identity, first: &Heard, no: u32) -> Heard {
    let words = Part::plain(&format!("edited at {seq}")).unwrap();
    let fields = match &first.what {
        What::Content { content, .. } => {
            let Fields { topic, expires, in_reply_to, .. } = content.fields().clone();
            Fields { topic, expires, in_reply_to, ..Fields::new(salt(seq), words) }
        }
        What::Control(_) => Fields::new(salt(seq), words),
    };
    heard(seq, author, fields.edit(name(first), NonZeroU32::new(no).unwrap()), Some(first.seq))
}

pub(crate) fn retract(seq: u64, author: Identity, first: &Heard) -> Heard {
    heard(seq, author, Fields::retract(salt(seq), name(first)), Some(first.seq))
}

pub(crate) fn react(seq: u64, author: Identity, to: &Heard, sign: &str) -> Heard {
    heard(seq, author, Fields::react(salt(seq), name(to), sign).unwrap(), Some(to.seq))
}

/// A sign is taken back that was shown at a version.
pub(crate) fn withdraw(seq: u64, author: Identity, at: &Heard, reaction: &Heard) -> Heard {
    heard(seq, author, Fields::withdraw(salt(seq), name(at), name(reaction)), Some(at.seq))
}

/// The same, of another place.
pub(crate) fn about(heard: Heard, place: u64) -> Heard {
    let what = match heard.what {
        What::Content { content, .. } => What::Content { content, about: Some(place) },
        What::Control(Control::Pin(of)) => What::Control(Control::Pin(Target { place, ..of })),
        other @ What::Control(_) => other,
    };
    Heard { what, ..heard }
}

/// The place of what it is about.
pub(crate) const fn about_of(heard: &Heard) -> Option<u64> {
    match &heard.what {
        What::Content { about, .. } => *about,
        What::Control(_) => None,
    }
}

fn done(seq: u64, author: Identity, control: Control) -> Heard {
    Heard { seq, author, at: Millis(NOW.0 + seq), what: What::Control(control) }
}

/// A message is pinned, or no more.
pub(crate) fn pin(seq: u64, author: Identity, of: &Heard, pinned: bool) -> Heard {
    let of = Target { message: name(of), place: of.seq };
    done(seq, author, if pinned { Control::Pin(of) } else { Control::Unpin(of) })
}

/// How reading is told from there on.
pub(crate) fn policy(seq: u64, author: Identity, policy: Policy, set: Option<u64>) -> Heard {
    done(seq, author, Control::Policy { policy, set })
}

/// The same, at another place.
pub(crate) fn at(heard: &Heard, seq: u64) -> Heard {
    Heard { seq, ..heard.clone() }
}
