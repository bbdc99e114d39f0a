//! A content's bytes, and the name that they give it. Spec: `spec/11-content.md`; MIMI content, draft-ietf-mimi-content-08.
//!
//! ```text
//!   content  = [salt, replaces, topic, expires, in_reply_to, {extensions}, part]
//!   part     = [disposition, language, 0]                                       nothing
//!            / [disposition, language, 1, media, bytes]                         bytes
//!            / [disposition, language, 2, media, url, expires, size, aead, key, nonce, aad, hash, digest, about, name]
//!            / [disposition, language, 3, semantics, [2* part]]                 parts
//!
//!   id       = 0x01 ‖ SHA-256(len ‖ sender ‖ len ‖ room ‖ content ‖ salt)[0..31]      len: two bytes
//! ```
//!
//! Read strictly: what is taken is written again byte for byte, so a content has one form and so one name.

use core::num::NonZeroU32;
use std::collections::BTreeMap;

use crate::content::extension::{EDIT_NO, Extensions, Name, PREV, ROOM, SEEN, SENDER, Seen};
use crate::content::external::{ContentHash, External, Sealed};
use crate::content::item::{Head, Item, KEY, head};
use crate::content::message::{Expiry, Fields, Topic};
use crate::content::part::{Body, Disposition, Multi, Part, Semantics};
use crate::content::refusal::ContentFault;
use crate::content::text::{ClaimedName, Description, Language, Media};
use crate::content::uri::Uri;
use crate::id::{ContentId, Hash};
use crate::limits;
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};

impl From<Malformed> for ContentFault {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Shape(what)
    }
}

/// A content: fields that go together, and their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    fields: Box<Fields>,
    bytes: Vec<u8>,
}

impl Content {
    /// Makes a content of its fields.
    ///
    /// # Errors
    /// [`ContentFault`] for fields that don't go together, and for more than [`CONTENT_BYTES`](limits::CONTENT_BYTES).
    pub fn new(fields: Fields) -> Result<Self, ContentFault> {
        fields.check()?;
        let bytes = write(&fields);
        check_length(bytes.len())?;
        Ok(Self { fields: Box::new(fields), bytes })
    }

    /// Reads a content.
    ///
    /// # Errors
    /// [`ContentFault`] for anything but a content in its one form. Its length is looked at first.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContentFault> {
        check_length(bytes.len())?;
        let mut reader = Reader::new(bytes);
        let fields = read(&mut reader)?;
        reader.end()?;
        fields.check()?;
        // Another spelling would give what is said a second name.
        if write(&fields) == bytes {
            Ok(Self { fields: Box::new(fields), bytes: bytes.to_vec() })
        } else {
            Err(ContentFault::Form)
        }
    }

    /// What it is made of.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is called, said by this sender in this room ([M-2]).
    #[must_use]
    pub fn id(&self, sender: &Uri, room: &Uri) -> ContentId {
        // A URI is shorter than 2¹⁶ bytes.
        let length = |uri: &Uri| u16::try_from(uri.as_str().len()).unwrap_or(u16::MAX).to_be_bytes();
        let (sender_length, room_length) = (length(sender), length(room));
        let (sender, room) = (sender.as_str().as_bytes(), room.as_str().as_bytes());
        let mut id = sha256(&[&sender_length, sender, &room_length, room, &self.bytes, &self.fields.salt]).0;
        // The number of the hash, then all of it but the last byte.
        id.rotate_right(1);
        if let Some(first) = id.first_mut() {
            *first = 1;
        }
        ContentId(id)
    }

    /// Hash of all that no edit of it may change: its thread, what it answers, and its end ([R-4], attack 56).
    #[must_use]
    pub fn fixed(&self) -> Hash {
        let Fields { topic, expires, in_reply_to, .. } = &*self.fields;
        let mut w = Writer::array_of(3);
        w.bytes(topic.as_bytes());
        write_expiry(&mut w, *expires);
        w.maybe(*in_reply_to, |w, id| w.bytes(&id.0));
        sha256(&[&w.into_bytes()])
    }
}

fn check_length(length: usize) -> Result<(), ContentFault> {
    if length <= limits::CONTENT_BYTES {
        return Ok(());
    }
    Err(ContentFault::Length { got: length as u64, max: limits::CONTENT_BYTES as u64 })
}

fn write(fields: &Fields) -> Vec<u8> {
    let mut w = Writer::array_of(7);
    let id = |w: &mut Writer, id: Option<ContentId>| _ = w.maybe(id, |w, id| w.bytes(&id.0));
    w.bytes(&fields.salt);
    id(&mut w, fields.replaces);
    w.bytes(fields.topic.as_bytes());
    write_expiry(&mut w, fields.expires);
    id(&mut w, fields.in_reply_to);
    write_extensions(&mut w, &fields.extensions);
    write_part(&mut w, &fields.body);
    w.into_bytes()
}

