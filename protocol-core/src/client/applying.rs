//! What was opened becomes what people see: each entry is joined to what it is about, in the log's order, as soon as the
//! records of that are here.
//!
//! ```text
//!   said/… ──in order; what came late, at once──▶ planning ──all records here──▶ carried out
//!                                                  └──one is missing──▶ it is brought for the next step
//!
//!     message ──────────▶ Said              its end is noted (ending); costs no record of its own until something is said about it
//!     edit, retract ────▶ machine/revision  of the first, which lies at `about` ──▶ Changed; words are forgotten
//!     reaction … ───────▶ machine/reaction  of the message of the version at `about` ──▶ Reacted
//!     what it is about hasn't come ──▶ it waits under that name (machine/thread), and is applied again when that comes
//! ```
//!
//! `talk/…` says up to where entries were applied, and which are to be applied out of turn: a crash in between applies them
//! again, which changes nothing. Whoever names a place where something else lies leads nowhere ([R-13]).

use super::Client;
use super::io::{self, Answers, Changed, Event as Told, Now, Output};
use super::planning::{Entry, Lead, Plan, Target, Turn, Wanted, first_of};
use super::said::Role;
use super::timers::What;
use super::views::Spot;
use crate::canary::{self, Canary};
use crate::fault::PeerFault;
use crate::id::{Address, ContentId, ConversationId, Identity};
use crate::limits;
use crate::machine::pin::{self, There};
use crate::machine::reaction::{self, Reactions};
use crate::machine::revision::{self, Revisions, View};
use crate::machine::thread::{self, Name};
use crate::step::{Machine as _, Outbox, Tick};
use crate::wire::control as wire;

impl Client {
    /// Applies what is next, as far as its records are here.
    pub(super) fn apply(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let mut moved = false;
        for _ in 0..limits::CLIENT_BATCH {
            let Some((seq, turn)) = self.next_to_apply(id) else { break };
            let mut wanted = Wanted::new();
            let plan = self.plan(id, seq, turn, &mut wanted);
            if !wanted.is_empty() {
                break;
            }
            if let Some(talk) = self.talks.get_mut(&id) {
                match turn {
                    Turn::Next => talk.applied = seq,
                    Turn::Late => _ = talk.late.remove(&seq),
                    Turn::Adopted => _ = talk.adopted.remove(&seq),
                }
            }
            if let Some(entry) =
                self.said.get(&(id, seq)).and_then(Option::as_ref).map(|kept| self.entry(id, seq, kept))
            {
                self.carry_out_plan(tick, entry, turn, plan, out);
            }
            moved = true;
        }
        self.page(tick, id, out);
        if self.next_to_apply(id).is_some() {
            self.timers.by(What::Talk(id), tick.now);
        }
        if let Some(talk) = self.talks.get(&id).filter(|_| moved) {
            out.save(talk.record());
        }
    }

