//! A node changes its key to the one that it announced: it stays the same node, for everybody and everything (attacks 14,
//! 101). Any other key is another node's.

use postline_core::machine::trust::TrustState;
use postline_core::server::Event;
use postline_core::time::{DAY, HOUR, MINUTE, SECOND};
use postline_world::bytes::field_text;
use postline_world::world::{Trouble, World};

use crate::kit::{a_line, by_link, draft, id, one, pair, round_trip, shown, states, two, two_nodes, whole};

fn rotate(world: &mut World, node: usize) {
    world.plan(0, Trouble::Rotate(node));
    world.pass(4 * MINUTE);
}

fn rotations(world: &World, node: usize) -> usize {
    world.events.iter().filter(|(at, _, event)| *at == node && matches!(event, Event::Rotated { .. })).count()
}

/// Both write, and each mail goes by link.
fn both_write(world: &mut World, turn: usize) {
    world.write(&draft(&one(), &two(), &format!("from-one-{turn}")));
    world.write(&draft(&two(), &one(), &format!("from-two-{turn}")));
    world.pass(3 * MINUTE);
    assert!(by_link(world, 0, &format!("from-one-{turn}")), "turn {turn}: {:#?}", world.events);
    assert!(by_link(world, 1, &format!("from-two-{turn}")), "turn {turn}: {:#?}", world.events);
}

/// [K-4], [K-6].
#[test]
fn t_014_a_key_that_was_announced_takes_over_and_the_line_stays() {
    let mut world = a_line();
    world.says_its_key(1);
    let trust = world.nodes[0].trust(&pair(&one(), &two()));
    for (turn, node) in [1, 0, 1].into_iter().enumerate() {
        rotate(&mut world, node);
        both_write(&mut world, turn);
        assert_eq!(rotations(&world, 1 - node), 1, "people are told once");
        world.events.clear();
        world.pass(DAY);
    }
    let after = world.nodes[0].trust(&pair(&one(), &two()));
    assert_eq!((after.line(), after.t2()), (trust.line(), trust.t2()), "nothing moved");
    assert_eq!(states(&world), [TrustState::Trusted; 2]);
    whole(&world);
}

/// [K-6]: nothing that is under way is lost, and nothing is shown twice.
#[test]
fn t_107_what_is_under_way_when_the_key_changes_comes_once() {
    for delay in [0, 1, 2, 3, 5, 8, 20] {
        let mut world = a_line();
        let text = |n: usize| draft(&two(), &one(), &format!("way-{n}"));
        for n in 0..4 {
            world.write(&text(n));
            world.write(&draft(&one(), &two(), &format!("back-{n}")));
        }
        world.write(&text(4).of_size(70_000));
        world.pass(delay);
        rotate(&mut world, 1);
        world.pass(10 * MINUTE);
        for n in 0..5 {
            assert_eq!(shown(&world, &one(), &format!("way-{n}")), 1, "after {delay} ms");
        }
        for n in 0..4 {
            assert_eq!(shown(&world, &two(), &format!("back-{n}")), 1, "after {delay} ms");
        }
        assert!(world.is_settled());
        whole(&world);
    }
}

/// [K-7]: a field says which key comes next, so that the first link may be by that one.
#[test]
fn a_reply_to_an_offer_of_the_former_key_opens_the_line() {
    for node in [0, 1] {
        let mut world = two_nodes();
        world.write(&draft(&one(), &two(), "first"));
        world.pass(5 * SECOND);
        if node == 0 {
            rotate(&mut world, 0);
        }
        world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
        if node == 1 {
            world.pass(5);
            rotate(&mut world, 1);
        }
        // The node that was stopped asks for its evidence again, in its own time.
        world.pass(20 * MINUTE);
        assert_eq!(states(&world), [TrustState::Trusted; 2], "node {node}: {:#?}", world.events);
        assert_eq!(rotations(&world, 1 - node), 1);
        both_write(&mut world, 0);
        whole(&world);
    }
}

/// [K-6]: others of the node may be met first by a mail that the new key signed.
#[test]
fn mails_that_the_new_key_signed_before_its_first_link_are_of_the_same_node() {
    let mut world = a_line();
    let three = postline_core::id::Address::parse("three@b.example").unwrap();
    world.nodes[1].users.insert(postline_core::id::Mailbox("three".to_owned()));
    world.plan(0, Trouble::Apart(0, 1, true));
    world.plan(0, Trouble::Rotate(1));
    world.plan(4 * MINUTE, Trouble::Apart(0, 1, false));
    world.pass(4 * MINUTE + SECOND);
    world.write(&draft(&three, &one(), "from-three"));
    world.pass(MINUTE);
    world.write(&draft(&one(), &three, "to-three").answering(&id("from-three")));
    world.pass(5 * MINUTE);
    let trust = |theirs| world.nodes[0].trust(&pair(&one(), theirs));
    assert_eq!(trust(&three).state(), TrustState::Trusted, "{:#?}", world.events);
    assert_eq!(trust(&three).line(), trust(&two()).line(), "one node, one name");
    both_write(&mut world, 0);
    assert!(!world.events.iter().any(|(_, _, event)| matches!(event, Event::Trust { to: TrustState::Suspended, .. })));
    whole(&world);
}

