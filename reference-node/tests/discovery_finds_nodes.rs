//! Where a domain's node is looked for and dialled, and what hostile answers come to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

mod web;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use postline_core::id::Domain;
use postline_core::limits;
use postline_core::net::Allowed;
use postline_node::discovery::{Discovery, Documents, NoTarget};
use postline_node::dns::{Resolver, Zone};
use postline_node::tls;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant;
use web::{Authority, Does, NK, Valid, Web, ok};

/// A node that knows this zone, and trusts no authority.
fn node(zone: &str, allow: &Allowed) -> Discovery {
    Discovery::new(Arc::new(Resolver::Zone(Zone::parse(zone).unwrap())), None, allow.clone())
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const NODES: &str = "
    _postline._tcp.b.example  SRV  20 0 7678 far.b.example
    _postline._tcp.b.example  SRV  10 5 443 near.b.example
    _postline._tcp.b.example  SRV  10 9 8443 host.provider.example
    near.b.example            A    1.1.1.1
    far.b.example             AAAA 2606:4700::1
    host.provider.example     A    8.8.8.8
    c.example                 A    9.9.9.9
    node.c.example            A    9.9.9.10
    _postline._tcp.d.example  SRV  0 0 7678 .
    d.example                 A    9.9.9.9
    _postline._tcp.e.example  FAIL
    e.example                 A    9.9.9.9
";

/// [D-8] [L-20]
#[tokio::test]
async fn a_node_is_found_by_srv_in_its_order_whatever_the_hint() {
    let targets = node(NODES, &Allowed::NONE).targets(&domain("b.example"), Some("evil.b.example:9999")).await.unwrap();
    assert_eq!(targets, [at("8.8.8.8:8443"), at("1.1.1.1:443"), at("[2606:4700::1]:7678")]);
}

/// [L-20]
#[tokio::test]
async fn a_hint_counts_only_within_the_mail_domain() {
    let dns = node(NODES, &Allowed::NONE);
    let c = domain("c.example");
    for (hint, want) in [("c.example", "9.9.9.9:7678"), ("node.c.example:443", "9.9.9.10:443")] {
        assert_eq!(dns.targets(&c, Some(hint)).await, Ok(vec![at(want)]));
    }
    for hint in [None, Some("host.provider.example"), Some("9.9.9.9"), Some("c.example:25"), Some("xc.example")] {
        assert_eq!(dns.targets(&c, hint).await, Err(NoTarget::Nowhere), "{hint:?}");
    }
}

#[tokio::test]
async fn a_domain_that_runs_no_node_is_not_dialled_by_hint() {
    let dns = node(NODES, &Allowed::NONE);
    let got = dns.targets(&domain("d.example"), Some("d.example")).await;
    assert_eq!(got, Err(NoTarget::Nowhere));
    let got = dns.targets(&domain("e.example"), Some("e.example")).await;
    assert!(matches!(got, Err(NoTarget::Temporary(_))), "a failure of SRV must not fall back to the hint: {got:?}");
}

#[tokio::test]
async fn t_097_names_that_resolve_to_private_addresses_are_not_dialled() {
    for ip in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "0.0.0.0"] {
        let dns =
            node(&format!("_postline._tcp.b.example SRV 0 0 7678 n.b.example\nn.b.example A {ip}"), &Allowed::NONE);
        assert_eq!(dns.targets(&domain("b.example"), None).await, Err(NoTarget::Nowhere), "{ip}");
    }
    for ip in ["::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
        let dns = node(&format!("n.b.example AAAA {ip}"), &Allowed::NONE);
        let got = dns.targets(&domain("b.example"), Some("n.b.example")).await;
        assert_eq!(got, Err(NoTarget::Nowhere), "{ip}");
    }
    let dns = node("_postline._tcp.b.example SRV 0 0 22 n.b.example\nn.b.example A 1.1.1.1", &Allowed::NONE);
    assert_eq!(dns.targets(&domain("b.example"), None).await, Err(NoTarget::Nowhere));
}

#[tokio::test]
async fn t_098_only_the_checked_addresses_of_a_mixed_answer_are_dialled() {
    let dns = node("n.b.example A 127.0.0.1\nn.b.example A 1.1.1.1\nn.b.example AAAA ::1", &Allowed::NONE);
    let targets = dns.targets(&domain("b.example"), Some("n.b.example:7678")).await;
    assert_eq!(targets, Ok(vec![at("1.1.1.1:7678")]));
    let lab = Allowed::parse(["127.0.0.0/8"]).unwrap();
    let dns = node("n.b.example A 127.0.0.1\nn.b.example A 1.1.1.1\nn.b.example AAAA ::1", &lab);
    let targets = dns.targets(&domain("b.example"), Some("n.b.example:7678")).await;
    assert_eq!(targets, Ok(vec![at("127.0.0.1:7678"), at("1.1.1.1:7678")]));
}

