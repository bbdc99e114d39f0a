//! One milter session, without I/O: packets and answers go in; packets and questions come out.
//!
//! ```text
//!   ──▶ Greeting ── O ──▶ Idle ── M ──▶ Mail ── R… ──▶ L… ── N ──▶ [may the login speak?] ──▶ Body ── B… ── E ──┐
//!                          ▲                                                                                      │
//!                          ├── no login: accept   │      Idle ◀── fields off, fields on, continue ◀── [stamp?] ◀──┘
//!                          └── A (abort)            │
//!                                it answers what    └▶ Answering ── B… ── E ──▶ [seal?] ──▶ Idle: sealed, and discarded; or refused
//!                                came sealed
//!   any ── Q ──▶ Closed          any ── what is no milter session ──▶ Fault
//! ```
//!
//! Memory is bounded by one packet, one header section and one mail envelope; a body is hashed and dropped. Where a mail
//! is over a bound it gets no fields of ours, and still loses those that it brought. A reply to what came sealed is kept
//! whole, and never goes on (attack 71).

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use postline_codec::mime::sealed;
use postline_codec::mime::streaming::Streaming;
use postline_codec::mime::text::HeaderText;
use postline_core::content::mail::Canonical;
use postline_core::id::{Address, ConversationId, Domain};
use postline_core::limits;

use super::packet::{
    ADD_HEADERS, CHANGE_HEADERS, Fault, Incoming, NO_CONNECT, NO_DATA, NO_HELO, NO_UNKNOWN, SILENT_HEADER, SILENT_RCPT,
    SKIP, texts, write,
};
use crate::hosted::reply::{OTHERS, Reply, WORDS};

/// The newest version of the protocol, and the oldest that has what we need.
const VERSIONS: (u32, u32) = (2, 6);
/// Most different names of `Postline-*` fields in one mail: with more it is no mail of an honest program.
const FOREIGN_NAMES: usize = 64;
/// The prefix of all field names of ours, in lower case.
const OURS: &str = "postline-";

/// What a session is told.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Bytes came.
    Bytes(&'a [u8]),
    /// The answer to [`Question::MaySpeak`].
    MaySpeak(bool),
    /// The answer to [`Question::Stamp`]: the fields to add, `Name: value`; `None` where there are none to be had now.
    Stamped(Option<Vec<String>>),
    /// The answer to [`Question::Seal`].
    Sealed(Reply),
}

/// What a session wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes.
    Say(Vec<u8>),
    /// Ask, and bring the answer. Always the last of a step.
    Ask(Question),
    /// Write what is unsaid, then close. Always the last of all.
    Close,
}

/// What a session asks the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this login write as this address?
    MaySpeak(String, Address),
    /// Which fields does this mail get?
    Stamp(Box<Written>),
    /// Seal this one: it answers what came sealed.
    Seal(Box<Answering>),
}

/// A mail that answers what came sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// Who logged in.
    pub login: String,
    /// The conversation that it names.
    pub talk: ConversationId,
    /// All its envelope recipients.
    pub to: BTreeSet<Address>,
    /// The mail, without the `Postline-*` fields that it came with.
    pub mail: Vec<u8>,
}

/// A mail that a user of ours wrote, as far as its fields need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The envelope recipients that are addresses, at most [`ENVELOPE_RECIPIENTS`](limits::ENVELOPE_RECIPIENTS).
    pub to: Vec<Address>,
    /// What its header says.
    pub canonical: Canonical,
}

/// The caller brought an answer that nobody waits for. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer that the session did not ask for")]
pub struct Unasked;

/// One session with one client.
pub struct Session {
    phase: Phase,
    /// Our domains: what was said sealed has Message-IDs in them.
    ours: Arc<[Domain]>,
    incoming: Incoming,
    /// What the client agreed to: we may change header fields, and end a body early.
    may_change: bool,
    may_skip: bool,
    silent: u32,
    /// The login of the mail that comes next, in its macro.
    login: Option<String>,
    fault: Option<Fault>,
}

enum Phase {
    Greeting,
    Idle,
    Mail(Box<Mail>),
    /// The header is whole, and its author known.
    MaySpeak(Box<Mail>, Box<Streaming>),
    Body(Box<Mail>, Option<Box<Streaming>>),
    Stamp(Box<Mail>),
    /// It answers a sealed message: its body is kept, while it is within its bound.
    Answering(Box<Mail>, ConversationId, Option<Vec<u8>>),
    Seal,
    Closed,
}

