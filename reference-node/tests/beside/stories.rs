//! What people do, and where their mail goes.

use postline_node::lab::{Letter, Person, Seat};

use crate::common::{PATIENCE, settled};
use crate::mta::stuffed;
use crate::{Stack, count};

/// [E-11], [E-12]: with no door of its own but the link.
#[tokio::test]
async fn a_reply_to_what_postfix_sent_opens_the_line_and_then_mail_goes_by_link() {
    let stack = Stack::start().await;
    stack.line().await;
    let first = stack.reinject.wait_for("<hello@demo.example>").await.mail;
    assert_eq!((count(&first, "Postline-Offer"), count(&first, "Postline-Id"), count(&first, "Received")), (1, 1, 1));
    assert_eq!(count(&first, "DKIM-Signature"), 2, "the signer's own, RSA and Ed25519, and none of the node's");

    let said = stack.write(&Letter::to("two@b.example", "express")).await;
    assert!(said.starts_with("250 2.6.0"), "{said}");
    stack.nodes.b.inbox("two").wait_for("express", PATIENCE).await.unwrap();
    let shown = String::from_utf8(stack.nodes.b.inbox("two").read("express").unwrap()).unwrap();
    assert!(shown.contains("with Postline id") && count(&shown, "Postline-Id") == 0, "{shown}");
    assert_eq!(stack.reinject.came().len(), 1, "and not by SMTP too");
    let trace = stack.nodes.a.trace("express").await.unwrap();
    let events: Vec<&str> = trace.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert!(events.starts_with(&["stamped", "arrived"]), "{events:?}");

    let mut two = Person::new("two@b.example", &stack.nodes.b).await.unwrap();
    two.submit(&Letter::answer("one@a.example", "back", "express")).await.unwrap();
    let back = stack.dovecot.wait_for("<back@demo.example>").await;
    assert_eq!(back.to, ["one@a.example"]);
    assert!(stack.mx.came().iter().all(|came| !came.mail.contains("<back@")), "it came by link");
    settled(&stack.nodes).await;
    assert!(stack.nodes.b.was_delivered_by_link("back").await.unwrap());
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn of_one_mail_each_recipient_has_an_answer_of_their_own() {
    let stack = Stack::start().await;
    stack.line().await;
    stack.reinject.now_says(|rcpt| match rcpt {
        "gone@c.example" => "550 5.1.1 who?",
        "slow@c.example" => "450 4.2.0 later",
        _ => "250 2.1.5 yes",
    });
    let mail = stack.stamped(&Letter::to("two@b.example", "all")).await;
    let to = ["two@b.example", "gone@c.example", "two@b.example", "slow@c.example", "four@b.example"];
    let said = stack.lmtp_out().await.bring("one@a.example", &to, &mail).await;
    let codes: Vec<&str> = said.iter().map(|said| said.split_at(9).0).collect();
    assert_eq!(codes, ["250 2.6.0", "550 5.1.1", "250 2.6.0", "450 4.2.0", "250 2.0.0"], "{said:?}");
    stack.nodes.b.inbox("two").wait_for("all", PATIENCE).await.unwrap();
    let on = stack.reinject.wait_for("<all@demo.example>").await;
    assert_eq!(on.to, ["four@b.example"]);
    assert_eq!(count(&on.mail, "Postline-Id"), 1);
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_postfix_that_speaks_smtp_brings_one_recipient_at_a_time() {
    let stack = Stack::start().await;
    stack.line().await;
    let mut mail = stack.lmtp_out().await;
    assert!(mail.says("EHLO mta.example").await.starts_with("250"));
    let letter = Letter::answer("two@b.example", "by-smtp", "re-hello");
    let bytes = stack.stamped(&letter).await;
    assert!(mail.says("MAIL FROM:<one@a.example>").await.starts_with("250"));
    assert!(mail.says("RCPT TO:<two@b.example>").await.starts_with("250"));
    for second in ["two@b.example", "four@b.example"] {
        assert_eq!(mail.says(&format!("RCPT TO:<{second}>")).await, "452 4.5.3 One recipient at a time");
    }
    assert!(mail.says("DATA").await.starts_with("354"));
    mail.send(&stuffed(&bytes)).await;
    assert!(mail.reply().await.starts_with("250 2.6.0 Taken"), "one reply, and the node's own");
    stack.nodes.b.inbox("two").wait_for("by-smtp", PATIENCE).await.unwrap();
    assert_eq!(mail.says("NOOP").await, "250 2.0.0 Ok", "and none more");

    let mut front = stack.lmtp_in().await;
    assert_eq!(front.says("EHLO mta.example").await, "500 5.5.1 This is LMTP: LHLO", "where nobody asks for SMTP");
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_mail_that_is_not_provably_its_authors_goes_on_as_mail() {
    let stack = Stack::start().await;
    stack.line().await;
    let letter = Letter::to("two@b.example", "mine");
    let plain = String::from_utf8(letter.bytes("one@a.example")).unwrap();
    let stamped = stack.stamped(&letter).await;
    let cases = [
        ("without an id", plain.replace("mine", "case-0"), "one@a.example"),
        ("with another text", stamped.replace("This is mine", "This is mime"), "one@a.example"),
        ("from another sender", stamped.clone(), "eve@c.example"),
        ("from nobody", stamped.clone(), ""),
        ("with the id of another mail", plain.replace("Subject: mine", "Subject: else"), "one@a.example"),
    ];
    for (what, mail, from) in cases {
        let before = stack.reinject.came().len();
        let said = stack.lmtp_out().await.bring(from, &["two@b.example"], &mail).await;
        assert!(said[0].starts_with("250 2.0.0 Passed on"), "{what}: {said:?}");
        assert_eq!(stack.reinject.came().len(), before + 1, "{what}");
    }
    let said = stack.lmtp_out().await.bring("one@a.example", &["two@b.example"], &stamped).await;
    assert!(said[0].starts_with("250 2.6.0"), "and the true one by link: {said:?}");
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_link_cannot_bring_goes_back_to_postfix_with_one_id_and_unsigned() {
    let stack = Stack::start().await;
    stack.line().await;
    let pair = serde_json::json!({"ask": "trust_block", "ours": "two@b.example", "theirs": "one@a.example"});
    stack.nodes.b.ask(&serde_json::from_value(pair).unwrap()).await.unwrap();
    let said = stack.write(&Letter::to("two@b.example", "refused")).await;
    assert!(said.starts_with("250 2.6.0"), "{said}");
    let back = stack.reinject.wait_for("<refused@demo.example>").await;
    assert_eq!((count(&back.mail, "Postline-Id"), count(&back.mail, "DKIM-Signature")), (1, 2), "{}", back.mail);
    settled(&stack.nodes).await;
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn what_nobody_takes_ends_in_a_report_in_the_authors_mailbox() {
    let stack = Stack::start().await;
    stack.line().await;
    stack.dovecot.now_says(|_| "550 5.2.1 mailbox closed");
    let mut two = Person::new("two@b.example", &stack.nodes.b).await.unwrap();
    two.submit(&Letter::to("one@a.example", "unwanted")).await.unwrap();
    // The author's node learns it by a mark, and tells its user.
    let began = tokio::time::Instant::now();
    let inbox = stack.nodes.b.inbox("two");
    let report = loop {
        let mails = crate::common::files(&inbox.dir().join("new"));
        let mails = mails.iter().map(|path| std::fs::read_to_string(path).unwrap());
        if let Some(report) = mails.into_iter().find(|mail| mail.contains("multipart/report")) {
            break report;
        }
        assert!(began.elapsed() < PATIENCE, "{}", stack.nodes.a.log());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(report.contains("<unwanted@demo.example>"), "{report}");
    stack.nodes.stop().await.unwrap();
}

/// Much mail has raw text in its header without asking for SMTPUTF8; Dovecot 2.3 never offers it.
#[tokio::test]
async fn raw_text_in_a_header_goes_where_it_would_go_without_us() {
    let stack = Stack::start().await;
    *stack.dovecot.offers.lock().unwrap() = "DSN";
    let mail =
        |id: &str| format!("From: eve@c.example\r\nSubject: gr\u{fc}\u{df}e\r\nMessage-ID: <{id}>\r\n\r\nhello\r\n");
    let said = stack.lmtp_in().await.bring("eve@c.example", &["one@a.example"], &mail("in@c.example")).await;
    assert_eq!(said, ["250 2.0.0 Passed on"]);
    let mut lmtp = stack.lmtp_out().await;
    for (id, parameter, asks) in [("plain@c.example", "", false), ("asked@c.example", " SMTPUTF8", true)] {
        assert!(lmtp.says(&format!("MAIL FROM:<eve@c.example>{parameter}")).await.starts_with("250"));
        assert!(lmtp.says("RCPT TO:<two@b.example>").await.starts_with("250"));
        assert!(lmtp.says("DATA").await.starts_with("354"));
        lmtp.send(&format!("{}.\r\n", mail(id))).await;
        assert_eq!(lmtp.reply().await, "250 2.0.0 Passed on");
        assert_eq!(stack.reinject.wait_for(id).await.asked, asks, "as it came, so it goes on");
    }
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn dovecots_word_is_postfixs_answer() {
    let stack = Stack::start().await;
    stack.dovecot.now_says(|rcpt| match rcpt {
        "full@a.example" => "452 4.2.2 full",
        "nobody@a.example" => "550 5.1.1 no such user",
        _ => "250 2.0.0 saved",
    });
    let mail = "From: eve@c.example\r\nSubject: hi\r\n\r\nhello\r\n.\r\n";
    let to = ["one@a.example", "full@a.example", "nobody@a.example", "one@a.example"];
    let said = stack.lmtp_in().await.bring("eve@c.example", &to, mail).await;
    let codes: Vec<&str> = said.iter().map(|said| said.split_at(9).0).collect();
    assert_eq!(codes, ["250 2.0.0", "452 4.2.2", "550 5.1.1", "250 2.0.0"], "{said:?}");
    let shown = stack.dovecot.wait_for("hello").await;
    assert!(shown.mail.starts_with("Received: from mta.example") && shown.mail.ends_with(mail), "{}", shown.mail);
    assert_eq!(stack.lmtp_in().await.says("MAIL FROM:<>").await, "250 2.1.0 Sender ok");
    let mut lmtp = stack.lmtp_in().await;
    lmtp.says("MAIL FROM:<>").await;
    assert!(lmtp.says("RCPT TO:<two@b.example>").await.starts_with("550 5.7.1"), "no relaying by the front");
    assert!(stack.nodes.a.status().await.unwrap().queued.values().all(|n| *n == 0), "nothing waits here");
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_023_a_users_own_fields_go_and_those_of_others_stay() {
    let stack = Stack::start().await;
    let brought = "Postline-Offer: v=1; x=y\r\npostline-OFFER: v=2\r\nPostline-Secret: 1\r\n";
    let mail =
        format!("{brought}{}", String::from_utf8(Letter::to("two@b.example", "x").bytes("one@a.example")).unwrap());
    let mut milter = stack.milter().await;
    let to = ["two@b.example"];
    let owner = milter.filter(Some("one@a.example"), "one@a.example", &to, &mail).await;
    assert_eq!((count(&owner.mail, "Postline-Offer"), count(&owner.mail, "Postline-Id")), (1, 1), "{}", owner.mail);
    assert!(!owner.mail.contains("v=2") && !owner.mail.contains("; x=y") && !owner.mail.contains("Secret"));
    // Someone else's From, a From that isn't the sender's, a domain of others: the foreign fields go, none of ours comes.
    for (login, from, author) in [
        ("eve", "one@a.example", "one@a.example"),
        ("one@a.example", "one@a.example", "other@a.example"),
        ("one@a.example", "other@a.example", "one@a.example"),
        ("one@b.example", "one@b.example", "one@b.example"),
    ] {
        let mail = mail.replace("From: one@a.example", &format!("From: {author}"));
        let other = milter.filter(Some(login), from, &to, &mail).await;
        let ours = ["Postline-Offer", "Postline-Id", "Postline-Secret"].map(|name| count(&other.mail, name));
        assert_eq!((other.at, ours), ('E', [0; 3]), "{login} as {author}: {}", other.mail);
    }
    let outside = milter.filter(None, "one@a.example", &to, &mail).await;
    assert_eq!((outside.at, outside.mail.as_str()), ('M', mail.as_str()), "let go at once, untouched");
    let short = milter.filter(Some("one"), "one@a.example", &to, &mail).await;
    assert_eq!(count(&short.mail, "Postline-Id"), 1, "a login without domain speaks for its name");
    stack.nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_mail_streams_through_the_milter_and_is_its_authors_when_it_comes_back() {
    let stack = Stack::start().await;
    stack.line().await;
    let letter = Letter::to("two@b.example", "large").of_bytes(3_000_000);
    let said = stack.write(&letter).await;
    assert!(said.starts_with("250 2.6.0"), "{said}");
    stack.nodes.b.inbox("two").wait_for("large", PATIENCE).await.unwrap();
    stack.nodes.stop().await.unwrap();
}

/// [E-13]: a person with a mail program, whose mail server asks us about what they write.
#[tokio::test]
async fn t_071_a_reply_to_what_came_sealed_is_sealed_at_the_milter_and_goes_nowhere_as_a_mail() {
    let stack = Stack::start().await;
    stack.line().await;
    let host = stack.nodes.a.command("device").args(["host", "one@a.example"]).output();
    let hosted = tokio::time::timeout(PATIENCE, host).await.unwrap().unwrap();
    assert!(hosted.status.success(), "{}", String::from_utf8_lossy(&hosted.stderr));
    let (program, dir) = (crate::common::program(), stack.nodes.dir().join("two-device"));
    let seat = Seat::new(program, "two@b.example", &stack.nodes.b, dir).await.unwrap();
    seat.enrol().await.unwrap();
    let mut ben = seat.chat("one@a.example").unwrap();
    ben.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
    ben.say("to your mail program").await.unwrap();
    let came = stack.dovecot.wait_for("to your mail program").await.mail;
    let unfolded = came.replace("\r\n\t", " ").replace("\r\n ", " ");
    let id = unfolded.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap().trim().to_owned();
    assert!(id.ends_with(".sealed@a.example>"), "{came}");

    let mail = |from: &str, fields: &str, text: &str| {
        format!(
            "From: {from}\r\nTo: two@b.example\r\nSubject: re\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
             Message-ID: <{}@one.example>\r\nIn-Reply-To: {id}\r\n{fields}\r\n{text}\r\n",
            text.len()
        )
    };
    let (one, three) = ("one@a.example", "three@a.example");
    let answer = mail(one, "", "from a mail program");
    let filtered = stack.milter().await.filter(Some(one), one, &["two@b.example"], &answer).await;
    assert_eq!(filtered.said, "d", "accepted, and thrown away");
    let (said, _) = ben.hears("from a mail program", PATIENCE).await.unwrap();
    assert_eq!((&said["author"], &said["hosted"]), (&one.into(), &true.into()), "{said}");
    // Brought again, since nobody heard that it was taken, it is said once.
    let again = stack.milter().await.filter(Some(one), one, &["two@b.example"], &answer).await;
    assert_eq!(again.said, "d");

    // What can't be sealed whole is refused whole, and says why.
    let refused = [
        (one, vec!["two@b.example", three], mail(one, "", "must not leave"), "others than are in there"),
        (one, vec!["two@b.example"], mail(one, "Content-Type: image/png\r\n", "must not leave"), "text alone"),
        (three, vec!["two@b.example"], mail(three, "", "must not leave"), "answer on your device"),
        (three, vec!["two@b.example"], mail(one, "", "must not leave"), "its From is not yours"),
    ];
    for (login, to, mail, why) in refused {
        let filtered = stack.milter().await.filter(Some(login), login, &to, &mail).await;
        assert!(filtered.said.starts_with("y554 5.7.1 ") && filtered.said.contains(why), "{}", filtered.said);
    }
    // Nor does it pass where the milter didn't see it.
    let said = stack.lmtp_out().await.bring(one, &["two@b.example"], &mail(one, "", "must not leave")).await;
    assert!(said[0].starts_with("554 5.7.1 "), "{said:?}");
    ben.say("the end").await.unwrap();
    stack.dovecot.wait_for("the end").await;
    let left: Vec<String> =
        [stack.reinject.came(), stack.mx.came()].concat().into_iter().map(|came| came.mail).collect();
    assert!(
        !left.iter().any(|mail| mail.contains("must not leave") || mail.contains("from a mail program")),
        "{left:?}"
    );
    assert_eq!(ben.end().await.unwrap(), 0, "shown once");
    stack.nodes.stop().await.unwrap();
}
