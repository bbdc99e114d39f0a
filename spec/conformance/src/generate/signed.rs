//! Offers, accepts and ids: made, verified, and everything that a signature must notice.

use serde_json::{Value, json};

use super::Making;
use super::mint::{Mint, base64, counting, malleable, nk, sign, sign_raw, small_order, unreduced};
use crate::answer::Class;
use crate::input::hex;

const T: u64 = 1_780_000_000;
const DAY_MS: u64 = 86_400_000;

fn offer() -> Mint {
    Mint {
        label: "offer".to_owned(),
        version: 1,
        from: "ann@a.example".to_owned(),
        to_cc: vec!["bob@b.example".to_owned(), "carol@c.example".to_owned()],
        tags: Vec::new(),
        seed: 1,
    }
    .tag("v", "1")
    .tag("h", "mail.a.example:7678")
    .tag("n", base64(counting::<16>(0)))
    .tag("nk", base64(nk(1)))
    .tag("t", T.to_string())
    .tag("x", "90")
}

/// The text's offer, answered.
fn accept(t0: &[u8]) -> Mint {
    Mint {
        label: "accept".to_owned(),
        version: 1,
        from: "bob@b.example".to_owned(),
        to_cc: vec!["ann@a.example".to_owned()],
        tags: Vec::new(),
        seed: 2,
    }
    .tag("v", "1")
    .tag("n", base64(counting::<16>(16)))
    .tag("nk", base64(nk(2)))
    .tag("re", base64(t0))
    .tag("t", (T + 3600).to_string())
}

fn id() -> Mint {
    let mint = Mint { label: "id".to_owned(), to_cc: vec!["bob@b.example".to_owned()], ..offer() };
    mint.without("h").without("n").without("x").tag("id", base64([0x77; 16])).tag("bh", base64([0x88; 32]))
}

fn t0() -> Vec<u8> {
    let offer = offer();
    postline_core::store::sha256(&[&offer.signed(), &offer.signature()]).0.to_vec()
}

fn ask(mint: &Mint) -> Value {
    ask_with(mint, &mint.body())
}

fn ask_with(mint: &Mint, body: &str) -> Value {
    json!({ "from": mint.from, "to_cc": mint.to_cc, "body": body })
}

fn ask_at(mint: &Mint, now: u64) -> Value {
    json!({ "from": mint.from, "to_cc": mint.to_cc, "body": mint.body(), "now": now })
}

