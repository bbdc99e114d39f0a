//! What the engine refuses, in our words: whose fault it is, and which.

use mls_rs::error::MlsError;

use crate::fault::{Misuse, PeerFault};

/// A call that takes both the caller's wishes and what peers have sent can fail by either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller's.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// A peer's.
    #[error(transparent)]
    Peer(#[from] PeerFault),
}

/// A call out of its place.
pub(super) const fn misuse(what: &'static str) -> Misuse {
    Misuse::OutOfPlace(what)
}

/// What is wrong with something that came, as far as the peer and the operator need to know it. One table; what can't
/// come by the calls that we make is what it is by default: malformed.
const fn what(error: &MlsError) -> &'static str {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the engine's list is open, and grows")]
    match error {
        MlsError::SerializationError(_) => "malformed",
        MlsError::CryptoProviderError(_) => "a key, ciphertext or signature that is none",
        MlsError::IdentityProviderError(_) => "a credential that is none",
        MlsError::MlsRulesError(_) => "a proposal that is not taken here",
        MlsError::InvalidSignature => "its signature",
        MlsError::InvalidConfirmationTag => "its confirmation tag",
        MlsError::InvalidMembershipTag => "its membership tag",
        MlsError::MissingRequiredPsk => "bound to another handshake",
        MlsError::InvalidLifetime { .. } => "out of its lifetime",
        MlsError::DuplicateLeafData(_) => "a key that the group has",
        MlsError::TreeHashMismatch | MlsError::ParentHashMismatch => "its tree",
        MlsError::RatchetTreeNotFound => "no tree",
        MlsError::InvalidFutureGeneration(_) => "too many messages were left out",
        MlsError::CantProcessMessageFromSelf => "our own",
        MlsError::UnexpectedMessageType => "of another kind",
        MlsError::GroupIdMismatch => "of another conversation",
        MlsError::UnsupportedCipherSuite(_) | MlsError::CipherSuiteMismatch => "another suite",
        MlsError::UnsupportedProtocolVersion(_) | MlsError::ProtocolVersionMismatch => "another version of MLS",
        MlsError::RemovingNonExistingMember | MlsError::InvalidNodeIndex(_) => "no such member",
        MlsError::CommitterSelfRemoval => "its author's own removal",
        MlsError::InvalidSuccessor | MlsError::DifferentIdentityInUpdate(_) => "another device's leaf",
        MlsError::ProposalNotFound => "a proposal by reference",
        _ => "against the rules of MLS",
    }
}

/// A message that doesn't open. A key that is used up means that it was opened before (attack 61).
pub(super) const fn sealed(error: &MlsError) -> PeerFault {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the engine's list is open, and grows")]
    match error {
        MlsError::KeyMissing(_) => PeerFault::Again,
        _ => PeerFault::Sealed(what(error)),
    }
}

/// A Welcome, or a group's public state, that nobody can join by.
pub(super) const fn welcome(error: &MlsError) -> PeerFault {
    PeerFault::Welcome(what(error))
}

/// A key package that can't be used.
pub(super) const fn package(error: &MlsError) -> PeerFault {
    PeerFault::KeyPackage(what(error))
}
