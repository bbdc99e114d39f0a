//! Two people who have a line, with devices of their own, on two nodes: everything real but the network.

use postline_core::client::Command;
use postline_core::client::io::{Declined, Event, Level, Mark};
use postline_core::id::Address;
use postline_core::machine::trust::TrustState;
use postline_world::world::World;

use crate::clients::Clients;
use crate::kit::{a_line, one, states, two, whole};

fn two_phones() -> (World, Clients) {
    let mut world = a_line();
    let mut clients = Clients::default();
    for who in [one(), two()] {
        clients.add(&mut world, &who);
    }
    clients.pass(&mut world, 2_000);
    (world, clients)
}

#[test]
fn what_one_writes_the_other_reads_and_marks_come_back() {
    let (mut world, mut clients) = two_phones();
    let hello = clients.write(&mut world, 0, &two(), "hello two");
    clients.pass(&mut world, 2_000);
    assert_eq!(clients.texts(1), ["hello two"], "{:#?}\n{:#?}", clients.all[0].events, clients.all[1].events);
    assert_eq!(clients.marks(0, hello), [Mark::Queued, Mark::Sent, Mark::Delivered]);
    let answer = clients.write(&mut world, 1, &one(), "hello one");
    clients.pass(&mut world, 2_000);
    assert_eq!(clients.texts(0), ["hello one"]);
    assert_eq!(clients.marks(1, answer).last(), Some(&Mark::Delivered));
    let conversation = clients.all[1].events.iter().find_map(|event| match event {
        postline_core::client::Event::Said(said) => Some(said.conversation),
        _ => None,
    });
    clients.command(&mut world, 1, Command::ReadUpTo { conversation: conversation.unwrap(), seq: 2 });
    clients.pass(&mut world, 4_000);
    assert_eq!(clients.marks(0, hello).last(), Some(&Mark::Read));
    whole(&world);
}

/// A device tells what was said before it is durable there. Until it is, the node holds it. [H-13]
#[test]
fn what_a_device_told_before_it_went_down_it_tells_again() {
    let (mut world, mut clients) = two_phones();
    clients.write(&mut world, 0, &two(), "one");
    clients.pass(&mut world, 2_000);
    clients.all[1].falls = true;
    let told = clients.write(&mut world, 0, &two(), "two");
    clients.pass(&mut world, 5_000);
    assert!(!clients.all[1].falls, "it went down");
    assert_eq!(clients.texts(1), ["one", "two", "two"]);
    let said = |event: &Event| if let Event::Said(said) = event { Some(said.clone()) } else { None };
    let said: Vec<_> = clients.all[1].events.iter().filter_map(said).filter(|said| said.id == told).collect();
    assert_eq!(said[0], said[1], "under the same seq, by the same author");
    assert_eq!(clients.marks(0, told), [Mark::Queued, Mark::Sent, Mark::Delivered]);
    clients.restart(&mut world, 1);
    clients.write(&mut world, 0, &two(), "three");
    clients.pass(&mut world, 5_000);
    assert_eq!(clients.texts(1), ["one", "two", "two", "three"], "what is durable is told once");
    whole(&world);
}

/// So it is with marks: whoever said so says so again, or says what is further. [H-13]
#[test]
fn a_mark_that_was_told_before_the_device_went_down_is_not_lost() {
    let (mut world, mut clients) = two_phones();
    clients.write(&mut world, 0, &two(), "one");
    clients.pass(&mut world, 2_000);
    let told = clients.write(&mut world, 0, &two(), "two");
    clients.all[0].falls = true;
    clients.pass(&mut world, 5_000);
    assert!(!clients.all[0].falls, "it went down");
    let marks = clients.marks(0, told);
    assert_eq!(marks.last(), Some(&Mark::Delivered), "{marks:?}");
    clients.restart(&mut world, 0);
    clients.pass(&mut world, 5_000);
    assert_eq!(clients.marks(0, told), marks, "what is durable is told once");
    whole(&world);
}

