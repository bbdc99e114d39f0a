//! One connection of Dovecot's dict protocol, the server's side, without I/O: bytes and the node's answers go in; replies
//! and questions come out.
//!
//! ```text
//!   ──▶ Greeting ── H ──▶ Ready ── L, I, C, D ──▶ Asking ── answer ──▶ Ready
//!                           └─ B, S, U, A, T, V, R: kept until C     any ── what is no dict client's ──▶ Closed
//! ```
//!
//! At most one question is open; what comes meanwhile waits, bounded, and is answered in order. Who asks is what each
//! request says: whoever may write to the socket speaks for every user, as with Dovecot's own dict server. Keys that
//! aren't ours are not found, and can't be set.
//!
//! Spoken: versions 3 (Dovecot 2.3) and 4 (Dovecot 2.4). A client of 3.1 and later, and of 4, may be answered in any
//! order, so each of its requests gets a number first: `*7`, then `+7<TAB>reply`. Sockets and time are the
//! [server](super::server)'s.

use std::collections::BTreeMap;
use std::mem;

use postline_core::limits;

use super::key::{Key, Place};
use super::line::{Lines, escape, fields};

/// The name under which Dovecot asks for us: the last part of `proxy:/run/postline/dict:postline`.
pub const DICT: &str = "postline";

/// What a session is told.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Bytes came.
    Bytes(&'a [u8]),
    /// The answer to the open question.
    Answer(Answer),
}

/// What a session wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes.
    Say(Vec<u8>),
    /// Ask the node, and bring the answer. Always the last of a step.
    Ask(Question),
    /// Close: the other end is no dict client that we know. Always the last of all.
    Close(DictFault),
}

/// What a session asks the node. The user is as Dovecot names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What stands under a key?
    Look {
        /// Who asks.
        user: String,
        /// Which key.
        key: Key,
    },
    /// Which keys does the user have?
    List {
        /// Who asks.
        user: String,
        /// Most keys that are wanted.
        most: usize,
    },
    /// Do all of this, or say why not.
    Change {
        /// Who wants it.
        user: String,
        /// What, in order; at most [`DICT_CHANGES`](limits::DICT_CHANGES).
        changes: Vec<Change>,
    },
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A value is set.
    Set(Key, String),
    /// What stands there is to go.
    Unset(Key),
}

/// What the node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This value stands there.
    Found(String),
    /// Nothing does.
    Missing,
    /// These keys are there.
    Keys(Vec<Key>),
    /// It is done.
    Done,
    /// It can't be, for this reason.
    Refused(String),
    /// It may be done or not: it took too long.
    Uncertain,
}

/// Why the other end is no dict client that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictFault {
    /// Its first line is no greeting.
    #[error("the first line is no greeting of a dict client")]
    NoGreeting,
    /// It speaks another version.
    #[error("dict protocol {0}, want 3 or 4")]
    Version(u32),
    /// It wants a dict that isn't ours.
    #[error("asks for a dict that is not called {DICT}")]
    Name,
    /// A line is longer than any may be.
    #[error("a line of more than {max} bytes", max = limits::DICT_LINE_BYTES)]
    Line,
    /// It says more than it may before it hears an answer.
    #[error("more than {max} bytes before an answer", max = BACKLOG_BYTES)]
    Backlog,
    /// A command that isn't one.
    #[error("unknown command 0x{0:02x}")]
    Command(u8),
    /// A command without the fields that it has, or with others.
    #[error("malformed command {0}")]
    Fields(char),
    /// A transaction that is open already.
    #[error("transaction {0} begins twice")]
    Twice(u32),
    /// A transaction that isn't open.
    #[error("no transaction {0}")]
    NoTransaction(u32),
    /// More transactions than may be open.
    #[error("more than {max} open transactions", max = limits::DICT_TRANSACTIONS)]
    Transactions,
}

/// The caller brought an answer that nobody waits for, or that answers something else. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer that the session did not ask for")]
pub struct Unasked;

/// Most bytes that wait: a line that comes in pieces, and as much behind it.
const BACKLOG_BYTES: usize = 2 * limits::DICT_LINE_BYTES;

/// One connection.
#[derive(Debug, Default)]
pub struct Session {
    phase: Phase,
    /// Whether requests get numbers.
    numbered: bool,
    /// The last number.
    number: u32,
    lines: Lines,
    transactions: BTreeMap<u32, Transaction>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Greeting,
    Ready,
    Asking(Asked),
    Closed,
}

