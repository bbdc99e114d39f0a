//! Who is there, and who is writing: whispered, never stored, and off unless both people agree. One machine for each end.
//!
//! ```text
//!   device                node a                                   node b                device
//!     │ ─ Active ────────▶ │ lease, 5 min ── Here ───────────────▶ │ ── Shows Here ─────▶ │
//!     │                    │      │ runs out: Away, last seen ───▶ │ ── Shows Away ─────▶ │
//!     │ ─ Types ─────────▶ │ 1 in 3 s ────── Types ──────────────▶ │ ── Types ──────────▶ │ ends after 6 s
//!
//!   one entry a pair in the vector of two nodes, each way; said when it changes, and all of it on a new link:
//!
//!   Silent ──ours agrees──▶ Agrees ──theirs does too──▶ Here ⇄ Away(last seen, rounded)
//! ```
//!
//! * **Nothing without trust**: where two have no line there is no entry, and nothing is said or taken (I24). [`node`] holds that.
//! * **Nothing without both**: while one of them doesn't agree, the other hears no more than that, and both see nothing.
//! * **Nothing stored**: these machines have no records, and a crash forgets them whole (attack 60). What people choose is
//!   theirs, kept by the front door, and said here when it restores.
//! * **A lease** is renewed with the connection that it came over. When that ends, what is known lasts [`PRESENCE_MS`], and no
//!   longer; what is said on the next one counts anew.
//!
//! What carries whispers, and which conversation has whom at which node, is the front door's. Spec: `spec/14-presence.md`.

use std::collections::BTreeMap;

use crate::id::{Address, ConversationId};
use crate::limits::{self, PRESENCE_MS};
use crate::time::Millis;
use crate::wire::whisper::Seen;

pub mod device;
pub mod node;

#[cfg(test)]
mod tests;

/// As coarse as it is ever said, and not from the future.
fn coarse(shown: Seen, now: Millis) -> Seen {
    match shown {
        Seen::Here => Seen::Here,
        Seen::Away(last) => Seen::Away(rounded(last.min(now))),
    }
}

fn rounded(last: Millis) -> Millis {
    Millis(last.0 - last.0 % limits::LAST_SEEN_MS)
}

/// Until when something lasts that came over a connection: as long as that is there, and a while longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lease(Option<Millis>);

impl Lease {
    /// The connection has ended.
    fn ends(&mut self, now: Millis) {
        self.0.get_or_insert(now.plus(PRESENCE_MS));
    }

    fn is_over(self, now: Millis) -> bool {
        self.0.is_some_and(|end| end <= now)
    }
}

/// Who was last said to be writing, and when: so often, and no oftener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Typed(BTreeMap<(ConversationId, Address), Millis>);

impl Typed {
    /// Whether it may be said again. Where too many write, it isn't.
    fn take(&mut self, now: Millis, who: &Address, conversation: ConversationId) -> bool {
        self.0.retain(|_, at| now.since(*at) < limits::TYPING_EVERY_MS);
        let key = (conversation, who.clone());
        let may = !self.0.contains_key(&key) && self.0.len() < limits::TYPISTS;
        if may {
            self.0.insert(key, now);
        }
        may
    }
}
