//! A conversation as people see it, in canonical bytes: one item behind the other, so that it is written, and hashed, piece by
//! piece. Spec: `spec/12-revisions.md`.
//!
//! ```text
//!   snapshot = head, *message, tail                                           a CBOR sequence (RFC 8742)
//!   head     = [1, conversation, from]
//!   message  = [place, id, author, state, leads / null, [*[person, [+sign]]], {more}]
//!   state    = [0, [+[no, id]], content]  words: the versions that count, and what the newest says
//!            / [1]                        taken back
//!            / [2, person]                removed
//!   tail     = [messages, {more}]
//!   more     = pin: [the pin's place, who] of a message; policy: its number, of the conversation
//!
//!   hash     = SHA-256("postline/1 snapshot" ‖ 0 ‖ snapshot)
//! ```

use std::collections::BTreeMap;

use crate::id::{ContentId, ConversationId, Hash, Identity};
use crate::store::Hashing;
use crate::wire::cbor::Writer;
use crate::wire::control::Policy;

/// The form that this code writes.
const VERSION: u64 = 1;
/// What stands before all that is hashed.
const LABEL: &[u8] = b"postline/1 snapshot\0";

/// What later chapters say of a message, or of a conversation: by name, each an item of its own. What is as it would be
/// without them is left out.
pub type More = BTreeMap<&'static str, Vec<u8>>;

/// That a message is pinned: in which entry, and by whom ([R-17]).
#[must_use]
pub fn pinned(seq: u64, by: Identity) -> (&'static str, Vec<u8>) {
    let mut w = Writer::array_of(2);
    w.u64(seq).bytes(&by.0);
    ("pin", w.into_bytes())
}

/// How reading is told, where that isn't as if nobody had said anything ([R-17]).
#[must_use]
pub fn policy(policy: Policy) -> Option<(&'static str, Vec<u8>)> {
    let mut w = Writer::default();
    w.u64(policy as u64);
    (policy != Policy::default()).then(|| ("policy", w.into_bytes()))
}

/// A message, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// Its place.
    pub place: u64,
    /// Its first version.
    pub id: ContentId,
    /// Who said it.
    pub author: Identity,
    /// What is left of it.
    pub state: State<'m>,
    /// The place of the message that it answers, where it leads to one.
    pub leads: Option<u64>,
    /// Who shows which signs at it.
    pub signs: BTreeMap<Identity, Vec<&'m str>>,
    /// What else is seen of it.
    pub more: More,
}

/// What is left of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State<'m> {
    /// Words.
    Words {
        /// The number and the id of each version that counts, the first one first.
        versions: Vec<(u32, ContentId)>,
        /// The content of the last of them.
        content: &'m [u8],
    },
    /// Its author took it back.
    Retracted,
    /// Somebody removed it.
    Removed {
        /// Who.
        by: Identity,
    },
    /// Its time is over.
    Expired,
}

/// A snapshot being made: it keeps its hash alone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    hashing: Hashing,
    messages: u64,
}

/// The bytes before the first message.
#[must_use]
pub fn head(conversation: ConversationId, from: u64) -> Vec<u8> {
    let mut w = Writer::array_of(3);
    w.u64(VERSION).bytes(&conversation.0).u64(from);
    w.into_bytes()
}

/// The bytes behind the last one.
#[must_use]
pub fn tail(messages: u64, more: &More) -> Vec<u8> {
    let mut w = Writer::array_of(2);
    w.u64(messages);
    write_more(&mut w, more);
    w.into_bytes()
}

impl Message<'_> {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::array_of(7);
        w.u64(self.place).bytes(&self.id.0).bytes(&self.author.0);
        match &self.state {
            State::Words { versions, content } => {
                w.array(3).u64(0).list(versions.iter(), |w, (no, id)| _ = w.array(2).u64((*no).into()).bytes(&id.0));
                w.bytes(content);
            }
            State::Retracted => _ = w.array(1).u64(1),
            State::Removed { by } => _ = w.array(2).u64(2).bytes(&by.0),
            State::Expired => _ = w.array(1).u64(3),
        }
        w.maybe(self.leads, Writer::u64).list(self.signs.iter(), |w, (who, signs)| {
            w.array(2).bytes(&who.0).list(signs.iter(), |w, sign| _ = w.str(sign));
        });
        write_more(&mut w, &self.more);
        w.into_bytes()
    }
}

/// Names go by the bytes that they are written in: the shorter first.
fn write_more(w: &mut Writer, more: &More) {
    let mut names: Vec<_> = more.iter().collect();
    names.sort_by_key(|(name, _)| (name.len(), **name));
    w.map(names.len() as u64);
    for (name, item) in names {
        w.str(name).item(item);
    }
}

impl Snapshot {
    /// Of the messages of a conversation from this place on.
    #[must_use]
    pub fn begin(conversation: ConversationId, from: u64) -> Self {
        let mut hashing = Hashing::default();
        hashing.update(LABEL);
        hashing.update(&head(conversation, from));
        Self { hashing, messages: 0 }
    }

    /// The next message.
    pub fn add(&mut self, message: &Message<'_>) {
        self.hashing.update(&message.to_bytes());
        self.messages = self.messages.saturating_add(1);
    }

    /// How many messages there were, and the hash of all.
    #[must_use]
    pub fn finish(mut self, more: &More) -> (u64, Hash) {
        self.hashing.update(&tail(self.messages, more));
        (self.messages, self.hashing.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sha256;

    /// [R-14] [R-15]: what is hashed piece by piece is what stands in the bytes; names are in the order of their bytes.
    #[test]
    fn the_hash_is_of_the_bytes_behind_the_label() {
        let conversation = ConversationId([1; 32]);
        let (id, author) = (ContentId([2; 32]), Identity([3; 32]));
        let more = More::from([("bb", vec![0xf5]), ("z", vec![0])]);
        let states = [
            State::Words { versions: vec![(0, id), (7, ContentId([4; 32]))], content: b"content" },
            State::Retracted,
            State::Removed { by: author },
        ];
        let signs = BTreeMap::from([(author, vec!["+", "-"])]);
        let mut snapshot = Snapshot::begin(conversation, 5);
        let mut bytes = [LABEL, &head(conversation, 5)[..]].concat();
        for (place, state) in (5..).zip(states) {
            let (signs, more) = (signs.clone(), more.clone());
            let message = Message { place, id, author, state, leads: Some(5), signs, more };
            snapshot.add(&message);
            bytes.extend(message.to_bytes());
        }
        bytes.extend(tail(3, &More::new()));
        assert_eq!(snapshot.finish(&More::new()), (3, sha256(&[&bytes])));
        assert!(bytes.ends_with(&[0xa2, 0x61, b'z', 0, 0x62, b'b', b'b', 0xf5, 0x82, 3, 0xa0]), "{bytes:02x?}");
        let one = State::Words { versions: vec![(0, id)], content: b"x" };
        let message =
            Message { place: 1, id, author, state: one, leads: None, signs: BTreeMap::new(), more: More::new() };
        let bytes = [
            &[0x87, 1, 0x58, 32][..],
            &[2; 32],
            &[0x58, 32],
            &[3; 32],
            &[0x83, 0, 0x81, 0x82, 0, 0x58, 32],
            &[2; 32],
            &[0x41, b'x', 0xf6, 0x80, 0xa0],
        ];
        assert_eq!(message.to_bytes(), bytes.concat());
    }
}
