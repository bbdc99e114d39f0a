//! Devices that are killed at any moment, and go on from their disks.

use postline_core::client::io::Mark;
use postline_core::fault::Code;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Talk;

use crate::kit::World;

#[test]
fn a_device_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let mut world = World::two();
    let tablet = world.further_device(0);
    let mut ids = Vec::new();
    for round in 0..12 {
        for n in [0, 1, tablet] {
            ids.push((n, world.write(n, &format!("{round} by {n}"))));
            // With what it wrote under way, or before anything has left.
            if round % 2 == 0 {
                world.pass(300);
            }
            world.restart(n);
            world.pass(5_000);
        }
    }
    world.pass(120_000);
    for n in [0, 1, tablet] {
        let mut texts = world.texts(n);
        let others = |text: &String| !text.ends_with(&format!("by {n}"));
        assert!(texts.iter().all(others));
        texts.sort();
        texts.dedup();
        assert_eq!((texts.len(), world.texts(n).len()), (24, 24), "device {n}");
    }
    for (n, id) in ids {
        assert_eq!(world.marks(n, id).last(), Some(&Mark::Delivered), "{:?}", world.marks(n, id));
    }
}

#[test]
fn what_was_posted_and_not_answered_is_posted_again_and_taken_once() {
    let mut world = World::two();
    world.write(0, "first");
    world.pass(5_000);
    world.office.posts = Some(Vec::new());
    let lost = world.write(0, "lost on the way");
    assert_eq!(world.office.posts.take().unwrap().len(), 1);
    world.restart(0);
    world.pass(5_000);
    assert_eq!(world.texts(1), ["first", "lost on the way"]);
    assert_eq!(world.marks(0, lost).last(), Some(&Mark::Delivered));
    // The answer is lost: what is posted again isn't taken again.
    world.devices[0].held = Some(Vec::new());
    let answered = world.write(0, "answer lost");
    world.devices[0].held = None;
    world.restart(0);
    world.pass(5_000);
    assert_eq!(world.texts(1).len(), 3);
    assert_eq!(world.marks(0, answered).last(), Some(&Mark::Delivered));
}

/// Its node has seen the device further on than its disk says.
#[test]
fn t_062_a_device_that_was_set_back_writes_no_more_and_comes_again_as_a_new_one() {
    use postline_core::client::Command;
    use postline_core::client::io::{Event, Failure};
    let mut world = World::two();
    let tablet = world.further_device(0);
    world.write(0, "first");
    world.pass(60_000);
    let old = world.devices[0].disk.clone();
    // One post is enough.
    world.write(0, "second");
    world.pass(5_000);
    world.devices[0].disk = old;
    world.clear();
    world.restart(0);
    world.pass(5_000);
    assert!(world.devices[0].events.contains(&Event::Behind), "{:#?}", world.devices[0].events);
    let id = world.write(0, "from the past");
    assert_eq!(world.marks(0, id), [Mark::Failed(Failure::NotEnrolled)]);
    let before = world.dk(0);
    let login = world.login(0);
    world.command(0, Command::Enrol { login: Some(login) });
    world.pass(1_000);
    assert_ne!(world.dk(0), before);
    world.let_in(tablet, 0);
    world.pass(60_000);
    world.write(0, "here again");
    world.write(1, "welcome back");
    world.pass(60_000);
    assert_eq!(world.texts(1).last().unwrap(), "here again");
    assert_eq!(world.texts(0).last().unwrap(), "welcome back");
}

/// A device and its copy seal the same step of the same key, each for something of its own. What the first posted is lost
/// on the way: of the two the one that posts first goes on, and nothing of the other comes to its node.
#[test]
fn t_062_of_two_copies_one_goes_on_though_both_posted_as_often() {
    use postline_core::client::io::Event;
    let mut world = World::two();
    world.write(0, "first");
    world.pass(60_000);
    let before = world.devices[0].disk.clone();
    world.office.posts = Some(Vec::new());
    world.write(0, "lost on the way");
    assert_eq!(world.office.posts.take().unwrap().len(), 1);
    let other = std::mem::replace(&mut world.devices[0].disk, before);
    world.restart(0);
    world.pass(5_000);
    world.write(0, "of the copy");
    world.pass(5_000);
    assert!(!world.devices[0].events.contains(&Event::Behind));
    assert_eq!(world.texts(1), ["first", "of the copy"]);
    world.devices[0].disk = other;
    world.clear();
    world.office.posts = Some(Vec::new());
    world.restart(0);
    world.pass(5_000);
    assert!(world.devices[0].events.contains(&Event::Behind), "{:#?}", world.devices[0].events);
    assert!(world.office.posts.take().unwrap().is_empty());
}

#[test]
fn what_there_is_no_room_for_is_said_later_and_in_order() {
    let mut world = World::two();
    world.write(0, "first");
    world.pass(5_000);
    world.office.posts = Some(Vec::new());
    let ids: Vec<_> = (0..3).map(|n| world.write(0, &format!("{n}"))).collect();
    for (n, post) in world.office.posts.take().unwrap() {
        let (conversation, origin) = (post.conversation, post.origin);
        world.tell_device(n, Frame::Talk(Talk::Unposted { conversation, origin, code: Code::Busy }));
    }
    world.settle();
    assert_eq!(world.texts(1), ["first"]);
    world.pass(30_000);
    assert_eq!(world.texts(1), ["first", "0", "1", "2"]);
    for id in ids {
        assert_eq!(world.marks(0, id), [Mark::Queued, Mark::Sent, Mark::Delivered]);
    }
}
