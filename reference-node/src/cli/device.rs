//! `postline device`: one thing at a time with this device, and then it is left.
//!
//! ```text
//!   open the store ─▶ connect ─▶ the command ─▶ events, until one of them answers it ─▶ leave
//! ```
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many events, each command waits for its own")]

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postline_core::client::io::{Device as Listed, Login, Passphrase};
use postline_core::client::{Command, Event};
use postline_core::id::Address;
use postline_core::wire::talk::Password;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::args::{DeviceCommand, OwnArgs};
use super::{Failure, PartFault, show};
use crate::config::{Log, LogFormat, LogLevel};
use crate::device::{self, Device, Dialler, Files, Handle, NodeAt, Place};
use crate::private_file;
use crate::shown::shown;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the node may take where an older answer would do.
const ANSWER: Duration = Duration::from_secs(5);
/// How long people may take: to type a code on another device, or to compare two.
const PEOPLE: Duration = Duration::from_secs(15 * 60);
/// The largest backup that is read.
const BACKUP_BYTES: u64 = 16 * 1024 * 1024;

/// A device that runs, and how it is told and heard.
pub(super) struct Running {
    pub(super) address: Address,
    /// Where its store is.
    pub(super) dir: PathBuf,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) files: Files,
    pub(super) task: tokio::task::JoinHandle<Result<(), device::DeviceFault>>,
}

/// Opens the device that the arguments name.
pub(super) fn open(own: &OwnArgs) -> Result<(Device, Handle, Place), Failure> {
    // To whoever runs this; in the background it would be noise.
    let quiet = Log { format: LogFormat::Text, level: LogLevel::Warn };
    crate::log::install(quiet).map_err(|why| Failure::Part(why.into()))?;
    let (dir, address) = place(own)?;
    private_file::create_dir(&dir)?;
    let node = remembered(&dir, own.node.clone())?;
    let dialler = Dialler::new(address.domain().clone(), node, own.nk, own.roots.as_deref())?;
    let place = Place { dir, address };
    let (device, handle) = Device::open(place.clone(), dialler).map_err(|why| Failure::Part(why.into()))?;
    Ok((device, handle, place))
}

/// Where the store is, and whose.
pub(super) fn place(own: &OwnArgs) -> Result<(PathBuf, Address), Failure> {
    let kept = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join("address")).ok()?;
        Address::parse(text.trim_end()).ok()
    };
    match (&own.store, &own.address) {
        (Some(dir), Some(address)) => Ok((dir.clone(), address.clone())),
        (Some(dir), None) => {
            let address = kept(dir).ok_or_else(|| Failure::Usage("want --as: whose device is it?".into()))?;
            Ok((dir.clone(), address))
        }
        (None, Some(address)) => {
            let dir = device::default_dir(address).ok_or_else(|| Failure::Usage("want --store: no home".into()))?;
            Ok((dir, address.clone()))
        }
        (None, None) => {
            let base = device::default_base().ok_or_else(|| Failure::Usage("want --as and --store".into()))?;
            let dirs = std::fs::read_dir(base).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
            let mut known = dirs.filter_map(|dir| kept(&dir).map(|address| (dir, address)));
            match (known.next(), known.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err(Failure::Usage("want --as: no device of anybody is here yet".into())),
                (Some(_), Some(_)) => Err(Failure::Usage("want --as: devices of several addresses are here".into())),
            }
        }
    }
}

/// The node that was named, now or the last time.
fn remembered(dir: &Path, named: Option<NodeAt>) -> Result<Option<NodeAt>, Failure> {
    let file = dir.join("node");
    if let Some(node) = named {
        private_file::replace(&file, format!("{node}\n").as_bytes())?;
        return Ok(Some(node));
    }
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            Ok(Some(text.trim_end().parse().map_err(|why| Failure::Usage(format!("{}: {why}", file.display())))?))
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why.into()),
    }
}

