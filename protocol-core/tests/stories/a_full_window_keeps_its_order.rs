//! However full a link is, and however often it is cut, its mails go in the order of their numbers, once each.

use postline_core::id::{Address, Mailbox};
use postline_core::server::Event;
use postline_world::bytes::Draft;
use postline_world::world::World;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn large_mails_that_wait_for_the_window_are_not_overtaken() {
    let (one, two) = (address("one@a.example"), address("two@b.example"));
    let mut world = World::of(&["a.example", "b.example"]);
    world.write(&Draft::new(&one, std::slice::from_ref(&two), "first"));
    world.run(5_000, 1_000);
    world.write(&Draft::new(&two, std::slice::from_ref(&one), "reply").answering("first@mail.example"));
    world.run(60_000, 1_000);
    world.events.clear();
    for n in 0..200 {
        let draft = Draft::new(&one, std::slice::from_ref(&two), &format!("{n}"));
        world.write(&if n % 3 == 0 { draft.of_size(150_000) } else { draft });
    }
    world.run(120_000, 200_000);
    let refused: Vec<_> = world.events.iter().filter(|(_, _, event)| matches!(event, Event::Refused { .. })).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(world.nodes[1].mailboxes[&Mailbox("two".to_owned())].len(), 201);
}