    fn carry_out_plan(&mut self, tick: &Tick, entry: Entry, turn: Turn, plan: Plan, out: &mut Outbox<Output>) {
        let Entry { talk, seq, .. } = entry;
        if let Some(place) = plan.changes(seq, turn) {
            self.unsettle(talk, place, out);
        }
        let noted = matches!(plan, Plan::Message { .. } | Plan::Change { .. }) && turn != Turn::Adopted;
        let over = noted && self.note_end(talk, seq, out);
        match plan {
            Plan::Nothing => {}
            Plan::Void => self.forget_words(talk, seq, out),
            // Its message has ended too, or ends otherwise: then the edit doesn't count ([R-4]).
            Plan::Change { .. } if over => self.forget_words(talk, seq, out),
            Plan::Message { answers, first } => {
                if let Some((version, Lead::Waits(place))) = answers {
                    self.names(tick, (talk, place, version), thread::Input::NamedBy(seq), out);
                }
                if over {
                    if turn == Turn::Late {
                        self.page_late(talk, seq, out);
                    }
                    self.message_is_over(tick, talk, seq, out);
                } else {
                    self.message_applied(tick, entry, turn, answers, first, out);
                }
            }
            Plan::Change { target, what } => self.revise(tick, entry, target, what, None, out),
            Plan::Pin { of, pinned, there } => {
                let set = pin::Input::Set { seq, by: entry.author, of, pinned, there };
                self.pin(tick, talk, set, Some(entry.author), out);
            }
            Plan::Refused(why) => self.refuse_by(entry.author, talk, why, out),
            Plan::Signs { version, lead, heard } => match lead {
                Lead::To(target) => self.react(tick, entry, target, heard, out),
                Lead::Waits(place) => self.names(tick, (talk, place, version), thread::Input::NamedBy(seq), out),
                Lead::Nowhere => {}
            },
        }
        let message = match entry.role {
            Role::Message => entry.name,
            Role::Edit(message) => message,
            Role::Aside | Role::Act(_) => return,
        };
        self.name_files(talk, seq, out);
        let name = (talk, seq, entry.name);
        if turn == Turn::Late && matches!(self.views.names.get(&name), Some(Some(_))) {
            self.names(tick, name, thread::Input::Is(thread::Of { seq, message }), out);
        }
    }

    /// A message has its place.
    fn message_applied(
        &mut self,
        tick: &Tick,
        entry: Entry,
        turn: Turn,
        answers: Option<(ContentId, Lead)>,
        first: Option<revision::What>,
        out: &mut Outbox<Output>,
    ) {
        let Entry { talk, seq, name, .. } = entry;
        let answers = answers.map(|(version, lead)| match lead {
            Lead::To(Target { place, .. }) => Answers { version, message: Some(place) },
            Lead::Waits(_) | Lead::Nowhere => Answers { version, message: None },
        });
        if turn == Turn::Adopted {
            if let Some(Answers { message: Some(message), .. }) = answers {
                self.now(talk, name, seq, Now::Answers { message }, out);
            }
            return;
        }
        if turn == Turn::Late {
            self.page_late(talk, seq, out);
            // Of what is told twice, the record was written anew.
            if matches!(self.views.reactions.get(&(talk, seq, name)), Some(Some(_))) {
                self.touch(talk, seq, out);
            }
        }
        let said = self.said_in(entry, turn, answers);
        // Of what comes in its turn nobody can have spoken.
        let spoken_of = matches!(self.views.messages.get(&(talk, seq, name)), Some(Some(_)));
        match first.filter(|_| spoken_of) {
            Some(first) => self.revise(tick, entry, Target { message: name, place: seq }, first, said, out),
            // Until `talk/…` says that it was applied, it is applied again, and told again, under the same seq and id: from
            // our own record of it, or, where a crash took that too, by the node, which holds it until our Have.
            None => said.into_iter().for_each(|said| Self::tell_early(said, out)),
        }
        if turn == Turn::Late {
            self.pins_of_late(tick, talk, wire::Target { message: name, place: seq }, out);
        }
    }

    /// The time of a message is over: none of its words are kept from here on, and what people see is that ([X-1]).
    pub(super) fn message_is_over(&mut self, tick: &Tick, talk: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        let Some(Some(kept)) = self.said.get(&(talk, seq)) else { return };
        let (entry, first) = (self.entry(talk, seq, kept), kept.content.as_ref().map(first_of));
        let target = Target { message: entry.name, place: seq };
        self.unsettle(talk, seq, out);
        if let Some(first) = first {
            self.revise(tick, entry, target, first, None, out);
        }
        self.revise(tick, entry, target, revision::What::Expiry, None, out);
    }

