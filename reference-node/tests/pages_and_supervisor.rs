//! What a node tells monitoring and a service manager, and what it takes from one.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::PATIENCE;
use postline_core::limits;
use postline_node::lab::{Letter, Node, Nodes, Person, Plan, Smtp};
use postline_node::metrics::{Metrics, Seen};
use postline_node::tls;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::time::{Instant, timeout};

/// Two nodes whose first shows pages on a free port, plain and under TLS.
async fn with_pages() -> Nodes {
    let free = || "[\"127.0.0.1:0\"]".to_owned();
    let mut a = Plan::of(&["one", "three"]);
    a.settings = vec![("http.listen", free()), ("http.public", free())];
    Nodes::start(common::program(), [a, Plan::of(&["two"])]).await.unwrap()
}

async fn at(node: &Node, listener: &str) -> SocketAddr {
    node.status().await.unwrap().listen[listener][0].parse().unwrap()
}

/// What is answered, head and body, until the server closes.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes under TLS without a farewell has answered all the same.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer, and an end");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    ask(stream, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await
}

#[tokio::test]
async fn an_operator_sees_how_the_node_is() {
    let nodes = with_pages().await;
    let pages = at(&nodes.a, "http").await;
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("three@a.example", "counted")).await.unwrap();
    nodes.a.inbox("three").wait_for("counted", PATIENCE).await.unwrap();

    let (head, body) = get(pages, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.contains("postline_mails_arrived_total{carrier=\"submission\"} 1\n"), "{body}");
    assert!(body.contains("postline_users 2\n") && body.ends_with("# EOF\n"), "{body}");
    assert!(!body.contains("example"), "nobody's address or domain is on the page");
    assert_eq!(get(pages, "/healthz").await.1, "ok\n");
    assert_eq!(get(pages, "/readyz").await.1, r#"{"ready":true,"causes":[]}"#);
    assert!(get(pages, "/").await.0.starts_with("HTTP/1.1 404"));
    let stream = TcpStream::connect(pages).await.unwrap();
    let (head, _) = ask(stream, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    assert!(head.starts_with("HTTP/1.1 405") && head.to_lowercase().contains("allow: get, head"), "{head}");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn everybody_sees_the_well_known_document_and_nothing_else() {
    let nodes = with_pages().await;
    let public = at(&nodes.a, "http-public").await;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls::smtp_client_of_any().unwrap()));
    let node_key = nodes.a.status().await.unwrap().node_key;
    for (path, status) in [("/.well-known/postline", 200), ("/metrics", 404), ("/healthz", 404), ("/readyz", 404)] {
        let stream = TcpStream::connect(public).await.unwrap();
        let name = ServerName::try_from("mail.a.example").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (head, body) = ask(stream, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
        assert_eq!(status == 200, head.contains("application/json") && body.contains(&node_key), "{path}: {body}");
    }
    nodes.stop().await.unwrap();
}

/// Attack 91: one neighbour who takes all the sockets that there are has a few of them, and others still come in.
#[tokio::test]
async fn t_091_one_neighbour_cannot_keep_everybody_from_the_document() {
    let nodes = with_pages().await;
    let public = at(&nodes.a, "http-public").await;
    let mut silent = Vec::new();
    for _ in 0..2 * limits::HTTP_CONNECTIONS {
        silent.push(TcpStream::connect(public).await.unwrap());
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(public).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls::smtp_client_of_any().unwrap()));
    let stream = connector.connect(ServerName::try_from("mail.a.example").unwrap(), stream).await.unwrap();
    let (head, _) = ask(stream, "GET /.well-known/postline HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut held = 0;
    for stream in &silent {
        let mut byte = [0];
        // Who was turned away is told so by the end of the stream.
        match timeout(Duration::from_millis(20), stream.peek(&mut byte)).await {
            Err(_) => held += 1,
            Ok(read) => assert!(!matches!(read, Ok(1)), "nobody is answered"),
        }
    }
    assert_eq!(held, limits::HTTP_CONNECTIONS_PER_IP);
    drop(silent);
    nodes.stop().await.unwrap();
}

/// Attack 91: clients that say nothing, or speak a byte a second, hold a bounded number of sockets for a bounded time.
#[tokio::test]
async fn t_091_silent_clients_of_the_pages_are_cut_off_and_stand_in_nobodys_way_for_long() {
    let nodes = with_pages().await;
    let pages = at(&nodes.a, "http").await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..80 {
        let mut stream = TcpStream::connect(pages).await.unwrap();
        // Those that found no room are closed already.
        let _ = stream.write_all(b"GET /metr").await;
        silent.push(stream);
    }
    for stream in &mut silent {
        let mut rest = Vec::new();
        // A reset ends it as well.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("cut off");
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(get(pages, "/healthz").await.1, "ok\n", "and the pages are there again");

    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(64 * 1024));
    let mut stream = TcpStream::connect(pages).await.unwrap();
    // It may be cut off while it still writes.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200") && !answer.starts_with(b"HTTP/1.1 404"), "a long head is no request");
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_manager_hears_of_the_nodes_life() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut nodes = Nodes::set_up(common::program(), [Plan::of(&["one"]), Plan::of(&["two"])]).unwrap();
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    nodes.a.run_under(&["/usr/bin/env", &socket, "WATCHDOG_USEC=300000"]);
    nodes.a.start().await.unwrap();
    let hear = async |word: &str| {
        let began = Instant::now();
        let mut said = [0; 512];
        loop {
            let len = timeout(PATIENCE, manager.recv(&mut said)).await.expect("word of the node").unwrap();
            let text = String::from_utf8_lossy(&said[..len]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "no {word}");
        }
    };
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    common::signal(&nodes.a, "HUP");
    let reloading = hear("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    hear("READY=1").await;
    common::signal(&nodes.a, "TERM");
    hear("STOPPING=1").await;
    assert_eq!(nodes.a.ended().await.unwrap(), Some(0));
}

/// Python stands in for the service manager: it hands over a listener as descriptor 3 and becomes the node.
const HAND_OVER: &str = "import os, socket, sys
s = socket.create_server(('127.0.0.1', 0))
if s.fileno() != 3: os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES=sys.argv[1], LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])";

