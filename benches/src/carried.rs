//! An attachment from a device to a device by their two nodes, beside the same bytes sealed alike and sent over bare TLS.
//!
//! ```text
//!   bare   file ─seal─▶ TLS on loopback ─▶ open ─▶ file, synced                    two threads
//!   ours   file ─seal─▶ spool ─▶ node a ─▶ node b ─▶ spool, opened as it comes ─hash─▶ file, synced  each by its own process or thread
//! ```
//!
//! Bare keeps nothing on the way, and needn't: ours is durable where it was sealed, at the one node and at the other. The reader
//! asks for it once its author has begun to leave it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postline_core::content::file_name::SafeName;
use postline_core::content::text::ClaimedName;
use postline_core::seal::attachment::{Opener, Sealer};
use postline_core::seal::{Attachment, Secret};
use postline_node::tls::{self, CertificateFiles};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use tokio::runtime::Runtime;

use crate::nodes::Nodes;
use crate::talker::Talker;
use crate::{Fault, machine, phones};

/// The key of what is sent bare: drawn for nothing else.
const KEY: [u8; 32] = [0x5b; 32];
const NONCE: [u8; 12] = [0x5b; 12];

/// How long ours took, in its parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ours {
    /// Sealed, into the device's spool.
    pub sealed: Duration,
    /// At its node, durable; at the other's node, and at their device.
    pub carried: Duration,
    /// Opened, synced, under its name.
    pub saved: Duration,
    /// By how much the most that each node ever had in memory rose, in bytes.
    pub memory: [usize; 2],
    /// The same of this process, in which both devices are.
    pub devices: usize,
}

impl Ours {
    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Duration {
        self.sealed + self.carried + self.saved
    }
}

/// A file of so many bytes that nobody can shorten.
///
/// # Errors
/// The file system's.
pub fn written(path: &Path, len: usize) -> Result<(), Fault> {
    let (mut state, mut file, mut left) = (0x2545_f491_4f6c_dd1d_u64, File::create(path)?, len);
    let mut piece = Vec::with_capacity(1 << 20);
    while left > 0 {
        piece.clear();
        while piece.len() < left.min(1 << 20) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        piece.truncate(left);
        file.write_all(&piece)?;
        left -= piece.len();
    }
    Ok(file.sync_all()?)
}

/// Sends a file over bare TLS.
///
/// # Errors
/// The system's, and where other bytes come.
pub fn bare(dir: &Path, path: &Path) -> Result<Duration, Fault> {
    fs::create_dir_all(dir)?;
    let attachment = seal(path, &mut std::io::sink())?;
    let certificate = CertificateFiles::self_signed(&["bare.example".to_owned()], dir)?;
    let server = Arc::new(tls::link_server(certificate.load()?)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let saved = dir.join("saved");
    let there = thread::spawn(move || -> Result<Instant, Fault> {
        let tcp = listener.accept()?.0;
        tcp.set_nodelay(true)?;
        open(&attachment, StreamOwned::new(ServerConnection::new(server)?, tcp), &saved)
    });
    let tcp = TcpStream::connect(at)?;
    tcp.set_nodelay(true)?;
    let client = Arc::new(tls::link_client()?);
    let connection = ClientConnection::new(client, ServerName::try_from("bare.example")?)?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let began = Instant::now();
    seal(path, &mut stream)?;
    stream.conn.send_close_notify();
    stream.flush()?;
    let ended = there.join().map_err(|_| "the receiver died")??;
    Ok(ended - began)
}

fn seal(path: &Path, out: &mut impl Write) -> Result<Attachment, Fault> {
    let mut file = File::open(path)?;
    let (mut sealer, head) = Sealer::under(Secret::new(KEY), NONCE, file.metadata()?.len())?;
    out.write_all(&head)?;
    let mut piece = Vec::new();
    while let Some(want) = sealer.wants() {
        piece.resize(want, 0);
        file.read_exact(&mut piece)?;
        sealer.chunk(&mut piece)?;
        out.write_all(&piece)?;
    }
    Ok(sealer.finish()?)
}

fn open(attachment: &Attachment, mut from: impl Read, path: &Path) -> Result<Instant, Fault> {
    let mut file = File::create(path)?;
    let mut chunk = vec![0; 32];
    from.read_exact(&mut chunk)?;
    let opener = Opener::begin(attachment, &chunk)?;
    for index in 0..attachment.chunks() {
        let place = attachment.place(index).ok_or("no such chunk")?;
        chunk.resize(usize::try_from(place.end - place.start)?, 0);
        from.read_exact(&mut chunk)?;
        opener.chunk(index, &mut chunk)?;
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    Ok(Instant::now())
}

/// Two devices that may leave each other files.
pub struct Pair {
    from: Talker,
    to: Talker,
}

/// Enrols a device of each of the `n`th pair.
///
/// # Errors
/// Where one is refused something.
pub fn meet(runtime: &Runtime, nodes: &Nodes, n: usize) -> Result<Pair, Fault> {
    let (from, to) = phones::enrol(runtime, nodes, n)?;
    Ok(Pair { from, to })
}

/// Sends a file from the one device to the other.
///
/// # Errors
/// Where it doesn't come, or comes otherwise.
pub fn carry(runtime: &Runtime, nodes: &Nodes, pair: &mut Pair, path: &Path) -> Result<Ours, Fault> {
    let Pair { from, to } = pair;
    let peaks = || -> Result<[usize; 3], Fault> {
        let [a, b] = nodes.pids().map(|pid| machine::memory(pid, "VmHWM"));
        Ok([a?, b?, machine::memory(std::process::id(), "VmHWM")?])
    };
    let before = peaks()?;
    let mut ours = Ours::default();
    let mut last = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        now - std::mem::replace(&mut last, now)
    };
    let attachment = from.files().seal(path)?;
    ours.sealed = lap();
    let (author, reader) = (from.address.clone(), to.address.clone());
    runtime.block_on(async {
        let file = attachment.blob();
        to.files().open(&attachment)?;
        let whole = from.begin_to_leave(&reader, file).await?;
        let left = async { if whole { Ok(()) } else { from.left(file).await } };
        tokio::try_join!(left, to.fetch(&author, file))?;
        Ok::<_, Fault>(())
    })?;
    ours.carried = lap();
    let name = SafeName::from(&ClaimedName::parse("fetched")?);
    let saved: PathBuf = to.files().save(&attachment, &name, nodes.dir())?;
    ours.saved = lap();
    let [a, b, devices] = peaks()?;
    ours.memory = [a.saturating_sub(before[0]), b.saturating_sub(before[1])];
    ours.devices = devices.saturating_sub(before[2]);
    if !same(path, &saved)? {
        return Err("other bytes came than were sent".into());
    }
    fs::remove_file(saved)?;
    Ok(ours)
}

fn same(one: &Path, two: &Path) -> Result<bool, Fault> {
    let (mut one, mut two) = (File::open(one)?, File::open(two)?);
    if one.metadata()?.len() != two.metadata()?.len() {
        return Ok(false);
    }
    let (mut ones, mut twos) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let got = one.read(&mut ones)?;
        two.read_exact(&mut twos[..got])?;
        if got == 0 || ones[..got] != twos[..got] {
            return Ok(got == 0);
        }
    }
}
