//! Something that a log is told: by devices, by the other node, in and out of order.

use postline_core::id::LinkId;
use postline_core::limits;
use postline_core::machine::log::{Input, Via};
use postline_core::wire::talk::{Event, Kind, Origin, Post};

use crate::laws::logs::{CONVERSATION, device, reader};
use crate::laws::{ours, theirs};
use crate::rng::Rng;

fn kind(rng: &mut Rng) -> (Kind, Vec<postline_core::id::Address>) {
    match rng.below(8) {
        0 => (Kind::Create, vec![ours(), theirs(0)]),
        1 => (Kind::Create, vec![ours()]),
        2 => (Kind::Commit, Vec::new()),
        3 => (Kind::Message, vec![ours()]),
        _ => (Kind::Message, Vec::new()),
    }
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    let long = rng.chance(20);
    vec![7; if long { limits::EVENT_BYTES + rng.index(2) } else { rng.index(300) }]
}

fn post(rng: &mut Rng) -> Post {
    let (kind, members) = kind(rng);
    let origin = Origin { device: device(u8::try_from(1 + rng.below(3)).unwrap_or(1)), number: rng.below(40) };
    let epoch = if kind == Kind::Create { 0 } else { rng.below(4) };
    Post { conversation: CONVERSATION, origin, kind, epoch, members, bytes: bytes(rng) }
}

fn event(rng: &mut Rng) -> Event {
    let Post { origin, kind, epoch, members, bytes, .. } = post(rng);
    Event {
        conversation: CONVERSATION,
        term: u64::from(rng.chance(20)),
        seq: 1 + rng.below(6),
        kind,
        epoch,
        origin: Some(origin).filter(|_| rng.chance(300)),
        members,
        bytes: Some(bytes).filter(|_| rng.chance(900)),
    }
}

fn common(rng: &mut Rng) -> Input {
    let (via, of) = reader(rng.draw());
    match rng.below(8) {
        0 if rng.chance(200) => Input::Detach(via),
        0 => Input::Attach(via, of),
        1 => Input::Have(via, rng.below(8)),
        2 => Input::Unwanted(via),
        3 => Input::Range { via, number: 1, from: rng.below(5), to: rng.below(1_100) },
        4 | 5 => Input::Feed { via, items: rng.index(9), bytes: rng.index(9_000) },
        _ => Input::BatchEnd { rides: rng.chance(500) },
    }
}

/// Something that a hub's log is told.
pub fn hub_input(rng: &mut Rng) -> Input {
    if rng.chance(500) { Input::Post(reader(rng.draw()).0, Box::new(post(rng))) } else { common(rng) }
}

/// Something that a follower's log is told.
pub fn follower_input(rng: &mut Rng) -> Input {
    let via = Via::Link(LinkId(1 + rng.below(2)));
    match rng.below(10) {
        0..=4 => Input::Event(via, Box::new(event(rng))),
        5 => Input::Delivered(via, theirs(rng.below(2)), rng.below(9)),
        6 => Input::Post(via, Box::new(post(rng))),
        _ => common(rng),
    }
}
