//! Makes a node's directory: configuration, keys, a certificate to start with, and the DNS records to publish.
//!
//! ```text
//!   postline.toml (last, so that a broken init can be run again) · keys/ · tls/ · dkim/ · mail/
//! ```
//!
//! Nothing that is there is ever overwritten.

mod keys;

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use postline_core::id::{Domain, NodeKey};
use serde::Serialize;

use crate::config::{Config, ConfigFault, file_text};
use crate::dkim::{DkimFault, Signer, keygen};
use crate::private_file;
pub use keys::{KeyFault, KeyFiles, Rotated};

/// The first line of a certificate file that `init` made; PEM readers pass over it.
const SELF_SIGNED: &str = "# self-signed by `postline init`: mail programs will warn; put a real certificate here";

/// What a new node is to be.
#[derive(Clone, Debug)]
pub struct Init {
    /// Its directory, made where it isn't there.
    pub dir: PathBuf,
    /// The domains that it will serve.
    pub domains: Vec<Domain>,
    /// What it calls itself in SMTP.
    pub hostname: Domain,
    /// Further keys of the configuration: full name, value as TOML.
    pub settings: Vec<(String, String)>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The configuration.
    pub config: PathBuf,
    /// The node's key, hex.
    pub node_key: String,
    /// The seed of the next key, which should be moved to a safe place.
    pub next_seed: PathBuf,
    /// The records to publish.
    pub dns: Vec<DnsRecord>,
}

/// A DNS record to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// Its name, with the final dot.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its data as zone files have it, text unquoted.
    pub data: String,
}

impl fmt::Display for DnsRecord {
    /// A line for a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = if self.kind == "TXT" { quoted(&self.data) } else { self.data.clone() };
        write!(f, "{} {} {data}", self.name, self.kind)
    }
}

/// TXT data as zone files have it: strings of at most 255 bytes (RFC 1035 §3.3.14).
fn quoted(data: &str) -> String {
    let mut strings = vec![String::new()];
    for c in data.chars() {
        if strings.last().is_none_or(|last| last.len() + c.len_utf8() > 255) {
            strings.push(String::new());
        }
        if let Some(last) = strings.last_mut() {
            last.push(c);
        }
    }
    strings.iter().map(|string| format!("\"{}\"", string.replace('"', "\\\""))).collect::<Vec<_>>().join(" ")
}