/// [D-8]
#[tokio::test]
async fn without_srv_the_document_says_where_and_then_the_hint() {
    let authority = Authority::new();
    let document = |link: &str| Does::Says(ok(&format!(r#"{{"v":1,"nk":"{NK}"{link}}}"#)));
    let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), Does::Hangs).await;
    let lab = Allowed::parse(["127.0.0.0/8"]).unwrap();
    let hint = Some("node.b.example:7678");
    let linked = document(r#","link":"node.provider.example:8443""#);
    let not_found = Does::Says("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".into());
    for (does, srv, hint, want) in [
        (linked.clone(), "", hint, Ok(vec![at("8.8.8.8:8443")])),
        (linked.clone(), "", None, Ok(vec![at("8.8.8.8:8443")])),
        (linked.clone(), "SRV 0 0 443 node.b.example", hint, Ok(vec![at("1.1.1.1:443")])),
        (linked, "SRV 0 0 0 .", hint, Err(NoTarget::Nowhere)),
        (document(r#","link":"inside.provider.example:8443""#), "", hint, Err(NoTarget::Nowhere)),
        (document(""), "", hint, Ok(vec![at("1.1.1.1:7678")])),
        (document(""), "", None, Err(NoTarget::Nowhere)),
        (not_found, "", hint, Ok(vec![at("1.1.1.1:7678")])),
        (Does::Cuts(String::new()), "", hint, Ok(vec![at("1.1.1.1:7678")])),
    ] {
        web.now_does(does);
        let srv = if srv.is_empty() { String::new() } else { format!("_postline._tcp.b.example {srv}") };
        let zone = format!(
            "{srv}\nb.example A 127.0.0.1\nnode.b.example A 1.1.1.1\nnode.provider.example A 8.8.8.8\n\
             inside.provider.example A 10.0.0.1\n"
        );
        let dns = Arc::new(Resolver::Zone(Zone::parse(&zone).unwrap()));
        let tls = client(&authority);
        let documents = Documents::new(Arc::clone(&dns), tls, lab.clone(), web.at.port());
        let got = Discovery::new(dns, Some(documents), lab.clone()).targets(&domain("b.example"), hint).await;
        assert_eq!(got, want, "{srv} {hint:?}");
    }
    // Nothing but a failure leads nowhere for now.
    web.now_does(Does::Cuts(String::new()));
    let dns = Arc::new(Resolver::Zone(Zone::parse("b.example A 127.0.0.1").unwrap()));
    let documents = Documents::new(Arc::clone(&dns), client(&authority), lab.clone(), web.at.port());
    let got = Discovery::new(dns, Some(documents), lab).targets(&domain("b.example"), None).await;
    assert!(matches!(got, Err(NoTarget::Temporary(_))), "{got:?}");
}

/// [D-9]
#[tokio::test]
async fn t_099_only_so_many_hosts_and_addresses_are_tried_in_one_dial() {
    let hosts: String = (0..16)
        .map(|n| {
            let many: String = (0..16)
                .map(|k| format!("n{n}.b.example A 9.{n}.0.{k}\nn{n}.b.example AAAA 2606:4700:{n}::{k:x}\n"))
                .collect();
            format!("_postline._tcp.b.example SRV {n} 0 7678 n{n}.b.example\n{many}")
        })
        .collect();
    let targets = node(&hosts, &Allowed::NONE).targets(&domain("b.example"), None).await.unwrap();
    assert_eq!(targets.len(), limits::DIAL_ADDRESSES);
    let want: Vec<_> =
        ["[2606:4700:0::0]:7678", "9.0.0.0:7678", "[2606:4700:0::1]:7678", "9.0.0.1:7678"].map(at).into();
    assert_eq!(targets[..4], want, "both kinds in turn, at most half of all of one host");
    assert_eq!(targets[4], at("[2606:4700:1::0]:7678"));

    // Hosts beyond the bound aren't even looked up: a name that fails would show.
    let far = "_postline._tcp.b.example SRV 9 0 7678 broken.b.example\nbroken.b.example FAIL\n";
    let near: String = (0..4).map(|n| format!("_postline._tcp.b.example SRV {n} 0 7678 no{n}.b.example\n")).collect();
    let got = node(&format!("{far}{near}"), &Allowed::NONE).targets(&domain("b.example"), None).await;
    assert_eq!(got, Err(NoTarget::Nowhere));
}

/// A name server whose word changes: the n-th answer to a name and type is the n-th given, then the last.
struct Fickle {
    at: SocketAddr,
    asked: Arc<Mutex<BTreeMap<(String, RecordType), usize>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fickle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fickle {
    async fn serve(answers: impl Fn(&str, RecordType, usize) -> Vec<RData> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let counts = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut bytes).await {
                let query = Message::from_vec(&bytes[..len]).unwrap();
                let asked = query.queries[0].clone();
                let name = asked.name().to_ascii().to_lowercase();
                let turn = {
                    let mut counts = counts.lock().unwrap();
                    let count = counts.entry((name.clone(), asked.query_type())).or_insert(0_usize);
                    *count += 1;
                    *count - 1
                };
                let data = answers(&name, asked.query_type(), turn);
                let mut answer = Message::response(query.id, query.op_code);
                answer.metadata.response_code =
                    if data.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
                answer.add_query(asked.clone());
                // No time to live: whoever asks again is told anew.
                answer.add_answers(data.into_iter().map(|data| Record::from_rdata(asked.name().clone(), 0, data)));
                let mut bytes = answer.to_vec().unwrap();
                if bytes.len() > 4096 {
                    bytes.truncate(4096);
                }
                socket.send_to(&bytes, from).await.unwrap();
            }
        });
        Self { at, asked, task }
    }

    fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.asked.lock().unwrap().get(&(name.to_owned(), kind)).copied().unwrap_or(0)
    }
}

fn client(authority: &Authority) -> Arc<rustls::ClientConfig> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    Arc::new(tls::https_client(Some(file.path())).unwrap())
}