/// [K-6]: whoever still has the old key is nobody.
#[test]
fn t_014_the_key_that_was_left_opens_nothing() {
    let mut world = a_line();
    rotate(&mut world, 1);
    both_write(&mut world, 0);
    world.crash(1);
    world.nodes[1].take_former_key();
    world.pass(4 * MINUTE);
    world.events.clear();
    for name in ["stolen", "stolen-too"] {
        world.write(&draft(&two(), &one(), name));
        world.pass(5 * MINUTE);
        assert!(!by_link(&world, 1, name));
        assert_eq!(shown(&world, &one(), name), 1, "it comes as any mail");
    }
    assert!(!world.events.iter().any(|(_, _, event)| matches!(event, Event::LinkUp { .. })), "{:#?}", world.events);
}

/// [K-6]: both must say so; else a node could name the key of another as its next, and be taken for it.
#[test]
fn t_014_a_node_that_announces_the_key_of_another_is_not_taken_for_it() {
    let mut world = a_line();
    let mut three = World::of(&["a.example", "b.example", "c.example"]);
    std::mem::swap(&mut world, &mut three);
    for (node, name) in [(0, "one"), (1, "two"), (2, "three")] {
        world.nodes[node].users.insert(postline_core::id::Mailbox(name.to_owned()));
    }
    world.nodes[1].announces = Some(world.nodes[2].nk());
    world.nodes[1].start().unwrap();
    round_trip(&mut world, ["first", "reply"]);
    assert_eq!(states(&world), [TrustState::Trusted; 2]);
    let three = postline_core::id::Address::parse("three@c.example").unwrap();
    world.write(&draft(&three, &one(), "third"));
    world.pass(MINUTE);
    world.write(&draft(&one(), &three, "answer").answering(&id("third")));
    world.pass(3 * MINUTE);
    let line = world.nodes[0].trust(&pair(&one(), &three)).line();
    assert_eq!(line, Some(world.nodes[2].nk()), "{:#?}", world.events);
    assert_eq!(rotations(&world, 0), 0);
    both_write(&mut world, 0);
    whole(&world);
}

/// [K-8]: a node that changes its key more than once while another is away is another node to it.
#[test]
fn a_node_that_was_away_for_two_changes_is_told_and_not_fooled() {
    let mut world = a_line();
    world.plan(0, Trouble::Apart(0, 1, true));
    world.plan(0, Trouble::Rotate(1));
    world.plan(HOUR, Trouble::Rotate(1));
    world.pass(HOUR + MINUTE);
    world.plan(0, Trouble::Apart(0, 1, false));
    world.write(&draft(&two(), &one(), "after"));
    world.pass(10 * MINUTE);
    assert_eq!(shown(&world, &one(), "after"), 1);
    assert_eq!(rotations(&world, 0), 0);
    whole(&world);
}

/// [K-7]: whoever brings a genuine offer of a former key again, while it still stands, moves nothing.
#[test]
fn t_014_an_offer_of_a_former_key_that_comes_again_suspends_nobody() {
    for answered in ["first", "second"] {
        let mut world = two_nodes();
        world.write(&draft(&one(), &two(), "first"));
        world.pass(MINUTE);
        rotate(&mut world, 0);
        world.write(&draft(&one(), &two(), "second"));
        world.pass(MINUTE);
        world.write(&draft(&two(), &one(), "reply").answering(&id(answered)));
        world.pass(20 * MINUTE);
        assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
        for turn in 0..3 {
            for name in ["first", "second"] {
                let mail = world.brings_again(&id(name), &two()).unwrap();
                assert!(field_text(&mail, "postline-offer").is_some());
                world.pass(5 * MINUTE);
                // Whatever is not on disk is forgotten.
                world.plan(0, Trouble::Crash(1));
                world.pass(5 * MINUTE);
            }
            assert_eq!(states(&world), [TrustState::Trusted; 2], "{answered}, turn {turn}: {:#?}", world.events);
            both_write(&mut world, turn);
            world.pass(DAY);
            rotate(&mut world, 0);
        }
        whole(&world);
    }
}
