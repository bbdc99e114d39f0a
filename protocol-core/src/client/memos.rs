//! What the person has read and chosen, told to their other devices: by their own node alone, sealed, and in no log.
//! Spec: `spec/13-marks.md`.
//!
//! ```text
//!   a reading that is kept to oneself, TellRead ─▶ untold (in its record) ─▶ the drawer waits ─▶ Note ─▶ taken: told
//!   a memo of another device ─▶ machine::mark (Synced), choices ─▶ what it says too, waits no more
//!   this device is new, or has a new key, or didn't know a conversation ─▶ asks ─▶ the others tell all drawers
//! ```
//!
//! A memo says all that is known of a drawer, so that the node keeps one of each and device, however long another is away.
//! One is on its way at a time. A crash forgets nothing but when it was asked last.

use std::collections::{BTreeMap, BTreeSet};

use super::ending::Whose;
use super::io::{Event, Output};
use super::joining::note;
use super::keys::Published;
use super::own::Stage;
use super::timers::What;
use super::{Client, Talk};
use crate::fault::{Code, PeerFault};
use crate::id::ConversationId;
use crate::limits;
use crate::machine::mark::{Input, Marks};
use crate::seal::lists::Chain;
use crate::seal::memo;
use crate::step::{Outbox, Tick};
use crate::time::Millis;
use crate::wire::mark::Position;
use crate::wire::memo::{Choice, Drawer, MEMO, Memo, OfTalk};
use crate::wire::talk::Publication;

/// What is to be told to the person's other devices.
#[derive(Debug, Default)]
pub(super) struct Memos {
    /// Drawers of which they haven't heard all.
    waiting: BTreeSet<Drawer>,
    /// The one that is with the node and isn't answered yet.
    open: Option<Drawer>,
    /// When all are to be told, since another asked.
    all_at: Option<Millis>,
    /// From when on they may be told, or asked for, again.
    again: Millis,
}

// What is to be told
impl Client {
    /// What was said of a conversation, the person's other devices are to hear.
    pub(super) fn tell_own_of(&mut self, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get_mut(&id) else { return };
        talk.untold = true;
        out.save(talk.record());
        self.memos.waiting.insert(Drawer::of(id));
        self.go_on_with_memos();
    }

    /// What the person chose for everywhere, their other devices are to hear.
    pub(super) fn tell_own_of_choice(&mut self, out: &mut Outbox<Output>) {
        self.own.untold = true;
        out.save(self.own.record());
        self.memos.waiting.insert(Drawer::GENERAL);
        self.go_on_with_memos();
    }

    /// This device wants to hear what the person's others know. The caller saves that.
    pub(super) fn ask_own(&mut self) {
        self.own.asks = true;
        self.memos.waiting.insert(Drawer::QUESTION);
        self.go_on_with_memos();
    }

    /// A conversation is new here: another device may have told of it before.
    pub(super) fn know_more_of(&mut self, out: &mut Outbox<Output>) {
        if core::mem::take(&mut self.own.passed_over) {
            self.ask_own();
            out.save(self.own.record());
        }
    }

    /// What waits, as the records have it.
    pub(super) fn restore_memos(&mut self) {
        let untold = self.talks.values().filter(|talk| talk.untold).map(|talk| Drawer::of(talk.id));
        self.memos.waiting.extend(untold);
        if self.own.untold {
            self.memos.waiting.insert(Drawer::GENERAL);
        }
        if self.own.tells_all {
            self.memos.waiting.extend(Drawer::all());
        }
        if self.own.asks {
            self.memos.waiting.insert(Drawer::QUESTION);
        }
    }

    /// Whether there are others to tell, and it can be told.
    fn has_others(&self) -> bool {
        let several = self.own.chain.as_ref().is_some_and(|chain| chain.devices().len() > 1);
        several && self.own.stage == Stage::Enrolled && !self.lacks_key() && self.online()
    }

    /// Goes on with what waits, where it can be told now.
    pub(super) fn go_on_with_memos(&mut self) {
        if self.memos.open.is_none() && !self.memos.waiting.is_empty() && self.has_others() {
            self.timers.by(What::Memos, self.now);
        }
    }

