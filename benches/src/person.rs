//! A person with a plain mail program that stays logged in: STARTTLS, AUTH, PIPELINING, one mail after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postline_node::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::Fault;

/// The password of everybody here.
pub const PASSWORD: &str = "bench-only";
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A person, logged in.
pub struct Person {
    address: String,
    smtp: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

/// A mail to write.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// To whom.
    pub to: &'a str,
    /// Its Message-ID, without angle brackets.
    pub id: &'a str,
    /// The Message-ID that it answers.
    pub answers: Option<&'a str>,
    /// How long its body is, in bytes.
    pub body: usize,
}

impl Person {
    /// Logs `address` in at a node's submission port.
    ///
    /// # Errors
    /// Where the node refuses.
    pub fn log_in(address: &str, submission: &str) -> Result<Self, Fault> {
        let tcp = TcpStream::connect(submission)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER))?;
        let mut plain = BufReader::new(tcp);
        expect(&mut plain, "220")?;
        plain.get_mut().write_all(b"EHLO [127.0.0.1]\r\n")?;
        expect(&mut plain, "250")?;
        plain.get_mut().write_all(b"STARTTLS\r\n")?;
        expect(&mut plain, "220")?;
        // The bench's own nodes have certificates that nobody vouches for, and live on this machine.
        let config = Arc::new(tls::smtp_client_of_any()?);
        let connection = ClientConnection::new(config, ServerName::try_from("localhost")?)?;
        let mut smtp = BufReader::new(StreamOwned::new(connection, plain.into_inner()));
        let user = address.split('@').next().unwrap_or_default();
        let login = STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
        for (say, want) in [("EHLO [127.0.0.1]\r\n".to_owned(), "250"), (format!("AUTH PLAIN {login}\r\n"), "235")] {
            smtp.get_mut().write_all(say.as_bytes())?;
            expect(&mut smtp, want)?;
        }
        Ok(Self { address: address.to_owned(), smtp })
    }

    /// Submits a mail: gives when its 250 came.
    ///
    /// # Errors
    /// Where the node says anything else.
    pub fn submit(&mut self, letter: &Letter<'_>) -> Result<Instant, Fault> {
        let envelope = format!("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", self.address, letter.to);
        self.smtp.get_mut().write_all(envelope.as_bytes())?;
        for code in ["250", "250", "354"] {
            expect(&mut self.smtp, code)?;
        }
        let mut data = letter.bytes(&self.address);
        data.push_str(".\r\n");
        self.smtp.get_mut().write_all(data.as_bytes())?;
        expect(&mut self.smtp, "250")?;
        Ok(Instant::now())
    }

    /// Ends the session, so that its seat is free.
    ///
    /// # Errors
    /// Where the node doesn't let go.
    pub fn leave(mut self) -> Result<(), Fault> {
        self.smtp.get_mut().write_all(b"QUIT\r\n")?;
        expect(&mut self.smtp, "221")?;
        // The node closes when it has let go.
        let _nothing_more = self.smtp.read_to_end(&mut Vec::new());
        Ok(())
    }
}

impl Letter<'_> {
    fn bytes(&self, from: &str) -> String {
        let mut text = format!(
            "From: {from}\r\nTo: {}\r\nSubject: {}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{}>\r\n",
            self.to, self.id, self.id
        );
        if let Some(answers) = self.answers {
            text.push_str(&format!("In-Reply-To: <{answers}>\r\nReferences: <{answers}>\r\n"));
        }
        text.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
        let line = "The quick brown fox jumps over the lazy dog near the quiet river bank.";
        let end = text.len() + self.body;
        while text.len() + 2 < end {
            text.push_str(line.get(..line.len().min(end - text.len() - 2)).unwrap_or(line));
            text.push_str("\r\n");
        }
        text
    }
}

/// Reads one reply, of any number of lines.
fn expect(smtp: &mut impl BufRead, code: &str) -> Result<(), Fault> {
    loop {
        let mut line = String::new();
        smtp.by_ref().take(4_096).read_line(&mut line)?;
        if !line.starts_with(code) {
            return Err(format!("want {code}, the node said: {}", line.trim_end()).into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
