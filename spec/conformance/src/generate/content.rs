//! What people say: contents, what they are, their names, reports, places, markdown.

use postline_core::limits;
use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use crate::answer::Class;
use crate::input::{as_bytes, hex};

const SALT: [u8; 16] = [0x33; 16];

pub(super) fn content() -> Making {
    let mut m = Making::new(
        "content",
        "What people say: contents in their one form, what they are, which of their parts are shown, and their ids; reports, places, markdown.",
    );
    sayings(&mut m);
    names(&mut m);
    choices(&mut m);
    fields(&mut m);
    parts(&mut m);
    externals(&mut m);
    extensions(&mut m);
    values(&mut m);
    reports(&mut m);
    places(&mut m);
    markdown(&mut m);
    previews(&mut m);
    m
}

fn id(n: u8) -> [u8; 32] {
    let mut id = [n; 32];
    if let Some(first) = id.first_mut() {
        *first = 1;
    }
    id
}

fn text(text: &str) -> Value {
    json!({ "disposition": 1, "language": "", "media": "text/plain;charset=utf-8", "content": hex(text) })
}

fn reaction(said: &str) -> Value {
    json!({ "disposition": 2, "language": "", "media": "text/plain;charset=utf-8", "content": hex(said) })
}

/// A content of this body, with these members more.
fn of(body: &Value, more: &Value) -> Value {
    let mut content = json!({ "salt": hex(SALT), "topic": "", "seen": [], "others": [], "body": body });
    if let (Some(members), Some(more)) = (content.as_object_mut(), more.as_object()) {
        members.extend(more.clone());
    }
    content
}

fn file(media: &str, url: &str, more: &Value) -> Value {
    let mut file = json!({
        "media": media, "url": url, "expires": 0, "size": 0, "aead": 0, "key": "", "nonce": "", "aad": "", "hash_alg": 0,
        "hash": "", "description": "", "filename": "",
    });
    if let (Some(members), Some(more)) = (file.as_object_mut(), more.as_object()) {
        members.extend(more.clone());
    }
    file
}

