//! One sealed conversation as an MLS group (RFC 9420, suite 0x0003): everything that knows the engine is in here.
//!
//! ```text
//!   packages::make ──▶ public bytes ─(node, peer)─▶ packages::read ──▶ Package ┐
//!        │                                                                     ▼
//!        └─ secret record                    Group::create / commit ──▶ Change ──post──▶ hub
//!              │                                                                         │
//!              └────────────▶ Group::join ◀── Welcome ◀──────────────────────────────────┤
//!                             Group::apply ◀── commit, in the log's order ◀──────────────┘
//!                             Group::seal ──▶ bytes ──▶ … ──▶ Group::open ──▶ Opened { member, aad, plaintext }
//! ```
//!
//! * A [`Group`] changes only in calls that take the step's [`Tick`]: randomness is drawn from its entropy, under a label
//!   of the call's own, and there is none outside a call. The engine has no clock: only what is handed in.
//! * On an error the group is as it was.
//! * What must be stored is put into the [`Outbox`] that the call takes: the effect that the caller emits beside it
//!   leaves when the record is durable.
//!
//! | record | when | what |
//! |---|---|---|
//! | `Key::Group` | at once where the epoch or a pending commit changes, else every [`SNAPSHOT_LAG`] messages | the engine's state |
//! | `Key::Reserve` | every [`RESERVE`] messages sent | up to which generation this device may have sealed |
//! | `Key::Epoch` | with the epoch's end, and where a late message used its keys | the keys of an epoch that is over |
//! | `Key::Package` | when made; removed when used | the secret half of a key package |
//!
//! **What the caller must remember.** A restored group may have forgotten up to [`SNAPSHOT_LAG`] messages that it had
//! opened: it would open those again. The log's seq tells them: an entry at or before the last that is durable is never
//! opened. Within one life of a [`Group`], and for what a snapshot holds, it says [`PeerFault::Again`] itself.
//!
//! Commits go as `PublicMessage`, so that a hub sees epoch and kind; what people say goes as `PrivateMessage`. Nothing is
//! compressed; what people say is padded ([`padding`]). Spec: `spec/08-sealing.md`.
//!
//! [`Tick`]: crate::step::Tick
//! [`Outbox`]: crate::step::Outbox
//! [`SNAPSHOT_LAG`]: crate::limits::SNAPSHOT_LAG
//! [`RESERVE`]: crate::limits::RESERVE
//! [`PeerFault::Again`]: crate::fault::PeerFault::Again

mod aad;
mod chains;
mod changes;
mod engine;
mod entropy;
mod fault;
mod group;
mod hpke;
mod joining;
mod member;
mod package;
pub mod padding;
mod people;
mod primitive;
mod provider;
mod record;
mod rules;
mod shelf;

#[cfg(test)]
mod tests;

use crate::id::{ConversationId, Hash};
use crate::seal::DeviceIdentity;
use crate::store::sha256;
use crate::wire::leaf::Leaf;
use crate::wire::statement::Signed;

pub use aad::{Aad, KnownHead};
pub use fault::Refusal;
pub use group::{Applied, Group, Opened};
pub use joining::named_in;
pub use member::Member;
pub use package::{Made, Package, make, read};
#[cfg(feature = "testing")]
pub use primitive::ledger;
pub use record::wanted;

/// The device that acts: its key, and its leaf as the person's AK signs it.
#[derive(Clone, Copy, Debug)]
pub struct Me<'a> {
    /// The device's key: MLS signs with it.
    pub device: &'a DeviceIdentity,
    /// Its credential, of the newest device list.
    pub leaf: &'a Signed<Leaf>,
}

/// What judges a change of members before it is taken: whether each that comes is whom the caller knows by the lists, and
/// whether the committer may do that. On an error the group stays as it was.
pub type Judge<'a> = &'a mut dyn FnMut(&Applied) -> Result<(), crate::fault::PeerFault>;

/// The pre-shared key that binds a conversation's first commit to the handshake of its line. It is no secret from the two
/// nodes, and claims none: who doesn't know the handshake can't make or join the group.
fn psk(t2: Hash) -> Hash {
    sha256(&[b"postline/1 psk\0", &t2.0])
}

/// What it is called in the group.
fn psk_id(conversation: ConversationId) -> Vec<u8> {
    [&b"postline/1 psk\0"[..], &conversation.0].concat()
}
