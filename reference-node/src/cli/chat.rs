//! `postline chat`: a device of a person in a terminal, by hand or by a script.
//!
//! ```text
//!   standard input ─▶ thread ─▶ lines ─▶ commands ─▶ device ─▶ events ─▶ standard output
//!   its end ─▶ wait until what was said is the node's ─▶ leave
//! ```
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many events, each command waits for its own")]

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, Read as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use postline_core::client::io::Mark;
use postline_core::client::{Command, Event};
use postline_core::id::{Address, ContentId, ConversationId};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::args::OwnArgs;
use super::device::{Running, runtime, stopped, tell};
use super::{Failure, show};
use crate::device::{HELP, Said, parse};

mod files;

use files::{Next, Sending};

/// The longest line that is read.
const LINE_BYTES: u64 = 256 * 1024;
/// How long what was said may take to be the node's, once input has ended. What waits longer stays in the store.
const LAST_WORDS: Duration = Duration::from_secs(30);

pub(super) fn chat(peer: &Address, own: &OwnArgs, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut running = Running::start(own)?;
        let files = Sending::new(running.files.clone(), peer.clone());
        let (typed, said) = (BTreeSet::new(), BTreeSet::new());
        let mut chat = Chat { peer: peer.clone(), talk: None, typed, said, files, json };
        let done = chat.run(&mut running, out).await;
        let ended = running.end().await;
        ended.and(done)
    })
}

struct Chat {
    peer: Address,
    /// The conversation, once there is one.
    talk: Option<ConversationId>,
    /// The salts of what was typed here and isn't durable yet.
    typed: BTreeSet<[u8; 16]>,
    /// What was said here and isn't the node's yet.
    said: BTreeSet<ContentId>,
    files: Sending,
    json: bool,
}

impl Chat {
    async fn run(&mut self, device: &mut Running, out: &mut dyn Write) -> Result<(), Failure> {
        let mut lines = lines()?;
        device.commands.send(Command::Connect).await.map_err(|_| stopped())?;
        let mut until: Option<Instant> = None;
        loop {
            if until.is_some() && self.typed.is_empty() && self.said.is_empty() && self.files.is_idle() {
                return Ok(());
            }
            let late = until.unwrap_or_else(|| Instant::now() + LAST_WORDS);
            tokio::select! {
                event = device.events.recv() => match event {
                    Some(event) => {
                        self.heard(&event, out)?;
                        if matches!(event, Event::File { .. }) {
                            // As long as something comes of it, it isn't late.
                            until = until.map(|_| Instant::now() + LAST_WORDS);
                        }
                        let next = self.files.heard(&event).await;
                        self.goes_on(device, next, out).await?;
                    }
                    None => return Err(stopped()),
                },
                line = lines.recv(), if until.is_none() => match line {
                    Some(line) => match self.typed(&line?, out)? {
                        Typed::Nothing => {}
                        Typed::Quit => until = Some(Instant::now() + LAST_WORDS),
                        Typed::Command(command) => device.commands.send(*command).await.map_err(|_| stopped())?,
                        Typed::Send(path) => {
                            let next = self.files.send(path).await;
                            self.goes_on(device, next, out).await?;
                        }
                        Typed::Fetch(seq, dir) => {
                            for next in self.files.fetch(seq, &dir) {
                                self.goes_on(device, next, out).await?;
                            }
                        }
                    },
                    None => until = Some(Instant::now() + LAST_WORDS),
                },
                () = sleep_until(late), if until.is_some() => {
                    return Err(Failure::Part("what was said last waits in the store: the node can't be reached".into()));
                }
            }
        }
    }

    /// Does what follows from something about files.
    async fn goes_on(&mut self, device: &Running, next: Next, out: &mut dyn Write) -> Result<(), Failure> {
        match next {
            Next::Nothing => Ok(()),
            Next::Do(command) => {
                let command = self.salted(command)?;
                device.commands.send(command).await.map_err(|_| stopped())
            }
            Next::Show(what) if self.json => {
                show::json(out, &what)?;
                Ok(out.flush()?)
            }
            Next::Show(what) => {
                let text = what.get("why").or_else(|| what.get("path")).and_then(|text| text.as_str());
                let sign = if what.get("why").is_some() { "!" } else { "* saved:" };
                writeln!(out, "{sign} {}", crate::shown::shown(text.unwrap_or_default(), 1_024))?;
                Ok(out.flush()?)
            }
        }
    }

    fn heard(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), Failure> {
        match event {
            Event::Conversation(conversation) if conversation.with.contains(&self.peer) => {
                self.talk = Some(conversation.id);
            }
            Event::Saying { id, salt, .. } if self.typed.remove(salt) => _ = self.said.insert(*id),
            Event::Unsaid { salt, .. } => _ = self.typed.remove(salt),
            Event::Mark {
                id,
                mark: Mark::Sent | Mark::Delivered | Mark::Read | Mark::Expired | Mark::Failed(_),
                ..
            } => {
                self.said.remove(id);
            }
            // What others say is heard too, and shown with its author.
            Event::Said(said) => {
                self.files.said(said);
                if said.author.address == self.peer {
                    self.talk = Some(said.conversation);
                }
            }
            _ => {}
        }
        tell(event, self.json, out)
    }

    fn typed(&mut self, line: &str, out: &mut dyn Write) -> Result<Typed, Failure> {
        let command = match parse(line, &self.peer, self.talk) {
            Ok(Said::Nothing) => return Ok(Typed::Nothing),
            Ok(Said::Quit) => return Ok(Typed::Quit),
            Ok(Said::Send(path)) => return Ok(Typed::Send(path)),
            Ok(Said::Fetch { seq, dir }) => return Ok(Typed::Fetch(seq, dir)),
            Ok(Said::Help) => {
                if self.json {
                    show::json(out, &json!({ "event": "help", "text": HELP }))?
                } else {
                    writeln!(out, "{HELP}")?
                }
                out.flush()?;
                return Ok(Typed::Nothing);
            }
            Ok(Said::Command(command)) => *command,
            Err(why) => {
                let why = why.to_string();
                if self.json {
                    show::json(out, &json!({ "event": "unsaid", "why": why }))?;
                } else {
                    writeln!(out, "! {why}")?;
                }
                out.flush()?;
                return Ok(Typed::Nothing);
            }
        };
        Ok(Typed::Command(Box::new(self.salted(command)?)))
    }

    /// What is said gets a salt by which it is known until it has an id.
    fn salted(&mut self, command: Command) -> Result<Command, Failure> {
        let Command::Say { to, salt, what } = command else { return Ok(command) };
        let salt = match salt {
            Some(salt) => salt,
            None => fresh()?,
        };
        self.typed.insert(salt);
        Ok(Command::Say { to, salt: Some(salt), what })
    }
}

enum Typed {
    Nothing,
    Quit,
    Command(Box<Command>),
    Send(PathBuf),
    Fetch(u64, PathBuf),
}

/// A salt that nothing had before.
fn fresh() -> Result<[u8; 16], Failure> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| Failure::Part("no randomness".into()))?;
    Ok(salt)
}

/// The lines of standard input, read on a thread of its own: reading there can't be cancelled.
fn lines() -> Result<mpsc::Receiver<io::Result<String>>, Failure> {
    let (tell, told) = mpsc::channel(16);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = String::new();
            let read = match input.by_ref().take(LINE_BYTES).read_line(&mut line) {
                Ok(0) => return,
                Ok(_) => Ok(line),
                Err(why) => Err(why),
            };
            let last = read.is_err();
            if tell.blocking_send(read).is_err() || last {
                return;
            }
        }
    })?;
    Ok(told)
}
