//! Bytes to values and back: mail, the frames of a link, what a domain says of its node. Decides nothing; sees no key.

pub mod mime;
pub mod stream;
pub mod word;
