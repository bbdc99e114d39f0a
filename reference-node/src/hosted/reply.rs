//! A reply that somebody with a mail program writes to what came sealed: it goes back sealed, or nowhere (attack 71).
//!
//! ```text
//!   mail ─▶ words alone? everybody in it in the conversation? ─▶ the author's hosted device ─▶ durable: taken
//!                   └─ no ─────────────────────┴─────────────────── none, or it says no ────▶ refused, with the reason
//! ```
//!
//! Whoever asks has seen to it that the login may write as the author.

use std::collections::BTreeSet;

use postline_codec::mime::sealed;
use postline_core::id::{Address, ConversationId};
use postline_core::store::sha256;

use super::{Hosted, Undone};

/// What becomes of such a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is sealed, and durable.
    Taken,
    /// It can't be sealed, for this reason: ASCII, without controls.
    Refused(&'static str),
    /// Not now; it may come again.
    Later,
}

/// Why one is refused that goes to others too.
pub const OTHERS: &str = "This answers a sealed message, and goes to others than are in there";
/// Why one is refused that brings more than words.
pub const WORDS: &str = "This answers a sealed message: write text alone, or a new mail";
/// Why one is refused whose From isn't the login's.
pub const AUTHOR: &str = "This answers a sealed message, and its From is not yours";

impl Hosted {
    /// Seals the words of a mail, in the conversation that it answers.
    pub async fn reply(&self, author: &Address, talk: ConversationId, to: BTreeSet<Address>, mail: &[u8]) -> Reply {
        let Some(words) = sealed::words(mail) else { return Reply::Refused(WORDS) };
        // Handed in again, it is the same message.
        let salt = sha256(&[b"postline/1 hosted reply\0", mail]).half();
        match self.seal(author, talk, to, salt, words).await {
            Ok(()) => Reply::Taken,
            Err(Undone::Others) => Reply::Refused(OTHERS),
            Err(Undone::Late) => Reply::Later,
            Err(_) => Reply::Refused("This answers a sealed message: answer on your device, or write a new mail"),
        }
    }
}
