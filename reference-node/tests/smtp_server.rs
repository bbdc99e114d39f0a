//! The SMTP sockets, on loopback, with a small raw client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test fails by them

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use postline_core::id::{Address, Domain, Mailbox};
use postline_core::limits;
use postline_core::server::io::RcptOutcome;
use postline_node::smtp::door::{Answer, Arriving, Beside, Door, Login, Resolved};
use postline_node::smtp::lmtp::Each;
use postline_node::smtp::server::{Port, Server};
use postline_node::spool::{Incoming, Spool, StagedBytes};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// A node with the user `alice` (password `tea`), who owns alice@a.example, and nobody else.
struct House {
    host: Domain,
    spool: Spool,
    dir: tempfile::TempDir,
    full: Mutex<bool>,
    mails: Mutex<Vec<(Arriving, Vec<u8>)>>,
}

impl House {
    fn new() -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let host = Domain::parse("mx.a.example").unwrap();
        Arc::new(Self { host, spool, dir, full: Mutex::new(false), mails: Mutex::default() })
    }

    /// Where the spool keeps what is too large for memory.
    fn blobs(&self) -> PathBuf {
        self.dir.path().join("blobs")
    }

    fn spooled(&self) -> usize {
        std::fs::read_dir(self.blobs()).unwrap().count()
    }
}

impl Door for House {
    fn hostname(&self) -> &Domain {
        &self.host
    }

    fn postmaster(&self) -> Address {
        Address::parse("postmaster@a.example").unwrap()
    }

    async fn login(&self, user: &str, password: &str, _peer: IpAddr) -> Login {
        match (user, password) {
            ("alice", "tea") => Login::Of(Mailbox("alice".into())),
            ("later", _) => Login::NotNow,
            _ => Login::No,
        }
    }

    fn owns(&self, login: &Mailbox, address: &Address) -> bool {
        address.to_string() == format!("{login}@a.example")
    }

    fn resolve(&self, address: &Address) -> Resolved {
        match (address.local(), address.domain().as_str()) {
            ("alice" | "postmaster", "a.example") => Resolved::Local(Mailbox("alice".into())),
            (_, "a.example") => Resolved::Unknown,
            _ => Resolved::Remote,
        }
    }

    fn begin(&self) -> io::Result<Incoming> {
        if *self.full.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Incoming::new(&self.spool))
    }

    async fn take(&self, arriving: Arriving) -> Answer {
        let bytes = match &arriving.staged.bytes {
            StagedBytes::Row(row) => row.to_vec(),
            StagedBytes::File(path) => std::fs::read(path).unwrap(),
        };
        assert_eq!(arriving.staged.blob.len, bytes.len() as u64);
        self.mails.lock().unwrap().push((arriving, bytes));
        Answer::Taken
    }

    async fn take_each(&self, arriving: Arriving, _beside: Beside) -> Vec<Each> {
        let rcpts = arriving.envelope.to.clone();
        self.take(arriving).await;
        // Whose mailbox is elsewhere, was asked elsewhere, and is full.
        let full = || Each::Passed(RcptOutcome::Later("452 4.2.2 full".into()));
        rcpts.iter().map(|rcpt| if rcpt.mailbox.is_some() { Each::Node(Answer::Taken) } else { full() }).collect()
    }
}

struct Running {
    house: Arc<House>,
    at: SocketAddr,
    trust: CertificateDer<'static>,
    drain: watch::Sender<bool>,
    tls: Arc<Mutex<Arc<ServerConfig>>>,
    task: JoinHandle<()>,
}

async fn run(port: Port) -> Running {
    let house = House::new();
    let (config, trust) = certificate();
    let tls = Arc::new(Mutex::new(config));
    let (drain, drained) = watch::channel(false);
    let source = Arc::clone(&tls);
    let server = Server::new(Arc::clone(&house), Arc::new(move || Arc::clone(&source.lock().unwrap())), drained);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(server.serve(listener, port));
    Running { house, at, trust, drain, tls, task }
}

fn certificate() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .unwrap();
    (Arc::new(config), cert)
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

struct Client {
    io: Box<dyn Io>,
    heard: Vec<u8>,
    /// How long it waits for a reply.
    patience: Duration,
}

impl Client {
    async fn plain(running: &Running) -> Self {
        Self { io: Box::new(TcpStream::connect(running.at).await.unwrap()), heard: Vec::new(), patience: PATIENCE }
    }

