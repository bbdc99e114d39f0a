//! The demo's two nodes: set up by `init`, run as processes of this program, asked over their admin sockets.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use postline_core::id::{Address, Domain};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::person::Inbox;
use crate::admin::{self, Answer, AskPair, Request, Status};
use crate::cli::PartFault;
use crate::config::Config;
use crate::directory::Directory;
use crate::init::{Init, Made, init};

/// The password of everybody here.
pub(super) const PASSWORD: &str = "demo-only";
/// How long a node may take to start, or to stop.
const START: Duration = Duration::from_secs(30);

/// Both nodes, and the directory that they live in.
pub(super) struct Nodes {
    dir: PathBuf,
    pub(super) a: Node,
    pub(super) b: Node,
}

/// One node.
pub(super) struct Node {
    config: Config,
    /// Where users submit mail.
    pub(super) submission: String,
    process: Option<Child>,
    /// Whether it outlives this program.
    keep: bool,
}

/// What the nodes have done so far, both together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: u64,
    pub(super) connections: u64,
}

struct Plan {
    domain: &'static str,
    users: [&'static str; 2],
    smtp: u16,
    submission: u16,
    link: u16,
}

impl Nodes {
    /// Sets both up in a new directory, and starts them.
    pub(super) async fn start(keep: bool) -> Result<Self, PartFault> {
        let dir = fresh_dir()?;
        let ports = free_ports(6)?;
        let [a_smtp, a_sub, a_link, b_smtp, b_sub, b_link] = *ports.as_slice() else {
            return Err("no free ports".into());
        };
        let a = Plan { domain: "a.example", users: ["one", "three"], smtp: a_smtp, submission: a_sub, link: a_link };
        let b = Plan { domain: "b.example", users: ["two", "four"], smtp: b_smtp, submission: b_sub, link: b_link };
        let zone = dir.join("zone.txt");
        let mut records = String::new();
        for plan in [&a, &b] {
            let made = set_up(&dir, plan, &zone)?;
            records.push_str(&zone_of(plan, &made));
        }
        fs::write(&zone, records)?;
        let (a, b) = (Node::load(&dir, &a, keep)?, Node::load(&dir, &b, keep)?);
        let mut nodes = Self { dir, a, b };
        nodes.a.restart().await?;
        nodes.b.restart().await?;
        Ok(nodes)
    }

    /// Waits until both sides say that they have a line, and both links are up; gives what they are to each other.
    pub(super) async fn wait_for_line(&self, patience: Duration) -> Result<String, PartFault> {
        let began = Instant::now();
        loop {
            let here = self.a.trust("one@a.example", "two@b.example").await?;
            let there = self.b.trust("two@b.example", "one@a.example").await?;
            let up = !self.a.status().await?.links.is_empty() && !self.b.status().await?.links.is_empty();
            if (here == "trusted" && there == "trusted" && up) || began.elapsed() > patience {
                return Ok(if here == there { here } else { format!("{here}/{there}") });
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) async fn counters(&self) -> Result<Counters, PartFault> {
        let (a, b) = (self.a.status().await?, self.b.status().await?);
        Ok(Counters { commits: a.commits + b.commits, connections: a.connections + b.connections })
    }

    /// Leaves a line in the demo's own log.
    pub(super) fn note(&self, what: &str) {
        use std::io::Write as _;
        let file = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("demo.log"));
        // The log is a convenience: the demo goes on without it.
        let _ = file.and_then(|mut file| writeln!(file, "{what}"));
    }

    /// Lets the nodes go on, and says how to reach them.
    pub(super) fn keep(mut self) -> String {
        let mut how = String::from("\nboth nodes go on. Any mail program can use them:\n");
        for (node, users) in [(&mut self.a, ["one", "three"]), (&mut self.b, ["two", "four"])] {
            let pid = node.process.as_ref().and_then(Child::id).unwrap_or_default();
            for user in users {
                how.push_str(&format!(
                    "  {user}@{}: submission {} (STARTTLS), user {user}, password {PASSWORD}, Maildir {}\n",
                    node.config.domains.first().map_or("", Domain::as_str),
                    node.submission,
                    node.config.maildir_root.join(user).display()
                ));
            }
            how.push_str(&format!("  its configuration is {}; stop it with: kill {pid}\n", node.config.file.display()));
            // Dropping a child doesn't end it, as long as nobody asked for that.
            drop(node.process.take());
        }
        how
    }

    /// Ends both, and leaves nothing behind.
    pub(super) async fn stop(mut self) -> Result<(), PartFault> {
        for node in [&mut self.a, &mut self.b] {
            node.end().await?;
        }
        fs::remove_dir_all(&self.dir)?;
        Ok(())
    }
}

impl Drop for Nodes {
    /// An early end ends the nodes too.
    fn drop(&mut self) {
        for process in [&mut self.a.process, &mut self.b.process].into_iter().flatten() {
            // It may have ended by itself.
            let _ = process.start_kill();
        }
    }
}

impl Node {
    fn load(dir: &Path, plan: &Plan, keep: bool) -> Result<Self, PartFault> {
        let config = Config::load(&dir.join(plan.domain).join("postline.toml"))?;
        Ok(Self { config, submission: format!("127.0.0.1:{}", plan.submission), process: None, keep })
    }

