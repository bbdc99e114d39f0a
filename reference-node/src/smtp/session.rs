//! One SMTP session, without I/O: bytes and the door's answers go in; replies, questions and a mail's bytes come out.
//!
//! ```text
//!              ┌──────── answer ────────┐
//!              ▼                        │          ┌─▶ Handshake ── Secured ──▶ Command (all forgotten)
//!   ──▶ Command ── AUTH MAIL RCPT ──▶ Asking       │
//!         │  ▲  └── STARTTLS ──────────────────────┘
//!         │  └──── base64 lines ──▶ Sasl ──▶ Asking (login)
//!         └─ DATA ──▶ Asking (begin) ──▶ Data ── CRLF.CRLF ──▶ Asking (take) ──▶ Command
//!   any ── QUIT, too many errors, too slow, going down ──▶ Closed
//! ```
//!
//! At most one question is open; what a client sends ahead waits behind it, bounded, and is answered in order
//! (RFC 2920). What came before TLS is never read after it (attack 20). Port 25 never relays. Sockets, TLS, the spool
//! and the clock are the [server](super::server)'s.
//!
//! LMTP is the same session but for its greeting, its trust in who connects, and a reply for each recipient (RFC 2033).
//!
//! RFC 5321, 1870 (SIZE), 2034 (ENHANCEDSTATUSCODES), 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 6152 (8BITMIME),
//! 6531 (SMTPUTF8).

mod io;

use std::mem;
use std::net::IpAddr;

use mail_builder::headers::date::Date;
use postline_core::content::mail::{MailEnvelope, Rcpt};
use postline_core::id::{Address, MailId, Mailbox};
use postline_core::limits;
use postline_core::time::{MINUTE, Millis, SECOND};

use super::backlog::{Backlog, BadLine};
use super::command::{Command, Fault, Mechanism, Recipient, Sender};
use super::data::{DataReader, Progress, Spoilt};
use super::door::{Answer, Login, Resolved};
use super::lmtp::Each;
use super::login::{Awaited, Heard, Malformed};

pub use io::{Input, Output, Question, Role, Setup, Unasked, Whole};

/// One session with one client.
#[derive(Debug)]
pub struct Session {
    setup: Setup,
    phase: Phase,
    hello: Option<Hello>,
    login: Option<Mailbox>,
    draft: Option<Draft>,
    backlog: Backlog,
    draining: bool,
    /// When the last line was answered.
    heard: Millis,
    /// When the session last bore fruit: its start, a login, a mail.
    fruit: Millis,
    errors: u32,
    failed_logins: u32,
    mails: u32,
    commands: u32,
}

#[derive(Debug)]
enum Phase {
    Command,
    Sasl(Awaited),
    Asking(Asked),
    Handshake,
    Data(Receiving),
    Closed,
}

#[derive(Debug)]
enum Asked {
    Login,
    Sender(Sender),
    Rcpt(Address),
    Begin(Draft),
    Take(MailId, Vec<usize>),
}

#[derive(Debug)]
struct Receiving {
    id: MailId,
    draft: Draft,
    reader: DataReader,
    since: Millis,
    came: u64,
}

#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
    /// Whether it was LHLO.
    lmtp: bool,
}

/// Whether a client has greeted as LMTP clients do.
fn is_lmtp(hello: Option<&Hello>) -> bool {
    hello.is_some_and(|hello| hello.lmtp)
}

#[derive(Debug)]
struct Draft {
    from: Option<Address>,
    utf8: bool,
    to: Vec<Rcpt>,
    /// For each RCPT that was taken, whom of `to` it named: in LMTP each gets its reply (RFC 2033 §4.2).
    said: Vec<usize>,
}

impl Session {
    /// A session that has just been opened, and greets.
    #[must_use]
    pub fn new(now: Millis, setup: Setup, out: &mut Vec<Output>) -> Self {
        let protocol = if setup.role.is_lmtp() { "LMTP" } else { "ESMTP" };
        say(out, &format!("220 {} {protocol} Postline", setup.host));
        Self {
            setup,
            phase: Phase::Command,
            hello: None,
            login: None,
            draft: None,
            backlog: Backlog::default(),
            draining: false,
            heard: now,
            fruit: now,
            errors: 0,
            failed_logins: 0,
            mails: 0,
            commands: 0,
        }
    }

