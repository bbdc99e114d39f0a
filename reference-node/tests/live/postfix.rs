//! A Postfix of its own: configuration, queue and processes below one directory.
//!
//! What an operator has comes from here; what Postline adds comes from `contrib/postfix`, word for word but the ports.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::machine::{Process, contrib, run, tool, wait_for, write};

const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// A Postfix.
pub(crate) struct Postfix {
    name: String,
    dir: PathBuf,
    ports: Vec<u16>,
    process: Option<Process>,
}

/// The directories of a queue that only Postfix itself goes to.
const QUEUES: [&str; 11] =
    ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"];

/// The services that every Postfix has.
const SERVICES: &str = "\
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
lmtp      unix  - - n - - lmtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
";

impl Postfix {
    /// Writes its configuration: what every one has, and what `main` and `master` add. It listens at `ports`.
    pub(crate) fn set_up(name: &str, dir: &Path, main: &str, master: &str, ports: &[u16]) -> Self {
        let shown = dir.display();
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {shown}/queue\n\
             data_directory = {shown}/data\n\
             command_directory = /usr/sbin\n\
             daemon_directory = /usr/lib/postfix/sbin\n\
             maillog_file_prefixes = {shown}\n\
             maillog_file = {shown}/mail.log\n\
             inet_interfaces = loopback-only\n\
             inet_protocols = ipv4\n\
             mydestination =\n\
             alias_maps =\n\
             smtp_host_lookup = native\n\
             smtp_dns_support_level = disabled\n\
             lmtp_dns_support_level = disabled\n\
             # What waits is tried again soon: a test has no hours.\n\
             minimal_backoff_time = 2s\n\
             maximal_backoff_time = 4s\n\
             queue_run_delay = 2s\n\
             transport_retry_time = 2s\n\
             {main}"
        );
        write(&dir.join("main.cf"), &main);
        write(&dir.join("master.cf"), &format!("{SERVICES}{master}"));
        // `postfix check` makes the same, and takes seconds.
        let make = |name: &str, owner: &str, mode: &str| {
            let path = dir.join(name).display().to_string();
            run("install", &["-d", "-o", "postfix", "-g", owner, "-m", mode, &path]);
        };
        make("data", "postfix", "700");
        for name in QUEUES {
            make(&format!("queue/{name}"), "postfix", "700");
        }
        make("queue/public", "postdrop", "2710");
        make("queue/maildrop", "postdrop", "1730");
        fs::create_dir(dir.join("queue/pid")).unwrap();
        Self { name: format!("{name}'s Postfix"), dir: dir.to_owned(), ports: ports.to_vec(), process: None }
    }

    /// Adds Postline's snippets, as `contrib/README.md` tells operators to.
    pub(crate) fn put_postline_beside(&self, submission: &str, ports: &[(&str, String)]) {
        let append = |file: &str, text: String| {
            let path = self.dir.join(file);
            fs::write(&path, fs::read_to_string(&path).unwrap() + &text).unwrap();
        };
        let of = |file: &str| {
            let text = contrib(file, &[]);
            let said: Vec<(&str, String)> = ports.iter().filter(|(port, _)| text.contains(port)).cloned().collect();
            contrib(file, &said)
        };
        let dir = self.dir.display().to_string();
        // What the snippet sets must not be set twice.
        run("postconf", &["-c", &dir, "-#", "virtual_transport"]);
        append("main.cf", of("postfix/main.cf.postline"));
        let checks = self.dir.join("postline_header_checks");
        let master = of("postfix/master.cf.postline");
        append("master.cf", master.replace("/etc/postfix/postline_header_checks", &checks.display().to_string()));
        write(&checks, &of("postfix/postline_header_checks"));
        run("postconf", &["-c", &dir, "-P", "pickup/unix/cleanup_service_name=postline-clean"]);
        run("postconf", &["-c", &dir, "-P", &format!("{submission}/inet/smtpd_milters=$postline_milters")]);
        run("postconf", &["-c", &dir, "-P", &format!("{submission}/inet/cleanup_service_name=postline-clean")]);
        let said = tool("postconf", &["-c", &dir]);
        assert_eq!(String::from_utf8_lossy(&said.stderr), "", "Postfix complains about its configuration");
    }

    pub(crate) fn start(&mut self) {
        let dir = self.dir.display().to_string();
        let mut process = Process::start(&self.name, MASTER, &["-c", &dir, "-d"], &self.dir.join("master.log"));
        for port in &self.ports {
            process.listens(*port);
        }
        self.process = Some(process);
    }

    /// Ends all its processes at once, in the middle of whatever they do.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Takes a mail from a program on this machine.
    pub(crate) fn takes(&self, from: &str, to: &str, mail: &str) {
        let mut command = Command::new("sendmail");
        command.args(["-C", &self.dir.display().to_string(), "-i", "-f", from, to]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// How many mails wait in it.
    pub(crate) fn queued(&self) -> usize {
        let listed = tool("postqueue", &["-c", &self.dir.display().to_string(), "-j"]);
        listed.stdout.iter().filter(|byte| **byte == b'\n').count()
    }

    /// How many mails it has tried in vain.
    pub(crate) fn deferred(&self) -> usize {
        let listed = tool("postqueue", &["-c", &self.dir.display().to_string(), "-j"]);
        String::from_utf8_lossy(&listed.stdout).matches("\"queue_name\": \"deferred\"").count()
    }

    /// Has it try everything now.
    pub(crate) fn flush(&self) {
        run("postqueue", &["-c", &self.dir.display().to_string(), "-f"]);
    }

    /// Waits until nothing waits in it.
    pub(crate) fn drained(&self) {
        let mut looks = 0_u32;
        wait_for(&format!("{}'s queue to run empty", self.name), || {
            looks += 1;
            if looks.is_multiple_of(50) {
                self.flush();
            }
            (self.queued() == 0).then_some(())
        });
    }
}
