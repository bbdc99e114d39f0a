//! Mail that the server beside us keeps: stamped before it is queued there, and taken over where a line is faster.
//!
//! ```text
//!   Filter ──▶ trust: offer, accept ──▶ Stamp, signed with our id; nothing is queued
//!   Relay ───▶ our own id, over these very bytes? ─ yes ─▶ who has a line: the node's lane ─▶ TookFor(those)
//!                                                 └ no ──▶ TookFor(nobody): it goes on as mail
//! ```
//!
//! The id that the stamp carries is what makes a mail its author's when it comes back: we sign it only for the login that
//! owns the From, and the fields that users bring are taken off. Spec: `spec/04-express-mail.md`, [E-12].

use super::Server;
use super::arrivals::unique;
use super::here::HERE;
use super::io::{Carrier, Event, Output};
use crate::content::mail::{FieldName, Filtered, Letter, MailIn, Text};
use crate::fault::Misuse;
use crate::id::{Address, Lane, MailId, Mailbox, NodeKey, Pair};
use crate::limits;
use crate::machine::queue::{Entry, Express, Origin};
use crate::machine::trust::Trust;
use crate::seal;
use crate::step::{Outbox, Tick};
use crate::wire::field::Carried;

impl Server {
    /// A user's mail wants our fields; whoever asks keeps it.
    pub(super) fn filter(
        &mut self,
        tick: &Tick,
        id: MailId,
        mail: &Filtered,
        out: &mut Outbox<Output>,
    ) -> Result<(), Misuse> {
        let (got, max) = (mail.to.len(), limits::ENVELOPE_RECIPIENTS);
        if got > max {
            return Err(Misuse::Recipients { got, max });
        }
        let canonical = &mail.canonical;
        self.wrote_here(tick, id, &canonical.from, canonical, &mail.to, out);
        let mut lines = self.fields_for(tick, &canonical.from, canonical, &mail.to, out);
        let express = Express { to_cc: canonical.to_cc.clone(), content: canonical.content };
        lines.push(self.carried_line(tick, id, &canonical.from, &express));
        let has = |field: &FieldName| lines.iter().any(|line| line.starts_with(field.as_str()));
        let fields = [FieldName::Offer, FieldName::Accept, FieldName::Id].into_iter().filter(has).collect();
        let message_id = canonical.message_id.clone();
        out.emit(Output::Event(Event::Stamped { mail: id, message_id, fields }));
        out.emit(Output::Stamp(id, lines));
        Ok(())
    }

    /// A mail comes back from the server that kept it: takes it for those who have a line, and gives them.
    ///
    /// On the lane it bears the id that it was stamped with, so that its copies are known whichever way they go, and a
    /// mail that is brought twice goes once.
    pub(super) fn relayed(
        &mut self,
        tick: &Tick,
        mail: &MailIn,
        sender: Option<Mailbox>,
        out: &mut Outbox<Output>,
    ) -> Vec<Address> {
        let (Some((id, author)), Some(sender)) = (self.authored(tick, mail), sender) else { return Vec::new() };
        let mut taken = Vec::new();
        let mut lanes: Vec<(NodeKey, Vec<Address>)> = Vec::new();
        for rcpt in unique(&mail.envelope.to).into_iter().filter(|rcpt| rcpt.mailbox.is_none()) {
            let pair = Pair { ours: author.clone(), theirs: rcpt.address.clone() };
            let line = self.pairs.get(&pair).filter(|_| !self.is_blocked(&pair)).and_then(Trust::line);
            let Some(nk) = line.filter(|nk| *nk != HERE) else { continue };
            let queue = self.lanes.get(&Lane::Node(nk));
            match queue.and_then(|queue| queue.entry(id)) {
                // It is ours already, and whoever brings it did not hear so.
                Some(entry) if entry.rcpts.contains(&rcpt.address) => taken.push(rcpt.address),
                // Under way for others: an attempt can't be joined.
                Some(_) => {}
                None if queue.is_some_and(|queue| queue.len() >= limits::QUEUE_ENTRIES_PER_LANE) => {}
                None => match lanes.iter_mut().find(|(known, _)| *known == nk) {
                    Some((_, rcpts)) => rcpts.push(rcpt.address),
                    None => lanes.push((nk, vec![rcpt.address])),
                },
            }
        }
        if self.draining || self.waiting + lanes.len() > limits::QUEUE_ENTRIES || lanes.is_empty() {
            return taken;
        }
        Self::arrived(id, mail, Carrier::Relay, out);
        for (nk, rcpts) in lanes {
            taken.extend(rcpts.iter().cloned());
            let letter = Letter {
                from: mail.envelope.from.clone(),
                text: Text::Came(mail.blob),
                stamp: Some(mail.received.clone()).filter(|line| !line.is_empty()).into_iter().collect(),
                strip: false,
                message_id: mail.head.message_id.clone(),
            };
            // No `express`: the bytes carry their id already, and a second one would make them inert.
            let entry = Entry { letter, rcpts, arrived: tick.now, origin: Origin::User(sender.clone()), express: None };
            self.enqueue(tick, &Lane::Node(nk), id, entry, out);
        }
        taken
    }

    /// The id and the author of a mail that we stamped ourselves, and that is what it was then.
    fn authored(&self, tick: &Tick, mail: &MailIn) -> Option<(MailId, Address)> {
        let canonical = mail.head.canonical()?;
        let author = mail.envelope.from.as_ref().filter(|from| **from == canonical.from)?;
        let carried: Carried =
            seal::field::read(&canonical.from, &canonical.to_cc, canonical.carried.as_ref()?).ok()?;
        let genuine = carried.nk == self.ours.identity.nk()
            && carried.content == canonical.content
            && tick.now.since(carried.at) <= limits::RELAY_MS;
        genuine.then(|| (MailId(carried.id.0), author.clone()))
    }
}
