//! What goes wrong, and what is to be compared: who erred, what is declined, who lies.

use core::fmt;

use crate::fault::PeerFault;
use crate::id::{Address, ConversationId, DeviceKey, Hash, NodeKey};
use crate::machine::mark::Failure;
use crate::time::Millis;

/// Who erred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The device's own node.
    Node,
    /// A person: whoever speaks for them.
    Person(Address),
    /// Somebody within a conversation.
    Conversation(ConversationId),
}

/// A code that people compare, or carry from one device to another.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownCode {
    /// What it is for.
    pub what: CodeFor,
    /// As a text: six digits to be compared, or twenty signs to be typed.
    pub text: String,
    /// The same as pictures, where there are any.
    pub emoji: Vec<String>,
    /// As a QR picture's text, where there is one.
    pub qr: Option<String>,
    /// Until when it holds.
    pub until: Millis,
}

impl fmt::Debug for ShownCode {
    /// A code is a secret for as long as it holds (attack 89).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownCode").field("what", &self.what).field("until", &self.until).finish_non_exhaustive()
    }
}

/// What a code is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeFor {
    /// To be typed on an old device: this one is new.
    Joining,
    /// To be compared with this person.
    Person(Address),
}

/// Why a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// The codes differ, as one of the two said.
    Differ,
    /// Time ran out.
    Late,
    /// What came doesn't open what was committed to.
    Broken,
    /// They were verified by a key that their node held, and have one of their own now.
    HandedOver,
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declined {
    /// The device is not enrolled yet, or no more.
    NotEnrolled,
    /// It is enrolled already.
    Enrolled,
    /// It takes a session with the node, and there is none.
    Offline,
    /// The code or passphrase is wrong, or too late; nothing has changed.
    WrongCode,
    /// No device asked to be let in by the code that was typed: it is wrong, or the device that shows it can't be heard.
    NobodyAsked,
    /// Tried too often: not before this time.
    NotBefore(Millis),
    /// No such device of the person.
    NoDevice(DeviceKey),
    /// A device doesn't revoke itself while it is the person's last.
    LastDevice,
    /// Nothing is known of this person.
    NoContact(Address),
    /// There is room for so many, and no more.
    TooMany(usize),
    /// There is nothing to answer.
    NothingPending,
    /// No such conversation here.
    NoConversation(ConversationId),
    /// So much of the conversation changed while its snapshot was made that there is none.
    Restless(ConversationId),
    /// No such message at this place, or it is gone.
    NoMessage(u64),
    /// What was to be done to this conversation is not done, and won't be.
    Undone(ConversationId, Failure),
    /// Only a moderator of this conversation may do it.
    NotModerator(ConversationId),
}

/// Somebody lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Two device lists of one number, or one outside its chain (attacks 72, 73).
    List {
        /// Whose.
        whose: Address,
        /// What is wrong with it.
        why: PeerFault,
    },
    /// The hub showed two people two logs (attack 75): it signed the one, and somebody who is in the conversation, or the
    /// hub itself, names the other.
    SplitView {
        /// Of which conversation.
        conversation: ConversationId,
        /// At which entry they differ.
        seq: u64,
        /// The log's hash as this device has it.
        ours: Hash,
        /// The log's hash as it was named.
        theirs: Hash,
    },
    /// The node proves another key than the one that this device knows.
    NodeKey {
        /// The key that it proved.
        got: NodeKey,
        /// The key that is known.
        want: NodeKey,
    },
    /// A device is in a conversation that is on none of its person's lists (attack 73).
    GhostDevice {
        /// Of which conversation.
        conversation: ConversationId,
        /// Whose it says it is.
        address: Address,
        /// Which.
        dk: DeviceKey,
    },
}
