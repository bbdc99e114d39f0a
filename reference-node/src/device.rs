//! A device of a person on this machine: drives the core's [`Client`] with a store of its own and a session to its node.
//!
//! ```text
//!   commands ──▶ ┐                                                 ┌─▶ Event ─▶ whoever shows it
//!   session ───▶ ├─ wants, step … step ─▶ commit ─▶ open ──────────┼─▶ Send ──▶ line ─▶ node
//!   deadline ──▶ ┘     (all that waits)      └─ failed: the end    └─▶ Dial ──▶ dialler
//!                         └─ early ─▶ Event
//! ```
//!
//! One task does it all; the store belongs to one process at a time. What leaves is durable first, as on a node; what
//! somebody said, and the node holds until our Have, is shown before, and so are marks. A commit that nothing waits for
//! shares the next one, or comes a moment later. Events wait in a bounded queue: where nobody takes
//! them, the node waits too.
//!
//! A commit blocks the thread that it runs on. So a device wants a runtime of its own, of one thread, and whoever shows its
//! events there too: then nothing that they tell each other wakes a thread.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postline_core::client::io::{BytesIn, BytesOut, Far};
use postline_core::client::{Client, Command, Event, Input, Ours, Output, SessionIn, words};
use postline_core::fault::{Code, RestoreError};
use postline_core::id::{Address, NodeKey};
use postline_core::step::{Machine as _, Outbox, Store as _, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use postline_core::wire::file::File;
use postline_core::wire::frame::Frame;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::files::{self as bytes, Coming};
use crate::private_file;
use crate::store::{Said as Kept, Store, StoreError};

mod dial;
pub mod files;
mod lasting;
mod line;
mod mailing;
mod opening;
mod say;
mod tell;

pub use dial::{Dialler, NodeAt, OwnDoor};
pub use files::{FileFault, Files, attached, save_preview};
pub use lasting::Lasting;
use line::{Came, Line};
pub use mailing::Mailing;
pub use say::{HELP, Said, Unsaid, parse};
pub use tell::{declined, json, text};

/// Most commands, events and things from the session that wait.
const WAITING: usize = 256;
/// Most inputs that share one commit.
const BATCH: usize = 64;
/// Look-ups chain, never longer than this.
const LOOKUPS: usize = 64;
/// How much the client may have in memory between batches.
const CROWD: usize = 8 * 1024;
/// Most records that stay in memory because they were wanted once.
const WARM: usize = 4_096;
/// The device wakes at least this often.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long a commit that nothing waits for waits for one to share.
const UNHURRIED_MS: u64 = 20;

/// Where a device's keys and conversations are, and whose it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory of its store: made, for its owner alone.
    pub dir: PathBuf,
    /// Whose device it is.
    pub address: Address,
}

/// Why a device can't go on.
#[derive(Debug, thiserror::Error)]
pub enum DeviceFault {
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record in it.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The file system.
    #[error("{path}: {why}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The node that answered has a key that nobody vouches for. Nothing was said to it.
    #[error("the node has the key {0}, and nothing vouches for it; where it is the right one, name it by --nk")]
    UnknownNode(NodeKey),
    /// The store belongs to another address.
    #[error("the store is of {found}")]
    OtherAddress {
        /// Whose it is.
        found: String,
    },
}

/// A device.
pub struct Device {
    client: Client,
    store: Store,
    clock: Clock,
    random: SystemRandom,
    dialler: Arc<Dialler>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    came: mpsc::Receiver<(u64, Came)>,
    coming: mpsc::Sender<(u64, Came)>,
    /// The connection that counts; what older ones still say is passed over.
    current: u64,
    line: Option<Line>,
    files: Files,
    /// Files that are being fetched.
    fetching: Coming,
    warm: VecDeque<Key>,
    /// Steps that are done and not committed, and since when.
    unhurried: Option<(Millis, Outbox<Output>)>,
    /// Of a device that its node runs: what becomes of what is said to its person.
    mailing: Option<Mailing>,
}

/// What commands are given to, and events come from.
pub struct Handle {
    /// Where commands go. Once all senders are gone, the device ends.
    pub commands: mpsc::Sender<Command>,
    /// Where events come.
    pub events: mpsc::Receiver<Event>,
    /// The sealed files that are to leave, or came.
    pub files: Files,
}

