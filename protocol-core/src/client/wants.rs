//! Which records a step needs, and how they come in: asked again until empty, since what one says names the next.

use std::collections::{BTreeMap, BTreeSet};

use super::controls::Act;
use super::io::{Command, Input, Saying, SessionIn, To};
use super::said::Kept;
use super::{Client, Key, Record, ending};
use crate::fault::RestoreError;
use crate::id::{ConversationId, Identity};
use crate::limits;
use crate::seal::mls::{Group, named_in, wanted};
use crate::wire::frame::Frame;
use crate::wire::log::Change;
use crate::wire::talk::{Event, Kind, Talk};

/// Records of a group, until all are here that it is made of.
#[derive(Debug)]
pub(super) struct Staged {
    wanted: BTreeSet<Key>,
    here: BTreeMap<Key, Vec<u8>>,
}

impl Client {
    /// The records that a step on `input` needs and that are not here. Asked again until empty: look-ups chain.
    #[must_use]
    pub fn wants(&self, input: &Input) -> Vec<Key> {
        let mut wants = Wants { client: self, keys: BTreeSet::new() };
        match input {
            Input::Command(Command::Say { to, what, .. }) => {
                let id = match to {
                    To::Conversation(id) => Some(*id),
                    To::Person(who) => self.direct(who),
                };
                id.into_iter().for_each(|id| wants.saying(id, what));
            }
            Input::Command(Command::Show { conversation, before, count }) => {
                self.screen(*conversation, *before, *count, &mut wants.keys);
            }
            Input::Command(Command::Pin { conversation, message, pinned }) => {
                wants.acting(*conversation, Act::Pin { message: *message, pinned: *pinned });
            }
            Input::Command(Command::Remove { conversation, message }) => {
                wants.acting(*conversation, Act::Remove { message: *message });
            }
            Input::Command(Command::SetPolicy { conversation, policy }) => {
                wants.acting(*conversation, Act::Policy(*policy));
            }
            Input::Command(Command::Pins { conversation }) => {
                self.pinned(*conversation, &mut wants.keys);
            }
            Input::Command(Command::Verify(who) | Command::Same(who)) => {
                let direct = self.contacts.get(who).and_then(super::Contact::direct);
                direct.into_iter().for_each(|(id, _)| wants.group(id));
            }
            Input::Session(SessionIn::Frame(Frame::Talk(talk))) => wants.talk(talk),
            Input::Wake => {
                let next: BTreeSet<ConversationId> = self.timers.talks(limits::CLIENT_TALKS).collect();
                next.into_iter().for_each(|id| wants.going_on(id));
                wants.keys.extend(self.timers.snapshot().map(|id| self.wanted_to_walk(id)).unwrap_or_default());
                for id in self.endings.hungry() {
                    self.wanted_to_end_some(id, &mut wants.keys);
                }
            }
            Input::Session(_) | Input::Command(_) | Input::Bytes(_) => {}
        }
        wants.keys.into_iter().collect()
    }

    /// Brings a record, or its absence.
    ///
    /// # Errors
    /// [`RestoreError`] where the record is damaged, or written by a newer version; the caller may bring its absence
    /// instead, and say so: a group that is lost is joined again.
    pub fn hydrate(&mut self, key: &Key, record: Option<&Record>) -> Result<(), RestoreError> {
        let bytes = record.and_then(|record| record.value.clone());
        #[allow(clippy::wildcard_enum_match_arm, reason = "what a node keeps is many things")]
        match key {
            Key::Group(id) => match bytes {
                Some(bytes) => {
                    let wanted = wanted(*id, &bytes)?.into_iter().collect();
                    self.staged.insert(*id, Staged { wanted, here: BTreeMap::from([(key.clone(), bytes)]) });
                    return self.unstage(*id);
                }
                None => {
                    self.staged.remove(id);
                    self.groups.insert(*id, None);
                }
            },
            Key::Reserve(id) | Key::Epoch(id, _) => {
                if let Some(staged) = self.staged.get_mut(id) {
                    staged.wanted.remove(key);
                    staged.here.extend(bytes.map(|bytes| (key.clone(), bytes)));
                    return self.unstage(*id);
                }
            }
            Key::Package(hash) => _ = self.packages.insert(*hash, bytes),
            Key::Said(id, seq) => {
                let us = self.identity().unwrap_or(Identity([0; 32]));
                let kept = record.map(|record| Kept::restore(*id, us, record)).transpose()?;
                self.said.insert((*id, *seq), kept);
            }
            Key::Page(_, name, ..) if ending::is_of(name) => self.endings.hydrate(key, record)?,
            Key::Moment(..) => self.endings.hydrate(key, record)?,
            key => self.views.hydrate(key, record)?,
        }
        Ok(())
    }