struct Mail {
    login: String,
    from: Option<Address>,
    to: Vec<Address>,
    head: Vec<u8>,
    /// Whether the header is over its bound, and no mail of ours.
    too_long: bool,
    /// The `Postline-*` fields that it came with: each name, and how often.
    foreign: BTreeMap<String, u32>,
    /// The sealed conversation that a field of its names.
    answers: Option<ConversationId>,
    /// Whether it goes to more than `to` says.
    others: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            phase: Phase::Greeting,
            ours: Arc::new([]),
            incoming: Incoming::default(),
            may_change: false,
            may_skip: false,
            silent: 0,
            login: None,
            fault: None,
        }
    }
}

impl Session {
    /// A session of a node that serves these domains.
    #[must_use]
    pub fn new(ours: Arc<[Domain]>) -> Self {
        Self { ours, ..Self::default() }
    }

    /// Takes one input.
    ///
    /// # Errors
    /// [`Unasked`] where the caller brings an answer that nothing waits for. Nothing a client sends is an error.
    pub fn step(&mut self, input: Input<'_>, out: &mut Vec<Output>) -> Result<(), Unasked> {
        match (mem::replace(&mut self.phase, Phase::Closed), input) {
            (Phase::Closed, Input::Bytes(_)) => return Ok(()),
            (phase, Input::Bytes(bytes)) => {
                self.phase = phase;
                self.incoming.push(bytes);
            }
            (Phase::MaySpeak(mail, streaming), Input::MaySpeak(may)) => {
                let streaming = Some(streaming).filter(|_| may);
                self.enter_body(mail, streaming, out);
            }
            (Phase::Stamp(mail), Input::Stamped(fields)) => self.end(&mail, &fields.unwrap_or_default(), out),
            (Phase::Seal, Input::Sealed(reply)) => self.answered(reply, out),
            (phase, _) => {
                self.phase = phase;
                return Err(Unasked);
            }
        }
        while !matches!(self.phase, Phase::Closed | Phase::MaySpeak(..) | Phase::Stamp(_) | Phase::Seal) {
            let taken = match self.incoming.packet() {
                Ok(None) => break,
                Ok(Some((command, data))) => self.take(command, &data, out),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = taken {
                self.fault = Some(fault);
                self.close(out);
            }
        }
        Ok(())
    }

    /// Why the session ended, where the client erred.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether no mail is under way.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Idle | Phase::Closed)
    }

    /// How many bytes a client has made it keep.
    #[must_use]
    pub fn kept(&self) -> usize {
        let mail = match &self.phase {
            Phase::Mail(mail) | Phase::MaySpeak(mail, ..) | Phase::Body(mail, _) | Phase::Stamp(mail) => mail,
            Phase::Answering(_, _, kept) => return self.incoming.len() + kept.as_ref().map_or(0, Vec::len),
            Phase::Greeting | Phase::Idle | Phase::Seal | Phase::Closed => return self.incoming.len(),
        };
        self.incoming.len() + mail.head.len() + mail.foreign.keys().map(String::len).sum::<usize>()
    }

    fn take(&mut self, command: u8, data: &[u8], out: &mut Vec<Output>) -> Result<(), Fault> {
        let phase = mem::replace(&mut self.phase, Phase::Closed);
        match (command, phase) {
            (b'O', Phase::Greeting) => self.negotiate(data, out)?,
            (b'Q', _) => self.close(out),
            (_, Phase::Greeting) => return Err(Fault::Order(command.into())),
            // Macros, for whatever comes next. Only that of MAIL names the login.
            (b'D', phase) => {
                self.phase = phase;
                if data.first() == Some(&b'M') {
                    self.login = login(data)?;
                }
            }
            // The mail is over, or (K) the client's connection, and another may begin on ours.
            (b'A' | b'K', _) => {
                self.phase = Phase::Idle;
                self.login = None;
            }
            (b'C' | b'H' | b'U' | b'T', phase) => {
                self.phase = phase;
                say(out, b'c', b"");
            }
            (b'M', Phase::Idle) => self.mail(data, out)?,
            (b'R', Phase::Mail(mut mail)) => {
                mail.rcpt(data)?;
                self.phase = Phase::Mail(mail);
                if self.silent & SILENT_RCPT == 0 {
                    say(out, b'c', b"");
                }
            }
            (b'L', Phase::Mail(mut mail)) => {
                mail.field(data, &self.ours)?;
                self.phase = Phase::Mail(mail);
                if self.silent & SILENT_HEADER == 0 {
                    say(out, b'c', b"");
                }
            }
            (b'N', Phase::Mail(mail)) => self.header_ended(mail, out),
            (b'B', Phase::Body(mail, mut streaming)) => {
                if let Some(streaming) = &mut streaming {
                    streaming.body(data);
                }
                let seen_enough = self.may_skip && streaming.as_ref().is_none_or(|streaming| streaming.is_inert());
                self.phase = Phase::Body(mail, streaming);
                say(out, if seen_enough { b's' } else { b'c' }, b"");
            }
            (b'B', Phase::Answering(mail, talk, mut kept)) => {
                keep(&mut kept, data);
                self.phase = Phase::Answering(mail, talk, kept);
                say(out, b'c', b"");
            }
            (b'E', Phase::Answering(mail, talk, mut kept)) => {
                keep(&mut kept, data);
                match kept {
                    _ if mail.others => self.answered(Reply::Refused(OTHERS), out),
                    None => self.answered(Reply::Refused(WORDS), out),
                    Some(bytes) => {
                        let Mail { login, to, .. } = *mail;
                        let asked = Answering { login, talk, to: to.into_iter().collect(), mail: bytes };
                        self.phase = Phase::Seal;
                        out.push(Output::Ask(Question::Seal(Box::new(asked))));
                    }
                }
            }
            (b'E', Phase::Body(mail, mut streaming)) => {
                if let Some(streaming) = &mut streaming {
                    streaming.body(data);
                }
                match streaming.and_then(|streaming| streaming.finish().ok()) {
                    Some(canonical) => {
                        let written = Written { to: mail.to.clone(), canonical };
                        self.phase = Phase::Stamp(mail);
                        out.push(Output::Ask(Question::Stamp(Box::new(written))));
                    }
                    None => self.end(&mail, &[], out),
                }
            }
            (b'O' | b'M' | b'R' | b'L' | b'N' | b'B' | b'E', _) => return Err(Fault::Order(command.into())),
            (other, _) => return Err(Fault::Command(other)),
        }
        Ok(())
    }

