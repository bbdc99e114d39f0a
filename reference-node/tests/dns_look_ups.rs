//! What the node's look-ups yield, from a fixed zone and from DNS.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use postline_core::id::Domain;
use postline_node::dns::{DnsFault, Resolver, Zone};
use tokio::net::UdpSocket;

fn resolver(zone: &str) -> Resolver {
    Resolver::Zone(Zone::parse(zone).unwrap())
}

fn domain(text: &str) -> Domain {
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
