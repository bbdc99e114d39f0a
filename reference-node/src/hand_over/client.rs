//! The client's side of one SMTP connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postline_core::id::Domain;
use postline_core::limits;
use postline_core::server::io::RcptOutcome;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{AUTH_PLAIN, EXT_8BIT_MIME, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Login, Mail, Protocol, Security, Target, Timeouts, clean};
use crate::beside::Place;

/// How much of a mail's text is written at a time, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// Why a connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("not within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("no SMTP: {0}")]
    Protocol(String),
    /// The host said so, before any recipient was named.
    #[error("said {0}")]
    Refused(String),
    /// What it offers is not what policy wants.
    #[error("{0}")]
    Policy(&'static str),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a host that greeted us.
pub(super) struct Client<'a> {
    stream: Box<dyn Stream>,
    /// What came and wasn't read as a reply yet.
    pending: Vec<u8>,
    timeouts: &'a Timeouts,
    offers: EhloResponse<String>,
    encrypted: bool,
    protocol: Protocol,
}

impl<'a> Client<'a> {
    /// Connects, secures the connection as policy says, and greets.
    pub(super) async fn connect(
        target: &Target,
        security: Option<&Security>,
        helo: &Domain,
        timeouts: &'a Timeouts,
    ) -> Result<Self, Broken> {
        let tcp = within(timeouts.connect, TcpStream::connect(target.addr)).await??;
        tcp.set_nodelay(true)?;
        let mut client = Self::new(Box::new(tcp), Protocol::Smtp, timeouts);
        if let Some(Security::Implicit(config)) = security {
            client = client.encrypt(&target.name, config).await?;
        }
        client.greeted(helo).await?;
        if let Some(Security::Opportunistic(config) | Security::Verified(config)) = security {
            if client.offers.has_capability(EXT_START_TLS) {
                client = client.start_tls(&target.name, config).await?;
                client.greet(helo).await?;
            } else if matches!(security, Some(Security::Verified(_))) {
                return Err(Broken::Policy("offers no STARTTLS, which policy wants"));
            }
        }
        Ok(client)
    }

    /// Connects to the mail server beside us, in the clear, and greets.
    pub(super) async fn beside(
        place: &Place,
        protocol: Protocol,
        helo: &Domain,
        timeouts: &'a Timeouts,
    ) -> Result<Self, Broken> {
        let stream = within(timeouts.connect, place.connect()).await??;
        let mut client = Self::new(Box::new(stream), protocol, timeouts);
        client.greeted(helo).await?;
        Ok(client)
    }

    fn new(stream: Box<dyn Stream>, protocol: Protocol, timeouts: &'a Timeouts) -> Self {
        let offers = EhloResponse::default();
        Client { stream, pending: Vec::new(), timeouts, offers, encrypted: false, protocol }
    }

    async fn greeted(&mut self, helo: &Domain) -> Result<(), Broken> {
        let greeting = self.reply().await?;
        if greeting.code != 220 {
            return Err(Broken::Refused(text(&greeting)));
        }
        self.greet(helo).await
    }

    /// Logs in by AUTH PLAIN (RFC 4616). A failure is the operator's to mend, and no reason to return mail.
    pub(super) async fn log_in(&mut self, login: &Login, verified: bool) -> Result<(), Broken> {
        if !self.encrypted || !verified {
            return Err(Broken::Policy("a login goes over verified TLS only"));
        }
        if self.offers.auth() & AUTH_PLAIN == 0 {
            return Err(Broken::Policy("offers no AUTH PLAIN"));
        }
        let secret = STANDARD.encode(format!("\0{}\0{}", login.user, login.password));
        let reply = self.command(&format!("AUTH PLAIN {secret}")).await?;
        if reply.code == 235 { Ok(()) } else { Err(Broken::Refused(text(&reply))) }
    }

