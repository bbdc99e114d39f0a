//! What every word and every event of a node is held to, the moment it leaves.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::id::{Address, CarryId, ConversationId, Hash, LinkId, Pair};
use postline_core::machine::trust::TrustState;
use postline_core::seal;
use postline_core::server::io::{Carrier, Mark};
use postline_core::server::{Event, HERE};
use postline_core::wire::field::{Accept, Carried, Offer};
use postline_core::wire::frame::{Frame, TrustStep};
use postline_core::wire::hello::{End, Hello, Proof};
use postline_core::wire::log::direct;
use postline_core::wire::signed::{OnConnection, Signable};
use postline_core::wire::talk::{Question, Talk};
use postline_core::wire::whisper::{Delta, Whisper, Word};

use super::World;
use crate::bytes::mailbox_of;
use crate::node::Broken;

/// What was said so far, as far as a later word must fit to it.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Which mail a seq named, by speaker, listener and seq.
    seqs: BTreeMap<(usize, usize, u64), CarryId>,
    /// Who first said these bytes of a handshake.
    words: BTreeMap<Vec<u8>, usize>,
    /// The bodies that were announced on links.
    pub(super) bodies: BTreeSet<Hash>,
    /// The store generation that the other end of a connection named, by connection and hearing end.
    generations: BTreeMap<(LinkId, usize), u64>,
    /// The newest store to which a node handed mails, by itself and the other.
    stores: BTreeMap<(usize, usize), u64>,
    /// Whose conversations are: each line's of a pair, those that are over too. A conversation goes on in the next line.
    talks: BTreeMap<ConversationId, Pair>,
}

impl World {
    /// I17: what a node signs on a link is its own, and verifies against what we can build ourselves.
    pub(super) fn prove(&mut self, index: usize, link: LinkId, end: usize, frame: &Frame) {
        let stranger = self.lines.get(&link).and_then(|conn| conn.ends.get(1 - end)) == Some(&usize::MAX);
        if stranger && !matches!(frame, Frame::Hello(_) | Frame::Proof(_) | Frame::Bye { .. }) {
            self.breaks(("I19", format!("node {index} says {frame:?} to who has proven nothing")));
        }
        if !self.ledger.lawless.contains(&index) {
            let proven = self.proves(index, link, end, frame);
            self.holds(proven);
        }
        if let Frame::Hello(bytes) = frame
            && let Some(hello) = self.lines.get_mut(&link).and_then(|conn| conn.hellos.get_mut(end))
        {
            *hello = Some(bytes.clone());
        }
    }

    fn proves(&mut self, index: usize, link: LinkId, end: usize, frame: &Frame) -> Result<(), Broken> {
        let (Some(node), Some(conn)) = (self.nodes.get(index), self.lines.get(&link)) else { return Ok(()) };
        let nk = node.nk();
        let wrong = |what: &str| Err(("I17", format!("node {index}: {what}")));
        match frame {
            Frame::Hello(bytes) if Hello::parse(bytes).is_ok_and(|hello| hello.nk == nk) => Ok(()),
            Frame::Hello(_) => wrong("a Hello that names another key"),
            Frame::Proof(signature) => {
                let [Some(dialler), Some(listener)] = &conn.hellos else { return wrong("a proof before both Hellos") };
                let role = if end == 0 { End::Dialler } else { End::Listener };
                let value = Proof::new(role, dialler, listener, &conn.exporter);
                seal::verify(nk, value.role(), &value.canonical(), signature)
                    .or_else(|_| wrong("a proof of something else"))
            }
            Frame::Trust(trust) => {
                let value = OnConnection::new(trust.step, &trust.bytes, &conn.exporter);
                if seal::verify_value(nk, &value, &trust.signature).is_err() {
                    return wrong("a step that doesn't verify");
                }
                if trust.step == TrustStep::Keys {
                    // A person's own word, or the hash of the other's: neither is the node's.
                    return Ok(());
                }
                let one = self.as_one(index);
                let first = *self.proofs.words.entry(trust.bytes.clone()).or_insert(one);
                if first == one { Ok(()) } else { wrong("signs the word of another node") }
            }
            Frame::Carry(carry) => {
                let peer = self.as_one(conn.ends.get(1 - end).copied().unwrap_or_default());
                let named = self.proofs.generations.get(&(link, end)).copied().unwrap_or_default();
                let newest = self.proofs.stores.entry((index, peer)).or_default();
                *newest = named.max(*newest);
                if named < *newest && !self.ledger.rolled_back.contains(&index) {
                    return Err(("I1", format!("node {index} hands a mail to an older copy of node {peer}")));
                }
                let first = *self.proofs.seqs.entry((index, peer, carry.seq)).or_insert(carry.id);
                let excused = self.ledger.rolled_back.contains(&index);
                let what = || format!("node {index}: seq {} names {} and then {}", carry.seq, first, carry.id);
                if first == carry.id || excused { Ok(()) } else { Err(("I16", what())) }
            }
            // Stories play devices of their own, and know themselves who may hear what.
            Frame::Talk(talk) if !self.devices.is_empty() => {
                let peer = conn.ends.get(1 - end).copied().unwrap_or_default();
                self.is_between_friends(index, peer, talk)
            }
            Frame::Whisper(whisper) if !self.devices.is_empty() => {
                let peer = conn.ends.get(1 - end).copied().unwrap_or_default();
                self.is_whispered_to_friends(index, peer, whisper)
            }
            _ => Ok(()),
        }
    }

