//! Devices that this node runs, for people who have only a mail program: sealed conversations end at the node for them, and
//! everybody in one is shown that.
//!
//! ```text
//!   operator ── host, approve ──▶ ┌────────┐ ──▶ Device (core::client, a store of its own) ──session──▶ owner
//!   a reply by mail ── seal ────▶ │ Hosted │        └─ Said ─▶ a mail ─────────────────────────────▶ owner ─▶ mailbox
//!                                 └────────┘
//! ```
//!
//! All of them run on one thread of their own, never the owner's. Which addresses have one says the disk: each has a
//! directory below `hosted` in the data directory, with its keys. Nobody has one unless the operator said so.
//!
//! It ends where the person has a device of their own: that one is let in by its code, takes the keys over, and revokes this
//! one, whose directory goes then.

pub mod reply;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postline_core::client::io::{Failure, Saying, To};
use postline_core::client::{Command, Event};
use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, ConversationId, DeviceKey, NodeKey};
use postline_core::limits;
use postline_core::seal::address;
use postline_core::server::LoginOk;
use postline_core::store::Key;
use postline_core::wire::list::DeviceList;
use postline_core::wire::statement::Signed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::device::{Device, DeviceFault, Dialler, Handle, Mailing, OwnDoor, Place};
use crate::directory::{Live, Resolved};
use crate::owner::Inbox;
use crate::private_file;
use crate::session::Sessions;
use crate::spool::Spool;
use crate::store::Reader;

/// How long somebody waits for what a device is to do.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a code may wait for the device that shows it: less than the operator does.
const ASKS: Duration = Duration::from_secs(20);
/// How long a device that failed is left alone.
const AGAIN: Duration = Duration::from_secs(5);
/// How many of the last replies are known again.
const SAID: usize = 256;
/// Most orders that wait for one device.
const ORDERS: usize = 64;

/// What hosted devices need of the node.
pub struct Around {
    /// The directory that they are in: made where there is none.
    pub dir: PathBuf,
    /// The directory of the node's store.
    pub store: PathBuf,
    /// The node's people.
    pub people: Arc<Live>,
    /// Where bodies are received.
    pub spool: Spool,
    /// The owner's inbox.
    pub inbox: Inbox,
    /// The node's sessions.
    pub sessions: Sessions,
    /// The node's key.
    pub nk: NodeKey,
    /// What the node runs on.
    pub runtime: tokio::runtime::Handle,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// This node hosts nobody.
    #[error("this node hosts no devices: hosted.devices says \"off\"")]
    Off,
    /// The address has none.
    #[error("no device is hosted for {0}")]
    NotHosted(Address),
    /// Nobody has the address.
    #[error("{0} leads to nobody here")]
    NoSuchUser(Address),
    /// The person has a device of their own.
    #[error("{0} has a device of their own")]
    HasDevice(Address),
    /// As many are hosted as may be.
    #[error("{0} devices are hosted, and no more can be")]
    TooMany(usize),
    /// The code is of no device that asks to be let in.
    #[error("no device of theirs shows this code now")]
    WrongCode,
    /// The conversation has others in it than the mail goes to.
    #[error("the mail goes to others than are in the conversation")]
    Others,
    /// The device has said no.
    #[error("{0}")]
    Declined(String),
    /// Not in time.
    #[error("no answer in time")]
    Late,
}

type Answer = oneshot::Sender<Result<(), Undone>>;

/// What a device is told.
enum Order {
    /// Say when it is one of the person's.
    Stand(Answer),
    /// Let the device in that shows this code.
    Approve(String, Answer),
    /// Say this, where these are who hears it.
    Seal { talk: ConversationId, to: BTreeSet<Address>, salt: [u8; 16], text: String, answer: Answer },
}

/// The hosted devices.
#[derive(Clone)]
pub struct Hosted(Option<Arc<Shared>>);

struct Shared {
    around: Around,
    /// What they run on: the one thread.
    own: tokio::runtime::Handle,
    devices: Mutex<Option<BTreeMap<Address, mpsc::Sender<Order>>>>,
    /// Held by each that runs.
    running: Mutex<Option<mpsc::Sender<()>>>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
    /// Dropped with the last who could want something of them: their thread ends.
    _wanted: oneshot::Sender<()>,
}