    /// One mail, its result for each recipient. `Err` only while nothing of the mail was sent.
    pub(super) async fn transact(&mut self, mail: &Mail<'_>) -> Result<Vec<RcptOutcome>, Broken> {
        let all = |outcome| vec![outcome; mail.to.len()];
        let mail_from = match self.mail_from(mail) {
            Ok(command) => command,
            Err(outcome) => return Ok(all(outcome)),
        };
        let reply = self.command(&mail_from).await?;
        if let Some(refusal) = refusal(&reply) {
            return Ok(all(refusal));
        }
        let utf8 = self.offers.has_capability(EXT_SMTP_UTF8);
        let mut rcpts = Vec::with_capacity(mail.to.len());
        for address in mail.to {
            rcpts.push(if utf8 || address.local().is_ascii() {
                let reply = self.command(&format!("RCPT TO:<{address}>")).await?;
                refusal(&reply).unwrap_or(RcptOutcome::Done)
            } else {
                no_utf8()
            });
        }
        if !rcpts.contains(&RcptOutcome::Done) {
            return Ok(rcpts);
        }
        let reply = self.command("DATA").await?;
        if reply.code == 354 && self.protocol == Protocol::Lmtp {
            self.send_to_each(mail.bytes, &mut rcpts).await;
            return Ok(rcpts);
        }
        let end = match reply.code {
            354 => self.send(mail.bytes).await.map_or_else(
                // Whether the host has it is not known; a second copy is better than none.
                |broken| RcptOutcome::Later(clean(&format!("the connection broke within the mail: {broken}"))),
                |reply| refusal(&reply).unwrap_or(RcptOutcome::Done),
            ),
            _ => refusal(&reply).ok_or_else(|| Broken::Protocol(text(&reply)))?,
        };
        for rcpt in rcpts.iter_mut().filter(|rcpt| **rcpt == RcptOutcome::Done) {
            *rcpt = end.clone();
        }
        Ok(rcpts)
    }

