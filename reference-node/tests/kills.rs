//! kill -9 at random points of two running nodes, against a ledger of what they acknowledged (attack 107).
//!
//! ```text
//!   six submitters ── mail ──▶ a ◀══ link, SMTP ══▶ b ──▶ Maildirs
//!         └── 250 ──▶ ledger                                 │
//!   a or b: SIGKILL 0–60 ms after a cycle's first mail, started again … in the end every line of the ledger is there, once
//! ```
//!
//! `POSTLINE_KILLS` sets the number of cycles, `POSTLINE_SEED` makes the same choices again.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postline_core::limits;
use postline_core::store::Key;
use postline_node::admin::Request;
use postline_node::lab::{Letter, Node, Nodes, Person};
use postline_node::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest time from a cycle's first mail to the kill.
const KILL_WITHIN: Duration = Duration::from_millis(60);
/// How long a submitter thinks between two mails.
const THINKS: Duration = Duration::from_millis(8);
/// How many mails a submitter writes in a cycle at most: what the nodes can keep up with, however often they are killed.
const MAILS_PER_CYCLE: usize = 4;

/// How long a cycle that wants a link to cut waits for one.
const RELINK: Duration = Duration::from_secs(1);

/// Who writes to whom. Those with a line come first: nothing of theirs may ever double.
const ROUTES: [(&str, &str); 6] = [
    ("one@a.example", "two@b.example"),
    ("two@b.example", "one@a.example"),
    ("one@a.example", "two@b.example"),
    ("two@b.example", "one@a.example"),
    ("three@a.example", "four@b.example"),
    ("six@b.example", "five@a.example"),
];

/// The mails that were acknowledged.
type Ledger = Arc<Mutex<Vec<Letter>>>;

/// [P-1] [P-2]
#[tokio::test]
#[ignore = "runs for minutes; ./check runs it"]
async fn t_107_no_acknowledged_mail_is_lost_or_doubled_however_often_nodes_are_killed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let cycles = number("POSTLINE_KILLS").unwrap_or(20);
    let seed = number("POSTLINE_SEED").unwrap_or_else(rand::random);
    println!("figure kills.seed {seed}");
    let mut choice = StdRng::seed_from_u64(seed);
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;

    let ledger = Ledger::default();
    let (cycle, cycled) = watch::channel(());
    let (begun, mut begins) = watch::channel(());
    let submitters: Vec<_> = ROUTES
        .into_iter()
        .enumerate()
        .map(|(n, (from, to))| {
            let node = if from.ends_with("@a.example") { &nodes.a } else { &nodes.b };
            let submitter = Submitter { n, from, to, at: node.submission.clone(), ledger: Arc::clone(&ledger) };
            tokio::spawn(submitter.run(seed, begun.clone(), cycled.clone()))
        })
        .collect();

    let (began, mut links) = (Instant::now(), 0);
    for _ in 0..cycles {
        let first: bool = choice.random();
        let moment = KILL_WITHIN.mul_f64(choice.random());
        let linked: bool = choice.random();
        if linked {
            links += u64::from(are_linked(&nodes).await);
        }
        begins.mark_unchanged();
        cycle.send_replace(());
        begins.changed().await.unwrap();
        tokio::time::sleep(moment).await;
        let victim = if first { &mut nodes.a } else { &mut nodes.b };
        victim.kill().await.unwrap();
        victim.start().await.unwrap();
        // What met a dead node would wait a minute and more: so it is in flight again at the next kill.
        for node in [&nodes.a, &nodes.b] {
            node.ask(&Request::QueueRetry { lane: None }).await.unwrap();
        }
    }
    let killing = began.elapsed();
    drop(cycle);
    for submitter in submitters {
        submitter.await.unwrap();
    }
    println!("figure kills.cycles {cycles}");
    println!("figure kills.with_link {links}");
    println!("figure kills.seconds {:.1}", killing.as_secs_f64());

    let acked = std::mem::take(&mut *ledger.lock().unwrap());
    assert!(cycles < 20 || links > 0, "no kill met a link");
    assert!(acked.len() as u64 >= cycles, "{} mails say too little about {cycles} kills", acked.len());
    println!("figure kills.acked {}", acked.len());
    common::settled(&nodes).await;
    let found = Found::of(&nodes, &acked);
    println!("figure kills.lost {}", found.lost.len());
    println!("figure kills.doubled_link {}", found.doubled_link.len());
    println!("figure kills.doubled_smtp {}", found.doubled_smtp.len());
    println!(
        "{} of the acked, {} others arrived, {} files of cut deliveries",
        acked.len(),
        found.unacked,
        found.debris
    );
    assert!(found.lost.is_empty(), "lost: {:?}", found.lost);
    assert!(found.altered.is_empty(), "altered: {:?}", found.altered);
    assert!(found.doubled_link.is_empty(), "doubled between two with a line: {:?}", found.doubled_link);
    assert_eq!(found.foreign, 0, "nobody was told that a mail failed, since none did");
    // A server that dies between a mail's last byte and its own 250 gets the mail again (RFC 5321 §4.2.5).
    let in_flight = cycles * limits::LANE_SENDS as u64;
    assert!(found.doubled_smtp.len() as u64 <= in_flight, "more doubled than were in flight: {:?}", found.doubled_smtp);

    // Recovery changes nothing that is settled.
    for _ in 0..2 {
        for node in [&mut nodes.a, &mut nodes.b] {
            node.kill().await.unwrap();
            node.start().await.unwrap();
        }
        common::settled(&nodes).await;
        assert_eq!(Found::of(&nodes, &acked), found, "after another restart");
    }
    for node in [&mut nodes.a, &mut nodes.b] {
        node.end().await.unwrap();
        let log = node.log();
        let loud: Vec<&str> =
            log.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked")).collect();
        assert!(loud.is_empty(), "{loud:#?}");
        opens_clean(node);
    }
    nodes.stop().await.unwrap();
}

