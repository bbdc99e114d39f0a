//! A connection before its other end has proven a key. One machine per connection, gone after Proof. Spec: [L-3], [L-4].
//!
//! ```text
//!  dialler  ──Hello──▶ Answer ──Hello from the listener──▶ Proof ──Proof good: our Proof──▶ Proven
//!  listener            Hello ──Hello: our Hello, our Proof──▶ Proof ──Proof good──▶ Proven
//!                        any other frame, any doubt, GREETING_MS ──▶ Bye, Failed
//! ```
//!
//! The dialler speaks first and proves last: it shows its key only to the key that it dialled. A stranger learns that a
//! node is here and which key it has, and no more: key, signature and domain fail alike. The TLS exporter in the proof
//! ties it to this connection; a role for each end keeps it from being mirrored.
//!
//! Where the key that was dialled has announced another as its next, that one is as good, if it says whom it follows.
//!
//! What a proven key may do is the front door's to know; whether the other end closes the connection is the host's.

use std::collections::BTreeSet;

use crate::canary::{self, Canary};
use crate::fault::{Code, PeerFault};
use crate::id::{Domain, Hash, NodeKey};
use crate::limits;
use crate::seal::{NodeIdentity, verify};
use crate::step::{Outbox, Tick};
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::frame::{Domains, Frame};
use crate::wire::hello::{End, Hello, Proof, VERSION};
use crate::wire::signed::Signable;

/// Who we are: the front door's, lent for a step.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// Our key.
    pub identity: &'a NodeIdentity,
    /// The domains we serve.
    pub domains: &'a BTreeSet<Domain>,
}

/// What a greeting is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A frame came.
    Frame(Frame),
    /// Bytes came that are no frame.
    Garbage(PeerFault),
    /// The deadline has come.
    Wake,
}

/// What a greeting wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(Frame),
    /// The other end proved this key, and speaks for these domains. The greeting is over.
    Proven {
        /// The key.
        nk: NodeKey,
        /// The key that it has followed, as the other end says: to be believed only where that one announced it.
        former: Option<NodeKey>,
        /// The domains, ours as listener.
        domains: Domains,
    },
    /// The other end said Bye. The greeting is over: close.
    Left(Code),
    /// The other end erred, and was told as much as it may know. The greeting is over: close.
    Failed(PeerFault),
}

/// A connection before Proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    exporter: [u8; 32],
    late: Millis,
    /// Hashes of the keys that the one that we dialled announced as its next.
    next: Vec<Hash>,
    awaits: Awaits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Awaits {
    /// Listener: the dialler's Hello.
    Hello,
    /// Dialler: the listener's Hello.
    Answer { nk: NodeKey, domains: Domains, ours: Vec<u8> },
    /// Either: the other end's Proof.
    Proof { end: End, nk: NodeKey, former: Option<NodeKey>, domains: Domains, ours: Vec<u8>, theirs: Vec<u8> },
    /// Nothing any more.
    Over,
}

struct Change {
    next: Awaits,
    say: Vec<Frame>,
    end: Option<Output>,
}

impl Greeting {
    /// Begins on a connection that we dialled to reach the node with key `nk`, for `domains` with ours as speaker.
    #[must_use]
    pub fn dial(
        tick: &Tick,
        identity: &NodeIdentity,
        domains: Domains,
        nk: NodeKey,
        exporter: [u8; 32],
        out: &mut Outbox<Output>,
    ) -> Self {
        let ours = Hello::new(identity.nk(), domains.clone(), nonce(tick, &exporter));
        let ours = ours.following(identity.former()).canonical();
        out.emit(Output::Send(Frame::Hello(ours.clone())));
        let awaits = Awaits::Answer { nk, domains, ours };
        Self { exporter, late: tick.now.plus(limits::GREETING_MS), next: Vec::new(), awaits }
    }

    /// The same dial, content also with the key that the one dialled announced as its next.
    #[must_use]
    pub fn or_next(self, next: Vec<Hash>) -> Self {
        Self { next, ..self }
    }

    /// Begins on a connection that the other end dialled.
    #[must_use]
    pub const fn answer(tick: &Tick, exporter: [u8; 32]) -> Self {
        Self { exporter, late: tick.now.plus(limits::GREETING_MS), next: Vec::new(), awaits: Awaits::Hello }
    }

    /// Takes one input. After `Proven`, `Left` or `Failed` nothing has an effect any more.
    pub fn step(&mut self, tick: &Tick, ours: Ours<'_>, input: Input, out: &mut Outbox<Output>) {
        if let Some(change) = self.decide(tick, ours, input) {
            self.apply(change, out);
        }
    }

