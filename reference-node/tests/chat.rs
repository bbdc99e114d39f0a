//! Two people talk in terminals, as the README shows it: real programs, two nodes, sealed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::PATIENCE;
use postline_node::lab::{Nodes, Seat, Terminal};
use serde_json::json;

/// A device of one and one of two, enrolled, on nodes that have a line.
async fn seats(nodes: &Nodes) -> [Seat; 2] {
    let one = Seat::new(common::program(), "one@a.example", &nodes.a, nodes.dir().join("one")).await.unwrap();
    let two = Seat::new(common::program(), "two@b.example", &nodes.b, nodes.dir().join("two")).await.unwrap();
    for seat in [&one, &two] {
        let told = seat.enrol().await.unwrap();
        assert!(told.iter().any(|event| event["event"] == "enrolled" && event["first"] == true), "{told:?}");
    }
    [one, two]
}

/// Waits until the other's keys are known.
async fn sealed(terminal: &mut Terminal) {
    terminal.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
}

#[tokio::test]
async fn two_people_talk_in_their_terminals() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let [one, two] = seats(&nodes).await;
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    sealed(&mut ann).await;
    sealed(&mut ben).await;

    let salt = "11".repeat(16);
    ann.say(&json!({ "do": "write", "text": "hello, sealed", "salt": salt }).to_string()).await.unwrap();
    let (said, _) = ben.hears("hello, sealed", PATIENCE).await.unwrap();
    assert_eq!((&said["author"], &said["own"]), (&json!("one@a.example"), &json!(false)));
    for mark in ["sent", "delivered"] {
        ann.marked(&salt, mark, PATIENCE).await.unwrap();
    }
    ben.say("hello yourself").await.unwrap();
    ann.hears("hello yourself", PATIENCE).await.unwrap();
    ben.say(&format!("/read {}", said["seq"])).await.unwrap();
    ann.marked(&salt, "read", PATIENCE).await.unwrap();

    // A store is one process's; a typing error is nobody's message.
    let (status, _) = one.run(&["device", "list"], "").await.unwrap();
    assert!(!status.success(), "the store is in use");
    ben.say("/verfy").await.unwrap();
    ben.wait_for("unsaid", PATIENCE, |_| true).await.unwrap();
    ann.end().await.unwrap();
    ben.end().await.unwrap();

    // What is said while the other is away comes when they are back, and once.
    let mut ann = one.chat("two@b.example").unwrap();
    ann.say("while you were away").await.unwrap();
    ann.end().await.unwrap();
    let mut ben = two.chat("one@a.example").unwrap();
    ben.hears("while you were away", PATIENCE).await.unwrap();
    let again = ben.hears("while you were away", Duration::from_secs(1)).await;
    assert!(again.is_err(), "shown twice");
    ben.end().await.unwrap();
    let (status, told) = one.run(&["device", "list"], "").await.unwrap();
    assert!(status.success() && told[0]["devices"].as_array().unwrap().len() == 1, "{told:?}");
    nodes.stop().await.unwrap();
}

/// [W-1] [W-3] [W-7]
#[tokio::test]
async fn two_people_see_who_is_here_and_who_writes() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let [one, two] = seats(&nodes).await;
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    sealed(&mut ann).await;
    sealed(&mut ben).await;
    ann.say("hello").await.unwrap();
    ben.hears("hello", PATIENCE).await.unwrap();
    ann.say("/presence on").await.unwrap();
    ann.wait_for("agreement", PATIENCE, |said| said["agrees"] == true).await.unwrap();
    ben.say(r#"{"do":"presence","on":true}"#).await.unwrap();
    for (terminal, whom) in [(&mut ann, "two@b.example"), (&mut ben, "one@a.example")] {
        let here = |seen: &serde_json::Value| seen["who"] == whom && seen["is"] == "here";
        terminal.wait_for("presence", PATIENCE, here).await.unwrap();
    }
    ben.say("/typing on").await.unwrap();
    ben.say("/typing").await.unwrap();
    ann.wait_for("typing", PATIENCE, |seen| seen["who"] == "two@b.example" && seen["now"] == true).await.unwrap();
    ben.say("what I wrote").await.unwrap();
    ann.wait_for("typing", PATIENCE, |seen| seen["now"] == false).await.unwrap();
    ben.say("/presence off").await.unwrap();
    for (terminal, whom) in [(&mut ann, "two@b.example"), (&mut ben, "one@a.example")] {
        let gone = |seen: &serde_json::Value| seen["who"] == whom && seen["is"] == "unknown";
        terminal.wait_for("presence", PATIENCE, gone).await.unwrap();
    }
    ann.end().await.unwrap();
    // What ann chose is kept where they chose it; what was whispered is nowhere.
    let mut ann = one.chat("two@b.example").unwrap();
    ben.say("/presence on").await.unwrap();
    ann.wait_for("presence", PATIENCE, |seen| seen["is"] == "here").await.unwrap();
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    nodes.stop().await.unwrap();
}

