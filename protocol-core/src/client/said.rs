//! Things said: those that this device has opened or written, and those of its own that the log doesn't have yet.

use crate::fault::RestoreError;
use crate::id::{Address, ContentId, ConversationId, DeviceKey};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader};
use crate::wire::record::{read, write};
use crate::wire::talk::Kind;

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
    /// The words.
    pub text: String,
}

/// The words in a record, where it is one of an entry that says any. Of equal records they are equal.
#[must_use]
pub fn words(record: &Record) -> Option<Words> {
    let Key::Said(conversation, seq) = record.key else { return None };
    let kept = record.value.as_ref().and_then(|_| Kept::restore(record).ok())?;
    let text = String::from_utf8(kept.body?).ok().filter(|text| !text.is_empty())?;
    Some(Words { conversation, seq, author: kept.by.map(|by| by.author), at: kept.at, text })
}

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
    pub(super) fn record(&self, number: u64) -> Record {
        write(Key::Draft(number), 5, |w| {
            w.bytes(&self.talk.0).u64(self.kind as u64).bytes(&self.inner);
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
            let (epoch, bytes) = (r.maybe(Reader::u64)?, r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?);
            let sealed = epoch.zip(bytes).map(|(epoch, bytes)| Sealed { epoch, bytes });
            Ok(Self { talk, kind, inner, sealed })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_an_entry_that_has_text() {
        let (talk, author) = (ConversationId([1; 32]), Address::parse("ann@a.example").unwrap());
        let by = By { author: author.clone(), dk: DeviceKey([2; 32]), hosted: false };
        let kept = |body: Option<&[u8]>, raw: Option<&[u8]>| Kept {
            by: Some(by.clone()),
            id: ContentId([3; 32]),
            at: Millis(4),
            body: body.map(<[u8]>::to_vec),
            raw: raw.map(<[u8]>::to_vec),
        };
        let said = words(&kept(Some(b"hello there"), None).record(talk, 7)).unwrap();
        assert_eq!((said.conversation, said.seq, said.at), (talk, 7, Millis(4)));
        assert_eq!((said.author, said.text.as_str()), (Some(author), "hello there"));
        for wordless in
            [kept(None, None), kept(None, Some(b"a commit")), kept(Some(b""), None), kept(Some(b"\xff"), None)]
        {
            assert_eq!(words(&wordless.record(talk, 7)), None, "{wordless:?}");
        }
        assert_eq!(words(&Record::remove(Key::Said(talk, 7))), None);
        assert_eq!(words(&Record::put(Key::Said(talk, 7), vec![0x80])), None, "damaged");
        assert_eq!(words(&Record { key: Key::Draft(7), ..kept(Some(b"hello"), None).record(talk, 7) }), None);
    }
}
