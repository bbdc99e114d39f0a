//! What holds for any bytes at all, and for ordinary mails with anything done to them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use postline_codec::mime::streaming::Streaming;
use postline_codec::mime::{field, letter, name, report, scan};
use postline_core::content::mail::{Automatic, Letter, Text};
use postline_core::id::{Address, BlobRef, Domain, Hash, MailId};
use postline_core::limits;
use postline_core::time::Millis;
use proptest::prelude::*;

static GOLDEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut mails: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    mails.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    mails.sort();
    mails.iter().map(|path| fs::read(path).unwrap()).collect()
});

/// A mail that prints as text where a case fails.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What tends to matter in a mail.
const PIECES: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "<",
    ">",
    "(",
    ")",
    "\"",
    "\\",
    "@",
    "=?utf-8?q?",
    "?=",
    "--",
    "\r\n--",
    "--\r\n",
    "\r\n\r\n",
    "\r\n ",
    "From: x@y.example\r\n",
    "\r\nPostline-Offer: v=1; n=2\r\n",
    "Postline-Id:",
    "\r\npostline-accept : v=1",
    "Content-Type: multipart/mixed; boundary=b\r\n",
    "boundary=\"b\"",
    "é",
    "\u{2028}",
];

#[derive(Clone, Debug)]
enum Change {
    Insert(usize, &'static str),
    Delete(usize, usize),
    Repeat(usize, usize),
    Byte(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<usize>(), 0..200_usize).prop_map(|(at, len)| Change::Delete(at, len)),
        (any::<usize>(), 0..200_usize).prop_map(|(at, len)| Change::Repeat(at, len)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
    ]
}

fn changed(mail: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut mail = mail.to_vec();
    for change in changes {
        let at = |at: &usize| at % (mail.len() + 1);
        match change {
            Change::Insert(place, piece) => {
                let at = at(place);
                mail.splice(at..at, piece.bytes());
            }
            Change::Delete(place, len) => {
                let at = at(place);
                mail.drain(at..(at + len).min(mail.len()));
            }
            Change::Repeat(place, len) => {
                let at = at(place);
                let piece = mail[at..(at + len).min(mail.len())].to_vec();
                mail.splice(at..at, piece);
            }
            Change::Byte(place, byte) => {
                let at = at(place);
                if let Some(old) = mail.get_mut(at) {
                    *old = *byte;
                }
            }
        }
    }
    mail
}

fn a_mail() -> impl Strategy<Value = Bytes> {
    (prop::sample::select((0..GOLDEN.len()).collect::<Vec<_>>()), prop::collection::vec(change(), 0..6))
        .prop_map(|(index, changes)| Bytes(changed(&GOLDEN[index], &changes)))
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000).prop_map(Bytes),
        prop::collection::vec(prop::sample::select(PIECES), 0..100)
            .prop_map(|pieces| Bytes(pieces.concat().into_bytes())),
        a_mail(),
    ]
}

