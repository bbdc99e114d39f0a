//! Whatever is lost, doubled, reordered, replayed or forged: both sides agree, and only the two of them ever get a line.
//!
//! Every step goes through the kit, which holds it to the laws of machines: deterministic, restorable, nothing saved
//! without a change, no deadline left behind, bounded records.

use std::collections::BTreeSet;

use postline_core::content::evidence::Evidence;
use postline_core::fault::RestoreError;
use postline_core::id::{MailId, NodeKey};
use postline_core::machine::trust::{Input, Output, Trust, TrustState};
use postline_core::step::{Machine as _, Outbox, Tick};
use postline_core::store::Record;
use postline_core::time::{HOUR, MINUTE};
use postline_core::wire::frame::TrustStep;
use proptest::prelude::*;

use crate::kit::{LONG, Letter, Side, a_line, alice_and_bob, finish, good_dkim, no_dkim, node, said};

/// Something on its way to Alice (0) or Bob (1).
#[derive(Clone, Debug)]
enum Way {
    Mail(Letter, Author),
    Answer(MailId, Evidence),
    Word(NodeKey, TrustStep, Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    Genuine,
    Spoofer,
}

/// Alice and Bob, the mails and frames between them, and Mallory, who sees all and has no key of theirs.
struct World {
    sides: [Side; 2],
    mallory: [Side; 2],
    ways: Vec<(usize, Way)>,
    written: [Vec<Letter>; 2],
    spoofed: BTreeSet<MailId>,
}

impl World {
    fn new() -> Self {
        let (alice, bob) = alice_and_bob();
        let (mut as_alice, mut as_bob) = alice_and_bob();
        (as_alice.node, as_bob.node) = (node(66), node(67));
        Self {
            sides: [alice, bob],
            mallory: [as_alice, as_bob],
            ways: Vec::new(),
            written: [Vec::new(), Vec::new()],
            spoofed: BTreeSet::new(),
        }
    }

    /// One event, chosen by three numbers.
    fn happens(&mut self, (what, which, how): (u8, u8, u8)) {
        let me = usize::from(which & 1);
        let pick = |len: usize| (len > 0).then(|| usize::from(how) % len);
        match what % 16 {
            0 => self.write(me, None),
            1 | 2 => {
                let letter = pick(self.written[1 - me].len()).map(|at| self.written[1 - me][at].clone());
                self.write(me, letter);
            }
            3..=7 => {
                if let Some(at) = pick(self.ways.len()) {
                    let (to, way) = self.ways.remove(at);
                    self.arrives(to, way);
                }
            }
            8 => {
                if let Some((to, way)) = pick(self.ways.len()).map(|at| self.ways[at].clone()) {
                    self.arrives(to, way);
                }
            }
            9 => {
                if let Some(at) = pick(self.ways.len()) {
                    self.ways.remove(at);
                }
            }
            10 => self.link_up(),
            11 => {
                let ms = if how < 240 { u64::from(how) * MINUTE } else { u64::from(how) * HOUR };
                self.pass(ms);
            }
            12 => self.sides[me].crash(),
            13 => self.mallory_spoofs(me, how),
            14 => {
                // Replays: a genuine mail again, or a word that Mallory overheard, on a link of hers.
                if let Some(at) = pick(self.written[1 - me].len()) {
                    self.ways.push((me, Way::Mail(self.written[1 - me][at].clone(), Author::Genuine)));
                }
                let words = self.ways.iter().filter_map(|(to, way)| match way {
                    Way::Word(_, step, bytes) => Some((*to, Way::Word(node(66).nk(), *step, bytes.clone()))),
                    Way::Mail(..) | Way::Answer(..) => None,
                });
                self.ways.extend(words.collect::<Vec<_>>());
            }
            _ => match how % 8 {
                0 => self.tell(me, Input::Block),
                1 | 2 => self.tell(me, Input::Unblock),
                3 | 4 if self.sides[1 - me].trust.line().is_none() => self.tell(me, Input::Denied),
                _ => {
                    let nk = self.sides[1 - me].nk();
                    self.tell(me, Input::Express { nk });
                    self.tell(me, Input::Express { nk: node(66).nk() });
                }
            },
        }
        self.agrees();
    }

    fn write(&mut self, me: usize, answering: Option<Letter>) {
        let (letter, outputs) = self.sides[me].write_and_see(answering.as_ref());
        self.written[me].push(letter.clone());
        self.ways.push((1 - me, Way::Mail(letter, Author::Genuine)));
        self.perform(me, outputs);
    }

