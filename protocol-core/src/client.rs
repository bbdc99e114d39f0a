//! The front door for devices: keys, contacts and sealed conversations of one person on one device, behind one `step`.
//!
//! ```text
//!               ┌────────────────────────────── Client ───────────────────────────────┐
//!  Command ────▶│ writing ──▶ drafts ──▶ changes, sealing ──▶ seal::mls (the groups)   │──▶ Event
//!               │                ▲            ▲                    ▲                   │
//!  Session ────▶│ door ──▶ log ──┴── reading ─┘                    │                   │──▶ Dial, Send, Close
//!  Wake ───────▶│  └─────▶ keys (own, contacts) ──▶ seal::lists ───┘                   │
//!               │  └─────▶ presence ──▶ machine::presence (who is here, who writes)    │
//!               └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The node that the device is at carries and orders, and is believed nothing: who somebody is, which devices are theirs,
//! and what a log says, this side verifies. Before each step the host asks [`Client::wants`] until nothing more is wanted,
//! and brings each record, or its absence, by [`Client::hydrate`].
//!
//! A crash forgets the session and what was asked on it. Spec: `spec/07-identity.md`, `spec/08-sealing.md`,
//! `spec/10-sessions.md`.

mod applying;
mod backup;
mod changes;
mod contact;
mod controls;
mod devices;
mod door;
mod ending;
mod files;
mod following;
mod forgetting;
mod history;
mod inner;
pub mod io;
mod joining;
mod keys;
mod lines;
mod log;
mod marking;
mod memos;
mod mentions;
mod own;
mod planning;
mod presence;
mod reading;
pub mod replay;
mod said;
mod sealing;
mod showing;
mod snapshot;
mod talk;
mod timers;
mod verify;
mod views;
mod wants;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

pub use io::{Command, Declined, Event, Input, Output, SessionIn};
#[cfg(feature = "testing")]
pub use said::is_content;
pub use said::{Words, words};
pub use talk::with;

use crate::fault::{Misuse, PeerFault, RestoreError};
use crate::id::{Address, ConversationId, DeviceKey, Hash, Identity};
use crate::limits;
use crate::machine::mark::Marks;
use crate::machine::presence::device::Presence;
use crate::seal::lists::Chain;
use crate::seal::mls::Group;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use contact::Contact;
use controls::Act;
use door::Door;
use io::Who;
use joining::Joining;
use keys::Published;
use own::{Own, Stage};
use said::{Draft, Kept};
use talk::{Live, Talk};
use timers::{Timers, What};
use views::Views;
use wants::Staged;

/// What the device is, as its host set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Whose device it is.
    pub address: Address,
    /// Whether a node runs it, for a person who has only a mail program.
    pub hosted: bool,
}

/// The front door of a device. See the module's picture.
#[derive(Debug)]
pub struct Client {
    ours: Ours,
    now: Millis,
    own: Own,
    contacts: BTreeMap<Address, Contact>,
    talks: BTreeMap<ConversationId, Talk>,
    /// How far it has got in each.
    marks: BTreeMap<ConversationId, Marks>,
    drafts: BTreeMap<u64, Draft>,
    door: Door,
    /// How often it was dialled in vain.
    dials: u32,
    /// The mailbox login, while the device enrols.
    login: Option<io::Login>,
    live: BTreeMap<ConversationId, Live>,
    /// The groups at hand; `None`: there is none.
    groups: BTreeMap<ConversationId, Option<Group>>,
    /// Records of groups that are being brought.
    staged: BTreeMap<ConversationId, Staged>,
    /// Secret halves of key packages that are at hand; `None`: used, or never ours.
    packages: BTreeMap<Hash, Option<Vec<u8>>>,
    /// Entries at hand; `None`: nothing was said in it that is kept.
    said: BTreeMap<(ConversationId, u64), Option<Kept>>,
    /// What became of messages, as far as it is at hand.
    views: Views,
    /// What is to be forgotten, and when.
    endings: ending::Endings,
    /// Questions that are open on this session.
    asks: BTreeMap<u64, Asked>,
    /// What was published on this session, and isn't answered.
    publishing: BTreeMap<u64, Published>,
    /// The number of the last question or publication.
    asked: u64,
    /// Key proofs that came, until their lists are here.
    proofs: BTreeMap<Address, Vec<u8>>,
    /// The newest list of each that the node has told of.
    heard: BTreeMap<Address, u64>,
    /// Codes, and who asks to be let in.
    joining: Joining,
    /// Codes that are being compared.
    comparing: verify::Comparing,
    /// How many entries were taken that the node hasn't heard of.
    taken: BTreeMap<ConversationId, u64>,
    /// Conversations of which something came that nothing leads to, on this session.
    unknown: BTreeSet<ConversationId>,
    /// Files on their way.
    files: files::Files,
    /// What the person's other devices are to hear.
    memos: memos::Memos,
    /// What is whispered.
    presence: Presence,
    /// Snapshots under way.
    walks: BTreeMap<ConversationId, snapshot::Walk>,
    timers: Timers,
}

