//! What people say: contents, reports, places, markdown.

use core::num::NonZeroU32;

use postline_core::content::extension::{Extensions, Name, Seen};
use postline_core::content::external::{ContentHash, External, Sealed};
use postline_core::content::item::Item;
use postline_core::content::markdown::{mentions, without_tags};
use postline_core::content::place::Place;
use postline_core::content::report::{Report, Status};
use postline_core::content::text::{ClaimedName, Description, Language, Media};
use postline_core::content::uri::Uri;
use postline_core::content::{Body, ContentFault, Disposition, Expiry, Fields, Kind, Multi, Part, Semantics, Topic};
use postline_core::id::{ContentId, ConversationId, Identity};
use postline_core::wire::content::Content;
use serde_json::{Value, json};

use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, as_bytes, as_number, hex, number};

impl From<ContentFault> for Not {
    /// Too long as a whole, or malformed: whatever else is wrong is one class, since two readers may find it in two orders.
    fn from(fault: ContentFault) -> Self {
        let long = matches!(fault, ContentFault::Length { .. });
        if long { Class::TooBig.into() } else { Class::Malformed.into() }
    }
}

fn unfit(what: &str) -> Not {
    Not::Understood(what.to_owned())
}

pub(super) fn make(input: Input<'_>) -> Said {
    Ok(json!({ "bytes": hex(Content::new(fields(input)?)?.bytes()) }))
}

pub(super) fn read(input: Input<'_>) -> Said {
    let content = Content::parse(&input.bytes("bytes")?)?;
    let fields = content.fields();
    let mut shown = show(fields);
    if let Some(members) = shown.as_object_mut() {
        let kind = match fields.kind() {
            Kind::Message => "message",
            Kind::Edit { .. } => "edit",
            Kind::Retract { .. } => "retract",
            Kind::Report(_) => "report",
            Kind::Nothing => "nothing",
            Kind::Withdrawal { .. } => "withdrawal",
            Kind::Reaction { signs, .. } => {
                members.insert("signs".to_owned(), json!(signs));
                "reaction"
            }
        };
        members.insert("kind".to_owned(), kind.into());
    }
    Ok(shown)
}

pub(super) fn id(input: Input<'_>) -> Said {
    let content = Content::parse(&input.bytes("bytes")?)?;
    let (sender, room) = match input.maybe("identity") {
        Some(_) => {
            let room = Uri::room(ConversationId(input.fixed("conversation")?));
            (Uri::person(Identity(input.fixed("identity")?)), room)
        }
        None => (Uri::parse(input.text("sender")?)?, Uri::parse(input.text("room")?)?),
    };
    content.fields().check_origin(&sender, &room)?;
    let id = content.id(&sender, &room);
    Ok(json!({ "sender": sender.as_str(), "room": room.as_str(), "id": hex(id.0) }))
}

/// Which parts are shown by a reader of these media types, by their indexes.
pub(super) fn choose(input: Input<'_>) -> Said {
    let content = Content::parse(&input.bytes("bytes")?)?;
    let media = input.list("media")?;
    let understood = |part: &Part| match &part.body {
        Body::Single { media: of, .. } => media.contains(&Value::from(of.as_str())),
        Body::External(external) => media.contains(&Value::from(external.media.as_str())),
        Body::Nothing | Body::Multi(_) => false,
    };
    let body = &content.fields().body;
    let all = body.walk();
    let index = |part: &Part| all.iter().position(|other| core::ptr::eq(*other, part));
    Ok(json!({ "parts": body.chosen(&understood).into_iter().filter_map(index).collect::<Vec<_>>() }))
}

pub(super) fn kept(input: Input<'_>) -> Said {
    let content = Content::parse(&input.bytes("bytes")?)?;
    let each = content.fields().body.kept_elsewhere().into_iter().map(|(external, preview)| {
        let mut kept = json!({ "url": external.url.as_str() });
        if let (Some(members), Some(preview)) = (kept.as_object_mut(), preview) {
            let preview = json!({ "media": preview.picture().media(), "bytes": hex(preview.bytes()) });
            members.insert("preview".to_owned(), preview);
        }
        kept
    });
    Ok(json!({ "kept": each.collect::<Vec<_>>() }))
}

