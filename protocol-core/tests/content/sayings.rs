//! How each thing is said, and that its reader takes it for that.

use core::num::NonZeroU32;

use postline_core::content::extension::Seen;
use postline_core::content::external::{CHACHA20_POLY1305, ContentHash, External, Sealed};
use postline_core::content::markdown::{mention, mentions, named, without_tags};
use postline_core::content::part::Words;
use postline_core::content::place::Place;
use postline_core::content::preview::{Picture, Preview};
use postline_core::content::report::{Report, Status};
use postline_core::content::text::{ClaimedName, Media};
use postline_core::content::uri::Uri;
use postline_core::content::{ContentFault, Disposition, Expiry, Fields, Kind, Part, Semantics, Topic};
use postline_core::fault::PeerFault;
use postline_core::id::{ConversationId, Hash, Identity};
use postline_core::limits;
use postline_core::time::Millis;
use postline_core::wire::content::Content;

use super::kit::{ANN, SALT, TALK, both_ways, hello, id, raw, said, unhex};

/// [M-2] [M-3]: the example of the chapter.
#[test]
fn a_content_is_named_by_who_said_what_where() {
    let content = both_ways(hello());
    assert_eq!(content.bytes(), raw(&[0xa0], &said("hello")));
    let (sender, room) = (Uri::person(ANN), Uri::room(TALK));
    assert_eq!(sender.as_str(), format!("postline:u/{}", "11".repeat(32)));
    assert_eq!(room.as_str(), format!("postline:r/{}", "22".repeat(32)));
    let want = unhex("01b7c73d9eba072a99b3056f826f37a147b3acaf5e20da81aa83428a4fe3dad8");
    assert_eq!(content.id(&sender, &room).0.to_vec(), want);
    // Another sender, room, salt or word has another name.
    let others = [
        content.id(&Uri::person(Identity([0x12; 32])), &room),
        content.id(&sender, &Uri::room(ConversationId([0x23; 32]))),
        both_ways(Fields { salt: [0x34; 16], ..hello() }).id(&sender, &room),
        both_ways(Fields::new(SALT, Part::plain("hullo").unwrap())).id(&sender, &room),
    ];
    assert!(others.iter().all(|other| other.0.to_vec() != want && other.0[0] == 1));
}

/// [M-3]
#[test]
fn a_uri_of_ours_has_one_spelling() {
    assert_eq!(Uri::person(ANN).as_person(), Some(ANN));
    assert_eq!(Uri::room(TALK).as_room(), Some(TALK));
    let long = format!("postline:u/{}", "A1".repeat(32));
    for text in ["mimi://a.example/u/ann", "postline:u/", "postline:u/11", long.as_str(), Uri::room(TALK).as_str()] {
        assert_eq!(Uri::parse(text).unwrap().as_person(), None, "{text}");
    }
    assert_eq!(Uri::person(ANN).as_room(), None);
}

/// [M-3]: who is shown as the author comes from the seal, whatever the content says.
#[test]
fn t_086_a_content_that_names_another_author_or_room_is_refused() {
    let (sender, room, other) = (Uri::person(ANN), Uri::room(TALK), Uri::person(Identity([0x12; 32])));
    let mut fields = hello();
    assert_eq!(fields.check_origin(&sender, &room), Ok(()), "it need not say");
    fields.extensions.sender = Some(sender.clone());
    fields.extensions.room = Some(room.clone());
    let content = both_ways(fields);
    assert_eq!(content.fields().check_origin(&sender, &room), Ok(()));
    assert_eq!(content.fields().check_origin(&other, &room), Err(ContentFault::Origin("sender")));
    let elsewhere = Uri::room(ConversationId([0x23; 32]));
    assert_eq!(content.fields().check_origin(&sender, &elsewhere), Err(ContentFault::Origin("room")));
    let heard = PeerFault::from(ContentFault::Origin("room"));
    assert!(matches!(heard, PeerFault::Sealed(_)), "{heard}");
}

