//! A person at a terminal: `postline chat` and `postline device`, run as processes and spoken to as a script would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::nodes::{Node, PASSWORD};
use crate::cli::PartFault;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One device of somebody: where it keeps itself, and its node.
#[derive(Clone, Debug)]
pub struct Seat {
    program: PathBuf,
    /// Whose it is.
    pub address: String,
    /// Its store.
    pub store: PathBuf,
    /// Where it reaches its node.
    pub node: String,
    nk: String,
}

/// A device that is talking.
pub struct Terminal {
    process: Child,
    /// Its standard input, until the end.
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// What it has told and nobody has waited for, with when it did.
    told: Vec<(Value, Instant)>,
    /// How often it has shown each message.
    shown: BTreeMap<String, usize>,
    /// What is called how that was said with a salt.
    names: BTreeMap<String, String>,
}

impl Seat {
    /// A device of `address`, at a node that runs, with a store of its own.
    ///
    /// # Errors
    /// Where the node doesn't answer.
    pub async fn new(program: &Path, address: &str, node: &Node, store: PathBuf) -> Result<Self, PartFault> {
        let (nk, at) = (node.status().await?.node_key, node.link.clone());
        Ok(Self { program: program.to_owned(), address: address.to_owned(), store, node: at, nk })
    }

    /// The program, with a command and this device's arguments.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--json").args(words).args(["--as", &self.address, "--node", &self.node, "--nk", &self.nk]);
        command.arg("--store").arg(&self.store).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// Runs a `device` command to its end, with one line of input: gives how it ended, and what it printed.
    ///
    /// # Errors
    /// The system's; where it doesn't end.
    pub async fn run(&self, words: &[&str], line: &str) -> Result<(ExitStatus, Vec<Value>), PartFault> {
        let mut process = self.command(words).stderr(Stdio::null()).spawn()?;
        if let Some(mut input) = process.stdin.take() {
            // It may need no input, and have ended.
            let _ended = input.write_all(format!("{line}\n").as_bytes()).await;
        }
        let output = timeout(PATIENCE, process.wait_with_output()).await??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status, text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
    }

    /// Enrols the device with the mailbox's password.
    ///
    /// # Errors
    /// Where the node says no.
    pub async fn enrol(&self) -> Result<Vec<Value>, PartFault> {
        let (status, told) = self.run(&["device", "enrol"], PASSWORD).await?;
        if status.success() { Ok(told) } else { Err(format!("not enrolled: {status}; {told:?}").into()) }
    }

    /// Begins to join, by a code that is shown.
    ///
    /// # Errors
    /// The system's.
    pub fn joining(&self) -> Result<Terminal, PartFault> {
        self.talking(&["device", "join"])
    }

    /// Begins to talk with somebody.
    ///
    /// # Errors
    /// The system's.
    pub fn chat(&self, peer: &str) -> Result<Terminal, PartFault> {
        self.talking(&["chat", peer])
    }

    fn talking(&self, words: &[&str]) -> Result<Terminal, PartFault> {
        let mut process = self.command(words).stderr(Stdio::inherit()).spawn()?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().ok_or("no standard output")?).lines();
        Ok(Terminal { process, input, output, told: Vec::new(), shown: BTreeMap::new(), names: BTreeMap::new() })
    }
}

impl Terminal {
    /// Types a line: gives when.
    ///
    /// # Errors
    /// Where the program has ended.
    pub async fn say(&mut self, line: &str) -> Result<Instant, PartFault> {
        let input = self.input.as_mut().ok_or("input has ended")?;
        input.write_all(format!("{line}\n").as_bytes()).await?;
        input.flush().await?;
        Ok(Instant::now())
    }

    /// Waits for an event of this name for which `is` holds: gives it, and when it was read.
    ///
    /// # Errors
    /// Where it doesn't come in time, or the program ends.
    pub async fn wait_for(
        &mut self,
        name: &str,
        patience: Duration,
        is: impl Fn(&Value) -> bool,
    ) -> Result<(Value, Instant), PartFault> {
        let fits = |event: &Value| event.get("event").and_then(Value::as_str) == Some(name) && is(event);
        if let Some(at) = self.told.iter().position(|(event, _)| fits(event)) {
            return Ok(self.told.remove(at));
        }
        let until = Instant::now() + patience;
        loop {
            let line = match tokio::time::timeout_at(until, self.output.next_line()).await {
                Ok(line) => line?.ok_or("the device ended")?,
                Err(_) => {
                    let told: Vec<String> = self.told.iter().map(|(event, _)| event.to_string()).collect();
                    return Err(format!("never {name}; it told {}", told.join(" ")).into());
                }
            };
            let (event, now) = (serde_json::from_str(&line)?, Instant::now());
            self.count(&event);
            if fits(&event) {
                return Ok((event, now));
            }
            self.told.push((event, now));
        }
    }

    /// Waits until this text was said.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn hears(&mut self, text: &str, patience: Duration) -> Result<(Value, Instant), PartFault> {
        self.wait_for("said", patience, |said| said.get("text").and_then(Value::as_str) == Some(text)).await
    }

    /// Waits until something said with this salt has a mark.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn marked(&mut self, salt: &str, mark: &str, patience: Duration) -> Result<(Value, Instant), PartFault> {
        if !self.names.contains_key(salt) {
            self.wait_for("saying", patience, |event| event.get("salt").and_then(Value::as_str) == Some(salt)).await?;
        }
        let id = self.names.get(salt).cloned().unwrap_or_default();
        let is = |event: &Value, key: &str, value: &str| event.get(key).and_then(Value::as_str) == Some(value);
        self.wait_for("mark", patience, |event| is(event, "id", &id) && is(event, "mark", mark)).await
    }

    fn count(&mut self, event: &Value) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
        if text("event").as_deref() == Some("saying")
            && let (Some(salt), Some(id)) = (text("salt"), text("id"))
        {
            self.names.insert(salt, id);
        }
        if event.get("event").and_then(Value::as_str) == Some("said")
            && let Some(id) = event.get("id").and_then(Value::as_str)
        {
            *self.shown.entry(id.to_owned()).or_default() += 1;
        }
    }

    /// The id of its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends input, and waits for the program's end: gives how many messages it showed more than once.
    ///
    /// # Errors
    /// Where it doesn't end, or not well.
    pub async fn end(mut self) -> Result<usize, PartFault> {
        drop(self.input.take());
        while let Some(line) = timeout(PATIENCE, self.output.next_line()).await?? {
            self.count(&serde_json::from_str(&line)?);
        }
        let status = timeout(PATIENCE, self.process.wait()).await??;
        let doubled = self.shown.values().map(|count| count - 1).sum();
        if status.success() { Ok(doubled) } else { Err(format!("a device ended badly: {status}").into()) }
    }
}
