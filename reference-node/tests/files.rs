//! Files go from one device to another by their two nodes: sealed, whole, over cuts, and to nobody else.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]
#![allow(clippy::print_stdout, reason = "figures are printed, and what is skipped")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use common::PATIENCE;
use postline_core::client::io::{Far, Level, Login, Mark, Now, Saying, To};
use postline_core::client::{Command, Event};
use postline_core::content::file_name::SafeName;
use postline_core::content::part::Part;
use postline_core::content::text::{ClaimedName, Media};
use postline_core::fault::Code;
use postline_core::id::{Address, BlobRef, Hash, NodeKey};
use postline_core::limits;
use postline_core::seal::Attachment;
use postline_core::seal::attachment::AttachmentFault;
use postline_core::wire::talk::Password;
use postline_node::device::{Device, Dialler, FileFault, Handle, NodeAt, Place};
use postline_node::lab::{Node, Nodes, PASSWORD, Seat};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A way to a node that can be cut after so many bytes.
#[derive(Clone, Default)]
struct Way {
    /// How many bytes may still pass before the next cut; below zero: no bound.
    left: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

impl Way {
    fn new() -> Self {
        Self { left: Arc::new(AtomicI64::new(-1)), ..Self::default() }
    }

    /// Listens for what goes to `target`.
    async fn to(&self, target: String) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let all = self.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                let (there, back) = (all.clone(), all.clone());
                tokio::spawn(async move {
                    // Where the one direction is cut the other goes with it.
                    tokio::select! {
                        () = there.pass(near_in, far_out) => {}
                        () = back.pass(far_in, near_out) => {}
                    }
                });
            }
        });
        port
    }

    async fn pass(&self, mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
        let mut room = vec![0; 16 * 1024];
        while let Ok(got @ 1..) = from.read(&mut room).await {
            let left = self.left.load(Ordering::SeqCst);
            if left >= 0 && self.left.fetch_sub(got as i64, Ordering::SeqCst) < got as i64 {
                self.left.store(-1, Ordering::SeqCst);
                self.cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
            self.passed.fetch_add(got as u64, Ordering::SeqCst);
            if to.write_all(&room[..got]).await.is_err() {
                return;
            }
        }
    }

    fn cut_after(&self, bytes: u64) {
        self.left.store(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }

    fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// A person's device, in this process.
struct One {
    address: Address,
    handle: Handle,
    /// Whose keys are proven: it says so once, whoever waits for something else meanwhile.
    known: BTreeSet<Address>,
}

impl One {
    async fn new(address: &str, port: u16, nk: NodeKey, dir: &Path) -> Self {
        let address = Address::parse(address).unwrap();
        let at = NodeAt { host: "127.0.0.1".to_owned(), port };
        let dialler = Dialler::new(address.domain().clone(), Some(at), Some(nk), None).unwrap();
        let place = Place { dir: dir.join(format!("device-{address}")), address: address.clone() };
        let (device, handle) = Device::open(place, dialler).unwrap();
        tokio::spawn(async move { device.run().await.unwrap() });
        let login = Login { user: address.local().to_owned(), password: Password(PASSWORD.to_owned().into()) };
        let mut one = Self { address, handle, known: BTreeSet::new() };
        one.tell(Command::Enrol { login: Some(login) }).await;
        one.until(|event| matches!(event, Event::Enrolled { .. }).then_some(())).await;
        one.tell(Command::Connect).await;
        one
    }

    async fn tell(&self, command: Command) {
        self.handle.commands.send(command).await.unwrap();
    }

    async fn until<T>(&mut self, is: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = timeout(PATIENCE, self.handle.events.recv()).await.expect("in time").expect("it goes on");
            if let Event::Contact(contact) = &event
                && contact.level >= Level::Keys
            {
                self.known.insert(contact.address.clone());
            }
            if let Some(found) = is(&event) {
                return found;
            }
        }
    }

    async fn knows(&mut self, theirs: &Address) {
        if self.known.contains(theirs) {
            return;
        }
        self.until(|event| match event {
            Event::Contact(contact) => (contact.address == *theirs && contact.level >= Level::Keys).then_some(()),
            _ => None,
        })
        .await;
    }

    /// How it ends with a file, and how often it was told how far that is.
    async fn ends(&mut self, file: BlobRef) -> (Result<(), Code>, usize) {
        let told = std::cell::Cell::new(0);
        let end = self
            .until(|event| match event {
                Event::File { file: of, far, .. } if *of == file => {
                    told.set(told.get() + 1);
                    match far {
                        Far::Done => Some(Ok(())),
                        Far::Failed(why) => Some(Err(*why)),
                        Far::Here(_) | Far::AtNode(_) | Far::Waits(_) => None,
                    }
                }
                _ => None,
            })
            .await;
        (end, told.get())
    }

    async fn seal(&self, path: &Path) -> Attachment {
        let (files, path) = (self.handle.files.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || files.seal(&path)).await.unwrap().unwrap()
    }

    async fn save(&self, attachment: &Attachment, name: &str, dir: &Path) -> Result<PathBuf, FileFault> {
        let (files, attachment) = (self.handle.files.clone(), attachment.clone());
        let (name, dir) = (SafeName::from(&ClaimedName::parse(name).unwrap()), dir.to_owned());
        tokio::task::spawn_blocking(move || files.save(&attachment, &name, &dir)).await.unwrap()
    }

    async fn keeps(&mut self, theirs: &Address, file: BlobRef) -> Result<(), Code> {
        self.tell(Command::Keep { theirs: theirs.clone(), file }).await;
        self.ends(file).await.0
    }

    async fn fetches(&mut self, whose: &Address, file: BlobRef) -> Result<(), Code> {
        self.tell(Command::Fetch { whose: whose.clone(), file }).await;
        self.ends(file).await.0
    }
}

/// Two people with a line, a device each, and the ways that lead there.
struct World {
    nodes: Nodes,
    one: One,
    two: One,
    /// From one's device, from two's, and between the nodes.
    ways: [Way; 3],
}

async fn world() -> World {
    let mut nodes = common::set_up();
    // Whoever of the nodes dials, it is one way.
    let between = Way::new();
    let (port, back_port) = (between.to(nodes.b.link.clone()).await, between.to(nodes.a.link.clone()).await);
    let zone = nodes.dir().join("zone.txt");
    let mut records = std::fs::read_to_string(&zone).unwrap();
    for (at, ours) in [(&nodes.b.link, port), (&nodes.a.link, back_port)] {
        let real = at.rsplit_once(':').unwrap().1;
        records = records.replace(&format!("SRV 0 0 {real} "), &format!("SRV 0 0 {ours} "));
    }
    std::fs::write(&zone, records).unwrap();
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    common::line(&nodes).await;
    let ((way_one, mut one), (way_two, mut two)) =
        (device("one@a.example", &nodes.a, nodes.dir()).await, device("two@b.example", &nodes.b, nodes.dir()).await);
    one.knows(&two.address.clone()).await;
    two.knows(&one.address.clone()).await;
    World { nodes, one, two, ways: [way_one, way_two, between] }
}

async fn device(address: &str, node: &Node, dir: &Path) -> (Way, One) {
    let way = Way::new();
    let port = way.to(node.link.clone()).await;
    let nk = NodeKey::parse(&node.status().await.unwrap().node_key).unwrap();
    (way, One::new(address, port, nk, dir).await)
}

/// A file of so many bytes that nobody can guess or shorten.
fn written(dir: &Path, name: &str, len: usize) -> (PathBuf, Vec<u8>) {
    let (mut bytes, mut state) = (Vec::with_capacity(len), 0x2545_f491_4f6c_dd1d_u64);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    let path = dir.join(name);
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

/// [B-5] [B-6] [B-7] [B-8] [B-10] [B-11]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_to_whom_it_is_for_and_to_nobody_else() {
    let World { nodes, mut one, mut two, .. } = world().await;
    let (out, inn) = (nodes.dir().join("out"), nodes.dir().join("in"));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all(&inn).unwrap();
    let (path, bytes) = written(&out, "photo.jpg", 3 * 1024 * 1024 + 7);
    let attachment = one.seal(&path).await;
    let file = attachment.blob();
    // Before its author has left it, nobody has it: no line has it, no node is asked in vain for ever.
    let (ours, theirs) = (one.address.clone(), two.address.clone());
    assert_eq!(two.fetches(&ours, file).await, Err(Code::NoFile));
    one.tell(Command::Keep { theirs: theirs.clone(), file }).await;
    let (end, told) = one.ends(file).await;
    assert_eq!(end, Ok(()));
    assert!(told >= 4, "its author is told how far it is: {told} times");

    // What is said of it goes within a content; here it is as if that had come.
    let said = attachment.to_external(Media::default(), ClaimedName::parse("../../photo.jpg").unwrap()).unwrap();
    let heard = Attachment::read(&said).unwrap();
    two.tell(Command::Fetch { whose: ours.clone(), file: heard.blob() }).await;
    let (end, told) = two.ends(file).await;
    assert_eq!(end, Ok(()));
    assert!(told >= 4, "who waits for it is told how far it is: {told} times");
    let saved = two.save(&heard, said.name.as_str(), &inn).await.unwrap();
    assert_eq!(saved, inn.join("_.._photo.jpg"));
    assert!(std::fs::read(&saved).unwrap() == bytes, "it is another file");

    // Again: it is at two's own node now, and takes no other's place.
    assert_eq!(two.fetches(&ours, file).await, Ok(()));
    let again = two.save(&heard, said.name.as_str(), &inn).await.unwrap();
    assert_eq!(again, inn.join("_.._photo (2).jpg"));
    assert!(matches!(two.save(&heard, "x", &inn).await, Err(FileFault::Absent)), "it was taken");

    // Under another key nothing is given out, and nothing is left behind, also where it was to be opened as it comes.
    let other = one.seal(&path).await;
    let mut wrong = said.clone();
    wrong.sealed = other.to_external(Media::default(), ClaimedName::default()).unwrap().sealed;
    let wrong = Attachment::read(&wrong).unwrap();
    two.handle.files.open(&wrong).unwrap();
    assert_eq!(two.fetches(&ours, file).await, Ok(()));
    let fault = two.save(&wrong, "y", &inn).await.unwrap_err();
    assert!(matches!(fault, FileFault::Attachment(AttachmentFault::Key)), "{fault}");
    assert_eq!(std::fs::read_dir(&inn).unwrap().count(), 2, "something is left of what didn't open");

    // The author has it back, a stranger's is nobody's, and what never was is as what isn't for one.
    assert_eq!(one.fetches(&theirs, file).await, Ok(()));
    let stranger = Address::parse("nobody@b.example").unwrap();
    assert_eq!(one.keeps(&stranger, other.blob()).await, Err(Code::NotTrusted), "no line, no place");
    let never = BlobRef { sha256: Hash([7; 32]), len: 100_000 };
    assert_eq!(two.fetches(&ours, never).await, Err(Code::NoFile));
    assert_eq!(two.fetches(&stranger, file).await, Ok(()), "what is on one's own shelf, one has");
    let huge = BlobRef { sha256: Hash([8; 32]), len: limits::ATTACHMENT_BYTES + 1 };
    assert!(two.fetches(&ours, huge).await.is_err());
}

/// [B-7] [B-10]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_on_where_it_was_cut_on_each_of_its_ways() {
    let World { nodes, mut one, mut two, ways: [from_one, to_two, between] } = world().await;
    let (out, inn) = (nodes.dir().join("out"), nodes.dir().join("in"));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all(&inn).unwrap();
    let (ours, theirs) = (one.address.clone(), two.address.clone());
    let len = 2 * 1024 * 1024;
    for (round, cut) in [1_u64, 49_153, 700_001, 1_999_999].into_iter().enumerate() {
        let (path, bytes) = written(&out, &format!("{round}.bin"), len + round);
        let attachment = one.seal(&path).await;
        let file = attachment.blob();
        let before = from_one.passed();
        from_one.cut_after(cut);
        assert_eq!(one.keeps(&theirs, file).await, Ok(()), "cut after {cut}");
        let twice = |way: &Way, before: u64| (way.passed() - before) as usize > len + len / 2 + cut as usize;
        assert!(!twice(&from_one, before), "it began anew");
        // Between the nodes, and then on the last way, at once.
        let (at_two, at_link) = (to_two.passed(), between.passed());
        between.cut_after(cut);
        assert_eq!(two.fetches(&ours, file).await, Ok(()), "cut after {cut}");
        to_two.cut_after(cut);
        assert_eq!(two.fetches(&ours, file).await, Ok(()), "cut after {cut}");
        let saved = two.save(&attachment, "x", &inn).await.unwrap();
        assert!(std::fs::read(saved).unwrap() == bytes, "cut after {cut}: it is another file");
        assert!(
            (to_two.passed() - at_two) as usize > len && (between.passed() - at_link) as usize <= 2 * len + len / 2
        );
    }
    assert_eq!(from_one.cuts(), 4, "each upload was cut");
    assert_eq!(to_two.cuts(), 4, "each download was cut");
}

