//! Logs and traces: one line an event, with its id, without secrets, and fit for a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use postline_core::content::mail::Inert;
use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, CarryId, DeviceKey, Domain, Lane, LinkId, MailId, Mailbox, NodeKey, Pair, SessionId};
use postline_core::seal::secret::Secret;
use postline_core::server::Event;
use postline_core::server::io::{Carrier, KeysState, Mark, Peer, TrustState};
use postline_core::time::Millis;
use postline_core::wire::frame::Reached;
use postline_node::config::{Log, LogFormat, LogLevel};
use postline_node::log::{mail_line, subscriber, trace_line};
use postline_node::shown::hides;

const MAIL: MailId = MailId([0xab; 16]);

/// Every kind of event, each string of a peer's being `text`.
fn every_event(text: &str) -> Vec<Event> {
    let address = |text: &str| Address::parse(text).unwrap();
    let pair = Pair { ours: address("one@a.example"), theirs: address("two@b.example") };
    let message_id = Some(text.to_owned());
    let (nk, dk) = (NodeKey([7; 32]), DeviceKey([6; 32]));
    let lanes =
        [Lane::Mailbox(Mailbox("one".into())), Lane::Domain(Domain::parse("b.example").unwrap()), Lane::Node(nk)];
    let mut events: Vec<Event> =
        lanes.map(|lane| Event::Waits { mail: MAIL, lane, until: Millis(1_000), why: text.to_owned() }).into();
    for mark in [Mark::Queued, Mark::Sent, Mark::Delivered, Mark::Failed(text.to_owned())] {
        let rcpts = (0..20).map(|n| address(&format!("r{n}@b.example"))).collect();
        events.push(Event::Marked { mail: MAIL, message_id: message_id.clone(), rcpts, mark, carrier: Carrier::Link });
    }
    for peer in
        [Peer::Pair(pair.clone()), Peer::Node(nk), Peer::Link(LinkId(3)), Peer::Session(SessionId(4)), Peer::Device(dk)]
    {
        events.push(Event::Refused { peer, why: PeerFault::WrongKey { got: nk, want: NodeKey([8; 32]) } });
    }
    events.extend([
        Event::Arrived { mail: MAIL, message_id, carrier: Carrier::Smtp, inert: Some(Inert::LineEnds) },
        Event::Duplicate { mail: MAIL, carrier: Carrier::Mailbox },
        Event::Keys { pair: pair.clone(), from: KeysState::Proven, to: KeysState::Suspended },
        Event::Trust { pair, from: TrustState::Trusted, to: TrustState::Suspended },
        Event::SessionUp { session: SessionId(4), address: address("one@a.example"), dk },
        Event::SessionDown { session: SessionId(4), address: address("one@a.example"), dk, code: Code::Login },
        Event::Enrolled { address: address("one@a.example"), dk, mailbox: Mailbox(text.to_owned()) },
        Event::Unenrolled { address: address("one@a.example"), dk },
        Event::LinkUp { nk, link: LinkId(3) },
        Event::LinkDown { nk, code: Code::Timeout },
        Event::LateMark { id: CarryId([1; 16]), reached: Reached::Delivered },
    ]);
    events
}

/// What is logged by `say`.
fn logged(format: LogFormat, say: impl FnOnce()) -> String {
    let sink = Arc::new(Mutex::new(Vec::new()));
    let to = sink.clone();
    let writer = move || Sink(to.clone());
    tracing::subscriber::with_default(subscriber(Log { format, level: LogLevel::Trace }, writer, false), say);
    let bytes = sink.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_event_is_one_line_with_its_id() {
    let events = every_event("550 no");
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = logged(format, || events.iter().for_each(mail_line));
        assert_eq!(text.lines().count(), events.len(), "{text}");
        for (line, event) in text.lines().zip(&events) {
            let names_mail = trace_line(event).is_some();
            assert_eq!(line.contains(&MAIL.to_string()), names_mail, "{line}");
        }
    }
}

#[test]
fn json_lines_have_stable_keys() {
    let event = Event::Marked {
        mail: MAIL,
        message_id: Some("x@y".into()),
        rcpts: vec![Address::parse("two@b.example").unwrap()],
        mark: Mark::Failed("550 no".into()),
        carrier: Carrier::Smtp,
    };
    let text = logged(LogFormat::Json, || mail_line(&event));
    let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (key, value) in [
        ("level", "WARN"),
        ("target", "postline"),
        ("event", "marked"),
        ("mail", &MAIL.to_string()),
        ("message_id", "x@y"),
        ("carrier", "smtp"),
        ("rcpts", "two@b.example"),
        ("mark", "failed"),
        ("why", "550 no"),
    ] {
        assert_eq!(line.get(key).and_then(|value| value.as_str()), Some(value), "{key} of {text}");
    }
    assert!(!line.contains_key("lane") && !line.contains_key("node"), "what isn't there isn't named: {text}");
}

