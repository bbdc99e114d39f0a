//! What the front door may read of a link.

use super::Link;
use crate::id::{Hash, MailId};

impl Link {
    /// Hash of the other node's next key, as it last said.
    #[must_use]
    pub fn next_nk(&self) -> Option<Hash> {
        self.memory.next_nk
    }

    /// Which mail of ours has this seq, while it is unsettled.
    #[must_use]
    pub fn mail_of(&self, seq: u64) -> Option<MailId> {
        self.outbound.mail_of(seq)
    }
}
