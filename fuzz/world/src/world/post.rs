//! The mail between nodes: servers that answer, relays that don't keep their promises, and what DKIM says of it all.

use std::collections::{BTreeMap, BTreeSet};

use postline_codec::mime::letter::head_len;
use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::content::mail::{Letter, Source};
use postline_core::id::{Address, Domain, Hash, MailId, NodeKey};
use postline_core::machine::trust::Trust;
use postline_core::seal;
use postline_core::server::io::{Outcome, RcptOutcome, Seek};
use postline_core::server::{Input, SendId};
use postline_core::time::{DAY, HOUR, MINUTE, SECOND};
use postline_core::wire::field::Carried;

use super::{Awaiting, Happening, SMTP_MS, World};
use crate::bytes::{SIGNED, dkim_hash, field_text, mail_in, marker_of};
use crate::sealed;
use crate::weather::Fault;

/// Whoever writes to `team@` here writes to everybody.
pub const LISTS: &str = "lists.example";
/// Whoever writes to `user=node@` here writes to `user@node`, resent.
pub const FORWARDS: &str = "forwards.example";
/// Whoever writes here gets an answer that no person wrote.
pub const ROBOTS: &str = "robots.example";

/// Most mails that an eavesdropper remembers.
const TAPE: usize = 64;

/// What the mail between nodes remembers.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// What each domain signed with DKIM.
    seals: BTreeMap<Domain, BTreeSet<Hash>>,
    /// The domains that say themselves which key is their node's.
    pub(super) says: BTreeMap<Domain, NodeKey>,
    /// Mails as they went by.
    pub(super) tape: Vec<Parcel>,
}

/// A mail on its way to one domain.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) domain: Domain,
    pub(super) from: Option<Address>,
    pub(super) to: Vec<Address>,
    pub(super) bytes: Vec<u8>,
    /// Who waits for an answer: a node. A relay tries again by itself.
    pub(super) sender: Option<Sender>,
    /// Whether it is as its node handed it over.
    pub(super) intact: bool,
    /// Whether it was brought before by list, forwarder or robot.
    pub(super) passed_on: bool,
}

/// The node that hands a mail over.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    node: usize,
    send: SendId,
    troubles: u64,
}

impl World {
    /// A node hands a mail over by SMTP.
    pub(super) fn hand_over(&mut self, index: usize, send: SendId, domain: Domain, to: Vec<Address>, letter: &Letter) {
        let later = |why: &str| Outcome { rcpts: vec![RcptOutcome::Later(why.to_owned()); to.len()] };
        if self.weather.strikes(Fault::SmtpLater, &mut self.rng) {
            return self.comes_back(SMTP_MS, index, Input::Report(send, later("greylisted")));
        }
        let Some(bytes) = self.compose(index, send.mail, letter) else {
            return self.comes_back(SMTP_MS, index, Input::Report(send, later("the body is damaged")));
        };
        if letter.from.is_none() {
            self.breaks(("I20", format!("node {index} sends automatic mail to {to:?}")));
        }
        self.prove_fields(index, &bytes);
        if sealed::is_in(&bytes) {
            self.breaks(("I15", format!("a mail to {to:?} has a sealed body in the clear")));
        }
        let troubles = self.troubles_of(index);
        if let Some(marker) = marker_of(&bytes).filter(|_| !self.ledger.lawless.contains(&index)) {
            let held = self.ledger.hands_over(&marker, &to, troubles);
            self.holds(held);
        }
        self.seal(index, &bytes);
        let sender = Some(Sender { node: index, send, troubles });
        let parcel = Parcel { domain, from: letter.from.clone(), to, bytes, sender, intact: true, passed_on: false };
        self.interlope(&parcel);
        self.post.tape.push(Parcel { sender: None, ..parcel.clone() });
        if self.post.tape.len() > TAPE {
            self.post.tape.remove(0);
        }
        if self.weather.strikes(Fault::Relayed, &mut self.rng) {
            self.relay(parcel);
        } else {
            self.at(SMTP_MS, Happening::Parcel(Box::new(parcel)));
        }
    }

    /// A node signs what its own users wrote.
    fn seal(&mut self, index: usize, bytes: &[u8]) {
        let from = postline_codec::mime::scan(bytes).canonical().map(|canonical| canonical.from.domain().clone());
        if let Some(node) = self.nodes.get(index)
            && let Some(from) = from.filter(|from| node.serves(from))
        {
            self.seal_for(from, bytes);
        }
    }

    pub(super) fn seal_for(&mut self, domain: Domain, bytes: &[u8]) {
        self.post.seals.entry(domain).or_default().insert(dkim_hash(bytes));
    }

