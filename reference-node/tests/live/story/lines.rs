//! How a reply opens a line between two Postfix domains, what goes over it, and how people see and close it.

use std::fs;

use postline_node::lab::Smtp;

use super::{FOUR, ONE, SEVEN, Story, THREE, TWO, median, ms};
use crate::machine::wait_for;
use crate::mailboxes::PASSWORD;
use crate::people::{Got, Letter, Mutt, arrives, good_signatures, imap, inbox};

/// How many mails are timed, each way of going.
const TIMED: usize = 20;
/// Where Dovecot keeps what the node says.
const TRUST: &str = "/private/vendor/postline/trust";

impl Story {
    pub(crate) fn a_reply_opens_the_line(&mut self) {
        self.send(&Letter::new(ONE, TWO, "hello"));
        let hello = self.read(TWO, "hello");
        self.is_signed(&hello, "a.example", "postline-offer");
        assert_eq!(self.came_by(TWO, "hello"), "smtp");
        self.send(&Letter::new(TWO, ONE, "re-hello").answers("hello"));
        let answered = std::time::Instant::now();
        self.wait_for_trust(ONE, TWO, ["trusted", "trusted"]);
        println!("figure live.line_ms {:.0}", ms(answered.elapsed()));
        let reply = self.read(ONE, "re-hello");
        self.is_signed(&reply, "b.example", "postline-accept");
    }

    /// Another's program says that the domain signed a mail, our field and all that it is about among the rest.
    fn is_signed(&self, got: &Got, domain: &str, field: &str) {
        assert_eq!(got.fields(field).len(), 1, "{field} in\n{}", got.mail);
        let good = good_signatures(&self.world.zone, got);
        let covered = good.iter().find(|(of, _)| of == domain).map(|(_, covered)| covered);
        let covered = covered.unwrap_or_else(|| panic!("no signature of {domain} verifies:\n{}", got.mail));
        let times = |name: &str| covered.iter().filter(|covered| *covered == name).count();
        for name in ["from", "date", field] {
            assert!(times(name) >= 2, "{name} is not oversigned: {covered:?}");
        }
        for name in ["to", "cc", "in-reply-to", "references"] {
            assert!(times(name) >= 1, "{name} is not signed: {covered:?}");
        }
    }

    pub(crate) fn what_follows_goes_over_the_link(&mut self) {
        self.send(&Letter::new(ONE, TWO, "express").answers("re-hello"));
        assert_eq!(self.came_by(TWO, "express"), "link");
        let by_link = self.timed(ONE, TWO, "by-link");
        assert_eq!(self.came_by(TWO, &format!("by-link-{}", TIMED - 1)), "link");
        let by_smtp = self.timed(THREE, FOUR, "by-smtp");
        assert_eq!(self.came_by(FOUR, &format!("by-smtp-{}", TIMED - 1)), "smtp");
        println!("figure live.link_p50_ms {by_link:.1}");
        println!("figure live.smtp_p50_ms {by_smtp:.1}");
        wait_for("the mark `delivered`", || {
            let events = self.world.a.node().trace("express");
            events.iter().any(|line| line["mark"] == "delivered" && line["carrier"] == "link").then_some(())
        });
        let large = Letter::new(ONE, TWO, "large").answers("re-hello").of_bytes(3_000_000);
        self.send(&large);
        assert_eq!(self.came_by(TWO, "large"), "link");
        assert!(self.read(TWO, "large").mail.matches("This is large.\r\n").count() == 200_000, "all of it");
    }

