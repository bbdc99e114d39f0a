//! Four readers of one mail: where we call it canonical, all find the same author, ids, parts and fields of ours.
//!
//! ```text
//!   golden mails, corpus, changed and generated mails ─▶ our scanner ─ canonical ─▶ mail-parser │ mailparse │ Python
//!                                                                                      └──── the same reading ────┘
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test's helpers fail loudly, and tell the figures"
)]

mod changes;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mail_parser::{HeaderName, HeaderValue, MessageParser, MimeHeaders as _, PartType};
use mailparse::{MailAddr, MailHeaderMap as _};
use postline_codec::mime::{field, outline, scan};
use postline_core::content::mail::Tags;
use postline_core::id::Address;
use postline_world::rng::Rng;

use changes::{change, files, words};

const FIELDS: [&str; 3] = ["Postline-Offer", "Postline-Accept", "Postline-Id"];
const CHANGED: u64 = 6_000;
const GENERATED: u64 = 10_000;
/// Fewer canonical mails than this, and little was compared.
const COMPARED: usize = 2_000;

/// What a reader finds in a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    from: Option<Address>,
    message_id: Vec<String>,
    answers: Vec<String>,
    parts: Vec<(usize, Option<String>)>,
    fields: Vec<Option<Tags>>,
}

fn answers(in_reply_to: Vec<String>, references: Vec<String>) -> Vec<String> {
    let mut all = Vec::new();
    for id in in_reply_to.into_iter().chain(references.into_iter().rev()) {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    all.truncate(postline_core::limits::REFERENCES);
    all
}

/// The tags of the one field there is: `None` also where there is none.
fn tags(found: &[String]) -> Option<Tags> {
    let [text] = found else { return None };
    field::parse(&text.replace("\r\n", "")).ok()
}

fn one_address(found: &[String]) -> Option<Address> {
    let [address] = found else { return None };
    Address::parse(address).ok()
}

fn ours(mail: &[u8]) -> Option<Reading> {
    let head = scan(mail);
    let canonical = head.canonical()?;
    Some(Reading {
        from: Some(canonical.from.clone()),
        message_id: vec![canonical.message_id.clone()],
        answers: canonical.answers.clone(),
        parts: outline(mail)?,
        fields: vec![canonical.offer.clone(), canonical.accept.clone(), canonical.carried.clone()],
    })
}

fn mail_parsers(mail: &[u8]) -> Option<Reading> {
    let message = MessageParser::default().parse(mail)?;
    let ids = |name: HeaderName<'static>| -> Vec<String> {
        let values = message.header_values(name).flat_map(|value| match value {
            HeaderValue::Text(id) => vec![id.to_string()],
            HeaderValue::TextList(list) => list.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        });
        values.collect()
    };
    let from: Vec<String> =
        message.from()?.iter().filter_map(|one| one.address.as_ref().map(ToString::to_string)).collect();
    let mut parts = Vec::new();
    let mut todo = vec![(0_usize, 0_u32)];
    while let Some((depth, number)) = todo.pop() {
        let part = message.part(number)?;
        let boundary = part.content_type().and_then(|media| media.attribute("boundary")).map(str::to_owned);
        match &part.body {
            PartType::Multipart(children) => {
                parts.push((depth, boundary));
                todo.extend(children.iter().rev().map(|child| (depth + 1, *child)));
            }
            _ => parts.push((depth, None)),
        }
    }
    let raw = |name: &str| -> Vec<String> {
        let found = message.headers_raw().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, text)| text.trim().to_owned()).collect()
    };
    Some(Reading {
        from: one_address(&from),
        message_id: ids(HeaderName::MessageId),
        answers: answers(ids(HeaderName::InReplyTo), ids(HeaderName::References)),
        parts,
        fields: FIELDS.iter().map(|name| tags(&raw(name))).collect(),
    })
}

fn mailparses(mail: &[u8]) -> Option<Reading> {
    let message = mailparse::parse_mail(mail).ok()?;
    // mailparse takes no comments beside ids, which RFC 5322 allows: what stands in angle brackets is taken by hand.
    let ids = |name: &str| -> Vec<String> {
        let found = message.headers.get_all_values(name);
        let within = |text: &String| -> Vec<String> {
            text.split('<').skip(1).filter_map(|rest| Some(rest.split_once('>')?.0.to_owned())).collect()
        };
        found.iter().flat_map(within).collect()
    };
    let mut from = Vec::new();
    for header in message.headers.get_all_headers("From") {
        for one in mailparse::addrparse_header(header).ok()?.iter() {
            match one {
                MailAddr::Single(one) => from.push(one.addr.clone()),
                MailAddr::Group(_) => return None,
            }
        }
    }
    let mut parts = Vec::new();
    let mut todo = vec![(0, &message)];
    while let Some((depth, part)) = todo.pop() {
        let multi = part.ctype.mimetype.starts_with("multipart/");
        parts.push((depth, part.ctype.params.get("boundary").filter(|_| multi).cloned()));
        todo.extend(part.subparts.iter().rev().map(|child| (depth + 1, child)));
    }
    let raw = |name: &str| -> Vec<String> {
        let found = message.headers.get_all_headers(name);
        found.iter().map(|header| String::from_utf8_lossy(header.get_value_raw()).trim().to_owned()).collect()
    };
    Some(Reading {
        from: one_address(&from),
        message_id: ids("Message-ID"),
        answers: answers(ids("In-Reply-To"), ids("References")),
        parts,
        fields: FIELDS.iter().map(|name| tags(&raw(name))).collect(),
    })
}