/// What is read goes along with what is said next, where its person tells it at all.
#[tokio::test]
async fn a_person_tells_what_they_read_or_keeps_it_to_themselves() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let [one, two] = seats(&nodes).await;
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    sealed(&mut ann).await;
    sealed(&mut ben).await;
    let salts = [0x21, 0x22, 0x23].map(|byte: u8| format!("{byte:02x}").repeat(16));
    for (n, (salt, choice)) in salts.iter().zip(["no everywhere", "no", "yes"]).enumerate() {
        let text = format!("question {n}");
        ann.say(&json!({ "do": "write", "text": text, "salt": salt }).to_string()).await.unwrap();
        let (said, _) = ben.hears(&text, PATIENCE).await.unwrap();
        ben.say(&format!("/tell-read {choice}")).await.unwrap();
        ben.wait_for("conversation", PATIENCE, |talk| talk["tells_read"] == (choice == "yes")).await.unwrap();
        ben.say(&format!("/read {}", said["seq"])).await.unwrap();
        ben.say(&format!("answer {n}")).await.unwrap();
        ann.hears(&format!("answer {n}"), PATIENCE).await.unwrap();
        if choice != "yes" {
            assert!(ann.marked(salt, "read", Duration::ZERO).await.is_err(), "{choice}");
        }
    }
    // A position is whole: the last reading is of the ones before it too.
    for salt in &salts {
        ann.marked(salt, "read", PATIENCE).await.unwrap();
    }
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_said_is_found_in_the_terminal_and_beside_it() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let [one, two] = seats(&nodes).await;
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    sealed(&mut ann).await;
    sealed(&mut ben).await;
    ann.say("Shall we have lunch at the harbour?").await.unwrap();
    ben.hears("Shall we have lunch at the harbour?", PATIENCE).await.unwrap();
    ben.say("Any day, at the Grünmarkt").await.unwrap();
    ann.hears("Any day, at the Grünmarkt", PATIENCE).await.unwrap();

    // Words are shown before they are durable, and found from then on.
    let mut found = serde_json::Value::Null;
    for _ in 0..100 {
        ann.say("/find grunm* \"at the\"").await.unwrap();
        (found, _) = ann.wait_for("found", PATIENCE, |_| true).await.unwrap();
        if found["hits"][0].is_object() {
            break;
        }
    }
    assert_eq!((&found["hits"][0]["text"], &found["whole"]), (&json!("Any day, at the Grünmarkt"), &json!(true)));
    assert_eq!((&found["hits"][0]["author"], found["hits"].as_array().unwrap().len()), (&json!("two@b.example"), 1));
    ann.say("/find o*").await.unwrap();
    ann.wait_for("unsaid", PATIENCE, |_| true).await.unwrap();
    // From another process, while the chat goes on: what one said, and what was said to one.
    let search = |words: &'static [&str]| {
        let mut all = vec!["device", "search"];
        all.extend(words);
        all
    };
    let (status, told) = two.run(&search(&["harbour"]), "").await.unwrap();
    assert!(status.success() && told[0]["hits"][0]["seq"] == 2, "{told:?}");
    let (_, told) = one.run(&search(&["at the", "--with", "two@b.example"]), "").await.unwrap();
    assert_eq!(told[0]["hits"].as_array().unwrap().len(), 2, "{told:?}");
    let (_, told) = one.run(&search(&["at the", "--with", "nobody@b.example"]), "").await.unwrap();
    assert_eq!(told[0]["hits"], json!([]), "{told:?}");
    let (status, _) = one.run(&search(&["-*-"]), "").await.unwrap();
    assert!(!status.success(), "there is no word in it");
    let (status, _) = one.run(&search(&["--rebuild"]), "").await.unwrap();
    assert!(!status.success(), "the store is in use");
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    let (status, told) = one.run(&search(&["lunch", "--rebuild"]), "").await.unwrap();
    assert!(status.success() && told[0]["hits"][0]["author"].is_null(), "{told:?}");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_106_a_wrong_password_enrols_nothing_and_a_wrong_key_gets_no_password() {
    const CANARY: &str = "canary-password-91c2";
    let nodes = common::strangers().await;
    let seat = |dir: &str| Seat::new(common::program(), "one@a.example", &nodes.a, nodes.dir().join(dir));
    let wrong = seat("wrong").await.unwrap();
    let (status, told) = wrong.run(&["device", "enrol"], CANARY).await.unwrap();
    assert!(!status.success() && !format!("{told:?}").contains(CANARY), "{told:?}");
    // The other node's key: the node that answers is not the one that the person means.
    let other = Seat::new(common::program(), "one@a.example", &nodes.b, nodes.dir().join("other")).await.unwrap();
    let mut mislead = other;
    mislead.node.clone_from(&wrong.node);
    let began = tokio::time::Instant::now();
    let run = tokio::time::timeout(PATIENCE, mislead.run(&["device", "enrol"], postline_node::lab::PASSWORD)).await;
    assert!(!matches!(run, Ok(Ok((status, _))) if status.success()), "enrolled at another node");
    assert!(began.elapsed() < PATIENCE);
    assert!(!nodes.a.log().contains("enrolled"), "{}", nodes.a.log());
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_012_a_person_blocks_another_in_their_terminal() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let [one, two] = seats(&nodes).await;
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    sealed(&mut ann).await;
    sealed(&mut ben).await;
    ann.say("hello").await.unwrap();
    ben.hears("hello", PATIENCE).await.unwrap();
    ben.say("/block").await.unwrap();
    ben.wait_for("blocked", PATIENCE, |event| event["who"] == "one@a.example" && event["blocked"] == true)
        .await
        .unwrap();
    ben.wait_for("contact", PATIENCE, |contact| contact["level"] == 0).await.unwrap();
    let salt = "12".repeat(16);
    ben.say(&json!({ "do": "write", "text": "nor do I write", "salt": salt }).to_string()).await.unwrap();
    ben.wait_for("unsaid", PATIENCE, |event| event["salt"] == salt.as_str()).await.unwrap();
    ben.end().await.unwrap();
    let (status, told) = two.run(&["device", "unblock", "one@a.example"], "").await.unwrap();
    assert!(status.success() && told.iter().any(|event| event["blocked"] == false), "{told:?}");
    let (status, told) = two.run(&["device", "block", "nobody@a.example"], "").await.unwrap();
    assert!(!status.success(), "{told:?}");
    ann.end().await.unwrap();
    nodes.stop().await.unwrap();
}

