//! What really happened, kept beside the machines: who wrote what, who was shown it, and what was said of it.
//!
//! The machines never see it. A mail is known by its subject, which every carrier keeps.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::id::{Address, MailId, Mailbox, Pair};

use crate::node::Broken;

/// What really happened.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every mail that somebody handed in, by what it is known by.
    pub mails: BTreeMap<String, Written>,
    /// Who wrote to whom, by hand.
    wrote: BTreeSet<(Address, Address)>,
    /// Who answered whom, by hand.
    answered: BTreeSet<(Address, Address)>,
    /// What lies in which mailbox of which node, by mail.
    shown: BTreeMap<(String, usize, Mailbox), BTreeMap<MailId, Put>>,
    /// How often a mail came to a mailbox in a way that nothing could recognise as the same.
    strange_arrivals: BTreeMap<(String, usize, Mailbox), usize>,
    /// Which mails came to a mailbox in a way that is recognised.
    known_arrivals: BTreeSet<(String, usize, Mailbox)>,
    /// Of whom an author was told that they won't get a mail.
    reported: BTreeMap<String, BTreeSet<Address>>,
    /// How often a report of a mail was put into its author's mailbox.
    reports: BTreeMap<String, BTreeSet<MailId>>,
    /// Whom a mail was handed over to by SMTP, and how many troubles its sender had had by then.
    handed: BTreeMap<(String, Address), u64>,
    /// Whom a mail was carried to by link.
    carried: BTreeSet<(String, Address)>,
    /// Pairs that were seen to confirm a handshake.
    confirmed: BTreeSet<Pair>,
    /// Nodes that were started from a backup: what was promised before it may be gone.
    pub rolled_back: BTreeSet<usize>,
    /// Mails of which a record or the body was spoilt on a disk: their operator was told.
    pub rotten: BTreeSet<String>,
    /// Nodes that don't keep the rules: nothing is promised about them.
    pub lawless: BTreeSet<usize>,
}

/// A file in a mailbox: how often it was new there, and how many troubles the node had had by then.
#[derive(Clone, Copy, Debug)]
struct Put {
    times: usize,
    troubles: u64,
}

/// A mail that somebody handed in.
#[derive(Clone, Debug)]
pub struct Written {
    /// At which node; `None`: a stranger's.
    pub node: Option<usize>,
    /// By whom.
    pub author: Option<Address>,
    /// For whom.
    pub rcpts: Vec<Address>,
    /// Whether it was taken: the promise.
    pub accepted: bool,
}

impl Ledger {
    /// A person writes; `answers` is whom the answered mail came from.
    pub fn wrote(&mut self, author: &Address, to: &[Address], answers: Option<&Address>) {
        for to in to {
            self.wrote.insert((author.clone(), to.clone()));
            if answers == Some(to) {
                self.answered.insert((author.clone(), to.clone()));
            }
        }
    }

    /// Whether a person wrote to another.
    #[must_use]
    pub fn has_written(&self, from: &Address, to: &Address) -> bool {
        self.wrote.contains(&(from.clone(), to.clone()))
    }

    /// Whether somebody of `ours` wrote to the domain: only then may it be looked for.
    #[must_use]
    pub fn has_written_to_domain(&self, ours: &postline_core::id::Domain, theirs: &postline_core::id::Domain) -> bool {
        self.wrote.iter().any(|(from, to)| from.domain() == ours && to.domain() == theirs)
    }

    /// Whether the two wrote to each other, and one of the mails was an answer.
    #[must_use]
    pub fn is_genuine(&self, one: &Address, two: &Address) -> bool {
        let answered = |a: &Address, b: &Address| self.answered.contains(&(a.clone(), b.clone()));
        self.has_written(one, two) && self.has_written(two, one) && (answered(one, two) || answered(two, one))
    }

    /// Somebody hands a mail in.
    pub fn handed_in(&mut self, marker: &str, node: Option<usize>, author: Option<Address>, rcpts: Vec<Address>) {
        let written = Written { node, author, rcpts, accepted: false };
        self.mails.entry(marker.to_owned()).or_insert(written);
    }

    /// It was taken.
    pub fn accepted(&mut self, marker: &str) {
        if let Some(mail) = self.mails.get_mut(marker) {
            mail.accepted = true;
        }
    }

    /// A mail reached the node of a mailbox, and its records are durable.
    pub fn arrived(&mut self, marker: &str, node: usize, mailbox: &Mailbox, recognised: bool) {
        let key = (marker.to_owned(), node, mailbox.clone());
        if recognised {
            self.known_arrivals.insert(key);
        } else {
            *self.strange_arrivals.entry(key).or_default() += 1;
        }
    }

    /// A file is put into a mailbox. Put again under the same name after the node lost its way, it is the same file;
    /// put again for no reason, it is shown again, since people move what they have read.
    pub fn put(&mut self, marker: &str, node: usize, mailbox: &Mailbox, mail: MailId, troubles: u64) {
        let shown = self.shown.entry((marker.to_owned(), node, mailbox.clone())).or_default();
        let put = shown.entry(mail).or_insert(Put { times: 0, troubles });
        if put.times == 0 || put.troubles == troubles {
            put.times += 1;
        }
        put.troubles = troubles;
    }

