//! Messages as they are now: the versions of each, its signs, and a screenful of them, from any place backwards.
//!
//! ```text
//!   places    in pages up to `paged` (machine/timeline), the newest by their entries
//!   message   said/… ──nothing was said about it──▶ its first version
//!             message/…, reactions/… otherwise
//! ```

use super::Client;
use super::io::{Declined, Event, Failure, Output, Screen, Shown, Words};
use super::planning::Wanted;
use super::said::{By, Kept, Role};
use super::timers::What;
use crate::id::ConversationId;
use crate::limits;
use crate::machine::reaction::Reactions;
use crate::machine::revision::{Revisions, Version, View};
use crate::machine::timeline::{Found, Timeline};
use crate::step::{Outbox, Tick};
use crate::store::Key;
use crate::wire::control::Target;

impl Client {
    /// The version of a message that is shown now.
    pub(super) fn version(&self, id: ConversationId, place: u64, wanted: &mut Wanted) -> Result<Version, Failure> {
        self.versions(id, place, wanted)?.pop().ok_or(Failure::NoMessage)
    }

    /// The versions of a message, in order; none of one that is gone.
    pub(super) fn versions(
        &self,
        id: ConversationId,
        place: u64,
        wanted: &mut Wanted,
    ) -> Result<Vec<Version>, Failure> {
        let kept = self.message_at(id, place, wanted).ok_or(Failure::NoMessage)?;
        match self.revisions(id, place, kept, wanted) {
            Some(revisions) => Ok(revisions.history()),
            None if kept.content.is_some() && !kept.is_over(self.now) => {
                Ok(vec![Version { id: kept.id, no: 0, seq: place, at: kept.at }])
            }
            None => Ok(Vec::new()),
        }
    }

    /// What was kept of the first version of a message.
    pub(super) fn message_at(&self, id: ConversationId, place: u64, wanted: &mut Wanted) -> Option<&Kept> {
        self.kept(id, place, wanted).filter(|kept| kept.role == Role::Message)
    }

    pub(super) fn revisions(
        &self,
        id: ConversationId,
        place: u64,
        kept: &Kept,
        wanted: &mut Wanted,
    ) -> Option<&Revisions> {
        let known = self.views.messages.get(&(id, place, kept.id));
        if known.is_none() && kept.touched {
            wanted.insert(Key::Message(id, place, kept.id));
        }
        known.and_then(Option::as_ref)
    }

    /// The reactions to the message at a place, where there are any.
    pub(super) fn reactions(&self, id: ConversationId, place: u64, wanted: &mut Wanted) -> Option<&Reactions> {
        let kept = self.kept(id, place, wanted)?;
        let known = self.views.reactions.get(&(id, place, kept.id));
        if known.is_none() && kept.touched {
            wanted.insert(Key::Reactions(id, place, kept.id));
        }
        known.and_then(Option::as_ref)
    }

    /// Shows messages, the newest first.
    pub(super) fn show(&self, id: ConversationId, before: Option<u64>, count: usize, out: &mut Outbox<Output>) {
        match self.screen(id, before, count, &mut Wanted::new()) {
            Some(screen) => Self::tell(Event::Screen(screen), out),
            None => Self::decline(Declined::NoConversation(id), out),
        }
    }

    /// A screenful, and what that takes.
    pub(super) fn screen(
        &self,
        id: ConversationId,
        before: Option<u64>,
        count: usize,
        wanted: &mut Wanted,
    ) -> Option<Screen> {
        let talk = self.talks.get(&id)?;
        let (mut messages, mut earlier) = (Vec::new(), false);
        let end = before.unwrap_or(u64::MAX).min(talk.applied.saturating_add(1));
        let mut at = end;
        while let Some(place) = self.message_before(id, talk.paged, at, wanted) {
            if messages.len() >= count.min(limits::SCREEN) {
                earlier = true;
                break;
            }
            messages.extend(self.shown_at(id, place, wanted));
            at = place;
        }
        Some(Screen { conversation: id, messages, earlier })
    }

    /// The last place of a message before another.
    fn message_before(&self, id: ConversationId, paged: u64, mut at: u64, wanted: &mut Wanted) -> Option<u64> {
        while let Some(place) = at.checked_sub(1).filter(|place| *place > paged) {
            at = place;
            if self.message_at(id, place, wanted).is_some() {
                return Some(place);
            }
        }
        if !wanted.is_empty() {
            return None;
        }
        let none = Timeline::new(id, None);
        match self.views.timelines.get(&id).unwrap_or(&none).before(at) {
            Found::Place(place) => place,
            Found::Wants(key) => {
                wanted.insert(key);
                None
            }
        }
    }

