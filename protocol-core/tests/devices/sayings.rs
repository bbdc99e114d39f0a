//! What people do with what they say: other words for it, taking it back, signs, answers. All devices show the same.

use postline_core::client::Command;
use postline_core::client::io::{Changed, Event, Failure, Now, Saying, Screen, Shown, To, Words, words};
use postline_core::content::message::{Fields, Topic};
use postline_core::content::part::Part;
use postline_core::content::uri::Uri;
use postline_core::id::{Address, ContentId};
use postline_core::limits;
use postline_core::store::Key;
use postline_core::wire::cbor::Writer;
use postline_core::wire::content::Content;

use crate::hostile::talking;
use crate::kit::{World, ann, ben, theirs};

/// A device says something about what is at a place.
pub(crate) fn say(world: &mut World, n: usize, what: Saying) {
    world.command(n, Command::Say { to: To::Conversation(theirs()), salt: None, what });
    world.pass(5_000);
}

pub(crate) fn edit(message: u64, text: &str) -> Saying {
    Saying::Edit { message, body: Part::plain(text).unwrap() }
}

fn react(message: u64, sign: &str) -> Saying {
    Saying::React { message, sign: sign.to_owned() }
}

fn withdraw(message: u64, sign: &str) -> Saying {
    Saying::Withdraw { message, sign: sign.to_owned() }
}

fn answer(message: u64, text: &str) -> Saying {
    let body = Part::plain(text).unwrap();
    Saying::Message { body, answers: Some(message), topic: Topic::default(), expires: None }
}

pub(crate) fn screen(world: &mut World, n: usize, before: Option<u64>, count: usize) -> Screen {
    world.command(n, Command::Show { conversation: theirs(), before, count });
    let screen = |event: &Event| if let Event::Screen(screen) = event { Some(screen.clone()) } else { None };
    world.devices[n].events.iter().rev().find_map(screen).unwrap()
}

/// A message as people see it: its place and its name, its words, its signs.
pub(crate) type Seen = (u64, ContentId, Option<String>, Vec<(Option<Address>, String)>);

pub(crate) fn seen(world: &mut World, n: usize) -> Vec<Seen> {
    let screen = screen(world, n, None, limits::SCREEN);
    let text = |shown: &Shown| match &shown.now {
        Words::Are { content, .. } => words(content).map(str::to_owned),
        Words::Retracted => Some("(taken back)".to_owned()),
        Words::Expired => Some("(over)".to_owned()),
        Words::Removed { .. } => None,
    };
    screen.messages.iter().map(|shown| (shown.seq, shown.id, text(shown), shown.signs.clone())).collect()
}

pub(crate) fn texts(world: &mut World, n: usize) -> Vec<String> {
    seen(world, n).into_iter().rev().filter_map(|(_, _, text, _)| text).collect()
}

/// The place of the first message that says this.
pub(crate) fn place(world: &mut World, text: &str) -> u64 {
    seen(world, 0).iter().find(|(_, _, said, _)| said.as_deref() == Some(text)).unwrap().0
}

pub(crate) fn changes(world: &World, n: usize) -> Vec<Changed> {
    let change = |event: &Event| if let Event::Changed(changed) = event { Some(changed.clone()) } else { None };
    world.devices[n].events.iter().filter_map(change).collect()
}

/// Whether any record of a device has this in it.
pub(crate) fn has_on_disk(world: &World, n: usize, text: &str) -> bool {
    let has = |bytes: &Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    world.devices[n].disk.values().filter_map(|record| record.value.as_ref()).any(has)
}

/// Ann with a phone and a tablet, and ben; all in one conversation.
pub(crate) fn three() -> (World, usize) {
    let mut world = World::two();
    world.write(0, "to ben");
    world.pass(5_000);
    let tablet = world.further_device(0);
    world.pass(60_000);
    world.write(0, "first of all");
    world.pass(5_000);
    (world, tablet)
}

