//! What a person keeps to themselves of what they read: their own devices know it, and nobody else. to

use postline_core::client::Command;
use postline_core::client::io::{Event, Mark};
use postline_core::fault::Code;
use postline_core::id::ContentId;
use postline_core::limits;
use postline_core::time::{DAY, HOUR};
use postline_core::wire::frame::Frame;
use postline_core::wire::memo::{Drawer, drawer_of_note};
use postline_core::wire::talk::{Publication, Talk};

use crate::kit::{World, theirs};

/// Ann writes; Ben has a laptop (1) and a phone, and keeps to himself what he reads.
fn quiet() -> (World, usize) {
    let mut world = World::two();
    let phone = world.further_device(1);
    world.write(0, "hello");
    world.write(1, "hello yourself");
    world.pass(60_000);
    world.command(1, Command::TellRead { conversation: None, tell: false });
    world.pass(10_000);
    for n in [1, phone] {
        reads(&mut world, n, u64::MAX);
    }
    world.pass(10_000);
    world.clear();
    (world, phone)
}

fn reads(world: &mut World, n: usize, seq: u64) {
    world.command(n, Command::ReadUpTo { conversation: theirs(), seq });
}

fn whole(world: &World, n: usize) -> u64 {
    world.devices[n].client.marks(theirs()).map_or(0, |marks| marks.read().whole())
}

fn tells(world: &World, n: usize) -> bool {
    world.devices[n].client.conversations().find(|talk| talk.id == theirs()).unwrap().tells_read
}

fn last(world: &World, n: usize, id: ContentId) -> Mark {
    world.marks(n, id).last().unwrap().clone()
}

/// The memos that left devices, as the world could have seen them.
fn memos(world: &World) -> Vec<Vec<u8>> {
    let memo = |frame: &Frame| match frame {
        Frame::Talk(Talk::Publish { what: Publication::Note { bytes, .. }, .. }) => {
            drawer_of_note(bytes).map(|_| bytes.clone())
        }
        _ => None,
    };
    world.office.tape.iter().filter_map(memo).collect()
}

fn away(world: &mut World, n: usize) {
    world.reach(n, false);
}

/// The person reads on one device with telling off: the other shows it as read, and the author never learns, neither by a mark nor
/// by anything in the log, nor by when.
#[test]
fn t_046_what_is_kept_to_oneself_reaches_ones_own_devices_and_nobody_else() {
    let (mut world, phone) = quiet();
    let ids = ["one", "two", "three"].map(|text| world.write(0, text));
    world.pass(5_000);
    let (posts, log) = (world.posts(), world.office.logs[&theirs()].entries.len() as u64);
    let before = memos(&world).len();
    reads(&mut world, 1, u64::MAX);
    world.pass(3 * limits::READ_MS);
    assert_eq!(whole(&world, phone), log, "{:#?}", world.devices[phone].events);
    let elsewhere = |event: &&Event| matches!(event, Event::ReadElsewhere { seq, .. } if *seq == log);
    assert_eq!(world.devices[phone].events.iter().filter(elsewhere).count(), 1);
    assert_eq!(memos(&world).len(), before + 1, "one memo for all three");
    world.pass(HOUR);
    assert_eq!(
        (world.posts(), world.office.logs[&theirs()].entries.len() as u64),
        (posts, log),
        "not a word in the log"
    );
    assert_eq!(ids.map(|id| last(&world, 0, id)), [Mark::Delivered, Mark::Delivered, Mark::Delivered]);
    // The phone has nothing left to tell, even where its person lets the others hear.
    world.command(phone, Command::TellRead { conversation: None, tell: true });
    reads(&mut world, phone, u64::MAX);
    world.pass(HOUR);
    assert_eq!(
        (world.posts(), ids.map(|id| last(&world, 0, id))),
        (posts, [Mark::Delivered, Mark::Delivered, Mark::Delivered])
    );
}

/// What the person chose on one device holds on the others, and what they chose last holds on all.
#[test]
fn what_was_chosen_last_holds_on_all_devices() {
    let (mut world, phone) = quiet();
    assert_eq!([1, phone].map(|n| tells(&world, n)), [false; 2]);
    away(&mut world, phone);
    // Away, the phone chooses first; then the laptop, for here alone.
    world.command(phone, Command::TellRead { conversation: Some(theirs()), tell: false });
    world.pass(1_000);
    world.command(1, Command::TellRead { conversation: Some(theirs()), tell: true });
    world.pass(HOUR);
    world.reach(phone, true);
    world.pass(10_000);
    assert_eq!([1, phone].map(|n| tells(&world, n)), [true; 2]);
    world.command(phone, Command::TellRead { conversation: Some(theirs()), tell: false });
    world.pass(10_000);
    assert_eq!([1, phone].map(|n| tells(&world, n)), [false; 2]);
    for n in [1, phone] {
        world.restart(n);
        world.command(n, Command::Connect);
    }
    world.pass(10_000);
    assert_eq!([1, phone].map(|n| tells(&world, n)), [false; 2]);
}