fn write_expiry(w: &mut Writer, expires: Option<Expiry>) {
    w.maybe(expires, |w, expires| match expires {
        Expiry::At(second) => w.array(2).bool(false).u64(second.into()),
        Expiry::AfterReading(seconds) => w.array(2).bool(true).u64(seconds.into()),
    });
}

fn read(r: &mut Reader<'_>) -> Result<Fields, ContentFault> {
    r.array_of(7)?;
    let salt = r.fixed()?;
    let replaces = r.maybe(|r| r.fixed().map(ContentId))?;
    let topic = Topic::new(r.bytes()?)?;
    let expires = r.maybe(|r| {
        r.array_of(2)?;
        Ok((r.bool()?, r.u64()?))
    })?;
    let expires = match expires {
        Some((false, second)) => Some(Expiry::At(small(second)?)),
        Some((true, seconds)) => Some(Expiry::AfterReading(small(seconds)?)),
        None => None,
    };
    let in_reply_to = r.maybe(|r| r.fixed().map(ContentId))?;
    let extensions = read_extensions(r)?;
    let mut room = limits::CONTENT_PARTS;
    let body = read_part(r, limits::CONTENT_LEVELS, &mut room)?;
    Ok(Fields { salt, replaces, topic, expires, in_reply_to, extensions, body })
}

/// A number of the width that its place has.
fn small<T: TryFrom<u64>>(number: u64) -> Result<T, ContentFault> {
    T::try_from(number).map_err(|_| ContentFault::Shape("a smaller number"))
}

fn write_name(w: &mut Writer, name: &Name) {
    match (name.as_number(), name.as_text()) {
        (Some(number), _) => _ = w.i64(number),
        (None, text) => _ = w.str(text.unwrap_or_default()),
    }
}

/// All of them in the one order, which is that of their names.
fn write_extensions(w: &mut Writer, extensions: &Extensions) {
    let mut all: BTreeMap<Name, Vec<u8>> = BTreeMap::new();
    let mut put = |name: Result<Name, ContentFault>, value: Option<Vec<u8>>| {
        debug_assert!(name.is_ok(), "our names are names");
        if let (Ok(name), Some(value)) = (name, value) {
            all.insert(name, value);
        }
    };
    let item = |write: &dyn Fn(&mut Writer)| {
        let mut w = Writer::default();
        write(&mut w);
        w.into_bytes()
    };
    let uri = |uri: &Uri| item(&|w| _ = w.str(uri.as_str()));
    put(Name::number(SENDER), extensions.sender.as_ref().map(uri));
    put(Name::number(ROOM), extensions.room.as_ref().map(uri));
    put(Name::text(PREV), extensions.prev.map(|id| item(&|w| _ = w.bytes(&id.0))));
    let seen = extensions.seen.ids();
    let ids = || item(&|w| _ = w.list(seen.iter(), |w, id| _ = w.bytes(&id.0)));
    put(Name::text(SEEN), (!seen.is_empty()).then(ids));
    put(Name::text(EDIT_NO), extensions.edit_no.map(|number| item(&|w| _ = w.u64(number.get().into()))));
    for (name, value) in extensions.others.all() {
        put(Ok(name.clone()), Some(value.as_bytes().to_vec()));
    }
    w.map(all.len() as u64);
    for (name, value) in &all {
        write_name(w, name);
        w.item(value);
    }
}

fn read_extensions(r: &mut Reader<'_>) -> Result<Extensions, ContentFault> {
    let mut extensions = Extensions::default();
    // Those that have a place of their own are five.
    for _ in 0..r.map(limits::EXTENSIONS as u64 + 5)? {
        let name = read_name(r.item()?)?;
        let value = Item::parse(r.item()?)?;
        let mut r = Reader::new(value.as_bytes());
        let known = match (name.as_number(), name.as_text()) {
            (Some(SENDER), _) => extensions.sender.replace(Uri::parse(r.str()?)?).is_none(),
            (Some(ROOM), _) => extensions.room.replace(Uri::parse(r.str()?)?).is_none(),
            (_, Some(PREV)) => extensions.prev.replace(ContentId(r.fixed()?)).is_none(),
            (_, Some(EDIT_NO)) => {
                let number = NonZeroU32::new(small(r.u64()?)?).ok_or(ContentFault::Shape("a number from 1"))?;
                extensions.edit_no.replace(number).is_none()
            }
            (_, Some(SEEN)) => {
                let ids = r.list(limits::SEEN as u64, |r| r.fixed().map(ContentId))?;
                // None at all is said by leaving it out.
                core::mem::replace(&mut extensions.seen, Seen::new(ids)?).ids().is_empty()
            }
            _ => {
                extensions.others.insert(name, value)?;
                continue;
            }
        };
        r.end()?;
        if !known {
            return Err(ContentFault::Form);
        }
    }
    Ok(extensions)
}

