//! What is said in an entry of the log: opened, kept, shown; or said again, where somebody couldn't open it.
//!
//! One entry that can't be taken never stops the next (attack 87): it is reported, to the person and, sealed, to its author.

use super::inner::{Inner, Read, What as Said};
use super::io::{self, Author, Event as Told, Failure, Mark, Output, Who};
use super::said::{By, Draft, Kept};
use super::timers::What;
use super::{Client, Declined};
use crate::fault::PeerFault;
use crate::id::{ContentId, ConversationId};
use crate::limits;
use crate::seal::mls::{Member, Opened};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::wire::cbor::Malformed;
use crate::wire::talk::Event;

impl Client {
    /// A sealed message of another device.
    pub(super) fn message(&mut self, tick: &Tick, event: &Event, bytes: &[u8], out: &mut Outbox<Output>) {
        let (id, seq) = (event.conversation, event.seq);
        self.said.insert((id, seq), None);
        let Some(talk) = self.talks.get_mut(&id) else { return };
        if talk.joined.is_none() {
            // A new device sees what comes from its joining on; one that was in asks for the rest when it is in again.
            if talk.renewed.0 > 0 {
                talk.not_opened(seq);
                let why = PeerFault::Sealed("this device is outside");
                Self::tell(Told::NotOpened { conversation: id, seq, why }, out);
            }
            return;
        }
        let Some(Some(group)) = self.groups.get_mut(&id) else { return };
        let opened = group.open(tick, bytes, out).and_then(|opened| {
            let (dk, generation) = (opened.member.dk, opened.aad.generation);
            if talk.is_new(dk, opened.epoch, generation, group.epoch()) { Ok(opened) } else { Err(PeerFault::Again) }
        });
        match opened.and_then(|opened| self.read(&opened).map(|read| (opened, read))) {
            Ok((opened, read)) => {
                if let Some(head) = opened.aad.head {
                    self.named_head(id, head, seq, out);
                }
                self.was_said(tick, event, opened, read, out);
            }
            // The hub, or somebody, says the same again: nothing is lost by it.
            Err(PeerFault::Again) => Self::refuse(Who::Conversation(id), PeerFault::Again, out),
            Err(why) => {
                Self::tell(Told::NotOpened { conversation: id, seq, why }, out);
                self.not_opened(tick, id, seq, out);
            }
        }
    }

    fn read(&self, opened: &Opened) -> Result<Read, PeerFault> {
        Inner::read(&opened.plaintext).map_err(|Malformed(what)| PeerFault::Sealed(what))
    }

    /// What came out of the seal.
    fn was_said(&mut self, tick: &Tick, event: &Event, opened: Opened, read: Read, out: &mut Outbox<Output>) {
        let (id, seq) = (event.conversation, event.seq);
        let member = opened.member;
        let own = member.address == self.ours.address;
        let Read::Known(inner) = read else {
            let raw = Some(opened.plaintext);
            let content = ContentId(sha256(&[b"postline/1 unknown\0", &id.0, &seq.to_be_bytes()]).0);
            return self.keep(id, seq, kept(&member, content, tick.now, None, raw), out);
        };
        let Some(talk) = self.talks.get_mut(&id) else { return };
        match inner.what {
            Said::Text { body, again } => {
                if again.is_some_and(|first| !talk.unopened.remove(&first)) {
                    return;
                }
                if !own {
                    talk.heard = seq;
                }
                let at = inner.at.min(tick.now);
                self.keep(id, seq, kept(&member, inner.id, at, Some(body.clone()), None), out);
                let author = self.author(&member);
                let said = io::Said { conversation: id, seq, id: inner.id, author, at, body };
                // Until our Have of it, which waits for the commit, the node and the hub hold it: after a crash it comes
                // again, is opened again, by the key that the last snapshot has, and told again under the same seq and id.
                Self::tell_early(Told::Said(said), out);
            }
            Said::Read { seq: upto } if own => {
                let upto = upto.min(seq);
                if upto > talk.told {
                    (talk.seen, talk.told) = (talk.seen.max(upto), upto);
                    Self::tell(Told::ReadElsewhere { conversation: id, seq: upto }, out);
                }
            }
            Said::Read { seq: upto } => {
                let (before, upto) = (talk.read_by, upto.min(seq));
                if upto > before {
                    talk.read_by = upto;
                    self.rise(id, before, upto, &Mark::Read, out);
                }
            }
            Said::NotOpened { seq: which } => {
                let live = self.live(id);
                if which < seq && live.repairs.len() < limits::CLIENT_BATCH {
                    live.repairs.insert((which, member.address, member.dk));
                    self.timers.by(What::Talk(id), tick.now);
                }
            }
            Said::Compare { bytes } => self.compare_said(tick, &member, &bytes, id, out),
            Said::Compared { ak } => {
                // Only what the person's own devices say of it counts.
                let with = talk.with.clone();
                if own {
                    self.compared(&with, ak, out);
                }
            }
            Said::History { of, to, told } => {
                if own && of == id && Some(to) == self.dk() {
                    self.history(id, told, out);
                }
            }
        }
    }

