//! Nothing of its own: see `tests/interop.rs`.
