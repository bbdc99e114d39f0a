//! The snapshot of a conversation: what people see of it, in canonical bytes, of which the hash is told. Devices that have heard
//! the same have the same.
//!
//! ```text
//!   Command::Snapshot ──▶ walk: a stretch of the log each wake ──behind the last entry──▶ Event::Snapshot
//!                          ▲         └── something already written changed ──┐
//!                          └────────────── from the beginning ◀─────────────┘   so often, and then declined
//! ```
//!
//! A walk holds a hash and a place, however long the conversation is; records of a stretch are let go of as all others are. A
//! crash forgets it. What is for one device alone isn't in it: reading positions, marks, what came late, clocks. Spec:
//! `spec/12-revisions.md`.

use std::collections::BTreeMap;

use super::Client;
use super::io::Snapshot as Told;
use super::io::{Declined, Event, Output};
use super::planning::{Lead, Wanted};
use super::timers::What;
use crate::id::{ConversationId, Identity};
use crate::limits;
use crate::machine::reaction::Reactions;
use crate::machine::revision::{Revisions, View};
use crate::step::{Outbox, Tick};
use crate::wire::control::{Policy, Target};
use crate::wire::snapshot::{self, Message, More, Snapshot, State};

/// A snapshot under way.
#[derive(Debug)]
pub(super) struct Walk {
    /// The first place that it is of.
    from: u64,
    /// The place that is next.
    next: u64,
    snapshot: Snapshot,
    /// How often it began anew.
    anew: u32,
}

impl Walk {
    fn new(id: ConversationId, from: u64) -> Self {
        Self { from, next: from, snapshot: Snapshot::begin(id, from), anew: 0 }
    }
}

impl Client {
    /// Begins a snapshot of a conversation; of one that is under way, the first place counts that was asked for last.
    pub(super) fn snapshot(&mut self, tick: &Tick, id: ConversationId, from: u64, out: &mut Outbox<Output>) {
        if !self.talks.contains_key(&id) {
            return Self::decline(Declined::NoConversation(id), out);
        }
        self.walks.insert(id, Walk::new(id, from.max(1)));
        self.timers.by(What::Snapshot(id), tick.now);
    }

    /// Goes on with it, by one stretch.
    pub(super) fn walk_on(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some((end, last)) = self.stretch(id) else { return };
        let mut wanted = Wanted::new();
        let Some(walk) = self.walks.get(&id) else { return };
        let mut snapshot = walk.snapshot.clone();
        for place in walk.next..end {
            self.seen_at(id, place, walk.from, &mut wanted).into_iter().for_each(|message| snapshot.add(&message));
        }
        // What waits to be applied comes first: the wake of the conversation does that.
        if !wanted.is_empty() || self.next_to_apply(id).is_some() {
            return self.timers.by(What::Snapshot(id), tick.now);
        }
        if end <= last {
            if let Some(walk) = self.walks.get_mut(&id) {
                (walk.next, walk.snapshot) = (end, snapshot);
            }
            return self.timers.by(What::Snapshot(id), tick.now);
        }
        let Some(Walk { from, .. }) = self.walks.remove(&id) else { return };
        let (messages, hash) = snapshot.finish(&self.seen_of_all(id));
        Self::tell(Event::Snapshot(Told { conversation: id, from, seq: last, messages, hash }), out);
    }

    /// The records that the next stretch takes.
    pub(super) fn wanted_to_walk(&self, id: ConversationId) -> Wanted {
        let mut wanted = self.wanted_to_apply(id);
        if let (Some(walk), Some((end, _))) = (self.walks.get(&id), self.stretch(id)) {
            for place in walk.next..end {
                let _seen = self.seen_at(id, place, walk.from, &mut wanted);
            }
        }
        wanted
    }

    /// Up to before which place the next stretch goes, and the last place that there is.
    fn stretch(&self, id: ConversationId) -> Option<(u64, u64)> {
        let (walk, last) = (self.walks.get(&id)?, self.talks.get(&id)?.applied);
        Some((walk.next.saturating_add(limits::SNAPSHOT_AT_ONCE).min(last.saturating_add(1)).max(walk.next), last))
    }

    /// The message at a place is something else than it was: what was written of it counts no more.
    pub(super) fn unsettle(&mut self, id: ConversationId, place: u64, out: &mut Outbox<Output>) {
        let Some(walk) = self.walks.get_mut(&id).filter(|walk| (walk.from..walk.next).contains(&place)) else { return };
        if walk.anew >= limits::SNAPSHOT_ANEW {
            self.walks.remove(&id);
            return Self::decline(Declined::Restless(id), out);
        }
        *walk = Walk { anew: walk.anew + 1, ..Walk::new(id, walk.from) };
    }

    /// The message at a place, as everybody sees it who has heard the same; `None` where there is none.
    pub(super) fn seen_at(
        &self,
        id: ConversationId,
        place: u64,
        from: u64,
        wanted: &mut Wanted,
    ) -> Option<Message<'_>> {
        let kept = self.message_at(id, place, wanted)?;
        let author = kept.by.as_ref().map(|by| by.identity).or(self.identity())?;
        let revisions = self.revisions(id, place, kept, wanted);
        let (state, answered) = match revisions.map(Revisions::view) {
            Some(View::Retracted) => (State::Retracted, None),
            Some(View::Removed { by }) => (State::Removed { by }, None),
            Some(View::Expired) => (State::Expired, None),
            Some(View::Words(version)) => {
                let content = self.kept(id, version.seq, wanted)?.content.as_ref()?;
                let history = revisions.into_iter().flat_map(Revisions::history);
                let versions = history.map(|version| (version.no, version.id)).collect();
                (State::Words { versions, content: content.bytes() }, content.fields().in_reply_to)
            }
            Some(View::Awaited) | None => {
                let content = kept.content.as_ref()?;
                let versions = vec![(0, kept.id)];
                (State::Words { versions, content: content.bytes() }, content.fields().in_reply_to)
            }
        };
        let leads = answered.and_then(|version| match self.lead(id, place, kept.about, version, wanted) {
            Lead::To(target) if target.place >= from => {
                // Of an edit that is here the first may be missing, or be something else.
                let first = self.message_at(id, target.place, wanted)?;
                (first.id == target.message).then_some(target.place)
            }
            Lead::To(_) | Lead::Waits(_) | Lead::Nowhere => None,
        });
        let mut signs: BTreeMap<Identity, Vec<&str>> = BTreeMap::new();
        for (who, sign) in self.reactions(id, place, wanted).into_iter().flat_map(Reactions::shown) {
            signs.entry(who).or_default().push(sign);
        }
        let mut more = More::new();
        let there = matches!(state, State::Words { .. });
        let pin = self.pin_of(id, Target { message: kept.id, place }, wanted).filter(|_| there);
        more.extend(pin.map(|pin| snapshot::pinned(pin.seq, pin.by)));
        Some(Message { place, id: kept.id, author, state, leads, signs, more })
    }

    /// What is seen of the conversation as a whole.
    pub(super) fn seen_of_all(&self, id: ConversationId) -> More {
        let policy = self.talks.get(&id).map_or_else(Policy::default, |talk| talk.agreed.policy);
        snapshot::policy(policy).into_iter().collect()
    }
}
