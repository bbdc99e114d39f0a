//! What the operator wants: one TOML file, read whole, refused whole.
//!
//! ```text
//!   text ──▶ known keys only ──▶ values that can't be invalid ──▶ values that fit each other ──▶ Config
//!               file:line, hint        file:line, why                  file:line, why
//! ```
//!
//! A changed file takes effect by [`Config::reload`]: it reads the file again, refuses it as at the start (the old one
//! then stays in force), and names the changed keys that wait for a restart. Which those are stands in [`KEYS`].

mod file;
mod keys;
mod value;

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postline_core::id::Domain;
use postline_core::net::{Allowed, Hint};
use serde::Deserialize;

use crate::beside::Beside;
use crate::dns::Dnssec;

pub use keys::{Change, Default, KEYS, Key, file_text};

/// The largest configuration file, in bytes.
const FILE_BYTES: u64 = 256 * 1024;

/// The operator's configuration, every path made absolute or relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// `data_dir`: the directory that holds all that the node keeps.
    pub data_dir: PathBuf,
    /// `hostname`: what the node calls itself in SMTP.
    pub hostname: Domain,
    /// `domains`: the mail domains that it serves, at least one, none twice.
    pub domains: Vec<Domain>,
    /// `postmaster`: the user who gets mail for postmaster@ and abuse@.
    pub postmaster: String,
    /// `offers`: whether users' mails carry offers.
    pub offers: bool,
    /// `hosted.devices`: for whom it runs devices.
    pub hosted_devices: HostedDevices,
    /// `[listen]`: where it listens.
    pub listen: Listen,
    /// `[tls]`: the certificate that it shows in SMTP.
    pub tls: Tls,
    /// `link.advertise`: what offers name in `h=`.
    pub advertise: Option<Hint>,
    /// `[smarthost]`: who takes all outgoing mail; `None`: each domain's MX.
    pub smarthost: Option<Smarthost>,
    /// `dns.zone_file`: answers DNS questions instead of the system's resolvers.
    pub zone_file: Option<PathBuf>,
    /// `dns.servers`: the name servers to ask; empty: the system's.
    pub name_servers: Vec<SocketAddr>,
    /// `[discovery]`: how domains' own words on their nodes are proven.
    pub discovery: DiscoveryWish,
    /// `dial.allow_private`: networks that may be dialled although they are private.
    pub allow_private: Allowed,
    /// `[dkim]`: the keys that sign outgoing mail.
    pub dkim: Dkim,
    /// `maildir.root`: the directory of the mailboxes.
    pub maildir_root: PathBuf,
    /// `[http]`: where it shows pages.
    pub http: Http,
    /// `[dovecot]`: what is shared with a Dovecot on this machine.
    pub dovecot: Dovecot,
    /// `admin.socket`: where the command line reaches the node.
    pub admin_socket: PathBuf,
    /// `[log]`: how it logs.
    pub log: Log,
    /// `[check]`: what `postline check` looks at beyond this machine.
    pub check: Check,
    /// `limits.mail_bytes`: the largest mail, in bytes; at most [`MAIL_BYTES`](postline_core::limits::MAIL_BYTES).
    pub mail_bytes: u64,
    /// `[beside]`: what of it stands beside another mail server.
    pub beside: Beside,
    /// `[passwords]`: what hashing a password costs.
    pub passwords: PasswordCost,
}

/// For whom the node runs devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostedDevices {
    /// For nobody.
    Off,
    /// For those whom the operator names.
    Asked,
}

/// Where the node listens; port 0 means any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Other servers' mail.
    pub smtp: Vec<SocketAddr>,
    /// Users' mail, STARTTLS.
    pub submission: Vec<SocketAddr>,
    /// Users' mail, TLS from the first byte.
    pub submissions: Vec<SocketAddr>,
    /// Other nodes' links.
    pub link: Vec<SocketAddr>,
}

/// Where the node shows pages by HTTP; port 0 means any free one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Metrics, health and the well-known document, without TLS.
    pub listen: Vec<SocketAddr>,
    /// The well-known document and sessions, under TLS.
    pub public: Vec<SocketAddr>,
    /// The origins of the pages that may open sessions, or `*`.
    pub origins: Vec<String>,
}

/// The certificate for SMTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// A server that takes all outgoing mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smarthost {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS is spoken.
    pub tls: SmarthostTls,
    /// The login, where it wants one. The password stays in its file, so that no configuration ever prints it.
    pub login: Option<SmarthostLogin>,
}

/// A login at a smarthost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmarthostLogin {
    /// The name.
    pub user: String,
    /// The file whose first line is the password: see [`first_line`](crate::private_file::first_line).
    pub password_file: PathBuf,
}

/// How TLS is spoken with a smarthost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmarthostTls {
    /// By STARTTLS, and not without.
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all; then without a login.
    None,
}