/// All mails at once, in one process.
fn pythons(mails: &[Vec<u8>]) -> Vec<Option<Reading>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    let mut python = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = python.stdin.take().unwrap();
    let mut bytes = Vec::new();
    for mail in mails {
        bytes.extend_from_slice(&u32::try_from(mail.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(mail);
    }
    let feeder = std::thread::spawn(move || input.write_all(&bytes));
    let said = python.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(said.status.success());
    let lines = String::from_utf8(said.stdout).unwrap();
    lines.lines().map(|line| pythons_reading(&serde_json::from_str(line).unwrap())).collect()
}

fn pythons_reading(said: &serde_json::Value) -> Option<Reading> {
    let list = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    said.get("from")?;
    let part = |part: &serde_json::Value| {
        (usize::try_from(part[0].as_u64().unwrap()).unwrap(), part[1].as_str().map(str::to_owned))
    };
    Some(Reading {
        from: one_address(&list(&said["from"])),
        message_id: list(&said["message_id"]),
        answers: answers(list(&said["in_reply_to"]), list(&said["references"])),
        parts: said["parts"].as_array()?.iter().map(part).collect(),
        fields: said["fields"].as_array()?.iter().map(|found| tags(&list(found))).collect(),
    })
}

/// Mails of which most are canonical, and the rest nearly.
fn generated(rng: &mut Rng) -> Vec<u8> {
    let pick = |rng: &mut Rng, of: &[&str]| rng.pick(of).copied().unwrap_or_default().to_owned();
    let from = pick(
        rng,
        &[
            "two@b.example",
            "Two <two@b.example>",
            "\"T, Wo\" <two@b.example>",
            "=?utf-8?q?Tw=C3=B6?= <two@b.example>",
            "\"one@a.example\" <two@b.example>",
            "Two\r\n <two@b.example>",
            "Tw\u{f6} <two@b.example>",
            "<two@b.example>",
            "\"a \\\" <x@y.example>\" <two@b.example>",
            "=?utf-8?b?PHhAeS5leGFtcGxlPg==?= <two@b.example>",
            "two@B.Example",
            "two+tag@b.example (Two)",
            "\"two\"@b.example",
            "Two One <two@b.example>,",
        ],
    );
    let id = pick(
        rng,
        &[
            "<m1@b.example>",
            "<m.1+2=3@b.example>",
            "\r\n <m1@b.example>",
            " <m1@b.example> ",
            "<m1@[192.0.2.1]>",
            "<a b@c>",
            "<m1>",
        ],
    );
    let re = pick(
        rng,
        &[
            "",
            "<m0@a.example>",
            "<m0@a.example> <m9@a.example>",
            "<m0@a.example>\r\n\t<m8@a.example>",
            "<m0@a.example><m9@a.example>",
            "x <m0@a.example>",
        ],
    );
    let tags = "v=1; t=1795000000; n=AAAAAAAAAAAAAAAAAAAAAA;\r\n\tnk=AAAA; b=AA AA";
    let mut mail = String::new();
    let name = |rng: &mut Rng, name: &str| if rng.chance(100) { name.to_uppercase() } else { name.to_owned() };
    mail.push_str(&format!("{}: {from}\r\nTo: one@a.example\r\n", name(rng, "From")));
    mail.push_str(&format!("Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n{}: {id}\r\n", name(rng, "Message-ID")));
    if !re.is_empty() {
        mail.push_str(&format!("In-Reply-To: {re}\r\nReferences: <m7@a.example> {re}\r\n"));
    }
    if rng.chance(500) {
        mail.push_str(&format!("{}: {tags}\r\n", name(rng, "Postline-Offer")));
    }
    if rng.chance(300) {
        mail.push_str(&format!("Postline-Accept:{tags}\r\nPostline-Id: v=1;id=AA\r\n"));
    }
    mail.push_str("MIME-Version: 1.0\r\n");
    part(rng, 0, &mut mail);
    mail.into_bytes()
}

/// A part's header and what follows it.
fn part(rng: &mut Rng, depth: usize, mail: &mut String) {
    if depth < 4 && rng.chance(600 - 100 * depth as u64) {
        let boundary = format!("{}{depth}{}", rng.pick(&["b", "=_q", "a b", "--", "x'y", "B"]).unwrap(), rng.below(3));
        let quoted = rng.chance(700) || boundary.contains([' ', '=']);
        let kind = rng.pick(&["mixed", "alternative", "digest", "Related", "signed"]).unwrap();
        let shown = if quoted { format!("\"{boundary}\"") } else { boundary.clone() };
        mail.push_str(&format!("Content-Type: multipart/{kind}; boundary={shown}\r\n\r\n"));
        mail.push_str(rng.pick(&["", "a preamble\r\n", "\r\n", "--\r\n"]).unwrap());
        for _ in 0..1 + rng.below(3) {
            mail.push_str(&format!("--{boundary}{}\r\n", rng.pick(&["", "", "", "", "", " "]).unwrap()));
            part(rng, depth + 1, mail);
        }
        mail.push_str(&format!(
            "--{boundary}--{}",
            rng.pick(&["\r\n", "\r\n", "", "\r\nan end\r\n", " \r\n"]).unwrap()
        ));
        return;
    }
    mail.push_str(rng.pick(&[
        "\r\n", "Content-Type: text/plain\r\n\r\n", "Content-Type: text/html; charset=\"utf-8\"\r\n\r\n",
        "Content-Type: message/rfc822\r\n\r\nFrom: x@y.example\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n\r\n",
        "Content-Type: application/octet-stream; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\n",
    ]).unwrap());
    mail.push_str(
        rng.pick(&["hello\r\n", "", "--\r\nsig\r\n", "aGk=\r\n", "From x\r\n\r\n.\r\n", "-- b01\r\n"]).unwrap(),
    );
}

fn mails() -> Vec<(String, Vec<u8>)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-codec/tests/golden");
    let mut found: Vec<_> = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
    found.extend(files("scanner"));
    found.sort();
    let mut mails: Vec<(String, Vec<u8>)> =
        found.into_iter().map(|file| (file.display().to_string(), std::fs::read(file).unwrap())).collect();
    let (seeds, words) = (mails.clone(), words("scanner"));
    for seed in 0..GENERATED {
        mails.push((format!("generated {seed}"), generated(&mut Rng::new(seed))));
    }
    for seed in 0..CHANGED {
        let mut rng = Rng::new(seed);
        let mut mail = if rng.chance(400) { generated(&mut rng) } else { rng.pick(&seeds).unwrap().1.clone() };
        let (_, other) = rng.pick(&seeds).unwrap();
        change(&mut mail, other, &words, &mut rng);
        mails.push((format!("changed {seed}"), mail));
    }
    mails
}

