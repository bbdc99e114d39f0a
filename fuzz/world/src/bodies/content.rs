//! Bodies for what people say: a content and a report, read from any bytes.

use postline_core::content::markdown::{mentions, without_tags};
use postline_core::content::place::Place;
use postline_core::content::report::Report;
use postline_core::content::uri::Uri;
use postline_core::content::{Body, ContentFault, Kind, Part};
use postline_core::id::{ConversationId, Identity};
use postline_core::limits;
use postline_core::wire::content::Content;

/// A content is read in its one form, within its bounds, or refused; whatever it says, it is one kind of thing, its parts
/// are finite, its words are no HTML, and it has one name.
///
/// # Panics
/// Where a promise is broken.
pub fn content_survives(bytes: &[u8]) {
    report_survives(bytes);
    text_survives(bytes);
    let content = match Content::parse(bytes) {
        Ok(content) => content,
        Err(ContentFault::Length { got, .. }) => {
            assert!(got as usize == bytes.len() && bytes.len() > limits::CONTENT_BYTES, "{got} bytes are too many");
            return;
        }
        Err(fault) => {
            let said = fault.to_string();
            assert!(!said.is_empty() && said.len() < 200, "{} bytes are said of a content", said.len());
            return;
        }
    };
    assert!(bytes.len() <= limits::CONTENT_BYTES, "{} bytes were taken", bytes.len());
    assert_eq!(content.bytes(), bytes, "read in another form");
    assert_eq!(Content::new(content.fields().clone()).as_ref(), Ok(&content), "written in another way than read");
    let (sender, room) = (Uri::person(Identity([1; 32])), Uri::room(ConversationId([2; 32])));
    let id = content.id(&sender, &room);
    assert_eq!(id.0.first(), Some(&1));
    assert_ne!(content.id(&room, &sender), id, "who and where are the same to it");
    let fields = content.fields();
    assert!(fields.extensions.seen.ids().len() <= limits::SEEN);
    assert!(fields.extensions.others.all().len() <= limits::EXTENSIONS);
    assert!(fields.extensions.edit_no.is_none() || fields.replaces.is_some(), "an edit of nothing");
    parts_survive(&fields.body);
    match fields.kind() {
        Kind::Report(bytes) => report_survives(bytes),
        Kind::Reaction { to, signs, .. } => {
            assert!(signs.len() <= limits::SIGNS && signs.iter().all(|sign| sign.len() <= limits::SIGN_BYTES));
            assert_eq!(fields.in_reply_to, Some(to));
        }
        Kind::Withdrawal { to, target } => assert_eq!((fields.in_reply_to, fields.replaces), (Some(to), Some(target))),
        Kind::Edit { target, .. } | Kind::Retract { target } => assert_eq!(fields.replaces, Some(target)),
        Kind::Message | Kind::Nothing => assert!(fields.replaces.is_none(), "what it replaces is forgotten"),
    }
}

fn parts_survive(body: &Part) {
    assert!(body.levels() <= limits::CONTENT_LEVELS && body.count() <= limits::CONTENT_PARTS);
    let all = body.walk();
    assert_eq!(all.len(), body.count(), "an index that no part has, or two");
    for part in &all {
        if let Some(words) = part.words() {
            text_survives(words.as_str().as_bytes());
        }
        if let Some(place) = part.as_place() {
            assert_eq!(Place::parse(&place.to_uri()), Some(place), "a place that is another one");
        }
    }
    let leaves = |part: &&Part| !matches!(part.body, Body::Multi(_) | Body::Nothing);
    let shown = body.chosen(&|_| true);
    assert!(shown.iter().all(leaves) && shown.len() <= all.iter().copied().filter(leaves).count());
    assert!(body.chosen(&|_| false).is_empty(), "what isn't understood is shown");
}

fn report_survives(bytes: &[u8]) {
    let Ok(report) = Report::parse(bytes) else { return };
    assert!(report.statuses().len() <= limits::STATUSES);
    assert_eq!(report.to_bytes(), bytes, "written in another way than read");
}

/// Markdown goes out without anything that begins a tag, and goes out a second time as the first.
fn text_survives(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let sent = without_tags(text);
    assert_eq!(without_tags(&sent), sent, "twice isn't once");
    for after in sent.split('<').skip(1) {
        let tag = after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        assert!(!tag || after.contains(':'), "a tag goes out");
    }
    assert!(mentions(text).len() <= limits::MENTIONS);
}
