//! What a sealed message costs two running nodes, counted so that no load changes it: sync calls, packets, bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postline_core::id::{Address, ConversationId, Hash};
use postline_core::machine::session::device::{Input, Output};
use postline_core::seal::lists::Chain;
use postline_core::seal::{AddressIdentity, Secret};
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::list::{Device as Listed, DeviceList};
use postline_core::wire::log::{Change, direct, tag};
use postline_core::wire::statement::Signed;
use postline_core::wire::talk::{Kind, Line, Origin, Post, Publication, Talk};
use postline_node::lab::{Letter, Node, Nodes, Person, Plan};
use tokio::time::{Instant, sleep};

use crate::common::{self, PATIENCE, Strace};
use crate::kit::{Begun, Device, Wire, at, key, right};

/// How long a message of 200 bytes is, padded and sealed: `a_group_on_disk_is_small` of the core says so.
const SEALED_BYTES: usize = 456;
/// The heads of IP and TCP, timestamps included (RFC 791, 9293, 7323).
const HEAD_BYTES: usize = 52;
/// A node without a system call of interest for so long has nothing left to do for a message.
const QUIET: Duration = Duration::from_millis(300);
const HERE: [&str; 8] = ["one", "three", "h3", "h4", "h5", "h6", "h7", "h8"];
const THERE: [&str; 8] = ["two", "four", "t3", "t4", "t5", "t6", "t7", "t8"];

/// A device that seals nothing, in the one conversation that it has.
struct Chatter {
    device: Device,
    talk: ConversationId,
    number: u64,
    /// Whether the other's key proof is here.
    knows: bool,
}

impl Chatter {
    async fn join(node: &Node, user: &str, theirs: &str) -> Self {
        let domain = if HERE.contains(&user) { "a.example" } else { "b.example" };
        // A key is one address's own.
        let seed = HERE.iter().chain(&THERE).position(|is| *is == user).unwrap() as u8;
        let (address, wire) = (format!("{user}@{domain}"), Wire::tls(at(node, "link").await));
        let mut device = Device::on(wire, seed, &address, key(node).await, right(user));
        assert_eq!(device.begun(), Begun::Up);
        let theirs = Address::parse(theirs).unwrap();
        let known = line(&mut device, &theirs);
        let t2 = known.t2.unwrap();
        for (number, what) in [(1, list(&device)), (2, proof(&device, &theirs, t2))] {
            device.step(Input::Say(Talk::Publish { number, what }));
        }
        Self { device, talk: direct(t2), number: 0, knows: known.proof.is_some() }
    }

    /// Waits until the other's key proof is here: their device may post then.
    fn knows(&mut self, theirs: &Address) {
        while !self.knows {
            self.knows = line(&mut self.device, theirs).proof.is_some();
        }
    }

    fn post(&mut self, kind: Kind, members: &[&Address], bytes: Vec<u8>) {
        self.number += 1;
        let origin = Origin { device: tag(self.talk, self.device.identity.dk()), number: self.number };
        let mut members: Vec<Address> = members.iter().map(|member| (*member).clone()).collect();
        members.sort();
        let (conversation, epoch) = (self.talk, u64::from(kind == Kind::Message));
        let post = Post { conversation, origin, kind, epoch, members, bytes };
        self.device.step(Input::Say(Talk::Post(post)));
    }

    fn write(&mut self) {
        self.post(Kind::Message, &[], vec![7; SEALED_BYTES]);
    }

    /// Waits for the next entry of somebody else, and acks it where that is wanted.
    fn reads(&mut self, acks: impl Fn(u64) -> bool) -> u64 {
        loop {
            if let Talk::Event(event) = heard(&mut self.device)
                && event.bytes.is_some()
            {
                if acks(event.seq) {
                    self.device.step(Input::Say(Talk::Have { conversation: self.talk, seq: event.seq }));
                }
                return event.seq;
            }
        }
    }

    /// Waits until the mark `delivered` comes.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is not waited for")]
    fn delivered(&mut self) -> u64 {
        loop {
            match heard(&mut self.device) {
                Talk::Delivered { seq, .. } => return seq,
                Talk::Event(event) => {
                    self.device.step(Input::Say(Talk::Have { conversation: self.talk, seq: event.seq }));
                }
                _ => {}
            }
        }
    }
}

/// The keys of a device's person: of that device alone.
fn keys(device: &Device) -> (AddressIdentity, Signed<DeviceList>) {
    let secret = |what: &[u8]| Secret::new(sha256(&[what, &device.identity.dk().0]).0);
    let (ak, next) = (AddressIdentity::new(&secret(b"ak")), AddressIdentity::new(&secret(b"next")));
    let listed = Listed::new(device.identity.dk(), false, Millis(1_000));
    let (list, _) = Chain::found(device.address().clone(), &ak, next.ak().hash(), false, vec![listed]).unwrap();
    (ak, list)
}

