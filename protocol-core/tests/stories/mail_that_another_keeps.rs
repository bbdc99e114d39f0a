//! A mail server beside the node keeps its users' mail: the node stamps it, and takes it back where there is a line.

use postline_core::content::mail::{Canonical, Filtered, Rcpt, Source};
use postline_core::id::{Address, Lane, MailId, Mailbox};
use postline_core::limits;
use postline_core::machine::trust::TrustState;
use postline_core::server::{Command, Input, Output, Took};
use postline_core::time::{Millis, SECOND};
use postline_world::bytes::{blob_of, mail_in};
use postline_world::node::Committed;
use postline_world::world::World;

use crate::kit::{a_line, draft, one, pair, two, two_nodes};

const MAIL: MailId = MailId([7; 16]);

fn to(who: &Address) -> Vec<Rcpt> {
    vec![Rcpt { address: who.clone(), mailbox: None }]
}

/// What one wrote to two, without a field of ours.
fn plain(id: &str) -> Vec<u8> {
    let mail = String::from_utf8(draft(&one(), &two(), id).bytes()).unwrap();
    assert!(!mail.contains("Postline-"));
    mail.into_bytes()
}

fn read(mail: &[u8]) -> Canonical {
    mail_in(mail, Source::Stranger, None, Vec::new()).head.canonical().unwrap().clone()
}

fn filter(mail: &[u8]) -> Input {
    filter_as(MAIL, mail)
}

fn filter_as(id: MailId, mail: &[u8]) -> Input {
    let canonical = read(mail);
    Input::Filter(id, Box::new(Filtered { to: to(&two()), canonical }))
}

fn effects(world: &mut World, at: Millis, input: Input, body: Option<Vec<u8>>) -> Vec<Output> {
    world.nodes[0].step(at, input, body).unwrap();
    match world.nodes[0].commit().unwrap() {
        Committed::Effects(effects) => effects,
        Committed::Failed => Vec::new(),
    }
}

/// One's mail to two, stamped at `at`.
fn stamped(world: &mut World, at: Millis, id: &str) -> Vec<u8> {
    stamped_as(MAIL, world, at, id)
}

fn stamped_as(known: MailId, world: &mut World, at: Millis, id: &str) -> Vec<u8> {
    let mail = plain(id);
    let stamp = effects(world, at, filter_as(known, &mail), None).into_iter().find_map(|effect| match effect {
        Output::Stamp(of, fields) if of == known => Some(fields),
        _ => None,
    });
    let mut whole: Vec<u8> = stamp.unwrap().iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
    whole.extend_from_slice(&mail);
    whole
}

/// Who the node takes a mail for that comes back.
fn taken(world: &mut World, at: Millis, mail: &[u8], from: Option<Address>) -> Vec<Address> {
    let source = Source::Relay { sender: Some(Mailbox("one".to_owned())) };
    let input = Input::Mail(MailId([9; 16]), mail_in(mail, source, from, to(&two())));
    let answer = effects(world, at, input, Some(mail.to_vec())).into_iter().find_map(|effect| match effect {
        Output::TookFor(_, rcpts) => Some(rcpts),
        _ => None,
    });
    answer.unwrap()
}

/// [E-11]
#[test]
fn a_stamp_leaves_once_its_offer_is_durable_and_nothing_is_queued() {
    let mut world = two_nodes();
    let mail = plain("kept");
    let now = world.now;
    world.nodes[0].step(now, filter(&mail), None).unwrap();
    world.nodes[0].disk.fails_after = Some(0);
    assert_eq!(world.nodes[0].commit().unwrap(), Committed::Failed, "no stamp leaves");
    world.nodes[0].disk.fails_after = None;
    let state = |world: &World| world.nodes[0].trust(&pair(&one(), &two())).state();
    assert_eq!(state(&world), TrustState::Stranger);

    let whole = stamped(&mut world, now, "kept");
    let canonical = read(&whole);
    assert!(canonical.offer.is_some() && canonical.accept.is_none());
    assert_eq!(canonical.carried.as_ref().unwrap()["id"].len(), 22, "its id");
    assert_eq!(state(&world), TrustState::Offered);
    assert_eq!(world.nodes[0].server.as_ref().unwrap().lanes().count(), 0, "whoever asked keeps it");
}

/// [E-12]
#[test]
fn a_stamped_mail_goes_by_link_under_its_own_id_and_once() {
    let mut world = a_line();
    let now = world.now;
    let whole = stamped(&mut world, now, "back");
    for _ in 0..3 {
        assert_eq!(taken(&mut world, now, &whole, Some(one())), [two()]);
    }
    let lanes: Vec<_> =
        world.nodes[0].server.as_ref().unwrap().lanes().map(|(lane, queue)| (lane.clone(), queue.len())).collect();
    assert_eq!(lanes, [(Lane::Node(world.nodes[1].nk()), 1)]);
    let lane = world.nodes[0].server.as_ref().unwrap().lanes().next().unwrap().1;
    let entry = lane.entry(MAIL).unwrap();
    assert_eq!(entry.letter.text.blob(), blob_of(&whole), "byte for byte");
    assert_eq!(entry.express, None, "it bears its id, and gets no second one");
}

