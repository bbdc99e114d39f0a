//! Domains' own words in signed zones on a real name server, and what spoofers can do about them. `./check` runs these.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)] // a test fails by them

mod common;
mod signed;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use postline_core::content::evidence::Evidence;
use postline_core::id::{Domain, NodeKey};
use postline_core::net::Allowed;
use postline_node::config::Config;
use postline_node::discovery::Discovery;
use postline_node::dns::{Dnssec, Resolver};
use postline_node::init::KeyFiles;
use postline_node::lab::{Letter, Node, Nodes, Person};
use postline_node::tls::{CertificateFiles, link_server};
use signed::{Keys, NameServer, PATIENCE, Signed, missing};
use tokio::net::UdpSocket;
use tokio::time::Instant;

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn nk(n: u8) -> NodeKey {
    NodeKey([n; 32])
}

fn names(n: u8) -> Evidence {
    Evidence::Domain { names: Some(nk(n)) }
}

const SILENT: Evidence = Evidence::Domain { names: None };

fn txt(n: u8) -> String {
    format!("_postline TXT \"v=1; nk={}\"\n", nk(n))
}

/// A node's view of these name servers, trusting this key.
fn node(at: SocketAddr, how: Dnssec, anchor: &Path) -> Discovery {
    let dns = Resolver::at(&[at]).unwrap().with_dnssec(how, Some(anchor)).unwrap();
    Discovery::new(Arc::new(dns), None, Allowed::parse(["127.0.0.0/8"]).unwrap())
}

/// Root and top level, signed, and the keys above.
struct World {
    server: NameServer,
    root: Keys,
    top: Keys,
    delegated: String,
}

impl World {
    fn new() -> Self {
        let server = NameServer::new();
        let (root, top) = (server.keys("."), server.keys("example."));
        Self { server, root, top, delegated: String::new() }
    }

    /// A zone below example.; with keys the zone above vouches for it.
    fn leaf(&mut self, name: &str, records: &str, keys: Option<&Keys>, how: Signed) {
        self.server.zone(&format!("{name}.example."), records, keys.as_slice(), how);
        self.delegates(name, keys);
    }

    fn delegates(&mut self, name: &str, keys: Option<&Keys>) {
        let vouched = keys.map(NameServer::vouch).unwrap_or_default();
        self.delegated += &format!("{name} NS ns.{name}\nns.{name} A 127.0.0.1\n{vouched}\n");
    }

    async fn start(&mut self) {
        self.above();
        self.server.start().await;
    }

    fn above(&mut self) {
        let top = format!("example. NS ns.example.\nns.example. A 127.0.0.1\n{}", NameServer::vouch(&self.top));
        self.server.zone(".", &top, &[&self.root], Signed::Nsec);
        self.server.zone("example.", &self.delegated, &[&self.top], Signed::Nsec);
    }

    fn node(&self) -> Discovery {
        node(self.server.at, Dnssec::Require, &self.server.anchor(&self.root))
    }
}

