//! Handing mail over to hosts that follow a script, on loopback.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postline_core::id::{Address, Domain};
use postline_core::net::Allowed;
use postline_core::server::io::RcptOutcome;
use postline_node::dns::{Resolver, Zone};
use postline_node::hand_over::{Login, Route, Security, Timeouts, hand_over};
use postline_node::tls::{self, CertificateFiles};
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const MAIL: &str = "From: a@a.example\r\nSubject: x\r\n\r\nHi\r\n.hidden\r\n";

/// What a host answers: by the command's beginning, the first that fits; `DROP` closes instead. `.` is a mail's end.
#[derive(Clone)]
struct Script {
    greeting: &'static str,
    offers: &'static [&'static str],
    answers: &'static [(&'static str, &'static str)],
    tls: Option<Arc<ServerConfig>>,
    implicit: bool,
}

const PLAIN: Script =
    Script { greeting: "220 ready", offers: &["PIPELINING"], answers: &[], tls: None, implicit: false };

/// What a host heard, over all its connections.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, beginning: &str) -> bool {
        self.lines().iter().any(|line| line.starts_with(beginning))
    }
}

async fn host(script: Script) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let all = heard.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (script, heard) = (script.clone(), all.clone());
            tokio::spawn(async move {
                heard.0.lock().unwrap().push("CONNECT".to_owned());
                if script.implicit {
                    let acceptor = TlsAcceptor::from(script.tls.clone().unwrap());
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        serve(tls, &script, &heard, true).await;
                    }
                } else if let Some(tcp) = serve(tcp, &script, &heard, true).await {
                    let Some(config) = script.tls.clone() else { return };
                    if let Ok(tls) = TlsAcceptor::from(config).accept(tcp).await {
                        heard.0.lock().unwrap().push("TLS".to_owned());
                        serve(tls, &script, &heard, false).await;
                    }
                }
            });
        }
    });
    (port, heard)
}

/// Speaks until the end, or until STARTTLS gives the stream back.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, script: &Script, heard: &Heard, greet: bool) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greet {
        stream.write_all(format!("{}\r\n", script.greeting).as_bytes()).await.ok()?;
    }
    let mut in_data = false;
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let line = String::from_utf8(line).unwrap();
        heard.0.lock().unwrap().push(line.clone());
        if in_data && line != ".\r\n" {
            if script.answers.contains(&("TEXT", "DROP")) {
                return None;
            }
            continue;
        }
        let scripted = script.answers.iter().find(|(beginning, _)| line.starts_with(beginning));
        let answer = match scripted {
            Some((_, "DROP")) => return None,
            Some((_, answer)) => (*answer).to_owned(),
            None if line.starts_with("EHLO") => {
                let mut lines = vec!["250-host"];
                lines.extend(script.offers);
                let last = lines.len() - 1;
                let offers: Vec<_> = lines[1..]
                    .iter()
                    .enumerate()
                    .map(|(n, offer)| format!("250{}{offer}", if n + 1 == last { ' ' } else { '-' }))
                    .collect();
                format!("250-host\r\n{}", offers.join("\r\n"))
            }
            None if line.starts_with("DATA") => "354 go on".to_owned(),
            None if line.starts_with("STARTTLS") => "220 go on".to_owned(),
            None if line.starts_with("AUTH") => "235 2.7.0 welcome".to_owned(),
            None if line.starts_with("QUIT") => "221 bye".to_owned(),
            None => "250 2.0.0 fine".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        in_data = line.starts_with("DATA") && answer.starts_with("354");
        if line.starts_with("STARTTLS") && answer.starts_with("220") {
            return Some(stream.into_inner());
        }
    }
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn quick() -> Timeouts {
    let second = Duration::from_secs(1);
    Timeouts { connect: second, reply: second, data: second, end: second }
}

fn opportunistic() -> Security {
    Security::Opportunistic(Arc::new(tls::smtp_client_of_any().unwrap()))
}

fn lab() -> Allowed {
    Allowed::parse(["127.0.0.0/8"]).unwrap()
}

async fn by_zone(zone: &str, allow: &Allowed, security: Security, to: &[&str], mail: &[u8]) -> Vec<RcptOutcome> {
    let resolver = Resolver::Zone(Zone::parse(zone).unwrap());
    let to: Vec<Address> = to.iter().map(|to| address(to)).collect();
    let b = domain("b.example");
    let route = Route::Mx { domain: &b, resolver: &resolver, allow, port: 25, security };
    let from = address("a@a.example");
    hand_over(&route, &domain("mx.a.example"), Some(&from), &to, mail, &quick()).await.rcpts
}

