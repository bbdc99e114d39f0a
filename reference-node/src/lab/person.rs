//! A person with a plain mail program, and the SMTP that it speaks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::letter::Letter;
use super::nodes::{Node, PASSWORD};
use crate::cli::PartFault;
use crate::tls;

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// A person, logged in at their node.
pub struct Person {
    /// Their address.
    pub address: String,
    /// Their connection.
    pub smtp: Smtp,
}

/// A client's end of an SMTP connection.
pub struct Smtp(Stream);

enum Stream {
    Plain(BufReader<TcpStream>),
    Secure(Box<BufReader<TlsStream<TcpStream>>>),
    /// Between the two.
    Neither,
}

/// What a server said, of one line or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: String,
    /// All lines, whole.
    pub lines: Vec<String>,
}

impl Person {
    /// Logs in at a node.
    ///
    /// # Errors
    /// Where it can't be reached, or says no.
    pub async fn new(address: &str, node: &Node) -> Result<Self, PartFault> {
        Self::at(address, &node.submission).await
    }

    /// Logs in where a node takes submissions.
    ///
    /// # Errors
    /// Where it can't be reached, or says no.
    pub async fn at(address: &str, submission: &str) -> Result<Self, PartFault> {
        let mut smtp = Smtp::connect(submission).await?;
        smtp.start_tls().await?;
        smtp.log_in(address.split('@').next().unwrap_or_default(), PASSWORD).await?;
        Ok(Self { address: address.to_owned(), smtp })
    }

    /// Submits a mail: gives when its 250 came.
    ///
    /// # Errors
    /// Where the connection breaks, or the node says anything but yes.
    pub async fn submit(&mut self, letter: &Letter) -> Result<Instant, PartFault> {
        let envelope = format!("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", self.address, letter.to);
        self.smtp.say(&envelope).await?;
        for code in ["250", "250", "354"] {
            self.smtp.expect(code).await?;
        }
        self.smtp.data(&letter.bytes(&self.address)).await?;
        self.smtp.expect("250").await?;
        Ok(Instant::now())
    }
}

impl Smtp {
    /// Connects, and says who it is.
    ///
    /// # Errors
    /// Where nobody listens, or the server doesn't greet.
    pub async fn connect(at: impl ToSocketAddrs) -> Result<Self, PartFault> {
        let tcp = TcpStream::connect(at).await?;
        tcp.set_nodelay(true)?;
        let mut smtp = Self(Stream::Plain(BufReader::new(tcp)));
        smtp.expect("220").await?;
        smtp.ask("EHLO [127.0.0.1]\r\n").await?.want("250")?;
        Ok(smtp)
    }

    /// Goes over to TLS, whatever the certificate: the lab's are vouched for by nobody, and live on this machine.
    ///
    /// # Errors
    /// Where the server says no, or its TLS fails.
    pub async fn start_tls(&mut self) -> Result<(), PartFault> {
        self.ask("STARTTLS\r\n").await?.want("220")?;
        let Stream::Plain(plain) = std::mem::replace(&mut self.0, Stream::Neither) else {
            return Err("TLS is there already".into());
        };
        let tls = TlsConnector::from(Arc::new(tls::smtp_client_of_any()?));
        let name = ServerName::try_from("localhost")?;
        let secure = timeout(ANSWER, tls.connect(name, plain.into_inner())).await??;
        self.0 = Stream::Secure(Box::new(BufReader::new(secure)));
        self.ask("EHLO [127.0.0.1]\r\n").await?.want("250")?;
        Ok(())
    }

    /// The certificate that the server showed.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        let Stream::Secure(secure) = &self.0 else { return None };
        secure.get_ref().get_ref().1.peer_certificates()?.first()
    }

    /// Logs in.
    ///
    /// # Errors
    /// Where the server says no.
    pub async fn log_in(&mut self, user: &str, password: &str) -> Result<(), PartFault> {
        let login = STANDARD.encode(format!("\0{user}\0{password}"));
        self.ask(&format!("AUTH PLAIN {login}\r\n")).await?.want("235")
    }

    /// Says something, CRLF included, and hears the answer.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn ask(&mut self, text: &str) -> Result<Reply, PartFault> {
        self.say(text).await?;
        self.reply().await
    }

    /// Says something, CRLF included.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn say(&mut self, text: &str) -> Result<(), PartFault> {
        self.write(text.as_bytes()).await
    }

    /// Sends a mail's bytes, dots stuffed, and its end.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn data(&mut self, mail: &[u8]) -> Result<(), PartFault> {
        let mut data = Vec::with_capacity(mail.len() + 8);
        for line in mail.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                data.push(b'.');
            }
            data.extend_from_slice(line);
        }
        if !data.ends_with(b"\r\n") {
            data.extend_from_slice(b"\r\n");
        }
        data.extend_from_slice(b".\r\n");
        self.write(&data).await
    }

    /// Hears a reply that must have this code.
    ///
    /// # Errors
    /// Where it has another, or the connection breaks.
    pub async fn expect(&mut self, code: &str) -> Result<(), PartFault> {
        self.reply().await?.want(code)
    }

    /// Hears a reply.
    ///
    /// # Errors
    /// Where the connection breaks, or the server takes too long.
    pub async fn reply(&mut self) -> Result<Reply, PartFault> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match &mut self.0 {
                Stream::Plain(plain) => timeout(ANSWER, plain.take(4_096).read_line(&mut line)).await??,
                Stream::Secure(secure) => timeout(ANSWER, secure.take(4_096).read_line(&mut line)).await??,
                Stream::Neither => 0,
            };
            if line.is_empty() {
                return Err("the node closed the connection".into());
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            let code = line.get(..3).unwrap_or_default().to_owned();
            lines.push(line.trim_end().to_owned());
            if last {
                return Ok(Reply { code, lines });
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), PartFault> {
        match &mut self.0 {
            Stream::Plain(plain) => {
                plain.write_all(bytes).await?;
                plain.flush().await?;
            }
            Stream::Secure(secure) => {
                secure.write_all(bytes).await?;
                secure.flush().await?;
            }
            Stream::Neither => return Err("the connection is gone".into()),
        }
        Ok(())
    }
}

impl Reply {
    /// That it has this code.
    ///
    /// # Errors
    /// Where it has another.
    pub fn want(&self, code: &str) -> Result<(), PartFault> {
        if self.code == code { Ok(()) } else { Err(format!("want {code}, the node said: {self}").into()) }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join(" / "))
    }
}
