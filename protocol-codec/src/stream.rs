//! The frames of a link as bytes on a stream, and back: partial in, whole out. Spec: [L-2], [L-14], [L-19].
//!
//! ```text
//!   [length u32 BE][type u8][body]        length counts type and body
//! ```
//!
//! | type | frame  | body                                                | type | frame  | body                        |
//! |-----:|--------|-----------------------------------------------------|-----:|--------|-----------------------------|
//! |    1 | Hello  | as `wire::hello` has it                             |    9 | Chunk  | `[hash, offset, bytes]`     |
//! |    2 | Proof  | `signature`                                         |   10 | Ask    | `[0, [id …]]` or `[1, hash, offset]` |
//! |    3 | Ready  | `[next nk, generation, last seen, items, bytes, max]` | 11 | Answer | as Mark                     |
//! |    4 | Carry  | `[seq, id, from, [to …], submitted, body]`          |   13 | Ping   | `number`                    |
//! |    5 | Ack    | `seq`                                               |   14 | Pong   | `number`                    |
//! |    6 | Refuse | `[seq, code, [index …]]`                            |   15 | Bye    | `code`                      |
//! |    7 | Trust  | `[ours, theirs, step, bytes, signature]`            | 128… |        | anything; passed over       |
//! |    8 | Mark   | `[id, reached, id, reached …]`                      | 16 … 27 | Talk | as in `talk`                |
//! |      |        |                                                     | 28 … 33 | File | as in `file`                |
//! |      |        |                                                     |  129 | Whisper | as in `whisper`            |
//!
//! A Carry's `body` is the body itself up to [`CARRY_INLINE_BYTES`], and `[hash, length]` above. Bodies are strictly
//! deterministic CBOR (RFC 8949 §4.2.1), one item, nothing behind it. What a frame may say
//! when is the machines' to judge; bodies and pieces of bodies are handed out beside their frame.

use std::collections::BTreeSet;

use postline_core::fault::{Code, Misuse, PeerFault};
use postline_core::id::{BlobRef, CarryId, Hash, Pair};
use postline_core::limits::{self, CARRY_INLINE_BYTES, CHUNK_BYTES, FRAME_BYTES, HELLO_BYTES};
use postline_core::store::sha256;
use postline_core::wire::cbor::{Malformed, Reader, Writer};
use postline_core::wire::file::File;
use postline_core::wire::frame::{Ask, Carry, ExpressEnvelope, Frame, Mark, Reached, Ready, Trust, TrustStep};

mod file;
mod strict;
mod talk;
mod whisper;

/// A frame that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The frame.
    pub frame: Frame,
    /// The body of a Carry that brings it along, or the bytes of a Chunk or Piece.
    pub bytes: Option<Vec<u8>>,
}

/// Bytes of the length that stands before each frame.
const LENGTH_BYTES: usize = 4;

/// A buffer larger than this is given back once it is empty.
const KEPT_BYTES: usize = 16 * 1024;

/// Takes bytes as they come, and gives frames. However the bytes are split, the frames are the same (attack 92).
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
    proven: bool,
    fault: Option<PeerFault>,
}

impl FrameReader {
    /// Begins a connection: until [`proven`](Self::proven), frames are at most [`HELLO_BYTES`] long.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The other end has proven its key: frames may be up to [`FRAME_BYTES`] long.
    pub const fn proven(&mut self) {
        self.proven = true;
    }

    /// Gives its buffer back where nothing waits in it: for ends that are silent most of the time.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }

    /// How many bytes [`push`](Self::push) would take: never 0 once [`next`](Self::next) has nothing more to give.
    #[must_use]
    pub const fn room(&self) -> usize {
        (LENGTH_BYTES + self.longest()).saturating_sub(self.buffer.len() - self.start)
    }

    /// Takes as many of the bytes as there is room for, and says how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.get(..self.room()).unwrap_or(bytes);
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(taken);
        taken.len()
    }

    /// The next whole frame; `None` until more bytes come.
    ///
    /// # Errors
    /// [`PeerFault`] where the bytes are no frame; from then on always the same.
    #[expect(clippy::should_implement_trait, reason = "a stream that goes on after None is no iterator")]
    pub fn next(&mut self) -> Result<Option<Incoming>, PeerFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.read().inspect_err(|fault| self.fault = Some(fault.clone()))
    }

    fn read(&mut self) -> Result<Option<Incoming>, PeerFault> {
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 {
            return Err(PeerFault::Frame("a frame of at least its type"));
        }
        if length > self.longest() {
            return Err(PeerFault::TooBig { what: "frame", got: length as u64, max: self.longest() as u64 });
        }
        let Some((&kind, rest)) = rest.split_first() else { return Ok(None) };
        if !is_known(kind) {
            return Err(PeerFault::Frame("a type of version 1, or one that may be ignored"));
        }
        let Some(body) = rest.get(..length - 1) else { return Ok(None) };
        let incoming = decode(kind, body)?;
        self.start += LENGTH_BYTES + length;
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES);
        }
        Ok(Some(incoming))
    }

    const fn longest(&self) -> usize {
        if self.proven { FRAME_BYTES } else { HELLO_BYTES }
    }
}