/// [D-2], [D-4]
#[tokio::test]
#[ignore = "needs nsd and ldnsutils; ./check runs it"]
async fn only_what_a_signed_zone_proves_is_a_domains_word() {
    if let Some(tool) = missing() {
        println!("skipped: no {tool}");
        return;
    }
    let mut world = World::new();
    let keys: Vec<Keys> =
        ["good", "nsec3", "tampered", "stripped", "expired", "none", "none3", "two", "alias", "orphan"]
            .map(|name| world.server.keys(&format!("{name}.example.")))
            .into();
    let [good, nsec3, tampered, stripped, expired, none, none3, two, alias, orphan] = keys.as_slice() else { panic!() };
    let srv = "_postline._tcp SRV 10 0 7678 node\n_postline._tcp SRV 5 0 8443 ns\nnode A 127.0.0.7\n";
    world.leaf("good", &format!("{}{srv}", txt(1)), Some(good), Signed::Nsec);
    world.leaf("nsec3", &txt(2), Some(nsec3), Signed::Nsec3);
    world.leaf("tampered", &txt(3), Some(tampered), Signed::Nsec);
    world.leaf("stripped", &txt(3), Some(stripped), Signed::Nsec);
    world.leaf("expired", &txt(3), Some(expired), Signed::Expired);
    world.leaf("none", "", Some(none), Signed::Nsec);
    world.leaf("none3", "_postline TXT \"v=spf1 -all\"", Some(none3), Signed::Nsec3);
    world.leaf("two", &format!("{}{}", txt(3), txt(4)), Some(two), Signed::Nsec);
    world.leaf("alias", "_postline CNAME _postline.good.example.", Some(alias), Signed::Nsec);
    world.leaf("plain", &format!("{}{srv}", txt(3)), None, Signed::Nsec);
    // Signed, but nobody above vouches for it.
    world.server.zone("orphan.example.", &txt(3), &[orphan], Signed::Nsec);
    world.delegates("orphan", None);
    world.server.tamper("tampered.example.", |zone| zone.replace(&nk(3).to_string(), &nk(9).to_string()));
    world.server.tamper("stripped.example.", |zone| {
        let kept = zone.lines().filter(|line| !line.contains("RRSIG\tTXT"));
        kept.map(|line| format!("{line}\n")).collect()
    });
    world.start().await;

    let node_here = world.node();
    for (name, want) in [
        ("good", names(1)),
        ("nsec3", names(2)),
        ("tampered", Evidence::Temporary),
        ("stripped", Evidence::Temporary),
        ("expired", Evidence::Temporary),
        ("none", SILENT),
        ("none3", SILENT),
        ("two", Evidence::Contradiction),
        ("alias", SILENT),
        ("plain", SILENT),
        ("orphan", SILENT),
        ("nowhere", SILENT),
    ] {
        assert_eq!(node_here.word(&domain(&format!("{name}.example"))).await, want, "{name}");
    }
    // Where the node is needs no proof: it proves its key on the link.
    for name in ["good", "plain"] {
        let targets = node_here.targets(&domain(&format!("{name}.example")), None).await.unwrap();
        let want: Vec<SocketAddr> = ["127.0.0.1:8443", "127.0.0.7:7678"].map(|at| at.parse().unwrap()).into();
        assert_eq!(targets, want, "{name}");
    }

    // [D-6]: another root's key proves nothing. Then all has failed, or all is silent where the operator lets it be.
    let stranger = world.server.anchor(&world.server.keys("."));
    let of = |how| node(world.server.at, how, &stranger);
    for name in ["good", "plain", "none"] {
        let name = domain(&format!("{name}.example"));
        assert_eq!(of(Dnssec::Require).word(&name).await, Evidence::Temporary, "{name}");
        assert_eq!(of(Dnssec::Auto).word(&name).await, SILENT, "{name}");
        assert_eq!(of(Dnssec::Off).word(&name).await, SILENT, "{name}");
    }
    // Where the root is proven, a broken proof stays a failure.
    let auto = node(world.server.at, Dnssec::Auto, &world.server.anchor(&world.root));
    assert_eq!(auto.word(&domain("tampered.example")).await, Evidence::Temporary);
    assert_eq!(auto.word(&domain("good.example")).await, names(1));
    drop(world);
    assert_eq!(auto.word(&domain("nsec3.example")).await, Evidence::Temporary, "nobody answers any more");
}

