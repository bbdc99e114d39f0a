//! What a domain says of its own node: read strictly, within bounds, and written as it is read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

use postline_codec::word::{BadDocument, WellKnown, parse_txt, render_txt};
use postline_core::id::{Hash, NodeKey};
use postline_core::limits;
use postline_core::net::Hint;
use proptest::prelude::*;

const NK: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const NEXT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn nk() -> NodeKey {
    NodeKey::parse(NK).unwrap()
}

fn form(text: &str) -> String {
    match WellKnown::parse(text.as_bytes()) {
        Err(BadDocument::Form(why)) => why,
        other => panic!("{text}: {other:?}"),
    }
}

/// [D-1]
#[test]
fn a_document_names_a_key_the_next_one_and_where_to_dial() {
    let whole = format!(r#"{{"v":1,"nk":"{NK}","next":"{NEXT}","link":"Node.Provider.example:443"}}"#);
    let read = WellKnown::parse(whole.as_bytes()).unwrap();
    assert_eq!((read.nk, read.next), (nk(), Some(Hash::parse(NEXT).unwrap())));
    let link = read.link.unwrap();
    assert_eq!((link.host.as_str(), link.port), ("node.provider.example", 443));

    let least = WellKnown { nk: nk(), next: None, link: None };
    for text in [
        format!(r#"{{"v":1,"nk":"{NK}"}}"#),
        format!(" {{ \"nk\" : \"{NK}\" ,\r\n \"v\" : 1 }} \n"),
        format!(r#"{{"v":1,"nk":"{NK}","of later":{{"a":[[[1]],{{"nk":"x"}}]}},"more":null}}"#),
    ] {
        assert_eq!(WellKnown::parse(text.as_bytes()).as_ref(), Ok(&least), "{text}");
    }
}

/// [D-1]
#[test]
fn what_is_no_document_is_refused_with_its_reason() {
    for (text, why) in [
        (format!(r#"{{"v":2,"nk":"{NK}"}}"#), "version 2, want 1"),
        (format!(r#"{{"nk":"{NK}"}}"#), "no `v`"),
        (r#"{"v":1}"#.to_owned(), "no `nk`"),
        (format!(r#"{{"v":"1","nk":"{NK}"}}"#), "invalid type"),
        (format!(r#"{{"v":1.0,"nk":"{NK}"}}"#), "invalid type"),
        (format!(r#"{{"v":1,"nk":["{NK}"]}}"#), "invalid type"),
        (format!(r#"{{"v":1,"nk":"{}"}}"#, NK.to_uppercase()), "lower-case"),
        (format!(r#"{{"v":1,"nk":"{NK}0"}}"#), "64"),
        (format!(r#"{{"v":1,"nk":"+{}"}}"#, &NK[1..]), "64"),
        (format!(r#"{{"v":1,"nk":"{NK}","nk":"{NEXT}"}}"#), "twice"),
        (format!(r#"{{"v":1,"nk":"{NK}","n\u006b":"{NEXT}"}}"#), "twice"),
        (format!(r#"{{"v":1,"nk":"{NK}","x":1,"x":2}}"#), "twice"),
        (format!(r#"{{"v":1,"nk":"{NK}","next":""}}"#), "64"),
        (format!(r#"{{"v":1,"nk":"{NK}","next":null}}"#), "invalid type"),
        (format!(r#"{{"v":1,"nk":"{NK}","link":"127.0.0.1:7678"}}"#), "link"),
        (format!(r#"{{"v":1,"nk":"{NK}","link":"b.example:25"}}"#), "link"),
        (format!(r#"{{"v":1,"nk":"{NK}","link":"https://b.example/"}}"#), "link"),
        (format!(r#"{{"v":1,"nk":"{NK}"}}{{}}"#), "trailing"),
        (format!(r#"{{"v":1,"nk":"{NK}",}}"#), "trailing comma"),
        (format!("[1,\"{NK}\"]"), "invalid type"),
        (format!("\u{feff}{{\"v\":1,\"nk\":\"{NK}\"}}"), "expected value"),
        (String::new(), "EOF"),
        ("<!doctype html>".to_owned(), "expected value"),
    ] {
        let got = form(&text);
        assert!(got.contains(why), "{text}: want {why:?}, got {got:?}");
    }
}

#[test]
fn t_097_a_huge_or_deep_document_costs_no_more_than_its_bound() {
    let padded = |len: usize| format!(r#"{{"v":1,"nk":"{NK}","x":"{}"}}"#, "x".repeat(len - 86));
    let at = padded(limits::WELL_KNOWN_BYTES);
    assert_eq!(at.len(), limits::WELL_KNOWN_BYTES);
    assert!(WellKnown::parse(at.as_bytes()).is_ok());
    for over in [limits::WELL_KNOWN_BYTES + 1, 1_000 * limits::WELL_KNOWN_BYTES] {
        let refused = Err(BadDocument::Size { got: over, max: limits::WELL_KNOWN_BYTES });
        assert_eq!(WellKnown::parse(padded(over).as_bytes()), refused);
    }
    let deep = format!(r#"{{"v":1,"nk":"{NK}","x":{}"#, "[".repeat(16_000));
    assert!(WellKnown::parse(deep.as_bytes()).is_err());
}

/// [D-2]
#[test]
fn a_txt_record_names_a_key_or_nothing() {
    for good in [
        format!("v=1; nk={NK}"),
        format!("v=1;nk={NK}"),
        format!(" v = 1 ;  nk = {NK} "),
        format!("v=1; later=x; nk={NK}"),
    ] {
        assert_eq!(parse_txt(good.as_bytes()), Some(nk()), "{good}");
    }
    for bad in [
        format!("nk={NK}; v=1"),
        format!("nk={NK}"),
        format!("v=2; nk={NK}"),
        format!("v=1; nk={NK};"),
        format!("v=1; nk={NK}; nk={NK}"),
        format!("v=1; nk={}", NK.to_uppercase()),
        format!("v=1; nk={NK}00"),
        format!("v=1; nk={NK}; {}", "x=1; y=".repeat(100)),
        format!("V=1; nk={NK}"),
        "v=1; nk=".to_owned(),
        "v=1".to_owned(),
        "v=spf1 mx -all".to_owned(),
        String::new(),
    ] {
        assert_eq!(parse_txt(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(parse_txt(b"v=1; nk=\xff"), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(nk: [u8; 32], next: Option<[u8; 32]>, port in 1024_u16.., dial: bool) {
        let link = dial.then(|| Hint::parse(&format!("node.b.example:{port}")).unwrap());
        let document = WellKnown { nk: NodeKey(nk), next: next.map(Hash), link };
        prop_assert_eq!(WellKnown::parse(document.render().as_bytes()), Ok(document));
        prop_assert_eq!(parse_txt(render_txt(NodeKey(nk)).as_bytes()), Some(NodeKey(nk)));
    }

    #[test]
    fn no_bytes_make_the_parsers_fail_otherwise(bytes: Vec<u8>, cut in 0_usize..200) {
        let _ = (WellKnown::parse(&bytes), parse_txt(&bytes));
        let mut document = format!(r#"{{"v":1,"nk":"{NK}","next":"{NEXT}","link":"b.example:7678"}}"#).into_bytes();
        document.truncate(cut);
        document.extend(bytes);
        if let Ok(read) = WellKnown::parse(&document) {
            prop_assert_eq!(WellKnown::parse(read.render().as_bytes()), Ok(read));
        }
    }
}
