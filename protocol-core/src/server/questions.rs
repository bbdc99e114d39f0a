//! Questions about keys: those that devices and other nodes ask us, and those that we ask other nodes for them.
//!
//! ```text
//!   device ──Ask──▶ of its own person, or within this node ─▶ answered at once
//!                └─ of somebody elsewhere ─▶ asked there ─▶ answered when the answer comes, or ASK_MS is over
//!   node ──Ask──▶ a line, whose node it is? ─▶ answered at once; else NotTrusted, whoever is asked about
//! ```
//!
//! Only who has a line with somebody learns anything of their keys; blocked, unknown and never heard of sound alike
//! (attack 106). A crash forgets questions: they are asked again.

use std::collections::BTreeMap;

use super::Server;
use super::here::HERE;
use super::io::{Event, Output, Peer};
use super::sessions::Online;
use super::timers::Who;
use crate::fault::{Code, PeerFault};
use crate::id::{Address, NodeKey, Pair, SessionId};
use crate::limits;
use crate::machine::link;
use crate::machine::trust::Trust;
use crate::step::{Outbox, Tick};
use crate::store::Key;
use crate::time::Millis;
use crate::wire::talk::{Finding, Question, Talk};

/// The questions that other nodes have still to answer.
#[derive(Debug, Default)]
pub(super) struct Questions {
    last: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    nk: NodeKey,
    what: Question,
    whom: For,
    until: Millis,
    said: bool,
}

/// For whom something is asked.
#[derive(Clone, Debug)]
pub(super) enum For {
    /// A device, which calls it by this number.
    Device(SessionId, u64),
    /// Ourselves: what came about the keys of this pair can't be judged without.
    Keys(Pair, Vec<u8>),
}

impl Questions {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether a node has still to answer.
    pub(super) fn wait_for(&self, nk: NodeKey) -> bool {
        self.open.values().any(|open| open.nk == nk)
    }

    /// When the next one is given up.
    pub(super) fn due(&self) -> Option<Millis> {
        self.open.values().map(|open| open.until).min()
    }
}

