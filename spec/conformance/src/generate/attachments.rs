//! Files, sealed: known answers, and what must not open.

use postline_core::content::text::{ClaimedName, Media};
use postline_core::limits;
use postline_core::seal::attachment::Sealer;
use postline_core::seal::{Attachment, Secret};
use postline_core::wire::cbor::Writer;
use serde_json::{Value, json};

use super::Making;
use super::frames::{ask, cbor, framed, wrapped_wrongly};
use crate::answer::Class;
use crate::input::{as_bytes, hex, number};

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [8; 12];

pub(super) fn attachments() -> Making {
    let mut m = Making::new("attachments", "Files, sealed in chunks under keys of their own.");
    let piece = limits::ATTACHMENT_CHUNK_BYTES as u64;
    let ask = |length: u64| json!({ "key": hex(KEY), "nonce": hex(NONCE), "length": number(length) });
    for (shows, length) in
        [("an empty file", 0), ("a short file", 5), ("a piece, whole", piece), ("a piece and a byte", piece + 1)]
    {
        m.good("attachment.seal", &["B-1", "B-3"], shows, ask(length));
    }
    m.bad("attachment.seal", &["B-3"], "more than a file may have", Class::TooBig, ask(limits::ATTACHMENT_BYTES));
    if reading(&mut m).is_none() || opening(&mut m).is_none() {
        m.wrong.push("attachments: what should be sealed was refused".to_owned());
    }
    frames(&mut m);
    m
}

/// Frames about files: one of each kind, and what is none.
fn frames(m: &mut Making) {
    let hash = hex([6; 32]);
    let mut kinds = Vec::new();
    for (shows, frame) in [
        ("a Keep", json!({ "type": 28, "theirs": "bob@b.example", "hash": hash, "length": 70_000 })),
        ("a Kept", json!({ "type": 29, "hash": hash, "far": 65_536 })),
        ("a Kept of what can't be had", json!({ "type": 29, "hash": hash, "code": 39 })),
        (
            "a Fetch",
            json!({ "type": 30, "asker": "bob@b.example", "whose": "ann@a.example", "hash": hash, "length": 70_000,
                "offset": 65_536 }),
        ),
        (
            "a Forget",
            json!({ "type": 32, "whose": "ann@a.example", "theirs": "bob@b.example", "hash": hash, "length": 70_000 }),
        ),
        ("a Forgotten", json!({ "type": 33, "whose": "ann@a.example", "theirs": "bob@b.example", "hash": hash })),
        (
            "a Forgotten of what isn't let go",
            json!({ "type": 33, "whose": "ann@a.example", "theirs": "bob@b.example", "hash": hash, "code": 38 }),
        ),
        ("a Piece", json!({ "type": 31, "hash": hash, "offset": 65_536, "bytes": "01020304" })),
    ] {
        let made = m.good("frame.make", &["L-2", "B-6"], shows, json!({ "frame": frame }));
        let bytes = made.get("bytes").and_then(as_bytes).unwrap_or_default();
        m.good("frames.read", &["L-2", "B-6"], shows, ask(&[&bytes], true));
        let kind = bytes.get(4).copied().unwrap_or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
            wrapped_wrongly(m, kind, &bytes);
        }
    }
    let mut bad = |shows: &str, kind: u8, write: &dyn Fn(&mut Writer)| {
        let frame = framed(kind, &cbor(write));
        m.bad("frames.read", &["L-2", "B-6"], shows, Class::Malformed, ask(&[&frame], true));
    };
    bad("a Keep for nobody", 28, &|w| _ = w.array(3).str("bob").bytes(&[6; 32]).u64(1));
    bad("a Keep of a short hash", 28, &|w| _ = w.array(3).str("bob@b.example").bytes(&[6; 31]).u64(1));
    bad("a Kept that says neither", 29, &|w| _ = w.array(3).bytes(&[6; 32]).u64(2).u64(0));
    bad("a Kept with a code of 17 bits", 29, &|w| _ = w.array(3).bytes(&[6; 32]).u64(1).u64(65_536));
    bad("a Fetch by nobody", 30, &|w| {
        w.array(5).str("").str("ann@a.example").bytes(&[6; 32]).u64(1).u64(0);
    });
    bad("a Forget for nobody", 32, &|w| _ = w.array(4).str("ann@a.example").str("bob").bytes(&[6; 32]).u64(1));
    bad("a Forget without a length", 32, &|w| {
        w.array(3).str("ann@a.example").str("bob@b.example").bytes(&[6; 32]);
    });
    bad("a Forgotten that says neither", 33, &|w| {
        w.array(3).str("ann@a.example").str("bob@b.example").bytes(&[6; 32]);
    });
    bad("a Forgotten with a code of 17 bits", 33, &|w| {
        w.array(4).str("ann@a.example").str("bob@b.example").bytes(&[6; 32]).u64(65_536);
    });
    bad("a Piece over its bound", 31, &|w| {
        w.array(3).bytes(&[6; 32]).u64(0).bytes(&vec![0; limits::FILE_PIECE_BYTES + 1]);
    });
}

