//! Things said: those that this device has opened or written, and those of its own that the log doesn't have yet.

use std::borrow::Cow;

use super::inner::along;
use crate::fault::RestoreError;
use crate::id::{Address, ContentId, ConversationId, DeviceKey};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader};
use crate::wire::mark::Position;
use crate::wire::record::{read, write};
use crate::wire::talk::Kind;

/// An entry that was opened, or that this device wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who said it; `None`: this device.
    pub(super) by: Option<By>,
    pub(super) id: ContentId,
    pub(super) at: Millis,
    /// What: `None` for a kind or version of later days, which `raw` holds.
    pub(super) body: Option<Vec<u8>>,
    /// What came out of the seal, where we couldn't tell what it is.
    pub(super) raw: Option<Vec<u8>>,
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct By {
    pub(super) author: Address,
    /// On which device.
    pub(super) dk: DeviceKey,
    pub(super) hosted: bool,
}

impl Kept {
    pub(super) fn record(&self, talk: ConversationId, seq: u64) -> Record {
        write(Key::Said(talk, seq), 7, |w| {
            w.maybe(self.by.as_ref(), |w, by| w.address(&by.author)).maybe(self.by.as_ref(), |w, by| w.bytes(&by.dk.0));
            w.bool(self.by.as_ref().is_some_and(|by| by.hosted)).bytes(&self.id.0).millis(self.at);
            w.maybe(self.body.as_deref(), |w, body| w.bytes(body)).maybe(self.raw.as_deref(), |w, raw| w.bytes(raw));
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let bytes = |r: &mut Reader<'_>| r.maybe(|r| r.bytes().map(<[u8]>::to_vec));
            let (author, dk) = (r.maybe(Reader::address)?, r.maybe(|r| r.fixed().map(DeviceKey))?);
            let hosted = r.bool()?;
            Ok(Self {
                by: author.zip(dk).map(|(author, dk)| By { author, dk, hosted }),
                id: ContentId(r.fixed()?),
                at: r.millis()?,
                body: bytes(r)?,
                raw: bytes(r)?,
            })
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
