//! Two nodes as an operator would set them up, as processes on loopback, with lines between the people on them.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postline_core::id::{Domain, NodeKey};
use postline_node::admin::{self, Answer, Request, Status};
use postline_node::config::Config;
use postline_node::directory::Directory;
use postline_node::init::{Init, KeyFiles, Made, init};

use crate::Fault;
use crate::machine::Traffic;
use crate::person::{Letter, PASSWORD, Person};
use crate::watch::Watch;

/// How many pairs of people have lines: as many as submit at once.
pub const PAIRS: usize = 32;
/// How many people a node has: the others have nobody to talk to.
pub const PEOPLE: usize = 96;
/// How long a node may take to start, or to stop; and the lines, to be made.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both nodes. Dropped, they end and their directory goes.
#[derive(Debug)]
pub struct Nodes {
    dir: PathBuf,
    kept: bool,
    /// The node of those who write.
    pub a: Node,
    /// The node of those who are written to.
    pub b: Node,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    /// Where its users submit mail.
    pub submission: String,
    /// Where other nodes reach it.
    pub link_port: u16,
    process: Child,
}

/// What is set up for a node.
struct Plan {
    domain: &'static str,
    ports: [u16; 3],
}

/// The address of the `n`th person who writes.
#[must_use]
pub fn writer(n: usize) -> String {
    format!("w{n}@a.example")
}

/// The address of the `n`th person who is written to.
#[must_use]
pub fn reader(n: usize) -> String {
    format!("r{n}@b.example")
}

impl Nodes {
    /// Sets both up in a new directory under `base`, and starts `program` for each.
    ///
    /// # Errors
    /// What went wrong, with the end of the node's log.
    pub fn start(program: &Path, base: &Path) -> Result<Self, Fault> {
        let dir = base.join(format!("postline-bench-{}", std::process::id()));
        postline_node::private_file::create_dir(&dir)?;
        let ports = free_ports::<6>()?;
        let [a1, a2, a3, b1, b2, b3] = ports;
        let plans =
            [Plan { domain: "a.example", ports: [a1, a2, a3] }, Plan { domain: "b.example", ports: [b1, b2, b3] }];
        let zone = dir.join("zone.txt");
        let mut records = String::new();
        for plan in &plans {
            let made = set_up(&dir, plan, &zone)?;
            records.push_str(&zone_of(plan, &made));
        }
        fs::write(&zone, records)?;
        let [a, b] = &plans;
        let (a, b) = (Node::start(&dir, a, program)?, Node::start(&dir, b, program)?);
        Ok(Self { dir, kept: false, a, b })
    }

