//! The dict protocol, spoken as Dovecot 2.3 and 2.4 speak it, to a session, and to the socket.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postline_core::limits;
use postline_node::dovecot::dict_survives;
use postline_node::dovecot::event::{Happened, What};
use postline_node::dovecot::key::Key;
use postline_node::dovecot::report::{Full, Report, Reports};
use postline_node::dovecot::server::{DictHost, Listener};
use postline_node::dovecot::session::{Answer, Change, DictFault, Input, Output, Question, Session};
use postline_node::dovecot::who::User;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

const V23: &str = "H3\t2\t0\t\tpostline\n";
const V24: &str = "H4\t0\t0\t\tpostline\n";
const ROOT: &str = "priv/0123456789abcdef0123456789abcdef/vendor/vendor.dovecot/pvt/server/";
const PATIENCE: Duration = Duration::from_secs(60);

/// What a session says and asks, the node answering `answer` at once to each question.
fn talk(pieces: &[&[u8]], answer: impl Fn(&Question) -> Answer) -> (String, Vec<Question>, Option<DictFault>) {
    let (mut session, mut said, mut asked, mut closed) = (Session::new(), String::new(), Vec::new(), None);
    let mut inputs: Vec<Vec<u8>> = pieces.iter().rev().map(|piece| piece.to_vec()).collect();
    while let Some(piece) = inputs.pop() {
        let mut out = Vec::new();
        session.step(Input::Bytes(&piece), &mut out).unwrap();
        loop {
            let mut next = None;
            for output in out.drain(..) {
                match output {
                    Output::Say(bytes) => said.push_str(std::str::from_utf8(&bytes).unwrap()),
                    Output::Ask(question) => {
                        next = Some(answer(&question));
                        asked.push(question);
                    }
                    Output::Close(fault) => closed = Some(fault),
                }
            }
            let Some(answer) = next else { break };
            session.step(Input::Answer(answer), &mut out).unwrap();
        }
    }
    (said, asked, closed)
}

fn found(question: &Question) -> Answer {
    match question {
        Question::Look { .. } => Answer::Found("one\ttwo\n".into()),
        Question::List { .. } => Answer::Keys(vec![Key::Trust, Key::TrustOf("Bob@b.example".into()), Key::Version]),
        Question::Change { .. } => Answer::Done,
    }
}

fn closed_by(script: &str) -> Option<DictFault> {
    talk(&[script.as_bytes()], found).2
}

#[test]
fn a_look_up_is_answered_under_its_number() {
    for hello in [V23, V24] {
        let script = format!("{hello}L{ROOT}vendor/postline/trust\tone@a.example\nL{ROOT}comment\tone@a.example\n");
        let (said, asked, closed) = talk(&[script.as_bytes()], found);
        assert_eq!(said, "*1\n+1\tOone\x01ttwo\x01n\n*2\n+2\tN\n", "what isn't ours is not found, and nobody is asked");
        assert_eq!(asked, [Question::Look { user: "one@a.example".into(), key: Key::Trust }]);
        assert_eq!(closed, None);
    }
}

#[test]
fn an_old_client_gets_no_numbers() {
    let script = format!("H3\t0\t0\t\tpostline\nL{ROOT}vendor/postline/trust\tone\nI1\t0\t{ROOT}\tone\n");
    let (said, ..) = talk(&[script.as_bytes()], |question| match question {
        Question::List { .. } => Answer::Keys(vec![Key::Version]),
        Question::Look { .. } | Question::Change { .. } => Answer::Missing,
    });
    assert_eq!(said, format!("N\nO{ROOT}vendor/postline/version\t\n\n"));
}

#[test]
fn an_iteration_gives_keys_that_begin_with_its_path_and_no_others() {
    let list = |flags: u32, most: u64, path: &str| {
        let (said, ..) = talk(&[V24.as_bytes(), format!("I{flags}\t{most}\t{path}\tone\n").as_bytes()], found);
        let rows = said.lines().filter_map(|line| line.strip_prefix("+1\tO")?.strip_suffix('\t').map(str::to_owned));
        (rows.collect::<Vec<_>>(), said.ends_with("+1\t\n"))
    };
    let ours = format!("{ROOT}vendor/postline/");
    let all = ["trust", "trust/hex:426f6240622e6578616d706c65", "version"].map(|name| format!("{ours}{name}")).to_vec();
    assert_eq!(list(0x09, 0, &ours), (all.clone(), true), "as Dovecot asks: all below, without values");
    assert_eq!(list(0x09, 0, ROOT), (all.clone(), true));
    assert_eq!(list(0x08, 0, &ours), (vec![all[0].clone(), all[2].clone()], true), "one level");
    assert_eq!(list(0x10, 0, &all[0]), (vec![all[0].clone()], true), "exactly this");
    assert_eq!(list(0x09, 0, &format!("{ours}trust/")), (vec![all[1].clone()], true));
    for nothing in ["priv/", "shared/0123456789abcdef0123456789abcdef/", "", &format!("{ROOT}vendor/other/")] {
        assert_eq!(list(0x09, 0, nothing), (vec![], true), "{nothing:?}");
    }
}

