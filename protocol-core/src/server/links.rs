//! Links: what goes over the one connection with a node, and whether it is to come up.
//!
//! ```text
//!   a handshake, a mail, a mark, a talk, a file that waits ──▶ want_link ──▶ Dial
//!                                                                  │
//!   frames ──▶ link::Link ──┬▶ Came, Whole ──▶ express.rs      up: all of it is said again
//!                           ├▶ Acked, Refused, Marks ──▶ lanes
//!                           └▶ Trust, Talk, File, Whisper ──▶ whose it is
//! ```

use std::collections::BTreeSet;

use super::Server;
use super::book::Route;
use super::io::{Dial, Event, LinkOut, Output, Peer};
use super::timers::Who;
use crate::fault::{Code, PeerFault};
use crate::id::{Lane, LinkId, MailId, NodeKey, Pair};
use crate::machine::queue::{self, Queue};
use crate::machine::{link, trust};
use crate::seal;
use crate::step::{Machine, Outbox, Tick};
use crate::store::Key;
use crate::wire::frame::{Trust as TrustFrame, TrustStep};
use crate::wire::signed::OnConnection;
use crate::wire::talk::{Question, Talk};

// When one is wanted
impl Server {
    /// Has a node dialled: at once, or as soon as its records are here.
    pub(super) fn want_link(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        if self.links.contains_key(&nk) {
            self.run_link(tick, nk, link::Input::Want, out);
        } else {
            self.cold.extend([Key::Peer(nk), Key::Route(nk)]);
            self.timers.set(Who::Node(nk), Some(tick.now));
        }
    }

    /// The records of a node that something waited for are here.
    pub(super) fn node_due(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        if !self.links.contains_key(&nk) {
            // Asked for within this very wake, or brought and let go of again before it.
            self.cold.extend([Key::Peer(nk), Key::Route(nk)]);
            self.timers.set(Who::Node(nk), Some(tick.now.plus(1)));
            return;
        }
        self.timers.set(Who::Node(nk), None);
        self.pump(tick, nk, out);
        self.want_again(tick, nk, out);
    }

    /// Has a node's link come up, or come up again, where something waits for it: a handshake, or a mark.
    fn want_again(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        let mut unfinished = self.unfinished.get(&nk).into_iter().flatten();
        let handshake = unfinished.any(|pair| self.pairs.get(pair).is_some_and(trust::Trust::wants_link));
        let mark = || self.lanes.get(&Lane::Node(nk)).is_some_and(|queue| !queue.unmarked().is_empty());
        if handshake || mark() || self.waits_for(nk) {
            self.run_link(tick, nk, link::Input::Want, out);
        }
    }

    /// Whether something about conversations or keys waits for a node's link, or somebody who is here.
    pub(super) fn waits_for(&self, nk: NodeKey) -> bool {
        self.posts.wait_for(nk)
            || self.talks.is_behind(nk)
            || self.keys.wait_for(nk)
            || self.whispers.want_link(nk, self.now)
            || self.fetches_from(nk)
            || self.files.forgets.wait_for(nk, self.now)
    }

    /// Remembers how a node is found; from then on it is no stranger.
    pub(super) fn learn_route(&mut self, nk: NodeKey, pair: &Pair, out: &mut Outbox<Output>) {
        let hint = self.pairs.get(pair).and_then(trust::Trust::hint).map(str::to_owned);
        let route = Route { ours: pair.ours.domain().clone(), theirs: pair.theirs.domain().clone(), hint };
        if self.routes.get(&nk) != Some(&Some(route.clone())) {
            out.save(route.record(nk));
            self.routes.insert(nk, Some(route));
        }
    }
}

// What it says
impl Server {
    /// Tells a link something.
    pub(super) fn run_link(&mut self, tick: &Tick, nk: NodeKey, input: link::Input, out: &mut Outbox<Output>) {
        let Some(machine) = self.links.get_mut(&nk) else { return };
        let mut child = Outbox::new();
        let stepped = machine.step(tick, input, &mut child);
        debug_assert!(stepped.is_ok(), "a link's inputs can't be misused: {stepped:?}");
        self.timers.set(Who::Link(nk), machine.deadline());
        // What it says goes first: what follows from the rest may have it say more, and frames have an order.
        let (said, rest): (Vec<_>, Vec<_>) =
            out.adopt(child).into_iter().partition(|output| matches!(output, link::Output::Out(..)));
        for output in said.into_iter().chain(rest) {
            self.link_wants(tick, nk, output, out);
        }
    }

