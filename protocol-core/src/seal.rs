//! Keys in, sealed or signed bytes out.

pub mod address;
mod aead;
pub mod attachment;
pub mod code;
pub mod device;
pub mod field;
pub mod join;
pub mod lists;
pub mod memo;
pub mod mls;
pub mod node;
pub mod phrase;
pub mod pin;
pub mod secret;
pub mod sign;
pub mod tries;
pub mod vault;

pub use address::AddressIdentity;
pub use attachment::Attachment;
pub use device::DeviceIdentity;
pub use lists::Chain;
pub use node::NodeIdentity;
pub use pin::{Level, Pin};
pub use secret::Secret;
pub use sign::{PublicKey, Signature, verify, verify_value};
