//! `postline check`: what around the node keeps it from working, each with its cause and the next step.
//!
//! ```text
//!   configuration, disk, clock ──┐
//!   DNS, sockets, certificates ──┼─▶ probes, each within its time ──▶ findings ──▶ exit status
//!   the running node, if any ────┘
//! ```
//!
//! Nothing here changes anything, and nothing needs the node to run. What can't be found out is skipped, with the reason:
//! a machine without a network gets its other findings all the same. The ids in [`CHECKS`] are stable.

mod certificate;
mod clock;
mod disk;
mod dns;
mod document;
mod hooks;
mod keys;
mod ports;
mod postfix;
mod records;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postline_core::time::Millis;
use rustls::ClientConfig;
use serde::Serialize;

use crate::admin::{self, Answer, AskFault, Request, Status};
use crate::config::Config;
use crate::dns::{DnsFault, Resolver};
pub use disk::{Space, space};
pub use hooks::Hooks;
pub use records::zone_text;

/// How long one probe may take.
pub const PROBE: Duration = Duration::from_secs(10);

/// Every check: its stable id, and what it looks at.
pub const CHECKS: &[(&str, &str)] = &[
    ("node.running", "whether the node answers on its admin socket"),
    ("node.files", "how many files the node may have open"),
    ("store.opens", "whether the store is there, and of a version that this program knows"),
    ("store.damaged", "records that were put aside because they are damaged"),
    ("keys.node", "whether the node's key can be read, by nobody else"),
    ("keys.next", "whether the next key was moved away from this machine"),
    ("keys.backup", "whether this key was backed up, and when"),
    ("users.postmaster", "whether there is somebody who gets mail for postmaster"),
    ("disk.space", "room for records, bodies and mail"),
    ("disk.inodes", "room for more files"),
    ("maildir.owner", "whether the mailboxes are the node's own"),
    ("maildir.filesystem", "whether a mailbox lies on one file system, so that delivery is one rename"),
    ("clock.jump", "whether the running node waits for `postline clock accept`"),
    ("clock.past", "whether the clock agrees with what the node last wrote"),
    ("clock.web", "whether the clock agrees with a web server's"),
    ("tls.certificate", "whether certificate and key can be read, fit each other, and are a real authority's"),
    ("tls.expiry", "how long the certificate holds"),
    ("tls.name", "whether it holds for the names that clients use"),
    ("dns.address", "whether the host name has addresses"),
    ("dns.ptr", "whether these addresses lead back to the host name"),
    ("dns.mx", "whether a domain's mail comes here"),
    ("dns.srv", "where other nodes look for this one"),
    ("dns.spf", "whether a domain lets this host send its mail"),
    ("dns.dkim", "whether a domain publishes the keys that sign its mail"),
    ("dns.dmarc", "what a domain asks to be done with mail that is neither"),
    ("dns.word", "whether a `_postline` record names this node's key"),
    ("word.document", "whether the well-known document names this node's key"),
    ("port.out", "whether mail can leave by port 25, or to the smarthost"),
    ("port.smtp", "whether mail can come in"),
    ("port.link", "whether other nodes can come in"),
    ("port.session", "whether devices can come in, and by what they know this node the first time"),
    ("hook.milter", "whether our milter answers"),
    ("hook.lmtp_in", "whether our LMTP front for incoming mail answers"),
    ("hook.lmtp_out", "whether our LMTP transport for outgoing mail answers"),
    ("hook.reinject", "whether the listener that takes back what has no line answers"),
    ("hook.deliver", "whether the mail store's LMTP answers"),
    ("hook.dict", "whether our dict socket answers"),
    ("hook.auth", "whether the mail store's auth socket answers"),
    ("postfix.milters", "whether our milter stands before the one that signs"),
    ("postfix.default_action", "whether mail goes on without us"),
    ("postfix.transports", "whether mail is brought to us"),
    ("postfix.reinject", "whether master.cf has the listener that takes mail back"),
];

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not looked at, or not to be found out; the cause says why.
    Skipped,
    /// It works, and something is missing.
    Warning,
    /// Something doesn't work.
    Failure,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: an id of [`CHECKS`].
    pub id: &'static str,
    /// Of what: a domain, an address, a file; empty where there is only one.
    pub about: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub cause: String,
    /// What to do about it; empty where nothing is to be done.
    pub next: String,
}

