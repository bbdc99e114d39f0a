//! Bytes to values and back: mail, and the frames of a link. Decides nothing; sees no key.

pub mod mime;
pub mod stream;
