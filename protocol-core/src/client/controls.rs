//! What members do to the conversation itself: they pin messages, remove them as moderators, and set how reading is told.
//!
//! ```text
//!   command ──may I?──▶ draft ──▶ the log ──taken──▶ the policy of marks, in the log's order
//!              └─ Declined         │
//!                                  └──applied (client/applying)──may they?──▶ machine/pin ─────▶ Pinned
//!                                                                   │     └─▶ machine/revision ─▶ Removed
//!                                                                   └─ the peer's fault, and nothing changes
//! ```
//!
//! A pin is of the message itself, whatever its words are: so it outlives an edit, and goes with the message. What a policy
//! changes for readings holds from its own place in the log on. Spec: `spec/16-control.md`.

use super::inner::{Inner, Read, What as Said};
use super::io::{Declined, Event, Output, Pinned, Policy, Who};
use super::own::Stage;
use super::planning::{Plan, Wanted};
use super::said::{By, Draft, Kept};
use super::{Client, Talk};
use crate::canary::{self, Canary};
use crate::fault::PeerFault;
use crate::id::{ContentId, ConversationId, DeviceKey, Identity};
use crate::limits;
use crate::machine::pin::{self, Pins, There};
use crate::machine::policy::Agreed;
use crate::machine::revision;
use crate::seal::mls::Applied;
use crate::step::{Machine as _, Outbox, Tick};
use crate::store::{Key, sha256};
use crate::time::Millis;
use crate::wire::control::{Control, Target};

/// What the person does to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Pins the message at a place, or unpins it.
    Pin { message: u64, pinned: bool },
    /// Removes the message at a place.
    Remove { message: u64 },
    /// Sets how reading is told.
    Policy(Policy),
}

/// What is done of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// This is said.
    Say(Control),
    /// It is so already.
    Is(Target),
}

impl Client {
    /// Whether somebody may do this to a conversation: the one place that knows of roles. In a direct conversation both may
    /// do all but remove what the other said: nobody is its moderator (attack 54).
    fn may(&self, talk: &Talk, who: Identity, what: &Control) -> Result<(), PeerFault> {
        let members = [self.chain_of(&self.ours.address), self.chain_of(&talk.with)];
        let is_member = members.iter().flatten().any(|chain| chain.identity() == who);
        // Where nobody's keys are known, as in a replay, who did something is believed.
        if !is_member && members.iter().any(Option::is_some) {
            return Err(PeerFault::Event("not a member's to do"));
        }
        match what {
            Control::Pin(_) | Control::Unpin(_) | Control::Policy { .. } => Ok(()),
            Control::Remove(_) if canary::is_on(Canary::AnyoneRemoves) => Ok(()),
            Control::Remove(_) => Err(PeerFault::Event("not a moderator's removal")),
        }
    }

    /// The person does something to a conversation.
    pub(super) fn act(&mut self, tick: &Tick, id: ConversationId, act: Act, out: &mut Outbox<Output>) {
        match self.doing(id, act, &mut Wanted::new()) {
            Ok(Doing::Say(control)) => {
                let what = Said::Control { control, again: None };
                self.draft(tick, &Inner { at: tick.now, what }, id, out);
                self.go_on(tick, id, out);
            }
            Ok(Doing::Is(of)) => self.tell_pinned(id, of, self.pins_in(id).has(of), None, out),
            Err(why) => Self::decline(why, out),
        }
    }

