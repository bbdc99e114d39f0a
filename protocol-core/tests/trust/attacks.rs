//! The numbered attacks on trust, each with what must happen.

use std::collections::BTreeSet;

use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Hash, Nonce};
use postline_core::limits;
use postline_core::machine::trust::{Input, Output, TrustState};
use postline_core::seal::{field, verify};
use postline_core::store::sha256;
use postline_core::time::{DAY, MINUTE, SECOND};
use postline_core::wire::confirm::{Confirm, Done, Word};
use postline_core::wire::field::Offer;
use postline_core::wire::frame::TrustStep;
use postline_core::wire::signed::{OnConnection, Role, Signable};

use crate::kit::{
    Letter, Side, a_line, address, alice_and_bob, finish, good_dkim, good_pass, no_dkim, node, refusals, said,
};

/// Mallory, who writes as Bob: same addresses, another node, no key of Bob's domain.
fn mallory() -> Side {
    Side::new("bob@b.example", "alice@a.example", node(66))
}

/// [T-13]: an accept of no offer of ours.
#[test]
fn t_001_a_forged_reply_to_a_guessed_id_creates_nothing() {
    let (mut alice, _) = alice_and_bob();
    let offer = alice.write(None);
    let mut mallory = mallory();
    // Mallory guessed the Message-ID, but never saw the offer: the accept names some other hash.
    let mut reply = Letter { offer: None, ..mallory.write(None) };
    let guess = sha256(&[offer.message_id.as_bytes()]);
    reply.accept = Some(mallory.sign_accept(&reply, guess).0);
    let (mail, out) = alice.read(&reply);
    assert_eq!(out, [Output::Refused(PeerFault::WrongPeer)], "not even a look-up");
    assert_eq!(alice.tell(Input::Evidence(mail, good_dkim(&reply.from))), []);
    assert_eq!(alice.state(), TrustState::Offered);
    let word = Word { t1: guess, nonce: Nonce([0; 16]), fresh: [0; 32] };
    let out = alice.hear(mallory.nk(), TrustStep::Done, &Done(word).to_bytes());
    assert_eq!(refusals(&out), [PeerFault::NotTrusted]);
}

/// [T-5], [T-10]: no aligned signature, no evidence.
#[test]
fn t_002_a_spoofed_from_without_aligned_dkim_changes_nothing() {
    let not_aligned = Evidence::Dkim(Dkim { passed: vec![good_pass(&address("x@mallory.example"))] });
    for dkim in [no_dkim(), not_aligned] {
        let (mut alice, mut bob) = alice_and_bob();
        let offer = alice.write(None);
        let mut mallory = mallory();
        mallory.read_vouched(&offer);
        let accept = mallory.write(Some(&offer));
        let before = alice.trust.clone();
        let (mail, _) = alice.read(&accept);
        alice.tell(Input::Evidence(mail, dkim.clone()));
        let out = alice.tell(Input::Evidence(mail, Evidence::Domain { names: None }));
        assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]), "{out:?}");
        assert!(!out.iter().any(|output| matches!(output, Output::WantLink { .. } | Output::Say { .. })));
        assert_eq!(alice.trust, before);

        // The other way: a spoofed offer that Bob's user answers in good faith.
        let mut spoofer = Side::new("alice@a.example", "bob@b.example", node(66));
        let spoofed = spoofer.write(None);
        let (mail, _) = bob.read(&spoofed);
        bob.tell(Input::Evidence(mail, dkim));
        bob.write(Some(&spoofed));
        let out = bob.tell(Input::Evidence(mail, Evidence::Domain { names: None }));
        assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]), "{out:?}");
        assert_eq!(bob.pass(DAY), [], "and nobody is dialled");
        assert_eq!(bob.state(), TrustState::Stranger);
    }
}

