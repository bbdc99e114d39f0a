//! Sessions of devices with their own node, through the front door.

use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, ConversationId, SessionId};
use postline_core::limits;
use postline_core::server::io::Peer;
use postline_core::server::{Command, Event, SessionIn, SessionOut};
use postline_core::time::HOUR;
use postline_core::wire::frame::Frame;
use postline_core::wire::log::{direct, tag};
use postline_core::wire::talk::{Kind, Origin, Password, Post, Question, Talk};
use postline_world::world::World;

use crate::kit::{a_line, one, pair, two, two_nodes};
use crate::people::{People, Person, all_up};

fn sessions(world: &World, node: usize) -> (usize, usize) {
    world.nodes[node].server.as_ref().unwrap().sessions()
}

#[test]
fn a_device_enrols_by_its_mailbox_login_and_then_comes_back_by_its_key() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let phone = people.online(&mut world, &one());
    assert_eq!((people.checks, people.devices[phone].ready.as_ref().unwrap().last_seen), (1, 0));
    let enrolled = |event: &Event| matches!(event, Event::Enrolled { address, .. } if *address == one());
    assert!(world.events.iter().any(|(_, _, event)| enrolled(event)));
    people.leave(&mut world, phone);
    assert_eq!(sessions(&world, 0), (0, 0));
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    assert!(people.devices[phone].is_up() && people.checks == 1, "no login any more");
    // A crash forgets the session, and not the device.
    world.crash(0);
    all_up(&mut world);
    assert_eq!(sessions(&world, 0), (0, 0));
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    assert!(people.devices[phone].is_up() && people.checks == 1);
}

#[test]
fn t_106_whoever_may_not_enrol_hears_the_same() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let nobody = Address::parse("nobody@a.example").unwrap();
    let cases = [
        (one(), Some((one().to_string(), "wrong"))),
        // A good login, and an address that it may not speak for.
        (one(), Some((two().to_string(), "secret"))),
        (nobody.clone(), Some((nobody.to_string(), "wrong"))),
        // A device that nobody enrolled.
        (one(), None),
    ];
    for (address, login) in cases {
        let index = people.add(&world, &address);
        people.devices[index].login = login.map(|(user, password)| (user, password.to_owned()));
        people.connect(&mut world, index);
        people.pass(&mut world, 10);
        assert_eq!(people.devices[index].left, Some(Code::Login), "{address}");
    }
    assert_eq!(sessions(&world, 0), (0, 0));
    assert!(!world.events.iter().any(|(_, _, event)| matches!(event, Event::Enrolled { .. })));
}

#[test]
fn t_084_guessing_passwords_is_slow_for_who_lives_here_and_for_who_does_not() {
    for address in [one(), Address::parse("nobody@a.example").unwrap()] {
        let (mut world, mut people) = (two_nodes(), People::default());
        let tries = |people: &mut People, world: &mut World, password: &str| {
            let index = people.add(world, &address);
            people.devices[index].login = Some((one().to_string(), password.to_owned()));
            people.connect(world, index);
            people.pass(world, 10);
            let left = people.devices[index].left;
            people.devices.pop();
            left
        };
        for _ in 0..limits::DEVICE_LOGINS_PER_ADDRESS {
            assert_eq!(tries(&mut people, &mut world, "wrong"), Some(Code::Login));
        }
        let checks = people.checks;
        assert_eq!(tries(&mut people, &mut world, "wrong"), Some(Code::Busy));
        assert_eq!(tries(&mut people, &mut world, "secret"), Some(Code::Busy));
        assert_eq!(people.checks, checks, "the host isn't even asked");
        world.pass(HOUR);
        let after = tries(&mut people, &mut world, "secret");
        assert_eq!(after, if address == one() { None } else { Some(Code::Login) });
    }
}

/// [U-10]
#[test]
fn a_device_that_connects_again_replaces_itself() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let phone = people.online(&mut world, &one());
    let tablet = people.online(&mut world, &one());
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    assert!(people.devices[phone].is_up() && people.devices[tablet].is_up());
    assert_eq!(sessions(&world, 0), (2, 0));
    let replaced = |event: &Event| matches!(event, Event::SessionDown { code: Code::Glare, .. });
    assert_eq!(world.events.iter().filter(|(_, _, event)| replaced(event)).count(), 1);
}

/// [U-8]
#[test]
fn a_revoked_device_is_put_out_and_stays_out() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let phone = people.online(&mut world, &one());
    let dk = people.devices[phone].keys.dk();
    world.command(0, Command::RevokeDevice(two(), dk));
    people.pass(&mut world, 10);
    assert!(people.devices[phone].is_up(), "it isn't theirs to revoke");
    world.command(0, Command::RevokeDevice(one(), dk));
    people.pass(&mut world, 10);
    assert_eq!(people.devices[phone].left, Some(Code::Login));
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    assert_eq!(people.devices[phone].left, Some(Code::Login));
}

