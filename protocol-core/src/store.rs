//! What a host stores for the machines: records under keys, all of one step in one transaction.
//!
//! The bytes of a record's value are CBOR, versioned, and opaque to the host. Three of its columns are not, since the
//! host acts on them: the body it keeps alive, and when it may be dropped.

use core::fmt;

use crate::id::{
    Address, BlobRef, ContentId, ConversationId, DeviceKey, Domain, Hash, Lane, MailId, Mailbox, NodeKey, Pair,
};
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

    // What a node keeps of sealed conversations, by `server`
    /// Those with whom one of our addresses has a line.
    Lines(Address),
    /// What two who have a line have proven of their keys.
    Proofs(Pair),
    /// Something about the keys of two that their node, or we, have still to hear; restored when the node starts.
    Telling(Pair),
    /// What is known of an address's keys: the head of its device lists, its key proofs.
    Keys(Address),
    /// One device list of an address, by version, as it was signed.
    List(Address, u64),
    /// The key packages of a device of ours that wait to be used.
    Packages(Address, DeviceKey),
    /// Which notes wait for the devices of one of our addresses.
    Notes(Address),
    /// A note between devices of one of our addresses, by its number.
    Note(Address, u64),
    /// A device that may open sessions.
    Device(DeviceKey),
    /// The conversations of one of our addresses.
    Talks(Address),
    /// The head of a conversation's log.
    Log(ConversationId),
    /// One entry of a conversation's log, by seq.
    Entry(ConversationId, u64),
    /// How far a device of ours has come in a conversation.
    Cursor(ConversationId, DeviceKey),
    /// That another node hasn't acked everything of a conversation of which we are the hub.
    Behind(NodeKey, ConversationId),
    /// Which files are kept of one of our addresses, and for whom.
    Shelf(Address),
    /// A file that is kept of one of our addresses, by the hash of its sealed bytes, which hang on this record.
    File(Address, Hash),
    /// A file of one of our addresses, left for another, that a node hasn't heard yet that it is to let go.
    Forgets(NodeKey, Pair, Hash),
    /// A post of a device of ours, by its number, that waits for the way to its hub.
    Post(ConversationId, DeviceKey, u64),

    // What a device keeps, by `client`
    /// The device itself: its keys, its numbers.
    Own,
    /// Who asks to be let in beside the device, and what it has granted.
    Joining,
    /// What the device knows of an address.
    Contact(Address),
    /// What the device knows of a conversation.
    Talk(ConversationId),
    /// The MLS group of a conversation.
    Group(ConversationId),
    /// The generations that a device may seal under, reserved ahead.
    Reserve(ConversationId),
    /// The keys of an epoch that is over.
    Epoch(ConversationId, u64),
    /// The secret half of a key package of the device, by the package's hash.
    Package(Hash),
    /// An event that the device has opened, or wrote, by seq.
    Said(ConversationId, u64),
    /// What the device has posted and not seen sequenced, by its number.
    Draft(u64),
    /// A file that the device leaves with its node, by the hash of its sealed bytes, which hang on this record.
    Upload(Hash),
    /// A file, by who left it and for whom, that the device's node hasn't heard yet that it is to let go.
    Forget(Pair, Hash),
    /// Which entries name a file, by the hash of its sealed bytes.
    Named(Hash),
    /// What became of a message, by the place and the id of its first version.
    Message(ConversationId, u64, ContentId),
    /// The reactions to a message, by the place and the id of its first version.
    Reactions(ConversationId, u64, ContentId),
    /// What a version's id leads to, and which entries wait for it, by the place that they name.
    Name(ConversationId, u64, ContentId),
    /// Which places of a conversation, or of one of its threads, have a message: a page of them, by level and number.
    Page(ConversationId, Hash, u8, u64),
    /// How far what was said in a conversation has got.
    Marks(ConversationId),
    /// Which messages of a conversation are pinned.
    Pins(ConversationId),
    /// What of a conversation is to be forgotten next, and what waits to be read before that.
    Ends(ConversationId),
    /// Entries of a conversation that are to be forgotten at one Unix second, by the number of their record.
    Moment(ConversationId, u64, u64),

    // What a node keeps beside a device that it runs
    /// A mail of what was said to the device's person, by seq, until it is in the node's hands: written with what it says.
    Mailing(ConversationId, u64),
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
            Self::Proofs(pair) => write!(f, "proofs/{}/{}", escape(&pair.ours), escape(&pair.theirs)),
            Self::Telling(pair) => write!(f, "telling/{}/{}", escape(&pair.ours), escape(&pair.theirs)),
            Self::Lines(ours) => write!(f, "lines/{}", escape(ours)),
            Self::Keys(address) => write!(f, "keys/{}", escape(address)),
            Self::List(address, version) => write!(f, "list/{}/{version:016x}", escape(address)),
            Self::Packages(ours, dk) => write!(f, "packages/{}/{dk}", escape(ours)),
            Self::Notes(ours) => write!(f, "notes/{}", escape(ours)),
            Self::Note(ours, number) => write!(f, "note/{}/{number:016x}", escape(ours)),
            Self::Device(dk) => write!(f, "device/{dk}"),
            Self::Talks(ours) => write!(f, "talks/{}", escape(ours)),
            Self::Log(talk) => write!(f, "log/{talk}"),
            Self::Entry(talk, seq) => write!(f, "entry/{talk}/{seq:016x}"),
            Self::Cursor(talk, dk) => write!(f, "cursor/{talk}/{dk}"),
            Self::Behind(nk, talk) => write!(f, "behind/{nk}/{talk}"),
            Self::Shelf(ours) => write!(f, "shelf/{}", escape(ours)),
            Self::File(ours, hash) => write!(f, "file/{}/{hash}", escape(ours)),
            Self::Forgets(nk, Pair { ours, theirs }, hash) => {
                write!(f, "forgets/{nk}/{}/{}/{hash}", escape(ours), escape(theirs))
            }
            Self::Post(talk, dk, number) => write!(f, "post/{talk}/{dk}/{number:016x}"),
            Self::Own => f.write_str("own"),
            Self::Joining => f.write_str("joining"),
            Self::Contact(theirs) => write!(f, "contact/{}", escape(theirs)),
            Self::Talk(talk) => write!(f, "talk/{talk}"),
            Self::Group(talk) => write!(f, "group/{talk}"),
            Self::Reserve(talk) => write!(f, "reserve/{talk}"),
            Self::Epoch(talk, epoch) => write!(f, "epoch/{talk}/{epoch:016x}"),
            Self::Package(hash) => write!(f, "package/{hash}"),
            Self::Said(talk, seq) => write!(f, "said/{talk}/{seq:016x}"),
            Self::Upload(hash) => write!(f, "upload/{hash}"),
            Self::Forget(Pair { ours, theirs }, hash) => {
                write!(f, "forget/{}/{}/{hash}", escape(ours), escape(theirs))
            }
            Self::Named(hash) => write!(f, "named/{hash}"),
            Self::Draft(number) => write!(f, "draft/{number:016x}"),
            Self::Message(talk, place, id) => write!(f, "message/{talk}/{place:016x}/{id}"),
            Self::Reactions(talk, place, id) => write!(f, "reactions/{talk}/{place:016x}/{id}"),
            Self::Name(talk, place, id) => write!(f, "name/{talk}/{place:016x}/{id}"),
            Self::Page(talk, thread, level, page) => write!(f, "page/{talk}/{thread}/{level}/{page:016x}"),
            Self::Marks(talk) => write!(f, "marks/{talk}"),
            Self::Pins(talk) => write!(f, "pins/{talk}"),
            Self::Ends(talk) => write!(f, "ends/{talk}"),
            Self::Moment(talk, second, number) => write!(f, "moment/{talk}/{second:016x}/{number:016x}"),
            Self::Mailing(talk, seq) => write!(f, "mailing/{talk}/{seq:016x}"),
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
        let talk = |part: &str| ConversationId::parse(part).ok();
        let device = |part: &str| DeviceKey::parse(part).ok();
        let number = |part: &str| u64::from_str_radix(part, 16).ok().filter(|n| format!("{n:016x}") == part);
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
            ["proofs", ours, theirs] => Self::Proofs(Pair { ours: address(ours)?, theirs: address(theirs)? }),
            ["telling", ours, theirs] => Self::Telling(Pair { ours: address(ours)?, theirs: address(theirs)? }),
            ["lines", ours] => Self::Lines(address(ours)?),
            ["keys", whose] => Self::Keys(address(whose)?),
            ["list", whose, version] => Self::List(address(whose)?, number(version)?),
            ["packages", ours, dk] => Self::Packages(address(ours)?, device(dk)?),
            ["notes", ours] => Self::Notes(address(ours)?),
            ["note", ours, n] => Self::Note(address(ours)?, number(n)?),
            ["device", dk] => Self::Device(device(dk)?),
            ["talks", ours] => Self::Talks(address(ours)?),
            ["log", id] => Self::Log(talk(id)?),
            ["entry", id, seq] => Self::Entry(talk(id)?, number(seq)?),
            ["cursor", id, dk] => Self::Cursor(talk(id)?, device(dk)?),
            ["behind", nk, id] => Self::Behind(NodeKey::parse(nk).ok()?, talk(id)?),
            ["shelf", ours] => Self::Shelf(address(ours)?),
            ["file", ours, hash] => Self::File(address(ours)?, Hash::parse(hash).ok()?),
            ["forgets", nk, ours, theirs, hash] => {
                let pair = Pair { ours: address(ours)?, theirs: address(theirs)? };
                Self::Forgets(NodeKey::parse(nk).ok()?, pair, Hash::parse(hash).ok()?)
            }
            ["post", id, dk, n] => Self::Post(talk(id)?, device(dk)?, number(n)?),
            ["own"] => Self::Own,
            ["joining"] => Self::Joining,
            ["contact", theirs] => Self::Contact(address(theirs)?),
            ["talk", id] => Self::Talk(talk(id)?),
            ["group", id] => Self::Group(talk(id)?),
            ["reserve", id] => Self::Reserve(talk(id)?),
            ["epoch", id, epoch] => Self::Epoch(talk(id)?, number(epoch)?),
            ["package", hash] => Self::Package(Hash::parse(hash).ok()?),
            ["said", id, seq] => Self::Said(talk(id)?, number(seq)?),
            ["upload", hash] => Self::Upload(Hash::parse(hash).ok()?),
            ["forget", ours, theirs, hash] => {
                let pair = Pair { ours: address(ours)?, theirs: address(theirs)? };
                Self::Forget(pair, Hash::parse(hash).ok()?)
            }
            ["named", hash] => Self::Named(Hash::parse(hash).ok()?),
            ["draft", n] => Self::Draft(number(n)?),
            ["message", id, at, first] => Self::Message(talk(id)?, number(at)?, ContentId::parse(first).ok()?),
            ["name", id, at, version] => Self::Name(talk(id)?, number(at)?, ContentId::parse(version).ok()?),
            ["page", id, thread, level, page] => {
                let level = level.parse().ok().filter(|n: &u8| n.to_string() == *level)?;
                Self::Page(talk(id)?, Hash::parse(thread).ok()?, level, number(page)?)
            }
            ["reactions", id, at, first] => Self::Reactions(talk(id)?, number(at)?, ContentId::parse(first).ok()?),
            ["marks", id] => Self::Marks(talk(id)?),
            ["pins", id] => Self::Pins(talk(id)?),
            ["ends", id] => Self::Ends(talk(id)?),
            ["moment", id, second, n] => Self::Moment(talk(id)?, number(second)?, number(n)?),
            ["mailing", id, seq] => Self::Mailing(talk(id)?, number(seq)?),
            _ => return None,
        })
    }

    /// Whether a host brings this record when the machine is restored; the others are brought when they are wanted.
    #[must_use]
    pub fn restored_at_start(&self) -> bool {
        matches!(
            self,
            Self::Node
                | Self::Due(_)
                | Self::Queue(..)
                | Self::Pending(_)
                | Self::Blocked(_)
                | Self::Telling(_)
                | Self::Behind(..)
                | Self::Post(..)
                | Self::Forgets(..)
        )
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

/// SHA-256 of what comes piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hashing(sha2::Sha256);

impl Hashing {
    /// Takes some more.
    pub fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// The hash of all of it.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(sha2::Digest::finalize(self.0).into())
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
