//! The milter session as a client and a node see it, without sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test fails by them

use postline_core::id::{ConversationId, Domain};
use postline_core::limits;
use postline_node::hosted::reply::Reply;
use postline_node::milter::packet::{Fault, Incoming, write};
use postline_node::milter::session::{Answering, Input, Output, Question, Session, Written};
use postline_node::milter::session_survives;
use proptest::prelude::*;

const ID: &str = "Postline-Id: v=1; bh=ungar; b=sig";

/// A client and a node around one session; alice may speak as alice@a.example.
struct Talk {
    session: Session,
    said: Vec<u8>,
    written: Vec<Written>,
    answering: Vec<Answering>,
    reply: Reply,
    closed: bool,
}

impl Default for Talk {
    fn default() -> Self {
        let session = Session::new([Domain::parse("a.example").unwrap()].into());
        let (said, written, answering) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, said, written, answering, reply: Reply::Taken, closed: false }
    }
}

impl Talk {
    fn sends(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        self.session.step(Input::Bytes(bytes), &mut out).unwrap();
        while !out.is_empty() {
            for output in std::mem::take(&mut out) {
                match output {
                    Output::Say(bytes) => self.said.extend(bytes),
                    Output::Close => self.closed = true,
                    Output::Ask(Question::MaySpeak(login, author)) => {
                        let may = author.to_string() == format!("{login}@a.example");
                        self.session.step(Input::MaySpeak(may), &mut out).unwrap();
                    }
                    Output::Ask(Question::Stamp(written)) => {
                        self.written.push(*written);
                        self.session.step(Input::Stamped(Some(vec![ID.to_owned()])), &mut out).unwrap();
                    }
                    Output::Ask(Question::Seal(answering)) => {
                        self.answering.push(*answering);
                        self.session.step(Input::Sealed(self.reply), &mut out).unwrap();
                    }
                }
            }
        }
    }

    /// The last reply.
    fn last(&self) -> (u8, Vec<u8>) {
        let (mut incoming, mut last) = (Incoming::default(), (0, Vec::new()));
        incoming.push(&self.said);
        while let Some(reply) = incoming.packet().unwrap() {
            last = reply;
        }
        last
    }

    /// The replies: the commands of all, and the data of those that change fields.
    fn replies(&self) -> (String, Vec<String>) {
        let (mut incoming, mut commands, mut changes) = (Incoming::default(), String::new(), Vec::new());
        incoming.push(&self.said);
        while let Some((command, data)) = incoming.packet().unwrap() {
            commands.push(command.into());
            if matches!(command, b'm' | b'h') {
                changes.push(String::from_utf8(data).unwrap().escape_default().to_string());
            }
        }
        (commands, changes)
    }
}

fn packets(packets: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|(command, data)| write(&mut bytes, *command, data));
    bytes
}

fn offer(version: u32, actions: u32, protocol: u32) -> Vec<u8> {
    packets(&[(b'O', &[version, actions, protocol].map(u32::to_be_bytes).concat())])
}

fn hello() -> Vec<u8> {
    offer(6, 0x1FF, 0x1F_FFFF)
}

/// A mail of alice's, with two foreign fields of one name and one of another.
fn mail() -> Vec<u8> {
    packets(&[
        (b'D', b"M{auth_type}\0PLAIN\0{auth_authen}\0alice\0"),
        (b'M', b"<alice@a.example>\0SIZE=100\0"),
        (b'R', b"<two@b.example>\0"),
        (b'R', b"<no address>\0"),
        (b'L', b"From\0Alice <alice@a.example>\0"),
        (b'L', b"To\0two@b.example,\n\tthree@b.example\0"),
        (b'L', b"Date\0Mon, 23 Nov 2026 10:00:00 +0000\0"),
        (b'L', b"Postline-Offer\0v=1\0"),
        (b'L', b"POSTLINE-offer\0v=1\0"),
        (b'L', b"Postline-New\0x\0"),
        (b'L', b"Message-ID\0<1@a.example>\0"),
        (b'N', b""),
        (b'B', b"hello\r"),
        (b'B', b"\n\r\n"),
        (b'E', b""),
    ])
}

