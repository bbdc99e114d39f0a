//! What can be signed: typed values of ours, each under its own role, never bytes that somebody proposes ([K-2]).
//!
//! Signature input = `"postline/1 "` ‖ role label ‖ 0x00 ‖ canonical bytes. The label keeps a signature of one kind from
//! being taken for another (attacks 66, 67).

use crate::wire::cbor::Writer;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `Postline-Offer`.
    Offer,
    /// `Postline-Accept`.
    Accept,
    /// `Postline-Id`.
    Carried,
    /// Proof: a link's two Hellos and its TLS exporter, by who dialled.
    ProofDialler,
    /// Proof, by who was dialled: so that a proof can't be mirrored.
    ProofListener,
    /// M2 on a connection.
    Confirm,
    /// M3 on a connection.
    Done,
    /// An accept on a connection, where offers crossed.
    LinkAccept,
    /// A key proof on a connection.
    LinkKeys,
    /// A person's device list, by their AK.
    DeviceList,
    /// A person's keys for one line, by their AK.
    KeyProof,
    /// That a device is a person's, in its MLS credential: by their AK.
    Leaf,
    /// A session's two Hellos and its channel, by the device.
    SessionDevice,
    /// The same, by the node.
    SessionNode,
    /// The heads of a hub's logs, by its node.
    Heads,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 15] = [
        Self::Offer,
        Self::Accept,
        Self::Carried,
        Self::ProofDialler,
        Self::ProofListener,
        Self::Confirm,
        Self::Done,
        Self::LinkAccept,
        Self::LinkKeys,
        Self::DeviceList,
        Self::KeyProof,
        Self::Leaf,
        Self::SessionDevice,
        Self::SessionNode,
        Self::Heads,
    ];

    /// Its label, part of the signature input.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Accept => "accept",
            Self::Carried => "id",
            Self::ProofDialler => "proof dialler",
            Self::ProofListener => "proof listener",
            Self::Confirm => "confirm",
            Self::Done => "done",
            Self::LinkAccept => "link accept",
            Self::LinkKeys => "link keys",
            Self::DeviceList => "device list",
            Self::KeyProof => "key proof",
            Self::Leaf => "leaf",
            Self::SessionDevice => "session device",
            Self::SessionNode => "session node",
            Self::Heads => "heads",
        }
    }

    /// The bytes that are signed for `canonical` in this role.
    #[must_use]
    pub fn input(self, canonical: &[u8]) -> Vec<u8> {
        let mut input = Vec::with_capacity(32 + canonical.len());
        input.extend_from_slice(b"postline/1 ");
        input.extend_from_slice(self.label().as_bytes());
        input.push(0);
        input.extend_from_slice(canonical);
        input
    }
}

/// A value built here that a key of ours may sign. Sealed: only values of [`wire`](crate::wire) are.
pub trait Signable: sealed::Sealed {
    /// What the signature is for.
    fn role(&self) -> Role;
    /// The value's canonical bytes.
    fn canonical(&self) -> Vec<u8>;
}

pub(crate) mod sealed {
    /// Keeps [`Signable`](super::Signable) within this crate.
    pub trait Sealed {}
}

/// A handshake step's bytes beside the exporter of the connection that it goes over ([T-6]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnConnection<'a> {
    pub(crate) role: Role,
    pub(crate) step: &'a [u8],
    pub(crate) exporter: &'a [u8; 32],
}

impl<'a> OnConnection<'a> {
    /// A step of ours, as we stored it, for the connection with this exporter.
    #[must_use]
    pub const fn new(step: crate::wire::frame::TrustStep, bytes: &'a [u8], exporter: &'a [u8; 32]) -> Self {
        use crate::wire::frame::TrustStep;
        let role = match step {
            TrustStep::Confirm => Role::Confirm,
            TrustStep::Done => Role::Done,
            TrustStep::Accept => Role::LinkAccept,
            TrustStep::Keys => Role::LinkKeys,
        };
        Self { role, step: bytes, exporter }
    }
}

impl sealed::Sealed for OnConnection<'_> {}
impl Signable for OnConnection<'_> {
    fn role(&self) -> Role {
        self.role
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(2);
        writer.bytes(self.step).bytes(self.exporter);
        writer.into_bytes()
    }
}
