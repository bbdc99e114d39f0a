//! `postline chat`: a device of a person in a terminal, by hand or by a script.
//!
//! ```text
//!   standard input ─▶ thread ─▶ lines ─▶ commands ─▶ device ─▶ events ─▶ standard output
//!   its end ─▶ wait until what was said is the node's ─▶ leave
//! ```
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many events, each command waits for its own")]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Read as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use postline_core::client::io::{Mark, Saying, To, Words};
use postline_core::client::{Command, Event};
use postline_core::content::message::Topic;
use postline_core::id::{Address, ContentId, ConversationId, Identity};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::args::OwnArgs;
use super::device::{Running, runtime, stopped, tell};
use super::search::{self, Asked};
use super::{Failure, show};
use crate::clock::Clock;
use crate::device::{HELP, Lasting, Said, parse};
use crate::shown::shown;
use crate::store::Query;

mod files;
mod mentions;

use files::{Next, Sending};
use mentions::mentioning;

/// The longest line that is read.
const LINE_BYTES: u64 = 256 * 1024;
/// Of how many messages it is remembered what they are called.
const SHOWN: usize = 4_096;
/// How long what was said may take to be the node's, once input has ended. What waits longer stays in the store.
const LAST_WORDS: Duration = Duration::from_secs(30);

pub(super) fn chat(peer: &Address, own: &OwnArgs, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut running = Running::start(own)?;
        let (peer, dir) = (peer.clone(), running.dir.clone());
        let (typed, said, shown) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let files = Sending::new(running.files.clone(), peer.clone());
        let clock = Clock::start();
        let mut chat =
            Chat { peer, identity: None, dir, talk: None, typed, said, shown, files, lasts: None, clock, json };
        let done = chat.run(&mut running, out).await;
        let ended = running.end().await;
        ended.and(done)
    })
}

