//! What two addresses are to each other: how a mail and its reply become a line. One machine per pair of addresses.
//!
//! ```text
//!              we write               they accept, evidence good        M3 came
//!  Stranger ───────────▶ Offered ────────────────────────▶ Confirming ──────────┐
//!     │  ▲                  │ they write    ◀── 7 days ──     says M2           ▼
//!     │  └─ all expired     ▼                                              ┌─ Trusted ─┐
//!     │                  Crossed                                           │  (L2)     │
//!     │                     ▲ we write        M2 came, evidence good: says M3    another key,
//!     │ they write          │                                              ▲     good evidence
//!     └──────────────▶    Held ───────────────────────────▶ Accepting ─────┘           ▼
//!                                we reply   ◀── 7 days, or evidence bad ──         Suspended
//!
//!  any ── Block ──▶ Revoked        Revoked, Suspended ── Unblock ──▶ Stranger (Suspended keeps what it holds: Held)
//!  Trusted ── Denied ──▶ Stranger, their key remembered
//!  Suspended ── the same round trip, by the known key ──▶ Trusted
//!            ── the same, by another key ──▶ proposed ── Readmit ──▶ on, as Accepting or Confirming
//! ```
//!
//! * **L1** (both wrote) is Crossed and what follows; it is shown and gives no right. **L2** is Trusted. L3 and L4 are
//!   the devices'. Only what is Trusted has a line.
//! * **Crossed offers.** Accepts go by mail only, so crossed offers wait until one of the two replies. Where both reply,
//!   each accepting the other's offer, the offer with the smaller T0 wins on both sides and the other accept is dropped;
//!   each side knows both T0s, so no message is needed, and any order of arrival gives the same handshake ([T-8]).
//! * **Confirming uses its offer up.** A T1 so has one M2 and one M3, and both sides the same T2, whatever is lost or
//!   comes twice. Where no M3 comes, what is left is Offered only if other offers stand ([T-4]).
//! * **Evidence** is sought for the node of a held offer by DKIM when it arrives, and by the domain's own word only
//!   after our user has replied. What is not answered, or only for now, is asked again until 24 h have passed; then that
//!   source counts as silent. The rule itself is in `inquiry`.
//! * **A fall is loud.** *Denied* (their node has no line with us) falls to Stranger: the next mail carries an offer
//!   again. Their key stays remembered, so that the new round trip can't bring another one in silently. *Suspended*: a
//!   key with good evidence that isn't the line's, brought by a mail or named by the domain. A round trip goes on
//!   underneath, and stops where a word would be said to another key than the known one: that key is proposed, and the
//!   person decides ([T-9]). An address key in a field is claimed, not proven, so it decides nothing yet.
//! * **Nodes go by names** that the front door gives: a node that changes its key with continuity keeps its name, so
//!   that here every other name is another node ([K-6]).
//! * **An accept that had no answer** is said again, verbatim, by the next mail to the same people ([T-22]).
//! * **Blocked, unknown and never installed act alike** towards the outside, DKIM look-ups included ([T-7]).
//!
//! Left to others: parsing and verifying the fields and the steps' signatures (the front door, with `seal`), the bounds
//! on strangers per user and domain (the front door), dialling again (the link). Spec: `spec/02-trust.md`.

mod book;
mod inquiry;
mod record;
mod rules;

use crate::content::evidence::Evidence;
use crate::fault::{Misuse, PeerFault, RestoreError};
use crate::id::{Hash, MailId, NodeKey, Nonce, Pair};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::time::{MINUTE, Millis};
use crate::wire::field::{Accept, Offer};
use crate::wire::frame::TrustStep;

use book::{Book, Phase};
use rules::Turn;

pub use book::HeldOffer;