    /// Takes one input.
    ///
    /// # Errors
    /// [`Unasked`] where the caller brings an answer, or TLS, that nothing waits for. Nothing a client sends is an error.
    pub fn step(&mut self, now: Millis, input: Input<'_>, out: &mut Vec<Output>) -> Result<(), Unasked> {
        match (mem::replace(&mut self.phase, Phase::Command), input) {
            (Phase::Asking(Asked::Login), Input::Login(login)) => self.logged_in(now, login, out),
            (Phase::Asking(Asked::Sender(sender)), Input::Owned(true)) => self.open_draft(sender, out),
            (Phase::Asking(Asked::Sender(_)), Input::Owned(false)) => say(out, "553 5.7.1 Sender address is not yours"),
            (Phase::Asking(Asked::Rcpt(address)), Input::Resolved(resolved)) => {
                self.add_recipient(address, resolved, out);
            }
            (Phase::Asking(Asked::Begin(draft)), Input::Begun(Ok(id))) => {
                say(out, "354 End with CRLF.CRLF");
                let reader = if self.setup.role.is_lmtp() { DataReader::lenient() } else { DataReader::default() };
                self.phase = Phase::Data(Receiving { id, draft, reader, since: now, came: 0 });
            }
            (Phase::Asking(Asked::Begin(_)), Input::Begun(Err(answer))) => say(out, &reply(answer)),
            (Phase::Asking(Asked::Take(id, _)), Input::Taken(answer)) if !self.setup.role.is_lmtp() => {
                self.settle(now, id, answer, out);
            }
            (Phase::Asking(Asked::Take(_, said)), Input::TakenEach(each)) if self.setup.role.is_lmtp() => {
                self.settle_each(now, &said, &each, out);
            }
            (Phase::Handshake, Input::Secured) => {
                // Whatever was said before TLS may be anyone's word (RFC 3207 §4.2).
                (self.hello, self.login, self.draft) = (None, None, None);
                self.setup.secured = true;
            }
            (phase, Input::Bytes(bytes)) => {
                self.phase = phase;
                self.expire(now, out);
                self.hear(now, bytes, out);
                return Ok(());
            }
            (phase, Input::Wake) => {
                self.phase = phase;
                self.expire(now, out);
                return Ok(());
            }
            (phase, Input::Drain) => {
                self.phase = phase;
                self.draining = true;
                self.run(now, out);
                return Ok(());
            }
            (phase, _) => {
                self.phase = phase;
                return Err(Unasked);
            }
        }
        self.heard = now;
        self.run(now, out);
        Ok(())
    }

