//! A running node and its operator: signals, limits of the disk, the command line, and what SMTP clients may and may not.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::time::Duration;

use common::PATIENCE;

use postline_node::directory::Directory;
use postline_node::lab::{Letter, Node, Nodes, PASSWORD, Person, Smtp};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const LOOK: Duration = Duration::from_millis(5);

/// What the command line prints for a node, with `--json`.
async fn said(node: &Node, words: &[&str]) -> Value {
    let mut command = node.command("--json");
    let output = command.args(words).output().await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// By what a mail came to a node, once it is there.
async fn came_by(node: &Node, id: &str) -> String {
    let came = node.trace(id).await.unwrap().into_iter().find(|line| line["event"] == "arrived").unwrap();
    came["carrier"].as_str().unwrap().to_owned()
}

/// Brings a mail to a node as another server would: the answer to its last byte.
async fn bring(node: &Node, from: &str, to: &str, mail: &[u8]) -> String {
    let mut smtp = Smtp::connect(&node.smtp).await.unwrap();
    smtp.ask(&format!("MAIL FROM:<{from}>\r\n")).await.unwrap().want("250").unwrap();
    smtp.ask(&format!("RCPT TO:<{to}>\r\n")).await.unwrap().want("250").unwrap();
    smtp.ask("DATA\r\n").await.unwrap().want("354").unwrap();
    smtp.data(mail).await.unwrap();
    smtp.reply().await.unwrap().code
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_finishes_what_is_under_way() {
    let mut nodes = common::strangers().await;
    let mut idle = Smtp::connect(&nodes.a.smtp).await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let letter = Letter::to("three@a.example", "under-way");
    one.smtp.ask("MAIL FROM:<one@a.example>\r\n").await.unwrap().want("250").unwrap();
    one.smtp.ask("RCPT TO:<three@a.example>\r\n").await.unwrap().want("250").unwrap();
    one.smtp.ask("DATA\r\n").await.unwrap().want("354").unwrap();

    common::signal(&nodes.a, "TERM");
    idle.expect("421").await.unwrap();
    one.smtp.data(&letter.bytes("one@a.example")).await.unwrap();
    one.smtp.expect("250").await.unwrap();
    one.smtp.expect("421").await.unwrap();
    assert_eq!(nodes.a.ended().await.unwrap(), Some(0));
    assert!(!nodes.a.config().admin_socket.exists(), "its socket's file goes with it");
    assert!(Smtp::connect(&nodes.a.smtp).await.is_err(), "and nobody listens");

    nodes.a.start().await.unwrap();
    nodes.a.inbox("three").wait_for("under-way", PATIENCE).await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_and_lets_new_people_in() {
    let nodes = common::strangers().await;
    let shown = async || {
        let mut smtp = Smtp::connect(&nodes.a.submission).await.unwrap();
        smtp.start_tls().await.unwrap();
        smtp.certificate().unwrap().clone()
    };
    let before = shown().await;
    let (ours, theirs) = (nodes.a.config(), nodes.b.config());
    std::fs::copy(&theirs.tls.cert, &ours.tls.cert).unwrap();
    std::fs::copy(&theirs.tls.key, &ours.tls.key).unwrap();
    Directory::load(ours).unwrap().add("seven", PASSWORD).unwrap();
    assert_eq!(shown().await, before, "not before it is told to");
    common::signal(&nodes.a, "HUP");
    let began = Instant::now();
    while shown().await == before {
        assert!(began.elapsed() < PATIENCE);
        sleep(LOOK).await;
    }
    Person::new("seven@a.example", &nodes.a).await.unwrap();
    nodes.stop().await.unwrap();
}

/// [K-6]: by the command line, between two runs; the other node follows, and the line stays.
#[tokio::test]
async fn a_node_changes_its_key_between_two_runs_and_the_line_stays() {
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;
    let before = nodes.b.status().await.unwrap().node_key;
    let refused = nodes.b.command("node").arg("rotate").output().await.unwrap();
    assert_eq!(refused.status.code(), Some(2), "not while it runs");
    nodes.b.end().await.unwrap();
    let rotated = said(&nodes.b, &["node", "rotate"]).await;
    assert_eq!(rotated["rotated"]["former_key"], before.as_str());
    nodes.b.start().await.unwrap();
    assert_eq!(rotated["rotated"]["node_key"], nodes.b.status().await.unwrap().node_key.as_str());
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    two.submit(&Letter::to("one@a.example", "by-the-new-key")).await.unwrap();
    nodes.a.inbox("one").wait_for("by-the-new-key", PATIENCE).await.unwrap();
    assert_eq!(came_by(&nodes.a, "by-the-new-key").await, "link");
    assert!(nodes.a.log().contains("key_changed"), "its operator is told");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn domains_are_blocked_and_offers_kept_in_by_the_command_line() {
    let nodes = common::strangers().await;
    said(&nodes.a, &["trust", "block-domain", "c.example"]).await;
    said(&nodes.a, &["trust", "block-domain", "d.example"]).await;
    said(&nodes.a, &["trust", "unblock-domain", "d.example"]).await;
    let blocked = said(&nodes.a, &["trust", "blocked-domains"]).await;
    assert_eq!(blocked["blocked_domains"]["domains"], serde_json::json!(["c.example"]));
    said(&nodes.a, &["user", "offers", "one@a.example", "off"]).await;
    for refused in [
        ["trust", "block-domain", "a.example", ""],
        ["user", "offers", "one@b.example", "off"],
        ["trust", "accept", "one@a.example", "two@b.example"],
    ] {
        let words = refused.iter().filter(|word| !word.is_empty());
        let output = nodes.a.command("--json").args(words).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{refused:?}");
    }
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("two@b.example", "no-offer")).await.unwrap();
    nodes.b.inbox("two").wait_for("no-offer", PATIENCE).await.unwrap();
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "stranger");
    said(&nodes.a, &["user", "offers", "one@a.example", "on"]).await;
    one.submit(&Letter::to("two@b.example", "offer")).await.unwrap();
    nodes.b.inbox("two").wait_for("offer", PATIENCE).await.unwrap();
    assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "offered");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_111_a_second_node_on_the_same_data_is_refused() {
    let nodes = common::strangers().await;
    let output = nodes.a.command("serve").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("in use by another process"), "{said}");
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("three@a.example", "still")).await.unwrap();
    nodes.a.inbox("three").wait_for("still", PATIENCE).await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_bad_configuration_ends_with_2_and_says_where() {
    let nodes = common::strangers().await;
    let file = &nodes.a.config().file;
    let good = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, format!("postmastr = \"one\"\n{good}")).unwrap();
    let output = nodes.a.command("serve").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("postline.toml:1") && said.contains("postmaster"), "{said}");
    std::fs::write(file, good).unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_012_who_is_blocked_is_a_stranger_from_then_on() {
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    let inbox = nodes.a.inbox("one");
    two.submit(&Letter::answer("one@a.example", "trusted", "re-hello")).await.unwrap();
    inbox.wait_for("trusted", PATIENCE).await.unwrap();
    assert_eq!(came_by(&nodes.a, "trusted").await, "link");

    said(&nodes.a, &["trust", "block", "one@a.example", "two@b.example"]).await;
    two.submit(&Letter::answer("one@a.example", "blocked", "re-hello")).await.unwrap();
    inbox.wait_for("blocked", PATIENCE).await.unwrap();
    assert_eq!(came_by(&nodes.a, "blocked").await, "smtp");
    let state = said(&nodes.a, &["trust", "show", "one@a.example", "two@b.example"]).await;
    assert_eq!(state["trust_show"]["state"], "revoked", "{state}");

    nodes.a.kill().await.unwrap();
    nodes.a.start().await.unwrap();
    two.submit(&Letter::answer("one@a.example", "still-blocked", "re-hello")).await.unwrap();
    inbox.wait_for("still-blocked", PATIENCE).await.unwrap();
    assert_eq!(came_by(&nodes.a, "still-blocked").await, "smtp");

    said(&nodes.a, &["trust", "unblock", "one@a.example", "two@b.example"]).await;
    let state = said(&nodes.a, &["trust", "show", "one@a.example", "two@b.example"]).await;
    assert_eq!(state["trust_show"]["state"], "stranger", "{state}");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn the_operator_sees_trust_queue_and_every_mails_way() {
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;
    let list = said(&nodes.a, &["trust", "list"]).await;
    assert_eq!(list["trust_list"]["pairs"][0]["theirs"], "two@b.example", "{list}");
    let status = said(&nodes.a, &["status"]).await;
    assert_eq!(status["status"]["links"].as_array().unwrap().len(), 1, "{status}");
    let trace = said(&nodes.a, &["trace", "<hello@demo.example>"]).await;
    let events = trace["trace"]["events"].as_array().unwrap().clone();
    assert!(events.iter().any(|event| event["event"] == "arrived" && event["carrier"] == "submission"), "{trace}");
    assert!(events.iter().any(|event| event["mark"] == "sent" && event["carrier"] == "smtp"), "{trace}");

    nodes.b.kill().await.unwrap();
    let mut three = Person::new("three@a.example", &nodes.a).await.unwrap();
    three.submit(&Letter::to("four@b.example", "waits")).await.unwrap();
    let began = Instant::now();
    let waiting = loop {
        let queue = said(&nodes.a, &["queue", "list"]).await;
        let entry = queue["queue_list"]["entries"][0].clone();
        if entry["attempts"] == 1 {
            break entry;
        }
        assert!(began.elapsed() < PATIENCE, "{queue}");
        sleep(LOOK).await;
    };
    assert_eq!(waiting["message_id"], "waits@demo.example");
    nodes.b.start().await.unwrap();
    said(&nodes.a, &["queue", "retry"]).await;
    nodes.b.inbox("four").wait_for("waits", PATIENCE).await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn mail_for_every_name_of_a_person_arrives_and_no_other_is_taken() {
    let nodes = common::strangers().await;
    Directory::load(nodes.a.config()).unwrap().add_alias("other@a.example", "three").unwrap();
    said(&nodes.a, &["reload"]).await;
    let names = [("three", "other"), ("three", "three+news"), ("one", "postmaster"), ("one", "abuse")];
    for (n, (user, name)) in names.into_iter().enumerate() {
        let (to, id) = (format!("{name}@a.example"), format!("name-{n}"));
        let mail = Letter::to(&to, &id).bytes("x@elsewhere.example");
        assert_eq!(bring(&nodes.a, "x@elsewhere.example", &to, &mail).await, "250", "{to}");
        nodes.a.inbox(user).wait_for(&id, PATIENCE).await.unwrap();
    }
    let mut smtp = Smtp::connect(&nodes.a.smtp).await.unwrap();
    smtp.ask("MAIL FROM:<x@elsewhere.example>\r\n").await.unwrap().want("250").unwrap();
    for to in ["nobody@a.example", "somebody@third.example", "two@b.example"] {
        let reply = smtp.ask(&format!("RCPT TO:<{to}>\r\n")).await.unwrap();
        assert!(reply.code.starts_with('5'), "{to}: {reply}");
    }

    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let reply = one.smtp.ask("MAIL FROM:<three@a.example>\r\n").await.unwrap();
    assert!(reply.code.starts_with('5'), "another's envelope: {reply}");
    for line in ["MAIL FROM:<one@a.example>\r\n", "RCPT TO:<two@b.example>\r\n"] {
        one.smtp.ask(line).await.unwrap().want("250").unwrap();
    }
    one.smtp.ask("DATA\r\n").await.unwrap().want("354").unwrap();
    one.smtp.data(&Letter::to("two@b.example", "forged").bytes("three@a.example")).await.unwrap();
    one.smtp.expect("550").await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn bad_mail_is_shown_as_plain_mail_or_refused_with_its_code() {
    let nodes = common::strangers().await;
    let inbox = nodes.a.inbox("one");
    let plain = Letter::to("one@a.example", "twice").bytes("x@elsewhere.example");
    let twice = [b"From: y@elsewhere.example\r\n".as_slice(), &plain].concat();
    let bring = async |mail: &[u8]| bring(&nodes.a, "x@elsewhere.example", "one@a.example", mail).await;
    assert_eq!(bring(&twice).await, "250", "two authors are shown, and mean nothing");
    inbox.wait_for("twice", PATIENCE).await.unwrap();

    let mut deep = b"Message-ID: <deep@demo.example>\r\n".to_vec();
    deep.splice(0..0, *b"From: x@elsewhere.example\r\n");
    deep.extend("Content-Type: message/rfc822\r\n\r\n".repeat(40_000).bytes());
    assert_eq!(bring(&deep).await, "250", "t_026: however deep");
    inbox.wait_for("deep", PATIENCE).await.unwrap();
    let log = nodes.a.log();
    for id in ["twice@demo.example", "deep@demo.example"] {
        let about: Vec<&str> = log.lines().filter(|line| line.contains("arrived") && line.contains(id)).collect();
        assert!(about.len() == 1 && about[0].contains("inert="), "{about:?}");
    }

    let looped = ["Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\n".repeat(51).as_bytes(), &plain].concat();
    assert_eq!(bring(&looped).await, "554", "t_102: it goes round in circles");
    let mut smtp = Smtp::connect(&nodes.a.smtp).await.unwrap();
    let reply = smtp.ask("MAIL FROM:<x@elsewhere.example> SIZE=99000000\r\n").await.unwrap();
    assert_eq!(reply.code, "552", "{reply}");
    let mut smtp = Smtp::connect(&nodes.a.smtp).await.unwrap();
    for line in ["MAIL FROM:<x@elsewhere.example>\r\n", "RCPT TO:<one@a.example>\r\n"] {
        smtp.ask(line).await.unwrap().want("250").unwrap();
    }
    smtp.ask("DATA\r\n").await.unwrap().want("354").unwrap();
    let reply = smtp.ask("Subject: a\n.\nMAIL FROM:<evil@x.example>\r\n.\r\n").await.unwrap();
    assert!(reply.code.starts_with('5'), "t_019: {reply}");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_mail_whose_other_end_dies_in_the_middle_arrives_once() {
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let letter = Letter::answer("two@b.example", "large", "re-hello").of_bytes(5 * 1024 * 1024);
    one.submit(&letter).await.unwrap();
    let partial = nodes.b.config().data_dir.join("store/spool/partial");
    let began = Instant::now();
    let some = || common::files(&partial).iter().any(|file| file.metadata().is_ok_and(|file| file.len() > 0));
    while !some() {
        assert!(began.elapsed() < PATIENCE, "no piece came");
        sleep(Duration::from_micros(200)).await;
    }
    nodes.b.kill().await.unwrap();
    let inbox = nodes.b.inbox("two");
    assert!(!inbox.ids().unwrap().contains(&"large".to_owned()), "it was cut in the middle");
    nodes.b.start().await.unwrap();
    inbox.wait_for("large", PATIENCE).await.unwrap();
    assert_eq!(came_by(&nodes.b, "large").await, "link");
    common::settled(&nodes).await;
    assert_eq!(inbox.ids().unwrap().iter().filter(|id| *id == "large").count(), 1);
    assert!(inbox.read("large").unwrap().ends_with(letter.text().as_bytes()), "byte for byte");
    nodes.stop().await.unwrap();
}

/// Whether a tool is there; says so where it isn't.
fn has(tool: &str) -> bool {
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).exists()));
    if !found {
        println!("skipped: no {tool}");
    }
    found
}

/// [S-7]
#[tokio::test]
async fn t_108_a_node_that_may_write_no_more_says_so_and_goes_on_when_it_may() {
    if !has("prlimit") {
        return;
    }
    let mut nodes: Nodes = common::set_up();
    // Its writes beyond the limit fail, as on a full disk, instead of killing it.
    nodes.a.run_under(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    nodes.a.start().await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let limit = async |bytes: &str| {
        let pid = nodes.a.pid().unwrap().to_string();
        let limited = tokio::process::Command::new("prlimit").args(["--pid", &pid, bytes]).status().await.unwrap();
        assert!(limited.success());
    };
    let large = Letter::to("three@a.example", "large").of_bytes(500_000);
    limit("--fsize=100000:unlimited").await;
    let why = one.submit(&large).await.unwrap_err().to_string();
    assert!(why.contains("452"), "{why}");
    let mut refused = 0;
    for n in 0..50 {
        match one.submit(&Letter::to("three@a.example", &format!("small-{n}")).of_bytes(10_000)).await {
            Ok(_) => {}
            Err(why) => {
                assert!(why.to_string().contains("want 250, the node said: 45"), "{why}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the store's files are limited too");
    limit("--fsize=unlimited:unlimited").await;
    let began = Instant::now();
    while let Err(why) = one.submit(&large).await {
        assert!(why.to_string().contains("want 250, the node said: 45") && began.elapsed() < PATIENCE, "{why}");
        sleep(LOOK).await;
    }
    nodes.a.inbox("three").wait_for("large", PATIENCE).await.unwrap();
    nodes.stop().await.unwrap();
}

/// [O-3]
#[tokio::test]
async fn t_108_a_sync_that_fails_acknowledges_nothing_and_the_node_recovers() {
    if !has("strace") {
        return;
    }
    let mut nodes = common::strangers().await;
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("three@a.example", "before")).await.unwrap();
    nodes.a.inbox("three").wait_for("before", PATIENCE).await.unwrap();
    let args = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"];
    let Some(strace) = common::Strace::attach(&nodes.a, &args).await else { return };
    let why = one.submit(&Letter::to("three@a.example", "during")).await.unwrap_err().to_string();
    assert!(why.contains("want 250, the node said: 45"), "{why}");
    strace.detach().await;
    let began = Instant::now();
    while let Err(why) = one.submit(&Letter::to("three@a.example", "after")).await {
        assert!(why.to_string().contains("want 250, the node said: 45") && began.elapsed() < PATIENCE, "{why}");
        sleep(LOOK).await;
    }
    nodes.a.inbox("three").wait_for("after", PATIENCE).await.unwrap();
    nodes.a.kill().await.unwrap();
    nodes.a.start().await.unwrap();
    common::settled(&nodes).await;
    let ids = nodes.a.inbox("three").ids().unwrap();
    assert_eq!(ids.iter().filter(|id| *id != "during").count(), 2, "{ids:?}");
    nodes.stop().await.unwrap();
}
