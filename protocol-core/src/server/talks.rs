//! Conversations between two: what devices and nodes say about them finds its log, if they may.
//!
//! ```text
//!   device ── Post, Have, Ask Range ──▶ its own node ─┬─ the hub is here ──▶ log
//!                                                     └─ it is elsewhere ──▶ posts ── Post ──▶ link
//!   node ──── Post, Have, Ask Range ──▶ the hub ──▶ log
//!   hub ───── Event, Heads, Delivered, Unposted ──▶ a member's node ──▶ log, posts, devices
//! ```
//!
//! A conversation of two is named by their line: `wire::log::direct` of its T2. Its hub is the node of whoever made the
//! offer that the line grew from. Only the two may create it, both are in it from the first, and what either node says
//! goes on only while there is a line: where there is none, a node hears what it would hear of a conversation that never
//! was ([C-2]), and nothing that was taken is lost.
//!
//! Of their devices only those take part that the newest list which is known here names: who has but the password of a
//! mailbox puts nothing into a log (attack 73). What it could put there, a commit that is none, would be one more that
//! everybody has to pass over.

use super::Server;
use super::here::HERE;
use super::io::{Event, Output, Peer};
use super::logs::Gate;
use super::sessions::Online;
use crate::fault::{Code, PeerFault};
use crate::id::{Address, ConversationId, NodeKey, Pair, SessionId};
use crate::machine::link;
use crate::machine::log::{self, Log, Reader, Via};
use crate::machine::trust::Trust;
use crate::step::{Outbox, Tick};
use crate::wire::log::{direct, tag};
use crate::wire::talk::{self, Kind, Origin, Post, Question, Talk};

/// Where a post goes.
enum Way {
    /// Into a log of this hub.
    Here,
    /// To a hub elsewhere, by this line.
    There(NodeKey, Pair),
}

// Devices
impl Server {
    /// A device is there: Ready was said to it, and its lines.
    pub(super) fn device_ready(&mut self, tick: &Tick, session: SessionId, who: &Online, _: &mut Outbox<Output>) {
        if who.listed {
            self.comes(tick, Via::Session(session), Some(&who.address), None);
        }
    }

