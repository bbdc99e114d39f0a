//! Where foreign vectors lie. It is part of core's own tests, and stands here because core's sources leave files alone.

use std::path::{Path, PathBuf};

/// A file of vectors; `None`, and why, where it isn't there.
pub(super) fn read(name: &str) -> Option<String> {
    read_bytes(name).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// The same of one that is no text.
pub(super) fn read_bytes(name: &str) -> Option<Vec<u8>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let root = std::env::var_os("POSTLINE_VECTORS").map_or_else(beside, PathBuf::from);
    let path = root.join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: {} isn't there (set POSTLINE_VECTORS)", path.display());
    }
    bytes
}
