//! Who is here, and who writes: whispered from device to device over two nodes, and never to anybody else.

use postline_core::client::Command;
use postline_core::client::io::{Declined, Event, Seen};
use postline_core::fault::PeerFault;
use postline_core::id::{Address, ConversationId};
use postline_core::limits;
use postline_core::server;
use postline_core::server::io::Peer;
use postline_core::store::{Key, Record};
use postline_core::time::{MINUTE, SECOND};
use postline_core::wire::frame::Frame;
use postline_core::wire::whisper::{Delta, Whisper, Word};
use postline_world::world::World;

use crate::clients::Clients;
use crate::kit::{a_line, draft, id, one, pair, two, whole};
use crate::people::all_up;

/// One and two, each with a device, and their conversation.
fn two_phones() -> (World, Clients, ConversationId) {
    let mut world = a_line();
    let mut clients = Clients::default();
    for who in [one(), two()] {
        clients.add(&mut world, &who);
    }
    clients.pass(&mut world, 2_000);
    clients.write(&mut world, 0, &two(), "hello");
    clients.pass(&mut world, 2_000);
    let talk = clients.all[1].events.iter().find_map(|event| match event {
        Event::Said(said) => Some(said.conversation),
        _ => None,
    });
    world.overheard = Some(Vec::new());
    (world, clients, talk.unwrap())
}

/// The same, and both agree to be seen by the other; one is here.
fn agreed() -> (World, Clients, ConversationId) {
    let (mut world, mut clients, talk) = two_phones();
    agree(&mut world, &mut clients, 0, &two(), true);
    agree(&mut world, &mut clients, 1, &one(), true);
    assert_eq!([seen(&clients, 0, &two()), seen(&clients, 1, &one())], [Some(Some(Seen::Here)); 2]);
    (world, clients, talk)
}

fn agree(world: &mut World, clients: &mut Clients, n: usize, with: &Address, agrees: bool) {
    clients.command(world, n, Command::Agree { with: Some(with.clone()), agrees });
    clients.pass(world, 100);
}

/// What a device last showed of somebody; `None`: nothing ever.
fn seen(clients: &Clients, n: usize, whom: &Address) -> Option<Option<Seen>> {
    let of = |event: &Event| match event {
        Event::Presence { who, seen } if who == whom => Some(*seen),
        _ => None,
    };
    clients.all[n].events.iter().rev().find_map(of)
}

/// How somebody's writing was shown, in order.
fn writing(clients: &Clients, n: usize) -> Vec<bool> {
    let of = |event: &Event| if let Event::Typing { now, .. } = event { Some(*now) } else { None };
    clients.all[n].events.iter().filter_map(of).collect()
}

fn agreements(clients: &Clients, n: usize) -> Vec<bool> {
    let of = |event: &Event| if let Event::Agreement { agrees, .. } = event { Some(*agrees) } else { None };
    clients.all[n].events.iter().filter_map(of).collect()
}

/// What nodes whispered to each other since last asked.
fn whispers(world: &mut World) -> Vec<Whisper> {
    let heard = world.overheard.replace(Vec::new()).unwrap();
    heard
        .into_iter()
        .filter_map(|(_, _, frame)| if let Frame::Whisper(said) = frame { Some(said) } else { None })
        .collect()
}

/// What the disks of all nodes have.
fn disks(world: &World) -> Vec<Vec<Record>> {
    world.nodes.iter().map(|node| node.disk.records().cloned().collect()).collect()
}

/// [W-1] [W-3] [W-6]
#[test]
fn both_agree_and_see_each_other_until_one_takes_it_back() {
    let (mut world, mut clients, _) = two_phones();
    for n in [0, 1] {
        clients.command(&mut world, n, Command::Active);
    }
    clients.pass(&mut world, 1_000);
    assert_eq!(whispers(&mut world), [], "off until somebody chooses");
    agree(&mut world, &mut clients, 0, &two(), true);
    assert_eq!(agreements(&clients, 0), [true]);
    let agrees = Whisper::Vector(vec![Delta { of: one(), to: two(), word: Word::Agrees }]);
    assert_eq!(whispers(&mut world), [agrees], "that they agree, and nothing else");
    assert_eq!((seen(&clients, 0, &two()), seen(&clients, 1, &one())), (None, None));
    agree(&mut world, &mut clients, 1, &one(), true);
    assert_eq!([seen(&clients, 0, &two()), seen(&clients, 1, &one())], [Some(Some(Seen::Here)); 2]);
    // One does nothing for as long as a lease lasts: they were here, at about that time.
    let ended = world.now;
    clients.pass(&mut world, limits::PRESENCE_MS + 100);
    let Some(Some(Seen::Away(last))) = seen(&clients, 1, &one()) else { panic!("{:#?}", clients.all[1].events) };
    assert_eq!(last.0 % limits::LAST_SEEN_MS, 0);
    assert!(last <= ended && ended.since(last) < limits::LAST_SEEN_MS + MINUTE, "{last} {ended}");
    clients.command(&mut world, 0, Command::Active);
    clients.pass(&mut world, 100);
    assert_eq!(seen(&clients, 1, &one()), Some(Some(Seen::Here)));
    agree(&mut world, &mut clients, 1, &one(), false);
    assert_eq!([seen(&clients, 0, &two()), seen(&clients, 1, &one())], [Some(None); 2]);
    whispers(&mut world);
    for n in [0, 1] {
        clients.command(&mut world, n, Command::Active);
    }
    clients.pass(&mut world, limits::PRESENCE_MS * 2);
    assert_eq!(whispers(&mut world), []);
    whole(&world);
}

