//! What the person wants of their device.

#[cfg(doc)]
use super::{Declined, Event, Far, Now};
use core::fmt;

use crate::content::message::{Expiry, Topic};
use crate::content::part::Part;
use crate::content::refusal::ContentFault;
use crate::id::{Address, BlobRef, ConversationId, DeviceKey, Hash};
use crate::machine::session::device::Login;
use crate::wire::control::Policy;
use zeroize::Zeroizing;

/// What the person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make this device known to the node, once: the first device of an address makes its keys, a further one waits for
    /// [`Command::Join`]. Answered by [`Event::Enrolled`], [`Event::JoinWanted`], or [`Event::Refused`].
    Enrol {
        /// The login of the mailbox; `None` for a device that its own node runs: it brings an empty one, which the node
        /// takes on connections that it has made itself, and on no other.
        login: Option<Login>,
    },
    /// Keep a session with the node, and come back whenever it is lost.
    Connect,
    /// Stay away from the node until [`Command::Connect`].
    Disconnect,
    /// Say something. It is durable once the step is, and answered by [`Event::Saying`], or by [`Event::Unsaid`] and why.
    Say {
        /// To whom.
        to: To,
        /// What its name is made of, with what is said ([M-2]): random, and never used before. The same again is said once.
        /// `None`: the device draws it.
        salt: Option<[u8; 16]>,
        /// What is said.
        what: Saying,
    },
    /// The person has seen everything up to here: told to the others, sealed, and to the person's other devices, where the
    /// conversation's policy and [`Command::TellRead`] leave it so.
    ReadUpTo {
        /// Of which conversation.
        conversation: ConversationId,
        /// The last that was seen.
        seq: u64,
    },
    /// Whether others hear what the person reads, on this device, where a conversation leaves that to each: they do, until
    /// the person says otherwise. Answered by [`Event::Conversation`] for each to which it makes a difference. What was kept
    /// to oneself is not told later by itself.
    TellRead {
        /// In which conversation; `None`: wherever nothing was chosen for the conversation itself.
        conversation: Option<ConversationId>,
        /// Whether they do.
        tell: bool,
    },
    /// This device is new, for an address that has others: show a code for one of them. Answered by [`Event::Code`].
    Join,
    /// On an old device: take the new device that shows this code. Answered by [`Event::Added`], or by [`Declined`]; where no
    /// device has asked by this code yet, first by [`Event::CodeWaits`].
    AddDevice {
        /// The code, as the person typed or scanned it.
        code: TypedCode,
    },
    /// A device of the person is none any more, from now on. Where only this one is left, and the key that follows the
    /// person's is at hand ([`Event::BackupWanted`]), the person goes over to it: the device that is gone signs nothing.
    /// Everybody who was a device knows the person's key: where the one that goes is in foreign hands, it takes
    /// [`Command::RevokeStolen`]. Where it is a hosted one, of a hosted key, the person goes over to a key that this device makes: the node that held
    /// the other signs nothing more.
    Revoke(DeviceKey),
    /// The same of a device that is in foreign hands: the person goes over to the key of the backup that was made last, and
    /// what that device knows signs nothing more. Their other devices hear [`Event::JoinWanted`], and are let in by a code to
    /// have the new key; until then they go on in their conversations. A new backup is wanted.
    RevokeStolen {
        /// Which.
        dk: DeviceKey,
        /// The backup, as [`Event::Backup`] gave it.
        bytes: Vec<u8>,
        /// Its passphrase.
        passphrase: Passphrase,
    },
    /// Compare codes with this person: begins, or answers one who began. Answered by [`Event::Code`].
    Verify(Address),
    /// The two codes are the same: these are their keys.
    Same(Address),
    /// The two codes differ: somebody stands between.
    Differ(Address),
    /// Never again a line with this person, until unblocked: the node ends it. Answered by [`Event::Blocked`], or by
    /// [`Declined`]: where the session ends before the answer, by [`Declined::Offline`].
    Block(Address),
    /// Back to strangers. The same.
    Unblock(Address),
    /// These are this person's keys from now on, whatever was known before: the person says so, after
    /// [`Event::KeysChanged`]. What was compared is void.
    AcceptKeys(Address),
    /// Give the person a backup: answered by [`Event::Backup`], with a passphrase of its own each time.
    Backup,
    /// The backup was put away: the key that follows the person's is from now on in it alone.
    BackupKept,
    /// Take the person's keys from a backup: this device becomes one of theirs. Before [`Event::Enrolled`] only.
    Restore {
        /// The backup, as [`Event::Backup`] gave it.
        bytes: Vec<u8>,
        /// Its passphrase.
        passphrase: Passphrase,
    },
    /// Whether the person agrees to see whether a contact is here, and be seen by them: off until they agree, and nothing is
    /// seen unless the other agrees too. Answered by [`Event::Agreement`] for each contact that it changes.
    Agree {
        /// With whom; `None`: with all, and with those who come later too.
        with: Option<Address>,
        /// Whether they agree.
        agrees: bool,
    },
    /// Whether others may see that the person writes: off until they allow it.
    AllowTyping(bool),
    /// The person does something. May be said at every turn: the node hears it only so often, and only where somebody may see it.
    Active,
    /// The person is writing. May be said at every key: it is told only so often, and only where it is allowed.
    Typing {
        /// In which conversation.
        conversation: ConversationId,
    },
    /// Show messages of a conversation, the newest first, as they are now. Answered by [`Event::Screen`].
    Show {
        /// Of which conversation.
        conversation: ConversationId,
        /// Only those before this place; `None`: from the last on.
        before: Option<u64>,
        /// How many: at most [`SCREEN`](crate::limits::SCREEN) come.
        count: usize,
    },
    /// Say by one hash all that people see of a conversation: devices that have heard the same have the same. Answered by
    /// [`Event::Snapshot`] once everything was looked through, stretch by stretch, or by [`Declined`]; a crash forgets it.
    Snapshot {
        /// Of which conversation.
        conversation: ConversationId,
        /// Of the messages from this place on: what a device heard that came later begins further on. 0: of all.
        from: u64,
    },
    /// Pin the message at a place for both, or unpin it. Answered by [`Event::Pinned`] once the log has it, or by [`Declined`].
    Pin {
        /// Of which conversation.
        conversation: ConversationId,
        /// The place.
        message: u64,
        /// Whether it is to be pinned.
        pinned: bool,
    },
    /// Show what is pinned, in the order in which it was. Answered by [`Event::Pins`].
    Pins {
        /// In which conversation.
        conversation: ConversationId,
    },
    /// Remove the message at a place, as a moderator, whoever said it. Answered by [`Now::Removed`], or by [`Declined`]: in a
    /// conversation of two nobody is one.
    Remove {
        /// Of which conversation.
        conversation: ConversationId,
        /// The place.
        message: u64,
    },
    /// How reading is told in a conversation, by everybody: what the log's last such word says. Answered by [`Event::Policy`]
    /// where that changes it, once the log has it, or by [`Declined`].
    SetPolicy {
        /// In which conversation.
        conversation: ConversationId,
        /// How.
        policy: Policy,
    },
    /// Share with a newer device of the person what this one has opened, sealed.
    ShareHistory {
        /// With which.
        with: DeviceKey,
    },
    /// Leave a file with the node for somebody with whom there is a line: its sealed bytes, which the host has staged. It is
    /// durable once the step is, and goes on until [`Far::Done`] or [`Far::Failed`].
    Keep {
        /// For whom.
        theirs: Address,
        /// Which.
        file: BlobRef,
    },
    /// Fetch a file that somebody left for this person, or that they left themselves. It goes on over all sessions until
    /// [`Far::Done`], which leaves the sealed bytes with the host, or [`Far::Failed`]; a crash forgets that it was wanted.
    Fetch {
        /// Who left it.
        whose: Address,
        /// Which.
        file: BlobRef,
    },
    /// Nothing more is to come of this file, by the hash of its sealed bytes.
    GiveUp(Hash),
}