    /// What is to be said of it, or why not; what that takes is wanted first.
    pub(super) fn doing(&self, id: ConversationId, act: Act, wanted: &mut Wanted) -> Result<Doing, Declined> {
        let talk = self.talks.get(&id).ok_or(Declined::NoConversation(id))?;
        let us = self.identity().filter(|_| self.own.stage == Stage::Enrolled).ok_or(Declined::NotEnrolled)?;
        if self.drafts.len() >= limits::DRAFTS {
            return Err(Declined::TooMany(limits::DRAFTS));
        }
        let target = |message: u64, wanted: &mut Wanted| {
            let there = self.versions(id, message, wanted).is_ok_and(|versions| !versions.is_empty());
            let kept = self.kept(id, message, wanted).filter(|_| there);
            kept.map(|kept| Target { message: kept.id, place: message }).ok_or(Declined::NoMessage(message))
        };
        let control = match act {
            Act::Pin { message, pinned } => {
                self.wanted_pins(id, wanted);
                let of = target(message, wanted)?;
                let pins = self.pins_to_be(talk, us);
                if pins.has(of) == pinned {
                    return Ok(Doing::Is(of));
                }
                if pinned && pins.is_full() {
                    return Err(Declined::TooMany(limits::PINS));
                }
                if pinned { Control::Pin(of) } else { Control::Unpin(of) }
            }
            Act::Remove { message } => Control::Remove(target(message, wanted)?),
            Act::Policy(policy) => Control::Policy { policy, set: None },
        };
        self.may(talk, us, &control).map_err(|_| Declined::NotModerator(id))?;
        Ok(Doing::Say(control))
    }

    /// The pins, once all that waits here has its place.
    fn pins_to_be(&self, talk: &Talk, us: Identity) -> Pins {
        let (mut pins, mut out) = (self.pins_in(talk.id), Outbox::new());
        let waits = self.drafts.values().filter(|draft| draft.talk == talk.id).filter_map(control_of);
        for (seq, control) in (talk.seq.saturating_add(1)..).zip(waits) {
            let (of, pinned) = match control {
                Control::Pin(of) => (of, true),
                Control::Unpin(of) => (of, false),
                Control::Remove(_) | Control::Policy { .. } => continue,
            };
            let there = There::Here;
            let tick = Tick { now: self.now, entropy: [0; 32] };
            // None of this is misuse.
            pins.step(&tick, pin::Input::Set { seq, by: us, of, pinned, there }, &mut out).unwrap_or_default();
        }
        pins
    }

    fn pins_in(&self, id: ConversationId) -> Pins {
        self.views.pins.get(&id).cloned().flatten().unwrap_or_else(|| Pins::new(id))
    }

    pub(super) fn wanted_pins(&self, id: ConversationId, wanted: &mut Wanted) {
        if !self.views.pins.contains_key(&id) {
            wanted.insert(Key::Pins(id));
        }
    }

    /// Something that was done is taken from the log: by this device, where nobody is named. It is applied in its turn; what
    /// readings obey counts from here on.
    pub(super) fn keep_control(
        &mut self,
        tick: &Tick,
        (id, seq): (ConversationId, u64),
        by: Option<By>,
        at: Millis,
        control: Control,
        out: &mut Outbox<Output>,
    ) {
        let who = by.as_ref().map(|by| by.identity).or_else(|| self.identity());
        self.keep(id, seq, Kept::control(by, name(id, seq), at, control), out);
        self.apply_late(tick, id, seq);
        let (Some(agreed), Some(who)) = (Agreed::by(&control, seq), who) else { return };
        if let Some(Err(why)) = self.talks.get(&id).map(|talk| self.may(talk, who, &control)) {
            return self.refuse_by(who, id, why, out);
        }
        let anew = matches!(control, Control::Policy { set: None, .. });
        self.agreed(tick, id, agreed, anew.then_some(who), out);
    }

    /// A policy of marks was set.
    fn agreed(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        agreed: Agreed,
        by: Option<Identity>,
        out: &mut Outbox<Output>,
    ) {
        let Some((before, now)) = self.set_policy(id, agreed, out) else { return };
        self.marks_now(tick, id, out);
        if now.policy == before.policy {
            return;
        }
        let by = by.and_then(|who| self.address_of(who));
        let tells_read = self.talks.get(&id).is_some_and(|talk| self.is_heard(talk));
        Self::tell(Event::Policy { conversation: id, policy: now.policy, by, tells_read }, out);
    }

    /// The policy before this one was heard, and from then on.
    pub(super) fn set_policy(
        &mut self,
        id: ConversationId,
        agreed: Agreed,
        out: &mut Outbox<Output>,
    ) -> Option<(Agreed, Agreed)> {
        let talk = self.talks.get_mut(&id)?;
        let before = talk.agreed;
        talk.agreed = before.with(agreed);
        talk.newcomers = false;
        out.save(talk.record());
        Some((before, talk.agreed))
    }

