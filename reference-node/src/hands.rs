//! What the machine wants done, done: mail into Maildirs and out by SMTP, evidence, dials, frames.
//!
//! ```text
//!   effect ──▶ Deliver ─▶ Maildir, visible at once ─▶ syncer ─▶ Report
//!          ──▶ Smtp ────▶ compose, sign, hand over ──────────▶ Report
//!          ──▶ Seek ────▶ DKIM, or the domain's word ────────▶ Evidence
//!          ──▶ Dial ────▶ look up, check, connect ───────────▶ Up, or Unreached
//!          ──▶ Link ────▶ the connection's writer
//!          ──▶ Session ─▶ the session's queue
//! ```
//!
//! Small deliveries are made here and now, on the owner's thread: a hand-over to another would cost more than the file.
//! All else is a task of its own, and comes back as an input.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use postline_codec::mime::letter::{compose_head, head_len};
use postline_codec::mime::report;
use postline_core::content::mail::{Letter, Text};
use postline_core::id::{Address, BlobRef, Domain, Hash, LinkId, MailId, Mailbox, SessionId};
use postline_core::limits;
use postline_core::net::Allowed;
use postline_core::server::io::{Outcome, RcptOutcome, Seek};
use postline_core::server::{Dial, Evidence, Input, LinkOut, Output, SendId, SessionOut};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::TrySendError;

use crate::beside::Place;
use crate::discovery::Discovery;
use crate::dkim::{self, Signer};
use crate::dns::Resolver;
use crate::hand_over::{self, Login, Onward, Protocol, Route, Security, Timeouts};
use crate::link::Links;
use crate::maildir::{Attempt, Maildirs, Syncer};
use crate::owner::{Inbox, Message};
use crate::session::Sessions;
use crate::spool::{Body, Staged, StagedBytes};
use crate::store::Reader;

/// How many bytes of small bodies are kept at hand for delivery and for links.
const AT_HAND_BYTES: usize = 16 * 1024 * 1024;

/// Everything the hands need of the world, fixed for a run.
pub struct World {
    /// The data directory.
    pub dir: PathBuf,
    /// The name that the node calls itself.
    pub hostname: Domain,
    /// Who writes reports.
    pub postmaster: Address,
    /// The mailboxes.
    pub maildirs: Maildirs,
    /// Who knows domains and keys.
    pub resolver: Arc<Resolver>,
    /// Who finds nodes.
    pub discovery: Discovery,
    /// Which nets may be connected to although they aren't globally routable.
    pub allow: Allowed,
    /// Our DKIM keys, by domain.
    pub signers: BTreeMap<Domain, Signer>,
    /// Where mail for other domains goes.
    pub outward: Outward,
    /// Where mail for our users goes on, by LMTP; `None`: into the mailboxes.
    pub deliver: Option<Place>,
}

/// Where mail for other domains goes.
pub enum Outward {
    /// To their exchanges.
    Mx(Security),
    /// Back to the mail server beside us, which signs and sends.
    Reinject(Place),
    /// To a relay of the operator's.
    Smarthost {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// Our login there.
        login: Option<Login>,
        /// How the connection is secured.
        security: Security,
    },
}

/// The hands.
pub struct Hands {
    world: Arc<World>,
    runtime: Handle,
    inbox: Inbox,
    links: Links,
    sessions: Sessions,
    bodies: Bodies,
    syncer: Arc<Syncer<(SendId, usize)>>,
    sends: Arc<Semaphore>,
    deliveries: Arc<Semaphore>,
    connections: Arc<AtomicU64>,
    /// Mails that were waiting when the machine was restored: they may be in their mailbox already.
    restored: BTreeSet<MailId>,
    /// What the batch says on links and sessions: it goes at once, so that frames of one batch share a write, and a packet.
    said: BTreeMap<LinkId, Vec<LinkOut>>,
    told: BTreeMap<SessionId, Vec<SessionOut>>,
}

