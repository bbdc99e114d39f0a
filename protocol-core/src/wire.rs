//! Canonical bytes of what is signed, and the plain shapes of what a link carries.
//!
//! One file a value. Signed values are deterministic CBOR (RFC 8949 §4.2.1), verified over the bytes that came. How a
//! [`frame::Frame`] becomes bytes on a stream is the codec's; how tags stand in a header field is the codec's too.

pub mod cbor;
pub mod compare;
pub mod confirm;
pub mod content;
pub mod control;
pub mod field;
pub mod file;
pub mod frame;
pub mod hello;
pub mod keys;
pub mod leaf;
pub mod list;
pub mod log;
pub mod mark;
pub mod memo;
pub(crate) mod record;
pub mod report;
pub mod session;
pub mod signed;
pub mod snapshot;
pub mod statement;
pub mod taken;
pub mod talk;
pub mod whisper;
