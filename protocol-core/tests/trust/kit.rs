//! Two correspondents with a node each, and a store that holds every step to the laws of machines.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::content::mail::Tags;
use postline_core::fault::{Misuse, PeerFault};
use postline_core::id::{Address, MailId, NodeKey, Nonce, Pair};
use postline_core::limits;
use postline_core::machine::trust::{Came, Input, Output, Trust, TrustState};
use postline_core::net::Hint;
use postline_core::seal::{NodeIdentity, Secret, field};
use postline_core::step::{Machine, Outbox, Store, Tick};
use postline_core::store::{Key, Record, sha256};
use postline_core::time::{DAY, Millis};
use postline_core::wire::field::{Accept, AcceptDraft, Offer, OfferDraft};
use postline_core::wire::frame::TrustStep;

/// Some day in 2026.
pub(crate) const START: Millis = Millis(1_780_000_000_000);

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn node(seed: u8) -> NodeIdentity {
    NodeIdentity::new(&Secret::new([seed; 32]), NodeIdentity::public(&Secret::new([seed + 100; 32])))
}

/// A mail, as far as trust sees it.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) from: Address,
    pub(crate) to_cc: BTreeSet<Address>,
    pub(crate) message_id: String,
    pub(crate) offer: Option<Tags>,
    pub(crate) accept: Option<Tags>,
    pub(crate) automatic: bool,
}

#[derive(Default)]
struct Shelf(BTreeMap<Key, Record>);

impl Store for Shelf {
    type Fault = Infallible;

    fn write(&mut self, records: &[Record]) -> Result<(), Infallible> {
        for record in records {
            match record.value {
                Some(_) => self.0.insert(record.key.clone(), record.clone()),
                None => self.0.remove(&record.key),
            };
        }
        Ok(())
    }
}

/// One side of a pair: the machine, its node, its store.
pub(crate) struct Side {
    pub(crate) trust: Trust,
    pub(crate) node: NodeIdentity,
    pub(crate) now: Millis,
    shelf: Shelf,
    drawn: u64,
    arrived: BTreeMap<String, MailId>,
}

impl Side {
    pub(crate) fn new(ours: &str, theirs: &str, node: NodeIdentity) -> Self {
        let pair = Pair { ours: address(ours), theirs: address(theirs) };
        Self {
            trust: Trust::stranger(pair),
            node,
            now: START,
            shelf: Shelf::default(),
            drawn: 0,
            arrived: BTreeMap::new(),
        }
    }

    pub(crate) fn state(&self) -> TrustState {
        self.trust.state()
    }

    pub(crate) fn nk(&self) -> NodeKey {
        self.node.nk()
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.trust.deadline()
    }

