//! How a device comes into a group: it makes one, is welcomed into one, or comes from outside to heal.

use std::collections::BTreeMap;

use mls_rs::ExtensionList;
use mls_rs::MlsMessage;
use mls_rs::MlsMessageDescription;
use mls_rs::error::MlsError;
use mls_rs::extension::built_in::RatchetTreeExt;
use mls_rs::psk::ExternalPskId;
use mls_rs::time::MlsTime;

use crate::fault::{Misuse, PeerFault};
use crate::id::{ConversationId, Hash};
use crate::limits;
use crate::seal::mls::chains::Chains;
use crate::seal::mls::changes::change;
use crate::seal::mls::engine::{Desk, Engine, good_from, seconds};
use crate::seal::mls::fault::{misuse, package as bad_package, welcome as bad_welcome};
use crate::seal::mls::group::{Applied, Group};
use crate::seal::mls::package::{Kept, Package};
use crate::seal::mls::provider::SUITE;
use crate::seal::mls::{Judge, Me, Refusal, psk_id};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::log::Change;

/// The key packages that a Welcome is for, by reference: so that a caller brings their records.
///
/// # Errors
/// [`PeerFault::TooBig`] or [`PeerFault::Welcome`] for what is none.
pub fn named_in(welcome: &[u8]) -> Result<Vec<Hash>, PeerFault> {
    let message = read(welcome)?;
    let MlsMessageDescription::Welcome { key_package_refs, cipher_suite: SUITE } = message.description() else {
        return Err(PeerFault::Welcome("of another kind or suite"));
    };
    if key_package_refs.len() > limits::LEAVES {
        return Err(PeerFault::Welcome("for more than may be in a group"));
    }
    let named = key_package_refs.into_iter().map(|reference| Hash::try_from(&reference[..]));
    named.collect::<Result<_, _>>().map_err(|_| PeerFault::Welcome("a package's reference"))
}

fn read(bytes: &[u8]) -> Result<MlsMessage, PeerFault> {
    if bytes.len() > limits::EVENT_BYTES {
        let (got, max) = (bytes.len() as u64, limits::EVENT_BYTES as u64);
        return Err(PeerFault::TooBig { what: "event", got, max });
    }
    MlsMessage::from_bytes(bytes).map_err(|e| bad_welcome(&e))
}

impl Group {
    /// Makes the group of a conversation, bound to the handshake of its line, with everybody whose package is given. The
    /// change is for a Create; where the hub has taken another's, this group is dropped and [`join`](Self::join) follows.
    ///
    /// # Errors
    /// [`Misuse`] where the leaf is another device's, or the change would pass its bound; [`PeerFault::KeyPackage`] for
    /// a package that can't be taken: expired since, or twice the same device.
    pub fn create<O>(
        tick: &Tick,
        me: Me<'_>,
        conversation: ConversationId,
        t2: Hash,
        packages: &[Package],
        out: &mut Outbox<O>,
    ) -> Result<(Self, Change), Refusal> {
        let failed = |_: MlsError| misuse("an engine that makes no group");
        check(me)?;
        if packages.is_empty() || packages.len() >= limits::LEAVES {
            return Err(misuse("a conversation of nobody else, or of too many").into());
        }
        let desk = Desk::default();
        desk.bind(conversation, t2);
        let filled = desk.entropy.fill(tick, "create", &[&conversation.0]);
        let mut engine = desk
            .client(Some(me))
            .create_group_with_id(
                conversation.0.to_vec(),
                ExtensionList::new(),
                ExtensionList::new(),
                Some(good_from(tick.now)),
            )
            .map_err(failed)?;
        let mut builder = engine.commit_builder().commit_time(MlsTime::from(seconds(tick.now)));
        builder = builder.add_external_psk(ExternalPskId::new(psk_id(conversation))).map_err(failed)?;
        for package in packages {
            let message = MlsMessage::from_bytes(package.bytes()).map_err(|e| bad_package(&e))?;
            builder = builder.add_member(message).map_err(|e| bad_package(&e))?;
        }
        let output = builder.build().map_err(|e| bad_package(&e))?;
        let mut change = change(&output)?;
        // Nobody else was there to follow it: the Welcome says it all.
        change.commit = Vec::new();
        engine.apply_pending_commit().map_err(failed)?;
        drop(filled);
        desk.unbind();
        let mut group = Self::new(conversation, desk, engine);
        group.begin(out).map_err(failed)?;
        Ok((group, change))
    }

    /// Joins a conversation by a Welcome, once `judge` has nothing against its members. `secrets` is asked for the
    /// record of each package that [`named_in`] names; the one that was used is removed, unless it was of last resort.
    ///
    /// # Errors
    /// [`PeerFault::Welcome`] where it isn't for us, for another conversation, by a package that was used (attack 79), or
    /// not bound to this handshake; and what `judge` says.
    #[allow(clippy::too_many_arguments, reason = "each is a thing of its own that the caller has at hand")]
    pub fn join<O>(
        tick: &Tick,
        me: Me<'_>,
        welcome: &[u8],
        secrets: impl Fn(Hash) -> Option<Vec<u8>>,
        t2: Hash,
        conversation: ConversationId,
        judge: Judge<'_>,
        out: &mut Outbox<O>,
    ) -> Result<Self, PeerFault> {
        let named = named_in(welcome)?;
        let message = read(welcome)?;
        check(me).map_err(|_| PeerFault::Welcome("for another device"))?;
        let ours = named.into_iter().find_map(|reference| secrets(reference).map(|bytes| (reference, bytes)));
        let (reference, bytes) = ours.ok_or(PeerFault::Welcome("for no package of ours, or one that was used"))?;
        let kept = Kept::read(&bytes).map_err(|_| PeerFault::Welcome("for a package whose record is damaged"))?;

        let desk = Desk::default();
        desk.bind(conversation, t2);
        desk.shelf.things().packages.insert(reference.0.to_vec(), kept.data);
        let filled = desk.entropy.fill(tick, "join", &[&conversation.0]);
        let joined = desk.client(Some(me)).join_group(None, &message, None);
        drop(filled);
        let (engine, _) = joined.map_err(|e| bad_welcome(&e))?;
        if engine.group_id() != conversation.0 {
            return Err(PeerFault::Welcome("of another conversation"));
        }
        // The first commit has the handshake in it, or the group isn't of this line.
        if engine.current_epoch() <= 1 && !desk.shelf.things().psk_was_read {
            return Err(PeerFault::Welcome("not bound to the handshake"));
        }
        desk.unbind();
        let mut group = Self::new(conversation, desk, engine);
        group.judged(me, judge)?;
        group.begin(out).map_err(|e| bad_welcome(&e))?;
        if !kept.last_resort {
            out.save(Record::remove(Key::Package(reference)));
        }
        Ok(group)
    }

