//! Codes and pictures that people compare, phrases, backups, and how a device joins.

use std::collections::BTreeMap;

use postline_core::id::{Address, AddressKey, DeviceKey, Hash, Identity};
use postline_core::seal::code::{Parties, Shown, Side};
use postline_core::seal::join::{Grant, Joining, Request};
use postline_core::seal::lists::Chain;
use postline_core::seal::phrase::Phrase;
use postline_core::seal::tries::Tries;
use postline_core::seal::vault::{Backup, Cost};
use postline_core::seal::{Level, Pin, Secret, address::open};
use postline_core::step::Tick;
use postline_core::time::Millis;
use serde_json::{Value, json};

use super::Making;
use super::mint::{counting, nk};
use super::people::{ANN, BOB, identity, lists};
use crate::answer::Class;
use crate::input::{as_bytes, hex};

const T2: [u8; 32] = [0x72; 32];

pub(super) fn sealed() -> Making {
    let about = "Codes that people compare, phrases that they write down, and what is sealed under them.";
    let mut m = Making::new("sealed", about);
    compare(&mut m);
    pictures(&mut m);
    phrases(&mut m);
    if backups(&mut m).is_none() || joins(&mut m).is_none() {
        m.wrong.push("sealed: what should be sealed was refused".to_owned());
    }
    m
}

fn tick(entropy: u8) -> Tick {
    Tick { now: Millis(1_000), entropy: [entropy; 32] }
}

fn side(address: &str, seed: u8) -> Value {
    json!({ "address": address, "identity": hex(identity(seed)), "ak": hex(nk(seed)) })
}

fn with(value: Value, name: &str, more: Value) -> Value {
    let mut value = value;
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), more);
    }
    value
}

fn compare(m: &mut Making) {
    let nonced = |side: Value, nonce: [u8; 32]| with(side, "nonce", hex(nonce).into());
    let (ann, bob) = (nonced(side(ANN, 21), counting(0)), nonced(side(BOB, 27), counting(32)));
    let ask = |one: &Value, two: &Value| json!({ "t2": hex(T2), "one": one, "two": two });
    let made = m.good("comparison.make", &["I-13"], "the comparison of the text", ask(&ann, &bob));
    m.good("comparison.make", &["I-13"], "the same, the other first", ask(&bob, &ann));
    m.good("comparison.make", &["I-13"], "another nonce", ask(&ann, &nonced(side(BOB, 27), counting(33))));
    m.good("comparison.make", &["I-13"], "another key", ask(&ann, &nonced(side(BOB, 28), counting(32))));
    let word =
        |at: usize, kind: &str| made.get(kind).and_then(|words| words.get(at)).and_then(as_bytes).unwrap_or_default();
    let (commit, reveal) = (word(0, "commits"), word(1, "reveals"));
    let read = |bytes: &[u8]| json!({ "bytes": hex(bytes) });
    m.good("word.read", &["I-13"], "a commitment", read(&commit));
    m.good("word.read", &["I-13"], "a nonce", read(&reveal));
    let (head, behind) = commit.split_at(3);
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("cut", commit.split_at(commit.len() - 1).0.to_vec()),
        ("a byte behind its end", [&commit[..], &[0]].concat()),
        ("version 2", [&[0x83, 2, 0], behind].concat()),
        ("kind 2", [&[0x83, 1, 2], behind].concat()),
        ("its kind in two bytes", [&[0x83, 1, 0x18, 0], behind].concat()),
        ("31 bytes", [head, &[0x58, 31], &[7; 31][..]].concat()),
        ("four items", [&[0x84, 1, 0], behind, &[0]].concat()),
    ] {
        m.bad("word.read", &["I-13"], shows, Class::Malformed, read(&bytes));
    }
}