/// A file's sealed bytes, and what a content says of it.
fn sealed(key: [u8; 32], pieces: &[&[u8]]) -> Option<(Vec<Vec<u8>>, Attachment, Value)> {
    let size = pieces.iter().map(|piece| piece.len() as u64).sum();
    let (mut sealer, head) = Sealer::under(Secret::new(key), NONCE, size).ok()?;
    let mut chunks = vec![head.to_vec()];
    for piece in pieces {
        let mut piece = piece.to_vec();
        sealer.chunk(&mut piece).ok()?;
        chunks.push(piece);
    }
    let made = sealer.finish().ok()?;
    let named = made.to_external(Media::parse("text/plain").ok()?, ClaimedName::parse("a.txt").ok()?).ok()?;
    let hash = hex(made.blob().sha256.0);
    let external = json!({
        "media": "text/plain", "url": named.url.as_str(), "expires": 0, "size": number(named.size), "aead": 29,
        "key": hex(key), "nonce": hex(NONCE), "aad": hex("postline/1 attachment"), "hash_alg": 1, "hash": hash,
        "description": "", "filename": "a.txt",
    });
    Some((chunks, made, external))
}

fn with(external: &Value, name: &str, value: Value) -> Value {
    let mut external = external.clone();
    if let Some(object) = external.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
    external
}

fn reading(m: &mut Making) -> Option<()> {
    let (_, made, said) = sealed(KEY, &[b"hello"])?;
    let hash = hex(made.blob().sha256.0);
    let ask = |external: &Value| json!({ "external": external });
    m.good("attachment.read", &["B-4"], "the attachment of the text", ask(&said));
    m.good("attachment.read", &["B-4"], "another name", ask(&with(&said, "filename", "../x".into())));
    m.good("attachment.read", &["B-3"], "a piece, whole", ask(&with(&said, "size", number(65_584))));
    m.good("attachment.read", &["B-3"], "a piece and a byte", ask(&with(&said, "size", number(65_601))));
    for (shows, name, value) in [
        ("elsewhere", "url", json!("https://a.example/f")),
        ("another hash in its name", "url", json!(format!("postline:f/{}", hex([1; 32])))),
        ("its name in capitals", "url", json!(format!("postline:f/{}", hash.to_ascii_uppercase()))),
        ("no hash", "hash_alg", json!(0)),
        ("another form of seal", "aad", json!("")),
        ("a length of none", "size", json!(0)),
        ("a length below the least", "size", json!(47)),
        ("a last chunk without a piece", "size", number(65_600)),
    ] {
        let external = with(&said, name, value);
        // What isn't there stands not in it.
        let external = if name == "hash_alg" { with(&external, "hash", "".into()) } else { external };
        m.bad("attachment.read", &["B-3", "B-4"], shows, Class::Malformed, ask(&external));
    }
    let long = with(&said, "size", number(limits::ATTACHMENT_BYTES + 1));
    m.bad("attachment.read", &["B-3"], "over the bound", Class::TooBig, ask(&long));
    Some(())
}

fn opening(m: &mut Making) -> Option<()> {
    let (bytes, _, said) = sealed(KEY, &[b"hello"])?;
    let [head, chunk] = bytes.as_slice() else { return None };
    let ask = |external: &Value, head: &[u8], index: u64, chunk: &[u8]| json!({ "external": external, "head": hex(head), "index": index, "chunk": hex(chunk) });
    m.good("attachment.open", &["B-1", "B-2"], "the file of the text", ask(&said, head, 0, chunk));
    let (empty, _, nothing) = sealed(KEY, &[b""])?;
    m.good("attachment.open", &["B-1"], "an empty file", ask(&nothing, empty.first()?, 0, empty.get(1)?));
    let whole = vec![0x5a; limits::ATTACHMENT_CHUNK_BYTES];
    let (two, _, of_two) = sealed(KEY, &[&whole, b"end"])?;
    let [first, _, last] = two.as_slice() else { return None };
    m.good("attachment.open", &["B-1"], "the last of two chunks, by itself", ask(&of_two, first, 1, last));
    let (other, _, others) = sealed([9; 32], &[b"hello"])?;
    m.bad("attachment.open", &["B-2"], "another's key", Class::Key, ask(&others, head, 0, chunk));
    m.bad("attachment.open", &["B-2"], "another's first bytes", Class::Key, ask(&said, other.first()?, 0, chunk));
    let cut = |bytes: &[u8]| bytes.split_last().map(|(_, head)| head.to_vec()).unwrap_or_default();
    let mut changed = chunk.clone();
    *changed.first_mut()? ^= 1;
    for (shows, head, index, chunk) in [
        ("no first bytes", Vec::new(), 0, chunk.clone()),
        ("its first bytes cut", cut(head), 0, chunk.clone()),
        ("a changed chunk", head.clone(), 0, changed),
        ("a cut chunk", head.clone(), 0, cut(chunk)),
        ("a byte behind it", head.clone(), 0, [&chunk[..], &[0]].concat()),
        ("a chunk behind the last", head.clone(), 1, chunk.clone()),
        ("another's chunk", head.clone(), 0, other.get(1)?.clone()),
    ] {
        m.bad("attachment.open", &["B-1", "B-2"], shows, Class::Malformed, ask(&said, &head, index, &chunk));
    }
    // The last chunk of a file isn't one of a longer file, nor at another place.
    let longer = with(&said, "size", number(65_616));
    m.bad(
        "attachment.open",
        &["B-1"],
        "a last chunk, as the first of two",
        Class::Malformed,
        ask(&longer, head, 0, chunk),
    );
    m.bad(
        "attachment.open",
        &["B-1"],
        "a last chunk, at another place",
        Class::Malformed,
        ask(&of_two, first, 0, last),
    );
    Some(())
}