impl Running {
    /// Opens the device and lets it run.
    pub(super) fn start(own: &OwnArgs) -> Result<Self, Failure> {
        let (device, Handle { commands, events, files }, Place { dir, address }) = open(own)?;
        Ok(Self { address, dir, commands, events, files, task: tokio::spawn(device.run()) })
    }

    async fn tell(&self, command: Command) -> Result<(), Failure> {
        self.commands.send(command).await.map_err(|_| stopped())
    }

    /// The next event.
    async fn hear(&mut self, until: Instant) -> Result<Event, Failure> {
        match timeout_at(until, self.events.recv()).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(stopped()),
            Err(_) => Err(Failure::Part("no answer in time".into())),
        }
    }

    /// Leaves the node, and the store in order.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let Self { commands, mut events, task, .. } = self;
        // It may have ended by itself.
        let _ended = commands.send(Command::Disconnect).await;
        drop(commands);
        while events.recv().await.is_some() {}
        let ended = task.await.map_err(|why| Failure::Part(why.into()))?;
        ended.map_err(|why| Failure::Part(why.into()))
    }
}

/// The device has ended before it was left; [`Running::end`] says why.
pub(super) fn stopped() -> Failure {
    Failure::Part("the device has stopped".into())
}

/// A runtime for one device.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Does one command.
pub(super) fn run(command: DeviceCommand, json: bool, out: &mut dyn Write) -> Result<u8, Failure> {
    let asked = Asked::of(command)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut running = Running::start(&asked.own)?;
        let done = asked.what.run(&mut running, json, out).await;
        let ended = running.end().await;
        ended.and(done)
    })?;
    Ok(0)
}

/// A command with all that is asked of the person before it begins.
struct Asked {
    own: OwnArgs,
    what: What,
}

enum What {
    Enrol { user: Option<String>, password: Zeroizing<String> },
    List,
    Join,
    Add { code: String },
    Revoke(postline_core::id::DeviceKey, Option<(Vec<u8>, Passphrase)>),
    Verify(Address),
    Block(Address, bool),
    Backup { file: PathBuf },
    Restore { bytes: Vec<u8>, passphrase: Passphrase },
}

impl Asked {
    fn of(command: DeviceCommand) -> Result<Self, Failure> {
        let (own, what) = match command {
            DeviceCommand::Enrol { user, own } => {
                (own, What::Enrol { user, password: secret("Password of the mailbox: ")? })
            }
            DeviceCommand::List { own } => (own, What::List),
            DeviceCommand::Join { own } => (own, What::Join),
            DeviceCommand::Add { own } => {
                (own, What::Add { code: secret("Code of the new device: ")?.trim().to_owned() })
            }
            // Asked of the running node, or of a store that may be in use: no device runs for them.
            DeviceCommand::Host { .. } | DeviceCommand::Approve { .. } | DeviceCommand::Search { .. } => {
                return Err(Failure::Usage("no device of this machine does this".into()));
            }
            DeviceCommand::Revoke { device, stolen, own } => {
                let backup = stolen.map(|file| opened(&file)).transpose()?;
                (own, What::Revoke(device, backup))
            }
            DeviceCommand::Verify { peer, own } => (own, What::Verify(peer)),
            DeviceCommand::Block { peer, own } => (own, What::Block(peer, true)),
            DeviceCommand::Unblock { peer, own } => (own, What::Block(peer, false)),
            DeviceCommand::Backup { file, own } => {
                if file.exists() {
                    return Err(Failure::Usage(format!("{} is there already", file.display())));
                }
                (own, What::Backup { file })
            }
            DeviceCommand::Restore { file, own } => {
                let (bytes, passphrase) = opened(&file)?;
                (own, What::Restore { bytes, passphrase })
            }
        };
        Ok(Self { own, what })
    }
}

