//! What nodes, strangers and members may try, and what becomes of it.

use postline_core::canary::{self, Canary};
use postline_core::client::io::{Alarm, Event, Failure, Level, Mark, To};
use postline_core::client::{Command, Input, SessionIn};
use postline_core::fault::PeerFault;
use postline_core::id::{DeviceTag, Hash};
use postline_core::limits;
use postline_core::seal::lists::Chain;
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret, mls};
use postline_core::step::Tick;
use postline_core::store::Key;
use postline_core::wire::frame::Frame;
use postline_core::wire::list::{Device, DeviceList};
use postline_core::wire::log::{Link, chain};
use postline_core::wire::statement::Signed;
use postline_core::wire::talk::{Event as Entry, Finding, Head, Kind, Line, Origin, Post, Question, Talk};

use crate::kit::{World, ann, ben, theirs};

fn refused(world: &World, n: usize) -> Vec<PeerFault> {
    let why = |event: &Event| match event {
        Event::Refused { why, .. } | Event::NotOpened { why, .. } => Some(why.clone()),
        _ => None,
    };
    world.devices[n].events.iter().filter_map(why).collect()
}

fn alarms(world: &World, n: usize) -> Vec<Alarm> {
    let alarm = |event: &Event| match event {
        Event::Alarm(alarm) => Some(alarm.clone()),
        _ => None,
    };
    world.devices[n].events.iter().filter_map(alarm).collect()
}

/// The hub takes bytes for a message of ann's that ann's devices never sealed so.
fn forged(world: &mut World, bytes: Vec<u8>, number: u64) {
    let origin = Origin { device: DeviceTag([9; 8]), number };
    let epoch = world.office.logs[&theirs()].epoch;
    let post = Post { conversation: theirs(), origin, kind: Kind::Message, epoch, members: Vec::new(), bytes };
    world.append(&ann(), post);
    world.settle();
}

fn sealed(world: &World, seq: usize) -> Vec<u8> {
    world.office.logs[&theirs()].entries[seq - 1].1.bytes.clone().unwrap()
}

fn talking() -> World {
    let mut world = World::two();
    world.write(0, "hello");
    world.pass(5_000);
    world.write(1, "hello back");
    world.pass(5_000);
    world.clear();
    world
}

#[test]
fn t_061_what_was_sealed_once_is_opened_once_wherever_it_is_put() {
    let mut world = talking();
    let again = sealed(&world, 2);
    // As another entry of the log, and as the same entry again.
    forged(&mut world, again, 1);
    let entry = world.office.logs[&theirs()].entries[1].1.clone();
    world.say(1, Talk::Event(Entry { origin: None, ..entry }));
    world.settle();
    assert_eq!(world.texts(1), [""; 0]);
    assert_eq!(refused(&world, 1), [PeerFault::Again]);
    world.restart(1);
    world.pass(5_000);
    world.write(0, "and on");
    world.pass(5_000);
    assert_eq!(world.texts(1), ["and on"]);
}

/// 500 entries come in reverse: each is opened once, in the log's order.
/// [P-5]
#[test]
fn five_hundred_that_come_in_reverse_are_all_read_in_order() {
    let mut world = talking();
    world.devices[1].held = Some(Vec::new());
    for n in 0..500 {
        world.write(0, &n.to_string());
    }
    let mut frames = world.devices[1].held.take().unwrap();
    frames.reverse();
    for frame in frames {
        world.tell_device(1, frame);
    }
    world.pass(5_000);
    let all: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(world.texts(1), all);
    assert_eq!(alarms(&world, 1), []);
}

#[test]
fn t_087_one_bad_event_never_stops_the_next() {
    let mut world = talking();
    let good = sealed(&world, 2);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let bad = [
        Vec::new(),
        b"no message".to_vec(),
        good[..good.len() / 2].to_vec(),
        flipped,
        vec![0; 60 * 1024],
        [&[0, 99][..], &good[2..]].concat(),
    ];
    let count = bad.len();
    for (n, bytes) in bad.into_iter().enumerate() {
        forged(&mut world, bytes, n as u64);
        world.write(0, &format!("after {n}"));
    }
    world.pass(10_000);
    let expected: Vec<String> = (0..count).map(|n| format!("after {n}")).collect();
    assert_eq!(world.texts(1), expected);
    assert_eq!(refused(&world, 1).len(), count);
    assert_eq!(alarms(&world, 1), []);
    // A commit and a create that are none don't stop it either.
    for kind in [Kind::Commit, Kind::Create] {
        let epoch = world.office.logs[&theirs()].epoch;
        let origin = Origin { device: DeviceTag([9; 8]), number: 99 };
        let bytes = b"none".to_vec();
        let post = Post { conversation: theirs(), origin, kind, epoch, members: Vec::new(), bytes };
        world.append(&ann(), post);
    }
    world.settle();
    world.write(0, "the last word");
    world.pass(10_000);
    assert_eq!(world.texts(1).last().unwrap(), "the last word");
    // Nor the change that is one: the log counts those that were none too.
    let tablet = world.further_device(1);
    assert_eq!([0, 1, tablet].map(|n| world.group(n)), [3; 3]);
    world.write(tablet, "and another's first");
    world.pass(10_000);
    assert_eq!(world.texts(0), ["and another's first"]);
}

