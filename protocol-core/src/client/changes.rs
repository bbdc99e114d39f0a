//! Who is in a conversation: all current devices of both people, and nobody else, as their lists say.
//!
//! ```text
//!   no log yet ──packages of all──▶ Create ──taken──▶ joined           another's was first: theirs is joined
//!   joined ──a device is missing, or revoked──(in turn)──▶ Commit ──taken──▶ joined     StaleEpoch: looked at again
//!   outside ──nobody adds us──▶ Commit from outside ──taken──▶ joined
//!           ──nothing in the log is a group──packages of all──▶ Commit that founds one ──taken──▶ joined
//! ```
//!
//! What is posted names the log's epoch, which counts all changes; the group's own counts those that are some ([G-17]).
//!
//! Nothing is sealed while somebody who was revoked could still read it (attack 78).

use std::collections::BTreeSet;

use super::io::{Output, Who};
use super::said::Sealed;
use super::talk::Gathering;
use super::timers::What;
use super::{Asked, Client};
use crate::canary::{self, Canary};
use crate::fault::{Code, PeerFault};
use crate::id::{Address, ConversationId, DeviceKey};
use crate::limits;
use crate::seal::lists::{Chain, Standing};
use crate::seal::mls::{self, Group, Me, Member, Package, Refusal};
use crate::step::{Outbox, Tick};
use crate::wire::leaf::Leaf;
use crate::wire::talk::{Kind, Question};

impl Client {
    /// Brings the members of a conversation to what the lists say. Gives whether messages may be sealed meanwhile.
    pub(super) fn members(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) -> bool {
        let Some(talk) = self.talks.get(&id) else { return false };
        let (joined, begun) = (talk.joined.is_some(), talk.seq > 0);
        let changing = self.drafts.values().any(|draft| draft.talk == id && draft.kind != Kind::Message);
        if !joined {
            if !changing && begun {
                self.rejoin(tick, id, out);
            } else if !changing && self.drafts.values().any(|draft| draft.talk == id) {
                self.gather_all(tick, id, out);
            }
            return false;
        }
        let (missing, gone) = self.difference(id);
        let due = !missing.is_empty() || !gone.is_empty();
        if due && !changing && self.is_our_turn(tick, id) {
            if missing.is_empty() {
                self.commit(tick, id, &[], out);
            } else {
                self.gather(tick, id, &missing, out);
            }
        }
        if !due {
            self.whole(id, out);
        }
        let old = self.talks.get(&id).is_some_and(|talk| tick.now.since(talk.renewed) >= limits::RENEW_MS);
        if !due && !changing && old {
            self.commit(tick, id, &[], out);
        }
        gone.is_empty()
    }

    /// Remembers by which lists the members are whole, so that they are looked at again when there are newer ones.
    fn whole(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        let listed = self.talks.get(&id).map(|talk| self.lists_of(&talk.with));
        if let (Some(listed), Some(talk)) = (listed, self.talks.get_mut(&id))
            && talk.listed != listed
        {
            talk.listed = listed;
            out.save(talk.record());
        }
    }

    fn lists_of(&self, with: &Address) -> (u64, u64) {
        let number = |whose: &Address| self.chain_of(whose).map_or(0, Chain::number);
        (number(&self.ours.address), number(with))
    }

    /// The conversations in which something is left to do: looked at when the session is up.
    pub(super) fn unfinished(&self) -> Vec<ConversationId> {
        let drafts: BTreeSet<ConversationId> = self.drafts.values().map(|draft| draft.talk).collect();
        let unfinished = |talk: &&super::Talk| {
            drafts.contains(&talk.id)
                || self.marks(talk.id).is_some_and(crate::machine::mark::Marks::waits)
                || self.live.get(&talk.id).is_some_and(|live| live.sharing.is_some())
                || (talk.joined.is_none() && talk.change > 0)
                || (talk.joined.is_some() && talk.listed != self.lists_of(&talk.with))
        };
        self.talks.values().filter(unfinished).map(|talk| talk.id).collect()
    }