#[test]
fn a_mail_loses_foreign_fields_from_the_last_to_the_first_and_gets_ours() {
    let mut talk = Talk::default();
    talk.sends(&hello());
    talk.sends(&mail());
    let (commands, changes) = talk.replies();
    assert_eq!(commands, "OccccmmmhC".replace('C', "c"));
    let want = [
        "\\u{0}\\u{0}\\u{0}\\u{1}postline-new\\u{0}\\u{0}",
        "\\u{0}\\u{0}\\u{0}\\u{2}postline-offer\\u{0}\\u{0}",
        "\\u{0}\\u{0}\\u{0}\\u{1}postline-offer\\u{0}\\u{0}",
        "Postline-Id\\u{0}v=1; bh=ungar; b=sig\\u{0}",
    ];
    assert_eq!(changes, want);
    let written = &talk.written[0];
    assert_eq!(written.to.len(), 1, "what is no address gets no offer");
    assert_eq!(written.canonical.to_cc.len(), 2, "a folded field is whole");
    let whole = b"From: Alice <alice@a.example>\r\nTo: two@b.example,\r\n\tthree@b.example\r\n\
        Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@a.example>\r\n\r\nhello\r\n\r\n";
    assert_eq!(Some(&written.canonical), postline_codec::mime::scan(whole).canonical());
}

/// A mail of alice's that answers what came sealed, in this field; with a body of so many bytes.
fn reply(field: &[u8], to: &[u8], body: usize) -> Vec<u8> {
    let mut all: Vec<(u8, &[u8])> = vec![
        (b'D', b"M{auth_authen}\0alice\0"),
        (b'M', b"<alice@a.example>\0"),
        (b'R', b"<two@b.example>\0"),
        (b'R', to),
        (b'L', b"From\0alice@a.example\0"),
        (b'L', field),
        (b'L', b"Postline-Sealed\0x\0"),
        (b'N', b""),
    ];
    let chunk = [b'x'; 65_535];
    all.extend((0..body / chunk.len()).map(|_| (b'B', chunk.as_slice())));
    all.extend([(b'B', &chunk[..body % chunk.len()]), (b'E', b"".as_slice())]);
    packets(&all)
}

/// [E-13]
#[test]
fn t_071_a_reply_to_what_came_sealed_is_sealed_and_thrown_away_or_refused_and_never_goes_on() {
    let talk_id = ConversationId([0xab; 32]);
    let id = format!("In-Reply-To\0<x@y>\n <{talk_id}.1f.sealed@A.example>\0").into_bytes();
    let other = b"<three@b.example>\0".as_slice();
    let late = b"451 4.3.0 This answers a sealed message: later, please\0".as_slice();
    for (reply_is, last, said) in [
        (Reply::Taken, b'd', b"".as_slice()),
        (Reply::Refused("no"), b'y', b"554 5.7.1 no\0"),
        (Reply::Later, b'y', late),
    ] {
        let mut talk = Talk { reply: reply_is, ..Talk::default() };
        talk.sends(&hello());
        talk.sends(&reply(&id, other, 7));
        assert_eq!(talk.last(), (last, said.to_vec()), "{reply_is:?}");
        let [asked] = talk.answering.as_slice() else { panic!("asked once") };
        assert_eq!((asked.login.as_str(), asked.talk, asked.to.len()), ("alice", talk_id, 2));
        let whole =
            format!("From: alice@a.example\r\nIn-Reply-To: <x@y>\r\n <{talk_id}.1f.sealed@A.example>\r\n\r\nxxxxxxx");
        assert_eq!(String::from_utf8_lossy(&asked.mail), whole);
        assert!(talk.session.is_idle() && talk.written.is_empty());
        // The next mail on the connection is one like any other.
        talk.sends(&mail());
        assert_eq!((talk.last().0, talk.written.len()), (b'c', 1));
    }
    // To whom it goes is not known whole, or it is too long to be words: nobody is asked.
    for (to, body) in [(b"<no address>\0".as_slice(), 7), (other, limits::HEADER_BYTES + limits::MILTER_REPLY_BYTES)] {
        let mut talk = Talk::default();
        talk.sends(&hello());
        talk.sends(&reply(&id, to, body));
        assert_eq!((talk.last().0, talk.answering.len(), talk.written.len()), (b'y', 0, 0), "{body}");
        assert!(talk.last().1.starts_with(b"554 5.7.1 This answers a sealed message"));
    }
    // What names other people's is none of ours, nor is what stands in the body.
    let theirs = format!("References\0<{talk_id}.sealed@b.example>\0").into_bytes();
    let mut talk = Talk::default();
    talk.sends(&hello());
    talk.sends(&reply(&theirs, other, 7));
    assert_eq!((talk.last().0, talk.answering.len(), talk.written.len()), (b'c', 0, 0));
}

