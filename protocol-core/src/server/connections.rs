//! Connections: from when one is up until its other end has proven a key, and what comes over it then.
//!
//! ```text
//!   Up ─▶ greeting ─┬─▶ proven: the node of a pair, or one that something waits for ─▶ its link has it
//!                   ├─▶ a stranger's key: Bye, as to a wrong key
//!                   └─▶ failed, or left ─▶ closed; the link that dialled learns that this was not it
//! ```

use super::io::{Dial, Event, LinkIn, LinkOut, Output, Peer};
use super::timers::Who;
use super::{Conn, Greet, Server};
use crate::fault::{Code, Misuse, PeerFault};
use crate::id::{LinkId, NodeKey};
use crate::limits;
use crate::machine::greeting::{self, Greeting};
use crate::machine::link;
use crate::step::{Outbox, Tick};
use crate::wire::frame::{Domains, Frame};

// What comes
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
}

// Greetings
impl Server {
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
