//! A node's side: what it and one other node tell each other of their people, and what it tells its devices. See
//! [`presence`](super).

use std::collections::{BTreeMap, BTreeSet};

use super::{Lease, Typed, coarse, rounded};
use crate::canary::{self, Canary};
use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, ConversationId, Pair};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::time::{Millis, SECOND};
use crate::wire::whisper::{Delta, Seen, Whisper, Word};

/// Somebody writes in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Who.
    pub who: Address,
    /// Where.
    pub conversation: ConversationId,
    /// How many members it has.
    pub members: usize,
    /// Those of them at the node that is to hear of it: the other one, or this.
    pub to: BTreeSet<Address>,
}

/// What a node's side is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The link is up: the other node knows nothing of what was said on the one before.
    Up,
    /// It isn't.
    Down,
    /// Whether two have a line.
    Line(Pair, bool),
    /// Whether our person agrees to see, and be seen by, the other.
    Agree(Pair, bool),
    /// A device of this person says that they are here.
    Active(Address),
    /// A person of ours writes.
    Types(Types),
    /// The other node tells of its people.
    Vector(Vec<Delta>),
    /// The other node tells that a person of theirs writes.
    HeardTypes(Types),
    /// A deadline has come.
    Wake,
}

/// What a node's side wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Whisper this to the other node: a [`Whisper::Vector`] or a [`Whisper::Types`], never queued. Where there is no link, it
    /// isn't said.
    Say(Whisper),
    /// What our person sees of the other is now this: to all of our person's devices.
    Shows(Pair, Option<Seen>),
    /// Somebody writes: to the devices of these people of ours.
    Types(Address, ConversationId, Vec<Address>),
    /// The other node says what it may not; nothing of it is kept.
    Refused(PeerFault),
}

/// What two nodes know of each other's people: of those who have a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    up: bool,
    /// Whether both ends are this node: then nobody else can whisper too much.
    within: bool,
    contacts: BTreeMap<Pair, Contact>,
    /// When a person of ours was last here.
    here: BTreeMap<Address, Millis>,
    /// Those of ours who write, and those of theirs.
    typed: [Typed; 2],
    /// How many whispers came in the running second.
    heard: (Millis, u32),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Contact {
    agrees: bool,
    /// What the other node knows of ours.
    said: Word,
    /// What it says of theirs.
    heard: Word,
    lease: Lease,
}

impl Contact {
    fn shown(&self) -> Option<Seen> {
        match self.heard {
            Word::Shows(shown) if self.agrees => Some(shown),
            Word::Shows(_) | Word::Silent | Word::Agrees => None,
        }
    }
}

impl Presence {
    /// A node of whose people nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for people of this node among themselves: what it says is what it hears.
    #[must_use]
    pub fn within() -> Self {
        Self { up: true, within: true, ..Self::default() }
    }

    /// Drops the entries of those who don't agree, and of whom nothing was said: told of their line again, they are the same,
    /// since who then hears of it says their own word again.
    pub fn rest(&mut self) {
        let before = self.contacts.len();
        self.contacts.retain(|_, contact| contact.agrees || contact.said != Word::Silent);
        if self.contacts.len() < before {
            let ours: BTreeSet<&Address> = self.contacts.keys().map(|pair| &pair.ours).collect();
            self.here.retain(|person, _| ours.contains(person));
        }
    }

    /// What our one of two sees of the other.
    #[must_use]
    pub fn shows(&self, pair: &Pair) -> Option<Seen> {
        self.contacts.get(pair)?.shown()
    }

    /// Whether somebody of ours is here now, and agrees to be seen: then the link is worth a dial.
    #[must_use]
    pub fn wants_link(&self, now: Millis) -> bool {
        let here = |ours: &Address| self.here.get(ours).is_some_and(|last| now.since(*last) < limits::PRESENCE_MS);
        self.contacts.iter().any(|(pair, contact)| contact.agrees && here(&pair.ours))
    }

    /// Whether there is an entry for two.
    #[must_use]
    pub fn has(&self, pair: &Pair) -> bool {
        self.contacts.contains_key(pair)
    }