    /// What is told of a message, where another device said it.
    fn said_in(&self, entry: Entry, turn: Turn, answers: Option<Answers>) -> Option<Told> {
        let Entry { talk: conversation, seq, name: id, at, .. } = entry;
        let kept = self.said.get(&(conversation, seq))?.as_ref()?;
        let (author, content) = (self.author(kept.by.as_ref()?), kept.content.clone()?);
        let late = turn == Turn::Late;
        let mentions = self.mentioned(conversation, &content);
        Some(Told::Said(io::Said { conversation, seq, late, id, author, at, content, answers, mentions }))
    }

    /// The versions of a message, with one more thing said of it.
    fn revise(
        &mut self,
        tick: &Tick,
        entry: Entry,
        target: Target,
        what: revision::What,
        said: Option<Told>,
        out: &mut Outbox<Output>,
    ) {
        let (talk, key) = (entry.talk, (entry.talk, target.place, target.message));
        let known = self.views.messages.remove(&key).flatten();
        let mut revisions = known.unwrap_or_else(|| Revisions::new(talk, target.place, target.message));
        if revisions.first().is_none()
            && target.place != entry.seq
            && let Some(Some(first)) = self.said.get(&(talk, target.place))
            && let Some(content) = &first.content
        {
            let heard = self.entry(talk, target.place, first).heard(first_of(content));
            // It is shown already: what comes of it is no news.
            let _shown = stepped(&mut revisions, tick, heard, out);
        }
        let outputs = stepped(&mut revisions, tick, entry.heard(what), out);
        // What is gone before it comes is never shown.
        said.filter(|_| matches!(revisions.view(), View::Words(_))).into_iter().for_each(|said| Self::tell(said, out));
        // A retract brings no words, and is said again to who couldn't open it.
        if entry.role != Role::Aside && !revisions.words().contains(&entry.seq) {
            self.forget_words(talk, entry.seq, out);
        }
        self.views.messages.insert(key, Some(revisions));
        self.touch(talk, target.place, out);
        for output in outputs {
            self.revised(tick, entry, target, output, out);
        }
    }

    fn revised(
        &mut self,
        tick: &Tick,
        entry: Entry,
        target: Target,
        output: revision::Output,
        out: &mut Outbox<Output>,
    ) {
        let (talk, Target { message, place }) = (entry.talk, target);
        if matches!(output, revision::Output::Shown(View::Retracted | View::Removed { .. } | View::Expired)) {
            self.pin(tick, talk, pin::Input::Is(wire::Target { message, place }, There::Gone), None, out);
        }
        match output {
            revision::Output::Keep(_) | revision::Output::Shown(View::Awaited) => {}
            revision::Output::Forget(words) => self.forget_words(talk, words, out),
            revision::Output::Shown(View::Retracted) => self.now(talk, message, place, Now::Retracted, out),
            revision::Output::Shown(View::Expired) => self.now(talk, message, place, Now::Expired, out),
            revision::Output::Shown(View::Removed { by }) => self.now(talk, message, place, Now::Removed { by }, out),
            revision::Output::Shown(View::Words(version)) => {
                let words = self.said.get(&(talk, version.seq)).and_then(Option::as_ref);
                if let (Some(content), true) = (words.and_then(|kept| kept.content.clone()), version.no > 0) {
                    let now = Now::Edited { version: version.id, no: version.no, at: version.at, content };
                    self.now(talk, message, place, now, out);
                }
            }
            revision::Output::Refused(why) => self.refuse_entry(entry, why, out),
        }
    }

    fn refuse_entry(&self, entry: Entry, why: PeerFault, out: &mut Outbox<Output>) {
        self.refuse_by(entry.author, entry.talk, why, out);
    }

    fn now(&self, conversation: ConversationId, id: ContentId, seq: u64, now: Now, out: &mut Outbox<Output>) {
        Self::tell(Told::Changed(Changed { conversation, id, seq, now }), out);
    }