/// The person's list: only listed devices take part.
fn list(device: &Device) -> Publication {
    Publication::List(keys(device).1.bytes().to_vec())
}

fn proof(device: &Device, theirs: &Address, t2: Hash) -> Publication {
    let (ak, list) = keys(device);
    let chain = Chain::begin(device.address(), &list).unwrap();
    let proof = KeyProof {
        t2,
        author: device.address().clone(),
        other: theirs.clone(),
        identity: chain.identity(),
        ak: ak.ak(),
        number: chain.number(),
        list: chain.hash(),
    };
    Publication::Proof { theirs: theirs.clone(), bytes: ak.state(proof).unwrap().bytes().to_vec() }
}

/// Waits for word of a line.
fn line(device: &mut Device, theirs: &Address) -> Line {
    loop {
        if let Talk::Line(line) = heard(device)
            && line.theirs == *theirs
            && line.t2.is_some()
        {
            return line;
        }
    }
}

fn heard(device: &mut Device) -> Talk {
    loop {
        match device.next() {
            Some(Output::Talk(refused @ Talk::Unposted { .. })) => panic!("{refused:?}"),
            Some(Output::Talk(talk)) => return talk,
            Some(_) => {}
            None => panic!("the node closed"),
        }
    }
}

/// Two nodes, lines between so many of their people, and a device of each, in conversation.
async fn pairs(count: usize) -> (Nodes, Vec<(Chatter, Chatter)>) {
    let plans = [Plan::of(&HERE), Plan::of(&THERE)];
    let nodes = Nodes::start(common::program(), plans).await.unwrap();
    let mut all = Vec::new();
    for (here, there) in HERE.into_iter().zip(THERE).take(count) {
        let (ours, theirs) = (format!("{here}@a.example"), format!("{there}@b.example"));
        let (hello, answer) = (format!("hello-{here}"), format!("re-hello-{here}"));
        let mut one = Person::new(&ours, &nodes.a).await.unwrap();
        let mut two = Person::new(&theirs, &nodes.b).await.unwrap();
        one.submit(&Letter::to(&theirs, &hello)).await.unwrap();
        nodes.b.inbox(there).wait_for(&hello, PATIENCE).await.unwrap();
        two.submit(&Letter::answer(&ours, &answer, &hello)).await.unwrap();
        nodes.a.inbox(here).wait_for(&answer, PATIENCE).await.unwrap();
        let mut author = Chatter::join(&nodes.a, here, &theirs).await;
        let mut reader = Chatter::join(&nodes.b, there, &ours).await;
        assert_eq!(author.talk, reader.talk);
        author.knows(&reader.device.address().clone());
        reader.knows(&author.device.address().clone());
        let create = Change { commit: Vec::new(), welcome: None, group_info: vec![7; 1_000] };
        let members = [author.device.address().clone(), reader.device.address().clone()];
        author.post(Kind::Create, &[&members[0], &members[1]], create.to_bytes());
        reader.reads(|_| true);
        author.delivered();
        all.push((author, reader));
    }
    (nodes, all)
}

/// What strace wrote about a node.
struct Calls {
    file: PathBuf,
    strace: Strace,
}

/// Sync calls, and what was written to TCP connections: from, to, bytes.
type Done = (usize, Vec<(String, String, usize)>);

impl Calls {
    async fn of(node: &Node, dir: &Path) -> Option<Self> {
        let file = dir.join(format!("calls-of-{}", node.pid().unwrap()));
        let trace = "trace=fdatasync,fsync,sync_file_range,sendto,sendmsg,write,writev";
        let strace = Strace::attach(node, &["-yy", "-s", "0", "-o", file.to_str().unwrap(), "-e", trace]).await?;
        Some(Self { file, strace })
    }

    /// What it did so far, once no more comes.
    async fn settled(&self) -> Done {
        let read = || done(&std::fs::read_to_string(&self.file).unwrap_or_default());
        let (began, mut last, mut since) = (Instant::now(), read(), Instant::now());
        // Threads that wake each other write too: only what is counted must rest.
        while since.elapsed() < QUIET {
            let now = read();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            assert!(began.elapsed() < PATIENCE, "it never rests");
            sleep(Duration::from_millis(20)).await;
        }
        last
    }
}