    /// Random bytes that never repeat, and differ between nodes.
    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        sha256(&[&self.nk().0, self.trust.pair().ours.to_string().as_bytes(), &self.drawn.to_be_bytes()]).0
    }

    pub(crate) fn mail_id(&mut self) -> MailId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.draw()[..16]);
        MailId(id)
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(self.mail_id().0)
    }

    pub(crate) fn try_tell(&mut self, input: Input) -> Result<Vec<Output>, Misuse> {
        let tick = Tick { now: self.now, entropy: self.draw() };
        let woke = input == Input::Wake;
        let (before, mut out) = (self.trust.clone(), Outbox::new());
        let result = self.trust.step(&tick, input.clone(), &mut out);
        if result.is_err() {
            assert_eq!(self.trust, before, "a misuse changed the machine");
            assert!(out.is_empty(), "a misuse put something out");
            return result.map(|()| Vec::new());
        }
        let mut twin = before.clone();
        let mut twin_out = Outbox::new();
        twin.step(&tick, input, &mut twin_out).unwrap();
        assert_eq!(format!("{twin_out:?}"), format!("{out:?}"), "the same step, another output");
        if twin.after_crash() == before.after_crash() {
            assert_eq!(out.records().count(), 0, "saved though nothing changed");
        }

        let (records, held) = out.split();
        let durable = self.shelf.commit(&records).unwrap();
        self.obeys_the_laws(woke);
        Ok(held.open(durable))
    }

    pub(crate) fn tell(&mut self, input: Input) -> Vec<Output> {
        self.try_tell(input).unwrap()
    }

    fn obeys_the_laws(&self, woke: bool) {
        let pair = self.trust.pair().clone();
        let record = self.shelf.0.get(&Key::Trust(pair.clone()));
        assert_eq!(self.restored(), self.trust.after_crash(), "the records don't make the machine");
        let due = self.shelf.0.get(&Key::Due(pair)).and_then(|due| due.value.clone());
        assert_eq!(due, self.trust.deadline().map(|due| due.0.to_be_bytes().to_vec()), "the deadline is not filed");
        assert!(self.shelf.0.len() <= 2, "a pair has two records");
        if woke {
            assert!(self.trust.deadline().is_none_or(|due| due > self.now), "a deadline is left over after a wake");
        }
        if let Some(record) = record {
            assert!(record.value.as_ref().unwrap().len() < 8_192, "a pair's record grew");
            let passing = matches!(self.state(), TrustState::Offered | TrustState::Held | TrustState::Crossed);
            assert!(record.expires.is_none() || passing, "{:?} expires", self.state());
            assert!(record.expires.is_none_or(|end| end > self.now), "the record has ended, and the pair doesn't know");
        }
    }

    /// The pair's record, as it is stored.
    pub(crate) fn record(&self) -> Record {
        self.shelf.0[&Key::Trust(self.trust.pair().clone())].clone()
    }

    fn restored(&self) -> Trust {
        let pair = self.trust.pair().clone();
        match self.shelf.0.get(&Key::Trust(pair.clone())) {
            Some(record) => Trust::restore(pair, record).unwrap(),
            None => Trust::stranger(pair),
        }
    }

    /// The node loses power and starts again.
    pub(crate) fn crash(&mut self) {
        self.trust = self.restored();
    }

    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now.plus(ms);
        let mut all = Vec::new();
        while self.trust.deadline().is_some_and(|due| due <= self.now) {
            all.extend(self.tell(Input::Wake));
        }
        all
    }

    /// Our user writes, by hand; `answering` a mail or not. The node adds what goes along.
    pub(crate) fn write(&mut self, answering: Option<&Letter>) -> Letter {
        self.write_and_see(answering).0
    }

    pub(crate) fn write_and_see(&mut self, answering: Option<&Letter>) -> (Letter, Vec<Output>) {
        let (letter, offer, accept) = self.compose(answering);
        let (offer, accept) = (offer.as_ref().map(Into::into), accept.as_ref().map(Into::into));
        (letter, self.tell(Input::Wrote { offer, accept }))
    }

    pub(crate) fn compose(&mut self, answering: Option<&Letter>) -> (Letter, Option<Offer>, Option<Accept>) {
        let Pair { ours, theirs } = self.trust.pair().clone();
        let mut letter = Letter {
            from: ours,
            to_cc: [theirs].into(),
            message_id: format!("{}@node", self.mail_id()),
            offer: None,
            accept: None,
            automatic: false,
        };
        let answers: Vec<String> = answering.iter().map(|letter| letter.message_id.clone()).collect();
        if let Some(re) = self.trust.accepts(&answers, self.now).map(|held| held.t0) {
            let (tags, accept) = self.sign_accept(&letter, re);
            letter.accept = Some(tags);
            return (letter, None, Some(accept));
        }
        if !self.trust.wants_offer() {
            return (letter, None, None);
        }
        let (tags, offer) = self.sign_offer(&letter);
        letter.offer = Some(tags);
        (letter, Some(offer), None)
    }

    pub(crate) fn sign_offer(&mut self, letter: &Letter) -> (Tags, Offer) {
        let draft = OfferDraft {
            from: letter.from.clone(),
            to_cc: letter.to_cc.clone(),
            at: self.now,
            days: limits::OFFER_TTL_DAYS,
            nonce: self.nonce(),
            nk: self.nk(),
            next: Some(self.node.next_nk()),
            hint: Some(Hint::parse(&format!("mail.{}:7678", letter.from.domain())).unwrap()),
            ak: None,
        };
        let signature = self.node.sign(&draft);
        draft.signed(signature)
    }

    pub(crate) fn sign_accept(&mut self, letter: &Letter, re: postline_core::id::Hash) -> (Tags, Accept) {
        let draft = AcceptDraft {
            from: letter.from.clone(),
            to_cc: letter.to_cc.clone(),
            re,
            at: self.now,
            nonce: self.nonce(),
            nk: self.nk(),
            next: Some(self.node.next_nk()),
            hint: None,
            ak: None,
        };
        let signature = self.node.sign(&draft);
        draft.signed(signature)
    }

    /// Their mail arrives.
    pub(crate) fn read(&mut self, letter: &Letter) -> (MailId, Vec<Output>) {
        let mail = self.mail_id();
        self.arrived.insert(letter.message_id.clone(), mail);
        let came = came(mail, letter);
        (mail, self.tell(Input::Came(Box::new(came))))
    }

    /// Their mail arrives, and what was found out about it follows: good DKIM, and nothing said by the domain.
    pub(crate) fn read_vouched(&mut self, letter: &Letter) -> Vec<Output> {
        let (mail, mut all) = self.read(letter);
        all.extend(self.vouch(mail));
        all
    }

    /// What was found out about a mail: good DKIM, and nothing said by the domain.
    pub(crate) fn vouch(&mut self, mail: MailId) -> Vec<Output> {
        let from = self.trust.pair().theirs.clone();
        let mut all = self.tell(Input::Evidence(mail, good_dkim(&from)));
        all.extend(self.tell(Input::Evidence(mail, Evidence::Domain { names: None })));
        all
    }

    /// The last arrival of a mail.
    pub(crate) fn mail_of(&self, letter: &Letter) -> MailId {
        self.arrived[&letter.message_id]
    }

    pub(crate) fn hear(&mut self, nk: NodeKey, step: TrustStep, bytes: &[u8]) -> Vec<Output> {
        self.tell(Input::Step { nk, step, bytes: bytes.to_vec() })
    }
}

