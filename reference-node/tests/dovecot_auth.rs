//! Logins that Dovecot checks: its protocol in every piece, and a socket that answers, fails, hangs, or isn't there.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use postline_core::limits;
use postline_node::dovecot::auth::{AuthFault, Client, Dialog, Heard, Verdict};
use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// What Dovecot 2.3 says first; 2.4 says another minor version.
const HELLO: &str =
    "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t17\nCUID\t1\nCOOKIE\tab\nDONE\n";

fn peer() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

/// What is heard of an answer, in two pieces cut at `cut`.
fn heard(answer: &str, cut: usize) -> Result<Heard, AuthFault> {
    let mut dialog = Dialog::default();
    let script = format!("{HELLO}{answer}");
    let (front, back) = script.as_bytes().split_at(cut.min(script.len()));
    let mut heard = dialog.hear(front)?;
    if heard == Heard::More {
        heard = dialog.hear(back)?;
        assert_eq!(heard, Heard::Ask);
        return dialog.hear(b"");
    }
    assert_eq!(heard, Heard::Ask);
    dialog.hear(back)
}

#[test]
fn a_request_says_who_asks_and_what_for() {
    let line = Dialog::request("alice", "tea pot", peer(), true);
    let text = String::from_utf8(line.to_vec()).unwrap();
    assert_eq!(text, "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.7\tresp=AGFsaWNlAHRlYSBwb3Q=\n");
    assert!(!String::from_utf8(Dialog::request("a", "b", peer(), false).to_vec()).unwrap().contains("secured"));
}

#[test]
fn every_split_of_an_answer_is_heard_alike() {
    for (answer, verdict) in [
        ("OK\t1\tuser=alice@a.example\tauth_mech=PLAIN\n", Verdict::Yes("alice@a.example".into())),
        ("FAIL\t1\tuser=alice\n", Verdict::No),
        ("FAIL\t1\tuser=alice\tcode=user_disabled\n", Verdict::No),
        ("FAIL\t1\tuser=alice\tcode=temp_fail\n", Verdict::Later),
        ("FAIL\t1\ttemp\n", Verdict::Later),
    ] {
        for cut in 0..=HELLO.len() + answer.len() {
            assert_eq!(heard(answer, cut).unwrap(), Heard::Verdict(verdict.clone()), "{answer} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_answer_is_a_fault_and_never_a_verdict() {
    for answer in
        ["OK\t2\tuser=alice\n", "OK\t1\n", "OK\t1\tuser=\n", "CONT\t1\t\n", "\n", "HTTP/1.1 200 OK\n", "DONE\n"]
    {
        assert!(matches!(heard(answer, HELLO.len()), Err(AuthFault::OutOfPlace(_))), "{answer:?}");
    }
    let hear = |text: &str| Dialog::default().hear(text.as_bytes());
    assert!(matches!(hear("VERSION\t2\t0\n"), Err(AuthFault::Version(_))));
    assert!(matches!(hear("MECH\tPLAIN\nDONE\n"), Err(AuthFault::Version(_))));
    assert!(matches!(hear("VERSION\t1\t2\nMECH\tGSSAPI\nDONE\n"), Err(AuthFault::NoPlain)));
    let line = |bytes: usize| format!("{}\n", "x".repeat(bytes));
    assert!(hear(&line(limits::AUTH_LINE_BYTES)).is_ok());
    assert!(matches!(hear(&line(limits::AUTH_LINE_BYTES + 1)), Err(AuthFault::Line)));
    assert!(matches!(hear(&"x".repeat(limits::AUTH_LINE_BYTES + 1)), Err(AuthFault::Line)));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20), hello in any::<bool>()) {
        let mut dialog = Dialog::default();
        if hello {
            prop_assert_eq!(dialog.hear(HELLO.as_bytes()).unwrap(), Heard::Ask);
        }
        for piece in pieces {
            if dialog.hear(&piece).is_err() {
                break;
            }
        }
    }
}

/// A Dovecot that says `answer` to every request, whatever it is.
async fn dovecot(answer: &'static str) -> (Arc<Client>, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth-client");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    (Arc::new(Client::new(path.clone())), path, dir)
}

async fn serve(stream: UnixStream, answer: &str) {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(HELLO.as_bytes()).await.unwrap();
    let mut line = String::new();
    for want in ["VERSION\t1\t", "CPID\t", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.7\tresp="] {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(want), "{line}");
    }
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
    // The client leaves first.
    let _ = stream.read_to_string(&mut line).await;
}

#[tokio::test]
async fn a_wrong_password_and_a_dovecot_that_fails_are_told_apart() {
    for (answer, want) in [
        ("OK\t1\tuser=alice\n", Verdict::Yes("alice".into())),
        ("FAIL\t1\tuser=alice\n", Verdict::No),
        ("FAIL\t1\tuser=alice\tcode=temp_fail\n", Verdict::Later),
        ("WHAT\n", Verdict::Later),
    ] {
        let (client, _path, _dir) = dovecot(answer).await;
        assert_eq!(client.check("alice", "tea", peer()).await, want, "{answer}");
    }
}

#[tokio::test]
async fn a_dovecot_that_is_down_is_found_again_when_it_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth-client");
    let client = Client::new(path.clone());
    assert_eq!(client.check("alice", "tea", peer()).await, Verdict::Later);
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, "OK\t1\tuser=alice\n").await;
    });
    assert_eq!(client.check("alice", "tea", peer()).await, Verdict::Yes("alice".into()));
}

#[tokio::test(start_paused = true)]
async fn a_dovecot_that_hangs_holds_a_bounded_number_for_a_bounded_time() {
    let (client, _path, _dir) = dovecot("").await;
    let checks: Vec<_> = (0..limits::AUTH_CHECKS)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.check("alice", "tea", peer()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(client.check("alice", "tea", peer()).await, Verdict::Later, "one more is told at once");
    for check in checks {
        assert_eq!(check.await.unwrap(), Verdict::Later);
    }
}
