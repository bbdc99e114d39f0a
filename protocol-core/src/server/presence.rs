//! Who of our people is here, and who writes: what their devices whisper goes to the nodes of those who may know, and back.
//!
//! ```text
//!   device ── Choices, Active, Types ──▶ machine/presence (one a node) ── Vector, Types ──▶ the other node
//!   device ◀────── Vector, Types ───────        ▲        ◀──────────────── Vector, Types ──
//!                                                │
//!            trust: no line any more ────────────┘ silent at once, and forgotten
//! ```
//!
//! An entry exists while a person of ours agrees, and there is a line: what others whisper of anybody else takes no room, and
//! has nothing looked up. So nobody learns by it whether somebody is here, or has a line (attacks 95, 106). Nothing of this is
//! a record, and nothing of it waits: a crash forgets all, and devices say again what their people chose ([W-1], [W-9]).

use std::collections::{BTreeMap, BTreeSet};

use super::Server;
use super::here::HERE;
use super::io::{Event, Output, Peer, SessionOut};
use super::sessions::Online;
use super::timers::Who;
use crate::fault::PeerFault;
use crate::id::{Address, ConversationId, Domain, NodeKey, Pair, SessionId};
use crate::limits;
use crate::machine::link::{self, Link};
use crate::machine::presence::node::{self, Input, Presence, Types};
use crate::machine::trust::Trust;
use crate::step::{Machine, Outbox, Tick};
use crate::time::Millis;
use crate::wire::frame::Frame;
use crate::wire::whisper::{Choice, Delta, Whisper, Word};

/// What was whispered.
#[derive(Debug, Default)]
pub(super) struct Whispers {
    /// What is known with each node, by its name; [`HERE`]: of our own people among themselves.
    nodes: BTreeMap<NodeKey, Presence>,
    /// What people of ours have chosen, by contact.
    choices: BTreeMap<Address, BTreeMap<Address, Chosen>>,
}

/// Whether a person of ours agrees to see a contact, and be seen by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    /// The contact's node.
    nk: NodeKey,
    at: Millis,
    agrees: bool,
}

impl Whispers {
    /// Whether somebody who is here wants to know who else is: for as long as that, the link is worth a dial.
    pub(super) fn want_link(&self, nk: NodeKey, now: Millis) -> bool {
        self.nodes.get(&nk).is_some_and(|presence| presence.wants_link(now))
    }

    /// How many entries and choices are in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.nodes.values().map(Presence::len).sum::<usize>() + self.choices.values().map(BTreeMap::len).sum::<usize>()
    }
}

// Devices
impl Server {
    /// What it takes to hear what a device whispers.
    pub(super) fn whisper_wants(&self, who: &Online, whisper: &Whisper) -> BTreeSet<Pair> {
        match whisper {
            Whisper::Choices(choices) if who.listed => {
                let pair = |choice: &Choice| Pair { ours: who.address.clone(), theirs: choice.theirs.clone() };
                let pairs = choices.iter().map(pair);
                pairs
                    .flat_map(|pair| [Some(pair.mirrored()).filter(|_| self.is_here(&pair)), Some(pair)])
                    .flatten()
                    .collect()
            }
            Whisper::Choices(_) | Whisper::Vector(_) | Whisper::Types(..) | Whisper::Active => BTreeSet::new(),
        }
    }