impl What {
    async fn run(self, device: &mut Running, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
        let mut until = Instant::now() + PATIENCE;
        match self {
            Self::Enrol { user, password } => {
                let user = user.unwrap_or_else(|| device.address.local().to_owned());
                let login = Some(Login { user, password: Password(password) });
                device.tell(Command::Enrol { login }).await?;
                loop {
                    let event = device.hear(until).await?;
                    tell(&event, json, out)?;
                    match event {
                        Event::Enrolled { .. } | Event::JoinWanted => return Ok(()),
                        event => failed(&event)?,
                    }
                }
            }
            Self::List => {
                let devices = newest(device).await?;
                if json {
                    return Ok(show::json(out, &device::json(&Event::Devices(devices)))?);
                }
                for one in devices {
                    let this = if one.this { " (this one)" } else { "" };
                    let hosted = if one.hosted { " (run by the node)" } else { "" };
                    let name = one.name.as_deref().map_or_else(String::new, |name| shown(name, 64));
                    writeln!(out, "{}  {name}{this}{hosted}", one.dk)?;
                }
                Ok(())
            }
            Self::Join => {
                online(device, json, out, until).await?;
                device.tell(Command::Join).await?;
                until = Instant::now() + PEOPLE;
                loop {
                    let event = device.hear(until).await?;
                    tell(&event, json, out)?;
                    match event {
                        Event::Enrolled { .. } => return Ok(()),
                        event => failed(&event)?,
                    }
                }
            }
            Self::Add { code } => {
                online(device, json, out, until).await?;
                device.tell(Command::AddDevice { code: code.into() }).await?;
                // What the new device asks may still be on its way: then the code waits for it.
                until += PATIENCE;
                loop {
                    let event = device.hear(until).await?;
                    match event {
                        Event::Added { .. } => return tell(&event, json, out),
                        Event::CodeWaits { .. } => tell(&event, json, out)?,
                        event => failed(&event)?,
                    }
                }
            }
            Self::Revoke(dk, backup) => {
                online(device, json, out, until).await?;
                let command = match backup {
                    Some((bytes, passphrase)) => Command::RevokeStolen { dk, bytes, passphrase },
                    None => Command::Revoke(dk),
                };
                device.tell(command).await?;
                // Where the person takes their keys over, a list comes before that one.
                devices(device, dk, json, out, until).await
            }
            Self::Verify(peer) => {
                online(device, json, out, until).await?;
                device.tell(Command::Verify(peer.clone())).await?;
                verify(device, &peer, json, out).await
            }
            Self::Block(peer, blocked) => {
                online(device, json, out, until).await?;
                device.tell(if blocked { Command::Block(peer) } else { Command::Unblock(peer) }).await?;
                loop {
                    match device.hear(until).await? {
                        event @ Event::Blocked { .. } => return tell(&event, json, out),
                        event => failed(&event)?,
                    }
                }
            }
            Self::Backup { file } => {
                online(device, json, out, until).await?;
                device.tell(Command::Backup).await?;
                loop {
                    match device.hear(until).await? {
                        Event::Backup { bytes, passphrase } => {
                            return kept(device, &file, &bytes, &passphrase, json, out).await;
                        }
                        event => failed(&event)?,
                    }
                }
            }
            Self::Restore { bytes, passphrase } => {
                online(device, json, out, until).await?;
                device.tell(Command::Restore { bytes, passphrase }).await?;
                loop {
                    let event = device.hear(until).await?;
                    tell(&event, json, out)?;
                    match event {
                        Event::Enrolled { .. } => return Ok(()),
                        event => failed(&event)?,
                    }
                }
            }
        }
    }
}

/// The devices as the node has them; where it can't be reached, as this device knows them.
async fn newest(device: &mut Running) -> Result<Vec<Listed>, Failure> {
    device.tell(Command::Connect).await?;
    let (mut devices, mut until) = (Vec::new(), Instant::now() + ANSWER);
    loop {
        match device.hear(until).await {
            Ok(Event::Devices(newer)) => devices = newer,
            // The node says what has changed right behind its Ready.
            Ok(Event::Online) => until = Instant::now() + ANSWER / 5,
            Ok(Event::Declined(why)) => return Err(Failure::Part(device::declined(&why).into())),
            Ok(_) => {}
            Err(failure) if devices.is_empty() => return Err(failure),
            Err(_) => return Ok(devices),
        }
    }
}