    /// Comes into a conversation from outside, by its public state, to heal: this device's own leaf is replaced where the
    /// tree has one. The change is for a Commit; where the hub refuses it, the group is dropped.
    ///
    /// # Errors
    /// [`PeerFault::Welcome`] for what is no public state of this conversation; and what `judge` says of the members.
    pub fn join_from_outside<O>(
        tick: &Tick,
        me: Me<'_>,
        group_info: &[u8],
        conversation: ConversationId,
        judge: Judge<'_>,
        out: &mut Outbox<O>,
    ) -> Result<(Self, Change), PeerFault> {
        check(me).map_err(|_| PeerFault::Welcome("for another device"))?;
        let message = read(group_info)?;
        let info = message.as_group_info().ok_or(PeerFault::Welcome("of another kind"))?;
        if message.group_id() != Some(&conversation.0[..]) {
            return Err(PeerFault::Welcome("of another conversation"));
        }
        if info.group_context().epoch == u64::MAX {
            return Err(PeerFault::Welcome("an epoch that another can follow"));
        }
        let tree = info.extensions().get_as::<RatchetTreeExt>().map_err(|e| bad_welcome(&e.into()))?;
        let tree = tree.ok_or(PeerFault::Welcome("no tree"))?.tree_data;
        let mut members = tree.roster().members_iter();
        let dk = me.device.dk();
        let own = members.find(|member| member.signing_identity().signature_key.as_bytes() == dk.0).map(|m| m.index());
        drop(members);

        let desk = Desk::default();
        let filled = desk.entropy.fill(tick, "outside", &[&conversation.0]);
        let mut builder = desk.client(Some(me)).external_commit_builder().map_err(|e| bad_welcome(&e))?;
        if let Some(own) = own {
            builder = builder.with_removal(own);
        }
        let (engine, commit) = builder.build(message).map_err(|e| bad_welcome(&e))?;
        let after = engine.group_info_message_allowing_ext_commit(true).map_err(|e| bad_welcome(&e))?;
        drop(filled);
        let bytes = |message: &MlsMessage| message.to_bytes().map_err(|e| bad_welcome(&e));
        let change = Change { commit: bytes(&commit)?, welcome: None, group_info: bytes(&after)? };
        let mut group = Self::new(conversation, desk, engine);
        group.judged(me, judge)?;
        group.begin(out).map_err(|e| bad_welcome(&e))?;
        Ok((group, change))
    }

    /// The epoch of a public state that this device could come in by: one that [`join_from_outside`](Self::join_from_outside)
    /// takes. Nothing is kept of it.
    ///
    /// # Errors
    /// As there.
    pub fn state(
        tick: &Tick,
        me: Me<'_>,
        group_info: &[u8],
        conversation: ConversationId,
        judge: Judge<'_>,
    ) -> Result<u64, PeerFault> {
        let mut nowhere = Outbox::<()>::new();
        let (group, _) = Self::join_from_outside(tick, me, group_info, conversation, judge, &mut nowhere)?;
        Ok(group.epoch().saturating_sub(1))
    }

    /// A group that nobody has used.
    fn new(conversation: ConversationId, desk: Desk, engine: Engine) -> Self {
        Self {
            conversation,
            desk,
            engine,
            chains: Chains::default(),
            ended: BTreeMap::new(),
            reserved: None,
            unsaved: 0,
            marked: false,
            out: false,
            draws: 0,
        }
    }

    /// Stores a group that begins: what a former group of this conversation had reserved is over.
    fn begin<O>(&mut self, out: &mut Outbox<O>) -> Result<(), MlsError> {
        self.reserve(0, out);
        self.marked = false;
        self.save(out)
    }

    /// Asks about everybody in a group that was joined.
    fn judged(&self, me: Me<'_>, judge: Judge<'_>) -> Result<(), PeerFault> {
        if self.own().is_none_or(|own| own.dk != me.device.dk()) {
            return Err(PeerFault::Welcome("for another device"));
        }
        let members = self.members();
        if members.len() > limits::LEAVES {
            let (got, max) = (members.len() as u64, limits::LEAVES as u64);
            return Err(PeerFault::TooBig { what: "devices of a group", got, max });
        }
        judge(&Applied { epoch: self.epoch(), added: members, ..Applied::default() })
    }
}

fn check(me: Me<'_>) -> Result<(), Misuse> {
    if me.leaf.value().dk == me.device.dk() { Ok(()) } else { Err(misuse("a leaf of another device")) }
}
