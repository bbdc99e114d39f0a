//! What is to be forgotten: at its time its words are on no disk any more, whatever was restarted, away or late; and never
//! before. to

use postline_core::client::Command;
use postline_core::client::io::{Event, Failure, Mark, Now, Saying, To};
use postline_core::clock::Steady;
use postline_core::content::external::External;
use postline_core::content::message::{Expiry, Fields, Topic};
use postline_core::content::part::Part;
use postline_core::content::uri::Uri;
use postline_core::id::{BlobRef, ContentId};
use postline_core::limits;
use postline_core::store::{Key, sha256};
use postline_core::time::{DAY, HOUR, MINUTE, Millis, SECOND};
use postline_core::wire::cbor::Writer;
use postline_core::wire::content::Content;
use postline_core::wire::mark::Position;

use crate::hostile::talking;
use crate::kit::{World, ben, theirs};
use crate::marks::reading_at;
use crate::sayings::{changes, edit, has_on_disk, place, say, sealed, texts, three};

/// What is shown of what has ended.
const OVER: &str = "(over)";

fn ending(text: &str, expires: Expiry) -> Saying {
    let body = Part::plain(text).unwrap();
    Saying::Message { body, answers: None, topic: Topic::default(), expires: Some(expires) }
}

/// At a time that is so far from now.
fn at(world: &World, ms: u64) -> Expiry {
    Expiry::At(u32::try_from(world.now.plus(ms).unix_seconds()).unwrap())
}

fn reads(world: &mut World, n: usize) {
    world.command(n, Command::ReadUpTo { conversation: theirs(), seq: u64::MAX });
}

fn ended(world: &World, n: usize) -> Vec<u64> {
    changes(world, n).iter().filter(|changed| changed.now == Now::Expired).map(|changed| changed.seq).collect()
}

/// Everything that a device keeps for what is to end.
fn kept_for_ends(world: &World, n: usize) -> usize {
    let is = |key: &&Key| match key {
        Key::Ends(_) | Key::Moment(..) => true,
        Key::Page(_, name, ..) => name.0 != [0; 32],
        _ => false,
    };
    world.devices[n].disk.keys().filter(is).count()
}

/// with all its edits, on every device of both, and nothing else goes.
#[test]
fn what_ends_at_a_time_is_on_no_disk_from_then_on() {
    let (mut world, tablet) = three();
    let expires = at(&world, HOUR);
    say(&mut world, 0, ending("a secret for an hour", expires));
    let seq = place(&mut world, "a secret for an hour");
    say(&mut world, 0, edit(seq, "a secret in other words"));
    say(&mut world, 1, Saying::React { message: seq, sign: "👍".into() });
    world.pass(55 * MINUTE);
    for n in [0, 1, tablet] {
        assert!(has_on_disk(&world, n, "a secret for") && has_on_disk(&world, n, "a secret in"), "device {n}");
        assert_eq!(texts(&mut world, n).last().unwrap(), "a secret in other words");
        assert_eq!(ended(&world, n), []);
    }
    world.pass(5 * MINUTE);
    for n in [0, 1, tablet] {
        assert!(!has_on_disk(&world, n, "a secret"), "device {n}");
        let shown = texts(&mut world, n);
        assert_eq!(shown[shown.len() - 2..], ["first of all", OVER], "device {n}");
        assert_eq!(ended(&world, n), [seq], "told once");
        assert_eq!(kept_for_ends(&world, n), 0, "nothing is left of it but that it was");
    }
    // Nobody says more of it, but that they take it back.
    for what in [edit(seq, "back again"), Saying::React { message: seq, sign: "+".into() }] {
        say(&mut world, 0, what);
        assert!(matches!(world.devices[0].events.last(), Some(Event::Unsaid { why: Failure::NoMessage, .. })));
    }
    world.restart(1);
    world.pass(MINUTE);
    assert_eq!(texts(&mut world, 1).last().unwrap(), OVER);
}

