//! A node beside another mail server, whose part the tests play: milter, LMTP in and out, reinjection, delivery.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod mta;
mod stories;

use common::PATIENCE;
use mta::{Lmtp, Milter, Server};
use postline_core::id::Domain;
use postline_node::dkim::Signer;
use postline_node::lab::{Letter, Node, Nodes, Person, Plan, Smtp};

/// Two nodes, that of `a.example` beside a mail server that the tests play.
pub(crate) struct Stack {
    pub(crate) nodes: Nodes,
    /// The smtpd of a.example's mail server that mail for elsewhere goes on to.
    pub(crate) reinject: Server,
    /// The server with a.example's mailboxes.
    pub(crate) dovecot: Server,
    /// Port 25 of a.example.
    pub(crate) mx: Server,
    milter: String,
    lmtp_in: String,
    lmtp_out: String,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let reinject = Server::start("127.0.0.1:0", false).await;
        let dovecot = Server::start("127.0.0.1:0", true).await;
        let at = |at: &str| format!("\"{at}\"");
        let mut a = Plan::of(&["nobody"]);
        a.settings = vec![
            ("listen.smtp", "[]".to_owned()),
            ("listen.submission", "[]".to_owned()),
            ("beside.milter", at("127.0.0.1:0")),
            ("beside.lmtp_in", at("127.0.0.1:0")),
            ("beside.lmtp_out", at("127.0.0.1:0")),
            ("beside.reinject", at(&reinject.at.to_string())),
            ("beside.deliver", at(&dovecot.at.to_string())),
        ];
        let mut nodes = Nodes::set_up(common::program(), [a, Plan::of(&["two", "four"])]).unwrap();
        let mx = Server::start(&nodes.a.smtp, false).await;
        nodes.a.start().await.unwrap();
        nodes.b.start().await.unwrap();
        let mut stack = Self {
            nodes,
            reinject,
            dovecot,
            mx,
            milter: String::new(),
            lmtp_in: String::new(),
            lmtp_out: String::new(),
        };
        stack.look().await;
        stack
    }

    /// Finds out where the node listens.
    pub(crate) async fn look(&mut self) {
        let listen = self.nodes.a.status().await.unwrap().listen;
        assert!(!listen.contains_key("smtp") && !listen.contains_key("submission"), "{listen:?}");
        [self.milter, self.lmtp_in, self.lmtp_out] =
            ["milter", "lmtp_in", "lmtp_out"].map(|name| listen[name][0].clone());
    }

    pub(crate) async fn milter(&self) -> Milter {
        Milter::connect(&self.milter).await
    }

    pub(crate) async fn lmtp_in(&self) -> Lmtp {
        Lmtp::connect(&self.lmtp_in).await
    }

    pub(crate) async fn lmtp_out(&self) -> Lmtp {
        Lmtp::connect(&self.lmtp_out).await
    }

    /// What one of a.example writes, stamped by the node, and then signed by the DKIM signer.
    pub(crate) async fn stamped(&self, letter: &Letter) -> String {
        let from = "one@a.example";
        let mail = String::from_utf8(letter.bytes(from)).unwrap();
        let filtered = self.milter().await.filter(Some(from), from, &[&letter.to], &mail).await;
        assert!(filtered.accepted);
        signed(&self.nodes.a, &filtered.mail)
    }

    /// One of a.example writes: what LMTP says for the recipient.
    pub(crate) async fn write(&self, letter: &Letter) -> String {
        let mail = self.stamped(letter).await;
        self.lmtp_out().await.bring("one@a.example", &[&letter.to], &mail).await.remove(0)
    }

    /// Carries what the reinjecting smtpd took on to b.example, as Postfix's queue would.
    pub(crate) async fn bring_out(&self, words: &str) {
        let came = self.reinject.wait_for(words).await;
        let mut smtp = Smtp::connect(&self.nodes.b.smtp).await.unwrap();
        smtp.ask(&format!("MAIL FROM:<{}>\r\n", came.from)).await.unwrap().want("250").unwrap();
        for rcpt in &came.to {
            smtp.ask(&format!("RCPT TO:<{rcpt}>\r\n")).await.unwrap().want("250").unwrap();
        }
        smtp.ask("DATA\r\n").await.unwrap().want("354").unwrap();
        smtp.data(came.mail.as_bytes()).await.unwrap();
        smtp.expect("250").await.unwrap();
    }

    /// Carries what came to port 25 of a.example on to the node.
    pub(crate) async fn bring_in(&self, words: &str) -> Vec<String> {
        let came = self.mx.wait_for(words).await;
        let to: Vec<&str> = came.to.iter().map(String::as_str).collect();
        self.lmtp_in().await.bring(&came.from, &to, &came.mail).await
    }

    /// Gives `one@a.example` and `two@b.example` a line.
    pub(crate) async fn line(&self) {
        let hello = self.write(&Letter::to("two@b.example", "hello")).await;
        assert!(hello.starts_with("250 2.0.0 Passed on"), "{hello}");
        self.bring_out("<hello@demo.example>").await;
        self.nodes.b.inbox("two").wait_for("hello", PATIENCE).await.unwrap();
        let mut two = Person::new("two@b.example", &self.nodes.b).await.unwrap();
        two.submit(&Letter::answer("one@a.example", "re-hello", "hello")).await.unwrap();
        let taken = self.bring_in("<re-hello@demo.example>").await;
        assert_eq!(taken, ["250 2.0.0 Passed on"]);
        let shown = self.dovecot.wait_for("<re-hello@demo.example>").await;
        assert_eq!((shown.from.as_str(), shown.to.as_slice()), ("two@b.example", &["one@a.example".to_owned()][..]));
        assert_eq!(self.nodes.wait_for_line(PATIENCE).await.unwrap(), "trusted");
    }
}

fn signed(node: &Node, mail: &str) -> String {
    let (config, domain) = (node.config(), Domain::parse("a.example").unwrap());
    let signer = Signer::load(&config.dkim.dir, &domain, &config.dkim.selector).unwrap();
    let mut whole = signer.sign(mail.as_bytes()).unwrap();
    whole.extend_from_slice(mail.as_bytes());
    String::from_utf8(whole).unwrap()
}

/// How often a field stands in a mail.
pub(crate) fn count(mail: &str, name: &str) -> usize {
    let head = mail.split("\r\n\r\n").next().unwrap();
    let start = format!("{}:", name.to_ascii_lowercase());
    head.split("\r\n").filter(|line| line.to_ascii_lowercase().starts_with(&start)).count()
}
