//! Any bytes at all against one session: what fuzzers, property tests and corpus replay call alike.

use std::net::{IpAddr, Ipv4Addr};

use postline_core::id::{Address, Domain, MailId, Mailbox};
use postline_core::limits;
use postline_core::time::{MINUTE, Millis, SECOND};

use postline_core::server::io::RcptOutcome;

use super::door::{Answer, Login, Resolved};
use super::lmtp::Each;
use super::session::{Input, Output, Question, Role, Session, Setup};

/// Most bytes of replies that one byte of a client can bring about: a short EHLO gets the longest reply.
const REPLY_PER_BYTE: usize = 32;
/// Replies that no client asked for: a greeting, a goodbye.
const REPLY_UNASKED: usize = 256;

/// Runs a session on `script`, and asserts its bounds and its order after every step.
///
/// The first byte chooses the kind of session. Then each byte is a deed of the world (time passes, the node drains, an
/// answer nobody asked for comes) or the length of a chunk that the client sends. The door answers as the script says.
///
/// # Panics
/// Where the session breaks a promise.
pub fn session_survives(script: &[u8]) {
    let Some((&kind, mut rest)) = script.split_first() else { return };
    let mut world = World::new(kind, script);
    while let Some((&deed, tail)) = rest.split_first() {
        rest = tail;
        match deed {
            0 => world.pass(6 * MINUTE),
            1 => world.pass(20 * SECOND),
            2 => world.step(Input::Drain, 0),
            3 => world.answer_unasked(),
            len => {
                let (chunk, after) = rest.split_at(rest.len().min(usize::from(len)));
                rest = after;
                world.step(Input::Bytes(chunk), chunk.len());
            }
        }
        // Half of the doors are slow: then what comes meanwhile waits behind the question.
        if kind & 4 == 0 || deed % 2 == 0 {
            world.answer();
        }
    }
}

struct World<'a> {
    session: Session,
    role: Role,
    now: Millis,
    script: core::iter::Cycle<core::slice::Iter<'a, u8>>,
    open: Option<Question>,
    handshake: bool,
    closed: bool,
    /// Bytes of the mail under way, while one is.
    mail: Option<u64>,
}

impl<'a> World<'a> {
    fn new(kind: u8, script: &'a [u8]) -> Self {
        let role = match kind & 9 {
            0 => Role::Submission,
            1 => Role::Mx,
            8 => Role::Front,
            _ => Role::Relay,
        };
        let (host, postmaster) = names();
        let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let mut out = Vec::new();
        let setup = Setup { role, host, postmaster, peer, secured: kind & 2 != 0 };
        let session = Session::new(Millis(0), setup, &mut out);
        let script = script.iter().cycle();
        Self { session, role, now: Millis(0), script, open: None, handshake: false, closed: false, mail: None }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.step(Input::Wake, 0);
        assert!(self.session.deadline().is_none_or(|due| due > self.now), "a deadline in the past after a wake");
    }

    fn answer_unasked(&mut self) {
        if !matches!(self.open, Some(Question::Begin)) {
            let mut out = Vec::new();
            let unasked = self.session.step(self.now, Input::Begun(Err(Answer::Busy)), &mut out);
            assert!(unasked.is_err() && out.is_empty(), "an answer that was not asked for was taken");
        }
    }

    /// Answers what is open, until nothing is.
    fn answer(&mut self) {
        loop {
            let choice = self.script.next().copied().unwrap_or_default();
            if self.handshake {
                self.handshake = false;
                self.step(Input::Secured, 0);
            }
            let Some(question) = self.open.take() else { return };
            let input = match question {
                Question::Login(_) => Input::Login(match choice % 4 {
                    0 => Login::No,
                    1 => Login::NotNow,
                    _ => Login::Of(Mailbox("alice".into())),
                }),
                Question::Sender(..) => Input::Owned(choice % 4 != 0),
                Question::Rcpt(_) => Input::Resolved(match choice % 5 {
                    0 => Resolved::Unknown,
                    1 => Resolved::NotNow,
                    2 => Resolved::Remote,
                    _ => Resolved::Local(Mailbox("bob".into())),
                }),
                Question::Begin if choice % 8 == 0 => Input::Begun(Err(Answer::Busy)),
                Question::Begin => {
                    self.mail = Some(0);
                    Input::Begun(Ok(MailId([choice; 16])))
                }
                Question::Take(whole) if matches!(self.role, Role::Front | Role::Relay) => {
                    let each =
                        whole.envelope.to.iter().enumerate().map(|(at, _)| match (usize::from(choice) + at) % 5 {
                            0 => Each::Node(Answer::Taken),
                            1 => Each::Node(Answer::Busy),
                            2 => Each::Passed(RcptOutcome::Done),
                            3 => Each::Passed(RcptOutcome::Later("4.2.2 full".into())),
                            _ => Each::Passed(RcptOutcome::Failed("550 5.1.1 who?\r\n250 ok".into())),
                        });
                    Input::TakenEach(each.collect())
                }
                Question::Take(_) => Input::Taken(match choice % 6 {
                    0 => Answer::Busy,
                    1 => Answer::Loop,
                    2 => Answer::NotYours,
                    3 => Answer::Broken,
                    _ => Answer::Taken,
                }),
            };
            self.step(input, 0);
        }
    }

