//! The doors through which sockets reach the owner: SMTP's, and the operator's.
//!
//! A door reads what came (once, by the codec), looks people up in the directory, and hands the owner a value. It
//! decides nothing about trust, lanes or links.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use postline_codec::mime::{self, sealed};
use postline_core::content::mail::{Head, MailEnvelope, MailIn, Source};
use postline_core::id::{Address, ConversationId, Domain, MailId, Mailbox};
use postline_core::limits;
use postline_core::server::{Command, Took};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::oneshot;

use crate::beside::Beside;
use crate::directory::{self, Live};
use crate::hosted::Hosted;
use crate::hosted::reply::Reply;
use crate::logins::Logins;
use crate::metrics::Metrics;
use crate::owner::{self, Inbox, Message};
use crate::smtp;
use crate::smtp::door::{Answer, Arriving, Door, Login, Resolved};
use crate::smtp::lmtp::Each;
use crate::spool::{Body, Incoming, Spool};

/// What SMTP sees of the node.
pub struct MailDoor {
    /// The name that the node calls itself.
    pub hostname: Domain,
    /// The domains that it serves, at least one.
    pub domains: Vec<Domain>,
    /// Its people.
    pub people: Arc<Live>,
    /// Whose a login is.
    pub logins: Arc<Logins>,
    /// Where bodies are received.
    pub spool: Spool,
    /// The owner's inbox.
    pub inbox: Inbox,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where mail goes on, beside another mail server.
    pub beside: Beside,
    /// The devices that the node runs.
    pub hosted: Hosted,
}

impl Door for MailDoor {
    fn hostname(&self) -> &Domain {
        &self.hostname
    }

    fn postmaster(&self) -> Address {
        postmaster(self.domains.first().unwrap_or(&self.hostname))
    }

    async fn login(&self, user: &str, password: &str, peer: IpAddr) -> Login {
        self.logins.check(user, password, peer).await
    }

    fn owns(&self, login: &Mailbox, address: &Address) -> bool {
        self.logins.owns(login, address)
    }

    fn resolve(&self, address: &Address) -> Resolved {
        match self.people.current().resolve(address) {
            directory::Resolved::Local(mailbox) => Resolved::Local(mailbox),
            directory::Resolved::Unknown => Resolved::Unknown,
            directory::Resolved::Remote => Resolved::Remote,
        }
    }

    fn begin(&self) -> std::io::Result<Incoming> {
        Ok(Incoming::new(&self.spool))
    }

    async fn take(&self, arriving: Arriving) -> Answer {
        let (id, peer) = (arriving.id, arriving.peer);
        let answer = self.hand_in(arriving).await;
        if answer != Answer::Taken {
            // What is taken is logged by the event of its arrival; this is the one line of what isn't.
            self.metrics.refused(answer.word());
            tracing::info!(target: "postline", event = "refused", mail = %id, %peer, why = ?answer);
        }
        answer
    }

    async fn take_each(&self, arriving: Arriving, beside: smtp::door::Beside) -> Vec<Each> {
        self.pass(arriving, beside).await
    }
}

impl MailDoor {
    async fn hand_in(&self, arriving: Arriving) -> Answer {
        let Arriving { id, login, envelope, received, staged, .. } = arriving;
        let Ok(body) = staged.body() else { return Answer::Broken };
        let Some((head, bytes)) = read_head(body).await else { return Answer::Broken };
        let authors = mime::authors(&bytes);
        let source = match login {
            None => Source::Stranger,
            Some(login) => {
                if let Some(talk) = sealed::answers(&bytes, &self.domains) {
                    return self.seal(&login, talk, &envelope, &head, &bytes).await;
                }
                let owns = |address: &Address| self.owns(&login, address);
                if !authors.iter().all(|author| author.as_ref().is_some_and(owns)) {
                    return Answer::NotYours;
                }
                let author = head.canonical().map(|canonical| canonical.from.clone());
                Source::User { login, author: author.filter(|author| Some(author) == envelope.from.as_ref()) }
            }
        };
        let mail = MailIn { source, envelope, head, blob: staged.blob, received };
        let (answer, answered) = oneshot::channel();
        if self.inbox.send(Message::Mail(id, Box::new(mail), staged, answer)).await.is_err() {
            return Answer::Broken;
        }
        match answered.await {
            Ok(owner::Answer::Took(Took::Yes)) => Answer::Taken,
            Ok(owner::Answer::Took(Took::Busy) | owner::Answer::Full) => Answer::Busy,
            Ok(owner::Answer::Took(Took::Loop)) => Answer::Loop,
            Ok(owner::Answer::Broken | owner::Answer::TookFor(_) | owner::Answer::Stamp(_)) | Err(_) => Answer::Broken,
        }
    }
}

impl MailDoor {
    /// A reply to what came sealed goes back sealed, or not at all: never on as a mail (attack 71).
    async fn seal(
        &self,
        login: &Mailbox,
        talk: ConversationId,
        envelope: &MailEnvelope,
        head: &Head,
        bytes: &[u8],
    ) -> Answer {
        let author = head.canonical().map(|canonical| &canonical.from);
        let Some(author) = author.filter(|author| self.owns(login, author)) else { return Answer::NotYours };
        let to = envelope.to.iter().map(|rcpt| rcpt.address.clone()).collect();
        match self.hosted.reply(author, talk, to, bytes).await {
            Reply::Taken => Answer::Taken,
            Reply::Refused(why) => Answer::Refused(why),
            Reply::Later => Answer::Broken,
        }
    }
}

/// Reads a body, and what its header says; `None` where the disk fails.
pub(crate) async fn read_head(body: Body) -> Option<(Head, Arc<[u8]>)> {
    let large = body.len() > limits::INLINE_BODY_BYTES;
    let read = move || {
        let bytes = body.to_bytes().ok()?;
        Some((mime::scan(&bytes), bytes))
    };
    if large { tokio::task::spawn_blocking(read).await.ok().flatten() } else { read() }
}

/// The address that answers for a domain (RFC 2142).
#[must_use]
#[expect(clippy::expect_used, reason = "a domain that parsed makes an address with any plain local part")]
pub fn postmaster(domain: &Domain) -> Address {
    Address::parse(&format!("postmaster@{domain}")).expect("postmaster@ a domain is an address")
}

/// A fresh random id for a mail; `None` where the system gives no randomness.
#[must_use]
pub fn fresh_id(random: &SystemRandom) -> Option<MailId> {
    let mut id = [0; MailId::LEN];
    random.fill(&mut id).ok().map(|()| MailId(id))
}

/// Tells the owner a command, and waits until it is durable.
///
/// # Errors
/// Where the owner has stopped, or its disk failed meanwhile.
pub async fn command(inbox: &Inbox, command: Command) -> Result<(), Gone> {
    let (done, waits) = oneshot::channel();
    inbox.send(Message::Command(command, done)).await.map_err(|_| Gone)?;
    waits.await.map_err(|_| Gone)
}

/// Asks the owner something.
///
/// # Errors
/// Where the owner has stopped.
pub async fn look<T: Send + 'static>(
    inbox: &Inbox,
    look: impl FnOnce(&owner::Look<'_>) -> T + Send + 'static,
) -> Result<T, Gone> {
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let look = Box::new(move |at: &owner::Look<'_>| {
        if let Some(tell) = tell.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Who asked may have left.
            let _gone = tell.send(look(at));
        }
    });
    inbox.send(Message::Look(look)).await.map_err(|_| Gone)?;
    told.await.map_err(|_| Gone)
}

/// The owner didn't do it: it is going down, or its disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node could not do it: it is going down, or its disk failed")]
pub struct Gone;
