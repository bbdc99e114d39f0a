//! What was opened becomes what people see: each entry is joined to what it is about, in the log's order, as soon as the
//! records of that are here.
//!
//! ```text
//!   said/… ──in order; what came late, at once──▶ plan ──all records here──▶ carried out
//!                                                  └──one is missing──▶ it is brought for the next step
//!
//!     message ──────────▶ Said              costs no record of its own until something is said about it
//!     edit, retract ────▶ machine/revision  of the first, which lies at `about` ──▶ Changed; words are forgotten
//!     reaction … ───────▶ machine/reaction  of the message of the version at `about` ──▶ Reacted
//!     what it is about hasn't come ──▶ it waits under that name (machine/thread), and is applied again when that comes
//! ```
//!
//! `talk/…` says up to where entries were applied, and which are to be applied out of turn: a crash in between applies them
//! again, which changes nothing. Whoever names a place where something else lies leads nowhere ([R-13]).

use std::collections::{BTreeMap, BTreeSet};

use super::Client;
use super::io::{self, Answers, Changed, Event as Told, Now, Output, Who};
use super::said::Kept;
use super::timers::What;
use crate::canary::{self, Canary};
use crate::content::kind::Kind;
use crate::id::{Address, ContentId, ConversationId, Hash, Identity};
use crate::limits;
use crate::machine::reaction::{self, Reactions};
use crate::machine::revision::{self, Protection, Revisions, View};
use crate::machine::thread::{self, Name};
use crate::machine::timeline::Timeline;
use crate::step::{Machine as _, Outbox, Tick};
use crate::store::{Key, Record, sha256};

/// Records of what became of messages that are at hand; `None`: there is none.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) messages: BTreeMap<(ConversationId, ContentId), Option<Revisions>>,
    pub(super) reactions: BTreeMap<(ConversationId, ContentId), Option<Reactions>>,
    names: BTreeMap<(ConversationId, ContentId), Option<Name>>,
    /// The places of messages, as far as their pages are here.
    pub(super) timelines: BTreeMap<ConversationId, Timeline>,
}

/// Records that are wanted first.
pub(super) type Wanted = BTreeSet<Key>;

/// Why an entry is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It is next.
    Next,
    /// It came after others behind it.
    Late,
    /// What it named came late.
    Adopted,
}

/// Where something leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    /// To this message, whose first lies at this place.
    To { message: ContentId, place: u64 },
    /// What it names hasn't come.
    Waits,
    /// Something else lies there, or it comes later.
    Nowhere,
}

/// What an entry does.
#[derive(Debug)]
enum Plan {
    Nothing,
    Message { answers: Option<(ContentId, Lead)> },
    Change { message: ContentId, place: u64, what: revision::What },
    Signs { version: ContentId, lead: Lead, heard: Vec<reaction::What> },
}