fn read_name(bytes: &[u8]) -> Result<Name, ContentFault> {
    let (Head { major, number, .. }, text) = head(bytes)?;
    let number = i64::try_from(number).ok().filter(|number| number.unsigned_abs() <= KEY);
    match (major, number) {
        (0, Some(number)) => Name::number(number),
        (1, Some(number)) => Name::number(-1 - number),
        (3, _) => Name::text(core::str::from_utf8(text).map_err(|_| ContentFault::Shape("a text"))?),
        _ => Err(ContentFault::Shape("an extension's name")),
    }
}

fn write_part(w: &mut Writer, part: &Part) {
    let items = match &part.body {
        Body::Nothing => 3,
        Body::Single { .. } | Body::Multi(_) => 5,
        Body::External(_) => 15,
    };
    w.array(items).u64(part.disposition.0.into()).str(part.language.as_str());
    match &part.body {
        Body::Nothing => _ = w.u64(0),
        Body::Single { media, bytes } => _ = w.u64(1).str(media.as_str()).bytes(bytes),
        Body::External(external) => {
            w.u64(2);
            write_external(w, external);
        }
        Body::Multi(multi) => _ = w.u64(3).u64(multi.semantics() as u64).list(multi.parts().iter(), write_part),
    }
}

/// Reads a part of at most so many levels, while there is room for it.
fn read_part(r: &mut Reader<'_>, levels: usize, room: &mut usize) -> Result<Part, ContentFault> {
    if levels == 0 {
        let max = limits::CONTENT_LEVELS as u64;
        return Err(ContentFault::TooBig { what: "levels of parts", got: max + 1, max });
    }
    *room = room.checked_sub(1).ok_or(ContentFault::TooBig {
        what: "parts",
        got: limits::CONTENT_PARTS as u64 + 1,
        max: limits::CONTENT_PARTS as u64,
    })?;
    let items = r.array(15)?;
    let disposition = Disposition(small(r.u64()?)?);
    let language = Language::parse(r.str()?)?;
    let body = match (r.u64()?, items) {
        (0, 3) => Body::Nothing,
        (1, 5) => Body::Single { media: Media::parse(r.str()?)?, bytes: r.bytes()?.to_vec() },
        (2, 15) => Body::External(Box::new(read_external(r)?)),
        (3, 5) => {
            let semantics = match r.u64()? {
                0 => Semantics::ChooseOne,
                1 => Semantics::SingleUnit,
                2 => Semantics::ProcessAll,
                _ => return Err(ContentFault::Shape("how parts belong together")),
            };
            let mut parts = Vec::new();
            for _ in 0..r.array(limits::CONTENT_PARTS as u64)? {
                parts.push(read_part(r, levels - 1, room)?);
            }
            Body::Multi(Multi::new(semantics, parts)?)
        }
        _ => return Err(ContentFault::Shape("a part of a known kind, with all its items")),
    };
    Ok(Part { disposition, language, body })
}

fn write_external(w: &mut Writer, external: &External) {
    let External { media, url, expires, size, sealed, hash, description, name } = external;
    w.str(media.as_str()).str(url.as_str()).u64((*expires).into()).u64(*size);
    match sealed {
        Some(sealed) => {
            w.u64(sealed.aead().into()).bytes(sealed.key()).bytes(sealed.nonce()).bytes(sealed.aad());
        }
        None => _ = w.u64(0).bytes(&[]).bytes(&[]).bytes(&[]),
    }
    match hash {
        Some(hash) => _ = w.u64(hash.algorithm().into()).bytes(hash.as_bytes()),
        None => _ = w.u64(0).bytes(&[]),
    }
    w.str(description.as_str()).str(name.as_str());
}

fn read_external(r: &mut Reader<'_>) -> Result<External, ContentFault> {
    let (media, url) = (Media::parse(r.str()?)?, Uri::parse(r.str()?)?);
    let (expires, size) = (small(r.u64()?)?, r.u64()?);
    let (aead, key, nonce, aad) = (small(r.u64()?)?, r.bytes()?, r.bytes()?, r.bytes()?);
    let sealed = match aead {
        0 if key.is_empty() && nonce.is_empty() && aad.is_empty() => None,
        _ => Some(Sealed::new(aead, key, nonce, aad)?),
    };
    let (algorithm, hash) = (small(r.u64()?)?, r.bytes()?);
    let hash = match algorithm {
        0 if hash.is_empty() => None,
        _ => Some(ContentHash::new(algorithm, hash)?),
    };
    let (description, name) = (Description::parse(r.str()?)?, ClaimedName::parse(r.str()?)?);
    Ok(External { media, url, expires, size, sealed, hash, description, name })
}
