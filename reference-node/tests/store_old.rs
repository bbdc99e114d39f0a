//! Stores of every released form: each opens, is migrated, restores the machine, and what waited in it is delivered.
//!
//! A directory of `tests/old/` is a backup, less what isn't needed: `store/`, the node's key, and when it was made. Those
//! of a released form never change. `make_an_old_store` writes one of today's form: see CONTRIBUTING.md.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::PATIENCE;
use postline_core::server::{Ours, Server};
use postline_core::store::Key;
use postline_node::admin::Request;
use postline_node::backup::Manifest;
use postline_node::init::KeyFiles;
use postline_node::lab::{Letter, Node, Person};
use postline_node::store::Store;
use tokio::time::{Instant, sleep};

const LOOK: Duration = Duration::from_millis(5);
/// The kinds of keys, as their texts begin.
const KINDS: [&str; 12] = [
    "due/",
    "node",
    "peer/",
    "pending/",
    "queue/domain/",
    "queue/mailbox/",
    "queue/node/",
    "route/",
    "seen/",
    "strangers/",
    "trust/",
    "trust/one@a.example/two@b.example",
];

fn old() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old")
}

/// The old stores, oldest first.
fn stores() -> Vec<PathBuf> {
    let mut stores = common::files(&old());
    stores.sort();
    assert!(!stores.is_empty());
    stores
}

