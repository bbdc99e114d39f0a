//! What the stories share: two people on two nodes, and what happened to their mails.

use postline_core::id::{Address, Mailbox, Pair};
use postline_core::machine::trust::TrustState;
use postline_core::server::Event;
use postline_core::server::io::{Carrier, Mark};
use postline_core::time::{MINUTE, SECOND};
use postline_world::bytes::{Draft, mailbox_of};
use postline_world::world::World;

pub(crate) fn one() -> Address {
    Address::parse("one@a.example").unwrap()
}

pub(crate) fn two() -> Address {
    Address::parse("two@b.example").unwrap()
}

pub(crate) fn pair(ours: &Address, theirs: &Address) -> Pair {
    Pair { ours: ours.clone(), theirs: theirs.clone() }
}

pub(crate) fn draft(from: &Address, to: &Address, id: &str) -> Draft {
    Draft::new(from, std::slice::from_ref(to), id)
}

pub(crate) fn id(name: &str) -> String {
    format!("{name}@mail.example")
}

pub(crate) fn two_nodes() -> World {
    let mut world = World::of(&["a.example", "b.example"]);
    for (node, name) in [(0, "one"), (1, "two")] {
        world.nodes[node].users.insert(Mailbox(name.to_owned()));
    }
    world
}

/// Two people who have a line: one wrote, two answered.
pub(crate) fn a_line() -> World {
    let mut world = two_nodes();
    world.write(&draft(&one(), &two(), "first"));
    world.pass(5 * SECOND);
    world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
    world.pass(MINUTE);
    assert_eq!(states(&world), [TrustState::Trusted; 2], "{:#?}", world.events);
    world.events.clear();
    world
}

/// What one is to two, and two to one.
pub(crate) fn states(world: &World) -> [TrustState; 2] {
    let of = |node: usize, pair: &Pair| world.nodes[node].trust(pair).state();
    [of(0, &pair(&one(), &two())), of(1, &pair(&two(), &one()))]
}

/// A mail by one and its answer by two.
pub(crate) fn round_trip(world: &mut World, names: [&str; 2]) {
    world.write(&draft(&one(), &two(), names[0]));
    world.pass(MINUTE);
    world.write(&draft(&two(), &one(), names[1]).answering(&id(names[0])));
    world.pass(MINUTE);
}

/// Whether a mail went by link and is in the mailbox.
pub(crate) fn by_link(world: &World, node: usize, name: &str) -> bool {
    marks(world, node, name) == [(Mark::Sent, Carrier::Link), (Mark::Delivered, Carrier::Link)]
}

/// How often a mail is shown to somebody.
pub(crate) fn shown(world: &World, who: &Address, name: &str) -> usize {
    let home = world.home(who).unwrap();
    world.ledger.shown_times(&id(name), home, &mailbox_of(who))
}

/// The marks of a mail at its author's node, in order.
pub(crate) fn marks(world: &World, node: usize, name: &str) -> Vec<(Mark, Carrier)> {
    let of = |(at, _, event): &(usize, _, Event)| match event {
        Event::Marked { message_id, mark, carrier, .. } if *at == node && *message_id == Some(id(name)) => {
            Some((mark.clone(), *carrier))
        }
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

/// Nothing happened that must never happen.
pub(crate) fn whole(world: &World) {
    assert_eq!(world.broken, None);
    assert_eq!(world.ledger.check_shown(), Ok(()));
    assert_eq!(world.ledger.check_reports(), Ok(()));
}
