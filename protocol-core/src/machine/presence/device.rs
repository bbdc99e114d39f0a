//! A device's side: it tells its node when its person is here, or writes, and shows what its node tells. See
//! [`presence`](super).

use std::collections::{BTreeMap, BTreeSet};

use super::{Lease, Shown, Typed};
use crate::fault::Misuse;
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::time::Millis;

/// What a device's side is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The session is up: the node knows nothing of what was said on the one before.
    Up,
    /// It isn't.
    Down,
    /// Whether the person agrees to see, and be seen by, this contact.
    Agree(Address, bool),
    /// Whether others may see that the person writes.
    AllowTyping(bool),
    /// The person does something.
    Active,
    /// The person writes in a conversation of so many members.
    Types(ConversationId, usize),
    /// The node tells what is seen of a contact.
    Shows(Address, Option<Shown>),
    /// The node tells that somebody writes.
    HeardTypes(Address, ConversationId),
    /// Somebody said something: they write no more.
    Said(Address, ConversationId),
    /// A deadline has come.
    Wake,
}

/// What goes to the node. It is never queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Whether the person agrees with this contact.
    Agrees(Address, bool),
    /// The person is here.
    Active,
    /// The person writes in this conversation.
    Types(ConversationId),
}

/// What a device's side wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell the node.
    Say(Word),
    /// What the person sees of a contact is now this.
    Shows(Address, Option<Shown>),
    /// Somebody writes in a conversation, or does so no more.
    Types {
        /// Who.
        who: Address,
        /// Where.
        conversation: ConversationId,
        /// Whether they do.
        now: bool,
    },
}

/// What a device knows of who is there. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    us: Address,
    up: bool,
    agrees: BTreeSet<Address>,
    typing: bool,
    /// When this session last heard that the person is here.
    said: Option<Millis>,
    contacts: BTreeMap<Address, (Shown, Lease)>,
    typed: Typed,
    /// Who writes, and until when.
    writers: BTreeMap<(ConversationId, Address), Millis>,
}

impl Presence {
    /// A device of this person, to whom nothing was shown.
    #[must_use]
    pub fn new(us: Address) -> Self {
        Self {
            us,
            up: false,
            agrees: BTreeSet::new(),
            typing: false,
            said: None,
            contacts: BTreeMap::new(),
            typed: Typed::default(),
            writers: BTreeMap::new(),
        }
    }

    /// What is seen of a contact.
    #[must_use]
    pub fn shown(&self, contact: &Address) -> Option<Shown> {
        self.contacts.get(contact).map(|(shown, _)| *shown)
    }

    /// Who writes in a conversation.
    pub fn writers(&self, conversation: ConversationId) -> impl Iterator<Item = &Address> {
        self.writers.keys().filter(move |(of, _)| *of == conversation).map(|(_, who)| who)
    }

    /// How many things it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.agrees.len() + self.contacts.len() + self.typed.0.len() + self.writers.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Machine for Presence {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        self.apply(tick.now, input, out);
        Ok(())
    }

    /// When somebody writes no more, or what is known of them is too old.
    fn deadline(&self) -> Option<Millis> {
        let leases = self.contacts.values().filter_map(|(_, lease)| lease.0);
        self.writers.values().copied().chain(leases).min()
    }
}

impl Presence {
    fn apply(&mut self, now: Millis, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Up => {
                (self.up, self.said) = (true, None);
                self.agrees.iter().for_each(|with| out.emit(Output::Say(Word::Agrees(with.clone(), true))));
            }
            Input::Down => {
                self.up = false;
                self.contacts.values_mut().for_each(|(_, lease)| lease.ends(now));
            }
            Input::Agree(with, agrees) => self.agree(with, agrees, out),
            Input::AllowTyping(may) => self.typing = may,
            Input::Active => {
                let due = self.said.is_none_or(|said| now.since(said) >= limits::PRESENCE_RENEW_MS);
                // Where nobody may see it, the node needn't know.
                if self.up && due && !self.agrees.is_empty() {
                    self.said = Some(now);
                    out.emit(Output::Say(Word::Active));
                }
            }
            Input::Types(conversation, members) => self.types(now, conversation, members, out),
            Input::Shows(contact, shown) => {
                let shown = shown.filter(|_| self.agrees.contains(&contact));
                self.show(contact, shown.map(|shown| shown.rounded(now)), out);
            }
            Input::HeardTypes(who, conversation) => self.heard_types(now, who, conversation, out),
            Input::Said(who, conversation) => self.no_more((conversation, who), out),
            Input::Wake => self.wake(now, out),
        }
    }

    fn agree(&mut self, with: Address, agrees: bool, out: &mut Outbox<Output>) {
        let room = self.agrees.len() < limits::PRESENCE_CONTACTS;
        let changes = if agrees { room && self.agrees.insert(with.clone()) } else { self.agrees.remove(&with) };
        if changes && self.up {
            out.emit(Output::Say(Word::Agrees(with.clone(), agrees)));
        }
        if !agrees {
            self.show(with, None, out);
        }
    }

    fn types(&mut self, now: Millis, conversation: ConversationId, members: usize, out: &mut Outbox<Output>) {
        let may = self.up && self.typing && members <= limits::TYPING_MEMBERS;
        if may && self.typed.take(now, &self.us, conversation) {
            out.emit(Output::Say(Word::Types(conversation)));
        }
    }

    fn heard_types(&mut self, now: Millis, who: Address, conversation: ConversationId, out: &mut Outbox<Output>) {
        let key = (conversation, who);
        let known = self.writers.contains_key(&key);
        if self.us == key.1 || (!known && self.writers.len() >= limits::TYPISTS) {
            return;
        }
        self.writers.insert(key.clone(), now.plus(limits::TYPING_MS));
        if !known {
            let (conversation, who) = key;
            out.emit(Output::Types { who, conversation, now: true });
        }
    }

    fn no_more(&mut self, key: (ConversationId, Address), out: &mut Outbox<Output>) {
        if self.writers.remove(&key).is_some() {
            let (conversation, who) = key;
            out.emit(Output::Types { who, conversation, now: false });
        }
    }

    /// What the person sees of a contact is this from now on.
    fn show(&mut self, contact: Address, shown: Option<Shown>, out: &mut Outbox<Output>) {
        let before = self.shown(&contact);
        match shown {
            Some(shown) if before.is_some() || self.contacts.len() < limits::PRESENCE_CONTACTS => {
                self.contacts.insert(contact.clone(), (shown, Lease::default()));
            }
            Some(_) | None => _ = self.contacts.remove(&contact),
        }
        let shown = self.shown(&contact);
        if shown != before {
            out.emit(Output::Shows(contact, shown));
        }
    }

    fn wake(&mut self, now: Millis, out: &mut Outbox<Output>) {
        let over: Vec<_> = self.writers.iter().filter(|(_, end)| **end <= now).map(|(key, _)| key.clone()).collect();
        over.into_iter().for_each(|key| self.no_more(key, out));
        let over = self.contacts.iter().filter(|(_, (_, lease))| lease.is_over(now));
        let over: Vec<_> = over.map(|(contact, _)| contact.clone()).collect();
        over.into_iter().for_each(|contact| self.show(contact, None, out));
    }
}
