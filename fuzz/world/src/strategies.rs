//! Random inputs for every machine, from few names, so that they meet: one word of randomness is one step.

mod clients;
mod content;
mod logs;
mod said;
mod talks;

use std::collections::BTreeSet;

use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::content::mail::{Letter, Source, Text};
use postline_core::fault::PeerFault;
use postline_core::id::{
    Address, ConversationId, DeviceKey, Domain, Hash, Lane, LinkId, MailId, Mailbox, Nonce, Pair, SessionId,
};
use postline_core::limits;
use postline_core::machine::queue::{Entry, Express, Failure, Origin};
use postline_core::machine::session::{device, node};
use postline_core::machine::trust::{Came, SentAccept, SentOffer};
use postline_core::machine::{greeting, link, queue, trust};
use postline_core::server::io::{Outcome, RcptOutcome};
use postline_core::server::{Command, Dial, Input, LinkIn, LoginOk, SendId, SessionIn};
use postline_core::time::{DAY, HOUR, MINUTE, SECOND};
use postline_core::wire::confirm::{Confirm, Done, Word};
use postline_core::wire::field::{Accept, Offer};
use postline_core::wire::file::{BytesIn, File};
use postline_core::wire::frame::{
    Ask, Carry, Domains, ExpressEnvelope, Frame, Mark, Reached, Ready, Trust as TrustFrame, TrustStep,
};
use postline_core::wire::hello::Hello;
use postline_core::wire::session::{DeviceHello, VERSION};
use postline_core::wire::talk::{Publication, Question, Talk};
use proptest::prelude::*;

use crate::bytes::{Draft, SIGNED, mail_in, mailbox_of};
use crate::laws::{START, Step, code, identity, mail, ours, pair, small_blob, theirs};
use crate::rng::Rng;

pub use clients::client_input;
pub use content::content_fields;
pub use logs::{follower_input, hub_input};
pub use said::{name_input, pin_input, reaction_input, revision_input};
pub use talks::{device_presence_input, mark_input, node_presence_input};

/// A script of up to `most` steps, made of one word each.
pub fn script<I: Clone + std::fmt::Debug>(
    most: usize,
    input: fn(&mut Rng) -> I,
) -> impl Strategy<Value = Vec<Step<I>>> {
    proptest::collection::vec(any::<u64>(), 0..most)
        .prop_map(move |words| words.into_iter().map(|word| step(word, input)).collect())
}

/// The step that a word makes.
pub fn step<I>(word: u64, input: fn(&mut Rng) -> I) -> Step<I> {
    let mut rng = Rng::new(word);
    let spans = [0, 0, 1, SECOND, MINUTE, 20 * MINUTE, 10 * HOUR, 3 * DAY];
    let span = spans.get(rng.index(spans.len())).copied().unwrap_or_default();
    let after_ms = rng.below(1 + span);
    Step { after_ms, fails: rng.chance(100), input: input(&mut rng) }
}

fn hash(n: u64) -> Hash {
    Hash([u8::try_from(n % 5).unwrap_or_default(); 32])
}

fn nonce(n: u64) -> Nonce {
    Nonce([u8::try_from(n % 5).unwrap_or_default(); 16])
}

