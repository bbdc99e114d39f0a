//! How a device follows the members of its groups: a group that is made, a change of it, and what it comes in by.
//!
//! ```text
//!   a change ──this group can follow──▶ taken
//!     ├── names lists that aren't here ──▶ waits, for a while
//!     ├── its public state is good, and newer than ours ──▶ the others went on without us: we come in by it
//!     └── else ──▶ void: it changed nothing for anybody, and the log goes on ([G-17])
//! ```

use super::Client;
use super::changes::leaf_of;
use super::io::{self, Alarm, Event as Told, Output, Who};
use super::log::Taken;
use super::said::Draft;
use super::talk::Waited;
use super::timers::What;
use crate::fault::PeerFault;
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::seal::lists::Standing;
use crate::seal::mls::{Applied, Group, Me, Member};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::cbor::Malformed;
use crate::wire::log::Change;
use crate::wire::talk::{Event, Kind};

/// What is wrong with the members of a group.
#[derive(Debug, Default)]
pub(super) struct Objection {
    /// Whose lists are wanted first.
    pub(super) lists: Option<Address>,
    /// Who is nobody's.
    ghost: Option<Member>,
}

impl Objection {
    const fn is_none(&self) -> bool {
        self.lists.is_none() && self.ghost.is_none()
    }
}

impl Client {
    /// The conversation's first entry: its group is made.
    pub(super) fn created(
        &mut self,
        tick: &Tick,
        event: &Event,
        bytes: &[u8],
        own: Option<&(u64, Draft)>,
        out: &mut Outbox<Output>,
    ) -> Taken {
        let id = event.conversation;
        if own.is_some() && matches!(self.groups.get(&id), Some(Some(_))) {
            self.joined(tick, id, event.seq, out);
            return Taken::Done;
        }
        self.drop_group(id, out);
        self.welcomed(tick, event, bytes, out)
    }

    /// A change of members, or of keys.
    pub(super) fn changed(
        &mut self,
        tick: &Tick,
        event: &Event,
        bytes: &[u8],
        own: Option<&(u64, Draft)>,
        out: &mut Outbox<Output>,
    ) -> Taken {
        let id = event.conversation;
        let inside = self.talks.get(&id).is_some_and(|talk| talk.joined.is_some());
        let group = self.groups.get_mut(&id).and_then(Option::take);
        match (group, own, inside) {
            // We came in from outside.
            (Some(group), Some(_), false) => {
                self.groups.insert(id, Some(group));
                self.joined(tick, id, event.seq, out);
                Taken::Done
            }
            (Some(mut group), Some(_), true) => {
                match group.merge(tick, out) {
                    Ok(applied) => {
                        self.groups.insert(id, Some(group));
                        self.tell_newcomers(tick, id, &applied, out);
                        if let Some(talk) = self.talks.get_mut(&id) {
                            talk.renewed = tick.now;
                        }
                        self.after_change(tick, event, out);
                    }
                    Err(_) => {
                        self.go_outside(tick, id, out);
                        return self.welcomed(tick, event, bytes, out);
                    }
                }
                Taken::Done
            }
            (Some(group), None, true) => self.follow(tick, event, bytes, group, out),
            (group, _, false) => {
                self.groups.insert(id, group);
                self.welcomed(tick, event, bytes, out)
            }
            (None, _, true) => {
                self.go_outside(tick, id, out);
                self.welcomed(tick, event, bytes, out)
            }
        }
    }

    /// Follows another's commit.
    fn follow(
        &mut self,
        tick: &Tick,
        event: &Event,
        bytes: &[u8],
        mut group: Group,
        out: &mut Outbox<Output>,
    ) -> Taken {
        let id = event.conversation;
        let Some(talk) = self.talks.get(&id) else { return Taken::Done };
        let (with, had_pending, before) = (talk.with.clone(), group.has_pending(), group.epoch());
        let mut objection = Objection::default();
        let applied = Change::parse(bytes).map_err(|Malformed(what)| PeerFault::Sealed(what)).and_then(|change| {
            let mut judge = |applied: &Applied| self.judge(&with, applied, &mut objection);
            group.apply(tick, &change.commit, &mut judge, out)
        });
        self.groups.insert(id, Some(group));
        match applied {
            Ok(applied) => {
                if had_pending {
                    self.drop_commits(id, out);
                }
                self.after_change(tick, event, out);
                self.tell_newcomers(tick, id, &applied, out);
                if applied.we_are_out {
                    self.go_outside(tick, id, out);
                    self.note_change(tick, event, applied.epoch, bytes);
                }
                Taken::Done
            }
            Err(_) if objection.is_none() => match self.state_after(tick, event, bytes, before, &mut objection) {
                // The others went on without us.
                Ok(state) => {
                    self.go_outside(tick, id, out);
                    self.note_change(tick, event, state, bytes);
                    self.tell_conversation(id, out);
                    Taken::Done
                }
                Err(fault) => self.objected(tick, event, fault, objection, out),
            },
            Err(fault) => self.objected(tick, event, fault, objection, out),
        }
    }

