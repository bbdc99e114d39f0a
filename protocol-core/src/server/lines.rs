//! Lines: what pairs and links want of each other, and what goes over a connection.

use std::collections::BTreeSet;

use super::book::{Asked, Pending, Route, Seen};
use super::here::HERE;
use super::io::{Carrier, Dial, Event, Evidence, LinkIn, LinkOut, Output, Peer, Seek};
use super::timers::Who;
use super::{Conn, Greet, Server};
use crate::canary::{self, Canary};
use crate::content::mail::{Letter, MailIn, Rcpt, Text};
use crate::fault::{Code, Misuse, PeerFault};
use crate::id::{Lane, LinkId, MailId, NodeKey, Pair};
use crate::limits;
use crate::machine::greeting::{self, Greeting};
use crate::machine::queue::{self, Origin, Queue};
use crate::machine::{link, trust};
use crate::seal;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::wire::frame::{Carry, Domains, Frame, Mark, Reached, Trust as TrustFrame, TrustStep};
use crate::wire::signed::OnConnection;
use crate::wire::talk::{Question, Talk};

// Pairs
impl Server {
    /// Tells a pair something. Nodes that have another name since are called by it first.
    pub(super) fn trust(&mut self, tick: &Tick, pair: &Pair, input: trust::Input, out: &mut Outbox<Output>) {
        self.rename(tick, pair, out);
        self.tell(tick, pair, input, out);
    }

    /// Tells a pair something, as its nodes are named now.
    pub(super) fn tell(&mut self, tick: &Tick, pair: &Pair, input: trust::Input, out: &mut Outbox<Output>) {
        let Some(machine) = self.pairs.get_mut(pair) else { return };
        let mut child = Outbox::new();
        let stepped = machine.step(tick, input, &mut child);
        debug_assert!(stepped.is_ok(), "a pair's inputs can't be misused");
        self.timers.set(Who::Pair(pair.clone()), machine.deadline());
        self.note_unfinished(pair);
        for output in out.adopt(child) {
            if self.had_here(tick, pair, &output, out) {
                continue;
            }
            match output {
                trust::Output::SeekDkim(mail) => self.seek(tick, mail, pair, Asked::Dkim, out),
                trust::Output::SeekDomain(mail) => self.seek(tick, mail, pair, Asked::Domain, out),
                // Nothing goes out to a blocked domain; unblocked, the handshake goes on if there still is one.
                trust::Output::WantLink { .. } | trust::Output::Say { .. } if self.is_blocked(pair) => {}
                trust::Output::WantLink { nk } => {
                    self.learn_route(nk, pair, out);
                    self.want_link(tick, nk, out);
                }
                trust::Output::Say { nk, step, bytes } => self.say(tick, nk, pair, step, bytes, out),
                trust::Output::Changed { from, to } => {
                    out.emit(Output::Event(Event::Trust { pair: pair.clone(), from, to }));
                    self.count_strangers(tick, pair, from, to, out);
                    if [from, to].iter().any(|state| concerns_keys(*state)) {
                        self.line_changed(tick, pair, out);
                    }
                    if to == trust::TrustState::Trusted {
                        self.lined(pair, out);
                        self.talks_resume(tick, pair, out);
                    } else if from == trust::TrustState::Trusted {
                        self.talks_part(tick, &pair.theirs, out);
                        self.whispers_part(tick, pair, out);
                        self.unask(tick, |asker, whose| *asker == pair.ours && *whose == pair.theirs, out);
                    }
                }
                trust::Output::Refused(why) => {
                    out.emit(Output::Event(Event::Refused { peer: Peer::Pair(pair.clone()), why }));
                }
                trust::Output::Proposed { nk } => out.emit(Output::Event(Event::Proposed { pair: pair.clone(), nk })),
                // Asked for by `admitted` only.
                trust::Output::Admitted => {}
            }
        }
    }

    /// Two have a line: the way to their node is remembered.
    fn lined(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
        if let Some(nk) = self.pairs.get(pair).and_then(trust::Trust::line).filter(|nk| *nk != HERE) {
            self.learn_route(nk, pair, out);
        }
    }