    /// Takes leave. Nothing depends on the answer, so nobody waits for it.
    pub(super) async fn quit(mut self) {
        let leave = async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.shutdown().await
        };
        if let Ok(Err(why)) = within(self.timeouts.connect, leave).await {
            tracing::trace!(%why, "QUIT not sent");
        }
    }

    /// MAIL with what the mail needs and the host offers; or why this host can't take it (RFC 6152, 6531, 1870).
    fn mail_from(&self, mail: &Mail<'_>) -> Result<String, RcptOutcome> {
        let offers = |extension| self.offers.has_capability(extension);
        let head = mail.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(mail.bytes.len());
        let utf8_sender = mail.from.is_some_and(|from| !from.local().is_ascii());
        let utf8_head = mail.bytes.iter().take(head).any(|byte| !byte.is_ascii());
        let utf8_rcpt = mail.to.iter().any(|to| !to.local().is_ascii());

        let mut command = format!("MAIL FROM:<{}>", mail.from.map(ToString::to_string).unwrap_or_default());
        let asked = mail.onward.and_then(|onward| onward.utf8).unwrap_or(utf8_head);
        if offers(EXT_SMTP_UTF8) && (utf8_sender || asked || utf8_rcpt) {
            command.push_str(" SMTPUTF8");
        } else if utf8_sender || (utf8_head && mail.onward.is_none()) {
            return Err(no_utf8());
        }
        if offers(EXT_8BIT_MIME) && !mail.bytes.is_ascii() {
            command.push_str(" BODY=8BITMIME");
        } else if !mail.bytes.is_ascii() {
            return Err(RcptOutcome::Failed("5.6.3 the host takes no 8-bit text".to_owned()));
        }
        if offers(EXT_SIZE) {
            let (size, max) = (mail.bytes.len(), self.offers.size);
            if max > 0 && size > max {
                return Err(RcptOutcome::Failed(format!("5.3.4 mail of {size} bytes, the host takes {max}")));
            }
            command.push_str(&format!(" SIZE={size}"));
        }
        Ok(command)
    }

    /// EHLO; HELO where the host doesn't know it.
    async fn greet(&mut self, helo: &Domain) -> Result<(), Broken> {
        let verb = if self.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        let (reply, raw) = self.exchange(&format!("{verb} {helo}")).await?;
        if reply.code == 250 {
            let bad = |why: smtp_proto::Error| Broken::Protocol(why.to_string());
            self.offers = EhloResponse::parse(&mut raw.iter()).map_err(bad)?;
            return Ok(());
        }
        self.offers = EhloResponse::default();
        let older = (500..600).contains(&reply.code) && self.protocol == Protocol::Smtp;
        let reply = if older { self.command(&format!("HELO {helo}")).await? } else { reply };
        if reply.code == 250 { Ok(()) } else { Err(Broken::Refused(text(&reply))) }
    }

    async fn start_tls(mut self, name: &str, config: &Arc<ClientConfig>) -> Result<Self, Broken> {
        let reply = self.command("STARTTLS").await?;
        if reply.code != 220 {
            return Err(Broken::Tls(text(&reply)));
        }
        if !self.pending.is_empty() {
            // Someone in the middle put words before TLS, to be taken as said under it (CVE-2011-0411).
            return Err(Broken::Protocol("bytes between STARTTLS and TLS".to_owned()));
        }
        self.encrypt(name, config).await
    }

    async fn encrypt(self, name: &str, config: &Arc<ClientConfig>) -> Result<Self, Broken> {
        let tls = |why: String| Broken::Tls(clean(&why));
        let server_name = ServerName::try_from(name.to_owned()).map_err(|why| tls(why.to_string()))?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(server_name, self.stream);
        let stream = within(self.timeouts.connect, handshake).await.map_err(|why| tls(why.to_string()))?;
        let stream = Box::new(stream.map_err(|why| tls(why.to_string()))?);
        Ok(Client { stream, encrypted: true, ..self })
    }

    async fn command(&mut self, command: &str) -> Result<Response<String>, Broken> {
        Ok(self.exchange(command).await?.0)
    }

    async fn reply(&mut self) -> Result<Response<String>, Broken> {
        Ok(self.read(self.timeouts.reply).await?.0)
    }

    async fn exchange(&mut self, command: &str) -> Result<(Response<String>, Vec<u8>), Broken> {
        let line = format!("{command}\r\n");
        let write = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        within(self.timeouts.reply, write).await??;
        self.read(self.timeouts.reply).await
    }

    /// LMTP: the mail, and a reply for each recipient that was taken so far (RFC 2033 §4.2).
    async fn send_to_each(&mut self, mail: &[u8], rcpts: &mut [RcptOutcome]) {
        let mut broken = self.write_mail(mail).await.err();
        for rcpt in rcpts.iter_mut().filter(|rcpt| **rcpt == RcptOutcome::Done) {
            if broken.is_none() {
                match self.read(self.timeouts.end).await {
                    Ok((reply, _)) => {
                        *rcpt = refusal(&reply).unwrap_or(RcptOutcome::Done);
                        continue;
                    }
                    Err(why) => broken = Some(why),
                }
            }
            if let Some(why) = &broken {
                *rcpt = RcptOutcome::Later(clean(&format!("the connection broke within the mail: {why}")));
            }
        }
    }

    async fn send(&mut self, mail: &[u8]) -> Result<Response<String>, Broken> {
        self.write_mail(mail).await?;
        Ok(self.read(self.timeouts.end).await?.0)
    }

    async fn write_mail(&mut self, mail: &[u8]) -> Result<(), Broken> {
        for part in stuffed(mail).chunks(WRITE_BYTES) {
            within(self.timeouts.data, self.stream.write_all(part)).await??;
        }
        within(self.timeouts.data, self.stream.flush()).await??;
        Ok(())
    }

    /// The next reply, and its bytes. However it is cut into lines, it is bounded in size and in time.
    async fn read(&mut self, limit: Duration) -> Result<(Response<String>, Vec<u8>), Broken> {
        within(limit, async {
            let mut raw = Vec::new();
            let mut receiver = ResponseReceiver::default();
            loop {
                let mut rest = self.pending.iter();
                let parsed = receiver.parse(&mut rest);
                let used = self.pending.len() - rest.as_slice().len();
                raw.extend(self.pending.drain(..used));
                match parsed {
                    _ if raw.len() > limits::SMTP_REPLY_BYTES => {
                        return Err(Broken::Protocol(format!("reply over {} bytes", limits::SMTP_REPLY_BYTES)));
                    }
                    Ok(reply) if (200..600).contains(&reply.code) => return Ok((reply, raw)),
                    Ok(reply) => return Err(Broken::Protocol(format!("reply code {}", reply.code))),
                    Err(smtp_proto::Error::NeedsMoreData { .. }) => {}
                    Err(other) => return Err(Broken::Protocol(other.to_string())),
                }
                let mut chunk = [0; 1024];
                match self.stream.read(&mut chunk).await? {
                    0 => return Err(Broken::Protocol("closed the connection".to_owned())),
                    read => self.pending.extend(chunk.iter().take(read)),
                }
            }
        })
        .await?
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Broken> {
    tokio::time::timeout(limit, work).await.map_err(|_| Broken::Late(limit))
}

/// `None` where the host did what it was told.
fn refusal(reply: &Response<String>) -> Option<RcptOutcome> {
    match (reply.code, reply.esc) {
        (200..300, _) => None,
        // "Too many recipients" is for now, in its old spelling too (RFC 5321 §4.5.3.1.10).
        (300..500, _) | (552, [5, 5, 3]) => Some(RcptOutcome::Later(text(reply))),
        _ => Some(RcptOutcome::Failed(text(reply))),
    }
}

fn no_utf8() -> RcptOutcome {
    RcptOutcome::Failed("5.6.7 the host takes no international addresses".to_owned())
}

fn text(reply: &Response<String>) -> String {
    match reply.esc {
        [0, ..] => clean(&format!("{} {}", reply.code, reply.message)),
        [class, subject, detail] => clean(&format!("{} {class}.{subject}.{detail} {}", reply.code, reply.message)),
    }
}

/// The mail as it goes over the wire (RFC 5321 §4.5.2): every line end CRLF, dots doubled, the lone dot behind. No line
/// end but CRLF ever leaves, so that nobody can be made to see a mail's end where it isn't.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(mail.len() + mail.len() / 64 + 8);
    let (mut previous, mut at_start) = (b'\n', true);
    for &byte in mail {
        match byte {
            b'\n' if previous == b'\r' => {}
            b'\r' | b'\n' => {
                wire.extend_from_slice(b"\r\n");
                at_start = true;
            }
            _ => {
                if at_start && byte == b'.' {
                    wire.push(b'.');
                }
                wire.push(byte);
                at_start = false;
            }
        }
        previous = byte;
    }
    if !at_start {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line_and_only_the_last_dot_stands_alone() {
        for (mail, wire) in [
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("..a\r\n", "...a\r\n.\r\n"),
            ("a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\n\r.\r\n", "a\r\n\r\n..\r\n.\r\n"),
            ("a\r\r\n\n.b", "a\r\n\r\n\r\n..b\r\n.\r\n"),
            ("\r\n\r\n", "\r\n\r\n.\r\n"),
        ] {
            assert_eq!(String::from_utf8(stuffed(mail.as_bytes())).unwrap(), wire, "{mail:?}");
        }
    }

    #[test]
    fn what_a_host_says_is_shown_on_one_clean_short_line() {
        let said = |message: &str| text(&Response { code: 550, esc: [5, 1, 1], message: message.to_owned() });
        assert_eq!(said("no\r\nsuch \u{1b}[31muser\u{202e}"), "550 5.1.1 no such [31muser");
        assert_eq!(said(&"é".repeat(1000)).len(), 512);
        assert_eq!(text(&Response { code: 421, esc: [0; 3], message: "bye".to_owned() }), "421 bye");
    }
}
