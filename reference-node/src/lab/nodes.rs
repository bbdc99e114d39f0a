//! Two nodes: set up by `init`, run as processes, asked over their admin sockets.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postline_core::id::{Address, Domain};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::inbox::Inbox;
use crate::admin::{self, Answer, AskPair, Request, Status};
use crate::cli::PartFault;
use crate::config::Config;
use crate::directory::Directory;
use crate::init::{Init, KeyFiles, Made, init};

/// The password of everybody here.
pub const PASSWORD: &str = "demo-only";
/// How long a node may take to start, or to stop.
const START: Duration = Duration::from_secs(60);
/// How often a node is asked whether something has come true.
const LOOK: Duration = Duration::from_millis(2);

/// Both nodes, and the directory that they live in. Dropped, they end, and it goes.
pub struct Nodes {
    dir: PathBuf,
    /// The node of `a.example`.
    pub a: Node,
    /// The node of `b.example`.
    pub b: Node,
}

/// One node.
pub struct Node {
    program: PathBuf,
    wrapper: Vec<String>,
    config: Config,
    users: Vec<&'static str>,
    /// Where users submit mail.
    pub submission: String,
    /// Where other servers bring mail.
    pub smtp: String,
    /// Where other nodes open links.
    pub link: String,
    process: Option<Child>,
    keep: bool,
}

/// What the nodes have done so far, both together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Commits of their stores.
    pub commits: u64,
    /// Connections that they opened to each other.
    pub connections: u64,
}

/// What a node is to be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Its users; the first is the postmaster.
    pub users: Vec<&'static str>,
    /// Further keys of its configuration: full name, value as TOML.
    pub settings: Vec<(&'static str, String)>,
    /// Whether it outlives the program that starts it.
    pub keep: bool,
}

impl Plan {
    /// A node for these people.
    #[must_use]
    pub fn of(users: &[&'static str]) -> Self {
        Self { users: users.to_vec(), ..Self::default() }
    }
}

impl Nodes {
    /// Sets both up in a new directory, for `program` to run, and starts neither.
    ///
    /// # Errors
    /// The file system's; where no ports are free; where a plan makes no node.
    pub fn set_up(program: &Path, plans: [Plan; 2]) -> Result<Self, PartFault> {
        let dir = fresh_dir()?;
        let ports = free_ports(6)?;
        let [a_smtp, a_submission, a_link, b_smtp, b_submission, b_link] = *ports.as_slice() else {
            return Err("want six ports".into());
        };
        let zone = dir.join("zone.txt");
        let [a, b] = plans;
        let a = Site { domain: "a.example", plan: a, smtp: a_smtp, submission: a_submission, link: a_link };
        let b = Site { domain: "b.example", plan: b, smtp: b_smtp, submission: b_submission, link: b_link };
        let mut records = String::new();
        for site in [&a, &b] {
            let made = site.set_up(&dir, &zone)?;
            records.push_str(&site.zone(&made));
        }
        fs::write(&zone, records)?;
        let (a, b) = (Node::load(program, &dir, a)?, Node::load(program, &dir, b)?);
        Ok(Self { dir, a, b })
    }

    /// Sets both up, and starts them.
    ///
    /// # Errors
    /// Those of [`set_up`](Self::set_up) and [`Node::start`].
    pub async fn start(program: &Path, plans: [Plan; 2]) -> Result<Self, PartFault> {
        let mut nodes = Self::set_up(program, plans)?;
        nodes.a.start().await?;
        nodes.b.start().await?;
        Ok(nodes)
    }

    /// Waits until both sides say that they have a line, and both links are up; gives what they are to each other.
    ///
    /// # Errors
    /// Where a node doesn't answer.
    pub async fn wait_for_line(&self, patience: Duration) -> Result<String, PartFault> {
        let began = Instant::now();
        loop {
            let here = self.a.trust("one@a.example", "two@b.example").await?;
            let there = self.b.trust("two@b.example", "one@a.example").await?;
            let up = self.a.has_link().await? && self.b.has_link().await?;
            if (here == "trusted" && there == "trusted" && up) || began.elapsed() > patience {
                return Ok(if here == there { here } else { format!("{here}/{there}") });
            }
            sleep(LOOK).await;
        }
    }

    /// What both have done so far.
    ///
    /// # Errors
    /// Where a node doesn't answer.
    pub async fn counters(&self) -> Result<Counters, PartFault> {
        let (a, b) = (self.a.status().await?, self.b.status().await?);
        Ok(Counters { commits: a.commits + b.commits, connections: a.connections + b.connections })
    }

    /// The directory that they live in: devices may keep their stores there too.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves a line in a log of its own beside the nodes.
    pub fn note(&self, what: &str) {
        use std::io::Write as _;
        let file = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("demo.log"));
        // The log is a convenience: all goes on without it.
        let _ = file.and_then(|mut file| writeln!(file, "{what}"));
    }

