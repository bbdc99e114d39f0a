//! How far what was said has got: the log, the nodes and the others tell the marks, and what those want is done.
//! Spec: `spec/13-marks.md`.
//!
//! ```text
//!   entry, head, Delivered, a reading ──▶ machine::mark ──rose──▶ the entry's record ──▶ Event::Mark
//!                      ReadUpTo ──▶ │ Key::Marks │             └── not at hand: brought for the next wake
//!                                         ├── 1 to 2 s ──▶ a draft of its own
//!                                         └── the person says something ──▶ along with it
//! ```
//!
//! What is read is in the marks' own record. How far the log is signed, and delivered, rides along with the conversation's:
//! no message makes a device write for its marks. What can't be told now waits until it can.

use std::collections::BTreeMap;

use super::ending::Whose;
use super::inner::{Inner, Read, What as Said};
use super::io::{Declined, Event as Told, Mark, Output, Who};
use super::said::Draft;
use super::timers::What;
use super::{Client, Talk};
use crate::fault::PeerFault;
use crate::id::{Address, ConversationId, Identity};
use crate::limits;
use crate::machine::mark::{self, Audience, Input, Marks, Policy, Post, Rules};
use crate::seal::lists::Chain;
use crate::seal::mls::KnownHead;
use crate::step::{Machine as _, Outbox, Tick};
use crate::time::Millis;
use crate::wire::mark::Position;
use crate::wire::memo::Choice;

/// Who is in a conversation, and who may hear what is read there, as it is now.
#[derive(Clone, Copy)]
struct Around {
    us: Identity,
    /// The other; `None` while their lists aren't here.
    with: Option<Identity>,
    rules: Rules,
}

impl Client {
    /// How far what was said in a conversation has got, as this device knows.
    #[must_use]
    pub fn marks(&self, conversation: ConversationId) -> Option<&Marks> {
        self.marks.get(&conversation)
    }

    /// Whether the others hear what the person reads in a conversation, as they chose, where it leaves that to them.
    pub(super) fn tells_read(&self, talk: &Talk) -> bool {
        talk.tells.unwrap_or(!self.own.quiet)
    }

    /// Whether nobody is to tell what they read here, and who does had not heard of that yet: it counts for nothing, and is
    /// no fault of theirs. By what they say that they had heard: whoever hides it is not blamed, and gains nothing.
    pub(super) fn forbade_meanwhile(&self, id: ConversationId, who: Identity, head: Option<KnownHead>) -> bool {
        let since = self.talks.get(&id).filter(|_| self.is_forbidden(id)).map(|talk| talk.agreed.seq);
        Some(who) != self.identity() && since.is_some_and(|since| head.is_none_or(|head| head.seq < since))
    }

    fn is_forbidden(&self, id: ConversationId) -> bool {
        self.talks.get(&id).is_some_and(|talk| talk.agreed.policy == Policy::Forbidden)
    }

    /// Whether a draft tells what was read, where nobody is to tell that any more.
    pub(super) fn is_untold(&self, draft: &Draft) -> bool {
        self.is_forbidden(draft.talk)
            && matches!(Inner::read(&draft.inner), Ok(Read::Known(inner)) if matches!(inner.what, Said::Read { .. }))
    }

    fn around(&self, id: ConversationId) -> Option<Around> {
        let talk = self.talks.get(&id)?;
        let us = self.own.chain.as_ref()?.identity();
        let with = self.chain_of(&talk.with).map(Chain::identity);
        let (policy, choice, open) = (talk.agreed.policy, self.tells_read(talk), self.may_seal_to(&talk.with));
        Some(Around { us, with, rules: Rules { policy, choice, open } })
    }