    /// The session is over: what wasn't answered is told again on the next.
    pub(super) fn memos_down(&mut self) {
        self.memos.waiting.extend(self.memos.open.take());
    }

    /// Tells what is next.
    pub(super) fn tell_own(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        if self.memos.all_at.is_some_and(|at| at <= tick.now) {
            (self.memos.all_at, self.memos.again) = (None, tick.now.plus(limits::ASK_AGAIN_MS));
            self.memos.waiting.extend(Drawer::all());
        }
        self.timers.set(What::Memos, self.memos.all_at);
        if self.memos.open.is_some() || !self.has_others() {
            return;
        }
        while let Some(drawer) = self.memos.waiting.pop_first() {
            if drawer == Drawer::QUESTION && tick.now < self.memos.again {
                // Whoever makes this device ask makes it ask seldom.
                self.memos.waiting.insert(drawer);
                return self.timers.by(What::Memos, self.memos.again);
            }
            let memo = self.memo_of(drawer);
            let sealed = match (&self.own.person, self.identity()) {
                (Some(person), Some(identity)) if memo != Memo::default() => {
                    memo::seal(tick, person, identity, drawer, &memo)
                }
                // There is nothing in it.
                _ => continue,
            };
            if drawer == Drawer::QUESTION {
                self.memos.again = tick.now.plus(limits::ASK_AGAIN_MS);
            }
            self.memos.open = Some(drawer);
            let what = Publication::Note { to: None, bytes: note(MEMO, &sealed) };
            return self.say_publicly(Published::Memo(drawer), what, out);
        }
        self.all_are_told(out);
    }

    /// The node has a memo, or has no room for it.
    pub(super) fn memo_taken(&mut self, tick: &Tick, drawer: Drawer, code: Option<Code>, out: &mut Outbox<Output>) {
        self.memos.open = None;
        if code.is_some() {
            self.memos.waiting.insert(drawer);
            return self.timers.by(What::Memos, tick.now.plus(limits::ASK_AGAIN_MS));
        }
        // Where there is more to say by now, it waits already.
        if !self.memos.waiting.contains(&drawer) {
            self.is_told(drawer, out);
        }
        self.all_are_told(out);
        self.go_on_with_memos();
    }

    /// The others have heard what is in a drawer.
    fn is_told(&mut self, drawer: Drawer, out: &mut Outbox<Output>) {
        if drawer == Drawer::QUESTION || drawer == Drawer::GENERAL {
            let told = if drawer == Drawer::QUESTION { &mut self.own.asks } else { &mut self.own.untold };
            if core::mem::take(told) {
                out.save(self.own.record());
            }
            return;
        }
        for talk in self.talks.values_mut().filter(|talk| talk.untold && Drawer::of(talk.id) == drawer) {
            talk.untold = false;
            out.save(talk.record());
        }
    }

    fn all_are_told(&mut self, out: &mut Outbox<Output>) {
        let none = self.memos.waiting.is_empty() && self.memos.open.is_none() && self.memos.all_at.is_none();
        if self.own.tells_all && none {
            self.own.tells_all = false;
            out.save(self.own.record());
        }
    }

    /// All that is known of a drawer.
    fn memo_of(&self, drawer: Drawer) -> Memo {
        let talks = self.talks.values().filter(|talk| Drawer::of(talk.id) == drawer);
        Memo {
            asks: drawer == Drawer::QUESTION,
            general: self.own.choice().filter(|_| drawer == Drawer::GENERAL),
            talks: if drawer >= Drawer::GENERAL {
                Vec::new()
            } else {
                talks.filter_map(|t| self.known_of(t)).collect()
            },
        }
    }

    fn known_of(&self, talk: &Talk) -> Option<OfTalk> {
        let read = self.marks.get(&talk.id).map(Marks::told).unwrap_or_default();
        let of = OfTalk { conversation: talk.id, read, choice: talk.choice() };
        (of.choice.is_some() || of.read != Position::default()).then_some(of)
    }
}

