//! The rows of the state table.

use postline_core::content::evidence::Evidence;
use postline_core::fault::{Misuse, PeerFault};
use postline_core::id::NodeKey;
use postline_core::limits;
use postline_core::machine::trust::{Input, Output, SentAccept, TrustState};
use postline_core::store::sha256;
use postline_core::time::{DAY, HOUR, MINUTE, SECOND};
use postline_core::wire::confirm::{Confirm, Word};

use crate::kit::{LONG, a_line, alice_and_bob, finish, good_dkim, node, refusals, said};

/// [T-15], [T-18], [T-19]: from a mail and its reply to a line.
#[test]
fn a_reply_opens_the_line() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    assert_eq!(alice.state(), TrustState::Offered);

    let (mail, out) = bob.read(&offer);
    let held = Output::Changed { from: TrustState::Stranger, to: TrustState::Held };
    assert_eq!(out, [Output::SeekDkim(mail), held], "a held offer is no reason to look further than DKIM");
    bob.tell(Input::Evidence(mail, good_dkim(&offer.from)));

    let accept = bob.write(Some(&offer));
    assert_eq!(bob.state(), TrustState::Accepting);
    bob.tell(Input::Evidence(mail, Evidence::Domain { names: None }));
    assert_eq!(bob.trust.line(), None, "no line before M2");

    let out = alice.read_vouched(&accept);
    assert!(out.contains(&Output::WantLink { nk: bob.nk() }), "the offerer dials at once");
    assert_eq!(alice.state(), TrustState::Confirming);
    let (step, m2) = said(&out).remove(0);

    let (step, m3) = said(&bob.hear(alice.nk(), step, &m2)).remove(0);
    assert_eq!(bob.trust.line(), Some(alice.nk()));
    assert_eq!(bob.trust.hint(), Some("mail.a.example:7678"));
    alice.hear(bob.nk(), step, &m3);
    assert_eq!(alice.trust.line(), Some(bob.nk()));
    assert_eq!(alice.trust.t2(), bob.trust.t2());
}

/// [T-19].
#[test]
fn the_accepter_dials_when_half_a_minute_has_passed_and_the_evidence_is_good() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    bob.write(Some(&offer));
    assert_eq!(bob.pass(31 * SECOND), [], "not without evidence");
    let mail = bob.mail_of(&offer);
    let out = bob.tell(Input::Evidence(mail, Evidence::Domain { names: Some(alice.nk()) }));
    assert_eq!(out, [Output::WantLink { nk: alice.nk() }]);
    assert!(bob.trust.wants_link());

    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    bob.write(Some(&offer));
    bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    assert_eq!(bob.pass(29 * SECOND), []);
    assert!(!bob.trust.wants_link());
    assert_eq!(bob.pass(SECOND), [Output::WantLink { nk: alice.nk() }]);
}

#[test]
fn an_unanswered_accept_falls_back_to_held_and_can_be_given_again() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    bob.write(Some(&offer));
    bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    bob.pass(limits::CONFIRM_MS);
    assert_eq!(bob.state(), TrustState::Held);
    alice.now = bob.now;
    let accept = bob.write(Some(&offer));
    finish(&mut alice, &mut bob, &offer, &accept);
}

/// [T-4].
#[test]
fn an_unanswered_confirm_falls_back_and_uses_its_offer_up() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    let other = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    alice.read_vouched(&accept);
    alice.pass(limits::CONFIRM_MS);
    assert_eq!(alice.state(), TrustState::Offered, "the other offer stands");
    assert_eq!(refusals(&alice.read_vouched(&accept)), [PeerFault::WrongPeer]);
    bob.pass(limits::CONFIRM_MS);
    bob.read_vouched(&other);
    let accept = bob.write(Some(&other));
    finish(&mut alice, &mut bob, &other, &accept);
}

#[test]
fn an_offer_passes_and_leaves_nothing() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let answers = [offer.message_id.clone()];
    bob.now = bob.now.plus(limits::OFFER_TTL_DAYS * DAY);
    assert!(bob.trust.accepts(&answers, bob.now).is_some());
    bob.now = bob.now.plus(1);
    assert!(bob.trust.accepts(&answers, bob.now).is_none());
    let out = bob.tell(Input::LinkUp(alice.nk()));
    assert_eq!(out, [Output::Changed { from: TrustState::Held, to: TrustState::Stranger }]);

    alice.now = alice.now.plus(limits::OFFER_TTL_DAYS * DAY + 1);
    alice.tell(Input::LinkUp(bob.nk()));
    assert_eq!(alice.state(), TrustState::Stranger);
}

/// [T-12].
#[test]
fn only_the_mail_that_is_answered_counts() {
    let (mut alice, mut bob) = alice_and_bob();
    let first = alice.write(None);
    let second = alice.write(None);
    bob.read_vouched(&first);
    bob.read_vouched(&second);
    let held = bob.trust.accepts(&[second.message_id.clone(), first.message_id.clone()], bob.now).unwrap();
    let t0 = held.t0;
    assert_ne!(Some(t0), bob.trust.accepts(core::slice::from_ref(&first.message_id), bob.now).map(|held| held.t0));
    assert!(bob.trust.accepts(&["other@b.example".to_owned(), first.message_id], bob.now).is_none());
    assert!(bob.trust.accepts(&[], bob.now).is_none());
}

