//! Two people compare codes, and what follows.

use postline_core::client::Command;
use postline_core::client::io::{Declined, Event, Level, Unverified};

use crate::kit::{World, ann, ben};

fn code(world: &World, n: usize) -> Option<String> {
    world.devices[n].events.iter().rev().find_map(|event| match event {
        Event::Code(code) => Some(code.text.clone()),
        _ => None,
    })
}

#[test]
fn two_who_compare_codes_know_each_other_on_all_their_devices() {
    let mut world = World::two();
    let tablet = world.further_device(0);
    world.command(0, Command::Verify(ben()));
    world.pass(60_000);
    assert!(world.devices[1].events.contains(&Event::CompareWanted { who: ann() }));
    assert_eq!(code(&world, 0), None);
    world.command(1, Command::Verify(ann()));
    world.pass(10_000);
    let (anns, bens) = (code(&world, 0).unwrap(), code(&world, 1).unwrap());
    assert_eq!(anns, bens);
    assert_eq!(anns.len(), 7);
    world.command(0, Command::Same(ben()));
    world.command(1, Command::Same(ann()));
    world.pass(10_000);
    assert_eq!([0, 1, tablet].map(|n| world.level(n)), [Level::Verified; 3]);
    // It is a fact about keys, and outlives a restart.
    world.restart(tablet);
    assert_eq!(world.level(tablet), Level::Verified);
    world.write(1, "from a friend");
    world.pass(5_000);
    assert_eq!(world.said(tablet).last().unwrap().author.level, Level::Verified);
}

#[test]
fn a_device_that_joins_later_knows_whom_the_others_have_compared() {
    let mut world = World::two();
    world.command(0, Command::Verify(ben()));
    world.command(1, Command::Verify(ann()));
    world.pass(10_000);
    world.command(0, Command::Same(ben()));
    world.pass(10_000);
    let tablet = world.further_device(0);
    world.pass(60_000);
    assert_eq!(world.level(tablet), Level::Verified, "{:#?}", world.devices[tablet].events);
}

#[test]
fn codes_that_differ_or_come_too_late_verify_nobody() {
    let mut world = World::two();
    world.command(0, Command::Same(ben()));
    assert!(world.devices[0].events.contains(&Event::Declined(Declined::NothingPending)));
    for n in [0, 1] {
        world.command(n, Command::Verify([ben(), ann()][n].clone()));
    }
    world.pass(10_000);
    world.command(0, Command::Differ(ben()));
    let differ = Event::NotVerified { who: ben(), why: Unverified::Differ };
    assert!(world.devices[0].events.contains(&differ));
    world.pass(3_600_000);
    world.command(1, Command::Same(ann()));
    let late = Event::NotVerified { who: ann(), why: Unverified::Late };
    assert!(world.devices[1].events.contains(&late), "{:#?}", world.devices[1].events);
    assert_eq!([0, 1].map(|n| world.level(n)), [Level::Keys; 2]);
    // And nobody tries for ever.
    for _ in 0..20 {
        world.command(0, Command::Verify(ben()));
    }
    assert!(matches!(world.devices[0].events.last(), Some(Event::Declined(Declined::NotBefore(_)))));
}