/// Bodies by hash: small ones that just came from memory, all others from the store.
#[derive(Clone)]
pub struct Bodies {
    at_hand: Arc<Mutex<AtHand>>,
    reader: Arc<Mutex<Reader>>,
}

#[derive(Default)]
struct AtHand {
    rows: BTreeMap<Hash, Arc<[u8]>>,
    order: std::collections::VecDeque<Hash>,
    bytes: usize,
}

impl Bodies {
    /// Bodies of the store in `dir`.
    ///
    /// # Errors
    /// Those of [`Reader::open`].
    pub fn open(dir: &std::path::Path) -> Result<Self, crate::store::StoreError> {
        let reader = Arc::new(Mutex::new(Reader::open(dir)?));
        Ok(Self { at_hand: Arc::default(), reader })
    }

    fn remember(&self, staged: &Staged) {
        let StagedBytes::Row(bytes) = &staged.bytes else { return };
        let mut at_hand = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if at_hand.rows.insert(staged.blob.sha256, Arc::clone(bytes)).is_none() {
            at_hand.order.push_back(staged.blob.sha256);
            at_hand.bytes += bytes.len();
        }
        while at_hand.bytes > AT_HAND_BYTES {
            let Some(oldest) = at_hand.order.pop_front() else { break };
            at_hand.bytes -= at_hand.rows.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }

    /// The body that `blob` names.
    ///
    /// # Errors
    /// Where the disk fails, or the body is damaged or gone.
    pub fn get(&self, blob: BlobRef) -> io::Result<Body> {
        let at_hand = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner).rows.get(&blob.sha256).cloned();
        if let Some(bytes) = at_hand {
            return Ok(Body::Bytes(bytes));
        }
        let found = self.reader.lock().unwrap_or_else(PoisonError::into_inner).body(blob);
        found.map_err(io::Error::other)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the body is gone"))
    }
}

impl Bodies {
    /// A file that `blob` names, its hash unchecked: whoever fetches it checks it.
    ///
    /// # Errors
    /// Where the disk fails, or the file is gone.
    pub fn file(&self, blob: BlobRef) -> io::Result<Body> {
        let found = self.reader.lock().unwrap_or_else(PoisonError::into_inner).file(blob);
        found.map_err(io::Error::other)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the file is gone"))
    }
}

impl Hands {
    /// Hands that put what they find out into `inbox`.
    ///
    /// # Errors
    /// Where no syncing thread can be started.
    pub fn new(
        world: World,
        runtime: Handle,
        inbox: Inbox,
        links: Links,
        sessions: Sessions,
        bodies: Bodies,
    ) -> io::Result<Self> {
        let (back, tasks) = (inbox.clone(), runtime.clone());
        let durable = move |(send, rcpts): (SendId, usize), result: io::Result<()>| {
            let outcome = match result {
                Ok(()) => RcptOutcome::Done,
                Err(why) => RcptOutcome::Later(why.to_string()),
            };
            tell(&back, &tasks, report_of(send, rcpts, &outcome));
        };
        Ok(Self {
            world: Arc::new(world),
            runtime,
            inbox,
            links,
            sessions,
            bodies,
            syncer: Arc::new(Syncer::start(durable)?),
            sends: Arc::new(Semaphore::new(limits::SENDS)),
            deliveries: Arc::new(Semaphore::new(limits::LMTP_SENDS)),
            connections: Arc::default(),
            restored: BTreeSet::new(),
            said: BTreeMap::new(),
            told: BTreeMap::new(),
        })
    }

    /// How many connections were opened to other servers and nodes.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Keeps a body at hand that was just staged.
    pub fn remember(&self, staged: &Staged) {
        self.bodies.remember(staged);
    }

    /// Says which mails waited when the machine was restored.
    pub fn restored(&mut self, mails: BTreeSet<MailId>) {
        self.restored = mails;
    }

