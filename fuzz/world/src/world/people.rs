//! What people do: they write, answer, forward, go on holiday, block and think again.

use std::collections::BTreeSet;

use postline_core::content::mail::{Rcpt, Source};
use postline_core::id::{Address, Mailbox, Pair};
use postline_core::server::{Command, Input};

use super::{Awaiting, Happening, Touch, World};
use crate::bytes::{Draft, field_text, mail_in, mailbox_of};

/// What a person does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Writes a mail of this size.
    Write(Address, Vec<Address>, usize),
    /// Answers a mail in their mailbox, the nth modulo how many there are; to its author, or to all.
    Answer(Address, u64, bool),
    /// Answers the last mail that this correspondent wrote to them.
    AnswerTo(Address, Address),
    /// Has a program answer a mail in their mailbox.
    Vacation(Address, u64),
    /// Sends a mail in their mailbox on to somebody.
    Forward(Address, Address, u64),
    /// Blocks, or unblocks.
    Block(Pair, bool),
    /// An operator tries what waits.
    Retry(usize),
    /// Does something with a device of theirs, the nth modulo how many there are.
    Touch(Address, u64, Touch),
}

/// A mail as somebody reads it.
struct Read {
    from: Address,
    all: Vec<Address>,
    id: String,
}

impl World {
    /// Everybody who has a mailbox.
    #[must_use]
    pub fn people(&self) -> Vec<Address> {
        let of = |node: &crate::node::Node| {
            let address = |name: &Mailbox| {
                let domain = node.lives.get(name).unwrap_or(&node.domain);
                Address::parse(&format!("{name}@{domain}")).ok()
            };
            node.users.iter().filter_map(address).collect::<Vec<_>>()
        };
        let nodes = self.nodes.iter().enumerate().filter(|(index, _)| !self.is_twin(*index));
        nodes.flat_map(|(_, node)| of(node)).collect()
    }

    pub(super) fn deed(&mut self, deed: Deed) {
        self.trace.note(self.now, format_args!("{deed:?}"));
        match deed {
            Deed::Write(from, to, size) => {
                let draft = Draft::new(&from, &to, &self.name());
                self.write_as(&if size > 100 { draft.of_size(size) } else { draft }, None);
            }
            Deed::Answer(who, nth, all) => {
                if let Some(read) = self.reads(&who, nth) {
                    self.answer(&who, &read, all);
                }
            }
            Deed::AnswerTo(who, whom) => {
                let last = self.mailbox(&who).rfind(|mail| Read::of(mail).is_some_and(|read| read.from == whom));
                if let Some(read) = last.and_then(|mail| Read::of(mail)) {
                    self.answer(&who, &read, false);
                }
            }
            Deed::Vacation(who, nth) => {
                if let Some(read) = self.reads(&who, nth).filter(|read| read.from != who) {
                    let to = std::slice::from_ref(&read.from);
                    let draft = Draft::new(&who, to, &self.name()).answering(&read.id).automatic();
                    self.hand_in(&draft);
                }
            }
            Deed::Forward(who, to, nth) => {
                if let Some(read) = self.reads(&who, nth) {
                    let mut draft = Draft::new(&who, &[to], &self.name());
                    draft.more = format!("References: <{}>\r\n", read.id);
                    // Sent on to its own author, it is an answer.
                    self.write_as(&draft, Some(&read.from));
                }
            }
            Deed::Block(pair, blocks) => {
                if let Some(node) = self.home(&pair.ours) {
                    self.command(node, if blocks { Command::Block(pair) } else { Command::Unblock(pair) });
                }
            }
            Deed::Retry(node) => self.command(node, Command::Retry(None)),
            Deed::Touch(who, nth, touch) => self.touch(&who, nth, touch),
        }
    }

