//! What two addresses are to each other. One machine per pair of addresses.
//!
//! (The diagram stands here once the machine does.)

use crate::content::evidence::Evidence;
use crate::fault::PeerFault;
use crate::id::{Hash, NodeKey, Nonce};
use crate::time::Millis;
use crate::wire::frame::TrustStep;

/// What a pair is told. Values that came from outside are already parsed and their NK signatures verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Our user wrote to them, by hand, and the mail carries this offer and/or this accept of ours.
    Wrote {
        /// The offer that goes along, where one does.
        offer: Option<SentOffer>,
        /// The accept that goes along, where their offer of the answered mail is held.
        accept: Option<SentAccept>,
    },
    /// They wrote to us; `mail` names the arrival, so that evidence can follow.
    Came(Came),
    /// What was found out about the node that their mail's field names.
    Evidence(crate::id::MailId, Evidence),
    /// A handshake step came on a link whose other end proved `nk`; its signature is verified.
    Step {
        /// The proven key of the node that sent it.
        nk: NodeKey,
        /// Which step.
        step: TrustStep,
        /// Its canonical bytes.
        bytes: Vec<u8>,
    },
    /// The link with `nk` is up: whatever is unfinished is said again, verbatim.
    LinkUp(NodeKey),
    /// The peer's node refused us for having no line, though we hold one.
    Denied,
    /// The person blocks them.
    Block,
    /// The person unblocks them.
    Unblock,
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
    /// When it ends.
    pub expires: Millis,
}

/// An accept of ours, as the pair remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAccept {
    /// The offer that it accepts.
    pub re: Hash,
    /// Its nonce.
    pub nonce: Nonce,
    /// Its signed bytes followed by its signature, for T1 and for a crossed accept on the link.
    pub bytes: Vec<u8>,
}
/// Their mail, as the pair sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// The arrival.
    pub mail: crate::id::MailId,
    /// Its Message-ID.
    pub message_id: String,
    /// The offer that it carries, signature verified.
    pub offer: Option<crate::wire::field::Offer>,
    /// The accept that it carries, signature verified.
    pub accept: Option<crate::wire::field::Accept>,
    /// Whether it bears a sign of automatic or bulk mail, or a null return path.
    pub automatic: bool,
}

/// What a pair wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Find out whether the node that the mail's field names speaks for their address: DKIM over the bytes as they came.
    SeekDkim(crate::id::MailId),
    /// Ask their domain which key is its node's.
    SeekDomain(crate::id::MailId),
    /// Say a handshake step to the node, on its link; asked again whenever the link comes up.
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
    /// The pair changed.
    Changed {
        /// What it was.
        from: TrustState,
        /// What it is.
        to: TrustState,
    },
    /// The peer erred; nothing changed by it.
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
