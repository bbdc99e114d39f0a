//! The checker notices: each rule that is turned off breaks a promise, and with the rules on all of them hold.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test's helper fails loudly, and tells the figures")]

use postline_core::canary::Canary;
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
