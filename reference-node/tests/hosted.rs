//! A person with nothing but a mail program, in a sealed conversation: real programs, two nodes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::PATIENCE;
use postline_node::lab::{Node, Nodes, PASSWORD, Person, Seat, Terminal};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

/// An operator's command, with one line of input.
async fn operator(node: &Node, words: &[&str], line: &str) -> (bool, String) {
    let mut command = node.command("device");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    // It may need no input, and have ended.
    let _ended = process.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).await;
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await.unwrap().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// One with a device and two with a mail program alone, who have a line; the one's terminal.
async fn talking(nodes: &Nodes) -> (Seat, Terminal) {
    common::line(nodes).await;
    let (done, why) = operator(&nodes.b, &["host", "two@b.example"], "").await;
    assert!(done, "{why}");
    let one = Seat::new(common::program(), "one@a.example", &nodes.a, nodes.dir().join("one")).await.unwrap();
    one.enrol().await.unwrap();
    let mut ann = one.chat("two@b.example").unwrap();
    let (contact, _) = ann.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
    assert_eq!(contact["hosted"], true, "everybody sees that the node reads along");
    (one, ann)
}

/// The mails in two's mailbox that came sealed, by their text.
fn mails(nodes: &Nodes) -> Vec<String> {
    let root = nodes.b.config().maildir_root.join("two");
    let dirs = [root.join("new"), root.join("cur")];
    let all = dirs.iter().flat_map(|dir| common::files(dir)).map(|file| std::fs::read(file).unwrap());
    let mut sealed: Vec<String> = all
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .filter(|mail| mail.contains("\r\nPostline-Sealed: "))
        .collect();
    sealed.sort_by_key(|mail| field(mail, "Postline-Sealed").rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    sealed
}

/// A field's value, unfolded.
fn field(mail: &str, name: &str) -> String {
    let unfolded = mail.replace("\r\n\t", " ").replace("\r\n ", " ");
    let line = unfolded.lines().find(|line| line.starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("{mail}"))[name.len() + 2..].trim().to_owned()
}

/// Waits until so many are there, and no more.
async fn mailed(nodes: &Nodes, count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let mails = mails(nodes);
        assert!(mails.len() <= count, "shown twice: {mails:#?}");
        if mails.len() == count {
            return mails;
        }
        assert!(began.elapsed() < PATIENCE, "{} of {count}: {}", mails.len(), nodes.b.log());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A mail that two writes with a mail program.
async fn writes(two: &mut Person, to: &str, fields: &str, text: &str) -> Result<(), String> {
    let bytes = format!(
        "From: two@b.example\r\nTo: {to}\r\nSubject: re\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{}@two.example>\r\n{fields}\r\n{text}\r\n",
        text.len()
    );
    two.smtp.say(&format!("MAIL FROM:<two@b.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n")).await.unwrap();
    for code in ["250", "250", "354"] {
        two.smtp.expect(code).await.unwrap();
    }
    two.smtp.data(bytes.as_bytes()).await.unwrap();
    let reply = two.smtp.reply().await.unwrap();
    if reply.code == "250" { Ok(()) } else { Err(reply.lines.join(" ")) }
}

#[tokio::test]
async fn t_071_t_078_a_person_with_a_mail_program_talks_sealed_until_they_have_a_device() {
    let mut nodes = common::strangers().await;
    let (_one, mut ann) = talking(&nodes).await;
    ann.say("to your mail program").await.unwrap();
    let mail = mailed(&nodes, 1).await.remove(0);
    assert_eq!(field(&mail, "From"), "<one@a.example>", "{mail}");
    assert!(mail.contains("to your mail program"), "{mail}");

    // A reply goes back sealed, and never as a mail; what can't be sealed goes nowhere.
    let id = field(&mail, "Message-ID");
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    let re = format!("In-Reply-To: {id}\r\n");
    writes(&mut two, "one@a.example", &re, "from a mail program").await.unwrap();
    let (said, _) = ann.hears("from a mail program", PATIENCE).await.unwrap();
    assert_eq!((&said["author"], &said["hosted"]), (&json!("two@b.example"), &json!(true)), "{said}");
    for (to, fields) in [
        ("three@a.example", re.clone()),
        ("one@a.example", format!("{re}Content-Type: image/png\r\n")),
        ("one@a.example", format!("References: <{}.sealed@b.example>\r\n", "0".repeat(64))),
    ] {
        let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
        let refused = writes(&mut two, to, &fields, "must not leave").await.expect_err("in the clear");
        assert!(refused.contains("554"), "{refused}");
    }

    // The node is killed while things are said: nothing is lost, nothing is shown twice.
    for n in 0..10 {
        ann.say(&format!("before {n}")).await.unwrap();
        if n == 4 {
            mailed_at_least(&nodes, 2).await;
            nodes.b.kill().await.unwrap();
        }
    }
    nodes.b.start().await.unwrap();
    // The other node may wait a while before it dials again: a mail makes this one dial at once.
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    two.submit(&postline_node::lab::Letter::to("one@a.example", "back")).await.unwrap();
    let all = mailed(&nodes, 11).await;
    for (n, mail) in all.iter().skip(1).enumerate() {
        assert!(mail.contains(&format!("before {n}")), "in order: {mail}");
    }

    // A device of two's own: the operator lets it in, it takes the keys over, and the node opens nothing more.
    let own = Seat::new(common::program(), "two@b.example", &nodes.b, nodes.dir().join("two")).await.unwrap();
    own.enrol().await.unwrap();
    let mut joining = own.joining().unwrap();
    let (code, _) = joining.wait_for("code", PATIENCE, |_| true).await.unwrap();
    let (done, _) = operator(&nodes.b, &["approve", "two@b.example"], "0000-0000-0000-0000-0000").await;
    assert!(!done, "a wrong code");
    let (done, why) = operator(&nodes.b, &["approve", "two@b.example"], code["code"].as_str().unwrap()).await;
    assert!(done, "{why}");
    joining.wait_for("enrolled", PATIENCE, |_| true).await.unwrap();
    joining.end().await.unwrap();
    let (_, told) = own.run(&["device", "list"], "").await.unwrap();
    let devices = told[0]["devices"].as_array().unwrap().clone();
    let hosted = devices.iter().find(|device| device["hosted"] == true).unwrap()["device"].as_str().unwrap();
    let (status, told) = own.run(&["device", "revoke", hosted], "").await.unwrap();
    assert!(status.success(), "{told:?}");
    ann.wait_for("handed_over", PATIENCE, |event| event["who"] == "two@b.example").await.unwrap();
    ann.wait_for("contact", PATIENCE, |contact| contact["hosted"] == false && contact["devices"] == 1).await.unwrap();
    let began = Instant::now();
    while !common::files(&nodes.b.config().data_dir.join("hosted")).is_empty() {
        assert!(began.elapsed() < PATIENCE, "the node keeps keys: {}", nodes.b.log());
        sleep(Duration::from_millis(20)).await;
    }
    let mut ben = own.chat("one@a.example").unwrap();
    ann.say("for your eyes alone").await.unwrap();
    let (said, _) = ben.hears("for your eyes alone", PATIENCE).await.unwrap();
    assert_eq!(said["own"], false);
    ben.say("thank you").await.unwrap();
    let (said, _) = ann.hears("thank you", PATIENCE).await.unwrap();
    assert_eq!(said["hosted"], false, "{said}");
    assert_eq!(mails(&nodes).len(), 11, "the node can't read it");
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    nodes.stop().await.unwrap();
}

async fn mailed_at_least(nodes: &Nodes, count: usize) {
    let began = Instant::now();
    while mails(nodes).len() < count {
        assert!(began.elapsed() < PATIENCE, "{}", nodes.b.log());
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn t_106_only_the_nodes_own_door_needs_no_password() {
    let nodes = common::strangers().await;
    let (done, why) = operator(&nodes.b, &["host", "nobody@b.example"], "").await;
    assert!(!done && why.contains("nobody"), "{why}");
    // What a hosted device brings is no login on a socket.
    let stranger = Seat::new(common::program(), "two@b.example", &nodes.b, nodes.dir().join("eve")).await.unwrap();
    for user in ["two@b.example", "two"] {
        let (status, told) = stranger.run(&["device", "enrol", "--user", user], "").await.unwrap();
        assert!(!status.success(), "{told:?}");
    }
    assert!(!nodes.b.log().contains("enrolled"), "{}", nodes.b.log());
    // Who has a device needs none of the node's, and none begins beside it.
    let own = Seat::new(common::program(), "two@b.example", &nodes.b, nodes.dir().join("two")).await.unwrap();
    let (status, told) = own.run(&["device", "enrol"], PASSWORD).await.unwrap();
    assert!(status.success(), "{told:?}");
    let (done, why) = operator(&nodes.b, &["host", "two@b.example"], "").await;
    assert!(!done && why.contains("device of their own"), "{why}");
    nodes.stop().await.unwrap();
}
