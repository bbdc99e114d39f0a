//! The mails that wait for one lane: a mailbox of ours, a domain by SMTP, or a node by link. One machine per lane.
//!
//! ```text
//!  a mailbox or a domain:                 ┌──────── Later: wait, jittered ───────┐
//!                                         ▼                                      │
//!                 Enqueue ──▶ Waiting ──due, room──▶ Sending ──Report────────────┤
//!                                                                ├── Done ───────┴▶ gone, marked
//!                                                                └── Failed, or 5 days over ─▶ gone, author told
//!
//!  a node:        Enqueue ──▶ Waiting ──window──▶ Carried ──Ack──▶ Acked ──mark──▶ gone, marked
//!                                │                  │
//!                                └── 60 s ──────────┴── refused ─▶ falls back to the recipients' domains
//! ```
//!
//! An attempt under way is not stored: a crash turns `Sending` and `Carried` into `Waiting`, and whoever does the work
//! recognises a second attempt by the mail's id. Leaves to others: which lane a mail takes, what a link's window is, and
//! who is told of a failure. Spec: `spec/04-express-mail.md`, [Q-1].

use std::collections::{BTreeMap, BTreeSet};

use crate::content::mail::Letter;
use crate::fault::{Misuse, RestoreError};
use crate::id::{Address, CarryId, Hash, Lane, MailId, Mailbox, NodeKey};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::time::Millis;
use crate::wire::frame::Reached;

mod record;
#[cfg(test)]
mod tests;

/// A mail on its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is to be handed over.
    pub letter: Letter,
    /// To whom; those that are done are taken out.
    pub rcpts: Vec<Address>,
    /// When this node took the mail.
    pub arrived: Millis,
    /// Who wants to know how it ends.
    pub origin: Origin,
    /// What is needed to go by link, and to be recognised where it then goes by SMTP.
    pub express: Option<Express>,
}

/// Who wants to know how a mail ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: a stranger's mail, or a report of ours.
    Nobody,
    /// A user of ours, told by a report in their mailbox.
    User(Mailbox),
    /// Another node, told by a mark.
    Node {
        /// Which.
        nk: NodeKey,
        /// What it calls the mail.
        id: CarryId,
        /// All mailboxes here that the mail goes to: it is delivered when it is in each.
        mailboxes: Vec<Mailbox>,
    },
}

/// What an express mail is known by on any carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Express {
    /// The header's To and Cc.
    pub to_cc: BTreeSet<Address>,
    /// The hash of what a `Postline-Id` vouches for.
    pub content: Hash,
}

/// How far an entry is on its lane. `Sending` and `Carried` are passing: they are never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For its time, for room, or for the link's window.
    Waiting,
    /// Being handed over.
    Sending,
    /// On the link, unsettled.
    Carried,
    /// Durable at the other node, not yet known to be in the mailbox.
    Acked,
}

/// What a lane is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A mail is to go this way.
    Enqueue(MailId, Box<Entry>),
    /// An attempt ended: what each of its recipients met.
    Report {
        /// Which mail.
        mail: MailId,
        /// Which attempt.
        attempt: u32,
        /// One result for each recipient of the attempt.
        results: Vec<Result<(), Failure>>,
    },
    /// The link took the mail.
    Carried(MailId),
    /// The mail is durable at the other node.
    Acked(MailId),
    /// The other node did not take the mail: these recipients (by index) were in the way; empty means all.
    Refused(MailId, BTreeSet<u8>, String),
    /// The other node says how far the mail got.
    Reached(MailId, Reached),
    /// Everything that waits is due now.
    Retry,
    /// The deadline has come.
    Wake,
}

/// Why a recipient was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not now.
    Later(String),
    /// Never.
    Failed(String),
}