/// Waits until there is a session.
async fn online(device: &mut Running, json: bool, out: &mut dyn Write, until: Instant) -> Result<(), Failure> {
    device.tell(Command::Connect).await?;
    loop {
        match device.hear(until).await? {
            Event::Online => return Ok(()),
            event @ (Event::JoinWanted | Event::KeysChanged { .. }) => tell(&event, json, out)?,
            event => failed(&event)?,
        }
    }
}

/// Waits until one that is to go is gone.
async fn devices(
    device: &mut Running,
    without: postline_core::id::DeviceKey,
    json: bool,
    out: &mut dyn Write,
    until: Instant,
) -> Result<(), Failure> {
    loop {
        let event = device.hear(until).await?;
        match &event {
            Event::Devices(now) if now.iter().any(|one| one.dk == without) => {}
            Event::Devices(_) => return tell(&event, json, out),
            event => failed(event)?,
        }
    }
}

/// Shows both codes, asks whether they are the same, and says so.
async fn verify(device: &mut Running, peer: &Address, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let until = Instant::now() + PEOPLE;
    loop {
        let event = device.hear(until).await?;
        tell(&event, json, out)?;
        match event {
            Event::Code(_) => {
                out.flush()?;
                let answer = tokio::task::spawn_blocking(|| secret("same or differ? ")).await;
                let answer = answer.map_err(|why| Failure::Part(why.into()))??;
                let said = match answer.trim() {
                    "same" | "yes" => Command::Same(peer.clone()),
                    _ => Command::Differ(peer.clone()),
                };
                device.tell(said).await?;
            }
            Event::Verified { .. } => return Ok(()),
            Event::NotVerified { .. } => return Err(Failure::Part("not verified".into())),
            event => failed(&event)?,
        }
    }
}

/// Writes a backup, shows its passphrase, and says that it was put away.
async fn kept(
    device: &Running,
    file: &Path,
    bytes: &[u8],
    passphrase: &Passphrase,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if !private_file::create(file, bytes)? {
        return Err(Failure::Usage(format!("{} is there already", file.display())));
    }
    if json {
        let object = json!({ "event": "backup", "file": file.display().to_string(), "passphrase": *passphrase.0 });
        show::json(out, &object)?;
    } else {
        writeln!(
            out,
            "{}\n\nWrite down its passphrase, which is kept nowhere:\n\n    {}\n",
            file.display(),
            *passphrase.0
        )?;
    }
    out.flush()?;
    device.tell(Command::BackupKept).await
}

/// What ends a command without its answer.
fn failed(event: &Event) -> Result<(), Failure> {
    let why: PartFault = match event {
        Event::Declined(why) => device::declined(why).into(),
        Event::Refused { why, .. } => shown(&why.to_string(), 1_024).into(),
        Event::Alarm(_) | Event::Behind | Event::Revoked => device::text(event).unwrap_or_default().into(),
        // It is tried again until patience ends.
        _ => return Ok(()),
    };
    Err(Failure::Part(why))
}

/// Shows an event.
pub(super) fn tell(event: &Event, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        let object: Value = device::json(event);
        show::json(out, &object)?;
    } else if let Some(line) = device::text(event) {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// A backup, and the passphrase that the person types for it.
fn opened(file: &Path) -> Result<(Vec<u8>, Passphrase), Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(BACKUP_BYTES).read_to_end(&mut bytes)?;
    let passphrase = secret("Passphrase of the backup: ")?;
    Ok((bytes, Passphrase(Zeroizing::new(passphrase.trim().to_owned()))))
}

/// The code that a new device shows.
pub(super) fn code() -> Result<Zeroizing<String>, Failure> {
    Ok(Zeroizing::new(secret("Code of the new device: ")?.trim().to_owned()))
}

/// A secret, from the terminal and unseen, else a line of standard input. Never from the command line.
fn secret(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        return Ok(Zeroizing::new(rpassword::prompt_password(prompt)?));
    }
    let mut line = Zeroizing::new(String::new());
    input.lock().take(4 * 1024).read_line(&mut line)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