    /// Lets the nodes go on, and says how to reach them.
    #[must_use]
    pub fn keep(mut self) -> String {
        let mut how = String::from("\nboth nodes go on. Any mail program can use them:\n");
        for node in [&mut self.a, &mut self.b] {
            let pid = node.pid().unwrap_or_default();
            for user in &node.users {
                how.push_str(&format!(
                    "  {user}@{}: submission {} (STARTTLS), user {user}, password {PASSWORD}, Maildir {}\n",
                    node.config.domains.first().map_or("", Domain::as_str),
                    node.submission,
                    node.config.maildir_root.join(user).display()
                ));
            }
            if let Ok(identity) = KeyFiles::of(&node.config.data_dir).identity() {
                how.push_str(&format!(
                    "  devices: postline device enrol … --node {} --nk {}\n",
                    node.link,
                    identity.nk()
                ));
            }
            how.push_str(&format!("  its configuration is {}; stop it with: kill {pid}\n", node.config.file.display()));
            // Dropping a child doesn't end it, as long as nobody asked for that.
            drop(node.process.take());
        }
        self.dir = PathBuf::new();
        how
    }

    /// Ends both, and leaves nothing behind.
    ///
    /// # Errors
    /// The file system's.
    pub async fn stop(mut self) -> Result<(), PartFault> {
        self.a.end().await?;
        self.b.end().await
    }
}

impl Drop for Nodes {
    /// An early end ends the nodes too. What a panic is about stays to be looked at.
    fn drop(&mut self) {
        for node in [&mut self.a, &mut self.b] {
            let Some(mut process) = node.process.take() else { continue };
            // It may have ended by itself.
            let _ = process.start_kill();
            for _ in 0..1_000 {
                match process.try_wait() {
                    Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                    Ok(Some(_)) | Err(_) => break,
                }
            }
        }
        if !self.dir.as_os_str().is_empty() && !std::thread::panicking() {
            // What stays lies in the system's own directory for such things.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Node {
    fn load(program: &Path, dir: &Path, site: Site) -> Result<Self, PartFault> {
        let at = |port: u16| format!("127.0.0.1:{port}");
        Ok(Self {
            program: program.to_owned(),
            wrapper: Vec::new(),
            config: Config::load(&dir.join(site.domain).join("postline.toml"))?,
            submission: at(site.submission),
            smtp: at(site.smtp),
            link: at(site.link),
            users: site.plan.users,
            process: None,
            keep: site.plan.keep,
        })
    }

    /// Lives elsewhere from its next start on: where this configuration says, under the same addresses.
    ///
    /// # Errors
    /// Where the configuration is none.
    pub fn move_to(&mut self, file: &Path) -> Result<(), PartFault> {
        self.config = Config::load(file)?;
        Ok(())
    }

    /// What it was told to be.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// Where it ends at once, or doesn't answer in time.
    pub async fn start(&mut self) -> Result<(), PartFault> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = self.command("serve");
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
                process.kill().await?;
                return Err(format!("a node did not start in time; {}", self.tail()).into());
            }
            sleep(LOOK).await;
        }
    }

    /// Has it started by another program, which gets the whole call as its last arguments and becomes it.
    pub fn run_under(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
    }

    /// The program, called for this node.
    #[must_use]
    pub fn command(&self, what: &str) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(&self.program),
            Some((wrapper, args)) => {
                let mut command = Command::new(wrapper);
                command.args(args).arg(&self.program);
                command
            }
        };
        command.arg("--config").arg(&self.config.file).arg(what);
        command
    }

    /// What it logged since it was set up.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The end of its log, for whoever must see why it failed.
    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    fn log_file(&self) -> PathBuf {
        self.config.data_dir.join("node.log")
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill(&mut self) -> Result<(), PartFault> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Waits until it has ended by itself: its exit status, `None` where a signal ended it.
    ///
    /// # Errors
    /// Where it doesn't end in time.
    pub async fn ended(&mut self) -> Result<Option<i32>, PartFault> {
        let process = self.process.as_mut().ok_or("it does not run")?;
        // Waiting would close it, and that alone would end the node.
        let stdin = process.stdin.take();
        let status = tokio::time::timeout(START, process.wait()).await??;
        (self.process, _) = (None, stdin);
        Ok(status.code())
    }

    /// Ends it: asks first, kills then.
    ///
    /// # Errors
    /// The system's.
    pub async fn end(&mut self) -> Result<(), PartFault> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // The node may be beyond asking: then it is killed below.
        let _ = self.ask(&Request::Drain {}).await;
        if tokio::time::timeout(START, process.wait()).await.is_err() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Asks it over its admin socket.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn ask(&self, request: &Request) -> Result<Answer, PartFault> {
        let (socket, request) = (self.config.admin_socket.clone(), request.clone());
        Ok(tokio::task::spawn_blocking(move || admin::ask(&socket, &request)).await??)
    }

    /// How it is.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn status(&self) -> Result<Status, PartFault> {
        let answer = self.ask(&Request::Status {}).await?;
        if let Answer::Status(status) = answer { Ok(*status) } else { Err(unexpected(&answer)) }
    }

    /// Whether a link is up.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn has_link(&self) -> Result<bool, PartFault> {
        Ok(!self.status().await?.links.is_empty())
    }

    /// What two addresses are to each other.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn trust(&self, ours: &str, theirs: &str) -> Result<String, PartFault> {
        let pair = AskPair { ours: Address::parse(ours)?, theirs: Address::parse(theirs)? };
        let answer = self.ask(&Request::TrustShow(pair)).await?;
        if let Answer::TrustShow(row) = answer { Ok(row.state) } else { Err(unexpected(&answer)) }
    }

    /// What it remembers about a mail: one object an event, oldest first.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn trace(&self, id: &str) -> Result<Vec<serde_json::Map<String, serde_json::Value>>, PartFault> {
        let message_id = format!("{id}@demo.example");
        let answer = self.ask(&Request::Trace { message_id }).await?;
        let Answer::Trace { events } = answer else { return Err(unexpected(&answer)) };
        Ok(events.into_iter().map(|event| event.line).collect())
    }

    /// Whether the author's node knows that its express mail is in the mailbox.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn was_delivered_by_link(&self, id: &str) -> Result<bool, PartFault> {
        Ok(self.trace(id).await?.iter().any(|line| {
            let is = |key: &str, value: &str| line.get(key).and_then(|v| v.as_str()) == Some(value);
            is("mark", "delivered") && is("carrier", "link")
        }))
    }

    /// The mailbox of one of its users.
    #[must_use]
    pub fn inbox(&self, name: &'static str) -> Inbox {
        Inbox::new(name, self.config.maildir_root.join(name))
    }
}

