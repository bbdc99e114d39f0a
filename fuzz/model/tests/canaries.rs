//! The checker notices: each rule that is turned off breaks a promise, and with the rules on all of them hold.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test's helper fails loudly, and tells the figures")]

use postline_core::canary::Canary;
use postline_model::keys::Keys;
use postline_model::keys::scope::Scope as KeysScope;
use postline_model::scope::Scope;
use postline_model::trust::Trusting;
use stateright::{Checker, HasDiscoveries, Model};

/// The promises that are broken in the scope, and the shortest ways to them.
fn broken(scope: Scope) -> Vec<(&'static str, usize)> {
    let checker = Trusting::new(scope).checker().finish_when(HasDiscoveries::AllFailures).spawn_bfs().join();
    let properties = checker.model().properties();
    let failures = properties.iter().filter(|property| property.expectation.discovery_is_failure());
    failures.filter_map(|p| Some((p.name, checker.discovery(p.name)?.into_actions().len()))).collect()
}

fn noticed(canary: Canary, promise: &str) {
    let broken = broken(Scope { canary: Some(canary), ..Scope::SMALL });
    let (_, steps) = broken.iter().find(|(name, _)| *name == promise).expect("a rule that is off goes unnoticed");
    println!("figure model.canary_{canary:?} {steps} steps");
}

#[test]
fn every_promise_holds_with_every_rule_on() {
    assert_eq!(broken(Scope::SMALL), []);
}

#[test]
fn t_002_a_line_without_evidence_is_noticed() {
    noticed(Canary::EvidenceNotNeeded, "a line leads to the true node");
    noticed(Canary::EvidenceNotNeeded, "no line without evidence on both sides");
}

#[test]
fn t_010_a_handshake_with_any_key_is_noticed() {
    noticed(Canary::ConfirmFromAnyKey, "no line without evidence on both sides");
}

#[test]
fn an_oracle_that_lies_is_noticed() {
    let broken = broken(Scope { lying_oracle: true, ..Scope::SMALL });
    assert!(broken.iter().any(|(name, _)| *name == "a line leads to the true node"), "{broken:?}");
}

/// The first promise that is broken in the scope of keys in which seeded bugs are looked for, and the shortest way to it.
fn broken_of_keys(canary: Canary) -> Option<(&'static str, usize)> {
    let scope = KeysScope { canary: Some(canary), ..KeysScope::SMALL };
    let checker = Keys::new(scope).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let properties = checker.model().properties();
    let mut failures = properties.iter().filter(|property| property.expectation.discovery_is_failure());
    failures.find_map(|p| Some((p.name, checker.discovery(p.name)?.into_actions().len())))
}

fn noticed_of_keys(canary: Canary, promise: &str) {
    let (broken, steps) = broken_of_keys(canary).expect("a rule that is off goes unnoticed");
    assert_eq!(broken, promise);
    println!("figure model.canary_{canary:?} {steps} steps");
}

const L3: &str = "no L3 but by the other's proof for this very line and a list that is here";

/// [I-11]
#[test]
fn t_064_a_proof_for_another_line_is_noticed() {
    noticed_of_keys(Canary::ProofForAnyLine, L3);
}

/// [I-11]
#[test]
fn t_073_a_proof_of_a_list_that_is_not_here_is_noticed() {
    noticed_of_keys(Canary::ProofOfAnyList, L3);
}

/// [I-8]
#[test]
fn t_072_a_list_by_a_key_outside_the_chain_is_noticed() {
    noticed_of_keys(Canary::AnyKeyFollows, "whoever is known by their own lists has signed them");
}
