//! The peers, each measured by their own harness, which prints one JSON line: mail, XMPP, Matrix, Delta Chat.
//!
//! The harness lies beside the checkout (`../shared/perf`), or where `POSTLINE_PERF` says. It needs root and the peers'
//! packages, which are installed where that is allowed; Synapse and Delta Chat come from a Python environment of their
//! own, made in the build's directory or named by `POSTLINE_PERF_PYTHON`. What can't be run is skipped, and said so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// How many send at once where throughput is measured: as many as ours.
pub const SENDERS: u64 = 32;

/// What was found of a peer, or why it was skipped.
pub type Outcome = Result<Row, Skipped>;

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Who.
    pub name: String,
    /// From send until the other person's program has it: 50, 95 and 99 %, in milliseconds. The best of its runs.
    pub latency_ms: [f64; 3],
    /// From send until the receipt of the other person's program is back: 50, 95 and 99 %, in milliseconds.
    pub receipt_ms: [f64; 3],
    /// Messages a second that arrive, from so many at once as was asked for: the best of its runs.
    pub per_second: Option<f64>,
    /// CPU milliseconds of all servers, a message, in that run.
    pub cpu_ms: Option<f64>,
    /// What had survived a power cut when it was shown.
    pub durable: &'static str,
    /// What was encrypted.
    pub encrypted: &'static str,
}

/// A peer that wasn't measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Who.
    pub name: String,
    /// Why.
    pub why: String,
}

/// How a peer is run, and how its line is read.
struct Peer {
    name: &'static str,
    packages: &'static str,
    /// Whether it runs on the Python environment with the peers' packages.
    environment: bool,
    call: &'static [&'static str],
    /// Where its latency and its throughput stand: list and value.
    latency: (&'static str, &'static str),
    throughput: (&'static str, &'static str),
    durable: &'static str,
    encrypted: &'static str,
}

const MAIL_PACKAGES: &str = "postfix dovecot-imapd dovecot-lmtpd";
const TLS_BETWEEN: &str = "between the servers";
const XMPP_LATENCY: (&str, &str) = ("latency", "/one_way_ms");
const DELIVERED: (&str, &str) = ("throughput", "/delivered_per_s");

/// The mail stack's harness measures twice: by asking, and by IDLE.
const MAIL: [Peer; 2] = [
    Peer {
        name: "Postfix → Dovecot, polled every 0.5 ms",
        packages: MAIL_PACKAGES,
        environment: false,
        call: &[
            "email_peer.py",
            "--n",
            "200",
            "--n-idle",
            "20",
            "--messages",
            "1600",
            "--repeat",
            "2",
            "--skip",
            "wire,strace,fan,muc,idle",
        ],
        latency: ("latency_poll", "/accept_to_fetched_ms"),
        throughput: ("throughput", "/visible_per_s"),
        durable: "both queues, the mailbox",
        encrypted: "nothing",
    },
    Peer {
        name: "Postfix → Dovecot, IMAP IDLE",
        packages: MAIL_PACKAGES,
        environment: false,
        call: &[],
        latency: ("latency_idle", "/accept_to_fetched_ms"),
        throughput: ("", ""),
        durable: "both queues, the mailbox",
        encrypted: "nothing",
    },
];

/// Mail read by IDLE, and nothing else of the mail stack.
const IDLE_ALONE: Peer = Peer {
    name: "Postfix → Dovecot, IMAP IDLE",
    packages: MAIL_PACKAGES,
    environment: false,
    call: &["email_peer.py", "--n", "20", "--n-idle", "20", "--repeat", "1", "--skip", "wire,strace,thr,fan,muc,idle"],
    latency: ("latency_idle", "/accept_to_fetched_ms"),
    throughput: ("", ""),
    durable: "both queues, the mailbox",
    encrypted: "nothing",
};

const BOTH_ARCHIVES: &str = "both archives";