/// A copy of an old store, beside the key of its node.
fn copy(from: &Path, data_dir: &Path) {
    for part in ["store", "keys"] {
        // The copy takes its place, where there is one.
        let _ = std::fs::remove_dir_all(data_dir.join(part));
        let copied = std::process::Command::new("cp").arg("-r").arg(from.join(part)).arg(data_dir).status().unwrap();
        assert!(copied.success());
    }
    // Version control keeps no such modes.
    for key in common::files(&data_dir.join("keys")) {
        std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}

/// Every record of a store, and the kinds of keys among them.
fn records(store: &mut Store) -> (Vec<postline_core::store::Record>, BTreeSet<&'static str>) {
    let found = store.scan("", "", 100_000).unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    let texts: Vec<String> = found.records.iter().map(|record| record.key.to_string()).collect();
    let kinds = KINDS.into_iter().filter(|kind| texts.iter().any(|text| text.starts_with(kind))).collect();
    (found.records, kinds)
}

#[test]
fn every_record_of_an_old_store_is_understood() {
    for old in stores() {
        let dir = tempfile::tempdir().unwrap();
        copy(&old, dir.path());
        let mut store = Store::open(&dir.path().join("store")).unwrap();
        let (records, kinds) = records(&mut store);
        assert_eq!(kinds, BTreeSet::from(KINDS), "{}", old.display());
        let identity = KeyFiles::of(dir.path()).identity().unwrap();
        let domains = BTreeSet::from([postline_core::id::Domain::parse("a.example").unwrap()]);
        let ours = Ours { identity, domains, hint: None, offers: true, generation: store.generation() };
        let mut server = Server::restore(ours, store.restored_at_start().unwrap().records).unwrap();
        for record in &records {
            server.hydrate(&record.key, Some(record)).unwrap();
            if let Some(blob) = record.blob {
                assert!(store.body(blob).unwrap().is_some(), "{}: its body is there", record.key);
            }
        }
        let waiting = records.iter().filter(|record| matches!(record.key, Key::Queue(..))).count();
        assert_eq!(server.lanes().map(|(_, queue)| queue.len()).sum::<usize>(), waiting);
    }
}

#[tokio::test]
async fn what_waited_in_an_old_store_is_delivered() {
    for old in stores() {
        let manifest: Manifest = serde_json::from_slice(&std::fs::read(old.join("manifest.json")).unwrap()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        if now < u128::from(manifest.made_ms) {
            println!("skipped: this machine's clock is before the day on which {} was made", old.display());
            continue;
        }
        let mut nodes = common::set_up();
        copy(&old, &nodes.a.config().data_dir);
        nodes.b.start().await.unwrap();
        nodes.a.start().await.unwrap();
        nodes.a.ask(&Request::QueueRetry { lane: None }).await.unwrap();
        for (node, name, id) in [
            (&nodes.a, "three", "for-a-mailbox"),
            (&nodes.b, "six", "for-a-domain"),
            (&nodes.b, "two", "for-a-node"),
            (&nodes.b, "two", "for-a-node-large"),
        ] {
            node.inbox(name).wait_for(id, PATIENCE).await.unwrap();
        }
        assert_eq!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "trusted");
        assert_eq!(nodes.a.status().await.unwrap().store_generation, manifest.generation);
        nodes.stop().await.unwrap();
    }
}

/// Waits until a node's store has records of a kind.
async fn has(node: &Node, kind: &str) {
    let began = Instant::now();
    let dir = node.config().data_dir.join("store");
    loop {
        let reader = postline_node::store::Reader::open(&dir).unwrap();
        if !reader.scan(kind, "", 1).unwrap().records.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no record {kind}");
        sleep(LOOK).await;
    }
}

#[tokio::test]
#[ignore = "writes tests/old/$POSTLINE_OLD: once a release, where records or tables changed"]
async fn make_an_old_store() {
    let to = old().join(std::env::var("POSTLINE_OLD").expect("POSTLINE_OLD names the new directory"));
    let mut nodes = common::set_up();
    // Nobody can deliver to three: a file stands where their Maildir would be.
    std::fs::write(nodes.a.config().maildir_root.join("three"), "").unwrap();
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    common::line(&nodes).await;
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    two.submit(&Letter::to("one@a.example", "by-link")).await.unwrap();
    nodes.a.inbox("one").wait_for("by-link", PATIENCE).await.unwrap();
    let mut six = Person::new("six@b.example", &nodes.b).await.unwrap();
    six.submit(&Letter::to("one@a.example", "unanswered")).await.unwrap();
    has(&nodes.a, "strangers/").await;
    six.submit(&Letter::to("five@a.example", "to-five")).await.unwrap();
    nodes.a.inbox("five").wait_for("to-five", PATIENCE).await.unwrap();

    // From here on a can't look up b's keys, so that evidence is waited for.
    let zone = nodes.a.config().zone_file.clone().unwrap();
    let text = std::fs::read_to_string(&zone).unwrap();
    let selectors = ["postline-rsa", "postline-ed25519"].map(|name| format!("{name}._domainkey.b.example FAIL\n"));
    std::fs::write(&zone, text + &selectors.concat()).unwrap();
    nodes.a.kill().await.unwrap();
    nodes.a.start().await.unwrap();
    let mut four = Person::new("four@b.example", &nodes.b).await.unwrap();
    four.submit(&Letter::to("three@a.example", "for-a-mailbox")).await.unwrap();
    has(&nodes.a, "pending/").await;
    has(&nodes.a, "queue/mailbox/three/").await;
    nodes.b.kill().await.unwrap();

    let mut five = Person::new("five@a.example", &nodes.a).await.unwrap();
    five.submit(&Letter::answer("six@b.example", "for-a-domain", "to-five")).await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("two@b.example", "for-a-node")).await.unwrap();
    one.submit(&Letter::to("two@b.example", "for-a-node-large").of_bytes(80_000)).await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    let made = backup.path().join("made");
    let output = nodes.a.command("node").arg("backup").arg(&made).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    nodes.stop().await.unwrap();

    std::fs::create_dir_all(&to).unwrap();
    copy(&made, &to);
    std::fs::remove_file(to.join("keys/next.seed")).unwrap();
    std::fs::remove_dir(to.join("store/spool/partial")).unwrap();
    std::fs::copy(made.join("manifest.json"), to.join("manifest.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(&to, dir.path());
    let (_, kinds) = records(&mut Store::open(&dir.path().join("store")).unwrap());
    assert_eq!(kinds, BTreeSet::from(KINDS), "a record of each kind");
    println!("wrote {}", to.display());
}