fn sayings(m: &mut Making) {
    let several = json!({ "disposition": 2, "language": "", "semantics": 2, "parts":
        [reaction("❤"), reaction("🥳"), reaction("❤"), text("not one"), reaction("")] });
    let many: Vec<Value> = (0..20).map(|n| reaction(&format!("r{n}"))).collect();
    let many = json!({ "disposition": 2, "language": "", "semantics": 2, "parts": many });
    let attachment = json!({ "disposition": 6, "language": "en", "external": file("image/jpeg", "postline:b/07", &json!({
        "expires": 1_900_000_000, "size": "18446744073709551615", "aead": 29, "key": hex([0x5e; 32]),
        "nonce": hex([2; 12]), "aad": "07", "hash_alg": 1, "hash": hex([3; 32]), "description": "two of us",
        "filename": "../../beach.jpg" })) });
    let preview = json!({ "disposition": 8, "language": "", "media": "image/webp", "content": "090909" });
    let nothing = |disposition: u8| json!({ "disposition": disposition, "language": "" });
    let place = json!({ "disposition": 1, "language": "", "external":
        file("", "geo:48.2082,16.3738;u=25", &json!({ "description": "the Prater" })) });
    let voice = json!({ "disposition": 4, "language": "", "external": file("audio/ogg;codecs=opus", "postline:b/08", &json!({})) });
    let markdown = json!({ "disposition": 1, "language": "de,en", "media": "text/markdown;variant=GFM-MIMI",
        "content": hex(format!("[@Ann](postline:u/{})", "11".repeat(32))) });
    let status =
        json!({ "disposition": 0, "language": "", "media": "Application/MIMI-Message-Status; x=y", "content": "80" });
    let glimpse = json!({ "disposition": 6, "language": "", "semantics": 2, "parts": [attachment, preview] });
    let odd = json!({ "disposition": 255, "language": "", "media": "x/y", "content": "ff" });
    let (reply, first) = (json!({ "in_reply_to": hex(id(7)) }), hex(id(5)));
    let room = limits::CONTENT_BYTES - 57;
    for (shows, body, more) in [
        ("a message", text("hello"), json!({})),
        ("an empty one", text(""), json!({})),
        ("the longest", text(&"x".repeat(room)), json!({})),
        ("a reply", text("yes"), reply.clone()),
        ("one in a thread", text("yes"), json!({ "topic": hex(id(3)) })),
        ("the longest name of a thread", text("yes"), json!({ "topic": "07".repeat(limits::TOPIC_BYTES) })),
        ("an edit", text("hallo"), json!({ "replaces": first, "edit_no": 1 })),
        ("the last edit", text("hallo"), json!({ "replaces": first, "edit_no": u32::MAX })),
        ("an edit of a reply, without a number", text("no"), json!({ "replaces": first, "in_reply_to": hex(id(7)) })),
        ("a retract", nothing(1), json!({ "replaces": first })),
        ("nothing at all", nothing(1), json!({})),
        ("nothing in reply", nothing(2), reply.clone()),
        ("a reaction", reaction("👍"), reply.clone()),
        ("several, some of which are none", several.clone(), reply.clone()),
        ("more than count", many, reply.clone()),
        ("one instead of another", reaction("👎"), json!({ "in_reply_to": hex(id(7)), "replaces": hex(id(9)) })),
        ("one to nothing is a message", reaction("👍"), json!({})),
        ("one that is taken back", nothing(2), json!({ "in_reply_to": hex(id(7)), "replaces": hex(id(9)) })),
        ("a mention, in two languages", markdown, json!({})),
        ("an attachment with a glimpse of it", glimpse, json!({})),
        ("a voice note", voice, json!({})),
        ("a place", place, json!({})),
        ("a report", status.clone(), json!({})),
        ("a report that replaces something", status, json!({ "replaces": first })),
        ("a disposition that nobody knows", odd, json!({})),
        ("one that ends", text("soon"), json!({ "expires": { "after_reading": false, "seconds": 1_900_000_000 } })),
        ("one that ends once it is read", text("soon"), json!({ "expires": { "after_reading": true, "seconds": 30 } })),
        ("the last second", text("soon"), json!({ "expires": { "after_reading": false, "seconds": u32::MAX } })),
        (
            "what was seen and said before",
            text("then"),
            json!({ "seen": [hex(id(2)), hex(id(3)), hex(id(4)), hex(id(8))], "prev": hex(id(6)) }),
        ),
        (
            "a sender and a room",
            text("I"),
            json!({ "sender": "mimi://a.example/u/ann", "room": "mimi://a.example/r/1" }),
        ),
        (
            "extensions that nobody knows, in their order",
            text("new"),
            json!({ "prev": hex(id(6)), "others": [[3, "f97e00"], [9_007_199_254_740_991_i64, "8102"],
                [-1, "a1636b6579c100"], [-9_007_199_254_740_991_i64, "f6"], ["a", "00"], ["bb", "00"],
                ["postline/n", "00"], ["x".repeat(255), "00"]] }),
        ),
    ] {
        let made = m.good("mimi.make", &["M-1", "M-10"], shows, of(&body, &more));
        m.good("mimi.read", &["M-1", "M-10"], shows, json!({ "bytes": made.get("bytes") }));
    }
}

fn made(m: &mut Making, shows: &str, content: Value) -> Vec<u8> {
    let made = m.good("mimi.make", &["M-1"], shows, content);
    made.get("bytes").and_then(as_bytes).unwrap_or_default()
}

fn names(m: &mut Making) {
    let hello = made(m, "the content of the text", of(&text("hello"), &json!({})));
    let ids = ["M-2", "M-3"];
    let ask = |bytes: &[u8], identity: u8, conversation: u8| json!({ "bytes": hex(bytes), "identity": hex([identity; 32]), "conversation": hex([conversation; 32]) });
    m.good("mimi.id", &ids, "the id of the text", ask(&hello, 0x11, 0x22));
    m.good("mimi.id", &ids, "another sender", ask(&hello, 0x22, 0x22));
    m.good("mimi.id", &ids, "another room", ask(&hello, 0x11, 0x11));
    let (sender, room) = (format!("postline:u/{}", "11".repeat(32)), format!("postline:r/{}", "22".repeat(32)));
    let claimed = made(m, "who and where, in it", of(&text("hello"), &json!({ "sender": sender, "room": room })));
    m.good("mimi.id", &ids, "that it says who and where is part of its name", ask(&claimed, 0x11, 0x22));
    let foreign = json!({ "bytes": hex(&hello), "sender": "mimi://a.example/u/ann", "room": "mimi://a.example/r/1" });
    m.good("mimi.id", &ids, "URIs of others", foreign);
    let shifted = json!({ "bytes": hex(&hello), "sender": "mimi://a.example/u/an", "room": "nmimi://a.example/r/1" });
    m.good("mimi.id", &ids, "the same letters, otherwise divided", shifted);
    m.bad("mimi.id", &ids, "another sender than it says", Class::Malformed, ask(&claimed, 0x12, 0x22));
    m.bad("mimi.id", &ids, "another room than it says", Class::Malformed, ask(&claimed, 0x11, 0x23));
}

