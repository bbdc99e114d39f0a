//! Two people with a line enrol a device each, and write.

use postline_core::client::io::Mark;

use crate::kit::World;

#[test]
fn two_people_write_and_see_how_far_it_got() {
    let mut world = World::two();
    let hello = world.write(0, "hello ben");
    world.pass(5_000);
    assert_eq!(world.texts(1), ["hello ben"], "{:#?}", (&world.devices[0].events, &world.devices[1].events));
    assert_eq!(world.marks(0, hello), [Mark::Queued, Mark::Sent, Mark::Delivered]);
    world.write(1, "hello ann");
    world.pass(5_000);
    assert_eq!(world.texts(0), ["hello ann"]);
}
