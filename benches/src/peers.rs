//! Postfix → Postfix → LMTP → Dovecot, by the peers' own harness: `email_peer.py`, which prints one JSON line.
//!
//! It lies beside the checkout (`../shared/perf`), or where `POSTLINE_PERF` says. It needs root, Postfix and Dovecot.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Fault;

/// What the harness found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mail {
    /// 250 until the body was fetched, by a client that asks every half millisecond: median, in milliseconds.
    pub polled_ms: f64,
    /// The same by a client in IMAP IDLE.
    pub idle_ms: f64,
    /// Mails a second in the mailboxes, with 32 submitters: the best of its runs.
    pub per_second: f64,
    /// CPU milliseconds of all servers, a mail, in that run.
    pub cpu_ms: f64,
    /// Versions, and the whole line for the record.
    pub versions: String,
}

/// Runs the harness, under the same scheduling as this process. `Ok(Err)` says why it was skipped.
///
/// # Errors
/// Where it failed.
pub fn measure() -> Result<Result<Mail, String>, Fault> {
    let Some(script) = script() else { return Ok(Err("no email_peer.py at hand (POSTLINE_PERF)".to_owned())) };
    for (program, package) in
        [("postfix", "postfix dovecot-imapd dovecot-lmtpd"), ("dovecot", "dovecot-imapd dovecot-lmtpd")]
    {
        if !has(program) && !install(package) {
            return Ok(Err(format!("no {program}, and it could not be installed")));
        }
    }
    let mut command = Command::new("python3");
    command.arg("email_peer.py").current_dir(script);
    command.args(["--n", "200", "--n-idle", "20", "--messages", "1600", "--repeat", "2"]);
    command.args(["--skip", "wire,strace,fan,muc,idle"]);
    let run = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let line: Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
    if line.get("ok") != Some(&Value::Bool(true)) {
        return Err(format!("the peers' harness failed: {line}").into());
    }
    Ok(Ok(read(&line)))
}

fn read(line: &Value) -> Mail {
    let number = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let rows = |name: &str| line.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let least =
        |name: &str| rows(name).iter().map(|row| number(row, "/accept_to_fetched_ms/p50")).fold(f64::NAN, f64::min);
    let mut mail = Mail {
        polled_ms: least("latency_poll"),
        idle_ms: least("latency_idle"),
        versions: line.get("versions").map(ToString::to_string).unwrap_or_default(),
        ..Mail::default()
    };
    for row in rows("throughput") {
        let per_second = number(&row, "/visible_per_s");
        if number(&row, "/parallel") >= 32.0 && per_second > mail.per_second {
            (mail.per_second, mail.cpu_ms) = (per_second, number(&row, "/server_cpu_ms_per_msg"));
        }
    }
    mail
}

fn script() -> Option<PathBuf> {
    let beside = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/perf"));
    let dir = std::env::var_os("POSTLINE_PERF").map(PathBuf::from).or_else(beside)?;
    dir.join("email_peer.py").exists().then_some(dir)
}

fn has(program: &str) -> bool {
    let at = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    at.iter().any(|dir| Path::new(dir).join(program).exists())
}

fn install(packages: &str) -> bool {
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "install", "-y", "--no-install-recommends"]).args(packages.split(' '));
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    apt.status().is_ok_and(|status| status.success())
}