fn unexpected(answer: &Answer) -> PartFault {
    format!("the node answers something else: {answer:?}").into()
}

/// A node on this machine, before it is there.
struct Site {
    domain: &'static str,
    plan: Plan,
    smtp: u16,
    submission: u16,
    link: u16,
}

impl Site {
    fn set_up(&self, dir: &Path, zone: &Path) -> Result<Made, PartFault> {
        let domain = Domain::parse(self.domain)?;
        let hostname = Domain::parse(&format!("mail.{domain}"))?;
        let at = |port: u16| format!("[\"127.0.0.1:{port}\"]");
        let settings = [
            ("postmaster", format!("\"{}\"", self.plan.users.first().ok_or("a node without users")?)),
            ("listen.smtp", at(self.smtp)),
            ("listen.submission", at(self.submission)),
            ("listen.submissions", "[]".to_owned()),
            ("listen.link", at(self.link)),
            ("dns.zone_file", format!("\"{}\"", zone.display())),
            ("dial.allow_private", "[\"loopback\"]".to_owned()),
            ("passwords.memory_kib", "64".to_owned()),
            ("passwords.passes", "1".to_owned()),
        ];
        let settings = settings.into_iter().chain(self.plan.settings.iter().cloned());
        let settings = settings.map(|(key, value)| (key.to_owned(), value)).collect();
        let made = init(&Init { dir: dir.join(self.domain), domains: vec![domain], hostname, settings })?;
        let mut people = Directory::load(&Config::load(&made.config)?)?;
        for user in &self.plan.users {
            people.add(user, PASSWORD)?;
        }
        Ok(made)
    }

    /// What DNS would say of it: where its mail goes, where its links go, and its DKIM keys.
    fn zone(&self, made: &Made) -> String {
        let Self { domain, smtp, link, .. } = self;
        let mut zone = format!(
            "{domain} MX 10 mail.{domain}:{smtp}\nmail.{domain} A 127.0.0.1\n_postline._tcp.{domain} SRV 0 0 {link} mail.{domain}\n",
        );
        for record in made.dns.iter().filter(|record| record.name.contains("._domainkey.")) {
            zone.push_str(&format!("{} TXT \"{}\"\n", record.name.trim_end_matches('.'), record.data));
        }
        zone
    }
}

fn fresh_dir() -> Result<PathBuf, PartFault> {
    let base = std::env::temp_dir();
    for n in 0..1_000_u32 {
        let dir = base.join(format!("postline-lab-{}-{n}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why.into()),
        }
    }
    Err("no free directory for two nodes".into())
}

/// Ports of their own for a node that is started again and again. Systems take the ports of outgoing connections from
/// above these, so that none is taken while its node is down.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

fn free_ports(count: usize) -> Result<Vec<u16>, PartFault> {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    let range = u32::from(PORTS.end - PORTS.start);
    let start = std::process::id().wrapping_mul(61);
    let mut ports = Vec::new();
    for _ in 0..range {
        let n = start.wrapping_add(DRAWN.fetch_add(1, Ordering::Relaxed)) % range;
        let port = PORTS.start + u16::try_from(n)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
        if ports.len() == count {
            return Ok(ports);
        }
    }
    Err("no free ports".into())
}