/// What a question was about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Lists(Address),
    Packages(ConversationId),
    Range { talk: ConversationId },
}

impl Client {
    /// Starts from the records whose keys say [`Client::restored_at_start`], in any order.
    ///
    /// # Errors
    /// [`RestoreError`] for a record that is damaged, or written by a newer version.
    pub fn restore(ours: Ours, records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let mut client = Self {
            presence: Presence::new(ours.address.clone()),
            ours,
            now: Millis(0),
            own: Own::default(),
            contacts: BTreeMap::new(),
            talks: BTreeMap::new(),
            marks: BTreeMap::new(),
            drafts: BTreeMap::new(),
            door: Door::Away,
            dials: 0,
            login: None,
            live: BTreeMap::new(),
            groups: BTreeMap::new(),
            staged: BTreeMap::new(),
            packages: BTreeMap::new(),
            said: BTreeMap::new(),
            views: Views::default(),
            endings: ending::Endings::default(),
            asks: BTreeMap::new(),
            publishing: BTreeMap::new(),
            asked: 0,
            proofs: BTreeMap::new(),
            heard: BTreeMap::new(),
            joining: Joining::default(),
            comparing: verify::Comparing::default(),
            taken: BTreeMap::new(),
            unknown: BTreeSet::new(),
            files: files::Files::default(),
            memos: memos::Memos::default(),
            walks: BTreeMap::new(),
            timers: Timers::default(),
        };
        for record in records {
            client.take_back(&record)?;
        }
        client.find_numbers();
        client.restore_marks();
        client.restore_memos();
        client.restore_presence();
        if client.own.connect && client.own.stage != Stage::Over {
            client.timers.set(What::Dial, Some(Millis(0)));
        }
        Ok(client)
    }

    /// The numbers that were used: the greatest that any record has.
    fn find_numbers(&mut self) {
        let settled = self.talks.values().map(|talk| talk.posted).fold(self.own.settled, u64::max);
        let sealed = self.drafts.iter().filter(|(_, draft)| draft.sealed.is_some());
        let posted = sealed.map(|(number, _)| *number).fold(settled, u64::max);
        let number = self.drafts.keys().copied().fold(posted, u64::max);
        (self.own.settled, self.own.posted, self.own.number) = (settled, posted, number);
    }

