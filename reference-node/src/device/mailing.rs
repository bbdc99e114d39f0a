//! What is said to a person whose node runs their device, put into their mailbox as a mail.
//!
//! ```text
//!   Said ─▶ a mail, written with the step that heard it ─▶ the owner, until it has it ─▶ mailbox
//!                    └── a crash: handed in again, under the same id: shown once
//! ```
//!
//! One mail a message.

use std::collections::BTreeSet;
use std::sync::Arc;

use postline_codec::mime;
use postline_codec::mime::sealed::{self, Said};
use postline_core::client::{Event, Output};
use postline_core::content::mail::{MailEnvelope, MailIn, Rcpt, Source};
use postline_core::content::markdown::named;
use postline_core::content::part::{Part, Words};
use postline_core::id::{Address, MailId};
use postline_core::server::Took;
use postline_core::step::{Outbox, Store as _};
use postline_core::store::{Key, Record, sha256};
use postline_core::wire::content::Content;
use tokio::sync::oneshot;

use crate::directory::{Live, Resolved};
use crate::owner::{Answer, Inbox, Message};
use crate::spool::{Incoming, Spool, Staged};
use crate::store::{Store, StoreError};

/// How many mails are removed in one commit.
const AT_ONCE: usize = 64;

/// What is said to a person goes on by mail.
pub struct Mailing {
    reader: Address,
    people: Arc<Live>,
    spool: Spool,
    inbox: Inbox,
    /// Those that wait.
    waiting: BTreeSet<Key>,
}

/// What stands for something said without words: a file, a place.
const NO_WORDS: &str = "(Something came that this mail program can't show. Add a device to see it.)";

/// The words of a content as a mail has them: a mention is a name.
fn words(content: &Content) -> Option<String> {
    let parts = content.fields().body.walk();
    parts.into_iter().find_map(Part::words).map(|words| match words {
        Words::Plain(text) => text.to_owned(),
        Words::Markdown(text) => named(text),
    })
}

impl Mailing {
    /// Into the mailbox of `reader`, through the owner of this inbox.
    #[must_use]
    pub const fn new(reader: Address, people: Arc<Live>, spool: Spool, inbox: Inbox) -> Self {
        Self { reader, people, spool, inbox, waiting: BTreeSet::new() }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Looks up what waits.
    pub(super) fn begin(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let found = store.scan("mailing/", "", usize::MAX)?;
        for key in &found.damaged {
            tracing::error!(key, "record damaged, set aside");
        }
        self.waiting = found.records.into_iter().map(|record| record.key).collect();
        Ok(())
    }

    /// Makes mails of what a batch says that others have said.
    pub(super) fn write(&mut self, out: &mut Outbox<Output>) {
        let said = out.effects().filter_map(|effect| {
            let Output::Event(Event::Said(said)) = effect else { return None };
            let (conversation, seq) = (said.conversation, said.seq);
            let (author, reader, at) = (&said.author.address, &self.reader, said.at);
            let body = words(&said.content).unwrap_or_else(|| NO_WORDS.to_owned());
            let body = body.as_bytes();
            let mail = || sealed::render(&Said { conversation, seq, author, reader, at, body });
            (!said.author.own).then(|| Record::put(Key::Mailing(conversation, seq), mail()))
        });
        for record in said.collect::<Vec<_>>() {
            self.waiting.insert(record.key.clone());
            out.save(record);
        }
    }

    /// Hands in what waits, in its order, until the node takes no more.
    pub(super) async fn post(&mut self, store: &mut Store) -> Result<(), StoreError> {
        while !self.waiting.is_empty() {
            let (mut done, mut goes_on) = (Vec::new(), true);
            for key in self.waiting.iter().take(AT_ONCE) {
                let found = store.get(key)?;
                goes_on = match found.and_then(|record| record.value) {
                    Some(mail) => self.hand_in(key, &mail).await,
                    None => true,
                };
                if !goes_on {
                    break;
                }
                done.push(Record::remove(key.clone()));
            }
            if !done.is_empty() {
                let _durable = store.commit(&done)?;
            }
            for record in &done {
                self.waiting.remove(&record.key);
            }
            if !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands one in: whether it is the node's now.
    async fn hand_in(&self, key: &Key, bytes: &[u8]) -> bool {
        let Resolved::Local(mailbox) = self.people.current().resolve(&self.reader) else {
            tracing::warn!(reader = %self.reader, "nobody has this address any more: what is said to it waits");
            return false;
        };
        let staged = match self.stage(bytes) {
            Ok(staged) => staged,
            Err(why) => {
                tracing::error!(%why, "a mail of what was said can't be written, and waits");
                return false;
            }
        };
        let name = sha256(&[
            b"postline/1 hosted mail\0",
            self.reader.to_string().as_bytes(),
            b"\0",
            key.to_string().as_bytes(),
        ]);
        let mut id = [0; MailId::LEN];
        id.copy_from_slice(name.0.split_at(MailId::LEN).0);
        let to = vec![Rcpt { address: self.reader.clone(), mailbox: Some(mailbox) }];
        let mail = MailIn {
            source: Source::Hosted,
            // Nobody answers what no mail server sent: no report of a failure, no notice of an absence.
            envelope: MailEnvelope { from: None, to },
            head: mime::scan(bytes),
            blob: staged.blob,
            received: String::new(),
        };
        let (answer, answered) = oneshot::channel();
        if self.inbox.send(Message::Mail(MailId(id), Box::new(mail), staged, answer)).await.is_err() {
            return false;
        }
        matches!(answered.await, Ok(Answer::Took(Took::Yes)))
    }

    fn stage(&self, bytes: &[u8]) -> std::io::Result<Staged> {
        let mut incoming = Incoming::new(&self.spool);
        incoming.write(bytes)?;
        incoming.finish()
    }
}