#[tokio::test]
async fn sockets_of_the_service_manager_take_the_place_of_the_configured_ones() {
    let mut nodes = Nodes::set_up(common::program(), [Plan::of(&["one"]), Plan::of(&["two"])]).unwrap();
    nodes.a.run_under(&["python3", "-c", HAND_OVER, "smtp"]);
    nodes.a.start().await.unwrap();
    let smtp = at(&nodes.a, "smtp").await;
    assert_ne!(smtp.to_string(), nodes.a.smtp, "not the configured port");
    Smtp::connect(&smtp.to_string()).await.unwrap();
    nodes.stop().await.unwrap();

    let mut nodes = Nodes::set_up(common::program(), [Plan::of(&["one"]), Plan::of(&["two"])]).unwrap();
    nodes.a.run_under(&["python3", "-c", HAND_OVER, "stmp"]);
    let refused = nodes.a.start().await.unwrap_err().to_string();
    assert!(refused.contains("\"stmp\"") && refused.contains("FileDescriptorName="), "{refused}");
}

#[tokio::test]
async fn manual_pages_and_completions_know_every_command_and_key() {
    let nodes = Nodes::set_up(common::program(), [Plan::of(&["one"]), Plan::of(&["two"])]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let output = nodes.a.command("manual").arg(dir.path()).output().await.unwrap();
    assert!(output.status.success());
    let pages: Vec<PathBuf> =
        String::from_utf8(output.stdout).unwrap().lines().map(|name| dir.path().join(name)).collect();
    for name in ["postline.1", "postline-trust-block.1", "postline-queue-retry.1", "postline.toml.5"] {
        assert!(pages.contains(&dir.path().join(name)), "{name} is missing");
    }
    let page = std::fs::read_to_string(dir.path().join("postline-trust-block.1")).unwrap();
    assert!(page.contains("postline\\-trust\\-block") || page.contains("postline trust block"), "{page}");
    let configuration = std::fs::read_to_string(dir.path().join("postline.toml.5")).unwrap();
    for key in postline_node::config::KEYS {
        assert!(configuration.contains(&key.path.replace('-', "\\-")), "{} is not explained", key.path);
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = nodes.a.command("completions").arg(shell).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("submission") || text.contains("trust"), "{shell}: {text}");
        assert!(text.contains("postline"), "{shell}");
    }
}

/// Alerts and dashboards that name no metric of ours would stay silent for ever.
#[test]
fn alerts_and_dashboards_name_metrics_that_there_are() {
    let page = Metrics::new("0").page(&Seen::default());
    let known: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib");
    for file in ["prometheus/postline.yml", "grafana/postline.json"] {
        let text = std::fs::read_to_string(contrib.join(file)).unwrap();
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let named: Vec<&str> = text.split(word).filter(|word| word.starts_with("postline_")).collect();
        assert!(named.len() > 5, "{file} names metrics");
        for name in named {
            let bare = ["_total", "_bucket"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
            assert!(known.contains(&bare), "{file} names {name}, which is none of {known:?}");
        }
    }
}
