//! The domain of a correspondent has a node with another key, not the one announced: the line is suspended, loudly
//! (attack 14); and a store that ran back is found out by its peer (attack 111).

use postline_core::fault::Code;
use postline_core::machine::trust::TrustState;
use postline_core::server::Event;
use postline_core::time::{MINUTE, SECOND};
use postline_world::world::Trouble;

use crate::kit::{a_line, draft, id, one, shown, states, two, whole};

#[test]
fn t_014_another_key_with_good_evidence_suspends_the_line_and_mail_goes_on() {
    let mut world = a_line();
    world.crash(1);
    // Whoever has the domain now has neither the old records nor the old key.
    world.nodes[1].take_over(99);
    world.pass(5 * MINUTE);
    world.write(&draft(&two(), &one(), "it-is-me").answering(&id("first")));
    world.pass(5 * MINUTE);
    assert_eq!(states(&world)[0], TrustState::Suspended);
    assert_eq!(shown(&world, &one(), "it-is-me"), 1, "the mail is shown");
    world.write(&draft(&one(), &two(), "really").answering(&id("it-is-me")));
    world.pass(5 * MINUTE);
    assert_eq!(shown(&world, &two(), "really"), 1, "and mail goes by SMTP");
    assert_eq!(states(&world)[0], TrustState::Suspended, "only the person ends it");
}

#[test]
fn t_111_a_store_that_ran_back_is_found_out_and_one_that_says_so_is_not() {
    for noticed in [false, true] {
        let mut world = a_line();
        world.plan(0, Trouble::BackUp(0));
        world.pass(SECOND);
        for n in 0..3 {
            world.write(&draft(&two(), &one(), &format!("after-{n}")));
        }
        world.pass(10 * SECOND);
        world.plan(0, Trouble::Restore(0, noticed));
        world.pass(SECOND);
        world.events.clear();
        world.write(&draft(&two(), &one(), "later"));
        world.pass(3 * MINUTE);
        let found = world
            .events
            .iter()
            .any(|(_, _, event)| matches!(event, Event::Refused { why, .. } if why.code() == Code::Generation));
        assert_eq!(found, !noticed, "{:#?}", world.events);
        assert_eq!(shown(&world, &one(), "later"), 1, "by link or by mail, it is shown once");
        whole(&world);
    }
}
