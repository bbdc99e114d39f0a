//! A sealed conversation on one device: what is said is sealed and opened, and what must be stored is said.

use std::collections::{BTreeMap, BTreeSet};

use mls_rs::MlsMessage;
use mls_rs::MlsMessageDescription;
use mls_rs::error::MlsError;
use mls_rs::group::{ContentType, ReceivedMessage};

use crate::canary::{Canary, is_on};
use crate::fault::{Misuse, PeerFault, RestoreError};
use crate::id::{ConversationId, DeviceKey, Hash};
use crate::limits;
use crate::seal::mls::aad::{Aad, KnownHead};
use crate::seal::mls::chains::Chains;
use crate::seal::mls::engine::{Desk, Engine, give_up};
use crate::seal::mls::entropy::Filled;
use crate::seal::mls::fault::{misuse, sealed};
use crate::seal::mls::member::Member;
use crate::seal::mls::padding::{pad, unpad};
use crate::seal::mls::record::{Reserved, Snapshot, read_epoch, write_epoch};
use crate::seal::secret::Secret;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;

/// The group of one conversation, as this device has it.
pub struct Group {
    pub(super) conversation: ConversationId,
    pub(super) desk: Desk,
    pub(super) engine: Engine,
    pub(super) chains: Chains,
    /// The epochs whose keys are kept, and when each ended.
    pub(super) ended: BTreeMap<u64, Millis>,
    pub(super) reserved: Option<Reserved>,
    /// Messages since the last snapshot.
    pub(super) unsaved: u32,
    /// Records were written that a snapshot isn't: who restores can tell that something was lost.
    pub(super) marked: bool,
    pub(super) out: bool,
    /// Calls that drew randomness, so that no two of one step draw the same.
    pub(super) draws: u64,
}

impl core::fmt::Debug for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Group {{ {}, epoch: {}, Secret(..) }}", self.conversation, self.epoch())
    }
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whose it is: by their verified credential, nothing else (attack 86).
    pub member: Member,
    /// The epoch in which it was sealed.
    pub epoch: u64,
    /// What went with it, signed.
    pub aad: Aad,
    /// What was said.
    pub plaintext: Vec<u8>,
}

/// What a change of the group did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The epoch after it.
    pub epoch: u64,
    /// Who made it. `None` of a group that was joined.
    pub committer: Option<Member>,
    /// Whether its author came by it from outside.
    pub external: bool,
    /// Who came. Of a group that was joined: everybody.
    pub added: Vec<Member>,
    /// Who went.
    pub removed: Vec<Member>,
    /// Who has another credential than before: of a newer list, by another key.
    pub changed: Vec<Member>,
    /// We are among those who went: the group is over for us.
    pub we_are_out: bool,
}

impl Group {
    /// Brings a group back from its records. `look` is asked for `Key::Group` and for what [`wanted`](super::wanted)
    /// names.
    ///
    /// Generations that were reserved are skipped, whether used or not: a key seals once, whichever crash or backup lies
    /// between (attack 62).
    ///
    /// # Errors
    /// [`RestoreError`] where a record can't be what was stored, or the records are of different times.
    pub fn restore(conversation: ConversationId, look: impl Fn(&Key) -> Option<Vec<u8>>) -> Result<Self, RestoreError> {
        let key = Key::Group(conversation);
        let damaged = |what| RestoreError::Damaged { key: key.clone(), what };
        let snapshot = Snapshot::read(&key, &look(&key).ok_or(damaged("there"))?)?;
        if snapshot.conversation != conversation {
            return Err(damaged("of this conversation"));
        }
        let desk = Desk::default();
        for epoch in snapshot.ended.keys() {
            let key = Key::Epoch(conversation, *epoch);
            if let Some(bytes) = look(&key) {
                desk.shelf.things().epochs.insert(*epoch, read_epoch(&key, *epoch, &bytes)?);
            }
        }
        desk.shelf.things().state = Some(snapshot.engine);
        let engine = desk.client(None).load_group(&conversation.0).map_err(|_| damaged("an engine's state"))?;
        desk.shelf.things().state = None;
        let reserve = Key::Reserve(conversation);
        let reserved = look(&reserve).map(|bytes| Reserved::read(&reserve, &bytes)).transpose()?;
        // Parking gives generations back, but never those that a snapshot has used.
        if reserved.map(|r| r.epoch) < snapshot.reserved.map(|r| r.epoch) {
            return Err(RestoreError::Damaged { key: reserve, what: "no older than its group" });
        }
        let mut group = Self {
            conversation,
            desk,
            engine,
            chains: snapshot.chains,
            ended: snapshot.ended,
            reserved,
            unsaved: 0,
            marked: false,
            out: snapshot.out,
            draws: 0,
        };
        if !is_on(Canary::NonceAfterRestore) {
            group.skip_reserved().map_err(damaged)?;
        }
        Ok(group)
    }