fn pictures(m: &mut Making) {
    let made = lists();
    let bytes = |value: &Value| value.get("bytes").and_then(as_bytes).unwrap_or_default();
    let (first, second) = (bytes(&made.first), bytes(&made.second));
    let Ok(address) = Address::parse(ANN) else { return };
    let Ok(mut chain) = open(&first).and_then(|list| Chain::begin(&address, &list)) else { return };
    let one = |address: &str, seed: u8| {
        let (identity, ak) = (Identity(identity(seed)), AddressKey(nk(seed)));
        Address::parse(address).ok().map(|address| Side { address, identity, ak })
    };
    let (Some(ann), Some(bob)) = (one(ANN, 21), one(BOB, 27)) else { return };
    let show = |chain: &Chain, reader: &Side| {
        let parties = Parties { t2: Hash(T2), ours: ann.clone(), theirs: reader.clone() };
        let shown = Shown::new(&tick(9), &mut Tries::default(), &parties, chain);
        shown.map(|shown| shown.text().to_string()).unwrap_or_default()
    };
    let text = show(&chain, &bob);
    m.good("card.read", &["I-15"], "the picture of the text", json!({ "text": text }));
    for (shows, text) in [
        ("nothing", String::new()),
        ("another word before it", text.replacen("verify", "trust", 1)),
        ("another version", text.replacen("v=1", "v=2", 1)),
        ("padding", format!("{text}=")),
        ("cut", text.chars().take(text.len() - 2).collect()),
        ("bytes that are none", "postline:verify?v=1&d=AAAA".to_owned()),
    ] {
        m.bad("card.read", &["I-15"], shows, Class::Code, json!({ "text": text }));
    }
    m.bad("card.read", &["I-15"], "2049 bytes", Class::TooBig, json!({ "text": "a".repeat(2049) }));
    let ask = |text: &str, ours: Value, theirs: Value, t2: [u8; 32], lists: &[&[u8]]| {
        json!({ "text": text, "t2": hex(t2), "ours": ours, "theirs": theirs, "whose": ANN,
            "lists": lists.iter().map(hex).collect::<Vec<_>>() })
    };
    let one = [&first[..]];
    let both = [&first[..], &second];
    m.good("card.judge", &["I-15"], "all is as it is known", ask(&text, side(BOB, 27), side(ANN, 21), T2, &one));
    m.good("card.judge", &["I-15"], "of an older list", ask(&text, side(BOB, 27), side(ANN, 21), T2, &both));
    m.bad(
        "card.judge",
        &["I-15"],
        "another key of theirs",
        Class::Key,
        ask(&text, side(BOB, 27), side(ANN, 28), T2, &one),
    );
    m.bad(
        "card.judge",
        &["I-15"],
        "another key of ours",
        Class::Key,
        ask(&text, side(BOB, 28), side(ANN, 21), T2, &one),
    );
    m.bad(
        "card.judge",
        &["I-15"],
        "another line",
        Class::Code,
        ask(&text, side(BOB, 27), side(ANN, 21), [0x73; 32], &one),
    );
    let eve = "eve@e.example";
    m.bad(
        "card.judge",
        &["I-15"],
        "for another reader",
        Class::Code,
        ask(&text, side(eve, 27), side(ANN, 21), T2, &one),
    );
    if let Ok(postline_core::seal::lists::Verdict::Extends(extension)) =
        open(&second).and_then(|list| chain.judge(&list))
    {
        chain.take(*extension);
    }
    let newer = show(&chain, &bob);
    m.good(
        "card.judge",
        &["I-15"],
        "of a list that isn't known yet",
        ask(&newer, side(BOB, 27), side(ANN, 21), T2, &one),
    );
}

