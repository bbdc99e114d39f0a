//! The log of a conversation as its hub keeps and signs it: a hash chain of entries, and signed heads. Spec: `spec/09-hub.md`.
//!
//! ```text
//!   chain(0) = H("log" ‖ conversation)
//!   chain(n) = H([term, seq, kind, epoch, members, H(bytes), chain(n − 1)])
//!   leaf     = H([conversation, term, seq, chain(seq)])      heads are signed as the list of their leaves
//! ```

use crate::id::{Address, ConversationId, DeviceKey, DeviceTag, Hash};
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::signed::{Role, Signable, sealed};
use crate::wire::talk::{Head, Kind};

/// The chain before the first entry.
#[must_use]
pub fn root(conversation: ConversationId) -> Hash {
    sha256(&[b"postline/1 log\0", &conversation.0])
}

/// The id of the direct conversation of the two who have a line by this handshake.
#[must_use]
pub fn direct(t2: Hash) -> ConversationId {
    ConversationId(sha256(&[b"postline/1 direct\0", &t2.0]).0)
}

/// What stands for a device in one conversation's routing.
#[must_use]
pub fn tag(conversation: ConversationId, dk: DeviceKey) -> DeviceTag {
    let Hash(hash) = sha256(&[b"postline/1 tag\0", &conversation.0, &dk.0]);
    let mut tag = [0; 8];
    tag.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    DeviceTag(tag)
}

/// An entry, as the chain sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The hub's term.
    pub term: u64,
    /// Its place.
    pub seq: u64,
    /// What kind.
    pub kind: Kind,
    /// The MLS epoch in which it was sealed.
    pub epoch: u64,
    /// Of a Create: who is in the conversation.
    pub members: &'a [Address],
    /// What was posted.
    pub bytes: &'a [u8],
}

/// The chain with this entry behind it.
#[must_use]
pub fn chain(before: Hash, entry: &Link<'_>) -> Hash {
    let mut writer = Writer::array_of(7);
    writer.u64(entry.term).u64(entry.seq).u64(entry.kind as u64).u64(entry.epoch);
    writer.list(entry.members.iter(), |w, member| {
        w.address(member);
    });
    writer.bytes(&sha256(&[entry.bytes]).0).bytes(&before.0);
    sha256(&[&writer.into_bytes()])
}

impl Head {
    /// What is signed of it: nobody learns a conversation from it who doesn't know its chain.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let mut writer = Writer::array_of(4);
        writer.bytes(&self.conversation.0).u64(self.term).u64(self.seq).bytes(&self.hash.0);
        sha256(&[&writer.into_bytes()])
    }
}

/// What a hub signs once a batch: the leaves of all heads that the batch moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadsSigned<'a>(pub &'a [Hash]);

impl sealed::Sealed for HeadsSigned<'_> {}
impl Signable for HeadsSigned<'_> {
    fn role(&self) -> Role {
        Role::Heads
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.list(self.0.iter(), |w, leaf| {
            w.bytes(&leaf.0);
        });
        writer.into_bytes()
    }
}

/// What a Create or a Commit brings: MLS messages (RFC 9420 §6), each as the engine wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The commit. Of a Create: empty, since nobody else is there to follow it.
    pub commit: Vec<u8>,
    /// The Welcome of those that it adds.
    pub welcome: Option<Vec<u8>>,
    /// The group's public state after it, its tree included: for who must join from outside.
    pub group_info: Vec<u8>,
}

impl Change {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(3);
        writer.bytes(&self.commit);
        writer.maybe(self.welcome.as_deref(), |w, welcome| w.bytes(welcome));
        writer.bytes(&self.group_info);
        writer.into_bytes()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(3)?;
        let change = Self {
            commit: reader.bytes()?.to_vec(),
            welcome: reader.maybe(|r| r.bytes().map(<[u8]>::to_vec))?,
            group_info: reader.bytes()?.to_vec(),
        };
        reader.end()?;
        if change.to_bytes() == bytes { Ok(change) } else { Err(Malformed("a change in canonical form")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_bound_to_all_before_it_and_to_all_it_says() {
        let talk = ConversationId([1; 32]);
        let entry = Link { term: 0, seq: 1, kind: Kind::Message, epoch: 3, members: &[], bytes: b"sealed" };
        let first = chain(root(talk), &entry);
        let others = [
            chain(root(ConversationId([2; 32])), &entry),
            chain(root(talk), &Link { term: 1, ..entry }),
            chain(root(talk), &Link { seq: 2, ..entry }),
            chain(root(talk), &Link { kind: Kind::Commit, ..entry }),
            chain(root(talk), &Link { epoch: 4, ..entry }),
            chain(root(talk), &Link { bytes: b"Sealed", ..entry }),
        ];
        assert!(!others.contains(&first));
        assert_ne!(tag(talk, DeviceKey([1; 32])), tag(ConversationId([2; 32]), DeviceKey([1; 32])));
    }

    #[test]
    fn a_change_is_read_as_it_was_written_and_no_other_way() {
        for welcome in [None, Some(b"welcome".to_vec())] {
            let change = Change { commit: b"commit".to_vec(), welcome, group_info: b"info".to_vec() };
            let bytes = change.to_bytes();
            assert_eq!(Change::parse(&bytes), Ok(change));
            for cut in 0..bytes.len() {
                assert!(Change::parse(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            assert!(Change::parse(&[&bytes[..], &[0]].concat()).is_err());
        }
    }
}
