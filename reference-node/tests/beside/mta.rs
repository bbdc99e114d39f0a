//! A mail server as the node sees it: a milter client, an LMTP client, and a server that mail goes on to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::common::PATIENCE;

/// A mail that came to a [`Server`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// Whether SMTPUTF8 was asked for.
    pub(crate) asked: bool,
    pub(crate) mail: String,
}

/// What a [`Server`] says to a recipient.
pub(crate) type Says = Arc<Mutex<Box<dyn Fn(&str) -> &'static str + Send>>>;

/// A server that mail goes on to: Postfix's second smtpd, or Dovecot's LMTP.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    /// In SMTP said to RCPT, in LMTP after the data.
    pub(crate) says: Says,
    /// The last line of what it offers.
    pub(crate) offers: Arc<Mutex<&'static str>>,
}

impl Server {
    pub(crate) async fn start(at: &str, lmtp: bool) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let says: Says = Arc::new(Mutex::new(Box::new(|_| "250 2.0.0 yes")));
        let server = Self {
            at: listener.local_addr().unwrap(),
            came: Arc::default(),
            says,
            offers: Arc::new(Mutex::new("SMTPUTF8")),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    // A client may leave at any time.
                    let _left = serving.serve(tcp, lmtp).await;
                });
            }
        });
        server
    }

    pub(crate) fn now_says(&self, says: impl Fn(&str) -> &'static str + Send + 'static) {
        *self.says.lock().unwrap() = Box::new(says);
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// Waits for a mail with these words in it.
    pub(crate) async fn wait_for(&self, words: &str) -> Came {
        let look = async {
            loop {
                if let Some(came) = self.came().into_iter().find(|came| came.mail.contains(words)) {
                    return came;
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{words:?} did not come: {:?}", self.came()))
    }

    async fn serve(&self, tcp: TcpStream, lmtp: bool) -> std::io::Result<()> {
        let mut io = BufReader::new(tcp);
        io.write_all(b"220 next.example ready\r\n").await?;
        let (mut from, mut to, mut asked) = (String::new(), Vec::new(), false);
        loop {
            let mut line = String::new();
            if io.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let path = |line: &str| line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let reply = match line.get(..4).unwrap_or_default() {
                "EHLO" | "LHLO" => {
                    assert_eq!(line.starts_with("LHLO"), lmtp, "{line}");
                    let last = *self.offers.lock().unwrap();
                    format!("250-next.example\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 {last}")
                }
                "MAIL" => {
                    (from, to) = (path(&line), Vec::new());
                    asked = line.contains(" SMTPUTF8");
                    "250 2.1.0 ok".to_owned()
                }
                "RCPT" => {
                    let rcpt = path(&line);
                    let said = if lmtp { "250 2.1.5 ok" } else { (self.says.lock().unwrap())(&rcpt) };
                    if said.starts_with('2') {
                        to.push(rcpt);
                    }
                    said.to_owned()
                }
                "DATA" => {
                    io.write_all(b"354 go on\r\n").await?;
                    let mail = read_data(&mut io).await?;
                    let said = |rcpt: &String| if lmtp { (self.says.lock().unwrap())(rcpt) } else { "250 2.0.0 yes" };
                    let replies: Vec<&str> = if lmtp { to.iter().map(said).collect() } else { vec![said(&from)] };
                    let taken: Vec<String> = to.iter().filter(|rcpt| said(rcpt).starts_with('2')).cloned().collect();
                    if !taken.is_empty() {
                        self.came.lock().unwrap().push(Came { from: from.clone(), to: taken, asked, mail });
                    }
                    replies.join("\r\n")
                }
                _ => "221 2.0.0 bye".to_owned(),
            };
            io.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }
}

async fn read_data(io: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if io.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(mail);
        }
        mail.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// An LMTP client.
pub(crate) struct Lmtp(BufReader<TcpStream>);

impl Lmtp {
    pub(crate) async fn connect(at: &str) -> Self {
        let mut lmtp = Self(BufReader::new(TcpStream::connect(at).await.unwrap()));
        assert!(lmtp.reply().await.starts_with("220 "));
        assert!(lmtp.says("LHLO mta.example").await.starts_with("250"));
        lmtp
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn says(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.reply().await
    }

    /// The last line of a reply.
    pub(crate) async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            timeout(PATIENCE, self.0.read_line(&mut line)).await.unwrap().unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Begins a mail, up to its data.
    pub(crate) async fn begin(&mut self, from: &str, to: &[&str]) {
        assert!(self.says(&format!("MAIL FROM:<{from}>")).await.starts_with("250"));
        for rcpt in to {
            let said = self.says(&format!("RCPT TO:<{rcpt}>")).await;
            assert!(said.starts_with("250"), "{said}");
        }
        assert!(self.says("DATA").await.starts_with("354"));
    }

    /// Brings a mail: one reply a recipient.
    pub(crate) async fn bring(&mut self, from: &str, to: &[&str], mail: &str) -> Vec<String> {
        self.begin(from, to).await;
        self.send(&stuffed(mail)).await;
        let mut replies = Vec::new();
        for _ in to {
            replies.push(self.reply().await);
        }
        replies
    }
}

pub(crate) fn stuffed(mail: &str) -> String {
    let lines =
        mail.split_inclusive("\r\n").map(|line| if line.starts_with('.') { format!(".{line}") } else { line.into() });
    let mut data: String = lines.collect();
    data.push_str(if data.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" });
    data
}

/// A milter client, as Postfix is one.
pub(crate) struct Milter(TcpStream);

/// What a milter did to a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filtered {
    /// The mail as it goes on.
    pub(crate) mail: String,
    /// At which of our commands it was let go: `M`, `N` or `E`.
    pub(crate) at: char,
    /// Whether it was let go; else it was refused, or thrown away.
    pub(crate) accepted: bool,
    /// What was said last: the reply's letter, and its text.
    pub(crate) said: String,
}

impl Milter {
    pub(crate) async fn connect(at: &str) -> Self {
        let mut milter = Self(TcpStream::connect(at).await.unwrap());
        let words = [6_u32, 0x1FF, 0x1F_FFFF].map(u32::to_be_bytes).concat();
        milter.send(b'O', &words).await;
        let (command, data) = milter.reply().await.unwrap();
        assert_eq!((command, data.len()), (b'O', 12));
        milter
    }

    pub(crate) async fn send(&mut self, command: u8, data: &[u8]) {
        let mut packet = u32::try_from(data.len() + 1).unwrap().to_be_bytes().to_vec();
        packet.push(command);
        packet.extend_from_slice(data);
        self.0.write_all(&packet).await.unwrap();
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// A reply; `None` where the node closed the connection.
    pub(crate) async fn reply(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut length = [0; 4];
        timeout(PATIENCE, self.0.read_exact(&mut length)).await.unwrap().ok()?;
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        timeout(PATIENCE, self.0.read_exact(&mut packet)).await.unwrap().ok()?;
        Some((packet[0], packet[1..].to_vec()))
    }

    /// Runs a mail through it.
    pub(crate) async fn filter(&mut self, login: Option<&str>, from: &str, to: &[&str], mail: &str) -> Filtered {
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        let mut fields = fields(head);
        let let_go = |at: char, accepted: bool| Filtered { mail: mail.to_owned(), at, accepted, said: String::new() };
        let login = login
            .map(|login| format!("M{{auth_type}}\0PLAIN\0{{auth_authen}}\0{login}\0"))
            .unwrap_or("Mi\x004711\0".into());
        self.send(b'D', login.as_bytes()).await;
        self.send(b'M', format!("<{from}>\0SIZE=100\0").as_bytes()).await;
        if self.reply().await.unwrap().0 == b'a' {
            return let_go('M', true);
        }
        for rcpt in to {
            self.send(b'R', format!("<{rcpt}>\0").as_bytes()).await;
        }
        for (name, value) in &fields {
            self.send(b'L', format!("{name}\0{value}\0").as_bytes()).await;
        }
        self.send(b'N', b"").await;
        if self.reply().await.unwrap().0 == b'a' {
            return let_go('N', true);
        }
        for chunk in body.as_bytes().chunks(65_535) {
            self.send(b'B', chunk).await;
            if self.reply().await.unwrap().0 == b's' {
                break;
            }
        }
        self.send(b'E', b"").await;
        loop {
            let (command, data) = self.reply().await.unwrap();
            let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
            match command {
                b'm' => {
                    let index = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
                    let name = text(&data[4..]).split('\0').next().unwrap().to_owned();
                    let mut same = (0..fields.len()).filter(|at| fields[*at].0.trim().eq_ignore_ascii_case(&name));
                    fields.remove(same.nth(index - 1).unwrap());
                }
                b'h' => {
                    let (name, value) =
                        text(&data).split_once('\0').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
                    fields.push((name, value.trim_end_matches('\0').to_owned()));
                }
                b'c' | b'a' => break,
                _ => {
                    let said = format!("{}{}", char::from(command), text(&data).trim_end_matches('\0'));
                    return Filtered { said, ..let_go('E', false) };
                }
            }
        }
        let head: String =
            fields.iter().map(|(name, value)| format!("{name}: {}\r\n", value.replace('\n', "\r\n"))).collect();
        Filtered { mail: format!("{head}\r\n{body}"), at: 'E', accepted: true, said: String::new() }
    }
}

/// Header fields as Postfix says them: folds by bare LF.
fn fields(head: &str) -> Vec<(String, String)> {
    let unfolded = head.replace("\r\n ", "\n ").replace("\r\n\t", "\n\t");
    let field =
        |line: &str| line.split_once(':').map(|(name, value)| (name.into(), value.trim_start_matches(' ').into()));
    unfolded.split("\r\n").map(|line| field(line).unwrap()).collect()
}