    /// A pair with a line has something to do: once a day its domain is asked again which key is its node's ([T-23]).
    /// Only while the link is up, so that a node that has changed its key has had the word before its domain.
    pub(super) fn look(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
        let line = self.pairs.get(pair).filter(|trust| trust.wants_look(tick.now)).and_then(trust::Trust::line);
        let is_up = line.and_then(|nk| self.links.get(&nk)).is_some_and(link::Link::is_up);
        if !is_up || self.is_here(pair) || self.pending.len() >= limits::PENDING {
            return;
        }
        let (ours, theirs) = (pair.ours.to_string(), pair.theirs.to_string());
        let hash = sha256(&[b"postline/1 look", ours.as_bytes(), &[0], theirs.as_bytes()]).0;
        let mut id = [0; MailId::LEN];
        id.copy_from_slice(hash.split_at(MailId::LEN).0);
        self.pending.remove(&MailId(id));
        self.trust(tick, pair, trust::Input::Look(MailId(id)), out);
    }

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
}

impl Server {
    /// Says a handshake step on the node's link; where it is down, the pair says it again once it is up.
    pub(super) fn say(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        pair: &Pair,
        step: crate::wire::frame::TrustStep,
        bytes: Vec<u8>,
        out: &mut Outbox<Output>,
    ) {
        let connection = self.links.get(&nk).filter(|link| link.is_up()).and_then(link::Link::connection);
        let Some(conn) = connection.and_then(|connection| self.proven.get(&connection)) else {
            self.want_link(tick, nk, out);
            return;
        };
        let signature = self.ours.identity.sign(&OnConnection::new(step, &bytes, &conn.exporter)).to_vec();
        let frame = TrustFrame { pair: pair.clone(), step, bytes, signature };
        self.run_link(tick, nk, link::Input::Say(frame), out);
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

    /// Asks the host for evidence, and remembers who waits for it.
    pub(super) fn seek(&mut self, tick: &Tick, mail: MailId, pair: &Pair, asked: Asked, out: &mut Outbox<Output>) {
        let pending = self.pending.entry(mail).or_insert_with(|| Pending::new(None, tick.now));
        let seek = match (asked, pending.blob) {
            (Asked::Dkim, Some(blob)) => Seek::Dkim(blob),
            (Asked::Domain, _) => Seek::Domain(pair.theirs.domain().clone()),
            // The bytes are gone: what they proved is known by now, or never will be.
            (Asked::Dkim, None) => return,
        };
        pending.asks.insert((pair.clone(), asked));
        out.save(pending.record(mail));
        out.emit(Output::Seek(mail, seek));
    }

    /// What was found out about a node.
    pub(super) fn evidence(&mut self, tick: &Tick, mail: MailId, evidence: &Evidence, out: &mut Outbox<Output>) {
        let Some(pending) = self.pending.get_mut(&mail) else { return };
        let answers = |asked: Asked| match evidence {
            Evidence::Dkim(_) => asked == Asked::Dkim,
            Evidence::Domain { .. } | Evidence::Contradiction => asked == Asked::Domain,
            Evidence::Temporary => false,
        };
        let late = tick.now.since(pending.since) >= limits::EVIDENCE_RETRY_MS;
        let waiting: BTreeSet<Pair> = pending.asks.iter().map(|(pair, _)| pair.clone()).collect();
        pending.asks.retain(|(_, asked)| !answers(*asked) && !late);
        if !pending.asks.iter().any(|(_, asked)| *asked == Asked::Dkim) {
            pending.blob = None;
        }
        if pending.asks.is_empty() {
            self.pending.remove(&mail);
            out.save(Record::remove(Key::Pending(mail)));
        } else {
            out.save(pending.record(mail));
        }
        for pair in &waiting {
            // The domain may name a key that its node has changed to.
            let evidence = match evidence {
                Evidence::Domain { names: Some(key) } => Evidence::Domain { names: Some(self.name(*key)) },
                Evidence::Domain { names: None }
                | Evidence::Contradiction
                | Evidence::Dkim(_)
                | Evidence::Temporary => evidence.clone(),
            };
            self.trust(tick, pair, trust::Input::Evidence(mail, evidence), out);
        }
        let awaited = waiting.iter().any(|pair| self.pairs.get(pair).is_some_and(|trust| trust.awaits(mail)));
        if *evidence == Evidence::Temporary && !awaited && self.pending.remove(&mail).is_some() {
            out.save(Record::remove(Key::Pending(mail)));
        }
    }

    /// Lets a pair go, whole: a stranger who had to make room.
    pub(super) fn drop_pair(&mut self, pair: &Pair, out: &mut Outbox<Output>) {
        // Known to be nothing, not unknown: a later step of this batch must not bring the stored record back.
        self.pairs.insert(pair.clone(), trust::Trust::stranger(pair.clone()));
        self.timers.set(Who::Pair(pair.clone()), None);
        self.note_unfinished(pair);
        out.save(Record::remove(Key::Trust(pair.clone())));
        out.save(Record::remove(Key::Due(pair.clone())));
    }
}

// Connections
impl Server {
    /// Something happened on a connection.
    pub(super) fn link(
        &mut self,
        tick: &Tick,
        link: LinkId,
        input: LinkIn,
        out: &mut Outbox<Output>,
    ) -> Result<(), Misuse> {
        if let LinkIn::Up { dialled, exporter } = input {
            if self.greetings.contains_key(&link) || self.proven.contains_key(&link) {
                return Err(Misuse::LinkInUse(link));
            }
            self.connected(tick, link, dialled, exporter, out);
            return Ok(());
        }
        if self.greetings.contains_key(&link) {
            self.greeted(tick, link, input, out);
            return Ok(());
        }
        let Some(conn) = self.proven.get(&link).copied() else {
            // A connection that we closed may still have had something to say.
            return Ok(());
        };
        match input {
            LinkIn::Up { .. } => {}
            LinkIn::Frame(frame) => self.run_link(tick, conn.nk, link::Input::Frame(link, frame), out),
            LinkIn::Carry(carry, mail) => {
                self.in_hand = mail;
                self.run_link(tick, conn.nk, link::Input::Frame(link, Frame::Carry(carry)), out);
                self.in_hand = None;
            }
            LinkIn::Have { blob, bytes } => {
                self.run_link(tick, conn.nk, link::Input::Have(link, blob, bytes), out);
            }
            LinkIn::Body(blob, mail) => {
                self.in_hand = Some(mail);
                self.run_link(tick, conn.nk, link::Input::Fetched(link, blob), out);
                self.in_hand = None;
                self.fetching.remove(&(link, blob));
            }
            LinkIn::Spoiled(blob) => {
                self.fetching.remove(&(link, blob));
                self.run_link(tick, conn.nk, link::Input::Spoiled(link, blob), out);
            }
            LinkIn::Bytes(bytes) => self.link_bytes(tick, link, bytes, out),
            LinkIn::Garbage(why) => self.run_link(tick, conn.nk, link::Input::Garbage(link, why), out),
            LinkIn::Down => self.gone(tick, link, conn, out),
        }
        Ok(())
    }

