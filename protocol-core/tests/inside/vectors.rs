//! Where foreign vectors lie. It is part of core's own tests, and stands here because core's sources leave files alone.

use std::path::{Path, PathBuf};

/// A file of vectors; `None`, and why, where it isn't there.
pub(super) fn read(name: &str) -> Option<String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let root = std::env::var_os("POSTLINE_VECTORS").map_or_else(beside, PathBuf::from);
    let path = root.join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {} isn't there (set POSTLINE_VECTORS)", path.display());
    }
    text
}