    /// Which current devices are missing, and which members are none any more.
    fn difference(&self, id: ConversationId) -> (BTreeSet<DeviceKey>, Vec<DeviceKey>) {
        let (Some(talk), Some(Some(group))) = (self.talks.get(&id), self.groups.get(&id)) else {
            return (BTreeSet::new(), Vec::new());
        };
        let chains = [self.chain_of(&self.ours.address), self.chain_of(&talk.with)];
        let members: BTreeSet<DeviceKey> = group.members().iter().map(|member| member.dk).collect();
        let devices = chains.iter().flatten().flat_map(|chain| chain.devices()).map(|device| device.dk);
        let missing = devices.filter(|dk| !members.contains(dk)).collect();
        // Whoever was revoked, or is of keys that the person has given up on; not who is on a list that is to come.
        let stays = |member: &Member| {
            let chain = self.chain_of(&member.address);
            chain.is_some_and(|chain| {
                matches!(chain.has(&leaf_of(member)), Ok(Standing::Current | Standing::Ahead { .. }))
            })
        };
        let gone = group.members().into_iter().filter(|member| !stays(member) && Some(member.dk) != self.dk());
        (missing, gone.map(|member| member.dk).collect())
    }

    /// Devices change a group in turn, so that they don't all do the same at once.
    fn is_our_turn(&mut self, tick: &Tick, id: ConversationId) -> bool {
        let Some(Some(group)) = self.groups.get(&id) else { return false };
        let mut members: Vec<DeviceKey> = group.members().iter().map(|member| member.dk).collect();
        members.sort();
        let place = self.dk().and_then(|dk| members.iter().position(|member| *member == dk)).unwrap_or(members.len());
        let wait = limits::TURN_MS.saturating_mul(place as u64);
        let at = *self.live(id).change_at.get_or_insert(tick.now.plus(wait));
        if at > tick.now {
            self.timers.by(What::Talk(id), at);
        }
        at <= tick.now
    }

    /// Tries again later.
    pub(super) fn put_off(&mut self, tick: &Tick, id: ConversationId, ms: u64) {
        let at = Self::later(tick, ms);
        let live = self.live(id);
        (live.change_at, live.gathering) = (Some(at), None);
        self.timers.by(What::Talk(id), at);
    }

    /// Asks for key packages of all devices of both people, for a conversation that isn't there.
    fn gather_all(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        if let Some(at) = self.live(id).change_at.filter(|at| *at > tick.now) {
            // Something else woke us before that.
            return self.timers.by(What::Talk(id), at);
        }
        let Some(with) = self.talks.get(&id).map(|talk| talk.with.clone()) else { return };
        let chains = [self.chain_of(&self.ours.address), self.chain_of(&with)];
        let devices = chains.iter().flatten().flat_map(|chain| chain.devices()).map(|device| device.dk);
        let all: BTreeSet<DeviceKey> = devices.filter(|dk| Some(*dk) != self.dk()).collect();
        self.gather(tick, id, &all, out);
    }

    /// Asks for a key package of each of these devices.
    fn gather(&mut self, tick: &Tick, id: ConversationId, devices: &BTreeSet<DeviceKey>, out: &mut Outbox<Output>) {
        if self.live(id).gathering.is_some() {
            return;
        }
        let Some(with) = self.talks.get(&id).map(|talk| talk.with.clone()) else { return };
        let mut gathering = Gathering::default();
        for whose in [self.ours.address.clone(), with] {
            let theirs = |chain: &Chain| chain.devices().map(|device| device.dk).collect::<BTreeSet<_>>();
            let known = self.chain_of(&whose).map(theirs).unwrap_or_default();
            let only: Vec<DeviceKey> = devices.intersection(&known).copied().collect();
            if only.is_empty() {
                continue;
            }
            let asker = self.ours.address.clone();
            let what = Question::Packages { asker, whose: whose.clone(), only };
            if let Some(number) = self.ask(Asked::Packages(id), what, out) {
                gathering.asks.insert(number, whose);
            }
        }
        if gathering.asks.is_empty() {
            return self.put_off(tick, id, limits::ASK_AGAIN_MS);
        }
        self.live(id).gathering = Some(gathering);
    }

