//! Lists, forwarders and programs that answer by themselves never make two people trust each other (attacks 6, 7).

use postline_core::id::Address;
use postline_core::machine::trust::TrustState;
use postline_core::server::Event;
use postline_core::time::{HOUR, MINUTE};
use postline_world::bytes::Draft;
use postline_world::world::{Deed, FORWARDS, LISTS, ROBOTS, World};

use crate::kit::{draft, id, one, two, two_nodes, whole};

fn has_come_closer(world: &World) -> bool {
    let closer = [TrustState::Accepting, TrustState::Confirming, TrustState::Trusted];
    world.events.iter().any(|(_, _, event)| matches!(event, Event::Trust { to, .. } if closer.contains(to)))
}

#[test]
fn t_006_a_mailing_list_makes_no_line_neither_with_it_nor_with_its_members() {
    let mut world = two_nodes();
    let team = Address::parse(&format!("team@{LISTS}")).unwrap();
    for round in 0..6 {
        world.write(&draft(&one(), &team, &format!("to-all-{round}")));
        world.pass(MINUTE);
        // Whatever the list put into From: two answers it, and the list, too.
        world.plan_deed(0, Deed::Answer(two(), round, true));
        world.pass(MINUTE);
    }
    // An answer to what the list rewrote goes to the list; one to what it left alone reaches its author directly.
    let direct = world.ledger.has_written(&two(), &one());
    let team_knows = world.events.iter().any(|(_, _, event)| {
        matches!(event, Event::Trust { pair, to, .. } if pair.theirs == team && *to != TrustState::Offered)
    });
    assert!(!team_knows, "the list came closer than any address that was written to");
    assert!(!has_come_closer(&world), "direct answers: {direct}");
    whole(&world);
}

#[test]
fn t_007_a_vacation_notice_is_no_reply() {
    let mut world = two_nodes();
    world.write(&draft(&one(), &two(), "first"));
    world.pass(MINUTE);
    world.plan_deed(0, Deed::Vacation(two(), 0));
    world.pass(HOUR);
    assert_eq!(world.nodes[0].mailboxes.len(), 1, "the notice is shown");
    assert!(!has_come_closer(&world));
    whole(&world);
}

/// [O-6]
#[test]
fn t_007_a_robot_that_quotes_the_offer_is_no_correspondent() {
    let mut world = two_nodes();
    let robot = Address::parse(&format!("robot@{ROBOTS}")).unwrap();
    for round in 0..6 {
        world.write(&draft(&one(), &robot, &format!("hello-{round}")));
        world.pass(MINUTE);
    }
    assert_eq!(world.nodes[0].shelf.len(), 6, "its answers are shown");
    assert!(!has_come_closer(&world));
    whole(&world);
}

#[test]
fn a_forwarded_offer_is_none_for_whom_it_was_forwarded_to() {
    let mut world = two_nodes();
    let forward = Address::parse(&format!("two=b.example@{FORWARDS}")).unwrap();
    world.write(&draft(&one(), &forward, "by-the-way"));
    world.pass(MINUTE);
    world.write(&Draft::new(&two(), &[one()], "answer").answering(&id("by-the-way")));
    world.pass(HOUR);
    assert!(!has_come_closer(&world), "the offer was made to another address");
    whole(&world);
}
