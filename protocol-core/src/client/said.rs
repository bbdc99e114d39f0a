//! Things said: those that this device has opened or written, and those of its own that the log doesn't have yet.

use std::borrow::Cow;

use crate::content::kind::Kind as Is;
use crate::content::message::Expiry;
use crate::content::part::Part;
use crate::content::uri::Uri;
use crate::fault::RestoreError;
use crate::id::{Address, ContentId, ConversationId, DeviceKey, Identity};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::content::Content;
use crate::wire::control::Control;
use crate::wire::mark::Position;
use crate::wire::record::{read, write};
use crate::wire::talk::Kind;

use super::inner::{Inner, Read, What, along, said_first};

/// What an entry says in words, and whose it is: what a host may make a search index of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its entry.
    pub seq: u64,
    /// Who said it; `None`: this device.
    pub author: Option<Address>,
    /// When, as its author says.
    pub at: Millis,
    /// From when on nobody is to be shown them, where that is a time.
    pub ends: Option<Millis>,
    /// The words; empty where it has none.
    pub text: String,
}

/// The words in a record, where it is one of a message, or of an edit, whose words are kept: none are an empty text, as of a file
/// alone, of which other things must go from a store. Of equal records they are equal.
#[must_use]
pub fn words(record: &Record) -> Option<Words> {
    let Key::Said(conversation, seq) = record.key else { return None };
    record.value.as_ref()?;
    // Whose this device is goes into names alone.
    let kept = Kept::restore(conversation, Identity([0; Identity::LEN]), record).ok()?;
    let ends = kept.ends().and_then(|expiry| expiry.end(None));
    let content = kept.content?;
    let fields = content.fields();
    if !matches!(fields.kind(), Is::Message | Is::Edit { .. }) {
        return None;
    }
    let parts: Vec<&str> = fields.body.walk().into_iter().filter_map(Part::words).map(|words| words.as_str()).collect();
    let text = parts.join("\n");
    Some(Words { conversation, seq, author: kept.by.map(|by| by.author), at: kept.at, ends, text })
}

/// Whether a record is one of something that people said, be it gone or not: what a snapshot is made of.
#[cfg(feature = "testing")]
#[must_use]
pub fn is_content(record: &Record) -> bool {
    let Key::Said(conversation, _) = record.key else { return false };
    Kept::restore(conversation, Identity([0; Identity::LEN]), record).is_ok_and(|kept| kept.raw.is_none())
}

/// An entry that was opened, or that this device wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who said it; `None`: this device.
    pub(super) by: Option<By>,
    pub(super) id: ContentId,
    pub(super) at: Millis,
    /// The place of what it is about, as its author says.
    pub(super) about: Option<u64>,
    /// What it is to others: kept where the words are gone.
    pub(super) role: Role,
    /// Whether there are records of what became of it.
    pub(super) touched: bool,
    /// What: `None` for a kind or version of later days, which `raw` holds, and for what is gone.
    pub(super) content: Option<Content>,
    /// What came out of the seal, where we couldn't tell what it is; a change of ours.
    pub(super) raw: Option<Vec<u8>>,
}

/// What an entry is to those that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A message: its first version.
    Message,
    /// Another version, of this message.
    Edit(ContentId),
    /// Something that was done to the conversation itself.
    Act(Control),
    /// Nothing that can be changed, answered or reacted to: a reaction, a retract, what we don't know.
    Aside,
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct By {
    pub(super) author: Address,
    pub(super) identity: Identity,
    /// On which device.
    pub(super) dk: DeviceKey,
    pub(super) hosted: bool,
}

impl Kept {
    /// Something that was said.
    pub(super) fn of(by: Option<By>, id: ContentId, at: Millis, content: Content, about: Option<u64>) -> Self {
        let role = match content.fields().kind() {
            Is::Message => Role::Message,
            Is::Edit { target, .. } => Role::Edit(target),
            Is::Retract { .. } | Is::Reaction { .. } | Is::Withdrawal { .. } | Is::Report(_) | Is::Nothing => {
                Role::Aside
            }
        };
        Self { by, id, at, about, role, touched: false, content: Some(content), raw: None }
    }

    /// Something that was done to the conversation itself.
    pub(super) const fn control(by: Option<By>, id: ContentId, at: Millis, control: Control) -> Self {
        Self { by, id, at, about: None, role: Role::Act(control), touched: false, content: None, raw: None }
    }

