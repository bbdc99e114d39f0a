//! The attacks on the mail reader and writer that carry a number, and are no single golden mail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

use std::time::{Duration, Instant};

use postline_codec::mime::field::{self, FieldName};
use postline_codec::mime::{letter, report, scan};
use postline_core::content::mail::{Automatic, Canonical, Inert, Letter, Tags, Text, Verdict};
use postline_core::id::{Address, BlobRef, Domain, Hash, MailId};
use postline_core::limits;
use postline_core::time::Millis;

const HEADER: &str = "Date: Fri, 7 Jun 2024 12:00:00 +0200\r\nFrom: bob@b.example\r\nTo: alice@a.example\r\n\
                      Message-ID: <m1@a.example>\r\n";

fn mail(fields: &str, body: &str) -> Vec<u8> {
    format!("{HEADER}{fields}\r\n{body}").into_bytes()
}

fn inert(bytes: &[u8]) -> Option<Inert> {
    match scan(bytes).verdict {
        Verdict::Inert(why) => Some(why),
        Verdict::Canonical(_) => None,
    }
}

fn canonical(bytes: &[u8]) -> Canonical {
    match scan(bytes).verdict {
        Verdict::Canonical(mail) => *mail,
        Verdict::Inert(why) => panic!("inert: {why}"),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn letter(stamp: &[&str], strip: bool) -> Letter {
    let text = Text::Came(BlobRef { sha256: Hash([0; 32]), len: 0 });
    Letter { from: None, text, stamp: stamp.iter().map(ToString::to_string).collect(), strip, message_id: None }
}

fn a_report(about: &[u8], why: &str) -> Vec<u8> {
    let mta = Domain::parse("post.b.example").unwrap();
    let failed = [(address("carol@c.example"), why.to_owned()), (address("jörg@c.example"), why.to_owned())];
    let from = address("mailer-daemon@b.example");
    report::render(MailId([7; 16]), &from, &address("alice@a.example"), &mta, about, Millis(1_717_754_400_000), &failed)
}

#[test]
fn t_007_a_report_is_never_a_reply() {
    let about = mail("Subject: hello\r\nPostline-Offer: v=1; n=quoted\r\n", "words\r\n");
    let bytes = a_report(&about, "550 5.1.1 no such user");
    let read = canonical(&bytes);
    assert_eq!(read.automatic, Some(Automatic::AutoSubmitted));
    assert_eq!((read.answers, read.offer), (vec!["m1@a.example".to_owned()], None));
    assert_eq!(read.from, address("mailer-daemon@b.example"));
    assert_eq!(bytes, a_report(&about, "550 5.1.1 no such user"), "the same report twice");
    let text = String::from_utf8(bytes).unwrap();
    for line in [
        "Content-Type: multipart/report; report-type=\"delivery-status\";",
        "Date: Fri, 7 Jun 2024 10:00:00 +0000",
        "Message-ID: <07070707070707070707070707070707.report@post.b.example>",
        "Reporting-MTA: dns; post.b.example",
        "Final-Recipient: rfc822; carol@c.example",
        "Final-Recipient: utf-8; j\\x{F6}rg@c.example",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Subject: hello",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line}\n{text}");
    }
    assert!(!text.contains("words"), "the body is not sent back");
}

#[test]
fn t_022_no_word_of_a_peer_begins_a_field_or_a_part() {
    let evil = "550 5.1.1 no\r\nBcc: eve@e.example\r\n\r\n--x\u{2028}Status: 2.0.0\0\u{202e} \u{1b}[2J";
    let about = b"Subject: a\rBcc: eve@e.example\nMessage-ID: <m\0@a.example>\r\n--=_00--\r\nX: \xff\r\n\r\n";
    let bytes = a_report(about, evil);
    let read = canonical(&bytes);
    assert!(read.answers.is_empty(), "an unclean message id is not repeated");
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("\nBcc: eve@e.example\r\n\r\n") && !text.contains("\nStatus: 2.0.0"));
    assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\r' | '\n' | '\t')));

    let stamps = ["Received: from x\r\nBcc: eve@e.example", "Postline-Id: v=1;\u{2028}b=2"];
    let head = letter::compose_head(&letter(&stamps, true), b"A: 1\r\n\r\n");
    let want = "Received: from x  Bcc: eve@e.example\r\nPostline-Id: v=1; b=2\r\nA: 1\r\n\r\n";
    assert_eq!(String::from_utf8(head).unwrap(), want);
}

