//! One domain with all that serves it, and the little Internet between the domains.
//!
//! ```text
//!   people ── submission ─▶ Postfix ── milters: node, OpenDKIM ─▶ queue ─▶ node ─▶ relay (the Internet) ─▶ other Postfix
//!                          Dovecot ◀─ LMTP ─ node ◀─ queue ◀─ port 25 ◀───────────────┘
//! ```
//!
//! There is no DNS here: a Postfix in the middle knows where each domain's mail goes, and the nodes read a zone file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{Dir, free_port};
use crate::mailboxes::Dovecot;
use crate::node::Node;
use crate::postfix::Postfix;
use crate::signer::Signer;

/// A domain, its stack, and its node where it has one.
pub(crate) struct Site {
    pub(crate) domain: &'static str,
    pub(crate) submission: u16,
    pub(crate) postfix: Postfix,
    pub(crate) dovecot: Dovecot,
    pub(crate) node: Option<Node>,
    signer: Signer,
}

/// All domains, and what lies between them.
pub(crate) struct World {
    pub(crate) a: Site,
    pub(crate) b: Site,
    /// Whose operator has never heard of Postline.
    pub(crate) c: Site,
    pub(crate) relay: Postfix,
    pub(crate) zone: PathBuf,
    /// Last, so that it goes last.
    pub(crate) dir: Dir,
}

impl World {
    /// Sets everything up, and starts all but the nodes.
    pub(crate) fn start() -> Self {
        let dir = Dir::new();
        let zone = dir.path().join("zone.txt");
        let (relay_port, smtp) = (free_port(), [free_port(), free_port(), free_port()]);
        // Keys take a while to make: all at once.
        let [(a, a_zone), (b, b_zone), (c, c_zone)] = std::thread::scope(|scope| {
            let set_up = |domain, users: &'static [&str], smtp, beside| {
                let (dir, zone) = (dir.path(), &zone);
                scope.spawn(move || Site::set_up(dir, domain, users, [smtp, relay_port], zone, beside))
            };
            [
                set_up("a.example", &["one", "three"], smtp[0], true),
                set_up("b.example", &["two", "four"], smtp[1], true),
                set_up("c.example", &["seven"], smtp[2], false),
            ]
            .map(|site| site.join().unwrap())
        });
        fs::write(&zone, [a_zone, b_zone, c_zone].concat()).unwrap();
        let ways = [&a, &b, &c].map(|site| site.domain).into_iter().zip(smtp);
        let ways: Vec<String> =
            ways.map(|(domain, port)| format!("{{ {domain} = smtp:[127.0.0.1]:{port} }}")).collect();
        let main = format!(
            "myhostname = relay.example\nmynetworks = 127.0.0.0/8\nrelay_domains = a.example, b.example, c.example\n\
             smtpd_relay_restrictions = reject_unauth_destination\ntransport_maps = inline:{{ {} }}\n\
             default_transport = error:nobody is there\n",
            ways.join(", ")
        );
        let master = format!("127.0.0.1:{relay_port} inet n - n - - smtpd\n");
        let relay = Postfix::set_up("the relay", &dir.path().join("relay"), &main, &master, &[relay_port]);
        let mut world = Self { a, b, c, relay, zone, dir };
        world.relay.start();
        for site in [&mut world.a, &mut world.b, &mut world.c] {
            site.start();
        }
        world
    }

    pub(crate) fn sites(&self) -> [&Site; 3] {
        [&self.a, &self.b, &self.c]
    }

    /// Waits until no Postfix has anything to do.
    pub(crate) fn settled(&self) {
        // A mail goes from queue to queue: only when nothing moved in a whole round, nothing is under way.
        loop {
            self.relay.drained();
            for site in self.sites() {
                site.postfix.drained();
                site.node.iter().for_each(Node::drained);
            }
            let waiting: usize = self.sites().iter().map(|site| site.postfix.queued()).sum();
            if waiting + self.relay.queued() == 0 {
                return;
            }
        }
    }
}

impl Site {
    /// Sets one up: itself, and what DNS would say of it.
    fn set_up(
        dir: &Path,
        domain: &'static str,
        users: &[&str],
        [smtp, relay]: [u16; 2],
        zone: &Path,
        beside: bool,
    ) -> (Self, String) {
        let dir = dir.join(domain);
        fs::create_dir(&dir).unwrap();
        let (submission, signer, imap, lmtp) = (free_port(), free_port(), free_port(), free_port());
        let people: Vec<String> = users.iter().map(|user| format!("{user}@{domain}")).collect();
        let node = Node::set_up(&dir.join("node"), domain, users, zone, lmtp);

        let map = |of: &dyn Fn(&String) -> String| people.iter().map(of).collect::<Vec<_>>().join(", ");
        let mailboxes = map(&|who| format!("{{ {who} = yes }}"));
        let logins = map(&|who| format!("{{ {who} = {who} }}"));
        let tls = node.dir.join("tls");
        let main = format!(
            "myhostname = mail.{domain}\nmynetworks =\nvirtual_mailbox_domains = {domain}\n\
             virtual_mailbox_maps = inline:{{ {mailboxes} }}\nvirtual_transport = lmtp:[127.0.0.1]:{lmtp}\n\
             relayhost = [127.0.0.1]:{relay}\nnon_smtpd_milters = inet:127.0.0.1:{signer}\nsmtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {tls}/cert.pem\nsmtpd_tls_key_file = {tls}/key.pem\n\
             smtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n\
             smtpd_sender_login_maps = inline:{{ {logins} }}\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n",
            tls = tls.display()
        );
        let master = format!(
            "127.0.0.1:{smtp} inet n - n - - smtpd\n\
             127.0.0.1:{submission} inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n  \
             -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n  \
             -o smtpd_sender_restrictions=reject_sender_login_mismatch\n  \
             -o smtpd_milters=inet:127.0.0.1:{signer}\n"
        );
        let postfix_dir = dir.join("postfix");
        let postfix = Postfix::set_up(domain, &postfix_dir, &main, &master, &[smtp, submission]);
        let mut more = String::new();
        if beside {
            postfix.put_postline_beside(
                &format!("127.0.0.1:{submission}"),
                &[
                    ("7680", node.milter.to_string()),
                    ("7681", node.lmtp_in.to_string()),
                    ("7682", node.lmtp_out.to_string()),
                    ("10026", node.reinject.to_string()),
                    ("8891", signer.to_string()),
                    ("[127.0.0.1]:24\n", format!("[127.0.0.1]:{lmtp}\n")),
                    ("content_filter=smtp:\n", format!("content_filter=smtp:[127.0.0.1]:{relay}\n")),
                ],
            );
            more = node.dovecot();
        }
        let auth = postfix_dir.join("queue/private/auth");
        let dovecot = Dovecot::set_up(domain, &dir.join("dovecot"), &people, [imap, lmtp], &auth, &more);
        let key = node.dir.join(format!("dkim/{domain}.postline-rsa.pem"));
        let signer = Signer::set_up(&dir, domain, "postline-rsa", &key, signer);
        let zone = node.records.clone();
        (Self { domain, submission, postfix, dovecot, signer, node: beside.then_some(node) }, zone)
    }

    fn start(&mut self) {
        self.signer.start();
        // Postfix gives up for a minute where nobody checks its logins.
        self.dovecot.start();
        self.postfix.start();
    }

    /// Its node.
    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// Its node, to be started and stopped.
    pub(crate) fn node_mut(&mut self) -> &mut Node {
        self.node.as_mut().unwrap()
    }
}
