//! Other domains' well-known documents: fetched from a web server with a certificate, within bounds, or not at all.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

mod common;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::PATIENCE;
use postline_core::content::evidence::Evidence;
use postline_core::id::{Domain, NodeKey};
use postline_core::limits;
use postline_core::net::Allowed;
use postline_node::discovery::{Discovery, Documents, well_known};
use postline_node::dns::{Resolver, Zone};
use postline_node::init::KeyFiles;
use postline_node::lab::{Letter, Nodes, Person, Plan};
use postline_node::tls;
use rustls::ClientConfig;
use tokio::time::Instant;
use web::{Authority, Does, NK, Valid, Web, document, ok, self_signed};

fn b() -> Domain {
    "b.example".parse().unwrap()
}

fn zone(text: &str) -> Arc<Resolver> {
    Arc::new(Resolver::Zone(Zone::parse(text).unwrap()))
}

fn lab() -> Allowed {
    Allowed::parse(["127.0.0.0/8"]).unwrap()
}

/// A client that trusts this authority only, made as the node makes it.
fn client(authority: &Authority) -> Arc<ClientConfig> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    Arc::new(tls::https_client(Some(file.path())).unwrap())
}

/// A node that finds b.example's document on this server.
fn documents(authority: &Authority, at: SocketAddr) -> Documents {
    documents_of(&format!("b.example A {}", at.ip()), authority, at)
}

fn documents_of(records: &str, authority: &Authority, at: SocketAddr) -> Documents {
    Documents::new(zone(records), client(authority), lab(), at.port())
}

/// What comes of one fetch from a server that does this under a valid certificate: the key, none, or why it isn't known.
async fn fetched(does: Does) -> Result<Option<NodeKey>, String> {
    let authority = Authority::new();
    let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), does).await;
    let documents = documents(&authority, web.at).within(Duration::from_secs(5));
    documents.of(&b()).await.map(|found| found.map(|document| document.nk)).map_err(|why| why.to_string())
}

fn said(text: &str) -> Does {
    Does::Says(text.to_owned())
}

fn nk() -> NodeKey {
    NodeKey::parse(NK).unwrap()
}

/// [D-3]
#[tokio::test]
async fn a_document_is_fetched_with_one_modest_request() {
    let authority = Authority::new();
    let tls = authority.vouches("b.example", Valid::Now);
    let web = Web::serve(Some(tls), said(&ok(&document()))).await;
    let documents = documents(&authority, web.at);
    assert_eq!(documents.of(&b()).await.unwrap().unwrap().nk, nk());
    let port = web.at.port();
    let request = format!(
        "GET /.well-known/postline HTTP/1.1\r\nhost: b.example:{port}\r\naccept: application/json\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(web.requests(), [request], "and it tells nothing of us");
    // It is kept: the next one who asks causes no connection.
    assert_eq!(documents.of(&b()).await.unwrap().unwrap().nk, nk());
    assert_eq!(web.connections(), 1);
}

#[tokio::test]
async fn t_101_a_bad_certificate_is_no_evidence() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let answers = || said(&ok(&document()));
    for (what, tls) in [
        ("expired", Some(authority.vouches("b.example", Valid::Past))),
        ("not yet valid", Some(authority.vouches("b.example", Valid::Future))),
        ("of another name", Some(authority.vouches("c.example", Valid::Now))),
        ("of a name below", Some(authority.vouches("www.b.example", Valid::Now))),
        ("of all of a top level", Some(authority.vouches("*.example", Valid::Now))),
        ("of nobody", Some(self_signed("b.example"))),
        ("of an unknown authority", Some(stranger.vouches("b.example", Valid::Now))),
        ("none", None),
    ] {
        let web = Web::serve(tls.clone(), answers()).await;
        let got = documents(&authority, web.at).within(Duration::from_secs(5)).of(&b()).await;
        if tls.is_some() {
            assert_eq!(got, Ok(None), "a certificate {what} is another's");
        } else {
            assert!(got.is_err(), "what speaks no TLS broke off: {got:?}");
        }
        assert_eq!(web.requests(), [""; 0], "a certificate {what} was asked through");
        assert_eq!(web.connections(), 1);
        // And the domain's word is what the other source says.
        let dns = zone("b.example A 127.0.0.1");
        let discovery = Discovery::new(Arc::clone(&dns), Some(documents(&authority, web.at)), lab());
        let silent = if tls.is_some() { Evidence::Domain { names: None } } else { Evidence::Temporary };
        assert_eq!(discovery.word(&b()).await, silent, "{what}");
    }
}

