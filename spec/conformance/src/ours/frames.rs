//! Frames as bytes on a stream, and as JSON.

use std::collections::BTreeSet;

use postline_codec::stream::{FrameReader, Incoming, encode};
use postline_core::fault::Code;
use postline_core::id::{BlobRef, CarryId, Hash, Pair};
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::file::File;
use postline_core::wire::frame::{Ask, Carry, ExpressEnvelope, Frame, Mark, Reached, Ready, Trust, TrustStep};
use postline_core::wire::talk::Talk;
use serde_json::{Value, json};

use super::{Not, Said, talk, whisper};
use crate::input::{Input, Unfit, as_bytes, as_number, hex, number};

pub(super) fn read(input: Input<'_>) -> Said {
    let chunks: Option<Vec<Vec<u8>>> = input.list("chunks")?.iter().map(as_bytes).collect();
    let chunks = chunks.ok_or_else(|| Not::Understood("chunks are bytes".to_owned()))?;
    let mut reader = FrameReader::new();
    if input.truth("ready")? {
        reader.proven();
    }
    let mut frames = Vec::new();
    for chunk in &chunks {
        let mut rest = chunk.as_slice();
        loop {
            let taken = reader.push(rest);
            rest = rest.get(taken..).unwrap_or_default();
            while let Some(incoming) = reader.next()? {
                frames.push(shown(incoming));
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    Ok(json!({ "frames": frames, "left": left(&chunks.concat()) }))
}

/// How many bytes stand behind the last whole frame.
fn left(stream: &[u8]) -> usize {
    let mut rest = stream;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        match behind.get(u32::from_be_bytes(*length) as usize..) {
            Some(next) => rest = next,
            None => break,
        }
    }
    rest.len()
}

pub(super) fn make(input: Input<'_>) -> Said {
    let (frame, bytes) = asked(Input(input.member("frame")?))?;
    let mut out = Vec::new();
    encode(&frame, bytes.as_deref(), &mut out).map_err(|why| Not::Understood(why.to_string()))?;
    Ok(json!({ "bytes": hex(out) }))
}

fn shown(Incoming { frame, bytes }: Incoming) -> Value {
    let bytes = bytes.unwrap_or_default();
    match frame {
        Frame::Hello(body) => json!({ "type": 1, "bytes": hex(body) }),
        Frame::Proof(signature) => json!({ "type": 2, "signature": hex(signature) }),
        Frame::Ready(ready) => json!({
            "type": 3,
            "next_nk": hex(ready.next_nk.0),
            "generation": number(ready.generation),
            "last_seq": number(ready.last_seen),
            "window_items": ready.window_items,
            "window_bytes": number(ready.window_bytes),
            "largest": number(ready.max_body),
        }),
        Frame::Carry(carry) => {
            let to: Vec<String> = carry.envelope.to.iter().map(ToString::to_string).collect();
            let mut said = json!({
                "type": 4,
                "seq": number(carry.seq),
                "id": hex(carry.id.0),
                "from": carry.envelope.from.to_string(),
                "to": to,
                "submitted": number(carry.envelope.submitted.0),
            });
            if let Some(object) = said.as_object_mut() {
                if carry.body.len == bytes.len() as u64 {
                    object.insert("body".to_owned(), hex(bytes).into());
                } else {
                    object.insert("hash".to_owned(), hex(carry.body.sha256.0).into());
                    object.insert("length".to_owned(), number(carry.body.len));
                }
            }
            said
        }
        Frame::Ack { seq } => json!({ "type": 5, "seq": number(seq) }),
        Frame::Refuse { seq, code, rcpts } => {
            json!({ "type": 6, "seq": number(seq), "code": code as u16, "rcpts": rcpts })
        }
        Frame::Trust(trust) => json!({
            "type": 7,
            "from": trust.pair.ours.to_string(),
            "to": trust.pair.theirs.to_string(),
            "step": match trust.step { TrustStep::Confirm => 0, TrustStep::Done => 1, TrustStep::Accept => 2, TrustStep::Keys => 3 },
            "bytes": hex(trust.bytes),
            "signature": hex(trust.signature),
        }),
        Frame::Mark(marks) => json!({ "type": 8, "marks": shown_marks(&marks) }),
        Frame::Chunk { blob, offset, .. } => {
            json!({ "type": 9, "hash": hex(blob.0), "offset": number(offset), "bytes": hex(bytes) })
        }
        Frame::Ask(Ask::Marks(ids)) => {
            json!({ "type": 10, "ids": ids.iter().map(|id| hex(id.0)).collect::<Vec<_>>() })
        }
        Frame::Ask(Ask::Body { blob, offset }) => {
            json!({ "type": 10, "hash": hex(blob.0), "offset": number(offset) })
        }
        Frame::Answer(marks) => json!({ "type": 11, "marks": shown_marks(&marks) }),
        Frame::Ping(value) => json!({ "type": 13, "number": number(value) }),
        Frame::Pong(value) => json!({ "type": 14, "number": number(value) }),
        Frame::Bye { code } => json!({ "type": 15, "code": code as u16 }),
        Frame::Talk(said) => {
            let kind = talk_kind(&said);
            let mut object = talk::shown(said);
            if let Some(object) = object.as_object_mut() {
                object.insert("type".to_owned(), kind.into());
            }
            object
        }
        Frame::File(file) => shown_file(file, bytes),
        Frame::Whisper(whisper) => whisper::shown(&whisper),
        Frame::Unknown { kind } => json!({ "type": kind }),
    }
}

fn shown_file(file: File, bytes: Vec<u8>) -> Value {
    match file {
        File::Keep { theirs, file } => json!({
            "type": 28, "theirs": theirs.to_string(), "hash": hex(file.sha256.0), "length": number(file.len),
        }),
        File::Kept { hash, far: Ok(far) } => json!({ "type": 29, "hash": hex(hash.0), "far": number(far) }),
        File::Kept { hash, far: Err(code) } => json!({ "type": 29, "hash": hex(hash.0), "code": code as u16 }),
        File::Fetch { asker, whose, file, from } => json!({
            "type": 30, "asker": asker.to_string(), "whose": whose.to_string(), "hash": hex(file.sha256.0),
            "length": number(file.len), "offset": number(from),
        }),
        File::Piece { hash, offset, .. } => {
            json!({ "type": 31, "hash": hex(hash.0), "offset": number(offset), "bytes": hex(bytes) })
        }
        File::Forget { whose, theirs, file } => json!({
            "type": 32, "whose": whose.to_string(), "theirs": theirs.to_string(), "hash": hex(file.sha256.0),
            "length": number(file.len),
        }),
        File::Forgotten { whose, theirs, hash, gone } => {
            let (whose, theirs, hash) = (whose.to_string(), theirs.to_string(), hex(hash.0));
            match gone {
                Ok(()) => json!({ "type": 33, "whose": whose, "theirs": theirs, "hash": hash }),
                Err(code) => {
                    json!({ "type": 33, "whose": whose, "theirs": theirs, "hash": hash, "code": code as u16 })
                }
            }
        }
    }
}

fn asked_file(kind: u64, frame: Input<'_>, bytes: &mut Option<Vec<u8>>) -> Result<File, Unfit> {
    let hash = Hash(frame.fixed("hash")?);
    let file = || Ok::<_, Unfit>(BlobRef { sha256: hash, len: frame.number("length")? });
    Ok(match kind {
        28 => File::Keep { theirs: frame.address("theirs")?, file: file()? },
        29 if frame.maybe("code").is_some() => File::Kept { hash, far: Err(code(frame)?) },
        29 => File::Kept { hash, far: Ok(frame.number("far")?) },
        30 => File::Fetch {
            asker: frame.address("asker")?,
            whose: frame.address("whose")?,
            file: file()?,
            from: frame.number("offset")?,
        },
        32 => File::Forget { whose: frame.address("whose")?, theirs: frame.address("theirs")?, file: file()? },
        33 => {
            let gone = if frame.maybe("code").is_some() { Err(code(frame)?) } else { Ok(()) };
            File::Forgotten { whose: frame.address("whose")?, theirs: frame.address("theirs")?, hash, gone }
        }
        _ => {
            let piece = frame.bytes("bytes")?;
            let len = u32::try_from(piece.len()).map_err(|_| Unfit("bytes".to_owned()))?;
            *bytes = Some(piece);
            File::Piece { hash, offset: frame.number("offset")?, len }
        }
    })
}

const fn talk_kind(talk: &Talk) -> u8 {
    match talk {
        Talk::Post(_) => 16,
        Talk::Unposted { .. } => 17,
        Talk::Event(_) => 18,
        Talk::Have { .. } => 19,
        Talk::Heads(_) => 20,
        Talk::Delivered { .. } => 21,
        Talk::Publish { .. } => 22,
        Talk::Published { .. } => 23,
        Talk::Ask { .. } => 24,
        Talk::Answer { .. } => 25,
        Talk::Line(_) => 26,
        Talk::Login { .. } => 27,
    }
}

fn shown_marks(marks: &[Mark]) -> Vec<Value> {
    let reached = |reached| match reached {
        Reached::Delivered => 0,
        Reached::Failed => 1,
    };
    marks.iter().map(|mark| json!([hex(mark.id.0), reached(mark.reached)])).collect()
}

fn asked(frame: Input<'_>) -> Result<(Frame, Option<Vec<u8>>), Unfit> {
    let mut bytes = None;
    let frame = match frame.number("type")? {
        1 => Frame::Hello(frame.bytes("bytes")?),
        2 => Frame::Proof(frame.bytes("signature")?),
        3 => Frame::Ready(Ready {
            next_nk: Hash(frame.fixed("next_nk")?),
            generation: frame.number("generation")?,
            last_seen: frame.number("last_seq")?,
            window_items: frame.number("window_items")?.try_into().map_err(|_| Unfit("window_items".to_owned()))?,
            window_bytes: frame.number("window_bytes")?,
            max_body: frame.number("largest")?,
        }),
        4 => {
            let to = frame.addresses("to")?;
            let envelope =
                ExpressEnvelope { from: frame.address("from")?, to, submitted: Millis(frame.number("submitted")?) };
            let body = match frame.maybe("body") {
                Some(_) => {
                    let body = frame.bytes("body")?;
                    let blob = BlobRef { sha256: sha256(&[&body]), len: body.len() as u64 };
                    bytes = Some(body);
                    blob
                }
                None => BlobRef { sha256: Hash(frame.fixed("hash")?), len: frame.number("length")? },
            };
            Frame::Carry(Carry { seq: frame.number("seq")?, id: CarryId(frame.fixed("id")?), envelope, body })
        }
        5 => Frame::Ack { seq: frame.number("seq")? },
        6 => {
            let index = |value| as_number(value).and_then(|index| index.try_into().ok());
            let rcpts: Option<BTreeSet<u8>> = frame.list("rcpts")?.iter().map(index).collect();
            let rcpts = rcpts.ok_or_else(|| Unfit("rcpts are indices".to_owned()))?;
            Frame::Refuse { seq: frame.number("seq")?, code: code(frame)?, rcpts }
        }
        7 => {
            let pair = Pair { ours: frame.address("from")?, theirs: frame.address("to")? };
            let step = match frame.number("step")? {
                0 => TrustStep::Confirm,
                1 => TrustStep::Done,
                3 => TrustStep::Keys,
                _ => return Err(Unfit("no step that is ever sent".to_owned())),
            };
            Frame::Trust(Trust { pair, step, bytes: frame.bytes("bytes")?, signature: frame.bytes("signature")? })
        }
        8 => Frame::Mark(marks(frame)?),
        9 => {
            let piece = frame.bytes("bytes")?;
            let len = u32::try_from(piece.len()).map_err(|_| Unfit("bytes".to_owned()))?;
            bytes = Some(piece);
            Frame::Chunk { blob: Hash(frame.fixed("hash")?), offset: frame.number("offset")?, len }
        }
        10 if frame.maybe("ids").is_some() => {
            let id = |value| as_bytes(value).and_then(|id| id.try_into().ok()).map(CarryId);
            let ids: Option<_> = frame.list("ids")?.iter().map(id).collect();
            Frame::Ask(Ask::Marks(ids.ok_or_else(|| Unfit("ids are of 16 bytes".to_owned()))?))
        }
        10 => Frame::Ask(Ask::Body { blob: Hash(frame.fixed("hash")?), offset: frame.number("offset")? }),
        11 => Frame::Answer(marks(frame)?),
        13 => Frame::Ping(frame.number("number")?),
        14 => Frame::Pong(frame.number("number")?),
        15 => Frame::Bye { code: code(frame)? },
        kind @ 16..=27 => Frame::Talk(talk::asked(kind, frame)?),
        kind @ 28..=33 => Frame::File(asked_file(kind, frame, &mut bytes)?),
        whisper::TYPE => Frame::Whisper(whisper::asked(frame)?),
        _ => return Err(Unfit("no type that is ever sent".to_owned())),
    };
    Ok((frame, bytes))
}

fn code(frame: Input<'_>) -> Result<Code, Unfit> {
    let number = u16::try_from(frame.number("code")?).map_err(|_| Unfit("no code".to_owned()))?;
    Ok(Code::from_wire(number))
}

fn marks(frame: Input<'_>) -> Result<Vec<Mark>, Unfit> {
    let mark = |value: &Value| {
        let id = CarryId(as_bytes(value.get(0)?)?.try_into().ok()?);
        let reached = match as_number(value.get(1)?)? {
            0 => Reached::Delivered,
            1 => Reached::Failed,
            _ => return None,
        };
        Some(Mark { id, reached })
    };
    let marks: Option<_> = frame.list("marks")?.iter().map(mark).collect();
    marks.ok_or_else(|| Unfit("marks are pairs".to_owned()))
}
