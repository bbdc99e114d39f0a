//! The NK signatures of the header fields: no [`Offer`], [`Accept`] or [`Carried`] of a stranger exists unverified.
//!
//! [`Offer`]: crate::wire::field::Offer
//! [`Accept`]: crate::wire::field::Accept
//! [`Carried`]: crate::wire::field::Carried

use std::collections::BTreeSet;

use crate::content::mail::Tags;
use crate::fault::PeerFault;
use crate::id::Address;
use crate::seal::sign::verify;
use crate::wire::field::{Claimed, Field};

/// Reads a field that came in a mail from `from` to `to_cc`, and verifies that the node it names signed it.
///
/// # Errors
/// [`PeerFault::Field`] for tags that are missing, malformed or of another version; [`PeerFault::Signature`].
pub fn read<F: Field>(from: &Address, to_cc: &BTreeSet<Address>, tags: &Tags) -> Result<F, PeerFault> {
    open(F::parse(from, to_cc, tags)?)
}

/// Opens a claim whose signature verifies, strictly, under the node key that it names.
///
/// # Errors
/// [`PeerFault::Signature`].
pub fn open<F: Field>(claim: Claimed<F>) -> Result<F, PeerFault> {
    verify(claim.nk(), F::ROLE, claim.signed(), claim.signature())?;
    Ok(claim.into_inner())
}
