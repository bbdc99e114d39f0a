//! Attacks on groups that take a look inside, or a bug of our own.

use std::collections::{BTreeMap, BTreeSet};

use super::{NOW, TALK, store, tick, two};
use crate::canary::{Canary, set};
use crate::fault::PeerFault;
use crate::id::ConversationId;
use crate::seal::mls::padding::{bucket, pad};
use crate::seal::mls::primitive::ledger;
use crate::seal::mls::{Aad, Group};
use crate::step::{Outbox, Tick};
use crate::store::Key;

/// Ann seals, and her disk is put back to what it was at some points: as after a crash that lost a commit, never below
/// what was committed. Gives back every (key, nonce) that was used twice, each by its key alone.
fn seals_and_falls() -> usize {
    let (mut ann, _, mut disk) = two();
    drop(ledger::take());
    let mut step = 10;
    for round in 0..40_u64 {
        for _ in 0..=(round * 7 % 90) {
            step += 1;
            let mut out = Outbox::new();
            ann.seal(&tick(step), None, b"words", &mut out).unwrap();
            store(&mut disk, out);
        }
        // What was in memory is lost, what was committed is there.
        ann = Group::restore(TALK, |key| disk.get(key).cloned()).unwrap();
    }
    // The reuse guard hides a key that is used again from whoever looks at nonces: the ledger looks at keys.
    let keys: Vec<_> = ledger::take().into_iter().map(|(key, _)| key).collect();
    keys.len() - keys.iter().collect::<BTreeSet<_>>().len()
}

/// [G-9]
#[test]
fn t_062_no_key_seals_twice_whatever_is_restored() {
    assert_eq!(seals_and_falls(), 0);
    set(Some(Canary::NonceAfterRestore));
    let reused = seals_and_falls();
    set(None);
    assert!(reused > 0, "the canary is noticed by this test");
}

/// [G-9] A backup that lost a few of its records is refused, not used.
#[test]
fn t_062_records_of_different_times_are_refused() {
    let (mut ann, _, mut disk) = two();
    let old: BTreeMap<_, _> = disk.clone();
    for step in 0..200 {
        let mut out = Outbox::new();
        ann.seal(&tick(100 + step), None, b"words", &mut out).unwrap();
        store(&mut disk, out);
    }
    let mut mixed = disk.clone();
    mixed.insert(Key::Group(TALK), old[&Key::Group(TALK)].clone());
    assert!(Group::restore(TALK, |key| mixed.get(key).cloned()).is_err());
    let mut without = disk.clone();
    without.remove(&Key::Reserve(TALK));
    assert!(Group::restore(TALK, |key| without.get(key).cloned()).is_err());
    assert!(Group::restore(TALK, |key| disk.get(key).cloned()).is_ok());
}

/// Ann's engine with a bug: it names another conversation, or another generation, than is true.
fn sealed_with(ann: &mut Group, aad: Aad, step: u64) -> Vec<u8> {
    let filled = ann.fill(&tick(step), "test");
    let message = ann.engine.encrypt_application_message(&pad(b"hello"), aad.to_bytes()).unwrap();
    drop(filled);
    message.to_bytes().unwrap()
}

/// [G-6]
#[test]
fn t_040_a_message_is_for_the_conversation_it_was_sealed_for() {
    let (mut ann, mut bob, _) = two();
    let sealed = sealed_with(&mut ann, Aad { conversation: ConversationId([9; 32]), generation: 0, head: None }, 20);
    let mut out = Outbox::<()>::new();
    assert_eq!(bob.open(&tick(21), &sealed, &mut out), Err(PeerFault::Sealed("of another conversation")));
    set(Some(Canary::AadWithoutConversation));
    let taken = bob.open(&tick(22), &sealed, &mut out);
    set(None);
    assert!(taken.is_ok(), "the canary is noticed by this test");
}

/// [G-6] Any member has the keys of all: one could seal again, under another key of the author's, what the author has signed.
/// The author says which key it is.
#[test]
fn t_061_a_message_is_sealed_with_the_key_that_its_author_names() {
    let (mut ann, mut bob, _) = two();
    let sealed = sealed_with(&mut ann, Aad { conversation: TALK, generation: 7, head: None }, 20);
    let refused = bob.open(&tick(21), &sealed, &mut Outbox::<()>::new());
    assert_eq!(refused, Err(PeerFault::Sealed("with another key than its author's")));
}

/// [G-11]
#[test]
fn two_runs_of_one_seed_are_alike_to_the_byte() {
    let run = |later_ms: u64| {
        let (mut ann, mut bob, disk) = two();
        let mut tape = vec![format!("{disk:?}")];
        for step in 50..150 {
            let mut out = Outbox::<()>::new();
            let at = Tick { now: NOW.plus(later_ms), ..tick(step) };
            let sealed = ann.seal(&at, None, &step.to_be_bytes(), &mut out).unwrap();
            let opened = bob.open(&at, &sealed, &mut out).unwrap();
            tape.push(format!("{sealed:?} {opened:?} {:?}", out.split().0));
        }
        tape
    };
    let once = run(0);
    assert_eq!(once, run(0));
    // Nothing but what is handed in is a clock, and for what people say even that is none.
    assert_eq!(once, run(10 * 365 * crate::time::DAY));
}

/// [G-7]
#[test]
fn t_088_a_length_tells_a_bucket_and_content_compresses_nothing() {
    let (mut ann, _, _) = two();
    let mut lengths = BTreeMap::new();
    for len in (0..2_500).step_by(13) {
        for byte in [0_u8, 0xff, b'a'] {
            let text: Vec<u8> =
                if byte == 0xff { (0..len).map(|n| (n * 7919 % 251) as u8).collect() } else { vec![byte; len] };
            let sealed = ann.seal(&tick(1_000 + len as u64), None, &text, &mut Outbox::<()>::new()).unwrap();
            // A generation takes one to three bytes of the authenticated data.
            lengths.entry(bucket(len)).or_insert_with(BTreeSet::new).insert(sealed.len() / 8);
        }
    }
    assert_eq!(lengths.keys().copied().collect::<Vec<_>>(), [64, 128, 192, 320, 512, 1_024, 2_048, 3_072]);
    assert!(lengths.values().all(|of_bucket| of_bucket.len() <= 2), "{lengths:?}");
}

#[test]
fn a_group_prints_no_secret() {
    let (ann, _, _) = two();
    let printed = format!("{ann:?} {:?}", ann.desk);
    assert!(printed.contains("Secret(..)") && printed.len() < 300, "{printed}");
}
