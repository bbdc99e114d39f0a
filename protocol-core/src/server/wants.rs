//! Which records a step needs: asked again until empty, since what one says names the next.

use std::collections::BTreeSet;

use super::here::HERE;
use super::{Command, Evidence, Input, LinkIn, Server, SessionIn};
use crate::content::mail::{Canonical, MailIn, Rcpt, Source};
use crate::id::{Address, ConversationId, DeviceKey, Lane, LinkId, NodeKey, Pair};
use crate::machine::queue::Origin;
use crate::store::Key;
use crate::wire::frame::{Ask, Carry, Frame, TrustStep};
use crate::wire::talk::{Publication, Question, Talk};
use crate::wire::whisper::Whisper;

use super::book::Seen;

pub(super) fn wants(server: &Server, input: &Input) -> Vec<Key> {
    // What was unfinished when the node stopped is brought before the first step.
    let mut wants = Wants { server, keys: server.cold.clone() };
    wants.keys.extend(server.unsettled_want());
    wants.keys.extend(server.comers_want());
    match input {
        Input::Mail(id, mail) if mail.source == Source::Hosted => wants.seen(*id),
        Input::Mail(_, mail) => wants.mail(mail),
        Input::Filter(_, mail) => wants.written(&mail.canonical.from, &mail.to),
        Input::Evidence(mail, evidence) => {
            if let Evidence::Domain { names: Some(nk) } = evidence {
                wants.alias(*nk);
            }
            let pending = server.pending.get(mail);
            pending
                .into_iter()
                .flat_map(|pending| &pending.asks)
                .for_each(|(pair, _)| wants.pair_and_node(pair.clone()));
        }
        Input::Link(link, input) => wants.link(*link, input),
        Input::Unreached(dial) => {
            wants.alias(dial.nk);
            wants.node(server.name(dial.nk));
        }
        Input::Report(send, _) => {
            let entry = server.lanes.get(&send.lane).and_then(|queue| queue.entry(send.mail));
            if let Some(Origin::Node { nk, .. }) = entry.map(|entry| &entry.origin) {
                wants.seen(send.mail);
                wants.node(*nk);
            }
        }
        Input::Command(Command::Block(pair) | Command::Unblock(pair) | Command::Readmit(pair, _)) => {
            wants.pair_and_node(pair.clone());
        }
        Input::Session(session, input) => {
            wants.keys.extend(server.session_wants(*session, input));
            if let (SessionIn::Frame(Frame::Talk(talk)), Some(who)) = (input, server.online_at(*session)) {
                if let Talk::Publish { what: Publication::Block { theirs, .. }, .. } = talk {
                    wants.pair_and_node(Pair { ours: who.address.clone(), theirs: theirs.clone() });
                }
                wants.talk(talk);
            }
            if let (SessionIn::Frame(Frame::Whisper(whisper)), Some(who)) = (input, server.online_at(*session)) {
                server.whisper_wants(who, whisper).into_iter().for_each(|pair| wants.pair(pair));
                wants.whisper(whisper);
            }
        }
        Input::Command(Command::RevokeDevice(address, dk)) => wants.device(address, *dk),
        Input::Command(Command::Offers(ours, _)) => wants.offers(ours),
        Input::Command(Command::Retry(_) | Command::Drain | Command::BlockDomain(_) | Command::UnblockDomain(_))
        | Input::Wake
        | Input::BatchEnd => {}
    }
    wants.keys.into_iter().collect()
}

struct Wants<'s> {
    server: &'s Server,
    keys: BTreeSet<Key>,
}

