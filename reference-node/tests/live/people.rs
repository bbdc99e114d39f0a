//! People with the mail programs that they have: swaks and mutt to write, an IMAP client to read.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::machine::{run, tool, wait_for, write};
use crate::mailboxes::PASSWORD;
use crate::site::Site;

/// The right part of all Message-IDs here.
const IDS: &str = "people.example";
const PYTHON: &str = "/usr/bin/python3";
const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/people.py");

/// A mail that somebody writes.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) from: &'static str,
    pub(crate) to: Vec<&'static str>,
    pub(crate) id: String,
    more: String,
    bytes: usize,
}

/// A mail as its reader has it.
#[derive(Clone)]
pub(crate) struct Got {
    pub(crate) flags: String,
    pub(crate) mail: String,
}

impl Letter {
    /// A mail that begins something.
    pub(crate) fn new(from: &'static str, to: &'static str, id: &str) -> Self {
        Self { from, to: vec![to], id: id.to_owned(), more: String::new(), bytes: 0 }
    }

    /// The same, as an answer to another.
    pub(crate) fn answers(self, id: &str) -> Self {
        self.with(&format!("In-Reply-To: <{id}@{IDS}>\nReferences: <{id}@{IDS}>"))
    }

    /// The same, with a further field.
    pub(crate) fn with(mut self, field: &str) -> Self {
        self.more.push_str(&format!("{field}\n"));
        self
    }

    /// The same, to one more.
    pub(crate) fn and(mut self, to: &'static str) -> Self {
        self.to.push(to);
        self
    }

    /// The same, with at least so many bytes of text.
    pub(crate) fn of_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    pub(crate) fn message_id(&self) -> String {
        message_id(&self.id)
    }

    /// Its bytes, with lines as this system ends them.
    pub(crate) fn text(&self) -> String {
        let line = format!("This is {}.\n", self.id);
        let text = line.repeat(self.bytes.div_ceil(line.len()).max(1));
        let Self { from, id, more, .. } = self;
        let date = run("date", &["-R"]);
        let to = self.to.join(", ");
        format!("From: {from}\nTo: {to}\nSubject: {id}\nDate: {date}Message-ID: <{id}@{IDS}>\n{more}\n{text}")
    }

    /// Submits it with swaks: when its 250 came, or what was said instead.
    pub(crate) fn submit(&self, site: &Site, dir: &Path) -> Result<Instant, String> {
        self.submit_as(site, dir, self.from)
    }

    /// Submits it with another's login.
    pub(crate) fn submit_as(&self, site: &Site, dir: &Path, login: &str) -> Result<Instant, String> {
        self.submit_at(site.submission, dir, login)
    }

    /// Submits it at a port.
    pub(crate) fn submit_at(&self, port: u16, dir: &Path, login: &str) -> Result<Instant, String> {
        let file = dir.join(format!("{}.eml", self.id));
        fs::write(&file, self.text()).unwrap();
        let (port, data, to) = (port.to_string(), format!("@{}", file.display()), self.to.join(","));
        let words = [
            ["--server", "127.0.0.1"],
            ["--port", &port],
            ["--auth", "PLAIN"],
            ["--auth-user", login],
            ["--auth-password", PASSWORD],
            ["--helo", "laptop.example"],
            ["--from", login],
            ["--to", &to],
            ["--data", &data],
            ["--timeout", "30"],
        ];
        let output = tool("swaks", &[words.concat(), vec!["--tls"]].concat());
        let at = Instant::now();
        if output.status.success() { Ok(at) } else { Err(String::from_utf8_lossy(&output.stdout).into_owned()) }
    }
}

impl Got {
    /// The value of a header field, unfolded; of the first, where it is there several times.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.fields(name).into_iter().next()
    }

    /// The values of all header fields of a name.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let head = self.mail.split("\r\n\r\n").next().unwrap();
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let start = format!("{}:", name.to_ascii_lowercase());
        let lines = head.lines().filter(|line| line.to_ascii_lowercase().starts_with(&start));
        lines.map(|line| line[start.len()..].trim().to_owned()).collect()
    }
}

pub(crate) fn message_id(id: &str) -> String {
    format!("<{id}@{IDS}>")
}

/// What an IMAP client of a user's says.
pub(crate) fn imap(site: &Site, who: &str, words: &[&str]) -> Value {
    let port = site.dovecot.imap.to_string();
    let said = run(PYTHON, &[&[PEOPLE, "imap", &port, who, PASSWORD], words].concat());
    serde_json::from_str(&said).unwrap()
}

/// All mails in a user's inbox.
pub(crate) fn inbox(site: &Site, who: &str) -> Vec<Got> {
    let mails = imap(site, who, &["fetch"]);
    let text = |mail: &Value, what: &str| mail[what].as_str().unwrap().to_owned();
    mails.as_array().unwrap().iter().map(|mail| Got { flags: text(mail, "flags"), mail: text(mail, "mail") }).collect()
}