/// What a pair is told. Values that came from outside are already parsed and their NK signatures verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Our user wrote to them, by hand, and the mail carries this offer and/or this accept of ours. Of the two the
    /// accept counts; an offer counts only where [`Trust::wants_offer`].
    Wrote {
        /// The offer that goes along, where one does.
        offer: Option<SentOffer>,
        /// The accept that goes along, of the offer that [`Trust::accepts`] named.
        accept: Option<SentAccept>,
    },
    /// They wrote to us; `mail` names the arrival, so that evidence can follow.
    Came(Box<Came>),
    /// What was found out about the node that their mail's field names.
    Evidence(MailId, Evidence),
    /// A handshake step came on a link whose other end proved `nk`; its signature is verified. A refused step is never
    /// answered.
    Step {
        /// The proven key of the node that sent it.
        nk: NodeKey,
        /// Which step.
        step: TrustStep,
        /// Its canonical bytes.
        bytes: Vec<u8>,
    },
    /// The link with `nk` is up: whatever is unfinished is said again, verbatim. Before any Carry of the pair.
    LinkUp(NodeKey),
    /// A node that the pair has to do with goes by another name from now on: it has shown that it is a node that we
    /// knew before, and has only changed its key.
    Renamed {
        /// The name it had.
        from: NodeKey,
        /// The name it has.
        to: NodeKey,
    },
    /// It is time to ask the domain of a line for its word again; the answer comes as the evidence of this id.
    Look(MailId),
    /// An express mail of theirs came on a link whose other end proved `nk`: is it admitted?
    Express {
        /// The proven key.
        nk: NodeKey,
    },
    /// The peer's node refused us for having no line (`not_trusted`), though we hold one.
    Denied,
    /// The person blocks them.
    Block,
    /// The person unblocks them, or, where their node's key changed, lets a new round trip begin.
    Unblock,
    /// The person takes the key that [`Output::Proposed`] named for their node's.
    Readmit(NodeKey),
    /// The deadline has come.
    Wake,
}

/// An offer of ours, as the pair remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentOffer {
    /// Hash of its signed bytes and signature: T0, and what an accept's `re` names.
    pub hash: Hash,
    /// Its nonce.
    pub nonce: Nonce,
    /// When it was made.
    pub at: Millis,
    /// The last moment at which an accept of it counts.
    pub expires: Millis,
}

impl From<&Offer> for SentOffer {
    fn from(offer: &Offer) -> Self {
        Self { hash: offer.hash, nonce: offer.nonce, at: offer.at, expires: offer.expires }
    }
}

/// An accept of ours, as the pair remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAccept {
    /// T0 of the offer that it accepts.
    pub re: Hash,
    /// Its nonce.
    pub nonce: Nonce,
    /// T1: hash of T0 and its signed bytes and signature.
    pub t1: Hash,
    /// When it was made.
    pub at: Millis,
}

impl From<&Accept> for SentAccept {
    fn from(accept: &Accept) -> Self {
        Self { re: accept.re, nonce: accept.nonce, t1: accept.t1, at: accept.at }
    }
}

/// Their mail, as the pair sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// The arrival.
    pub mail: MailId,
    /// Its Message-ID.
    pub message_id: String,
    /// The offer that it carries, signature verified.
    pub offer: Option<Offer>,
    /// The accept that it carries, signature verified.
    pub accept: Option<Accept>,
    /// Whether it bears a sign of automatic or bulk mail, or a null return path.
    pub automatic: bool,
}

/// What a pair wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Find out whether the node that the mail's field names speaks for their address: DKIM over the bytes as they came.
    /// While [`Trust::awaits`] the mail, its header must be kept.
    SeekDkim(MailId),
    /// Ask their domain which key is its node's.
    SeekDomain(MailId),
    /// Say a handshake step to the node, on its link; said again whenever the link comes up.
    Say {
        /// To which node.
        nk: NodeKey,
        /// Which step.
        step: TrustStep,
        /// Its canonical bytes.
        bytes: Vec<u8>,
    },
    /// A link to the node is wanted (now, if it isn't up).
    WantLink {
        /// To which node.
        nk: NodeKey,
    },
    /// The express mail is admitted.
    Admitted,
    /// Another key than the suspended line's has come through a new round trip of mails. It counts once the person says
    /// so: [`Input::Readmit`].
    Proposed {
        /// The key.
        nk: NodeKey,
    },
    /// The pair changed.
    Changed {
        /// What it was.
        from: TrustState,
        /// What it is.
        to: TrustState,
    },
    /// The peer erred; it gained nothing by it.
    Refused(PeerFault),
}

/// What two addresses are to each other, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustState {
    /// Nothing.
    Stranger,
    /// We wrote, with an offer.
    Offered,
    /// They wrote, with an offer.
    Held,
    /// Both.
    Crossed,
    /// We accepted their offer.
    Accepting,
    /// They accepted ours.
    Confirming,
    /// The line: L2.
    Trusted,
    /// Their node's key changed without continuity.
    Suspended,
    /// The person blocked them.
    Revoked,
}

/// What two addresses are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pair: Pair,
    book: Book,
    /// When the express bucket is full again. In memory only.
    express_full: Millis,
}

impl Trust {
    /// Two addresses that are nothing to each other.
    #[must_use]
    pub fn stranger(pair: Pair) -> Self {
        Self { pair, book: Book::default(), express_full: Millis::default() }
    }

    /// The pair as its record has it.
    ///
    /// # Errors
    /// [`RestoreError`] for a record that can't be ours.
    pub fn restore(pair: Pair, record: &Record) -> Result<Self, RestoreError> {
        let book = match &record.value {
            Some(bytes) => record::decode(&Key::Trust(pair.clone()), bytes)?,
            None => Book::default(),
        };
        Ok(Self { book, ..Self::stranger(pair) })
    }

