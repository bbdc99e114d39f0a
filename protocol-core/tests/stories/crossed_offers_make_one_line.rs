//! Both write before either has read: nothing happens until one answers, and then there is one line (attack 11).

use postline_core::machine::trust::TrustState;
use postline_core::time::{MINUTE, SECOND};

use crate::kit::{draft, id, one, pair, states, two, two_nodes, whole};

#[test]
fn t_011_crossed_offers_make_one_line_whoever_answers() {
    for both_answer in [false, true] {
        let mut world = two_nodes();
        world.write(&draft(&one(), &two(), "from-one"));
        world.write(&draft(&two(), &one(), "from-two"));
        world.pass(10 * SECOND);
        assert_eq!(states(&world), [TrustState::Crossed; 2]);
        world.write(&draft(&one(), &two(), "answer-one").answering(&id("from-two")));
        if both_answer {
            world.write(&draft(&two(), &one(), "answer-two").answering(&id("from-one")));
        }
        world.pass(2 * MINUTE);
        assert_eq!(states(&world), [TrustState::Trusted; 2], "both answer: {both_answer}");
        let t2 = |node: usize, pair| world.nodes[node].trust(pair).t2().unwrap();
        assert_eq!(t2(0, &pair(&one(), &two())), t2(1, &pair(&two(), &one())), "one handshake");
        whole(&world);
    }
}