/// Waits until a mail is a file in the mailbox: when it was seen. An IMAP client can have it from then on.
pub(crate) fn arrives(site: &Site, who: &str, id: &str) -> Instant {
    let dir = site.dovecot.maildir(who.split('@').next().unwrap());
    let want = format!("\r\nMessage-ID: {}\r\n", message_id(id)).to_ascii_lowercase();
    let mut read = std::collections::BTreeSet::<PathBuf>::new();
    wait_for(&format!("{id} in the mailbox of {who}"), || {
        for part in ["new", "cur"] {
            for entry in fs::read_dir(dir.join(part)).into_iter().flatten() {
                let path = entry.unwrap().path();
                if read.contains(&path) {
                    continue;
                }
                let Ok(bytes) = fs::read(&path) else { continue };
                let text =
                    String::from_utf8_lossy(&bytes).replace("\r\n", "\n").replace('\n', "\r\n").to_ascii_lowercase();
                if text.contains(&want) {
                    return Some(Instant::now());
                }
                read.insert(path);
            }
        }
        None
    })
}

/// A mail in an inbox, by IMAP.
pub(crate) fn find(site: &Site, who: &str, id: &str) -> Got {
    let want = message_id(id);
    let mut found: Vec<Got> =
        inbox(site, who).into_iter().filter(|got| got.field("Message-ID").as_deref() == Some(&want)).collect();
    assert_eq!(found.len(), 1, "{id} in the inbox of {who}");
    found.remove(0)
}

/// What another's program says about a mail's DKIM signatures: for each that is good, its domain and the fields it covers.
pub(crate) fn good_signatures(zone: &Path, mail: &Got) -> Vec<(String, Vec<String>)> {
    let mut command = Command::new(PYTHON);
    command.args([PEOPLE, "dkim"]).arg(zone).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let bytes: Vec<u8> = mail.mail.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let good = found.as_array().unwrap().iter().filter(|found| found["good"] == true);
    let names = |found: &Value| {
        found["covers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    good.map(|found| (found["domain"].as_str().unwrap().to_owned(), names(found))).collect()
}

/// A user's mutt.
pub(crate) struct Mutt {
    dir: PathBuf,
    rc: String,
}

impl Mutt {
    pub(crate) fn of(site: &Site, who: &'static str, dir: &Path) -> Self {
        let dir = dir.join(format!("mutt-{who}"));
        let (rc, login) = (dir.join("muttrc"), who.replace('@', "%40"));
        let text = format!(
            "set from=\"{who}\" realname=\"\" use_from=yes envelope_from=yes hostname={IDS} header_cache=\"\"\n\
             set smtp_url=\"smtp://{login}:{PASSWORD}@127.0.0.1:{}/\" smtp_authenticators=\"plain\"\n\
             set folder=\"imap://{login}:{PASSWORD}@127.0.0.1:{}/\" spoolfile=\"+INBOX\" imap_pass=\"{PASSWORD}\"\n\
             set ssl_starttls=no ssl_force_tls=no copy=no record=\"\" postponed=\"\" sendmail_wait=0\n\
             set fast_reply=yes include=no autoedit=yes edit_headers=no abort_unmodified=no abort_nosubject=no quit=yes\n\
             set wait_key=no mark_old=no sort=date confirmappend=no abort_noattach=no recall=no\n",
            site.submission, site.dovecot.imap
        );
        write(&rc, &text);
        Self { dir, rc: rc.display().to_string() }
    }

    /// Writes a mail with a file attached.
    pub(crate) fn write(&self, to: &str, id: &str, text: &str, attached: &Path) -> Instant {
        let body = self.dir.join(format!("{id}.txt"));
        fs::write(&body, text).unwrap();
        let mut command = Command::new("timeout");
        command.args(["60", "mutt", "-n", "-F", &self.rc, "-e", &format!("my_hdr Message-ID: {}", message_id(id))]);
        command.args(["-s", id, "-a"]).arg(attached).args(["--", to]).stdin(fs::File::open(body).unwrap());
        let output = command.output().unwrap();
        assert!(output.status.success(), "mutt: {}", String::from_utf8_lossy(&output.stderr));
        Instant::now()
    }

    /// Opens the inbox at the newest mail, keeps it as a file, answers it, and leaves.
    pub(crate) fn read_and_answer(&self, id: &str, text: &str) -> String {
        let (kept, editor) = (self.dir.join(format!("{id}.read")), self.dir.join("editor"));
        write(&editor, &format!("#!/bin/sh\nprintf '%s\\n' '{text}' >\"$1\"\n"));
        run("chmod", &["+x", &editor.display().to_string()]);
        let keys = format!(
            "set editor=\"{}\"; my_hdr Message-ID: {}; push \"<last-entry><pipe-message>cat >{}<enter><reply><send-message><quit>\"",
            editor.display(),
            message_id(id),
            kept.display()
        );
        let line = format!("TERM=vt100 mutt -n -F '{}' -e '{}'", self.rc, keys.replace('\'', "'\\''"));
        run("script", &["-qec", &line, "/dev/null"]);
        fs::read_to_string(kept).unwrap()
    }
}
