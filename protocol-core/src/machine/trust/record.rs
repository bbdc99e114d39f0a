//! A pair's record: version, then the book, as arrays of plain items.
//!
//! Version 1 didn't say of a line whose offer had won. Both ends know the two addresses, so of such a line the smaller
//! one's counts as the offerer.

use crate::fault::RestoreError;
use crate::id::{Hash, MailId, NodeKey, Nonce, Pair};
use crate::limits;
use crate::net::Hint;
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader, Writer};

use super::SentOffer;
use super::book::{Accepting, Book, Claim, Confirming, HeldOffer, LastWord, Line, Look, Phase, Suspension};
use super::inquiry::{Finding, Inquiry};

const VERSION: u64 = 2;

pub(super) fn encode(pair: &Pair, book: &Book) -> Record {
    let key = Key::Trust(pair.clone());
    if *book == Book::default() {
        return Record::remove(key);
    }
    let mut writer = Writer::array_of(7);
    writer.u64(VERSION);
    writer.maybe(book.known, |writer, nk| writer.bytes(&nk.0));
    writer.maybe(book.suspended.as_ref(), |writer, suspension| {
        writer.array(1).maybe(suspension.candidate, |writer, nk| writer.bytes(&nk.0))
    });
    writer.list(book.sent.iter(), |writer, offer| {
        writer.array(4).bytes(&offer.hash.0).bytes(&offer.nonce.0).millis(offer.at).millis(offer.expires);
    });
    writer.list(book.held.iter(), write_held);
    writer.list(book.claims.iter(), write_claim);
    write_phase(&mut writer, &book.phase);
    let record = Record::put(key, writer.into_bytes());
    match book.ends() {
        Some(end) => record.until(end),
        None => record,
    }
}

pub(super) fn decode(key: &Key, bytes: &[u8]) -> Result<Book, RestoreError> {
    let damaged = |Malformed(what)| RestoreError::Damaged { key: key.clone(), what };
    let mut reader = Reader::new(bytes);
    let items = reader.array(64).map_err(damaged)?;
    let version = reader.u64().map_err(damaged)?;
    if version == 0 || version > VERSION {
        return Err(RestoreError::Version { key: key.clone(), found: version, known: VERSION });
    }
    if items != 7 {
        return Err(damaged(Malformed("seven items")));
    }
    let smaller = matches!(key, Key::Trust(pair) if pair.ours < pair.theirs);
    read(&mut reader, (version == 1).then_some(smaller)).map_err(damaged)
}

/// Reads the book; `offered` is what a line of version 1 counts as.
fn read(reader: &mut Reader<'_>, offered: Option<bool>) -> Result<Book, Malformed> {
    let known = reader.maybe(|reader| reader.fixed().map(NodeKey))?;
    let suspended = reader.maybe(|reader| {
        reader.array_of(1)?;
        Ok(Suspension { candidate: reader.maybe(|reader| reader.fixed().map(NodeKey))? })
    })?;
    let sent = reader.list(limits::OFFERS_PER_PAIR as u64, |reader| {
        reader.array_of(4)?;
        let (hash, nonce) = (Hash(reader.fixed()?), Nonce(reader.fixed()?));
        Ok(SentOffer { hash, nonce, at: reader.millis()?, expires: reader.millis()? })
    })?;
    let held = reader.list(limits::HELD_PER_PAIR as u64, read_held)?;
    let claims = reader.list(limits::HELD_PER_PAIR as u64, read_claim)?;
    let phase = read_phase(reader, offered)?;
    reader.end()?;
    if matches!(phase, Phase::Trusted(_)) && known.is_none() {
        return Err(Malformed("the node of the line"));
    }
    Ok(Book { known, suspended, sent, held, claims, phase })
}

fn write_held(writer: &mut Writer, held: &HeldOffer) {
    writer.array(8).bytes(&held.t0.0).bytes(&held.nonce.0).bytes(&held.nk.0);
    write_next(writer, held.next);
    write_hint(writer, held.hint.as_deref());
    writer.millis(held.expires).bytes(&held.message.0);
    write_inquiry(writer, &held.inquiry);
}

fn read_held(reader: &mut Reader<'_>) -> Result<HeldOffer, Malformed> {
    reader.array_of(8)?;
    Ok(HeldOffer {
        t0: Hash(reader.fixed()?),
        nonce: Nonce(reader.fixed()?),
        nk: NodeKey(reader.fixed()?),
        next: read_next(reader)?,
        hint: read_hint(reader)?,
        expires: reader.millis()?,
        message: Hash(reader.fixed()?),
        inquiry: read_inquiry(reader)?,
    })
}

fn write_claim(writer: &mut Writer, claim: &Claim) {
    writer.array(9).bytes(&claim.t0.0).bytes(&claim.our_nonce.0).bytes(&claim.t1.0).bytes(&claim.nonce.0);
    writer.bytes(&claim.nk.0);
    write_next(writer, claim.next);
    write_hint(writer, claim.hint.as_deref());
    writer.millis(claim.until);
    write_inquiry(writer, &claim.inquiry);
}

fn read_claim(reader: &mut Reader<'_>) -> Result<Claim, Malformed> {
    reader.array_of(9)?;
    Ok(Claim {
        t0: Hash(reader.fixed()?),
        our_nonce: Nonce(reader.fixed()?),
        t1: Hash(reader.fixed()?),
        nonce: Nonce(reader.fixed()?),
        nk: NodeKey(reader.fixed()?),
        next: read_next(reader)?,
        hint: read_hint(reader)?,
        until: reader.millis()?,
        inquiry: read_inquiry(reader)?,
    })
}

