//! The header fields: one spelling each, and bound to who writes to whom.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ed25519_dalek::Signer as _;
use postline_core::content::mail::Tags;
use postline_core::fault::PeerFault;
use postline_core::id::{Address, CarryId, Hash, Nonce};
use postline_core::limits;
use postline_core::net::Hint;
use postline_core::seal::field;
use postline_core::store::sha256;
use postline_core::time::{DAY, Millis, SECOND};
use postline_core::wire::cbor::Writer;
use postline_core::wire::field::{Accept, AcceptDraft, Carried, CarriedDraft, Field, Offer, OfferDraft};
use postline_core::wire::signed::{Role, Signable};
use proptest::prelude::*;

use crate::kit::{START, address, node};

fn draft() -> OfferDraft {
    OfferDraft {
        from: address("alice@a.example"),
        to_cc: [address("bob@b.example"), address("carol@c.example")].into(),
        at: START,
        days: 90,
        nonce: Nonce([3; 16]),
        nk: node(1).nk(),
        next: Some(node(1).next_nk()),
        hint: Some(Hint::parse("mail.a.example:7678").unwrap()),
        ak: Some([4; 32]),
    }
}

fn signed(draft: OfferDraft) -> (Tags, Offer) {
    let signature = node(1).sign(&draft);
    draft.signed(signature)
}

fn read(tags: &Tags) -> Result<Offer, PeerFault> {
    field::read(&draft().from, &draft().to_cc, tags)
}

#[test]
fn an_offer_reads_back_as_it_was_written() {
    let (tags, offer) = signed(draft());
    assert_eq!(read(&tags), Ok(offer.clone()));
    assert_eq!(offer.expires, START.plus(90 * DAY));
    let bare = OfferDraft { next: None, hint: None, ak: None, ..draft() };
    let (tags, offer) = signed(bare);
    assert_eq!(read(&tags), Ok(offer));
    assert!(!["nx", "h", "ak"].iter().any(|tag| tags.contains_key(*tag)));
}

#[test]
fn an_accept_and_an_id_read_back_as_they_were_written() {
    let OfferDraft { from, to_cc, at, nonce, nk, next, hint, ak, .. } = draft();
    let (_, offer) = signed(draft());
    let accept =
        AcceptDraft { from: from.clone(), to_cc: to_cc.clone(), re: offer.hash, at, nonce, nk, next, hint, ak };
    let (signature, canonical) = (node(1).sign(&accept), accept.canonical());
    let (tags, accept) = accept.signed(signature);
    assert_eq!(accept.t1, sha256(&[&offer.hash.0, &canonical, &signature]), "T1 = H(T0 ‖ accept ‖ b)");
    assert_eq!(field::read::<Accept>(&from, &to_cc, &tags), Ok(accept));

    let carried = CarriedDraft { from, to_cc, at, id: CarryId([5; 16]), content: Hash([6; 32]), nk };
    let tags = carried.signed(node(1).sign(&carried));
    let read = field::read::<Carried>(&carried.from, &carried.to_cc, &tags).unwrap();
    assert_eq!((read.id, read.content, read.nk, read.at), (carried.id, carried.content, nk, at));
}

/// [F-3].
#[test]
fn the_signed_bytes_are_these() {
    // From the written form of the protocol, byte by byte: another implementer gets the same.
    let draft = OfferDraft {
        to_cc: [address("a.b@x.example"), address("a@x.example")].into(),
        next: None,
        hint: None,
        ak: None,
        ..draft()
    };
    let text = |text: &str| [vec![0x60 + text.len() as u8], text.as_bytes().to_vec()].concat();
    let long = |text: &str| [vec![0x78, text.len() as u8], text.as_bytes().to_vec()].concat();
    let (tags, _) = signed(draft.clone());
    let expected = [
        vec![0x85],
        text("offer"),
        vec![0x01],
        text("alice@a.example"),
        vec![0x82],
        text("a.b@x.example"),
        text("a@x.example"),
        vec![0xa5],
        [text("n"), text(&tags["n"])].concat(),
        [text("t"), text("1780000000")].concat(),
        [text("v"), text("1")].concat(),
        [text("x"), text("90")].concat(),
        [text("nk"), long(&tags["nk"])].concat(),
    ];
    assert_eq!(draft.canonical(), expected.concat());
}