    /// I24: what is said in a conversation, its marks, or asked of keys, goes only where two have a line.
    fn is_between_friends(&self, index: usize, peer: usize, talk: &Talk) -> Result<(), Broken> {
        let conversation = match talk {
            Talk::Post(post) => post.conversation,
            Talk::Event(event) => event.conversation,
            Talk::Have { conversation, .. } | Talk::Delivered { conversation, .. } => *conversation,
            Talk::Heads(heads) => {
                let mut spoken = heads.heads.iter().map(|(_, head)| head.conversation);
                return spoken.try_for_each(|id| self.is_of_friends(index, peer, id));
            }
            Talk::Ask {
                what: Question::Lists { asker, whose, .. } | Question::Packages { asker, whose, .. }, ..
            } => {
                let pair = Pair { ours: asker.clone(), theirs: whose.clone() };
                return self.have_a_line(index, peer, |known| *known == pair);
            }
            _ => return Ok(()),
        };
        self.is_of_friends(index, peer, conversation)
    }

    /// I24: of nobody is anything told who didn't agree to it, nor to anybody without a line; and whether they are here only where
    /// both agreed. What was told may be taken back at the end of a line.
    fn is_whispered_to_friends(&self, index: usize, peer: usize, whisper: &Whisper) -> Result<(), Broken> {
        let wrong = |what: &str| Err(("I24", format!("node {index} whispers to node {peer} {what}: {whisper:?}")));
        match whisper {
            Whisper::Vector(deltas) => {
                for Delta { of, to, word } in deltas {
                    let pair = Pair { ours: of.clone(), theirs: to.clone() };
                    let mirrored = pair.mirrored();
                    if self.home(of) != Some(index) || self.home(to) != Some(peer) || !self.agreed.contains(&pair) {
                        return wrong("of somebody who didn't agree, or to somebody else");
                    }
                    if matches!(word, Word::Shows(_)) && !self.agreed.contains(&mirrored) {
                        return wrong("what only two who agree may know");
                    }
                    if *word != Word::Silent {
                        self.have_a_line(index, peer, |known| *known == pair)?;
                    }
                }
                Ok(())
            }
            Whisper::Types(who, conversation) => {
                if self.home(who) != Some(index) {
                    return wrong("of somebody who isn't its own");
                }
                self.is_of_friends(index, peer, *conversation)
            }
            Whisper::Active | Whisper::Choices(_) => wrong("what only devices say"),
        }
    }

