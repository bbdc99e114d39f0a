//! What somebody tries, and what must happen: the numbers are those of the attack catalogue.

use postline_core::fault::PeerFault;
use postline_core::id::{ConversationId, Hash};
use postline_core::limits;
use postline_core::seal::mls;
use postline_core::store::Key;

use crate::kit::{NOW, Person, T2, talk};
use crate::stories::three;

/// [G-8]
#[test]
fn t_061_what_was_opened_is_not_opened_again() {
    let (mut laptop, mut phone, mut his) = three();
    let first = laptop.seal(b"one");
    let second = laptop.seal(b"two");
    assert_eq!(his.reads(&second), b"two");
    assert_eq!(his.reads(&first), b"one");
    for again in [&first, &second] {
        assert_eq!(his.open(again), Err(PeerFault::Again));
    }
    // Nor once the epoch is over.
    let change = phone.commit(&[], &[]).unwrap();
    phone.merge();
    his.apply(&change.commit).unwrap();
    for again in [&first, &second] {
        assert_eq!(his.open(again), Err(PeerFault::Again));
    }
    assert_eq!(phone.reads(&first), b"one");
}

/// [G-8]
#[test]
fn t_061_a_spoiled_copy_does_not_use_up_the_genuine_one() {
    let (mut laptop, _, mut his) = three();
    let sealed = laptop.seal(b"the genuine one");
    for at in (0..sealed.len()).step_by(7).chain([sealed.len() - 1]) {
        let mut spoiled = sealed.clone();
        spoiled[at] ^= 1;
        assert!(his.open(&spoiled).is_err(), "byte {at}");
    }
    for cut in 0..sealed.len() {
        assert!(his.open(&sealed[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(his.reads(&sealed), b"the genuine one");
}

/// [G-2] [G-3]
#[test]
fn t_079_a_welcome_is_for_one_conversation_one_handshake_and_one_use() {
    let (ann, bob) = (Person::new("ann"), Person::new("bob"));
    let (mut laptop, mut his, mut other) = (ann.device("laptop"), bob.device("phone"), bob.device("tablet"));
    let change = laptop.create(&[his.package(false)]);
    let welcome = change.welcome.unwrap();
    let bad = |result| assert!(matches!(result, Err(PeerFault::Welcome(_))), "{result:?}");
    bad(his.try_join(&welcome, T2, ConversationId([9; 32])));
    bad(his.try_join(&welcome, Hash([9; 32]), talk()));
    bad(other.try_join(&welcome, T2, talk()));
    bad(his.try_join(&welcome[..welcome.len() - 1], T2, talk()));
    bad(his.try_join(&change.group_info, T2, talk()));
    his.try_join(&welcome, T2, talk()).unwrap();
    assert!(!his.disk.keys().any(|key| matches!(key, Key::Package(_))), "a package is used once");
    bad(his.try_join(&welcome, T2, talk()));
}

/// [G-8]
#[test]
fn t_084_five_hundred_in_reverse_open_and_a_leap_is_refused() {
    let (mut laptop, _, mut his) = three();
    let sealed: Vec<_> = (0..500_u32).map(|n| laptop.seal(&n.to_be_bytes())).collect();
    for (n, bytes) in sealed.iter().enumerate().rev() {
        assert_eq!(his.reads(bytes), u32::try_from(n).unwrap().to_be_bytes());
    }
    for _ in 0..=limits::SKIPPED {
        laptop.seal(b"lost");
    }
    let far = laptop.seal(b"far");
    assert!(matches!(his.open(&far), Err(PeerFault::TooBig { .. })));
}

/// A member who leaves out as much as may be, again and again, has others keep a bounded number of keys.
#[test]
fn t_084_the_keys_that_wait_are_bounded() {
    let (mut laptop, _, mut his) = three();
    let mut oldest = Vec::new();
    for _ in 0..5 {
        oldest.push(laptop.seal(b"late"));
        for _ in 1..limits::SKIPPED {
            laptop.seal(b"lost");
        }
        let sealed = laptop.seal(b"there");
        assert_eq!(his.reads(&sealed), b"there");
    }
    assert_eq!(his.open(&oldest[0]), Err(PeerFault::Again), "its key was given up");
    assert_eq!(his.reads(&oldest[4]), b"late");
    his.park();
    let group = his.disk[&Key::Group(talk())].len() as u64;
    assert!(group < 8_192 + limits::WAITING_KEYS * 64, "{group} bytes");
}

/// Whoever leaves out as much as may be, again and again: it costs nobody else a key, and what is given up is gone. [G-8]
#[test]
fn t_084_who_leaves_out_messages_costs_nobody_else_a_key() {
    for flooder in 0..3 {
        let (laptop, phone, his) = three();
        let mut others = Vec::from([laptop, phone, his]);
        let mut flooding = others.remove(flooder);
        let late: Vec<Vec<_>> = others.iter_mut().map(|other| (0..20).map(|_| other.seal(b"late")).collect()).collect();
        let there: Vec<_> = others.iter_mut().map(|other| other.seal(b"there")).collect();
        for (reader, other) in [(0, 1), (1, 0)] {
            assert_eq!(others[reader].reads(&there[other]), b"there");
        }
        let mut lost = Vec::new();
        for _ in 0..4 {
            lost.push(flooding.seal(b"lost"));
            for _ in 1..limits::SKIPPED {
                flooding.seal(b"lost");
            }
            let sealed = flooding.seal(b"far");
            others.iter_mut().for_each(|reader| assert_eq!(reader.reads(&sealed), b"far", "{flooder}"));
        }
        for (reader, other) in [(0, 1), (1, 0)] {
            let reading = &mut others[reader];
            assert_eq!(reading.open(&lost[0]), Err(PeerFault::Again), "its key was given up");
            assert_eq!(reading.reads(&lost[3]), b"lost");
            reading.park();
            let group = reading.disk[&Key::Group(talk())].len() as u64;
            assert!(group < 8_192 + limits::WAITING_KEYS * 96, "{flooder}: {group} bytes");
            for sealed in &late[other] {
                assert_eq!(reading.reads(sealed), b"late", "{flooder}");
            }
        }
    }
}

/// Devices whose groups are let go of without being parked, again and again, skip what they had reserved: those keys never
/// come, and are given up in time, while everything that was said opens. [G-8] [G-9]
#[test]
fn t_084_a_long_run_of_restarts_leaves_every_message_to_be_opened() {
    let (mut laptop, mut phone, mut his) = three();
    let mut held = Vec::new();
    for round in 0..32_u32 {
        // A window of messages is under way when the author goes down, and again when the reader does.
        let window: Vec<_> = (0..6).map(|_| (laptop.seal(b"laptop"), phone.seal(b"phone"), his.seal(b"his"))).collect();
        for (from_laptop, from_phone, from_him) in &window {
            assert_eq!([phone.reads(from_laptop), his.reads(from_laptop)], [b"laptop"; 2], "{round}");
            assert_eq!([laptop.reads(from_phone), his.reads(from_phone)], [b"phone"; 2], "{round}");
            assert_eq!([laptop.reads(from_him), phone.reads(from_him)], [b"his"; 2], "{round}");
        }
        if round % 8 == 0 {
            held.push((round, phone.seal(b"slow")));
        }
        for device in [&mut laptop, &mut phone, &mut his] {
            device.crash();
        }
        // What the slow way brings comes many restarts late.
        if let Some((_, sealed)) = held.pop_if(|(since, _)| round >= *since + 7) {
            assert_eq!([laptop.reads(&sealed), his.reads(&sealed)], [b"slow"; 2], "{round}");
        }
    }
}

/// [G-4]
#[test]
fn t_074_a_commit_out_of_its_turn_is_refused() {
    let (mut laptop, mut phone, mut his) = three();
    let first = laptop.commit(&[], &[]).unwrap();
    let crossed = phone.commit(&[], &[]).unwrap();
    let applied = phone.apply(&first.commit).unwrap();
    assert_eq!((applied.epoch, phone.group().has_pending()), (2, false));
    laptop.merge();
    his.apply(&first.commit).unwrap();
    for device in [&mut laptop, &mut phone, &mut his] {
        assert_eq!(device.apply(&crossed.commit), Err(PeerFault::Epoch { got: 1, now: 2 }));
        assert_eq!(device.apply(&first.commit), Err(PeerFault::Epoch { got: 1, now: 2 }));
    }
    let again = phone.commit(&[], &[]).unwrap();
    assert!(matches!(his.apply(&again.commit[..again.commit.len() - 1]), Err(PeerFault::Sealed(_))));
    his.apply(&again.commit).unwrap();
}

/// [G-12]
#[test]
fn t_078_who_was_removed_reads_nothing_that_follows() {
    let (mut laptop, mut phone, mut his) = three();
    let change = laptop.commit(&[], &[his.dk()]).unwrap();
    laptop.merge();
    phone.apply(&change.commit).unwrap();
    // He doesn't follow, and keeps what he has.
    let sealed = phone.seal(b"without him");
    assert_eq!(laptop.reads(&sealed), b"without him");
    assert!(matches!(his.open(&sealed), Err(PeerFault::Epoch { got: 2, now: 1 })));
    assert!(matches!(his.apply(&sealed), Err(PeerFault::Sealed(_))));
    // What he seals, nobody takes any more.
    let late = his.seal(b"still me");
    assert!(laptop.open(&late).is_err());
    assert!(his.apply(&change.commit).unwrap().we_are_out);
    assert!(his.seal_with(None, b"no").is_err());
    his.crash();
    assert!(his.group().is_out() && his.open(&sealed).is_err());
}

/// [G-1]
#[test]
fn t_086_the_author_is_whose_credential_it_is() {
    let (mut laptop, mut phone, mut his) = three();
    for sender in [&mut laptop, &mut phone] {
        let sealed = sender.seal(b"who am I?");
        let opened = his.open(&sealed).unwrap();
        let leaf = sender.leaf.value();
        let (member, own) = (opened.member, sender.group().own().unwrap());
        assert_eq!((&member.address, member.identity, member.ak), (&leaf.address, leaf.identity, leaf.ak));
        assert_eq!(member, own);
    }
}

/// [G-2]
#[test]
fn a_key_package_is_read_with_all_its_checks() {
    let mut device = Person::new("ann").device("phone");
    let package = device.package(false);
    let bytes = package.bytes();
    assert_eq!(package.member().dk, device.dk());
    for cut in 0..bytes.len() {
        assert!(mls::read(&bytes[..cut], NOW).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut spoiled = bytes.to_vec();
        spoiled[at] ^= 1;
        assert!(mls::read(&spoiled, NOW).is_err(), "byte {at}");
    }
    let long = vec![0; limits::PACKAGE_BYTES + 1];
    assert!(matches!(mls::read(&long, NOW), Err(PeerFault::TooBig { .. })));
    for bad in [NOW.plus(limits::PACKAGE_MS + 1_000), postline_core::time::Millis(0)] {
        assert!(matches!(mls::read(bytes, bad), Err(PeerFault::KeyPackage("out of its lifetime"))));
    }
    assert!(mls::read(bytes, NOW.plus(limits::PACKAGE_MS)).is_ok());
}