impl Device {
    /// Opens the device's store, making one where there is none, and restores the device.
    ///
    /// # Errors
    /// [`DeviceFault`]; a store that another process has is [`StoreError::InUse`].
    pub fn open(place: Place, dialler: Dialler) -> Result<(Self, Handle), DeviceFault> {
        Self::begin(place, dialler, None)
    }

    /// Opens a device that this node runs for somebody who has only a mail program: what is said to them goes on by mail.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn hosted(place: Place, dialler: Dialler, mailing: Mailing) -> Result<(Self, Handle), DeviceFault> {
        Self::begin(place, dialler, Some(mailing))
    }

    fn begin(place: Place, dialler: Dialler, mut mailing: Option<Mailing>) -> Result<(Self, Handle), DeviceFault> {
        private_file::create_dir(&place.dir).map_err(|why| DeviceFault::Io { path: place.dir.clone(), why })?;
        own(&place)?;
        // Who has only a mail program searches the mailbox, which has it all: so the node has no index of their words.
        let mut store = Store::open_said(&place.dir, Kept { words, searched: mailing.is_none() })?;
        let client = restore(&place, mailing.is_some(), &mut store)?;
        if let Some(mailing) = &mut mailing {
            mailing.begin(&mut store)?;
        }
        let (commands, wanted) = mpsc::channel(WAITING);
        let (events, happened) = mpsc::channel(WAITING);
        let (coming, came) = mpsc::channel(WAITING);
        let files = Files::new(&store.spool());
        let device = Self {
            client,
            store,
            clock: Clock::start(),
            random: SystemRandom::new(),
            dialler: Arc::new(dialler),
            commands: wanted,
            events,
            came,
            coming,
            current: 0,
            line: None,
            files: files.clone(),
            fetching: Coming::default(),
            warm: VecDeque::new(),
            unhurried: None,
            mailing,
        };
        Ok((device, Handle { commands, events: happened, files }))
    }

    /// Runs until nobody can command it any more.
    ///
    /// # Errors
    /// [`DeviceFault`], where the store fails: nothing of what it failed on has left. Opened again, the device goes on from
    /// what is durable.
    pub async fn run(mut self) -> Result<(), DeviceFault> {
        // What is known already comes first, as if it had just become so.
        let contacts = self.client.contacts().map(Event::Contact);
        let devices = Some(self.client.devices()).filter(|devices| !devices.is_empty()).map(Event::Devices);
        let conversations = self.client.conversations().map(Event::Conversation);
        let known: Vec<Event> = devices.into_iter().chain(contacts).chain(conversations).collect();
        for event in known {
            // Nobody may want to hear.
            let _ended = self.events.send(event).await;
        }
        loop {
            self.post().await?;
            let Some(batch) = self.gather().await else { return Ok(self.close()?) };
            let refused = batch.iter().find_map(|input| {
                if let Input::Session(SessionIn::Approved { nk, yes: false }) = input { Some(*nk) } else { None }
            });
            let effects = self.turn(batch).await?;
            self.perform(effects).await?;
            if let Some(nk) = refused {
                return Err(DeviceFault::UnknownNode(nk));
            }
        }
    }

    /// The device, as it is now.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Hands in what waits to go on by mail, and ends; whether nothing waits any more.
    ///
    /// # Errors
    /// [`DeviceFault`].
    pub async fn end(mut self) -> Result<bool, DeviceFault> {
        self.post().await?;
        let done = self.mailing.as_ref().is_none_or(Mailing::is_idle);
        self.close()?;
        Ok(done)
    }

    fn close(mut self) -> Result<(), StoreError> {
        if let Some((_, out)) = self.unhurried.take() {
            // No effect waits for it.
            drop(self.commit(out)?);
        }
        self.store.close()
    }

    /// Hands in what was said to the person, where it goes on by mail.
    async fn post(&mut self) -> Result<(), StoreError> {
        match &mut self.mailing {
            Some(mailing) => mailing.post(&mut self.store).await,
            None => Ok(()),
        }
    }

    /// Waits for something to happen, and takes whatever else has; `None` at the end.
    async fn gather(&mut self) -> Option<Vec<Input>> {
        let now = self.clock.now().0;
        let commit = self.unhurried.as_ref().map(|(since, _)| since.plus(UNHURRIED_MS));
        let next = self.client.deadline().into_iter().chain(commit).min();
        let due = next.map_or(HEARTBEAT, |at| Duration::from_millis(at.since(now)).min(HEARTBEAT));
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            came = self.came.recv() => batch.extend(came.and_then(|(of, came)| self.heard(of, came))),
            command = self.commands.recv() => batch.push(Input::Command(command?)),
            () = tokio::time::sleep(due) => batch.push(Input::Wake),
        }
        while batch.len() < BATCH {
            let next = match self.came.try_recv() {
                Ok((of, came)) => self.heard(of, came),
                Err(_) => match self.commands.try_recv() {
                    Ok(command) => Some(Input::Command(command)),
                    Err(_) => break,
                },
            };
            batch.extend(next);
        }
        Some(batch)
    }

    /// What a connection said; `None` where it doesn't count any more.
    fn heard(&mut self, of: u64, came: Came) -> Option<Input> {
        if let Came::Fetched(bytes, staged) = came {
            // Whatever connection brought it, its bytes are here: kept where they are still wanted.
            let wanted = staged.filter(|staged| self.client.fetches(staged.blob.sha256));
            wanted.into_iter().for_each(|staged| self.files.keep(staged));
            return Some(Input::Bytes(bytes));
        }
        if of != self.current {
            return None;
        }
        if let Came::Frame(Frame::File(File::Piece { hash, offset, .. }), Some(bytes)) = &came {
            match self.fetching.piece(*hash, *offset, bytes) {
                Ok(None) => {}
                Ok(Some((file, partial))) => self.tell_of(async move { bytes::finish(file, partial).await }),
                Err(error) => {
                    tracing::error!(%error, "a file can't be kept");
                    return Some(Input::Bytes(BytesIn::Failed(*hash)));
                }
            }
        }
        Some(Input::Session(match came {
            Came::Up(line, channel) => {
                self.line = Some(line);
                SessionIn::Up { channel }
            }
            Came::Unreached(why) => {
                tracing::warn!(%why, "the node can't be reached");
                SessionIn::Unreached
            }
            Came::Frame(frame, _) => SessionIn::Frame(frame),
            Came::Sent(bytes) | Came::Fetched(bytes, _) => return Some(Input::Bytes(bytes)),
            Came::Garbage(fault) => SessionIn::Garbage(fault),
            Came::Approved { nk, yes } => SessionIn::Approved { nk, yes },
            Came::Down => {
                self.line = None;
                SessionIn::Down
            }
        }))
    }

    /// Has the device told what became of a file.
    fn tell_of(&self, came: impl Future<Output = bytes::Came> + Send + 'static) {
        let coming = self.coming.clone();
        tokio::spawn(async move {
            let (bytes, staged) = came.await;
            // A device that has ended has nobody to tell.
            let _ended = coming.send((0, Came::Fetched(bytes, staged))).await;
        });
    }

    /// Brings the bytes of a file that is to leave to where a record can hold them; whether they are there.
    fn stage(&mut self, input: &Input) -> Result<bool, StoreError> {
        let Input::Command(Command::Keep { file, .. }) = input else { return Ok(true) };
        match self.files.take_leaving(file.sha256) {
            Some(staged) if staged.blob == *file => self.store.stage(staged),
            Some(_) | None => return Ok(self.store.file(*file)?.is_some()),
        }
        Ok(true)
    }

    /// Does something about the bytes of a file.
    fn bytes(&mut self, what: BytesOut) -> Result<(), StoreError> {
        match what {
            BytesOut::Take(file) => {
                // It is opened, and that is synced; no record holds what came.
                let (fetching, spool) = (self.fetching.clone(), self.files.spool().for_now());
                self.tell_of(async move { fetching.take(&spool, file).await });
            }
            BytesOut::Leave(file) => {
                self.line.iter().for_each(|line| line.leave(file.sha256));
                // What came of it stays.
                drop(self.fetching.leave(file.sha256));
            }
            BytesOut::Forget(file) => {
                self.line.iter().for_each(|line| line.leave(file.sha256));
                self.fetching.forget(self.files.spool(), file);
                self.files.forget(file.sha256);
            }
            BytesOut::Send(file, from) => {
                if let (Some(line), Some(body)) = (&self.line, self.store.file(file)?) {
                    line.send(file, body, from);
                }
            }
            BytesOut::Pass(..) | BytesOut::Rest(_) => tracing::error!("a device passes no file on"),
        }
        Ok(())
    }

    /// Steps a batch and commits it, where anything waits for that: gives what may leave now. What a person asks for is
    /// durable at once.
    async fn turn(&mut self, batch: Vec<Input>) -> Result<Vec<Output>, StoreError> {
        let now = self.clock.now().0;
        let (since, mut out) = self.unhurried.take().unwrap_or_else(|| (now, Outbox::new()));
        let late = now.since(since) >= UNHURRIED_MS;
        let hurry = late || self.mailing.is_some() || batch.iter().any(|input| matches!(input, Input::Command(_)));
        for input in batch {
            if !self.stage(&input)? {
                if let Input::Command(Command::Keep { file, .. }) = input {
                    tracing::error!(hash = %file.sha256, "a file that was never sealed here");
                    out.emit(Output::Event(Event::File { file, leaves: true, far: Far::Failed(Code::Spoiled) }));
                }
                continue;
            }
            self.step(input, &mut out)?;
            self.tell_early(&mut out).await?;
        }
        let now = self.clock.now().0;
        if self.client.deadline().is_some_and(|at| at <= now) {
            self.step(Input::Wake, &mut out)?;
        }
        if let Some(mailing) = &mut self.mailing {
            // In the same commit as what says that it was heard: neither is there without the other.
            mailing.write(&mut out);
        }
        if hurry || !out.can_wait() {
            return self.commit(out);
        }
        self.unhurried = (!out.is_empty()).then_some((since, out));
        Ok(Vec::new())
    }

    fn commit(&mut self, out: Outbox<Output>) -> Result<Vec<Output>, StoreError> {
        let (records, held) = out.split();
        let durable = self.store.commit(&records)?;
        let mut tries = LOOKUPS * BATCH;
        while self.warm.len() > WARM && tries > 0 {
            tries -= 1;
            if let Some(key) = self.warm.pop_front()
                && !self.client.forget(&key)
            {
                self.warm.push_back(key);
            }
        }
        // What steps have made themselves, nobody has brought.
        if self.client.in_memory() > CROWD {
            self.warm.clear();
            self.client.idle().iter().for_each(|key| _ = self.client.forget(key));
        }
        Ok(held.open(durable))
    }

    /// Tells what needn't wait for the commit, as far as there is room, and lets whoever shows it do so. What goes on by
    /// mail waits: the mail is written down in that commit.
    async fn tell_early(&mut self, out: &mut Outbox<Output>) -> Result<(), StoreError> {
        let mut told = false;
        while self.mailing.is_none()
            && self.events.capacity() > 0
            && let Some(effect) = out.next_early()
        {
            self.perform(vec![effect]).await?;
            told = true;
        }
        if told {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn step(&mut self, input: Input, out: &mut Outbox<Output>) -> Result<(), StoreError> {
        for _ in 0..LOOKUPS {
            let keys = self.client.wants(&input);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                // What waits for its commit is newer than what is stored.
                let record = match out.saved(&key) {
                    Some(record) => record.value.is_some().then(|| record.clone()),
                    None => match self.store.get(&key) {
                        Err(StoreError::Damaged { key }) => {
                            tracing::error!(%key, "record damaged, set aside, taken as absent");
                            None
                        }
                        found => found?,
                    },
                };
                if let Err(fault) = self.client.hydrate(&key, record.as_ref()) {
                    tracing::error!(%key, %fault, "record unreadable, taken as absent");
                    if let Err(fault) = self.client.hydrate(&key, None) {
                        tracing::error!(%key, %fault, "even its absence was refused");
                    }
                }
                self.warm.push_back(key);
            }
        }
        // Asked for anew each step: of two copies of a running machine neither may draw what the other does (attack 62).
        // Without randomness nothing may be sealed or signed: as bad as a disk that fails.
        let mut entropy = [0; 32];
        self.random.fill(&mut entropy).map_err(|_| StoreError::Broken("no randomness".to_owned()))?;
        let tick = Tick { now: self.clock.now().0, entropy };
        if let Err(misuse) = self.client.step(&tick, input, out) {
            tracing::warn!(%misuse, "input out of place, nothing changed");
        }
        Ok(())
    }

    async fn perform(&mut self, effects: Vec<Output>) -> Result<(), StoreError> {
        let mut said = Vec::new();
        for effect in effects {
            match effect {
                Output::Dial => {
                    self.line = None;
                    self.current += 1;
                    line::open(Arc::clone(&self.dialler), self.current, self.coming.clone());
                }
                // Frames of one batch leave in one write.
                Output::Send(frame) => said.push(frame),
                Output::Close => {
                    if let Some(line) = self.line.take() {
                        line.say(&std::mem::take(&mut said));
                    }
                    self.current += 1;
                }
                Output::Approve(nk) => {
                    let verified = self.line.as_ref().is_some_and(Line::is_verified);
                    let (dialler, coming, current) = (Arc::clone(&self.dialler), self.coming.clone(), self.current);
                    tokio::spawn(async move {
                        let yes = dialler.approves(nk, verified).await;
                        // A device that has ended has nobody to tell.
                        let _ended = coming.send((current, Came::Approved { nk, yes })).await;
                    });
                }
                Output::Bytes(what) => {
                    // What was said before goes before.
                    if let Some(line) = &self.line {
                        line.say(&std::mem::take(&mut said));
                    }
                    self.bytes(what)?;
                }
                Output::Event(event) => {
                    if let Event::File { file, leaves: false, far: Far::Failed(_) } = &event {
                        self.files.close(file.sha256);
                    }
                    // Nobody may want to hear any more.
                    let _ended = self.events.send(event).await;
                }
            }
        }
        if let Some(line) = &self.line {
            line.say(&said);
        }
        Ok(())
    }
}