    fn link_wants(&mut self, tick: &Tick, nk: NodeKey, output: link::Output, out: &mut Outbox<Output>) {
        match output {
            link::Output::Out(link, what) => {
                if what == LinkOut::Close {
                    self.proven.remove(&link);
                    self.fetching.retain(|(of, _), _| *of != link);
                }
                out.emit(Output::Link(link, what));
            }
            link::Output::Dial => {
                if let Some(Some(Route { ours, theirs, hint })) = self.routes.get(&nk).cloned() {
                    out.emit(Output::Dial(Dial { nk, ours, theirs, hint }));
                }
            }
            link::Output::Up(link) => self.up(tick, nk, link, out),
            link::Output::Down(code) => {
                out.emit(Output::Event(Event::LinkDown { nk, code }));
                self.store_posts(nk, out);
                self.whispers_down(tick, nk, out);
                self.unasked(nk);
                self.link_files_down(nk);
                self.want_again(tick, nk, out);
            }
            link::Output::Came(carry) => match self.in_hand.take() {
                Some(mail) => self.settle(tick, nk, carry, &mail, out),
                // Kept until its body is here, so that its pairs are known to be wanted then.
                None => {
                    if let Some(link) = self.links.get(&nk).and_then(link::Link::connection) {
                        self.fetching.entry((link, carry.body)).or_default().push(carry);
                    }
                }
            },
            link::Output::Whole(carry) => {
                if let Some(mail) = self.in_hand.clone() {
                    self.settle(tick, nk, carry, &mail, out);
                }
            }
            link::Output::Acked(mail) => {
                self.lane(tick, &Lane::Node(nk), queue::Input::Acked(mail), out);
                self.pump(tick, nk, out);
            }
            link::Output::Refused { mail, code, rcpts } => self.refused(tick, nk, mail, code, rcpts, out),
            link::Output::Trust(frame) => self.step_came(tick, nk, frame, out),
            link::Output::Marks(marks) => self.marks(tick, nk, marks, out),
            link::Output::MarksWanted(ids) => self.answer_marks(tick, nk, ids, out),
            link::Output::Talk(talk) => self.talk_came(tick, nk, talk, out),
            link::Output::File(file) => self.file_from_node(tick, nk, file, out),
            link::Output::Whisper(whisper) => self.node_whispers(tick, nk, whisper, out),
            link::Output::Fault(why) => out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why })),
        }
    }

    /// A link came up: whatever is unfinished is said again, open marks are asked for, and what waits goes.
    fn up(&mut self, tick: &Tick, nk: NodeKey, link: LinkId, out: &mut Outbox<Output>) {
        out.emit(Output::Event(Event::LinkUp { nk, link }));
        let unfinished = self.unfinished.get(&nk).cloned().unwrap_or_default();
        for pair in unfinished {
            self.trust(tick, &pair, trust::Input::LinkUp(nk), out);
        }
        let open = self.lanes.get(&Lane::Node(nk)).map(Queue::unmarked).unwrap_or_default();
        if !open.is_empty() {
            let ids = open.into_iter().map(|mail| crate::id::CarryId(mail.0)).collect();
            self.run_link(tick, nk, link::Input::AskMarks(ids), out);
        }
        self.keys_again(tick, nk, out);
        self.ask_again(tick, nk, out);
        self.fetch_again(tick, nk, out);
        self.forget_again(tick, nk, out);
        self.pump(tick, nk, out);
        self.talks_up(tick, nk, out);
        self.whispers_up(tick, nk, out);
    }

    /// Another node says something about conversations, or keys.
    fn talk_came(&mut self, tick: &Tick, nk: NodeKey, talk: Talk, out: &mut Outbox<Output>) {
        match talk {
            Talk::Ask { number, what: what @ (Question::Lists { .. } | Question::Packages { .. }) } => {
                self.asked_by_node(tick, nk, number, &what, out);
            }
            Talk::Answer { number, what } => self.answered(tick, nk, number, what, out),
            Talk::Post(_)
            | Talk::Unposted { .. }
            | Talk::Event(_)
            | Talk::Have { .. }
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Ask { what: Question::Range { .. }, .. }
            | Talk::Line(_)
            | Talk::Login { .. } => self.talk_from_node(tick, nk, talk, out),
        }
    }

    /// The other node did not take a mail: those in the way go by SMTP; where it is for want of a line, their pairs
    /// learn it.
    fn refused(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        mail: MailId,
        code: Code,
        rcpts: BTreeSet<u8>,
        out: &mut Outbox<Output>,
    ) {
        let lane = Lane::Node(nk);
        if code == Code::NotTrusted {
            let entry = self.lanes.get(&lane).and_then(|queue| queue.entry(mail));
            let pairs = entry.map(super::queues::pairs_of).unwrap_or_default();
            let named =
                |index: usize| rcpts.is_empty() || u8::try_from(index).is_ok_and(|index| rcpts.contains(&index));
            for (_, pair) in pairs.into_iter().enumerate().filter(|(index, _)| named(*index)) {
                self.trust(tick, &pair, trust::Input::Denied, out);
            }
        }
        self.lane(tick, &lane, queue::Input::Refused(mail, rcpts, format!("the other node refused: {code:?}")), out);
        self.pump(tick, nk, out);
    }

    /// A handshake step came: verified against the connection it came on, then the pair's own to judge.
    fn step_came(&mut self, tick: &Tick, nk: NodeKey, frame: TrustFrame, out: &mut Outbox<Output>) {
        let connection = self.links.get(&nk).and_then(link::Link::connection);
        let Some(conn) = connection.and_then(|connection| self.proven.get(&connection)) else { return };
        let pair = Pair { ours: frame.pair.theirs, theirs: frame.pair.ours };
        let signed = OnConnection::new(frame.step, &frame.bytes, &conn.exporter);
        let verified = seal::verify_value(conn.key, &signed, &frame.signature);
        if let Err(why) = verified.and_then(|()| if self.is_blocked(&pair) { Err(PeerFault::Blocked) } else { Ok(()) })
        {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
            return;
        }
        if frame.step == TrustStep::Keys {
            self.keys_came(tick, nk, &pair, frame.bytes, out);
            return;
        }
        let input = trust::Input::Step { nk, step: frame.step, bytes: frame.bytes };
        self.trust(tick, &pair, input, out);
        self.pump(tick, nk, out);
    }
}
