//! Pairs: what the trust of two people wants of the world, and what the world tells it.
//!
//! ```text
//!   a mail, a step, evidence, the person ──▶ trust::Trust ──┬▶ Say ──▶ the node's link, signed for that connection
//!                                                           ├▶ SeekDkim, SeekDomain ──▶ host ──▶ evidence, once for all who wait
//!                                                           ├▶ WantLink ──▶ its route is remembered, the link comes up
//!                                                           └▶ Changed ──▶ keys, talks, whispers and questions follow
//! ```

use std::collections::BTreeSet;

use super::Server;
use super::book::{Asked, Pending};
use super::here::HERE;
use super::io::{Event, Evidence, Output, Peer, Seek};
use super::timers::Who;
use crate::id::{MailId, NodeKey, Pair};
use crate::limits;
use crate::machine::{link, trust};
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::wire::frame::{Trust as TrustFrame, TrustStep};
use crate::wire::signed::OnConnection;

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
}

// What the node does for them
impl Server {
    /// Says a handshake step on the node's link; where it is down, the pair says it again once it is up.
    pub(super) fn say(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        pair: &Pair,
        step: TrustStep,
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

/// Whether what is proven of two people's keys hangs on this being, or not being, what they are to each other.
const fn concerns_keys(state: trust::TrustState) -> bool {
    use trust::TrustState::{Revoked, Suspended, Trusted};
    matches!(state, Trusted | Suspended | Revoked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Address, Domain};
    use crate::seal::{NodeIdentity, Secret};
    use crate::server::{Command, Input, Ours};

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
