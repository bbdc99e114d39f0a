//! A backup opens with its phrase and nothing else, asks for no more than its bounds, and holds no device.

use std::collections::BTreeMap;

use postline_core::fault::{Misuse, PeerFault};
use postline_core::id::Address;
use postline_core::limits;
use postline_core::seal::phrase::Phrase;
use postline_core::seal::vault::{Backup, Cost};
use postline_core::seal::{Level, Pin, Secret};
use postline_core::time::Millis;

use super::kit::{ANN, BOB, address, ak, ann, bob, device, dk, key, take, tick};

const CHEAP: Cost = Cost { kib: 8, passes: 1 };

fn backup() -> Backup {
    let pin = Pin { identity: key(11).identity(), ak: key(11), level: Level::Compared };
    Backup {
        identity: key(1).identity(),
        address: address(ANN),
        made: Millis(5),
        ak: Secret::new([1; 32]),
        next: Secret::new([2; 32]),
        archive: Secret::new([77; 32]),
        pins: BTreeMap::from([(address(BOB), pin), (address("a.b@b.example"), Pin { level: Level::Proven, ..pin })]),
    }
}

fn phrase(entropy: u8) -> Phrase {
    Phrase::draw(&tick(0, entropy), "backup")
}

#[test]
fn a_backup_opens_with_its_phrase_as_it_was_typed() {
    let blob = backup().seal(&tick(0, 9), &phrase(1), CHEAP).unwrap();
    let shown = phrase(1).show();
    assert_eq!(shown.len(), 24);
    for typed in [shown.to_string(), shown.to_lowercase(), shown.replace('-', ""), shown.replace('-', " ")] {
        let typed = Phrase::parse(&typed.replace('0', "O").replace('1', "l")).unwrap();
        assert_eq!(Backup::open(&blob, &typed), Ok(backup()));
    }
}

#[test]
fn a_backup_of_the_usual_cost_opens() {
    let blob = backup().seal(&tick(0, 9), &phrase(1), Cost::default()).unwrap();
    assert_eq!(Backup::open(&blob, &phrase(1)), Ok(backup()));
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_says_so() {
    let blob = backup().seal(&tick(0, 9), &phrase(1), CHEAP).unwrap();
    assert_eq!(Backup::open(&blob, &phrase(2)), Err(PeerFault::WrongCode));
    assert_eq!(Backup::open(&blob, &phrase(1)), Ok(backup()), "and nothing has changed");
}

/// [I-16]
#[test]
fn a_slip_of_the_pen_is_told_before_anything_is_tried() {
    let shown = phrase(1).show().to_string();
    let signs = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for at in (0..shown.len()).filter(|at| &shown[*at..=*at] != "-") {
        for sign in signs.chars().filter(|sign| !shown[at..].starts_with(*sign)) {
            let slip = format!("{}{sign}{}", &shown[..at], &shown[at + 1..]);
            assert_eq!(Phrase::parse(&slip), Err(PeerFault::WrongCode), "{slip}");
        }
    }
    for bad in ["", "7K3M", &shown[1..], &format!("{shown}0"), &shown.replace('-', "_"), &"0".repeat(10_000), "🔑"] {
        assert_eq!(Phrase::parse(bad), Err(PeerFault::WrongCode), "{bad}");
    }
    assert_eq!(Phrase::parse(&"U".repeat(20)), Err(PeerFault::WrongCode));
}

#[test]
fn a_changed_backup_opens_nothing() {
    let blob = backup().seal(&tick(0, 9), &phrase(1), CHEAP).unwrap();
    for cut in 0..blob.len() {
        assert!(Backup::open(&blob[..cut], &phrase(1)).is_err(), "cut at {cut}");
    }
    assert!(Backup::open(&[&blob[..], &[0]].concat(), &phrase(1)).is_err());
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(Backup::open(&changed, &phrase(1)).is_err(), "byte {at}");
    }
}

/// What a blob asks for, its other items as in a good one.
fn asking(kib: &[u8], passes: &[u8]) -> Vec<u8> {
    let blob = backup().seal(&tick(0, 9), &phrase(1), CHEAP).unwrap();
    // [5 items, version, head and salt of 17 bytes][kib 8][passes 1][box]
    assert_eq!((blob[19], blob[20]), (8, 1));
    [&blob[..19], kib, passes, &blob[21..]].concat()
}

