//! What an express mail costs, counted at the system calls of two running nodes, so that no load changes it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{PATIENCE, Strace};
use postline_node::lab::{Letter, Node, Person};
use tokio::time::{Instant, sleep};

/// How many mails are counted: too few for the store's log to start over, which costs one commit a second sync.
const MAILS: usize = 6;
/// A node without a system call of interest for so long has nothing left to do for a mail.
const QUIET: Duration = Duration::from_millis(300);

/// What strace wrote about a node.
struct Calls {
    file: PathBuf,
    strace: Strace,
}

impl Calls {
    async fn of(node: &Node, dir: &Path) -> Option<Self> {
        let file = dir.join(format!("calls-of-{}", node.pid().unwrap()));
        let log = file.to_str().unwrap();
        let trace = "trace=fdatasync,fsync,sync_file_range,connect,rename,renameat,renameat2";
        let strace = Strace::attach(node, &["-ttt", "-s", "300", "-o", log, "-e", trace]).await?;
        Some(Self { file, strace })
    }

    /// The calls so far, once no more come: when each began, and what it was.
    async fn settled(&self) -> Vec<(f64, String)> {
        let (began, mut size, mut since) = (Instant::now(), 0, Instant::now());
        while since.elapsed() < QUIET {
            let now = std::fs::metadata(&self.file).map_or(0, |file| file.len());
            if now != size {
                (size, since) = (now, Instant::now());
            }
            assert!(began.elapsed() < PATIENCE, "it never rests");
            sleep(Duration::from_millis(10)).await;
        }
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let call = |line: &str| {
            let (_thread, rest) = line.trim_start().split_once(' ')?;
            let (at, call) = rest.trim_start().split_once(' ')?;
            Some((at.parse().ok()?, call.to_owned()))
        };
        text.lines().filter_map(call).collect()
    }
}

fn is_sync((_, call): &&(f64, String)) -> bool {
    ["fdatasync(", "fsync(", "sync_file_range("].iter().any(|name| call.starts_with(name))
}

#[tokio::test]
async fn an_express_mail_costs_one_sync_on_each_side_and_no_connection() {
    let strace = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("strace").exists()));
    if !strace {
        println!("skipped: no strace");
        return;
    }
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let inbox = nodes.b.inbox("two");
    let dir = nodes.a.config().data_dir.clone();
    let (Some(a), Some(b)) = (Calls::of(&nodes.a, &dir).await, Calls::of(&nodes.b, &dir).await) else { return };
    let (mut here, mut there, mut connections) = (0, 0, 0);
    for n in 0..MAILS {
        let before = (a.settled().await.len(), b.settled().await.len());
        let id = format!("counted-{n}");
        let bytes = [0, 2_000, 60_000][n % 3];
        one.submit(&Letter::answer("two@b.example", &id, "re-hello").of_bytes(bytes)).await.unwrap();
        let acked = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        inbox.wait_for(&id, PATIENCE).await.unwrap();
        let (ours, theirs) = (a.settled().await, b.settled().await);
        let (ours, theirs) = (&ours[before.0..], &theirs[before.1..]);
        let before_ack = ours.iter().filter(is_sync).filter(|(at, _)| *at < acked).count();
        let visible = theirs.iter().position(|(_, call)| call.starts_with("rename") && call.contains("/new/")).unwrap();
        let before_visible = theirs[..visible].iter().filter(is_sync).count();
        assert!(before_ack <= 1, "before the 250: {ours:#?}");
        assert!(before_visible <= 1, "before mail {n} is visible: {theirs:#?}, while here: {ours:#?}");
        (here, there) = (here + before_ack, there + before_visible);
        connections += ours.iter().chain(theirs).filter(|(_, call)| call.starts_with("connect(")).count();
    }
    assert_eq!(connections, 0, "the link is there already");
    assert!(here == MAILS && there == MAILS, "each side syncs each mail: {here} and {there} of {MAILS}");
    println!("figure express.syncs_before_250 {:.2}", here as f64 / MAILS as f64);
    println!("figure express.syncs_before_visible {:.2}", there as f64 / MAILS as f64);
    println!("figure express.connections {connections}");
    a.strace.detach().await;
    b.strace.detach().await;
    nodes.stop().await.unwrap();
}
