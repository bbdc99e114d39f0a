//! What was acknowledged, against what lies in the mailboxes in the end.

use std::collections::BTreeMap;

use crate::people::{Letter, inbox, message_id};
use crate::site::{Site, World};

/// What a mailbox must have, by Message-ID.
#[derive(Default)]
pub(crate) struct Ledger {
    acknowledged: Vec<(String, String)>,
    /// Mails that were written, and whose acknowledgement never came: nobody promised anything.
    unsure: Vec<(String, String)>,
}

/// What the mailboxes say.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) acknowledged: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    /// Mails that nobody here wrote: reports that a mail failed.
    pub(crate) foreign: Vec<String>,
}

impl Ledger {
    pub(crate) fn acknowledged(&mut self, letter: &Letter) {
        self.acknowledged.extend(letter.to.iter().map(|to| (message_id(&letter.id), (*to).to_owned())));
    }

    pub(crate) fn unsure(&mut self, letter: &Letter) {
        self.unsure.extend(letter.to.iter().map(|to| (message_id(&letter.id), (*to).to_owned())));
    }

    /// A mail that no letter is: the node wrote it, or Postfix.
    pub(crate) fn other(&mut self, id: &str, who: &str) {
        self.unsure.push((id.to_owned(), who.to_owned()));
    }

    /// Looks into every mailbox.
    pub(crate) fn count(&self, world: &World, people: &[&'static str]) -> Found {
        let mut arrived = BTreeMap::<(String, String), usize>::new();
        let mut found = Found { acknowledged: self.acknowledged.len(), ..Found::default() };
        for who in people {
            for got in inbox(of(world, who), who) {
                let id = got.field("Message-ID").unwrap_or_default();
                *arrived.entry((id, (*who).to_owned())).or_default() += 1;
            }
        }
        for mail in &self.acknowledged {
            if !arrived.contains_key(mail) {
                found.lost.push(format!("{} to {}", mail.0, mail.1));
            }
        }
        for (mail, times) in arrived {
            let (id, who) = &mail;
            if !self.acknowledged.contains(&mail) && !self.unsure.contains(&mail) {
                found.foreign.push(format!("{id} to {who}"));
            } else if times > 1 {
                found.doubled.push(format!("{id} to {who}, {times} times"));
            }
        }
        found
    }
}

/// Where somebody's mail is.
pub(crate) fn of<'a>(world: &'a World, who: &str) -> &'a Site {
    let domain = who.split('@').nth(1).unwrap();
    world.sites().into_iter().find(|site| site.domain == domain).unwrap()
}