/// Appends a frame's bytes to `out`. `bytes` are the body of a Carry of at most [`CARRY_INLINE_BYTES`], or of a Chunk or Piece.
///
/// # Errors
/// [`Misuse::OutOfPlace`] where `bytes` aren't those that the frame speaks of, or the frame is too long. Then `out` is as
/// it was.
pub fn encode(frame: &Frame, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Misuse> {
    check_bytes(frame, bytes)?;
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(kind_of(frame));
    let mut writer = Writer::onto(std::mem::take(out));
    write(frame, bytes.unwrap_or_default(), &mut writer);
    *out = writer.into_bytes();
    if let Frame::Hello(raw) = frame {
        out.extend_from_slice(raw);
    } else if let (Frame::Unknown { .. }, Some(raw)) = (frame, bytes) {
        out.extend_from_slice(raw);
    }
    let length = out.len() - start - LENGTH_BYTES;
    match (u32::try_from(length), out.get_mut(start..start + LENGTH_BYTES)) {
        (Ok(number), Some(head)) if length <= FRAME_BYTES => {
            head.copy_from_slice(&number.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(Misuse::OutOfPlace("a frame within FRAME_BYTES"))
        }
    }
}

fn check_bytes(frame: &Frame, bytes: Option<&[u8]>) -> Result<(), Misuse> {
    let got = bytes.map(|bytes| bytes.len() as u64);
    let want = match frame {
        Frame::Carry(carry) if carry.body.len <= CARRY_INLINE_BYTES => Some(carry.body.len),
        Frame::Chunk { len, .. } | Frame::File(File::Piece { len, .. }) => Some(u64::from(*len)),
        Frame::Unknown { .. } => got,
        Frame::Carry(_)
        | Frame::Hello(_)
        | Frame::Proof(_)
        | Frame::Ready(_)
        | Frame::Ack { .. }
        | Frame::Refuse { .. }
        | Frame::Trust(_)
        | Frame::Mark(_)
        | Frame::Ask(_)
        | Frame::Answer(_)
        | Frame::Ping(_)
        | Frame::Pong(_)
        | Frame::Talk(_)
        | Frame::File(_)
        | Frame::Whisper(_)
        | Frame::Bye { .. } => None,
    };
    if got == want { Ok(()) } else { Err(Misuse::OutOfPlace("the bytes that the frame speaks of")) }
}

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const READY: u8 = 3;
const CARRY: u8 = 4;
const ACK: u8 = 5;
const REFUSE: u8 = 6;
const TRUST: u8 = 7;
const MARK: u8 = 8;
const CHUNK: u8 = 9;
const ASK: u8 = 10;
const ANSWER: u8 = 11;
const PING: u8 = 13;
const PONG: u8 = 14;
const BYE: u8 = 15;
const MAY_BE_IGNORED: u8 = 128;
/// In the range of what may be ignored: who doesn't know it misses nothing that lasts.
const WHISPER: u8 = 129;

const ASK_MARKS: u64 = 0;
const ASK_BODY: u64 = 1;

const fn is_known(kind: u8) -> bool {
    matches!(kind, HELLO..=ANSWER | PING..=BYE | MAY_BE_IGNORED..) || talk::is_known(kind) || file::is_known(kind)
}

const fn kind_of(frame: &Frame) -> u8 {
    match frame {
        Frame::Hello(_) => HELLO,
        Frame::Proof(_) => PROOF,
        Frame::Ready(_) => READY,
        Frame::Carry(_) => CARRY,
        Frame::Ack { .. } => ACK,
        Frame::Refuse { .. } => REFUSE,
        Frame::Trust(_) => TRUST,
        Frame::Mark(_) => MARK,
        Frame::Chunk { .. } => CHUNK,
        Frame::Ask(_) => ASK,
        Frame::Answer(_) => ANSWER,
        Frame::Ping(_) => PING,
        Frame::Pong(_) => PONG,
        Frame::Bye { .. } => BYE,
        Frame::Talk(talk) => talk::kind_of(talk),
        Frame::File(file) => file::kind_of(file),
        Frame::Whisper(_) => WHISPER,
        Frame::Unknown { kind } => *kind,
    }
}

fn write(frame: &Frame, bytes: &[u8], w: &mut Writer) {
    match frame {
        Frame::Hello(_) | Frame::Unknown { .. } => {}
        Frame::Proof(signature) => {
            w.bytes(signature);
        }
        Frame::Ready(ready) => {
            w.array(6).bytes(&ready.next_nk.0).u64(ready.generation).u64(ready.last_seen);
            w.u64(ready.window_items.into()).u64(ready.window_bytes).u64(ready.max_body);
        }
        Frame::Carry(carry) => {
            let ExpressEnvelope { from, to, submitted } = &carry.envelope;
            w.array(6).u64(carry.seq).bytes(&carry.id.0).address(from);
            w.list(to.iter(), |w, address| {
                w.address(address);
            });
            w.millis(*submitted);
            if carry.body.len <= CARRY_INLINE_BYTES {
                w.bytes(bytes)
            } else {
                w.array(2).blob(carry.body)
            };
        }
        Frame::Ack { seq: number } | Frame::Ping(number) | Frame::Pong(number) => {
            w.u64(*number);
        }
        Frame::Refuse { seq, code, rcpts } => {
            w.array(3).u64(*seq).u64(*code as u64).list(rcpts.iter(), |w, index| {
                w.u64(u64::from(*index));
            });
        }
        Frame::Trust(trust) => {
            w.array(5).address(&trust.pair.ours).address(&trust.pair.theirs);
            w.u64(number_of_step(trust.step)).bytes(&trust.bytes).bytes(&trust.signature);
        }
        Frame::Mark(marks) | Frame::Answer(marks) => {
            w.array(2 * marks.len() as u64);
            for Mark { id, reached } in marks {
                w.bytes(&id.0).u64(number_of_reached(*reached));
            }
        }
        Frame::Chunk { blob, offset, .. } => {
            w.array(3).bytes(&blob.0).u64(*offset).bytes(bytes);
        }
        Frame::Ask(Ask::Marks(ids)) => {
            w.array(2).u64(ASK_MARKS).list(ids.iter(), |w, id| {
                w.bytes(&id.0);
            });
        }
        Frame::Ask(Ask::Body { blob, offset }) => {
            w.array(3).u64(ASK_BODY).bytes(&blob.0).u64(*offset);
        }
        Frame::Bye { code } => {
            w.u64(*code as u64);
        }
        Frame::Talk(talk) => talk::write(talk, w),
        Frame::File(file) => file::write(file, bytes, w),
        Frame::Whisper(whisper) => whisper::write(whisper, w),
    }
}

fn decode(kind: u8, body: &[u8]) -> Result<Incoming, PeerFault> {
    match kind {
        HELLO => return Ok(Incoming { frame: Frame::Hello(body.to_vec()), bytes: None }),
        WHISPER => {}
        MAY_BE_IGNORED.. => return Ok(Incoming { frame: Frame::Unknown { kind }, bytes: None }),
        _ => {}
    }
    if !strict::is_one_item(body) {
        return Err(PeerFault::Frame("one item of deterministic CBOR"));
    }
    read(kind, &mut Reader::new(body)).map_err(|Malformed(what)| PeerFault::Frame(what))
}

fn read(kind: u8, r: &mut Reader<'_>) -> Result<Incoming, Malformed> {
    let mut bytes = None;
    let frame = match kind {
        PROOF => Frame::Proof(r.bytes()?.to_vec()),
        READY => {
            r.array_of(6)?;
            Frame::Ready(Ready {
                next_nk: Hash(r.fixed()?),
                generation: r.u64()?,
                last_seen: r.u64()?,
                window_items: r.u64()?.try_into().map_err(|_| Malformed("a number of 32 bits"))?,
                window_bytes: r.u64()?,
                max_body: r.u64()?,
            })
        }
        CARRY => {
            r.array_of(6)?;
            let (seq, id) = (r.u64()?, CarryId(r.fixed()?));
            let from = r.address()?;
            let to = r.list(limits::ENVELOPE_RECIPIENTS as u64, Reader::address)?;
            if to.is_empty() || to.iter().collect::<BTreeSet<_>>().len() != to.len() {
                return Err(Malformed("recipients, none twice"));
            }
            let envelope = ExpressEnvelope { from, to, submitted: r.millis()? };
            let body = read_body(r, &mut bytes)?;
            Frame::Carry(Carry { seq, id, envelope, body })
        }
        ACK => Frame::Ack { seq: r.u64()? },
        REFUSE => {
            r.array_of(3)?;
            let (seq, code) = (r.u64()?, read_code(r)?);
            let rcpts = r.list(limits::ENVELOPE_RECIPIENTS as u64, |r| {
                r.u64()?.try_into().map_err(|_| Malformed("the index of a recipient"))
            })?;
            if !rcpts.is_sorted_by(|a: &u8, b| a < b) {
                return Err(Malformed("indices in order"));
            }
            Frame::Refuse { seq, code, rcpts: rcpts.into_iter().collect() }
        }
        TRUST => {
            r.array_of(5)?;
            let pair = Pair { ours: r.address()?, theirs: r.address()? };
            let step = step_of(r.u64()?)?;
            Frame::Trust(Trust { pair, step, bytes: r.bytes()?.to_vec(), signature: r.bytes()?.to_vec() })
        }
        MARK => Frame::Mark(read_marks(r)?),
        ANSWER => Frame::Answer(read_marks(r)?),
        CHUNK => {
            r.array_of(3)?;
            let (blob, offset, piece) = (Hash(r.fixed()?), r.u64()?, r.bytes()?);
            if piece.len() > CHUNK_BYTES {
                return Err(Malformed("a piece of at most CHUNK_BYTES"));
            }
            bytes = Some(piece.to_vec());
            Frame::Chunk { blob, offset, len: piece.len() as u32 }
        }
        ASK => {
            let items = r.array(3)?;
            match (r.u64()?, items) {
                (ASK_MARKS, 2) => Frame::Ask(Ask::Marks(r.list(limits::MARK_IDS as u64, |r| r.fixed().map(CarryId))?)),
                (ASK_BODY, 3) => Frame::Ask(Ask::Body { blob: Hash(r.fixed()?), offset: r.u64()? }),
                _ => return Err(Malformed("a question of version 1")),
            }
        }
        PING => Frame::Ping(r.u64()?),
        PONG => Frame::Pong(r.u64()?),
        BYE => Frame::Bye { code: read_code(r)? },
        _ if file::is_known(kind) => Frame::File(file::read(kind, r, &mut bytes)?),
        _ if talk::is_known(kind) => Frame::Talk(talk::read(kind, r)?),
        WHISPER => Frame::Whisper(whisper::read(r)?),
        _ => return Err(Malformed("a type of version 1")),
    };
    Ok(Incoming { frame, bytes })
}

/// The body of a Carry, or its name. One that rides inside needs no name: it is hashed here.
fn read_body(r: &mut Reader<'_>, bytes: &mut Option<Vec<u8>>) -> Result<BlobRef, Malformed> {
    if r.is_array() {
        r.array_of(2)?;
        let blob = r.blob()?;
        return if blob.len > CARRY_INLINE_BYTES { Ok(blob) } else { Err(Malformed("a small body inside its frame")) };
    }
    let body = r.bytes()?;
    if body.len() as u64 > CARRY_INLINE_BYTES {
        return Err(Malformed("a large body in chunks"));
    }
    *bytes = Some(body.to_vec());
    Ok(BlobRef { sha256: sha256(&[body]), len: body.len() as u64 })
}

fn read_marks(r: &mut Reader<'_>) -> Result<Vec<Mark>, Malformed> {
    let items = r.array(2 * limits::MARK_IDS as u64)?;
    if items % 2 != 0 {
        return Err(Malformed("ids and what they reached, in turn"));
    }
    (0..items / 2).map(|_| Ok(Mark { id: CarryId(r.fixed()?), reached: reached_of(r.u64()?)? })).collect()
}

/// Numbers that we don't know are codes nevertheless.
fn read_code(r: &mut Reader<'_>) -> Result<Code, Malformed> {
    let number = r.u64()?.try_into().map_err(|_| Malformed("a code of 16 bits"))?;
    Ok(Code::from_wire(number))
}

const fn number_of_step(step: TrustStep) -> u64 {
    match step {
        TrustStep::Confirm => 0,
        TrustStep::Done => 1,
        TrustStep::Accept => 2,
        TrustStep::Keys => 3,
    }
}

const fn step_of(number: u64) -> Result<TrustStep, Malformed> {
    match number {
        0 => Ok(TrustStep::Confirm),
        1 => Ok(TrustStep::Done),
        2 => Ok(TrustStep::Accept),
        3 => Ok(TrustStep::Keys),
        _ => Err(Malformed("a step of version 1")),
    }
}

const fn number_of_reached(reached: Reached) -> u64 {
    match reached {
        Reached::Delivered => 0,
        Reached::Failed => 1,
    }
}

const fn reached_of(number: u64) -> Result<Reached, Malformed> {
    match number {
        0 => Ok(Reached::Delivered),
        1 => Ok(Reached::Failed),
        _ => Err(Malformed("a mark of version 1")),
    }
}

#[cfg(test)]
mod tests;