pub(super) fn offers() -> Making {
    let mut m = Making::new("offers", "Postline-Offer: its canonical bytes, its signature, T0, and its time.");
    let make = |more: Value| {
        let mut input = json!({ "seed": hex([1; 32]), "from": "ann@a.example", "to_cc": ["bob@b.example", "carol@c.example"],
            "t": T, "x": 90, "n": hex(counting::<16>(0)) });
        if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
            input.extend(more.clone());
        }
        input
    };
    for (shows, more) in [
        ("the offer of the text", json!({ "h": "mail.a.example:7678" })),
        ("no hint", json!({})),
        ("an address key", json!({ "h": "mail.a.example:443", "ak": hex([4; 32]) })),
        (
            "addresses are sorted as texts, each once",
            json!({ "to_cc": ["b@x.example", "a@x.example", "a.b@x.example", "a@x.example", "A@x.example"] }),
        ),
        (
            "addresses beyond ASCII",
            json!({ "from": "jörg@xn--bcher-kva.example", "to_cc": ["用户@b.example", "z@b.example"] }),
        ),
        ("nobody in To and Cc", json!({ "to_cc": [] })),
        ("the epoch, for no day", json!({ "t": 0, "x": 0 })),
        ("another key", json!({ "seed": hex(counting::<32>(7)) })),
    ] {
        m.good("offer.make", &["F-2", "F-3", "K-2", "T-6"], shows, make(more));
    }
    let twenty: Vec<String> = (0..20).map(|at| format!("person{at}@b.example")).collect();
    m.good("offer.make", &["F-3"], "twenty addresses", make(json!({ "to_cc": twenty })));

    let good = offer();
    let verify = "offer.verify";
    m.good(verify, &["F-3", "K-3", "T-6"], "the offer of the text", ask(&good));
    common_good(&mut m, verify, &good);
    m.good(verify, &["F-2"], "h may be missing", ask(&good.clone().without("h")));
    m.good(verify, &["F-2"], "ak may be there", ask(&good.clone().tag("ak", base64([4; 32]))));
    m.good(verify, &["F-2"], "x above its bound counts as the bound", ask(&good.clone().tag("x", "400")));
    m.good(verify, &["T-2"], "a hint within another domain is a hint", ask(&good.clone().tag("h", "x.example:443")));
    m.good(verify, &["T-3"], "first seen a day before its time", ask_at(&good, T * 1000 - DAY_MS));
    m.good(verify, &["T-3"], "first seen at its end", ask_at(&good, T * 1000 + 90 * DAY_MS));
    m.bad(verify, &["T-3"], "a millisecond too early", Class::Future, ask_at(&good, T * 1000 - DAY_MS - 1));
    m.bad(verify, &["T-3"], "a millisecond too late", Class::Expired, ask_at(&good, T * 1000 + 90 * DAY_MS + 1));
    let year = good.clone().tag("x", "18446744073709551615");
    m.good(verify, &["T-3"], "a year at most: its end", ask_at(&year, T * 1000 + 365 * DAY_MS));
    m.bad(verify, &["T-3"], "a year at most: behind it", Class::Expired, ask_at(&year, T * 1000 + 365 * DAY_MS + 1));
    let late = good.clone().tag("t", "18446744073709551615");
    m.bad(verify, &["T-3"], "the last second there is", Class::Future, ask_at(&late, T * 1000));
    let none = good.clone().tag("x", "0");
    m.bad(verify, &["T-3"], "for no day", Class::Expired, ask_at(&none, T * 1000 + 1));

    common_bad(&mut m, verify, &good);
    for tag in ["x", "n"] {
        m.bad(verify, &["T-2"], &format!("no {tag}"), Class::Field, ask(&good.clone().without(tag)));
    }
    bad_tags(
        &mut m,
        verify,
        &good,
        &[
            ("a zero before a number", "x", "090"),
            ("a sign before a number", "x", "+90"),
            ("a number that is none", "x", "9x"),
            ("a nonce with padding", "n", "AAECAwQFBgcICQoLDA0ODw=="),
            ("a nonce of 15 bytes", "n", "AAECAwQFBgcICQoLDA0O"),
            ("a nonce of 17 bytes", "n", "AAECAwQFBgcICQoLDA0ODxA"),
            ("bits at the end of a nonce", "n", "AAECAwQFBgcICQoLDA0ODx"),
            ("the alphabet for URLs", "n", "AAECAwQFBgcICQoLDA0O_w"),
            ("a hint without a port", "h", "mail.a.example"),
            ("a hint in capitals", "h", "Mail.a.example:7678"),
            ("a hint that is an address", "h", "192.0.2.1:7678"),
            ("a hint at a port of another service", "h", "mail.a.example:25"),
            ("a zero before a hint's port", "h", "mail.a.example:07678"),
            ("a hint of one label", "h", "localhost:7678"),
            ("an address key of 31 bytes", "ak", &base64([4; 31])),
        ],
    );
    let long = format!("{0}.{0}.{0}.a.example:7678", "a".repeat(62));
    bad_tags(&mut m, verify, &good, &[("a hint over its bound", "h", &long)]);
    m.bad(
        verify,
        &["K-2"],
        "signed as an accept",
        Class::Signature,
        ask_with(&good, &good.body_with(&sign(1, "accept", &good.signed()))),
    );
    let as_accept = Mint { label: "accept".to_owned(), ..good.clone() };
    m.bad(
        verify,
        &["K-2"],
        "the bytes of an accept",
        Class::Signature,
        ask_with(&good, &good.body_with(&as_accept.signature())),
    );
    m.good("offer.make", &["K-7", "F-2"], "the hash of the next key", make(json!({ "nx": hex([0x99; 32]) })));
    m.good(verify, &["K-7", "T-2"], "nx may be there", ask(&good.clone().tag("nx", base64([0x99; 32]))));
    let short = base64([0x99; 31]);
    bad_tags(&mut m, verify, &good, &[("a hash of 31 bytes for the next key", "nx", &short)]);
    m.good(verify, &["T-3"], "an end behind the last millisecond there is", ask(&late));
    m.good(verify, &["T-2"], "an address key that is no point", ask(&good.clone().tag("ak", base64([2; 32]))));
    m
}

