//! The mail that carried the accept is lost: the next mail to the same people carries the same accept, and opens the line
//! without another round trip ([T-22]).

use postline_core::machine::trust::TrustState;
use postline_core::time::{MINUTE, SECOND};
use postline_world::weather::{Fault, Weather};

use crate::kit::{draft, id, one, states, two, two_nodes, whole};

#[test]
fn a_lost_accept_is_said_again_by_the_next_mail() {
    let mut world = two_nodes();
    world.write(&draft(&one(), &two(), "first"));
    world.pass(5 * SECOND);
    world.weather = Weather::calm().with(Fault::Relayed, 1_000).with(Fault::Delayed, 1_000);
    world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
    world.pass(SECOND);
    world.lose_mail();
    world.weather = Weather::calm();
    world.pass(5 * MINUTE);
    assert_eq!(states(&world), [TrustState::Offered, TrustState::Accepting]);
    world.crash(1);
    world.pass(5 * MINUTE);
    world.write(&draft(&two(), &one(), "did-you-get-it"));
    world.pass(MINUTE);
    assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
    assert_eq!(world.broken, None);
}

/// [T-4]: said twice, it counts once.
#[test]
fn t_003_an_accept_that_comes_twice_counts_once() {
    let mut world = two_nodes();
    world.write(&draft(&one(), &two(), "first"));
    world.pass(5 * SECOND);
    world.weather = Weather::calm().with(Fault::DnsTemporary, 1_000);
    world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
    world.write(&draft(&two(), &one(), "more"));
    world.pass(MINUTE);
    world.weather = Weather::calm();
    world.pass(60 * MINUTE);
    assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
    whole(&world);
}