struct Chat {
    peer: Address,
    /// Who the peer is, once that is known: by which they are mentioned.
    identity: Option<Identity>,
    /// The device's store, where what was said is looked for.
    dir: PathBuf,
    /// The conversation, once there is one.
    talk: Option<ConversationId>,
    /// The salts of what was typed here and isn't durable yet, with its thread.
    typed: BTreeMap<[u8; 16], Topic>,
    /// What was said here and isn't the node's yet, with its thread.
    said: BTreeMap<ContentId, Topic>,
    /// The names and threads of messages that were shown, by their places: the last of them.
    shown: BTreeMap<u64, (ContentId, Topic)>,
    files: Sending,
    /// How long what is said here lasts, where it isn't for as long as anybody likes.
    lasts: Option<Lasting>,
    clock: Clock,
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
                    Some(line) => {
                        // Whoever types is here: said only where somebody may see it.
                        device.commands.send(Command::Active).await.map_err(|_| stopped())?;
                        match self.typed(&line?, out)? {
                            Typed::Nothing => {}
                            Typed::Quit => until = Some(Instant::now() + LAST_WORDS),
                            Typed::Command(command) => device.commands.send(*command).await.map_err(|_| stopped())?,
                            Typed::Send(path, preview) => {
                                let next = self.files.send(path, preview).await;
                                self.goes_on(device, next, out).await?;
                            }
                            Typed::Preview(seq, dir) => {
                                for next in self.files.previews(seq, &dir).await {
                                    self.goes_on(device, next, out).await?;
                                }
                            }
                            Typed::Fetch(seq, dir) => {
                                for next in self.files.fetch(seq, &dir) {
                                    self.goes_on(device, next, out).await?;
                                }
                            }
                        }
                    }
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
            Event::Contact(contact) if contact.address == self.peer => self.identity = contact.identity,
            Event::Saying { id, salt, .. } => {
                if let Some(topic) = self.typed.remove(salt) {
                    self.said.insert(*id, topic);
                }
            }
            Event::Unsaid { salt, .. } => _ = self.typed.remove(salt),
            Event::Mark {
                id,
                seq,
                mark: Mark::Sent | Mark::Delivered | Mark::Read | Mark::Expired | Mark::Failed(_),
                ..
            } => {
                if let (Some(topic), Some(seq)) = (self.said.remove(id), seq) {
                    self.show(*seq, *id, topic);
                }
            }
            // What others say is heard too, and shown with its author.
            Event::Said(said) => {
                self.files.brings(said.seq, &said.author.address, &said.content);
                if said.author.address == self.peer {
                    self.talk = Some(said.conversation);
                }
                if self.talk == Some(said.conversation) {
                    self.show(said.seq, said.id, said.content.fields().topic.clone());
                }
            }
            Event::Changed(changed) if self.talk == Some(changed.conversation) => self.files.changed(changed),
            Event::Screen(screen) if self.talk == Some(screen.conversation) => {
                for message in &screen.messages {
                    let Words::Are { content, .. } = &message.now else { continue };
                    self.files.brings(message.seq, &message.author.address, content);
                    self.show(message.seq, message.id, content.fields().topic.clone());
                }
            }
            _ => {}
        }
        tell(event, self.json, out)
    }

    /// Remembers what a message is called, for who begins a thread at it.
    fn show(&mut self, seq: u64, id: ContentId, topic: Topic) {
        self.shown.insert(seq, (id, topic));
        if self.shown.len() > SHOWN {
            self.shown.pop_first();
        }
    }

    fn typed(&mut self, line: &str, out: &mut dyn Write) -> Result<Typed, Failure> {
        let command = match parse(line, &self.peer, self.talk) {
            Ok(Said::Nothing) => return Ok(Typed::Nothing),
            Ok(Said::Quit) => return Ok(Typed::Quit),
            Ok(Said::Send { path, preview }) => return Ok(Typed::Send(path, preview)),
            Ok(Said::Fetch { seq, dir }) => return Ok(Typed::Fetch(seq, dir)),
            Ok(Said::Preview { seq, dir }) => return Ok(Typed::Preview(seq, dir)),
            Ok(Said::Find(text)) => {
                self.find(&text, out)?;
                return Ok(Typed::Nothing);
            }
            Ok(Said::Help) => {
                if self.json {
                    show::json(out, &json!({ "event": "help", "text": HELP }))?
                } else {
                    writeln!(out, "{HELP}")?
                }
                out.flush()?;
                return Ok(Typed::Nothing);
            }
            Ok(Said::Thread { message, body, salt }) => {
                let Some((id, topic)) = self.shown.get(&message) else {
                    self.unsaid("want a message that was shown here; /history shows the last", out)?;
                    return Ok(Typed::Nothing);
                };
                let topic = if topic.is_none() { Topic::from_first(*id) } else { topic.clone() };
                let what = Saying::Message { body, answers: None, topic, expires: None };
                Command::Say { to: To::Person(self.peer.clone()), salt, what }
            }
            Ok(Said::Lasting(lasts)) => {
                self.lasts = lasts;
                self.tell_lasting(out)?;
                return Ok(Typed::Nothing);
            }
            Ok(Said::Ending { lasts, body, salt }) => {
                let expires = Some(lasts.expiry(self.clock.now().0));
                let what = Saying::Message { body, answers: None, topic: Topic::default(), expires };
                Command::Say { to: To::Person(self.peer.clone()), salt, what }
            }
            Ok(Said::Command(command)) => *command,
            Err(why) => {
                self.unsaid(&why.to_string(), out)?;
                return Ok(Typed::Nothing);
            }
        };
        Ok(Typed::Command(Box::new(self.salted(command)?)))
    }

    /// What is said gets a salt by which it is known until it has an id.
    fn salted(&mut self, command: Command) -> Result<Command, Failure> {
        let Command::Say { to, salt, mut what } = command else { return Ok(command) };
        if let Saying::Message { expires: expires @ None, .. } = &mut what {
            *expires = self.lasts.map(|lasts| lasts.expiry(self.clock.now().0));
        }
        let salt = match salt {
            Some(salt) => salt,
            None => fresh()?,
        };
        let topic = if let Saying::Message { topic, .. } = &what { topic.clone() } else { Topic::default() };
        self.typed.insert(salt, topic);
        let what = mentioning(what, &self.peer, self.identity);
        Ok(Command::Say { to, salt: Some(salt), what })
    }

    fn find(&self, text: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let query = match Query::parse(text) {
            Ok(query) => query,
            Err(why) => return self.unsaid(&why.to_string(), out),
        };
        match search::look(&self.dir, &Asked { query, with: Some(self.peer.clone()), most: search::MOST }) {
            Ok(found) => search::tell(&found, self.json, out),
            Err(why) => self.unsaid(&why.to_string(), out),
        }
    }

    /// How long what is said here lasts from now on.
    fn tell_lasting(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let text = self.lasts.map(Lasting::text);
        if self.json {
            show::json(out, &json!({ "event": "lasting", "text": text }))?;
        } else {
            let text = text.map_or_else(|| "is not forgotten".to_owned(), |text| format!("is forgotten {text}"));
            writeln!(out, "* what is said here from now on {text}")?;
        }
        Ok(out.flush()?)
    }

    /// What was typed is not done.
    fn unsaid(&self, why: &str, out: &mut dyn Write) -> Result<(), Failure> {
        if self.json {
            show::json(out, &json!({ "event": "unsaid", "why": why }))?;
        } else {
            writeln!(out, "! {}", shown(why, 1_024))?;
        }
        Ok(out.flush()?)
    }
}

enum Typed {
    Nothing,
    Quit,
    Command(Box<Command>),
    Send(PathBuf, Option<PathBuf>),
    Fetch(u64, PathBuf),
    Preview(u64, PathBuf),
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
