//! The milter's sockets: one [session](super::session) a connection, its questions put to the node, within a deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postline_codec::mime;
use postline_core::content::mail::{Filtered, Rcpt};
use postline_core::id::Domain;
use postline_core::limits;
use ring::rand::SystemRandom;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::session::{Answering, Input, Output, Question, Session, Written};
use crate::beside::{Listener, Stream};
use crate::directory::{Live, Resolved};
use crate::doors::fresh_id;
use crate::hosted::Hosted;
use crate::hosted::reply::{AUTHOR, Reply};
use crate::owner::{Answer, Inbox, Message};
use crate::smtp::server::drained;

/// The milter of a node.
pub struct Milter {
    /// Its people.
    pub people: Arc<Live>,
    /// The domains that it serves.
    pub domains: Arc<[Domain]>,
    /// The devices that it runs.
    pub hosted: Hosted,
    /// The owner's inbox.
    pub inbox: Inbox,
    /// How many clients spoke what is no milter session.
    pub faults: Arc<AtomicU64>,
}

impl Milter {
    /// Serves a listener until `drain` becomes true, or its sender is gone; mails under way may then end.
    pub async fn serve(self, listener: Listener, drain: watch::Receiver<bool>) {
        let mut draining = drain.clone();
        let milter = Arc::new(self);
        let seats = Arc::new(Semaphore::new(limits::BESIDE_SESSIONS));
        let mut sessions = JoinSet::new();
        let mut seat = None;
        loop {
            tokio::select! {
                biased;
                () = drained(&mut draining) => break,
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a milter session died");
                    }
                }
                // Whoever finds no seat waits in the socket's own queue, and Postfix' patience is its own.
                got = Arc::clone(&seats).acquire_owned(), if seat.is_none() => seat = got.ok(),
                accepted = listener.accept(), if seat.is_some() => match accepted {
                    Ok((stream, peer)) => {
                        let (milter, drain, seat) = (Arc::clone(&milter), drain.clone(), seat.take());
                        sessions.spawn(async move {
                            let _seat = seat;
                            milter.converse(stream, peer, drain).await;
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listener);
        let bound = Duration::from_millis(limits::SMTP_DRAIN_MS);
        if timeout(bound, async { while sessions.join_next().await.is_some() {} }).await.is_err() {
            sessions.shutdown().await;
        }
    }

    async fn converse(&self, stream: Stream, peer: SocketAddr, drain: watch::Receiver<bool>) {
        let mut session = Session::new(Arc::clone(&self.domains));
        if let Err(error) = self.talk(&mut session, stream, peer, drain).await {
            tracing::debug!(%peer, %error, "milter session broken off");
        }
    }

    /// Counts why a session ends, where the client erred: before the client can see that it did.
    fn count(&self, session: &Session, peer: SocketAddr) {
        if let Some(fault) = session.fault() {
            let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(target: "postline", event = "milter_fault", %peer, %fault, faults);
        }
    }

    async fn talk(
        &self,
        session: &mut Session,
        mut stream: Stream,
        peer: SocketAddr,
        mut drain: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let idle = Duration::from_millis(limits::MILTER_IDLE_MS);
        let mut room = vec![0; limits::CHUNK_BYTES];
        let (mut out, mut unsaid) = (Vec::new(), Vec::new());
        loop {
            let input = tokio::select! {
                biased;
                () = drained(&mut drain), if session.is_idle() => return Ok(()),
                read = timeout(idle, stream.read(&mut room)) => match read?? {
                    0 => return Ok(()),
                    got => Input::Bytes(room.get(..got).unwrap_or_default()),
                },
            };
            session.step(input, &mut out).map_err(io::Error::other)?;
            while !out.is_empty() {
                let mut answer = None;
                for output in out.drain(..) {
                    match output {
                        Output::Say(bytes) => unsaid.extend_from_slice(&bytes),
                        Output::Ask(question) => answer = Some(self.ask(question).await),
                        Output::Close => {
                            self.count(session, peer);
                            say(&mut stream, &mut unsaid).await?;
                            return stream.shutdown().await;
                        }
                    }
                }
                if let Some(answer) = answer {
                    session.step(answer, &mut out).map_err(io::Error::other)?;
                }
            }
            say(&mut stream, &mut unsaid).await?;
        }
    }

    async fn ask(&self, question: Question) -> Input<'static> {
        match question {
            Question::MaySpeak(login, author) => {
                let may = self.people.current().speaks_for(&login, &author);
                if !may {
                    tracing::info!(target: "postline", event = "unstamped", %author, why = "not the login's");
                }
                Input::MaySpeak(may)
            }
            Question::Stamp(written) => {
                let patience = Duration::from_millis(limits::MILTER_ANSWER_MS);
                let stamped = timeout(patience, self.stamp(*written)).await;
                if stamped.is_err() {
                    tracing::warn!(target: "postline", event = "unstamped", why = "the node is too slow");
                }
                Input::Stamped(stamped.ok().flatten())
            }
            Question::Seal(answering) => {
                let patience = Duration::from_millis(limits::MILTER_SEAL_MS);
                let reply = timeout(patience, self.seal(*answering)).await.unwrap_or(Reply::Later);
                tracing::info!(target: "postline", event = "sealed_reply", ?reply);
                Input::Sealed(reply)
            }
        }
    }

    /// Seals what answers a sealed message: it never goes on as a mail (attack 71).
    async fn seal(&self, answering: Answering) -> Reply {
        let Answering { login, talk, to, mail } = answering;
        let head = mime::scan(&mail);
        let author = head.canonical().map(|canonical| canonical.from.clone());
        match author.filter(|author| self.people.current().speaks_for(&login, author)) {
            Some(author) => self.hosted.reply(&author, talk, to, &mail).await,
            None => Reply::Refused(AUTHOR),
        }
    }

    /// The fields of a mail; `None` where the node can't say.
    async fn stamp(&self, written: Written) -> Option<Vec<String>> {
        let people = self.people.current();
        let to = written.to.into_iter().map(|address| {
            let mailbox = match people.resolve(&address) {
                Resolved::Local(mailbox) => Some(mailbox),
                Resolved::Unknown | Resolved::Remote => None,
            };
            Rcpt { address, mailbox }
        });
        let filtered = Box::new(Filtered { to: to.collect(), canonical: written.canonical });
        let id = fresh_id(&SystemRandom::new())?;
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Message::Filter(id, filtered, answer)).await.ok()?;
        match answered.await.ok()? {
            Answer::Stamp(fields) => Some(fields),
            Answer::Took(_) | Answer::TookFor(_) | Answer::Full | Answer::Broken => None,
        }
    }
}

/// Writes what is unsaid, within [`SMTP_WRITE_MS`](limits::SMTP_WRITE_MS).
async fn say(stream: &mut Stream, unsaid: &mut Vec<u8>) -> io::Result<()> {
    timeout(Duration::from_millis(limits::SMTP_WRITE_MS), stream.write_all(unsaid)).await??;
    unsaid.clear();
    Ok(())
}