    /// When it is to be forgotten, where it is a message or an edit of one, and still has words ([X-1]).
    pub(super) fn ends(&self) -> Option<Expiry> {
        let words = !matches!(self.role, Role::Aside | Role::Act(_));
        let content = self.content.as_ref().filter(|_| words)?;
        content.fields().expires.filter(|expiry| expiry.is_sensible())
    }

    /// Whether it was to be forgotten at a time that is over.
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.ends().and_then(|expiry| expiry.end(None)).is_some_and(|end| end <= now)
    }

    /// Something that we can't tell, or that isn't for people.
    pub(super) const fn raw(by: Option<By>, id: ContentId, at: Millis, raw: Vec<u8>) -> Self {
        Self { by, id, at, about: None, role: Role::Aside, touched: false, content: None, raw: Some(raw) }
    }

    pub(super) fn record(&self, talk: ConversationId, seq: u64) -> Record {
        write(Key::Said(talk, seq), 9, |w| {
            w.maybe(self.by.as_ref(), |w, by| {
                w.array(4).address(&by.author).bytes(&by.identity.0).bytes(&by.dk.0).bool(by.hosted)
            });
            // A content's name is made of it again.
            w.maybe(self.content.is_none().then_some(self.id), |w, id| w.bytes(&id.0))
                .millis(self.at)
                .maybe(self.about, Writer::u64);
            match self.role {
                Role::Message => w.u64(0).null(),
                Role::Edit(of) => w.u64(1).bytes(&of.0),
                Role::Aside => w.u64(2).null(),
                Role::Act(control) => w.u64(3).bytes(&control.to_bytes()),
            };
            w.bool(self.touched);
            w.maybe(self.content.as_ref(), |w, content| w.bytes(content.bytes()));
            w.maybe(self.raw.as_deref(), |w, raw| w.bytes(raw));
        })
    }

    /// What a record says; `us` is who this device's person is.
    pub(super) fn restore(talk: ConversationId, us: Identity, record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let by: Option<By> = r.maybe(|r| {
                r.array_of(4)?;
                let (author, identity) = (r.address()?, Identity(r.fixed()?));
                Ok(By { author, identity, dk: DeviceKey(r.fixed()?), hosted: r.bool()? })
            })?;
            let (id, at) = (r.maybe(|r| r.fixed().map(ContentId))?, r.millis()?);
            let about = r.maybe(Reader::u64)?;
            let role = match (r.u64()?, r.maybe(Reader::bytes)?) {
                (0, None) => Role::Message,
                (1, Some(of)) => Role::Edit(ContentId(of.try_into().map_err(|_| Malformed("a name"))?)),
                (2, None) => Role::Aside,
                (3, Some(control)) => Role::Act(Control::parse(control)?),
                _ => return Err(Malformed("a role")),
            };
            let touched = r.bool()?;
            let content = r.maybe(|r| Content::parse(r.bytes()?).map_err(|_| Malformed("a content")))?;
            let author = Uri::person(by.as_ref().map_or(us, |by| by.identity));
            let name = || content.as_ref().map(|content| content.id(&author, &Uri::room(talk)));
            let id = id.or_else(name).ok_or(Malformed("a name"))?;
            let raw = r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?;
            Ok(Self { by, id, at, about, role, touched, content, raw })
        })
    }
}

/// What this device says and the log doesn't have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) talk: ConversationId,
    pub(super) kind: Kind,
    /// Of a message: what is within the seal; else empty.
    pub(super) inner: Vec<u8>,
    /// What the person has read, where that goes along with it.
    pub(super) along: Option<Position>,
    /// What was posted, and in which epoch; `None`: it is still to be sealed.
    pub(super) sealed: Option<Sealed>,
}

/// What was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) epoch: u64,
    pub(super) bytes: Vec<u8>,
}

impl Draft {
    /// What is still to be sealed.
    pub(super) const fn new(talk: ConversationId, kind: Kind, inner: Vec<u8>) -> Self {
        Self { talk, kind, inner, along: None, sealed: None }
    }