    /// I24, on sessions: a node shows its people nobody but those with whom they agree.
    pub(super) fn whispers_to_its_own(&self, index: usize, ours: &Address, whisper: &Whisper) -> Result<(), Broken> {
        let Whisper::Vector(deltas) = whisper else { return Ok(()) };
        let may = |delta: &Delta| {
            let pair = Pair { ours: ours.clone(), theirs: delta.of.clone() };
            let mirrored = Pair { ours: delta.of.clone(), theirs: ours.clone() };
            let lawless = self.home(&delta.of).is_some_and(|home| self.ledger.lawless.contains(&home));
            delta.to == *ours
                && (delta.word == Word::Silent
                    || (self.agreed.contains(&pair) && (lawless || self.agreed.contains(&mirrored))))
        };
        if deltas.iter().all(may) { Ok(()) } else { Err(("I24", format!("node {index} shows {ours} {deltas:?}"))) }
    }

    /// I24, on sessions: a device says of its person what they have chosen, and nothing else.
    pub(super) fn device_whispers(&self, index: usize, whisper: &Whisper) -> Result<(), Broken> {
        let Some(ours) = self.devices.get(index).map(|device| &device.address) else { return Ok(()) };
        let agreed = |theirs: &Address| self.agreed.contains(&Pair { ours: ours.clone(), theirs: theirs.clone() });
        let holds = match whisper {
            Whisper::Choices(choices) => choices.iter().all(|choice| !choice.agrees || agreed(&choice.theirs)),
            Whisper::Active => self.agreed.iter().any(|pair| pair.ours == *ours),
            Whisper::Types(who, _) => who == ours,
            Whisper::Vector(_) => false,
        };
        if holds { Ok(()) } else { Err(("I24", format!("device {index} whispers {whisper:?}"))) }
    }

    fn is_of_friends(&self, index: usize, peer: usize, conversation: ConversationId) -> Result<(), Broken> {
        let whose = self.proofs.talks.get(&conversation);
        self.have_a_line(index, peer, |pair| whose.is_some_and(|whose| pair == whose || *pair == whose.mirrored()))
    }

    fn have_a_line(&self, index: usize, peer: usize, is_it: impl Fn(&Pair) -> bool) -> Result<(), Broken> {
        let people = self.people();
        let all = people.iter().flat_map(|ours| people.iter().map(move |theirs| (ours, theirs)));
        let mut here = all.filter(|(ours, theirs)| self.home(ours) == Some(index) && self.home(theirs) == Some(peer));
        let is_line = |pair: &Pair| self.nodes.get(index).is_some_and(|node| node.trust(pair).line().is_some());
        let found = here.any(|(ours, theirs)| {
            let pair = Pair { ours: ours.clone(), theirs: theirs.clone() };
            is_it(&pair) && is_line(&pair)
        });
        let what = || ("I24", format!("node {index} speaks to node {peer} of what only friends may know"));
        if found { Ok(()) } else { Err(what()) }
    }

    /// A node hears which store it talks to.
    pub(super) fn note_generation(&mut self, link: LinkId, end: usize, generation: u64) {
        self.proofs.generations.insert((link, end), generation);
    }

    /// I17, in mails: our fields are ours, and verify.
    pub(super) fn prove_fields(&mut self, index: usize, bytes: &[u8]) {
        let head = postline_codec::mime::scan(bytes);
        let (Some(canonical), Some(node)) = (head.canonical(), self.nodes.get(index)) else { return };
        let (from, to_cc, keys) = (&canonical.from, &canonical.to_cc, node.keys());
        let offer = canonical.offer.as_ref().map(|tags| seal::field::read::<Offer>(from, to_cc, tags).map(|f| f.nk));
        let accept = canonical.accept.as_ref().map(|tags| seal::field::read::<Accept>(from, to_cc, tags).map(|f| f.nk));
        let id = canonical.carried.as_ref().map(|tags| seal::field::read::<Carried>(from, to_cc, tags).map(|f| f.nk));
        for field in [offer, accept, id].into_iter().flatten() {
            if !field.as_ref().is_ok_and(|nk| keys.contains(nk)) && !self.ledger.lawless.contains(&index) {
                self.breaks(("I17", format!("node {index} hands over a field that it didn't sign: {field:?}")));
            }
        }
    }