#[test]
fn an_accept_of_nothing_held_is_the_callers_mistake() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let (_, _, accept) = bob.compose(Some(&offer));
    let accept = SentAccept::from(&accept.unwrap());
    let wrong = SentAccept { re: sha256(&[b"another"]), ..accept.clone() };
    let misuse = Err(Misuse::OutOfPlace("accept of an offer that is not held"));
    assert_eq!(bob.try_tell(Input::Wrote { offer: None, accept: Some(wrong) }), misuse);
    bob.tell(Input::Wrote { offer: None, accept: Some(accept.clone()) });
    assert_eq!(bob.try_tell(Input::Wrote { offer: None, accept: Some(accept) }), misuse, "twice");
}

/// [T-16].
#[test]
fn evidence_that_fails_for_now_is_asked_for_again_until_a_day_has_passed() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    let (mail, _) = bob.read(&offer);
    assert!(bob.trust.awaits(mail));
    assert_eq!(bob.tell(Input::Evidence(mail, Evidence::Temporary)), []);
    bob.crash();
    assert_eq!(bob.pass(limits::EVIDENCE_EVERY_MS), [Output::SeekDkim(mail)], "a crash lost the first question");
    for _ in 0..200 {
        bob.pass(15 * MINUTE);
    }
    assert!(!bob.trust.awaits(mail));
    assert_eq!(bob.deadline(), None);
    assert_eq!(bob.tell(Input::Evidence(mail, good_dkim(&offer.from))), [], "too late");

    // Without DKIM, and without a word of the domain, the reply leads nowhere.
    bob.write(Some(&offer));
    let out = bob.tell(Input::Evidence(mail, Evidence::Domain { names: None }));
    assert!(matches!(refusals(&out)[..], [PeerFault::Evidence(_)]));
    assert_eq!(bob.state(), TrustState::Stranger);
}

#[test]
fn a_domain_that_is_silent_for_a_day_leaves_it_to_dkim() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    bob.write(Some(&offer));
    let out = bob.pass(limits::EVIDENCE_RETRY_MS - MINUTE);
    assert!(!out.contains(&Output::WantLink { nk: alice.nk() }));
    let out = bob.pass(HOUR);
    assert!(out.contains(&Output::WantLink { nk: alice.nk() }), "{out:?}");
}

/// [T-5], [T-11].
#[test]
fn the_domains_own_word_needs_no_dkim_and_voids_it() {
    for (names, good) in [(Some(1), true), (Some(9), false)] {
        let (mut alice, mut bob) = alice_and_bob();
        let offer = alice.write(None);
        bob.read(&offer);
        let mail = bob.mail_of(&offer);
        if !good {
            bob.tell(Input::Evidence(mail, good_dkim(&offer.from)));
        }
        bob.write(Some(&offer));
        let out = bob.tell(Input::Evidence(mail, Evidence::Domain { names: names.map(|seed| node(seed).nk()) }));
        assert_eq!(refusals(&out).is_empty(), good);
        assert_eq!(bob.state(), if good { TrustState::Accepting } else { TrustState::Stranger });
    }
}

#[test]
fn m2_may_come_before_the_evidence() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    let m2 = said(&alice.read_vouched(&accept)).remove(0);
    assert_eq!(bob.hear(alice.nk(), m2.0, &m2.1), [], "M3 waits");
    let other = Confirm(Word { fresh: [9; 32], ..Confirm::parse(&m2.1).unwrap().0 }).to_bytes();
    assert_eq!(refusals(&bob.hear(alice.nk(), m2.0, &other)), [PeerFault::Replayed], "the first M2 counts");
    bob.crash();
    let out = bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    let m3 = said(&out).remove(0);
    alice.hear(bob.nk(), m3.0, &m3.1);
    assert_eq!(alice.trust.t2(), bob.trust.t2());
    assert_eq!(alice.state(), TrustState::Trusted);
}

/// [T-18].
#[test]
fn what_is_unfinished_is_said_again_verbatim_on_every_link() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    let m2 = said(&alice.read_vouched(&accept));
    alice.crash();
    assert_eq!(said(&alice.tell(Input::LinkUp(bob.nk()))), m2);
    assert_eq!(said(&alice.tell(Input::LinkUp(node(9).nk()))), [], "not to another node");
    let m3 = said(&bob.hear(alice.nk(), m2[0].0, &m2[0].1));
    bob.crash();
    assert_eq!(said(&bob.hear(alice.nk(), m2[0].0, &m2[0].1)), m3, "M2 again, M3 again");
    assert_eq!(said(&bob.tell(Input::LinkUp(alice.nk()))), m3, "M3 before any express mail");
    alice.hear(bob.nk(), m3[0].0, &m3[0].1);
    assert_eq!(alice.hear(bob.nk(), m3[0].0, &m3[0].1), [], "M3 twice is once");
    assert_eq!(said(&alice.tell(Input::LinkUp(bob.nk()))), []);
    bob.pass(LONG);
    assert_eq!(said(&bob.tell(Input::LinkUp(alice.nk()))), [], "nobody waits for it any more");
    assert_eq!(alice.trust.t2(), bob.trust.t2());
}

