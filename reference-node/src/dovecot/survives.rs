//! Any bytes at all against a dict session: what fuzzers, property tests and corpus replay call alike.

use postline_core::limits;

use super::key::Key;
use super::session::{Answer, Input, Output, Question, Session, Unasked};

/// Most bytes of replies that one byte of a client, or of the node's answers, can bring about: each is escaped, and a
/// short request has a number.
const REPLY_PER_BYTE: usize = 16;

/// Runs a session on `script`, and asserts its bounds and its order after every step.
///
/// The first byte chooses whether a greeting comes first, and of which version. Then each byte is how long the next piece
/// is that the client sends; 0 has the node answer what is open, or say what nobody asked.
///
/// # Panics
/// Where the session breaks a promise.
pub fn dict_survives(script: &[u8]) {
    let Some((&kind, mut rest)) = script.split_first() else { return };
    let mut world = World::default();
    match kind % 4 {
        0 => {}
        1 => world.client(b"H3\t0\t0\t\tpostline\n"),
        2 => world.client(b"H3\t2\t0\t\tpostline\n"),
        _ => world.client(b"H4\t0\t0\t\tpostline\n"),
    }
    while let Some((&deed, tail)) = rest.split_first() {
        let (piece, after) = tail.split_at(tail.len().min(usize::from(deed)));
        rest = after;
        match deed {
            0 => world.answer(kind),
            _ => world.client(piece),
        }
        // Half of the nodes are slow: then what comes meanwhile waits behind the question.
        if kind & 4 == 0 {
            world.answer(deed);
        }
    }
}

#[derive(Default)]
struct World {
    session: Session,
    open: Option<Question>,
    closed: bool,
    heard: usize,
    said: usize,
}

impl World {
    fn client(&mut self, piece: &[u8]) {
        self.heard += piece.len();
        let stepped = self.step(Input::Bytes(piece));
        assert!(stepped.is_ok(), "what a client sends was called a misuse");
    }

    fn answer(&mut self, choice: u8) {
        let Some(question) = self.open.take() else {
            let unasked = self.step(Input::Answer(Answer::Missing));
            assert!(unasked.is_err(), "an answer that was not asked for was taken");
            return;
        };
        let answer = match (question, choice % 3) {
            (_, 0) => Answer::Refused("not\tnow".to_owned()),
            (Question::Look { key, .. }, _) => {
                self.heard += key.name().len();
                Answer::Found(key.name())
            }
            (Question::List { most, .. }, _) => {
                assert!(most <= limits::DICT_ROWS, "more keys are wanted than may be");
                let keys = vec![Key::Trust, Key::TrustOf("Bob@b.example".to_owned())];
                // Each key goes with the root that the client asked for.
                self.heard += keys.len() * limits::DICT_KEY_BYTES;
                Answer::Keys(keys)
            }
            (Question::Change { .. }, 1) => Answer::Uncertain,
            (Question::Change { changes, .. }, _) => {
                assert!(changes.len() <= limits::DICT_CHANGES, "more changes than may be");
                Answer::Done
            }
        };
        let stepped = self.step(Input::Answer(answer));
        assert!(stepped.is_ok(), "an answer to the open question was refused");
    }

    fn step(&mut self, input: Input<'_>) -> Result<(), Unasked> {
        let mut out = Vec::new();
        let stepped = self.session.step(input, &mut out);
        assert!(!self.closed || out.is_empty(), "a closed session said something");
        let count = out.len();
        for (at, output) in out.into_iter().enumerate() {
            let last = at + 1 == count;
            match output {
                Output::Say(bytes) => {
                    self.said += bytes.len();
                    assert!(bytes.ends_with(b"\n"), "half a line was said");
                }
                Output::Ask(question) => {
                    assert!(last && self.open.is_none(), "two questions are open");
                    self.open = Some(question);
                }
                Output::Close(_) => {
                    assert!(last, "something follows the end");
                    (self.closed, self.open) = (true, None);
                }
            }
        }
        assert_eq!(self.session.appetite() == 0, self.closed || self.open.is_some(), "it reads on when it must not");
        assert!(self.said <= REPLY_PER_BYTE * (self.heard + 16), "{} bytes for {}", self.said, self.heard);
        stepped
    }
}
