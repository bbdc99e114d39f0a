//! What is whispered: bodies of the type 129, which who doesn't know it may ignore ([L-14]).
//!
//! | type | frame   | body                                                                                       |
//! |-----:|---------|--------------------------------------------------------------------------------------------|
//! |  129 | Whisper | `[0, [[of, to, word] …]]`, `[1, who, conversation]`, `[2]`, `[3, [[theirs, chosen, agrees] …]]` |
//!
//! A word is 0 silent, 1 agrees, 2 here; or 3 away, and the time follows it.

use postline_core::id::ConversationId;
use postline_core::limits;
use postline_core::wire::cbor::{Malformed, Reader, Writer};
use postline_core::wire::whisper::{Choice, Delta, Seen, Whisper, Word};

const VECTOR: u64 = 0;
const TYPES: u64 = 1;
const ACTIVE: u64 = 2;
const CHOICES: u64 = 3;

const SILENT: u64 = 0;
const AGREES: u64 = 1;
const HERE: u64 = 2;
const AWAY: u64 = 3;

pub(super) fn write(whisper: &Whisper, w: &mut Writer) {
    match whisper {
        Whisper::Vector(deltas) => {
            w.array(2).u64(VECTOR).list(deltas.iter(), |w, delta| {
                write_delta(delta, w);
            });
        }
        Whisper::Types(who, conversation) => {
            w.array(3).u64(TYPES).address(who).bytes(&conversation.0);
        }
        Whisper::Active => {
            w.array(1).u64(ACTIVE);
        }
        Whisper::Choices(choices) => {
            w.array(2).u64(CHOICES).list(choices.iter(), |w, choice| {
                w.array(3).address(&choice.theirs).millis(choice.chosen).bool(choice.agrees);
            });
        }
    }
}

fn write_delta(delta: &Delta, w: &mut Writer) {
    let (word, last) = match delta.word {
        Word::Silent => (SILENT, None),
        Word::Agrees => (AGREES, None),
        Word::Shows(Seen::Here) => (HERE, None),
        Word::Shows(Seen::Away(last)) => (AWAY, Some(last)),
    };
    w.array(if last.is_some() { 4 } else { 3 }).address(&delta.of).address(&delta.to).u64(word);
    last.into_iter().for_each(|last| _ = w.millis(last));
}

pub(super) fn read(r: &mut Reader<'_>) -> Result<Whisper, Malformed> {
    let items = r.array(3)?;
    match (items, if items == 0 { CHOICES + 1 } else { r.u64()? }) {
        (2, VECTOR) => Ok(Whisper::Vector(r.list(limits::PRESENCE_DELTAS as u64, read_delta)?)),
        (3, TYPES) => Ok(Whisper::Types(r.address()?, ConversationId(r.fixed()?))),
        (1, ACTIVE) => Ok(Whisper::Active),
        (2, CHOICES) => Ok(Whisper::Choices(r.list(limits::PRESENCE_DELTAS as u64, |r| {
            r.array_of(3)?;
            Ok(Choice { theirs: r.address()?, chosen: r.millis()?, agrees: r.bool()? })
        })?)),
        _ => Err(Malformed("a whisper of version 1")),
    }
}

fn read_delta(r: &mut Reader<'_>) -> Result<Delta, Malformed> {
    let items = r.array(4)?;
    if items < 3 {
        return Err(Malformed("a change of version 1"));
    }
    let (of, to) = (r.address()?, r.address()?);
    let word = match (r.u64()?, items) {
        (SILENT, 3) => Word::Silent,
        (AGREES, 3) => Word::Agrees,
        (HERE, 3) => Word::Shows(Seen::Here),
        (AWAY, 4) => Word::Shows(Seen::Away(r.millis()?)),
        _ => return Err(Malformed("a word of version 1")),
    };
    Ok(Delta { of, to, word })
}