/// Why nothing, or not all, was made.
#[derive(Debug, thiserror::Error)]
pub enum InitFault {
    /// There is a node already.
    #[error("{}: there is a node already", .0.display())]
    Exists(PathBuf),
    /// The wishes make no configuration.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// A further key that the configuration doesn't know.
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    /// The node's keys.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The certificate.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The DKIM keys.
    #[error(transparent)]
    Dkim(#[from] DkimFault),
    /// The disk.
    #[error("{}: {why}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// Makes a node's directory.
///
/// # Errors
/// [`InitFault`]. What was made until then stays, and is taken up when it is run again.
pub fn init(wish: &Init) -> Result<Made, InitFault> {
    let file = wish.dir.join("postline.toml");
    if file.exists() {
        return Err(InitFault::Exists(file));
    }
    let text = config_text(wish)?;
    let config = Config::parse(&file, &text)?;
    let keys = KeyFiles::of(&config.data_dir);
    for dir in [&config.data_dir, &config.data_dir.join("keys"), &config.dkim.dir, &config.maildir_root] {
        make_dir(dir)?;
    }
    let node_key: NodeKey = keys.make()?;
    make_certificate(&config)?;
    let dns = records_of(&config, node_key)?;
    if !private_file::create(&file, text.as_bytes()).map_err(|why| InitFault::Io { path: file.clone(), why })? {
        return Err(InitFault::Exists(file));
    }
    Ok(Made { config: file, node_key: node_key.to_string(), next_seed: keys.next_seed, dns })
}

/// The records that a node's domains are to publish. DKIM keys are made where they aren't there.
///
/// # Errors
/// [`DkimFault`] where a key can be neither read nor made.
pub fn records_of(config: &Config, node_key: NodeKey) -> Result<Vec<DnsRecord>, DkimFault> {
    let mut dns = records(config, node_key);
    for domain in &config.domains {
        dns.extend(dkim_records(config, domain)?);
    }
    Ok(dns)
}

/// Whether a certificate file is the one that `init` made.
#[must_use]
pub fn is_self_signed(cert: &Path) -> bool {
    let mut start = Vec::new();
    let read = std::fs::File::open(cert).and_then(|file| file.take(SELF_SIGNED.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == SELF_SIGNED.as_bytes()
}

fn config_text(wish: &Init) -> Result<String, InitFault> {
    let quoted = |domain: &Domain| format!("\"{domain}\"");
    let mut set = vec![
        ("data_dir".to_owned(), "\".\"".to_owned()),
        ("hostname".to_owned(), quoted(&wish.hostname)),
        ("domains".to_owned(), format!("[{}]", wish.domains.iter().map(quoted).collect::<Vec<_>>().join(", "))),
    ];
    for (key, value) in &wish.settings {
        if !crate::config::KEYS.iter().any(|known| known.path == key) {
            return Err(InitFault::UnknownKey(crate::shown::shown(key, 64)));
        }
        set.push((key.clone(), value.clone()));
    }
    Ok(file_text(&set))
}

fn make_dir(path: &Path) -> Result<(), InitFault> {
    private_file::create_dir(path).map_err(|why| InitFault::Io { path: path.to_owned(), why })
}

/// Makes a self-signed certificate for the host name and the domains, where there is none.
fn make_certificate(config: &Config) -> Result<(), InitFault> {
    if config.tls.cert.exists() && config.tls.key.exists() {
        return Ok(());
    }
    let names = std::iter::once(&config.hostname).chain(&config.domains).map(Domain::to_string);
    let made = rcgen::generate_simple_self_signed(names.collect::<Vec<_>>())?;
    let cert = format!("{SELF_SIGNED}\n{}", made.cert.pem());
    let key = zeroize::Zeroizing::new(made.signing_key.serialize_pem());
    // Both or none: halves of two pairs would be worse than nothing.
    for (path, text) in [(&config.tls.key, key.as_bytes()), (&config.tls.cert, cert.as_bytes())] {
        if let Some(dir) = path.parent() {
            make_dir(dir)?;
        }
        private_file::replace(path, text).map_err(|why| InitFault::Io { path: path.clone(), why })?;
    }
    Ok(())
}

/// The records of a domain's DKIM keys, which are made where they aren't there.
fn dkim_records(config: &Config, domain: &Domain) -> Result<Vec<DnsRecord>, DkimFault> {
    let (dir, selector) = (&config.dkim.dir, &config.dkim.selector);
    let published = match Signer::load(dir, domain, selector) {
        Ok(signer) => signer.records(),
        // What is there and can't be read is not overwritten: this says so then.
        Err(_) => keygen(dir, domain, selector)?,
    };
    let record =
        |key: crate::dkim::Published| DnsRecord { name: format!("{}.", key.name), kind: "TXT".into(), data: key.text };
    Ok(published.into_iter().map(record).collect())
}

/// The records that every domain of a node needs, DKIM's apart.
fn records(config: &Config, nk: NodeKey) -> Vec<DnsRecord> {
    let record = |name: String, kind: &str, data: String| DnsRecord { name, kind: kind.into(), data };
    let host = &config.hostname;
    let of = |domain: &Domain| {
        let mail = [
            record(format!("{domain}."), "MX", format!("10 {host}.")),
            record(format!("{domain}."), "TXT", "v=spf1 mx -all".into()),
            record(format!("_dmarc.{domain}."), "TXT", "v=DMARC1; p=quarantine".into()),
        ];
        mail.into_iter().chain(crate::discovery::records(nk, config, domain))
    };
    config.domains.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_txt_data_is_cut_into_strings() {
        let text = quoted(&"k".repeat(300));
        assert_eq!(text, format!("\"{}\" \"{}\"", "k".repeat(255), "k".repeat(45)));
    }
}
