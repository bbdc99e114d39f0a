//! Records of what became of messages, as far as they are at hand: brought when a step wants them, and let go of between
//! batches.

use std::collections::BTreeMap;

use crate::fault::RestoreError;
use crate::id::{ContentId, ConversationId, Hash};
use crate::machine::pin::Pins;
use crate::machine::reaction::Reactions;
use crate::machine::revision::Revisions;
use crate::machine::thread::Name;
use crate::machine::timeline::Timeline;
use crate::store::{Key, Record};

/// Records of what became of messages that are at hand; `None`: there is none.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) messages: BTreeMap<(ConversationId, ContentId), Option<Revisions>>,
    pub(super) reactions: BTreeMap<(ConversationId, ContentId), Option<Reactions>>,
    pub(super) names: BTreeMap<(ConversationId, ContentId), Option<Name>>,
    pub(super) pins: BTreeMap<ConversationId, Option<Pins>>,
    /// The places of messages, as far as their pages are here.
    pub(super) timelines: BTreeMap<ConversationId, Timeline>,
}

impl Views {
    /// Brings a record, or its absence; whether it is one of these.
    pub(super) fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
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
            Key::Message(id, message) => self.messages.remove(&(*id, *message)).is_some(),
            Key::Reactions(id, message) => self.reactions.remove(&(*id, *message)).is_some(),
            Key::Name(id, version) => self.names.remove(&(*id, *version)).is_some(),
            Key::Pins(id) => self.pins.remove(id).is_some(),
            Key::Page(id, ..) => self.timelines.remove(id).is_some(),
            _ => false,
        }
    }

    /// What may be forgotten between batches.
    pub(super) fn idle(&self) -> impl Iterator<Item = Key> {
        let messages = self.messages.keys().map(|(id, message)| Key::Message(*id, *message));
        let reactions = self.reactions.keys().map(|(id, message)| Key::Reactions(*id, *message));
        let pages = self.timelines.keys().map(|id| Key::Page(*id, Hash([0; 32]), 0, 0));
        let pins = self.pins.keys().map(|id| Key::Pins(*id));
        messages
            .chain(reactions)
            .chain(pages)
            .chain(pins)
            .chain(self.names.keys().map(|(id, version)| Key::Name(*id, *version)))
    }

    pub(super) fn len(&self) -> usize {
        let pages: usize = self.timelines.values().map(Timeline::in_memory).sum();
        self.messages.len() + self.reactions.len() + self.names.len() + self.pins.len() + pages
    }
}