    /// Drops every connection: the machine that knew them is gone.
    pub fn drop_links(&self) {
        self.links.drop_all();
        self.sessions.drop_all();
    }

    /// Lets go what the batch says on links and sessions.
    pub fn flush(&mut self) {
        for (link, batch) in std::mem::take(&mut self.said) {
            self.links.perform(link, batch);
        }
        for (session, batch) in std::mem::take(&mut self.told) {
            self.sessions.perform(session, batch);
        }
    }

    /// Does one thing. What is to be said waits for [`flush`](Self::flush).
    pub fn perform(&mut self, effect: Output) {
        match effect {
            Output::Deliver(send, mailbox, rcpts, letter) => self.deliver(send, &mailbox, &rcpts, letter),
            Output::Smtp(send, domain, rcpts, letter) => self.send_by_smtp(send, domain, rcpts, letter),
            Output::Seek(mail, seek) => self.seek(mail, seek),
            Output::Dial(dial) => self.dial(dial),
            Output::Link(link, what) => self.said.entry(link).or_default().push(what),
            Output::Session(session, what) => self.told.entry(session).or_default().push(what),
            // The owner answers and logs these itself.
            Output::Took(..) | Output::TookFor(..) | Output::Stamp(..) | Output::Event(_) => {}
        }
    }

    fn deliver(&mut self, send: SendId, mailbox: &Mailbox, rcpts: &[Address], letter: Letter) {
        if let Some(place) = self.world.deliver.clone() {
            self.deliver_by_lmtp(place, send, rcpts.to_vec(), letter);
            return;
        }
        let count = rcpts.len();
        let again = send.attempt > 1 || self.restored.remove(&send.mail);
        let attempt = if again { Attempt::Again } else { Attempt::First };
        let work = Delivery { world: Arc::clone(&self.world), bodies: self.bodies.clone(), attempt };
        if letter.text.blob().len <= limits::INLINE_BODY_BYTES {
            let done = work.put(&send, mailbox, rcpts, &letter);
            settle(&self.syncer, &self.inbox, &self.runtime, send, count, done);
            return;
        }
        let (syncer, inbox, runtime) = (Arc::clone(&self.syncer), self.inbox.clone(), self.runtime.clone());
        let (mailbox, rcpts) = (mailbox.clone(), rcpts.to_vec());
        self.runtime.spawn_blocking(move || {
            let done = work.put(&send, &mailbox, &rcpts, &letter);
            settle(&syncer, &inbox, &runtime, send, count, done);
        });
    }

    /// Hands a mail to the server that has the mailboxes. It says nothing of a mail's id, so a delivery that this node dies
    /// in is made again.
    fn deliver_by_lmtp(&self, place: Place, send: SendId, rcpts: Vec<Address>, letter: Letter) {
        let (world, bodies, inbox) = (Arc::clone(&self.world), self.bodies.clone(), self.inbox.clone());
        let deliveries = Arc::clone(&self.deliveries);
        self.runtime.spawn(async move {
            let Ok(_permit) = deliveries.acquire_owned().await else { return };
            let outcome = match compose(&world, &bodies, &send, &letter, &rcpts) {
                Ok(bytes) => {
                    let (onward, from) = (Onward::new(&place, Protocol::Lmtp), letter.from.as_ref());
                    hand_over::hand_on(&onward, &world.hostname, from, &rcpts, &bytes).await
                }
                Err(why) => Outcome { rcpts: vec![RcptOutcome::Later(why.to_string()); rcpts.len()] },
            };
            let _stopped = inbox.send(Message::Input(Box::new(Input::Report(send, outcome)), None)).await;
        });
    }

