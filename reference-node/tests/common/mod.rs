//! What the tests with running nodes share.
#![allow(dead_code, clippy::print_stdout, reason = "each test uses its part; what is skipped is said")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use postline_node::admin::Request;
use postline_node::lab::{Letter, Node, Nodes, Person, Plan};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long anything may take on a slow and busy machine before a test calls it lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_postline"))
}

/// Two nodes that don't run yet.
pub(crate) fn set_up() -> Nodes {
    Nodes::set_up(program(), [Plan::of(&["one", "three", "five"]), Plan::of(&["two", "four", "six"])]).unwrap()
}

/// Two nodes that run, and nobody who knows anybody.
pub(crate) async fn strangers() -> Nodes {
    let mut nodes = set_up();
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    nodes
}

/// Gives `one@a.example` and `two@b.example` a line: the one writes, the other answers.
pub(crate) async fn line(nodes: &Nodes) {
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    one.submit(&Letter::to("two@b.example", "hello")).await.unwrap();
    nodes.b.inbox("two").wait_for("hello", PATIENCE).await.unwrap();
    two.submit(&Letter::answer("one@a.example", "re-hello", "hello")).await.unwrap();
    nodes.a.inbox("one").wait_for("re-hello", PATIENCE).await.unwrap();
    assert_eq!(nodes.wait_for_line(PATIENCE).await.unwrap(), "trusted");
}

/// The files of a directory, which need not be there yet.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Waits until nothing waits on either node.
pub(crate) async fn settled(nodes: &Nodes) {
    let began = Instant::now();
    loop {
        let mut waiting = Vec::new();
        for node in [&nodes.a, &nodes.b] {
            let queued = node.status().await.unwrap().queued;
            if queued.values().sum::<u64>() > 0 {
                waiting.push(queued);
                node.ask(&Request::QueueRetry { lane: None }).await.unwrap();
            }
        }
        if waiting.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting: {waiting:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a node a signal.
pub(crate) fn signal(node: &Node, signal: &str) {
    let pid = node.pid().unwrap().to_string();
    let sent = std::process::Command::new("sh").args(["-c", "kill -$1 $2", "sh", signal, &pid]).status().unwrap();
    assert!(sent.success());
}

/// A strace that watches a running node.
pub(crate) struct Strace {
    process: Child,
    pid: u32,
}

impl Strace {
    /// Watches a node from here on; `None`, and a word about it, where this machine doesn't allow it.
    pub(crate) async fn attach(node: &Node, args: &[&str]) -> Option<Self> {
        let pid = node.pid().unwrap().to_string();
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid]).args(args).kill_on_drop(true);
        let mut process = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap_or_default();
        if !first.contains("attached") {
            println!("skipped: {first}");
            return None;
        }
        let pid = process.id().unwrap();
        // What it says goes on being read, lest it waits for that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { process, pid })
    }

    /// Lets the node go.
    pub(crate) async fn detach(mut self) {
        let pid = self.pid.to_string();
        let sent = std::process::Command::new("sh").args(["-c", "kill -INT $1", "sh", &pid]).status().unwrap();
        assert!(sent.success());
        self.process.wait().await.unwrap();
    }
}
