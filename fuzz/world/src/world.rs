//! Nodes, the mail between them, and their links, in virtual time.

use std::collections::BTreeMap;

use postline_codec::mime::letter::{compose_head, head_len};
use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::content::mail::{Letter, Rcpt, Source, Text};
use postline_core::id::{Address, BlobRef, LinkId, MailId};
use postline_core::limits;
use postline_core::server::io::{Outcome, RcptOutcome, Seek};
use postline_core::server::{Dial, Event, Input, LinkIn, LinkOut, Output};
use postline_core::time::Millis;
use postline_core::wire::frame::Frame;

use crate::bytes::{Draft, mail_in, mailbox_of};
use crate::node::{Node, Stepped};

/// How long a mail, and a frame, takes.
const SMTP_MS: u64 = 40;
const FRAME_MS: u64 = 1;

/// The world.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Millis,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Everything that happened, in order: node, time, event.
    pub events: Vec<(usize, Millis, Event)>,
    queue: BTreeMap<(Millis, u64), (usize, Happening)>,
    sequence: u64,
    links: BTreeMap<LinkId, Connection>,
    next_link: u64,
    next_mail: u64,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    ends: [usize; 2],
}

#[derive(Debug)]
enum Happening {
    Step(Input, Option<Vec<u8>>),
    Connect(Dial),
}

impl World {
    /// A world of these domains, one node each.
    ///
    /// # Panics
    /// Where a name is no domain.
    #[must_use]
    #[expect(clippy::expect_used, reason = "test code names its domains itself")]
    pub fn of(domains: &[&str]) -> Self {
        let nodes = domains
            .iter()
            .zip(1..)
            .map(|(name, seed)| Node::new(&postline_core::id::Domain::parse(name).expect("a domain"), seed));
        Self {
            now: Millis(1_795_000_000_000),
            nodes: nodes.collect(),
            events: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            links: BTreeMap::new(),
            next_link: 1,
            next_mail: 1,
        }
    }

    fn home(&self, address: &Address) -> Option<usize> {
        self.nodes.iter().position(|node| node.domain == *address.domain())
    }