    /// The marks of a conversation, told of what is around it; `None` while nobody knows who this person is.
    pub(super) fn marks_now(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        out: &mut Outbox<Output>,
    ) -> Option<&mut Marks> {
        let around = self.around(id)?;
        let talk = self.talks.get(&id)?;
        // What they say of what was known before is no news.
        let mut known = Outbox::new();
        let marks = self.marks.entry(id).or_insert_with(|| begun(tick, talk, around, &mut known));
        tell_around(tick, marks, around, talk.seq, &mut known);
        out.adopt(known);
        Some(marks)
    }

    /// The marks of all conversations, as far as those' records say: when the device is restored, and when it is the person's.
    pub(super) fn restore_marks(&mut self) {
        let tick = Tick { now: Millis(0), entropy: [0; 32] };
        for id in self.talks.keys().copied().collect::<Vec<_>>() {
            let (Some(around), Some(talk)) = (self.around(id), self.talks.get(&id)) else { continue };
            let mut known = Outbox::new();
            let marks = self.marks.entry(id).or_insert_with(|| Marks::new(id, around.us));
            tell_around(&tick, marks, around, talk.seq, &mut known);
            tell_log(&tick, marks, talk, around.with, &mut known);
            // There is no chance here to draw a wait from: the wake draws it.
            marks.undraw();
            if marks.waits() {
                self.timers.set(What::Read(id), Some(Millis(0)));
            }
        }
    }

    /// Tells the marks of a conversation something, and does what they want; gives what of the person's reading is to be
    /// told, and to whom.
    pub(super) fn mark(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        input: Input,
        out: &mut Outbox<Output>,
    ) -> Option<(Position, Audience)> {
        let marks = self.marks_now(tick, id, out)?;
        let mut said = Outbox::new();
        let before = marks.read().whole();
        // None of this is misuse.
        marks.step(tick, input, &mut said).ok()?;
        let (whole, deadline) = (marks.read().whole(), marks.deadline());
        let us = self.own.chain.as_ref().map(Chain::identity);
        let (mut tells, mut elsewhere) = (None, false);
        let saves = said.records().next().is_some();
        for output in out.adopt(said) {
            match output {
                mark::Output::Rose { who, .. } if who.is_some() && who == us => elsewhere = true,
                mark::Output::Rose { from, to, mark, .. } => self.rise(id, from, to, mark),
                mark::Output::Post(content, post) => {
                    let mark = match post {
                        Post::Expired => Mark::Expired,
                        Post::Failed(why) => Mark::Failed(why),
                        // That it waits was said already; what comes of the entry is said of it.
                        Post::Queued | Post::Placed(_) => continue,
                    };
                    Self::tell(Told::Mark { conversation: id, id: content, seq: None, mark }, out);
                }
                mark::Output::Tell(read, audience) => tells = Some((read, audience)),
                mark::Output::Refused(why) => Self::refuse(Who::Conversation(id), why, out),
            }
        }
        if elsewhere && whole > before {
            Self::tell(Told::ReadElsewhere { conversation: id, seq: whole }, out);
        }
        self.mark_more(id, out);
        if let (true, Some(talk)) = (saves, self.talks.get(&id)) {
            // What their record holds is said, or waits to be: in this one.
            out.save(talk.record());
        }
        self.timers.set(What::Read(id), deadline.filter(|_| self.may_tell_read(id)));
        tells
    }

    /// How far the node of a member has it.
    pub(super) fn delivered(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        member: &Address,
        seq: u64,
        out: &mut Outbox<Output>,
    ) {
        let Some(talk) = self.talks.get(&id) else { return };
        if talk.with != *member {
            return Self::refuse(Who::Conversation(id), PeerFault::Event("a mark of one who is no member"), out);
        }
        // It may be said before the entry comes, but not long before: to a device that was away it is said again.
        let known = talk.seq.saturating_add(limits::RANGE);
        if let Some(who) = self.chain_of(member).map(Chain::identity).filter(|_| seq <= known) {
            self.mark(tick, id, Input::Delivered(who, seq), out);
        }
    }

