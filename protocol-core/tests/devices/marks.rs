//! How far something got, as two people's devices tell each other, and what somebody can't make of it who lies. to

use std::collections::BTreeSet;

use postline_core::client::io::{Event, Failure, Mark, Saying, To, Who};
use postline_core::client::{Command, Declined};
use postline_core::content::message::{Expiry, Topic};
use postline_core::content::part::Part;
use postline_core::fault::PeerFault;
use postline_core::id::{Address, ContentId, ConversationId};
use postline_core::limits;
use postline_core::store::Key;
use postline_core::time::{HOUR, Millis};
use postline_core::wire::cbor::Writer;
use postline_core::wire::mark::Position;
use postline_core::wire::talk::Talk;

use crate::hostile::talking;
use crate::kit::{World, ann, ben, shown, theirs};

/// Two people in conversation, all read and told.
pub(crate) fn two() -> World {
    let mut world = World::two();
    for n in [0, 1] {
        world.write(n, "hello");
        world.pass(5_000);
    }
    for n in [0, 1] {
        reads(&mut world, n, u64::MAX);
        world.pass(5_000);
    }
    world.clear();
    world
}

pub(crate) fn reads(world: &mut World, n: usize, seq: u64) {
    world.command(n, Command::ReadUpTo { conversation: theirs(), seq });
}

pub(crate) fn tells(world: &mut World, n: usize, here: bool, tell: bool) {
    let conversation = here.then(theirs);
    world.command(n, Command::TellRead { conversation, tell });
}

/// How many entries of the log are somebody's.
pub(crate) fn entries(world: &World, who: &Address) -> usize {
    world.office.logs[&theirs()].entries.iter().filter(|(author, _)| author == who).count()
}

fn last(world: &World, n: usize, id: ContentId) -> Mark {
    world.marks(n, id).last().unwrap().clone()
}

/// What a device knows of what the other has read.
pub(crate) fn known(world: &World, n: usize) -> Position {
    let marks = world.devices[n].client.marks(theirs()).unwrap();
    let other = marks.others().next().unwrap();
    marks.reading_of(other)
}

pub(crate) fn reading(read: Position) -> Vec<u8> {
    reading_at(read, Millis(1_795_000_000_000))
}

/// A reading, as a device seals it.
pub(crate) fn reading_at(read: Position, at: Millis) -> Vec<u8> {
    let mut w = Writer::array_of(4);
    w.u64(1).u64(1).millis(at);
    read.write(&mut w);
    w.into_bytes()
}

fn of(seqs: &[u64]) -> Position {
    let mut read = Position::default();
    seqs.iter().for_each(|seq| read.add(*seq, *seq));
    read
}

pub(crate) fn refusals(world: &World, n: usize) -> Vec<PeerFault> {
    let refused = |event: &Event| match event {
        Event::Refused { who: Who::Conversation(id), why } if *id == theirs() => Some(why.clone()),
        _ => None,
    };
    world.devices[n].events.iter().filter_map(refused).collect()
}

/// The figure of issue and spec: a hundred messages, read screen by screen, are told in three envelopes at most.
#[test]
fn a_hundred_messages_read_at_once_are_told_in_three_envelopes_at_most() {
    let mut world = two();
    let written: Vec<ContentId> = (0..100).map(|n| world.write(0, &format!("number {n}"))).collect();
    world.pass(2_000);
    let said = world.said(1);
    assert_eq!(said.len(), 100);
    let before = entries(&world, &ben());
    for (n, said) in said.iter().enumerate() {
        reads(&mut world, 1, said.seq);
        // Twenty a screen.
        if n % 20 == 19 {
            world.pass(700);
        }
    }
    world.pass(10_000);
    let envelopes = entries(&world, &ben()) - before;
    println!("figure device.marks_of_100_read_envelopes {envelopes}");
    assert!((1..=3).contains(&envelopes), "{envelopes} envelopes");
    for id in written {
        assert_eq!(world.marks(0, id), [Mark::Queued, Mark::Sent, Mark::Delivered, Mark::Read]);
    }
}