#[test]
fn however_the_bytes_are_cut_the_session_says_the_same() {
    let script = [hello(), mail(), mail(), packets(&[(b'Q', b"")])].concat();
    let mut whole = Talk::default();
    whole.sends(&script);
    assert!(whole.closed && whole.session.fault().is_none());
    for cut in 0..script.len() {
        let mut talk = Talk::default();
        talk.sends(&script[..cut]);
        talk.sends(&script[cut..]);
        assert_eq!((talk.said, talk.written), (whole.said.clone(), whole.written.clone()), "cut at {cut}");
    }
    let mut talk = Talk::default();
    script.chunks(1).for_each(|byte| talk.sends(byte));
    assert_eq!((talk.said, talk.written), (whole.said, whole.written));
}

#[test]
fn a_client_that_lets_us_change_nothing_is_asked_for_nothing() {
    for actions in [0, 0x01, 0x10] {
        let mut talk = Talk::default();
        talk.sends(&offer(6, actions, 0x1F_FFFF));
        talk.sends(&packets(&[(b'D', b"M{auth_authen}\0alice\0"), (b'M', b"<alice@a.example>\0")]));
        assert_eq!(talk.replies().0, "Oa", "{actions:#x}");
    }
}

#[test]
fn an_old_client_hears_an_answer_to_each_command() {
    let mut talk = Talk::default();
    talk.sends(&offer(2, 0x1F, 0));
    talk.sends(&packets(&[(b'C', b"host\0U"), (b'H', b"host\0")]));
    talk.sends(&mail());
    assert_eq!(talk.replies().0, format!("Occ{}mmmhc", "c".repeat(1 + 2 + 7 + 1 + 2)));
}

#[test]
fn an_abort_forgets_the_mail_and_its_login() {
    let mut talk = Talk::default();
    talk.sends(&hello());
    let begin = [(b'D', b"M{auth_authen}\0alice\0".as_slice()), (b'M', b"<alice@a.example>\0")];
    talk.sends(&packets(&begin));
    assert!(!talk.session.is_idle());
    talk.sends(&packets(&[(b'A', b""), (b'M', b"<eve@c.example>\0")]));
    assert_eq!(talk.replies().0, "Oca", "whose login is not said has none");
    talk.sends(&packets(&[(b'D', b"M{auth_authen}\0\0"), (b'M', b"<eve@c.example>\0")]));
    assert_eq!(talk.replies().0, "Ocaa", "nor who has an empty one");
    talk.sends(&packets(&[begin[0], (b'K', b""), (b'M', b"<eve@c.example>\0")]));
    assert_eq!(talk.replies().0, "Ocaaa", "nor who comes on another connection");
    assert!(talk.session.is_idle());
}

#[test]
fn what_is_no_milter_session_ends_with_its_reason() {
    let ended = |bytes: &[u8]| {
        let mut talk = Talk::default();
        talk.sends(bytes);
        let said = talk.said.len();
        talk.sends(&hello());
        assert_eq!((talk.closed, talk.said.len()), (true, said), "nothing is heard after the end");
        talk.session.fault().unwrap()
    };
    let greeted = |packet: (u8, &[u8])| ended(&[hello(), packets(&[packet])].concat());
    assert_eq!(ended(b"EHLO client.example\r\n"), Fault::Length(u32::from_be_bytes(*b"EHLO")));
    assert_eq!(ended(&packets(&[(b'O', b"short")])), Fault::Data('O'));
    assert_eq!(ended(&offer(1, 0x1F, 0)), Fault::Version(1));
    assert_eq!(ended(&mail()), Fault::Order('D'));
    assert_eq!(greeted((b'O', b"")), Fault::Order('O'));
    assert_eq!(greeted((b'L', b"From\0x\0")), Fault::Order('L'));
    assert_eq!(greeted((b'E', b"")), Fault::Order('E'));
    assert_eq!(greeted((b'M', b"<no end>")), Fault::Data('M'));
    assert_eq!(greeted((b'D', b"M{auth_authen}\0no end")), Fault::Data('D'));
    assert_eq!(greeted((b'?', b"")), Fault::Command(b'?'));
    let begun = [(b'D', b"M{auth_authen}\0alice\0".as_slice()), (b'M', b"<alice@a.example>\0"), (b'L', b"one\0")];
    assert_eq!(ended(&[hello(), packets(&begun)].concat()), Fault::Data('L'));
}