    /// Whether the others hear what this person reads: by the policy, and where that leaves it, by their choice.
    fn is_heard(&self, talk: &Talk) -> bool {
        match talk.agreed.policy {
            Policy::Required => true,
            Policy::Optional => self.tells_read(talk),
            Policy::Forbidden => false,
        }
    }

    /// Whoever has just come knows no policy: the first of those who were there says it once more, and all keep in mind that
    /// somebody must.
    pub(super) fn tell_newcomers(&mut self, tick: &Tick, id: ConversationId, came: &Applied, out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get_mut(&id).filter(|talk| talk.agreed.seq > 0 && !came.added.is_empty()) else {
            return;
        };
        talk.newcomers = true;
        out.save(talk.record());
        let new = |dk: DeviceKey| came.added.iter().any(|member| member.dk == dk);
        let members = self.groups.get(&id).and_then(Option::as_ref).map(crate::seal::mls::Group::members);
        let first = members.into_iter().flatten().map(|member| member.dk).filter(|dk| !new(*dk)).min();
        if first.is_some() && first == self.dk() {
            self.remind(tick, id, out);
        }
    }

    /// Says the policy once more where somebody may know nothing of it, and it doesn't wait to be said already. Whose turn it
    /// is may be gone for good: so each does, before what it says next ([V-9]).
    pub(super) fn remind(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let talk = self.talks.get(&id).filter(|talk| talk.newcomers && talk.agreed.seq > 0);
        let Some(Agreed { policy, seq }) = talk.map(|talk| talk.agreed) else { return };
        let says = |draft: &Draft| draft.talk == id && matches!(control_of(draft), Some(Control::Policy { .. }));
        if self.drafts.len() < limits::DRAFTS && !self.drafts.values().any(says) {
            let control = Control::Policy { policy, set: Some(seq) };
            self.control(tick, id, Said::Control { control, again: None }, out);
        }
    }

    /// Whether a message is here, and what that takes.
    pub(super) fn there(&self, id: ConversationId, of: Target, wanted: &mut Wanted) -> There {
        let Some(kept) = self.kept(id, of.place, wanted) else { return There::Awaited };
        match self.versions(id, of.place, wanted) {
            // Something else lies there, or no message.
            _ if kept.id != of.message => There::Awaited,
            Err(_) => There::Awaited,
            Ok(versions) if versions.is_empty() => There::Gone,
            Ok(_) => There::Here,
        }
    }

    /// What something does that was done to the conversation itself.
    pub(super) fn plan_control(
        &self,
        id: ConversationId,
        seq: u64,
        kept: &Kept,
        control: Control,
        wanted: &mut Wanted,
    ) -> Plan {
        if let Control::Policy { .. } = control {
            // Readings obeyed it as soon as it was taken, and who may not was refused.
            return Plan::Nothing;
        }
        let who = self.entry(id, seq, kept).author;
        if let Some(Err(why)) = self.talks.get(&id).map(|talk| self.may(talk, who, &control)) {
            return Plan::Refused(why);
        }
        let (of, pinned) = match control {
            Control::Pin(of) => (of, true),
            Control::Unpin(of) => (of, false),
            Control::Remove(of) => {
                return self.change(id, seq, Some(of.place), of.message, revision::What::Removal, wanted);
            }
            Control::Policy { .. } => return Plan::Nothing,
        };
        self.wanted_pins(id, wanted);
        Plan::Pin { of, pinned, there: self.there(id, of, wanted) }
    }

    pub(super) fn refuse_by(&self, who: Identity, id: ConversationId, why: PeerFault, out: &mut Outbox<Output>) {
        let who = self.address_of(who).map_or(Who::Conversation(id), Who::Person);
        Self::refuse(who, why, out);
    }