/// Something that a pair is told.
pub fn trust_input(rng: &mut Rng) -> trust::Input {
    let (n, m) = (rng.below(5), rng.below(3));
    let nk = identity(m).nk();
    let pair = pair();
    let to_cc = BTreeSet::from([pair.ours.clone()]);
    match rng.below(14) {
        0 | 1 => {
            let expires = START.plus(rng.below(90) * DAY);
            let offer = SentOffer { hash: hash(n), nonce: nonce(n), at: START, expires };
            trust::Input::Wrote { offer: Some(offer), accept: None }
        }
        2 => {
            let accept = SentAccept { re: hash(n), nonce: nonce(n + 1), t1: hash(n + 1), at: START };
            trust::Input::Wrote { offer: None, accept: Some(accept) }
        }
        3..=5 => {
            let offer = Offer {
                from: pair.theirs.clone(),
                to_cc: to_cc.clone(),
                at: START,
                expires: START.plus(rng.below(365) * DAY),
                nonce: nonce(n),
                nk,
                next: None,
                hint: None,
                ak: None,
                hash: hash(n),
            };
            let accept = Accept {
                from: pair.theirs,
                to_cc,
                re: hash(n),
                at: START,
                nonce: nonce(n + 1),
                nk,
                next: None,
                hint: None,
                ak: None,
                t1: hash(n + 1),
            };
            let (offer, accept) = (Some(offer).filter(|_| rng.chance(700)), Some(accept).filter(|_| rng.chance(500)));
            let message_id = format!("m{n}@b.example");
            let automatic = rng.chance(100);
            trust::Input::Came(Box::new(Came { mail: mail(n).0, message_id, offer, accept, automatic }))
        }
        6..=8 => trust::Input::Evidence(mail(n).0, evidence(rng)),
        9 => {
            let word = Word { t1: hash(n + 1), nonce: nonce(rng.below(5)), fresh: [9; 32] };
            let (step, bytes) = match rng.below(3) {
                0 => (TrustStep::Confirm, Confirm(word).to_bytes()),
                1 => (TrustStep::Done, Done(word).to_bytes()),
                _ => (TrustStep::Accept, Vec::new()),
            };
            trust::Input::Step { nk, step, bytes }
        }
        10 => trust::Input::LinkUp(nk),
        11 => trust::Input::Express { nk },
        12 => match rng.below(6) {
            0 => trust::Input::Block,
            1 => trust::Input::Unblock,
            2 => trust::Input::Denied,
            3 => trust::Input::Readmit(nk),
            4 => trust::Input::Look(mail(n).0),
            _ => trust::Input::Renamed { from: nk, to: identity(m + 1).nk() },
        },
        _ => trust::Input::Wake,
    }
}

fn evidence(rng: &mut Rng) -> Evidence {
    match rng.below(5) {
        0 => Evidence::Temporary,
        1 => Evidence::Domain { names: Some(identity(rng.below(3)).nk()).filter(|_| rng.chance(500)) },
        2 => Evidence::Dkim(Dkim::default()),
        3 => Evidence::Contradiction,
        _ => {
            let signed = SIGNED.iter().flat_map(|name| [*name; 2]).map(str::to_owned).collect();
            let domain = theirs(0).domain().clone();
            Evidence::Dkim(Dkim { passed: vec![DkimPass { domain, signed, partial: rng.chance(100) }] })
        }
    }
}

/// Something that a link is told.
pub fn link_input(rng: &mut Rng) -> link::Input {
    let link = LinkId(rng.below(3));
    let (mail, id) = mail(rng.draw());
    match rng.below(20) {
        0 | 1 => link::Input::Proven { link, dialled: rng.chance(500) },
        2 => link::Input::Unreachable,
        3..=9 => link::Input::Frame(link, frame(rng)),
        10 => link::Input::Down(link),
        11 => match rng.below(4) {
            0 => link::Input::Have(link, hash(rng.draw()), rng.below(40_000)),
            1 => link::Input::Fetched(link, small_blob(1, 30_000)),
            2 => link::Input::Spoiled(link, small_blob(1, 30_000)),
            _ => link::Input::Garbage(link, PeerFault::Frame("a frame")),
        },
        12 => {
            let refused = (PeerFault::NotTrusted, BTreeSet::from([0]));
            link::Input::Settled { seq: rng.below(5), result: if rng.chance(700) { Ok(()) } else { Err(refused) } }
        }
        13 | 14 => {
            let body = small_blob(u8::try_from(rng.below(3)).unwrap_or_default(), 10_000 * (1 + rng.below(4)));
            link::Input::Send(link::Outgoing { mail, id, envelope: envelope(rng), body })
        }
        15 => link::Input::Withdraw(mail),
        16 => match rng.below(4) {
            0 => link::Input::Marks(vec![Mark { id, reached: Reached::Delivered }]),
            1 => link::Input::Answer(vec![Mark { id, reached: Reached::Failed }]),
            2 => link::Input::AskMarks(vec![id]),
            _ => link::Input::Say(trust_frame(rng)),
        },
        17 => link::Input::Want,
        18 if rng.chance(100) => link::Input::Leave,
        _ => link::Input::Wake,
    }
}

fn envelope(rng: &mut Rng) -> ExpressEnvelope {
    let to = if rng.chance(800) { vec![ours()] } else { vec![ours(), theirs(2)] };
    ExpressEnvelope { from: theirs(rng.below(2)), to, submitted: START }
}

fn trust_frame(rng: &mut Rng) -> TrustFrame {
    let pair = Pair { ours: theirs(rng.draw()), theirs: ours() };
    TrustFrame { pair, step: TrustStep::Confirm, bytes: vec![1, 2, 3], signature: vec![0; 64] }
}

