//! Stub.
/// Offer
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer;
/// Accept
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept;