/// What the answer is for.
#[derive(Debug)]
enum Asked {
    Look { number: u32 },
    List { number: u32, root: String, filter: Filter },
    Commit { number: u32, transaction: u32, asynchronous: bool },
}

/// Which keys an iteration wants.
#[derive(Debug)]
struct Filter {
    path: String,
    flags: u32,
}

/// The flags of an iteration that change what is answered.
const RECURSE: u32 = 0x01;
const EXACT: u32 = 0x10;

#[derive(Debug, Default)]
struct Transaction {
    user: String,
    changes: Vec<Change>,
    /// Why it can't be committed, where it can't.
    refused: Option<&'static str>,
}

impl Session {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes to read next: none while a question is open, so that a client that says too much waits.
    #[must_use]
    pub const fn appetite(&self) -> usize {
        match self.phase {
            Phase::Greeting | Phase::Ready => limits::DICT_LINE_BYTES,
            Phase::Asking(_) | Phase::Closed => 0,
        }
    }

    /// Takes one input.
    ///
    /// # Errors
    /// [`Unasked`] where the caller brings an answer that nothing waits for. Nothing that a client sends is an error.
    pub fn step(&mut self, input: Input<'_>, out: &mut Vec<Output>) -> Result<(), Unasked> {
        match input {
            Input::Bytes(bytes) => {
                if !matches!(self.phase, Phase::Closed) {
                    self.lines.push(bytes);
                }
            }
            Input::Answer(answer) => {
                if !matches!(&self.phase, Phase::Asking(asked) if asked.takes(&answer)) {
                    return Err(Unasked);
                }
                if let Phase::Asking(asked) = mem::replace(&mut self.phase, Phase::Ready) {
                    self.reply(asked, answer, out);
                }
            }
        }
        self.run(out);
        Ok(())
    }

    /// Answers lines until a question is open, or none is left.
    fn run(&mut self, out: &mut Vec<Output>) {
        while matches!(self.phase, Phase::Greeting | Phase::Ready) {
            let Some(line) = self.lines.next() else { break };
            let done = if line.len() > limits::DICT_LINE_BYTES { Err(DictFault::Line) } else { self.hear(&line, out) };
            if let Err(fault) = done {
                return self.close(fault, out);
            }
        }
        match self.phase {
            Phase::Greeting | Phase::Ready if self.lines.len() > limits::DICT_LINE_BYTES => {
                self.close(DictFault::Line, out);
            }
            Phase::Asking(_) if self.lines.len() > BACKLOG_BYTES => self.close(DictFault::Backlog, out),
            Phase::Greeting | Phase::Ready | Phase::Asking(_) | Phase::Closed => {}
        }
    }

    fn close(&mut self, fault: DictFault, out: &mut Vec<Output>) {
        self.phase = Phase::Closed;
        self.lines.clear();
        self.transactions.clear();
        out.push(Output::Close(fault));
    }

