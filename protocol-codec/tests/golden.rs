//! Mails as the world writes them, and as nobody should: `golden/*.eml`, each with what must be read in it.
//!
//! Those that begin with `hostile-` have one property each that makes two readers differ; the others are ordinary.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use postline_codec::mime::{field, letter, scan};
use postline_core::content::mail::{Head, Inert, Tags, Verdict};

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut mails: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    mails.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    mails.sort();
    mails
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

fn describe(head: &Head) -> String {
    let mut text = String::new();
    match &head.verdict {
        Verdict::Inert(why) => {
            writeln!(text, "inert: {why:?}").unwrap();
            head.message_id.iter().for_each(|id| writeln!(text, "message-id: {id}").unwrap());
        }
        Verdict::Canonical(mail) => {
            assert_eq!(head.message_id.as_ref(), Some(&mail.message_id));
            writeln!(text, "canonical\nfrom: {}", mail.from).unwrap();
            mail.to_cc.iter().for_each(|address| writeln!(text, "to: {address}").unwrap());
            if mail.has_group {
                writeln!(text, "has a group").unwrap();
            }
            writeln!(text, "message-id: {}", mail.message_id).unwrap();
            mail.answers.iter().for_each(|id| writeln!(text, "answers: {id}").unwrap());
            mail.automatic.iter().for_each(|sign| writeln!(text, "automatic: {sign:?}").unwrap());
            for (name, tags) in [("offer", &mail.offer), ("accept", &mail.accept), ("carried", &mail.carried)] {
                tags.iter().for_each(|tags| writeln!(text, "{name}: {}", list(tags)).unwrap());
            }
        }
    }
    if head.hops > 0 {
        writeln!(text, "hops: {}", head.hops).unwrap();
    }
    text
}

