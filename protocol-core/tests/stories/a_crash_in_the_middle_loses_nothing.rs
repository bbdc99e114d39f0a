//! The recipient's node goes down at any moment of an express mail: it is shown once, and its author hears of it
//! (attack 107).

use postline_core::server::io::Mark;
use postline_core::time::{MINUTE, SECOND};
use postline_world::weather::{Fault, Weather};

use crate::kit::{a_line, draft, marks, one, shown, two, whole};

/// [L-10] [O-1]
#[test]
fn t_107_whenever_it_goes_down_what_was_acked_is_shown_once() {
    for (when, fault) in [
        ("before its commit", Fault::CrashBeforeCommit),
        ("after its commit", Fault::CrashAfterCommit),
        ("among its effects", Fault::CrashAmongEffects),
        ("with a commit that fails", Fault::CommitFails),
        ("with a commit that fails and is there", Fault::CommitLies),
    ] {
        for odds in [100, 300] {
            let mut world = a_line();
            world.weather = Weather::calm().with(fault, odds);
            for n in 0..8 {
                world.write(&draft(&one(), &two(), &format!("mail-{n}")));
                world.pass(2 * SECOND);
            }
            world.heal();
            world.pass(10 * MINUTE);
            for n in 0..8 {
                let name = format!("mail-{n}");
                let acked = world.ledger.mails.get(&format!("{name}@mail.example")).is_some_and(|mail| mail.accepted);
                let shown = shown(&world, &two(), &name);
                assert!(shown == 1 || (shown == 0 && !acked), "{name} is shown {shown} times, {when}, acked: {acked}");
            }
            whole(&world);
        }
    }
}

/// [L-18]
#[test]
fn a_mark_that_a_crash_swallowed_is_asked_for() {
    let mut world = a_line();
    world.weather = Weather::calm().with(Fault::MailboxLater, 1_000);
    world.write(&draft(&one(), &two(), "slow"));
    world.pass(3 * SECOND);
    assert_eq!(shown(&world, &two(), "slow"), 0);
    world.crash(0);
    world.heal();
    world.pass(20 * MINUTE);
    assert_eq!(shown(&world, &two(), "slow"), 1);
    assert!(
        marks(&world, 0, "slow").iter().any(|(mark, _)| *mark == Mark::Delivered),
        "the author is told all the same"
    );
    whole(&world);
}
