//! A person blocks: from then on there is no line, whatever happens, and the mail that comes is plain (attack 12).

use postline_core::machine::trust::TrustState;
use postline_core::server::Command;
use postline_core::server::io::{Carrier, Mark};
use postline_core::time::{MINUTE, SECOND};

use crate::kit::{a_line, draft, id, marks, one, pair, shown, states, two, whole};

#[test]
fn t_012_a_block_is_immediate_and_survives_a_restart() {
    let mut world = a_line();
    world.command(1, Command::Block(pair(&two(), &one())));
    world.pass(SECOND);
    world.crash(1);
    world.pass(MINUTE);
    assert_eq!(states(&world)[1], TrustState::Revoked);
    world.write(&draft(&one(), &two(), "blocked"));
    world.pass(2 * MINUTE);
    assert_eq!(marks(&world, 0, "blocked"), [(Mark::Sent, Carrier::Smtp)], "it came as any stranger's mail");
    assert_eq!(shown(&world, &two(), "blocked"), 1);
    world.write(&draft(&one(), &two(), "again").answering(&id("reply")));
    world.pass(2 * MINUTE);
    assert_eq!(states(&world)[1], TrustState::Revoked, "no answer brings it back");
    whole(&world);
}
