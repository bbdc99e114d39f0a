//! What people do to their conversation: they pin, they mention, they agree on how reading is told; and what nobody may.

use postline_core::canary::{self, Canary};
use postline_core::client::io::{Event, Failure, Mark, Now, Policy, Saying, Who};
use postline_core::client::{Command, Declined};
use postline_core::content::markdown::mention;
use postline_core::content::part::Part;
use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, Identity};
use postline_core::limits;
use postline_core::wire::cbor::Writer;
use postline_core::wire::control::{Control, Target};
use postline_core::wire::mark::Position;
use postline_core::wire::talk::Talk;

use crate::hostile::talking;
use crate::kit::{World, ann, ben, theirs};
use crate::marks::{entries, known, reading, reads, refusals, tells, two};
use crate::sayings::{changes, edit, has_on_disk, place, say, screen, texts, three};

fn pin(world: &mut World, n: usize, message: u64, pinned: bool) {
    world.command(n, Command::Pin { conversation: theirs(), message, pinned });
    world.pass(2_000);
}

/// What is pinned, as a device lists it: which places, and by whom.
fn pins(world: &mut World, n: usize) -> Vec<(u64, Option<Address>)> {
    world.command(n, Command::Pins { conversation: theirs() });
    let pins = |event: &Event| if let Event::Pins { pinned, .. } = event { Some(pinned.clone()) } else { None };
    let pinned = world.devices[n].events.iter().rev().find_map(pins).unwrap();
    pinned.into_iter().map(|pin| (pin.message.seq, pin.by)).collect()
}

fn places(world: &mut World, n: usize) -> Vec<u64> {
    pins(world, n).into_iter().map(|(place, _)| place).collect()
}

/// What a device was told of pins: place, by whom, whether.
fn told(world: &World, n: usize) -> Vec<(u64, Option<Address>, bool)> {
    let told = |event: &Event| match event {
        Event::Pinned { seq, by, pinned, .. } => Some((*seq, by.clone(), *pinned)),
        _ => None,
    };
    world.devices[n].events.iter().filter_map(told).collect()
}

fn declined(world: &World, n: usize) -> Declined {
    let Some(Event::Declined(why)) = world.devices[n].events.last() else { panic!("{:?}", world.devices[n].events) };
    why.clone()
}

/// [V-2] [V-3]
#[test]
fn both_pin_and_all_devices_show_the_same_over_edits_and_restarts() {
    let (mut world, tablet) = three();
    world.write(1, "the door code");
    world.pass(5_000);
    let [first, code] = ["first of all", "the door code"].map(|text| place(&mut world, text));
    pin(&mut world, 1, code, true);
    pin(&mut world, tablet, first, true);
    let both = vec![(code, Some(ben())), (first, Some(ann()))];
    for n in [0, 1, tablet] {
        assert_eq!(pins(&mut world, n), both, "device {n}");
        assert_eq!(told(&world, n), [(code, Some(ben()), true), (first, Some(ann()), true)], "device {n}");
    }
    say(&mut world, 1, edit(code, "the new door code"));
    pin(&mut world, 0, code, true);
    assert_eq!(told(&world, 0).pop(), Some((code, None, true)), "it is so, and nothing is said for it");
    pin(&mut world, 0, first, false);
    for n in [0, 1, tablet] {
        world.restart(n);
        world.pass(60_000);
        assert_eq!(pins(&mut world, n), [(code, Some(ben()))], "device {n}");
        let shown = screen(&mut world, n, None, 64).messages;
        assert!(shown.iter().all(|shown| shown.pinned == (shown.seq == code)));
    }
    for wrong in [
        Command::Pins { conversation: postline_core::id::ConversationId([9; 32]) },
        Command::Pin { conversation: postline_core::id::ConversationId([9; 32]), message: 1, pinned: true },
    ] {
        world.command(0, wrong);
        assert!(matches!(declined(&world, 0), Declined::NoConversation(_)));
    }
    pin(&mut world, 0, 9_999, true);
    assert_eq!(declined(&world, 0), Declined::NoMessage(9_999));
}

