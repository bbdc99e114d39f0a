//! A device's side: it tells its node when its person is here, or writes, and shows what its node tells. See
//! [`presence`](super).

use std::collections::BTreeMap;

use super::{Lease, Typed, coarse};
use crate::fault::Misuse;
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::time::Millis;
use crate::wire::whisper::{Choice, Seen};

/// What a device's side is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The session is up: the node knows nothing of what was said on the one before.
    Up,
    /// It isn't.
    Down,
    /// The person has chosen whether to see, and be seen by, a contact. What was chosen later counts; of two at once, that they don't agree.
    Choose(Choice),
    /// Whether others may see that the person writes.
    AllowTyping(bool),
    /// The person does something.
    Active,
    /// The person writes in a conversation of so many members.
    Types(ConversationId, usize),
    /// The node tells what is seen of a contact.
    Shows(Address, Option<Seen>),
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
    /// What the person has chosen, at most [`PRESENCE_DELTAS`](limits::PRESENCE_DELTAS) at once.
    Choices(Vec<Choice>),
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
    Shows(Address, Option<Seen>),
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
    choices: BTreeMap<Address, Choice>,
    typing: bool,
    /// When this session last heard that the person is here.
    said: Option<Millis>,
    contacts: BTreeMap<Address, (Seen, Lease)>,
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
            choices: BTreeMap::new(),
            typing: false,
            said: None,
            contacts: BTreeMap::new(),
            typed: Typed::default(),
            writers: BTreeMap::new(),
        }
    }

    /// What the person has chosen about a contact.
    #[must_use]
    pub fn choice(&self, contact: &Address) -> Option<&Choice> {
        self.choices.get(contact)
    }

    /// Whether the person agrees to see, and be seen by, a contact.
    #[must_use]
    pub fn agrees(&self, contact: &Address) -> bool {
        self.choices.get(contact).is_some_and(|choice| choice.agrees)
    }

    /// What is seen of a contact.
    #[must_use]
    pub fn shown(&self, contact: &Address) -> Option<Seen> {
        self.contacts.get(contact).map(|(shown, _)| *shown)
    }

    /// Who writes in a conversation.
    pub fn writers(&self, conversation: ConversationId) -> impl Iterator<Item = &Address> {
        self.writers.keys().filter(move |(of, _)| *of == conversation).map(|(_, who)| who)
    }

    /// How many things it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.choices.len() + self.contacts.len() + self.typed.0.len() + self.writers.len()
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
                let choices: Vec<Choice> = self.choices.values().cloned().collect();
                let said = choices.chunks(limits::PRESENCE_DELTAS).map(|some| Word::Choices(some.to_vec()));
                said.for_each(|word| out.emit(Output::Say(word)));
            }
            Input::Down => {
                self.up = false;
                self.contacts.values_mut().for_each(|(_, lease)| lease.ends(now));
            }
            Input::Choose(choice) => self.choose(choice, out),
            Input::AllowTyping(may) => self.typing = may,
            Input::Active => {
                let due = self.said.is_none_or(|said| now.since(said) >= limits::PRESENCE_RENEW_MS);
                // Where nobody may see it, the node needn't know.
                if self.up && due && self.choices.values().any(|choice| choice.agrees) {
                    self.said = Some(now);
                    out.emit(Output::Say(Word::Active));
                }
            }
            Input::Types(conversation, members) => self.types(now, conversation, members, out),
            Input::Shows(contact, shown) => {
                let shown = shown.filter(|_| self.agrees(&contact));
                self.show(contact, shown.map(|shown| coarse(shown, now)), out);
            }
            Input::HeardTypes(who, conversation) => self.heard_types(now, who, conversation, out),
            Input::Said(who, conversation) => self.no_more((conversation, who), out),
            Input::Wake => self.wake(now, out),
        }
    }

    fn choose(&mut self, choice: Choice, out: &mut Outbox<Output>) {
        let counts = match self.choices.get(&choice.theirs) {
            Some(known) => (known.chosen, !known.agrees) < (choice.chosen, !choice.agrees),
            None => self.choices.len() < limits::PRESENCE_CONTACTS,
        };
        if !counts {
            return;
        }
        self.choices.insert(choice.theirs.clone(), choice.clone());
        if choice.agrees {
            // Who hasn't heard yet that the person is here hears it the next time.
            self.said = None;
        } else {
            self.show(choice.theirs.clone(), None, out);
        }
        if self.up {
            out.emit(Output::Say(Word::Choices(vec![choice])));
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
    fn show(&mut self, contact: Address, shown: Option<Seen>, out: &mut Outbox<Output>) {
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