pub(super) fn make_report(input: Input<'_>) -> Said {
    let pair = |pair: &Value| -> Option<(ContentId, Status)> {
        let [id, status] = pair.as_array()?.as_slice() else { return None };
        Some((ContentId(as_bytes(id)?.try_into().ok()?), Status(u8::try_from(as_number(status)?).ok()?)))
    };
    let statuses: Option<Vec<_>> = input.list("statuses")?.iter().map(pair).collect();
    let report = Report::new(statuses.ok_or_else(|| unfit("statuses"))?)?;
    Ok(json!({ "bytes": hex(report.to_bytes()) }))
}

pub(super) fn read_report(input: Input<'_>) -> Said {
    let report = Report::parse(&input.bytes("bytes")?)?;
    let pairs: Vec<Value> = report.statuses().iter().map(|(id, status)| json!([hex(id.0), status.0])).collect();
    Ok(json!({ "statuses": pairs }))
}

pub(super) fn place(input: Input<'_>) -> Said {
    let place = Place::parse(&Uri::parse(input.text("text")?)?).ok_or(Class::Malformed)?;
    let mut said =
        json!({ "latitude": place.latitude(), "longitude": place.longitude(), "text": place.to_uri().as_str() });
    if let (Some(members), Some(within)) = (said.as_object_mut(), place.within()) {
        members.insert("within".to_owned(), within.into());
    }
    Ok(said)
}

pub(super) fn markdown(input: Input<'_>) -> Said {
    Ok(json!({ "text": without_tags(input.text("text")?) }))
}

pub(super) fn mentioned(input: Input<'_>) -> Said {
    let people: Vec<String> = mentions(input.text("text")?).iter().map(|identity| hex(identity.0)).collect();
    Ok(json!({ "people": people }))
}

fn fields(input: Input<'_>) -> Result<Fields, Not> {
    let mut fields = Fields::new(input.fixed("salt")?, part(Input(input.member("body")?))?);
    let id = |name: &str| -> Result<Option<ContentId>, Not> {
        input.maybe(name).map(|_| Ok(ContentId(input.fixed(name)?))).transpose()
    };
    (fields.replaces, fields.in_reply_to) = (id("replaces")?, id("in_reply_to")?);
    fields.topic = Topic::new(&input.bytes("topic")?)?;
    if let Some(expires) = input.maybe("expires") {
        let expires = Input(expires);
        let seconds = small(expires, "seconds")?;
        let after_reading = expires.truth("after_reading")?;
        fields.expires = Some(if after_reading { Expiry::AfterReading(seconds) } else { Expiry::At(seconds) });
    }
    let uri = |name: &str| -> Result<Option<Uri>, Not> {
        input.maybe(name).map(|_| Ok(Uri::parse(input.text(name)?)?)).transpose()
    };
    let extensions = &mut fields.extensions;
    (extensions.sender, extensions.room, extensions.prev) = (uri("sender")?, uri("room")?, id("prev")?);
    let ids = |value: &Value| as_bytes(value).and_then(|bytes| bytes.try_into().ok()).map(ContentId);
    let seen: Option<Vec<_>> = input.list("seen")?.iter().map(ids).collect();
    extensions.seen = Seen::new(seen.ok_or_else(|| unfit("seen"))?)?;
    if input.maybe("edit_no").is_some() {
        extensions.edit_no = NonZeroU32::new(small(input, "edit_no")?);
    }
    for other in input.list("others")? {
        let [name, value] = other.as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(unfit("others"));
        };
        let name = match (name.as_i64(), name.as_str()) {
            (Some(number), _) => Name::number(number)?,
            (None, Some(text)) => Name::text(text)?,
            (None, None) => return Err(unfit("a name")),
        };
        extensions.others.insert(name, Item::parse(&as_bytes(value).ok_or_else(|| unfit("a value"))?)?)?;
    }
    Ok(fields)
}

fn small<T: TryFrom<u64>>(input: Input<'_>, name: &str) -> Result<T, Not> {
    T::try_from(input.number(name)?).map_err(|_| unfit(name))
}

fn part(input: Input<'_>) -> Result<Part, Not> {
    let (disposition, language) = (Disposition(small(input, "disposition")?), input.text("language")?);
    let language = Language::parse(language)?;
    let body = if input.maybe("media").is_some() {
        Body::Single { media: Media::parse(input.text("media")?)?, bytes: input.bytes("content")? }
    } else if let Some(external) = input.maybe("external") {
        Body::External(Box::new(self::external(Input(external))?))
    } else if input.maybe("parts").is_some() {
        let semantics = match input.number("semantics")? {
            0 => Semantics::ChooseOne,
            1 => Semantics::SingleUnit,
            2 => Semantics::ProcessAll,
            _ => return Err(unfit("semantics")),
        };
        let parts: Result<Vec<_>, Not> = input.list("parts")?.iter().map(|one| part(Input(one))).collect();
        Body::Multi(Multi::new(semantics, parts?)?)
    } else {
        Body::Nothing
    };
    Ok(Part { disposition, language, body })
}