#[test]
fn t_002_a_spoofed_copy_never_stands_in_the_way_of_the_genuine_mail() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    let spoof = |bob: &mut Side| {
        let (mail, _) = bob.read(&offer);
        bob.tell(Input::Evidence(mail, no_dkim()));
    };
    // Somebody who saw the mail sends it ahead, and behind, from elsewhere: same field, same Message-ID.
    (0..3).for_each(|_| spoof(&mut bob));
    let (genuine, _) = bob.read(&offer);
    bob.tell(Input::Evidence(genuine, good_dkim(&offer.from)));
    let held = bob.trust.clone();
    (0..9).for_each(|_| spoof(&mut bob));
    assert_eq!(bob.trust, held, "a copy of what is vouched for is no news");
    // Nor do spoofed offers push it out.
    let mut spoofer = Side::new("alice@a.example", "bob@b.example", node(66));
    for _ in 0..9 {
        let (mail, _) = bob.read(&spoofer.write(None));
        bob.tell(Input::Evidence(mail, no_dkim()));
    }
    bob.write(Some(&offer));
    assert_eq!(bob.tell(Input::Evidence(genuine, Evidence::Domain { names: None })), []);
    assert_eq!((bob.state(), bob.trust.peer_nk()), (TrustState::Accepting, Some(alice.nk())));

    // The copies came later, and the look-ups for them are still open: the vouched one is taken all the same.
    let (_, mut bob) = alice_and_bob();
    let (genuine, _) = bob.read(&offer);
    bob.read(&offer);
    bob.tell(Input::Evidence(genuine, good_dkim(&offer.from)));
    assert_eq!(bob.write_and_see(Some(&offer)).1[0], Output::SeekDomain(genuine));
}

/// [T-4]: what is used up stays used up.
#[test]
fn t_003_a_replayed_accept_is_a_no_op() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    let m2 = said(&alice.read_vouched(&accept)).remove(0);
    let confirming = alice.trust.clone();
    assert_eq!(refusals(&alice.read_vouched(&accept)), [PeerFault::Replayed]);
    assert_eq!(alice.trust, confirming);

    bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    let m3 = said(&bob.hear(alice.nk(), m2.0, &m2.1)).remove(0);
    alice.hear(bob.nk(), m3.0, &m3.1);
    let trusted = alice.trust.clone();
    for _ in 0..3 {
        assert_eq!(refusals(&alice.read_vouched(&accept)), [PeerFault::Replayed], "counted");
        alice.crash();
    }
    assert_eq!(alice.trust, trusted);

    // What the trust used up stays used up when the trust is gone.
    alice.tell(Input::Denied);
    assert_eq!(refusals(&alice.read_vouched(&accept)), [PeerFault::WrongPeer]);
    assert_eq!(alice.state(), TrustState::Stranger);
}

/// [T-10]: what DKIM must sign.
#[test]
fn t_004_a_partial_or_loose_signature_leaves_it_at_email() {
    let from = address("alice@a.example");
    let without = |name: &str, times: usize| {
        let mut pass = good_pass(&from);
        for _ in 0..times {
            let at = pass.signed.iter().position(|signed| signed == name).unwrap();
            pass.signed.remove(at);
        }
        pass
    };
    let mut loose: Vec<DkimPass> = vec![DkimPass { partial: true, ..good_pass(&from) }];
    // A field that is always there must be signed once more than it stands; the others once, which oversigns absence.
    loose.extend(["postline-offer", "from", "date"].map(|name| without(name, 1)));
    loose.extend(["to", "cc", "in-reply-to", "references"].map(|name| without(name, 1)));
    loose.push(DkimPass { domain: address("x@sub.a.example").domain().clone(), ..good_pass(&from) });
    for pass in loose {
        assert!(!bob_believes(pass.clone()), "{pass:?}");
    }
    assert!(bob_believes(good_pass(&from)));
    assert!(bob_believes(without("subject", 1)), "the subject binds nothing");
}

fn bob_believes(pass: DkimPass) -> bool {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    let (mail, _) = bob.read(&offer);
    bob.tell(Input::Evidence(mail, Evidence::Dkim(Dkim { passed: vec![pass] })));
    bob.write(Some(&offer));
    bob.tell(Input::Evidence(mail, Evidence::Domain { names: None }));
    bob.state() == TrustState::Accepting
}

