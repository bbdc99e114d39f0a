//! From the text of a file to a [`Config`]: known keys only, then values, then values that fit each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use postline_core::id::Domain;
use postline_core::limits;
use postline_core::net::Allowed;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::beside::{Beside, Place};

use super::keys::{Default, KEYS, Key, is_key, is_section, nearest};
use crate::dns::Dnssec;

use super::value::{Host, HostPort, LinkHint, ListenAt, NameServer, Nets, Origin, Selector, Text};
use super::{
    At, Check, Config, ConfigFault, DiscoveryWish, Dkim, Dovecot, Effective, HostedDevices, Http, Listen, Log,
    LogFormat, LogLevel, PasswordCost, Smarthost, SmarthostLogin, SmarthostTls, Tls,
};

/// The longest path of a unix socket, in bytes (`sun_path` less its NUL).
const SOCKET_PATH_BYTES: usize = 107;
/// The least that `limits.mail_bytes` may be (RFC 5321 §4.5.3.1.7).
const MAIL_BYTES_MIN: u64 = 64 * 1024;

/// Reads the text of `file`.
pub(super) fn read(file: &Path, text: &str) -> Result<Config, ConfigFault> {
    let source = Source::scan(file, text)?;
    let raw: Raw = toml::from_str(text).map_err(|error| source.refused(&error))?;
    raw.check(&source)
}

/// Every key that is in force, with its value and where it comes from.
pub(super) fn effective(file: &Path, text: &str) -> Result<Vec<Effective>, ConfigFault> {
    // What can't be used is in force nowhere.
    read(file, text)?;
    let source = Source::scan(file, text)?;
    let row = |key: &Key| match source.keys.get(key.path) {
        None => Effective {
            key: key.path,
            value: if let Default::Is(value) = key.default { Some(value.to_owned()) } else { None },
            at: None,
        },
        Some(span) => {
            let written = text.get(span.clone()).and_then(|pair| pair.split_once('=')).map_or("", |(_, value)| value);
            // One line, however it is written there.
            let value = toml::from_str::<toml::Table>(&format!("v = {}", written.trim_start()));
            let value = value.ok().and_then(|mut table| table.remove("v")).map(|value| value.to_string());
            Effective { key: key.path, value, at: Some(source.at(span.start)) }
        }
    };
    Ok(KEYS.iter().map(row).collect())
}

/// The file as written: which keys stand where.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    /// Each key with the bytes from its name to the end of its value.
    keys: BTreeMap<String, Range<usize>>,
}

impl<'a> Source<'a> {
    /// Finds every key, and refuses the first that is unknown.
    fn scan(file: &'a Path, text: &'a str) -> Result<Self, ConfigFault> {
        let mut source = Self { file, text, keys: BTreeMap::new() };
        let table = DeTable::parse(text).map_err(|error| source.refused(&error))?;
        let mut found = Vec::new();
        for (key, value) in table.get_ref() {
            let name = key.get_ref().to_string();
            if !is_section(&name) {
                found.push((name, key.span().start..value.span().end));
                continue;
            }
            let DeValue::Table(inner) = value.get_ref() else {
                let why = format!("want a section, [{name}]");
                return Err(ConfigFault::Value { at: source.at(key.span().start), key: name, why });
            };
            for (key, value) in inner {
                found.push((format!("{name}.{}", key.get_ref()), key.span().start..value.span().end));
            }
        }
        found.sort_by_key(|(_, span)| span.start);
        for (key, span) in found {
            if !is_key(&key) {
                let hint = nearest(&key);
                return Err(ConfigFault::UnknownKey {
                    at: source.at(span.start),
                    hint,
                    key: crate::shown::shown(&key, 100),
                });
            }
            source.keys.insert(key, span);
        }
        Ok(source)
    }

