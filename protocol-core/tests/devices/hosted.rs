//! Who has only a mail program, and whose node holds their keys: shown so, until they have a device of their own.

use postline_core::client::Command;
use postline_core::client::io::{Event, Level, Unverified};

use crate::kit::{World, ann, ben};

/// Ann has a device, ben's node runs one for him.
fn world() -> World {
    let mut world = World::new();
    world.device(&ann());
    world.hosted(&ben());
    world.pass(60_000);
    world
}

/// What the person of device `n` knows of the other.
fn contact(world: &World, n: usize) -> postline_core::client::io::Contact {
    world.devices[n].client.contacts().next().expect("they have a line")
}

#[test]
fn who_is_hosted_is_shown_so_and_speaks_sealed() {
    let mut world = world();
    assert_eq!([world.level(0), world.level(1)], [Level::Keys; 2], "{:#?}", world.devices[1].events);
    assert!(contact(&world, 0).hosted && !contact(&world, 1).hosted);
    world.write(0, "to a mail program");
    world.write(1, "from a mail program");
    world.pass(5_000);
    assert_eq!(world.texts(1), ["to a mail program"]);
    let said = world.said(0);
    assert!(said[0].author.hosted && said[0].words() == Some("from a mail program"));
    assert!(!world.said(1)[0].author.hosted);
}

#[test]
fn t_078_a_person_takes_their_keys_over_and_the_node_opens_nothing_more() {
    let mut world = world();
    for (n, who) in [(0, ben()), (1, ann())] {
        world.command(n, Command::Verify(who));
    }
    world.pass(10_000);
    for (n, who) in [(0, ben()), (1, ann())] {
        world.command(n, Command::Same(who));
    }
    world.write(0, "while the node reads along");
    world.pass(60_000);
    assert_eq!(world.level(0), Level::Verified);

    let own = world.further_device(1);
    world.pass(60_000);
    assert!(!contact(&world, 0).hosted && contact(&world, 0).devices == 2, "one is their own");
    let hosted = world.dk(1);
    world.command(own, Command::Revoke(hosted));
    world.pass(60_000);
    assert!(world.devices[1].events.contains(&Event::Revoked), "{:#?}", world.devices[own].events);

    // The other side hears of it, and it is no alarm: the line stays, what was compared was the node's key.
    let events = &world.devices[0].events;
    assert!(events.iter().any(|e| matches!(e, Event::HandedOver { who, known, now } if *who == ben() && known != now)));
    assert!(events.contains(&Event::NotVerified { who: ben(), why: Unverified::HandedOver }));
    assert!(!events.iter().any(|e| matches!(e, Event::Alarm(_) | Event::KeysChanged { .. })), "{events:#?}");
    assert_eq!((world.level(0), contact(&world, 0).suspended), (Level::Keys, false));

    world.write(0, "for your eyes alone");
    world.write(own, "thank you");
    world.pass(60_000);
    assert_eq!(world.texts(own), ["for your eyes alone"]);
    assert_eq!(world.texts(0), ["thank you"]);
    assert_eq!(world.texts(1), ["while the node reads along"]);
    assert_eq!([0, own].map(|n| world.group(n)), [2; 2]);
    let devices = world.devices[own].client.devices();
    assert!(devices.len() == 1 && devices[0].this && !devices[0].hosted);
    // The key is the device's alone now: a further one is let in by it, and the person has a backup to make.
    assert!(world.devices[own].events.contains(&Event::BackupWanted));
    world.further_device(own);
}

#[test]
fn taking_over_goes_on_where_a_restart_left_it() {
    let mut world = world();
    let own = world.further_device(1);
    let hosted = world.dk(1);
    world.reach(own, false);
    // Away from its node nothing is settled; whatever was begun is on its disk.
    world.command(own, Command::Revoke(hosted));
    world.restart(own);
    world.reach(own, true);
    world.command(own, Command::Connect);
    world.pass(60_000);
    let devices = world.devices[own].client.devices();
    assert!(devices.len() == 1 && devices[0].this, "{devices:#?}");
    assert!(!contact(&world, 0).suspended && !contact(&world, 0).hosted);
    assert!(world.devices[1].events.contains(&Event::Revoked));
}
