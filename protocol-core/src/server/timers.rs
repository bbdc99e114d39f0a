//! Who wants to be woken, and when: one ordered set for all children.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ConversationId, Lane, LinkId, NodeKey, Pair, SessionId};
use crate::time::Millis;

/// A child with a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Pair(Pair),
    Lane(Lane),
    Link(NodeKey),
    Greeting(LinkId),
    Session(SessionId),
    /// What is to be looked at, or given up, about keys.
    Keys,
    /// A node that is to be dialled, or has mails waiting, once its records are here.
    Node(NodeKey),
    /// A log of which something is here now that was missing.
    Log(ConversationId),
    /// Those who came and are not yet told of all that they missed.
    Comers,
    /// The posts that wait for a hub, once their pairs are here.
    Posts(NodeKey),
    /// Files that something should come of.
    Files,
    /// What is whispered with a node: somebody's lease ends.
    Whisper(NodeKey),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Millis, Who)>,
    at: BTreeMap<Who, Millis>,
}

impl Timers {
    pub(super) fn set(&mut self, who: Who, at: Option<Millis>) {
        let old = match at {
            Some(at) => self.at.insert(who.clone(), at),
            None => self.at.remove(&who),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, who.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, who));
        }
    }

    pub(super) fn first(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Who is due, earliest first, at most so many.
    pub(super) fn due(&self, now: Millis, most: usize) -> Vec<Who> {
        let due = self.order.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, who)| who.clone()).take(most).collect()
    }
}
