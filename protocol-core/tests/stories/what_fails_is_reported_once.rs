//! Nothing ends in silence: who can't be reached is reported to the author, once, and to nobody else (attack 102).

use postline_core::id::Address;
use postline_core::server::Event;
use postline_core::server::io::Mark;
use postline_core::time::{DAY, HOUR, MINUTE};
use postline_world::bytes::Draft;
use postline_world::weather::{Fault, Weather};

use crate::kit::{a_line, draft, id, marks, one, shown, two, two_nodes, whole};

/// [E-1]
#[test]
fn an_unknown_recipient_goes_by_smtp_and_is_reported_while_the_other_gets_the_mail() {
    let mut world = a_line();
    let nobody = Address::parse("nobody@b.example").unwrap();
    world.write(&Draft::new(&one(), &[two(), nobody.clone()], "both"));
    world.pass(5 * MINUTE);
    assert_eq!(shown(&world, &two(), "both"), 1);
    assert!(world.ledger.is_reported(&id("both"), &nobody) && !world.ledger.is_reported(&id("both"), &two()));
    whole(&world);
}

/// [P-3] [E-7]
#[test]
fn a_mail_that_nobody_takes_for_five_days_is_reported_once() {
    let mut world = two_nodes();
    world.weather = Weather::calm().with(Fault::SmtpLater, 1_000);
    world.write(&draft(&one(), &two(), "never"));
    world.pass(5 * DAY - HOUR);
    assert!(!world.ledger.is_reported(&id("never"), &two()), "too early");
    world.pass(DAY);
    assert!(world.ledger.is_reported(&id("never"), &two()));
    assert!(matches!(marks(&world, 0, "never").last(), Some((Mark::Failed(_), _))));
    let reports = world.nodes[0].shelf.len();
    world.heal();
    world.pass(10 * DAY);
    assert_eq!((reports, world.nodes[0].shelf.len()), (1, 1), "one report, and never another");
    whole(&world);
}

///
#[test]
fn t_102_a_failing_report_is_not_reported_and_no_automatic_mail_leaves() {
    let mut world = two_nodes();
    let nowhere = Address::parse("no@no.example").unwrap();
    world.write(&draft(&one(), &nowhere, "lost"));
    world.weather = Weather::calm().with(Fault::MailboxLater, 1_000);
    world.pass(12 * DAY);
    // Not even into its author's own mailbox: nobody is told of that, and nothing goes out by SMTP (I20 watches).
    let failed =
        world.events.iter().filter(|(_, _, event)| matches!(event, Event::Marked { mark: Mark::Failed(_), .. }));
    assert_eq!(failed.count(), 2, "the mail, and its report");
    assert!(world.is_settled());
    whole(&world);
}