#[test]
fn a_trace_keeps_what_a_mail_did_and_nothing_else() {
    let kept: Vec<_> = every_event("why").iter().filter_map(trace_line).collect();
    assert_eq!(kept.len(), 9);
    for line in &kept {
        assert_eq!(line.mail, MAIL);
        let json: serde_json::Value = serde_json::from_str(&line.json).unwrap();
        assert_eq!(json["mail"], MAIL.to_string());
    }
    let marked = kept.iter().find(|line| line.json.contains("\"marked\"")).unwrap();
    let arrived = kept.iter().find(|line| line.json.contains("\"arrived\"")).unwrap();
    assert_eq!((arrived.message_id.as_deref(), marked.message_id.as_deref()), (Some("why"), None), "one leads to all");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&marked.json).unwrap()["rcpts"].as_array().unwrap().len(), 20);
}

#[test]
fn t_104_peers_strings_reach_no_terminal_as_they_are() {
    let nasty = "550 \x1b]0;owned\x07\r\nfake=line \u{9b}2J\u{202e}\u{200b}\u{7f}\0";
    let events = every_event(nasty);
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = logged(format, || events.iter().for_each(mail_line));
        assert!(!text.chars().any(|c| c != '\n' && hides(c)), "{text:?}");
        assert_eq!(text.lines().count(), events.len(), "no line can be forged: {text}");
    }
    for json in events.iter().filter_map(trace_line).map(|line| line.json) {
        assert!(!json.chars().any(hides), "{json:?}");
        // Nor after a program has read it and prints what it read.
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let strings = value.as_object().unwrap().values().filter_map(|value| value.as_str());
        strings.for_each(|text| assert!(!text.chars().any(hides), "{text:?}"));
    }
}

#[test]
fn a_peer_can_make_no_line_long() {
    for long in ["x", "\x1b", "\"", "\\", "ü"] {
        let mut events = every_event(&long.repeat(100_000));
        let rcpts = (100..200)
            .map(|n| Address::parse(&format!("{n}{}@{}b.example", "r".repeat(60), "d.".repeat(100))).unwrap());
        events.push(Event::Marked {
            mail: MAIL,
            message_id: Some(long.repeat(998)),
            rcpts: rcpts.collect(),
            mark: Mark::Failed(long.repeat(998)),
            carrier: Carrier::Smtp,
        });
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, || events.iter().for_each(mail_line));
            assert_eq!(text.lines().count(), events.len());
            assert!(text.lines().all(|line| line.len() < 5_000), "{:?}", text.lines().map(str::len).max());
        }
        for kept in events.iter().filter_map(trace_line) {
            assert!(kept.json.len() <= postline_core::limits::TRACE_LINE_BYTES, "{}", kept.json);
            assert!(kept.message_id.is_none_or(|id| id.len() <= 998));
        }
        let last = trace_line(events.last().unwrap()).unwrap();
        let last: serde_json::Value = serde_json::from_str(&last.json).unwrap();
        let named = last["rcpts"].as_array().unwrap().len();
        assert_eq!(named as u64 + last["more_rcpts"].as_u64().unwrap(), 100, "none is lost in silence");
    }
}

#[test]
fn t_089_logs_hold_no_secret_and_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let canary = "canary-5eed-of-a-body-or-password";
    let init = postline_node::init::Init {
        dir: dir.path().to_owned(),
        domains: vec![Domain::parse("a.example").unwrap()],
        hostname: Domain::parse("mail.a.example").unwrap(),
        settings: [("passwords.memory_kib", "64"), ("passwords.passes", "1")].map(|(k, v)| (k.into(), v.into())).into(),
    };
    let made = postline_node::init::init(&init).unwrap();
    let config = postline_node::config::Config::load(&made.config).unwrap();
    let keys = postline_node::init::KeyFiles::of(&config.data_dir);
    let identity = keys.identity().unwrap();
    let mut directory = postline_node::directory::Directory::load(&config).unwrap();
    directory.add("postmaster", canary).unwrap();
    let mut secret = [0; 32];
    secret.copy_from_slice(&canary.as_bytes()[..32]);
    let secret = Secret::new(secret);

    let text = logged(LogFormat::Text, || {
        tracing::info!(target: "postline", ?config, ?directory, ?identity, ?secret, ?made, ?init, "all that we hold");
        let _ = directory.login("postmaster", canary);
        every_event("250 ok").iter().for_each(mail_line);
        // What other crates say at their talkative levels is theirs: lettre prints whole dialogues.
        tracing::debug!(target: "lettre", "AUTH PLAIN {canary}");
        tracing::info!(target: "rustls", "{canary}");
    });
    assert!(text.contains("all that we hold") && text.contains("Secret(..)"), "{text}");
    let hash = std::fs::read_to_string(config.users_file()).unwrap();
    let hash =
        hash.split("$argon2id$").nth(1).unwrap().rsplit('$').next().unwrap().split('"').next().unwrap().to_owned();
    let seeds = [&keys.node_seed, &keys.next_seed].map(|file| std::fs::read_to_string(file).unwrap().trim().to_owned());
    for planted in [canary, &hash, &seeds[0], &seeds[1]] {
        assert!(!planted.is_empty() && !text.contains(planted), "{planted} in {text}");
    }
    let seed_bytes = format!("{:?}", postline_core::id::Hash::parse(&seeds[0]).unwrap().0);
    assert!(!text.contains(seed_bytes.trim_matches(['[', ']'])));
}