/// A frame, fitting or not.
pub fn frame(rng: &mut Rng) -> Frame {
    let (_, id) = mail(rng.draw());
    let seq = rng.below(6);
    match rng.below(18) {
        0..=2 => Frame::Ready(Ready {
            next_nk: hash(1),
            generation: rng.below(3),
            last_seen: rng.below(4),
            window_items: u32::try_from(rng.below(300)).unwrap_or_default(),
            window_bytes: rng.below(limits::WINDOW_BYTES * 2),
            max_body: limits::MAIL_BYTES,
        }),
        3..=5 => {
            let body = small_blob(u8::try_from(seq).unwrap_or_default(), 10_000 * (1 + rng.below(4)));
            Frame::Carry(Carry { seq, id, envelope: envelope(rng), body })
        }
        6 | 7 => Frame::Ack { seq },
        8 => Frame::Refuse { seq, code: code(rng.draw()), rcpts: BTreeSet::from([u8::from(rng.chance(300))]) },
        9 => Frame::Trust(trust_frame(rng)),
        10 => Frame::Mark(vec![Mark { id, reached: Reached::Delivered }]),
        11 => Frame::Chunk { blob: hash(seq), offset: rng.below(3) * 16_384, len: 16_384 },
        12 => Frame::Ask(Ask::Marks(vec![id])),
        13 => Frame::Ask(Ask::Body { blob: hash(rng.below(3)), offset: rng.below(2) * 16_384 }),
        14 => Frame::Answer(vec![Mark { id, reached: Reached::Failed }]),
        15 => Frame::Ping(seq),
        16 => Frame::Pong(seq),
        _ => match rng.below(4) {
            0 => Frame::Bye { code: code(rng.draw()) },
            1 if rng.chance(700) => Frame::Whisper(talks::whisper(rng)),
            1 => Frame::Unknown { kind: 200 },
            2 => Frame::Proof(vec![0; 64]),
            _ => Frame::Hello(hello(rng)),
        },
    }
}

fn hello(rng: &mut Rng) -> Vec<u8> {
    let domains = Domains { speaker: theirs(rng.below(3)).domain().clone(), listener: ours().domain().clone() };
    Hello::new(identity(rng.below(3)).nk(), domains, [3; 32]).canonical()
}

/// Something that a connection without proof hears.
pub fn greeting_input(rng: &mut Rng) -> greeting::Input {
    match rng.below(6) {
        0..=2 => greeting::Input::Frame(Frame::Hello(hello(rng))),
        3 => greeting::Input::Frame(frame(rng)),
        4 => greeting::Input::Garbage(PeerFault::Frame("a frame")),
        _ => greeting::Input::Wake,
    }
}

/// Something that the node's end of a session is told.
pub fn node_session_input(rng: &mut Rng) -> node::Input {
    match rng.below(24) {
        0..=14 => node::Input::Frame(session_frame(rng)),
        15 => node::Input::Frame(frame(rng)),
        16 => node::Input::Garbage(PeerFault::Frame("a frame")),
        17 => node::Input::Checked(rng.chance(500)),
        18 => node::Input::End(code(rng.draw())),
        _ => node::Input::Wake,
    }
}

/// Something that the device's end of a session is told.
pub fn device_session_input(rng: &mut Rng) -> device::Input {
    match rng.below(24) {
        0..=10 => device::Input::Frame(session_frame(rng)),
        11 => device::Input::Frame(frame(rng)),
        12 => device::Input::Garbage(PeerFault::Frame("a frame")),
        13 => device::Input::Approved,
        14 => device::Input::Leave,
        15..=18 => device::Input::Say(talk(rng)),
        _ => device::Input::Wake,
    }
}

fn session_frame(rng: &mut Rng) -> Frame {
    match rng.below(7) {
        0 => Frame::Ping(rng.draw()),
        1 => Frame::Pong(rng.draw()),
        2 if rng.chance(700) => Frame::Whisper(talks::whisper(rng)),
        2 => Frame::Unknown { kind: 200 },
        3 => Frame::File(file(rng)),
        _ => Frame::Talk(talk(rng)),
    }
}