/// A device that has lost its keys to a conversation comes in from outside, and is told what it missed: once.
/// [G-16]
#[test]
fn t_084_what_did_not_open_is_said_again_once_and_never_without_end() {
    let mut world = talking();
    world.devices[1].disk.retain(|key, _| !matches!(key, Key::Group(_)));
    world.restart(1);
    let ids: Vec<_> = (0..20).map(|n| world.write(0, &format!("missed {n}"))).collect();
    world.pass(120_000);
    assert_eq!(world.said(1).iter().map(|said| said.id).collect::<Vec<_>>(), ids, "{:#?}", world.devices[1].events);
    let again = |event: &&Event| matches!(event, Event::NotOpenedBy { again: true, .. });
    assert_eq!(world.devices[0].events.iter().filter(again).count(), 20);
    world.write(0, "and on");
    world.write(1, "I am here");
    world.pass(30_000);
    assert_eq!(world.texts(1).last().unwrap(), "and on");
    assert_eq!(world.texts(0), ["I am here"]);
    // A flood of what doesn't open makes nobody say more than so much.
    let before = world.office.tape.len();
    for n in 0..300 {
        forged(&mut world, vec![7; 64], 1_000 + n);
    }
    world.pass(60_000);
    let posts = |frame: &&Frame| matches!(frame, Frame::Talk(Talk::Post(_)));
    let posted = world.office.tape[before..].iter().filter(posts).count();
    assert!(posted <= 2 * limits::REPORTS as usize, "{posted} posts");
}

/// Who asks for the same again and again is told so often, and no more, and under no weaker keys than before.
#[test]
fn t_085_asking_again_is_bounded_and_resets_nothing_but_the_own_leaf() {
    let mut world = talking();
    let mut told = 0;
    for _ in 0..3 {
        world.devices[1].disk.retain(|key, _| !matches!(key, Key::Group(_)));
        world.restart(1);
        for n in 0..30 {
            world.write(0, &format!("{n}"));
        }
        world.pass(120_000);
        told = world.texts(1).len();
    }
    assert_eq!(told, limits::REPORTS.min(limits::REPAIRS) as usize);
    // Each time it came in by a commit that everybody sees, with its own leaf alone, and the epoch rose.
    let commits = world.office.logs[&theirs()].entries.iter().filter(|(_, entry)| entry.kind == Kind::Commit).count();
    assert_eq!((commits, world.group(0), world.group(1)), (3, 2, 2));
    assert_eq!(world.office.logs[&theirs()].epoch, 4);
}

/// [P-4]
#[test]
fn t_070_t_071_what_is_meant_to_be_sealed_never_leaves_in_the_clear() {
    let marker = "a marker that nobody may see 5a1e";
    let mut world = World::new();
    world.line = false;
    for who in [ann(), ben()] {
        world.device(&who);
    }
    world.pass(60_000);
    // No line: nothing goes, and the person is told.
    let id = world.write(0, marker);
    assert_eq!(world.marks(0, id), [Mark::Failed(Failure::NoLine)]);
    // A line, and the node keeps the other's keys back: it waits.
    world.line = true;
    world.office.no_proofs = true;
    world.tell_all();
    world.settle();
    let id = world.write(0, marker);
    world.pass(3_600_000);
    assert_eq!(world.marks(0, id), [Mark::Queued]);
    assert_eq!(world.level(0), Level::Line);
    world.office.no_proofs = false;
    world.tell_all();
    world.pass(60_000);
    assert_eq!(world.texts(1), [marker]);
    // And nowhere on its way could anybody read it.
    let tape = format!("{:?}", world.office.tape);
    let bytes = format!("{:?}", marker.as_bytes());
    assert!(!tape.contains(bytes.trim_matches(['[', ']'])));
    let disk = world.office.logs[&theirs()].entries.iter().filter_map(|(_, entry)| entry.bytes.clone());
    assert!(
        disk.flat_map(|b| b.windows(marker.len()).map(<[u8]>::to_vec).collect::<Vec<_>>())
            .all(|w| w != marker.as_bytes())
    );
}