/// A file is fetched while its author is still leaving it, and each of its ways is cut meanwhile. [B-7] [B-8]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_passed_on_goes_on_where_it_was_cut_on_each_of_its_ways() {
    let World { nodes, mut one, mut two, ways } = world().await;
    let inn = nodes.dir().join("in");
    std::fs::create_dir_all(&inn).unwrap();
    let (ours, theirs) = (one.address.clone(), two.address.clone());
    for (round, cut) in [None, Some(0_usize), Some(1), Some(2)].into_iter().enumerate() {
        let (path, bytes) = written(nodes.dir(), &format!("{round}.bin"), 24 * 1024 * 1024 + round);
        let attachment = one.seal(&path).await;
        let file = attachment.blob();
        let passed = ways[0].passed();
        one.tell(Command::Keep { theirs: theirs.clone(), file }).await;
        one.until(|event| match event {
            Event::File { file: of, far: Far::Here(_) | Far::Done, .. } if *of == file => Some(()),
            _ => None,
        })
        .await;
        two.handle.files.open(&attachment).unwrap();
        two.tell(Command::Fetch { whose: ours.clone(), file }).await;
        two.until(|event| match event {
            Event::File { file: of, far: Far::Here(1..), .. } if *of == file => Some(()),
            _ => None,
        })
        .await;
        if let Some(cut) = cut {
            ways[cut].cut_after(100_003);
        }
        let (left, fetched) = tokio::join!(one.ends(file), two.ends(file));
        assert_eq!((left.0, fetched.0), (Ok(()), Ok(())), "cut on {cut:?}");
        let saved = two.save(&attachment, "x", &inn).await.unwrap();
        assert!(std::fs::read(saved).unwrap() == bytes, "cut on {cut:?}: it is another file");
        assert!(ways[0].passed() - passed < 36 * 1024 * 1024, "it began anew");
    }
    assert_eq!(ways.map(|way| way.cuts()), [1, 1, 1], "each way was cut");
}