pub(crate) fn came(mail: MailId, letter: &Letter) -> Came {
    Came {
        mail,
        message_id: letter.message_id.clone(),
        offer: letter.offer.as_ref().map(|tags| field::read(&letter.from, &letter.to_cc, tags).unwrap()),
        accept: letter.accept.as_ref().map(|tags| field::read(&letter.from, &letter.to_cc, tags).unwrap()),
        automatic: letter.automatic,
    }
}

/// A DKIM pass of the author's domain over everything that counts.
pub(crate) fn good_dkim(from: &Address) -> Evidence {
    Evidence::Dkim(Dkim { passed: vec![good_pass(from)] })
}

pub(crate) fn good_pass(from: &Address) -> DkimPass {
    let twice = ["postline-offer", "postline-accept", "from", "date"];
    let once = ["to", "cc", "in-reply-to", "references", "subject"];
    let signed = twice.iter().chain(&twice).chain(&once).map(|name| (*name).to_owned()).collect();
    DkimPass { domain: from.domain().clone(), signed, partial: false }
}

pub(crate) fn no_dkim() -> Evidence {
    Evidence::Dkim(Dkim::default())
}

/// What a node says to another by these outputs.
pub(crate) fn said(outputs: &[Output]) -> Vec<(TrustStep, Vec<u8>)> {
    let said = outputs.iter().filter_map(|output| match output {
        Output::Say { step, bytes, .. } => Some((*step, bytes.clone())),
        _ => None,
    });
    said.collect()
}

pub(crate) fn refusals(outputs: &[Output]) -> Vec<PeerFault> {
    let refused = outputs.iter().filter_map(|output| match output {
        Output::Refused(why) => Some(why.clone()),
        _ => None,
    });
    refused.collect()
}

/// Alice at one node, Bob at another.
pub(crate) fn alice_and_bob() -> (Side, Side) {
    let (a, b) = ("alice@a.example", "bob@b.example");
    (Side::new(a, b, node(1)), Side::new(b, a, node(2)))
}

/// Alice and Bob, who have a line.
pub(crate) fn a_line() -> (Side, Side) {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    finish(&mut alice, &mut bob, &offer, &accept);
    (alice, bob)
}

/// Bob has accepted Alice's offer: everything that follows goes well.
pub(crate) fn finish(alice: &mut Side, bob: &mut Side, offer: &Letter, accept: &Letter) {
    let awaited = bob.mail_of(offer);
    bob.tell(Input::Evidence(awaited, Evidence::Domain { names: None }));
    let m2 = said(&alice.read_vouched(accept));
    let m3 = said(&bob.hear(alice.nk(), m2[0].0, &m2[0].1));
    alice.hear(bob.nk(), m3[0].0, &m3[0].1);
    assert_eq!((alice.state(), bob.state()), (TrustState::Trusted, TrustState::Trusted));
    assert_eq!(alice.trust.t2(), bob.trust.t2());
}

/// Longer than a handshake lasts.
pub(crate) const LONG: u64 = 8 * DAY;
