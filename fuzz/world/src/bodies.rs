//! Bodies for fuzzers: any bytes at all against one part. libFuzzer, property tests and corpus replay call them alike.

mod attachments;
mod content;
mod keys;
mod names;
mod sealed;
mod sessions;
mod stored;
mod talks;

use std::collections::BTreeSet;

use postline_codec::mime::letter::{compose_head, head_len};
use postline_codec::mime::{field, scan};
use postline_codec::stream::{FrameReader, Incoming, encode};
use postline_core::content::mail::{Letter, Text};
use postline_core::fault::{Code, PeerFault};
use postline_core::limits;
use postline_core::machine::link;
use postline_core::seal;
use postline_core::wire::field::{Accept, Carried, Offer};
use postline_core::wire::file::File;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::Talk;

use crate::bytes::blob_of;
use crate::laws::{
    DiallerLaws, DomainLaws, FollowerLaws, HubLaws, LinkLaws, ListenerLaws, MailboxLaws, NodeLaws, ServerLaws, Step,
    Subject, TrustLaws, obeys, ours, theirs,
};
use crate::rng::Rng;
use crate::strategies::{
    self, follower_input, greeting_input, hub_input, link_input, node_queue_input, queue_input, server_input, step,
    trust_input,
};

pub use attachments::attachment_survives;
pub use content::content_survives;
pub use keys::{lists_survive, statements_survive};
pub use names::{address_survives, dial_survives};
pub use sealed::{sealed_survives, vault_survives};
pub use sessions::session_survives;
pub use stored::records_survive;
pub use talks::talks_survive;

/// Longest script: beyond it, more steps of the same show nothing new.
const STEPS: usize = 200;

/// A mail is read without harm, within its bounds, and loses every field of ours when it is stripped.
///
/// # Panics
/// Where a promise is broken.
pub fn scanner_survives(bytes: &[u8]) {
    let head = scan(bytes);
    if let Some(canonical) = head.canonical() {
        assert!(bytes.len() as u64 <= limits::MAIL_BYTES);
        assert!(canonical.to_cc.len() <= limits::HEADER_ADDRESSES && canonical.answers.len() <= limits::REFERENCES);
        assert!(!canonical.message_id.is_empty() && canonical.message_id.len() <= limits::MESSAGE_ID_BYTES);
    }
    let text = Text::Came(blob_of(bytes));
    let letter = Letter { from: None, text, stamp: Vec::new(), strip: true, message_id: None };
    let (original, body) = bytes.split_at(head_len(bytes));
    let stripped = [compose_head(&letter, original).as_slice(), body].concat();
    if let Some(canonical) = scan(&stripped).canonical() {
        assert!(canonical.offer.is_none() && canonical.accept.is_none() && canonical.carried.is_none());
    }
}

/// A field of ours is read without harm, and nobody's signature is taken for another's.
///
/// # Panics
/// Where a promise is broken.
pub fn fields_survive(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(tags) = field::parse(text) else { return };
    assert!(tags.len() <= limits::FIELD_TAGS);
    let (from, to_cc) = (theirs(0), BTreeSet::from([ours()]));
    let offer = seal::field::read::<Offer>(&from, &to_cc, &tags).is_ok();
    let accept = seal::field::read::<Accept>(&from, &to_cc, &tags).is_ok();
    let carried = seal::field::read::<Carried>(&from, &to_cc, &tags).is_ok();
    assert!(u8::from(offer) + u8::from(accept) + u8::from(carried) <= 1, "one signature, two meanings");
}

/// However bytes are split, the frames are the same; and a frame that was read is written as it came, but that a code which
/// isn't known is written as `Protocol`, as which it was read.
///
/// # Panics
/// Where a promise is broken.
pub fn frames_survive(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let proven = kind & 1 == 1;
    let whole = read(bytes, proven, &mut || usize::MAX);
    let mut rng = Rng::new(u64::from(*kind));
    let split = read(bytes, proven, &mut || 1 + rng.index(7));
    assert_eq!(whole, split, "the split shows");
    let mut again = Vec::new();
    for Incoming { frame, bytes } in &whole.0 {
        if !matches!(frame, Frame::Unknown { .. }) {
            let encoded = encode(frame, bytes.as_deref(), &mut again);
            assert!(encoded.is_ok(), "{frame:?} was read and can't be written");
        }
    }
    let exact =
        |incoming: &Incoming| !matches!(incoming.frame, Frame::Unknown { .. }) && !says_protocol(&incoming.frame);
    assert!(!whole.0.iter().all(exact) || bytes.starts_with(&again), "written in another way than it came");
    let known: Vec<_> = whole.0.iter().filter(|known| !matches!(known.frame, Frame::Unknown { .. })).collect();
    let reread = read(&again, true, &mut || usize::MAX);
    assert!(reread.1 && known.into_iter().eq(&reread.0), "what was written is read in another way");
}

