//! Something that marks, or presence, are told: by the log, by people, by nodes, true or forged.

use std::collections::BTreeSet;

use postline_core::fault::Code;
use postline_core::limits;
use postline_core::machine::mark::{self, Failure, Policy, Post, Rules};
use postline_core::machine::presence::node::Types;
use postline_core::machine::presence::{device, node};
use postline_core::wire::mark::Position;
use postline_core::wire::whisper::{Choice, Delta, Seen, Whisper, Word};

use crate::laws::talks::{TALK, content, members, pair, person};
use crate::laws::{START, ours, theirs};
use crate::rng::Rng;

fn position(rng: &mut Rng) -> Position {
    let mut position = Position::upto(rng.below(30));
    for _ in 0..rng.below(3) {
        let from = rng.below(300);
        position.add(from, from + rng.below(4));
    }
    position
}

/// A number, mostly a small one.
fn upto(rng: &mut Rng) -> u64 {
    match rng.below(20) {
        0 => rng.draw(),
        1 => limits::RANGE + rng.below(20),
        _ => rng.below(40),
    }
}

/// Something that the marks of a conversation are told.
pub fn mark_input(rng: &mut Rng) -> mark::Input {
    let who = person(rng.below(5));
    match rng.below(24) {
        0 | 1 => mark::Input::Members(members(rng.below(4))),
        2 => {
            let policies = [Policy::Required, Policy::Optional, Policy::Forbidden];
            let policy = rng.pick(&policies).copied().unwrap_or_default();
            mark::Input::Rules(Rules { policy, choice: rng.chance(800), open: rng.chance(900) })
        }
        3 => mark::Input::Head { seq: rng.below(40), heard: rng.below(40) },
        4..=7 => mark::Input::Entry { seq: 1 + rng.below(60), by: Some(who).filter(|_| rng.chance(700)) },
        8 => mark::Input::Sent(upto(rng)),
        9 | 10 => mark::Input::Delivered(who, upto(rng)),
        11..=14 => {
            let read = position(rng);
            let at = if rng.chance(900) { read.last() + 1 + rng.below(9) } else { rng.below(40) };
            mark::Input::Read { who, at, read }
        }
        15..=17 => {
            let from = rng.below(40);
            mark::Input::Saw { from, to: if rng.chance(50) { rng.draw() } else { from + rng.below(9) } }
        }
        18 => mark::Input::Synced(position(rng)),
        19 => {
            let refused = Post::Failed(Failure::Refused(Code::Busy));
            let posts = [Post::Queued, Post::Expired, Post::Failed(Failure::NoLine), refused, Post::Placed(3)];
            mark::Input::Post(content(rng.draw()), rng.pick(&posts).copied().unwrap_or(Post::Queued))
        }
        20 => mark::Input::Asked,
        21 => mark::Input::Along,
        _ => mark::Input::Wake,
    }
}

fn shown(rng: &mut Rng) -> Seen {
    if rng.chance(500) { Seen::Here } else { Seen::Away(START.plus(rng.draw() % (limits::PRESENCE_MS * 20))) }
}

fn delta(rng: &mut Rng) -> Delta {
    let word = match rng.below(4) {
        0 => Word::Silent,
        1 => Word::Agrees,
        _ => Word::Shows(shown(rng)),
    };
    Delta { of: theirs(rng.draw()), to: ours(), word }
}

fn choice(rng: &mut Rng) -> Choice {
    let chosen = START.plus(rng.below(9));
    Choice { theirs: theirs(rng.draw()), chosen, agrees: rng.chance(800) }
}

/// Something that anybody whispers, fitting or not.
pub(crate) fn whisper(rng: &mut Rng) -> Whisper {
    match rng.below(8) {
        0..=2 => Whisper::Vector((0..rng.index(4)).map(|_| delta(rng)).collect()),
        3 | 4 => {
            let who = if rng.chance(300) { ours() } else { theirs(rng.draw()) };
            Whisper::Types(who, if rng.chance(500) { crate::laws::conversation() } else { TALK })
        }
        5 => Whisper::Active,
        _ => Whisper::Choices((0..rng.index(4)).map(|_| choice(rng)).collect()),
    }
}

fn types(rng: &mut Rng, ours_writes: bool) -> Types {
    let (one, other) = (ours(), theirs(rng.draw()));
    let (who, to) = if ours_writes { (one, other) } else { (other, one) };
    Types { who, conversation: TALK, members: rng.index(60), to: BTreeSet::from([to]) }
}

/// Something that a node's side of presence is told.
pub fn node_presence_input(rng: &mut Rng) -> node::Input {
    let pair = pair(rng.draw());
    match rng.below(20) {
        0 | 1 => node::Input::Up,
        2 => node::Input::Down,
        3..=5 => node::Input::Line(pair, rng.chance(800)),
        6..=8 => node::Input::Agree(pair, rng.chance(800)),
        9 | 10 => node::Input::Active(ours()),
        11 | 12 => node::Input::Types(types(rng, true)),
        13..=15 => {
            let most = if rng.chance(30) { limits::PRESENCE_DELTAS + 2 } else { 5 };
            node::Input::Vector((0..rng.index(most)).map(|_| delta(rng)).collect())
        }
        16 | 17 => node::Input::HeardTypes(types(rng, false)),
        _ => node::Input::Wake,
    }
}

/// Something that a device's side of presence is told.
pub fn device_presence_input(rng: &mut Rng) -> device::Input {
    let contact = theirs(rng.draw());
    match rng.below(16) {
        0 | 1 => device::Input::Up,
        2 => device::Input::Down,
        3 | 4 => device::Input::Choose(choice(rng)),
        5 => device::Input::AllowTyping(rng.chance(800)),
        6 | 7 => device::Input::Active,
        8 => device::Input::Types(TALK, rng.index(60)),
        9..=11 => device::Input::Shows(contact, Some(shown(rng)).filter(|_| rng.chance(800))),
        12 => device::Input::HeardTypes(if rng.chance(100) { ours() } else { contact }, TALK),
        13 => device::Input::Said(contact, TALK),
        _ => device::Input::Wake,
    }
}
