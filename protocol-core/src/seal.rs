//! Keys in, sealed or signed bytes out.

pub mod field;
pub mod node;
pub mod secret;

pub use node::{NodeIdentity, Signature, verify, verify_value};
pub use secret::Secret;