/// The records that a device is restored from, as their keys begin.
const STARTING: [&str; 9] = ["contact/", "draft/", "ends/", "forget/", "joining", "marks/", "own", "talk/", "upload/"];

fn restore(place: &Place, hosted: bool, store: &mut Store) -> Result<Client, DeviceFault> {
    let mut records: Vec<Record> = Vec::new();
    for prefix in STARTING {
        let found = store.scan(prefix, "", usize::MAX)?;
        for key in &found.damaged {
            tracing::error!(key, "record damaged, set aside");
        }
        records.extend(found.records.into_iter().filter(|record| Client::restored_at_start(&record.key)));
    }
    Ok(Client::restore(Ours { address: place.address.clone(), hosted }, records)?)
}

/// Sees that the directory is this address's, or nobody's yet.
fn own(place: &Place) -> Result<(), DeviceFault> {
    let path = place.dir.join("address");
    let io = |why| DeviceFault::Io { path: path.clone(), why };
    private_file::create(&path, format!("{}\n", place.address).as_bytes()).map_err(io)?;
    let found = std::fs::read_to_string(&path).map_err(io)?;
    if Address::parse(found.trim_end()).as_ref() == Ok(&place.address) {
        Ok(())
    } else {
        Err(DeviceFault::OtherAddress { found: crate::shown::shown(found.trim_end(), crate::shown::ADDRESS_BYTES) })
    }
}