impl Wants<'_> {
    fn pair(&mut self, pair: Pair) {
        match self.server.pairs.get(&pair) {
            Some(trust) => trust.nodes().for_each(|nk| self.alias(nk)),
            None => _ = self.keys.insert(Key::Trust(pair)),
        }
    }

    /// By which name a key's node is known.
    fn alias(&mut self, nk: NodeKey) {
        if !self.server.aliases.contains_key(&nk) {
            self.keys.insert(Key::Alias(nk));
        }
    }

    /// A device, and what is known of its address's keys.
    fn device(&mut self, address: &Address, dk: DeviceKey) {
        if !self.server.knows_device(dk) {
            self.keys.insert(Key::Device(dk));
        }
        if !self.server.keys.known.contains_key(address) {
            self.keys.insert(Key::Keys(address.clone()));
        }
    }

    fn offers(&mut self, ours: &Address) {
        if !self.server.offers.contains_key(ours) {
            self.keys.insert(Key::Offers(ours.clone()));
        }
    }

    /// The pair, the list it may be on as a stranger, and whatever node it names.
    fn pair_and_node(&mut self, pair: Pair) {
        if !self.server.strangers.contains_key(&pair.ours) {
            self.keys.insert(Key::Strangers(pair.ours.clone()));
        }
        if let Some(trust) = self.server.pairs.get(&pair) {
            let nodes = [trust.peer_nk().map(|nk| self.server.name(nk)), trust.known()];
            nodes.into_iter().flatten().filter(|nk| *nk != HERE).for_each(|nk| self.node(nk));
        }
        self.pair(pair);
    }

    fn node(&mut self, nk: NodeKey) {
        if !self.server.links.contains_key(&nk) {
            self.keys.insert(Key::Peer(nk));
        }
        if !self.server.routes.contains_key(&nk) {
            self.keys.insert(Key::Route(nk));
        }
    }

    fn seen(&mut self, mail: crate::id::MailId) {
        if !self.server.seen.contains_key(&mail) {
            self.keys.insert(Key::Seen(mail));
        }
    }

    fn mail(&mut self, mail: &MailIn) {
        let Some(canonical) = mail.head.canonical() else { return };
        match &mail.source {
            Source::User { author: Some(author), .. } => {
                self.written(author, &mail.envelope.to);
            }
            Source::Relay { .. } => {
                if super::arrivals::claimed_id(canonical, self.server.ours.identity.nk()).is_some() {
                    self.written(&canonical.from, &mail.envelope.to);
                }
            }
            Source::User { author: None, .. } | Source::Hosted => {}
            Source::Stranger | Source::Front | Source::Node => {
                self.outside(canonical, mail.envelope.to.iter().map(|r| &r.address));
            }
        }
    }

    /// What one of our users is to those elsewhere that they wrote to.
    fn written(&mut self, author: &Address, to: &[Rcpt]) {
        self.offers(author);
        for rcpt in to {
            let pair = Pair { ours: author.clone(), theirs: rcpt.address.clone() };
            if rcpt.mailbox.is_some() && rcpt.address != *author {
                self.pair_and_node(Pair { ours: pair.theirs.clone(), theirs: pair.ours.clone() });
            }
            self.pair_and_node(pair);
        }
    }

    fn outside<'a>(&mut self, canonical: &Canonical, rcpts: impl Iterator<Item = &'a Address>) {
        if canonical.offer.is_none() && canonical.accept.is_none() && canonical.carried.is_none() {
            return;
        }
        // A field speaks to those whom the header names; a copy is one for whoever it reaches, a Bcc'd person too.
        let is_copy = canonical.carried.is_some();
        for ours in rcpts.filter(|rcpt| is_copy || canonical.to_cc.contains(*rcpt)) {
            let pair = Pair { ours: ours.clone(), theirs: canonical.from.clone() };
            self.pair_and_node(pair.clone());
            if let Some((nk, id)) = super::arrivals::claimed_copy(canonical) {
                self.alias(nk);
                self.seen(Seen::id_of(self.server.stands_for(&pair, nk), id));
            }
        }
        super::arrivals::claimed_offerer(canonical).into_iter().for_each(|nk| self.alias(nk));
        if let Some(nk) = super::arrivals::claimed_node(canonical) {
            self.alias(nk);
            self.node(self.server.name(nk));
        }
    }

    fn link(&mut self, link: LinkId, input: &LinkIn) {
        if let LinkIn::Up { dialled: Some(dial), .. } = input {
            self.alias(dial.nk);
            self.node(self.server.name(dial.nk));
        }
        if let Some(greet) = self.server.greetings.get(&link) {
            let claims = [greet.machine.claims(), greet.machine.claims_to_follow()];
            for nk in claims.into_iter().flatten() {
                self.alias(nk);
                let name = self.server.name(nk);
                self.node(name);
                self.node(nk);
                let unfinished = [nk, name].map(|nk| self.server.unfinished.get(&nk));
                let unfinished = unfinished.into_iter().flatten().flatten();
                unfinished.for_each(|pair| self.pair_and_node(pair.clone()));
            }
        }
        let Some(nk) = self.server.proven.get(&link).map(|conn| conn.nk) else { return };
        self.node(nk);
        match input {
            LinkIn::Carry(carry, _) => self.carry(nk, carry),
            LinkIn::Body(blob, _) => {
                let waiting = self.server.fetching.get(&(link, *blob));
                waiting.into_iter().flatten().for_each(|carry| self.carry(nk, carry));
            }
            LinkIn::Frame(Frame::Trust(trust)) => {
                let pair = Pair { ours: trust.pair.theirs.clone(), theirs: trust.pair.ours.clone() };
                if trust.step == TrustStep::Keys {
                    self.keys.extend(self.server.keys_want(&pair));
                }
                self.pair_and_node(pair);
            }
            LinkIn::Frame(Frame::Talk(talk)) => {
                self.talk(talk);
                if let Talk::Post(post) = talk {
                    let unknown = self.server.authors_at(post, nk).into_iter();
                    let unknown = unknown.filter(|address| !self.server.keys.known.contains_key(address));
                    self.keys.extend(unknown.map(Key::Keys));
                }
                self.keys.extend(self.server.talk_wants(nk, talk));
            }
            LinkIn::Frame(Frame::File(file)) => self.keys.extend(self.server.node_file_wants(file)),
            LinkIn::Bytes(bytes) => self.keys.extend(self.server.bytes_want(None, Some(link), bytes)),
            LinkIn::Frame(Frame::Whisper(whisper)) => self.whisper(whisper),
            LinkIn::Frame(Frame::Ask(Ask::Marks(ids))) => {
                ids.iter().for_each(|id| self.seen(Seen::id_of(nk, *id)));
            }
            LinkIn::Frame(Frame::Refuse { seq, .. }) => {
                // A refusal for want of a line is news for the pairs of that mail.
                let mail = self.server.links.get(&nk).and_then(|link| link.mail_of(*seq));
                let queue = self.server.lanes.get(&Lane::Node(nk));
                let entry = mail.and_then(|mail| queue.and_then(|queue| queue.entry(mail)));
                entry.into_iter().flat_map(super::queues::pairs_of).for_each(|pair| self.pair_and_node(pair));
            }
            LinkIn::Up { .. }
            | LinkIn::Frame(_)
            | LinkIn::Have { .. }
            | LinkIn::Spoiled(_)
            | LinkIn::Garbage(_)
            | LinkIn::Down => {}
        }
    }

    fn carry(&mut self, nk: NodeKey, carry: &Carry) {
        self.seen(Seen::id_of(nk, carry.id));
        for ours in &carry.envelope.to {
            self.pair(Pair { ours: ours.clone(), theirs: carry.envelope.from.clone() });
        }
    }

    /// What something about a conversation needs.
    fn talk(&mut self, talk: &Talk) {
        match talk {
            Talk::Post(post) => self.conversation(post.conversation, &post.members),
            Talk::Event(event) => {
                self.conversation(event.conversation, &event.members);
                let author = event.origin.and_then(|origin| self.server.author_of(event.conversation, origin));
                author.into_iter().for_each(|dk| self.keys.extend(self.server.device_unless_known(dk)));
            }
            Talk::Have { conversation, .. }
            | Talk::Delivered { conversation, .. }
            | Talk::Unposted { conversation, .. }
            | Talk::Ask { what: Question::Range { conversation, .. }, .. } => {
                self.conversation(*conversation, &[]);
            }
            Talk::Heads(heads) => {
                heads.heads.iter().for_each(|(_, head)| self.conversation(head.conversation, &[]));
            }
            Talk::Publish { .. }
            | Talk::Published { .. }
            | Talk::Ask { .. }
            | Talk::Answer { .. }
            | Talk::Line(_)
            | Talk::Login { .. } => {}
        }
    }

    /// What something that is whispered needs: of the entries, nothing; of who writes, the conversation and its lines.
    fn whisper(&mut self, whisper: &Whisper) {
        if let Whisper::Types(_, conversation) = whisper {
            self.conversation(*conversation, &[]);
        }
    }

    /// A conversation's log and the lines that it goes by; of one that begins, those of its members.
    fn conversation(&mut self, id: ConversationId, members: &[Address]) {
        if !self.server.talks.knows(id) {
            self.keys.insert(Key::Log(id));
            return;
        }
        if let Some(log) = self.server.talks.log(id) {
            super::logs::pairs_of(log, None).into_iter().for_each(|pair| self.pair(pair));
            return;
        }
        let here = |address: &&Address| self.server.ours.domains.contains(address.domain());
        let ours: Vec<Address> = members.iter().filter(here).take(2).filter(|_| members.len() == 2).cloned().collect();
        for address in ours {
            if !self.server.talks.knows_list(&address) {
                self.keys.insert(Key::Talks(address.clone()));
            }
            super::talks::pair_in(members, &address).into_iter().for_each(|pair| self.pair(pair));
        }
    }
}
