//! What people do in a conversation, under the laws: marks, and presence at both ends.

use std::collections::BTreeMap;

use postline_core::id::{ContentId, ConversationId, Identity, Pair};
use postline_core::limits;
use postline_core::machine::mark::{self, Marks};
use postline_core::machine::presence::{device, node};
use postline_core::store::Key;

use super::{Records, Subject, must, ours, theirs};

/// The conversation of every script.
pub(crate) const TALK: ConversationId = ConversationId([7; 32]);

/// The nth person; this one is 0.
#[must_use]
pub(crate) fn person(n: u64) -> Identity {
    Identity([u8::try_from(n % 5).unwrap_or_default(); 32])
}

/// The nth thing that is said.
#[must_use]
pub(crate) fn content(n: u64) -> ContentId {
    ContentId([u8::try_from(n % 7).unwrap_or_default(); 32])
}

/// The nth pair of people of two nodes.
#[must_use]
pub(crate) fn pair(n: u64) -> Pair {
    Pair { ours: ours(), theirs: theirs(n) }
}

/// Those who are in it: this person, and so many others.
#[must_use]
pub(crate) fn members(n: u64) -> BTreeMap<Identity, u64> {
    (0..=n).map(|n| (person(n), 1 + n)).collect()
}

/// [`Marks`] under the laws.
#[derive(Debug)]
pub struct MarkLaws;

impl Subject for MarkLaws {
    type Machine = Marks;
    const MOST: usize = limits::MARK_PEOPLE + limits::MARK_POSTS + limits::MARK_NEWS;

    fn fresh() -> Marks {
        Marks::new(TALK, person(0))
    }

    fn restored(records: &Records) -> Marks {
        let record = records.get(&Key::Marks(TALK));
        record.map_or_else(Self::fresh, |record| must(Marks::restore(TALK, person(0), record)))
    }

    fn after_crash(machine: &Marks, _: &Records) -> Marks {
        machine.after_crash()
    }

    fn wake() -> mark::Input {
        mark::Input::Wake
    }

    fn size(machine: &Marks) -> usize {
        machine.len()
    }
}

/// A node's side of presence under the laws.
#[derive(Debug)]
pub struct NodePresenceLaws;
/// A device's side of it under the laws.
#[derive(Debug)]
pub struct DevicePresenceLaws;

impl Subject for NodePresenceLaws {
    type Machine = node::Presence;
    const MOST: usize = 2 * limits::PRESENCE_CONTACTS + 2 * limits::TYPISTS;

    fn fresh() -> node::Presence {
        node::Presence::new()
    }

    fn restored(_: &Records) -> node::Presence {
        Self::fresh()
    }

    fn after_crash(_: &node::Presence, records: &Records) -> node::Presence {
        assert!(records.is_empty(), "who is there left a record");
        Self::fresh()
    }

    fn wake() -> node::Input {
        node::Input::Wake
    }

    fn size(machine: &node::Presence) -> usize {
        machine.len()
    }
}

impl Subject for DevicePresenceLaws {
    type Machine = device::Presence;
    const MOST: usize = 2 * limits::PRESENCE_CONTACTS + 2 * limits::TYPISTS;

    fn fresh() -> device::Presence {
        device::Presence::new(ours())
    }

    fn restored(_: &Records) -> device::Presence {
        Self::fresh()
    }

    fn after_crash(_: &device::Presence, records: &Records) -> device::Presence {
        assert!(records.is_empty(), "who is there left a record");
        Self::fresh()
    }

    fn wake() -> device::Input {
        device::Input::Wake
    }

    fn size(machine: &device::Presence) -> usize {
        machine.len()
    }
}
