//! A foreign implementation as a child process: a request a line to its standard input, an answer a line from its
//! standard output.
//!
//! ```text
//!   ask ──line──▶ writer thread ──▶ stdin  [ shim ]  stdout ──▶ reader thread ──line──▶ ask, no later than the deadline
//! ```
//!
//! A shim that doesn't answer in time, answers nonsense or ends is ended and started again for the next request, a few
//! times. Its standard error is the user's.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::answer::Answer;

/// Exit status of a shim that implements nothing of what it is asked for.
pub const UNIMPLEMENTED: i32 = 89;

/// Longest line of an answer, in bytes, its end included.
pub const LINE_BYTES: u64 = 1024 * 1024;

/// What is said of a shim that closed its standard output.
const ENDED: &str = "the shim ended";

/// How often a shim is started.
const STARTS: u32 = 8;

/// How long a shim may take to end once its standard input has: so many looks, so far apart.
const FAREWELL: (u32, Duration) = (400, Duration::from_millis(5));

/// A shim, running or not.
pub struct Shim {
    command: Vec<String>,
    deadline: Duration,
    running: Option<Running>,
    starts: u32,
    unimplemented: bool,
}

struct Running {
    child: Child,
    requests: SyncSender<String>,
    lines: Receiver<Result<String, String>>,
}

impl Shim {
    /// A shim of this command, which has so long for each answer. It is started when it is first asked.
    #[must_use]
    pub const fn new(command: Vec<String>, deadline: Duration) -> Self {
        Self { command, deadline, running: None, starts: 0, unimplemented: false }
    }

    /// Whether it ended with [`UNIMPLEMENTED`].
    #[must_use]
    pub const fn is_unimplemented(&self) -> bool {
        self.unimplemented
    }

    /// Asks one request, and gives its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn ask(&mut self, id: &str, request: &str) -> Result<Answer, String> {
        if self.unimplemented {
            return Err("the shim implements nothing".to_owned());
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        match running.exchange(request, self.deadline).and_then(|line| Answer::parse(&line, id)) {
            Ok(answer) => {
                self.running = Some(running);
                Ok(answer)
            }
            Err(why) => {
                self.unimplemented = why == ENDED && running.end() == Some(UNIMPLEMENTED);
                Err(why)
            }
        }
    }

    fn start(&mut self) -> Result<Running, String> {
        if self.starts == STARTS {
            return Err(format!("the shim was started {STARTS} times, and is not again"));
        }
        self.starts += 1;
        let (program, arguments) = self.command.split_first().ok_or("no shim")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| format!("{program}: {why}"))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the shim has no pipes".to_owned());
        };
        // A shim that doesn't read holds up its own writer only.
        let (requests, to_write) = sync_channel::<String>(1);
        std::thread::spawn(move || {
            for request in to_write {
                if writeln!(stdin, "{request}").and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        // One line ahead: a shim that talks unasked is stopped by its own pipe.
        let (sender, lines) = sync_channel(1);
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(line) = next_line(&mut stdout).transpose() {
                let last = line.is_err();
                if sender.send(line).is_err() || last {
                    break;
                }
            }
        });
        Ok(Running { child, requests, lines })
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

impl Running {
    fn exchange(&mut self, request: &str, deadline: Duration) -> Result<String, String> {
        if self.requests.try_send(request.to_owned()).is_err() {
            return Err("the shim reads no requests".to_owned());
        }
        match self.lines.recv_timeout(deadline) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer within {} ms", deadline.as_millis())),
            Err(RecvTimeoutError::Disconnected) => Err(ENDED.to_owned()),
        }
    }

    /// Lets it end by itself, or ends it. Its exit status, where it has one of its own.
    fn end(mut self) -> Option<i32> {
        // Without a sender the writer goes, and with it the shim's standard input.
        self.requests = sync_channel(0).0;
        let child = &mut self.child;
        let (looks, apart) = FAREWELL;
        for _ in 0..looks {
            match child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) => std::thread::sleep(apart),
                Err(_) => break,
            }
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next_line(stdout: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    let got = stdout.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).map_err(|why| why.to_string())?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(line).map(Some).map_err(|_| "an answer that isn't UTF-8".to_owned()),
        Some(_) if got as u64 == LINE_BYTES => Err(format!("an answer of more than {LINE_BYTES} bytes")),
        Some(_) => Err("an answer without a line end".to_owned()),
    }
}
