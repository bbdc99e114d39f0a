//! Reading positions: how they are written, and what two make.

use postline_core::wire::cbor::Malformed;
use postline_core::wire::mark::Position;
use serde_json::{Value, json};

use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, as_bytes, hex, number};

pub(super) fn read(input: Input<'_>) -> Said {
    let read = position(&input.bytes("bytes")?)?;
    let beyond = read.without(&Position::upto(read.whole())).into_iter().flat_map(|(from, to)| from..=to);
    Ok(json!({ "upto": number(read.whole()), "beyond": beyond.map(number).collect::<Vec<Value>>() }))
}

/// What any of these has, in this order.
pub(super) fn join(input: Input<'_>) -> Said {
    let mut all = Position::default();
    for one in input.list("positions")? {
        let bytes = as_bytes(one).ok_or_else(|| Not::Understood("positions has what is no bytes".to_owned()))?;
        all.join(&position(&bytes)?);
    }
    Ok(json!({ "bytes": hex(all.to_bytes()) }))
}

fn position(bytes: &[u8]) -> Result<Position, Not> {
    Position::parse(bytes).map_err(|Malformed(_)| Class::Malformed.into())
}