/// The operator allowed 127.0.0.2, so that it stands for a public address here; 127.0.0.1 is what it always is.
#[tokio::test]
async fn t_098_a_name_that_is_bound_anew_between_check_and_connect_gains_nothing() {
    let outside = Allowed::parse(["127.0.0.2"]).unwrap();
    let authority = Authority::new();
    let good = Does::Says(ok(&format!(r#"{{"v":1,"nk":"{NK}"}}"#)));
    let tls = authority.vouches("b.example", Valid::Now);
    let public = Web::serve_at(Ipv4Addr::new(127, 0, 0, 2).into(), Some(tls), good).await;
    // What must not be reached listens at the same port of 127.0.0.1.
    let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, public.at.port())).await.unwrap();
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let guard = tokio::spawn(async move {
        while inside.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });

    // First the address that may be dialled, ever after the one that may not.
    let dns = Fickle::serve(|name, kind, turn| match (name, kind) {
        ("b.example.", RecordType::A) => vec![RData::A(A::new(127, 0, 0, if turn == 0 { 2 } else { 1 }))],
        _ => vec![],
    })
    .await;
    let resolver = Arc::new(Resolver::at(&[dns.at]).unwrap());
    let fetch = || Documents::new(Arc::clone(&resolver), client(&authority), outside.clone(), public.at.port());
    assert!(fetch().of(&domain("b.example")).await.unwrap().is_some(), "the checked address was connected to");
    assert_eq!(dns.asked("b.example.", RecordType::A), 1, "one look-up for check and connect together");
    assert_eq!(fetch().of(&domain("b.example")).await, Ok(None), "the changed answer is checked like the first");
    assert_eq!(public.connections(), 1);

    let dns = Fickle::serve(|name, kind, turn| match (name, kind) {
        ("n.b.example.", RecordType::A) => vec![RData::A(A::new(127, 0, 0, if turn == 0 { 2 } else { 1 }))],
        _ => vec![],
    })
    .await;
    let discovery = Discovery::new(Arc::new(Resolver::at(&[dns.at]).unwrap()), None, outside);
    let hint = format!("n.b.example:{}", public.at.port());
    let targets = discovery.targets(&domain("b.example"), Some(&hint)).await;
    assert_eq!(targets, Ok(vec![public.at]), "an address, not a name, is what is dialled");
    assert_eq!(dns.asked("n.b.example.", RecordType::A), 1);
    let targets = discovery.targets(&domain("b.example"), Some(&hint)).await;
    assert_eq!(targets, Err(NoTarget::Nowhere));
    guard.abort();
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn t_097_aliases_in_a_circle_and_huge_answers_end() {
    let alias = |to: &str| RData::CNAME(CNAME(Name::from_ascii(to).unwrap()));
    let dns = Fickle::serve(move |name, kind, turn| match (name, kind) {
        ("_postline._tcp.b.example.", _) => vec![alias("x.b.example.")],
        ("x.b.example.", _) => vec![alias("y.b.example.")],
        ("y.b.example.", _) => vec![alias("x.b.example.")],
        // Each alias leads to a new one.
        (name, _) if name.ends_with("long.example.") => vec![alias(&format!("n{turn}.{name}"))],
        ("huge.example.", RecordType::A) => (0..60).map(|n| RData::A(A::new(9, 9, 9, n))).collect(),
        _ => vec![],
    })
    .await;
    let discovery = Discovery::new(Arc::new(Resolver::at(&[dns.at]).unwrap()), None, Allowed::NONE);
    let began = Instant::now();
    for (of, hint) in [("b.example", None), ("long.example", None), ("long.example", Some("long.example:7678"))] {
        let got = discovery.targets(&domain(of), hint).await;
        assert!(got.is_err(), "{of}: {got:?}");
    }
    let total: usize = dns.asked.lock().unwrap().values().sum();
    assert!(total < 200, "{total} questions were asked");
    let targets = discovery.targets(&domain("huge.example"), Some("huge.example:7678")).await.unwrap();
    assert!(!targets.is_empty() && targets.len() <= limits::DIAL_ADDRESSES, "{targets:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}
