//! People with several devices: all of them see everything, whichever writes, and whoever was away.

use postline_core::client::Command;
use postline_core::client::io::{Declined, Event, Failure, Mark};
use postline_core::limits;
use postline_core::store::Key;
use postline_core::wire::talk::Kind;

use crate::kit::{World, ann, theirs};

#[test]
fn a_device_that_joins_by_code_sees_what_comes_from_then_on() {
    let mut world = World::two();
    world.write(0, "before");
    world.pass(5_000);
    let tablet = world.further_device(0);
    world.pass(60_000);
    assert_eq!([0, 1, tablet].map(|n| world.group(n)), [3; 3], "{:#?}", world.devices[tablet].events);
    world.write(1, "after");
    world.write(tablet, "from the tablet");
    world.pass(5_000);
    assert_eq!(world.texts(tablet), ["after"]);
    assert_eq!(world.texts(0), ["after", "from the tablet"]);
    assert_eq!(world.texts(1), ["before", "from the tablet"]);
    let said = world.said(0);
    assert!(said[1].author.own && said[1].author.address == ann() && said[1].author.dk == world.dk(tablet));
    assert!(!world.said(1)[1].author.own);
}

#[test]
fn one_that_was_away_hears_everything_in_order_when_it_comes_back() {
    let mut world = World::two();
    let tablet = world.further_device(1);
    world.write(0, "first");
    world.pass(30_000);
    world.reach(tablet, false);
    let texts: Vec<String> = (0..100).map(|n| format!("text {n}")).collect();
    for text in &texts {
        world.write(0, text);
    }
    let meanwhile = world.write(tablet, "written without a network");
    assert_eq!(world.marks(tablet, meanwhile), [Mark::Queued]);
    world.pass(60_000);
    assert_eq!(world.texts(1).len(), 101);
    world.reach(tablet, true);
    assert_eq!(world.texts(tablet)[1..], texts);
    assert_eq!(world.marks(tablet, meanwhile), [Mark::Queued, Mark::Sent, Mark::Delivered]);
    assert_eq!(world.texts(0), ["written without a network"]);
    assert_eq!(world.texts(1).last().unwrap(), "written without a network");
}

/// [G-13]
#[test]
fn both_who_write_first_at_once_get_one_conversation_and_every_word() {
    let mut world = World::two();
    let (phone, tablet) = (0, world.further_device(0));
    // The hub hears nothing until each has made a group of its own.
    world.office.posts = Some(Vec::new());
    for n in [phone, 1, tablet] {
        world.write(n, &format!("by {n}"));
    }
    let created = world.office.posts.as_ref().unwrap().iter().filter(|(_, post)| post.kind == Kind::Create).count();
    assert_eq!(created, 3);
    world.release();
    world.pass(120_000);
    for (n, others) in [(phone, ["by 1", "by 2"]), (1, ["by 0", "by 2"]), (tablet, ["by 0", "by 1"])] {
        let mut texts = world.texts(n);
        texts.sort();
        assert_eq!(texts, others, "{n}: {:#?}", world.devices[n].events);
        assert_eq!(world.group(n), 3);
    }
    assert_eq!(world.office.logs.len(), 1);
}

/// [K-7]
/// [G-13]
#[test]
fn t_078_a_revoked_device_reads_nothing_new() {
    let mut world = World::two();
    let tablet = world.further_device(0);
    world.write(1, "all three read this");
    world.pass(60_000);
    assert_eq!(world.texts(tablet).len(), 1);
    // It hears of nothing for a while, and keeps its keys.
    world.devices[tablet].held = Some(Vec::new());
    let dk = world.dk(tablet);
    world.command(0, Command::Revoke(dk));
    let secret = world.write(1, "not for the tablet");
    world.write(0, "nor is this");
    world.pass(60_000);
    assert_eq!(world.texts(0).last().unwrap(), "not for the tablet");
    assert_eq!(world.marks(1, secret), [Mark::Queued, Mark::Sent, Mark::Delivered]);
    assert_eq!([0, 1].map(|n| world.group(n)), [2; 2]);
    // Now it is told everything but that it is out.
    for frame in world.devices[tablet].held.take().unwrap() {
        world.tell_device(tablet, frame);
    }
    world.settle();
    assert_eq!(world.texts(tablet), ["all three read this"]);
    let refused = world.write(tablet, "may I?");
    world.pass(60_000);
    assert!(!world.texts(1).contains(&"may I?".to_owned()));
    assert!(world.devices[tablet].events.contains(&Event::Revoked));
    let marks = world.marks(tablet, refused);
    assert_eq!(marks, [Mark::Failed(Failure::NotEnrolled)]);
}

#[test]
fn a_wrong_code_lets_nobody_in_and_after_some_tries_there_are_none_for_a_while() {
    let mut world = World::two();
    let stranger = world.device(&ann());
    world.command(stranger, Command::Join);
    let mut declined = Vec::new();
    for _ in 0..20 {
        world.clear();
        world.command(0, Command::AddDevice { code: "0000-0000-0000-0000-0000".to_owned().into() });
        declined.extend(world.devices[0].events.iter().filter_map(|event| match event {
            Event::Declined(why) => Some(why.clone()),
            _ => None,
        }));
    }
    assert_eq!(declined.len(), 20);
    assert_eq!(declined[0], Declined::WrongCode);
    assert!(matches!(declined[19], Declined::NotBefore(_)), "{declined:?}");
    assert!(!world.devices[stranger].client.is_enrolled());
    world.write(1, "ann only");
    world.pass(60_000);
    assert_eq!(world.texts(stranger), [""; 0]);
    assert_eq!(world.office.logs[&theirs()].entries.len(), 2);
}

