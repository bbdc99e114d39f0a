//! A mail and its reply open the line; the mails after them go over the link, and their marks come back.

use postline_core::id::{Address, Mailbox, Pair};
use postline_core::machine::trust::TrustState;
use postline_core::server::Event;
use postline_core::server::io::{Carrier, Mark};
use postline_world::bytes::Draft;
use postline_world::world::World;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn draft(from: &str, to: &str, id: &str, answers: Option<&str>) -> Draft {
    Draft {
        from: address(from),
        to: vec![address(to)],
        message_id: format!("{id}@mail.example"),
        in_reply_to: answers.map(|id| format!("{id}@mail.example")),
        more: String::new(),
        text: format!("this is {id}"),
    }
}

/// [E-2] [E-9]
#[test]
fn a_mail_and_its_reply_make_a_line_and_express_mail_has_its_marks() {
    let mut world = World::of(&["a.example", "b.example"]);
    world.write(&draft("one@a.example", "two@b.example", "first", None));
    world.run(5_000, 1_000);
    world.write(&draft("two@b.example", "one@a.example", "reply", Some("first")));
    world.run(60_000, 1_000);
    let pair = Pair { ours: address("one@a.example"), theirs: address("two@b.example") };
    let states: Vec<TrustState> = world
        .events
        .iter()
        .filter_map(|(_, _, event)| match event {
            Event::Trust { pair: of, to, .. } if *of == pair => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [TrustState::Offered, TrustState::Confirming, TrustState::Trusted],
        "events: {:#?}",
        world.events
    );
    world.events.clear();
    world.write(&draft("one@a.example", "two@b.example", "express", Some("reply")));
    world.run(1_000, 1_000);
    let marks: Vec<(Mark, Carrier)> = world
        .events
        .iter()
        .filter_map(|(node, _, event)| match event {
            Event::Marked { mark, carrier, .. } if *node == 0 => Some((mark.clone(), *carrier)),
            _ => None,
        })
        .collect();
    assert_eq!(marks, [(Mark::Sent, Carrier::Link), (Mark::Delivered, Carrier::Link)], "{:#?}", world.events);
    assert_eq!(world.nodes[1].mailboxes[&Mailbox("two".to_owned())].len(), 2);
}
