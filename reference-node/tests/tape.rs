//! What is sealed is read by the devices it is for, and by nobody else (I14): everything that passes between processes is
//! recorded, and the tapes, the nodes' disks, their logs and their memory are searched for what was said.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "what is skipped is said")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::PATIENCE;
use postline_node::lab::{Nodes, Seat, Terminal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Everything that went through, both ways.
type Tape = Arc<Mutex<Vec<u8>>>;

/// Records what goes to `target` and back; gives the port where it listens.
async fn recorded(target: String, tape: &Tape) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tape = Arc::clone(tape);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&target).await else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                let tape = Arc::clone(&tape);
                tokio::spawn(async move {
                    let mut room = vec![0; 16 * 1024];
                    while let Ok(got @ 1..) = from.read(&mut room).await {
                        tape.lock().unwrap().extend_from_slice(&room[..got]);
                        if to.write_all(&room[..got]).await.is_err() {
                            return;
                        }
                    }
                    // Either end may be gone already.
                    let _gone = to.shutdown().await;
                });
            }
        }
    });
    port
}

/// Something that nobody else can have said.
fn marker() -> String {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The markers that these bytes hold, found in one pass.
fn held<'m>(bytes: &[u8], markers: &'m [String]) -> BTreeSet<&'m str> {
    let mut begins = vec![false; 1 << 16];
    let two = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    markers.iter().for_each(|marker| begins[two(marker.as_bytes())] = true);
    let mut found = BTreeSet::new();
    for at in (0..bytes.len().saturating_sub(1)).filter(|at| begins[two(&bytes[*at..])]) {
        let here = markers.iter().filter(|marker| bytes[at..].starts_with(marker.as_bytes()));
        found.extend(here.map(String::as_str));
    }
    found
}

/// The markers that files below a directory hold, each with the file.
fn on_disk<'m>(dir: &Path, markers: &'m [String]) -> BTreeMap<&'m str, String> {
    let mut found = BTreeMap::new();
    for path in common::files(dir) {
        if path.is_dir() {
            found.extend(on_disk(&path, markers));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            found.extend(held(&bytes, markers).into_iter().map(|marker| (marker, path.display().to_string())));
        }
    }
    found
}

/// How many markers a process has in its memory; `None` where this machine doesn't let us look.
fn in_memory(pid: u32, markers: &[String]) -> Option<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = BTreeSet::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        // What can't be read is no memory of its own.
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            found.extend(held(&bytes, markers));
        }
    }
    Some(found.len())
}

async fn sealed(terminal: &mut Terminal) {
    terminal.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
}

/// Two nodes with a line, and all that passes between them on a tape.
async fn taped(links: &Tape) -> Nodes {
    let mut nodes: Nodes = common::set_up();
    // Between the nodes: what one's DNS says of the other leads through us.
    let zone = nodes.dir().join("zone.txt");
    let mut records = std::fs::read_to_string(&zone).unwrap();
    for at in [&nodes.a.link, &nodes.b.link, &nodes.a.smtp, &nodes.b.smtp] {
        let (real, ours) = (at.rsplit_once(':').unwrap().1, recorded(at.clone(), links).await);
        for (was, is) in
            [(format!("SRV 0 0 {real} "), format!("SRV 0 0 {ours} ")), (format!(":{real}\n"), format!(":{ours}\n"))]
        {
            records = records.replace(&was, &is);
        }
    }
    std::fs::write(&zone, records).unwrap();
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    common::line(&nodes).await;
    nodes
}

#[tokio::test]
async fn nothing_that_is_sealed_is_on_a_wire_a_disk_or_in_a_log_of_a_node() {
    let (links, sessions) = (Tape::default(), Tape::default());
    let mut nodes = taped(&links).await;
    let mut seats = Vec::new();
    for (address, node, dir) in [("one@a.example", &nodes.a, "device-1"), ("two@b.example", &nodes.b, "device-2")] {
        let mut seat = Seat::new(common::program(), address, node, nodes.dir().join(dir)).await.unwrap();
        seat.node = format!("127.0.0.1:{}", recorded(node.link.clone(), &sessions).await);
        seat.enrol().await.unwrap();
        seats.push(seat);
    }
    let (mut one, mut two) = (seats[0].chat("two@b.example").unwrap(), seats[1].chat("one@a.example").unwrap());
    sealed(&mut one).await;
    sealed(&mut two).await;
    let mut markers = Vec::new();
    for n in 0..20 {
        let marker = marker();
        let (from, to) = if n % 2 == 0 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        from.say(&format!("here is {marker}, said once")).await.unwrap();
        to.hears(&format!("here is {marker}, said once"), PATIENCE).await.unwrap();
        markers.push(marker);
    }
    // The control: whoever may read it has it, and this search finds it.
    let ours = [&one, &two].map(|terminal| in_memory(terminal.pid().unwrap(), &markers));
    let theirs = [&nodes.a, &nodes.b].map(|node| in_memory(node.pid().unwrap(), &markers));
    match (ours, theirs) {
        ([Some(one), Some(two)], [Some(a), Some(b)]) => {
            assert!(one > 0 && two > 0, "the search finds nothing in devices' memory");
            assert_eq!((a, b), (0, 0), "a node has in memory what was sealed");
        }
        _ => println!("skipped: this machine doesn't let us look into the memory of processes"),
    }
    one.end().await.unwrap();
    two.end().await.unwrap();
    for seat in &seats {
        assert_eq!(on_disk(&seat.store, &markers).len(), markers.len(), "not in the device's own store");
    }
    let disks = |nodes: &Nodes, when: &str| {
        for dir in ["a.example", "b.example"] {
            assert_eq!(on_disk(&nodes.dir().join(dir), &markers), BTreeMap::new(), "{when}");
        }
    };
    disks(&nodes, "while the nodes run");
    for tape in [&links, &sessions] {
        assert_eq!(held(&tape.lock().unwrap(), &markers), BTreeSet::new(), "on a wire");
    }
    assert!(
        nodes.a.log().contains("node is up") && nodes.dir().join("a.example/node.log").is_file(),
        "logs are searched"
    );
    let said: usize = markers.iter().map(String::len).sum();
    for tape in [&links, &sessions] {
        assert!(tape.lock().unwrap().len() > 2 * said, "the tapes are too short to hold what was said");
    }
    nodes.a.end().await.unwrap();
    nodes.b.end().await.unwrap();
    disks(&nodes, "after the nodes' end");
}

