//! The engine, put together: mls-rs with our primitives, our credentials, our rules, and a shelf for a store.

use core::time::Duration;

use mls_rs::client_builder::{
    ClientBuilder, EmptyConfig, WithCryptoProvider, WithGroupStateStorage, WithIdentityProvider, WithKeyPackageRepo,
    WithMlsRules, WithPskStore,
};
use mls_rs::error::MlsError;
use mls_rs::time::MlsTime;
use mls_rs::{Client, ProtocolVersion};
use zeroize::Zeroizing;

use crate::id::{ConversationId, Hash};
use crate::limits;
use crate::seal::mls::entropy::Entropy;
use crate::seal::mls::member::signing_identity;
use crate::seal::mls::people::People;
use crate::seal::mls::provider::{Provider, SUITE};
use crate::seal::mls::rules::Rules;
use crate::seal::mls::shelf::Shelf;
use crate::seal::mls::{Me, psk, psk_id};
use crate::time::{DAY, Millis};

type Config = WithCryptoProvider<
    Provider,
    WithIdentityProvider<
        People,
        WithMlsRules<Rules, WithGroupStateStorage<Shelf, WithPskStore<Shelf, WithKeyPackageRepo<Shelf, EmptyConfig>>>>,
    >,
>;

/// A group, as the engine has it.
pub(super) type Engine = mls_rs::Group<Config>;

/// What a client of the engine draws from and stores to.
#[derive(Clone, Debug, Default)]
pub(super) struct Desk {
    pub(super) entropy: Entropy,
    pub(super) shelf: Shelf,
}

impl Desk {
    /// A client that acts for the device; for nobody, it can restore what it has.
    pub(super) fn client(&self, me: Option<Me<'_>>) -> Client<Config> {
        let builder = ClientBuilder::new_empty()
            .key_package_repo(self.shelf.clone())
            .psk_store(self.shelf.clone())
            .group_state_storage(self.shelf.clone())
            .mls_rules(Rules)
            .identity_provider(People)
            .crypto_provider(Provider { entropy: self.entropy.clone() })
            .used_protocol_version(ProtocolVersion::MLS_10)
            .key_package_lifetime(Duration::from_millis(limits::PACKAGE_MS + DAY));
        match me {
            Some(me) => {
                let seed = Zeroizing::new(me.device.seed().expose().to_vec());
                builder.signing_identity(signing_identity(me.leaf), seed.to_vec().into(), SUITE).build()
            }
            None => builder.build(),
        }
    }

    /// Lays the handshake's key on the shelf, for the group to be made or joined.
    pub(super) fn bind(&self, conversation: ConversationId, t2: Hash) {
        self.shelf.things().psk = Some((psk_id(conversation), psk(t2).0.to_vec().into()));
    }

    /// Takes it off again.
    pub(super) fn unbind(&self) {
        self.shelf.things().psk = None;
    }
}

/// Has the engine let go of a key of the current epoch that waits for what a member left out.
///
/// The engine takes the place of the sender in its array of all nodes, where a leaf's is twice its own number
/// (RFC 9420 §C): by the leaf's number it would use up a key of another member, and keep this one.
///
/// # Errors
/// [`MlsError`] where that key isn't there.
pub(super) fn give_up(engine: &mut Engine, leaf: u32, generation: u32) -> Result<(), MlsError> {
    engine.derive_decryption_key(leaf.saturating_mul(2), generation).map(drop)
}

/// A time as the engine takes it: whole seconds.
pub(super) const fn seconds(at: Millis) -> u64 {
    at.unix_seconds()
}

/// From when a key package made now is good: clocks differ by a day at most.
pub(super) fn good_from(now: Millis) -> MlsTime {
    MlsTime::from(seconds(now).saturating_sub(seconds(Millis(DAY))))
}
