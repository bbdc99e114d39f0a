//! What this person says: durable first, then sealed, posted, and kept until the log has it.

use core::num::NonZeroU32;

use super::Client;
use super::inner::{Inner, What as Said};
use super::io::{Event as Told, Failure, Output, Saying, To};
use super::own::Stage;
use super::planning::Wanted;
use super::said::{Draft, Kept, Role};
use super::timers::What;
use crate::canary::{self, Canary};
use crate::content::message::Fields;
use crate::content::uri::Uri;
use crate::id::{ContentId, ConversationId, Hash, Identity};
use crate::limits;
use crate::machine::mark::{self, Post};
use crate::machine::revision::{Revisions, View};
use crate::seal::lists::Chain;
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::wire::content::Content;
use crate::wire::talk::Kind;

/// A content, and the place of what it is about.
type About = (Content, Option<u64>);

impl Client {
    /// The person says something.
    pub(super) fn say_to(
        &mut self,
        tick: &Tick,
        to: &To,
        salt: Option<[u8; 16]>,
        what: &Saying,
        out: &mut Outbox<Output>,
    ) {
        let salt = salt.unwrap_or_else(|| drawn(tick));
        match self.may_say(to, salt, what, out) {
            Ok((conversation, contents)) => {
                for (content, about) in contents {
                    let id = self.own_name(conversation, &content);
                    let what = Said::Content { content, about, again: None };
                    self.draft(tick, &Inner { at: tick.now, what }, conversation, out);
                    self.mark(tick, conversation, mark::Input::Post(id, Post::Queued), out);
                    Self::tell(Told::Saying { conversation, id, salt }, out);
                }
                self.go_on(tick, conversation, out);
            }
            Err(why) => Self::tell(Told::Unsaid { salt, why }, out),
        }
    }

    /// What it is, and where it is to be said; the direct conversation is begun where there is none. Whoever has no line gets
    /// nothing: what was meant to be sealed never goes in the clear by itself (attacks 70, 71).
    fn may_say(
        &mut self,
        to: &To,
        salt: [u8; 16],
        what: &Saying,
        out: &mut Outbox<Output>,
    ) -> Result<(ConversationId, Vec<About>), Failure> {
        if self.own.stage != Stage::Enrolled {
            return Err(Failure::NotEnrolled);
        }
        let id = match to {
            To::Conversation(id) => *id,
            To::Person(who) => self.direct(who).ok_or(Failure::NoLine)?,
        };
        let contents = self.contents(id, salt, what, &mut Wanted::new())?;
        if self.drafts.len().saturating_add(contents.len()) > limits::DRAFTS {
            return Err(Failure::TooMany);
        }
        let again = |draft: &Draft| draft.talk == id && contents.iter().any(|(content, _)| draft.says(content));
        let known = |(content, _): &About| {
            let post = self.marks(id).and_then(|marks| marks.post(&self.own_name(id, content)));
            // What has failed may be said again.
            matches!(post, Some(Post::Queued | Post::Placed(_)))
        };
        if contents.iter().any(known) || self.drafts.values().any(again) {
            return Err(Failure::Again);
        }
        if !self.talks.contains_key(&id) {
            if self.talks.len() >= limits::TALKS {
                return Err(Failure::TooMany);
            }
            if !self.begin(id, out) {
                return Err(Failure::NoConversation);
            }
        }
        Ok((id, contents))
    }

