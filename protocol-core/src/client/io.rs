//! What the device's front door takes and gives. The host's whole vocabulary stands on this page.
//!
//! ```text
//!   person ──Command──▶ ┌────────┐ ──Event──▶ person
//!                       │ Client │
//!   node ──SessionIn──▶ └────────┘ ──Dial, Send, Close──▶ node
//! ```

use core::fmt;

use crate::content::message::{Expiry, Topic};
use crate::content::part::{Part, Words as Text};
use crate::content::refusal::ContentFault;
use crate::fault::{Code, PeerFault};
use crate::id::{Address, AddressKey, BlobRef, ContentId, ConversationId, DeviceKey, Hash, Identity, NodeKey};
pub use crate::machine::mark::Failure;
pub use crate::machine::session::device::Login;
use crate::time::Millis;
use crate::wire::content::Content;
pub use crate::wire::file::{BytesIn, BytesOut};
use crate::wire::frame::Frame;
pub use crate::wire::whisper::Seen;
use zeroize::Zeroizing;

/// What the world tells the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The person wants something.
    Command(Command),
    /// Something happened on the session with the device's own node.
    Session(SessionIn),
    /// Something became of the bytes of a file that is fetched, or has left.
    Bytes(BytesIn),
    /// The time of [`deadline`](crate::step::Machine::deadline) has come.
    Wake,
}

/// What happens on the session. There is one at a time: the next [`SessionIn::Up`] follows a [`SessionIn::Down`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionIn {
    /// The connection that [`Output::Dial`] asked for is up.
    Up {
        /// What ties the proofs to this connection: its TLS exporter (RFC 8446 §7.5), or what the node sent first over a
        /// WebSocket.
        channel: [u8; 32],
    },
    /// The dial failed: nobody answered.
    Unreached,
    /// A frame came.
    Frame(Frame),
    /// Bytes came that are no frame. The host closes the connection after our answer.
    Garbage(PeerFault),
    /// The connection is gone.
    Down,
    /// The answer to [`Output::Approve`]: whether this is the node's key.
    Approved {
        /// Which key.
        nk: NodeKey,
        /// Whether it is.
        yes: bool,
    },
}

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
        code: String,
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

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the device wants done, once its records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection to the device's node: [`SessionIn::Up`] or [`SessionIn::Unreached`] says how it went.
    Dial,
    /// Send a frame.
    Send(Frame),
    /// Close the connection, after what was sent. [`SessionIn::Down`] is not awaited, and does no harm.
    Close,
    /// This device has never met its node: is this its key? Answered by [`SessionIn::Approved`]. A host that has verified
    /// the connection's certificate for the node's name may answer by itself.
    Approve(NodeKey),
    /// Do something about the bytes of a file.
    Bytes(BytesOut),
    /// Something that the person, or a log, wants to know.
    Event(Event),
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// So many of its sealed bytes are where they go: at the node, or here.
    Here(u64),
    /// So many bytes of a file that is fetched are at the person's own node.
    AtNode(u64),
    /// Not now, for this reason: it goes on by itself.
    Waits(Code),
    /// All of it is there, durable.
    Done,
    /// It isn't to be, for this reason.
    Failed(Code),
}

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
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its place.
    pub seq: u64,
    /// Whether others that lie behind it came before it: it is shown in its place, and marked.
    pub late: bool,
    /// What it is called.
    pub id: ContentId,
    /// Who said it.
    pub author: Author,
    /// When, as the author's clock said: for display, never for order.
    pub at: Millis,
    /// What.
    pub content: Content,
    /// What it answers.
    pub answers: Option<Answers>,
}

/// What a message answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The version that its author saw.
    pub version: ContentId,
    /// The place of the message whose version that is; `None` where it isn't here. Where it comes later,
    /// [`Now::Answers`] says so.
    pub message: Option<u64>,
}

/// Messages of a conversation, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The messages.
    pub messages: Vec<Shown>,
    /// Whether there are earlier ones.
    pub earlier: bool,
}

/// A message, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place.
    pub seq: u64,
    /// What it is called: its first version.
    pub id: ContentId,
    /// Who said it.
    pub author: Author,
    /// When, as the author's clock said.
    pub at: Millis,
    /// Its words, in the newest version; or that it is gone.
    pub now: Words,
    /// Who shows which sign at it.
    pub signs: Vec<(Option<Address>, String)>,
}

/// What is left of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// This.
    Are {
        /// 0 for its first version, else the edit's number.
        no: u32,
        /// The version.
        content: Content,
    },
    /// Its author took it back.
    Retracted,
    /// Somebody removed it.
    Removed {
        /// Who.
        by: Identity,
    },
}

/// A message that was shown is something else now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// In which conversation.
    pub conversation: ConversationId,
    /// What the message is called: its first version.
    pub id: ContentId,
    /// Its place.
    pub seq: u64,
    /// What it is now.
    pub now: Now,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    /// Its author has other words for it.
    Edited {
        /// What this version is called.
        version: ContentId,
        /// The number of the edit.
        no: u32,
        /// When, as its author's clock said.
        at: Millis,
        /// The words.
        content: Content,
    },
    /// Its author took it back: no words of it are kept here.
    Retracted,
    /// Somebody removed it, who may: the same.
    Removed {
        /// Who.
        by: Identity,
    },
    /// What it answers has come.
    Answers {
        /// The place of that.
        message: u64,
    },
}

impl Said {
    /// Its words, where it has any.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        words(&self.content)
    }
}

/// The words of a content, where it has any: those of the first part that has.
#[must_use]
pub fn words(content: &Content) -> Option<&str> {
    content.fields().body.walk().into_iter().find_map(Part::words).map(Text::as_str)
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

/// How far something got. Only rises, but for what ends it: it has expired, or failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Durable on this device.
    Queued,
    /// Covered by a head that the hub has signed.
    Sent,
    /// Durable at the other's node.
    Delivered,
    /// Read by the other.
    Read,
    /// It was to be read until a time that was over before it could be said.
    Expired,
    /// Not said, and won't be.
    Failed(Failure),
}

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
