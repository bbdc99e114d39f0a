//! The one task that owns the machine. Everything that happens comes to it; everything it wants leaves through `hands`.
//!
//! ```text
//!   sockets, timers ──Message──▶ gather ──▶ step, step, step ──▶ commit ──▶ open ──▶ hands
//!                                  ▲                               │
//!                                  └── as many as wait             └─ failed: drop the machine, restore, no effect left
//! ```
//!
//! What nobody waits for (an Ack that came, a mail that is durable in its mailbox) shares the next commit that somebody
//! does wait for, or makes its own a moment later.
//!
//! It runs on a thread of its own, since a commit blocks until the disk has it; whatever comes in meanwhile shares the
//! next commit. A batch's effects leave only after its records are durable: [`Held::open`](postline_core::step::Held).

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postline_core::content::mail::{Filtered, MailIn, Source};
use postline_core::id::{Address, MailId, Mailbox};
use postline_core::server::io::RcptOutcome;
use postline_core::server::{Command, Event, Input, LinkIn, LinkOut, Output, Server, SessionIn, SessionOut, Took};
use postline_core::step::{Machine, Outbox, Store as _, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::{Millis, SECOND};
use postline_core::wire::file::{BytesIn, File};
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Talk;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::hands::Hands;
use crate::metrics::Metrics;
use crate::spool::Staged;
use crate::store::{Store, StoreError, TraceLine};

/// Most inputs that share one commit: enough that a sync costs a mail next to nothing, few enough that the other end of a
/// link hears of the first before its window is full.
const BATCH: usize = 64;
/// Most messages that wait for the owner; then whoever sends waits.
pub const INBOX: usize = 4_096;
/// Most records kept in memory because they were wanted once.
const WARM: usize = 20_000;
/// Look-ups chain (Message-ID, trust, node): never longer than this.
const LOOKUPS: usize = 8;
/// The owner wakes at least this often, to see the clock and to tidy up.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long what nobody waits for waits for a commit to share.
const UNHURRIED: Duration = Duration::from_millis(20);
/// How long nothing happens before what can be done at any time is done.
const IDLE: Duration = Duration::from_millis(100);
/// How often expired records are dropped, and at most how many at a time.
const PURGE_EVERY_MS: u64 = 60 * SECOND;
const PURGE: usize = 1_000;

/// What the owner is told.
pub enum Message {
    /// A mail came by SMTP; the answer is due once it is durable, or is not ours.
    Mail(MailId, Box<MailIn>, Staged, oneshot::Sender<Answer>),
    /// A mail that another keeps wants our fields; the answer is due once what they say is durable.
    Filter(MailId, Box<Filtered>, oneshot::Sender<Answer>),
    /// Something else happened; the bodies that it brings along are held by no record yet.
    Input(Box<Input>, Option<Staged>),
    /// A person wants something; answered once it is durable.
    Command(Command, oneshot::Sender<()>),
    /// Things happened now to mails outside the machine: kept for `postline trace`, answered once they are durable.
    Trace(Vec<TraceLine>, oneshot::Sender<()>),
    /// Somebody wants to know something.
    Look(Box<dyn FnOnce(&Look<'_>) + Send>),
    /// The operator says that the clock is right.
    AcceptClock,
    /// The end: say Bye on every link, then stop.
    Stop(oneshot::Sender<()>),
}

/// What can be looked at.
pub struct Look<'a> {
    /// The machine.
    pub server: &'a Server,
    /// The clock.
    pub clock: &'a Clock,
    /// How many commits there were.
    pub commits: u64,
    /// How many connections were opened to other servers and nodes.
    pub connections: u64,
}

/// How a mail was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As the machine says.
    Took(Took),
    /// Taken for these recipients, and for no other.
    TookFor(Vec<Address>),
    /// Not taken, but here are its fields.
    Stamp(Vec<String>),
    /// The disk has no room.
    Full,
    /// The disk failed; nothing was taken.
    Broken,
}

/// Where messages for the owner go.
pub type Inbox = mpsc::Sender<Message>;

/// The owner.
pub struct Owner {
    server: Option<Server>,
    store: Option<Store>,
    dir: PathBuf,
    remake: Remake,
    clock: Clock,
    random: SystemRandom,
    inbox: mpsc::Receiver<Message>,
    hands: Hands,
    metrics: Arc<Metrics>,
    answers: BTreeMap<MailId, oneshot::Sender<Answer>>,
    done: Vec<oneshot::Sender<()>>,
    /// Whose the mails of this batch are, that arrived.
    logins: BTreeMap<MailId, Mailbox>,
    /// Whether somebody waits for lines of a trace.
    traced: bool,
    warm: VecDeque<Key>,
    commits: u64,
    purged: Millis,
    /// Steps that are done and not committed, and since when: nobody waits for them.
    unhurried: Option<(Millis, Outbox<Output>)>,
}

/// How the owner can fail to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record in it.
    #[error(transparent)]
    Restore(#[from] postline_core::fault::RestoreError),
}

enum Turn {
    Goes,
    Ends,
}

impl Owner {
    /// Opens the store in `dir` and restores the machine; `remake` makes it from generation and records, now and
    /// whenever a commit fails.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        dir: PathBuf,
        remake: Remake,
        inbox: mpsc::Receiver<Message>,
        mut hands: Hands,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let mut store = Store::open(&dir)?;
        let server = restore(&mut store, &remake, &mut hands)?;
        Ok(Self {
            server: Some(server),
            store: Some(store),
            dir,
            remake,
            clock: Clock::start(),
            random: SystemRandom::new(),
            inbox,
            hands,
            metrics,
            answers: BTreeMap::new(),
            done: Vec::new(),
            logins: BTreeMap::new(),
            traced: false,
            warm: VecDeque::new(),
            commits: 0,
            purged: Millis(0),
            unhurried: None,
        })
    }

    /// The same, by another clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Runs until told to stop. Blocks: give it a thread.
    pub fn run(mut self, runtime: &tokio::runtime::Handle) {
        // What was unfinished when the node stopped begins before anything new comes.
        let mut first = vec![Message::Input(Box::new(Input::Wake), None)];
        loop {
            let batch = if first.is_empty() { self.gather(runtime) } else { std::mem::take(&mut first) };
            let Some(batch) = (!batch.is_empty()).then_some(batch) else { return };
            match self.turn(batch) {
                Ok(Turn::Goes) => {}
                Ok(Turn::Ends) => return,
                Err(fault) => self.start_over(&fault),
            }
        }
    }

    /// Waits for a message or a deadline, and takes whatever else is there. Empty only where every sender is gone.
    fn gather(&mut self, runtime: &tokio::runtime::Handle) -> Vec<Message> {
        let wait = self.wait();
        let inbox = &mut self.inbox;
        let first = runtime.block_on(async { tokio::time::timeout(wait, inbox.recv()).await });
        let mut batch = match first {
            Err(_elapsed) => vec![Message::Input(Box::new(Input::Wake), None)],
            Ok(None) => return Vec::new(),
            Ok(Some(message)) => vec![message],
        };
        while batch.len() < BATCH
            && let Ok(message) = self.inbox.try_recv()
        {
            batch.push(message);
        }
        batch
    }

    fn wait(&mut self) -> Duration {
        let (now, jump) = self.clock.now();
        if let Some(jump) = jump {
            tracing::error!(
                steady = jump.steady.0,
                wall = jump.wall.0,
                "clock jumped; run `postline clock accept` if it is right now"
            );
        }
        let behind = self.store.as_ref().is_some_and(Store::is_behind);
        let deadline = self.server.as_ref().and_then(Machine::deadline);
        let until = deadline.map_or(HEARTBEAT, |at| Duration::from_millis(at.since(now)));
        let unhurried = self
            .unhurried
            .as_ref()
            .map_or(HEARTBEAT, |(since, _)| UNHURRIED.saturating_sub(Duration::from_millis(now.since(*since))));
        until.min(unhurried).min(if behind { IDLE } else { HEARTBEAT })
    }

    /// Steps a batch, commits it, and lets its effects go.
    fn turn(&mut self, batch: Vec<Message>) -> Result<Turn, StoreError> {
        let (now, _) = self.clock.now();
        let (since, mut out) = self.unhurried.take().unwrap_or_else(|| (now, Outbox::new()));
        let mut hurry = now.since(since) >= u64::try_from(UNHURRIED.as_millis()).unwrap_or(0);
        let (mut ends, mut set_back) = (Turn::Goes, false);
        let idle = matches!(batch.as_slice(), [Message::Input(input, None)] if matches!(**input, Input::Wake));
        let wake = |at: Option<Millis>, now| at.is_some_and(|at| at <= now);
        for message in batch {
            match message {
                Message::Mail(id, mail, staged, answer) => {
                    hurry = true;
                    self.answers.insert(id, answer);
                    let (login, before) = (login_of(&mail), out.effects().count());
                    self.stage(staged)?;
                    self.step(Input::Mail(id, *mail), &mut out)?;
                    if let Some(login) = login {
                        self.logins
                            .extend(out.effects().skip(before).filter_map(arrived).map(|id| (id, login.clone())));
                    }
                }
                Message::Filter(id, mail, answer) => {
                    hurry = true;
                    self.answers.insert(id, answer);
                    self.step(Input::Filter(id, mail), &mut out)?;
                }
                Message::Input(input, staged) => {
                    hurry |= !can_wait(&input);
                    if let Input::Session(_, SessionIn::Frame(frame)) | Input::Link(_, LinkIn::Frame(frame)) = &*input {
                        self.metrics.talked(frame, "in");
                    }
                    if let Some(staged) = staged {
                        self.stage(staged)?;
                    }
                    self.step(*input, &mut out)?;
                }
                Message::Command(command, done) => {
                    hurry = true;
                    self.done.push(done);
                    self.step(Input::Command(command), &mut out)?;
                }
                Message::Trace(lines, done) => {
                    self.traced = true;
                    self.done.push(done);
                    let store = self.store.as_mut().ok_or_else(closed)?;
                    lines.into_iter().for_each(|line| store.append_trace(TraceLine { at: now, ..line }));
                }
                Message::Look(look) => {
                    if let Some(server) = &self.server {
                        look(&Look {
                            server,
                            clock: &self.clock,
                            commits: self.commits,
                            connections: self.hands.connections(),
                        });
                    }
                }
                Message::AcceptClock => set_back |= self.clock.accept(),
                Message::Stop(done) => {
                    hurry = true;
                    self.done.push(done);
                    self.step(Input::Command(Command::Drain), &mut out)?;
                    ends = Turn::Ends;
                }
            }
        }
        if wake(self.server.as_ref().and_then(Machine::deadline), now) {
            hurry = true;
            self.step(Input::Wake, &mut out)?;
        }
        if hurry || set_back || out.effects().any(is_awaited) {
            self.commit(out)?;
            if set_back {
                self.begin_again()?;
            }
            self.tidy();
        } else if self.traced || !out.is_empty() {
            self.unhurried = Some((since, out));
        }
        if idle && let Some(store) = self.store.as_mut().filter(|store| store.is_behind()) {
            store.catch_up()?;
        }
        Ok(ends)
    }

    fn stage(&mut self, staged: Staged) -> Result<(), StoreError> {
        self.hands.remember(&staged);
        self.store.as_mut().ok_or_else(closed)?.stage(staged);
        Ok(())
    }

    fn step(&mut self, input: Input, out: &mut Outbox<Output>) -> Result<(), StoreError> {
        let (Some(server), Some(store)) = (&mut self.server, &mut self.store) else { return Err(closed()) };
        for _ in 0..LOOKUPS {
            let keys = server.wants(&input);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let record = match store.get(&key) {
                    Err(StoreError::Damaged { key }) => {
                        tracing::error!(%key, "record damaged, set aside, taken as absent");
                        None
                    }
                    found => found?,
                };
                if let Err(fault) = server.hydrate(&key, record.as_ref()) {
                    tracing::error!(%key, %fault, "record unreadable, taken as absent");
                    if let Err(fault) = server.hydrate(&key, None) {
                        tracing::error!(%key, %fault, "even its absence was refused");
                    }
                }
                self.warm.push_back(key);
            }
        }
        // Asked for anew each step: of two copies of a running machine neither may draw what the other does (attack 62).
        // Without randomness nothing may be signed or sent: as bad as a disk that fails.
        let mut entropy = [0; 32];
        self.random.fill(&mut entropy).map_err(|_| StoreError::Broken("no randomness".to_owned()))?;
        let tick = Tick { now: self.clock.now().0, entropy };
        if let Err(misuse) = server.step(&tick, input, out) {
            // Late reports about attempts of before a restore are the one thing that may come out of place.
            tracing::warn!(%misuse, "input out of place, nothing changed");
        }
        Ok(())
    }

    /// Ends the batch, commits it, and lets its effects go.
    fn commit(&mut self, mut out: Outbox<Output>) -> Result<(), StoreError> {
        self.step(Input::BatchEnd, &mut out)?;
        let store = self.store.as_mut().ok_or_else(closed)?;
        let now = self.clock.now().0;
        for effect in out.effects() {
            if let Output::Event(event) = effect
                && let Some(line) =
                    crate::log::trace_line_of(event, arrived(effect).and_then(|id| self.logins.get(&id)))
            {
                let (message_id, mail) = (line.message_id, Some(line.mail));
                store.append_trace(TraceLine { at: now, message_id, mail, line: line.json });
            }
        }
        self.logins.clear();
        let (records, held) = out.split();
        if std::mem::take(&mut self.traced) && records.is_empty() {
            store.write_trace()?;
        }
        let began = tokio::time::Instant::now();
        let durable = store.commit(&records)?;
        if !records.is_empty() {
            self.commits += 1;
            self.metrics.committed(began.elapsed());
        }
        for effect in held.open(durable) {
            match effect {
                Output::Took(id, took) => self.answer(id, Answer::Took(took)),
                Output::TookFor(id, rcpts) => self.answer(id, Answer::TookFor(rcpts)),
                Output::Stamp(id, fields) => self.answer(id, Answer::Stamp(fields)),
                Output::Event(event) => {
                    crate::log::mail_line(&event);
                    self.metrics.event(&event);
                }
                Output::Deliver(..)
                | Output::Smtp(..)
                | Output::Seek(..)
                | Output::Dial(_)
                | Output::Link(..)
                | Output::Session(..) => {
                    if let Output::Session(_, SessionOut::Send(frame)) | Output::Link(_, LinkOut::Send(frame)) = &effect
                    {
                        self.metrics.talked(frame, "out");
                    }
                    self.hands.perform(effect);
                }
            }
        }
        self.hands.flush();
        for done in self.done.drain(..) {
            let _gone = done.send(());
        }
        Ok(())
    }

    fn answer(&mut self, id: MailId, answer: Answer) {
        if let Some(waiting) = self.answers.remove(&id) {
            // A client that left meanwhile has its mail all the same.
            let _gone = waiting.send(answer);
        }
    }

    /// Bounds what is kept in memory; drops what has expired.
    fn tidy(&mut self) {
        let (Some(server), Some(store)) = (&mut self.server, &mut self.store) else { return };
        let mut tries = LOOKUPS * BATCH;
        while self.warm.len() > WARM && tries > 0 {
            tries -= 1;
            if let Some(key) = self.warm.pop_front()
                && !server.forget(&key)
            {
                self.warm.push_back(key);
            }
        }
        let now = self.clock.now().0;
        if self.clock.jump().is_none() && now.since(self.purged) >= PURGE_EVERY_MS {
            self.purged = now;
            if let Err(fault) = store.purge_expired(now, PURGE) {
                tracing::error!(%fault, "expired records stay for now");
            }
        }
    }

    /// A commit failed: none of the batch's effects has left. The machine is dropped and restored from what is durable.
    fn start_over(&mut self, fault: &StoreError) {
        self.metrics.commit_failed();
        tracing::error!(%fault, "commit failed; nothing of the batch was acknowledged; restoring");
        let answer = if matches!(fault, StoreError::Full(_)) { Answer::Full } else { Answer::Broken };
        for (_, waiting) in std::mem::take(&mut self.answers) {
            let _gone = waiting.send(answer.clone());
        }
        self.done.clear();
        self.restart();
    }

    /// Time was set back. The machine that saw the later time never sees an earlier one, so it is made again of what is
    /// durable; and what waits is tried now, since its turn was set by the later time.
    fn begin_again(&mut self) -> Result<(), StoreError> {
        tracing::warn!("time was set back; links and queues begin again");
        self.purged = Millis(0);
        self.restart();
        let mut out = Outbox::new();
        self.step(Input::Command(Command::Retry(None)), &mut out)?;
        self.commit(out)
    }

    /// Drops the machine and restores it from what is durable.
    fn restart(&mut self) {
        self.logins.clear();
        self.traced = false;
        self.unhurried = None;
        self.hands.drop_links();
        self.warm.clear();
        (self.server, self.store) = (None, None);
        match self.reopen() {
            Ok((server, store)) => (self.server, self.store) = (Some(server), Some(store)),
            Err(fault) => {
                tracing::error!(%fault, "store can't be reopened; trying again in a second");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn reopen(&mut self) -> Result<(Server, Store), StartError> {
        let mut store = Store::open(&self.dir)?;
        let server = restore(&mut store, &self.remake, &mut self.hands)?;
        Ok((server, store))
    }
}

/// Makes the machine from generation and records.
pub type Remake = Box<dyn Fn(u64, Vec<Record>) -> Result<Server, postline_core::fault::RestoreError> + Send>;

fn restore(store: &mut Store, remake: &Remake, hands: &mut Hands) -> Result<Server, StartError> {
    let restored = store.restored_at_start()?;
    for key in &restored.damaged {
        tracing::error!(key, "record damaged, set aside");
    }
    let waiting = restored
        .records
        .iter()
        .filter_map(|record| if let Key::Queue(_, mail) = record.key { Some(mail) } else { None });
    hands.restored(waiting.collect());
    Ok(remake(store.generation(), restored.records)?)
}

/// Whose mail it is, if it is one of ours at all: what comes back from the mail server beside us arrives only where we
/// signed that its envelope sender wrote it.
fn login_of(mail: &MailIn) -> Option<Mailbox> {
    match &mail.source {
        Source::User { login, .. } => Some(login.clone()),
        Source::Relay { .. } => mail.envelope.from.as_ref().map(|from| Mailbox(from.to_string())),
        Source::Stranger | Source::Node | Source::Hosted | Source::Front => None,
    }
}

/// The mail whose arrival an effect tells of.
fn arrived(effect: &Output) -> Option<MailId> {
    if let Output::Event(Event::Arrived { mail, .. }) = effect { Some(*mail) } else { None }
}

/// Whether somebody waits for an effect: an ack can wait, the mail that it makes room for on the link can't.
fn is_awaited(effect: &Output) -> bool {
    match effect {
        Output::Link(_, LinkOut::Send(frame)) => {
            !matches!(frame, Frame::Mark(_) | Frame::Answer(_) | Frame::Whisper(_))
        }
        // What is whispered has no record: it makes nobody's sync come sooner, so that no sync tells of it.
        Output::Session(_, SessionOut::Send(Frame::Whisper(_))) | Output::Event(_) => false,
        Output::Link(..)
        | Output::Session(..)
        | Output::Took(..)
        | Output::TookFor(..)
        | Output::Stamp(..)
        | Output::Deliver(..)
        | Output::Smtp(..)
        | Output::Seek(..)
        | Output::Dial(_) => true,
    }
}

/// Whether nobody waits for what follows from an input by itself: it is news of what is durable already.
fn can_wait(input: &Input) -> bool {
    match input {
        Input::Report(_, outcome) => outcome.rcpts.iter().all(|rcpt| *rcpt == RcptOutcome::Done),
        Input::Link(_, LinkIn::Frame(frame)) => {
            matches!(
                frame,
                Frame::Ack { .. }
                    | Frame::Mark(_)
                    | Frame::Answer(_)
                    | Frame::Pong(_)
                    | Frame::Whisper(_)
                    | Frame::File(File::Piece { .. })
            )
        }
        // How far a device has read is its cursor's to keep; what it makes room for is awaited by itself.
        Input::Session(
            _,
            SessionIn::Frame(Frame::Pong(_) | Frame::Whisper(_) | Frame::Talk(Talk::Have { .. })) | SessionIn::Down,
        ) => true,
        // What a piece of a file brings forward is awaited by itself.
        Input::Session(_, SessionIn::Frame(Frame::File(File::Piece { .. })) | SessionIn::Bytes(BytesIn::Sent(_)))
        | Input::Link(_, LinkIn::Bytes(BytesIn::Sent(_))) => true,
        // A timeout of ours without a deadline of the machine's.
        Input::Wake | Input::BatchEnd => true,
        Input::Mail(..)
        | Input::Filter(..)
        | Input::Evidence(..)
        | Input::Link(..)
        | Input::Session(..)
        | Input::Unreached(_)
        | Input::Command(_) => false,
    }
}

fn closed() -> StoreError {
    StoreError::Broken("it could not be reopened yet".to_owned())
}