    /// What is left after a crash: everything but how full the express bucket is.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        Self { express_full: Millis::default(), ..self.clone() }
    }

    /// The two addresses.
    #[must_use]
    pub const fn pair(&self) -> &Pair {
        &self.pair
    }

    /// What they are to each other.
    #[must_use]
    pub fn state(&self) -> TrustState {
        self.book.state()
    }

    /// The node that express mail to them goes to, where there is a line.
    #[must_use]
    pub fn line(&self) -> Option<NodeKey> {
        match self.book.phase {
            Phase::Trusted(_) => self.book.known,
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Revoked => None,
        }
    }

    /// The node that a handshake is under way with, or that there is a line to: whose `LinkUp` concerns the pair.
    #[must_use]
    pub fn peer_nk(&self) -> Option<NodeKey> {
        match &self.book.phase {
            Phase::Accepting(accepting) => Some(accepting.held.nk),
            Phase::Confirming(confirming) => Some(confirming.nk),
            Phase::Trusted(_) => self.line(),
            Phase::Open | Phase::Revoked => None,
        }
    }

    /// Hash of the key that will follow that node's, as its field said, while the handshake is under way.
    #[must_use]
    pub fn next_nk(&self) -> Option<Hash> {
        match &self.book.phase {
            Phase::Accepting(accepting) => accepting.held.next,
            Phase::Confirming(confirming) => confirming.next,
            Phase::Open | Phase::Trusted(_) | Phase::Revoked => None,
        }
    }

    /// The node of the line that is, or was.
    #[must_use]
    pub const fn known(&self) -> Option<NodeKey> {
        self.book.known
    }

    /// Every other node that the pair has to do with: what they may have been renamed to is wanted.
    pub fn nodes(&self) -> impl Iterator<Item = NodeKey> {
        self.book.nodes()
    }

    /// The key that waits for the person's word, where the line is suspended.
    #[must_use]
    pub fn candidate(&self) -> Option<NodeKey> {
        self.book.suspended.as_ref().and_then(|suspension| suspension.candidate)
    }

    /// Whether a handshake is under way, and with it something to say on the link to [`Trust::peer_nk`].
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        matches!(self.book.phase, Phase::Accepting(_) | Phase::Confirming(_))
    }

    /// Whether it is time to ask the domain of the line for its word again ([T-23]).
    #[must_use]
    pub fn wants_look(&self, now: Millis) -> bool {
        match &self.book.phase {
            Phase::Trusted(line) => now.since(line.look.at) >= limits::DOMAIN_LOOK_MS,
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Revoked => false,
        }
    }

    /// Our accept that has had no answer yet: what it takes to say it again, verbatim ([T-22]).
    #[must_use]
    pub fn unanswered(&self) -> Option<SentAccept> {
        match &self.book.phase {
            Phase::Accepting(accepting) if accepting.m2.is_none() => {
                Some(SentAccept { re: accepting.held.t0, nonce: accepting.nonce, t1: accepting.t1, at: accepting.at })
            }
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Trusted(_) | Phase::Revoked => None,
        }
    }

    /// Where that node may be found, `host:port` within their mail domain, as their field said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match &self.book.phase {
            Phase::Accepting(accepting) => accepting.held.hint.as_deref(),
            Phase::Confirming(confirming) => confirming.hint.as_deref(),
            Phase::Trusted(line) => line.hint.as_deref(),
            Phase::Open | Phase::Revoked => None,
        }
    }

    /// Whether a handshake waits for a link to [`Trust::peer_nk`]: as a level, for a front door that has just restored.
    #[must_use]
    pub fn wants_link(&self) -> bool {
        match &self.book.phase {
            Phase::Confirming(_) => true,
            Phase::Accepting(accepting) => accepting.dials_at.is_none(),
            Phase::Open | Phase::Trusted(_) | Phase::Revoked => false,
        }
    }

    /// Whether the next mail that our user writes to them should carry an offer.
    #[must_use]
    pub const fn wants_offer(&self) -> bool {
        matches!(self.book.phase, Phase::Open)
    }

    /// The held offer that a reply accepts, where it answers exactly the offer's mail.
    ///
    /// `answers` are the reply's message ids, In-Reply-To first; only the first counts, since a mail further up the
    /// thread is not what the person answers.
    #[must_use]
    pub fn accepts(&self, answers: &[String], now: Millis) -> Option<&HeldOffer> {
        let message = sha256(&[answers.first()?.as_bytes()]);
        match self.book.phase {
            Phase::Open => self.book.best_held(now, |held| held.message == message),
            Phase::Accepting(_) | Phase::Confirming(_) | Phase::Trusted(_) | Phase::Revoked => None,
        }
    }

    /// Whether evidence about this mail is still awaited: as long as it is, its header must be kept.
    #[must_use]
    pub fn awaits(&self, mail: MailId) -> bool {
        self.book.inquiries().any(|inquiry| inquiry.mail == mail && inquiry.deadline().is_some())
    }

    /// Whether the line was made by our side's offer: then our node is the hub of what the two say to each other.
    #[must_use]
    pub const fn offered(&self) -> bool {
        match &self.book.phase {
            Phase::Trusted(line) => line.offered,
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Revoked => false,
        }
    }

    /// T2 of the handshake that made the line.
    #[must_use]
    pub const fn t2(&self) -> Option<Hash> {
        match &self.book.phase {
            Phase::Trusted(line) => Some(line.t2),
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Revoked => None,
        }
    }

    fn decide(&self, tick: &Tick, input: Input) -> Result<Change, Misuse> {
        if let Input::Express { nk } = input {
            return Ok(self.admit(tick.now, nk));
        }
        let mut turn = Turn::new(&self.pair, tick, self.book.clone());
        match input {
            Input::Wrote { offer, accept } => turn.wrote(offer, accept)?,
            Input::Came(came) => turn.came(*came),
            Input::Evidence(mail, evidence) => turn.evidence(mail, &evidence),
            Input::Step { nk, step, bytes } => turn.step(nk, step, &bytes),
            Input::LinkUp(nk) => turn.link_up(nk),
            Input::Renamed { from, to } => turn.renamed(from, to),
            Input::Look(mail) => turn.look(mail),
            Input::Denied => turn.denied(),
            Input::Block => turn.block(),
            Input::Unblock => turn.unblock(),
            Input::Readmit(nk) => turn.readmit(nk),
            Input::Wake => turn.wake(),
            Input::Express { .. } => {}
        }
        let (book, effects) = turn.end();
        Ok(Change { book: Some(book), express_full: self.express_full, effects })
    }

    /// A token bucket of [`EXPRESS_PER_MINUTE`](limits::EXPRESS_PER_MINUTE), kept as the one time when it is full again.
    ///
    /// Another key than the line's hears `not_trusted`, like a stranger: an answer of its own would tell anyone who asks
    /// which two addresses have a line.
    fn admit(&self, now: Millis, nk: NodeKey) -> Change {
        let refused = |why| Change { book: None, express_full: self.express_full, effects: vec![Output::Refused(why)] };
        match &self.book.phase {
            Phase::Trusted(_) if self.book.known == Some(nk) => {}
            Phase::Revoked => return refused(PeerFault::Blocked),
            Phase::Open | Phase::Accepting(_) | Phase::Confirming(_) | Phase::Trusted(_) => {
                return refused(PeerFault::NotTrusted);
            }
        }
        let express_full = self.express_full.max(now).plus(MINUTE / u64::from(limits::EXPRESS_PER_MINUTE));
        if express_full.since(now) > MINUTE {
            return refused(PeerFault::Rate { max: limits::EXPRESS_PER_MINUTE, per_ms: MINUTE });
        }
        Change { book: None, express_full, effects: vec![Output::Admitted] }
    }

    fn apply(&mut self, change: Change, out: &mut Outbox<Output>) {
        let (was, was_due) = (self.state(), self.deadline());
        self.express_full = change.express_full;
        if let Some(book) = change.book.filter(|book| *book != self.book) {
            self.book = book;
            out.save(record::encode(&self.pair, &self.book));
        }
        if self.deadline() != was_due {
            let key = Key::Due(self.pair.clone());
            out.save(match self.deadline() {
                Some(due) => Record::put(key, due.0.to_be_bytes().to_vec()),
                None => Record::remove(key),
            });
        }
        for effect in change.effects {
            out.emit(effect);
        }
        if self.state() != was {
            out.emit(Output::Changed { from: was, to: self.state() });
        }
    }
}

/// What a step changes: the book where it may have, the bucket, and what to do.
struct Change {
    book: Option<Book>,
    express_full: Millis,
    effects: Vec<Output>,
}

impl Machine for Trust {
    type Input = Input;
    type Output = Output;
    type Fault = Misuse;

    /// # Errors
    /// [`Misuse::OutOfPlace`] for an accept of an offer that is not held.
    fn step(&mut self, tick: &Tick, input: Input, out: &mut Outbox<Output>) -> Result<(), Misuse> {
        let change = self.decide(tick, input)?;
        self.apply(change, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.book.deadline()
    }
}