fn choices(m: &mut Making) {
    let part = |media: &str| json!({ "disposition": 1, "language": "", "media": media, "content": "" });
    let multi = |semantics: u8, parts: &[Value]| json!({ "disposition": 1, "language": "", "semantics": semantics, "parts": parts });
    let linked = json!({ "disposition": 6, "language": "", "external": file("c/c", "x:", &json!({})) });
    let nothing = json!({ "disposition": 1, "language": "" });
    let (a, b) = (part("a/a"), part("b/b"));
    let ids = ["M-6"];
    for (shows, body) in [
        ("a part alone", a.clone()),
        ("a choice", multi(0, &[a.clone(), b.clone(), linked.clone()])),
        ("a unit", multi(1, &[a.clone(), b.clone()])),
        ("a unit with nothing in it", multi(1, &[a.clone(), nothing.clone()])),
        ("all of them", multi(2, &[a.clone(), b.clone(), a.clone()])),
        ("a choice of units", multi(0, &[multi(1, &[a.clone(), b.clone()]), linked])),
        ("a choice of which the first is nothing", multi(0, &[nothing, a.clone()])),
        ("four levels", multi(2, &[multi(0, &[multi(2, &[b.clone(), a.clone()]), a]), b])),
    ] {
        let bytes = made(m, shows, of(&body, &json!({})));
        for media in [&["a/a"][..], &["b/b"], &["a/a", "b/b", "c/c"], &["c/c"], &[]] {
            m.good("mimi.choose", &ids, shows, json!({ "bytes": hex(&bytes), "media": media }));
        }
    }
}

/// Which of what goes along is a preview, and of what.
fn previews(m: &mut Making) {
    let part = |disposition: u8, media: &str, bytes: &[u8]| json!({ "disposition": disposition, "language": "", "media": media, "content": hex(bytes) });
    let multi = |semantics: u8, parts: &[Value]| json!({ "disposition": 6, "language": "", "semantics": semantics, "parts": parts });
    let kept = |n: u8| json!({ "disposition": 6, "language": "", "external": file("application/pdf", &format!("x:{n}"), &json!({})) });
    let (png, jpeg) = (b"\x89PNG\r\n\x1a\n and more".as_slice(), b"\xff\xd8\xff and more".as_slice());
    let webp = b"RIFF\x0c\0\0\0WEBPVP8 ".as_slice();
    let long = |bytes: usize| [png, &vec![7; bytes - png.len()]].concat();
    let shown = part(8, "image/png", png);
    for (shows, body) in [
        ("what is kept elsewhere, and nothing with it", kept(1)),
        ("with a preview", multi(2, &[kept(1), shown.clone()])),
        ("a JPEG", multi(2, &[kept(1), part(8, "image/jpeg", jpeg)])),
        ("a WebP, spelt in another way", multi(2, &[kept(1), part(8, "Image/WebP; q=1", webp)])),
        ("the longest", multi(2, &[kept(1), part(8, "image/png", &long(limits::PREVIEW_BYTES))])),
        ("one byte more is none", multi(2, &[kept(1), part(8, "image/png", &long(limits::PREVIEW_BYTES + 1))])),
        ("another kind than it says is none", multi(2, &[kept(1), part(8, "image/png", jpeg)])),
        ("a picture that draws, fetches and runs is none", multi(2, &[kept(1), part(8, "image/svg+xml", b"<svg/>")])),
        ("a text is none", multi(2, &[kept(1), part(8, "text/plain", b"look at this")])),
        ("an empty one is none", multi(2, &[kept(1), part(8, "image/png", b"")])),
        ("one with another disposition is none", multi(2, &[kept(1), part(4, "image/png", png)])),
        (
            "one that is kept elsewhere is none",
            multi(
                2,
                &[
                    kept(1),
                    json!({ "disposition": 8, "language": "",
            "external": file("image/png", "x:2", &json!({})) }),
                ],
            ),
        ),
        ("in front of it is none", multi(2, &[shown.clone(), kept(1)])),
        ("a second one is none", multi(2, &[kept(1), shown.clone(), part(8, "image/jpeg", jpeg)])),
        ("of two files each has its own", multi(2, &[kept(1), shown.clone(), kept(2), part(8, "image/jpeg", jpeg)])),
        ("of two files the second has one", multi(2, &[kept(1), kept(2), shown.clone()])),
        ("where one is chosen none goes along", multi(0, &[kept(1), shown.clone()])),
        ("where all make one thing none goes along", multi(1, &[kept(1), shown.clone()])),
        ("within other parts", multi(2, &[text("see"), multi(2, &[kept(1), shown.clone()]), text("this")])),
        ("behind parts is none of theirs", multi(2, &[multi(2, &[kept(1), kept(2)]), shown.clone()])),
        ("a preview of nothing", shown.clone()),
    ] {
        let bytes = made(m, shows, of(&body, &json!({})));
        m.good("mimi.kept", &["M-13"], shows, json!({ "bytes": hex(bytes) }));
    }
}

