//! Postline's core: every state machine and all cryptography of the protocol, and nothing else.
pub mod content;
pub mod fault;
pub mod id;
pub mod limits;
pub mod machine;
pub mod net;
pub mod seal;
pub mod server;
pub mod step;
pub mod store;
pub mod time;
pub mod wire;