#[test]
fn t_091_a_flood_of_fields_and_body_is_let_pass_and_kept_nowhere() {
    let mut talk = Talk::default();
    talk.sends(&hello());
    talk.sends(&packets(&[(b'D', b"M{auth_authen}\0alice\0"), (b'M', b"<alice@a.example>\0")]));
    let long = [b"X\0".as_slice(), &[b'x'; 60_000], b"\0"].concat();
    for _ in 0..100 {
        talk.sends(&packets(&[(b'R', b"<two@b.example>\0"), (b'L', &long), (b'L', b"Postline-Offer\0\0")]));
        assert!(talk.session.kept() <= 2 * limits::HEADER_BYTES);
    }
    talk.sends(&packets(&[(b'N', b"")]));
    talk.sends(&packets(&[(b'B', &[b'x'; 65_535])]));
    assert!(talk.replies().0.ends_with("cs"), "it has seen enough of such a body");
    talk.sends(&packets(&[(b'E', b"")]));
    let (commands, changes) = talk.replies();
    assert!(
        commands.ends_with('c') && changes.len() == 100 && talk.written.is_empty(),
        "its own fields go all the same"
    );
}

#[test]
fn t_023_a_mail_with_more_names_of_ours_than_any_program_writes_is_refused() {
    let with = |names: usize| {
        let mut talk = Talk::default();
        talk.sends(&hello());
        talk.sends(&packets(&[(b'D', b"M{auth_authen}\0alice\0"), (b'M', b"<alice@a.example>\0")]));
        (0..names).for_each(|n| talk.sends(&packets(&[(b'L', format!("Postline-{n}\0\0").as_bytes())])));
        talk.sends(&packets(&[(b'N', b""), (b'E', b"")]));
        talk.replies().0.chars().last().unwrap()
    };
    assert_eq!((with(64), with(65), with(10_000)), ('c', 'r', 'r'));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(script in proptest::collection::vec(any::<u8>(), 0..600)) {
        session_survives(&script);
    }

    #[test]
    fn packets_in_any_order_are_survived(
        steps in proptest::collection::vec((0_usize..18, 1_u8..80), 0..60),
        greets in any::<bool>(),
    ) {
        let pieces: [(u8, &[u8]); 18] = [
            (b'D', b"M{auth_authen}\0alice\0"), (b'M', b"<alice@a.example>\0"), (b'R', b"<two@b.example>\0"),
            (b'L', b"From\0alice@a.example\0"), (b'L', b"Date\0x\0"), (b'L', b"Message-ID\0<1@a.example>\0"),
            (b'L', b"Postline-Id\0v=1\0"), (b'L', b"To\0two@b.example\0"), (b'N', b""), (b'B', b"hi\r\n"),
            (b'B', b"a\rb"), (b'E', b""), (b'E', b"end\r\n"), (b'A', b""), (b'T', b""), (b'C', b"x"), (b'K', b""),
            (b'Q', b""),
        ];
        let mut bytes = if greets { hello() } else { Vec::new() };
        steps.iter().for_each(|(piece, _)| write(&mut bytes, pieces[*piece].0, pieces[*piece].1));
        let mut script = Vec::new();
        let mut lengths = steps.iter().map(|(_, len)| *len).chain(std::iter::repeat(7));
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(usize::from(lengths.next().unwrap())));
            script.push(u8::try_from(chunk.len()).unwrap());
            script.extend_from_slice(chunk);
            rest = after;
        }
        session_survives(&script);
    }
}