    /// When an [`Input::Wake`] is next wanted. None while the door is asked.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match &self.phase {
            Phase::Command | Phase::Sasl(_) => {
                let next = self.heard.plus(limits::SMTP_COMMAND_MS);
                Some(next.min(self.fruit.plus(limits::SMTP_FRUITLESS_MS)))
            }
            Phase::Data(mail) => Some(mail.since.plus(MINUTE)),
            Phase::Handshake => Some(self.heard.plus(limits::SMTP_TLS_MS)),
            Phase::Asking(_) | Phase::Closed => None,
        }
    }

    /// How many bytes it is ready for; none while the door is asked, so that a fast client waits in its own socket.
    #[must_use]
    pub const fn appetite(&self) -> usize {
        match self.phase {
            Phase::Command | Phase::Sasl(_) => limits::SMTP_LINE_BYTES,
            Phase::Data(_) => limits::SMTP_READ_BYTES,
            Phase::Asking(_) | Phase::Handshake | Phase::Closed => 0,
        }
    }

    /// How many bytes a client has made it keep, the mail envelope aside.
    #[must_use]
    pub const fn backlog(&self) -> usize {
        self.backlog.len()
    }

    fn hear(&mut self, now: Millis, bytes: &[u8], out: &mut Vec<Output>) {
        match self.phase {
            // Said before TLS, and never read (attack 20).
            Phase::Handshake | Phase::Closed => {}
            Phase::Asking(_) if self.backlog() + bytes.len() > limits::SMTP_BACKLOG_BYTES => {
                self.close("421 4.7.0 Too much sent ahead", out);
            }
            Phase::Asking(_) | Phase::Command | Phase::Sasl(_) | Phase::Data(_) => {
                self.backlog.push(bytes);
                self.run(now, out);
            }
        }
    }

    /// Reads on, until the client or the door has to say more.
    fn run(&mut self, now: Millis, out: &mut Vec<Output>) {
        loop {
            match self.phase {
                Phase::Command | Phase::Sasl(_) if self.draining => self.close("421 4.3.2 Going down", out),
                Phase::Command | Phase::Sasl(_) => {
                    let Some(line) = self.backlog.line() else { break };
                    self.heard = now;
                    self.line(line, out);
                }
                Phase::Data(_) if self.backlog.is_empty() => break,
                Phase::Data(_) => self.data(now, out),
                Phase::Asking(_) | Phase::Handshake | Phase::Closed => break,
            }
        }
        self.backlog.compact(self.appetite().max(limits::SMTP_LINE_BYTES));
    }

    fn line(&mut self, line: Result<Vec<u8>, BadLine>, out: &mut Vec<Output>) {
        self.commands += 1;
        if self.commands > limits::SMTP_COMMANDS {
            return self.close("421 4.7.0 Too many commands", out);
        }
        let phase = mem::replace(&mut self.phase, Phase::Command);
        match (phase, line) {
            (_, Err(bad)) => self.blame(bad.reply(), out),
            (Phase::Sasl(_), Ok(line)) if line == b"*" => self.blame("501 5.7.0 Login cancelled", out),
            (Phase::Sasl(awaited), Ok(line)) => self.sasl(awaited, &line, out),
            (_, Ok(line)) => match Command::parse(&line) {
                Ok(command) => self.command(command, out),
                Err(fault) => self.blame(fault.reply(), out),
            },
        }
    }

    fn command(&mut self, command: Command<'_>, out: &mut Vec<Output>) {
        match command {
            Command::Helo(_) if self.setup.role.is_lmtp() => self.blame("500 5.5.1 This is LMTP: LHLO", out),
            Command::Ehlo(_) if self.setup.role == Role::Front => self.blame("500 5.5.1 This is LMTP: LHLO", out),
            Command::Lhlo(_) if !self.setup.role.is_lmtp() => self.blame(Fault::NotOffered.reply(), out),
            Command::StartTls | Command::Auth(..) if self.setup.role.is_lmtp() => {
                self.blame(Fault::NotOffered.reply(), out);
            }
            Command::Lhlo(name) => self.greet(Hello { name: name.to_owned(), extended: true, lmtp: true }, out),
            Command::Ehlo(name) => self.greet(Hello { name: name.to_owned(), extended: true, lmtp: false }, out),
            Command::Helo(name) => self.greet(Hello { name: name.to_owned(), extended: false, lmtp: false }, out),
            Command::StartTls if self.setup.secured => self.blame("503 5.5.1 TLS stands already", out),
            Command::StartTls => {
                say(out, "220 2.0.0 Ready for TLS");
                self.backlog.clear();
                self.phase = Phase::Handshake;
                out.push(Output::StartTls);
            }
            Command::Auth(mechanism, first) => self.auth(mechanism, first, out),
            Command::Mail(sender) => self.mail(sender, out),
            Command::Rcpt(recipient) => self.rcpt(recipient, out),
            Command::Data => match self.draft.take_if(|draft| !draft.to.is_empty()) {
                Some(draft) => self.ask(Asked::Begin(draft), Question::Begin, out),
                None if self.draft.is_some() && self.setup.role.is_lmtp() => say(out, "503 5.5.1 No valid recipients"),
                None if self.draft.is_some() => say(out, "554 5.5.1 No valid recipients"),
                None => say(out, "503 5.5.1 MAIL first"),
            },
            Command::Rset => {
                self.draft = None;
                say(out, "250 2.0.0 Ok");
            }
            Command::Noop => say(out, "250 2.0.0 Ok"),
            Command::Vrfy => say(out, "252 2.5.0 Send a mail and see"),
            Command::Help => say(out, "214 2.0.0 See RFC 5321"),
            Command::Quit => self.close("221 2.0.0 Goodbye", out),
        }
    }

    fn greet(&mut self, hello: Hello, out: &mut Vec<Output>) {
        let extended = hello.extended;
        self.hello = Some(hello);
        self.draft = None;
        if !extended {
            return say(out, &format!("250 {}", self.setup.host));
        }
        say(out, &format!("250-{}", self.setup.host));
        say(out, "250-PIPELINING");
        say(out, &format!("250-SIZE {}", limits::MAIL_BYTES));
        if !self.setup.secured && !self.setup.role.is_lmtp() {
            say(out, "250-STARTTLS");
        } else if self.setup.role == Role::Submission {
            say(out, "250-AUTH PLAIN LOGIN");
        }
        say(out, "250-ENHANCEDSTATUSCODES");
        say(out, "250-8BITMIME");
        say(out, "250 SMTPUTF8");
    }

    fn auth(&mut self, mechanism: Mechanism, first: Option<&str>, out: &mut Vec<Output>) {
        if self.setup.role == Role::Mx {
            self.blame("502 5.5.1 Not offered here", out);
        } else if !self.setup.secured {
            self.blame("538 5.7.11 Encryption required", out);
        } else if self.hello.is_none() {
            self.blame("503 5.5.1 EHLO first", out);
        } else if self.login.is_some() || self.draft.is_some() {
            self.blame("503 5.5.1 Not now", out);
        } else {
            let awaited = Awaited::first(mechanism);
            match first {
                Some("=") => self.sasl(awaited, b"", out),
                Some(response) => self.sasl(awaited, response.as_bytes(), out),
                None => self.challenge(awaited, out),
            }
        }
    }

    fn challenge(&mut self, awaited: Awaited, out: &mut Vec<Output>) {
        say(out, awaited.challenge());
        self.phase = Phase::Sasl(awaited);
    }

    fn sasl(&mut self, awaited: Awaited, response: &[u8], out: &mut Vec<Output>) {
        match awaited.hear(response) {
            Ok(Heard::Next(awaited)) => self.challenge(awaited, out),
            Ok(Heard::Whole(credentials)) => self.ask(Asked::Login, Question::Login(credentials), out),
            Err(Malformed) => self.blame("501 5.5.2 Malformed login", out),
        }
    }

    fn logged_in(&mut self, now: Millis, login: Login, out: &mut Vec<Output>) {
        match login {
            Login::Of(user) => {
                self.login = Some(user);
                self.fruit = now;
                self.commands = 0;
                return say(out, "235 2.7.0 Welcome");
            }
            // No word on the password: a mail program that hears 535 would ask for another.
            Login::NotNow => return self.blame("454 4.7.0 Can't check logins now", out),
            Login::No => {}
        }
        // The same words for a wrong password and for no such user (attack 106).
        say(out, "535 5.7.8 Login failed");
        self.failed_logins += 1;
        if self.failed_logins >= limits::SMTP_LOGINS {
            self.close("421 4.7.0 Too many failed logins", out);
        }
    }

    fn mail(&mut self, sender: Sender, out: &mut Vec<Output>) {
        let submission = self.setup.role == Role::Submission;
        if self.hello.is_none() {
            self.blame("503 5.5.1 EHLO first", out);
        } else if submission && !self.setup.secured {
            self.blame("530 5.7.0 STARTTLS first", out);
        } else if submission && self.login.is_none() {
            self.blame("530 5.7.0 Authentication required", out);
        } else if self.draft.is_some() {
            self.blame("503 5.5.1 A mail has begun already", out);
        } else if self.mails >= limits::SMTP_MAILS_PER_SESSION {
            self.close("421 4.7.0 Too many mails in one session", out);
        } else if sender.size > limits::MAIL_BYTES {
            say(out, &format!("552 5.3.4 Mail of {} bytes, at most {}", sender.size, limits::MAIL_BYTES));
        } else if let (Some(login), Some(address)) = (&self.login, &sender.address) {
            let question = Question::Sender(login.clone(), address.clone());
            self.ask(Asked::Sender(sender), question, out);
        } else {
            self.open_draft(sender, out);
        }
    }

    fn open_draft(&mut self, sender: Sender, out: &mut Vec<Output>) {
        self.draft = Some(Draft { from: sender.address, utf8: sender.utf8, to: Vec::new(), said: Vec::new() });
        say(out, "250 2.1.0 Sender ok");
    }

    fn rcpt(&mut self, recipient: Recipient, out: &mut Vec<Output>) {
        let Some(draft) = &mut self.draft else {
            // Honest clients pipeline these behind a MAIL that was refused: it is no error of theirs.
            return say(out, "503 5.5.1 MAIL first");
        };
        let (address, ascii) = match recipient {
            Recipient::Address { address, ascii } => (address, ascii),
            Recipient::Postmaster => (self.setup.postmaster.clone(), true),
        };
        if !ascii && !draft.utf8 {
            self.blame(Fault::NeedsUtf8.reply(), out);
        } else if draft.said.len() >= 2 * limits::ENVELOPE_RECIPIENTS {
            say(out, "452 4.5.3 Too many recipients");
        } else if self.setup.role == Role::Relay && !draft.said.is_empty() && !is_lmtp(self.hello.as_ref()) {
            say(out, "452 4.5.3 One recipient at a time");
        } else if let Some(known) = draft.to.iter().position(|rcpt| rcpt.address == address) {
            draft.said.push(known);
            say(out, RECIPIENT_OK);
        } else if draft.to.len() >= limits::ENVELOPE_RECIPIENTS {
            say(out, "452 4.5.3 Too many recipients");
        } else {
            self.ask(Asked::Rcpt(address.clone()), Question::Rcpt(address), out);
        }
    }

    fn add_recipient(&mut self, address: Address, resolved: Resolved, out: &mut Vec<Output>) {
        let mailbox = match (resolved, self.setup.role) {
            (Resolved::Local(mailbox), _) => Some(mailbox),
            (Resolved::Remote, Role::Submission | Role::Relay) | (Resolved::Unknown, Role::Relay) => None,
            (Resolved::Remote, Role::Mx | Role::Front) => return say(out, "550 5.7.1 Relaying denied"),
            (Resolved::Unknown, _) => return say(out, "550 5.1.1 No such mailbox"),
            (Resolved::NotNow, _) => return say(out, "451 4.3.0 Can't say now"),
        };
        let Some(draft) = &mut self.draft else { return say(out, "503 5.5.1 MAIL first") };
        draft.said.push(draft.to.len());
        draft.to.push(Rcpt { address, mailbox });
        say(out, RECIPIENT_OK);
    }

    fn data(&mut self, now: Millis, out: &mut Vec<Output>) {
        let Phase::Data(mut mail) = mem::replace(&mut self.phase, Phase::Command) else { return };
        let input = self.backlog.rest();
        mail.came += input.len() as u64;
        let was_spoilt = mail.reader.spoilt().is_some();
        let mut bytes = Vec::with_capacity(if was_spoilt { 0 } else { input.len() });
        let progress = mail.reader.read(input, &mut bytes);
        if !bytes.is_empty() {
            out.push(Output::Data(bytes));
        }
        if !was_spoilt && mail.reader.spoilt().is_some() {
            out.push(Output::Drop);
        }
        match progress {
            Progress::More => {
                self.backlog.clear();
                self.phase = Phase::Data(mail);
            }
            Progress::Flood => self.close(TOO_BIG, out),
            Progress::End(used) => {
                self.backlog.skip(used);
                self.heard = now;
                self.ended(now, mail, out);
            }
        }
    }

    fn ended(&mut self, now: Millis, mail: Receiving, out: &mut Vec<Output>) {
        let said = if self.setup.role.is_lmtp() { mail.draft.said.len() } else { 1 };
        match mail.reader.spoilt() {
            // Refused whole, as Postfix does it with smtpd_forbid_bare_newline = reject (attack 19).
            Some(Spoilt::BareLineEnd) => self.blame("550 5.6.0 Bare CR or LF in the mail", out),
            Some(Spoilt::TooBig) => (0..said).for_each(|_| say(out, TOO_BIG)),
            None => {
                let utf8 = mail.draft.utf8;
                let received = self.received(now, mail.id, utf8);
                let envelope = MailEnvelope { from: mail.draft.from, to: mail.draft.to };
                let whole = Whole { id: mail.id, login: self.login.clone(), envelope, utf8, received };
                self.ask(Asked::Take(mail.id, mail.draft.said), Question::Take(Box::new(whole)), out);
            }
        }
    }

    fn settle(&mut self, now: Millis, id: MailId, answer: Answer, out: &mut Vec<Output>) {
        if answer != Answer::Taken {
            return say(out, &reply(answer));
        }
        self.mails += 1;
        self.commands = 0;
        self.fruit = now;
        say(out, &format!("250 2.6.0 Taken as {id}"));
    }

    fn settle_each(&mut self, now: Millis, said: &[usize], each: &[Each], out: &mut Vec<Output>) {
        for index in said {
            // A door that forgot somebody has not taken the mail for them.
            let answer = each.get(*index).map_or_else(|| reply(Answer::Broken), Each::reply);
            say(out, &answer);
        }
        if each.iter().any(Each::is_done) {
            self.mails += 1;
            self.commands = 0;
            self.fruit = now;
        }
    }

    /// RFC 5321 §4.4, with the protocol names of RFC 3848 and RFC 6531 §4.3.
    fn received(&self, now: Millis, id: MailId, utf8: bool) -> String {
        let (name, extended) = match &self.hello {
            Some(hello) => (hello.name.as_str(), hello.extended),
            None => ("unknown", false),
        };
        let with = match (extended, utf8) {
            (false, _) => "SMTP".to_owned(),
            (true, utf8) => {
                let mut with = match (is_lmtp(self.hello.as_ref()), utf8) {
                    (false, false) => "ESMTP",
                    (false, true) => "UTF8SMTP",
                    (true, false) => "LMTP",
                    (true, true) => "UTF8LMTP",
                }
                .to_owned();
                with.push_str(if self.setup.secured { "S" } else { "" });
                with.push_str(if self.login.is_some() { "A" } else { "" });
                with
            }
        };
        let peer = match self.setup.peer.to_canonical() {
            IpAddr::V4(ip) => format!("[{ip}]"),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        };
        let host = &self.setup.host;
        let date = Date::new(i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX)).to_rfc822();
        format!("Received: from {name} ({peer}) by {host} with {with} id {id}; {date}")
    }

    fn ask(&mut self, asked: Asked, question: Question, out: &mut Vec<Output>) {
        self.phase = Phase::Asking(asked);
        out.push(Output::Ask(question));
    }

    /// Answers a bad command, and ends the session when there were too many.
    fn blame(&mut self, line: &str, out: &mut Vec<Output>) {
        say(out, line);
        self.errors += 1;
        if self.errors >= limits::SMTP_ERRORS {
            self.close("421 4.7.0 Too many errors", out);
        }
    }

    fn close(&mut self, line: &str, out: &mut Vec<Output>) {
        say(out, line);
        self.backlog = Backlog::default();
        self.phase = Phase::Closed;
        out.push(Output::Close);
    }

    /// Ends a session whose client is too slow: no line in time, too few bytes of a mail in a minute (attack 91).
    fn expire(&mut self, now: Millis, out: &mut Vec<Output>) {
        if self.deadline().is_none_or(|due| due > now) {
            return;
        }
        match &mut self.phase {
            Phase::Data(mail) if mail.came >= limits::SMTP_DATA_BYTES_PER_SECOND * (MINUTE / SECOND) => {
                (mail.since, mail.came) = (now, 0);
            }
            Phase::Data(_) | Phase::Command | Phase::Sasl(_) | Phase::Handshake | Phase::Asking(_) | Phase::Closed => {
                self.close("421 4.4.2 Too slow", out);
            }
        }
    }
}

const RECIPIENT_OK: &str = "250 2.1.5 Recipient ok";
const TOO_BIG: &str = "552 5.3.4 Mail too big";

/// What the client hears of an answer to a mail that wasn't taken.
pub(super) fn reply(answer: Answer) -> String {
    match answer {
        Answer::Taken => "250 2.6.0 Taken".to_owned(),
        Answer::Busy => "452 4.3.1 No room now".to_owned(),
        Answer::Loop => "554 5.4.6 Mail goes round in circles".to_owned(),
        Answer::NotYours => "550 5.7.1 Header From is not yours".to_owned(),
        Answer::Refused(why) => format!("554 5.7.1 {why}"),
        Answer::Broken => "451 4.3.0 Failed here, try again".to_owned(),
    }
}

/// Adds a reply line, to the bytes of the last one where nothing came between: one write for a pipelined group.
fn say(out: &mut Vec<Output>, line: &str) {
    if !matches!(out.last(), Some(Output::Say(_))) {
        out.push(Output::Say(Vec::new()));
    }
    if let Some(Output::Say(bytes)) = out.last_mut() {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}