/// What a lane wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Hand the letter over to these recipients.
    Send {
        /// Which mail.
        mail: MailId,
        /// Which attempt, from 1.
        attempt: u32,
        /// To whom.
        rcpts: Vec<Address>,
        /// What.
        letter: Letter,
    },
    /// These recipients have it: a mailbox or a server, or (by link) the other node.
    Done {
        /// Which mail.
        mail: MailId,
        /// Its Message-ID.
        message_id: Option<String>,
        /// Whom.
        rcpts: Vec<Address>,
        /// How far it got: acked by the next server, or in the mailbox.
        reached: Reach,
        /// Who wants to know.
        origin: Origin,
    },
    /// These recipients will never have it by this lane.
    Failed {
        /// Which mail.
        mail: MailId,
        /// The entry as it was, with the failed recipients only.
        entry: Box<Entry>,
        /// Why, in the order of the recipients.
        why: Vec<String>,
    },
    /// The mail must go by SMTP, to these recipients; the link is no longer to bring it to them.
    FellBack {
        /// Which mail.
        mail: MailId,
        /// The entry as it was, with these recipients only.
        entry: Box<Entry>,
        /// Why.
        why: String,
    },
    /// It will be tried again.
    Waits {
        /// Which mail.
        mail: MailId,
        /// When.
        until: Millis,
        /// What the last attempt met.
        why: String,
    },
}

/// How far a mail got on its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The next server or node has it.
    Sent,
    /// In the mailbox.
    Delivered,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    entry: Entry,
    /// Attempts that have ended; one under way is the next.
    ended: u32,
    /// When something is due: the next attempt; on a node's lane the fall-back, and for an acked mail its end.
    due: Millis,
    phase: Phase,
    /// What the last attempt met.
    why: Option<String>,
}

/// A mail on a lane, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Which.
    pub mail: MailId,
    /// What waits, and for whom.
    pub entry: &'a Entry,
    /// How far it is.
    pub phase: Phase,
    /// When something is due.
    pub due: Millis,
    /// How many attempts have ended.
    pub attempts: u32,
    /// What the last one met.
    pub why: Option<&'a str>,
}

/// One lane's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    lane: Lane,
    slots: BTreeMap<MailId, Slot>,
    waiting: BTreeSet<(Millis, MailId)>,
    /// When `Carried` entries fall back and `Acked` ones end.
    timers: BTreeSet<(Millis, MailId)>,
    sending: usize,
}

impl Queue {
    /// An empty lane.
    #[must_use]
    pub const fn new(lane: Lane) -> Self {
        Self { lane, slots: BTreeMap::new(), waiting: BTreeSet::new(), timers: BTreeSet::new(), sending: 0 }
    }

    /// Takes back a stored entry.
    ///
    /// # Errors
    /// [`RestoreError`] where the record is damaged or newer than this code.
    pub fn restore(&mut self, mail: MailId, record: &Record) -> Result<(), RestoreError> {
        let slot = record::read(record)?;
        self.put(mail, slot);
        Ok(())
    }

    /// What a crash leaves: attempts under way are forgotten, and due again.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        let mut after = Self::new(self.lane.clone());
        for (mail, slot) in &self.slots {
            let phase = if slot.phase == Phase::Acked { Phase::Acked } else { Phase::Waiting };
            after.put(*mail, Slot { phase, ..slot.clone() });
        }
        after
    }

    /// How many mails are on the lane.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is left, so that the machine can be dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The entry of a mail on this lane.
    #[must_use]
    pub fn entry(&self, mail: MailId) -> Option<&Entry> {
        self.slots.get(&mail).map(|slot| &slot.entry)
    }

    /// The mails on this lane.
    pub fn entries(&self) -> impl Iterator<Item = Shown<'_>> {
        self.slots.iter().map(|(mail, Slot { entry, ended, due, phase, why })| Shown {
            mail: *mail,
            entry,
            phase: *phase,
            due: *due,
            attempts: *ended,
            why: why.as_deref(),
        })
    }

    /// The oldest mail that waits for the link.
    #[must_use]
    pub fn next_to_carry(&self) -> Option<(MailId, &Entry)> {
        self.waiting.first().and_then(|(_, mail)| self.slots.get(mail).map(|slot| (*mail, &slot.entry)))
    }

    /// The mails whose `delivered` is still open, at most [`limits::MARK_IDS`], oldest first.
    #[must_use]
    pub fn unmarked(&self) -> Vec<MailId> {
        let acked = |mail: &MailId| self.slots.get(mail).is_some_and(|slot| slot.phase == Phase::Acked);
        self.timers.iter().map(|(_, mail)| *mail).filter(acked).take(limits::MARK_IDS).collect()
    }

    fn put(&mut self, mail: MailId, slot: Slot) {
        self.take(mail);
        match slot.phase {
            Phase::Waiting => _ = self.waiting.insert((slot.due, mail)),
            Phase::Carried | Phase::Acked => _ = self.timers.insert((slot.due, mail)),
            Phase::Sending => self.sending += 1,
        }
        self.slots.insert(mail, slot);
    }

    fn take(&mut self, mail: MailId) {
        let Some(slot) = self.slots.remove(&mail) else { return };
        match slot.phase {
            Phase::Waiting => _ = self.waiting.remove(&(slot.due, mail)),
            Phase::Carried | Phase::Acked => _ = self.timers.remove(&(slot.due, mail)),
            Phase::Sending => self.sending = self.sending.saturating_sub(1),
        }
    }

    /// How many attempts may be under way at a time.
    const fn sends_allowed(&self) -> usize {
        match self.lane {
            Lane::Mailbox(_) => limits::MAILBOX_SENDS,
            Lane::Domain(_) => limits::LANE_SENDS,
            Lane::Node(_) => 0,
        }
    }

    const fn is_node(&self) -> bool {
        matches!(self.lane, Lane::Node(_))
    }

    /// The wait after the `attempts`th failure: doubling, between the lane's bounds, ± 25 %.
    fn backoff(&self, tick: &Tick, mail: MailId, attempts: u32) -> u64 {
        let (min, max) = match self.lane {
            Lane::Mailbox(_) => (limits::MAILBOX_RETRY_MIN_MS, limits::MAILBOX_RETRY_MAX_MS),
            Lane::Domain(_) | Lane::Node(_) => (limits::RETRY_MIN_MS, limits::RETRY_MAX_MS),
        };
        let base = min.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(max);
        let roll = sha256(&[&tick.entropy, b"queue jitter", &mail.0]).0;
        let roll = u64::from(u16::from_be_bytes([roll[0], roll[1]]));
        base * 3 / 4 + base * roll / (2 * u64::from(u16::MAX))
    }
}