    /// The pairs of which something is known.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.contacts.keys()
    }

    /// What a person of ours sees of the others: for a device that comes.
    pub fn shown<'p>(&'p self, ours: &'p Address) -> impl Iterator<Item = (&'p Address, Seen)> {
        let of_ours = self.contacts.iter().filter(move |(pair, _)| pair.ours == *ours);
        of_ours.filter_map(|(pair, contact)| Some((&pair.theirs, contact.shown()?)))
    }

    /// How many things it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        let [ours, theirs] = &self.typed;
        self.contacts.len() + self.here.len() + ours.0.len() + theirs.0.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is told of a person of ours now.
    fn word(&self, now: Millis, pair: &Pair, contact: &Contact) -> Word {
        match (contact.agrees, contact.heard, self.here.get(&pair.ours)) {
            (false, ..) => Word::Silent,
            (true, Word::Silent, _) if !canary::is_on(Canary::ShownToWhoDoesNotAgree) => Word::Agrees,
            (true, _, None) => Word::Agrees,
            (true, _, Some(last)) if now.since(*last) < limits::PRESENCE_MS => Word::Shows(Seen::Here),
            (true, _, Some(last)) => Word::Shows(Seen::Away(rounded(*last))),
        }
    }

    /// Whether the other node may whisper this.
    fn decide(&self, now: Millis, input: &Input) -> Result<(), PeerFault> {
        let heard = match input {
            Input::Vector(deltas) => deltas.len(),
            Input::HeardTypes(_) => 1,
            Input::Up
            | Input::Down
            | Input::Line(..)
            | Input::Agree(..)
            | Input::Active(_)
            | Input::Types(_)
            | Input::Wake => return Ok(()),
        };
        let (since, count) = self.heard;
        if !self.within && now.since(since) < SECOND && count >= limits::WHISPERS_PER_SECOND {
            return Err(PeerFault::Rate { max: limits::WHISPERS_PER_SECOND, per_ms: SECOND });
        }
        let (got, max) = (heard as u64, limits::PRESENCE_DELTAS as u64);
        if got > max { Err(PeerFault::TooBig { what: "changes of a vector", got, max }) } else { Ok(()) }
    }
}

impl Machine for Presence {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        match self.decide(tick.now, &input) {
            Ok(()) => self.apply(tick.now, input, out),
            Err(fault) => out.emit(Output::Refused(fault)),
        }
        Ok(())
    }

    /// When somebody's lease ends.
    fn deadline(&self) -> Option<Millis> {
        let shown = |contact: &&Contact| contact.said == Word::Shows(Seen::Here);
        let ours = self.contacts.iter().filter(|(_, contact)| shown(contact));
        let ours = ours.filter_map(|(pair, _)| Some(self.here.get(&pair.ours)?.plus(limits::PRESENCE_MS)));
        ours.chain(self.contacts.values().filter_map(|contact| contact.lease.0)).min()
    }
}