    fn gone(&mut self, tick: &Tick, link: LinkId, conn: Conn, out: &mut Outbox<Output>) {
        self.proven.remove(&link);
        self.fetching.retain(|(of, _), _| *of != link);
        self.run_link(tick, conn.nk, link::Input::Down(link), out);
    }

    fn connected(
        &mut self,
        tick: &Tick,
        link: LinkId,
        dialled: Option<Dial>,
        exporter: [u8; 32],
        out: &mut Outbox<Output>,
    ) {
        if self.draining {
            out.emit(Output::Link(link, LinkOut::Close));
            return;
        }
        if self.greetings.len() >= limits::GREETINGS
            && let Some(oldest) = self.greetings.keys().next().copied()
        {
            let why = PeerFault::Late(limits::GREETING_MS);
            self.greeting(tick, oldest, greeting::Input::Garbage(why), out);
        }
        let mut child = Outbox::new();
        let nk = dialled.as_ref().map(|dial| self.name(dial.nk));
        let machine = match dialled {
            Some(dial) => {
                let domains = Domains { speaker: dial.ours, listener: dial.theirs };
                let name = self.name(dial.nk);
                let key = self.key_of(name);
                Greeting::dial(tick, &self.ours.identity, domains, key, exporter, &mut child)
                    .or_next(self.announced(name))
            }
            None => Greeting::answer(tick, exporter),
        };
        self.greetings.insert(link, Greet { machine, exporter, dialled: nk });
        self.greeting_wants(tick, link, child, out);
    }