/// [D-4]
#[tokio::test]
async fn an_answer_of_the_domains_or_no_server_of_its_own_says_that_there_is_no_document() {
    for (answer, why) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n".to_owned(), "410"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(), "403"),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "204"),
        (ok(&document()).replace("application/json", "text/html"), "wrong type"),
        (ok(&document()).replace("content-type", "x-content-type"), "no type"),
        (ok(&document()).replace("content-type: ", "content-encoding: gzip\r\ncontent-type: "), "content coding"),
        (ok("<html>"), "no JSON"),
        (ok(r#"{"v":2}"#), "a later version"),
        (ok(""), "nothing"),
    ] {
        assert_eq!(fetched(said(&answer)).await, Ok(None), "{why}");
    }
    for (answer, why) in [
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "answer 500"),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "answer 503"),
        ("HTTP/1.1 429 Slower\r\ncontent-length: 0\r\n\r\n", "answer 429"),
        ("HTTP/1.1 408 Late\r\ncontent-length: 0\r\n\r\n", "answer 408"),
        ("SSH-2.0-what\r\n", "no whole answer"),
        ("", "no whole answer"),
    ] {
        let got = fetched(said(answer)).await;
        assert!(matches!(&got, Err(said) if said.contains(why)), "{answer:?}: {got:?}");
    }
    // Nobody listens.
    let authority = Authority::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(documents(&authority, gone).of(&b()).await, Ok(None));
    // No address, or none that may be dialled: there is no such server.
    for records in ["", "b.example A 10.0.0.1", "b.example AAAA ::1\nb.example A 192.168.1.1"] {
        assert_eq!(documents_of(records, &authority, gone).of(&b()).await, Ok(None), "{records}");
    }
    assert!(documents_of("b.example FAIL", &authority, gone).of(&b()).await.is_err());
}

#[tokio::test]
async fn t_097_a_redirect_leads_nowhere() {
    let inside = Web::serve(None, Does::Hangs).await;
    for status in [301, 302, 303, 307, 308] {
        for to in [format!("http://{}/", inside.at), "https://b.example/.well-known/postline".to_owned()] {
            let answer = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            let authority = Authority::new();
            let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), said(&answer)).await;
            assert_eq!(documents(&authority, web.at).of(&b()).await, Ok(None), "{status} to {to}");
            assert_eq!((web.connections(), inside.connections()), (1, 0), "{status} to {to}");
        }
    }
}

