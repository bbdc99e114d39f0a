//! The node's end of a session.
//!
//! ```text
//!   Hello ──Hello: our Hello, our Proof──▶ Proof ──good, known──▶ Proven ──Admit: Ready──▶ Up ──Bye, silence──▶ Over
//!                                            └─ good, enrols ─▶ Login ─▶ Checking ─▲
//!   any other frame, any doubt, too late ──▶ Bye, Over
//! ```

use super::pace::{Heard, Pace};
use crate::fault::{Code, PeerFault};
use crate::id::{Address, DeviceKey};
use crate::limits;
use crate::seal::{NodeIdentity, verify};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::file::File;
use crate::wire::frame::{Frame, Ready};
use crate::wire::session::{DeviceHello, End, NodeHello, Proof};
use crate::wire::signed::Signable;
use crate::wire::talk::{Password, Talk};
use crate::wire::whisper::Whisper;

/// What the front door lends for a step.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// Our key.
    pub identity: &'a NodeIdentity,
    /// Whose device that of [`Session::claims`] is, where it is enrolled.
    pub enrolled: Option<&'a Address>,
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A frame came.
    Frame(Frame),
    /// Bytes came that are no frame.
    Garbage(PeerFault),
    /// The mailbox login that was to be checked: whether it is good, and may speak for the address.
    Checked(bool),
    /// The device that was [`Output::Proven`] may go on; Ready says what it needs to know.
    Admit(Ready),
    /// The session ends, and the device hears why.
    End(Code),
    /// The deadline has come.
    Wake,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(Frame),
    /// Check a mailbox login, and say [`Input::Checked`].
    Check {
        /// The user name.
        user: String,
        /// The password.
        password: Password,
    },
    /// The device is who it says. Say [`Input::Admit`], or [`Input::End`].
    Proven(Proven),
    /// Something about conversations or keys came.
    Talk(Talk),
    /// Something about a file came.
    File(File),
    /// Something was whispered.
    Whisper(Whisper),
    /// The device left, or we ended it. The session is over: close.
    Left(Code),
    /// The device erred, and was told as much as it may know. The session is over: close.
    Failed(PeerFault),
}

/// A device that proved its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Whose it is.
    pub address: Address,
    /// Its key.
    pub dk: DeviceKey,
    /// Whether it is to be enrolled: the mailbox login was good.
    pub enrols: bool,
    /// The greatest number that it may have posted under, as it says.
    pub posted: u64,
}

/// The node's end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    channel: [u8; 32],
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Hello { late: Millis },
    Proof { late: Millis, hello: Box<DeviceHello>, theirs: Vec<u8>, ours: Vec<u8> },
    Login { late: Millis, who: Box<Proven> },
    Checking { late: Millis, who: Box<Proven> },
    Proven { late: Millis, who: Box<Proven> },
    Up(Pace),
    Over,
}

/// What a step changes, and what follows from it.
struct Change {
    next: Option<State>,
    say: Vec<Frame>,
    out: Option<Output>,
}

impl Change {
    const NOTHING: Self = Self { next: None, say: Vec::new(), out: None };

    fn to(next: State) -> Self {
        Self { next: Some(next), ..Self::NOTHING }
    }

    /// The end, with a last word.
    fn over(say: Option<Code>, out: Output) -> Self {
        let say = say.map(|code| Frame::Bye { code }).into_iter().collect();
        Self { next: Some(State::Over), say, out: Some(out) }
    }
}

impl Session {
    /// Begins on a connection with this channel.
    #[must_use]
    pub const fn answer(tick: &Tick, channel: [u8; 32]) -> Self {
        Self { channel, state: State::Hello { late: tick.now.plus(limits::GREETING_MS) } }
    }

    /// Takes one input. Once it is over nothing has an effect any more.
    pub fn step(&mut self, tick: &Tick, ours: Ours<'_>, input: Input, out: &mut Outbox<Output>) {
        let change = self.decide(tick, ours, input);
        self.apply(change, out);
    }