    /// Key packages came: each is judged by its owner's lists, whatever the node says that they are (attack 73).
    pub(super) fn gathered(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        number: u64,
        packages: &[Vec<u8>],
        out: &mut Outbox<Output>,
    ) {
        let Some(mut gathering) = self.live(id).gathering.take() else { return };
        let Some(whose) = gathering.asks.remove(&number) else {
            self.live(id).gathering = Some(gathering);
            return;
        };
        for bytes in packages.iter().take(limits::DEVICES) {
            match self.judged_package(tick, id, &whose, bytes) {
                Ok(package) => {
                    if gathering.packages.iter().all(|known| known.member().dk != package.member().dk) {
                        gathering.packages.push(package);
                    }
                }
                Err(fault) => Self::refuse(Who::Person(whose.clone()), fault, out),
            }
        }
        if !gathering.asks.is_empty() {
            self.live(id).gathering = Some(gathering);
            return;
        }
        let joined = self.talks.get(&id).is_some_and(|talk| talk.joined.is_some());
        if !joined {
            return self.create(tick, id, &gathering.packages, out);
        }
        let (_, gone) = self.difference(id);
        if gathering.packages.is_empty() && gone.is_empty() {
            // Nobody can be added now. A commit that changes nobody would call for the next, without end (attack 84).
            return self.put_off(tick, id, limits::ASK_AGAIN_MS);
        }
        self.commit(tick, id, &gathering.packages, out);
    }

    fn judged_package(
        &self,
        tick: &Tick,
        id: ConversationId,
        whose: &Address,
        bytes: &[u8],
    ) -> Result<Package, PeerFault> {
        let package = mls::read(bytes, tick.now)?;
        let member = package.member();
        if member.address != *whose {
            return Err(PeerFault::KeyPackage("for somebody else"));
        }
        let leaf = leaf_of(member);
        let chain = self.chain_of(whose).ok_or(PeerFault::KeyPackage("before any list"))?;
        let standing = if canary::is_on(Canary::GhostTaken) { Standing::Current } else { chain.has(&leaf)? };
        match standing {
            Standing::Current => {}
            Standing::Revoked { .. } => return Err(PeerFault::KeyPackage("of a revoked device")),
            Standing::Ahead { .. } => return Err(PeerFault::KeyPackage("by a list that isn't here yet")),
        }
        let group = self.groups.get(&id).and_then(Option::as_ref);
        let there = group.is_some_and(|group| group.members().iter().any(|known| known.dk == member.dk));
        if there || Some(member.dk) == self.dk() {
            return Err(PeerFault::KeyPackage("of a device that is there"));
        }
        Ok(package)
    }

    /// Makes the conversation's group. The hub takes the first: where it is another's, ours is dropped.
    fn create(&mut self, tick: &Tick, id: ConversationId, packages: &[Package], out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get(&id).filter(|talk| talk.is_groupless()) else { return };
        let (kind, epoch) = (if talk.seq == 0 { Kind::Create } else { Kind::Commit }, talk.epoch);
        let theirs = packages.iter().any(|package| package.member().address == talk.with);
        let (true, Ok(leaf), Some(device)) = (theirs, self.leaf(), &self.own.device) else {
            return self.put_off(tick, id, limits::ASK_AGAIN_MS);
        };
        let made = Group::create(tick, Me { device, leaf: &leaf }, id, talk.t2, packages, out);
        match made {
            Ok((group, change)) => {
                self.groups.insert(id, Some(group));
                let sealed = Sealed { epoch, bytes: change.to_bytes() };
                self.post_change(tick, id, kind, sealed, out);
            }
            Err(refusal) => self.not_made(tick, id, refusal, out),
        }
    }

    /// Changes the members: these come, and whoever was revoked goes. With neither, this device's keys are renewed.
    fn commit(&mut self, tick: &Tick, id: ConversationId, packages: &[Package], out: &mut Outbox<Output>) {
        let (_, gone) = self.difference(id);
        let (Ok(leaf), Some(device)) = (self.leaf(), &self.own.device) else { return };
        let Some(epoch) = self.talks.get(&id).map(|talk| talk.epoch) else { return };
        let Some(Some(group)) = self.groups.get_mut(&id) else { return };
        if group.has_pending() {
            return;
        }
        let made = group.commit(tick, Me { device, leaf: &leaf }, packages, &gone, out);
        match made {
            Ok(change) => {
                let sealed = Sealed { epoch, bytes: change.to_bytes() };
                self.post_change(tick, id, Kind::Commit, sealed, out);
                // Whoever is still missing is asked for again later.
                self.live(id).change_at = Some(tick.now.plus(limits::ASK_AGAIN_MS));
            }
            Err(refusal) => self.not_made(tick, id, refusal, out),
        }
    }

    /// Makes new keys for this device in a conversation.
    pub(super) fn renew(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        self.commit(tick, id, &[], out);
    }