    fn negotiate(&mut self, data: &[u8], out: &mut Vec<Output>) -> Result<(), Fault> {
        let mut words = data.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_be_bytes);
        let (Some(version), Some(actions), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(Fault::Data('O'));
        };
        if version < VERSIONS.0 {
            return Err(Fault::Version(version));
        }
        let actions = actions & (ADD_HEADERS | CHANGE_HEADERS);
        let wanted = NO_CONNECT | NO_HELO | NO_UNKNOWN | NO_DATA | SKIP | SILENT_RCPT | SILENT_HEADER;
        let protocol = protocol & wanted;
        self.may_change = actions == ADD_HEADERS | CHANGE_HEADERS;
        self.may_skip = protocol & SKIP != 0;
        self.silent = protocol;
        let words = [version.min(VERSIONS.1), actions, protocol];
        say(out, b'O', &words.map(u32::to_be_bytes).concat());
        self.phase = Phase::Idle;
        Ok(())
    }

    fn mail(&mut self, data: &[u8], out: &mut Vec<Output>) -> Result<(), Fault> {
        let from = address(texts(b'M', data)?.first().copied().unwrap_or_default());
        let Some(login) = self.login.take().filter(|_| self.may_change) else {
            // From elsewhere, or from this machine: none of it is ours to change.
            self.phase = Phase::Idle;
            say(out, b'a', b"");
            return Ok(());
        };
        let (to, head, foreign) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (too_long, answers, others) = (false, None, false);
        self.phase = Phase::Mail(Box::new(Mail { login, from, to, head, too_long, foreign, answers, others }));
        say(out, b'c', b"");
        Ok(())
    }

    fn header_ended(&mut self, mut mail: Box<Mail>, out: &mut Vec<Output>) {
        let mut head = mem::take(&mut mail.head);
        head.extend_from_slice(b"\r\n");
        if let Some(talk) = mail.answers {
            let kept = (!mail.too_long).then_some(head);
            self.phase = Phase::Answering(mail, talk, kept);
            return say(out, b'c', b"");
        }
        let streaming = Box::new(Streaming::new(&head));
        let author = streaming.author().filter(|author| !mail.too_long && mail.from.as_ref() == Some(author)).cloned();
        match author {
            Some(author) => {
                let question = Question::MaySpeak(mail.login.clone(), author);
                self.phase = Phase::MaySpeak(mail, streaming);
                out.push(Output::Ask(question));
            }
            None => self.enter_body(mail, None, out),
        }
    }

    fn enter_body(&mut self, mail: Box<Mail>, streaming: Option<Box<Streaming>>, out: &mut Vec<Output>) {
        if streaming.is_none() && mail.foreign.is_empty() {
            self.phase = Phase::Idle;
            say(out, b'a', b"");
            return;
        }
        self.phase = Phase::Body(mail, streaming);
        say(out, b'c', b"");
    }

    /// Takes off what the mail came with, puts on what it gets, and lets it go on.
    fn end(&mut self, mail: &Mail, fields: &[String], out: &mut Vec<Output>) {
        self.phase = Phase::Idle;
        if mail.foreign.len() > FOREIGN_NAMES {
            return say(out, b'r', b"");
        }
        let mut packets = Vec::new();
        for (name, count) in &mail.foreign {
            // From the last to the first: so no index means another field, whether or not clients count what is gone.
            for index in (1..=*count).rev() {
                let mut data = index.to_be_bytes().to_vec();
                data.extend_from_slice(name.as_bytes());
                data.extend_from_slice(b"\0\0");
                write(&mut packets, b'm', &data);
            }
        }
        for field in fields {
            let folded = HeaderText::cleaned(field).folded_within_words().replace("\r\n", "\n");
            let Some((name, value)) = folded.split_once(": ") else { continue };
            write(&mut packets, b'h', format!("{name}\0{}\0", value.trim_end()).as_bytes());
        }
        write(&mut packets, b'c', b"");
        out.push(Output::Say(packets));
    }

    /// What answers a sealed message is sealed, and the mail thrown away; or its author hears why not.
    fn answered(&mut self, reply: Reply, out: &mut Vec<Output>) {
        self.phase = Phase::Idle;
        match reply {
            Reply::Taken => say(out, b'd', b""),
            Reply::Refused(why) => say(out, b'y', format!("554 5.7.1 {why}\0").as_bytes()),
            Reply::Later => say(out, b'y', b"451 4.3.0 This answers a sealed message: later, please\0"),
        }
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Closed;
        self.incoming = Incoming::default();
        out.push(Output::Close);
    }
}