pub(super) fn accepts() -> Making {
    let mut m = Making::new("accepts", "Postline-Accept: its canonical bytes, its signature, and T1.");
    let t0 = t0();
    let make = |more: Value| {
        let mut input = json!({ "seed": hex([2; 32]), "from": "bob@b.example", "to_cc": ["ann@a.example"],
            "t": T + 3600, "re": hex(&t0), "n": hex(counting::<16>(16)) });
        if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
            input.extend(more.clone());
        }
        input
    };
    for (shows, more) in [
        ("the accept of the text", json!({})),
        ("a hint and an address key", json!({ "h": "b.example:7678", "ak": hex([5; 32]) })),
        ("an answer to several", json!({ "to_cc": ["carol@c.example", "ann@a.example"] })),
        ("another key", json!({ "seed": hex(counting::<32>(9)) })),
    ] {
        m.good("accept.make", &["F-3", "K-2", "T-6"], shows, make(more));
    }
    let good = accept(&t0);
    let verify = "accept.verify";
    m.good(verify, &["F-3", "K-3", "T-6"], "the accept of the text", ask(&good));
    common_good(&mut m, verify, &good);
    m.good(verify, &["T-6"], "an accept of another offer", ask(&good.clone().tag("re", base64([9; 32]))));
    m.good(verify, &["T-3"], "first seen a day before its time", ask_at(&good, (T + 3600) * 1000 - DAY_MS));
    m.good(verify, &["T-3"], "no end of its own", ask_at(&good, (T + 3600) * 1000 + 4000 * DAY_MS));
    m.bad(verify, &["T-3"], "a millisecond too early", Class::Future, ask_at(&good, (T + 3600) * 1000 - DAY_MS - 1));
    common_bad(&mut m, verify, &good);
    for tag in ["re", "n"] {
        m.bad(verify, &["T-2"], &format!("no {tag}"), Class::Field, ask(&good.clone().without(tag)));
    }
    bad_tags(
        &mut m,
        verify,
        &good,
        &[
            ("a hash of 31 bytes", "re", &base64([9; 31])),
            ("a hash with padding", "re", &format!("{}=", base64([9; 32]))),
            ("a hash in hexadecimal", "re", &hex([9; 32])),
            ("a hint without a port", "h", "b.example"),
        ],
    );
    m.bad(
        verify,
        &["K-2"],
        "signed as an offer",
        Class::Signature,
        ask_with(&good, &good.body_with(&sign(2, "offer", &good.signed()))),
    );
    m.bad(verify, &["K-2"], "the offer itself", Class::Field, ask(&offer()));
    m.good("accept.make", &["K-7", "F-2"], "the hash of the next key", make(json!({ "nx": hex([0x99; 32]) })));
    m.good(verify, &["K-7", "T-2"], "nx may be there", ask(&good.clone().tag("nx", base64([0x99; 32]))));
    let short = base64([0x99; 31]);
    bad_tags(&mut m, verify, &good, &[("a hash of 31 bytes for the next key", "nx", &short)]);
    m
}