    /// A relay takes a mail, and does with it what relays do.
    fn relay(&mut self, mut parcel: Parcel) {
        if let Some(sender) = parcel.sender.take() {
            self.note_handed_over(&parcel, &sender, &parcel.to.clone());
            let outcome = Outcome { rcpts: vec![RcptOutcome::Done; parcel.to.len()] };
            self.comes_back(SMTP_MS, sender.node, Input::Report(sender.send, outcome));
        }
        parcel.bytes = [b"Received: from somewhere by relay.example; now\r\n", parcel.bytes.as_slice()].concat();
        if self.weather.strikes(Fault::Rewritten, &mut self.rng) {
            parcel.bytes = self.rewritten(&parcel.bytes);
            parcel.intact = false;
        }
        let copies = 1 + u64::from(self.weather.strikes(Fault::Duplicated, &mut self.rng));
        for _ in 0..copies {
            let days = self.weather.strikes(Fault::Delayed, &mut self.rng);
            let delay = if days { self.rng.below(3 * DAY) } else { self.rng.below(5 * SECOND) };
            self.at(SMTP_MS + delay, Happening::Parcel(Box::new(parcel.clone())));
        }
    }

    /// What gateways do to mails.
    fn rewritten(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self.rng.below(4) {
            0 => [bytes, b"-- \r\nScanned for things.\r\n"].concat(),
            1 => replace_field(bytes, "message-id", "Message-ID: <rewritten@relay.example>\r\n"),
            2 => {
                let subject = field_text(bytes, "subject").unwrap_or_default();
                replace_field(bytes, "subject", &format!("Subject: [EXT] {subject}\r\n"))
            }
            _ => {
                let (head, body) = bytes.split_at(head_len(bytes));
                [head, String::from_utf8_lossy(body).replace(' ', "=20").as_bytes()].concat()
            }
        }
    }

    /// A mail reaches its domain.
    pub(super) fn parcel_came(&mut self, parcel: Parcel) {
        let domain = parcel.domain.as_str();
        if [LISTS, FORWARDS, ROBOTS].contains(&domain) {
            let outcome = vec![RcptOutcome::Done; parcel.to.len()];
            self.pass_on(&parcel);
            return self.settle(parcel, outcome);
        }
        let Some(node) = self.nodes.iter().position(|node| node.serves(&parcel.domain)) else {
            let outcome = vec![RcptOutcome::Failed("no such domain".to_owned()); parcel.to.len()];
            return self.settle(parcel, outcome);
        };
        // What is known of a pair now is what the next step knows.
        self.commit(node);
        let apart = |from: &Sender| self.apart.contains(&(from.node, node)) || self.apart.contains(&(node, from.node));
        let up = self.nodes.get(node).is_some_and(|node| node.server.is_some());
        if !up || parcel.sender.as_ref().is_some_and(apart) {
            let outcome = vec![RcptOutcome::Later("no answer".to_owned()); parcel.to.len()];
            return self.settle(parcel, outcome);
        }
        let rcpts = self.rcpts(node, &parcel.to);
        let outcome: Vec<RcptOutcome> = rcpts
            .iter()
            .map(|rcpt| match rcpt.mailbox {
                Some(_) => RcptOutcome::Done,
                None => RcptOutcome::Failed("no such user".to_owned()),
            })
            .collect();
        let rcpts: Vec<_> = rcpts.into_iter().filter(|rcpt| rcpt.mailbox.is_some()).collect();
        if rcpts.is_empty() {
            return self.settle(parcel, outcome);
        }
        if let Some(marker) = marker_of(&parcel.bytes) {
            let mailboxes: BTreeSet<_> = rcpts.iter().filter_map(|rcpt| rcpt.mailbox.clone()).collect();
            for mailbox in mailboxes {
                let here = rcpts.iter().filter(|rcpt| rcpt.mailbox.as_ref() == Some(&mailbox));
                let recognised = self.is_recognised(node, &parcel, here.map(|rcpt| &rcpt.address));
                self.arriving.push((node, marker.clone(), mailbox, recognised));
            }
        }
        let mail = mail_in(&parcel.bytes, Source::Stranger, parcel.from.clone(), rcpts);
        let (id, bytes) = (self.mail_id(), parcel.bytes.clone());
        self.awaiting.insert(id, (node, Awaiting::Server(Box::new(parcel), outcome)));
        self.step(node, Input::Mail(id, mail), Some(bytes));
    }