    /// The directory that both live in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the directory where it is, for whoever must see why something failed.
    pub fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.dir
    }

    /// The process ids of both.
    #[must_use]
    pub fn pids(&self) -> [u32; 2] {
        [self.a.pid(), self.b.pid()]
    }

    /// What went over the link between both so far, whoever dialled it.
    #[must_use]
    pub fn link_traffic(&self) -> Option<Traffic> {
        Traffic::of(&[(self.a.pid(), self.b.link_port), (self.b.pid(), self.a.link_port)])
    }

    /// Lets the first `pairs` writers write, their readers answer, and the nodes make a line of it.
    ///
    /// # Errors
    /// Where no line comes of it in time.
    pub fn make_lines(&self, pairs: usize) -> Result<(), Fault> {
        let there = Watch::new(&self.b.maildirs(pairs, reader))?;
        for n in 0..pairs {
            let mut person = Person::log_in(&writer(n), &self.a.submission)?;
            person.submit(&Letter { to: &reader(n), id: &format!("hello-{n}@bench"), answers: None, body: 200 })?;
            person.leave()?;
            there.wait(1, PATIENCE)?;
        }
        let back = Watch::new(&self.a.maildirs(pairs, writer))?;
        for n in 0..pairs {
            let hello = format!("hello-{n}@bench");
            let mut person = Person::log_in(&reader(n), &self.b.submission)?;
            let answer = Letter { to: &writer(n), id: &format!("re-{hello}"), answers: Some(&hello), body: 200 };
            person.submit(&answer)?;
            person.leave()?;
            back.wait(1, PATIENCE)?;
        }
        let end = Instant::now() + PATIENCE;
        while self.a.lines()? < pairs || self.b.lines()? < pairs || self.a.status()?.links.is_empty() {
            if Instant::now() > end {
                return Err(format!("{} of {pairs} lines; {}", self.a.lines()?, self.a.tail()).into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Commits of both stores, and connections of both nodes to each other, so far.
    ///
    /// # Errors
    /// Where a node doesn't answer.
    pub fn counters(&self) -> Result<(u64, u64), Fault> {
        let (a, b) = (self.a.status()?, self.b.status()?);
        Ok((a.commits + b.commits, a.connections + b.connections))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in [&mut self.a, &mut self.b] {
            node.end();
        }
        if !self.kept {
            // What stays lies in the system's directory for such things.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Node {
    fn start(dir: &Path, plan: &Plan, program: &Path) -> Result<Self, Fault> {
        let config = Config::load(&dir.join(plan.domain).join("postline.toml"))?;
        let log = OpenOptions::new().create(true).append(true).open(config.data_dir.join("node.log"))?;
        let process = spawn(program, &config, log)?;
        let [_, submission, link_port] = plan.ports;
        let mut node = Self { config, submission: format!("127.0.0.1:{submission}"), link_port, process };
        let end = Instant::now() + PATIENCE;
        while node.status().is_err() {
            if node.process.try_wait()?.is_some() || Instant::now() > end {
                return Err(format!("{} did not start: {}", plan.domain, node.tail()).into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(node)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its key.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn nk(&self) -> Result<NodeKey, Fault> {
        Ok(KeyFiles::of(&self.config.data_dir).identity()?.nk())
    }

    /// The Maildirs of the first `count` people of a kind.
    #[must_use]
    pub fn maildirs(&self, count: usize, who: fn(usize) -> String) -> Vec<PathBuf> {
        let user = |n| who(n).split('@').next().unwrap_or_default().to_owned();
        (0..count).map(|n| self.config.maildir_root.join(user(n))).collect()
    }

    /// How it is.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub fn status(&self) -> Result<Status, Fault> {
        match admin::ask(&self.config.admin_socket, &Request::Status {})? {
            Answer::Status(status) => Ok(*status),
            other => Err(format!("no status: {other:?}").into()),
        }
    }

    fn lines(&self) -> Result<usize, Fault> {
        match admin::ask(&self.config.admin_socket, &Request::TrustList { prefix: String::new(), limit: 1_000 })? {
            Answer::TrustList { pairs, .. } => Ok(pairs.iter().filter(|pair| pair.state == "trusted").count()),
            other => Err(format!("no trust: {other:?}").into()),
        }
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(self.config.data_dir.join("node.log")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
    }

    fn end(&mut self) {
        // Where it can't be asked, it is killed below.
        let _ = admin::ask(&self.config.admin_socket, &Request::Drain {});
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(program: &Path, config: &Config, log: File) -> Result<Child, Fault> {
    let mut command = Command::new(program);
    command.arg("--config").arg(&config.file).arg("serve");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Ok(command.spawn().map_err(|why| format!("{}: {why}", program.display()))?)
}

fn set_up(dir: &Path, plan: &Plan, zone: &Path) -> Result<Made, Fault> {
    let domain = Domain::parse(plan.domain)?;
    let hostname = Domain::parse(&format!("mail.{domain}"))?;
    let [smtp, submission, link] = plan.ports.map(|port| format!("[\"127.0.0.1:{port}\"]"));
    let settings = [
        ("postmaster", "\"root\"".to_owned()),
        ("listen.smtp", smtp),
        ("listen.submission", submission),
        ("listen.submissions", "[]".to_owned()),
        ("listen.link", link),
        ("dns.zone_file", format!("\"{}\"", zone.display())),
        ("dial.allow_private", "[\"loopback\"]".to_owned()),
        // Logging in is no part of what is measured.
        ("passwords.memory_kib", "64".to_owned()),
        ("passwords.passes", "1".to_owned()),
    ];
    let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let made = init(&Init { dir: dir.join(plan.domain), domains: vec![domain], hostname, settings })?;
    let mut people = Directory::load(&Config::load(&made.config)?)?;
    people.add("root", PASSWORD)?;
    let who = if plan.domain == "a.example" { writer } else { reader };
    for n in 0..PEOPLE {
        people.add(who(n).split('@').next().unwrap_or_default(), PASSWORD)?;
    }
    Ok(made)
}

/// What DNS would say of a node: where its mail goes, where its links go, and its DKIM keys.
fn zone_of(plan: &Plan, made: &Made) -> String {
    let (domain, [smtp, _, link]) = (plan.domain, plan.ports);
    let mut zone = format!(
        "{domain} MX 10 mail.{domain}:{smtp}\nmail.{domain} A 127.0.0.1\n_postline._tcp.{domain} SRV 0 0 {link} mail.{domain}\n"
    );
    for record in made.dns.iter().filter(|record| record.name.contains("._domainkey.")) {
        zone.push_str(&format!("{} TXT \"{}\"\n", record.name.trim_end_matches('.'), record.data));
    }
    zone
}

/// Ports that are free now. Held open together while they are drawn, so that none comes twice.
fn free_ports<const N: usize>() -> Result<[u16; N], Fault> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