    /// Tells a greeting something.
    fn greeted(&mut self, tick: &Tick, link: LinkId, input: LinkIn, out: &mut Outbox<Output>) {
        let input = match input {
            LinkIn::Frame(frame) => greeting::Input::Frame(frame),
            LinkIn::Garbage(why) => greeting::Input::Garbage(why),
            LinkIn::Down => {
                self.end_greeting(tick, link, out);
                return;
            }
            LinkIn::Up { .. }
            | LinkIn::Carry(..)
            | LinkIn::Body(..)
            | LinkIn::Have { .. }
            | LinkIn::Spoiled(_)
            | LinkIn::Bytes(_) => greeting::Input::Garbage(PeerFault::Frame("a mail before proof")),
        };
        self.greeting(tick, link, input, out);
    }

    pub(super) fn greeting(&mut self, tick: &Tick, link: LinkId, input: greeting::Input, out: &mut Outbox<Output>) {
        let Some(greet) = self.greetings.get_mut(&link) else { return };
        let mut child = Outbox::new();
        let ours = greeting::Ours { identity: &self.ours.identity, domains: &self.ours.domains };
        greet.machine.step(tick, ours, input, &mut child);
        self.greeting_wants(tick, link, child, out);
    }

    fn greeting_wants(&mut self, tick: &Tick, link: LinkId, child: Outbox<greeting::Output>, out: &mut Outbox<Output>) {
        let deadline = self.greetings.get(&link).and_then(|greet| greet.machine.deadline());
        self.timers.set(Who::Greeting(link), deadline);
        for output in out.adopt(child) {
            match output {
                greeting::Output::Send(frame) => out.emit(Output::Link(link, LinkOut::Send(frame))),
                greeting::Output::Failed(why) => {
                    out.emit(Output::Link(link, LinkOut::Close));
                    out.emit(Output::Event(Event::Refused { peer: Peer::Link(link), why }));
                    self.end_greeting(tick, link, out);
                }
                greeting::Output::Left(_) => {
                    out.emit(Output::Link(link, LinkOut::Close));
                    self.end_greeting(tick, link, out);
                }
                greeting::Output::Proven { nk, former, domains } => {
                    let blocked = self.blocked.contains(&domains.speaker);
                    let name = if blocked { None } else { self.who_is(tick, nk, former, out) };
                    self.proved(tick, link, nk, name, out);
                }
            }
        }
    }

    /// A connection's other end proved a key, and is the node of this name.
    fn proved(&mut self, tick: &Tick, link: LinkId, key: NodeKey, name: Option<NodeKey>, out: &mut Outbox<Output>) {
        let Some(greet) = self.greetings.remove(&link) else { return };
        self.timers.set(Who::Greeting(link), None);
        let has_to_do = |nk: &NodeKey| matches!(self.routes.get(nk), Some(Some(_))) || self.unfinished.contains_key(nk);
        let Some(nk) = name.filter(has_to_do) else {
            // A key that no pair of ours has to do with is a stranger's: it is told what a wrong key is told.
            out.emit(Output::Link(link, LinkOut::Send(Frame::Bye { code: Code::Denied })));
            out.emit(Output::Link(link, LinkOut::Close));
            out.emit(Output::Event(Event::Refused { peer: Peer::Link(link), why: PeerFault::NotTrusted }));
            if let Some(dialled) = greet.dialled {
                self.run_link(tick, dialled, link::Input::Unreachable, out);
            }
            return;
        };
        self.proven.insert(link, Conn { nk, key, exporter: greet.exporter });
        self.run_link(tick, nk, link::Input::Proven { link, dialled: greet.dialled.is_some() }, out);
    }

    /// Lets a greeting go; where we dialled, the link learns that this was not it.
    fn end_greeting(&mut self, tick: &Tick, link: LinkId, out: &mut Outbox<Output>) {
        self.timers.set(Who::Greeting(link), None);
        if let Some(nk) = self.greetings.remove(&link).and_then(|greet| greet.dialled) {
            self.run_link(tick, nk, link::Input::Unreachable, out);
        }
    }

    /// A dial failed: the link tries again in its own time.
    pub(super) fn unreached(&mut self, tick: &Tick, dial: &Dial, out: &mut Outbox<Output>) {
        self.run_link(tick, self.name(dial.nk), link::Input::Unreachable, out);
    }
}

// Links
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