    /// A range of entries has got further: those of them that the person said are marked, once they are at hand.
    fn rise(&mut self, id: ConversationId, from: u64, to: u64, mark: mark::Mark) {
        let Some(talk) = self.talks.get_mut(&id) else { return };
        if mark == mark::Mark::Delivered {
            talk.delivered = talk.delivered.max(to);
        }
        (from.max(to.saturating_sub(limits::MARKED))..=to).for_each(|seq| talk.mark_later(seq, mark));
    }

    /// Says marks that had to wait for their entries.
    pub(super) fn say_marks(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        let waited = self.talks.get(&id).is_some_and(|talk| !talk.unmarked.is_empty());
        self.mark_more(id, out);
        if let Some(talk) = self.talks.get(&id).filter(|talk| waited && talk.unmarked.is_empty()) {
            out.save(talk.record());
        }
    }

    /// Says the marks whose entries are at hand; the others wait for theirs.
    fn mark_more(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        for _ in 0..limits::CLIENT_BATCH {
            let Some((seq, mark)) = self.talks.get(&id).and_then(|talk| talk.unmarked.first().copied()) else { return };
            if !self.said.contains_key(&(id, seq)) {
                break;
            }
            self.say_mark(id, seq, mark, out);
            if let Some(talk) = self.talks.get_mut(&id) {
                talk.unmarked.pop_first();
            }
        }
        if self.talks.get(&id).is_some_and(|talk| !talk.unmarked.is_empty()) {
            self.timers.by(What::Talk(id), self.now);
        }
    }

    fn say_mark(&self, id: ConversationId, seq: u64, mark: mark::Mark, out: &mut Outbox<Output>) {
        let Some(kept) = self.said.get(&(id, seq)).and_then(Option::as_ref) else { return };
        let ours = kept.by.as_ref().is_none_or(|by| by.author == self.ours.address);
        // Where it has got further by now, that is said of it.
        let is_so_far = self.marks.get(&id).is_some_and(|marks| marks.with_all(seq) == Some(mark));
        // Of what was taken back too: its words are gone, and it was said. What has other bytes is no content.
        if ours && is_so_far && kept.raw.is_none() {
            // Whoever said so says it again until this device has it: the node how far it is signed and delivered, by a
            // head and a mark, and the entry in which the other says that it was read, until our Have of it.
            Self::tell_early(Told::Mark { conversation: id, id: kept.id, seq: Some(seq), mark: mark.into() }, out);
        }
    }

    /// The person has seen everything up to here.
    pub(super) fn read_up_to(&mut self, tick: &Tick, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        if !self.talks.contains_key(&id) {
            return Self::decline(Declined::NoConversation(id), out);
        }
        if self.own.chain.is_none() {
            return Self::decline(Declined::NotEnrolled, out);
        }
        let read = |client: &Self| client.marks.get(&id).map(Marks::read);
        let before = read(self);
        self.mark(tick, id, Input::Saw { from: 1, to: seq }, out);
        if read(self) != before {
            self.reading_counts(id, Whose::Ourselves, tick.now, out);
        }
    }

    /// The person chooses whether others hear what they read: in one conversation, or wherever they chose nothing of its
    /// own.
    pub(super) fn choose_to_tell(
        &mut self,
        tick: &Tick,
        only: Option<ConversationId>,
        tell: bool,
        out: &mut Outbox<Output>,
    ) {
        let before = match only {
            Some(id) => match self.talks.get(&id) {
                Some(talk) => talk.choice(),
                None => return Self::decline(Declined::NoConversation(id), out),
            },
            None => self.own.choice(),
        };
        // It counts over what was chosen before, whichever clock that was chosen by.
        let at = before.map_or(tick.now, |before| tick.now.max(before.at.plus(1)));
        self.take_choice(tick, only, Choice { at, tells: tell }, out);
        match only {
            Some(id) => self.tell_own_of(id, out),
            None => self.tell_own_of_choice(out),
        }
    }