/// [V-5]: what is gone is pinned no more, whoever pinned it, and can't be pinned.
#[test]
fn what_is_taken_back_loses_its_pin() {
    let (mut world, tablet) = three();
    let first = place(&mut world, "first of all");
    pin(&mut world, 1, first, true);
    world.clear();
    say(&mut world, tablet, Saying::Retract { message: first });
    for n in [0, 1, tablet] {
        assert_eq!((places(&mut world, n), told(&world, n)), (vec![], vec![(first, None, false)]), "device {n}");
        assert!(screen(&mut world, n, None, 64).messages.iter().all(|shown| !shown.pinned));
        pin(&mut world, n, first, true);
        assert_eq!(declined(&world, n), Declined::NoMessage(first));
    }
}

/// [V-4]: at the bound, one above, and by two at once.
#[test]
fn a_pin_too_many_is_declined_at_the_door_and_waits_where_two_were_at_it_at_once() {
    let mut world = World::two();
    for n in 0..limits::PINS + 2 {
        world.write(n % 2, &format!("text {n}"));
    }
    world.pass(5_000);
    let all: Vec<u64> = (0..limits::PINS + 2).map(|n| place(&mut world, &format!("text {n}"))).collect();
    // All but one; then one each by both, who don't hear of each other.
    for message in &all[..limits::PINS - 1] {
        pin(&mut world, 0, *message, true);
    }
    let (last, over) = (all[limits::PINS - 1], all[limits::PINS]);
    world.reach(0, false);
    pin(&mut world, 0, last, true);
    pin(&mut world, 0, over, true);
    assert_eq!(declined(&world, 0), Declined::TooMany(limits::PINS), "with what waits it is full");
    pin(&mut world, 1, over, true);
    world.clear();
    world.reach(0, true);
    world.pass(60_000);
    let mut want = all[..limits::PINS - 1].to_vec();
    want.push(over);
    for n in [0, 1] {
        assert_eq!(places(&mut world, n), want, "device {n}");
        pin(&mut world, n, all[limits::PINS + 1], true);
        assert_eq!(declined(&world, n), Declined::TooMany(limits::PINS));
    }
    assert_eq!(told(&world, 1), [], "what found no room is told of nowhere");
    pin(&mut world, 1, all[0], false);
    want.remove(0);
    want.push(last);
    for n in [0, 1] {
        assert_eq!(places(&mut world, n), want, "device {n}");
        let told = told(&world, n);
        assert_eq!(told[told.len() - 2..], [(all[0], Some(ben()), false), (last, None, true)], "device {n}");
    }
}

/// What the hub refuses is not done, and the person hears why.
#[test]
fn what_the_hub_refuses_is_told_as_not_done() {
    let (mut world, _) = three();
    let first = place(&mut world, "first of all");
    world.office.posts = Some(Vec::new());
    pin(&mut world, 0, first, true);
    let (_, post) = world.office.posts.take().unwrap().pop().unwrap();
    let (conversation, origin) = (post.conversation, post.origin);
    world.say(0, Talk::Unposted { conversation, origin, code: Code::Denied });
    world.settle();
    assert_eq!(declined(&world, 0), Declined::Undone(theirs(), Failure::Refused(Code::Denied)));
    world.restart(0);
    world.pass(60_000);
    assert_eq!((places(&mut world, 0), places(&mut world, 1)), (vec![], vec![]));
}

/// [V-9]: a new device is told of pins with the rest, and of the policy at once.
#[test]
fn a_newer_device_hears_of_pins_and_of_the_policy() {
    let mut world = World::two();
    for text in ["one", "two", "three"] {
        world.write(0, text);
    }
    world.pass(5_000);
    let [one, two, three] = ["one", "two", "three"].map(|text| place(&mut world, text));
    pin(&mut world, 1, two, true);
    pin(&mut world, 0, one, true);
    pin(&mut world, 1, three, true);
    say(&mut world, 0, Saying::Retract { message: three });
    world.command(1, Command::SetPolicy { conversation: theirs(), policy: Policy::Forbidden });
    world.pass(5_000);
    let before = entries(&world, &ann()) + entries(&world, &ben());
    let tablet = world.further_device(0);
    world.pass(60_000);
    let policy = |world: &World, n: usize| {
        world.devices[n].client.conversations().find(|talk| talk.id == theirs()).map(|talk| talk.policy)
    };
    assert_eq!(policy(&world, tablet), Some(Policy::Forbidden));
    let once = entries(&world, &ann()) + entries(&world, &ben()) - before;
    assert!(once <= 3, "the change, and one device says it once more: {once}");
    let with = world.dk(tablet);
    world.command(0, Command::ShareHistory { with });
    world.pass(60_000);
    for n in [0, 1, tablet] {
        assert_eq!(pins(&mut world, n), [(two, Some(ben())), (one, Some(ann()))], "device {n}");
    }
}