    fn take_back(&mut self, record: &Record) -> Result<(), RestoreError> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "what a node keeps is many things")]
        match &record.key {
            Key::Own => self.own = Own::restore(record)?,
            Key::Joining => self.joining = Joining::restore(record)?,
            Key::Contact(theirs) => {
                _ = self.contacts.insert(theirs.clone(), Contact::restore(theirs.clone(), record)?);
            }
            Key::Talk(id) => {
                let talk = Talk::restore(*id, record)?;
                if !talk.unmarked.is_empty()
                    || talk.applied < talk.seq
                    || !talk.late.is_empty()
                    || !talk.adopted.is_empty()
                {
                    self.timers.set(What::Talk(*id), Some(Millis(0)));
                }
                self.talks.insert(*id, talk);
            }
            Key::Upload(_) => self.files.take_back(record)?,
            Key::Ends(id) => {
                let deadline = self.endings.take_back(*id, record)?;
                self.timers.set(What::Ends(*id), deadline);
            }
            Key::Forget(..) => self.files.forgets.take_back(record)?,
            // Who the person is, the records to come may say.
            Key::Marks(id) => _ = self.marks.insert(*id, Marks::restore(*id, Identity([0; 32]), record)?),
            Key::Draft(number) => {
                let draft = Draft::restore(record)?;
                draft.end().into_iter().for_each(|end| self.timers.by(What::Drafts, end));
                self.drafts.insert(*number, draft);
            }
            key => self.hydrate(key, Some(record))?,
        }
        Ok(())
    }

    /// Whether a host brings this record when the device is restored; the others are brought when they are wanted.
    #[must_use]
    pub const fn restored_at_start(key: &Key) -> bool {
        matches!(
            key,
            Key::Own
                | Key::Joining
                | Key::Contact(_)
                | Key::Talk(_)
                | Key::Marks(_)
                | Key::Ends(_)
                | Key::Draft(_)
                | Key::Upload(_)
                | Key::Forget(..)
        )
    }

    /// Whose device it is.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.ours.address
    }

    /// The device's key, once it has one.
    #[must_use]
    pub fn dk(&self) -> Option<DeviceKey> {
        self.own.device.as_ref().map(crate::seal::DeviceIdentity::dk)
    }

    /// Whose device it is, through all changes of address and key; once the person has a list.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.own.chain.as_ref().map(Chain::identity)
    }

    /// The direct conversation with somebody, where there is a line: it may be still to be made.
    #[must_use]
    pub fn direct(&self, with: &Address) -> Option<ConversationId> {
        self.contacts.get(with)?.direct().map(|(id, _)| id)
    }

    /// Whether it is one of the person's devices.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        self.own.stage == Stage::Enrolled
    }

    /// Whether it was one, and the person has revoked it.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        let (Some(chain), Some(dk)) = (&self.own.chain, self.dk()) else { return false };
        chain.revoked().any(|gone| gone == dk)
    }

    /// Whether it says nothing any more: it was revoked, or is a copy of one that went on.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.own.stage, Stage::Over)
    }

    /// Those that the person has something with, as [`Event::Contact`] says them.
    pub fn contacts(&self) -> impl Iterator<Item = io::Contact> {
        self.contacts.values().map(Contact::shown)
    }

    /// The conversations, as [`Event::Conversation`] says them; of one whose group isn't at hand, no devices are counted.
    pub fn conversations(&self) -> impl Iterator<Item = io::Conversation> {
        self.talks.values().map(|talk| self.shown(talk))
    }

    /// How much is said here that the log doesn't have yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.drafts.len()
    }

    /// How many records are in memory, by whatever name: what `limits` and the simulator watch.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.contacts.len()
            + self.talks.len()
            + self.drafts.len()
            + self.groups.len()
            + self.packages.len()
            + self.said.len()
            + self.views.len()
            + self.endings.len()
            + self.asks.len()
            + self.live.values().map(|live| live.ahead.len()).sum::<usize>()
            + self.talks.values().map(|talk| talk.unmarked.len()).sum::<usize>()
            + self.marks.values().map(Marks::len).sum::<usize>()
            + self.joining.len()
            + self.files.len()
            + self.presence.len()
            + self.walks.len()
    }

    /// What [`Client::forget`] would forget: for a host that bounds memory between batches.
    #[must_use]
    pub fn idle(&self) -> Vec<Key> {
        let groups = self.groups.keys().map(|id| Key::Group(*id));
        let said = self.said.keys().map(|(id, seq)| Key::Said(*id, *seq));
        let packages = self.packages.keys().map(|hash| Key::Package(*hash));
        groups.chain(packages).chain(said).chain(self.views.idle()).chain(self.endings.idle()).collect()
    }
}

#[cfg(feature = "testing")]
impl Client {
    /// The epoch, the tree's hash and the devices of a conversation whose group is at hand: what the simulator compares.
    #[must_use]
    pub fn tree(&self, id: ConversationId) -> Option<(u64, Hash, BTreeSet<DeviceKey>)> {
        let group = self.groups.get(&id).and_then(Option::as_ref)?;
        Some((group.epoch(), group.tree_hash(), group.members().iter().map(|member| member.dk).collect()))
    }
}

impl Machine for Client {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        if let Some(key) = self.wants(&input).into_iter().next() {
            return Err(Misuse::NotHydrated(key));
        }
        // The clock of a front door never runs back, whatever the host's does.
        self.now = tick.now.max(self.now);
        let tick = Tick { now: self.now, entropy: tick.entropy };
        self.own.fresh = None;
        match input {
            Input::Command(command) => self.command(&tick, command, out),
            Input::Session(input) => self.session(&tick, input, out),
            Input::Bytes(bytes) => self.file_bytes(bytes, out),
            Input::Wake => self.wake(&tick, out),
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.timers.first()
    }
}

