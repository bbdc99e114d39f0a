//! Express mail falls back to SMTP after its minute, and is shown once, whichever copy comes first (attack 38).

use postline_core::server::io::{Carrier, Mark};
use postline_core::time::{MINUTE, SECOND};
use postline_world::weather::{Fault, Weather};

use crate::kit::{a_line, draft, marks, one, shown, two, whole};

/// [E-7]
#[test]
fn an_express_mail_goes_by_smtp_when_its_minute_is_over() {
    let mut world = a_line();
    world.weather = Weather::calm().with(Fault::Unreachable, 1_000);
    world.connections().collect::<Vec<_>>().into_iter().for_each(|link| world.cut(link));
    world.pass(SECOND);
    world.write(&draft(&one(), &two(), "late"));
    world.pass(50 * SECOND);
    assert_eq!(shown(&world, &two(), "late"), 0);
    world.pass(15 * SECOND);
    assert_eq!(shown(&world, &two(), "late"), 1);
    assert_eq!(marks(&world, 0, "late"), [(Mark::Sent, Carrier::Smtp)]);
    whole(&world);
}

/// The link brings the mail, but its Ack never comes back; a minute later the copy by SMTP is known for one. [E-4] [E-5]
#[test]
fn t_038_the_copy_by_mail_after_the_one_by_link_is_not_shown() {
    let mut world = a_line();
    let link = world.connections().next().unwrap();
    world.weather = Weather::calm().with(Fault::Unreachable, 1_000);
    // Either end may have dialled: what b says to a is lost, what a says to b arrives.
    let b_end = world.end_of(link, 1).unwrap();
    world.silence(link, b_end);
    world.write(&draft(&one(), &two(), "twice"));
    world.pass(3 * MINUTE);
    assert_eq!(shown(&world, &two(), "twice"), 1);
    assert_eq!(marks(&world, 0, "twice"), [(Mark::Sent, Carrier::Smtp)], "the sender knows of the second only");
    whole(&world);
}

/// The copy by SMTP comes first; the link, up again, still has the mail to bring. [E-5]
#[test]
fn t_038_the_copy_by_link_after_the_one_by_mail_is_not_shown() {
    let mut world = a_line();
    let link = world.connections().next().unwrap();
    world.weather = Weather::calm().with(Fault::SlowLink, 0);
    world.hold(link, 90 * SECOND);
    world.write(&draft(&one(), &two(), "twice"));
    world.pass(4 * MINUTE);
    assert_eq!(shown(&world, &two(), "twice"), 1);
    whole(&world);
}