    /// Judges an express mail whose body is here, and settles it.
    fn settle(&mut self, tick: &Tick, nk: NodeKey, carry: Carry, mail: &MailIn, out: &mut Outbox<Output>) {
        let (seq, id) = (carry.seq, carry.id);
        let result = self.judge(tick, nk, carry, mail, out);
        if result.is_ok() && canary::is_on(Canary::DeliveredTooEarly) {
            self.run_link(tick, nk, link::Input::Marks(vec![Mark { id, reached: Reached::Delivered }]), out);
        }
        if let Err((why, _)) = &result {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why: why.clone() }));
        }
        let came_before = result == Ok(true);
        self.run_link(tick, nk, link::Input::Settled { seq, result: result.map(drop) }, out);
        if came_before {
            // The mark may have been said before the other node crashed, and it knows of no Ack to ask about.
            self.answer_marks(tick, nk, vec![id], out);
        }
    }

    /// Takes an express mail whole, or says what is in the way ([E-3]). Says whether it came before.
    fn judge(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        carry: Carry,
        mail: &MailIn,
        out: &mut Outbox<Output>,
    ) -> Result<bool, (PeerFault, BTreeSet<u8>)> {
        let whole = |why| (why, BTreeSet::new());
        let canonical = mail.head.canonical().ok_or_else(|| whole(PeerFault::NotExpress("not canonical")))?;
        if canonical.from != carry.envelope.from {
            return Err(whole(PeerFault::NotExpress("the header's From is not the envelope sender")));
        }
        if mail.head.hops > limits::HOPS {
            return Err(whole(PeerFault::NotExpress("looping")));
        }
        let known = Seen::id_of(nk, carry.id);
        let rcpts: Vec<Rcpt> = carry
            .envelope
            .to
            .iter()
            .map(|address| {
                let mailbox =
                    mail.envelope.to.iter().find(|rcpt| rcpt.address == *address).and_then(|rcpt| rcpt.mailbox.clone());
                Rcpt { address: address.clone(), mailbox }
            })
            .collect();
        let mut in_the_way = BTreeSet::new();
        let mut first = None;
        for (index, rcpt) in rcpts.iter().enumerate() {
            let pair = Pair { ours: rcpt.address.clone(), theirs: carry.envelope.from.clone() };
            let why = if rcpt.mailbox.is_none() {
                Some(PeerFault::NoMailbox)
            } else {
                self.admitted(tick, &pair, nk, out).err()
            };
            if why.is_none() {
                self.look(tick, &pair, out);
            }
            if let Some(why) = why {
                in_the_way.extend(u8::try_from(index));
                first.get_or_insert(why);
            }
        }
        if let Some(why) = first {
            return Err((why, in_the_way));
        }
        if self.waiting + rcpts.len() > limits::QUEUE_ENTRIES || self.draining {
            return Err(whole(PeerFault::Full { got: self.waiting as u64, max: limits::QUEUE_ENTRIES as u64 }));
        }
        let fresh = self.not_seen(known, rcpts);
        if fresh.is_empty() {
            out.emit(Output::Event(Event::Duplicate { mail: known, carrier: Carrier::Link }));
            return Ok(true);
        }
        self.remember(tick, known, &fresh, out);
        out.emit(Output::Event(Event::Arrived {
            mail: known,
            message_id: mail.head.message_id.clone(),
            carrier: Carrier::Link,
            inert: None,
        }));
        let mailboxes: BTreeSet<_> = fresh.iter().filter_map(|rcpt| rcpt.mailbox.clone()).collect();
        let origin = Origin::Node { nk, id: carry.id, mailboxes: mailboxes.into_iter().collect() };
        let letter = Letter {
            from: Some(carry.envelope.from),
            text: Text::Came(mail.blob),
            stamp: Some(mail.received.clone()).filter(|line| !line.is_empty()).into_iter().collect(),
            strip: true,
            message_id: mail.head.message_id.clone(),
        };
        self.deliver_to(tick, known, &letter, fresh, origin, out);
        Ok(false)
    }

    fn admitted(&mut self, tick: &Tick, pair: &Pair, nk: NodeKey, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        if self.is_blocked(pair) {
            return Err(PeerFault::Blocked);
        }
        let mut why = PeerFault::NotTrusted;
        let mut child = Outbox::new();
        let Some(machine) = self.pairs.get_mut(pair) else { return Err(why) };
        let stepped = machine.step(tick, trust::Input::Express { nk }, &mut child);
        debug_assert!(stepped.is_ok(), "a pair's inputs can't be misused");
        for output in out.adopt(child) {
            match output {
                trust::Output::Admitted => return Ok(()),
                trust::Output::Refused(fault) => why = fault,
                trust::Output::SeekDkim(_)
                | trust::Output::SeekDomain(_)
                | trust::Output::Say { .. }
                | trust::Output::WantLink { .. }
                | trust::Output::Proposed { .. }
                | trust::Output::Changed { .. } => {}
            }
        }
        Err(why)
    }
}