fn phrases(m: &mut Making) {
    for (shows, bits) in [("the phrase of the text", counting::<10>(0)), ("all zero", [0; 10]), ("all one", [0xff; 10])]
    {
        m.good("phrase.make", &["I-16"], shows, json!({ "bits": hex(bits) }));
    }
    let shown = Phrase::new(Secret::new(counting(0))).show().to_string();
    for (shows, text) in [
        ("as it is shown", shown.clone()),
        ("in small letters", shown.to_lowercase()),
        ("without hyphens", shown.replace('-', "")),
        ("with spaces", shown.replace('-', " ")),
        ("zero as O, one as l", shown.replace('0', "O").replace('1', "l")),
    ] {
        m.good("phrase.read", &["I-16"], shows, json!({ "text": text }));
    }
    let slip: String =
        shown.chars().enumerate().map(|(at, c)| if at == 5 { if c == '7' { '8' } else { '7' } } else { c }).collect();
    for (shows, text) in [
        ("nothing", String::new()),
        ("a slip of the pen", slip),
        ("a sign less", shown.chars().take(shown.len() - 1).collect()),
        ("a sign more", format!("{shown}0")),
        ("a U", format!("U{}", shown.chars().skip(1).collect::<String>())),
        ("another hyphen", shown.replace('-', "\u{2010}")),
        ("digits of another script", format!("\u{660}{}", shown.chars().skip(1).collect::<String>())),
    ] {
        m.bad("phrase.read", &["I-16"], shows, Class::Code, json!({ "text": text }));
    }
}

fn pins() -> Option<BTreeMap<Address, Pin>> {
    let pin = |seed: u8, level| Pin { identity: Identity(identity(seed)), ak: AddressKey(nk(seed)), level };
    let bob = (Address::parse(BOB).ok()?, pin(27, Level::Compared));
    let carol = (Address::parse("carol.b@b.example").ok()?, pin(28, Level::Proven));
    Some(BTreeMap::from([bob, carol]))
}

fn backups(m: &mut Making) -> Option<()> {
    let secret = |seed: u8| Secret::new([seed; 32]);
    let backup = Backup {
        identity: Identity(identity(21)),
        address: Address::parse(ANN).ok()?,
        made: Millis(1_780_000_000_000),
        ak: secret(21),
        next: secret(22),
        archive: secret(0x77),
        pins: pins()?,
    };
    let phrase = Phrase::new(Secret::new(counting(0)));
    let blob = backup.seal(&tick(1), &phrase, Cost { kib: 32, passes: 2 }).ok()?;
    let bare = Backup { pins: BTreeMap::new(), ..backup }.seal(&tick(2), &phrase, Cost { kib: 8, passes: 1 }).ok()?;
    let (shown, other) = (phrase.show().to_string(), Phrase::new(Secret::new(counting(1))).show().to_string());
    let ask = |bytes: &[u8], phrase: &str| json!({ "bytes": hex(bytes), "phrase": phrase });
    m.good("backup.open", &["I-17", "I-18"], "the backup of the text", ask(&blob, &shown));
    m.good("backup.open", &["I-17", "I-18"], "nobody else's keys", ask(&bare, &shown));
    m.bad("backup.open", &["I-18"], "another phrase", Class::Code, ask(&blob, &other));
    m.bad("backup.open", &["I-16"], "no phrase", Class::Code, ask(&blob, "secret"));
    let changed = |at: usize, to: &[u8]| {
        let (before, behind) = blob.split_at(at);
        [before, to, behind.split_at(1).1].concat()
    };
    let last = blob.len() - 1;
    let flipped = blob.last().map(|byte| byte ^ 1)?;
    // [5 items, version, head and salt of 17 bytes] kib in two bytes, passes, box
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("cut", blob.split_at(last).0.to_vec()),
        ("a byte behind its end", [&blob[..], &[0]].concat()),
        ("version 2", changed(1, &[2])),
        ("its version in two bytes", changed(1, &[0x18, 1])),
        ("less memory than there can be", [bare.split_at(19).0, &[7], bare.split_at(20).1].concat()),
        ("no pass", changed(21, &[0])),
        ("a bit of the box", changed(last, &[flipped])),
    ] {
        m.bad("backup.open", &["I-18"], shows, Class::Malformed, ask(&bytes, &shown));
    }
    m.bad(
        "backup.open",
        &["I-18"],
        "a pass more than it was sealed with",
        Class::Code,
        ask(&changed(21, &[3]), &shown),
    );
    let (head, tail) = (bare.split_at(19).0, bare.split_at(20).1);
    let asking = |kib: u32| [head, &[0x1a], &kib.to_be_bytes(), tail].concat();
    m.bad("backup.open", &["I-18"], "more memory than it may ask for", Class::TooBig, ask(&asking(131_073), &shown));
    m.bad("backup.open", &["I-18"], "four terabytes", Class::TooBig, ask(&asking(u32::MAX), &shown));
    m.bad("backup.open", &["I-18"], "more passes than it may ask for", Class::TooBig, ask(&changed(21, &[9]), &shown));
    Some(())
}