/// What is said anyway takes the reading along, at once, and nothing follows.
#[test]
fn a_message_takes_along_what_was_read() {
    let mut world = two();
    let question = world.write(0, "are you there?");
    reads(&mut world, 1, u64::MAX);
    assert_eq!(last(&world, 0, question), Mark::Delivered);
    let before = entries(&world, &ben());
    let answer = world.write(1, "I am");
    assert_eq!((last(&world, 0, question), world.texts(0)), (Mark::Read, vec!["I am".to_owned()]));
    world.pass(HOUR);
    assert_eq!(entries(&world, &ben()), before + 1, "one envelope for both");
    assert_eq!(last(&world, 1, answer), Mark::Delivered);
}

/// Attack 46: what a device says by itself takes nothing along: whoever can make it speak would learn when its person reads.
///
#[test]
fn t_046_what_a_device_is_made_to_say_takes_no_reading_along() {
    // Ben has lost his group, comes in again, and asks for what he missed; there is something of his that ann hasn't read.
    let begin = || {
        let mut world = two();
        let news = world.write(1, "news");
        world.devices[1].disk.retain(|key, _| !matches!(key, Key::Group(_)));
        world.restart(1);
        world.write(0, "missed");
        (world, news)
    };
    let (mut probe, _) = begin();
    let (begun, before) = (probe.now, entries(&probe, &ann()));
    while entries(&probe, &ann()) == before {
        probe.pass(100);
    }
    let (mut world, news) = begin();
    world.pass(probe.now.since(begun) - 500);
    assert_eq!(entries(&world, &ann()), before);
    reads(&mut world, 0, u64::MAX);
    world.pass(500);
    assert_eq!(entries(&world, &ann()), before + 1, "it is said again");
    assert_eq!(last(&world, 1, news), Mark::Delivered, "and nothing beside it");
    world.pass(2 * limits::READ_MS);
    assert_eq!((last(&world, 1, news), entries(&world, &ann())), (Mark::Read, before + 2));
}

/// Attack 46: what people don't see asks for no word, however much of it comes, nor does what the person said.
#[test]
fn t_046_probes_that_nobody_sees_are_answered_by_nothing() {
    let (mut world, mut person, mut hostile) = talking();
    world.write(0, "my own");
    reads(&mut world, 0, u64::MAX);
    let before = world.posts();
    for n in 0..100_u64 {
        let mut probe = Writer::array_of(4);
        // Readings, and kinds of later days.
        match n % 2 {
            0 => _ = hostile.says(&mut world, &mut person, &reading(of(&[1]))),
            _ => {
                probe.u64(1).u64(99).millis(world.now).u64(n);
                hostile.says(&mut world, &mut person, &probe.into_bytes());
            }
        }
        reads(&mut world, 0, u64::MAX);
        reads(&mut world, 1, u64::MAX);
        world.pass(5_000);
    }
    assert_eq!(world.posts(), before);
}

/// Attack 46: when a reading is told depends on chance: over a second, and up to two, after it.
#[test]
fn t_046_a_reading_is_told_a_second_to_two_later_by_chance() {
    let mut waits = BTreeSet::new();
    let mut world = two();
    for n in 0..40 {
        let id = world.write(0, &format!("{n}"));
        reads(&mut world, 1, u64::MAX);
        let begun = world.now;
        while last(&world, 0, id) != Mark::Read {
            world.pass(10);
        }
        let waited = world.now.since(begun);
        assert!((limits::READ_MS..=2 * limits::READ_MS + 10).contains(&waited), "{waited} ms");
        waits.insert(waited);
        world.pass(5_000);
    }
    assert!(waits.len() > 20, "{waits:?}");
}