/// Somebody who writes one mail after another on one connection, and connects again whenever it breaks.
struct Submitter {
    n: usize,
    from: &'static str,
    to: &'static str,
    at: String,
    ledger: Ledger,
}

impl Submitter {
    async fn run(self, seed: u64, begun: watch::Sender<()>, mut cycled: watch::Receiver<()>) {
        let mut sizes = StdRng::seed_from_u64(seed.wrapping_add(self.n as u64));
        let (mut connected, mut left) = (None, 0);
        for n in 0.. {
            // Some inside their Carry, some in chunks, some as files of their own.
            let bytes = [0, 0, 0, 0, 2_000, 10_000, 40_000, 150_000][sizes.random_range(0..8)];
            let letter = Letter::to(self.to, &format!("{}-{n}", self.n)).of_bytes(bytes);
            if left == 0 {
                // No more cycles: no more mails.
                let Ok(()) = cycled.changed().await else { return };
                left = MAILS_PER_CYCLE;
            }
            let mut person = match connected.take() {
                Some(person) => person,
                None => match Person::at(self.from, &self.at).await {
                    Ok(person) => person,
                    Err(_) => {
                        tokio::time::sleep(THINKS).await;
                        continue;
                    }
                },
            };
            begun.send_replace(());
            left -= 1;
            // What was cut off may have been taken: nobody promised anything.
            if person.submit(&letter).await.is_ok() {
                self.ledger.lock().unwrap().push(letter);
                connected = Some(person);
            }
            tokio::time::sleep(THINKS).await;
        }
    }
}

/// Waits until both nodes have their link again, for a while: with it up or not, a kill must do no harm.
async fn are_linked(nodes: &Nodes) -> bool {
    let began = Instant::now();
    loop {
        if nodes.a.has_link().await.unwrap() && nodes.b.has_link().await.unwrap() {
            return true;
        }
        if began.elapsed() > RELINK {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What the mailboxes say about the ledger.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    lost: Vec<String>,
    altered: Vec<String>,
    doubled_link: Vec<String>,
    doubled_smtp: Vec<String>,
    /// Mails whose 250 was cut off, and that were taken.
    unacked: usize,
    /// Mails that nobody wrote.
    foreign: usize,
    /// Files in `tmp`.
    debris: usize,
}

impl Found {
    fn of(nodes: &Nodes, acked: &[Letter]) -> Self {
        let mut arrived: BTreeMap<String, Vec<(&str, Vec<u8>)>> = BTreeMap::new();
        let (mut foreign, mut debris) = (0, 0);
        for (node, user) in [(&nodes.a, "one"), (&nodes.a, "five"), (&nodes.b, "two"), (&nodes.b, "four")] {
            let inbox = node.inbox(user);
            debris += common::files(&inbox.dir().join("tmp")).len();
            for file in common::files(&inbox.dir().join("new")) {
                let bytes = std::fs::read(file).unwrap();
                match postline_node::lab::id_of(&bytes) {
                    Some(id) if !id.ends_with("hello") => arrived.entry(id).or_default().push((user, bytes)),
                    Some(_) => {}
                    None => foreign += 1,
                }
            }
        }
        let (mut lost, mut altered) = (Vec::new(), Vec::new());
        for letter in acked {
            let user = letter.to.split('@').next().unwrap();
            match arrived.get(&letter.id).and_then(|copies| copies.iter().find(|(to, _)| *to == user)) {
                None => lost.push(letter.id.clone()),
                Some((_, bytes)) if !bytes.ends_with(letter.text().as_bytes()) => altered.push(letter.id.clone()),
                Some(_) => {}
            }
        }
        let doubled = arrived.iter().filter(|(_, copies)| copies.len() > 1).map(|(id, _)| id.clone());
        let (doubled_link, doubled_smtp) = doubled.partition(|id| id.starts_with(['0', '1', '2', '3']));
        let unacked = arrived.len() + lost.len() - acked.len();
        Self { lost, altered, doubled_link, doubled_smtp, unacked, foreign, debris }
    }
}

/// The store of a node that has ended: every record is whole, and none still waits to be delivered.
fn opens_clean(node: &Node) {
    let mut store = Store::open(&node.config().data_dir.join("store")).unwrap();
    let restored = store.restored_at_start().unwrap();
    assert_eq!(restored.damaged, Vec::<String>::new());
    assert!(!restored.records.iter().any(|record| matches!(record.key, Key::Queue(..))), "{:?}", restored.records);
    let mut after = String::new();
    loop {
        let page = store.scan("", &after, 1_000).unwrap();
        assert_eq!(page.damaged, Vec::<String>::new());
        let Some(last) = page.records.last() else { return };
        after = last.key.to_string();
    }
}
