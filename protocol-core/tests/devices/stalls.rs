//! What must not stand still, or go round without end, whatever was lost or is kept back.

use postline_core::client::io::Event;
use postline_core::fault::PeerFault;
use postline_core::id::DeviceTag;
use postline_core::limits;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::{Finding, Kind, Origin, Post, Talk};

use crate::kit::{World, ann, ben, theirs};

fn talking() -> World {
    let mut world = World::two();
    world.write(0, "hello");
    world.pass(5_000);
    world.write(1, "hello back");
    world.pass(5_000);
    world.clear();
    world
}

fn length(world: &World) -> u64 {
    world.office.logs[&theirs()].entries.len() as u64
}

/// A device is on its person's list, and its node gives no key package of it: it never came so far, or they are kept back.
/// The others look again in a while, and commit nothing meanwhile.
#[test]
fn t_084_a_listed_device_without_packages_makes_nobody_commit_without_end() {
    let mut world = talking();
    let before = length(&world);
    let new = world.device(&ben());
    let dk = world.dk(new);
    world.office.no_packages.insert(dk);
    world.let_in(1, new);
    world.pass(3_600_000);
    // It came in from outside, and that was all.
    assert_eq!(length(&world), before + 1);
    assert_eq!((world.group(0), world.group(1), world.group(new)), (3, 3, 3));
}

/// A change waits for the lists of who came in by it, whose node can't be asked. That one's own person has no newer list
/// says nothing of that: before, it made the change void for this device alone, and parted it from the others (seed 538).
/// [G-14] [G-17]
#[test]
fn t_087_a_change_waits_for_the_lists_of_who_it_is_about() {
    let mut world = talking();
    world.office.out_of_reach = Some(ben());
    let new = world.further_device(1);
    world.pass(2 * limits::LISTS_WAIT_MS);
    for _ in 0..3 {
        // At each session it asks for its own person's lists, and hears that there are none.
        world.reach(0, false);
        world.reach(0, true);
    }
    assert_eq!((world.group(0), world.group(1), world.group(new)), (2, 3, 3), "it waits");
    world.office.out_of_reach = None;
    world.pass(limits::LISTS_WAIT_MS);
    assert_eq!((world.group(0), world.group(1), world.group(new)), (3, 3, 3));
    world.write(0, "to all");
    world.pass(10_000);
    assert_eq!([1, new].map(|n| world.texts(n)), [["to all"], ["to all"]]);
}

/// What a device has it says again where its node brings it again: the node didn't hear it, or forgot, and its window for
/// the device would stay full.
#[test]
fn what_comes_again_is_acknowledged_again() {
    let mut world = talking();
    for n in 0..40 {
        world.write(0, &n.to_string());
    }
    world.pass(5_000);
    let acked = (theirs(), world.dk(1));
    assert_eq!(world.office.acked.get(&acked), Some(&length(&world)));
    world.reach(1, false);
    world.office.acked.remove(&acked);
    world.reach(1, true);
    assert_eq!(world.office.acked.get(&acked), Some(&length(&world)));
    assert_eq!(world.texts(1).len(), 40);
}

/// What a log has dropped stops nobody who comes later: they are told what they miss, and go on behind it.
#[test]
fn t_076_a_device_that_comes_when_entries_are_gone_goes_on_behind_them() {
    let mut world = talking();
    let gone = length(&world);
    world.office.logs.get_mut(&theirs()).unwrap().floor = gone;
    let tablet = world.further_device(0);
    world.write(1, "to both of yours");
    world.pass(30_000);
    assert_eq!(world.texts(tablet), ["to both of yours"]);
    let missing = Event::Missing { conversation: theirs(), from: 1, to: gone };
    assert!(world.devices[tablet].events.contains(&missing), "{:#?}", world.devices[tablet].events);
    world.write(tablet, "here I am");
    world.pass(30_000);
    assert_eq!(world.texts(1).last().unwrap(), "here I am");
}

/// As long as what was asked for may still come, nothing is given up: the answer comes before the entries where the log
/// just goes on from there.
#[test]
fn t_076_an_answer_that_comes_before_its_entries_makes_nothing_missing() {
    let mut world = talking();
    world.devices[1].held = Some(Vec::new());
    for n in 0..5 {
        world.write(0, &n.to_string());
    }
    let frames = world.devices[1].held.take().unwrap();
    let (entries, rest): (Vec<Frame>, Vec<Frame>) =
        frames.into_iter().partition(|frame| matches!(frame, Frame::Talk(Talk::Event(_))));
    world.devices[1].held = Some(Vec::new());
    // The first is lost on the way, and asked for; what follows is already on its way.
    world.say_held(1, entries[1].clone());
    let answers = world.devices[1].held.take().unwrap();
    let is_answer = |frame: &Frame| matches!(frame, Frame::Talk(Talk::Answer { what: Ok(Finding::Sent), .. }));
    let answer = answers.into_iter().find(is_answer).unwrap();
    world.say_held(1, answer);
    world.pass(5_000);
    for frame in entries.into_iter().chain(rest) {
        world.say_held(1, frame);
    }
    world.pass(5_000);
    assert_eq!(world.texts(1), ["0", "1", "2", "3", "4"]);
    assert!(!world.devices[1].events.iter().any(|event| matches!(event, Event::Missing { .. })));
}

/// The hub puts what was said into the log once more, after the device was killed: its ratchet's last snapshot is older
/// than what it has opened since.
#[test]
fn t_061_what_was_opened_before_a_crash_is_not_opened_again_behind_it() {
    let mut world = talking();
    world.write(0, "once");
    world.pass(5_000);
    let again = world.office.logs[&theirs()].entries.last().unwrap().1.bytes.clone().unwrap();
    world.restart(1);
    world.pass(5_000);
    world.clear();
    let origin = Origin { device: DeviceTag([9; 8]), number: 1 };
    let epoch = world.office.logs[&theirs()].epoch;
    let post = Post { conversation: theirs(), origin, kind: Kind::Message, epoch, members: Vec::new(), bytes: again };
    world.append(&ann(), post);
    world.settle();
    assert_eq!(world.texts(1), [""; 0]);
    let refused = |event: &Event| matches!(event, Event::Refused { why: PeerFault::Again, .. });
    assert!(world.devices[1].events.iter().any(refused), "{:#?}", world.devices[1].events);
    world.write(0, "and on");
    world.pass(5_000);
    assert_eq!(world.texts(1), ["and on"]);
}

/// A change names a list that its author's node keeps back: the log waits, and no longer takes room that others need.
#[test]
fn t_087_a_log_that_waits_for_lists_leaves_the_window_to_others() {
    let mut world = talking();
    world.office.no_lists = Some(ben());
    let tablet = world.further_device(1);
    world.write(1, "while it waits");
    world.write(tablet, "and this");
    world.pass(5_000);
    let ann = (theirs(), world.dk(0));
    assert_eq!(world.group(tablet), 3);
    assert!(world.office.unwanted.contains(&ann));
    assert_eq!(world.texts(0), [""; 0]);
    world.office.no_lists = None;
    world.pass(120_000);
    assert_eq!(world.texts(0), ["while it waits", "and this"]);
    assert!(!world.office.unwanted.contains(&ann));
    assert_eq!(world.group(0), 3);
}
