//! Explores every scope whole, and says how much that was; a broken promise is told step by step.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]
#![allow(clippy::disallowed_methods, reason = "the runner alone knows real time, to say how long it took")]

use std::process::ExitCode;
use std::time::Instant;

use postline_model::scope::Scope;
use postline_model::trust::Trusting;
use stateright::{Checker, Model};

fn main() -> ExitCode {
    let mut states = 0;
    let only = std::env::args().nth(1);
    for scope in Scope::ALL.into_iter().filter(|scope| only.as_ref().is_none_or(|only| only == scope.name)) {
        let began = Instant::now();
        let checker = Trusting::new(scope).checker().threads(2).spawn_bfs().join();
        states += checker.unique_state_count();
        println!(
            "{}: {} states, {} transitions, {} machines, depth {}, {} s",
            scope.name,
            checker.unique_state_count(),
            checker.state_count(),
            checker.model().machines(),
            checker.max_depth(),
            began.elapsed().as_secs()
        );
        let model = checker.model();
        for property in model.properties() {
            match (property.expectation.discovery_is_failure(), checker.discovery(property.name)) {
                (true, Some(path)) => {
                    eprintln!("broken: {}", property.name);
                    for (_, action) in path.into_vec() {
                        eprintln!("  {}", action.map_or_else(String::new, |action| model.format_action(&action)));
                    }
                    return ExitCode::FAILURE;
                }
                (false, None) => {
                    eprintln!("never: {}", property.name);
                    return ExitCode::FAILURE;
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
    }
    println!("figure model.trust_states {states}");
    ExitCode::SUCCESS
}