/// [M-10]
#[test]
fn a_reply_an_edit_and_a_retract_name_what_they_are_about() {
    let reply = both_ways(hello().in_reply_to(id(7)).in_thread(Topic::from_first(id(3))));
    assert_eq!((reply.fields().kind(), reply.fields().in_reply_to), (Kind::Message, Some(id(7))));
    assert_eq!(reply.fields().topic.as_bytes(), id(3).0);
    let edit = both_ways(hello().edit(id(5), NonZeroU32::MIN));
    assert_eq!(edit.fields().kind(), Kind::Edit { target: id(5), no: Some(NonZeroU32::MIN) });
    assert_eq!(edit.fields().extensions.edit_no, Some(NonZeroU32::MIN));
    let retract = both_ways(Fields::retract(SALT, id(5)));
    assert_eq!(retract.fields().kind(), Kind::Retract { target: id(5) });
    assert_eq!(retract.fields().body.words(), None);
    let nothing = Fields { replaces: None, ..Fields::retract(SALT, id(5)) };
    assert_eq!(both_ways(nothing).fields().kind(), Kind::Nothing);
}

/// [M-10]
#[test]
fn a_person_reacts_and_takes_it_back() {
    for sign in ["👍", "❤", "👩🏽‍🚀", "+1"] {
        let one = both_ways(Fields::react(SALT, id(7), sign).unwrap());
        assert_eq!(one.fields().kind(), Kind::Reaction { to: id(7), target: None, signs: vec![sign] });
    }
    let gone = both_ways(Fields::withdraw(SALT, id(7), id(9)));
    assert_eq!(gone.fields().kind(), Kind::Withdrawal { to: id(7), target: id(9) });
    let instead = Fields { replaces: Some(id(9)), ..Fields::react(SALT, id(7), "🤔").unwrap() };
    assert_eq!(instead.kind(), Kind::Reaction { to: id(7), target: Some(id(9)), signs: vec!["🤔"] });
    let most = "x".repeat(limits::SIGN_BYTES);
    assert!(Fields::react(SALT, id(7), &most).is_ok());
    let over = ContentFault::TooBig { what: "bytes of a sign", got: 65, max: 64 };
    assert_eq!(Fields::react(SALT, id(7), &format!("{most}x")), Err(over));
    assert_eq!(Fields::react(SALT, id(7), ""), Err(ContentFault::Shape("a sign")));
}

