//! The least that an express mail can cost on this machine: one TLS 1.3 hop, one sync, one file moved into place.
//!
//! ```text
//!   here ──300 bytes, TLS──▶ there: write, fdatasync ─▶ create, write, rename ──inotify──▶ here
//! ```
//!
//! Measured as the mails are: two threads that sleep in between, the same TLS configuration, the same disk, the same
//! watch. What a node adds to it (reading the mail, deciding, its records, its log) is its own.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postline_node::tls::{self, CertificateFiles};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::Fault;
use crate::figures::Samples;
use crate::watch::Watch;

/// How long the frame is, and what is written and synced of it, in bytes.
const FRAME: usize = 300;
/// How long the file is that is synced: all its blocks are written beforehand.
const LOG_BYTES: usize = 4 << 20;

/// Measures it `count` times in `dir`, after a few that don't count.
///
/// # Errors
/// The system's.
pub fn measure(dir: &Path, count: usize) -> Result<Samples, Fault> {
    fs::create_dir(dir)?;
    let certificate = CertificateFiles::self_signed(&["floor.example".to_owned()], dir)?;
    let server = Arc::new(tls::link_server(certificate.load()?)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let maildir = dir.join("maildir");
    let watch = Watch::new(std::slice::from_ref(&maildir))?;
    let log = preallocated(&dir.join("log"))?;
    let there = thread::spawn(move || -> Result<(), Fault> {
        let tcp = listener.accept()?.0;
        tcp.set_nodelay(true)?;
        receive(StreamOwned::new(ServerConnection::new(server)?, tcp), log, &maildir)
    });
    let tcp = TcpStream::connect(at)?;
    tcp.set_nodelay(true)?;
    let client = Arc::new(tls::link_client()?);
    let connection = ClientConnection::new(client, ServerName::try_from("floor.example")?)?;
    let mut stream = StreamOwned::new(connection, tcp);
    let warm = count / 10;
    let mut took = Vec::new();
    for n in 0..warm + count {
        let began = Instant::now();
        stream.write_all(&[7; FRAME])?;
        let seen = watch.wait(1, Duration::from_secs(10))?;
        if n >= warm {
            took.push(seen - began);
        }
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    there.join().map_err(|_| "the floor's other thread died")??;
    Ok(Samples::of(&took))
}

fn receive(mut stream: StreamOwned<ServerConnection, TcpStream>, mut log: File, maildir: &Path) -> Result<(), Fault> {
    let mut frame = [0; FRAME];
    for n in 0.. {
        match stream.read_exact(&mut frame) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        if log.stream_position()? + FRAME as u64 > LOG_BYTES as u64 {
            log.seek(SeekFrom::Start(0))?;
        }
        log.write_all(&frame)?;
        log.sync_data()?;
        let tmp = maildir.join("tmp").join(format!("{n}"));
        File::create(&tmp)?.write_all(&frame)?;
        fs::rename(tmp, maildir.join("new").join(format!("{n}")))?;
    }
    Ok(())
}

fn preallocated(path: &Path) -> Result<File, Fault> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; LOG_BYTES])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