impl Presence {
    fn apply(&mut self, now: Millis, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Up => {
                self.up = true;
                self.contacts.values_mut().for_each(|contact| contact.said = Word::Silent);
            }
            Input::Down => {
                self.up = false;
                for contact in self.contacts.values_mut() {
                    contact.said = Word::Silent;
                    if contact.heard != Word::Silent {
                        contact.lease.ends(now);
                    }
                }
            }
            Input::Line(pair, true) => {
                if self.contacts.len() < limits::PRESENCE_CONTACTS {
                    self.contacts.entry(pair).or_default();
                }
            }
            Input::Line(pair, false) => self.forget(pair, out),
            Input::Agree(pair, agrees) => {
                self.change(&pair, out, |contact| contact.agrees = agrees);
            }
            Input::Active(ours) => {
                if self.contacts.keys().any(|pair| pair.ours == ours) {
                    self.here.insert(ours, now);
                }
            }
            Input::Vector(deltas) => {
                self.count(now);
                let mut strange = false;
                // Of what is said twice at once the last counts, and is shown once.
                let pair = |of, to| Pair { ours: to, theirs: of };
                let last: BTreeMap<Pair, Word> =
                    deltas.into_iter().map(|Delta { of, to, word }| (pair(of, to), word)).collect();
                for (pair, word) in last {
                    let heard = match word {
                        Word::Shows(shown) => Word::Shows(coarse(shown, now)),
                        Word::Silent | Word::Agrees => word,
                    };
                    let known = self.change(&pair, out, |contact| {
                        // The first word of them on this link: it may be that they had no ear yet for ours, which is said again.
                        let first = contact.heard == Word::Silent || contact.lease != Lease::default();
                        if first && heard != Word::Silent {
                            contact.said = Word::Silent;
                        }
                        (contact.heard, contact.lease) = (heard, Lease::default());
                    });
                    strange |= !known;
                }
                if strange {
                    out.emit(Output::Refused(PeerFault::NotTrusted));
                }
            }
            Input::Types(types) => self.types(now, types, out),
            Input::HeardTypes(types) => {
                self.count(now);
                self.heard_types(now, types, out);
            }
            Input::Wake => self.wake(now, out),
        }
        self.tell(now, out);
    }

    /// Changes what is known of two, and shows it; gives whether they have a line.
    fn change(&mut self, pair: &Pair, out: &mut Outbox<Output>, change: impl FnOnce(&mut Contact)) -> bool {
        let Some(contact) = self.contacts.get_mut(pair) else { return false };
        let before = contact.shown();
        change(contact);
        if contact.shown() != before {
            out.emit(Output::Shows(pair.clone(), contact.shown()));
        }
        true
    }

    /// Two have no line any more. What was told is taken back, as by one who doesn't agree any more, and nothing else is said.
    fn forget(&mut self, pair: Pair, out: &mut Outbox<Output>) {
        let Some(contact) = self.contacts.remove(&pair) else { return };
        if contact.said != Word::Silent {
            let delta = Delta { of: pair.ours.clone(), to: pair.theirs.clone(), word: Word::Silent };
            out.emit(Output::Say(Whisper::Vector(vec![delta])));
        }
        if !self.contacts.keys().any(|other| other.ours == pair.ours) {
            self.here.remove(&pair.ours);
        }
        if contact.shown().is_some() {
            out.emit(Output::Shows(pair, None));
        }
    }

    fn wake(&mut self, now: Millis, out: &mut Outbox<Output>) {
        let over = self.contacts.iter().filter(|(_, contact)| contact.lease.is_over(now));
        let over: Vec<Pair> = over.map(|(pair, _)| pair.clone()).collect();
        for pair in over {
            self.change(&pair, out, |contact| (contact.heard, contact.lease) = (Word::Silent, Lease::default()));
        }
    }

    /// Says what has changed since it was last said.
    fn tell(&mut self, now: Millis, out: &mut Outbox<Output>) {
        if !self.up {
            return;
        }
        let changes = self.contacts.iter().map(|(pair, contact)| (pair, contact, self.word(now, pair, contact)));
        let changes = changes.filter(|(_, contact, word)| contact.said != *word);
        let deltas: Vec<Delta> =
            changes.map(|(pair, _, word)| Delta { of: pair.ours.clone(), to: pair.theirs.clone(), word }).collect();
        for deltas in deltas.chunks(limits::PRESENCE_DELTAS) {
            out.emit(Output::Say(Whisper::Vector(deltas.to_vec())));
        }
        for Delta { of, to, word } in deltas {
            let contact = self.contacts.get_mut(&Pair { ours: of, theirs: to });
            contact.into_iter().for_each(|contact| contact.said = word);
        }
    }

    fn types(&mut self, now: Millis, types: Types, out: &mut Outbox<Output>) {
        let Types { who, conversation, members, to } = types;
        let few = members <= limits::TYPING_MEMBERS;
        let line = |theirs: Address| self.contacts.contains_key(&Pair { ours: who.clone(), theirs });
        let [ours, _] = &mut self.typed;
        if self.up && few && to.into_iter().any(line) && ours.take(now, &who, conversation) {
            out.emit(Output::Say(Whisper::Types(who, conversation)));
        }
    }

    fn heard_types(&mut self, now: Millis, types: Types, out: &mut Outbox<Output>) {
        let Types { who, conversation, members, to } = types;
        let line = |ours: &Address| self.contacts.contains_key(&Pair { ours: ours.clone(), theirs: who.clone() });
        let to: Vec<Address> = to.into_iter().filter(line).collect();
        let [_, theirs] = &mut self.typed;
        if to.is_empty() {
            out.emit(Output::Refused(PeerFault::NotTrusted));
        } else if members > limits::TYPING_MEMBERS {
            let (got, max) = (members as u64, limits::TYPING_MEMBERS as u64);
            out.emit(Output::Refused(PeerFault::TooBig { what: "members who hear of writing", got, max }));
        } else if theirs.take(now, &who, conversation) {
            out.emit(Output::Types(who, conversation, to));
        }
    }

    fn count(&mut self, now: Millis) {
        let (since, count) = self.heard;
        self.heard = if now.since(since) < SECOND { (since, count.saturating_add(1)) } else { (now, 1) };
    }
}
