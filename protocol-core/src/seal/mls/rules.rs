//! Which changes of a group there are: who comes, who goes, and who comes back from outside. All by value, in a commit.

use mls_rs::MlsRules;
use mls_rs::client_builder::PaddingMode;
use mls_rs::group::{GroupContext, Roster};
use mls_rs::mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle};

use crate::seal::mls::primitive::Flaw;

/// The rules that every member applies alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules;

impl MlsRules for Rules {
    type Error = Flaw;

    /// A group's context, suite and id stay what they are; a pre-shared key is in the first commit only, which nobody
    /// else ever follows.
    fn filter_proposals(
        &self,
        direction: CommitDirection,
        _: CommitSource,
        _: &Roster<'_>,
        _: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, Flaw> {
        let received = matches!(direction, CommitDirection::Receive);
        let known = proposals.group_context_ext_proposals().is_empty()
            && proposals.reinit_proposals().is_empty()
            && proposals.update_proposals().is_empty()
            && (proposals.psk_proposals().is_empty() || !received);
        if known { Ok(proposals) } else { Err(Flaw::Key) }
    }

    /// Every commit renews its author's keys; what it publishes is enough to join by from outside, for healing.
    fn commit_options(&self, _: &Roster<'_>, _: &GroupContext, _: &ProposalBundle) -> Result<CommitOptions, Flaw> {
        Ok(CommitOptions::new()
            .with_path_required(true)
            .with_ratchet_tree_extension(true)
            .with_single_welcome_message(true)
            .with_allow_external_commit(true))
    }

    /// What people say is padded by us, in buckets that we know.
    fn encryption_options(&self, _: &Roster<'_>, _: &GroupContext) -> Result<EncryptionOptions, Flaw> {
        Ok(EncryptionOptions::new(false, PaddingMode::None))
    }
}
