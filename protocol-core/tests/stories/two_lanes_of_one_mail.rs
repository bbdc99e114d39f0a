//! One mail to two people of one domain, of whom one has a line: where the link fails, both wait for the same server, and
//! the copy for the one who has a line is still known for one (attack 38).

use postline_core::id::{Address, Mailbox};
use postline_core::time::{MINUTE, SECOND};
use postline_world::bytes::Draft;
use postline_world::weather::{Fault, Weather};

use crate::kit::{a_line, one, shown, two, whole};

#[test]
fn t_038_a_copy_that_joins_a_waiting_mail_keeps_what_it_is_known_by() {
    let mut world = a_line();
    world.nodes[1].users.insert(Mailbox("three".to_owned()));
    let three = Address::parse("three@b.example").unwrap();
    let link = world.connections().next().unwrap();
    let b_end = world.end_of(link, 1).unwrap();
    world.silence(link, b_end);
    // The server of b.example takes nothing for some minutes, and a's dials meet nobody.
    world.weather = Weather::calm().with(Fault::Unreachable, 1_000).with(Fault::SmtpLater, 1_000);
    world.write(&Draft::new(&one(), &[two(), three.clone()], "both"));
    world.pass(30 * SECOND);
    assert_eq!((shown(&world, &two(), "both"), shown(&world, &three, "both")), (1, 0), "the link brought one copy");
    world.pass(2 * MINUTE);
    world.weather = Weather::calm();
    world.pass(30 * MINUTE);
    assert_eq!((shown(&world, &two(), "both"), shown(&world, &three, "both")), (1, 1));
    whole(&world);
}