#[test]
fn a_transaction_is_asked_once_it_is_committed() {
    let script = format!(
        "{V24}B7\tone\t0\nT7\t1700000000\t5\nV7\tyes\nS7\t{ROOT}vendor/postline/trust/bob@b.example\tblock\n\
         U7\t{ROOT}vendor/postline/trust/eve@b.example\nC7\n"
    );
    let (said, asked, closed) = talk(&[script.as_bytes()], found);
    assert_eq!((said.as_str(), closed), ("*1\n+1\tO7\n", None));
    let changes = vec![
        Change::Set(Key::TrustOf("bob@b.example".into()), "block".into()),
        Change::Unset(Key::TrustOf("eve@b.example".into())),
    ];
    assert_eq!(asked, [Question::Change { user: "one".into(), changes }]);
}

#[test]
fn a_rolled_back_transaction_asks_nothing_and_an_asynchronous_one_says_so() {
    let script = format!("{V23}B1\tone\nS1\t{ROOT}vendor/postline/trust/b@b.example\tblock\nR1\nB1\tone\nD1\n");
    let (said, asked, closed) = talk(&[script.as_bytes()], found);
    assert_eq!((said.as_str(), asked.len(), closed), ("*1\n+1\tAO1\n", 0, None));
}

#[test]
fn what_is_not_ours_can_not_be_set() {
    for (line, why) in [
        (format!("S1\t{ROOT}comment\thello"), "no such annotation is kept here"),
        (format!("U1\t{ROOT}vendor/vendor.dovecot/x"), "no such annotation is kept here"),
        ("S1\tshared/x\ty".to_owned(), "no such annotation is kept here"),
        (format!("A1\t{ROOT}vendor/postline/trust\t1"), "no number is kept here"),
    ] {
        let script = format!("{V24}B1\tone\n{line}\nC1\n");
        let (said, asked, _) = talk(&[script.as_bytes()], found);
        assert_eq!(said, format!("*1\n+1\tF1\t{why}\n"));
        assert!(asked.is_empty());
    }
}

#[test]
fn nobody_gets_nothing() {
    let script = format!(
        "{V23}L{ROOT}vendor/postline/trust\t\nL{ROOT}vendor/postline/trust\nI9\t0\t{ROOT}\t\nB1\t\n\
         S1\t{ROOT}vendor/postline/trust/b@b.example\tblock\nC1\n"
    );
    let (said, asked, _) = talk(&[script.as_bytes()], found);
    assert_eq!(said, "*1\n+1\tN\n*2\n+2\tN\n*3\n+3\t\n*4\n+4\tF1\tnobody says who wants this\n");
    assert!(asked.is_empty());
}

#[test]
fn the_node_may_fail_and_dovecot_hears_how() {
    let script = format!(
        "{V23}L{ROOT}vendor/postline/trust\tone\nI9\t0\t{ROOT}\tone\nB3\tone\n\
         U3\t{ROOT}vendor/postline/trust/b@b.example\nC3\n"
    );
    let (said, ..) = talk(&[script.as_bytes()], |_| Answer::Refused("no\tdisk".into()));
    assert_eq!(said, "*1\n+1\tFno\x01tdisk\n*2\n+2\tFno\x01tdisk\n*3\n+3\tF3\tno\x01tdisk\n");
    let late = format!("{V23}B3\tone\nU3\t{ROOT}vendor/postline/trust/b@b.example\nC3\n");
    let (said, ..) = talk(&[late.as_bytes()], |_| Answer::Uncertain);
    assert_eq!(said, "*1\n+1\tW3\tno answer in time\n");
}