/// [T-13]: an offer is for those in To and Cc, by name.
#[test]
fn t_005_a_forwarded_offer_answered_by_a_third_person_is_from_the_wrong_peer() {
    let (mut alice, _) = alice_and_bob();
    let offer = alice.write(None);
    // Bob forwards the mail to Carol, whose node accepts it, honestly signed and DKIM-signed by her own domain.
    let mut carol = Side::new("carol@c.example", "alice@a.example", node(3));
    let mut reply = Letter { offer: None, ..carol.write(None) };
    let t0 = field::read::<Offer>(&offer.from, &offer.to_cc, offer.offer.as_ref().unwrap()).unwrap().hash;
    reply.accept = Some(carol.sign_accept(&reply, t0).0);
    let mut alice_to_carol = Side::new("alice@a.example", "carol@c.example", node(1));
    assert_eq!(refusals(&alice_to_carol.read(&reply).1), [PeerFault::WrongPeer]);
    // Nor is it one of Bob's, if somebody hands it to that pair.
    assert_eq!(refusals(&alice.read(&reply).1), [PeerFault::WrongPeer]);
    // Nor can Carol's node take the offer up: it was not made to her.
    let mut carol_as_asked = Side::new("carol@c.example", "alice@a.example", node(3));
    assert_eq!(refusals(&carol_as_asked.read(&offer).1), [PeerFault::WrongPeer]);
    assert_eq!(carol_as_asked.state(), TrustState::Stranger);
}

/// [T-14]: automatic mail.
#[test]
fn t_007_automatic_mail_never_counts() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    let automatic = Letter { automatic: true, ..offer.clone() };
    assert_eq!(bob.read(&automatic).1, [Output::Refused(PeerFault::Automatic)]);
    assert_eq!(bob.state(), TrustState::Stranger);
    bob.read_vouched(&offer);
    let vacation = Letter { automatic: true, ..bob.write(Some(&offer)) };
    assert_eq!(alice.read(&vacation).1, [Output::Refused(PeerFault::Automatic)]);
    assert_eq!(alice.state(), TrustState::Offered);
    // A vacation notice that only quotes the mail carries no field: it is nothing at all.
    let quoting = Letter { accept: None, ..vacation };
    assert_eq!(alice.read(&quoting).1, []);
}

#[test]
fn t_008_a_leaked_nonce_is_useless_to_others() {
    // Everyone in a reply-all sees offer and accept. None of it helps without the node's key on a proven link.
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    alice.read_vouched(&accept);
    let read_offer = field::read::<Offer>(&offer.from, &offer.to_cc, offer.offer.as_ref().unwrap()).unwrap();
    let t1 = crate::kit::came(bob.mail_of(&offer), &accept).accept.unwrap().t1;
    let nonce = crate::kit::came(bob.mail_of(&offer), &accept).accept.unwrap().nonce;
    let m2 = Confirm(Word { t1, nonce: read_offer.nonce, fresh: [9; 32] }).to_bytes();
    let m3 = Done(Word { t1, nonce, fresh: [9; 32] }).to_bytes();
    let eve = node(66).nk();
    let (want_a, want_b) = (alice.nk(), bob.nk());
    assert_eq!(refusals(&bob.hear(eve, TrustStep::Confirm, &m2)), [PeerFault::WrongKey { got: eve, want: want_a }]);
    assert_eq!(refusals(&alice.hear(eve, TrustStep::Done, &m3)), [PeerFault::WrongKey { got: eve, want: want_b }]);
    assert_eq!((alice.state(), bob.state()), (TrustState::Confirming, TrustState::Accepting));
    // And a field put into another mail, with other recipients, is no longer signed.
    let to_eve: BTreeSet<_> = [address("eve@e.example")].into();
    let moved = field::read::<Offer>(&offer.from, &to_eve, offer.offer.as_ref().unwrap());
    assert_eq!(moved, Err(PeerFault::Signature));
}

/// [T-1], [T-13]: another address is another pair.
#[test]
fn t_009_the_binding_is_by_header_address() {
    let (mut alice, _) = alice_and_bob();
    let offer = alice.write(None);
    // Bcc'd, aliases, plus-addresses, catch-alls: whoever is not in To or Cc got no offer.
    for other in ["blind@b.example", "bob+news@b.example", "Bob@b.example", "all@b.example"] {
        let mut reader = Side::new(other, "alice@a.example", node(2));
        assert_eq!(reader.read(&offer).1, [Output::Refused(PeerFault::WrongPeer)], "{other}");
    }
    // An answer from an alias is another pair's, which knows of no offer.
    let mut alias = Side::new("bob@b.example", "alice@a.example", node(2));
    alias.read_vouched(&offer);
    let mut answer = alias.write(Some(&offer));
    answer.from = address("robert@b.example");
    let t0 = field::read::<Offer>(&offer.from, &offer.to_cc, offer.offer.as_ref().unwrap()).unwrap().hash;
    answer.accept = Some(alias.sign_accept(&answer, t0).0);
    let mut alice_to_robert = Side::new("alice@a.example", "robert@b.example", node(1));
    assert_eq!(alice_to_robert.read(&answer).1, [Output::Refused(PeerFault::WrongPeer)]);
    assert_eq!(alice.read(&answer).1, [Output::Refused(PeerFault::WrongPeer)]);
}