/// The bodies of a length that a node keeps as files.
fn kept(nodes: &Nodes, len: u64) -> Vec<PathBuf> {
    let mut dirs = vec![nodes.dir().to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                dirs.push(entry.path());
            } else if meta.len() == len {
                found.push(entry.path());
            }
        }
    }
    found
}

/// A message with a file is taken back: neither node, nor any device, has anything of the file, and nobody is given it. The link
/// was down when that was said, and the author's node crashed after it. [B-12] [B-13] (attack 55)
#[tokio::test(flavor = "multi_thread")]
async fn t_055_the_file_of_what_is_taken_back_is_fetched_no_more() {
    let World { mut nodes, mut one, mut two, .. } = world().await;
    let (path, _) = written(nodes.dir(), "plan.bin", 1_000_003);
    let (ours, theirs) = (one.address.clone(), two.address.clone());
    let attachment = one.seal(&path).await;
    let file = attachment.blob();
    assert_eq!(one.keeps(&theirs, file).await, Ok(()));
    let external = attachment.to_external(Media::default(), ClaimedName::parse("plan.bin").unwrap()).unwrap();
    let what = Saying::message(Part::attachment(external));
    one.tell(Command::Say { to: To::Person(theirs.clone()), salt: None, what }).await;
    let seq = two
        .until(|event| match event {
            Event::Said(said) => Some(said.seq),
            _ => None,
        })
        .await;
    assert_eq!(two.fetches(&ours, file).await, Ok(()));
    // It waits at the reader's device, sealed, and lies at both nodes.
    assert_eq!(kept(&nodes, file.len).len(), 3, "{:?}", kept(&nodes, file.len));
    nodes.b.kill().await.unwrap();
    one.until(|event| {
        matches!(event, Event::Mark { mark: Mark::Sent | Mark::Delivered | Mark::Read, .. }).then_some(())
    })
    .await;
    one.tell(Command::Say { to: To::Person(theirs.clone()), salt: None, what: Saying::Retract { message: seq } }).await;
    one.until(|event| {
        let changed = matches!(event, Event::Changed(changed) if changed.now == Now::Retracted);
        changed.then_some(())
    })
    .await;
    let at_once = async {
        while kept(&nodes, file.len).len() > 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, at_once).await.expect("the author's node lets it go");
    nodes.a.kill().await.unwrap();
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    let gone = async {
        while !kept(&nodes, file.len).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("nobody keeps it");
    assert_eq!(two.fetches(&ours, file).await, Err(Code::NoFile));
    assert_eq!(one.fetches(&theirs, file).await, Err(Code::NoFile));
    let fault = two.save(&attachment, "plan.bin", nodes.dir()).await.unwrap_err();
    assert!(matches!(fault, FileFault::Absent), "{fault}");
}

/// [B-4]
#[tokio::test]
async fn two_people_send_each_other_files_by_hand() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let (out, inn) = (nodes.dir().join("out"), nodes.dir().join("in"));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all(&inn).unwrap();
    let mut talking = Vec::new();
    for (address, peer, node) in
        [("one@a.example", "two@b.example", &nodes.a), ("two@b.example", "one@a.example", &nodes.b)]
    {
        let store = nodes.dir().join(format!("device-{address}"));
        let seat = Seat::new(common::program(), address, node, store).await.unwrap();
        seat.enrol().await.unwrap();
        talking.push(seat.chat(peer).unwrap());
    }
    let (mut two, mut one) = (talking.pop().unwrap(), talking.pop().unwrap());
    for terminal in [&mut one, &mut two] {
        terminal.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
    }
    let (path, bytes) = written(&out, "a plan.pdf", 1_500_000);
    one.say(&format!("/send {}", path.display())).await.unwrap();
    one.wait_for("file", PATIENCE, |file| file["leaves"] == true && file["far"] == "done").await.unwrap();
    let (said, _) = two.wait_for("said", PATIENCE, |said| said["files"][0]["name"] == "a plan.pdf").await.unwrap();
    assert_eq!(said["files"][0]["length"], 1_500_000);
    two.say(&format!("/fetch {} {}", said["seq"], inn.display())).await.unwrap();
    let (saved, _) = two.wait_for("saved", PATIENCE, |_| true).await.unwrap();
    assert_eq!(saved["path"], inn.join("a plan.pdf").display().to_string());
    assert!(std::fs::read(inn.join("a plan.pdf")).unwrap() == bytes, "it is another file");
    two.wait_for("file", PATIENCE, |file| file["leaves"] == false && file["far"] == "here").await.unwrap();
    for line in ["/send /nowhere/at/all", "/fetch 9999 /tmp"] {
        one.say(line).await.unwrap();
        one.wait_for("unsaid", PATIENCE, |_| true).await.unwrap();
    }
    one.end().await.unwrap();
    two.end().await.unwrap();
}

