//! Who is here, and who writes: what the person has chosen, what their node is told of them, and what they see of others.
//!
//! ```text
//!   Agree, AllowTyping ─▶ contact/…, own ─▶ machine/presence/device ── Choices, Active, Types ──▶ node
//!   Active, Typing ────────────────────────▶          │            ◀── Vector, Types, Choices ──
//!                                                     └─▶ Presence, Typing
//! ```
//!
//! What the person chose is theirs, and the only thing of this that is stored: each choice with the contact that it is about. Off
//! until they choose; void with the line. A node is believed that somebody takes a choice back, and never that somebody agrees.
//! Spec: `spec/14-presence.md`.

use super::Client;
use super::io::{Declined, Event, Output, Who};
use super::own::Stage;
use super::timers::What;
use crate::fault::PeerFault;
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::machine::presence::device::{self, Input, Word};
use crate::step::{Machine, Outbox, Tick};
use crate::time::Millis;
use crate::wire::frame::Frame;
use crate::wire::whisper::{Choice, Delta, Whisper};

/// What the person has chosen about a contact, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) at: Millis,
    pub(super) agrees: bool,
}

// What the person wants
impl Client {
    /// Whether the person agrees to see, and be seen by, a contact; by all, now and later, where none is named.
    pub(super) fn agree(&mut self, with: Option<Address>, agrees: bool, out: &mut Outbox<Output>) {
        if self.own.stage != Stage::Enrolled {
            return Self::decline(Declined::NotEnrolled, out);
        }
        let whom: Vec<Address> = match with {
            Some(who) if self.has_line(&who) => vec![who],
            Some(who) => return Self::decline(Declined::NoContact(who), out),
            None => {
                self.own.seen = agrees;
                out.save(self.own.record());
                self.contacts.keys().filter(|who| self.has_line(who)).cloned().collect()
            }
        };
        for who in &whom {
            self.choose(who, agrees, Millis(0), out);
        }
        if agrees {
            self.whisper(Input::Active, out);
        }
    }

    /// Whether others may see that the person writes.
    pub(super) fn allow_typing(&mut self, may: bool, out: &mut Outbox<Output>) {
        if self.own.stage != Stage::Enrolled {
            return Self::decline(Declined::NotEnrolled, out);
        }
        self.own.typing = may;
        out.save(self.own.record());
        self.whisper(Input::AllowTyping(may), out);
    }

    /// The device begins as a new one: what it was allowed in general, it isn't any more.
    pub(super) fn allow_typing_no_more(&mut self) {
        let mut none = Outbox::new();
        self.whisper(Input::AllowTyping(false), &mut none);
    }

    /// The person does something.
    pub(super) fn active(&mut self, out: &mut Outbox<Output>) {
        self.whisper(Input::Active, out);
    }

    /// The person writes.
    pub(super) fn typing(&mut self, conversation: ConversationId, out: &mut Outbox<Output>) {
        if !self.talks.contains_key(&conversation) {
            return Self::decline(Declined::NoConversation(conversation), out);
        }
        self.whisper(Input::Active, out);
        // A direct conversation is of two.
        self.whisper(Input::Types(conversation, 2), out);
    }

    fn has_line(&self, who: &Address) -> bool {
        self.contacts.get(who).is_some_and(|contact| contact.line.is_some())
    }

    /// Keeps what the person has chosen, and says it. It counts over what was chosen before, and over `after`.
    fn choose(&mut self, who: &Address, agrees: bool, after: Millis, out: &mut Outbox<Output>) {
        let chosen = self.contacts.values().filter(|contact| contact.presence.is_some()).count();
        let Some(contact) = self.contacts.get_mut(who) else { return };
        if contact.presence.is_none() && chosen >= limits::PRESENCE_CONTACTS {
            return Self::decline(Declined::TooMany(limits::PRESENCE_CONTACTS), out);
        }
        let before = contact.presence.map_or(Millis(0), |chosen| chosen.at.plus(1));
        let at = self.now.max(before).max(after);
        contact.presence = Some(Chosen { at, agrees });
        out.save(contact.record());
        Self::tell(Event::Agreement { with: who.clone(), agrees }, out);
        self.whisper(Input::Choose(Choice { theirs: who.clone(), chosen: at, agrees }), out);
    }