/// [M-10]: others may say several at once, and among them what can't be a sign.
#[test]
fn signs_that_come_together_are_told_apart() {
    let part = |text: &str| Part::single(Disposition::REACTION, "text/plain", text.as_bytes().to_vec()).unwrap();
    let long = "x".repeat(limits::SIGN_BYTES + 1);
    let odd = vec![part(&long), part(""), part("❤"), part("🥳"), part("❤"), Part::plain("no sign").unwrap()];
    let signs = |parts: Vec<Part>| {
        let body = Part::multi(Disposition::REACTION, Semantics::ProcessAll, parts).unwrap();
        let content = both_ways(Fields::new(SALT, body).in_reply_to(id(7)));
        let Kind::Reaction { signs, .. } = content.fields().kind() else { panic!("{content:?}") };
        signs.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(signs(odd), ["❤", "🥳"]);
    assert_eq!(signs((0..100).map(|n| part(&n.to_string())).collect()).len(), limits::SIGNS);
}

/// [M-10]: what an edit may not change is the same in two contents, or it isn't.
#[test]
fn t_056_what_no_edit_may_change_has_one_hash() {
    let first = hello().in_reply_to(id(7)).in_thread(Topic::from_first(id(3))).expiring(Expiry::At(9));
    let edit = Fields { body: Part::markdown("_hullo_").unwrap(), ..first.clone() }.edit(id(5), NonZeroU32::MIN);
    let fixed = |fields: Fields| Content::new(fields).unwrap().fixed();
    let want = fixed(first.clone());
    assert_eq!(fixed(edit), want);
    for other in [
        first.clone().in_reply_to(id(8)),
        first.clone().in_thread(Topic::default()),
        first.clone().expiring(Expiry::AfterReading(9)),
        Fields { expires: None, ..first },
    ] {
        assert_ne!(fixed(other), want);
    }
}

/// [M-9] [M-10]
#[test]
fn an_attachment_and_a_voice_note_say_where_and_under_which_key() {
    let sealed = Sealed::new(CHACHA20_POLY1305, &[0x5e; 32], &[2; 12], b"").unwrap();
    assert_eq!(format!("{sealed:?}"), "Sealed { aead: 29, key: Secret(..) }");
    let file = External {
        media: Media::parse("image/jpeg").unwrap(),
        size: 12,
        sealed: Some(sealed),
        hash: Some(ContentHash::from(Hash([3; 32]))),
        name: ClaimedName::parse("../../.ssh/id_ed25519\u{202e}gpj").unwrap(),
        ..External::at(Uri::parse("postline:b/0303").unwrap())
    };
    assert!(!format!("{file:?}").contains("94"), "a key is never printed");
    assert_eq!(file.hash.as_ref().and_then(ContentHash::sha256), Some(Hash([3; 32])));
    let part = Part::attachment(file.clone());
    assert_eq!(Part::voice(file.clone()), Err(ContentFault::Shape("a sound")));
    let shown = part.with_preview(&Preview::new(&webp(300)).unwrap()).unwrap();
    let content = both_ways(Fields::new(SALT, shown));
    let kinds: Vec<_> = content.fields().body.walk().iter().map(|part| part.disposition).collect();
    assert_eq!(kinds, [Disposition::ATTACHMENT, Disposition::ATTACHMENT, Disposition::PREVIEW]);
    let voice = Part::voice(External { media: Media::parse("Audio/ogg;codecs=opus").unwrap(), ..file }).unwrap();
    let content = both_ways(Fields::new(SALT, voice));
    assert!(content.fields().body.is_voice() && !Part::plain("la la").unwrap().is_voice());
}

/// A WebP, as far as anybody looks.
fn webp(len: usize) -> Vec<u8> {
    let mut bytes = b"RIFF\x0c\0\0\0WEBPVP8 ".to_vec();
    bytes.resize(len, 9);
    bytes
}

/// [M-13]
#[test]
fn a_preview_goes_along_with_what_it_is_of_and_is_a_small_picture_and_nothing_else() {
    let file = |n: u8| External::at(Uri::parse(&format!("postline:b/{n}")).unwrap());
    let picture = webp(300);
    let preview = Preview::new(&picture).unwrap();
    assert_eq!((preview.picture(), preview.picture().ending()), (Picture::WebP, "webp"));
    assert_eq!(format!("{preview:?}"), "Preview(image/webp, 300 bytes)", "a picture is for people");
    let body = Part::attachment(file(1)).with_preview(&preview).unwrap();
    let content = both_ways(Fields::new(SALT, body));
    let kept = content.fields().body.kept_elsewhere();
    assert_eq!(kept, [(&file(1), Some(preview))]);
    // What is too long, or no picture, is refused to its author and passed over by its reader.
    let long = webp(limits::PREVIEW_BYTES + 1);
    let (got, max) = (long.len() as u64, limits::PREVIEW_BYTES as u64);
    assert_eq!(Preview::new(&long), Err(ContentFault::TooBig { what: "bytes of a preview", got, max }));
    assert!(Preview::new(&long[..limits::PREVIEW_BYTES]).is_ok());
    for bytes in [&b""[..], b"<svg/>", b"GIF89a", b"RIFF\x0c\0\0\0WAVE", b"\x89PNG\r\n", &[0; 12]] {
        assert_eq!(Preview::new(bytes), Err(ContentFault::Shape("a picture: PNG, JPEG or WebP")));
    }
    for (media, bytes) in
        [("image/webp", &long[..]), ("image/png", &picture), ("text/plain", b"look"), ("image/webp", b"")]
    {
        let said = Part::single(Disposition::PREVIEW, media, bytes.to_vec()).unwrap();
        assert_eq!(said.words(), None, "what is a preview has no words");
        let body = Part::multi(Disposition::ATTACHMENT, Semantics::ProcessAll, vec![Part::attachment(file(1)), said]);
        assert_eq!(body.unwrap().kept_elsewhere(), [(&file(1), None)], "{media}");
    }
}

/// [M-7]
#[test]
fn markdown_goes_out_without_tags_and_is_never_html() {
    for (text, want) in [
        ("a <b>bold</b> word", "a &lt;b>bold&lt;/b> word"),
        ("<!-- no --> <?php ?> <![CDATA[x]]>", "&lt;!-- no --> &lt;?php ?> &lt;![CDATA[x]]>"),
        ("1 < 2 <3 <= <<script>", "1 < 2 <3 <= <&lt;script>"),
        ("see <https://a.example/x>", "see <https://a.example/x>"),
        ("<mimi://a.example/u/ann>", "<mimi://a.example/u/ann>"),
        ("<https://a.example/ onload=x>", "&lt;https://a.example/ onload=x>"),
        ("<a:b", "&lt;a:b"),
        ("<a:b>", "&lt;a:b>"),
        ("<a\nb>", "&lt;a\nb>"),
        ("grüße < ünd", "grüße < ünd"),
        ("<", "<"),
    ] {
        assert_eq!(without_tags(text), want);
        assert_eq!(without_tags(want), want, "twice is once");
        let part = Part::markdown(text).unwrap();
        assert_eq!(part.words(), Some(Words::Markdown(want)));
    }
    let html = Part::single(Disposition::RENDER, "text/html;charset=utf-8", b"<b>x</b>".to_vec()).unwrap();
    assert_eq!(html.words(), None);
    let latin = Part::single(Disposition::RENDER, "Text/PLAIN ; charset=latin1", b"caf\xe9".to_vec()).unwrap();
    assert_eq!(latin.words(), None, "what is no UTF-8 has no words");
    let plain = Part::single(Disposition::RENDER, "Text/PLAIN", b"<b>".to_vec()).unwrap();
    assert_eq!(plain.words(), Some(Words::Plain("<b>")));
}

/// [M-7]
#[test]
fn a_mention_names_a_person_for_good() {
    let bob = Identity([0x44; 32]);
    let text = format!("{} and {} and {}", mention("A[n](n\n", ANN), mention("Bob", bob), mention("Ann", ANN));
    assert!(text.starts_with(r"[@A\[n\]\(n ](postline:u/1111"), "{text}");
    assert_eq!(mentions(&text), [ANN, bob]);
    assert_eq!(named(&text), "@A[n](n  and @Bob and @Ann");
    assert_eq!(
        named(&format!("{} [x](y) [@z]({}", mention("a\\<b>]", ANN), Uri::person(ANN))),
        format!("@a\\<b>] [x](y) [@z]({}", Uri::person(ANN))
    );
    assert_eq!(named("[x](https://a.example) ]( ["), "[x](https://a.example) ]( [");
    let odd = mention("a<b>", ANN);
    assert!(odd.starts_with(r"[@a&lt;b\>](postline:u/"), "{odd}");
    assert_eq!(without_tags(&odd), odd, "it goes out as it is");
    assert_eq!(mentions(&format!("<{}>", Uri::person(bob))), [bob]);
    for none in ["](postline:u/11)", "postline:u/", "](", "<>", Uri::person(bob).as_str()] {
        assert_eq!(mentions(none), Vec::<Identity>::new(), "{none}");
    }
    let crowd: String = (0..=255).map(|n| mention("x", Identity([n; 32]))).collect();
    assert_eq!(mentions(&crowd).len(), limits::MENTIONS);
}

/// [M-12]
#[test]
fn a_place_has_one_spelling_and_is_read_in_many() {
    for (latitude, longitude, within, text) in [
        (48_208_200, 16_373_800, Some(25), "geo:48.2082,16.3738;u=25"),
        (-33_865_143, 151_209_900, None, "geo:-33.865143,151.2099"),
        (0, -1, None, "geo:0,-0.000001"),
        (90_000_000, 0, None, "geo:90,0"),
        (0, 180_000_000, Some(0), "geo:0,180;u=0"),
    ] {
        let place = Place::new(latitude, longitude, within).unwrap();
        assert_eq!(place.to_uri().as_str(), text);
        assert_eq!(Place::parse(&place.to_uri()), Some(place));
        let content = both_ways(Fields::new(SALT, Part::place(place, "here").unwrap()));
        assert_eq!(content.fields().body.as_place(), Some(place));
    }
    let read = |text: &str| Place::parse(&Uri::parse(text).unwrap()).map(|place| place.to_uri().as_str().to_owned());
    for (text, want) in [
        ("GEO:48.20820,016.3738;U=25.9", "geo:48.2082,16.3738;u=25"),
        ("geo:1.23456789,2,8848.9;crs=WGS84;x=y", "geo:1.234567,2"),
        ("geo:90,-22.43;crs=wgs84", "geo:90,0"),
        ("geo:0,-180", "geo:0,180"),
    ] {
        assert_eq!(read(text).as_deref(), Some(want));
    }
    for none in [
        "geo:",
        "geo:1",
        "geo:1,2,3,4",
        "geo:91,0",
        "geo:0,180.000001",
        "geo:1e3,2",
        "geo:.5,1",
        "geo:1.,2",
        "geo:+1,2",
        "geo:1,2;crs=mars",
        "geo:1,2;u=1;crs=wgs84",
        "geo:1,2;u=1;u=2",
        "geo:1,2;u=-1",
        "http:1,2",
        "geo:99999999999999999999,1",
        "geo:1,2;u=99999999999",
    ] {
        assert_eq!(read(none), None, "{none}");
    }
}

/// [M-11]
#[test]
fn a_report_goes_as_a_part_and_is_read_in_one_form() {
    let report = Report::new(vec![(id(9), Status::READ), (id(3), Status::UNREAD), (id(4), Status(200))]).unwrap();
    let mut want = vec![0x83];
    for (n, status) in [(9, &[2][..]), (3, &[0]), (4, &[0x18, 200])] {
        want.extend([&[0x82, 0x58, 0x20][..], &id(n).0, status].concat());
    }
    assert_eq!(report.to_bytes(), want);
    assert_eq!(Report::parse(&want), Ok(report.clone()));
    let content = both_ways(Fields::new(SALT, report.to_part().unwrap()));
    assert_eq!(content.fields().kind(), Kind::Report(&want));
    for cut in 0..want.len() {
        assert!(Report::parse(&want[..cut]).is_err());
    }
    assert!(Report::parse(&[&want[..], &[0]].concat()).is_err());
    assert_eq!(Report::parse(&[&[0x98, 3][..], &want[1..]].concat()), Err(ContentFault::Form));
    let twice = Report::new(vec![(id(9), Status::READ), (id(9), Status::UNREAD)]);
    assert_eq!(twice, Err(ContentFault::Contradiction("two statuses of one content")));
    let many = |n: usize| {
        let ids = (0..n).map(|n| {
            let mut id = id(0);
            id.0[1..9].copy_from_slice(&(n as u64).to_be_bytes());
            (id, Status::READ)
        });
        Report::new(ids.collect())
    };
    let full = many(limits::STATUSES).unwrap();
    assert_eq!(Report::parse(&full.to_bytes()), Ok(full.clone()));
    assert!(Content::new(Fields::new(SALT, full.to_part().unwrap())).is_ok(), "the fullest fits in a content");
    let over = ContentFault::TooBig { what: "statuses", got: 257, max: 256 };
    assert_eq!(many(limits::STATUSES + 1), Err(over));
}

/// [M-8]
#[test]
fn t_041_an_end_that_nobody_can_mean_is_no_end() {
    let second = |ms: u64| u32::try_from(ms / 1000).unwrap();
    let (from, far) = (limits::EXPIRY_FROM_MS, limits::EXPIRY_MS);
    for (expiry, sensible) in [
        (Expiry::At(second(from)), true),
        (Expiry::At(second(from) - 1), false),
        (Expiry::At(u32::MAX), true),
        // The clock of a machine that nobody has set begins with 1970.
        (Expiry::At(3_600), false),
        (Expiry::AfterReading(30), true),
        (Expiry::AfterReading(second(far)), true),
        (Expiry::AfterReading(second(far) + 1), false),
    ] {
        assert_eq!(expiry.is_sensible(), sensible, "{expiry:?}");
        assert_eq!(both_ways(hello().expiring(expiry)).fields().expires, Some(expiry));
    }
    assert_eq!(Expiry::AfterReading(30).end(None), None, "it isn't read yet");
    assert_eq!(Expiry::AfterReading(30).end(Some(Millis(5_000))), Some(Millis(35_000)));
    assert_eq!(Expiry::At(30).end(None), Some(Millis(30_000)));
}

/// [M-5]
#[test]
fn what_its_author_had_seen_and_said_before_goes_along() {
    let mut fields = hello();
    fields.extensions.seen = Seen::new([id(9), id(3), id(9)]).unwrap();
    fields.extensions.prev = Some(id(8));
    let content = both_ways(fields);
    let extensions = &content.fields().extensions;
    assert_eq!(extensions.seen.ids().iter().copied().collect::<Vec<_>>(), [id(3), id(9)]);
    assert_eq!(extensions.prev, Some(id(8)));
    assert!(Seen::new((1..=4).map(id)).is_ok());
    let over = ContentFault::TooBig { what: "contents that were seen", got: 5, max: 4 };
    assert_eq!(Seen::new((1..=5).map(id)), Err(over));
    let unfounded = Fields { replaces: None, ..hello().edit(id(5), NonZeroU32::MIN) };
    assert_eq!(unfounded.check(), Err(ContentFault::Contradiction("the number of an edit that replaces nothing")));
    assert!(Content::new(unfounded).is_err());
}
