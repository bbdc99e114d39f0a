//! What marks remember: [`Key::Marks`].
//!
//! The record is written when something in it must not be lost: what was read, and told; that something failed; who is there. How
//! far the log, its signed heads and the others' nodes are only rides along: it is said again.

use super::{Failure, Marks, Person, Post};
use crate::fault::{Code, RestoreError};
use crate::id::{ContentId, ConversationId, Identity};
use crate::limits;
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader};
use crate::wire::mark::Position;
use crate::wire::record::{Rides, read, write};

impl Marks {
    /// The record; from now on it has it all.
    pub(super) fn record(&mut self) -> Record {
        let people = self.people.values_mut().map(|person| &mut person.delivered);
        [&mut self.head, &mut self.sent].into_iter().chain(people).for_each(|rides| rides.saved = rides.now);
        let ended: Vec<(ContentId, u64)> =
            self.posts.iter().filter_map(|(id, post)| Some((id, ended(post)?))).collect();
        write(Key::Marks(self.conversation), 6, |w| {
            w.u64(self.head.now).u64(self.sent.now);
            self.own.write(w);
            self.told.write(w);
            w.list(self.people.iter(), |w, (who, person)| {
                w.array(4).bytes(&who.0).u64(person.since).u64(person.delivered.now);
                person.read.write(w);
            });
            w.list(ended.into_iter(), |w, (id, how)| {
                w.array(2).bytes(&id.0).u64(how);
            });
        })
    }

    /// The marks of a record.
    ///
    /// # Errors
    /// [`RestoreError`] where the record isn't ours.
    pub fn restore(conversation: ConversationId, us: Identity, record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let mut marks = Self::new(conversation, us);
            (marks.head, marks.sent) = (Rides::restored(r.u64()?), Rides::restored(r.u64()?));
            (marks.own, marks.told) = (Position::read(r)?, Position::read(r)?);
            let people = r.list(limits::MARK_PEOPLE as u64, |r| {
                r.array_of(4)?;
                let (who, since, delivered) = (Identity(r.fixed()?), r.u64()?, Rides::restored(r.u64()?));
                Ok((who, Person { since, delivered, read: Position::read(r)? }))
            })?;
            let posts = r.list(limits::MARK_POSTS as u64, |r| {
                r.array_of(2)?;
                Ok((ContentId(r.fixed()?), post(r)?))
            })?;
            (marks.people, marks.posts) = (people.into_iter().collect(), posts.into_iter().collect());
            Ok(marks)
        })
    }

    /// What is left after a crash, all records stored.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        let mut left = Self::new(self.conversation, self.us);
        (left.head, left.sent) = (Rides::restored(self.head.saved), Rides::restored(self.sent.saved));
        (left.own, left.told) = (self.own, self.told);
        let saved = |person: &Person| Person { delivered: Rides::restored(person.delivered.saved), ..*person };
        left.people = self.people.iter().map(|(who, person)| (*who, saved(person))).collect();
        let kept = self.posts.iter().filter(|(_, post)| ended(*post).is_some());
        left.posts = kept.collect();
        left
    }
}

/// What a refusal's code is added to.
const REFUSED: u64 = 16;

/// How something ended that has no entry; `None` of what hasn't ended.
fn ended(post: Post) -> Option<u64> {
    Some(match post {
        Post::Queued | Post::Placed(_) => return None,
        Post::Expired => 0,
        Post::Failed(Failure::NoLine) => 1,
        Post::Failed(Failure::NoConversation) => 2,
        Post::Failed(Failure::TooLong) => 3,
        Post::Failed(Failure::TooMany) => 4,
        Post::Failed(Failure::Again) => 5,
        Post::Failed(Failure::NotEnrolled) => 6,
        Post::Failed(Failure::NoMessage) => 7,
        Post::Failed(Failure::NotYours) => 8,
        Post::Failed(Failure::Refused(code)) => REFUSED + u64::from(code as u16),
    })
}

fn post(r: &mut Reader<'_>) -> Result<Post, Malformed> {
    Ok(Post::Failed(match r.u64()? {
        0 => return Ok(Post::Expired),
        1 => Failure::NoLine,
        2 => Failure::NoConversation,
        3 => Failure::TooLong,
        4 => Failure::TooMany,
        5 => Failure::Again,
        6 => Failure::NotEnrolled,
        7 => Failure::NoMessage,
        8 => Failure::NotYours,
        how => {
            let code = how.checked_sub(REFUSED).and_then(|code| u16::try_from(code).ok());
            Failure::Refused(Code::from_wire(code.ok_or(Malformed("how something ended"))?))
        }
    }))
}
