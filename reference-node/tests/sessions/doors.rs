//! Who gets in, and how.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use postline_core::fault::Code;
use postline_core::limits;
use postline_core::machine::session::device::Input;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::{Password, Publication, Talk};
use postline_node::lab::PASSWORD;

use crate::kit::{Begun, Device, Wire, at, bytes, frames, https, key, login, nodes, opening, right, secure, tcp};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_enrols_by_the_mailbox_login_and_comes_back_by_its_key() {
    let nodes = nodes(&["one", "three"]).await;
    let (link, nk) = (at(&nodes.a, "link").await, key(&nodes.a).await);
    let mut first = Device::on(Wire::tls(link), 1, "one@a.example", nk, right("one"));
    assert_eq!(first.begun(), Begun::Up);
    drop(first);
    let mut again = Device::on(Wire::tls(link), 1, "one@a.example", nk, None);
    assert_eq!(again.begun(), Begun::Up, "its key is enough from now on");
    let mut other = Device::on(Wire::tls(link), 2, "one@a.example", nk, None);
    assert_eq!(other.begun(), Begun::Left(Code::Login), "another key is not");
    let mut theirs = Device::on(Wire::tls(link), 3, "three@a.example", nk, right("one"));
    assert_eq!(theirs.begun(), Begun::Left(Code::Login), "a login speaks for its own addresses only");
    nodes.stop().await.unwrap();
}

