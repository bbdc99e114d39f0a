//! What goes wrong: loops, servers that are down, connections that break, bytes that are no milter session.

use postline_node::lab::Letter;

use crate::common::{PATIENCE, settled};
use crate::mta::{Milter, stuffed};
use crate::{Stack, count};

#[tokio::test]
async fn t_102_a_mail_that_postfix_sends_back_is_refused_and_not_sent_round() {
    let stack = Stack::start().await;
    let mut mail = stack.stamped(&Letter::to("two@b.example", "round")).await;
    let mut rounds = 0;
    let refused = loop {
        let said = stack.lmtp_out().await.bring("one@a.example", &["two@b.example"], &mail).await.remove(0);
        if !said.starts_with("250") {
            break said;
        }
        rounds += 1;
        assert!(rounds < 60, "it goes round");
        // A reinjecting smtpd that adds its own field, and a Postfix that brings it here again.
        mail = stack.reinject.came().pop().unwrap().mail;
        assert_eq!(count(&mail, "Received"), 2 * rounds - 1);
        mail = format!("Received: from node by postfix\r\n{mail}");
    };
    assert_eq!(refused, "554 5.4.6 Mail goes round in circles");
    assert_eq!(rounds, 26, "51 fields are one too many");
    let said = stack.lmtp_in().await.bring("one@a.example", &["one@a.example", "x@a.example"], &mail).await;
    assert_eq!(said, ["554 5.4.6 Mail goes round in circles"; 2]);
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_leaves_the_mail_with_postfix() {
    let stack = Stack::start().await;
    stack.line().await;
    let config = stack.nodes.a.config().file.clone();
    let text = std::fs::read_to_string(&config).unwrap();
    let (reinject, dovecot) = (stack.reinject.at.to_string(), stack.dovecot.at.to_string());
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = down.local_addr().unwrap().to_string();
    drop(down);
    std::fs::write(&config, text.replace(&reinject, &nowhere).replace(&dovecot, &nowhere)).unwrap();
    let mut stack = stack;
    stack.nodes.a.end().await.unwrap();
    stack.nodes.a.start().await.unwrap();
    stack.look().await;
    let said = stack.write(&Letter::to("four@b.example", "kept")).await;
    assert!(said.starts_with("451 4.4.1"), "{said}");
    let mail = "From: eve@c.example\r\n\r\nkept\r\n";
    let said = stack.lmtp_in().await.bring("eve@c.example", &["one@a.example"], mail).await;
    assert!(said[0].starts_with("451 4.4.1"), "{said:?}");
    assert!(stack.nodes.a.status().await.unwrap().queued.values().all(|n| *n == 0), "nothing waits here");
    let said = stack.write(&Letter::to("two@b.example", "by-link")).await;
    assert!(said.starts_with("250 2.6.0"), "the link needs neither: {said}");
    stack.nodes.b.inbox("two").wait_for("by-link", PATIENCE).await.unwrap();
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_postfix_that_dies_in_a_mail_loses_nothing_and_doubles_nothing() {
    let stack = Stack::start().await;
    stack.line().await;
    let mail = stack.stamped(&Letter::to("two@b.example", "broken")).await;
    // Before the end: nothing came.
    let mut lmtp = stack.lmtp_out().await;
    lmtp.begin("one@a.example", &["two@b.example"]).await;
    lmtp.send(mail.split_at(mail.len() / 2).0).await;
    drop(lmtp);
    // After the end, before the reply: it came, and whoever brought it doesn't know. Twice.
    for _ in 0..2 {
        let mut lmtp = stack.lmtp_out().await;
        lmtp.begin("one@a.example", &["two@b.example"]).await;
        lmtp.send(&stuffed(&mail)).await;
        drop(lmtp);
    }
    let said = stack.lmtp_out().await.bring("one@a.example", &["two@b.example"], &mail).await;
    assert!(said[0].starts_with("250 2.6.0"), "{said:?}");
    stack.nodes.b.inbox("two").wait_for("broken", PATIENCE).await.unwrap();
    settled(&stack.nodes).await;
    let said = stack.lmtp_out().await.bring("one@a.example", &["two@b.example"], &mail).await;
    assert!(said[0].starts_with("250 2.6.0"), "{said:?}");
    settled(&stack.nodes).await;
    let shown = stack.nodes.b.inbox("two").ids().unwrap().into_iter().filter(|id| id == "broken").count();
    assert_eq!(shown, 1);
    assert_eq!(stack.reinject.came().iter().filter(|came| came.mail.contains("<broken@")).count(), 0);
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_killed_after_it_took_a_mail_brings_it() {
    let mut stack = Stack::start().await;
    stack.line().await;
    stack.nodes.b.kill().await.unwrap();
    let said = stack.write(&Letter::to("two@b.example", "survives")).await;
    assert!(said.starts_with("250 2.6.0"), "{said}");
    stack.nodes.a.kill().await.unwrap();
    stack.nodes.a.start().await.unwrap();
    stack.nodes.b.start().await.unwrap();
    stack.nodes.b.inbox("two").wait_for("survives", PATIENCE).await.unwrap();
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_091_a_client_that_speaks_no_milter_is_closed_and_counted() {
    let stack = Stack::start().await;
    let mut faults = 0;
    for garbage in [
        b"EHLO client.example\r\n".as_slice(),
        &[0, 0, 0, 0],
        &[255, 255, 255, 255, b'M'],
        &[0, 0, 0, 1, b'O'],
        &[0, 0, 0, 1, b'?'],
        &[0, 0, 0, 1, b'M'],
        &[0, 0, 0, 1, b'E'],
        &[0, 0, 0, 2, b'L', b'x'],
    ] {
        let mut client = stack.milter().await;
        client.raw(garbage).await;
        assert_eq!(client.reply().await, None, "{garbage:?}");
        faults += 1;
        assert_eq!(stack.nodes.a.status().await.unwrap().milter_faults, faults, "{garbage:?}");
    }
    let mail = String::from_utf8(Letter::to("two@b.example", "after").bytes("one@a.example")).unwrap();
    let mut milter: Milter = stack.milter().await;
    let filtered = milter.filter(Some("one@a.example"), "one@a.example", &["two@b.example"], &mail).await;
    assert_eq!(count(&filtered.mail, "Postline-Id"), 1, "and the next client is served");
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_goes_down_tells_lmtp_and_lets_a_milters_mail_end() {
    let mut stack = Stack::start().await;
    let mut lmtp = stack.lmtp_out().await;
    let mut idle = stack.milter().await;
    crate::common::signal(&stack.nodes.a, "TERM");
    assert!(lmtp.reply().await.starts_with("421 4.3.2"));
    assert_eq!(idle.reply().await, None);
    assert_eq!(stack.nodes.a.ended().await.unwrap(), Some(0));
    stack.nodes.stop().await.unwrap();
}