    fn send_by_smtp(&self, send: SendId, domain: Domain, rcpts: Vec<Address>, letter: Letter) {
        let (world, bodies, inbox) = (Arc::clone(&self.world), self.bodies.clone(), self.inbox.clone());
        let sends = Arc::clone(&self.sends);
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            let Ok(_permit) = sends.acquire_owned().await else { return };
            let outcome = match compose(&world, &bodies, &send, &letter, &rcpts) {
                Ok(bytes) => world.send(&domain, letter.from.as_ref(), &rcpts, bytes).await,
                Err(why) => Outcome { rcpts: vec![RcptOutcome::Later(why.to_string()); rcpts.len()] },
            };
            let _stopped = inbox.send(Message::Input(Box::new(Input::Report(send, outcome)), None)).await;
        });
    }

    fn seek(&self, mail: MailId, seek: Seek) {
        let (world, bodies, inbox) = (Arc::clone(&self.world), self.bodies.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let evidence = match seek {
                Seek::Dkim(blob) => match bodies.get(blob).and_then(|body| body.to_bytes()) {
                    Ok(bytes) => dkim::evaluate(&bytes, &world.resolver).await,
                    Err(why) => {
                        tracing::error!(%mail, %why, "no bytes to find evidence in");
                        Evidence::Temporary
                    }
                },
                Seek::Domain(domain) => world.discovery.word(&domain).await,
            };
            let _stopped = inbox.send(Message::Input(Box::new(Input::Evidence(mail, evidence)), None)).await;
        });
    }

    fn dial(&self, dial: Dial) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let (world, inbox, links) = (Arc::clone(&self.world), self.inbox.clone(), self.links.clone());
        self.runtime.spawn(async move {
            let hint = dial.hint.as_deref();
            let why = match world.discovery.targets(&dial.theirs, hint).await {
                Ok(targets) => match links.dial(dial.clone(), &targets).await {
                    Ok(()) => return,
                    Err(why) => why.to_string(),
                },
                Err(why) => why.to_string(),
            };
            tracing::debug!(domain = %dial.theirs, why, "node not reached");
            let _stopped = inbox.send(Message::Input(Box::new(Input::Unreached(dial)), None)).await;
        });
    }
}

impl World {
    /// Hands a mail over on the way that the operator chose.
    async fn send(&self, domain: &Domain, from: Option<&Address>, to: &[Address], bytes: Vec<u8>) -> Outcome {
        let route = match &self.outward {
            Outward::Reinject(place) => {
                // It was signed where it came from, or is signed where it goes: never here.
                let onward = Onward::new(place, Protocol::Smtp);
                return hand_over::hand_on(&onward, &self.hostname, from, to, &bytes).await;
            }
            Outward::Mx(security) => {
                Route::Mx { domain, resolver: &self.resolver, allow: &self.allow, port: 25, security: security.clone() }
            }
            Outward::Smarthost { host, port, login, security } => {
                Route::Smarthost { host, port: *port, login: login.as_ref(), security: security.clone() }
            }
        };
        let bytes = sign(self, from, bytes);
        hand_over::hand_over(&route, &self.hostname, from, to, &bytes, &Timeouts::default()).await
    }
}

/// A delivery into a mailbox.
struct Delivery {
    world: Arc<World>,
    bodies: Bodies,
    attempt: Attempt,
}

impl Delivery {
    fn put(
        &self,
        send: &SendId,
        mailbox: &Mailbox,
        rcpts: &[Address],
        letter: &Letter,
    ) -> Result<crate::maildir::Delivered, String> {
        let body = self.bodies.get(letter.text.blob()).map_err(|why| why.to_string())?;
        let path = letter.from.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut top = format!("Return-Path: <{path}>\r\n");
        for rcpt in rcpts {
            top.push_str(&format!("Delivered-To: {rcpt}\r\n"));
        }
        let write = |out: &mut dyn Write| {
            out.write_all(top.as_bytes())?;
            write_letter(&self.world, send.mail, letter, rcpts, &body, out)
        };
        self.world.maildirs.deliver(mailbox, send.mail, self.attempt, write).map_err(|why| why.to_string())
    }
}