    /// Mallory writes in the other's name: an offer, or an accept of an offer she saw.
    fn mallory_spoofs(&mut self, victim: usize, how: u8) {
        let mallory = &mut self.mallory[1 - victim];
        mallory.now = self.sides[victim].now;
        let mut letter = mallory.write(None);
        if how & 1 == 0 {
            letter.offer = Some(mallory.sign_offer(&letter).0);
        } else if let Some(seen) = self.written[victim].iter().rev().find(|seen| seen.offer.is_some()) {
            let offer = crate::kit::came(MailId([0; 16]), seen).offer.unwrap();
            letter.accept = Some(mallory.sign_accept(&letter, offer.hash).0);
        }
        self.ways.push((victim, Way::Mail(letter, Author::Spoofer)));
    }

    fn arrives(&mut self, to: usize, way: Way) {
        match way {
            Way::Mail(letter, author) => {
                let (mail, outputs) = self.sides[to].read(&letter);
                if author == Author::Spoofer {
                    self.spoofed.insert(mail);
                }
                self.perform(to, outputs);
            }
            Way::Answer(mail, evidence) => self.tell(to, Input::Evidence(mail, evidence)),
            Way::Word(nk, step, bytes) => self.tell(to, Input::Step { nk, step, bytes }),
        }
    }

    fn tell(&mut self, to: usize, input: Input) {
        let outputs = self.sides[to].tell(input);
        self.perform(to, outputs);
    }

    fn pass(&mut self, ms: u64) {
        for me in 0..2 {
            let outputs = self.sides[me].pass(ms);
            self.perform(me, outputs);
        }
    }

    fn link_up(&mut self) {
        for me in 0..2 {
            let nk = self.sides[1 - me].nk();
            self.tell(me, Input::LinkUp(nk));
        }
    }

    fn perform(&mut self, by: usize, outputs: Vec<Output>) {
        let peer = self.sides[1 - by].nk();
        for output in outputs {
            match output {
                Output::SeekDkim(mail) => {
                    let spoofed = self.spoofed.contains(&mail) || !self.sides[by].trust.awaits(mail);
                    let evidence = if spoofed { no_dkim() } else { good_dkim(&self.sides[1 - by].trust.pair().ours) };
                    self.ways.push((by, Way::Answer(mail, evidence)));
                    self.ways.push((by, Way::Answer(mail, Evidence::Temporary)));
                }
                Output::SeekDomain(mail) => self.ways.push((by, Way::Answer(mail, Evidence::Domain { names: None }))),
                Output::Say { nk, step, bytes } => {
                    assert_eq!(nk, peer, "a word for another node");
                    self.ways.push((1 - by, Way::Word(self.sides[by].nk(), step, bytes)));
                }
                Output::WantLink { nk } => assert_eq!(nk, peer, "a dial to another node"),
                Output::Changed { to, .. } => assert_ne!(to, TrustState::Suspended, "no key ever changed"),
                Output::Proposed { nk } => assert_eq!(nk, peer, "no key ever changed"),
                Output::Admitted | Output::Refused(_) => {}
            }
        }
    }

    fn agrees(&self) {
        let [alice, bob] = &self.sides;
        for (me, peer) in [(alice, bob), (bob, alice)] {
            assert!(me.trust.line().is_none_or(|nk| nk == peer.nk()), "a line to another node");
        }
        if let (Some(ours), Some(theirs)) = (alice.trust.t2(), bob.trust.t2()) {
            assert_eq!(ours, theirs, "two lines");
        }
        let accepted = self.written.iter().flatten().any(|letter| letter.accept.is_some());
        assert!(accepted || (alice.trust.line().is_none() && bob.trust.line().is_none()), "a line without a reply");
    }