fn write_phase(writer: &mut Writer, phase: &Phase) {
    match phase {
        Phase::Open => writer.array(1).u64(0),
        Phase::Accepting(accepting) => {
            writer.array(8).u64(1);
            write_held(writer, &accepting.held);
            writer.bytes(&accepting.t1.0).bytes(&accepting.nonce.0).millis(accepting.at);
            writer.maybe(accepting.m2.as_deref(), Writer::bytes);
            writer.millis(accepting.until).maybe(accepting.dials_at, Writer::millis)
        }
        Phase::Confirming(confirming) => {
            writer.array(8).u64(2).bytes(&confirming.t1.0).bytes(&confirming.nonce.0).bytes(&confirming.nk.0);
            write_next(writer, confirming.next);
            write_hint(writer, confirming.hint.as_deref());
            writer.bytes(&confirming.m2).millis(confirming.until)
        }
        Phase::Trusted(line) => {
            writer.array(8).u64(3).bool(line.offered);
            write_hint(writer, line.hint.as_deref());
            writer.bytes(&line.t1.0).bytes(&line.t2.0).millis(line.look.at);
            writer
                .maybe(line.look.mail, |writer, mail| writer.bytes(&mail.0))
                .maybe(line.last_word.as_ref(), |writer, word| {
                    writer.array(3).bytes(&word.m2).bytes(&word.m3).millis(word.until)
                })
        }
        Phase::Revoked => writer.array(1).u64(4),
    };
}

fn read_phase(reader: &mut Reader<'_>, offered: Option<bool>) -> Result<Phase, Malformed> {
    let items = reader.array(8)?;
    Ok(match (reader.u64()?, items) {
        (0, 1) => Phase::Open,
        (1, 8) => Phase::Accepting(Box::new(Accepting {
            held: read_held(reader)?,
            t1: Hash(reader.fixed()?),
            nonce: Nonce(reader.fixed()?),
            at: reader.millis()?,
            m2: reader.maybe(read_bytes)?,
            until: reader.millis()?,
            dials_at: reader.maybe(Reader::millis)?,
        })),
        (2, 8) => Phase::Confirming(Box::new(Confirming {
            t1: Hash(reader.fixed()?),
            nonce: Nonce(reader.fixed()?),
            nk: NodeKey(reader.fixed()?),
            next: read_next(reader)?,
            hint: read_hint(reader)?,
            m2: read_bytes(reader)?,
            until: reader.millis()?,
        })),
        (3, 8 | 7) if (items == 7) == offered.is_some() => Phase::Trusted(Box::new(Line {
            offered: offered.map_or_else(|| reader.bool(), Ok)?,
            hint: read_hint(reader)?,
            t1: Hash(reader.fixed()?),
            t2: Hash(reader.fixed()?),
            look: Look { at: reader.millis()?, mail: reader.maybe(|reader| reader.fixed().map(MailId))? },
            last_word: reader.maybe(|reader| {
                reader.array_of(3)?;
                Ok(LastWord { m2: read_bytes(reader)?, m3: read_bytes(reader)?, until: reader.millis()? })
            })?,
        })),
        (4, 1) => Phase::Revoked,
        _ => return Err(Malformed("a phase")),
    })
}

fn write_inquiry(writer: &mut Writer, inquiry: &Inquiry) {
    writer.array(3).bytes(&inquiry.mail.0);
    write_finding(writer, &inquiry.dkim, |writer, good| {
        writer.bool(*good);
    });
    write_finding(writer, &inquiry.domain, |writer, named| {
        writer.maybe(named.as_ref(), |writer, nk| writer.bytes(&nk.0));
    });
}

fn read_inquiry(reader: &mut Reader<'_>) -> Result<Inquiry, Malformed> {
    reader.array_of(3)?;
    Ok(Inquiry {
        mail: MailId(reader.fixed()?),
        dkim: read_finding(reader, Reader::bool)?,
        domain: read_finding(reader, |reader| reader.maybe(|reader| reader.fixed().map(NodeKey)))?,
    })
}

fn write_finding<T>(writer: &mut Writer, finding: &Finding<T>, write: impl FnOnce(&mut Writer, &T)) {
    match finding {
        Finding::Unasked => {
            writer.array(0);
        }
        Finding::Known(answer) => {
            writer.array(1);
            write(writer, answer);
        }
        Finding::Asked { since, again } => {
            writer.array(2).millis(*since).millis(*again);
        }
    }
}

fn read_finding<'b, T>(
    reader: &mut Reader<'b>,
    read: impl FnOnce(&mut Reader<'b>) -> Result<T, Malformed>,
) -> Result<Finding<T>, Malformed> {
    Ok(match reader.array(2)? {
        0 => Finding::Unasked,
        1 => Finding::Known(read(reader)?),
        _ => Finding::Asked { since: reader.millis()?, again: reader.millis()? },
    })
}

fn write_next(writer: &mut Writer, next: Option<Hash>) {
    writer.maybe(next, |writer, next| writer.bytes(&next.0));
}

fn read_next(reader: &mut Reader<'_>) -> Result<Option<Hash>, Malformed> {
    reader.maybe(|reader| reader.fixed().map(Hash))
}

fn write_hint(writer: &mut Writer, hint: Option<&str>) {
    writer.maybe(hint, Writer::str);
}

fn read_hint(reader: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    reader.maybe(|reader| {
        let hint = Hint::parse(reader.str()?).map_err(|_| Malformed("a hint"))?;
        Ok(hint.to_string())
    })
}

fn read_bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    reader.bytes().map(<[u8]>::to_vec)
}
