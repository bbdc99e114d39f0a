//! Conversations, as far as sessions and links bring something about them here.
//!
//! This node has no hub yet: whatever is posted, acknowledged or asked for again is of no conversation that it knows, and
//! that is what the device hears.

use super::Server;
use super::io::{Event, Output, Peer};
use super::sessions::Online;
use crate::fault::PeerFault;
use crate::id::{NodeKey, SessionId};
use crate::machine::link;
use crate::step::{Outbox, Tick};
use crate::wire::talk::{Question, Talk};

impl Server {
    /// A device is there: Ready was said to it, and its lines.
    pub(super) fn device_ready(&mut self, _: &Tick, _: SessionId, _: &Online, _: &mut Outbox<Output>) {}

    /// A device said something about a conversation: a Post, a Have, or a question for a range of a log.
    pub(super) fn talk_from_device(
        &mut self,
        _: &Tick,
        session: SessionId,
        who: &Online,
        talk: Talk,
        out: &mut Outbox<Output>,
    ) {
        let code = PeerFault::NoConversation.code();
        match talk {
            Talk::Post(post) => {
                let (conversation, origin) = (post.conversation, post.origin);
                let code = self.take_number(who, origin.number, out).map_or_else(|why| why.code(), |()| code);
                self.say_to(session, Talk::Unposted { conversation, origin, code }, out);
            }
            Talk::Ask { number, what: Question::Range { .. } } => {
                self.say_to(session, Talk::Answer { number, what: Err(code) }, out);
            }
            Talk::Have { .. } => {
                let (peer, why) = (Peer::Device(who.dk), PeerFault::NoConversation);
                out.emit(Output::Event(Event::Refused { peer, why }));
            }
            Talk::Unposted { .. }
            | Talk::Event(_)
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Ask { .. }
            | Talk::Answer { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => {}
        }
    }

    /// Another node said something about a conversation.
    pub(super) fn talk_from_node(&mut self, tick: &Tick, nk: NodeKey, talk: Talk, out: &mut Outbox<Output>) {
        let code = PeerFault::NoConversation.code();
        let answer = match talk {
            Talk::Post(post) => Some(Talk::Unposted { conversation: post.conversation, origin: post.origin, code }),
            Talk::Ask { number, .. } => Some(Talk::Answer { number, what: Err(code) }),
            Talk::Unposted { .. }
            | Talk::Event(_)
            | Talk::Have { .. }
            | Talk::Heads(_)
            | Talk::Delivered { .. }
            | Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Answer { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => None,
        };
        out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why: PeerFault::NoConversation }));
        if let Some(talk) = answer {
            self.run_link(tick, nk, link::Input::Talk(talk), out);
        }
    }

    /// The batch ends: what is said once for many steps is said now.
    pub(super) fn batch_end(&mut self, _: &Tick, _: &mut Outbox<Output>) {}
}