/// Both wrote before either read, and both answer. `order` says in which order the four mails are read.
fn crossed(order: &[usize], salt: u8) -> (Side, Side) {
    let (mut alice, mut bob) = alice_and_bob();
    for _ in 0..salt {
        alice.mail_id();
    }
    let (from_alice, from_bob) = (alice.write(None), bob.write(None));
    alice.read_vouched(&from_bob);
    bob.read_vouched(&from_alice);
    assert_eq!((alice.state(), bob.state()), (TrustState::Crossed, TrustState::Crossed));
    let mut link: Vec<(bool, TrustStep, Vec<u8>)> = Vec::new();
    let mut replies: [Option<Letter>; 2] = [None, None];
    for event in order {
        let out = match event {
            0 => {
                replies[0] = Some(alice.write(Some(&from_bob)));
                alice.tell(Input::Evidence(alice.mail_of(&from_bob), Evidence::Domain { names: None }))
            }
            1 => {
                replies[1] = Some(bob.write(Some(&from_alice)));
                bob.tell(Input::Evidence(bob.mail_of(&from_alice), Evidence::Domain { names: None }))
            }
            2 => replies[0].take().map_or_else(Vec::new, |reply| bob.read_vouched(&reply)),
            _ => replies[1].take().map_or_else(Vec::new, |reply| alice.read_vouched(&reply)),
        };
        link.extend(said(&out).into_iter().map(|(step, bytes)| (matches!(event, 1 | 2), step, bytes)));
    }
    while let Some((by_bob, step, bytes)) = link.pop() {
        let (speaker, hearer) = if by_bob { (&bob, &mut alice) } else { (&alice, &mut bob) };
        let out = hearer.hear(speaker.nk(), step, &bytes);
        link.extend(said(&out).into_iter().map(|(step, bytes)| (!by_bob, step, bytes)));
    }
    (alice, bob)
}

/// [T-8]: the smaller T0 wins, in every order.
#[test]
fn t_011_crossed_offers_make_one_line_in_every_order() {
    let mut orders = Vec::new();
    for mix in 0..256_usize {
        let order = [mix & 3, mix >> 2 & 3, mix >> 4 & 3, mix >> 6 & 3];
        let at = |event| order.iter().position(|other| *other == event);
        // All four, each reply read after it was written.
        if order.iter().collect::<BTreeSet<_>>().len() == 4 && at(0) < at(2) && at(1) < at(3) {
            orders.push(order);
        }
    }
    assert_eq!(orders.len(), 6);
    for order in orders {
        for salt in 0..8 {
            let (alice, bob) = crossed(&order, salt);
            let both = (alice.state(), bob.state());
            assert_eq!(both, (TrustState::Trusted, TrustState::Trusted), "{order:?}, salt {salt}");
            assert_eq!(alice.trust.t2(), bob.trust.t2(), "{order:?}, salt {salt}");
        }
    }
    // And where only one of the two replies.
    for order in [[0, 2], [1, 3]] {
        let (alice, bob) = crossed(&order, 0);
        assert_eq!((alice.state(), bob.state()), (TrustState::Trusted, TrustState::Trusted));
    }
}