/// Whether what is proven of two people's keys hangs on this being, or not being, what they are to each other.
const fn concerns_keys(state: trust::TrustState) -> bool {
    use trust::TrustState::{Revoked, Suspended, Trusted};
    matches!(state, Trusted | Suspended | Revoked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::mail::{Head, Inert, MailEnvelope, Source, Verdict};
    use crate::id::{Address, BlobRef, Domain, Hash, Mailbox};
    use crate::seal::{NodeIdentity, Secret};
    use crate::server::{Command, Input, Ours, Took};
    use crate::step::Store;
    use crate::time::Millis;

    fn server() -> Server {
        let ours = Ours {
            identity: NodeIdentity::new(&Secret::new([1; 32]), NodeKey([2; 32])),
            domains: BTreeSet::from([Domain::parse("a.example").unwrap()]),
            hint: None,
            offers: true,
            generation: 1,
        };
        Server::restore(ours, []).unwrap()
    }

    /// A stranger's mail with so many `Received` fields, and what the front door says of it.
    fn says(server: &mut Server, hops: usize) -> Option<Took> {
        let to = Rcpt { address: Address::parse("one@a.example").unwrap(), mailbox: Some(Mailbox("one".to_owned())) };
        let mail = MailIn {
            source: Source::Stranger,
            envelope: MailEnvelope { from: None, to: vec![to] },
            head: Head { message_id: None, hops, verdict: Verdict::Inert(Inert::Missing) },
            blob: BlobRef { sha256: Hash([3; 32]), len: 3 },
            received: String::new(),
        };
        let tick = Tick { now: Millis(1), entropy: [4; 32] };
        let mut out = Outbox::new();
        server.mail(&tick, MailId([5; 16]), mail, &mut out).unwrap();
        let (_, held) = out.split();
        let outputs = held.open(NoStore.commit(&[]).unwrap());
        outputs.into_iter().find_map(|output| if let Output::Took(_, took) = output { Some(took) } else { None })
    }

    struct NoStore;
    impl Store for NoStore {
        type Fault = core::convert::Infallible;
        fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
            Ok(())
        }
    }

    ///
    #[test]
    fn t_102_a_mail_of_too_many_hops_is_looping() {
        assert_eq!(says(&mut server(), limits::HOPS), Some(Took::Yes));
        assert_eq!(says(&mut server(), limits::HOPS + 1), Some(Took::Loop));
    }

    ///
    #[test]
    fn a_full_queue_takes_nothing_and_says_busy_on_both_carriers() {
        let mut server = server();
        server.waiting = limits::QUEUE_ENTRIES - 1;
        assert_eq!(says(&mut server, 0), Some(Took::Yes));
        server.waiting = limits::QUEUE_ENTRIES;
        assert_eq!(says(&mut server, 0), Some(Took::Busy));
        assert_eq!(PeerFault::Full { got: 1, max: 1 }.code(), Code::Busy);
    }

    #[test]
    fn a_stranger_who_made_room_is_not_brought_back_by_a_later_step_of_the_batch() {
        let mut server = server();
        let address = |text| Address::parse(text).unwrap();
        let pair = Pair { ours: address("one@a.example"), theirs: address("two@b.example") };
        server.hydrate(&Key::Trust(pair.clone()), None).unwrap();
        server.drop_pair(&pair, &mut Outbox::new());
        let wanted = server.wants(&Input::Command(Command::Block(pair.clone())));
        assert!(!wanted.contains(&Key::Trust(pair)), "the stored record would be believed again");
    }
}
