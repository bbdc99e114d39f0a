//! The link goes down in the middle of the handshake: what was said is said again, and the line is the same.

use postline_core::machine::trust::TrustState;
use postline_core::time::{MINUTE, SECOND};

use crate::kit::{draft, id, one, states, two, two_nodes, whole};

#[test]
fn a_handshake_whose_last_word_is_lost_ends_as_a_line() {
    let mut cut_before_the_end = 0;
    for frames_ms in 1..12 {
        let mut world = two_nodes();
        world.write(&draft(&one(), &two(), "first"));
        world.pass(5 * SECOND);
        world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
        world.pass(80 + frames_ms);
        cut_before_the_end += usize::from(states(&world) != [TrustState::Trusted; 2]);
        world.connections().collect::<Vec<_>>().into_iter().for_each(|link| world.cut(link));
        world.pass(2 * MINUTE);
        assert_eq!(states(&world), [TrustState::Trusted; 2], "cut after {frames_ms} ms");
        whole(&world);
    }
    assert!(cut_before_the_end > 3, "the cuts came too late: {cut_before_the_end}");
}