/// A further device comes by a code, one goes, and one comes back from the backup; and what is secret on the way is in no
/// log and on no disk of the node.
#[tokio::test]
async fn t_089_devices_come_and_go_and_their_codes_are_in_no_log() {
    let nodes = common::strangers().await;
    let at = |dir: &str| Seat::new(common::program(), "one@a.example", &nodes.a, nodes.dir().join(dir));
    let (laptop, phone, tablet) =
        (at("laptop").await.unwrap(), at("phone").await.unwrap(), at("tablet").await.unwrap());
    laptop.enrol().await.unwrap();
    let told = phone.enrol().await.unwrap();
    assert!(told.iter().any(|event| event["event"] == "join_wanted"), "{told:?}");
    let mut joining = phone.joining().unwrap();
    let (shown, _) = joining.wait_for("code", PATIENCE, |_| true).await.unwrap();
    let code = shown["code"].as_str().unwrap().to_owned();
    // A wrong code lets nobody in, and takes nothing from the right one: what the phone asked is not heard twice.
    let (status, told) = laptop.run(&["device", "add"], "0000-0000-0000-0000-0000").await.unwrap();
    assert!(!status.success(), "{told:?}");
    laptop.run(&["device", "list"], "").await.unwrap();
    let (status, told) = laptop.run(&["device", "add"], &code).await.unwrap();
    assert!(status.success(), "{told:?}");
    joining.wait_for("enrolled", PATIENCE, |_| true).await.unwrap();
    joining.end().await.unwrap();
    let list = |told: &[serde_json::Value]| told[0]["devices"].as_array().unwrap().clone();
    let (_, told) = laptop.run(&["device", "list"], "").await.unwrap();
    assert_eq!(list(&told).len(), 2, "{told:?}");

    let backup = nodes.dir().join("backup.bin");
    let (status, told) = laptop.run(&["device", "backup", backup.to_str().unwrap()], "").await.unwrap();
    assert!(status.success(), "{told:?}");
    let passphrase = told.iter().find_map(|event| event["passphrase"].as_str()).unwrap().to_owned();
    let (_, told) = phone.run(&["device", "list"], "").await.unwrap();
    let key = list(&told).iter().find(|one| one["this"] == true).unwrap()["device"].as_str().unwrap().to_owned();
    let stolen = ["device", "revoke", &key, "--stolen", backup.to_str().unwrap()];
    let (status, told) = laptop.run(&stolen, "not the passphrase").await.unwrap();
    assert!(!status.success(), "{told:?}");
    let (status, told) = laptop.run(&stolen, &passphrase).await.unwrap();
    assert!(status.success(), "{told:?}");
    tablet.enrol().await.unwrap();
    let restore = ["device", "restore", backup.to_str().unwrap()];
    let (status, told) = tablet.run(&restore, "not the passphrase").await.unwrap();
    assert!(!status.success(), "{told:?}");
    let (status, told) = tablet.run(&restore, &passphrase).await.unwrap();
    assert!(status.success(), "{told:?}");

    let secrets = [code, passphrase];
    let log = nodes.a.log();
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()));
        for file in common::files(&nodes.dir().join("a.example/store")).iter().filter(|file| file.is_file()) {
            let bytes = std::fs::read(file).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", file.display());
        }
    }
    nodes.stop().await.unwrap();
}

