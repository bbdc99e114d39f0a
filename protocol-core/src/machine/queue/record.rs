//! How a queue's entry is stored: version 1, an array.

use std::collections::BTreeSet;

use super::{Entry, Express, Origin, Phase, Slot};
use crate::content::mail::{Letter, Text};
use crate::fault::RestoreError;
use crate::id::{CarryId, Hash, Mailbox, NodeKey};
use crate::limits;
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader, Writer};

const VERSION: u64 = 1;

pub(super) fn write(key: Key, slot: &Slot) -> Record {
    let Entry { letter, rcpts, arrived, origin, express } = &slot.entry;
    let mut w = Writer::array_of(8);
    w.u64(VERSION).u64(slot.ended.into()).millis(slot.due).bool(slot.phase == Phase::Acked).millis(*arrived);
    w.list(rcpts.iter(), |w, rcpt| _ = w.address(rcpt));
    match origin {
        Origin::Nobody => w.array(1).u64(0),
        Origin::User(name) => w.array(2).u64(1).str(&name.0),
        Origin::Node { nk, id, mailboxes } => {
            w.array(4).u64(2).bytes(&nk.0).bytes(&id.0).list(mailboxes.iter(), |w, name| _ = w.str(&name.0))
        }
    };
    w.array(7).maybe(letter.from.as_ref(), Writer::address);
    match &letter.text {
        Text::Came(blob) => w.array(2).blob(*blob),
        Text::Report { about, at, failed } => w
            .array(4)
            .blob(*about)
            .millis(*at)
            .list(failed.iter(), |w, (rcpt, why)| _ = w.array(2).address(rcpt).str(why)),
    };
    w.list(letter.stamp.iter(), |w, line| _ = w.str(line)).bool(letter.strip);
    w.maybe(letter.message_id.as_ref(), |w, id| w.str(id));
    w.maybe(express.as_ref(), |w, express| {
        w.array(2).bytes(&express.content.0).list(express.to_cc.iter(), |w, address| _ = w.address(address))
    });
    w.maybe(slot.why.as_deref(), Writer::str);
    Record::put(key, w.into_bytes()).holding(letter.text.blob())
}

pub(super) fn read(record: &Record) -> Result<Slot, RestoreError> {
    let damaged = |what: Malformed| RestoreError::Damaged { key: record.key.clone(), what: what.0 };
    let bytes = record.value.as_deref().unwrap_or_default();
    let mut r = Reader::new(bytes);
    r.array(64).map_err(damaged)?;
    let found = r.u64().map_err(damaged)?;
    if found != VERSION {
        return Err(RestoreError::Version { key: record.key.clone(), found, known: VERSION });
    }
    slot(&mut r).map_err(damaged)
}

fn slot(r: &mut Reader<'_>) -> Result<Slot, Malformed> {
    let ended = u32::try_from(r.u64()?).map_err(|_| Malformed("a count of attempts"))?;
    let due = r.millis()?;
    let phase = if r.bool()? { Phase::Acked } else { Phase::Waiting };
    let arrived = r.millis()?;
    let rcpts = r.list(limits::ENVELOPE_RECIPIENTS as u64, Reader::address)?;
    let origin = origin(r)?;
    r.array_of(7)?;
    let from = r.maybe(Reader::address)?;
    let text = text(r)?;
    let stamp = r.list(limits::STAMP_LINES as u64, |r| r.str().map(str::to_owned))?;
    let strip = r.bool()?;
    let message_id = r.maybe(|r| r.str().map(str::to_owned))?;
    let express = r.maybe(|r| {
        r.array_of(2)?;
        let content = Hash(r.fixed()?);
        let to_cc: BTreeSet<_> = r.list(limits::HEADER_ADDRESSES as u64, Reader::address)?.into_iter().collect();
        Ok(Express { to_cc, content })
    })?;
    let why = r.maybe(|r| r.str().map(str::to_owned))?;
    r.end()?;
    let letter = Letter { from, text, stamp, strip, message_id };
    Ok(Slot { entry: Entry { letter, rcpts, arrived, origin, express }, ended, due, phase, why })
}

fn origin(r: &mut Reader<'_>) -> Result<Origin, Malformed> {
    let name = |r: &mut Reader<'_>| r.str().map(|name| Mailbox(name.to_owned()));
    let len = r.array(4)?;
    Ok(match (r.u64()?, len) {
        (0, 1) => Origin::Nobody,
        (1, 2) => Origin::User(name(r)?),
        (2, 4) => Origin::Node {
            nk: NodeKey(r.fixed()?),
            id: CarryId(r.fixed()?),
            mailboxes: r.list(limits::ENVELOPE_RECIPIENTS as u64, name)?,
        },
        _ => return Err(Malformed("an origin")),
    })
}

fn text(r: &mut Reader<'_>) -> Result<Text, Malformed> {
    let len = r.array(4)?;
    let blob = r.blob()?;
    if len == 2 {
        return Ok(Text::Came(blob));
    }
    let at = r.millis()?;
    let failed = r.list(limits::ENVELOPE_RECIPIENTS as u64, |r| {
        r.array_of(2)?;
        Ok((r.address()?, r.str()?.to_owned()))
    })?;
    Ok(Text::Report { about: blob, at, failed })
}
