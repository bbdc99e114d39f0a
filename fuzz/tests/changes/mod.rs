//! Corpora, dictionaries, and the changes that are made of them.

use std::path::{Path, PathBuf};

use postline_world::rng::Rng;

/// The files that a target begins from.
pub(crate) fn files(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The words that the target's dictionary knows.
pub(crate) fn words(target: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionaries").join(format!("{target}.dict"));
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let quoted = text.lines().filter(|line| line.starts_with('"'));
    quoted.map(|line| unquoted(line.strip_prefix('"').unwrap().strip_suffix('"').unwrap())).collect()
}

/// A word as libFuzzer writes it: `\xAB`, `\\` and `\"` are one byte each.
fn unquoted(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (_, true) => match rest.next().unwrap() {
                b'x' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                other => other,
            },
            (plain, false) => plain,
        });
    }
    bytes
}

/// Changes a few bytes, as a fuzzer would: flips, cuts, copies, words of the dictionary, the end of another file.
pub(crate) fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>], rng: &mut Rng) {
    for _ in 0..1 + rng.index(4) {
        let at = rng.index(bytes.len() + 1);
        match rng.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.bytes::<1>()[0]),
            2 => {
                let end = bytes.len().min(at + 1 + rng.index(8));
                bytes.drain(at..end);
            }
            3 => {
                let end = bytes.len().min(at + 1 + rng.index(32));
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => {
                let word = rng.pick(words).cloned().unwrap_or_default();
                bytes.splice(at..at, word);
            }
            5 => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.index(other.len() + 1)..]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.index(8),
            _ => {}
        }
    }
}