/// Read without a network, over a restart, for a device that is away for months: it hears of it once.
#[test]
fn it_is_told_when_it_can_be_and_waits_for_who_is_away() {
    let (mut world, phone) = quiet();
    away(&mut world, phone);
    for n in 0..30 {
        world.write(0, &format!("number {n}"));
        reads(&mut world, 1, u64::MAX);
        world.pass(60_000);
        if n == 10 {
            away(&mut world, 1);
        }
        if n == 20 {
            world.restart(1);
            world.pass(60_000);
            world.reach(1, true);
        }
    }
    world.pass(100 * DAY);
    let (log, read) = (world.office.logs[&theirs()].entries.len() as u64, whole(&world, 1));
    assert_eq!(read, log);
    world.clear();
    world.reach(phone, true);
    assert_eq!(whole(&world, phone), log);
    let elsewhere = |event: &&Event| matches!(event, Event::ReadElsewhere { .. });
    assert!(world.devices[phone].events.iter().filter(elsewhere).count() >= 1);
}

/// A device that comes later asks, and is told what the person had read before it came.
#[test]
fn a_newer_device_hears_what_was_read_before_it_came() {
    let (mut world, phone) = quiet();
    let read = whole(&world, 1);
    let tablet = world.further_device(1);
    world.pass(120_000);
    assert!(!tells(&world, tablet), "{:#?}", world.devices[tablet].events);
    world.write(0, "for all three");
    world.pass(5_000);
    assert!(whole(&world, tablet) >= read);
    reads(&mut world, tablet, u64::MAX);
    world.pass(5_000);
    let log = world.office.logs[&theirs()].entries.len() as u64;
    assert_eq!([1, phone, tablet].map(|n| whole(&world, n)), [log; 3]);
    // Two knew what was asked for: the faster told it.
    let told = memos(&world).len();
    world.pass(HOUR);
    assert_eq!(memos(&world).len(), told, "and there it ends");
}

/// The node lets go of a question once it was heard; who heard it and went down before the answer answers it then.
/// Before, the one who asked never heard (the simulator's seed 1521).
#[test]
fn a_question_outlives_who_heard_it_going_down() {
    let (mut world, phone) = quiet();
    let question = memos(&world).into_iter().find(|note| drawer_of_note(note) == Some(Drawer::QUESTION)).unwrap();
    // Nobody else answers, and the last answer was a while ago.
    away(&mut world, phone);
    world.pass(HOUR);
    world.clear();
    let told = memos(&world).len();
    world.say(1, Talk::Publish { number: 1_000, what: Publication::Note { to: None, bytes: question } });
    world.settle();
    assert_eq!(memos(&world).len(), told, "the answer waits for a moment");
    world.restart(1);
    world.pass(60_000);
    assert!(memos(&world).len() > told);
    let ended = memos(&world).len();
    world.restart(1);
    world.pass(60_000);
    assert_eq!(memos(&world).len(), ended, "and is given once");
}

/// Whoever stands at the node can keep memos back, say them again and in any order, and send others: nothing
/// runs back, nothing is let in, and nothing makes a device speak without end.
#[test]
fn t_059_memos_said_again_and_forged_ones_move_nothing() {
    let (mut world, phone) = quiet();
    for n in 0..5 {
        world.write(0, &format!("{n}"));
        world.pass(2_000);
        reads(&mut world, 1, u64::MAX);
        world.pass(5_000);
    }
    let (read, before) = (whole(&world, phone), memos(&world));
    assert!(before.len() > 5);
    world.clear();
    for bytes in before.iter().rev() {
        let mut spoiled = bytes.clone();
        *spoiled.last_mut().unwrap() ^= 1;
        for bytes in [bytes.clone(), spoiled] {
            for n in [1, phone] {
                let what = Publication::Note { to: None, bytes: bytes.clone() };
                world.say(n, Talk::Publish { number: 1_000, what });
            }
            world.settle();
        }
    }
    world.pass(HOUR);
    assert_eq!([1, phone].map(|n| (whole(&world, n), tells(&world, n))), [(read, false); 2]);
    assert!(memos(&world).len() < before.len() + 12, "{} after {}", memos(&world).len(), before.len());
    let refused = |event: &&Event| matches!(event, Event::Refused { .. });
    assert_eq!(world.devices[phone].events.iter().filter(refused).count(), before.len());
}

/// A node that has no room says so, and hears it again.
#[test]
fn what_the_node_had_no_room_for_is_told_again() {
    let (mut world, phone) = quiet();
    world.write(0, "once more");
    world.pass(2_000);
    world.devices[1].held = Some(Vec::new());
    away(&mut world, phone);
    reads(&mut world, 1, u64::MAX);
    world.pass(5_000);
    // Its answer is another one.
    let held = world.devices[1].held.take().unwrap();
    let number = held.iter().find_map(|frame| match frame {
        Frame::Talk(Talk::Published { number, .. }) => Some(*number),
        _ => None,
    });
    let before = memos(&world).len();
    world.say(1, Talk::Published { number: number.unwrap(), code: Some(Code::Busy) });
    world.settle();
    assert_eq!(memos(&world).len(), before);
    world.pass(2 * limits::ASK_AGAIN_MS);
    assert_eq!(memos(&world).len(), before + 1);
    world.reach(phone, true);
    assert_eq!(whole(&world, phone), whole(&world, 1));
}
