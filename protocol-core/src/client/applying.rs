//! What was opened becomes what people see: each entry is joined to what it is about, in the log's order, as soon as the
//! records of that are here.
//!
//! ```text
//!   said/… ──in order; what came late, at once──▶ plan ──all records here──▶ carried out
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

use std::collections::BTreeSet;

use super::Client;
use super::io::{self, Answers, Changed, Event as Told, Now, Output};
use super::said::{Kept, Role};
use super::timers::What;
use super::views::Spot;
use crate::canary::{self, Canary};
use crate::content::kind::Kind;
use crate::content::message::Expiry;
use crate::fault::PeerFault;
use crate::id::{Address, ContentId, ConversationId, Identity};
use crate::limits;
use crate::machine::pin::{self, There};
use crate::machine::reaction::{self, Reactions};
use crate::machine::revision::{self, Protection, Revisions, View};
use crate::machine::thread::{self, Name};
use crate::step::{Machine as _, Outbox, Tick};
use crate::store::Key;
use crate::time::Millis;
use crate::wire::content::Content;
use crate::wire::control as wire;

/// Records that are wanted first.
pub(super) type Wanted = BTreeSet<Key>;

/// Why an entry is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is next.
    Next,
    /// It came after others behind it.
    Late,
    /// What it named came late.
    Adopted,
}

/// An entry, as what is applied of it needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    talk: ConversationId,
    seq: u64,
    name: ContentId,
    role: Role,
    pub(super) author: Identity,
    at: Millis,
}

impl Entry {
    const fn heard(self, what: revision::What) -> revision::Heard {
        let Self { seq, name: id, author, at, .. } = self;
        revision::Heard { id, seq, author, at, protection: Protection::Sealed, what }
    }
}

/// A message, and the place of its first version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) message: ContentId,
    pub(super) place: u64,
}

/// Where something leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// To this message.
    To(Target),
    /// What it names, at this place, hasn't come.
    Waits(u64),
    /// Something else lies there, or it comes later.
    Nowhere,
}

/// What an entry does.
#[derive(Debug)]
pub(super) enum Plan {
    /// It isn't for people.
    Nothing,
    /// It leads nowhere: words that it brings are nobody's.
    Void,
    /// It is a message. `first` is what its versions hear of it, where somebody may have spoken of it before it came.
    Message { answers: Option<(ContentId, Lead)>, first: Option<revision::What> },
    /// It edits, or takes back.
    Change { target: Target, what: revision::What },
    /// It pins, or unpins.
    Pin { of: wire::Target, pinned: bool, there: There },
    /// Its author may not do it.
    Refused(PeerFault),
    /// It reacts, or takes that back.
    Signs { version: ContentId, lead: Lead, heard: Vec<reaction::What> },
}

impl Plan {
    /// The place of the message that it makes something else of, or puts among others.
    const fn changes(&self, seq: u64, turn: Turn) -> Option<u64> {
        match self {
            Self::Message { .. } if !matches!(turn, Turn::Next) => Some(seq),
            Self::Change { target, .. } | Self::Signs { lead: Lead::To(target), .. } => Some(target.place),
            Self::Nothing | Self::Void | Self::Refused(_) => None,
            // Pins are in no snapshot.
            Self::Message { .. } | Self::Pin { .. } | Self::Signs { .. } => None,
        }
    }
}