fn done(text: &str) -> Done {
    let (mut begun, mut syncs, mut writes) = (BTreeMap::new(), 0, Vec::new());
    for line in text.lines() {
        let Some((thread, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        let whole = match (call.strip_suffix("<unfinished ...>"), call.split_once(" resumed>")) {
            (Some(first), _) => {
                begun.insert(thread, first.to_owned());
                continue;
            }
            (None, Some((_, rest))) => begun.remove(thread).unwrap_or_default() + rest,
            (None, None) => call.to_owned(),
        };
        if whole.contains("sync") && !whole.contains("TCP:[") {
            syncs += 1;
        }
        let ends = whole.split_once("<TCP:[").and_then(|(_, rest)| rest.split_once("]>")?.0.split_once("->"));
        let bytes = whole.rsplit_once(" = ").and_then(|(_, got)| got.trim().parse::<usize>().ok());
        if let (Some((from, to)), Some(bytes)) = (ends, bytes) {
            writes.push((from.to_owned(), to.to_owned(), bytes));
        }
    }
    (syncs, writes)
}

/// The writes to connections that both nodes have an end of: to the links between them.
fn between<'w>(
    ours: &'w [(String, String, usize)],
    theirs: &'w [(String, String, usize)],
) -> impl Iterator<Item = usize> + 'w {
    let ends: BTreeSet<(&str, &str)> =
        ours.iter().chain(theirs).map(|(from, to, _)| (from.as_str(), to.as_str())).collect();
    ours.iter().chain(theirs).filter(move |(from, to, _)| ends.contains(&(to, from))).map(|(_, _, bytes)| *bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_message_and_its_mark_cost_a_sync_and_a_packet_each_way() {
    const MESSAGES: usize = 6;
    let strace = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("strace").exists()));
    if !strace {
        println!("skipped: no strace");
        return;
    }
    let (nodes, mut pairs) = pairs(1).await;
    let (mut one, mut two) = pairs.remove(0);
    let dir = nodes.a.config().data_dir.clone();
    let (Some(a), Some(b)) = (Calls::of(&nodes.a, &dir).await, Calls::of(&nodes.b, &dir).await) else { return };
    for what in ["at_the_hub", "at_the_other_node"] {
        // The first message of a device also writes down that the device is there.
        for turn in [1, MESSAGES] {
            let before = (a.settled().await, b.settled().await);
            for _ in 0..turn {
                one.write();
                let seq = two.reads(|_| true);
                while one.delivered() < seq {}
            }
            let (here, there) = (a.settled().await, b.settled().await);
            let syncs = here.0 + there.0 - before.0.0 - before.1.0;
            let (ours, theirs) = (&here.1[before.0.1.len()..], &there.1[before.1.1.len()..]);
            let link: Vec<usize> = between(ours, theirs).collect();
            if turn == 1 {
                continue;
            }
            // What answers a packet acks it; only the last of a message may be acked by itself.
            let bytes = link.iter().sum::<usize>() / turn + HEAD_BYTES * (link.len() / turn + 1);
            println!("figure sealed.lone_syncs_{what} {:.2}", syncs as f64 / turn as f64);
            println!("figure sealed.lone_packets_{what} {:.2}", link.len() as f64 / turn as f64);
            println!("figure sealed.lone_ip_bytes_{what} {bytes}");
            assert_eq!(syncs, 2 * turn, "{what}: one sync at each node");
            assert_eq!(link.len(), 2 * turn, "{what}: one packet there and one back: {link:?}");
            assert!(bytes <= 1_000, "{what}: {bytes} IP bytes");
        }
        std::mem::swap(&mut one, &mut two);
    }
    a.strace.detach().await;
    b.strace.detach().await;
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_pairs_with_windows_of_64_share_their_syncs() {
    const MESSAGES: u64 = 256;
    const WINDOW: u64 = 64;
    let (nodes, pairs) = pairs(8).await;
    let before = nodes.counters().await.unwrap().commits;
    let mut threads = Vec::new();
    for (mut author, mut reader) in pairs {
        // The first entry is the Create.
        let last = 1 + MESSAGES;
        threads.push(std::thread::spawn(move || {
            let mut delivered = 1;
            while delivered < last {
                while author.number < last && author.number < delivered + WINDOW {
                    author.write();
                }
                delivered = author.delivered();
            }
        }));
        threads.push(std::thread::spawn(move || while reader.reads(|seq| seq % 16 == 0 || seq == last) < last {}));
    }
    tokio::task::block_in_place(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
    let commits = nodes.counters().await.unwrap().commits - before;
    let each = commits as f64 / (8 * MESSAGES) as f64;
    println!("figure sealed.commits_at_window_64 {each:.4}");
    assert!(each <= 1.0 / 16.0, "{each} commits a message, both nodes together");
    nodes.stop().await.unwrap();
}
