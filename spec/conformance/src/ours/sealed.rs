//! Codes that people compare, phrases that they write down, and what is sealed under them.

use std::collections::BTreeMap;

use postline_core::id::{Address, AddressKey, DeviceKey, Hash, Identity};
use postline_core::seal::code::{Card, Code, Parties, Scan, Side, commitment};
use postline_core::seal::join::Joining;
use postline_core::seal::phrase::Phrase;
use postline_core::seal::vault::Backup;
use postline_core::seal::{Level, Pin, Secret};
use postline_core::time::Millis;
use postline_core::wire::compare::Word;
use serde_json::{Value, json};

use super::Said;
use super::people::chain;
use crate::input::{Input, Unfit, hex, number};

pub(super) fn comparison(input: Input<'_>) -> Said {
    let (t2, one, two) = (Hash(input.fixed("t2")?), Input(input.member("one")?), Input(input.member("two")?));
    let (a, b) = (side(one)?, side(two)?);
    let (nonce_a, nonce_b) = (one.fixed("nonce")?, two.fixed("nonce")?);
    let code = Code::of(t2, (&a, &nonce_a), (&b, &nonce_b));
    let word = |side, nonce| hex(Word::Commit(commitment(t2, side, nonce)).to_bytes());
    Ok(json!({
        "commits": [word(&a, &nonce_a), word(&b, &nonce_b)],
        "reveals": [hex(Word::Reveal(nonce_a).to_bytes()), hex(Word::Reveal(nonce_b).to_bytes())],
        "digits": code.digits(),
        "emoji": code.emoji().map(|emoji| emoji.name),
    }))
}

pub(super) fn word(input: Input<'_>) -> Said {
    Ok(match Word::parse(&input.bytes("bytes")?)? {
        Word::Commit(hash) => json!({ "kind": 0, "bytes": hex(hash.0) }),
        Word::Reveal(nonce) => json!({ "kind": 1, "bytes": hex(nonce) }),
    })
}

pub(super) fn card(input: Input<'_>) -> Said {
    let card = Card::parse(input.text("text")?)?;
    Ok(json!({ "shower": show(card.shower()), "reader": show(card.reader()) }))
}

pub(super) fn judge_card(input: Input<'_>) -> Said {
    let (ours, theirs) = (side(Input(input.member("ours")?))?, side(Input(input.member("theirs")?))?);
    let parties = Parties { t2: Hash(input.fixed("t2")?), ours, theirs };
    Ok(match Card::parse(input.text("text")?)?.compare(&parties, &chain(input)?)? {
        Scan::Same { answer, .. } => json!({ "answer": hex(answer) }),
        Scan::Ahead { after } => json!({ "after": number(after) }),
    })
}

pub(super) fn make_phrase(input: Input<'_>) -> Said {
    Ok(json!({ "text": Phrase::new(Secret::new(input.fixed("bits")?)).show().as_str() }))
}

pub(super) fn read_phrase(input: Input<'_>) -> Said {
    Ok(json!({ "text": Phrase::parse(input.text("text")?)?.show().as_str() }))
}

pub(super) fn backup(input: Input<'_>) -> Said {
    let phrase = Phrase::parse(input.text("phrase")?)?;
    let backup = Backup::open(&input.bytes("bytes")?, &phrase)?;
    Ok(json!({
        "identity": hex(backup.identity.0), "address": backup.address.to_string(), "made": number(backup.made.0),
        "ak": hex(backup.ak.expose()), "next": hex(backup.next.expose()), "archive": hex(backup.archive.expose()),
        "pins": pins(&backup.pins),
    }))
}

pub(super) fn make_join(input: Input<'_>) -> Said {
    let joining = joining(input)?;
    Ok(json!({ "bytes": hex(joining.request()), "qr": joining.qr().as_str() }))
}

pub(super) fn open_join(input: Input<'_>) -> Said {
    let (from, grant) = joining(input)?.open(Millis(input.number("now")?), &input.bytes("answer")?)?;
    Ok(json!({
        "from": hex(from.0), "identity": hex(grant.identity.0), "ak": hex(grant.ak.expose()),
        "archive": hex(grant.archive.expose()), "pins": pins(&grant.pins),
    }))
}

fn joining(input: Input<'_>) -> Result<Joining, super::Not> {
    let (code, secret) = (Phrase::parse(input.text("code")?)?, Secret::new(input.fixed("secret")?));
    let (address, dk) = (input.address("address")?, DeviceKey(input.fixed("dk")?));
    Ok(Joining::new(code, secret, address, dk, Millis(input.number("until")?)))
}

fn side(input: Input<'_>) -> Result<Side, Unfit> {
    let (identity, ak) = (Identity(input.fixed("identity")?), AddressKey(input.fixed("ak")?));
    Ok(Side { address: input.address("address")?, identity, ak })
}

fn show(side: &Side) -> Value {
    json!({ "address": side.address.to_string(), "identity": hex(side.identity.0), "ak": hex(side.ak.0) })
}

fn pins(pins: &BTreeMap<Address, Pin>) -> Vec<Value> {
    let by_text: BTreeMap<String, &Pin> = pins.iter().map(|(address, pin)| (address.to_string(), pin)).collect();
    let shown = |(address, pin): (String, &Pin)| {
        let level = match pin.level {
            Level::Claimed => 0,
            Level::Proven => 1,
            Level::Compared => 2,
        };
        json!({ "address": address, "identity": hex(pin.identity.0), "ak": hex(pin.ak.0), "level": level })
    };
    by_text.into_iter().map(shown).collect()
}