    /// What the person agreed to with somebody is void.
    pub(super) fn agree_no_more(&mut self, who: &Address, after: Millis, out: &mut Outbox<Output>) {
        let agrees = |chosen: Chosen| chosen.agrees;
        if self.contacts.get(who).and_then(|contact| contact.presence).is_some_and(agrees) {
            self.choose(who, false, after, out);
        }
    }

    /// There is a line with somebody: whoever wants to be seen by all is seen by them too.
    pub(super) fn lined(&mut self, who: &Address, out: &mut Outbox<Output>) {
        let new = self.contacts.get(who).is_some_and(|contact| contact.line.is_some() && contact.presence.is_none());
        if new && self.own.seen && self.own.stage == Stage::Enrolled {
            self.choose(who, true, Millis(0), out);
        }
    }
}

// What happens
impl Client {
    /// What was chosen, as the records have it.
    pub(super) fn restore_presence(&mut self) {
        let mut none = Outbox::new();
        let chosen = self.contacts.values().filter_map(|contact| {
            let Chosen { at, agrees } = contact.presence?;
            Some(Choice { theirs: contact.address.clone(), chosen: at, agrees })
        });
        for choice in chosen.collect::<Vec<_>>() {
            self.whisper(Input::Choose(choice), &mut none);
        }
        self.whisper(Input::AllowTyping(self.own.typing), &mut none);
        debug_assert!(none.is_empty(), "nobody hears a device that isn't there");
    }

    /// The session is up, and the device is one of the person's.
    pub(super) fn whispers_up(&mut self, out: &mut Outbox<Output>) {
        if self.online() && self.own.stage == Stage::Enrolled {
            self.whisper(Input::Up, out);
        }
    }

    /// The session is over.
    pub(super) fn whispers_down(&mut self, out: &mut Outbox<Output>) {
        self.whisper(Input::Down, out);
    }

    pub(super) fn whispers_due(&mut self, out: &mut Outbox<Output>) {
        self.whisper(Input::Wake, out);
    }

    /// Somebody said something: they write no more.
    pub(super) fn wrote(&mut self, who: &Address, conversation: ConversationId, out: &mut Outbox<Output>) {
        self.whisper(Input::Said(who.clone(), conversation), out);
    }

    /// The node whispers. It is believed that far, and no further: nothing hangs on it.
    pub(super) fn whispered(&mut self, whisper: Whisper, out: &mut Outbox<Output>) {
        match whisper {
            Whisper::Vector(deltas) => {
                let ours = self.ours.address.clone();
                for Delta { of, word, .. } in deltas.into_iter().filter(|delta| delta.to == ours) {
                    self.whisper(Input::Shows(of, word.shown()), out);
                }
            }
            Whisper::Types(who, conversation) => {
                let is_with = self.talks.get(&conversation).is_some_and(|talk| talk.with == who);
                if is_with && self.has_line(&who) {
                    self.whisper(Input::HeardTypes(who, conversation), out);
                }
            }
            Whisper::Choices(choices) => {
                for choice in choices.into_iter().filter(|choice| !choice.agrees) {
                    self.agree_no_more(&choice.theirs, choice.chosen, out);
                }
            }
            Whisper::Active => Self::refuse(Who::Node, PeerFault::Frame("what a node whispers"), out),
        }
    }

    /// Tells the machine something, and does what it wants.
    fn whisper(&mut self, input: Input, out: &mut Outbox<Output>) {
        let tick = Tick { now: self.now, entropy: [0; 32] };
        let mut child = Outbox::new();
        let stepped = self.presence.step(&tick, input, &mut child);
        debug_assert!(stepped.is_ok(), "what is whispered can't be misused");
        self.timers.set(What::Whisper, self.presence.deadline());
        for output in out.adopt(child) {
            match output {
                device::Output::Say(word) => {
                    let whisper = match word {
                        Word::Choices(choices) => Whisper::Choices(choices),
                        Word::Active => Whisper::Active,
                        Word::Types(conversation) => Whisper::Types(self.ours.address.clone(), conversation),
                    };
                    out.emit(Output::Send(Frame::Whisper(whisper)));
                }
                device::Output::Shows(who, shown) => Self::tell(Event::Presence { who, seen: shown }, out),
                device::Output::Types { who, conversation, now } => {
                    Self::tell(Event::Typing { conversation, who, now }, out);
                }
            }
        }
    }
}
