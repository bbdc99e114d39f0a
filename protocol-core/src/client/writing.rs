//! What this person says: durable first, then sealed, posted, and kept until the log has it.

use super::Client;
use super::inner::{Inner, What as Said};
use super::io::{Event as Told, Failure, Mark, Output, To};
use super::own::Stage;
use super::said::Draft;
use super::talk::Talk;
use crate::id::{ContentId, ConversationId, Hash};
use crate::limits;
use crate::machine::mark;
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::wire::talk::Kind;

impl Client {
    /// The person says something.
    pub(super) fn write(
        &mut self,
        tick: &Tick,
        to: &To,
        id: Option<ContentId>,
        body: Vec<u8>,
        out: &mut Outbox<Output>,
    ) {
        let id = id.unwrap_or_else(|| ContentId(sha256(&[b"postline/1 id\0", &tick.entropy]).0));
        let inner = Inner { id, at: tick.now, what: Said::Text { body, again: None } };
        match self.may_write(to, &inner, out) {
            Ok(talk) => {
                self.draft(tick, inner, talk, out);
                self.mark(tick, talk, mark::Input::Post(id, mark::Post::Queued), out);
                self.go_on(tick, talk, out);
            }
            Err(why) => {
                let mark = Mark::Failed(why);
                Self::tell(Told::Mark { conversation: None, id, seq: None, mark }, out);
            }
        }
    }

    /// Where it is to be said; the direct conversation is begun where there is none. Whoever has no line gets nothing:
    /// what was meant to be sealed never goes in the clear by itself (attacks 70, 71).
    fn may_write(&mut self, to: &To, inner: &Inner, out: &mut Outbox<Output>) -> Result<ConversationId, Failure> {
        if self.own.stage != Stage::Enrolled {
            return Err(Failure::NotEnrolled);
        }
        let Said::Text { body, .. } = &inner.what else { return Err(Failure::TooLong) };
        if body.len() > limits::BODY_BYTES {
            return Err(Failure::TooLong);
        }
        if self.drafts.len() >= limits::DRAFTS {
            return Err(Failure::TooMany);
        }
        let (id, new) = match to {
            To::Conversation(id) => (*id, None),
            To::Person(who) => {
                let (id, line) = self.contacts.get(who).and_then(super::Contact::direct).ok_or(Failure::NoLine)?;
                (id, Some(Talk::new(id, who.clone(), line.t2, line.offered)))
            }
        };
        let again = |draft: &Draft| matches!(Inner::read(&draft.inner), Ok(super::inner::Read::Known(known)) if known.id == inner.id);
        let said = self.marks(id).is_some_and(|marks| marks.post(&inner.id).is_some());
        if said || self.drafts.values().filter(|draft| draft.kind == Kind::Message).any(again) {
            return Err(Failure::Again);
        }
        if let (Some(talk), false) = (new, self.talks.contains_key(&id)) {
            if self.talks.len() >= limits::TALKS {
                return Err(Failure::TooMany);
            }
            out.save(talk.record());
            self.talks.insert(id, talk);
            self.groups.insert(id, None);
        }
        if self.talks.contains_key(&id) { Ok(id) } else { Err(Failure::NoConversation) }
    }

    /// Something that devices say to each other.
    pub(super) fn control(&mut self, tick: &Tick, id: ConversationId, what: Said, out: &mut Outbox<Output>) {
        let mut inner = Inner { id: ContentId([0; 32]), at: tick.now, what };
        inner.id = ContentId(sha256(&[b"postline/1 control\0", &tick.entropy, &inner.to_bytes()]).0);
        self.draft(tick, inner, id, out);
        self.timers.by(super::What::Talk(id), tick.now);
    }

    /// Keeps it until the log has it.
    pub(super) fn draft(&mut self, tick: &Tick, inner: Inner, talk: ConversationId, out: &mut Outbox<Output>) {
        let number = self.number(tick);
        let draft = Draft::new(talk, Kind::Message, inner.to_bytes());
        out.save(draft.record(number));
        self.drafts.insert(number, draft);
    }

    /// The next number of a post. The record of what is to be posted under it holds it.
    ///
    /// It is drawn, above all before it: what a copy of this device posts next has another, and so each of them sees by the
    /// node's Ready that there is the other (attack 62).
    pub(super) fn number(&mut self, tick: &Tick) -> u64 {
        let Hash([gap, ..]) = sha256(&[b"postline/1 number\0", &tick.entropy, &self.own.number.to_be_bytes()]);
        self.own.number = self.own.number.saturating_add(1 + u64::from(gap) % limits::NUMBER_GAP);
        self.own.fresh = Some(self.own.number);
        self.own.number
    }
}
