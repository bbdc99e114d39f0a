//! Answers for people: tables and lines, every string escaped; and JSON that no terminal obeys.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::admin::{Answer, QueueRow, Status, TraceRow, TrustRow};
use crate::backup::{Manifest, Restored};
use crate::check::{Finding, Level};
use crate::config::Effective;
use crate::directory::Directory;
use crate::discovery::Published;
use crate::init::{DnsRecord, Made, Rotated};
use crate::shown::{hides, shown};
use crate::words::utc;

/// The longest cell, in bytes.
const CELL_BYTES: usize = 120;

/// Writes an answer for people.
pub(super) fn answer(to: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Done {} => writeln!(to, "done"),
        Answer::Reloaded { waits_for_restart } if waits_for_restart.is_empty() => writeln!(to, "reloaded"),
        Answer::Reloaded { waits_for_restart } => {
            writeln!(to, "reloaded; waits for a restart: {}", shown(&waits_for_restart.join(", "), 1_024))
        }
        Answer::Status(status) => self::status(to, status),
        Answer::TrustList { pairs, more } => trust_list(to, pairs, *more),
        Answer::TrustShow(row) => trust_show(to, row),
        Answer::BlockedDomains { domains } => table(to, ["DOMAIN"], domains.iter().map(|domain| [domain.clone()])),
        Answer::QueueList { entries, more } => queue_list(to, entries, *more),
        Answer::Trace { events } => trace(to, events),
        // The caller made it an error.
        Answer::Refused(refusal) => writeln!(to, "{}", shown(&refusal.message, 1_024)),
    }
}

/// Writes JSON in one line. What a terminal would obey is written as `\u…`, so the value is the same.
pub(super) fn json(to: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Inert))?;
    line.push(b'\n');
    to.write_all(&line)
}

struct Inert;

impl serde_json::ser::Formatter for Inert {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = fragment;
        while let Some((at, c)) = plain.char_indices().find(|(_, c)| hides(*c)) {
            let (front, rest) = plain.split_at(at);
            writer.write_all(front.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = rest.strip_prefix(c).unwrap_or_default();
        }
        writer.write_all(plain.as_bytes())
    }
}

/// Writes what `init` made.
pub(super) fn made(to: &mut dyn Write, made: &Made) -> io::Result<()> {
    let next = made.next_seed.display();
    writeln!(to, "made {}", made.config.display())?;
    writeln!(to, "node key {}", made.node_key)?;
    writeln!(to)?;
    writeln!(to, "!! BACK UP {next}, then remove it from this machine.")?;
    writeln!(to, "!! When the node's key is lost or leaks, only that file lets correspondents believe the next one;")?;
    writeln!(to, "!! without it every line has to be opened anew.")?;
    writeln!(to)?;
    writeln!(
        to,
        "The certificate is self-signed: mail programs will warn until tls.cert and tls.key name a real one."
    )?;
    writeln!(to)?;
    writeln!(to, "Publish these records:")?;
    zone(to, &made.dns)?;
    writeln!(to)?;
    writeln!(to, "`postline discovery show` prints the document that proves the node's key without DNSSEC.")?;
    writeln!(to)?;
    writeln!(to, "Then add the postmaster and your users with `postline user add`, and run `postline serve`.")
}

/// Writes what other nodes are to find.
pub(super) fn published(to: &mut dyn Write, published: &Published) -> io::Result<()> {
    writeln!(to, "Serve this as {} at", published.media_type)?;
    for url in &published.urls {
        writeln!(to, "  {url}")?;
    }
    writeln!(to)?;
    write!(to, "{}", published.document)?;
    writeln!(to)?;
    writeln!(to, "And publish these records; the TXT record counts only where the zone is signed (DNSSEC):")?;
    zone(to, &published.dns)
}

/// Records as zone files have them.
fn zone(to: &mut dyn Write, records: &[DnsRecord]) -> io::Result<()> {
    for record in records {
        writeln!(to, "  {record}")?;
    }
    Ok(())
}

/// Writes what `node rotate` did.
pub(super) fn rotated(to: &mut dyn Write, rotated: &Rotated) -> io::Result<()> {
    let next = rotated.next_seed.display();
    writeln!(to, "node key {}, was {}", rotated.node_key, rotated.former_key)?;
    writeln!(to)?;
    writeln!(to, "!! BACK UP {next}, then remove it from this machine. The former key is gone.")?;
    writeln!(to, "!! Where a domain publishes the node's key, publish the new one now, then start the node.")?;
    writeln!(to, "!! Change the key again only once your correspondents' nodes have met this one: whoever was away")?;
    writeln!(to, "!! for two changes takes it for another node.")
}

