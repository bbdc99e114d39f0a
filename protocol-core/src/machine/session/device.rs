//! The device's end of a session.
//!
//! ```text
//!   Hello ──their Hello──▶ Proof ──good, the key that we know: our Proof──▶ Ready ──their Ready──▶ Up ──▶ Over
//!                            └─ good, no key to compare with ─▶ Unknown ──Approved─▲ (with the Login, where we enrol)
//!   another key, any other frame, any doubt, too late ──▶ Bye, Over
//! ```

use super::pace::{Heard, Pace};
use crate::fault::{Code, PeerFault};
use crate::id::{Address, Hash, NodeKey};
use crate::limits;
use crate::seal::{DeviceIdentity, verify};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::file::File;
use crate::wire::frame::{Frame, Ready};
use crate::wire::session::{DeviceHello, End, NodeHello, Proof, VERSION};
use crate::wire::signed::Signable;
use crate::wire::talk::{Password, Talk};
use crate::wire::whisper::Whisper;

/// Whom a device dials, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Whose device it is.
    pub address: Address,
    /// The node that must be at the other end; `None`: whichever proves a key that the host then approves.
    pub node: Option<Node>,
    /// The mailbox login, where the device is to be enrolled.
    pub login: Option<Login>,
    /// The greatest number that it may have posted under; 0 for none.
    pub posted: u64,
}

/// A node that a device has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its key.
    pub nk: NodeKey,
    /// Hash of the key that will follow it, as its Ready said.
    pub next: Option<Hash>,
}

/// A mailbox login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A frame came.
    Frame(Frame),
    /// Bytes came that are no frame.
    Garbage(PeerFault),
    /// The person, or the host for them, takes the key of [`Output::Unknown`] for their node's.
    Approved,
    /// Something is to go, once the session is up; before that it is dropped: say it again then.
    Say(Talk),
    /// The session ends.
    Leave,
    /// The deadline has come.
    Wake,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(Frame),
    /// The other end proved this key, and there is none to compare it with: say [`Input::Approved`], or leave.
    Unknown(NodeKey),
    /// The session is up.
    Ready {
        /// The node's key: another than was dialled, where it has changed to the one that it announced. To be remembered
        /// together with the hash in `ready`.
        nk: NodeKey,
        /// What the node says.
        ready: Ready,
        /// Where this device is a copy of one that went on: it must not write.
        behind: Option<PeerFault>,
    },
    /// Something about conversations or keys came.
    Talk(Talk),
    /// Something about a file came.
    File(File),
    /// Something was whispered.
    Whisper(Whisper),
    /// The node left, or we did. The session is over: close.
    Left(Code),
    /// The node erred. The session is over: close.
    Failed(PeerFault),
}

/// The device's end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    channel: [u8; 32],
    /// The greatest number that the device may have posted under.
    posted: u64,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Awaits the node's Hello.
    Hello {
        late: Millis,
        dial: Box<Dial>,
        ours: Vec<u8>,
    },
    /// Awaits the node's Proof.
    Proof {
        late: Millis,
        dial: Box<Dial>,
        nk: NodeKey,
        ours: Vec<u8>,
        theirs: Vec<u8>,
    },
    /// Awaits the host's word.
    Unknown {
        late: Millis,
        dial: Box<Dial>,
        nk: NodeKey,
        ours: Vec<u8>,
        theirs: Vec<u8>,
    },
    /// Awaits Ready.
    Ready {
        late: Millis,
        nk: NodeKey,
    },
    Up(Pace),
    Over,
}

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

    fn over(say: Option<Code>, out: Output) -> Self {
        let say = say.map(|code| Frame::Bye { code }).into_iter().collect();
        Self { next: Some(State::Over), say, out: Some(out) }
    }
}

impl Session {
    /// Begins on a connection with this channel.
    #[must_use]
    pub fn dial(
        tick: &Tick,
        identity: &DeviceIdentity,
        dial: Dial,
        channel: [u8; 32],
        out: &mut Outbox<Output>,
    ) -> Self {
        let ours = DeviceHello {
            version: VERSION,
            address: dial.address.clone(),
            dk: identity.dk(),
            fresh: sha256(&[b"postline session", &tick.entropy, &channel]).0,
            enrols: dial.login.is_some(),
            posted: dial.posted,
            extensions: std::collections::BTreeMap::new(),
        };
        let ours = ours.canonical();
        out.emit(Output::Send(Frame::Hello(ours.clone())));
        let late = tick.now.plus(limits::GREETING_MS);
        Self { channel, posted: dial.posted, state: State::Hello { late, dial: Box::new(dial), ours } }
    }

    /// Takes one input. Once it is over nothing has an effect any more.
    pub fn step(&mut self, tick: &Tick, identity: &DeviceIdentity, input: Input, out: &mut Outbox<Output>) {
        let change = self.decide(tick, identity, input);
        self.apply(change, out);
    }