#[test]
fn three_devices_talk_over_crashes_of_everything() {
    let (mut world, mut clients) = two_phones();
    let tablet = clients.further(&mut world, 0);
    clients.write(&mut world, 1, &one(), "first");
    clients.pass(&mut world, 3_000);
    assert_eq!(clients.devices_in(tablet), [3]);
    let mut written = 1;
    for round in 0..4 {
        for (n, to) in [(0, two()), (1, one()), (tablet, two())] {
            clients.write(&mut world, n, &to, &format!("{round} by {n}"));
            written += 1;
            match (round + n) % 4 {
                0 => clients.restart(&mut world, n),
                1 => world.crash(0),
                2 => world.crash(1),
                _ => {}
            }
            clients.pass(&mut world, 50);
        }
    }
    clients.pass(&mut world, 180_000);
    for n in [0, 1, tablet] {
        let own = |text: &String| text.ends_with(&format!("by {n}"));
        let mut texts = clients.texts(n);
        assert!(!texts.iter().any(own));
        let shown = texts.len();
        texts.sort();
        texts.dedup();
        let others = written - 4 - usize::from(n == 1);
        assert_eq!((shown, texts.len()), (others, others), "device {n}: {texts:?}\n{:#?}", clients.all[n].events);
    }
    whole(&world);
}

#[test]
fn whoever_was_away_hears_everything_in_order_when_they_come_back() {
    let (mut world, mut clients) = two_phones();
    clients.write(&mut world, 0, &two(), "hello");
    clients.pass(&mut world, 2_000);
    clients.reach(&mut world, 1, false);
    for n in 0..20 {
        clients.write(&mut world, 0, &two(), &format!("{n}"));
        clients.pass(&mut world, 20);
    }
    let away = clients.write(&mut world, 1, &one(), "from the train");
    clients.pass(&mut world, 30_000);
    assert_eq!(clients.marks(1, away), [Mark::Queued]);
    clients.reach(&mut world, 1, true);
    clients.pass(&mut world, 120_000);
    assert_eq!(clients.texts(1).len(), 21);
    assert_eq!(clients.texts(0), ["from the train"]);
    assert_eq!(clients.marks(1, away).last(), Some(&Mark::Delivered));
    assert!(clients.marks(1, away).is_sorted());
    whole(&world);
}

/// [U-16], [H-9]
#[test]
fn t_012_a_person_blocks_from_a_device_at_once_and_over_a_crash() {
    let (mut world, mut clients) = two_phones();
    clients.write(&mut world, 0, &two(), "before");
    clients.pass(&mut world, 2_000);
    clients.command(&mut world, 1, Command::Block(one()));
    clients.pass(&mut world, 100);
    let blocked = |blocked| Event::Blocked { who: one(), blocked };
    assert!(clients.all[1].events.contains(&blocked(true)), "{:#?}", clients.all[1].events);
    assert_eq!(states(&world)[1], TrustState::Revoked);
    world.crash(1);
    clients.pass(&mut world, 60_000);
    clients.write(&mut world, 0, &two(), "may I?");
    clients.pass(&mut world, 60_000);
    assert_eq!((states(&world)[1], clients.texts(1)), (TrustState::Revoked, vec!["before".to_owned()]));
    // A restart doesn't forget it, and the one who was blocked is not told.
    clients.restart(&mut world, 1);
    clients.pass(&mut world, 60_000);
    let level = |event: &Event| match event {
        Event::Contact(contact) if contact.address == one() => Some(contact.level),
        _ => None,
    };
    assert_eq!(clients.all[1].events.iter().rev().find_map(level), Some(Level::Mail));
    assert!(!clients.all[0].events.iter().any(|event| matches!(event, Event::Blocked { .. })));
    // Unblocked, they are strangers: mail and a reply lead on from there.
    clients.command(&mut world, 1, Command::Unblock(one()));
    clients.pass(&mut world, 2_000);
    assert!(clients.all[1].events.contains(&blocked(false)));
    assert_eq!(states(&world)[1], TrustState::Stranger);
    let nobody = Address::parse("nobody@c.example").unwrap();
    clients.command(&mut world, 1, Command::Block(nobody.clone()));
    assert!(clients.all[1].events.contains(&Event::Declined(Declined::NoContact(nobody))));
}
