//! Something that is said about a message, in and out of order.

use postline_core::id::Hash;
use postline_core::limits;
use postline_core::machine::pin::There;
use postline_core::machine::thread::Of;
use postline_core::machine::{pin, reaction, revision, thread};

use crate::laws::said::{content, person, said, target};
use crate::rng::Rng;

/// Something about a message's words.
#[must_use]
pub fn revision_input(rng: &mut Rng) -> revision::Heard {
    let fixed = Hash([u8::from(!rng.chance(100)); 32]);
    let what = match rng.below(40) {
        0 => revision::What::Retract,
        1 if rng.chance(500) => revision::What::Expiry,
        1 => revision::What::Removal,
        2..=4 => revision::What::First { fixed: Hash([1; 32]) },
        5 => revision::What::Edit { no: limits::EDIT_NO + 1, fixed },
        _ => revision::What::Edit { no: u32::try_from(rng.below(60)).unwrap_or(0), fixed },
    };
    said(1 + rng.below(400), what)
}

/// A reaction, or its end.
#[must_use]
pub fn reaction_input(rng: &mut Rng) -> reaction::Heard {
    let seq = 1 + rng.below(400);
    let of = content(1 + rng.below(60));
    let what = if rng.chance(300) {
        reaction::What::Withdrawal { of }
    } else {
        let sign = "x".repeat(if rng.chance(50) { limits::SIGN_BYTES + 1 } else { rng.index(5) });
        let most = if rng.chance(50) { 30 } else { 2 };
        let more = (0..rng.below(most)).map(|n| format!("sign {n}"));
        reaction::What::Reaction { id: of, version: content(0), signs: more.chain([sign]).collect() }
    };
    reaction::Heard { seq, author: person(rng.below(20)), what }
}

/// Something about a version's name.
#[must_use]
pub fn name_input(rng: &mut Rng) -> thread::Input {
    if rng.chance(30) {
        thread::Input::Is(Of { seq: 1 + rng.below(400), message: content(rng.below(3)) })
    } else {
        thread::Input::NamedBy(1 + rng.below(4_000))
    }
}

/// A pin, its end, or whether its message is here.
#[must_use]
pub fn pin_input(rng: &mut Rng) -> pin::Input {
    let of = target(rng.below(200));
    let there =
        [There::Awaited, There::Here, There::Here, There::Gone].get(rng.index(4)).copied().unwrap_or(There::Here);
    if rng.chance(200) {
        return pin::Input::Is(of, there);
    }
    let seq = 1 + rng.below(2_000);
    // What an entry says, its place alone tells.
    pin::Input::Set { seq, by: person(seq % 3), of, pinned: !seq.is_multiple_of(3), there }
}
