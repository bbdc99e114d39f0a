//! Records of what became of messages, as far as they are at hand: brought when a step wants them, and let go of between
//! batches.

use std::collections::BTreeMap;

use super::forgetting::Named;
use crate::fault::RestoreError;
use crate::id::{ContentId, ConversationId, Hash};
use crate::machine::pin::Pins;
use crate::machine::reaction::Reactions;
use crate::machine::revision::Revisions;
use crate::machine::thread::Name;
use crate::machine::timeline::Timeline;
use crate::store::{Key, Record};

/// A content, by where it lies: one content may be said at several places, and each of them is by itself ([R-13]).
pub(super) type Spot = (ConversationId, u64, ContentId);

/// Records of what became of messages that are at hand; `None`: there is none.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) messages: BTreeMap<Spot, Option<Revisions>>,
    pub(super) reactions: BTreeMap<Spot, Option<Reactions>>,
    pub(super) names: BTreeMap<Spot, Option<Name>>,
    pub(super) named: BTreeMap<Hash, Option<Named>>,
    pub(super) pins: BTreeMap<ConversationId, Option<Pins>>,
    /// The places of messages, as far as their pages are here.
    pub(super) timelines: BTreeMap<ConversationId, Timeline>,
}

impl Views {
    /// Brings a record, or its absence; whether it is one of these.
    pub(super) fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "a device keeps many things")]
        match key {
            Key::Message(id, place, message) => {
                let of = record.map(|record| Revisions::restore(*id, *place, *message, record)).transpose()?;
                self.messages.insert((*id, *place, *message), of);
            }
            Key::Reactions(id, place, message) => {
                let of = record.map(|record| Reactions::restore(*id, *place, *message, record)).transpose()?;
                self.reactions.insert((*id, *place, *message), of);
            }
            Key::Name(id, place, version) => {
                let of = record.map(|record| Name::restore(*id, *place, *version, record)).transpose()?;
                self.names.insert((*id, *place, *version), of);
            }
            Key::Named(hash) => {
                self.named.insert(*hash, record.map(Named::restore).transpose()?);
            }
            Key::Pins(id) => {
                let of = record.map(|record| Pins::restore(*id, record)).transpose()?;
                self.pins.insert(*id, of);
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
            Key::Message(id, place, message) => self.messages.remove(&(*id, *place, *message)).is_some(),
            Key::Reactions(id, place, message) => self.reactions.remove(&(*id, *place, *message)).is_some(),
            Key::Name(id, place, version) => self.names.remove(&(*id, *place, *version)).is_some(),
            Key::Named(hash) => self.named.remove(hash).is_some(),
            Key::Pins(id) => self.pins.remove(id).is_some(),
            Key::Page(id, ..) => self.timelines.remove(id).is_some(),
            _ => false,
        }
    }

    /// What may be forgotten between batches.
    pub(super) fn idle(&self) -> impl Iterator<Item = Key> {
        let messages = self.messages.keys().map(|(id, place, message)| Key::Message(*id, *place, *message));
        let reactions = self.reactions.keys().map(|(id, place, message)| Key::Reactions(*id, *place, *message));
        let names = self.names.keys().map(|(id, place, version)| Key::Name(*id, *place, *version));
        let pages = self.timelines.keys().map(|id| Key::Page(*id, Hash([0; 32]), 0, 0));
        let named = self.named.keys().map(|hash| Key::Named(*hash));
        let pins = self.pins.keys().map(|id| Key::Pins(*id));
        messages.chain(reactions).chain(pages).chain(named).chain(pins).chain(names)
    }

    pub(super) fn len(&self) -> usize {
        let pages: usize = self.timelines.values().map(Timeline::in_memory).sum();
        let others = self.named.len() + self.pins.len();
        self.messages.len() + self.reactions.len() + self.names.len() + others + pages
    }
}