/// [D-7]: a zone that changes its own keys goes on being believed, by a node that saw the old ones; and the domain that names
/// another node key is heard.
#[tokio::test]
#[ignore = "needs nsd and ldnsutils; ./check runs it"]
async fn a_zone_changes_its_keys_and_is_still_believed() {
    if let Some(tool) = missing() {
        println!("skipped: no {tool}");
        return;
    }
    let mut world = World::new();
    let (old, new) = (world.server.keys("b.example."), world.server.keys("b.example."));
    let b = domain("b.example");
    world.leaf("b", &txt(1), Some(&old), Signed::Nsec);
    world.start().await;
    let node = world.node();
    assert_eq!(node.word(&b).await, names(1));

    // Both keys sign, and the zone above vouches for both; then only the new one is left. A new TXT shows that it is seen.
    for (n, signs, vouched) in [(2, vec![&old, &new], vec![&old, &new]), (3, vec![&new], vec![&new])] {
        world.server.zone("b.example.", &txt(n), &signs, Signed::Nsec);
        world.delegated = "b NS ns.b\nns.b A 127.0.0.1\n".to_owned();
        vouched.iter().for_each(|keys| world.delegated += &NameServer::vouch(keys));
        world.above();
        world.server.restart().await;
        let began = Instant::now();
        while node.word(&b).await != names(n) {
            assert!(began.elapsed() < PATIENCE, "key {n} was never seen: {:?}", node.word(&b).await);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    // Signed by a key that nobody vouches for any more: no new node key comes in by that.
    world.server.zone("b.example.", &txt(4), &[&old], Signed::Nsec);
    world.server.restart().await;
    assert_eq!(world.node().word(&b).await, Evidence::Temporary);
}

/// Someone between a node and its name server, who puts their own words in.
struct Poisoner {
    at: SocketAddr,
    poisons: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Poisoner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Poisoner {
    /// Stands before `server`; `lie` gives what is said instead: `None` leaves the answer as it is.
    async fn before(server: SocketAddr, lie: impl Fn(&str, RecordType) -> Option<Vec<RData>> + Send + 'static) -> Self {
        let here = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, poisons) = (here.local_addr().unwrap(), Arc::new(AtomicBool::new(true)));
        let on = Arc::clone(&poisons);
        let task = tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok((len, from)) = here.recv_from(&mut bytes).await {
                let query = Message::from_vec(&bytes[..len]).unwrap();
                let asked = query.queries[0].clone();
                let name = asked.name().to_ascii().to_lowercase();
                let lie = lie(&name, asked.query_type()).filter(|_| on.load(Ordering::SeqCst));
                if let Some(data) = lie {
                    let mut answer = Message::response(query.id, query.op_code);
                    let none = data.is_empty();
                    answer.metadata.response_code = if none { ResponseCode::NXDomain } else { ResponseCode::NoError };
                    answer.add_query(asked.clone());
                    answer.add_answers(data.into_iter().map(|data| Record::from_rdata(asked.name().clone(), 60, data)));
                    here.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                    continue;
                }
                let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                there.connect(server).await.unwrap();
                there.send(&bytes[..len]).await.unwrap();
                let mut answer = [0; 4096];
                let len = there.recv(&mut answer).await.unwrap();
                here.send_to(&answer[..len], from).await.unwrap();
            }
        });
        Self { at, poisons, task }
    }
}

#[tokio::test]
#[ignore = "needs nsd and ldnsutils; ./check runs it"]
async fn t_100_a_poisoned_answer_puts_no_key_into_a_domains_mouth() {
    if let Some(tool) = missing() {
        println!("skipped: no {tool}");
        return;
    }
    let mut world = World::new();
    let (good, evil, empty) =
        (world.server.keys("good.example."), world.server.keys("evil.example."), world.server.keys("empty.example."));
    world.leaf("good", &txt(1), Some(&good), Signed::Nsec);
    world.leaf("empty", "", Some(&empty), Signed::Nsec);
    // The spoofer has a domain, too, well signed.
    world.leaf("evil", &txt(9), Some(&evil), Signed::Nsec);
    world.leaf("plain", "node A 127.0.0.1\n", None, Signed::Nsec);
    world.start().await;
    let own = || RData::TXT(TXT::new(vec![format!("v=1; nk={}", nk(9))]));
    let alias = || RData::CNAME(CNAME(Name::from_ascii("_postline.evil.example.").unwrap()));
    let anchor = world.server.anchor(&world.root);

    // Another key, no key, a way to the spoofer's own signed record: for what is signed, each breaks the proof; for what isn't,
    // nothing that DNS says is the domain's word, and the key in the mail that DKIM signed decides.
    for what in ["a key", "nothing", "an alias"] {
        let poisoner = Poisoner::before(world.server.at, move |name, kind| {
            let victim = ["good", "empty", "plain"].iter().any(|zone| name == format!("_postline.{zone}.example."));
            (victim && kind == RecordType::TXT).then(|| match what {
                "a key" => vec![own()],
                "nothing" => vec![],
                _ => vec![alias()],
            })
        })
        .await;
        let node = node(poisoner.at, Dnssec::Auto, &anchor);
        for (name, want) in
            [("good", Evidence::Temporary), ("empty", Evidence::Temporary), ("plain", SILENT), ("evil", names(9))]
        {
            assert_eq!(node.word(&domain(&format!("{name}.example"))).await, want, "{what} for {name}");
        }
        poisoner.poisons.store(false, Ordering::SeqCst);
        let node = self::node(poisoner.at, Dnssec::Auto, &anchor);
        assert_eq!(node.word(&domain("good.example")).await, names(1), "without the spoofer");
    }

    // Addresses may be poisoned: the node goes there, and whoever sits there can't prove the key ([L-3]).
    let poisoner = Poisoner::before(world.server.at, |name, kind| {
        (name == "node.plain.example." && kind == RecordType::A).then(|| vec![RData::A(A::new(127, 0, 0, 9))])
    })
    .await;
    let targets =
        node(poisoner.at, Dnssec::Auto, &anchor).targets(&domain("plain.example"), Some("node.plain.example")).await;
    assert_eq!(targets, Ok(vec!["127.0.0.9:7678".parse().unwrap()]));
}