#[test]
fn a_node_without_our_line_gets_a_new_offer_and_may_not_slip_in_another_key() {
    let (mut alice, mut bob) = a_line();
    assert_eq!(alice.write(None).offer, None, "who has a line needs no offer");
    bob.tell(Input::Block);
    bob.tell(Input::Unblock);
    let out = alice.tell(Input::Denied);
    assert_eq!(out, [Output::Changed { from: TrustState::Trusted, to: TrustState::Stranger }], "loud");
    assert_eq!(alice.trust.line(), None);

    let offer = alice.write(None);
    bob.read_vouched(&offer);
    let accept = bob.write(Some(&offer));
    finish(&mut alice, &mut bob, &offer, &accept);

    // The same once more, but this time a node with another key accepts.
    alice.tell(Input::Denied);
    let (_, mut mallory) = alice_and_bob();
    mallory.node = node(66);
    let offer = alice.write(None);
    mallory.read_vouched(&offer);
    let accept = mallory.write(Some(&offer));
    alice.read_vouched(&accept);
    assert_eq!(alice.state(), TrustState::Suspended);

    // And the other way: such a node offers, and Bob's user answers in good faith.
    let (_, mut bob) = a_line();
    bob.tell(Input::Denied);
    let (mut mallory, _) = alice_and_bob();
    mallory.node = node(66);
    let offer = mallory.write(None);
    bob.read_vouched(&offer);
    bob.write(Some(&offer));
    let out = bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    assert_eq!(out, [Output::Changed { from: TrustState::Accepting, to: TrustState::Suspended }]);
}

#[test]
fn an_accept_that_outlasts_its_offer_falls_back_to_nothing() {
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    bob.now = bob.now.plus(limits::OFFER_TTL_DAYS * DAY - HOUR);
    bob.write(Some(&offer));
    bob.pass(LONG);
    assert_eq!(bob.state(), TrustState::Stranger);
}

/// [K-6]: what a pair holds of a key goes by the name of the node that the key turns out to be of.
#[test]
fn a_node_that_is_renamed_is_the_same_node() {
    let name = NodeKey([7; 32]);
    let (mut alice, mut bob) = alice_and_bob();
    let offer = alice.write(None);
    bob.read_vouched(&offer);
    bob.tell(Input::Renamed { from: alice.nk(), to: name });
    let accept = bob.write(Some(&offer));
    bob.tell(Input::Evidence(bob.mail_of(&offer), Evidence::Domain { names: None }));
    let m2 = said(&alice.read_vouched(&accept));
    assert!(said(&bob.hear(alice.nk(), m2[0].0, &m2[0].1)).is_empty(), "by its key it is nobody now");
    let m3 = said(&bob.hear(name, m2[0].0, &m2[0].1));
    alice.hear(bob.nk(), m3[0].0, &m3[0].1);
    assert_eq!((alice.state(), bob.trust.line()), (TrustState::Trusted, Some(name)));
    assert_eq!(alice.trust.t2(), bob.trust.t2());
}

#[test]
fn a_later_offer_by_the_lines_own_node_changes_nothing() {
    let (mut alice, bob) = a_line();
    let (_, mut forgetful) = alice_and_bob();
    let offer = forgetful.write(None);
    assert_eq!(alice.read(&offer).1, []);
    assert_eq!(alice.trust.line(), Some(bob.nk()));
}

/// [T-17].
#[test]
fn held_and_own_offers_are_bounded() {
    let (mut alice, mut bob) = alice_and_bob();
    let letters: Vec<_> = (0..20).map(|_| alice.write(None)).collect();
    for letter in &letters {
        bob.read_vouched(letter);
    }
    let held =
        |letter: &crate::kit::Letter| bob.trust.accepts(core::slice::from_ref(&letter.message_id), bob.now).is_some();
    assert_eq!(letters.iter().filter(|letter| held(letter)).count(), limits::HELD_PER_PAIR);
    assert!(held(letters.last().unwrap()), "the newest is kept");

    let (_, mut bob) = alice_and_bob();
    let oldest_standing = &letters[letters.len() - limits::OFFERS_PER_PAIR];
    let too_old = &letters[letters.len() - limits::OFFERS_PER_PAIR - 1];
    for (letter, stands) in [(too_old, false), (oldest_standing, true)] {
        bob.read_vouched(letter);
        let accept = bob.write(Some(letter));
        assert_eq!(refusals(&alice.read(&accept).1).is_empty(), stands);
        bob.pass(LONG);
        alice.now = bob.now;
    }
}
