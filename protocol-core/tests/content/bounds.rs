//! Every bound of a content: taken at it, refused above it, and refused a thousand times above it without harm.

use postline_core::content::extension::{Extensions, Name};
use postline_core::content::item::Item;
use postline_core::content::text::{ClaimedName, Description, Language, Media};
use postline_core::content::uri::Uri;
use postline_core::content::{ContentFault, Disposition, Fields, Multi, Part, Semantics, Topic};
use postline_core::limits;
use postline_core::wire::cbor::Writer;
use postline_core::wire::content::Content;

use super::kit::{SALT, both_ways, hello, raw, said};

/// Whether texts of so many bytes are taken.
fn taken(parse: &dyn Fn(&str) -> Result<(), ContentFault>, most: usize) {
    assert_eq!(parse(&"x".repeat(most)), Ok(()));
    for got in [most + 1, most * 1_000] {
        let refused = parse(&"x".repeat(got));
        assert!(
            matches!(refused, Err(ContentFault::TooBig { got: said, max, .. }) if (said, max) == (got as u64, most as u64)),
            "{refused:?}"
        );
    }
}

/// [M-1] [M-4]
#[test]
fn texts_are_bounded() {
    taken(&|text| Media::parse(text).map(drop), limits::MEDIA_TYPE_BYTES);
    taken(&|text| Language::parse(text).map(drop), limits::LANGUAGE_BYTES);
    taken(&|text| Description::parse(text).map(drop), limits::DESCRIPTION_BYTES);
    taken(&|text| ClaimedName::parse(text).map(drop), limits::CLAIMED_NAME_BYTES);
    taken(&|text| Uri::parse(text).map(drop), limits::URI_BYTES);
    taken(&|text| Topic::new(text.as_bytes()).map(drop), limits::TOPIC_BYTES);
    taken(&|text| Name::text(text).map(drop), limits::EXTENSION_NAME_BYTES);
}

/// [M-1]: its length is looked at before anything else of it.
#[test]
fn t_092_a_content_is_as_long_as_a_body_at_most() {
    let around = both_ways(Fields::new(SALT, Part::plain(&"x".repeat(300)).unwrap())).bytes().len() - 300;
    let text = |bytes: usize| Fields::new(SALT, Part::plain(&"x".repeat(bytes)).unwrap());
    let most = limits::CONTENT_BYTES - around;
    assert_eq!(both_ways(text(most)).bytes().len(), limits::CONTENT_BYTES);
    for over in [1, 1_000 * limits::CONTENT_BYTES] {
        let Err(ContentFault::Length { got, max }) = Content::new(text(most + over)) else { panic!("{over}") };
        assert_eq!(max, limits::CONTENT_BYTES as u64);
        assert!(got > max);
    }
    let garbage = vec![0xff; limits::CONTENT_BYTES + 1];
    assert!(matches!(Content::parse(&garbage), Err(ContentFault::Length { .. })));
}

fn nested(levels: usize) -> Vec<u8> {
    let mut part = said("x");
    for _ in 1..levels {
        let mut w = Writer::array_of(5);
        w.u64(1).str("").u64(3).u64(2).array(2).item(&part).item(&said("y"));
        part = w.into_bytes();
    }
    part
}

/// [M-6]
#[test]
fn t_026_parts_within_parts_end_after_four_levels() {
    let read = |levels| Content::parse(&raw(&[0xa0], &nested(levels))).map(|content| content.fields().body.levels());
    assert_eq!(read(4), Ok(4));
    let over = ContentFault::TooBig { what: "levels of parts", got: 5, max: 4 };
    assert_eq!(read(5), Err(over));
    assert_eq!(read(200), Err(over));
    // A thousandfold, as heads alone: a part that holds two parts, the first of which …
    let heads = [0x85, 1, 0x60, 3, 2, 0x82].repeat(limits::CONTENT_LEVELS * 500);
    assert_eq!(Content::parse(&raw(&[0xa0], &heads)), Err(over));
    let two =
        |part: Part| Part::multi(Disposition::RENDER, Semantics::ChooseOne, vec![part, Part::plain("y").unwrap()]);
    let four = two(two(two(Part::plain("x").unwrap()).unwrap()).unwrap()).unwrap();
    assert_eq!(four.levels(), 4);
    assert_eq!(two(four), Err(over));
}