/// Where a person's device keeps its store where nobody says otherwise: under the data directory of the system's user.
#[must_use]
pub fn default_dir(address: &Address) -> Option<PathBuf> {
    // An address may hold a slash, and a name may not.
    Some(default_base()?.join(address.to_string().replace('%', "%25").replace('/', "%2F")))
}

/// Where such stores are.
#[must_use]
pub fn default_base() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_DATA_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".local/share"),
    };
    Some(base.join("postline"))
}

#[cfg(test)]
mod tests {
    use postline_core::id::{ConversationId, Hash, Pair};

    use super::*;

    #[test]
    fn what_is_restored_at_start_is_what_the_core_says() {
        let (address, talk) = (Address::parse("a@b.example").unwrap(), ConversationId([1; 32]));
        for key in [
            Key::Own,
            Key::Joining,
            Key::Contact(address.clone()),
            Key::Talk(talk),
            Key::Group(talk),
            Key::Reserve(talk),
            Key::Epoch(talk, 1),
            Key::Package(Hash([1; 32])),
            Key::Said(talk, 7),
            Key::Draft(9),
            Key::Upload(Hash([1; 32])),
            Key::Forget(Pair { ours: address.clone(), theirs: address.clone() }, Hash([1; 32])),
            Key::Named(Hash([1; 32])),
            Key::Marks(talk),
            Key::Ends(talk),
            Key::Moment(talk, 1, 0),
            Key::Mailing(talk, 7),
            Key::Talks(address),
        ] {
            let text = key.to_string();
            assert_eq!(
                STARTING.iter().any(|prefix| text.starts_with(prefix)),
                Client::restored_at_start(&key),
                "{text}"
            );
        }
    }

    #[test]
    fn a_store_is_one_addresses_own() {
        let dir = tempfile::tempdir().unwrap();
        let place = |text: &str| Place { dir: dir.path().to_owned(), address: Address::parse(text).unwrap() };
        assert!(own(&place("ann@a.example")).is_ok() && own(&place("ann@a.example")).is_ok());
        assert!(
            matches!(own(&place("bob@a.example")), Err(DeviceFault::OtherAddress { found }) if found == "ann@a.example")
        );
    }
}
