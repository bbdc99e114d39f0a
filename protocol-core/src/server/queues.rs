//! Lanes: what the queues want done, and what becomes of it.

use super::Server;
use super::book::Seen;
use super::io::{Carrier, Event, Mark, Outcome, Output, RcptOutcome, SendId};
use super::timers::Who;
use crate::canary::{self, Canary};
use crate::content::mail::{Letter, Text};
use crate::fault::Misuse;
use crate::id::{CarryId, Lane, MailId, NodeKey, Pair};
use crate::limits;
use crate::machine::link;
use crate::machine::queue::{self, Entry, Failure, Origin, Queue, Reach};
use crate::step::{Machine, Outbox, Tick};
use crate::store::sha256;
use crate::wire::frame::{self, Reached};

impl Server {
    /// An attempt ended.
    pub(super) fn report(
        &mut self,
        tick: &Tick,
        send: SendId,
        outcome: Outcome,
        out: &mut Outbox<Output>,
    ) -> Result<(), Misuse> {
        let results = outcome.rcpts.into_iter().map(|rcpt| match rcpt {
            RcptOutcome::Done => Ok(()),
            RcptOutcome::Later(why) => Err(Failure::Later(why)),
            RcptOutcome::Failed(why) => Err(Failure::Failed(why)),
        });
        let input = queue::Input::Report { mail: send.mail, attempt: send.attempt, results: results.collect() };
        let queue = self.lanes.get_mut(&send.lane).ok_or(Misuse::NoSuchSend)?;
        let before = queue.len();
        let mut child = Outbox::new();
        queue.step(tick, input, &mut child)?;
        self.lane_stepped(tick, &send.lane, before, child, out);
        Ok(())
    }

    /// Tells a lane something that it can't misunderstand.
    pub(super) fn lane(&mut self, tick: &Tick, lane: &Lane, input: queue::Input, out: &mut Outbox<Output>) {
        if !self.lanes.contains_key(lane) && !matches!(input, queue::Input::Enqueue(..)) {
            return;
        }
        let queue = self.lanes.entry(lane.clone()).or_insert_with(|| Queue::new(lane.clone()));
        let before = queue.len();
        let mut child = Outbox::new();
        let stepped = queue.step(tick, input, &mut child);
        debug_assert!(stepped.is_ok(), "only a report can be misused");
        self.lane_stepped(tick, lane, before, child, out);
    }

    /// `before` is how many mails the lane held before the step.
    fn lane_stepped(
        &mut self,
        tick: &Tick,
        lane: &Lane,
        before: usize,
        child: Outbox<queue::Output>,
        out: &mut Outbox<Output>,
    ) {
        let after = self.lanes.get(lane).map_or(0, Queue::len);
        self.waiting = (self.waiting + after).saturating_sub(before);
        let deadline = self.lanes.get(lane).and_then(Machine::deadline);
        self.timers.set(Who::Lane(lane.clone()), deadline);
        if self.lanes.get(lane).is_some_and(Queue::is_empty) {
            self.lanes.remove(lane);
        }
        for output in out.adopt(child) {
            self.queue_wants(tick, lane, output, out);
        }
    }