    /// The epoch of the public state that a change leads to, where this device could come in by it and it is above
    /// another. A log's changes are never fewer than its group's: no epoch may be above what the log counts.
    fn state_after(
        &self,
        tick: &Tick,
        event: &Event,
        bytes: &[u8],
        above: u64,
        objection: &mut Objection,
    ) -> Result<u64, PeerFault> {
        let change = Change::parse(bytes).map_err(|Malformed(what)| PeerFault::Sealed(what))?;
        let talk = self.talks.get(&event.conversation).ok_or(PeerFault::NoConversation)?;
        let (leaf, device) = (self.leaf(), self.own.device.as_ref());
        let (leaf, device) = leaf.ok().zip(device).ok_or(PeerFault::Welcome("for a device on a list"))?;
        let mut judge = |applied: &Applied| self.judge(&talk.with, applied, objection);
        let me = Me { device, leaf: &leaf };
        let state = Group::state(tick, me, &change.group_info, event.conversation, &mut judge)?;
        let fits = state > above && state <= event.epoch.saturating_add(1);
        if fits { Ok(state) } else { Err(PeerFault::Epoch { got: state, now: above }) }
    }

    /// The newest change of members, while this device is outside.
    fn note_change(&mut self, tick: &Tick, event: &Event, state: u64, bytes: &[u8]) {
        if let Some(talk) = self.talks.get_mut(&event.conversation) {
            (talk.change, talk.state) = (event.seq, state);
        }
        self.note_info(tick, event.conversation, bytes);
    }

    /// Joins by a Welcome, where there is one for us; else remembers what this device can come in by.
    fn welcomed(&mut self, tick: &Tick, event: &Event, bytes: &[u8], out: &mut Outbox<Output>) -> Taken {
        let id = event.conversation;
        let Some(above) = self.talks.get(&id).map(|talk| talk.state) else { return Taken::Done };
        if self.leaf().is_err() {
            // Not on a list that it knows: it can't judge yet what it comes in by.
            self.note_change(tick, event, above, bytes);
            return Taken::Done;
        }
        if let Some(taken) = self.join_by_welcome(tick, event, bytes, above, out) {
            return taken;
        }
        let mut objection = Objection::default();
        match self.state_after(tick, event, bytes, above, &mut objection) {
            Ok(state) => {
                self.note_change(tick, event, state, bytes);
                Taken::Done
            }
            Err(fault) => self.objected(tick, event, fault, objection, out),
        }
    }

    /// Joins by a Welcome; `None` where there is none that is good for us.
    fn join_by_welcome(
        &mut self,
        tick: &Tick,
        event: &Event,
        bytes: &[u8],
        above: u64,
        out: &mut Outbox<Output>,
    ) -> Option<Taken> {
        let id = event.conversation;
        let (talk, leaf, device) = (self.talks.get(&id)?, self.leaf().ok()?, self.own.device.as_ref()?);
        let welcome = Change::parse(bytes).ok()?.welcome?;
        let named = crate::seal::mls::named_in(&welcome).unwrap_or_default();
        let held = |hash| self.packages.get(&hash).cloned().flatten();
        let ours = named.into_iter().find(|hash| held(*hash).is_some())?;
        let me = Me { device, leaf: &leaf };
        let mut objection = Objection::default();
        let mut judge = |applied: &Applied| {
            // An old one again, by a package of last resort.
            if applied.epoch <= above || applied.epoch > event.epoch.saturating_add(1) {
                return Err(PeerFault::Epoch { got: applied.epoch, now: above });
            }
            self.judge(&talk.with, applied, &mut objection)
        };
        match Group::join(tick, me, &welcome, held, talk.t2, id, &mut judge, out) {
            Ok(group) => {
                self.groups.insert(id, Some(group));
                self.drop_commits(id, out);
                if out.records().any(|record| record.key == Key::Package(ours) && record.value.is_none()) {
                    self.packages.insert(ours, None);
                }
                self.own.stock = self.own.stock.saturating_sub(1);
                out.save(self.own.record());
                self.timers.by(What::Publish, tick.now.plus(limits::ACK_MS));
                self.joined(tick, id, event.seq, out);
                Some(Taken::Done)
            }
            Err(fault) if !objection.is_none() => Some(self.objected(tick, event, fault, objection, out)),
            Err(fault) => {
                Self::refuse(Who::Conversation(id), fault, out);
                None
            }
        }
    }