    fn step(&mut self, input: Input<'_>, came: usize) {
        let in_play = self.session.backlog() + came;
        let mut out = Vec::new();
        let taken = self.session.step(self.now, input, &mut out);
        assert!(taken.is_ok(), "an answer that was asked for was not taken");
        assert!(!self.closed || out.is_empty(), "output after the end: {out:?}");
        assert!(self.session.backlog() <= limits::SMTP_BACKLOG_BYTES, "{} bytes kept", self.session.backlog());
        let mut said = 0;
        let last = out.len().saturating_sub(1);
        for (at, output) in out.into_iter().enumerate() {
            match output {
                Output::Say(lines) => {
                    said += lines.len();
                    assert!(is_replies(&lines), "no reply lines: {lines:?}");
                }
                Output::Data(bytes) => {
                    assert!(self.mail.is_some(), "data of a mail that never began");
                    self.mail = self.mail.map(|had| had + bytes.len() as u64);
                    assert!(self.mail <= Some(limits::MAIL_BYTES), "more data than a mail may have");
                }
                Output::Drop => assert!(self.mail.take().is_some(), "a mail dropped that never began"),
                Output::Ask(question) => {
                    assert_eq!(at, last, "a question that is not last");
                    assert!(self.open.is_none(), "two questions at a time");
                    self.check(&question);
                    self.open = Some(question);
                }
                Output::StartTls => {
                    assert_eq!(at, last, "TLS that is not last");
                    self.handshake = true;
                }
                Output::Close => {
                    assert_eq!(at, last, "an end that is not last");
                    self.closed = true;
                    (self.open, self.handshake) = (None, false);
                }
            }
        }
        // In LMTP the end of a mail has a reply for each recipient.
        let each =
            if matches!(self.role, Role::Front | Role::Relay) { 2 * limits::ENVELOPE_RECIPIENTS * 64 } else { 0 };
        assert!(said <= REPLY_PER_BYTE * in_play + REPLY_UNASKED + each, "{said} bytes said to {in_play}");
    }

    fn check(&mut self, question: &Question) {
        let Question::Take(whole) = question else { return };
        assert!(self.mail.take().is_some(), "a mail taken that never began");
        assert!((1..=limits::ENVELOPE_RECIPIENTS).contains(&whole.envelope.to.len()), "{whole:?}");
        assert!(!whole.received.contains(['\r', '\n']), "{whole:?}");
        match self.role {
            Role::Submission => assert!(whole.login.is_some(), "taken without a login: {whole:?}"),
            Role::Relay => {}
            Role::Mx | Role::Front => {
                assert!(whole.envelope.to.iter().all(|rcpt| rcpt.mailbox.is_some()), "relayed: {whole:?}")
            }
        }
    }
}

fn is_replies(lines: &[u8]) -> bool {
    let Some(lines) = lines.strip_suffix(b"\r\n") else { return false };
    core::str::from_utf8(lines).is_ok_and(|text| {
        text.split("\r\n").all(|line| {
            let (code, rest) = line.split_at_checked(3).unwrap_or_default();
            code.len() == 3
                && code.bytes().all(|b| b.is_ascii_digit())
                && rest.starts_with([' ', '-'])
                && !rest.chars().any(char::is_control)
        })
    })
}

#[expect(clippy::expect_used, reason = "two constants that parse")]
fn names() -> (Domain, Address) {
    let host = Domain::parse("mx.node.example").expect("a domain");
    (host, Address::parse("postmaster@node.example").expect("an address"))
}
