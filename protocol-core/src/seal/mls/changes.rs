//! How a group changes: by commits, ours and others', one an epoch, in the log's order.
//!
//! ```text
//!   commit ──▶ pending ──(the hub took it)── merge ──▶ next epoch
//!                 └──(it was refused, or another came first)── discard, or apply the other's
//! ```

use std::collections::BTreeMap;

use mls_rs::MlsMessage;
use mls_rs::MlsMessageDescription;
use mls_rs::error::MlsError;
use mls_rs::group::proposal::Proposal;
use mls_rs::group::{CommitEffect, CommitMessageDescription, CommitOutput, ContentType, ReceivedMessage, Sender};
use mls_rs::time::MlsTime;
use zeroize::Zeroizing;

use crate::fault::{Misuse, PeerFault};
use crate::id::DeviceKey;
use crate::limits;
use crate::seal::mls::engine::seconds;
use crate::seal::mls::fault::{misuse, package as bad_package, sealed};
use crate::seal::mls::group::{Applied, Group};
use crate::seal::mls::member::{Member, signing_identity};
use crate::seal::mls::package::Package;
use crate::seal::mls::{Judge, Me, Refusal};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::log::Change;

impl Group {
    /// Commits: who comes, by their key packages, and who goes. With neither, and always, it renews this device's keys;
    /// where `me.leaf` is newer than the leaf in the group, that too. It is pending until [`merge`](Self::merge) or
    /// [`discard`](Self::discard).
    ///
    /// # Errors
    /// [`Misuse`] where a commit is pending, where who is to go isn't there or is this device, and where the change
    /// would pass [`EVENT_BYTES`](limits::EVENT_BYTES); [`PeerFault::KeyPackage`] for a package that the group can't
    /// take. Then nothing has changed.
    pub fn commit<O>(
        &mut self,
        tick: &Tick,
        me: Me<'_>,
        adds: &[Package],
        removes: &[DeviceKey],
        out: &mut Outbox<O>,
    ) -> Result<Change, Refusal> {
        if self.out {
            return Err(misuse("a group that we were removed from").into());
        }
        if self.has_pending() {
            return Err(misuse("a second commit while one is pending").into());
        }
        let own = self.own().ok_or(misuse("a group without us"))?;
        if own.dk != me.device.dk() || me.leaf.value().dk != own.dk {
            return Err(misuse("another device's group").into());
        }
        let leaves = removes.iter().map(|dk| self.leaf_of(*dk).filter(|_| *dk != own.dk));
        let leaves: Vec<u32> =
            leaves.collect::<Option<_>>().ok_or(misuse("the removal of who isn't there, or of ourselves"))?;
        if self.members().len().saturating_add(adds.len()) > limits::LEAVES {
            return Err(misuse("more devices than a group may have").into());
        }
        let newer = own.list < me.leaf.value().number;
        let filled = self.fill(tick, "commit");
        let mut builder = self.engine.commit_builder().commit_time(MlsTime::from(seconds(tick.now)));
        for package in adds {
            let message = MlsMessage::from_bytes(package.bytes()).map_err(|e| bad_package(&e))?;
            builder = builder.add_member(message).map_err(|e| bad_package(&e))?;
        }
        for leaf in leaves {
            builder = builder.remove_member(leaf).map_err(|_| misuse("the removal of who isn't there"))?;
        }
        if newer {
            let seed = Zeroizing::new(me.device.seed().expose().to_vec());
            builder = builder.set_new_signing_identity(seed.to_vec().into(), signing_identity(me.leaf));
        }
        let output = builder.build().map_err(|e| bad_package(&e))?;
        drop(filled);
        let change = match change(&output) {
            Ok(change) => change,
            Err(refusal) => {
                self.engine.clear_pending_commit();
                return Err(refusal);
            }
        };
        self.save(out).map_err(|_| misuse("an engine that can't be written"))?;
        Ok(change)
    }

    /// Takes the pending commit as done: the hub has taken it.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where none is pending.
    pub fn merge<O>(&mut self, tick: &Tick, out: &mut Outbox<O>) -> Result<Applied, Misuse> {
        if !self.has_pending() {
            return Err(misuse("no commit is pending"));
        }
        let failed = |_: MlsError| misuse("an engine that doesn't merge");
        let before = self.roster();
        let done = self.engine.apply_pending_commit().map_err(failed)?;
        let applied = self.applied(&before, &done);
        self.next_epoch(tick, out).map_err(failed)?;
        Ok(applied)
    }

    /// Drops the pending commit, if there is one: the hub has refused it.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] where the engine can't be written: never, of a group that is one.
    pub fn discard<O>(&mut self, out: &mut Outbox<O>) -> Result<(), Misuse> {
        if !self.has_pending() {
            return Ok(());
        }
        self.engine.clear_pending_commit();
        self.save(out).map_err(|_| misuse("an engine that can't be written"))
    }

