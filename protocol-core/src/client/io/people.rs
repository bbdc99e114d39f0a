//! Who is who: devices, contacts, conversations, authors, as people are told of them.

use crate::id::{Address, ConversationId, DeviceKey, Identity};
use crate::time::Millis;
use crate::wire::control::Policy;

/// A device of the person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its key.
    pub dk: DeviceKey,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Whether a node runs it, and could read along.
    pub hosted: bool,
    /// When it was added.
    pub added: Millis,
    /// Whether it is this one.
    pub this: bool,
}

/// What the person has with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// With whom.
    pub address: Address,
    /// How well.
    pub level: Level,
    /// Whether all their devices are run by their node, which could read along.
    pub hosted: bool,
    /// How many devices they have, as far as is known.
    pub devices: usize,
    /// Whether nothing is sealed to them until the person decides.
    pub suspended: bool,
    /// Who they are through all changes of address and key: by which they are mentioned. `None` while no list of theirs is here.
    pub identity: Option<Identity>,
}

/// How well two know each other. Only rises by what both did; a fall is an event of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No line: mail only.
    Mail,
    /// L2: a line between their nodes.
    Line,
    /// L3: the keys of both are proven over the line's handshake.
    Keys,
    /// L4: the two have compared codes.
    Verified,
}

impl Level {
    /// The number that the protocol's text calls it by.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Mail => 0,
            Self::Line => 2,
            Self::Keys => 3,
            Self::Verified => 4,
        }
    }
}

/// A conversation, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Which.
    pub id: ConversationId,
    /// The others in it.
    pub with: Vec<Address>,
    /// The MLS epoch.
    pub epoch: u64,
    /// The devices in it, by the group's tree.
    pub devices: usize,
    /// The last event that this device has taken.
    pub seq: u64,
    /// Whether this device can read and write in it now.
    pub joined: bool,
    /// Whether the person wants the others to hear what they read, where the conversation leaves that to each.
    pub tells_read: bool,
    /// How the conversation has reading told.
    pub policy: Policy,
}

/// Who said something: told by the credential in the group's tree alone, which their address key has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The person.
    pub address: Address,
    /// The device.
    pub dk: DeviceKey,
    /// How well the reader knows them now; of the person's own devices: [`Level::Verified`].
    pub level: Level,
    /// Whether a node runs the device.
    pub hosted: bool,
    /// Whether the person is the reader.
    pub own: bool,
}