/// [V-9]: the device whose turn it is may never come back. Whoever says something next says the policy too, once.
#[test]
fn a_newer_device_hears_of_the_policy_though_the_one_that_should_tell_it_is_gone() {
    let (mut world, tablet) = three();
    world.command(1, Command::SetPolicy { conversation: theirs(), policy: Policy::Forbidden });
    world.pass(5_000);
    let first = [0, 1, tablet].into_iter().min_by_key(|n| world.dk(*n)).unwrap();
    let old = if first == 0 { tablet } else { 0 };
    world.reach(first, false);
    let new = world.further_device(old);
    world.pass(60_000);
    let policy = |world: &World, n: usize| {
        world.devices[n].client.conversations().find(|talk| talk.id == theirs()).map(|talk| talk.policy)
    };
    assert_eq!(policy(&world, new), Some(Policy::Optional), "nobody has told it yet");
    world.restart(old);
    world.reach(old, true);
    let entries = |world: &World| entries(world, &ann()) + entries(world, &ben());
    let before = entries(&world);
    world.write(old, "one more thing");
    world.pass(5_000);
    assert_eq!((policy(&world, new), entries(&world) - before), (Some(Policy::Forbidden), 2), "told before the words");
    world.write(old, "and another");
    world.pass(5_000);
    assert_eq!(entries(&world) - before, 3, "once is enough");
}

/// A control as a member may seal it, whatever their program would do.
fn sealed(world: &World, control: Control) -> Vec<u8> {
    let mut inner = Writer::array_of(5);
    inner.u64(1).u64(7).millis(world.now).item(&control.to_bytes()).null();
    inner.into_bytes()
}

/// [V-6], attack 54: in a direct conversation nobody is a moderator. Who says they are is at fault, and nothing changes.
#[test]
fn t_054_nobody_removes_what_another_said_in_a_conversation_of_two() {
    let (mut world, mut person, mut hostile) = talking();
    world.write(0, "what ann said");
    world.pass(5_000);
    let at = place(&mut world, "what ann said");
    let shown = screen(&mut world, 1, None, 64);
    let message = shown.messages.iter().find(|shown| shown.seq == at).unwrap().id;
    world.clear();
    for place in [at, at + 1, 999] {
        let inner = sealed(&world, Control::Remove(Target { message, place }));
        hostile.says(&mut world, &mut person, &inner);
        world.pass(5_000);
    }
    for n in [0, 1] {
        let refused = |event: &&Event| matches!(event, Event::Refused { who: Who::Person(who), why: PeerFault::Event("not a moderator's removal") } if *who == ben());
        assert_eq!(world.devices[n].events.iter().filter(refused).count(), 3, "device {n}");
        assert_eq!((changes(&world, n), screen(&mut world, n, None, 64)), (vec![], shown.clone()), "device {n}");
        world.command(n, Command::Remove { conversation: theirs(), message: at });
        assert_eq!(declined(&world, n), Declined::NotModerator(theirs()));
    }
}

/// what becomes of a removal where somebody may: with the rule turned off that says who.
#[test]
fn a_removal_by_who_may_is_shown_as_one_and_takes_the_words_along() {
    let (mut world, tablet) = three();
    world.write(0, "words of mine to go");
    world.pass(5_000);
    let at = place(&mut world, "words of mine to go");
    say(&mut world, 0, edit(at, "other words of mine to go"));
    pin(&mut world, 0, at, true);
    world.clear();
    canary::set(Some(Canary::AnyoneRemoves));
    world.command(1, Command::Remove { conversation: theirs(), message: at });
    world.pass(5_000);
    canary::set(None);
    let by = who(&world, 1);
    for n in [0, 1, tablet] {
        assert_eq!(changes(&world, n).pop().map(|changed| changed.now), Some(Now::Removed { by }), "device {n}");
        assert!(!has_on_disk(&world, n, "words of mine"), "device {n}");
        assert_eq!((places(&mut world, n), told(&world, n).pop()), (vec![], Some((at, None, false))), "device {n}");
    }
}