    /// Lets go of the words that an entry brought: nothing gives them any more (attack 55).
    pub(super) fn forget_words(&mut self, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        if let Some(Some(kept)) = self.said.get_mut(&(id, seq))
            && !canary::is_on(Canary::WordsStay)
            && let Some(content) = kept.content.take()
        {
            out.save(kept.record(id, seq));
            let by = kept.by.clone();
            self.unname_files(id, seq, by.as_ref(), &content, out);
        }
    }

    /// Notes at a message that there are records of what became of it.
    fn touch(&mut self, id: ConversationId, place: u64, out: &mut Outbox<Output>) {
        if let Some(Some(kept)) = self.said.get_mut(&(id, place))
            && !kept.touched
        {
            kept.touched = true;
            out.save(kept.record(id, place));
        }
    }

    /// The signs at a message, with some more, or some less.
    fn react(
        &mut self,
        tick: &Tick,
        entry: Entry,
        target: Target,
        heard: Vec<reaction::What>,
        out: &mut Outbox<Output>,
    ) {
        let (conversation, Target { message: id, place: seq }) = (entry.talk, target);
        let known = self.views.reactions.remove(&(conversation, seq, id)).flatten();
        let mut reactions = known.unwrap_or_else(|| Reactions::new(conversation, seq, id));
        for what in heard {
            let mut told = Outbox::new();
            let heard = reaction::Heard { seq: entry.seq, author: entry.author, what };
            if reactions.step(tick, heard, &mut told).is_err() {
                continue;
            }
            for output in out.adopt(told) {
                let (who, sign, shown) = match output {
                    reaction::Output::Added(who, sign) => (who, sign, true),
                    reaction::Output::Withdrawn(who, sign) => (who, sign, false),
                    reaction::Output::Refused(why) => {
                        self.refuse_entry(entry, why, out);
                        continue;
                    }
                };
                let who = self.address_of(who);
                Self::tell(Told::Reacted { conversation, id, seq, who, sign, shown }, out);
            }
        }
        self.views.reactions.insert((conversation, seq, id), Some(reactions));
        self.touch(conversation, seq, out);
    }

    /// Whose an identity is, of the people that are known here.
    pub(super) fn address_of(&self, who: Identity) -> Option<Address> {
        if self.identity() == Some(who) {
            return Some(self.ours.address.clone());
        }
        let theirs = |contact: &&super::Contact| contact.chain.as_ref().is_some_and(|chain| chain.identity() == who);
        self.contacts.values().find(theirs).map(|contact| contact.address.clone())
    }

    /// Something about a name that somebody waits for, or is waited for.
    fn names(&mut self, tick: &Tick, named: Spot, input: thread::Input, out: &mut Outbox<Output>) {
        let (id, place, version) = named;
        let known = self.views.names.remove(&named).flatten();
        let mut name = known.unwrap_or_else(|| Name::new(id, place, version));
        let mut told = Outbox::new();
        if name.step(tick, input, &mut told).is_ok() {
            for output in out.adopt(told) {
                if let (thread::Output::Leads { from, .. }, Some(talk)) = (output, self.talks.get_mut(&id)) {
                    talk.adopted.insert(from);
                }
            }
        }
        self.views.names.insert(named, Some(name));
    }

    /// An entry came out of its turn: it is applied, before the log goes on.
    pub(super) fn apply_late(&mut self, tick: &Tick, id: ConversationId, seq: u64) {
        if let Some(talk) = self.talks.get_mut(&id).filter(|talk| seq <= talk.applied) {
            talk.late.insert(seq);
            self.timers.by(What::Talk(id), tick.now);
        }
    }
}

/// What one more thing said of a message makes of it.
fn stepped(
    revisions: &mut Revisions,
    tick: &Tick,
    heard: revision::Heard,
    out: &mut Outbox<Output>,
) -> Vec<revision::Output> {
    let mut told = Outbox::new();
    if revisions.step(tick, heard, &mut told).is_ok() { out.adopt(told) } else { Vec::new() }
}