/// the person's choice: everywhere, or for one conversation; it outlives a restart, and what was kept to oneself is not
/// told when it changes, but with the next.
#[test]
fn a_person_may_keep_to_themselves_what_they_read() {
    let mut world = two();
    tells(&mut world, 1, false, false);
    let shows = |world: &World| world.devices[1].client.conversations().next().unwrap().tells_read;
    assert!(!shows(&world));
    let told = |event: &Event| matches!(event, Event::Conversation(talk) if !talk.tells_read);
    assert!(world.devices[1].events.iter().any(told));
    let first = world.write(0, "first");
    let before = entries(&world, &ben());
    for restarts in [false, true] {
        if restarts {
            world.restart(1);
            world.command(1, Command::Connect);
            world.pass(5_000);
        }
        reads(&mut world, 1, u64::MAX);
        world.pass(HOUR);
        assert_eq!((entries(&world, &ben()), last(&world, 0, first)), (before, Mark::Delivered));
    }
    // A message takes along nothing that is one's own.
    world.write(1, "I say nothing of it");
    world.pass(HOUR);
    assert_eq!(last(&world, 0, first), Mark::Delivered);
    // Here they do, whatever they do elsewhere: from the next reading on.
    tells(&mut world, 1, true, true);
    assert!(shows(&world));
    world.pass(HOUR);
    assert_eq!(last(&world, 0, first), Mark::Delivered);
    let second = world.write(0, "second");
    reads(&mut world, 1, u64::MAX);
    world.pass(5_000);
    assert_eq!([first, second].map(|id| last(&world, 0, id)), [Mark::Read, Mark::Read]);
    // And what they say of everywhere is not said of here.
    tells(&mut world, 1, false, false);
    let third = world.write(0, "third");
    reads(&mut world, 1, u64::MAX);
    world.pass(5_000);
    assert_eq!(last(&world, 0, third), Mark::Read);
    world.command(1, Command::TellRead { conversation: Some(ConversationId([9; 32])), tell: true });
    assert!(matches!(world.devices[1].events.last(), Some(Event::Declined(Declined::NoConversation(_)))));
}

/// What is read while there is no way to tell it waits, over a restart too, and is one word then. Where the line ends
/// meanwhile, it is told to nobody.
#[test]
fn what_cannot_be_told_waits_and_is_told_to_no_stranger() {
    let mut world = two();
    let ids = ["one", "two", "three"].map(|text| world.write(0, text));
    let before = entries(&world, &ben());
    let seqs: Vec<u64> = world.said(1).iter().map(|said| said.seq).collect();
    world.reach(1, false);
    for seq in &seqs {
        reads(&mut world, 1, *seq);
        world.pass(10_000);
    }
    world.restart(1);
    world.pass(HOUR);
    assert_eq!(world.devices[1].client.waiting(), 0, "it waits as one position, not as what is to be sent");
    world.reach(1, true);
    assert_eq!(entries(&world, &ben()), before + 1);
    assert_eq!(ids.map(|id| last(&world, 0, id)), [Mark::Read, Mark::Read, Mark::Read]);
    // Ben blocks ann just after he has read what she wrote.
    let last_words = world.write(0, "last words");
    reads(&mut world, 1, u64::MAX);
    world.command(1, Command::Block(ann()));
    let posts = world.posts();
    world.pass(HOUR);
    assert_eq!((world.posts(), last(&world, 0, last_words)), (posts, Mark::Delivered));
}

/// Attack 59: one device tells for all, and no device's older reading takes anything back.
#[test]
fn t_059_devices_of_one_person_tell_once_and_run_nowhere_back() {
    let mut world = two();
    let phone = world.further_device(1);
    let ids = ["one", "two"].map(|text| world.write(0, text));
    world.pass(5_000);
    let (first, second) = (world.said(phone)[0].seq, world.said(phone)[1].seq);
    world.clear();
    let before = entries(&world, &ben());
    // Both have read, the phone less: whoever is first tells, and the other has nothing left to tell.
    reads(&mut world, phone, first);
    reads(&mut world, 1, second);
    world.pass(10_000);
    let told = entries(&world, &ben()) - before;
    assert!((1..=2).contains(&told), "{told}");
    assert_eq!(ids.map(|id| last(&world, 0, id)), [Mark::Read, Mark::Read]);
    let elsewhere = |event: &Event| matches!(event, Event::ReadElsewhere { seq, .. } if *seq >= second);
    assert!(world.devices[phone].events.iter().any(elsewhere), "{:#?}", world.devices[phone].events);
    // An older screen, seen later, is no reading.
    reads(&mut world, phone, first);
    world.pass(HOUR);
    assert_eq!(entries(&world, &ben()), before + told);
    let read = |n: usize| world.devices[n].client.marks(theirs()).unwrap().read();
    assert!([1, phone].map(read).iter().all(|read| read.whole() >= second));
}

