//! What is stopped, killed, full or gone, and what mail does meanwhile: it flows on or waits, and none is lost.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{FOUR, ONE, SEVEN, Story, THREE, TWO, ms};
use crate::machine::wait_for;
use crate::people::{Letter, arrives};

/// How often Postfix, and how often a node, is killed in the middle of mails.
const KILLS: usize = 3;
/// How many mails may come twice in all: those under way when their taker was killed between a mail's last byte and its 250
/// (RFC 5321 §4.2.5).
pub(super) const CUT_OFF: usize = 2 * KILLS * CONCURRENT;
/// How many mails are under way when something is killed.
const CONCURRENT: usize = 6;

impl Story {
    pub(crate) fn mail_flows_before_any_node_is_there(&mut self) {
        let took = self.send(&Letter::new(ONE, TWO, "early"));
        println!("figure live.without_node_ms {:.0}", ms(took));
        self.send(&Letter::new(TWO, ONE, "re-early").answers("early"));
        self.send(&Letter::new(SEVEN, ONE, "early-from-c"));
        self.send(&Letter::new(ONE, SEVEN, "early-to-c"));
        let got = self.read(TWO, "early");
        assert!(got.fields("Postline-Offer").is_empty() && got.fields("Postline-Id").is_empty(), "{}", got.mail);
        assert_eq!(crate::people::good_signatures(&self.world.zone, &got).len(), 1);
    }

    pub(crate) fn nodes_start(&mut self) {
        self.world.a.node_mut().start();
        self.world.b.node_mut().start();
    }

    pub(crate) fn mail_flows_on_while_the_nodes_are_down(&mut self) {
        self.world.a.node_mut().stop();
        self.world.b.node_mut().stop();
        let out = self.send(&Letter::new(ONE, TWO, "no-nodes").answers("re-again"));
        let back = self.send(&Letter::new(TWO, ONE, "re-no-nodes").answers("no-nodes"));
        self.send(&Letter::new(SEVEN, THREE, "no-nodes-from-c"));
        self.send(&Letter::new(THREE, SEVEN, "no-nodes-to-c"));
        // What only the node may write is removed by Postfix itself, before the signer could vouch for it.
        self.send(&Letter::new(ONE, SEVEN, "no-nodes-forged").with("Postline-Offer: v=1; forged=yes"));
        let got = self.read(SEVEN, "no-nodes-forged");
        assert!(!got.mail.contains("forged=yes"), "{}", got.mail);
        println!("figure live.nodes_down_ms {:.0}", ms(out.max(back)));
        self.world.a.node_mut().start();
        // One node only: its mail goes by link no more, and by SMTP at once.
        let half = self.send(&Letter::new(ONE, FOUR, "half"));
        println!("figure live.one_node_down_ms {:.0}", ms(half));
        self.world.b.node_mut().start();
        self.send(&Letter::new(ONE, TWO, "nodes-again").answers("re-again"));
    }

    /// Postfix waits for it as long as the snippets say, and passes it over then.
    pub(crate) fn mail_flows_on_past_a_node_that_hangs(&mut self) {
        self.world.a.node().signal("STOP");
        let began = Instant::now();
        let said = Letter::new(ONE, SEVEN, "hangs").submit(&self.world.a, self.world.dir.path());
        let asked = began.elapsed();
        if said.is_ok() {
            arrives(&self.world.c, SEVEN, "hangs");
        }
        let all = began.elapsed();
        self.world.a.node().signal("CONT");
        said.unwrap();
        self.ledger.acknowledged(&Letter::new(ONE, SEVEN, "hangs"));
        println!("figure live.node_hangs_submission_s {:.0}", asked.as_secs_f64());
        println!("figure live.node_hangs_arrival_s {:.0}", all.as_secs_f64());
        self.send(&Letter::new(ONE, TWO, "goes-on").answers("re-again"));
    }