/// [I-18]
#[test]
fn a_backup_that_asks_for_the_whole_memory_is_refused_at_once() {
    let most = limits::BACKUP_KIB + 1;
    let over = [&[0x1a][..], &most.to_be_bytes()].concat();
    let huge = [0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for kib in [&over[..], &huge] {
        let refused = Backup::open(&asking(kib, &[1]), &phrase(1));
        assert!(matches!(refused, Err(PeerFault::TooBig { what: "a backup's memory", .. })), "{refused:?}");
    }
    let passes = limits::BACKUP_PASSES as u8 + 1;
    for passes in [&[passes][..], &huge] {
        let refused = Backup::open(&asking(&[8], passes), &phrase(1));
        assert!(matches!(refused, Err(PeerFault::TooBig { what: "a backup's passes", .. })), "{refused:?}");
    }
    for (kib, passes) in [(7, 1), (0, 1), (8, 0)] {
        assert!(matches!(Backup::open(&asking(&[kib], &[passes]), &phrase(1)), Err(PeerFault::Sealed(_))));
    }
    // What it asks for is part of what is sealed.
    assert_eq!(Backup::open(&asking(&[9], &[1]), &phrase(1)), Err(PeerFault::WrongCode));
    let long = vec![0; limits::BACKUP_BYTES + 1];
    assert!(matches!(Backup::open(&long, &phrase(1)), Err(PeerFault::TooBig { what: "backup", .. })));
    let dear = Cost { kib: limits::BACKUP_KIB + 1, passes: 1 };
    assert!(matches!(backup().seal(&tick(0, 9), &phrase(1), dear), Err(Misuse::OutOfPlace(_))));
}

#[test]
fn the_fullest_backup_fits() {
    let pin = Pin { identity: key(11).identity(), ak: key(11), level: Level::Compared };
    let domain = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let name = |at: usize| Address::parse(&format!("{at:064}@{domain}")).unwrap();
    let full = Backup { pins: (0..limits::BACKUP_PINS).map(|at| (name(at), pin)).collect(), ..backup() };
    let blob = full.seal(&tick(0, 9), &phrase(1), CHEAP).unwrap();
    assert!(blob.len() <= limits::BACKUP_BYTES, "{} bytes", blob.len());
    assert_eq!(Backup::open(&blob, &phrase(1)).as_ref(), Ok(&full));
    let over = Backup { pins: (0..=limits::BACKUP_PINS).map(|at| (name(at), pin)).collect(), ..full };
    assert!(matches!(over.seal(&tick(0, 9), &phrase(1), CHEAP), Err(Misuse::OutOfPlace(_))));
}

#[test]
fn two_backups_of_the_same_share_no_bytes() {
    let seal = |entropy| backup().seal(&tick(0, entropy), &phrase(1), CHEAP).unwrap();
    let (one, two) = (seal(1), seal(2));
    assert_eq!(one.len(), two.len());
    let same = one.iter().zip(&two).skip(23).filter(|(a, b)| a == b).count();
    assert!(same < one.len() / 16, "{same} of {} bytes are alike", one.len());
    for seed in [1, 2, 77] {
        assert!(!one.windows(8).any(|window| window == [seed; 8]), "a seed in the clear");
    }
}

/// [I-17]
#[test]
fn t_062_who_restores_a_backup_is_a_new_device() {
    // All devices are lost, and one is in foreign hands. The backup alone revokes them, and goes over to the next key.
    let (_, mut chain) = ann();
    let blob = backup().seal(&tick(0, 9), &phrase(1), CHEAP).unwrap();
    let backup = Backup::open(&blob, &phrase(1)).unwrap();
    let next = postline_core::seal::AddressIdentity::new(&backup.next);
    let draft = chain.draft().rotate(next.ak(), key(3).hash()).revoke(dk(1)).enlist(device(9));
    let (list, extension) = draft.sign(&next).unwrap();
    assert_eq!(extension.added, [device(9)]);
    take(&mut chain, &list);
    // The backup from before still serves, as long as it has the key that signs.
    assert_eq!(backup.key_for(&chain).unwrap().ak(), key(2));
    let (_, extension) = chain.draft().rotate(key(3), key(4).hash()).sign(&ak(3)).unwrap();
    chain.take(extension);
    assert_eq!(backup.key_for(&chain).err(), Some(PeerFault::Keys("a backup of keys that are past")));
    assert_eq!(backup.key_for(&bob(false).1).err(), Some(PeerFault::Keys("a backup of another person")));
}