/// Notes a record that is wanted, where it isn't here.
pub(super) fn want<T>(here: Option<&T>, wanted: &mut Wanted, key: impl FnOnce() -> Key) {
    if here.is_none() {
        wanted.insert(key());
    }
}

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

    /// The entry that is next: those that came out of turn first.
    pub(super) fn next_to_apply(&self, id: ConversationId) -> Option<(u64, Turn)> {
        let talk = self.talks.get(&id)?;
        let late = talk.late.first().map(|seq| (*seq, Turn::Late));
        let adopted = talk.adopted.first().map(|seq| (*seq, Turn::Adopted));
        let next = (talk.applied < talk.seq).then(|| (talk.applied.saturating_add(1), Turn::Next));
        late.or(adopted).or(next)
    }

    /// The records that the next entry takes.
    pub(super) fn wanted_to_apply(&self, id: ConversationId) -> Wanted {
        let mut wanted = Wanted::new();
        if let Some((seq, turn)) = self.next_to_apply(id) {
            self.plan(id, seq, turn, &mut wanted);
        }
        wanted
    }

    /// What an entry does, once nothing is wanted.
    fn plan(&self, id: ConversationId, seq: u64, turn: Turn, wanted: &mut Wanted) -> Plan {
        let late = turn == Turn::Late;
        let Some(kept) = self.kept(id, seq, wanted) else { return Plan::Nothing };
        if let Role::Act(control) = kept.role {
            return self.plan_control(id, seq, kept, control, wanted);
        }
        let Some(content) = &kept.content else { return Plan::Nothing };
        let fields = content.fields();
        self.wanted_to_name(kept, wanted);
        if late {
            want(self.views.names.get(&(id, seq, kept.id)), wanted, || Key::Name(id, seq, kept.id));
        }
        match fields.kind() {
            Kind::Message => {
                if late {
                    self.wanted_pins(id, wanted);
                    let at = (id, seq, kept.id);
                    want(self.views.messages.get(&at), wanted, || Key::Message(id, seq, kept.id));
                    want(self.views.reactions.get(&at), wanted, || Key::Reactions(id, seq, kept.id));
                    if self.talks.get(&id).is_some_and(|talk| seq <= talk.paged) {
                        self.wanted_page(id, seq, wanted);
                    }
                }
                let answers =
                    fields.in_reply_to.map(|version| (version, self.lead(id, seq, kept.about, version, wanted)));
                self.wanted_to_note_in(turn, id, seq, kept, wanted);
                let first = late || matches!(kept.ends(), Some(Expiry::At(_)));
                Plan::Message { answers, first: first.then(|| first_of(content)) }
            }
            Kind::Edit { target, no } => {
                self.wanted_to_note_in(turn, id, seq, kept, wanted);
                let no = no.map_or(1, core::num::NonZeroU32::get);
                let what = revision::What::Edit { no, fixed: content.fixed() };
                self.change(id, seq, kept.about, target, what, wanted)
            }
            Kind::Retract { target } => self.change(id, seq, kept.about, target, revision::What::Retract, wanted),
            Kind::Reaction { to, target, signs } => {
                let withdrawn = target.map(|of| reaction::What::Withdrawal { of });
                let signs: BTreeSet<String> = signs.into_iter().map(str::to_owned).collect();
                let some = (!signs.is_empty()).then_some(reaction::What::Reaction { id: kept.id, version: to, signs });
                self.signs(id, seq, kept, to, withdrawn.into_iter().chain(some).collect(), wanted)
            }
            Kind::Withdrawal { to, target } => {
                self.signs(id, seq, kept, to, vec![reaction::What::Withdrawal { of: target }], wanted)
            }
            Kind::Report(_) | Kind::Nothing => Plan::Nothing,
        }
    }

    /// What was noted once isn't noted again.
    fn wanted_to_note_in(&self, turn: Turn, id: ConversationId, seq: u64, kept: &Kept, wanted: &mut Wanted) {
        if turn != Turn::Adopted {
            self.wanted_to_note(id, seq, kept, wanted);
        }
    }

    /// What was kept of an entry; `None` where nothing was, or where it is wanted first.
    pub(super) fn kept(&self, id: ConversationId, seq: u64, wanted: &mut Wanted) -> Option<&Kept> {
        let here = self.said.get(&(id, seq));
        want(here, wanted, || Key::Said(id, seq));
        here.and_then(Option::as_ref)
    }

    /// An edit or a retract: of a first that lies earlier, or hasn't come.
    pub(super) fn change(
        &self,
        id: ConversationId,
        seq: u64,
        about: Option<u64>,
        message: ContentId,
        what: revision::What,
        wanted: &mut Wanted,
    ) -> Plan {
        let Some(place) = about.filter(|place| *place < seq) else { return Plan::Void };
        if matches!(what, revision::What::Retract | revision::What::Removal) {
            self.wanted_pins(id, wanted);
        }
        let first = self.kept(id, place, wanted);
        first.into_iter().for_each(|first| self.wanted_to_name(first, wanted));
        if first.is_some_and(|first| first.id != message || first.role != Role::Message) {
            return Plan::Void;
        }
        let known = self.views.messages.get(&(id, place, message));
        want(known, wanted, || Key::Message(id, place, message));
        // Their words may be forgotten.
        for words in known.into_iter().flatten().flat_map(Revisions::words) {
            let kept = self.kept(id, words, wanted);
            kept.into_iter().for_each(|kept| self.wanted_to_name(kept, wanted));
        }
        Plan::Change { target: Target { message, place }, what }
    }

    fn signs(
        &self,
        id: ConversationId,
        seq: u64,
        kept: &Kept,
        version: ContentId,
        heard: Vec<reaction::What>,
        wanted: &mut Wanted,
    ) -> Plan {
        let lead = self.lead(id, seq, kept.about, version, wanted);
        match lead {
            Lead::To(Target { message, place }) => {
                let known = self.views.reactions.get(&(id, place, message));
                want(known, wanted, || Key::Reactions(id, place, message));
                self.kept(id, place, wanted);
            }
            Lead::Waits(_) | Lead::Nowhere => {}
        }
        Plan::Signs { version, lead, heard }
    }

    /// Where the name of a version leads, that lies at this place.
    pub(super) fn lead(
        &self,
        id: ConversationId,
        from: u64,
        about: Option<u64>,
        version: ContentId,
        wanted: &mut Wanted,
    ) -> Lead {
        let Some(place) = about.filter(|place| *place < from) else { return Lead::Nowhere };
        let here = self.said.get(&(id, place));
        want(here, wanted, || Key::Said(id, place));
        match here {
            None | Some(None) => {
                want(self.views.names.get(&(id, place, version)), wanted, || Key::Name(id, place, version));
                Lead::Waits(place)
            }
            Some(Some(kept)) if kept.id != version => Lead::Nowhere,
            Some(Some(kept)) => match (kept.role, kept.about) {
                (Role::Message, _) => Lead::To(Target { message: kept.id, place }),
                (Role::Edit(message), Some(first)) if first < place => Lead::To(Target { message, place: first }),
                (Role::Edit(_) | Role::Aside | Role::Act(_), _) => Lead::Nowhere,
            },
        }
    }

    pub(super) fn entry(&self, talk: ConversationId, seq: u64, kept: &Kept) -> Entry {
        let own = || self.identity().unwrap_or(Identity([0; 32]));
        let author = kept.by.as_ref().map_or_else(own, |by| by.identity);
        Entry { talk, seq, name: kept.id, role: kept.role, author, at: kept.at }
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

fn first_of(content: &Content) -> revision::What {
    revision::What::First { fixed: content.fixed() }
}
