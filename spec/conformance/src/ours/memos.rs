//! What a device tells its person's other devices of what was read and chosen.

use postline_core::id::Identity;
use postline_core::seal::{AddressIdentity, Secret, memo};
use postline_core::wire::cbor::Malformed;
use postline_core::wire::memo::{Choice, Memo};
use serde_json::{Map, Value, json};

use super::Said;
use crate::answer::Class;
use crate::input::{Input, hex, number};

pub(super) fn read(input: Input<'_>) -> Said {
    let memo = Memo::parse(&input.bytes("bytes")?).map_err(|Malformed(_)| Class::Malformed)?;
    Ok(show(&memo).into())
}

pub(super) fn open(input: Input<'_>) -> Said {
    let person = AddressIdentity::new(&Secret::new(input.fixed("seed")?));
    let (drawer, memo) = memo::open(&person, Identity(input.fixed("identity")?), &input.bytes("bytes")?)?;
    let mut shown = show(&memo);
    shown.insert("drawer".to_owned(), json!(drawer.number()));
    Ok(shown.into())
}

fn show(memo: &Memo) -> Map<String, Value> {
    let mut shown = Map::from_iter([("asks".to_owned(), json!(memo.asks))]);
    shown.extend(memo.general.map(|choice| ("general".to_owned(), chosen(choice))));
    let talks = memo.talks.iter().map(|of| {
        let mut talk = Map::from_iter([
            ("conversation".to_owned(), json!(hex(of.conversation.0))),
            ("read".to_owned(), json!(hex(of.read.to_bytes()))),
        ]);
        talk.extend(of.choice.map(|choice| ("choice".to_owned(), chosen(choice))));
        Value::from(talk)
    });
    shown.insert("talks".to_owned(), talks.collect());
    shown
}

fn chosen(choice: Choice) -> Value {
    json!({ "at": number(choice.at.0), "tells": choice.tells })
}