/// How much is on a tape, once nothing comes for a while.
async fn quiet(tape: &Tape) -> usize {
    let mut before = 0;
    loop {
        let now = tape.lock().unwrap().len();
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// What a person keeps to themselves of what they read reaches their other device, and not a byte of it the other's node;
/// the author never learns.
#[tokio::test]
async fn t_046_a_reading_kept_to_oneself_is_on_no_wire_but_that_of_ones_own_devices() {
    let links = Tape::default();
    let nodes = taped(&links).await;
    let at = |address, node, dir: &str| Seat::new(common::program(), address, node, nodes.dir().join(dir));
    let laptop = at("one@a.example", &nodes.a, "laptop").await.unwrap();
    let phone = at("one@a.example", &nodes.a, "phone").await.unwrap();
    let desk = at("two@b.example", &nodes.b, "desk").await.unwrap();
    laptop.enrol().await.unwrap();
    desk.enrol().await.unwrap();
    let (mut ann, mut ben) = (laptop.chat("two@b.example").unwrap(), desk.chat("one@a.example").unwrap());
    sealed(&mut ann).await;
    sealed(&mut ben).await;
    ann.say("hello").await.unwrap();
    ben.hears("hello", PATIENCE).await.unwrap();
    // Before the phone is there, the person chooses; it hears of it once it is.
    ann.say("/tell-read no everywhere").await.unwrap();
    ann.wait_for("conversation", PATIENCE, |talk| talk["tells_read"] == false).await.unwrap();
    phone.enrol().await.unwrap();
    let mut joining = phone.joining().unwrap();
    let (shown, _) = joining.wait_for("code", PATIENCE, |_| true).await.unwrap();
    ann.say(&format!("/add {}", shown["code"].as_str().unwrap())).await.unwrap();
    joining.wait_for("enrolled", PATIENCE, |_| true).await.unwrap();
    joining.end().await.unwrap();
    let mut small = phone.chat("two@b.example").unwrap();
    small.wait_for("conversation", PATIENCE, |talk| talk["tells_read"] == false).await.unwrap();
    ben.wait_for("conversation", PATIENCE, |talk| talk["devices"] == 3).await.unwrap();

    let salt = "46".repeat(16);
    let question = serde_json::json!({ "do": "write", "text": "have you read this?", "salt": salt });
    ben.say(&question.to_string()).await.unwrap();
    let (said, _) = ann.hears("have you read this?", PATIENCE).await.unwrap();
    small.hears("have you read this?", PATIENCE).await.unwrap();
    ben.marked(&salt, "delivered", PATIENCE).await.unwrap();
    let before = quiet(&links).await;
    ann.say(&format!("/read {}", said["seq"])).await.unwrap();
    small.wait_for("read_elsewhere", PATIENCE, |read| read["seq"].as_u64() >= said["seq"].as_u64()).await.unwrap();
    // The keep-alive of a link takes less.
    let passed = quiet(&links).await - before;
    assert!(passed < 128, "{passed} bytes passed between the nodes");
    assert!(ben.marked(&salt, "read", Duration::from_secs(1)).await.is_err(), "the author learned of it");
    // What the person tells, they tell: the tape hears that.
    small.say("/tell-read yes everywhere").await.unwrap();
    ann.wait_for("conversation", PATIENCE, |talk| talk["tells_read"] == true).await.unwrap();
    ben.say("and this?").await.unwrap();
    let (said, _) = ann.hears("and this?", PATIENCE).await.unwrap();
    ann.say(&format!("/read {}", said["seq"])).await.unwrap();
    ben.marked(&salt, "read", PATIENCE).await.unwrap();
    assert!(quiet(&links).await > before + 128);
    for terminal in [ann, ben, small] {
        terminal.end().await.unwrap();
    }
    nodes.stop().await.unwrap();
}