/// Says what a backup holds.
pub(super) fn backup(to: &mut dyn Write, dir: &Path, made: &Manifest, hash: &str) -> io::Result<()> {
    let bytes: u64 = made.files.iter().map(|file| file.bytes).sum();
    let (files, records, dir) = (made.files.len(), made.records, dir.display());
    writeln!(
        to,
        "backed up to {dir}: {files} files, {bytes} bytes, {records} records, generation {}",
        made.generation
    )?;
    writeln!(to, "manifest sha256 {hash}")?;
    writeln!(to)?;
    writeln!(to, "!! It holds the node's secrets: keep it as you keep the keys. Mailboxes are not part of it.")
}

/// Says what was made of a backup.
pub(super) fn restored(to: &mut dyn Write, made: &Restored) -> io::Result<()> {
    writeln!(to, "restored {}, as of {}", made.config.display(), utc(made.made_ms))?;
    writeln!(to, "node key {}", made.node_key)?;
    writeln!(to, "generation {}", made.generation)?;
    for kept in &made.kept {
        writeln!(to, "kept {}, which was there", kept.display())?;
    }
    writeln!(to)?;
    writeln!(to, "!! Never start the old node again: other nodes refuse it once they have seen this one.")?;
    writeln!(to, "Mail that waited when the backup was made waits again; then run `postline serve`.")
}

/// Writes the keys that are in force, as TOML.
pub(super) fn keys(to: &mut dyn Write, keys: &[Effective], origin: bool) -> io::Result<()> {
    for Effective { key, value, at } in keys {
        let line = match value {
            Some(value) => format!("{key} = {}", shown(value, 4_096)),
            None => format!("# {key} is not set"),
        };
        match (origin, at) {
            (false, _) => writeln!(to, "{line}")?,
            (true, Some(at)) => writeln!(to, "{line}  # {}", shown(&at.to_string(), 1_024))?,
            (true, None) => writeln!(to, "{line}  # default")?,
        }
    }
    Ok(())
}

/// The same for programs: an object a key.
pub(super) fn keys_json(keys: &[Effective], origin: bool) -> Vec<serde_json::Value> {
    let row = |Effective { key, value, at }: &Effective| {
        let mut row = serde_json::Map::new();
        row.insert("key".to_owned(), (*key).into());
        row.insert("value".to_owned(), value.clone().into());
        if origin {
            let (from, file, line) = match at {
                Some(at) => ("file", Some(at.file.display().to_string()), Some(at.line)),
                None => ("default", None, None),
            };
            row.insert("origin".to_owned(), from.into());
            row.insert("file".to_owned(), file.into());
            row.insert("line".to_owned(), line.into());
        }
        row.into()
    };
    keys.iter().map(row).collect()
}