/// [U-8]
#[test]
fn t_084_the_oldest_unlisted_device_makes_room_for_one_too_many() {
    let (mut world, mut people) = (two_nodes(), People::default());
    for _ in 0..limits::DEVICES {
        people.online(&mut world, &one());
    }
    let last = people.online(&mut world, &one());
    assert_eq!(people.devices[0].left, Some(Code::Login));
    assert!((1..=last).all(|index| people.devices[index].is_up()));
    assert_eq!(sessions(&world, 0), (limits::DEVICES, 0));
}

#[test]
fn t_062_a_copy_of_a_device_is_told_and_may_not_write() {
    let (mut world, mut people) = (a_line(), People::default());
    let phone = people.online(&mut world, &one());
    people.list(&mut world, &mut Person::new(&one(), 9), &[phone]);
    let talk = direct(world.nodes[0].trust(&pair(&one(), &two())).t2().unwrap());
    let origin = |number| Origin { device: tag(talk, people.devices[phone].keys.dk()), number };
    let post = |number, kind, members| {
        let (origin, bytes) = (origin(number), b"sealed".to_vec());
        Talk::Post(Post { conversation: talk, origin, kind, epoch: 0, members, bytes })
    };
    let (fifth, third) = (post(5, Kind::Create, vec![one(), two()]), post(3, Kind::Message, Vec::new()));
    people.devices[phone].say(&mut world, fifth);
    people.pass(&mut world, 50);
    // The same device, from a copy of its store of before: it would go on at 4.
    people.devices[phone].posted = 3;
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    let seen = people.devices[phone].ready.as_ref().unwrap().last_seen;
    let behind = PeerFault::Behind { got: 3, seen };
    assert_eq!(people.devices[phone].behind, (seen > 3).then(|| behind.clone()));
    assert_eq!(seen, 5);
    let dk = people.devices[phone].keys.dk();
    let told = Event::Refused { peer: Peer::Device(dk), why: behind };
    assert!(world.events.iter().any(|(_, _, event)| *event == told));
    people.devices[phone].say(&mut world, third);
    people.pass(&mut world, 10);
    let code = people.devices[phone].heard.iter().rev().find_map(|talk| match talk {
        Talk::Unposted { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(code, Some(Code::Behind));
    // The one that went on is no copy.
    people.devices[phone].posted = 5;
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    assert_eq!(people.devices[phone].behind, None);
}

#[test]
fn t_091_strangers_who_only_connect_make_room_for_others() {
    let (mut world, mut people) = (two_nodes(), People::default());
    for session in 0..limits::SESSION_GREETINGS as u64 {
        world.on_session(0, SessionId(1_000_000 + session), SessionIn::Up { channel: [1; 32] });
    }
    people.pass(&mut world, 1);
    assert_eq!(sessions(&world, 0), (0, limits::SESSION_GREETINGS));
    people.online(&mut world, &one());
    assert_eq!(sessions(&world, 0), (1, limits::SESSION_GREETINGS - 1));
    world.pass(limits::GREETING_MS);
    assert_eq!(sessions(&world, 0), (1, 0));
}

#[test]
fn t_084_what_only_a_node_says_and_logins_out_of_place_end_a_session() {
    let login = Talk::Login { user: "one".to_owned(), password: Password("secret".to_owned().into()) };
    let answer = Talk::Answer { number: 1, what: Err(Code::Goodbye) };
    for talk in [login, answer] {
        let (mut world, mut people) = (two_nodes(), People::default());
        let phone = people.online(&mut world, &one());
        people.devices[phone].blurt(&mut world, Frame::Talk(talk));
        people.pass(&mut world, 10);
        assert_eq!(people.devices[phone].left, Some(Code::Protocol));
    }
}

#[test]
fn a_node_that_drains_says_goodbye_to_devices() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let phone = people.online(&mut world, &one());
    world.command(0, Command::Drain);
    people.pass(&mut world, 10);
    assert_eq!(people.devices[phone].left, Some(Code::Goodbye));
    world.on_session(0, SessionId(99), SessionIn::Up { channel: [1; 32] });
    world.pass(10);
    assert!(world.to_devices.contains(&(0, SessionId(99), SessionOut::Close)));
}

#[test]
fn what_is_asked_of_a_conversation_that_is_not_there_is_refused() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let phone = people.online(&mut world, &one());
    people.list(&mut world, &mut Person::new(&one(), 9), &[phone]);
    let what = Question::Range { conversation: ConversationId([7; 32]), from: 1, to: 2 };
    assert_eq!(people.ask(&mut world, phone, what, 10), Some(Err(Code::NoConversation)));
}
