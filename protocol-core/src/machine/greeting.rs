//! A connection before its other end has proven a key. One machine per connection, gone after Proof.
//!
//! (The diagram stands here once the machine does.)

use crate::fault::PeerFault;
use crate::id::NodeKey;
use crate::wire::frame::{Domains, Frame};

/// What a greeting wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(Frame),
    /// The other end proved this key, and speaks for these domains. The greeting is over.
    Proven {
        /// The key.
        nk: NodeKey,
        /// The domains, ours as listener.
        domains: Domains,
    },
    /// The other end erred: say Bye and close.
    Failed(PeerFault),
}