/// What a step changes: new slots, gone ones, and what is wanted.
#[derive(Debug, Default)]
struct Change {
    put: Vec<(MailId, Slot, Durability)>,
    gone: Vec<MailId>,
    out: Vec<Output>,
}

/// Whether a changed slot is a changed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// The record is written.
    Stored,
    /// Only memory changes; a crash forgets it.
    Passing,
}

impl Queue {
    fn decide(&self, tick: &Tick, input: Input) -> Result<Change, Misuse> {
        let mut change = Change::default();
        match input {
            Input::Enqueue(mail, entry) => self.enqueue(tick, mail, entry, &mut change),
            Input::Report { mail, attempt, results } => self.report(tick, mail, attempt, results, &mut change)?,
            Input::Carried(mail) => {
                if let Some(slot) = self.slots.get(&mail).filter(|slot| slot.phase == Phase::Waiting) {
                    change.pass(mail, Slot { phase: Phase::Carried, ..slot.clone() });
                }
                // What is due meanwhile waits for its Wake: nothing may come between the link's room and this mail.
                return Ok(change);
            }
            Input::Acked(mail) => self.acked(tick, mail, &mut change),
            Input::Refused(mail, rcpts, why) => self.refused(mail, &rcpts, &why, &mut change),
            Input::Reached(mail, reached) => self.reached(mail, reached, &mut change),
            Input::Retry => {
                let waits = |slot: &&Slot| slot.phase == Phase::Waiting && !self.is_node() && slot.due > tick.now;
                for (mail, slot) in self.slots.iter().filter(|(_, slot)| waits(slot)) {
                    change.store(*mail, Slot { due: tick.now, ..slot.clone() });
                }
            }
            Input::Wake => {}
        }
        if self.is_node() {
            self.run_out(tick, &mut change)
        } else {
            self.start(tick, &mut change)
        }
        Ok(change)
    }

    fn enqueue(&self, tick: &Tick, mail: MailId, mut entry: Box<Entry>, change: &mut Change) {
        let Some(slot) = self.slots.get(&mail) else {
            let due = if self.is_node() { tick.now.plus(limits::FALLBACK_MS) } else { tick.now };
            change.store(mail, Slot { entry: *entry, ended: 0, due, phase: Phase::Waiting, why: None });
            return;
        };
        // The same mail for more recipients: an attempt under way goes on for the old ones only.
        entry.rcpts.retain(|rcpt| !slot.entry.rcpts.contains(rcpt));
        let mut slot = slot.clone();
        slot.entry.rcpts.append(&mut entry.rcpts);
        change.store(mail, slot);
    }