/// [V-2] Pins of what is no message, lies elsewhere or is to come change nothing, and take no room.
#[test]
fn hostile_pins_of_what_is_nowhere_take_no_room() {
    let (mut world, mut person, mut hostile) = talking();
    world.write(0, "what ann said");
    world.pass(5_000);
    let at = place(&mut world, "what ann said");
    let message = screen(&mut world, 0, None, 1).messages[0].id;
    pin(&mut world, 0, at, true);
    let reading = reading(Position::upto(at));
    let no_message = hostile.says(&mut world, &mut person, &reading);
    let elsewhere =
        (1..=no_message).filter(|place| *place != at).chain([999, u64::MAX]).map(|place| Target { message, place });
    let other = Target { message: postline_core::id::ContentId([9; 32]), place: at };
    let unpins = [Control::Unpin(other), Control::Unpin(Target { message, place: at + 1 })];
    world.clear();
    for control in elsewhere.map(Control::Pin).chain(unpins).chain([Control::Pin(other)]) {
        let inner = sealed(&world, control);
        hostile.says(&mut world, &mut person, &inner);
    }
    world.pass(5_000);
    for n in [0, 1] {
        assert_eq!((places(&mut world, n), told(&world, n)), (vec![at], vec![]), "device {n}");
    }
}

fn who(world: &World, n: usize) -> Identity {
    world.devices[n].client.identity().unwrap()
}

fn set_policy(world: &mut World, n: usize, policy: Policy) {
    world.command(n, Command::SetPolicy { conversation: theirs(), policy });
    world.pass(5_000);
}

/// What a device was told of the policy: which, by whom, and whether reading is told.
fn policies(world: &World, n: usize) -> Vec<(Policy, Option<Address>, bool)> {
    let told = |event: &Event| match event {
        Event::Policy { policy, by, tells_read, .. } => Some((*policy, by.clone(), *tells_read)),
        _ => None,
    };
    world.devices[n].events.iter().filter_map(told).collect()
}

/// [V-7] [V-8]: between readings the two agree on something else each time.
#[test]
fn readings_are_told_as_the_conversation_has_agreed() {
    let mut world = two();
    // Ben keeps it to himself, until it is required.
    tells(&mut world, 1, true, false);
    let kept = world.write(0, "kept to himself");
    reads(&mut world, 1, u64::MAX);
    world.pass(10_000);
    assert_eq!(world.marks(0, kept).last(), Some(&Mark::Delivered));
    set_policy(&mut world, 0, Policy::Required);
    for n in [0, 1] {
        assert_eq!(policies(&world, n), [(Policy::Required, Some(ann()), true)], "device {n}");
    }
    assert_eq!(world.marks(0, kept).last(), Some(&Mark::Delivered), "what was kept is not told by itself");
    let required = world.write(0, "whatever he chose");
    reads(&mut world, 1, u64::MAX);
    world.pass(10_000);
    assert_eq!(world.marks(0, required).last(), Some(&Mark::Read));
    set_policy(&mut world, 1, Policy::Forbidden);
    let before = known(&world, 0);
    let forbidden = world.write(0, "nobody tells");
    reads(&mut world, 1, u64::MAX);
    world.write(1, "an answer takes nothing along");
    world.pass(10_000);
    assert_eq!((world.marks(0, forbidden).last(), known(&world, 0)), (Some(&Mark::Delivered), before));
    // A restart forgets none of it.
    world.restart(1);
    world.pass(60_000);
    set_policy(&mut world, 0, Policy::Optional);
    assert_eq!(policies(&world, 1).pop(), Some((Policy::Optional, Some(ann()), false)), "as he chose");
    let optional = world.write(0, "as he chose");
    reads(&mut world, 1, u64::MAX);
    world.pass(10_000);
    assert_eq!(world.marks(0, optional).last(), Some(&Mark::Delivered));
    assert_eq!(refusals(&world, 0), []);
}