    /// When a wake is next wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        (self.awaits != Awaits::Over).then_some(self.late)
    }

    /// The key that the other end claims, or that we dialled, while it is still to be proven.
    #[must_use]
    pub const fn claims(&self) -> Option<NodeKey> {
        match &self.awaits {
            Awaits::Answer { nk, .. } | Awaits::Proof { nk, .. } => Some(*nk),
            Awaits::Hello | Awaits::Over => None,
        }
    }

    /// The key that the other end says its own has followed.
    #[must_use]
    pub const fn claims_to_follow(&self) -> Option<NodeKey> {
        match &self.awaits {
            Awaits::Proof { former, .. } => *former,
            Awaits::Hello | Awaits::Answer { .. } | Awaits::Over => None,
        }
    }

    fn decide(&self, tick: &Tick, ours: Ours<'_>, input: Input) -> Option<Change> {
        let over = |output| Some(Change { next: Awaits::Over, say: Vec::new(), end: Some(output) });
        let judged = match (&self.awaits, input) {
            (Awaits::Over, _) => return None,
            (_, Input::Wake) if tick.now < self.late => return None,
            (_, Input::Wake) => Err(PeerFault::Late(limits::GREETING_MS)),
            (_, Input::Garbage(fault)) => Err(fault),
            (_, Input::Frame(Frame::Bye { code })) => return over(Output::Left(code)),
            (Awaits::Hello, Input::Frame(Frame::Hello(theirs))) => self.answered(tick, ours, theirs),
            (Awaits::Answer { .. }, Input::Frame(Frame::Hello(theirs))) => self.met(ours, theirs),
            (Awaits::Proof { .. }, Input::Frame(Frame::Proof(signature))) => self.proven(ours, &signature),
            (_, Input::Frame(_)) => Err(PeerFault::Frame("hello, then proof, and nothing else")),
        };
        Some(judged.unwrap_or_else(|fault| Change {
            next: Awaits::Over,
            say: vec![Frame::Bye { code: fault.code() }],
            end: Some(Output::Failed(fault)),
        }))
    }

    /// Listener: judges the dialler's Hello, and answers with ours and its proof.
    fn answered(&self, tick: &Tick, ours: Ours<'_>, theirs: Vec<u8>) -> Result<Change, PeerFault> {
        let hello = judge(ours.identity.nk(), &theirs)?;
        let former = hello.former();
        let Domains { speaker, listener } = hello.domains;
        if !ours.domains.contains(&listener) {
            return Err(PeerFault::WrongDomain(listener));
        }
        if ours.domains.contains(&speaker) {
            return Err(PeerFault::WrongDomain(speaker));
        }
        let mirrored = Domains { speaker: listener.clone(), listener: speaker.clone() };
        let answer = Hello::new(ours.identity.nk(), mirrored, nonce(tick, &self.exporter));
        let bytes = answer.following(ours.identity.former()).canonical();
        let proof = ours.identity.sign(&Proof::new(End::Listener, &theirs, &bytes, &self.exporter));
        let domains = Domains { speaker, listener };
        Ok(Change {
            say: vec![Frame::Hello(bytes.clone()), Frame::Proof(proof.to_vec())],
            next: Awaits::Proof { end: End::Dialler, nk: hello.nk, former, domains, ours: bytes, theirs },
            end: None,
        })
    }

    /// Dialler: judges the listener's Hello.
    fn met(&self, ours: Ours<'_>, theirs: Vec<u8>) -> Result<Change, PeerFault> {
        let Awaits::Answer { nk, domains, ours: bytes } = &self.awaits else {
            return Err(PeerFault::Frame("a hello in its place"));
        };
        let hello = judge(ours.identity.nk(), &theirs)?;
        if hello.nk != *nk && !self.follows(&hello, *nk) {
            return Err(PeerFault::WrongKey { got: hello.nk, want: *nk });
        }
        if hello.domains.speaker != domains.listener {
            return Err(PeerFault::WrongDomain(hello.domains.speaker));
        }
        if hello.domains.listener != domains.speaker {
            return Err(PeerFault::WrongDomain(hello.domains.listener));
        }
        let (ours, nk, former, domains) = (bytes.clone(), hello.nk, hello.former(), hello.domains);
        Ok(Change {
            next: Awaits::Proof { end: End::Listener, nk, former, domains, ours, theirs },
            say: Vec::new(),
            end: None,
        })
    }

    /// Whether a Hello is by the key that the one dialled announced as its next ([K-6]).
    fn follows(&self, hello: &Hello, dialled: NodeKey) -> bool {
        let announced = self.next.contains(&sha256(&[&hello.nk.0]));
        hello.former() == Some(dialled) && (announced || canary::is_on(Canary::RotationWithoutAnnouncement))
    }

    /// Either: judges the other end's proof; the dialler now gives its own.
    fn proven(&self, ours: Ours<'_>, signature: &[u8]) -> Result<Change, PeerFault> {
        let Awaits::Proof { end, nk, former, domains, ours: bytes, theirs } = &self.awaits else {
            return Err(PeerFault::Frame("a proof in its place"));
        };
        let (dialler, listener) = match end {
            End::Dialler => (theirs, bytes),
            End::Listener => (bytes, theirs),
        };
        let wanted = Proof::new(*end, dialler, listener, &self.exporter);
        verify(*nk, wanted.role(), &wanted.canonical(), signature)?;
        let say = match end {
            End::Dialler => Vec::new(),
            End::Listener => {
                let proof = ours.identity.sign(&Proof::new(End::Dialler, dialler, listener, &self.exporter));
                vec![Frame::Proof(proof.to_vec())]
            }
        };
        let proven = Output::Proven { nk: *nk, former: *former, domains: domains.clone() };
        Ok(Change { next: Awaits::Over, say, end: Some(proven) })
    }

    fn apply(&mut self, change: Change, out: &mut Outbox<Output>) {
        self.awaits = change.next;
        change.say.into_iter().for_each(|frame| out.emit(Output::Send(frame)));
        change.end.into_iter().for_each(|output| out.emit(output));
    }
}

/// What both ends check: a version in common, and that we aren't talking to ourselves.
fn judge(our_nk: NodeKey, bytes: &[u8]) -> Result<Hello, PeerFault> {
    let hello = Hello::parse(bytes)?;
    if hello.version < VERSION {
        return Err(PeerFault::Version(hello.version));
    }
    if hello.nk == our_nk {
        return Err(PeerFault::Signature);
    }
    Ok(hello)
}

fn nonce(tick: &Tick, exporter: &[u8; 32]) -> [u8; 32] {
    sha256(&[b"postline hello", &tick.entropy, exporter]).0
}

#[cfg(test)]
mod tests;