    /// Makes the group, once all its records are here.
    fn unstage(&mut self, id: ConversationId) -> Result<(), RestoreError> {
        let Some(staged) = self.staged.get(&id).filter(|staged| staged.wanted.is_empty()) else { return Ok(()) };
        let group = Group::restore(id, |key| staged.here.get(key).cloned());
        self.staged.remove(&id);
        self.groups.insert(id, Some(group?));
        Ok(())
    }

    /// Forgets a record that was hydrated, to bound memory. Only between batches: what a batch changed must be stored.
    ///
    /// Returns whether it was forgotten; what is in use stays.
    pub fn forget(&mut self, key: &Key) -> bool {
        #[allow(clippy::wildcard_enum_match_arm, reason = "what a node keeps is many things")]
        match key {
            Key::Group(id) => {
                if self.live.get(id).is_some_and(super::Live::is_idle) {
                    self.live.remove(id);
                }
                self.groups.remove(id).is_some()
            }
            Key::Package(hash) => self.packages.remove(hash).is_some(),
            Key::Said(id, seq) => self.said.remove(&(*id, *seq)).is_some(),
            Key::Page(id, name, ..) if ending::is_of(name) => {
                self.endings.forget(*id);
                true
            }
            Key::Moment(id, ..) => {
                self.endings.forget(*id);
                true
            }
            key => self.views.forget(key),
        }
    }
}

struct Wants<'c> {
    client: &'c Client,
    keys: BTreeSet<Key>,
}

impl Wants<'_> {
    /// What a step that says something needs: the group, what it is about, and what waits to be applied.
    fn saying(&mut self, id: ConversationId, what: &Saying) {
        self.going_on(id);
        // Why it can't be said, the step says.
        let _why = self.client.contents(id, [0; 16], what, &mut self.keys);
    }

    /// What a step that does something to a conversation needs.
    fn acting(&mut self, id: ConversationId, act: Act) {
        self.going_on(id);
        // Why it can't be done, the step says.
        let _why = self.client.doing(id, act, &mut self.keys);
    }

    /// The group of a conversation that is known.
    fn group(&mut self, id: ConversationId) {
        if !self.client.talks.contains_key(&id) || self.client.groups.contains_key(&id) {
            return;
        }
        match self.client.staged.get(&id) {
            Some(staged) => self.keys.extend(staged.wanted.iter().cloned()),
            None => _ = self.keys.insert(Key::Group(id)),
        }
    }

    fn said(&mut self, id: ConversationId, seq: u64) {
        if !self.client.said.contains_key(&(id, seq)) {
            self.keys.insert(Key::Said(id, seq));
        }
    }

    /// What a step that goes on with a conversation needs: its group, entries to be marked or said again, and what waits
    /// of its log.
    fn going_on(&mut self, id: ConversationId) {
        self.group(id);
        self.keys.extend(self.client.wanted_to_apply(id));
        self.keys.extend(self.client.wanted_to_page(id));
        let gone = matches!(self.client.groups.get(&id), Some(None));
        if let Some(talk) = self.client.talks.get(&id).filter(|talk| gone && talk.change > 0) {
            self.said(id, talk.change);
        }
        let talk = self.client.talks.get(&id);
        for (seq, _) in talk.into_iter().flat_map(|talk| &talk.unmarked).take(limits::CLIENT_BATCH) {
            self.said(id, *seq);
        }
        let Some(live) = self.client.live.get(&id) else { return };
        for (seq, ..) in live.repairs.iter().take(limits::CLIENT_BATCH) {
            self.said(id, *seq);
        }
        for seq in live.sharing.iter().flat_map(super::history::Sharing::batch) {
            self.said(id, seq);
        }
        live.ahead.values().for_each(|event| self.packages(event));
    }

    fn talk(&mut self, talk: &Talk) {
        match talk {
            Talk::Event(event) => {
                self.going_on(event.conversation);
                self.packages(event);
            }
            Talk::Unposted { conversation, .. } => self.group(*conversation),
            Talk::Answer { number, .. } => {
                if let Some(super::Asked::Packages(id)) = self.client.asks.get(number) {
                    self.group(*id);
                }
            }
            Talk::Post(_)
            | Talk::Have { .. }
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Ask { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => {}
        }
    }

    /// Those of our key packages that a Welcome may be for.
    fn packages(&mut self, event: &Event) {
        let Some(bytes) = event.bytes.as_ref().filter(|_| event.kind != Kind::Message) else { return };
        let welcome = Change::parse(bytes).ok().and_then(|change| change.welcome);
        let named = welcome.and_then(|welcome| named_in(&welcome).ok()).unwrap_or_default();
        let unknown = named.into_iter().filter(|hash| !self.client.packages.contains_key(hash));
        self.keys.extend(unknown.map(Key::Package));
    }
}
