//! Records of each format that was ever written keep restoring: they stand in `tests/old`, as hex, one a line.

use std::collections::BTreeMap;

use postline_core::store::Key;

use crate::kit::{Device, Person, talk};
use crate::stories::three;

/// What `tests/old/group-1.txt` was written from: by this code, when it was new.
fn written_by_now() -> (Device, Vec<u8>) {
    let (mut laptop, mut phone, mut his) = three();
    for text in ["one", "two"] {
        let sealed = his.seal(text.as_bytes());
        laptop.reads(&sealed);
    }
    let left_out = his.seal(b"left out");
    let sealed = his.seal(b"three");
    laptop.reads(&sealed);
    laptop.seal(b"mine");
    let change = phone.commit(&[], &[]).unwrap();
    laptop.apply(&change.commit).unwrap();
    laptop.commit(&[], &[]).unwrap();
    (laptop, left_out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_group_that_was_stored_in_format_1_is_restored() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old/group-1.txt");
    let old = std::fs::read_to_string(path).unwrap();
    let old: BTreeMap<&str, &str> = old.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut laptop = Person::new("ann").device("laptop");
    laptop.disk = old.iter().filter_map(|(key, value)| Some((Key::parse(key)?, unhex(value)))).collect();
    assert_eq!(laptop.disk.len(), 3, "group, reserve, epoch");
    laptop.crash();
    assert_eq!((laptop.group().epoch(), laptop.group().members().len()), (2, 3));
    assert!(laptop.group().has_pending());
    // Late, and from an epoch that is over.
    assert_eq!(laptop.reads(&unhex(old["left-out"])), b"left out");
    laptop.merge();
    laptop.seal(b"on");
}

/// What is written today is what was written then: where this fails, the format has changed, and needs another number,
/// a reader for the old one, and a file of its own.
#[test]
fn format_1_is_what_is_written() {
    let (laptop, left_out) = written_by_now();
    let mut lines: Vec<String> = laptop
        .disk
        .iter()
        .filter(|(key, _)| matches!(key, Key::Group(_) | Key::Reserve(_) | Key::Epoch(..)))
        .map(|(key, value)| format!("{key} {}", hex(value)))
        .collect();
    lines.push(format!("left-out {}", hex(&left_out)));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old/group-1.txt");
    let old = std::fs::read_to_string(path).unwrap_or_default();
    assert!(lines.iter().any(|line| line.starts_with(&Key::Group(talk()).to_string())));
    assert!(old.lines().eq(lines.iter().map(String::as_str)), "format 1 is now:\n{}", lines.join("\n"));
}