    /// A device whispers. Whoever has but the password of a mailbox isn't heard: they are on no list (attack 73).
    pub(super) fn device_whispers(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        whisper: Whisper,
        out: &mut Outbox<Output>,
    ) {
        let heard = match whisper {
            Whisper::Vector(_) => {
                let why = PeerFault::Frame("what a node says to a device");
                let input = crate::machine::session::node::Input::Garbage(why);
                return self.run_session(tick, session, input, out);
            }
            _ if !who.listed => Err(PeerFault::Unlisted),
            Whisper::Choices(choices) => {
                choices.into_iter().try_for_each(|choice| self.chooses(tick, session, who, choice, out))
            }
            Whisper::Active => {
                self.is_active(tick, &who.address, out);
                Ok(())
            }
            Whisper::Types(person, conversation) if person == who.address => {
                self.types(tick, &person, conversation, out)
            }
            Whisper::Types(..) => Err(PeerFault::Frame("the person whose device it is")),
        };
        if let Err(why) = heard {
            out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why }));
        }
    }

    /// A person has chosen whether to see, and be seen by, a contact. Of what their devices say the latest counts, and what was
    /// taken back on one of them is taken back on all.
    fn chooses(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        choice: Choice,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let pair = Pair { ours: who.address.clone(), theirs: choice.theirs };
        let nk = self.pairs.get(&pair).and_then(Trust::line).ok_or(PeerFault::NotTrusted)?;
        if !self.has_line(&pair, Some(nk).filter(|nk| *nk != HERE)) {
            return Err(PeerFault::NotTrusted);
        }
        let now = Chosen { nk, at: choice.chosen.min(tick.now), agrees: choice.agrees };
        let of_person = self.whispers.choices.get(&pair.ours);
        let known = of_person.and_then(|choices| choices.get(&pair.theirs)).copied();
        if known.is_some_and(|known| (now.at, !now.agrees) < (known.at, !known.agrees)) {
            if let Some(known) = known.filter(|known| now.agrees && !known.agrees) {
                self.takes_back(session, &pair, known, out);
            }
            return Ok(());
        }
        let (got, max) = (of_person.map_or(0, BTreeMap::len), limits::PRESENCE_CONTACTS);
        if known.is_none() && got >= max {
            return Err(PeerFault::Full { got: got as u64, max: max as u64 });
        }
        if known.is_none() && self.whispers.in_memory() >= limits::PRESENCES {
            return Err(PeerFault::Full { got: self.whispers.in_memory() as u64, max: limits::PRESENCES as u64 });
        }
        self.whispers.choices.entry(pair.ours.clone()).or_default().insert(pair.theirs.clone(), now);
        self.has_entry(tick, nk, &pair, out);
        self.run_presence(tick, nk, Input::Agree(pair.clone(), now.agrees), out);
        if now.agrees {
            // What is seen may be no news to the others of the person's devices.
            let shown = self.whispers.nodes.get(&nk).and_then(|presence| presence.shows(&pair));
            let word = shown.map(Word::Shows);
            word.into_iter().for_each(|word| self.whisper_to(session, delta_to(&pair, word), out));
        } else if known.is_none_or(|known| known.agrees) {
            let others: Vec<SessionId> = self.listed_sessions(&pair.ours).filter(|other| *other != session).collect();
            others.into_iter().for_each(|other| self.takes_back(other, &pair, now, out));
        }
        Ok(())
    }

    /// Tells a device what its person has taken back on another. It is told of nothing else: that the person agrees, a node
    /// can't know better than they.
    fn takes_back(&self, session: SessionId, pair: &Pair, known: Chosen, out: &mut Outbox<Output>) {
        let choice = Choice { theirs: pair.theirs.clone(), chosen: known.at, agrees: false };
        self.whisper_to(session, Whisper::Choices(vec![choice]), out);
    }

    /// A person is here.
    fn is_active(&mut self, tick: &Tick, ours: &Address, out: &mut Outbox<Output>) {
        let choices = self.whispers.choices.get(ours).into_iter().flat_map(BTreeMap::values);
        let nodes: BTreeSet<NodeKey> = choices.filter(|chosen| chosen.agrees).map(|chosen| chosen.nk).collect();
        for nk in nodes {
            self.run_presence(tick, nk, Input::Active(ours.clone()), out);
            if nk != HERE && !self.links.get(&nk).is_some_and(Link::is_up) {
                self.want_link(tick, nk, out);
            }
        }
    }

    /// A person of ours writes: the nodes of the others hear of it.
    fn types(
        &mut self,
        tick: &Tick,
        ours: &Address,
        conversation: ConversationId,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let members = self.members_of(conversation);
        if !members.contains(&(ours.clone(), HERE)) {
            return Err(PeerFault::NoConversation);
        }
        let count = members.len();
        let mut others: BTreeMap<NodeKey, BTreeSet<Address>> = BTreeMap::new();
        for (theirs, nk) in members.into_iter().filter(|(theirs, _)| theirs != ours) {
            others.entry(nk).or_default().insert(theirs);
        }
        for (nk, to) in others {
            for theirs in to.clone() {
                self.has_entry(tick, nk, &Pair { ours: ours.clone(), theirs }, out);
            }
            let types = Types { who: ours.clone(), conversation, members: count, to };
            self.run_presence(tick, nk, Input::Types(types), out);
        }
        Ok(())
    }

    /// Who is in a conversation, and at which node; nobody, where it isn't here.
    fn members_of(&self, conversation: ConversationId) -> Vec<(Address, NodeKey)> {
        let log = self.talks.log(conversation).into_iter();
        log.flat_map(|log| log.members().map(|(address, nk)| (address.clone(), nk.unwrap_or(HERE)))).collect()
    }

    fn listed_sessions(&self, ours: &Address) -> impl Iterator<Item = SessionId> {
        self.online(ours).filter(|(_, who)| who.listed).map(|(session, _)| session)
    }

    fn whisper_to(&self, session: SessionId, whisper: Whisper, out: &mut Outbox<Output>) {
        if self.online_at(session).is_some() {
            out.emit(Output::Session(session, SessionOut::Send(Frame::Whisper(whisper))));
        }
    }

    fn whisper_to_all(&self, ours: &Address, whisper: &Whisper, out: &mut Outbox<Output>) {
        self.listed_sessions(ours).for_each(|session| self.whisper_to(session, whisper.clone(), out));
    }
}