#[test]
fn every_split_is_heard_alike() {
    let script = format!(
        "{V23}L{ROOT}vendor/postline/trust\tone\nI9\t0\t{ROOT}\tone\nB1\tone\n\
         S1\t{ROOT}vendor/postline/trust/b@b.example\tblo\x01tck\nC1\n"
    );
    let whole = talk(&[script.as_bytes()], found);
    for at in 0..=script.len() {
        let (front, back) = script.as_bytes().split_at(at);
        assert_eq!(talk(&[front, back], found), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = script.as_bytes().chunks(1).collect();
    assert_eq!(talk(&bytes, found), whole);
}

#[test]
fn what_comes_while_a_question_is_open_waits_and_is_bounded() {
    let (mut session, mut out) = (Session::new(), Vec::new());
    let look = format!("L{ROOT}vendor/postline/version\tone\n");
    session.step(Input::Bytes(format!("{V23}{look}{look}").as_bytes()), &mut out).unwrap();
    assert!(matches!(out.last(), Some(Output::Ask(_))) && session.appetite() == 0);
    out.clear();
    session.step(Input::Answer(Answer::Missing), &mut out).unwrap();
    assert!(matches!(out.last(), Some(Output::Ask(_))), "the second follows the first's answer");
    out.clear();
    session.step(Input::Bytes(&vec![b'x'; 2 * limits::DICT_LINE_BYTES + 1]), &mut out).unwrap();
    assert_eq!(out, [Output::Close(DictFault::Backlog)]);
}

#[test]
fn who_is_no_dict_client_is_closed_with_the_reason() {
    for (script, fault) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), DictFault::NoGreeting),
        ("H2\t2\t0\t\tpostline\n".to_owned(), DictFault::Version(2)),
        ("H5\t0\t0\t\tpostline\n".to_owned(), DictFault::Version(5)),
        ("H3\t2\t0\t\tquota\n".to_owned(), DictFault::Name),
        ("H3\t2\n".to_owned(), DictFault::NoGreeting),
        ("\n".to_owned(), DictFault::Command(b'\n')),
        (format!("{V23}X1\n"), DictFault::Command(b'X')),
        (format!("{V23}\n"), DictFault::Command(b'\n')),
        (format!("{V23}S1\tkey\n"), DictFault::Fields('S')),
        (format!("{V23}Bx\tone\n"), DictFault::Fields('B')),
        (format!("{V23}I1\tx\tp\tone\n"), DictFault::Fields('I')),
        (format!("{V23}B1\tone\nB1\tone\n"), DictFault::Twice(1)),
        (format!("{V23}C9\n"), DictFault::NoTransaction(9)),
        (format!("{V23}R9\n"), DictFault::NoTransaction(9)),
    ] {
        assert_eq!(closed_by(&script), Some(fault), "{script:?}");
    }
}

#[test]
fn every_bound_holds_at_it_and_above_it() {
    let begin = |count: usize| (1..=count).fold(V23.to_owned(), |script, id| format!("{script}B{id}\tone\n"));
    assert_eq!(closed_by(&begin(limits::DICT_TRANSACTIONS)), None);
    assert_eq!(closed_by(&begin(limits::DICT_TRANSACTIONS + 1)), Some(DictFault::Transactions));

    let line = |bytes: usize| format!("{V23}L{}\tone\n", "x".repeat(bytes - 5));
    assert_eq!(closed_by(&line(limits::DICT_LINE_BYTES)), None);
    assert_eq!(closed_by(&line(limits::DICT_LINE_BYTES + 1)), Some(DictFault::Line));
    assert_eq!(closed_by(&format!("{V23}{}", "x".repeat(limits::DICT_LINE_BYTES + 1))), Some(DictFault::Line));

    let commit = |changes: &str| talk(&[format!("{V24}B1\tone\n{changes}C1\n").as_bytes()], found).0;
    let change = format!("S1\t{ROOT}vendor/postline/trust/b@b.example\tblock\n");
    assert_eq!(commit(&change.repeat(limits::DICT_CHANGES)), "*1\n+1\tO1\n");
    assert_eq!(commit(&change.repeat(limits::DICT_CHANGES + 1)), "*1\n+1\tF1\ttoo many changes at a time\n");
    let value = |bytes: usize| commit(&format!("S1\t{ROOT}vendor/postline/trust/b@b.example\t{}\n", "x".repeat(bytes)));
    assert_eq!(value(limits::DICT_VALUE_BYTES), "*1\n+1\tO1\n");
    assert_eq!(value(limits::DICT_VALUE_BYTES + 1), "*1\n+1\tF1\tthe value is too long\n");

    let script = format!("{V24}I9\t99999999999\t{ROOT}\tone\n");
    let (_, asked, _) = talk(&[script.as_bytes()], found);
    assert_eq!(asked, [Question::List { user: "one".into(), most: limits::DICT_ROWS }]);
}

