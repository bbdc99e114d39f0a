//! A node beside a stack, run and asked by its own program, as its operator does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::machine::{contrib, free_port, run, tool, wait_for, write};
use crate::mailboxes::OWNER;

/// A node.
pub(crate) struct Node {
    pub(crate) dir: PathBuf,
    /// What its operator publishes, as lines of a zone file.
    pub(crate) records: String,
    pub(crate) milter: u16,
    pub(crate) lmtp_in: u16,
    pub(crate) lmtp_out: u16,
    pub(crate) reinject: u16,
    /// Where devices find it, and other nodes.
    pub(crate) link: u16,
    /// By which Dovecot asks it.
    dict: PathBuf,
    process: Option<Child>,
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_postline");

impl Node {
    /// Makes a node's directory by `postline init`. A domain without a node takes its certificate and DKIM key from there.
    pub(crate) fn set_up(dir: &Path, domain: &str, users: &[&str], zone: &Path, deliver: u16) -> Self {
        let [milter, lmtp_in, lmtp_out, reinject, link] = [(); 5].map(|()| free_port());
        let shown = dir.display().to_string();
        // Not in the node's directory, which is nobody else's.
        let dict = dir.with_extension("dict");
        let at = |port: u16| format!("[\"127.0.0.1:{port}\"]");
        let settings = [
            "listen.smtp=[]".to_owned(),
            "listen.submission=[]".to_owned(),
            "listen.submissions=[]".to_owned(),
            format!("listen.link={}", at(link)),
            format!("dns.zone_file=\"{}\"", zone.display()),
            "dial.allow_private=[\"loopback\"]".to_owned(),
            format!("beside.milter=\"127.0.0.1:{milter}\""),
            format!("beside.lmtp_in=\"127.0.0.1:{lmtp_in}\""),
            format!("beside.lmtp_out=\"127.0.0.1:{lmtp_out}\""),
            format!("beside.reinject=\"127.0.0.1:{reinject}\""),
            format!("dovecot.dict=\"{}\"", dict.display()),
            format!("dovecot.group=\"{OWNER}\""),
            format!("beside.deliver=\"127.0.0.1:{deliver}\""),
        ];
        let mut args = vec!["--json", "init", "--dir", &shown, "--domain", domain, "--postmaster", users[0]];
        for setting in &settings {
            args.extend(["--set", setting]);
        }
        let made: Value = serde_json::from_str(&run(PROGRAM, &args)).unwrap();
        let mut records = format!("mail.{domain} A 127.0.0.1\n_postline._tcp.{domain} SRV 0 0 {link} mail.{domain}\n");
        for record in made["init"]["dns"].as_array().unwrap() {
            let (name, data) = (record["name"].as_str().unwrap(), record["data"].as_str().unwrap());
            if name.contains("._domainkey.") {
                records.push_str(&format!("{} TXT \"{data}\"\n", name.trim_end_matches('.')));
            }
        }
        Self { dir: dir.to_owned(), records, milter, lmtp_in, lmtp_out, reinject, link, dict, process: None }
    }

    /// What it adds to Dovecot's configuration.
    pub(crate) fn dovecot(&self) -> String {
        // Where Dovecot's mail users can read it.
        let lua = self.dir.with_extension("lua");
        write(&lua, &contrib("dovecot/postline.lua", &[]));
        contrib(
            "dovecot/postline-2.3.conf",
            &[
                ("/run/postline/dict", self.dict.display().to_string()),
                ("/usr/share/postline/dovecot/postline.lua", lua.display().to_string()),
                ("group = postline", "group = mail".to_owned()),
            ],
        )
    }

    fn config(&self) -> String {
        self.dir.join("postline.toml").display().to_string()
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("node.log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["--config", &self.config(), "serve", "--while-stdin"]);
        // However this test ends, its end of the pipe goes, and the node with it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut process = command.spawn().unwrap();
        wait_for("a node's start", || {
            assert!(process.try_wait().unwrap().is_none(), "a node ended at its start: {}", self.log());
            tool(PROGRAM, &["--config", &self.config(), "status"]).status.success().then_some(())
        });
        self.process = Some(process);
    }

    /// Asks it to finish, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.ask(&["drain"]);
        self.process.take().unwrap().wait().unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Lets it hang, or go on: it listens, and says nothing.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        run("kill", &["-s", signal, &pid]);
    }

    /// What its command line says.
    pub(crate) fn ask(&self, words: &[&str]) -> Value {
        let config = self.config();
        let said = run(PROGRAM, &[&["--config", &config, "--json"], words].concat());
        serde_json::from_str(&said).unwrap()
    }

    /// The program with a command for it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["--config", &self.config()]).args(words);
        command
    }

    /// What two addresses are to each other.
    pub(crate) fn trust(&self, ours: &str, theirs: &str) -> String {
        let pairs = self.ask(&["trust", "list"]);
        let pairs = pairs["trust_list"]["pairs"].as_array().unwrap();
        let pair = pairs.iter().find(|pair| pair["ours"] == ours && pair["theirs"] == theirs);
        pair.map_or("stranger", |pair| pair["state"].as_str().unwrap()).to_owned()
    }

    /// What it remembers about a mail: one object an event, oldest first.
    pub(crate) fn trace(&self, id: &str) -> Vec<Value> {
        let trace = self.ask(&["trace", &crate::people::message_id(id)]);
        trace["trace"]["events"].as_array().unwrap().clone()
    }

    /// How many mails wait in it.
    pub(crate) fn queued(&self) -> usize {
        self.ask(&["queue", "list"])["queue_list"]["entries"].as_array().unwrap().len()
    }

    /// Waits until nothing waits in it.
    pub(crate) fn drained(&self) {
        if self.process.is_none() {
            return;
        }
        wait_for("a node's queue to run empty", || {
            if self.queued() == 0 {
                return Some(());
            }
            self.ask(&["queue", "retry"]);
            None
        });
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("node.log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