const OTHERS: [Peer; 5] = [
    xmpp(
        "Prosody, archive in SQLite",
        "prosody lua-unbound lua-dbi-sqlite3",
        &[
            "xmpp_peer.py",
            "--server",
            "prosody",
            "--storage",
            "sql",
            "--n",
            "200",
            "--messages",
            "1600",
            "--repeat",
            "2",
            "--skip",
            "wire,strace,muc,idle",
        ],
        BOTH_ARCHIVES,
    ),
    xmpp(
        "ejabberd, archive in SQLite",
        "ejabberd erlang-p1-sqlite3",
        &[
            "xmpp_peer.py",
            "--server",
            "ejabberd",
            "--storage",
            "sql",
            "--n",
            "200",
            "--messages",
            "1600",
            "--repeat",
            "2",
            "--skip",
            "wire,strace,muc,idle",
        ],
        BOTH_ARCHIVES,
    ),
    xmpp(
        "ejabberd, nothing archived",
        "ejabberd erlang-p1-sqlite3",
        &[
            "xmpp_peer.py",
            "--server",
            "ejabberd",
            "--storage",
            "none",
            "--n",
            "200",
            "--messages",
            "16000",
            "--repeat",
            "2",
            "--skip",
            "wire,strace,muc,idle",
        ],
        "nothing",
    ),
    Peer {
        name: "Synapse",
        packages: "python3-venv",
        environment: true,
        call: &["synapse_peer.py", "--n", "60", "--messages", "64", "--repeat", "1"],
        latency: XMPP_LATENCY,
        throughput: DELIVERED,
        durable: "both databases",
        encrypted: TLS_BETWEEN,
    },
    Peer {
        name: "Delta Chat over Postfix and Dovecot",
        packages: "postfix dovecot-imapd dovecot-lmtpd python3-venv",
        environment: true,
        call: &["deltachat_peer.py", "--n", "15"],
        latency: ("", "/one_way_ms"),
        throughput: ("", ""),
        durable: "both queues, the mailbox",
        encrypted: "end to end",
    },
];

const fn xmpp(
    name: &'static str,
    packages: &'static str,
    call: &'static [&'static str],
    durable: &'static str,
) -> Peer {
    let (latency, throughput) = (XMPP_LATENCY, DELIVERED);
    Peer { name, packages, environment: false, call, latency, throughput, durable, encrypted: TLS_BETWEEN }
}

/// Runs the mail stack; then the others too, if asked for. Under the same scheduling as this process.
#[must_use]
pub fn measure(others: bool) -> Vec<Outcome> {
    let Some(dir) = harness() else {
        return vec![Err(Skipped { name: "all peers".into(), why: "no harness at hand (POSTLINE_PERF)".into() })];
    };
    let mut outcomes = Vec::new();
    let [polled, _] = &MAIL;
    match run(&dir, polled) {
        Ok(line) => outcomes.extend(MAIL.iter().map(|peer| Ok(read(&line, peer, SENDERS)))),
        Err(skipped) => outcomes.push(Err(skipped)),
    }
    for peer in OTHERS.iter().filter(|_| others) {
        outcomes.push(run(&dir, peer).map(|line| read(&line, peer, SENDERS)));
    }
    outcomes
}

/// Runs those that sealed messages are held against: mail read by IDLE, and XMPP with durable archives, the throughput of
/// these with so many pairs. Under the same scheduling as this process.
#[must_use]
pub fn beside_messages(pairs: u64) -> Vec<Outcome> {
    let Some(dir) = harness() else {
        return vec![Err(Skipped { name: "all peers".into(), why: "no harness at hand (POSTLINE_PERF)".into() })];
    };
    let durable = OTHERS.iter().filter(|peer| peer.durable == BOTH_ARCHIVES);
    [&IDLE_ALONE].into_iter().chain(durable).map(|peer| run(&dir, peer).map(|line| read(&line, peer, pairs))).collect()
}

/// One run of a peer's harness: its line.
fn run(dir: &Path, peer: &Peer) -> Result<Value, Skipped> {
    let skipped = |why: String| Skipped { name: peer.name.to_owned(), why };
    install(peer.packages).map_err(skipped)?;
    let python = if peer.environment { environment().map_err(skipped)? } else { PathBuf::from("python3") };
    let mut command = Command::new(&python);
    command.args(peer.call).current_dir(dir);
    if peer.call.first() == Some(&"synapse_peer.py") {
        command.arg("--python").arg(&python);
    }
    let run = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|why| skipped(why.to_string()))?;
    let said = String::from_utf8_lossy(&run.stdout);
    let line: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .map_err(|why| skipped(format!("its harness said nothing to be read: {why}")))?;
    match line.get("ok") {
        Some(Value::Bool(true)) => Ok(line),
        _ => Err(skipped(format!("its harness failed: {}", line.get("error").unwrap_or(&Value::Null)))),
    }
}