/// [T-7], [C-2]: blocked and unknown look alike.
#[test]
fn t_012_a_block_is_immediate_silent_and_survives_a_restart() {
    let (mut alice, mut bob) = a_line();
    assert_eq!(alice.tell(Input::Express { nk: bob.nk() }), [Output::Admitted]);
    let out = alice.tell(Input::Block);
    assert_eq!(out, [Output::Changed { from: TrustState::Trusted, to: TrustState::Revoked }], "nothing is said");
    alice.crash();
    alice.pass(400 * DAY);
    assert_eq!(alice.state(), TrustState::Revoked);
    assert!(!alice.trust.wants_offer());
    assert_eq!((alice.trust.line(), alice.trust.peer_nk()), (None, None));

    // From outside, a blocked one and an unknown one are told the same, and cause the same look-ups.
    bob.tell(Input::Denied);
    bob.now = alice.now;
    let (mut stranger, _) = alice_and_bob();
    stranger.now = alice.now;
    let offer = bob.write(None);
    let t0 = Hash([1; 32]);
    let accepting = Letter { offer: None, accept: Some(bob.sign_accept(&offer, t0).0), ..offer.clone() };
    let word = Word { t1: t0, nonce: Nonce([1; 16]), fresh: [1; 32] };
    let mail = bob.mail_id();
    let came = |letter: &Letter| Input::Came(Box::new(crate::kit::came(mail, letter)));
    let step = |step, bytes| Input::Step { nk: bob.nk(), step, bytes };
    let probes = [
        came(&offer),
        came(&accepting),
        came(&Letter { automatic: true, ..offer.clone() }),
        Input::Evidence(mail, good_dkim(&offer.from)),
        step(TrustStep::Confirm, Confirm(word).to_bytes()),
        step(TrustStep::Done, Done(word).to_bytes()),
        step(TrustStep::Accept, vec![1]),
        step(TrustStep::Done, vec![]),
        Input::LinkUp(bob.nk()),
        Input::Express { nk: bob.nk() },
        Input::Denied,
    ];
    for probe in probes {
        let (blocked, unknown) = (alice.tell(probe.clone()), stranger.tell(probe.clone()));
        assert_eq!(seen_outside(&blocked), seen_outside(&unknown), "{probe:?}");
        assert_eq!(alice.state(), TrustState::Revoked);
    }
    let out = alice.tell(Input::Unblock);
    assert_eq!(out, [Output::Changed { from: TrustState::Revoked, to: TrustState::Stranger }]);
}

/// What a peer can notice: look-ups, words, dials, and the code of a refusal.
fn seen_outside(outputs: &[Output]) -> Vec<Result<Output, Code>> {
    let seen = outputs.iter().filter(|output| !matches!(output, Output::Changed { .. }));
    seen.map(|output| match output {
        Output::Refused(why) => Err(why.code()),
        other => Ok(other.clone()),
    })
    .collect()
}

/// [T-21]: the rate.
#[test]
fn t_012_express_mail_is_limited_per_correspondent() {
    let (mut alice, bob) = a_line();
    for _ in 0..limits::EXPRESS_PER_MINUTE {
        assert_eq!(alice.tell(Input::Express { nk: bob.nk() }), [Output::Admitted]);
    }
    let over = [Output::Refused(PeerFault::Rate { max: limits::EXPRESS_PER_MINUTE, per_ms: MINUTE })];
    for _ in 0..10 {
        assert_eq!(alice.tell(Input::Express { nk: bob.nk() }), over, "what is refused costs nothing more");
    }
    alice.now = alice.now.plus(SECOND);
    let admitted = (0..100).filter(|_| alice.tell(Input::Express { nk: bob.nk() }) == [Output::Admitted]).count();
    assert_eq!(admitted as u32, limits::EXPRESS_PER_MINUTE / 60);
    // The other direction has its own bucket, and a line of another pair too.
    let (mut other, other_bob) = a_line();
    assert_eq!(other.tell(Input::Express { nk: other_bob.nk() }), [Output::Admitted]);
}

/// [E-3]
#[test]
fn t_013_express_needs_the_lines_own_key_and_sounds_like_a_stranger_otherwise() {
    let (mut alice, _) = a_line();
    let refused = [Output::Refused(PeerFault::NotTrusted)];
    assert_eq!(alice.tell(Input::Express { nk: node(3).nk() }), refused);
    let (mut stranger, bob) = alice_and_bob();
    assert_eq!(stranger.tell(Input::Express { nk: bob.nk() }), refused);
}