    /// Everything on its way is lost; then all goes well.
    fn heals(mut self) {
        self.ways.clear();
        for me in 0..2 {
            self.tell(me, Input::Unblock);
        }
        // Twice: when the first look-ups are given up, a last accept may still be confirmed.
        self.pass(LONG);
        self.pass(LONG);
        let lines = [0, 1].map(|me| self.sides[me].trust.line().is_some());
        if lines == [true, true] {
            return;
        }
        for me in 0..2 {
            self.tell(me, Input::Denied);
        }
        let [mut alice, mut bob] = self.sides;
        bob.now = alice.now;
        let offer = alice.write(None);
        bob.read_vouched(&offer);
        let accept = bob.write(Some(&offer));
        finish(&mut alice, &mut bob, &offer, &accept);
    }
}

/// Pairs in every phase, with all that a record can hold.
fn every_phase() -> Vec<Side> {
    let (mut crossed, mut accepting) = alice_and_bob();
    let offer = crossed.write(None);
    accepting.read(&offer);
    crossed.read(&accepting.write(None));
    let accept = accepting.write(Some(&offer));
    crossed.read(&accept);

    let (mut confirming, mut accepter) = alice_and_bob();
    let offer = confirming.write(None);
    accepter.read_vouched(&offer);
    confirming.read_vouched(&accepter.write(Some(&offer)));

    let (mut offerer, last_word) = a_line();
    let look = offerer.mail_id();
    offerer.tell(Input::Look(look));
    let (mut suspended, _) = a_line();
    let mut other = Side::new("bob@b.example", "alice@a.example", node(77));
    suspended.read_vouched(&other.write(None));
    let offer = suspended.write(None);
    other.read_vouched(&offer);
    let accept = other.write(Some(&offer));
    suspended.read_vouched(&accept);
    let (mut revoked, _) = a_line();
    revoked.tell(Input::Block);
    vec![crossed, accepting, confirming, offerer, last_word, suspended, revoked]
}

#[test]
fn a_damaged_record_is_refused_and_never_guessed() {
    for side in every_phase() {
        let (pair, record) = (side.trust.pair().clone(), side.record());
        assert_eq!(Trust::restore(pair.clone(), &record).as_ref(), Ok(&side.trust.after_crash()));
        let bytes = record.value.clone().unwrap();
        let with = |bytes: &[u8]| Record { value: Some(bytes.to_vec()), ..record.clone() };
        for cut in 0..bytes.len() {
            assert!(Trust::restore(pair.clone(), &with(&bytes[..cut])).is_err(), "{:?} cut at {cut}", side.state());
        }
        assert!(Trust::restore(pair.clone(), &with(&[bytes.as_slice(), &[0]].concat())).is_err());
        for at in 0..bytes.len() {
            // What restores in spite of a flipped bit is still a machine that keeps the laws.
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            if let Ok(mut trust) = Trust::restore(pair.clone(), &with(&flipped)) {
                let tick = Tick { now: side.now, entropy: [0; 32] };
                trust.step(&tick, Input::Wake, &mut Outbox::new()).unwrap();
                assert!(trust.deadline().is_none_or(|due| due > side.now));
            }
        }
        let newer = [&bytes[..1], &[3], &bytes[2..]].concat();
        let version = RestoreError::Version { key: record.key.clone(), found: 3, known: 2 };
        assert_eq!(Trust::restore(pair, &with(&newer)), Err(version));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_both_sides_agree_and_a_clean_round_trip_heals(
        events in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..80),
    ) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
        }
        world.heals();
    }

    /// [T-18].
    #[test]
    fn a_handshake_converges_under_any_order_loss_and_doubling(
        events in proptest::collection::vec(0u8..8, 0..40),
    ) {
        let (mut alice, mut bob) = alice_and_bob();
        let offer = alice.write(None);
        bob.read_vouched(&offer);
        let accept = bob.write(Some(&offer));
        let mail = bob.mail_of(&offer);
        let mut m2 = said(&alice.read_vouched(&accept));
        let mut m3: Vec<(TrustStep, Vec<u8>)> = Vec::new();
        let (nk_a, nk_b) = (alice.nk(), bob.nk());
        let clean = [2, 6, 3, 4, 7, 0];
        for event in events.into_iter().chain(clean) {
            match event {
                0 | 7 => {
                    for (step, bytes) in m3.clone() {
                        alice.hear(nk_b, step, &bytes);
                    }
                }
                1 | 3 => {
                    for (step, bytes) in m2.clone() {
                        m3.extend(said(&bob.hear(nk_a, step, &bytes)));
                    }
                }
                2 => m3.extend(said(&bob.tell(Input::Evidence(mail, Evidence::Domain { names: None })))),
                4 => m3.extend(said(&bob.tell(Input::LinkUp(nk_a)))),
                5 => {
                    (m2, m3) = (Vec::new(), Vec::new());
                    alice.crash();
                    bob.crash();
                }
                _ => m2.extend(said(&alice.tell(Input::LinkUp(nk_b)))),
            }
        }
        prop_assert_eq!((alice.state(), bob.state()), (TrustState::Trusted, TrustState::Trusted));
        prop_assert_eq!(alice.trust.t2(), bob.trust.t2());
        prop_assert!(m3.iter().all(|word| *word == m3[0]), "M3 has one form");
    }
}