/// Lets a lab's node ask this name server, trust this key, and hand its mail to the other node.
fn point(node: &Node, other: &Node, at: SocketAddr, anchor: &Path) {
    let file = &node.config().file;
    let text = std::fs::read_to_string(file).unwrap();
    let zone = text.lines().find(|line| line.starts_with("zone_file = ")).unwrap().to_owned();
    let (before, after) = text.split_once("[smarthost]").unwrap();
    let (_, port) = other.smtp.split_once(':').unwrap();
    let after = after
        .replacen("#host = \"smtp.provider.example\"", "host = \"127.0.0.1\"", 1)
        .replacen("#port = 587", &format!("port = {port}"), 1)
        .replacen("#tls = \"starttls\"", "tls = \"none\"", 1)
        .replacen(&zone, &format!("servers = [\"{at}\"]"), 1)
        .replacen("#dnssec = \"auto\"", "dnssec = \"require\"", 1)
        .replacen("#trust_anchor = \"root.key\"", &format!("trust_anchor = \"{}\"", anchor.display()), 1);
    std::fs::write(file, format!("{before}[smarthost]{after}")).unwrap();
    let config = Config::load(file).unwrap();
    let smarthost = config.smarthost.unwrap();
    assert_eq!((smarthost.port.to_string().as_str(), config.name_servers), (port, vec![at]));
    assert_eq!(config.discovery.trust_anchor.as_deref(), Some(anchor));
}

/// What the zone of a lab's domain holds: where its node is, and its DKIM keys.
fn published(node: &Node, lab: &str, srv: SocketAddr) -> String {
    let domain = node.config().domains.first().unwrap().to_string();
    let mut records = format!("mail A {}\n_postline._tcp SRV 0 0 {} mail\n", srv.ip(), srv.port());
    for line in lab.lines().filter(|line| line.contains(&format!("._domainkey.{domain} "))) {
        let (name, text) = line.split_once(" TXT \"").unwrap();
        // A string of a TXT record has at most 255 bytes.
        let strings: Vec<String> = text
            .trim_end_matches('"')
            .as_bytes()
            .chunks(200)
            .map(|chunk| format!("\"{}\"", std::str::from_utf8(chunk).unwrap()))
            .collect();
        records += &format!("{name}. TXT {}\n", strings.join(" "));
    }
    records
}

fn key_of(node: &Node) -> NodeKey {
    KeyFiles::of(&node.config().data_dir).identity().unwrap().nk()
}

/// One writes, two answers; nobody waits for what comes of it.
async fn round_trip(nodes: &Nodes) {
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    one.submit(&Letter::to("two@b.example", "hello")).await.unwrap();
    nodes.b.inbox("two").wait_for("hello", PATIENCE).await.unwrap();
    two.submit(&Letter::answer("one@a.example", "re-hello", "hello")).await.unwrap();
    nodes.a.inbox("one").wait_for("re-hello", PATIENCE).await.unwrap();
}

