//! What the node's look-ups yield, from a fixed zone, and where it dials.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use postline_core::id::Domain;
use postline_core::net::Allowed;
use postline_node::dns::{DnsFault, NoTarget, Resolver, Zone};
use tokio::net::UdpSocket;

fn resolver(zone: &str) -> Resolver {
    Resolver::Zone(Zone::parse(zone).unwrap())
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn mail_goes_to_the_exchanges_in_order() {
    let dns = resolver("b.example MX 20 second.b.example.\nB.example. MX 10 first.b.example:2525 # ours\n");
    let exchanges = dns.mx(&domain("b.example")).await.unwrap();
    let named: Vec<_> = exchanges.iter().map(|e| (e.preference, e.host.as_str(), e.port)).collect();
    assert_eq!(named, [(10, "first.b.example", Some(2525)), (20, "second.b.example", None)]);
}

#[tokio::test]
async fn without_mx_the_domain_itself_takes_mail() {
    let dns = resolver("b.example A 192.0.2.1");
    let exchanges = dns.mx(&domain("b.example")).await.unwrap();
    assert_eq!(exchanges.len(), 1);
    assert_eq!(exchanges[0].host, domain("b.example"));
    assert_eq!(dns.mx(&domain("c.example")).await, Err(DnsFault::None));
}

#[tokio::test]
async fn a_null_mx_says_that_nobody_takes_mail() {
    let dns = resolver("b.example MX 0 .\nb.example A 192.0.2.1");
    assert_eq!(dns.mx(&domain("b.example")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_failing_name_fails_for_now_and_a_missing_one_for_good() {
    let dns = resolver("b.example FAIL\nc.example A 192.0.2.1");
    assert!(matches!(dns.mx(&domain("b.example")).await, Err(DnsFault::Temporary(_))));
    assert!(matches!(dns.addresses(&domain("b.example")).await, Err(DnsFault::Temporary(_))));
    assert!(matches!(dns.txt("B.Example").await, Err(DnsFault::Temporary(_))));
    assert_eq!(dns.txt("c.example").await, Err(DnsFault::None));
    assert_eq!(dns.srv("nowhere.example").await, Err(DnsFault::None));
}

#[tokio::test]
async fn texts_come_joined_whole_and_bounded() {
    let long = "x".repeat(4096);
    let zone = format!(
        "a.example TXT \"v=1; \" \"p=#1\" # key\nb.example TXT v=1; p=2 # key\nc.example TXT {long}y\nd.example TXT {long}"
    );
    let dns = resolver(&zone);
    assert_eq!(dns.txt("a.example").await, Ok(vec![b"v=1; p=#1".to_vec()]));
    assert_eq!(dns.txt("b.example").await, Ok(vec![b"v=1; p=2".to_vec()]));
    assert_eq!(dns.txt("c.example").await, Err(DnsFault::None));
    assert_eq!(dns.txt("d.example").await, Ok(vec![long.into_bytes()]));
}

#[tokio::test]
async fn a_thousand_records_are_read_as_sixteen() {
    let zone: String = (0..1000).map(|n| format!("b.example A 192.0.{}.{}\n", n / 250, n % 250)).collect();
    assert_eq!(resolver(&zone).addresses(&domain("b.example")).await.unwrap().len(), 16);
}

#[test]
fn a_wrong_line_of_a_zone_is_named() {
    for (text, line) in [
        ("b.example A 1.2.3", 1),
        ("# fine\n\nb.example AAAA 1.2.3.4", 3),
        ("b.example MX mx.b.example", 1),
        ("b.example MX 10", 1),
        ("b.example MX 10 1.2.3.4", 1),
        ("b.example MX 10 mx.b.example:x", 1),
        ("b.example SRV 0 0 mx.b.example", 1),
        ("b.example TXT", 1),
        ("b.example TXT \"open", 1),
        ("b.example TXT \"a\" b", 1),
        ("b.example CNAME c.example", 1),
        ("b.example", 1),
        ("b.example FAIL now", 1),
    ] {
        assert_eq!(Zone::parse(text).unwrap_err().line, line, "{text:?}");
    }
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

#[tokio::test]
async fn a_node_is_found_by_srv_in_its_order_whatever_the_hint() {
    let targets =
        resolver(NODES).dial_targets(&domain("b.example"), Some("evil.b.example:9999"), &Allowed::NONE).await.unwrap();
    assert_eq!(targets, [at("8.8.8.8:8443"), at("1.1.1.1:443"), at("[2606:4700::1]:7678")]);
}

#[tokio::test]
async fn a_hint_counts_only_within_the_mail_domain() {
    let dns = resolver(NODES);
    let c = domain("c.example");
    for (hint, want) in [("c.example", "9.9.9.9:7678"), ("node.c.example:443", "9.9.9.10:443")] {
        assert_eq!(dns.dial_targets(&c, Some(hint), &Allowed::NONE).await, Ok(vec![at(want)]));
    }
    for hint in [None, Some("host.provider.example"), Some("9.9.9.9"), Some("c.example:25"), Some("xc.example")] {
        assert_eq!(dns.dial_targets(&c, hint, &Allowed::NONE).await, Err(NoTarget::Nowhere), "{hint:?}");
    }
}

#[tokio::test]
async fn a_domain_that_runs_no_node_is_not_dialled_by_hint() {
    let dns = resolver(NODES);
    let got = dns.dial_targets(&domain("d.example"), Some("d.example"), &Allowed::NONE).await;
    assert_eq!(got, Err(NoTarget::Nowhere));
    let got = dns.dial_targets(&domain("e.example"), Some("e.example"), &Allowed::NONE).await;
    assert!(matches!(got, Err(NoTarget::Temporary(_))), "a failure of SRV must not fall back to the hint: {got:?}");
}

#[tokio::test]
async fn t_097_names_that_resolve_to_private_addresses_are_not_dialled() {
    for ip in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "0.0.0.0"] {
        let dns = resolver(&format!("_postline._tcp.b.example SRV 0 0 7678 n.b.example\nn.b.example A {ip}"));
        assert_eq!(dns.dial_targets(&domain("b.example"), None, &Allowed::NONE).await, Err(NoTarget::Nowhere), "{ip}");
    }
    for ip in ["::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
        let dns = resolver(&format!("n.b.example AAAA {ip}"));
        let got = dns.dial_targets(&domain("b.example"), Some("n.b.example"), &Allowed::NONE).await;
        assert_eq!(got, Err(NoTarget::Nowhere), "{ip}");
    }
    let dns = resolver("_postline._tcp.b.example SRV 0 0 22 n.b.example\nn.b.example A 1.1.1.1");
    assert_eq!(dns.dial_targets(&domain("b.example"), None, &Allowed::NONE).await, Err(NoTarget::Nowhere));
}

#[tokio::test]
async fn t_098_only_the_checked_addresses_of_a_mixed_answer_are_dialled() {
    let dns = resolver("n.b.example A 127.0.0.1\nn.b.example A 1.1.1.1\nn.b.example AAAA ::1");
    let targets = dns.dial_targets(&domain("b.example"), Some("n.b.example:7678"), &Allowed::NONE).await;
    assert_eq!(targets, Ok(vec![at("1.1.1.1:7678")]));
    let lab = Allowed::parse(["127.0.0.0/8"]).unwrap();
    let targets = dns.dial_targets(&domain("b.example"), Some("n.b.example:7678"), &lab).await;
    assert_eq!(targets, Ok(vec![at("127.0.0.1:7678"), at("1.1.1.1:7678")]));
}

/// A name server on loopback that knows b.example, fails for broken.example, and denies the rest.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut bytes).await {
            let query = Message::from_vec(&bytes[..len]).unwrap();
            let asked = query.queries[0].clone();
            let name = |text: &str| Name::from_ascii(text).unwrap();
            let (code, data) = match (asked.name().to_ascii().as_str(), asked.query_type()) {
                ("b.example.", RecordType::MX) => (
                    ResponseCode::NoError,
                    vec![
                        RData::MX(MX::new(20, name("MX2.b.example."))),
                        RData::MX(MX::new(10, name("mx1.b.example."))),
                        RData::MX(MX::new(5, name("192.0.2.1."))),
                    ],
                ),
                ("null.example.", RecordType::MX) => (ResponseCode::NoError, vec![RData::MX(MX::new(0, Name::root()))]),
                ("mx1.b.example.", RecordType::A) => (
                    ResponseCode::NoError,
                    vec![RData::CNAME(CNAME(name("host.b.example."))), RData::A(A::new(192, 0, 2, 1))],
                ),
                ("k.b.example.", RecordType::TXT) => {
                    (ResponseCode::NoError, vec![RData::TXT(TXT::new(vec!["v=1; ".to_owned(), "p=2".to_owned()]))])
                }
                ("broken.example.", _) => (ResponseCode::ServFail, vec![]),
                ("mx1.b.example.", _) => (ResponseCode::NoError, vec![]),
                _ => (ResponseCode::NXDomain, vec![]),
            };
            let mut answer = Message::response(query.id, query.op_code);
            answer.metadata.response_code = code;
            answer.add_query(asked.clone());
            answer.add_answers(data.into_iter().map(|data| Record::from_rdata(asked.name().clone(), 60, data)));
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    addr
}

#[tokio::test]
async fn dns_is_read_as_the_zone_is() {
    let dns = Resolver::at(&[name_server().await]).unwrap();
    let exchanges = dns.mx(&domain("b.example")).await.unwrap();
    let named: Vec<_> = exchanges.iter().map(|e| (e.preference, e.host.as_str(), e.port)).collect();
    assert_eq!(named, [(10, "mx1.b.example", None), (20, "mx2.b.example", None)], "an address is no host");
    assert_eq!(dns.mx(&domain("null.example")).await, Ok(vec![]));
    assert_eq!(dns.txt("k.b.example").await, Ok(vec![b"v=1; p=2".to_vec()]));
    assert_eq!(dns.txt("none.example").await, Err(DnsFault::None));
    assert_eq!(dns.mx(&domain("none.example")).await, Err(DnsFault::None));
    assert!(matches!(dns.txt("broken.example").await, Err(DnsFault::Temporary(_))));
    assert!(matches!(dns.mx(&domain("broken.example")).await, Err(DnsFault::Temporary(_))));
}
