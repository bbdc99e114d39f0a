//! Any bytes at all against one milter session: what fuzzers, property tests and corpus replay call alike.

use std::sync::Arc;

use postline_core::id::Domain;
use postline_core::limits;

use super::packet::Incoming;
use super::session::{Input, Output, Question, Session};
use crate::hosted::reply::Reply;

/// Most bytes of replies that one packet of a client can bring about, fields to take off aside.
const REPLY: usize = 16 * 1024;

/// Runs a session on `script`, and asserts its bounds and its order after every step.
///
/// Each byte is an answer nobody asked for, or the length of a chunk that the client sends. The node answers as the
/// script says.
///
/// # Panics
/// Where the session breaks a promise.
pub fn session_survives(script: &[u8]) {
    let ours: Arc<[Domain]> = Domain::parse("b.example").into_iter().collect();
    let (mut session, mut closed, mut rest) = (Session::new(ours), false, script);
    let mut answers = script.iter().cycle().copied();
    while let Some((&deed, tail)) = rest.split_first() {
        rest = tail;
        let mut out = Vec::new();
        if deed == 0 {
            assert!(session.step(Input::Stamped(None), &mut out).is_err() && out.is_empty(), "an answer unasked");
            continue;
        }
        let (chunk, after) = rest.split_at(rest.len().min(usize::from(deed)));
        rest = after;
        let mut asked = step(&mut session, Input::Bytes(chunk), &mut closed);
        while let Some(question) = asked {
            let choice = answers.next().unwrap_or_default();
            let answer = match question {
                Question::MaySpeak(login, _) => {
                    assert!(!login.is_empty(), "nobody's login");
                    Input::MaySpeak(choice % 3 != 0)
                }
                Question::Stamp(written) => {
                    assert!(written.to.len() <= limits::ENVELOPE_RECIPIENTS, "more recipients than a mail may have");
                    let canonical = &written.canonical;
                    let ours = canonical.offer.is_some() || canonical.accept.is_some() || canonical.carried.is_some();
                    assert!(!ours, "a field that the mail came with counts");
                    Input::Stamped((choice % 3 != 0).then(|| vec!["Postline-Id: v=1; b=aGVsbG8".to_owned()]))
                }
                Question::Seal(answering) => {
                    assert!(!answering.login.is_empty(), "nobody's login");
                    assert!(answering.to.len() <= limits::ENVELOPE_RECIPIENTS, "more recipients than a mail may have");
                    Input::Sealed(match choice % 3 {
                        0 => Reply::Taken,
                        1 => Reply::Refused("no"),
                        _ => Reply::Later,
                    })
                }
            };
            asked = step(&mut session, answer, &mut closed);
        }
    }
}

/// One step; the question that it asks.
fn step(session: &mut Session, input: Input<'_>, closed: &mut bool) -> Option<Question> {
    let mut out = Vec::new();
    assert!(session.step(input, &mut out).is_ok(), "an answer that was asked for was not taken");
    assert!(!*closed || out.is_empty(), "output after the end: {out:?}");
    assert!(session.kept() <= limits::MILTER_PACKET_BYTES + 2 * limits::HEADER_BYTES, "{} bytes kept", session.kept());
    let (mut question, last) = (None, out.len().saturating_sub(1));
    for (at, output) in out.into_iter().enumerate() {
        match output {
            Output::Say(bytes) => {
                assert!(bytes.len() <= REPLY + 8 * session.kept().max(limits::MILTER_PACKET_BYTES), "a long reply");
                let mut packets = Incoming::default();
                packets.push(&bytes);
                while let Ok(Some((command, _))) = packets.packet() {
                    assert!(b"Oacdmhrsy".contains(&command), "says {command:#x}");
                }
                assert!(packets.is_empty(), "half a packet");
            }
            Output::Ask(asked) => {
                assert_eq!(at, last, "a question that is not last");
                question = Some(asked);
            }
            Output::Close => {
                assert_eq!(at, last, "an end that is not last");
                *closed = true;
            }
        }
    }
    question
}