    /// A device said something about a conversation: a Post, a Have, or a question for a range of a log.
    pub(super) fn talk_from_device(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        talk: Talk,
        out: &mut Outbox<Output>,
    ) {
        let via = Via::Session(session);
        let refused = match talk {
            Talk::Post(post) => {
                let (conversation, origin) = (post.conversation, post.origin);
                let posted = self.post_from_device(tick, via, who, post, out);
                if let Err(why) = &posted {
                    if !who.behind {
                        // The number is used all the same.
                        self.note_number(who.dk, origin.number, out);
                    }
                    self.say_to(session, Talk::Unposted { conversation, origin, code: why.code() }, out);
                }
                posted
            }
            Talk::Have { conversation, seq } => self.reads(tick, via, conversation, who, out).map(|()| {
                self.step_log(tick, conversation, log::Input::Have(via, seq), out);
                self.feed_log(tick, conversation, out);
            }),
            Talk::Ask { number, what: Question::Range { conversation, from, to } } => {
                let reads = self.reads(tick, via, conversation, who, out);
                match &reads {
                    Ok(()) => {
                        self.step_log(tick, conversation, log::Input::Range { via, number, from, to }, out);
                        self.feed_log(tick, conversation, out);
                    }
                    Err(why) => self.say_to(session, Talk::Answer { number, what: Err(why.code()) }, out),
                }
                reads
            }
            // It can't take more of this log now: nothing of it is on its way to it, so that others go on (attack 87).
            Talk::Unposted { conversation, .. } => self.reads(tick, via, conversation, who, out).map(|()| {
                self.step_log(tick, conversation, log::Input::Unwanted(via), out);
            }),
            Talk::Event(_)
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Ask { .. }
            | Talk::Answer { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => Ok(()),
        };
        if let Err(why) = refused {
            out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why }));
        }
    }

    /// Sees that a device reads a log of its own person's.
    fn reads(
        &mut self,
        tick: &Tick,
        via: Via,
        id: ConversationId,
        who: &Online,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        is_listed(who)?;
        let log = self.talks.log(id).ok_or(PeerFault::NoConversation)?;
        if !log.members().any(|(address, nk)| *address == who.address && nk.is_none()) {
            return Err(PeerFault::NoConversation);
        }
        if !log.is_attached(via) {
            let reader = Reader::Device(tag(id, who.dk), who.address.clone());
            self.step_log(tick, id, log::Input::Attach(via, reader), out);
        }
        Ok(())
    }

    fn post_from_device(
        &mut self,
        tick: &Tick,
        via: Via,
        who: &Online,
        post: Post,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let id = post.conversation;
        if post.origin.device != tag(id, who.dk) {
            return Err(PeerFault::Frame("a post of the device that brings it"));
        }
        self.may_write(who, post.origin.number)?;
        is_listed(who)?;
        match self.way_of(&who.address, &post, out)? {
            Way::Here => {
                self.take_number(who, post.origin.number, out)?;
                self.reads(tick, via, id, who, out)?;
                self.step_log(tick, id, log::Input::Post(via, Box::new(post)), out);
                self.feed_log(tick, id, out);
                Ok(())
            }
            Way::There(hub, pair) => self.relay_post(tick, hub, who, pair, post, out),
        }
    }

    /// Where a post of a person of ours goes. A conversation that begins here has its log then.
    fn way_of(&mut self, ours: &Address, post: &Post, out: &mut Outbox<Output>) -> Result<Way, PeerFault> {
        let id = post.conversation;
        if let Some(log) = self.talks.log(id) {
            if !log.members().any(|(address, nk)| address == ours && nk.is_none()) {
                return Err(PeerFault::NoConversation);
            }
            if !self.may_post(id, ours) {
                return Err(PeerFault::NotTrusted);
            }
            let hub = log.hub();
            let theirs = self.other_member(id, ours).ok_or(PeerFault::NoConversation)?;
            let pair = Pair { ours: ours.clone(), theirs };
            return Ok(hub.map_or(Way::Here, |hub| Way::There(hub, pair)));
        }
        let pair = pair_in(&post.members, ours).filter(|_| post.kind == Kind::Create);
        let pair = pair.ok_or(PeerFault::NoConversation)?;
        let nk = self.line_named(&pair, id)?;
        if nk == HERE {
            let members = post.members.iter().map(|address| (address.clone(), None)).collect();
            self.begin_log(Log::new(id, None, members), out)?;
            return Ok(Way::Here);
        }
        if !self.pairs.get(&pair).is_some_and(Trust::offered) {
            return Ok(Way::There(nk, pair));
        }
        self.begin_log(Log::new(id, None, at_home(&post.members, &pair, nk)), out)?;
        Ok(Way::Here)
    }

    /// The node of the other of two whose line names this conversation (attack 81).
    fn line_named(&self, pair: &Pair, id: ConversationId) -> Result<NodeKey, PeerFault> {
        let trust = self.pairs.get(pair).ok_or(PeerFault::NotTrusted)?;
        let nk = trust.line().ok_or(PeerFault::NotTrusted)?;
        if !self.has_line(pair, Some(nk).filter(|nk| *nk != HERE)) {
            return Err(PeerFault::NotTrusted);
        }
        if trust.t2().map(direct) == Some(id) { Ok(nk) } else { Err(PeerFault::NoConversation) }
    }
}

// Nodes
impl Server {
    /// A link is up: what its node missed goes, and what waits for its hub.
    pub(super) fn talks_up(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        if let Some(via) = self.link_to(nk) {
            if self.talks.is_behind(nk) {
                self.comes(tick, via, None, Some(nk));
            }
            self.send_posts(tick, nk, out);
        }
    }

    /// Two have a line, again perhaps: what their hub holds back for want of one goes on.
    pub(super) fn talks_resume(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
        let Some(trust) = self.pairs.get(pair) else { return };
        let (Some(nk), Some(id)) = (trust.line(), trust.t2().map(direct)) else { return };
        if nk == HERE {
            return;
        }
        if trust.offered() {
            self.resume_log(tick, id);
        } else {
            // Whatever of it is there: the hub then knows that it is wanted.
            let what = Question::Range { conversation: id, from: 1, to: 1 };
            self.run_link(tick, nk, link::Input::Talk(Talk::Ask { number: 0, what }), out);
        }
    }