impl Mail {
    fn rcpt(&mut self, data: &[u8]) -> Result<(), Fault> {
        let rcpt = texts(b'R', data)?.first().copied().and_then(address);
        // Who is beyond the bound gets the mail as all others, and no offer.
        match rcpt.filter(|_| self.to.len() < limits::ENVELOPE_RECIPIENTS) {
            Some(rcpt) => self.to.push(rcpt),
            None => self.others = true,
        }
        Ok(())
    }

    fn field(&mut self, data: &[u8], ours: &[Domain]) -> Result<(), Fault> {
        let [name, value] = *texts(b'L', data)?.as_slice() else { return Err(Fault::Data('L')) };
        self.answers = self.answers.or_else(|| sealed::named_in(value, ours));
        let lower = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
        if lower.starts_with(OURS) {
            // One name too many is counted, and says enough.
            if self.foreign.contains_key(&lower) || self.foreign.len() <= FOREIGN_NAMES {
                *self.foreign.entry(lower).or_default() += 1;
            }
            return Ok(());
        }
        if self.too_long || self.head.len() + name.len() + value.len() > limits::HEADER_BYTES {
            self.too_long = true;
            self.head = Vec::new();
            return Ok(());
        }
        self.head.extend_from_slice(name);
        self.head.extend_from_slice(b": ");
        // A fold comes as a bare LF; some clients say CRLF.
        let mut lines = value.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        self.head.extend_from_slice(lines.next().unwrap_or_default());
        for line in lines {
            self.head.extend_from_slice(b"\r\n");
            self.head.extend_from_slice(line);
        }
        self.head.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Keeps more of a reply, within its bound.
fn keep(kept: &mut Option<Vec<u8>>, data: &[u8]) {
    match kept {
        Some(bytes) if bytes.len() + data.len() <= limits::HEADER_BYTES + limits::MILTER_REPLY_BYTES => {
            bytes.extend_from_slice(data);
        }
        Some(_) | None => *kept = None,
    }
}

/// The login in a packet of macros, `{auth_authen}`; `None` where there is none.
fn login(data: &[u8]) -> Result<Option<String>, Fault> {
    let Some((_, macros)) = data.split_first().filter(|(_, macros)| !macros.is_empty()) else { return Ok(None) };
    let texts = texts(b'D', macros)?;
    let mut pairs = texts.chunks_exact(2).filter_map(|pair| <[&[u8]; 2]>::try_from(pair).ok());
    let value = pairs.find(|[name, _]| matches!(*name, b"{auth_authen}" | b"auth_authen")).map(|[_, value]| value);
    let text = value.and_then(|value| core::str::from_utf8(value).ok());
    Ok(text.filter(|text| !text.is_empty() && text.len() <= limits::SMTP_LINE_BYTES).map(str::to_owned))
}

/// `<local@domain>`; `None` for the null return path and for what is no address.
fn address(path: &[u8]) -> Option<Address> {
    let text = core::str::from_utf8(path).ok()?.trim();
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    Address::parse(inner).ok()
}

fn say(out: &mut Vec<Output>, command: u8, data: &[u8]) {
    if !matches!(out.last(), Some(Output::Say(_))) {
        out.push(Output::Say(Vec::new()));
    }
    if let Some(Output::Say(bytes)) = out.last_mut() {
        write(bytes, command, data);
    }
}
