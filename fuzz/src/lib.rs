//! Replays the corpora of `corpus/` through the fuzz bodies of `postline-world`, on stable Rust.