#[tokio::test]
async fn t_097_an_endless_answer_costs_no_more_than_its_bound() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let x = "x".repeat(8 * 1024);
    for (what, first, again, whole) in [
        ("a declared length", format!("{head}content-length: 1000000000000\r\n\r\n"), x.clone(), true),
        ("no length", format!("{head}connection: close\r\n\r\n"), x.clone(), true),
        ("chunks", format!("{head}transfer-encoding: chunked\r\n\r\n"), format!("2000\r\n{x}\r\n"), true),
        ("one-byte chunks", format!("{head}transfer-encoding: chunked\r\n\r\n"), "1\r\nx\r\n".repeat(1024), true),
        ("a huge chunk", format!("{head}transfer-encoding: chunked\r\n\r\nfffffffffff\r\n"), x.clone(), true),
        ("one field", format!("{head}x: "), x.clone(), false),
        ("many fields", head.to_owned(), "x: y\r\n".repeat(1024), false),
        ("a status line", "HTTP/1.1 200 ".to_owned(), x.clone(), false),
        ("interim answers", String::new(), "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(64), false),
    ] {
        let authority = Authority::new();
        let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), Does::Floods(first, again)).await;
        let began = Instant::now();
        let got = documents(&authority, web.at).within(Duration::from_secs(4)).of(&b()).await;
        if whole {
            assert_eq!(got, Ok(None), "{what}: under its certificate the domain has no document");
        } else {
            assert!(got.is_err(), "{what}: {got:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        if what != "interim answers" {
            // What is on the way in the sockets' buffers is not ours.
            assert!(web.written() < 16 << 20, "{what}: {} bytes were taken", web.written());
        }
    }
    let whole = ok(&format!(r#"{{"v":1,"nk":"{NK}","x":"{}"}}"#, "x".repeat(limits::WELL_KNOWN_BYTES - 86)));
    assert_eq!(fetched(said(&whole)).await, Ok(Some(nk())), "at the bound");
    let over = ok(&format!(r#"{{"v":1,"nk":"{NK}","x":"{}"}}"#, "x".repeat(limits::WELL_KNOWN_BYTES - 85)));
    assert_eq!(fetched(said(&over)).await, Ok(None), "one above it");
}

#[tokio::test]
async fn t_091_a_slow_server_is_left_in_time() {
    let authority = Authority::new();
    let dripping = Does::Drips(ok(&document()), Duration::from_secs(1));
    for does in [dripping, Does::Hangs] {
        let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), does).await;
        let documents = documents(&authority, web.at).within(Duration::from_millis(1_500));
        let began = Instant::now();
        let got = documents.of(&b()).await;
        assert!(matches!(&got, Err(why) if why.0.contains("in time")), "{got:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(web.written() < 20, "it spoke a byte a second");
        // And not asked again at once.
        assert!(documents.of(&b()).await.is_err());
        assert_eq!(web.connections(), 1);
    }
    // One that takes the connection and never says a word of TLS.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let got = documents(&authority, deaf.local_addr().unwrap()).within(Duration::from_secs(1)).of(&b()).await;
    assert!(got.is_err(), "{got:?}");
}

#[tokio::test]
async fn t_101_an_answer_that_is_cut_off_is_no_document() {
    let whole = ok(&document());
    let to_the_end = whole.replace(&format!("content-length: {}\r\n", document().len()), "");
    assert_eq!(fetched(said(&to_the_end)).await, Ok(Some(nk())), "closed in order");
    for (what, answer) in [
        ("within a declared length", whole[..whole.len() - 1].to_owned()),
        ("where only TLS tells the end", to_the_end),
        ("in the head", whole[..40].to_owned()),
    ] {
        let got = fetched(Does::Cuts(answer)).await;
        assert!(got.is_err(), "cut {what}: {got:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_dead_does_not_hide_the_next() {
    let authority = Authority::new();
    let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), said(&ok(&document()))).await;
    // Nobody listens on the other addresses at this port.
    let many: String = (2..6).map(|n| format!("b.example A 127.0.0.{n}\n")).collect();
    let three = documents_of("b.example A 127.0.0.9\nb.example A 127.0.0.8\nb.example A 127.0.0.1", &authority, web.at);
    assert_eq!(three.of(&b()).await.unwrap().unwrap().nk, nk());
    let fifth = documents_of(&format!("{many}b.example A 127.0.0.1"), &authority, web.at);
    assert_eq!(fifth.of(&b()).await, Ok(None), "only so many are tried");
    assert_eq!(web.connections(), 1);
}

/// [D-5]
#[tokio::test]
async fn document_and_record_make_the_domains_word() {
    let other = NodeKey([7; 32]);
    let authority = Authority::new();
    let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), Does::Hangs).await;
    let named = |nk| Evidence::Domain { names: Some(nk) };
    let not_found = "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n";
    for (does, record, want) in [
        (said(&ok(&document())), String::new(), named(nk())),
        (said(&ok(&document())), format!("v=1; nk={NK}"), named(nk())),
        (said(&ok(&document())), format!("v=1; nk={other}"), Evidence::Contradiction),
        (said(not_found), format!("v=1; nk={other}"), named(other)),
        (said(not_found), "v=spf1 -all".to_owned(), Evidence::Domain { names: None }),
        (said(not_found), String::new(), Evidence::Domain { names: None }),
        (said("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"), String::new(), Evidence::Temporary),
        (Does::Cuts(String::new()), format!("v=1; nk={other}"), named(other)),
    ] {
        web.now_does(does);
        let record = if record.is_empty() { record } else { format!("_postline.b.example TXT \"{record}\"") };
        let dns = zone(&format!("b.example A 127.0.0.1\n{record}"));
        let documents = Documents::new(Arc::clone(&dns), client(&authority), lab(), web.at.port());
        let word = Discovery::new(dns, Some(documents), lab()).word(&b()).await;
        assert_eq!(word, want, "{record}");
    }
    // Two records, and none of them wins.
    let dns = zone(&format!("_postline.b.example TXT \"v=1; nk={NK}\"\n_postline.b.example TXT \"v=1; nk={other}\""));
    assert_eq!(Discovery::new(dns, None, lab()).word(&b()).await, Evidence::Contradiction);
    let dns = zone("_postline.b.example FAIL");
    assert_eq!(Discovery::new(dns, None, lab()).word(&b()).await, Evidence::Temporary);
}