    /// Whether what was read can be told now, if that is wanted: to oneself always.
    fn may_tell_read(&self, id: ConversationId) -> bool {
        let (Some(marks), Some(talk)) = (self.marks.get(&id), self.talks.get(&id)) else { return false };
        marks.audience() == Audience::Ourselves || (talk.joined.is_some() && self.may_change(id))
    }

    /// What couldn't be told goes on waiting, for as long as is left.
    pub(super) fn go_on_telling(&mut self, tick: &Tick, id: ConversationId) {
        let waits = self.marks.get(&id).filter(|marks| marks.waits()).map(|marks| marks.deadline());
        if let Some(at) = waits.filter(|_| self.may_tell_read(id)) {
            self.timers.by(What::Read(id), at.unwrap_or(tick.now).max(tick.now));
        }
    }

    /// Tells the others, and with them the person's other devices, what was read. What is for oneself alone is told to those
    /// by another way: of an entry in the log everybody would see when it came.
    pub(super) fn tell_read(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        if self.marks_now(tick, id, out).is_none() || !self.may_tell_read(id) {
            return;
        }
        match self.mark(tick, id, Input::Wake, out) {
            Some((_, Audience::Ourselves)) => self.tell_own_of(id, out),
            Some((read, _)) => self.control(tick, id, Said::Read { read }, out),
            None => {}
        }
    }

    /// What the person says takes along what they have read, where that waits to be told.
    pub(super) fn take_along(&mut self, tick: &Tick, draft: &mut Draft, out: &mut Outbox<Output>) {
        if self.is_forbidden(draft.talk) {
            draft.along = None;
        }
        if draft.along.is_some() || !self.marks.get(&draft.talk).is_some_and(Marks::waits) {
            return;
        }
        if draft.content().is_some() {
            draft.along = self.mark(tick, draft.talk, Input::Along, out).map(|(read, _)| read);
        }
    }
}

/// The marks of a conversation that is known, and whose marks are not.
fn begun(tick: &Tick, talk: &Talk, around: Around, known: &mut Outbox<mark::Output>) -> Marks {
    let mut marks = Marks::new(talk.id, around.us);
    tell_around(tick, &mut marks, around, talk.seq, known);
    tell_log(tick, &mut marks, talk, around.with, known);
    marks
}

fn tell_around(tick: &Tick, marks: &mut Marks, around: Around, head: u64, out: &mut Outbox<mark::Output>) {
    marks.is_of(around.us);
    if let Some(with) = around.with.filter(|with| !marks.others().eq([*with])) {
        // Who comes in another's place has heard nothing of what was there before them.
        let since = if marks.others().next().is_none() { 1 } else { head.saturating_add(1) };
        step(tick, marks, Input::Members(BTreeMap::from([(with, since)])), out);
    }
    if marks.rules() != around.rules {
        step(tick, marks, Input::Rules(around.rules), out);
    }
}

fn tell_log(tick: &Tick, marks: &mut Marks, talk: &Talk, with: Option<Identity>, out: &mut Outbox<mark::Output>) {
    step(tick, marks, Input::Head { seq: talk.seq, heard: talk.heard }, out);
    step(tick, marks, Input::Sent(talk.sent), out);
    if let Some(with) = with {
        step(tick, marks, Input::Delivered(with, talk.delivered), out);
    }
}

/// None of this is misuse.
fn step(tick: &Tick, marks: &mut Marks, input: Input, out: &mut Outbox<mark::Output>) {
    marks.step(tick, input, out).unwrap_or_default();
}

impl From<mark::Mark> for Mark {
    fn from(mark: mark::Mark) -> Self {
        match mark {
            mark::Mark::Queued => Self::Queued,
            mark::Mark::Sent => Self::Sent,
            mark::Mark::Delivered => Self::Delivered,
            mark::Mark::Read => Self::Read,
        }
    }
}