/// To whom something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A person, in the direct conversation with them; it is made where there is none.
    Person(Address),
    /// All who are in a conversation.
    Conversation(ConversationId),
}

/// What a person says. What is longer than [`CONTENT_BYTES`](crate::limits::CONTENT_BYTES) as a whole isn't said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// A message.
    Message {
        /// Its words, or what else it is.
        body: Part,
        /// The place of the message that it answers, in the version that is shown now.
        answers: Option<u64>,
        /// Its thread.
        topic: Topic,
        /// When it is to be forgotten.
        expires: Option<Expiry>,
    },
    /// Other words for the person's own message at this place.
    Edit {
        /// The place.
        message: u64,
        /// The words, or what else it is now.
        body: Part,
    },
    /// The person's own message at this place is taken back.
    Retract {
        /// The place.
        message: u64,
    },
    /// A sign at the message at this place, in the version that is shown now.
    React {
        /// The place.
        message: u64,
        /// The sign, mostly an emoji: of at most [`SIGN_BYTES`](crate::limits::SIGN_BYTES).
        sign: String,
    },
    /// The person's sign at the message at this place is taken back.
    Withdraw {
        /// The place.
        message: u64,
        /// The sign.
        sign: String,
    },
}

impl Saying {
    /// A message of this, which answers nothing.
    #[must_use]
    pub fn message(body: Part) -> Self {
        Self::Message { body, answers: None, topic: Topic::default(), expires: None }
    }

    /// A message of plain text.
    ///
    /// # Errors
    /// [`ContentFault`], never of its own.
    pub fn text(text: &str) -> Result<Self, ContentFault> {
        Part::plain(text).map(Self::message)
    }
}

/// A backup's passphrase: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(pub Zeroizing<String>);

/// A code that lets a device in, as the person typed or scanned it: wiped when dropped, never printed. Whoever reads it in
/// a log within its time could come in by it.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedCode(pub Zeroizing<String>);

impl From<String> for TypedCode {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