/// [U-2]
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_speaks_the_same_over_a_websocket() {
    let nodes = nodes(&["one"]).await;
    let (web, link, nk) = (at(&nodes.a, "http-public").await, at(&nodes.a, "link").await, key(&nodes.a).await);
    for (n, origin) in [(1, None), (2, Some("https://chat.a.example"))] {
        let wire = Wire::web(web, origin).unwrap();
        let mut device = Device::on(wire, n, "one@a.example", nk, right("one"));
        assert_eq!(device.begun(), Begun::Up, "{origin:?}");
        // Something comes back over it: the answer to what it makes known.
        let what = Publication::Packages { once: vec![b"no key package".to_vec()], last_resort: None };
        device.step(Input::Say(Talk::Publish { number: 7, what }));
        let answer = loop {
            match device.next() {
                Some(postline_core::machine::session::device::Output::Talk(Talk::Published { number, code })) => {
                    break (number, code);
                }
                Some(_) => {}
                None => panic!("closed"),
            }
        };
        assert_eq!(answer, (7, None), "the node keeps it as it came: whether it is one is the devices' to judge");
    }
    assert_eq!(Wire::web(web, Some("https://evil.example")).err(), Some(403));
    // The device that was enrolled by one door is known at the other.
    assert_eq!(Device::on(Wire::tls(link), 1, "one@a.example", nk, None).begun(), Begun::Up);
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t_103_a_proof_of_another_connection_proves_nothing() {
    let nodes = nodes(&["one"]).await;
    let (link, web, nk) = (at(&nodes.a, "link").await, at(&nodes.a, "http-public").await, key(&nodes.a).await);
    let mut first = Device::on(Wire::tls(link), 1, "one@a.example", nk, right("one"));
    assert_eq!(first.begun(), Begun::Up);
    let tape: Vec<Vec<u8>> = first.said.iter().map(|(_, bytes)| bytes.clone()).collect();
    assert!(matches!(
        first.said[..],
        [(Frame::Hello(_), _), (Frame::Proof(_), _), (Frame::Talk(Talk::Login { .. }), _)]
    ));

    // All that the device said, said again: on another connection of each kind.
    for (mut wire, _) in [Wire::tls(link), Wire::web(web, None).unwrap()] {
        for bytes in &tape {
            // The node may have closed meanwhile.
            let _closed = wire.send(bytes);
        }
        let mut heard = Vec::new();
        loop {
            let bytes = wire.recv().unwrap();
            if bytes.is_empty() {
                break;
            }
            heard.extend(bytes);
        }
        let heard = frames(&heard);
        assert!(
            matches!(heard[..], [Frame::Hello(_), Frame::Proof(_), Frame::Bye { code: Code::Denied }]),
            "{heard:?}"
        );
    }
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t_106_whoever_may_not_hears_the_same_whatever_is_wrong() {
    let nodes = nodes(&["one", "three"]).await;
    let (link, nk) = (at(&nodes.a, "link").await, key(&nodes.a).await);
    let mut heard = Vec::new();
    for (seed, address, login) in [
        (1, "one@a.example", login("one", "not the password")),
        (2, "one@a.example", login("nobody", PASSWORD)),
        (3, "nobody@a.example", login("nobody", PASSWORD)),
        (4, "nobody@a.example", right("one")),
        (5, "one@elsewhere.example", right("one")),
        (6, "three@a.example", right("one")),
    ] {
        let mut device = Device::on(Wire::tls(link), seed, address, nk, login);
        let mut all = Vec::new();
        let begun = device.begun();
        while let Ok(bytes) = device.recv_raw()
            && !bytes.is_empty()
        {
            all.extend(bytes);
        }
        heard.push((begun, all));
    }
    assert!(heard.iter().all(|one| *one == (Begun::Left(Code::Login), Vec::new())), "{heard:?}");
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t_106_guesses_are_taken_at_a_pace_and_one_guesser_shuts_nobody_else_out() {
    let nodes = nodes(&["one"]).await;
    let (link, nk) = (at(&nodes.a, "link").await, key(&nodes.a).await);
    let guess = |from: [u8; 4], seed: u16, password: &str| {
        let (stream, channel) = secure(tcp(Some(from), link)).unwrap();
        let seed = postline_core::store::sha256(&[&seed.to_be_bytes(), &from]).0;
        Device::with((Wire::Tls(Box::new(stream)), channel), &seed, "one@a.example", nk, login("one", password)).begun()
    };
    let guesses: Vec<Begun> = (0..40).map(|n| guess([127, 0, 0, 9], n, &format!("guess number {n}"))).collect();
    let wrong = guesses.iter().filter(|begun| **begun == Begun::Left(Code::Login)).count();
    assert!(wrong <= limits::LOGIN_FAILURES_PER_IP as usize, "{guesses:?}");
    assert_ne!(guess([127, 0, 0, 9], 99, PASSWORD), Begun::Up, "even the right one, for now");
    let log = nodes.a.log();
    assert!(!log.contains("guess number"), "passwords in the log");
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t_091_who_says_nothing_or_too_little_is_let_go_and_shuts_nobody_out() {
    let nodes = nodes(&["one"]).await;
    let (link, web, nk) = (at(&nodes.a, "link").await, at(&nodes.a, "http-public").await, key(&nodes.a).await);
    let from = |n| tcp(Some([127, 0, 0, n]), link);
    // Silent after TLS; and one byte at a time of a frame that never ends.
    let mut silent: Vec<_> = (0..limits::GREETINGS_PER_IP).map(|_| secure(from(5)).unwrap().0).collect();
    assert!(secure(from(5)).is_err(), "the neighbourhood has its places");
    let (mut slow, _) = secure(from(6)).unwrap();
    slow.write_all(&[0, 0, 3, 0xff]).unwrap();
    let mut half = https(tcp(Some([127, 0, 0, 7]), web));
    let request = opening("mail.a.example", None);
    half.write_all(format!("{} /postline HTTP/1.1\r\nHost: mail.a.example\r\nConn", request.method()).as_bytes())
        .unwrap();
    half.flush().unwrap();

    let mut device = Device::on(Wire::tls(link), 1, "one@a.example", nk, right("one"));
    assert_eq!(device.begun(), Begun::Up, "others get in");

    let began = Instant::now();
    let bound = Duration::from_millis(limits::GREETING_MS) + Duration::from_secs(20);
    let mut drip = true;
    while drip && began.elapsed() < bound {
        drip = slow.write_all(&[1]).and_then(|()| slow.flush()).is_ok()
            && slow.sock.peek(&mut [0]).is_ok_and(|got| got > 0);
    }
    for stream in silent.iter_mut().chain([&mut slow, &mut half]) {
        let left = bound.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        stream.sock.set_read_timeout(Some(left)).unwrap();
        // Whatever is said, the end comes.
        let mut room = Vec::new();
        let ended = stream.read_to_end(&mut room);
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    }
    assert!(began.elapsed() < bound);
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t_092_what_is_no_frame_ends_the_session_and_no_other() {
    let nodes = nodes(&["one"]).await;
    let (link, web, nk) = (at(&nodes.a, "link").await, at(&nodes.a, "http-public").await, key(&nodes.a).await);
    let mut good = Device::on(Wire::tls(link), 1, "one@a.example", nk, right("one"));
    assert_eq!(good.begun(), Begun::Up);
    for (n, wire) in [(2, Wire::tls(link)), (3, Wire::web(web, None).unwrap())] {
        let mut bad = Device::on(wire, n, "one@a.example", nk, right("one"));
        assert_eq!(bad.begun(), Begun::Up);
        bad.raw(&[0xff; 64]).unwrap();
        let mut heard = Vec::new();
        while let Ok(bytes) = bad.recv_raw()
            && !bytes.is_empty()
        {
            heard.extend(bytes);
        }
        // What the node had to tell before stands before it.
        assert!(heard.ends_with(&bytes(&Frame::Bye { code: Code::TooBig })), "{heard:?}");
    }
    good.step(Input::Say(Talk::Publish {
        number: 1,
        what: Publication::Packages { once: vec![b"none".to_vec()], last_resort: None },
    }));
    assert!(good.next().is_some(), "the other goes on");
    nodes.stop().await.unwrap();
}

/// A device that asks and doesn't read makes the node hold so much, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_does_not_read_is_let_go() {
    let nodes = nodes(&["one"]).await;
    let (link, nk) = (at(&nodes.a, "link").await, key(&nodes.a).await);
    let mut deaf = Device::on(Wire::tls(link), 1, "one@a.example", nk, right("one"));
    assert_eq!(deaf.begun(), Begun::Up);
    // Pings are answered; the answers are never read. Noise is bounded by the machine, so this ends by one or the other.
    let ping = bytes(&Frame::Ping(u64::MAX)).repeat(512);
    let began = Instant::now();
    while deaf.raw(&ping).is_ok() && began.elapsed() < Duration::from_secs(60) {}
    assert!(began.elapsed() < Duration::from_secs(60), "it was never let go");
    let mut other = Device::on(Wire::tls(link), 2, "one@a.example", nk, right("one"));
    assert_eq!(other.begun(), Begun::Up);
    nodes.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t_089_no_password_gets_into_a_log() {
    const CANARY: &str = "canary-password-7f3a";
    let nodes = nodes(&["one"]).await;
    let (link, nk) = (at(&nodes.a, "link").await, key(&nodes.a).await);
    let mut device = Device::on(Wire::tls(link), 1, "one@a.example", nk, login("one", CANARY));
    assert_eq!(device.begun(), Begun::Left(Code::Login));
    // The same where it has no place: before the proof, and once the session is up.
    let talk = Frame::Talk(Talk::Login { user: CANARY.to_owned(), password: Password(CANARY.to_owned().into()) });
    let (mut early, _) = Wire::tls(link);
    early.send(&bytes(&talk)).unwrap();
    while early.recv().is_ok_and(|bytes| !bytes.is_empty()) {}
    let mut late = Device::on(Wire::tls(link), 2, "one@a.example", nk, right("one"));
    assert_eq!(late.begun(), Begun::Up);
    late.raw(&bytes(&talk)).unwrap();
    while late.next().is_some() {}
    assert!(late.address().to_string().starts_with("one"));
    let log = nodes.a.log();
    assert!(log.contains("login_refused") && !log.contains(CANARY), "{log}");
    nodes.stop().await.unwrap();
}