    /// A line has gone: the node at its other end reads no log any more that it stood behind, and hears of no mark (46).
    pub(super) fn talks_part(&mut self, tick: &Tick, theirs: &Address, out: &mut Outbox<Output>) {
        let with = |log: &&Log| log.is_hub() && log.members().any(|(address, nk)| address == theirs && nk.is_some());
        let with: Vec<ConversationId> =
            self.talks.logs.values().flatten().filter(with).map(Log::conversation).collect();
        for id in with {
            self.part_readers(tick, id, out);
        }
    }

    /// A node said something about a conversation.
    pub(super) fn talk_from_node(&mut self, tick: &Tick, nk: NodeKey, talk: Talk, out: &mut Outbox<Output>) {
        let Some(via) = self.link_to(nk) else { return };
        let done = match talk {
            Talk::Post(post) => {
                let (conversation, origin) = (post.conversation, post.origin);
                let posted = self.post_from_node(tick, nk, via, post, out);
                if let Err(why) = &posted {
                    let talk = Talk::Unposted { conversation, origin, code: outside(why) };
                    self.run_link(tick, nk, link::Input::Talk(talk), out);
                }
                posted
            }
            Talk::Unposted { conversation, origin, code } => {
                if self.talks.log(conversation).is_some_and(Log::is_hub) {
                    self.step_log(tick, conversation, log::Input::Unwanted(via), out);
                } else {
                    self.not_taken(tick, nk, conversation, origin, code, out);
                }
                Ok(())
            }
            Talk::Event(event) => {
                let (conversation, number) = (event.conversation, event.seq);
                let came = self.event_from_hub(tick, nk, via, event, out);
                if let Err(why) = &came {
                    // Its hub keeps it, and says it again when there is a line.
                    let origin = Origin { device: crate::id::DeviceTag([0; 8]), number };
                    let talk = Talk::Unposted { conversation, origin, code: outside(why) };
                    self.run_link(tick, nk, link::Input::Talk(talk), out);
                }
                came
            }
            Talk::Have { conversation, seq } => self.is_read_by(tick, nk, via, conversation, out).map(|()| {
                self.step_log(tick, conversation, log::Input::Have(via, seq), out);
                self.feed_log(tick, conversation, out);
            }),
            Talk::Heads(heads) => {
                self.heads_came(tick, nk, heads, out);
                Ok(())
            }
            Talk::Delivered { conversation, member, seq } => {
                if self.talks.log(conversation).is_some_and(|log| log.hub() == Some(nk)) {
                    self.step_log(tick, conversation, log::Input::Delivered(via, member, seq), out);
                    Ok(())
                } else {
                    Err(PeerFault::NoConversation)
                }
            }
            Talk::Ask { number, what: Question::Range { conversation, from, to } } => {
                let reads = self.is_read_by(tick, nk, via, conversation, out);
                match &reads {
                    Ok(()) => {
                        self.step_log(tick, conversation, log::Input::Range { via, number, from, to }, out);
                        self.feed_log(tick, conversation, out);
                    }
                    Err(why) => {
                        let talk = Talk::Answer { number, what: Err(outside(why)) };
                        self.run_link(tick, nk, link::Input::Talk(talk), out);
                    }
                }
                reads
            }
            // What follows a range comes as events.
            Talk::Answer { what: Ok(talk::Finding::Sent) | Err(_), .. } => Ok(()),
            Talk::Ask { .. }
            | Talk::Answer { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => Err(PeerFault::Frame("what one node says to another")),
        };
        if let Err(why) = done {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
        }
    }

    /// Sees that a member's node reads a log of this hub, while there is a line.
    fn is_read_by(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        via: Via,
        id: ConversationId,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let log = self.talks.log(id).filter(|log| log.is_hub()).ok_or(PeerFault::NoConversation)?;
        let (is_member, is_attached) = (log.nodes().any(|of| of == nk), log.is_attached(via));
        if !is_member || self.gate(tick, id, nk) != Gate::Open {
            return Err(PeerFault::NoConversation);
        }
        if !is_attached {
            self.step_log(tick, id, log::Input::Attach(via, Reader::Node(nk)), out);
        }
        Ok(())
    }

    fn post_from_node(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        via: Via,
        post: Post,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let id = post.conversation;
        let begins = self.talks.log(id).is_none() && post.kind == Kind::Create;
        if begins {
            let pair = self.pair_with(&post.members, nk).ok_or(PeerFault::NoConversation)?;
            if self.line_named(&pair, id)? != nk || !self.pairs.get(&pair).is_some_and(Trust::offered) {
                return Err(PeerFault::NoConversation);
            }
            self.lists_author(&post, nk)?;
            self.begin_log(Log::new(id, None, at_home(&post.members, &pair, nk)), out)?;
        }
        self.is_read_by(tick, nk, via, id, out)?;
        if !begins {
            self.lists_author(&post, nk)?;
        }
        self.step_log(tick, id, log::Input::Post(via, Box::new(post)), out);
        self.feed_log(tick, id, out);
        Ok(())
    }

    /// Whose lists say who may post by way of a node: its members' of the conversation. Of one that begins, of the pair.
    pub(super) fn authors_at(&self, post: &Post, nk: NodeKey) -> Vec<Address> {
        match self.talks.log(post.conversation) {
            Some(log) => log.members().filter(|(_, of)| *of == Some(nk)).map(|(address, _)| address.clone()).collect(),
            None => self.pair_with(&post.members, nk).into_iter().map(|pair| pair.theirs).collect(),
        }
    }

    /// Sees that a post is of a device that its person's newest list has, as far as it is known here. A node can name
    /// any of them: what it says of its own people's devices harms nobody else's.
    fn lists_author(&self, post: &Post, nk: NodeKey) -> Result<(), PeerFault> {
        let lists = |address: Address| {
            let chain = self.keys.known.get(&address).and_then(|known| known.chain.as_ref());
            chain.is_some_and(|chain| {
                chain.devices().any(|device| tag(post.conversation, device.dk) == post.origin.device)
            })
        };
        if self.authors_at(post, nk).into_iter().any(lists) { Ok(()) } else { Err(PeerFault::Unlisted) }
    }

    fn event_from_hub(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        via: Via,
        mut event: talk::Event,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let id = event.conversation;
        match self.talks.log(id).map(Log::hub) {
            Some(hub) => {
                if hub != Some(nk) || self.gate(tick, id, nk) != Gate::Open {
                    return Err(PeerFault::NoConversation);
                }
            }
            None => {
                let is_first = event.kind == Kind::Create && event.seq == 1;
                let pair = self.pair_with(&event.members, nk).filter(|_| is_first);
                let pair = pair.ok_or(PeerFault::NoConversation)?;
                if self.line_named(&pair, id)? != nk || self.pairs.get(&pair).is_some_and(Trust::offered) {
                    return Err(PeerFault::NoConversation);
                }
                self.begin_log(Log::new(id, Some(nk), at_home(&event.members, &pair, nk)), out)?;
            }
        }
        if let (None, Some(origin)) = (&event.bytes, event.origin) {
            event.bytes = self.bytes_of(id, origin);
        }
        self.step_log(tick, id, log::Input::Event(via, Box::new(event)), out);
        Ok(())
    }

    /// The pair that two members are, one of ours and one of that node.
    fn pair_with(&self, members: &[Address], nk: NodeKey) -> Option<Pair> {
        let ours = |address: &&Address| self.ours.domains.contains(address.domain());
        let pair = pair_in(members, members.iter().find(ours)?)?;
        (self.pairs.get(&pair)?.line() == Some(nk)).then_some(pair)
    }
}

/// Sees that a device takes part in conversations.
const fn is_listed(who: &Online) -> Result<(), PeerFault> {
    if who.listed { Ok(()) } else { Err(PeerFault::Unlisted) }
}

/// The pair of one of two members and the other.
pub(super) fn pair_in(members: &[Address], ours: &Address) -> Option<Pair> {
    let [first, second] = members else { return None };
    let theirs = match (first == ours, second == ours) {
        (true, false) => second,
        (false, true) => first,
        _ => return None,
    };
    Some(Pair { ours: ours.clone(), theirs: theirs.clone() })
}

/// Two members, each with their node.
fn at_home(members: &[Address], pair: &Pair, nk: NodeKey) -> Vec<(Address, Option<NodeKey>)> {
    members.iter().map(|address| (address.clone(), Some(nk).filter(|_| *address == pair.theirs))).collect()
}

/// What a node hears of a fault: blocked, unknown, no line and never been sound alike ([C-2]).
fn outside(why: &PeerFault) -> Code {
    Some(why.code()).filter(|code| *code != Code::NotTrusted).unwrap_or(Code::NoConversation)
}
