//! What the stacks take of this machine: tools, ports, a directory, processes. All of it is given back, however the test
//! ends.
//!
//! ```text
//!   sh (leads the group) ── waits for: the program, and what it starts
//!    └─ holds a pipe of ours: when that closes, however this test ends, the group is killed
//! ```

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take on a slow and busy machine before a test calls it lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that must come true.
const LOOK: Duration = Duration::from_millis(2);
/// How long one run of a tool may take.
const TOOL: &str = "60";

/// What must be there, and what it is for.
const TOOLS: &[(&str, &str)] = &[
    ("/usr/lib/postfix/sbin/master", "Postfix"),
    ("/usr/sbin/dovecot", "Dovecot"),
    ("/usr/lib/dovecot/imap", "Dovecot's IMAP"),
    ("/usr/lib/dovecot/lmtp", "Dovecot's LMTP"),
    ("/usr/sbin/opendkim", "OpenDKIM"),
    ("/usr/bin/swaks", "swaks"),
    ("/usr/bin/mutt", "mutt"),
    ("/usr/bin/python3", "Python"),
    ("/usr/bin/dkimverify", "python3-dkim"),
    ("/usr/bin/script", "script"),
];

/// Why the stacks can't run here; `None` where they can.
pub(crate) fn lacks() -> Option<String> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        return Some(format!("not installed: {}", missing.join(", ")));
    }
    // Postfix and Dovecot start as root, and give that up themselves.
    let id = Command::new("id").arg("-u").output().unwrap();
    (id.stdout.trim_ascii() != b"0").then(|| "Postfix and Dovecot start as root only".to_owned())
}

/// A directory for everything, gone with this value. What a panic is about stays to be looked at.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("postline-live-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        // Postfix, Dovecot and OpenDKIM run as users of their own below it.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("what the stacks wrote stays in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A port on loopback that is free, below those that systems take for outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 12_000).unwrap();
    for _ in 0..12_000 {
        let port = 20_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port")
}

/// A process with the children that it has made, in a group of their own. Dropped, all of them are killed.
pub(crate) struct Process {
    name: String,
    child: Child,
}

/// Runs a program until it ends, or until its own standard input does: then all of the group is killed.
const KEPT: &str = "exec 3<&0; \"$@\" </dev/null & p=$!; { cat >/dev/null; kill -s KILL 0; } <&3 & wait $p";

impl Process {
    /// Starts a program; what it says goes to the end of a file.
    pub(crate) fn start(name: &str, program: &str, args: &[&str], log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", KEPT, "sh", program]).args(args).process_group(0);
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { name: name.to_owned(), child: command.spawn().unwrap() }
    }

    /// Waits until it listens at a port.
    pub(crate) fn listens(&mut self, port: u16) {
        wait_for(&format!("{} at port {port}", self.name), || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended at its start: its log says why", self.name);
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// Ends it and all its children, in the middle of whatever they do.
    pub(crate) fn kill(self) {}
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        // All may have ended by themselves.
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// Waits until something is there; what is waited for is said where it doesn't come.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(LOOK);
    }
}

/// Runs a tool that must end by itself: what it said.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = tool(program, args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let also = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}{also}", output.status);
    said
}

/// Runs a tool, whatever comes of it.
pub(crate) fn tool(program: &str, args: &[&str]) -> Output {
    Command::new("timeout").args(["--kill-after=5", TOOL, program]).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Writes a file, and the directories above it.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A part of the project that operators get, with the ports of the test in place of theirs.
pub(crate) fn contrib(file: &str, instead: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(file);
    let mut text = fs::read_to_string(&path).unwrap();
    for (theirs, ours) in instead {
        assert!(text.contains(theirs), "{} doesn't say {theirs}", path.display());
        text = text.replace(theirs, ours);
    }
    text
}
