//! Mails that ask nobody for a line: automatic ones, groups and crowds.

use postline_core::id::Address;
use postline_core::limits;
use postline_core::machine::trust::TrustState;
use postline_core::time::MINUTE;
use postline_world::bytes::Draft;
use postline_world::world::World;

use crate::kit::{draft, one, pair, two, two_nodes, whole};

fn state(world: &World, theirs: &Address) -> TrustState {
    world.nodes[0].trust(&pair(&one(), theirs)).state()
}

/// [F-6]
#[test]
fn automatic_mail_groups_and_crowds_get_no_offer_and_a_plain_mail_does() {
    let with = |more: &str| Draft { more: more.to_owned(), ..draft(&one(), &two(), "asking-nobody") };
    let crowd = |n: usize| -> Vec<Address> {
        (1..n).map(|at| format!("p{at}@b.example").parse().unwrap()).chain([two()]).collect()
    };
    for quiet in [
        with("Auto-Submitted: auto-generated\r\n"),
        with("Precedence: bulk\r\n"),
        with("List-Id: <l.a.example>\r\n"),
        with("Cc: friends: x@c.example;\r\n"),
        Draft::new(&one(), &crowd(limits::OFFER_RECIPIENTS + 1), "too-many"),
    ] {
        let mut world = two_nodes();
        world.write(&quiet);
        world.pass(MINUTE);
        assert_eq!(state(&world, &two()), TrustState::Stranger, "{quiet:?}");
        whole(&world);
    }
    for asking in
        [draft(&one(), &two(), "plain"), Draft::new(&one(), &crowd(limits::OFFER_RECIPIENTS), "as-many-as-may")]
    {
        let mut world = two_nodes();
        world.write(&asking);
        world.pass(MINUTE);
        assert_eq!(state(&world, &two()), TrustState::Offered, "{asking:?}");
        whole(&world);
    }
}