    /// Tells the pins something, and people what comes of it; `by`: who did it, where somebody did.
    pub(super) fn pin(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        input: pin::Input,
        by: Option<Identity>,
        out: &mut Outbox<Output>,
    ) {
        let (before, mut told) = (self.pins_in(id), Outbox::new());
        let mut pins = before.clone();
        // None of this is misuse.
        pins.step(tick, input, &mut told).unwrap_or_default();
        if told.records().next().is_some() {
            let other = |one: &Pins, than: &Pins| {
                let stand: Vec<_> = than.standing().collect();
                one.standing().filter(|pin| !stand.contains(pin)).map(|pin| pin.of.place).collect::<Vec<_>>()
            };
            for place in [other(&before, &pins), other(&pins, &before)].concat() {
                self.unsettle(id, place, out);
            }
            self.views.pins.insert(id, Some(pins));
        }
        let (pin::Input::Set { of: about, .. } | pin::Input::Is(about, _)) = input;
        for output in out.adopt(told) {
            let (of, pinned) = match output {
                pin::Output::Pinned(of) => (of, true),
                pin::Output::Unpinned(of) => (of, false),
            };
            self.tell_pinned(id, of, pinned, by.filter(|_| of == about), out);
        }
    }

    /// A message that comes late may have been pinned before.
    pub(super) fn pins_of_late(&mut self, tick: &Tick, id: ConversationId, of: Target, out: &mut Outbox<Output>) {
        let there = self.there(id, of, &mut Wanted::new());
        self.pin(tick, id, pin::Input::Is(of, there), None, out);
    }

    /// Of a message that isn't here nothing is told until it is.
    fn tell_pinned(
        &self,
        id: ConversationId,
        of: Target,
        pinned: bool,
        by: Option<Identity>,
        out: &mut Outbox<Output>,
    ) {
        let here = self.said.get(&(id, of.place)).and_then(Option::as_ref).is_some_and(|kept| kept.id == of.message);
        if here {
            let by = by.and_then(|who| self.address_of(who));
            let event = Event::Pinned { conversation: id, id: of.message, seq: of.place, by, pinned };
            Self::tell(event, out);
        }
    }

    /// Who pinned a message that is here, and in which entry; room or not.
    pub(super) fn pin_of(&self, id: ConversationId, of: Target, wanted: &mut Wanted) -> Option<pin::Pinned> {
        self.wanted_pins(id, wanted);
        self.views.pins.get(&id)?.as_ref()?.standing().find(|pin| pin.of == of)
    }

    /// Whether a message is shown as pinned.
    pub(super) fn is_pinned(&self, id: ConversationId, of: Target, wanted: &mut Wanted) -> bool {
        self.wanted_pins(id, wanted);
        self.views.pins.get(&id).and_then(Option::as_ref).is_some_and(|pins| pins.has(of))
    }

    /// The pinned messages that are here, and what that takes.
    pub(super) fn pinned(&self, id: ConversationId, wanted: &mut Wanted) -> Vec<Pinned> {
        self.wanted_pins(id, wanted);
        let shown = self.pins_in(id).shown().into_iter();
        shown
            .filter_map(|pin| {
                let message = self.shown_at(id, pin.of.place, wanted)?;
                let by = self.address_of(pin.by);
                (message.id == pin.of.message && message.is_there()).then_some(Pinned { message, by })
            })
            .collect()
    }

    /// Shows what is pinned.
    pub(super) fn show_pins(&self, id: ConversationId, out: &mut Outbox<Output>) {
        if !self.talks.contains_key(&id) {
            return Self::decline(Declined::NoConversation(id), out);
        }
        Self::tell(Event::Pins { conversation: id, pinned: self.pinned(id, &mut Wanted::new()) }, out);
    }
}

/// What an entry is called in which something was done: nobody else can say.
pub(super) fn name(id: ConversationId, seq: u64) -> ContentId {
    ContentId(sha256(&[b"postline/1 control\0", &id.0, &seq.to_be_bytes()]).0)
}

/// What a draft does to its conversation.
pub(super) fn control_of(draft: &Draft) -> Option<Control> {
    let Ok(Read::Known(inner)) = Inner::read(&draft.inner) else { return None };
    if let Said::Control { control, again: None } = inner.what { Some(control) } else { None }
}