/// Two nodes whose DNS is a real name server; `says` gives what each domain's zone holds beside its DKIM keys, and whether it is
/// signed.
async fn nodes_with(world: &mut World, says: impl Fn(&Node, &str) -> (String, bool)) -> Nodes {
    let mut nodes = common::set_up();
    let lab = std::fs::read_to_string(nodes.a.config().zone_file.as_ref().unwrap()).unwrap();
    for node in [&nodes.a, &nodes.b] {
        let name = node.config().domains.first().unwrap().as_str().trim_end_matches(".example").to_owned();
        let (records, signed) = says(node, &lab);
        let keys = world.server.keys(&format!("{name}.example."));
        world.leaf(&name, &records, signed.then_some(&keys), Signed::Nsec);
    }
    world.start().await;
    let anchor = world.server.anchor(&world.root);
    point(&nodes.a, &nodes.b, world.server.at, &anchor);
    point(&nodes.b, &nodes.a, world.server.at, &anchor);
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    nodes
}

/// [T-5], [D-2]: the whole way, from the zone to the line.
#[tokio::test]
#[ignore = "needs nsd and ldnsutils; ./check runs it"]
async fn a_reply_opens_the_line_as_two_signed_zones_say_and_not_against_them() {
    if let Some(tool) = missing() {
        println!("skipped: no {tool}");
        return;
    }
    let own = |node: &Node, lab: &str| {
        let word = format!("_postline TXT \"v=1; nk={}\"\n", key_of(node));
        (format!("{}{word}", published(node, lab, node.link.parse().unwrap())), true)
    };
    let mut world = World::new();
    let nodes = nodes_with(&mut world, own).await;
    round_trip(&nodes).await;
    assert_eq!(nodes.wait_for_line(PATIENCE).await.unwrap(), "trusted");
    nodes.stop().await.unwrap();
}

/// DKIM passes, and the domain itself names another key.
#[tokio::test]
#[ignore = "needs nsd and ldnsutils; ./check runs it"]
async fn t_014_a_signed_zone_that_names_another_key_keeps_the_line_shut() {
    if let Some(tool) = missing() {
        println!("skipped: no {tool}");
        return;
    }
    let other =
        |node: &Node, lab: &str| (format!("{}{}", published(node, lab, node.link.parse().unwrap()), txt(7)), true);
    let mut world = World::new();
    let nodes = nodes_with(&mut world, other).await;
    round_trip(&nodes).await;
    for node in [&nodes.a, &nodes.b] {
        let began = Instant::now();
        while !node.log().contains("the domain names another key") {
            assert!(began.elapsed() < PATIENCE, "{}", node.log());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    assert_ne!(nodes.a.trust("one@a.example", "two@b.example").await.unwrap(), "trusted");
    assert_ne!(nodes.b.trust("two@b.example", "one@a.example").await.unwrap(), "trusted");
    nodes.stop().await.unwrap();
}

/// No DNSSEC, and an answer that leads to an attacker's host: the key in the mail that DKIM signed is the one that must be
/// proven, so the attacker gets a visit, and the other side opens the line.
#[tokio::test]
#[ignore = "needs nsd and ldnsutils; ./check runs it"]
async fn t_100_the_key_in_the_mail_decides_wherever_dns_leads() {
    if let Some(tool) = missing() {
        println!("skipped: no {tool}");
        return;
    }
    // The attacker speaks TLS like a node, and says what it is told back.
    let made = tempfile::tempdir().unwrap();
    let files = CertificateFiles::self_signed(&["b.example".to_owned()], made.path()).unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(link_server(files.load().unwrap()).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let attacker = listener.local_addr().unwrap();
    let visits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&visits);
    let guard = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(stream) = tls.accept(tcp).await else { continue };
            count.fetch_add(1, Ordering::SeqCst);
            let (mut reads, mut writes) = tokio::io::split(stream);
            let _ended = tokio::io::copy(&mut reads, &mut writes).await;
        }
    });
    let mut world = World::new();
    let nodes = nodes_with(&mut world, |node, lab| {
        let poisoned = node.config().domains[0].as_str() == "b.example";
        (published(node, lab, if poisoned { attacker } else { node.link.parse().unwrap() }), false)
    })
    .await;
    round_trip(&nodes).await;
    assert_eq!(nodes.wait_for_line(2 * PATIENCE).await.unwrap(), "trusted", "{}", nodes.a.log());
    assert!(visits.load(Ordering::SeqCst) > 0, "the poisoned answer was followed");
    guard.abort();
    nodes.stop().await.unwrap();
}