/// Hands a delivery to the syncer, or says at once why there is none.
fn settle(
    syncer: &Syncer<(SendId, usize)>,
    inbox: &Inbox,
    runtime: &Handle,
    send: SendId,
    rcpts: usize,
    done: Result<crate::maildir::Delivered, String>,
) {
    let (send, why) = match done {
        Ok(delivered) => match syncer.submit(delivered, (send, rcpts)) {
            Ok(()) => return,
            Err((send, _)) => (send, "the syncer is gone".to_owned()),
        },
        Err(why) => (send, why),
    };
    tracing::warn!(mail = %send.mail, why, "mailbox could not take a mail");
    tell(inbox, runtime, report_of(send, rcpts, &RcptOutcome::Later(why)));
}

/// Tells the owner something without ever waiting for it: who waits here is the owner itself, or the syncer that the
/// owner may be waiting for. Where the owner has stopped, the record stays, and the work is done again.
fn tell(inbox: &Inbox, runtime: &Handle, message: Message) {
    if let Err(TrySendError::Full(message)) = inbox.try_send(message) {
        let inbox = inbox.clone();
        runtime.spawn(async move {
            let _stopped = inbox.send(message).await;
        });
    }
}

fn report_of(send: SendId, rcpts: usize, outcome: &RcptOutcome) -> Message {
    Message::Input(Box::new(Input::Report(send, Outcome { rcpts: vec![outcome.clone(); rcpts] })), None)
}

/// A letter's bytes, whole.
fn compose(world: &World, bodies: &Bodies, send: &SendId, letter: &Letter, rcpts: &[Address]) -> io::Result<Vec<u8>> {
    let body = bodies.get(letter.text.blob())?;
    let mut bytes = Vec::with_capacity(usize::try_from(body.len()).unwrap_or(0) + 4 * 1024);
    write_letter(world, send.mail, letter, rcpts, &body, &mut bytes)?;
    Ok(bytes)
}

fn write_letter(
    world: &World,
    id: MailId,
    letter: &Letter,
    rcpts: &[Address],
    body: &Body,
    out: &mut dyn Write,
) -> io::Result<()> {
    // The header section is within its bound, or the mail is shown as it is: either way this much holds it.
    let mut head = vec![0; usize::try_from(body.len()).unwrap_or(usize::MAX).min(2 * limits::HEADER_BYTES)];
    let got = fill(body, &mut head)?;
    head.truncate(got);
    match &letter.text {
        Text::Came(_) => {
            let split = head_len(&head);
            out.write_all(&compose_head(letter, head.get(..split).unwrap_or_default()))?;
            out.write_all(head.get(split..).unwrap_or_default())?;
            copy_from(body, got as u64, out)
        }
        Text::Report { at, failed, .. } => {
            let from = &world.postmaster;
            let to = rcpts.first().unwrap_or(from);
            out.write_all(&report::render(id, from, to, &world.hostname, &head, *at, failed))
        }
    }
}

fn fill(body: &Body, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match body.read_at(got as u64, buffer.get_mut(got..).unwrap_or_default())? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}

fn copy_from(body: &Body, mut offset: u64, out: &mut dyn Write) -> io::Result<()> {
    if offset == body.len() {
        return Ok(());
    }
    let mut buffer = vec![0; limits::CHUNK_BYTES];
    while offset < body.len() {
        match body.read_at(offset, &mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => {
                out.write_all(buffer.get(..got).unwrap_or_default())?;
                offset += got as u64;
            }
        }
    }
    Ok(())
}

/// Our signature on top, where the mail is from a domain of ours.
fn sign(world: &World, from: Option<&Address>, bytes: Vec<u8>) -> Vec<u8> {
    let Some(signer) = from.and_then(|from| world.signers.get(from.domain())) else { return bytes };
    match signer.sign(&bytes) {
        Ok(mut signed) => {
            signed.extend_from_slice(&bytes);
            signed
        }
        Err(why) => {
            tracing::error!(%why, "mail leaves without our signature");
            bytes
        }
    }
}