// Nodes
impl Server {
    /// Another node whispers. What concerns nobody of ours, or nobody who agrees, is passed over.
    pub(super) fn node_whispers(&mut self, tick: &Tick, nk: NodeKey, whisper: Whisper, out: &mut Outbox<Output>) {
        match whisper {
            Whisper::Vector(deltas) => {
                let Some(presence) = self.whispers.nodes.get(&nk) else { return };
                let known = |delta: &Delta| presence.has(&Pair { ours: delta.to.clone(), theirs: delta.of.clone() });
                let deltas: Vec<Delta> = deltas.into_iter().filter(known).collect();
                if !deltas.is_empty() {
                    self.run_presence(tick, nk, Input::Vector(deltas), out);
                }
            }
            Whisper::Types(who, conversation) => self.typed_there(tick, nk, who, conversation, out),
            Whisper::Active | Whisper::Choices(_) => {
                let why = PeerFault::Frame("what one node whispers to another");
                out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
            }
        }
    }

    /// A person of another node writes: those of ours who are in the conversation, and have a line with them, hear it.
    fn typed_there(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        who: Address,
        conversation: ConversationId,
        out: &mut Outbox<Output>,
    ) {
        let members = self.members_of(conversation);
        if !members.contains(&(who.clone(), nk)) {
            let why = PeerFault::NoConversation;
            return out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
        }
        let count = members.len();
        let ours = members.into_iter().filter(|(ours, at)| *at == HERE && *ours != who);
        let to: BTreeSet<Address> = ours.map(|(ours, _)| ours).collect();
        for ours in to.clone() {
            self.has_entry(tick, nk, &Pair { ours, theirs: who.clone() }, out);
        }
        let types = Types { who, conversation, members: count, to };
        if self.whispers.nodes.contains_key(&nk) {
            self.run_presence(tick, nk, Input::HeardTypes(types), out);
        } else {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why: PeerFault::NotTrusted }));
        }
    }

    /// The link with a node is up.
    pub(super) fn whispers_up(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        self.run_presence(tick, nk, Input::Up, out);
    }

    /// It isn't.
    pub(super) fn whispers_down(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        self.run_presence(tick, nk, Input::Down, out);
    }

    /// Two have no line any more: silent at once, and what was chosen is void.
    pub(super) fn whispers_part(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
        if let Some(choices) = self.whispers.choices.get_mut(&pair.ours) {
            choices.remove(&pair.theirs);
            if choices.is_empty() {
                self.whispers.choices.remove(&pair.ours);
            }
        }
        let with = self.whispers.nodes.iter().filter(|(_, presence)| presence.has(pair));
        let with: Vec<NodeKey> = with.map(|(nk, _)| *nk).collect();
        for nk in with {
            self.run_presence(tick, nk, Input::Line(pair.clone(), false), out);
            if nk == HERE {
                // Either may end it, for both.
                self.run_presence(tick, nk, Input::Line(pair.mirrored(), false), out);
            }
        }
    }

    /// A domain is blocked: nobody there hears, or is heard.
    pub(super) fn whispers_block(&mut self, tick: &Tick, domain: &Domain, out: &mut Outbox<Output>) {
        let chosen =
            self.whispers.choices.iter().flat_map(|(ours, choices)| choices.keys().map(move |theirs| (ours, theirs)));
        let chosen = chosen.map(|(ours, theirs)| Pair { ours: ours.clone(), theirs: theirs.clone() });
        let known = self.whispers.nodes.values().flat_map(Presence::pairs).cloned();
        let gone: BTreeSet<Pair> = known.chain(chosen).filter(|pair| pair.theirs.domain() == domain).collect();
        gone.iter().for_each(|pair| self.whispers_part(tick, pair, out));
    }

    /// Somebody's lease may have ended.
    pub(super) fn whispers_due(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        self.run_presence(tick, nk, Input::Wake, out);
    }
}