pub(super) fn ids() -> Making {
    let mut m = Making::new("ids", "Postline-Id: its canonical bytes and its signature.");
    let make = |more: Value| {
        let mut input = json!({ "seed": hex([1; 32]), "from": "ann@a.example", "to_cc": ["bob@b.example"],
            "t": T, "id": hex([0x77; 16]), "bh": hex([0x88; 32]) });
        if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
            input.extend(more.clone());
        }
        input
    };
    m.good("id.make", &["E-4", "F-3", "K-2"], "a plain id", make(json!({})));
    m.good("id.make", &["E-4", "F-3"], "to several", make(json!({ "to_cc": ["carol@c.example", "bob@b.example"] })));
    let good = id();
    let verify = "id.verify";
    m.good(verify, &["E-4", "F-3", "K-3"], "a plain id", ask(&good));
    common_good(&mut m, verify, &good);
    m.good(verify, &["T-2"], "h means nothing here, and is signed", ask(&good.clone().tag("h", "anything")));
    common_bad(&mut m, verify, &good);
    for tag in ["id", "bh"] {
        m.bad(verify, &["E-6", "T-2"], &format!("no {tag}"), Class::Field, ask(&good.clone().without(tag)));
    }
    bad_tags(
        &mut m,
        verify,
        &good,
        &[("an id of 15 bytes", "id", &base64([7; 15])), ("a content hash of 33 bytes", "bh", &base64([7; 33]))],
    );
    let other = good.clone().tag("bh", base64([0x89; 32]));
    m.bad(verify, &["E-6"], "another content", Class::Signature, ask_with(&good, &other.body_with(&good.signature())));
    let other = good.clone().tag("id", base64([0x78; 16]));
    m.bad(verify, &["E-6"], "another id", Class::Signature, ask_with(&good, &other.body_with(&good.signature())));
    m.good(verify, &["T-2"], "nx means nothing here either", ask(&good.clone().tag("nx", "anything")));
    m
}

/// What every field may be.
fn common_good(m: &mut Making, verify: &str, good: &Mint) {
    let mut turned = good.clone();
    turned.tags.reverse();
    m.good(verify, &["F-2", "F-3"], "its tags in another order", ask(&turned));
    let folded = good.body().replace("; ", ";\r\n\t").replace('/', " / ").replace("nk=", "nk= \r\n ");
    m.good(verify, &["F-2", "F-3"], "folded elsewhere", ask_with(good, &folded));
    let tight = good.body().replace("; ", ";");
    m.good(verify, &["F-2", "F-3"], "without white space", ask_with(good, &tight));
    m.good(verify, &["F-3", "L-14"], "an unknown tag is signed along", ask(&good.clone().tag("zz", "new=1")));
    let full = (0..15 - good.tags.len()).fold(good.clone(), |mint, at| mint.tag(&format!("z{at}"), "1"));
    m.good(verify, &["F-2", "F-3"], "sixteen tags", ask(&full));
    let room = 512 - ";zz=".len() - good.body().replace(' ', "").len();
    m.good(verify, &["F-2", "F-3"], "512 bytes", ask(&good.clone().tag("zz", "a".repeat(room))));
    m.bad(verify, &["F-2"], "513 bytes", Class::Field, ask(&good.clone().tag("zz", "a".repeat(room + 1))));
    m.bad(verify, &["F-2"], "seventeen tags", Class::Field, ask(&full.tag("z99", "1")));
}

