//! What happens to devices, and what a node that isn't honest says to them.

use postline_core::client;
use postline_core::content::part::{Body, Disposition, Part};
use postline_core::content::text::Language;
use postline_core::fault::{Code, PeerFault};
use postline_core::id::{ConversationId, DeviceKey, DeviceTag};
use postline_core::limits;
use postline_core::wire::talk::{Event, Finding, Kind, Line, Origin, Password, Publication, Talk};

use super::{frame, hash};
use crate::laws::{ClientInput, conversation, line, theirs};
use crate::rng::Rng;

/// Something that happens to a device and its node.
pub fn client_input(rng: &mut Rng) -> ClientInput {
    match rng.below(18) {
        16 => ClientInput::Client(client::Input::Bytes(super::bytes_in(rng))),
        0..=3 => ClientInput::Client(client::Input::Command(device_command(rng))),
        4 => ClientInput::Client(client::Input::Session(match rng.below(5) {
            0 => client::SessionIn::Unreached,
            1 => client::SessionIn::Down,
            2 => client::SessionIn::Up { channel: [7; 32] },
            3 => client::SessionIn::Garbage(PeerFault::Frame("a frame")),
            _ => client::SessionIn::Frame(frame(rng)),
        })),
        5..=10 => ClientInput::Answers,
        11 => ClientInput::Whispers(super::talks::whisper(rng)),
        12..=14 => ClientInput::Says(talk(rng)),
        _ => ClientInput::Client(client::Input::Wake),
    }
}

fn device_command(rng: &mut Rng) -> client::Command {
    use client::Command as Do;
    let (dk, who) = (DeviceKey([u8::try_from(rng.below(3)).unwrap_or_default(); 32]), theirs(rng.below(2)));
    let password = Password("secret".to_owned().into());
    match rng.below(27) {
        24 => Do::Keep { theirs: who, file: super::some_file(rng) },
        25 => Do::Fetch { whose: who, file: super::some_file(rng) },
        26 => Do::GiveUp(super::some_file(rng).sha256),
        0..=3 => Do::Enrol { login: Some(client::io::Login { user: "one".to_owned(), password }) },
        4 | 5 => Do::Connect,
        6 => Do::Disconnect,
        7..=11 => {
            let to = match rng.below(4) {
                0 => client::io::To::Conversation(conversation()),
                1 => client::io::To::Person(who),
                _ => client::io::To::Person(theirs(0)),
            };
            let salt = rng.chance(300).then(|| [u8::try_from(rng.below(9)).unwrap_or_default(); 16]);
            let len = if rng.chance(50) { limits::CONTENT_BYTES + 1 } else { rng.index(40) };
            let body = Part { disposition: Disposition::RENDER, language: Language::default(), body: Body::Nothing };
            let what = Part::plain(&"x".repeat(len)).unwrap_or(body);
            Do::Say { to, salt, what: client::io::Saying::message(what) }
        }
        12 if rng.chance(300) => {
            Do::TellRead { conversation: rng.chance(500).then(conversation), tell: rng.chance(500) }
        }
        12 => Do::ReadUpTo { conversation: conversation(), seq: rng.below(9) },
        13 => Do::Join,
        14 => Do::AddDevice { code: "0000-0000-0000-0000-0000".to_owned().into() },
        15 => Do::Revoke(dk),
        16 => Do::Verify(theirs(0)),
        17 if rng.chance(500) => Do::Same(theirs(0)),
        17 => Do::Differ(theirs(0)),
        18 => Do::AcceptKeys(theirs(0)),
        19 => Do::BackupKept,
        20 | 21 => Do::Agree { with: Some(theirs(0)).filter(|_| rng.chance(700)), agrees: rng.chance(700) },
        22 if rng.chance(500) => Do::AllowTyping(rng.chance(800)),
        22 => Do::Active,
        _ => Do::Typing { conversation: conversation() },
    }
}

/// What a node that isn't honest may say.
fn talk(rng: &mut Rng) -> Talk {
    let number = rng.below(12);
    let id = if rng.chance(900) { conversation() } else { ConversationId([1; 32]) };
    let bytes = vec![u8::try_from(rng.below(256)).unwrap_or_default(); rng.index(80)];
    let origin = Origin { device: DeviceTag([1; 8]), number };
    let codes = [Code::Busy, Code::StaleEpoch, Code::Exists, Code::BadKeys, Code::NotTrusted];
    let code = rng.pick(&codes).copied().unwrap_or(Code::Busy);
    let kind = rng.pick(&[Kind::Create, Kind::Commit, Kind::Message]).copied().unwrap_or(Kind::Message);
    match rng.below(12) {
        0 | 1 => Talk::Line(line()),
        2 => Talk::Line(Line { t2: rng.chance(500).then(|| hash(number)), list: number, ..line() }),
        3..=5 => {
            let seq = rng.below(12);
            let (origin, bytes) = (rng.chance(500).then_some(origin), rng.chance(900).then_some(bytes));
            Talk::Event(Event {
                conversation: id,
                term: 0,
                seq,
                kind,
                epoch: number,
                origin,
                members: Vec::new(),
                bytes,
            })
        }
        6 => Talk::Unposted { conversation: id, origin, code },
        7 => Talk::Delivered { conversation: id, member: theirs(0), seq: rng.draw() },
        8 => Talk::Published { number, code: rng.chance(500).then_some(code) },
        9 => {
            let found = [Finding::Lists(vec![bytes.clone()]), Finding::Packages(vec![bytes]), Finding::Sent];
            Talk::Answer { number, what: rng.pick(&found).cloned().ok_or(code) }
        }
        10 => Talk::Answer { number, what: Err(code) },
        _ => Talk::Publish { number, what: Publication::Note { to: None, bytes } },
    }
}