    fn not_made(&mut self, tick: &Tick, id: ConversationId, refusal: Refusal, out: &mut Outbox<Output>) {
        if let Refusal::Peer(fault) = refusal {
            Self::refuse(Who::Conversation(id), fault, out);
        }
        self.put_off(tick, id, limits::ASK_AGAIN_MS);
    }

    /// The hub didn't take a change of ours: another was first, most of the time.
    pub(super) fn change_refused(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        number: u64,
        code: Code,
        out: &mut Outbox<Output>,
    ) {
        let inside = self.talks.get(&id).is_some_and(|talk| talk.joined.is_some());
        match self.groups.get_mut(&id) {
            Some(Some(group)) if inside => {
                if group.discard(out).is_err() {
                    self.drop_group(id, out);
                }
            }
            _ => self.drop_group(id, out),
        }
        self.forget_draft(number, out);
        let soon = code == Code::Unlisted || (code == Code::StaleEpoch && self.fell_behind(id, out));
        self.put_off(tick, id, if soon { limits::TURN_MS } else { limits::ASK_AGAIN_MS });
    }

    /// The hub says that the log went on. What it went on with was said before that, and is here by now; where it isn't,
    /// somebody keeps it back, and it is asked for. Gives whether it was said for the first time in this epoch: a node that
    /// says it again and again is not run after (attack 84).
    pub(super) fn fell_behind(&mut self, id: ConversationId, out: &mut Outbox<Output>) -> bool {
        let Some((seq, epoch)) = self.talks.get(&id).map(|talk| (talk.seq, talk.epoch)) else { return false };
        self.ask_range(id, seq.saturating_add(1), seq.saturating_add(limits::RANGE), out);
        self.live(id).stale.replace(epoch) != Some(epoch)
    }

    /// Comes into a conversation from outside, where nobody has added this device for a while: by its own leaf only, and
    /// only while it is on the person's list.
    fn rejoin(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some((change, founds)) = self.talks.get(&id).map(|talk| (talk.change, talk.is_groupless())) else { return };
        if change == 0 && !(founds && self.drafts.values().any(|draft| draft.talk == id)) {
            return;
        }
        let live = self.live(id);
        let at = live.outside.get_or_insert(tick.now).plus(limits::OUTSIDE_MS);
        let at = live.change_at.map_or(at, |later| later.max(at));
        if at > tick.now {
            return self.timers.by(What::Talk(id), at);
        }
        if change == 0 {
            return self.gather_all(tick, id, out);
        }
        let ours = self.said.get(&(id, change)).and_then(Option::as_ref).and_then(|kept| kept.raw.clone());
        if let Some(bytes) = ours {
            self.note_info(tick, id, &bytes);
        }
        let Some(info) = self.live(id).info.clone() else {
            return self.ask_again_for(id, change, out);
        };
        let (Ok(leaf), Some(device)) = (self.leaf(), &self.own.device) else { return };
        let Some((with, epoch)) = self.talks.get(&id).map(|talk| (talk.with.clone(), talk.epoch)) else { return };
        let me = Me { device, leaf: &leaf };
        let mut objection = super::following::Objection::default();
        let mut judge = |applied: &mls::Applied| self.judge(&with, applied, &mut objection);
        let made = Group::join_from_outside(tick, me, &info, id, &mut judge, out);
        match made {
            Ok((group, change)) => {
                self.groups.insert(id, Some(group));
                self.post_change(tick, id, Kind::Commit, Sealed { epoch, bytes: change.to_bytes() }, out);
            }
            Err(fault) => {
                if let Some(whose) = objection.lists {
                    self.ask_lists(&whose, out);
                }
                Self::refuse(Who::Conversation(id), fault, out);
                self.put_off(tick, id, limits::ASK_AGAIN_MS);
            }
        }
    }

    /// The newest change of members again: it has what one joins by.
    fn ask_again_for(&mut self, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        let what = Question::Range { conversation: id, from: seq, to: seq };
        let asked = Asked::Range { talk: id };
        if !self.asks.values().any(|open| *open == asked) {
            self.ask(asked, what, out);
        }
    }
}

/// What a member's credential says: it was verified when they came in.
pub(super) fn leaf_of(member: &Member) -> Leaf {
    Leaf {
        address: member.address.clone(),
        identity: member.identity,
        ak: member.ak,
        dk: member.dk,
        number: member.list,
        hosted: member.hosted,
    }
}