#[test]
fn reports_are_bounded_for_each_user_and_in_all_and_never_wait() {
    let domains = ["a.example".parse().unwrap()];
    let report = |name: &str| Report {
        name: name.to_owned(),
        user: User::parse(name, &domains).unwrap(),
        mailbox: String::new(),
        happened: vec![Happened { what: What::Read, validity: 1, uid: 1 }],
    };
    let (reports, _waiting) = Reports::new();
    for _ in 0..limits::EVENTS_WAITING_PER_USER {
        reports.offer(report("one")).unwrap();
    }
    assert_eq!(reports.offer(report("one")), Err(Full));
    reports.offer(report("two")).unwrap();
    let more = (0..limits::EVENTS_WAITING).map(|user| reports.offer(report(&format!("user{user}"))));
    let dropped = more.filter(Result::is_err).count();
    assert_eq!(dropped, limits::EVENTS_WAITING_PER_USER + 1);
    assert_eq!(reports.dropped(), dropped as u64 + 1);
}

/// Answers look-ups with who asks, and changes never.
struct Echo;

impl DictHost for Echo {
    async fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Look { user, .. } => Answer::Found(user),
            Question::List { .. } => Answer::Keys(vec![Key::Version]),
            Question::Change { .. } => std::future::pending().await,
        }
    }
}

fn listen(dir: &Path) -> (Listener, std::path::PathBuf) {
    let path = dir.join("dict");
    (Listener::bind(&path, None).unwrap(), path)
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_one_group() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, path) = listen(dir.path());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Listener::bind(&path, None).is_err(), "a second node takes nobody's socket");
    drop(listener);
    assert!(!path.exists());
    let gid = dir.path().metadata().unwrap().gid();
    let _listener = Listener::bind(&path, Some(gid)).unwrap();
    let made = path.metadata().unwrap();
    assert_eq!((made.permissions().mode() & 0o777, made.gid()), (0o660, gid));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn the_socket_answers_many_at_a_time_and_counts_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, path) = listen(dir.path());
    let counts = listener.counts();
    let serving = tokio::spawn(listener.serve(Arc::new(Echo)));
    let mut all = Vec::new();
    for user in 0..32 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        all.push(tokio::spawn(async move {
            stream.write_all(format!("{V24}L{ROOT}vendor/postline/version\tu{user}\n").as_bytes()).await.unwrap();
            let want = format!("*1\n+1\tOu{user}\n");
            let mut got = vec![0; want.len()];
            stream.read_exact(&mut got).await.unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), want);
        }));
    }
    for one in all {
        tokio::time::timeout(PATIENCE, one).await.unwrap().unwrap();
    }
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"EHLO there\r\n").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
    assert_eq!(counts.garbage.load(Ordering::Relaxed), 1);
    assert_eq!(counts.questions.load(Ordering::Relaxed), 32);
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_leaves_nobody_without_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, path) = listen(dir.path());
    let serving = tokio::spawn(listener.serve(Arc::new(Echo)));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let script = format!("{V23}B1\tone\nU1\t{ROOT}vendor/postline/trust/b@b.example\nC1\n");
    stream.write_all(script.as_bytes()).await.unwrap();
    let want = "*1\n+1\tW1\tno answer in time\n";
    let mut got = vec![0; want.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), want);
    serving.abort();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_survived(script in prop::collection::vec(any::<u8>(), 0..2_000)) {
        dict_survives(&script);
    }

    #[test]
    fn any_commands_are_survived(
        kind in any::<u8>(),
        deeds in prop::collection::vec((prop_oneof![
            Just("L"), Just("I9\t0\t"), Just("B1\tone\n"), Just("S1\t"), Just("U1\t"), Just("C1\n"), Just("D1\n"), Just("R1\n"),
            Just("priv/0123456789abcdef0123456789abcdef/vendor/postline/"), Just("trust"), Just("trust/b@b.example"),
            Just("\tone\n"), Just("\tblock\n"), Just("\n"), Just("\x01")], any::<bool>()), 0..60),
    ) {
        let mut script = vec![kind];
        for (piece, answered) in deeds {
            script.push(u8::try_from(piece.len()).unwrap());
            script.extend_from_slice(piece.as_bytes());
            if answered {
                script.push(0);
            }
        }
        dict_survives(&script);
    }
}