    fn at(&self, byte: usize) -> At {
        let before = self.text.as_bytes().iter().take(byte);
        At { file: self.file.to_owned(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    /// What the TOML library refused, with the key in which it did.
    fn refused(&self, error: &toml::de::Error) -> ConfigFault {
        let byte = error.span().map_or(0, |span| span.start);
        let at = self.at(byte);
        // The library quotes the text that it met; a file that isn't ours may be anything.
        let why = crate::shown::shown(error.message(), 200);
        match self.keys.iter().find(|(_, span)| span.contains(&byte)) {
            Some((key, _)) => ConfigFault::Value { at, key: key.clone(), why },
            None => ConfigFault::Syntax { at, why },
        }
    }

    /// A value that doesn't fit.
    fn fault(&self, key: &str, why: impl Into<String>) -> ConfigFault {
        match self.keys.get(key) {
            Some(span) => ConfigFault::Value { at: self.at(span.start), key: key.to_owned(), why: why.into() },
            None => ConfigFault::NoFit { file: self.file.to_owned(), key: key.to_owned(), why: why.into() },
        }
    }

    /// The values of a list.
    fn list<T: FromStr<Err: Display>>(&self, key: &str, list: List) -> Result<Vec<T>, ConfigFault> {
        let value = |item: Spanned<String>| {
            let text = item.get_ref();
            text.parse().map_err(|why| {
                let why = format!("\"{}\": {why}", crate::shown::shown(text, 200));
                ConfigFault::Value { at: self.at(item.span().start), key: key.to_owned(), why }
            })
        };
        list.into_iter().map(value).collect()
    }

    fn missing(&self, key: &'static str) -> ConfigFault {
        ConfigFault::Missing { file: self.file.to_owned(), key }
    }
}

/// A list of texts, each with its place.
type List = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data_dir: Option<PathBuf>,
    hostname: Option<Text<Domain>>,
    domains: Option<List>,
    postmaster: Option<String>,
    offers: Option<bool>,
    #[serde(default)]
    hosted: RawHosted,
    #[serde(default)]
    listen: RawListen,
    #[serde(default)]
    tls: RawTls,
    #[serde(default)]
    link: RawLink,
    #[serde(default)]
    smarthost: RawSmarthost,
    #[serde(default)]
    dns: RawDns,
    #[serde(default)]
    discovery: RawDiscovery,
    #[serde(default)]
    dial: RawDial,
    #[serde(default)]
    dkim: RawDkim,
    #[serde(default)]
    maildir: RawMaildir,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    dovecot: RawDovecot,
    #[serde(default)]
    admin: RawAdmin,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    check: RawCheck,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    beside: RawBeside,
    #[serde(default)]
    passwords: RawPasswords,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHosted {
    devices: Option<HostedDevices>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    smtp: Option<List>,
    submission: Option<List>,
    submissions: Option<List>,
    link: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLink {
    advertise: Option<Text<LinkHint>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSmarthost {
    host: Option<Text<Host>>,
    port: Option<u16>,
    tls: Option<SmarthostTls>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDns {
    servers: Option<List>,
    zone_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDiscovery {
    dnssec: Option<Dnssec>,
    trust_anchor: Option<PathBuf>,
    roots: Option<PathBuf>,
    https_port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDial {
    allow_private: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDkim {
    selector: Option<Text<Selector>>,
    dir: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMaildir {
    root: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    listen: Option<List>,
    public: Option<List>,
    origins: Option<List>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDovecot {
    dict: Option<PathBuf>,
    group: Option<String>,
    auth: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    socket: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    format: Option<LogFormat>,
    level: Option<LogLevel>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    outbound: Option<Text<HostPort>>,
    postconf: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    mail_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBeside {
    milter: Option<Text<Place>>,
    lmtp_in: Option<Text<Place>>,
    lmtp_out: Option<Text<Place>>,
    reinject: Option<Text<Place>>,
    deliver: Option<Text<Place>>,
    allow_remote: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPasswords {
    memory_kib: Option<u32>,
    passes: Option<u32>,
}

impl Raw {
    fn check(self, source: &Source<'_>) -> Result<Config, ConfigFault> {
        let beside = source.file.parent().unwrap_or(Path::new(""));
        let data_dir = beside.join(self.data_dir.ok_or_else(|| source.missing("data_dir"))?);
        // Without the `.` in `dir/.`, which can't be made.
        let data_dir: PathBuf = data_dir.components().collect();
        let inside = |path: Option<PathBuf>, default: &str| data_dir.join(path.unwrap_or_else(|| default.into()));
        let hostname = self.hostname.ok_or_else(|| source.missing("hostname"))?.0;
        let domains = check_domains(source, self.domains)?;
        let postmaster = self.postmaster.unwrap_or_else(|| "postmaster".into());
        if let Err(why) = crate::directory::mailbox_name(&postmaster) {
            return Err(source.fault("postmaster", why.to_string()));
        }
        let advertise = self.link.advertise.map(|hint| hint.0.0);
        if let Some(hint) = advertise.as_ref().filter(|hint| !domains.iter().any(|domain| hint.within(domain))) {
            return Err(source.fault("link.advertise", format!("{} lies in none of `domains`", hint.host)));
        }
        let admin_socket = inside(self.admin.socket, "admin.sock");
        socket_path(source, "admin.socket", &admin_socket, SOCKET_PATH_BYTES)?;
        let servers: Vec<NameServer> = source.list("dns.servers", self.dns.servers.unwrap_or_default())?;
        if self.dns.zone_file.is_some() && !servers.is_empty() {
            return Err(source.fault("dns.servers", "says nothing with `dns.zone_file`"));
        }
        let nets: Vec<Nets> = source.list("dial.allow_private", self.dial.allow_private.unwrap_or_default())?;
        let nets = nets.iter().flat_map(|Nets(nets)| nets).map(String::as_str);
        let allow_private = Allowed::parse(nets).map_err(|bad| source.fault("dial.allow_private", bad.to_string()))?;
        let mail_bytes = self.limits.mail_bytes.unwrap_or(limits::MAIL_BYTES);
        within(source, "limits.mail_bytes", mail_bytes, MAIL_BYTES_MIN, limits::MAIL_BYTES)?;
        let passwords = PasswordCost {
            memory_kib: self.passwords.memory_kib.unwrap_or(PasswordCost::DEFAULT.memory_kib),
            passes: self.passwords.passes.unwrap_or(PasswordCost::DEFAULT.passes),
        };
        within(source, "passwords.memory_kib", passwords.memory_kib.into(), 64, 1024 * 1024)?;
        within(source, "passwords.passes", passwords.passes.into(), 1, 16)?;
        Ok(Config {
            file: source.file.to_owned(),
            hostname,
            domains,
            postmaster,
            offers: self.offers.unwrap_or(true),
            hosted_devices: self.hosted.devices.unwrap_or(HostedDevices::Asked),
            listen: Listen {
                smtp: listen(source, "listen.smtp", self.listen.smtp, 25)?,
                submission: listen(source, "listen.submission", self.listen.submission, 587)?,
                submissions: listen(source, "listen.submissions", self.listen.submissions, 465)?,
                link: listen(source, "listen.link", self.listen.link, 7678)?,
            },
            tls: Tls { cert: inside(self.tls.cert, "tls/cert.pem"), key: inside(self.tls.key, "tls/key.pem") },
            advertise,
            smarthost: self.smarthost.check(source, &data_dir)?,
            zone_file: self.dns.zone_file.map(|path| data_dir.join(path)),
            name_servers: servers.into_iter().map(|NameServer(at)| at).collect(),
            discovery: self.discovery.check(source, &data_dir)?,
            allow_private,
            dkim: Dkim {
                selector: self.dkim.selector.map_or_else(|| "postline".into(), |selector| selector.0.0),
                dir: inside(self.dkim.dir, "dkim"),
            },
            maildir_root: inside(self.maildir.root, "mail"),
            http: Http {
                listen: addresses(source, "http.listen", self.http.listen)?,
                public: addresses(source, "http.public", self.http.public)?,
                origins: source
                    .list("http.origins", self.http.origins.unwrap_or_default())?
                    .into_iter()
                    .map(|Origin(origin)| origin)
                    .collect(),
            },
            dovecot: self.dovecot.check(source, &data_dir)?,
            admin_socket,
            log: Log {
                format: self.log.format.unwrap_or(LogFormat::Text),
                level: self.log.level.unwrap_or(LogLevel::Info),
            },
            check: Check {
                outbound: self.check.outbound.map(|Text(HostPort(host, port))| (host, port)),
                postconf: self.check.postconf.unwrap_or_default(),
            },
            mail_bytes,
            beside: self.beside.check(source)?,
            passwords,
            data_dir,
        })
    }
}

impl RawBeside {
    fn check(self, source: &Source<'_>) -> Result<Beside, ConfigFault> {
        let place = |text: Option<Text<Place>>| text.map(|Text(place)| place);
        let (milter, lmtp_in, lmtp_out) = (place(self.milter), place(self.lmtp_in), place(self.lmtp_out));
        let doors = [("beside.milter", &milter), ("beside.lmtp_in", &lmtp_in), ("beside.lmtp_out", &lmtp_out)];
        if !self.allow_remote.unwrap_or(false)
            && let Some((key, place)) = doors.iter().find(|(_, place)| place.as_ref().is_some_and(|at| !at.is_local()))
        {
            let place = place.as_ref().map(ToString::to_string).unwrap_or_default();
            let why = format!("{place} can be reached from elsewhere, and who reaches it can write as anybody here");
            return Err(source.fault(key, format!("{why}; `beside.allow_remote = true` allows it")));
        }
        let reinject = place(self.reinject);
        if lmtp_out.is_some() && reinject.is_none() {
            return Err(source.fault("beside.lmtp_out", "wants `beside.reinject` too: where what has no line goes on"));
        }
        if reinject.is_some() && reinject == lmtp_out {
            return Err(source.fault("beside.reinject", "leads back to `beside.lmtp_out`"));
        }
        let deliver = place(self.deliver);
        if deliver.is_some() && deliver == lmtp_in {
            return Err(source.fault("beside.deliver", "leads back to `beside.lmtp_in`"));
        }
        Ok(Beside { milter, lmtp_in, lmtp_out, reinject, deliver })
    }
}

impl RawDiscovery {
    fn check(self, source: &Source<'_>, data_dir: &Path) -> Result<DiscoveryWish, ConfigFault> {
        let https_port = self.https_port.unwrap_or(443);
        if https_port == 0 {
            return Err(source.fault("discovery.https_port", "want a port from 1 to 65535"));
        }
        let dnssec = self.dnssec.unwrap_or_default();
        if dnssec == Dnssec::Off && self.trust_anchor.is_some() {
            return Err(source.fault("discovery.trust_anchor", "says nothing with `discovery.dnssec` off"));
        }
        let inside = |path: Option<PathBuf>| path.map(|path| data_dir.join(path));
        Ok(DiscoveryWish { dnssec, trust_anchor: inside(self.trust_anchor), roots: inside(self.roots), https_port })
    }
}

impl RawSmarthost {
    fn check(self, source: &Source<'_>, data_dir: &Path) -> Result<Option<Smarthost>, ConfigFault> {
        let Some(Text(Host(host))) = self.host else {
            return match source.keys.keys().find(|key| key.starts_with("smarthost.")) {
                Some(key) => Err(source.fault(key, "says nothing without `smarthost.host`")),
                None => Ok(None),
            };
        };
        let tls = self.tls.unwrap_or(SmarthostTls::Starttls);
        let login = match (self.user, self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some(SmarthostLogin { user, password_file: data_dir.join(file) }),
            (Some(_), None) => return Err(source.fault("smarthost.user", "wants `smarthost.password_file` too")),
            (None, Some(_)) => return Err(source.fault("smarthost.password_file", "wants `smarthost.user` too")),
        };
        if tls == SmarthostTls::None && login.is_some() {
            return Err(source.fault("smarthost.tls", "a password never goes without TLS"));
        }
        let port = self.port.unwrap_or(587);
        if port == 0 {
            return Err(source.fault("smarthost.port", "want a port from 1 to 65535"));
        }
        Ok(Some(Smarthost { host, port, tls, login }))
    }
}

impl RawDovecot {
    fn check(self, source: &Source<'_>, data_dir: &Path) -> Result<Dovecot, ConfigFault> {
        let Self { dict, group, auth } = self;
        if dict.is_none() && group.is_some() {
            return Err(source.fault("dovecot.group", "says nothing without `dovecot.dict`"));
        }
        let (dict, auth) = (dict.map(|path| data_dir.join(path)), auth.map(|path| data_dir.join(path)));
        if let Some(path) = &dict {
            // It is made under a longer name first.
            socket_path(source, "dovecot.dict", path, SOCKET_PATH_BYTES - ".new".len())?;
        }
        if let Some(path) = &auth {
            socket_path(source, "dovecot.auth", path, SOCKET_PATH_BYTES)?;
        }
        Ok(Dovecot { dict, group, auth })
    }
}

fn socket_path(source: &Source<'_>, key: &str, path: &Path, max: usize) -> Result<(), ConfigFault> {
    let bytes = path.as_os_str().len();
    if bytes > max {
        return Err(source.fault(key, format!("the socket's path has {bytes} bytes, at most {max}")));
    }
    Ok(())
}

fn check_domains(source: &Source<'_>, domains: Option<List>) -> Result<Vec<Domain>, ConfigFault> {
    let domains: Vec<Domain> = source.list("domains", domains.ok_or_else(|| source.missing("domains"))?)?;
    let mut seen = BTreeSet::new();
    match domains.iter().find(|domain| !seen.insert(*domain)) {
        Some(twice) => Err(source.fault("domains", format!("{twice} stands twice"))),
        None if domains.is_empty() => Err(source.fault("domains", "want one domain at least")),
        None => Ok(domains),
    }
}

fn within(source: &Source<'_>, key: &str, got: u64, min: u64, max: u64) -> Result<(), ConfigFault> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(source.fault(key, format!("{got}, want {min} to {max}"))) }
}

fn listen(source: &Source<'_>, key: &str, at: Option<List>, port: u16) -> Result<Vec<SocketAddr>, ConfigFault> {
    if at.is_none() {
        return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    addresses(source, key, at)
}

fn addresses(source: &Source<'_>, key: &str, at: Option<List>) -> Result<Vec<SocketAddr>, ConfigFault> {
    Ok(source.list(key, at.unwrap_or_default())?.into_iter().map(|ListenAt(at)| at).collect())
}
