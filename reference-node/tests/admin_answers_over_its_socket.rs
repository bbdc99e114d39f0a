//! The admin socket: who may ask, what is answered, and what a bad client can't do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use postline_core::id::{Address, Lane, Mailbox};
use postline_node::admin::{
    self, AdminHost, Answer, AskFault, AskPair, ListenFault, Listener, REQUEST_BYTES, Refusal, RefusalCode, Request,
    Status, TrustRow,
};

/// A host that knows one pair.
struct OnePair;

impl AdminHost for OnePair {
    async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status {} => Answer::Status(Box::new(Status { version: "9".into(), ..Status::default() })),
            Request::TrustShow(pair) if pair.theirs.local() == "two" => Answer::TrustShow(TrustRow {
                ours: pair.ours.to_string(),
                theirs: pair.theirs.to_string(),
                state: "trusted".into(),
                ..TrustRow::default()
            }),
            Request::TrustShow(_) => Answer::Refused(Refusal::new(RefusalCode::NotFound, "no such pair")),
            Request::TrustList { limit, .. } => {
                let row = TrustRow { ours: "x".repeat(1_000), ..TrustRow::default() };
                Answer::TrustList { pairs: vec![row; limit as usize], more: false }
            }
            Request::Trace { message_id } if message_id == "panic" => panic!("the host broke"),
            Request::TrustBlock(_)
            | Request::TrustUnblock(_)
            | Request::TrustAccept { .. }
            | Request::TrustBlockDomain { .. }
            | Request::TrustUnblockDomain { .. }
            | Request::TrustBlockedDomains {}
            | Request::UserOffers { .. }
            | Request::QueueList { .. }
            | Request::QueueRetry { .. }
            | Request::Trace { .. }
            | Request::DeviceHost { .. }
            | Request::DeviceApprove { .. }
            | Request::ClockAccept {}
            | Request::Reload {}
            | Request::Drain {} => Answer::Done {},
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A node that listens until it is dropped.
fn node(socket: &Path) -> tokio::runtime::Runtime {
    let runtime = runtime();
    let listener = runtime.block_on(async { Listener::bind(socket) }).unwrap();
    runtime.spawn(listener.serve(Arc::new(OnePair)));
    runtime
}

fn pair(theirs: &str) -> AskPair {
    AskPair { ours: Address::parse("one@a.example").unwrap(), theirs: Address::parse(theirs).unwrap() }
}

fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_question_gets_its_answer_and_a_refusal_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _node = node(&socket);
    assert!(
        matches!(admin::ask(&socket, &Request::Status {}).unwrap(), Answer::Status(status) if status.version == "9")
    );
    let Answer::TrustShow(row) = admin::ask(&socket, &Request::TrustShow(pair("two@b.example"))).unwrap() else {
        panic!()
    };
    assert_eq!((row.theirs.as_str(), row.state.as_str()), ("two@b.example", "trusted"));
    let refused = admin::ask(&socket, &Request::TrustShow(pair("three@b.example"))).unwrap();
    assert_eq!(refused, Answer::Refused(Refusal::new(RefusalCode::NotFound, "no such pair")));
}

#[test]
fn the_names_on_the_wire_are_these() {
    let lane = Lane::Mailbox(Mailbox("one".into()));
    for (request, text) in [
        (Request::Status {}, r#"{"ask":"status"}"#),
        (Request::TrustList { prefix: "o".into(), limit: 5 }, r#"{"ask":"trust_list","prefix":"o","limit":5}"#),
        (
            Request::TrustBlock(pair("two@b.example")),
            r#"{"ask":"trust_block","ours":"one@a.example","theirs":"two@b.example"}"#,
        ),
        (Request::QueueRetry { lane: None }, r#"{"ask":"queue_retry"}"#),
        (Request::QueueRetry { lane: Some(lane) }, r#"{"ask":"queue_retry","lane":"mailbox/one"}"#),
        (Request::Trace { message_id: "x@y".into() }, r#"{"ask":"trace","message_id":"x@y"}"#),
        (Request::ClockAccept {}, r#"{"ask":"clock_accept"}"#),
        (Request::Drain {}, r#"{"ask":"drain"}"#),
    ] {
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
    }
}

#[test]
fn several_questions_go_over_one_connection() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _node = node(&socket);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"{\"ask\":\"drain\"}\n{\"ask\":\"reload\"}\n").unwrap();
    let answers: Vec<String> = BufReader::new(stream).lines().take(2).map(Result::unwrap).collect();
    assert_eq!(answers, [r#"{"done":{}}"#; 2]);
}

#[test]
fn what_is_no_question_is_refused_and_the_node_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _node = node(&socket);
    for bad in [
        "\n",
        "{}\n",
        "nonsense\n",
        "{\"ask\":\"everything\"}\n",
        "{\"ask\":\"status\",\"more\":1}\n",
        "{\"ask\":\"trust_block\",\"ours\":\"one\",\"theirs\":\"two@b.example\"}\n",
        "{\"ask\":\"queue_retry\",\"lane\":\"mailbox/../etc\"}\n",
        "\u{0}\n",
    ] {
        let answer = raw(&socket, bad.as_bytes());
        assert!(answer.starts_with(r#"{"refused":{"code":"malformed""#), "{bad:?}: {answer}");
    }
    let endless = raw(&socket, &vec![b'x'; REQUEST_BYTES + 1]);
    assert!(endless.contains("more than 16384 bytes"), "{endless}");
    // One who says half a question and goes away.
    UnixStream::connect(&socket).unwrap().write_all(b"{\"ask\":").unwrap();
    assert!(admin::ask(&socket, &Request::Status {}).is_ok());
}

#[test]
fn an_answer_that_is_too_long_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _node = node(&socket);
    let long = admin::ask(&socket, &Request::TrustList { prefix: String::new(), limit: 20_000 }).unwrap();
    assert!(matches!(long, Answer::Refused(refusal) if refusal.message.contains("too long")));
}

#[test]
fn a_host_that_breaks_takes_one_connection_along() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _node = node(&socket);
    for _ in 0..20 {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"{\"ask\":\"trace\",\"message_id\":\"panic\"}\n").unwrap();
        let mut nothing = Vec::new();
        assert_eq!(stream.read_to_end(&mut nothing).unwrap_or(0), 0);
    }
    assert!(admin::ask(&socket, &Request::Status {}).is_ok());
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let node = node(&socket);
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    drop(node);
    assert!(!socket.exists());
    let nobody = admin::ask(&socket, &Request::Status {});
    assert!(matches!(nobody, Err(AskFault::NotRunning(_))));
}

#[test]
fn t_111_a_second_node_on_one_directory_is_refused_and_a_dead_ones_socket_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    // A node that was killed leaves its file.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    assert!(matches!(admin::ask(&socket, &Request::Status {}), Err(AskFault::NotRunning(_))));
    let first = node(&socket);
    let second = first.block_on(async { Listener::bind(&socket) });
    assert!(matches!(second, Err(ListenFault::Taken(_))));
    assert!(admin::ask(&socket, &Request::Status {}).is_ok(), "the first one goes on");
}