impl Hosted {
    /// None at all.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Those that there are, running.
    ///
    /// # Errors
    /// The file system's.
    pub fn start(around: Around) -> std::io::Result<Self> {
        private_file::create_dir(&around.dir)?;
        let mut known = Vec::new();
        for entry in std::fs::read_dir(&around.dir)? {
            let text = std::fs::read_to_string(entry?.path().join("address")).unwrap_or_default();
            known.extend(Address::parse(text.trim_end()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = runtime.handle().clone();
        let (running, ended) = mpsc::channel(1);
        let (wanted, unwanted) = oneshot::channel();
        let shared = Arc::new(Shared {
            around,
            own,
            devices: Mutex::new(Some(BTreeMap::new())),
            running: Mutex::new(Some(running)),
            ended: tokio::sync::Mutex::new(ended),
            _wanted: wanted,
        });
        let hosted = Self(Some(Arc::clone(&shared)));
        std::thread::Builder::new().name("hosted".to_owned()).spawn(move || runtime.block_on(unwanted))?;
        for address in known.into_iter().take(limits::HOSTED) {
            shared.run(address);
        }
        Ok(hosted)
    }

    /// Runs a device for an address from now on: done once it is one of the person's.
    ///
    /// # Errors
    /// [`Undone`].
    pub async fn host(&self, address: Address) -> Result<(), Undone> {
        let shared = self.0.as_ref().ok_or(Undone::Off)?;
        if !matches!(shared.around.people.current().resolve(&address), Resolved::Local(_)) {
            return Err(Undone::NoSuchUser(address));
        }
        let (new, count) = {
            let devices = shared.devices();
            let devices = devices.as_ref().ok_or(Undone::Off)?;
            (!devices.contains_key(&address), devices.len())
        };
        if new && count >= limits::HOSTED {
            return Err(Undone::TooMany(limits::HOSTED));
        }
        if new {
            shared.run(address.clone());
        }
        self.order(&address, Order::Stand).await
    }

    /// Lets the device in that shows this code: it is the person's own.
    ///
    /// # Errors
    /// [`Undone`].
    pub async fn approve(&self, address: Address, code: String) -> Result<(), Undone> {
        // What the device asks may come after its code: whoever waits for it longer than this types the code again.
        let approved = self.order_for(ASKS, &address, |answer| Order::Approve(code, answer)).await;
        approved.map_err(|undone| if undone == Undone::Late { Undone::WrongCode } else { undone })
    }

    /// Says something in a conversation, for who has written it as a mail to these: done once it is durable here.
    ///
    /// # Errors
    /// [`Undone`].
    pub async fn seal(
        &self,
        author: &Address,
        talk: ConversationId,
        to: BTreeSet<Address>,
        salt: [u8; 16],
        text: String,
    ) -> Result<(), Undone> {
        self.order(author, |answer| Order::Seal { talk, to, salt, text, answer }).await
    }

    /// Ends them all, in order.
    pub async fn end(&self) {
        let Some(shared) = &self.0 else { return };
        drop(shared.devices().take());
        drop(shared.running.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Nobody says anything on it: it ends with the last that runs.
        let _none = shared.ended.lock().await.recv().await;
    }

    async fn order(&self, address: &Address, order: impl FnOnce(Answer) -> Order) -> Result<(), Undone> {
        self.order_for(ANSWER, address, order).await
    }

    async fn order_for(
        &self,
        patience: Duration,
        address: &Address,
        order: impl FnOnce(Answer) -> Order,
    ) -> Result<(), Undone> {
        let shared = self.0.as_ref().ok_or(Undone::Off)?;
        let device = shared.devices().as_ref().and_then(|devices| devices.get(address).cloned());
        let device = device.ok_or_else(|| Undone::NotHosted(address.clone()))?;
        let (answer, answered) = oneshot::channel();
        let waits = async {
            device.send(order(answer)).await.map_err(|_| Undone::NotHosted(address.clone()))?;
            answered.await.map_err(|_| Undone::NotHosted(address.clone()))?
        };
        timeout(patience, waits).await.map_err(|_| Undone::Late)?
    }
}

impl Shared {
    fn devices(&self) -> std::sync::MutexGuard<'_, Option<BTreeMap<Address, mpsc::Sender<Order>>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the device of an address, until it is none any more.
    fn run(self: &Arc<Self>, address: Address) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (orders, wanted) = mpsc::channel(ORDERS);
        {
            let mut devices = self.devices();
            let (Some(devices), Some(_)) = (devices.as_mut(), &running) else { return };
            devices.insert(address.clone(), orders);
        }
        let shared = Arc::clone(self);
        self.own.spawn(async move {
            let _runs = running;
            let mut keeper =
                Keeper { shared: &shared, address: address.clone(), wanted, asked: Asked::default(), dk: None };
            while !keeper.run().await {
                sleep(AGAIN).await;
            }
            if let Some(devices) = shared.devices().as_mut() {
                devices.remove(&address);
            }
        });
    }

    fn place(&self, address: &Address) -> Place {
        // An address may hold a slash, and a name may not.
        let name = address.to_string().replace('%', "%25").replace('/', "%2F");
        Place { dir: self.around.dir.join(name), address: address.clone() }
    }

    /// Whether the person's newest list, as the node has it, names this device among those that are none any more.
    fn revoked(&self, address: &Address, dk: DeviceKey) -> bool {
        let first = Key::List(address.clone(), 0).to_string();
        let prefix = first.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        let found =
            Reader::open(&self.around.store).and_then(|reader| reader.scan(&format!("{prefix}/"), "", usize::MAX));
        let records = match found {
            Ok(found) => found.records,
            Err(why) => {
                tracing::error!(%why, "device lists can't be read");
                return false;
            }
        };
        let newest = records.last().and_then(|record| record.value.as_deref());
        newest.and_then(|bytes| open_list(bytes).ok()).is_some_and(|list| list.value().revoked.contains(&dk))
    }

    fn open(&self, address: &Address) -> Result<(Device, Handle), DeviceFault> {
        let around = &self.around;
        let mailbox = match around.people.current().resolve(address) {
            Resolved::Local(mailbox) => mailbox,
            // Whoever has it again has to log in by themselves: this login is good for nothing but the device's address.
            Resolved::Unknown | Resolved::Remote => postline_core::id::Mailbox(address.to_string()),
        };
        let login = LoginOk { mailbox, addresses: vec![address.clone()] };
        let door = OwnDoor { sessions: around.sessions.clone(), login, nk: around.nk, runtime: around.runtime.clone() };
        let mailing =
            Mailing::new(address.clone(), Arc::clone(&around.people), around.spool.clone(), around.inbox.clone());
        Device::hosted(self.place(address), Dialler::own(door), mailing)
    }
}

/// What a device was asked and has not answered.
#[derive(Default)]
struct Asked {
    stand: Vec<Answer>,
    approve: Option<Answer>,
    /// By salt.
    seal: BTreeMap<[u8; 16], Answer>,
    /// What was said last: handed in again, since its author heard no answer, it is said already.
    said: VecDeque<[u8; 16]>,
    enrolled: bool,
    talks: BTreeMap<ConversationId, BTreeSet<Address>>,
}

/// Who runs one device.
struct Keeper<'a> {
    shared: &'a Shared,
    address: Address,
    wanted: mpsc::Receiver<Order>,
    asked: Asked,
    /// The device's key, once it is one of the person's.
    dk: Option<DeviceKey>,
}

fn open_list(bytes: &[u8]) -> Result<Signed<DeviceList>, PeerFault> {
    address::open::<DeviceList>(bytes)
}

/// How a run of a device came to its end.
enum Ended {
    /// The node goes down, or the device's disk failed.
    Left,
    /// The person has revoked it.
    Revoked,
    /// The person had a device before it.
    Late,
}

impl Keeper<'_> {
    /// Runs the device once: whether that was all.
    async fn run(&mut self) -> bool {
        self.asked = Asked { said: std::mem::take(&mut self.asked.said), ..Asked::default() };
        let (device, Handle { commands, mut events, .. }) = match self.shared.open(&self.address) {
            Ok(opened) => opened,
            Err(fault) => {
                tracing::error!(address = %self.address, %fault, "a hosted device can't be opened");
                return self.wanted.is_closed();
            }
        };
        let dk = device.client().dk();
        if device.client().is_revoked() || dk.is_some_and(|dk| self.shared.revoked(&self.address, dk)) {
            return self.bury(device).await;
        }
        if device.client().is_over() {
            // Its keys stay: they may be the person's only ones.
            tracing::error!(address = %self.address, "a hosted device is a copy of one that went on: it stays silent");
            return true;
        }
        self.dk = dk;
        let running = tokio::spawn(device.run());
        // One that is enrolled declines, and comes up by itself.
        let _ended = commands.send(Command::Enrol { login: None }).await;
        let ended = self.serve(&commands, &mut events).await;
        let _ended = commands.send(Command::Disconnect).await;
        drop(commands);
        while events.recv().await.is_some() {}
        match running.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::error!(address = %self.address, %fault, "a hosted device has stopped"),
            Err(fault) => tracing::error!(address = %self.address, %fault, "a hosted device has died"),
        }
        match ended {
            Ended::Left => self.wanted.is_closed(),
            Ended::Revoked => match self.shared.open(&self.address) {
                Ok((device, _)) => self.bury(device).await,
                Err(fault) => {
                    tracing::error!(address = %self.address, %fault, "a hosted device can't be opened");
                    false
                }
            },
            Ended::Late => {
                for answer in self.asked.stand.drain(..) {
                    let _gone = answer.send(Err(Undone::HasDevice(self.address.clone())));
                }
                self.remove()
            }
        }
    }