/// Two nodes that run, b.example's document naming this key or b's own, and a mail and its reply between them.
async fn round_trip(names: Option<NodeKey>) -> (Nodes, Web) {
    let authority = Authority::new();
    let web = Web::serve(Some(authority.vouches("b.example", Valid::Now)), Does::Hangs).await;
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), authority.pem()).unwrap();
    let plan = |users: &[&'static str]| Plan {
        settings: vec![
            ("discovery.roots", format!("\"{}\"", roots.path().display())),
            ("discovery.https_port", web.at.port().to_string()),
        ],
        ..Plan::of(users)
    };
    let mut nodes = Nodes::set_up(common::program(), [plan(&["one"]), plan(&["two"])]).unwrap();
    let zone = nodes.a.config().zone_file.clone().unwrap();
    let text = std::fs::read_to_string(&zone).unwrap();
    std::fs::write(&zone, format!("{text}b.example A 127.0.0.1\n")).unwrap();
    let identity = KeyFiles::of(&nodes.b.config().data_dir).identity().unwrap();
    let own = String::from_utf8(well_known(&identity, nodes.b.config())).unwrap();
    web.now_does(said(&ok(&names.map_or(own, |nk| format!(r#"{{"v":1,"nk":"{nk}"}}"#)))));
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let mut two = Person::new("two@b.example", &nodes.b).await.unwrap();
    one.submit(&Letter::to("two@b.example", "hello")).await.unwrap();
    nodes.b.inbox("two").wait_for("hello", PATIENCE).await.unwrap();
    assert_eq!(web.connections(), 0, "nobody asks before an answer ([T-15])");
    two.submit(&Letter::answer("one@a.example", "re-hello", "hello")).await.unwrap();
    nodes.a.inbox("one").wait_for("re-hello", PATIENCE).await.unwrap();
    (nodes, web)
}

/// [T-11], [T-15]: our own document is what another node reads, and only once its user has had an answer.
#[tokio::test]
async fn a_reply_opens_the_line_as_the_document_says() {
    let (nodes, web) = round_trip(None).await;
    assert_eq!(nodes.wait_for_line(PATIENCE).await.unwrap(), "trusted");
    assert_eq!(web.connections(), 1);
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_014_a_document_that_names_another_key_keeps_the_line_shut() {
    let (nodes, web) = round_trip(Some(NodeKey([7; 32]))).await;
    let began = Instant::now();
    while !nodes.a.log().contains("the domain names another key") {
        assert!(began.elapsed() < PATIENCE, "{}", nodes.a.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(web.connections(), 1);
    for (node, ours, theirs) in
        [(&nodes.a, "one@a.example", "two@b.example"), (&nodes.b, "two@b.example", "one@a.example")]
    {
        assert_ne!(node.trust(ours, theirs).await.unwrap(), "trusted", "{ours}");
    }
    nodes.stop().await.unwrap();
}