/// [M-6]
#[test]
fn parts_are_a_thousand_and_twenty_four_at_most() {
    let nothing = || Part { body: postline_core::content::Body::Nothing, ..Part::plain("").unwrap() };
    let many = |n| Multi::new(Semantics::ProcessAll, (0..n).map(|_| nothing()).collect());
    let full = Part::multi(Disposition::RENDER, Semantics::ProcessAll, (0..1023).map(|_| nothing()).collect()).unwrap();
    assert_eq!((full.count(), full.walk().len()), (1024, 1024));
    assert_eq!(both_ways(Fields::new(SALT, full)).fields().body.count(), 1024);
    for (parts, got) in [(1024, 1025), (1_024_000, 1_024_001)] {
        assert_eq!(many(parts), Err(ContentFault::TooBig { what: "parts", got, max: 1024 }));
    }
    // In one list, and in several.
    let mut list = Writer::array_of(5);
    list.u64(1).str("").u64(3).u64(2).array(1024).item(&[0x83, 1, 0x60, 0].repeat(1024));
    let over = ContentFault::TooBig { what: "parts", got: 1025, max: 1024 };
    assert_eq!(Content::parse(&raw(&[0xa0], &list.into_bytes())), Err(over));
    let mut lists = Writer::array_of(5);
    lists.u64(1).str("").u64(3).u64(2).array(2);
    for _ in 0..2 {
        lists.array(5).u64(1).str("").u64(3).u64(2).array(600).item(&[0x83, 1, 0x60, 0].repeat(600));
    }
    assert_eq!(Content::parse(&raw(&[0xa0], &lists.into_bytes())), Err(over));
}

/// [M-4]
#[test]
fn extensions_are_bounded_in_number_and_depth() {
    let item = || Item::parse(&[0xf6]).unwrap();
    let mut extensions = Extensions::default();
    for n in 1..=limits::EXTENSIONS {
        extensions.others.insert(Name::number(-i64::try_from(n).unwrap()).unwrap(), item()).unwrap();
    }
    let over = ContentFault::TooBig { what: "extensions", got: 33, max: 32 };
    assert_eq!(extensions.others.insert(Name::text("x").unwrap(), item()), Err(over));
    both_ways(Fields { extensions, ..hello() });
    let many = |n: u8| {
        let each = (0..n).flat_map(|n| if n < 24 { vec![0x20 + n, 0] } else { vec![0x38, n, 0] });
        let head = if n < 24 { vec![0xa0 + n] } else { vec![0xb8, n] };
        Content::parse(&raw(&head.into_iter().chain(each).collect::<Vec<_>>(), &said("x"))).map(drop)
    };
    assert_eq!(many(32), Ok(()));
    assert_eq!(many(33), Err(over));
    assert_eq!(many(38), Err(ContentFault::Shape("a map within bounds")));
    for known in ["postline/seen", "postline/prev", "postline/edit_no"] {
        let refused = Extensions::default().others.insert(Name::text(known).unwrap(), item());
        assert_eq!(refused, Err(ContentFault::Contradiction("an extension that has its own place, or one twice")));
    }
    // Three levels within the map of all extensions, whether arrays, maps or tags.
    let over = ContentFault::TooBig { what: "levels of an extension", got: 5, max: 4 };
    for (good, bad) in [([0x81; 3], [0x81; 4]), ([0xc1; 3], [0xc1; 4])] {
        assert!(Item::parse(&[&good[..], &[0]].concat()).is_ok());
        assert_eq!(Item::parse(&[&bad[..], &[0]].concat()), Err(over));
    }
    assert_eq!(Item::parse(&[0xa1, 0].repeat(5_000)), Err(over));
    assert_eq!(Item::parse(&[0x81].repeat(1_000_000)), Err(over));
}