/// Notes a record that is wanted, where it isn't here.
fn want<T>(here: Option<&T>, wanted: &mut Wanted, key: impl FnOnce() -> Key) {
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
            self.carry_out_plan(tick, id, seq, turn, plan, out);
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
    fn next_to_apply(&self, id: ConversationId) -> Option<(u64, Turn)> {
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
        let Some(content) = &kept.content else { return Plan::Nothing };
        let fields = content.fields();
        if late {
            want(self.views.names.get(&(id, kept.id)), wanted, || Key::Name(id, kept.id));
        }
        match fields.kind() {
            Kind::Message => {
                if late {
                    want(self.views.messages.get(&(id, kept.id)), wanted, || Key::Message(id, kept.id));
                    if self.talks.get(&id).is_some_and(|talk| seq <= talk.paged) {
                        self.wanted_page(id, seq, wanted);
                    }
                }
                let answers =
                    fields.in_reply_to.map(|version| (version, self.lead(id, seq, kept.about, version, wanted)));
                Plan::Message { answers }
            }
            Kind::Edit { target, no } => {
                let no = no.map_or(1, core::num::NonZeroU32::get);
                self.change(id, seq, kept, target, revision::What::Edit { no, fixed: content.fixed() }, wanted)
            }
            Kind::Retract { target } => self.change(id, seq, kept, target, revision::What::Retract, wanted),
            Kind::Reaction { to, target, signs } => {
                let withdrawn = target.into_iter().flat_map(withdrawals);
                let signs = signs.into_iter().enumerate().map(|(n, sign)| reaction::What::Reaction {
                    id: nth(kept.id, n),
                    version: to,
                    sign: sign.to_owned(),
                });
                self.signs(id, seq, kept, to, withdrawn.chain(signs).collect(), wanted)
            }
            Kind::Withdrawal { to, target } => self.signs(id, seq, kept, to, withdrawals(target).collect(), wanted),
            Kind::Report(_) | Kind::Nothing => Plan::Nothing,
        }
    }

    /// What was kept of an entry; `None` where nothing was, or where it is wanted first.
    pub(super) fn kept(&self, id: ConversationId, seq: u64, wanted: &mut Wanted) -> Option<&Kept> {
        let here = self.said.get(&(id, seq));
        want(here, wanted, || Key::Said(id, seq));
        here.and_then(Option::as_ref)
    }

    /// An edit or a retract: of a first that lies earlier, or hasn't come.
    fn change(
        &self,
        id: ConversationId,
        seq: u64,
        kept: &Kept,
        message: ContentId,
        what: revision::What,
        wanted: &mut Wanted,
    ) -> Plan {
        let Some(place) = kept.about.filter(|place| *place < seq) else { return Plan::Nothing };
        if self.kept(id, place, wanted).is_some_and(|first| first.id != message) {
            return Plan::Nothing;
        }
        let known = self.views.messages.get(&(id, message));
        want(known, wanted, || Key::Message(id, message));
        // Their words may be forgotten.
        for words in known.into_iter().flatten().flat_map(Revisions::words) {
            self.kept(id, words, wanted);
        }
        Plan::Change { message, place, what }
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
            Lead::To { message, place } => {
                want(self.views.reactions.get(&(id, message)), wanted, || Key::Reactions(id, message));
                self.kept(id, place, wanted);
            }
            Lead::Waits => want(self.views.names.get(&(id, version)), wanted, || Key::Name(id, version)),
            Lead::Nowhere => {}
        }
        Plan::Signs { version, lead, heard }
    }

    /// Where the name of a version leads, that lies at this place.
    fn lead(&self, id: ConversationId, from: u64, about: Option<u64>, version: ContentId, wanted: &mut Wanted) -> Lead {
        let Some(place) = about.filter(|place| *place < from) else { return Lead::Nowhere };
        let here = self.said.get(&(id, place));
        want(here, wanted, || Key::Said(id, place));
        match here {
            None | Some(None) => {
                want(self.views.names.get(&(id, version)), wanted, || Key::Name(id, version));
                Lead::Waits
            }
            Some(Some(kept)) if kept.id != version => Lead::Nowhere,
            Some(Some(kept)) => match (kept.of, kept.about) {
                // It is an edit.
                (Some(message), Some(place)) => Lead::To { message, place },
                (Some(_), None) => Lead::Nowhere,
                (None, _) => Lead::To { message: kept.id, place },
            },
        }
    }

    fn carry_out_plan(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        seq: u64,
        turn: Turn,
        plan: Plan,
        out: &mut Outbox<Output>,
    ) {
        let Some(kept) = self.said.get(&(id, seq)).cloned().flatten() else { return };
        match plan {
            Plan::Nothing => {}
            Plan::Message { answers } => self.message_applied(tick, id, seq, turn, &kept, answers, out),
            Plan::Change { message, place, what } => {
                self.revise(tick, id, (message, place), seq, &kept, what, None, out);
            }
            Plan::Signs { version, lead, heard } => match lead {
                Lead::To { message, place } => self.react(tick, id, (message, place), seq, &kept, heard, out),
                Lead::Waits => self.names(tick, id, version, thread::Input::NamedBy(seq), out),
                Lead::Nowhere => {}
            },
        }
        if turn == Turn::Late
            && let Some(content) = &kept.content
        {
            let message = kept.of.unwrap_or(kept.id);
            let is_version = matches!(content.fields().kind(), Kind::Message | Kind::Edit { .. });
            if is_version && matches!(self.views.names.get(&(id, kept.id)), Some(Some(_))) {
                self.names(tick, id, kept.id, thread::Input::Is(thread::Of { seq, message }), out);
            }
        }
    }

    /// A message has its place.
    #[allow(clippy::too_many_arguments, reason = "one entry, and what is known of it")]
    fn message_applied(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        seq: u64,
        turn: Turn,
        kept: &Kept,
        answers: Option<(ContentId, Lead)>,
        out: &mut Outbox<Output>,
    ) {
        if let Some((version, Lead::Waits)) = answers {
            self.names(tick, id, version, thread::Input::NamedBy(seq), out);
        }
        let answers = answers.map(|(version, lead)| match lead {
            Lead::To { place, .. } => Answers { version, message: Some(place) },
            Lead::Waits | Lead::Nowhere => Answers { version, message: None },
        });
        if turn == Turn::Adopted {
            if let Some(Answers { message: Some(message), .. }) = answers {
                self.now(id, kept.id, seq, Now::Answers { message }, out);
            }
            return;
        }
        let late = turn == Turn::Late;
        if late {
            self.page_late(id, seq, out);
        }
        let said = kept.by.as_ref().zip(kept.content.clone()).map(|(by, content)| {
            let (author, at) = (self.author(by), kept.at);
            Told::Said(io::Said { conversation: id, seq, late, id: kept.id, author, at, content, answers })
        });
        // Of what comes in its turn nobody can have spoken.
        let spoken_of = late && matches!(self.views.messages.get(&(id, kept.id)), Some(Some(_)));
        if spoken_of {
            self.revise(tick, id, (kept.id, seq), seq, kept, first_of(kept), said, out);
        } else {
            said.into_iter().for_each(|said| Self::tell(said, out));
        }
    }

    fn identity_of(&self, kept: &Kept) -> Identity {
        let own = || self.identity().unwrap_or(Identity([0; 32]));
        kept.by.as_ref().map_or_else(own, |by| by.identity)
    }

    fn heard_of(&self, kept: &Kept, seq: u64, what: revision::What) -> revision::Heard {
        let (author, at, protection) = (self.identity_of(kept), kept.at, Protection::Sealed);
        revision::Heard { id: kept.id, seq, author, at, protection, what }
    }

    /// The versions of a message, with one more thing said of it.
    #[allow(clippy::too_many_arguments, reason = "one entry, and what it is about")]
    fn revise(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        (message, place): (ContentId, u64),
        seq: u64,
        kept: &Kept,
        what: revision::What,
        said: Option<Told>,
        out: &mut Outbox<Output>,
    ) {
        let known = self.views.messages.remove(&(id, message)).flatten();
        let mut revisions = known.unwrap_or_else(|| Revisions::new(id, message));
        if revisions.first().is_none()
            && place != seq
            && let Some(Some(first)) = self.said.get(&(id, place))
            && first.content.is_some()
            && first.of.is_none()
        {
            let heard = self.heard_of(first, place, first_of(first));
            // It is shown already: what comes of it is no news.
            let _shown = stepped(&mut revisions, tick, heard, out);
        }
        let heard = self.heard_of(kept, seq, what);
        let outputs = stepped(&mut revisions, tick, heard, out);
        // What is gone before it comes is never shown.
        said.filter(|_| matches!(revisions.view(), View::Words(_))).into_iter().for_each(|said| Self::tell(said, out));
        if !revisions.words().contains(&seq) {
            self.forget_words(id, seq, out);
        }
        self.views.messages.insert((id, message), Some(revisions));
        self.touch(id, place, out);
        for output in outputs {
            self.revised(id, (message, place), kept, output, out);
        }
    }

    fn revised(
        &mut self,
        id: ConversationId,
        (message, place): (ContentId, u64),
        kept: &Kept,
        output: revision::Output,
        out: &mut Outbox<Output>,
    ) {
        match output {
            revision::Output::Keep(_) | revision::Output::Shown(View::Awaited) => {}
            revision::Output::Forget(words) => self.forget_words(id, words, out),
            revision::Output::Shown(View::Retracted) => self.now(id, message, place, Now::Retracted, out),
            revision::Output::Shown(View::Removed { by }) => self.now(id, message, place, Now::Removed { by }, out),
            revision::Output::Shown(View::Words(version)) => {
                let words = self.said.get(&(id, version.seq)).and_then(Option::as_ref);
                if let (Some(content), true) = (words.and_then(|kept| kept.content.clone()), version.no > 0) {
                    let now = Now::Edited { version: version.id, no: version.no, at: version.at, content };
                    self.now(id, message, place, now, out);
                }
            }
            revision::Output::Refused(why) => {
                let who = kept.by.as_ref().map_or(Who::Conversation(id), |by| Who::Person(by.author.clone()));
                Self::refuse(who, why, out);
            }
        }
    }

    fn now(&self, conversation: ConversationId, id: ContentId, seq: u64, now: Now, out: &mut Outbox<Output>) {
        Self::tell(Told::Changed(Changed { conversation, id, seq, now }), out);
    }

    /// Lets go of the words that an entry brought: nothing gives them any more (attack 55).
    fn forget_words(&mut self, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        if let Some(Some(kept)) = self.said.get_mut(&(id, seq))
            && !canary::is_on(Canary::WordsStay)
            && kept.content.take().is_some()
        {
            out.save(kept.record(id, seq));
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

    #[allow(clippy::too_many_arguments, reason = "one entry, and what it is about")]
    fn react(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        (message, place): (ContentId, u64),
        seq: u64,
        kept: &Kept,
        heard: Vec<reaction::What>,
        out: &mut Outbox<Output>,
    ) {
        let known = self.views.reactions.remove(&(id, message)).flatten();
        let mut reactions = known.unwrap_or_else(|| Reactions::new(id, message));
        let author = self.identity_of(kept);
        for what in heard {
            let mut told = Outbox::new();
            if reactions.step(tick, reaction::Heard { seq, author, what }, &mut told).is_err() {
                continue;
            }
            for output in out.adopt(told) {
                let (who, sign, shown) = match output {
                    reaction::Output::Added(who, sign) => (who, sign, true),
                    reaction::Output::Withdrawn(who, sign) => (who, sign, false),
                    reaction::Output::Refused(why) => {
                        Self::refuse(Who::Conversation(id), why, out);
                        continue;
                    }
                };
                let reacted =
                    Told::Reacted { conversation: id, id: message, seq: place, who: self.address_of(who), sign, shown };
                Self::tell(reacted, out);
            }
        }
        self.views.reactions.insert((id, message), Some(reactions));
        self.touch(id, place, out);
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
    fn names(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        version: ContentId,
        input: thread::Input,
        out: &mut Outbox<Output>,
    ) {
        let known = self.views.names.remove(&(id, version)).flatten();
        let mut name = known.unwrap_or_else(|| Name::new(id, version));
        let mut told = Outbox::new();
        if name.step(tick, input, &mut told).is_ok() {
            for output in out.adopt(told) {
                if let (thread::Output::Leads { from, .. }, Some(talk)) = (output, self.talks.get_mut(&id)) {
                    talk.adopted.insert(from);
                }
            }
        }
        self.views.names.insert((id, version), Some(name));
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

fn first_of(kept: &Kept) -> revision::What {
    let fixed = kept.content.as_ref().map_or_else(|| sha256(&[]), crate::wire::content::Content::fixed);
    revision::What::First { fixed }
}

/// The name of the nth sign of a reaction: mostly there is one, which is called as the reaction is.
fn nth(reaction: ContentId, n: usize) -> ContentId {
    let of = |n: usize| sha256(&[b"postline/1 sign\0", &reaction.0, &n.to_be_bytes()]);
    if n == 0 { reaction } else { ContentId(of(n).0) }
}

/// What takes back all signs of a reaction.
fn withdrawals(reaction: ContentId) -> impl Iterator<Item = reaction::What> {
    (0..limits::SIGNS).map(move |n| reaction::What::Withdrawal { of: nth(reaction, n) })
}

impl Views {
    /// Brings a record, or its absence; whether it is one of these.
    pub(super) fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), crate::fault::RestoreError> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "a device keeps many things")]
        match key {
            Key::Message(id, message) => {
                let of = record.map(|record| Revisions::restore(*id, *message, record)).transpose()?;
                self.messages.insert((*id, *message), of);
            }
            Key::Reactions(id, message) => {
                let of = record.map(|record| Reactions::restore(*id, *message, record)).transpose()?;
                self.reactions.insert((*id, *message), of);
            }
            Key::Name(id, version) => {
                let of = record.map(|record| Name::restore(*id, *version, record)).transpose()?;
                self.names.insert((*id, *version), of);
            }
            Key::Page(id, thread, level, number) if *thread == Hash([0; 32]) => {
                let timeline = self.timelines.entry(*id).or_insert_with(|| Timeline::new(*id, None));
                timeline.hydrate(*level, *number, record)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets one; whether it was here.
    pub(super) fn forget(&mut self, key: &Key) -> bool {
        #[allow(clippy::wildcard_enum_match_arm, reason = "a device keeps many things")]
        match key {
            Key::Message(id, message) => self.messages.remove(&(*id, *message)).is_some(),
            Key::Reactions(id, message) => self.reactions.remove(&(*id, *message)).is_some(),
            Key::Name(id, version) => self.names.remove(&(*id, *version)).is_some(),
            Key::Page(id, ..) => self.timelines.remove(id).is_some(),
            _ => false,
        }
    }

    /// What may be forgotten between batches.
    pub(super) fn idle(&self) -> impl Iterator<Item = Key> {
        let messages = self.messages.keys().map(|(id, message)| Key::Message(*id, *message));
        let reactions = self.reactions.keys().map(|(id, message)| Key::Reactions(*id, *message));
        let pages = self.timelines.keys().map(|id| Key::Page(*id, Hash([0; 32]), 0, 0));
        messages.chain(reactions).chain(pages).chain(self.names.keys().map(|(id, version)| Key::Name(*id, *version)))
    }

    pub(super) fn len(&self) -> usize {
        let pages: usize = self.timelines.values().map(Timeline::in_memory).sum();
        self.messages.len() + self.reactions.len() + self.names.len() + pages
    }
}