// The machines
impl Server {
    /// Sees that there is an entry for two who have a line, and none for others; within this node for both ways.
    fn has_entry(&mut self, tick: &Tick, nk: NodeKey, pair: &Pair, out: &mut Outbox<Output>) {
        let line = self.has_line(pair, Some(nk).filter(|nk| *nk != HERE));
        if line && !self.whispers.nodes.contains_key(&nk) {
            let presence = if nk == HERE { Presence::within() } else { Presence::new() };
            self.whispers.nodes.insert(nk, presence);
            if self.links.get(&nk).is_some_and(Link::is_up) {
                self.run_presence(tick, nk, Input::Up, out);
            }
        }
        self.run_presence(tick, nk, Input::Line(pair.clone(), line), out);
        if nk == HERE {
            self.run_presence(tick, nk, Input::Line(pair.mirrored(), line), out);
        }
    }

    /// Tells the machine of a node something, and does what it wants.
    fn run_presence(&mut self, tick: &Tick, nk: NodeKey, input: Input, out: &mut Outbox<Output>) {
        let Some(presence) = self.whispers.nodes.get_mut(&nk) else { return };
        // An entry that was made for what follows has nothing to say yet.
        let keeps = matches!(input, Input::Line(_, true) | Input::Up);
        let mut child = Outbox::new();
        let stepped = presence.step(tick, input, &mut child);
        debug_assert!(stepped.is_ok(), "what is whispered can't be misused");
        if !keeps {
            presence.rest();
        }
        self.timers.set(Who::Whisper(nk), presence.deadline());
        if !keeps && presence.is_empty() {
            self.whispers.nodes.remove(&nk);
        }
        for output in out.adopt(child) {
            match output {
                node::Output::Say(Whisper::Vector(deltas)) if nk == HERE => {
                    self.node_whispers(tick, nk, Whisper::Vector(deltas), out);
                }
                node::Output::Say(Whisper::Types(who, conversation)) if nk == HERE => {
                    self.typed_there(tick, nk, who, conversation, out);
                }
                node::Output::Say(whisper) => self.run_link(tick, nk, link::Input::Whisper(whisper), out),
                node::Output::Shows(pair, shown) => {
                    let word = shown.map_or(Word::Silent, Word::Shows);
                    self.whisper_to_all(&pair.ours, &delta_to(&pair, word), out);
                }
                node::Output::Types(who, conversation, to) => {
                    let whisper = Whisper::Types(who, conversation);
                    to.iter().for_each(|ours| self.whisper_to_all(ours, &whisper, out));
                }
                node::Output::Refused(why) => {
                    out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
                }
            }
        }
    }
}

/// What our person sees of the other, for their devices.
fn delta_to(pair: &Pair, word: Word) -> Whisper {
    Whisper::Vector(vec![Delta { of: pair.theirs.clone(), to: pair.ours.clone(), word }])
}