/// The most that a process ever had in memory, in KiB; `None` where this machine doesn't say.
fn peak_kib(node: &Node) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()?)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A file passes through a node's disk, and never lies in its memory: it is twice as long as what that may grow by. [B-7]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_takes_no_room_in_a_nodes_memory() {
    let World { nodes, mut one, mut two, .. } = world().await;
    let (path, bytes) = written(nodes.dir(), "large", 32 * 1024 * 1024);
    let (ours, theirs) = (one.address.clone(), two.address.clone());
    let (attachment, before) = (one.seal(&path).await, [peak_kib(&nodes.a), peak_kib(&nodes.b)]);
    let file = attachment.blob();
    let began = std::time::Instant::now();
    assert_eq!(one.keeps(&theirs, file).await, Ok(()));
    let there = began.elapsed();
    two.handle.files.open(&attachment).unwrap();
    assert_eq!(two.fetches(&ours, file).await, Ok(()));
    println!("figure files.upload_ms {}", there.as_millis());
    println!("figure files.device_to_device_ms {}", began.elapsed().as_millis());
    let saved = two.save(&attachment, "large", nodes.dir()).await.unwrap();
    assert!(std::fs::read(saved).unwrap() == bytes, "it is another file");
    for (node, before) in [&nodes.a, &nodes.b].into_iter().zip(before) {
        let Some((now, before)) = peak_kib(node).zip(before) else {
            println!("skipped: this machine doesn't say what a process has in memory");
            continue;
        };
        println!("figure files.memory_kib {}", now - before);
        assert!(now - before <= 16 * 1024, "{} KiB more than before", now - before);
    }
}