    /// The contents that say it, each with the place of what it is about; what that takes is wanted first. Only a withdrawal
    /// may be several, or none.
    pub(super) fn contents(
        &self,
        id: ConversationId,
        salt: [u8; 16],
        what: &Saying,
        wanted: &mut Wanted,
    ) -> Result<Vec<About>, Failure> {
        let made = |fields: Fields, about| {
            Content::new(fields).map(|content| vec![(content, about)]).map_err(|_| Failure::TooLong)
        };
        match what {
            Saying::Message { body, answers, topic, expires } => {
                let (topic, body) = (topic.clone(), body.clone());
                let mut fields = Fields { topic, expires: *expires, ..Fields::new(salt, body) };
                let Some(place) = answers else { return made(fields, None) };
                let version = self.version(id, *place, wanted)?;
                fields.in_reply_to = Some(version.id);
                made(fields, Some(version.seq))
            }
            Saying::Edit { message, body } => {
                let version = self.version(id, *message, wanted)?;
                let (name, first) = self.own_first(id, *message, wanted)?;
                let Fields { topic, expires, in_reply_to, .. } = first.fields().clone();
                let no = NonZeroU32::new(version.no.saturating_add(1)).ok_or(Failure::TooMany)?;
                if no.get() > limits::EDIT_NO {
                    return Err(Failure::TooMany);
                }
                let fields = Fields { topic, expires, in_reply_to, ..Fields::new(salt, body.clone()) };
                made(fields.edit(name, no), Some(*message))
            }
            Saying::Retract { message } => {
                let kept = self.own_at(id, *message, wanted)?;
                let view = self.revisions(id, *message, kept, wanted).map(Revisions::view);
                if kept.role != Role::Message || matches!(view, Some(View::Retracted | View::Removed { .. })) {
                    return Err(Failure::NoMessage);
                }
                // What has ended here may not have ended elsewhere.
                made(Fields::retract(salt, kept.id), Some(*message))
            }
            Saying::React { message, sign } => {
                let version = self.version(id, *message, wanted)?;
                let fields = Fields::react(salt, version.id, sign).map_err(|_| Failure::TooLong)?;
                made(fields, Some(version.seq))
            }
            Saying::Withdraw { message, sign } => self.withdrawals(id, salt, *message, sign, wanted),
        }
    }

    /// The first version of the person's own message at a place, and what it is called.
    fn own_first(&self, id: ConversationId, place: u64, wanted: &mut Wanted) -> Result<(ContentId, &Content), Failure> {
        let kept = self.own_at(id, place, wanted)?;
        kept.content.as_ref().map(|content| (kept.id, content)).ok_or(Failure::NoMessage)
    }

    /// What lies at a place, where the person said it.
    fn own_at(&self, id: ConversationId, place: u64, wanted: &mut Wanted) -> Result<&Kept, Failure> {
        let kept = self.kept(id, place, wanted).ok_or(Failure::NoMessage)?;
        let others = kept.by.as_ref().is_some_and(|by| by.author != self.ours.address);
        if others && !canary::is_on(Canary::AnyoneRevises) {
            return Err(Failure::NotYours);
        }
        Ok(kept)
    }

    /// What takes back a sign of the person's at a message, of whichever version.
    fn withdrawals(
        &self,
        id: ConversationId,
        salt: [u8; 16],
        place: u64,
        sign: &str,
        wanted: &mut Wanted,
    ) -> Result<Vec<About>, Failure> {
        let versions = self.versions(id, place, wanted)?;
        let reactions = self.reactions(id, place, wanted).ok_or(Failure::NoMessage)?;
        let who = self.identity().ok_or(Failure::NotEnrolled)?;
        let mut contents = Vec::new();
        for (n, (reaction, of)) in reactions.by(who, sign).enumerate() {
            let Some(version) = versions.iter().find(|version| version.id == of) else { continue };
            let salt = if n == 0 { salt } else { sha256(&[&salt, &n.to_be_bytes()]).half() };
            let content = Content::new(Fields::withdraw(salt, of, reaction)).map_err(|_| Failure::TooLong)?;
            contents.push((content, Some(version.seq)));
        }
        if contents.is_empty() { Err(Failure::NoMessage) } else { Ok(contents) }
    }

    /// What a content of this person's is called.
    pub(super) fn own_name(&self, conversation: ConversationId, content: &Content) -> ContentId {
        let identity = self.own.chain.as_ref().map_or(Identity([0; 32]), Chain::identity);
        content.id(&Uri::person(identity), &Uri::room(conversation))
    }

    /// Something that devices say to each other.
    pub(super) fn control(&mut self, tick: &Tick, id: ConversationId, what: Said, out: &mut Outbox<Output>) {
        self.draft(tick, &Inner { at: tick.now, what }, id, out);
        self.timers.by(What::Talk(id), tick.now);
    }

    /// Keeps it until the log has it.
    pub(super) fn draft(&mut self, tick: &Tick, inner: &Inner, talk: ConversationId, out: &mut Outbox<Output>) {
        if matches!(inner.what, Said::Content { .. }) {
            self.remind(tick, talk, out);
        }
        let number = self.number(tick);
        let draft = Draft::new(talk, Kind::Message, inner.to_bytes());
        out.save(draft.record(number));
        if matches!(&inner.what, Said::Content { content, .. } if content.fields().expires.is_some()) {
            draft.end().into_iter().for_each(|end| self.timers.by(What::Drafts, end));
        }
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

/// What a content's name is made of, where the host brings nothing.
fn drawn(tick: &Tick) -> [u8; 16] {
    sha256(&[b"postline/1 salt\0", &tick.entropy]).half()
}
