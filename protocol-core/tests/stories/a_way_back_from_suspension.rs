//! A line is suspended, and comes back: by the person's word after a new round trip of mails, or by the known key (attack
//! 14).

use postline_core::machine::trust::TrustState;
use postline_core::server::{Command, Event};
use postline_core::time::{DAY, MINUTE, SECOND};
use postline_world::world::{Trouble, World};

use crate::kit::{a_line, by_link, draft, id, one, pair, round_trip, shown, states, two};

fn suspended() -> World {
    let mut world = a_line();
    world.plan(0, Trouble::Rekey(1));
    world.pass(5 * MINUTE);
    world.events.clear();
    // The other node keeps its records, and tries the line: its own mails fall back to SMTP.
    world.command(1, Command::Unblock(pair(&two(), &one())));
    world
}

/// [T-9].
#[test]
fn t_014_another_key_comes_back_by_a_round_trip_and_the_persons_word() {
    let mut world = suspended();
    world.write(&draft(&two(), &one(), "express"));
    world.pass(3 * MINUTE);
    assert_eq!(shown(&world, &one(), "express"), 1, "it came by mail");
    // The other node learns that there is no line, and offers anew.
    world.command(1, Command::Block(pair(&two(), &one())));
    world.command(1, Command::Unblock(pair(&two(), &one())));
    world.write(&draft(&two(), &one(), "again"));
    world.pass(MINUTE);
    assert_eq!(states(&world)[0], TrustState::Suspended, "{:#?}", world.events);
    world.write(&draft(&one(), &two(), "answer").answering(&id("again")));
    world.pass(3 * MINUTE);
    let nk = world.nodes[1].nk();
    let proposed = |event: &Event| matches!(event, Event::Proposed { nk: key, .. } if *key == nk);
    assert_eq!(world.events.iter().filter(|(node, _, event)| *node == 0 && proposed(event)).count(), 1);
    assert_eq!(states(&world)[0], TrustState::Suspended, "not by itself");
    world.command(0, Command::Readmit(pair(&one(), &two()), nk));
    world.pass(5 * MINUTE);
    assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
    world.write(&draft(&one(), &two(), "express-again"));
    world.pass(MINUTE);
    assert!(by_link(&world, 0, "express-again"));
}

/// [T-23]: nobody has written yet; the domain's own word is asked for once a day.
#[test]
fn t_014_a_domain_that_names_another_key_suspends_the_line_at_its_next_mail() {
    let mut world = a_line();
    let b = world.nodes[1].domain.clone();
    world.says(&b, world.nodes[0].nk());
    world.write(&draft(&one(), &two(), "soon"));
    world.pass(MINUTE);
    assert_eq!(states(&world)[0], TrustState::Trusted, "it was looked at when the line was made");
    world.pass(DAY);
    // The first mail brings the link up, and with the next it is looked at.
    for name in ["next-day", "and-one-more"] {
        world.write(&draft(&one(), &two(), name));
        world.pass(SECOND);
    }
    assert_eq!(states(&world)[0], TrustState::Suspended, "{:#?}", world.events);
    // Its word is mended; the key is the known one, and needs nobody's word.
    world.says_its_key(1);
    world.write(&draft(&two(), &one(), "refused"));
    world.pass(5 * MINUTE);
    round_trip(&mut world, ["new", "reply-to-new"]);
    world.pass(MINUTE);
    assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
}
