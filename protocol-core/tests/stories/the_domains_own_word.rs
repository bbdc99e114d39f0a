//! What a domain says of its node, against what DKIM says, in every order; and look-ups that fail (attack 100).

use postline_core::machine::trust::TrustState;
use postline_core::time::{DAY, HOUR, MINUTE, SECOND};
use postline_world::weather::{Fault, Weather};

use crate::kit::{draft, id, one, round_trip, states, two, two_nodes, whole};

/// [T-5]: DKIM is good on both sides; the domain of one names another key.
#[test]
fn t_100_a_domain_that_names_another_key_voids_dkim() {
    for (liar, says) in [(0, 1), (1, 0)] {
        let mut world = two_nodes();
        let (domain, nk) = (world.nodes[liar].domain.clone(), world.nodes[says].nk());
        world.says(&domain, nk);
        round_trip(&mut world, ["first", "reply"]);
        world.pass(10 * MINUTE);
        assert!(!states(&world).contains(&TrustState::Trusted), "{:#?}", world.events);
        whole(&world);
    }
}

/// [T-16]: what fails for now is asked again, for a day.
#[test]
fn t_100_evidence_that_comes_late_opens_the_line_late() {
    for hours in [1, 12, 23] {
        let mut world = two_nodes();
        world.weather = Weather::calm().with(Fault::DnsTemporary, 1_000);
        world.write(&draft(&one(), &two(), "first"));
        world.pass(5 * SECOND);
        world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
        world.pass(hours * HOUR);
        assert!(!states(&world).contains(&TrustState::Trusted));
        world.weather = Weather::calm();
        world.pass(HOUR);
        assert_eq!(states(&world), [TrustState::Trusted; 2], "after {hours} h: {:#?}", world.events);
        whole(&world);
    }
    // After a day the sources count as silent, and there is no line.
    let mut world = two_nodes();
    world.weather = Weather::calm().with(Fault::DnsTemporary, 1_000);
    round_trip(&mut world, ["first", "reply"]);
    world.pass(DAY + HOUR);
    world.weather = Weather::calm();
    world.pass(DAY);
    assert!(!states(&world).contains(&TrustState::Trusted), "{:#?}", world.events);
    whole(&world);
}
