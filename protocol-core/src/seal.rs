//! Keys in, sealed or signed bytes out.

pub mod address;
pub mod device;
pub mod field;
pub mod lists;
pub mod node;
pub mod secret;
pub mod sign;

pub use address::AddressIdentity;
pub use device::DeviceIdentity;
pub use lists::Chain;
pub use node::NodeIdentity;
pub use secret::Secret;
pub use sign::{PublicKey, Signature, verify, verify_value};