    async fn secure(self, trust: &CertificateDer<'static>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trust.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let io = within(TlsConnector::from(Arc::new(config)).connect(name, self.io)).await?;
        Ok(Self { io: Box::new(io), heard: self.heard, patience: self.patience })
    }

    /// Alice, logged in on port 587.
    async fn alice(running: &Running) -> Self {
        let mut client = Self::plain(running).await;
        assert!(client.reply().await.starts_with("220 mx.a.example"));
        client.says("EHLO client.example").await;
        assert_eq!(client.says("STARTTLS").await, "220 2.0.0 Ready for TLS\r\n");
        let mut client = client.secure(&running.trust).await.unwrap();
        assert!(client.says("EHLO client.example").await.contains("AUTH PLAIN LOGIN"));
        let login = BASE64_STANDARD.encode("\0alice\0tea");
        assert_eq!(client.says(&format!("AUTH PLAIN {login}")).await, "235 2.7.0 Welcome\r\n");
        client
    }

    async fn sends(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    async fn says(&mut self, line: &str) -> String {
        self.sends(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// One reply, all its lines; empty at the end.
    async fn reply(&mut self) -> String {
        loop {
            let text = String::from_utf8(self.heard.clone()).unwrap();
            let mut end = 0;
            for line in text.split_inclusive("\r\n").filter(|line| line.ends_with("\r\n")) {
                end += line.len();
                if line.as_bytes()[3] == b' ' {
                    self.heard.drain(..end);
                    return text[..end].to_owned();
                }
            }
            if self.hear().await == 0 {
                return String::new();
            }
        }
    }

    /// Reads once.
    async fn hear(&mut self) -> usize {
        let mut room = [0; 4096];
        let got =
            tokio::time::timeout(self.patience, self.io.read(&mut room)).await.expect("a reply in time").unwrap_or(0);
        self.heard.extend_from_slice(&room[..got]);
        got
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

#[tokio::test]
async fn a_user_submits_small_and_large_mails_over_starttls() {
    let running = run(Port::Submission).await;
    let mut alice = Client::alice(&running).await;
    let small = "Subject: hi\r\n\r\nhello\r\n".to_owned();
    let large = format!("Subject: big\r\n\r\n{}", "0123456789abcdef.\r\n".repeat(30_000));
    for text in [&small, &large, &small] {
        alice.sends("MAIL FROM:<alice@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n").await;
        for code in ["250", "250", "354"] {
            assert!(alice.reply().await.starts_with(code));
        }
        alice.sends(text).await;
        assert!(alice.says(".").await.starts_with("250 2.6.0"));
    }
    assert_eq!(alice.says("QUIT").await, "221 2.0.0 Goodbye\r\n");
    assert_eq!(alice.hear().await, 0);
    let mails = running.house.mails.lock().unwrap();
    assert_eq!(mails.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [small.len(), large.len(), small.len()]);
    assert_eq!(mails[1].1, large.as_bytes());
    assert!(matches!(mails[1].0.staged.bytes, StagedBytes::File(_)));
    let (arriving, _) = &mails[0];
    assert_eq!(arriving.login, Some(Mailbox("alice".into())));
    assert_eq!(arriving.envelope.to[0].mailbox, None);
    assert!(arriving.received.contains("([127.0.0.1]) by mx.a.example with ESMTPSA id"), "{}", arriving.received);
    assert_ne!(mails[0].0.id, mails[2].0.id);
}

#[tokio::test]
async fn tls_from_the_first_byte_on_465() {
    let running = run(Port::Submissions).await;
    let mut client = Client::plain(&running).await.secure(&running.trust).await.unwrap();
    assert!(client.reply().await.starts_with("220 "));
    let offers = client.says("EHLO client.example").await;
    assert!(offers.contains("AUTH PLAIN LOGIN") && !offers.contains("STARTTLS"));
}

#[tokio::test]
async fn the_replies_to_a_pipelined_group_come_in_one_write() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.says("EHLO client.example").await;
    client.sends("MAIL FROM:<>\r\nRCPT TO:<alice@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n").await;
    client.hear().await;
    assert_eq!(
        String::from_utf8(std::mem::take(&mut client.heard)).unwrap(),
        "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n550 5.7.1 Relaying denied\r\n354 End with CRLF.CRLF\r\n"
    );
    assert!(client.says("hi\r\n.").await.starts_with("250 2.6.0"));
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_handshake_on() {
    let running = run(Port::Submissions).await;
    let old = Client::plain(&running).await.secure(&running.trust).await;
    let (config, trust) = certificate();
    *running.tls.lock().unwrap() = config;
    assert!(Client::plain(&running).await.secure(&running.trust).await.is_err());
    assert!(Client::plain(&running).await.secure(&trust).await.is_ok());
    assert!(old.unwrap().reply().await.starts_with("220 "));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_mail_leaves_nothing() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.sends("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.example>\r\nDATA\r\n").await;
    for _ in 0..4 {
        client.reply().await;
    }
    client.sends("x".repeat(200_000)).await;
    client.sends("\r\n").await;
    while running.house.spooled() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(client);
    within(async {
        while running.house.spooled() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(running.house.mails.lock().unwrap().is_empty());
}

#[tokio::test]
async fn t_108_a_spool_that_fails_costs_a_mail_and_not_the_session() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.says("EHLO client.example").await;
    *running.house.full.lock().unwrap() = true;
    client.says("MAIL FROM:<>").await;
    client.says("RCPT TO:<alice@a.example>").await;
    assert_eq!(client.says("DATA").await, "452 4.3.1 No room now\r\n");
    *running.house.full.lock().unwrap() = false;

    let spool = running.house.blobs();
    std::fs::remove_dir(&spool).unwrap();
    client.says("MAIL FROM:<>").await;
    client.says("RCPT TO:<alice@a.example>").await;
    client.says("DATA").await;
    client.sends("x".repeat(200_000)).await;
    assert_eq!(client.says("\r\n.").await, "451 4.3.0 Failed here, try again\r\n");
    std::fs::create_dir(&spool).unwrap();

    client.says("MAIL FROM:<>").await;
    client.says("RCPT TO:<alice@a.example>").await;
    client.says("DATA").await;
    client.sends("x".repeat(200_000)).await;
    assert!(client.says("\r\n.").await.starts_with("250 2.6.0"));
    assert_eq!(running.house.mails.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_that_goes_down_lets_mails_end_and_closes_the_rest() {
    let running = run(Port::Mx).await;
    let mut idle = Client::plain(&running).await;
    idle.reply().await;
    let mut busy = Client::plain(&running).await;
    busy.reply().await;
    busy.sends("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.example>\r\nDATA\r\n").await;
    for _ in 0..4 {
        busy.reply().await;
    }
    running.drain.send(true).unwrap();
    assert_eq!(idle.reply().await, "421 4.3.2 Going down\r\n");
    assert_eq!(idle.hear().await, 0);
    assert!(busy.says("hi\r\n.").await.starts_with("250 2.6.0"));
    assert_eq!(busy.reply().await, "421 4.3.2 Going down\r\n");
    within(running.task).await.unwrap();
    assert!(TcpStream::connect(running.at).await.is_err(), "a node that is down accepts");
}

#[tokio::test]
async fn a_mail_that_never_ends_does_not_keep_a_node_up() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.sends("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.example>\r\nDATA\r\n").await;
    for _ in 0..4 {
        client.reply().await;
    }
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    running.drain.send(true).unwrap();
    running.task.await.unwrap();
    assert!(start.elapsed() <= Duration::from_millis(limits::SMTP_DRAIN_MS + 100));
    assert_eq!(client.hear().await, 0);
}

///
#[tokio::test]
async fn t_019_a_smuggled_mail_is_refused_whole() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.sends("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.example>\r\nDATA\r\n").await;
    for _ in 0..4 {
        client.reply().await;
    }
    client.sends("x".repeat(200_000)).await;
    let evil = "a\r\n.\nMAIL FROM:<root@a.example>\r\nRCPT TO:<alice@a.example>\r\nDATA\r\nb\r\n.\r\nNOOP\r\n";
    client.sends(evil).await;
    assert_eq!(client.reply().await, "550 5.6.0 Bare CR or LF in the mail\r\n");
    assert_eq!(client.reply().await, "250 2.0.0 Ok\r\n");
    assert!(running.house.mails.lock().unwrap().is_empty());
    assert_eq!(running.house.spooled(), 0, "a refused mail stays in the spool");
}

#[tokio::test]
async fn t_020_commands_sent_along_with_starttls_are_never_read() {
    let running = run(Port::Submission).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.says("EHLO client.example").await;
    client.sends("STARTTLS\r\nEHLO evil.example\r\nNOOP\r\n").await;
    assert_eq!(client.reply().await, "220 2.0.0 Ready for TLS\r\n");
    let mut client = client.secure(&running.trust).await.unwrap();
    assert_eq!(client.says("AUTH PLAIN").await, "503 5.5.1 EHLO first\r\n");
    assert!(client.says("EHLO client.example").await.starts_with("250-mx.a.example\r\n"));
    assert!(client.heard.is_empty());
}

#[tokio::test]
async fn t_026_a_line_without_an_end_is_swallowed() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    for _ in 0..100 {
        client.sends([b'x'; 65_536]).await;
    }
    assert_eq!(client.says("").await, "500 5.5.2 Line too long\r\n");
    assert_eq!(client.says("NOOP").await, "250 2.0.0 Ok\r\n");
}

#[tokio::test]
async fn t_091_sessions_of_one_address_are_bounded() {
    let running = run(Port::Mx).await;
    let mut clients = Vec::new();
    for _ in 0..limits::SMTP_SESSIONS_PER_IP {
        let mut client = Client::plain(&running).await;
        assert!(client.reply().await.starts_with("220 "));
        clients.push(client);
    }
    let mut one_more = Client::plain(&running).await;
    assert_eq!(one_more.reply().await, "421 4.7.0 Too many sessions\r\n");
    assert_eq!(one_more.hear().await, 0);
    assert_eq!(clients.pop().unwrap().says("QUIT").await, "221 2.0.0 Goodbye\r\n");
    within(async {
        while !Client::plain(&running).await.reply().await.starts_with("220 ") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// How long, in the server's time, until the connection is closed, and the last reply on it.
async fn until_closed(mut client: Client) -> (Duration, String) {
    client.patience = Duration::from_secs(600);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut last = String::new();
    loop {
        let reply = client.reply().await;
        if reply.is_empty() {
            return (start.elapsed(), last);
        }
        last = reply;
    }
}

#[tokio::test]
async fn t_091_a_silent_client_is_cut_off() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.sends("EHL").await;
    let (after, last) = until_closed(client).await;
    assert_eq!(last, "421 4.4.2 Too slow\r\n");
    assert!(after <= Duration::from_millis(limits::SMTP_COMMAND_MS + 1_000), "{after:?}");
}

#[tokio::test]
async fn t_091_a_mail_that_stands_still_is_cut_off() {
    let running = run(Port::Mx).await;
    let mut client = Client::plain(&running).await;
    client.reply().await;
    client.sends("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.example>\r\nDATA\r\nhello").await;
    for _ in 0..4 {
        client.reply().await;
    }
    let (after, last) = until_closed(client).await;
    assert_eq!(last, "421 4.4.2 Too slow\r\n");
    assert!(after <= Duration::from_secs(61), "{after:?}");
    assert!(running.house.mails.lock().unwrap().is_empty());
}

#[tokio::test]
async fn t_091_a_handshake_that_stands_still_is_cut_off() {
    let running = run(Port::Submissions).await;
    let mut client = Client::plain(&running).await;
    client.sends([22, 3, 1, 2, 0, 1]).await;
    let (after, last) = until_closed(client).await;
    assert_eq!(last, "");
    assert!(after <= Duration::from_millis(limits::SMTP_TLS_MS + 1_000), "{after:?}");
}

#[tokio::test]
async fn t_106_failed_logins_sound_alike() {
    let running = run(Port::Submission).await;
    let mut heard = Vec::new();
    for (user, password) in [("alice", "coffee"), ("mallory", "tea")] {
        let mut client = Client::plain(&running).await;
        client.reply().await;
        client.says("EHLO client.example").await;
        client.says("STARTTLS").await;
        let mut client = client.secure(&running.trust).await.unwrap();
        client.says("EHLO client.example").await;
        let login = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let mut replies = Vec::new();
        for _ in 0..limits::SMTP_LOGINS {
            replies.push(client.says(&format!("AUTH PLAIN {login}")).await);
        }
        replies.push(client.reply().await);
        heard.push(replies);
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0].last().unwrap(), "421 4.7.0 Too many failed logins\r\n");
}
