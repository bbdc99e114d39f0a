//! One node, several people and several domains ([T-20]).

use postline_core::id::{Address, Domain, Mailbox};
use postline_core::machine::trust::TrustState;
use postline_core::server::io::{Carrier, Mark};
use postline_core::server::{Command, Event};
use postline_core::time::{MINUTE, SECOND};
use postline_world::world::{Trouble, World};

use crate::kit::{by_link, draft, id, marks, pair, shown, whole};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// A node of two domains with two people, and another node.
fn big() -> World {
    let mut world = World::of(&["a.example", "b.example"]);
    world.nodes[0].also.insert(Domain::parse("d.example").unwrap());
    world.nodes[0].start().unwrap();
    for (node, name) in [(0, "ann"), (0, "dan"), (1, "bob")] {
        world.nodes[node].users.insert(Mailbox(name.to_owned()));
    }
    world
}

fn state(world: &World, ours: &Address, theirs: &Address) -> TrustState {
    world.nodes[world.home(ours).unwrap()].trust(&pair(ours, theirs)).state()
}

/// [T-20]
#[test]
fn two_people_of_one_node_have_a_line_by_a_mail_and_its_reply() {
    for other in ["dan@a.example", "dan@d.example"] {
        let (mut world, ann, dan) = (big(), address("ann@a.example"), address(other));
        world.write(&draft(&ann, &dan, "first"));
        world.pass(SECOND);
        assert_eq!((state(&world, &ann, &dan), state(&world, &dan, &ann)), (TrustState::Offered, TrustState::Held));
        world.write(&draft(&dan, &ann, "unrelated").automatic().answering(&id("first")));
        world.pass(SECOND);
        assert_eq!(state(&world, &dan, &ann), TrustState::Held, "a machine answers nothing");
        world.write(&draft(&dan, &ann, "reply").answering(&id("first")));
        world.pass(SECOND);
        for (ours, theirs) in [(&ann, &dan), (&dan, &ann)] {
            assert_eq!(state(&world, ours, theirs), TrustState::Trusted, "{:#?}", world.events);
        }
        let t2 = |ours, theirs| world.nodes[0].trust(&pair(ours, theirs)).t2();
        assert_eq!(t2(&ann, &dan), t2(&dan, &ann));
        world.write(&draft(&ann, &dan, "third"));
        world.pass(MINUTE);
        assert_eq!(world.broken, None);
        assert_eq!(marks(&world, 0, "third"), [(Mark::Delivered, Carrier::Mailbox)]);
        assert_eq!(shown(&world, &dan, "third"), 1);
        assert!(!world.events.iter().any(|(_, _, event)| matches!(event, Event::LinkUp { .. })), "no link");
        assert!(world.looked_up(0).is_empty(), "nobody is asked");
        // The node's key says nothing about its own people, and a crash takes nothing away.
        world.plan(0, Trouble::Rekey(0));
        world.pass(4 * MINUTE);
        world.write(&draft(&dan, &ann, "fourth"));
        world.pass(MINUTE);
        assert_eq!(state(&world, &ann, &dan), TrustState::Trusted);
        whole(&world);
    }
}

#[test]
fn a_block_within_one_node_ends_the_line_and_a_round_trip_brings_it_back() {
    let (mut world, ann, dan) = (big(), address("ann@a.example"), address("dan@a.example"));
    let round = |world: &mut World, names: [&str; 2]| {
        world.write(&draft(&ann, &dan, names[0]));
        world.pass(SECOND);
        world.write(&draft(&dan, &ann, names[1]).answering(&id(names[0])));
        world.pass(SECOND);
    };
    round(&mut world, ["first", "reply"]);
    world.command(0, Command::Block(pair(&ann, &dan)));
    world.pass(SECOND);
    round(&mut world, ["second", "second-reply"]);
    assert_eq!(state(&world, &ann, &dan), TrustState::Revoked);
    assert_ne!(state(&world, &dan, &ann), TrustState::Trusted);
    assert_eq!(shown(&world, &ann, "second-reply"), 1, "mail is mail");
    world.command(0, Command::Unblock(pair(&ann, &dan)));
    world.pass(SECOND);
    round(&mut world, ["third", "third-reply"]);
    assert_eq!(state(&world, &ann, &dan), TrustState::Trusted, "{:#?}", world.events);
    assert_eq!(state(&world, &dan, &ann), TrustState::Trusted);
    whole(&world);
}

/// [T-26]: each domain is spoken for by itself; a Hello names the two that are dialled.
#[test]
fn a_node_of_several_domains_has_lines_for_each_over_one_link() {
    let (mut world, bob) = (big(), address("bob@b.example"));
    for (turn, who) in ["ann@a.example", "dan@d.example"].into_iter().enumerate() {
        let who = address(who);
        world.write(&draft(&bob, &who, &format!("first-{turn}")));
        world.pass(MINUTE);
        world.write(&draft(&who, &bob, &format!("reply-{turn}")).answering(&id(&format!("first-{turn}"))));
        world.pass(MINUTE);
        assert_eq!(state(&world, &bob, &who), TrustState::Trusted, "{:#?}", world.events);
        let name = format!("express-{turn}");
        world.write(&draft(&who, &bob, &name));
        world.pass(MINUTE);
        assert!(by_link(&world, 0, &name));
    }
    let ups = world.events.iter().filter(|(node, _, event)| *node == 1 && matches!(event, Event::LinkUp { .. }));
    assert_eq!(ups.count(), 1, "one link for both");
    // The word of one domain says nothing about the other.
    let d = Domain::parse("d.example").unwrap();
    world.says(&d, world.nodes[1].nk());
    world.pass(2 * 24 * 60 * MINUTE);
    for turn in 0..2 {
        for who in ["ann@a.example", "dan@d.example"] {
            world.write(&draft(&bob, &address(who), &format!("later-{turn}-{who}")));
        }
        world.pass(SECOND);
    }
    assert_eq!(state(&world, &bob, &address("ann@a.example")), TrustState::Trusted);
    assert_eq!(state(&world, &bob, &address("dan@d.example")), TrustState::Suspended);
    whole(&world);
}