/// [T-9]: only the person's word and a new round trip lead back.
#[test]
fn t_014_a_key_without_continuity_suspends_the_line() {
    // The domain changed hands: mail, DKIM and well-known are all in order, but the node key is another.
    let (mut alice, _) = a_line();
    let mut taken_over = Side::new("bob@b.example", "alice@a.example", node(77));
    let offer = taken_over.write(None);
    let (mail, out) = alice.read(&offer);
    assert_eq!(out, [Output::SeekDkim(mail), Output::SeekDomain(mail)]);
    assert_eq!(alice.state(), TrustState::Trusted, "a mail alone suspends nothing");
    let out = alice.vouch(mail);
    let loud = Output::Changed { from: TrustState::Trusted, to: TrustState::Suspended };
    assert_eq!(out, [loud]);
    assert_eq!(alice.trust.line(), None, "mail only");
    assert_eq!(alice.tell(Input::Express { nk: taken_over.nk() }), [Output::Refused(PeerFault::NotTrusted)]);
    alice.crash();

    // Nothing comes back by itself: after a whole round trip of mails the other key waits for the person's word.
    let accept = alice.write(Some(&offer));
    let m2 = said(&taken_over.read_vouched(&accept));
    alice.tell(Input::Evidence(alice.mail_of(&offer), Evidence::Domain { names: None }));
    let proposed = [Output::Proposed { nk: taken_over.nk() }, Output::WantLink { nk: taken_over.nk() }];
    assert_eq!(alice.hear(taken_over.nk(), m2[0].0, &m2[0].1), proposed);
    assert_eq!(alice.hear(taken_over.nk(), m2[0].0, &m2[0].1), [], "said once");
    alice.crash();
    assert_eq!((alice.state(), alice.trust.candidate()), (TrustState::Suspended, Some(taken_over.nk())));
    assert_eq!(alice.tell(Input::Readmit(node(78).nk())), [], "the word is about one key");
    let m3 = said(&alice.tell(Input::Readmit(taken_over.nk())));
    taken_over.hear(alice.nk(), m3[0].0, &m3[0].1);
    assert_eq!((alice.state(), taken_over.state()), (TrustState::Trusted, TrustState::Trusted));
    assert_eq!(alice.trust.line(), Some(taken_over.nk()));
    assert_eq!(alice.trust.t2(), taken_over.trust.t2());
}

/// [T-9]: the same from the other side: we offer, they accept, and the person says yes.
#[test]
fn t_014_an_accept_by_another_key_waits_for_the_person_too() {
    let (mut alice, _) = a_line();
    let mut taken_over = Side::new("bob@b.example", "alice@a.example", node(77));
    let first = taken_over.write(None);
    alice.read_vouched(&first);
    let offer = alice.write(None);
    taken_over.read_vouched(&offer);
    let accept = taken_over.write(Some(&offer));
    taken_over.tell(Input::Evidence(taken_over.mail_of(&offer), Evidence::Domain { names: None }));
    let out = alice.read_vouched(&accept);
    assert_eq!(said(&out), [], "nothing is said before the person has spoken");
    assert!(out.contains(&Output::Proposed { nk: taken_over.nk() }), "{out:?}");
    alice.crash();
    let m2 = said(&alice.tell(Input::Readmit(taken_over.nk())));
    let m3 = said(&taken_over.hear(alice.nk(), m2[0].0, &m2[0].1));
    alice.hear(taken_over.nk(), m3[0].0, &m3[0].1);
    assert_eq!((alice.state(), taken_over.state()), (TrustState::Trusted, TrustState::Trusted));
}

/// [T-9]: the key that the line had needs nobody's word, only a new round trip.
#[test]
fn t_014_the_known_key_comes_back_by_a_new_round_trip() {
    let (mut alice, mut bob) = a_line();
    let mut thief = Side::new("bob@b.example", "alice@a.example", node(77));
    alice.read_vouched(&thief.write(None));
    assert_eq!(alice.state(), TrustState::Suspended);
    bob.tell(Input::Denied);
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    finish(&mut alice, &mut bob, &offer, &accept);
}

/// [T-9]: unblocking forgets the key, and what came until then: a new round trip is needed.
#[test]
fn t_014_unblocking_leads_to_a_new_round_trip() {
    let (mut alice, _) = a_line();
    let mut taken_over = Side::new("bob@b.example", "alice@a.example", node(77));
    let offer = taken_over.write(None);
    alice.read_vouched(&offer);
    alice.tell(Input::Unblock);
    assert_eq!(alice.state(), TrustState::Held);
    let accept = alice.write(Some(&offer));
    finish(&mut taken_over, &mut alice, &offer, &accept);
}