    /// A change that can't be followed as it is: it waits for lists, or it is void. It waits until the node of who it is about
    /// has them or says, a while on, that it has none, so that all devices judge alike; and not for ever (attack 87): a node
    /// that says nothing holds up its own people's conversations alone.
    fn objected(
        &mut self,
        tick: &Tick,
        event: &Event,
        fault: PeerFault,
        objection: Objection,
        out: &mut Outbox<Output>,
    ) -> Taken {
        let id = event.conversation;
        let live = self.live(id);
        if let Some(whose) = objection.lists {
            let waits_for = |waited: &Waited| waited.seq == event.seq && waited.whose == whose;
            let known = live.waited.take().filter(waits_for);
            let new = || Waited { seq: event.seq, whose: whose.clone(), since: tick.now, in_vain: false };
            let waited = live.waited.insert(known.unwrap_or_else(new));
            if !waited.in_vain {
                self.ask_lists(&whose, out);
                self.timers.by(What::Lists(whose), Self::later(tick, limits::ASK_AGAIN_MS));
                return Taken::Waits;
            }
        }
        if let Some(ghost) = objection.ghost {
            // It is in no group that this device is in.
            let (address, dk) = (ghost.address, ghost.dk);
            Self::tell(Told::Alarm(Alarm::GhostDevice { conversation: id, address, dk }), out);
        }
        Self::tell(Told::NotOpened { conversation: id, seq: event.seq, why: fault }, out);
        Taken::Done
    }