/// [E-12]
#[test]
fn what_is_not_what_was_stamped_stays_with_who_kept_it() {
    let mut world = a_line();
    let now = world.now;
    let whole = stamped(&mut world, now, "mine");
    let text = String::from_utf8(whole.clone()).unwrap();
    let late = now.plus(limits::RELAY_MS + SECOND);
    let nobody: [Address; 0] = [];
    assert_eq!(taken(&mut world, now, &whole, None), nobody, "a bounce");
    assert_eq!(taken(&mut world, now, &whole, Some(two())), nobody, "another sender");
    assert_eq!(taken(&mut world, now, &plain("mine"), Some(one())), nobody, "no id");
    let other = text.replace("Subject:", "Subject: not");
    assert_ne!(other, text);
    assert_eq!(taken(&mut world, now, other.as_bytes(), Some(one())), nobody, "another text");
    // The other node's key signs as well as ours, and means nothing here.
    let theirs = world.nodes[1].identity();
    assert_ne!(theirs.nk(), world.nodes[0].nk());
    world.nodes.swap(0, 1);
    let foreign = stamped(&mut world, now, "mine");
    world.nodes.swap(0, 1);
    assert_eq!(taken(&mut world, now, &foreign, Some(one())), nobody, "another node's id");
    assert_eq!(taken(&mut world, now, &whole, Some(one())), [two()], "and what was stamped goes");
    let other = stamped(&mut world, now, "late");
    assert_eq!(taken(&mut world, late, &other, Some(one())), nobody, "too old");
}

#[test]
fn t_102_a_mail_that_loops_is_refused_at_every_door() {
    let mut world = a_line();
    let now = world.now;
    let whole = stamped(&mut world, now, "round");
    let hops = |count: usize| [b"Received: from x by y\r\n".repeat(count), whole.clone()].concat();
    for source in [Source::Front, Source::Relay { sender: None }] {
        for (count, loops) in [(limits::HOPS, false), (limits::HOPS + 1, true)] {
            let mail = hops(count);
            let input = Input::Mail(MailId([9; 16]), mail_in(&mail, source.clone(), Some(one()), to(&two())));
            let effects = effects(&mut world, now, input, Some(mail.clone()));
            let refused = effects.iter().any(|effect| matches!(effect, Output::Took(_, Took::Loop)));
            assert_eq!(refused, loops, "{count} fields, {source:?}");
        }
    }
}

/// A peer with a line may sign as many copies as it likes: they wait in bounds, and the server beside us keeps the rest.
#[test]
fn t_012_a_copy_that_finds_no_room_stays_with_the_server_beside_us() {
    let mut world = a_line();
    let now = world.now;
    let first = stamped(&mut world, now, "first");
    let second = stamped_as(MailId([8; 16]), &mut world, now, "second");
    world.nodes.swap(0, 1);
    let rcpts = vec![Rcpt { address: two(), mailbox: Some(Mailbox("two".to_owned())) }];
    let came = |mail: &[u8], id, source, from| Input::Mail(MailId(id), mail_in(mail, source, from, rcpts.clone()));
    let told = |effects: Vec<Output>| {
        let mut told = effects.into_iter().filter_map(|effect| match effect {
            Output::TookFor(_, rcpts) => Some(Ok(rcpts)),
            Output::Took(_, took) => Some(Err(took)),
            _ => None,
        });
        told.next().unwrap()
    };
    let waiting =
        |world: &World| world.nodes[0].server.as_ref().unwrap().lanes().map(|(_, queue)| queue.len()).sum::<usize>();
    let effects_of = |world: &mut World, mail: &[u8], id| {
        told(effects(world, now, came(mail, id, Source::Front, Some(one())), Some(mail.to_vec())))
    };
    assert_eq!(effects_of(&mut world, &first, [1; 16]), Ok(vec![two()]), "there is room, and it is ours");
    let other = b"From: x@c.example\r\nTo: two@b.example\r\nMessage-ID: <x@c.example>\r\n\r\nhi\r\n".to_vec();
    // Going down is the quickest way to have no room.
    effects(&mut world, now, Input::Command(Command::Drain), None);
    let stranger = came(&other, [5; 16], Source::Stranger, None);
    assert_eq!(told(effects(&mut world, now, stranger, Some(other.clone()))), Err(Took::Busy));
    assert_eq!(effects_of(&mut world, &second, [2; 16]), Err(Took::Busy), "and now there is none");
    assert_eq!(effects_of(&mut world, &first, [3; 16]), Ok(vec![two()]), "what is here already needs none");
    assert_eq!(effects_of(&mut world, &other, [4; 16]), Ok(Vec::new()), "and what is not ours goes on as mail");
    assert_eq!(waiting(&world), 1);
}

/// What the link brought and could not say so comes by mail as well; who was Bcc'd knows it as those who are named do.
#[test]
fn t_038_a_copy_for_who_was_bcced_is_known_after_a_restart() {
    let mut world = a_line();
    let now = world.now;
    let other = Address::parse("other@b.example").unwrap();
    let mail = draft(&one(), &other, "bcc").bytes();
    let stamp = effects(&mut world, now, filter(&mail), None).into_iter().find_map(|effect| match effect {
        Output::Stamp(MAIL, fields) => Some(fields),
        _ => None,
    });
    let mut whole: Vec<u8> = stamp.unwrap().iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
    whole.extend_from_slice(&mail);
    world.nodes.swap(0, 1);
    let rcpts = vec![Rcpt { address: two(), mailbox: Some(Mailbox("two".to_owned())) }];
    let shown = |effects: &[Output]| effects.iter().filter(|effect| matches!(effect, Output::Deliver(..))).count();
    for (id, times) in [([1; 16], 1), ([2; 16], 0)] {
        world.nodes[0].crash();
        world.nodes[0].start().unwrap();
        let input = Input::Mail(MailId(id), mail_in(&whole, Source::Front, Some(one()), rcpts.clone()));
        let effects = effects(&mut world, now, input, Some(whole.clone()));
        assert!(effects.iter().any(|effect| matches!(effect, Output::TookFor(_, rcpts) if *rcpts == [two()])));
        assert_eq!(shown(&effects), times, "{effects:?}");
    }
}
