//! Few words for contents and their bytes.

use postline_core::content::{Fields, Part};
use postline_core::id::{ContentId, ConversationId, Identity};
use postline_core::wire::cbor::Writer;
use postline_core::wire::content::Content;

pub(super) const SALT: [u8; 16] = [0x33; 16];

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// An id that can be one.
pub(super) fn id(n: u8) -> ContentId {
    let mut id = [n; 32];
    id[0] = 1;
    ContentId(id)
}

pub(super) const ANN: Identity = Identity([0x11; 32]);
pub(super) const TALK: ConversationId = ConversationId([0x22; 32]);

pub(super) fn hello() -> Fields {
    Fields::new(SALT, Part::plain("hello").unwrap())
}

/// A content of these extensions and this part, as they stand.
pub(super) fn raw(extensions: &[u8], part: &[u8]) -> Vec<u8> {
    let mut w = Writer::array_of(7);
    w.bytes(&SALT).null().bytes(&[]).null().null().item(extensions).item(part);
    w.into_bytes()
}

/// The bytes of a part of plain text.
pub(super) fn said(text: &str) -> Vec<u8> {
    let mut w = Writer::array_of(5);
    w.u64(1).str("").u64(1).str("text/plain;charset=utf-8").bytes(text.as_bytes());
    w.into_bytes()
}

/// Both ways, and the fields are the same.
pub(super) fn both_ways(fields: Fields) -> Content {
    let made = Content::new(fields).unwrap();
    let read = Content::parse(made.bytes()).unwrap();
    assert_eq!(read, made);
    made
}
