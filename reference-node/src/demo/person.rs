//! A person with a plain mail program: submits over STARTTLS, and looks into a Maildir.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::mails::{Letter, id_of};
use super::nodes::{Node, PASSWORD};
use crate::cli::PartFault;
use crate::tls;

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a mailbox is looked into.
const LOOK: Duration = Duration::from_micros(100);

/// A person, logged in at their node.
pub(super) struct Person {
    address: String,
    smtp: BufReader<TlsStream<TcpStream>>,
}

impl Person {
    pub(super) async fn new(address: &str, node: &Node) -> Result<Self, PartFault> {
        let tcp = TcpStream::connect(&node.submission).await?;
        tcp.set_nodelay(true)?;
        let mut plain = BufReader::new(tcp);
        expect(&mut plain, "220").await?;
        say(&mut plain, "EHLO [127.0.0.1]\r\n").await?;
        expect(&mut plain, "250").await?;
        say(&mut plain, "STARTTLS\r\n").await?;
        expect(&mut plain, "220").await?;
        // The demo's nodes have certificates that nobody vouches for, and live on this machine.
        let tls = TlsConnector::from(Arc::new(tls::smtp_client_of_any()?));
        let name = ServerName::try_from("localhost")?;
        let mut smtp = BufReader::new(tls.connect(name, plain.into_inner()).await?);
        say(&mut smtp, "EHLO [127.0.0.1]\r\n").await?;
        expect(&mut smtp, "250").await?;
        let user = address.split('@').next().unwrap_or_default();
        let login = STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
        say(&mut smtp, &format!("AUTH PLAIN {login}\r\n")).await?;
        expect(&mut smtp, "235").await?;
        Ok(Self { address: address.to_owned(), smtp })
    }

    /// Submits a mail: gives when its 250 came.
    pub(super) async fn submit(&mut self, letter: &Letter) -> Result<Instant, PartFault> {
        let envelope = format!("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", self.address, letter.to);
        say(&mut self.smtp, &envelope).await?;
        for code in ["250", "250", "354"] {
            expect(&mut self.smtp, code).await?;
        }
        let mut data = Vec::new();
        for line in letter.bytes(&self.address).split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                data.push(b'.');
            }
            data.extend_from_slice(line);
        }
        if !data.ends_with(b"\r\n") {
            data.extend_from_slice(b"\r\n");
        }
        data.extend_from_slice(b".\r\n");
        self.smtp.write_all(&data).await?;
        self.smtp.flush().await?;
        expect(&mut self.smtp, "250").await?;
        Ok(Instant::now())
    }
}

async fn say(smtp: &mut (impl AsyncWriteExt + Unpin), text: &str) -> Result<(), PartFault> {
    smtp.write_all(text.as_bytes()).await?;
    smtp.flush().await?;
    Ok(())
}

/// Reads one reply, of any number of lines.
async fn expect(smtp: &mut (impl AsyncBufReadExt + Unpin), code: &str) -> Result<(), PartFault> {
    loop {
        let mut line = String::new();
        timeout(ANSWER, (&mut *smtp).take(4_096).read_line(&mut line)).await??;
        if !line.starts_with(code) {
            return Err(format!("want {code}, the node said: {}", line.trim_end()).into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}

/// A mailbox, as a mail program sees it.
pub(super) struct Inbox {
    pub(super) name: &'static str,
    dir: PathBuf,
    /// Files that were read: their mails' ids.
    known: Mutex<BTreeMap<PathBuf, Option<String>>>,
}

impl Inbox {
    pub(super) fn new(name: &'static str, dir: PathBuf) -> Self {
        Self { name, dir, known: Mutex::default() }
    }

    /// Waits for a mail: gives when it was seen.
    pub(super) async fn wait_for(&self, id: &str, patience: Duration) -> Result<Instant, PartFault> {
        let began = Instant::now();
        loop {
            if self.ids()?.iter().any(|seen| seen == id) {
                return Ok(Instant::now());
            }
            if began.elapsed() > patience {
                return Err(format!("{id} did not arrive within {} s", patience.as_secs()).into());
            }
            sleep(LOOK).await;
        }
    }

    /// The ids of all mails in it, as often as they are there.
    pub(super) fn ids(&self) -> Result<Vec<String>, PartFault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for part in ["new", "cur"] {
            let entries = match fs::read_dir(self.dir.join(part)) {
                Err(why) if why.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let path = entry?.path();
                if let Entry::Vacant(unread) = known.entry(path) {
                    let id = id_of(&fs::read(unread.key())?);
                    unread.insert(id);
                }
            }
        }
        Ok(known.values().flatten().cloned().collect())
    }

    /// The bytes of a mail.
    pub(super) fn read(&self, id: &str) -> Result<Vec<u8>, PartFault> {
        self.ids()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let path = known.iter().find(|(_, known)| known.as_deref() == Some(id)).map(|(path, _)| path);
        Ok(fs::read(path.ok_or("no such mail")?)?)
    }
}