/// Two people, and at the office no key package of ben's device, but one of a device in his name that the node made up: on
/// no list that his key has signed. Gives the list that goes with it.
fn with_a_ghost() -> (World, Signed<DeviceList>) {
    let mut world = World::two();
    let tick = Tick { now: world.now, entropy: [0x66; 32] };
    let ak = AddressIdentity::new(&Secret::new([0x66; 32]));
    let ghost = DeviceIdentity::new(&Secret::new([0x67; 32]));
    let next = AddressIdentity::new(&Secret::new([0x68; 32])).ak().hash();
    let devices = vec![Device::new(ghost.dk(), false, world.now)];
    let (list, chain) = Chain::found(ben(), &ak, next, false, devices).unwrap();
    let leaf = chain.leaf(&ak, ghost.dk()).unwrap();
    let package = mls::make(&tick, 0, mls::Me { device: &ghost, leaf: &leaf }, false).unwrap();
    // Its package comes in the place of those of ben's device.
    world.office.packages.insert((ben(), world.dk(1)), (vec![package.public].into(), None));
    (world, list)
}

/// The test below would notice where lists are not asked.
#[test]
fn t_073_who_does_not_ask_the_lists_lets_a_ghost_in() {
    let (mut world, _) = with_a_ghost();
    canary::set(Some(Canary::GhostTaken));
    world.write(0, "for ben alone");
    world.pass(120_000);
    canary::set(None);
    assert!(!world.office.logs.is_empty());
}

/// [G-14]
#[test]
fn t_073_a_ghost_device_gets_into_no_group() {
    let (mut world, list) = with_a_ghost();
    let id = world.write(0, "for ben alone");
    world.pass(120_000);
    assert_eq!(world.marks(0, id), [Mark::Queued], "it waits for a device of ben's");
    assert!(world.office.logs.is_empty());
    // Its list comes too: an alarm, and nothing is sealed to either.
    world.clear();
    let (asked, answer) = (world.dk(0), Finding::Lists(vec![list.bytes().to_vec()]));
    let _ = asked;
    world.office.lists.get_mut(&ben()).unwrap().1.push(list.bytes().to_vec());
    let line = Line {
        theirs: ben(),
        t2: Some(Hash([0x72; 32])),
        offered: true,
        nk: world.nodes[&ben()].nk(),
        proof: None,
        list: 2,
    };
    world.say(0, Talk::Line(line));
    world.settle();
    let _ = answer;
    assert!(
        matches!(&alarms(&world, 0)[..], [Alarm::List { whose, .. }] if *whose == ben()),
        "{:#?}",
        world.devices[0].events
    );
    assert!(
        world.devices[0].events.iter().any(|event| matches!(event, Event::KeysChanged { who, .. } if *who == ben()))
    );
    world.write(0, "nor this");
    world.pass(120_000);
    assert!(world.office.logs.is_empty());
}

/// Ben lost all he had, his backup too, and is there again with keys that nothing leads to.
#[test]
fn t_015_keys_that_nothing_leads_to_are_loud_and_wait_for_the_person() {
    let mut world = talking();
    world.reach(1, false);
    world.office.lists.remove(&ben());
    world.office.proofs.remove(&ben());
    world.office.packages.retain(|(whose, _), _| *whose == ann());
    let new = world.device(&ben());
    world.pass(60_000);
    assert!(world.devices[new].client.is_enrolled());
    let changed = |event: &Event| matches!(event, Event::KeysChanged { who, now: Some(_), .. } if *who == ben());
    assert!(world.devices[0].events.iter().any(changed), "{:#?}", world.devices[0].events);
    let waits = world.write(0, "is it you?");
    world.pass(600_000);
    assert_eq!(world.marks(0, waits), [Mark::Queued]);
    assert_eq!(world.texts(new), [""; 0]);
    // Ann has asked him, and takes the new keys; nothing of the old device stays in the conversation.
    world.command(0, Command::AcceptKeys(ben()));
    world.pass(120_000);
    assert_eq!(world.texts(new), ["is it you?"], "{:#?}\n{:#?}", world.devices[0].events, world.devices[new].events);
    assert_eq!([0, new].map(|n| world.group(n)), [2; 2]);
    world.write(new, "it is me");
    world.pass(10_000);
    assert_eq!(world.texts(0).last().unwrap(), "it is me");
}