    /// When a wake is next wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match &self.state {
            State::Hello { late, .. }
            | State::Proof { late, .. }
            | State::Unknown { late, .. }
            | State::Ready { late, .. } => Some(*late),
            State::Up(pace) => Some(pace.deadline()),
            State::Over => None,
        }
    }

    /// Whether Ready came.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    fn decide(&self, tick: &Tick, identity: &DeviceIdentity, input: Input) -> Change {
        let judged = match (&self.state, input) {
            (State::Over, _) => return Change::NOTHING,
            (_, Input::Leave) => return Change::over(Some(Code::Goodbye), Output::Left(Code::Goodbye)),
            (_, Input::Garbage(fault)) => Err(fault),
            (State::Up(pace), input) => Self::up(tick, *pace, input),
            (_, Input::Wake) => self.late(tick),
            (_, Input::Frame(Frame::Bye { code })) => return Change::over(None, Output::Left(code)),
            (State::Hello { .. }, Input::Frame(Frame::Hello(theirs))) => self.greeted(identity, theirs),
            (State::Proof { .. }, Input::Frame(Frame::Proof(signature))) => self.proven(tick, identity, &signature),
            (State::Unknown { dial, nk, ours, theirs, .. }, Input::Approved) => {
                Ok(self.prove(tick, identity, dial, *nk, ours, theirs))
            }
            (State::Ready { nk, .. }, Input::Frame(Frame::Ready(ready))) => Ok(self.ready(tick, *nk, ready)),
            (_, Input::Approved | Input::Say(_)) => return Change::NOTHING,
            (_, Input::Frame(_)) => Err(PeerFault::Frame("hello, proof, ready, and nothing else")),
        };
        judged.unwrap_or_else(|fault| Change::over(Some(fault.code()), Output::Failed(fault)))
    }

    fn up(tick: &Tick, mut pace: Pace, input: Input) -> Result<Change, PeerFault> {
        let mut change = match input {
            Input::Frame(frame) => match pace.hear(tick.now, frame, false)? {
                Heard::Nothing => Change::NOTHING,
                Heard::Talk(talk) => Change { out: Some(Output::Talk(talk)), ..Change::NOTHING },
                Heard::File(file) => Change { out: Some(Output::File(file)), ..Change::NOTHING },
                Heard::Whisper(whisper) => Change { out: Some(Output::Whisper(whisper)), ..Change::NOTHING },
                Heard::Answer(frame) => Change { say: vec![frame], ..Change::NOTHING },
                Heard::Left(code) => return Ok(Change::over(None, Output::Left(code))),
            },
            Input::Say(talk) => Change { say: vec![Frame::Talk(talk)], ..Change::NOTHING },
            Input::Wake => Change { say: pace.wake(tick.now)?.into_iter().collect(), ..Change::NOTHING },
            Input::Garbage(_) | Input::Approved | Input::Leave => return Ok(Change::NOTHING),
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

    /// Judges the node's Hello: the key that we know, or the one that it announced as its next.
    fn greeted(&self, identity: &DeviceIdentity, theirs: Vec<u8>) -> Result<Change, PeerFault> {
        let State::Hello { late, dial, ours } = &self.state else {
            return Err(PeerFault::Frame("a hello in its place"));
        };
        let hello = NodeHello::parse(&theirs)?;
        if hello.nk.0 == identity.dk().0 {
            return Err(PeerFault::Signature);
        }
        if let Some(node) = dial.node.filter(|node| node.nk != hello.nk && !follows(&hello, node)) {
            return Err(PeerFault::WrongKey { got: hello.nk, want: node.nk });
        }
        let (late, dial, ours) = (*late, dial.clone(), ours.clone());
        Ok(Change::to(State::Proof { late, dial, nk: hello.nk, ours, theirs }))
    }

    /// Judges the node's proof.
    fn proven(&self, tick: &Tick, identity: &DeviceIdentity, signature: &[u8]) -> Result<Change, PeerFault> {
        let State::Proof { late, dial, nk, ours, theirs } = &self.state else {
            return Err(PeerFault::Frame("a proof in its place"));
        };
        let wanted = Proof::new(End::Node, ours, theirs, &self.channel);
        verify(*nk, wanted.role(), &wanted.canonical(), signature)?;
        if dial.node.is_some() {
            return Ok(self.prove(tick, identity, dial, *nk, ours, theirs));
        }
        let (late, dial, ours, theirs) = (*late, dial.clone(), ours.clone(), theirs.clone());
        let next = State::Unknown { late, dial, nk: *nk, ours, theirs };
        Ok(Change { out: Some(Output::Unknown(*nk)), ..Change::to(next) })
    }

    /// The node is who it must be: now we show our own proof, and the login where we enrol.
    fn prove(
        &self,
        tick: &Tick,
        identity: &DeviceIdentity,
        dial: &Dial,
        nk: NodeKey,
        ours: &[u8],
        theirs: &[u8],
    ) -> Change {
        let proof = identity.sign(&Proof::new(End::Device, ours, theirs, &self.channel));
        let login = dial.login.clone().map(|Login { user, password }| Frame::Talk(Talk::Login { user, password }));
        let patience = if login.is_some() { limits::AUTH_MS } else { limits::GREETING_MS };
        let say = core::iter::once(Frame::Proof(proof.to_vec())).chain(login).collect();
        Change { say, ..Change::to(State::Ready { late: tick.now.plus(patience), nk }) }
    }

    fn ready(&self, tick: &Tick, nk: NodeKey, ready: Ready) -> Change {
        let (got, seen) = (self.posted, ready.last_seen);
        let behind = (got < seen).then_some(PeerFault::Behind { got, seen });
        let out = Some(Output::Ready { nk, ready, behind });
        Change { out, ..Change::to(State::Up(Pace::new(tick.now))) }
    }

    fn apply(&mut self, change: Change, out: &mut Outbox<Output>) {
        if let Some(next) = change.next {
            self.state = next;
        }
        change.say.into_iter().for_each(|frame| out.emit(Output::Send(frame)));
        change.out.into_iter().for_each(|output| out.emit(output));
    }
}

/// Whether a Hello is by the key that the node we know announced as its next ([K-6]).
fn follows(hello: &NodeHello, node: &Node) -> bool {
    hello.former() == Some(node.nk) && node.next == Some(sha256(&[&hello.nk.0]))
}
