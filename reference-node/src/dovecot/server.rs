//! The socket of Dovecot's dict protocol: one [session](super::session) a connection, and the node behind it.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postline_core::limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::session::{Answer, DictFault, Input, Output, Question, Session};

/// The node's side of the dict.
pub trait DictHost: Send + Sync + 'static {
    /// Answers one question, in [`DICT_ANSWER_MS`](limits::DICT_ANSWER_MS) at the most. Called from several connections
    /// at a time.
    fn answer(&self, question: Question) -> impl Future<Output = Answer> + Send;
}

/// What happened on the socket so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were opened.
    pub connections: AtomicU64,
    /// Questions that the node answered.
    pub questions: AtomicU64,
    /// Connections that were closed for what they said.
    pub garbage: AtomicU64,
}

/// The open socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    counts: Arc<Counts>,
}

impl Listener {
    /// Opens the socket for this user, and for the group `gid` where one is named. A file that a dead node left is
    /// replaced.
    ///
    /// Whoever may write to it speaks for every user, so nobody else may, not for a moment: the file gets its mode and
    /// group under another name.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(path: &Path, gid: Option<u32>) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens here already"));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        match std::fs::remove_file(&new) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixListener::bind(&new)?;
        let mode = if gid.is_some() { 0o660 } else { 0o600 };
        let placed = std::os::unix::fs::chown(&new, None, gid)
            .and_then(|()| std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)))
            .and_then(|()| std::fs::rename(&new, path));
        if let Err(why) = placed {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&new);
            return Err(why);
        }
        Ok(Self { socket, path: path.to_owned(), counts: Arc::default() })
    }

    /// What happens on it.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Answers until dropped.
    pub async fn serve(self, host: Arc<impl DictHost>) {
        let room = Arc::new(Semaphore::new(limits::DICT_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(target: "postline", %error, "dict socket");
                    // Out of files, most likely: others close theirs.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (host, counts) = (Arc::clone(&host), Arc::clone(&self.counts));
            counts.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                match converse(stream, &*host, &counts).await {
                    Ok(None) => {}
                    Ok(Some(fault)) => {
                        let garbage = counts.garbage.fetch_add(1, Ordering::Relaxed) + 1;
                        tracing::warn!(target: "postline", %fault, garbage, "dict connection closed");
                    }
                    Err(error) => tracing::debug!(target: "postline", %error, "dict connection"),
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

/// Holds one conversation; says why it was closed, where the other end is no dict client.
async fn converse(mut stream: UnixStream, host: &impl DictHost, counts: &Counts) -> io::Result<Option<DictFault>> {
    let patience = Duration::from_millis(limits::DICT_IDLE_MS);
    let (mut session, mut out, mut room) = (Session::new(), Vec::new(), Vec::new());
    loop {
        let mut next = None;
        for output in out.drain(..) {
            match output {
                Output::Say(bytes) => timeout(patience, stream.write_all(&bytes)).await??,
                Output::Ask(question) => {
                    counts.questions.fetch_add(1, Ordering::Relaxed);
                    next = Some(ask(host, question).await);
                }
                Output::Close(fault) => return Ok(Some(fault)),
            }
        }
        let input = match next {
            Some(answer) => Input::Answer(answer),
            None => {
                room.resize(session.appetite(), 0);
                match timeout(patience, stream.read(&mut room)).await?? {
                    0 => return Ok(None),
                    got => Input::Bytes(room.get(..got).unwrap_or_default()),
                }
            }
        };
        session.step(input, &mut out).map_err(io::Error::other)?;
    }
}

/// Whatever the host does, Dovecot has its answer in time.
async fn ask(host: &impl DictHost, question: Question) -> Answer {
    let late = match question {
        Question::Change { .. } => Answer::Uncertain,
        Question::Look { .. } | Question::List { .. } => Answer::Refused("no answer in time".to_owned()),
    };
    timeout(Duration::from_millis(limits::DICT_ANSWER_MS), host.answer(question)).await.unwrap_or(late)
}