/// What was to be read until a time that is over, when it could be said, has expired; what is to be forgotten after it was
/// read has not.
#[test]
fn what_waits_for_too_long_has_expired() {
    let mut world = two();
    world.reach(0, false);
    let until = u32::try_from(world.now.0 / 1_000 + 60).unwrap();
    for (n, expiry) in [(1, Expiry::At(until)), (2, Expiry::At(until + 7_200)), (3, Expiry::AfterReading(1))] {
        let body = Part::plain(&format!("number {n}")).unwrap();
        let what = Saying::Message { body, answers: None, topic: Topic::default(), expires: Some(expiry) };
        world.command(0, Command::Say { to: To::Person(ben()), salt: Some([n; 16]), what });
    }
    let said = |event: &Event| if let Event::Saying { id, .. } = event { Some(*id) } else { None };
    let ids: Vec<ContentId> = world.devices[0].events.iter().filter_map(said).collect();
    world.pass(HOUR);
    world.reach(0, true);
    assert_eq!(world.texts(1), ["number 2", "number 3"]);
    let marks: Vec<Mark> = ids.iter().map(|id| last(&world, 0, *id)).collect();
    assert_eq!(marks, [Mark::Expired, Mark::Delivered, Mark::Delivered]);
    assert_eq!(world.devices[0].client.waiting(), 0);
}

/// Attack 38: the same entry twice is one entry, and its marks are said once.
#[test]
fn t_038_an_entry_that_comes_twice_is_marked_once() {
    let mut world = two();
    let id = world.write(0, "once");
    world.pass(5_000);
    let (log, dk) = (&world.office.logs[&theirs()].entries, world.dk(0));
    let again: Vec<_> = log.iter().map(|(author, entry)| shown(entry, author, &ann(), dk)).collect();
    for entry in again {
        world.say(0, Talk::Event(entry));
    }
    world.say_head(0, theirs());
    world.settle();
    assert_eq!(world.marks(0, id), [Mark::Queued, Mark::Sent, Mark::Delivered]);
}

/// Attack 39: nothing is said under a name that has something, and that one's marks go on.
#[test]
fn t_039_a_name_that_has_something_gets_nothing_else() {
    let mut world = two();
    let say = Command::Say { to: To::Person(ben()), salt: Some([7; 16]), what: Saying::text("the first").unwrap() };
    world.command(0, say.clone());
    let said = |event: &Event| if let Event::Saying { id, .. } = event { Some(*id) } else { None };
    let id = world.devices[0].events.iter().find_map(said).unwrap();
    world.pass(5_000);
    world.command(0, say);
    let refused = |event: &&Event| matches!(event, Event::Unsaid { why: Failure::Again, .. });
    assert_eq!(world.devices[0].events.iter().filter(refused).count(), 1);
    world.pass(5_000);
    assert_eq!(world.texts(1), ["the first"]);
    reads(&mut world, 1, u64::MAX);
    world.pass(5_000);
    assert_eq!(last(&world, 0, id), Mark::Read);
}

/// Attack 41: no clock moves a mark: a reading counts by its place, whatever time it claims.
#[test]
fn t_041_a_reading_counts_whatever_time_it_claims() {
    for at in [Millis(0), Millis(u64::MAX / 2)] {
        let (mut world, mut person, mut hostile) = talking();
        let id = world.write(0, "when?");
        let seq = world.office.logs[&theirs()].entries.len() as u64;
        hostile.says(&mut world, &mut person, &reading_at(Position::upto(seq), at));
        assert_eq!((last(&world, 0, id), refusals(&world, 0)), (Mark::Read, vec![]));
    }
}

/// Attack 42: what a node says of one who isn't in the conversation counts for nothing; nor does what a member says of another:
/// whose reading it is, the seal tells.
#[test]
fn t_042_nobody_marks_for_another() {
    let (mut world, ..) = talking();
    let id = world.write(0, "hello");
    world.clear();
    let seq = world.office.logs[&theirs()].entries.len() as u64;
    let eve = Address::parse("eve@e.example").unwrap();
    for member in [eve, ann()] {
        world.say(0, Talk::Delivered { conversation: theirs(), member, seq });
    }
    world.settle();
    assert_eq!(refusals(&world, 0), vec![PeerFault::Event("a mark of one who is no member"); 2]);
    assert_eq!(world.marks(0, id), []);
    // Ann's other device tells what ann has read: it is no mark of what she wrote.
    let before = known(&world, 0);
    reads(&mut world, 1, u64::MAX);
    world.pass(10_000);
    assert_eq!((known(&world, 0), world.marks(0, id)), (before, vec![]));
}