    fn queue_wants(&mut self, tick: &Tick, lane: &Lane, output: queue::Output, out: &mut Outbox<Output>) {
        match output {
            queue::Output::Send { mail, attempt, rcpts, letter } => {
                let send = SendId { lane: lane.clone(), mail, attempt };
                match lane {
                    Lane::Mailbox(name) => out.emit(Output::Deliver(send, name.clone(), rcpts, letter)),
                    Lane::Domain(domain) => out.emit(Output::Smtp(send, domain.clone(), rcpts, letter)),
                    // A node's lane never sends by itself: the link takes from it.
                    Lane::Node(_) => {}
                }
            }
            queue::Output::Done { mail, message_id, rcpts, reached, origin } => {
                let (mark, carrier) = match (lane, reached) {
                    (Lane::Mailbox(_), _) => (Mark::Delivered, Carrier::Mailbox),
                    (Lane::Domain(_), _) => (Mark::Sent, Carrier::Smtp),
                    (Lane::Node(_), Reach::Sent) => (Mark::Sent, Carrier::Link),
                    (Lane::Node(_), Reach::Delivered) => (Mark::Delivered, Carrier::Link),
                };
                self.mark(mail, message_id, rcpts, mark, carrier, out);
                self.landed(tick, mail, &origin, Reached::Delivered, out);
            }
            queue::Output::Failed { mail, entry, why } => self.failed(tick, lane, mail, *entry, why, out),
            queue::Output::FellBack { mail, entry, why } => {
                if let Lane::Node(nk) = lane {
                    self.run_link(tick, *nk, link::Input::Withdraw(mail), out);
                    self.fall_back(tick, mail, *entry, &why, out);
                    // There is room on the link again, perhaps. Not filled from here: who fills it may be the caller.
                    self.timers.set(Who::Node(*nk), Some(tick.now));
                }
            }
            queue::Output::Waits { mail, until, why } => {
                out.emit(Output::Event(Event::Waits { mail, lane: lane.clone(), until, why }));
            }
        }
    }

    /// An express mail goes by SMTP after all, recognisable by its `Postline-Id`.
    fn fall_back(&mut self, tick: &Tick, mail: MailId, mut entry: Entry, why: &str, out: &mut Outbox<Output>) {
        if let (Some(express), Some(from)) = (entry.express.take(), entry.letter.from.clone()) {
            let line = self.carried_line(tick, mail, &from, &express);
            entry.letter.stamp.extend(Some(line).filter(|_| !canary::is_on(Canary::FallbackWithoutId)));
        }
        let mut domains: Vec<Lane> = entry.rcpts.iter().map(|rcpt| Lane::Domain(rcpt.domain().clone())).collect();
        domains.sort();
        domains.dedup();
        for lane in domains {
            let here = |rcpt: &&crate::id::Address| matches!(&lane, Lane::Domain(domain) if domain == rcpt.domain());
            let rcpts = entry.rcpts.iter().filter(here).cloned().collect();
            let why = why.to_owned();
            out.emit(Output::Event(Event::Waits { mail, lane: lane.clone(), until: tick.now, why }));
            self.enqueue(tick, &lane, mail, Entry { rcpts, ..entry.clone() }, out);
        }
    }

    /// Some recipients will never have it: whoever sent it is told, if they are ours or a node's.
    fn failed(
        &mut self,
        tick: &Tick,
        lane: &Lane,
        mail: MailId,
        entry: Entry,
        why: Vec<String>,
        out: &mut Outbox<Output>,
    ) {
        let carrier = match lane {
            Lane::Mailbox(_) => Carrier::Mailbox,
            Lane::Domain(_) => Carrier::Smtp,
            Lane::Node(_) => Carrier::Link,
        };
        for (rcpt, why) in entry.rcpts.iter().zip(&why) {
            let message_id = entry.letter.message_id.clone();
            self.mark(mail, message_id, vec![rcpt.clone()], Mark::Failed(why.clone()), carrier, out);
        }
        self.landed(tick, mail, &entry.origin, Reached::Failed, out);
        // A report goes to a user of ours only, into their own mailbox, and never about a report (attack 102).
        let (Origin::User(name), Some(author), Text::Came(about)) =
            (&entry.origin, &entry.letter.from, &entry.letter.text)
        else {
            return;
        };
        if canary::is_on(Canary::FailureKeptQuiet) {
            return;
        }
        let failed = entry.rcpts.iter().cloned().zip(why).collect();
        let letter = Letter {
            from: None,
            text: Text::Report { about: *about, at: tick.now, failed },
            stamp: Vec::new(),
            strip: false,
            message_id: None,
        };
        let lane_text = lane.to_string();
        let hash = sha256(&[b"postline/1 report", &mail.0, lane_text.as_bytes(), &tick.now.0.to_be_bytes()]).0;
        let mut id = [0; MailId::LEN];
        id.copy_from_slice(hash.split_at(MailId::LEN).0);
        let report =
            Entry { letter, rcpts: vec![author.clone()], arrived: tick.now, origin: Origin::Nobody, express: None };
        self.enqueue(tick, &Lane::Mailbox(name.clone()), MailId(id), report, out);
    }

