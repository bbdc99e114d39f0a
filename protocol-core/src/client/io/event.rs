//! What people and logs hear of a device.

#[cfg(doc)]
use super::Command;
use super::command::Passphrase;
use super::message::{Changed, Far, Mark, Pinned, Said, Screen, Snapshot};
use super::people::{Contact, Conversation, Device};
use super::trouble::{Alarm, Declined, ShownCode, Unverified, Who};
use crate::fault::{Code, PeerFault};
use crate::id::{Address, AddressKey, BlobRef, ContentId, ConversationId, DeviceKey};
use crate::machine::mark::Failure;
use crate::time::Millis;
use crate::wire::control::Policy;
use crate::wire::whisper::Seen;

/// What people and logs want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file is on its way, or has arrived.
    File {
        /// Which, by its sealed bytes.
        file: BlobRef,
        /// Whether it leaves this device; else it comes.
        leaves: bool,
        /// How far it is.
        far: Far,
    },
    /// The session is up, and everything that the node kept is on its way.
    Online,
    /// The session is gone.
    Offline {
        /// Why, where the node or the device said so.
        code: Option<Code>,
    },
    /// The device is one of the person's.
    Enrolled {
        /// The person's address.
        address: Address,
        /// This device.
        dk: DeviceKey,
        /// Whether it is the person's first.
        first: bool,
    },
    /// The node knows other devices of the address: [`Command::Join`] or [`Command::Restore`] comes next. Or the person has
    /// another key since a device was stolen, which this device of theirs lacks: [`Command::Join`] brings it.
    JoinWanted,
    /// The person's devices are now these.
    Devices(Vec<Device>),
    /// What the person has with another changed.
    Contact(Contact),
    /// A conversation is there, or has changed.
    Conversation(Conversation),
    /// Something that the person says on this device is durable, and on its way: marks follow.
    Saying {
        /// In which conversation.
        conversation: ConversationId,
        /// What it is called.
        id: ContentId,
        /// Of what that name was made.
        salt: [u8; 16],
    },
    /// Something that the person wanted to say is not said, and nothing of it is kept.
    Unsaid {
        /// What its name was to be made of.
        salt: [u8; 16],
        /// Why.
        why: Failure,
    },
    /// Somebody said something: the person on another device of theirs too.
    Said(Said),
    /// What is seen of a contact is now this; `None`: nothing. As the nodes say: never proven, and never older than it says.
    Presence {
        /// Of whom.
        who: Address,
        /// Whether they are here, or when they were last, rounded.
        seen: Option<Seen>,
    },
    /// Somebody writes, or does so no more. As the nodes say.
    Typing {
        /// In which conversation.
        conversation: ConversationId,
        /// Who.
        who: Address,
        /// Whether they do.
        now: bool,
    },
    /// Whether the person agrees to see a contact, and be seen by them, is now this: by their own word, or since they took it back
    /// on another device, or since there is no line any more.
    Agreement {
        /// The contact.
        with: Address,
        /// Whether they agree.
        agrees: bool,
    },
    /// Messages of a conversation, as [`Command::Show`] asked for.
    Screen(Screen),
    /// All that people see of a conversation, by one hash, as [`Command::Snapshot`] asked for.
    Snapshot(Snapshot),
    /// A message that is here is something else now: of one that this person said, too.
    Changed(Changed),
    /// Somebody reacted to a message, or took that back.
    Reacted {
        /// In which conversation.
        conversation: ConversationId,
        /// The message: its first version.
        id: ContentId,
        /// Its place.
        seq: u64,
        /// Who; `None` for somebody who isn't known here any more.
        who: Option<Address>,
        /// The sign.
        sign: String,
        /// Whether it is shown now.
        shown: bool,
    },
    /// A message is pinned, or isn't any more.
    Pinned {
        /// In which conversation.
        conversation: ConversationId,
        /// The message: its first version.
        id: ContentId,
        /// Its place.
        seq: u64,
        /// Who did it; `None` where it came by itself: the message is gone, or there was room at last.
        by: Option<Address>,
        /// Whether it is pinned now.
        pinned: bool,
    },
    /// What is pinned, as [`Command::Pins`] asked for: what was pinned first comes first.
    Pins {
        /// In which conversation.
        conversation: ConversationId,
        /// The messages, as they are now.
        pinned: Vec<Pinned>,
    },
    /// How reading is told in a conversation has changed for everybody.
    Policy {
        /// In which conversation.
        conversation: ConversationId,
        /// How.
        policy: Policy,
        /// Who set it; `None` where somebody said it once more to this device, or isn't known here any more.
        by: Option<Address>,
        /// Whether the others hear from now on what this person reads: whatever they chose, where it is required or forbidden.
        tells_read: bool,
    },
    /// How far something got that this person said.
    Mark {
        /// In which conversation.
        conversation: ConversationId,
        /// What.
        id: ContentId,
        /// Its place in the conversation, once it has one.
        seq: Option<u64>,
        /// How far.
        mark: Mark,
    },
    /// The person has read up to here on another device of theirs.
    ReadElsewhere {
        /// In which conversation.
        conversation: ConversationId,
        /// The last that was seen.
        seq: u64,
    },
    /// Something came that this device can't open. Its author's device has been asked to say it again.
    NotOpened {
        /// In which conversation.
        conversation: ConversationId,
        /// Its place.
        seq: u64,
        /// Why not.
        why: PeerFault,
    },
    /// Something that this person said can't be opened by a device of its readers; it is said again where that helps.
    NotOpenedBy {
        /// In which conversation.
        conversation: ConversationId,
        /// What.
        id: ContentId,
        /// Whose device it is.
        reader: Address,
        /// Which.
        dk: DeviceKey,
        /// Whether it is being said again.
        again: bool,
    },
    /// A person speaks with keys that theirs don't lead to. Loud: nothing is sealed to either until the person decides.
    KeysChanged {
        /// Who.
        who: Address,
        /// The key that is known.
        known: AddressKey,
        /// The key that speaks, where there is one.
        now: Option<AddressKey>,
    },
    /// A person whose key their node held has one of their own now, which that key has named: no alarm. The line and the
    /// conversations stay; what was compared is void, which [`Event::NotVerified`] says.
    HandedOver {
        /// Who.
        who: Address,
        /// The key that their node held.
        known: AddressKey,
        /// Their own.
        now: AddressKey,
    },
    /// A code to be compared, or to be typed on another device.
    Code(ShownCode),
    /// No device has asked yet by the code that the person typed: it is kept until one does, until this time, and then
    /// declined as [`Declined::NobodyAsked`].
    CodeWaits {
        /// Until when.
        until: Millis,
    },
    /// The device whose code the person typed is one of theirs, and is being told.
    Added {
        /// Which.
        dk: DeviceKey,
    },
    /// The person's node has blocked somebody, or blocks them no more.
    Blocked {
        /// Whom.
        who: Address,
        /// Whether they are blocked now.
        blocked: bool,
    },
    /// Somebody wants to compare codes: [`Command::Verify`] answers.
    CompareWanted {
        /// Who.
        who: Address,
    },
    /// The two compared codes, and they were the same: level L4.
    Verified {
        /// With whom.
        who: Address,
    },
    /// A comparison ended without a match.
    NotVerified {
        /// With whom.
        who: Address,
        /// Why.
        why: Unverified,
    },
    /// There is a key that only a backup should hold: [`Command::Backup`] makes one, and [`Command::BackupKept`] says that
    /// it was put away. Said until then.
    BackupWanted,
    /// A backup, and its passphrase: shown once, kept nowhere. The bytes may be kept by anybody.
    Backup {
        /// The bytes, sealed under the passphrase.
        bytes: Vec<u8>,
        /// The passphrase.
        passphrase: Passphrase,
    },
    /// Entries of a conversation are gone from its hub, and from the node: this device never had them.
    Missing {
        /// Of which conversation.
        conversation: ConversationId,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The person has revoked this device: it says and reads nothing any more.
    Revoked,
    /// Another device of the person has shared what it had opened before this one came.
    HistoryShared {
        /// Of which conversation.
        conversation: ConversationId,
        /// How many events are new here; each comes as [`Event::Said`].
        events: u64,
    },
    /// Somebody erred and was refused; everything else goes on.
    Refused {
        /// Who.
        who: Who,
        /// How they erred.
        why: PeerFault,
    },
    /// A command that can't be done, and why. Nothing has changed.
    Declined(Declined),
    /// Somebody lies. Loud: it is never shown as a mere failure.
    Alarm(Alarm),
    /// The node has seen this device further on than it is: it is a copy, or was set back. It writes no more; the person
    /// enrols it anew.
    Behind,
}