fn has_attached(mail: &[u8]) -> bool {
    let text = String::from_utf8_lossy(mail).to_ascii_lowercase();
    text.contains("message/") || text.contains("multipart/digest")
}

/// Attacks 23 to 31: two readers of one mail that find two mails in it.
#[test]
fn t_025_what_we_call_canonical_every_reader_reads_alike() {
    let canonical: Vec<(String, Vec<u8>, Reading)> =
        mails().into_iter().filter_map(|(name, mail)| ours(&mail).map(|reading| (name, mail, reading))).collect();
    let bytes: Vec<Vec<u8>> = canonical.iter().map(|(_, mail, _)| mail.clone()).collect();
    let pythons = pythons(&bytes);
    assert_eq!(pythons.len(), canonical.len());
    let mut differ = Vec::new();
    for ((name, mail, ours), python) in canonical.iter().zip(pythons) {
        let others = [("mail-parser", mail_parsers(mail)), ("mailparse", mailparses(mail)), ("python", python)];
        for (reader, theirs) in others {
            // mail-parser reads on in an attached mail whose own parts aren't closed, and loses what follows it
            // (SECURITY.md): of those its tree is not compared.
            let attached = reader == "mail-parser" && has_attached(mail);
            let theirs =
                theirs.map(|theirs| if attached { Reading { parts: ours.parts.clone(), ..theirs } } else { theirs });
            if theirs.as_ref() != Some(ours) {
                differ.push(format!(
                    "{name}: {reader} reads\n{theirs:?}\nand we read\n{ours:?}\nin\n{:?}\n",
                    String::from_utf8_lossy(mail)
                ));
            }
        }
    }
    println!("figure fuzz.mails_compared {}", canonical.len());
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ[..differ.len().min(12)].join("\n"));
    assert!(canonical.len() >= COMPARED, "only {} mails are canonical", canonical.len());
}