#[test]
fn whatever_is_changed_the_signature_notices() {
    let (tags, _) = signed(draft());
    let OfferDraft { from, to_cc, .. } = draft();
    assert_eq!(field::read::<Offer>(&address("eve@a.example"), &to_cc, &tags), Err(PeerFault::Signature));
    let fewer: BTreeSet<Address> = to_cc.iter().take(1).cloned().collect();
    assert_eq!(field::read::<Offer>(&from, &fewer, &tags), Err(PeerFault::Signature));
    for (tag, other) in [("t", "1780000001"), ("x", "91"), ("h", "mail.a.example:443"), ("z", "new")] {
        let mut tags = tags.clone();
        tags.insert(tag.to_owned(), other.to_owned());
        assert_eq!(read(&tags), Err(PeerFault::Signature), "{tag}");
    }
    for tag in ["nx", "h", "ak"] {
        let mut tags = tags.clone();
        tags.remove(tag);
        assert_eq!(read(&tags), Err(PeerFault::Signature), "without {tag}");
    }
}

#[test]
fn an_unknown_tag_is_signed_along_and_no_fault() {
    // A newer node's field. Ours has no draft for it, so it is put together and signed by hand.
    let (mut tags, _) = signed(OfferDraft { next: None, hint: None, ak: None, ..draft() });
    tags.remove("b");
    tags.insert("zz".to_owned(), "later".to_owned());
    let mut writer = Writer::array_of(5);
    writer.str("offer").u64(1).str("alice@a.example").array(2).str("bob@b.example").str("carol@c.example").map(6);
    for tag in ["n", "t", "v", "x", "nk", "zz"] {
        writer.str(tag).str(&tags[tag]);
    }
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let signature = key.sign(&Role::Offer.input(&writer.into_bytes())).to_bytes();
    tags.insert("b".to_owned(), STANDARD_NO_PAD.encode(signature));
    assert_eq!(read(&tags).map(|offer| offer.nk), Ok(node(1).nk()));
}