    fn at(&mut self, delay: u64, node: usize, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now.plus(delay), self.sequence), (node, happening));
    }

    fn mail_id(&mut self) -> MailId {
        self.next_mail += 1;
        let hash = postline_core::store::sha256(&[b"world mail", &self.next_mail.to_be_bytes()]).0;
        let mut id = [0; MailId::LEN];
        id.copy_from_slice(hash.split_at(MailId::LEN).0);
        MailId(id)
    }

    /// A person writes a mail.
    pub fn write(&mut self, draft: &Draft) {
        let Some(node) = self.home(&draft.from) else { return };
        let bytes = draft.bytes();
        let to = self.rcpts(node, &draft.to);
        let source = Source::User { login: mailbox_of(&draft.from), author: Some(draft.from.clone()) };
        let mail = mail_in(&bytes, source, Some(draft.from.clone()), to);
        let id = self.mail_id();
        self.at(0, node, Happening::Step(Input::Mail(id, mail), Some(bytes)));
    }

    fn rcpts(&self, node: usize, to: &[Address]) -> Vec<Rcpt> {
        let here = |address: &Address| self.home(address) == Some(node);
        let rcpt =
            |address: &Address| Rcpt { address: address.clone(), mailbox: here(address).then(|| mailbox_of(address)) };
        to.iter().map(rcpt).collect()
    }

    /// Runs until nothing happens for `quiet` milliseconds, or `limit` steps were made.
    pub fn run(&mut self, quiet: u64, limit: usize) {
        let mut until = self.now.plus(quiet);
        for _ in 0..limit {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let wake = self.nodes.iter().enumerate().filter_map(|(i, node)| Some((node.deadline()?, i))).min();
            let (at, woken) = match (next, wake) {
                (Some(at), Some((wake, node))) if wake < at => (wake, Some(node)),
                (Some(at), _) => (at, None),
                (None, Some((wake, node))) => (wake, Some(node)),
                (None, None) => return,
            };
            if at > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(at);
            match woken {
                Some(node) => self.step(node, Input::Wake, None),
                None => {
                    until = self.now.plus(quiet);
                    if let Some((_, (node, happening))) = self.queue.pop_first() {
                        self.happen(node, happening);
                    }
                }
            }
        }
    }

    fn happen(&mut self, node: usize, happening: Happening) {
        match happening {
            Happening::Step(input, body) => self.step(node, input, body),
            Happening::Connect(dial) => {
                let Some(peer) = self.nodes.iter().position(|n| n.domain == dial.theirs && n.server.is_some()) else {
                    self.step(node, Input::Unreached(dial), None);
                    return;
                };
                let link = LinkId(self.next_link);
                self.next_link += 1;
                self.links.insert(link, Connection { ends: [node, peer] });
                let exporter = postline_core::store::sha256(&[b"exporter", &link.0.to_be_bytes()]).0;
                self.at(
                    FRAME_MS,
                    peer,
                    Happening::Step(Input::Link(link, LinkIn::Up { dialled: None, exporter }), None),
                );
                let up = LinkIn::Up { dialled: Some(dial), exporter };
                self.at(FRAME_MS, node, Happening::Step(Input::Link(link, up), None));
            }
        }
    }

    fn step(&mut self, index: usize, input: Input, body: Option<Vec<u8>>) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(index) else { return };
        if let Some(body) = body {
            node.disk.stage(body);
        }
        match node.step(now, input) {
            Stepped::Effects(effects) => effects.into_iter().for_each(|effect| self.perform(index, effect)),
            Stepped::CommitFailed | Stepped::Down => {
                let gone = self.links.iter().filter(|(_, conn)| conn.ends.contains(&index)).map(|(link, _)| *link);
                for link in gone.collect::<Vec<_>>() {
                    self.cut(link);
                }
            }
        }
    }

    /// A connection ends for both.
    pub fn cut(&mut self, link: LinkId) {
        if let Some(conn) = self.links.remove(&link) {
            for end in conn.ends {
                self.at(FRAME_MS, end, Happening::Step(Input::Link(link, LinkIn::Down), None));
            }
        }
    }

    /// The connections that are up.
    pub fn connections(&self) -> impl Iterator<Item = LinkId> {
        self.links.keys().copied()
    }

    fn perform(&mut self, index: usize, effect: Output) {
        match effect {
            Output::Took(..) => {}
            Output::Deliver(send, mailbox, rcpts, letter) => {
                let bytes = self.compose(index, &letter);
                if let (Some(node), Some(bytes)) = (self.nodes.get_mut(index), bytes) {
                    node.mailboxes.entry(mailbox).or_default().insert(send.mail, bytes);
                }
                let outcome = Outcome { rcpts: vec![RcptOutcome::Done; rcpts.len()] };
                self.at(FRAME_MS, index, Happening::Step(Input::Report(send, outcome), None));
            }
            Output::Smtp(send, domain, rcpts, letter) => {
                let peer = self.nodes.iter().position(|node| node.domain == domain && node.server.is_some());
                let bytes = self.compose(index, &letter);
                let outcome = match (peer, bytes) {
                    (Some(peer), Some(bytes)) => {
                        let to = self.rcpts(peer, &rcpts);
                        let mail = mail_in(&bytes, Source::Stranger, letter.from, to);
                        let id = self.mail_id();
                        self.at(SMTP_MS, peer, Happening::Step(Input::Mail(id, mail), Some(bytes)));
                        RcptOutcome::Done
                    }
                    _ => RcptOutcome::Later("nobody there".to_owned()),
                };
                let outcome = Outcome { rcpts: vec![outcome; rcpts.len()] };
                self.at(SMTP_MS + 1, index, Happening::Step(Input::Report(send, outcome), None));
            }
            Output::Seek(mail, seek) => {
                let evidence = self.evidence(index, &seek);
                self.at(SMTP_MS, index, Happening::Step(Input::Evidence(mail, evidence), None));
            }
            Output::Dial(dial) => self.at(FRAME_MS, index, Happening::Connect(dial)),
            Output::Link(link, what) => self.link(index, link, what),
            Output::Event(event) => self.events.push((index, self.now, event)),
        }
    }

    /// In this world every node signs what it hands to SMTP, so a mail that wasn't rewritten passes.
    fn evidence(&self, index: usize, seek: &Seek) -> Evidence {
        let Seek::Dkim(blob) = seek else { return Evidence::Domain { names: None } };
        let bytes = self.nodes.get(index).and_then(|node| node.disk.body(*blob));
        let Some(from) = bytes.map(postline_codec::mime::scan).and_then(|head| Some(head.canonical()?.from.clone()))
        else {
            return Evidence::Temporary;
        };
        let names = ["from", "to", "cc", "date", "in-reply-to", "references", "message-id", "subject"];
        let ours = ["postline-offer", "postline-accept", "postline-id"];
        let signed = names.iter().chain(&ours).flat_map(|name| [*name; 2]).map(str::to_owned).collect();
        Evidence::Dkim(Dkim { passed: vec![DkimPass { domain: from.domain().clone(), signed, partial: false }] })
    }

    fn compose(&self, index: usize, letter: &Letter) -> Option<Vec<u8>> {
        let body = self.nodes.get(index)?.disk.body(letter.text.blob())?;
        match &letter.text {
            Text::Came(_) => {
                let (head, rest) = body.split_at(head_len(body));
                Some([compose_head(letter, head), rest.to_vec()].concat())
            }
            Text::Report { .. } => Some(b"report".to_vec()),
        }
    }

    fn link(&mut self, index: usize, link: LinkId, what: LinkOut) {
        let Some(conn) = self.links.get(&link).copied() else { return };
        let [a, b] = conn.ends;
        let peer = if a == index { b } else { a };
        match what {
            LinkOut::Send(Frame::Carry(carry)) => {
                let body = self.nodes.get(index).and_then(|node| node.disk.body(carry.body)).map(<[u8]>::to_vec);
                let inline = body.filter(|_| carry.body.len <= limits::CARRY_INLINE_BYTES);
                let mail = inline
                    .as_ref()
                    .map(|bytes| Box::new(self.carried(peer, bytes, &carry.envelope.from, &carry.envelope.to)));
                self.at(FRAME_MS, peer, Happening::Step(Input::Link(link, LinkIn::Carry(carry, mail)), inline));
            }
            LinkOut::Send(frame) => {
                self.at(FRAME_MS, peer, Happening::Step(Input::Link(link, LinkIn::Frame(frame)), None));
            }
            LinkOut::Fetch { blob } => {
                let have = LinkIn::Have { blob: blob.sha256, bytes: 0 };
                self.at(0, index, Happening::Step(Input::Link(link, have), None));
            }
            LinkOut::Chunks { blob, offset } => self.chunks(index, peer, link, blob, offset),
            LinkOut::Unfetch { .. } => {}
            LinkOut::Close => self.cut(link),
        }
    }

    fn carried(
        &self,
        node: usize,
        bytes: &[u8],
        from: &Address,
        to: &[Address],
    ) -> postline_core::content::mail::MailIn {
        mail_in(bytes, Source::Node, Some(from.clone()), self.rcpts(node, to))
    }

    fn chunks(&mut self, index: usize, peer: usize, link: LinkId, blob: BlobRef, mut offset: u64) {
        let Some(body) = self.nodes.get(index).and_then(|node| node.disk.body(blob)).map(<[u8]>::to_vec) else {
            return;
        };
        while offset < blob.len {
            let len = (blob.len - offset).min(limits::CHUNK_BYTES as u64);
            let frame = Frame::Chunk { blob: blob.sha256, offset, len: u32::try_from(len).unwrap_or(0) };
            self.at(FRAME_MS, peer, Happening::Step(Input::Link(link, LinkIn::Frame(frame)), None));
            offset += len;
        }
        // The header names the people: in this world the envelope is the header's.
        let head = postline_codec::mime::scan(&body);
        if let Some(canonical) = head.canonical() {
            let to: Vec<Address> = canonical.to_cc.iter().cloned().collect();
            let mail = self.carried(peer, &body, &canonical.from.clone(), &to);
            self.at(FRAME_MS, peer, Happening::Step(Input::Link(link, LinkIn::Body(blob, Box::new(mail))), Some(body)));
        }
    }
}