/// that it was taken back is known, whichever of the two came first.
#[test]
fn what_has_ended_may_still_be_taken_back() {
    let (mut world, tablet) = three();
    let expires = at(&world, MINUTE);
    say(&mut world, 0, ending("ends, then goes", expires));
    say(&mut world, 0, ending("goes, then ends", expires));
    let [one, two] = ["ends, then goes", "goes, then ends"].map(|text| place(&mut world, text));
    say(&mut world, 0, Saying::Retract { message: two });
    world.pass(MINUTE);
    say(&mut world, tablet, Saying::Retract { message: one });
    for n in [0, 1, tablet] {
        let shown = texts(&mut world, n);
        assert_eq!(shown[shown.len() - 2..], ["(taken back)", "(taken back)"], "device {n}");
        assert_eq!(ended(&world, n), [one], "what was gone already doesn't end");
    }
    say(&mut world, tablet, Saying::Retract { message: one });
    assert!(matches!(world.devices[tablet].events.last(), Some(Event::Unsaid { why: Failure::NoMessage, .. })));
}

/// from when they read it; and on the author's devices from when those hear of that.
#[test]
fn what_ends_after_reading_ends_so_long_after_it_was_read() {
    let (mut world, tablet) = three();
    say(&mut world, 0, ending("for your eyes", Expiry::AfterReading(30)));
    let seq = place(&mut world, "for your eyes");
    world.pass(3 * DAY);
    for n in [0, 1, tablet] {
        assert_eq!(ended(&world, n), [], "nobody has read it");
    }
    reads(&mut world, 1);
    world.pass(29 * SECOND);
    assert!((0..3).all(|n| has_on_disk(&world, n, "for your eyes")));
    world.pass(2 * SECOND);
    assert!(!has_on_disk(&world, 1, "for your eyes"), "so long after the person read it");
    world.pass(5 * SECOND);
    for n in [0, 1, tablet] {
        assert!(!has_on_disk(&world, n, "for your eyes"), "device {n}");
        assert_eq!((ended(&world, n), texts(&mut world, n).last().unwrap().as_str()), (vec![seq], OVER));
    }
    world.pass(limits::UNTOLD_MS);
    for n in [0, 1, tablet] {
        assert_eq!((ended(&world, n), kept_for_ends(&world, n)), (vec![seq], 0), "device {n}");
    }
}

/// a person's other device hears when they read it, and a device that was away ends it as late as they did.
#[test]
fn what_was_read_on_one_device_ends_on_the_others_too() {
    let (mut world, tablet) = three();
    world.reach(tablet, false);
    say(&mut world, 1, ending("for ann", Expiry::AfterReading(60)));
    reads(&mut world, 0);
    world.pass(HOUR);
    assert!(!has_on_disk(&world, 0, "for ann"));
    world.reach(tablet, true);
    world.pass(5 * SECOND);
    assert!(!has_on_disk(&world, tablet, "for ann"), "it ran out while the device was away");
    assert_eq!(ended(&world, tablet).len(), 1);
}

/// nobody has to tell what they read: the author's own words go all the same.
#[test]
fn what_nobody_says_they_read_ends_on_the_authors_devices() {
    let (mut world, tablet) = three();
    world.command(1, Command::TellRead { conversation: None, tell: false });
    say(&mut world, 0, ending("for your eyes", Expiry::AfterReading(30)));
    world.pass(HOUR);
    reads(&mut world, 1);
    world.pass(MINUTE);
    assert!(!has_on_disk(&world, 1, "for your eyes"), "ben read it, and says so to nobody");
    world.pass(limits::UNTOLD_MS - HOUR - 2 * MINUTE);
    assert!([0, tablet].into_iter().all(|n| has_on_disk(&world, n, "for your eyes")));
    world.pass(2 * MINUTE);
    assert!([0, tablet].into_iter().all(|n| !has_on_disk(&world, n, "for your eyes")));
}