    /// Mails on one connection, from their 250 until they are in the mailbox: the median, in milliseconds.
    fn timed(&mut self, from: &'static str, to: &'static str, name: &str) -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let port = crate::ledger::of(&self.world, from).submission;
        let mut smtp = runtime.block_on(async {
            let mut smtp = Smtp::connect(("127.0.0.1", port)).await.unwrap();
            smtp.start_tls().await.unwrap();
            smtp.log_in(from, PASSWORD).await.unwrap();
            smtp
        });
        let mut took = Vec::new();
        for n in 0..TIMED {
            let letter = Letter::new(from, to, &format!("{name}-{n}"));
            let taken = runtime.block_on(async {
                smtp.ask(&format!("MAIL FROM:<{from}>\r\n")).await.unwrap().want("250").unwrap();
                smtp.ask(&format!("RCPT TO:<{to}>\r\n")).await.unwrap().want("250").unwrap();
                smtp.ask("DATA\r\n").await.unwrap().want("354").unwrap();
                smtp.data(letter.text().replace('\n', "\r\n").as_bytes()).await.unwrap();
                smtp.expect("250").await.unwrap();
                std::time::Instant::now()
            });
            self.ledger.acknowledged(&letter);
            let arrived = arrives(crate::ledger::of(&self.world, to), to, &letter.id);
            took.push(ms(arrived.saturating_duration_since(taken)));
        }
        median(took)
    }

    pub(crate) fn mutt_writes_and_answers_over_the_line(&mut self) {
        let dir = self.world.dir.path().to_owned();
        let attached = dir.join("attached.bin");
        fs::write(&attached, [7; 5_000]).unwrap();
        let wrote = Letter::new(ONE, TWO, "mutt");
        Mutt::of(&self.world.a, ONE, &dir).write(TWO, "mutt", "A file is attached.\n", &attached);
        self.ledger.acknowledged(&wrote);
        arrives(&self.world.b, TWO, "mutt");
        assert_eq!(self.came_by(TWO, "mutt"), "link");
        let read = Mutt::of(&self.world.b, TWO, &dir).read_and_answer("re-mutt", "An answer.");
        assert!(read.contains("A file is attached."), "{read}");
        self.ledger.acknowledged(&Letter::new(TWO, ONE, "re-mutt"));
        arrives(&self.world.a, ONE, "re-mutt");
        assert_eq!(self.came_by(ONE, "re-mutt"), "link");
        let answer = self.read(ONE, "re-mutt");
        assert!(answer.field("In-Reply-To").unwrap().contains(&wrote.message_id()), "{}", answer.mail);
    }

    pub(crate) fn fields_that_users_bring_are_removed(&mut self) {
        let forged = Letter::new(ONE, SEVEN, "forged")
            .with("Postline-Offer: v=1; forged=yes")
            .with("Postline-Accept: v=1; forged=yes")
            .with("POSTLINE-ID: v=1;\n forged=yes")
            .with("Postline-Anything: forged=yes");
        self.send(&forged);
        let got = self.read(SEVEN, "forged");
        assert!(!got.mail.contains("forged=yes"), "{}", got.mail);
        assert_eq!((got.fields("Postline-Offer").len(), got.fields("Postline-Id").len()), (1, 1), "{}", got.mail);

        // Postfix lets a login write any From; the node speaks for the login's own alone.
        let other = Letter::new(THREE, TWO, "other").with("Postline-Id: v=1; forged=yes");
        other.submit_as(&self.world.a, self.world.dir.path(), ONE).unwrap();
        self.ledger.acknowledged(&other);
        arrives(&self.world.b, TWO, "other");
        let got = self.read(TWO, "other");
        assert!(!got.mail.to_ascii_lowercase().contains("postline-id:"), "{}", got.mail);
        assert_eq!(self.came_by(TWO, "other"), "smtp");
    }

    /// Programs that write mail for anybody can speak for nobody.
    pub(crate) fn fields_that_programs_bring_are_removed(&mut self) {
        let mail = Letter::new(ONE, SEVEN, "program").with("Postline-Offer: v=1; forged=yes");
        self.world.a.postfix.takes(ONE, SEVEN, &mail.text());
        self.ledger.acknowledged(&mail);
        arrives(&self.world.c, SEVEN, "program");
        let got = self.read(SEVEN, "program");
        let ours = ["Postline-Offer", "Postline-Accept", "Postline-Id"].map(|name| got.fields(name).len());
        assert_eq!(ours, [0; 3], "{}", got.mail);
    }

    pub(crate) fn an_imap_client_sees_the_line_and_closes_it(&mut self) {
        let (a, one) = (&self.world.a, format!("{TRUST}/{TWO}"));
        let advertised = imap(a, ONE, &["capability"]).to_string();
        assert!(advertised.contains("METADATA") && advertised.contains("XPOSTLINE"), "{advertised}");
        let all = imap(a, ONE, &["get", TRUST]);
        assert!(all.as_str().unwrap().contains(TWO), "{all}");
        let state = imap(a, ONE, &["get", &one]);
        assert!(state.as_str().unwrap().contains("trusted"), "{state}");
        assert_eq!(imap(a, ONE, &["set", &one, "block"])[0], "OK");
        self.wait_for_trust(ONE, TWO, ["revoked", "trusted"]);
        self.send(&Letter::new(TWO, ONE, "blocked").answers("express"));
        assert_eq!(self.came_by(ONE, "blocked"), "smtp");
        self.send(&Letter::new(ONE, TWO, "blocks").answers("re-hello"));
        assert_eq!(self.came_by(TWO, "blocks"), "smtp");
        assert_eq!(imap(&self.world.a, ONE, &["set", &one, "unblock"])[0], "OK");
        assert_eq!(self.world.a.node().trust(ONE, TWO), "stranger");
    }

    pub(crate) fn a_new_round_trip_opens_it_again(&mut self) {
        self.send(&Letter::new(ONE, TWO, "again"));
        self.send(&Letter::new(TWO, ONE, "re-again").answers("again"));
        self.wait_for_trust(ONE, TWO, ["trusted", "trusted"]);
        self.send(&Letter::new(TWO, ONE, "reopened").answers("re-again"));
        assert_eq!(self.came_by(ONE, "reopened"), "link");
    }

    pub(crate) fn a_domain_without_a_node_gets_mail_and_gives_mail(&mut self) {
        self.send(&Letter::new(THREE, SEVEN, "to-c"));
        let got = self.read(SEVEN, "to-c");
        self.is_signed(&got, "a.example", "postline-offer");
        self.send(&Letter::new(SEVEN, THREE, "from-c").answers("to-c"));
        assert_eq!(self.came_by(THREE, "from-c"), "smtp");
        self.send(&Letter::new(THREE, SEVEN, "to-c-again").answers("from-c"));
        assert_eq!(self.world.a.node().trust(THREE, SEVEN), "offered", "nobody ever accepts");
    }

    pub(crate) fn a_mail_to_two_goes_to_each_their_own_way(&mut self) {
        self.send(&Letter::new(ONE, TWO, "both").and(SEVEN).answers("re-again"));
        assert_eq!(self.came_by(TWO, "both"), "link");
    }

    pub(crate) fn t_006_t_007_lists_and_automatic_answers_open_nothing(&mut self) {
        self.send(&Letter::new(THREE, FOUR, "question"));
        let automatic = Letter::new(FOUR, THREE, "automatic").answers("question").with("Auto-Submitted: auto-replied");
        self.send(&automatic);
        let list = Letter::new(FOUR, THREE, "list").answers("question").with("List-Id: <list.b.example>");
        self.send(&list);
        for id in ["automatic", "list"] {
            assert!(self.read(THREE, id).fields("Postline-Accept").is_empty(), "{id} accepts");
        }
        assert!(!self.trust(THREE, FOUR).contains(&"trusted".to_owned()));
        let by_hand = Letter::new(FOUR, THREE, "by-hand").answers("question");
        self.send(&by_hand);
        self.wait_for_trust(THREE, FOUR, ["trusted", "trusted"]);
    }

    /// Reading is reported by Dovecot, and known of the mail.
    pub(crate) fn reading_is_noticed(&mut self) {
        assert_eq!(imap(&self.world.b, TWO, &["seen", "<express@people.example>"]), 1);
        let read = |got: &Got| got.field("Subject").as_deref() == Some("express") && got.flags.contains("\\Seen");
        assert!(inbox(&self.world.b, TWO).iter().any(read));
        wait_for("a trace of its reading", || {
            let events = self.world.b.node().trace("express");
            events.iter().any(|line| line["event"] == "seen_in_mailbox").then_some(())
        });
    }
}