    /// What is sealed.
    pub(super) fn plaintext(&self) -> Cow<'_, [u8]> {
        self.along.map_or(Cow::Borrowed(&self.inner), |read| Cow::Owned(along(read, &self.inner)))
    }

    /// The content that it says for the first time, where it is one.
    pub(super) fn content(&self) -> Option<Content> {
        said_first(&self.inner).and_then(|content| Content::parse(content).ok())
    }

    /// Whether it says this for the first time.
    pub(super) fn says(&self, content: &Content) -> bool {
        said_first(&self.inner) == Some(content.bytes())
    }

    /// Whether it tells what the person has read.
    pub(super) fn tells_read(&self) -> bool {
        let alone = || {
            let read = Inner::read(&self.inner);
            matches!(read, Ok(Read::Known(inner)) if matches!(inner.what, What::Read { .. }))
        };
        self.along.is_some() || (self.kind == Kind::Message && alone())
    }

    /// Whether it was to be read until a time that is over.
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// Until when it was to be read.
    pub(super) fn end(&self) -> Option<Millis> {
        let expires = self.content().and_then(|content| content.fields().expires);
        expires.filter(|expiry| expiry.is_sensible()).and_then(|expiry| expiry.end(None))
    }

    pub(super) fn record(&self, number: u64) -> Record {
        write(Key::Draft(number), 6, |w| {
            w.bytes(&self.talk.0).u64(self.kind as u64).bytes(&self.inner);
            w.maybe(self.along, |w, read| w.bytes(&read.to_bytes()));
            w.maybe(self.sealed.as_ref(), |w, sealed| w.u64(sealed.epoch));
            w.maybe(self.sealed.as_ref(), |w, sealed| w.bytes(&sealed.bytes));
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let talk = ConversationId(r.fixed()?);
            let kind = match r.u64()? {
                0 => Kind::Create,
                1 => Kind::Commit,
                2 => Kind::Message,
                _ => return Err(Malformed("a kind of event")),
            };
            let inner = r.bytes()?.to_vec();
            let along = r.maybe(|r| Position::parse(r.bytes()?))?;
            let (epoch, bytes) = (r.maybe(Reader::u64)?, r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?);
            let sealed = epoch.zip(bytes).map(|(epoch, bytes)| Sealed { epoch, bytes });
            Ok(Self { talk, kind, inner, along, sealed })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_an_entry_that_has_text() {
        use crate::content::message::Fields;
        let (talk, author) = (ConversationId([1; 32]), Address::parse("ann@a.example").unwrap());
        let by = By { author: author.clone(), identity: Identity([5; 32]), dk: DeviceKey([2; 32]), hosted: false };
        let content = |body: Part| Content::new(Fields::new([4; 16], body)).unwrap();
        let kept = |body: Part| Kept::of(Some(by.clone()), ContentId([3; 32]), Millis(4), content(body), None);
        let hello = || Part::plain("hello there").unwrap();
        let said = words(&kept(hello()).record(talk, 7)).unwrap();
        assert_eq!((said.conversation, said.seq, said.at), (talk, 7, Millis(4)));
        assert_eq!((said.author, said.text.as_str()), (Some(author), "hello there"));
        let mut own = kept(hello());
        own.by = None;
        assert_eq!(
            words(&own.record(talk, 7)).map(|said| (said.author, said.text)),
            Some((None, "hello there".into()))
        );
        let mut forgotten = kept(hello());
        forgotten.content = None;
        let raw = Kept::raw(Some(by.clone()), ContentId([3; 32]), Millis(4), b"hello there".to_vec());
        let of = |fields: Fields| Kept { content: Some(Content::new(fields).unwrap()), ..kept(hello()) };
        let react = of(Fields::react([4; 16], ContentId([1; 32]), "yes").unwrap());
        let retract = of(Fields::retract([4; 16], ContentId([1; 32])));
        assert_eq!(words(&kept(Part::plain("").unwrap()).record(talk, 7)).map(|said| said.text), Some(String::new()));
        for wordless in [forgotten, raw, react, retract] {
            assert_eq!(words(&wordless.record(talk, 7)), None, "{wordless:?}");
        }
        assert_eq!(words(&Record::remove(Key::Said(talk, 7))), None);
        assert_eq!(words(&Record::put(Key::Said(talk, 7), vec![0x80])), None, "damaged");
        assert_eq!(words(&Record { key: Key::Draft(7), ..kept(hello()).record(talk, 7) }), None);
    }
}
