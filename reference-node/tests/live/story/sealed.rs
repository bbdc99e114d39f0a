//! One with a mail program alone, whose node runs a device, talks sealed: through a real Postfix, and while the node is down.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::{ONE, SEVEN, Story, TWO};
use crate::machine::{PATIENCE, wait_for};
use crate::mailboxes::PASSWORD;
use crate::node::{Node, PROGRAM};
use crate::people::{Got, Letter, inbox};

/// A device of somebody's, in a conversation.
struct Chat {
    process: Child,
    input: ChildStdin,
    told: Receiver<Value>,
}

/// The program with a command of a device's, at its node.
fn device(words: &[&str], who: &str, node: &Node, store: &Path) -> Command {
    let (at, nk) = (format!("127.0.0.1:{}", node.link), node.ask(&["status"])["status"]["node_key"].clone());
    let mut command = Command::new(PROGRAM);
    command.arg("--json").args(words).args(["--as", who, "--node", &at, "--nk", nk.as_str().unwrap(), "--store"]);
    command.arg(store).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a program to its end, with one line of input.
fn typed(mut command: Command, line: &str) {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
}

impl Chat {
    fn begin(with: &str, who: &str, node: &Node, store: &Path) -> Self {
        let mut process = device(&["chat", with], who, node, store).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Nobody hears what comes after the end.
                let _gone = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, input, told }
    }

    fn says(&mut self, text: &str) {
        self.input.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn waits_for(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} never came"));
            if is(&event) {
                return event;
            }
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Story {
    /// [E-13]
    pub(crate) fn t_071_a_reply_to_what_came_sealed_leaves_sealed_or_not_at_all(&mut self) {
        let dir = self.world.dir.path().to_owned();
        let (a, b) = (self.world.a.node(), self.world.b.node());
        a.ask(&["device", "host", ONE]);
        typed(b.command(&["user", "add", "two"]), PASSWORD);
        let store = dir.join("two-device");
        typed(device(&["device", "enrol"], TWO, b, &store), PASSWORD);
        let mut two = Chat::begin(ONE, TWO, b, &store);
        two.waits_for("the proof of one's keys", |event| event["level"].as_u64() >= Some(3));
        two.says("to your mail program");
        let sealed = |got: &Got| got.fields("Postline-Sealed").len() == 1;
        let came = wait_for("what was said, in a mailbox", || inbox(&self.world.a, ONE).into_iter().find(sealed));
        let id = came.field("Message-ID").unwrap();
        self.ledger.other(&id, ONE);
        let reply = |letter: Letter| letter.with(&format!("In-Reply-To: {id}\nReferences: <x@y.example>\n {id}"));

        // Postfix says 250, and throws the mail away: it was said.
        reply(Letter::new(ONE, TWO, "sealed-reply")).submit(&self.world.a, &dir).unwrap();
        let said = two.waits_for("the reply", |event| event["text"] == "This is sealed-reply.");
        assert_eq!((&said["author"], &said["hosted"]), (&ONE.into(), &true.into()), "{said}");
        // To others too, or with more than words: 554, and nobody gets it.
        let mixed = reply(Letter::new(ONE, TWO, "sealed-mixed").and(SEVEN)).submit(&self.world.a, &dir);
        assert!(mixed.unwrap_err().contains("554 5.7.1 This answers a sealed message"));
        // A program of this machine has no login.
        let program = reply(Letter::new(ONE, TWO, "sealed-program"));
        self.world.a.postfix.takes(ONE, TWO, &program.text());

        // While the node is down it waits, whatever Postfix tries; then it comes back to its author.
        self.returned(1);
        self.world.a.node_mut().stop();
        reply(Letter::new(ONE, TWO, "sealed-down")).submit(&self.world.a, &dir).unwrap();
        reply(Letter::new(ONE, TWO, "sealed-down-mixed").and(SEVEN)).submit(&self.world.a, &dir).unwrap();
        wait_for("the replies to be tried in vain", || {
            self.world.a.postfix.flush();
            (self.world.a.postfix.deferred() == 2).then_some(())
        });
        // Others' mail goes on meanwhile.
        self.send(&Letter::new(ONE, SEVEN, "not-sealed"));
        assert_eq!(self.world.a.postfix.queued(), 2, "it waits on");
        self.world.a.node_mut().start();
        self.returned(3);
        self.world.settled();
        for site in [&self.world.b, &self.world.c] {
            let who = if site.domain == "b.example" { TWO } else { SEVEN };
            let leaked = inbox(site, who).into_iter().find(|got| got.mail.contains("This is sealed-"));
            assert!(leaked.is_none(), "in the clear: {}", leaked.unwrap().mail);
        }
    }

    /// Waits until so many reports say why a reply to what came sealed went nowhere.
    fn returned(&mut self, count: usize) {
        let words = |got: &Got| got.mail.split_whitespace().collect::<Vec<_>>().join(" ");
        let is = |got: &Got| words(got).contains("This answers a sealed message, and the node was down");
        let reports = wait_for("the reports to the author", || {
            self.world.a.postfix.flush();
            let reports: Vec<Got> = inbox(&self.world.a, ONE).into_iter().filter(is).collect();
            (reports.len() >= count).then_some(reports)
        });
        for report in reports {
            self.ledger.other(&report.field("Message-ID").unwrap(), ONE);
        }
    }
}
