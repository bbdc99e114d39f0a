//! How what waits goes out: in order, each sealed as late as can be, posted, and posted again until the log has it.
//!
//! ```text
//!   draft ──joined, online, nobody to be removed──▶ sealed, posted ──Event──▶ said
//!     ▲                                                  │
//!     └──────────── Unposted: under a new number ────────┘
//! ```

use super::Client;
use super::inner::What as Said;
use super::io::{Failure, Output};
use super::said::{Draft, Sealed};
use super::timers::What;
use crate::fault::Code;
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::machine::mark;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::log::tag;
use crate::wire::talk::{Kind, Origin, Post, Talk as Frame};

impl Client {
    /// Goes on with a conversation, as far as it can.
    pub(super) fn go_on(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        if !self.talks.contains_key(&id) {
            return;
        }
        if !self.groups.contains_key(&id) {
            // It is brought for the wake.
            return self.timers.by(What::Talk(id), tick.now);
        }
        self.look_for_group(tick, id, out);
        self.apply(tick, id, out);
        self.drain(tick, id, out);
        self.say_marks(id, out);
        self.repair(tick, id, out);
        self.share(tick, id, out);
        let unlisted = self.live.get(&id).and_then(|live| live.unlisted);
        if let Some((at, _)) = unlisted.filter(|(at, _)| *at > tick.now) {
            return self.timers.by(What::Talk(id), at);
        }
        self.go_on_telling(tick, id);
        if self.may_change(id) && self.members(tick, id, out) {
            self.seal(tick, id, out);
        }
    }

    /// Whether anything may be sealed here now.
    pub(super) fn may_change(&self, id: ConversationId) -> bool {
        let Some(talk) = self.talks.get(&id) else { return false };
        self.online()
            && self.is_enrolled()
            && !talk.broken
            && self.may_seal_to(&talk.with)
            && self.live.get(&id).is_none_or(|live| !live.waits)
    }

