//! Something that people say: any content that can be made, mostly small.

use core::num::NonZeroU32;

use postline_core::content::extension::{Extensions, Name, Seen};
use postline_core::content::external::{CHACHA20_POLY1305, ContentHash, External, Sealed};
use postline_core::content::item::Item;
use postline_core::content::report::{Report, Status};
use postline_core::content::text::{ClaimedName, Description, Language, Media};
use postline_core::content::uri::Uri;
use postline_core::content::{Body, Disposition, Expiry, Fields, Part, Semantics, Topic};
use postline_core::id::{ContentId, ConversationId, Identity};
use postline_core::wire::content::Content;

use crate::rng::Rng;

const WORDS: [&str; 6] = ["", "hello", "<b>grüße</b>", "🥳", "[@Ann](postline:u/11)", "a\nb\u{202e}c"];
const MEDIA: [&str; 7] = [
    "text/plain;charset=utf-8",
    "text/markdown;variant=GFM-MIMI",
    "text/html",
    "application/mimi-message-status",
    "audio/ogg;codecs=opus",
    "image/png",
    "",
];
/// Values of extensions, each in its one form.
const ITEMS: [&[u8]; 6] = [
    &[0],
    &[0xf9, 0x7e, 0],
    &[0x81, 0x81, 0x81, 0x20],
    &[0xa1, 0x41, 9, 0xf6],
    &[0x62, 0xc3, 0xbc],
    &[0xc1, 0x19, 1, 0],
];

/// The fields of a content that can be made.
pub fn content_fields(rng: &mut Rng) -> Fields {
    let body = part(rng, 1);
    let mut fields = Fields::new(rng.bytes(), body);
    fields.replaces = maybe(rng, id);
    fields.in_reply_to = maybe(rng, id);
    fields.expires = maybe(rng, |rng| {
        let second = u32::try_from(rng.below(1 << 32)).unwrap_or_default();
        if rng.chance(500) { Expiry::At(second) } else { Expiry::AfterReading(second % 100) }
    });
    fields.topic = Topic::new(&vec![7; rng.index(40)]).unwrap_or_default();
    fields.extensions = extensions(rng);
    if fields.replaces.is_some() {
        fields.extensions.edit_no =
            maybe(rng, |rng| NonZeroU32::MIN.saturating_add(u32::try_from(rng.below(300)).unwrap_or(0)));
    }
    // What came out too long is said in fewer words.
    if Content::new(fields.clone()).is_err() {
        fields.body.body = Body::Nothing;
    }
    fields
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.chance(300).then(|| make(rng))
}

fn id(rng: &mut Rng) -> ContentId {
    let mut id = [u8::try_from(rng.below(9)).unwrap_or_default(); 32];
    if let Some(first) = id.first_mut() {
        *first = 1;
    }
    ContentId(id)
}

fn word<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    rng.pick(of).copied().unwrap_or_default()
}

fn extensions(rng: &mut Rng) -> Extensions {
    let mut extensions = Extensions {
        sender: maybe(rng, |rng| Uri::person(Identity([u8::from(rng.chance(500)); 32]))),
        room: maybe(rng, |rng| Uri::room(ConversationId([u8::from(rng.chance(500)); 32]))),
        prev: maybe(rng, id),
        ..Extensions::default()
    };
    let seen: Vec<_> = (0..rng.below(5)).map(|_| id(rng)).collect();
    extensions.seen = Seen::new(seen).unwrap_or_default();
    for _ in 0..rng.below(4) {
        let number = i64::try_from(rng.below(600)).unwrap_or_default() - 300;
        let name =
            if rng.chance(500) { Name::number(number) } else { Name::text(word(rng, &["a", "bb", "postline/x"])) };
        let item = rng.pick(&ITEMS).copied().and_then(|item| Item::parse(item).ok());
        if let (Ok(name), Some(item)) = (name, item) {
            // A name that is there already stays what it is.
            extensions.others.insert(name, item).unwrap_or_default();
        }
    }
    extensions
}

fn part(rng: &mut Rng, level: usize) -> Part {
    let known = if rng.chance(50) { 256 } else { 9 };
    let disposition = Disposition(u8::try_from(rng.below(known)).unwrap_or_default());
    let language = Language::parse(word(rng, &["", "en", "de-AT,en"])).unwrap_or_default();
    let body = match rng.below(if level < 4 { 10 } else { 7 }) {
        0 => Body::Nothing,
        1 | 2 => Body::External(Box::new(external(rng))),
        3 => {
            let statuses = (0..rng.below(3)).map(|_| (id(rng), Status(u8::try_from(rng.below(9)).unwrap_or_default())));
            let report = Report::new(statuses.collect()).unwrap_or_default();
            report.to_part().map_or(Body::Nothing, |part| part.body)
        }
        4..7 => {
            let media = Media::parse(word(rng, &MEDIA)).unwrap_or_default();
            let most = if rng.chance(100) { 200 } else { 3 };
            let bytes = word(rng, &WORDS).repeat(1 + rng.index(most)).into_bytes();
            Body::Single { media, bytes }
        }
        _ => {
            let semantics = [Semantics::ChooseOne, Semantics::SingleUnit, Semantics::ProcessAll];
            let semantics = rng.pick(&semantics).copied().unwrap_or(Semantics::ProcessAll);
            let parts = (0..2 + rng.below(3)).map(|_| part(rng, level + 1)).collect();
            Part::multi(disposition, semantics, parts).map_or(Body::Nothing, |part| part.body)
        }
    };
    Part { disposition, language, body }
}

fn external(rng: &mut Rng) -> External {
    let url = word(rng, &["https://a.example/x", "geo:48.2082,16.3738;u=25", "geo:91,0", "x"]);
    let url = Uri::parse(url).unwrap_or_else(|_| Uri::person(Identity([0; 32])));
    External {
        media: Media::parse(word(rng, &MEDIA)).unwrap_or_default(),
        expires: u32::try_from(rng.below(1 << 32)).unwrap_or_default(),
        size: if rng.chance(500) { rng.draw() } else { 0 },
        sealed: maybe(rng, |rng| Sealed::new(CHACHA20_POLY1305, &rng.bytes::<32>(), &rng.bytes::<12>(), b"").ok())
            .flatten(),
        hash: maybe(rng, |rng| ContentHash::new(1, &rng.bytes::<32>()).ok()).flatten(),
        description: Description::parse(word(rng, &WORDS)).unwrap_or_default(),
        name: ClaimedName::parse(word(rng, &["", "a.png", "../../etc/passwd", "con\u{0}"])).unwrap_or_default(),
        ..External::at(url)
    }
}