    /// Starts it, and waits until it answers.
    pub(super) async fn restart(&mut self) -> Result<(), PartFault> {
        let log = self.config.data_dir.join("node.log");
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--config").arg(&self.config.file).arg("serve");
        command.stdout(Stdio::null()).stderr(log);
        if self.keep {
            // Not in our process group: what ends this program at the terminal doesn't end the nodes.
            command.stdin(Stdio::null()).process_group(0);
        } else {
            // However this program ends, its end of the pipe goes, and the node with it.
            command.arg("--while-stdin").stdin(Stdio::piped());
        }
        let mut process = command.spawn()?;
        let began = Instant::now();
        loop {
            if let Some(status) = process.try_wait()? {
                return Err(format!("a node ended at its start: {status}; {}", self.tail()).into());
            }
            if self.status().await.is_ok() {
                self.process = Some(process);
                return Ok(());
            }
            if began.elapsed() > START {
                let _ = process.start_kill();
                return Err(format!("a node did not start in time; {}", self.tail()).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The end of its log, for whoever must see why it failed.
    fn tail(&self) -> String {
        let log = fs::read_to_string(self.config.data_dir.join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Kills it, as a power cut would.
    pub(super) async fn kill(&mut self) -> Result<(), PartFault> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), PartFault> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // The node may be beyond asking: then it is killed below.
        let _ = self.ask(&Request::Drain {}).await;
        if tokio::time::timeout(START, process.wait()).await.is_err() {
            process.kill().await?;
        }
        Ok(())
    }

    async fn ask(&self, request: &Request) -> Result<Answer, PartFault> {
        let (socket, request) = (self.config.admin_socket.clone(), request.clone());
        Ok(tokio::task::spawn_blocking(move || admin::ask(&socket, &request)).await??)
    }

    pub(super) async fn status(&self) -> Result<Status, PartFault> {
        let answer = self.ask(&Request::Status {}).await?;
        if let Answer::Status(status) = answer { Ok(*status) } else { Err(unexpected(&answer)) }
    }

    async fn trust(&self, ours: &str, theirs: &str) -> Result<String, PartFault> {
        let pair = AskPair { ours: Address::parse(ours)?, theirs: Address::parse(theirs)? };
        let answer = self.ask(&Request::TrustShow(pair)).await?;
        if let Answer::TrustShow(row) = answer { Ok(row.state) } else { Err(unexpected(&answer)) }
    }

    /// Whether the author's node knows that its express mail is in the mailbox.
    pub(super) async fn was_delivered_by_link(&self, id: &str) -> Result<bool, PartFault> {
        let message_id = format!("{id}@demo.example");
        let answer = self.ask(&Request::Trace { message_id }).await?;
        let Answer::Trace { events } = answer else { return Err(unexpected(&answer)) };
        Ok(events.iter().any(|event| {
            let is = |key: &str, value: &str| event.line.get(key).and_then(|v| v.as_str()) == Some(value);
            is("mark", "delivered") && is("carrier", "link")
        }))
    }

    pub(super) fn inbox(&self, name: &'static str) -> Inbox {
        Inbox::new(name, self.config.maildir_root.join(name))
    }
}

fn unexpected(answer: &Answer) -> PartFault {
    format!("the node answers something else: {answer:?}").into()
}

fn set_up(dir: &Path, plan: &Plan, zone: &Path) -> Result<Made, PartFault> {
    let domain = Domain::parse(plan.domain)?;
    let hostname = Domain::parse(&format!("mail.{domain}"))?;
    let at = |port: u16| format!("[\"127.0.0.1:{port}\"]");
    let settings = [
        ("postmaster", format!("\"{}\"", plan.users[0])),
        ("listen.smtp", at(plan.smtp)),
        ("listen.submission", at(plan.submission)),
        ("listen.submissions", "[]".to_owned()),
        ("listen.link", at(plan.link)),
        ("dns.zone_file", format!("\"{}\"", zone.display())),
        ("dial.allow_private", "[\"loopback\"]".to_owned()),
        ("passwords.memory_kib", "64".to_owned()),
        ("passwords.passes", "1".to_owned()),
    ];
    let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let made = init(&Init { dir: dir.join(plan.domain), domains: vec![domain], hostname, settings })?;
    let mut people = Directory::load(&Config::load(&made.config)?)?;
    for user in plan.users {
        people.add(user, PASSWORD)?;
    }
    Ok(made)
}

/// What DNS would say of a node: where its mail goes, where its links go, and its DKIM keys.
fn zone_of(plan: &Plan, made: &Made) -> String {
    let domain = plan.domain;
    let mut zone = format!(
        "{domain} MX 10 mail.{domain}:{}\nmail.{domain} A 127.0.0.1\n_postline._tcp.{domain} SRV 0 0 {} mail.{domain}\n",
        plan.smtp, plan.link
    );
    for record in made.dns.iter().filter(|record| record.name.contains("._domainkey.")) {
        zone.push_str(&format!("{} TXT \"{}\"\n", record.name.trim_end_matches('.'), record.data));
    }
    zone
}

fn fresh_dir() -> Result<PathBuf, PartFault> {
    let base = std::env::temp_dir();
    for n in 0..1_000_u32 {
        let dir = base.join(format!("postline-demo-{}-{n}", std::process::id()));
        match crate::private_file::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why.into()),
        }
    }
    Err("no free directory for the demo".into())
}

/// Ports that are free now. Held open together while they are drawn, so that none comes twice.
fn free_ports(count: usize) -> Result<Vec<u16>, PartFault> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(held.iter().map(|listener| listener.local_addr().map(|at| at.port())).collect::<Result<_, _>>()?)
}