    /// Seals and posts what waits, in order, as much as may be under way.
    fn seal(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some((head, epoch)) = self.talks.get(&id).map(|talk| (talk.signed, talk.epoch)) else { return };
        let under_way = self.drafts.values().filter(|draft| draft.sealed.is_some()).count();
        let room = limits::SESSION_WINDOW_ITEMS.saturating_sub(under_way).min(limits::CLIENT_BATCH);
        let waits = |draft: &Draft| draft.talk == id && draft.kind == Kind::Message && draft.sealed.is_none();
        let waiting: Vec<u64> =
            self.drafts.iter().filter(|(_, draft)| waits(draft)).map(|(number, _)| *number).collect();
        for number in waiting.iter().take(room) {
            if !matches!(self.groups.get(&id), Some(Some(_))) {
                return;
            }
            if self.drafts.get(number).is_some_and(|draft| draft.is_over(tick.now)) {
                self.expire(tick, *number, out);
                continue;
            }
            if self.drafts.get(number).is_some_and(|draft| self.is_untold(draft)) {
                self.forget_draft(*number, out);
                continue;
            }
            let Some(mut draft) = self.drafts.remove(number) else { continue };
            self.take_along(tick, &mut draft, out);
            let Some(Some(group)) = self.groups.get_mut(&id) else { return };
            match group.seal(tick, head, &draft.plaintext(), out) {
                Ok(bytes) => draft.sealed = Some(Sealed { epoch, bytes }),
                Err(_) => {
                    // The epoch's keys are used up: a commit makes new ones.
                    out.save(draft.record(*number));
                    self.drafts.insert(*number, draft);
                    return self.renew(tick, id, out);
                }
            }
            // Numbers rise as posts do. One that was drawn in another step a copy of this device may have, too.
            let fresh = *number == self.own.number && self.own.fresh == Some(*number);
            let now = if fresh { *number } else { self.number(tick) };
            if now != *number {
                out.save(Record::remove(Key::Draft(*number)));
            }
            out.save(draft.record(now));
            self.own.posted = now;
            self.post(now, &draft, out);
            self.drafts.insert(now, draft);
        }
        if room == limits::CLIENT_BATCH && waiting.len() > room {
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// What was to be read until a time that is over is not said any more.
    fn expire(&mut self, tick: &Tick, number: u64, out: &mut Outbox<Output>) {
        let Some(draft) = self.drafts.get(&number).cloned() else { return };
        self.forget_draft(number, out);
        self.give_up(tick, &draft, mark::Post::Expired, out);
    }

    /// What was to be read until now is not said any more, wherever it waits. What was posted may be in the log: it stays until
    /// that is known.
    pub(super) fn drafts_end(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let waits = self.drafts.iter().filter(|(_, draft)| draft.sealed.is_none());
        let ends: Vec<(Millis, u64)> = waits.filter_map(|(number, draft)| Some((draft.end()?, *number))).collect();
        for (end, number) in ends {
            if end <= tick.now {
                self.expire(tick, number, out);
            } else {
                self.timers.by(What::Drafts, end);
            }
        }
    }

    /// Posts what is sealed.
    pub(super) fn post(&self, number: u64, draft: &Draft, out: &mut Outbox<Output>) {
        let (Some(sealed), Some(dk), Some(talk)) = (&draft.sealed, self.dk(), self.talks.get(&draft.talk)) else {
            return;
        };
        let mut members: Vec<Address> = Vec::new();
        if draft.kind == Kind::Create {
            members = vec![self.ours.address.clone(), talk.with.clone()];
            members.sort();
        }
        let origin = Origin { device: tag(draft.talk, dk), number };
        let (conversation, kind, bytes) = (draft.talk, draft.kind, sealed.bytes.clone());
        let epoch = sealed.epoch;
        Self::say(Frame::Post(Post { conversation, origin, kind, epoch, members, bytes }), out);
    }

    /// A post was answered, or is given up: from now on the conversation's record holds its number, not the draft's.
    pub(super) fn settle(&mut self, id: ConversationId, number: u64) {
        self.own.settled = self.own.settled.max(number);
        self.own.posted = self.own.posted.max(number);
        if let Some(talk) = self.talks.get_mut(&id) {
            talk.posted = talk.posted.max(number);
        }
    }

    /// Whether the node has taken a post of this device that it didn't post: of a copy, or of this one before it was set
    /// back. Behind all that is settled there is only what waits for its answer.
    pub(super) fn is_copy(&self, last: u64) -> bool {
        last > self.own.settled && self.drafts.get(&last).is_none_or(|draft| draft.sealed.is_none())
    }

    /// Lets go of a draft that has no place in the log. Its node may have taken its number: that stays.
    pub(super) fn forget_draft(&mut self, number: u64, out: &mut Outbox<Output>) {
        let Some(draft) = self.drafts.remove(&number) else { return };
        out.save(Record::remove(Key::Draft(number)));
        self.settle_now(draft.talk, number, out);
    }

    fn settle_now(&mut self, id: ConversationId, number: u64, out: &mut Outbox<Output>) {
        self.settle(id, number);
        if let Some(talk) = self.talks.get(&id) {
            out.save(talk.record());
        }
    }

    /// Posts again what the log doesn't have: the same bytes under the same number, so that it is taken once.
    pub(super) fn post_again(&self, out: &mut Outbox<Output>) {
        if !self.is_enrolled() {
            return;
        }
        for (number, draft) in &self.drafts {
            self.post(*number, draft, out);
        }
    }

    /// Posts a change of members.
    pub(super) fn post_change(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        kind: Kind,
        sealed: Sealed,
        out: &mut Outbox<Output>,
    ) {
        let number = self.number(tick);
        let draft = Draft { sealed: Some(sealed), ..Draft::new(id, kind, Vec::new()) };
        out.save(draft.record(number));
        self.own.posted = number;
        self.post(number, &draft, out);
        self.drafts.insert(number, draft);
    }

    /// A node on the way doesn't know yet that this device is on its person's list: it hears so from our node, and what
    /// waits goes then. Says when it is tried again, later each time, until something is taken.
    fn unlisted(&mut self, tick: &Tick, id: ConversationId) -> Millis {
        let tries = match self.live(id).unlisted {
            Some((at, _)) if at > tick.now => return at,
            Some((_, tries)) => tries.saturating_add(1).min(limits::UNLISTED_TRIES),
            None => 0,
        };
        let at = Self::later(tick, limits::UNLISTED_MS << tries);
        self.live(id).unlisted = Some((at, tries));
        at
    }

    /// A post of ours was not taken.
    pub(super) fn unposted(
        &mut self,
        tick: &Tick,
        id: ConversationId,
        origin: Origin,
        code: Code,
        out: &mut Outbox<Output>,
    ) {
        let number = origin.number;
        let ours = self.dk().is_some_and(|dk| tag(id, dk) == origin.device);
        let Some(draft) = self.drafts.get(&number).filter(|draft| ours && draft.talk == id).cloned() else { return };
        if code == Code::Unlisted {
            let at = self.unlisted(tick, id);
            self.timers.by(What::Talk(id), at);
        }
        match draft.kind {
            Kind::Create => {
                self.drop_group(id, out);
                let soon = matches!(code, Code::Exists | Code::Unlisted);
                self.put_off(tick, id, if soon { limits::TURN_MS } else { limits::ASK_AGAIN_MS });
                if code == Code::Exists {
                    self.ask_range(id, 1, limits::RANGE, out);
                }
            }
            Kind::Commit => self.change_refused(tick, id, number, code, out),
            Kind::Message => self.message_refused(tick, number, draft, code, out),
        }
    }

    fn message_refused(&mut self, tick: &Tick, number: u64, draft: Draft, code: Code, out: &mut Outbox<Output>) {
        let id = draft.talk;
        match code {
            // It was taken before: its event is on its way.
            Code::Behind | Code::Exists => {}
            Code::StaleEpoch | Code::Busy | Code::Timeout | Code::Goodbye | Code::Unlisted => {
                let draft = Draft { sealed: None, ..draft };
                draft.end().into_iter().for_each(|end| self.timers.by(What::Drafts, end.max(tick.now)));
                out.save(draft.record(number));
                self.drafts.insert(number, draft);
                self.settle_now(id, number, out);
                let soon = code == Code::StaleEpoch && self.fell_behind(id, out);
                let wait = if soon { limits::TURN_MS } else { limits::BUSY_MS };
                self.timers.by(What::Talk(id), Self::later(tick, wait));
            }
            Code::Glare
            | Code::Protocol
            | Code::TooBig
            | Code::Denied
            | Code::Version
            | Code::Generation
            | Code::NotTrusted
            | Code::NotExpress
            | Code::Spoiled
            | Code::NoConversation
            | Code::NoFile
            | Code::BadKeys
            | Code::Login => {
                self.forget_draft(number, out);
                self.give_up(tick, &draft, mark::Post::Failed(Failure::Refused(code)), out);
                if let Some(read) = draft.along {
                    self.control(tick, id, Said::Read { read }, out);
                }
            }
        }
    }
}