    /// A report is in its author's mailbox.
    pub fn put_report(&mut self, marker: &str, mail: MailId, about: impl IntoIterator<Item = Address>) {
        self.reports.entry(marker.to_owned()).or_default().insert(mail);
        self.reported.entry(marker.to_owned()).or_default().extend(about);
    }

    /// A mail is handed over by SMTP.
    ///
    /// # Errors
    /// I2 where its server had it already, and nothing happened that could have made the sender forget.
    pub fn hands_over(&mut self, marker: &str, rcpts: &[Address], troubles: u64) -> Result<(), Broken> {
        for rcpt in rcpts {
            if self.handed.get(&(marker.to_owned(), rcpt.clone())) == Some(&troubles) {
                return Err(("I2", format!("{marker} handed over to {rcpt} again, for no reason")));
            }
        }
        Ok(())
    }

    /// A node puts a mail on a link.
    pub fn carries(&mut self, marker: &str, rcpts: &[Address]) {
        self.carried.extend(rcpts.iter().map(|rcpt| (marker.to_owned(), rcpt.clone())));
    }

    /// Whether a mail was ever on a link to this recipient.
    #[must_use]
    pub fn was_carried(&self, marker: &str, rcpt: &Address) -> bool {
        self.carried.contains(&(marker.to_owned(), rcpt.clone()))
    }

    /// A pair confirms: the other side took its offer.
    pub fn confirms(&mut self, pair: &Pair) {
        self.confirmed.insert(pair.clone());
    }

    /// Whether a pair was ever seen to confirm.
    #[must_use]
    pub fn has_confirmed(&self, pair: &Pair) -> bool {
        self.confirmed.contains(pair)
    }

    /// A server took it.
    pub fn handed_over(&mut self, marker: &str, rcpt: &Address, troubles: u64) {
        self.handed.insert((marker.to_owned(), rcpt.clone()), troubles);
    }

    /// The answer to a hand-over was lost: it may come again.
    pub fn answer_lost(&mut self, rcpts: &[Address], marker: &str) {
        for rcpt in rcpts {
            self.handed.remove(&(marker.to_owned(), rcpt.clone()));
        }
    }

    /// Whether a mail is in a mailbox.
    #[must_use]
    pub fn is_shown(&self, marker: &str, node: usize, mailbox: &Mailbox) -> bool {
        self.shown_times(marker, node, mailbox) > 0
    }

    /// How often a mail is in a mailbox.
    #[must_use]
    pub fn shown_times(&self, marker: &str, node: usize, mailbox: &Mailbox) -> usize {
        self.shown.get(&(marker.to_owned(), node, mailbox.clone())).map_or(0, times)
    }

    /// A relay gave up: telling the author is its affair.
    pub fn bounced(&mut self, marker: &str, rcpts: Vec<Address>) {
        self.reported.entry(marker.to_owned()).or_default().extend(rcpts);
    }

    /// Whether a mail's author was told that this recipient won't get it.
    #[must_use]
    pub fn is_reported(&self, marker: &str, rcpt: &Address) -> bool {
        self.reported.get(marker).is_some_and(|rcpts| rcpts.contains(rcpt))
    }

    /// I2: nothing is shown more often than it came in ways that nothing could recognise.
    ///
    /// # Errors
    /// What is shown too often.
    pub fn check_shown(&self) -> Result<(), Broken> {
        for (key, shown) in &self.shown {
            if self.rolled_back.contains(&key.1) || self.lawless.contains(&key.1) {
                continue;
            }
            let strange = self.strange_arrivals.get(key).copied().unwrap_or_default();
            let known = usize::from(self.known_arrivals.contains(key));
            let shown = times(shown);
            if shown > strange + known {
                let (marker, node, mailbox) = key;
                let what = format!("{marker} is shown {shown} times to {mailbox} of node {node}");
                return Err((
                    "I2",
                    format!("{what}; it came {strange} times unrecognised, and {known} as an express mail"),
                ));
            }
        }
        Ok(())
    }

    /// I20: one report a recipient at most, and so a bounded number of automatic mails.
    ///
    /// # Errors
    /// Where an author got too many.
    pub fn check_reports(&self) -> Result<(), Broken> {
        for (marker, reports) in &self.reports {
            let Some(mail) = self.mails.get(marker) else {
                return Err(("I20", format!("a report about {marker}, which nobody here wrote")));
            };
            let lawless = mail.node.is_some_and(|node| self.rolled_back.contains(&node));
            if reports.len() > mail.rcpts.len() && !lawless {
                return Err(("I20", format!("{} reports about {marker}", reports.len())));
            }
        }
        Ok(())
    }
}

fn times(shown: &BTreeMap<MailId, Put>) -> usize {
    shown.values().map(|put| put.times).sum()
}