fn list(tags: &Tags) -> String {
    tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// [F-1]
#[test]
fn every_golden_mail_reads_as_expected() {
    let mut wrong = String::new();
    for path in golden() {
        let got = describe(&scan(&fs::read(&path).unwrap()));
        let want = fs::read_to_string(path.with_extension("expect")).unwrap();
        if got != want {
            write!(wrong, "\n== {}\n-- want\n{want}-- got\n{got}", name(&path)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_set_is_as_large_as_it_claims() {
    let (hostile, ordinary): (Vec<_>, Vec<_>) =
        golden().into_iter().partition(|path| name(path).starts_with("hostile-"));
    assert!(ordinary.len() >= 30 && hostile.len() >= 60, "{} and {}", ordinary.len(), hostile.len());
    for path in hostile {
        assert!(scan(&fs::read(&path).unwrap()).canonical().is_none(), "{}", name(&path));
    }
}

fn read(name: &str) -> Head {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.eml"));
    scan(&fs::read(path).unwrap())
}

fn assert_inert(why: Inert, names: &[&str]) {
    for name in names {
        assert_eq!(read(&format!("hostile-{name}")).verdict, Verdict::Inert(why), "{name}");
    }
}

#[test]
fn t_017_a_name_that_looks_like_an_address_is_no_address() {
    assert_inert(Inert::Address, &["address-as-name", "encoded-word-address", "encoded-word-across-addresses"]);
    let honest = read("person-utf7-claims");
    assert_eq!(honest.canonical().unwrap().from.to_string(), "bob@b.example");
}

#[test]
fn t_018_address_tricks_make_a_mail_inert() {
    assert_inert(
        Inert::Address,
        &["double-angle", "route-address", "comment-address", "comment-before-address", "empty-local-part"],
    );
    assert_inert(Inert::Address, &["group-in-from", "two-addresses-in-from", "semicolon-list"]);
}

#[test]
fn t_019_no_line_end_but_crlf() {
    assert_inert(Inert::LineEnds, &["bare-lf", "bare-cr", "bare-cr-in-header", "smuggled-end-of-data", "nul"]);
}

#[test]
fn t_024_a_header_line_that_readers_end_or_name_differently_makes_a_mail_inert() {
    assert_inert(Inert::HeaderLine, &["space-before-colon", "no-colon", "blank-fold", "fold-at-the-top"]);
    assert_inert(Inert::HeaderLine, &["mbox-from-line"]);
    assert_inert(Inert::HeaderText, &["control-in-subject", "line-separator-in-subject", "latin1-header"]);
}

#[test]
fn t_025_a_boundary_that_readers_find_in_different_places_makes_a_mail_inert() {
    let declared = ["no-boundary", "empty-boundary", "duplicate-boundary", "split-boundary", "encoded-boundary"];
    assert_inert(Inert::Boundary, &declared);
    assert_inert(Inert::Boundary, &["escaped-boundary", "boundary-prefix", "boundary-with-padding"]);
    assert_inert(Inert::Boundary, &["same-boundary-nested", "prefix-boundary-nested", "boundary-in-part-header"]);
    assert_inert(Inert::Boundary, &["missing-end", "inner-never-ends", "part-after-the-end", "no-parts"]);
}

#[test]
fn t_028_a_charset_changes_nothing_that_counts() {
    assert!(read("person-utf7-claims").canonical().is_some());
    assert_inert(Inert::ContentType, &["duplicate-charset", "split-charset"]);
}

/// [F-4]
#[test]
fn what_a_postline_id_vouches_for_survives_honest_relays_only() {
    for path in golden().iter().filter(|path| !name(path).starts_with("hostile-")) {
        let mail = fs::read(path).unwrap();
        let content = |bytes: &[u8]| scan(bytes).canonical().map(|mail| mail.content);
        let original = content(&mail);
        assert!(original.is_some(), "{}", name(path));

        let received = b"Received: from x.example by y.example;\r\n Fri, 7 Jun 2024 12:00:00 +0200\r\n".as_slice();
        assert_eq!(content(&[received, &mail].concat()), original, "{}: a field on top", name(path));
        let (head, body) = mail.split_at(letter::head_len(&mail));
        if head.len() < mail.len() {
            assert_eq!(content(&[&mail, b"\r\n\r\n".as_slice()].concat()), original, "{}: lines below", name(path));
            let fewer = [head, body.trim_ascii_end(), b"\r\n"].concat();
            if body.ends_with(b"\r\n\r\n") && !body.ends_with(b" \r\n\r\n") {
                assert_eq!(content(&fewer), original, "{}: fewer lines below", name(path));
            }
        }

        let mut touched = mail.clone();
        let at = letter::head_len(&mail);
        if let Some(letter) = touched.iter().skip(at).position(u8::is_ascii_lowercase) {
            touched[at + letter] ^= 0x20;
            assert_ne!(content(&touched), original, "{}: a letter of the body", name(path));
        }
        for field in ["Date: ", "Subject: "] {
            let starts = |at: &usize| mail[*at..].starts_with(field.as_bytes()) && (*at == 0 || mail[at - 1] == b'\n');
            if let Some(at) = (0..mail.len()).find(starts) {
                let (before, after) = mail.split_at(at + field.len());
                assert_ne!(content(&[before, b"1", after].concat()), original, "{}: {field}", name(path));
            }
        }
    }
}

#[test]
fn a_field_that_we_wrote_is_read_back_through_a_composed_mail() {
    let mail = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/webmail-with-offer.eml")).unwrap();
    let offer = scan(&mail).canonical().unwrap().offer.clone().unwrap();
    let stamp = vec![field::unfolded(field::FieldName::Offer, &offer)];
    let ours = postline_core::content::mail::Letter {
        from: None,
        text: postline_core::content::mail::Text::Came(postline_core::id::BlobRef {
            sha256: postline_core::id::Hash([0; 32]),
            len: mail.len() as u64,
        }),
        stamp,
        strip: true,
        message_id: None,
    };
    let (head, body) = mail.split_at(letter::head_len(&mail));
    let sent = [letter::compose_head(&ours, head).as_slice(), body].concat();
    let (before, after) = (scan(&mail), scan(&sent));
    assert_eq!(before, after);
    let wide = String::from_utf8_lossy(&sent).lines().filter(|line| line.len() > 78).count();
    assert_eq!(wide, 0);
}