fn stamped(stamp: Vec<String>, strip: bool, mail: &[u8]) -> Vec<u8> {
    let text = Text::Came(BlobRef { sha256: Hash([0; 32]), len: mail.len() as u64 });
    let ours = Letter { from: None, text, stamp, strip, message_id: None };
    let (head, body) = mail.split_at(letter::head_len(mail));
    [letter::compose_head(&ours, head).as_slice(), body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_alike_twice_and_within_bounds(Bytes(bytes) in any_bytes()) {
        let head = scan(&bytes);
        prop_assert_eq!(&head, &scan(&bytes));
        prop_assert!(head.hops <= bytes.len());
        if let Some(id) = &head.message_id {
            prop_assert!(id.len() <= limits::MESSAGE_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        if let Some(mail) = head.canonical() {
            prop_assert!(mail.answers.len() <= limits::REFERENCES);
            prop_assert!(mail.to_cc.len() <= limits::HEADER_ADDRESSES);
            prop_assert_eq!(Some(&mail.message_id), head.message_id.as_ref());
            for tags in [&mail.offer, &mail.accept, &mail.carried].into_iter().flatten() {
                prop_assert!(!tags.is_empty() && tags.len() <= limits::FIELD_TAGS);
            }
        }
        prop_assert!(letter::head_len(&bytes) <= bytes.len());
    }

    #[test]
    fn a_relay_changes_nothing_that_counts(Bytes(bytes) in a_mail()) {
        let before = scan(&bytes);
        let room = bytes.split(|byte| *byte == b'\n').take_while(|line| line.len() > 1).count() < limits::HEADER_FIELDS;
        if let (Some(mail), true) = (before.canonical(), room) {
            let relayed = stamped(vec!["Received: from x by y; Fri, 7 Jun 2024 12:00:00 +0200".to_owned()], false, &bytes);
            let after = scan(&relayed);
            prop_assert_eq!(after.canonical(), Some(mail));
            prop_assert_eq!(after.hops, before.hops + 1);
        }
    }

    #[test]
    fn t_022_what_stands_below_a_stamp_is_no_part_of_it(Bytes(bytes) in any_bytes(), stamp in any::<String>()) {
        let sent = stamped(vec![format!("X-Stamp: 1 {stamp}")], false, &bytes);
        let end = sent.len() - bytes.len();
        prop_assert!(sent.ends_with(&bytes) && sent[..end].ends_with(b"\r\n"));
        prop_assert!(sent[..end].ends_with(b"\r\n\r\n") || !bytes.starts_with(b" ") && !bytes.starts_with(b"\t"));
        let text = String::from_utf8(sent[..end].to_vec()).unwrap();
        prop_assert!(text.trim_end().split("\r\n").skip(1).all(|line| line.starts_with(' ') && !line.trim().is_empty()));
    }

    #[test]
    fn t_023_no_field_that_a_user_brought_survives(Bytes(bytes) in any_bytes()) {
        let stripped = stamped(Vec::new(), true, &bytes);
        let head = &stripped[..letter::head_len(&stripped)];
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let lines = text.split(['\r', '\n']).filter(|line| !line.starts_with([' ', '\t']));
        for line in lines {
            let is_ours = line.starts_with("postline-") && line.contains(':');
            prop_assert!(!is_ours, "{:?}", line);
        }
        if let Some(mail) = scan(&stripped).canonical() {
            prop_assert_eq!((&mail.offer, &mail.accept, &mail.carried), (&None, &None, &None));
        }
        prop_assert_eq!(&stamped(Vec::new(), true, &stripped), &stripped);
        prop_assert_eq!(&stamped(Vec::new(), false, &bytes), &bytes);
    }

    #[test]
    fn tags_survive_writing_folding_and_reading(
        tags in prop::collection::btree_map("[a-z][a-z0-9]{0,15}", "[!-:<-~]{1,90}", 1..5)
    ) {
        for name in [field::FieldName::Offer, field::FieldName::Accept, field::FieldName::Id] {
            let line = field::line(name, &tags);
            prop_assert!(line.lines().all(|line| line.len() <= 78), "{}", line);
            let (written, body) = line.split_once(':').unwrap();
            prop_assert_eq!(written, name.as_str());
            let body = body.strip_suffix("\r\n").unwrap();
            prop_assert_eq!(field::parse(body), Ok(tags.clone()));
            let unfolded = field::unfolded(name, &tags);
            prop_assert_eq!(field::parse(unfolded.split_once(':').unwrap().1), Ok(tags.clone()));
        }
    }

    #[test]
    fn any_field_body_is_parsed_or_refused(body in "\\PC{0,600}|([a-z0-9=; \r\n\t]{0,80})") {
        if let Ok(tags) = field::parse(&body) {
            prop_assert_eq!(field::parse(&field::unfolded(field::FieldName::Id, &tags)["Postline-Id:".len()..]), Ok(tags));
        }
    }

    #[test]
    fn t_022_a_report_about_anything_is_a_canonical_automatic_mail(Bytes(about) in any_bytes(), why in any::<String>(), at: u64) {
        let address = |text| Address::parse(text).unwrap();
        let failed = [(address("carol@c.example"), why)];
        let (from, to) = (address("postmaster@b.example"), address("alice@a.example"));
        let mta = Domain::parse("b.example").unwrap();
        let bytes = report::render(MailId([1; 16]), &from, &to, &mta, &about, Millis(at), &failed);
        let head = scan(&bytes);
        let mail = head.canonical();
        prop_assert!(mail.is_some(), "{:?}\n{}", head, String::from_utf8_lossy(&bytes));
        let mail = mail.unwrap();
        prop_assert_eq!((&mail.from, mail.automatic), (&from, Some(Automatic::AutoSubmitted)));
        let original = scan(&about).message_id;
        prop_assert_eq!(mail.answers.first(), original.as_ref());
        prop_assert!(bytes.len() < 3 * limits::REPORT_HEADER_BYTES + 8 * 1024);
        prop_assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
    }

    #[test]
    fn t_017_a_shown_name_is_short_and_plain(text in any::<String>()) {
        let shown = name::display_name(&text);
        prop_assert!(shown.chars().count() <= limits::DISPLAY_NAME_CHARS);
        prop_assert!(shown.chars().all(|c| c == ' ' || !postline_core::id::hides_or_reorders(c)));
        prop_assert_eq!(&name::display_name(&shown), &shown);
    }
}

/// A mail that passes by in chunks, as [`Streaming`] reads it.
fn streamed(
    mail: &[u8],
    chunk: usize,
) -> Result<postline_core::content::mail::Canonical, postline_core::content::mail::Inert> {
    let (head, body) = mail.split_at(letter::head_len(mail));
    let mut streaming = Streaming::new(head);
    body.chunks(chunk.max(1)).for_each(|chunk| streaming.body(chunk));
    streaming.finish()
}

#[test]
fn a_mail_that_passes_by_is_read_as_a_whole_one_however_it_is_cut() {
    let mut canonical = 0;
    for mail in GOLDEN
        .iter()
        .chain(&[b"From: a@b.example\r\nDate: x\r\nMessage-ID: <1@b.example>\r\n\r\na\r\n\r\nb\r\n\r\n\r\n".to_vec()])
    {
        let Some(whole) = scan(mail).canonical().cloned() else { continue };
        canonical += 1;
        for chunk in [1, 2, 3, 7, 65_535] {
            let read = streamed(mail, chunk).unwrap();
            assert_eq!(read.content, whole.content, "in chunks of {chunk}");
            let automatic = whole.automatic.filter(|_| read.automatic.is_some());
            assert_eq!(read, postline_core::content::mail::Canonical { automatic, ..whole.clone() });
        }
    }
    assert!(canonical > 5, "the folder holds too few canonical mails to say anything");
}

proptest! {
    #[test]
    fn a_body_that_passes_by_has_the_hash_of_a_whole_one(body in "[a\r\n.\\x00]{0,40}", chunk in 1_usize..9) {
        let mail = format!("From: a@b.example\r\nDate: x\r\nMessage-ID: <1@b.example>\r\n\r\n{body}");
        let whole = scan(mail.as_bytes());
        prop_assert_eq!(streamed(mail.as_bytes(), chunk).ok(), whole.canonical().cloned());
    }
}