    /// Holds what a node says happened to what really happened.
    pub(super) fn watch(&mut self, index: usize, event: &Event) {
        if self.ledger.lawless.contains(&index) {
            return;
        }
        if let Event::Trust { pair, to: TrustState::Confirming, .. } = event {
            self.ledger.confirms(pair);
        }
        if let Event::Trust { pair, to: TrustState::Confirming | TrustState::Trusted, .. } = event
            && let Some(t2) = self.nodes.get(index).and_then(|node| node.trust(pair).t2())
        {
            self.proofs.talks.insert(direct(t2), pair.clone());
        }
        let held = match event {
            Event::Trust { pair, from: TrustState::Accepting, to: TrustState::Trusted } => {
                self.is_confirmed(pair).and_then(|()| self.is_earned(index, pair, TrustState::Trusted))
            }
            Event::Trust { pair, to: to @ (TrustState::Confirming | TrustState::Trusted), .. } => {
                self.is_earned(index, pair, *to)
            }
            Event::Marked {
                message_id: Some(marker), rcpts, mark: Mark::Delivered, carrier: Carrier::Link, ..
            } => self.is_delivered(index, marker, rcpts),
            _ => Ok(()),
        };
        self.holds(held);
    }

    /// I19: trust only after a genuine two-way exchange, and only with the node of the other's own domain.
    fn is_earned(&self, index: usize, pair: &Pair, to: TrustState) -> Result<(), Broken> {
        let Some(theirs) = self.home(&pair.theirs) else {
            return Err(("I19", format!("{pair} are {to:?}, and one of them has no node")));
        };
        let lawful = !self.ledger.lawless.contains(&theirs);
        let earned = if lawful {
            self.ledger.is_genuine(&pair.ours, &pair.theirs)
        } else {
            self.ledger.has_written(&pair.ours, &pair.theirs)
        };
        if !earned {
            return Err(("I19", format!("{pair} are {to:?} without having written to each other")));
        }
        let (Some(node), Some(peer)) = (self.nodes.get(index), self.nodes.get(theirs)) else { return Ok(()) };
        let trust = node.trust(pair);
        match trust.peer_nk() {
            Some(HERE) if theirs == index => Ok(()),
            Some(nk) if trust.state() == to && !peer.keys().contains(&nk) => {
                Err(("I19", format!("{pair} are {to:?} by way of a node that isn't theirs")))
            }
            _ => Ok(()),
        }
    }

    /// I19: who accepted has a line only once the other's own node has confirmed.
    fn is_confirmed(&self, pair: &Pair) -> Result<(), Broken> {
        let mirrored = Pair { ours: pair.theirs.clone(), theirs: pair.ours.clone() };
        let Some(theirs) = self.home(&pair.theirs).filter(|theirs| !self.ledger.lawless.contains(theirs)) else {
            return Ok(());
        };
        let state = self.nodes.get(theirs).map(|node| node.trust(&mirrored).state());
        let open =
            [TrustState::Stranger, TrustState::Offered, TrustState::Held, TrustState::Crossed, TrustState::Accepting];
        let excused = self.ledger.has_confirmed(&mirrored) || self.ledger.rolled_back.contains(&theirs);
        if state.is_some_and(|state| open.contains(&state)) && !excused {
            return Err(("I19", format!("{pair} have a line that the other node never confirmed: {state:?}")));
        }
        Ok(())
    }

    /// I5: delivered means durable in the recipient's mailbox.
    fn is_delivered(&self, index: usize, marker: &str, rcpts: &[Address]) -> Result<(), Broken> {
        for rcpt in rcpts {
            let Some(home) = self.home(rcpt) else { continue };
            let excused = self.ledger.lawless.contains(&home) || self.ledger.rolled_back.contains(&home);
            if !excused && !self.ledger.is_shown(marker, home, &mailbox_of(rcpt)) {
                return Err(("I5", format!("node {index} says that {rcpt} has {marker}")));
            }
        }
        Ok(())
    }
}
