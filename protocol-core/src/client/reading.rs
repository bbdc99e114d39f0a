//! What is said in an entry of the log: opened, kept, shown; or said again, where somebody couldn't open it.
//!
//! One entry that can't be taken never stops the next (attack 87): it is reported, to the person and, sealed, to its author.

use super::Client;
use super::controls::control_of;
use super::ending::Whose;
use super::inner::{Inner, Read, What as Said, apart};
use super::io::{Author, Declined, Event as Told, Output, Who};
use super::said::{By, Draft, Kept, Role};
use super::timers::What;
use crate::content::kind::Kind;
use crate::content::uri::Uri;
use crate::fault::PeerFault;
use crate::id::{ContentId, ConversationId, Identity};
use crate::limits;
use crate::machine::mark;
use crate::seal::mls::{KnownHead, Member, Opened};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::content::Content;
use crate::wire::mark::Position;
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
        match opened.and_then(|opened| read(id, &opened).map(|read| (opened, read))) {
            Ok((opened, (along, read))) => {
                if let Some(along) = along {
                    let at = if let Read::Known(inner) = &read { inner.at } else { tick.now };
                    self.has_read(tick, event, opened.member.identity, (along, at, opened.aad.head), out);
                }
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

    /// Somebody tells what they have read; the person on another device of theirs too.
    fn has_read(
        &mut self,
        tick: &Tick,
        event: &Event,
        who: Identity,
        (read, at, head): (Position, Millis, Option<KnownHead>),
        out: &mut Outbox<Output>,
    ) {
        if self.forbade_meanwhile(event.conversation, who, head) {
            return self.remind(tick, event.conversation, out);
        }
        self.mark(tick, event.conversation, mark::Input::Read { who, at: event.seq, read }, out);
        // What waits for it ends so long after it was told: never before it was said, whatever a clock says (attack 41).
        let whose = if self.identity() == Some(who) { Whose::Ourselves } else { Whose::Others };
        self.reading_counts(event.conversation, whose, at, out);
    }

    /// What came out of the seal.
    fn was_said(&mut self, tick: &Tick, event: &Event, opened: Opened, read: Read, out: &mut Outbox<Output>) {
        let (id, seq) = (event.conversation, event.seq);
        let member = opened.member;
        let own = member.address == self.ours.address;
        let Read::Known(inner) = read else {
            let name = ContentId(sha256(&[b"postline/1 unknown\0", &id.0, &seq.to_be_bytes()]).0);
            let kept = Kept::raw(Some(by(member)), name, tick.now, opened.plaintext);
            return self.keep(id, seq, kept, out);
        };
        let Some(talk) = self.talks.get_mut(&id) else { return };
        match inner.what {
            Said::Content { content, about, again } => {
                let place = match again {
                    Some(first) if !talk.unopened.remove(&first) => return,
                    Some(first) => first,
                    None => seq,
                };
                // What changes something, or is a sign at it, asks for no mark (attack 46).
                if !own && matches!(content.fields().kind(), Kind::Message) {
                    talk.heard = seq;
                }
                let who = member.address.clone();
                self.keep_said(tick, id, place, by(member), inner.at.min(tick.now), content, about, out);
                self.wrote(&who, id, out);
            }
            Said::Read { read } => {
                self.has_read(tick, event, member.identity, (read, inner.at, opened.aad.head), out);
            }
            Said::Control { control, again } => {
                let place = match again {
                    Some(first) if !talk.unopened.remove(&first) => return,
                    Some(first) => first,
                    None => seq,
                };
                self.keep_control(tick, (id, place), Some(by(member)), inner.at.min(tick.now), control, out);
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
                    self.history(tick, id, told, out);
                }
            }
        }
    }

    /// Keeps a content that somebody said: it is applied in its turn, or late.
    #[allow(clippy::too_many_arguments, reason = "all that is known of one content")]
    pub(super) fn keep_said(
        &mut self,
        tick: &Tick,
        conversation: ConversationId,
        seq: u64,
        by: By,
        at: Millis,
        content: Content,
        about: Option<u64>,
        out: &mut Outbox<Output>,
    ) {
        let id = content.id(&Uri::person(by.identity), &Uri::room(conversation));
        self.keep(conversation, seq, Kept::of(Some(by), id, at, content, about), out);
        self.apply_late(tick, conversation, seq);
    }

    pub(super) fn author(&self, by: &By) -> Author {
        Author {
            address: by.author.clone(),
            dk: by.dk,
            level: self.level_of(&by.author),
            hosted: by.hosted,
            own: by.author == self.ours.address,
        }
    }

    /// Keeps a change of ours: its node doesn't bring it again, and where the group is lost, one joins by it.
    pub(super) fn keep_change(&mut self, id: ConversationId, seq: u64, bytes: Vec<u8>, out: &mut Outbox<Output>) {
        let kept = Kept::raw(None, ContentId([0; 32]), self.now, bytes);
        self.keep(id, seq, kept, out);
    }

    pub(super) fn keep(&mut self, id: ConversationId, seq: u64, kept: Kept, out: &mut Outbox<Output>) {
        out.save(kept.record(id, seq));
        self.said.insert((id, seq), Some(kept));
    }

    /// Something of this device's came back: it has its place.
    pub(super) fn own_message(&mut self, tick: &Tick, event: &Event, draft: &Draft, out: &mut Outbox<Output>) {
        let (id, seq) = (event.conversation, event.seq);
        self.said.insert((id, seq), None);
        let Ok(Read::Known(inner)) = Inner::read(&draft.inner) else { return };
        if let Said::Content { content, about, again: None } = inner.what {
            let name = self.own_name(id, &content);
            self.keep(id, seq, Kept::of(None, name, inner.at, content, about), out);
            self.mark(tick, id, mark::Input::Post(name, mark::Post::Placed(seq)), out);
        } else if let Said::Control { control, again: None } = inner.what {
            self.keep_control(tick, (id, seq), None, inner.at, control, out);
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
            let Some((name, at, what)) = ours.and_then(|kept| {
                let again = Some(seq);
                let what = match kept.role {
                    Role::Act(control) => Said::Control { control, again },
                    Role::Message | Role::Edit(_) | Role::Aside => {
                        Said::Content { content: kept.content?, about: kept.about, again }
                    }
                };
                Some((kept.id, kept.at, what))
            }) else {
                continue;
            };
            let known = live.asked.contains_key(&dk) || live.asked.len() < limits::LEAVES;
            let again = known && live.asked.entry(dk).or_default().take(tick.now, limits::REPAIRS);
            if again {
                self.draft(tick, &Inner { at, what }, id, out);
            }
            Self::tell(Told::NotOpenedBy { conversation: id, id: name, reader, dk, again }, out);
        }
        if !self.live(id).repairs.is_empty() {
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// What can't be said any more.
    pub(super) fn give_up(&mut self, tick: &Tick, draft: &Draft, how: mark::Post, out: &mut Outbox<Output>) {
        if draft.tells_read() {
            // The others don't hear of it: the person's own devices do, all the same.
            self.tell_own_of(draft.talk, out);
        }
        if let Some(content) = draft.content() {
            let id = self.own_name(draft.talk, &content);
            self.mark(tick, draft.talk, mark::Input::Post(id, how), out);
        } else if let (Some(_), mark::Post::Failed(why)) = (control_of(draft), how) {
            Self::decline(Declined::Undone(draft.talk, why), out);
        }
    }
}

/// What came out of the seal, where it is what we know in its one form, and a content names nobody else as its author.
/// Beside it, what its author has read.
fn read(conversation: ConversationId, opened: &Opened) -> Result<(Option<Position>, Read), PeerFault> {
    let (along, inner) = apart(&opened.plaintext)?;
    let read = Inner::read(inner)?;
    if let Read::Known(inner) = &read
        && let Said::Content { content, .. } = &inner.what
    {
        let sender = Uri::person(opened.member.identity);
        content.fields().check_origin(&sender, &Uri::room(conversation))?;
    }
    Ok((along, read))
}

fn by(member: Member) -> By {
    By { author: member.address, identity: member.identity, dk: member.dk, hosted: member.hosted }
}
