//! Each seeded bug is noticed, and soon: the simulator would notice such a bug of ours.
//!
//! ```text
//!   figure canary_<name> <seed>/<invariant>      the first seed that notices it, and what it says is broken
//! ```

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test's helper fails loudly, and tells the figures"
)]

use std::collections::BTreeSet;

use postline_core::canary::{Canary, set};
use postline_world::run::{Run, run_in, run_with_devices, run_with_files};
use postline_world::weather::Fault;

/// A seeded bug that as many seeds don't notice is one that would slip through.
const SEEDS: u64 = 2_000;

/// Those that other tests notice: `protocol-core`'s own tests of seals the first and of devices the second, the model of
/// keys the next, the model of versions the one after, and the story that compares who is online with who isn't the last.
const ELSEWHERE: [Canary; 7] = [
    Canary::AadWithoutConversation,
    Canary::GhostTaken,
    Canary::ProofForAnyLine,
    Canary::ProofOfAnyList,
    Canary::AnyKeyFollows,
    Canary::EditAfterRetract,
    Canary::DeliveredWaitsForDevice,
];

/// Looks for the first seed that notices the bug, in any weather or in that which brings it out, and says what it says.
/// Where none of the first does, it may begin not far before the one that does.
fn caught(
    canary: Canary,
    by: &[&str],
    weather: &[(Fault, u64)],
    run_in: fn(u64, &[(Fault, u64)], bool) -> Run,
    from: u64,
) {
    set(Some(canary));
    let caught = (from..SEEDS).map(|seed| run_in(seed, weather, false)).find_map(|run| Some((run.seed, run.broken?)));
    set(None);
    let Some((seed, (invariant, what))) = caught else { panic!("{canary:?} slips through {SEEDS} seeds") };
    println!("figure canary_{canary:?} {seed}/{invariant}");
    assert!(by.contains(&invariant), "{canary:?} is noticed by seed {seed}, but as {invariant}: {what}");
    assert_eq!(run_in(seed, weather, false).broken, None, "seed {seed} is broken without {canary:?} too");
}

macro_rules! canaries {
    ($($name:ident: $canary:ident is $by:expr $(, in $weather:expr)? $(, by $run:ident)? $(, from $from:expr)?;)*) => {
        $(#[test] #[ignore = "./check runs it, in the simulator's own build"] fn $name() { caught(Canary::$canary, &$by, &[$($weather)?], [$($run,)? run_in][0], [$($from,)? 0][0]); })*

        #[test]
        fn every_canary_has_its_test() {
            let all: BTreeSet<_> = [$(Canary::$canary),*].into_iter().chain(ELSEWHERE).collect();
            assert_eq!(all, BTreeSet::from(Canary::ALL));
        }
    };
}

canaries! {
    an_effect_before_its_commit_is_noticed: AckBeforePersist is ["I1", "I2", "I3", "I19", "I20"], in (Fault::CommitFails, 60);
    a_mail_shown_again_is_noticed: DedupOff is ["I2"];
    a_copy_without_its_id_is_noticed: FallbackWithoutId is ["I2"], in (Fault::HalfOpen, 60);
    // [E-6]
    a_mail_suppressed_by_anybody_is_noticed: UnsignedCopySuppresses is ["I1", "I2"], in (Fault::Forger, 1_000);
    a_line_made_by_a_machine_is_noticed: AutomaticCounts is ["I19"];
    a_line_without_evidence_is_noticed: EvidenceNotNeeded is ["I19"];
    a_handshake_with_the_wrong_node_is_noticed: ConfirmFromAnyKey is ["I19"], in (Fault::Byzantine, 10);
    a_queue_that_forgets_is_noticed: QueueForgotten is ["I1", "I3"];
    a_number_for_two_mails_is_noticed: SeqsUsedAgain is ["I16"], in (Fault::CrashAfterCommit, 30);
    a_mark_before_its_mailbox_is_noticed: DeliveredTooEarly is ["I5"];
    a_failure_kept_quiet_is_noticed: FailureKeptQuiet is ["I1"];
    a_node_taken_for_another_is_noticed: RotationWithoutAnnouncement is ["I19"], in (Fault::Byzantine, 10);
    a_list_that_was_replaced_is_noticed: StaleListTaken is ["I15"], by run_with_devices, from 330;
    another_s_words_are_noticed: AnyoneRevises is ["I6"], by run_with_devices;
    // [V-6]
    a_removal_by_anyone_is_noticed: AnyoneRemoves is ["I6"], by run_with_devices;
    words_that_stay_are_noticed: WordsStay is ["I7"], by run_with_devices;
    // [X-1]
    words_that_outlive_their_time_are_noticed: WordsOutlive is ["I7"], by run_with_devices;
    // [A-6]
    a_reading_that_falls_is_noticed: ReceiptRegress is ["I4"], by run_with_devices;
    // [V-7]
    a_policy_that_is_ignored_is_noticed: PolicyIgnored is ["I4", "I24"], by run_with_devices;
    who_is_shown_to_who_does_not_agree_is_noticed: ShownToWhoDoesNotAgree is ["I24"], by run_with_devices;
    // [B-7] [B-11]
    a_file_that_was_not_hashed_is_noticed: FileNotHashed is ["I27"], in (Fault::CrashAfterCommit, 30), by run_with_files;
    a_key_that_seals_twice_is_noticed: NonceAfterRestore is ["I16"], in (Fault::CrashAfterCommit, 30), by run_with_devices;
}
