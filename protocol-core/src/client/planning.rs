//! What an entry does, as far as the records are here: nothing is changed by finding out.
//!
//! ```text
//!   next_to_apply: what came late, what waited for a name, the next ──▶ plan ──▶ Plan, all records here
//!                                                                          └───▶ Wanted: brought for the next step
//! ```
//!
//! Whoever names a place where something else lies leads nowhere ([R-13]). `applying` carries a plan out.

use std::collections::BTreeSet;

use super::Client;
use super::said::{Kept, Role};
use crate::content::kind::Kind;
use crate::content::message::Expiry;
use crate::fault::PeerFault;
use crate::id::{ContentId, ConversationId, Identity};
use crate::machine::pin::There;
use crate::machine::reaction;
use crate::machine::revision::{self, Protection, Revisions};
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
    pub(super) talk: ConversationId,
    pub(super) seq: u64,
    pub(super) name: ContentId,
    pub(super) role: Role,
    pub(super) author: Identity,
    pub(super) at: Millis,
}

impl Entry {
    pub(super) const fn heard(self, what: revision::What) -> revision::Heard {
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
    pub(super) const fn changes(&self, seq: u64, turn: Turn) -> Option<u64> {
        match self {
            Self::Message { .. } if !matches!(turn, Turn::Next) => Some(seq),
            Self::Change { target, .. } | Self::Signs { lead: Lead::To(target), .. } => Some(target.place),
            Self::Nothing | Self::Void | Self::Refused(_) => None,
            // What pins make something else of, they say themselves.
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
    pub(super) fn plan(&self, id: ConversationId, seq: u64, turn: Turn, wanted: &mut Wanted) -> Plan {
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
}

/// What a message is to its versions.
pub(super) fn first_of(content: &Content) -> revision::What {
    revision::What::First { fixed: content.fixed() }
}
