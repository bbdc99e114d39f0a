//! What the world does with the effects of a node's step, once its records are durable.

use postline_codec::mime::letter::{compose_head, head_len};
use postline_codec::mime::report;
use postline_core::content::mail::{Letter, Text};
use postline_core::id::{Address, MailId, Mailbox};
use postline_core::server::io::{Outcome, RcptOutcome, Seek};
use postline_core::server::{Command, Event, Input, Output, SendId, Took};
use postline_core::time::MINUTE;

use super::told::BriefOut;
use super::{Awaiting, Happening, World};
use crate::bytes::marker_of;
use crate::weather::Fault;

/// How long a delivery into a mailbox takes.
const MAILBOX_MS: u64 = 1;

impl World {
    pub(super) fn perform(&mut self, index: usize, effect: Output) {
        self.trace.note(self.now, format_args!("{index} > {}", BriefOut(&effect)));
        match effect {
            Output::Took(mail, took) => self.took(index, mail, took),
            Output::Deliver(send, mailbox, rcpts, letter) => self.deliver(index, send, mailbox, &rcpts, &letter),
            Output::Smtp(send, domain, rcpts, letter) => self.hand_over(index, send, domain, rcpts, &letter),
            Output::Seek(mail, seek) => {
                self.lookups.push((index, if matches!(seek, Seek::Domain(_)) { "domain" } else { "dkim" }));
                self.seek(index, mail, &seek);
            }
            Output::Dial(dial) => {
                if let Some(node) = self.nodes.get(index)
                    && !(node.serves(&dial.ours) && self.ledger.has_written_to_domain(&dial.ours, &dial.theirs))
                    && !self.ledger.lawless.contains(&index)
                {
                    self.breaks(("I22", format!("node {index} dials {}, to whom nobody wrote", dial.theirs)));
                }
                let troubles = self.troubles_of(index);
                self.at(1, Happening::Connect(index, troubles, dial));
            }
            Output::Link(link, what) => self.say(index, link, what),
            Output::Session(session, what) => {
                if !self.on_own_session(index, session, &what) {
                    self.to_devices.push((index, session, what));
                }
            }
            // No mail server stands beside a node here.
            Output::TookFor(..) | Output::Stamp(..) => {}
            Output::Event(event) => {
                self.watch(index, &event);
                if let (true, Event::Proposed { pair, nk }) = (self.people_accept, &event) {
                    let input = Input::Command(Command::Readmit(pair.clone(), *nk));
                    self.comes_back(MINUTE, index, input);
                }
                self.events.push((index, self.now, event));
            }
        }
    }

    pub(super) fn took(&mut self, index: usize, mail: MailId, took: Took) {
        match self.awaiting.remove(&mail) {
            Some((_, Awaiting::Author(marker))) => {
                if took == Took::Yes {
                    self.ledger.accepted(&marker);
                }
            }
            Some((_, Awaiting::Server(parcel, outcome))) => {
                let answer = match took {
                    Took::Yes => RcptOutcome::Done,
                    Took::Busy => RcptOutcome::Later("busy".to_owned()),
                    Took::Loop => RcptOutcome::Failed("looping".to_owned()),
                };
                let known = |outcome: RcptOutcome| if outcome == RcptOutcome::Done { answer.clone() } else { outcome };
                let outcome = outcome.into_iter().map(known).collect();
                self.settle(*parcel, outcome);
            }
            None => self.breaks(("misuse", format!("node {index} answers {mail} twice"))),
        }
    }

    pub(super) fn deliver(&mut self, index: usize, send: SendId, mailbox: Mailbox, rcpts: &[Address], letter: &Letter) {
        let count = rcpts.len();
        if self.weather.strikes(Fault::MailboxLater, &mut self.rng) {
            let outcome = Outcome { rcpts: vec![RcptOutcome::Later("mailbox full".to_owned()); count] };
            self.comes_back(MAILBOX_MS, index, Input::Report(send, outcome));
            return;
        }
        let Some(bytes) = self.compose(index, send.mail, letter) else {
            let outcome = Outcome { rcpts: vec![RcptOutcome::Later("the body is damaged".to_owned()); count] };
            return self.comes_back(MAILBOX_MS, index, Input::Report(send, outcome));
        };
        if let Some(marker) = marker_of(&bytes) {
            match &letter.text {
                Text::Came(_) => {
                    let troubles = self.troubles_of(index);
                    self.ledger.put(&marker, index, &mailbox, send.mail, troubles);
                }
                Text::Report { .. } => {}
            }
        }
        if let Text::Report { about, failed, .. } = &letter.text
            && let Some(marker) = self.nodes.get(index).and_then(|node| node.disk.body(*about)).and_then(marker_of)
        {
            self.ledger.put_report(&marker, send.mail, failed.iter().map(|(rcpt, _)| rcpt.clone()));
        }
        if let Some(node) = self.nodes.get_mut(index) {
            node.shelf.push((mailbox.clone(), send.mail));
            node.mailboxes.entry(mailbox).or_default().insert(send.mail, bytes);
        }
        let outcome = Outcome { rcpts: vec![RcptOutcome::Done; count] };
        self.comes_back(MAILBOX_MS, index, Input::Report(send, outcome));
    }

    /// The bytes of a letter; a body that is gone while its mail waits is a mail that is lost.
    pub(super) fn compose(&mut self, index: usize, mail: MailId, letter: &Letter) -> Option<Vec<u8>> {
        let node = self.nodes.get(index)?;
        let Some(body) = node.disk.body(letter.text.blob()) else {
            if node.disk.has_rotten(letter.text.blob()) {
                return None;
            }
            self.breaks(("I1", format!("the body of {mail} is gone from node {index}")));
            return None;
        };
        match &letter.text {
            Text::Came(_) => {
                let (head, rest) = body.split_at(head_len(body));
                Some([compose_head(letter, head), rest.to_vec()].concat())
            }
            Text::Report { at, failed, .. } => {
                let postmaster = Address::parse(&format!("postmaster@{}", node.domain)).ok()?;
                let author = failed.first().map_or(&postmaster, |(rcpt, _)| rcpt);
                Some(report::render(mail, &postmaster, author, &node.domain, body, *at, failed))
            }
        }
    }
}