fn bad(m: &mut Making, ids: &[&str], shows: &str, bytes: &[u8]) {
    m.bad("mimi.read", ids, shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
}

/// The bytes of a part of these items, behind disposition and language.
fn part(items: u64, write: &dyn Fn(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::array_of(items);
    w.u64(1).str("");
    write(&mut w);
    w.into_bytes()
}

fn said() -> Vec<u8> {
    part(5, &|w| _ = w.u64(1).str("text/plain;charset=utf-8").bytes(b"hello"))
}

fn raw(extensions: &[u8], part: &[u8]) -> Vec<u8> {
    let mut w = Writer::array_of(7);
    w.bytes(&SALT).null().bytes(&[]).null().null().item(extensions).item(part);
    w.into_bytes()
}

fn fields(m: &mut Making) {
    let ids = ["M-1", "M-2"];
    let whole = raw(&[0xa0], &said());
    let (head, rest) = whole.split_at(1);
    bad(m, &ids, "a byte behind its end", &[&whole[..], &[0]].concat());
    bad(m, &ids, "cut in its text", whole.split_at(whole.len() - 1).0);
    bad(m, &ids, "cut in its salt", whole.split_at(9).0);
    bad(m, &ids, "nothing", &[]);
    bad(m, &ids, "its head in two bytes", &[&[0x98, 7], rest].concat());
    bad(m, &ids, "no definite length", &[&[0x9f], rest, &[0xff]].concat());
    bad(m, &ids, "eight items", &[&[0x88], rest, &[0xf6]].concat());
    bad(m, &ids, "a map", &[&[0xa7], rest].concat());
    bad(m, &ids, "twice", &[head, rest, head, rest].concat());
    let with = |write: &dyn Fn(&mut Writer)| {
        let mut w = Writer::array_of(7);
        write(&mut w);
        w.item(&[0xa0]).item(&said());
        w.into_bytes()
    };
    let (other, short) = ([2; 32], [1; 31]);
    let topic = vec![7; limits::TOPIC_BYTES + 1];
    for (shows, bytes) in [
        ("a salt of 15 bytes", with(&|w| _ = w.bytes(&[0; 15]).null().bytes(&[]).null().null())),
        ("a salt of 17 bytes", with(&|w| _ = w.bytes(&[0; 17]).null().bytes(&[]).null().null())),
        ("replaces an id of another hash", with(&|w| _ = w.bytes(&SALT).bytes(&other).bytes(&[]).null().null())),
        ("answers an id of another hash", with(&|w| _ = w.bytes(&SALT).null().bytes(&[]).null().bytes(&[0; 32]))),
        ("replaces an id of 31 bytes", with(&|w| _ = w.bytes(&SALT).bytes(&short).bytes(&[]).null().null())),
        ("a thread that is null", with(&|w| _ = w.bytes(&SALT).null().null().null().null())),
        ("a thread that is a text", with(&|w| _ = w.bytes(&SALT).null().str("x").null().null())),
        ("a thread's name that is too long", with(&|w| _ = w.bytes(&SALT).null().bytes(&topic).null().null())),
        ("an end of 33 bits", with(&|w| _ = w.bytes(&SALT).null().bytes(&[]).array(2).bool(false).u64(1 << 32).null())),
        ("an end of one item", with(&|w| _ = w.bytes(&SALT).null().bytes(&[]).array(1).bool(false).null())),
        ("an end that is a number", with(&|w| _ = w.bytes(&SALT).null().bytes(&[]).u64(9).null())),
        ("an end with a number first", with(&|w| _ = w.bytes(&SALT).null().bytes(&[]).array(2).u64(0).u64(9).null())),
    ] {
        bad(m, &ids, shows, &bytes);
    }
    let long = vec![0xff; limits::CONTENT_BYTES + 1];
    m.bad("mimi.read", &["M-1"], "too long, whatever it is", Class::TooBig, json!({ "bytes": hex(long) }));
}

fn parts(m: &mut Making) {
    let ids = ["M-1", "M-6"];
    let nothing = part(3, &|w| _ = w.u64(0));
    let list = |semantics: u64, parts: &[Vec<u8>]| {
        part(5, &|w| {
            w.u64(3).u64(semantics).array(parts.len() as u64);
            for part in parts {
                w.item(part);
            }
        })
    };
    let two = |deep: &Vec<u8>| list(2, &[deep.clone(), said()]);
    let five = two(&two(&two(&two(&said()))));
    let long = |most: usize| "x".repeat(most + 1);
    for (shows, bytes) in [
        ("nothing, with an item more", part(4, &|w| _ = w.u64(0).u64(0))),
        ("bytes without their type", part(3, &|w| _ = w.u64(1))),
        ("a kind that there is not", part(3, &|w| _ = w.u64(4))),
        ("bytes that are a text", part(5, &|w| _ = w.u64(1).str("").str(""))),
        ("something elsewhere, cut short", part(5, &|w| _ = w.u64(2).str("").str("x:"))),
        ("semantics that there are not", list(3, &[said(), said()])),
        ("one part", list(0, &[said()])),
        ("no part", list(0, &[])),
        ("five levels", five),
        ("1,025 parts", list(2, &vec![nothing; 1_024])),
        ("an array that is no part", vec![0x80]),
        ("no array", vec![0xf6]),
        ("a disposition of nine bits", [&[0x83, 0x19, 1, 0][..], &[0x60, 0]].concat()),
        ("a language that is too long", {
            let mut w = Writer::array_of(3);
            w.u64(1).str(&long(limits::LANGUAGE_BYTES)).u64(0);
            w.into_bytes()
        }),
        ("a media type that is too long", part(5, &|w| _ = w.u64(1).str(&long(limits::MEDIA_TYPE_BYTES)).bytes(&[]))),
        ("a media type that is no UTF-8", part(5, &|w| _ = w.u64(1).item(&[0x61, 0xff]).bytes(&[]))),
    ] {
        bad(m, &ids, shows, &raw(&[0xa0], &bytes));
    }
    let full = (1..1_024).map(|_| json!({ "disposition": 1, "language": "" })).collect::<Vec<_>>();
    let full = json!({ "disposition": 1, "language": "", "semantics": 2, "parts": full });
    made(m, "1,024 parts", of(&full, &json!({})));
}

fn externals(m: &mut Making) {
    let ids = ["M-9"];
    let external = |sealed: (u64, usize, usize, usize), hash: (u64, usize), url: &str, texts: (usize, usize)| {
        let ((aead, key, nonce, aad), (algorithm, digest)) = (sealed, hash);
        part(15, &|w| {
            w.u64(2).str("").str(url).u64(0).u64(0).u64(aead);
            w.bytes(&vec![0; key]).bytes(&vec![0; nonce]).bytes(&vec![0; aad]).u64(algorithm).bytes(&vec![0; digest]);
            w.str(&"d".repeat(texts.0)).str(&"f".repeat(texts.1));
        })
    };
    let (plain, none) = ((0, 0, 0, 0), (0, 0));
    for (shows, bytes) in [
        ("no seal, no hash", external(plain, none, "x:", (1_024, 255))),
        ("AES-128-GCM and SHA-256", external((1, 16, 12, 256), (1, 32), "x:", (0, 0))),
        ("ChaCha20-Poly1305", external((29, 32, 12, 0), none, "x:", (0, 0))),
        ("an AEAD and a hash that nobody knows", external((65_535, 64, 64, 0), (255, 64), "x:", (0, 0))),
        ("an AEAD without anything", external((2, 0, 0, 0), none, "x:", (0, 0))),
    ] {
        m.good("mimi.read", &ids, shows, json!({ "bytes": hex(raw(&[0xa0], &bytes)) }));
    }
    for (shows, bytes) in [
        ("a key without an AEAD", external((0, 16, 0, 0), none, "x:", (0, 0))),
        ("a nonce without an AEAD", external((0, 0, 12, 0), none, "x:", (0, 0))),
        ("additional data without an AEAD", external((0, 0, 0, 1), none, "x:", (0, 0))),
        ("AES-128-GCM with a long key", external((1, 32, 12, 0), none, "x:", (0, 0))),
        ("ChaCha20-Poly1305 with a long nonce", external((29, 32, 24, 0), none, "x:", (0, 0))),
        ("a key of 65 bytes", external((2, 65, 0, 0), none, "x:", (0, 0))),
        ("a nonce of 65 bytes", external((2, 0, 65, 0), none, "x:", (0, 0))),
        ("additional data of 257 bytes", external((2, 0, 0, 257), none, "x:", (0, 0))),
        ("an AEAD of 17 bits", external((65_536, 0, 0, 0), none, "x:", (0, 0))),
        ("a hash without an algorithm", external(plain, (0, 32), "x:", (0, 0))),
        ("an algorithm without a hash", external(plain, (2, 0), "x:", (0, 0))),
        ("a SHA-256 of 31 bytes", external(plain, (1, 31), "x:", (0, 0))),
        ("a hash of 65 bytes", external(plain, (2, 65), "x:", (0, 0))),
        ("an algorithm of nine bits", external(plain, (256, 1), "x:", (0, 0))),
        ("nowhere", external(plain, none, "", (0, 0))),
        ("a URI of 2,049 bytes", external(plain, none, &"x".repeat(2_049), (0, 0))),
        ("a description of 1,025 bytes", external(plain, none, "x:", (1_025, 0))),
        ("a file name of 256 bytes", external(plain, none, "x:", (0, 256))),
    ] {
        bad(m, &ids, shows, &raw(&[0xa0], &bytes));
    }
}

fn extensions(m: &mut Making) {
    let ids = ["M-4", "M-5"];
    let bytes_of = |text: &str| as_bytes(&json!(text)).unwrap_or_default();
    let ours = |name: &str, value: &[u8]| {
        let mut w = Writer::default();
        w.map(1).str(name).item(value);
        w.into_bytes()
    };
    let list = |ids: &[[u8; 32]]| {
        let mut w = Writer::default();
        w.list(ids.iter(), |w, id| _ = w.bytes(id));
        w.into_bytes()
    };
    let one = |id: &[u8]| {
        let mut w = Writer::default();
        w.bytes(id);
        w.into_bytes()
    };
    let many = (0..33_u8).flat_map(|n| if n < 24 { vec![0x20 + n, 0] } else { vec![0x38, n, 0] });
    let many: Vec<u8> = [0xb8, 33].into_iter().chain(many).collect();
    for (shows, extensions) in [
        ("backwards", bytes_of("a204000300")),
        ("a text before a number", bytes_of("a26161000300")),
        ("a long name before a short one", bytes_of("a262616100616200")),
        ("one twice", bytes_of("a203000300")),
        ("the sender twice", bytes_of("a2016161016162")),
        ("33 of others", many),
        ("the name 0", bytes_of("a10000")),
        ("a name of 54 bits", bytes_of("a11b002000000000000000")),
        ("a negative name of 54 bits", bytes_of("a13b001fffffffffffff00")),
        ("a name in two bytes", bytes_of("a1180300")),
        ("an empty name", bytes_of("a16000")),
        ("a name of 256 bytes", [&[0xa1, 0x79, 1, 0][..], &[b'x'; 256], &[0]].concat()),
        ("a name of bytes", bytes_of("a1416100")),
        ("a sender of bytes", bytes_of("a1014161")),
        ("a room that is empty", bytes_of("a10260")),
        ("no map", bytes_of("80")),
        ("fewer than it says", bytes_of("a20300")),
        ("prev of one byte", ours("postline/prev", &one(&[1]))),
        ("prev of another hash", ours("postline/prev", &one(&[7; 32]))),
        ("prev that is null", ours("postline/prev", &[0xf6])),
        ("edit 0", ours("postline/edit_no", &[0])),
        ("an edit of 33 bits", ours("postline/edit_no", &bytes_of("1b0000000100000000"))),
        ("the number of an edit that replaces nothing", ours("postline/edit_no", &[1])),
        ("seen, and nothing was", ours("postline/seen", &list(&[]))),
        ("seen backwards", ours("postline/seen", &list(&[id(9), id(3)]))),
        ("seen twice", ours("postline/seen", &list(&[id(3), id(3)]))),
        ("five seen", ours("postline/seen", &list(&[id(1), id(2), id(3), id(4), id(5)]))),
        ("seen of another hash", ours("postline/seen", &list(&[[7; 32]]))),
    ] {
        bad(m, &ids, shows, &raw(&extensions, &said()));
    }
}

/// Values of extensions that nobody knows.
fn values(m: &mut Making) {
    let ids = ["M-4"];
    let with = |value: &str| {
        let value = as_bytes(&json!(value)).unwrap_or_default();
        raw(&[&[0xa1, 3][..], &value].concat(), &said())
    };
    for (shows, value) in [
        ("the greatest number", "1bffffffffffffffff"),
        ("the least", "3bffffffffffffffff"),
        ("four levels", "8181820102"),
        ("a map with all kinds of keys", "a4012020004100006100f6"),
        ("simple values", "84f7e0f820f8ff"),
        ("halves", "87f90000f98000f93c00f97c00f9fc00f97e00f90001"),
        ("what is no half", "83fa47c35000fa33000000fa387fe000"),
        ("what is no single", "83fb3ff199999999999afb3690000000000000fb380fffffe0000000"),
        ("tags", "83c11a514b67b0d8206161d9d9f700"),
        ("a number of 65 bits", "c249010000000000000000"),
        ("keys of 53 bits", "a21b001fffffffffffff003b001ffffffffffffd00"),
    ] {
        m.good("mimi.read", &ids, shows, json!({ "bytes": hex(with(value)) }));
    }
    for (shows, value) in [
        ("a number in two bytes", "1817"),
        ("a number in nine bytes", "1b0000000000000001"),
        ("a length in two bytes", "780161"),
        ("an array of no definite length", "9fff"),
        ("bytes in pieces", "5f4100ff"),
        ("a simple value in two bytes", "f81f"),
        ("a break", "ff"),
        ("a text that is no UTF-8", "61ff"),
        ("bytes that are cut", "5bffffffffffffffff"),
        ("an array that is cut", "9bffffffffffffffff"),
        ("a tag of nothing", "c1"),
        ("another NaN", "f97e01"),
        ("a negative NaN", "f9fe00"),
        ("a NaN as a single", "fa7fc00000"),
        ("a half as a single", "fa3f800000"),
        ("the least half as a single", "fa33800000"),
        ("a single as a double", "fb37e0000000000000"),
        ("the least single as a double", "fb36a0000000000000"),
        ("infinity as a double", "fb7ff0000000000000"),
        ("a zero as a double", "fb8000000000000000"),
        ("a big number that fits", "c2480000000000000001"),
        ("a big number with a zero first", "c24900ffffffffffffffff"),
        ("a big number that is no bytes", "c300"),
        ("keys backwards", "a202000100"),
        ("a key twice", "a201000100"),
        ("a key that is null", "a1f600"),
        ("a key that is an array", "a18000"),
        ("a key of 54 bits", "a11b002000000000000000"),
        ("a negative key of 54 bits", "a13b001fffffffffffff00"),
        ("five levels", "8181818100"),
        ("five levels, of tags", "c1c1c1c100"),
    ] {
        bad(m, &ids, shows, &with(value));
    }
}

fn reports(m: &mut Making) {
    let ids = ["M-11"];
    let report = |statuses: &[([u8; 32], u64)]| {
        let mut w = Writer::default();
        w.list(statuses.iter(), |w, (id, status)| _ = w.array(2).bytes(id).u64(*status));
        w.into_bytes()
    };
    let many = |n: u16| -> Vec<([u8; 32], u64)> {
        let id = |n: u16| {
            let mut id = id(0);
            id.iter_mut().skip(1).zip(n.to_be_bytes()).for_each(|(byte, of)| *byte = of);
            id
        };
        (0..n).map(|n| (id(n), 2)).collect()
    };
    let statuses = json!([[hex(id(9)), 2], [hex(id(3)), 0], [hex(id(4)), 255]]);
    let made = m.good("report.make", &ids, "read, unread, and another", json!({ "statuses": statuses }));
    m.good("report.read", &ids, "the same", json!({ "bytes": made.get("bytes") }));
    m.good("report.read", &ids, "an empty one", json!({ "bytes": "80" }));
    m.good("report.read", &ids, "the longest", json!({ "bytes": hex(report(&many(256))) }));
    let good = report(&[(id(9), 2)]);
    let rest = good.get(1..).unwrap_or_default();
    for (shows, bytes) in [
        ("one too many", report(&many(257))),
        ("one content twice", report(&[(id(9), 2), (id(9), 0)])),
        ("a status of nine bits", report(&[(id(9), 256)])),
        ("an id of another hash", report(&[([2; 32], 2)])),
        ("its head in two bytes", [&[0x98, 1], rest].concat()),
        ("a byte behind its end", [&good[..], &[0]].concat()),
        ("fewer than it says", [&[0x82], rest].concat()),
        ("a map", [&[0xa1], rest].concat()),
        ("nothing", Vec::new()),
    ] {
        m.bad("report.read", &ids, shows, Class::Malformed, json!({ "bytes": hex(bytes) }));
    }
}

fn places(m: &mut Making) {
    let ids = ["M-12"];
    for text in [
        "geo:48.2082,16.3738;u=25",
        "geo:-33.865143,151.2099",
        "geo:0,-0.000001",
        "geo:90,0",
        "geo:0,180;u=0",
        "GEO:48.20820,016.3738;U=25.9",
        "geo:1.23456789,-2.0000009,8848.9;crs=WGS84;x=y;z",
        "geo:90,-22.43;crs=wgs84",
        "geo:0,-180",
        "geo:-0,-0.0",
        "geo:1,2;u=4294967295",
    ] {
        m.good("place.read", &ids, text, json!({ "text": text }));
    }
    for text in [
        "geo:",
        "geo:1",
        "geo:1,2,3,4",
        "geo:91,0",
        "geo:90.000001,0",
        "geo:0,180.000001",
        "geo:1e3,2",
        "geo:.5,1",
        "geo:1.,2",
        "geo:+1,2",
        "geo:1, 2",
        "geo:1,2;crs=mars",
        "geo:1,2;crs",
        "geo:1,2;u=1;crs=wgs84",
        "geo:1,2;u=1;u=2",
        "geo:1,2;u=-1",
        "geo:1,2;u",
        "geo:1,2;u=4294967296",
        "geo:1,2,",
        "http:1,2",
        "1,2",
        "geo:99999999999999999999,1",
        "geo:٤,1",
    ] {
        m.bad("place.read", &ids, text, Class::Malformed, json!({ "text": text }));
    }
}

fn markdown(m: &mut Making) {
    let ids = ["M-7"];
    for (shows, text) in [
        ("tags", "a <b>bold</b> <br/> word"),
        ("comments and instructions", "<!-- no --> <?php ?> <![CDATA[x]]> <!DOCTYPE html>"),
        ("what is no tag", "1 < 2 <3 <= <<script> <"),
        ("a link in angle brackets", "<https://a.example/x?y=\"z\">"),
        ("nearly one", "<https://a.example/ onload=x> <a:b> <ab:\u{7f}> <1ab:x> <ab:x<y> <ab:x"),
        ("schemes of 2, 32 and 33 characters", &format!("<ab:> <{0}:> <{0}a:>", "a+.-".repeat(8))),
        ("other letters", "<ünd <é>"),
    ] {
        m.good("markdown.make", &ids, shows, json!({ "text": text }));
    }
    let (ann, bob) = (format!("postline:u/{}", "11".repeat(32)), format!("postline:u/{}", "44".repeat(32)));
    let crowd: String = (0..70).map(|n| format!("[@x](postline:u/{})", hex([n; 32]))).collect();
    for (shows, text) in [
        ("one person", format!("hey [@Ann]({ann})!")),
        ("two, one twice, in both forms", format!("<{bob}> [@Ann]({ann}) [a]({ann}) <{ann}>")),
        ("nobody", format!("{ann} ]({ann} <{ann}")),
        ("other spellings", format!("]( {ann}) ]({}) ](postline:u/11) ](mimi://a.example/u/ann)", ann.to_uppercase())),
        ("digits in capitals", format!("](postline:u/{})", "AB".repeat(32))),
        ("a crowd", crowd),
    ] {
        m.good("mentions.read", &ids, shows, json!({ "text": text }));
    }
}
