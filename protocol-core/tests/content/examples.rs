//! The published examples of draft-ietf-mimi-content-08, read in place: [M-1] [M-2] [M-6] [M-10].

use postline_core::content::external::AES_128_GCM;
use postline_core::content::{Body, Disposition, Expiry, Kind, Part};
use postline_core::id::ContentId;
use postline_core::wire::content::Content;

use super::kit::unhex;
use super::vectors;

/// Each example, with the id that its notation names.
const NAMES: [&str; 14] = [
    "original",
    "reply",
    "reaction",
    "unlike",
    "edit",
    "delete",
    "mention",
    "mention-html",
    "expiring",
    "attachment",
    "conferencing",
    "multipart-1",
    "multipart-2",
    "multipart-3",
];

fn example(name: &str) -> Option<(Content, ContentId)> {
    let notation = vectors::read(&format!("mimi-content-08/{name}.edn"))?;
    let bytes = vectors::read_bytes(&format!("mimi-content-08/{name}.cbor"))?;
    // `# message ID = h'…` over two lines of comment.
    let (_, id) = notation.split_once("message ID = h'").unwrap();
    let (id, _) = id.split_once("'\n# timestamp").unwrap();
    let content = Content::parse(&bytes).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    assert_eq!(content.bytes(), bytes, "{name}");
    assert_eq!(Content::new(content.fields().clone()).unwrap().bytes(), bytes, "{name} is written in another way");
    Some((content, ContentId(unhex(id).try_into().unwrap())))
}

/// [M-1] [M-2]: every value is read and written byte for byte, and every id is derived again.
#[test]
fn every_published_example_has_its_id_and_its_bytes() {
    let mut derived = 0;
    for name in NAMES {
        let Some((content, id)) = example(name) else { continue };
        let extensions = &content.fields().extensions;
        let (sender, room) = (extensions.sender.clone().unwrap(), extensions.room.clone().unwrap());
        assert_eq!(content.id(&sender, &room), id, "{name}");
        assert_eq!(content.fields().check_origin(&sender, &room), Ok(()));
        derived += 1;
    }
    println!("figure content.examples {derived} of {}", NAMES.len());
}

/// [M-10]
#[test]
fn the_published_examples_are_what_they_are_called() {
    let Some((original, first)) = example("original") else { return };
    assert_eq!(original.fields().kind(), Kind::Message);
    let (reply, second) = example("reply").unwrap();
    assert_eq!((reply.fields().kind(), reply.fields().in_reply_to), (Kind::Message, Some(first)));
    let (reaction, third) = example("reaction").unwrap();
    assert_eq!(reaction.fields().kind(), Kind::Reaction { to: first, target: None, signs: vec!["\u{2764}"] });
    let (unlike, _) = example("unlike").unwrap();
    assert_eq!(unlike.fields().kind(), Kind::Withdrawal { to: first, target: third });
    let (edit, _) = example("edit").unwrap();
    assert_eq!(edit.fields().kind(), Kind::Edit { target: second, no: None });
    assert_eq!(edit.fixed(), reply.fixed(), "an edit of it");
    let (delete, _) = example("delete").unwrap();
    assert_eq!(delete.fields().kind(), Kind::Retract { target: second });
    let (expiring, _) = example("expiring").unwrap();
    assert_eq!(expiring.fields().expires, Some(Expiry::At(1_644_390_004)));
    let (conferencing, _) = example("conferencing").unwrap();
    assert_eq!(conferencing.fields().topic.as_bytes(), b"Foo 118");
    assert_eq!(conferencing.fields().body.disposition, Disposition::SESSION);
    // Several reactions at once, to nothing: the published example answers no content, so there is nothing to react to.
    let (several, _) = example("multipart-2").unwrap();
    assert_eq!((several.fields().kind(), several.fields().body.count()), (Kind::Message, 4));
}

/// [M-7]: HTML has no words; markdown has, as it came.
#[test]
fn the_published_html_is_never_text() {
    let (Some((html, _)), Some((markdown, _))) = (example("mention-html"), example("mention")) else { return };
    assert_eq!(html.fields().body.words(), None);
    let words = markdown.fields().body.words().unwrap().as_str();
    assert!(words.starts_with("Kudos to [@Alice Smith](mimi://example.com/u/alice-smith)"), "{words}");
}

/// [M-9]
#[test]
fn the_published_attachment_has_its_key_and_claims() {
    let Some((content, _)) = example("attachment") else { return };
    let part = &content.fields().body;
    let Body::External(file) = &part.body else { panic!("{part:?}") };
    let sealed = file.sealed.as_ref().unwrap();
    assert_eq!((sealed.aead(), sealed.key().len(), sealed.nonce().len()), (AES_128_GCM, 16, 12));
    assert_eq!(
        (part.disposition, file.size, file.name.as_str()),
        (Disposition::ATTACHMENT, 708_234_961, "bigfile.mp4")
    );
    assert!(file.hash.as_ref().unwrap().sha256().is_some() && file.media.is("video/mp4"));
}

/// [M-6]: four levels, eleven parts; indexes are depth first; the author's first choice that is understood is shown.
#[test]
fn the_published_choices_are_chosen_among() {
    let Some((content, _)) = example("multipart-3") else { return };
    let body = &content.fields().body;
    assert_eq!((body.levels(), body.count()), (4, 11));
    let media = |part: &&Part| match &part.body {
        Body::Single { media, .. } => media.as_str().to_owned(),
        Body::External(_) | Body::Multi(_) | Body::Nothing => String::new(),
    };
    let all = body.walk();
    assert_eq!((media(&all[5]), media(&all[10])), ("image/gif".to_owned(), "image/png".to_owned()));
    let seen = |understood: &'static [&'static str]| -> Vec<String> {
        body.chosen(&|part| understood.contains(&media(&part).as_str())).iter().map(media).collect()
    };
    let html = "text/html;charset=utf-8";
    assert_eq!(seen(&["text/html;charset=utf-8", "image/png", "image/gif"]), [html, "image/gif"]);
    assert_eq!(seen(&["text/html;charset=utf-8"]), [html], "as much of the first as goes");
    assert_eq!(seen(&["image/png"]), ["image/png"]);
    assert_eq!(seen(&[]), Vec::<String>::new());
}
