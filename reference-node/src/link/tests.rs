use std::collections::BTreeSet;

use postline_codec::stream::{FrameReader, encode};
use postline_core::content::mail::{Head, Inert, MailEnvelope, Source, Verdict};
use postline_core::fault::Code;
use postline_core::id::{Address, CarryId, Domain, Hash, MailId};
use postline_core::machine::greeting::{self, Greeting, Ours};
use postline_core::machine::link::{self, Link, Outgoing};
use postline_core::seal::{NodeIdentity, Secret};
use postline_core::step::{Machine, Outbox, Store, Tick};
use postline_core::store::{Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::frame::{Domains, ExpressEnvelope};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::tls::{self, CertificateFiles};

/// Where the other node is.
type Targets = Arc<Mutex<Vec<SocketAddr>>>;

/// A node whose owner knows one other, keeps everything that comes, and acks it.
struct Node {
    identity: NodeIdentity,
    domains: BTreeSet<Domain>,
    other: (NodeIdentity, Domain, Targets),
    link: Link,
    greetings: BTreeMap<LinkId, (Greeting, bool)>,
    links: Links<Host>,
    host: Host,
    inbox: mpsc::Receiver<Told>,
    seen: mpsc::UnboundedSender<Seen>,
    started: Instant,
    steps: u64,
    cut_after: Option<u32>,
}

enum Told {
    Link(LinkId, LinkIn, Option<Staged>),
    Input(link::Input),
    CutAfterChunks(u32),
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Exporter([u8; 32]),
    Up,
    Down,
    Acked(MailId),
    Arrived(CarryId, u64),
    Failed(Code),
    GoesOn,
}

#[derive(Clone)]
struct Host {
    inbox: mpsc::Sender<Told>,
    spool: Spool,
    held: Arc<Mutex<BTreeMap<Hash, Arc<[u8]>>>>,
}

impl Host {
    fn hold(&self, bytes: Vec<u8>) -> BlobRef {
        let blob = BlobRef { sha256: sha256(&[&bytes]), len: bytes.len() as u64 };
        self.held.lock().unwrap().insert(blob.sha256, bytes.into());
        blob
    }
}

impl LinkHost for Host {
    async fn tell(&self, link: LinkId, what: LinkIn, staged: Option<Staged>) -> bool {
        self.inbox.send(Told::Link(link, what, staged)).await.is_ok()
    }

    fn spool(&self) -> Spool {
        self.spool.clone()
    }

    async fn mail(&self, _: &From, carry: &Carry, body: Body) -> io::Result<MailIn> {
        assert_eq!(body.len(), carry.body.len);
        let head = Head { message_id: None, hops: 0, verdict: Verdict::Inert(Inert::Missing) };
        let envelope = MailEnvelope { from: Some(carry.envelope.from.clone()), to: Vec::new() };
        Ok(MailIn { source: Source::Node, envelope, head, blob: carry.body, received: String::new() })
    }

    fn body(&self, blob: BlobRef) -> io::Result<Body> {
        let held = self.held.lock().unwrap().get(&blob.sha256).cloned();
        held.map(Body::Bytes).ok_or(io::ErrorKind::NotFound.into())
    }
}

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

fn effects<O>(out: Outbox<O>) -> Vec<O> {
    out.split().1.open(NoStore.commit(&[]).unwrap())
}

fn identity(seed: u8) -> NodeIdentity {
    NodeIdentity::new(&Secret::new([seed; 32]), NodeKey([0; 32]))
}

fn domain(seed: u8) -> Domain {
    Domain::parse(&format!("n{seed}.example")).unwrap()
}

impl Node {
    fn tick(&mut self) -> Tick {
        self.steps += 1;
        let now = Millis(1_000_000 + self.started.elapsed().as_millis() as u64);
        Tick { now, entropy: sha256(&[&self.steps.to_be_bytes(), &self.identity.nk().0]).0 }
    }

    async fn run(mut self) {
        loop {
            let now = self.tick().now;
            let due = [self.link.deadline()].into_iter().chain(self.greetings.values().map(|(g, _)| g.deadline()));
            let due = due.flatten().min().map_or(10_000, |at| at.since(now));
            match timeout(Duration::from_millis(due), self.inbox.recv()).await {
                Err(_) => {
                    self.link(link::Input::Wake);
                    for link in self.greetings.keys().copied().collect::<Vec<_>>() {
                        self.greet(link, greeting::Input::Wake);
                    }
                }
                Ok(None) => return,
                Ok(Some(Told::CutAfterChunks(chunks))) => self.cut_after = Some(chunks),
                Ok(Some(Told::Input(input))) => self.link(input),
                Ok(Some(Told::Link(link, what, staged))) => self.told(link, what, staged),
            }
        }
    }

    fn told(&mut self, link: LinkId, what: LinkIn, staged: Option<Staged>) {
        if let Some(staged) = staged {
            let bytes = staged.body().unwrap().to_bytes().unwrap();
            assert_eq!(self.host.hold(bytes.to_vec()), staged.blob);
        }
        let input = match what {
            LinkIn::Up { dialled, exporter } => {
                self.seen.send(Seen::Exporter(exporter)).unwrap();
                let (tick, mut out) = (self.tick(), Outbox::new());
                let greeting = match &dialled {
                    Some(dial) => {
                        let domains = Domains { speaker: dial.ours.clone(), listener: dial.theirs.clone() };
                        Greeting::dial(&tick, &self.identity, domains, dial.nk, exporter, &mut out)
                    }
                    None => Greeting::answer(&tick, exporter),
                };
                self.greetings.insert(link, (greeting, dialled.is_some()));
                return self.greeted(link, out);
            }
            LinkIn::Frame(frame) if self.greetings.contains_key(&link) => {
                return self.greet(link, greeting::Input::Frame(frame));
            }
            LinkIn::Garbage(fault) if self.greetings.contains_key(&link) => {
                return self.greet(link, greeting::Input::Garbage(fault));
            }
            LinkIn::Down => match self.greetings.remove(&link) {
                Some((_, true)) => link::Input::Unreachable,
                Some((_, false)) => return,
                None => link::Input::Down(link),
            },
            LinkIn::Frame(frame) => {
                self.count_to_the_cut(&frame);
                link::Input::Frame(link, frame)
            }
            LinkIn::Carry(carry, _) => link::Input::Frame(link, Frame::Carry(carry)),
            LinkIn::Have { blob, bytes } => {
                if bytes > 0 {
                    self.seen.send(Seen::GoesOn).unwrap();
                }
                link::Input::Have(link, blob, bytes)
            }
            LinkIn::Body(blob, _) => link::Input::Fetched(link, blob),
            LinkIn::Spoiled(blob) => link::Input::Spoiled(link, blob),
            LinkIn::Garbage(fault) => link::Input::Garbage(link, fault),
            LinkIn::Bytes(_) => panic!("nobody has files here"),
        };
        self.link(input);
    }

    fn count_to_the_cut(&mut self, frame: &Frame) {
        if matches!(frame, Frame::Chunk { .. })
            && let Some(left) = &mut self.cut_after
        {
            *left -= 1;
            if *left == 0 {
                self.cut_after = None;
                self.links.drop_all();
            }
        }
    }

    fn greet(&mut self, link: LinkId, input: greeting::Input) {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let ours = Ours { identity: &self.identity, domains: &self.domains };
        if let Some((greeting, _)) = self.greetings.get_mut(&link) {
            greeting.step(&tick, ours, input, &mut out);
        }
        self.greeted(link, out);
    }

    fn greeted(&mut self, link: LinkId, out: Outbox<greeting::Output>) {
        for output in effects(out) {
            match output {
                greeting::Output::Send(frame) => self.links.perform(link, vec![LinkOut::Send(frame)]),
                greeting::Output::Proven { nk, .. } => {
                    assert_eq!(nk, self.other.0.nk());
                    let (_, dialled) = self.greetings.remove(&link).unwrap();
                    self.link(link::Input::Proven { link, dialled });
                }
                greeting::Output::Left(code) => {
                    self.seen.send(Seen::Failed(code)).unwrap();
                    self.links.perform(link, vec![LinkOut::Close]);
                }
                greeting::Output::Failed(fault) => {
                    self.seen.send(Seen::Failed(fault.code())).unwrap();
                    self.links.perform(link, vec![LinkOut::Close]);
                }
            }
        }
    }

    fn link(&mut self, input: link::Input) {
        let (tick, mut out) = (self.tick(), Outbox::new());
        self.link.step(&tick, input, &mut out).unwrap();
        for output in effects(out) {
            let settled = |carry: &Carry| link::Input::Settled { seq: carry.seq, result: Ok(()) };
            match output {
                link::Output::Out(link, what) => self.links.perform(link, vec![what]),
                link::Output::Dial => self.dial(),
                link::Output::Up(_) => self.seen.send(Seen::Up).unwrap(),
                link::Output::Down(_) => self.seen.send(Seen::Down).unwrap(),
                link::Output::Came(carry) if carry.body.len > limits::CARRY_INLINE_BYTES => {}
                link::Output::Came(carry) | link::Output::Whole(carry) => {
                    assert!(
                        self.host.held.lock().unwrap().contains_key(&carry.body.sha256),
                        "staged before it is told"
                    );
                    self.seen.send(Seen::Arrived(carry.id, carry.body.len)).unwrap();
                    self.link(settled(&carry));
                }
                link::Output::Acked(mail) => self.seen.send(Seen::Acked(mail)).unwrap(),
                link::Output::Fault(fault) => self.seen.send(Seen::Failed(fault.code())).unwrap(),
                link::Output::Refused { .. }
                | link::Output::Trust(_)
                | link::Output::Marks(_)
                | link::Output::MarksWanted(_)
                | link::Output::Talk(_)
                | link::Output::File(_)
                | link::Output::Whisper(_) => panic!("nobody said that"),
            }
        }
    }

    fn dial(&self) {
        let (nk, ours, theirs) = (self.other.0.nk(), self.domains.first().unwrap().clone(), self.other.1.clone());
        let dial = Dial { nk, ours, theirs, hint: None };
        let (links, targets, inbox) =
            (self.links.clone(), self.other.2.lock().unwrap().clone(), self.host.inbox.clone());
        tokio::spawn(async move {
            if links.dial(dial, &targets).await.is_err() {
                let _stopped = inbox.send(Told::Input(link::Input::Unreachable)).await;
            }
        });
    }
}

/// A node as a test holds it.
struct Held {
    at: SocketAddr,
    host: Host,
    links: Links<Host>,
    targets: Targets,
    seen: mpsc::UnboundedReceiver<Seen>,
    _dir: TempDir,
    _drain: watch::Sender<bool>,
}

impl Held {
    async fn tell(&self, input: link::Input) {
        assert!(self.host.inbox.send(Told::Input(input)).await.is_ok());
    }

    async fn send(&self, n: u8, body: Vec<u8>) -> MailId {
        let body = self.host.hold(body);
        let (from, to) = (Address::parse("a@n1.example").unwrap(), vec![Address::parse("b@n2.example").unwrap()]);
        let envelope = ExpressEnvelope { from, to, submitted: Millis(1) };
        let outgoing = Outgoing { mail: MailId([n; 16]), id: CarryId([n; 16]), envelope, body };
        self.tell(link::Input::Send(outgoing)).await;
        MailId([n; 16])
    }

    async fn sees(&mut self, wanted: &Seen) {
        let found = async {
            while let Some(seen) = self.seen.recv().await {
                if seen == *wanted {
                    return;
                }
            }
            panic!("the node ended before {wanted:?}");
        };
        timeout(Duration::from_secs(10), found).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
    }
}

fn server_config(dir: &TempDir) -> Arc<ServerConfig> {
    let files = CertificateFiles::self_signed(&["any.example".to_owned()], dir.path()).unwrap();
    Arc::new(tls::link_server(files.load().unwrap()).unwrap())
}

async fn node(us: u8, them: u8, targets: Vec<SocketAddr>, timing: Timing) -> Held {
    let dir = TempDir::new().unwrap();
    let (told, inbox) = mpsc::channel(64);
    let spool = Spool::open(dir.path()).unwrap();
    let host = Host { inbox: told, spool, held: Arc::default() };
    let links = Links::new(host.clone(), Arc::new(tls::link_client().unwrap()), timing);
    let (drain, draining) = watch::channel(false);
    let config = server_config(&dir);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(links.clone().serve(listener, Arc::new(move || Arc::clone(&config)), draining));
    let (seen_by, seen) = mpsc::unbounded_channel();
    let (ours, theirs) = (identity(us), identity(them));
    let targets = Arc::new(Mutex::new(targets));
    let link = Link::new(theirs.nk(), ours.nk(), 0, Hash([0; 32]));
    let node = Node {
        identity: ours,
        domains: BTreeSet::from([domain(us)]),
        other: (theirs, domain(them), Arc::clone(&targets)),
        link,
        greetings: BTreeMap::new(),
        links: links.clone(),
        host: host.clone(),
        inbox,
        seen: seen_by,
        started: Instant::now(),
        steps: 0,
        cut_after: None,
    };
    tokio::spawn(node.run());
    Held { at, host, links, targets, seen, _dir: dir, _drain: drain }
}

/// Two nodes, the first of which knows where the second is.
async fn two(timing: Timing) -> (Held, Held) {
    let b = node(2, 1, Vec::new(), timing).await;
    (node(1, 2, vec![b.at], timing).await, b)
}

fn quick() -> Timing {
    let ms = Duration::from_millis;
    Timing { connect: ms(500), dial: ms(1_000), stagger: ms(50), handshake: ms(300), write: ms(300) }
}

/// A TLS connection that a test speaks on by hand.
struct Raw {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    frames: FrameReader,
    exporter: [u8; 32],
}

impl Raw {
    async fn connect(at: SocketAddr) -> Self {
        let connector = TlsConnector::from(Arc::new(tls::link_client().unwrap()));
        let tcp = TcpStream::connect(at).await.unwrap();
        let stream = connector.connect(ServerName::try_from("n2.example").unwrap(), tcp).await.unwrap();
        let exporter = link_exporter(stream.get_ref().1).unwrap();
        Self { stream, frames: FrameReader::new(), exporter }
    }

    async fn say(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        encode(frame, None, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next frame; `None` where the other end closed.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(incoming) = self.frames.next().unwrap() {
                return Some(incoming.frame);
            }
            let mut buffer = [0; 256];
            let read = timeout(Duration::from_secs(5), self.stream.read(&mut buffer)).await.expect("an answer");
            match read {
                Ok(0) | Err(_) => return None,
                Ok(got) => assert_eq!(self.frames.push(&buffer[..got]), got),
            }
        }
    }
}

/// Greets as node 1 would, and gives what was said: Hello and Proof.
async fn greet(raw: &mut Raw) -> (Frame, Frame) {
    let (us, them) = (identity(1), identity(2));
    let domains = Domains { speaker: domain(1), listener: domain(2) };
    let tick = Tick { now: Millis(1), entropy: raw.exporter };
    let mut out = Outbox::new();
    let mut greeting = Greeting::dial(&tick, &us, domains, them.nk(), raw.exporter, &mut out);
    let ours = BTreeSet::from([domain(1)]);
    let mut said = Vec::new();
    loop {
        for output in effects(out) {
            match output {
                greeting::Output::Send(frame) => {
                    raw.say(&frame).await;
                    said.push(frame);
                }
                greeting::Output::Proven { .. } => return (said[0].clone(), said[1].clone()),
                greeting::Output::Left(code) => panic!("sent away: {code:?}"),
                greeting::Output::Failed(fault) => panic!("{fault}"),
            }
        }
        out = Outbox::new();
        let frame = raw.hear().await.expect("the greeting goes on");
        greeting.step(&tick, Ours { identity: &us, domains: &ours }, greeting::Input::Frame(frame), &mut out);
    }
}

#[tokio::test]
async fn mails_small_and_large_go_over_a_link_and_are_acked() {
    let (mut a, mut b) = two(Timing::default()).await;
    let small = a.send(1, b"Subject: hi\r\n\r\nhi\r\n".to_vec()).await;
    let large = a.send(2, vec![b'x'; 1_000_000]).await;
    let edge = a.send(3, vec![b'y'; limits::CARRY_INLINE_BYTES as usize]).await;
    for (mail, len) in [(small, 19), (edge, limits::CARRY_INLINE_BYTES), (large, 1_000_000)] {
        b.sees(&Seen::Arrived(CarryId(mail.0), len)).await;
    }
    for mail in [small, edge, large] {
        a.sees(&Seen::Acked(mail)).await;
    }
    // The same line carries both ways.
    let back = b.send(4, vec![b'z'; 100_000]).await;
    b.sees(&Seen::Acked(back)).await;
}

#[tokio::test]
async fn both_dial_at_once_and_one_connection_stays() {
    let (mut a, mut b) = two(Timing::default()).await;
    b.targets.lock().unwrap().push(a.at);
    let (from_a, from_b) = (a.send(1, vec![1; 10]).await, b.send(2, vec![2; 10]).await);
    a.sees(&Seen::Acked(from_a)).await;
    b.sees(&Seen::Acked(from_b)).await;
}

#[tokio::test]
async fn a_cut_connection_is_dialled_again_and_a_large_body_goes_on_where_it_was() {
    let (mut a, mut b) = two(Timing::default()).await;
    let first = a.send(1, vec![0; 10]).await;
    a.sees(&Seen::Acked(first)).await;
    assert!(b.host.inbox.send(Told::CutAfterChunks(50)).await.is_ok());
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7) as u8).collect();
    let mail = a.send(2, large).await;
    b.sees(&Seen::Down).await;
    b.sees(&Seen::GoesOn).await;
    b.sees(&Seen::Arrived(CarryId(mail.0), 5_000_000)).await;
    a.sees(&Seen::Acked(mail)).await;
    assert!(b.seen.try_recv().is_err(), "it came once");
}