/// The lines of the README's block, without their comments: whose machine they are for follows from `enrol`.
fn readme() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let block = text.split("```").find(|block| block.contains("postline device enrol")).unwrap();
    let lines = block.lines().map(|line| line.split('#').next().unwrap().trim());
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines.filter(|line| line.starts_with("postline ")).map(words).collect()
}

#[tokio::test]
async fn the_readmes_commands_work() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let mut talking = Vec::new();
    let commands = readme();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for (n, node) in [(0, &nodes.a), (2, &nodes.b)] {
        let home = nodes.dir().join(format!("home-{n}"));
        let run = |words: &[String]| {
            let mut command = tokio::process::Command::new(common::program());
            command.args(&words[1..]).env("XDG_DATA_HOME", &home).kill_on_drop(true);
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            command
        };
        let mut enrol = run(&commands[n]);
        // The demo's domains are in no DNS.
        enrol.args(["--node", &node.link, "--nk", &node.status().await.unwrap().node_key]);
        let mut enrolling = enrol.spawn().unwrap();
        let password = format!("{}\n", postline_node::lab::PASSWORD);
        enrolling.stdin.take().unwrap().write_all(password.as_bytes()).await.unwrap();
        let done = tokio::time::timeout(PATIENCE, enrolling.wait_with_output()).await.unwrap().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        let mut chat = run(&commands[n + 1]).spawn().unwrap();
        let lines = BufReader::new(chat.stdout.take().unwrap()).lines();
        talking.push((chat.stdin.take().unwrap(), lines, chat));
    }
    let [(mut one, mut one_sees, mut first), (_two, mut two_sees, _second)] = <[_; 2]>::try_from(talking).unwrap();
    let sealed = |line: &str| line.contains("sealed");
    for lines in [&mut one_sees, &mut two_sees] {
        let seen = async { while !sealed(&lines.next_line().await.unwrap().expect("the chat goes on")) {} };
        tokio::time::timeout(PATIENCE, seen).await.expect("keys are proven");
    }
    one.write_all(b"hello, as the README says\n").await.unwrap();
    let heard = async {
        while !two_sees.next_line().await.unwrap().unwrap().ends_with("one@a.example> hello, as the README says") {}
        while !one_sees.next_line().await.unwrap().unwrap().trim_start().starts_with("✓✓") {}
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("heard, and marked as delivered");
    drop(one);
    let ended = tokio::time::timeout(PATIENCE, first.wait()).await.unwrap().unwrap();
    assert!(ended.success());
    nodes.stop().await.unwrap();
}