// What the others tell
impl Client {
    /// Another device of the person tells what they have read and chosen.
    ///
    /// # Errors
    /// [`PeerFault`] for what nobody with the person's key has sealed.
    pub(super) fn memo(&mut self, tick: &Tick, bytes: &[u8], out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        let (Some(person), Some(identity)) = (&self.own.person, self.own.chain.as_ref().map(Chain::identity)) else {
            // It asks once it is one of the person's.
            return Ok(());
        };
        let (drawer, memo) = match memo::open(person, identity, bytes) {
            Ok(opened) => opened,
            Err(PeerFault::WrongCode) => {
                // The person has another key, or had: what it says is asked for once both have the same.
                self.ask_own();
                out.save(self.own.record());
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        if memo.asks && self.memos.all_at.is_none() {
            let [.., low, high] = tick.entropy;
            let jitter = u64::from(u16::from_be_bytes([high, low])) % limits::READ_MS.saturating_add(1);
            let at = tick.now.plus(limits::READ_MS.saturating_add(jitter)).max(self.memos.again);
            self.memos.all_at = Some(at);
            self.timers.by(What::Memos, at);
            // The node has let go of the question by then: a crash before it is answered must not forget it.
            self.own.tells_all = true;
            out.save(self.own.record());
        }
        if let Some(choice) = memo.general.filter(|choice| choice.is_over(self.own.choice())) {
            self.take_choice(tick, None, choice, out);
        }
        for of in &memo.talks {
            self.read_and_chosen(tick, of, out);
        }
        if self.says_all(drawer, &memo) && self.memos.waiting.remove(&drawer) {
            self.is_told(drawer, out);
            self.all_are_told(out);
        }
        Ok(())
    }

    fn read_and_chosen(&mut self, tick: &Tick, of: &OfTalk, out: &mut Outbox<Output>) {
        let id = of.conversation;
        let Some(talk) = self.talks.get(&id) else {
            if !core::mem::replace(&mut self.own.passed_over, true) {
                out.save(self.own.record());
            }
            return;
        };
        if let Some(choice) = of.choice.filter(|choice| choice.is_over(talk.choice())) {
            self.take_choice(tick, Some(id), choice, out);
        }
        let known = self.marks.get(&id).map(Marks::told).unwrap_or_default();
        if !of.read.without(&known).is_empty() {
            self.mark(tick, id, Input::Synced(of.read), out);
            self.reading_counts(id, Whose::Ourselves, tick.now, out);
        }
    }

    /// Whether a memo that went to all others says what this device would.
    fn says_all(&self, drawer: Drawer, memo: &Memo) -> bool {
        let said: BTreeMap<ConversationId, &OfTalk> = memo.talks.iter().map(|of| (of.conversation, of)).collect();
        let ours = self.memo_of(drawer);
        let chosen = |ours: Option<Choice>, said: Option<Choice>| ours.is_none_or(|ours| !ours.is_over(said));
        let of_talk = |ours: &OfTalk| {
            said.get(&ours.conversation)
                .is_some_and(|said| ours.read.without(&said.read).is_empty() && chosen(ours.choice, said.choice))
        };
        !ours.asks && chosen(ours.general, memo.general) && ours.talks.iter().all(of_talk)
    }

    /// What the person chose, here or on another device: whether others hear what they read, in one conversation, or
    /// wherever they chose nothing of its own.
    pub(super) fn take_choice(
        &mut self,
        tick: &Tick,
        only: Option<ConversationId>,
        choice: Choice,
        out: &mut Outbox<Output>,
    ) {
        let changed: Vec<ConversationId> = match only {
            Some(id) => {
                let Some(talk) = self.talks.get_mut(&id) else { return };
                (talk.tells, talk.tells_at) = (Some(choice.tells), choice.at);
                out.save(talk.record());
                vec![id]
            }
            None => {
                (self.own.quiet, self.own.quiet_at) = (!choice.tells, Some(choice.at));
                out.save(self.own.record());
                self.talks.values().filter(|talk| talk.tells.is_none()).map(|talk| talk.id).collect()
            }
        };
        for id in changed {
            self.marks_now(tick, id, out);
            if let Some(talk) = self.talks.get(&id) {
                Self::tell(Event::Conversation(self.shown(talk)), out);
            }
        }
    }
}
