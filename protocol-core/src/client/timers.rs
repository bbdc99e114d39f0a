//! What the device has to do later, and when: one ordered set.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Address, ConversationId};
use crate::time::Millis;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// The session's own deadline.
    Session,
    /// Dial the node.
    Dial,
    /// Say what was taken.
    Ack,
    /// Ask again for this person's lists.
    Lists(Address),
    /// Give up codes that were typed and that no device asked by.
    Typed,
    /// Make keys known that the node hasn't taken.
    Publish,
    /// Leave a file that the node had no room for.
    Files,
    /// Have the node let files go, of which it hasn't heard.
    Forgets,
    /// Go on with a conversation: seal, change members, mark.
    Talk(ConversationId),
    /// Somebody is known to be here, or to write, no more.
    Whisper,
    /// Tell the others what was read.
    Read(ConversationId),
    /// Forget what of a conversation has come to its end.
    Ends(ConversationId),
    /// Give up what was to be read until now and can't be said.
    Drafts,
    /// Tell the person's other devices what they are to hear.
    Memos,
    /// Go on with a snapshot of a conversation.
    Snapshot(ConversationId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Millis, What)>,
    at: BTreeMap<What, Millis>,
}

impl Timers {
    pub(super) fn set(&mut self, what: What, at: Option<Millis>) {
        let old = match at {
            Some(at) => self.at.insert(what.clone(), at),
            None => self.at.remove(&what),
        };
        if let Some(old) = old {
            self.order.remove(&(old, what.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, what));
        }
    }

    /// Sets it, unless it is due earlier.
    pub(super) fn by(&mut self, what: What, at: Millis) {
        if self.at.get(&what).is_none_or(|known| at < *known) {
            self.set(what, Some(at));
        }
    }

    pub(super) fn first(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    /// The conversations that are next, whenever that is: at most so many.
    pub(super) fn talks(&self, most: usize) -> impl Iterator<Item = ConversationId> {
        let talk = |what: &What| match what {
            What::Talk(id) => Some(*id),
            What::Session
            | What::Dial
            | What::Ack
            | What::Lists(_)
            | What::Typed
            | What::Publish
            | What::Files
            | What::Read(_)
            | What::Ends(_)
            | What::Drafts
            | What::Memos
            | What::Forgets
            | What::Snapshot(_)
            | What::Whisper => None,
        };
        self.order.iter().filter_map(move |(_, what)| talk(what)).take(most)
    }

    /// The conversation whose snapshot is next, whenever that is.
    pub(super) fn snapshot(&self) -> Option<ConversationId> {
        self.order.iter().find_map(|(_, what)| if let What::Snapshot(id) = what { Some(*id) } else { None })
    }

    /// Takes what is due, earliest first, at most so much.
    pub(super) fn due(&mut self, now: Millis, most: usize) -> Vec<What> {
        let due: Vec<What> =
            self.order.iter().take_while(|(at, _)| *at <= now).map(|(_, what)| what.clone()).take(most).collect();
        for what in &due {
            self.set(what.clone(), None);
        }
        due
    }
}