    fn hear(&mut self, line: &[u8], out: &mut Vec<Output>) -> Result<(), DictFault> {
        let Some((&command, rest)) = line.split_first() else { return Err(DictFault::Command(b'\n')) };
        // What is no text names no user, no key of ours, and nothing that can be set.
        let texts: Vec<String> = fields(rest).map(|field| String::from_utf8(field).unwrap_or_default()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        if matches!(self.phase, Phase::Greeting) {
            return self.greeting(command, &texts);
        }
        let malformed = DictFault::Fields(char::from(command));
        match (command, texts.as_slice()) {
            (b'L', &[key, ref rest @ ..]) => self.look(key, rest.first().copied().unwrap_or_default(), out),
            (b'I', &[flags, most, path, ref rest @ ..]) => {
                let (Ok(flags), Ok(most)) = (flags.parse(), most.parse::<u64>()) else { return Err(malformed) };
                self.list(flags, most, path, rest.first().copied().unwrap_or_default(), out);
            }
            (b'B', &[id, ref rest @ ..]) => {
                return self.begin(number(id, malformed)?, rest.first().copied().unwrap_or_default());
            }
            (b'C' | b'D', &[id]) => return self.commit(number(id, malformed)?, command == b'D', out),
            (b'R', &[id]) => {
                let id = number(id, malformed)?;
                self.transactions.remove(&id).ok_or(DictFault::NoTransaction(id))?;
            }
            (b'S', &[id, key, value]) => self.open(id, malformed)?.set(key, value),
            (b'U', &[id, key]) => self.open(id, malformed)?.unset(key),
            (b'A', &[id, _key, diff]) if diff.parse::<i64>().is_ok() => {
                self.open(id, malformed)?.refused = Some("no number is kept here");
            }
            // When it was set, and whether it may be logged, change nothing here.
            (b'T', &[id, _, _]) | (b'V', &[id, _]) => {
                self.open(id, malformed)?;
            }
            (b'L' | b'I' | b'B' | b'C' | b'D' | b'R' | b'S' | b'U' | b'A' | b'T' | b'V', _) => return Err(malformed),
            (other, _) => return Err(DictFault::Command(other)),
        }
        Ok(())
    }

    /// `H<major> <minor> <value type> <empty> <dict>`.
    fn greeting(&mut self, command: u8, texts: &[&str]) -> Result<(), DictFault> {
        let (b'H', &[major, minor, _, _, dict, ..]) = (command, texts) else { return Err(DictFault::NoGreeting) };
        let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else {
            return Err(DictFault::NoGreeting);
        };
        if !(3..=4).contains(&major) {
            return Err(DictFault::Version(major));
        }
        if dict != DICT {
            return Err(DictFault::Name);
        }
        self.numbered = major > 3 || minor >= 1;
        self.phase = Phase::Ready;
        Ok(())
    }

    fn look(&mut self, key: &str, user: &str, out: &mut Vec<Output>) {
        let number = self.begin_reply(out);
        match Key::parse(key) {
            Some(key) if !user.is_empty() => {
                self.phase = Phase::Asking(Asked::Look { number });
                out.push(Output::Ask(Question::Look { user: user.to_owned(), key }));
            }
            Some(_) | None => self.reply(Asked::Look { number }, Answer::Missing, out),
        }
    }

    fn list(&mut self, flags: u32, most: u64, path: &str, user: &str, out: &mut Vec<Output>) {
        let number = self.begin_reply(out);
        let bound = limits::DICT_ROWS;
        let most = if most == 0 { bound } else { usize::try_from(most).unwrap_or(bound).min(bound) };
        let root = Place::parse(path).map(|place| place.root.to_owned());
        let filter = Filter { path: path.to_owned(), flags };
        let asked = Asked::List { number, root: root.clone().unwrap_or_default(), filter };
        if root.is_some() && !user.is_empty() {
            self.phase = Phase::Asking(asked);
            out.push(Output::Ask(Question::List { user: user.to_owned(), most }));
        } else {
            self.reply(asked, Answer::Keys(Vec::new()), out);
        }
    }

    fn begin(&mut self, id: u32, user: &str) -> Result<(), DictFault> {
        if self.transactions.contains_key(&id) {
            return Err(DictFault::Twice(id));
        }
        if self.transactions.len() >= limits::DICT_TRANSACTIONS {
            return Err(DictFault::Transactions);
        }
        let refused = user.is_empty().then_some("nobody says who wants this");
        self.transactions.insert(id, Transaction { user: user.to_owned(), changes: Vec::new(), refused });
        Ok(())
    }

    fn commit(&mut self, id: u32, asynchronous: bool, out: &mut Vec<Output>) -> Result<(), DictFault> {
        let transaction = self.transactions.remove(&id).ok_or(DictFault::NoTransaction(id))?;
        let asked = Asked::Commit { number: self.begin_reply(out), transaction: id, asynchronous };
        let Transaction { user, changes, refused } = transaction;
        match refused {
            Some(why) => self.reply(asked, Answer::Refused(why.to_owned()), out),
            None if changes.is_empty() => self.reply(asked, Answer::Done, out),
            None => {
                self.phase = Phase::Asking(asked);
                out.push(Output::Ask(Question::Change { user, changes }));
            }
        }
        Ok(())
    }

    fn open(&mut self, id: &str, malformed: DictFault) -> Result<&mut Transaction, DictFault> {
        let id = number(id, malformed)?;
        self.transactions.get_mut(&id).ok_or(DictFault::NoTransaction(id))
    }

    /// Gives a request its number, where the client wants one.
    fn begin_reply(&mut self, out: &mut Vec<Output>) -> u32 {
        if self.numbered {
            // 0 is no number.
            self.number = self.number.checked_add(1).unwrap_or(1);
            say(out, format!("*{}\n", self.number).as_bytes());
        }
        self.number
    }

    fn reply(&self, asked: Asked, answer: Answer, out: &mut Vec<Output>) {
        match asked {
            Asked::Look { number } => {
                let mut reply = self.start(number);
                match answer {
                    Answer::Found(value) => {
                        reply.push(b'O');
                        escape(&mut reply, value.as_bytes());
                    }
                    Answer::Refused(why) => {
                        reply.push(b'F');
                        escape(&mut reply, why.as_bytes());
                    }
                    Answer::Missing | Answer::Keys(_) | Answer::Done | Answer::Uncertain => reply.push(b'N'),
                }
                end(out, reply);
            }
            Asked::List { number, root, filter } => {
                let mut last = self.start(number);
                match answer {
                    Answer::Keys(keys) => {
                        let keys = keys.iter().map(|key| format!("{root}{}", key.name()));
                        for key in keys.filter(|key| filter.wants(key)).take(limits::DICT_ROWS) {
                            let mut row = self.start(number);
                            row.push(b'O');
                            escape(&mut row, key.as_bytes());
                            // An empty value: what stands there, Dovecot asks for one by one.
                            row.push(b'\t');
                            end(out, row);
                        }
                    }
                    Answer::Refused(why) => {
                        last.push(b'F');
                        escape(&mut last, why.as_bytes());
                    }
                    Answer::Found(_) | Answer::Missing | Answer::Done | Answer::Uncertain => {}
                }
                end(out, last);
            }
            Asked::Commit { number, transaction, asynchronous } => {
                let mut reply = self.start(number);
                if asynchronous {
                    reply.push(b'A');
                }
                let (letter, why) = match answer {
                    Answer::Done => ('O', None),
                    Answer::Missing => ('N', None),
                    Answer::Refused(why) => ('F', Some(why)),
                    Answer::Uncertain => ('W', Some("no answer in time".to_owned())),
                    Answer::Found(_) | Answer::Keys(_) => ('F', None),
                };
                reply.extend_from_slice(format!("{letter}{transaction}").as_bytes());
                if let Some(why) = why {
                    reply.push(b'\t');
                    escape(&mut reply, why.as_bytes());
                }
                end(out, reply);
            }
        }
    }

    fn start(&self, number: u32) -> Vec<u8> {
        if self.numbered { format!("+{number}\t").into_bytes() } else { Vec::new() }
    }
}

impl Asked {
    /// Whether an answer is one to this.
    const fn takes(&self, answer: &Answer) -> bool {
        match answer {
            Answer::Refused(_) => true,
            Answer::Found(_) => matches!(self, Self::Look { .. }),
            Answer::Missing => matches!(self, Self::Look { .. } | Self::Commit { .. }),
            Answer::Keys(_) => matches!(self, Self::List { .. }),
            Answer::Done | Answer::Uncertain => matches!(self, Self::Commit { .. }),
        }
    }
}

impl Filter {
    fn wants(&self, key: &str) -> bool {
        if self.flags & EXACT != 0 {
            return key == self.path;
        }
        // Dovecot holds that every key begins with the path that it asked for, and dies of others.
        key.strip_prefix(&self.path).is_some_and(|rest| self.flags & RECURSE != 0 || !rest.contains('/'))
    }
}

impl Transaction {
    fn set(&mut self, key: &str, value: &str) {
        if value.len() > limits::DICT_VALUE_BYTES {
            self.refused = Some("the value is too long");
        } else {
            self.change(key, |key| Change::Set(key, value.to_owned()));
        }
    }

    fn unset(&mut self, key: &str) {
        self.change(key, Change::Unset);
    }

    fn change(&mut self, key: &str, change: impl FnOnce(Key) -> Change) {
        match Key::parse(key) {
            None => self.refused = Some("no such annotation is kept here"),
            Some(_) if self.changes.len() >= limits::DICT_CHANGES => self.refused = Some("too many changes at a time"),
            Some(key) => self.changes.push(change(key)),
        }
    }
}

fn number(text: &str, malformed: DictFault) -> Result<u32, DictFault> {
    text.parse().map_err(|_| malformed)
}

fn end(out: &mut Vec<Output>, mut line: Vec<u8>) {
    line.push(b'\n');
    say(out, &line);
}

/// Adds bytes to say, to those of the last output where nothing came between: one write for what belongs together.
fn say(out: &mut Vec<Output>, bytes: &[u8]) {
    match out.last_mut() {
        Some(Output::Say(said)) => said.extend_from_slice(bytes),
        _ => out.push(Output::Say(bytes.to_vec())),
    }
}
