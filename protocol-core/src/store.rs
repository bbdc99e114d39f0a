//! What a host stores for the machines: records under keys, all of one step in one transaction.
//!
//! The bytes of a record's value are CBOR, versioned, and opaque to the host. Three of its columns are not, since the
//! host acts on them: the body it keeps alive, and when it may be dropped.

use core::fmt;

use crate::id::{Address, BlobRef, Domain, Hash, Lane, MailId, Mailbox, NodeKey, Pair};
use crate::time::Millis;

/// Where a record lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The node's own: clock, store generation, counts.
    Node,
    /// What two addresses are to each other.
    Trust(Pair),
    /// A pair that has a deadline, and so is restored when the node starts.
    Due(Pair),
    /// The strangers whose offers one of our addresses holds.
    Strangers(Address),
    /// An arrived mail that waits for evidence about its sender's node.
    Pending(MailId),
    /// What outlives a connection with another node.
    Peer(NodeKey),
    /// How another node is found, once a pair has something to say to it.
    Route(NodeKey),
    /// By which name we know the node that has this key: one that it has changed its key to.
    Alias(NodeKey),
    /// A domain that the operator has blocked.
    Blocked(Domain),
    /// Whether mails of one of our addresses take offers and accepts along.
    Offers(Address),
    /// A mail that waits on one lane.
    Queue(Lane, MailId),
    /// An arrival's id, remembered so that no other carrier shows it again.
    Seen(MailId),
}

impl fmt::Display for Key {
    /// The text under which a host files it: unique, and ordered by kind. `/` within a name is written `%2F`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Trust(pair) => write!(f, "trust/{}/{}", escape(&pair.ours), escape(&pair.theirs)),
            Self::Due(pair) => write!(f, "due/{}/{}", escape(&pair.ours), escape(&pair.theirs)),
            Self::Strangers(ours) => write!(f, "strangers/{}", escape(ours)),
            Self::Pending(mail) => write!(f, "pending/{mail}"),
            Self::Peer(nk) => write!(f, "peer/{nk}"),
            Self::Route(nk) => write!(f, "route/{nk}"),
            Self::Alias(nk) => write!(f, "alias/{nk}"),
            Self::Blocked(domain) => write!(f, "blocked/{domain}"),
            Self::Offers(ours) => write!(f, "offers/{}", escape(ours)),
            Self::Queue(Lane::Mailbox(name), mail) => write!(f, "queue/mailbox/{}/{mail}", escape(name)),
            Self::Queue(Lane::Domain(domain), mail) => write!(f, "queue/domain/{domain}/{mail}"),
            Self::Queue(Lane::Node(nk), mail) => write!(f, "queue/node/{nk}/{mail}"),
            Self::Seen(mail) => write!(f, "seen/{mail}"),
        }
    }
}

fn escape(part: &impl fmt::Display) -> String {
    part.to_string().replace('%', "%25").replace('/', "%2F")
}

impl Key {
    /// Reads the text that [`Display`](fmt::Display) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let un = |part: &str| part.replace("%2F", "/").replace("%25", "%");
        let address = |part: &str| Address::parse(&un(part)).ok();
        let parts: Vec<&str> = text.split('/').collect();
        Some(match parts.as_slice() {
            ["node"] => Self::Node,
            ["trust", ours, theirs] => Self::Trust(Pair { ours: address(ours)?, theirs: address(theirs)? }),
            ["due", ours, theirs] => Self::Due(Pair { ours: address(ours)?, theirs: address(theirs)? }),
            ["strangers", ours] => Self::Strangers(address(ours)?),
            ["pending", mail] => Self::Pending(MailId::parse(mail).ok()?),
            ["route", nk] => Self::Route(NodeKey::parse(nk).ok()?),
            ["peer", nk] => Self::Peer(NodeKey::parse(nk).ok()?),
            ["alias", nk] => Self::Alias(NodeKey::parse(nk).ok()?),
            ["blocked", domain] => Self::Blocked(Domain::parse(domain).ok()?),
            ["offers", ours] => Self::Offers(address(ours)?),
            ["queue", "mailbox", name, mail] => {
                Self::Queue(Lane::Mailbox(Mailbox(un(name))), MailId::parse(mail).ok()?)
            }
            ["queue", "domain", domain, mail] => {
                Self::Queue(Lane::Domain(Domain::parse(domain).ok()?), MailId::parse(mail).ok()?)
            }
            ["queue", "node", nk, mail] => Self::Queue(Lane::Node(NodeKey::parse(nk).ok()?), MailId::parse(mail).ok()?),
            ["seen", mail] => Self::Seen(MailId::parse(mail).ok()?),
            _ => return None,
        })
    }

    /// Whether a host brings this record when the machine is restored; the others are brought when they are wanted.
    #[must_use]
    pub fn restored_at_start(&self) -> bool {
        matches!(self, Self::Node | Self::Due(_) | Self::Queue(..) | Self::Pending(_) | Self::Blocked(_))
    }
}

/// A durable value that a machine asks its host to store, or to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it lives.
    pub key: Key,
    /// Its bytes; `None` removes it.
    pub value: Option<Vec<u8>>,
    /// The body that lives as long as this record (several records may hold one body).
    pub blob: Option<BlobRef>,
    /// From when on the host may drop it; the machine takes it as absent from then on, dropped or not.
    pub expires: Option<Millis>,
}

impl Record {
    /// A record that stays until it is removed.
    #[must_use]
    pub const fn put(key: Key, value: Vec<u8>) -> Self {
        Self { key, value: Some(value), blob: None, expires: None }
    }

    /// The removal of a record.
    #[must_use]
    pub const fn remove(key: Key) -> Self {
        Self { key, value: None, blob: None, expires: None }
    }

    /// The same record, holding a body.
    #[must_use]
    pub const fn holding(mut self, blob: BlobRef) -> Self {
        self.blob = Some(blob);
        self
    }

    /// The same record, with an end.
    #[must_use]
    pub const fn until(mut self, expires: Millis) -> Self {
        self.expires = Some(expires);
        self
    }
}

/// Hashes bytes as everything in this protocol is hashed: SHA-256.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}