/// What no field may be.
fn common_bad(m: &mut Making, verify: &str, good: &Mint) {
    let signature = good.signature();
    for tag in ["v", "t", "nk"] {
        m.bad(verify, &["T-2"], &format!("no {tag}"), Class::Field, ask(&good.clone().without(tag)));
    }
    let bare = good.body();
    let bare = bare.rsplit_once("; b=").map_or("", |(bare, _)| bare);
    m.bad(verify, &["T-2"], "no b", Class::Field, ask_with(good, bare));
    m.bad(verify, &["F-2"], "a semicolon at the end", Class::Field, ask_with(good, &format!("{};", good.body())));
    m.bad(verify, &["F-2"], "a tag twice", Class::Field, ask_with(good, &format!("v=1; {}", good.body())));
    bad_tags(
        m,
        verify,
        good,
        &[
            ("another version", "v", "2"),
            ("a version spelt in another way", "v", "01"),
            ("a time spelt in another way", "t", "01780000000"),
            ("a time before the epoch", "t", "-1"),
            ("a time beyond 64 bits", "t", "18446744073709551616"),
            ("a key of 31 bytes", "nk", &base64([7; 31])),
            ("a key with padding", "nk", &format!("{}=", base64(nk(good.seed)))),
            ("a key in hexadecimal", "nk", &hex(nk(good.seed))),
        ],
    );
    let with = |signature: &[u8]| ask_with(good, &good.body_with(signature));
    let (short, _) = signature.split_at(63);
    m.bad(verify, &["T-2"], "a signature of 63 bytes", Class::Field, with(short));
    m.bad(verify, &["T-2"], "a signature of 65 bytes", Class::Field, with(&[&signature[..], &[0]].concat()));

    let mut wrong = |reqs: &[&str], shows: &str, input: Value| m.bad(verify, reqs, shows, Class::Signature, input);
    let changed =
        |change: Mint| json!({ "from": change.from, "to_cc": change.to_cc, "body": change.body_with(&signature) });
    wrong(&["F-3"], "another time", changed(good.clone().tag("t", (T + 1).to_string())));
    wrong(&["F-3"], "a tag that was added", changed(good.clone().tag("zz", "1")));
    wrong(&["F-3"], "an address key that was added", changed(good.clone().tag("ak", base64([4; 32]))));
    wrong(&["F-3"], "another author", changed(Mint { from: "eve@a.example".to_owned(), ..good.clone() }));
    wrong(&["F-3", "N-3"], "an author in other letters", {
        changed(Mint { from: good.from.replacen(|c: char| c.is_ascii_lowercase(), "X", 1), ..good.clone() })
    });
    wrong(&["F-3"], "nobody in To and Cc", changed(Mint { to_cc: Vec::new(), ..good.clone() }));
    let more = [good.to_cc.clone(), vec!["eve@e.example".to_owned()]].concat();
    wrong(&["F-3"], "one more in To and Cc", changed(Mint { to_cc: more, ..good.clone() }));
    wrong(&["K-3"], "another key", changed(good.clone().tag("nk", base64(nk(3)))));
    wrong(&["K-3"], "signed by another key", with(&sign(3, &good.label, &good.signed())));
    wrong(&["K-2"], "no label", with(&sign_raw(good.seed, &good.signed())));
    wrong(&["K-2"], "no zero behind the label", {
        with(&sign_raw(good.seed, &[b"postline/1 ", good.label.as_bytes(), &good.signed()].concat()))
    });
    wrong(&["K-2"], "another version in the label", {
        with(&sign_raw(good.seed, &[b"postline/2 ", good.label.as_bytes(), &[0], &good.signed()].concat()))
    });
    wrong(&["F-3"], "version 2 in the canonical bytes", with(&Mint { version: 2, ..good.clone() }.signature()));
    let unsorted = good.signed_so(good.to_cc.clone(), good.tags.iter().rev().cloned().collect());
    wrong(&["F-3"], "tags in another order in the canonical bytes", with(&sign(good.seed, &good.label, &unsorted)));
    let doubled = [good.to_cc.clone(), good.to_cc.clone()].concat();
    let mut sorted = good.tags.clone();
    sorted.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    let doubled = good.signed_so(doubled, sorted);
    wrong(&["F-3"], "addresses twice in the canonical bytes", with(&sign(good.seed, &good.label, &doubled)));
    let mut flipped = signature;
    flipped.iter_mut().take(1).for_each(|byte| *byte ^= 1);
    wrong(&["K-3"], "a bit of R", with(&flipped));
    let mut flipped = signature;
    flipped.iter_mut().skip(32).take(1).for_each(|byte| *byte ^= 1);
    wrong(&["K-3"], "a bit of S", with(&flipped));
    wrong(&["K-3"], "a scalar above the group order", with(&malleable(signature)));
    wrong(&["K-3"], "a signature of zeros", with(&[0; 64]));
    let (key, signature) = small_order();
    let weak = good.clone().tag("nk", base64(key));
    wrong(&["K-3"], "key and R of small order", ask_with(&weak, &weak.body_with(&signature)));
    let odd = good.clone().tag("nk", base64(unreduced(1)));
    wrong(&["K-3"], "a key that isn't reduced", ask_with(&odd, &odd.body_with(&signature)));
    let none = good.clone().tag("nk", base64([2; 32]));
    wrong(&["K-3"], "a key that is no point", ask_with(&none, &none.body_with(&none.signature())));
}

fn bad_tags(m: &mut Making, verify: &str, good: &Mint, tags: &[(&str, &str, &str)]) {
    for (shows, tag, text) in tags {
        m.bad(verify, &["T-2"], shows, Class::Field, ask(&good.clone().tag(tag, *text)));
    }
}
