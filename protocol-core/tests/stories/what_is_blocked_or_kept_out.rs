//! The operator blocks a domain; a person wants no offers to go out ([T-24], [T-25], attack 12).

use postline_core::machine::trust::TrustState;
use postline_core::server::io::{Carrier, Mark};
use postline_core::server::{Command, Event};
use postline_core::time::MINUTE;

use crate::kit::{a_line, by_link, draft, id, marks, one, round_trip, shown, states, two, two_nodes, whole};

#[test]
fn t_012_a_blocked_domain_has_no_line_until_it_is_unblocked() {
    let mut world = a_line();
    let a = world.nodes[0].domain.clone();
    world.command(1, Command::BlockDomain(a.clone()));
    world.pass(MINUTE);
    world.crash(1);
    world.pass(4 * MINUTE);
    world.write(&draft(&one(), &two(), "blocked"));
    world.write(&draft(&two(), &one(), "out"));
    world.pass(5 * MINUTE);
    assert_eq!(marks(&world, 0, "blocked"), [(Mark::Sent, Carrier::Smtp)], "as any stranger's mail");
    assert_eq!(marks(&world, 1, "out"), [(Mark::Sent, Carrier::Smtp)]);
    assert_eq!((shown(&world, &two(), "blocked"), shown(&world, &one(), "out")), (1, 1));
    // No round trip leads back, and no field goes out.
    round_trip(&mut world, ["again", "answer"]);
    assert!(!world.events.iter().any(|(_, _, event)| matches!(event, Event::Trust { to: TrustState::Trusted, .. })));
    world.command(1, Command::UnblockDomain(a));
    world.pass(MINUTE);
    round_trip(&mut world, ["new", "new-reply"]);
    round_trip(&mut world, ["newer", "newer-reply"]);
    world.pass(5 * MINUTE);
    assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
    whole(&world);
}

/// [T-7]: what a stranger can see of a blocked domain, a blocked person, and somebody who never wrote is the same.
#[test]
fn t_106_a_blocked_domain_looks_like_a_blocked_person_and_like_silence() {
    let seen = |blocks: u8| {
        let mut world = two_nodes();
        let a = world.nodes[0].domain.clone();
        match blocks {
            0 => {}
            1 => world.command(1, Command::Block(crate::kit::pair(&two(), &one()))),
            _ => world.command(1, Command::BlockDomain(a)),
        }
        world.pass(MINUTE);
        world.write(&draft(&one(), &two(), "first"));
        world.pass(10 * MINUTE);
        world.looked_up(1)
    };
    assert_eq!(seen(0), seen(1));
    assert_eq!(seen(0), seen(2));
    assert_eq!(seen(0).len(), 1, "DKIM, once");
}

#[test]
fn who_keeps_offers_in_sends_none_and_accepts_none_and_keeps_the_lines() {
    for (node, who) in [(0, one()), (1, two())] {
        let mut world = two_nodes();
        world.command(node, Command::Offers(who.clone(), false));
        world.pass(MINUTE);
        world.crash(node);
        world.pass(4 * MINUTE);
        round_trip(&mut world, ["first", "reply"]);
        round_trip(&mut world, ["second", "second-reply"]);
        assert!(!states(&world).contains(&TrustState::Trusted));
        assert!(states(&world).iter().all(|state| *state != TrustState::Accepting), "{:?}", states(&world));
        world.command(node, Command::Offers(who.clone(), true));
        world.pass(MINUTE);
        round_trip(&mut world, ["third", "third-reply"]);
        round_trip(&mut world, ["fourth", "fourth-reply"]);
        assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
        world.command(node, Command::Offers(who, false));
        world.write(&draft(&one(), &two(), "express").answering(&id("fourth-reply")));
        world.pass(MINUTE);
        assert!(by_link(&world, 0, "express"), "lines stay");
        whole(&world);
    }
}