    /// Follows a commit of the log, once `judge` has nothing against it. A pending commit of ours is merged where it is
    /// this one, and dropped where it is another.
    ///
    /// No clock has a say in it: all members must judge alike, whenever they come to it.
    ///
    /// # Errors
    /// [`PeerFault::Epoch`] for a commit out of its turn (attack 74); [`PeerFault::TooBig`]; [`PeerFault::NoConversation`]
    /// where we were removed; [`PeerFault::Sealed`] for what is none, or none by a member; and what `judge` says. Then
    /// nothing has changed.
    pub fn apply<O>(
        &mut self,
        tick: &Tick,
        commit: &[u8],
        judge: Judge<'_>,
        out: &mut Outbox<O>,
    ) -> Result<Applied, PeerFault> {
        let message = self.message(commit)?;
        let MlsMessageDescription::PublicProtocolMessage { epoch_id, content_type, sender, .. } = message.description()
        else {
            return Err(PeerFault::Sealed("of another kind"));
        };
        if content_type != ContentType::Commit || !matches!(sender, Sender::Member(_) | Sender::NewMemberCommit) {
            return Err(PeerFault::Sealed("of another kind"));
        }
        if epoch_id != self.epoch() {
            return Err(PeerFault::Epoch { got: epoch_id, now: self.epoch() });
        }
        if !message.proposals_by_reference().is_empty() {
            return Err(PeerFault::Sealed("a proposal by reference"));
        }
        let engine = self.engine.clone();
        let applied = self.follow(message, judge);
        let applied = applied.and_then(|applied| {
            self.out = applied.we_are_out;
            self.next_epoch(tick, out).map_err(|e| sealed(&e)).map(|()| applied)
        });
        if applied.is_err() {
            self.engine = engine;
        }
        applied
    }

    fn follow(&mut self, message: MlsMessage, judge: Judge<'_>) -> Result<Applied, PeerFault> {
        let before = self.roster();
        let received = self.engine.process_incoming_message(message).map_err(|e| sealed(&e))?;
        let ReceivedMessage::Commit(done) = received else { return Err(PeerFault::Sealed("of another kind")) };
        let applied = self.applied(&before, &done);
        if self.roster().len() > limits::LEAVES {
            let got = self.roster().len() as u64;
            return Err(PeerFault::TooBig { what: "devices of a group", got, max: limits::LEAVES as u64 });
        }
        judge(&applied)?;
        Ok(applied)
    }

    /// What a commit did, from who was there before it. Where we were removed, the engine stays where it was.
    fn applied(&self, before: &BTreeMap<u32, Member>, done: &CommitMessageDescription) -> Applied {
        let after = self.roster();
        let committer = after.get(&done.committer).or_else(|| before.get(&done.committer)).cloned();
        let mut applied = Applied { epoch: self.epoch(), committer, external: done.is_external, ..Applied::default() };
        if let CommitEffect::Removed { new_epoch, .. } = &done.effect {
            applied.epoch = new_epoch.epoch();
            applied.we_are_out = true;
            for info in new_epoch.applied_proposals() {
                if let Proposal::Remove(remove) = &info.proposal {
                    applied.removed.extend(before.get(&remove.to_remove()).cloned());
                } else if let Proposal::Add(add) = &info.proposal {
                    applied.added.extend(Member::read(add.signing_identity()).ok());
                }
            }
            return applied;
        }
        let by_key = |roster: &BTreeMap<u32, Member>| -> BTreeMap<DeviceKey, Member> {
            roster.values().map(|member| (member.dk, member.clone())).collect()
        };
        let (before, after) = (by_key(before), by_key(&after));
        applied.removed = before.values().filter(|m| !after.contains_key(&m.dk)).cloned().collect();
        for (dk, member) in after {
            match before.get(&dk) {
                None => applied.added.push(member),
                Some(known) if *known != member => applied.changed.push(member),
                Some(_) => {}
            }
        }
        applied
    }

    /// Keeps the keys of the epoch that ended, forgets those of the oldest, and asks for all of it to be stored.
    fn next_epoch<O>(&mut self, tick: &Tick, out: &mut Outbox<O>) -> Result<(), MlsError> {
        let now = self.epoch();
        if let (Some(ended), false) = (now.checked_sub(1), self.out) {
            self.ended.insert(ended, tick.now);
        }
        let kept = |at: &crate::time::Millis| tick.now < at.plus(limits::OLD_EPOCH_MS);
        let gone: Vec<u64> = self
            .ended
            .iter()
            .filter(|(epoch, at)| now.saturating_sub(**epoch) > limits::OLD_EPOCHS as u64 || !kept(at))
            .map(|(epoch, _)| *epoch)
            .collect();
        for epoch in gone {
            self.ended.remove(&epoch);
            out.save(Record::remove(Key::Epoch(self.conversation, epoch)));
        }
        let oldest = self.ended.keys().next().copied().unwrap_or(now);
        self.chains.forget_before(oldest);
        self.marked = false;
        self.save(out)
    }
}

/// The bytes of a change.
pub(super) fn change(output: &CommitOutput) -> Result<Change, Refusal> {
    let failed = |_: MlsError| misuse("a commit that can't be written");
    let info = output.external_commit_group_info.as_ref().ok_or(misuse("a commit without its public state"))?;
    let change = Change {
        commit: output.commit_message.to_bytes().map_err(failed)?,
        welcome: output.welcome_messages.first().map(MlsMessage::to_bytes).transpose().map_err(failed)?,
        group_info: info.to_bytes().map_err(failed)?,
    };
    if change.to_bytes().len() > limits::EVENT_BYTES {
        return Err(misuse("a change over its bound").into());
    }
    Ok(change)
}