/// Attack 60: who is here and who writes is in no record of any node, and a crash forgets it whole. What the person chose is
/// kept on their device. [W-9]
#[test]
fn t_060_what_is_whispered_is_never_stored_and_is_heard_again_after_a_crash() {
    let (mut world, mut clients, talk) = two_phones();
    clients.pass(&mut world, 10_000);
    let before = disks(&world);
    let mails = world.ledger.mails.len();
    agree(&mut world, &mut clients, 0, &two(), true);
    agree(&mut world, &mut clients, 1, &one(), true);
    for n in [0, 1] {
        clients.command(&mut world, n, Command::AllowTyping(true));
        clients.command(&mut world, n, Command::Typing { conversation: talk });
    }
    clients.pass(&mut world, 10_000);
    assert_eq!((writing(&clients, 0), writing(&clients, 1)), (vec![true, false], vec![true, false]));
    assert!(!whispers(&mut world).is_empty());
    assert_eq!(disks(&world), before, "something was stored");
    assert_eq!(world.ledger.mails.len(), mails, "something was mailed");
    // Both nodes go down: nothing is known, until the devices have said again what their people chose.
    for node in [0, 1] {
        world.crash(node);
    }
    all_up(&mut world);
    for n in [0, 1] {
        clients.all[n].events.clear();
        clients.restart(&mut world, n);
    }
    clients.pass(&mut world, 60_000);
    assert_eq!(seen(&clients, 1, &one()), None, "nobody has said so");
    clients.command(&mut world, 0, Command::Active);
    clients.pass(&mut world, 1_000);
    assert_eq!(seen(&clients, 1, &one()), Some(Some(Seen::Here)), "{:#?}", clients.all[1].events);
    whole(&world);
}

/// [W-2] Attacks 46, 95 and I24: blocked is silent at once, and from then on nothing is said or heard.
#[test]
fn t_046_who_is_blocked_sees_nothing_any_more_at_once() {
    let (mut world, mut clients, talk) = agreed();
    clients.command(&mut world, 0, Command::AllowTyping(true));
    whispers(&mut world);
    clients.command(&mut world, 0, Command::Block(two()));
    clients.pass(&mut world, 100);
    assert_eq!((seen(&clients, 0, &two()), seen(&clients, 1, &one())), (Some(None), Some(None)));
    let silent = Whisper::Vector(vec![Delta { of: one(), to: two(), word: Word::Silent }]);
    assert_eq!(whispers(&mut world)[0], silent);
    assert_eq!(agreements(&clients, 0).last(), Some(&false), "what was agreed to is void");
    // The other doesn't know; whatever either does, nothing is whispered of the one, and nothing is heard of the other.
    for _ in 0..4 {
        clients.command(&mut world, 1, Command::Active);
        clients.command(&mut world, 0, Command::Active);
        clients.command(&mut world, 0, Command::Typing { conversation: talk });
        clients.command(&mut world, 0, Command::Agree { with: Some(two()), agrees: true });
        clients.pass(&mut world, 3 * MINUTE);
    }
    let of_one = |whisper: &Whisper| match whisper {
        Whisper::Vector(deltas) => deltas.iter().any(|delta| delta.of == one()),
        Whisper::Types(who, _) => *who == one(),
        _ => true,
    };
    assert!(!whispers(&mut world).iter().any(of_one));
    assert_eq!((seen(&clients, 0, &two()), seen(&clients, 1, &one())), (Some(None), Some(None)));
    assert!(clients.all[0].events.contains(&Event::Declined(Declined::NoContact(two()))));
    whole(&world);
}

/// [W-2] A blocked domain is as a blocked person; a line that ends by the node is, too.
#[test]
fn who_is_of_a_blocked_domain_sees_nothing_any_more() {
    let (mut world, mut clients, _) = agreed();
    let domain = two().domain().clone();
    world.command(0, server::Command::BlockDomain(domain));
    clients.pass(&mut world, 1_000);
    assert_eq!((seen(&clients, 0, &two()), seen(&clients, 1, &one())), (Some(None), Some(None)));
    whispers(&mut world);
    clients.command(&mut world, 0, Command::Active);
    clients.pass(&mut world, 3 * MINUTE);
    assert_eq!(whispers(&mut world), []);
}