/// [V-7]: what was read under the former policy, and waits, obeys the one that came meanwhile; who told before they heard of
/// it is not blamed; who had heard of it is.
#[test]
fn t_042_a_reading_told_before_its_author_heard_that_none_is_told_is_nobodys_fault() {
    let mut world = two();
    let first = world.write(0, "to be read");
    world.pass(5_000);
    // Ben reads, and says something that takes it along; ann forbids it before that comes.
    world.reach(1, false);
    reads(&mut world, 1, u64::MAX);
    world.write(1, "and I answer");
    set_policy(&mut world, 0, Policy::Forbidden);
    world.clear();
    world.reach(1, true);
    world.pass(60_000);
    assert_eq!(world.texts(0), ["and I answer"]);
    assert_eq!((world.marks(0, first), refusals(&world, 0)), (vec![], vec![]));
    assert_eq!(policies(&world, 1), [(Policy::Forbidden, Some(ann()), false)]);
}

/// [A-4] [V-7]
#[test]
fn t_042_a_reading_where_none_is_told_counts_for_nothing() {
    let (mut world, mut person, mut hostile) = talking();
    let id = world.write(0, "hello");
    let inner = sealed(&world, Control::Policy { policy: Policy::Forbidden, set: None });
    hostile.says(&mut world, &mut person, &inner);
    world.pass(5_000);
    assert_eq!(policies(&world, 0), [(Policy::Forbidden, Some(ben()), false)]);
    world.clear();
    let seq = world.office.logs[&theirs()].entries.len() as u64;
    let reading = reading(Position::upto(seq));
    hostile.says(&mut world, &mut person, &reading);
    assert_eq!(world.marks(0, id), [], "it counts for nothing, whatever they had heard");
    // What was set once is not set back by who says it once more, or says that they do.
    let late = Control::Policy { policy: Policy::Required, set: Some(1) };
    let inner = sealed(&world, late);
    hostile.says(&mut world, &mut person, &inner);
    assert_eq!(policies(&world, 0), []);
}

/// [M-7], attack 56: whom a message mentions its first version says, and an edit changes nothing about that.
#[test]
fn t_056_an_edit_changes_nothing_about_whom_a_message_mentions() {
    let (mut world, tablet) = three();
    let [anns, bens] = [0, 1].map(|n| who(&world, n));
    let stranger = Identity([7; 32]);
    let text = format!("{}, {} and {}", mention("Ben", bens), mention("nobody", stranger), mention("Ben", bens));
    say(&mut world, 0, Saying::message(Part::markdown(&text).unwrap()));
    say(&mut world, 0, Saying::text(&mention("Ben", bens)).unwrap());
    let mentions = |world: &World, n: usize| world.said(n).into_iter().map(|said| said.mentions).collect::<Vec<_>>();
    for n in [1, tablet] {
        let told = mentions(&world, n);
        assert_eq!(
            told[told.len() - 2..],
            [vec![ben()], vec![]],
            "members alone, each once, and plain text names nobody"
        );
    }
    let shown = |world: &mut World, n: usize| {
        let messages = screen(world, n, None, 2).messages;
        messages.into_iter().rev().map(|shown| (shown.seq, shown.mentions)).collect::<Vec<_>>()
    };
    let before = shown(&mut world, 1);
    assert_eq!(before.iter().map(|(_, mentions)| mentions.clone()).collect::<Vec<_>>(), [vec![ben()], vec![]]);
    let told = mentions(&world, 1).len();
    for (seq, _) in &before {
        let body = Part::markdown(&mention("Ann", anns)).unwrap();
        say(&mut world, 0, Saying::Edit { message: *seq, body });
    }
    for n in [0, 1, tablet] {
        assert_eq!(shown(&mut world, n), before, "device {n}");
    }
    assert_eq!(mentions(&world, 1).len(), told, "an edit tells of nobody anew");
    assert!(texts(&mut world, 1).last().unwrap().contains("Ann"), "its words are there");
}
