//! What the engine asks about credentials.

use mls_rs::identity::{CredentialType, SigningIdentity};
use mls_rs::time::MlsTime;
use mls_rs::{ExtensionList, IdentityProvider};
use mls_rs_core::identity::MemberValidationContext;

use crate::seal::mls::member::Member;
use crate::seal::mls::primitive::Flaw;
use crate::wire::leaf::CREDENTIAL;

/// Verifies what leaves say of themselves. Whether that is true of the person, the caller's lists say.
#[derive(Clone, Copy, Debug)]
pub(super) struct People;

impl IdentityProvider for People {
    type Error = Flaw;

    fn validate_member(
        &self,
        signing_identity: &SigningIdentity,
        _: Option<MlsTime>,
        _: MemberValidationContext<'_>,
    ) -> Result<(), Flaw> {
        Member::verify(signing_identity).map(|_| ()).map_err(|_| Flaw::Signature)
    }

    /// Nobody from outside a group has a say in it.
    fn validate_external_sender(
        &self,
        _: &SigningIdentity,
        _: Option<MlsTime>,
        _: Option<&ExtensionList>,
    ) -> Result<(), Flaw> {
        Err(Flaw::Key)
    }

    /// A device is in a group once.
    fn identity(&self, signing_identity: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, Flaw> {
        Ok(signing_identity.signature_key.to_vec())
    }

    /// Asked of a commit's author, and of who comes back from outside: by everybody who follows the commit, not by who makes it.
    fn valid_successor(
        &self,
        predecessor: &SigningIdentity,
        successor: &SigningIdentity,
        _: &ExtensionList,
    ) -> Result<bool, Flaw> {
        let before = Member::read(predecessor).map_err(|_| Flaw::Key)?;
        let after = Member::verify(successor).map_err(|_| Flaw::Signature)?;
        Ok(after.follows(&before))
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::new(CREDENTIAL)]
    }
}