    /// A device that is none any more goes, with its keys, once all that it heard is in the mailbox.
    async fn bury(&self, device: Device) -> bool {
        match device.end().await {
            Ok(true) => self.remove(),
            Ok(false) => false,
            Err(fault) => {
                tracing::error!(address = %self.address, %fault, "a hosted device that is none any more stays for now");
                false
            }
        }
    }

    fn remove(&self) -> bool {
        let dir = self.shared.place(&self.address).dir;
        match std::fs::remove_dir_all(&dir) {
            Ok(()) => tracing::info!(address = %self.address, "no device is hosted any more"),
            Err(why) => tracing::error!(dir = %dir.display(), %why, "the keys of a hosted device stay on the disk"),
        }
        true
    }

    async fn serve(&mut self, commands: &mpsc::Sender<Command>, events: &mut mpsc::Receiver<Event>) -> Ended {
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    None => return Ended::Left,
                    Some(Event::Revoked) => return Ended::Revoked,
                    // The node lets in no device that a list has revoked: not even to tell it so.
                    Some(Event::Offline { code: Some(Code::Login) })
                        if self.dk.is_some_and(|dk| self.shared.revoked(&self.address, dk)) => return Ended::Revoked,
                    Some(Event::Enrolled { dk, .. }) => self.dk = Some(dk),
                    Some(Event::JoinWanted) => return Ended::Late,
                    Some(event) => self.asked.heard(&self.address, event),
                },
                order = self.wanted.recv() => match order {
                    None => return Ended::Left,
                    // Where it takes no more, whoever asked is told in time that there was no answer.
                    Some(order) => if let Some(command) = self.asked.take(order) && commands.try_send(command).is_err() {
                        tracing::warn!(address = %self.address, "a hosted device takes no more orders");
                    },
                },
            }
        }
    }
}

