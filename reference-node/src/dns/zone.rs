//! A fixed zone: what DNS would say, in one small text.
//!
//! ```text
//!   # name                    type  value
//!   b.example                 MX    10 mx.b.example:2525    # a port is ours alone: DNS has none here
//!   mx.b.example              A     127.0.0.1
//!   1.0.0.127.in-addr.arpa    PTR   mx.b.example
//!   _postline._tcp.b.example  SRV   0 0 7678 mx.b.example
//!   s._domainkey.b.example    TXT   "v=DKIM1; p=..."
//!   broken.example            FAIL                          # every look-up of this name fails for now
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use postline_core::id::Domain;

use super::{Data, DnsFault, Exchange, Kind, Service};

/// Names and what they say. Everything else doesn't exist.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Zone {
    records: BTreeMap<String, Vec<Data>>,
    failing: BTreeSet<String>,
}

/// A line of a zone that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zone line {line}: want {want}, got {got:?}")]
pub struct ZoneFault {
    /// Which line, from 1.
    pub line: usize,
    /// What would be right.
    pub want: &'static str,
    /// What stands there.
    pub got: String,
}

impl Zone {
    /// Reads `name TYPE value` lines: A, AAAA, MX, PTR, SRV, TXT, FAIL. `#` after white space, or first, starts a comment.
    ///
    /// # Errors
    /// [`ZoneFault`] for the first line that is none.
    pub fn parse(text: &str) -> Result<Self, ZoneFault> {
        let mut zone = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = uncomment(text);
            if !text.is_empty() {
                zone.take(text).map_err(|want| ZoneFault { line, want, got: text.to_owned() })?;
            }
        }
        Ok(zone)
    }

    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        let (name, rest) = word(line);
        let (kind, value) = word(rest);
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let data = match kind {
            "A" => Data::A(read(value, "an IPv4 address")?),
            "AAAA" => Data::Aaaa(read(value, "an IPv6 address")?),
            "MX" => mx(value)?,
            "PTR" => Data::Ptr(host_name(value, "a host name")?),
            "SRV" => Data::Srv(srv(value)?),
            "TXT" => Data::Txt(txt(value)?),
            "FAIL" if value.is_empty() => {
                self.failing.insert(name);
                return Ok(());
            }
            _ => return Err("name, one of A AAAA MX PTR SRV TXT FAIL, value"),
        };
        self.records.entry(name).or_default().push(data);
        Ok(())
    }

    pub(super) fn records(&self, name: &str, kind: Kind) -> Result<Vec<Data>, DnsFault> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if self.failing.contains(&name) {
            return Err(DnsFault::Temporary(format!("{name} fails in this zone")));
        }
        super::some(self.records.get(&name).into_iter().flatten().filter(|data| data.kind() == kind).cloned())
    }
}

fn mx(value: &str) -> Result<Data, &'static str> {
    const WANT: &str = "preference, then a host, host:port, or the dot that means: no mail";
    let (preference, target) = word(value);
    let preference = read(preference, WANT)?;
    if target == "." {
        return Ok(Data::NullMx);
    }
    let (host, port) = match target.split_once(':') {
        Some((host, port)) => (host, Some(read(port, WANT)?)),
        None => (target, None),
    };
    Ok(Data::Mx(Exchange { preference, host: host_name(host, WANT)?, port }))
}

fn srv(value: &str) -> Result<Service, &'static str> {
    const WANT: &str = "priority, weight, port, host";
    let (priority, rest) = word(value);
    let (weight, rest) = word(rest);
    let (port, target) = word(rest);
    let host = if target == "." { None } else { Some(host_name(target, WANT)?) };
    Ok(Service { priority: read(priority, WANT)?, weight: read(weight, WANT)?, port: read(port, WANT)?, host })
}

/// Quoted strings, joined; or the bare rest of the line.
fn txt(value: &str) -> Result<Vec<u8>, &'static str> {
    const WANT: &str = "a text, bare or in double quotes";
    if value.is_empty() {
        return Err(WANT);
    }
    if !value.starts_with('"') {
        return Ok(value.as_bytes().to_vec());
    }
    let (mut text, mut rest) = (Vec::new(), value);
    while let Some(open) = rest.strip_prefix('"') {
        let (string, after) = open.split_once('"').ok_or(WANT)?;
        text.extend_from_slice(string.as_bytes());
        rest = after.trim_start();
    }
    if rest.is_empty() { Ok(text) } else { Err(WANT) }
}

fn host_name(text: &str, want: &'static str) -> Result<Domain, &'static str> {
    Domain::parse(text.trim_end_matches('.')).map_err(|_| want)
}

fn read<T: FromStr>(text: &str, want: &'static str) -> Result<T, &'static str> {
    text.parse().map_err(|_| want)
}

fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

fn uncomment(line: &str) -> &str {
    let (mut quoted, mut after_space) = (false, true);
    for (at, c) in line.char_indices() {
        match c {
            '#' if after_space && !quoted => return line.split_at(at).0.trim(),
            '"' => quoted = !quoted,
            _ => {}
        }
        after_space = c.is_whitespace();
    }
    line.trim()
}