    /// Whether a copy can be known for one: it says so, vouched for by the node of each line; or it was on the link
    /// before, and nobody touched it since, so that it must say so.
    fn is_recognised<'a>(
        &self,
        index: usize,
        parcel: &Parcel,
        rcpts: impl Iterator<Item = &'a Address> + Clone,
    ) -> bool {
        let head = postline_codec::mime::scan(&parcel.bytes);
        let (Some(canonical), Some(node)) = (head.canonical(), self.nodes.get(index)) else { return false };
        let tags = canonical.carried.as_ref();
        let read = |tags| seal::field::read::<Carried>(&canonical.from, &canonical.to_cc, tags).ok();
        let vouched = tags.and_then(read).filter(|carried| carried.content == canonical.content);
        let marker = marker_of(&parcel.bytes).unwrap_or_default();
        let author = self.home(&canonical.from).and_then(|home| self.nodes.get(home));
        let must = parcel.intact && rcpts.clone().all(|rcpt| self.ledger.was_carried(&marker, rcpt));
        let keys = author.map(crate::node::Node::lineage).unwrap_or_default();
        let signer = vouched.map(|carried| carried.nk);
        let of_line = |line: Option<NodeKey>| match signer {
            Some(nk) => line.is_some_and(|line| line == nk || (keys.contains(&line) && keys.contains(&nk))),
            None => must && line.is_some_and(|line| keys.contains(&line)),
        };
        let pair = |ours: &Address| postline_core::id::Pair { ours: ours.clone(), theirs: canonical.from.clone() };
        let mut rcpts = rcpts;
        rcpts.all(|rcpt| of_line(Trust::line(&node.trust(&pair(rcpt)))))
    }

    fn note_handed_over(&mut self, parcel: &Parcel, sender: &Sender, rcpts: &[Address]) {
        if let Some(marker) = marker_of(&parcel.bytes) {
            for rcpt in rcpts {
                self.ledger.handed_over(&marker, rcpt, sender.troubles);
            }
        }
    }

    /// A mail is answered, recipient by recipient: its sender hears of it, or its relay tries again.
    pub(super) fn settle(&mut self, mut parcel: Parcel, outcome: Vec<RcptOutcome>) {
        let of = |wanted: fn(&RcptOutcome) -> bool| -> Vec<Address> {
            let both = parcel.to.iter().zip(&outcome);
            both.filter(|(_, outcome)| wanted(outcome)).map(|(rcpt, _)| rcpt.clone()).collect()
        };
        let done = of(|outcome| *outcome == RcptOutcome::Done);
        let later = of(|outcome| matches!(outcome, RcptOutcome::Later(_)));
        if !done.is_empty()
            && parcel.sender.is_none()
            && let Some(marker) = marker_of(&parcel.bytes)
        {
            self.ledger.accepted(&marker);
        }
        let failed = of(|outcome| matches!(outcome, RcptOutcome::Failed(_)));
        let Some(sender) = parcel.sender.take() else {
            self.ledger.bounced(&marker_of(&parcel.bytes).unwrap_or_default(), failed);
            if !later.is_empty() {
                parcel.to = later;
                self.at(MINUTE, Happening::Parcel(Box::new(parcel)));
            }
            return;
        };
        self.note_handed_over(&parcel, &sender, &done);
        let mut outcome = outcome;
        if self.troubles_of(sender.node) != sender.troubles {
            return;
        }
        if self.weather.strikes(Fault::AnswerLost, &mut self.rng) {
            outcome = vec![RcptOutcome::Later("no answer after the data".to_owned()); outcome.len()];
            // Whatever else is under way there goes on.
            self.ledger.answer_lost(&parcel.to, &marker_of(&parcel.bytes).unwrap_or_default());
        }
        self.comes_back(SMTP_MS, sender.node, Input::Report(sender.send, Outcome { rcpts: outcome }));
    }

    /// What list, forwarder and robot make of a mail.
    fn pass_on(&mut self, parcel: &Parcel) {
        if parcel.passed_on {
            return;
        }
        for to in &parcel.to {
            match to.domain().as_str() {
                LISTS => self.post_to_list(parcel),
                FORWARDS => {
                    if let Ok(on) = Address::parse(&to.local().replace('=', "@")) {
                        let stamp = format!("Resent-To: {on}\r\nResent-From: {to}\r\n");
                        let bytes = [stamp.as_bytes(), &parcel.bytes].concat();
                        self.bring(Some(to.clone()), on, bytes);
                    }
                }
                _ => self.answer_like_a_robot(parcel, to),
            }
        }
    }

    fn bring(&mut self, from: Option<Address>, to: Address, bytes: Vec<u8>) {
        let domain = to.domain().clone();
        let delay = SMTP_MS + self.rng.below(SECOND);
        let parcel = Parcel { domain, from, to: vec![to], bytes, sender: None, intact: false, passed_on: true };
        self.at(delay, Happening::Parcel(Box::new(parcel)));
    }

    fn post_to_list(&mut self, parcel: &Parcel) {
        let Ok(list) = Address::parse(&format!("team@{LISTS}")) else { return };
        let mut bytes = [b"List-Id: <team.lists.example>\r\n", parcel.bytes.as_slice(), b"-- \r\nteam\r\n"].concat();
        if self.rng.chance(500) {
            bytes = replace_field(&bytes, "from", &format!("From: Team <{list}>\r\n"));
        }
        for member in self.people() {
            if Some(&member) != parcel.from.as_ref() {
                self.bring(Some(list.clone()), member, bytes.clone());
            }
        }
    }

    /// Robots answer everything, and say so in one way or another.
    fn answer_like_a_robot(&mut self, parcel: &Parcel, robot: &Address) {
        let Some(to) = parcel.from.clone() else { return };
        let id = field_text(&parcel.bytes, "message-id").unwrap_or_default();
        let sign = ["Auto-Submitted: auto-replied", "Precedence: bulk", "X-Autoreply: yes"];
        let sign = sign.get(self.rng.index(sign.len())).copied().unwrap_or_default();
        self.next_mail += 1;
        let marker = format!("robot{}@{ROBOTS}", self.next_mail);
        // It quotes all that it got, fields of ours and all.
        let quoted: String = ["postline-offer", "postline-accept", "postline-id"]
            .iter()
            .filter_map(|name| Some(format!("{name}: {}\r\n", field_text(&parcel.bytes, name)?)))
            .collect();
        let mail = format!(
            "From: {robot}\r\nTo: {to}\r\nSubject: {marker}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{marker}>\r\n\
             In-Reply-To: {id}\r\nReferences: {id}\r\n{sign}\r\n{quoted}\r\nI am away.\r\n"
        );
        self.ledger.handed_in(&marker, None, Some(robot.clone()), vec![to.clone()]);
        self.seal_for(robot.domain().clone(), mail.as_bytes());
        self.bring(None, to, mail.into_bytes());
    }

    /// Has a domain say itself which key is its node's.
    pub fn says_its_key(&mut self, node: usize) {
        if let Some(node) = self.nodes.get(node) {
            for domain in node.also.iter().chain([&node.domain]) {
                self.post.says.insert(domain.clone(), node.nk());
            }
        }
    }

    /// Has a domain say that a key is its node's.
    pub fn says(&mut self, domain: &Domain, nk: NodeKey) {
        self.post.says.insert(domain.clone(), nk);
    }

    /// Somebody who saw a mail go by brings it to a recipient once more, as it was. `None` where nobody saw it.
    pub fn brings_again(&mut self, message_id: &str, to: &Address) -> Option<Vec<u8>> {
        let is_it = |seen: &&Parcel| {
            postline_codec::mime::scan(&seen.bytes).canonical().is_some_and(|head| head.message_id == message_id)
        };
        let seen = self.post.tape.iter().find(is_it)?.clone();
        let again = Parcel { domain: to.domain().clone(), to: vec![to.clone()], ..seen };
        let bytes = again.bytes.clone();
        self.at(0, Happening::Parcel(Box::new(again)));
        Some(bytes)
    }

    /// What relays have on their way is gone.
    pub fn lose_mail(&mut self) {
        self.queue.retain(|_, happening| !matches!(happening, Happening::Parcel(parcel) if parcel.sender.is_none()));
    }

    // Evidence.

    /// What a node finds out about another.
    pub(super) fn seek(&mut self, index: usize, mail: MailId, seek: &Seek) {
        let fails = self.weather.strikes(Fault::DnsTemporary, &mut self.rng);
        let evidence = if fails { Evidence::Temporary } else { self.evidence(index, seek) };
        let delay = SMTP_MS + if fails { self.rng.below(HOUR / 60) } else { 0 };
        self.comes_back(delay, index, Input::Evidence(mail, evidence));
    }

    fn evidence(&self, index: usize, seek: &Seek) -> Evidence {
        let blob = match seek {
            Seek::Dkim(blob) => blob,
            Seek::Domain(domain) => return Evidence::Domain { names: self.post.says.get(domain).copied() },
        };
        let Some(bytes) = self.nodes.get(index).and_then(|node| node.disk.body(*blob)) else {
            return Evidence::Temporary;
        };
        let hash = dkim_hash(bytes);
        let signers = self.post.seals.iter().filter(|(_, seals)| seals.contains(&hash)).map(|(domain, _)| domain);
        let signed: Vec<String> = SIGNED.iter().flat_map(|name| [*name; 2]).map(str::to_owned).collect();
        let passed = signers.map(|domain| DkimPass { domain: domain.clone(), signed: signed.clone(), partial: false });
        Evidence::Dkim(Dkim { passed: passed.collect() })
    }
}

/// The mail with another field in the place of this one.
pub(super) fn replace_field(bytes: &[u8], name: &str, line: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + line.len());
    for field in crate::bytes::fields(bytes) {
        out.extend_from_slice(if crate::bytes::name_of(field) == name { line.as_bytes() } else { field });
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes.split_at(head_len(bytes)).1);
    out
}