/// Something about a file, whoever says it.
pub(crate) fn file(rng: &mut Rng) -> File {
    let (file, from) = (some_file(rng), rng.below(80));
    match rng.below(8) {
        0 | 1 => File::Keep { theirs: theirs(rng.below(2)), file },
        2 => File::Kept { hash: file.sha256, far: Ok(from) },
        3 => File::Kept { hash: file.sha256, far: Err(code(rng.draw())) },
        4 => File::Fetch { asker: ours(), whose: theirs(rng.below(2)), file, from },
        5 => File::Fetch { asker: theirs(rng.below(2)), whose: ours(), file, from },
        // Without a draw of its own: what was drawn before stays what it was.
        7 if from % 4 == 0 => File::Forget { whose: ours(), theirs: theirs(0), file },
        7 if from % 4 == 1 => File::Forget { whose: theirs(0), theirs: ours(), file },
        7 if from % 4 == 2 => {
            let gone = if from < 40 { Ok(()) } else { Err(code(from)) };
            File::Forgotten { whose: ours(), theirs: theirs(0), hash: file.sha256, gone }
        }
        _ => File::Piece { hash: file.sha256, offset: from, len: u32::try_from(rng.below(60)).unwrap_or_default() },
    }
}

/// What a host says of the bytes of files.
pub(crate) fn bytes_in(rng: &mut Rng) -> BytesIn {
    let file = some_file(rng);
    match rng.below(7) {
        0 | 1 => BytesIn::Have(file.sha256, rng.below(80)),
        2 | 3 => BytesIn::Whole(file),
        4 => BytesIn::Spoiled(file),
        5 => BytesIn::Failed(file.sha256),
        _ => BytesIn::Sent(file.sha256),
    }
}

fn some_file(rng: &mut Rng) -> postline_core::id::BlobRef {
    crate::bytes::blob_of(&[u8::try_from(rng.below(3)).unwrap_or_default(); 60])
}

fn talk(rng: &mut Rng) -> Talk {
    let number = rng.below(4);
    match rng.below(4) {
        0 => Talk::Published { number, code: None },
        1 => Talk::Publish { number, what: Publication::Note { to: None, bytes: vec![1; 9] } },
        2 => Talk::Ask { number, what: Question::Lists { asker: ours(), whose: theirs(0), after: number } },
        _ => Talk::Have { conversation: ConversationId([1; 32]), seq: number },
    }
}

/// Something that a mailbox's or a domain's lane is told.
pub fn queue_input(rng: &mut Rng) -> queue::Input {
    let (mail, _) = mail(rng.draw());
    match rng.below(8) {
        0..=2 => queue::Input::Enqueue(mail, Box::new(entry(rng))),
        3..=5 => {
            let result = |rng: &mut Rng| match rng.below(3) {
                0 => Ok(()),
                1 => Err(Failure::Later("later".to_owned())),
                _ => Err(Failure::Failed("never".to_owned())),
            };
            let results = (0..1 + rng.below(2)).map(|_| result(rng)).collect();
            queue::Input::Report { mail, attempt: 1 + u32::try_from(rng.below(4)).unwrap_or_default(), results }
        }
        6 => queue::Input::Retry,
        _ => queue::Input::Wake,
    }
}

/// Something that a node's lane is told.
pub fn node_queue_input(rng: &mut Rng) -> queue::Input {
    let (mail, _) = mail(rng.draw());
    match rng.below(10) {
        0..=2 => queue::Input::Enqueue(mail, Box::new(entry(rng))),
        3 | 4 => queue::Input::Carried(mail),
        5 => queue::Input::Acked(mail),
        6 => queue::Input::Refused(mail, BTreeSet::from([u8::from(rng.chance(500))]), "no line".to_owned()),
        7 => queue::Input::Reached(mail, if rng.chance(700) { Reached::Delivered } else { Reached::Failed }),
        8 => queue::Input::Retry,
        _ => queue::Input::Wake,
    }
}

fn entry(rng: &mut Rng) -> Entry {
    let blob = small_blob(1, 100);
    let letter = Letter {
        from: Some(ours()),
        text: Text::Came(blob),
        stamp: Vec::new(),
        strip: true,
        message_id: Some("m@a.example".to_owned()),
    };
    let rcpts = (0..1 + rng.below(2)).map(theirs).collect();
    let express = Some(Express { to_cc: BTreeSet::from([theirs(0)]), content: hash(1) });
    Entry { letter, rcpts, arrived: START, origin: Origin::User(Mailbox("one".to_owned())), express }
}