/// [T-2].
#[test]
fn every_value_has_one_spelling() {
    let (tags, _) = signed(draft());
    let nk = tags["nk"].clone();
    let cases: &[(&'static str, &[&str])] = &[
        ("v", &["2", "01", "", "1.0"]),
        ("t", &["01780000000", "+1", "-1", "", "1e9", "99999999999999999999", "１"]),
        ("x", &["090", "", "x"]),
        ("n", &["", "AAAA", "AwMDAwMDAwMDAwMDAwMDAw==", "AwMDAwMDAwMDAwMDAwMDAx", "AwMDAwMDAwMDAwMDAwMD Aw", "*"]),
        ("nk", &["", &format!("{nk}="), &nk.replace(['+', '/'], "-")[..42]]),
        (
            "h",
            &[
                "a.example",
                "A.example:1",
                "a.example:0",
                "a.example:01",
                "a.example:70000",
                "127.0.0.1:7678",
                "[::1]:7678",
                ":1",
                "a:1",
                "u@a.example:1",
            ],
        ),
        ("ak", &["", "AAAA"]),
        ("b", &["", "AAAA", &tags["n"]]),
    ];
    for (tag, spellings) in cases {
        for spelling in *spellings {
            let mut tags = tags.clone();
            tags.insert((*tag).to_owned(), (*spelling).to_owned());
            assert_eq!(read(&tags), Err(PeerFault::Field(tag)), "{tag}={spelling}");
        }
    }
    for tag in ["v", "t", "x", "n", "nk", "b"] {
        let mut tags = tags.clone();
        tags.remove(tag);
        assert_eq!(read(&tags), Err(PeerFault::Field(tag)), "without {tag}");
    }
}

#[test]
fn a_field_is_bounded_and_ours_always_fit() {
    let (mut tags, _) = signed(draft());
    tags.insert("z".to_owned(), "z".repeat(limits::FIELD_BYTES));
    assert!(matches!(read(&tags), Err(PeerFault::Field(_))));
    let many: Tags = (0..=limits::FIELD_TAGS).map(|n| (format!("z{n}"), String::new())).collect();
    assert!(matches!(read(&many), Err(PeerFault::Field(_))));

    let host = format!("{}.example", "a.".repeat(79).trim_end_matches('.'));
    let hint = Hint::parse(&format!("{host}:443")).unwrap();
    let long = Hint::parse(&format!("aaaaa.{host}:65535")).unwrap();
    let (tags, _) = signed(OfferDraft { hint: Some(long), ..draft() });
    assert_eq!(read(&tags), Err(PeerFault::Field("h")));
    let OfferDraft { from, to_cc, nonce, nk, next, ak, .. } = draft();
    let at = Millis(u64::MAX);
    let accept = AcceptDraft { from, to_cc, re: Hash([9; 32]), at, nonce, nk, next, hint: Some(hint), ak };
    let signature = node(1).sign(&accept);
    let (tags, accept) = accept.signed(signature);
    let written: usize = tags.iter().map(|(tag, text)| tag.len() + text.len() + "=; ".len()).sum();
    assert!(written <= limits::FIELD_BYTES, "{written} bytes");
    assert_eq!(field::read(&accept.from, &accept.to_cc, &tags), Ok(accept.clone()));
}

/// [T-3].
#[test]
fn an_offer_is_believed_from_a_day_before_its_time_to_its_end() {
    let (_, offer) = signed(draft());
    let early = Millis(START.0 - limits::CLOCK_SKEW_MS);
    assert_eq!(offer.valid_at(early), Ok(()));
    assert_eq!(
        offer.valid_at(Millis(early.0 - SECOND)),
        Err(PeerFault::Future { got: 1_780_000_000, max: 1_779_999_999 })
    );
    assert_eq!(offer.valid_at(START.plus(90 * DAY)), Ok(()));
    let end = START.plus(90 * DAY).unix_seconds();
    assert_eq!(offer.valid_at(START.plus(90 * DAY + 1)), Err(PeerFault::Expired { end }));

    let (tags, offer) = signed(OfferDraft { days: 100_000, ..draft() });
    assert_eq!(offer.expires, START.plus(limits::OFFER_TTL_DAYS_MAX * DAY), "an eternal offer is not believed");
    assert_eq!(read(&tags), Ok(offer));
}

#[test]
fn a_hint_is_dialled_only_within_the_mail_domain() {
    let hint = Hint::parse("mail.a.example:443").unwrap();
    assert!(hint.within(address("x@a.example").domain()));
    assert!(hint.within(address("x@mail.a.example").domain()));
    for other in ["x@b.example", "x@il.a.example", "x@x.mail.a.example"] {
        assert!(!hint.within(address(other).domain()), "{other}");
    }
    assert_eq!((hint.host.as_str(), hint.port), ("mail.a.example", 443));
}

#[test]
fn t_067_a_field_of_one_kind_is_none_of_another() {
    // The same tags, signed as an offer, read as an accept and as an id: the role is part of what is signed.
    let (mut tags, _) = signed(draft());
    tags.insert("re".to_owned(), tags["nk"].clone());
    tags.insert("bh".to_owned(), tags["nk"].clone());
    tags.insert("id".to_owned(), tags["n"].clone());
    let OfferDraft { from, to_cc, .. } = draft();
    assert_eq!(field::read::<Accept>(&from, &to_cc, &tags), Err(PeerFault::Signature));
    assert_eq!(field::read::<Carried>(&from, &to_cc, &tags), Err(PeerFault::Signature));
    let roles = [Offer::ROLE, Accept::ROLE, Carried::ROLE];
    assert_eq!(roles, [Role::Offer, Role::Accept, Role::Carried]);
}

proptest! {
    #[test]
    fn whatever_tags_come_reading_them_ends_well(tags in proptest::collection::btree_map("[a-z]{1,2}", "[ -~]{0,90}", 0..20)) {
        let OfferDraft { from, to_cc, .. } = draft();
        prop_assert!(field::read::<Offer>(&from, &to_cc, &tags).is_err());
        prop_assert!(field::read::<Accept>(&from, &to_cc, &tags).is_err());
        prop_assert!(field::read::<Carried>(&from, &to_cc, &tags).is_err());
    }

    #[test]
    fn one_flipped_character_is_noticed(at in 0usize..200, flip in 1u8..64) {
        let (tags, offer) = signed(draft());
        let mut flat: Vec<(String, String)> = tags.into_iter().collect();
        let total: usize = flat.iter().map(|(_, text)| text.len()).sum();
        let mut at = at % total;
        for (_, text) in &mut flat {
            if at < text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = 33 + (bytes[at] - 33 + flip) % 94;
                *text = String::from_utf8(bytes).unwrap();
                break;
            }
            at -= text.len();
        }
        prop_assert_ne!(read(&flat.into_iter().collect()), Ok(offer));
    }
}