/// a device may be killed at any time, and be off when the time comes.
#[test]
fn a_restart_at_any_time_forgets_no_end() {
    let (mut world, tablet) = three();
    let expires = at(&world, 10 * MINUTE);
    say(&mut world, 0, ending("ends at a time", expires));
    world.restart(1);
    say(&mut world, 0, ending("ends after reading", Expiry::AfterReading(60)));
    world.restart(1);
    world.pass(30 * SECOND);
    reads(&mut world, 1);
    world.restart(1);
    world.restart(tablet);
    world.pass(58 * SECOND);
    assert!(has_on_disk(&world, 1, "ends after reading"));
    world.pass(5 * SECOND);
    assert!(!has_on_disk(&world, 1, "ends after reading"), "since it was read, not since the restart");
    for n in [0, 1, tablet] {
        world.restart(n);
    }
    // The words are still here when it wakes, and are shown to nobody.
    world.now = world.now.plus(DAY);
    for n in [0, 1, tablet] {
        let screen = Command::Show { conversation: theirs(), before: None, count: 2 };
        world.step(n, postline_core::client::Input::Command(screen));
        let shown = format!("{:?}", world.devices[n].events.last().unwrap());
        assert!(shown.contains("Expired") && !shown.contains("ends at"), "{shown}");
    }
    world.pass(MINUTE);
    for n in [0, 1, tablet] {
        let shown = texts(&mut world, n);
        assert_eq!(
            (&shown[shown.len() - 2..], has_on_disk(&world, n, "ends a")),
            (&[OVER.into(), OVER.into()][..], false)
        );
    }
}

/// what comes too late is never shown, and leaves no words.
#[test]
fn what_has_ended_when_it_comes_is_never_shown() {
    let (mut world, _) = three();
    world.reach(1, false);
    let expires = at(&world, MINUTE);
    say(&mut world, 0, ending("too late for ben", expires));
    let seq = place(&mut world, "too late for ben");
    say(&mut world, 0, edit(seq, "too late for ben, again"));
    world.write(0, "in time");
    world.pass(HOUR);
    world.reach(1, true);
    world.pass(5 * SECOND);
    assert!(!world.texts(1).iter().any(|text| text.contains("too late")), "{:?}", world.texts(1));
    assert!(!has_on_disk(&world, 1, "too late"));
    assert_eq!(ended(&world, 1), [seq]);
    assert_eq!(texts(&mut world, 1), texts(&mut world, 0), "both show that there was something");
    let was_told =
        |event: &Event| matches!(event, Event::Changed(changed) if matches!(changed.now, Now::Edited { .. }));
    assert!(!world.devices[1].events.iter().any(was_told));
}

/// what couldn't be said in time isn't said, and doesn't wait for a network to be forgotten.
#[test]
fn what_waits_to_be_said_ends_where_it_waits() {
    let (mut world, _) = three();
    world.reach(0, false);
    let minute = at(&world, MINUTE);
    say(&mut world, 0, ending("never said", minute));
    world.restart(0);
    assert!(has_on_disk(&world, 0, "never said"));
    world.pass(2 * MINUTE);
    assert!(!has_on_disk(&world, 0, "never said"));
    let expired = |event: &Event| matches!(event, Event::Mark { mark: Mark::Expired, .. });
    assert!(world.devices[0].events.iter().any(expired));
    world.reach(0, true);
    assert!(!world.texts(1).iter().any(|text| text == "never said"));
}

/// who shares what was before shares no words whose time is over, or runs.
#[test]
fn a_newer_device_is_told_of_nothing_that_has_ended() {
    let mut world = World::two();
    world.write(1, "to stay");
    let [soon, later] = [MINUTE, HOUR].map(|ms| at(&world, ms));
    for (text, expires) in [("ends before", soon), ("ends behind", later), ("read before", Expiry::AfterReading(600))] {
        say(&mut world, 1, ending(text, expires));
    }
    reads(&mut world, 0);
    say(&mut world, 1, ending("not read yet", Expiry::AfterReading(600)));
    world.pass(MINUTE);
    let tablet = world.further_device(0);
    world.pass(MINUTE);
    let with = world.dk(tablet);
    world.command(0, Command::ShareHistory { with });
    world.pass(MINUTE);
    assert_eq!(texts(&mut world, tablet), ["to stay", "ends behind", "not read yet"].map(str::to_owned));
    for gone in ["ends before", "read before"] {
        assert!(!has_on_disk(&world, tablet, gone), "{gone}");
    }
    world.pass(HOUR);
    assert!(!has_on_disk(&world, tablet, "ends behind"), "what it was told of ends there as everywhere");
    reads(&mut world, 0);
    world.pass(HOUR);
    assert!(!has_on_disk(&world, tablet, "not read yet"));
    assert_eq!(texts(&mut world, tablet), ["to stay", OVER, OVER].map(str::to_owned));
}