fn read(line: &Value, peer: &Peer, senders: u64) -> Row {
    let number = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_f64);
    let rows = |name: &str| match line.get(name) {
        Some(Value::Array(rows)) => rows.clone(),
        _ if name.is_empty() => vec![line.clone()],
        _ => Vec::new(),
    };
    let (list, at) = peer.latency;
    let percentiles =
        |row: &Value| ["p50", "p95", "p99"].map(|p| number(row, &format!("{at}/{p}")).unwrap_or(f64::NAN));
    let latency_ms = rows(list).iter().map(percentiles).min_by(|one, two| one[0].total_cmp(&two[0]));
    let receipt =
        |row: &Value| ["p50", "p95", "p99"].map(|p| number(row, &format!("/receipt_rtt_ms/{p}")).unwrap_or(f64::NAN));
    let receipt_ms = rows(list).iter().map(receipt).min_by(|one, two| one[0].total_cmp(&two[0]));
    let (list, at) = peer.throughput;
    let flows = if list.is_empty() { Vec::new() } else { rows(list) };
    let like_ours = flows.iter().filter(|row| row.get("parallel").and_then(Value::as_u64) == Some(senders));
    let best = like_ours.filter_map(|row| Some((number(row, at)?, row))).max_by(|one, two| one.0.total_cmp(&two.0));
    Row {
        name: match line.get("versions").and_then(Value::as_object) {
            Some(versions) => {
                let version = |(what, version): (&String, &Value)| Some(format!("{what} {}", short(version.as_str()?)));
                let versions: Vec<String> = versions.iter().filter_map(version).collect();
                format!("{} ({})", peer.name, versions.join(", "))
            }
            None => peer.name.to_owned(),
        },
        latency_ms: latency_ms.unwrap_or([f64::NAN; 3]),
        receipt_ms: receipt_ms.unwrap_or([f64::NAN; 3]),
        per_second: best.map(|(per_second, _)| per_second),
        cpu_ms: best.and_then(|(_, row)| number(row, "/server_cpu_ms_per_msg")),
        durable: peer.durable,
        encrypted: peer.encrypted,
    }
}

/// A version without its packaging.
fn short(version: &str) -> String {
    let version = version.rsplit_once(':').map_or(version, |(_, version)| version);
    version.split(['+', '-', '~']).next().unwrap_or(version).to_owned()
}

pub(crate) fn harness() -> Option<PathBuf> {
    let beside = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/perf"));
    let dir = std::env::var_os("POSTLINE_PERF").map(PathBuf::from).or_else(beside)?;
    dir.join("email_peer.py").exists().then_some(dir)
}

/// Installs what is missing of these packages.
fn install(packages: &str) -> Result<(), String> {
    let there = |package: &&str| {
        let mut query = Command::new("dpkg-query");
        query.args(["-W", "-f", "${db:Status-Status}", package]).stderr(Stdio::null());
        query.output().is_ok_and(|said| said.stdout == b"installed")
    };
    let missing: Vec<&str> = packages.split(' ').filter(|package| !there(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "install", "-y", "--no-install-recommends"]).args(&missing);
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    match apt.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("{} could not be installed", missing.join(", "))),
    }
}

/// The Python that has Synapse and Delta Chat.
fn environment() -> Result<PathBuf, String> {
    if let Some(python) = std::env::var_os("POSTLINE_PERF_PYTHON") {
        return Ok(python.into());
    }
    let program = std::env::current_exe().map_err(|why| why.to_string())?;
    let dir = program.parent().and_then(Path::parent).ok_or("no build directory")?.join("peers-python");
    let python = dir.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&dir).status();
    let packages = ["matrix-synapse", "deltachat-rpc-server", "deltachat-rpc-client"];
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet"]).args(packages).stdout(Stdio::null());
    match made.and_then(|_| pip.status()) {
        Ok(status) if status.success() => Ok(python),
        _ => {
            // Half an environment would count as a whole one the next time.
            let _ = std::fs::remove_dir_all(&dir);
            Err(format!("{} could not be installed", packages.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_of_a_peers_runs_is_taken() {
        let [polled, idle] = &MAIL;
        let line = json!({
            "versions": { "postfix": "3.7.11", "dovecot": "1:2.3.19.1+dfsg1" },
            "latency_poll": [
                { "accept_to_fetched_ms": { "p50": 20.0, "p95": 30.0, "p99": 40.0 } },
                { "accept_to_fetched_ms": { "p50": 10.0, "p95": 31.0, "p99": 41.0 } },
            ],
            "throughput": [
                { "parallel": 8, "visible_per_s": 300.0, "server_cpu_ms_per_msg": 5.0 },
                { "parallel": 32, "visible_per_s": 250.0, "server_cpu_ms_per_msg": 6.0 },
            ],
        });
        let row = read(&line, polled, SENDERS);
        assert_eq!((row.latency_ms, row.per_second, row.cpu_ms), ([10.0, 31.0, 41.0], Some(250.0), Some(6.0)));
        assert!(row.name.ends_with("(dovecot 2.3.19.1, postfix 3.7.11)"), "{}", row.name);
        let row = read(&line, idle, SENDERS);
        assert!(row.latency_ms[0].is_nan() && row.per_second.is_none());
    }
}