/// Whether it bears the code that unknown ones are read as.
fn says_protocol(frame: &Frame) -> bool {
    matches!(
        frame,
        Frame::Bye { code: Code::Protocol }
            | Frame::Refuse { code: Code::Protocol, .. }
            | Frame::File(File::Kept { far: Err(Code::Protocol), .. })
            | Frame::Talk(
                Talk::Unposted { code: Code::Protocol, .. }
                    | Talk::Published { code: Some(Code::Protocol), .. }
                    | Talk::Answer { what: Err(Code::Protocol), .. }
            )
    )
}

fn read(mut bytes: &[u8], proven: bool, next: &mut impl FnMut() -> usize) -> (Vec<Incoming>, bool) {
    let (mut reader, mut frames) = (FrameReader::new(), Vec::new());
    if proven {
        reader.proven();
    }
    loop {
        match reader.next() {
            Ok(Some(incoming)) => frames.push(incoming),
            Ok(None) if bytes.is_empty() => return (frames, true),
            Ok(None) => {
                let piece = bytes.get(..next().min(bytes.len())).unwrap_or_default();
                let taken = reader.push(piece);
                assert!(taken > 0, "a reader that wants more takes nothing");
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            Err(_) => return (frames, false),
        }
    }
}

/// What a connection brings, from bytes to the machine: frames that fit, some of them changed, in pieces; and a link that
/// is told what was read keeps the laws.
///
/// The first byte says how the stream is changed and split; each eight bytes make a frame.
///
/// # Panics
/// Where a promise is broken.
pub fn stream_survives(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let mut rng = Rng::new(u64::from(*how));
    let mut stream = Vec::new();
    for word in words(bytes) {
        let frame = strategies::frame(&mut Rng::new(word));
        let len = if let Frame::Chunk { len, .. } = &frame { usize::try_from(*len).unwrap_or_default() } else { 0 };
        let chunk = vec![7; len];
        // What a peer of ours could not write is not written.
        _ = encode(&frame, Some(chunk.as_slice()).filter(|_| len > 0), &mut stream);
    }
    if how & 1 == 1 && !stream.is_empty() {
        let at = rng.index(stream.len());
        if let Some(byte) = stream.get_mut(at) {
            *byte ^= 1 << (how >> 5);
        }
    }
    let whole = read(&stream, true, &mut || usize::MAX);
    let split = read(&stream, true, &mut || 1 + rng.index(3_000));
    assert_eq!(whole, split, "the split shows");
    assert!(how & 1 == 1 || whole.1, "frames of ours are refused");
    let link = postline_core::id::LinkId(1);
    let mut inputs = vec![link::Input::Proven { link, dialled: how & 2 == 2 }];
    inputs.extend(whole.0.into_iter().map(|incoming| link::Input::Frame(link, incoming.frame)));
    if !whole.1 {
        inputs.push(link::Input::Garbage(link, PeerFault::Frame("a frame")));
    }
    obeys::<LinkLaws>(inputs.into_iter().map(|input| Step { after_ms: 20, fails: false, input }));
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(8).take(STEPS).map(|chunk| chunk.iter().fold(0, |word: u64, byte| word << 8 | u64::from(*byte)))
}

fn script<S: Subject>(bytes: &[u8], input: fn(&mut Rng) -> <S::Machine as postline_core::step::Machine>::Input) {
    obeys::<S>(words(bytes).map(|word| step(word, input)));
}

/// A pair keeps the laws.
pub fn trust_survives(bytes: &[u8]) {
    script::<TrustLaws>(bytes, trust_input);
}

/// A link keeps the laws.
pub fn link_survives(bytes: &[u8]) {
    script::<LinkLaws>(bytes, link_input);
}

/// A connection without proof keeps the laws, at both ends.
pub fn greeting_survives(bytes: &[u8]) {
    script::<ListenerLaws>(bytes, greeting_input);
    script::<DiallerLaws>(bytes, greeting_input);
}

/// A lane keeps the laws, of each kind.
pub fn queue_survives(bytes: &[u8]) {
    script::<DomainLaws>(bytes, queue_input);
    script::<MailboxLaws>(bytes, queue_input);
    script::<NodeLaws>(bytes, node_queue_input);
}

/// A conversation's log keeps the laws, as the hub's and as a follower's.
pub fn log_survives(bytes: &[u8]) {
    script::<HubLaws>(bytes, hub_input);
    script::<FollowerLaws>(bytes, follower_input);
}

/// The front door keeps the laws.
pub fn server_survives(bytes: &[u8]) {
    script::<ServerLaws>(bytes, server_input);
}