    fn author(&self, member: &Member) -> Author {
        Author {
            address: member.address.clone(),
            dk: member.dk,
            level: self.level_of(&member.address),
            hosted: member.hosted,
            own: member.address == self.ours.address,
        }
    }

    /// Keeps a change of ours: its node doesn't bring it again, and where the group is lost, one joins by it.
    pub(super) fn keep_change(&mut self, id: ConversationId, seq: u64, bytes: Vec<u8>, out: &mut Outbox<Output>) {
        let kept = Kept { by: None, id: ContentId([0; 32]), at: self.now, body: None, raw: Some(bytes) };
        self.keep(id, seq, kept, out);
    }

    pub(super) fn keep(&mut self, id: ConversationId, seq: u64, kept: Kept, out: &mut Outbox<Output>) {
        out.save(kept.record(id, seq));
        self.said.insert((id, seq), Some(kept));
    }

    /// Something of this device's came back: it has its place.
    pub(super) fn own_message(&mut self, event: &Event, draft: &Draft, out: &mut Outbox<Output>) {
        let (id, seq) = (event.conversation, event.seq);
        self.said.insert((id, seq), None);
        let Ok(Read::Known(inner)) = Inner::read(&draft.inner) else { return };
        if let Said::Text { body, again: None } = inner.what {
            let kept = Kept { by: None, id: inner.id, at: inner.at, body: Some(body), raw: None };
            self.keep(id, seq, kept, out);
        }
    }

    /// Tells the author, sealed, that this device can't open an entry. Bounded: nobody is made to say things again without
    /// end (attack 84).
    pub(super) fn not_opened(&mut self, tick: &Tick, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        if let Some(talk) = self.talks.get_mut(&id) {
            talk.not_opened(seq);
        }
        if self.live(id).asking.take(tick.now, limits::REPORTS) {
            self.control(tick, id, Said::NotOpened { seq }, out);
        }
    }

    /// Says again what a device couldn't open, where it is ours: under its old name, and not too often (attack 85).
    pub(super) fn repair(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        for (seq, reader, dk) in self.live(id).repairs.clone() {
            let Some(kept) = self.said.get(&(id, seq)) else { continue };
            let ours = kept.clone().filter(|kept| kept.by.is_none());
            let live = self.live(id);
            live.repairs.remove(&(seq, reader.clone(), dk));
            let Some((content, at, body)) = ours.and_then(|kept| Some((kept.id, kept.at, kept.body?))) else {
                continue;
            };
            let known = live.asked.contains_key(&dk) || live.asked.len() < limits::LEAVES;
            let again = known && live.asked.entry(dk).or_default().take(tick.now, limits::REPAIRS);
            if again {
                let what = Said::Text { body, again: Some(seq) };
                self.draft(tick, Inner { id: content, at, what }, id, out);
            }
            Self::tell(Told::NotOpenedBy { conversation: id, id: content, reader, dk, again }, out);
        }
        if !self.live(id).repairs.is_empty() {
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// What can't be said any more.
    pub(super) fn give_up(&self, draft: &Draft, why: Failure, out: &mut Outbox<Output>) {
        let Ok(Read::Known(inner)) = Inner::read(&draft.inner) else { return };
        if let Said::Text { again: None, .. } = inner.what {
            let mark = Mark::Failed(why);
            Self::tell(Told::Mark { conversation: Some(draft.talk), id: inner.id, seq: None, mark }, out);
        }
    }

    /// The person has seen everything up to here.
    pub(super) fn read_up_to(&mut self, tick: &Tick, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get_mut(&id) else {
            return Self::decline(Declined::NoConversation(id), out);
        };
        let seen = seq.min(talk.seq);
        if seen <= talk.seen {
            return;
        }
        talk.seen = seen;
        out.save(talk.record());
        // Where nothing of theirs is new in it, there is nothing to tell.
        if talk.heard > talk.told {
            self.timers.by(What::Read(id), Self::later(tick, limits::READ_MS));
        }
    }

    /// Tells the others, and the person's other devices, what was read.
    pub(super) fn tell_read(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(talk) = self.talks.get_mut(&id).filter(|talk| talk.seen > talk.told && talk.joined.is_some()) else {
            return;
        };
        talk.told = talk.seen;
        let seq = talk.seen;
        out.save(talk.record());
        self.control(tick, id, Said::Read { seq }, out);
    }
}

fn kept(member: &Member, id: ContentId, at: crate::time::Millis, body: Option<Vec<u8>>, raw: Option<Vec<u8>>) -> Kept {
    let by = By { author: member.address.clone(), dk: member.dk, hosted: member.hosted };
    Kept { by: Some(by), id, at, body, raw }
}