    /// A mail is handed in at its author's node.
    pub(super) fn hand_in(&mut self, draft: &Draft) {
        let Some(node) = self.home(&draft.from) else { return };
        let to: Vec<Rcpt> = self.rcpts(node, &draft.to);
        let ours = |rcpt: &Rcpt| self.home(&rcpt.address) == Some(node);
        // A server refuses at once whom it doesn't know among its own.
        let to: Vec<Rcpt> = to.iter().filter(|rcpt| rcpt.mailbox.is_some() || !ours(rcpt)).cloned().collect();
        if to.is_empty() || self.nodes.get(node).is_none_or(|node| node.server.is_none()) {
            return;
        }
        let bytes = draft.bytes();
        let source = Source::User { login: mailbox_of(&draft.from), author: Some(draft.from.clone()) };
        let rcpts = to.iter().map(|rcpt| rcpt.address.clone()).collect();
        self.ledger.handed_in(&draft.message_id, Some(node), Some(draft.from.clone()), rcpts);
        for mailbox in to.iter().filter_map(|rcpt| rcpt.mailbox.clone()).collect::<BTreeSet<_>>() {
            self.ledger.arrived(&draft.message_id, node, &mailbox, false);
        }
        let mail = mail_in(&bytes, source, Some(draft.from.clone()), to);
        let id = self.mail_id();
        self.awaiting.insert(id, (node, Awaiting::Author(draft.message_id.clone())));
        let troubles = Some(self.troubles_of(node));
        let input = Box::new(Input::Mail(id, mail));
        self.at(0, Happening::Step { node, troubles, input, body: Some(bytes) });
    }

    fn answer(&mut self, who: &Address, read: &Read, all: bool) {
        let mut to = vec![read.from.clone()];
        if all {
            to.extend(read.all.iter().filter(|rcpt| *rcpt != who && **rcpt != read.from).cloned());
        }
        if to.first() != Some(who) {
            let draft = Draft::new(who, &to, &self.name()).answering(&read.id);
            self.write_as(&draft, Some(&read.from));
        }
    }

    /// A person writes by hand.
    pub fn write(&mut self, draft: &Draft) {
        let answered = draft.in_reply_to.as_ref().and_then(|id| self.ledger.mails.get(id));
        let answers = answered.and_then(|mail| mail.author.clone());
        self.write_as(draft, answers.as_ref());
    }

    /// A person writes by hand, perhaps in answer to somebody; a program of theirs is not a person.
    pub fn write_as(&mut self, draft: &Draft, answers: Option<&Address>) {
        let up = self.home(&draft.from).and_then(|home| self.nodes.get(home)).is_some_and(|node| node.server.is_some());
        if up && !draft.is_automatic() {
            self.ledger.wrote(&draft.from, &draft.to, answers);
        }
        self.hand_in(draft);
    }

    fn name(&mut self) -> String {
        self.next_mail += 1;
        format!("m{}", self.next_mail)
    }

    fn mailbox(&self, who: &Address) -> impl DoubleEndedIterator<Item = &Vec<u8>> {
        let name = mailbox_of(who);
        let node = self.home(who).and_then(|home| self.nodes.get(home));
        let here = node.into_iter().flat_map(|node| node.shelf.iter().map(move |on| (node, on)));
        here.filter(move |(_, (mailbox, _))| *mailbox == name)
            .filter_map(|(node, (mailbox, mail))| node.mailboxes.get(mailbox)?.get(mail))
    }

    fn reads(&self, who: &Address, nth: u64) -> Option<Read> {
        let count = self.mailbox(who).count() as u64;
        let nth = usize::try_from(nth.checked_rem(count)?).ok()?;
        Read::of(self.mailbox(who).nth(nth)?)
    }
}

impl Read {
    fn of(mail: &[u8]) -> Option<Self> {
        let one = |text: &str| {
            let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
            Address::parse(inner.trim()).ok()
        };
        let from = one(&field_text(mail, "from")?)?;
        let all = field_text(mail, "to")?.split(',').filter_map(one).collect();
        let id = field_text(mail, "message-id")?.trim_matches(['<', '>']).to_owned();
        Some(Self { from, all, id })
    }
}