    /// When a wake is next wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match &self.state {
            State::Hello { late }
            | State::Proof { late, .. }
            | State::Login { late, .. }
            | State::Checking { late, .. }
            | State::Proven { late, .. } => Some(*late),
            State::Up(pace) => Some(pace.deadline()),
            State::Over => None,
        }
    }

    /// The device that the other end says it is, until it is up: what is known of it is wanted.
    #[must_use]
    pub fn claims(&self) -> Option<(&Address, DeviceKey)> {
        match &self.state {
            State::Proof { hello, .. } => Some((&hello.address, hello.dk)),
            State::Login { who, .. } | State::Checking { who, .. } | State::Proven { who, .. } => {
                Some((&who.address, who.dk))
            }
            State::Hello { .. } | State::Up(_) | State::Over => None,
        }
    }

    /// Whether Ready was said.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    fn decide(&self, tick: &Tick, ours: Ours<'_>, input: Input) -> Change {
        let judged = match (&self.state, input) {
            (State::Over, _) => return Change::NOTHING,
            (_, Input::End(code)) => return Change::over(Some(code), Output::Left(code)),
            (_, Input::Garbage(fault)) => Err(fault),
            (State::Up(pace), input) => Self::up(tick, *pace, input),
            (_, Input::Wake) => self.late(tick),
            (_, Input::Frame(Frame::Bye { code })) => return Change::over(None, Output::Left(code)),
            (State::Hello { late }, Input::Frame(Frame::Hello(bytes))) => self.greeted(tick, ours, *late, bytes),
            (State::Proof { .. }, Input::Frame(Frame::Proof(signature))) => self.proven(ours, &signature),
            (State::Login { who, .. }, Input::Frame(Frame::Talk(Talk::Login { user, password }))) => {
                check(tick, who, user, password)
            }
            (State::Checking { late, who }, Input::Checked(true)) => Ok(met(*late, (**who).clone())),
            (State::Checking { .. }, Input::Checked(false)) => Err(PeerFault::Login),
            (State::Proven { .. }, Input::Admit(ready)) => {
                Ok(Change { say: vec![Frame::Ready(ready)], ..Change::to(State::Up(Pace::new(tick.now))) })
            }
            // Late answers of the front door's.
            (_, Input::Checked(_) | Input::Admit(_)) => return Change::NOTHING,
            (_, Input::Frame(_)) => Err(PeerFault::Frame("hello, proof, login, and nothing else")),
        };
        judged.unwrap_or_else(|fault| Change::over(Some(fault.code()), Output::Failed(fault)))
    }

    fn up(tick: &Tick, mut pace: Pace, input: Input) -> Result<Change, PeerFault> {
        let mut change = match input {
            Input::Frame(frame) => match pace.hear(tick.now, frame, true)? {
                Heard::Nothing => Change::NOTHING,
                Heard::Talk(talk) => Change { out: Some(Output::Talk(talk)), ..Change::NOTHING },
                Heard::File(file) => Change { out: Some(Output::File(file)), ..Change::NOTHING },
                Heard::Whisper(whisper) => Change { out: Some(Output::Whisper(whisper)), ..Change::NOTHING },
                Heard::Answer(frame) => Change { say: vec![frame], ..Change::NOTHING },
                Heard::Left(code) => return Ok(Change::over(None, Output::Left(code))),
            },
            Input::Wake => Change { say: pace.wake(tick.now)?.into_iter().collect(), ..Change::NOTHING },
            Input::Garbage(_) | Input::Checked(_) | Input::Admit(_) | Input::End(_) => return Ok(Change::NOTHING),
        };
        change.next = Some(State::Up(pace));
        Ok(change)
    }

    fn late(&self, tick: &Tick) -> Result<Change, PeerFault> {
        match self.deadline() {
            Some(late) if late <= tick.now => Err(PeerFault::Late(limits::GREETING_MS)),
            Some(_) | None => Ok(Change::NOTHING),
        }
    }

    /// Judges the device's Hello, and answers with ours and its proof.
    fn greeted(&self, tick: &Tick, ours: Ours<'_>, late: Millis, theirs: Vec<u8>) -> Result<Change, PeerFault> {
        let hello = DeviceHello::parse(&theirs)?;
        let fresh = sha256(&[b"postline session", &tick.entropy, &self.channel]).0;
        let bytes = NodeHello::new(ours.identity.nk(), ours.identity.former(), fresh).canonical();
        let proof = ours.identity.sign(&Proof::new(End::Node, &theirs, &bytes, &self.channel));
        Ok(Change {
            say: vec![Frame::Hello(bytes.clone()), Frame::Proof(proof.to_vec())],
            ..Change::to(State::Proof { late, hello: Box::new(hello), theirs, ours: bytes })
        })
    }

    /// Judges the device's proof, and then whether it is known.
    fn proven(&self, ours: Ours<'_>, signature: &[u8]) -> Result<Change, PeerFault> {
        let State::Proof { late, hello, theirs, ours: bytes } = &self.state else {
            return Err(PeerFault::Frame("a proof in its place"));
        };
        let wanted = Proof::new(End::Device, theirs, bytes, &self.channel);
        verify(hello.dk, wanted.role(), &wanted.canonical(), signature)?;
        let DeviceHello { address, dk, enrols, posted, .. } = (**hello).clone();
        let who = Proven { address, dk, enrols, posted };
        if enrols {
            return Ok(Change::to(State::Login { late: *late, who: Box::new(who) }));
        }
        if ours.enrolled == Some(&who.address) { Ok(met(*late, who)) } else { Err(PeerFault::Login) }
    }

    fn apply(&mut self, change: Change, out: &mut Outbox<Output>) {
        if let Some(next) = change.next {
            self.state = next;
        }
        change.say.into_iter().for_each(|frame| out.emit(Output::Send(frame)));
        change.out.into_iter().for_each(|output| out.emit(output));
    }
}

fn met(late: Millis, who: Proven) -> Change {
    let out = Some(Output::Proven(who.clone()));
    Change { out, ..Change::to(State::Proven { late, who: Box::new(who) }) }
}

/// Has a login checked: it may take as long as the host's own check.
fn check(tick: &Tick, who: &Proven, user: String, password: Password) -> Result<Change, PeerFault> {
    if user.len() > limits::LOGIN_BYTES || password.0.len() > limits::PASSWORD_BYTES {
        return Err(PeerFault::Login);
    }
    let late = tick.now.plus(limits::AUTH_MS);
    let out = Some(Output::Check { user, password });
    Ok(Change { out, ..Change::to(State::Checking { late, who: Box::new(who.clone()) }) })
}
