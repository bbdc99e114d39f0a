//! What becomes of messages, under the laws: versions, reactions, names, pins. They wait for nothing, so no wake comes.

use postline_core::id::{ContentId, ConversationId, Hash, Identity};
use postline_core::limits;
use postline_core::machine::pin::{self, Pins, There};
use postline_core::machine::reaction::{self, Reactions};
use postline_core::machine::revision::{self, Protection, Revisions};
use postline_core::machine::thread::{self, Name};
use postline_core::store::{Key, sha256};

use postline_core::wire::control::Target;

use super::{Records, START, Subject, must};

/// The conversation of every script.
const CONVERSATION: ConversationId = ConversationId([7; 32]);
/// Where the message, and the version, of every script lies.
const PLACE: u64 = 1;
/// The message, and the version, of every script.
const MESSAGE: ContentId = ContentId([9; 32]);

/// The nth person.
#[must_use]
pub(crate) fn person(n: u64) -> Identity {
    Identity(sha256(&[b"person", &n.to_be_bytes()]).0)
}

/// The nth thing that is said; 0 is the message.
#[must_use]
pub(crate) fn content(n: u64) -> ContentId {
    if n == 0 { MESSAGE } else { ContentId(sha256(&[b"content", &n.to_be_bytes()]).0) }
}

/// What is said at a place: who says it, and how well it is protected, is told by the place alone, as a log would.
#[must_use]
pub(crate) fn said(seq: u64, what: revision::What) -> revision::Heard {
    let protection = if seq % 7 == 3 { Protection::Express } else { Protection::Sealed };
    let first = matches!(what, revision::What::First { .. });
    let (id, author) = if first { (content(0), person(0)) } else { (content(seq), person(seq % 20)) };
    revision::Heard { id, seq, author, at: START, protection, what }
}

/// [`Revisions`] under the laws.
#[derive(Debug)]
pub struct RevisionLaws;
/// [`Reactions`] under the laws.
#[derive(Debug)]
pub struct ReactionLaws;
/// [`Pins`] under the laws.
#[derive(Debug)]
pub struct PinLaws;
/// [`Name`] under the laws.
#[derive(Debug)]
pub struct NameLaws;

macro_rules! laws {
    ($($laws:ident: $machine:ident, $key:ident, $most:expr, $wake:expr, $size:expr;)*) => {$(
        impl Subject for $laws {
            type Machine = $machine;
            const MOST: usize = $most;

            fn fresh() -> $machine {
                $machine::new(CONVERSATION, PLACE, MESSAGE)
            }

            fn restored(records: &Records) -> $machine {
                let record = records.get(&Key::$key(CONVERSATION, PLACE, MESSAGE));
                record.map_or_else(Self::fresh, |record| must($machine::restore(CONVERSATION, PLACE, MESSAGE, record)))
            }

            /// Nothing is forgotten.
            fn after_crash(machine: &$machine, _: &Records) -> $machine {
                machine.clone()
            }

            fn wake() -> <$machine as postline_core::step::Machine>::Input {
                $wake
            }

            fn size(machine: &$machine) -> usize {
                $size(machine)
            }
        }
    )*};
}

laws! {
    RevisionLaws: Revisions, Message, limits::EDITS + 1,
        said(1, revision::What::First { fixed: Hash([1; 32]) }),
        |machine: &Revisions| machine.history().len();
    ReactionLaws: Reactions, Reactions, 20 * limits::REACTIONS * limits::SIGNS,
        reaction::Heard { seq: 1, author: person(0), what: reaction::What::Withdrawal { of: content(1) } },
        |machine: &Reactions| machine.shown().count();
    NameLaws: Name, Name, limits::WAITING,
        thread::Input::NamedBy(2),
        |machine: &Name| machine.waiting();
}

/// The nth message, and its place.
#[must_use]
pub(crate) fn target(n: u64) -> Target {
    Target { message: content(n), place: 1 + n }
}

impl Subject for PinLaws {
    type Machine = Pins;
    const MOST: usize = limits::PINS_KNOWN;

    fn fresh() -> Pins {
        Pins::new(CONVERSATION)
    }

    fn restored(records: &Records) -> Pins {
        let record = records.get(&Key::Pins(CONVERSATION));
        record.map_or_else(Self::fresh, |record| must(Pins::restore(CONVERSATION, record)))
    }

    /// Nothing is forgotten.
    fn after_crash(machine: &Pins, _: &Records) -> Pins {
        machine.clone()
    }

    fn wake() -> pin::Input {
        pin::Input::Is(target(0), There::Here)
    }

    fn size(machine: &Pins) -> usize {
        machine.len()
    }
}
