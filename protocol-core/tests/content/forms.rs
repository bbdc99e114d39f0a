//! The one form: every other spelling of a content is refused, and what is kept unknown is kept byte for byte.

use postline_core::content::extension::Name;
use postline_core::content::item::Item;
use postline_core::content::{Body, ContentFault, Disposition};
use postline_core::id::{ContentId, Hash};
use postline_core::store::sha256;
use postline_core::wire::cbor::Writer;
use postline_core::wire::content::Content;
use postline_world::bodies::content_survives;
use postline_world::rng::Rng;
use postline_world::strategies::content_fields;
use proptest::prelude::*;

use super::kit::{both_ways, hello, id, raw, said, unhex};

const EMPTY: [u8; 1] = [0xa0];

fn refusal(bytes: &[u8]) -> ContentFault {
    Content::parse(bytes).unwrap_err()
}

/// A part of these items behind disposition and language.
fn part(items: u64, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::array_of(items);
    w.u64(1).str("");
    write(&mut w);
    w.into_bytes()
}

/// [M-1]
#[test]
fn a_content_ends_where_it_ends_and_has_all_that_it_has() {
    let whole = both_ways(hello()).bytes().to_vec();
    for cut in 0..whole.len() {
        assert!(Content::parse(&whole[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(refusal(&[&whole[..], &[0]].concat()), ContentFault::Shape("the end"));
    assert_eq!(refusal(&[&[0x98, 7][..], &whole[1..]].concat()), ContentFault::Form, "a longer head");
    assert!(Content::parse(&[&[0x9f][..], &whole[1..], &[0xff]].concat()).is_err(), "no definite length");
    let mut six = Writer::array_of(6);
    six.bytes(&[0; 16]).null().bytes(&[]).null().null().item(&EMPTY);
    assert_eq!(refusal(&six.into_bytes()), ContentFault::Shape("an array of another length"));
}

/// [M-1] [M-2]: what stands before the extensions.
#[test]
fn fields_of_another_shape_are_refused() {
    let with = |write: &dyn Fn(&mut Writer)| {
        let mut w = Writer::array_of(7);
        write(&mut w);
        w.item(&EMPTY).item(&said("x"));
        w.into_bytes()
    };
    let salt = |bytes: &'static [u8]| with(&|w| _ = w.bytes(bytes).null().bytes(&[]).null().null());
    assert!(Content::parse(&salt(&[0; 16])).is_ok());
    assert!(Content::parse(&salt(&[0; 15])).is_err() && Content::parse(&salt(&[0; 17])).is_err());
    let other = ContentId([2; 32]);
    let replaces = with(&|w| _ = w.bytes(&[0; 16]).bytes(&other.0).bytes(&[]).null().null());
    assert_eq!(refusal(&replaces), ContentFault::IdHash(2));
    let answers = with(&|w| _ = w.bytes(&[0; 16]).null().bytes(&[]).null().bytes(&[0; 32]));
    assert_eq!(refusal(&answers), ContentFault::IdHash(0));
    let short = with(&|w| _ = w.bytes(&[0; 16]).bytes(&id(1).0[..31]).bytes(&[]).null().null());
    assert_eq!(refusal(&short), ContentFault::Shape("a byte string of another length"));
    let topic = with(&|w| _ = w.bytes(&[0; 16]).null().null().null().null());
    assert_eq!(refusal(&topic), ContentFault::Shape("a byte string"));
    let expires =
        |seconds| with(&move |w| _ = w.bytes(&[0; 16]).null().bytes(&[]).array(2).bool(true).u64(seconds).null());
    assert!(Content::parse(&expires(u64::from(u32::MAX))).is_ok());
    assert_eq!(refusal(&expires(1 << 32)), ContentFault::Shape("a smaller number"));
}

/// [M-1] [M-6] [M-9]
#[test]
fn parts_of_another_shape_are_refused() {
    let read = |part: &[u8]| Content::parse(&raw(&EMPTY, part));
    let nothing = part(3, |w| _ = w.u64(0));
    assert_eq!(read(&nothing).map(|content| content.fields().body.body.clone()), Ok(Body::Nothing));
    let kind = ContentFault::Shape("a part of a known kind, with all its items");
    for bad in [
        part(4, |w| _ = w.u64(0).u64(0)),
        part(3, |w| _ = w.u64(1)),
        part(3, |w| _ = w.u64(4)),
        part(4, |w| _ = w.u64(1).str("")),
        part(5, |w| _ = w.u64(2).str("").str("x:")),
    ] {
        assert_eq!(read(&bad), Err(kind));
    }
    let semantics = part(5, |w| _ = w.u64(3).u64(3).array(2).item(&said("a")).item(&said("b")));
    assert_eq!(read(&semantics), Err(ContentFault::Shape("how parts belong together")));
    let one = part(5, |w| _ = w.u64(3).u64(0).array(1).item(&said("a")));
    assert_eq!(read(&one), Err(ContentFault::Shape("two parts or more")));
    let mut far = Writer::array_of(3);
    far.u64(256).str("").u64(0);
    assert_eq!(read(&far.into_bytes()), Err(ContentFault::Shape("a smaller number")));
    let mut unknown = Writer::array_of(5);
    unknown.u64(255).str("tlh,sjn").u64(1).str("x/y").bytes(b"z");
    let unknown = read(&unknown.into_bytes()).unwrap();
    assert_eq!(unknown.fields().body.disposition.acts_as(), Disposition::RENDER, "what nobody knows is shown");
    assert_eq!(Disposition::PREVIEW.acts_as(), Disposition::PREVIEW);
}

fn external(aead: u64, key: usize, nonce: usize, aad: usize, hash: u64, digest: usize) -> Vec<u8> {
    let zeros = |n| vec![0; n];
    part(15, |w| {
        w.u64(2).str("image/png").str("https://a.example/x").u64(0).u64(5);
        w.u64(aead).bytes(&zeros(key)).bytes(&zeros(nonce)).bytes(&zeros(aad)).u64(hash).bytes(&zeros(digest));
        w.str("").str("x.png");
    })
}

/// [M-9]
#[test]
fn what_is_kept_elsewhere_has_keys_and_hashes_of_their_lengths() {
    let read = |part: Vec<u8>| Content::parse(&raw(&EMPTY, &part)).map(|_| ());
    for good in [
        external(0, 0, 0, 0, 0, 0),
        external(1, 16, 12, 0, 1, 32),
        external(29, 32, 12, 256, 1, 32),
        external(65_535, 64, 64, 0, 255, 64),
        external(2, 0, 0, 0, 7, 1),
    ] {
        assert_eq!(read(good), Ok(()));
    }
    let sealed = ContentFault::Shape("an algorithm with a key and nonce of its lengths");
    for bad in
        [(0, 16, 12, 0), (0, 0, 12, 0), (0, 0, 0, 1), (1, 32, 12, 0), (1, 16, 13, 0), (29, 16, 12, 0), (29, 32, 24, 0)]
    {
        assert_eq!(read(external(bad.0, bad.1, bad.2, bad.3, 0, 0)), Err(sealed), "{bad:?}");
    }
    let hashed = ContentFault::Shape("an algorithm with a hash of its length");
    for bad in [(0, 32), (1, 0), (1, 31), (1, 33), (2, 0)] {
        assert_eq!(read(external(0, 0, 0, 0, bad.0, bad.1)), Err(hashed), "{bad:?}");
    }
    for (what, bad) in [
        ("bytes of a key", external(2, 65, 0, 0, 0, 0)),
        ("bytes of a nonce", external(2, 0, 65, 0, 0, 0)),
        ("bytes of a hash", external(0, 0, 0, 0, 2, 65)),
    ] {
        assert_eq!(read(bad), Err(ContentFault::TooBig { what, got: 65, max: 64 }));
    }
    let aad = ContentFault::TooBig { what: "bytes of additional data", got: 257, max: 256 };
    assert_eq!(read(external(2, 0, 0, 257, 0, 0)), Err(aad));
    assert_eq!(read(external(65_536, 0, 0, 0, 0, 0)), Err(ContentFault::Shape("a smaller number")));
    assert_eq!(read(external(0, 0, 0, 0, 256, 0)), Err(ContentFault::Shape("a smaller number")));
    let nowhere = part(15, |w| {
        w.u64(2)
            .str("")
            .str("")
            .u64(0)
            .u64(0)
            .u64(0)
            .bytes(&[])
            .bytes(&[])
            .bytes(&[])
            .u64(0)
            .bytes(&[])
            .str("")
            .str("");
    });
    assert_eq!(read(nowhere), Err(ContentFault::Shape("a URI")));
}

/// [M-4]: each is one value in its one form.
#[test]
fn values_of_unknown_extensions_are_taken_in_one_form_each() {
    for good in [
        "00",
        "1bffffffffffffffff",
        "20",
        "3bffffffffffffffff",
        "40",
        "60",
        "62c3bc",
        "80",
        "818100",
        "8181820102",
        "a0",
        "a3 0120 410000 610000",
        "f4",
        "f5",
        "f6",
        "f7",
        "e0",
        "f3",
        "f820",
        "f8ff",
        "f90000",
        "f98000",
        "f93c00",
        "f97c00",
        "f9fc00",
        "f97e00",
        "f90001",
        "fa47c35000",
        "fa33000000",
        "fa387fe000",
        "fb3ff199999999999a",
        "fb3690000000000000",
        "fb380fffffe0000000",
        "c11a514b67b0",
        "d82060",
        "c249010000000000000000",
        "d9d9f700",
        "c1c181f6",
        "a1 3b001ffffffffffffd 00",
        "a1 1b001fffffffffffff 00",
    ] {
        let bytes = unhex(good);
        assert_eq!(Item::parse(&bytes).map(|item| item.as_bytes().to_vec()), Ok(bytes), "{good}");
    }
    for form in [
        "1800",
        "1817",
        "190001",
        "1a00000001",
        "1b0000000000000001",
        "3800",
        "5800",
        "780161",
        "9800",
        "b800",
        "d81700",
        "f800",
        "f81f",
        "f97e01",
        "f97d00",
        "f9fe00",
        "fa7fc00000",
        "fa7f800000",
        "fa00000000",
        "fa3f800000",
        "fa33800000",
        "fa387fc000",
        "fb7ff8000000000000",
        "fb7ff0000000000000",
        "fb0000000000000000",
        "fb3ff0000000000000",
        "fb37e0000000000000",
        "fb36a0000000000000",
        "fb380fffffc0000000",
        "c2420100",
        "c24900ffffffffffffffff",
        "c300",
        "a201000100",
        "a202000100",
        "a261610000 00",
        "a2 6161 00 1818 00",
    ] {
        assert_eq!(Item::parse(&unhex(form)), Err(ContentFault::Form), "{form}");
    }
    for (shape, what) in [
        ("", "an item"),
        ("1c", "an item of definite length"),
        ("5f4100ff", "an item of definite length"),
        ("9fff", "an item of definite length"),
        ("bfff", "an item of definite length"),
        ("ff", "an item of definite length"),
        ("fc", "an item of definite length"),
        ("19", "an item"),
        ("f8", "an item"),
        ("4100 00", "the end of an extension"),
        ("4201", "a whole string"),
        ("5bffffffffffffffff", "a whole string"),
        ("61ff", "a text"),
        ("9bffffffffffffffff", "an item"),
        ("bbffffffffffffffff", "an item"),
        ("c1", "an item"),
        ("a1f600", "a key of a map"),
        ("a18000", "a key of a map"),
        ("a1c10000", "a key of a map"),
        ("a11b002000000000000000", "a key of a map"),
        ("a13b001fffffffffffff00", "a key of a map"),
    ] {
        assert_eq!(Item::parse(&unhex(shape)), Err(ContentFault::Shape(what)), "{shape}");
    }
}

/// [M-4]: unknown names and values are kept in their order and byte for byte.
#[test]
fn unknown_extensions_are_kept_as_they_came() {
    let unknown = unhex("a5 03 f97e00 1901008102 20 a1636b6579c100 6161 f6 6c706f73746c696e652f6e6577 6178");
    let bytes = raw(&unknown, &said("x"));
    let content = Content::parse(&bytes).unwrap();
    assert_eq!(Content::new(content.fields().clone()).unwrap().bytes(), bytes);
    let names: Vec<_> = content.fields().extensions.others.all().keys().cloned().collect();
    let number = |n| Name::number(n).unwrap();
    let text = |text| Name::text(text).unwrap();
    assert_eq!(names, [number(3), number(256), number(-1), text("a"), text("postline/new")]);
    let value = &content.fields().extensions.others.all()[&number(-1)];
    assert_eq!(value.as_bytes(), unhex("a1636b6579c100"));
}

/// [M-4] [M-5]
#[test]
fn extensions_in_another_order_twice_or_of_another_shape_are_refused() {
    let read = |extensions: Vec<u8>| Content::parse(&raw(&extensions, &said("x"))).map(|_| ());
    let ours = |name: &str, value: Vec<u8>| {
        let mut w = Writer::default();
        w.map(1).str(name).item(&value);
        w.into_bytes()
    };
    let ids = |ids: &[ContentId]| {
        let mut w = Writer::default();
        w.list(ids.iter(), |w, id| _ = w.bytes(&id.0));
        w.into_bytes()
    };
    let one = |id: ContentId| ids(&[id])[1..].to_vec();
    assert_eq!(read(ours("postline/seen", ids(&[id(3), id(9)]))), Ok(()));
    assert_eq!(read(ours("postline/prev", one(id(3)))), Ok(()));
    let form = ContentFault::Form;
    for (why, bad) in [
        ("backwards", unhex("a2 04 00 03 00")),
        ("a text before a number", unhex("a2 6161 00 03 00")),
        ("a long text before a short one", unhex("a2 626161 00 6162 00")),
        ("a sender twice", unhex("a2 01 6161 01 6162")),
        ("a number in two bytes", unhex("a1 1803 00")),
        ("seen backwards", ours("postline/seen", ids(&[id(9), id(3)]))),
        ("seen twice", ours("postline/seen", ids(&[id(3), id(3)]))),
        ("seen, and nothing was", ours("postline/seen", ids(&[]))),
    ] {
        assert_eq!(read(bad), Err(form), "{why}");
    }
    let twice = ContentFault::Contradiction("an extension that has its own place, or one twice");
    assert_eq!(read(unhex("a2 03 00 03 00")), Err(twice));
    for (why, what, bad) in [
        ("zero", "an extension's number", unhex("a1 00 00")),
        ("a number of 54 bits", "an extension's name", unhex("a1 1b0020000000000000 00")),
        ("a negative number of 54 bits", "an extension's number", unhex("a1 3b001fffffffffffff 00")),
        ("an empty name", "an extension's name", unhex("a1 60 00")),
        ("bytes for a name", "an extension's name", unhex("a1 4161 00")),
        ("a sender that is no text", "a text", unhex("a1 01 4161")),
        ("a room without a URI", "a URI", unhex("a1 02 60")),
        ("prev of another length", "a byte string of another length", ours("postline/prev", vec![0x41, 1])),
        ("edit 0", "a number from 1", ours("postline/edit_no", vec![0])),
        ("an edit of 33 bits", "a smaller number", ours("postline/edit_no", unhex("1b0000000100000000"))),
        ("an edit that is a text", "an unsigned number", ours("postline/edit_no", vec![0x60])),
        ("seen that is no list", "an array within bounds", ours("postline/seen", vec![1])),
        ("five seen", "an array within bounds", ours("postline/seen", ids(&[1, 2, 3, 4, 5].map(id)))),
    ] {
        assert_eq!(read(bad), Err(ContentFault::Shape(what)), "{why}");
    }
    let unfounded = ContentFault::Contradiction("the number of an edit that replaces nothing");
    assert_eq!(read(ours("postline/edit_no", vec![1])), Err(unfounded));
    assert_eq!(read(ours("postline/seen", ids(&[ContentId([7; 32])]))), Err(ContentFault::IdHash(7)));
    assert_eq!(read(ours("postline/prev", one(ContentId([7; 32])))), Err(ContentFault::IdHash(7)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// [M-1]: whatever can be said is read as it was written, and has one name.
    #[test]
    fn what_can_be_said_is_read_as_it_was_written(seed: u64) {
        let content = both_ways(content_fields(&mut Rng::new(seed)));
        content_survives(content.bytes());
    }

    /// [M-1]: a content with one bit changed is refused, or another content.
    #[test]
    fn a_changed_bit_is_another_content_or_none(seed: u64, at: prop::sample::Index, bit in 0..8_u32) {
        let content = both_ways(content_fields(&mut Rng::new(seed)));
        let mut bytes = content.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        content_survives(&bytes);
        if let Ok(other) = Content::parse(&bytes) {
            prop_assert_ne!(&other, &content);
            let name = |content: &Content| -> Hash { sha256(&[content.bytes()]) };
            prop_assert_ne!(name(&other), name(&content));
        }
    }
}
