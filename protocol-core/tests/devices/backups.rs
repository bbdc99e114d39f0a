//! All devices of a person are gone, and a backup is left.

use postline_core::client::Command;
use postline_core::client::io::{Declined, Event, Level, Passphrase};
use zeroize::Zeroizing;

use crate::kit::{World, ann, ben};

fn backup(world: &mut World, n: usize) -> (Vec<u8>, Passphrase) {
    world.command(n, Command::Backup);
    let found = world.devices[n].events.iter().rev().find_map(|event| match event {
        Event::Backup { bytes, passphrase } => Some((bytes.clone(), passphrase.clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no backup: {:#?}", world.devices[n].events))
}

#[test]
fn a_backup_brings_a_person_back_and_locks_the_lost_device_out_for_good() {
    let mut world = World::two();
    assert!(world.devices[0].events.contains(&Event::BackupWanted));
    world.command(0, Command::Verify(ben()));
    world.command(1, Command::Verify(ann()));
    world.pass(10_000);
    for (n, who) in [(0, ben()), (1, ann())] {
        world.command(n, Command::Same(who));
    }
    world.write(1, "before it was lost");
    world.pass(60_000);
    let (bytes, passphrase) = backup(&mut world, 0);
    world.command(0, Command::BackupKept);
    let lost = world.dk(0);
    world.reach(0, false);

    let new = world.device(&ann());
    assert!(world.devices[new].events.contains(&Event::JoinWanted));
    // A wrong passphrase, and a damaged backup: nothing changes.
    let wrong = Passphrase(Zeroizing::new("0000-0000-0000-0000-0000".to_owned()));
    world.command(new, Command::Restore { bytes: bytes.clone(), passphrase: wrong });
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    world.command(new, Command::Restore { bytes: damaged, passphrase: passphrase.clone() });
    let declined = |event: &&Event| matches!(event, Event::Declined(Declined::WrongCode));
    assert_eq!(world.devices[new].events.iter().filter(declined).count(), 2);
    assert!(!world.devices[new].client.is_enrolled());

    world.command(new, Command::Restore { bytes, passphrase });
    world.pass(60_000);
    assert!(world.devices[new].client.is_enrolled(), "{:#?}", world.devices[new].events);
    assert_eq!(world.level(new), Level::Verified, "whom the person had compared stands in the backup");
    world.command(new, Command::Revoke(lost));
    world.pass(60_000);
    // The person's key is another, within the chain: ben's device takes it, and what was compared stays.
    assert_eq!(world.level(1), Level::Verified, "{:#?}", world.devices[1].events);
    assert!(!world.devices[1].events.iter().any(|event| matches!(event, Event::KeysChanged { .. })));
    world.write(1, "for the new device");
    world.write(new, "I am back");
    world.pass(60_000);
    assert_eq!(world.texts(new), ["for the new device"]);
    assert_eq!(world.texts(1).last().unwrap(), "I am back");
    world.devices[0].reachable = true;
    world.command(0, Command::Connect);
    world.pass(60_000);
    assert!(world.devices[0].events.contains(&Event::Revoked));
    assert_eq!(world.texts(0), ["before it was lost"]);
    // There is a new key to follow, for a new backup.
    let (again, _) = backup(&mut world, new);
    assert!(!again.is_empty());
}

/// [I-6], [I-23]
#[test]
fn t_010_a_stolen_device_is_revoked_with_the_key_that_it_knows_and_the_others_get_the_next() {
    let mut world = World::two();
    let (bytes, passphrase) = backup(&mut world, 0);
    world.command(0, Command::BackupKept);
    let tablet = world.further_device(0);
    let stolen = world.further_device(0);
    world.write(1, "all read this");
    world.pass(60_000);
    let dk = world.dk(stolen);
    let key = |world: &World, n: usize| world.devices[n].client.chain_of(&ann()).unwrap().ak();
    let before = key(&world, 0);
    world.devices[stolen].held = Some(Vec::new());

    // Without the passphrase nothing changes, nor with another's backup.
    let wrong = Passphrase(Zeroizing::new("0000-0000-0000-0000-0000".to_owned()));
    world.command(0, Command::RevokeStolen { dk, bytes: bytes.clone(), passphrase: wrong });
    let (bens, his) = backup(&mut world, 1);
    world.command(0, Command::RevokeStolen { dk, bytes: bens, passphrase: his });
    let declined = |event: &&Event| matches!(event, Event::Declined(Declined::WrongCode));
    assert_eq!(world.devices[0].events.iter().filter(declined).count(), 2);
    assert_eq!((world.group(0), key(&world, 0)), (4, before));

    world.clear();
    world.command(0, Command::RevokeStolen { dk, bytes: bytes.clone(), passphrase: passphrase.clone() });
    world.pass(60_000);
    let after = key(&world, 0);
    assert!(after != before && [1, tablet].iter().all(|n| key(&world, *n) == after), "everybody follows");
    assert!(world.devices[0].events.contains(&Event::BackupWanted), "{:#?}", world.devices[0].events);
    assert!(!world.devices[1].events.iter().any(|event| matches!(event, Event::KeysChanged { .. } | Event::Alarm(_))));
    assert_eq!([0, 1, tablet].map(|n| world.group(n)), [3; 3]);

    // The tablet goes on in the conversation; a list it can't sign before it has the key.
    assert!(world.devices[tablet].events.contains(&Event::JoinWanted), "{:#?}", world.devices[tablet].events);
    world.write(tablet, "from the tablet");
    world.pass(5_000);
    assert_eq!(world.texts(1).last().unwrap(), "from the tablet");
    world.restart(tablet);
    world.pass(5_000);
    world.let_in(0, tablet);
    assert_eq!(world.office.lists[&ann()].0.as_ref().unwrap().devices().len(), 2, "no list more for it");
    let phone = world.further_device(tablet);
    world.write(1, "not for the thief");
    world.pass(60_000);
    for n in [0, tablet, phone] {
        assert_eq!(world.texts(n).last().unwrap(), "not for the thief");
    }
    // The thief hears all that was held back, and can neither read nor speak.
    for frame in world.devices[stolen].held.take().unwrap() {
        world.tell_device(stolen, frame);
    }
    world.settle();
    world.pass(60_000);
    assert!(!world.texts(stolen).contains(&"not for the thief".to_owned()));
    // The backup is used up: its next key is the key now.
    let dk = world.dk(phone);
    world.clear();
    world.command(0, Command::RevokeStolen { dk, bytes, passphrase });
    assert_eq!(world.devices[0].events.iter().filter(declined).count(), 1);
}

#[test]
fn what_follows_the_persons_key_is_nowhere_once_the_backup_was_put_away() {
    let mut world = World::two();
    backup(&mut world, 0);
    backup(&mut world, 0);
    world.command(0, Command::BackupKept);
    world.clear();
    world.command(0, Command::Backup);
    assert_eq!(world.devices[0].events, [Event::Declined(Declined::NothingPending)]);
    world.restart(0);
    world.pass(5_000);
    world.clear();
    world.command(0, Command::Backup);
    assert_eq!(world.devices[0].events, [Event::Declined(Declined::NothingPending)]);
}

#[test]
fn t_089_what_is_shown_once_prints_nothing_of_itself() {
    let mut world = World::two();
    let (_, passphrase) = backup(&mut world, 0);
    let printed = format!("{:?}", world.devices[0].events);
    assert!(!printed.contains(passphrase.0.as_str()));
    let machine = format!("{:?}", world.devices[0].client);
    assert!(machine.contains("Secret(..)") && !machine.contains(passphrase.0.as_str()));
}