#[test]
fn other_words_are_shown_everywhere_and_by_whichever_device_they_were_said() {
    let (mut world, tablet) = three();
    world.write(0, "helo");
    world.pass(5_000);
    let at = place(&mut world, "helo");
    say(&mut world, 0, edit(at, "hello"));
    say(&mut world, tablet, edit(at, "hello there"));
    for n in [0, 1, tablet] {
        assert_eq!(texts(&mut world, n).last().unwrap(), "hello there", "device {n}");
        let changes = changes(&world, n);
        let numbers = changes.iter().map(|changed| match &changed.now {
            Now::Edited { no, .. } => *no,
            other => panic!("{other:?}"),
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
        assert!(changes.iter().all(|changed| changed.seq == at));
    }
    assert_eq!(seen(&mut world, 0), seen(&mut world, 1));
}

/// attacks 48, 50, 55: who didn't say it changes nothing; what is taken back is nowhere any more.
#[test]
fn t_055_what_is_taken_back_is_on_no_disk_any_more() {
    let (mut world, tablet) = three();
    world.write(0, "a secret of mine");
    world.pass(5_000);
    let at = place(&mut world, "a secret of mine");
    say(&mut world, 0, edit(at, "a secret of ours"));
    for n in [0, 1, tablet] {
        assert!(has_on_disk(&world, n, "a secret of mine") && has_on_disk(&world, n, "a secret of ours"));
    }
    for what in [edit(at, "not mine"), Saying::Retract { message: at }] {
        say(&mut world, 1, what);
        assert!(matches!(world.devices[1].events.last(), Some(Event::Unsaid { why: Failure::NotYours, .. })));
    }
    say(&mut world, tablet, Saying::Retract { message: at });
    for n in [0, 1, tablet] {
        assert_eq!(texts(&mut world, n).last().unwrap(), "(taken back)");
        assert!(!has_on_disk(&world, n, "a secret of"), "device {n}");
        assert_eq!(changes(&world, n).last().unwrap().now, Now::Retracted);
    }
    // It stays so, and nobody says more of it.
    say(&mut world, 0, edit(at, "back again"));
    assert!(matches!(world.devices[0].events.last(), Some(Event::Unsaid { why: Failure::NoMessage, .. })));
    world.restart(1);
    world.pass(60_000);
    assert_eq!(texts(&mut world, 1).last().unwrap(), "(taken back)");
}

#[test]
fn signs_come_and_go_by_each_person_and_outlive_an_edit() {
    let (mut world, tablet) = three();
    let at = place(&mut world, "first of all");
    say(&mut world, 1, react(at, "👍"));
    say(&mut world, 0, edit(at, "first of all, hello"));
    say(&mut world, 1, react(at, "🎉"));
    say(&mut world, tablet, react(at, "🎉"));
    let all = [(Some(ann()), "🎉".to_owned()), (Some(ben()), "🎉".to_owned()), (Some(ben()), "👍".to_owned())];
    for n in [0, 1, tablet] {
        let mut signs = seen(&mut world, n).remove(0).3;
        signs.sort();
        assert_eq!(signs, all, "device {n}");
    }
    say(&mut world, 1, withdraw(at, "👍"));
    say(&mut world, 1, withdraw(at, "🎉"));
    for n in [0, 1, tablet] {
        assert_eq!(seen(&mut world, n).remove(0).3, [(Some(ann()), "🎉".to_owned())], "device {n}");
    }
    say(&mut world, 1, withdraw(at, "🎉"));
    assert!(matches!(world.devices[1].events.last(), Some(Event::Unsaid { why: Failure::NoMessage, .. })));
    say(&mut world, 1, react(at, &"x".repeat(limits::SIGN_BYTES + 1)));
    assert!(matches!(world.devices[1].events.last(), Some(Event::Unsaid { why: Failure::TooLong, .. })));
    let told = |event: &&Event| matches!(event, Event::Reacted { .. });
    assert_eq!(world.devices[0].events.iter().filter(told).count(), 5);
}

///
#[test]
fn an_answer_leads_to_its_message_in_whichever_version() {
    let (mut world, tablet) = three();
    let at = place(&mut world, "first of all");
    say(&mut world, 1, answer(at, "yes?"));
    say(&mut world, 0, edit(at, "first of all, hello"));
    say(&mut world, 1, answer(at, "hello to you"));
    for n in [0, tablet] {
        let said: Vec<_> = world.said(n).into_iter().filter(|said| said.answers.is_some()).collect();
        let [first, second] = said.iter().map(|said| said.answers.unwrap()).collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!((first.message, second.message), (Some(at), Some(at)));
        assert_ne!(first.version, second.version, "each names the version that ben saw");
    }
}

/// A newer device is told what was before as it is now: nothing that was taken back, and the last words of what was edited.
#[test]
fn a_newer_device_that_is_told_of_earlier_messages_sees_what_became_of_them() {
    let mut world = World::two();
    for text in ["one", "two", "three"] {
        world.write(0, text);
    }
    world.pass(5_000);
    let [one, two, three] = ["one", "two", "three"].map(|text| place(&mut world, text));
    say(&mut world, 0, edit(one, "one, edited"));
    say(&mut world, 1, react(two, "👍"));
    say(&mut world, 0, Saying::Retract { message: three });
    say(&mut world, 1, answer(one, "to one"));
    let tablet = world.further_device(0);
    world.pass(60_000);
    say(&mut world, 1, answer(two, "to two, which the tablet lacks"));
    assert_eq!(world.said(tablet).pop().unwrap().answers.unwrap().message, None);
    let with = world.dk(tablet);
    world.command(0, Command::ShareHistory { with });
    world.pass(60_000);
    assert_eq!(texts(&mut world, 0), texts(&mut world, 1));
    let here = seen(&mut world, 0);
    let there = seen(&mut world, tablet);
    // Of what was taken back nobody tells anything any more.
    assert_eq!(there, here.into_iter().filter(|(seq, ..)| *seq != three).collect::<Vec<_>>());
    assert!(world.said(tablet).iter().all(|said| said.late || said.seq > three), "what comes late is marked");
    assert!(changes(&world, tablet).iter().any(|changed| changed.now == Now::Answers { message: two }), "adopted");
}

/// [R-7] [G-16]: a device that couldn't open that something was taken back hears it again, as anything else.
#[test]
fn a_retract_that_did_not_open_is_said_again() {
    let (mut world, _) = three();
    let at = place(&mut world, "first of all");
    world.devices[1].disk.retain(|key, _| !matches!(key, Key::Group(_)));
    world.restart(1);
    say(&mut world, 0, Saying::Retract { message: at });
    world.pass(120_000);
    assert_eq!(texts(&mut world, 1).last().unwrap(), "(taken back)");
    assert!(!has_on_disk(&world, 1, "first of all"));
}

/// [P-5]: after any step the device may be killed: it shows the same in the end.
#[test]
fn a_restart_between_any_two_steps_changes_nothing_that_is_shown() {
    let (mut world, _) = three();
    let at = place(&mut world, "first of all");
    let steps = [
        (0, edit(at, "one")),
        (1, react(at, "👍")),
        (0, answer(at, "two")),
        (1, withdraw(at, "👍")),
        (0, edit(at, "three")),
        (1, answer(at, "four")),
        (0, Saying::Retract { message: at }),
    ];
    for (n, what) in steps {
        say(&mut world, n, what);
        world.restart(1);
        world.pass(60_000);
    }
    assert_eq!(texts(&mut world, 0), ["to ben", "(taken back)", "two", "four"]);
    assert_eq!(seen(&mut world, 0), seen(&mut world, 1));
}

/// A screen costs the same at any length, and shows each message once.
#[test]
fn the_last_screen_of_a_long_conversation_reads_few_records() {
    let mut world = World::two();
    for n in 0..400 {
        world.write(n % 2, &format!("text {n}"));
    }
    world.pass(5_000);
    for n in [395, 396, 397] {
        let at = place(&mut world, &format!("text {n}"));
        say(&mut world, n % 2, edit(at, &format!("text {n}, edited")));
        say(&mut world, 1, react(at, "👍"));
    }
    world.restart(1);
    world.pass(60_000);
    world.hydrated = 0;
    let last = screen(&mut world, 1, None, 50);
    assert!(world.hydrated <= 200, "{} records", world.hydrated);
    println!("figure device.records_of_a_screen {}", world.hydrated);
    assert!(last.earlier && last.messages.len() == 50);
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let screen = screen(&mut world, 1, before, 50);
        before = screen.messages.last().map(|shown| shown.seq);
        all.extend(screen.messages);
        if !screen.earlier {
            break;
        }
    }
    assert_eq!(all.len(), 400);
    assert!(all.is_sorted_by(|later, earlier| later.seq > earlier.seq));
}

/// A content as a member may seal it, whatever their program would say: what is within the seal.
pub(crate) fn sealed(world: &World, fields: Fields, about: u64) -> Vec<u8> {
    let mut inner = Writer::array_of(7);
    inner.u64(1).u64(0).millis(world.now).u64(1).bytes(Content::new(fields).unwrap().bytes()).u64(about).null();
    inner.into_bytes()
}

/// attacks 48, 50, 56: whoever edits and takes back what another said, or what is no message, or names a place
/// where something else lies, changes nothing for anybody; and the words that it brings are kept by nobody.
#[test]
fn t_048_what_a_member_says_of_what_is_not_theirs_changes_nothing() {
    let (mut world, mut person, mut hostile) = talking();
    world.write(0, "what ann said");
    world.write(0, "what ann said next");
    world.pass(5_000);
    let [at, next] = ["what ann said", "what ann said next"].map(|text| place(&mut world, text));
    let name = seen(&mut world, 1).iter().find(|(seq, ..)| *seq == at).unwrap().1;
    let words = |text: &str| Part::plain(text).unwrap();
    let edit = |n: u8, of: ContentId| Fields::new([n; 16], words("hostile words")).edit(of, 1.try_into().unwrap());
    // Their own reaction, which is one, and what they say of that.
    let reaction = Fields::react([9; 16], name, "👍").unwrap();
    let sender = Uri::person(person.identity());
    let named = Content::new(reaction.clone()).unwrap().id(&sender, &Uri::room(theirs()));
    let inner = sealed(&world, reaction, at);
    let reacted = hostile.says(&mut world, &mut person, &inner);
    world.pass(5_000);
    let before = seen(&mut world, 1);
    assert_eq!(before.iter().find(|(seq, ..)| *seq == at).unwrap().3, [(Some(ben()), "👍".to_owned())]);
    world.clear();
    for (fields, about) in [
        (edit(1, name), at),
        (Fields::retract([2; 16], name), at),
        (edit(3, name), next),
        (Fields::retract([4; 16], name), next),
        (Fields::retract([5; 16], named), reacted),
        (edit(6, named), reacted),
        (Fields::react([7; 16], named, "🎉").unwrap(), reacted),
        (edit(8, name), u64::MAX),
    ] {
        let inner = sealed(&world, fields, about);
        hostile.says(&mut world, &mut person, &inner);
        world.pass(5_000);
    }
    for n in [0, 1] {
        assert_eq!(changes(&world, n), [], "device {n}");
        assert!(!world.devices[n].events.iter().any(|event| matches!(event, Event::Reacted { .. })));
        assert!(!has_on_disk(&world, n, "hostile words"), "device {n}");
        assert_eq!(seen(&mut world, n), before, "device {n}");
    }
    world.write(0, "and it goes on");
    world.pass(5_000);
    assert_eq!(texts(&mut world, 1).last().unwrap(), "and it goes on");
}