/// Something that the front door is told.
pub fn server_input(rng: &mut Rng) -> Input {
    let link = LinkId(rng.below(4));
    match rng.below(20) {
        16..=18 => Input::Session(SessionId(rng.below(3)), session_in(rng)),
        19 => Input::BatchEnd,
        0..=2 => submission(rng),
        3..=5 => arrival(rng),
        6 => Input::Evidence(MailId([u8::try_from(rng.below(9)).unwrap_or_default(); 16]), evidence(rng)),
        7 => {
            let dialled = Some(dial(rng)).filter(|_| rng.chance(500));
            Input::Link(link, LinkIn::Up { dialled, exporter: [7; 32] })
        }
        8..=10 => Input::Link(link, LinkIn::Frame(frame(rng))),
        15 => Input::Link(link, LinkIn::Bytes(bytes_in(rng))),
        11 => match rng.below(3) {
            0 => Input::Link(link, LinkIn::Down),
            1 => Input::Link(link, LinkIn::Garbage(PeerFault::Frame("a frame"))),
            _ => Input::Unreached(dial(rng)),
        },
        12 | 13 => {
            let lane = match rng.below(3) {
                0 => Lane::Mailbox(mailbox_of(&ours())),
                1 => Lane::Node(identity(1).nk()),
                _ => Lane::Domain(domain(rng)),
            };
            let results = [RcptOutcome::Done, RcptOutcome::Later("l".to_owned()), RcptOutcome::Failed("f".to_owned())];
            let rcpts = rng.pick(&results).cloned().into_iter().collect();
            let mail = MailId([u8::try_from(rng.below(9)).unwrap_or_default(); 16]);
            Input::Report(SendId { lane, mail, attempt: 1 }, Outcome { rcpts })
        }
        14 => match rng.below(8) {
            0 => Input::Command(Command::Block(pair())),
            1 => Input::Command(Command::Unblock(pair())),
            2 => Input::Command(Command::Readmit(pair(), identity(1).nk())),
            3 => Input::Command(Command::BlockDomain(domain(rng))),
            4 => Input::Command(Command::UnblockDomain(domain(rng))),
            5 => Input::Command(Command::Offers(ours(), rng.chance(500))),
            _ => Input::Command(Command::Retry(None)),
        },
        _ => Input::Wake,
    }
}

fn session_in(rng: &mut Rng) -> SessionIn {
    let hello = |rng: &mut Rng| DeviceHello {
        version: VERSION,
        address: ours(),
        dk: DeviceKey([u8::try_from(rng.below(3)).unwrap_or_default(); 32]),
        fresh: [3; 32],
        enrols: rng.chance(500),
        posted: rng.below(3),
        extensions: std::collections::BTreeMap::new(),
    };
    match rng.below(9) {
        8 => SessionIn::Bytes(bytes_in(rng)),
        0 | 1 => SessionIn::Up { channel: [7; 32] },
        2 | 3 => SessionIn::Frame(Frame::Hello(hello(rng).canonical())),
        4 => SessionIn::Frame(session_frame(rng)),
        5 => {
            let login = LoginOk { mailbox: mailbox_of(&ours()), addresses: vec![ours()] };
            SessionIn::Login(Some(login).filter(|_| rng.chance(500)))
        }
        6 => SessionIn::Garbage(PeerFault::Frame("a frame")),
        _ => SessionIn::Down,
    }
}

fn domain(rng: &mut Rng) -> Domain {
    theirs(rng.below(3)).domain().clone()
}

fn dial(rng: &mut Rng) -> Dial {
    Dial { nk: identity(1).nk(), ours: ours().domain().clone(), theirs: domain(rng), hint: None }
}

fn arriving(rng: &mut Rng, from: &Address, to: &Address, source: Source) -> Input {
    let n = rng.below(9);
    let mut draft = Draft::new(from, std::slice::from_ref(to), &format!("m{n}"));
    if rng.chance(500) {
        draft = draft.answering(&format!("m{}@mail.example", rng.below(9)));
    }
    if rng.chance(100) {
        draft = draft.automatic();
    }
    let here = *to == ours();
    let rcpt = postline_core::content::mail::Rcpt { address: to.clone(), mailbox: here.then(|| mailbox_of(to)) };
    let mail = mail_in(&draft.bytes(), source, Some(from.clone()), vec![rcpt]);
    Input::Mail(MailId([u8::try_from(n).unwrap_or_default(); 16]), mail)
}

fn submission(rng: &mut Rng) -> Input {
    let source = Source::User { login: mailbox_of(&ours()), author: Some(ours()) };
    let to = if rng.chance(200) { ours() } else { theirs(rng.draw()) };
    arriving(rng, &ours(), &to, source)
}

fn arrival(rng: &mut Rng) -> Input {
    let from = theirs(rng.draw());
    arriving(rng, &from, &ours(), Source::Stranger)
}
