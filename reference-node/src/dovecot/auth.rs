//! Logins, checked by Dovecot: the client's side of its authentication protocol (version 1), and the socket.
//!
//! ```text
//!   we: VERSION, CPID ──▶   ◀── VERSION, MECH …, SPID, CUID, COOKIE, DONE
//!   we: AUTH 1 PLAIN service=smtp … resp=… ──▶   ◀── OK 1 user=… | FAIL 1 …
//! ```
//!
//! One connection a login: a Dovecot that was restarted is found again by itself. Dovecot knows the peer's address, and
//! makes who guesses passwords wait. What it says of a login is believed; what it can't say, or says malformed, is no
//! "wrong password" but "try again".

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use postline_core::limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::line::{Lines, escape, fields};

/// What Dovecot says of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this user's, as Dovecot names them.
    Yes(String),
    /// It is nobody's: a wrong name or password, or one that may not log in.
    No,
    /// It can't say now.
    Later,
}

/// Why what Dovecot says is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuthFault {
    /// It speaks another version.
    #[error("Dovecot's authentication protocol is of version {0:?}, want 1")]
    Version(String),
    /// It takes no PLAIN logins.
    #[error("Dovecot takes no PLAIN logins")]
    NoPlain,
    /// A line is longer than any may be.
    #[error("a line of more than {max} bytes", max = limits::AUTH_LINE_BYTES)]
    Line,
    /// A line that has no place where it came.
    #[error("{0:?} out of place")]
    OutOfPlace(String),
    /// Too many logins are being checked.
    #[error("{max} logins are being checked already", max = limits::AUTH_CHECKS)]
    Full,
    /// The socket, or the end of patience.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the dialog stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// More must come.
    More,
    /// Now it is ours to ask: write the request.
    Ask,
    /// The answer.
    Verdict(Verdict),
}

/// One login's dialog with Dovecot, without I/O.
#[derive(Debug, Default)]
pub struct Dialog {
    lines: Lines,
    version: bool,
    plain: bool,
    asked: bool,
}

impl Dialog {
    /// What is said first.
    #[must_use]
    pub fn hello(pid: u32) -> Vec<u8> {
        format!("VERSION\t1\t2\nCPID\t{pid}\n").into_bytes()
    }

    /// What is asked once [`Heard::Ask`] says so. `secured`: whether the password came under TLS.
    #[must_use]
    pub fn request(user: &str, password: &str, peer: IpAddr, secured: bool) -> Zeroizing<Vec<u8>> {
        let said = Zeroizing::new(format!("\0{user}\0{password}"));
        let said = Zeroizing::new(BASE64_STANDARD.encode(said.as_bytes()));
        let secured = if secured { "\tsecured" } else { "" };
        let mut line = Zeroizing::new(Vec::with_capacity(128 + said.len()));
        line.extend_from_slice(format!("AUTH\t1\tPLAIN\tservice=smtp{secured}\trip=").as_bytes());
        escape(&mut line, peer.to_canonical().to_string().as_bytes());
        // The response is the last field.
        line.extend_from_slice(b"\tresp=");
        line.extend_from_slice(said.as_bytes());
        line.push(b'\n');
        line
    }

    /// Takes what Dovecot says. Call it with nothing to go on after [`Heard::Ask`].
    ///
    /// # Errors
    /// [`AuthFault`]: then the connection is of no more use.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Heard, AuthFault> {
        self.lines.push(bytes);
        while let Some(line) = self.lines.next() {
            if line.len() > limits::AUTH_LINE_BYTES {
                return Err(AuthFault::Line);
            }
            let words: Vec<String> = fields(&line).map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match self.line(&words)? {
                Heard::More => {}
                heard @ (Heard::Ask | Heard::Verdict(_)) => return Ok(heard),
            }
        }
        if self.lines.len() > limits::AUTH_LINE_BYTES { Err(AuthFault::Line) } else { Ok(Heard::More) }
    }

    fn line(&mut self, words: &[&str]) -> Result<Heard, AuthFault> {
        match (words, self.asked) {
            (&["VERSION", major, ..], false) => {
                self.version = major == "1";
                if !self.version {
                    return Err(AuthFault::Version(crate::shown::shown(major, 16)));
                }
            }
            (&["MECH", name, ..], false) => self.plain |= name == "PLAIN",
            (&["DONE"], false) if !self.version => return Err(AuthFault::Version(String::new())),
            (&["DONE"], false) if !self.plain => return Err(AuthFault::NoPlain),
            (&["DONE"], false) => {
                self.asked = true;
                return Ok(Heard::Ask);
            }
            (&["OK", "1", ref rest @ ..], true) => {
                let user = rest.iter().find_map(|word| word.strip_prefix("user=")).filter(|user| !user.is_empty());
                let user = user.ok_or_else(|| AuthFault::OutOfPlace("OK without user".to_owned()))?;
                return Ok(Heard::Verdict(Verdict::Yes(user.to_owned())));
            }
            (&["FAIL", "1", ref rest @ ..], true) => {
                let later = rest.iter().any(|word| matches!(*word, "temp" | "code=temp_fail"));
                return Ok(Heard::Verdict(if later { Verdict::Later } else { Verdict::No }));
            }
            // Words of later versions.
            (_, false) => {}
            (words, true) => {
                let word = words.first().copied().unwrap_or_default();
                return Err(AuthFault::OutOfPlace(crate::shown::shown(word, 16)));
            }
        }
        Ok(Heard::More)
    }
}

/// Dovecot's `auth-client` socket.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    checks: Semaphore,
}

impl Client {
    /// The socket at this path. It is opened for each login, so it need not be there yet.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, checks: Semaphore::new(limits::AUTH_CHECKS) }
    }

    /// Has a login checked that came under TLS from `peer`. What goes wrong is logged, never with the password.
    pub async fn check(&self, user: &str, password: &str, peer: IpAddr) -> Verdict {
        let bound = Duration::from_millis(limits::AUTH_MS);
        let asked = timeout(bound, self.ask(user, password, peer)).await;
        asked.unwrap_or_else(|late| Err(io::Error::from(late).into())).unwrap_or_else(|fault| {
            tracing::error!(target: "postline", socket = %self.socket.display(), %fault, "Dovecot can't check a login");
            Verdict::Later
        })
    }

    async fn ask(&self, user: &str, password: &str, peer: IpAddr) -> Result<Verdict, AuthFault> {
        let _place = self.checks.try_acquire().map_err(|_| AuthFault::Full)?;
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(&Dialog::hello(std::process::id())).await?;
        let (mut dialog, mut room, mut got) = (Dialog::default(), vec![0; 4 * 1024], 0);
        loop {
            match dialog.hear(room.get(..got).unwrap_or_default())? {
                Heard::Verdict(verdict) => return Ok(verdict),
                Heard::Ask => {
                    // Our submission ports take passwords under TLS only.
                    stream.write_all(&Dialog::request(user, password, peer, true)).await?;
                    got = 0;
                }
                Heard::More => {
                    got = stream.read(&mut room).await?;
                    if got == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
    }
}