    fn report(
        &self,
        tick: &Tick,
        mail: MailId,
        attempt: u32,
        results: Vec<Result<(), Failure>>,
        change: &mut Change,
    ) -> Result<(), Misuse> {
        let slot = self.slots.get(&mail).filter(|slot| slot.phase == Phase::Sending && slot.ended + 1 == attempt);
        let slot = slot.filter(|slot| results.len() <= slot.entry.rcpts.len()).ok_or(Misuse::NoSuchSend)?;
        let over = tick.now.since(slot.entry.arrived) >= limits::QUEUE_EXPIRY_MS;
        let joined = slot.entry.rcpts.get(results.len()..).unwrap_or_default().to_vec();
        let (mut done, mut failed, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for (rcpt, result) in slot.entry.rcpts.iter().cloned().zip(results) {
            match result {
                Ok(()) => done.push(rcpt),
                Err(Failure::Failed(why)) => failed.push((rcpt, why)),
                Err(Failure::Later(why)) if over => {
                    let days = limits::QUEUE_EXPIRY_MS / crate::time::DAY;
                    failed.push((rcpt, format!("given up after {days} days: {why}")));
                }
                Err(Failure::Later(why)) => later.push((rcpt, why)),
            }
        }
        if !done.is_empty() {
            let reached = if matches!(self.lane, Lane::Mailbox(_)) { Reach::Delivered } else { Reach::Sent };
            change.done(mail, &slot.entry, done, reached);
        }
        if !failed.is_empty() {
            let (rcpts, why) = failed.into_iter().unzip();
            change.out.push(Output::Failed { mail, entry: Box::new(slot.entry.but_for(rcpts)), why });
        }
        if later.is_empty() && joined.is_empty() {
            change.gone.push(mail);
            return Ok(());
        }
        let due = if joined.is_empty() { tick.now.plus(self.backoff(tick, mail, attempt)) } else { tick.now };
        let why = later.last().map(|(_, why)| why.clone());
        if let Some(why) = why.clone() {
            change.out.push(Output::Waits { mail, until: due, why });
        }
        let rcpts = later.into_iter().map(|(rcpt, _)| rcpt).chain(joined).collect();
        change.store(mail, Slot { entry: slot.entry.but_for(rcpts), ended: attempt, due, phase: Phase::Waiting, why });
        Ok(())
    }

    fn acked(&self, tick: &Tick, mail: MailId, change: &mut Change) {
        let Some(slot) = self.slots.get(&mail).filter(|slot| slot.phase != Phase::Acked) else { return };
        change.done(mail, &slot.entry, slot.entry.rcpts.clone(), Reach::Sent);
        change.store(mail, Slot { phase: Phase::Acked, due: tick.now.plus(limits::SEEN_MS), ..slot.clone() });
    }

    fn refused(&self, mail: MailId, refused: &BTreeSet<u8>, why: &str, change: &mut Change) {
        let Some(slot) = self.slots.get(&mail).filter(|slot| slot.phase != Phase::Acked) else { return };
        let named = |index: usize| u8::try_from(index).is_ok_and(|index| refused.contains(&index));
        let (out, left): (Vec<_>, Vec<_>) = slot.entry.rcpts.iter().cloned().enumerate().partition(|(i, _)| named(*i));
        if out.is_empty() || left.is_empty() {
            // All of them, or indices that name none: either way the link won't bring it.
            change.fall_back(mail, slot, why);
            return;
        }
        let rcpts = |list: Vec<(usize, Address)>| list.into_iter().map(|(_, rcpt)| rcpt).collect();
        let entry = Box::new(slot.entry.but_for(rcpts(out)));
        change.out.push(Output::FellBack { mail, entry, why: why.to_owned() });
        let entry = slot.entry.but_for(rcpts(left));
        change.store(mail, Slot { entry, ended: slot.ended + 1, phase: Phase::Waiting, ..slot.clone() });
    }

    fn reached(&self, mail: MailId, reached: Reached, change: &mut Change) {
        let Some(slot) = self.slots.get(&mail) else { return };
        match reached {
            Reached::Delivered => change.done(mail, &slot.entry, slot.entry.rcpts.clone(), Reach::Delivered),
            Reached::Failed => {
                let text = "the recipient's node could not put it into the mailbox";
                let why = vec![text.to_owned(); slot.entry.rcpts.len()];
                change.out.push(Output::Failed { mail, entry: Box::new(slot.entry.clone()), why });
            }
        }
        change.gone.push(mail);
    }

    /// A node's lane: what the link has left too long falls back, and acked mails that no mark came for end.
    fn run_out(&self, tick: &Tick, change: &mut Change) {
        let touched = change.touched();
        let due = due(&self.waiting, tick.now).chain(due(&self.timers, tick.now));
        let due = due.filter(|(_, mail)| !touched.contains(mail));
        for (_, mail) in due.take(limits::WAKE_BATCH) {
            match self.slots.get(mail) {
                Some(slot) if slot.phase == Phase::Acked => change.gone.push(*mail),
                Some(slot) => change.fall_back(*mail, slot, "no answer from the node in time"),
                None => {}
            }
        }
    }

    /// A mailbox's or a domain's lane: what is due starts, as far as there is room.
    fn start(&self, tick: &Tick, change: &mut Change) {
        let sends = |mail: &MailId| self.slots.get(mail).is_some_and(|slot| slot.phase == Phase::Sending);
        let ended = change.gone.iter().filter(|mail| sends(mail)).count()
            + change.put.iter().filter(|(mail, slot, _)| slot.phase != Phase::Sending && sends(mail)).count();
        let mut room = (self.sends_allowed() + ended).saturating_sub(self.sending).min(limits::WAKE_BATCH);
        let touched = change.touched();
        for (mail, slot, _) in &mut change.put {
            if room > 0 && slot.phase == Phase::Waiting && slot.due <= tick.now {
                change.out.push(slot.send(*mail));
                room -= 1;
            }
        }
        let due = due(&self.waiting, tick.now).filter(|(_, mail)| !touched.contains(mail));
        for (_, mail) in due.take(room) {
            if let Some(mut slot) = self.slots.get(mail).cloned() {
                change.out.push(slot.send(*mail));
                change.pass(*mail, slot);
            }
        }
    }

    fn apply(&mut self, change: Change, out: &mut Outbox<Output>) {
        for mail in change.gone {
            self.take(mail);
            out.save(Record::remove(Key::Queue(self.lane.clone(), mail)));
        }
        for (mail, slot, durability) in change.put {
            if durability == Durability::Stored {
                out.save(record::write(Key::Queue(self.lane.clone(), mail), &slot));
            }
            self.put(mail, slot);
        }
        for output in change.out {
            out.emit(output);
        }
    }
}

/// What is due of a set that is in the order of time: a long lane costs a step no more than that.
fn due(set: &BTreeSet<(Millis, MailId)>, now: Millis) -> impl Iterator<Item = &(Millis, MailId)> {
    set.iter().take_while(move |(at, _)| *at <= now)
}

impl Entry {
    /// The same entry, for these recipients.
    fn but_for(&self, rcpts: Vec<Address>) -> Self {
        Self { rcpts, ..self.clone() }
    }
}

impl Slot {
    fn send(&mut self, mail: MailId) -> Output {
        self.phase = Phase::Sending;
        let Entry { letter, rcpts, .. } = &self.entry;
        Output::Send { mail, attempt: self.ended + 1, rcpts: rcpts.clone(), letter: letter.clone() }
    }
}

impl Change {
    fn store(&mut self, mail: MailId, slot: Slot) {
        self.put.push((mail, slot, Durability::Stored));
    }

    fn pass(&mut self, mail: MailId, slot: Slot) {
        self.put.push((mail, slot, Durability::Passing));
    }

    fn touched(&self) -> BTreeSet<MailId> {
        self.put.iter().map(|(mail, ..)| *mail).chain(self.gone.iter().copied()).collect()
    }

    fn done(&mut self, mail: MailId, entry: &Entry, rcpts: Vec<Address>, reached: Reach) {
        let message_id = entry.letter.message_id.clone();
        self.out.push(Output::Done { mail, message_id, rcpts, reached, origin: entry.origin.clone() });
    }

    fn fall_back(&mut self, mail: MailId, slot: &Slot, why: &str) {
        let entry = Box::new(slot.entry.clone());
        self.out.push(Output::FellBack { mail, entry, why: why.to_owned() });
        self.gone.push(mail);
    }
}

impl Machine for Queue {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let change = self.decide(tick, input)?;
        self.apply(change, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        let full = !self.is_node() && self.sending >= self.sends_allowed();
        let waiting = self.waiting.first().filter(|_| !full);
        waiting.into_iter().chain(self.timers.first()).map(|(at, _)| *at).min()
    }
}