/// What says that it was said at a time.
fn said_at(fields: Fields, at: Millis) -> Vec<u8> {
    let mut inner = Writer::array_of(7);
    inner.u64(1).u64(0).millis(at).u64(1).bytes(Content::new(fields).unwrap().bytes()).null().null();
    inner.into_bytes()
}

/// an edit that would last longer doesn't count, and leaves no words.
#[test]
fn t_056_no_edit_makes_its_message_last_longer() {
    let (mut world, mut person, mut hostile) = talking();
    let words = |text: &str| Part::plain(text).unwrap();
    let (soon, later) = (at(&world, MINUTE), at(&world, DAY));
    let first = Fields::new([1; 16], words("for a minute")).expiring(soon);
    let sender = Uri::person(person.identity());
    let name: ContentId = Content::new(first.clone()).unwrap().id(&sender, &Uri::room(theirs()));
    let inner = said_at(first, world.now);
    let seq = hostile.says(&mut world, &mut person, &inner);
    let edit = |n: u8| Fields::new([n; 16], words("for a whole day")).edit(name, 1.try_into().unwrap());
    for fields in [edit(2).expiring(later), edit(3), edit(4).expiring(Expiry::AfterReading(86_400))] {
        let inner = sealed(&world, fields, seq);
        hostile.says(&mut world, &mut person, &inner);
    }
    world.pass(5 * SECOND);
    for n in [0, 1] {
        assert_eq!(texts(&mut world, n).last().unwrap(), "for a minute");
        assert!(!has_on_disk(&world, n, "for a whole day"), "device {n}");
    }
    world.pass(MINUTE);
    for n in [0, 1] {
        assert!(!has_on_disk(&world, n, "for a"), "device {n}");
    }
}

/// attack 41: what an author's or a reader's clock claims ends nothing early, and keeps nothing.
#[test]
fn t_041_no_claimed_time_ends_anything() {
    for claimed in [Millis(0), Millis(u64::MAX / 4)] {
        let (mut world, mut person, mut hostile) = talking();
        let words = |text: &str| Part::plain(text).unwrap();
        let hour = at(&world, HOUR);
        let never_set = Fields::new([1; 16], words("by a clock never set")).expiring(Expiry::At(3_600));
        let theirs_ends = Fields::new([2; 16], words("for an hour")).expiring(hour);
        for fields in [never_set, theirs_ends] {
            hostile.says(&mut world, &mut person, &said_at(fields, claimed));
        }
        say(&mut world, 0, ending("for ben's eyes", Expiry::AfterReading(600)));
        let upto = world.office.logs[&theirs()].entries.len() as u64;
        world.pass(MINUTE);
        hostile.says(&mut world, &mut person, &reading_at(Position::upto(upto), claimed));
        world.pass(8 * MINUTE);
        for n in [0, 1] {
            assert!(["by a clock", "for an hour", "for ben's"].iter().all(|text| has_on_disk(&world, n, text)));
        }
        world.pass(4 * MINUTE);
        assert!([0, 1].into_iter().all(|n| !has_on_disk(&world, n, "for ben's")), "{claimed}");
        world.pass(HOUR);
        for n in [0, 1] {
            assert!(has_on_disk(&world, n, "by a clock") && !has_on_disk(&world, n, "for an hour"), "{claimed}");
        }
    }
}

