//! A running node's dict socket, asked as Dovecot would ask: everybody sees and changes what is theirs.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::PathBuf;

use common::PATIENCE;
use postline_core::id::Address;
use postline_core::limits;
use postline_node::admin::{Answer, AskPair, Request};
use postline_node::lab::{Letter, Node, Nodes, Person, Plan};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

const ROOT: &str = "priv/0123456789abcdef0123456789abcdef/vendor/vendor.dovecot/pvt/server/vendor/postline/";
const BOX: &str = "priv/fedcba9876543210fedcba9876543210/vendor/postline/";

/// Two nodes, the first with a dict socket.
async fn beside() -> (Nodes, Dict, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let dict = dir.path().join("dict");
    let settings = vec![("dovecot.dict", format!("{:?}", dict.display().to_string()))];
    let a = Plan { users: vec!["one", "three"], settings, ..Plan::default() };
    let nodes = Nodes::start(common::program(), [a, Plan::of(&["two", "four"])]).await.unwrap();
    (nodes, Dict(dict), dir)
}

struct Dict(PathBuf);

impl Dict {
    /// What is said to commands, to the line that is the last.
    async fn ask(&self, commands: &str, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut stream = BufReader::new(UnixStream::connect(&self.0).await.unwrap());
        stream.get_mut().write_all(format!("H3\t0\t0\t\tpostline\n{commands}").as_bytes()).await.unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let got = timeout(PATIENCE, stream.read_line(&mut line)).await.unwrap().unwrap();
            assert!(got > 0, "closed after {lines:?}");
            let line = line.trim_end_matches('\n').replace("\x01n", "\n");
            let last = is_last(&line);
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// What stands under a key, for a user; `None` where nothing does.
    async fn get(&self, user: &str, key: &str) -> Option<String> {
        let line = self.ask(&format!("L{ROOT}{key}\t{user}\n"), |_| true).await.concat();
        match line.as_str() {
            "N" => None,
            found => Some(found.strip_prefix('O').expect(found).to_owned()),
        }
    }

    /// Sets a value, or, without one, takes away what is there; gives the answer.
    async fn set(&self, user: &str, key: &str, value: Option<&str>) -> String {
        let change = match value {
            Some(value) => format!("S1\t{key}\t{}\n", value.replace('\n', "\x01n")),
            None => format!("U1\t{key}\n"),
        };
        let said = self.ask(&format!("B1\t{user}\n{change}C1\n"), |_| true).await;
        said.concat()
    }
}

/// Waits until a node traces `event` of a mail; gives all that it traces.
async fn traced(node: &Node, id: &str, event: &str) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let lines: Vec<Value> = node.trace(id).await.unwrap().into_iter().map(Value::from).collect();
        if lines.iter().any(|line| line["event"] == event) {
            return lines;
        }
        assert!(began.elapsed() < PATIENCE, "no {event}: {lines:?} {}", node.log());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[tokio::test]
async fn each_user_sees_and_changes_their_own_pairs_and_marks() {
    let (nodes, dict, _dir) = beside().await;
    common::line(&nodes).await;
    assert_eq!(dict.get("one", "trust").await.unwrap(), "two@b.example trusted - one@a.example\n");
    assert_eq!(
        dict.get("ONE@a.example", "trust/Two@b.example").await.unwrap(),
        "two@b.example trusted - one@a.example\n"
    );
    assert_eq!(dict.get("three", "trust").await.unwrap(), "", "somebody else's is nobody's");
    assert_eq!(dict.get("three", "trust/two@b.example").await, None);
    assert_eq!(dict.get("one@b.example", "trust").await, None, "not of a domain of ours");
    assert_eq!(dict.get("one", "version").await.unwrap(), env!("CARGO_PKG_VERSION"));

    let rows = dict.ask(&format!("I9\t0\t{ROOT}\tone\n"), str::is_empty).await;
    assert!(rows.contains(&format!("O{ROOT}trust/two@b.example\t")), "{rows:?}");

    let lines = traced(&nodes.a, "hello", "marked").await;
    let id = of(&lines, "arrived")[0]["message_id"].as_str().unwrap().to_owned();
    let marks = dict.get("one", &format!("marks/{id}")).await.unwrap();
    assert!(marks.contains("two@b.example sent ") || marks.contains("two@b.example delivered "), "{marks}");
    let spelled = id.bytes().fold(String::from("marks/hex:"), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!(dict.get("one", &spelled).await.unwrap(), marks);
    assert_eq!(dict.get("three", &format!("marks/{id}")).await, None, "who didn't write it learns nothing of it");

    let key = format!("{ROOT}trust/two@b.example");
    assert_eq!(dict.set("three", &key, Some("block")).await, "O1");
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "trusted");
    assert_eq!(dict.set("one", &key, Some("block")).await, "O1");
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "revoked");
    assert_eq!(dict.set("one", &key, None).await, "O1");
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "stranger");
    for (key, value) in
        [("trust/two@b.example", "trust"), ("trust/no address", "block"), ("trust", "x"), ("version", "2")]
    {
        let said = dict.set("one", &format!("{ROOT}{key}"), Some(value)).await;
        assert!(said.starts_with("F1\t"), "{key} {value}: {said}");
    }
    assert!(dict.set("eve@c.example", &key, Some("block")).await.starts_with("F1\t"));

    let offers = format!("{ROOT}offers");
    assert_eq!(dict.get("one", "offers").await.unwrap(), "one@a.example on\n", "as the node does");
    assert_eq!(dict.set("one", &offers, Some("off")).await, "O1");
    assert_eq!(dict.get("one", "offers").await.unwrap(), "one@a.example off\n");
    assert_eq!(dict.get("three", "offers").await.unwrap(), "three@a.example on\n", "each chooses for themselves");
    assert!(dict.set("one", &offers, Some("maybe")).await.starts_with("F1\t"));
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("four@b.example", "without")).await.unwrap();
    nodes.b.inbox("four").wait_for("without", PATIENCE).await.unwrap();
    assert_eq!(nodes.a.trust("one@a.example", "four@b.example").await.unwrap(), "stranger", "nobody was asked");
    assert_eq!(dict.set("one", &offers, Some("on")).await, "O1");
    nodes.stop().await.unwrap();
}