    /// Whether all who come are whom their people's lists name.
    ///
    /// A leaf is judged by the list that it names: a newer one never undoes what is in the log, it removes the leaf.
    pub(super) fn judge(&self, with: &Address, applied: &Applied, objection: &mut Objection) -> Result<(), PeerFault> {
        for member in applied.added.iter().chain(&applied.changed) {
            let leaf = leaf_of(member);
            let known = member.address == *with || member.address == self.ours.address;
            let standing = match self.chain_of(&member.address).filter(|_| known) {
                Some(chain) => chain.has(&leaf),
                None if known => Ok(Standing::Ahead { after: 0 }),
                None => Err(PeerFault::Keys("a member who is in no line")),
            };
            match standing {
                Ok(Standing::Current | Standing::Revoked { .. }) => {}
                Ok(Standing::Ahead { .. }) => {
                    objection.lists = Some(member.address.clone());
                    return Err(PeerFault::Keys("a list that isn't here yet"));
                }
                Err(fault) => {
                    objection.ghost = Some(member.clone());
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// An answer about lists came: what waited for one that is new goes on. Where none is, what has waited for long enough does.
    pub(super) fn lists_are_here(&mut self, tick: &Tick, whose: &Address, any: bool) {
        let own = *whose == self.ours.address;
        let waiting: Vec<ConversationId> = self
            .talks
            .values()
            .filter(|talk| own || talk.with == *whose)
            .filter(|talk| self.live.get(&talk.id).is_some_and(|live| live.waits))
            .map(|talk| talk.id)
            .collect();
        for id in waiting {
            let live = self.live(id);
            // That one person has no newer list says nothing of the other's.
            let waited = live.waited.as_mut().filter(|waited| waited.whose == *whose);
            let in_vain = waited.is_some_and(|waited| {
                waited.in_vain |= !any && tick.now.since(waited.since) >= limits::LISTS_WAIT_MS;
                waited.in_vain
            });
            if any || in_vain {
                live.waits = false;
                self.timers.by(What::Talk(id), tick.now);
            } else {
                self.timers.by(What::Lists(whose.clone()), Self::later(tick, limits::ASK_AGAIN_MS));
            }
        }
    }

    /// This device is in.
    fn joined(&mut self, tick: &Tick, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        let live = self.live.entry(id).or_default();
        (live.info, live.outside, live.change_at, live.gathering) = (None, None, None, None);
        let state = self.groups.get(&id).and_then(Option::as_ref).map_or(0, Group::epoch);
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let missed = core::mem::take(&mut talk.unopened);
        talk.joined = Some(seq);
        (talk.renewed, talk.change, talk.state) = (tick.now, seq, state);
        out.save(talk.record());
        self.tell_conversation(id, out);
        // What was said while this device was outside, its authors may say again.
        for seq in missed {
            self.not_opened(tick, id, seq, out);
        }
        if seq > 1 && self.own.chain.as_ref().is_some_and(|chain| chain.devices().len() > 1) {
            // What was told here before, this device can't open; the person's others know it.
            self.ask_own();
            out.save(self.own.record());
        }
        self.timers.by(What::Talk(id), tick.now);
    }

    fn after_change(&mut self, tick: &Tick, event: &Event, out: &mut Outbox<Output>) {
        let id = event.conversation;
        let state = self.groups.get(&id).and_then(Option::as_ref).map(Group::epoch);
        if let (Some(talk), Some(state)) = (self.talks.get_mut(&id), state) {
            (talk.change, talk.state) = (event.seq, state);
        }
        let live = self.live(id);
        (live.change_at, live.gathering) = (None, None);
        self.tell_conversation(id, out);
        self.timers.by(What::Talk(id), tick.now);
    }

    fn tell_conversation(&self, id: ConversationId, out: &mut Outbox<Output>) {
        if let Some(talk) = self.talks.get(&id) {
            Self::tell(Told::Conversation(self.shown(talk)), out);
        }
    }

    pub(super) fn shown(&self, talk: &super::Talk) -> io::Conversation {
        let group = self.groups.get(&talk.id).and_then(Option::as_ref).filter(|_| talk.joined.is_some());
        io::Conversation {
            id: talk.id,
            with: vec![talk.with.clone()],
            epoch: group.map_or(talk.epoch, Group::epoch),
            devices: group.map_or(0, |group| group.members().len()),
            seq: talk.seq,
            joined: talk.joined.is_some(),
            tells_read: self.tells_read(talk),
            policy: talk.agreed.policy,
        }
    }

    /// The disk has no group where there was one: the device is outside.
    pub(super) fn look_for_group(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let gone = matches!(self.groups.get(&id), Some(None));
        let Some(talk) = self.talks.get_mut(&id).filter(|talk| gone && talk.joined.is_some()) else { return };
        talk.joined = None;
        out.save(talk.record());
        self.live(id).outside = Some(tick.now);
        self.drop_group(id, out);
        self.tell_conversation(id, out);
        self.timers.by(What::Talk(id), tick.now.plus(limits::OUTSIDE_MS));
    }

    /// The group was lost, or went on without us: we come in from outside.
    fn go_outside(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        self.drop_group(id, out);
        if let Some(talk) = self.talks.get_mut(&id) {
            talk.joined = None;
            out.save(talk.record());
        }
        self.timers.by(What::Talk(id), tick.now.plus(limits::OUTSIDE_MS));
    }

    /// Lets go of a group, and of what of ours the hub hasn't taken of it.
    pub(super) fn drop_group(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        self.groups.insert(id, None);
        self.staged.remove(&id);
        out.save(Record::remove(Key::Group(id)));
        out.save(Record::remove(Key::Reserve(id)));
        self.drop_commits(id, out);
    }

    /// Changes of ours that another came before.
    pub(super) fn drop_commits(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        let dropped: Vec<u64> = self
            .drafts
            .iter()
            .filter(|(_, draft)| draft.talk == id && draft.kind != Kind::Message)
            .map(|(number, _)| *number)
            .collect();
        for number in dropped {
            self.forget_draft(number, out);
        }
    }

    /// The public state after the newest change: what one joins by from outside.
    pub(super) fn note_info(&mut self, tick: &Tick, id: ConversationId, bytes: &[u8]) {
        if let Ok(change) = Change::parse(bytes) {
            let live = self.live(id);
            live.info = Some(change.group_info);
            let since = *live.outside.get_or_insert(tick.now);
            self.timers.by(What::Talk(id), since.plus(limits::OUTSIDE_MS));
        }
    }
}