/// The hub keeps an entry of ann's from ben, and signs him a log without it.
/// [H-19]
#[test]
fn t_075_two_logs_of_one_conversation_are_an_alarm_within_one_message() {
    let mut world = talking();
    let seq = world.office.logs[&theirs()].entries.len() as u64 + 1;
    let before = *world.office.logs[&theirs()].hashes.last().unwrap();
    world.devices[1].held = Some(Vec::new());
    for text in ["kept from ben", "the next"] {
        world.write(0, text);
    }
    world.devices[1].held = None;
    let entries = world.office.logs[&theirs()].entries.clone();
    let shown = |n: u64| Entry { seq: n - 1, origin: None, ..entries[usize::try_from(n).unwrap() - 1].1.clone() };
    let mut hash = before;
    let mut show = |world: &mut World, entry: Entry| {
        let Entry { term, seq, kind, epoch, .. } = entry;
        let bytes = entry.bytes.clone().unwrap();
        hash = chain(hash, &Link { term, seq, kind, epoch, members: &[], bytes: &bytes });
        let heads = world.heads(Head { conversation: theirs(), term, seq, hash });
        world.say(1, Talk::Event(entry));
        world.say(1, Talk::Heads(heads));
        world.settle();
    };
    world.office.posts = Some(Vec::new());
    // Its author names a head that is another in ben's log.
    show(&mut world, shown(seq + 1));
    assert_eq!(world.texts(1), ["the next"]);
    assert!(matches!(alarms(&world, 1)[..], [Alarm::SplitView { .. }]), "{:#?}", world.devices[1].events);
    // Nothing more is sealed into a log that is two.
    world.write(1, "no more");
    world.pass(60_000);
    assert!(world.office.posts.unwrap().is_empty());
}

/// A Welcome again, one for somebody else's package, and one for another conversation.
#[test]
fn t_079_a_welcome_is_good_once_and_for_its_conversation() {
    let mut world = talking();
    let create = world.office.logs[&theirs()].entries[0].1.clone();
    let epoch = world.office.logs[&theirs()].epoch;
    let origin = Origin { device: DeviceTag([9; 8]), number: 7 };
    let bytes = create.bytes.clone().unwrap();
    let post = Post { conversation: theirs(), origin, kind: Kind::Commit, epoch, members: Vec::new(), bytes };
    world.append(&ann(), post);
    world.settle();
    world.write(0, "still the same group");
    world.pass(5_000);
    assert_eq!(world.texts(1), ["still the same group"]);
    // In a conversation that no line leads to it is nothing.
    let other = postline_core::id::ConversationId([0x0d; 32]);
    world.say(1, Talk::Event(Entry { conversation: other, ..create }));
    world.settle();
    assert_eq!(refused(&world, 1).last(), Some(&PeerFault::NoConversation));
    assert_eq!(world.devices[1].client.conversations().count(), 1);
}

/// The transport says that something is another's: what is shown is whose key sealed it.
#[test]
fn t_086_the_author_is_whose_key_sealed_it() {
    let mut world = talking();
    world.devices[1].held = Some(Vec::new());
    world.write(0, "by ann");
    for frame in world.devices[1].held.take().unwrap() {
        let frame = match frame {
            // The node says that it is ben's own.
            Frame::Talk(Talk::Event(entry)) => Frame::Talk(Talk::Event(Entry {
                origin: Some(Origin { device: DeviceTag([1; 8]), number: 5 }),
                ..entry
            })),
            frame => frame,
        };
        world.tell_device(1, frame);
    }
    world.settle();
    let said = world.said(1);
    assert_eq!((said[0].author.address.clone(), said[0].author.dk), (ann(), world.dk(0)));
    assert!(!said[0].author.own);
}

#[test]
fn a_node_that_says_nonsense_is_refused_and_nothing_is_lost() {
    let mut world = talking();
    for talk in [
        Talk::Answer { number: 999, what: Ok(Finding::Sent) },
        Talk::Delivered { conversation: theirs(), member: ben(), seq: u64::MAX },
        Talk::Unposted {
            conversation: theirs(),
            origin: Origin { device: DeviceTag([1; 8]), number: 1 },
            code: postline_core::fault::Code::Busy,
        },
        Talk::Published { number: 77, code: None },
        Talk::Ask { number: 1, what: Question::Range { conversation: theirs(), from: 1, to: 2 } },
        Talk::Have { conversation: theirs(), seq: 5 },
    ] {
        world.say(0, talk);
    }
    world.step(0, Input::Session(SessionIn::Garbage(PeerFault::Frame("garbage"))));
    world.settle();
    world.pass(60_000);
    world.write(0, "still here");
    world.write_to(0, To::Person(ann()), "to oneself");
    world.pass(5_000);
    assert_eq!(world.texts(1), ["still here"]);
}
