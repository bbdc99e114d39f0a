//! What the machine is and does: scheduling class, load, CPU time of processes, sync calls, bytes on a connection.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::Fault;

/// Set where this process was started by itself under a real-time scheduler.
const AGAIN: &str = "POSTLINE_BENCH_SCHEDULED";

/// How everything here is scheduled, as the results say it. Starts this program again under `chrt -r 1` where that is
/// allowed, and gives `None` when that has ended well.
///
/// # Errors
/// Where the second run failed.
pub fn schedule() -> Result<Option<&'static str>, Fault> {
    if std::env::var_os(AGAIN).is_some() {
        return Ok(Some("SCHED_RR 1 (chrt -r 1)"));
    }
    let allowed = Command::new("chrt").args(["-r", "1", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return Ok(Some("normal: chrt -r 1 is not allowed here"));
    }
    let mut again = Command::new("chrt");
    again.args(["-r", "1"]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(AGAIN, "1");
    let status = again.status()?;
    if status.success() { Ok(None) } else { Err(format!("{status}").into()) }
}

/// What this machine is, in one line.
#[must_use]
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |name: &str| cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ").map(|(_, v)| v));
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cpus} CPUs, {} {} MHz, Linux {}",
        field("model name").unwrap_or("unknown"),
        field("cpu MHz").unwrap_or("?"),
        kernel.trim()
    )
}

/// The file system that `dir` is on, and the load of the last minute.
#[must_use]
pub fn circumstances(dir: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let on = mounts.filter(|(at, _)| dir.starts_with(at)).max_by_key(|(at, _)| at.len());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{}, load {}", on.map_or("?", |(_, kind)| kind), load.split(' ').next().unwrap_or("?"))
}

/// Today, UTC, as `date` says it.
#[must_use]
pub fn today() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    date.map(|date| String::from_utf8_lossy(&date.stdout).trim().to_owned()).unwrap_or_default()
}

/// CPU milliseconds that these processes have used, in clock ticks of 10 ms.
///
/// # Errors
/// Where one is gone.
pub fn cpu_ms(pids: &[u32]) -> Result<f64, Fault> {
    let mut ticks = 0.0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
    }
    Ok(ticks * 10.0)
}

/// So much of a process's memory, in bytes: a line of its status, as `VmRSS` or `RssAnon`.
///
/// # Errors
/// Where it is gone.
pub fn memory(pid: u32, line: &str) -> Result<usize, Fault> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status.lines().find_map(|said| said.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
    Ok(found.ok_or("no such line")?.parse::<usize>()? * 1024)
}

/// Bytes of user data that came over the connections to this port, and in how many segments, both ways, as the kernel's
/// socket statistics say; `None` where `ss` is missing.
#[must_use]
pub fn tcp_bytes(port: u16) -> Option<(u64, u64)> {
    let filter = format!("sport = :{port}");
    let said =
        Command::new("ss").args(["-tinH", "state", "established", &filter]).stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let sum = |name: &str| -> u64 {
        said.split_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum()
    };
    said.contains("bytes_received").then(|| (sum("bytes_received:"), sum("bytes_sent:")))
}

/// What went over one connection, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets, those that only ack among them.
    pub packets: u64,
    /// Packets with something in them.
    pub full: u64,
    /// Bytes of packets: what is in them, and the heads of IP and TCP.
    pub ip_bytes: u64,
}

impl Traffic {
    /// What went over the connections that processes have dialled so far: each `(pid, port)`, who dialled and where to. So
    /// the link of two nodes is told from the sessions of devices at the same port. `None` where `ss` is missing or may
    /// not say whose a connection is.
    #[must_use]
    pub fn of(dialled: &[(u32, u16)]) -> Option<Self> {
        let said = Command::new("ss").args(["-tinpHO", "state", "established"]).stderr(Stdio::null()).output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let is_ours = |line: &&str| {
            let to = line.split_whitespace().nth(3).and_then(|to| to.rsplit_once(':')?.1.parse::<u16>().ok());
            dialled.iter().any(|(pid, port)| to == Some(*port) && line.contains(&format!("pid={pid},")))
        };
        let lines: Vec<&str> = said.lines().filter(is_ours).collect();
        (!lines.is_empty()).then(|| lines.into_iter().map(Self::read).fold(Self::default(), Self::and))
    }

    fn read(line: &str) -> Self {
        let value = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
        let sum = |names: [&str; 2]| names.into_iter().filter_map(value).sum::<u64>();
        let packets = sum(["segs_out:", "segs_in:"]);
        // RFC 791, RFC 9293; RFC 7323's timestamps where they are on.
        let head = if line.split_whitespace().any(|word| word == "ts") { 52 } else { 40 };
        let ip_bytes = sum(["bytes_sent:", "bytes_received:"]) + packets * head;
        Self { packets, full: sum(["data_segs_out:", "data_segs_in:"]), ip_bytes }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            full: self.full + other.full,
            ip_bytes: self.ip_bytes + other.ip_bytes,
        }
    }

    /// What came since.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            full: self.full - before.full,
            ip_bytes: self.ip_bytes - before.ip_bytes,
        }
    }
}

/// Counts the sync calls of processes, with strace.
#[derive(Debug)]
pub struct Syncs {
    strace: Child,
    out: std::path::PathBuf,
}

impl Syncs {
    /// Starts counting; `None` where there is no strace, or it may not look.
    #[must_use]
    pub fn count(pids: &[u32], dir: &Path) -> Option<Self> {
        let out = dir.join("strace.txt");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o"]).arg(&out);
        for pid in pids {
            strace.args(["-p", &pid.to_string()]);
        }
        let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        sleep(Duration::from_secs(1));
        let lives = matches!(strace.try_wait(), Ok(None));
        lives.then_some(Self { strace, out })
    }

    /// Stops, and gives how many there were.
    ///
    /// # Errors
    /// The system's.
    pub fn stop(mut self) -> Result<usize, Fault> {
        // SIGINT, so that it lets go of the processes.
        Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status()?;
        self.strace.wait()?;
        let said = fs::read_to_string(&self.out)?;
        Ok(said.lines().filter(|line| line.contains("sync") && !line.contains("resumed>")).count())
    }
}