#[test]
fn t_023_a_second_field_of_any_that_counts_makes_a_mail_inert() {
    for name in [
        "From",
        "To",
        "Cc",
        "Date",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Sender",
        "Reply-To",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "Postline-Offer",
        "Postline-Accept",
        "Postline-Id",
    ] {
        let value = match name {
            "From" | "To" | "Cc" | "Sender" | "Reply-To" => "x@y.example",
            "Message-ID" | "In-Reply-To" | "References" => "<x@y.example>",
            "MIME-Version" => "1.0",
            "Content-Type" => "text/plain",
            "Content-Transfer-Encoding" => "7bit",
            _ => "v=1",
        };
        let twice = format!("{name}: {value}\r\n{}: {value}\r\n", name.to_uppercase());
        assert_eq!(inert(&mail(&twice, "")), Some(Inert::Duplicate), "{name}");
    }
}

#[test]
fn t_026_forty_thousand_levels_need_no_stack() {
    let levels = 40_000;
    let forwarded = mail("Content-Type: message/rfc822\r\n", &"Content-Type: message/rfc822\r\n\r\n".repeat(levels));
    let nested: String = (0..levels)
        .map(|level| format!("--b{level:05}\r\nContent-Type: multipart/mixed; boundary=b{:05}\r\n\r\n", level + 1))
        .collect();
    let multiparts = mail("Content-Type: multipart/mixed; boundary=b00000\r\n", &nested);
    let in_parts: String = "--b\r\nContent-Type: message/rfc822\r\n\r\n".repeat(levels);
    let parts = mail("Content-Type: multipart/digest; boundary=b\r\n", &format!("{in_parts}--b--\r\n"));
    let parentheses = mail(&format!("Cc: {}\r\n", "(".repeat(16_000)), "");
    let run = move || {
        assert_eq!(inert(&forwarded), None, "one leaf, whatever stands in it");
        assert_eq!(inert(&multiparts), Some(Inert::Bound));
        assert_eq!(inert(&parts), Some(Inert::Bound));
        assert_eq!(inert(&parentheses), Some(Inert::Address));
    };
    std::thread::Builder::new().stack_size(64 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn t_026_the_bounds_hold_at_them_and_above() {
    let fields = |n: usize| mail(&"X: y\r\n".repeat(n - 4), "");
    assert_eq!(inert(&fields(limits::HEADER_FIELDS)), None);
    assert_eq!(inert(&fields(limits::HEADER_FIELDS + 1)), Some(Inert::Bound));

    let field = |n: usize| mail(&format!("X: {}\r\n", "y".repeat(n - 3)), "");
    assert_eq!(inert(&field(limits::HEADER_FIELD_BYTES)), None);
    assert_eq!(inert(&field(limits::HEADER_FIELD_BYTES + 1)), Some(Inert::Bound));

    let long = format!("X: {}\r\n", "y".repeat(16_000));
    let header = |n: usize| {
        let filled = long.repeat(16);
        let rest = n - HEADER.len() - filled.len() - "X: \r\n\r\n".len();
        mail(&format!("{filled}X: {}\r\n", "y".repeat(rest)), "")
    };
    assert_eq!(inert(&header(limits::HEADER_BYTES)), None);
    assert_eq!(inert(&header(limits::HEADER_BYTES + 1)), Some(Inert::Bound));

    let parts = |n: usize| {
        let parts = "--b\r\n\r\nx\r\n".repeat(n - 1);
        mail("Content-Type: multipart/mixed; boundary=b\r\n", &format!("{parts}--b--\r\n"))
    };
    assert_eq!(inert(&parts(limits::MIME_PARTS)), None);
    assert_eq!(inert(&parts(limits::MIME_PARTS + 1)), Some(Inert::Bound));

    let depth = |n: usize| {
        let open: String =
            (1..n).map(|i| format!("--{i}b\r\nContent-Type: multipart/mixed; boundary={}b\r\n\r\n", i + 1)).collect();
        let close: String = (1..=n).rev().map(|i| format!("--{i}b--\r\n")).collect();
        mail("Content-Type: multipart/mixed; boundary=1b\r\n", &format!("{open}--{n}b\r\n\r\nx\r\n{close}"))
    };
    assert_eq!(inert(&depth(limits::MIME_DEPTH)), None);
    assert_eq!(inert(&depth(limits::MIME_DEPTH + 1)), Some(Inert::Bound));

    let parameters = |n: usize| {
        let list: String = (0..n).map(|i| format!("; p{i}=x")).collect();
        mail(&format!("Content-Type: text/plain{list}\r\n"), "")
    };
    assert_eq!(inert(&parameters(limits::MIME_PARAMETERS)), None);
    assert_eq!(inert(&parameters(limits::MIME_PARAMETERS + 1)), Some(Inert::Bound));

    let addresses = |n: usize| mail(&format!("Cc: {}\r\n", vec!["a@b.example"; n - 2].join(",")), "");
    assert_eq!(inert(&addresses(limits::HEADER_ADDRESSES)), None);
    assert_eq!(inert(&addresses(limits::HEADER_ADDRESSES + 1)), Some(Inert::Bound));

    let mut big = mail("", "");
    big.resize(limits::MAIL_BYTES as usize, b'x');
    assert_eq!(inert(&big), None);
    big.push(b'x');
    assert_eq!(inert(&big), Some(Inert::Bound));
}

#[test]
fn answers_are_bounded_newest_first_and_none_twice() {
    let references: String = (0..100).map(|i| format!(" <{i}@a.example>\r\n")).collect();
    let read = canonical(&mail(&format!("In-Reply-To: <99@a.example>\r\nReferences:\r\n{references}"), ""));
    let want: Vec<String> = (0..limits::REFERENCES).map(|i| format!("{}@a.example", 99 - i)).collect();
    assert_eq!(read.answers, want);
}

#[test]
fn t_027_floods_cost_no_more_than_their_length() {
    let boundary = "b".repeat(69);
    let deep: String = (1..8)
        .map(|i| format!("--{}{boundary}\r\nContent-Type: multipart/mixed; boundary={i}{boundary}\r\n\r\n", i - 1))
        .collect();
    let almost = format!("--7{}\r\n", "b".repeat(68));
    type Flood<'f> = &'f dyn Fn(usize) -> Vec<u8>;
    let floods: [(&str, Flood<'_>); 6] = [
        ("empty lines", &|n| mail("", &"\r\n".repeat(n / 2))),
        ("lines that are almost boundaries", &|n| {
            let fields = format!("Content-Type: multipart/mixed; boundary=0{boundary}\r\n");
            mail(&fields, &format!("{deep}{}", almost.repeat(n / almost.len())))
        }),
        ("a header that never ends", &|n| "X: y\r\n".repeat(n / 6).into_bytes()),
        ("a field that never ends", &|n| format!("Message-ID: {}", " x\r\n".repeat(n / 4)).into_bytes()),
        ("returns", &|n| vec![b'\r'; n]),
        ("message ids", &|n| "Message-ID: <a@b.example>\r\n".repeat(n / 27).into_bytes()),
    ];
    for (name, flood) in floods {
        let (once, twice) = (cost(&flood(500_000)), cost(&flood(1_000_000)));
        assert!(twice < 4 * once + Duration::from_millis(20), "{name}: {once:?}, twice as much: {twice:?}");
    }
}

#[test]
fn t_027_a_full_header_of_the_worst_fields_is_read_at_once() {
    let fill = |piece: &str| piece.repeat(16_000 / piece.len());
    for (name, fields) in [
        ("encoded words that never end", format!("Cc: {}<a@b.example>\r\n", fill("=?ab?q? "))),
        ("encoded words in quotes", format!("Cc: \"{}\" <a@b.example>\r\n", fill("=?ab?q? "))),
        ("quotes", format!("Cc: {} <a@b.example>\r\n", fill("\"\""))),
        ("escapes", format!("Cc: \"{}\" <a@b.example>\r\n", fill("\\\""))),
        ("words", format!("Cc: {} <a@b.example>\r\n", fill("a "))),
        ("colons", format!("Cc: {}\r\n", fill("a:;,"))),
        ("brackets", format!("References: {}\r\n", fill("<a>"))),
        ("open brackets", format!("References: {}\r\n", fill("<"))),
        ("comments", format!("References: {}\r\n", fill("()"))),
        ("parameters", format!("Content-Type: text/plain{}\r\n", fill(";a=b"))),
        ("tags", format!("Postline-Offer: {}\r\n", fill("a=b;"))),
        ("white space", format!("Postline-Offer: v={}1\r\n", fill(" "))),
    ] {
        let took = cost(&mail(&fields, ""));
        assert!(took < Duration::from_millis(200), "{name}: {took:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a cost is measured, nothing is decided by it")]
fn cost(bytes: &[u8]) -> Duration {
    let once = || {
        let begin = Instant::now();
        std::hint::black_box(scan(bytes));
        begin.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

#[test]
fn t_030_an_attached_mail_is_one_leaf_however_it_is_encoded() {
    let inner = "From: eve@e.example\r\nPostline-Accept: v=1\r\nContent-Type: multipart/mixed; boundary=never\r\n\r\n";
    for (encoding, body) in [
        ("7bit", inner.to_owned()),
        ("base64", "RnJvbTogZXZlQGUuZXhhbXBsZQ0KUG9zdGxpbmUtQWNjZXB0OiB2PTENCg0K\r\n".to_owned()),
        ("quoted-printable", "From: eve=40e.example\r\n=50ostline-Accept: v=3D1\r\n\r\n".to_owned()),
    ] {
        let fields = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n");
        let read = canonical(&mail(&fields, &body));
        assert_eq!((read.from, read.accept, read.automatic), (address("bob@b.example"), None, None), "{encoding}");
    }
}

#[test]
fn t_031_hidden_parts_are_only_text() {
    let uu = "begin 644 mail.eml\r\n(4&]S=&QI;F4M\r\n`\r\nend\r\n";
    let yenc = "=ybegin line=128 size=4 name=x\r\nabcd\r\n=yend size=4\r\n";
    for body in [uu, yenc, "--b\r\nPostline-Accept: v=1\r\n\r\n--b--\r\n"] {
        let read = canonical(&mail("Content-Type: text/plain\r\n", body));
        assert_eq!((read.offer, read.accept, read.carried), (None, None, None));
    }
    let tnef = mail(
        "Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n",
        "eJ8+\r\n",
    );
    assert_eq!(inert(&tnef), None);
}

#[test]
fn a_long_stamp_is_folded_and_read_back() {
    let tags: Tags = [("v", "1"), ("ak", &"A".repeat(43)), ("b", &"B".repeat(200)), ("h", "post.b.example:7678")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let stamp = field::unfolded(FieldName::Accept, &tags);
    assert!(stamp.starts_with("Postline-Accept: v=1; ak=") && stamp.ends_with(&"B".repeat(200)));
    let head = letter::compose_head(&letter(&[&stamp], false), HEADER.as_bytes());
    let text = String::from_utf8(head.clone()).unwrap();
    assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    assert_eq!(canonical(&head).accept, Some(tags.clone()));
    assert!(text.starts_with(&field::line(FieldName::Accept, &tags)));
}