/// [T-23]: a domain that names another key is found out also where no mail brings that key.
#[test]
fn t_014_a_look_at_the_domain_suspends_where_it_names_another_key() {
    let (mut alice, bob) = a_line();
    assert!(!alice.trust.wants_look(alice.now));
    alice.now = alice.now.plus(limits::DOMAIN_LOOK_MS);
    for (names, state) in [
        (None, TrustState::Trusted),
        (Some(bob.nk()), TrustState::Trusted),
        (Some(node(77).nk()), TrustState::Suspended),
    ] {
        assert!(alice.trust.wants_look(alice.now));
        let mail = alice.mail_id();
        assert_eq!(alice.tell(Input::Look(mail)), [Output::SeekDomain(mail)]);
        assert!(!alice.trust.wants_look(alice.now), "once a day");
        alice.tell(Input::Evidence(mail, Evidence::Temporary));
        let stale = alice.mail_id();
        alice.tell(Input::Evidence(stale, Evidence::Domain { names: Some(node(78).nk()) }));
        alice.tell(Input::Evidence(mail, Evidence::Domain { names }));
        assert_eq!(alice.state(), state);
        alice.now = alice.now.plus(limits::DOMAIN_LOOK_MS);
    }
}

#[test]
fn t_014_a_spoofed_offer_with_another_key_suspends_nothing() {
    let (mut alice, bob) = a_line();
    let spoofed = mallory().write(None);
    let (mail, _) = alice.read(&spoofed);
    alice.tell(Input::Evidence(mail, no_dkim()));
    let out = alice.tell(Input::Evidence(mail, Evidence::Domain { names: None }));
    assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]));
    // Even DKIM is void where the domain itself still names the line's key.
    let (mail, _) = alice.read(&spoofed);
    alice.tell(Input::Evidence(mail, good_dkim(&spoofed.from)));
    let out = alice.tell(Input::Evidence(mail, Evidence::Domain { names: Some(bob.nk()) }));
    assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]));
    assert_eq!(alice.trust.line(), Some(bob.nk()));
}

#[test]
fn t_014_the_domain_naming_another_key_suspends_whatever_the_mail_says() {
    let (mut alice, _) = a_line();
    let spoofed = mallory().write(None);
    let (mail, _) = alice.read(&spoofed);
    alice.tell(Input::Evidence(mail, Evidence::Domain { names: Some(node(77).nk()) }));
    assert_eq!(alice.state(), TrustState::Suspended);
}

/// [T-5]: who could change one of the domain's two words must not win.
#[test]
fn t_014_a_domain_that_contradicts_itself_voids_dkim_and_suspends_nothing() {
    let (mut alice, bob) = a_line();
    let spoofed = mallory().write(None);
    for dkim_first in [true, false] {
        let (mail, _) = alice.read(&spoofed);
        let mut told = [Evidence::Contradiction, good_dkim(&spoofed.from)];
        if dkim_first {
            told.reverse();
        }
        let out: Vec<_> = told.into_iter().flat_map(|evidence| alice.tell(Input::Evidence(mail, evidence))).collect();
        assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]), "{out:?}");
        alice.crash();
        assert_eq!(alice.trust.line(), Some(bob.nk()));
    }

    let (mut bob, mut alice) = alice_and_bob();
    let offer = alice.write(None);
    let (mail, _) = bob.read(&offer);
    bob.tell(Input::Evidence(mail, good_dkim(&offer.from)));
    bob.write(Some(&offer));
    assert_eq!(bob.state(), TrustState::Accepting);
    let out = bob.tell(Input::Evidence(mail, Evidence::Contradiction));
    assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]), "{out:?}");
    assert_ne!(bob.state(), TrustState::Accepting);
}

/// [T-6], [K-2]: a step is worth nothing on another connection.
#[test]
fn t_066_a_step_is_signed_only_beside_its_own_connection() {
    // What a node signs is built here, bound to the connection: bytes that a peer proposes never pass as another value.
    let (mut alice, _) = alice_and_bob();
    let letter = alice.write(None);
    let (_, offer) = alice.sign_offer(&letter);
    let word = Word { t1: offer.hash, nonce: offer.nonce, fresh: [1; 32] };
    let m2 = Confirm(word).to_bytes();
    let on_one = OnConnection::new(TrustStep::Confirm, &m2, &[1; 32]);
    let on_other = OnConnection::new(TrustStep::Confirm, &m2, &[2; 32]);
    let signature = alice.node.sign(&on_one);
    assert!(verify(alice.nk(), Role::Confirm, &on_one.canonical(), &signature).is_ok());
    assert!(verify(alice.nk(), Role::Confirm, &on_other.canonical(), &signature).is_err(), "replayed elsewhere");
    assert!(verify(alice.nk(), Role::Confirm, &m2, &signature).is_err());
}