    /// A mail that a node brought is in one more mailbox, or will never be: once that is known of all, the node is told.
    fn landed(&mut self, tick: &Tick, mail: MailId, origin: &Origin, reached: Reached, out: &mut Outbox<Output>) {
        let Origin::Node { nk, id, mailboxes } = origin else { return };
        let open = |name: &crate::id::Mailbox| {
            self.lanes.get(&Lane::Mailbox(name.clone())).is_some_and(|queue| queue.entry(mail).is_some())
        };
        let all = !mailboxes.iter().any(open);
        let Some(Some(seen)) = self.seen.get_mut(&mail) else { return };
        if reached == Reached::Failed || (all && seen.reached != Some(Reached::Failed)) {
            seen.reached = Some(reached);
        }
        let known = seen.reached;
        out.save(seen.record(mail, tick.now));
        if let Some(reached) = known.filter(|_| all) {
            self.run_link(tick, *nk, link::Input::Marks(vec![frame::Mark { id: *id, reached }]), out);
        }
    }

    /// Gives the link what waits for it, as far as its window goes.
    pub(super) fn pump(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        let lane = Lane::Node(nk);
        for _ in 0..limits::WINDOW_ITEMS {
            let Some((mail, entry)) = self.lanes.get(&lane).and_then(Queue::next_to_carry) else { return };
            let Some(from) = entry.letter.from.clone() else { return };
            let body = entry.letter.text.blob();
            let Some(link) = self.links.get(&nk).filter(|link| link.is_up()) else {
                self.want_link(tick, nk, out);
                return;
            };
            if link.room() == 0 {
                return;
            }
            let envelope = frame::ExpressEnvelope { from, to: entry.rcpts.clone(), submitted: entry.arrived };
            let outgoing = link::Outgoing { mail, id: CarryId(mail.0), envelope, body };
            self.lane(tick, &lane, queue::Input::Carried(mail), out);
            self.run_link(tick, nk, link::Input::Send(outgoing), out);
        }
    }

    /// Marks came from a node, or the answer to our asking.
    pub(super) fn marks(&mut self, tick: &Tick, nk: NodeKey, marks: Vec<frame::Mark>, out: &mut Outbox<Output>) {
        let lane = Lane::Node(nk);
        for mark in marks {
            let mail = MailId(mark.id.0);
            if self.lanes.get(&lane).is_some_and(|queue| queue.entry(mail).is_some()) {
                // A mark may overtake its Ack: then the link still has the mail, and its body goes with the entry.
                self.run_link(tick, nk, link::Input::Withdraw(mail), out);
                self.lane(tick, &lane, queue::Input::Reached(mail, mark.reached), out);
            } else {
                out.emit(Output::Event(Event::LateMark { id: mark.id, reached: mark.reached }));
            }
        }
    }

    /// The other node asks how far its mails got.
    pub(super) fn answer_marks(&mut self, tick: &Tick, nk: NodeKey, ids: Vec<CarryId>, out: &mut Outbox<Output>) {
        let known = ids.into_iter().filter_map(|id| {
            let reached = self.seen.get(&Seen::id_of(nk, id))?.as_ref()?.reached?;
            Some(frame::Mark { id, reached })
        });
        let marks: Vec<_> = known.collect();
        if !marks.is_empty() {
            self.run_link(tick, nk, link::Input::Answer(marks), out);
        }
    }
}

/// The pairs that an entry is between.
pub(super) fn pairs_of(entry: &Entry) -> Vec<Pair> {
    let from = entry.letter.from.iter();
    from.flat_map(|ours| entry.rcpts.iter().map(|theirs| Pair { ours: ours.clone(), theirs: theirs.clone() })).collect()
}
