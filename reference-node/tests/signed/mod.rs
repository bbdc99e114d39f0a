//! Signed zones on a real name server: NSD, with keys and signatures made by ldns. Root, top level and all, of our own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them")]

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long anything may take on a slow and busy machine before a test calls it lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this machine has what the tests need.
pub(crate) fn missing() -> Option<&'static str> {
    ["nsd", "ldns-keygen", "ldns-signzone"].into_iter().find(|tool| {
        let found = Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v $1", "sh", tool]).output().unwrap();
        !found.status.success()
    })
}

/// A key that signs the keys of a zone, and one that signs all else.
#[derive(Clone)]
pub(crate) struct Keys([PathBuf; 2]);

/// How a zone is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// With NSEC.
    Nsec,
    /// With NSEC3.
    Nsec3,
    /// So that the signatures hold no more.
    Expired,
}

/// A name server with zones of its own.
pub(crate) struct NameServer {
    dir: TempDir,
    pub(crate) at: SocketAddr,
    process: Option<Child>,
    serial: u32,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl NameServer {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("zones")).unwrap();
        Self { dir, at: free_port(), process: None, serial: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// New keys for a zone.
    pub(crate) fn keys(&self, zone: &str) -> Keys {
        let make = |more: &[&str]| {
            let mut command = Command::new("ldns-keygen");
            command.args(["-a", "ECDSAP256SHA256", "-r", "/dev/urandom"]).args(more).arg(zone);
            self.path(said(command.current_dir(self.dir.path())).trim())
        };
        Keys([make(&["-k"]), make(&[])])
    }

    /// A file with the zone's key, as a trust anchor.
    pub(crate) fn anchor(&self, keys: &Keys) -> PathBuf {
        keys.0[0].with_file_name(format!("{}.key", file_name(&keys.0[0])))
    }

    /// The records with which the zone above vouches for these keys.
    pub(crate) fn vouch(keys: &Keys) -> String {
        fs::read_to_string(keys.0[0].with_file_name(format!("{}.ds", file_name(&keys.0[0])))).unwrap()
    }

    /// Serves a zone with these records from the next [`start`](Self::start) or [`reload`](Self::reload) on, unsigned where there
    /// are no keys.
    pub(crate) fn zone(&mut self, zone: &str, records: &str, keys: &[&Keys], how: Signed) {
        self.serial += 1;
        let serial = self.serial;
        let text =
            format!("$TTL 1\n$ORIGIN {zone}\n@ SOA ns h {serial} 60 60 6000 1\n@ NS ns\nns A 127.0.0.1\n{records}\n");
        let (plain, served) = (self.path("plain.zone"), self.zone_file(zone));
        fs::write(&plain, text).unwrap();
        if keys.is_empty() {
            fs::rename(plain, served).unwrap();
            return;
        }
        let mut command = Command::new("ldns-signzone");
        // Times of signatures are compared within 68 years (RFC 4034 §3.1.5).
        match how {
            Signed::Nsec => command.args(["-e", "20600101000000"]),
            Signed::Nsec3 => command.args(["-e", "20600101000000", "-n", "-t", "0"]),
            Signed::Expired => command.args(["-i", "20200101000000", "-e", "20200201000000"]),
        };
        command.arg("-o").arg(zone).arg("-f").arg(served).arg(plain);
        said(command.args(keys.iter().flat_map(|keys| &keys.0)));
    }

    /// Changes what is served of a zone behind its signatures' back.
    pub(crate) fn tamper(&self, zone: &str, change: impl Fn(&str) -> String) {
        let file = self.zone_file(zone);
        let (was, now) = (fs::read_to_string(&file).unwrap(), change(&fs::read_to_string(&file).unwrap()));
        assert_ne!(was, now, "nothing was changed");
        fs::write(file, now).unwrap();
    }

    fn zone_file(&self, zone: &str) -> PathBuf {
        self.path("zones").join(if zone == "." { "root" } else { zone.trim_end_matches('.') })
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let dir = self.dir.path().display();
        let mut config = format!(
            "server:\n ip-address: 127.0.0.1@{}\n username: \"\"\n chroot: \"\"\n server-count: 1\n database: \"\"\n\
             \x20pidfile: \"{dir}/pid\"\n logfile: \"{dir}/log\"\n zonelistfile: \"{dir}/list\"\n xfrdfile: \"{dir}/xfrd\"\n\
             \x20xfrdir: \"{dir}\"\n zonesdir: \"{dir}/zones\"\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n",
            self.at.port()
        );
        for entry in fs::read_dir(self.path("zones")).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = if file == "root" { "." } else { &file };
            config += &format!("zone:\n name: \"{name}\"\n zonefile: \"{file}\"\n");
        }
        fs::write(self.path("nsd.conf"), config).unwrap();
        let mut command = Command::new("nsd");
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        command.arg("-d").arg("-c").arg(self.path("nsd.conf")).stdin(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        self.serves().await;
    }

    /// Ends it, and starts it with the zones as they are now.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.start().await;
    }

    /// Asks until it answers for the root.
    async fn serves(&self) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.at).await.unwrap();
        let mut query = Message::query();
        query.add_query(Query::query(Name::root(), RecordType::SOA));
        let query = query.to_vec().unwrap();
        let began = Instant::now();
        loop {
            assert!(
                began.elapsed() < PATIENCE,
                "no answer: {}",
                fs::read_to_string(self.path("log")).unwrap_or_default()
            );
            // Refused while nobody listens; silent while it starts.
            let _refused = socket.send(&query).await;
            let mut answer = [0; 4096];
            if let Ok(Ok(len)) = tokio::time::timeout(Duration::from_millis(50), socket.recv(&mut answer)).await
                && !Message::from_vec(&answer[..len]).unwrap().answers.is_empty()
            {
                return;
            }
        }
    }

    fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // It ends its own children, which a plain kill would leave behind.
        let sent = Command::new("sh").args(["-c", "kill -TERM $1", "sh", &process.id().to_string()]).status();
        if !sent.is_ok_and(|status| status.success()) {
            let _gone = process.kill();
        }
        let _ended = process.wait();
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Runs a program to its end, and gives what it said.
fn said(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A port that is free for both UDP and TCP.
fn free_port() -> SocketAddr {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = udp.local_addr().unwrap();
        if TcpListener::bind(at).is_ok() {
            return at;
        }
    }
    panic!("no free port");
}