/// Writes what was found: a line each, and its next step below.
pub(super) fn findings(to: &mut dyn Write, findings: &[Finding], brief: bool) -> io::Result<()> {
    for finding in findings {
        let mark = match finding.level {
            Level::Ok | Level::Skipped if brief => continue,
            Level::Ok => "ok      ",
            Level::Skipped => "skipped ",
            Level::Warning => "warning ",
            Level::Failure => "FAILURE ",
        };
        let about = if finding.about.is_empty() { String::new() } else { format!(" {}", shown(&finding.about, 200)) };
        writeln!(to, "{mark} {}{about}: {}", finding.id, shown(&finding.cause, 400))?;
        if !finding.next.is_empty() {
            writeln!(to, "          -> {}", shown(&finding.next, 400))?;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (ok, skipped) = (count(Level::Ok), count(Level::Skipped));
    writeln!(to, "{ok} ok, {skipped} skipped, {} warnings, {} failures", count(Level::Warning), count(Level::Failure))
}

/// Writes the users.
pub(super) fn users(to: &mut dyn Write, directory: &Directory) -> io::Result<()> {
    let row = |user| {
        let aliases = directory.aliases().filter(|(_, leads)| *leads == user).map(|(alias, _)| alias.to_string());
        [format!("{user}"), aliases.collect::<Vec<_>>().join(", ")]
    };
    table(to, ["USER", "ALIASES"], directory.users().map(row))
}

/// Writes the aliases.
pub(super) fn aliases(to: &mut dyn Write, directory: &Directory) -> io::Result<()> {
    table(to, ["ALIAS", "USER"], directory.aliases().map(|(alias, user)| [alias.to_string(), user.to_string()]))
}

fn status(to: &mut dyn Write, status: &Status) -> io::Result<()> {
    let listen = status.listen.iter().map(|(role, at)| format!("{role} {}", at.join(" "))).collect::<Vec<_>>();
    let queued = status.queued.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    let state = match (status.draining, status.clock_held) {
        (true, _) => "going down",
        (false, true) => "clock jumped: nothing expires until `postline clock accept`",
        (false, false) => "up",
    };
    let rows = [
        ["state".to_owned(), state.to_owned()],
        ["version".to_owned(), status.version.clone()],
        ["node key".to_owned(), status.node_key.clone()],
        ["domains".to_owned(), status.domains.join(" ")],
        ["listens".to_owned(), listen.join(", ")],
        ["up for".to_owned(), format!("{} s", status.uptime_ms / 1_000)],
        ["store generation".to_owned(), status.store_generation.to_string()],
        ["links".to_owned(), status.links.len().to_string()],
        ["waiting".to_owned(), if queued.is_empty() { "nothing".to_owned() } else { queued.join(", ") }],
        ["users".to_owned(), status.users.to_string()],
    ];
    let warnings = status.warnings.iter().map(|warning| ["warning".to_owned(), warning.clone()]);
    lines(to, rows.into_iter().chain(warnings))
}

fn trust_list(to: &mut dyn Write, pairs: &[TrustRow], more: bool) -> io::Result<()> {
    let keys = |row: &TrustRow| row.keys.clone().unwrap_or_default();
    let row = |row: &TrustRow| [row.ours.clone(), row.theirs.clone(), row.state.clone(), keys(row)];
    table(to, ["OURS", "THEIRS", "STATE", "KEYS"], pairs.iter().map(row))?;
    more_line(to, more)
}

fn trust_show(to: &mut dyn Write, row: &TrustRow) -> io::Result<()> {
    let some = |name: &str, value: Option<String>| value.map(|value| [name.to_owned(), value]);
    let rows = [
        some("ours", Some(row.ours.clone())),
        some("theirs", Some(row.theirs.clone())),
        some("state", Some(row.state.clone())),
        some("keys", row.keys.clone()),
        some("node key", row.node_key.clone()),
        some("proposed key", row.proposed_key.clone()),
        some("until", row.until_ms.map(utc)),
        some("offers", row.offers.map(|count| count.to_string())),
        some("held", row.held.map(|count| count.to_string())),
    ];
    lines(to, rows.into_iter().flatten())
}

fn queue_list(to: &mut dyn Write, entries: &[QueueRow], more: bool) -> io::Result<()> {
    let row = |row: &QueueRow| {
        [
            row.mail.clone(),
            row.lane.clone(),
            utc(row.since_ms),
            row.attempts.to_string(),
            row.next_ms.map_or_else(|| "now".to_owned(), utc),
            row.rcpts.join(" "),
            row.why.clone().unwrap_or_default(),
        ]
    };
    table(to, ["MAIL", "LANE", "SINCE", "TRIED", "NEXT", "FOR", "WHY"], entries.iter().map(row))?;
    more_line(to, more)
}

fn trace(to: &mut dyn Write, events: &[TraceRow]) -> io::Result<()> {
    for event in events {
        let value = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(all) => all
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(" "),
            other @ (serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Object(_)) => other.to_string(),
        };
        let what = event.line.get("event").map(value).unwrap_or_default();
        write!(to, "{}  {}", utc(event.at_ms), shown(&what, CELL_BYTES))?;
        for (key, of) in event.line.iter().filter(|(key, _)| *key != "event") {
            write!(to, "  {}={}", shown(key, CELL_BYTES), shown(&value(of), 1_024))?;
        }
        writeln!(to)?;
    }
    Ok(())
}

fn more_line(to: &mut dyn Write, more: bool) -> io::Result<()> {
    if more { writeln!(to, "… and more: raise --limit") } else { Ok(()) }
}

fn lines(to: &mut dyn Write, rows: impl Iterator<Item = [String; 2]>) -> io::Result<()> {
    for [name, value] in rows {
        writeln!(to, "{:<18}{}", shown(&name, CELL_BYTES), shown(&value, 1_024))?;
    }
    Ok(())
}

/// Columns as wide as their widest cell; the last one is free.
fn table<const N: usize>(
    to: &mut dyn Write,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
        .chain(rows.map(|row| row.map(|cell| shown(&cell, CELL_BYTES))))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_104_json_moves_no_cursor_and_loses_nothing() {
        let nasty = "a\x1b[2J\u{9b}\u{202e}\u{7f}\u{e0041}ü\"\\";
        let mut line = Vec::new();
        json(&mut line, &[nasty]).unwrap();
        let text = String::from_utf8(line).unwrap();
        assert!(!text.trim_end().chars().any(hides), "{text:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [nasty]);
    }

    #[test]
    fn t_104_tables_move_no_cursor() {
        let row = QueueRow { why: Some("550 \x1b]0;owned\x07\r\nroot# ".into()), ..QueueRow::default() };
        let mut out = Vec::new();
        answer(&mut out, &Answer::QueueList { entries: vec![row], more: true }).unwrap();
        let line = serde_json::Map::from_iter([("event\x1b".to_owned(), "arr\u{202e}ived".into())]);
        answer(&mut out, &Answer::Trace { events: vec![TraceRow { at_ms: 0, line }] }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.chars().any(|c| c != '\n' && hides(c)), "{text:?}");
        assert!(text.contains("1970-01-01T00:00:00Z"), "{text}");
    }
}
