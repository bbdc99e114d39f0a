//! A Dovecot of our own, with the configuration that `contrib/dovecot` asks for: started for one test, in its directory.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "demo-only";
/// How long anything may take on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A user and group that mail may be kept as where tests run as root, by Debian's fixed numbers: `mail`.
const MAIL_ID: u32 = 8;

/// What a Dovecot is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The node's dict socket, for annotations and reports.
    pub(crate) dict: Option<PathBuf>,
    /// More lines of its configuration.
    pub(crate) more: String,
}

/// A running Dovecot. Dropped, it ends.
pub(crate) struct Dovecot {
    dir: PathBuf,
    process: Option<Child>,
    /// Where it speaks IMAP, without TLS.
    pub(crate) imap: u16,
}

/// Whether this machine has a Dovecot 2.3 that can be started.
pub(crate) fn is_here() -> bool {
    std::process::Command::new("dovecot")
        .arg("--version")
        .output()
        .is_ok_and(|said| said.status.success() && said.stdout.starts_with(b"2.3."))
}

/// The group as which Dovecot reads mail, that must be able to open the node's dict socket.
pub(crate) fn group(dir: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata(dir).unwrap();
    if own.uid() == 0 { MAIL_ID } else { own.gid() }
}

impl Dovecot {
    /// Starts one in a directory of its own, which others may enter.
    pub(crate) async fn start(dir: &Path, plan: Plan) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        fs::create_dir_all(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let own = fs::metadata(dir).unwrap();
        let (uid, gid) = if own.uid() == 0 { (MAIL_ID, MAIL_ID) } else { (own.uid(), own.gid()) };
        for part in ["run", "state", "mail"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        std::os::unix::fs::chown(dir.join("mail"), Some(uid), Some(gid)).unwrap();
        let imap = free_port();
        let file = dir.join("dovecot.conf");
        fs::write(&file, configuration(dir, imap, uid, gid, own.uid() == 0, &plan)).unwrap();
        let log = fs::File::create(dir.join("stderr.log")).unwrap();
        let mut command = Command::new("dovecot");
        command.arg("-F").arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.kill_on_drop(true).spawn().unwrap();
        let mut dovecot = Self { dir: dir.to_owned(), process: Some(process), imap };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", imap)).await.is_err() || !dovecot.lmtp().exists() {
            let ended = dovecot.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "no Dovecot: {}", dovecot.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        dovecot
    }

    /// Its socket for deliveries.
    pub(crate) fn lmtp(&self) -> PathBuf {
        self.dir.join("run/lmtp")
    }

    /// Its socket that checks logins.
    pub(crate) fn auth(&self) -> PathBuf {
        self.dir.join("run/auth-client")
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.log_files().iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
    }

    fn log_files(&self) -> [PathBuf; 2] {
        ["dovecot.log", "stderr.log"].map(|name| self.dir.join(name))
    }

    /// Delivers a mail into a user's INBOX.
    pub(crate) async fn deliver(&self, user: &str, mail: &str) {
        let mut lmtp = Talk::new(UnixStream::connect(self.lmtp()).await.unwrap(), self);
        lmtp.line().await;
        lmtp.say("LHLO test.example\r\n").await;
        while lmtp.line().await.starts_with("250-") {}
        for (said, want) in
            [("MAIL FROM:<>\r\n", "250"), (&format!("RCPT TO:<{user}>\r\n"), "250"), ("DATA\r\n", "354")]
        {
            lmtp.say(said).await;
            let reply = lmtp.line().await;
            assert!(reply.starts_with(want), "{said}{reply}");
        }
        lmtp.say(&format!("{mail}\r\n.\r\n")).await;
        let reply = lmtp.line().await;
        assert!(reply.starts_with("250"), "{reply}{}", self.log());
    }

    /// Logs a user in.
    pub(crate) async fn login(&self, user: &str) -> Imap {
        let stream = TcpStream::connect(("127.0.0.1", self.imap)).await.unwrap();
        let mut imap = Imap { talk: Talk::new(stream, self), tag: 0 };
        imap.talk.line().await;
        let said = imap.ask(&format!("LOGIN {user} {PASSWORD}")).await;
        assert!(said.is_ok(), "{said:?} {}", self.log());
        imap
    }

    /// Ends it, with its children.
    pub(crate) async fn stop(mut self) {
        let mut process = self.process.take().unwrap();
        let pid = process.id().unwrap().to_string();
        let sent = std::process::Command::new("sh").args(["-c", "kill -TERM $1", "sh", &pid]).status().unwrap();
        assert!(sent.success());
        timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    }
}

impl Drop for Dovecot {
    /// Its children follow their master, which is told to end and not killed, so that it takes them along.
    fn drop(&mut self) {
        let Some(pid) = self.process.as_ref().and_then(Child::id) else { return };
        let _ = std::process::Command::new("sh").args(["-c", "kill -TERM $1", "sh", &pid.to_string()]).status();
        for _ in 0..1_000 {
            match self.process.as_mut().map(Child::try_wait) {
                Some(Ok(None)) => std::thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
    }
}

/// The parts of `contrib/dovecot/postline-2.3.conf`, with this test's paths, and what a Dovecot needs beside.
fn configuration(dir: &Path, imap: u16, uid: u32, gid: u32, root: bool, plan: &Plan) -> String {
    let at = |part: &str| dir.join(part).display().to_string();
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/dovecot");
    let snippet = fs::read_to_string(contrib.join("postline-2.3.conf")).unwrap();
    // Root's home may be closed to the user as whom mail is read.
    let lua = dir.join("postline.lua");
    fs::copy(contrib.join("postline.lua"), &lua).unwrap();
    let beside = match &plan.dict {
        None => String::new(),
        Some(dict) => snippet
            .replace("/run/postline/dict", &dict.display().to_string())
            .replace("/usr/share/postline/dovecot/postline.lua", &lua.display().to_string())
            .replace("group = postline", "")
            .replace("mode = 0660", "mode = 0666"),
    };
    let who = if root {
        String::new()
    } else {
        let name = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
        let name = String::from_utf8(name).unwrap();
        let name = name.trim();
        format!(
            "default_internal_user = {name}\ndefault_login_user = {name}\nservice anvil {{\n chroot =\n}}\n\
                 service imap-login {{\n chroot =\n}}\n"
        )
    };
    format!(
        "base_dir = {run}\nstate_dir = {state}\nlog_path = {log}\nprotocols = imap lmtp\nlisten = 127.0.0.1\nssl = no\n\
         disable_plaintext_auth = no\nauth_verbose = yes\nfirst_valid_uid = 1\nmail_location = maildir:{mail}/%n\n\
         auth_failure_delay = 0\nauth_mechanisms = plain login\n{who}\
         passdb {{\n driver = static\n args = password={PASSWORD}\n}}\n\
         userdb {{\n driver = static\n args = uid={uid} gid={gid} home={mail}/%n\n}}\n\
         service imap-login {{\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n\
         service lmtp {{\n unix_listener lmtp {{\n mode = 0666\n }}\n}}\n\
         service auth {{\n unix_listener auth-client {{\n mode = 0666\n }}\n}}\n\
         namespace inbox {{\n inbox = yes\n mailbox Archive {{\n auto = create\n }}\n}}\n{beside}\n{more}\n",
        run = at("run"),
        state = at("state"),
        log = at("dovecot.log"),
        mail = at("mail"),
        more = plan.more,
    )
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A user's IMAP session.
pub(crate) struct Imap {
    talk: Talk<TcpStream>,
    tag: u32,
}

impl Imap {
    /// Says a command; gives all that came before its tagged answer, or, where that isn't OK, the answer.
    pub(crate) async fn ask(&mut self, command: &str) -> Result<String, String> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.talk.say(&format!("{tag}{command}\r\n")).await;
        let mut said = String::new();
        loop {
            let line = self.talk.line().await;
            match line.strip_prefix(&tag) {
                Some(answer) if answer.starts_with("OK") => return Ok(said),
                Some(answer) => return Err(answer.trim().to_owned()),
                None => said.push_str(&line),
            }
        }
    }
}

/// Lines, to and fro.
struct Talk<S> {
    stream: BufReader<S>,
    /// What is shown where it ends early.
    log: Box<dyn Fn() -> String + Send>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S, of: &Dovecot) -> Self {
        let files = of.log_files();
        let log = move || files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
        Self { stream: BufReader::new(stream), log: Box::new(log) }
    }

    async fn say(&mut self, text: &str) {
        timeout(PATIENCE, self.stream.get_mut().write_all(text.as_bytes())).await.unwrap().unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let got = timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
        assert!(got > 0, "the connection ended: {}", (self.log)());
        line
    }
}