/// Attack 95: a node whispers of strangers, of its people to strangers, of people that aren't its own, in conversations that
/// aren't theirs: nobody is shown anything, nothing is looked up or stored, and the link stays up. [W-2]
#[test]
fn t_095_what_a_node_whispers_of_strangers_has_no_effect() {
    let (mut world, mut clients, talk) = agreed();
    let (eve, ann) = (Address::parse("eve@b.example").unwrap(), Address::parse("ann@a.example").unwrap());
    clients.pass(&mut world, MINUTE);
    let (before, link) = (disks(&world), world.connections().next().unwrap());
    let memory = |world: &World| world.nodes[0].server.as_ref().unwrap().in_memory();
    let mut most = 0;
    clients.all[0].events.clear();
    let here = Word::Shows(Seen::Here);
    for round in 0..50 {
        let delta = |of: &Address, to: &Address| Delta { of: of.clone(), to: to.clone(), word: here };
        let deltas = vec![delta(&eve, &one()), delta(&two(), &ann), delta(&one(), &two()), delta(&two(), &one())];
        for whisper in [
            Whisper::Vector(deltas),
            Whisper::Types(eve.clone(), talk),
            Whisper::Types(two(), ConversationId([9; 32])),
            Whisper::Types(one(), talk),
            Whisper::Active,
            Whisper::Choices(Vec::new()),
        ] {
            world.whispers_on_link(0, link, whisper);
        }
        clients.pass(&mut world, SECOND);
        if round == 0 {
            most = memory(&world);
        }
    }
    assert_eq!(disks(&world), before);
    assert_eq!(memory(&world), most, "what strangers say takes room");
    let shown =
        clients.all[0].events.iter().filter(|event| matches!(event, Event::Presence { .. } | Event::Typing { .. }));
    assert_eq!(shown.count(), 0, "{:#?}", clients.all[0].events);
    let refused = |why: &PeerFault| {
        let by = |event: &(usize, _, server::Event)| matches!(event, (0, _, server::Event::Refused { peer: Peer::Node(_), why: was }) if was == why);
        world.events.iter().any(by)
    };
    assert!(refused(&PeerFault::NoConversation) && refused(&PeerFault::Frame("what one node whispers to another")));
    assert!(world.connections().any(|up| up == link), "the link is up");
    whole(&world);
}

/// Attack 95: writing is told only where the person allows it, once in three seconds, and ends by itself or by what is said.
/// [W-7]
#[test]
fn t_095_writing_is_told_where_it_is_allowed_and_not_too_often() {
    let (mut world, mut clients, talk) = two_phones();
    let types = Command::Typing { conversation: talk };
    clients.command(&mut world, 0, types.clone());
    clients.pass(&mut world, SECOND);
    assert_eq!((whispers(&mut world), writing(&clients, 1)), (vec![], vec![]), "off until it is allowed");
    clients.command(&mut world, 0, Command::AllowTyping(true));
    // A key every tenth of a second, for six seconds.
    for _ in 0..60 {
        clients.command(&mut world, 0, types.clone());
        clients.pass(&mut world, 100);
    }
    assert_eq!(whispers(&mut world), vec![Whisper::Types(one(), talk); 2]);
    assert_eq!(writing(&clients, 1), [true]);
    clients.write(&mut world, 0, &two(), "said");
    clients.pass(&mut world, SECOND);
    assert_eq!(writing(&clients, 1), [true, false], "what was written is here");
    clients.command(&mut world, 0, types);
    clients.pass(&mut world, limits::TYPING_MS + SECOND);
    assert_eq!(writing(&clients, 1), [true, false, true, false], "or nothing was");
    let nowhere = ConversationId([9; 32]);
    clients.command(&mut world, 0, Command::Typing { conversation: nowhere });
    assert!(clients.all[0].events.contains(&Event::Declined(Declined::NoConversation(nowhere))));
    // It outlives a restart of the device that it is allowed.
    clients.restart(&mut world, 0);
    clients.pass(&mut world, 60_000);
    clients.command(&mut world, 0, Command::Typing { conversation: talk });
    clients.pass(&mut world, SECOND);
    assert_eq!(writing(&clients, 1).len(), 5);
    whole(&world);
}

