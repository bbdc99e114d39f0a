//! What the tests with running nodes share.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use postline_node::lab::{Letter, Nodes, Person, Plan};

/// How long anything may take on a slow and busy machine before a test calls it lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_postline"))
}

/// Two nodes that run, and nobody who knows anybody.
pub(crate) async fn strangers() -> Nodes {
    let plans = [Plan::of(&["one", "three", "five"]), Plan::of(&["two", "four", "six"])];
    Nodes::start(program(), plans).await.unwrap()
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