impl Asked {
    /// What is to be said to the device.
    fn take(&mut self, order: Order) -> Option<Command> {
        match order {
            Order::Stand(answer) if self.enrolled => _ = answer.send(Ok(())),
            Order::Stand(answer) => self.stand.push(answer),
            Order::Approve(code, answer) => {
                // One at a time: who asked before is too late.
                self.approve = Some(answer);
                return Some(Command::AddDevice { code: code.into() });
            }
            Order::Seal { talk, to, salt, text, answer } => {
                if self.talks.get(&talk) != Some(&to) {
                    _ = answer.send(Err(Undone::Others));
                    return None;
                }
                if self.said.contains(&salt) {
                    _ = answer.send(Ok(()));
                    return None;
                }
                self.seal.retain(|_, waits| !waits.is_closed());
                let Ok(what) = Saying::text(&text) else {
                    _ = answer.send(Err(Undone::Declined("not a text".to_owned())));
                    return None;
                };
                self.seal.insert(salt, answer);
                return Some(Command::Say { to: To::Conversation(talk), salt: Some(salt), what });
            }
        }
        None
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "who has only a mail program is told what is said, and no more")]
    fn heard(&mut self, address: &Address, event: Event) {
        // Who asked may have left: then nobody hears of it.
        match event {
            // It hears of others' before it knows that it is none of them.
            Event::Devices(devices) if !devices.iter().any(|device| device.this) => {}
            Event::Devices(_) => {
                self.enrolled = true;
                self.stand.drain(..).for_each(|answer| _ = answer.send(Ok(())));
            }
            Event::Added { .. } => self.approve.take().into_iter().for_each(|answer| _ = answer.send(Ok(()))),
            Event::Conversation(talk) => _ = self.talks.insert(talk.id, talk.with.into_iter().collect()),
            Event::Saying { salt, .. } => {
                self.said.push_back(salt);
                self.said.drain(..self.said.len().saturating_sub(SAID));
                self.seal.remove(&salt).into_iter().for_each(|answer| _ = answer.send(Ok(())));
            }
            Event::Unsaid { salt, why } => {
                if let Some(answer) = self.seal.remove(&salt) {
                    _ = answer.send(match why {
                        // It was handed in before, and its answer was lost.
                        Failure::Again => Ok(()),
                        why => Err(Undone::Declined(format!("{why:?}"))),
                    });
                }
            }
            Event::Declined(postline_core::client::Declined::Enrolled) => {}
            Event::Declined(why) => {
                if let Some(answer) = self.approve.take() {
                    _ = answer.send(Err(match why {
                        postline_core::client::Declined::WrongCode | postline_core::client::Declined::NobodyAsked => {
                            Undone::WrongCode
                        }
                        why => Undone::Declined(crate::device::declined(&why)),
                    }));
                }
            }
            Event::Alarm(alarm) => tracing::error!(%address, ?alarm, "a hosted device was lied to"),
            Event::KeysChanged { who, .. } => {
                tracing::warn!(%address, %who, "speaks with other keys: nothing is sealed to them any more");
            }
            Event::Refused { who, why } => tracing::info!(%address, ?who, %why, "a hosted device refused something"),
            Event::NotOpened { seq, why, .. } => tracing::warn!(%address, seq, %why, "can't be opened"),
            Event::Behind => tracing::error!(%address, "a hosted device is a copy of one that went on"),
            _ => {}
        }
    }
}