impl Client {
    fn command(&mut self, tick: &Tick, command: Command, out: &mut Outbox<Output>) {
        match command {
            Command::Enrol { login } => self.enrol(tick, login, out),
            Command::Connect => self.connect(out),
            Command::Disconnect => self.disconnect(tick, out),
            Command::Say { to, salt, what } => self.say_to(tick, &to, salt, &what, out),
            Command::ReadUpTo { conversation, seq } => self.read_up_to(tick, conversation, seq, out),
            Command::TellRead { conversation, tell } => self.choose_to_tell(tick, conversation, tell, out),
            Command::AcceptKeys(who) => self.accept_keys(tick, &who, out),
            Command::Join => self.join(tick, out),
            Command::AddDevice { code } => self.add_device(tick, &code.0, out),
            Command::Revoke(dk) => self.revoke(tick, dk, out),
            Command::RevokeStolen { dk, bytes, passphrase } => self.revoke_stolen(tick, dk, &bytes, &passphrase, out),
            Command::Verify(who) => self.verify(tick, &who, out),
            Command::Same(who) => self.same(tick, &who, out),
            Command::Differ(who) => self.differ(&who, out),
            Command::Backup => self.back_up(tick, out),
            Command::BackupKept => self.backup_kept(out),
            Command::Restore { bytes, passphrase } => self.restore_backup(tick, &bytes, &passphrase, out),
            Command::Block(who) => self.block(who, true, out),
            Command::Unblock(who) => self.block(who, false, out),
            Command::Show { conversation, before, count } => self.show(conversation, before, count, out),
            Command::Snapshot { conversation, from } => self.snapshot(tick, conversation, from, out),
            Command::Pin { conversation, message, pinned } => {
                self.act(tick, conversation, Act::Pin { message, pinned }, out);
            }
            Command::Pins { conversation } => self.show_pins(conversation, out),
            Command::Remove { conversation, message } => self.act(tick, conversation, Act::Remove { message }, out),
            Command::SetPolicy { conversation, policy } => self.act(tick, conversation, Act::Policy(policy), out),
            Command::ShareHistory { with } => self.share_history(tick, with, out),
            Command::Keep { theirs, file } => self.keep_file(theirs, file, out),
            Command::Fetch { whose, file } => self.fetch_file(whose, file, out),
            Command::GiveUp(hash) => self.give_up_file(hash, out),
            Command::Agree { with, agrees } => self.agree(with, agrees, out),
            Command::AllowTyping(may) => self.allow_typing(may, out),
            Command::Active => self.active(out),
            Command::Typing { conversation } => self.typing(conversation, out),
        }
    }

    fn wake(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        for what in self.timers.due(tick.now, limits::CLIENT_BATCH) {
            match what {
                What::Session => self.session_due(tick, out),
                What::Dial => self.dial(out),
                What::Ack => self.ack(out),
                What::Lists(whose) => self.ask_lists(&whose, out),
                What::Typed => self.typed_in_vain(tick, out),
                What::Publish => self.publish(tick, out),
                What::Talk(id) => self.go_on(tick, id, out),
                What::Read(id) => self.tell_read(tick, id, out),
                What::Ends(id) => self.end_some(tick, id, out),
                What::Drafts => self.drafts_end(tick, out),
                What::Memos => self.tell_own(tick, out),
                What::Snapshot(id) => self.walk_on(tick, id, out),
                What::Files => self.files_go_on(out),
                What::Forgets => self.forgets_go_on(out),
                What::Whisper => self.whispers_due(out),
            }
        }
    }

    fn tell(event: Event, out: &mut Outbox<Output>) {
        out.emit(Output::Event(event));
    }

    /// Tells of something that comes again until it is durable here that it was told: of itself, or by the node.
    fn tell_early(event: Event, out: &mut Outbox<Output>) {
        out.emit_early(Output::Event(event));
    }

    fn decline(why: Declined, out: &mut Outbox<Output>) {
        Self::tell(Event::Declined(why), out);
    }

    fn refuse(who: Who, why: PeerFault, out: &mut Outbox<Output>) {
        Self::tell(Event::Refused { who, why }, out);
    }

    fn live(&mut self, id: ConversationId) -> &mut Live {
        self.live.entry(id).or_default()
    }
}