/// What was taken back on one device is taken back on all, one that wasn't there too; and no device agrees to what was agreed to
/// on another. [W-1] [W-10]
#[test]
fn what_is_taken_back_on_one_device_is_taken_back_on_all() {
    let (mut world, mut clients, _) = agreed();
    let tablet = clients.further(&mut world, 0);
    clients.command(&mut world, 1, Command::Active);
    clients.pass(&mut world, MINUTE);
    assert_eq!(
        (agreements(&clients, tablet), seen(&clients, tablet, &two())),
        (vec![], None),
        "each by their own word"
    );
    agree(&mut world, &mut clients, tablet, &two(), true);
    assert!(matches!(seen(&clients, tablet, &two()), Some(Some(_))), "what is no news is told too");
    agree(&mut world, &mut clients, tablet, &two(), false);
    assert_eq!(agreements(&clients, 0), [true, false]);
    assert_eq!((seen(&clients, 0, &two()), seen(&clients, 1, &one())), (Some(None), Some(None)));
    // Once more on the one, while the other is away: it comes back with what it knew, and is told.
    agree(&mut world, &mut clients, 0, &two(), true);
    agree(&mut world, &mut clients, tablet, &two(), true);
    assert_eq!(seen(&clients, 1, &one()), Some(Some(Seen::Here)));
    clients.reach(&mut world, tablet, false);
    agree(&mut world, &mut clients, 0, &two(), false);
    assert_eq!(seen(&clients, 1, &one()), Some(None));
    whispers(&mut world);
    clients.reach(&mut world, tablet, true);
    clients.command(&mut world, tablet, Command::Connect);
    clients.pass(&mut world, 120_000);
    clients.command(&mut world, tablet, Command::Active);
    clients.pass(&mut world, SECOND);
    assert_eq!(agreements(&clients, tablet).last(), Some(&false));
    assert_eq!((whispers(&mut world), seen(&clients, 1, &one())), (vec![], Some(None)), "not for a moment");
    whole(&world);
}

/// [W-4] [W-6]: a link that is cut for a while shows nowhere; one that stays down is nobody there.
#[test]
fn what_is_known_outlives_a_link_by_a_lease() {
    let (mut world, mut clients, _) = agreed();
    clients.all[1].events.clear();
    world.crash(0);
    clients.pass(&mut world, 2 * MINUTE);
    // One's device has said again what its person chose, and nobody has stirred.
    assert_eq!(seen(&clients, 1, &one()), Some(None), "a node that was down knows nothing");
    clients.command(&mut world, 0, Command::Active);
    clients.pass(&mut world, SECOND);
    assert_eq!(seen(&clients, 1, &one()), Some(Some(Seen::Here)));
    whole(&world);
}

/// Two people of one node whisper within it. [W-2] [W-3]
#[test]
fn two_of_one_node_see_each_other_and_no_longer_once_one_blocks() {
    let mut world = World::of(&["a.example", "b.example"]);
    let (ann, dan) = (Address::parse("ann@a.example").unwrap(), Address::parse("dan@a.example").unwrap());
    for name in ["ann", "dan"] {
        world.nodes[0].users.insert(postline_core::id::Mailbox(name.to_owned()));
    }
    world.write(&draft(&ann, &dan, "first"));
    world.pass(SECOND);
    world.write(&draft(&dan, &ann, "reply").answering(&id("first")));
    world.pass(SECOND);
    let mut clients = Clients::default();
    for who in [&ann, &dan] {
        clients.add(&mut world, who);
    }
    clients.pass(&mut world, 2_000);
    clients.write(&mut world, 0, &dan, "hello");
    clients.pass(&mut world, 2_000);
    let talk = clients.all[1].events.iter().find_map(|event| match event {
        Event::Said(said) => Some(said.conversation),
        _ => None,
    });
    agree(&mut world, &mut clients, 0, &dan, true);
    assert_eq!((seen(&clients, 0, &dan), seen(&clients, 1, &ann)), (None, None));
    agree(&mut world, &mut clients, 1, &ann, true);
    assert_eq!([seen(&clients, 0, &dan), seen(&clients, 1, &ann)], [Some(Some(Seen::Here)); 2]);
    clients.command(&mut world, 0, Command::AllowTyping(true));
    clients.command(&mut world, 0, Command::Typing { conversation: talk.unwrap() });
    clients.pass(&mut world, 100);
    assert_eq!(writing(&clients, 1), [true]);
    clients.command(&mut world, 1, Command::Block(ann.clone()));
    clients.pass(&mut world, 100);
    assert_eq!((seen(&clients, 0, &dan), seen(&clients, 1, &ann)), (Some(None), Some(None)));
    clients.command(&mut world, 0, Command::Active);
    clients.command(&mut world, 1, Command::Active);
    clients.pass(&mut world, 3 * MINUTE);
    assert_eq!((seen(&clients, 0, &dan), seen(&clients, 1, &ann)), (Some(None), Some(None)));
    let keys = world.nodes[0].disk.records().filter(|record| matches!(record.key, Key::Trust(_))).count();
    assert!(keys > 0 && world.nodes[0].trust(&pair(&dan, &ann)).line().is_none());
    whole(&world);
}
