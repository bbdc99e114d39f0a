//! What the host found out about the node behind an address. The host looks up; the trust machine judges.

use crate::id::{Domain, NodeKey};

/// What was found out about the node that a mail's `Postline-*` field names. Looked up by the host, judged by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The mail's DKIM signatures were evaluated over the bytes that came.
    Dkim(Dkim),
    /// The domain's own word was looked up (well-known document under WebPKI, or TXT under DNSSEC).
    Domain {
        /// The key it names; `None` where the domain says nothing.
        names: Option<NodeKey>,
    },
    /// The domain's own word was looked up, and its document and its record name different keys. Then it names none, and
    /// DKIM is void: who could change one of the two must not win.
    Contradiction,
    /// DNS or the network failed for now; we will ask again.
    Temporary,
}

/// What the mail's DKIM signatures prove.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Dkim {
    /// Every signature that passed.
    pub passed: Vec<DkimPass>,
}

/// One DKIM signature that passed (RFC 6376 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimPass {
    /// The signing domain, `d=`.
    pub domain: Domain,
    /// The signed fields, `h=`, lower case, as often as they are named (so that oversigning shows).
    pub signed: Vec<String>,
    /// Whether `l=` limits the signed body.
    pub partial: bool,
}
