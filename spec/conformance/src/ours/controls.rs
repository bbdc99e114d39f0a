//! What is done to a conversation: how it is written, and what several make of it.

use postline_core::id::{ContentId, ConversationId, Identity};
use postline_core::machine::pin::{Input as Said, Pins, There};
use postline_core::machine::policy::Agreed;
use postline_core::step::{Machine as _, Outbox, Tick};
use postline_core::time::Millis;
use postline_core::wire::cbor::Malformed;
use postline_core::wire::control::{Control, Target};
use serde_json::{Value, json};

use super::{Not, Said as Answer};
use crate::answer::Class;
use crate::input::{Input, Unfit, as_bytes, as_number, hex, number};

pub(super) fn read(input: Input<'_>) -> Answer {
    let (act, of) = match control(&input.bytes("bytes")?)? {
        Control::Pin(of) => ("pin", of),
        Control::Unpin(of) => ("unpin", of),
        Control::Remove(of) => ("remove", of),
        Control::Policy { policy, set } => {
            let mut read = json!({ "act": "policy", "policy": policy as u64 });
            if let (Some(set), Some(read)) = (set, read.as_object_mut()) {
                read.insert("set".to_owned(), number(set));
            }
            return Ok(read);
        }
    };
    Ok(json!({ "act": act, "message": hex(of.message.0), "place": number(of.place) }))
}

/// What is pinned, and how reading is told, where these were said in this order and these messages are here.
pub(super) fn join(input: Input<'_>) -> Answer {
    let here = input.list("here")?.iter().map(target).collect::<Result<Vec<Target>, Unfit>>()?;
    let (mut pins, mut agreed) = (Pins::new(ConversationId([0; 32])), Agreed::default());
    for said in input.list("controls")? {
        let (seq, bytes) = placed(said).ok_or_else(|| Unfit("controls has what is none".to_owned()))?;
        let (of, pinned) = match control(&bytes)? {
            Control::Pin(of) => (of, true),
            Control::Unpin(of) => (of, false),
            // In a conversation of two nobody may.
            Control::Remove(_) => continue,
            set @ Control::Policy { .. } => {
                agreed = Agreed::by(&set, seq).map_or(agreed, |set| agreed.with(set));
                continue;
            }
        };
        let there = if here.contains(&of) { There::Here } else { There::Awaited };
        let set = Said::Set { seq, by: Identity([0; 32]), of, pinned, there };
        let tick = Tick { now: Millis(0), entropy: [0; 32] };
        // None of this is misuse.
        pins.step(&tick, set, &mut Outbox::new()).unwrap_or_default();
    }
    let pinned: Vec<Value> = pins.shown().iter().map(|pin| number(pin.of.place)).collect();
    Ok(json!({ "pinned": pinned, "policy": agreed.policy as u64 }))
}

pub(super) fn control(bytes: &[u8]) -> Result<Control, Not> {
    Control::parse(bytes).map_err(|Malformed(_)| Class::Malformed.into())
}

fn placed(said: &Value) -> Option<(u64, Vec<u8>)> {
    let [seq, bytes] = said.as_array()?.as_slice() else { return None };
    Some((as_number(seq)?, as_bytes(bytes)?))
}

fn target(value: &Value) -> Result<Target, Unfit> {
    let read = || {
        let [message, place] = value.as_array()?.as_slice() else { return None };
        Some(Target { message: ContentId(as_bytes(message)?.try_into().ok()?), place: as_number(place)? })
    };
    read().ok_or_else(|| Unfit("here has what is no message".to_owned()))
}