#[tokio::test]
async fn t_091_who_opens_a_connection_and_says_nothing_is_closed() {
    let (_a, b) = two(quick()).await;
    let mut silent = TcpStream::connect(b.at).await.unwrap();
    let closed = timeout(Duration::from_secs(3), silent.read(&mut [0; 16])).await.expect("closed in time");
    assert!(matches!(closed, Ok(0) | Err(_)));
}

#[tokio::test]
async fn t_091_a_handshake_that_never_ends_is_ended() {
    let (_a, b) = two(quick()).await;
    let mut slow = TcpStream::connect(b.at).await.unwrap();
    // A TLS record of 500 bytes, one byte after the other: each is progress, and none is enough.
    let begun = Instant::now();
    let record = [&[22, 3, 1, 1, 0xf4, 1, 0, 1, 0xf0, 3, 3][..], &[0; 489]].concat();
    for byte in record {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn t_091_one_address_takes_so_many_places_and_no_more() {
    let (_a, b) = two(Timing::default()).await;
    let mut places = Vec::new();
    for _ in 0..limits::GREETINGS_PER_IP {
        places.push(TcpStream::connect(b.at).await.unwrap());
    }
    sleep(Duration::from_millis(100)).await;
    let mut extra = TcpStream::connect(b.at).await.unwrap();
    let closed = timeout(Duration::from_secs(2), extra.read(&mut [0; 16])).await.expect("turned away at once");
    assert!(matches!(closed, Ok(0) | Err(_)));
    let mut first = places.remove(0);
    assert!(timeout(Duration::from_millis(100), first.read(&mut [0; 16])).await.is_err(), "the others stay");
}

#[tokio::test]
async fn t_091_who_does_not_read_is_closed_instead_of_written_to() {
    let (_a, mut b) = two(quick()).await;
    let mut deaf = Raw::connect(b.at).await;
    greet(&mut deaf).await;
    deaf.say(&ready()).await;
    b.sees(&Seen::Up).await;
    let link = *b.links.0.open().keys().next().unwrap();
    for _ in 0..1_000 {
        b.links.perform(link, vec![LinkOut::Send(Frame::Proof(vec![0; 60_000]))]);
    }
    b.sees(&Seen::Down).await;
    assert!(b.links.0.open().is_empty());
}

fn ready() -> Frame {
    let (window_items, window_bytes, max_body) = (256, 1 << 22, 25 << 20);
    let (next_nk, generation, last_seen) = (Hash([0; 32]), 0, 0);
    Frame::Ready(postline_core::wire::frame::Ready {
        next_nk,
        generation,
        last_seen,
        window_items,
        window_bytes,
        max_body,
    })
}

#[tokio::test]
async fn t_092_a_stranger_with_an_overlong_frame_gets_a_bye() {
    let (_a, mut b) = two(quick()).await;
    let mut raw = Raw::connect(b.at).await;
    raw.stream.write_all(&[0, 0, 0x80, 0, 1]).await.unwrap();
    assert_eq!(raw.hear().await, Some(Frame::Bye { code: Code::TooBig }));
    assert_eq!(raw.hear().await, None);
    b.sees(&Seen::Failed(Code::TooBig)).await;
}

#[tokio::test]
async fn t_096_a_flood_of_empty_frames_ends_the_link() {
    let (_a, mut b) = two(Timing::default()).await;
    let mut raw = Raw::connect(b.at).await;
    greet(&mut raw).await;
    raw.say(&ready()).await;
    b.sees(&Seen::Up).await;
    let mut flood = Vec::new();
    for _ in 0..10 * limits::LINK_NOISE_PER_SECOND {
        encode(&Frame::Unknown { kind: 200 }, None, &mut flood).unwrap();
    }
    raw.stream.write_all(&flood).await.unwrap();
    assert!(matches!(raw.hear().await, Some(Frame::Ready(_))));
    assert_eq!(raw.hear().await, Some(Frame::Bye { code: Code::Busy }));
    b.sees(&Seen::Down).await;
}

/// [L-5]
#[tokio::test]
async fn t_103_what_was_said_on_one_connection_proves_nothing_on_another() {
    let (_a, mut b) = two(Timing::default()).await;
    let mut first = Raw::connect(b.at).await;
    let (hello, proof) = greet(&mut first).await;
    b.sees(&Seen::Exporter(first.exporter)).await;
    let mut second = Raw::connect(b.at).await;
    assert_ne!(first.exporter, second.exporter);
    second.say(&hello).await;
    assert!(matches!(second.hear().await, Some(Frame::Hello(_))));
    assert!(matches!(second.hear().await, Some(Frame::Proof(_))));
    second.say(&proof).await;
    assert_eq!(second.hear().await, Some(Frame::Bye { code: Code::Denied }));
    b.sees(&Seen::Failed(Code::Denied)).await;
}

#[tokio::test]
async fn t_103_a_trust_step_signed_for_one_connection_does_not_verify_on_another() {
    use postline_core::seal::verify;
    use postline_core::wire::frame::TrustStep;
    use postline_core::wire::signed::{OnConnection, Signable};
    let (_a, b) = two(Timing::default()).await;
    let (first, second) = (Raw::connect(b.at).await, Raw::connect(b.at).await);
    let us = identity(1);
    let signature = us.sign(&OnConnection::new(TrustStep::Confirm, b"step", &first.exporter));
    for (exporter, holds) in [(first.exporter, true), (second.exporter, false)] {
        let value = OnConnection::new(TrustStep::Confirm, b"step", &exporter);
        assert_eq!(verify(us.nk(), value.role(), &value.canonical(), &signature).is_ok(), holds);
    }
}

/// [D-9]: whatever the first address answers, the second is tried at the same moment.
#[tokio::test]
async fn t_099_what_one_host_answers_does_not_show_at_the_next() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rude_at = rude.local_addr().unwrap();
    let guard = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = rude.accept().await {
            let _gone = tcp.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let minute = Duration::from_secs(60);
    let stagger = Duration::from_millis(300);
    let timing = Timing { connect: minute, dial: minute, stagger, handshake: minute, write: minute };
    let caller = node(1, 2, Vec::new(), timing).await;
    for first in [gone, deaf.local_addr().unwrap(), rude_at] {
        let watcher = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = Dial {
            nk: identity(2).nk(),
            ours: Domain::parse("n1.example").unwrap(),
            theirs: Domain::parse("n2.example").unwrap(),
            hint: None,
        };
        let (links, targets) = (caller.links.clone(), [first, watcher.local_addr().unwrap()]);
        let began = Instant::now();
        let dialling = tokio::spawn(async move { links.dial(dial, &targets).await });
        let came = timeout(minute / 2, watcher.accept()).await;
        assert!(came.is_ok(), "{first}: the second address waited for the first to fail");
        assert!(began.elapsed() >= stagger, "{first}: it came {:?} after the dial", began.elapsed());
        dialling.abort();
    }
    guard.abort();
}
