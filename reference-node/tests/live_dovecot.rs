//! A node beside a real Dovecot: what mail programs see of it by annotations, and what mailboxes report.
//!
//! Ignored where tests run by themselves, since they need Dovecot 2.3 with its Lua plugins: `cargo test -p postline-node
//! --test live_dovecot -- --ignored`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "live/dovecot.rs"]
mod dovecot;

use std::path::Path;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common::PATIENCE;
use dovecot::Dovecot;
use postline_node::lab::{Letter, Node, Nodes, Person, Plan, Smtp};
use serde_json::Value;
use tokio::time::Instant;

/// Two nodes, the first with a dict socket, and a Dovecot beside it.
async fn beside() -> (Nodes, Dovecot, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let dict = dir.path().join("dict");
    let settings = vec![
        ("dovecot.dict", format!("{:?}", dict.display().to_string())),
        ("dovecot.group", format!("\"{}\"", dovecot::group(dir.path()))),
    ];
    let a = Plan { users: vec!["one", "three", "five"], settings, ..Plan::default() };
    let nodes = Nodes::start(common::program(), [a, Plan::of(&["two", "four"])]).await.unwrap();
    let plan = dovecot::Plan { dict: Some(dict), ..dovecot::Plan::default() };
    let dovecot = Dovecot::start(&dir.path().join("dovecot"), plan).await;
    (nodes, dovecot, dir)
}