/// How domains' own words on their nodes are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryWish {
    /// What is made of records under DNSSEC.
    pub dnssec: Dnssec,
    /// DNSKEY records to trust instead of the root's.
    pub trust_anchor: Option<PathBuf>,
    /// Certificate authorities to trust instead of the system's, PEM.
    pub roots: Option<PathBuf>,
    /// The port of well-known documents.
    pub https_port: u16,
}

/// The keys that sign outgoing mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// Under which name the domains publish them.
    pub selector: String,
    /// Where they lie.
    pub dir: PathBuf,
}

/// What is shared with a Dovecot on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dovecot {
    /// The socket on which the node serves Dovecot's dict protocol.
    pub dict: Option<PathBuf>,
    /// The group that may open it, by name or number; `None`: only the node's own user.
    pub group: Option<String>,
    /// Dovecot's `auth-client` socket, which checks logins in place of the node's own users.
    pub auth: Option<PathBuf>,
}

/// How the node logs, to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// For whom.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

/// For whom logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What broke.
    Error,
    /// What the operator should look at.
    Warn,
    /// One line for each thing that happens to a mail, a pair, a link.
    Info,
    /// For who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// What `postline check` looks at beyond this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// A mail server to try port 25 with: a name or an address, and a port.
    pub outbound: Option<(String, u16)>,
    /// The command that prints a Postfix's configuration; empty: none.
    pub postconf: Vec<String>,
}

/// What hashing a password costs, by argon2id with one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl PasswordCost {
    /// What OWASP asks for at least: about 20 ms of one core.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2 };
}

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A key that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its full name.
    pub key: &'static str,
    /// Its value, as TOML in one line; `None`: nothing. No key holds a secret: those stand in files that keys name.
    pub value: Option<String>,
    /// Where the file says so; `None`: the default.
    pub at: Option<At>,
}

/// Why a configuration was refused. Each text starts with the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// The file can't be read.
    #[error("{}: {why}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The file is over its bound, or no text.
    #[error("{}: {what}", file.display())]
    NoText {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The text is no TOML.
    #[error("{at}: {why}")]
    Syntax {
        /// Where.
        at: At,
        /// What the parser says.
        why: String,
    },
    /// A key that nobody would read.
    #[error("{at}: unknown key `{key}`{}", hint.map(|hint| format!(", did you mean `{hint}`?")).unwrap_or_default())]
    UnknownKey {
        /// Where.
        at: At,
        /// The key as written.
        key: String,
        /// The known key that is nearest.
        hint: Option<&'static str>,
    },
    /// A value that can't be, or doesn't fit the others.
    #[error("{at}: `{key}`: {why}")]
    Value {
        /// Where.
        at: At,
        /// Of which key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A default that doesn't fit the other values.
    #[error("{}: `{key}`: {why}", file.display())]
    NoFit {
        /// In which file.
        file: PathBuf,
        /// Which key.
        key: String,
        /// Why not.
        why: String,
    },
    /// A key that must be there.
    #[error("{}: `{key}` is missing", file.display())]
    Missing {
        /// In which file.
        file: PathBuf,
        /// Which key.
        key: &'static str,
    },
}

/// A configuration that was read again.
#[derive(Debug)]
pub struct Reloaded {
    /// The new one.
    pub config: Config,
    /// The keys that changed and take effect only at the next start: until then the old values stay in force.
    pub waits_for_restart: Vec<&'static str>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigFault`], the first that is found.
    pub fn load(file: &Path) -> Result<Self, ConfigFault> {
        Self::parse(file, &text(file)?)
    }

    /// Every key of a configuration file, with its value and where it comes from.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn effective(file: &Path) -> Result<Vec<Effective>, ConfigFault> {
        file::effective(file, &text(file)?)
    }

    /// Reads a configuration from the text of `file`, which needn't exist.
    ///
    /// # Errors
    /// [`ConfigFault`], the first that is found.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigFault> {
        file::read(file, text)
    }

    /// Reads the file again, and says which changed keys wait for a restart.
    ///
    /// # Errors
    /// [`ConfigFault`]: then the old configuration stays in force.
    pub fn reload(&self) -> Result<Reloaded, ConfigFault> {
        let config = Self::load(&self.file)?;
        let waits_for_restart = KEYS
            .iter()
            .filter(|key| matches!(key.change, Change::Restart(same) if !same(self, &config)))
            .map(|key| key.path)
            .collect();
        Ok(Reloaded { config, waits_for_restart })
    }

    /// Where users and aliases are kept.
    #[must_use]
    pub fn users_file(&self) -> PathBuf {
        self.data_dir.join("users.json")
    }
}

/// The text of a configuration file.
fn text(file: &Path) -> Result<String, ConfigFault> {
    let read = |why| ConfigFault::Read { file: file.to_owned(), why };
    let mut bytes = Vec::new();
    std::fs::File::open(file).map_err(read)?.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
    let no_text = |what| ConfigFault::NoText { file: file.to_owned(), what };
    if bytes.len() as u64 > FILE_BYTES {
        return Err(no_text("more than 256 KiB"));
    }
    String::from_utf8(bytes).map_err(|_| no_text("not UTF-8"))
}