/// attack 110: a wall clock that leaps by years, read as a host reads it, ends nothing; time that passes does.
#[test]
fn t_110_a_leap_of_the_wall_clock_forgets_nothing() {
    let (mut world, tablet) = three();
    let expires = at(&world, DAY);
    say(&mut world, 0, ending("for a day", expires));
    let mut clock = Steady::start(world.now);
    let years = 5 * 365 * DAY;
    for n in 0..20 {
        let (now, jump) = clock.read(MINUTE, world.now.plus(years + MINUTE));
        assert_eq!(jump.is_some(), n == 0);
        world.pass(now.since(world.now));
    }
    for n in [0, 1, tablet] {
        assert!(has_on_disk(&world, n, "for a day") && ended(&world, n).is_empty(), "device {n}");
    }
    for _ in 0..25 {
        let (now, _) = clock.read(HOUR, world.now.plus(years));
        world.pass(now.since(world.now));
    }
    assert!([0, 1, tablet].into_iter().all(|n| !has_on_disk(&world, n, "for a day")), "a day has passed");
}

/// what is to end is neither kept in memory nor looked through, however much it is.
#[test]
fn a_conversation_in_which_much_is_to_end_costs_what_one_message_does() {
    let mut world = World::two();
    let hour = at(&world, HOUR);
    for n in 0..150_u64 {
        let expires = if n % 3 == 0 {
            Expiry::AfterReading(60)
        } else if n % 3 == 1 {
            hour
        } else {
            at(&world, HOUR + n * 7_000)
        };
        say(&mut world, 0, ending(&format!("number {n}, to be forgotten"), expires));
    }
    world.restart(1);
    world.pass(MINUTE);
    let before = world.devices[1].client.in_memory();
    assert!(before < 100, "{before} in memory");
    world.hydrated = 0;
    world.pass(40 * MINUTE);
    assert_eq!(world.hydrated, 0, "nothing is looked at until something is to be done");
    reads(&mut world, 1);
    world.pass(3 * HOUR);
    for n in [0, 1] {
        assert!(!has_on_disk(&world, n, "to be forgotten"), "device {n}");
        assert_eq!(ended(&world, n).len(), 150);
    }
    println!("figure device.records_of_an_end {}", world.hydrated / 300);
    assert!(world.hydrated / 300 <= 8, "{} records for each", world.hydrated / 300);
    // What this person said is noted a second time, for who never tells that they read it.
    world.pass(limits::UNTOLD_MS);
    assert_eq!([kept_for_ends(&world, 0), kept_for_ends(&world, 1)], [0, 0]);
}

/// a node that runs a device for somebody who has only a mail program keeps no words longer for that.
#[test]
fn what_went_on_as_a_mail_counts_as_read_where_it_went_on() {
    let mut world = World::new();
    world.device(&crate::kit::ann());
    world.hosted(&ben());
    world.pass(MINUTE);
    say(&mut world, 0, ending("into a mailbox", Expiry::AfterReading(30)));
    assert!(has_on_disk(&world, 1, "into a mailbox"));
    world.pass(MINUTE);
    assert!(!has_on_disk(&world, 1, "into a mailbox"));
}

/// nothing more comes of a file that what has ended named.
#[test]
fn a_file_of_what_has_ended_is_given_up() {
    let (mut world, _) = three();
    let file = BlobRef { sha256: sha256(&[b"sealed bytes"]), len: 64 };
    world.command(0, Command::Keep { theirs: ben(), file });
    assert!(world.devices[0].disk.contains_key(&Key::Upload(file.sha256)), "it waits for its node");
    let external = External::at(Uri::file(file.sha256));
    let expires = Some(at(&world, MINUTE));
    let body = Part::attachment(external);
    let what = Saying::Message { body, answers: None, topic: Topic::default(), expires };
    world.command(0, Command::Say { to: To::Conversation(theirs()), salt: None, what });
    world.pass(2 * MINUTE);
    assert!(!world.devices[0].disk.contains_key(&Key::Upload(file.sha256)));
    assert_eq!(ended(&world, 0).len(), 1);
}