/// The code that a device shows.
fn shown(world: &World, n: usize) -> String {
    let code = |event: &Event| match event {
        Event::Code(code) => Some(code.text.clone()),
        _ => None,
    };
    world.devices[n].events.iter().rev().find_map(code).unwrap()
}

/// [I-22]
#[test]
fn a_code_that_is_typed_before_the_new_device_is_heard_waits_for_it() {
    let mut world = World::two();
    let tablet = world.device(&ann());
    // What the tablet asks is still on its way to the old device.
    world.devices[0].held = Some(Vec::new());
    world.command(tablet, Command::Join);
    let code = shown(&world, tablet);
    world.command(0, Command::AddDevice { code: code.into() });
    let until = world.now.plus(limits::CODE_WAIT_MS);
    assert_eq!(world.devices[0].events.last(), Some(&Event::CodeWaits { until }));
    assert!(!world.devices[tablet].client.is_enrolled());
    world.pass(limits::CODE_WAIT_MS - 1);
    for frame in world.devices[0].held.take().unwrap() {
        world.tell_device(0, frame);
    }
    world.pass(60_000);
    let dk = world.dk(tablet);
    assert!(world.devices[tablet].client.is_enrolled(), "{:#?}", world.devices[tablet].events);
    assert_eq!(world.devices[0].events.iter().filter(|event| **event == Event::Added { dk }).count(), 1);
    assert!(!world.devices[0].events.iter().any(|event| matches!(event, Event::Declined(_))));
}

/// [I-22]
#[test]
fn a_code_that_no_device_asks_by_is_declined_in_the_end() {
    let mut world = World::two();
    let tablet = world.device(&ann());
    world.devices[0].held = Some(Vec::new());
    world.command(tablet, Command::Join);
    let code = shown(&world, tablet);
    world.command(0, Command::AddDevice { code: code.clone().into() });
    world.pass(limits::CODE_WAIT_MS - 1);
    let nobody = Event::Declined(Declined::NobodyAsked);
    assert!(!world.devices[0].events.contains(&nobody));
    world.pass(1);
    assert_eq!(world.devices[0].events.iter().filter(|event| **event == nobody).count(), 1);
    // Heard too late: it is let in once the person types the code again, and not before.
    for frame in world.devices[0].held.take().unwrap() {
        world.tell_device(0, frame);
    }
    world.pass(60_000);
    assert!(!world.devices[tablet].client.is_enrolled());
    world.command(0, Command::AddDevice { code: code.into() });
    world.pass(60_000);
    assert!(world.devices[tablet].client.is_enrolled());
}

/// A node gives a note once: who heard it first and left must still know it.
#[test]
fn the_right_code_after_a_wrong_one_and_a_restart_lets_the_device_in() {
    let mut world = World::two();
    let tablet = world.device(&ann());
    world.command(tablet, Command::Join);
    let code = shown(&world, tablet);
    world.command(0, Command::AddDevice { code: "0000-0000-0000-0000-0000".to_owned().into() });
    assert_eq!(world.devices[0].events.last(), Some(&Event::Declined(Declined::WrongCode)));
    world.restart(0);
    world.pass(5_000);
    world.command(0, Command::AddDevice { code: code.into() });
    world.pass(60_000);
    assert!(world.devices[tablet].client.is_enrolled(), "{:#?}", world.devices[0].events);
    assert!(!world.devices[0].disk.contains_key(&Key::Joining), "nothing is left over");
}

#[test]
fn what_was_granted_reaches_the_new_device_though_the_old_one_is_killed_before_it_says_it() {
    let mut world = World::two();
    let tablet = world.device(&ann());
    world.command(tablet, Command::Join);
    let code = shown(&world, tablet);
    // The node takes the list that has the tablet; that it did, the old device never hears.
    world.devices[0].held = Some(Vec::new());
    world.command(0, Command::AddDevice { code: code.into() });
    world.pass(5_000);
    assert!(!world.devices[tablet].client.is_enrolled());
    world.devices[0].held = None;
    world.restart(0);
    world.pass(60_000);
    assert!(world.devices[tablet].client.is_enrolled(), "{:#?}", world.devices[tablet].events);
    let dk = world.dk(tablet);
    assert!(world.devices[0].events.contains(&Event::Added { dk }));
}

#[test]
fn an_older_device_tells_a_newer_one_what_was_said_before() {
    let mut world = World::two();
    for n in 0..150 {
        world.write(n % 2, &format!("text {n}"));
    }
    world.pass(5_000);
    let tablet = world.further_device(0);
    world.pass(60_000);
    assert_eq!(world.texts(tablet), [""; 0]);
    let before = world.texts(1).len();
    let dk = world.dk(tablet);
    world.command(0, Command::ShareHistory { with: dk });
    world.pass(60_000);
    let texts: Vec<String> = (0..150).map(|n| format!("text {n}")).collect();
    assert_eq!(world.texts(tablet), texts, "{:#?}", world.devices[tablet].events);
    let said = world.said(tablet);
    assert!(said.iter().enumerate().all(|(n, said)| said.author.own == (n % 2 == 0)));
    assert_eq!(world.texts(1).len(), before, "it is for nobody else");
    // To tell it again shows nothing twice.
    world.command(0, Command::ShareHistory { with: dk });
    world.pass(60_000);
    assert_eq!(world.texts(tablet).len(), 150);
}