/// Somebody may write to as many tags of a user as they like: a word on them is a word on all of these.
#[tokio::test]
async fn t_012_a_word_reaches_every_address_that_knows_the_correspondent() {
    let (nodes, dict, _dir) = beside().await;
    let tags: Vec<String> = (0..2 * limits::DICT_ADDRESSES).map(|tag| format!("one+{tag:03}@a.example")).collect();
    let theirs = Address::parse("eve@c.example").unwrap();
    for ours in &tags {
        let pair = AskPair { ours: Address::parse(ours).unwrap(), theirs: theirs.clone() };
        let answer = nodes.a.ask(&Request::TrustBlock(pair)).await.unwrap();
        assert!(matches!(answer, Answer::Done {}), "{answer:?}");
    }
    let key = format!("{ROOT}trust/eve@c.example");
    for (value, state) in [(None, "stranger"), (Some("block"), "revoked")] {
        assert_eq!(dict.set("one", &key, value).await, "O1");
        let known = if value.is_some() { "one@a.example" } else { tags.last().unwrap() };
        assert_eq!(nodes.a.trust(known, "eve@c.example").await.unwrap(), state);
    }
    nodes.stop().await.unwrap();
}

/// A block lasts for good, so that nobody fills the store by blocking whoever there might be.
#[tokio::test]
async fn t_012_a_user_can_block_only_so_many() {
    let (nodes, dict, _dir) = beside().await;
    let block = |who: usize| format!("S1\t{ROOT}trust/{who}@c.example\tblock\n");
    let at_once = limits::DICT_CHANGES / 2;
    for first in (0..limits::DICT_BLOCKED).step_by(at_once) {
        let some: String = (first..(first + at_once).min(limits::DICT_BLOCKED)).map(block).collect();
        assert_eq!(dict.ask(&format!("B1\tone\n{some}C1\n"), |_| true).await, ["O1"]);
    }
    let key = |who: usize| format!("{ROOT}trust/{who}@c.example");
    let said = dict.set("one", &key(limits::DICT_BLOCKED), Some("block")).await;
    assert!(said.starts_with("F1\ttoo many are blocked"), "{said}");
    assert_eq!(dict.set("three", &key(0), Some("block")).await, "O1", "others may still");
    assert_eq!(dict.set("one", &key(0), None).await, "O1", "and what is unblocked makes room");
    assert_eq!(dict.set("one", &key(limits::DICT_BLOCKED), Some("block")).await, "O1");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_report_is_followed_to_a_mail_that_we_brought_to_this_user_and_no_other() {
    let (nodes, dict, _dir) = beside().await;
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("three@a.example", "seen")).await.unwrap();
    nodes.a.inbox("three").wait_for("seen", PATIENCE).await.unwrap();
    let id = of(&traced(&nodes.a, "seen", "marked").await, "arrived")[0]["message_id"].as_str().unwrap().to_owned();
    let event = format!("{BOX}event");
    // Who didn't get it reports it too, and many times over.
    assert_eq!(dict.set("one", &event, Some(&format!("1\nnew 7 1 <{id}>\nread 7 1\n"))).await, "O1");
    let copies: String = (1..=limits::EVENT_LINES - 2).map(|uid| format!("copy 7 {uid} {id}\n")).collect();
    assert_eq!(dict.set("three", &event, Some(&format!("1\n{copies}read 7 2\nread 7 2\n"))).await, "O1");
    assert_eq!(dict.set("three", &event, Some("1\ngone 7 999\ngone 8 1\ngone 7 1\n")).await, "O1");

    let lines = traced(&nodes.a, "seen", "gone_from_mailbox").await;
    for event in ["in_mailbox", "seen_in_mailbox", "gone_from_mailbox"] {
        assert!(of(&lines, event).iter().all(|line| line["user"] == "three"), "{lines:?}");
    }
    assert_eq!(of(&lines, "in_mailbox").len(), limits::EVENTS_PER_MAIL, "a mail program can't fill the trace");
    assert_eq!(of(&lines, "seen_in_mailbox").len(), 1);
    assert_eq!(of(&lines, "gone_from_mailbox").len(), 1);
    for bad in ["", "2\n", "1\nburnt 1 2\n", &"x".repeat(limits::DICT_VALUE_BYTES + 1)] {
        assert!(dict.set("three", &event, Some(bad)).await.starts_with("F1\t"), "{bad:.20}");
    }
    nodes.stop().await.unwrap();
}