async fn to_host(script: Script, to: &[&str], mail: &[u8]) -> (Vec<RcptOutcome>, Heard) {
    let (port, heard) = host(script).await;
    let zone = format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1");
    (by_zone(&zone, &lab(), opportunistic(), to, mail).await, heard)
}

fn later(outcome: &RcptOutcome, text: &str) -> bool {
    matches!(outcome, RcptOutcome::Later(why) if why.contains(text))
}

fn failed(outcome: &RcptOutcome, text: &str) -> bool {
    matches!(outcome, RcptOutcome::Failed(why) if why.contains(text))
}

#[tokio::test]
async fn a_mail_arrives_as_it_is_dots_doubled() {
    let (outcome, heard) = to_host(PLAIN, &["b@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
    let lines = heard.lines();
    let wire: String =
        lines.iter().skip_while(|line| *line != "DATA\r\n").skip(1).take(6).map(String::as_str).collect();
    assert_eq!(wire, MAIL.replace("\r\n.hidden", "\r\n..hidden") + ".\r\n");
    assert!(heard.has("EHLO mx.a.example\r\n"));
    assert!(heard.has("MAIL FROM:<a@a.example>\r\n"), "no parameter that was not offered");
}

#[tokio::test]
async fn each_recipient_has_its_own_result() {
    let script = Script {
        answers: &[
            ("RCPT TO:<full@", "452 4.2.2 mailbox full"),
            ("RCPT TO:<nobody@", "550-5.1.1 no such\r\n550 5.1.1 user"),
            ("RCPT TO:<many@", "552 5.5.3 too many recipients"),
        ],
        ..PLAIN
    };
    let to = ["b@b.example", "full@b.example", "nobody@b.example", "many@b.example", "c@b.example"];
    let (outcome, heard) = to_host(script, &to, MAIL.as_bytes()).await;
    assert_eq!(outcome[0], RcptOutcome::Done);
    assert!(later(&outcome[1], "452 4.2.2 mailbox full"));
    assert!(failed(&outcome[2], "550 5.1.1 no such"), "{:?}", outcome[2]);
    assert!(later(&outcome[3], "552"));
    assert_eq!(outcome[4], RcptOutcome::Done);
    assert!(heard.has("DATA"));
}

#[tokio::test]
async fn where_nobody_is_taken_nothing_is_sent() {
    let script = Script { answers: &[("RCPT", "550 5.7.1 go away")], ..PLAIN };
    let (outcome, heard) = to_host(script, &["b@b.example", "c@b.example"], MAIL.as_bytes()).await;
    assert!(outcome.iter().all(|outcome| failed(outcome, "go away")));
    assert!(!heard.has("DATA"));
}

#[tokio::test]
async fn a_refusal_counts_for_all_who_were_taken_until_then() {
    for (answers, is_later) in [
        (&[("MAIL", "451 4.7.1 greylisted")][..], true),
        (&[("MAIL", "550 5.7.1 no")][..], false),
        (&[("DATA", "451 4.3.0 later")][..], true),
        (&[("DATA", "554 5.5.1 no")][..], false),
        (&[(".", "452 4.3.1 disk full")][..], true),
        (&[(".", "554 5.7.1 spam")][..], false),
    ] {
        let (outcome, _) = to_host(Script { answers, ..PLAIN }, &["b@b.example", "c@b.example"], MAIL.as_bytes()).await;
        assert_eq!(outcome.len(), 2);
        assert!(outcome.iter().all(|one| matches!(one, RcptOutcome::Later(_)) == is_later), "{answers:?}: {outcome:?}");
        assert!(!outcome.contains(&RcptOutcome::Done));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_within_the_mail_is_later_for_those_who_were_taken() {
    for answers in [
        &[("RCPT TO:<nobody@", "550 5.1.1 no"), ("TEXT", "DROP")][..],
        &[("RCPT TO:<nobody@", "550 5.1.1 no"), (".", "DROP")][..],
    ] {
        let script = Script { answers, ..PLAIN };
        let (outcome, heard) = to_host(script, &["b@b.example", "nobody@b.example"], MAIL.as_bytes()).await;
        assert!(later(&outcome[0], "broke within the mail"), "{:?}", outcome[0]);
        assert!(failed(&outcome[1], "5.1.1"));
        assert_eq!(heard.lines().iter().filter(|line| *line == "CONNECT").count(), 1, "never twice in one try");
    }
}

#[tokio::test]
async fn a_host_that_hangs_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let zone = format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1");
    let outcome = by_zone(&zone, &lab(), opportunistic(), &["b@b.example"], MAIL.as_bytes()).await;
    assert!(later(&outcome[0], "not within 1s"), "{outcome:?}");
}

#[tokio::test]
async fn the_next_exchange_is_tried_where_one_is_down_busy_or_no_mail_server() {
    let (good, heard) = host(PLAIN).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (busy, _) = host(Script { greeting: "421 4.3.2 busy", ..PLAIN }).await;
    let (other, _) = host(Script { greeting: "HTTP/1.1 400 Bad Request", ..PLAIN }).await;
    let (lost, _) = host(Script { answers: &[("RCPT", "DROP")], ..PLAIN }).await;
    let zone = format!(
        "b.example MX 1 m.b.example:{gone}\nb.example MX 2 m.b.example:{busy}\nb.example MX 3 m.b.example:{other}
         b.example MX 4 m.b.example:{lost}\nb.example MX 5 nowhere.b.example\nb.example MX 6 m.b.example:{good}
         m.b.example A 127.0.0.1"
    );
    let outcome = by_zone(&zone, &lab(), opportunistic(), &["b@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
    assert!(heard.has("DATA"));
}

#[tokio::test]
async fn what_dns_says_about_a_domain_is_final_or_not() {
    for (zone, is_later, text) in [
        ("b.example MX 0 .", false, "5.1.10"),
        ("", false, "5.1.2"),
        ("b.example FAIL", true, "4.4.3"),
        ("b.example MX 10 mx.b.example\nmx.b.example FAIL", true, "4.4.3"),
        ("b.example MX 10 mx.b.example", false, "5.4.4"),
        ("b.example MX 10 mx.a.example\nmx.a.example A 127.0.0.1", false, "5.4.6"),
        ("b.example MX 10 mx.a.example\nb.example MX 20 x.b.example", false, "5.4.6"),
    ] {
        let outcome = by_zone(zone, &lab(), opportunistic(), &["b@b.example"], MAIL.as_bytes()).await;
        let fits = if is_later { later(&outcome[0], text) } else { failed(&outcome[0], text) };
        assert!(fits, "{zone:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_better_exchange_than_ourselves_is_still_tried() {
    let (good, _) = host(PLAIN).await;
    let zone = format!("b.example MX 10 mx.b.example:{good}\nb.example MX 20 mx.a.example\nmx.b.example A 127.0.0.1");
    let outcome = by_zone(&zone, &lab(), opportunistic(), &["b@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
}

#[tokio::test]
async fn t_097_an_exchange_at_a_private_address_is_not_connected_to() {
    let (port, heard) = host(PLAIN).await;
    let zone =
        format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1\nmx.b.example AAAA ::ffff:127.0.0.1");
    let outcome = by_zone(&zone, &Allowed::NONE, opportunistic(), &["b@b.example"], MAIL.as_bytes()).await;
    assert!(failed(&outcome[0], "5.4.4"), "{outcome:?}");
    assert_eq!(heard.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn only_what_a_host_offers_is_asked_of_it() {
    let able = Script { offers: &["SIZE 1000", "8BITMIME", "SMTPUTF8"], ..PLAIN };
    let (outcome, heard) = to_host(able.clone(), &["bö@b.example"], "Subject: ö\r\n\r\nö".as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
    assert!(heard.has("MAIL FROM:<a@a.example> SMTPUTF8 BODY=8BITMIME SIZE=17\r\n"), "{:?}", heard.lines());
    assert!(heard.has("RCPT TO:<bö@b.example>\r\n"));

    let (outcome, heard) = to_host(able, &["b@b.example"], &[b'x'; 1001]).await;
    assert!(failed(&outcome[0], "5.3.4"));
    assert!(!heard.has("MAIL"));

    let (outcome, _) = to_host(PLAIN, &["b@b.example", "bö@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome[0], RcptOutcome::Done, "an ASCII recipient does not wait for another's name");
    assert!(failed(&outcome[1], "5.6.7"));
    let (outcome, _) = to_host(PLAIN, &["b@b.example"], "Subject: ö\r\n\r\nx".as_bytes()).await;
    assert!(failed(&outcome[0], "5.6.7"));
    let (outcome, _) = to_host(PLAIN, &["b@b.example"], "Subject: o\r\n\r\nö".as_bytes()).await;
    assert!(failed(&outcome[0], "5.6.3"));
}

#[tokio::test]
async fn a_host_that_knows_only_helo_is_served() {
    let (outcome, heard) =
        to_host(Script { answers: &[("EHLO", "502 what?")], ..PLAIN }, &["b@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
    assert!(heard.has("HELO mx.a.example"));
}

#[tokio::test]
async fn a_report_goes_out_with_the_null_return_path() {
    let (port, heard) = host(PLAIN).await;
    let resolver =
        Resolver::Zone(Zone::parse(&format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1")).unwrap());
    let (b, allow) = (domain("b.example"), lab());
    let route = Route::Mx { domain: &b, resolver: &resolver, allow: &allow, port: 25, security: opportunistic() };
    let outcome =
        hand_over(&route, &domain("mx.a.example"), None, &[address("b@b.example")], MAIL.as_bytes(), &quick()).await;
    assert_eq!(outcome.rcpts, [RcptOutcome::Done]);
    assert!(heard.has("MAIL FROM:<>\r\n"));
}

#[tokio::test]
async fn a_reply_without_end_is_cut_off() {
    const LINES: &str = "250-\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let sent = tcp.write_all(LINES.repeat(1_000_000).as_bytes()).await;
            assert!(sent.is_err(), "six million bytes were taken for one reply");
        }
    });
    let zone = format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1");
    let outcome = by_zone(&zone, &lab(), opportunistic(), &["b@b.example"], MAIL.as_bytes()).await;
    assert!(later(&outcome[0], "reply over 4096 bytes"), "{outcome:?}");
}

#[tokio::test]
async fn t_104_what_a_host_says_is_kept_short_and_clean() {
    let script = Script { answers: &[("RCPT", "550 5.1.1 \u{1b}[2Jno\u{202e} such user")], ..PLAIN };
    let (outcome, _) = to_host(script, &["b@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Failed("550 5.1.1 [2Jno such user".to_owned())]);
}

/// A certificate for `names`, and roots that trust it.
fn certificate(names: &[&str]) -> (Arc<ServerConfig>, RootCertStore) {
    let dir = TempDir::new().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let files = CertificateFiles::self_signed(&names, dir.path()).unwrap();
    let server = tls::smtp_server(files.load().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(&files.chain).unwrap();
    roots
        .add(<rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem).unwrap())
        .unwrap();
    (Arc::new(server), roots)
}

fn verified(roots: RootCertStore) -> Security {
    Security::Verified(Arc::new(tls::smtp_client_trusting(roots).unwrap()))
}

#[tokio::test]
async fn tls_is_taken_where_it_is_offered_whoever_vouches() {
    let (server, _) = certificate(&["other.example"]);
    let script = Script { offers: &["STARTTLS", "SIZE"], tls: Some(server), ..PLAIN };
    let (outcome, heard) = to_host(script, &["b@b.example"], MAIL.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
    let lines = heard.lines();
    let at = |what: &str| lines.iter().position(|line| line.starts_with(what)).unwrap();
    assert!(at("STARTTLS") < at("TLS") && at("TLS") < at("MAIL"));
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("EHLO")).count(),
        2,
        "what was offered in the clear is void"
    );
}

#[tokio::test]
async fn where_tls_is_only_an_opportunity_its_failure_is_no_obstacle() {
    for answers in [&[("STARTTLS", "454 4.7.0 not now")][..], &[("STARTTLS", "220 go on")][..]] {
        // The host has no certificate: after 220 it just closes.
        let (outcome, heard) =
            to_host(Script { offers: &["STARTTLS"], answers, ..PLAIN }, &["b@b.example"], MAIL.as_bytes()).await;
        assert_eq!(outcome, [RcptOutcome::Done], "{answers:?}");
        assert_eq!(heard.lines().iter().filter(|line| *line == "CONNECT").count(), 2);
    }
}

#[tokio::test]
async fn t_101_under_policy_nothing_goes_without_a_verified_name() {
    let (server, roots) = certificate(&["mx.b.example"]);
    let (_, strangers) = certificate(&["mx.b.example"]);
    let (misnamed, misnamed_roots) = certificate(&["mx.c.example"]);
    for (tls, offers, roots, goes) in [
        (&server, &["STARTTLS"][..], roots.clone(), true),
        (&server, &["STARTTLS"][..], strangers, false),
        (&misnamed, &["STARTTLS"][..], misnamed_roots, false),
        (&server, &["SIZE"][..], roots, false),
    ] {
        let (port, heard) = host(Script { offers, tls: Some(Arc::clone(tls)), ..PLAIN }).await;
        let zone = format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1");
        let outcome = by_zone(&zone, &lab(), verified(roots), &["b@b.example"], MAIL.as_bytes()).await;
        assert_eq!(outcome == [RcptOutcome::Done], goes, "{offers:?}: {outcome:?}");
        assert_eq!(heard.has("MAIL"), goes);
        assert!(goes || matches!(outcome[0], RcptOutcome::Later(_)));
    }
}

#[tokio::test]
async fn words_put_before_tls_are_not_taken_for_words_under_it() {
    let (server, roots) = certificate(&["mx.b.example"]);
    let answers = &[("STARTTLS", "220 go on\r\n250-injected\r\n250 SIZE")];
    let (port, heard) = host(Script { offers: &["STARTTLS"], answers, tls: Some(server), ..PLAIN }).await;
    let zone = format!("b.example MX 10 mx.b.example:{port}\nmx.b.example A 127.0.0.1");
    let outcome = by_zone(&zone, &lab(), verified(roots), &["b@b.example"], MAIL.as_bytes()).await;
    assert!(later(&outcome[0], "between STARTTLS and TLS"), "{outcome:?}");
    assert!(!heard.has("MAIL"));
}

#[tokio::test]
async fn a_smarthost_is_logged_in_to_over_verified_tls_only() {
    let login = Login { user: "node".to_owned(), password: "secret".to_owned() };
    let (server, roots) = certificate(&["localhost", "127.0.0.1"]);
    let implicit = Security::Implicit(Arc::new(tls::smtp_client_trusting(roots.clone()).unwrap()));
    for (security, goes) in [(verified(roots), true), (implicit, true), (opportunistic(), false)] {
        let script = Script {
            offers: &["STARTTLS", "AUTH PLAIN LOGIN"],
            tls: Some(Arc::clone(&server)),
            implicit: matches!(security, Security::Implicit(_)),
            ..PLAIN
        };
        let (port, heard) = host(script).await;
        let route = Route::Smarthost { host: "127.0.0.1", port, login: Some(&login), security };
        let (from, to) = (address("a@a.example"), [address("b@b.example"), address("c@c.example")]);
        let outcome = hand_over(&route, &domain("mx.a.example"), Some(&from), &to, MAIL.as_bytes(), &quick()).await;
        assert_eq!(outcome.rcpts == [RcptOutcome::Done, RcptOutcome::Done], goes, "{outcome:?}");
        assert_eq!(heard.has("AUTH PLAIN AG5vZGUAc2VjcmV0\r\n"), goes);
    }
}

#[tokio::test]
async fn a_wrong_login_is_the_operators_to_mend_and_returns_no_mail() {
    let login = Login { user: "node".to_owned(), password: "wrong".to_owned() };
    let (server, roots) = certificate(&["127.0.0.1"]);
    let answers = &[("AUTH", "535 5.7.8 no")];
    let (port, heard) = host(Script { offers: &["STARTTLS", "AUTH PLAIN"], answers, tls: Some(server), ..PLAIN }).await;
    let route = Route::Smarthost { host: "127.0.0.1", port, login: Some(&login), security: verified(roots) };
    let from = address("a@a.example");
    let to = [address("b@b.example")];
    let outcome = hand_over(&route, &domain("mx.a.example"), Some(&from), &to, MAIL.as_bytes(), &quick()).await;
    assert!(later(&outcome.rcpts[0], "535 5.7.8"), "{outcome:?}");
    assert!(!heard.has("MAIL"));
}

#[tokio::test]
async fn a_mail_of_25_mib_goes_over_whole() {
    let mail = MAIL.to_owned()
        + &"A line of seventy-two characters, dots . and all, as in base64 bodies...\r\n".repeat(350_000);
    let (outcome, heard) = to_host(PLAIN, &["b@b.example"], mail.as_bytes()).await;
    assert_eq!(outcome, [RcptOutcome::Done]);
    assert!(heard.lines().len() > 350_000);
}

/// Who gives up on us while we still hand a mail on sends it a second way, and the first goes through as well.
#[test]
fn postfix_waits_longer_for_us_than_we_do_for_who_is_next() {
    let snippet = include_str!("../contrib/postfix/master.cf.postline");
    let waits = snippet.lines().filter_map(|line| line.split_once("data_done_timeout=")).map(|(_, time)| time);
    let mut named = 0;
    for time in waits {
        let seconds: u64 = time.trim().strip_suffix('s').unwrap().parse().unwrap();
        assert!(seconds * 1_000 > postline_core::limits::PASS_ON_MS, "{time}");
        named += 1;
    }
    assert_eq!(named, 2, "two transports by SMTP; the LMTP client's own is ten minutes");
}