impl Server {
    /// A device asks for keys.
    pub(super) fn asked(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        number: u64,
        what: Question,
        out: &mut Outbox<Output>,
    ) {
        match self.judge_question(tick, session, who, number, what, out) {
            Ok(None) => {}
            Ok(Some(finding)) => self.say_to(session, Talk::Answer { number, what: Ok(finding) }, out),
            Err(why) => {
                self.say_to(session, Talk::Answer { number, what: Err(why.code()) }, out);
                out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why }));
            }
        }
    }

    /// Answers a device's question, or asks elsewhere: then there is nothing to say yet.
    fn judge_question(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        number: u64,
        what: Question,
        out: &mut Outbox<Output>,
    ) -> Result<Option<Finding>, PeerFault> {
        let (Question::Lists { asker, whose, .. } | Question::Packages { asker, whose, .. }) = &what else {
            return Err(PeerFault::NoConversation);
        };
        if *asker != who.address {
            return Err(PeerFault::NotTrusted);
        }
        if *whose == who.address {
            return self.answer_here(tick, &what, Some(who.dk), out).map(Some);
        }
        let pair = Pair { ours: asker.clone(), theirs: whose.clone() };
        let line = self.pairs.get(&pair).and_then(Trust::line).filter(|_| !self.is_blocked(&pair));
        match line.ok_or(PeerFault::NotTrusted)? {
            HERE => self.answer_here(tick, &what, None, out).map(Some),
            nk => {
                let of_device = |open: &&Open| matches!(open.whom, For::Device(of, _) if of == session);
                let got = self.keys.questions.open.values().filter(of_device).count();
                if got >= limits::ASKS_PER_DEVICE {
                    return Err(PeerFault::Full { got: got as u64, max: limits::ASKS_PER_DEVICE as u64 });
                }
                self.ask_node(tick, nk, what, For::Device(session, number), out).map(|()| None)
            }
        }
    }

    /// Asks another node: at once, or as soon as its link is up.
    pub(super) fn ask_node(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        what: Question,
        whom: For,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let got = self.keys.questions.open.len();
        if got >= limits::ASKS {
            return Err(PeerFault::Full { got: got as u64, max: limits::ASKS as u64 });
        }
        self.keys.questions.last += 1;
        let open = Open { nk, what, whom, until: tick.now.plus(limits::ASK_MS), said: false };
        self.keys.questions.open.insert(self.keys.questions.last, open);
        self.set_keys_timer(tick);
        if self.links.get(&nk).is_some_and(link::Link::is_up) {
            self.ask_again(tick, nk, out);
        } else {
            self.want_link(tick, nk, out);
        }
        Ok(())
    }

    /// Says what a node, whose link is up, has not been asked yet.
    pub(super) fn ask_again(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        let mut say = Vec::new();
        for (number, open) in self.keys.questions.open.iter_mut().filter(|(_, open)| open.nk == nk && !open.said) {
            open.said = true;
            say.push(Talk::Ask { number: *number, what: open.what.clone() });
        }
        for talk in say {
            self.run_link(tick, nk, link::Input::Talk(talk), out);
        }
    }

    /// The link with a node is down: what it was asked is asked again on the next one.
    pub(super) fn unasked(&mut self, nk: NodeKey) {
        self.keys.questions.open.values_mut().filter(|open| open.nk == nk).for_each(|open| open.said = false);
    }

    /// Some have no line any more: what waits to be asked of the one for the other is not asked, and who asked hears so.
    pub(super) fn unask(&mut self, tick: &Tick, part: impl Fn(&Address, &Address) -> bool, out: &mut Outbox<Output>) {
        let of = |open: &Open| match &open.what {
            Question::Lists { asker, whose, .. } | Question::Packages { asker, whose, .. } => part(asker, whose),
            Question::Range { .. } => false,
        };
        let open = &self.keys.questions.open;
        let gone: Vec<u64> = open.iter().filter(|(_, open)| of(open)).map(|(number, _)| *number).collect();
        for number in gone {
            let Some(asked) = self.keys.questions.open.remove(&number) else { continue };
            if let For::Device(session, number) = asked.whom {
                self.say_to(session, Talk::Answer { number, what: Err(Code::NotTrusted) }, out);
            }
        }
        self.set_keys_timer(tick);
    }

    /// Another node answers.
    pub(super) fn answered(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        number: u64,
        what: Result<Finding, Code>,
        out: &mut Outbox<Output>,
    ) {
        // Late, or to nobody's question: its rate is the link's to bound.
        if self.keys.questions.open.get(&number).is_none_or(|open| open.nk != nk) {
            return;
        }
        let Some(open) = self.keys.questions.open.remove(&number) else { return };
        self.set_keys_timer(tick);
        let fits = match (&open.what, &what) {
            (Question::Lists { .. }, Ok(Finding::Lists(lists))) => lists.len() <= limits::LISTS_PER_ANSWER,
            (Question::Packages { .. }, Ok(Finding::Packages(packages))) => packages.len() <= limits::DEVICES,
            (_, Ok(_)) => false,
            (_, Err(_)) => true,
        };
        if !fits {
            let why = PeerFault::Frame("an answer to what was asked");
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
        }
        let what = if fits { what } else { Err(Code::Protocol) };
        match (open.whom, what) {
            (For::Device(session, number), what) => self.say_to(session, Talk::Answer { number, what }, out),
            (For::Keys(pair, waited), Ok(Finding::Lists(lists))) => {
                self.lists_came(tick, nk, &pair, &lists, waited, out);
            }
            // What waited is said again with the next link.
            (For::Keys(..), _) => {}
        }
    }

    /// Another node asks.
    pub(super) fn asked_by_node(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        number: u64,
        question: &Question,
        out: &mut Outbox<Output>,
    ) {
        let answer = match question {
            Question::Lists { asker, whose, .. } | Question::Packages { asker, whose, .. } => {
                let pair = Pair { ours: whose.clone(), theirs: asker.clone() };
                let line = self.pairs.get(&pair).and_then(Trust::line).filter(|_| !self.is_blocked(&pair));
                if line == Some(nk) { self.answer_here(tick, question, None, out) } else { Err(PeerFault::NotTrusted) }
            }
            Question::Range { .. } => Err(PeerFault::NoConversation),
        };
        let what = answer.as_ref().map_err(PeerFault::code).cloned();
        if let Err(why) = answer {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
        }
        self.run_link(tick, nk, link::Input::Talk(Talk::Answer { number, what }), out);
    }

    /// Gives up what was not answered in time.
    pub(super) fn expire_questions(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let late =
            self.keys.questions.open.iter().filter(|(_, open)| open.until <= tick.now).map(|(number, _)| *number);
        for number in late.collect::<Vec<_>>() {
            if let Some(Open { whom: For::Device(session, number), .. }) = self.keys.questions.open.remove(&number) {
                self.say_to(session, Talk::Answer { number, what: Err(Code::Timeout) }, out);
            }
        }
        self.set_keys_timer(tick);
    }

    /// A device is gone: nobody waits for what it asked.
    pub(super) fn forget_questions_of(&mut self, session: SessionId) {
        self.keys.questions.open.retain(|_, open| !matches!(open.whom, For::Device(of, _) if of == session));
    }

    /// When keys next want a wake: at once while lines are to be looked at, else when a question is given up.
    pub(super) fn set_keys_timer(&mut self, tick: &Tick) {
        let waits = !self.keys.unsettled.is_empty() || self.has_comers();
        let soon = waits.then_some(tick.now.plus(1));
        self.timers.set(Who::Keys, soon.or(self.keys.questions.due()));
    }

    /// What a question of another node, or its answer to ours, wants.
    pub(super) fn talk_wants(&self, nk: NodeKey, talk: &Talk) -> Vec<Key> {
        match talk {
            Talk::Ask {
                what: what @ (Question::Lists { asker, whose, .. } | Question::Packages { asker, whose, .. }),
                ..
            } => {
                let pair = Pair { ours: whose.clone(), theirs: asker.clone() };
                match self.pairs.get(&pair).map(Trust::line) {
                    None => vec![Key::Trust(pair)],
                    Some(line) if line == Some(nk) => self.question_wants(what),
                    Some(_) => Vec::new(),
                }
            }
            Talk::Answer { number, .. } => match self.keys.questions.open.get(number).map(|open| &open.whom) {
                Some(For::Keys(pair, _)) => self.keys_want(pair),
                Some(For::Device(..)) | None => Vec::new(),
            },
            Talk::Ask { what: Question::Range { .. }, .. }
            | Talk::Post(_)
            | Talk::Unposted { .. }
            | Talk::Event(_)
            | Talk::Have { .. }
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => Vec::new(),
        }
    }

    /// What something that a device publishes or asks wants.
    pub(super) fn device_talk_wants(&self, who: &Online, talk: &Talk) -> Vec<Key> {
        use crate::wire::talk::Publication;
        let mut keys = Vec::new();
        match talk {
            Talk::Publish { what: Publication::List(_), .. } => keys.extend(self.lines_want(&who.address)),
            Talk::Publish { what: Publication::Proof { theirs, .. }, .. } => {
                let pair = Pair { ours: who.address.clone(), theirs: theirs.clone() };
                keys.extend(self.keys_want(&pair));
                if self.is_here(&pair) {
                    keys.extend(self.keys_want(&Pair { ours: pair.theirs, theirs: pair.ours }));
                }
            }
            Talk::Publish { what: Publication::Packages { .. }, .. } => {
                if !self.keys.packages.contains_key(&(who.address.clone(), who.dk)) {
                    keys.push(Key::Packages(who.address.clone(), who.dk));
                }
            }
            Talk::Ask { what: what @ (Question::Lists { whose, .. } | Question::Packages { whose, .. }), .. } => {
                let pair = Pair { ours: who.address.clone(), theirs: whose.clone() };
                if *whose == who.address {
                    keys.extend(self.question_wants(what));
                } else {
                    match self.pairs.get(&pair).map(Trust::line) {
                        None => keys.push(Key::Trust(pair)),
                        Some(Some(HERE)) => keys.extend(self.question_wants(what)),
                        Some(Some(nk)) => {
                            let known = self.links.contains_key(&nk) && self.routes.contains_key(&nk);
                            keys.extend([Key::Peer(nk), Key::Route(nk)].into_iter().filter(|_| !known));
                        }
                        Some(None) => {}
                    }
                }
            }
            // Its pair: `wants` brings it.
            Talk::Publish { what: Publication::Block { .. }, .. } => {}
            Talk::Publish { what: Publication::Note { .. }, .. } => {
                if !self.keys.notes.contains_key(&who.address) {
                    keys.push(Key::Notes(who.address.clone()));
                }
            }
            // What follows it, too.
            Talk::Published { number, .. } => keys.extend(self.next_memo_wants(&who.address, who.dk, *number)),
            Talk::Ask { what: Question::Range { .. }, .. }
            | Talk::Post(_)
            | Talk::Unposted { .. }
            | Talk::Event(_)
            | Talk::Have { .. }
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Answer { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => {}
        }
        keys
    }
}
