//! The command line's side of the admin socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ANSWER_BYTES, Answer, Request};

/// How long the node may take: longer than its own patience, so that its refusal is heard.
const PATIENCE: Duration = Duration::from_secs(35);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    /// Nobody listens.
    #[error("node not running (nobody listens on {})", .0.display())]
    NotRunning(PathBuf),
    /// The connection failed.
    #[error("the node does not answer: {0}")]
    Io(#[from] io::Error),
    /// The answer is none.
    #[error("the node's answer is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Asks the node that listens on `socket`.
///
/// # Errors
/// [`AskFault`]. A refusal is an answer.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, AskFault> {
    let mut stream = UnixStream::connect(socket).map_err(|error| {
        let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind());
        if nobody { AskFault::NotRunning(socket.to_owned()) } else { AskFault::Io(error) }
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES as u64)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(AskFault::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(serde_json::from_slice(&answer)?)
}