pub(super) fn external(input: Input<'_>) -> Result<External, Not> {
    let sealed = match small(input, "aead")? {
        0 => None,
        aead => Some(Sealed::new(aead, &input.bytes("key")?, &input.bytes("nonce")?, &input.bytes("aad")?)?),
    };
    let hash = match small(input, "hash_alg")? {
        0 => None,
        algorithm => Some(ContentHash::new(algorithm, &input.bytes("hash")?)?),
    };
    Ok(External {
        media: Media::parse(input.text("media")?)?,
        url: Uri::parse(input.text("url")?)?,
        expires: small(input, "expires")?,
        size: input.number("size")?,
        sealed,
        hash,
        description: Description::parse(input.text("description")?)?,
        name: ClaimedName::parse(input.text("filename")?)?,
    })
}

fn show(fields: &Fields) -> Value {
    let Fields { salt, topic, extensions, body, .. } = fields;
    let Extensions { seen, others, .. } = extensions;
    let seen: Vec<String> = seen.ids().iter().map(|id| hex(id.0)).collect();
    let name = |name: &Name| name.as_number().map_or_else(|| json!(name.as_text()), |number| json!(number));
    let others: Vec<Value> = others.all().iter().map(|(of, value)| json!([name(of), hex(value.as_bytes())])).collect();
    let mut shown = json!({
        "salt": hex(salt), "topic": hex(topic.as_bytes()), "seen": seen, "others": others, "body": show_part(body),
    });
    let expires = fields.expires.map(|expires| match expires {
        Expiry::At(second) => json!({ "after_reading": false, "seconds": second }),
        Expiry::AfterReading(seconds) => json!({ "after_reading": true, "seconds": seconds }),
    });
    let id = |id: ContentId| json!(hex(id.0));
    if let Some(members) = shown.as_object_mut() {
        for (name, value) in [
            ("replaces", fields.replaces.map(id)),
            ("in_reply_to", fields.in_reply_to.map(id)),
            ("expires", expires),
            ("sender", extensions.sender.as_ref().map(|uri| json!(uri.as_str()))),
            ("room", extensions.room.as_ref().map(|uri| json!(uri.as_str()))),
            ("prev", extensions.prev.map(id)),
            ("edit_no", extensions.edit_no.map(|number| json!(number))),
        ] {
            members.extend(value.map(|value| (name.to_owned(), value)));
        }
    }
    shown
}

fn show_part(part: &Part) -> Value {
    let (disposition, language) = (part.disposition.0, part.language.as_str());
    match &part.body {
        Body::Nothing => json!({ "disposition": disposition, "language": language }),
        Body::Single { media, bytes } => {
            json!({ "disposition": disposition, "language": language, "media": media.as_str(), "content": hex(bytes) })
        }
        Body::Multi(multi) => {
            let parts: Vec<Value> = multi.parts().iter().map(show_part).collect();
            let semantics = multi.semantics() as u8;
            json!({ "disposition": disposition, "language": language, "semantics": semantics, "parts": parts })
        }
        Body::External(external) => {
            json!({ "disposition": disposition, "language": language, "external": show_external(external) })
        }
    }
}

fn show_external(external: &External) -> Value {
    let External { media, url, expires, size, sealed, hash, description, name } = external;
    let sealed = sealed.as_ref();
    let bytes = |of: fn(&Sealed) -> &[u8]| hex(sealed.map(of).unwrap_or_default());
    json!({
        "media": media.as_str(), "url": url.as_str(), "expires": expires, "size": number(*size),
        "aead": sealed.map_or(0, Sealed::aead), "key": bytes(Sealed::key), "nonce": bytes(Sealed::nonce),
        "aad": bytes(Sealed::aad), "hash_alg": hash.as_ref().map_or(0, ContentHash::algorithm),
        "hash": hex(hash.as_ref().map(ContentHash::as_bytes).unwrap_or_default()),
        "description": description.as_str(), "filename": name.as_str(),
    })
}
