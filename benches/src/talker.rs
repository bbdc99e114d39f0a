//! A person's device as an app embeds it: the core's client, its store on this disk, a session over TLS. It seals and opens,
//! on a thread of its own, where its person's program runs too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use postline_core::client::io::{Far, Level, Login, Mark, Said, Saying, To};
use postline_core::client::{Command, Event};
use postline_core::id::{Address, BlobRef, ContentId, NodeKey};
use postline_core::wire::talk::Password;
use postline_node::device::{Device, Dialler, Files, Handle, NodeAt, Place};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Fault;
use crate::person::PASSWORD;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device that runs.
pub struct Talker {
    /// Whose it is.
    pub address: Address,
    handle: Handle,
    runtime: tokio::runtime::Handle,
    /// How well it knows others. It says so when that changes, whoever waits for something else meanwhile.
    levels: BTreeMap<Address, Level>,
}

impl Talker {
    /// Starts a device of `address` at the node that listens at `node` and has the key `nk`.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn start(dir: &Path, address: &str, node: SocketAddr, nk: NodeKey) -> Result<Self, Fault> {
        let address = Address::parse(address)?;
        let at = NodeAt { host: node.ip().to_string(), port: node.port() };
        let dialler = Dialler::new(address.domain().clone(), Some(at), Some(nk), None)?;
        let place = Place { dir: dir.join(format!("device-{address}")), address: address.clone() };
        let (device, handle) = Device::open(place, dialler)?;
        let alone = Builder::new_current_thread().enable_all().build()?;
        let runtime = alone.handle().clone();
        // How it ended is told by what it then no longer does.
        let run = move || {
            if let Err(why) = alone.block_on(device.run()) {
                eprintln!("a device ended: {why}");
            }
        };
        thread::Builder::new().name("device".to_owned()).spawn(run)?;
        Ok(Self { address, handle, runtime, levels: BTreeMap::new() })
    }

    /// Does something with it where it runs.
    pub fn there<F>(self, what: impl FnOnce(Self) -> F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.clone().spawn(what(self))
    }

    /// Makes it the first device of its person.
    ///
    /// # Errors
    /// Where the node doesn't take it.
    pub async fn enrol(&mut self) -> Result<(), Fault> {
        let user = self.address.local().to_owned();
        let login = Some(Login { user, password: Password(PASSWORD.to_owned().into()) });
        self.tell(Command::Enrol { login }).await?;
        self.until("enrolled", |event| matches!(event, Event::Enrolled { .. }).then_some(())).await?;
        self.tell(Command::Connect).await
    }

    /// Waits until the keys of `theirs` are proven.
    ///
    /// # Errors
    /// Where they aren't in time.
    pub async fn keys_of(&mut self, theirs: &Address) -> Result<(), Fault> {
        if self.levels.get(theirs).is_some_and(|level| *level >= Level::Keys) {
            return Ok(());
        }
        let is = |event: &Event| match event {
            Event::Contact(contact) => (contact.address == *theirs && contact.level >= Level::Keys).then_some(()),
            _ => None,
        };
        self.until("keys", is).await
    }

    /// Says something of this length.
    ///
    /// # Errors
    /// Where the device has ended.
    pub async fn write(&self, to: &Address, len: usize) -> Result<(), Fault> {
        let (to, what) = (To::Person(to.clone()), Saying::text(&"x".repeat(len))?);
        self.tell(Command::Say { to, salt: None, what }).await
    }

    /// Waits for something that somebody else said.
    ///
    /// # Errors
    /// Where it doesn't come in time.
    pub async fn hears(&mut self) -> Result<Said, Fault> {
        self.until("a message", |event| match event {
            Event::Said(said) if !said.author.own => Some(said.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until something of its own is delivered: its name.
    ///
    /// # Errors
    /// Where it isn't in time.
    pub async fn delivered(&mut self) -> Result<ContentId, Fault> {
        self.until("delivered", |event| match event {
            Event::Mark { id, mark: Mark::Delivered, .. } => Some(*id),
            _ => None,
        })
        .await
    }

    /// Its sealed files.
    #[must_use]
    pub const fn files(&self) -> &Files {
        &self.handle.files
    }

    /// Leaves a sealed file for somebody: its node has all of it, durably, at the end.
    ///
    /// # Errors
    /// Where the node doesn't take it.
    pub async fn leave(&mut self, theirs: &Address, file: BlobRef) -> Result<(), Fault> {
        self.tell(Command::Keep { theirs: theirs.clone(), file }).await?;
        self.through(file).await
    }

    /// Begins to leave a sealed file for somebody: its node takes it, and from now on passes it on. Whether that is all.
    ///
    /// # Errors
    /// Where the node doesn't take it.
    pub async fn begin_to_leave(&mut self, theirs: &Address, file: BlobRef) -> Result<bool, Fault> {
        self.tell(Command::Keep { theirs: theirs.clone(), file }).await?;
        let begun = |event: &Event| match event {
            Event::File { file: of, far: Far::Here(_), .. } if *of == file => Some(Ok(false)),
            Event::File { file: of, far: Far::Done, .. } if *of == file => Some(Ok(true)),
            Event::File { file: of, far: Far::Failed(why), .. } if *of == file => Some(Err(*why)),
            _ => None,
        };
        self.until("file", begun).await?.map_err(|why| format!("the file failed: {why:?}").into())
    }

    /// Waits until its node has all of a file, durably.
    ///
    /// # Errors
    /// Where the node doesn't take it.
    pub async fn left(&mut self, file: BlobRef) -> Result<(), Fault> {
        self.through(file).await
    }

    /// Fetches a file that somebody left.
    ///
    /// # Errors
    /// Where it doesn't come.
    pub async fn fetch(&mut self, whose: &Address, file: BlobRef) -> Result<(), Fault> {
        self.tell(Command::Fetch { whose: whose.clone(), file }).await?;
        self.through(file).await
    }

    async fn through(&mut self, file: BlobRef) -> Result<(), Fault> {
        let end = |event: &Event| match event {
            Event::File { file: of, far: Far::Done, .. } if *of == file => Some(Ok(())),
            Event::File { file: of, far: Far::Failed(why), .. } if *of == file => Some(Err(*why)),
            _ => None,
        };
        self.until("file", end).await?.map_err(|why| format!("the file failed: {why:?}").into())
    }

    /// Asks for something.
    ///
    /// # Errors
    /// Where the device has ended.
    pub async fn tell(&self, command: Command) -> Result<(), Fault> {
        Ok(self.handle.commands.send(command).await.map_err(|_| format!("the device of {} ended", self.address))?)
    }

    async fn until<T>(&mut self, what: &str, is: impl Fn(&Event) -> Option<T>) -> Result<T, Fault> {
        loop {
            let event = timeout(PATIENCE, self.handle.events.recv()).await;
            let event = event.map_err(|_| format!("{}: no {what} in time", self.address))?;
            let event = event.ok_or_else(|| format!("the device of {} ended", self.address))?;
            match &event {
                Event::Alarm(_) | Event::Declined(_) | Event::NotOpened { .. } | Event::Behind => {
                    return Err(format!("{}: {event:?}", self.address).into());
                }
                Event::Contact(contact) => _ = self.levels.insert(contact.address.clone(), contact.level),
                Event::Mark { mark: Mark::Failed(why), .. } => return Err(format!("{}: {why:?}", self.address).into()),
                _ => {}
            }
            if let Some(found) = is(&event) {
                return Ok(found);
            }
        }
    }
}
