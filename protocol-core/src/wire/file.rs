//! What is said about files that are sealed, between a device and its node, and between nodes: plain values. The codec makes
//! them bytes.
//!
//! ```text
//!   device ──Keep──▶ own node ──Kept: so much is here──▶ device ──Piece, Piece …──▶ ──Kept: all of it──▶
//!   device ──Fetch─▶ own node ──Fetch──▶ the author's node ──Piece, Piece …──▶ own node ──Piece, Piece …──▶ device
//!   device ──Forget─▶ own node ──Forgotten──▶   the author's own node ──Forget──▶ the other's ──Forgotten──▶
//! ```
//!
//! A file is named by the hash and length of its sealed bytes; nobody on the way can open it. The bytes themselves never come
//! here: a host keeps them, and says by [`BytesIn`] what became of them. Spec: `spec/15-attachments.md`.

use crate::fault::Code;
use crate::id::{Address, BlobRef, DeviceKey, Hash, NodeKey};

/// Something about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// From a device: keep this for somebody with whom its person has a line. Answered by [`File::Kept`].
    Keep {
        /// For whom.
        theirs: Address,
        /// Which.
        file: BlobRef,
    },
    /// So much of it is here: the rest is to come from there on. All of it: it is durable. `Err`: why it isn't taken, or
    /// can't be had.
    Kept {
        /// Which.
        hash: Hash,
        /// How much, in bytes.
        far: Result<u64, Code>,
    },
    /// Send this file from there on. Answered by its pieces, or by [`File::Kept`] and why not.
    Fetch {
        /// Who asks.
        asker: Address,
        /// Who has left it with their node.
        whose: Address,
        /// Which.
        file: BlobRef,
        /// From where.
        from: u64,
    },
    /// A piece of a file. The host keeps the bytes; the machine sees how many they are.
    Piece {
        /// Of which.
        hash: Hash,
        /// Where it begins.
        offset: u64,
        /// How many bytes it has.
        len: u32,
    },
    /// Let this file go: what named it is taken back. From a device, of its own person's shelf; from the node of who had
    /// left it, of that of whom it was for. Answered by [`File::Forgotten`].
    Forget {
        /// Who had left it.
        whose: Address,
        /// For whom.
        theirs: Address,
        /// Which.
        file: BlobRef,
    },
    /// It is gone, or never was; `Err`: why it isn't let go.
    Forgotten {
        /// Who had left it.
        whose: Address,
        /// For whom.
        theirs: Address,
        /// Which.
        hash: Hash,
        /// Whether it is gone.
        gone: Result<(), Code>,
    },
}

/// What a host says of the bytes of files, on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BytesIn {
    /// There is room for the rest; so many bytes are here already. Where that is all, the host goes on to say `Whole` or
    /// `Spoiled`.
    Have(Hash, u64),
    /// All bytes are here, durable once a record holds them, and hash to their name.
    Whole(BlobRef),
    /// All bytes were here, and don't; the host has dropped them.
    Spoiled(BlobRef),
    /// There is no room, or the disk fails; of one that was to be sent, its bytes can't be read.
    Failed(Hash),
    /// All that was to be sent of it has left.
    Sent(Hash),
}

/// What a host does about the bytes of files, on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesOut {
    /// Make room for a file that comes in pieces, and say [`BytesIn::Have`] or [`BytesIn::Failed`].
    Take(BlobRef),
    /// It comes no more on this connection: what came of it stays for the next one.
    Leave(BlobRef),
    /// It comes and goes no more on this connection, and nothing of it is to stay that no record holds.
    Forget(BlobRef),
    /// Send it in pieces from there on, behind all frames, and say [`BytesIn::Sent`].
    Send(BlobRef, u64),
    /// The same of one that is still coming from another: what is here of it, and the rest as it comes, over however many
    /// connections.
    Pass(BlobRef, u64, Giver),
    /// What is passed on came whole, and a record holds it: what hasn't left yet leaves from there.
    Rest(BlobRef),
}

/// From whom a file comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Giver {
    /// From a device of ours.
    Device(DeviceKey),
    /// From another node.
    Node(NodeKey),
}

impl core::fmt::Display for Giver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Device(dk) => dk.fmt(f),
            Self::Node(nk) => nk.fmt(f),
        }
    }
}

/// A file that comes in pieces, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coming {
    /// Which.
    pub(crate) file: BlobRef,
    /// Where the next piece begins, once it is known how much is here.
    pub(crate) next: Option<u64>,
    /// How much the other end was told of.
    pub(crate) told: u64,
}

impl Coming {
    pub(crate) const fn new(file: BlobRef) -> Self {
        Self { file, next: None, told: 0 }
    }

    /// Takes a piece, where it is the next one. Says whether the other end is to hear how far it is: not of each.
    pub(crate) fn piece(&mut self, offset: u64, len: u32) -> Result<bool, crate::fault::PeerFault> {
        use crate::fault::PeerFault;
        if self.next != Some(offset) || len == 0 {
            return Err(PeerFault::Frame("the next piece of a file"));
        }
        let end = offset.saturating_add(len.into());
        if end > self.file.len {
            return Err(PeerFault::TooBig { what: "a file", got: end, max: self.file.len });
        }
        self.next = Some(end);
        let tells = end - self.told >= crate::limits::FILE_TOLD_BYTES && end < self.file.len;
        if tells {
            self.told = end;
        }
        Ok(tells)
    }
}