fn joins(m: &mut Making) -> Option<()> {
    let ann = Address::parse(ANN).ok()?;
    let code = Phrase::new(Secret::new(counting(16)));
    let shown = code.show().to_string();
    let until = 1_780_000_600_000_u64;
    let join = |code: &str, secret: u8| json!({ "code": code, "secret": hex([secret; 32]), "address": ANN, "dk": hex([0x33; 32]), "until": until });
    let made = m.good("join.make", &["I-19"], "the request of the text", join(&shown, 0x5e));
    m.good("join.make", &["I-19"], "another share", join(&shown, 0x5f));
    let request = Request::parse(&made.get("bytes").and_then(as_bytes)?).ok()?;
    let grant = Grant {
        identity: Identity(identity(21)),
        ak: Secret::new([21; 32]),
        archive: Secret::new([0x77; 32]),
        pins: pins()?,
    };
    let old = DeviceKey([0x31; 32]);
    let answer = request.grant(&tick(3), &mut Tries::default(), &shown, (&ann, old), &grant).ok()?;
    let again = Joining::new(code, Secret::new([0x5f; 32]), ann.clone(), DeviceKey([0x33; 32]), Millis(until));
    let again = Request::parse(again.request()).ok()?;
    let to_another = again.grant(&tick(3), &mut Tries::default(), &shown, (&ann, old), &grant).ok()?;
    let open = |join: Value, answer: &[u8], now: u64| with(with(join, "answer", hex(answer).into()), "now", now.into());
    let good = || join(&shown, 0x5e);
    m.good("join.open", &["I-20", "I-21"], "the answer of the text", open(good(), &answer, until));
    m.bad("join.open", &["I-20"], "too late", Class::Code, open(good(), &answer, until + 1));
    m.bad("join.open", &["I-20"], "to another request", Class::Code, open(good(), &to_another, until));
    let other = Phrase::new(Secret::new(counting(17))).show().to_string();
    m.bad("join.open", &["I-20"], "under another code", Class::Code, open(join(&other, 0x5e), &answer, until));
    // [4 items, version, head and dk of 34, head and share of 34, box]
    let with_share = |share: &[u8]| {
        let (before, behind) = answer.split_at(38);
        [before, share, behind.split_at(32).1].concat()
    };
    let one: [u8; 32] = core::array::from_fn(|at| u8::from(at == 0));
    let last = answer.len() - 1;
    let flipped = answer.last().map(|byte| byte ^ 1)?;
    for (shows, bytes) in [
        ("nothing", Vec::new()),
        ("cut", answer.split_at(last).0.to_vec()),
        ("a byte behind its end", [&answer[..], &[0]].concat()),
        ("version 2", [&[0x84, 2], answer.split_at(2).1].concat()),
        ("a share of zero", with_share(&[0; 32])),
        ("a share of small order", with_share(&one)),
        ("a bit of the box", [answer.split_at(last).0, &[flipped]].concat()),
        ("another device that answers", [answer.split_at(4).0, &[0x30], answer.split_at(5).1].concat()),
    ] {
        m.bad("join.open", &["I-20"], shows, Class::Malformed, open(good(), &bytes, until));
    }
    m.bad("join.open", &["I-20"], "16385 bytes", Class::TooBig, open(good(), &vec![0x84; 16_385], until));
    Some(())
}