    /// Gives up the generations of our own key that may have been used. Where there are any, the group wasn't parked:
    /// its next message brings a snapshot, so that what is lost never adds up.
    fn skip_reserved(&mut self) -> Result<(), &'static str> {
        let Some(reserved) = self.reserved else { return Ok(()) };
        if reserved.epoch > self.epoch() {
            return Err("no older than what it reserved");
        }
        if reserved.epoch < self.epoch() || self.out {
            return Ok(());
        }
        let mut next = self.engine.peek_next_key_generation().map_err(|_| "a key of ours")?;
        if reserved.until.saturating_sub(next) > limits::RESERVE.saturating_add(limits::SNAPSHOT_LAG) {
            return Err("no older than what it reserved");
        }
        if next < reserved.until {
            self.marked = true;
            self.unsaved = limits::SNAPSHOT_LAG;
        }
        while next < reserved.until {
            next = self.engine.next_encryption_key().map_err(|_| "a key of ours")?.generation().saturating_add(1);
        }
        Ok(())
    }

    /// Which conversation it is of.
    #[must_use]
    pub const fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.engine.current_epoch()
    }

    /// Whether we were removed.
    #[must_use]
    pub const fn is_out(&self) -> bool {
        self.out
    }

    /// Whether a commit of ours waits for the hub.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.engine.has_pending_commit()
    }

    /// The members, by leaf.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.roster().into_values().collect()
    }

    pub(super) fn roster(&self) -> BTreeMap<u32, Member> {
        let members = self.engine.roster().members_iter();
        members.filter_map(|m| Some((m.index(), Member::read(m.signing_identity()).ok()?))).collect()
    }

    /// The member that this device is.
    #[must_use]
    pub fn own(&self) -> Option<Member> {
        self.roster().remove(&self.engine.current_member_index())
    }

    pub(super) fn leaf_of(&self, dk: DeviceKey) -> Option<u32> {
        self.roster().into_iter().find(|(_, member)| member.dk == dk).map(|(leaf, _)| leaf)
    }

    /// What two members who are in the same epoch of the same group have alike, and nobody else (RFC 9420 §8.7).
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where the engine has none: never, of a group that is one.
    pub fn authenticator(&self) -> Result<Secret<32>, Misuse> {
        let secret = self.engine.epoch_authenticator().map_err(|_| misuse("no authenticator"))?;
        secret.as_bytes().try_into().map(Secret::new).map_err(|_| misuse("an authenticator of another length"))
    }

    /// The hash of the tree: of who is in the group, with which keys.
    #[must_use]
    pub fn tree_hash(&self) -> Hash {
        let hash = Hash::try_from(self.engine.context().tree_hash.as_slice());
        debug_assert!(hash.is_ok(), "the suite's hash has 32 bytes");
        hash.unwrap_or(Hash([0; 32]))
    }

    /// A secret that the members of this epoch have alike, for one purpose outside of MLS (RFC 9420 §8.5).
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] as [`authenticator`](Self::authenticator).
    pub fn export(&self, label: &str, context: &[u8]) -> Result<Secret<32>, Misuse> {
        let label = [b"postline/1 ", label.as_bytes()].concat();
        let secret = self.engine.export_secret(&label, context, 32).map_err(|_| misuse("no exporter"))?;
        secret.as_bytes().try_into().map(Secret::new).map_err(|_| misuse("a secret of another length"))
    }

    /// Seals what is said. `head` is the newest head of the log that this device knows.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where we were removed, for more than [`MESSAGE_BYTES`](limits::MESSAGE_BYTES), and where
    /// all generations of the epoch are used: commit first.
    pub fn seal<O>(
        &mut self,
        tick: &Tick,
        head: Option<KnownHead>,
        plaintext: &[u8],
        out: &mut Outbox<O>,
    ) -> Result<Vec<u8>, Misuse> {
        if self.out {
            return Err(misuse("a group that we were removed from"));
        }
        if plaintext.len() > limits::MESSAGE_BYTES {
            return Err(misuse("a message over its bound"));
        }
        let failed = |_: MlsError| misuse("an engine that doesn't seal");
        let generation = self.engine.peek_next_key_generation().map_err(failed)?;
        // The engine counts generations in 32 bits, and would wrap (attack 63).
        if generation >= limits::GENERATIONS {
            return Err(misuse("an epoch whose keys are used up"));
        }
        let aad = Aad { conversation: self.conversation, generation, head }.to_bytes();
        let filled = self.fill(tick, "seal");
        let message = self.engine.encrypt_application_message(&pad(plaintext), aad).map_err(failed)?;
        drop(filled);
        let bytes = message.to_bytes().map_err(failed)?;
        if !self.reserved.is_some_and(|r| r.epoch == self.epoch() && generation < r.until) {
            self.reserve(generation.saturating_add(limits::RESERVE), out);
        }
        self.count(out).map_err(failed)?;
        Ok(bytes)
    }

    /// Reserves the generations of our own key up to this one.
    pub(super) fn reserve<O>(&mut self, until: u32, out: &mut Outbox<O>) {
        let reserved = Reserved { epoch: self.epoch(), until };
        self.reserved = Some(reserved);
        self.marked = true;
        out.save(Record::put(Key::Reserve(self.conversation), reserved.to_bytes()));
    }

    /// Opens what another member sealed, once. On an error nothing has changed: a message that was tampered with doesn't
    /// use up the key of the genuine one.
    ///
    /// # Errors
    /// [`PeerFault::TooBig`]; [`PeerFault::Epoch`] for an epoch to come, or one whose keys are gone;
    /// [`PeerFault::Again`] for what was opened before; [`PeerFault::NoConversation`] where we were removed;
    /// [`PeerFault::Sealed`] for everything else.
    pub fn open<O>(&mut self, tick: &Tick, bytes: &[u8], out: &mut Outbox<O>) -> Result<Opened, PeerFault> {
        let message = self.message(bytes)?;
        let MlsMessageDescription::PrivateProtocolMessage { content_type: ContentType::Application, .. } =
            message.description()
        else {
            return Err(PeerFault::Sealed("of another kind"));
        };
        let (epoch, now) = (message.epoch().unwrap_or_default(), self.epoch());
        if epoch > now || (epoch < now && !self.is_kept(epoch, tick.now)) {
            return Err(PeerFault::Epoch { got: epoch, now });
        }
        let before = self.engine.clone();
        let opened = self.open_by_engine(message, epoch, out);
        if opened.is_err() {
            self.engine = before;
        }
        opened
    }

    fn open_by_engine<O>(&mut self, message: MlsMessage, epoch: u64, out: &mut Outbox<O>) -> Result<Opened, PeerFault> {
        let received = self.engine.process_incoming_message(message).map_err(|e| sealed(&e))?;
        let ReceivedMessage::ApplicationMessage(said) = received else {
            return Err(PeerFault::Sealed("of another kind"));
        };
        let aad = Aad::parse(&said.authenticated_data)?;
        if aad.conversation != self.conversation && !is_on(Canary::AadWithoutConversation) {
            return Err(PeerFault::Sealed("of another conversation"));
        }
        if said.unauthenticated_key_generation != Some(aad.generation) {
            return Err(PeerFault::Sealed("with another key than its author's"));
        }
        let (leaf, generation) = (said.sender_index, aad.generation);
        self.chains.judge(epoch, leaf, generation, epoch != self.epoch())?;
        let author = self.engine.member_at_index(leaf).ok_or(PeerFault::Sealed("no such member"))?;
        let member = Member::read(author.signing_identity())?;
        let plaintext = unpad(said.data().to_vec())?;
        let next = self.engine.peek_next_key_generation().map_err(|e| sealed(&e))?;
        // From here on it is opened: what follows can't be refused.
        let left_out = self.chains.leaves_out(epoch, leaf, generation);
        // Of an epoch that is over none is given up: it takes no more than it has room for.
        for (leaf, generation) in self.chains.take(epoch, leaf, generation) {
            let given_up = give_up(&mut self.engine, leaf, generation);
            debug_assert!(given_up.is_ok(), "a key that waits is there");
        }
        if !self.marked {
            self.reserve(next.saturating_add(limits::RESERVE), out);
        }
        // An author who restarts skips what it had reserved. Where the reader does too, and never stores how far it was, what
        // the two leave out adds up, until it is more than may be: so it counts as if it had been read.
        self.unsaved = self.unsaved.saturating_add(left_out);
        self.count(out).map_err(|e| sealed(&e))?;
        Ok(Opened { member, epoch, aad, plaintext })
    }

    /// Reads a message of this group, of whatever kind.
    pub(super) fn message(&self, bytes: &[u8]) -> Result<MlsMessage, PeerFault> {
        if bytes.len() > limits::EVENT_BYTES {
            let (got, max) = (bytes.len() as u64, limits::EVENT_BYTES as u64);
            return Err(PeerFault::TooBig { what: "event", got, max });
        }
        if self.out {
            return Err(PeerFault::NoConversation);
        }
        let message = MlsMessage::from_bytes(bytes).map_err(|e| sealed(&e))?;
        match message.group_id() {
            Some(id) if *id == self.conversation.0 => Ok(message),
            _ => Err(PeerFault::Sealed("of another conversation")),
        }
    }

    fn is_kept(&self, epoch: u64, now: Millis) -> bool {
        self.ended.get(&epoch).is_some_and(|ended| now < ended.plus(limits::OLD_EPOCH_MS))
    }

    /// Fills the cell for one call.
    pub(super) fn fill(&mut self, tick: &Tick, label: &str) -> Filled {
        self.draws = self.draws.saturating_add(1);
        self.desk.entropy.fill(tick, label, &[&self.conversation.0, &self.draws.to_be_bytes()])
    }

    /// Counts a message, and asks for a snapshot where enough have come together.
    fn count<O>(&mut self, out: &mut Outbox<O>) -> Result<(), MlsError> {
        self.unsaved = self.unsaved.saturating_add(1);
        if self.unsaved >= limits::SNAPSHOT_LAG { self.save(out) } else { Ok(()) }
    }

    /// Asks for everything to be stored, and gives back what was reserved: for who lets go of a group that was used, so
    /// that restoring it skips nothing.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where the engine can't be written: never, of a group that is one.
    pub fn park<O>(&mut self, out: &mut Outbox<O>) -> Result<(), Misuse> {
        if !self.marked {
            return Ok(());
        }
        let failed = |_: MlsError| misuse("an engine that can't be written");
        let next = self.engine.peek_next_key_generation().map_err(failed)?;
        self.reserve(next, out);
        self.marked = false;
        self.save(out).map_err(failed)
    }

    /// Asks for a snapshot, and for the epochs that were written since the last.
    pub(super) fn save<O>(&mut self, out: &mut Outbox<O>) -> Result<(), MlsError> {
        self.engine.write_to_storage()?;
        let (engine, touched) = {
            let mut things = self.desk.shelf.things();
            (things.state.take(), core::mem::take(&mut things.touched))
        };
        let gone: BTreeSet<u64> = {
            let mut things = self.desk.shelf.things();
            let gone = things.epochs.keys().copied().filter(|epoch| !self.ended.contains_key(epoch)).collect();
            things.epochs.retain(|epoch, _| self.ended.contains_key(epoch));
            gone
        };
        for epoch in gone {
            out.save(Record::remove(Key::Epoch(self.conversation, epoch)));
        }
        for epoch in touched {
            let bytes = self.desk.shelf.things().epochs.get(&epoch).map(|engine| write_epoch(epoch, engine));
            let ended = self.ended.get(&epoch).copied();
            if let (Some(bytes), Some(ended)) = (bytes, ended) {
                let record = Record::put(Key::Epoch(self.conversation, epoch), bytes);
                out.save(record.until(ended.plus(limits::OLD_EPOCH_MS)));
            }
        }
        let snapshot = Snapshot {
            conversation: self.conversation,
            out: self.out,
            engine: engine.unwrap_or_default(),
            reserved: self.reserved,
            chains: self.chains.clone(),
            ended: self.ended.clone(),
        };
        out.save(Record::put(Key::Group(self.conversation), snapshot.to_bytes()));
        self.unsaved = 0;
        Ok(())
    }
}