    pub(crate) fn a_node_that_is_killed_loses_nothing(&mut self) {
        for kill in 0..KILLS {
            let letters: Vec<Letter> = (0..4).map(|n| self.one_of(&format!("node-{kill}-{n}"), n)).collect();
            for (n, letter) in letters.iter().enumerate() {
                self.submit(letter);
                if n == 1 {
                    self.world.b.node_mut().kill();
                }
            }
            self.world.b.node_mut().start();
            for letter in &letters {
                arrives(crate::ledger::of(&self.world, letter.to[0]), letter.to[0], &letter.id);
            }
        }
    }

    /// Mails by link and by SMTP, in turns.
    fn one_of(&self, id: &str, n: usize) -> Letter {
        match n % 4 {
            0 => Letter::new(ONE, TWO, id).of_bytes(200_000),
            1 => Letter::new(ONE, FOUR, id),
            2 => Letter::new(THREE, FOUR, id),
            _ => Letter::new(SEVEN, TWO, id),
        }
    }

    pub(crate) fn a_postfix_that_is_killed_loses_nothing(&mut self) {
        for kill in 0..KILLS {
            let letters: Vec<Letter> = (0..6)
                .map(|n| {
                    Letter::new(ONE, if n % 2 == 0 { TWO } else { SEVEN }, &format!("postfix-{kill}-{n}"))
                        .of_bytes(100_000)
                })
                .collect();
            let dir = self.world.dir.path().to_owned();
            let site = &mut self.world.a;
            let (port, (said, hears)) = (site.submission, mpsc::channel());
            std::thread::scope(|scope| {
                for letter in &letters {
                    let (said, dir) = (said.clone(), &dir);
                    scope.spawn(move || said.send((letter, letter.submit_at(port, dir, letter.from))).unwrap());
                }
                drop(said);
                // In the middle: some have their 250, some don't.
                let first: Vec<_> = hears.iter().take(CONCURRENT / 2).collect();
                site.postfix.kill();
                for (letter, answer) in first.into_iter().chain(hears) {
                    match answer {
                        Ok(_) => self.ledger.acknowledged(letter),
                        Err(_) => self.ledger.unsure(letter),
                    }
                }
            });
            site.postfix.start();
        }
        self.world.settled();
    }

    pub(crate) fn mail_waits_for_a_dovecot_that_is_down(&mut self) {
        self.world.b.dovecot.stop();
        let by_link = Letter::new(ONE, TWO, "down-link").answers("re-again");
        let by_smtp = Letter::new(SEVEN, TWO, "down-smtp");
        self.submit(&by_link);
        self.submit(&by_smtp);
        wait_for("mail to wait in b's Postfix", || (self.world.b.postfix.queued() > 0).then_some(()));
        wait_for("mail to wait in b's node", || (self.world.b.node().queued() > 0).then_some(()));
        self.world.b.dovecot.start();
        let up = Instant::now();
        self.world.settled();
        arrives(&self.world.b, TWO, "down-link");
        arrives(&self.world.b, TWO, "down-smtp");
        println!("figure live.dovecot_back_ms {:.0}", ms(up.elapsed()));
    }

    pub(crate) fn mail_waits_for_room_in_a_full_mailbox(&mut self) {
        self.world.b.dovecot.give_room(TWO, "1K");
        let by_link = Letter::new(ONE, TWO, "full-link").answers("re-again").of_bytes(20_000);
        let by_smtp = Letter::new(SEVEN, TWO, "full-smtp").of_bytes(20_000);
        self.submit(&by_link);
        self.submit(&by_smtp);
        // A full mailbox is nobody else's trouble.
        let other = self.send(&Letter::new(THREE, FOUR, "not-full"));
        assert!(other < Duration::from_secs(30));
        wait_for("mail to wait in b's Postfix", || (self.world.b.postfix.queued() > 0).then_some(()));
        wait_for("mail to wait in b's node", || (self.world.b.node().queued() > 0).then_some(()));
        self.world.b.dovecot.give_room(TWO, "100M");
        self.world.settled();
        arrives(&self.world.b, TWO, "full-link");
        arrives(&self.world.b, TWO, "full-smtp");
    }
}