/// Attack 43: readings of what isn't there, over and over, are refused whole, take no room, and mark nothing of what comes.
/// Nor does what a node says of far times to come.
#[test]
fn t_043_readings_of_what_is_not_there_are_refused_and_take_no_room() {
    let (mut world, mut person, mut hostile) = talking();
    let seq = hostile.says(&mut world, &mut person, &reading(of(&[1])));
    world.clear();
    let held = world.devices[0].client.in_memory();
    let far = [Position::upto(u64::MAX), Position::upto(seq + 1_000), of(&[1, 200])];
    for n in 0..100 {
        hostile.says(&mut world, &mut person, &reading(far[n % 3]));
    }
    assert_eq!(refusals(&world, 0).len(), 100);
    assert!(refusals(&world, 0).iter().all(|why| matches!(why, PeerFault::TooBig { what: "entry of a mark", .. })));
    // Its own entry is not there either when it is written.
    let own = world.office.logs[&theirs()].entries.len() as u64 + 1;
    hostile.says(&mut world, &mut person, &reading(Position::upto(own)));
    assert_eq!(refusals(&world, 0).len(), 101);
    world.say(0, Talk::Delivered { conversation: theirs(), member: ben(), seq: u64::MAX });
    world.settle();
    // That something came there is known of each entry, and no more; and a page or two of where messages lie.
    assert!(world.devices[0].client.in_memory() <= held + 110, "{}", world.devices[0].client.in_memory());
    assert_eq!(known(&world, 0), of(&[1]));
    let id = world.write(0, "what comes");
    assert_eq!(last(&world, 0, id), Mark::Delivered);
}

/// Attack 44: an older reading after a newer one, and the same again, take nothing back, over a restart too.
#[test]
fn t_044_no_mark_falls_whatever_comes_late() {
    let (mut world, mut person, mut hostile) = talking();
    let ids = ["one", "two", "three"].map(|text| world.write(0, text));
    let seq = world.office.logs[&theirs()].entries.len() as u64;
    for (n, read) in [Position::upto(seq), of(&[2]), Position::default(), Position::upto(seq - 1)].iter().enumerate() {
        hostile.says(&mut world, &mut person, &reading(*read));
        if n == 2 {
            world.restart(0);
            world.command(0, Command::Connect);
            world.pass(5_000);
        }
        assert_eq!(known(&world, 0), Position::upto(seq));
        for id in ids {
            assert_eq!(world.marks(0, id), [Mark::Queued, Mark::Sent, Mark::Delivered, Mark::Read]);
        }
    }
}

/// Attack 45: a mark is of its entry alone: what is read beside it, or before it, marks nothing else.
#[test]
fn t_045_what_was_read_is_read_and_nothing_beside_it() {
    let (mut world, mut person, mut hostile) = talking();
    let first = world.office.logs[&theirs()].entries.len() as u64 + 1;
    let ids: Vec<ContentId> = (0..5).map(|n| world.write(0, &format!("{n}"))).collect();
    hostile.says(&mut world, &mut person, &reading(of(&[first + 1, first + 3])));
    let read = |world: &World| -> Vec<bool> { ids.iter().map(|id| last(world, 0, *id) == Mark::Read).collect() };
    assert_eq!(read(&world), [false, true, false, true, false]);
    // All up to the first closes one gap, and no other.
    hostile.says(&mut world, &mut person, &reading(Position::upto(first)));
    assert_eq!(read(&world), [true, true, false, true, false]);
}

/// A reading that isn't in its one form is told as not opened, and marks nothing. [A-5] [G-15]
#[test]
fn a_reading_in_another_form_is_not_opened() {
    let (mut world, mut person, mut hostile) = talking();
    let id = world.write(0, "one form");
    world.clear();
    let good = reading(of(&[1, 3]));
    let (_, bad) = (good.len(), [&good[..good.len() - 2], &[0x42, 2, 0][..]].concat());
    for bytes in [&bad[..], &good[..good.len() - 1], &[&good[..], &[0]].concat()] {
        hostile.says(&mut world, &mut person, bytes);
    }
    let not_opened = |event: &&Event| matches!(event, Event::NotOpened { why: PeerFault::Sealed(_), .. });
    assert_eq!(world.devices[0].events.iter().filter(not_opened).count(), 3);
    assert_eq!(world.marks(0, id), []);
}
