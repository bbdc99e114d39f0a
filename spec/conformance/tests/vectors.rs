//! The committed vectors: those that the generator makes, enough refusals, and about requirements that exist.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's helpers may fail loudly"
)]

use std::collections::BTreeSet;
use std::path::Path;

use postline_conformance::answer::{Answer, Class};
use postline_conformance::generate;
use postline_conformance::input::hex;
use postline_conformance::run::{Asked, Skips, run};
use postline_conformance::vector::{Family, Vector};

fn spec(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn committed() -> Vec<Family> {
    Family::read_all(&spec("vectors")).unwrap()
}

#[test]
fn the_committed_vectors_are_those_that_the_generator_makes() {
    let made = generate::families().unwrap();
    assert_eq!(made, generate::families().unwrap(), "the same each time");
    for family in &made {
        let path = spec("vectors").join(format!("{}.json", family.name));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text == family.to_text(), "{}: `postline-conformance generate` makes another", path.display());
    }
    assert_eq!(committed(), made, "a file that nobody makes");
}

#[test]
fn two_vectors_of_five_are_refusals_and_every_class_is_among_them() {
    let families = committed();
    for family in families.iter().filter(|family| family.name != "codes") {
        let (all, negative) = (family.vectors.len(), family.negative());
        assert!(5 * negative >= 2 * all, "{}: {negative} of {all}", family.name);
    }
    let vectors = || families.iter().flat_map(|family| &family.vectors);
    let all: usize = vectors().count();
    let negative: usize = families.iter().map(Family::negative).sum();
    assert!(5 * negative >= 2 * all, "{negative} of {all}");
    for class in Class::ALL {
        assert!(vectors().any(|vector| vector.want == Answer::Error(class)), "{class:?} is never wanted");
    }
    let dial = families.iter().find(|family| family.name == "dial").unwrap();
    let asked = dial.vectors.iter().filter(|vector| vector.op == "dial.judge");
    let addresses: BTreeSet<_> = asked.filter_map(|vector| vector.input.get("ip")).map(ToString::to_string).collect();
    assert!(addresses.len() >= 60, "{} addresses", addresses.len());
}

#[test]
fn every_vector_has_a_name_of_its_own_and_requirements_that_exist() {
    let chapters: String = [
        "00-overview",
        "01-names",
        "02-trust",
        "03-link",
        "04-express-mail",
        "06-codes",
        "07-identity",
        "08-sealing",
        "09-hub",
        "10-sessions",
        "11-content",
        "12-revisions",
        "13-marks",
        "14-presence",
        "15-attachments",
        "16-control",
    ]
    .map(|name| std::fs::read_to_string(spec(&format!("{name}.md"))).unwrap())
    .concat();
    let format = std::fs::read_to_string(spec("vectors/README.md")).unwrap();
    let mut ids = BTreeSet::new();
    for vector in committed().iter().flat_map(|family| &family.vectors) {
        assert!(ids.insert(vector.id.clone()), "{} stands twice", vector.id);
        assert!(!vector.requirements.is_empty() && !vector.shows.is_empty(), "{}", vector.id);
        for id in &vector.requirements {
            assert!(chapters.contains(&format!("**[{id}]**")), "{}: [{id}] is defined nowhere", vector.id);
        }
        assert!(format.contains(&format!("`{}`", vector.op)), "{}: {} stands not in the format", vector.id, vector.op);
    }
    for class in Class::ALL {
        assert!(format.contains(&format!("| `{}` |", class.name())), "{class:?} stands not in the format");
    }
}

#[test]
fn ours_passes() {
    let report = run(&committed(), &mut Asked::Ourselves, &Skips::default());
    assert!(report.is_good(), "{}", report.to_text());
    print!("{}", report.to_text());
}

/// Each frame of sealed conversations is taken in its one form, and refused in others: [H-1] [U-1].
#[test]
fn every_frame_of_sealed_conversations_is_taken_and_refused() {
    let families = committed();
    let talks = families.iter().find(|family| family.name == "talks").unwrap();
    let kind = |vector: &&Vector| vector.input["chunks"][0].as_str().map(|chunk| chunk[8..10].to_owned());
    let files = families.iter().find(|family| family.name == "attachments").unwrap();
    for wanted in 16..=31_u8 {
        let of_kind = || {
            talks.vectors.iter().chain(&files.vectors).filter(|vector| kind(vector) == Some(format!("{wanted:02x}")))
        };
        let (all, negative) = (of_kind().count(), of_kind().filter(|vector| vector.is_negative()).count());
        assert!(negative >= 6 && all > negative, "type {wanted}: {all} vectors, {negative} refusals");
    }
}

/// Values that the text alone gives: ids, tags, chains, leaves and changes of logs, [H-2] [H-3] [H-4] [H-5] [H-7]; Hellos
/// and proofs of sessions, [U-3] [U-4].
#[test]
fn what_logs_and_sessions_are_made_of_is_among_the_vectors() {
    let families = committed();
    let vectors = || families.iter().flat_map(|family| &family.vectors);
    for id in ["H-2", "H-3", "H-4", "H-5", "H-7", "U-3", "U-4"] {
        let about = vectors().filter(|vector| vector.requirements.iter().any(|named| named == id));
        assert!(about.count() >= 2, "[{id}]");
    }
}

/// What the text shows as bytes, spaces and cuts aside, is what the vectors have. [F-3] [F-4] [T-6] [L-4] [K-2]
#[test]
fn the_examples_of_the_text_are_vectors() {
    let values: String = committed().iter().map(Family::to_text).collect();
    let mut found = 0;
    for chapter in [
        "01-names.md",
        "02-trust.md",
        "03-link.md",
        "07-identity.md",
        "09-hub.md",
        "10-sessions.md",
        "11-content.md",
        "15-attachments.md",
    ] {
        let text = std::fs::read_to_string(spec(chapter)).unwrap();
        for block in text.split("```").skip(1).step_by(2).filter(|block| block.starts_with('\n')) {
            // Hexadecimal of at least 32 bytes in one run: hashes, keys and halves of signatures.
            for run in block.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() == 64) {
                assert!(values.contains(run) || keys().contains(run), "{chapter}: {run} is in no vector");
                found += 1;
            }
            for field in block.split('\n').filter_map(|line| line.trim().strip_prefix("b=")) {
                assert!(values.contains(field), "{chapter}: {field} is in no vector");
                found += 1;
            }
        }
    }
    assert!(found >= 18, "{found} examples were found");
    let text = std::fs::read_to_string(spec("02-trust.md")).unwrap();
    let signed: Vec<String> = text
        .split("signed     85 ")
        .skip(1)
        .map(|after| {
            let (bytes, _) = after.split_once("\nb ").unwrap();
            format!("85{}", bytes.replace([' ', '\n'], ""))
        })
        .collect();
    assert_eq!(signed.len(), 2);
    for bytes in signed {
        assert!(values.contains(&bytes), "the canonical bytes of the text, {bytes}, are in no vector");
    }
}

/// The public keys of the examples, from their seeds.
fn keys() -> String {
    [1, 2].map(|seed| hex(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key())).concat()
}