    pub(super) fn shown_at(&self, id: ConversationId, place: u64, wanted: &mut Wanted) -> Option<Shown> {
        let kept = self.message_at(id, place, wanted)?;
        let now = match self.revisions(id, place, kept, wanted).map(Revisions::view) {
            Some(View::Retracted) => Words::Retracted,
            Some(View::Removed { by }) => Words::Removed { by },
            Some(View::Expired) => Words::Expired,
            Some(View::Words(version)) => self.words_of(self.kept(id, version.seq, wanted)?, version.no),
            Some(View::Awaited) | None => self.words_of(kept, 0),
        };
        let signs = self.reactions(id, place, wanted).into_iter().flat_map(Reactions::shown);
        let signs = signs.map(|(who, sign)| (self.address_of(who), sign.to_owned())).collect();
        let author = match &kept.by {
            Some(by) => self.author(by),
            None => self.author(&self.this_device()?),
        };
        let first = kept.content.as_ref().filter(|_| matches!(now, Words::Are { .. }));
        let mentions = first.map(|first| self.mentioned(id, first)).unwrap_or_default();
        let is_there = matches!(now, Words::Are { .. });
        let pinned = is_there && self.is_pinned(id, Target { message: kept.id, place }, wanted);
        Some(Shown { seq: place, id: kept.id, author, at: kept.at, now, signs, pinned, mentions })
    }

    /// The words that an entry brought: those whose time is over are shown to nobody, though they may still be here.
    fn words_of(&self, kept: &Kept, no: u32) -> Words {
        match kept.content.clone().filter(|_| !kept.is_over(self.now)) {
            Some(content) => Words::Are { no, content },
            None => Words::Expired,
        }
    }

    fn this_device(&self) -> Option<By> {
        let (author, identity, hosted) = (self.ours.address.clone(), self.identity()?, self.ours.hosted);
        Some(By { author, identity, dk: self.dk()?, hosted })
    }

    /// Puts the places of messages into pages, many at once.
    pub(super) fn page(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(paged) = self.talks.get(&id).map(|talk| talk.paged) else { return };
        let Some(upto) = self.page_due(id) else { return };
        let mut wanted = Wanted::new();
        let places = self.to_be_paged(id, paged, upto, &mut wanted);
        if !wanted.is_empty() {
            return self.timers.by(What::Talk(id), tick.now);
        }
        self.put_in_pages(id, &places, out);
        if let Some(talk) = self.talks.get_mut(&id) {
            talk.paged = upto;
            out.save(talk.record());
        }
    }

    fn put_in_pages(&mut self, id: ConversationId, places: &[u64], out: &mut Outbox<Output>) {
        let timeline = self.views.timelines.entry(id).or_insert_with(|| Timeline::new(id, None));
        for place in places {
            timeline.put(*place).into_iter().for_each(|record| out.save(record));
        }
    }

    /// Up to where places are to be put into pages now.
    fn page_due(&self, id: ConversationId) -> Option<u64> {
        let talk = self.talks.get(&id)?;
        let upto = talk.paged.saturating_add(limits::PAGED_AT_ONCE);
        (upto <= talk.applied).then_some(upto)
    }

    /// What putting them takes.
    pub(super) fn wanted_to_page(&self, id: ConversationId) -> Wanted {
        let mut wanted = Wanted::new();
        if let (Some(talk), Some(upto)) = (self.talks.get(&id), self.page_due(id)) {
            self.to_be_paged(id, talk.paged, upto, &mut wanted);
        }
        wanted
    }

    fn to_be_paged(&self, id: ConversationId, paged: u64, upto: u64, wanted: &mut Wanted) -> Vec<u64> {
        let mut places = Vec::new();
        for place in paged.saturating_add(1)..=upto {
            if self.message_at(id, place, wanted).is_some() {
                places.push(place);
                self.wanted_page(id, place, wanted);
            }
        }
        places
    }

    pub(super) fn wanted_page(&self, id: ConversationId, place: u64, wanted: &mut Wanted) {
        let none = Timeline::new(id, None);
        wanted.extend(self.views.timelines.get(&id).unwrap_or(&none).wants(place));
    }

    /// A message came late, behind what is in pages.
    pub(super) fn page_late(&mut self, id: ConversationId, place: u64, out: &mut Outbox<Output>) {
        if self.talks.get(&id).is_some_and(|talk| place <= talk.paged) {
            self.put_in_pages(id, &[place], out);
        }
    }
}