fn open(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a node traces of a mail, once `event` is among it.
async fn traced(node: &Node, id: &str, event: &str, logs: impl Fn() -> String) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let lines: Vec<Value> = node.trace(id).await.unwrap().into_iter().map(Value::from).collect();
        if lines.iter().any(|line| line["event"] == event) {
            return lines;
        }
        assert!(began.elapsed() < PATIENCE, "no {event}: {lines:?} {}", logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const TRUST: &str = "/private/vendor/postline/trust";

#[tokio::test]
#[ignore = "needs Dovecot 2.3; ./check runs it"]
async fn a_mail_program_sees_its_trust_list_and_blocks_by_annotations() {
    let (nodes, dovecot, _dir) = beside().await;
    common::line(&nodes).await;
    let mut one = dovecot.login("one").await;
    let said = one.ask("CAPABILITY").await.unwrap();
    assert!(said.contains("METADATA") && said.contains("XPOSTLINE"), "{said}");

    let list = one.ask(&format!("GETMETADATA \"\" {TRUST}")).await.unwrap();
    assert!(list.contains("two@b.example trusted - one@a.example\n"), "{list} {}", dovecot.log());
    let of_mailbox = one.ask(&format!("GETMETADATA INBOX {TRUST}")).await.unwrap();
    assert!(of_mailbox.contains("two@b.example trusted - one@a.example\n"), "{of_mailbox}");
    let all = one.ask("GETMETADATA (DEPTH infinity) \"\" /private/vendor/postline").await.unwrap();
    for key in ["version", "trust", "trust/two@b.example"] {
        assert!(all.contains(&format!("/private/vendor/postline/{key} ")), "{key}: {all}");
    }
    let none = one.ask(&format!("GETMETADATA \"\" {TRUST}/four@b.example")).await.unwrap();
    assert!(none.contains("NIL"), "{none}");

    one.ask(&format!("SETMETADATA \"\" ({TRUST}/two@b.example \"block\")")).await.unwrap();
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "revoked");
    let list = one.ask(&format!("GETMETADATA \"\" {TRUST}/TWO@b.example")).await.unwrap();
    assert!(list.contains("two@b.example revoked"), "{list}");
    one.ask(&format!("SETMETADATA \"\" ({TRUST}/two@b.example NIL)")).await.unwrap();
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "stranger");

    for refused in [
        format!("SETMETADATA \"\" ({TRUST}/two@b.example \"trusted\")"),
        format!("SETMETADATA \"\" ({TRUST} \"block\")"),
        "SETMETADATA \"\" (/private/comment \"hello\")".to_owned(),
        "SETMETADATA \"\" (/shared/vendor/postline/trust \"x\")".to_owned(),
    ] {
        let said = one.ask(&refused).await;
        assert!(said.as_ref().is_err_and(|why| why.starts_with("NO")), "{refused}: {said:?}");
    }
    dovecot.stop().await;
    nodes.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Dovecot 2.3; ./check runs it"]
async fn a_user_sees_and_changes_only_their_own_by_annotations() {
    let (nodes, dovecot, _dir) = beside().await;
    common::line(&nodes).await;
    let mut three = dovecot.login("three@a.example").await;
    let list = three.ask(&format!("GETMETADATA \"\" {TRUST}")).await.unwrap();
    assert!(!list.contains("two@b.example"), "{list}");
    let marks = three.ask("GETMETADATA \"\" /private/vendor/postline/marks/hello@lab.example").await.unwrap();
    assert!(marks.contains("NIL"), "{marks}");
    three.ask(&format!("SETMETADATA \"\" ({TRUST}/two@b.example \"block\")")).await.unwrap();
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "trusted", "that was not theirs");
    assert_eq!(nodes.a.trust("three@a.example", "two@b.example").await.unwrap(), "revoked");
    dovecot.stop().await;
    nodes.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Dovecot 2.3; ./check runs it"]
async fn mailboxes_report_what_happens_to_a_mail() {
    let (nodes, dovecot, _dir) = beside().await;
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let letter = Letter::to("three@a.example", "reported");
    one.submit(&letter).await.unwrap();
    nodes.a.inbox("three").wait_for("reported", PATIENCE).await.unwrap();
    let bytes = String::from_utf8(letter.bytes("one@a.example")).unwrap();
    dovecot.deliver("three", &bytes).await;
    dovecot.deliver("five", &bytes).await;
    let logs = || format!("{}\n{}", dovecot.log(), nodes.a.log());

    let came = traced(&nodes.a, "reported", "in_mailbox", logs).await;
    let there: Vec<&Value> = came.iter().filter(|line| line["event"] == "in_mailbox").collect();
    assert!(there.iter().all(|line| line["user"] == "three"), "five was never brought it: {there:?}");
    let mut imap = dovecot.login("three").await;
    imap.ask("SELECT INBOX").await.unwrap();
    imap.ask("STORE 1 +FLAGS (\\Seen)").await.unwrap();
    let seen = traced(&nodes.a, "reported", "seen_in_mailbox", logs).await;
    assert_eq!(seen.iter().filter(|line| line["event"] == "seen_in_mailbox").count(), 1);
    imap.ask("COPY 1 Archive").await.unwrap();
    imap.ask("STORE 1 +FLAGS (\\Deleted)").await.unwrap();
    imap.ask("EXPUNGE").await.unwrap();
    let gone = traced(&nodes.a, "reported", "gone_from_mailbox", logs).await;
    assert_eq!(gone.iter().filter(|line| line["event"] == "in_mailbox").count(), 2, "{gone:?}");
    assert!(!dovecot.log().contains("not reported"), "{}", dovecot.log());

    let mut marks = dovecot.login("one").await;
    let id = gone.iter().find_map(|line| line["message_id"].as_str()).unwrap();
    let said = marks.ask(&format!("GETMETADATA \"\" /private/vendor/postline/marks/{id}")).await.unwrap();
    assert!(said.contains("three@a.example delivered "), "{said}");
    dovecot.stop().await;
    nodes.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Dovecot 2.3; ./check runs it"]
async fn submission_logins_are_dovecots() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let dovecot = Dovecot::start(&dir.path().join("dovecot"), dovecot::Plan::default()).await;
    let auth = ("dovecot.auth", format!("{:?}", dovecot.auth().display().to_string()));
    // Nobody has the password of this node's own users: theirs are Dovecot's.
    let a = Plan { users: vec!["one", "three"], settings: vec![auth], ..Plan::default() };
    let nodes = Nodes::start(common::program(), [a, Plan::of(&["two"])]).await.unwrap();
    let mut nine = Person::new("nine@a.example", &nodes.a).await.expect("a user that only Dovecot knows");
    nine.submit(&Letter::to("three@a.example", "by-dovecot")).await.unwrap();
    nodes.a.inbox("three").wait_for("by-dovecot", PATIENCE).await.unwrap();

    let login = async |password: &str| {
        let mut smtp = Smtp::connect(&nodes.a.submission).await.unwrap();
        smtp.start_tls().await.unwrap();
        let said = BASE64_STANDARD.encode(format!("\0nine@a.example\0{password}"));
        smtp.ask(&format!("AUTH PLAIN {said}\r\n")).await.unwrap().code
    };
    assert_eq!(login("wrong").await, "535");
    assert_eq!(login(dovecot::PASSWORD).await, "235");
    assert!(dovecot.log().contains("auth: ") && !dovecot.log().contains("BUG"), "{}", dovecot.log());
    dovecot.stop().await;
    assert_eq!(login(dovecot::PASSWORD).await, "454", "no mail program drops a password for that");
    nodes.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Dovecot 2.3; ./check runs it"]
async fn mail_goes_on_while_the_node_is_down() {
    let (mut nodes, dovecot, _dir) = beside().await;
    common::signal(&nodes.a, "TERM");
    nodes.a.ended().await.unwrap();
    let began = Instant::now();
    dovecot.deliver("three", "Message-ID: <down@b.example>\r\nSubject: x\r\n\r\nx").await;
    assert!(began.elapsed() < Duration::from_secs(10), "Dovecot waited for a node that is not there");
    let mut imap = dovecot.login("three").await;
    assert!(imap.ask("SELECT INBOX").await.unwrap().contains("1 EXISTS"));
    assert!(imap.ask(&format!("GETMETADATA \"\" {TRUST}")).await.is_err());
    dovecot.stop().await;
    nodes.stop().await.unwrap();
}
