//! A body of many pieces is cut off on its way: what came is kept, and the rest is asked for.

use postline_core::server::io::{Carrier, Mark};
use postline_core::time::{MINUTE, SECOND};

use crate::kit::{a_line, draft, marks, one, shown, two, whole};

#[test]
fn a_large_mail_is_resumed_after_a_cut_and_shown_once() {
    for size in [20_000, 70_000, 900_000] {
        let mut world = a_line();
        world.write(&draft(&one(), &two(), "large").of_size(size));
        for _ in 0..50 {
            if world.pieces_of(1) == 0 {
                world.pass(1);
            }
        }
        world.connections().collect::<Vec<_>>().into_iter().for_each(|link| world.cut(link));
        let came = world.pieces_of(1);
        assert!(came > 0 && came < size, "{came} of {size} bytes came before the cut");
        world.pass(30 * SECOND);
        assert_eq!(shown(&world, &two(), "large"), 1, "{size} bytes");
        assert_eq!(
            marks(&world, 0, "large"),
            [(Mark::Sent, Carrier::Link), (Mark::Delivered, Carrier::Link)],
            "{size} bytes"
        );
        assert_eq!(world.pieces_of(1), 0, "nothing is left over");
        world.pass(MINUTE);
        whole(&world);
    }
}