impl Finding {
    fn new(id: &'static str, about: impl ToString, level: Level, cause: impl ToString, next: impl ToString) -> Self {
        Self { id, about: about.to_string(), level, cause: cause.to_string(), next: next.to_string() }
    }

    fn ok(id: &'static str, about: impl ToString, cause: impl ToString) -> Self {
        Self::new(id, about, Level::Ok, cause, "")
    }

    fn skipped(id: &'static str, about: impl ToString, cause: impl ToString) -> Self {
        Self::new(id, about, Level::Skipped, cause, "")
    }

    fn warning(id: &'static str, about: impl ToString, cause: impl ToString, next: impl ToString) -> Self {
        Self::new(id, about, Level::Warning, cause, next)
    }

    fn failure(id: &'static str, about: impl ToString, cause: impl ToString, next: impl ToString) -> Self {
        Self::new(id, about, Level::Failure, cause, next)
    }

    /// What DNS doesn't say: that there is nothing, which `none` judges, or nothing for now.
    fn dns(id: &'static str, about: impl ToString, fault: &DnsFault, none: impl FnOnce(String) -> Self) -> Self {
        match fault {
            DnsFault::None => none(about.to_string()),
            DnsFault::Temporary(_) => Self::skipped(id, about, fault),
        }
    }
}

/// The worst of some findings; what was skipped is no worse than what is well.
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    let level = |finding: &Finding| if finding.level == Level::Skipped { Level::Ok } else { finding.level };
    findings.iter().map(level).max().unwrap_or(Level::Ok)
}

/// What is looked at, and by what: the parts of the world that a test puts in place of the real ones are fields.
pub struct Scene<'a> {
    /// The node's configuration.
    pub config: &'a Config,
    /// Who answers questions about names.
    pub resolver: Arc<Resolver>,
    /// The wall clock.
    pub now: Millis,
    /// The running node, or why it doesn't answer.
    pub node: Result<Box<Status>, AskFault>,
    /// Sockets beside other mail servers.
    pub hooks: Hooks,
    /// How much room there is where a path leads.
    pub space: fn(&Path) -> io::Result<Space>,
    /// How web servers prove their names; `None` where the system trusts no certificate authority.
    pub web: Option<Arc<ClientConfig>>,
}

impl<'a> Scene<'a> {
    /// The real world.
    ///
    /// # Errors
    /// Where the zone file, or the system's resolver, can't be used.
    pub fn real(config: &'a Config) -> Result<Self, crate::cli::PartFault> {
        let resolver = Arc::new(crate::serve::resolver(config)?);
        let node = match admin::ask(&config.admin_socket, &Request::Status {}) {
            Ok(Answer::Status(status)) => Ok(status),
            Ok(_) => Err(AskFault::Io(io::ErrorKind::InvalidData.into())),
            Err(fault) => Err(fault),
        };
        let web = crate::tls::https_client(config.discovery.roots.as_deref()).ok().map(Arc::new);
        let hooks = Hooks::of(config);
        Ok(Self { config, resolver, now: crate::clock::wall(), node, hooks, space, web })
    }
}

/// Looks at everything, each probe within its time; families of probes run at once.
pub async fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = vec![running(scene)];
    findings.extend(disk::findings(scene));
    findings.extend(keys::findings(scene));
    findings.extend(clock::findings(scene));
    findings.extend(certificate::findings(scene));
    let (dns, document, ports, hooks, postfix) = tokio::join!(
        dns::findings(scene),
        document::findings(scene),
        ports::findings(scene),
        hooks::findings(&scene.hooks),
        postfix::findings(scene),
    );
    findings.extend([dns, document, ports, hooks, postfix].into_iter().flatten());
    findings
}

fn running(scene: &Scene<'_>) -> Finding {
    let id = "node.running";
    match &scene.node {
        Ok(status) => Finding::ok(id, "", format!("version {}, {} users", status.version, status.users)),
        Err(AskFault::NotRunning(_)) => Finding::warning(id, "", "the node does not run", "postline serve"),
        Err(fault @ (AskFault::Io(_) | AskFault::Malformed(_))) => {
            Finding::failure(id, "", fault, "look into its log; run this command as the node's user")
        }
    }
}
