//! The node's side of the admin socket.

use std::future::Future;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{ANSWER_BYTES, Answer, REQUEST_BYTES, Refusal, RefusalCode, Request};

/// The most connections at a time; more wait.
const CONNECTIONS: usize = 8;
/// How long a connection may be silent, and how long it may take to read its answer.
const IDLE: Duration = Duration::from_secs(10);
/// How long the host may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Who answers requests: the node's owner task and its store, behind one door.
pub trait AdminHost: Send + Sync + 'static {
    /// Answers a request. Called from several connections at a time; given up after 30 s.
    fn answer(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

/// Why the socket can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenFault {
    /// Another node answers on it.
    #[error("{}: another node is running here", .0.display())]
    Taken(PathBuf),
    /// The system refuses.
    #[error("{}: {why}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// The open socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    uid: u32,
}

impl Listener {
    /// Opens the socket for this user alone. A file that a dead node left is replaced.
    ///
    /// # Errors
    /// [`ListenFault`].
    pub fn bind(path: &Path) -> Result<Self, ListenFault> {
        let refused = |why| ListenFault::Io { path: path.to_owned(), why };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(ListenFault::Taken(path.to_owned()));
        }
        match std::fs::remove_file(path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(refused(why)),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixListener::bind(path).map_err(refused)?;
        // Until here others might connect where the directory lets them; their uid is checked all the same.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
        let uid = std::fs::metadata(path).map_err(refused)?.uid();
        Ok(Self { socket, path: path.to_owned(), uid })
    }

    /// Answers requests until dropped.
    pub async fn serve(self, host: Arc<impl AdminHost>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(target: "postline", %error, "admin socket");
                    // Out of files, most likely: others close theirs.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let known = stream.peer_cred().is_ok_and(|peer| peer.uid() == self.uid || peer.uid() == 0);
            if !known {
                continue;
            }
            let host = host.clone();
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &*host).await {
                    tracing::debug!(target: "postline", %error, "admin connection");
                }
                drop(place);
            });
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A file that stays is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers one connection's requests, until it ends, is silent for too long, or says what is none.
async fn converse(stream: UnixStream, host: &impl AdminHost) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(REQUEST_BYTES as u64 + 1);
        timeout(IDLE, bounded.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let request = Request::parse(&line);
        let last = request.is_err();
        let answer = match request {
            Ok(request) => timeout(ANSWER, host.answer(request))
                .await
                .unwrap_or_else(|_| Answer::Refused(Refusal::new(RefusalCode::Busy, "no answer within 30 s"))),
            Err(refusal) => Answer::Refused(refusal),
        };
        timeout(IDLE, write.write_all(&line_of(&answer))).await??;
        if last {
            return Ok(());
        }
    }
}

/// An answer as it is sent.
fn line_of(answer: &Answer) -> Vec<u8> {
    let mut line = match serde_json::to_vec(answer) {
        Ok(line) if line.len() < ANSWER_BYTES => line,
        Ok(_) => br#"{"refused":{"code":"failed","message":"the answer is too long: ask for fewer rows"}}"#.to_vec(),
        Err(_) => br#"{"refused":{"code":"failed","message":"the answer can't be written"}}"#.to_vec(),
    };
    line.push(b'\n');
    line
}
